#include "shard/usage.h"

#include <stdlib.h>

#include "common/base/alloc.h"

/* Places that a newcomer competes for. */
#define WAYS 8u

typedef struct {
    coh_addr_t addr;
    uint64_t gas; /* 0: an empty place */
} load_t;

typedef struct {
    coh_addr_t a, b; /* ascending */
    uint64_t cnt;    /* 0: an empty place */
} pair_t;

struct coh_usage {
    load_t loads[COH_USAGE_LOADS];
    pair_t pairs[COH_USAGE_PAIRS];
    uint64_t seed; /* so that nobody can aim at one place */
    uint64_t tx_cnt;
    uint64_t across_cnt;
};

coh_usage_t *coh_usage_new(uint64_t seed)
{
    coh_usage_t *u = coh_calloc(1, sizeof(*u));
    u->seed        = seed;
    return u;
}

void coh_usage_free(coh_usage_t *u) { free(u); }

static uint64_t hash_addr(uint64_t h, coh_addr_t const *addr)
{
    h = coh_mix64(h ^ coh_load_u64_le(addr->b));
    h = coh_mix64(h ^ coh_load_u64_le(addr->b + 8));
    return coh_mix64(h ^ coh_load_u32_le(addr->b + 16));
}

static void add_load(coh_usage_t *u, coh_addr_t const *addr, uint64_t gas)
{
    load_t *set   = &u->loads[hash_addr(u->seed, addr) % (COH_USAGE_LOADS / WAYS) * WAYS];
    load_t *least = set;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].gas != 0 && coh_addr_eq(&set[i].addr, addr)) {
            set[i].gas += gas;
            return;
        }
        least = set[i].gas < least->gas ? &set[i] : least;
    }
    least->addr = *addr;
    least->gas += gas;
}

static void add_pair(coh_usage_t *u, coh_addr_t const *x, coh_addr_t const *y)
{
    bool swap           = memcmp(x->b, y->b, sizeof(x->b)) > 0;
    coh_addr_t const *a = swap ? y : x;
    coh_addr_t const *b = swap ? x : y;
    uint64_t h          = hash_addr(hash_addr(u->seed, a), b);
    pair_t *set         = &u->pairs[h % (COH_USAGE_PAIRS / WAYS) * WAYS];
    pair_t *least       = set;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].cnt != 0 && coh_addr_eq(&set[i].a, a) && coh_addr_eq(&set[i].b, b)) {
            set[i].cnt++;
            return;
        }
        least = set[i].cnt < least->cnt ? &set[i] : least;
    }
    least->a = *a;
    least->b = *b;
    least->cnt++;
}

void coh_usage_add(coh_usage_t *u, coh_executor_t *ex)
{
    coh_executor_used_t used;
    uint32_t cnt  = coh_executor_tx_cnt(ex);
    uint32_t step = cnt / COH_USAGE_TX_MAX + 1;
    for (uint32_t pos = 0; pos < cnt; pos++) {
        u->tx_cnt++;
        u->across_cnt += coh_executor_is_across(ex, pos);
        if (pos % step != 0 || !coh_executor_used(ex, pos, &used)) {
            continue;
        }
        /* The called contract bears the gas; with it goes all that was used besides. */
        add_load(u, &used.addrs[0], used.gas_used + 1);
        for (uint32_t i = 1; i < used.cnt; i++) {
            add_load(u, &used.addrs[i], 1);
            add_pair(u, &used.addrs[0], &used.addrs[i]);
        }
    }
}

void coh_usage_report(coh_usage_t *u, coh_buf_t *out, uint64_t block)
{
    coh_rec_load_t *loads = coh_calloc(COH_USAGE_LOADS, sizeof(*loads));
    coh_rec_pair_t *pairs = coh_calloc(COH_USAGE_PAIRS, sizeof(*pairs));
    coh_msg_usage_t m     = {.block = block, .tx_cnt = u->tx_cnt, .across_cnt = u->across_cnt};
    for (uint32_t i = 0; i < COH_USAGE_LOADS; i++) {
        if (u->loads[i].gas != 0) {
            loads[m.loads.cnt++] =
                (coh_rec_load_t){.addr = u->loads[i].addr, .gas = u->loads[i].gas};
        }
    }
    for (uint32_t i = 0; i < COH_USAGE_PAIRS; i++) {
        pair_t const *p = &u->pairs[i];
        if (p->cnt != 0) {
            pairs[m.pairs.cnt++] = (coh_rec_pair_t){.a = p->a, .b = p->b, .cnt = p->cnt};
        }
    }
    m.loads.v = loads;
    m.pairs.v = pairs;
    coh_wire_put_usage(out, &m);
    free(loads);
    free(pairs);
    *u = (coh_usage_t){.seed = u->seed};
}
