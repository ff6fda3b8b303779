/* mpt.h: incremental Merkle-Patricia tries (Yellow Paper, Appendix D) with keys of 32 octets, stored by path over a key-value store.

   Any number of tries share one store. A trie is a prefix of the store's keys (coh_mpt_id_t): one for each bucket of the account trie, whose
   keys agree in the first three nibbles and whose root stands at that depth (roots.h merges them), and one for each generation of an
   account's storage. There are no forks: the store holds one state of each trie, and undo records lead back from it (history.h).

   What is stored under a path is a page: the pairs below it as long as they are few, in the order of keys, else the references of its sixteen
   children, which are pages themselves.

       path 4a7          [inner: 16 references] ─┬─ path 4a70  [pairs: key value, key value, ...]
                                                 ├─ path 4a71  [pairs]
                                                 └─ path 4a72  [inner] ── ...

   Of a value that ends like that of an account without storage and code, that end is left out: 47 octets for such an account instead of 113.
   The nodes inside of a page of pairs are not stored but follow from the pairs; the references that its topmost branch holds are kept in memory, so
   that a change costs the hashes of the path above it and of its few neighbours. Insertion, deletion and collapse of
   branches are thereby matters of sorted lists; a page that outgrows its bound is cut in sixteen, an inner page that has shrunk to half of
   it becomes pairs again. When a page is read, its reference is computed and compared with what its parent holds: damage is found
   when it is met.

   Pages stay in memory between updates: changed ones until they are flushed, others until the cache's bound evicts them, oldest use first. Flushing is
   the caller's: several blocks' changes go to disk together, one value for each page, in the order of keys. A trie is flushed whole or not at
   all, and since applying the blocks' changes again in order leads to the same trie, recovery is: reopen, and repeat the changes from coh_mpt_dirty_since
   on (which the caller notes in the batch that it flushes).

       page:   absent ─update─▶ DIRTY ─flush─▶ WRITING ─flush_done─▶ clean ─evict─▶ absent
                                  ▲                │ update            │ update
                                  └────────────────┴───────────────────┘

   One thread at a time. Nothing recurses deeper than 64. */
#ifndef COH_MPT_H
#define COH_MPT_H

#include "common/kv/kv.h"
#include "common/trie/node.h"

/* Longest prefix of a trie, and longest key of a page. */
#define COH_MPT_ID_MAX  37u
#define COH_MPT_KEY_MAX (COH_MPT_ID_MAX + 33u)
/* Smallest bound of a page: two pairs of the longest value fit, so that an inner page always has two pairs at least. */
#define COH_MPT_PAGE_MIN (2 * (33 + COH_NODE_VALUE_MAX))
/* At a million accounts, 1024 writes 1.4 times as much as this; 4096 does not do better, and hashes more than twice as much at 300,000 (tests/bench/bench_trie.c). */
#define COH_MPT_PAGE_DEFAULT 2048u

/* Which trie. */
typedef struct {
    uint8_t n;     /* octets of b */
    uint8_t depth; /* nibbles that all its keys have in common, and above its root */
    uint8_t b[COH_MPT_ID_MAX];
} coh_mpt_id_t;

/* coh_mpt_id_bucket is the part of the account trie with the keys of bucket, 0..4095. */
coh_mpt_id_t coh_mpt_id_bucket(uint32_t bucket);
/* coh_mpt_id_storage is an account's storage; account is keccak256(address). A wiped account's next storage has another generation. */
coh_mpt_id_t coh_mpt_id_storage(coh_hash_t const *account, uint32_t generation);
/* coh_mpt_key_bucket tells of the key of a stored page in which bucket its account or accounts are: whose owner has the page. COH_EMALFORMED if it is no such key. */
coh_err_t coh_mpt_key_bucket(uint32_t *bucket, coh_bytes_t key);

typedef struct coh_mpt coh_mpt_t;

typedef struct {
    coh_kv_t *kv; /* borrowed; outlives the tries */
    coh_kv_table_t table;
    size_t cache_bytes;     /* bound of clean pages in memory between calls */
    size_t dirty_bytes_max; /* see coh_mpt_is_full */
    uint32_t
        page_bytes; /* bound of a page's pairs; 0: COH_MPT_PAGE_DEFAULT; stored pages of another bound remain readable */
    uint64_t seed;  /* of the table of tries in memory: not known to who chooses accounts */
} coh_mpt_config_t;

coh_mpt_t *coh_mpt_new(coh_mpt_config_t const *config);
/* coh_mpt_free forgets what was not flushed. */
void coh_mpt_free(coh_mpt_t *mpt);

/* One pair to set. An empty value removes the key. Both borrowed for the call. */
typedef struct {
    coh_hash_t key;
    coh_bytes_t value; /* at most COH_NODE_VALUE_MAX octets */
} coh_mpt_change_t;

/* Sets the value of change idx of a job, given the one that its key has so far (empty: none), for values that depend on the old ones: found once, where they are
   compared. Called once for each change, before anything changes. */
typedef void coh_mpt_resolve_t(void *arg, size_t idx, coh_bytes_t old);

/* The changes of one trie; and what then stands at its root. */
typedef struct {
    coh_mpt_id_t id;
    coh_mpt_change_t const *changes; /* ascending by key, without repetition; borrowed */
    size_t cnt;                      /* 0: only tell the node */
    coh_mpt_resolve_t *resolve;      /* or NULL: changes are as they stand */
    void *arg;                       /* of resolve */
    coh_mpt_node_t node;             /* out */
} coh_mpt_job_t;

/* coh_mpt_update applies what block changed in cnt tries, no two of them the same, and computes their nodes. The more at once, the better: pages are read
   together and all tries are hashed together, level by level.

   In:      block  for coh_mpt_dirty_since; when blocks are undone, numbers come again
   Out:     undo   unless NULL, appended: a record of the values before (history.h)
   Returns: COH_OK; COH_ECORRUPT a page is missing or damaged (coh_mpt_fault tells which), COH_EIO.
            On failure no trie has changed.
   Cost: memory for what the changes touch, besides the cache */
coh_err_t coh_mpt_update(coh_mpt_t *mpt,
                         uint64_t block,
                         coh_mpt_job_t *jobs,
                         size_t cnt,
                         coh_buf_t *undo);

/* coh_mpt_is_full tells that pages that are not flushed take more than dirty_bytes_max: whoever wants memory bounded flushes before the next block. */
bool coh_mpt_is_full(coh_mpt_t const *mpt);

/* coh_mpt_get appends the value of key.    Returns: COH_OK; COH_ENOTFOUND; as coh_mpt_update */
coh_err_t coh_mpt_get(coh_mpt_t *mpt,
                      coh_mpt_id_t const *id,
                      coh_hash_t const *key,
                      coh_buf_t *out);

/* Where the last COH_ECORRUPT or COH_EIO was met. */
typedef struct {
    coh_mpt_id_t id;
    uint8_t path[32]; /* depth nibbles, those of id included */
    uint8_t depth;
} coh_mpt_fault_t;

coh_mpt_fault_t const *coh_mpt_fault(coh_mpt_t const *mpt);

/* coh_mpt_flush appends the changed pages of whole tries to batch, those whose first change waits longest first, until they are more than bytes_max octets
   (SIZE_MAX: all); sorted by key, without repetition. With puts_only, a page that is gone becomes an empty value, which counts as absent, so that the batch can be ingested. The
   caller writes the batch and then calls coh_mpt_flush_done; in between updates may run, from this thread, but no other flush. If the write
   fails, the tries are lost to this process.

   How often a page is written for how many changes decides what a change costs on disk: let rounds through all tries follow from the number of changes, not of
   blocks. A round for each 500,000 changes in a million accounts writes 0.3 KB for each, compaction included; one for 10,000 writes 3 KB. */
void coh_mpt_flush(coh_mpt_t *mpt, coh_kv_batch_t *batch, size_t bytes_max, bool puts_only);
void coh_mpt_flush_done(coh_mpt_t *mpt);

/* coh_mpt_dirty_since is the lowest block of whose changes any has not been put into a batch; UINT64_MAX if all have. */
uint64_t coh_mpt_dirty_since(coh_mpt_t const *mpt);

/* coh_mpt_view_new makes tries that begin as those of base are, and whose updates stay in memory and change nothing in base: for reading the past (history.h). base must not
   be updated, flushed or freed while the view lives; release it with coh_mpt_free. */
coh_mpt_t *coh_mpt_view_new(coh_mpt_t *base);

typedef struct {
    uint64_t page_cnt;
    uint64_t page_bytes;  /* in memory */
    uint64_t dirty_bytes; /* of these, not flushed */
    uint64_t load_cnt;    /* pages read from the store so far */
    uint64_t hash_cnt;    /* nodes encoded so far */
} coh_mpt_stats_t;

/* coh_mpt_stats tells them as they are now. */
void coh_mpt_stats(coh_mpt_t const *mpt, coh_mpt_stats_t *out);

#endif
