/* kill -9 of a random rank, or of all, under load: what was acknowledged is there afterwards, no money appeared or vanished, the state has the head's root, and the cluster
   recovers without help. Three rounds; twenty, and restart to ready within 3 s, with COHORT_TEST_LONG=1. COHORT_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "deploy/cohort/datadir.h"
#include "tests/mpi/acks.h"
#include "tests/mpi/cluster.h"
#include "tests/support/flat_root.h"
#include "tests/support/seed.h"

#define SHARDS        2u
#define ACCOUNTS      500u
#define ROUND_TXS_MAX 12000u
#define BATCH         200u
#define READY_MS_MAX  3000
/* How long a round waits for receipts at most: a publication may be missed. */
#define ACK_US_MAX UINT64_C(10000000)

/* Hands in tx_cnt transactions as fast as they are taken, waits until ack_cnt of them have receipts (0: does not wait), and kills
   while requests and blocks are on their way. (No account has a shard here: pairs fall within and across shards as they come.) */
static void load_and_kill(coh_test_cluster_t *c,
                          coh_bench_accounts_t const *accounts,
                          coh_test_acks_t *acks,
                          coh_rng_t *rng,
                          size_t tx_cnt,
                          size_t ack_cnt,
                          int victim)
{
    size_t acked_before = acks->cnt;
    coh_bench_load_t load;
    coh_bench_load_plan(&load, accounts, coh_rng_next(rng), tx_cnt, 0, COH_BENCH_UNIFORM);
    coh_bench_load_sign(&load, accounts, 2);
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    options.in_flight_max        = 16;
    coh_client_pipeline_t *pipeline;
    coh_client_subscription_t *subscription;
    assert_int_equal(coh_client_pipeline_open(
                         &pipeline, c->requests, &options, NULL, coh_test_acks_ignore_answer, NULL),
                     COH_OK);
    assert_int_equal(coh_client_subscribe(&subscription, c->publications, "R", 64u << 20, NULL),
                     COH_OK);
    coh_pub_t pub;
    for (size_t next = 0; next < load.cnt;) {
        coh_bytes_t raws[BATCH];
        uint32_t cnt = (uint32_t)COH_MIN(load.cnt - next, BATCH);
        for (size_t i = 0; i < cnt; i++) {
            raws[i] = load.v[next + i].raw;
        }
        coh_op_submit_request_t request = {.raws = {.v = raws, .cnt = cnt}};
        if (coh_client_pipeline_submit(pipeline, &request, next) == COH_OK) {
            next += cnt;
        }
        assert_int_equal(coh_client_pipeline_poll(pipeline, 1), COH_OK);
        while (coh_client_next(subscription, &pub, 0) == COH_OK) {
            coh_test_acks_add(acks, &pub);
        }
    }
    uint64_t give_up_us = coh_clock_mono_us() + ACK_US_MAX;
    while (acks->cnt - acked_before < ack_cnt && coh_clock_mono_us() < give_up_us) {
        assert_int_equal(coh_client_pipeline_poll(pipeline, 1), COH_OK);
        while (coh_client_next(subscription, &pub, 0) == COH_OK) {
            coh_test_acks_add(acks, &pub);
        }
    }
    coh_test_cluster_kill(c, victim);
    while (coh_client_next(subscription, &pub, 50) == COH_OK) {
        coh_test_acks_add(acks, &pub);
    }
    coh_client_unsubscribe(subscription);
    coh_client_pipeline_close(pipeline);
    coh_bench_load_free(&load);
}

/* After the end: what the shards' tables hold, built anew, has the root that the last header says. */
static void check_stores(coh_test_cluster_t *c)
{
    coh_datadir_t *dirs[1 + SHARDS];
    coh_kv_t *kvs[1 + SHARDS];
    coh_genesis_t genesis;
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_genesis_load(&genesis, c->genesis, &why), COH_OK);
    for (uint32_t rank = 0; rank <= SHARDS; rank++) {
        if (coh_datadir_open(&dirs[rank], c->data, rank, 1 + SHARDS, &why) != COH_OK ||
            coh_datadir_open_kv(dirs[rank], &kvs[rank], &genesis, 1 << 20, &why) != COH_OK) {
            fail_msg("%.*s", (int)why.n, (char const *)why.p);
        }
    }
    coh_hash_t root;
    coh_hash_t head;
    assert_true(coh_test_head_root(&head, kvs[0]));
    assert_true(coh_test_flat_root(&root, kvs + 1, SHARDS));
    assert_memory_equal(root.b, head.b, sizeof(root.b));
    for (uint32_t rank = 0; rank <= SHARDS; rank++) {
        kvs[rank]->ops->close(kvs[rank]);
        coh_datadir_close(dirs[rank]);
    }
    coh_genesis_free(&genesis);
    coh_buf_free(&why);
}

static void kill_loses_nothing_acknowledged(void **state)
{
    (void)state;
    bool is_long  = getenv("COHORT_TEST_LONG") != NULL;
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);

    coh_bench_accounts_t accounts;
    coh_bench_accounts_new(&accounts, seed, ACCOUNTS, 2);
    coh_u256_t supply = coh_bench_supply(&accounts);
    coh_test_cluster_t cluster;
    coh_test_cluster_init(&cluster, SHARDS, &accounts);
    coh_test_acks_t acks = {0};
    size_t sent          = 0;
    int rounds           = is_long ? 20 : 3;
    for (int round = 0; round <= rounds; round++) {
        coh_test_cluster_start(&cluster);
        int ready_ms = coh_test_cluster_wait_ready(&cluster);
        if (ready_ms < 0) {
            char *log = coh_test_cluster_log(&cluster);
            fail_msg("round %d: not ready\n%s", round, log);
        }
        coh_client_t *client = coh_test_client(&cluster, 10000);
        coh_buf_t text       = COH_BUF_INIT;
        if (!coh_test_acks_check(&acks, client, &text)) {
            fail_msg("%.*s", (int)text.n, (char const *)text.p);
        }
        coh_u256_t sum = coh_test_refresh(client, &accounts);
        coh_u256_t burnt;
        assert_int_equal(coh_test_burnt(&burnt, client), COH_OK);
        coh_client_close(client);
        (void)coh_u256_add(&sum, &sum, &burnt);
        assert_true(coh_u256_eq(&sum, &supply));
        printf("round %d: ready after %d ms; of %zu transactions handed in %zu were acknowledged, "
               "none of them lost\n",
               round,
               ready_ms,
               sent,
               acks.cnt);
        if (is_long) {
            assert_true(ready_ms < READY_MS_MAX);
        }
        if (round == rounds) {
            break;
        }
        int victim    = (int)coh_rng_below(&rng, SHARDS + 2) - 1;
        size_t tx_cnt = 500 + coh_rng_below(&rng, ROUND_TXS_MAX);
        sent += tx_cnt;
        /* Every third kill comes at once, mostly before the first block is through; the others among the blocks. */
        size_t ack_cnt = round % 3 == 2 ? 0 : 1 + coh_rng_below(&rng, tx_cnt / 2);
        load_and_kill(&cluster, &accounts, &acks, &rng, tx_cnt, ack_cnt, victim);
    }
    assert_true(acks.cnt > 0);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    check_stores(&cluster);
    coh_test_acks_free(&acks);
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
}

int main(void)
{
    struct CMUnitTest const tests[] = {cmocka_unit_test(kill_loses_nothing_acknowledged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
