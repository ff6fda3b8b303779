#include "deploy/cohort/statetest_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/state/memview.h"
#include "common/trie/state_root.h"
#include "deploy/cohort/adversary.h"
#include "deploy/cohort/block_cluster.h"
#include "deploy/cohort/statetest_diff.h"
#include "deploy/cohort/statetest_error.h"
#include "deploy/cohort/statetest_trace.h"

struct coh_statetest_runner {
    coh_statetest_options_t options;
    coh_transition_t *transition;
    coh_buf_t scratch;
    coh_buf_t raw;                /* of a transaction signed here */
    coh_block_cluster_t *cluster; /* NULL: none is asked for */
    char random[40];              /* its placement and homes */
    coh_adversary_t *adversary;   /* NULL: does not place */
};

/* How far a case came. */
typedef struct {
    coh_statetest_case_t const *test;
    coh_statetest_result_t *out;
    coh_tx_t tx;
    coh_addr_t sender;
} run_t;

coh_statetest_runner_t *coh_statetest_runner_new(coh_statetest_options_t const *options)
{
    coh_statetest_runner_t *runner = coh_calloc(1, sizeof(*runner));
    runner->options                = *options;
    runner->transition             = coh_transition_new();
    coh_transition_set_loop(runner->transition, options->loop);
    if (coh_vector_layout_is_set(&options->layout)) {
        runner->cluster = coh_vector_layout_cluster(&options->layout, runner->random);
    }
    if (options->layout.is_adversarial) {
        runner->adversary = coh_adversary_new();
    }
    return runner;
}

void coh_statetest_runner_free(coh_statetest_runner_t *runner)
{
    if (runner->cluster != NULL) {
        coh_block_cluster_free(runner->cluster);
    }
    coh_adversary_free(runner->adversary);
    coh_transition_free(runner->transition);
    coh_buf_free(&runner->scratch);
    coh_buf_free(&runner->raw);
    free(runner);
}

void coh_statetest_result_free(coh_statetest_result_t *result)
{
    coh_buf_free(&result->why);
    coh_buf_free(&result->diff);
}

/* Says what is wrong; several things one behind the other. */
COH_PRINTF(2, 3) static void complain(run_t *run, char const *fmt, ...)
{
    coh_buf_t *why = &run->out->why;
    if (why->n != 0) {
        coh_buf_printf(why, "; ");
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    coh_buf_printf(why, "%s", text);
}

/* ---- The transaction ----------------------------------------------------------------------------------------------------------- */

/* The first member in which the signed octets and the fields differ; NULL: none. */
static char const *disagreement(coh_tx_t const *a, coh_tx_t const *b)
{
    if (a->type != b->type) {
        return "type";
    }
    if (a->nonce != b->nonce) {
        return "nonce";
    }
    if (a->gas_limit != b->gas_limit) {
        return "gas limit";
    }
    if (!coh_u256_eq(&a->max_fee, &b->max_fee) || !coh_u256_eq(&a->max_tip, &b->max_tip) ||
        !coh_u256_eq(&a->max_fee_per_blob_gas, &b->max_fee_per_blob_gas)) {
        return "fees";
    }
    if (!coh_u256_eq(&a->value, &b->value)) {
        return "value";
    }
    if (a->is_create != b->is_create || (!a->is_create && !coh_addr_eq(&a->to, &b->to))) {
        return "receiver";
    }
    if (!coh_bytes_eq(a->data, b->data)) {
        return "data";
    }
    if (!coh_bytes_eq(a->access_list, b->access_list)) {
        return "access list";
    }
    if (!coh_bytes_eq(a->blob_hashes, b->blob_hashes)) {
        return "blob hashes";
    }
    return coh_bytes_eq(a->auth_list, b->auth_list) ? NULL : "authorizations";
}

/* Makes run->tx and run->sender. */
static coh_tx_err_t make_tx(coh_statetest_runner_t *runner, run_t *run)
{
    coh_statetest_case_t const *test = run->test;
    coh_bytes_t raw                  = test->raw;
    if (raw.n == 0) {
        coh_tx_t tx = test->fields;
        if (test->tx_err != NULL) {
            complain(run, "neither signed octets nor usable fields: %s", test->tx_err);
            return COH_TX_MALFORMED;
        }
        if (!test->has_secret || coh_tx_sign(&tx, test->secret) != COH_OK) {
            complain(run, "neither signed octets nor a usable secretKey");
            return COH_TX_SIGNATURE;
        }
        coh_buf_clear(&runner->raw);
        coh_tx_encode(&runner->raw, &tx);
        raw = coh_buf_bytes(&runner->raw);
    }
    coh_tx_err_t err = coh_tx_decode(&run->tx, raw);
    if (err != COH_TX_OK) {
        return err;
    }
    char const *member =
        test->tx_err != NULL ? test->tx_err : disagreement(&run->tx, &test->fields);
    if (member != NULL) {
        complain(run, "signed octets and fields disagree: %s", member);
    }
    coh_tx_recover_t batch = {.tx = &run->tx};
    (void)coh_tx_recover_batch(&batch, 1, &runner->scratch);
    if (batch.err == COH_TX_OK && !coh_addr_eq(&batch.sender, &test->sender)) {
        complain(run, "signed by another than the sender");
    }
    run->sender = batch.sender;
    return batch.err;
}

/* What is checked before a transaction has its turn. */
static coh_tx_err_t check_tx(run_t const *run)
{
    coh_block_env_t const *env = &run->test->env;
    coh_tx_err_t err           = coh_tx_check_static(&run->tx, env->fork, env->chain_id, true);
    if (err == COH_TX_OK) {
        err = coh_tx_check_blob_cnt(&run->tx, env->blob_max);
    }
    if (err == COH_TX_OK && run->tx.gas_limit > env->gas_limit) {
        err = COH_TX_GAS_LIMIT;
    }
    return err;
}

/* ---- The state ------------------------------------------------------------------------------------------------------------------ */

/* BLOCKHASH in state tests: keccak256 of the number in decimal digits. */
static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, number);
    coh_hash_t hash;
    coh_keccak256(&hash, digits, (size_t)n);
    *out = coh_u256_from_be(hash.b, sizeof(hash.b));
}

static coh_memview_t *make_state(coh_statetest_case_t const *test)
{
    coh_memview_t *mv = coh_memview_new(&coh_code_coder, test->env.fork);
    coh_memview_set_block_hash(mv, block_hash, NULL);
    coh_memview_put_alloc(mv, test->pre->accounts, test->pre->account_cnt);
    return mv;
}

static bool has_account(coh_statetest_state_t const *state, coh_addr_t const *addr)
{
    for (size_t i = 0; i < state->account_cnt; i++) {
        if (coh_addr_eq(&state->accounts[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

static void touch_coinbase(coh_memview_t *mv, coh_statetest_case_t const *test)
{
    if (test->is_legacy && test->env.fork < COH_FORK_SPURIOUS &&
        !has_account(test->pre, &test->env.coinbase)) {
        coh_memview_put_account(mv, &test->env.coinbase, 0, &COH_U256_ZERO, coh_bytes(NULL, 0));
    }
}

static void hash_logs(coh_hash_t *out, coh_buf_t *scratch, coh_outcome_t const *outcome)
{
    coh_buf_clear(scratch);
    coh_outcome_put_logs(scratch, outcome);
    coh_keccak256(out, scratch->p, scratch->n);
}

/* ---- The run -------------------------------------------------------------------------------------------------------------------- */

/* Executes over mv, and makes the outcome part of it. */
static coh_tx_err_t execute(coh_statetest_runner_t *runner, run_t *run, coh_memview_t *mv)
{
    coh_statetest_tracer_t tracer;
    if (runner->options.trace != NULL) {
        coh_statetest_tracer_init(&tracer, runner->options.trace, run->test->env.fork);
        coh_transition_set_tracer(runner->transition, &tracer.tracer);
    }
    coh_memview_set_stutter(mv, runner->options.stutter);
    coh_memview_begin_tx(mv);
    coh_transition_begin(
        runner->transition, &run->test->env, &run->tx, &run->sender, coh_memview_view(mv));
    while (coh_transition_run(runner->transition) == COH_TRANSITION_NEED) {
        COH_ASSERT(runner->options.stutter);
    }
    coh_outcome_t const *outcome = coh_transition_outcome(runner->transition);
    if (outcome->verdict == COH_TX_OK) {
        coh_memview_apply(mv, outcome);
        hash_logs(&run->out->logs_hash, &runner->scratch, outcome);
        run->out->gas_used = outcome->gas_used;
    }
    if (runner->options.trace != NULL) {
        coh_transition_set_tracer(runner->transition, NULL);
        coh_statetest_tracer_fini(&tracer);
    }
    return outcome->verdict;
}

static void judge_error(run_t *run)
{
    char const *expected = run->test->exception;
    coh_tx_err_t err     = run->out->err;
    if (expected == NULL) {
        if (err != COH_TX_OK) {
            complain(run, "rejected: %s", coh_tx_err_str(err));
        }
        return;
    }
    switch (coh_statetest_error_check(expected, err)) {
    case COH_STATETEST_ERROR_MET: break;
    case COH_STATETEST_ERROR_OTHER:
        complain(run,
                 "%s%s, expected %s",
                 err == COH_TX_OK ? "executed" : "rejected: ",
                 err == COH_TX_OK ? "" : coh_tx_err_str(err),
                 expected);
        break;
    case COH_STATETEST_ERROR_UNKNOWN:
        complain(run, "expects %s, which this build does not know", expected);
        break;
    }
}

static void judge_hash(run_t *run, char const *what, coh_hash_t const *got, coh_hash_t const *want)
{
    if (!coh_hash_eq(got, want)) {
        char got_text[65];
        char want_text[65];
        coh_hex_encode(got_text, got->b, sizeof(got->b));
        coh_hex_encode(want_text, want->b, sizeof(want->b));
        complain(run, "%s 0x%s, expected 0x%s", what, got_text, want_text);
    }
}

/* ---- In a cluster ---------------------------------------------------------------------------------------------------------------- */

/* What a cluster says of a block. */
typedef struct {
    run_t *run;
    coh_tx_err_t err;
    bool has_root;
    coh_hash_t root; /* the header's */
} answer_t;

static void take_block(void *arg, coh_import_result_t const *result)
{
    answer_t *answer            = arg;
    coh_statetest_result_t *out = answer->run->out;
    if (result->err != COH_OK) {
        answer->err = result->fault.tx_err;
        return;
    }
    coh_bytes_t logs = coh_sealed_logs(result->sealed, 0);
    out->gas_used    = result->gas_used;
    answer->has_root = true;
    answer->root     = result->sealed->header.state_root;
    if (logs.n != 0) {
        coh_keccak256(&out->logs_hash, logs.p, logs.n);
    }
}

/* The pre-state as a chain's beginning, at the block before. Its sum of balances may be beyond any supply, which coh_genesis_finish would not take. */
static void make_genesis(coh_genesis_t *g, coh_statetest_case_t const *test)
{
    coh_block_env_t const *env = &test->env;
    *g                         = (coh_genesis_t){.chain_id  = env->chain_id,
                                                 .number    = env->number - 1,
                                                 .gas_limit = env->gas_limit,
                                                 .base_fee  = env->base_fee,
                                                 .coinbase  = env->coinbase};
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        g->fork_at[fork] = fork <= (int)env->fork ? 0 : UINT64_MAX;
    }
    g->ancestor_cnt = (uint32_t)COH_MIN(env->number, 256);
    g->ancestors    = coh_calloc(g->ancestor_cnt, sizeof(*g->ancestors));
    for (uint32_t i = 0; i < g->ancestor_cnt; i++) {
        coh_u256_t hash;
        block_hash(NULL, &hash, env->number - g->ancestor_cnt + i);
        coh_u256_to_be(g->ancestors[i].b, &hash);
    }
    coh_genesis_put_alloc(g, test->pre->accounts, test->pre->account_cnt);
    coh_genesis_seal(g);
}

/* Places accounts as is worst for the block; false: there is no file for that. */
static bool place(coh_statetest_runner_t *runner,
                  coh_genesis_t const *genesis,
                  coh_import_block_t const *block)
{
    coh_adversary_t *adversary = runner->adversary;
    if (adversary == NULL) {
        return true;
    }
    uint32_t shard_cnt = (uint32_t)COH_MAX(runner->options.layout.shards, 1);
    coh_adversary_forget(adversary);
    coh_adversary_learn(adversary, genesis, block, 1);
    char const *policy = coh_adversary_policy(adversary, shard_cnt);
    coh_block_cluster_place(runner->cluster, policy);
    return policy != NULL;
}

/* Executes as the one transaction of an imported block; *mv is replaced by the state that the cluster holds afterwards. */
static coh_tx_err_t execute_in_cluster(coh_statetest_runner_t *runner,
                                       run_t *run,
                                       coh_memview_t **mv)
{
    coh_block_env_t const *env                = &run->test->env;
    coh_import_block_t block                  = coh_import_block_of(env);
    block.tx_cnt                              = 1;
    block.raws                                = &run->tx.raw;
    block.senders                             = &run->sender;
    answer_t answer                           = {.run = run};
    coh_memview_t *state                      = coh_memview_new(&coh_code_coder, env->fork);
    coh_block_cluster_visitor_t const visitor = {
        .block = take_block, .walker = {.state = state}, .arg = &answer};
    coh_genesis_t genesis;
    coh_buf_t why = COH_BUF_INIT;
    make_genesis(&genesis, run->test);
    if (env->number == 0) {
        complain(run, "block 0 has no parent: a cluster cannot execute it");
    } else if (!place(runner, &genesis, &block)) {
        complain(run, "no file for the placement");
    } else if (coh_block_cluster_run(runner->cluster, &genesis, &block, 1, &visitor, &why) !=
               COH_OK) {
        complain(run, "the cluster failed: %.*s", (int)why.n, (char const *)why.p);
    }
    coh_genesis_free(&genesis);
    coh_buf_free(&why);
    coh_memview_free(*mv);
    *mv = state;
    coh_hash_t root;
    coh_state_root(&root, *mv);
    if (answer.has_root && !coh_hash_eq(&root, &answer.root)) {
        complain(run, "the header's state root is not that of the state that the shards hold");
    }
    return answer.err;
}

static void run_case(coh_statetest_runner_t *runner, run_t *run)
{
    coh_statetest_case_t const *test = run->test;
    coh_statetest_result_t *out      = run->out;
    coh_memview_t *mv                = make_state(test);
    hash_logs(&out->logs_hash, &runner->scratch, &(coh_outcome_t){0});
    out->err = make_tx(runner, run);
    if (out->err == COH_TX_OK) {
        out->err = check_tx(run);
    }
    if (out->err == COH_TX_OK) {
        out->err = runner->cluster != NULL ? execute_in_cluster(runner, run, &mv)
                                           : execute(runner, run, mv);
    }
    if (out->err != COH_TX_OK) {
        touch_coinbase(mv, test);
    }
    coh_state_root(&out->root, mv);
    if (runner->options.trace != NULL) {
        coh_statetest_trace_root(runner->options.trace, &out->root);
    }
    judge_error(run);
    judge_hash(run, "state root", &out->root, &test->root);
    judge_hash(run, "logs hash", &out->logs_hash, &test->logs_hash);
    if (test->has_post && !coh_hash_eq(&out->root, &test->root)) {
        coh_statetest_diff(&out->diff, mv, &test->post);
    }
    coh_memview_free(mv);
}

void coh_statetest_run(coh_statetest_runner_t *runner,
                       coh_statetest_result_t *out,
                       coh_statetest_case_t const *test)
{
    *out           = (coh_statetest_result_t){.why = COH_BUF_INIT, .diff = COH_BUF_INIT};
    run_t run      = {.test = test, .out = out};
    uint64_t start = coh_clock_mono_us();
    run_case(runner, &run);
    out->elapsed_us = coh_clock_mono_us() - start;
    if (runner->options.timeout_us != 0 && out->elapsed_us > runner->options.timeout_us) {
        complain(&run, "took %.1f s", (double)out->elapsed_us / 1e6);
    }
    out->pass = out->why.n == 0;
}
