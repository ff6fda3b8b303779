#include "coordinator/auth_counts.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

#define CAP_MIN 16u

void coh_auth_counts_fini(coh_auth_counts_t *c)
{
    free(c->slots);
    c->slots = NULL;
    c->cap   = 0;
    c->cnt   = 0;
}

static size_t home_of(coh_auth_counts_t const *c, coh_addr_t const *addr)
{
    uint64_t h = coh_mix64(coh_load_u64_le(addr->b) ^ c->key[0]);
    h          = coh_mix64(h ^ coh_load_u64_le(addr->b + 8) ^ c->key[1]);
    return (size_t)coh_mix64(h ^ coh_load_u32_le(addr->b + 16)) & (c->cap - 1);
}

/* The place of addr, or where it would be. At least one is free. */
static size_t place_of(coh_auth_counts_t const *c, coh_addr_t const *addr)
{
    size_t i = home_of(c, addr);
    while (c->slots[i].cnt != 0 && !coh_addr_eq(&c->slots[i].addr, addr)) {
        i = (i + 1) & (c->cap - 1);
    }
    return i;
}

static void resize(coh_auth_counts_t *c, size_t cap)
{
    coh_auth_count_t *old = c->slots;
    size_t old_cap        = c->cap;
    c->slots              = coh_calloc(cap, sizeof(*c->slots));
    c->cap                = cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].cnt != 0) {
            c->slots[place_of(c, &old[i].addr)] = old[i];
        }
    }
    free(old);
}

void coh_auth_counts_add(coh_auth_counts_t *c, coh_addr_t const *addr, uint64_t nonce)
{
    if (2 * (c->cnt + 1) > c->cap) {
        resize(c, COH_MAX(2 * c->cap, (size_t)CAP_MIN));
    }
    coh_auth_count_t *slot = &c->slots[place_of(c, addr)];
    if (slot->cnt++ == 0) {
        slot->addr      = *addr;
        slot->nonce_max = nonce;
        c->cnt++;
    }
    slot->nonce_max = COH_MAX(slot->nonce_max, nonce);
}

void coh_auth_counts_remove(coh_auth_counts_t *c, coh_addr_t const *addr)
{
    COH_ASSERT(c->cap != 0);
    size_t mask = c->cap - 1;
    size_t hole = place_of(c, addr);
    COH_ASSERT(c->slots[hole].cnt > 0);
    if (--c->slots[hole].cnt > 0) {
        return;
    }
    c->cnt--;
    for (size_t i = (hole + 1) & mask; c->slots[i].cnt != 0; i = (i + 1) & mask) {
        size_t home = home_of(c, &c->slots[i].addr);
        if (((i - home) & mask) >= ((i - hole) & mask)) { /* it may stand at the hole */
            c->slots[hole]  = c->slots[i];
            c->slots[i].cnt = 0;
            hole            = i;
        }
    }
    if (c->cap > CAP_MIN && 8 * c->cnt < c->cap) {
        resize(c, c->cap / 2);
    }
}

bool coh_auth_counts_any(coh_auth_counts_t const *c, coh_addr_t const *addr, uint64_t from_nonce)
{
    if (c->cnt == 0) {
        return false;
    }
    coh_auth_count_t const *slot = &c->slots[place_of(c, addr)];
    return slot->cnt != 0 && slot->nonce_max >= from_nonce;
}
