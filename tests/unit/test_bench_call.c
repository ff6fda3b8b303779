/* Figures of `cohort bench evm`: medians, and the cost of a message call. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "deploy/cohort/bench_evm.h"
#include "tests/support/data.h"

static double median_of(double const *ns, size_t cnt)
{
    coh_bench_samples_t *samples = coh_calloc(1, sizeof(*samples));
    memcpy(samples->ns, ns, cnt * sizeof(*ns));
    samples->cnt  = cnt;
    double median = coh_bench_median(samples);
    free(samples);
    return median;
}

static void bench_call_median(void **state)
{
    (void)state;
    double const odd[]  = {9, 1, 5, 1000, 2};
    double const even[] = {8, 2, 4, 100};
    assert_true(median_of(odd, 5) == 5);
    assert_true(median_of(even, 4) == 6);
    assert_true(median_of(odd, 1) == 9);
    assert_true(median_of(odd, 0) == 0);
}

static void count(void *arg) { ++*(uint64_t *)arg; }

static void bench_call_samples_are_as_long_as_asked(void **state)
{
    (void)state;
    coh_bench_samples_t *samples = coh_calloc(1, sizeof(*samples));
    uint64_t run_cnt             = 0;
    coh_bench_sample(samples, 1, count, &run_cnt);
    assert_int_equal(samples->cnt, 1);
    assert_true(samples->turns > 1000); /* a millisecond of counting */
    uint64_t before = run_cnt;
    coh_bench_sample(samples, 1, count, &run_cnt);
    assert_int_equal(samples->cnt, 2);
    assert_int_equal(run_cnt - before, samples->turns);
    samples->cnt = COH_BENCH_SAMPLE_MAX;
    coh_bench_sample(samples, 1, count, &run_cnt);
    assert_int_equal(samples->cnt, COH_BENCH_SAMPLE_MAX);
    assert_int_equal(run_cnt - before, samples->turns);
    free(samples);
}

/* PUSH1 1 PUSH1 0 SSTORE STOP, or the same and a revert: Yellow Paper's 3 + 3, and EIP-2929's 2100 + 20000 for a fresh slot. */
static void check_call(char const *code_hex, coh_evm_status_t status, uint64_t gas)
{
    coh_addr_t from  = coh_test_addr("0x1000000000000000000000000000000000000001");
    coh_addr_t to    = coh_test_addr("0x2000000000000000000000000000000000000002");
    coh_u256_t funds = coh_u256(1000);
    coh_u256_t slot  = COH_U256_ZERO;
    coh_buf_t code   = COH_BUF_INIT;
    coh_solo_t solo;
    coh_solo_init(&solo, COH_FORK_OSAKA);
    assert_true(coh_test_hex(&code, code_hex));
    coh_solo_fund(&solo, &from, &funds);
    coh_memview_put_account(solo.state, &to, 1, &funds, coh_buf_bytes(&code));
    coh_evm_message_t msg = {.sender = from, .to = to, .gas = 100000};
    coh_bench_call_cost_t cost;
    coh_bench_call_measure(&cost, solo.state, &solo.block, &msg, 2, 1);
    assert_int_equal(cost.status, status);
    assert_int_equal(cost.gas, gas);
    assert_true(cost.execute_ns > 0);
    assert_true(cost.total_ns > 0);
    coh_u256_t kept = coh_memview_slot(solo.state, &to, &slot);
    assert_true(coh_u256_is_zero(&kept)); /* every run found what the first one did */
    coh_buf_free(&code);
    coh_solo_fini(&solo);
}

static void bench_call_cost(void **state)
{
    (void)state;
    check_call("600160005500", COH_EVM_SUCCESS, 22106);
    check_call("600160005560006000fd", COH_EVM_REVERT, 22112);
    check_call("fe", COH_EVM_UNDEFINED, 100000);
}

int main(void)
{
    static struct CMUnitTest const tests[] = {
        cmocka_unit_test(bench_call_median),
        cmocka_unit_test(bench_call_samples_are_as_long_as_asked),
        cmocka_unit_test(bench_call_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
