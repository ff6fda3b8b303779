/* The sequencer: environment of the next block, when it is due, what goes into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/sequencer.h"
#include "tests/support/ids.h"

#define GWEI      UINT64_C(1000000000)
#define PRAGUE_AT UINT64_C(5000)
#define GAS_LIMIT UINT64_C(1000000)
#define COINBASE  77u

/* London from block 100, Prague from PRAGUE_AT seconds. */
typedef struct {
    coh_genesis_t genesis;
    coh_sequencer_rules_t rules;
    coh_sequencer_parent_t parent;
    coh_pool_t *pool;
    coh_draft_t draft;
} world_t;

static void world_init(world_t *w)
{
    *w                  = (world_t){0};
    w->genesis.chain_id = 1;
    for (uint32_t i = 0; i < COH_FORK_CNT; i++) {
        w->genesis.fork_at[i] = i < COH_FORK_LONDON     ? 0
                                : i < COH_FORK_SHANGHAI ? 100
                                : i < COH_FORK_PRAGUE   ? 1000
                                : i == COH_FORK_PRAGUE  ? PRAGUE_AT
                                                        : UINT64_MAX;
    }
    w->rules  = (coh_sequencer_rules_t){.genesis     = &w->genesis,
                                        .coinbase    = coh_test_nth_addr(COINBASE),
                                        .gas_limit   = GAS_LIMIT,
                                        .tx_max      = 5,
                                        .interval_us = 20000};
    w->parent = (coh_sequencer_parent_t){.number    = 200,
                                         .timestamp = 2000,
                                         .gas_limit = GAS_LIMIT,
                                         .gas_used  = GAS_LIMIT / 2,
                                         .base_fee  = coh_u256(10 * GWEI)};
    w->pool   = coh_pool_new(&(coh_pool_limits_t){.tx_max = 1000, .sender_tx_max = 100});
}

static void world_fini(world_t *w)
{
    coh_draft_free(&w->draft);
    coh_pool_free(w->pool);
}

typedef struct {
    uint32_t sender;
    uint64_t nonce;
    uint64_t gas_limit;
    uint64_t max_fee;
    size_t data_sz; /* non-zero octets */
    uint64_t arrival_us;
} case_tx_t;

static void add_type(world_t *w,
                     case_tx_t const *c,
                     uint64_t max_tip,
                     bool is_create,
                     uint32_t blob_cnt,
                     uint64_t blob_fee)
{
    static uint64_t serial;
    uint8_t raw[2000];
    memset(raw, 1, sizeof(raw));
    coh_tx_t tx = {.raw          = coh_bytes(raw, sizeof(raw)),
                   .type         = COH_TX_DYNAMIC_FEE,
                   .has_chain_id = true,
                   .chain_id     = 1,
                   .nonce        = c->nonce,
                   .gas_limit    = c->gas_limit,
                   .max_fee      = coh_u256(c->max_fee),
                   .max_tip      = coh_u256(max_tip),
                   .is_create    = is_create,
                   .data         = coh_bytes(raw, c->data_sz)};
    if (blob_cnt != 0) { /* each hash is a string of 32 octets, which begins with 1 */
        for (uint32_t i = 0; i < blob_cnt; i++) {
            raw[33 * i] = 0xa0;
        }
        tx.type                 = COH_TX_BLOB;
        tx.blob_cnt             = blob_cnt;
        tx.blob_hashes          = coh_bytes(raw, (size_t)33 * blob_cnt);
        tx.max_fee_per_blob_gas = coh_u256(blob_fee);
    }
    tx.r[31] = 1;
    tx.s[31] = 1;
    assert_int_equal(coh_tx_check_static(&tx, COH_FORK_CANCUN, 1, false), COH_TX_OK);
    coh_hash_t hash = {{0}};
    coh_store_u64_le(hash.b, ++serial);
    coh_addr_t sender = coh_test_nth_addr(c->sender);
    coh_u256_t rich   = {{0, 0, 1, 0}};
    if (!coh_pool_knows_account(w->pool, &sender)) {
        coh_pool_set_account(w->pool, &sender, 0, &rich, false, 0);
    }
    bool stale;
    assert_int_equal(
        coh_pool_add(w->pool, &tx, &hash, &sender, COH_FORK_CANCUN, c->arrival_us, 0, &stale),
        COH_TX_OK);
}

static void add(world_t *w, case_tx_t const *c, uint64_t max_tip, bool is_create)
{
    add_type(w, c, max_tip, is_create, 0, 0);
}

static void add_blobs(world_t *w, uint32_t sender, uint64_t nonce, uint32_t cnt, uint64_t fee)
{
    add_type(w, &(case_tx_t){sender, nonce, 21000, 20 * GWEI, 0, 0}, 0, false, cnt, fee);
}

#define ADD(w, ...)        add(w, &(case_tx_t){__VA_ARGS__}, 0, false)
#define ADD_CREATE(w, ...) add(w, &(case_tx_t){__VA_ARGS__}, 0, true)

static void sequencer_environment_follows_the_parent(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    coh_block_env_t env = coh_sequencer_env(&w.rules, &w.parent, 2001);
    assert_int_equal(env.number, 201);
    assert_int_equal(env.timestamp, 2001);
    assert_int_equal(env.gas_limit, GAS_LIMIT);
    assert_int_equal(env.fork, COH_FORK_CANCUN);
    assert_int_equal(env.base_fee.w[0], 10 * GWEI);
    assert_true(coh_addr_eq(&env.coinbase, &w.rules.coinbase));
    assert_false(env.fees_exact);

    /* a clock that stands still or runs backwards */
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 2000).timestamp, 2000);
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 1).timestamp, 2000);

    /* EIP-1559: an eighth up after a full block, an eighth down after an empty one */
    w.parent.gas_used = GAS_LIMIT;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 1).base_fee.w[0], 11250000000);
    w.parent.gas_used = 0;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 1).base_fee.w[0], 8750000000);

    w.parent.timestamp = PRAGUE_AT - 1;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 0).fork, COH_FORK_CANCUN);
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, PRAGUE_AT).fork, COH_FORK_PRAGUE);
    world_fini(&w);
}

static void sequencer_base_fee_begins_with_london(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.parent = (coh_sequencer_parent_t){.number = 98, .gas_limit = GAS_LIMIT, .gas_used = 21000};
    coh_block_env_t env = coh_sequencer_env(&w.rules, &w.parent, 0);
    assert_int_equal(env.fork, COH_FORK_BERLIN);
    assert_true(coh_u256_is_zero(&env.base_fee));
    w.parent.number = 99;
    env             = coh_sequencer_env(&w.rules, &w.parent, 0);
    assert_in_range(env.fork, COH_FORK_LONDON, COH_FORK_PARIS);
    assert_int_equal(env.base_fee.w[0], GWEI);
    world_fini(&w);
}

/* Yellow Paper 4.4.4: less than a 1024th away from the parent's, which London doubles (EIP-1559). */
static void sequencer_gas_limit_moves_in_steps(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.rules.gas_limit  = 30000000;
    w.parent.gas_limit = 10240000;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 0).gas_limit, 10240000 + 9999);
    w.parent.gas_limit = 40960000;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 0).gas_limit, 40960000 - 39999);
    w.parent.gas_limit = 30000001;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 0).gas_limit, 30000000);
    w.parent.number    = 99;
    w.parent.gas_limit = 30000000;
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 0).gas_limit, 60000000 - 58592);
    world_fini(&w);
}

/* In the parent's second: difficulty + difficulty / 2048 (EIP-2), no bomb yet (EIP-2384). After imported blocks with blobs excess goes on from theirs (EIP-4844). */
static void sequencer_difficulty_and_blobs_follow_the_parent(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.parent.number     = 50;
    w.parent.difficulty = coh_u256(2048000);
    coh_block_env_t env = coh_sequencer_env(&w.rules, &w.parent, 0);
    assert_int_equal(env.timestamp, w.parent.timestamp);
    assert_int_equal(env.prev_randao.w[0], 2048000 + 1000);
    w.parent.has_ommers = true; /* EIP-100 */
    assert_int_equal(coh_sequencer_env(&w.rules, &w.parent, 0).prev_randao.w[0], 2048000 + 2000);

    w.parent.number          = 200;
    w.parent.excess_blob_gas = 5 * 131072;
    w.parent.blob_gas_used   = 4 * 131072; /* the target of Cancun is 3 */
    env                      = coh_sequencer_env(&w.rules, &w.parent, 0);
    assert_int_equal(env.fork, COH_FORK_CANCUN);
    assert_true(coh_u256_is_zero(&env.prev_randao));
    assert_int_equal(env.excess_blob_gas, 6 * 131072);
    assert_int_equal(env.blob_base_fee.w[0], 1);
    world_fini(&w);
}

static void sequencer_stops_at_the_transaction_limit(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    for (uint32_t s = 0; s < 7; s++) {
        ADD(&w, s, 0, 21000, 20 * GWEI, 0, s);
    }
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.env.number, 201);
    assert_int_equal(w.draft.tx_cnt, 5);
    for (uint32_t s = 0; s < 5; s++) {
        coh_addr_t addr = coh_test_nth_addr(s);
        assert_true(coh_addr_eq(&w.draft.txs[s]->sender, &addr));
    }
    assert_int_equal(w.draft.unpaid_cnt, 0);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 2);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 0);
    world_fini(&w);
}

static void sequencer_gas_limit_must_fit_in_what_is_left(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.rules.gas_limit  = 100000;
    w.parent.gas_limit = w.rules.gas_limit;
    w.parent.gas_used  = w.rules.gas_limit / 2;
    /* Before the third, 48000 are left. */
    ADD(&w, 1, 0, 31000, 20 * GWEI, 0, 1);
    ADD(&w, 2, 0, 21000, 20 * GWEI, 0, 2);
    ADD(&w, 3, 0, 48001, 20 * GWEI, 0, 3);
    ADD(&w, 4, 0, 21000, 20 * GWEI, 0, 4); /* would fit, but it is not its turn */
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 2);
    assert_int_equal(w.draft.drop_cnt, 0);
    assert_int_equal(coh_pool_ready_cnt(w.pool), 2);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 2);
    assert_int_equal(w.draft.txs[0]->tx.gas_limit, 48001);
    world_fini(&w);
}

static void sequencer_takes_what_just_fits(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.rules.gas_limit  = 100000;
    w.parent.gas_limit = w.rules.gas_limit;
    w.parent.gas_used  = w.rules.gas_limit / 2;
    ADD(&w, 1, 0, 37000, 20 * GWEI, 0, 1);
    ADD(&w, 2, 0, 42000, 20 * GWEI, 0, 2);
    ADD(&w, 3, 0, 21000, 20 * GWEI, 0, 3);
    ADD(&w, 4, 0, 21000, 20 * GWEI, 0, 4); /* nothing is left */
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 3);
    world_fini(&w);
}

/* Any of them may use all of it. */
static void sequencer_leaves_each_all_of_its_gas(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.rules.gas_limit  = 100000;
    w.parent.gas_limit = w.rules.gas_limit;
    w.parent.gas_used  = w.rules.gas_limit / 2;
    ADD_CREATE(&w, 1, 0, 79000, 20 * GWEI, 0, 1);
    ADD(&w, 2, 0, 21000, 20 * GWEI, 0, 2);
    ADD(&w, 3, 0, 21000, 20 * GWEI, 0, 3); /* would fit if the first used 53000 */
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 2);
    assert_int_equal(coh_pool_ready_cnt(w.pool), 1);
    world_fini(&w);
}

static void sequencer_drops_what_no_block_can_hold(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    ADD(&w, 1, 0, GAS_LIMIT + 1, 20 * GWEI, 0, 1);
    ADD(&w, 1, 1, 21000, 20 * GWEI, 0, 2);
    ADD(&w, 2, 0, GAS_LIMIT, 20 * GWEI, 0, 3);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 1);
    assert_int_equal(w.draft.txs[0]->tx.gas_limit, GAS_LIMIT);
    assert_int_equal(w.draft.drop_cnt, 1);
    assert_int_equal(w.draft.drops[0].reason, COH_TX_GAS_LIMIT);
    assert_int_equal(w.draft.drops[0].nonce, 0);
    assert_false(coh_pool_has(w.pool, &w.draft.drops[0].hash));
    assert_int_equal(coh_pool_ready_cnt(w.pool), 0); /* its successor is behind a gap */
    assert_int_equal(coh_pool_tx_cnt(w.pool), 2);
    world_fini(&w);
}

/* EIP-7623: 1000 octets of data cost 37000 gas before Prague, and at least 61000 since. */
static void sequencer_applies_the_rules_of_a_fork_that_came_meanwhile(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    ADD(&w, 1, 0, 60999, 20 * GWEI, 1000, 1);
    ADD(&w, 2, 0, 80000, 20 * GWEI, 1000, 2);
    w.rules.gas_limit  = 141000;
    w.parent.gas_limit = w.rules.gas_limit;
    w.parent.gas_used  = w.rules.gas_limit / 2;
    w.rules.tx_max     = 2;
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, PRAGUE_AT - 1, 50);
    assert_int_equal(w.draft.env.fork, COH_FORK_CANCUN);
    assert_int_equal(w.draft.tx_cnt, 2);
    coh_pool_returned(w.pool, w.draft.txs[1]);
    coh_pool_returned(w.pool, w.draft.txs[0]);

    ADD(&w, 3, 0, 61001, 20 * GWEI, 0, 3);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, PRAGUE_AT, 50);
    assert_int_equal(w.draft.env.fork, COH_FORK_PRAGUE);
    assert_int_equal(w.draft.drop_cnt, 1);
    assert_int_equal(w.draft.drops[0].reason, COH_TX_FLOOR_GAS);
    coh_addr_t one = coh_test_nth_addr(1);
    assert_true(coh_addr_eq(&w.draft.drops[0].sender, &one));
    /* The second may use 80000, which leaves 61000: too little for the third. */
    assert_int_equal(w.draft.tx_cnt, 1);
    assert_int_equal(w.draft.txs[0]->fork, COH_FORK_PRAGUE);
    world_fini(&w);
}

static void sequencer_fees_are_exact_if_the_coinbase_sends(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    ADD(&w, 1, 0, 21000, 20 * GWEI, 0, 1);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_false(w.draft.env.fees_exact);
    ADD(&w, COINBASE, 0, 21000, 20 * GWEI, 0, 1);
    ADD(&w, 2, 0, 21000, 20 * GWEI, 0, 1);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 2);
    assert_true(w.draft.env.fees_exact);
    world_fini(&w);
}

static void sequencer_fees_are_exact_if_code_may_run(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    ADD(&w, 1, 0, 21000, 20 * GWEI, 0, 1);
    ADD(&w, 2, 0, 21001, 20 * GWEI, 0, 1);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 50);
    assert_int_equal(w.draft.tx_cnt, 2);
    assert_true(w.draft.env.fees_exact);
    world_fini(&w);
}

static void sequencer_is_due_when_full_old_or_draining(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 0, false));
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, UINT64_MAX, true));
    for (uint32_t s = 0; s < 4; s++) {
        ADD(&w, s, 0, 21000, 20 * GWEI, 0, 1000 + s);
    }
    ADD(&w, 9, 1, 21000, 20 * GWEI, 0, 1); /* behind a gap: counts for nothing */
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 1004, false));
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 1004, true));
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 20999, false));
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 21000, false));
    ADD(&w, 4, 0, 21000, 20 * GWEI, 0, 1004);
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 1004, false));
    world_fini(&w);
}

static void sequencer_lowers_the_base_fee_for_those_who_wait_for_it(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    for (uint32_t s = 0; s < 6; s++) {
        ADD(&w, s, 0, 21000, 5 * GWEI, 0, 0);
    }
    uint64_t now    = 100000;
    uint32_t blocks = 0;
    for (; blocks < 100; blocks++) {
        assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, now, false));
        coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, now);
        if (w.draft.tx_cnt > 0) {
            break;
        }
        assert_int_equal(w.draft.unpaid_cnt, 6);
        /* Not before the interval is over, and not for the sake of draining. */
        assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, now + 19999, false));
        assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, now + 20000, true));
        now += 20000;
        w.parent.number++;
        w.parent.gas_used = 0;
        w.parent.base_fee = w.draft.env.base_fee;
    }
    /* 10 gwei * (7/8)^6 = 4.49, (7/8)^5 = 5.13 */
    assert_int_equal(blocks, 6);
    assert_int_equal(w.draft.tx_cnt, 5);
    world_fini(&w);
}

static void sequencer_goes_on_beside_those_who_wait_for_the_base_fee(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    for (uint32_t s = 0; s < 6; s++) {
        ADD(&w, s, 0, 21000, 5 * GWEI, 0, 0);
    }
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 100000);
    for (uint32_t s = 10; s < 14; s++) {
        ADD(&w, s, 0, 21000, 20 * GWEI, 0, 100001);
    }
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 100001, false));
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 100001, true));
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 120000, false));
    ADD(&w, 14, 0, 21000, 20 * GWEI, 0, 100001);
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 100001, false));
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 100001);
    assert_int_equal(w.draft.tx_cnt, 5);
    world_fini(&w);
}

static void sequencer_makes_no_blocks_for_a_base_fee_that_cannot_fall(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    ADD(&w, 1, 0, 21000, 6, 0, 0);
    w.parent.base_fee = coh_u256(8);
    w.parent.gas_used = 0;
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 0);
    assert_int_equal(w.draft.env.base_fee.w[0], 7);
    assert_int_equal(w.draft.unpaid_cnt, 1);
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, UINT64_MAX / 2, false));
    ADD(&w, 2, 0, 21000, 7, 0, 5);
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 20000, false));
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 20000);
    assert_int_equal(w.draft.tx_cnt, 1);
    assert_int_equal(w.draft.unpaid_cnt, 1);
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, UINT64_MAX / 2, false));
    /* One that pays takes the place of the one that does not: as many are ready as before. */
    add(&w, &(case_tx_t){1, 0, 21000, 7, 0, 6}, 1, false);
    assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 40000, false));
    world_fini(&w);
}

/* Six blobs in a block of Cancun. Who has too many for what is left waits for the next block, and nobody behind him does. */
static void sequencer_fills_a_block_with_blobs_up_to_its_limit(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    add_blobs(&w, 1, 0, 4, 100);
    add_blobs(&w, 2, 0, 3, 100);
    add_blobs(&w, 2, 1, 6, 100);
    add_blobs(&w, 3, 0, 2, 100);
    ADD(&w, 4, 0, 21000, 20 * GWEI, 0, 0);
    uint32_t const want[3][3] = {{1, 3, 4}, {2}, {2}};
    for (size_t b = 0; b < 3; b++) {
        assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, 20000, false));
        coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 0);
        assert_int_equal(w.draft.tx_cnt, b == 0 ? 3 : 1);
        for (uint32_t i = 0; i < w.draft.tx_cnt; i++) {
            coh_addr_t sender = coh_test_nth_addr(want[b][i]);
            assert_true(coh_addr_eq(&w.draft.txs[i]->sender, &sender));
        }
        assert_int_equal(w.draft.unpaid_cnt, 0);
    }
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, UINT64_MAX / 2, false));
    /* None can hold 7. */
    add_blobs(&w, 5, 0, 7, 100);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, 0);
    assert_int_equal(w.draft.tx_cnt, 0);
    assert_int_equal(w.draft.drop_cnt, 1);
    assert_int_equal(w.draft.drops[0].reason, COH_TX_BLOB_CNT);
    world_fini(&w);
}

/* EIP-4844: excess falls by the target, 3 blobs of gas, with each block that has none. At 60 blobs' more than nothing, a blob gas costs
   e^(60 * 131072 / 3338477) = 10.5 wei. */
static void sequencer_lowers_the_price_of_blobs_for_those_who_wait_for_it(void **state)
{
    (void)state;
    world_t w;
    world_init(&w);
    w.parent.base_fee        = coh_u256(7); /* as low as it gets */
    w.parent.gas_used        = 0;
    w.parent.excess_blob_gas = UINT64_C(63) * 131072;
    add_blobs(&w, 1, 0, 1, 5);
    add_blobs(&w, 2, 0, 1, 10);
    uint64_t now      = 20000;
    uint64_t blocks   = 0;
    uint64_t price[2] = {0};
    for (uint32_t left = 2; left > 0; blocks++) {
        assert_true(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, now, false));
        coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, now);
        assert_int_equal(w.draft.unpaid_cnt, left - w.draft.tx_cnt);
        if (w.draft.tx_cnt != 0) {
            price[--left] = w.draft.env.blob_base_fee.w[0];
        } else if (blocks == 0) {
            assert_int_equal(w.draft.env.blob_base_fee.w[0], 10);
        }
        now += 20000;
        w.parent.number++;
        w.parent.excess_blob_gas = w.draft.env.excess_blob_gas;
        w.parent.blob_gas_used   = w.draft.tx_cnt * UINT64_C(131072);
    }
    assert_int_equal(price[1], 10);
    assert_int_equal(price[0], 5);
    /* One that offers less than the least price waits without blocks being made for it. */
    w.parent.excess_blob_gas = 0;
    w.parent.blob_gas_used   = 0;
    add_blobs(&w, 1, 1, 1, 0);
    coh_sequencer_build(&w.draft, &w.rules, &w.parent, w.pool, 2001, now);
    assert_int_equal(w.draft.unpaid_cnt, 1);
    assert_false(coh_sequencer_is_due(&w.rules, &w.draft, w.pool, UINT64_MAX / 2, false));
    world_fini(&w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(sequencer_environment_follows_the_parent),
        cmocka_unit_test(sequencer_base_fee_begins_with_london),
        cmocka_unit_test(sequencer_gas_limit_moves_in_steps),
        cmocka_unit_test(sequencer_difficulty_and_blobs_follow_the_parent),
        cmocka_unit_test(sequencer_stops_at_the_transaction_limit),
        cmocka_unit_test(sequencer_gas_limit_must_fit_in_what_is_left),
        cmocka_unit_test(sequencer_takes_what_just_fits),
        cmocka_unit_test(sequencer_leaves_each_all_of_its_gas),
        cmocka_unit_test(sequencer_drops_what_no_block_can_hold),
        cmocka_unit_test(sequencer_applies_the_rules_of_a_fork_that_came_meanwhile),
        cmocka_unit_test(sequencer_fees_are_exact_if_the_coinbase_sends),
        cmocka_unit_test(sequencer_fees_are_exact_if_code_may_run),
        cmocka_unit_test(sequencer_is_due_when_full_old_or_draining),
        cmocka_unit_test(sequencer_lowers_the_base_fee_for_those_who_wait_for_it),
        cmocka_unit_test(sequencer_goes_on_beside_those_who_wait_for_the_base_fee),
        cmocka_unit_test(sequencer_makes_no_blocks_for_a_base_fee_that_cannot_fall),
        cmocka_unit_test(sequencer_fills_a_block_with_blobs_up_to_its_limit),
        cmocka_unit_test(sequencer_lowers_the_price_of_blobs_for_those_who_wait_for_it),
    };
    return cmocka_run_group_tests_name("sequencer", tests, NULL, NULL);
}
