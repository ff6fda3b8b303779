/* transport.h: frames between ranks. One of the four seams: transport_mpi between processes, transport_local between
   threads of one process, the simulator's in tests.

   A frame is a run of bytes of any length up to COH_FRAME_MAX. Between any two ranks frames arrive whole, once, and in the order sent
   (one lane; the protocol relies on it). Nothing is said of order between pairs. */
#ifndef COH_TRANSPORT_H
#define COH_TRANSPORT_H

#include "common/base/buf.h"
#include "common/base/err.h"

#define COH_FRAME_MAX ((size_t)1 << 30)

typedef struct coh_transport coh_transport_t;

/* data is borrowed for the call. */
typedef void coh_frame_fn(void *arg, uint32_t src, coh_bytes_t data);

typedef struct {
    /* Takes the contents of frame: its memory changes owner, and frame is left empty, perhaps with the memory of an earlier one. Never blocks.
       On failure nothing is taken. */
    coh_err_t (*send)(coh_transport_t *tp, uint32_t dst, coh_buf_t *frame);
    /* Moves bytes, hands every complete frame to fn; returns how many it handed over, or a negative coh_err_t. */
    int (*poll)(coh_transport_t *tp, coh_frame_fn *fn, void *arg);
    /* A file descriptor that becomes readable when a frame may have arrived; -1 if there is none (then it must be polled). */
    int (*wait_fd)(coh_transport_t *tp);
    /* True while there are bytes under way that move in poll alone, which no descriptor tells of: poll is to be called again soon. Always true without a descriptor. */
    bool (*must_poll)(coh_transport_t *tp);
    /* Bytes handed to send that have not left yet. */
    size_t (*backlog)(coh_transport_t *tp);
    void (*close)(coh_transport_t *tp);
} coh_transport_ops_t;

struct coh_transport {
    coh_transport_ops_t const *ops;
    uint32_t rank;
    uint32_t rank_cnt;
    bool one_machine; /* all ranks are known to run on this one */
};

/* coh_transport_local_new makes rank_cnt connected ends in one process into out[0..rank_cnt-1]; each is used by one thread. */
coh_err_t coh_transport_local_new(coh_transport_t **out, uint32_t rank_cnt);

/* coh_transport_delay puts links that take delay_us each way over rank_cnt local ends, which it takes, and puts its own in their places: to see what distance costs. What
   was not due when the last one is closed is dropped. */
void coh_transport_delay(coh_transport_t **ends, uint32_t rank_cnt, uint64_t delay_us);

/* coh_transport_mpi_open joins the job (MPI_Init_thread with MPI_THREAD_FUNNELED); call from the thread that will poll.
   coh_transport_mpi_is_job tells, before that, whether this process was started by mpirun. */
bool coh_transport_mpi_is_job(void);
coh_err_t coh_transport_mpi_open(coh_transport_t **out);
/* coh_transport_mpi_abort ends the whole job with code at once. */
void coh_transport_mpi_abort(int code);

#endif
