#include "deploy/cohort/runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/net/vigil.h"
#include "common/obs/log.h"
#include "common/wire/wire.h"
#include "deploy/cohort/disk.h"

/* How long a worker without work gives its time slice away before it sleeps. */
#define SPIN_US UINT64_C(20)
/* Longest sleep of the loop: on_tick, unless it asks for less, sees the time at least this often. A wake-up for nothing costs some 50 us of a
 * core whose caches are in use by others. */
#define TICK_US UINT64_C(50000)
/* Sleeps of the loop while the transport must be polled; each poll
 * costs some 10 us of a core with its two context switches, and a block some ten hops: a tenth of
 * a millisecond more for each hop is cheaper than polling for it. */
#define POLLED_SLEEP_US_MIN   UINT64_C(100)
#define POLLED_SLEEP_US_MAX   UINT64_C(4000)
#define POLLED_IDLE_PER_SLEEP 8
/* The kernel may delay a timer by the slack to save wake-ups; the default of 50 us would double the
 * shortest sleep. */
#define TIMER_SLACK_NS 5000ul
#define METRICS_US     UINT64_C(1000000)
/* RocksDB gives its counters as a text of some 10 KB, which costs a millisecond to make. */
#define STORE_METRICS_US UINT64_C(10000000)
/* How long the last frames may take to leave. */
#define DRAIN_US_MAX UINT64_C(2000000)

typedef struct {
    coh_runtime_t *rt;
    pthread_t thread;
    uint32_t idx;
} worker_t;

struct coh_runtime {
    coh_env_t env; /* first: the node's env is the runtime */
    coh_runtime_options_t options;
    coh_transport_t *tp;
    coh_node_t *node;
    coh_disk_t *disk;
    bool disk_stopped;
    coh_runtime_source_t sources[COH_RUNTIME_SOURCE_MAX];
    uint32_t source_cnt;

    /* One for each rank. An outbox with anything but the envelope in it is sent at the end of the
     * round. */
    coh_buf_t *outboxes;
    coh_buf_t envelope;
    coh_vigil_t vigil;
    uint64_t now_us; /* of this round */
    uint32_t silent_rank;
    uint64_t silent_us;               /* 0: none is */
    uint32_t stranger;                /* who the guard found wrong... */
    coh_guard_verdict_t stranger_did; /* ...and in what; COH_GUARD_PASS: nobody */

    /* Waking the loop. A waker sets pending, then looks at sleeping; the loop sets sleeping, then
       looks at pending: with sequentially consistent order at least one of them sees the other, so
       no wake-up is lost, and a loop that is awake costs the waker no system call. */
    _Atomic bool pending;
    _Atomic bool sleeping;
    int event_fd;
    _Atomic bool stop_wanted; /* both read by the loop after a wake */
    _Atomic bool abandoned;
    _Atomic uint64_t last_round_us;

    /* Waking workers, by the same argument: a worker reads epoch, finds no work, counts itself in
       sleepers and sleeps only if epoch is still the same; wake_workers moves epoch on, then looks
       at sleepers. */
    worker_t *workers;
    uint32_t worker_cnt; /* started */
    COH_ALIGNED(COH_CACHE_LINE) _Atomic uint32_t work_epoch;
    _Atomic uint32_t sleeper_cnt;
    _Atomic bool workers_ending;

    uint64_t metrics_us;       /* next refresh... */
    uint64_t store_metrics_us; /* ...of the store's */
};

static coh_runtime_t *from_env(coh_env_t *env) { return (coh_runtime_t *)env; }

static void wake_loop(coh_runtime_t *rt)
{
    atomic_store(&rt->pending, true);
    if (atomic_exchange(&rt->sleeping, false)) {
        uint64_t one = 1;
        ssize_t n    = write(rt->event_fd, &one, sizeof(one));
        (void)n; /* a full counter is readable all the same */
    }
}

static void wake_from_disk(void *arg) { wake_loop(arg); }

static uint64_t env_mono_us(coh_env_t *env)
{
    (void)env;
    return coh_clock_mono_us();
}

static uint64_t env_unix_us(coh_env_t *env)
{
    (void)env;
    return coh_clock_unix_us();
}

static coh_buf_t *env_outbox(coh_env_t *env, uint32_t dst)
{
    coh_runtime_t *rt = from_env(env);
    COH_ASSERT(dst < env->rank_cnt && dst != env->rank);
    coh_buf_t *outbox = &rt->outboxes[dst];
    if (outbox->n == 0) {
        coh_buf_put(outbox, rt->envelope.p, rt->envelope.n);
    }
    return outbox;
}

static void env_disk(coh_env_t *env, coh_disk_req_t *req)
{
    coh_disk_put(from_env(env)->disk, req);
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static coh_err_t env_peek(coh_env_t *env, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    coh_kv_t *kv = from_env(env)->options.kv;
    return kv->ops->peek(kv, table, key, out);
}

static void env_wake_workers(coh_env_t *env)
{
    coh_runtime_t *rt = from_env(env);
    atomic_fetch_add(&rt->work_epoch, 1);
    if (atomic_load(&rt->sleeper_cnt) != 0) {
        (void)futex(&rt->work_epoch, FUTEX_WAKE, INT32_MAX);
    }
}

static void env_wake_node(coh_env_t *env) { wake_loop(from_env(env)); }

static void *worker_main(void *arg)
{
    worker_t *worker          = arg;
    coh_runtime_t *rt         = worker->rt;
    coh_node_ops_t const *ops = rt->node->ops;
    coh_log_set_rank((int)rt->env.rank);
    while (!atomic_load_explicit(&rt->workers_ending, memory_order_relaxed)) {
        uint32_t epoch = atomic_load(&rt->work_epoch);
        if (ops->work(rt->node, worker->idx)) {
            continue;
        }
        uint64_t spin_end_us = coh_clock_mono_us() + SPIN_US;
        while (atomic_load(&rt->work_epoch) == epoch && coh_clock_mono_us() < spin_end_us) {
            (void)sched_yield();
        }
        atomic_fetch_add(&rt->sleeper_cnt, 1);
        (void)futex(&rt->work_epoch, FUTEX_WAIT, epoch); /* returns at once if it has moved on */
        atomic_fetch_sub(&rt->sleeper_cnt, 1);
    }
    return NULL;
}

coh_err_t coh_runtime_new(coh_runtime_t **out, coh_runtime_options_t const *options)
{
    int event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd < 0) {
        return COH_EIO;
    }
    coh_runtime_t *rt = aligned_alloc(COH_CACHE_LINE, sizeof(*rt));
    COH_ASSERT(rt != NULL);
    *rt     = (coh_runtime_t){.options = *options, .tp = options->transport, .event_fd = event_fd};
    rt->env = (coh_env_t){
        .rank         = rt->tp->rank,
        .rank_cnt     = rt->tp->rank_cnt,
        .metrics      = options->metrics,
        .due_us       = UINT64_MAX,
        .mono_us      = env_mono_us,
        .unix_us      = env_unix_us,
        .outbox       = env_outbox,
        .disk         = env_disk,
        .peek         = env_peek,
        .wake_workers = env_wake_workers,
        .wake_node    = env_wake_node,
    };
    rt->outboxes = coh_calloc(rt->env.rank_cnt, sizeof(*rt->outboxes));
    coh_wire_put_envelope(
        &rt->envelope,
        &(coh_envelope_t){.fingerprint = options->fingerprint, .sender = rt->env.rank});
    coh_vigil_init(
        &rt->vigil, rt->env.rank, rt->env.rank_cnt, options->silence_us, coh_clock_mono_us());
    rt->disk = coh_disk_new(
        options->kv, options->metrics, (int)rt->env.rank, options->backups, wake_from_disk, rt);
    *out = rt;
    return COH_OK;
}

coh_env_t *coh_runtime_env(coh_runtime_t *rt) { return &rt->env; }

void coh_runtime_set_node(coh_runtime_t *rt, coh_node_t *node)
{
    COH_ASSERT(rt->node == NULL);
    rt->node = node;
}

void coh_runtime_add_source(coh_runtime_t *rt, coh_runtime_source_t const *source)
{
    COH_ASSERT(rt->source_cnt < COH_RUNTIME_SOURCE_MAX);
    rt->sources[rt->source_cnt++] = *source;
}

void coh_runtime_stop(coh_runtime_t *rt)
{
    atomic_store(&rt->stop_wanted, true);
    wake_loop(rt);
}

void coh_runtime_abandon(coh_runtime_t *rt)
{
    atomic_store(&rt->abandoned, true);
    wake_loop(rt);
}

uint64_t coh_runtime_last_round_us(coh_runtime_t const *rt)
{
    return atomic_load_explicit(&rt->last_round_us, memory_order_relaxed);
}

/* Asks the guard about a frame; false: there is nothing in it for the node. */
static bool pass_guard(coh_runtime_t *rt, uint32_t src, coh_bytes_t *data)
{
    if (rt->stranger_did != COH_GUARD_PASS) {
        return false; /* the job is about to end */
    }
    coh_guard_verdict_t verdict = coh_guard_take(rt->options.guard, src, data);
    if (verdict != COH_GUARD_PASS && verdict != COH_GUARD_OWN) {
        rt->stranger     = src;
        rt->stranger_did = verdict;
    }
    return verdict == COH_GUARD_PASS;
}

static void on_frame(void *arg, uint32_t src, coh_bytes_t data)
{
    coh_runtime_t *rt = arg;
    coh_metric_add(rt->env.metrics, COH_M_net_frame_received, 1);
    coh_metric_add(rt->env.metrics, COH_M_net_received, data.n);
    coh_vigil_heard(&rt->vigil, src, rt->now_us);
    if (rt->options.guard != NULL && !pass_guard(rt, src, &data)) {
        return;
    }
    if (data.n == 0) { /* a farewell */
        coh_vigil_left(&rt->vigil, src);
        return;
    }
    rt->node->ops->on_frame(rt->node, src, data);
}

static void drop_frame(void *arg, uint32_t src, coh_bytes_t data)
{
    (void)arg;
    (void)src;
    (void)data;
}

/* Hands finished requests to the node. */
static bool finish_disk(coh_runtime_t *rt)
{
    coh_disk_req_t *req = coh_disk_take(rt->disk);
    bool any            = req != NULL;
    while (req != NULL) {
        coh_disk_req_t *next = req->next;
        req->next            = NULL;
        rt->node->ops->on_disk_done(rt->node, req);
        req = next;
    }
    return any;
}

/* Messages for a rank that has not proven itself wait in its outbox. They are few: nodes do not speak to who has not spoken, but for HELLO. */
static bool may_send(coh_runtime_t const *rt, uint32_t dst)
{
    return rt->options.guard == NULL || coh_guard_is_open(rt->options.guard, dst);
}

static void seal(coh_runtime_t *rt, uint32_t dst, coh_buf_t *frame)
{
    if (rt->options.guard != NULL) {
        coh_guard_seal(rt->options.guard, dst, frame);
    }
}

static coh_err_t flush(coh_runtime_t *rt, bool *any)
{
    for (uint32_t dst = 0; dst < rt->env.rank_cnt; dst++) {
        coh_buf_t *outbox = &rt->outboxes[dst];
        if (outbox->n <= rt->envelope.n || !may_send(rt, dst)) {
            continue;
        }
        seal(rt, dst, outbox);
        size_t n     = outbox->n;
        coh_err_t rc = rt->tp->ops->send(rt->tp, dst, outbox);
        if (rc == COH_ECLOSED) {
            /* A rank of this process that has ended: the node hears of it by other ways, or has
             * ended it itself. */
            coh_buf_clear(outbox);
            continue;
        }
        COH_TRY(rc);
        *any = true;
        coh_vigil_sent(&rt->vigil, dst, rt->now_us);
        coh_metric_add(rt->env.metrics, COH_M_net_frame_sent, 1);
        coh_metric_add(rt->env.metrics, COH_M_net_sent, n);
    }
    return COH_OK;
}

/* Sends a frame that no node has written; takes its memory. */
static coh_err_t send_raw(coh_runtime_t *rt, uint32_t dst, coh_buf_t *frame)
{
    size_t n     = frame->n;
    coh_err_t rc = rt->tp->ops->send(rt->tp, dst, frame);
    coh_buf_free(frame); /* what the transport gave in exchange */
    if (rc == COH_OK) {
        coh_vigil_sent(&rt->vigil, dst, rt->now_us);
        coh_metric_add(rt->env.metrics, COH_M_net_frame_sent, 1);
        coh_metric_add(rt->env.metrics, COH_M_net_sent, n);
    }
    return rc;
}

/* Sends a frame of the runtime's own: an envelope alone is a sign of life, nothing at all a farewell. */
static coh_err_t send_own(coh_runtime_t *rt, uint32_t dst, coh_bytes_t bytes)
{
    coh_buf_t frame = COH_BUF_INIT;
    if (!may_send(rt, dst)) {
        return COH_OK;
    }
    coh_buf_put(&frame, bytes.p, bytes.n);
    seal(rt, dst, &frame);
    return send_raw(rt, dst, &frame);
}

/* Sends what the guard has to say. Returns: COH_ESIG a peer is not of the job, now in stranger; of send */
static coh_err_t keep_guard(coh_runtime_t *rt)
{
    for (uint32_t peer = 0; rt->options.guard != NULL && peer < rt->env.rank_cnt; peer++) {
        coh_buf_t frame = COH_BUF_INIT;
        while (coh_guard_next(rt->options.guard, peer, &frame)) {
            COH_TRY(send_raw(rt, peer, &frame));
        }
    }
    if (rt->stranger_did != COH_GUARD_PASS) {
        COH_LOG_ERR("net",
                    "stranger",
                    "peer=%u text=\"%s\"",
                    rt->stranger,
                    coh_guard_text(rt->stranger_did));
        return COH_ESIG;
    }
    return COH_OK;
}

/* Sends the signs of life that are owed. Returns: COH_ETIMEOUT another rank is silent, now in silent_rank; of send */
static coh_err_t keep_vigil(coh_runtime_t *rt)
{
    if (!coh_vigil_round(&rt->vigil, rt->now_us)) {
        return COH_OK;
    }
    for (uint32_t peer = 0; peer < rt->env.rank_cnt; peer++) {
        uint64_t silent_us = coh_vigil_silent(&rt->vigil, peer, rt->now_us);
        if (silent_us != 0) {
            COH_LOG_ERR("net",
                        "rank is silent",
                        "peer=%u silent_ms=%llu",
                        peer,
                        (unsigned long long)(silent_us / 1000));
            rt->silent_rank = peer;
            rt->silent_us   = silent_us;
            return COH_ETIMEOUT;
        }
        if (coh_vigil_owes(&rt->vigil, peer, rt->now_us)) {
            COH_TRY(send_own(rt, peer, coh_buf_bytes(&rt->envelope)));
        }
    }
    return COH_OK;
}

/* Tells the others that this rank leaves, so that they do not take it for lost. */
static coh_err_t say_farewell(coh_runtime_t *rt)
{
    for (uint32_t peer = 0; rt->options.silence_us != 0 && peer < rt->env.rank_cnt; peer++) {
        if (peer != rt->env.rank) {
            COH_TRY(send_own(rt, peer, coh_bytes(NULL, 0)));
        }
    }
    return COH_OK;
}

static uint64_t resident_bytes(void)
{
    unsigned long long total    = 0;
    unsigned long long resident = 0;
    FILE *file                  = fopen("/proc/self/statm", "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%llu %llu", &total, &resident) != 2) {
        resident = 0;
    }
    (void)fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void refresh_store_metrics(coh_runtime_t *rt)
{
    coh_metrics_t *metrics = rt->env.metrics;
    if (rt->options.owns_process) {
        struct mallinfo2 heap = mallinfo2(); /* walks what is free: some time, too */
        coh_metric_set(metrics, COH_M_process_heap, heap.arena + heap.hblkhd);
        coh_metric_set(metrics, COH_M_process_heap_used, heap.uordblks + heap.hblkhd);
    }
    if (rt->options.kv_is_rocks) {
        coh_kv_rocks_stats_t stats;
        coh_kv_rocks_stats(rt->options.kv, &stats);
        coh_metric_set(metrics, COH_M_rocksdb_stall, stats.stall_micros * 1000);
        coh_metric_set(metrics, COH_M_rocksdb_compaction, stats.compaction_bytes);
        coh_metric_set(metrics, COH_M_rocksdb_sst, stats.sst_bytes);
        coh_metric_set(metrics, COH_M_rocksdb_memtable, stats.memtable_bytes);
        coh_metric_set(metrics, COH_M_rocksdb_cache, stats.cache_bytes);
        coh_metric_set(metrics, COH_M_rocksdb_cache_pinned, stats.cache_pinned_bytes);
        coh_metric_set(metrics, COH_M_rocksdb_reader, stats.reader_bytes);
    }
}

static void refresh_metrics(coh_runtime_t *rt)
{
    coh_metrics_t *metrics = rt->env.metrics;
    coh_metric_set(metrics, COH_M_process_comm_cpu, coh_clock_thread_cpu_ns());
    if (rt->options.owns_process) {
        coh_metric_set(metrics, COH_M_process_cpu, coh_clock_process_cpu_ns());
        coh_metric_set(metrics, COH_M_process_resident, resident_bytes());
    }
}

/* Waits until there may be something to do; busy_us: when there last was. True: nothing woke it before its tick, nothing has since, and all workers sleep. */
static bool wait_for_work(coh_runtime_t *rt, uint64_t now_us, uint64_t busy_us)
{
    int wait_fd       = rt->tp->ops->wait_fd(rt->tp);
    uint64_t sleep_us = TICK_US;
    if (rt->tp->ops->must_poll(rt->tp)) {
        uint64_t polled_us = (now_us - busy_us) / POLLED_IDLE_PER_SLEEP;
        polled_us          = COH_MAX(polled_us, POLLED_SLEEP_US_MIN);
        sleep_us           = COH_MIN(polled_us, POLLED_SLEEP_US_MAX);
    }
    if (rt->env.due_us > now_us) {
        sleep_us = COH_MIN(sleep_us, rt->env.due_us - now_us);
    }
    struct pollfd fds[2 + COH_RUNTIME_SOURCE_MAX];
    nfds_t fd_cnt = 0;
    fds[fd_cnt++] = (struct pollfd){.fd = rt->event_fd, .events = POLLIN};
    fds[fd_cnt++] =
        (struct pollfd){.fd = wait_fd, .events = POLLIN}; /* ppoll skips a negative one */
    for (uint32_t i = 0; i < rt->source_cnt; i++) {
        fds[fd_cnt++] = (struct pollfd){.fd = rt->sources[i].fd, .events = POLLIN};
    }
    bool to_tick = false;
    atomic_store(&rt->sleeping, true);
    if (!atomic_load(&rt->pending)) {
        struct timespec timeout = {.tv_nsec = (long)(sleep_us * 1000)};
        int rc                  = ppoll(fds, fd_cnt, &timeout, NULL);
        COH_ASSERT(rc >= 0 || errno == EINTR);
        if (rc == 0 && sleep_us == TICK_US) {
            /* Until it got the core back, somebody may have come. A worker that is at it will come. */
            timeout.tv_nsec = 0;
            to_tick         = ppoll(fds, fd_cnt, &timeout, NULL) == 0 &&
                      atomic_load(&rt->sleeper_cnt) == rt->worker_cnt;
        }
    }
    atomic_store(&rt->sleeping, false);
    if (fds[0].revents != 0) {
        uint64_t value;
        ssize_t n = read(rt->event_fd, &value, sizeof(value));
        (void)n; /* already read is as good */
    }
    return to_tick;
}

/* One round of the loop. */
static coh_err_t run_round(coh_runtime_t *rt, uint64_t now_us, bool *busy)
{
    coh_node_ops_t const *ops = rt->node->ops;
    rt->now_us                = now_us;
    int frames                = rt->tp->ops->poll(rt->tp, on_frame, rt);
    if (frames < 0) {
        return (coh_err_t)frames;
    }
    *busy = frames > 0;
    COH_TRY(keep_guard(rt));
    *busy |= finish_disk(rt);
    for (uint32_t i = 0; i < rt->source_cnt; i++) {
        *busy |= rt->sources[i].poll(rt->sources[i].arg, now_us);
    }
    rt->env.due_us = UINT64_MAX;
    *busy |= ops->on_tick(rt->node);
    COH_TRY(flush(rt, busy));
    COH_TRY(keep_vigil(rt));
    if (now_us >= rt->metrics_us) {
        rt->metrics_us = now_us + METRICS_US;
        refresh_metrics(rt);
    }
    if (now_us >= rt->store_metrics_us) {
        rt->store_metrics_us = now_us + STORE_METRICS_US;
        refresh_store_metrics(rt);
    }
    return COH_OK;
}

static coh_err_t run_loop(coh_runtime_t *rt)
{
    coh_node_ops_t const *ops = rt->node->ops;
    bool stopping             = false;
    uint64_t busy_us          = coh_clock_mono_us();
    bool to_tick              = false; /* it has slept to its tick */
    while (!ops->finished(rt->node)) {
        if (atomic_load(&rt->abandoned)) {
            return COH_ECLOSED;
        }
        bool busy = atomic_exchange(&rt->pending, false);
        if (!stopping && atomic_load(&rt->stop_wanted)) {
            stopping = true;
            ops->stop(rt->node);
        }
        uint64_t now_us = coh_clock_mono_us();
        atomic_store_explicit(&rt->last_round_us, coh_clock_unix_us(), memory_order_relaxed);
        bool did = false;
        to_tick  = to_tick && !busy && now_us < rt->env.due_us;
        COH_TRY(run_round(rt, now_us, &did));
        if (to_tick && did) {
            coh_metric_add(rt->env.metrics, COH_M_node_overslept, 1);
        }
        to_tick = false;
        if (busy || did) {
            busy_us = now_us;
        } else if (!ops->finished(rt->node)) {
            to_tick = wait_for_work(rt, now_us, busy_us);
        }
    }
    return COH_OK;
}

static void start_workers(coh_runtime_t *rt)
{
    rt->workers = coh_calloc(rt->options.worker_cnt, sizeof(*rt->workers));
    for (uint32_t i = 0; i < rt->options.worker_cnt; i++) {
        worker_t *worker = &rt->workers[i];
        *worker          = (worker_t){.rt = rt, .idx = i};
        int rc           = pthread_create(&worker->thread, NULL, worker_main, worker);
        COH_ASSERT(rc == 0);
        (void)pthread_setname_np(worker->thread, "coh-work");
        rt->worker_cnt++;
    }
}

static void stop_workers(coh_runtime_t *rt)
{
    atomic_store(&rt->workers_ending, true);
    env_wake_workers(&rt->env);
    for (uint32_t i = 0; i < rt->worker_cnt; i++) {
        int rc = pthread_join(rt->workers[i].thread, NULL);
        COH_ASSERT(rc == 0);
    }
    rt->worker_cnt = 0;
    free(rt->workers);
    rt->workers = NULL;
}

/* Ends the disk threads; the node takes back what it handed out. */
static void stop_disk(coh_runtime_t *rt)
{
    coh_disk_stop(rt->disk);
    rt->disk_stopped = true;
    while (rt->node != NULL && finish_disk(rt)) {
    }
}

/* Lets the last frames leave (a REFUSE with its reason, STOPPED); what still arrives is of no use.
 */
static void drain(coh_runtime_t *rt)
{
    bool any     = false;
    coh_err_t rc = flush(rt, &any);
    if (rc == COH_OK) {
        rc = say_farewell(rt);
    }
    uint64_t end_us = coh_clock_mono_us() + DRAIN_US_MAX;
    while (rc == COH_OK && rt->tp->ops->backlog(rt->tp) != 0 && coh_clock_mono_us() < end_us &&
           !atomic_load(&rt->abandoned)) {
        int frames = rt->tp->ops->poll(rt->tp, drop_frame, NULL);
        rc         = frames < 0 ? (coh_err_t)frames : COH_OK;
        (void)usleep(100);
    }
}

coh_err_t coh_runtime_run(coh_runtime_t *rt, coh_buf_t *err_text)
{
    COH_ASSERT(rt->node != NULL);
    (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    start_workers(rt);
    coh_err_t rc = run_loop(rt);
    if (rc == COH_OK || rc == COH_ECLOSED) {
        drain(rt);
    }
    stop_workers(rt);
    stop_disk(rt);
    refresh_metrics(rt);
    refresh_store_metrics(rt);
    char const *reason = rt->node->ops->failed(rt->node);
    if (reason != NULL) {
        coh_buf_printf(err_text, "%s", reason);
        return COH_EPROTO;
    }
    if (rt->stranger_did != COH_GUARD_PASS) {
        coh_buf_printf(err_text, "rank %u %s", rt->stranger, coh_guard_text(rt->stranger_did));
    } else if (rt->silent_us != 0) {
        coh_buf_printf(err_text,
                       "nothing was heard of rank %u for %.1f s (net-silence-seconds)",
                       rt->silent_rank,
                       (double)rt->silent_us / 1e6);
    } else if (rc != COH_OK && rc != COH_ECLOSED) {
        coh_buf_printf(err_text, "transport: %s", coh_err_str(rc));
    }
    return rc;
}

void coh_runtime_free(coh_runtime_t *rt)
{
    if (!rt->disk_stopped) { /* never run */
        stop_disk(rt);
    }
    if (rt->node != NULL) {
        rt->node->ops->free(rt->node);
    }
    coh_disk_free(rt->disk);
    for (uint32_t dst = 0; dst < rt->env.rank_cnt; dst++) {
        coh_buf_free(&rt->outboxes[dst]);
    }
    free(rt->outboxes);
    coh_buf_free(&rt->envelope);
    coh_vigil_fini(&rt->vigil);
    (void)close(rt->event_fd);
    free(rt);
}
