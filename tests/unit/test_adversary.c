/* The placement that is worst for a given work: who calls whom ends up apart as far as there are shards. */
/* links: coh_block_cluster */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/obs/log.h"
#include "common/obs/metrics.h"
#include "coordinator/placement.h"
#include "deploy/cohort/adversary.h"
#include "deploy/cohort/block_cluster.h"
#include "tests/support/evmasm.h"
#include "tests/support/txgen.h"

static coh_addr_t addr(uint8_t i) { return (coh_addr_t){.b = {0xad, [19] = i}}; }

static void call(coh_adversary_t *a, uint8_t from, uint8_t to)
{
    coh_addr_t const x = addr(from);
    coh_addr_t const y = addr(to);
    coh_adversary_call(a, &x, &y);
}

static void touch(coh_adversary_t *a, uint8_t i)
{
    coh_addr_t const x = addr(i);
    coh_adversary_touch(a, &x);
}

/* By number of the account; accounts that were not seen: UINT32_MAX. */
static size_t shards(uint32_t out[256], coh_adversary_t *a, uint32_t shard_cnt)
{
    coh_override_t const *pins;
    size_t cnt = coh_adversary_place(a, &pins, shard_cnt);
    memset(out, 0xff, 256 * sizeof(*out));
    for (size_t i = 0; i < cnt; i++) {
        assert_true(pins[i].shard < shard_cnt);
        assert_int_equal(out[pins[i].addr.b[19]], UINT32_MAX);
        out[pins[i].addr.b[19]] = pins[i].shard;
    }
    return cnt;
}

static void adversary_parts_callers_and_callees(void **state)
{
    (void)state;
    uint32_t at[256];
    coh_adversary_t *a = coh_adversary_new();
    assert_int_equal(shards(at, a, 3), 0);
    /* A chain of eight, in one transaction: two shards are enough. */
    for (uint8_t i = 0; i < 7; i++) {
        call(a, i, (uint8_t)(i + 1));
    }
    coh_adversary_next(a);
    assert_int_equal(shards(at, a, 2), 8);
    for (uint8_t i = 0; i < 7; i++) {
        assert_int_not_equal(at[i], at[i + 1]);
    }
    /* With eight, nobody shares one: they are all of one transaction. */
    assert_int_equal(shards(at, a, 8), 8);
    for (uint8_t i = 0; i < 8; i++) {
        for (uint8_t k = 0; k < i; k++) {
            assert_int_not_equal(at[i], at[k]);
        }
    }
    assert_int_equal(shards(at, a, 1), 8);

    /* A contract with five callees is alone, whatever they touch. */
    coh_adversary_forget(a);
    for (uint8_t i = 1; i < 6; i++) {
        call(a, 0, i);
        touch(a, 100);
        coh_adversary_next(a);
    }
    assert_int_equal(shards(at, a, 2), 7);
    for (uint8_t i = 1; i < 6; i++) {
        assert_int_not_equal(at[i], at[0]);
    }
    coh_adversary_free(a);
}

static void adversary_parts_who_meets_in_a_transaction(void **state)
{
    (void)state;
    uint32_t at[256];
    coh_adversary_t *a = coh_adversary_new();
    /* 0 and 1 meet three times; 2 meets either once: with two shards the many count. */
    for (int i = 0; i < 3; i++) {
        touch(a, 0);
        touch(a, 1);
        touch(a, 0);
        coh_adversary_next(a);
    }
    touch(a, 0);
    touch(a, 2);
    coh_adversary_next(a);
    assert_int_equal(shards(at, a, 2), 3);
    assert_int_not_equal(at[0], at[1]);
    assert_int_not_equal(at[0], at[2]);
    /* A call weighs more than any number of meetings. */
    call(a, 1, 2);
    for (int i = 0; i < 9; i++) {
        coh_adversary_next(a);
        touch(a, 0);
        touch(a, 2);
    }
    assert_int_equal(shards(at, a, 2), 3);
    assert_int_not_equal(at[1], at[2]);
    /* Who meets nobody goes where there is room. */
    coh_adversary_forget(a);
    for (uint8_t i = 0; i < 12; i++) {
        touch(a, i);
        coh_adversary_next(a);
    }
    uint32_t load[4] = {0};
    assert_int_equal(shards(at, a, 4), 12);
    for (uint8_t i = 0; i < 12; i++) {
        load[at[i]]++;
    }
    for (uint32_t s = 0; s < 4; s++) {
        assert_int_equal(load[s], 3);
    }
    coh_adversary_free(a);
}

/* ---- by execution ---- */

static void put_contract(coh_genesis_t *g, uint8_t i, char const *text)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, text);
    uint8_t *copy = coh_calloc(1, code.n);
    memcpy(copy, code.p, code.n);
    g->alloc[g->alloc_cnt++] =
        (coh_genesis_account_t){.addr = addr(i), .nonce = 1, .code = coh_bytes(copy, code.n)};
    coh_buf_free(&code);
}

static void take_hash(void *arg, coh_import_result_t const *result)
{
    assert_int_equal(result->err, COH_OK);
    *(coh_hash_t *)arg = result->hash;
}

/* Executes a block where it is worst; returns the microseconds of the cluster's clock that it took to commit it. */
static uint64_t run_block(coh_hash_t *hash,
                          coh_genesis_t const *g,
                          coh_import_block_t const *block,
                          char const *policy,
                          uint64_t delay_us)
{
    coh_metrics_t *m         = coh_metrics_new(0);
    coh_metrics_t *metrics[] = {m, m, m, m, m};
    coh_buf_t why            = COH_BUF_INIT;
    coh_block_cluster_t *cluster =
        coh_block_cluster_new(&(coh_block_cluster_layout_t){.shard_cnt  = 4,
                                                            .thread_cnt = 1,
                                                            .placement  = policy,
                                                            .delay_us   = delay_us,
                                                            .metrics    = metrics});
    coh_block_cluster_visitor_t const visitor = {.block = take_hash, .arg = hash};
    assert_int_equal(coh_block_cluster_run(cluster, g, block, 1, &visitor, &why), COH_OK);
    coh_block_cluster_free(cluster);
    uint64_t us = coh_metric_quantile(m, COH_M_chain_commit_latency, 0.5);
    coh_metrics_free(m);
    coh_buf_free(&why);
    return us;
}

/* One transaction calls contract 1, which calls 2, which calls 3 by DELEGATECALL, which reads the balance of 4. Each is apart from the next, in the cluster's own directory too. */
static void adversary_learns_by_execution(void **state)
{
    (void)state;
    coh_txgen_t *gen = coh_txgen_new();
    coh_genesis_t g  = {.chain_id = 1, .number = 6, .gas_limit = 30000000};
    for (int f = 0; f < COH_FORK_CNT; f++) {
        g.fork_at[f] = f <= COH_FORK_SHANGHAI ? 0 : UINT64_MAX;
    }
    g.alloc                = coh_calloc(8, sizeof(*g.alloc));
    g.alloc[g.alloc_cnt++] = (coh_genesis_account_t){
        .addr = coh_txgen_addr(gen, 0), .balance = coh_u256(UINT64_C(1000000000000000000))};
    put_contract(&g, 1, "0 0 0 0 0 .73ad00000000000000000000000000000000000002 GAS CALL");
    put_contract(&g, 2, "0 0 0 0 .73ad00000000000000000000000000000000000003 GAS DELEGATECALL");
    put_contract(&g, 3, ".73ad00000000000000000000000000000000000004 BALANCE 1 SSTORE");
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_genesis_finish(&g, &why), COH_OK);
    coh_txgen_tx_t const *tx = coh_txgen_make(
        gen,
        &(coh_txgen_spec_t){
            .key = 0, .chain_id = 1, .gas_limit = 200000, .max_fee = coh_u256(10), .to = addr(1)});
    coh_import_block_t const block = {.number    = 7,
                                      .fork      = COH_FORK_SHANGHAI,
                                      .timestamp = 12,
                                      .gas_limit = 30000000,
                                      .base_fee  = coh_u256(7),
                                      .coinbase  = addr(9),
                                      .tx_cnt    = 1,
                                      .raws      = &tx->raw,
                                      .senders   = &tx->sender};
    coh_adversary_t *a             = coh_adversary_new();
    coh_adversary_learn(a, &g, &block, 1);
    uint32_t at[256];
    for (uint32_t cnt = 2; cnt < 9; cnt++) {
        assert_true(shards(at, a, cnt) >= 5);
        assert_int_not_equal(at[1], at[2]);
        assert_int_not_equal(at[2], at[3]);
        assert_true(cnt < 3 || at[4] != UINT32_MAX);
        coh_directory_t dir = {0};
        assert_int_equal(coh_placement_initial(&dir, coh_adversary_policy(a, cnt), cnt, &why),
                         COH_OK);
        for (uint8_t i = 1; i < 5; i++) {
            coh_addr_t x = addr(i);
            assert_int_equal(coh_directory_owner(&dir, &x, coh_directory_bucket(&x)), at[i]);
        }
        coh_directory_free(&dir);
    }
    /* With a shard for each, all that the transaction touched is apart: sender and contracts. */
    (void)shards(at, a, 16);
    for (uint8_t i = 1; i < 5; i++) {
        for (uint8_t k = 1; k < i; k++) {
            assert_int_not_equal(at[i], at[k]);
        }
    }
    /* Late messages change nothing but the time. */
    coh_hash_t soon;
    coh_hash_t late;
    char const *policy = coh_adversary_policy(a, 4);
    assert_true(run_block(&soon, &g, &block, policy, 0) < 10000);
    assert_true(run_block(&late, &g, &block, policy, 100000) > 100000);
    assert_memory_equal(&soon, &late, sizeof(soon));
    coh_adversary_free(a);
    coh_buf_free(&why);
    coh_genesis_free(&g);
    coh_txgen_free(gen);
}

int main(void)
{
    (void)coh_log_init("error", "");
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(adversary_parts_callers_and_callees),
        cmocka_unit_test(adversary_parts_who_meets_in_a_transaction),
        cmocka_unit_test(adversary_learns_by_execution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
