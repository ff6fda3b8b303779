/* kill -9 of a random rank, or of all, while accounts with their storage move to other shards: placement learns from contracts that call each other, with new partners again and again, so that there is
   always something to move. The kill comes at a random instant after the status has shown a round under way. At rest the data is sound (`cohort check`: each account at the shard that the directory says,
   nothing beside it, the root of all is the head's), and after the start all that was acknowledged is there, no money appeared or vanished, and moves go on. Whether a kill fell into a round is said by
   the shards at the next start: those that had taken or given something away settle it. Four kills, and more until one did; forty with COHORT_TEST_LONG=1. COHORT_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "tests/mpi/acks.h"
#include "tests/mpi/operate.h"
#include "tests/support/seed.h"

#define SHARDS    3u
#define ACCOUNTS  150u
#define CONTRACTS 24u
/* Of each contract: a round moves some megabytes. */
#define SLOTS 1200u
#define BATCH 50u
/* Transactions after which contracts get other partners. */
#define PARTNERS_TXS 1500u
/* Transactions without a receipt at most. */
#define AHEAD_TXS 3000u
#define GAS_LIMIT 200000u
/* How long after the status showed that accounts are being copied, or are at their decision, the kill comes, at most. */
#define COPYING_DELAY_US_MAX 20000u
#define DECIDED_DELAY_US_MAX 2000u
#define NOBODY               (-2)
#define GIVE_UP_US           UINT64_C(20000000)

typedef struct {
    coh_test_cluster_t cluster;
    coh_bench_accounts_t accounts;
    coh_test_acks_t acks;
    coh_rng_t rng;
    uint32_t partner; /* contract i calls contract i + partner */
    size_t sent;
} world_t;

static coh_addr_t contract(uint32_t i)
{
    coh_addr_t addr = {.b = {[18] = 0x57, [19] = (uint8_t)(1 + i % CONTRACTS)}};
    addr.b[0]       = (uint8_t)coh_mix64(i % CONTRACTS); /* anywhere */
    return addr;
}

/* Contracts with SLOTS slots each. Called with (a, slot, word) one sets its slot and, if a is not zero, calls a with (0, slot, word). */
static void put_contracts(coh_test_cluster_t const *c)
{
    static char const code[] = "6040356020355560406020602037" /* slot := word; copy both */
                               "5f3515601f57"                 /* a = 0: the end */
                               "5f5f60605f5f5f355af150"       /* call a */
                               "5b00";
    coh_buf_t text = COH_BUF_INIT;
    for (uint32_t i = 0; i < CONTRACTS; i++) {
        char hex[41];
        coh_addr_t addr = contract(i);
        coh_hex_encode(hex, addr.b, sizeof(addr.b));
        coh_buf_printf(
            &text, "\"0x%s\":{\"balance\":\"0x1\",\"code\":\"0x%s\",\"storage\":{", hex, code);
        for (uint32_t slot = 1; slot <= SLOTS; slot++) {
            coh_buf_printf(&text, "%s\"0x%x\":\"0x2a\"", slot == 1 ? "" : ",", slot);
        }
        coh_buf_printf(&text, "}},\n");
    }
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/contracts", c->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.p, 1, text.n, file), text.n);
    assert_int_equal(fclose(file), 0);
    coh_test_sh("sed -i '/\"alloc\": *{/r %s' '%s'", path, c->genesis);
    coh_buf_free(&text);
}

static void put_tx(coh_buf_t *raw, world_t *w)
{
    uint32_t from               = (uint32_t)(w->sent % ACCOUNTS);
    coh_bench_account_t *sender = &w->accounts.v[from];
    uint8_t data[96]            = {0};
    coh_tx_t tx                 = {
                        .type      = COH_TX_DYNAMIC_FEE,
                        .chain_id  = COH_BENCH_CHAIN_ID,
                        .nonce     = sender->nonce++,
                        .gas_limit = GAS_LIMIT,
                        .max_fee   = coh_bench_max_fee(),
                        .max_tip   = coh_bench_max_tip(),
    };
    if (coh_rng_below(&w->rng, 4) == 0) {
        tx.to    = w->accounts.v[coh_rng_below(&w->rng, ACCOUNTS)].addr;
        tx.value = coh_u256(1 + coh_rng_below(&w->rng, 1000000));
    } else {
        coh_addr_t callee = contract(from + w->partner);
        coh_u256_t slot   = coh_u256(1 + coh_rng_below(&w->rng, SLOTS));
        coh_u256_t word   = coh_u256(coh_rng_below(&w->rng, 3)); /* 0 clears it */
        memcpy(data + 12, callee.b, sizeof(callee.b));
        coh_u256_to_be(data + 32, &slot);
        coh_u256_to_be(data + 64, &word);
        tx.to   = contract(from);
        tx.data = coh_bytes(data, sizeof(data));
    }
    assert_int_equal(coh_tx_sign(&tx, sender->secret), COH_OK);
    coh_tx_encode(raw, &tx);
    if (++w->sent % PARTNERS_TXS == 0) {
        w->partner = 1 + (uint32_t)coh_rng_below(&w->rng, CONTRACTS - 1);
    }
}

static void submit(coh_client_pipeline_t *pipeline, world_t *w)
{
    coh_buf_t bufs[BATCH] = {0};
    coh_bytes_t raws[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        put_tx(&bufs[i], w);
        raws[i] = coh_buf_bytes(&bufs[i]);
    }
    coh_op_submit_request_t request = {.raws = {.v = raws, .cnt = BATCH}};
    assert_int_equal(coh_client_pipeline_submit(pipeline, &request, 0), COH_OK);
    for (uint32_t i = 0; i < BATCH; i++) {
        coh_buf_free(&bufs[i]);
    }
}

typedef enum { ROUND_NONE, ROUND_COPYING, ROUND_DECIDED } round_t;

/* How far a round of moves is that is under way, and how many accounts have moved since the start. */
static round_t ask(coh_client_t *client, uint64_t *moves)
{
    coh_op_status_answer_t answer;
    assert_int_equal(coh_client_status(client, &answer, &(coh_op_status_request_t){0}), COH_OK);
    coh_buf_t json = COH_BUF_INIT;
    coh_buf_put(&json, answer.json.p, answer.json.n);
    coh_buf_put_u8(&json, 0);
    char const *placement = strstr((char const *)json.p, "\"placement\":{");
    assert_non_null(placement);
    char const *count = strstr(placement, "\"moves\":");
    char const *round = strstr(placement, "\"round\":\"");
    assert_true(count != NULL && round != NULL);
    *moves = strtoull(count + strlen("\"moves\":"), NULL, 10);
    round += strlen("\"round\":\"");
    round_t found = ROUND_NONE; /* or it waits for blocks that are under way */
    if (strncmp(round, "preparing", strlen("preparing")) == 0) {
        found = ROUND_COPYING;
    } else if (strncmp(round, "deciding", strlen("deciding")) == 0 ||
               strncmp(round, "ending", strlen("ending")) == 0) {
        found = ROUND_DECIDED;
    }
    coh_buf_free(&json);
    return found;
}

/* Loads the cluster until its round_cnt-th round has come to until, and kills victim (NOBODY: does not) delay_us later. Returns the accounts that had moved by then, of this run of the cluster. */
static uint64_t load_and_kill(world_t *w,
                              uint32_t round_cnt,
                              round_t until,
                              uint32_t delay_us,
                              int victim)
{
    coh_test_cluster_t *c        = &w->cluster;
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    options.in_flight_max        = 4;
    coh_client_pipeline_t *pipeline;
    coh_client_subscription_t *subscription;
    assert_int_equal(coh_client_pipeline_open(
                         &pipeline, c->requests, &options, NULL, coh_test_acks_ignore_answer, NULL),
                     COH_OK);
    assert_int_equal(coh_client_subscribe(&subscription, c->publications, "R", 64u << 20, NULL),
                     COH_OK);
    coh_client_t *client = coh_test_client(c, 10000);
    uint64_t give_up_us  = coh_clock_mono_us() + GIVE_UP_US;
    uint64_t moves       = 0;
    size_t sent_before   = w->sent;
    size_t acks_before   = w->acks.cnt;
    uint32_t begun       = 0;
    round_t round        = ROUND_NONE;
    coh_pub_t pub;
    /* The end of a round may be over between two looks: then the next one is as good. */
    while (begun < round_cnt || round < until) {
        if (coh_clock_mono_us() > give_up_us) {
            fail_msg("%u rounds of moves, not %u:\n%s", begun, round_cnt, coh_test_cluster_log(c));
        }
        if (coh_client_pipeline_in_flight(pipeline) < options.in_flight_max &&
            w->sent - sent_before < w->acks.cnt - acks_before + AHEAD_TXS) {
            submit(pipeline, w);
        }
        assert_int_equal(coh_client_pipeline_poll(pipeline, 0), COH_OK);
        while (coh_client_next(subscription, &pub, 0) == COH_OK) {
            coh_test_acks_add(&w->acks, &pub);
        }
        round_t now = ask(client, &moves);
        begun += now != ROUND_NONE && round == ROUND_NONE;
        round = now;
    }
    if (victim != NOBODY) {
        (void)usleep(delay_us);
        coh_test_cluster_kill(c, victim);
    }
    while (coh_client_next(subscription, &pub, 50) == COH_OK) {
        coh_test_acks_add(&w->acks, &pub);
    }
    coh_client_close(client);
    coh_client_unsubscribe(subscription);
    coh_client_pipeline_close(pipeline);
    return moves;
}

static void expect_sound(world_t *w, coh_u256_t const *supply)
{
    coh_test_ops_expect_acks(&w->cluster, &w->acks, UINT64_MAX);
    coh_client_t *client = coh_test_client(&w->cluster, 10000);
    coh_u256_t sum       = coh_test_refresh(client, &w->accounts);
    coh_u256_t burnt;
    assert_int_equal(coh_test_burnt(&burnt, client), COH_OK);
    coh_client_close(client);
    (void)coh_u256_add(&sum, &sum, &burnt);
    assert_true(coh_u256_eq(&sum, supply));
}

static void kill_in_a_round_loses_nothing(void **state)
{
    (void)state;
    bool is_long  = getenv("COHORT_TEST_LONG") != NULL;
    uint64_t seed = coh_test_seed();
    /* Without the dead one the others cannot finish: no use in waiting for that (deploy/mpi-env.sh: 5). */
    assert_int_equal(setenv("OMPI_MCA_odls_base_sigkill_timeout", "0", 0), 0);
    world_t w = {.partner = 1};
    coh_rng_seed(&w.rng, seed);
    coh_bench_accounts_new(&w.accounts, seed, ACCOUNTS, 2);
    coh_u256_t supply = coh_bench_supply(&w.accounts);
    coh_test_cluster_init(&w.cluster, SHARDS, &w.accounts);
    put_contracts(&w.cluster);
    w.cluster.options[0] = "--placement-policy affinity --block-tx-max 40";
    uint32_t kills       = is_long ? 40 : 4; /* and more until one fell into a round */
    uint32_t undone      = 0;
    uint32_t done        = 0;
    coh_test_ops_start(&w.cluster, SHARDS);
    for (uint32_t i = 0; i < kills || (undone + done == 0 && i < 5 * kills); i++) {
        int victim        = (int)coh_rng_below(&w.rng, SHARDS + 2) - 1;
        uint32_t rounds   = 1 + (uint32_t)coh_rng_below(&w.rng, 3);
        round_t until     = i % 2 == 0 ? ROUND_COPYING : ROUND_DECIDED;
        uint32_t delay_us = (uint32_t)coh_rng_below(
            &w.rng, until == ROUND_COPYING ? COPYING_DELAY_US_MAX : DECIDED_DELAY_US_MAX);
        uint64_t moves = load_and_kill(&w, rounds, until, delay_us, victim);
        coh_test_ops_expect(0, "check", w.cluster.data, "nothing wrong");
        coh_test_ops_start(&w.cluster, SHARDS);
        char *log         = coh_test_cluster_log(&w.cluster);
        bool is_undone    = strstr(log, "committed=0") != NULL;
        bool is_done      = strstr(log, "committed=1") != NULL;
        char const *where = is_undone ? "an undecided round" : is_done ? "a decided round" : "none";
        free(log);
        undone += is_undone;
        done += is_done;
        printf("kill %u: rank %d, %u us after round %u was %s, %llu moves before: in %s; %zu of "
               "%zu acknowledged\n",
               i,
               victim,
               delay_us,
               rounds,
               until == ROUND_COPYING ? "copying" : "at its decision",
               (unsigned long long)moves,
               where,
               w.acks.cnt,
               w.sent);
        expect_sound(&w, &supply);
    }
    assert_true(load_and_kill(&w, 3, ROUND_COPYING, 0, NOBODY) > 0);
    assert_int_equal(coh_test_cluster_stop(&w.cluster), 0);
    coh_test_ops_expect(0, "check", w.cluster.data, "nothing wrong");
    coh_test_ops_expect(0, "verify --data", w.cluster.data, "verified up to block");
    printf("%u kills fell into rounds that were not decided, %u into decided ones\n", undone, done);
    assert_true(undone + done > 0);
    coh_test_acks_free(&w.acks);
    coh_test_cluster_fini(&w.cluster);
    coh_bench_accounts_free(&w.accounts);
}

int main(void)
{
    struct CMUnitTest const tests[] = {cmocka_unit_test(kill_in_a_round_loses_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
