/* store_walk.h: the whole state out of the stores of all shards, which have stopped cleanly, so that their flat tables hold the head's. */
#ifndef COH_STORE_WALK_H
#define COH_STORE_WALK_H

#include "common/kv/kv.h"
#include "common/state/memview.h"

/* Who is told; all may be NULL. In no order: accounts that exist, their non-zero slots of the present generation, and all code that is stored, which may be more
   than any account has. What is handed over is borrowed for the call. */
typedef struct {
    void (*account)(void *arg, coh_addr_t const *addr, coh_value_t const *value);
    void (*slot)(void *arg,
                 coh_addr_t const *addr,
                 coh_u256_t const *slot,
                 coh_u256_t const *value);
    void (*code)(void *arg, coh_hash_t const *hash, coh_bytes_t code);
    coh_memview_t *
        state; /* beside, or instead: an empty view that takes all accounts with their code and slots */
    void *arg;
} coh_store_walker_t;

/* coh_store_walk visits code first, then accounts, then slots, in the cnt stores of a chain's shards.
   Returns: COH_OK; COH_ECORRUPT an entry is damaged, or with state: the code of an account is stored nowhere, or slots have no account; COH_EIO */
coh_err_t coh_store_walk(coh_kv_t *const *kvs, uint32_t cnt, coh_store_walker_t const *walker);

#endif
