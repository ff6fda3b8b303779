/* HMAC-SHA256 against RFC 4231, in pieces and one message after the other. */
#include "common/crypto/hmac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"

static void check(coh_hmac_t *hmac, void const *p, size_t n, char const *expected)
{
    coh_hash_t got;
    char text[65];
    coh_hmac_end(hmac, &got); /* of nothing: what came before leaves no trace */
    for (size_t piece = 1; piece <= n; piece += 7) {
        for (size_t at = 0; at < n; at += piece) {
            coh_hmac_add(hmac, (uint8_t const *)p + at, COH_MIN(piece, n - at));
        }
        coh_hmac_end(hmac, &got);
        coh_hex_encode(text, got.b, sizeof(got.b));
        assert_string_equal(text, expected);
    }
    coh_hmac_free(hmac);
}

static coh_hmac_t *under(uint8_t octet, size_t n)
{
    uint8_t key[131];
    memset(key, octet, sizeof(key));
    return coh_hmac_new(coh_bytes(key, n));
}

/* RFC 4231, 4.2, 4.3, 4.4, 4.7 */
static void hmac_published_cases(void **state)
{
    (void)state;
    uint8_t dd[50];
    memset(dd, 0xdd, sizeof(dd));
    static char const what[]   = "what do ya want for nothing?";
    static char const larger[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    check(under(0x0b, 20),
          "Hi There",
          8,
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    check(coh_hmac_new(coh_bytes("Jefe", 4)),
          what,
          sizeof(what) - 1,
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    check(under(0xaa, 20),
          dd,
          sizeof(dd),
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    check(under(0xaa, 131),
          larger,
          sizeof(larger) - 1,
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void secret_helpers(void **state)
{
    (void)state;
    uint8_t a[32];
    uint8_t b[32];
    static uint8_t const zeros[32];
    coh_secret_random(a, sizeof(a));
    coh_secret_random(b, sizeof(b));
    assert_false(coh_secret_eq(a, b, sizeof(a)));
    memcpy(b, a, sizeof(a));
    assert_true(coh_secret_eq(a, b, sizeof(a)));
    b[31] ^= 1;
    assert_false(coh_secret_eq(a, b, sizeof(a)));
    assert_true(coh_secret_eq(a, b, 31));
    coh_secret_wipe(a, sizeof(a));
    assert_memory_equal(a, zeros, sizeof(a));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(hmac_published_cases),
        cmocka_unit_test(secret_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
