/* Byte buffers, hex text, error texts, the generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/hex.h"
#include "common/base/rng.h"

static void buf_grows_and_keeps_contents(void **state)
{
    (void)state;
    coh_buf_t buf = COH_BUF_INIT;
    for (uint32_t i = 0; i < 5000; i++) {
        coh_buf_put_u32_le(&buf, i);
    }
    assert_int_equal(buf.n, 20000);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(coh_load_u32_le(buf.p + (size_t)4 * i), i);
    }
    size_t cap = buf.cap;
    coh_buf_clear(&buf);
    assert_int_equal(buf.n, 0);
    assert_int_equal(buf.cap, cap);
    coh_buf_put_u8(&buf, 0xab);
    coh_buf_put(&buf, "xyz", 3);
    coh_buf_put(&buf, NULL, 0);
    coh_buf_put_u64_le(&buf, UINT64_C(0x0102030405060708));
    assert_memory_equal(buf.p, "\xabxyz\x08\x07\x06\x05\x04\x03\x02\x01", 12);
    assert_int_equal(buf.n, 12);
    coh_buf_free(&buf);
    assert_null(buf.p);
}

static void buf_printf_appends_without_nul(void **state)
{
    (void)state;
    coh_buf_t buf = COH_BUF_INIT;
    coh_buf_put(&buf, "a=", 2);
    coh_buf_printf(&buf, "%d,%s", -7, "seven");
    assert_int_equal(buf.n, 10);
    assert_memory_equal(buf.p, "a=-7,seven", 10);
    for (int i = 0; i < 200; i++) {
        coh_buf_printf(&buf, "%03d", i);
    }
    assert_int_equal(buf.n, 610);
    assert_memory_equal(buf.p + 607, "199", 3);
    coh_buf_free(&buf);
}

static void integers_keep_their_byte_order(void **state)
{
    (void)state;
    uint8_t const octets[8] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    assert_true(coh_load_u64_be(octets) == UINT64_C(0x0123456789abcdef));
    assert_true(coh_load_u64_le(octets) == UINT64_C(0xefcdab8967452301));
    uint8_t out[8];
    coh_store_u64_be(out, UINT64_C(0x0123456789abcdef));
    assert_memory_equal(out, octets, 8);
    coh_store_u64_le(out, UINT64_C(0xefcdab8967452301));
    assert_memory_equal(out, octets, 8);
}

static void bytes_compare_by_content(void **state)
{
    (void)state;
    assert_true(coh_bytes_eq(coh_bytes(NULL, 0), coh_bytes("x", 0)));
    assert_true(coh_bytes_eq(coh_bytes("abc", 3), coh_bytes("abcd", 3)));
    assert_false(coh_bytes_eq(coh_bytes("abc", 3), coh_bytes("abd", 3)));
    assert_false(coh_bytes_eq(coh_bytes("abc", 3), coh_bytes("abc", 2)));
}

static void hex_reads_what_it_writes(void **state)
{
    (void)state;
    char text[9];
    coh_hex_encode(text, "\x00\x7f\x80\xff", 4);
    assert_string_equal(text, "007f80ff");
    uint8_t out[4];
    assert_int_equal(coh_hex_decode(out, 4, "007f80FF", 8), COH_OK);
    assert_memory_equal(out, "\x00\x7f\x80\xff", 4);
    assert_int_equal(coh_hex_decode(out, 4, "0x007F80ff", 10), COH_OK);
    assert_memory_equal(out, "\x00\x7f\x80\xff", 4);
}

/* Execution API specification, "hex encoded unsigned integer". */
static void hex_quantities(void **state)
{
    (void)state;
    char text[COH_HEX_QUANTITY_SZ];
    coh_u256_t v = COH_U256_ZERO;
    assert_int_equal(coh_hex_quantity(text, &v), 3);
    assert_string_equal(text, "0x0");
    v = coh_u256(1024);
    assert_int_equal(coh_hex_quantity(text, &v), 5);
    assert_string_equal(text, "0x400");
    v = (coh_u256_t){{0, 0, 0, UINT64_C(0xa000000000000000)}};
    assert_int_equal(coh_hex_quantity(text, &v), 66);
    assert_string_equal(text, "0xa000000000000000000000000000000000000000000000000000000000000000");
}

static void hex_refuses_other_text(void **state)
{
    (void)state;
    uint8_t out[4];
    assert_int_equal(coh_hex_decode(out, 4, "007f80f", 7), COH_EMALFORMED);
    assert_int_equal(coh_hex_decode(out, 4, "007f80fff0", 10), COH_EMALFORMED);
    assert_int_equal(coh_hex_decode(out, 4, "007f80fg", 8), COH_EMALFORMED);
    assert_int_equal(coh_hex_decode(out, 4, "007f80f ", 8), COH_EMALFORMED);
    assert_int_equal(coh_hex_decode(out, 4, "0x0x80ff", 8), COH_EMALFORMED);
    coh_buf_t buf = COH_BUF_INIT;
    coh_buf_put(&buf, "keep", 4);
    assert_int_equal(coh_hex_append(&buf, "0xabc", 5), COH_EMALFORMED);
    assert_int_equal(coh_hex_append(&buf, "abcx", 4), COH_EMALFORMED);
    assert_int_equal(buf.n, 4);
    assert_int_equal(coh_hex_append(&buf, "0x", 2), COH_OK);
    assert_int_equal(buf.n, 4);
    assert_int_equal(coh_hex_append(&buf, "0xABcd", 6), COH_OK);
    assert_int_equal(buf.n, 6);
    assert_memory_equal(buf.p, "keep\xab\xcd", 6);
    coh_buf_free(&buf);
}

static void err_has_a_text_for_every_code(void **state)
{
    (void)state;
    for (int i = 0; i < (int)COH_ERR_CNT; i++) {
        assert_true(strlen(coh_err_str((coh_err_t)-i)) > 0);
    }
    assert_int_equal(COH_OK, 0);
    assert_true(COH_ESIG < 0);
    assert_string_equal(coh_err_str(COH_ESIG), "invalid signature");
    assert_string_equal(coh_err_str((coh_err_t)1), "unknown error");
    assert_string_equal(coh_err_str((coh_err_t)-9999), "unknown error");
}

static void alloc_returns_zeroed_memory(void **state)
{
    (void)state;
    uint8_t *p = coh_calloc(3, 7);
    for (int i = 0; i < 21; i++) {
        assert_int_equal(p[i], 0);
    }
    p = coh_realloc(p, 100);
    assert_int_equal(p[20], 0);
    free(p);
    p = coh_calloc(0, 0);
    assert_non_null(p);
    free(p);
    char *copy = coh_strdup("cohort");
    assert_string_equal(copy, "cohort");
    free(copy);
}

/* xoshiro256** from the state 1, 2, 3, 4: the sequence that the authors' C program gives. */
static void rng_follows_the_published_sequence(void **state)
{
    (void)state;
    static uint64_t const want[] = {
        UINT64_C(11520), UINT64_C(0), UINT64_C(1509978240), UINT64_C(1215971899390074240)};
    coh_rng_t rng = {.s = {1, 2, 3, 4}};
    for (size_t i = 0; i < COH_CNT(want); i++) {
        assert_true(coh_rng_next(&rng) == want[i]);
    }
}

/* splitmix64 from 0: first outputs by its published definition. */
static void rng_seed_is_splitmix64(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 0);
    assert_true(rng.s[0] == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(rng.s[1] == UINT64_C(0x6e789e6aa1b965f4));
    assert_true(rng.s[2] == UINT64_C(0x06c45d188009454f));
    assert_true(rng.s[3] == UINT64_C(0xf88bb8a8724c81ec));
}

static void rng_below_stays_below(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 7);
    uint32_t seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = coh_rng_below(&rng, 10);
        assert_true(v < 10);
        seen |= 1U << v;
    }
    assert_int_equal(seen, 0x3ff);
    assert_int_equal(coh_rng_below(&rng, 1), 0);
}

static void clock_does_not_run_backwards(void **state)
{
    (void)state;
    uint64_t mono    = coh_clock_mono_us();
    uint64_t thread  = coh_clock_thread_cpu_ns();
    uint64_t process = coh_clock_process_cpu_ns();
    for (int i = 0; i < 1000; i++) {
        assert_true(coh_clock_mono_us() >= mono);
        assert_true(coh_clock_thread_cpu_ns() >= thread);
        assert_true(coh_clock_process_cpu_ns() >= process);
    }
    assert_true(coh_clock_unix_us() > UINT64_C(1600000000000000));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(buf_grows_and_keeps_contents),
        cmocka_unit_test(buf_printf_appends_without_nul),
        cmocka_unit_test(integers_keep_their_byte_order),
        cmocka_unit_test(bytes_compare_by_content),
        cmocka_unit_test(hex_reads_what_it_writes),
        cmocka_unit_test(hex_quantities),
        cmocka_unit_test(hex_refuses_other_text),
        cmocka_unit_test(err_has_a_text_for_every_code),
        cmocka_unit_test(alloc_returns_zeroed_memory),
        cmocka_unit_test(rng_follows_the_published_sequence),
        cmocka_unit_test(rng_seed_is_splitmix64),
        cmocka_unit_test(rng_below_stays_below),
        cmocka_unit_test(clock_does_not_run_backwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
