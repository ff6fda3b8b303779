/* check.h: walks the store of a rank and says what is wrong with it, for `cohort check`. Nothing is repaired or changed. Findings are lines of text;
   a walk goes on after one where that makes sense, up to COH_CHECK_FINDINGS_MAX of them. One thread. */
#ifndef COH_CHECK_H
#define COH_CHECK_H

#include "common/config/genesis.h"
#include "common/kv/kv.h"
#include "common/state/directory.h"
#include "common/trie/roots.h"

#define COH_CHECK_FINDINGS_MAX 20u

typedef struct {
    coh_buf_t text; /* a line for each finding; owned by the caller */
    uint32_t cnt;
} coh_check_findings_t;

/* What the coordinator's store says, for the shards' to be held against. */
typedef struct {
    bool known;     /* the coordinator's store was there and sound enough */
    uint64_t first; /* number of the genesis block */
    uint64_t head;  /* highest decided block */
    uint64_t block_cnt;
    uint64_t tx_cnt;
    coh_directory_t dir;   /* owned: coh_directory_free */
    uint64_t *last_redo;   /* by shard; owned: free() */
    coh_hash_t state_root; /* of the head's header */
    coh_fork_t fork;       /* of the head */
} coh_check_chain_t;

/* What there is in a shard's store. */
typedef struct {
    bool
        fresh; /* its genesis was never finished: a first start that ended early, and may be repeated */
    uint64_t flushed;
    uint64_t redo_cnt;
    uint64_t undecided_cnt; /* redo records above the head, which the next start drops */
    uint64_t account_cnt;
    uint64_t slot_cnt;
    uint64_t code_cnt;
} coh_check_shard_t;

/* coh_check_coordinator reads identity and directory, and every decision record: its checksum, its transactions, that header and receipts can be made
   again from it, that numbers have no gap and each header names the one before. */
void coh_check_coordinator(coh_check_chain_t *out,
                           coh_check_findings_t *findings,
                           coh_kv_t *kv,
                           coh_genesis_t const *genesis,
                           uint32_t rank_cnt);

/* The stores of other ranks that are at hand. */
typedef struct {
    coh_kv_t *(*of)(void *arg,
                    uint32_t rank); /* borrowed; NULL: it is not there or does not open */
    void *arg;
} coh_check_stores_t;

/* coh_check_shard reads the mark, every redo record with its checksum, and every account, slot and code of the flat tables: that it decodes, that the
   account is the shard's own, that code has the hash under which it lies, and that an account's code is there; then its tries. chain not known: without what needs it.
   stores: asked for the shards where accounts live whose tries are here. In-out: roots  gets the nodes of the shard's buckets, as flat tables have them */
void coh_check_shard(coh_check_shard_t *out,
                     coh_check_findings_t *findings,
                     coh_roots_t *roots,
                     coh_kv_t *kv,
                     uint32_t rank,
                     uint32_t rank_cnt,
                     coh_check_chain_t const *chain,
                     coh_check_stores_t const *stores);

/* coh_check_tries compares the tries of a shard with the flat tables, both with the redo records of blocks up to the head laid over them: the node at the root of each bucket and of each
   account's storage with the one that follows from the flat tables, and each account and slot with its leaf, by which all pages are read. In-out: roots  as above
   Cost: a few us for each account and slot; 100 MB, and 300 octets for each slot of the largest storage */
void coh_check_tries(coh_check_findings_t *findings,
                     coh_roots_t *roots,
                     coh_kv_t *kv,
                     uint32_t shard,
                     coh_check_chain_t const *chain,
                     coh_check_stores_t const *stores);

/* What was found in a directory. */
typedef struct {
    uint64_t finding_cnt;
    uint32_t rank_cnt;     /* folders there */
    uint32_t shard_cnt;    /* of the layout, if rank 0 is there, else 0 */
    bool is_whole;         /* all ranks are there, none of them fresh */
    uint64_t head;         /* this and the next, if is_whole and nothing was found */
    coh_hash_t state_root; /* of what the shards hold */
    uint64_t account_cnt;  /* of all shards, as the next two */
    uint64_t slot_cnt;
    uint64_t redo_cnt;
} coh_check_dir_t;

/* coh_check_dir opens and checks the folders of all ranks in dir, and that what all shards hold has the state root that the head's header says, if a block like
   it has one of its own (root_every: see block-root-every). Lines about each rank and each finding go to text. */
void coh_check_dir(coh_check_dir_t *out, coh_buf_t *text, char const *dir, uint64_t root_every);

/* coh_check_finding adds a line; true if further ones are wanted. */
COH_PRINTF(2, 3) bool coh_check_finding(coh_check_findings_t *findings, char const *fmt, ...);

#endif
