/* Calls while blocks are executed: contracts that call each other across shards, asked about by calls, estimates, access lists, traces and reads of state at random blocks, in any layout,
   with the next blocks under way, and after restarts. Each answer is octet by octet the one that the state after that block gives, executed in sequence (callrun.h over the state in memory; its own
   truth is test_callrun's business). */
/* links: coh_block_cluster */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/obs/log.h"
#include "common/state/memview.h"
#include "deploy/cohort/block_cluster.h"
#include "shard/callrun.h"
#include "shard/codes.h"
#include "tests/support/codegen.h"
#include "tests/support/pins.h"
#include "tests/support/seed.h"
#include "tests/support/txgen.h"

enum {
    BLOCKS    = 8,
    BLOCK_TXS = 20,
    EOAS      = 6,
    CONTRACTS = 8,
    TARGETS   = EOAS + CONTRACTS + 2,
    ASKS      = 24
};
#define CHAIN_ID    UINT64_C(7)
#define BASE_FEE    UINT64_C(10)
#define BLOCK_GAS   UINT64_C(60000000)
#define FIRST_BLOCK UINT64_C(301)
#define FORK        COH_FORK_PRAGUE

/* A question about the state of one block, and the answer. */
typedef struct {
    uint64_t block;
    coh_op_id_t op;
    coh_buf_t request;
    coh_buf_t answer;
    bool is_asked, is_answered;
} ask_t;

typedef struct {
    coh_rng_t rng;
    coh_txgen_t *gen;
    coh_genesis_t genesis;
    coh_addr_t targets[TARGETS];
    coh_import_block_t blocks[BLOCKS];
    coh_bytes_t raws[BLOCKS][BLOCK_TXS];
    coh_addr_t senders[BLOCKS][BLOCK_TXS];
    coh_memview_t *state;
    coh_transition_t *transition;
    coh_call_codes_t *codes;
    ask_t asks[(BLOCKS + 1) * ASKS];
    uint32_t ask_cnt;
    /* Of a run. */
    coh_block_cluster_t *cluster;
    uint32_t answered_cnt;
    uint32_t refused_cnt;
    uint32_t wrong_cnt;
    uint32_t behind_cnt; /* asked of a block below the head */
    bool restarts;
} world_t;

static uint64_t run_seed;

static coh_hash_t ancestor(uint64_t number)
{
    coh_hash_t hash;
    coh_keccak256(&hash, &number, sizeof(number));
    return hash;
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    coh_hash_t hash = ancestor(number); /* of others nobody asks */
    *out            = coh_u256_from_be(hash.b, 32);
}

static coh_addr_t contract_addr(uint32_t i)
{
    return (coh_addr_t){.b = {0xc0, (uint8_t)(i * 41), [19] = (uint8_t)i}};
}

static coh_block_env_t env_of(coh_import_block_t const *b)
{
    coh_block_env_t env = coh_import_env(b, CHAIN_ID);
    env.fees_exact      = true;
    return env;
}

static void fill_data(coh_rng_t *rng, uint8_t data[32])
{
    for (int i = 0; i < 32; i++) {
        data[i] = (uint8_t)(coh_rng_next(rng) & coh_rng_next(rng));
    }
}

static void add_tx(world_t *w, coh_import_block_t *b)
{
    uint32_t at   = (uint32_t)(b->number - FIRST_BLOCK);
    uint32_t key  = (uint32_t)coh_rng_below(&w->rng, EOAS);
    coh_addr_t me = coh_txgen_addr(w->gen, key);
    uint8_t data[32];
    fill_data(&w->rng, data);
    coh_txgen_spec_t spec    = {.key       = key,
                                .type      = COH_TX_DYNAMIC_FEE,
                                .chain_id  = CHAIN_ID,
                                .nonce     = coh_memview_account(w->state, &me).nonce,
                                .max_fee   = coh_u256(BASE_FEE + 5),
                                .max_tip   = coh_u256(2),
                                .value     = coh_u256(coh_rng_below(&w->rng, 100)),
                                .to        = w->targets[coh_rng_below(&w->rng, TARGETS)],
                                .data      = coh_bytes(data, 32),
                                .gas_limit = 100000 + coh_rng_below(&w->rng, 700000)};
    coh_txgen_tx_t const *tx = coh_txgen_make(w->gen, &spec);
    coh_block_env_t env      = env_of(b);
    coh_memview_begin_tx(w->state);
    coh_transition_begin(w->transition, &env, &tx->tx, &tx->sender, coh_memview_view(w->state));
    assert_int_equal(coh_transition_run(w->transition), COH_TRANSITION_DONE);
    coh_outcome_t const *o = coh_transition_outcome(w->transition);
    if (o->verdict == COH_TX_OK) {
        coh_memview_apply(w->state, o);
        w->raws[at][b->tx_cnt]    = tx->raw;
        w->senders[at][b->tx_cnt] = tx->sender;
        b->tx_cnt++;
    }
}

/* ---- questions ---- */

/* What the state in memory gives. */
static void answer_call(world_t *w,
                        ask_t *ask,
                        coh_op_execute_request_t const *req,
                        coh_block_env_t const *env)
{
    coh_call_limits_t limits = {.gas_max         = 50000000,
                                .trace_bytes_max = 67108864,
                                .slice           = 100000,
                                .seed            = 1,
                                .wanted_max      = 1};
    coh_rec_block_tx_t raw   = {.sender = req->from, .raw = req->tx};
    coh_msg_call_t m         = {.mode          = req->mode,
                                .fork          = FORK,
                                .number        = env->number,
                                .timestamp     = env->timestamp,
                                .gas_limit     = env->gas_limit,
                                .chain_id      = CHAIN_ID,
                                .base_fee      = env->base_fee,
                                .blob_base_fee = env->blob_base_fee,
                                .blob_max      = env->blob_max,
                                .prev_randao   = env->prev_randao,
                                .coinbase      = env->coinbase,
                                .ratio         = req->ratio,
                                .tracer        = req->tracer,
                                .trace_flags   = req->trace_flags,
                                .txs           = {.v = &raw, .cnt = 1}};
    coh_call_t *c            = coh_call_new(&m, &limits, w->codes);
    coh_call_run_t run;
    while ((run = coh_call_run(c)) != COH_CALL_RUN_DONE) {
        if (run == COH_CALL_RUN_SLICE) {
            continue;
        }
        coh_key_t const *key = coh_call_wanted(c, 0);
        coh_value_t value    = {0};
        coh_bytes_t code     = {0};
        if (key->kind == COH_KEY_CODE) {
            coh_hash_t hash = coh_codes_hash(key);
            code            = coh_memview_code(w->state, &hash);
        } else if (key->kind == COH_KEY_BLOCK_HASH) {
            block_hash(NULL, &value.word, key->slot.w[0]);
        } else if (key->kind == COH_KEY_ACCOUNT) {
            value = coh_memview_account(w->state, &key->addr);
        } else if (coh_memview_account(w->state, &key->addr).generation == key->generation) {
            value.word = coh_memview_slot(w->state, &key->addr, &key->slot);
        }
        coh_call_give(c, 0, &value, code);
    }
    coh_msg_call_result_t const *r = coh_call_result(c);
    coh_bytes_t trace              = r->traces.cnt != 0 ? r->traces.v[0].json : (coh_bytes_t){0};
    coh_op_put_execute_answer(&ask->answer,
                              &(coh_op_execute_answer_t){.block       = ask->block,
                                                         .err         = r->err,
                                                         .verdict     = r->verdict,
                                                         .status      = r->status,
                                                         .gas_used    = r->gas_used,
                                                         .gas         = r->gas,
                                                         .output      = r->output,
                                                         .logs        = r->logs,
                                                         .created     = r->created,
                                                         .access_list = r->access_list,
                                                         .traces      = {&trace, r->traces.cnt}});
    coh_call_free(c);
}

static void ask_call(world_t *w, coh_block_env_t const *env)
{
    coh_rng_t *rng = &w->rng;
    ask_t *ask     = &w->asks[w->ask_cnt++];
    uint8_t data[32];
    fill_data(rng, data);
    coh_tx_t tx   = {.type         = COH_TX_DYNAMIC_FEE,
                     .has_chain_id = true,
                     .chain_id     = CHAIN_ID,
                     .gas_limit    = 50000 + coh_rng_below(rng, 1000000),
                     .to           = w->targets[coh_rng_below(rng, TARGETS)],
                     .value        = coh_u256(coh_rng_below(rng, 60)),
                     .data         = coh_bytes(data, coh_rng_percent(rng, 90) ? 32 : 0)};
    coh_buf_t raw = COH_BUF_INIT;
    coh_tx_encode(&raw, &tx);
    *ask                         = (ask_t){.block = env->number, .op = COH_OP_EXECUTE};
    coh_op_execute_request_t req = {.block  = env->number,
                                    .mode   = (uint32_t)coh_rng_below(rng, COH_CALL_TRACE_BLOCK),
                                    .from   = w->targets[coh_rng_below(rng, EOAS)],
                                    .tx     = coh_buf_bytes(&raw),
                                    .ratio  = coh_rng_percent(rng, 50) ? 15 : 0,
                                    .tracer = (uint32_t)coh_rng_below(rng, COH_TRACER_CNT)};
    req.trace_flags              = (uint32_t)coh_rng_below(rng, COH_TRACE_MASK + 1);
    coh_op_put_execute_request(&ask->request, &req);
    answer_call(w, ask, &req, env);
    coh_buf_free(&raw);
}

static void ask_state(world_t *w, uint64_t block)
{
    ask_t *ask = &w->asks[w->ask_cnt++];
    *ask       = (ask_t){.block = block, .op = COH_OP_STATE};
    coh_op_asked_t keys[20];
    coh_op_held_t held[20];
    for (uint32_t i = 0; i < COH_CNT(keys); i++) {
        coh_addr_t addr = w->targets[coh_rng_below(&w->rng, TARGETS)];
        coh_value_t v   = coh_memview_account(w->state, &addr);
        keys[i] = (coh_op_asked_t){.kind = (uint32_t)coh_rng_below(&w->rng, 3), .addr = addr};
        held[i] = (coh_op_held_t){.nonce = v.nonce, .word = v.word, .code_hash = v.code_hash};
        if (keys[i].kind == COH_KEY_SLOT) {
            keys[i].slot = coh_u256(coh_rng_below(&w->rng, 4));
            held[i] = (coh_op_held_t){.word = coh_memview_slot(w->state, &addr, &keys[i].slot)};
        } else if (keys[i].kind == COH_KEY_CODE && coh_value_has_code(&v)) {
            held[i].code = coh_memview_code(w->state, &v.code_hash);
        }
    }
    coh_op_put_state_request(
        &ask->request, &(coh_op_state_request_t){.block = block, .keys = {keys, COH_CNT(keys)}});
    coh_op_put_state_answer(
        &ask->answer, &(coh_op_state_answer_t){.block = block, .values = {held, COH_CNT(held)}});
}

static void ask_about(world_t *w, coh_block_env_t const *env)
{
    for (uint32_t i = 0; i < ASKS; i++) {
        if (i % 6 == 0) {
            ask_state(w, env->number);
        } else {
            ask_call(w, env);
        }
    }
}

/* ---- the world ---- */

static void make_genesis(world_t *w)
{
    coh_genesis_t *g = &w->genesis;
    *g               = (coh_genesis_t){.chain_id  = CHAIN_ID,
                                       .number    = FIRST_BLOCK - 1,
                                       .timestamp = 1700000000,
                                       .gas_limit = BLOCK_GAS,
                                       .base_fee  = coh_u256(BASE_FEE)};
    for (int f = 0; f < COH_FORK_CNT; f++) {
        g->fork_at[f] = f <= (int)FORK ? 0 : UINT64_MAX;
    }
    g->ancestors    = coh_calloc(256, sizeof(*g->ancestors));
    g->ancestor_cnt = 256;
    for (uint64_t i = 0; i < 256; i++) {
        g->ancestors[i] = ancestor(FIRST_BLOCK - 256 + i);
    }
    g->alloc = coh_calloc(EOAS + CONTRACTS, sizeof(*g->alloc));
    for (uint32_t i = 0; i < TARGETS; i++) {
        w->targets[i] = i < EOAS               ? coh_txgen_addr(w->gen, i)
                        : i < EOAS + CONTRACTS ? contract_addr(i - EOAS)
                        : i < TARGETS - 1      ? (coh_addr_t){.b = {[19] = 4}}
                                               : (coh_addr_t){.b = {0xee}};
    }
    coh_codegen_t gen = {.fork         = FORK,
                         .targets      = w->targets,
                         .target_cnt   = TARGETS,
                         .block_number = FIRST_BLOCK - 1};
    for (uint32_t i = 0; i < EOAS + CONTRACTS; i++) {
        coh_genesis_account_t *a = &g->alloc[g->alloc_cnt++];
        *a = (coh_genesis_account_t){.addr = w->targets[i], .balance = coh_u256(UINT64_C(1) << 60)};
        if (i >= EOAS) {
            coh_buf_t code = COH_BUF_INIT;
            coh_codegen_contract(&code, &gen, &w->rng);
            a->nonce   = 1;
            a->balance = coh_u256(i * 700);
            a->code    = coh_buf_bytes(&code); /* the genesis' from here on */
        }
        coh_memview_put_account(w->state, &a->addr, a->nonce, &a->balance, a->code);
    }
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_genesis_finish(g, &why), COH_OK);
    coh_buf_free(&why);
}

static void make_world(world_t *w, uint64_t seed)
{
    *w = (world_t){.gen        = coh_txgen_new(),
                   .state      = coh_memview_new(&coh_code_coder, FORK),
                   .transition = coh_transition_new(),
                   .codes      = coh_call_codes_new()};
    coh_rng_seed(&w->rng, seed);
    coh_memview_set_block_hash(w->state, block_hash, NULL);
    make_genesis(w);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        coh_import_block_t *block = &w->blocks[b];
        *block                    = (coh_import_block_t){.number        = FIRST_BLOCK + b,
                                                         .fork          = FORK,
                                                         .timestamp     = 1700000012 + 12 * b,
                                                         .gas_limit     = BLOCK_GAS,
                                                         .base_fee      = coh_u256(BASE_FEE),
                                                         .blob_base_fee = coh_u256(1),
                                                         .prev_randao   = coh_u256(12345 + b),
                                                         .blob_max      = 9,
                                                         .coinbase      = w->targets[b % 2 == 0 ? 0 : EOAS + 2],
                                                         .raws          = w->raws[b],
                                                         .senders       = w->senders[b]};
        for (uint32_t i = 0; i < BLOCK_TXS; i++) {
            add_tx(w, block);
        }
        coh_block_env_t env = env_of(block);
        ask_about(w, &env);
    }
}

static void free_world(world_t *w)
{
    for (uint32_t i = 0; i < w->ask_cnt; i++) {
        coh_buf_free(&w->asks[i].request);
        coh_buf_free(&w->asks[i].answer);
    }
    coh_transition_free(w->transition);
    coh_memview_free(w->state);
    coh_call_codes_free(w->codes);
    coh_genesis_free(&w->genesis);
    coh_txgen_free(w->gen);
}

/* ---- a run ---- */

/* Asks some of what can be asked: the first in a row from any place on. */
static bool turn(void *arg, uint64_t head)
{
    world_t *w     = arg;
    bool goes_on   = false;
    uint32_t asked = 0;
    uint64_t start = coh_rng_below(&w->rng, w->ask_cnt);
    uint64_t max   = coh_rng_below(&w->rng, 100) < 30;
    for (uint32_t i = 0; i < w->ask_cnt; i++) {
        ask_t *ask = &w->asks[(start + i) % w->ask_cnt];
        goes_on    = goes_on || !ask->is_asked;
        if (!ask->is_asked && ask->block <= head && asked < max) {
            asked++;
            ask->is_asked = true;
            w->behind_cnt += ask->block < head;
            coh_block_cluster_ask(
                w->cluster, (uint64_t)(ask - w->asks), coh_buf_bytes(&ask->request));
        }
    }
    return goes_on;
}

static void reply(void *arg, uint64_t request, coh_bytes_t data)
{
    world_t *w       = arg;
    ask_t *ask       = &w->asks[request];
    ask->is_answered = true;
    if (coh_bytes_eq(data, coh_buf_bytes(&ask->answer))) {
        w->answered_cnt++;
        return;
    }
    coh_op_reader_t *reader = coh_op_reader_new();
    coh_op_answer_t is;
    coh_op_answer_t should;
    assert_int_equal(coh_op_read_answer(reader, &is, ask->op, data), COH_OK);
    if (w->restarts && (is.err == COH_ENOTFOUND || (is.err == COH_OK && ask->op == COH_OP_EXECUTE &&
                                                    is.u.execute.err == COH_CALL_GONE))) {
        w->refused_cnt++; /* after a restart the past begins anew */
    } else if (w->wrong_cnt++ == 0) {
        if (is.err != COH_OK) {
            printf("refused: %s: %.*s\n",
                   coh_err_str(is.err),
                   (int)is.text.n,
                   (char const *)is.text.p);
        }
        if (is.err == COH_OK && ask->op == COH_OP_EXECUTE) {
            coh_op_execute_answer_t a = is.u.execute;
            printf("is: err %u verdict %u status %u gas used %" PRIu64 " gas %" PRIu64
                   " output %zu logs %zu list %zu\n",
                   a.err,
                   a.verdict,
                   a.status,
                   a.gas_used,
                   a.gas,
                   a.output.n,
                   a.logs.n,
                   a.access_list.n);
            assert_int_equal(
                coh_op_read_answer(reader, &should, ask->op, coh_buf_bytes(&ask->answer)), COH_OK);
            a = should.u.execute;
            printf("should: err %u verdict %u status %u gas used %" PRIu64 " gas %" PRIu64
                   " output %zu logs %zu list %zu\n",
                   a.err,
                   a.verdict,
                   a.status,
                   a.gas_used,
                   a.gas,
                   a.output.n,
                   a.logs.n,
                   a.access_list.n);
        }
    }
    coh_op_reader_free(reader);
}

static void run_layout(world_t *w, coh_block_cluster_layout_t const *layout)
{
    coh_block_cluster_visitor_t visitor = {.turn = turn, .reply = reply, .arg = w};
    for (uint32_t i = 0; i < w->ask_cnt; i++) {
        w->asks[i].is_asked    = false;
        w->asks[i].is_answered = false;
    }
    w->answered_cnt = 0;
    w->refused_cnt  = 0;
    w->wrong_cnt    = 0;
    w->behind_cnt   = 0;
    w->restarts     = layout->restart_cnt != 0;
    w->cluster      = coh_block_cluster_new(layout);
    coh_buf_t why   = COH_BUF_INIT;
    coh_err_t err =
        coh_block_cluster_run(w->cluster, &w->genesis, w->blocks, BLOCKS, &visitor, &why);
    coh_block_cluster_free(w->cluster);
    if (err != COH_OK || w->wrong_cnt != 0 ||
        (!w->restarts && (w->answered_cnt != w->ask_cnt || w->behind_cnt < w->ask_cnt / 4))) {
        for (uint32_t i = 0; i < w->ask_cnt; i++) {
            if (w->asks[i].is_asked && !w->asks[i].is_answered) {
                printf("no answer to %s of block %" PRIu64 "\n",
                       coh_op_name(w->asks[i].op),
                       w->asks[i].block);
            }
        }
        fail_msg("%u shards, %u threads, seed %" PRIu64
                 ": %u of %u right, %u wrong, %u behind the head: %.*s",
                 layout->shard_cnt,
                 layout->thread_cnt,
                 layout->seed,
                 w->answered_cnt,
                 w->ask_cnt,
                 w->wrong_cnt,
                 w->behind_cnt,
                 (int)why.n,
                 (char const *)why.p);
    }
    coh_buf_free(&why);
}

static void write_pins(world_t *w, char out[COH_TEST_PINS_SZ], uint32_t shard_cnt, uint64_t seed)
{
    coh_addr_t *addrs = coh_calloc(w->genesis.alloc_cnt, sizeof(*addrs));
    for (size_t i = 0; i < w->genesis.alloc_cnt; i++) {
        addrs[i] = w->genesis.alloc[i].addr;
    }
    coh_test_pins_write(out, addrs, w->genesis.alloc_cnt, shard_cnt, seed);
    free(addrs);
}

static void calls_equal_sequential_execution(void **state)
{
    (void)state;
    static uint32_t const shards[]  = {1, 2, 3, 8};
    static uint32_t const threads[] = {1, 3};
    for (uint64_t round = 0; round < 3; round++) {
        world_t *w = coh_calloc(1, sizeof(*w));
        make_world(w, run_seed + round);
        for (size_t s = 0; s < COH_CNT(shards); s++) {
            for (size_t t = 0; t < COH_CNT(threads); t++) {
                char random[40];
                uint64_t seed = coh_rng_below(&w->rng, 100000);
                (void)snprintf(random, sizeof(random), "random:%" PRIu64, seed);
                char pins[COH_TEST_PINS_SZ];
                write_pins(w, pins, shards[s], seed);
                run_layout(w,
                           &(coh_block_cluster_layout_t){.shard_cnt  = shards[s],
                                                         .thread_cnt = threads[t],
                                                         .placement  = t == 0 ? random : pins,
                                                         .seed       = seed});
                coh_test_pins_remove(pins);
            }
        }
        free_world(w);
        free(w);
    }
}

/* Little memory for state, so that calls read from disk; and restarts in the middle. */
static void calls_come_through_restarts(void **state)
{
    (void)state;
    world_t *w = coh_calloc(1, sizeof(*w));
    make_world(w, run_seed + 77);
    uint32_t right = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run_layout(w,
                   &(coh_block_cluster_layout_t){.shard_cnt     = 1 + (uint32_t)(seed % 4),
                                                 .thread_cnt    = 1 + (uint32_t)(seed % 2),
                                                 .seed          = seed,
                                                 .cache_entries = 1,
                                                 .restart_cnt   = 2});
        right += w->answered_cnt;
    }
    assert_true(right > 12 * 20);
    free_world(w);
    free(w);
}

int main(void)
{
    (void)coh_log_init("error", "");
    run_seed                        = coh_test_seed();
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(calls_equal_sequential_execution),
        cmocka_unit_test(calls_come_through_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
