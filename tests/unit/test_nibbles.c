/* Paths in hex-prefix form. Examples as in Ethereum's documentation of the trie ("Specification: compact encoding of hex sequence"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/trie/nibbles.h"

static void expect(char const *nibbles, bool is_leaf, uint8_t const *want, size_t want_n)
{
    uint8_t key[8] = {0};
    uint8_t out[8];
    size_t cnt = strlen(nibbles);
    for (size_t i = 0; i < cnt; i++) {
        coh_nibble_set(
            key, i, (uint32_t)(nibbles[i] <= '9' ? nibbles[i] - '0' : nibbles[i] - 'a' + 10));
    }
    assert_int_equal(coh_hex_prefix_put(out, key, 0, cnt, is_leaf), want_n);
    assert_memory_equal(out, want, want_n);
}

static void nibbles_documented_forms(void **state)
{
    (void)state;
    expect("12345", false, (uint8_t const[]){0x11, 0x23, 0x45}, 3);
    expect("012345", false, (uint8_t const[]){0x00, 0x01, 0x23, 0x45}, 4);
    expect("0f1cb8", true, (uint8_t const[]){0x20, 0x0f, 0x1c, 0xb8}, 4);
    expect("f1cb8", true, (uint8_t const[]){0x3f, 0x1c, 0xb8}, 3);
    expect("", true, (uint8_t const[]){0x20}, 1);
}

static void nibbles_read_back_from_any_part_of_a_key(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    uint8_t key[32];
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)coh_rng_next(&rng);
    }
    for (size_t from = 0; from <= 64; from++) {
        for (size_t to = from; to <= 64; to++) {
            uint8_t text[33];
            uint8_t path[34];
            size_t cnt   = 0;
            bool is_leaf = false;
            size_t n     = coh_hex_prefix_put(text, key, from, to, (from ^ to) % 3 == 0);
            assert_int_equal(n, (to - from) / 2 + 1);
            assert_int_equal(coh_hex_prefix_get(path, &cnt, &is_leaf, coh_bytes(text, n)), COH_OK);
            assert_int_equal(cnt, to - from);
            assert_int_equal(is_leaf, (from ^ to) % 3 == 0);
            for (size_t i = 0; i < cnt; i++) {
                assert_int_equal(coh_nibble(path, i), coh_nibble(key, from + i));
            }
        }
    }
}

static void nibbles_malformed_paths_are_refused(void **state)
{
    (void)state;
    uint8_t path[80];
    size_t cnt;
    bool is_leaf;
    uint8_t const flags[]     = {0x40, 0};
    uint8_t const padding[]   = {0x01, 0};
    uint8_t const padding2[]  = {0x2f, 0};
    uint8_t const endless[66] = {0};
    assert_int_equal(coh_hex_prefix_get(path, &cnt, &is_leaf, coh_bytes(NULL, 0)), COH_EMALFORMED);
    assert_int_equal(coh_hex_prefix_get(path, &cnt, &is_leaf, coh_bytes(flags, 2)), COH_EMALFORMED);
    assert_int_equal(coh_hex_prefix_get(path, &cnt, &is_leaf, coh_bytes(padding, 2)),
                     COH_EMALFORMED);
    assert_int_equal(coh_hex_prefix_get(path, &cnt, &is_leaf, coh_bytes(padding2, 2)),
                     COH_EMALFORMED);
    assert_int_equal(coh_hex_prefix_get(path, &cnt, &is_leaf, coh_bytes(endless, 66)),
                     COH_EMALFORMED);
}

static void nibbles_fork_is_the_first_difference(void **state)
{
    (void)state;
    uint8_t a[4] = {0x12, 0x34, 0x56, 0x78};
    for (size_t at = 0; at < 8; at++) {
        uint8_t b[4];
        memcpy(b, a, sizeof(b));
        coh_nibble_set(b, at, coh_nibble(b, at) ^ 5);
        for (size_t from = 0; from <= 8; from++) {
            for (size_t to = from; to <= 8; to++) {
                size_t want = at >= from && at < to ? at : to;
                assert_int_equal(coh_nibbles_fork(a, b, from, to), want);
            }
        }
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(nibbles_documented_forms),
        cmocka_unit_test(nibbles_read_back_from_any_part_of_a_key),
        cmocka_unit_test(nibbles_malformed_paths_are_refused),
        cmocka_unit_test(nibbles_fork_is_the_first_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
