/* Code at hand in a shard: found by hash, analysed for a fork, waited for, pinned, evicted; and queries for code and slots, which look at the account first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"
#include "shard/query.h"
#include "tests/support/ids.h"

/* A thousand octets that begin with i. */
static coh_bytes_t code_of(uint32_t i)
{
    static uint8_t bytes[1000];
    coh_store_u32_le(bytes, i);
    return coh_bytes(bytes, sizeof(bytes));
}

static void codes_are_found_for_the_fork_asked_for(void **state)
{
    (void)state;
    static uint8_t const delegation[23] = {0xef, 0x01, 0x00, [22] = 7};
    coh_codes_t *codes                  = coh_codes_new(1 << 20);
    coh_mv_ctx_t ctx                    = {0};
    coh_bytes_t bytes                   = coh_bytes(delegation, sizeof(delegation));
    coh_hash_t hash                     = coh_test_keccak(bytes);
    assert_null(coh_codes_find(codes, &hash, COH_FORK_PRAGUE));
    coh_codes_put(codes, &ctx, &hash, bytes);
    coh_code_t const *code = coh_codes_find(codes, &hash, COH_FORK_CANCUN);
    assert_non_null(code);
    assert_false(code->is_delegation); /* EIP-7702 comes with Prague */
    code = coh_codes_find(codes, &hash, COH_FORK_PRAGUE);
    assert_true(code->is_delegation && code->delegate.b[19] == 7);
    assert_ptr_equal(coh_codes_find(codes, &hash, COH_FORK_PRAGUE), code);
    coh_bytes_t got;
    assert_true(coh_codes_bytes(codes, &hash, &got) && coh_bytes_eq(got, bytes));
    coh_mv_ctx_free(&ctx);
    coh_codes_free(codes);
}

static void codes_wake_who_waits_for_a_load_or_for_another_source(void **state)
{
    (void)state;
    coh_codes_t *codes  = coh_codes_new(1 << 20);
    coh_mv_ctx_t ctx    = {0};
    coh_hash_t hash     = coh_test_keccak(code_of(1));
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .chain = 5};
    coh_hash_t loads[4];
    assert_true(coh_codes_want(codes, &ctx, &hash, &waiter));
    waiter.chain = 6;
    assert_true(coh_codes_want(codes, &ctx, &hash, &waiter));
    assert_int_equal(coh_codes_take_loads(codes, loads, 4), 1); /* once */
    assert_true(coh_hash_eq(&loads[0], &hash));
    assert_int_equal(coh_codes_loads_outstanding(codes), 1);
    coh_codes_put(codes, &ctx, &hash, code_of(1)); /* a deployment is quicker than the disk */
    assert_int_equal(ctx.woken_cnt, 2);
    assert_int_equal(ctx.woken[0].chain + ctx.woken[1].chain, 11);
    assert_false(coh_codes_want(codes, &ctx, &hash, &waiter)); /* it is here */
    assert_int_equal(coh_codes_loads_outstanding(codes), 1);
    ctx.woken_cnt = 0;
    coh_codes_loaded(codes, &ctx, &hash, code_of(1));
    assert_int_equal(ctx.woken_cnt, 0);
    assert_int_equal(coh_codes_loads_outstanding(codes), 0);
    coh_hash_t other = coh_test_keccak(code_of(2));
    assert_true(coh_codes_want(codes, &ctx, &other, &waiter));
    coh_waiter_t query = {.kind = COH_WAIT_QUERY, .query_pos = 3};
    assert_true(coh_codes_want(codes, &ctx, &other, &query));
    coh_codes_drop_waiters(codes); /* those of a block; queries go on waiting */
    coh_codes_loaded(codes, &ctx, &other, code_of(2));
    assert_int_equal(ctx.woken_cnt, 0);
    assert_int_equal(coh_codes_loads_outstanding(codes), 1); /* the query, until it is taken */
    assert_true(coh_codes_take_query(codes, &query));
    assert_int_equal(query.query_pos, 3);
    assert_false(coh_codes_take_query(codes, &query));
    assert_int_equal(coh_codes_loads_outstanding(codes), 0);
    coh_mv_ctx_free(&ctx);
    coh_codes_free(codes);
}

/* A store below that has code 1 in memory. While it is asked, another transaction wants the same. */
typedef struct {
    coh_codes_t *codes;
    coh_mv_ctx_t other;
    uint32_t asked_cnt;
} below_t;

static bool below_has(void *arg, coh_hash_t const *hash, coh_buf_t *out)
{
    below_t *below      = arg;
    coh_hash_t one      = coh_test_keccak(code_of(1));
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .chain = 8};
    below->asked_cnt++;
    assert_true(coh_codes_want(below->codes, &below->other, hash, &waiter));
    if (!coh_hash_eq(hash, &one)) {
        return false;
    }
    coh_buf_put(out, code_of(1).p, code_of(1).n);
    return true;
}

static void codes_come_at_once_from_the_store_below(void **state)
{
    (void)state;
    coh_codes_t *codes  = coh_codes_new(1 << 20);
    coh_mv_ctx_t ctx    = {0};
    below_t below       = {.codes = codes};
    coh_waiter_t waiter = {.kind = COH_WAIT_CHAIN, .chain = 5};
    coh_hash_t loads[4];
    coh_bytes_t got;
    coh_codes_set_source(codes, below_has, &below);
    coh_hash_t hash = coh_test_keccak(code_of(1));
    assert_false(coh_codes_want(codes, &ctx, &hash, &waiter));
    assert_true(coh_codes_bytes(codes, &hash, &got));
    assert_true(coh_bytes_eq(got, code_of(1)));
    assert_int_equal(ctx.woken_cnt, 1);
    assert_int_equal(ctx.woken[0].chain, 8);
    assert_int_equal(coh_codes_take_loads(codes, loads, 4), 0);
    assert_int_equal(coh_codes_loads_outstanding(codes), 0);
    ctx.woken_cnt = 0;
    hash          = coh_test_keccak(code_of(2));
    assert_true(coh_codes_want(codes, &ctx, &hash, &waiter));
    assert_int_equal(below.asked_cnt, 2);
    assert_int_equal(coh_codes_take_loads(codes, loads, 4), 1);
    coh_codes_loaded(codes, &ctx, &hash, code_of(2));
    assert_int_equal(ctx.woken_cnt, 2);
    assert_int_equal(ctx.woken[0].chain + ctx.woken[1].chain, 13);
    coh_mv_ctx_free(&ctx);
    coh_mv_ctx_free(&below.other);
    coh_codes_free(codes);
}

static uint32_t count_here(coh_codes_t *codes, uint32_t cnt)
{
    uint32_t here = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_bytes_t got;
        coh_hash_t hash = coh_test_keccak(code_of(i));
        here += coh_codes_bytes(codes, &hash, &got);
    }
    return here;
}

static void codes_evict_all_but_what_is_pinned(void **state)
{
    (void)state;
    coh_codes_t *codes   = coh_codes_new(100000);
    coh_mv_ctx_t ctx     = {0};
    coh_code_list_t a    = {0};
    coh_code_list_t both = {0};
    for (uint32_t i = 0; i < 100; i++) {
        coh_hash_t hash = coh_test_keccak(code_of(i));
        coh_codes_put(codes, &ctx, &hash, code_of(i));
        if (i < 40) {
            coh_codes_pin(codes, i < 20 ? &a : &both, &hash);
            coh_codes_pin(codes, i < 20 ? &a : &both, &hash); /* once in a list */
        }
    }
    assert_int_equal(a.cnt, 20);
    coh_hash_t absent = coh_test_keccak(code_of(1000));
    coh_codes_pin(codes, &a, &absent); /* it is on disk, then */
    assert_int_equal(a.cnt, 20);
    coh_codes_trim(codes);
    assert_int_equal(count_here(codes, 40), 40); /* more than there is room for */
    assert_int_equal(count_here(codes, 100), 40);
    coh_code_list_move(&both, &a);
    assert_int_equal(both.cnt, 40);
    assert_int_equal(a.cnt, 0);
    coh_codes_release(codes, &both);
    coh_codes_trim(codes);
    uint32_t left = count_here(codes, 100);
    assert_true(left >= 10 && left < 20); /* five times a thousand octets each, and some */
    coh_mv_ctx_free(&ctx);
    coh_codes_free(codes);
}

/* ---- queries ---- */

static coh_buf_t outbox;

static coh_buf_t *take_message(coh_env_t *env, uint32_t dst)
{
    (void)env;
    assert_int_equal(dst, 0);
    if (outbox.n == 0) {
        coh_wire_put_envelope(&outbox, &(coh_envelope_t){.sender = 1});
    }
    return &outbox;
}

/* Loads all that is asked for: account i has nonce i, generation 3 and the code numbered i; slot s of it is 100 i + s in that generation alone. */
static void load_all(coh_mvstore_t *mv, coh_codes_t *codes, coh_queries_t *q, coh_past_t *past)
{
    coh_mv_ctx_t ctx = {0};
    bool did         = true;
    while (did) {
        coh_key_t keys[8];
        coh_hash_t hashes[8];
        size_t cnt = coh_mv_take_loads(mv, keys, 8);
        did        = cnt != 0;
        for (size_t i = 0; i < cnt; i++) {
            uint8_t n         = keys[i].addr.b[0];
            coh_value_t value = {.nonce      = n,
                                 .code_hash  = coh_test_keccak(code_of(n)),
                                 .generation = 3,
                                 .flags      = COH_ACCOUNT_EXISTS};
            if (keys[i].kind == COH_KEY_SLOT) {
                assert_int_equal(keys[i].generation, 3);
                value = (coh_value_t){.word = coh_u256(100 * n + keys[i].slot.w[0])};
            }
            coh_mv_loaded(mv, &ctx, &keys[i], &value);
        }
        if (past != NULL && did) {
            coh_past_begin(past); /* another block is committed between the steps */
            past = NULL;
        }
        cnt = coh_codes_take_loads(codes, hashes, 8);
        did = did || cnt != 0;
        for (size_t i = 0; i < cnt; i++) {
            for (uint32_t n = 0; n < 8; n++) {
                coh_hash_t hash = coh_test_keccak(code_of(n));
                if (coh_hash_eq(&hash, &hashes[i])) {
                    coh_codes_loaded(codes, &ctx, &hash, code_of(n));
                }
            }
        }
        for (uint32_t i = 0; i < ctx.woken_cnt; i++) {
            coh_queries_on_loaded(q, &ctx.woken[i]);
        }
        ctx.woken_cnt = 0;
        for (coh_waiter_t w; coh_mv_take_query(mv, &w) || coh_codes_take_query(codes, &w);) {
            coh_queries_on_loaded(q, &w);
        }
    }
    coh_mv_ctx_free(&ctx);
}

static void queries_find_slots_and_code_through_the_account(void **state)
{
    (void)state;
    /* Of the latest block, and of one by its number; remembered, or not. */
    enum { PINNED = 1, LATER = 2, FORGETFUL = 4 };
    for (uint32_t how = 0; how < 8; how++) {
        bool forgets         = (how & LATER) && (how & FORGETFUL);
        coh_env_t env        = {.rank = 1, .rank_cnt = 2, .outbox = take_message};
        coh_mvstore_t *mv    = coh_mvstore_new(64, 1, 1, 2, NULL);
        coh_codes_t *codes   = coh_codes_new(1 << 20);
        coh_past_t *past     = coh_past_new((how & FORGETFUL) ? 0 : 3, 1 << 20, 1);
        coh_queries_t *q     = coh_queries_new(mv, past, codes, &env);
        coh_rec_key_t keys[] = {{.kind = COH_KEY_ACCOUNT, .addr = {{4}}},
                                {.kind = COH_KEY_SLOT, .addr = {{4}}, .slot = coh_u256(7)},
                                {.kind = COH_KEY_CODE, .addr = {{5}}}};
        coh_msg_query_t m    = {.query = 9,
                                .block = (how & PINNED) ? 20 : COH_BLOCK_LATEST,
                                .keys  = {keys, COH_CNT(keys)}};
        coh_past_start(past, 20);
        assert_int_equal(coh_queries_add(q, &m), COH_OK);
        load_all(mv, codes, q, (how & LATER) ? past : NULL);
        if (forgets &&
            !(how & PINNED)) { /* all is asked again, for the block that is the latest now */
            assert_int_equal(outbox.n, 0);
            coh_queries_poll(q);
            load_all(mv, codes, q, NULL);
        }
        coh_wire_reader_t *reader = coh_wire_reader_new();
        coh_envelope_t envelope;
        coh_msg_t answer;
        assert_int_equal(coh_wire_reader_begin(reader, coh_buf_bytes(&outbox), &envelope), COH_OK);
        assert_int_equal(coh_wire_reader_next(reader, &answer), COH_OK);
        assert_int_equal(answer.id, COH_MSG_ANSWER);
        assert_int_equal(answer.u.answer.query, 9);
        assert_int_equal(answer.u.answer.block, forgets && !(how & PINNED) ? 21 : 20);
        assert_int_equal(answer.u.answer.gone, forgets && (how & PINNED) ? 1 : 0);
        if (answer.u.answer.gone != 0) {
            assert_int_equal(answer.u.answer.values.cnt, 0);
        } else {
            assert_int_equal(answer.u.answer.values.cnt, 3);
            coh_rec_state_value_t const *v = answer.u.answer.values.v;
            coh_hash_t hash                = coh_test_keccak(code_of(4));
            assert_int_equal(v[0].nonce, 4);
            assert_true(coh_hash_eq(&v[0].code_hash, &hash));
            assert_int_equal(v[0].code.n, 0);
            assert_int_equal(v[1].word.w[0], 407);
            assert_true(coh_bytes_eq(v[2].code, code_of(5)));
        }
        coh_wire_reader_free(reader);
        keys[0].kind = COH_KEY_BLOCK_HASH;
        assert_int_equal(coh_queries_add(q, &m), COH_EPROTO);
        keys[0].kind = COH_KEY_ACCOUNT;
        m.block      = 22;
        assert_int_equal(coh_queries_add(q, &m), COH_EPROTO);
        coh_queries_free(q);
        coh_past_free(past);
        coh_codes_free(codes);
        coh_mvstore_free(mv);
        coh_buf_free(&outbox);
        outbox = COH_BUF_INIT;
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(codes_are_found_for_the_fork_asked_for),
        cmocka_unit_test(codes_wake_who_waits_for_a_load_or_for_another_source),
        cmocka_unit_test(codes_come_at_once_from_the_store_below),
        cmocka_unit_test(codes_evict_all_but_what_is_pinned),
        cmocka_unit_test(queries_find_slots_and_code_through_the_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
