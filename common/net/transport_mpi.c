/* Frames over Open MPI. Sole includer of mpi.h.

   One lane: one communicator, one tag, so that MPI's non-overtaking rule gives the order of each
   pair. Arriving frames are matched by MPI_Improbe, which tells the size, and received into a
   buffer of the pool in the background: MPI moves all but the shortest by rendezvous, where a
   blocking receive would spin until the sender, which may be asleep, polls again. A frame is handed
   over when all earlier ones of its sender have been.

   Where all ranks share a machine, a sender rings the receiver's bell, and who has nothing to do
   sleeps until then. With a receive under way that is not finished (the sender has to move bytes
   too) a rank polls, and rings that sender.

   A frame that was rung for need not have left: where the receiver's queue is full, or there is no
   fragment left for it, Open MPI keeps it, however short it is, and tries again in later calls. It
   does not say when it has gone. So as long as sends are under way their sender polls, and
   rings their receivers again each time. On several machines all poll. */
#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/net/bell.h"
#include "common/net/transport.h"
#include "common/net/transport_private.h"
#include "common/obs/log.h"

#define LANE_TAG 1
/* Receives in the background: beyond either bound no further frame is matched. */
#define RECV_CNT_MAX   64
#define RECV_BYTES_MAX ((size_t)64 << 20)
/* Frames taken by one poll, so that it returns to the loop's other duties. */
#define POLL_CNT_MAX 64
/* How long close waits for frames that the other ranks have not taken yet, and for those of theirs that have begun. */
#define CLOSE_US_MAX UINT64_C(5000000)
/* After this a rank that wants the job to end dies by itself. */
#define ABORT_SECONDS_MAX 5u

typedef struct {
    coh_buf_t frame;
    uint32_t src;
} recv_t;

typedef struct {
    coh_buf_t frame;
    uint32_t dst;
} send_t;

typedef struct {
    coh_transport_t base;
    coh_frame_pool_t pool;
    /* Sends under way: requests[i] belongs to sends[i]. */
    MPI_Request *send_requests;
    send_t *sends;
    int *done; /* scratch of reap */
    size_t send_cnt;
    size_t send_cap;
    size_t send_bytes;
    /* Receives under way, in the order matched. */
    recv_t recvs[RECV_CNT_MAX];
    MPI_Request recv_requests[RECV_CNT_MAX];
    size_t recv_cnt;
    size_t recv_bytes;
    coh_bell_t *bell; /* NULL: no bells between these ranks */
    bool *to_ring;    /* by rank; scratch of ring_all, all false otherwise */
} mpi_t;

static coh_err_t mpi_err(int rc, char const *what)
{
    if (COH_LIKELY(rc == MPI_SUCCESS)) {
        return COH_OK;
    }
    char text[MPI_MAX_ERROR_STRING] = "";
    int len                         = 0;
    (void)MPI_Error_string(rc, text, &len);
    COH_LOG_ERR("mpi", "call failed", "call=%s text=\"%s\"", what, text);
    return COH_EIO;
}

#define MPI_TRY(function, ...) COH_TRY(mpi_err(function(__VA_ARGS__), #function))

static coh_err_t mpi_send(coh_transport_t *tp, uint32_t dst, coh_buf_t *frame)
{
    mpi_t *mpi = (mpi_t *)tp;
    if (dst >= tp->rank_cnt || dst == tp->rank) {
        return COH_EINVAL;
    }
    if (frame->n > COH_FRAME_MAX) {
        return COH_ETOOBIG;
    }
    if (mpi->send_cnt == mpi->send_cap) {
        mpi->send_cap = mpi->send_cap == 0 ? 64 : mpi->send_cap * 2;
        mpi->send_requests =
            coh_realloc(mpi->send_requests, mpi->send_cap * sizeof(*mpi->send_requests));
        mpi->sends = coh_realloc(mpi->sends, mpi->send_cap * sizeof(*mpi->sends));
        mpi->done  = coh_realloc(mpi->done, mpi->send_cap * sizeof(*mpi->done));
    }
    MPI_TRY(MPI_Isend,
            frame->p,
            (int)frame->n,
            MPI_BYTE,
            (int)dst,
            LANE_TAG,
            MPI_COMM_WORLD,
            &mpi->send_requests[mpi->send_cnt]);
    mpi->sends[mpi->send_cnt++] = (send_t){.frame = *frame, .dst = dst};
    mpi->send_bytes += frame->n;
    *frame = coh_frame_pool_get(&mpi->pool, 0);
    if (mpi->bell != NULL) {
        coh_bell_ring(mpi->bell, dst);
    }
    return COH_OK;
}

/* Lets go of the buffers of finished sends. */
static coh_err_t reap_sends(mpi_t *mpi)
{
    if (mpi->send_cnt == 0) {
        return COH_OK;
    }
    int done_cnt = 0;
    MPI_TRY(MPI_Testsome,
            (int)mpi->send_cnt,
            mpi->send_requests,
            &done_cnt,
            mpi->done,
            MPI_STATUSES_IGNORE);
    if (done_cnt <= 0) { /* MPI_UNDEFINED is negative: none was active */
        return COH_OK;
    }
    for (int i = 0; i < done_cnt; i++) {
        coh_buf_t *frame = &mpi->sends[mpi->done[i]].frame;
        mpi->send_bytes -= frame->n;
        coh_frame_pool_put(&mpi->pool, frame);
    }
    size_t kept = 0;
    for (size_t i = 0; i < mpi->send_cnt; i++) {
        if (mpi->send_requests[i] != MPI_REQUEST_NULL) {
            mpi->send_requests[kept] = mpi->send_requests[i];
            mpi->sends[kept++]       = mpi->sends[i];
        }
    }
    mpi->send_cnt = kept;
    return COH_OK;
}

/* Hands over the finished receives that no unfinished one of the same source precedes. */
static coh_err_t finish_recvs(mpi_t *mpi, coh_frame_fn *fn, void *arg, int *cnt)
{
    if (mpi->recv_cnt == 0) {
        return COH_OK;
    }
    coh_err_t rc = COH_OK;
    size_t kept  = 0;
    for (size_t i = 0; i < mpi->recv_cnt; i++) {
        recv_t *recv = &mpi->recvs[i];
        bool first   = true;
        for (size_t j = 0; j < kept && first; j++) {
            first = mpi->recvs[j].src != recv->src;
        }
        int done = 0;
        if (first && rc == COH_OK) {
            rc = mpi_err(MPI_Test(&mpi->recv_requests[i], &done, MPI_STATUS_IGNORE), "MPI_Test");
        }
        if (done) {
            mpi->recv_bytes -= recv->frame.n;
            (*cnt)++;
            fn(arg, recv->src, coh_buf_bytes(&recv->frame));
            coh_frame_pool_put(&mpi->pool, &recv->frame);
        } else {
            mpi->recv_requests[kept] = mpi->recv_requests[i];
            mpi->recvs[kept++]       = *recv;
        }
    }
    mpi->recv_cnt = kept;
    return rc;
}

/* Matches one arrived frame, if there is one, and starts to receive it. */
static coh_err_t match(mpi_t *mpi, bool *found)
{
    int flag = 0;
    MPI_Message message;
    MPI_Status status;
    MPI_TRY(MPI_Improbe, MPI_ANY_SOURCE, LANE_TAG, MPI_COMM_WORLD, &flag, &message, &status);
    *found = flag != 0;
    if (!*found) {
        return COH_OK;
    }
    int len = 0;
    MPI_TRY(MPI_Get_count, &status, MPI_BYTE, &len);
    if (len < 0 || status.MPI_SOURCE < 0 || (uint32_t)status.MPI_SOURCE >= mpi->base.rank_cnt) {
        return COH_EPROTO;
    }
    uint32_t src    = (uint32_t)status.MPI_SOURCE;
    coh_buf_t frame = coh_frame_pool_get(&mpi->pool, (size_t)len);
    (void)coh_buf_extend(&frame, (size_t)len);
    coh_err_t rc =
        mpi_err(MPI_Imrecv(frame.p, len, MPI_BYTE, &message, &mpi->recv_requests[mpi->recv_cnt]),
                "MPI_Imrecv");
    if (rc != COH_OK) {
        coh_frame_pool_put(&mpi->pool, &frame);
        return rc;
    }
    mpi->recvs[mpi->recv_cnt++] = (recv_t){.frame = frame, .src = src};
    mpi->recv_bytes += frame.n;
    return COH_OK;
}

/* Rings those of whom something is under way, and those to whom, once each. */
static void ring_all(mpi_t *mpi)
{
    for (size_t i = 0; i < mpi->recv_cnt; i++) {
        mpi->to_ring[mpi->recvs[i].src] = true;
    }
    for (size_t i = 0; i < mpi->send_cnt; i++) {
        mpi->to_ring[mpi->sends[i].dst] = true;
    }
    for (uint32_t rank = 0; rank < mpi->base.rank_cnt; rank++) {
        if (mpi->to_ring[rank]) {
            mpi->to_ring[rank] = false;
            coh_bell_ring(mpi->bell, rank);
        }
    }
}

static int mpi_poll(coh_transport_t *tp, coh_frame_fn *fn, void *arg)
{
    mpi_t *mpi = (mpi_t *)tp;
    int cnt    = 0;
    if (mpi->bell != NULL) {
        coh_bell_quiet(mpi->bell);
    }
    coh_err_t rc = reap_sends(mpi);
    /* MPI_Improbe of Open MPI looks for frames first and moves bytes then: what has just arrived is found by the one after it. */
    int misses = 0;
    for (int i = 0; rc == COH_OK && misses < 2 && i < POLL_CNT_MAX; i++) {
        bool found = false;
        rc         = finish_recvs(mpi, fn, arg, &cnt);
        if (rc == COH_OK && mpi->recv_cnt < RECV_CNT_MAX && mpi->recv_bytes <= RECV_BYTES_MAX) {
            rc = match(mpi, &found);
        }
        misses = found ? 0 : misses + 1;
    }
    if (mpi->bell != NULL && (mpi->recv_cnt != 0 || mpi->send_cnt != 0)) {
        ring_all(mpi);
    }
    return rc == COH_OK ? cnt : (int)rc;
}

static int mpi_wait_fd(coh_transport_t *tp)
{
    mpi_t const *mpi = (mpi_t *)tp;
    return mpi->bell != NULL && mpi->recv_cnt == 0 ? coh_bell_fd(mpi->bell) : -1;
}

static bool mpi_must_poll(coh_transport_t *tp)
{
    mpi_t const *mpi = (mpi_t *)tp;
    return mpi->bell == NULL || mpi->recv_cnt != 0 || mpi->send_cnt != 0;
}

static size_t mpi_backlog(coh_transport_t *tp) { return ((mpi_t *)tp)->send_bytes; }

static void drop_frame(void *arg, uint32_t src, coh_bytes_t data)
{
    (void)arg;
    (void)src;
    (void)data;
}

static void mpi_close(coh_transport_t *tp)
{
    mpi_t *mpi      = (mpi_t *)tp;
    uint64_t end_us = coh_clock_mono_us() + CLOSE_US_MAX;
    coh_err_t rc    = COH_OK;
    int dropped     = 0;
    /* Receives that have begun are ended, too: their senders wait for that. */
    while (rc == COH_OK && (mpi->send_cnt != 0 || mpi->recv_cnt != 0)) {
        if (coh_clock_mono_us() > end_us) {
            COH_LOG_ERR("mpi",
                        "frames not taken at close",
                        "frames=%zu bytes=%zu receives=%zu",
                        mpi->send_cnt,
                        mpi->send_bytes,
                        mpi->recv_cnt);
            rc = COH_ETIMEOUT;
        } else {
            rc = reap_sends(mpi);
            rc = rc == COH_OK ? finish_recvs(mpi, drop_frame, NULL, &dropped) : rc;
        }
    }
    if (rc != COH_OK) {
        /* MPI_Finalize would wait for what can no longer finish. */
        coh_transport_mpi_abort(1);
    }
    (void)mpi_err(MPI_Finalize(), "MPI_Finalize");
    coh_frame_pool_fini(&mpi->pool);
    coh_bell_free(mpi->bell);
    free(mpi->send_requests);
    free(mpi->sends);
    free(mpi->done);
    free(mpi->to_ring);
    free(mpi);
}

static coh_transport_ops_t const mpi_ops = {
    .send      = mpi_send,
    .poll      = mpi_poll,
    .wait_fd   = mpi_wait_fd,
    .must_poll = mpi_must_poll,
    .backlog   = mpi_backlog,
    .close     = mpi_close,
};

/* Makes the ranks' bells known to each other. All of them are of use, or none is used. */
static coh_err_t hang_bells(mpi_t *mpi)
{
    uint32_t rank_cnt                 = mpi->base.rank_cnt;
    coh_bell_t *bell                  = coh_bell_new(rank_cnt);
    uint8_t name[COH_BELL_NAME_SZ]    = {0};
    uint8_t(*names)[COH_BELL_NAME_SZ] = coh_calloc(rank_cnt, sizeof(*names));
    if (bell != NULL) {
        coh_bell_name(bell, name);
    }
    coh_err_t rc = mpi_err(
        MPI_Allgather(
            name, COH_BELL_NAME_SZ, MPI_BYTE, names, COH_BELL_NAME_SZ, MPI_BYTE, MPI_COMM_WORLD),
        "MPI_Allgather");
    int reached = bell != NULL;
    for (uint32_t rank = 0; rc == COH_OK && rank < rank_cnt && reached; rank++) {
        reached = coh_bell_meet(bell, rank, names[rank]);
    }
    free(names);
    int all = 0;
    if (rc == COH_OK) {
        rc = mpi_err(MPI_Allreduce(&reached, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD),
                     "MPI_Allreduce");
    }
    if (rc != COH_OK || !all) {
        coh_bell_free(bell);
        return rc;
    }
    mpi->bell             = bell;
    mpi->to_ring          = coh_calloc(rank_cnt, sizeof(*mpi->to_ring));
    mpi->base.one_machine = true;
    return COH_OK;
}

bool coh_transport_mpi_is_job(void)
{
    /* Open MPI's mpirun; PMIx launchers such as srun --mpi=pmix. */
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMIX_RANK") != NULL;
}

coh_err_t coh_transport_mpi_open(coh_transport_t **out)
{
    int level = 0;
    /* Else Open MPI, where ranks are more than cores, gives the core away in every call that finds nothing. We call in passing, and sleep by ourselves: on a busy machine each of these
       yields cost milliseconds, in the midst of a round. */
    (void)setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
    MPI_TRY(MPI_Init_thread, NULL, NULL, MPI_THREAD_FUNNELED, &level);
    MPI_TRY(MPI_Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (level < MPI_THREAD_FUNNELED) {
        COH_LOG_ERR("mpi", "MPI_THREAD_FUNNELED not granted", "level=%d", level);
        return COH_EUNSUPPORTED;
    }
    int rank     = 0;
    int rank_cnt = 0;
    MPI_TRY(MPI_Comm_rank, MPI_COMM_WORLD, &rank);
    MPI_TRY(MPI_Comm_size, MPI_COMM_WORLD, &rank_cnt);
    mpi_t *mpi = coh_calloc(1, sizeof(*mpi));
    mpi->base =
        (coh_transport_t){.ops = &mpi_ops, .rank = (uint32_t)rank, .rank_cnt = (uint32_t)rank_cnt};
    coh_frame_pool_init(&mpi->pool);
    coh_err_t rc = hang_bells(mpi);
    if (rc != COH_OK) {
        coh_frame_pool_fini(&mpi->pool);
        free(mpi);
        return rc;
    }
    *out = &mpi->base;
    return COH_OK;
}

void coh_transport_mpi_abort(int code)
{
    int initialized = 0;
    int finalized   = 0;
    (void)MPI_Initialized(&initialized);
    (void)MPI_Finalized(&finalized);
    if (initialized && !finalized) {
        /* MPI_Abort waits for the daemon's word, which may be behind the cut link that this is about. */
        (void)signal(SIGALRM, SIG_DFL);
        (void)alarm(ABORT_SECONDS_MAX);
        (void)MPI_Abort(MPI_COMM_WORLD, code);
    }
    _Exit(code);
}
