/* The coordinator of a dev chain (dev.h). */
#include "coordinator/dev.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/config/dev_chain.h"
#include "common/crypto/keccak.h"
#include "common/node/dev.h"
#include "common/obs/log.h"
#include "coordinator/coordinator_private.h"

#define MOD "dev"

/* Accounts that are asked for at a time while the pool is refilled. */
#define REFILL_CNT 2048u

typedef enum { IDLE, DRAINING, TAKING, CHECKING, PATCHING, REWINDING, REFILLING, MINING } stage_t;

typedef struct {
    uint64_t id;
    coh_sealed_t *head; /* a reference */
    int64_t offset_s;   /* of the chain's clock... */
    uint64_t taken_s;   /* ...then */
} snapshot_t;

/* A transaction on its way from one pool to the next. */
typedef struct {
    coh_buf_t raw;
    coh_addr_t sender;
} moved_t;

struct coh_co_dev {
    stage_t stage;
    coh_ask_t *ask;   /* what the stage is for; NULL: the first snapshot, of genesis */
    bool has_genesis; /* snapshot 0 was taken */
    bool is_patched;  /* PATCHING: the block is committed */
    uint32_t answers; /* of shards that are still to come */
    bool all_ok;
    coh_ask_t *held_first, *held_last; /* linked by next_waiting */
    coh_ask_t *waits;                  /* of kind WAIT; linked by next_waiting */
    uint64_t to;                       /* number that the head gets */
    snapshot_t *back;                  /* REVERT, RESET: where to */
    snapshot_t snapshots[COH_DEV_SNAPSHOT_MAX];
    uint32_t snapshot_cnt;
    uint64_t next_id;
    moved_t *moved; /* owned; from the last pool */
    uint32_t moved_cnt;
    uint32_t moved_at; /* those below are in the new pool, or gone */
    /* Time and blocks. */
    int64_t offset_s;
    uint64_t next_s; /* timestamp of the next block; 0: the clock's */
    bool automine;
    uint64_t interval_us; /* 0: none */
    uint64_t interval_at_us;
    coh_u256_t base_fee;    /* of the next block, if the sequencer's rules point here */
    coh_u256_t prev_randao; /* likewise */
    uint64_t mine_left;
    uint64_t mine_gap_s; /* MINING, from the second block on */
    bool mine_began;
};

coh_co_dev_t *coh_co_dev_new(void)
{
    coh_co_dev_t *d = coh_calloc(1, sizeof(*d));
    d->automine     = true;
    return d;
}

static void free_moved(coh_co_dev_t *d)
{
    for (uint32_t i = 0; i < d->moved_cnt; i++) {
        coh_buf_free(&d->moved[i].raw);
    }
    free(d->moved);
    d->moved     = NULL;
    d->moved_cnt = 0;
    d->moved_at  = 0;
}

/* drop_snapshots forgets those from the place first on. */
static void drop_snapshots(coh_co_dev_t *d, uint32_t first)
{
    while (d->snapshot_cnt > first) {
        coh_sealed_free(d->snapshots[--d->snapshot_cnt].head);
    }
}

void coh_co_dev_free(coh_co_dev_t *d)
{
    if (d != NULL) {
        drop_snapshots(d, 0);
        free_moved(d);
        free(d);
    }
}

void coh_co_dev_end_asks(coh_co_dev_t *d)
{
    d->ask        = NULL;
    d->held_first = NULL;
    d->waits      = NULL;
}

/* ---- time ---- */

static int64_t clock_s(coh_coordinator_t *c)
{
    return (int64_t)(c->env->unix_us(c->env) / 1000000);
}

uint64_t coh_co_dev_time(coh_coordinator_t *c, uint64_t parent_s)
{
    coh_co_dev_t const *d = c->dev;
    if (d->next_s != 0) {
        return COH_MAX(d->next_s, parent_s + 1);
    }
    if (d->stage == MINING && d->mine_began) {
        return parent_s + COH_MAX(d->mine_gap_s, (uint64_t)1);
    }
    int64_t now = clock_s(c) + d->offset_s;
    return now > (int64_t)parent_s ? (uint64_t)now : parent_s + 1;
}

bool coh_co_dev_is_due(coh_coordinator_t *c, uint64_t now_us)
{
    coh_co_dev_t const *d = c->dev;
    if (d->stage == MINING) {
        return d->mine_left > 0;
    }
    if (d->interval_us != 0) {
        if (now_us >= d->interval_at_us) {
            return true;
        }
        c->env->due_us = COH_MIN(c->env->due_us, d->interval_at_us);
    }
    return d->automine && coh_pool_ready_cnt(c->pool) > 0 &&
           (c->draft.unpaid_cnt == 0 || coh_pool_turn_no(c->pool) != c->draft.turn_no);
}

void coh_co_dev_built(coh_coordinator_t *c, uint64_t timestamp, uint64_t now_us)
{
    coh_co_dev_t *d = c->dev;
    if (d->next_s != 0 || d->stage == MINING) { /* the clock goes on from here */
        int64_t offset = (int64_t)timestamp - clock_s(c);
        d->offset_s    = d->next_s != 0 ? offset : COH_MAX(d->offset_s, offset);
        d->next_s      = 0;
    }
    if (d->stage == MINING) {
        d->mine_left--;
        d->mine_began = true;
    }
    if (d->interval_us != 0) {
        d->interval_at_us = now_us + d->interval_us;
    }
    c->rules.base_fee    = NULL;
    c->rules.prev_randao = NULL;
}

bool coh_co_dev_holds_blocks(coh_coordinator_t const *c)
{
    coh_co_dev_t const *d = c->dev;
    return !d->has_genesis || (d->stage != IDLE && d->stage != DRAINING && d->stage != MINING);
}

/* ---- asks ---- */

/* finish answers what the stage was for, and lets the asks go on that waited. */
static void finish(coh_coordinator_t *c)
{
    coh_co_dev_t *d = c->dev;
    coh_ask_t *ask  = d->ask;
    d->stage        = IDLE;
    d->ask          = NULL;
    coh_co_tell_head(c);
    if (ask != NULL) {
        coh_co_answer(c, ask, COH_OK);
    }
    while (d->held_first != NULL && d->stage == IDLE) {
        coh_ask_t *held = d->held_first;
        d->held_first   = held->next_waiting;
        held->is_held   = false;
        coh_co_carry_out_ask(c, held);
    }
}

/* refuse answers with the reason. */
COH_PRINTF(2, 3) static void refuse(coh_ask_t *ask, char const *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(ask->u.dev.text, sizeof(ask->u.dev.text), fmt, args);
    va_end(args);
}

bool coh_co_dev_holds(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_co_dev_t *d = c->dev;
    if (d->has_genesis && d->stage == IDLE && d->held_first == NULL) {
        return false;
    }
    ask->next_waiting = NULL;
    ask->is_held      = true;
    if (d->held_first == NULL) {
        d->held_first = ask;
    } else {
        d->held_last->next_waiting = ask;
    }
    d->held_last = ask;
    return true;
}

/* ---- transactions that nobody signed, and a new pool ---- */

static coh_tx_err_t admit(coh_coordinator_t *c,
                          coh_bytes_t raw,
                          coh_addr_t const *sender,
                          coh_hash_t *hash)
{
    coh_tx_t tx;
    coh_tx_err_t err      = coh_tx_decode(&tx, raw);
    coh_fork_t fork       = coh_co_next_env(c).fork;
    coh_buf_t authorities = COH_BUF_INIT;
    bool stale;
    if (err == COH_TX_OK) {
        coh_keccak256(hash, raw.p, raw.n);
        err =
            coh_tx_check_static(&tx, fork, c->genesis->chain_id, c->config->pool_allow_unprotected);
    }
    if (err == COH_TX_OK) {
        coh_tx_find_authorities(&authorities, &tx);
        tx.authorities = coh_buf_bytes(&authorities);
        err            = coh_pool_add(c->pool,
                           &tx,
                           hash,
                           sender,
                           fork,
                           c->env->mono_us(c->env),
                           coh_coordinator_head(c),
                           &stale);
    }
    if (err == COH_TX_OK) {
        coh_co_pooled(c, hash);
    }
    coh_buf_free(&authorities);
    return err;
}

static void set_accounts(coh_coordinator_t *c, coh_lookup_t const *l)
{
    for (uint32_t i = 0; i < l->cnt; i++) {
        coh_pool_set_account(
            c->pool, &l->keys[i].addr, l->values[i].nonce, &l->values[i].word, false, l->block);
    }
}

/* A signature that names its sender instead of being his: r is his address, with a bit above so that it is not 0. */
static void sign(coh_tx_t *tx, coh_addr_t const *sender)
{
    coh_addr_t known[COH_DEV_ACCOUNT_CNT];
    coh_dev_accounts(known);
    for (uint32_t i = 0; i < COH_DEV_ACCOUNT_CNT; i++) {
        if (coh_addr_eq(&known[i], sender)) {
            coh_err_t rc = coh_tx_sign(tx, COH_DEV_SECRETS[i]);
            COH_ASSERT(rc == COH_OK); /* it is a key */
            return;
        }
    }
    memset(tx->r, 0, sizeof(tx->r));
    memset(tx->s, 0, sizeof(tx->s));
    memcpy(tx->r + 12, sender->b, sizeof(sender->b));
    tx->r[11]  = 1;
    tx->s[31]  = 1;
    tx->parity = 0;
}

static void send_signed(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_ask_verdict_t *v     = &ask->u.dev.verdict;
    coh_addr_t const *sender = &ask->u.dev.addr;
    coh_buf_t raw            = COH_BUF_INIT;
    coh_tx_t tx;
    uint64_t committed;
    v->err = coh_tx_decode(&tx, coh_buf_bytes(&ask->bytes));
    if (v->err != COH_TX_OK) {
        return;
    }
    v->has_account = coh_pool_account(c->pool, sender, &committed, &v->nonce, &v->balance);
    if (ask->u.dev.a == 0) {
        tx.nonce = v->nonce;
    }
    sign(&tx, sender);
    coh_tx_encode(&raw, &tx);
    v->err = admit(c, coh_buf_bytes(&raw), sender, &v->hash);
    coh_buf_free(&raw);
}

static void on_sender(void *arg, coh_lookup_t *l)
{
    coh_coordinator_t *c = arg;
    coh_ask_t *ask       = (coh_ask_t *)(uintptr_t)l->tag;
    set_accounts(c, l);
    coh_lookup_free(l);
    send_signed(c, ask);
    coh_co_answer(c, ask, COH_OK);
}

static void send_tx(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_lookup_t *l = coh_lookup_new(&c->lookups, 1, on_sender, c);
    l->tag          = (uint64_t)(uintptr_t)ask;
    l->keys[0]      = (coh_rec_key_t){.kind = COH_KEY_ACCOUNT, .addr = ask->u.dev.addr};
    coh_lookups_ask(&c->lookups, l, &c->recovery.dir, coh_co_outbox, c);
}

static void refill(coh_coordinator_t *c);

static void on_senders(void *arg, coh_lookup_t *l)
{
    coh_coordinator_t *c = arg;
    coh_co_dev_t *d      = c->dev;
    set_accounts(c, l);
    for (uint32_t i = 0; i < l->cnt; i++) {
        moved_t *m = &d->moved[d->moved_at++];
        coh_hash_t hash;
        coh_tx_err_t err = admit(c, coh_buf_bytes(&m->raw), &m->sender, &hash);
        if (err != COH_TX_OK) {
            COH_LOG_INF(
                MOD, "a pooled transaction is dropped", "reason=\"%s\"", coh_tx_err_str(err));
        }
    }
    coh_lookup_free(l);
    refill(c);
}

/* refill gives the next of the moved transactions to the pool. */
static void refill(coh_coordinator_t *c)
{
    coh_co_dev_t *d = c->dev;
    uint32_t cnt    = COH_MIN(d->moved_cnt - d->moved_at, REFILL_CNT);
    if (cnt == 0) {
        free_moved(d);
        finish(c);
        return;
    }
    coh_lookup_t *l = coh_lookup_new(&c->lookups, cnt, on_senders, c);
    for (uint32_t i = 0; i < cnt; i++) {
        l->keys[i] =
            (coh_rec_key_t){.kind = COH_KEY_ACCOUNT, .addr = d->moved[d->moved_at + i].sender};
    }
    coh_lookups_ask(&c->lookups, l, &c->recovery.dir, coh_co_outbox, c);
}

static bool move_tx(void *arg, coh_pool_tx_t const *tx, bool is_ready)
{
    coh_co_dev_t *d = arg;
    (void)is_ready;
    if (d->ask != NULL && d->ask->u.dev.op == COH_DEV_DROP &&
        coh_hash_eq(&tx->hash, &d->ask->u.dev.hash)) {
        d->ask->u.dev.result = 1;
        return true;
    }
    moved_t *m = &d->moved[d->moved_cnt++];
    *m         = (moved_t){.sender = tx->sender};
    coh_buf_put(&m->raw, tx->tx.raw.p, tx->tx.raw.n);
    return true;
}

/* begin_refill replaces the pool. */
static void begin_refill(coh_coordinator_t *c)
{
    coh_co_dev_t *d = c->dev;
    d->stage        = REFILLING;
    d->moved        = coh_calloc(coh_pool_tx_cnt(c->pool) + 1, sizeof(*d->moved));
    coh_pool_visit(c->pool, NULL, move_tx, d);
    coh_co_replace_pool(c);
    refill(c);
}

/* ---- shards ---- */

static void send_all(coh_coordinator_t *c, coh_msg_dev_t const *m)
{
    c->dev->answers = c->shard_cnt;
    c->dev->all_ok  = true;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_dev(coh_co_outbox(c, s), m);
    }
}

static void take_snapshot(coh_coordinator_t *c)
{
    c->dev->stage = TAKING;
    send_all(c, &(coh_msg_dev_t){.op = COH_DEV_TAKE, .snapshot = c->dev->next_id});
}

static void taken(coh_coordinator_t *c)
{
    coh_co_dev_t *d                 = c->dev;
    d->snapshots[d->snapshot_cnt++] = (snapshot_t){.id   = d->next_id,
                                                   .head = coh_sealed_ref(coh_chain_head(c->chain)),
                                                   .offset_s = d->offset_s,
                                                   .taken_s  = (uint64_t)clock_s(c)};
    if (d->ask != NULL) {
        d->ask->u.dev.result = d->next_id;
    }
    d->next_id++;
    d->has_genesis = true;
    finish(c);
}

/* patch starts the block that changes the state. */
static void patch(coh_coordinator_t *c)
{
    coh_co_dev_t *d = c->dev;
    coh_buf_t raw   = COH_BUF_INIT;
    coh_step_t step = {.kind = COH_STEP_RESTORE};
    d->stage        = PATCHING;
    d->is_patched   = false;
    if (d->back != NULL) {
        step.snapshot = d->back->id;
        coh_step_put(&raw, &step);
        coh_co_launch_patch(c, &raw, c->shard_cnt);
    } else {
        step = (coh_step_t){.kind = COH_STEP_PATCH,
                            .to   = d->ask->u.dev.addr,
                            .list = coh_buf_bytes(&d->ask->bytes)};
        coh_step_put(&raw, &step);
        coh_co_launch_patch(c, &raw, 1);
    }
}

void coh_co_dev_patched(coh_coordinator_t *c, bool failed)
{
    coh_ask_t *ask     = c->dev->ask;
    c->dev->is_patched = true;
    if (failed && ask != NULL) {
        refuse(ask,
               "the account is empty, and would be removed with its storage when it is touched "
               "(EIP-161): give it code, a nonce or a balance first");
    }
}

/* rewind_all gives the head its number. */
static void rewind_all(coh_coordinator_t *c)
{
    coh_co_dev_t *d  = c->dev;
    coh_buf_t hashes = COH_BUF_INIT;
    uint64_t now_us  = c->env->mono_us(c->env);
    uint64_t forget  = UINT64_MAX;
    d->stage         = REWINDING;
    coh_commit_rewind(&c->commit, d->to);
    coh_state_roots_rewind(c->roots, d->to);
    if (d->back != NULL) {
        c->rules.base_fee    = NULL;
        c->rules.prev_randao = NULL;
        coh_co_tell_gone(c, d->to);
        coh_chain_rewind(c->chain, coh_sealed_ref(d->back->head), now_us);
        bool is_reset = d->ask != NULL && d->ask->u.dev.op == COH_DEV_RESET;
        d->next_s     = 0;
        d->offset_s   = is_reset ? 0 : d->back->offset_s + (int64_t)d->back->taken_s - clock_s(c);
        if (is_reset) {
            d->automine              = true;
            d->interval_us           = 0;
            c->rules.coinbase        = c->genesis->coinbase;
            c->rules.gas_limit       = c->genesis->gas_limit;
            c->rules.gas_limit_jumps = false;
            coh_admission_set_gas_limit(c->admission, c->genesis->gas_limit);
        }
        forget = d->back->id + is_reset;
        drop_snapshots(d, (uint32_t)(d->back - d->snapshots) + is_reset);
        d->back = NULL;
    }
    uint64_t first =
        d->to + 1 - COH_MIN(d->to - c->genesis->number + 1, (uint64_t)COH_BLOCK_HASHES);
    for (uint64_t n = first; n <= d->to; n++) {
        coh_sealed_t const *b =
            n == c->genesis->number ? c->genesis_block : coh_chain_block(c->chain, n);
        if (b == NULL) { /* only the last ones that are known */
            coh_buf_clear(&hashes);
        } else {
            coh_buf_put(&hashes, b->hash.b, sizeof(b->hash.b));
        }
    }
    coh_metric_set(c->metrics, COH_M_chain_head, d->to);
    send_all(c,
             &(coh_msg_dev_t){.op       = COH_DEV_REWIND,
                              .snapshot = forget,
                              .head     = d->to,
                              .attempt  = c->commit.attempt,
                              .hashes   = coh_buf_bytes(&hashes)});
    coh_buf_free(&hashes);
}

coh_err_t coh_co_dev_on_done(coh_coordinator_t *c, coh_msg_dev_done_t const *m)
{
    coh_co_dev_t *d = c->dev;
    if (d == NULL || d->answers == 0) {
        return COH_EPROTO;
    }
    d->all_ok = d->all_ok && m->ok != 0;
    if (--d->answers > 0 || c->state != COH_CO_RUNNING) {
        return COH_OK;
    }
    switch (d->stage) {
    case TAKING: taken(c); break;
    case CHECKING:
        if (d->all_ok) {
            patch(c);
            break;
        }
        refuse(d->ask,
               "the snapshot is too old, or too much has changed since: the past is remembered as "
               "far as state-past-blocks and state-past-bytes have it");
        d->back = NULL;
        finish(c);
        break;
    default: begin_refill(c);
    }
    return COH_OK;
}

/* ---- what is asked ---- */

static snapshot_t *find_snapshot(coh_co_dev_t *d, uint64_t id)
{
    for (uint32_t i = 0; i < d->snapshot_cnt; i++) {
        if (d->snapshots[i].id == id) {
            return &d->snapshots[i];
        }
    }
    return NULL;
}

/* begin goes on with what nothing is in the way of any more. */
static void begin(coh_coordinator_t *c)
{
    coh_co_dev_t *d = c->dev;
    coh_ask_t *ask  = d->ask;
    d->to           = coh_coordinator_head(c);
    d->back         = NULL;
    switch ((coh_dev_kind_t)ask->u.dev.op) {
    case COH_DEV_SNAPSHOT: take_snapshot(c); break;
    case COH_DEV_DROP: begin_refill(c); break;
    case COH_DEV_PATCH: patch(c); break;
    default:
        d->back = find_snapshot(d, ask->u.dev.op == COH_DEV_RESET ? 0 : ask->u.dev.a);
        d->to   = d->back->head->header.number;
        if (!coh_chain_can_rewind(c->chain, d->to)) {
            refuse(ask, "the snapshot is too old: not all blocks since then are in memory");
            d->back = NULL;
            finish(c);
            return;
        }
        ask->u.dev.result = 1;
        d->stage          = CHECKING;
        send_all(c, &(coh_msg_dev_t){.op = COH_DEV_CHECK, .snapshot = d->back->id});
    }
}

/* start takes an ask that needs the chain to itself. */
static void start(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_co_dev_t *d = c->dev;
    if (ask->u.dev.op == COH_DEV_SNAPSHOT && d->snapshot_cnt == COH_DEV_SNAPSHOT_MAX) {
        refuse(ask, "there are %u snapshots, which is the most", COH_DEV_SNAPSHOT_MAX);
        coh_co_answer(c, ask, COH_OK);
        return;
    }
    if (ask->u.dev.op == COH_DEV_REVERT &&
        (ask->u.dev.a == 0 || find_snapshot(d, ask->u.dev.a) == NULL)) {
        coh_co_answer(c, ask, COH_OK); /* result 0 */
        return;
    }
    d->ask   = ask;
    d->stage = DRAINING;
}

/* set_rules changes what the next block is built by, or all from here on. */
static void set_rules(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_co_dev_t *d = c->dev;
    coh_u256_t word = coh_u256_load_be(ask->u.dev.hash.b);
    switch (ask->u.dev.op) {
    case COH_DEV_COINBASE: c->rules.coinbase = ask->u.dev.addr; break;
    case COH_DEV_GAS_LIMIT:
        c->rules.gas_limit       = ask->u.dev.a;
        c->rules.gas_limit_jumps = true;
        coh_admission_set_gas_limit(c->admission, ask->u.dev.a);
        break;
    case COH_DEV_BASE_FEE:
        d->base_fee       = word;
        c->rules.base_fee = &d->base_fee;
        break;
    default: d->prev_randao = word; c->rules.prev_randao = &d->prev_randao;
    }
    coh_co_tell_head(c); /* with the environment of the next block */
    coh_co_answer(c, ask, COH_OK);
}

static void set_time(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_co_dev_t *d = c->dev;
    uint64_t at     = ask->u.dev.a;
    uint64_t head_s = coh_chain_head(c->chain)->header.timestamp;
    uint64_t max    = (uint64_t)1 << 53; /* far below what would overflow */
    if (ask->u.dev.op == COH_DEV_INCREASE_TIME) {
        if (at > max || (uint64_t)d->offset_s + at > max) {
            refuse(ask, "the time is too far away");
        } else {
            d->offset_s += (int64_t)at;
            ask->u.dev.result = (uint64_t)d->offset_s;
        }
    } else if (at <= head_s) {
        refuse(ask,
               "Timestamp %" PRIu64 " is %s the previous block's timestamp %" PRIu64,
               at,
               at == head_s ? "equal to" : "lower than",
               head_s);
    } else if (at > max) {
        refuse(ask, "the time is too far away");
    } else {
        d->next_s = at;
    }
    coh_co_tell_head(c); /* with the environment of the next block */
    coh_co_answer(c, ask, COH_OK);
}

void coh_co_dev_ask(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_co_dev_t *d = c->dev;
    if (d == NULL) {
        coh_co_answer(c, ask, COH_ENOTFOUND);
        return;
    }
    switch ((coh_dev_kind_t)ask->u.dev.op) {
    case COH_DEV_MINE:
        d->ask        = ask;
        d->stage      = MINING;
        d->mine_left  = ask->u.dev.a;
        d->mine_gap_s = ask->u.dev.b;
        d->mine_began = false;
        return;
    case COH_DEV_SNAPSHOT:
    case COH_DEV_REVERT:
    case COH_DEV_RESET:
    case COH_DEV_PATCH:
    case COH_DEV_DROP: start(c, ask); return;
    case COH_DEV_INCREASE_TIME:
    case COH_DEV_NEXT_TIMESTAMP: set_time(c, ask); return;
    case COH_DEV_COINBASE:
    case COH_DEV_GAS_LIMIT:
    case COH_DEV_BASE_FEE:
    case COH_DEV_PREV_RANDAO: set_rules(c, ask); return;
    case COH_DEV_AUTOMINE:
        ask->u.dev.result = d->automine;
        d->automine       = ask->u.dev.a == 2 ? d->automine : ask->u.dev.a != 0;
        break;
    case COH_DEV_INTERVAL_MINING:
        d->interval_us    = ask->u.dev.a * 1000;
        d->interval_at_us = c->env->mono_us(c->env) + d->interval_us;
        break;
    case COH_DEV_SEND: send_tx(c, ask); return;
    case COH_DEV_WAIT:
        ask->next_waiting = d->waits;
        d->waits          = ask;
        return;
    }
    coh_co_answer(c, ask, COH_OK);
}

/* ---- going on ---- */

/* others_are_asking: asks are under way whose answers may still depend on the state as it is. */
static bool others_are_asking(coh_coordinator_t const *c)
{
    for (coh_ask_t const *ask = c->asks.open; ask != NULL; ask = ask->next_open) {
        if (!ask->is_held && (ask->kind != COH_ASK_DEV || ask->u.dev.op == COH_DEV_SEND)) {
            return true;
        }
    }
    return false;
}

/* answer_waits answers those whose transaction is not on its way into a block. */
static bool answer_waits(coh_coordinator_t *c, uint64_t now_us)
{
    coh_co_dev_t *d  = c->dev;
    coh_ask_t **link = &d->waits;
    bool is_at_rest =
        d->stage == IDLE && coh_commit_is_quiet(&c->commit) && !coh_co_dev_is_due(c, now_us);
    bool did = false;
    while (*link != NULL) {
        coh_ask_t *ask = *link;
        if (d->automine && !is_at_rest && coh_pool_has(c->pool, &ask->u.dev.hash)) {
            link = &ask->next_waiting;
            continue;
        }
        uint64_t number;
        uint32_t idx;
        coh_tx_err_t verdict;
        *link = ask->next_waiting;
        if (!coh_chain_find(c->chain, &ask->u.dev.hash, &number, &idx) &&
            coh_chain_dropped(c->chain, &ask->u.dev.hash, &verdict)) {
            refuse(ask, "%s", coh_tx_err_str(verdict));
        }
        coh_co_answer(c, ask, COH_OK);
        did = true;
    }
    return did;
}

bool coh_co_dev_poll(coh_coordinator_t *c)
{
    coh_co_dev_t *d = c->dev;
    uint64_t now_us = c->env->mono_us(c->env);
    bool did        = answer_waits(c, now_us);
    bool is_quiet   = coh_commit_is_quiet(&c->commit);
    switch (d->stage) {
    case IDLE:
        if (!d->has_genesis) {
            take_snapshot(c);
            return true;
        }
        break;
    case DRAINING:
        /* What is in the pool to be mined at once comes first. */
        if (is_quiet && !coh_co_dev_is_due(c, now_us) && !others_are_asking(c)) {
            begin(c);
            return true;
        }
        break;
    case PATCHING:
        if (is_quiet && d->is_patched) {
            rewind_all(c);
            return true;
        }
        if (is_quiet) { /* it was refused: again, until the coordinator gives up */
            patch(c);
            return true;
        }
        break;
    case MINING:
        if (is_quiet && d->mine_left == 0) {
            finish(c);
            return true;
        }
        break;
    default: break; /* shards will answer */
    }
    return did;
}
