#include "shard/executor.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/spin.h"
#include "common/obs/log.h"
#include "shard/sched.h"

/* Transactions that one call of work runs before it returns; chains are not cut. */
#define WORK_TX_CNT 256u
/* Records in one PUBLISH. */
#define PUBLISH_MAX 8192u
/* A worker tells the communication thread when it has collected this many records. */
#define COLLECT_CNT 1024u

/* A key of another shard, asked for by one incarnation. */
typedef struct remote {
    struct remote *next;
    coh_key_t key;
    uint32_t fields;
    uint32_t incarnation;
    bool here;
    coh_value_t value;
} remote_t;

/* What the last published incarnation left. */
typedef struct {
    coh_write_t *writes; /* in an arena; NULL: nothing published yet */
    uint32_t cnt;
    uint32_t incarnation;
} published_t;

typedef struct {
    coh_tx_t tx;
    coh_addr_t sender;
    coh_addr_t to; /* receiver, or created account */
    uint32_t tx_idx;
    uint32_t sender_rank; /* owners */
    uint32_t to_rank;
    /* The outcome of the last published incarnation. */
    coh_tx_err_t verdict;
    uint32_t status;
    uint64_t gas_used;
    coh_u256_t tip;
    published_t published; /* under the scheduler's lock of this transaction */
    remote_t *remotes;     /* likewise */
} tx_t;

/* What one thread has for other ranks. */
typedef struct {
    coh_rec_write_t *v;
    uint32_t cnt, cap;
} writes_t;

typedef struct {
    uint32_t dst;
    coh_msg_id_t id; /* READ, RETRACT, VALUE */
    union {
        coh_msg_read_t read;
        coh_msg_retract_t retract;
        coh_msg_value_t value;
    } u;
} single_t;

typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) coh_spin_t lock;
    writes_t *writes;  /* by destination */
    uint64_t *effects; /* by destination: sum of digests; folded in at drain */
    single_t *singles;
    uint32_t single_cnt, single_cap;
    coh_waiter_t *reads_again; /* waiters of other shards that can be served now */
    uint32_t again_cnt, again_cap;
    _Atomic uint32_t pending; /* records of any kind collected */
} collected_t;

typedef struct {
    coh_mv_ctx_t mv;
    coh_write_t scratch[COH_TRANSFER_WRITES_MAX];
    collected_t out;
    uint64_t executed;
    uint64_t parked;
} COH_ALIGNED(COH_CACHE_LINE) ctx_t;

struct coh_executor {
    collected_t batch; /* the drain's own */
    coh_mvstore_t *mv;
    coh_env_t *env;
    coh_directory_t const *directory;
    coh_sched_t *sched;
    uint32_t worker_cnt;
    ctx_t *ctx; /* worker_cnt workers', then the communication thread's */

    coh_block_env_t block;
    uint64_t number;
    uint32_t attempt;
    uint32_t serial;
    uint32_t block_tx_cnt; /* all homes */
    uint32_t coinbase_rank;
    tx_t *txs;
    uint32_t tx_cnt, tx_cap;
    uint32_t *pos_of; /* tx_idx -> position here, COH_SCHED_NONE */
    uint32_t pos_cap;
    coh_buf_t raw;
    uint32_t *chain_of;
    coh_addr_t *addrs;
    uint16_t *buckets;
    uint32_t *slots; /* sender -> chain while a block is taken in */
    size_t slot_cap;

    uint64_t sent;
    uint64_t received;
    uint64_t *effects; /* by destination */
    coh_rec_result_t *results;
};

/* ---- construction ---- */

static void collected_init(collected_t *c, uint32_t rank_cnt)
{
    c->lock    = COH_SPIN_INIT;
    c->writes  = coh_calloc(rank_cnt, sizeof(*c->writes));
    c->effects = coh_calloc(rank_cnt, sizeof(*c->effects));
}

static void collected_fini(collected_t *c, uint32_t rank_cnt)
{
    for (uint32_t r = 0; r < rank_cnt; r++) {
        free(c->writes[r].v);
    }
    free(c->writes);
    free(c->effects);
    free(c->singles);
    free(c->reads_again);
}

coh_executor_t *coh_executor_new(coh_mvstore_t *mv,
                                 coh_env_t *env,
                                 coh_directory_t const *directory,
                                 uint32_t worker_cnt)
{
    coh_executor_t *ex = coh_calloc(1, sizeof(*ex));
    ex->mv             = mv;
    ex->env            = env;
    ex->directory      = directory;
    ex->sched          = coh_sched_new();
    ex->worker_cnt     = worker_cnt;
    ex->ctx            = aligned_alloc(COH_CACHE_LINE, (worker_cnt + 1) * sizeof(*ex->ctx));
    COH_ASSERT(ex->ctx != NULL);
    memset(ex->ctx, 0, (worker_cnt + 1) * sizeof(*ex->ctx));
    for (uint32_t w = 0; w <= worker_cnt; w++) {
        collected_init(&ex->ctx[w].out, env->rank_cnt);
    }
    collected_init(&ex->batch, env->rank_cnt);
    ex->effects = coh_calloc(env->rank_cnt, sizeof(*ex->effects));
    return ex;
}

void coh_executor_free(coh_executor_t *ex)
{
    if (ex == NULL) {
        return;
    }
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        coh_mv_ctx_free(&ex->ctx[w].mv);
        collected_fini(&ex->ctx[w].out, ex->env->rank_cnt);
    }
    collected_fini(&ex->batch, ex->env->rank_cnt);
    coh_sched_free(ex->sched);
    coh_buf_free(&ex->raw);
    free(ex->ctx);
    free(ex->txs);
    free(ex->pos_of);
    free(ex->chain_of);
    free(ex->addrs);
    free(ex->buckets);
    free(ex->slots);
    free(ex->effects);
    free(ex->results);
    free(ex);
}

/* ---- collecting for other ranks ---- */

static void *grow(void *p, uint32_t cnt, uint32_t *cap, size_t elem)
{
    if (cnt < *cap) {
        return p;
    }
    *cap = *cap == 0 ? 64 : *cap * 2;
    return coh_realloc(p, *cap * elem);
}

static void note_pending(coh_executor_t *ex, collected_t *c)
{
    uint32_t was = atomic_fetch_add_explicit(&c->pending, 1, memory_order_relaxed);
    if ((was + 1) % COLLECT_CNT == 0) {
        ex->env->wake_node(ex->env);
    }
}

static void collect_write(coh_executor_t *ex,
                          collected_t *c,
                          uint32_t dst,
                          coh_write_t const *w,
                          uint32_t tx_idx,
                          uint32_t incarnation,
                          uint64_t digest_change)
{
    coh_spin_lock(&c->lock);
    writes_t *out      = &c->writes[dst];
    out->v             = grow(out->v, out->cnt, &out->cap, sizeof(*out->v));
    out->v[out->cnt++] = (coh_rec_write_t){.tx_idx      = tx_idx,
                                           .incarnation = incarnation,
                                           .flags       = w->flags,
                                           .kind        = w->key.kind,
                                           .addr        = w->key.addr,
                                           .slot        = w->key.slot,
                                           .nonce       = w->nonce,
                                           .word        = w->word};
    c->effects[dst] += digest_change;
    coh_spin_unlock(&c->lock);
    note_pending(ex, c);
}

static void collect_single(coh_executor_t *ex, collected_t *c, single_t const *single)
{
    coh_spin_lock(&c->lock);
    c->singles = grow(c->singles, c->single_cnt, &c->single_cap, sizeof(*c->singles));
    c->singles[c->single_cnt++] = *single;
    coh_spin_unlock(&c->lock);
    note_pending(ex, c);
}

static void collect_read_again(coh_executor_t *ex, collected_t *c, coh_waiter_t const *waiter)
{
    coh_spin_lock(&c->lock);
    c->reads_again = grow(c->reads_again, c->again_cnt, &c->again_cap, sizeof(*c->reads_again));
    c->reads_again[c->again_cnt++] = *waiter;
    coh_spin_unlock(&c->lock);
    note_pending(ex, c);
    ex->env->wake_node(ex->env);
}

/* ---- views and publishing ---- */

static uint32_t owner_of(coh_executor_t const *ex, tx_t const *tx, coh_addr_t const *addr)
{
    if (coh_addr_eq(addr, &tx->sender)) {
        return tx->sender_rank;
    }
    if (coh_addr_eq(addr, &tx->to)) {
        return tx->to_rank;
    }
    if (coh_addr_eq(addr, &ex->block.coinbase)) {
        return ex->coinbase_rank;
    }
    return 1 + coh_directory_owner(ex->directory, addr, coh_directory_bucket(addr));
}

/* Turns what an incarnation published here into estimates, if it is still what stands. */
static void make_estimates(coh_executor_t *ex, uint32_t pos, uint32_t incarnation)
{
    tx_t *tx = &ex->txs[pos];
    (void)coh_sched_lock_tx(ex->sched, pos);
    published_t p = tx->published;
    coh_sched_unlock_tx(ex->sched, pos);
    if (p.writes == NULL || p.incarnation != incarnation) {
        return;
    }
    coh_mv_tx_t writer = {.tx_idx = tx->tx_idx, .incarnation = incarnation, .home = ex->env->rank};
    for (uint32_t i = 0; i < p.cnt; i++) {
        if (owner_of(ex, tx, &p.writes[i].key.addr) == ex->env->rank) {
            coh_mv_estimate(ex->mv, &p.writes[i].key, writer);
        }
    }
}

/* Acts on what a call of the store retracted and woke. */
static void act(coh_executor_t *ex, ctx_t *ctx, coh_executor_query_fn *fn, void *arg)
{
    coh_mv_ctx_t *mv = &ctx->mv;
    if (mv->retracted_cnt == 0 && mv->woken_cnt == 0) {
        return;
    }
    for (uint32_t i = 0; i < mv->retracted_cnt; i++) {
        coh_mv_tx_t tx = mv->retracted[i];
        coh_metric_add(ex->env->metrics, COH_M_mvstore_retraction, 1);
        if (tx.home != ex->env->rank) {
            single_t s = {.dst       = tx.home,
                          .id        = COH_MSG_RETRACT,
                          .u.retract = {.block       = ex->number,
                                        .attempt     = ex->attempt,
                                        .tx_idx      = tx.tx_idx,
                                        .incarnation = tx.incarnation}};
            collect_single(ex, &ctx->out, &s);
        } else if (coh_sched_retract(ex->sched, ex->pos_of[tx.tx_idx], tx.incarnation)) {
            make_estimates(ex, ex->pos_of[tx.tx_idx], tx.incarnation);
        }
    }
    mv->retracted_cnt = 0;
    for (uint32_t i = 0; i < mv->woken_cnt; i++) {
        coh_waiter_t const *w = &mv->woken[i];
        if (w->kind == COH_WAIT_QUERY) {
            COH_ASSERT(fn != NULL); /* queries wait for loads only */
            fn(arg, w);
        } else if (w->serial != ex->serial) {
            continue;
        } else if (w->kind == COH_WAIT_CHAIN) {
            coh_sched_wake(ex->sched, w->chain);
        } else {
            collect_read_again(ex, &ctx->out, w);
        }
    }
    mv->woken_cnt = 0;
    ex->env->wake_workers(ex->env);
}

typedef struct {
    coh_view_t view;
    coh_executor_t *ex;
    ctx_t *ctx;
    tx_t *tx;
    uint32_t pos;
    uint32_t incarnation;
    uint32_t chain;
} exec_view_t;

static coh_view_status_t read_remote(exec_view_t *v,
                                     coh_value_t *out,
                                     coh_key_t const *key,
                                     uint32_t fields,
                                     coh_u256_t const *bound,
                                     uint32_t owner)
{
    coh_executor_t *ex       = v->ex;
    coh_view_status_t status = COH_VIEW_NEED;
    (void)coh_sched_lock_tx(ex->sched, v->pos);
    remote_t *r = v->tx->remotes;
    while (r != NULL &&
           (r->incarnation != v->incarnation || r->fields != fields || !coh_key_eq(&r->key, key))) {
        r = r->next;
    }
    bool ask = r == NULL;
    if (ask) {
        r  = coh_arena_alloc(&v->ctx->mv.arena, sizeof(*r));
        *r = (remote_t){
            .next = v->tx->remotes, .key = *key, .fields = fields, .incarnation = v->incarnation};
        v->tx->remotes = r;
    } else if (r->here) {
        *out   = r->value;
        status = COH_VIEW_OK;
    }
    coh_sched_unlock_tx(ex->sched, v->pos);
    if (ask) {
        single_t s = {.dst    = owner,
                      .id     = COH_MSG_READ,
                      .u.read = {.block       = ex->number,
                                 .attempt     = ex->attempt,
                                 .tx_idx      = v->tx->tx_idx,
                                 .incarnation = v->incarnation,
                                 .kind        = key->kind,
                                 .addr        = key->addr,
                                 .slot        = key->slot,
                                 .fields      = fields,
                                 .need = (fields & COH_READ_AT_LEAST) ? *bound : COH_U256_ZERO}};
        collect_single(ex, &v->ctx->out, &s);
    }
    return status;
}

static coh_view_status_t view_read(coh_view_t *view,
                                   coh_value_t *out,
                                   coh_key_t const *key,
                                   uint32_t fields,
                                   coh_u256_t const *bound)
{
    exec_view_t *v     = (exec_view_t *)view;
    coh_executor_t *ex = v->ex;
    uint32_t owner     = owner_of(ex, v->tx, &key->addr);
    if (owner != ex->env->rank) {
        return read_remote(v, out, key, fields, bound, owner);
    }
    coh_mv_tx_t reader = {
        .tx_idx = v->tx->tx_idx, .incarnation = v->incarnation, .home = ex->env->rank};
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .serial = ex->serial, .chain = v->chain};
    return coh_mv_read(ex->mv, &v->ctx->mv, out, key, reader, fields, bound, &waiter) == COH_MV_OK
               ? COH_VIEW_OK
               : COH_VIEW_NEED;
}

static coh_write_t const *find_write(coh_write_t const *writes, uint32_t cnt, coh_key_t const *key)
{
    for (uint32_t i = 0; i < cnt; i++) {
        if (coh_key_eq(&writes[i].key, key)) {
            return &writes[i];
        }
    }
    return NULL;
}

static bool write_eq(coh_write_t const *a, coh_write_t const *b)
{
    return a->flags == b->flags && a->nonce == b->nonce && coh_u256_eq(&a->word, &b->word);
}

static void publish_write(coh_executor_t *ex,
                          ctx_t *ctx,
                          tx_t const *tx,
                          coh_write_t const *now,
                          coh_write_t const *before,
                          uint32_t incarnation)
{
    uint32_t owner = owner_of(ex, tx, &now->key.addr);
    if (owner == ex->env->rank) {
        coh_mv_publish(
            ex->mv,
            &ctx->mv,
            now,
            (coh_mv_tx_t){.tx_idx = tx->tx_idx, .incarnation = incarnation, .home = owner});
    } else if (before == NULL || !write_eq(now, before)) {
        uint64_t change = coh_mv_effect_digest(now, tx->tx_idx) -
                          (before != NULL ? coh_mv_effect_digest(before, tx->tx_idx) : 0);
        collect_write(ex, &ctx->out, owner, now, tx->tx_idx, incarnation, change);
    }
}

static void publish(coh_executor_t *ex,
                    ctx_t *ctx,
                    uint32_t pos,
                    uint32_t incarnation,
                    coh_outcome_t const *o)
{
    tx_t *tx        = &ex->txs[pos];
    published_t old = tx->published; /* written by this chain's runs only */
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        publish_write(ex,
                      ctx,
                      tx,
                      &o->writes[i],
                      find_write(old.writes, old.cnt, &o->writes[i].key),
                      incarnation);
    }
    for (uint32_t i = 0; i < old.cnt; i++) {
        if (find_write(o->writes, o->write_cnt, &old.writes[i].key) == NULL) {
            coh_write_t gone = {.key = old.writes[i].key, .flags = COH_WRITE_REMOVED};
            publish_write(ex, ctx, tx, &gone, &old.writes[i], incarnation);
        }
    }
    tx->verdict     = o->verdict;
    tx->status      = o->status;
    tx->gas_used    = o->gas_used;
    tx->tip         = o->tip;
    published_t now = {.incarnation = incarnation, .cnt = o->write_cnt};
    now.writes = coh_arena_alloc(&ctx->mv.arena, COH_MAX(1, o->write_cnt) * sizeof(*now.writes));
    memcpy(now.writes, o->writes, o->write_cnt * sizeof(*now.writes));
    (void)coh_sched_lock_tx(ex->sched, pos);
    tx->published = now;
    coh_sched_unlock_tx(ex->sched, pos);
}

/* Runs the chain until nothing of it is READY or it parks; returns how many incarnations it ran. */
static uint32_t run_chain(coh_executor_t *ex, ctx_t *ctx, uint32_t chain)
{
    uint32_t ran = 0;
    for (;;) {
        uint32_t incarnation = 0;
        uint32_t pos         = coh_sched_start(ex->sched, chain, &incarnation);
        if (pos == COH_SCHED_NONE) {
            return ran;
        }
        tx_t *tx              = &ex->txs[pos];
        exec_view_t view      = {.view        = {.read = view_read},
                                 .ex          = ex,
                                 .ctx         = ctx,
                                 .tx          = tx,
                                 .pos         = pos,
                                 .incarnation = incarnation,
                                 .chain       = chain};
        coh_outcome_t outcome = {.writes = ctx->scratch, .write_max = COH_TRANSFER_WRITES_MAX};
        ran++;
        if (coh_transition_run(&outcome, &ex->block, &tx->tx, &tx->sender, &view.view) ==
            COH_TRANSITION_NEED) {
            ctx->parked++;
            if (coh_sched_park(ex->sched, chain, pos)) {
                return ran;
            }
            continue;
        }
        ctx->executed++;
        publish(ex, ctx, pos, incarnation, &outcome);
        act(ex, ctx, NULL, NULL);
        if (!coh_sched_finish(ex->sched, chain, pos)) {
            make_estimates(ex, pos, incarnation);
        }
    }
}

bool coh_executor_work(coh_executor_t *ex, uint32_t worker)
{
    COH_ASSERT(worker < ex->worker_cnt);
    if (!coh_sched_enter(ex->sched)) {
        return false;
    }
    uint32_t chain = coh_sched_pop(ex->sched);
    if (chain == COH_SCHED_NONE) {
        coh_sched_leave(ex->sched);
        return false;
    }
    ctx_t *ctx        = &ex->ctx[worker];
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    uint32_t ran      = 0;
    for (; chain != COH_SCHED_NONE;
         chain = ran < WORK_TX_CNT ? coh_sched_pop(ex->sched) : COH_SCHED_NONE) {
        ran += run_chain(ex, ctx, chain);
    }
    bool tell = atomic_load_explicit(&ctx->out.pending, memory_order_relaxed) != 0 ||
                coh_sched_all_done(ex->sched) || coh_mv_loads_outstanding(ex->mv) != 0;
    coh_metric_add(ex->env->metrics, COH_M_executor_incarnation, ctx->executed);
    coh_metric_add(ex->env->metrics, COH_M_executor_parked, ctx->parked);
    ctx->executed = 0;
    ctx->parked   = 0;
    coh_sched_leave(ex->sched);
    coh_metric_add(ex->env->metrics, COH_M_executor_cpu, coh_clock_thread_cpu_ns() - start_ns);
    if (tell) {
        ex->env->wake_node(ex->env);
    }
    return true;
}

/* ---- a block ---- */

static void reserve(coh_executor_t *ex, uint32_t tx_cnt, uint32_t block_tx_cnt)
{
    if (tx_cnt > ex->tx_cap) {
        ex->tx_cap   = tx_cnt;
        ex->txs      = coh_realloc(ex->txs, tx_cnt * sizeof(*ex->txs));
        ex->chain_of = coh_realloc(ex->chain_of, tx_cnt * sizeof(*ex->chain_of));
        ex->addrs    = coh_realloc(ex->addrs, (2 * (size_t)tx_cnt + 1) * sizeof(*ex->addrs));
        ex->buckets  = coh_realloc(ex->buckets, (2 * (size_t)tx_cnt + 1) * sizeof(*ex->buckets));
        ex->results  = coh_realloc(ex->results, tx_cnt * sizeof(*ex->results));
        ex->slot_cap = 64;
        while (ex->slot_cap < 2 * (size_t)tx_cnt) {
            ex->slot_cap *= 2;
        }
        ex->slots = coh_realloc(ex->slots, ex->slot_cap * sizeof(*ex->slots));
    }
    if (block_tx_cnt > ex->pos_cap) {
        ex->pos_cap = block_tx_cnt;
        ex->pos_of  = coh_realloc(ex->pos_of, block_tx_cnt * sizeof(*ex->pos_of));
    }
}

static coh_err_t take_in(coh_executor_t *ex, coh_msg_block_t const *m)
{
    size_t raw_bytes = 0;
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        raw_bytes += m->txs.v[i].raw.n;
    }
    coh_buf_clear(&ex->raw);
    coh_buf_grow(&ex->raw, raw_bytes); /* once: transactions borrow from it */
    if (m->tx_cnt != 0) {
        memset(ex->pos_of, 0xff, m->tx_cnt * sizeof(*ex->pos_of));
    }
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        coh_rec_block_tx_t const *in = &m->txs.v[i];
        if (in->tx_idx >= m->tx_cnt || (i != 0 && in->tx_idx <= m->txs.v[i - 1].tx_idx)) {
            return COH_EMALFORMED;
        }
        tx_t *tx = &ex->txs[i];
        memset(tx, 0, sizeof(*tx));
        uint8_t *raw = coh_buf_extend(&ex->raw, in->raw.n);
        if (in->raw.n != 0) {
            memcpy(raw, in->raw.p, in->raw.n);
        }
        if (coh_tx_decode(&tx->tx, coh_bytes(raw, in->raw.n)) != COH_TX_OK) {
            return COH_EMALFORMED;
        }
        tx->tx_idx             = in->tx_idx;
        tx->sender             = in->sender;
        tx->to                 = coh_tx_receiver(&tx->tx, &tx->sender);
        ex->pos_of[in->tx_idx] = i;
    }
    ex->tx_cnt = m->txs.cnt;
    return COH_OK;
}

static void find_owners(coh_executor_t *ex)
{
    size_t cnt = 0;
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        ex->addrs[cnt++] = ex->txs[i].sender;
        ex->addrs[cnt++] = ex->txs[i].to;
    }
    coh_directory_buckets(ex->buckets, ex->addrs, cnt);
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        tx_t *tx = &ex->txs[i];
        tx->sender_rank =
            1 + coh_directory_owner(ex->directory, &tx->sender, ex->buckets[2 * (size_t)i]);
        tx->to_rank =
            1 + coh_directory_owner(ex->directory, &tx->to, ex->buckets[2 * (size_t)i + 1]);
    }
    ex->coinbase_rank = 1 + coh_directory_owner(ex->directory,
                                                &ex->block.coinbase,
                                                coh_directory_bucket(&ex->block.coinbase));
}

/* Numbers the chains: transactions with the same sender. The table's hash needs no secret: a block is as large as the pool lets it be,
   and senders are key hashes that cost their finder a signature each. */
static uint32_t find_chains(coh_executor_t *ex)
{
    if (ex->tx_cnt == 0) {
        return 0;
    }
    memset(ex->slots, 0xff, ex->slot_cap * sizeof(*ex->slots));
    uint32_t chain_cnt = 0;
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        coh_addr_t const *sender = &ex->txs[i].sender;
        size_t at = coh_mix64(coh_load_u64_le(sender->b) ^ coh_load_u64_le(sender->b + 12)) &
                    (ex->slot_cap - 1);
        while (ex->slots[at] != COH_SCHED_NONE &&
               !coh_addr_eq(&ex->txs[ex->slots[at]].sender, sender)) {
            at = (at + 1) & (ex->slot_cap - 1);
        }
        if (ex->slots[at] == COH_SCHED_NONE) {
            ex->slots[at]   = i;
            ex->chain_of[i] = chain_cnt++;
        } else {
            ex->chain_of[i] = ex->chain_of[ex->slots[at]];
        }
    }
    return chain_cnt;
}

/* Asks for what is not in memory before the workers stumble on it one by one. addrs holds sender and receiver of each transaction. */
static void touch_keys(coh_executor_t *ex)
{
    enum { AHEAD = 16 };
    size_t cnt = 2 * (size_t)ex->tx_cnt;
    for (size_t i = 0; i < cnt + AHEAD; i++) {
        if (i < cnt) {
            coh_key_t key = coh_key_account(&ex->addrs[i]);
            coh_mv_prefetch(ex->mv, &key, 0);
        }
        if (i >= AHEAD / 2 && i - AHEAD / 2 < cnt) {
            coh_key_t key = coh_key_account(&ex->addrs[i - AHEAD / 2]);
            coh_mv_prefetch(ex->mv, &key, 1);
        }
        if (i >= AHEAD) {
            tx_t const *tx = &ex->txs[(i - AHEAD) / 2];
            uint32_t rank  = (i - AHEAD) % 2 == 0 ? tx->sender_rank : tx->to_rank;
            if (rank == ex->env->rank) {
                coh_key_t key = coh_key_account(&ex->addrs[i - AHEAD]);
                coh_mv_touch(ex->mv, &key);
            }
        }
    }
    if (ex->coinbase_rank == ex->env->rank) {
        coh_key_t key = coh_key_account(&ex->block.coinbase);
        coh_mv_touch(ex->mv, &key);
    }
}

coh_err_t coh_executor_begin(coh_executor_t *ex, coh_msg_block_t const *m, uint32_t serial)
{
    reserve(ex, m->txs.cnt, m->tx_cnt);
    COH_TRY(take_in(ex, m));
    ex->block        = (coh_block_env_t){.number     = m->number,
                                         .timestamp  = m->timestamp,
                                         .gas_limit  = m->gas_limit,
                                         .base_fee   = m->base_fee,
                                         .coinbase   = m->coinbase,
                                         .fork       = (coh_fork_t)m->fork,
                                         .fees_exact = m->fees_exact != 0};
    ex->number       = m->number;
    ex->attempt      = m->attempt;
    ex->serial       = serial;
    ex->block_tx_cnt = m->tx_cnt;
    ex->sent         = 0;
    ex->received     = 0;
    memset(ex->effects, 0, ex->env->rank_cnt * sizeof(*ex->effects));
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        coh_mv_ctx_reset(&ex->ctx[w].mv);
    }
    find_owners(ex);
    uint32_t chain_cnt = find_chains(ex);

    touch_keys(ex);
    coh_sched_begin(ex->sched, ex->chain_of, ex->tx_cnt, chain_cnt);
    ex->env->wake_workers(ex->env);
    return COH_OK;
}

static void collected_clear(collected_t *c, uint32_t rank_cnt)
{
    for (uint32_t r = 0; r < rank_cnt; r++) {
        c->writes[r].cnt = 0;
        c->effects[r]    = 0;
    }
    c->single_cnt = 0;
    c->again_cnt  = 0;
    atomic_store_explicit(&c->pending, 0, memory_order_relaxed);
}

void coh_executor_end(coh_executor_t *ex)
{
    coh_sched_close(ex->sched);
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        collected_clear(&ex->ctx[w].out, ex->env->rank_cnt);
    }
}

/* ---- messages ---- */

static ctx_t *comm_ctx(coh_executor_t *ex) { return &ex->ctx[ex->worker_cnt]; }

static bool key_is_here(coh_executor_t const *ex, coh_key_t const *key)
{
    return key->kind < COH_KEY_KIND_CNT &&
           1 + coh_directory_owner(ex->directory, &key->addr, coh_directory_bucket(&key->addr)) ==
               ex->env->rank;
}

coh_err_t coh_executor_on_publish(coh_executor_t *ex, uint32_t src, coh_msg_publish_t const *m)
{
    ctx_t *ctx        = comm_ctx(ex);
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    for (uint32_t i = 0; i < m->writes.cnt; i++) {
        coh_rec_write_t const *r = &m->writes.v[i];
        if (r->tx_idx >= ex->block_tx_cnt || (r->flags & ~(uint32_t)COH_WRITE_MASK) != 0 ||
            r->kind >= COH_KEY_KIND_CNT) {
            return COH_EPROTO;
        }
        coh_write_t w = {.key   = {.slot = r->slot, .addr = r->addr, .kind = r->kind},
                         .flags = r->flags,
                         .nonce = r->nonce,
                         .word  = r->word};
        coh_mv_publish(
            ex->mv,
            &ctx->mv,
            &w,
            (coh_mv_tx_t){.tx_idx = r->tx_idx, .incarnation = r->incarnation, .home = src});
    }
    act(ex, ctx, NULL, NULL);
    ex->received++;
    coh_metric_add(ex->env->metrics, COH_M_mvstore_write_remote, m->writes.cnt);
    coh_metric_add(ex->env->metrics, COH_M_executor_cpu, coh_clock_thread_cpu_ns() - start_ns);
    return COH_OK;
}

/* Serves a read of another shard, now or, through a waiter, when the key is at hand. */
static void serve_read(coh_executor_t *ex, coh_waiter_t const *w)
{
    ctx_t *ctx = comm_ctx(ex);
    coh_value_t value;
    if (coh_mv_read(ex->mv, &ctx->mv, &value, &w->key, w->reader, w->fields, &w->bound, w) ==
        COH_MV_WAIT) {
        return;
    }
    single_t s = {.dst     = w->reader.home,
                  .id      = COH_MSG_VALUE,
                  .u.value = {.block       = ex->number,
                              .attempt     = ex->attempt,
                              .tx_idx      = w->reader.tx_idx,
                              .incarnation = w->reader.incarnation,
                              .kind        = w->key.kind,
                              .addr        = w->key.addr,
                              .slot        = w->key.slot,
                              .nonce       = value.nonce,
                              .word        = value.word}};
    collect_single(ex, &ctx->out, &s);
}

coh_err_t coh_executor_on_read(coh_executor_t *ex, uint32_t src, coh_msg_read_t const *m)
{
    coh_waiter_t w = {.kind   = COH_WAIT_REMOTE,
                      .serial = ex->serial,
                      .reader = {.tx_idx = m->tx_idx, .incarnation = m->incarnation, .home = src},
                      .key    = {.slot = m->slot, .addr = m->addr, .kind = m->kind},
                      .fields = m->fields,
                      .bound  = m->need};
    if (m->tx_idx >= ex->block_tx_cnt || (m->fields & ~(uint32_t)COH_READ_MASK) != 0 ||
        !key_is_here(ex, &w.key)) {
        return COH_EPROTO;
    }
    ex->received++;
    serve_read(ex, &w);
    return COH_OK;
}

/* The position of a transaction homed here. */
static coh_err_t find_tx(coh_executor_t const *ex, uint32_t tx_idx, uint32_t *pos)
{
    if (tx_idx >= ex->block_tx_cnt || ex->pos_of[tx_idx] == COH_SCHED_NONE) {
        return COH_EPROTO;
    }
    *pos = ex->pos_of[tx_idx];
    return COH_OK;
}

coh_err_t coh_executor_on_value(coh_executor_t *ex, coh_msg_value_t const *m)
{
    uint32_t pos = 0;
    COH_TRY(find_tx(ex, m->tx_idx, &pos));
    ex->received++;
    coh_key_t key = {.slot = m->slot, .addr = m->addr, .kind = m->kind};
    bool wake     = false;
    /* A value for an incarnation that was retracted meanwhile is late: it is dropped. */
    if (coh_sched_lock_tx(ex->sched, pos) == m->incarnation) {
        for (remote_t *r = ex->txs[pos].remotes; r != NULL; r = r->next) {
            if (r->incarnation == m->incarnation && !r->here && coh_key_eq(&r->key, &key)) {
                r->value = (coh_value_t){.nonce = m->nonce, .word = m->word};
                r->here  = true;
                wake     = true;
                break;
            }
        }
    }
    coh_sched_unlock_tx(ex->sched, pos);
    if (wake) {
        coh_sched_wake(ex->sched, coh_sched_chain_of(ex->sched, pos));
        ex->env->wake_workers(ex->env);
    }
    return COH_OK;
}

coh_err_t coh_executor_on_retract(coh_executor_t *ex, coh_msg_retract_t const *m)
{
    uint32_t pos = 0;
    COH_TRY(find_tx(ex, m->tx_idx, &pos));
    ex->received++;
    if (coh_sched_retract(ex->sched, pos, m->incarnation)) {
        make_estimates(ex, pos, m->incarnation);
    }
    ex->env->wake_workers(ex->env);
    return COH_OK;
}

void coh_executor_on_loaded(coh_executor_t *ex,
                            coh_key_t const *key,
                            coh_value_t const *value,
                            coh_executor_query_fn *fn,
                            void *arg)
{
    ctx_t *ctx = comm_ctx(ex);
    coh_mv_loaded(ex->mv, &ctx->mv, key, value);
    act(ex, ctx, fn, arg);
}

/* ---- draining ---- */

/* Moves what a thread collected behind what the batch has. */
static void gather(coh_executor_t *ex, collected_t *c)
{
    if (atomic_load_explicit(&c->pending, memory_order_relaxed) == 0) {
        return;
    }
    coh_spin_lock(&c->lock);
    for (uint32_t r = 0; r < ex->env->rank_cnt; r++) {
        writes_t *from = &c->writes[r];
        writes_t *to   = &ex->batch.writes[r];
        if (to->cnt == 0) {
            writes_t swap = *to;
            *to           = *from;
            *from         = swap;
        } else {
            for (uint32_t i = 0; i < from->cnt; i++) {
                to->v            = grow(to->v, to->cnt, &to->cap, sizeof(*to->v));
                to->v[to->cnt++] = from->v[i];
            }
        }
        from->cnt = 0;
        ex->effects[r] += c->effects[r];
        c->effects[r] = 0;
    }
    for (uint32_t i = 0; i < c->single_cnt; i++) {
        ex->batch.singles =
            grow(ex->batch.singles, ex->batch.single_cnt, &ex->batch.single_cap, sizeof(single_t));
        ex->batch.singles[ex->batch.single_cnt++] = c->singles[i];
    }
    c->single_cnt = 0;
    for (uint32_t i = 0; i < c->again_cnt; i++) {
        ex->batch.reads_again = grow(
            ex->batch.reads_again, ex->batch.again_cnt, &ex->batch.again_cap, sizeof(coh_waiter_t));
        ex->batch.reads_again[ex->batch.again_cnt++] = c->reads_again[i];
    }
    c->again_cnt = 0;
    atomic_store_explicit(&c->pending, 0, memory_order_relaxed);
    coh_spin_unlock(&c->lock);
}

static void put_single(coh_buf_t *out, single_t const *s)
{
    if (s->id == COH_MSG_READ) {
        coh_wire_put_read(out, &s->u.read);
    } else if (s->id == COH_MSG_RETRACT) {
        coh_wire_put_retract(out, &s->u.retract);
    } else {
        coh_wire_put_value(out, &s->u.value);
    }
}

size_t coh_executor_drain(coh_executor_t *ex)
{
    size_t sent = 0;
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        gather(ex, &ex->ctx[w].out);
    }
    /* Serving reads collects VALUEs, which go out with the rest. */
    for (uint32_t i = 0; i < ex->batch.again_cnt; i++) {
        serve_read(ex, &ex->batch.reads_again[i]);
    }
    ex->batch.again_cnt = 0;
    gather(ex, &comm_ctx(ex)->out);
    for (uint32_t i = 0; i < ex->batch.single_cnt; i++) {
        single_t const *s = &ex->batch.singles[i];
        put_single(ex->env->outbox(ex->env, s->dst), s);
        sent++;
    }
    ex->batch.single_cnt = 0;
    for (uint32_t r = 0; r < ex->env->rank_cnt; r++) {
        writes_t *w = &ex->batch.writes[r];
        for (uint32_t at = 0; at < w->cnt; at += PUBLISH_MAX) {
            coh_msg_publish_t m = {.block = ex->number, .attempt = ex->attempt};
            m.writes.v          = w->v + at;
            m.writes.cnt        = COH_MIN(PUBLISH_MAX, w->cnt - at);
            coh_wire_put_publish(ex->env->outbox(ex->env, r), &m);
            sent++;
        }
        w->cnt = 0;
    }
    ex->sent += sent;
    coh_metric_add(ex->env->metrics, COH_M_net_message_sent, sent);
    return sent;
}

static bool anything_collected(coh_executor_t *ex)
{
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        if (atomic_load_explicit(&ex->ctx[w].out.pending, memory_order_relaxed) != 0) {
            return true;
        }
    }
    return false;
}

bool coh_executor_is_idle(coh_executor_t *ex)
{
    /* In this order: once all are done no worker collects anything more, and what was collected before is visible. */
    return coh_sched_all_done(ex->sched) && !anything_collected(ex) &&
           coh_mv_loads_outstanding(ex->mv) == 0;
}

uint64_t coh_executor_sent(coh_executor_t const *ex) { return ex->sent; }

uint64_t coh_executor_received(coh_executor_t const *ex) { return ex->received; }

void coh_executor_sums(coh_executor_t const *ex, uint64_t *gas_used, coh_u256_t *tips)
{
    *gas_used = 0;
    *tips     = COH_U256_ZERO;
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        *gas_used += ex->txs[i].gas_used;
        (void)coh_u256_add(tips, tips, &ex->txs[i].tip);
    }
}

uint64_t coh_executor_effects_to(coh_executor_t const *ex, uint32_t dst)
{
    return ex->effects[dst];
}

coh_rec_result_t const *coh_executor_results(coh_executor_t *ex, uint32_t *cnt)
{
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        tx_t const *tx = &ex->txs[i];
        ex->results[i] = (coh_rec_result_t){.tx_idx   = tx->tx_idx,
                                            .verdict  = (uint32_t)tx->verdict,
                                            .status   = tx->status,
                                            .gas_used = tx->gas_used};
    }
    *cnt = ex->tx_cnt;
    return ex->results;
}
