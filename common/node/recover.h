/* recover.h: sender recovery as work for a rank's worker threads. Recovery of one signature costs tens of times all that the communication
   thread does for a transaction, so it never runs there: a job of raw transactions is queued, workers take it in chunks, and the communication
   thread picks up what is done. Coordinator (admission) and shards (RECOVER) use the same queue.

   new, add... ─push─▶ QUEUED ─work (first chunk)─▶ RUNNING ─work (last chunk)─▶ DONE ─pop─▶ the caller's again, who frees it

   A job owns a copy of its transactions' bytes, so that it outlives the frame or request they came in. */
#ifndef COH_RECOVER_H
#define COH_RECOVER_H

#include "common/codec/sidecar.h"
#include "common/obs/metrics.h"

/* Transactions that a worker takes at a time: about a millisecond of recovery, and full vectors for the multi-buffer Keccak. Fewer of
   large ones: a chunk ends with the transaction that fills so many octets, for blobs and authorizations cost time by their length. */
#define COH_RECOVER_CHUNK       16u
#define COH_RECOVER_CHUNK_BYTES 65536u

/* What is checked besides form and signature. */
typedef struct {
    bool check_static; /* false: only decode, hash and recover; the rest is ignored */
    coh_fork_t fork;
    uint64_t chain_id;
    bool allow_unprotected;
    uint32_t blob_max; /* blobs of a block */
} coh_recover_rules_t;

typedef struct coh_recover_job {
    uint32_t cnt; /* transactions added */
    coh_tx_t *
        txs; /* cnt; decoded, borrowing from the job; valid where the error is neither MALFORMED, TYPE_UNSUPPORTED nor TOO_LARGE */
    coh_tx_recover_t *results; /* cnt; hash (if it decodes), sender and err */
    uint64_t tag;              /* the caller's own */
    uint32_t src;              /* the caller's own (a rank, say) */
    /* The module's own. */
    coh_recover_rules_t rules;
    uint32_t cap;
    coh_buf_t bytes;
    uint32_t *ends;         /* where each transaction ends in bytes */
    coh_buf_t *authorities; /* owned; of set code transactions; txs borrow from them */
    uint32_t taken_cnt;     /* handed to workers; under the queue's lock */
    uint32_t done_cnt;      /* worked on; under the queue's lock */
    struct coh_recover_job *next;
} coh_recover_job_t;

/* coh_recover_job_new makes an empty job for at most tx_max transactions. */
coh_recover_job_t *coh_recover_job_new(uint32_t tx_max, coh_recover_rules_t const *rules);
/* coh_recover_has_blobs: raw is a blob transaction, if it is anything. */
static inline bool coh_recover_has_blobs(coh_bytes_t raw)
{
    return raw.n != 0 && raw.p[0] == COH_TX_BLOB;
}
/* coh_recover_raw_max: octets that a transaction which begins like raw may have. */
static inline size_t coh_recover_raw_max(coh_bytes_t raw)
{
    return coh_recover_has_blobs(raw) ? COH_TX_NETWORK_MAX : COH_TX_RAW_MAX;
}

/* coh_recover_job_add copies raw into the job. COH_ETOOBIG if the job is full or raw exceeds coh_recover_raw_max; the job is unchanged then. */
coh_err_t coh_recover_job_add(coh_recover_job_t *job, coh_bytes_t raw);
/* coh_recover_job_raw: transaction idx as it was added, until it is decoded; valid as long as the job, once nothing is added any more. */
coh_bytes_t coh_recover_job_raw(coh_recover_job_t const *job, uint32_t idx);
/* coh_recover_job_decode decodes and checks transactions first..first+cnt-1 without hashing or recovery: txs[i], and err in results[i].
   For results that come from another rank: then it is called where they arrive. With check_static, a blob transaction must be of the network form
   (sidecar.h), which is checked, proofs and all, at a few ms for each blob (30 with proofs for its cells), and of which txs[i] has the transaction alone: that is done once, and by a
   worker. */
void coh_recover_job_decode(coh_recover_job_t *job, uint32_t first, uint32_t cnt);
/* coh_recover_job_set_authorities notes for transaction idx what another rank has found (coh_tx_find_authorities); a copy. */
void coh_recover_job_set_authorities(coh_recover_job_t *job, uint32_t idx, coh_bytes_t authorities);
void coh_recover_job_free(coh_recover_job_t *job);

typedef struct coh_recoverq coh_recoverq_t;

/* Called on a worker thread when a job is done (wake the communication thread). */
typedef void coh_recover_done_fn(void *arg);

/* coh_recoverq_new makes a queue of at most tx_max transactions not popped yet. metrics may be NULL; borrowed. */
coh_recoverq_t *coh_recoverq_new(size_t tx_max,
                                 coh_metrics_t *metrics,
                                 coh_recover_done_fn *done,
                                 void *arg);
/* coh_recoverq_free frees all jobs that it holds. No thread may be inside coh_recoverq_work. */
void coh_recoverq_free(coh_recoverq_t *q);

/* coh_recoverq_push takes job.
   Returns: COH_OK; COH_EBUSY at tx_max: nothing was taken      Thread: any; the caller wakes the workers */
coh_err_t coh_recoverq_push(coh_recoverq_t *q, coh_recover_job_t *job);
/* coh_recoverq_work does one chunk of the oldest job. Returns false if there is nothing to do. Any worker thread. */
bool coh_recoverq_work(coh_recoverq_t *q);
/* coh_recoverq_pop returns a finished job, the caller's from now on, or NULL. Jobs finish in any order. Any thread; costs one load if there is none. */
coh_recover_job_t *coh_recoverq_pop(coh_recoverq_t *q);
/* Transactions pushed and not popped. Any thread. */
size_t coh_recoverq_tx_cnt(coh_recoverq_t *q);

#endif
