/* Load of `cohort bench transfers`: keys, plan, signatures, genesis. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/config/genesis.h"
#include "common/crypto/keccak.h"
#include "deploy/cohort/bench_load.h"

#define ACCOUNTS 300u
#define SHARDS   3u

static coh_bench_accounts_t make_accounts(void)
{
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, 7, ACCOUNTS, 2);
    for (size_t i = 0; i < accounts.cnt; i++) {
        accounts.v[i].shard = (uint16_t)(i * i % SHARDS);
        accounts.v[i].nonce = i;
    }
    return accounts;
}

static void bench_load_accounts_follow_from_seed(void **state)
{
    (void)state;
    coh_bench_accounts_t a;
    coh_bench_accounts_t b;
    coh_bench_accounts_new(&a, 1, 5, 1);
    coh_bench_accounts_new(&b, 1, 9, 3);
    for (size_t i = 0; i < 5; i++) {
        assert_true(coh_addr_eq(&a.v[i].addr, &b.v[i].addr));
        coh_addr_t addr;
        assert_int_equal(coh_ecdsa_address(&addr, a.v[i].secret), COH_OK);
        assert_true(coh_addr_eq(&addr, &a.v[i].addr));
    }
    coh_bench_accounts_free(&b);
    coh_bench_accounts_new(&b, 2, 5, 1);
    assert_false(coh_addr_eq(&a.v[0].addr, &b.v[0].addr));
    coh_bench_accounts_free(&a);
    coh_bench_accounts_free(&b);
}

static void bench_load_genesis_parses(void **state)
{
    (void)state;
    coh_bench_accounts_t accounts = make_accounts();
    coh_buf_t json                = COH_BUF_INIT;
    coh_buf_t err_text            = COH_BUF_INIT;
    coh_bench_genesis_put(&json, &accounts);
    coh_genesis_t genesis;
    coh_err_t err = coh_genesis_parse(&genesis, coh_buf_bytes(&json), &err_text);
    coh_buf_put_u8(&err_text, 0);
    if (err != COH_OK) {
        fail_msg("%s", (char const *)err_text.p);
    }
    assert_int_equal(genesis.chain_id, COH_BENCH_CHAIN_ID);
    assert_int_equal(genesis.alloc_cnt, ACCOUNTS);
    coh_u256_t supply = coh_bench_supply(&accounts);
    assert_true(coh_u256_eq(&genesis.supply, &supply));
    assert_true(coh_addr_eq(&genesis.coinbase, &accounts.coinbase));
    assert_int_equal(coh_genesis_fork(&genesis, 1, 1), COH_FORK_OSAKA);
    coh_genesis_free(&genesis);
    coh_buf_free(&json);
    coh_buf_free(&err_text);
    coh_bench_accounts_free(&accounts);
}

static void check_plan(coh_bench_accounts_t const *accounts,
                       uint32_t percent,
                       coh_bench_spot_t spot)
{
    coh_bench_load_t load;
    coh_bench_load_plan(&load, accounts, 3, 1000, percent, spot);
    uint64_t nonces[ACCOUNTS];
    for (size_t i = 0; i < ACCOUNTS; i++) {
        nonces[i] = accounts->v[i].nonce;
    }
    size_t cross = 0;
    for (size_t i = 0; i < load.cnt; i++) {
        coh_bench_tx_t const *tx = &load.v[i];
        bool elsewhere           = accounts->v[tx->from].shard != accounts->v[tx->to].shard;
        assert_int_equal(tx->is_cross, elsewhere);
        assert_int_not_equal(tx->from, tx->to);
        assert_int_equal(tx->nonce, nonces[tx->from]++);
        cross += elsewhere;
        assert_int_equal(cross, (i + 1) * percent / 100);
        if (spot == COH_BENCH_HOT_FROM) {
            assert_int_equal(tx->from, 0);
        } else if (spot == COH_BENCH_HOT_TO) {
            assert_int_equal(tx->to, 0);
        }
    }
    assert_int_equal(load.cross_cnt, cross);
    coh_bench_load_free(&load);
}

static void bench_load_plan_has_asked_share_across_shards(void **state)
{
    (void)state;
    coh_bench_accounts_t accounts = make_accounts();
    uint32_t const percents[]     = {0, 1, 33, 50, 99, 100};
    for (size_t i = 0; i < COH_CNT(percents); i++) {
        check_plan(&accounts, percents[i], COH_BENCH_UNIFORM);
        check_plan(&accounts, percents[i], COH_BENCH_HOT_FROM);
        check_plan(&accounts, percents[i], COH_BENCH_HOT_TO);
    }
    coh_bench_accounts_free(&accounts);
}

static void bench_load_plan_stays_on_the_only_shard(void **state)
{
    (void)state;
    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, 1, 10, 1);
    coh_bench_load_t load;
    coh_bench_load_plan(&load, &accounts, 1, 100, 100, COH_BENCH_UNIFORM);
    assert_int_equal(load.cross_cnt, 0);
    coh_bench_load_free(&load);
    coh_bench_accounts_free(&accounts);
}

static void bench_load_signs_what_was_planned(void **state)
{
    (void)state;
    coh_bench_accounts_t accounts = make_accounts();
    coh_bench_load_t load;
    coh_bench_load_plan(&load, &accounts, 5, 200, 40, COH_BENCH_UNIFORM);
    coh_bench_load_sign(&load, &accounts, 3);
    for (size_t i = 0; i < load.cnt; i++) {
        coh_bench_tx_t const *plan = &load.v[i];
        coh_tx_t tx;
        assert_int_equal(coh_tx_decode(&tx, plan->raw), COH_TX_OK);
        assert_int_equal(coh_tx_check_static(&tx, COH_FORK_OSAKA, COH_BENCH_CHAIN_ID, false),
                         COH_TX_OK);
        assert_int_equal(tx.type, i % 3);
        assert_int_equal(tx.nonce, plan->nonce);
        assert_int_equal(tx.value.w[0], plan->value);
        assert_true(coh_addr_eq(&tx.to, &accounts.v[plan->to].addr));
        assert_int_equal(coh_tx_intrinsic_gas(&tx, COH_FORK_OSAKA), plan->gas);
        coh_hash_t hash;
        coh_keccak256(&hash, plan->raw.p, plan->raw.n);
        assert_true(coh_hash_eq(&hash, &plan->hash));
        coh_tx_recover_t recover = {.tx = &tx};
        coh_buf_t scratch        = COH_BUF_INIT;
        coh_tx_recover_batch(&recover, 1, &scratch);
        coh_buf_free(&scratch);
        assert_int_equal(recover.err, COH_TX_OK);
        assert_true(coh_addr_eq(&recover.sender, &accounts.v[plan->from].addr));
    }
    coh_bench_load_free(&load);
    coh_bench_accounts_free(&accounts);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(bench_load_accounts_follow_from_seed),
        cmocka_unit_test(bench_load_genesis_parses),
        cmocka_unit_test(bench_load_plan_has_asked_share_across_shards),
        cmocka_unit_test(bench_load_plan_stays_on_the_only_shard),
        cmocka_unit_test(bench_load_signs_what_was_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
