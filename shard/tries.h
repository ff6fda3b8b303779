/* tries.h: a shard's tries: who works on them when. One job at a time, on a worker, in order; the communication thread queues jobs and takes their results.

   A block:   queued ─▶ running ─▶ applied ─COMMIT─▶ (for good)
                │ ABORT               │ ABORT
                ▼                     ▼
             (forgotten)           undone

   The tries are at the last applied block, which may be undecided, but the disk may only get them at a committed one, the same that the flat tables get. So for
   a flush updates are held until no applied block is undecided; then the changed pages are taken, and updates go on while they are written. The same happens when
   pages that wait for a flush take too much memory (coh_tries_is_full): blocks wait, nothing fails.

   The undo records of the last blocks stay after their decision, bounded in number and octets: proofs of recent states are made with them.

   Where a root is not wanted for each block, changes of blocks between are deferred until the next that has one; what of them is committed when a flush takes the pages goes into the tries
   before, and its nodes are told with the next root.

   Threads: coh_tries_work from any worker, everything else from the communication thread. */
#ifndef COH_TRIES_H
#define COH_TRIES_H

#include "common/node/env.h"
#include "common/state/directory.h"
#include "shard/trie_proof.h"
#include "shard/trie_suppose.h"

typedef struct coh_tries coh_tries_t;

typedef enum {
    COH_TRIES_UPDATED, /* nodes: of the buckets that the block changed */
    COH_TRIES_LOADED,
    COH_TRIES_UNDONE, /* what coh_tries_abort asked for */
    COH_TRIES_TAKEN,  /* pages: what is to be written */
    COH_TRIES_NODES,  /* nodes: of all buckets that are not empty */
    COH_TRIES_PROVED, /* proof; its failure is the asker's alone: COH_ENOTFOUND that state is not kept (any more) */
    COH_TRIES_SUPPOSED, /* nodes: of the buckets of what was supposed; failure as of PROVED */
} coh_tries_kind_t;

/* What stands at the root of a bucket after a transaction that changed it. */
typedef struct {
    uint32_t tx_idx;
    coh_trie_node_t node;
} coh_trail_node_t;

/* What a job came to. */
typedef struct {
    coh_tries_kind_t kind;
    uint64_t block; /* UPDATED */
    coh_err_t
        err; /* not COH_OK: the tries are lost to this process; text says what the operator needs to know */
    coh_buf_t text;         /* owned */
    coh_trie_node_t *nodes; /* owned */
    size_t node_cnt;
    coh_trail_node_t *
        trail; /* owned; UPDATED with a trail: of the buckets that each transaction changed; ascending by transaction, then by bucket */
    size_t trail_cnt;
    coh_kv_batch_t pages;   /* owned; sorted by key */
    bool ingest;            /* pages are puts only, and many */
    uint64_t query;         /* PROVED, SUPPOSED: the caller's own */
    coh_trie_proof_t proof; /* owned */
} coh_tries_done_t;

void coh_tries_done_free(coh_tries_done_t *done);

typedef struct {
    size_t cache_bytes;      /* memory for pages; half of it for those that wait for a flush */
    uint64_t history_blocks; /* committed blocks whose undo records are kept... */
    size_t history_bytes;    /* ...and octets that these may take */
    uint64_t root_every; /* blocks whose number it divides are updated, those between deferred */
} coh_tries_limits_t;

coh_tries_t *coh_tries_new(coh_kv_t *kv,
                           coh_env_t *env,
                           coh_tries_limits_t const *limits,
                           uint64_t seed);
void coh_tries_free(coh_tries_t *t);

/* coh_tries_update queues what a settled block changed; blocks in order.
   In: items  taken (from malloc); trail  likewise: what each transaction left (coh_mv_trail), of blocks whose receipts hold a root each; else NULL */
void coh_tries_update(coh_tries_t *t,
                      uint64_t block,
                      coh_mv_item_t *items,
                      size_t cnt,
                      coh_mv_step_t *trail,
                      size_t trail_cnt);
/* coh_tries_defer keeps what a settled block changed until the next update. In: items  taken */
void coh_tries_defer(coh_tries_t *t, uint64_t block, coh_mv_item_t *items, size_t cnt);
/* True if the next update has something to do or to tell, whatever its block changed. */
bool coh_tries_is_behind(coh_tries_t const *t);
/* coh_tries_start: the tries are as of block head; states before it are not kept. */
void coh_tries_start(coh_tries_t *t, uint64_t head);
/* coh_tries_rewind: of dev chains; the last committed block, of which the tries are, has the number head from here on. Nothing is undecided. */
void coh_tries_rewind(coh_tries_t *t, uint64_t head);
/* coh_tries_commit: a block is decided. Of one without changes nothing is known here. */
void coh_tries_commit(coh_tries_t *t, uint64_t block);
/* coh_tries_abort takes back block and all above. True: one UNDONE more will be polled. It is done when as many have been as were announced, by earlier calls too. */
bool coh_tries_abort(coh_tries_t *t, uint64_t block);

/* coh_tries_load applies changes that are not a block's, for good: accounts of genesis, redo records. Answered by LOADED. In: items  taken */
void coh_tries_load(coh_tries_t *t, coh_mv_item_t *items, size_t cnt);
/* coh_tries_ask_nodes: answered by NODES. */
void coh_tries_ask_nodes(coh_tries_t *t, coh_directory_t const *dir, uint32_t shard);

/* coh_tries_prove asks for proofs as of block, which is committed. Answered by PROVED. In: slots  copied */
void coh_tries_prove(coh_tries_t *t,
                     uint64_t query,
                     uint64_t block,
                     coh_addr_t const *addr,
                     coh_u256_t const *slots,
                     size_t slot_cnt);

/* coh_tries_suppose asks what would stand at the roots of buckets with items laid over the state of block, which is committed (trie_suppose.h). Answered by SUPPOSED. In: items  taken */
void coh_tries_suppose(coh_tries_t *t,
                       uint64_t query,
                       uint64_t block,
                       coh_mv_item_t *items,
                       size_t cnt);

/* coh_tries_is_full: a flush is needed before updates go on. */
bool coh_tries_is_full(coh_tries_t const *t);
/* coh_tries_hold lets no update begin until coh_tries_take. */
void coh_tries_hold(coh_tries_t *t);
/* The tries are at a committed block, and no job is under way that would change that. */
bool coh_tries_is_committed(coh_tries_t const *t);
/* coh_tries_take asks for all changed pages, answered by TAKEN, and ends the hold; the tries are at a committed block, and deferred changes of committed blocks go into them before.
   Once they are written: coh_tries_written. */
void coh_tries_take(coh_tries_t *t);
void coh_tries_written(coh_tries_t *t);

/* Does one job, if there is one to do. */
bool coh_tries_work(coh_tries_t *t);
/* coh_tries_poll returns true with what a job came to; the caller frees it. */
bool coh_tries_poll(coh_tries_t *t, coh_tries_done_t *done);

#endif
