/* The pool: each transition by example, then long random histories compared, after every step, with
   a model that keeps one flat list and works everything out anew from the words of pool.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "coordinator/auth_counts.h"
#include "coordinator/pool.h"
#include "tests/support/ids.h"
#include "tests/support/seed.h"

#define GAS_LIMIT UINT64_C(21000)

/* A hash that no other n has. */
static coh_hash_t hash_of(uint64_t n)
{
    coh_hash_t hash = {{0}};
    coh_store_u64_le(hash.b, coh_mix64(n));
    coh_store_u64_le(hash.b + 24, n);
    return hash;
}

static uint64_t id_of(coh_pool_tx_t const *tx) { return coh_load_u64_le(tx->hash.b + 24); }

typedef struct {
    uint64_t id; /* and arrival time */
    uint32_t sender;
    uint64_t nonce;
    uint64_t max_fee;
    uint64_t max_tip;
    uint64_t value;
} case_tx_t;

static coh_tx_err_t add_at(coh_pool_t *pool, case_tx_t const *c, uint64_t now_block, bool *stale)
{
    uint8_t raw[300];
    memset(raw, (int)c->id, sizeof(raw));
    coh_tx_t tx = {
        .raw          = coh_bytes(raw, c->id % 3 == 0 ? sizeof(raw) : 110),
        .type         = COH_TX_DYNAMIC_FEE,
        .has_chain_id = true,
        .chain_id     = 1,
        .nonce        = c->nonce,
        .gas_limit    = GAS_LIMIT,
        .max_fee      = coh_u256(c->max_fee),
        .max_tip      = coh_u256(c->max_tip),
        .value        = coh_u256(c->value),
    };
    coh_hash_t hash   = hash_of(c->id);
    coh_addr_t sender = coh_test_nth_addr(c->sender);
    return coh_pool_add(pool, &tx, &hash, &sender, COH_FORK_LONDON, c->id, now_block, stale);
}

static coh_tx_err_t add(coh_pool_t *pool, case_tx_t const *c)
{
    bool stale;
    return add_at(pool, c, 0, &stale);
}

static void know(coh_pool_t *pool,
                 uint32_t sender,
                 uint64_t nonce,
                 uint64_t balance,
                 uint64_t block)
{
    coh_addr_t addr   = coh_test_nth_addr(sender);
    coh_u256_t amount = coh_u256(balance);
    coh_pool_set_account(pool, &addr, nonce, &amount, false, block);
}

static coh_pool_t *pool_new(size_t tx_max, size_t sender_tx_max, coh_pool_order_t order)
{
    return coh_pool_new(
        &(coh_pool_limits_t){.tx_max = tx_max, .sender_tx_max = sender_tx_max, .order = order});
}

/* Takes up to cnt at base_fee; their ids in order must be those given. */
static void expect_take(coh_pool_t *pool,
                        uint64_t base_fee,
                        coh_pool_tx_t **txs,
                        uint64_t const *ids,
                        size_t cnt)
{
    coh_u256_t fee = coh_u256(base_fee);
    coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
    for (size_t i = 0; i < cnt; i++) {
        txs[i] = coh_pool_take(pool);
        assert_non_null(txs[i]);
        assert_int_equal(id_of(txs[i]), ids[i]);
    }
    coh_pool_take_end(pool);
}

static void expect_nothing(coh_pool_t *pool, uint64_t base_fee)
{
    coh_u256_t fee = coh_u256(base_fee);
    coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
    assert_null(coh_pool_take(pool));
    coh_pool_take_end(pool);
}

#define TAKE(pool, base_fee, txs, ...)           \
    expect_take(pool,                            \
                base_fee,                        \
                txs,                             \
                (uint64_t const[]){__VA_ARGS__}, \
                COH_CNT(((uint64_t const[]){__VA_ARGS__})))
#define ADD(pool, ...) add(pool, &(case_tx_t){__VA_ARGS__})

static void commit(coh_pool_t *pool, coh_pool_tx_t *tx)
{
    coh_u256_t spent = COH_U256_ZERO;
    coh_pool_committed(pool, tx, &spent);
}

static void pool_keeps_a_copy_of_what_it_takes(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    uint8_t raw[1000];
    for (size_t n = 100; n <= sizeof(raw); n += 900) {
        for (size_t i = 0; i < n; i++) {
            raw[i] = (uint8_t)(i * 7 + n);
        }
        know(pool, (uint32_t)n, 5, UINT64_MAX, 0);
        coh_tx_t tx = {.raw = coh_bytes(raw, n), .nonce = 5, .gas_limit = 30000};
        tx.data     = coh_bytes(raw + 40, 30);
        tx.max_fee  = coh_u256(3);
        tx.max_tip  = coh_u256(1);
        tx.value    = coh_u256(17);
        tx.authorities =
            coh_bytes((uint8_t const *)"twenty octets, twice twenty octets, twice", 40);
        coh_hash_t hash   = hash_of(n);
        coh_addr_t sender = coh_test_nth_addr((uint32_t)n);
        bool stale;
        assert_int_equal(coh_pool_add(pool, &tx, &hash, &sender, COH_FORK_LONDON, 99, 0, &stale),
                         COH_TX_OK);
        memset(raw, 0, sizeof(raw));
        coh_u256_t fee = COH_U256_ZERO;
        coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
        coh_pool_tx_t *got = coh_pool_take(pool);
        coh_pool_take_end(pool);
        assert_non_null(got);
        assert_int_equal(got->tx.raw.n, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(got->tx.raw.p[i], (uint8_t)(i * 7 + n));
        }
        assert_ptr_equal(got->tx.data.p, got->tx.raw.p + 40);
        assert_int_equal(got->tx.data.n, 30);
        assert_int_equal(got->tx.access_list.n, 0);
        assert_int_equal(got->tx.authorities.n, 40);
        assert_memory_equal(got->tx.authorities.p, tx.authorities.p, 40);
        assert_int_equal(got->arrival_us, 99);
        assert_int_equal(got->fork, COH_FORK_LONDON);
        assert_true(coh_addr_eq(&got->sender, &sender));
        assert_int_equal(got->upfront.w[0], 3 * 30000 + 17);
    }
    coh_pool_free(pool);
}

static void pool_arrival_order_is_first_come_first_served(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(100, 10, COH_POOL_ARRIVAL);
    coh_pool_tx_t *txs[8];
    for (uint32_t s = 1; s <= 3; s++) {
        know(pool, s, 0, UINT64_MAX, 0);
    }
    assert_int_equal(ADD(pool, 1, 2, 0, 5, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 1, 0, 9, 9, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 3, 1, 9, 9, 0), COH_TX_OK); /* waits for nonce 0 */
    assert_int_equal(ADD(pool, 4, 2, 1, 9, 9, 0), COH_TX_OK);
    assert_int_equal(coh_pool_ready_cnt(pool), 3);
    assert_int_equal(ADD(pool, 5, 3, 0, 9, 9, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 6, 1, 1, 9, 9, 0), COH_TX_OK);
    assert_int_equal(coh_pool_ready_cnt(pool), 6);
    assert_int_equal(coh_pool_sender_cnt(pool), 3);
    /* 3 came before 6, and follows 5 as soon as that is taken */
    TAKE(pool, 0, txs, 1, 2, 4, 5, 3, 6);
    assert_int_equal(coh_pool_ready_cnt(pool), 0);
    assert_int_equal(coh_pool_tx_cnt(pool), 6);
    expect_nothing(pool, 0);
    coh_pool_free(pool);
}

static void pool_tip_order_counts_what_is_left_above_the_base_fee(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(100, 10, COH_POOL_TIP);
    coh_pool_tx_t *txs[8];
    for (uint32_t s = 1; s <= 4; s++) {
        know(pool, s, 0, UINT64_MAX, 0);
    }
    assert_int_equal(ADD(pool, 1, 1, 0, 100, 100, 0), COH_TX_OK); /* as a legacy one: all is tip */
    assert_int_equal(ADD(pool, 2, 2, 0, 200, 30, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 3, 0, 90, 30, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 4, 4, 0, 85, 50, 0), COH_TX_OK);
    /* at 80 they pay 20, 30, 10, 5 */
    TAKE(pool, 80, txs, 2, 1, 3, 4);
    for (size_t i = 0; i < 4; i++) {
        coh_pool_returned(pool, txs[i]);
    }
    /* at 0 they pay 100, 30, 30, 50 */
    TAKE(pool, 0, txs, 1, 4, 2, 3);
    coh_pool_free(pool);
}

static void pool_passes_over_who_cannot_pay_until_the_next_block(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(100, 10, COH_POOL_ARRIVAL);
    coh_pool_tx_t *txs[8];
    know(pool, 1, 0, UINT64_MAX, 0);
    know(pool, 2, 0, UINT64_MAX, 0);
    assert_int_equal(ADD(pool, 1, 1, 0, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 1, 1, 50, 1, 0),
                     COH_TX_OK); /* could pay, but for its predecessor */
    assert_int_equal(ADD(pool, 3, 2, 0, 20, 1, 0), COH_TX_OK);
    TAKE(pool, 11, txs, 3);
    assert_int_equal(coh_pool_ready_cnt(pool), 2);
    expect_nothing(pool, 11);
    TAKE(pool, 10, txs, 1, 2);
    coh_pool_free(pool);
}

static void pool_untaken_comes_first_again(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(100, 10, COH_POOL_ARRIVAL);
    know(pool, 1, 0, UINT64_MAX, 0);
    know(pool, 2, 0, UINT64_MAX, 0);
    assert_int_equal(ADD(pool, 1, 1, 0, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 2, 0, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 1, 1, 10, 1, 0), COH_TX_OK);
    coh_u256_t fee = COH_U256_ZERO;
    coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
    coh_pool_tx_t *tx = coh_pool_take(pool);
    assert_int_equal(id_of(tx), 1);
    coh_pool_untake(pool, tx);
    coh_pool_take_end(pool);
    assert_int_equal(coh_pool_ready_cnt(pool), 3);
    coh_pool_tx_t *txs[3];
    TAKE(pool, 0, txs, 1, 2, 3);
    coh_pool_free(pool);
}

static void pool_refuses_with_the_reason(void **state)
{
    (void)state;
    coh_pool_t *pool    = pool_new(4, 3, COH_POOL_ARRIVAL);
    uint64_t const cost = 10 * GAS_LIMIT;
    know(pool, 1, 7, 3 * cost + 5, 100);
    know(pool, 2, 0, UINT64_MAX, 100);
    bool stale          = true;
    coh_addr_t stranger = coh_test_nth_addr(9);
    assert_false(coh_pool_knows_account(pool, &stranger));
    assert_int_equal(ADD(pool, 1, 9, 0, 10, 1, 0), COH_TX_BUSY);
    assert_int_equal(ADD(pool, 1, 1, 6, 10, 1, 0), COH_TX_NONCE_TOO_LOW);
    assert_int_equal(ADD(pool, 1, 1, 7, 10, 1, 6), COH_TX_OK);
    assert_int_equal(ADD(pool, 1, 2, 0, 10, 1, 0), COH_TX_KNOWN);
    assert_int_equal(ADD(pool, 2, 1, 8, 10, 1, 0), COH_TX_OK);
    /* 1 and 2 cost 2 * cost + 6: one short */
    assert_int_equal(add_at(pool, &(case_tx_t){3, 1, 9, 10, 1, 0}, 100, &stale), COH_TX_FUNDS);
    assert_false(stale);
    assert_int_equal(add_at(pool, &(case_tx_t){3, 1, 9, 10, 1, 0}, 101, &stale), COH_TX_FUNDS);
    assert_true(stale);
    know(pool, 1, 7, 3 * cost + 6, 101);
    assert_int_equal(ADD(pool, 3, 1, 9, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 4, 1, 10, 1, 1, 0), COH_TX_SENDER_LIMIT);
    assert_int_equal(ADD(pool, 5, 2, 0, 1, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 6, 2, 1, 1, 1, 0), COH_TX_POOL_FULL);
    coh_hash_t three = hash_of(3);
    coh_hash_t six   = hash_of(6);
    assert_true(coh_pool_has(pool, &three));
    assert_false(coh_pool_has(pool, &six));
    /* the balance of an older block does not count */
    know(pool, 1, 0, 0, 99);
    coh_pool_tx_t *txs[4];
    TAKE(pool, 0, txs, 1, 2, 3, 5);
    commit(pool, txs[0]);
    assert_int_equal(ADD(pool, 1, 1, 7, 10, 1, 0), COH_TX_NONCE_TOO_LOW);
    assert_int_equal(ADD(pool, 6, 2, 1, 1, 1, 0), COH_TX_OK);
    coh_pool_free(pool);
}

static void pool_sums_of_costs_beyond_256_bits_are_exact(void **state)
{
    (void)state;
    coh_pool_t *pool  = pool_new(10, 10, COH_POOL_ARRIVAL);
    coh_addr_t sender = coh_test_nth_addr(1);
    coh_u256_t all    = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_pool_set_account(pool, &sender, 0, &all, false, 0);
    /* Costs of 2^256-1 each, from the highest nonce down: each alone is within the balance. */
    for (uint64_t nonce = 3; nonce-- > 0;) {
        coh_tx_t tx     = {.raw = coh_bytes("x", 1), .nonce = nonce, .value = all};
        coh_hash_t hash = hash_of(nonce + 1);
        bool stale;
        assert_int_equal(coh_pool_add(pool, &tx, &hash, &sender, COH_FORK_LONDON, 0, 0, &stale),
                         COH_TX_OK);
    }
    assert_int_equal(ADD(pool, 9, 1, 3, 0, 0, 0), COH_TX_FUNDS);
    coh_pool_tx_t *txs[3];
    TAKE(pool, 0, txs, 1, 2, 3);
    commit(pool, txs[0]);
    commit(pool, txs[1]);
    assert_int_equal(ADD(pool, 10, 1, 3, 0, 0, 0), COH_TX_OK);

    /* Between two of them: only the lower one counts. */
    sender = coh_test_nth_addr(2);
    coh_pool_set_account(pool, &sender, 0, &all, false, 0);
    for (uint64_t nonce = 4; nonce > 0; nonce -= 2) {
        coh_tx_t tx     = {.raw = coh_bytes("x", 1), .nonce = nonce, .value = all};
        coh_hash_t hash = hash_of(20 + nonce);
        bool stale;
        assert_int_equal(coh_pool_add(pool, &tx, &hash, &sender, COH_FORK_LONDON, 0, 0, &stale),
                         COH_TX_OK);
    }
    assert_int_equal(ADD(pool, 11, 2, 3, 0, 0, 1), COH_TX_FUNDS);
    assert_int_equal(ADD(pool, 12, 2, 3, 0, 0, 0), COH_TX_OK);
    coh_pool_free(pool);
}

static void pool_replacement_needs_a_tenth_more_of_both(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(2, 2, COH_POOL_ARRIVAL);
    know(pool, 1, 0, UINT64_MAX, 0);
    know(pool, 2, 0, UINT64_MAX, 0);
    assert_int_equal(ADD(pool, 1, 1, 0, 101, 10, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 2, 0, 7, 0, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 1, 0, 111, 11, 0), COH_TX_UNDERPRICED); /* 111 < 111.1 */
    assert_int_equal(ADD(pool, 3, 1, 0, 112, 10, 0), COH_TX_UNDERPRICED);
    assert_int_equal(ADD(pool, 3, 1, 0, 112, 11, 0), COH_TX_OK); /* the pool is full: it may */
    assert_int_equal(ADD(pool, 4, 2, 0, 8, 0, 0), COH_TX_UNDERPRICED);
    coh_hash_t one = hash_of(1);
    assert_false(coh_pool_has(pool, &one));
    assert_int_equal(coh_pool_tx_cnt(pool), 2);
    coh_pool_tx_t *txs[2];
    TAKE(pool, 0, txs, 3, 2); /* it kept the first place */
    assert_int_equal(ADD(pool, 5, 1, 0, 999, 99, 0), COH_TX_UNDERPRICED); /* taken */
    coh_pool_free(pool);
}

static coh_tx_err_t add_blobs(coh_pool_t *pool, case_tx_t const *c, uint32_t cnt, uint64_t fee)
{
    static uint8_t const raw[110];
    coh_tx_t tx       = {.raw                  = coh_bytes(raw, sizeof(raw)),
                         .type                 = COH_TX_BLOB,
                         .nonce                = c->nonce,
                         .gas_limit            = GAS_LIMIT,
                         .max_fee              = coh_u256(c->max_fee),
                         .max_tip              = coh_u256(c->max_tip),
                         .blob_cnt             = cnt,
                         .max_fee_per_blob_gas = coh_u256(fee)};
    coh_hash_t hash   = hash_of(c->id);
    coh_addr_t sender = coh_test_nth_addr(c->sender);
    bool stale;
    return coh_pool_add(pool, &tx, &hash, &sender, COH_FORK_PRAGUE, c->id, 0, &stale);
}
#define ADD_BLOBS(pool, cnt, fee, ...) add_blobs(pool, &(case_tx_t){__VA_ARGS__, 0}, cnt, fee)

/* As geth: as much again of all three. */
static void pool_replacement_with_blobs_needs_twice_as_much(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    know(pool, 1, 0, UINT64_MAX, 0);
    assert_int_equal(ADD_BLOBS(pool, 1, 50, 1, 1, 0, 100, 10), COH_TX_OK);
    assert_int_equal(ADD_BLOBS(pool, 1, 100, 2, 1, 0, 199, 20), COH_TX_UNDERPRICED);
    assert_int_equal(ADD_BLOBS(pool, 1, 100, 2, 1, 0, 200, 19), COH_TX_UNDERPRICED);
    assert_int_equal(ADD_BLOBS(pool, 1, 99, 2, 1, 0, 200, 20), COH_TX_UNDERPRICED);
    assert_int_equal(ADD_BLOBS(pool, 1, 100, 2, 1, 0, 200, 20), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 1, 0, 399, 40, 0), COH_TX_UNDERPRICED);
    assert_int_equal(ADD(pool, 3, 1, 0, 400, 40, 0), COH_TX_OK);
    coh_pool_free(pool);
}

/* The price of blobs holds one up that has some, and its sender's behind it; what it costs at most counts against the balance. */
static void pool_passes_over_who_cannot_pay_for_blobs(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    coh_u256_t fee   = coh_u256(10);
    coh_u256_t blob  = coh_u256(5);
    know(pool, 1, 0, UINT64_MAX, 0);
    know(pool, 2, 0, UINT64_MAX, 0);
    know(pool, 3, 0, 10 * GAS_LIMIT + 2 * UINT64_C(131072) * 7, 0);
    assert_int_equal(ADD_BLOBS(pool, 1, 4, 1, 1, 0, 10, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 1, 1, 10, 0, 0), COH_TX_OK);
    assert_int_equal(ADD_BLOBS(pool, 1, 5, 3, 2, 0, 10, 0), COH_TX_OK);
    assert_int_equal(ADD_BLOBS(pool, 2, 8, 4, 3, 0, 10, 0), COH_TX_FUNDS);
    assert_int_equal(ADD_BLOBS(pool, 2, 7, 5, 3, 0, 10, 0), COH_TX_OK);

    coh_pool_take_begin(pool, &fee, &blob);
    coh_pool_tx_t *tx = coh_pool_take(pool);
    assert_int_equal(id_of(tx), 3);
    coh_pool_tx_t *passed = coh_pool_take(pool);
    assert_int_equal(id_of(passed), 5);
    coh_pool_pass(pool, passed); /* its sender is not asked again in this block */
    assert_null(coh_pool_take(pool));
    assert_true(coh_pool_blobs_wait(pool));
    coh_pool_take_end(pool);
    assert_int_equal(coh_pool_ready_cnt(pool), 3);

    blob = coh_u256(4);
    coh_pool_take_begin(pool, &fee, &blob);
    uint64_t const want[] = {1, 2, 5};
    for (size_t i = 0; i < COH_CNT(want); i++) {
        tx = coh_pool_take(pool);
        assert_non_null(tx);
        assert_int_equal(id_of(tx), want[i]);
    }
    assert_null(coh_pool_take(pool));
    assert_false(coh_pool_blobs_wait(pool));
    coh_pool_take_end(pool);
    coh_pool_free(pool);
}

/* EIP-7702: another's transaction has moved the nonce of an account. */
static void pool_learns_that_a_nonce_has_moved(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    coh_addr_t one   = coh_test_nth_addr(1);
    coh_addr_t two   = coh_test_nth_addr(2);
    coh_addr_t three = coh_test_nth_addr(3);
    assert_false(coh_pool_doubt(pool, &three)); /* never seen */
    know(pool, 1, 5, UINT64_MAX, 10);
    know(pool, 2, 0, UINT64_MAX, 10);
    assert_false(coh_pool_may_lag(pool, &one, 5, 11));
    assert_true(coh_pool_may_lag(pool, &one, 6, 11));
    assert_false(coh_pool_may_lag(pool, &one, 6, 10)); /* asked for since */
    assert_int_equal(ADD(pool, 1, 1, 6, 10, 0, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 1, 7, 10, 0, 0), COH_TX_OK);
    assert_true(coh_pool_may_lag(pool, &one, 8, 11)); /* they wait themselves */
    assert_int_equal(coh_pool_ready_cnt(pool), 0);
    assert_true(coh_pool_doubt(pool, &one));
    assert_false(coh_pool_doubt(pool, &two));
    assert_false(coh_pool_knows_account(pool, &one));
    assert_false(coh_pool_knows_account(pool, &two));
    know(pool, 1, 6, UINT64_MAX, 11);
    assert_int_equal(coh_pool_ready_cnt(pool), 2);
    assert_false(coh_pool_may_lag(pool, &one, 9, 12)); /* it has others to follow */
    coh_pool_tx_t *txs[2];
    TAKE(pool, 0, txs, 1, 2);
    assert_false(coh_pool_may_lag(pool, &one, 9, 12));
    coh_pool_free(pool);
}

static void pool_drop_gaps_taken_and_pooled_successors(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    coh_addr_t addr  = coh_test_nth_addr(1);
    know(pool, 1, 0, UINT64_MAX, 0);
    for (uint64_t n = 0; n < 5; n++) {
        assert_int_equal(ADD(pool, n + 1, 1, n, 10, 1, 0), COH_TX_OK);
    }
    coh_pool_tx_t *txs[5];
    TAKE(pool, 0, txs, 1, 2, 3);
    assert_int_equal(coh_pool_ready_cnt(pool), 2);
    coh_pool_dropped(pool, txs[0]);
    assert_false(coh_pool_knows_account(pool, &addr));
    assert_int_equal(coh_pool_ready_cnt(pool), 0);
    expect_nothing(pool, 0);
    /* The gap is filled while 2 and 3 are still on their way back: only the filler may go. */
    know(pool, 1, 0, UINT64_MAX, 0);
    assert_true(coh_pool_knows_account(pool, &addr));
    assert_int_equal(ADD(pool, 6, 1, 0, 10, 1, 0), COH_TX_OK);
    assert_int_equal(coh_pool_ready_cnt(pool), 1);
    TAKE(pool, 0, txs + 3, 6);
    assert_int_equal(coh_pool_ready_cnt(pool), 0);
    coh_pool_returned(pool, txs[2]);
    assert_int_equal(coh_pool_ready_cnt(pool), 0);
    coh_pool_returned(pool, txs[1]);
    assert_int_equal(coh_pool_ready_cnt(pool), 4);
    TAKE(pool, 0, txs, 2, 3, 4, 5);
    coh_pool_free(pool);
}

static void pool_returns_come_back_to_their_old_place(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    know(pool, 1, 0, UINT64_MAX, 0);
    know(pool, 2, 0, UINT64_MAX, 0);
    assert_int_equal(ADD(pool, 1, 1, 0, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 2, 0, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 1, 1, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 4, 2, 1, 10, 1, 0), COH_TX_OK);
    coh_pool_tx_t *txs[4];
    TAKE(pool, 0, txs, 1, 2, 3, 4);
    for (size_t i = 4; i-- > 0;) { /* an aborted block: highest first */
        coh_pool_returned(pool, txs[i]);
        assert_int_equal(coh_pool_ready_cnt(pool), 4 - i);
    }
    TAKE(pool, 0, txs, 1, 2, 3, 4);
    for (size_t i = 0; i < 4; i++) { /* lowest first */
        coh_pool_returned(pool, txs[i]);
    }
    assert_int_equal(coh_pool_ready_cnt(pool), 4);
    assert_int_equal(coh_pool_oldest_ready_us(pool), 1);
    TAKE(pool, 0, txs, 1, 2, 3, 4);
    coh_pool_free(pool);
}

static void pool_hands_out_what_the_account_has_moved_past(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    know(pool, 1, 3, UINT64_MAX, 0);
    assert_int_equal(ADD(pool, 1, 1, 3, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 2, 1, 4, 10, 1, 0), COH_TX_OK);
    assert_int_equal(ADD(pool, 3, 1, 6, 10, 1, 0), COH_TX_OK);
    assert_int_equal(coh_pool_ready_cnt(pool), 2);
    know(pool, 1, 6, UINT64_MAX, 9); /* an imported block */
    assert_int_equal(coh_pool_ready_cnt(pool), 3);
    coh_pool_tx_t *txs[3];
    TAKE(pool, 0, txs, 1, 2, 3);
    /* 1 and 2 fail at their turn, 3 does not rest on them */
    coh_pool_dropped(pool, txs[0]);
    coh_pool_dropped(pool, txs[1]);
    commit(pool, txs[2]);
    assert_int_equal(coh_pool_tx_cnt(pool), 0);
    assert_int_equal(ADD(pool, 4, 1, 7, 10, 1, 0), COH_TX_OK);
    assert_int_equal(coh_pool_ready_cnt(pool), 1);
    know(pool, 1, 2, UINT64_MAX, 9); /* a late answer */
    assert_int_equal(coh_pool_ready_cnt(pool), 1);
    coh_pool_free(pool);
}

static void pool_spending_lowers_the_balance(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(10, 10, COH_POOL_ARRIVAL);
    know(pool, 1, 0, 2 * GAS_LIMIT + 100, 0);
    assert_int_equal(ADD(pool, 1, 1, 0, 1, 1, 50), COH_TX_OK);
    coh_pool_tx_t *txs[1];
    TAKE(pool, 0, txs, 1);
    coh_u256_t spent = coh_u256(GAS_LIMIT / 2 + 50);
    coh_pool_committed(pool, txs[0], &spent); /* leaves 1.5 gas limits and 50 */
    assert_int_equal(ADD(pool, 2, 1, 1, 1, 1, GAS_LIMIT / 2 + 51), COH_TX_FUNDS);
    assert_int_equal(ADD(pool, 2, 1, 1, 1, 1, GAS_LIMIT / 2 + 50), COH_TX_OK);
    coh_pool_free(pool);
}

/* More turns than the pool makes room for at first, many of them overtaken by a replacement. */
static void pool_keeps_the_order_of_many(void **state)
{
    (void)state;
    enum { CROWD = 5000, ROUNDS = 4 };
    for (coh_pool_order_t order = COH_POOL_ARRIVAL; order <= COH_POOL_TIP; order++) {
        coh_pool_t *pool = pool_new(CROWD, 10, order);
        static uint64_t tip_of[CROWD];
        uint64_t id = 0;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            for (uint32_t s = 0; s < CROWD; s++) {
                if (round > 0 && s % 4 == 0) {
                    continue; /* their first turns must outlive all the others' */
                }
                know(pool, s, 0, UINT64_MAX, 0);
                tip_of[s] = (uint64_t)(1 + s * 1009 % CROWD) << round;
                assert_int_equal(ADD(pool, ++id, s, 0, tip_of[s], tip_of[s], 0), COH_TX_OK);
            }
        }
        assert_int_equal(coh_pool_ready_cnt(pool), CROWD);
        coh_u256_t fee  = COH_U256_ZERO;
        uint64_t before = UINT64_MAX;
        coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
        for (uint32_t i = 0; i < CROWD; i++) {
            coh_pool_tx_t *tx = coh_pool_take(pool);
            assert_non_null(tx);
            uint32_t s = coh_test_addr_nth(&tx->sender);
            assert_int_equal(tx->tx.max_tip.w[0], tip_of[s]);
            if (order == COH_POOL_ARRIVAL) {
                assert_int_equal(s, i);
            } else {
                assert_true(tip_of[s] <= before);
                before = tip_of[s];
            }
        }
        assert_null(coh_pool_take(pool));
        coh_pool_take_end(pool);
        coh_pool_free(pool);
    }
}

static void pool_forgets_idle_accounts_only(void **state)
{
    (void)state;
    coh_pool_t *pool = pool_new(50, 10, COH_POOL_ARRIVAL);
    for (uint32_t s = 0; s < 50; s++) {
        know(pool, s, 0, UINT64_MAX, 0);
        assert_int_equal(ADD(pool, s + 1, s, 0, 10, 1, 0), COH_TX_OK);
    }
    for (uint32_t s = 50; s < 5000; s++) {
        know(pool, s, 0, UINT64_MAX, 0);
        coh_addr_t addr = coh_test_nth_addr(s);
        assert_true(coh_pool_knows_account(pool, &addr));
    }
    uint32_t known = 0;
    for (uint32_t s = 0; s < 5000; s++) {
        coh_addr_t addr = coh_test_nth_addr(s);
        bool is_known   = coh_pool_knows_account(pool, &addr);
        assert_true(is_known || s >= 50);
        known += is_known;
    }
    assert_int_equal(known, 100);
    coh_pool_free(pool);
}

/* ---- the model ---- */

enum { SENDERS = 6, TX_MAX = 40, SENDER_TX_MAX = 9 };

typedef enum { POOLED, TAKEN, ORPHAN } model_state_t;

typedef struct {
    case_tx_t c;
    uint64_t arrival_no;
    model_state_t state;
    coh_pool_tx_t *got; /* while taken */
} model_tx_t;

typedef struct {
    coh_pool_order_t order;
    model_tx_t txs[TX_MAX];
    size_t cnt;
    uint64_t nonce[SENDERS];
    uint64_t balance[SENDERS];
    uint64_t block[SENDERS];
    bool doubtful[SENDERS];
    uint64_t arrival_no;
    uint64_t since;
} model_t;

static uint64_t cost_of(case_tx_t const *c) { return c->max_fee * GAS_LIMIT + c->value; }

static model_tx_t *model_find(model_t *m, uint32_t sender, uint64_t nonce)
{
    for (size_t i = 0; i < m->cnt; i++) {
        if (m->txs[i].c.sender == sender && m->txs[i].c.nonce == nonce) {
            return &m->txs[i];
        }
    }
    return NULL;
}

/* Ready transactions of a sender; *head is the first. */
static size_t model_ready(model_t *m, uint32_t sender, model_tx_t **head)
{
    size_t ready  = 0;
    *head         = NULL;
    uint64_t next = 0;
    for (uint64_t nonce = 0; nonce < 2000; nonce++) {
        model_tx_t *t = model_find(m, sender, nonce);
        if (t == NULL) {
            continue;
        }
        if (nonce > m->nonce[sender] && nonce != next) {
            break;
        }
        if (t->state == ORPHAN || (t->state == TAKEN && ready > 0)) {
            break;
        }
        if (t->state == POOLED) {
            *head = *head == NULL ? t : *head;
            ready++;
        }
        next = nonce + 1;
    }
    return ready;
}

/* After a change of sender: since is the arrival of what ended the last time without a ready one.
   */
static void model_settle(model_t *m, uint32_t sender)
{
    size_t ready     = 0;
    model_tx_t *head = NULL;
    for (uint32_t s = 0; s < SENDERS; s++) {
        model_tx_t *h;
        ready += model_ready(m, s, &h);
        head = s == sender ? h : head;
    }
    if (ready == 0) {
        m->since = UINT64_MAX;
    } else if (m->since == UINT64_MAX) {
        m->since = head->c.id;
    }
}

static void model_orphan(model_t *m, uint32_t sender, uint64_t above)
{
    for (size_t i = 0; i < m->cnt; i++) {
        model_tx_t *t = &m->txs[i];
        if (t->c.sender == sender && t->c.nonce > above && t->state == TAKEN) {
            t->state = ORPHAN;
        }
    }
}

static coh_tx_err_t model_add(model_t *m, case_tx_t const *c, uint64_t now_block, bool *stale)
{
    *stale           = false;
    size_t of_sender = 0;
    uint64_t sum     = cost_of(c);
    for (size_t i = 0; i < m->cnt; i++) {
        model_tx_t const *t = &m->txs[i];
        if (t->c.id == c->id) {
            return COH_TX_KNOWN;
        }
        of_sender += t->c.sender == c->sender;
        sum += t->c.sender == c->sender && t->c.nonce < c->nonce ? cost_of(&t->c) : 0;
    }
    if (c->nonce < m->nonce[c->sender]) {
        return COH_TX_NONCE_TOO_LOW;
    }
    model_tx_t *old = model_find(m, c->sender, c->nonce);
    if (old != NULL) {
        if (old->state != POOLED || c->max_fee * 10 < old->c.max_fee * 11 ||
            c->max_tip * 10 < old->c.max_tip * 11 || c->max_fee <= old->c.max_fee ||
            c->max_tip <= old->c.max_tip) {
            return COH_TX_UNDERPRICED;
        }
    } else if (of_sender >= SENDER_TX_MAX) {
        return COH_TX_SENDER_LIMIT;
    } else if (m->cnt >= TX_MAX) {
        return COH_TX_POOL_FULL;
    }
    if (sum > m->balance[c->sender]) {
        *stale = m->block[c->sender] < now_block;
        return COH_TX_FUNDS;
    }
    if (old != NULL) {
        old->c = *c;
    } else {
        m->txs[m->cnt++] = (model_tx_t){.c = *c, .arrival_no = ++m->arrival_no};
    }
    model_settle(m, c->sender);
    return COH_TX_OK;
}

static model_tx_t *model_take(model_t *m, uint64_t base_fee)
{
    model_tx_t *best  = NULL;
    uint64_t best_tip = 0;
    for (uint32_t s = 0; s < SENDERS; s++) {
        model_tx_t *t;
        model_ready(m, s, &t);
        if (t == NULL || t->c.max_fee < base_fee) {
            continue;
        }
        uint64_t tip =
            m->order == COH_POOL_TIP ? COH_MIN(t->c.max_tip, t->c.max_fee - base_fee) : 0;
        if (best == NULL || tip > best_tip ||
            (tip == best_tip && t->arrival_no < best->arrival_no)) {
            best     = t;
            best_tip = tip;
        }
    }
    if (best != NULL) {
        best->state = TAKEN;
        model_settle(m, best->c.sender);
    }
    return best;
}

static void model_return(model_t *m, model_tx_t *t)
{
    if (t->state == TAKEN) {
        model_orphan(m, t->c.sender, t->c.nonce);
    }
    t->state = POOLED;
    model_settle(m, t->c.sender);
}

static void model_remove(model_t *m, model_tx_t *t)
{
    uint32_t sender = t->c.sender;
    *t              = m->txs[--m->cnt];
    model_settle(m, sender);
}

static void model_drop(model_t *m, model_tx_t *t)
{
    m->doubtful[t->c.sender] = true;
    if (t->state == TAKEN && t->c.nonce >= m->nonce[t->c.sender]) {
        model_orphan(m, t->c.sender, t->c.nonce);
    }
    model_remove(m, t);
}

static void model_commit(model_t *m, model_tx_t *t, uint64_t spent)
{
    uint32_t s = t->c.sender;
    m->balance[s] -= COH_MIN(m->balance[s], spent);
    m->nonce[s] = COH_MAX(m->nonce[s], t->c.nonce + 1);
    model_remove(m, t);
}

static void compare(coh_pool_t *pool, model_t *m, uint64_t last_id)
{
    size_t ready   = 0;
    size_t senders = 0;
    for (uint32_t s = 0; s < SENDERS; s++) {
        model_tx_t *head;
        ready += model_ready(m, s, &head);
        bool any = false;
        for (size_t i = 0; i < m->cnt; i++) {
            any = any || m->txs[i].c.sender == s;
        }
        senders += any;
        coh_addr_t addr = coh_test_nth_addr(s);
        assert_int_equal(coh_pool_knows_account(pool, &addr), !m->doubtful[s]);
    }
    assert_int_equal(coh_pool_tx_cnt(pool), m->cnt);
    assert_int_equal(coh_pool_ready_cnt(pool), ready);
    assert_int_equal(coh_pool_sender_cnt(pool), senders);
    assert_int_equal(coh_pool_oldest_ready_us(pool), m->since);
    for (uint64_t id = last_id > 60 ? last_id - 60 : 1; id <= last_id; id++) {
        bool has = false;
        for (size_t i = 0; i < m->cnt; i++) {
            has = has || m->txs[i].c.id == id;
        }
        coh_hash_t hash = hash_of(id);
        assert_int_equal(coh_pool_has(pool, &hash), has);
    }
}

/* A block's worth of takes, with the endings that a sequencer may choose. */
static void random_take(coh_pool_t *pool, model_t *m, coh_rng_t *rng)
{
    uint64_t base_fee = coh_rng_below(rng, 30);
    coh_u256_t fee    = coh_u256(base_fee);
    coh_pool_take_begin(pool, &fee, &(coh_u256_t){{0}});
    for (uint64_t left = coh_rng_below(rng, 12); left > 0; left--) {
        coh_pool_tx_t *got = coh_pool_take(pool);
        model_tx_t *want   = model_take(m, base_fee);
        assert_int_equal(got == NULL ? 0 : id_of(got), want == NULL ? 0 : want->c.id);
        if (got == NULL) {
            break;
        }
        want->got = got;
        if (coh_rng_percent(rng, 5)) {
            coh_pool_untake(pool, got);
            model_return(m, want);
            break;
        }
        if (coh_rng_percent(rng, 5)) {
            coh_pool_dropped(pool, got);
            model_drop(m, want);
        }
    }
    coh_pool_take_end(pool);
}

static void random_history(uint64_t seed, coh_pool_order_t order, int steps)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    coh_pool_t *pool      = pool_new(TX_MAX, SENDER_TX_MAX, order);
    model_t m             = {.order = order, .since = UINT64_MAX};
    uint64_t const budget = 40 * 5 * GAS_LIMIT;
    for (uint32_t s = 0; s < SENDERS; s++) {
        m.nonce[s]   = s;
        m.balance[s] = budget;
        know(pool, s, s, budget, 0);
    }
    uint64_t id    = 0;
    uint64_t block = 0;
    for (int step = 0; step < steps; step++) {
        uint32_t s    = (uint32_t)coh_rng_below(&rng, SENDERS);
        uint64_t dice = coh_rng_below(&rng, 100);
        if (dice < 55) {
            case_tx_t c = {.sender = s};
            c.id        = id > 0 && coh_rng_percent(&rng, 5) ? id : ++id;
            c.nonce     = m.nonce[s] + coh_rng_below(&rng, 8);
            c.nonce -= c.nonce > 0 && coh_rng_percent(&rng, 10);
            c.max_fee = 1 + coh_rng_below(&rng, 40);
            c.max_tip = coh_rng_below(&rng, c.max_fee + 1);
            bool stale_got;
            bool stale_want;
            coh_tx_err_t want = model_add(&m, &c, block, &stale_want);
            assert_int_equal(add_at(pool, &c, block, &stale_got), want);
            assert_int_equal(stale_got, stale_want);
        } else if (dice < 70) {
            random_take(pool, &m, &rng);
        } else if (dice < 75) {
            uint64_t nonce = m.nonce[s] + (coh_rng_percent(&rng, 30) ? coh_rng_below(&rng, 4) : 0);
            nonce -= nonce > 0 && coh_rng_percent(&rng, 20);
            block++;
            uint64_t at      = block - coh_rng_below(&rng, COH_MIN(block, UINT64_C(3)));
            uint64_t balance = coh_rng_below(&rng, 2 * budget);
            know(pool, s, nonce, balance, at);
            if (at >= m.block[s]) {
                m.block[s]   = at;
                m.balance[s] = balance;
            }
            m.doubtful[s] = false;
            m.nonce[s]    = COH_MAX(m.nonce[s], nonce);
            model_settle(&m, s);
        } else if (m.cnt > 0) {
            /* Any taken one, or a sender's lowest, which is the usual course. */
            model_tx_t *t = &m.txs[coh_rng_below(&rng, m.cnt)];
            for (size_t i = 0; i < m.cnt && coh_rng_percent(&rng, 90); i++) {
                bool lower = m.txs[i].c.sender == t->c.sender && m.txs[i].c.nonce < t->c.nonce;
                t          = lower && m.txs[i].state != POOLED ? &m.txs[i] : t;
            }
            if (t->state == POOLED) {
                continue;
            }
            coh_pool_tx_t *tx = t->got;
            if (dice < 90) {
                uint64_t spent    = coh_rng_below(&rng, 2 * cost_of(&t->c) + 1);
                coh_u256_t amount = coh_u256(spent);
                coh_pool_committed(pool, tx, &amount);
                model_commit(&m, t, spent);
            } else if (dice < 96) {
                coh_pool_returned(pool, tx);
                model_return(&m, t);
            } else {
                coh_pool_dropped(pool, tx);
                model_drop(&m, t);
            }
        }
        compare(pool, &m, id);
    }
    coh_pool_free(pool);
}

static void pool_equals_the_model(void **state)
{
    (void)state;
    uint64_t seed = coh_test_seed();
    for (uint64_t i = 0; i < 20; i++) {
        printf("seed %llu\n", (unsigned long long)(seed + i));
        random_history(seed + i, i % 2 == 0 ? COH_POOL_ARRIVAL : COH_POOL_TIP, 3000);
    }
}

/* ---- delegated accounts (EIP-7702) ---- */

typedef struct {
    uint64_t id;
    uint32_t sender;
    uint64_t nonce;
    uint32_t authority; /* 0: none */
    uint64_t auth_nonce;
    uint64_t auth_chain;
    uint64_t fee; /* 0: 10 */
} auth_case_t;

static coh_tx_err_t add_auth(coh_pool_t *pool, auth_case_t const *c)
{
    coh_buf_t raw   = COH_BUF_INIT;
    coh_buf_t lists = COH_BUF_INIT;
    coh_tx_t tx     = {.type         = c->authority != 0 ? COH_TX_SET_CODE : COH_TX_DYNAMIC_FEE,
                       .has_chain_id = true,
                       .chain_id     = 1,
                       .nonce        = c->nonce,
                       .gas_limit    = GAS_LIMIT,
                       .max_fee      = coh_u256(c->fee != 0 ? c->fee : 10),
                       .max_tip      = coh_u256(c->fee != 0 ? c->fee : 10)};
    coh_addr_t who  = coh_test_nth_addr(c->authority);
    if (c->authority != 0) {
        coh_tx_auth_put(
            &lists, &(coh_tx_auth_t){.chain_id = coh_u256(c->auth_chain), .nonce = c->auth_nonce});
        tx.auth_list   = coh_buf_bytes(&lists);
        tx.auth_cnt    = 1;
        tx.authorities = coh_bytes(who.b, sizeof(who.b));
    }
    coh_tx_encode(&raw, &tx);
    coh_tx_t decoded;
    assert_int_equal(coh_tx_decode_mined(&decoded, coh_buf_bytes(&raw)), COH_TX_OK);
    decoded.authorities = tx.authorities;
    coh_hash_t hash     = hash_of(c->id);
    coh_addr_t sender   = coh_test_nth_addr(c->sender);
    bool stale;
    coh_tx_err_t err =
        coh_pool_add(pool, &decoded, &hash, &sender, COH_FORK_PRAGUE, c->id, 0, &stale);
    coh_buf_free(&raw);
    coh_buf_free(&lists);
    return err;
}

#define PLAIN(pool, i, from, at) AUTH(pool, i, from, at, .fee = 10)
#define AUTH(pool, i, from, at, ...) \
    add_auth(pool, &(auth_case_t){.id = (i), .sender = (from), .nonce = (at), __VA_ARGS__})

static void know_code(coh_pool_t *pool, uint32_t sender, uint64_t nonce, bool has_code)
{
    coh_addr_t addr   = coh_test_nth_addr(sender);
    coh_u256_t amount = coh_u256(UINT64_C(1) << 40);
    coh_pool_set_account(pool, &addr, nonce, &amount, has_code, 0);
}

static coh_pool_t *pool_of_delegated(size_t max)
{
    coh_pool_t *pool = coh_pool_new(&(coh_pool_limits_t){
        .tx_max = 100, .sender_tx_max = 100, .order = COH_POOL_ARRIVAL, .delegated_tx_max = max});
    for (uint32_t i = 1; i <= 4; i++) {
        know_code(pool, i, 5, i == 1);
    }
    return pool;
}

/* geth's rules (core/txpool: "in-flight transaction limit reached for delegated accounts", "gapped-nonce tx from delegated accounts", "authority already
   reserved"). */
static void pool_takes_one_of_delegated_accounts(void **state)
{
    (void)state;
    coh_pool_tx_t *txs[4];
    coh_pool_t *pool = pool_of_delegated(1);
    /* 1 is delegated: one, no gap; a better one in its place. */
    assert_int_equal(PLAIN(pool, 1, 1, 6), COH_TX_DELEGATED_GAP);
    assert_int_equal(PLAIN(pool, 2, 1, 5), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 3, 1, 6), COH_TX_DELEGATED_LIMIT);
    assert_int_equal(AUTH(pool, 4, 1, 5, .fee = 20), COH_TX_OK);
    /* While it is in a block too; behind that the next. */
    TAKE(pool, 1, txs, 4);
    assert_int_equal(PLAIN(pool, 5, 1, 6), COH_TX_DELEGATED_LIMIT);
    commit(pool, txs[0]);
    assert_int_equal(PLAIN(pool, 6, 1, 6), COH_TX_OK);
    /* No delegation any more: as many as ever. */
    know_code(pool, 1, 6, false);
    assert_int_equal(PLAIN(pool, 7, 1, 8), COH_TX_OK);
    coh_pool_free(pool);

    /* 2 has signed an authorization that 3 has handed in. */
    pool = pool_of_delegated(1);
    assert_int_equal(PLAIN(pool, 1, 2, 5), COH_TX_OK);
    assert_int_equal(AUTH(pool, 2, 3, 5, .authority = 2, .auth_nonce = 6), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 3, 2, 6), COH_TX_DELEGATED_LIMIT);
    TAKE(pool, 1, txs, 1, 2);
    commit(pool, txs[0]);
    assert_int_equal(PLAIN(pool, 4, 2, 7), COH_TX_DELEGATED_GAP);
    assert_int_equal(PLAIN(pool, 5, 2, 6), COH_TX_OK);
    commit(pool, txs[1]); /* that authorization is not pending any more */
    assert_int_equal(PLAIN(pool, 6, 2, 7), COH_TX_OK);
    /* Who has several is not to be authorized for; one below its nonce, or for another chain, does nothing. */
    assert_int_equal(AUTH(pool, 7, 3, 6, .authority = 2, .auth_nonce = 9), COH_TX_AUTH_RESERVED);
    assert_int_equal(AUTH(pool, 8, 3, 6, .authority = 2, .auth_nonce = 5), COH_TX_OK);
    assert_int_equal(AUTH(pool, 9, 3, 7, .authority = 2, .auth_nonce = 9, .auth_chain = 2),
                     COH_TX_OK);
    assert_int_equal(PLAIN(pool, 10, 2, 8), COH_TX_OK);
    /* For oneself; one that takes the place of an authorization ends it. */
    assert_int_equal(AUTH(pool, 11, 4, 5, .authority = 4, .auth_nonce = 6, .auth_chain = 1),
                     COH_TX_OK);
    assert_int_equal(PLAIN(pool, 12, 4, 6), COH_TX_DELEGATED_LIMIT);
    assert_int_equal(AUTH(pool, 13, 4, 5, .fee = 20), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 14, 4, 6), COH_TX_OK);
    coh_pool_free(pool);

    /* What waited behind a gap when its sender was delegated does not keep out what fills the gap. */
    pool = pool_of_delegated(1);
    assert_int_equal(PLAIN(pool, 1, 2, 7), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 2, 2, 8), COH_TX_OK);
    know_code(pool, 2, 5, true);
    assert_int_equal(PLAIN(pool, 3, 2, 6), COH_TX_DELEGATED_LIMIT);
    assert_int_equal(PLAIN(pool, 4, 2, 5), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 5, 2, 6), COH_TX_DELEGATED_LIMIT);
    TAKE(pool, 1, txs, 4);
    commit(pool, txs[0]);
    assert_int_equal(PLAIN(pool, 6, 2, 6), COH_TX_OK);
    TAKE(pool, 3, txs, 6, 1, 2);
    coh_pool_free(pool);

    /* Several. */
    pool = pool_of_delegated(2);
    assert_int_equal(PLAIN(pool, 1, 1, 6), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 2, 1, 5), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 4, 1, 7), COH_TX_DELEGATED_LIMIT);
    assert_int_equal(AUTH(pool, 5, 3, 5, .authority = 1, .auth_nonce = 6), COH_TX_OK);
    coh_pool_free(pool);

    /* Where the rule does not hold. */
    pool = pool_of_delegated(0);
    assert_int_equal(PLAIN(pool, 1, 1, 5), COH_TX_OK);
    assert_int_equal(PLAIN(pool, 2, 1, 7), COH_TX_OK);
    assert_int_equal(AUTH(pool, 3, 3, 5, .authority = 1, .auth_nonce = 6), COH_TX_OK);
    coh_pool_free(pool);
}

static void auth_counts_equal_a_list(void **state)
{
    (void)state;
    enum { ADDRS = 300 };
    static uint64_t const key[2] = {1, 2};
    coh_rng_t rng;
    coh_auth_counts_t counts = coh_auth_counts(key);
    uint32_t cnt[ADDRS]      = {0};
    uint64_t max[ADDRS]      = {0};
    coh_rng_seed(&rng, 77);
    for (uint32_t step = 0; step < 60000; step++) {
        uint32_t i      = (uint32_t)coh_rng_below(&rng, ADDRS);
        coh_addr_t addr = coh_test_nth_addr(i);
        bool grows      = step / 10000 % 2 == 0;
        if (coh_rng_percent(&rng, grows ? 60 : 30)) {
            uint64_t nonce = coh_rng_below(&rng, 100);
            max[i]         = cnt[i]++ == 0 ? nonce : COH_MAX(max[i], nonce);
            coh_auth_counts_add(&counts, &addr, nonce);
        } else if (cnt[i] > 0) {
            cnt[i]--;
            coh_auth_counts_remove(&counts, &addr);
        }
        uint32_t k       = (uint32_t)coh_rng_below(&rng, ADDRS);
        coh_addr_t other = coh_test_nth_addr(k);
        assert_true(coh_auth_counts_any(&counts, &other, 0) == (cnt[k] > 0));
        if (cnt[k] > 0) {
            assert_true(coh_auth_counts_any(&counts, &other, max[k]));
            assert_false(coh_auth_counts_any(&counts, &other, max[k] + 1));
        }
    }
    size_t left = 0;
    for (uint32_t i = 0; i < ADDRS; i++) {
        left += cnt[i] > 0;
        for (coh_addr_t addr = coh_test_nth_addr(i); cnt[i] > 0; cnt[i]--) {
            coh_auth_counts_remove(&counts, &addr);
        }
    }
    assert_true(left > 0);
    assert_int_equal(counts.cnt, 0);
    assert_int_equal(counts.cap, 16);
    coh_auth_counts_fini(&counts);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(pool_takes_one_of_delegated_accounts),
        cmocka_unit_test(auth_counts_equal_a_list),
        cmocka_unit_test(pool_keeps_a_copy_of_what_it_takes),
        cmocka_unit_test(pool_arrival_order_is_first_come_first_served),
        cmocka_unit_test(pool_tip_order_counts_what_is_left_above_the_base_fee),
        cmocka_unit_test(pool_passes_over_who_cannot_pay_until_the_next_block),
        cmocka_unit_test(pool_untaken_comes_first_again),
        cmocka_unit_test(pool_refuses_with_the_reason),
        cmocka_unit_test(pool_sums_of_costs_beyond_256_bits_are_exact),
        cmocka_unit_test(pool_replacement_needs_a_tenth_more_of_both),
        cmocka_unit_test(pool_replacement_with_blobs_needs_twice_as_much),
        cmocka_unit_test(pool_passes_over_who_cannot_pay_for_blobs),
        cmocka_unit_test(pool_learns_that_a_nonce_has_moved),
        cmocka_unit_test(pool_drop_gaps_taken_and_pooled_successors),
        cmocka_unit_test(pool_returns_come_back_to_their_old_place),
        cmocka_unit_test(pool_hands_out_what_the_account_has_moved_past),
        cmocka_unit_test(pool_spending_lowers_the_balance),
        cmocka_unit_test(pool_keeps_the_order_of_many),
        cmocka_unit_test(pool_forgets_idle_accounts_only),
        cmocka_unit_test(pool_equals_the_model),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
