#include "shard/executor.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/spin.h"
#include "common/crypto/keccak.h"
#include "common/obs/log.h"
#include "shard/ahead.h"
#include "shard/sched.h"

/* Transactions that one call of work runs before it returns, about. */
#define WORK_TX_CNT 256u
/* Gas that counts as one transaction there. */
#define WORK_GAS 100000u
/* Records in one PUBLISH, and octets of code. */
#define PUBLISH_MAX       8192u
#define PUBLISH_BYTES_MAX ((size_t)8 << 20)
/* A worker tells the communication thread when it has collected this many records. */
#define COLLECT_CNT 1024u
/* With so many parked for each worker none begins that was not begun: enough to be busy while others wait for a disk or a shard far away, and few enough to stay in the cache. */
#define PARKED_MAX 256u
/* Memory of transitions that a worker keeps for the next ones, and the most octets that one of these may hold. Where much is not in memory yet, hundreds are parked at a time. */
#define RUNS_BYTES_KEPT ((size_t)64 << 20)
#define RUN_BYTES_KEPT  ((size_t)1 << 20)
/* Owners of accounts that a thread remembers: the directory needs a Keccak for each. */
#define OWNER_CNT 512u
/* Codes that a thread remembers. */
#define CODE_CNT 64u
/* Writes up to this many are looked up one by one. */
#define FEW_WRITES 8u
/* Keys of its access list that a transaction asks for when it starts, at most: of accounts and slots together. */
#define AHEAD_LISTED_MAX 64u
/* Of transactions of whose reads all were expected, one in so many is learned from. */
#define AHEAD_KNOWN_SHARE 4u
/* hash, generation, flags in front of the code of a WRITE record */
#define CODE_HEAD_SZ 40u
/* hash and generation of a VALUE */
#define VALUE_CODE_SZ 36u

/* A read of another shard by one incarnation. */
typedef struct remote {
    struct remote *next;
    coh_key_t key;
    uint32_t fields;
    uint32_t incarnation;
    uint32_t read; /* number among the transaction's reads */
    bool here;
    bool is_ahead;    /* asked for before the transition came to it */
    bool is_used;     /* it has come to it */
    coh_u256_t bound; /* with AT_LEAST, else 0 */
    coh_value_t value;
} remote_t;

/* What the last published incarnation left. */
typedef struct {
    coh_write_t *writes; /* in an arena, code without bytes; NULL: nothing published yet */
    uint32_t cnt;
    uint32_t incarnation;
} published_t;

typedef struct run run_t;

typedef struct {
    coh_tx_t tx;     /* all zero, if it is a step */
    coh_step_t step; /* if it is one */
    bool is_step;
    coh_addr_t sender;
    coh_addr_t to; /* receiver, or created account */
    uint32_t tx_idx;
    uint32_t sender_rank; /* owners */
    uint32_t to_rank;
    uint32_t entries[2]; /* of sender and receiver in the store, 0 if they are not here */
    /* The outcome of the last published incarnation. */
    coh_tx_err_t verdict;
    uint32_t status;
    uint64_t gas_used;
    coh_u256_t tip;
    coh_bytes_t logs;      /* encoded, in an arena; of a step its output */
    run_t *run;            /* parked, or NULL; the chain's worker's */
    bool is_parked;        /* with its run or without; likewise */
    uint32_t asked_end;    /* incarnations below it have asked ahead; likewise */
    published_t published; /* under the scheduler's lock of this transaction */
    remote_t *remotes;     /* likewise: of the last incarnation, the last read first */
    uint32_t remote_cnt;   /* numbers of reads given out; the chain's worker's */
    uint32_t awaited;      /* likewise: number of the read that the transition waits for */
    bool is_across;        /* it reads or writes on other shards; the chain's worker's */
    /* relaxed: set before a retract, and seen by the incarnation that follows it through the scheduler's lock */
    _Atomic bool reads_code; /* the receiver's code is to be read, not assumed to be none */
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
    coh_addr_t addr;
    uint32_t rank; /* 0: none remembered here */
} owner_t;

/* A code that the thread has looked up in this block: it stays until the block ends (codes.h). */
typedef struct {
    coh_hash_t hash;
    coh_code_t const *code;
    uint32_t serial; /* of the block; 0: of none */
} known_code_t;

typedef struct {
    coh_mv_ctx_t mv;
    collected_t out;
    run_t *runs;                /* free ones */
    size_t run_bytes;           /* of them */
    coh_write_t const **sorted; /* scratch of publish */
    uint32_t sorted_cap;
    coh_buf_t rlp; /* likewise */
    /* Of metrics, since they were last drained. */
    uint64_t executed;
    uint64_t parked;
    uint64_t reads;            /* of other shards */
    uint64_t round_trips;      /* waits for these */
    owner_t owners[OWNER_CNT]; /* by a hash of the address */
    known_code_t codes
        [CODE_CNT]; /* by their hash: a contract that all call is looked up, under a lock, once for each thread */
} COH_ALIGNED(COH_CACHE_LINE) ctx_t;

/* A transition and what it reads through. */
struct run {
    coh_view_t view; /* first: it is cast back */
    run_t *next;     /* among the free ones */
    coh_transition_t *transition;
    coh_executor_t *ex;
    ctx_t *ctx; /* of the worker that runs it */
    tx_t *tx;
    uint32_t pos;
    uint32_t incarnation;
    uint32_t chain;
    bool assumed;        /* it was told that the receiver has no code, unseen */
    uint32_t writer_end; /* while parked: of its reads so far (mvstore.h) */
    size_t bytes;        /* that it held when it was given back last; counted, while it is free */
    size_t parked_bytes; /* counted, while parked */
};

struct coh_executor {
    collected_t batch; /* the drain's own */
    coh_mvstore_t *mv;
    coh_codes_t *codes;
    coh_env_t *env;
    coh_directory_t const *directory;
    coh_sched_t *sched;
    coh_ahead_t *ahead;
    uint32_t worker_cnt;
    ctx_t *ctx; /* worker_cnt workers', then the communication thread's */
    _Atomic size_t parked_bytes;
    _Atomic uint32_t parked_cnt; /* relaxed: a bound that need not be sharp */

    coh_block_env_t block;
    bool any_sender; /* of every block */
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

    coh_spin_t
        hash_lock; /* of the hashes of committed blocks, and of chains that wait for the next */
    coh_hash_t hashes[COH_EXECUTOR_HASH_CNT]; /* by number */
    uint64_t hash_head;                       /* highest known */
    uint32_t hash_cnt;
    uint32_t *hash_waiters;
    uint32_t hash_waiter_cnt, hash_waiter_cap;

    uint32_t incarnation_max; /* of a transaction, so far */
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
                                 coh_codes_t *codes,
                                 coh_env_t *env,
                                 coh_directory_t const *directory,
                                 uint32_t worker_cnt,
                                 coh_sched_kind_t scheduler)
{
    coh_executor_t *ex = coh_calloc(1, sizeof(*ex));
    ex->mv             = mv;
    ex->codes          = codes;
    ex->hash_lock      = COH_SPIN_INIT;
    ex->env            = env;
    ex->directory      = directory;
    ex->sched          = coh_sched_new(scheduler, worker_cnt);
    ex->ahead          = coh_ahead_new();
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

static void free_run(run_t *run)
{
    coh_transition_free(run->transition);
    free(run);
}

void coh_executor_free(coh_executor_t *ex)
{
    if (ex == NULL) {
        return;
    }
    coh_executor_end(ex); /* what is parked goes back to the workers */
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        while (ex->ctx[w].runs != NULL) {
            run_t *run      = ex->ctx[w].runs;
            ex->ctx[w].runs = run->next;
            free_run(run);
        }
        free(ex->ctx[w].sorted);
        coh_buf_free(&ex->ctx[w].rlp);
        coh_mv_ctx_free(&ex->ctx[w].mv);
        collected_fini(&ex->ctx[w].out, ex->env->rank_cnt);
    }
    collected_fini(&ex->batch, ex->env->rank_cnt);
    coh_sched_free(ex->sched);
    coh_ahead_free(ex->ahead);
    coh_buf_free(&ex->raw);
    free(ex->ctx);
    free(ex->txs);
    free(ex->pos_of);
    free(ex->chain_of);
    free(ex->addrs);
    free(ex->buckets);
    free(ex->slots);
    free(ex->hash_waiters);
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

/* The code of a WRITE record, in the thread's arena. */
static coh_bytes_t encode_code(coh_arena_t *arena, coh_write_code_t const *code)
{
    uint8_t *p = coh_arena_alloc(arena, CODE_HEAD_SZ + code->bytes.n);
    memcpy(p, code->hash.b, sizeof(code->hash.b));
    coh_store_u32_le(p + 32, code->generation);
    coh_store_u32_le(p + 36, code->flags);
    if (code->bytes.n != 0) {
        memcpy(p + CODE_HEAD_SZ, code->bytes.p, code->bytes.n);
    }
    return coh_bytes(p, CODE_HEAD_SZ + code->bytes.n);
}

static void collect_write(coh_executor_t *ex,
                          ctx_t *ctx,
                          uint32_t dst,
                          coh_write_t const *w,
                          uint32_t tx_idx,
                          uint32_t incarnation,
                          uint64_t digest_change)
{
    collected_t *c = &ctx->out;
    coh_bytes_t code =
        (w->flags & COH_WRITE_CODE) ? encode_code(&ctx->mv.arena, w->code) : (coh_bytes_t){0};
    coh_spin_lock(&c->lock);
    writes_t *out      = &c->writes[dst];
    out->v             = grow(out->v, out->cnt, &out->cap, sizeof(*out->v));
    out->v[out->cnt++] = (coh_rec_write_t){.tx_idx      = tx_idx,
                                           .incarnation = incarnation,
                                           .flags       = w->flags,
                                           .kind        = w->key.kind,
                                           .addr        = w->key.addr,
                                           .slot        = w->key.slot,
                                           .generation  = w->key.generation,
                                           .nonce       = w->nonce,
                                           .word        = w->word,
                                           .code        = code};
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

static uint32_t owner_of(coh_executor_t const *ex,
                         ctx_t *ctx,
                         tx_t const *tx,
                         coh_addr_t const *addr)
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
    uint64_t h     = coh_mix64(coh_load_u64_le(addr->b) ^ coh_load_u64_le(addr->b + 12));
    owner_t *known = &ctx->owners[h % OWNER_CNT];
    if (known->rank == 0 || !coh_addr_eq(&known->addr, addr)) {
        known->addr = *addr;
        known->rank = 1 + coh_directory_owner(ex->directory, addr, coh_directory_bucket(addr));
    }
    return known->rank;
}

/* Turns what an incarnation published here into estimates, if it is still what stands. */
static void make_estimates(coh_executor_t *ex, ctx_t *ctx, uint32_t pos, uint32_t incarnation)
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
        if (owner_of(ex, ctx, tx, &p.writes[i].key.addr) == ex->env->rank) {
            coh_mv_estimate(ex->mv, &p.writes[i].key, writer);
        }
    }
}

/* The reads of an incarnation homed here do not hold any more. */
static void retract(coh_executor_t *ex,
                    ctx_t *ctx,
                    uint32_t pos,
                    uint32_t incarnation,
                    bool reads_code)
{
    if (reads_code) {
        atomic_store_explicit(&ex->txs[pos].reads_code, true, memory_order_relaxed);
    }
    if (coh_sched_retract(ex->sched, pos, incarnation)) {
        make_estimates(ex, ctx, pos, incarnation);
    }
}

/* Acts on what a call of the store retracted and woke. */
static void act(coh_executor_t *ex, ctx_t *ctx)
{
    coh_mv_ctx_t *mv = &ctx->mv;
    if (mv->retracted_cnt == 0 && mv->woken_cnt == 0) {
        return;
    }
    for (uint32_t i = 0; i < mv->retracted_cnt; i++) {
        coh_mv_tx_t tx  = mv->retracted[i].tx;
        bool reads_code = mv->retracted[i].reads_code;
        coh_metric_add(ex->env->metrics, COH_M_mvstore_retraction, 1);
        if (tx.home != ex->env->rank) {
            single_t s = {.dst       = tx.home,
                          .id        = COH_MSG_RETRACT,
                          .u.retract = {.block       = ex->number,
                                        .attempt     = ex->attempt,
                                        .tx_idx      = tx.tx_idx,
                                        .incarnation = tx.incarnation,
                                        .reads_code  = reads_code}};
            collect_single(ex, &ctx->out, &s);
        } else {
            retract(ex, ctx, ex->pos_of[tx.tx_idx], tx.incarnation, reads_code);
        }
    }
    mv->retracted_cnt = 0;
    for (uint32_t i = 0; i < mv->woken_cnt; i++) {
        coh_waiter_t const *w = &mv->woken[i];
        if (w->serial != ex->serial) {
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

/* ---- reads of other shards ---- */

/* Whether what r answers is an answer to these fields too. need: with AT_LEAST, else 0. */
static bool covers(remote_t const *r, coh_key_t const *key, uint32_t fields, coh_u256_t const *need)
{
    if (!coh_key_eq(&r->key, key)) {
        return false;
    }
    if (r->fields & COH_READ_WORD) {
        fields &= ~(uint32_t)COH_READ_AT_LEAST;
    } else if ((fields & COH_READ_AT_LEAST) && !coh_u256_eq(&r->bound, need)) {
        return false;
    }
    return (fields & ~r->fields) == 0;
}

static remote_t *find_remote(remote_t *list,
                             coh_key_t const *key,
                             uint32_t fields,
                             coh_u256_t const *need)
{
    while (list != NULL && !covers(list, key, fields, need)) {
        list = list->next;
    }
    return list;
}

/* Notes a read that is to be asked for at the front of list. */
static remote_t *add_remote(run_t *run,
                            remote_t **list,
                            coh_key_t const *key,
                            uint32_t fields,
                            coh_u256_t const *need)
{
    remote_t *r = coh_arena_alloc(&run->ctx->mv.arena, sizeof(*r));
    *r          = (remote_t){.next        = *list,
                             .key         = *key,
                             .fields      = fields,
                             .incarnation = run->incarnation,
                             .read        = run->tx->remote_cnt++,
                             .bound       = *need};
    *list       = r;
    return r;
}

static void collect_read(run_t *run, remote_t const *r, uint32_t owner)
{
    coh_executor_t *ex = run->ex;
    run->ctx->reads++;
    single_t s = {.dst    = owner,
                  .id     = COH_MSG_READ,
                  .u.read = {.block       = ex->number,
                             .attempt     = ex->attempt,
                             .tx_idx      = run->tx->tx_idx,
                             .incarnation = run->incarnation,
                             .read        = r->read,
                             .kind        = r->key.kind,
                             .addr        = r->key.addr,
                             .slot        = r->key.slot,
                             .generation  = r->key.generation,
                             .fields      = r->fields,
                             .need        = r->bound}};
    collect_single(ex, &run->ctx->out, &s);
}

static coh_view_status_t read_remote(run_t *run,
                                     coh_value_t *out,
                                     coh_key_t const *key,
                                     uint32_t fields,
                                     coh_u256_t const *bound,
                                     uint32_t owner)
{
    coh_executor_t *ex       = run->ex;
    tx_t *tx                 = run->tx;
    tx->is_across            = true;
    coh_view_status_t status = COH_VIEW_NEED;
    coh_u256_t need          = (fields & COH_READ_AT_LEAST) ? *bound : COH_U256_ZERO;
    remote_t asked           = {0};
    (void)coh_sched_lock_tx(ex->sched, run->pos);
    remote_t *r = find_remote(tx->remotes, key, fields, &need);
    bool ask    = r == NULL;
    if (ask) {
        r     = add_remote(run, &tx->remotes, key, fields, &need);
        asked = *r;
    } else if (r->here) {
        *out   = r->value;
        status = COH_VIEW_OK;
    }
    r->is_used  = true;
    tx->awaited = r->read; /* its VALUE wakes the chain, no other does */
    coh_sched_unlock_tx(ex->sched, run->pos);
    if (ask) {
        collect_read(run, &asked, owner);
    }
    run->ctx->round_trips += status == COH_VIEW_NEED;
    return status;
}

/* The hash of a committed block; that of one still under way is waited for. */
static coh_view_status_t read_block_hash(run_t *run, coh_value_t *out, coh_key_t const *key)
{
    coh_executor_t *ex       = run->ex;
    coh_view_status_t status = COH_VIEW_OK;
    uint64_t number          = key->slot.w[0];
    *out                     = (coh_value_t){0};
    coh_spin_lock(&ex->hash_lock);
    if (number > ex->hash_head) {
        ex->hash_waiters = grow(
            ex->hash_waiters, ex->hash_waiter_cnt, &ex->hash_waiter_cap, sizeof(*ex->hash_waiters));
        ex->hash_waiters[ex->hash_waiter_cnt++] = run->chain;
        status                                  = COH_VIEW_NEED;
    } else if (ex->hash_head - number < ex->hash_cnt) {
        out->word = coh_u256_from_be(ex->hashes[number % COH_EXECUTOR_HASH_CNT].b, 32);
    }
    coh_spin_unlock(&ex->hash_lock);
    return status;
}

static bool is_plain_transfer(coh_tx_t const *tx)
{
    return !tx->is_create && tx->data.n == 0 && tx->auth_cnt == 0 && !coh_u256_is_zero(&tx->value);
}

/* That the receiver of value has no code is assumed, and looked at where the value arrives. */
static bool assumes_no_code(tx_t const *tx)
{
    return is_plain_transfer(&tx->tx) && !coh_addr_eq(&tx->to, &tx->sender) &&
           !atomic_load_explicit(&tx->reads_code, memory_order_relaxed);
}

static coh_view_status_t view_read(coh_view_t *view,
                                   coh_value_t *out,
                                   coh_key_t const *key,
                                   uint32_t fields,
                                   coh_u256_t const *bound)
{
    run_t *run         = (run_t *)view;
    coh_executor_t *ex = run->ex;
    tx_t *tx           = run->tx;
    if (key->kind == COH_KEY_BLOCK_HASH) {
        return read_block_hash(run, out, key);
    }
    if (fields == COH_READ_CODE && coh_addr_eq(&key->addr, &tx->to) && assumes_no_code(tx)) {
        run->assumed = true;
        *out         = (coh_value_t){0};
        return COH_VIEW_OK;
    }
    uint32_t owner = owner_of(ex, run->ctx, tx, &key->addr);
    if (owner != ex->env->rank) {
        return read_remote(run, out, key, fields, bound, owner);
    }
    coh_mv_tx_t reader = {
        .tx_idx = tx->tx_idx, .incarnation = run->incarnation, .home = ex->env->rank};
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .serial = ex->serial, .chain = run->chain};
    coh_mv_status_t status =
        coh_mv_read(ex->mv, &run->ctx->mv, out, key, reader, fields, bound, &waiter);
    act(ex, run->ctx);
    return status == COH_MV_OK ? COH_VIEW_OK : COH_VIEW_NEED;
}

static coh_view_status_t view_code(coh_view_t *view,
                                   coh_code_t const **out,
                                   coh_addr_t const *addr,
                                   coh_hash_t const *hash)
{
    run_t *run          = (run_t *)view;
    coh_executor_t *ex  = run->ex;
    known_code_t *known = &run->ctx->codes[coh_load_u64_le(hash->b) % CODE_CNT];
    if (known->serial == ex->serial && coh_hash_eq(&known->hash, hash)) {
        *out = known->code;
        return COH_VIEW_OK;
    }
    uint32_t owner = owner_of(ex, run->ctx, run->tx, addr);
    for (;;) {
        *out = coh_codes_find(ex->codes, hash, ex->block.fork);
        if (*out != NULL) {
            *known = (known_code_t){.hash = *hash, .code = *out, .serial = ex->serial};
            return COH_VIEW_OK;
        }
        if (owner != ex->env->rank) {
            coh_value_t ignored;
            coh_key_t key = coh_codes_key(addr, hash);
            if (read_remote(run, &ignored, &key, 0, NULL, owner) == COH_VIEW_NEED) {
                return COH_VIEW_NEED;
            }
        } else {
            coh_waiter_t waiter = {
                .kind = COH_WAIT_CHAIN, .serial = ex->serial, .chain = run->chain};
            bool waits = coh_codes_want(ex->codes, &run->ctx->mv, hash, &waiter);
            act(ex, run->ctx);
            if (waits) {
                return COH_VIEW_NEED;
            }
        }
    }
}

/* ---- publishing ---- */

static int by_key(void const *a, void const *b)
{
    coh_write_t const *const *x = a;
    coh_write_t const *const *y = b;
    return memcmp(&(*x)->key, &(*y)->key, sizeof((*x)->key));
}

/* Writes of one incarnation, to look keys up in: the array itself, or pointers sorted by key. */
typedef struct {
    coh_write_t const *writes;
    coh_write_t const **sorted;
    uint32_t cnt;
} lookup_t;

static coh_write_t const *find_write(lookup_t const *l, coh_key_t const *key)
{
    if (l->sorted != NULL) {
        coh_write_t wanted            = {.key = *key};
        coh_write_t const *p          = &wanted;
        coh_write_t const *const *hit = bsearch(&p, l->sorted, l->cnt, sizeof(*l->sorted), by_key);
        return hit != NULL ? *hit : NULL;
    }
    for (uint32_t i = 0; i < l->cnt; i++) {
        if (coh_key_eq(&l->writes[i].key, key)) {
            return &l->writes[i];
        }
    }
    return NULL;
}

static void sort_writes(lookup_t *l, coh_write_t const **space)
{
    l->sorted = space;
    for (uint32_t i = 0; i < l->cnt; i++) {
        space[i] = &l->writes[i];
    }
    qsort(space, l->cnt, sizeof(*space), by_key);
}

/* True if the owner need not hear of a again. An assumption holds for one incarnation: it has to. */
static bool write_eq(coh_write_t const *a, coh_write_t const *b)
{
    if (a->flags != b->flags || (a->flags & COH_WRITE_NO_CODE) || a->nonce != b->nonce ||
        !coh_u256_eq(&a->word, &b->word)) {
        return false;
    }
    return !(a->flags & COH_WRITE_CODE) ||
           (coh_hash_eq(&a->code->hash, &b->code->hash) &&
            a->code->generation == b->code->generation && a->code->flags == b->code->flags);
}

static void publish_write(coh_executor_t *ex,
                          ctx_t *ctx,
                          tx_t *tx,
                          coh_write_t const *now,
                          coh_write_t const *before,
                          uint32_t incarnation)
{
    uint32_t owner = owner_of(ex, ctx, tx, &now->key.addr);
    if (owner == ex->env->rank) {
        if ((now->flags & COH_WRITE_CODE) && now->code->bytes.n != 0) {
            coh_codes_put(ex->codes, &ctx->mv, &now->code->hash, now->code->bytes);
        }
        coh_mv_publish(
            ex->mv,
            &ctx->mv,
            now,
            (coh_mv_tx_t){.tx_idx = tx->tx_idx, .incarnation = incarnation, .home = owner});
        return;
    }
    if (!coh_addr_eq(&now->key.addr, &ex->block.coinbase)) {
        tx->is_across = true;
    }
    if (before == NULL || !write_eq(now, before)) {
        uint64_t change = coh_mv_effect_digest(now, tx->tx_idx) -
                          (before != NULL ? coh_mv_effect_digest(before, tx->tx_idx) : 0);
        collect_write(ex, ctx, owner, now, tx->tx_idx, incarnation, change);
    }
}

/* Logs as an RLP list, in the thread's arena; empty if there are none. */
static coh_bytes_t encode_logs(ctx_t *ctx, coh_outcome_t const *o)
{
    if (o->log_cnt == 0) {
        return (coh_bytes_t){0};
    }
    coh_buf_t *out = &ctx->rlp;
    coh_buf_clear(out);
    coh_outcome_put_logs(out, o);
    uint8_t *p = coh_arena_alloc(&ctx->mv.arena, out->n);
    memcpy(p, out->p, out->n);
    return coh_bytes(p, out->n);
}

/* A copy in the thread's arena. */
static coh_bytes_t keep_bytes(ctx_t *ctx, coh_bytes_t in)
{
    if (in.n == 0) {
        return in;
    }
    uint8_t *copy = coh_arena_alloc(&ctx->mv.arena, in.n);
    return coh_bytes(memcpy(copy, in.p, in.n), in.n);
}

/* What publish keeps of the writes: a copy in the thread's arena, without the bytes of code. */
static coh_write_t *keep_writes(ctx_t *ctx, coh_write_t const *writes, uint32_t cnt)
{
    coh_write_t *kept = coh_arena_alloc(&ctx->mv.arena, COH_MAX(1, cnt) * sizeof(*kept));
    for (uint32_t i = 0; i < cnt; i++) {
        kept[i] = writes[i];
        if (writes[i].flags & COH_WRITE_CODE) {
            coh_write_code_t *code = coh_arena_alloc(&ctx->mv.arena, sizeof(*code));
            *code                  = *writes[i].code;
            code->bytes            = (coh_bytes_t){0};
            kept[i].code           = code;
        }
    }
    return kept;
}

/* The write by which the receiver gets its value, or NULL. */
static coh_write_t const *find_credit(tx_t const *tx, coh_outcome_t const *o)
{
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_write_t const *w = &o->writes[i];
        if (w->key.kind == COH_KEY_ACCOUNT && coh_addr_eq(&w->key.addr, &tx->to)) {
            return w;
        }
    }
    return NULL;
}

/* Whether w may be what an authorization of tx did (EIP-7702). */
static bool is_delegation(tx_t const *tx, coh_write_t const *w)
{
    return tx->tx.auth_cnt != 0 && (w->flags & COH_WRITE_CODE);
}

/* assumed: the write that carries the assumption that its account has no code; or NULL. */
static void publish(coh_executor_t *ex,
                    ctx_t *ctx,
                    uint32_t pos,
                    uint32_t incarnation,
                    coh_outcome_t const *o,
                    coh_write_t const *assumed)
{
    tx_t *tx        = &ex->txs[pos];
    published_t old = tx->published; /* written by this chain's runs only */
    published_t now = {.incarnation = incarnation, .cnt = o->write_cnt};
    now.writes      = keep_writes(ctx, o->writes, o->write_cnt);
    if (assumed != NULL) {
        now.writes[assumed - o->writes].flags |= COH_WRITE_NO_CODE;
    }
    lookup_t before = {.writes = old.writes, .cnt = old.cnt};
    lookup_t after  = {.writes = now.writes, .cnt = now.cnt};
    if (old.cnt > FEW_WRITES || (old.cnt != 0 && now.cnt > FEW_WRITES)) {
        if (ctx->sorted_cap < old.cnt + now.cnt) {
            ctx->sorted_cap = 2 * (old.cnt + now.cnt);
            ctx->sorted     = coh_realloc(ctx->sorted, ctx->sorted_cap * sizeof(*ctx->sorted));
        }
        sort_writes(&before, ctx->sorted);
        sort_writes(&after, ctx->sorted + old.cnt);
    }
    for (uint32_t i = 0; i < now.cnt; i++) {
        if (incarnation != 0 && is_delegation(tx, &now.writes[i]) &&
            COH_HOOK("executor:lose_nonce")) {
            now.writes[i].flags &= ~(uint32_t)COH_WRITE_NONCE;
        }
        coh_write_t const *w = &now.writes[i];
        coh_write_t full     = {0};
        if (w->flags & COH_WRITE_CODE) {
            full      = *w;
            full.code = o->writes[i].code; /* with its bytes */
            w         = &full;
        }
        publish_write(ex, ctx, tx, w, find_write(&before, &w->key), incarnation);
    }
    for (uint32_t i = 0; i < old.cnt; i++) {
        if (find_write(&after, &old.writes[i].key) == NULL &&
            !(is_delegation(tx, &old.writes[i]) && COH_HOOK("executor:keep_delegation"))) {
            coh_write_t gone = {.key = old.writes[i].key, .flags = COH_WRITE_REMOVED};
            publish_write(ex, ctx, tx, &gone, &old.writes[i], incarnation);
        }
    }
    tx->verdict  = o->verdict;
    tx->status   = o->status;
    tx->gas_used = o->gas_used;
    tx->tip      = o->tip;
    tx->logs     = tx->is_step ? keep_bytes(ctx, o->output) : encode_logs(ctx, o);
    (void)coh_sched_lock_tx(ex->sched, pos);
    tx->published = now;
    coh_sched_unlock_tx(ex->sched, pos);
}

/* ---- hints ---- */

static uint64_t hash_word(uint64_t h, uint8_t const word[32])
{
    for (size_t i = 0; i < 32; i += 8) {
        h = coh_mix64(h ^ coh_load_u64_le(word + i));
    }
    return h;
}

static uint64_t hash_addr(uint64_t h, coh_addr_t const *addr)
{
    h = coh_mix64(h ^ coh_load_u64_le(addr->b));
    h = coh_mix64(h ^ coh_load_u64_le(addr->b + 8));
    return coh_mix64(h ^ coh_load_u32_le(addr->b + 16));
}

/* Of an account, or of a slot in whatever generation of its account. */
static uint64_t hash_key(coh_key_t const *key)
{
    uint8_t slot[32];
    coh_u256_to_be(slot, &key->slot);
    return hash_word(hash_addr(1 + (uint64_t)key->kind, &key->addr), slot);
}

/* Whether a word of call data looks like an address and not like a small number. */
static bool is_addr(uint8_t const word[32])
{
    return coh_load_u64_le(word) == 0 && coh_load_u32_le(word + 8) == 0 &&
           coh_load_u64_le(word + 12) != 0;
}

/* What a call tells of itself: the contract with the function, then with each of the first arguments, then with two addresses that follow each other (the ways of a pool), and with its
   sender; and the slots of its access list. The general ones come first. Plain transfers have none: their only order is that of their senders. */
static uint32_t traits_of(void *arg, uint32_t pos, coh_sched_trait_t *out)
{
    enum { SELECTOR = 4, WORDS_MAX = 9, PAIRS_MAX = 2, CALLEE = 100, SENDER, PAIR };
    coh_executor_t const *ex = arg;
    tx_t const *tx           = &ex->txs[pos];
    coh_tx_t const *t        = &tx->tx;
    if (t->is_create || t->data.n < SELECTOR) {
        return 0;
    }
    uint32_t cnt        = 0;
    uint64_t callee     = hash_addr(CALLEE, &tx->to);
    uint64_t call       = coh_mix64(callee ^ coh_load_u32_le(t->data.p));
    size_t words        = COH_MIN((t->data.n - SELECTOR) / 32, (size_t)WORDS_MAX);
    uint8_t const *word = t->data.p + SELECTOR;
    uint64_t hashes[WORDS_MAX];
    out[cnt++].hash = call;
    for (size_t i = 0; i < words; i++) {
        hashes[i]       = hash_word(call + 1 + i, word + 32 * i);
        out[cnt++].hash = hashes[i];
    }
    uint32_t pairs = 0;
    for (size_t i = 1; i < words && pairs < PAIRS_MAX; i++) {
        if (is_addr(word + 32 * (i - 1)) && is_addr(word + 32 * i)) {
            out[cnt++].hash = coh_mix64(hashes[i - 1] + PAIR) ^ hashes[i];
            pairs++;
        }
    }
    out[cnt++].hash = hash_addr(callee + SENDER, &tx->sender);
    for (uint32_t i = 0; i < cnt; i++) {
        out[i].is_key = false;
    }
    coh_rlp_t list = coh_tx_access_iter(t);
    coh_rlp_t keys;
    coh_addr_t addr;
    coh_hash_t slot;
    while (coh_tx_access_next(&list, &addr, &keys)) {
        while (cnt < COH_SCHED_TRAITS_MAX && coh_tx_access_key_next(&keys, &slot)) {
            coh_u256_t at = coh_u256_from_be(slot.b, sizeof(slot.b));
            coh_key_t key = coh_key_slot(&addr, 0, &at);
            out[cnt++]    = (coh_sched_trait_t){.hash = hash_key(&key), .is_key = true};
        }
    }
    return cnt;
}

/* Whether it has certainly read what the position before it wrote. */
static bool follows(coh_executor_t const *ex, ctx_t const *ctx, uint32_t pos)
{
    return pos != 0 && ex->txs[pos].remotes == NULL && ctx->mv.writer_end > ex->txs[pos - 1].tx_idx;
}

/* Tells the scheduler what an incarnation wrote that others read: not what it adds to a balance, nor its sender's account, by which his chain goes. */
static void learn(coh_executor_t *ex,
                  ctx_t const *ctx,
                  uint32_t pos,
                  uint32_t incarnation,
                  coh_outcome_t const *o)
{
    if (coh_sched_is_in_order(ex->sched)) {
        coh_sched_note_order(ex->sched, follows(ex, ctx, pos));
        return;
    }
    if (atomic_load_explicit(&ex->txs[pos].reads_code, memory_order_relaxed) && incarnation != 0) {
        incarnation--; /* that its receiver has code is no conflict */
    }
    if (!coh_sched_learns(ex->sched, incarnation)) {
        return;
    }
    uint64_t touched[COH_SCHED_TOUCHED_MAX];
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < o->write_cnt && cnt < COH_SCHED_TOUCHED_MAX; i++) {
        coh_write_t const *w = &o->writes[i];
        if ((w->flags & (COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE)) &&
            !coh_addr_eq(&w->key.addr, &ex->txs[pos].sender)) {
            touched[cnt++] = hash_key(&w->key);
        }
    }
    coh_sched_learn(ex->sched, pos, incarnation, touched, cnt);
}

/* ---- asking ahead ---- */

/* Puts a read that is expected into list, if it is of another shard and not in it yet. */
static void expect(run_t *run,
                   remote_t **list,
                   coh_key_t const *key,
                   uint32_t fields,
                   coh_u256_t const *need)
{
    if (owner_of(run->ex, run->ctx, run->tx, &key->addr) != run->ex->env->rank &&
        find_remote(*list, key, fields, need) == NULL) {
        add_remote(run, list, key, fields, need)->is_ahead = true;
    }
}

static void expect_sender(run_t *run, remote_t **list)
{
    tx_t const *tx = run->tx;
    coh_u256_t upfront;
    if (!coh_tx_upfront(&upfront, &tx->tx)) {
        coh_key_t key = coh_key_account(&tx->sender);
        expect(run, list, &key, COH_READ_NONCE | COH_READ_CODE | COH_READ_AT_LEAST, &upfront);
    }
}

/* What the transaction names: its sender, and what its access list does. */
static void expect_named(run_t *run, remote_t **list)
{
    tx_t const *tx = run->tx;
    expect_sender(run, list);
    if (tx->tx.access_addr_cnt == 0 || assumes_no_code(tx)) {
        return; /* what calls nothing uses nothing of its list */
    }
    coh_rlp_t accesses = coh_tx_access_iter(&tx->tx);
    coh_rlp_t keys;
    coh_addr_t addr;
    coh_hash_t slot;
    uint32_t cnt = 0;
    while (cnt < AHEAD_LISTED_MAX && coh_tx_access_next(&accesses, &addr, &keys)) {
        coh_key_t account = coh_key_account(&addr);
        expect(run, list, &account, COH_READ_CODE, &COH_U256_ZERO);
        cnt++;
        while (cnt < AHEAD_LISTED_MAX && coh_tx_access_key_next(&keys, &slot)) {
            coh_u256_t at = coh_u256_from_be(slot.b, sizeof(slot.b));
            coh_key_t key = coh_key_slot(&addr, 0, &at); /* most accounts have been wiped never */
            expect(run, list, &key, COH_READ_WORD, &COH_U256_ZERO);
            cnt++;
        }
    }
}

/* The traits that other transactions may share: without the keys that it names itself. */
static uint32_t shared_traits(coh_executor_t *ex, uint32_t pos, uint64_t out[COH_SCHED_TRAITS_MAX])
{
    coh_sched_trait_t traits[COH_SCHED_TRAITS_MAX];
    uint32_t cnt  = traits_of(ex, pos, traits);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        if (!traits[i].is_key) {
            out[kept++] = traits[i].hash;
        }
    }
    return kept;
}

static void expect_learned(run_t *run, remote_t **list)
{
    uint64_t traits[COH_SCHED_TRAITS_MAX];
    coh_ahead_read_t reads[COH_AHEAD_MAX];
    uint32_t cnt =
        coh_ahead_expect(run->ex->ahead, traits, shared_traits(run->ex, run->pos, traits), reads);
    for (uint32_t i = 0; i < cnt; i++) {
        expect(run, list, &reads[i].key, reads[i].fields, &COH_U256_ZERO);
    }
}

/* What the incarnation before read, as far as it came. */
static void expect_again(run_t *run, remote_t **list, remote_t const *before)
{
    for (; before != NULL; before = before->next) {
        if (before->is_used && before->key.kind != COH_KEY_CODE) {
            expect(run, list, &before->key, before->fields, &before->bound);
        }
    }
}

/* Keys that a test asks for in vain: whatever is expected must not make a difference. */
static void expect_nonsense(run_t *run, remote_t **list)
{
    coh_executor_t *ex = run->ex;
    uint64_t h         = coh_mix64(ex->number ^ (uint64_t)run->tx->tx_idx << 32 ^ run->incarnation);
    for (uint32_t i = 0; i < 1 + h % 6; i++) {
        uint64_t r        = coh_mix64(h + i);
        tx_t const *other = &ex->txs[r % ex->tx_cnt];
        coh_u256_t word   = coh_u256(r >> 40 & 7);
        coh_addr_t addr   = (r >> 8 & 1) ? other->to : other->sender;
        coh_key_t key     = (r >> 9 & 1) ? coh_key_slot(&addr, (uint32_t)(r >> 10 & 1), &word)
                                         : coh_key_account(&addr);
        expect(run, list, &key, (uint32_t)(r >> 16) & COH_READ_MASK, &word);
    }
}

/* Sends the reads of list down to end. */
static void collect_reads(run_t *run, remote_t const *list, remote_t const *end)
{
    for (; list != end; list = list->next) {
        collect_read(run, list, owner_of(run->ex, run->ctx, run->tx, &list->key.addr));
    }
}

/* Asks at once for all that an incarnation will probably read of other shards. */
static void ask_ahead(run_t *run)
{
    coh_executor_t *ex = run->ex;
    tx_t *tx           = run->tx;
    if (ex->env->rank_cnt <= 2 /* there is no other shard */ ||
        tx->asked_end > run->incarnation /* it begins once more */) {
        return;
    }
    tx->asked_end          = run->incarnation + 1;
    remote_t const *before = tx->remotes; /* added to by this chain's worker only */
    /* Of the first incarnation there is what was asked when the block began. */
    remote_t *list        = run->incarnation == 0 ? tx->remotes : NULL;
    remote_t const *asked = list;
    if (COH_HOOK("executor:expect_nonsense")) {
        expect_nonsense(run, &list);
    } else {
        if (!tx->is_step) {
            expect_named(run, &list);
            expect_learned(run, &list);
        }
        expect_again(run, &list, before);
    }
    (void)coh_sched_lock_tx(ex->sched, run->pos);
    tx->remotes = list;
    tx->awaited = COH_SCHED_NONE;
    coh_sched_unlock_tx(ex->sched, run->pos);
    collect_reads(run, list, asked);
}

/* Asks for senders when the block begins: so far away that somebody waits for them, they come while others run, or while their transactions are held for another reason. Those
   that come later in a chain would only be told that the nonce has changed. */
static void ask_senders(coh_executor_t *ex)
{
    uint32_t chain_cnt = 0;
    for (uint32_t pos = 0; pos < ex->tx_cnt; pos++) {
        bool is_first = ex->chain_of[pos] == chain_cnt;
        chain_cnt += is_first;
        tx_t *tx = &ex->txs[pos];
        if (!is_first || tx->is_step || tx->sender_rank == ex->env->rank) {
            continue;
        }
        run_t run = {
            .ex = ex, .ctx = &ex->ctx[ex->worker_cnt], .tx = tx, .pos = pos, .incarnation = 0};
        expect_sender(&run, &tx->remotes);
        collect_reads(&run, tx->remotes, NULL);
    }
    ctx_t *ctx = &ex->ctx[ex->worker_cnt];
    coh_metric_add(ex->env->metrics, COH_M_executor_read_remote, ctx->reads);
    ctx->reads = 0;
}

/* Remembers what an incarnation read of other shards, for those that are like it. */
static void learn_reads(coh_executor_t *ex, run_t const *run)
{
    tx_t const *tx = run->tx;
    coh_ahead_read_t reads[COH_AHEAD_MAX];
    uint32_t cnt  = 0;
    bool is_known = true;
    for (remote_t const *r = tx->remotes; r != NULL; r = r->next) { /* this chain's worker's */
        uint32_t fields = r->fields & ~(uint32_t)COH_READ_AT_LEAST;
        is_known        = is_known && r->is_ahead == r->is_used;
        if (r->is_used && fields != 0 && cnt < COH_AHEAD_MAX && r->key.kind != COH_KEY_CODE &&
            !coh_addr_eq(&r->key.addr, &tx->sender)) {
            reads[cnt++] = (coh_ahead_read_t){.key = r->key, .fields = fields};
        }
    }
    if (tx->is_step || (is_known && run->pos % AHEAD_KNOWN_SHARE != 0)) {
        return;
    }
    uint64_t traits[COH_SCHED_TRAITS_MAX];
    coh_ahead_learn(ex->ahead, traits, shared_traits(ex, run->pos, traits), reads, cnt);
}

/* ---- running ---- */

static void begin_run(run_t *run, uint32_t incarnation)
{
    run->incarnation        = incarnation;
    run->assumed            = false;
    run->ctx->mv.writer_end = 0;
    tx_t const *tx          = run->tx;
    if (tx->is_step) {
        coh_transition_begin_step(run->transition, &run->ex->block, &tx->step, &run->view);
    } else {
        coh_transition_begin(run->transition, &run->ex->block, &tx->tx, &tx->sender, &run->view);
    }
}

static run_t *unpark(coh_executor_t *ex, tx_t *tx)
{
    run_t *run = tx->run;
    tx->run    = NULL;
    if (run != NULL) {
        atomic_fetch_sub_explicit(&ex->parked_bytes, run->parked_bytes, memory_order_relaxed);
    }
    return run;
}

/* The run of an incarnation: the one that it parked with, or one that begins. */
static run_t *take_run(coh_executor_t *ex,
                       ctx_t *ctx,
                       uint32_t pos,
                       uint32_t incarnation,
                       uint32_t chain)
{
    tx_t *tx   = &ex->txs[pos];
    run_t *run = unpark(ex, tx);
    if (tx->is_parked) {
        tx->is_parked = false;
        atomic_fetch_sub_explicit(&ex->parked_cnt, 1, memory_order_relaxed);
    }
    if (run != NULL && run->incarnation == incarnation) {
        run->ctx           = ctx;
        ctx->mv.writer_end = run->writer_end;
        return run;
    }
    if (run == NULL) {
        run = ctx->runs;
        if (run != NULL) {
            ctx->runs = run->next;
            ctx->run_bytes -= run->bytes;
        } else {
            run             = coh_calloc(1, sizeof(*run));
            run->view       = (coh_view_t){.read = view_read, .code = view_code};
            run->transition = coh_transition_new();
            run->ex         = ex;
        }
    }
    run->ctx   = ctx;
    run->tx    = tx;
    run->pos   = pos;
    run->chain = chain;
    begin_run(run, incarnation);
    ask_ahead(run);
    return run;
}

static void give_run_back(ctx_t *ctx, run_t *run)
{
    tx_t const *tx = run->tx;
    if (run->bytes == 0 || tx->is_step ||
        coh_tx_may_run_code(&tx->tx)) { /* else it is as large as it was */
        run->bytes = sizeof(*run) + coh_transition_bytes(run->transition);
    }
    if (run->bytes > RUN_BYTES_KEPT || ctx->run_bytes + run->bytes > RUNS_BYTES_KEPT) {
        free_run(run);
        return;
    }
    run->next = ctx->runs;
    ctx->runs = run;
    ctx->run_bytes += run->bytes;
}

/* Lets the transaction keep its run while it is parked, if there is memory for that. */
static void park_run(coh_executor_t *ex, ctx_t *ctx, tx_t *tx, run_t *run)
{
    tx->is_parked = true;
    atomic_fetch_add_explicit(&ex->parked_cnt, 1, memory_order_relaxed);
    run->writer_end   = ctx->mv.writer_end;
    run->parked_bytes = sizeof(*run) + coh_transition_bytes(run->transition);
    size_t before =
        atomic_fetch_add_explicit(&ex->parked_bytes, run->parked_bytes, memory_order_relaxed);
    if (before + run->parked_bytes > COH_EXECUTOR_PARKED_BYTES ||
        COH_HOOK("executor:drop_parked")) {
        atomic_fetch_sub_explicit(&ex->parked_bytes, run->parked_bytes, memory_order_relaxed);
        give_run_back(ctx, run);
    } else {
        tx->run = run;
    }
}

/* Chains mostly begin in the order of their transactions: what comes soon is fetched into the cache. */
static void prefetch_after(coh_executor_t const *ex, uint32_t pos)
{
    enum { AHEAD = 4 };
    if (pos + 2 * AHEAD < ex->tx_cnt) {
        __builtin_prefetch(&ex->txs[pos + 2 * AHEAD]);
        __builtin_prefetch(ex->txs[pos + 2 * AHEAD].entries);
        coh_mv_prefetch_entry(ex->mv, ex->txs[pos + AHEAD].entries[0]);
        coh_mv_prefetch_entry(ex->mv, ex->txs[pos + AHEAD].entries[1]);
    }
}

/* Runs the chain until nothing of it is READY or it parks, and then one that waited for it, and so on, for about a millisecond; returns how much work that was. */
static uint32_t run_chain(coh_executor_t *ex, ctx_t *ctx, uint32_t chain)
{
    uint32_t ran  = 0;
    uint32_t next = COH_SCHED_NONE;
    for (;;) {
        if (ran >= WORK_TX_CNT) { /* others wait for what was collected meanwhile */
            coh_sched_put_back(ex->sched, chain);
            if (next != COH_SCHED_NONE) {
                coh_sched_put_back(ex->sched, next);
            }
            return ran;
        }
        uint32_t incarnation = 0;
        uint32_t pos         = coh_sched_start(ex->sched, chain, &incarnation);
        if (pos == COH_SCHED_NONE) {
            if (next == COH_SCHED_NONE) {
                return ran;
            }
            chain = next;
            next  = COH_SCHED_NONE;
            continue;
        }
        prefetch_after(ex, pos);
        tx_t *tx   = &ex->txs[pos];
        run_t *run = take_run(ex, ctx, pos, incarnation, chain);
        ran++;
        bool need = coh_transition_run(run->transition) == COH_TRANSITION_NEED;
        if (!need && run->assumed &&
            find_credit(tx, coh_transition_outcome(run->transition)) == NULL) {
            /* Nothing arrives where the assumption would be looked at: read, then. */
            atomic_store_explicit(&tx->reads_code, true, memory_order_relaxed);
            begin_run(run, incarnation);
            need = coh_transition_run(run->transition) == COH_TRANSITION_NEED;
        }
        if (need) {
            ctx->parked++;
            park_run(ex, ctx, tx, run); /* first: once parked, the chain is anybody's */
            if (coh_sched_park(ex->sched, chain, pos)) {
                if (next == COH_SCHED_NONE) {
                    return ran;
                }
                chain = next;
                next  = COH_SCHED_NONE;
            }
            continue;
        }
        coh_outcome_t const *o     = coh_transition_outcome(run->transition);
        coh_write_t const *assumed = run->assumed ? find_credit(tx, o) : NULL;
        ctx->executed++;
        ran += (uint32_t)(o->gas_used / WORK_GAS);
        publish(ex, ctx, pos, incarnation, o, assumed);
        learn(ex, ctx, pos, incarnation, o);
        if (tx->remotes != NULL) {
            learn_reads(ex, run);
        }
        give_run_back(ctx, run);
        act(ex, ctx);
        uint32_t woken = 0;
        if (!coh_sched_finish(ex->sched, chain, pos, &woken, &next)) {
            make_estimates(ex, ctx, pos, incarnation);
        }
        if (woken != 0) {
            ex->env->wake_workers(ex->env);
        }
    }
}

/* A chain to run. Parked ones wait for lower ones, or for what comes without us: the lowest that is not DONE has always begun. */
static uint32_t pop(coh_executor_t *ex)
{
    bool is_full =
        atomic_load_explicit(&ex->parked_cnt, memory_order_relaxed) >= PARKED_MAX * ex->worker_cnt;
    return coh_sched_pop(ex->sched, !is_full);
}

bool coh_executor_work(coh_executor_t *ex, uint32_t worker)
{
    COH_ASSERT(worker < ex->worker_cnt);
    if (!coh_sched_enter(ex->sched)) {
        return false;
    }
    uint32_t chain = pop(ex);
    if (chain == COH_SCHED_NONE) {
        coh_sched_leave(ex->sched);
        return false;
    }
    ctx_t *ctx        = &ex->ctx[worker];
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    uint32_t ran      = 0;
    for (; chain != COH_SCHED_NONE; chain = ran < WORK_TX_CNT ? pop(ex) : COH_SCHED_NONE) {
        ran += run_chain(ex, ctx, chain);
    }
    bool tell = atomic_load_explicit(&ctx->out.pending, memory_order_relaxed) != 0 ||
                coh_sched_all_done(ex->sched) || coh_mv_loads_outstanding(ex->mv) != 0 ||
                coh_codes_loads_outstanding(ex->codes) != 0;
    coh_metric_add(ex->env->metrics, COH_M_executor_incarnation, ctx->executed);
    coh_metric_add(ex->env->metrics, COH_M_executor_parked, ctx->parked);
    coh_metric_add(ex->env->metrics, COH_M_executor_held, coh_sched_take_held(ex->sched));
    coh_metric_add(ex->env->metrics, COH_M_executor_read_remote, ctx->reads);
    coh_metric_add(ex->env->metrics, COH_M_executor_round_trip, ctx->round_trips);
    ctx->executed = ctx->parked = ctx->reads = ctx->round_trips = 0;
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

static coh_err_t decode(tx_t *tx, coh_rec_block_tx_t const *in, coh_bytes_t raw, bool fees_exact)
{
    if (in->is_step != 0) {
        COH_TRY(coh_step_decode(&tx->step, raw));
        if (tx->step.kind == COH_STEP_RESTORE) {
            return COH_EMALFORMED; /* the shard makes a PATCH of it */
        }
        tx->is_step = true;
        tx->sender  = COH_SYSTEM_ADDR; /* so a home's steps are one chain */
        tx->to      = coh_step_calls(&tx->step) ? tx->step.to : COH_SYSTEM_ADDR;
        return COH_OK;
    }
    if (coh_tx_decode(&tx->tx, raw) != COH_TX_OK) {
        return COH_EMALFORMED;
    }
    if (!fees_exact && coh_tx_may_run_code(&tx->tx)) {
        return COH_EMALFORMED; /* it might read what the coinbase has */
    }
    tx->sender = in->sender;
    tx->to     = coh_tx_receiver(&tx->tx, &tx->sender);
    return COH_OK;
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
        COH_TRY(decode(tx, in, coh_bytes(raw, in->raw.n), m->fees_exact != 0));
        tx->tx_idx             = in->tx_idx;
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
            tx_t *tx      = &ex->txs[(i - AHEAD) / 2];
            uint32_t rank = (i - AHEAD) % 2 == 0 ? tx->sender_rank : tx->to_rank;
            if (rank == ex->env->rank) {
                coh_key_t key                = coh_key_account(&ex->addrs[i - AHEAD]);
                tx->entries[(i - AHEAD) % 2] = coh_mv_touch(ex->mv, &key);
            }
        }
    }
    if (ex->coinbase_rank == ex->env->rank) {
        coh_key_t key = coh_key_account(&ex->block.coinbase);
        (void)coh_mv_touch(ex->mv, &key);
    }
}

void coh_executor_allow_any_sender(coh_executor_t *ex) { ex->any_sender = true; }

coh_err_t coh_executor_begin(coh_executor_t *ex, coh_msg_block_t const *m, uint32_t serial)
{
    reserve(ex, m->txs.cnt, m->tx_cnt);
    COH_TRY(take_in(ex, m));
    ex->block        = (coh_block_env_t){.number        = m->number,
                                         .timestamp     = m->timestamp,
                                         .gas_limit     = m->gas_limit,
                                         .chain_id      = m->chain_id,
                                         .base_fee      = m->base_fee,
                                         .blob_base_fee = m->blob_base_fee,
                                         .prev_randao   = m->prev_randao,
                                         .coinbase      = m->coinbase,
                                         .fork          = (coh_fork_t)m->fork,
                                         .blob_max      = m->blob_max,
                                         .any_sender    = ex->any_sender,
                                         .fees_exact    = m->fees_exact != 0};
    ex->number       = m->number;
    ex->attempt      = m->attempt;
    ex->serial       = serial;
    ex->block_tx_cnt = m->tx_cnt;
    ex->sent         = 0;
    ex->received     = 0;
    memset(ex->effects, 0, ex->env->rank_cnt * sizeof(*ex->effects));
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        coh_mv_ctx_reset(&ex->ctx[w].mv);
        memset(ex->ctx[w].owners, 0, sizeof(ex->ctx[w].owners));
    }
    find_owners(ex);
    uint32_t chain_cnt = find_chains(ex);

    touch_keys(ex);
    ask_senders(ex);
    coh_sched_begin(ex->sched, ex->chain_of, ex->tx_cnt, chain_cnt, traits_of, ex);
    if (ex->tx_cnt != 0) {
        ex->env->wake_workers(ex->env);
    }
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
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        ex->incarnation_max = COH_MAX(ex->incarnation_max, 1 + ex->txs[i].published.incarnation);
        run_t *run          = unpark(ex, &ex->txs[i]);
        if (run != NULL) {
            give_run_back(&ex->ctx[i % ex->worker_cnt], run);
        }
    }
    for (uint32_t w = 0; w <= ex->worker_cnt; w++) {
        collected_clear(&ex->ctx[w].out, ex->env->rank_cnt);
    }
    coh_metric_set(ex->env->metrics, COH_M_executor_incarnation_max, ex->incarnation_max);
    atomic_store_explicit(&ex->parked_cnt, 0, memory_order_relaxed);
    ex->hash_waiter_cnt = 0; /* no worker is inside */
}

void coh_executor_add_hash(coh_executor_t *ex, uint64_t number, coh_hash_t const *hash)
{
    coh_spin_lock(&ex->hash_lock);
    bool next     = ex->hash_cnt != 0 && number == ex->hash_head + 1;
    ex->hash_cnt  = next ? COH_MIN(ex->hash_cnt + 1, COH_EXECUTOR_HASH_CNT) : 1;
    ex->hash_head = number;
    ex->hashes[number % COH_EXECUTOR_HASH_CNT] = *hash;
    uint32_t cnt                               = ex->hash_waiter_cnt;
    ex->hash_waiter_cnt                        = 0;
    /* Under the lock: nobody adds to the waiters meanwhile. */
    for (uint32_t i = 0; i < cnt; i++) {
        coh_sched_wake(ex->sched, ex->hash_waiters[i]);
    }
    coh_spin_unlock(&ex->hash_lock);
    if (cnt != 0) {
        ex->env->wake_workers(ex->env);
    }
}

/* ---- messages ---- */

static ctx_t *comm_ctx(coh_executor_t *ex) { return &ex->ctx[ex->worker_cnt]; }

static bool key_is_here(coh_executor_t const *ex, coh_key_t const *key)
{
    return key->kind != COH_KEY_BLOCK_HASH && key->kind < COH_KEY_KIND_CNT &&
           1 + coh_directory_owner(ex->directory, &key->addr, coh_directory_bucket(&key->addr)) ==
               ex->env->rank;
}

static bool hash_fits(coh_hash_t const *hash, coh_bytes_t bytes)
{
    coh_hash_t is;
    coh_keccak256(&is, bytes.p, bytes.n);
    return coh_hash_eq(&is, hash);
}

/* Reads a record into a write and its code; false: no home writes such a thing. */
static bool take_write(coh_write_t *w, coh_write_code_t *code, coh_rec_write_t const *r)
{
    uint32_t gone = COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE;
    bool is_slot  = r->kind == COH_KEY_SLOT;
    if ((r->flags & ~(uint32_t)COH_WRITE_MASK) != 0 || (!is_slot && r->kind != COH_KEY_ACCOUNT) ||
        (is_slot && (r->flags & ~(uint32_t)(COH_WRITE_VALUE | COH_WRITE_REMOVED)) != 0) ||
        ((r->flags & COH_WRITE_GONE) && (r->flags & gone) != gone)) {
        return false;
    }
    *w = (coh_write_t){
        .key   = {.slot = r->slot, .addr = r->addr, .kind = r->kind, .generation = r->generation},
        .flags = r->flags,
        .nonce = r->nonce,
        .word  = r->word,
        .code  = code};
    if (!(r->flags & COH_WRITE_CODE)) {
        return true;
    }
    if (r->code.n < CODE_HEAD_SZ) {
        return false;
    }
    memcpy(code->hash.b, r->code.p, sizeof(code->hash.b));
    code->generation = coh_load_u32_le(r->code.p + 32);
    code->flags      = coh_load_u32_le(r->code.p + 36);
    code->bytes      = coh_bytes(r->code.p + CODE_HEAD_SZ, r->code.n - CODE_HEAD_SZ);
    return (code->flags & ~(uint32_t)COH_ACCOUNT_HAS_STORAGE) == 0 &&
           (code->bytes.n == 0 || hash_fits(&code->hash, code->bytes));
}

coh_err_t coh_executor_on_publish(coh_executor_t *ex, uint32_t src, coh_msg_publish_t const *m)
{
    ctx_t *ctx        = comm_ctx(ex);
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    for (uint32_t i = 0; i < m->writes.cnt; i++) {
        coh_rec_write_t const *r = &m->writes.v[i];
        coh_write_t w;
        coh_write_code_t code = {0};
        if (r->tx_idx >= ex->block_tx_cnt || !take_write(&w, &code, r)) {
            return COH_EPROTO;
        }
        if (code.bytes.n != 0) {
            coh_codes_put(ex->codes, &ctx->mv, &code.hash, code.bytes);
        }
        coh_mv_publish(
            ex->mv,
            &ctx->mv,
            &w,
            (coh_mv_tx_t){.tx_idx = r->tx_idx, .incarnation = r->incarnation, .home = src});
    }
    act(ex, ctx);
    ex->received++;
    coh_metric_add(ex->env->metrics, COH_M_mvstore_write_remote, m->writes.cnt);
    coh_metric_add(ex->env->metrics, COH_M_executor_cpu, coh_clock_thread_cpu_ns() - start_ns);
    return COH_OK;
}

/* hash and generation of a VALUE, in the thread's arena; empty if there are none. */
static coh_bytes_t encode_code_of(coh_arena_t *arena, coh_value_t const *value)
{
    if (!coh_value_has_code(value) && value->generation == 0) {
        return (coh_bytes_t){0};
    }
    uint8_t *p = coh_arena_alloc(arena, VALUE_CODE_SZ);
    memcpy(p, value->code_hash.b, sizeof(value->code_hash.b));
    coh_store_u32_le(p + 32, value->generation);
    return coh_bytes(p, VALUE_CODE_SZ);
}

/* Serves a read of another shard, now or, through a waiter, when the key is at hand. */
static void serve_read(coh_executor_t *ex, coh_waiter_t const *w)
{
    ctx_t *ctx = comm_ctx(ex);
    single_t s = {.dst     = w->reader.home,
                  .id      = COH_MSG_VALUE,
                  .u.value = {.block       = ex->number,
                              .attempt     = ex->attempt,
                              .tx_idx      = w->reader.tx_idx,
                              .incarnation = w->reader.incarnation,
                              .read        = w->read}};
    if (w->key.kind == COH_KEY_CODE) {
        coh_hash_t hash = coh_codes_hash(&w->key);
        if (!coh_codes_bytes(ex->codes, &hash, &s.u.value.code)) {
            bool waits = coh_codes_want(ex->codes, &ctx->mv, &hash, w);
            act(ex, ctx);
            if (waits) {
                return;
            }
        }
        bool here = coh_codes_bytes(ex->codes, &hash, &s.u.value.code);
        COH_ASSERT(here);
    } else {
        coh_value_t value;
        coh_mv_status_t status =
            coh_mv_read(ex->mv, &ctx->mv, &value, &w->key, w->reader, w->fields, &w->bound, w);
        act(ex, ctx);
        if (status == COH_MV_WAIT) {
            return;
        }
        s.u.value.nonce = value.nonce;
        s.u.value.word  = value.word;
        s.u.value.flags = value.flags;
        s.u.value.code  = encode_code_of(&ctx->mv.arena, &value);
    }
    collect_single(ex, &ctx->out, &s);
}

coh_err_t coh_executor_on_read(coh_executor_t *ex, uint32_t src, coh_msg_read_t const *m)
{
    coh_waiter_t w = {
        .kind   = COH_WAIT_REMOTE,
        .serial = ex->serial,
        .reader = {.tx_idx = m->tx_idx, .incarnation = m->incarnation, .home = src},
        .key    = {.slot = m->slot, .addr = m->addr, .kind = m->kind, .generation = m->generation},
        .fields = m->fields,
        .read   = m->read,
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

/* Takes an answer into the read that asked for it; false: no owner answers so. */
static bool take_value(coh_executor_t *ex, remote_t *r, coh_msg_value_t const *m)
{
    r->value = (coh_value_t){.nonce = m->nonce, .word = m->word, .flags = m->flags};
    if (r->key.kind == COH_KEY_CODE) {
        coh_hash_t hash = coh_codes_hash(&r->key);
        if (!hash_fits(&hash, m->code)) {
            return false;
        }
        coh_codes_put(ex->codes, &comm_ctx(ex)->mv, &hash, m->code);
    } else if (m->code.n != 0) {
        if (m->code.n != VALUE_CODE_SZ) {
            return false;
        }
        memcpy(r->value.code_hash.b, m->code.p, sizeof(r->value.code_hash.b));
        r->value.generation = coh_load_u32_le(m->code.p + 32);
    }
    r->here = true;
    return true;
}

coh_err_t coh_executor_on_value(coh_executor_t *ex, coh_msg_value_t const *m)
{
    uint32_t pos = 0;
    COH_TRY(find_tx(ex, m->tx_idx, &pos));
    ex->received++;
    bool wake  = false;
    bool valid = true;
    /* A value for an incarnation that was retracted meanwhile is late: it is dropped. */
    if (coh_sched_lock_tx(ex->sched, pos) == m->incarnation) {
        remote_t *r = ex->txs[pos].remotes;
        while (r != NULL && r->read != m->read) {
            r = r->next;
        }
        valid = r != NULL && r->incarnation == m->incarnation && !r->here && take_value(ex, r, m);
        wake  = valid && r->read == ex->txs[pos].awaited;
    }
    coh_sched_unlock_tx(ex->sched, pos);
    if (wake) {
        coh_sched_wake(ex->sched, coh_sched_chain_of(ex->sched, pos));
        act(ex, comm_ctx(ex));
        ex->env->wake_workers(ex->env);
    }
    return valid ? COH_OK : COH_EPROTO;
}

coh_err_t coh_executor_on_retract(coh_executor_t *ex, coh_msg_retract_t const *m)
{
    uint32_t pos = 0;
    COH_TRY(find_tx(ex, m->tx_idx, &pos));
    ex->received++;
    retract(ex, comm_ctx(ex), pos, m->incarnation, m->reads_code != 0);
    ex->env->wake_workers(ex->env);
    return COH_OK;
}

void coh_executor_on_loaded(coh_executor_t *ex, coh_key_t const *key, coh_value_t const *value)
{
    ctx_t *ctx = comm_ctx(ex);
    coh_mv_loaded(ex->mv, &ctx->mv, key, value);
    act(ex, ctx);
}

void coh_executor_on_code_loaded(coh_executor_t *ex, coh_hash_t const *hash, coh_bytes_t bytes)
{
    ctx_t *ctx = comm_ctx(ex);
    coh_codes_loaded(ex->codes, &ctx->mv, hash, bytes);
    act(ex, ctx);
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
    /* Serving reads collects VALUEs, which go out with the rest, and perhaps wakes others. */
    while (ex->batch.again_cnt != 0) {
        for (uint32_t i = 0; i < ex->batch.again_cnt; i++) {
            serve_read(ex, &ex->batch.reads_again[i]);
        }
        ex->batch.again_cnt = 0;
        gather(ex, &comm_ctx(ex)->out);
    }
    /* Effects first: who reads what one before it wrote sees it then, and is not retracted for it. */
    for (uint32_t r = 0; r < ex->env->rank_cnt; r++) {
        writes_t *w = &ex->batch.writes[r];
        for (uint32_t at = 0; at < w->cnt;) {
            coh_msg_publish_t m = {.block = ex->number, .attempt = ex->attempt};
            size_t bytes        = 0;
            m.writes.v          = w->v + at;
            while (at < w->cnt && m.writes.cnt < PUBLISH_MAX && bytes < PUBLISH_BYTES_MAX) {
                bytes += w->v[at++].code.n;
                m.writes.cnt++;
            }
            coh_wire_put_publish(ex->env->outbox(ex->env, r), &m);
            sent++;
        }
        w->cnt = 0;
    }
    for (uint32_t i = 0; i < ex->batch.single_cnt; i++) {
        single_t const *s = &ex->batch.singles[i];
        put_single(ex->env->outbox(ex->env, s->dst), s);
        sent++;
    }
    ex->batch.single_cnt = 0;
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
           coh_mv_loads_outstanding(ex->mv) == 0 && coh_codes_loads_outstanding(ex->codes) == 0;
}

uint64_t coh_executor_sent(coh_executor_t const *ex) { return ex->sent; }

uint64_t coh_executor_received(coh_executor_t const *ex) { return ex->received; }

void coh_executor_sums(coh_executor_t const *ex,
                       uint64_t *gas_used,
                       uint64_t *blob_gas,
                       coh_u256_t *tips)
{
    *gas_used = 0;
    *blob_gas = 0;
    *tips     = COH_U256_ZERO;
    for (uint32_t i = 0; i < ex->tx_cnt; i++) {
        *gas_used += ex->txs[i].gas_used;
        *blob_gas += ex->txs[i].verdict == COH_TX_OK ? coh_tx_blob_gas(&ex->txs[i].tx) : 0;
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
                                            .gas_used = tx->gas_used,
                                            .logs     = tx->logs};
    }
    *cnt = ex->tx_cnt;
    return ex->results;
}

bool coh_executor_is_across(coh_executor_t const *ex, uint32_t pos)
{
    return ex->txs[pos].is_across && !ex->txs[pos].is_step;
}

static void add_used(coh_executor_t const *ex, coh_executor_used_t *out, coh_addr_t const *addr)
{
    for (uint32_t i = 0; i < out->cnt; i++) {
        if (coh_addr_eq(&out->addrs[i], addr)) {
            return;
        }
    }
    if (out->cnt < COH_EXECUTOR_USED_MAX && !coh_addr_eq(addr, &ex->block.coinbase)) {
        out->addrs[out->cnt++] = *addr;
    }
}

bool coh_executor_used(coh_executor_t const *ex, uint32_t pos, coh_executor_used_t *out)
{
    tx_t const *tx = &ex->txs[pos];
    out->cnt       = 0;
    out->gas_used  = tx->gas_used;
    if (tx->is_step || tx->verdict != COH_TX_OK) {
        return false;
    }
    add_used(ex, out, &tx->to);
    add_used(ex, out, &tx->sender);
    for (uint32_t i = 0; i < tx->published.cnt; i++) {
        add_used(ex, out, &tx->published.writes[i].key.addr);
    }
    for (remote_t const *r = tx->remotes; r != NULL; r = r->next) {
        if (r->incarnation == tx->published.incarnation && r->key.kind != COH_KEY_BLOCK_HASH) {
            add_used(ex, out, &r->key.addr);
        }
    }
    return out->cnt != 0;
}
