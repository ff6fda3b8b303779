/* RLP: the typed reads and the writers. ethereum/tests' suite is in conformance/test_rlp_vectors.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/codec/rlp.h"
#include "tests/support/data.h"

static void assert_bytes(coh_bytes_t got, char const *want_hex)
{
    coh_buf_t want = COH_BUF_INIT;
    assert_true(coh_test_hex(&want, want_hex));
    assert_true(coh_bytes_eq(got, coh_buf_bytes(&want)));
    coh_buf_free(&want);
}

static void rlp_writes_the_yellow_papers_examples(void **state)
{
    (void)state;
    coh_buf_t out = COH_BUF_INIT;
    coh_rlp_put_string(&out, "dog", 3);
    assert_bytes(coh_buf_bytes(&out), "83646f67");
    coh_buf_clear(&out);
    coh_rlp_put_string(&out, "cat", 3);
    coh_rlp_put_string(&out, "dog", 3);
    coh_rlp_wrap_list(&out, 0);
    assert_bytes(coh_buf_bytes(&out), "c88363617483646f67");
    coh_buf_clear(&out);
    coh_rlp_put_string(&out, NULL, 0);
    coh_rlp_put_string(&out, "\x00", 1);
    coh_rlp_put_string(&out, "\x7f", 1);
    coh_rlp_put_string(&out, "\x80", 1);
    coh_rlp_put_u64(&out, 0);
    coh_rlp_put_u64(&out, 15);
    coh_rlp_put_u64(&out, 1024);
    coh_rlp_put_u64(&out, UINT64_MAX);
    assert_bytes(coh_buf_bytes(&out), "80007f8180800f82040088ffffffffffffffff");
    coh_buf_free(&out);
}

/* Headers on both sides of each change of form; lengths in hex are the definition's. */
static void rlp_headers_change_form_at_their_bounds(void **state)
{
    (void)state;
    static struct {
        size_t n;
        char const *string;
        char const *list;
    } const forms[] = {
        {2, "82", "c2"},
        {55, "b7", "f7"},
        {56, "b838", "f838"},
        {255, "b8ff", "f8ff"},
        {256, "b90100", "f90100"},
        {65535, "b9ffff", "f9ffff"},
        {65536, "ba010000", "fa010000"},
    };
    uint8_t *text = calloc(1, 65536);
    for (size_t i = 0; i < COH_CNT(forms); i++) {
        size_t n      = forms[i].n;
        coh_buf_t out = COH_BUF_INIT;
        coh_rlp_put_string(&out, text, n);
        assert_bytes(coh_bytes(out.p, out.n - n), forms[i].string);
        coh_rlp_t r = coh_rlp_reader(coh_buf_bytes(&out));
        coh_bytes_t payload;
        assert_int_equal(coh_rlp_string(&r, &payload), COH_OK);
        assert_int_equal(payload.n, n);
        coh_buf_clear(&out);
        coh_buf_put(&out, "prefix", 6);
        coh_buf_put(&out, text, n);
        coh_rlp_wrap_list(&out, 6);
        assert_memory_equal(out.p, "prefix", 6);
        assert_bytes(coh_bytes(out.p + 6, out.n - n - 6), forms[i].list);
        coh_buf_clear(&out);
        coh_rlp_put_list_header(&out, n);
        assert_bytes(coh_buf_bytes(&out), forms[i].list);
        coh_buf_free(&out);
    }
    free(text);
}

static void rlp_reader_accepts_only_the_shortest_form(void **state)
{
    (void)state;
    static struct {
        char const *text;
        coh_err_t want;
    } const cases[] = {
        {"", COH_ETRUNCATED},
        {"8100", COH_EMALFORMED},
        {"817f", COH_EMALFORMED},
        {"8180", COH_OK},
        {"81", COH_ETRUNCATED},
        {"8261", COH_ETRUNCATED},
        {"b80161", COH_EMALFORMED},
        {"b837", COH_EMALFORMED},
        {"b90038", COH_EMALFORMED},
        {"b838", COH_ETRUNCATED},
        {"b9", COH_ETRUNCATED},
        {"b901", COH_ETRUNCATED},
        {"bfffffffffffffffff", COH_ETRUNCATED},
        {"c1", COH_ETRUNCATED},
        {"f800", COH_EMALFORMED},
        {"f838", COH_ETRUNCATED},
        {"ffffffffffffffffff", COH_ETRUNCATED},
        {"c0", COH_OK},
        {"00", COH_OK},
        {"7f", COH_OK},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_buf_t text = COH_BUF_INIT;
        assert_true(coh_test_hex(&text, cases[i].text));
        coh_rlp_t r = coh_rlp_reader(coh_buf_bytes(&text));
        coh_rlp_kind_t kind;
        coh_bytes_t payload;
        assert_int_equal(coh_rlp_next(&r, &kind, &payload), cases[i].want);
        if (cases[i].want == COH_OK) {
            assert_int_equal(coh_rlp_end(&r), COH_OK);
        }
        coh_buf_free(&text);
    }
}

/* coh_rlp_u64 of the item that hex spells. */
static coh_err_t read_u64(char const *hex, uint64_t *out)
{
    coh_buf_t text = COH_BUF_INIT;
    assert_true(coh_test_hex(&text, hex));
    coh_rlp_t r  = coh_rlp_reader(coh_buf_bytes(&text));
    coh_err_t rc = coh_rlp_u64(&r, out);
    coh_buf_free(&text);
    return rc;
}

static coh_err_t read_u256(char const *hex, coh_u256_t *out)
{
    coh_buf_t text = COH_BUF_INIT;
    assert_true(coh_test_hex(&text, hex));
    coh_rlp_t r  = coh_rlp_reader(coh_buf_bytes(&text));
    coh_err_t rc = coh_rlp_u256(&r, out);
    coh_buf_free(&text);
    return rc;
}

static void rlp_numbers_have_no_leading_zeros(void **state)
{
    (void)state;
    uint64_t v;
    assert_int_equal(read_u64("80", &v), COH_OK);
    assert_true(v == 0);
    assert_int_equal(read_u64("7f", &v), COH_OK);
    assert_true(v == 0x7f);
    assert_int_equal(read_u64("820400", &v), COH_OK);
    assert_true(v == 0x400);
    assert_int_equal(read_u64("88ffffffffffffffff", &v), COH_OK);
    assert_true(v == UINT64_MAX);
    assert_int_equal(read_u64("00", &v), COH_EMALFORMED);
    assert_int_equal(read_u64("820001", &v), COH_EMALFORMED);
    assert_int_equal(read_u64("89010000000000000000", &v), COH_EMALFORMED);
    assert_int_equal(read_u64("c0", &v), COH_EMALFORMED);
    coh_u256_t wide;
    assert_int_equal(
        read_u256("a0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", &wide),
        COH_OK);
    assert_true((wide.w[0] & wide.w[1] & wide.w[2] & wide.w[3]) == UINT64_MAX);
    assert_int_equal(
        read_u256("a100ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", &wide),
        COH_EMALFORMED);
    assert_int_equal(
        read_u256("a1010000000000000000000000000000000000000000000000000000000000000000", &wide),
        COH_EMALFORMED);
    assert_int_equal(read_u256("00", &wide), COH_EMALFORMED);
    assert_int_equal(read_u256("80", &wide), COH_OK);
    assert_true(coh_u256_is_zero(&wide));
}

static void rlp_typed_reads_check_kind_and_size(void **state)
{
    (void)state;
    static uint8_t const text[] = {0xc5, 0x83, 'd', 'o', 'g', 0x05, 0xc0};
    coh_rlp_t r                 = coh_rlp_reader(coh_bytes(text, sizeof(text)));
    coh_rlp_t inner, other;
    coh_bytes_t item, payload;
    coh_rlp_kind_t kind;
    assert_int_equal(coh_rlp_list(&r, &inner), COH_OK);
    other = inner;
    assert_int_equal(coh_rlp_list(&other, &other), COH_EMALFORMED);
    uint8_t dog[3];
    other = inner;
    assert_int_equal(coh_rlp_fixed(&other, dog, 2), COH_EMALFORMED);
    assert_int_equal(coh_rlp_fixed(&inner, dog, 3), COH_OK);
    assert_memory_equal(dog, "dog", 3);
    assert_int_equal(coh_rlp_end(&inner), COH_EMALFORMED);
    assert_int_equal(coh_rlp_next_raw(&inner, &kind, &payload, &item), COH_OK);
    assert_int_equal(item.n, 1);
    assert_int_equal(coh_rlp_end(&inner), COH_OK);
    assert_int_equal(coh_rlp_next_raw(&r, &kind, &payload, &item), COH_OK);
    assert_int_equal(kind, COH_RLP_LIST);
    assert_ptr_equal(item.p, text + 6);
    assert_int_equal(item.n, 1);
    assert_int_equal(payload.n, 0);
    r = coh_rlp_reader(coh_bytes(NULL, 0));
    assert_true(coh_rlp_at_end(&r));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(rlp_writes_the_yellow_papers_examples),
        cmocka_unit_test(rlp_headers_change_form_at_their_bounds),
        cmocka_unit_test(rlp_reader_accepts_only_the_shortest_form),
        cmocka_unit_test(rlp_numbers_have_no_leading_zeros),
        cmocka_unit_test(rlp_typed_reads_check_kind_and_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
