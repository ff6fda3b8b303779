/* The in-process link: order and content under threads, waking, accounting, closing. The bells between processes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/net/bell.h"
#include "common/net/transport.h"
#include "tests/support/seed.h"

enum { RANKS = 4, FRAMES = 2000, FRAME_BYTES_MAX = 3000 };

/* Frame i from src to dst: its length and bytes follow from the three numbers and the seed. */
static void make_frame(coh_buf_t *out, uint64_t seed, uint32_t src, uint32_t dst, uint32_t i)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed ^ ((uint64_t)src << 48 | (uint64_t)dst << 32 | i));
    size_t n     = coh_rng_below(&rng, FRAME_BYTES_MAX);
    uint8_t *p   = coh_buf_extend(out, n);
    uint8_t byte = (uint8_t)coh_rng_next(&rng);
    for (size_t at = 0; at < n; at++) {
        p[at] = (uint8_t)(byte + at * 7);
    }
}

typedef struct {
    coh_transport_t *tp;
    uint64_t seed;
    uint32_t received[RANKS];
    uint32_t total;
    uint32_t wrong;
} side_t;

static void check_frame(void *arg, uint32_t src, coh_bytes_t data)
{
    side_t *side   = arg;
    coh_buf_t want = COH_BUF_INIT;
    make_frame(&want, side->seed, src, side->tp->rank, side->received[src]++);
    side->wrong += coh_bytes_eq(data, coh_buf_bytes(&want)) ? 0 : 1;
    side->total++;
    coh_buf_free(&want);
}

static void *exchange(void *arg)
{
    side_t *side        = arg;
    coh_transport_t *tp = side->tp;
    coh_buf_t frame     = COH_BUF_INIT;
    for (uint32_t i = 0; i < FRAMES; i++) {
        for (uint32_t dst = 0; dst < RANKS; dst++) {
            if (dst != tp->rank) {
                make_frame(&frame, side->seed, tp->rank, dst, i);
                side->wrong += tp->ops->send(tp, dst, &frame) == COH_OK ? 0 : 1;
                side->wrong += frame.n == 0 ? 0 : 1;
            }
        }
        side->wrong += tp->ops->poll(tp, check_frame, side) >= 0 ? 0 : 1;
    }
    coh_buf_free(&frame);
    while (side->total < FRAMES * (RANKS - 1)) {
        struct pollfd fd = {.fd = tp->ops->wait_fd(tp), .events = POLLIN};
        (void)poll(&fd, 1, -1); /* a wake-up that gets lost hangs the test */
        (void)tp->ops->poll(tp, check_frame, side);
    }
    return NULL;
}

static void check_order_and_content(uint64_t delay_us)
{
    uint64_t seed = coh_test_seed();
    coh_transport_t *ends[RANKS];
    assert_int_equal(coh_transport_local_new(ends, RANKS), COH_OK);
    if (delay_us != 0) {
        coh_transport_delay(ends, RANKS, delay_us);
    }
    side_t sides[RANKS];
    pthread_t threads[RANKS];
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        assert_int_equal(ends[rank]->rank, rank);
        assert_int_equal(ends[rank]->rank_cnt, RANKS);
        sides[rank] = (side_t){.tp = ends[rank], .seed = seed};
        assert_int_equal(pthread_create(&threads[rank], NULL, exchange, &sides[rank]), 0);
    }
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        assert_int_equal(pthread_join(threads[rank], NULL), 0);
    }
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        assert_int_equal(sides[rank].wrong, 0);
        assert_int_equal(ends[rank]->ops->backlog(ends[rank]), 0);
        ends[rank]->ops->close(ends[rank]);
    }
}

static void transport_local_keeps_order_and_content(void **state)
{
    (void)state;
    check_order_and_content(0);
}

static void transport_delay_keeps_order_and_content(void **state)
{
    (void)state;
    check_order_and_content(300);
}

static bool readable(coh_transport_t *tp)
{
    struct pollfd fd = {.fd = tp->ops->wait_fd(tp), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static void count_bytes(void *arg, uint32_t src, coh_bytes_t data)
{
    assert_int_equal(src, 0);
    *(size_t *)arg += data.n;
}

static coh_err_t send_bytes(coh_transport_t *from, uint32_t dst, size_t n)
{
    coh_buf_t frame = COH_BUF_INIT;
    memset(coh_buf_extend(&frame, n), 0x5a, n);
    coh_err_t rc = from->ops->send(from, dst, &frame);
    assert_int_equal(frame.n, rc == COH_OK ? 0 : n);
    coh_buf_free(&frame);
    return rc;
}

static void transport_local_wakes_and_accounts(void **state)
{
    (void)state;
    coh_transport_t *ends[2];
    assert_int_equal(coh_transport_local_new(ends, 2), COH_OK);
    size_t bytes = 0;
    assert_false(readable(ends[1]));
    assert_int_equal(ends[1]->ops->poll(ends[1], count_bytes, &bytes), 0);
    assert_int_equal(send_bytes(ends[0], 1, 100), COH_OK);
    assert_int_equal(send_bytes(ends[0], 1, 23), COH_OK);
    assert_int_equal(ends[0]->ops->backlog(ends[0]), 123);
    assert_true(readable(ends[1]));
    assert_false(readable(ends[0]));
    assert_int_equal(ends[1]->ops->poll(ends[1], count_bytes, &bytes), 2);
    assert_int_equal(bytes, 123);
    assert_int_equal(ends[0]->ops->backlog(ends[0]), 0);
    assert_false(readable(ends[1]));
    assert_int_equal(send_bytes(ends[0], 2, 1), COH_EINVAL);
    /* Frames still in an inbox go with their reader; after that sending is refused. */
    assert_int_equal(send_bytes(ends[0], 1, 50), COH_OK);
    ends[1]->ops->close(ends[1]);
    assert_int_equal(ends[0]->ops->backlog(ends[0]), 0);
    assert_int_equal(send_bytes(ends[0], 1, 50), COH_ECLOSED);
    ends[0]->ops->close(ends[0]);
}

static bool rings(coh_bell_t const *bell)
{
    struct pollfd fd = {.fd = coh_bell_fd(bell), .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static void bell_rings_until_quiet(void **state)
{
    (void)state;
    coh_bell_t *bells[2] = {coh_bell_new(2), coh_bell_new(2)};
    uint8_t names[2][COH_BELL_NAME_SZ];
    for (uint32_t i = 0; i < 2; i++) {
        assert_non_null(bells[i]);
        coh_bell_name(bells[i], names[i]);
    }
    assert_memory_not_equal(names[0], names[1], COH_BELL_NAME_SZ);
    assert_false(rings(bells[1]));
    assert_true(coh_bell_meet(bells[0], 1, names[1]));
    assert_true(rings(bells[1])); /* it was tried */
    coh_bell_quiet(bells[1]);
    assert_false(rings(bells[1]));
    coh_bell_ring(bells[0], 1);
    assert_true(rings(bells[1]));
    assert_false(rings(bells[0]));
    coh_bell_quiet(bells[1]);
    assert_false(rings(bells[1]));
    /* Far more often than anybody listens: never blocks, and rings on. */
    for (int i = 0; i < 10000; i++) {
        coh_bell_ring(bells[0], 1);
    }
    assert_true(rings(bells[1]));
    for (int i = 0; i < 10000 && rings(bells[1]); i++) {
        coh_bell_quiet(bells[1]);
    }
    assert_false(rings(bells[1]));
    /* One that is gone cannot be met; to ring it does no harm. */
    coh_bell_free(bells[1]);
    coh_bell_ring(bells[0], 1);
    assert_false(coh_bell_meet(bells[0], 1, names[1]));
    coh_bell_free(bells[0]);
}

enum { DEAF = 300 };

/* Rings that many do not listen to take nothing from who does. */
static void bell_of_one_rings_while_others_are_deaf(void **state)
{
    (void)state;
    coh_bell_t *bells[DEAF + 1];
    uint8_t name[COH_BELL_NAME_SZ];
    coh_bell_t *ringer = coh_bell_new(DEAF + 1);
    assert_non_null(ringer);
    for (uint32_t i = 0; i <= DEAF; i++) {
        bells[i] = coh_bell_new(1);
        assert_non_null(bells[i]);
        coh_bell_name(bells[i], name);
        assert_true(coh_bell_meet(ringer, i, name));
    }
    coh_bell_quiet(bells[DEAF]);
    for (uint32_t i = 0; i < DEAF; i++) {
        for (int k = 0; k < 1000; k++) {
            coh_bell_ring(ringer, i);
        }
    }
    coh_bell_ring(ringer, DEAF);
    assert_true(rings(bells[DEAF]));
    for (uint32_t i = 0; i <= DEAF; i++) {
        coh_bell_free(bells[i]);
    }
    coh_bell_free(ringer);
}

/* A name holds so much chance that no stranger has it, on this machine or on another one. */
static void bell_has_a_name_of_its_own(void **state)
{
    (void)state;
    uint8_t first[COH_BELL_NAME_SZ];
    uint32_t same[COH_BELL_NAME_SZ] = {0};
    for (int i = 0; i < 200; i++) {
        coh_bell_t *bell = coh_bell_new(1);
        uint8_t name[COH_BELL_NAME_SZ];
        assert_non_null(bell);
        coh_bell_name(bell, name);
        if (i == 0) {
            memcpy(first, name, sizeof(first));
        }
        for (size_t b = 0; b < sizeof(name); b++) {
            same[b] += name[b] == first[b];
        }
        coh_bell_free(bell);
    }
    uint32_t random_n = 0;
    for (size_t b = 0; b < sizeof(same) / sizeof(same[0]); b++) {
        random_n += same[b] < 20; /* of 200, one or two are expected */
    }
    assert_true(random_n >= 12);
}

static void transport_delay_takes_its_time(void **state)
{
    (void)state;
    enum { DELAY_US = 2000 };
    coh_transport_t *ends[2];
    assert_int_equal(coh_transport_local_new(ends, 2), COH_OK);
    coh_transport_delay(ends, 2, DELAY_US);
    assert_int_equal(ends[1]->rank, 1);
    assert_int_equal(ends[1]->rank_cnt, 2);
    size_t n = 0;
    for (uint32_t i = 0; i < 3; i++) {
        n                = 0;
        uint64_t sent_us = coh_clock_mono_us();
        assert_int_equal(send_bytes(ends[0], 1, 7), COH_OK);
        while (n == 0) {
            struct pollfd fd = {.fd = ends[1]->ops->wait_fd(ends[1]), .events = POLLIN};
            assert_int_equal(poll(&fd, 1, -1), 1);
            (void)ends[1]->ops->poll(ends[1], count_bytes, &n);
        }
        assert_true(coh_clock_mono_us() - sent_us >= DELAY_US);
        assert_int_equal(n, 7);
    }
    assert_int_equal(ends[0]->ops->backlog(ends[0]), 0);
    assert_int_equal(send_bytes(ends[0], 2, 1), COH_EINVAL);
    /* what is under way when all close is dropped; who has closed is sent to in vain */
    assert_int_equal(send_bytes(ends[0], 1, 5), COH_OK);
    ends[1]->ops->close(ends[1]);
    assert_int_equal(send_bytes(ends[0], 1, 6), COH_OK);
    ends[0]->ops->close(ends[0]);
}

static int descriptor_cnt(void)
{
    int cnt = 0;
    for (int i = 0; i < 1024; i++) {
        cnt += fcntl(i, F_GETFD) != -1;
    }
    return cnt;
}

static void bell_leaves_no_descriptor_behind(void **state)
{
    (void)state;
    int before       = descriptor_cnt();
    coh_bell_t *bell = coh_bell_new(2);
    uint8_t name[COH_BELL_NAME_SZ];
    assert_non_null(bell);
    coh_bell_name(bell, name);
    assert_true(coh_bell_meet(bell, 0, name));
    assert_true(coh_bell_meet(bell, 0, name)); /* once more */
    assert_int_equal(descriptor_cnt(), before + 2);
    name[3] ^= 1;
    assert_false(coh_bell_meet(bell, 1, name));
    coh_bell_free(bell);
    assert_int_equal(descriptor_cnt(), before);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(transport_local_keeps_order_and_content),
        cmocka_unit_test(transport_local_wakes_and_accounts),
        cmocka_unit_test(transport_delay_keeps_order_and_content),
        cmocka_unit_test(transport_delay_takes_its_time),
        cmocka_unit_test(bell_rings_until_quiet),
        cmocka_unit_test(bell_of_one_rings_while_others_are_deaf),
        cmocka_unit_test(bell_has_a_name_of_its_own),
        cmocka_unit_test(bell_leaves_no_descriptor_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
