/* codes.h: the code that a shard has at hand: the cache of code by hash (common/evm/code_cache.h), who waits for what is on its way, and what is not on
   disk yet.

   Code comes from the CODE table (want, then take_loads and loaded), from a PUBLISH or an answer of another shard, or from a transition here (put, before the
   write with its hash becomes visible: so a hash that anyone has read can be found). It is never versioned: a hash says what it is.

   A block's new code: put ─settle─▶ pinned for the diff ─commit─▶ unwritten ─flush─▶ on disk, not pinned

   Threads: find, want and put from any; everything else from the communication thread. */
#ifndef COH_CODES_H
#define COH_CODES_H

#include "common/evm/code_cache.h"
#include "shard/mvstore.h"

typedef struct coh_codes coh_codes_t;

/* cache_bytes: what is kept from block to block of code that is on disk. */
coh_codes_t *coh_codes_new(size_t cache_bytes);
void coh_codes_free(coh_codes_t *codes);

/* A source appends to out the code whose keccak256 is hash, if that can be had without waiting for a device, or returns false. Any thread, several at a time. */
typedef bool coh_codes_source_fn(void *arg, coh_hash_t const *hash, coh_buf_t *out);
/* coh_codes_set_source: coh_codes_want asks it before anybody waits. Without one, as at first, all wait. Before the first coh_codes_want. */
void coh_codes_set_source(coh_codes_t *codes, coh_codes_source_fn *source, void *arg);

/* The hash as it stands in a key of kind CODE, and back. */
coh_key_t coh_codes_key(coh_addr_t const *addr, coh_hash_t const *hash);
coh_hash_t coh_codes_hash(coh_key_t const *key);

/* coh_codes_find: code analysed for fork, NULL if it is not here; borrowed until coh_codes_trim. */
coh_code_t const *coh_codes_find(coh_codes_t *codes, coh_hash_t const *hash, coh_fork_t fork);
/* The same for the bytes, borrowed until trim. */
bool coh_codes_bytes(coh_codes_t *codes, coh_hash_t const *hash, coh_bytes_t *out);
/* coh_codes_want asks for code that was not found, on this shard's disk. True: *waiter is kept, and comes back through ctx->woken of whoever
   brings it, or, of a query, through coh_codes_take_query; false: it has come meanwhile, or out of the source: then others that waited for it may be in ctx->woken. ctx NULL: the source is not asked. */
bool coh_codes_want(coh_codes_t *codes,
                    coh_mv_ctx_t *ctx,
                    coh_hash_t const *hash,
                    coh_waiter_t const *waiter);
/* coh_codes_put adds code (copied) whose keccak256 is hash. */
void coh_codes_put(coh_codes_t *codes,
                   coh_mv_ctx_t *ctx,
                   coh_hash_t const *hash,
                   coh_bytes_t bytes);

/* As coh_mv_take_loads. coh_codes_loaded is coh_codes_put for what came from disk. */
size_t coh_codes_take_loads(coh_codes_t *codes, coh_hash_t *out, size_t max);
void coh_codes_loaded(coh_codes_t *codes,
                      coh_mv_ctx_t *ctx,
                      coh_hash_t const *hash,
                      coh_bytes_t bytes);
size_t coh_codes_loads_outstanding(coh_codes_t const *codes);
/* As coh_mv_take_query. */
bool coh_codes_take_query(coh_codes_t *codes, coh_waiter_t *out);

/* coh_codes_trim evicts down to cache_bytes. No worker is inside, and no waiter is left but of queries. coh_codes_drop_waiters forgets those of a discarded block. */
void coh_codes_trim(coh_codes_t *codes);
void coh_codes_drop_waiters(coh_codes_t *codes);

/* Code that a settled block gave to accounts: one list for each diff. */
typedef struct {
    coh_hash_t *v; /* owned; pinned, each once */
    size_t cnt, cap;
} coh_code_list_t;

/* coh_codes_pin adds hash to list if it is here (if not, it is on disk) and not in the list yet. */
void coh_codes_pin(coh_codes_t *codes, coh_code_list_t *list, coh_hash_t const *hash);
/* coh_codes_release unpins and empties a list: its block was discarded, or it is on disk. */
void coh_codes_release(coh_codes_t *codes, coh_code_list_t *list);
/* coh_code_list_move appends from to to, and empties it. */
void coh_code_list_move(coh_code_list_t *to, coh_code_list_t *from);

#endif
