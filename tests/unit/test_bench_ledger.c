/* The bench's books: a correct run has no fault, and each kind of wrong answer is found. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deploy/cohort/bench_ledger.h"

#define GWEI  UINT64_C(1000000000)
#define FUNDS (GWEI * GWEI)

/* Two accounts and a coinbase; account 0 sends three transactions, one of each type, to account 1. Prices at a base fee of 1 gwei are 100, 100 and
   1 + 2 gwei; one block of 65,400 gas. */
typedef struct {
    coh_bench_accounts_t accounts;
    coh_bench_account_t account[2];
    coh_bench_load_t load;
    coh_bench_tx_t tx[3];
    coh_op_receipt_t receipt[3];
    coh_op_account_t after[3];
    coh_u256_t supply;
    coh_u256_t burnt; /* as the cluster says */
    coh_bench_ledger_t *ledger;
} fixture_t;

static void expect_after(fixture_t *f)
{
    uint64_t const fees[3] = {21000 * 100 * GWEI, 23400 * 100 * GWEI, 21000 * 3 * GWEI};
    uint64_t const burnt   = 65400 * GWEI;
    f->after[0]            = (coh_op_account_t){
                   .nonce = 3, .balance = coh_u256(FUNDS - fees[0] - fees[1] - fees[2] - 3 * GWEI)};
    f->after[1] = (coh_op_account_t){.balance = coh_u256(FUNDS + 3 * GWEI)};
    f->after[2] = (coh_op_account_t){.balance = coh_u256(fees[0] + fees[1] + fees[2] - burnt)};
    f->supply   = coh_u256(2 * FUNDS);
    f->burnt    = coh_u256(burnt);
}

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof(*f));
    f->accounts  = (coh_bench_accounts_t){.cnt = 2, .v = f->account, .coinbase = {{0xcc}}};
    f->load      = (coh_bench_load_t){.cnt = 3, .v = f->tx};
    uint64_t gas = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if (i < 2) {
            f->account[i] =
                (coh_bench_account_t){.addr = {{(uint8_t)(i + 1)}}, .balance = coh_u256(FUNDS)};
        }
        f->tx[i] = (coh_bench_tx_t){.hash  = {{(uint8_t)(10 + i)}},
                                    .nonce = i,
                                    .value = GWEI,
                                    .to    = 1,
                                    .gas   = i == 1 ? 23400 : 21000,
                                    .type  = (uint8_t)i};
        gas += f->tx[i].gas;
        f->receipt[i] = (coh_op_receipt_t){
            .tx_hash         = f->tx[i].hash,
            .block           = 1,
            .tx_idx          = i,
            .type            = i,
            .from            = {{1}},
            .to              = {{2}},
            .status          = 1,
            .gas_used        = f->tx[i].gas,
            .cumulative_gas  = gas,
            .effective_price = coh_u256((i == 2 ? 3 : 100) * GWEI),
        };
    }
    expect_after(f);
    coh_u256_t none     = COH_U256_ZERO;
    coh_u256_t base_fee = coh_u256(GWEI);
    f->ledger = coh_bench_ledger_new(&f->load, &f->accounts, &none, 0, &base_fee, 400000000);
    for (size_t i = 0; i < 3; i++) {
        coh_bench_ledger_sent(f->ledger, i, 1000);
        coh_bench_ledger_answered(f->ledger, i, COH_TX_OK);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    coh_bench_ledger_free(f->ledger);
    free(f);
    return 0;
}

static void close_ledger(fixture_t *f)
{
    coh_u256_t none = COH_U256_ZERO;
    coh_bench_ledger_close(f->ledger, f->after, &f->supply, &none, &f->burnt);
}

static uint64_t faults(fixture_t const *f, coh_bench_check_t check)
{
    return coh_bench_ledger_verdict(f->ledger, check)->fault_cnt;
}

static void bench_ledger_correct_run_has_no_fault(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(coh_bench_ledger_open_cnt(f->ledger), 3);
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 3, 51000);
    assert_int_equal(coh_bench_ledger_open_cnt(f->ledger), 0);
    assert_int_equal(coh_bench_ledger_latency(f->ledger, 0.5), 50000);
    coh_u256_t burnt = coh_bench_ledger_burnt(f->ledger);
    assert_int_equal(burnt.w[0], 65400 * GWEI);
    close_ledger(f);
    for (int i = 0; i < COH_BENCH_CHECK_CNT; i++) {
        assert_int_equal(faults(f, (coh_bench_check_t)i), 0);
    }
}

static void bench_ledger_finds_missing_and_second_receipt(void **state)
{
    fixture_t *f = *state;
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 2, 2000);
    assert_int_equal(coh_bench_ledger_open_cnt(f->ledger), 1);
    coh_bench_ledger_block(f->ledger, 2, f->receipt, 1, 2000);
    assert_int_equal(faults(f, COH_BENCH_CHECK_RECEIPTS), 1);
    close_ledger(f);
    assert_int_equal(faults(f, COH_BENCH_CHECK_RECEIPTS), 2);
}

static void bench_ledger_finds_stranger_and_dropped(void **state)
{
    fixture_t *f = *state;
    coh_bench_ledger_dropped(f->ledger, &f->tx[2].hash, COH_TX_FUNDS);
    coh_bench_ledger_dropped(f->ledger, &f->tx[2].hash, COH_TX_FUNDS);
    assert_int_equal(coh_bench_ledger_open_cnt(f->ledger), 2);
    assert_int_equal(coh_bench_ledger_counts(f->ledger).dropped, 1);
    assert_int_equal(faults(f, COH_BENCH_CHECK_RECEIPTS), 0);
    f->receipt[0].tx_hash.b[31] = 1;
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 3, 2000);
    assert_int_equal(faults(f, COH_BENCH_CHECK_RECEIPTS), 2);
}

static void bench_ledger_finds_wrong_fields(void **state)
{
    fixture_t *f        = *state;
    coh_op_receipt_t *r = &f->receipt[1];
    r->from.b[0]++;
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 2, 2000);
    assert_int_equal(faults(f, COH_BENCH_CHECK_FIELDS), 1);
    f->receipt[2].status = 0;
    f->receipt[2].block  = 2;
    f->receipt[2].tx_idx = 0;
    coh_bench_ledger_block(f->ledger, 2, &f->receipt[2], 1, 2000);
    assert_int_equal(faults(f, COH_BENCH_CHECK_FIELDS), 2);
}

static void bench_ledger_finds_wrong_price(void **state)
{
    fixture_t *f                  = *state;
    f->receipt[2].effective_price = coh_u256(100 * GWEI);
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 3, 2000);
    assert_int_equal(faults(f, COH_BENCH_CHECK_FIELDS), 1);
}

static void bench_ledger_finds_wrong_order(void **state)
{
    fixture_t *f                 = *state;
    coh_op_receipt_t const first = f->receipt[0];
    f->receipt[0]                = f->receipt[2];
    f->receipt[2]                = first;
    f->receipt[0].tx_idx         = 0;
    f->receipt[2].tx_idx         = 2;
    f->receipt[0].cumulative_gas = 21000;
    f->receipt[2].cumulative_gas = 65400;
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 3, 2000);
    assert_int_equal(faults(f, COH_BENCH_CHECK_FIELDS), 2);
}

static void bench_ledger_finds_lost_wei_and_wrong_nonce(void **state)
{
    fixture_t *f = *state;
    coh_bench_ledger_block(f->ledger, 1, f->receipt, 3, 2000);
    f->after[1].balance.w[0]--;
    f->after[0].nonce = 2;
    f->burnt.w[0]++;
    close_ledger(f);
    assert_int_equal(faults(f, COH_BENCH_CHECK_BALANCES), 1);
    assert_int_equal(faults(f, COH_BENCH_CHECK_SUPPLY), 2);
    assert_int_equal(faults(f, COH_BENCH_CHECK_NONCES), 1);
    assert_int_equal(faults(f, COH_BENCH_CHECK_RECEIPTS), 0);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    struct CMUnitTest const tests[] = {
        CASE(bench_ledger_correct_run_has_no_fault),
        CASE(bench_ledger_finds_missing_and_second_receipt),
        CASE(bench_ledger_finds_stranger_and_dropped),
        CASE(bench_ledger_finds_wrong_fields),
        CASE(bench_ledger_finds_wrong_price),
        CASE(bench_ledger_finds_wrong_order),
        CASE(bench_ledger_finds_lost_wei_and_wrong_nonce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
