/* All ranks send frames of random sizes to all others through the MPI transport, and check that
   each arrives whole, once and in order. Sizes from nothing to 2 MB: short frames that MPI sends at
   once, and long ones that it moves by rendezvous, so that short ones would overtake them if the
   transport let them.

   With --rung a token goes round before that, and each rank sleeps until the transport's descriptor wakes it: a ring that is
   missing, or comes before its frame can be found, ends the run. Then rank 0 sends each of the others more short frames than MPI has room for between two of their polls: what it holds
   back leaves later, and must be rung for then. (Through shared memory; TCP needs both ends to poll.)
   At the end ranks close in the middle of a frame.

   Run: mpirun -n 4 mpi_exchange [--rung] [SEED]      exit code 0: all is well; rank r sends by SEED + r */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/net/transport.h"

enum {
    FRAMES        = 400,
    BIG_BYTES     = 2000000,
    BACKLOG_BYTES = 32 << 20,
    WAIT_MS_MAX   = 10,
    LAPS          = 500,
    RING_MS_MAX   = 20000,
    FLOODS        = 20,
    FLOOD_FRAMES  = 200,
    FLOOD_BYTES   = 230,
    FLOOD_US      = 20000,
    LAST_BYTES    = 64 << 20
};

/* Frame i of a pair: number, sender, and bytes that follow from the seed. */
static void make_frame(coh_buf_t *out, uint64_t seed, uint32_t src, uint32_t dst, uint32_t i)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed ^ ((uint64_t)src << 48 | (uint64_t)dst << 32 | i));
    uint64_t dice = coh_rng_below(&rng, 100);
    size_t bound  = dice < 60 ? 300 : dice < 85 ? 70000 : dice < 97 ? 300000 : BIG_BYTES;
    size_t n      = coh_rng_below(&rng, bound);
    uint8_t *p    = coh_buf_extend(out, n);
    uint64_t word = coh_rng_next(&rng);
    for (size_t at = 0; at < n; at++) {
        p[at] = (uint8_t)((word >> (at % 57)) + at);
    }
}

/* What is known of another rank: its first frame is its seed. */
typedef struct {
    uint64_t seed;
    bool seeded;
    uint32_t received;
} peer_t;

typedef struct {
    coh_transport_t *tp;
    uint64_t seed;
    peer_t *peers;
    uint32_t total;
    uint64_t bytes;
    bool wrong;
} side_t;

static void check_frame(void *arg, uint32_t src, coh_bytes_t data)
{
    side_t *side = arg;
    peer_t *peer = &side->peers[src];
    if (!peer->seeded) {
        peer->seeded = true;
        side->wrong  = side->wrong || data.n != 8;
        peer->seed   = data.n == 8 ? coh_load_u64_le(data.p) : 0;
        return;
    }
    coh_buf_t want = COH_BUF_INIT;
    make_frame(&want, peer->seed, src, side->tp->rank, peer->received);
    if (!coh_bytes_eq(data, coh_buf_bytes(&want))) {
        (void)fprintf(
            stderr,
            "rank %u: frame %u of rank %u (seed %llu): %zu bytes, expected %zu, or other content\n",
            side->tp->rank,
            peer->received,
            src,
            (unsigned long long)peer->seed,
            data.n,
            want.n);
        side->wrong = true;
    }
    peer->received++;
    side->total++;
    side->bytes += data.n;
    coh_buf_free(&want);
}

static bool send_seed(side_t *side)
{
    coh_transport_t *tp = side->tp;
    coh_buf_t frame     = COH_BUF_INIT;
    bool ok             = true;
    for (uint32_t dst = 0; ok && dst < tp->rank_cnt; dst++) {
        if (dst != tp->rank) {
            coh_buf_put_u64_le(&frame, side->seed);
            ok = tp->ops->send(tp, dst, &frame) == COH_OK;
        }
    }
    coh_buf_free(&frame);
    return ok;
}

static bool exchange(side_t *side)
{
    coh_transport_t *tp = side->tp;
    coh_buf_t frame     = COH_BUF_INIT;
    bool ok             = send_seed(side);
    for (uint32_t i = 0; ok && i < FRAMES; i++) {
        for (uint32_t dst = 0; ok && dst < tp->rank_cnt; dst++) {
            if (dst == tp->rank) {
                continue;
            }
            make_frame(&frame, side->seed, tp->rank, dst, i);
            ok = tp->ops->send(tp, dst, &frame) == COH_OK && frame.n == 0;
        }
        do {
            ok = ok && tp->ops->poll(tp, check_frame, side) >= 0;
        } while (ok && tp->ops->backlog(tp) > BACKLOG_BYTES);
    }
    coh_buf_free(&frame);
    while (ok && (side->total < FRAMES * (tp->rank_cnt - 1) || tp->ops->backlog(tp) != 0)) {
        /* As a rank's loop does: sleep where there is a descriptor, but never for long. */
        struct pollfd fd = {.fd = tp->ops->wait_fd(tp), .events = POLLIN};
        ok               = (fd.fd < 0 || poll(&fd, 1, WAIT_MS_MAX) >= 0) &&
             tp->ops->poll(tp, check_frame, side) >= 0;
    }
    return ok && !side->wrong;
}

typedef struct {
    side_t *side;
    uint32_t taken;
    bool wrong;
} token_t;

/* Who has seen the token for the last time goes on to the exchange: its frames may come in between. */
static void take_token(void *arg, uint32_t src, coh_bytes_t data)
{
    token_t *token            = arg;
    coh_transport_t const *tp = token->side->tp;
    if ((src + 1) % tp->rank_cnt == tp->rank && token->taken < LAPS) {
        token->taken++;
        token->wrong = token->wrong || data.n != 1;
    } else {
        check_frame(token->side, src, data);
    }
}

/* Sleeps until the token has come for the lap-th time. */
static bool await_token(token_t *token, uint32_t lap)
{
    coh_transport_t *tp = token->side->tp;
    bool ok             = tp->ops->poll(tp, take_token, token) >= 0;
    while (ok && token->taken < lap) {
        struct pollfd fd = {.fd = tp->ops->wait_fd(tp), .events = POLLIN};
        ok               = (fd.fd < 0 || poll(&fd, 1, RING_MS_MAX) == 1) &&
             tp->ops->poll(tp, take_token, token) >= 0;
    }
    return ok && !token->wrong;
}

/* Rank 0 starts the token, and takes it back LAPS times. */
static bool pass_token(side_t *side)
{
    coh_transport_t *tp = side->tp;
    token_t token       = {.side = side};
    coh_buf_t frame     = COH_BUF_INIT;
    bool ok             = true;
    for (uint32_t lap = 1; ok && lap <= LAPS; lap++) {
        ok = tp->rank == 0 || await_token(&token, lap);
        if (ok) {
            coh_buf_put_u8(&frame, 1);
            ok = tp->ops->send(tp, (tp->rank + 1) % tp->rank_cnt, &frame) == COH_OK;
        }
        ok = ok && (tp->rank != 0 || await_token(&token, lap));
    }
    coh_buf_free(&frame);
    return ok;
}

typedef struct {
    side_t *side;
    uint32_t taken;
    bool *told; /* rank 0: by rank, that it has said that all has come */
    bool wrong;
} flood_t;

/* A frame of a flood, which tells its number, or the word that all have come. Who is done with the floods goes on to the exchange. */
static void take_flood(void *arg, uint32_t src, coh_bytes_t data)
{
    flood_t *flood = arg;
    bool is_floods = flood->side->tp->rank == 0 ? !flood->told[src] : src == 0;
    if (!is_floods) {
        check_frame(flood->side, src, data);
        return;
    }
    if (flood->side->tp->rank == 0) {
        flood->told[src] = true;
        flood->wrong     = flood->wrong || data.n != 1;
    } else {
        flood->wrong =
            flood->wrong || data.n != FLOOD_BYTES || coh_load_u32_le(data.p) != flood->taken;
    }
    flood->taken++;
}

static bool send_flood(coh_transport_t *tp)
{
    coh_buf_t frame = COH_BUF_INIT;
    bool ok         = true;
    for (uint32_t i = 0; ok && i < FLOOD_FRAMES; i++) {
        for (uint32_t dst = 1; ok && dst < tp->rank_cnt; dst++) {
            coh_store_u32_le(coh_buf_extend(&frame, FLOOD_BYTES), i);
            ok = tp->ops->send(tp, dst, &frame) == COH_OK;
        }
    }
    coh_buf_free(&frame);
    return ok;
}

/* Sleeps until cnt frames have come, but not for long where the transport must be polled. */
static bool await_flood(flood_t *flood, uint32_t cnt)
{
    coh_transport_t *tp = flood->side->tp;
    bool ok             = tp->ops->poll(tp, take_flood, flood) >= 0;
    while (ok && flood->taken < cnt) {
        bool polls       = tp->ops->must_poll(tp);
        struct pollfd fd = {.fd = tp->ops->wait_fd(tp), .events = POLLIN};
        int rung         = poll(&fd, 1, polls ? 1 : RING_MS_MAX);
        ok               = (rung == 1 || polls) && tp->ops->poll(tp, take_flood, flood) >= 0;
    }
    return ok && !flood->wrong;
}

/* Rank 0 floods the others, which look for nothing meanwhile, and each tells it when all has come. */
static bool flood_others(side_t *side)
{
    coh_transport_t *tp = side->tp;
    coh_buf_t frame     = COH_BUF_INIT;
    bool ok             = true;
    for (uint32_t i = 0; ok && i < FLOODS; i++) {
        flood_t flood = {.side = side, .told = coh_calloc(tp->rank_cnt, sizeof(*flood.told))};
        if (tp->rank == 0) {
            ok = send_flood(tp) && await_flood(&flood, tp->rank_cnt - 1);
        } else {
            (void)usleep(FLOOD_US); /* time for it to be sent; shorter or longer is right, too */
            ok = await_flood(&flood, FLOOD_FRAMES);
            coh_buf_put_u8(&frame, 1);
            ok = ok && tp->ops->send(tp, 0, &frame) == COH_OK;
        }
        free(flood.told);
    }
    coh_buf_free(&frame);
    return ok;
}

static void count_frame(void *arg, uint32_t src, coh_bytes_t data)
{
    (void)src;
    (void)data;
    ++*(uint32_t *)arg;
}

/* Rank 0 sends all others a frame so long that it takes a while. They close as soon as it has begun to arrive, which is no reason to end the job. */
static bool begin_last_frame(coh_transport_t *tp)
{
    coh_buf_t frame = COH_BUF_INIT;
    uint32_t taken  = 0;
    bool ok         = true;
    for (uint32_t dst = 1; ok && tp->rank == 0 && dst < tp->rank_cnt; dst++) {
        memset(coh_buf_extend(&frame, LAST_BYTES), 1, LAST_BYTES);
        ok = tp->ops->send(tp, dst, &frame) == COH_OK;
    }
    /* Without a descriptor to wait on, a receive is under way. */
    while (ok && tp->rank != 0 && taken == 0 && tp->ops->wait_fd(tp) >= 0) {
        ok = tp->ops->poll(tp, count_frame, &taken) >= 0;
    }
    coh_buf_free(&frame);
    return ok;
}

int main(int argc, char **argv)
{
    coh_transport_t *tp = NULL;
    if (!coh_transport_mpi_is_job() || coh_transport_mpi_open(&tp) != COH_OK) {
        (void)fprintf(stderr, "start me with mpirun\n");
        return 1;
    }
    bool rung = argc > 1 && strcmp(argv[1], "--rung") == 0;
    if (rung) {
        argc--;
        argv++;
    }
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
    side_t side   = {.tp = tp, .seed = seed + tp->rank};
    side.peers    = coh_calloc(tp->rank_cnt, sizeof(*side.peers));
    (void)fprintf(stderr, "rank %u: seed %llu\n", tp->rank, (unsigned long long)side.seed);
    if (rung && !pass_token(&side)) {
        (void)fprintf(stderr, "rank %u: the token was lost\n", tp->rank);
        coh_transport_mpi_abort(1);
    }
    if (rung && !flood_others(&side)) {
        (void)fprintf(stderr, "rank %u: a flood did not arrive\n", tp->rank);
        coh_transport_mpi_abort(1);
    }
    uint64_t start_us = coh_clock_mono_us();
    if (!exchange(&side)) {
        (void)fprintf(stderr, "rank %u: failed after %u frames\n", tp->rank, side.total);
        coh_transport_mpi_abort(1);
    }
    if (tp->rank == 0) {
        (void)fprintf(stderr,
                      "rank 0 received %u frames, %llu bytes in %llu us\n",
                      side.total,
                      (unsigned long long)side.bytes,
                      (unsigned long long)(coh_clock_mono_us() - start_us));
    }
    free(side.peers);
    if (!begin_last_frame(tp)) {
        coh_transport_mpi_abort(1);
    }
    tp->ops->close(tp);
    return 0;
}
