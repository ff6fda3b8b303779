/* mvstore.h: the state that a shard owns, in memory: for each key its committed value, its latest settled value, and, while a block executes, the
   versions that transactions of the block wrote and the reads registered on it (EXECUTION.md). Code is not kept here: it is
   content-addressed (codes.h); an account's value holds its hash. It is also the bounded
   write-back cache over the flat tables: an entry whose changes are flushed may be evicted between blocks.

   A read by transaction r sees the latest value under the block, with the versions of transactions below r applied, and is
   registered. A publish by i that changes what a registered reader above i saw retracts that reader. Versions of
   a withdrawn incarnation become estimates: readers above wait for the next one instead of guessing.

   An entry:  (absent) ─first touch─▶ LOADING ─value from the store below─▶ READY ─evicted (clean, in no undecided block)─▶ (absent)
   A value:   version ─settle─▶ latest ─commit─▶ committed (dirty) ─flush─▶ clean         latest ─abort─▶ discarded

   Threads: reads, publishes and estimates may come from any thread, each with a context of its own; they meet under the lock of the key's
   stripe. Everything else is for the communication thread, most of it while no worker is inside. */
#ifndef COH_MVSTORE_H
#define COH_MVSTORE_H

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/obs/metrics.h"
#include "common/state/write.h"
#include "shard/past.h"

typedef struct coh_mvstore coh_mvstore_t;

/* An incarnation of a transaction, and the rank that executes it. */
typedef struct {
    uint32_t tx_idx;
    uint32_t incarnation;
    uint32_t home;
} coh_mv_tx_t;

/* Who is to be told when a key is at hand. */
typedef enum { COH_WAIT_CHAIN, COH_WAIT_REMOTE, COH_WAIT_QUERY } coh_wait_kind_t;

typedef struct {
    coh_wait_kind_t kind;
    uint32_t serial;    /* CHAIN, REMOTE: of the block; a waiter of another block is stale */
    uint32_t chain;     /* CHAIN: in the scheduler */
    coh_mv_tx_t reader; /* REMOTE: the read to repeat... */
    coh_key_t key;      /* ...REMOTE, QUERY: on this key */
    uint32_t fields;    /* REMOTE */
    uint32_t read;      /* REMOTE: its number among the reader's */
    coh_u256_t bound;   /* REMOTE */
    void *query;        /* QUERY: the caller's own */
    uint32_t query_pos; /* QUERY: the caller's own */
} coh_waiter_t;

/* A reader whose read no longer holds; reads_code: it assumed that a receiver has no code (COH_WRITE_NO_CODE), and has to read that next time. */
typedef struct {
    coh_mv_tx_t tx;
    bool reads_code;
} coh_mv_retraction_t;

/* What one thread needs to use the store; retracted and woken are filled by publishes and loads, and emptied by the caller, who acts on them
   after the call (no lock is held then). */
typedef struct {
    coh_arena_t arena; /* versions of the block; reset by coh_mv_ctx_reset */
    coh_mv_retraction_t *retracted;
    uint32_t retracted_cnt, retracted_cap;
    coh_waiter_t *woken;
    uint32_t woken_cnt, woken_cap;
    coh_buf_t scratch; /* of the source */
    /* Of the list of touched entries: where this thread puts its next ones, of which block. */
    uint32_t touch_at, touch_end;
    uint64_t touch_block;
    uint32_t
        writer_end; /* above the writers of the block whose versions were read since the caller last set it to 0, where none above the reader wrote too */
} coh_mv_ctx_t;

void coh_mv_ctx_reset(coh_mv_ctx_t *ctx);
void coh_mv_ctx_free(coh_mv_ctx_t *ctx);
/* coh_mv_ctx_push_woken adds a waiter that others than the store woke. */
void coh_mv_ctx_push_woken(coh_mv_ctx_t *ctx, coh_waiter_t const *waiter);

/* coh_mvstore_new makes an empty store for entry_max keys. self: this rank; rank_cnt bounds the homes. seed: of the hash, drawn at
   start so that nobody can aim at one bucket. metrics may be NULL. */
coh_mvstore_t *coh_mvstore_new(size_t entry_max,
                               uint64_t seed,
                               uint32_t self,
                               uint32_t rank_cnt,
                               coh_metrics_t *metrics);
void coh_mvstore_free(coh_mvstore_t *mv);

/* A source answers at once what a key not in memory was committed with last, or false: it has to be loaded (below). scratch: the caller's, for any use. Any thread, several at a time. */
typedef bool coh_mv_source_fn(void *arg,
                              coh_key_t const *key,
                              coh_buf_t *scratch,
                              coh_value_t *out);
/* coh_mv_set_source: reads ask it before they wait. Without one, as at first, they always wait. Before the first read. */
void coh_mv_set_source(coh_mvstore_t *mv, coh_mv_source_fn *source, void *arg);

/* Beyond entry_max a block may take this many entries more, until they can be evicted. */
#define COH_MV_SPILL_MAX ((size_t)1 << 22)

/* coh_mv_block_begin prepares for a block of tx_cnt transactions that are expected to touch at most new_max (<= entry_max) keys not in memory,
   evicting clean entries where needed, and reserves that many. What a contract touches nobody knows beforehand: a block that needs more
   spills over. False: too many are dirty or undecided; flush and commit first, then try again. */
bool coh_mv_block_begin(coh_mvstore_t *mv, uint32_t tx_cnt, size_t new_max);
/* The executing block needed more than entry_max and the spill together: reads wait for ever, so that it cannot be settled. */
bool coh_mv_is_exhausted(coh_mvstore_t const *mv);

typedef enum { COH_MV_OK, COH_MV_WAIT } coh_mv_status_t;

/* coh_mv_read registers the read of key by reader and returns what it sees in *out (with COH_READ_AT_LEAST: see view.h); beside word and
   nonce only what fields ask for. A reader may register several reads of one key. What the source has is read at once, while others wait for it: they may be in ctx->woken afterwards.
   COH_MV_WAIT: the key is being loaded or an estimate of one of the fields stands below the reader; *waiter is kept and comes back through
   ctx->woken of whoever ends the wait. */
coh_mv_status_t coh_mv_read(coh_mvstore_t *mv,
                            coh_mv_ctx_t *ctx,
                            coh_value_t *out,
                            coh_key_t const *key,
                            coh_mv_tx_t reader,
                            uint32_t fields,
                            coh_u256_t const *bound,
                            coh_waiter_t const *waiter);

/* coh_mv_publish puts a write of one incarnation (COH_WRITE_REMOVED: takes the last incarnation's away). An incarnation older than what
   is there is ignored. Readers that it invalidates are added to ctx->retracted, waiters to ctx->woken; with COH_WRITE_NO_CODE the writer
   itself may be among them, then or later. What write->code points to is copied, but for the bytes. */
void coh_mv_publish(coh_mvstore_t *mv,
                    coh_mv_ctx_t *ctx,
                    coh_write_t const *write,
                    coh_mv_tx_t writer);

/* coh_mv_estimate turns writer's version of key, if it is still that incarnation's, into an estimate. */
void coh_mv_estimate(coh_mvstore_t *mv, coh_key_t const *key, coh_mv_tx_t writer);

/* coh_mv_touch makes sure that key is in memory or on its way, and returns the number of its entry, which stays until the block ends.
   coh_mv_prefetch, some keys ahead, starts fetching the cache lines it needs: call it with stage 0, and later, before the touch, with stage 1.
   coh_mv_prefetch_entry does so for a read or publish to come. */
uint32_t coh_mv_touch(coh_mvstore_t *mv, coh_key_t const *key);
void coh_mv_prefetch_entry(coh_mvstore_t const *mv, uint32_t entry);
void coh_mv_prefetch(coh_mvstore_t const *mv, coh_key_t const *key, int stage);

/* Keys to load from disk. coh_mv_take_loads appends up to max of them to out (no repetition) and returns how many; coh_mv_loaded gives the value back
   (all zero: absent). A shard is not idle while coh_mv_loads_outstanding is not 0. */
size_t coh_mv_take_loads(coh_mvstore_t *mv, coh_key_t *out, size_t max);
void coh_mv_loaded(coh_mvstore_t *mv,
                   coh_mv_ctx_t *ctx,
                   coh_key_t const *key,
                   coh_value_t const *value);
size_t coh_mv_loads_outstanding(coh_mvstore_t const *mv);
/* coh_mv_take_query takes a query's waiter whose key has been loaded, by whomever; false: there is none. Until it is taken it counts as a load outstanding. */
bool coh_mv_take_query(coh_mvstore_t *mv, coh_waiter_t *out);

/* The sum of the digests of the effects that home has published here in this block. */
uint64_t coh_mv_effects_from(coh_mvstore_t const *mv, uint32_t home);
/* The digest of one effect: a 64-bit mix of transaction, key, fields and values; 0 if it has none. */
uint64_t coh_mv_effect_digest(coh_write_t const *write, uint32_t tx_idx);

/* A changed key with its new value, for whoever works on changes apart from the store. */
typedef struct {
    coh_key_t key;
    coh_value_t value;
    bool wiped; /* the account's storage was wiped by one of these changes */
    bool
        is_guest; /* of an account of this shard's buckets that lives elsewhere: for the tries only (guests.h) */
} coh_mv_item_t;

/* One changed key of a settled block. */
typedef struct {
    uint32_t entry; /* of the store; stays put until the block is decided */
    bool new_code;  /* the account has other code than under the block */
    bool wiped;     /* the account's storage was wiped in the block */
    coh_value_t value;
} coh_mv_change_t;

typedef struct {
    uint64_t block;
    coh_mv_change_t *v; /* owned */
    size_t cnt, cap;
} coh_mv_diff_t;

void coh_mv_diff_free(coh_mv_diff_t *diff);

/* What one transaction, or step, of the block that is to be settled left of a key. */
typedef struct {
    uint32_t tx_idx;
    coh_mv_item_t item;
} coh_mv_step_t;

/* coh_mv_trail lists what each transaction changed, ascending by tx_idx; tips are among it only where fees are exact. The caller's, free(). Under the conditions
   of coh_mv_settle, before it. Cost: for each version the sum of those below it */
size_t coh_mv_trail(coh_mvstore_t *mv, coh_mv_step_t **out);
/* coh_mv_sort_steps puts steps in ascending order by tx_idx. */
void coh_mv_sort_steps(coh_mv_step_t *steps, size_t cnt);

/* coh_mv_settle makes the block's versions the latest state and lists the changes. coinbase (may be NULL) gets credit on top, and if it is
   empty then, it is removed (EIP-161); it must have been touched. No worker is inside; no estimate, waiter or load is left. */
void coh_mv_settle(coh_mvstore_t *mv,
                   coh_mv_diff_t *diff,
                   coh_addr_t const *coinbase,
                   coh_u256_t const *credit);
/* coh_mv_discard_block forgets the executing block's versions and readers. No worker is inside. */
void coh_mv_discard_block(coh_mvstore_t *mv);
/* coh_mv_commit makes a diff committed; diffs are committed in the order of blocks. What the keys had before is added to the past, if there is one (NULL: none, as at
   first), which the caller has told that the block begins. */
void coh_mv_set_past(coh_mvstore_t *mv, coh_past_t *past);
void coh_mv_commit(coh_mvstore_t *mv, coh_mv_diff_t const *diff);
/* coh_mv_abort takes back the discarded diffs (cnt of them, any order); kept are the ones below, in order, still undecided. */
void coh_mv_abort(coh_mvstore_t *mv,
                  coh_mv_diff_t *const *discarded,
                  size_t cnt,
                  coh_mv_diff_t *const *kept,
                  size_t kept_cnt);

/* The key of an entry that a diff or coh_mv_touch names; borrowed as long as the entry stays. */
coh_key_t const *coh_mv_entry_key(coh_mvstore_t const *mv, uint32_t entry);

/* Queries read committed state, at any time. coh_mv_query_begin makes room for the keys of one; false: not before the executing block is
   through. Then coh_mv_committed for each of them: COH_MV_OK and the value, or COH_MV_WAIT and *waiter comes back through coh_mv_take_query when it is loaded
   (then ask again). What the source has does not enter memory. What a key has when it comes back was committed when the query was asked: no block can settle while a key that it touched is being loaded. */
#define COH_MV_QUERY_MAX ((size_t)8192)
bool coh_mv_query_begin(coh_mvstore_t *mv, size_t key_cnt);
coh_mv_status_t coh_mv_committed(coh_mvstore_t *mv,
                                 coh_key_t const *key,
                                 coh_value_t *out,
                                 coh_waiter_t const *waiter);

/* coh_mv_peek: the committed value of a key that is in memory, or that the source has; false: it lies on disk as it was committed last. Brings nothing into memory
   and waits for nothing. Communication thread. */
bool coh_mv_peek(coh_mvstore_t *mv, coh_key_t const *key, coh_value_t *out);

/* coh_mv_forget takes the accounts that picked says, and their slots, out of memory. No block executes, no load is under way; none of their entries is dirty or of an undecided block. */
void coh_mv_forget(coh_mvstore_t *mv, bool (*picked)(void *arg, coh_addr_t const *addr), void *arg);

/* Flushing. coh_mv_flush_begin copies all dirty entries (unsorted) into *out (owned by the caller; malloc) with their committed values as of block;
   coh_mv_flush_end marks those clean that no later block has changed. */
size_t coh_mv_flush_begin(coh_mvstore_t *mv, coh_mv_item_t **out);
void coh_mv_flush_end(coh_mvstore_t *mv);
size_t coh_mv_dirty_cnt(coh_mvstore_t const *mv);
size_t coh_mv_entry_cnt(coh_mvstore_t const *mv);

#endif
