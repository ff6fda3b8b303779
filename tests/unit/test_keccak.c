/* Keccak-256 against published digests, and every backend against a plain transcription of FIPS
   202. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/crypto/keccak.h"

static char const *const backends[] = {"portable", "avx2", "avx512"};

/* FIPS 202, 3.2, with rotations and constants computed from their definitions rather than from
   tables. */
static void reference_permute(uint64_t a[5][5]) /* a[x][y] */
{
    uint8_t lfsr = 1;
    for (int round = 0; round < 24; round++) {
        uint64_t c[5], b[5][5];
        for (int x = 0; x < 5; x++) {
            c[x] = a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4];
        }
        for (int x = 0; x < 5; x++) {
            for (int y = 0; y < 5; y++) {
                a[x][y] ^= c[(x + 4) % 5] ^ coh_rng_rotl(c[(x + 1) % 5], 1);
            }
        }
        b[0][0] = a[0][0];
        for (int t = 0, x = 1, y = 0; t < 24; t++) {
            int shift    = (t + 1) * (t + 2) / 2 % 64;
            uint64_t v   = shift == 0 ? a[x][y] : coh_rng_rotl(a[x][y], shift);
            int next_y   = (2 * x + 3 * y) % 5;
            b[y][next_y] = v;
            x            = y;
            y            = next_y;
        }
        for (int x = 0; x < 5; x++) {
            for (int y = 0; y < 5; y++) {
                a[x][y] = b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]);
            }
        }
        for (int j = 0; j <= 6; j++) {
            if ((lfsr & 1) != 0) {
                a[0][0] ^= UINT64_C(1) << ((1 << j) - 1);
            }
            lfsr = (uint8_t)(lfsr << 1 ^ ((lfsr >> 7) * 0x71));
        }
    }
}

static coh_hash_t reference(uint8_t const *p, size_t n)
{
    uint64_t a[5][5] = {{0}};
    size_t padded    = (n / 136 + 1) * 136;
    for (size_t at = 0; at < padded; at++) {
        uint64_t octet = at < n ? p[at] : 0;
        octet ^= at == n ? 0x01 : 0;
        octet ^= at == padded - 1 ? 0x80 : 0;
        size_t word = at % 136 / 8;
        a[word % 5][word / 5] ^= octet << (8 * (at % 8));
        if (at % 136 == 135) {
            reference_permute(a);
        }
    }
    coh_hash_t out;
    for (size_t i = 0; i < 4; i++) {
        coh_store_u64_le(out.b + 8 * i, a[i][0]);
    }
    return out;
}

static void assert_hash(coh_hash_t const *got, char const *want)
{
    char text[65];
    coh_hex_encode(text, got->b, 32);
    assert_string_equal(text, want);
}

static void keccak_matches_published_digests(void **state)
{
    (void)state;
    static struct {
        char const *text;
        char const *digest;
    } const vectors[] = {
        {"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"},
        {"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"},
        {"The quick brown fox jumps over the lazy dog",
         "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15"},
        {"Transfer(address,address,uint256)", /* the topic of every ERC-20 transfer */
         "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"},
    };
    for (size_t b = 0; b < COH_CNT(backends); b++) {
        if (!coh_keccak_force_backend(backends[b])) {
            print_message("SKIPPED: backend %s: this processor lacks it\n", backends[b]);
            continue;
        }
        assert_string_equal(coh_keccak_backend(), backends[b]);
        coh_bytes_t in[COH_CNT(vectors)];
        coh_hash_t out[COH_CNT(vectors)];
        for (size_t i = 0; i < COH_CNT(vectors); i++) {
            in[i] = coh_bytes(vectors[i].text, strlen(vectors[i].text));
            coh_keccak256(&out[i], in[i].p, in[i].n);
            assert_hash(&out[i], vectors[i].digest);
        }
        memset(out, 0, sizeof(out));
        coh_keccak256_many(out, in, COH_CNT(vectors));
        for (size_t i = 0; i < COH_CNT(vectors); i++) {
            assert_hash(&out[i], vectors[i].digest);
        }
    }
}

static void keccak_matches_reference_at_every_length(void **state)
{
    (void)state;
    uint8_t text[700];
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * 7 + i / 256 + 3);
    }
    for (size_t b = 0; b < COH_CNT(backends); b++) {
        if (coh_keccak_force_backend(backends[b])) {
            for (size_t n = 0; n <= sizeof(text); n++) {
                coh_hash_t want = reference(text, n);
                coh_hash_t got;
                coh_keccak256(&got, text, n);
                assert_memory_equal(got.b, want.b, 32);
            }
        }
    }
}

static void keccak_out_may_lie_in_the_input(void **state)
{
    (void)state;
    uint8_t text[200];
    memset(text, 0x5a, sizeof(text));
    coh_hash_t want = reference(text, sizeof(text));
    coh_keccak256((coh_hash_t *)(void *)(text + 100), text, sizeof(text));
    assert_memory_equal(text + 100, want.b, 32);
}

/* Any mix of lengths and any count: lanes that finish early, run out, or never start. Each input
   is an exact heap copy, so that the sanitizers see a read beyond it. */
static void keccak_many_matches_reference_for_any_mix(void **state)
{
    (void)state;
    enum { CNT_MAX = 41 };
    uint64_t const seed = 20150730;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t b = 0; b < COH_CNT(backends); b++) {
        if (!coh_keccak_force_backend(backends[b])) {
            continue;
        }
        coh_rng_t rng;
        coh_rng_seed(&rng, seed);
        for (int turn = 0; turn < 300; turn++) {
            coh_bytes_t in[CNT_MAX];
            coh_hash_t out[CNT_MAX + 1];
            memset(out, 0xee, sizeof(out));
            size_t cnt       = coh_rng_below(&rng, CNT_MAX + 1);
            uint64_t len_max = turn % 3 == 0 ? 135 : turn % 3 == 1 ? 300 : 2000;
            for (size_t i = 0; i < cnt; i++) {
                size_t n   = coh_rng_below(&rng, len_max + 1);
                uint8_t *p = coh_calloc(n, 1);
                for (size_t k = 0; k < n; k++) {
                    p[k] = (uint8_t)coh_rng_next(&rng);
                }
                in[i] = coh_bytes(p, n);
            }
            coh_keccak256_many(out, in, cnt);
            for (size_t i = 0; i < cnt; i++) {
                coh_hash_t want = reference(in[i].p, in[i].n);
                assert_memory_equal(out[i].b, want.b, 32);
                free((void *)(uintptr_t)in[i].p);
            }
            for (size_t k = 0; k < 32; k++) {
                assert_int_equal(out[cnt].b[k], 0xee);
            }
        }
    }
}

static void keccak_refuses_an_unknown_backend(void **state)
{
    (void)state;
    assert_true(coh_keccak_force_backend("portable"));
    assert_false(coh_keccak_force_backend("sse9"));
    assert_string_equal(coh_keccak_backend(), "portable");
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(keccak_matches_published_digests),
        cmocka_unit_test(keccak_matches_reference_at_every_length),
        cmocka_unit_test(keccak_out_may_lie_in_the_input),
        cmocka_unit_test(keccak_many_matches_reference_for_any_mix),
        cmocka_unit_test(keccak_refuses_an_unknown_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
