/* code_cache.h: contract code by its hash, as bytes or analysed for the fork in force, shared by all threads of a shard.

   What is in here is immutable and content-addressed: it can be missing, never wrong. So nothing has to be taken back when a
   block or an incarnation is withdrawn; what nobody refers to is evicted between blocks. Code that is not on disk yet is pinned.

   (absent) ─put─▶ bytes ─get─▶ analysed ─get for another fork─▶ analysed for that
        ▲             └────────────┴─trim (not pinned)─▶ (absent)

   Threads: put, get and bytes from any; the rest from one thread, trim while nobody else is inside. */
#ifndef COH_CODE_CACHE_H
#define COH_CODE_CACHE_H

#include "common/evm/code.h"

typedef struct coh_code_cache coh_code_cache_t;

/* coh_code_cache_new: trim keeps about max_bytes octets. */
coh_code_cache_t *coh_code_cache_new(size_t max_bytes);
void coh_code_cache_free(coh_code_cache_t *c);

/* coh_code_cache_put adds bytes (copied), whose keccak256 is hash; nothing happens if it is there. */
void coh_code_cache_put(coh_code_cache_t *c, coh_hash_t const *hash, coh_bytes_t bytes);
/* coh_code_cache_get returns code analysed for fork, borrowed until the next trim; NULL: not here. All that is borrowed at a time is for
   one fork. */
coh_code_t const *coh_code_cache_get(coh_code_cache_t *c, coh_hash_t const *hash, coh_fork_t fork);
/* coh_code_cache_bytes gives the code itself, borrowed until the next trim; false: not here. */
bool coh_code_cache_bytes(coh_code_cache_t *c, coh_hash_t const *hash, coh_bytes_t *out);

/* coh_code_cache_pin keeps code from eviction until as many unpins follow. False: not here. */
bool coh_code_cache_pin(coh_code_cache_t *c, coh_hash_t const *hash);
void coh_code_cache_unpin(coh_code_cache_t *c, coh_hash_t const *hash);

/* coh_code_cache_trim evicts what is not pinned, used last in earlier rounds first, down to max_bytes. */
void coh_code_cache_trim(coh_code_cache_t *c);
size_t coh_code_cache_size(coh_code_cache_t const *c);

#endif
