#include "deploy/cohort/adversary.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"

#define POLICY_SZ 64

/* A transaction touches an account; or a caller and its callee. */
typedef struct {
    coh_addr_t addr;
    uint32_t tx;
} touch_t;

typedef struct {
    coh_addr_t from;
    coh_addr_t to;
} call_t;

/* While placing. A touch in the order of addresses; seq: its number. */
typedef struct {
    coh_addr_t addr;
    uint32_t seq;
} known_t;

typedef struct {
    coh_addr_t addr;
    uint32_t at; /* its touches begin there, one of each transaction, among the sorted */
    uint32_t cnt;
    uint32_t call_at; /* likewise its calls */
    uint32_t call_cnt;
    uint32_t shard; /* UINT32_MAX: none yet */
} account_t;

/* Of two accounts; each stands there twice, once from either side. */
typedef struct {
    uint32_t from;
    uint32_t to;
} edge_t;

struct coh_adversary {
    coh_tracer_t tracer; /* first: it is cast back */
    touch_t *touches;
    size_t touch_cnt, touch_cap;
    call_t *calls;
    size_t call_cnt, call_cap;
    uint32_t tx;
    coh_override_t *pins;
    char policy[POLICY_SZ];
    int fd; /* -1: none */
};

/* ---- What is seen ---- */

static void on_enter(coh_tracer_t *tracer, coh_trace_call_t const *call)
{
    coh_adversary_call((coh_adversary_t *)tracer, &call->from, &call->to);
}

coh_adversary_t *coh_adversary_new(void)
{
    coh_adversary_t *a = coh_calloc(1, sizeof(*a));
    a->fd              = -1;
    a->tracer          = (coh_tracer_t){.enter = on_enter};
    return a;
}

static void close_file(coh_adversary_t *a)
{
    if (a->fd >= 0) {
        (void)close(a->fd);
    }
    a->fd = -1;
}

void coh_adversary_free(coh_adversary_t *a)
{
    if (a != NULL) {
        close_file(a);
        free(a->touches);
        free(a->calls);
        free(a->pins);
        free(a);
    }
}

void coh_adversary_forget(coh_adversary_t *a)
{
    a->touch_cnt = 0;
    a->call_cnt  = 0;
    a->tx        = 0;
}

void coh_adversary_next(coh_adversary_t *a) { a->tx++; }

void coh_adversary_touch(coh_adversary_t *a, coh_addr_t const *addr)
{
    if (a->touch_cnt != 0 && a->touches[a->touch_cnt - 1].tx == a->tx &&
        coh_addr_eq(&a->touches[a->touch_cnt - 1].addr, addr)) {
        return;
    }
    COH_ASSERT(a->touch_cnt < UINT32_MAX);
    if (a->touch_cnt == a->touch_cap) {
        a->touch_cap = 2 * a->touch_cap + 64;
        a->touches   = coh_realloc(a->touches, a->touch_cap * sizeof(*a->touches));
    }
    a->touches[a->touch_cnt++] = (touch_t){.addr = *addr, .tx = a->tx};
}

void coh_adversary_call(coh_adversary_t *a, coh_addr_t const *from, coh_addr_t const *to)
{
    coh_adversary_touch(a, from);
    coh_adversary_touch(a, to);
    if (coh_addr_eq(from, to)) {
        return;
    }
    if (a->call_cnt == a->call_cap) {
        a->call_cap = 2 * a->call_cap + 64;
        a->calls    = coh_realloc(a->calls, a->call_cap * sizeof(*a->calls));
    }
    a->calls[a->call_cnt++] = (call_t){.from = *from, .to = *to};
}

coh_tracer_t *coh_adversary_tracer(coh_adversary_t *a) { return &a->tracer; }

static void on_read(void *arg, coh_key_t const *key, uint32_t fields)
{
    (void)fields;
    if (key->kind == COH_KEY_ACCOUNT || key->kind == COH_KEY_SLOT) {
        coh_adversary_touch(arg, &key->addr);
    }
}

void coh_adversary_watch(void *arg,
                         uint32_t at,
                         coh_outcome_t const *outcome,
                         coh_state_t const *state)
{
    coh_adversary_t *a = arg;
    (void)at;
    coh_state_reads(state, on_read, a);
    for (uint32_t i = 0; i < outcome->write_cnt; i++) {
        coh_adversary_touch(a, &outcome->writes[i].key.addr);
    }
    coh_adversary_next(a);
}

/* ---- Executing ---- */

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    coh_genesis_t const *genesis = arg;
    uint64_t back                = genesis->number - number; /* 0: the genesis itself */
    *out                         = COH_U256_ZERO;
    if (number <= genesis->number && back < genesis->ancestor_cnt) {
        coh_hash_t const *hash = &genesis->ancestors[genesis->ancestor_cnt - 1 - back];
        *out                   = coh_u256_from_be(hash->b, sizeof(hash->b));
    }
}

/* Runs what was begun; its effects become part of the state. */
static void finish(coh_adversary_t *a, coh_transition_t *t, coh_memview_t *state)
{
    coh_transition_status_t status = coh_transition_run(t);
    COH_ASSERT(status == COH_TRANSITION_DONE); /* all is at hand */
    coh_outcome_t const *outcome = coh_transition_outcome(t);
    if (outcome->verdict == COH_TX_OK) {
        coh_adversary_watch(a, 0, outcome, coh_transition_state(t));
        coh_memview_apply(state, outcome);
    }
}

static void learn_block(coh_adversary_t *a,
                        coh_transition_t *t,
                        coh_memview_t *state,
                        coh_block_env_t const *env,
                        coh_import_block_t const *block)
{
    for (uint32_t s = 0; s < block->step_cnt + block->tx_cnt; s++) {
        bool is_tx = s >= block->before_cnt && s < block->before_cnt + block->tx_cnt;
        coh_memview_begin_tx(state);
        if (is_tx) {
            uint32_t idx = s - block->before_cnt;
            coh_tx_t tx;
            if (coh_tx_decode(&tx, block->raws[idx]) == COH_TX_OK) {
                coh_transition_begin(t, env, &tx, &block->senders[idx], coh_memview_view(state));
                finish(a, t, state);
            }
        } else {
            coh_step_t step;
            uint32_t idx = s < block->before_cnt ? s : s - block->tx_cnt;
            if (coh_step_decode(&step, block->steps[idx]) == COH_OK) {
                coh_transition_begin_step(t, env, &step, coh_memview_view(state));
                finish(a, t, state);
            }
        }
    }
}

void coh_adversary_learn(coh_adversary_t *a,
                         coh_genesis_t const *genesis,
                         coh_import_block_t const *blocks,
                         size_t block_cnt)
{
    coh_fork_t fork      = block_cnt != 0 ? blocks[0].fork : COH_FORK_FRONTIER;
    coh_memview_t *state = coh_memview_new(&coh_code_coder, fork);
    coh_transition_t *t  = coh_transition_new();
    coh_transition_set_tracer(t, &a->tracer);
    coh_memview_set_block_hash(state, block_hash, (void *)genesis);
    coh_memview_put_alloc(state, genesis->alloc, genesis->alloc_cnt);
    for (size_t i = 0; i < block_cnt; i++) {
        coh_block_env_t env = coh_import_env(&blocks[i], genesis->chain_id);
        env.fees_exact      = true;
        coh_memview_set_fork(state, env.fork);
        learn_block(a, t, state, &env, &blocks[i]);
    }
    coh_transition_free(t);
    coh_memview_free(state);
}

/* ---- Placing ---- */

typedef struct {
    known_t *known;
    account_t *accounts; /* by address */
    size_t account_cnt;
    edge_t *edges;
    size_t edge_cnt;
    uint32_t *order; /* of accounts, by their first touch */
    uint32_t *on;    /* by transaction and shard: its accounts there */
    uint64_t *load;  /* by shard: accounts */
    uint64_t *calls; /* by shard, of the account in hand: callers and callees there */
    uint64_t *together;
} placing_t;

static int by_addr(void const *x, void const *y)
{
    known_t const *a = x;
    known_t const *b = y;
    int order        = memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
    return order != 0 ? order : (a->seq > b->seq) - (a->seq < b->seq);
}

static int by_from(void const *x, void const *y)
{
    edge_t const *a = x;
    edge_t const *b = y;
    return (a->from > b->from) - (a->from < b->from);
}

static int addr_against_account(void const *addr, void const *account)
{
    return memcmp(addr, ((account_t const *)account)->addr.b, sizeof(coh_addr_t));
}

static uint32_t find(placing_t const *p, coh_addr_t const *addr)
{
    account_t const *found =
        bsearch(addr, p->accounts, p->account_cnt, sizeof(*p->accounts), addr_against_account);
    COH_ASSERT(found != NULL);
    return (uint32_t)(found - p->accounts);
}

static void list_accounts(coh_adversary_t const *a, placing_t *p)
{
    uint32_t *first = coh_calloc(a->touch_cnt, sizeof(*first)); /* by seq: 1 + account */
    p->known        = coh_calloc(a->touch_cnt, sizeof(*p->known));
    p->accounts     = coh_calloc(a->touch_cnt, sizeof(*p->accounts));
    p->order        = coh_calloc(a->touch_cnt, sizeof(*p->order));
    for (uint32_t i = 0; i < a->touch_cnt; i++) {
        p->known[i] = (known_t){.addr = a->touches[i].addr, .seq = i};
    }
    qsort(p->known, a->touch_cnt, sizeof(*p->known), by_addr);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->touch_cnt; i++) {
        known_t now = p->known[i];
        if (kept == 0 || !coh_addr_eq(&now.addr, &p->known[kept - 1].addr)) {
            p->accounts[p->account_cnt++] =
                (account_t){.addr = now.addr, .at = kept, .shard = UINT32_MAX};
            first[now.seq] = (uint32_t)p->account_cnt;
        } else if (a->touches[now.seq].tx == a->touches[p->known[kept - 1].seq].tx) {
            continue;
        }
        p->known[kept++] = now;
        p->accounts[p->account_cnt - 1].cnt++;
    }
    size_t cnt = 0;
    for (uint32_t i = 0; i < a->touch_cnt; i++) {
        if (first[i] != 0) {
            p->order[cnt++] = first[i] - 1;
        }
    }
    free(first);
}

static void list_edges(coh_adversary_t const *a, placing_t *p)
{
    p->edges = coh_calloc(2 * a->call_cnt, sizeof(*p->edges));
    for (size_t i = 0; i < a->call_cnt; i++) {
        uint32_t from           = find(p, &a->calls[i].from);
        uint32_t to             = find(p, &a->calls[i].to);
        p->edges[p->edge_cnt++] = (edge_t){.from = from, .to = to};
        p->edges[p->edge_cnt++] = (edge_t){.from = to, .to = from};
    }
    qsort(p->edges, p->edge_cnt, sizeof(*p->edges), by_from);
    for (uint32_t i = 0; i < p->edge_cnt; i++) {
        account_t *account = &p->accounts[p->edges[i].from];
        account->call_at   = account->call_cnt++ == 0 ? i : account->call_at;
    }
}

static void place(coh_adversary_t const *a, placing_t *p, account_t *account, uint32_t shard_cnt)
{
    memset(p->calls, 0, shard_cnt * sizeof(*p->calls));
    memset(p->together, 0, shard_cnt * sizeof(*p->together));
    for (uint32_t i = 0; i < account->call_cnt; i++) {
        uint32_t shard = p->accounts[p->edges[account->call_at + i].to].shard;
        if (shard != UINT32_MAX) {
            p->calls[shard]++;
        }
    }
    for (uint32_t i = 0; i < account->cnt; i++) {
        size_t tx = a->touches[p->known[account->at + i].seq].tx;
        for (uint32_t s = 0; s < shard_cnt; s++) {
            p->together[s] += p->on[tx * shard_cnt + s];
        }
    }
    uint32_t best = 0;
    for (uint32_t s = 1; s < shard_cnt; s++) {
        bool is_better = p->calls[s] != p->calls[best]         ? p->calls[s] < p->calls[best]
                         : p->together[s] != p->together[best] ? p->together[s] < p->together[best]
                                                               : p->load[s] < p->load[best];
        best           = is_better ? s : best;
    }
    account->shard = best;
    p->load[best]++;
    for (uint32_t i = 0; i < account->cnt; i++) {
        size_t tx = a->touches[p->known[account->at + i].seq].tx;
        p->on[tx * shard_cnt + best]++;
    }
}

size_t coh_adversary_place(coh_adversary_t *a, coh_override_t const **pins, uint32_t shard_cnt)
{
    COH_ASSERT(shard_cnt > 0 && shard_cnt <= (uint32_t)UINT16_MAX + 1);
    placing_t p = {.on       = coh_calloc(((size_t)a->tx + 1) * shard_cnt, sizeof(*p.on)),
                   .load     = coh_calloc(shard_cnt, sizeof(*p.load)),
                   .calls    = coh_calloc(shard_cnt, sizeof(*p.calls)),
                   .together = coh_calloc(shard_cnt, sizeof(*p.together))};
    list_accounts(a, &p);
    list_edges(a, &p);
    free(a->pins);
    a->pins = coh_calloc(p.account_cnt, sizeof(*a->pins));
    for (size_t i = 0; i < p.account_cnt; i++) {
        account_t *account = &p.accounts[p.order[i]];
        place(a, &p, account, shard_cnt);
        a->pins[i] = (coh_override_t){.addr = account->addr, .shard = (uint16_t)account->shard};
    }
    free(p.known);
    free(p.accounts);
    free(p.edges);
    free(p.order);
    free(p.on);
    free(p.load);
    free(p.calls);
    free(p.together);
    *pins = a->pins;
    return p.account_cnt;
}

char const *coh_adversary_policy(coh_adversary_t *a, uint32_t shard_cnt)
{
    coh_override_t const *pins;
    size_t cnt     = coh_adversary_place(a, &pins, shard_cnt);
    coh_buf_t text = COH_BUF_INIT;
    for (size_t i = 0; i < cnt; i++) {
        char hex[2 * sizeof(coh_addr_t) + 1];
        coh_hex_encode(hex, pins[i].addr.b, sizeof(pins[i].addr.b));
        coh_buf_printf(&text, "0x%s %u\n", hex, (unsigned)pins[i].shard);
    }
    close_file(a);
    a->fd   = memfd_create("cohort-pins", MFD_CLOEXEC);
    bool ok = a->fd >= 0;
    for (size_t at = 0; ok && at < text.n;) {
        ssize_t n = write(a->fd, text.p + at, text.n - at);
        ok        = n > 0;
        at += ok ? (size_t)n : 0;
    }
    coh_buf_free(&text);
    (void)snprintf(a->policy, sizeof(a->policy), "pinned:/proc/self/fd/%d", a->fd);
    return ok ? a->policy : NULL;
}
