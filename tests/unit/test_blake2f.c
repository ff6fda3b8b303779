/* BLAKE2's compression function against the vectors of EIP-152 and whole digests of RFC 7693. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto/blake2f.h"
#include "tests/support/data.h"

/* The state before the first block of a hash with 64 octets of digest and no key (RFC 7693, section 3.3). */
static coh_blake2f_t start(void)
{
    coh_blake2f_t s = {0};
    coh_buf_t buf   = COH_BUF_INIT;
    assert_true(coh_test_hex(&buf,
                             "48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
                             "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"));
    assert_int_equal(buf.n, sizeof(s.h));
    memcpy(s.h, buf.p, sizeof(s.h));
    coh_buf_free(&buf);
    return s;
}

static void assert_state(coh_blake2f_t const *s, char const *want)
{
    coh_buf_t buf = COH_BUF_INIT;
    assert_true(coh_test_hex(&buf, want));
    assert_int_equal(buf.n, sizeof(s->h));
    assert_memory_equal(s->h, buf.p, sizeof(s->h));
    coh_buf_free(&buf);
}

/* EIP-152, test vectors 4 to 8: "abc" with rounds and mark as given. */
static void blake2f_gives_the_vectors_of_eip_152(void **state)
{
    (void)state;
    static struct {
        uint32_t rounds;
        bool final;
        char const *h;
    } const vectors[] = {
        {0,
         true,
         "08c9bcf367e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
         "d282e6ad7f520e511f6c3e2b8c68059b9442be0454267ce079217e1319cde05b"},
        {12,
         true,
         "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
         "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
        {12,
         false,
         "75ab69d3190a562c51aef8d88f1c2775876944407270c42c9844252c26d28752"
         "98743e7f6d5ea2f2d3e8d226039cd31b4e426ac4f2d3d666a610c2116fde4735"},
        {1,
         true,
         "b63a380cb2897d521994a85234ee2c181b5f844d2c624c002677e9703449d2fb"
         "a551b3a8333bcdf5f2f7e08993d53923de3d64fcc68c034e717b9293fed7a421"},
        {8000000,
         true,
         "6d2ce9e534d50e18ff866ae92d70cceba79bbcd14c63819fe48752c8aca87a4b"
         "b7dcc230d22a4047f0486cfcfb50a17b24b2899eb8fca370f22240adb5170189"},
    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        coh_blake2f_t s = start();
        memcpy(s.m, "abc", 3);
        s.t[0]  = 3;
        s.final = vectors[i].final;
        coh_blake2f(&s, vectors[i].rounds);
        assert_state(&s, vectors[i].h);
    }
}

/* BLAKE2b-512 of 300 octets 0, 1, 2, ... (Python's hashlib): three blocks, so both words of the counter and the chaining
   count. */
static void blake2f_hashes_many_blocks(void **state)
{
    (void)state;
    coh_blake2f_t s   = start();
    uint8_t text[384] = {0};
    for (size_t i = 0; i < 300; i++) {
        text[i] = (uint8_t)i;
    }
    for (size_t at = 0; at < sizeof(text); at += 128) {
        memcpy(s.m, text + at, 128);
        s.t[0]  = COH_MIN(at + 128, (size_t)300);
        s.final = at + 128 == sizeof(text);
        coh_blake2f(&s, 12);
    }
    assert_state(&s,
                 "d9cf5983dc6b34c0fa1f0226926855ad3eccd2bcdcd8f8053b9a80664d33b5af"
                 "cc32fd21c70ea14f4ef50ca97c3203c4d1803159f0e01bb6cb1d1c83db52b63c");
}

/* The high word of the counter takes part: t = (3, 5), computed with a Python rendering of RFC 7693. */
static void blake2f_counts_in_two_words(void **state)
{
    (void)state;
    coh_blake2f_t s = start();
    memcpy(s.m, "abc", 3);
    s.t[0] = 3;
    s.t[1] = 5;
    coh_blake2f(&s, 12);
    assert_state(&s,
                 "917cec521467ae82c1a9410b368fb59003c8df2c2fa055b04d833e943965ff162d3094104a5ac1749"
                 "519d89081b9ae761a8c7a8a733f161a13e3a4a711dc181d");
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(blake2f_gives_the_vectors_of_eip_152),
        cmocka_unit_test(blake2f_hashes_many_blocks),
        cmocka_unit_test(blake2f_counts_in_two_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
