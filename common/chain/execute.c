#include "common/chain/execute.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/chain/steps.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"

struct coh_execute {
    coh_transition_t *transition;
    bool stutters;
    coh_execute_watch_fn *watch;
    void *watch_arg;
    coh_plan_t plan;
    coh_arena_t arena; /* of one block */
    coh_buf_t scratch;
    coh_requests_t requests;
    coh_executed_t out;
    coh_block_fault_t fault;
    /* While a block runs: */
    coh_world_t *world;
    coh_block_t const *block;
    coh_rules_t const *rules;
    coh_executed_tx_t *txs;
};

coh_execute_t *coh_execute_new(void)
{
    coh_execute_t *ex = coh_calloc(1, sizeof(*ex));
    ex->transition    = coh_transition_new();
    coh_requests_init(&ex->requests);
    coh_plan_init(&ex->plan);
    return ex;
}

void coh_execute_free(coh_execute_t *ex)
{
    if (ex == NULL) {
        return;
    }
    coh_transition_free(ex->transition);
    coh_requests_fini(&ex->requests);
    coh_arena_free(&ex->arena);
    coh_buf_free(&ex->scratch);
    coh_plan_fini(&ex->plan);
    free(ex);
}

void coh_execute_set_loop(coh_execute_t *ex, coh_evm_loop_t loop)
{
    coh_transition_set_loop(ex->transition, loop);
}

void coh_execute_set_stutter(coh_execute_t *ex, bool on) { ex->stutters = on; }

void coh_execute_set_watch(coh_execute_t *ex, coh_execute_watch_fn *fn, void *arg)
{
    ex->watch     = fn;
    ex->watch_arg = arg;
}

void coh_execute_set_tracer(coh_execute_t *ex, coh_tracer_t *tracer)
{
    coh_transition_set_tracer(ex->transition, tracer);
}

coh_executed_t const *coh_execute_result(coh_execute_t const *ex) { return &ex->out; }

static bool fail(coh_execute_t *ex, coh_block_err_t err)
{
    ex->fault = (coh_block_fault_t){.err = err};
    return false;
}

static bool fail_tx(coh_execute_t *ex, uint32_t idx, coh_tx_err_t err)
{
    ex->fault = (coh_block_fault_t){.err = COH_BLOCK_TX, .tx_err = err, .idx = idx};
    return false;
}

/* ---- The body -------------------------------------------------------------------------------------------------------------------- */

static coh_hash_t withdrawals_root(coh_block_t const *block)
{
    coh_hash_t root;
    coh_bytes_t *items = coh_calloc((size_t)block->withdrawal_cnt + 1, sizeof(*items));
    size_t *ends       = coh_calloc((size_t)block->withdrawal_cnt + 1, sizeof(*ends));
    coh_buf_t buf      = COH_BUF_INIT;
    coh_rlp_t it       = coh_block_withdrawal_iter(block);
    coh_withdrawal_t withdrawal;
    size_t cnt = 0;
    while (coh_block_withdrawal_next(&it, &withdrawal)) {
        coh_withdrawal_put(&buf, &withdrawal);
        ends[cnt++] = buf.n;
    }
    for (size_t i = 0; i < cnt; i++) {
        size_t at = i == 0 ? 0 : ends[i - 1];
        items[i]  = coh_bytes(buf.p + at, ends[i] - at);
    }
    coh_root_list(&root, items, cnt);
    free(items);
    free(ends);
    coh_buf_free(&buf);
    return root;
}

static coh_hash_t tx_root(coh_block_t const *block)
{
    coh_hash_t root;
    coh_bytes_t *items = coh_calloc((size_t)block->tx_cnt + 1, sizeof(*items));
    coh_rlp_t it       = coh_block_tx_iter(block);
    size_t cnt         = 0;
    while (coh_block_tx_next(&it, &items[cnt])) {
        cnt++;
    }
    coh_root_list(&root, items, cnt);
    free(items);
    return root;
}

coh_block_err_t coh_body_check(coh_block_t const *block, coh_rules_t const *rules)
{
    coh_header_t const *h = &block->header;
    bool withdraws        = rules->fork >= COH_FORK_SHANGHAI;
    if (rules->fork >= COH_FORK_OSAKA && block->raw.n > COH_BLOCK_RLP_MAX) { /* EIP-7934 */
        return COH_BLOCK_TOO_LARGE;
    }
    if (block->has_withdrawals != withdraws) {
        return COH_BLOCK_NO_WITHDRAWALS;
    }
    if (!coh_hash_eq(&h->ommers_hash, &block->ommers_hash)) {
        return COH_BLOCK_OMMERS_HASH;
    }
    if (withdraws) {
        coh_hash_t root = withdrawals_root(block);
        if (!coh_hash_eq(&h->withdrawals_root, &root)) {
            return COH_BLOCK_WITHDRAWALS_ROOT;
        }
    }
    return COH_BLOCK_OK;
}

/* ---- Transitions ----------------------------------------------------------------------------------------------------------------- */

static coh_outcome_t const *run(coh_execute_t *ex, uint32_t at)
{
    while (coh_transition_run(ex->transition) == COH_TRANSITION_NEED) {
        COH_ASSERT(ex->stutters); /* all is at hand else */
    }
    coh_outcome_t const *outcome = coh_transition_outcome(ex->transition);
    if (ex->watch != NULL && outcome->verdict == COH_TX_OK) {
        ex->watch(ex->watch_arg, at, outcome, coh_transition_state(ex->transition));
    }
    return outcome;
}

static coh_view_t *view(coh_execute_t *ex)
{
    coh_memview_t *mv = coh_world_state(ex->world);
    coh_memview_begin_tx(mv);
    return coh_memview_view(mv);
}

static bool run_steps(coh_execute_t *ex, coh_steps_t const *steps, uint32_t at)
{
    for (uint32_t i = 0; i < steps->cnt; i++) {
        coh_transition_begin_step(ex->transition, &ex->plan.env, &steps->steps[i], view(ex));
        coh_outcome_t const *outcome = run(ex, at);
        coh_world_apply(ex->world, outcome);
        if (steps->use[i] == COH_STEPS_REQUESTS) {
            if (outcome->status != COH_STEP_RAN) { /* EIP-7002, EIP-7251 */
                return fail(ex,
                            outcome->status == COH_STEP_NO_CODE ? COH_BLOCK_SYSTEM_NO_CODE
                                                                : COH_BLOCK_SYSTEM_FAILED);
            }
            coh_requests_add(&ex->requests, steps->request_type[i], outcome->output);
        }
    }
    return true;
}

/* Leaves the encoded logs in scratch. */
static void put_receipt(coh_execute_t *ex,
                        coh_executed_tx_t *tx,
                        coh_tx_type_t type,
                        coh_outcome_t const *outcome)
{
    coh_receipt_t receipt = {.type           = type,
                             .status         = outcome->status,
                             .has_root       = ex->rules->fork < COH_FORK_BYZANTIUM, /* EIP-658 */
                             .cumulative_gas = ex->out.sums.gas_used};
    coh_buf_t *logs       = &ex->scratch;
    coh_buf_clear(logs);
    coh_outcome_put_logs(logs, outcome);
    receipt.logs = coh_buf_bytes(logs);
    bool is_list = coh_bloom_add_logs(receipt.bloom, receipt.logs);
    COH_ASSERT(is_list);
    coh_bloom_merge(ex->out.sums.bloom, receipt.bloom);
    coh_world_apply(ex->world, outcome);
    if (receipt.has_root) {
        coh_world_root(ex->world, &receipt.root);
    }
    coh_buf_t buf = COH_BUF_INIT;
    coh_receipt_put(&buf, &receipt);
    uint8_t *p = coh_arena_alloc(&ex->arena, buf.n);
    memcpy(p, buf.p, buf.n);
    tx->receipt = coh_bytes(p, buf.n);
    coh_buf_free(&buf);
}

static bool run_tx(coh_execute_t *ex, uint32_t idx)
{
    coh_executed_tx_t *tx   = &ex->txs[idx];
    coh_plan_tx_t const *of = &ex->plan.txs[idx];
    *tx                     = (coh_executed_tx_t){.status = 0};
    if (of->tx.gas_limit > ex->plan.env.gas_limit - ex->out.sums.gas_used) { /* Yellow Paper 6.1 */
        return fail_tx(ex, idx, COH_TX_GAS_LIMIT);
    }
    uint64_t blob_gas = ex->out.sums.blob_gas_used + coh_tx_blob_gas(&of->tx);
    if (blob_gas > (uint64_t)ex->plan.env.blob_max * COH_TX_BLOB_GAS) { /* EIP-4844 */
        return fail_tx(ex, idx, COH_TX_BLOB_CNT);
    }
    coh_transition_begin(ex->transition, &ex->plan.env, &of->tx, &of->sender, view(ex));
    coh_outcome_t const *outcome = run(ex, idx + 1);
    if (outcome->verdict != COH_TX_OK) {
        return fail_tx(ex, idx, outcome->verdict);
    }
    tx->gas_used = outcome->gas_used;
    tx->status   = outcome->status;
    ex->out.sums.gas_used += outcome->gas_used;
    ex->out.sums.blob_gas_used = blob_gas;
    put_receipt(ex, tx, of->tx.type, outcome);
    if (ex->rules->fork >= COH_FORK_PRAGUE &&
        !coh_requests_add_deposits(
            &ex->requests, coh_buf_bytes(&ex->scratch), &ex->rules->deposit_addr)) {
        return fail(ex, COH_BLOCK_DEPOSIT_LAYOUT);
    }
    return true;
}

/* ---- Blocks ---------------------------------------------------------------------------------------------------------------------- */

static void compute_roots(coh_execute_t *ex)
{
    uint32_t cnt          = ex->block->tx_cnt;
    coh_bytes_t *receipts = coh_arena_alloc(&ex->arena, ((size_t)cnt + 1) * sizeof(*receipts));
    for (uint32_t i = 0; i < cnt; i++) {
        receipts[i] = ex->txs[i].receipt;
    }
    coh_root_list(&ex->out.sums.receipts_root, receipts, cnt);
    ex->out.sums.tx_root = tx_root(ex->block);
    if (ex->rules->carries_root) {
        ex->out.sums.state_root = ex->block->header.state_root; /* which coh_header_check judges */
    } else {
        coh_world_root(ex->world, &ex->out.sums.state_root);
    }
    if (ex->rules->fork >= COH_FORK_PRAGUE) {
        coh_requests_hash_all(&ex->out.sums.requests_hash, &ex->requests);
    }
}

static bool run_block(coh_execute_t *ex)
{
    if (!coh_plan_make(&ex->plan, &ex->fault, ex->block, ex->rules)) {
        return false;
    }
    uint32_t cnt   = ex->plan.tx_cnt;
    ex->txs        = coh_arena_alloc(&ex->arena, ((size_t)cnt + 1) * sizeof(*ex->txs));
    ex->out.txs    = ex->txs;
    ex->out.tx_cnt = cnt;
    if (!run_steps(ex, &ex->plan.before, 0)) {
        return false;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        if (!run_tx(ex, i)) {
            return false;
        }
    }
    if (!run_steps(ex, &ex->plan.after, cnt + 1)) {
        return false;
    }
    compute_roots(ex);
    return true;
}

static coh_block_fault_t const *execute(coh_execute_t *ex,
                                        coh_world_t *w,
                                        coh_block_t const *block,
                                        coh_rules_t const *rules,
                                        bool compares)
{
    ex->world = w;
    ex->block = block;
    ex->rules = rules;
    ex->fault = (coh_block_fault_t){.err = COH_BLOCK_OK};
    ex->out   = (coh_executed_t){.plan = &ex->plan, .requests = &ex->requests};
    coh_arena_reset(&ex->arena, COH_ARENA_CHUNK_SZ);
    coh_requests_clear(&ex->requests);
    coh_memview_set_stutter(coh_world_state(w), ex->stutters);
    coh_world_begin(w, rules->fork);
    if (run_block(ex) && compares) {
        ex->fault.err = coh_block_compare(&block->header, rules->fork, &ex->out.sums);
    }
    if (ex->fault.err == COH_BLOCK_OK) {
        return NULL;
    }
    coh_world_undo(w);
    return &ex->fault;
}

coh_block_fault_t const *coh_execute_block(coh_execute_t *ex,
                                           coh_world_t *w,
                                           coh_block_t const *block,
                                           coh_rules_t const *rules)
{
    return execute(ex, w, block, rules, true);
}

coh_block_fault_t const *coh_execute_unchecked(coh_execute_t *ex,
                                               coh_world_t *w,
                                               coh_block_t const *block,
                                               coh_rules_t const *rules)
{
    return execute(ex, w, block, rules, false);
}
