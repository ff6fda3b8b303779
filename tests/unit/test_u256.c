/* 256-bit words against figures computed with Python's integers, against GMP, and against the EVM's semantics at
   its edges, written out. */
/* links: PkgConfig::GMP */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <gmp.h>

#include "common/base/rng.h"
#include "common/base/u256.h"
#include "tests/support/seed.h"

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

/* ---- Against GMP ---- */

/* A word that is likely to lie at an edge: short, sparse, dense, all ones, near a power of two, or uniform. */
static coh_u256_t edgy(coh_rng_t *rng)
{
    coh_u256_t v = COH_U256_ZERO;
    size_t limbs = (size_t)coh_rng_below(rng, 5);
    for (size_t i = 0; i < limbs; i++) {
        switch (coh_rng_below(rng, 5)) {
        case 0: v.w[i] = 0; break;
        case 1: v.w[i] = UINT64_MAX; break;
        case 2: v.w[i] = UINT64_C(1) << coh_rng_below(rng, 64); break;
        case 3: v.w[i] = 0 - (UINT64_C(1) << coh_rng_below(rng, 64)); break;
        default: v.w[i] = coh_rng_next(rng) >> coh_rng_below(rng, 64); break;
        }
    }
    switch (coh_rng_below(rng, 6)) {
    case 0:
        v              = COH_U256_ZERO;
        v.w[limbs % 4] = UINT64_C(1) << coh_rng_below(rng, 64);
        break;
    case 1: {
        coh_u256_t one = coh_u256(1);
        (void)coh_u256_sub(&v, &v, &one);
        break;
    }
    case 2:
        for (size_t i = 0; i < 4; i++) {
            v.w[i] = coh_rng_next(rng);
        }
        break;
    default: break;
    }
    return v;
}

/* A dividend whose top limbs equal those of the divisor or nearly: where an estimated limb of the quotient is
   wrong, or does not fit its limb. */
static coh_u256_t tied(coh_rng_t *rng, coh_u256_t const *b)
{
    coh_u256_t v = *b;
    if (coh_rng_percent(rng, 50)) {
        /* One limb up. */
        v = (coh_u256_t){{coh_rng_next(rng), b->w[0], b->w[1], b->w[2]}};
    }
    size_t changed = (size_t)coh_rng_below(rng, 3);
    for (size_t i = 0; i < changed; i++) {
        v.w[i] = edgy(rng).w[i];
    }
    coh_u256_t near = coh_u256(coh_rng_below(rng, 3));
    if (coh_rng_percent(rng, 50)) {
        (void)coh_u256_sub(&v, &v, &near);
    }
    return v;
}

static void to_mpz(mpz_t z, coh_u256_t const *a) { mpz_import(z, 4, -1, 8, 0, 0, a->w); }

/* The low cnt limbs of z, which is not negative. */
static void limbs_of(uint64_t *out, size_t cnt, mpz_t const z)
{
    for (size_t i = 0; i < cnt; i++) {
        out[i] = mpz_getlimbn(z, (mp_size_t)i);
    }
}

static coh_u256_t from_mpz(mpz_t const z)
{
    coh_u256_t v;
    mpz_t low;
    mpz_init(low);
    mpz_fdiv_r_2exp(low, z, 256);
    limbs_of(v.w, 4, low);
    mpz_clear(low);
    return v;
}

/* The word as a number in two's complement. */
static void to_signed(mpz_t z, coh_u256_t const *a)
{
    to_mpz(z, a);
    if (mpz_tstbit(z, 255) != 0) {
        mpz_t wrap;
        mpz_init(wrap);
        mpz_setbit(wrap, 256);
        mpz_sub(z, z, wrap);
        mpz_clear(wrap);
    }
}

static uint64_t turn_seed;

static void check(char const *what,
                  coh_u256_t const *got,
                  mpz_t const want,
                  coh_u256_t const *a,
                  coh_u256_t const *b,
                  coh_u256_t const *m)
{
    coh_u256_t v = from_mpz(want);
    if (coh_u256_eq(got, &v)) {
        return;
    }
    coh_u256_t const *const all[] = {a, b, m, got, &v};
    static char const names[][5]  = {"a", "b", "m", "got", "want"};
    for (size_t i = 0; i < COH_CNT(all); i++) {
        print_message("%4s %016llx %016llx %016llx %016llx\n",
                      names[i],
                      (unsigned long long)all[i]->w[3],
                      (unsigned long long)all[i]->w[2],
                      (unsigned long long)all[i]->w[1],
                      (unsigned long long)all[i]->w[0]);
    }
    fail_msg("%s, seed of the turn %llu", what, (unsigned long long)turn_seed);
}

typedef void (*binary_t)(coh_u256_t *, coh_u256_t const *, coh_u256_t const *);

/* op(a, b) is want, into a word of its own and in the place of either operand. */
static void check_binary(char const *what,
                         binary_t op,
                         mpz_t const want,
                         coh_u256_t const *a,
                         coh_u256_t const *b)
{
    coh_u256_t out;
    op(&out, a, b);
    check(what, &out, want, a, b, b);
    out = *a;
    op(&out, &out, b);
    check(what, &out, want, a, b, b);
    out = *b;
    op(&out, a, &out);
    check(what, &out, want, a, b, b);
}

typedef void (*ternary_t)(coh_u256_t *, coh_u256_t const *, coh_u256_t const *, coh_u256_t const *);

static void check_ternary(char const *what,
                          ternary_t op,
                          mpz_t const want,
                          coh_u256_t const *a,
                          coh_u256_t const *b,
                          coh_u256_t const *m)
{
    coh_u256_t out;
    op(&out, a, b, m);
    check(what, &out, want, a, b, m);
    out = *a;
    op(&out, &out, b, m);
    check(what, &out, want, a, b, m);
    out = *b;
    op(&out, a, &out, m);
    check(what, &out, want, a, b, m);
    out = *m;
    op(&out, a, b, &out);
    check(what, &out, want, a, b, m);
}

static void add_op(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    (void)coh_u256_add(out, a, b);
}

static void sub_op(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    (void)coh_u256_sub(out, a, b);
}

static void check_division(coh_u256_t const *a, coh_u256_t const *b, mpz_t za, mpz_t zb)
{
    mpz_t q, r;
    mpz_inits(q, r, NULL);
    if (!coh_u256_is_zero(b)) {
        coh_u256_t quot, rem;
        mpz_tdiv_qr(q, r, za, zb);
        coh_u256_divmod(&quot, &rem, a, b);
        check("quotient", &quot, q, a, b, b);
        check("remainder", &rem, r, a, b, b);
        quot = *a, rem = *b;
        coh_u256_divmod(&quot, &rem, &quot, &rem);
        check("quotient in place of a", &quot, q, a, b, b);
        check("remainder in place of b", &rem, r, a, b, b);
        quot = *b, rem = *a;
        coh_u256_divmod(&quot, &rem, &rem, &quot);
        check("quotient in place of b", &quot, q, a, b, b);
        check("remainder in place of a", &rem, r, a, b, b);
        if (coh_u256_fits_u64(b)) {
            rem = coh_u256(coh_u256_divmod_u64(&quot, a, b->w[0]));
            check("quotient of one limb", &quot, q, a, b, b);
            check("remainder of one limb", &rem, r, a, b, b);
        }
    }
    check_binary("div", coh_u256_div, q, a, b);
    check_binary("mod", coh_u256_mod, r, a, b);
    if (!coh_u256_is_zero(b)) {
        mpz_t sa, sb;
        mpz_inits(sa, sb, NULL);
        to_signed(sa, a);
        to_signed(sb, b);
        mpz_tdiv_qr(q, r, sa, sb);
        mpz_clears(sa, sb, NULL);
    }
    check_binary("sdiv", coh_u256_sdiv, q, a, b);
    check_binary("smod", coh_u256_smod, r, a, b);
    mpz_clears(q, r, NULL);
}

static void check_modular(coh_u256_t const *a,
                          coh_u256_t const *b,
                          coh_u256_t const *m,
                          mpz_t za,
                          mpz_t zb)
{
    mpz_t zm, want;
    mpz_inits(zm, want, NULL);
    to_mpz(zm, m);
    if (!coh_u256_is_zero(m)) {
        mpz_add(want, za, zb);
        mpz_mod(want, want, zm);
    }
    check_ternary("addmod", coh_u256_addmod, want, a, b, m);
    if (!coh_u256_is_zero(m)) {
        mpz_mul(want, za, zb);
        mpz_mod(want, want, zm);
    }
    check_ternary("mulmod", coh_u256_mulmod, want, a, b, m);
    mpz_clears(zm, want, NULL);
}

static void u256_equals_gmp(void **state)
{
    (void)state;
    uint64_t seed = coh_test_seed_or(20240611);
    mpz_t za, zb, want, modulus;
    mpz_inits(za, zb, want, modulus, NULL);
    mpz_setbit(modulus, 256);
    for (int turn = 0; turn < 60000; turn++) {
        coh_rng_t rng;
        turn_seed = seed + (uint64_t)turn;
        coh_rng_seed(&rng, turn_seed);
        coh_u256_t b = edgy(&rng);
        coh_u256_t a = coh_rng_percent(&rng, 40) ? tied(&rng, &b) : edgy(&rng);
        coh_u256_t m = coh_rng_percent(&rng, 30) ? tied(&rng, &a) : edgy(&rng);
        to_mpz(za, &a);
        to_mpz(zb, &b);

        mpz_add(want, za, zb);
        check_binary("add", add_op, want, &a, &b);
        coh_u256_t out;
        assert_int_equal(coh_u256_add(&out, &a, &b), mpz_tstbit(want, 256));
        mpz_sub(want, za, zb);
        check_binary("sub", sub_op, want, &a, &b);
        assert_int_equal(coh_u256_sub(&out, &a, &b), mpz_sgn(want) < 0);
        assert_int_equal(coh_u256_lt(&a, &b), mpz_sgn(want) < 0);
        mpz_com(want, za);
        coh_u256_not(&out, &a);
        check("not", &out, want, &a, &b, &m);
        mpz_and(want, za, zb);
        check_binary("and", coh_u256_and, want, &a, &b);
        mpz_ior(want, za, zb);
        check_binary("or", coh_u256_or, want, &a, &b);
        mpz_xor(want, za, zb);
        check_binary("xor", coh_u256_xor, want, &a, &b);
        assert_int_equal(coh_u256_bit_len(&a), mpz_sgn(za) == 0 ? 0 : mpz_sizeinbase(za, 2));
        assert_int_equal(coh_u256_clz(&a), 256 - (mpz_sgn(za) == 0 ? 0 : mpz_sizeinbase(za, 2)));
        assert_int_equal(coh_u256_fits_u64(&a), mpz_fits_ulong_p(za) != 0);

        mpz_mul(want, za, zb);
        check_binary("mul", coh_u256_mul, want, &a, &b);
        uint64_t wide[8], wide_want[8];
        coh_u256_mul_wide(wide, &a, &b);
        limbs_of(wide_want, 8, want);
        assert_memory_equal(wide, wide_want, sizeof(wide));

        check_division(&a, &b, za, zb);
        check_modular(&a, &b, &m, za, zb);
        coh_u256_t ra, rb;
        if (!coh_u256_is_zero(&m)) {
            /* What is below the modulus goes another way. */
            coh_u256_mod(&ra, &a, &m);
            coh_u256_mod(&rb, &b, &m);
            mpz_t zra, zrb;
            mpz_inits(zra, zrb, NULL);
            to_mpz(zra, &ra);
            to_mpz(zrb, &rb);
            check_modular(&ra, &rb, &m, zra, zrb);
            mpz_clears(zra, zrb, NULL);
        }

        mpz_powm(want, za, zb, modulus);
        check_binary("exp", coh_u256_exp, want, &a, &b);
        coh_u256_t few = coh_u256(coh_rng_below(&rng, 300));
        mpz_powm_ui(want, za, few.w[0], modulus);
        check_binary("exp of few bits", coh_u256_exp, want, &a, &few);

        mpz_t sa, sb;
        mpz_inits(sa, sb, NULL);
        to_signed(sa, &a);
        to_signed(sb, &b);
        assert_int_equal(coh_u256_slt(&a, &b), mpz_cmp(sa, sb) < 0);
        assert_int_equal(coh_u256_is_negative(&a), mpz_sgn(sa) < 0);
        mpz_mul_2exp(want, za, few.w[0]);
        check_binary("shl", coh_u256_shl, want, &few, &a);
        mpz_tdiv_q_2exp(want, za, few.w[0]);
        check_binary("shr", coh_u256_shr, want, &few, &a);
        mpz_fdiv_q_2exp(want, sa, few.w[0]);
        check_binary("sar", coh_u256_sar, want, &few, &a);

        coh_u256_t pos = coh_u256(coh_rng_below(&rng, 34));
        mpz_set_ui(want, 0);
        if (pos.w[0] < 32) {
            mpz_fdiv_q_2exp(want, za, 8 * (31 - pos.w[0]));
            mpz_fdiv_r_2exp(want, want, 8);
        }
        check_binary("byte", coh_u256_byte, want, &pos, &a);
        /* The word cut to its bits, less 2 to their number if the top one is set. */
        mp_bitcnt_t bits = pos.w[0] >= 31 ? 256 : 8 * pos.w[0] + 8;
        mpz_fdiv_r_2exp(want, za, bits);
        if (mpz_tstbit(want, bits - 1) != 0) {
            mpz_set_ui(sb, 0);
            mpz_setbit(sb, bits);
            mpz_sub(want, want, sb);
        }
        check_binary("signextend", coh_u256_signextend, want, &pos, &a);
        mpz_clears(sa, sb, NULL);

        uint8_t octets[33], octets_want[32] = {0};
        if (mpz_sgn(za) != 0) {
            size_t cnt = (mpz_sizeinbase(za, 2) + 7) / 8;
            (void)mpz_export(octets_want + 32 - cnt, NULL, 1, 1, 1, 0, za);
        }
        coh_u256_store_be(octets + 1, &a);
        assert_memory_equal(octets + 1, octets_want, 32);
        out = coh_u256_load_be(octets + 1);
        check("load_be", &out, za, &a, &b, &m);
    }
    mpz_clears(za, zb, want, modulus, NULL);
}

/* ---- The EVM's semantics at the edges, written out ---- */

#define F16 "ffffffffffffffff"
#define Z16 "0000000000000000"
#define MAX F16 F16 F16 F16
#define MIN "8000000000000000" Z16 Z16 Z16

static void u256_division_at_the_edges(void **state)
{
    (void)state;
    static struct {
        char const *a, *b, *div, *mod, *sdiv, *smod;
    } const cases[] = {
        /* -2^255 / -1 */
        {MIN, MAX, "0", MIN, MIN, "0"},
        {MIN, "1", MIN, "0", MIN, "0"},
        {MAX, "0", "0", "0", "0", "0"},
        {"0", "0", "0", "0", "0", "0"},
        {"0", MAX, "0", "0", "0", "0"},
        /* -1 / 2 is 0, and leaves -1 */
        {MAX, "2", "7fffffffffffffff" F16 F16 F16, "1", "0", MAX},
        /* 7 / -2 is -3, and leaves 1; -7 / 2 is -3, and leaves -1 */
        {"7", F16 F16 F16 "fffffffffffffffe", "0", "7", F16 F16 F16 "fffffffffffffffd", "1"},
        {F16 F16 F16 "fffffffffffffff9",
         "2",
         "7fffffffffffffff" F16 F16 "fffffffffffffffc",
         "1",
         F16 F16 F16 "fffffffffffffffd",
         MAX},
        /* -8 / -3 is 2, and leaves -2 */
        {F16 F16 F16 "fffffffffffffff8",
         F16 F16 F16 "fffffffffffffffd",
         "0",
         F16 F16 F16 "fffffffffffffff8",
         "2",
         F16 F16 F16 "fffffffffffffffe"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_u256_t a = word(cases[i].a);
        coh_u256_t b = word(cases[i].b);
        coh_u256_t out;
        coh_u256_div(&out, &a, &b);
        assert_word(&out, cases[i].div);
        coh_u256_mod(&out, &a, &b);
        assert_word(&out, cases[i].mod);
        coh_u256_sdiv(&out, &a, &b);
        assert_word(&out, cases[i].sdiv);
        coh_u256_smod(&out, &a, &b);
        assert_word(&out, cases[i].smod);
    }
}

static void u256_modular_at_the_edges(void **state)
{
    (void)state;
    static struct {
        char const *a, *b, *m, *addmod, *mulmod;
    } const cases[] = {
        /* 2^256 - 1 is -1 modulo 2^256, 0 modulo itself, 1 modulo 2^256 - 2 */
        {MAX, MAX, MAX, "0", "0"},
        {MAX, MAX, F16 F16 F16 "fffffffffffffffe", "2", "1"},
        {MAX, MAX, "0", "0", "0"},
        {MAX, MAX, "1", "0", "0"},
        {MAX, MAX, "2", "0", "1"},
        /* 2^256 is 4 modulo 12, so 2^256 - 1 is 3 */
        {MAX, MAX, "c", "6", "9"},
        {MAX, "1", MIN, "0", "7fffffffffffffff" F16 F16 F16},
        {MIN, MIN, MAX, "1", "4000000000000000" Z16 Z16 Z16},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_u256_t a = word(cases[i].a);
        coh_u256_t b = word(cases[i].b);
        coh_u256_t m = word(cases[i].m);
        coh_u256_t out;
        coh_u256_addmod(&out, &a, &b, &m);
        assert_word(&out, cases[i].addmod);
        coh_u256_mulmod(&out, &a, &b, &m);
        assert_word(&out, cases[i].mulmod);
    }
}

typedef struct {
    binary_t op;
    char const *a, *b, *want;
} edge_t;

static void u256_other_edges(void **state)
{
    (void)state;
    static edge_t const cases[] = {
        {coh_u256_exp, "0", "0", "1"},
        {coh_u256_exp, "0", "1", "0"},
        {coh_u256_exp, "0", MAX, "0"},
        {coh_u256_exp, MAX, "0", "1"},
        {coh_u256_exp, "1", MAX, "1"},
        {coh_u256_exp, MAX, MAX, MAX},
        {coh_u256_exp, MAX, "2", "1"},
        {coh_u256_exp, "a", "12", "de0b6b3a7640000"},
        {coh_u256_exp, "2", "ff", MIN},
        {coh_u256_exp, "2", "100", "0"},
        {coh_u256_exp, "100", "1f", "100000000000000" Z16 Z16 Z16},
        {coh_u256_exp, "100", "20", "0"},
        {coh_u256_exp, "6", "100", "0"},
        {coh_u256_exp, MIN, "1", MIN},
        {coh_u256_exp, "2", "10000000000000001", "0"},
        {coh_u256_signextend, "0", "80", F16 F16 F16 "ffffffffffffff80"},
        {coh_u256_signextend, "0", "17f", "7f"},
        {coh_u256_signextend, "7", "ff8000000000000000", F16 F16 F16 "8000000000000000"},
        {coh_u256_signextend, "1e", "aa7f000000000000" Z16 Z16 Z16, "7f000000000000" Z16 Z16 Z16},
        {coh_u256_signextend, "1e", "80000000000000" Z16 Z16 Z16, "ff80000000000000" Z16 Z16 Z16},
        {coh_u256_signextend, "1f", MIN, MIN},
        {coh_u256_signextend, "20", "80", "80"},
        {coh_u256_signextend, MAX, "80", "80"},
        {coh_u256_signextend, "10000000000000000", "80", "80"},
        {coh_u256_byte, "0", "ab00000000000000" Z16 Z16 Z16, "ab"},
        {coh_u256_byte, "1f", "1cd", "cd"},
        {coh_u256_byte, "20", MAX, "0"},
        {coh_u256_byte, "10000000000000000", MAX, "0"},
        {coh_u256_byte, MAX, MAX, "0"},
        {coh_u256_shl, "ff", "1", MIN},
        {coh_u256_shl, "100", MAX, "0"},
        {coh_u256_shl, "10000000000000001", MAX, "0"},
        {coh_u256_shl, "0", MAX, MAX},
        {coh_u256_shr, "ff", MIN, "1"},
        {coh_u256_shr, "100", MAX, "0"},
        {coh_u256_shr, MAX, MAX, "0"},
        {coh_u256_sar, "ff", MIN, MAX},
        {coh_u256_sar, "100", MIN, MAX},
        {coh_u256_sar, MAX, MIN, MAX},
        {coh_u256_sar, "10000000000000000", MIN, MAX},
        {coh_u256_sar, "1", MIN, "c000000000000000" Z16 Z16 Z16},
        {coh_u256_sar, "100", "7fffffffffffffff" F16 F16 F16, "0"},
        {coh_u256_sar, "fe", "7fffffffffffffff" F16 F16 F16, "1"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_u256_t a = word(cases[i].a);
        coh_u256_t b = word(cases[i].b);
        coh_u256_t out;
        cases[i].op(&out, &a, &b);
        assert_word(&out, cases[i].want);
    }
}

static void u256_signs_and_leading_zeros(void **state)
{
    (void)state;
    coh_u256_t min = word(MIN), max = word(MAX), one = coh_u256(1), zero = COH_U256_ZERO;
    assert_true(coh_u256_slt(&min, &max));
    assert_true(coh_u256_slt(&max, &zero));
    assert_true(coh_u256_slt(&min, &one));
    assert_false(coh_u256_slt(&one, &max));
    assert_false(coh_u256_slt(&min, &min));
    assert_int_equal(coh_u256_clz(&zero), 256);
    assert_int_equal(coh_u256_clz(&one), 255);
    assert_int_equal(coh_u256_clz(&max), 0);
    assert_int_equal(coh_u256_bit_len(&zero), 0);
    assert_int_equal(coh_u256_bit_len(&max), 256);
}

static void u256_addresses_are_the_low_octets(void **state)
{
    (void)state;
    coh_addr_t addr;
    for (uint8_t i = 0; i < 20; i++) {
        addr.b[i] = (uint8_t)(i + 1);
    }
    coh_u256_t v = coh_u256_from_addr(&addr);
    assert_word(&v, "102030405060708090a0b0c0d0e0f1011121314");
    v               = word(F16 "ffffffff0102030405060708090a0b0c0d0e0f1011121314");
    coh_addr_t back = coh_u256_to_addr(&v);
    assert_memory_equal(back.b, addr.b, 20);
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
        cmocka_unit_test(u256_equals_gmp),
        cmocka_unit_test(u256_division_at_the_edges),
        cmocka_unit_test(u256_modular_at_the_edges),
        cmocka_unit_test(u256_other_edges),
        cmocka_unit_test(u256_signs_and_leading_zeros),
        cmocka_unit_test(u256_addresses_are_the_low_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
