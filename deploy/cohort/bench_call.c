/* Samples and their medians; message calls. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/evm/code.h"
#include "deploy/cohort/bench_evm.h"

static uint64_t timed(uint64_t turns, coh_bench_run_fn *run, void *arg)
{
    uint64_t start = coh_clock_thread_cpu_ns();
    for (uint64_t i = 0; i < turns; i++) {
        run(arg);
    }
    return coh_clock_thread_cpu_ns() - start;
}

void coh_bench_sample(coh_bench_samples_t *samples, uint64_t ms, coh_bench_run_fn *run, void *arg)
{
    if (samples->cnt == COH_BENCH_SAMPLE_MAX) {
        return;
    }
    uint64_t goal_ns = ms * 1000000;
    if (samples->turns == 0) {
        run(arg); /* fills caches */
        uint64_t turns = 1;
        uint64_t ns    = timed(turns, run, arg);
        while (ns < goal_ns / 8) {
            turns *= 2;
            ns = timed(turns, run, arg);
        }
        samples->turns = COH_MAX(turns * goal_ns / COH_MAX(ns, UINT64_C(1)), UINT64_C(1));
    }
    samples->ns[samples->cnt] = (double)timed(samples->turns, run, arg) / (double)samples->turns;
    samples->cnt++;
}

static int by_value(void const *a, void const *b)
{
    double x = *(double const *)a;
    double y = *(double const *)b;
    return (x > y) - (x < y);
}

double coh_bench_median(coh_bench_samples_t *samples)
{
    size_t n = samples->cnt;
    if (n == 0) {
        return 0;
    }
    qsort(samples->ns, n, sizeof(samples->ns[0]), by_value);
    return n % 2 == 1 ? samples->ns[n / 2] : (samples->ns[n / 2 - 1] + samples->ns[n / 2]) / 2;
}

/* A view that analyses code each time it is asked for, and otherwise is the one under it. */
typedef struct {
    coh_view_t view;
    coh_view_t *under;
    coh_memview_t *state;
    coh_fork_t fork;
    coh_code_t const **made; /* since the last release */
    size_t made_cnt;
    size_t made_max;
} fresh_view_t;

static coh_view_status_t fresh_read(coh_view_t *view,
                                    coh_value_t *out,
                                    coh_key_t const *key,
                                    uint32_t fields,
                                    coh_u256_t const *bound)
{
    fresh_view_t *fresh = (fresh_view_t *)view;
    return fresh->under->read(fresh->under, out, key, fields, bound);
}

static coh_view_status_t fresh_code(coh_view_t *view,
                                    coh_code_t const **out,
                                    coh_addr_t const *addr,
                                    coh_hash_t const *hash)
{
    (void)addr;
    fresh_view_t *fresh = (fresh_view_t *)view;
    if (fresh->made_cnt == fresh->made_max) {
        fresh->made_max = 2 * fresh->made_max + 8;
        fresh->made     = coh_realloc(fresh->made, fresh->made_max * sizeof(coh_code_t const *));
    }
    coh_code_t const *code = coh_code_new(coh_memview_code(fresh->state, hash), fresh->fork, hash);
    fresh->made[fresh->made_cnt++] = code;
    *out                           = code;
    return COH_VIEW_OK;
}

static void fresh_release(fresh_view_t *fresh)
{
    for (size_t i = 0; i < fresh->made_cnt; i++) {
        coh_code_unref(fresh->made[i]);
    }
    fresh->made_cnt = 0;
}

typedef struct {
    coh_evm_t *evm;
    coh_state_t overlay;
    coh_evm_env_t env;
    coh_evm_message_t const *msg;
    coh_view_t *view; /* of the state: code analysed once */
    fresh_view_t fresh;
} call_t;

/* The accounts of a message are warm, as in a transaction (EIP-2929). */
static void run_over(call_t *call, coh_view_t *view)
{
    coh_state_begin(&call->overlay, view, call->env.block->fork);
    coh_state_set_flags(
        &call->overlay, coh_state_account(&call->overlay, &call->msg->sender), COH_ACCT_WARM);
    coh_state_set_flags(
        &call->overlay, coh_state_account(&call->overlay, &call->msg->to), COH_ACCT_WARM);
    coh_evm_begin(call->evm, &call->env, &call->overlay, call->msg);
    coh_evm_run_t run = coh_evm_run(call->evm);
    COH_ASSERT(run == COH_EVM_DONE); /* all state is at hand */
}

static void run_execute(void *arg)
{
    call_t *call = arg;
    run_over(call, call->view);
}

static void run_total(void *arg)
{
    call_t *call = arg;
    run_over(call, &call->fresh.view);
    fresh_release(&call->fresh);
}

void coh_bench_call_measure(coh_bench_call_cost_t *out,
                            coh_memview_t *state,
                            coh_block_env_t const *block,
                            coh_evm_message_t const *msg,
                            uint64_t sample_cnt,
                            uint64_t sample_ms)
{
    coh_view_t *view = coh_memview_view(state);
    call_t call      = {
             .evm   = coh_evm_new(),
             .env   = {.block = block, .origin = msg->sender, .gas_price = block->base_fee},
             .msg   = msg,
             .view  = view,
             .fresh = {.view  = {.read = fresh_read, .code = fresh_code},
                       .under = view,
                       .state = state,
                       .fork  = block->fork},
    };
    coh_bench_samples_t *execute = coh_calloc(2, sizeof(*execute));
    coh_bench_samples_t *total   = execute + 1;
    coh_state_init(&call.overlay, &coh_code_coder);
    for (uint64_t i = 0; i < sample_cnt; i++) { /* in turn: noise hits both */
        coh_bench_sample(execute, sample_ms, run_execute, &call);
        coh_bench_sample(total, sample_ms, run_total, &call);
    }
    coh_evm_result_t const *result = coh_evm_result(call.evm);
    *out                           = (coh_bench_call_cost_t){
                                  .status     = result->status,
                                  .gas        = msg->gas - result->gas_left,
                                  .execute_ns = coh_bench_median(execute),
                                  .total_ns   = coh_bench_median(total),
    };
    coh_state_fini(&call.overlay);
    coh_evm_free(call.evm);
    free(call.fresh.made);
    free(execute);
}
