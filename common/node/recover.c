#include "common/node/recover.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/crypto/keccak.h"

struct coh_recoverq {
    size_t tx_max;
    coh_metrics_t *metrics;
    coh_recover_done_fn *done;
    void *arg;
    pthread_mutex_t lock;
    /* Under the lock; the counters are also read without it, as a hint only: a worker that misses a job by this is woken again by its pusher,
       and the communication thread polls. */
    coh_recover_job_t *queued_first;
    coh_recover_job_t **queued_last;
    coh_recover_job_t *running; /* all chunks handed out, not all back */
    coh_recover_job_t *done_first;
    coh_recover_job_t **done_last;
    atomic_size_t queued_cnt;
    atomic_size_t done_cnt;
    atomic_size_t tx_cnt;
};

coh_recover_job_t *coh_recover_job_new(uint32_t tx_max, coh_recover_rules_t const *rules)
{
    coh_recover_job_t *job = coh_calloc(1, sizeof(*job));
    job->cap               = tx_max;
    job->rules             = *rules;
    job->txs               = coh_calloc(tx_max, sizeof(*job->txs));
    job->results           = coh_calloc(tx_max, sizeof(*job->results));
    job->ends              = coh_calloc(tx_max, sizeof(*job->ends));
    job->authorities       = coh_calloc(tx_max, sizeof(*job->authorities));
    return job;
}

coh_err_t coh_recover_job_add(coh_recover_job_t *job, coh_bytes_t raw)
{
    if (job->cnt == job->cap || raw.n > coh_recover_raw_max(raw) ||
        job->bytes.n + raw.n > UINT32_MAX) {
        return COH_ETOOBIG;
    }
    coh_buf_put(&job->bytes, raw.p, raw.n);
    job->ends[job->cnt++] = (uint32_t)job->bytes.n;
    return COH_OK;
}

coh_bytes_t coh_recover_job_raw(coh_recover_job_t const *job, uint32_t idx)
{
    COH_ASSERT(idx < job->cnt);
    uint32_t from = idx == 0 ? 0 : job->ends[idx - 1];
    if (job->ends[idx] == from) {
        return coh_bytes(NULL, 0); /* an empty one; if all are, there are no bytes to point into */
    }
    return coh_bytes(job->bytes.p + from, job->ends[idx] - from);
}

/* decode_blobs decodes transaction i, a blob transaction, of which a client sends the network form. The sidecar is checked and forgotten: of the job's
   own copy the octet before the transaction's list becomes its type. */
static coh_tx_err_t decode_blobs(coh_recover_job_t *job, uint32_t i)
{
    coh_recover_rules_t const *rules = &job->rules;
    coh_bytes_t raw                  = coh_recover_job_raw(job, i);
    coh_tx_t *tx                     = &job->txs[i];
    coh_sidecar_t sidecar;
    bool has_sidecar = coh_sidecar_is_network(raw);
    if (has_sidecar) {
        coh_tx_err_t err = coh_sidecar_split(&sidecar, raw);
        if (err != COH_TX_OK) {
            *tx = (coh_tx_t){.raw = raw};
            return err;
        }
        size_t at        = (size_t)(sidecar.tx.p - job->bytes.p) - 1;
        job->bytes.p[at] = COH_TX_BLOB;
        raw              = coh_bytes(job->bytes.p + at, sidecar.tx.n + 1);
    }
    coh_tx_err_t err = coh_tx_decode(tx, raw);
    if (err == COH_TX_OK) {
        err = coh_tx_check_static(tx, rules->fork, rules->chain_id, rules->allow_unprotected);
    }
    if (err == COH_TX_OK) {
        err = coh_tx_check_blob_cnt(tx, rules->blob_max);
    }
    if (err == COH_TX_OK && coh_u256_is_zero(&tx->max_fee_per_blob_gas)) {
        err = COH_TX_BLOB_FEE_TOO_LOW; /* EIP-4844: at least 1 wei */
    }
    if (err == COH_TX_OK) {
        err = has_sidecar ? coh_sidecar_check(&sidecar, tx) : COH_TX_BLOB_SIDECAR_NONE;
    }
    return err;
}

static coh_tx_err_t decode(coh_recover_job_t *job, uint32_t i)
{
    coh_recover_rules_t const *rules = &job->rules;
    coh_bytes_t raw                  = coh_recover_job_raw(job, i);
    if (rules->check_static && coh_recover_has_blobs(raw)) {
        return decode_blobs(job, i);
    }
    coh_tx_err_t err = coh_tx_decode(&job->txs[i], raw);
    if (err == COH_TX_OK && rules->check_static) {
        err = coh_tx_check_static(
            &job->txs[i], rules->fork, rules->chain_id, rules->allow_unprotected);
    }
    return err;
}

void coh_recover_job_decode(coh_recover_job_t *job, uint32_t first, uint32_t cnt)
{
    for (uint32_t i = first; i < first + cnt; i++) {
        job->results[i].err     = decode(job, i);
        job->results[i].tx      = &job->txs[i];
        job->txs[i].authorities = coh_buf_bytes(&job->authorities[i]);
    }
}

void coh_recover_job_free(coh_recover_job_t *job)
{
    if (job != NULL) {
        for (uint32_t i = 0; i < job->cnt; i++) {
            coh_buf_free(&job->authorities[i]);
        }
        free(job->authorities);
        coh_buf_free(&job->bytes);
        free(job->txs);
        free(job->results);
        free(job->ends);
        free(job);
    }
}

coh_recoverq_t *coh_recoverq_new(size_t tx_max,
                                 coh_metrics_t *metrics,
                                 coh_recover_done_fn *done,
                                 void *arg)
{
    coh_recoverq_t *q = coh_calloc(1, sizeof(*q));
    q->tx_max         = tx_max;
    q->metrics        = metrics;
    q->done           = done;
    q->arg            = arg;
    q->queued_last    = &q->queued_first;
    q->done_last      = &q->done_first;
    int rc            = pthread_mutex_init(&q->lock, NULL);
    COH_ASSERT(rc == 0);
    return q;
}

static void free_list(coh_recover_job_t *job)
{
    while (job != NULL) {
        coh_recover_job_t *next = job->next;
        coh_recover_job_free(job);
        job = next;
    }
}

void coh_recoverq_free(coh_recoverq_t *q)
{
    if (q != NULL) {
        free_list(q->queued_first);
        free_list(q->running);
        free_list(q->done_first);
        (void)pthread_mutex_destroy(&q->lock);
        free(q);
    }
}

coh_err_t coh_recoverq_push(coh_recoverq_t *q, coh_recover_job_t *job)
{
    COH_ASSERT(job->cnt > 0 && job->taken_cnt == 0);
    pthread_mutex_lock(&q->lock);
    if (atomic_load_explicit(&q->tx_cnt, memory_order_relaxed) + job->cnt > q->tx_max) {
        pthread_mutex_unlock(&q->lock);
        return COH_EBUSY;
    }
    job->next       = NULL;
    *q->queued_last = job;
    q->queued_last  = &job->next;
    atomic_fetch_add_explicit(&q->tx_cnt, job->cnt, memory_order_relaxed);
    atomic_fetch_add_explicit(&q->queued_cnt, 1, memory_order_relaxed);
    pthread_mutex_unlock(&q->lock);
    return COH_OK;
}

static uint32_t next_chunk(coh_recover_job_t const *job)
{
    uint32_t first = job->taken_cnt;
    uint32_t cnt   = 1;
    uint32_t from  = first == 0 ? 0 : job->ends[first - 1];
    while (cnt < COH_RECOVER_CHUNK && first + cnt < job->cnt &&
           job->ends[first + cnt - 1] - from < COH_RECOVER_CHUNK_BYTES) {
        cnt++;
    }
    return cnt;
}

/* take_chunk hands out the next piece of the oldest queued job; a job whose last piece leaves moves to running. */
static coh_recover_job_t *take_chunk(coh_recoverq_t *q, uint32_t *first, uint32_t *cnt)
{
    pthread_mutex_lock(&q->lock);
    coh_recover_job_t *job = q->queued_first;
    if (job != NULL) {
        *first = job->taken_cnt;
        *cnt   = next_chunk(job);
        job->taken_cnt += *cnt;
        if (job->taken_cnt == job->cnt) {
            q->queued_first = job->next;
            if (q->queued_first == NULL) {
                q->queued_last = &q->queued_first;
            }
            job->next  = q->running;
            q->running = job;
            atomic_fetch_sub_explicit(&q->queued_cnt, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&q->lock);
    return job;
}

/* finish_chunk gives a piece back; returns true if the job is done with it. The lock orders the results before the pop. */
static bool finish_chunk(coh_recoverq_t *q, coh_recover_job_t *job, uint32_t cnt)
{
    pthread_mutex_lock(&q->lock);
    job->done_cnt += cnt;
    bool done = job->done_cnt == job->cnt;
    if (done) {
        coh_recover_job_t **at = &q->running;
        while (*at != job) {
            at = &(*at)->next;
        }
        *at           = job->next;
        job->next     = NULL;
        *q->done_last = job;
        q->done_last  = &job->next;
        atomic_fetch_add_explicit(&q->done_cnt, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&q->lock);
    return done;
}

static void find_authorities(coh_recover_job_t *job, uint32_t first, uint32_t cnt)
{
    for (uint32_t i = first; i < first + cnt; i++) {
        if (job->results[i].err == COH_TX_OK && job->txs[i].auth_cnt != 0) {
            coh_tx_find_authorities(&job->authorities[i], &job->txs[i]);
            job->txs[i].authorities = coh_buf_bytes(&job->authorities[i]);
        }
    }
}

void coh_recover_job_set_authorities(coh_recover_job_t *job, uint32_t idx, coh_bytes_t authorities)
{
    coh_buf_clear(&job->authorities[idx]);
    coh_buf_put(&job->authorities[idx], authorities.p, authorities.n);
    job->txs[idx].authorities = coh_buf_bytes(&job->authorities[idx]);
}

/* What breaks a static rule was passed over, and is told of by its hash all the same. */
static void hash_refused(coh_recover_job_t *job, uint32_t first, uint32_t cnt)
{
    for (uint32_t i = first; i < first + cnt; i++) {
        coh_tx_recover_t *r = &job->results[i];
        if (r->err != COH_TX_OK && r->err != COH_TX_MALFORMED && r->err != COH_TX_TOO_LARGE) {
            coh_keccak256(&r->hash, r->tx->raw.p, r->tx->raw.n);
        }
    }
}

bool coh_recoverq_work(coh_recoverq_t *q)
{
    if (atomic_load_explicit(&q->queued_cnt, memory_order_relaxed) == 0) {
        return false;
    }
    uint32_t first         = 0;
    uint32_t cnt           = 0;
    coh_recover_job_t *job = take_chunk(q, &first, &cnt);
    if (job == NULL) {
        return false;
    }
    coh_buf_t scratch = COH_BUF_INIT;
    uint64_t start    = coh_clock_thread_cpu_ns();
    coh_recover_job_decode(job, first, cnt);
    uint64_t signature_ns = coh_tx_recover_batch(&job->results[first], cnt, &scratch);
    hash_refused(job, first, cnt);
    coh_buf_free(&scratch);
    uint64_t start_auth = coh_clock_thread_cpu_ns();
    find_authorities(job, first, cnt);
    signature_ns += coh_clock_thread_cpu_ns() - start_auth;
    uint64_t total_ns = coh_clock_thread_cpu_ns() - start;
    coh_metric_add(q->metrics, COH_M_recover_tx, cnt);
    coh_metric_add(q->metrics, COH_M_recover_signature_cpu, signature_ns);
    coh_metric_add(q->metrics,
                   COH_M_recover_decode_cpu,
                   total_ns > signature_ns ? total_ns - signature_ns : 0);
    if (finish_chunk(q, job, cnt) && q->done != NULL) {
        q->done(q->arg);
    }
    return true;
}

coh_recover_job_t *coh_recoverq_pop(coh_recoverq_t *q)
{
    if (atomic_load_explicit(&q->done_cnt, memory_order_relaxed) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&q->lock);
    coh_recover_job_t *job = q->done_first;
    if (job != NULL) {
        q->done_first = job->next;
        if (q->done_first == NULL) {
            q->done_last = &q->done_first;
        }
        job->next = NULL;
        atomic_fetch_sub_explicit(&q->done_cnt, 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&q->tx_cnt, job->cnt, memory_order_relaxed);
    }
    pthread_mutex_unlock(&q->lock);
    return job;
}

size_t coh_recoverq_tx_cnt(coh_recoverq_t *q)
{
    return atomic_load_explicit(&q->tx_cnt, memory_order_relaxed);
}
