#include "deploy/cohort/disk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/obs/log.h"

/* Requests that share a sync at most: bounds what the first of them waits for. */
#define GROUP_CNT_MAX 64

typedef struct {
    coh_disk_req_t *first;
    coh_disk_req_t *last;
} list_t;

/* One thread with its queue. */
typedef struct {
    coh_disk_t *disk;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    list_t queue; /* lock */
    bool ending;  /* lock */
} lane_t;

struct coh_disk {
    coh_kv_t *kv;
    coh_metrics_t *metrics;
    int log_rank;
    coh_disk_wake_fn *wake;
    void *wake_arg;
    coh_disk_backups_t const *backups;
    lane_t writer;
    lane_t reader;
    lane_t copier;              /* of backups */
    _Atomic bool copier_ending; /* a copy under way is to end: any time before the threads do */
    coh_err_t write_err;        /* writer thread: the first failure */
    pthread_mutex_t done_lock;
    list_t done;               /* done_lock */
    _Atomic uint32_t done_cnt; /* hint for take; the list itself is read under done_lock */
    size_t outstanding_cnt;    /* communication thread */
    bool stopped;              /* communication thread */
};

static void lock(pthread_mutex_t *mutex)
{
    int rc = pthread_mutex_lock(mutex);
    COH_ASSERT(rc == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
    int rc = pthread_mutex_unlock(mutex);
    COH_ASSERT(rc == 0);
}

static void list_push(list_t *list, coh_disk_req_t *req)
{
    req->next = NULL;
    if (list->last != NULL) {
        list->last->next = req;
    } else {
        list->first = req;
    }
    list->last = req;
}

static coh_disk_req_t *list_pop(list_t *list)
{
    coh_disk_req_t *req = list->first;
    list->first         = req->next;
    if (list->first == NULL) {
        list->last = NULL;
    }
    req->next = NULL;
    return req;
}

static void finish(coh_disk_t *disk, list_t *finished)
{
    uint32_t cnt = 0;
    lock(&disk->done_lock);
    while (finished->first != NULL) {
        coh_disk_req_t *req = list_pop(finished);
        if (req->err != COH_OK) {
            coh_metric_add(disk->metrics, COH_M_disk_error, 1);
        }
        list_push(&disk->done, req);
        cnt++;
    }
    atomic_fetch_add_explicit(&disk->done_cnt, cnt, memory_order_relaxed);
    unlock(&disk->done_lock);
    disk->wake(disk->wake_arg);
}

static coh_err_t write_batch(coh_disk_t *disk, coh_kv_batch_t const *batch, bool sync)
{
    if (disk->write_err != COH_OK) {
        return disk->write_err;
    }
    uint64_t start_us = coh_clock_mono_us();
    disk->write_err   = disk->kv->ops->write(disk->kv, batch, sync);
    if (disk->write_err != COH_OK) {
        COH_LOG_ERR("disk",
                    "write failed",
                    "error=\"%s\" bytes=%zu",
                    coh_err_str(disk->write_err),
                    batch->ops.n);
        return disk->write_err;
    }
    coh_metric_add(disk->metrics, COH_M_disk_written, batch->ops.n);
    if (sync) {
        coh_metric_observe(disk->metrics, COH_M_disk_sync_latency, coh_clock_mono_us() - start_us);
    }
    return COH_OK;
}

static coh_err_t ingest(coh_disk_t *disk, coh_disk_req_t const *req)
{
    if (disk->write_err != COH_OK) {
        return disk->write_err;
    }
    disk->write_err = disk->kv->ops->ingest(disk->kv, &req->batch);
    if (disk->write_err != COH_OK) {
        COH_LOG_ERR("disk",
                    "ingest failed",
                    "error=\"%s\" bytes=%zu",
                    coh_err_str(disk->write_err),
                    req->batch.ops.n);
        return disk->write_err;
    }
    coh_metric_add(disk->metrics, COH_M_disk_written, req->batch.ops.n);
    return req->after.cnt != 0 ? write_batch(disk, &req->after, false) : COH_OK;
}

static bool is_batch(coh_disk_req_t const *req)
{
    return req->kind == COH_DISK_WRITE || req->kind == COH_DISK_WRITE_SYNC;
}

/* Hands a request to a lane; any thread. */
static void lane_put(lane_t *lane, coh_disk_req_t *req)
{
    lock(&lane->lock);
    bool was_empty = lane->queue.first == NULL;
    list_push(&lane->queue, req);
    if (was_empty) {
        (void)pthread_cond_signal(&lane->filled);
    }
    unlock(&lane->lock);
}

/* Makes the checkpoint that the copier then copies. */
static void begin_backup(coh_disk_t *disk, coh_disk_req_t *req)
{
    req->err = disk->write_err == COH_OK ? disk->backups->checkpoint(disk->backups->arg, req)
                                         : disk->write_err;
    if (req->err == COH_OK) {
        lane_put(&disk->copier, req);
        return;
    }
    list_t one = {0};
    list_push(&one, req);
    finish(disk, &one);
}

static void serve_copies(coh_disk_t *disk, list_t *queue)
{
    while (queue->first != NULL) {
        list_t one          = {0};
        coh_disk_req_t *req = list_pop(queue);
        uint64_t start_us   = coh_clock_mono_us();
        req->err            = disk->backups->copy(disk->backups->arg, req, &disk->copier_ending);
        req->elapsed_us     = coh_clock_mono_us() - start_us;
        list_push(&one, req);
        finish(disk, &one);
    }
}

/* Takes a run of writes off queue and carries it out with one sync, after its last synced write. */
static void write_group(coh_disk_t *disk, list_t *queue)
{
    list_t group              = {0};
    coh_disk_req_t *last_sync = NULL;
    for (int i = 0; i < GROUP_CNT_MAX && queue->first != NULL && is_batch(queue->first); i++) {
        coh_disk_req_t *req = list_pop(queue);
        list_push(&group, req);
        last_sync = req->kind == COH_DISK_WRITE_SYNC ? req : last_sync;
    }
    uint64_t start_us = coh_clock_mono_us();
    for (coh_disk_req_t *req = group.first; req != NULL; req = req->next) {
        req->err = write_batch(disk, &req->batch, req == last_sync);
        if (req != last_sync) {
            continue;
        }
        /* Those before share the outcome of the sync. */
        for (coh_disk_req_t *held = group.first; held != req; held = held->next) {
            held->err =
                held->kind == COH_DISK_WRITE_SYNC && held->err == COH_OK ? req->err : held->err;
        }
    }
    uint64_t elapsed_us = coh_clock_mono_us() - start_us;
    for (coh_disk_req_t *req = group.first; req != NULL; req = req->next) {
        req->elapsed_us = elapsed_us;
    }
    finish(disk, &group);
}

static void serve_writes(coh_disk_t *disk, list_t *queue)
{
    while (queue->first != NULL) {
        if (is_batch(queue->first)) {
            write_group(disk, queue);
            continue;
        }
        if (queue->first->kind == COH_DISK_BACKUP) {
            begin_backup(disk, list_pop(queue));
            continue;
        }
        list_t one          = {0};
        coh_disk_req_t *req = list_pop(queue);
        uint64_t start_us   = coh_clock_mono_us();
        req->err            = ingest(disk, req);
        req->elapsed_us     = coh_clock_mono_us() - start_us;
        list_push(&one, req);
        finish(disk, &one);
    }
}

static void serve_reads(coh_disk_t *disk, list_t *queue)
{
    while (queue->first != NULL) {
        list_t one          = {0};
        coh_disk_req_t *req = list_pop(queue);
        uint64_t start_us   = coh_clock_mono_us();
        req->err            = disk->kv->ops->multi_get(
            disk->kv, req->table, req->key_cnt, req->keys, req->errs, req->lens, &req->values);
        req->elapsed_us = coh_clock_mono_us() - start_us;
        list_push(&one, req);
        finish(disk, &one);
    }
}

static void *lane_main(void *arg)
{
    lane_t *lane     = arg;
    coh_disk_t *disk = lane->disk;
    coh_log_set_rank(disk->log_rank);
    uint64_t cpu_ns = coh_clock_thread_cpu_ns();
    for (;;) {
        lock(&lane->lock);
        while (lane->queue.first == NULL && !lane->ending) {
            (void)pthread_cond_wait(&lane->filled, &lane->lock);
        }
        list_t queue = lane->queue;
        lane->queue  = (list_t){0};
        unlock(&lane->lock);
        if (queue.first == NULL) {
            return NULL;
        }
        if (lane == &disk->writer) {
            serve_writes(disk, &queue);
        } else if (lane == &disk->copier) {
            serve_copies(disk, &queue);
        } else {
            serve_reads(disk, &queue);
        }
        uint64_t now_ns = coh_clock_thread_cpu_ns();
        coh_metric_add(disk->metrics, COH_M_disk_cpu, now_ns - cpu_ns);
        cpu_ns = now_ns;
    }
}

static void lane_start(lane_t *lane, coh_disk_t *disk, char const *name)
{
    lane->disk = disk;
    int rc     = pthread_mutex_init(&lane->lock, NULL);
    COH_ASSERT(rc == 0);
    rc = pthread_cond_init(&lane->filled, NULL);
    COH_ASSERT(rc == 0);
    rc = pthread_create(&lane->thread, NULL, lane_main, lane);
    COH_ASSERT(rc == 0);
    (void)pthread_setname_np(lane->thread, name);
}

static void lane_stop(lane_t *lane)
{
    lock(&lane->lock);
    lane->ending = true;
    (void)pthread_cond_signal(&lane->filled);
    unlock(&lane->lock);
    int rc = pthread_join(lane->thread, NULL);
    COH_ASSERT(rc == 0);
    (void)pthread_cond_destroy(&lane->filled);
    (void)pthread_mutex_destroy(&lane->lock);
}

coh_disk_t *coh_disk_new(coh_kv_t *kv,
                         coh_metrics_t *metrics,
                         int log_rank,
                         coh_disk_backups_t const *backups,
                         coh_disk_wake_fn *wake,
                         void *arg)
{
    coh_disk_t *disk = coh_calloc(1, sizeof(*disk));
    disk->kv         = kv;
    disk->metrics    = metrics;
    disk->log_rank   = log_rank;
    disk->backups    = backups;
    disk->wake       = wake;
    disk->wake_arg   = arg;
    int rc           = pthread_mutex_init(&disk->done_lock, NULL);
    COH_ASSERT(rc == 0);
    lane_start(&disk->writer, disk, "coh-write");
    lane_start(&disk->reader, disk, "coh-read");
    if (backups != NULL) {
        lane_start(&disk->copier, disk, "coh-backup");
    }
    return disk;
}

void coh_disk_stop(coh_disk_t *disk)
{
    COH_ASSERT(!disk->stopped);
    disk->stopped = true;
    atomic_store(&disk->copier_ending, true);
    lane_stop(&disk->writer);
    lane_stop(&disk->reader);
    if (disk->backups != NULL) { /* after the writer, who hands copies on */
        lane_stop(&disk->copier);
    }
}

void coh_disk_free(coh_disk_t *disk)
{
    COH_ASSERT(disk->stopped && disk->outstanding_cnt == 0);
    (void)pthread_mutex_destroy(&disk->done_lock);
    free(disk);
}

void coh_disk_put(coh_disk_t *disk, coh_disk_req_t *req)
{
    disk->outstanding_cnt++;
    req->err       = COH_OK;
    bool is_backup = req->kind == COH_DISK_BACKUP || req->kind == COH_DISK_MANIFEST;
    if (disk->stopped || (is_backup && disk->backups == NULL)) {
        req->err   = disk->stopped ? COH_ECLOSED : COH_EUNSUPPORTED;
        list_t one = {0};
        list_push(&one, req);
        finish(disk, &one);
        return;
    }
    lane_put(req->kind == COH_DISK_READ       ? &disk->reader
             : req->kind == COH_DISK_MANIFEST ? &disk->copier
                                              : &disk->writer,
             req);
}

coh_disk_req_t *coh_disk_take(coh_disk_t *disk)
{
    if (atomic_load_explicit(&disk->done_cnt, memory_order_relaxed) == 0) {
        return NULL; /* one just being finished is found after its wake */
    }
    lock(&disk->done_lock);
    coh_disk_req_t *first = disk->done.first;
    disk->done            = (list_t){0};
    atomic_store_explicit(&disk->done_cnt, 0, memory_order_relaxed);
    unlock(&disk->done_lock);
    for (coh_disk_req_t *req = first; req != NULL; req = req->next) {
        COH_ASSERT(disk->outstanding_cnt > 0);
        disk->outstanding_cnt--;
    }
    return first;
}
