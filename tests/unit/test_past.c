/* What the state was: random blocks against a map that keeps every block's state whole, with bounds in blocks and in octets; and through the multi-version store, which hands over what it
   replaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "shard/mvstore.h"
#include "tests/support/data.h"

enum { KEYS = 200, BLOCKS = 400, CHANGE_SZ = 104 };

static coh_key_t key_of(uint32_t i)
{
    coh_addr_t addr = {{0}};
    coh_u256_t slot = coh_u256(i / 3 % 7);
    addr.b[19]      = (uint8_t)(i / 21);
    addr.b[0]       = (uint8_t)(i % 3);
    return i % 3 == 0 ? (coh_key_t){.addr = addr, .kind = COH_KEY_ACCOUNT, .slot = COH_U256_ZERO}
                      : coh_key_slot(&addr, i % 3 == 1 ? 0 : UINT32_MAX, &slot);
}

/* Keys of one kind and address are one key: the model is by the first of them. */
static uint32_t first_of(uint32_t i)
{
    coh_key_t key = key_of(i);
    for (uint32_t k = 0; k < i; k++) {
        coh_key_t other = key_of(k);
        if (coh_key_eq(&key, &other)) {
            return k;
        }
    }
    return i;
}

static coh_value_t value_of(coh_rng_t *rng, coh_key_t const *key)
{
    coh_value_t v = {.word = {{coh_rng_next(rng), 1, 2, coh_rng_next(rng)}}};
    if (key->kind == COH_KEY_ACCOUNT) {
        v.nonce          = coh_rng_next(rng);
        v.code_hash.b[3] = (uint8_t)coh_rng_next(rng);
        v.generation     = (uint32_t)coh_rng_next(rng);
        v.flags          = COH_ACCOUNT_EXISTS;
    }
    return v;
}

/* A block changes up to change_max keys; R blocks and change_cnt changes are remembered. */
static void check(uint64_t block_max, uint64_t byte_max, uint32_t change_max, uint64_t start)
{
    static coh_value_t model[BLOCKS + 1][KEYS];
    static uint32_t changes[BLOCKS + 1];
    coh_rng_t rng;
    coh_rng_seed(&rng, block_max * 31 + byte_max + change_max);
    coh_past_t *past = coh_past_new(block_max, byte_max, 77);
    coh_past_start(past, start);
    memset(model[0], 0, sizeof(model[0]));
    for (uint32_t b = 1; b <= BLOCKS; b++) {
        memcpy(model[b], model[b - 1], sizeof(model[b]));
        coh_past_begin(past);
        changes[b]  = 0;
        uint32_t at = (uint32_t)coh_rng_below(&rng, KEYS);
        for (uint64_t n = coh_rng_below(&rng, change_max + 1); n != 0; n--) {
            at            = (at + 1) % KEYS;
            coh_key_t key = key_of(at);
            if (first_of(at) != at) {
                continue;
            }
            coh_past_add(past, coh_past_hash(past, &key), &key, &model[b - 1][at]);
            model[b][at] = value_of(&rng, &key);
            changes[b]++;
        }
        assert_int_equal(coh_past_head(past), start + b);
        /* As many whole blocks as both bounds allow. */
        uint32_t first = b;
        uint64_t held  = 0;
        while (first > 0 && b - first < block_max &&
               held + changes[first] <= byte_max / CHANGE_SZ) {
            held += changes[first--];
        }
        if (byte_max / CHANGE_SZ < 1000) {
            /* Blocks that would fit again after a large one are gone. */
            assert_true(coh_past_first(past) >= start + first);
            first = (uint32_t)(coh_past_first(past) - start);
        }
        assert_int_equal(coh_past_first(past), start + first);
        for (uint32_t t = 0; t < 60; t++) {
            uint32_t block           = (uint32_t)coh_rng_below(&rng, b + 1);
            uint32_t k               = first_of((uint32_t)coh_rng_below(&rng, KEYS));
            coh_key_t key            = key_of(k);
            coh_value_t v            = model[b][k];
            coh_past_status_t status = coh_past_find(past, &key, start + block, &v);
            if (block < first) {
                assert_int_equal(status, COH_PAST_GONE);
            } else {
                assert_int_not_equal(status, COH_PAST_GONE);
                assert_true(coh_value_eq(&v, &model[block][k]));
            }
        }
    }
    coh_past_free(past);
}

static void past_is_what_it_was(void **state)
{
    (void)state;
    check(128, 1 << 20, 30, 0);
    check(1, 1 << 20, 100, 5);
    check(3, 1 << 20, 3, UINT64_C(1) << 40);
    check(1000, 1 << 20, 150, 9);
}

static void past_is_bounded(void **state)
{
    (void)state;
    check(0, 1 << 20, 20, 0);
    check(128, 0, 20, 0);
    check(128, CHANGE_SZ, 20, 0);
    check(128, 50 * CHANGE_SZ, 60, 0); /* a block may be more than all that fits */
    check(128, 500 * CHANGE_SZ, 60, 0);
    /* Many blocks of many keys: memory stays. */
    coh_past_t *past = coh_past_new(16, 20000 * CHANGE_SZ, 1);
    size_t most      = 0;
    for (uint64_t n = 0; n < 500000; n++) {
        if (n % 1000 == 0) {
            coh_past_begin(past);
            most = COH_MAX(most, coh_past_bytes(past));
        }
        coh_u256_t slot = coh_u256(n);
        coh_key_t key   = coh_key_slot(&(coh_addr_t){{1}}, 0, &slot);
        coh_past_add(past, coh_past_hash(past, &key), &key, &(coh_value_t){.word = slot});
    }
    assert_int_equal(coh_past_head(past) - coh_past_first(past), 16);
    assert_in_range(most, 16000 * CHANGE_SZ, 16000 * CHANGE_SZ + 7 * (2 << 20));
    /* Started anew, it knows nothing. */
    coh_past_start(past, 7);
    coh_key_t key = coh_key_account(&(coh_addr_t){{1}});
    coh_value_t v;
    assert_int_equal(coh_past_first(past), 7);
    assert_int_equal(coh_past_find(past, &key, 7, &v), COH_PAST_PRESENT);
    assert_int_equal(coh_past_find(past, &key, 6, &v), COH_PAST_GONE);
    coh_past_free(past);
}

/* The store hands over what it replaces, of accounts and of slots. */
static void past_comes_from_the_store(void **state)
{
    (void)state;
    enum { TXS = 40, ROUNDS = 12 };
    coh_mvstore_t *mv = coh_mvstore_new(4096, 1, 1, 2, NULL);
    coh_past_t *past  = coh_past_new(ROUNDS, 1 << 20, 2);
    coh_mv_ctx_t ctx  = {0};
    coh_rng_t rng;
    coh_rng_seed(&rng, 5);
    coh_mv_set_past(mv, past);
    static coh_value_t model[ROUNDS + 1][KEYS];
    for (uint32_t b = 1; b <= ROUNDS; b++) {
        memcpy(model[b], model[b - 1], sizeof(model[b]));
        assert_true(coh_mv_block_begin(mv, TXS, KEYS));
        for (uint32_t t = 0; t < TXS; t++) {
            uint32_t k    = first_of((uint32_t)coh_rng_below(&rng, KEYS));
            coh_key_t key = key_of(k);
            coh_write_t w = {
                .key = key, .flags = COH_WRITE_VALUE, .word = coh_u256(coh_rng_next(&rng))};
            coh_mv_publish(mv, &ctx, &w, (coh_mv_tx_t){.tx_idx = t, .home = 1});
            coh_write_apply(&model[b][k], &w);
        }
        coh_key_t loads[KEYS];
        for (size_t n = coh_mv_take_loads(mv, loads, KEYS); n != 0; n--) {
            coh_value_t none = {0};
            coh_mv_loaded(mv, &ctx, &loads[n - 1], &none);
        }
        coh_mv_diff_t diff = {.block = b};
        coh_u256_t zero    = COH_U256_ZERO;
        coh_mv_settle(mv, &diff, NULL, &zero);
        coh_past_begin(past);
        coh_mv_commit(mv, &diff);
        coh_mv_diff_free(&diff);
        coh_mv_ctx_reset(&ctx);
        for (uint32_t x = 0; x <= b; x++) {
            for (uint32_t k = 0; k < KEYS; k++) {
                coh_key_t key = key_of(k);
                coh_value_t v = {0};
                if (first_of(k) == k && coh_past_find(past, &key, x, &v) == COH_PAST_PRESENT) {
                    (void)coh_mv_peek(mv, &key, &v);
                }
                assert_true(first_of(k) != k || coh_value_eq(&v, &model[x][k]));
            }
        }
    }
    coh_mv_ctx_free(&ctx);
    coh_mvstore_free(mv);
    coh_past_free(past);
}

static void past_of_an_account_that_came_is_gone(void **state)
{
    (void)state;
    coh_past_t *past = coh_past_new(8, 1 << 20, 3);
    coh_value_t v;
    coh_addr_t addrs[2] = {{.b = {[19] = 2}}, {.b = {[19] = 1}}};
    coh_u256_t slot     = coh_u256(9);
    coh_key_t account   = coh_key_account(&addrs[0]);
    coh_key_t storage   = coh_key_slot(&addrs[1], 0, &slot);
    coh_addr_t other    = {.b = {[19] = 3}};
    coh_key_t stays     = coh_key_account(&other);
    coh_past_start(past, 10);
    for (uint64_t b = 11; b <= 13; b++) {
        coh_past_begin(past);
    }
    coh_past_forget(past, addrs, 2);
    coh_past_begin(past); /* 14: the slot changes here */
    coh_value_t before = {.word = coh_u256(77)};
    coh_past_add(past, coh_past_hash(past, &storage), &storage, &before);
    assert_int_equal(coh_past_find(past, &account, 12, &v), COH_PAST_GONE);
    assert_int_equal(coh_past_find(past, &account, 13, &v), COH_PAST_PRESENT);
    assert_int_equal(coh_past_find(past, &storage, 12, &v), COH_PAST_GONE);
    assert_int_equal(coh_past_find(past, &storage, 13, &v), COH_PAST_FOUND);
    assert_int_equal(v.word.w[0], 77);
    assert_int_equal(coh_past_find(past, &storage, 14, &v), COH_PAST_PRESENT);
    assert_int_equal(coh_past_find(past, &stays, 12, &v), COH_PAST_PRESENT);
    /* It leaves and comes again. */
    coh_past_forget(past, &addrs[1], 1);
    assert_int_equal(coh_past_find(past, &storage, 13, &v), COH_PAST_GONE);
    assert_int_equal(coh_past_find(past, &account, 13, &v), COH_PAST_PRESENT);
    for (uint64_t b = 15; b <= 30; b++) {
        coh_past_begin(past);
    }
    assert_int_equal(coh_past_find(past, &storage, 22, &v), COH_PAST_PRESENT);
    assert_int_equal(coh_past_find(past, &storage, 21, &v), COH_PAST_GONE);
    coh_past_free(past);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(past_is_what_it_was),
        cmocka_unit_test(past_is_bounded),
        cmocka_unit_test(past_of_an_account_that_came_is_gone),
        cmocka_unit_test(past_comes_from_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
