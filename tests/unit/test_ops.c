/* test_ops: what clients and the gateway say to each other. Expected octets are written by hand
   from ops.def and the msgpack specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/client/ops.h"
#include "tests/support/messages.h"
#include "tests/support/seed.h"

static coh_op_reader_t *reader;

#define OCTETS(...) coh_bytes((uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void expect_octets(coh_buf_t *out, coh_bytes_t want)
{
    assert_int_equal(out->n, want.n);
    assert_memory_equal(out->p, want.p, want.n);
    coh_buf_clear(out);
}

static void ops_encode_as_specified(void **state)
{
    (void)state;
    coh_buf_t out      = COH_BUF_INIT;
    coh_bytes_t raws[] = {coh_bytes("\x02\xc0", 2), coh_bytes(NULL, 0)};
    coh_op_put_submit_request(&out, &(coh_op_submit_request_t){.raws = {raws, 2}});
    expect_octets(&out, OCTETS(0x92, 1, 0x92, 0xc4, 2, 0x02, 0xc0, 0xc4, 0));
    coh_op_put_head_request(&out, &(coh_op_head_request_t){0});
    expect_octets(&out, OCTETS(0x91, 6));
    coh_op_account_t accounts[] = {{.nonce = 200, .balance = {{0x0100, 0, 0, 0}}}};
    coh_op_put_accounts_answer(&out,
                               &(coh_op_accounts_answer_t){.block = 9, .accounts = {accounts, 1}});
    expect_octets(&out, OCTETS(0x93, 0, 9, 0x91, 0x92, 0xcc, 200, 0xc4, 2, 1, 0));
    coh_op_put_error(&out, COH_EBUSY, "no");
    expect_octets(&out, OCTETS(0x92, (uint8_t)COH_EBUSY, 0xc4, 2, 'n', 'o'));
    coh_op_put_error(&out, COH_ENOTFOUND, NULL);
    expect_octets(
        &out,
        OCTETS(0x92, (uint8_t)COH_ENOTFOUND, 0xc4, 9, 'n', 'o', 't', ' ', 'f', 'o', 'u', 'n', 'd'));
    coh_op_dropped_t dropped[] = {{.verdict = 15}};
    coh_pub_put_dropped(&out, &(coh_pub_dropped_t){.txs = {dropped, 1}});
    assert_int_equal(out.n, 39);
    assert_memory_equal(out.p, ((uint8_t[]){'D', 0x91, 0x91, 0x92, 0xc4, 32}), 6);
    assert_int_equal(out.p[38], 15);
    coh_buf_free(&out);
}

static coh_err_t read_request(coh_bytes_t in)
{
    coh_op_request_t request;
    return coh_op_read_request(reader, &request, in);
}

static void ops_requests_are_strict(void **state)
{
    (void)state;
    coh_op_request_t request;
    assert_int_equal(
        coh_op_read_request(reader, &request, OCTETS(0x92, 1, 0x92, 0xc4, 2, 2, 0xc0, 0xc4, 0)),
        COH_OK);
    assert_int_equal(request.op, COH_OP_SUBMIT);
    assert_int_equal(request.u.submit.raws.cnt, 2);
    assert_true(coh_bytes_eq(request.u.submit.raws.v[0], coh_bytes("\x02\xc0", 2)));
    assert_int_equal(request.u.submit.raws.v[1].n, 0);
    assert_int_equal(read_request(OCTETS(0x91, 6)), COH_OK);
    assert_int_equal(read_request(OCTETS(0x91, 6, 0xc0)), COH_EMALFORMED); /* an octet more */
    assert_int_equal(read_request(OCTETS(0x92, 6, 1)), COH_EMALFORMED);    /* a field more */
    assert_int_equal(read_request(OCTETS(0x91, 1)), COH_EMALFORMED);       /* a field less */
    assert_int_equal(read_request(OCTETS(0x91, 0)), COH_EUNSUPPORTED);
    assert_int_equal(read_request(OCTETS(0x91, 8)), COH_EUNSUPPORTED);
    assert_int_equal(read_request(OCTETS(0x91, 0xff)), COH_EMALFORMED);
    assert_int_equal(read_request(OCTETS(0x90)), COH_ETRUNCATED);
    assert_int_equal(read_request(OCTETS(6)), COH_EMALFORMED);
    assert_int_equal(read_request(coh_bytes(NULL, 0)), COH_ETRUNCATED);
    assert_int_equal(read_request(OCTETS(0x92, 1, 0x91, 0x91, 0xc4, 0)),
                     COH_EMALFORMED); /* a record for a plain value */
    assert_int_equal(read_request(OCTETS(0x92, 1, 0xdd, 0xff, 0xff, 0xff, 0xff, 0xc4, 0)),
                     COH_ETRUNCATED);
    assert_int_equal(read_request(OCTETS(0x92, 2, 0xdc, 0x10, 0, 0xc4, 20)), COH_ETRUNCATED);
    assert_int_equal(read_request(OCTETS(0x92, 3, 0xd0, 0x80)), COH_EMALFORMED); /* block -128 */
}

static void ops_answers_carry_refusals(void **state)
{
    (void)state;
    coh_op_answer_t answer;
    assert_int_equal(
        coh_op_read_answer(
            reader, &answer, COH_OP_HEAD, OCTETS(0x92, (uint8_t)COH_EBUSY, 0xc4, 2, 'n', 'o')),
        COH_OK);
    assert_int_equal(answer.op, COH_OP_HEAD);
    assert_int_equal(answer.err, COH_EBUSY);
    assert_true(coh_bytes_eq(answer.text, coh_bytes("no", 2)));
    assert_int_equal(
        coh_op_read_answer(reader, &answer, COH_OP_STATUS, OCTETS(0x92, 0, 0xc4, 2, '{', '}')),
        COH_OK);
    assert_int_equal(answer.err, COH_OK);
    assert_true(coh_bytes_eq(answer.u.status.json, coh_bytes("{}", 2)));
    /* A code that is no error of ours, a positive one, a refusal without its text, one with an
       octet behind it. */
    static uint8_t const BAD[][6] = {{0x92, 0xd0, 0x80, 0xc4, 0, 0},
                                     {0x92, 1, 0xc4, 0, 0, 0},
                                     {0x91, 0xfe, 0, 0, 0, 0},
                                     {0x92, 0xfe, 0xc4, 0, 0, 0}};
    static size_t const BAD_SZ[]  = {5, 4, 2, 5};
    for (size_t i = 0; i < COH_CNT(BAD); i++) {
        assert_int_equal(
            coh_op_read_answer(reader, &answer, COH_OP_STATUS, coh_bytes(BAD[i], BAD_SZ[i])),
            COH_EMALFORMED);
    }
    /* The answer to another operation. */
    assert_int_equal(
        coh_op_read_answer(reader, &answer, COH_OP_HEAD, OCTETS(0x92, 0, 0xc4, 2, '{', '}')),
        COH_EMALFORMED);
}

static void ops_every_error_comes_through(void **state)
{
    (void)state;
    coh_buf_t out = COH_BUF_INIT;
    for (int i = 1; i < COH_ERR_CNT; i++) {
        coh_op_answer_t answer;
        coh_buf_clear(&out);
        coh_op_put_error(&out, (coh_err_t)-i, NULL);
        assert_int_equal(coh_op_read_answer(reader, &answer, COH_OP_SUBMIT, coh_buf_bytes(&out)),
                         COH_OK);
        assert_int_equal(answer.err, -i);
        char const *text = coh_err_str((coh_err_t)-i);
        assert_true(coh_bytes_eq(answer.text, coh_bytes(text, strlen(text))));
    }
    coh_buf_free(&out);
}

static void ops_publications_begin_with_their_topic(void **state)
{
    (void)state;
    coh_pub_t pub;
    assert_int_equal(coh_op_read_publication(reader, &pub, OCTETS('D', 0x91, 0x90)), COH_OK);
    assert_int_equal(pub.topic, COH_PUB_DROPPED);
    assert_int_equal(pub.u.dropped.txs.cnt, 0);
    assert_int_equal(coh_op_read_publication(reader, &pub, OCTETS('D', 0x91, 0x90, 0)),
                     COH_EMALFORMED);
    assert_int_equal(coh_op_read_publication(reader, &pub, OCTETS('D')), COH_ETRUNCATED);
    assert_int_equal(coh_op_read_publication(reader, &pub, OCTETS('d', 0x91, 0x90)),
                     COH_EUNSUPPORTED);
    assert_int_equal(coh_op_read_publication(reader, &pub, coh_bytes(NULL, 0)), COH_ETRUNCATED);
}

/* Checks that every proper prefix of a message is refused; read gives what reading it says. */
static void expect_prefixes_refused(coh_buf_t const *what,
                                    coh_err_t (*read)(uint32_t id, coh_bytes_t in),
                                    uint32_t id)
{
    size_t step = 1 + what->n / 200;
    for (size_t n = 1; n < what->n; n += step) {
        uint8_t *cut = malloc(n); /* of exact size, for the sanitizer */
        assert_non_null(cut);
        memcpy(cut, what->p, n);
        assert_int_equal(read(id, coh_bytes(cut, n)), COH_ETRUNCATED);
        free(cut);
    }
}

static coh_err_t try_request(uint32_t id, coh_bytes_t in)
{
    (void)id;
    return read_request(in);
}

static coh_err_t try_answer(uint32_t id, coh_bytes_t in)
{
    coh_op_answer_t answer;
    return coh_op_read_answer(reader, &answer, (coh_op_id_t)id, in);
}

static coh_err_t try_publication(uint32_t id, coh_bytes_t in)
{
    (void)id;
    coh_pub_t pub;
    return coh_op_read_publication(reader, &pub, in);
}

static void ops_round_trip_of_everything(void **state)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, *(uint64_t const *)*state);
    coh_arena_t arena = COH_ARENA_INIT;
    coh_buf_t out     = COH_BUF_INIT;
    for (int round = 0; round < 50; round++) {
        coh_arena_reset(&arena, SIZE_MAX);
        for (size_t i = 0; i < coh_test_op_cnt; i++) {
            uint32_t op = coh_test_op_ids[i];
            coh_op_request_t sent_request;
            coh_op_request_t request;
            coh_buf_clear(&out);
            coh_test_request_random(&sent_request, op, &rng, &arena);
            coh_test_request_put(&out, &sent_request);
            assert_int_equal(coh_op_read_request(reader, &request, coh_buf_bytes(&out)), COH_OK);
            assert_true(coh_test_request_eq(&request, &sent_request));
            expect_prefixes_refused(&out, try_request, op);
            coh_op_answer_t sent_answer;
            coh_op_answer_t answer;
            coh_buf_clear(&out);
            coh_test_answer_random(&sent_answer, op, &rng, &arena);
            coh_test_answer_put(&out, &sent_answer);
            assert_int_equal(
                coh_op_read_answer(reader, &answer, (coh_op_id_t)op, coh_buf_bytes(&out)), COH_OK);
            assert_true(coh_test_answer_eq(&answer, &sent_answer));
            expect_prefixes_refused(&out, try_answer, op);
        }
        for (size_t i = 0; i < coh_test_pub_cnt; i++) {
            coh_pub_t sent;
            coh_pub_t pub;
            coh_buf_clear(&out);
            coh_test_pub_random(&sent, coh_test_pub_topics[i], &rng, &arena);
            coh_test_pub_put(&out, &sent);
            assert_int_equal(out.p[0], coh_test_pub_topics[i]);
            assert_int_equal(coh_op_read_publication(reader, &pub, coh_buf_bytes(&out)), COH_OK);
            assert_true(coh_test_pub_eq(&pub, &sent));
            expect_prefixes_refused(&out, try_publication, coh_test_pub_topics[i]);
        }
    }
    coh_buf_free(&out);
    coh_arena_free(&arena);
}

static void ops_have_names(void **state)
{
    (void)state;
    assert_string_equal(coh_op_name(COH_OP_BLOCK_RECEIPTS), "BLOCK_RECEIPTS");
    assert_string_equal(coh_op_name(0), "?");
}

static int open_reader(void **state)
{
    (void)state;
    reader = coh_op_reader_new();
    return 0;
}

static int close_reader(void **state)
{
    (void)state;
    coh_op_reader_free(reader);
    return 0;
}

/* ops.def: 0xc1, 16 bits of length, the token, the request. */
static void ops_tokens_stand_before_requests(void **state)
{
    (void)state;
    coh_buf_t out = COH_BUF_INIT;
    coh_bytes_t token;
    coh_op_put_token(&out, coh_bytes("secret", 6));
    coh_buf_put(&out, "\x91\x06", 2);
    assert_true(coh_bytes_eq(coh_buf_bytes(&out), coh_bytes("\xc1\x06\x00secret\x91\x06", 11)));
    coh_bytes_t in = coh_buf_bytes(&out);
    assert_int_equal(coh_op_take_token(&in, &token), COH_OK);
    assert_true(coh_bytes_eq(token, coh_bytes("secret", 6)));
    assert_int_equal(read_request(in), COH_OK);
    for (size_t n = 1; n < 9; n++) {
        in = coh_bytes(out.p, n);
        assert_int_equal(coh_op_take_token(&in, &token), COH_ETRUNCATED);
    }
    in = OCTETS(0x91, 6);
    assert_int_equal(coh_op_take_token(&in, &token), COH_OK);
    assert_int_equal(token.n, 0);
    assert_int_equal(in.n, 2);
    in = coh_bytes(NULL, 0);
    assert_int_equal(coh_op_take_token(&in, &token), COH_OK);
    coh_buf_clear(&out);
    coh_buf_t large = COH_BUF_INIT;
    memset(coh_buf_extend(&large, UINT16_MAX), 'x', UINT16_MAX);
    coh_op_put_token(&out, coh_buf_bytes(&large));
    in = coh_buf_bytes(&out);
    assert_int_equal(coh_op_take_token(&in, &token), COH_OK);
    assert_int_equal(token.n, UINT16_MAX);
    assert_int_equal(in.n, 0);
    coh_buf_free(&large);
    coh_buf_free(&out);
    for (uint8_t id = 0; id < 128; id++) {
        bool expected = id >= 40 && id <= 59;
        assert_int_equal(coh_op_is_private(reader, OCTETS(0x91, id)), expected);
        assert_int_equal(coh_op_is_private(reader, OCTETS(0xdc, 0, 1, 0xcc, id)), expected);
    }
    assert_false(coh_op_is_private(reader, OCTETS(40)));
    assert_false(coh_op_is_private(reader, OCTETS(0x91)));
}

int main(void)
{
    uint64_t seed                   = coh_test_seed();
    void *state                     = &seed;
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(ops_encode_as_specified),
        cmocka_unit_test(ops_requests_are_strict),
        cmocka_unit_test(ops_answers_carry_refusals),
        cmocka_unit_test(ops_every_error_comes_through),
        cmocka_unit_test(ops_publications_begin_with_their_topic),
        cmocka_unit_test_prestate(ops_round_trip_of_everything, state),
        cmocka_unit_test(ops_have_names),
        cmocka_unit_test(ops_tokens_stand_before_requests),
    };
    return cmocka_run_group_tests(tests, open_reader, close_reader);
}
