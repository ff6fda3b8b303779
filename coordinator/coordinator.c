#include "coordinator/coordinator_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/node/abort.h"
#include "common/node/dev.h"
#include "common/node/disk_req.h"
#include "common/obs/log.h"
#include "coordinator/decision_log.h"

#define MOD "coordinator"

/* Blocks kept in memory with their receipts: some seconds at full load, for whoever asks once more. More of them would cost time too, for
   each fills fresh memory until the oldest may go. */
#define RECENT_BLOCKS 256u
#define RECENT_BYTES  ((size_t)16 << 20)
/* The same of a dev chain. */
#define DEV_RECENT_BLOCKS 65536u
#define DEV_RECENT_BYTES  ((size_t)256 << 20)
/* The transaction index's write-behind. */
#define INDEX_TX_MAX 262144u
#define INDEX_AGE_US UINT64_C(30000000)
#define DROPPED_MAX  65536u

/* ---- failure ---- */

COH_PRINTF(2, 3) static void fail(coh_coordinator_t *c, char const *fmt, ...)
{
    if (c->state == COH_CO_FAILED || c->state == COH_CO_STOPPED) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    coh_buf_clear(&c->failure);
    coh_buf_put(&c->failure, text, strlen(text) + 1);
    c->state = COH_CO_FAILED;
    COH_LOG_ERR(MOD, "failed", "reason=\"%s\"", text);
    coh_gateway_close(c->gateway);
    coh_co_end_asks(c);
}

static void fail_rank(coh_coordinator_t *c, uint32_t rank, char const *msg, char const *what)
{
    fail(c, "rank %u: %s: %s", rank, msg, what);
}

/* ---- small helpers ---- */

coh_buf_t *coh_co_outbox(void *arg, uint32_t shard)
{
    coh_coordinator_t *c = arg;
    coh_buf_t *out       = c->env->outbox(c->env, shard + 1);
    if (out->n == 0) {
        coh_wire_put_envelope(out, &(coh_envelope_t){.sender = 0, .epoch = c->recovery.dir.epoch});
    }
    return out;
}

static coh_flight_t *flight_at(coh_coordinator_t *c, uint64_t number)
{
    coh_flight_t *f = &c->flights[number % COH_COMMIT_WINDOW];
    return f->live && f->env.number == number ? f : NULL;
}

static void end_flight(coh_flight_t *f)
{
    for (uint32_t i = 0; f->has_logs && i < f->tx_cnt; i++) {
        free((void *)(uintptr_t)f->txs[i].logs.p);
    }
    for (uint32_t i = 0; i < f->step_cnt; i++) {
        coh_buf_free(&f->steps[i].output);
    }
    coh_buf_free(&f->step_bytes);
    free(f->txs);
    free(f->homed_cnt);
    free(f->has_redo);
    free(f->stats);
    coh_import_free(f->import);
    free(f->has_nodes);
    coh_bucket_nodes_free(&f->nodes);
    coh_root_trail_free(&f->trail);
    coh_sealed_free(f->sealed);
    *f = (coh_flight_t){0};
}

/* ---- ordering ---- */

/* How many transactions ahead memory is fetched. */
#define PREFETCH_AHEAD 24u

/* Fetches the raw bytes of transaction i, if there is one. */
static inline void fetch_raw(coh_flight_t const *f, uint32_t i)
{
    if (i < f->tx_cnt) {
        uint8_t const *p = f->txs[i].tx->raw.p;
        __builtin_prefetch(p);
        __builtin_prefetch(p + COH_CACHE_LINE);
    }
}

/* next_parent: what the next block builds on, settled or committed. */
static coh_sequencer_parent_t next_parent(coh_coordinator_t *c)
{
    coh_flight_t const *f = flight_at(c, c->commit.next - 1);
    if (f != NULL) {
        coh_sequencer_parent_t parent = {
            .number          = f->env.number,
            .timestamp       = f->env.timestamp,
            .gas_limit       = f->env.gas_limit,
            .gas_used        = f->gas_used,
            .base_fee        = f->env.base_fee,
            .excess_blob_gas = f->env.excess_blob_gas,
            .blob_gas_used   = f->blob_gas,
        };
        if (f->env.fork < COH_FORK_PARIS) {
            parent.difficulty = f->env.prev_randao;
        }
        if (f->import != NULL && f->import->compares) {
            coh_header_t const *given = &f->import->expect.header;
            parent.has_ommers         = !coh_hash_eq(&given->ommers_hash, &COH_EMPTY_LIST_HASH);
            parent.excess_blob_gas    = given->excess_blob_gas;
            parent.blob_gas_used      = given->blob_gas_used;
        }
        return parent;
    }
    coh_header_t const *h = &coh_chain_head(c->chain)->header;
    return (coh_sequencer_parent_t){
        .number          = h->number,
        .timestamp       = h->timestamp,
        .gas_limit       = h->gas_limit,
        .gas_used        = h->gas_used,
        .base_fee        = h->base_fee,
        .difficulty      = h->difficulty,
        .has_ommers      = !coh_hash_eq(&h->ommers_hash, &COH_EMPTY_LIST_HASH),
        .excess_blob_gas = h->excess_blob_gas,
        .blob_gas_used   = h->blob_gas_used,
    };
}

/* When a block on top of parent is, if it is built now. */
static uint64_t now_s(coh_coordinator_t *c, coh_sequencer_parent_t const *parent)
{
    return c->dev != NULL ? coh_co_dev_time(c, parent->timestamp)
                          : c->env->unix_us(c->env) / 1000000;
}

coh_block_env_t coh_co_next_env(coh_coordinator_t *c)
{
    coh_sequencer_parent_t parent = next_parent(c);
    return coh_sequencer_env(&c->rules, &parent, now_s(c, &parent));
}

/* find_buckets finds the buckets of senders and receivers. The pool knows its senders'. */
static void find_buckets(coh_coordinator_t *c, coh_flight_t *f)
{
    uint32_t n = f->tx_cnt;
    size_t cnt = f->import != NULL ? (size_t)n * 2 : n;
    coh_buf_clear(&c->addrs);
    coh_addr_t *addrs = (coh_addr_t *)(void *)coh_buf_extend(
        &c->addrs, cnt * (sizeof(coh_addr_t) + sizeof(uint16_t)));
    uint16_t *buckets = (uint16_t *)(void *)(addrs + cnt);
    for (uint32_t i = 0; i < n; i++) {
        addrs[i] = coh_tx_receiver(f->txs[i].tx, f->txs[i].sender);
        if (f->import != NULL) {
            addrs[n + i] = *f->txs[i].sender;
        }
    }
    coh_directory_buckets(buckets, addrs, cnt);
    for (uint32_t i = 0; i < n; i++) {
        coh_block_tx_t *t = &f->txs[i];
        t->to_bucket      = buckets[i];
        t->sender_bucket  = f->import != NULL ? buckets[n + i] : t->pooled->sender_bucket;
    }
}

/* assign_homes finds for each transaction its buckets and its home: the owner of the contract that it calls, else of the sender; or as
   placement.home has it. */
static void assign_homes(coh_coordinator_t *c, coh_flight_t *f)
{
    find_buckets(c, f);
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        coh_block_tx_t *t = &f->txs[i];
        f->env.fees_exact |= coh_sequencer_asks_exact_fees(&f->env, t->tx, t->sender);
        bool calls           = c->home_callee && t->tx->data.n != 0 && !t->tx->is_create;
        coh_addr_t const *at = calls ? &t->tx->to : t->sender;
        t->home              = (uint16_t)coh_directory_owner(
            &c->recovery.dir, at, calls ? t->to_bucket : t->sender_bucket);
        if (c->home_random) {
            t->home =
                (uint16_t)(coh_mix64(coh_load_u64_le(t->hash->b) ^ c->home_seed) % c->shard_cnt);
        }
        f->homed_cnt[t->home]++;
    }
}

/* The shard that executes a step: the owner of the contract that it calls; credits can be made from anywhere. */
static void assign_step_homes(coh_coordinator_t *c, coh_flight_t *f)
{
    for (uint32_t i = 0; i < f->step_cnt; i++) {
        coh_block_step_t *t = &f->steps[i];
        coh_step_t step;
        coh_err_t err = coh_step_decode(&step, t->raw);
        COH_ASSERT(err == COH_OK); /* checked when it came */
        bool names_owner     = coh_step_calls(&step) || step.kind == COH_STEP_PATCH;
        coh_addr_t const *at = names_owner ? &step.to : &COH_SYSTEM_ADDR;
        t->home = (uint16_t)coh_directory_owner(&c->recovery.dir, at, coh_directory_bucket(at));
        if (step.kind == COH_STEP_RESTORE) {
            t->home = (uint16_t)i; /* one for each shard */
        }
        f->homed_cnt[t->home]++;
        /* It may look at the coinbase. In production it does not: produce.h. */
        f->env.fees_exact |= f->import != NULL && i >= f->before_cnt && step.kind == COH_STEP_CALL;
    }
}

/* The place in the block's order of transaction i, the way back, and the place of step i. */
static uint32_t tx_order(coh_flight_t const *f, uint32_t i) { return f->before_cnt + i; }

static uint32_t tx_of_order(coh_flight_t const *f, uint32_t order) { return order - f->before_cnt; }

static uint32_t step_order(coh_flight_t const *f, uint32_t i)
{
    return i < f->before_cnt ? i : f->tx_cnt + i;
}

static void put_step(coh_flight_t const *f, uint32_t i, coh_rec_block_tx_t *txs, uint32_t *at)
{
    coh_block_step_t const *t = &f->steps[i];
    txs[at[t->home]++] =
        (coh_rec_block_tx_t){.tx_idx = step_order(f, i), .is_step = 1, .raw = t->raw};
}

/* send_block sends BLOCK to every shard with the transactions homed there. */
static void send_block(coh_coordinator_t *c, coh_flight_t *f)
{
    coh_buf_clear(&c->send_txs);
    uint32_t order_cnt      = f->tx_cnt + f->step_cnt;
    size_t txs_sz           = (size_t)order_cnt * sizeof(coh_rec_block_tx_t);
    coh_rec_block_tx_t *txs = (coh_rec_block_tx_t *)(void *)coh_buf_extend(
        &c->send_txs, txs_sz + (size_t)c->shard_cnt * sizeof(uint32_t));
    uint32_t *at = (uint32_t *)(void *)((uint8_t *)txs + txs_sz);
    uint32_t sum = 0;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        at[s] = sum;
        sum += f->homed_cnt[s];
    }
    for (uint32_t i = 0; i < f->before_cnt; i++) {
        put_step(f, i, txs, at);
    }
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        coh_block_tx_t const *t = &f->txs[i];
        fetch_raw(f, i); /* encoded below */
        txs[at[t->home]++] =
            (coh_rec_block_tx_t){.tx_idx = tx_order(f, i), .sender = *t->sender, .raw = t->tx->raw};
    }
    for (uint32_t i = f->before_cnt; i < f->step_cnt; i++) {
        put_step(f, i, txs, at);
    }
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_msg_block_t msg = {
            .number        = f->env.number,
            .attempt       = c->commit.attempt,
            .fork          = (uint32_t)f->env.fork,
            .timestamp     = f->env.timestamp,
            .gas_limit     = f->env.gas_limit,
            .chain_id      = f->env.chain_id,
            .base_fee      = f->env.base_fee,
            .blob_base_fee = f->env.blob_base_fee,
            .blob_max      = f->env.blob_max,
            .prev_randao   = f->env.prev_randao,
            .coinbase      = f->env.coinbase,
            .fees_exact    = f->env.fees_exact,
            .tx_cnt        = order_cnt,
            .txs           = {.v = txs + (at[s] - f->homed_cnt[s]), .cnt = f->homed_cnt[s]},
        };
        coh_wire_put_block(coh_co_outbox(c, s), &msg);
    }
}

/* report_dropped remembers transactions that will be in no block, and tells subscribers. */
static void report_dropped(coh_coordinator_t *c, coh_op_dropped_t const *dropped, uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        coh_chain_drop(c->chain, &dropped[i].tx_hash, (coh_tx_err_t)dropped[i].verdict);
    }
    coh_metric_add(c->metrics, COH_M_pool_tx_dropped, cnt);
    coh_gateway_publish_dropped(c->gateway,
                                &(coh_pub_dropped_t){.txs = {.v = dropped, .cnt = cnt}});
}

/* launch sends the block that f describes (env, txs). */
static void launch(coh_coordinator_t *c, coh_flight_t *f)
{
    uint64_t number = coh_commit_begin(&c->commit);
    COH_ASSERT(number == f->env.number);
    f->live      = true;
    f->homed_cnt = coh_calloc(c->shard_cnt, sizeof(*f->homed_cnt));
    f->has_redo  = coh_calloc(c->shard_cnt, sizeof(*f->has_redo));
    f->stats     = coh_calloc(c->shard_cnt, sizeof(*f->stats));
    f->has_nodes = coh_calloc(c->shard_cnt, sizeof(*f->has_nodes));
    f->sent_us   = c->env->mono_us(c->env);
    assign_homes(c, f);
    assign_step_homes(c, f);
    coh_settle_begin(&c->settle);
    send_block(c, f);
    COH_LOG_DBG(MOD,
                "block sent",
                "block=%" PRIu64 " tx=%u attempt=%u",
                number,
                f->tx_cnt,
                c->commit.attempt);
}

static void launch_import(coh_coordinator_t *c)
{
    if (c->imports.first->env.number != c->commit.next) {
        /* A block below them was given up. */
        coh_imports_fail(
            &c->imports, COH_EINVAL, &(coh_block_fault_t){.err = COH_BLOCK_UNKNOWN_PARENT});
        return;
    }
    coh_import_t *im = coh_imports_pop(&c->imports);
    coh_flight_t *f  = &c->flights[im->env.number % COH_COMMIT_WINDOW];
    COH_ASSERT(!f->live);
    *f = (coh_flight_t){.env    = im->env,
                        .import = im,
                        .tx_cnt = im->tx_cnt,
                        .txs    = coh_calloc(im->tx_cnt, sizeof(*f->txs))};
    for (uint32_t i = 0; i < im->tx_cnt; i++) {
        f->txs[i] =
            (coh_block_tx_t){.tx = &im->txs[i], .hash = &im->hashes[i], .sender = &im->senders[i]};
    }
    f->step_cnt   = im->step_cnt;
    f->before_cnt = im->before_cnt;
    for (uint32_t i = 0; i < im->step_cnt; i++) {
        f->steps[i] = (coh_block_step_t){.raw          = im->steps[i],
                                         .use          = im->expect.step_use[i],
                                         .request_type = im->expect.request_type[i]};
    }
    launch(c, f);
}

/* follows tells whether an empty block is due behind the last one: some clients ask for a receipt only when they have seen a block come. */
static bool follows(coh_coordinator_t const *c, uint64_t now_us)
{
    return c->follow_us != 0 && now_us >= c->follow_us &&
           c->commit.next == coh_coordinator_head(c) + 1;
}

/* launch_pooled builds a block from the pool and starts it, if one is due. */
static bool launch_pooled(coh_coordinator_t *c)
{
    uint64_t now_us = c->env->mono_us(c->env);
    if (c->dev != NULL) {
        if (!coh_co_dev_is_due(c, now_us)) {
            return false;
        }
    } else if (!coh_sequencer_is_due(&c->rules, &c->draft, c->pool, now_us, false) &&
               !follows(c, now_us)) {
        c->env->due_us = coh_sequencer_due_us(&c->rules, &c->draft, c->pool);
        if (c->follow_us != 0 && c->commit.next == coh_coordinator_head(c) + 1) {
            c->env->due_us = COH_MIN(c->env->due_us, c->follow_us);
        }
        return false;
    }
    c->follow_us                  = 0;
    coh_sequencer_parent_t parent = next_parent(c);
    coh_draft_t *draft            = &c->draft;
    coh_sequencer_build(draft, &c->rules, &parent, c->pool, now_s(c, &parent), now_us);
    if (c->dev != NULL) {
        coh_co_dev_built(c, draft->env.timestamp, now_us);
    }
    if (draft->drop_cnt > 0) {
        coh_op_dropped_t *out = coh_calloc(draft->drop_cnt, sizeof(*out));
        for (uint32_t i = 0; i < draft->drop_cnt; i++) {
            out[i] = (coh_op_dropped_t){.tx_hash = draft->drops[i].hash,
                                        .verdict = (uint32_t)draft->drops[i].reason};
        }
        report_dropped(c, out, draft->drop_cnt);
        free(out);
    }
    coh_flight_t *f = &c->flights[draft->env.number % COH_COMMIT_WINDOW];
    COH_ASSERT(!f->live);
    *f = (coh_flight_t){.env    = draft->env,
                        .tx_cnt = draft->tx_cnt,
                        .txs    = coh_calloc(draft->tx_cnt, sizeof(*f->txs))};
    for (uint32_t i = 0; i < draft->tx_cnt; i++) {
        coh_pool_tx_t *t = draft->txs[i];
        f->txs[i] =
            (coh_block_tx_t){.tx = &t->tx, .hash = &t->hash, .sender = &t->sender, .pooled = t};
    }
    f->step_cnt =
        coh_produce_steps(f->steps, &f->before_cnt, &f->step_bytes, &c->schedule, &f->env);
    launch(c, f);
    return true;
}

void coh_co_launch_patch(coh_coordinator_t *c, coh_buf_t *raw, uint32_t cnt)
{
    COH_ASSERT(cnt <= COH_STEP_CNT_MAX && coh_commit_is_quiet(&c->commit));
    coh_flight_t *f   = &c->flights[c->commit.next % COH_COMMIT_WINDOW];
    *f                = (coh_flight_t){.env        = coh_co_next_env(c),
                                       .is_patch   = true,
                                       .txs        = coh_calloc(1, sizeof(*f->txs)),
                                       .step_cnt   = cnt,
                                       .before_cnt = cnt,
                                       .step_bytes = *raw};
    f->env.fees_exact = true; /* nothing for the coinbase */
    for (uint32_t i = 0; i < cnt; i++) {
        f->steps[i] = (coh_block_step_t){.raw = coh_buf_bytes(&f->step_bytes)};
    }
    *raw = COH_BUF_INIT;
    launch(c, f);
}

/* try_launch starts the next block if the pipeline and what there is to do allow it. */
static bool try_launch(coh_coordinator_t *c)
{
    if (c->state != COH_CO_RUNNING || c->moves.state != COH_MOVES_NONE ||
        coh_chain_is_behind(c->chain) ||
        !coh_commit_may_begin(&c->commit, (uint32_t)c->config->block_depth) ||
        (c->dev != NULL && coh_co_dev_holds_blocks(c))) {
        return false;
    }
    uint64_t start = coh_clock_thread_cpu_ns();
    if (c->imports.first != NULL) {
        launch_import(c);
    } else if (!launch_pooled(c)) {
        return false;
    }
    coh_metric_add(c->metrics, COH_M_coordinator_cpu_order, coh_clock_thread_cpu_ns() - start);
    return true;
}

/* ---- sealing and outcomes ---- */

/* The first transaction of an imported block that was invalid at its turn, or found too little left of the block's gas limit. */
static coh_block_fault_t judge_txs(coh_flight_t *f)
{
    uint64_t left = f->env.gas_limit;
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        coh_block_tx_t *t = &f->txs[i];
        if (t->verdict == COH_TX_OK && t->tx->gas_limit > left) { /* Yellow Paper 6.1 */
            t->verdict = COH_TX_GAS_LIMIT;
        }
        if (t->verdict != COH_TX_OK) {
            return (coh_block_fault_t){.err = COH_BLOCK_TX, .tx_err = t->verdict, .idx = i};
        }
        left -= t->gas_used;
    }
    return (coh_block_fault_t){.err = COH_BLOCK_OK};
}

/* has_root: whether a block gets a state root of its own, or the last one before. */
static bool has_root(coh_coordinator_t const *c, uint64_t number, coh_fork_t fork)
{
    return fork < COH_FORK_BYZANTIUM || number % c->config->block_root_every == 0;
}

/* The state root after each transaction, for its receipt (before EIP-658). */
static void set_roots(coh_coordinator_t *c, coh_flight_t *f)
{
    uint32_t order_cnt = f->tx_cnt + f->step_cnt;
    coh_hash_t *roots  = coh_calloc(order_cnt, sizeof(*roots));
    coh_state_roots_follow(c->roots, roots, order_cnt, &f->trail);
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        f->txs[i].root = roots[tx_order(f, i)];
    }
    free(roots);
}

/* seal makes the block of f, with its roots. */
static void seal(coh_coordinator_t *c, coh_flight_t *f)
{
    coh_hash_t root;
    if (f->env.fork < COH_FORK_BYZANTIUM) {
        set_roots(c, f);
    }
    coh_state_roots_apply(c->roots, f->env.number, &root, &f->nodes);
    if (!has_root(c, f->env.number, f->env.fork)) {
        root = coh_chain_head(c->chain)->header.state_root;
    }
    f->sealed = coh_seal(&f->env, coh_chain_head(c->chain), f->txs, f->tx_cnt, &root, &c->seal);
}

/* seal_produced seals a block of the pool's. False: its steps or logs make it invalid, and fault says why. That takes a genesis with such contracts. */
static bool seal_produced(coh_coordinator_t *c, coh_flight_t *f)
{
    coh_hash_t requests;
    uint64_t start = coh_clock_thread_cpu_ns();
    seal(c, f);
    if (f->env.fork >= COH_FORK_PRAGUE) {
        f->fault.err = coh_import_hash_requests(
            &requests, f->sealed, f->steps, f->step_cnt, &c->schedule.deposit_addr);
        if (f->fault.err != COH_BLOCK_OK) {
            return false;
        }
        coh_sealed_set_requests(f->sealed, &requests);
    }
    coh_metric_add(c->metrics, COH_M_coordinator_cpu_seal, coh_clock_thread_cpu_ns() - start);
    return true;
}

/* judge_import seals an imported block that is to be compared with its header. False: it is invalid, and fault says why. */
static bool judge_import(coh_coordinator_t *c, coh_flight_t *f)
{
    f->fault = judge_txs(f);
    if (f->fault.err != COH_BLOCK_OK || !f->import->compares) {
        return f->fault.err == COH_BLOCK_OK;
    }
    seal(c, f);
    f->fault.err = coh_import_compare(f->import, f->sealed, f->steps);
    if (f->fault.err != COH_BLOCK_OK) {
        coh_state_roots_revert(c->roots);
        coh_sealed_free(f->sealed);
        f->sealed = NULL;
        return false;
    }
    if (f->import->expect.skips == 0) {
        coh_sealed_adopt(f->sealed,
                         &f->import->expect.header,
                         f->import->expect.header_fork,
                         coh_buf_bytes(&f->import->extra));
    }
    return true;
}

/* write_decision seals f, if it is not yet, and hands its decision record to the disk. */
static void write_decision(coh_coordinator_t *c, coh_flight_t *f)
{
    uint64_t number = f->env.number;
    if (f->sealed == NULL) {
        seal(c, f);
    }
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        if (f->has_redo[s] != 0) {
            c->last_redo[s] = number;
        }
    }
    coh_decision_t d = {
        .number      = number,
        .fork        = f->env.fork,
        .burnt       = f->sealed->burnt,
        .burnt_total = f->sealed->burnt_total,
        .shard_cnt   = c->shard_cnt,
        .last_redo   = c->last_redo,
        .tx_cnt      = f->sealed->tx_cnt,
        .header      = coh_buf_bytes(&f->sealed->header_rlp),
        .extra       = coh_buf_bytes(&f->sealed->extra),
    };
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        coh_block_tx_t const *t = &f->txs[i];
        d.raw_bytes += t->verdict == COH_TX_OK ? t->tx->raw.n + t->logs.n : 0;
    }
    coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, COH_CO_DISK_DECISION, number);
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_decision_key(key, number);
    uint8_t *out = coh_kv_batch_put_space(
        &req->batch, COH_KV_BLOCKS, coh_bytes(key, sizeof(key)), coh_decision_size(&d));
    coh_decision_cursor_t cur;
    coh_decision_begin(&cur, out, &d);
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        coh_block_tx_t const *t = &f->txs[i];
        fetch_raw(f, i + PREFETCH_AHEAD);
        if (t->verdict == COH_TX_OK) {
            coh_decision_put_tx(&cur,
                                &(coh_decision_tx_t){.raw      = t->tx->raw,
                                                     .logs     = t->logs,
                                                     .sender   = *t->sender,
                                                     .status   = t->status,
                                                     .root     = t->root,
                                                     .gas_used = t->gas_used});
        }
    }
    coh_decision_end(&cur, out);
    uint8_t *header = coh_kv_batch_put_space(
        &req->batch, COH_KV_HEADERS, coh_bytes(key, sizeof(key)), sizeof(coh_hash_t) + d.header.n);
    memcpy(header, f->sealed->hash.b, sizeof(coh_hash_t));
    memcpy(header + sizeof(coh_hash_t), d.header.p, d.header.n);
    c->env->disk(c->env, req);
    c->decided = number;
}

/* doubt notes that the nonce of an account has moved without a transaction of its own: the pool takes no more of its transactions on what it knew, and if
   it has some, the account is asked for, lest they wait for a nonce that is past. */
static void doubt(coh_coordinator_t *c, coh_addr_t const *addr, coh_buf_t *doubted)
{
    if (coh_pool_doubt(c->pool, addr)) {
        coh_buf_put(doubted, addr, sizeof(*addr));
    }
}

/* doubt_authorities: who signed an authorization that tx has used is one nonce on (EIP-7702). */
static void doubt_authorities(coh_coordinator_t *c, coh_tx_t const *tx, coh_buf_t *doubted)
{
    for (size_t at = 0; at < tx->authorities.n; at += sizeof(coh_addr_t)) {
        coh_addr_t addr;
        memcpy(addr.b, tx->authorities.p + at, sizeof(addr.b));
        doubt(c, &addr, doubted);
    }
}

static void on_doubted(void *arg, coh_lookup_t *lookup)
{
    static coh_hash_t const none;
    coh_coordinator_t *c = arg;
    for (uint32_t i = 0; i < lookup->cnt && lookup->tag == c->pool_no; i++) {
        coh_rec_state_value_t const *v = &lookup->values[i];
        coh_pool_set_account(c->pool,
                             &lookup->keys[i].addr,
                             v->nonce,
                             &v->word,
                             !coh_hash_eq(&v->code_hash, &none),
                             lookup->block);
    }
    coh_lookup_free(lookup);
}

/* ask_doubted asks the owners, behind COMMIT; frees doubted. */
static void ask_doubted(coh_coordinator_t *c, coh_buf_t *doubted)
{
    uint32_t cnt = (uint32_t)(doubted->n / sizeof(coh_addr_t));
    for (uint32_t first = 0; first < cnt; first += COH_LOOKUP_KEYS_MAX) {
        uint32_t n           = COH_MIN(cnt - first, COH_LOOKUP_KEYS_MAX);
        coh_lookup_t *lookup = coh_lookup_new(&c->lookups, n, on_doubted, c);
        lookup->tag          = c->pool_no;
        for (uint32_t i = 0; i < n; i++) {
            memcpy(lookup->keys[i].addr.b,
                   doubted->p + (first + i) * sizeof(coh_addr_t),
                   sizeof(coh_addr_t));
        }
        coh_lookups_ask(&c->lookups, lookup, &c->recovery.dir, coh_co_outbox, c);
    }
    coh_buf_free(doubted);
}

/* settle_pool tells the pool what became of the block's transactions, and reports those left out. */
static void settle_pool(coh_coordinator_t *c, coh_flight_t *f, uint64_t now_us)
{
    coh_buf_t left_out = COH_BUF_INIT;
    coh_buf_t doubted  = COH_BUF_INIT;
    uint32_t kept      = 0;
    uint32_t dropped   = 0;
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        if (i + PREFETCH_AHEAD < f->tx_cnt && f->txs[i + PREFETCH_AHEAD].pooled != NULL) {
            coh_pool_tx_t const *ahead = f->txs[i + PREFETCH_AHEAD].pooled;
            coh_pool_prefetch(c->pool, &ahead->hash, &ahead->sender);
            __builtin_prefetch(&ahead->tx.value);
            __builtin_prefetch(&ahead->priv);
        }
        if (i + 2 * PREFETCH_AHEAD < f->tx_cnt) {
            __builtin_prefetch(f->txs[i + 2 * PREFETCH_AHEAD].pooled);
        }
        coh_block_tx_t *t = &f->txs[i];
        if (t->verdict == COH_TX_OK) {
            coh_op_receipt_t const *r = &f->sealed->receipts[kept++];
            if (t->pooled != NULL) {
                uint64_t wait_us = now_us - t->pooled->arrival_us;
                coh_metric_observe(c->metrics, COH_M_chain_tx_latency, wait_us);
                coh_block_stats_waited(c->block_stats, wait_us);
                coh_u256_t spent;
                (void)coh_u256_mul_u64(&spent,
                                       &r->effective_price,
                                       t->gas_used); /* below the upfront cost, which fits */
                if (t->status == 1) {
                    (void)coh_u256_add(&spent, &spent, &t->tx->value);
                }
                if (t->tx->blob_cnt != 0) {
                    coh_u256_t blob_fee;
                    (void)coh_u256_mul_u64(
                        &blob_fee, &f->env.blob_base_fee, coh_tx_blob_gas(t->tx));
                    (void)coh_u256_add(&spent, &spent, &blob_fee);
                }
                doubt_authorities(c, t->tx, &doubted);
                coh_pool_committed(c->pool, t->pooled, &spent);
            }
        } else if (t->verdict == COH_TX_NONCE_TOO_HIGH) {
            coh_pool_returned(
                c->pool, t->pooled); /* its predecessor was left out: it waits behind the gap */
        } else {
            dropped++;
            coh_op_dropped_t d = {.tx_hash = *t->hash, .verdict = (uint32_t)t->verdict};
            coh_buf_put(&left_out, &d, sizeof(d));
            coh_addr_t sender = *t->sender; /* it goes with the transaction */
            coh_pool_dropped(c->pool, t->pooled);
            if (t->verdict == COH_TX_NONCE_TOO_LOW) {
                doubt(c, &sender, &doubted);
            }
        }
    }
    ask_doubted(c, &doubted);
    if (dropped > 0) {
        report_dropped(c, (coh_op_dropped_t const *)(void const *)left_out.p, dropped);
    }
    coh_buf_free(&left_out);
}

static void publish_block(coh_coordinator_t *c, coh_sealed_t const *b)
{
    if (coh_gateway_has_subscribers(c->gateway)) {
        coh_gateway_publish_block(c->gateway,
                                  &(coh_pub_block_t){
                                      .number = b->header.number,
                                      .hash   = b->hash,
                                      .header = coh_buf_bytes(&b->header_rlp),
                                      .tx_cnt = b->tx_cnt,
                                  });
        coh_gateway_publish_receipts(c->gateway,
                                     &(coh_pub_receipts_t){
                                         .number   = b->header.number,
                                         .hash     = b->hash,
                                         .receipts = {.v = b->receipts, .cnt = b->tx_cnt},
                                     });
    }
}

/* patched: all shards have prepared the block that changes a dev chain's state. */
static void patched(coh_coordinator_t *c, coh_flight_t *f)
{
    bool failed = false;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_commit(coh_co_outbox(c, s), &(coh_msg_commit_t){.block = f->env.number});
    }
    for (uint32_t i = 0; i < f->step_cnt; i++) {
        failed = failed || f->steps[i].result != COH_STEP_RAN;
    }
    end_flight(f);
    coh_co_dev_patched(c, failed);
}

/* note_stats keeps how a committed block was executed. */
static void note_stats(coh_coordinator_t *c, coh_flight_t *f, uint64_t now_us)
{
    coh_sealed_t const *sealed = f->sealed;
    uint64_t across            = 0; /* as its shards said */
    for (uint32_t i = 0; i < f->tx_cnt; i++) {
        f->stats[f->txs[i].home].tx_cnt++;
    }
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        across += f->stats[s].across_cnt;
    }
    coh_block_stat_t block = {.number       = f->env.number,
                              .hash         = sealed->hash,
                              .timestamp    = sealed->header.timestamp,
                              .gas_used     = sealed->header.gas_used,
                              .gas_limit    = sealed->header.gas_limit,
                              .tx_cnt       = sealed->tx_cnt,
                              .cross_cnt    = (uint32_t)COH_MIN(across, (uint64_t)sealed->tx_cnt),
                              .message_cnt  = f->message_cnt,
                              .committed_us = now_us - c->started_us,
                              .settle_us    = f->settled_us - f->sent_us,
                              .prepare_us   = f->voted_us - f->settled_us,
                              .decide_us    = now_us - f->voted_us,
                              .shards       = f->stats};
    coh_block_stats_add(c->block_stats, &block);
    coh_metric_observe(c->metrics, COH_M_chain_settle_latency, block.settle_us);
    coh_metric_observe(c->metrics, COH_M_chain_prepare_latency, block.prepare_us);
    coh_metric_observe(c->metrics, COH_M_chain_decide_latency, block.decide_us);
    coh_metric_observe(c->metrics, COH_M_chain_commit_latency, now_us - f->sent_us);
    coh_metric_add(c->metrics, COH_M_chain_block, 1);
    coh_metric_add(c->metrics, COH_M_chain_gas, block.gas_used);
    coh_metric_add(c->metrics, COH_M_chain_tx, block.tx_cnt);
    coh_metric_add(c->metrics, COH_M_chain_tx_cross, block.cross_cnt);
    coh_metric_set(c->metrics, COH_M_chain_head, block.number);
}

/* on_committed: the decision is durable. */
static void on_committed(coh_coordinator_t *c, uint64_t number)
{
    if (flight_at(c, number)->is_patch) {
        patched(c, flight_at(c, number));
        return;
    }
    uint64_t start  = coh_clock_thread_cpu_ns();
    uint64_t now_us = c->env->mono_us(c->env);
    coh_flight_t *f = flight_at(c, number);
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_commit(coh_co_outbox(c, s),
                            &(coh_msg_commit_t){.block = number, .hash = f->sealed->hash});
    }
    settle_pool(c, f, now_us);
    note_stats(c, f, now_us);
    coh_sealed_t *sealed = f->sealed;
    f->sealed            = NULL;
    coh_import_t *im     = f->import;
    f->import            = NULL;
    bool was_pooled      = im == NULL && sealed->tx_cnt > 0;
    if (was_pooled && c->asks.asker.done != NULL && c->config->block_follow_ms != 0) {
        c->follow_us = now_us + c->config->block_follow_ms * 1000;
    } else if (im != NULL) {
        c->follow_us = 0;
    }
    coh_chain_append(c->chain, sealed, now_us);
    publish_block(c, sealed);
    coh_co_tell_head(c);
    COH_LOG_DBG(MOD,
                "block committed",
                "block=%" PRIu64 " tx=%u gas=%" PRIu64,
                number,
                sealed->tx_cnt,
                sealed->header.gas_used);
    end_flight(f);
    if (im != NULL) {
        coh_import_finish(im, COH_OK, NULL, sealed);
    }
    coh_metric_add(c->metrics, COH_M_coordinator_cpu_seal, coh_clock_thread_cpu_ns() - start);
}

/* on_abort discards block from and all above. Pooled transactions go back; imported blocks are tried again, unless from is invalid: then it fails, and with
   it all that were given after it, because their numbers (and states) no longer follow. */
static void on_abort(coh_coordinator_t *c, uint64_t from)
{
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_abort(coh_co_outbox(c, s),
                           &(coh_msg_abort_t){.block = from, .attempt = c->commit.attempt});
    }
    coh_flight_t *lowest    = flight_at(c, from);
    coh_block_fault_t fault = lowest->fault;
    coh_imports_t again;
    coh_imports_init(&again);
    for (uint64_t n = from; flight_at(c, n) != NULL; n++) {
        coh_flight_t *f = flight_at(c, n);
        for (uint32_t i = 0; i < f->tx_cnt && f->import == NULL; i++) {
            coh_pool_returned(c->pool, f->txs[i].pooled);
        }
        if (f->import != NULL) {
            coh_imports_push(&again, f->import);
            f->import = NULL;
        }
        end_flight(f);
        coh_metric_add(c->metrics, COH_M_chain_block_aborted, 1);
    }
    coh_imports_put_before(&c->imports, &again);
    if (fault.err != COH_BLOCK_OK) {
        coh_imports_fail(&c->imports, COH_EINVAL, &fault);
    }
}

static void step(coh_coordinator_t *c,
                 coh_commit_event_t const *event,
                 uint32_t rank,
                 char const *msg);

/* carry_out does what the commit machine asks for. */
static void carry_out(coh_coordinator_t *c, coh_commit_action_t const *a)
{
    coh_flight_t *f = flight_at(c, a->block);
    switch (a->kind) {
    case COH_COMMIT_DO_PREPARE: {
        coh_u256_t tips = COH_U256_ZERO;
        coh_buf_clear(&c->seal);
        coh_rec_digest_t *effects =
            (coh_rec_digest_t *)(void *)coh_buf_extend(&c->seal, c->shard_cnt * sizeof(*effects));
        for (uint32_t s = 0; s < c->shard_cnt; s++) {
            (void)coh_u256_add(&tips, &tips, &c->peers[s].idle.tips);
        }
        for (uint32_t dst = 0; dst < c->shard_cnt; dst++) {
            for (uint32_t src = 0; src < c->shard_cnt; src++) {
                effects[src].effects = c->peers[src].idle.effects[dst];
            }
            coh_msg_prepare_t msg = {.block           = a->block,
                                     .coinbase_credit = tips,
                                     .coinbase_paid   = !f->env.fees_exact && f->gas_used != 0,
                                     .effects         = {.v = effects, .cnt = c->shard_cnt}};
            coh_wire_put_prepare(coh_co_outbox(c, dst), &msg);
        }
        break;
    }
    case COH_COMMIT_DO_DECIDE:
        if (f->gas_reported != f->gas_used || f->blob_gas_reported != f->blob_gas) {
            fail(c,
                 "block %" PRIu64 ": gas of the votes (%" PRIu64 ", of blobs %" PRIu64
                 ") is not that at settlement (%" PRIu64 ", of blobs %" PRIu64 ")",
                 a->block,
                 f->gas_reported,
                 f->blob_gas_reported,
                 f->gas_used,
                 f->blob_gas);
        } else if (f->is_patch) {
            coh_hash_t root;
            coh_state_roots_apply(c->roots, a->block, &root, &f->nodes);
            step(c,
                 &(coh_commit_event_t){.kind = COH_COMMIT_EV_WRITTEN, .block = a->block},
                 0,
                 "patch");
        } else if (f->import != NULL && !judge_import(c, f)) {
            step(c,
                 &(coh_commit_event_t){.kind = COH_COMMIT_EV_INVALID, .block = a->block},
                 0,
                 "import");
        } else if (f->import == NULL && !seal_produced(c, f)) {
            fail(c, "block %" PRIu64 ": %s", a->block, coh_block_err_str(f->fault.err));
        } else {
            uint64_t start = coh_clock_thread_cpu_ns();
            write_decision(c, f);
            coh_metric_add(
                c->metrics, COH_M_coordinator_cpu_seal, coh_clock_thread_cpu_ns() - start);
        }
        break;
    case COH_COMMIT_DO_COMMIT: on_committed(c, a->block); break;
    case COH_COMMIT_DO_FORGET: break;
    case COH_COMMIT_DO_ABORT: on_abort(c, a->block); break;
    case COH_COMMIT_DO_RESUME:
        COH_LOG_INF(MOD,
                    "going on after an abort",
                    "block=%" PRIu64 " attempt=%u",
                    a->block,
                    c->commit.attempt);
        break;
    }
}

/* step feeds one event to the commit machine; rank and msg name who is to blame if it does not fit. */
static void step(coh_coordinator_t *c,
                 coh_commit_event_t const *event,
                 uint32_t rank,
                 char const *msg)
{
    coh_commit_actions_t actions;
    if (coh_commit_step(&c->commit, &actions, event) != COH_OK) {
        fail_rank(c, rank, msg, "does not fit the state of the block");
        return;
    }
    for (uint32_t i = 0; i < actions.cnt && c->state != COH_CO_FAILED; i++) {
        carry_out(c, &actions.v[i]);
    }
    coh_metric_set(c->metrics, COH_M_chain_inflight, c->commit.next - c->commit.undecided);
}

/* ---- moves ---- */

coh_err_t coh_coordinator_move(coh_coordinator_t *c, coh_override_t const *wanted, size_t cnt)
{
    if (c->state != COH_CO_RUNNING || c->stop_wanted) {
        return COH_ECLOSED;
    }
    COH_TRY(coh_co_moves_want(&c->moves, &c->recovery.dir, wanted, cnt));
    c->moves.since_us = c->env->mono_us(c->env);
    return COH_OK;
}

static void set_placement_metrics(coh_coordinator_t *c)
{
    coh_metric_set(c->metrics, COH_M_placement_epoch, c->recovery.dir.epoch);
    coh_metric_set(c->metrics, COH_M_placement_override, c->recovery.dir.override_cnt);
}

/* begin_move sends MOVE once nothing is under way. */
static bool begin_move(coh_coordinator_t *c)
{
    if (c->moves.state != COH_MOVES_DRAINING || !coh_commit_is_quiet(&c->commit)) {
        return false;
    }
    coh_co_moves_begin(&c->moves);
    coh_msg_move_t m = {.round = c->moves.round, .epoch = c->moves.next.epoch};
    m.moves.v        = c->moves.v;
    m.moves.cnt      = (uint32_t)c->moves.cnt;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_move(coh_co_outbox(c, s), &m);
    }
    return true;
}

static void end_move(coh_coordinator_t *c)
{
    coh_co_moves_end(&c->moves);
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_move_end(
            coh_co_outbox(c, s),
            &(coh_msg_move_end_t){.round = c->moves.round, .committed = c->moves.commits});
    }
}

static void on_usage(coh_coordinator_t *c, uint32_t shard, coh_msg_usage_t const *m)
{
    if (c->affinity == NULL) {
        fail_rank(c, shard + 1, "USAGE", "placement does not learn");
        return;
    }
    if (!coh_affinity_report(c->affinity, shard, m) || c->moves.state != COH_MOVES_NONE) {
        return;
    }
    coh_override_t *wanted         = coh_calloc(COH_AFFINITY_PLAN_MAX, sizeof(*wanted));
    size_t cnt                     = coh_affinity_plan(c->affinity, &c->recovery.dir, wanted);
    coh_affinity_figures_t figures = coh_affinity_figures(c->affinity);
    coh_metric_set(c->metrics, COH_M_placement_across, figures.now);
    coh_metric_set(c->metrics, COH_M_placement_across_before, figures.before);
    coh_err_t err = cnt != 0 ? coh_coordinator_move(c, wanted, cnt) : COH_OK;
    if (err != COH_OK && err != COH_ECLOSED) {
        COH_LOG_WRN(MOD, "accounts stay", "accounts=%zu reason=\"%s\"", cnt, coh_err_str(err));
    }
    free(wanted);
}

static void on_move_vote(coh_coordinator_t *c, uint32_t shard, coh_msg_move_vote_t const *m)
{
    bool all;
    if (coh_co_moves_vote(&c->moves, shard, m, &all) != COH_OK) {
        fail_rank(c, shard + 1, "MOVE_VOTE", "not asked for");
        return;
    }
    if (all && c->moves.commits) {
        coh_disk_req_t *req = coh_recovery_move(&c->recovery, &c->moves.next);
        req->tag            = COH_CO_DISK_DIRECTORY;
        c->env->disk(c->env, req);
    } else if (all) {
        coh_metric_add(c->metrics, COH_M_placement_round_refused, 1);
        if (c->affinity != NULL && c->moves.word == COH_MOVE_TOO_BIG) {
            coh_affinity_too_big(c->affinity, c->moves.cnt, &c->moves.about);
        }
        end_move(c);
    }
}

/* The directory is durable: from here on it counts. */
static void on_move_decided(coh_coordinator_t *c)
{
    coh_directory_free(&c->recovery.dir);
    c->recovery.dir = c->moves.next;
    c->moves.next   = (coh_directory_t){0};
    coh_metric_add(c->metrics, COH_M_placement_moves, c->moves.cnt);
    if (c->affinity != NULL) {
        coh_affinity_moved(c->affinity, c->moves.v, c->moves.cnt);
        coh_metric_set(c->metrics,
                       COH_M_placement_account_moves_max,
                       coh_affinity_figures(c->affinity).moves_max);
    }
    set_placement_metrics(c);
    COH_LOG_INF(MOD,
                "accounts moved",
                "accounts=%zu epoch=%" PRIu64 " overrides=%u",
                c->moves.cnt,
                c->recovery.dir.epoch,
                c->recovery.dir.override_cnt);
    end_move(c);
}

static void on_moved(coh_coordinator_t *c, uint32_t shard, coh_msg_moved_t const *m)
{
    bool all;
    if (coh_co_moves_moved(&c->moves, shard, m, &all) != COH_OK) {
        fail_rank(c, shard + 1, "MOVED", "not asked for");
    } else if (all) {
        coh_metric_add(c->metrics,
                       COH_M_placement_stopped,
                       (c->env->mono_us(c->env) - c->moves.since_us) * 1000);
    }
}

/* ---- messages of shards ---- */

static void on_hello(coh_coordinator_t *c, uint32_t shard, coh_msg_hello_t const *m)
{
    if (c->state != COH_CO_WAITING || c->peers[shard].hello) {
        fail_rank(c, shard + 1, "HELLO", "not expected now");
        return;
    }
    coh_buf_t text = COH_BUF_INIT;
    if (coh_recovery_check_hello(&c->recovery, m, shard + 1, &text) != COH_OK) {
        coh_wire_put_refuse(coh_co_outbox(c, shard),
                            &(coh_msg_refuse_t){.reason = coh_buf_bytes(&text)});
        fail(c, "%.*s", (int)text.n, (char const *)text.p);
    }
    coh_buf_free(&text);
    c->peers[shard].hello = true;
}

/* welcome goes on from WAITING once all HELLOs are judged and our own identity is durable. */
static bool welcome(coh_coordinator_t *c)
{
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        if (!c->peers[s].hello) {
            return false;
        }
    }
    if (!c->identity_durable) {
        return false;
    }
    coh_buf_t directory = COH_BUF_INIT;
    coh_directory_encode(&directory, &c->recovery.dir);
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_msg_welcome_t msg = {.head      = c->recovery.head,
                                 .epoch     = c->recovery.dir.epoch,
                                 .directory = coh_buf_bytes(&directory),
                                 .hashes    = coh_buf_bytes(&c->recovery.hashes)};
        coh_wire_put_welcome(coh_co_outbox(c, s), &msg);
    }
    coh_buf_free(&directory);
    coh_buf_free(&c->recovery.hashes);
    c->state = COH_CO_RECOVERING;
    return true;
}

/* NODES before READY: all buckets of a shard. */
static void on_start_nodes(coh_coordinator_t *c, uint32_t shard, coh_msg_nodes_t const *m)
{
    if (c->state != COH_CO_RECOVERING || c->peers[shard].has_nodes ||
        m->block != c->recovery.head ||
        coh_bucket_nodes_add(&c->start_nodes, &c->recovery.dir, shard, m) != COH_OK) {
        fail_rank(c, shard + 1, "NODES", "not expected now, or not of the buckets of that shard");
        return;
    }
    c->peers[shard].has_nodes = true;
}

/* check_state compares what all shards hold with the head's state root. */
static bool check_state(coh_coordinator_t *c)
{
    coh_header_t const *head = &coh_chain_head(c->chain)->header;
    coh_hash_t root;
    coh_state_roots_start(c->roots, head->number, &root, &c->start_nodes);
    coh_bucket_nodes_free(&c->start_nodes);
    bool is_known = head->number == c->genesis->number ||
                    has_root(c, head->number, coh_chain_head(c->chain)->fork);
    if (!is_known || coh_hash_eq(&root, &head->state_root)) {
        return true;
    }
    char found[65];
    char expected[65];
    coh_hex_encode(found, root.b, 32);
    coh_hex_encode(expected, head->state_root.b, 32);
    fail(c,
         "the shards' state has root %s, but block %" PRIu64
         " has %s: a shard's directory is not of this chain or has been damaged; restore all "
         "ranks' directories "
         "from one backup",
         found,
         head->number,
         expected);
    return false;
}

static void on_ready(coh_coordinator_t *c, uint32_t shard, coh_msg_ready_t const *m)
{
    if (c->state != COH_CO_RECOVERING || c->peers[shard].ready || m->head != c->recovery.head ||
        !c->peers[shard].has_nodes) {
        fail_rank(c, shard + 1, "READY", "not expected now, or of another head");
        return;
    }
    c->peers[shard].ready = true;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        if (!c->peers[s].ready) {
            return;
        }
    }
    if (!check_state(c)) {
        return;
    }
    c->state = COH_CO_RUNNING;
    coh_co_tell_head(c);
    COH_LOG_INF(MOD,
                "running",
                "shards=%u head=%" PRIu64 " reindexed=%" PRIu64,
                c->shard_cnt,
                c->recovery.head,
                c->recovery.block_cnt);
}

static void on_idle(coh_coordinator_t *c, uint32_t shard, coh_msg_idle_t const *m)
{
    if (coh_commit_is_stale(&c->commit, m->block, shard)) {
        return;
    }
    coh_flight_t *f = flight_at(c, m->block);
    if (m->block >= c->commit.next || m->effects.cnt != c->shard_cnt) {
        fail_rank(c,
                  shard + 1,
                  "IDLE",
                  "of a block that was not sent, or without the effects on each shard");
        return;
    }
    if (!coh_commit_in_phase(&c->commit, m->block, COH_COMMIT_EXECUTING)) {
        return; /* settled: a repetition */
    }
    coh_settle_answer_t answer;
    bool current = m->wave == c->settle.wave;
    if (coh_settle_idle(&c->settle, &answer, shard, m->wave, m->sent, m->received) != COH_OK) {
        fail_rank(c, shard + 1, "IDLE", "a wave that was not asked for, or a count that fell");
        return;
    }
    if (current) {
        coh_idle_t *idle = &c->peers[shard].idle;
        idle->gas_used   = m->gas_used;
        idle->blob_gas   = m->blob_gas;
        idle->tips       = m->tips;
        for (uint32_t s = 0; s < c->shard_cnt; s++) {
            idle->effects[s] = m->effects.v[s].effects;
        }
    }
    if (answer == COH_SETTLE_WAVE) {
        coh_metric_add(c->metrics, COH_M_chain_wave, 1);
        for (uint32_t s = 0; s < c->shard_cnt; s++) {
            coh_wire_put_wave(coh_co_outbox(c, s),
                              &(coh_msg_wave_t){.block = m->block, .wave = c->settle.wave});
        }
    } else if (answer == COH_SETTLE_SETTLED) {
        f->settled_us  = c->env->mono_us(c->env);
        f->voted_us    = f->settled_us;
        f->message_cnt = c->settle.sent;
        for (uint32_t s = 0; s < c->shard_cnt; s++) {
            f->gas_used += c->peers[s].idle.gas_used;
            f->blob_gas += c->peers[s].idle.blob_gas;
        }
        step(c,
             &(coh_commit_event_t){.kind = COH_COMMIT_EV_SETTLED, .block = m->block},
             shard + 1,
             "IDLE");
        (void)try_launch(c); /* the next block leaves in the same frame as PREPARE */
    }
}

/* take_step notes what came of a step. False if it is not one of those homed at shard. */
static bool take_step(coh_flight_t *f, uint32_t shard, coh_rec_result_t const *r)
{
    uint32_t idx = r->tx_idx < f->before_cnt ? r->tx_idx : r->tx_idx - f->tx_cnt;
    if (idx >= f->step_cnt || r->status > COH_STEP_NO_CODE || r->verdict != COH_TX_OK ||
        f->steps[idx].home != shard || f->steps[idx].reported) {
        return false;
    }
    coh_block_step_t *t = &f->steps[idx];
    t->reported         = true;
    t->result           = (coh_step_result_t)r->status;
    coh_buf_put(&t->output, r->logs.p, r->logs.n);
    return true;
}

/* take_results notes the outcomes that shard reports. False if they are not those of the transactions homed there. */
static bool take_results(coh_coordinator_t const *c,
                         coh_flight_t *f,
                         uint32_t shard,
                         coh_msg_vote_t const *m)
{
    if (m->results.cnt != f->homed_cnt[shard]) {
        return false;
    }
    for (uint32_t i = 0; i < m->results.cnt; i++) {
        coh_rec_result_t const *r = &m->results.v[i];
        if (r->tx_idx < f->before_cnt || r->tx_idx - f->before_cnt >= f->tx_cnt) {
            if (!take_step(f, shard, r)) {
                return false;
            }
            continue;
        }
        if (r->verdict >= COH_TX_ERR_CNT || r->status > 1) {
            return false;
        }
        coh_block_tx_t *t = &f->txs[tx_of_order(f, r->tx_idx)];
        if (t->home != shard || t->reported ||
            (r->verdict == COH_TX_OK && r->gas_used > t->tx->gas_limit)) {
            return false;
        }
        t->reported = true;
        t->verdict  = (coh_tx_err_t)r->verdict;
        t->status   = (uint8_t)r->status;
        t->gas_used = r->gas_used;
        if (r->logs.n != 0) {
            if (!coh_logs_check(r->logs)) {
                return false;
            }
            t->logs = coh_bytes(memcpy(coh_calloc(1, r->logs.n), r->logs.p, r->logs.n), r->logs.n);
            f->has_logs = true;
        }
        if (t->verdict == COH_TX_OK) {
            f->gas_reported += t->gas_used;
            f->blob_gas_reported += coh_tx_blob_gas(t->tx);
        }
    }
    f->has_redo[shard] = m->has_redo != 0;
    return f->has_redo[shard] == 0 || f->has_nodes[shard] != 0 ||
           !has_root(c, f->env.number, f->env.fork);
}

/* NODES before a yes: the buckets that the block changed. */
static void on_nodes(coh_coordinator_t *c, uint32_t shard, coh_msg_nodes_t const *m)
{
    if (coh_commit_is_stale(&c->commit, m->block, shard)) {
        return;
    }
    coh_flight_t *f = flight_at(c, m->block);
    if (f == NULL || !coh_commit_in_phase(&c->commit, m->block, COH_COMMIT_PREPARING) ||
        !has_root(c, f->env.number, f->env.fork) || f->has_nodes[shard] != 0 ||
        coh_bucket_nodes_add(&f->nodes, &c->recovery.dir, shard, m) != COH_OK) {
        fail_rank(c, shard + 1, "NODES", "not expected now, or not of the buckets of that shard");
        return;
    }
    f->has_nodes[shard] = 1;
}

/* TRAIL before NODES: the buckets that each transaction changed. */
static void on_trail(coh_coordinator_t *c, uint32_t shard, coh_msg_trail_t const *m)
{
    if (coh_commit_is_stale(&c->commit, m->block, shard)) {
        return;
    }
    coh_flight_t *f = flight_at(c, m->block);
    if (f == NULL || !coh_commit_in_phase(&c->commit, m->block, COH_COMMIT_PREPARING) ||
        f->has_nodes[shard] != 0 || f->env.fork >= COH_FORK_BYZANTIUM ||
        coh_root_trail_add(&f->trail, &c->recovery.dir, shard, f->tx_cnt + f->step_cnt, m) !=
            COH_OK) {
        fail_rank(c, shard + 1, "TRAIL", "not expected now, or not of the buckets of that shard");
    }
}

static void on_vote_no(coh_coordinator_t *c, uint32_t shard, coh_msg_vote_t const *m)
{
    if (c->abort_block == m->block && c->abort_cnt > 0) {
        c->abort_cnt++;
    } else {
        c->abort_block = m->block;
        c->abort_cnt   = 1;
    }
    coh_buf_clear(&c->abort_reason);
    coh_buf_printf(&c->abort_reason,
                   "rank %u refused block %" PRIu64 ": %s",
                   shard + 1,
                   m->block,
                   coh_abort_str(m->reason));
    COH_LOG_WRN(MOD,
                "block refused",
                "block=%" PRIu64 " by=%u reason=\"%s\" times=%u",
                m->block,
                shard + 1,
                coh_abort_str(m->reason),
                c->abort_cnt);
}

/* Of a block that is not under way (any more) it is nobody's business. */
static void on_executed(coh_coordinator_t *c, uint32_t shard, coh_msg_executed_t const *m)
{
    coh_flight_t *f = flight_at(c, m->block);
    if (f != NULL && f->stats != NULL) {
        f->stats[shard] = (coh_block_stats_shard_t){.execution_cnt  = m->executions,
                                                    .retraction_cnt = m->retractions,
                                                    .cpu_ns         = m->cpu_ns,
                                                    .across_cnt     = m->across_cnt};
    }
}

static void on_vote(coh_coordinator_t *c, uint32_t shard, coh_msg_vote_t const *m)
{
    if (coh_commit_is_stale(&c->commit, m->block, shard)) {
        return;
    }
    coh_flight_t *f = flight_at(c, m->block);
    if (f == NULL || !coh_commit_in_phase(&c->commit, m->block, COH_COMMIT_PREPARING)) {
        fail_rank(c, shard + 1, "VOTE", "on a block that is not being prepared");
        return;
    }
    if (m->yes != 0 && !take_results(c, f, shard, m)) {
        fail_rank(c,
                  shard + 1,
                  "VOTE",
                  "results are not those of the transactions homed there, or NODES do not fit");
        return;
    }
    if (m->yes == 0) {
        on_vote_no(c, shard, m);
    }
    f->voted_us           = c->env->mono_us(c->env);
    coh_commit_event_t ev = {.kind  = m->yes != 0 ? COH_COMMIT_EV_VOTE_YES : COH_COMMIT_EV_VOTE_NO,
                             .block = m->block,
                             .shard = shard};
    step(c, &ev, shard + 1, "VOTE");
    if (m->yes == 0 && c->abort_cnt >= COH_ABORTS_MAX) {
        fail(c,
             "%.*s; %u times in a row",
             (int)c->abort_reason.n,
             (char const *)c->abort_reason.p,
             c->abort_cnt);
    }
}

static void on_stats(coh_coordinator_t *c, uint32_t shard, coh_msg_stats_t const *m)
{
    if (m->figures.cnt != COH_METRIC_CNT) {
        fail_rank(c, shard + 1, "STATS", "another number of metrics than ours");
        return;
    }
    for (uint32_t i = 0; i < COH_METRIC_CNT; i++) {
        c->peers[shard].stats[i] = m->figures.v[i].v;
    }
    c->peers[shard].has_stats = true;
    c->peers[shard].stats_us  = c->env->mono_us(c->env);
}

static void on_stopped(coh_coordinator_t *c, uint32_t shard)
{
    if (c->state != COH_CO_STOPPING || c->peers[shard].stopped) {
        fail_rank(c, shard + 1, "STOPPED", "not asked for");
        return;
    }
    c->peers[shard].stopped = true;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        if (!c->peers[s].stopped) {
            return;
        }
    }
    coh_gateway_close(c->gateway);
    coh_co_end_asks(c);
    c->state = COH_CO_STOPPED;
    COH_LOG_INF(MOD, "stopped", "head=%" PRIu64, coh_coordinator_head(c));
}

static void dispatch(coh_coordinator_t *c, uint32_t shard, coh_msg_t const *m)
{
    char const *name = coh_wire_msg_name((uint32_t)m->id);
    switch (m->id) {
    case COH_MSG_HELLO: on_hello(c, shard, &m->u.hello); return;
    case COH_MSG_READY: on_ready(c, shard, &m->u.ready); return;
    case COH_MSG_NODES:
        if (c->state < COH_CO_RUNNING) {
            on_start_nodes(c, shard, &m->u.nodes);
            return;
        }
        break;
    case COH_MSG_STATS: on_stats(c, shard, &m->u.stats); return;
    case COH_MSG_STOPPED: on_stopped(c, shard); return;
    default: break;
    }
    if (c->state < COH_CO_RUNNING) {
        fail_rank(c, shard + 1, name, "before the cluster is ready");
        return;
    }
    switch (m->id) {
    case COH_MSG_IDLE: on_idle(c, shard, &m->u.idle); break;
    case COH_MSG_NODES: on_nodes(c, shard, &m->u.nodes); break;
    case COH_MSG_TRAIL: on_trail(c, shard, &m->u.trail); break;
    case COH_MSG_EXECUTED: on_executed(c, shard, &m->u.executed); break;
    case COH_MSG_VOTE: on_vote(c, shard, &m->u.vote); break;
    case COH_MSG_ACK: {
        coh_commit_event_t ev = {
            .kind  = m->u.ack.aborted != 0 ? COH_COMMIT_EV_ACK_ABORT : COH_COMMIT_EV_ACK,
            .block = m->u.ack.block,
            .shard = shard,
        };
        step(c, &ev, shard + 1, name);
        break;
    }
    case COH_MSG_MOVE_VOTE: on_move_vote(c, shard, &m->u.move_vote); break;
    case COH_MSG_MOVED: on_moved(c, shard, &m->u.moved); break;
    case COH_MSG_USAGE: on_usage(c, shard, &m->u.usage); break;
    case COH_MSG_ANSWER:
        if (coh_lookups_answer(&c->lookups, shard, &m->u.answer) != COH_OK) {
            fail_rank(
                c, shard + 1, name, "not asked for, or of another block than the other answers");
        }
        break;
    case COH_MSG_DEV_DONE:
        if (coh_co_dev_on_done(c, &m->u.dev_done) != COH_OK) {
            fail_rank(c, shard + 1, name, "not asked for");
        }
        break;
    case COH_MSG_CALL_RESULT:
        if (coh_calls_answer(&c->calls, shard, &m->u.call_result) != COH_OK) {
            fail_rank(c, shard + 1, name, "not asked for");
        }
        break;
    case COH_MSG_PROOF:
        if (coh_co_on_proof(c, shard, &m->u.proof) != COH_OK) {
            fail_rank(c, shard + 1, name, "not asked for");
        }
        break;
    case COH_MSG_BACKED_UP:
        if (coh_co_on_backed_up(c, shard, &m->u.backed_up) != COH_OK) {
            fail_rank(c, shard + 1, name, "not asked for");
        }
        break;
    case COH_MSG_SUPPOSED:
        if (coh_co_on_supposed(c, shard, &m->u.supposed) != COH_OK) {
            fail_rank(c, shard + 1, name, "not asked for, or nodes that cannot be");
        }
        break;
    case COH_MSG_RECOVERED:
        if (coh_admission_recovered(c->admission, shard, &m->u.recovered) != COH_OK) {
            fail_rank(c, shard + 1, name, "not asked for");
        }
        break;
    default: fail_rank(c, shard + 1, name, "is not for the coordinator"); break;
    }
}

/* ---- the node ---- */

static coh_coordinator_t *of(coh_node_t *node)
{
    return (coh_coordinator_t *)(void *)((uint8_t *)node - offsetof(coh_coordinator_t, node));
}

static coh_coordinator_t const *of_const(coh_node_t const *node)
{
    return (coh_coordinator_t const *)(void const *)((uint8_t const *)node -
                                                     offsetof(coh_coordinator_t, node));
}

static bool is_over(coh_coordinator_t const *c)
{
    return c->state == COH_CO_STOPPED || c->state == COH_CO_FAILED;
}

static void on_frame(coh_node_t *node, uint32_t src, coh_bytes_t frame)
{
    coh_coordinator_t *c = of(node);
    if (is_over(c)) {
        return;
    }
    coh_envelope_t env;
    coh_err_t err = coh_wire_reader_begin(c->reader, frame, &env);
    if (err != COH_OK || src == 0 || src > c->shard_cnt || env.sender != src) {
        fail(c,
             "rank %u: frame: %s",
             src,
             err != COH_OK ? coh_err_str(err) : "from another rank than it says");
        return;
    }
    coh_msg_t msg;
    char const *last = "envelope";
    while (!is_over(c)) {
        err = coh_wire_reader_next(c->reader, &msg);
        if (err == COH_ENOTFOUND) {
            return;
        }
        if (err != COH_OK) {
            fail(c, "rank %u: message after %s: %s", src, last, coh_err_str(err));
            return;
        }
        last = coh_wire_msg_name((uint32_t)msg.id);
        dispatch(c, src - 1, &msg);
    }
}

static void on_disk_done(coh_node_t *node, coh_disk_req_t *req)
{
    coh_coordinator_t *c = of(node);
    coh_err_t err        = req->err;
    uint64_t arg         = req->arg;
    uint32_t tag         = req->tag;
    if (tag == COH_CO_DISK_QUERY) {
        coh_co_disk_query_done(c, req);
        return;
    }
    if (tag == COH_CO_DISK_ASK) {
        coh_co_disk_ask_done(c, req);
        return;
    }
    if (tag == COH_CO_DISK_BACKUP || tag == COH_CO_DISK_MANIFEST) {
        coh_co_disk_backup_done(c, req);
        return;
    }
    coh_disk_req_free(req);
    if (tag == COH_CO_DISK_INDEX) {
        coh_chain_flush_done(c->chain, err == COH_OK);
    }
    if (is_over(c)) {
        return;
    }
    if (err != COH_OK) {
        static char const *const what[] = {[COH_CO_DISK_IDENTITY]  = "identity",
                                           [COH_CO_DISK_DECISION]  = "decision record",
                                           [COH_CO_DISK_INDEX]     = "transaction index",
                                           [COH_CO_DISK_DIRECTORY] = "directory"};
        /* Of a decision nobody knows now whether it will be there after a restart: nothing is sent (commit.h). */
        fail(c, "writing the %s failed: %s", what[tag], coh_err_str(err));
    } else if (tag == COH_CO_DISK_IDENTITY) {
        c->identity_durable = true;
    } else if (tag == COH_CO_DISK_DIRECTORY) {
        on_move_decided(c);
    } else if (tag == COH_CO_DISK_DECISION) {
        c->abort_cnt = 0;
        step(c, &(coh_commit_event_t){.kind = COH_COMMIT_EV_WRITTEN, .block = arg}, 0, "decision");
    }
}

/* drain goes on with stopping; true if it did something. */
static bool drain(coh_coordinator_t *c)
{
    if (c->moves.state == COH_MOVES_DRAINING) {
        coh_co_moves_cancel(&c->moves);
    }
    if (c->moves.state != COH_MOVES_NONE || !coh_commit_is_quiet(&c->commit) ||
        !coh_chain_is_flushed(c->chain)) {
        return false;
    }
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_wire_put_stop(coh_co_outbox(c, s), &(coh_msg_stop_t){.reason = 0});
    }
    c->state = COH_CO_STOPPING;
    return true;
}

static bool on_tick(coh_node_t *node)
{
    coh_coordinator_t *c = of(node);
    bool any             = false;
    switch (c->state) {
    case COH_CO_WAITING: return welcome(c);
    case COH_CO_RECOVERING:
    case COH_CO_STOPPED:
    case COH_CO_FAILED: return false;
    case COH_CO_RUNNING:
        if (c->stop_wanted) {
            c->state = COH_CO_DRAINING;
            coh_admission_stop(c->admission);
            coh_calls_stop(&c->calls);
            coh_imports_fail(&c->imports, COH_ECLOSED, NULL);
            any = true;
        }
        break;
    case COH_CO_DRAINING: any = drain(c); break;
    case COH_CO_STOPPING: break;
    }
    any |= coh_admission_poll(c->admission);
    any |= begin_move(c);
    any |= try_launch(c);
    if (c->dev != NULL && c->state == COH_CO_RUNNING) {
        any |= coh_co_dev_poll(c);
    }
    coh_disk_req_t *flush =
        coh_chain_flush_begin(c->chain,
                              c->env->mono_us(c->env),
                              c->state == COH_CO_DRAINING && coh_commit_is_quiet(&c->commit));
    if (flush != NULL) {
        flush->tag = COH_CO_DISK_INDEX;
        c->env->disk(c->env, flush);
        any = true;
    }
    c->env->due_us = COH_MIN(c->env->due_us, coh_chain_flush_due_us(c->chain));
    coh_metric_set(c->metrics, COH_M_pool_tx, coh_pool_tx_cnt(c->pool));
    coh_metric_set(c->metrics, COH_M_pool_sender, coh_pool_sender_cnt(c->pool));
    return any;
}

static bool work(coh_node_t *node, uint32_t worker)
{
    (void)worker;
    return coh_admission_work(of(node)->admission);
}

static void stop(coh_node_t *node) { of(node)->stop_wanted = true; }

static bool finished(coh_node_t const *node) { return is_over(of_const(node)); }

static char const *failed(coh_node_t const *node)
{
    coh_coordinator_t const *c = of_const(node);
    return c->state == COH_CO_FAILED ? (char const *)c->failure.p : NULL;
}

static void free_coordinator(coh_coordinator_t *c)
{
    coh_co_end_asks(c);
    coh_sealed_free(c->genesis_block);
    coh_admission_free(c->admission);
    coh_lookups_fini(&c->lookups);
    coh_calls_fini(&c->calls);
    coh_co_free_proofs(c);
    coh_co_free_supposals(c);
    coh_block_stats_free(c->block_stats);
    for (uint32_t i = 0; i < COH_COMMIT_WINDOW; i++) {
        end_flight(&c->flights[i]);
    }
    coh_imports_fini(&c->imports);
    coh_backup_fini(&c->backup);
    coh_gateway_free(c->gateway);
    coh_co_dev_free(c->dev);
    coh_pool_free(c->pool);
    coh_state_roots_free(c->roots);
    coh_bucket_nodes_free(&c->start_nodes);
    coh_chain_free(c->chain);
    coh_co_moves_fini(&c->moves);
    coh_affinity_free(c->affinity);
    coh_settle_fini(&c->settle);
    coh_commit_fini(&c->commit);
    coh_wire_reader_free(c->reader);
    for (uint32_t s = 0; c->peers != NULL && s < c->shard_cnt; s++) {
        free(c->peers[s].idle.effects);
    }
    free(c->peers);
    free(c->last_redo);
    coh_buf_free(&c->recovery.hashes);
    coh_directory_free(&c->recovery.dir);
    coh_buf_free(&c->failure);
    coh_buf_free(&c->abort_reason);
    coh_buf_free(&c->send_txs);
    coh_buf_free(&c->addrs);
    coh_buf_free(&c->seal);
    coh_draft_free(&c->draft);
    free(c);
}

static void free_node(coh_node_t *node) { free_coordinator(of(node)); }

static coh_node_ops_t const node_ops = {
    .on_frame     = on_frame,
    .on_disk_done = on_disk_done,
    .on_tick      = on_tick,
    .work         = work,
    .stop         = stop,
    .finished     = finished,
    .failed       = failed,
    .free         = free_node,
};

/* read_options takes from the configuration what needs parsing. */
static coh_err_t read_options(coh_coordinator_t *c, coh_buf_t *err_text)
{
    char const *coinbase = c->config->block_coinbase;
    c->rules             = (coh_sequencer_rules_t){
                    .genesis           = c->genesis,
                    .coinbase          = c->genesis->coinbase,
                    .gas_limit         = c->genesis->gas_limit,
                    .tx_max            = (uint32_t)c->config->block_tx_max,
                    .interval_us       = c->config->block_interval_ms * 1000,
                    .allow_unprotected = c->config->pool_allow_unprotected,
    };
    if (coinbase[0] != '\0' && coh_hex_decode(c->rules.coinbase.b,
                                              sizeof(c->rules.coinbase.b),
                                              coinbase,
                                              strlen(coinbase)) != COH_OK) {
        coh_buf_printf(err_text, "block-coinbase: \"%s\" is no address", coinbase);
        return COH_EINVAL;
    }
    static char const random[] = "random:";
    char const *home           = c->config->placement_home;
    if (strncmp(home, random, sizeof(random) - 1) == 0 && home[sizeof(random) - 1] != '\0') {
        char *end;
        c->home_random = true;
        c->home_seed   = strtoull(home + sizeof(random) - 1, &end, 10);
        if (*end == '\0') {
            return COH_OK;
        }
    } else if (strcmp(home, "callee") == 0 || strcmp(home, "sender") == 0) {
        c->home_callee = home[0] == 'c';
        return COH_OK;
    }
    coh_buf_printf(
        err_text, "placement-home: \"%s\" is neither callee, sender nor random:SEED", home);
    return COH_EINVAL;
}

static coh_pool_t *new_pool(coh_config_t const *cfg)
{
    return coh_pool_new(&(coh_pool_limits_t){
        .tx_max        = cfg->pool_tx_max,
        .sender_tx_max = cfg->pool_sender_tx_max,
        .order         = strcmp(cfg->pool_order, "tip") == 0 ? COH_POOL_TIP : COH_POOL_ARRIVAL,
        /* who asks a dev chain for something may have it */
        .delegated_tx_max = cfg->node_dev ? 0 : cfg->pool_delegated_tx_max,
    });
}

void coh_co_replace_pool(coh_coordinator_t *c)
{
    coh_pool_free(c->pool);
    c->pool = new_pool(c->config);
    c->pool_no++;
    c->draft.unpaid_cnt = 0;
    coh_admission_set_pool(c->admission, c->pool);
}

static void open_modules(coh_coordinator_t *c, coh_gateway_sink_t *sink)
{
    coh_config_t const *cfg = c->config;
    c->chain                = c->recovery.chain;
    c->genesis_block        = coh_seal_genesis(c->genesis);
    c->schedule             = coh_produce_schedule(c->genesis, cfg->block_root_every);
    c->last_redo            = c->recovery.last_redo;
    c->roots  = coh_state_roots_new(cfg->state_history_blocks, cfg->state_history_bytes);
    c->reader = coh_wire_reader_new();
    c->peers  = coh_calloc(c->shard_cnt, sizeof(*c->peers));
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        c->peers[s].idle.effects = coh_calloc(c->shard_cnt, sizeof(uint64_t));
    }
    c->pool = new_pool(cfg);
    c->dev  = cfg->node_dev ? coh_co_dev_new() : NULL;
    coh_lookups_init(&c->lookups, c->shard_cnt);
    c->block_stats = coh_block_stats_new(c->shard_cnt);
    coh_calls_init(&c->calls,
                   c->shard_cnt,
                   (uint32_t)cfg->call_inflight_max,
                   &c->recovery.dir,
                   coh_co_outbox,
                   c);
    coh_co_moves_init(&c->moves, c->shard_cnt);
    if (strcmp(cfg->placement_policy, "affinity") == 0) {
        c->affinity = coh_affinity_new(c->shard_cnt);
    }
    set_placement_metrics(c);
    coh_settle_init(&c->settle, c->shard_cnt);
    coh_commit_init(&c->commit, c->shard_cnt, c->recovery.head);
    c->gateway = coh_gateway_new(
        sink, &coh_co_backend, c, c->metrics, (uint32_t)cfg->client_inflight_requests_max);
    c->admission = coh_admission_new(&(coh_admission_deps_t){
        .env               = c->env,
        .pool              = c->pool,
        .chain             = c->chain,
        .lookups           = &c->lookups,
        .dir               = &c->recovery.dir,
        .outbox            = coh_co_outbox,
        .outbox_arg        = c,
        .chain_id          = c->genesis->chain_id,
        .gas_limit         = c->genesis->gas_limit,
        .allow_unprotected = cfg->pool_allow_unprotected,
        .inflight_tx_max   = (uint32_t)cfg->client_inflight_tx_max,
        .pooled            = coh_co_pooled,
        .pooled_arg        = c,
    });
}

coh_err_t coh_coordinator_new(coh_coordinator_t **out,
                              coh_config_t const *config,
                              coh_genesis_t const *genesis,
                              coh_env_t *env,
                              coh_kv_t *kv,
                              coh_gateway_sink_t *sink,
                              coh_buf_t *err_text)
{
    COH_ASSERT(env->rank == 0 && env->rank_cnt > 1);
    coh_coordinator_t *c = coh_calloc(1, sizeof(*c));
    c->node.ops          = &node_ops;
    c->config            = config;
    c->genesis           = genesis;
    c->env               = env;
    c->metrics           = env->metrics;
    c->shard_cnt         = env->rank_cnt - 1;
    c->started_us        = env->mono_us(env);
    coh_imports_init(&c->imports);
    coh_err_t err = read_options(c, err_text);
    if (config->node_dev && c->shard_cnt > COH_DEV_SHARD_MAX) {
        coh_buf_printf(err_text, "a dev chain has at most %u shards", COH_DEV_SHARD_MAX);
        err = COH_EINVAL;
    }
    if (err == COH_OK) {
        coh_chain_limits_t limits = {
            .recent_cnt   = RECENT_BLOCKS,
            .recent_bytes = RECENT_BYTES,
            .index_tx_max = INDEX_TX_MAX,
            .index_age_us = INDEX_AGE_US,
            .dropped_max  = DROPPED_MAX,
        };
        if (config->node_dev) { /* it may go back behind them */
            limits.recent_cnt   = DEV_RECENT_BLOCKS;
            limits.recent_bytes = DEV_RECENT_BYTES;
        }
        uint64_t seed = coh_mix64(env->unix_us(env) ^ (uint64_t)(uintptr_t)c);
        err           = coh_recovery_open(&c->recovery,
                                kv,
                                genesis,
                                config,
                                &limits,
                                env->rank_cnt,
                                c->started_us,
                                seed,
                                err_text);
    }
    if (err != COH_OK) {
        free(c);
        return err;
    }
    open_modules(c, sink);
    coh_metric_set(c->metrics, COH_M_chain_head, c->recovery.head);
    c->decided = c->recovery.head;
    if (c->recovery.fresh) {
        coh_disk_req_t *req = coh_recovery_identity(&c->recovery);
        req->tag            = COH_CO_DISK_IDENTITY;
        env->disk(env, req);
    } else {
        c->identity_durable = true;
    }
    *out = c;
    return COH_OK;
}

coh_node_t *coh_coordinator_node(coh_coordinator_t *c) { return &c->node; }

void coh_coordinator_on_request(coh_coordinator_t *c, uint64_t request, coh_bytes_t data)
{
    coh_gateway_on_request(c->gateway, request, data);
}

bool coh_coordinator_is_ready(coh_coordinator_t const *c) { return c->state == COH_CO_RUNNING; }

uint64_t coh_coordinator_head(coh_coordinator_t const *c)
{
    return coh_chain_head(c->chain)->header.number;
}

/* ---- import ---- */

coh_err_t coh_coordinator_import(coh_coordinator_t *c,
                                 coh_import_block_t const *b,
                                 coh_import_done_fn *done,
                                 void *arg)
{
    if (c->state > COH_CO_RUNNING || c->stop_wanted) {
        return COH_ECLOSED;
    }
    if (b->tx_cnt > c->config->block_tx_max) {
        return COH_ETOOBIG;
    }
    if (c->imports.cnt >= COH_IMPORT_QUEUE_MAX) {
        return COH_EBUSY;
    }
    uint64_t next = c->commit.next + c->imports.cnt;
    if (c->imports.cnt > 0) {
        next = c->imports.first->env.number + c->imports.cnt;
    }
    if (b->number != next) {
        return COH_EINVAL;
    }
    coh_import_t *im = coh_import_new(b, c->genesis->chain_id, done, arg);
    if (im == NULL) {
        return COH_EINVAL;
    }
    coh_imports_push(&c->imports, im);
    return COH_OK;
}
