/* Ranks that prove the job key to each other, and strangers that try without: no key, another key, proofs and frames of another run, of another rank, sent back, altered,
   out of turn; and bytes at random. What a stranger can make is made here from the rules in guard.h, with OpenSSL's one-shot HMAC. */
#include "common/net/guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/rng.h"

#define KEY "0123456789abcdef0123456789abcdef"

static coh_hash_t const genesis = {{1, 2, 3}};

static coh_guard_t *guard_new(uint32_t rank, char const *key)
{
    return coh_guard_new(&(coh_guard_options_t){.rank     = rank,
                                                .rank_cnt = 3,
                                                .key      = coh_bytes(key, strlen(key)),
                                                .build    = "1.2.3",
                                                .genesis  = &genesis});
}

/* The guard's next frame to peer. */
static coh_buf_t next(coh_guard_t *guard, uint32_t peer)
{
    coh_buf_t frame = COH_BUF_INIT;
    assert_true(coh_guard_next(guard, peer, &frame));
    return frame;
}

static coh_guard_verdict_t take(coh_guard_t *guard, uint32_t peer, coh_buf_t const *frame)
{
    coh_bytes_t bytes = coh_buf_bytes(frame);
    return coh_guard_take(guard, peer, &bytes);
}

/* Carries all that is due between ranks a and b until nothing is. */
static void shake(coh_guard_t *a, uint32_t a_rank, coh_guard_t *b, uint32_t b_rank)
{
    for (int i = 0; i < 4; i++) {
        coh_buf_t frame = COH_BUF_INIT;
        while (coh_guard_next(a, b_rank, &frame)) {
            assert_int_equal(take(b, a_rank, &frame), COH_GUARD_OWN);
            coh_buf_clear(&frame);
        }
        while (coh_guard_next(b, a_rank, &frame)) {
            assert_int_equal(take(a, b_rank, &frame), COH_GUARD_OWN);
            coh_buf_clear(&frame);
        }
        coh_buf_free(&frame);
    }
}

static coh_buf_t seal(coh_guard_t *guard, uint32_t peer, char const *text)
{
    coh_buf_t frame = COH_BUF_INIT;
    coh_buf_put(&frame, text, strlen(text));
    coh_guard_seal(guard, peer, &frame);
    return frame;
}

static void guard_lets_ranks_of_the_job_talk(void **state)
{
    (void)state;
    coh_guard_t *g[3] = {guard_new(0, KEY), guard_new(1, KEY), guard_new(2, KEY)};
    for (uint32_t a = 0; a < 3; a++) {
        for (uint32_t b = a + 1; b < 3; b++) {
            assert_false(coh_guard_is_open(g[a], b));
            shake(g[a], a, g[b], b);
            assert_true(coh_guard_is_open(g[a], b) && coh_guard_is_open(g[b], a));
        }
    }
    static char const *const texts[] = {"one", "", "a longer one", "\xc1\x01 like a challenge"};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COH_CNT(texts); i++) {
            coh_buf_t frame   = seal(g[2], 1, texts[i]);
            coh_bytes_t bytes = coh_buf_bytes(&frame);
            assert_int_equal(frame.n, strlen(texts[i]) + COH_GUARD_TAG_SZ);
            assert_int_equal(coh_guard_take(g[1], 2, &bytes), COH_GUARD_PASS);
            assert_int_equal(bytes.n, strlen(texts[i]));
            assert_memory_equal(bytes.p, texts[i], bytes.n);
            coh_buf_free(&frame);
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        coh_guard_free(g[i]);
    }
}

static void guard_without_key_adds_nothing(void **state)
{
    (void)state;
    coh_guard_t *a  = guard_new(0, "");
    coh_guard_t *b  = guard_new(1, "");
    coh_guard_t *k  = guard_new(2, KEY);
    coh_buf_t frame = COH_BUF_INIT;
    assert_false(coh_guard_next(a, 1, &frame));
    assert_true(coh_guard_is_open(a, 1));
    frame = seal(a, 1, "text");
    assert_int_equal(frame.n, 4);
    assert_int_equal(take(b, 0, &frame), COH_GUARD_PASS);
    assert_int_equal(take(k, 0, &frame), COH_GUARD_BARE); /* one has a key, the other has none */
    coh_buf_clear(&frame);
    assert_int_equal(take(b, 0, &frame), COH_GUARD_PASS); /* a farewell */
    assert_int_equal(take(k, 1, &frame), COH_GUARD_BARE);
    coh_buf_free(&frame);
    frame = next(k, 1);
    assert_int_equal(take(b, 2, &frame), COH_GUARD_ASKED);
    coh_buf_free(&frame);
    coh_guard_free(a);
    coh_guard_free(b);
    coh_guard_free(k);
}

static void guard_refuses_another_key(void **state)
{
    (void)state;
    coh_guard_t *a = guard_new(0, KEY);
    coh_guard_t *b = guard_new(1, "0123456789abcdef0123456789abcdeF");
    coh_buf_t ca = next(a, 1), cb = next(b, 0);
    assert_int_equal(take(a, 1, &cb), COH_GUARD_OWN);
    assert_int_equal(take(b, 0, &ca), COH_GUARD_OWN);
    coh_buf_t pa = next(a, 1), pb = next(b, 0);
    assert_int_equal(take(a, 1, &pb), COH_GUARD_WRONG);
    assert_int_equal(take(b, 0, &pa), COH_GUARD_WRONG);
    assert_false(coh_guard_is_open(a, 1) || coh_guard_is_open(b, 0));
    coh_buf_free(&ca);
    coh_buf_free(&cb);
    coh_buf_free(&pa);
    coh_buf_free(&pb);
    coh_guard_free(a);
    coh_guard_free(b);
}

/* The rules of guard.h, done by hand: a proof that is right passes, and one that binds anything else does not. */
static void guard_follows_its_rules(void **state)
{
    (void)state;
    for (int wrong = -1; wrong < 9; wrong++) {
        coh_guard_t *a = guard_new(0, KEY);
        coh_buf_t ca   = next(a, 1);
        assert_int_equal(ca.n, 80 + 5);
        assert_memory_equal(
            ca.p, "\xc1\x01\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00", 16);
        assert_memory_equal(ca.p + 16, genesis.b, 32);
        assert_memory_equal(ca.p + 80, "1.2.3", 5);
        uint8_t cb[84] = {0xc1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0};
        memset(cb + 48, 0x77, 32);
        memcpy(cb + 80, "9.9", 3);
        coh_buf_t its = COH_BUF_INIT;
        coh_buf_put(&its, cb, 83);
        assert_int_equal(take(a, 1, &its), COH_GUARD_OWN);
        /* what it should have signed, with one octet of it different */
        uint8_t text[9 + 83 + 85] = {'P', 83, 0, 0, 0, 85, 0, 0, 0};
        memcpy(text + 9, cb, 83);
        memcpy(text + 92, ca.p, 85);
        static size_t const places[] = {
            0, 9 + 4, 9 + 8, 9 + 16, 9 + 48, 9 + 80, 92 + 48, 92 + 16, 92 + 80};
        if (wrong >= 0) {
            text[places[wrong]] ^= 1;
        }
        uint8_t proof[34] = {0xc1, 2};
        unsigned n        = 0;
        assert_non_null(HMAC(EVP_sha256(), KEY, 32, text, sizeof(text), proof + 2, &n));
        coh_buf_t frame = COH_BUF_INIT;
        coh_buf_put(&frame, proof, sizeof(proof));
        assert_int_equal(take(a, 1, &frame), wrong < 0 ? COH_GUARD_OWN : COH_GUARD_WRONG);
        coh_buf_free(&frame);
        coh_buf_free(&its);
        coh_buf_free(&ca);
        coh_guard_free(a);
    }
}

static void guard_refuses_what_was_said_elsewhere(void **state)
{
    (void)state;
    /* An earlier run of ranks 0 and 1, of which somebody has kept all. */
    coh_guard_t *a = guard_new(0, KEY);
    coh_guard_t *b = guard_new(1, KEY);
    coh_buf_t ca = next(a, 1), cb = next(b, 0);
    assert_int_equal(take(a, 1, &cb), COH_GUARD_OWN);
    assert_int_equal(take(b, 0, &ca), COH_GUARD_OWN);
    coh_buf_t pa = next(a, 1), pb = next(b, 0);
    assert_int_equal(take(a, 1, &pb), COH_GUARD_OWN);
    assert_int_equal(take(b, 0, &pa), COH_GUARD_OWN);
    coh_buf_t said = seal(b, 0, "said");

    /* In another run it is worth nothing. */
    coh_guard_t *again = guard_new(0, KEY);
    coh_buf_t c        = next(again, 1);
    assert_int_equal(take(again, 1, &cb), COH_GUARD_OWN);
    assert_int_equal(take(again, 1, &pb), COH_GUARD_WRONG);
    coh_guard_free(again);
    coh_buf_free(&c);
    /* Nor in the name of another rank, nor towards one. */
    again = guard_new(0, KEY);
    assert_int_equal(take(again, 2, &cb), COH_GUARD_BAD);
    coh_guard_free(again);
    again = guard_new(2, KEY);
    assert_int_equal(take(again, 1, &cb), COH_GUARD_BAD);
    coh_guard_free(again);
    /* Nor sent back to where it came from. */
    again          = guard_new(0, KEY);
    coh_buf_t mine = next(again, 1);
    assert_int_equal(take(again, 1, &mine), COH_GUARD_BAD);
    coh_buf_free(&mine);
    coh_guard_free(again);
    /* Frames before proof, proofs before a challenge, challenges twice. */
    again = guard_new(0, KEY);
    assert_int_equal(take(again, 1, &said), COH_GUARD_BARE);
    assert_int_equal(take(again, 1, &pb), COH_GUARD_BAD);
    assert_int_equal(take(again, 1, &cb), COH_GUARD_OWN);
    assert_int_equal(take(again, 1, &cb), COH_GUARD_BAD);
    assert_int_equal(take(again, 1, &said), COH_GUARD_BARE);
    coh_guard_free(again);

    /* Within the run: altered, repeated, left out, of the other direction, cut. */
    coh_buf_t second = seal(b, 0, "second"), third = seal(b, 0, "third"),
              other = seal(a, 1, "said");
    said.p[0] ^= 1;
    assert_int_equal(take(a, 1, &said), COH_GUARD_TAG);
    assert_int_equal(take(a, 1, &second), COH_GUARD_PASS);
    assert_int_equal(take(a, 1, &second), COH_GUARD_TAG);
    coh_guard_free(a);
    coh_guard_free(b);
    coh_buf_t *frames[] = {&ca, &cb, &pa, &pb, &said, &second, &third, &other};
    for (size_t i = 0; i < COH_CNT(frames); i++) {
        coh_buf_free(frames[i]);
    }
    for (int what = 0; what < 5; what++) {
        a = guard_new(0, KEY);
        b = guard_new(1, KEY);
        shake(a, 0, b, 1);
        coh_buf_t one = seal(b, 0, "one"), two = seal(b, 0, "two"), back = seal(a, 1, "one");
        one.n -= what == 2 ? 1 : what == 3 ? one.n : 0;
        coh_buf_t *sent = what == 0 ? &two : what == 1 ? &back : &one;
        assert_int_equal(take(a, 1, sent), what == 4 ? COH_GUARD_PASS : COH_GUARD_TAG);
        coh_buf_free(&one);
        coh_buf_free(&two);
        coh_buf_free(&back);
        coh_guard_free(a);
        coh_guard_free(b);
    }
}

/* Bytes at random, and right frames with a bit changed, in every state: nothing of it passes. */
static void guard_lets_nothing_else_through(void **state)
{
    (void)state;
    coh_rng_t rng;
    uint64_t seed = coh_clock_mono_us();
    printf("seed %llu\n", (unsigned long long)seed);
    coh_rng_seed(&rng, seed);
    for (int i = 0; i < 30000; i++) {
        coh_guard_t *a  = guard_new(0, KEY);
        coh_guard_t *b  = guard_new(1, KEY);
        uint64_t stage  = coh_rng_below(&rng, 3);
        coh_buf_t frame = next(b, 0), mine = next(a, 1);
        if (stage > 0) {
            assert_int_equal(take(a, 1, &frame), COH_GUARD_OWN);
            assert_int_equal(take(b, 0, &mine), COH_GUARD_OWN);
            coh_buf_free(&frame);
            frame = next(b, 0);
        }
        if (stage > 1) {
            assert_int_equal(take(a, 1, &frame), COH_GUARD_OWN);
            coh_buf_free(&mine);
            mine = next(a, 1);
            assert_int_equal(take(b, 0, &mine), COH_GUARD_OWN);
            coh_buf_free(&frame);
            frame = seal(b, 0, "some message");
        }
        bool noise = coh_rng_below(&rng, 2) == 0;
        if (noise) {
            frame.n = coh_rng_below(&rng, frame.n + 1);
            for (size_t k = coh_rng_below(&rng, 3); k < frame.n; k++) {
                frame.p[k] = (uint8_t)coh_rng_next(&rng);
            }
        } else {
            frame.p[coh_rng_below(&rng, frame.n)] ^= (uint8_t)(1 << coh_rng_below(&rng, 8));
        }
        coh_guard_verdict_t verdict = take(a, 1, &frame);
        assert_int_not_equal(verdict, COH_GUARD_PASS);
        /* A challenge may carry another nonce, genesis or build, which its sender could have chosen, too: the proof decides. */
        assert_true(verdict != COH_GUARD_OWN || stage == 0);
        if (stage < 2) {
            assert_false(coh_guard_is_open(a, 1));
        }
        coh_buf_free(&frame);
        coh_buf_free(&mine);
        coh_guard_free(a);
        coh_guard_free(b);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(guard_lets_ranks_of_the_job_talk),
        cmocka_unit_test(guard_without_key_adds_nothing),
        cmocka_unit_test(guard_refuses_another_key),
        cmocka_unit_test(guard_follows_its_rules),
        cmocka_unit_test(guard_refuses_what_was_said_elsewhere),
        cmocka_unit_test(guard_lets_nothing_else_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
