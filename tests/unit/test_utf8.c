/* UTF-8 as RFC 3629 has it: every character, and what is none, by counting. Text that is none in a JSON string. */
/* links: coh_statetest */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/utf8.h"
#include "deploy/cohort/report_text.h"

/* RFC 3629, 3. */
static size_t encode(uint8_t out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
    }
    out[0] = (uint8_t)((0xf0u << (4 - n)) | c);
    return n;
}

static void utf8_takes_every_character(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t text[4];
        size_t n        = encode(text, c);
        bool is_no_char = c >= 0xd800 && c < 0xe000; /* a half of UTF-16 */
        if (coh_utf8_len(text, n) != (is_no_char ? 0 : n)) {
            fail_msg("U+%04X", c);
        }
        if (n > 1 && coh_utf8_len(text, n - 1) != 0) {
            fail_msg("U+%04X, cut", c);
        }
    }
}

/* As there are 128 + 1,920 + 61,440 characters of one to three octets, and all of these were taken, all else is refused if no more are. Of four: the second octet decides. */
static void utf8_takes_nothing_else(void **state)
{
    (void)state;
    size_t found[5] = {0};
    for (uint32_t x = 0; x < 1 << 24; x++) {
        uint8_t const text[4] = {(uint8_t)(x >> 16), (uint8_t)(x >> 8), (uint8_t)x, 0xbf};
        found[coh_utf8_len(text, 4)]++;
    }
    assert_int_equal(found[1], 128 << 16);
    assert_int_equal(found[2], 1920 << 8);
    assert_int_equal(found[3], 61440);
    assert_int_equal(found[4], 0x100000 >> 6); /* with one last octet of 64 */
    assert_int_equal(coh_utf8_len((uint8_t const *)"\xf0\x90\x80\x7f", 4), 0);
    assert_int_equal(coh_utf8_len((uint8_t const *)"\xf0\x90\x80\xc0", 4), 0);
}

static void report_json_is_json_whatever_the_text(void **state)
{
    (void)state;
    static char const name[] = "a\"b\\\n\xc3\xa4\xff\xe2\x82";
    coh_buf_t out            = COH_BUF_INIT;
    coh_report_json_member(&out, "file", name);
    coh_buf_put_u8(&out, 0);
    assert_string_equal((char const *)out.p,
                        "\"file\":\"a\\u0022b\\u005c\\u000a\xc3\xa4\\ufffd\\ufffd\\ufffd\",");
    coh_buf_free(&out);
}

int main(void)
{
    static struct CMUnitTest const tests[] = {
        cmocka_unit_test(utf8_takes_every_character),
        cmocka_unit_test(utf8_takes_nothing_else),
        cmocka_unit_test(report_json_is_json_whatever_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
