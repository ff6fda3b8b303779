/* auth_counts.h: which accounts have authorizations (EIP-7702) among the transactions of a pool: how many, and the highest nonce that one was signed for. A table that grows and
   shrinks with them.

   One thread. */
#ifndef COH_AUTH_COUNTS_H
#define COH_AUTH_COUNTS_H

#include "common/base/base.h"

typedef struct {
    coh_addr_t addr;
    uint32_t cnt; /* 0: free */
    uint64_t nonce_max;
} coh_auth_count_t;

typedef struct {
    coh_auth_count_t *slots; /* owned */
    size_t cap;              /* 0, or a power of two */
    size_t cnt;
    uint64_t key[2]; /* random: nobody outside can aim at a chain of collisions */
} coh_auth_counts_t;

static inline coh_auth_counts_t coh_auth_counts(uint64_t const key[2])
{
    return (coh_auth_counts_t){.key = {key[0], key[1]}};
}
void coh_auth_counts_fini(coh_auth_counts_t *c);

/* coh_auth_counts_add counts one more authorization of addr; coh_auth_counts_remove one less: of one that was added. */
void coh_auth_counts_add(coh_auth_counts_t *c, coh_addr_t const *addr, uint64_t nonce);
void coh_auth_counts_remove(coh_auth_counts_t *c, coh_addr_t const *addr);
/* coh_auth_counts_any: there is an authorization of addr for nonce from_nonce or, since the last time that it had none, for a higher one. */
bool coh_auth_counts_any(coh_auth_counts_t const *c, coh_addr_t const *addr, uint64_t from_nonce);

#endif
