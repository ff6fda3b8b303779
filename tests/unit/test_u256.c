/* 256-bit words against figures computed with Python's integers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/base/u256.h"

typedef struct {
    char const *a, *b;
    uint64_t m;
    char const *sum;
    int carry;
    char const *difference;
    int borrow;
    char const *product; /* a * m */
    int overflow;
    char const *quotient; /* a / m */
    uint64_t remainder;
    char const *decimal; /* of a */
} row_t;

static row_t const rows[] = {
    {"0", "0", UINT64_C(0x1), "0", 0, "0", 0, "0", 0, "0", UINT64_C(0x0), "0"},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     "1",
     UINT64_C(0x2),
     "0",
     1,
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
     0,
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
     1,
     "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     UINT64_C(0x1),
     "115792089237316195423570985008687907853269984665640564039457584007913129639935"},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     UINT64_C(0xffffffffffffffff),
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe",
     1,
     "0",
     0,
     "ffffffffffffffffffffffffffffffffffffffffffffffff0000000000000001",
     1,
     "1000000000000000100000000000000010000000000000001",
     UINT64_C(0x0),
     "115792089237316195423570985008687907853269984665640564039457584007913129639935"},
    {"8000000000000000000000000000000000000000000000000000000000000000",
     "8000000000000000000000000000000000000000000000000000000000000000",
     UINT64_C(0x2),
     "0",
     1,
     "0",
     0,
     "0",
     1,
     "4000000000000000000000000000000000000000000000000000000000000000",
     UINT64_C(0x0),
     "57896044618658097711785492504343953926634992332820282019728792003956564819968"},
    {"0",
     "1",
     UINT64_C(0xa),
     "1",
     0,
     "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
     1,
     "0",
     0,
     "0",
     UINT64_C(0x0),
     "0"},
    {"ffffffffffffffffffffffffffffffff",
     "1",
     UINT64_C(0xffffffffffffffff),
     "100000000000000000000000000000000",
     0,
     "fffffffffffffffffffffffffffffffe",
     0,
     "fffffffffffffffeffffffffffffffff0000000000000001",
     0,
     "10000000000000001",
     UINT64_C(0x0),
     "340282366920938463463374607431768211455"},
    {"10000000000000000",
     "1",
     UINT64_C(0x3),
     "10000000000000001",
     0,
     "ffffffffffffffff",
     0,
     "30000000000000000",
     0,
     "5555555555555555",
     UINT64_C(0x1),
     "18446744073709551616"},
    {"dd15fe86affad91249ef0eb713f39ebeaa987b6e6fd2a0000000000000000000",
     "161bcca7119915b50764b4abe86529797775a5f1719510000000000000000000",
     UINT64_C(0xa),
     "f331cb2dc193eec75153c362fc58c838220e215fe167b0000000000000000000",
     0,
     "c6fa31df9e61c35d428a5a0b2b8e75453322d57cfe3d90000000000000000000",
     0,
     "a2dbf142dfcc7ab6e3569326c7843372a9f4d2505e3a40000000000000000000",
     1,
     "161bcca7119915b50764b4abe86529797775a5f1719510000000000000000000",
     UINT64_C(0x0),
     "100000000000000000000000000000000000000000000000000000000000000000000000000000"},
    {"5d96cf7f265beda9cf0c26ef4243ed52566bf9d7c55a45f8d1a6e55e9b9b1325",
     "b37523a53b4a3ee20463513755ac0ecd5e6a0a2edd70e34dc1d77cffb7decc0c",
     UINT64_C(0xe6ba3ad74de45321),
     "110bf32461a62c8bd36f782697effc1fb4d60406a2cb2946937e625e5379df31",
     1,
     "aa21abd9eb11aec7caa8d5b7ec97de84f801efa8e7e962ab0fcf685ee3bc4719",
     1,
     "49f1358461d0d413b77ecedb1f64f15426437e0c67a91042d866ee97842676c5",
     1,
     "67d71e6bf02ca34a30a2155c6098296436dda8138c6133b4",
     UINT64_C(0x1ad26d0acf000cf1),
     "42331554067407228365299596803166113139172034638740136877214866396098869269285"},
    {"4ca87fc2bfb637dd5bae2d26683447c10cc8af11dd4eabbd1fcfb9809823beb1",
     "53a2f2b633f5f28807f0cbd41ff135342e825ce1158d003d9a0b2361aed09b82",
     UINT64_C(0x3d),
     "a04b7278f3ac2a65639ef8fa88257cf53b4b0bf2f2dbabfab9dadce246f45a33",
     0,
     "f9058d0c8bc0455553bd61524843128cde465230c7c1ab7f85c4961ee953232f",
     1,
     "44267167ae6b4fbed880c226d47519000bd1b741bbbeec10947f33a44084702d",
     1,
     "141b68daf35590c05b31e1e01b550e9fc034a36d9a92895fc53249d6304c85f",
     UINT64_C(0xe),
     "34673488571416317849700206122254942938911431795896549579390809591611706818225"},
    {"d135c9a8c4668dc8f46a423cf9d330a5494d14cf1a4cc34636",
     "5fa9dfdec6baecde5baf5d8bb09f2e9ea4765890e0f94855d0",
     UINT64_C(0x1ef7d9967),
     "130dfa9878b217aa750199fc8aa725f43edc36d5ffb460b9c06",
     0,
     "718be9c9fdaba0ea98bae4b149340206a4d6bc3e39537af066",
     0,
     "194eda58e1d5432831bb8f3e4172c6f06157c312f2c6d6b1b9149e585ba",
     0,
     "6c17258a24d270f8ddb77f396554ee2b2a421b5cb1",
     UINT64_C(0xd7ee31ff),
     "1313233134033004899336005022961930496420524526101528156784182"},
    {"2db18bd763f20134cfdfb462fd6fad8db",
     "19248b974bf416c30f1f0742a0e46c215",
     UINT64_C(0x476354b7),
     "46d6176eafe617f7defebba59e5419af0",
     0,
     "148d004017fdea71c0c0ad205c8b416c6",
     0,
     "cbdf890bcd168aff7779f8036ac693e39629e08d",
     0,
     "a3dbd350cab809f78dbd6e8bc",
     UINT64_C(0x748ca77),
     "971794122787252938194859085315983464667"},
    {"d57dcafd3a7cfb36",
     "88c279d937c990fa",
     UINT64_C(0xef),
     "15e4044d672468c30",
     0,
     "4cbb512402b36a3c",
     0,
     "c7507082699aae876a",
     0,
     "e4ad4d1c181679",
     UINT64_C(0x3f),
     "15383675091124288310"},
    {"6dbb8",
     "afbec",
     UINT64_C(0xd1),
     "11d7a4",
     0,
     "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffbdfcc",
     1,
     "5996138",
     0,
     "866",
     UINT64_C(0x72),
     "449464"},
};

static coh_u256_t word(char const *hex)
{
    char text[67];
    (void)snprintf(text, sizeof(text), "0x%s", hex);
    coh_u256_t v;
    assert_int_equal(coh_u256_parse(&v, text, strlen(text)), COH_OK);
    return v;
}

static void assert_word(coh_u256_t const *got, char const *want)
{
    char text[65];
    uint8_t octets[32];
    coh_u256_to_be(octets, got);
    for (size_t i = 0; i < 32; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", octets[i]);
    }
    char const *digits = text;
    while (*digits == '0' && digits[1] != '\0') {
        digits++;
    }
    assert_string_equal(digits, want);
}

static void u256_arithmetic_matches_wide_integers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(rows); i++) {
        row_t const *row = &rows[i];
        coh_u256_t a     = word(row->a);
        coh_u256_t b     = word(row->b);
        coh_u256_t out;
        assert_int_equal(coh_u256_add(&out, &a, &b), row->carry);
        assert_word(&out, row->sum);
        assert_int_equal(coh_u256_sub(&out, &a, &b), row->borrow);
        assert_word(&out, row->difference);
        assert_int_equal(coh_u256_mul_u64(&out, &a, row->m), row->overflow);
        assert_word(&out, row->product);
        assert_true(coh_u256_divmod_u64(&out, &a, row->m) == row->remainder);
        assert_word(&out, row->quotient);
    }
}

static void u256_results_may_replace_operands(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(rows); i++) {
        row_t const *row = &rows[i];
        coh_u256_t a     = word(row->a);
        coh_u256_t b     = word(row->b);
        coh_u256_t v     = a;
        (void)coh_u256_add(&v, &v, &b);
        assert_word(&v, row->sum);
        v = b;
        (void)coh_u256_add(&v, &a, &v);
        assert_word(&v, row->sum);
        v = a;
        (void)coh_u256_sub(&v, &v, &b);
        assert_word(&v, row->difference);
        v = b;
        (void)coh_u256_sub(&v, &a, &v);
        assert_word(&v, row->difference);
        v = a;
        (void)coh_u256_mul_u64(&v, &v, row->m);
        assert_word(&v, row->product);
        v = a;
        (void)coh_u256_divmod_u64(&v, &v, row->m);
        assert_word(&v, row->quotient);
    }
}

static void u256_order_is_numeric(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(rows); i++) {
        coh_u256_t a = word(rows[i].a);
        coh_u256_t b = word(rows[i].b);
        assert_int_equal(coh_u256_lt(&a, &b), rows[i].borrow);
        assert_false(coh_u256_lt(&a, &a));
        assert_true(coh_u256_eq(&a, &a));
        assert_int_equal(coh_u256_eq(&a, &b), strcmp(rows[i].a, rows[i].b) == 0);
        assert_int_equal(coh_u256_is_zero(&a), strcmp(rows[i].a, "0") == 0);
    }
}

static void u256_text_is_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(rows); i++) {
        coh_u256_t a = word(rows[i].a);
        char text[COH_U256_DEC_SZ];
        coh_u256_to_dec(text, &a);
        assert_string_equal(text, rows[i].decimal);
        coh_u256_t back;
        assert_int_equal(coh_u256_parse(&back, text, strlen(text)), COH_OK);
        assert_true(coh_u256_eq(&back, &a));
    }
}

static void u256_parse_refuses_what_is_no_number(void **state)
{
    (void)state;
    static char const *const malformed[] = {
        "", "0x", "x", "-1", " 1", "1 ", "12a", "0x1g", "0x 1", "1.0"};
    coh_u256_t v;
    for (size_t i = 0; i < COH_CNT(malformed); i++) {
        assert_int_equal(coh_u256_parse(&v, malformed[i], strlen(malformed[i])), COH_EMALFORMED);
    }
    /* 2^256 in both bases; one less is the largest. */
    char const *dec =
        "115792089237316195423570985008687907853269984665640564039457584007913129639936";
    char const *hex = "0x10000000000000000000000000000000000000000000000000000000000000000";
    assert_int_equal(coh_u256_parse(&v, dec, strlen(dec)), COH_ETOOBIG);
    assert_int_equal(coh_u256_parse(&v, hex, strlen(hex)), COH_ETOOBIG);
    /* Only len characters count; leading zeros are none of a number's value. */
    assert_int_equal(coh_u256_parse(&v, "123xyz", 3), COH_OK);
    assert_word(&v, "7b");
    assert_int_equal(coh_u256_parse(&v, "0X00Ff", 6), COH_OK);
    assert_word(&v, "ff");
}

static void u256_octets_are_big_endian(void **state)
{
    (void)state;
    uint8_t const octets[5] = {0x01, 0x02, 0x03, 0x04, 0x05};
    coh_u256_t v            = coh_u256_from_be(octets, 5);
    assert_true(v.w[0] == UINT64_C(0x0102030405) && (v.w[1] | v.w[2] | v.w[3]) == 0);
    v = coh_u256_from_be(octets, 0);
    assert_true(coh_u256_is_zero(&v));
    uint8_t wide[32];
    for (uint8_t i = 0; i < 32; i++) {
        wide[i] = (uint8_t)(i + 1);
    }
    v = coh_u256_from_be(wide, 32);
    assert_true(v.w[3] == UINT64_C(0x0102030405060708) && v.w[0] == UINT64_C(0x191a1b1c1d1e1f20));
    uint8_t back[32];
    coh_u256_to_be(back, &v);
    assert_memory_equal(back, wide, 32);
}

static void u256_be_len_counts_octets(void **state)
{
    (void)state;
    coh_u256_t v = COH_U256_ZERO;
    assert_int_equal(coh_u256_be_len(&v), 0);
    for (size_t bit = 0; bit < 256; bit++) {
        v             = COH_U256_ZERO;
        v.w[bit / 64] = UINT64_C(1) << (bit % 64);
        assert_int_equal(coh_u256_be_len(&v), bit / 8 + 1);
    }
}

/* (a / m) * m + a mod m is a, for random words. */
static void u256_division_undoes_multiplication(void **state)
{
    (void)state;
    coh_rng_t rng;
    uint64_t const seed = 42;
    print_message("seed %llu\n", (unsigned long long)seed);
    coh_rng_seed(&rng, seed);
    for (int turn = 0; turn < 10000; turn++) {
        coh_u256_t a = {{coh_rng_next(&rng),
                         coh_rng_next(&rng),
                         coh_rng_next(&rng),
                         coh_rng_next(&rng) >> coh_rng_below(&rng, 64)}};
        uint64_t m   = (coh_rng_next(&rng) >> coh_rng_below(&rng, 64)) | 1;
        coh_u256_t q, back;
        uint64_t rem = coh_u256_divmod_u64(&q, &a, m);
        assert_true(rem < m);
        assert_false(coh_u256_mul_u64(&back, &q, m));
        coh_u256_t rest = coh_u256(rem);
        assert_false(coh_u256_add(&back, &back, &rest));
        assert_true(coh_u256_eq(&back, &a));
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(u256_arithmetic_matches_wide_integers),
        cmocka_unit_test(u256_results_may_replace_operands),
        cmocka_unit_test(u256_order_is_numeric),
        cmocka_unit_test(u256_text_is_exact),
        cmocka_unit_test(u256_parse_refuses_what_is_no_number),
        cmocka_unit_test(u256_octets_are_big_endian),
        cmocka_unit_test(u256_be_len_counts_octets),
        cmocka_unit_test(u256_division_undoes_multiplication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
