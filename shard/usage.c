#include "shard/usage.h"

#include <stdlib.h>

#include "common/base/alloc.h"

/* Places that a newcomer competes for. */
#define WAYS 8u

/* A transfer that calls nothing: it costs little, and little more if it goes across. One in PLAIN_STEP is looked at. */
#define PLAIN_GAS  21000u
#define PLAIN_STEP 4u

typedef struct {
    coh_addr_t addr;
    uint64_t gas;       /* 0: an empty place */
    uint64_t inherited; /* of it */
    bool is_in_pair;    /* while reporting */
} load_t;

typedef struct {
    coh_addr_t a, b;    /* ascending */
    uint32_t cnt;       /* 0: an empty place */
    uint32_t inherited; /* of it */
} pair_t;

struct coh_usage {
    load_t loads[COH_USAGE_LOADS];
    pair_t pairs[COH_USAGE_PAIRS];
    /* A bit for each WAYS places of which one is not empty: most windows fill a small part. */
    uint64_t load_sets[COH_USAGE_LOADS / WAYS / 64];
    uint64_t pair_sets[COH_USAGE_PAIRS / WAYS / 64];
    uint64_t seed; /* so that nobody can aim at one place */
    uint64_t turn; /* counts what may be looked at */
    uint64_t tx_cnt;
    uint64_t across_cnt;
    uint64_t gas;
};

coh_usage_t *coh_usage_new(uint64_t seed)
{
    coh_usage_t *u = coh_calloc(1, sizeof(*u));
    u->seed        = seed;
    return u;
}

void coh_usage_free(coh_usage_t *u) { free(u); }

static uint64_t hash_addr(coh_usage_t const *u, coh_addr_t const *addr)
{
    uint64_t h = coh_mix64(u->seed ^ coh_load_u64_le(addr->b));
    h          = coh_mix64(h ^ coh_load_u64_le(addr->b + 8));
    return coh_mix64(h ^ coh_load_u32_le(addr->b + 16));
}

/* Places of an account or a pair: a set of WAYS. */
static uint32_t load_set(uint64_t hash) { return hash % (COH_USAGE_LOADS / WAYS); }
static uint32_t pair_set(uint64_t hash) { return hash % (COH_USAGE_PAIRS / WAYS); }

/* The first set from `set` on that is not empty; cnt if there is none. */
static uint32_t next_set(uint64_t const *bits, uint32_t set, uint32_t cnt)
{
    while (set < cnt) {
        uint64_t word = bits[set / 64] >> set % 64;
        if (word != 0) {
            return set + (uint32_t)__builtin_ctzll(word);
        }
        set = (set / 64 + 1) * 64;
    }
    return cnt;
}

static void add_load(coh_usage_t *u, coh_addr_t const *addr, uint64_t hash, uint64_t gas)
{
    uint32_t at   = load_set(hash);
    load_t *set   = &u->loads[at * WAYS];
    load_t *least = set;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].gas != 0 && coh_addr_eq(&set[i].addr, addr)) {
            set[i].gas += gas;
            return;
        }
        least = set[i].gas < least->gas ? &set[i] : least;
    }
    u->load_sets[at / 64] |= UINT64_C(1) << at % 64;
    least->addr      = *addr;
    least->inherited = least->gas;
    least->gas += gas;
}

static void add_pair(coh_usage_t *u,
                     coh_addr_t const *x,
                     uint64_t hash_x,
                     coh_addr_t const *y,
                     uint64_t hash_y)
{
    bool swap           = memcmp(x->b, y->b, sizeof(x->b)) > 0;
    coh_addr_t const *a = swap ? y : x;
    coh_addr_t const *b = swap ? x : y;
    uint32_t at         = pair_set(coh_mix64(hash_x + hash_y));
    pair_t *set         = &u->pairs[at * WAYS];
    pair_t *least       = set;
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].cnt != 0 && coh_addr_eq(&set[i].a, a) && coh_addr_eq(&set[i].b, b)) {
            set[i].cnt++;
            return;
        }
        least = set[i].cnt < least->cnt ? &set[i] : least;
    }
    u->pair_sets[at / 64] |= UINT64_C(1) << at % 64;
    least->a         = *a;
    least->b         = *b;
    least->inherited = least->cnt;
    least->cnt++;
}

void coh_usage_add(coh_usage_t *u,
                   coh_executor_t const *ex,
                   coh_rec_result_t const *results,
                   uint32_t cnt,
                   uint64_t across_cnt)
{
    coh_executor_used_t used;
    uint32_t step = cnt / COH_USAGE_TX_MAX + 1;
    u->tx_cnt += cnt;
    u->across_cnt += across_cnt;
    for (uint32_t pos = 0; pos < cnt; pos++) {
        u->gas += results[pos].gas_used;
        uint64_t weight = step * (results[pos].gas_used == PLAIN_GAS ? PLAIN_STEP : 1);
        if (coh_mix64(u->turn++) % weight != 0 || !coh_executor_used(ex, pos, &used)) {
            continue;
        }
        /* The called contract bears the gas; with it goes all that was used besides. */
        uint64_t first = hash_addr(u, &used.addrs[0]);
        add_load(u, &used.addrs[0], first, weight * (used.gas_used + 1));
        for (uint32_t i = 1; i < used.cnt; i++) {
            uint64_t hash = hash_addr(u, &used.addrs[i]);
            add_load(u, &used.addrs[i], hash, weight);
            add_pair(u, &used.addrs[0], first, &used.addrs[i], hash);
        }
    }
}

/* Accounts of reported pairs are reported too. */
static void mark_in_pair(coh_usage_t *u, coh_addr_t const *addr)
{
    load_t *set = &u->loads[load_set(hash_addr(u, addr)) * WAYS];
    for (uint32_t i = 0; i < WAYS; i++) {
        if (set[i].gas != 0 && coh_addr_eq(&set[i].addr, addr)) {
            set[i].is_in_pair = true;
        }
    }
}

/* Adds those of a set's pairs to cnt in out that are worth it; of those seen once, only up to *rare_left. Returns the new number. */
static uint32_t choose_pairs(coh_usage_t *u,
                             uint32_t set,
                             uint32_t *rare_left,
                             coh_rec_pair_t *out,
                             uint32_t cnt)
{
    for (uint32_t i = set * WAYS; i < (set + 1) * WAYS; i++) {
        pair_t const *p = &u->pairs[i];
        uint32_t seen   = p->cnt - p->inherited;
        if (seen == 0 || (seen == 1 && *rare_left == 0)) {
            continue;
        }
        *rare_left -= seen == 1;
        out[cnt++] = (coh_rec_pair_t){.a = p->a, .b = p->b, .cnt = seen};
        mark_in_pair(u, &p->a);
        mark_in_pair(u, &p->b);
    }
    return cnt;
}

/* Likewise all accounts: those of pairs, and the others from a thousandth of all load on. */
static uint32_t choose_loads(coh_usage_t const *u, coh_rec_load_t *out)
{
    uint32_t const sets = COH_USAGE_LOADS / WAYS;
    uint32_t rare_left  = COH_USAGE_RARE_MAX;
    uint32_t cnt        = 0;
    for (uint32_t s = 0; (s = next_set(u->load_sets, s, sets)) < sets; s++) {
        for (uint32_t i = s * WAYS; i < (s + 1) * WAYS; i++) {
            load_t const *l = &u->loads[i];
            uint64_t gas    = l->gas - l->inherited;
            bool is_rare    = !l->is_in_pair && gas < u->gas / 1000;
            if (gas != 0 && (!is_rare || rare_left != 0)) {
                rare_left -= is_rare;
                out[cnt++] = (coh_rec_load_t){.addr = l->addr, .gas = gas};
            }
        }
    }
    return cnt;
}

static void clear(coh_usage_t *u)
{
    uint32_t const load_sets = COH_USAGE_LOADS / WAYS;
    uint32_t const pair_sets = COH_USAGE_PAIRS / WAYS;
    for (uint32_t s = 0; (s = next_set(u->load_sets, s, load_sets)) < load_sets; s++) {
        memset(&u->loads[s * WAYS], 0, WAYS * sizeof(*u->loads));
    }
    for (uint32_t s = 0; (s = next_set(u->pair_sets, s, pair_sets)) < pair_sets; s++) {
        memset(&u->pairs[s * WAYS], 0, WAYS * sizeof(*u->pairs));
    }
    memset(u->load_sets, 0, sizeof(u->load_sets));
    memset(u->pair_sets, 0, sizeof(u->pair_sets));
    u->tx_cnt     = 0;
    u->across_cnt = 0;
    u->gas        = 0;
}

void coh_usage_report(coh_usage_t *u, coh_buf_t *out, uint64_t block)
{
    uint32_t const sets   = COH_USAGE_PAIRS / WAYS;
    coh_rec_load_t *loads = coh_realloc(NULL, COH_USAGE_LOADS * sizeof(*loads));
    coh_rec_pair_t *pairs = coh_realloc(NULL, COH_USAGE_PAIRS * sizeof(*pairs));
    coh_msg_usage_t m     = {
            .block = block, .tx_cnt = u->tx_cnt, .across_cnt = u->across_cnt, .gas = u->gas};
    uint32_t rare_left = COH_USAGE_RARE_MAX;
    /* From another place each time, so that it is not always the same rare ones. */
    uint32_t start = pair_set(coh_mix64(u->seed ^ u->turn));
    for (uint32_t s = start; (s = next_set(u->pair_sets, s, sets)) < sets; s++) {
        m.pairs.cnt = choose_pairs(u, s, &rare_left, pairs, m.pairs.cnt);
    }
    for (uint32_t s = 0; (s = next_set(u->pair_sets, s, start)) < start; s++) {
        m.pairs.cnt = choose_pairs(u, s, &rare_left, pairs, m.pairs.cnt);
    }
    m.loads.cnt = choose_loads(u, loads);
    m.loads.v   = loads;
    m.pairs.v   = pairs;
    coh_wire_put_usage(out, &m);
    free(loads);
    free(pairs);
    clear(u);
}
