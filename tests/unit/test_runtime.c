/* The runtime under real threads: frames between nodes, disk requests in order and with one sync
   for many, a failing store, workers that sleep and are woken, stopping, abandoning; and the data
   directory's checks. */
/* links: coh_runtime coh_rocks */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/wire/wire.h"
#include "deploy/cohort/datadir.h"
#include "deploy/cohort/runtime.h"

#define FINGERPRINT UINT64_C(0x1122334455667788)

/* ---- A store that counts and, on demand, fails ---- */

typedef struct {
    coh_kv_t base;
    coh_kv_t *under;
    atomic_uint writes;
    atomic_uint syncs;
    unsigned fail_from;   /* this write and all after it fail, counted from 1; 0: none */
    pthread_mutex_t gate; /* held: writes wait */
} spy_kv_t;

static coh_err_t spy_write(coh_kv_t *kv, coh_kv_batch_t const *batch, bool sync)
{
    spy_kv_t *spy = (spy_kv_t *)kv;
    (void)pthread_mutex_lock(&spy->gate);
    (void)pthread_mutex_unlock(&spy->gate);
    unsigned number = atomic_fetch_add(&spy->writes, 1) + 1;
    atomic_fetch_add(&spy->syncs, sync ? 1 : 0);
    if (spy->fail_from != 0 && number >= spy->fail_from) {
        return COH_EIO;
    }
    return spy->under->ops->write(spy->under, batch, sync);
}

static coh_err_t spy_multi_get(coh_kv_t *kv,
                               coh_kv_table_t table,
                               size_t cnt,
                               coh_bytes_t const *keys,
                               coh_err_t *errs,
                               size_t *lens,
                               coh_buf_t *out)
{
    coh_kv_t *under = ((spy_kv_t *)kv)->under;
    return under->ops->multi_get(under, table, cnt, keys, errs, lens, out);
}

static coh_err_t spy_ingest(coh_kv_t *kv, coh_kv_batch_t const *batch)
{
    coh_kv_t *under = ((spy_kv_t *)kv)->under;
    return under->ops->ingest(under, batch);
}

static coh_kv_ops_t const spy_ops = {.write     = spy_write,
                                     .multi_get = spy_multi_get,
                                     .ingest    = spy_ingest};

static void spy_init(spy_kv_t *spy, unsigned fail_from)
{
    *spy = (spy_kv_t){.base = {.ops = &spy_ops}, .fail_from = fail_from};
    assert_int_equal(pthread_mutex_init(&spy->gate, NULL), 0);
    assert_int_equal(coh_kv_mem_open(&spy->under), COH_OK);
}

static void spy_fini(spy_kv_t *spy)
{
    spy->under->ops->close(spy->under);
    (void)pthread_mutex_destroy(&spy->gate);
}

/* ---- Nodes ---- */

/* Rank 0 sends WAVE 1; whoever gets wave w sends w + 1 back, up to ROUNDS. */
enum { ROUNDS = 3000 };

typedef struct {
    coh_node_t base;
    coh_env_t *env;
    coh_wire_reader_t *reader;
    uint32_t seen;
    uint32_t wrong;
    bool started;
    bool done;
    bool stopped;
} ping_t;

static void ping_send(ping_t *ping, uint32_t wave)
{
    coh_wire_put_wave(ping->env->outbox(ping->env, 1 - ping->env->rank),
                      &(coh_msg_wave_t){.block = 7, .wave = wave});
}

static void ping_on_frame(coh_node_t *node, uint32_t src, coh_bytes_t frame)
{
    ping_t *ping = (ping_t *)node;
    coh_envelope_t env;
    coh_msg_t msg;
    ping->wrong += coh_wire_reader_begin(ping->reader, frame, &env) != COH_OK;
    ping->wrong += env.fingerprint != FINGERPRINT || env.sender != src;
    while (coh_wire_reader_next(ping->reader, &msg) == COH_OK) {
        ping->wrong += msg.id != COH_MSG_WAVE || msg.u.wave.wave <= ping->seen;
        ping->seen = msg.u.wave.wave;
        if (ping->seen < ROUNDS) {
            ping_send(ping, ping->seen + 1);
        }
        ping->done = ping->seen >= ROUNDS - 1;
    }
}

static void ping_on_disk_done(coh_node_t *node, coh_disk_req_t *req)
{
    (void)node;
    (void)req;
}

static bool ping_on_tick(coh_node_t *node)
{
    ping_t *ping = (ping_t *)node;
    if (ping->env->rank == 0 && !ping->started) {
        ping->started = true;
        ping_send(ping, 1);
        return true;
    }
    return false;
}

static bool no_work(coh_node_t *node, uint32_t worker)
{
    (void)node;
    (void)worker;
    return false;
}

static void ping_stop(coh_node_t *node) { ((ping_t *)node)->stopped = true; }

static bool ping_finished(coh_node_t const *node) { return ((ping_t const *)node)->done; }

static char const *not_failed(coh_node_t const *node)
{
    (void)node;
    return NULL;
}

static void ping_free(coh_node_t *node) { coh_wire_reader_free(((ping_t *)node)->reader); }

static coh_node_ops_t const ping_ops = {
    .on_frame     = ping_on_frame,
    .on_disk_done = ping_on_disk_done,
    .on_tick      = ping_on_tick,
    .work         = no_work,
    .stop         = ping_stop,
    .finished     = ping_finished,
    .failed       = not_failed,
    .free         = ping_free,
};

static coh_runtime_t *runtime_new(coh_transport_t *tp, coh_kv_t *kv, uint32_t worker_cnt)
{
    coh_runtime_t *rt             = NULL;
    coh_runtime_options_t options = {
        .transport = tp, .kv = kv, .fingerprint = FINGERPRINT, .worker_cnt = worker_cnt};
    assert_int_equal(coh_runtime_new(&rt, &options), COH_OK);
    return rt;
}

static void *run(void *arg)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_err_t rc   = coh_runtime_run(arg, &text);
    coh_buf_free(&text);
    return (void *)(intptr_t)rc;
}

static void runtime_carries_frames_both_ways(void **state)
{
    (void)state;
    coh_transport_t *ends[2];
    coh_runtime_t *rts[2];
    ping_t pings[2];
    pthread_t threads[2];
    coh_kv_t *kv = NULL;
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    assert_int_equal(coh_transport_local_new(ends, 2), COH_OK);
    for (uint32_t i = 0; i < 2; i++) {
        rts[i]   = runtime_new(ends[i], kv, 1);
        pings[i] = (ping_t){.base   = {.ops = &ping_ops},
                            .env    = coh_runtime_env(rts[i]),
                            .reader = coh_wire_reader_new()};
        assert_int_equal(pings[i].env->rank, i);
        assert_int_equal(pings[i].env->rank_cnt, 2);
        coh_runtime_set_node(rts[i], &pings[i].base);
        assert_int_equal(pthread_create(&threads[i], NULL, run, rts[i]), 0);
    }
    for (uint32_t i = 0; i < 2; i++) {
        void *rc = NULL;
        assert_int_equal(pthread_join(threads[i], &rc), 0);
        assert_int_equal((intptr_t)rc, COH_OK);
        assert_int_equal(pings[i].wrong, 0);
        assert_true(pings[i].seen >= ROUNDS - 1);
        assert_true(coh_runtime_last_round_us(rts[i]) > 0);
        coh_runtime_free(rts[i]);
    }
    ends[0]->ops->close(ends[0]);
    ends[1]->ops->close(ends[1]);
    kv->ops->close(kv);
}

/* ---- Strangers ---- */

static coh_hash_t const genesis_id = {{7}};

static coh_guard_t *guard_new(uint32_t rank, char const *key)
{
    return coh_guard_new(&(coh_guard_options_t){.rank     = rank,
                                                .rank_cnt = 2,
                                                .key      = coh_bytes(key, strlen(key)),
                                                .build    = "test",
                                                .genesis  = &genesis_id});
}

#define JOB_KEY "0123456789abcdef0123456789abcdef"

typedef struct {
    coh_transport_t *ends[2];
    coh_kv_t *kv;
    coh_guard_t *guards[2];
    coh_runtime_t *rts[2]; /* of rank 1 only if it is one of ours */
    ping_t pings[2];
    coh_buf_t texts[2];
    coh_err_t rcs[2];
    pthread_t threads[2];
} guarded_t;

typedef struct {
    guarded_t *w;
    uint32_t rank;
} guarded_arg_t;

static void *run_guarded(void *arg)
{
    guarded_arg_t const *a = arg;
    a->w->rcs[a->rank]     = coh_runtime_run(a->w->rts[a->rank], &a->w->texts[a->rank]);
    return NULL;
}

/* Rank 0 runs; rank 1 does too if it has a runtime, else the test is it. */
static void guarded_init(guarded_t *w, char const *key0, char const *key1, bool both)
{
    *w = (guarded_t){0};
    assert_int_equal(coh_kv_mem_open(&w->kv), COH_OK);
    assert_int_equal(coh_transport_local_new(w->ends, 2), COH_OK);
    w->guards[0] = guard_new(0, key0);
    w->guards[1] = guard_new(1, key1);
    for (uint32_t i = 0; i < (both ? 2u : 1u); i++) {
        coh_runtime_options_t options = {.transport   = w->ends[i],
                                         .kv          = w->kv,
                                         .fingerprint = FINGERPRINT,
                                         .worker_cnt  = 1,
                                         .silence_us  = 10000000,
                                         .guard       = w->guards[i]};
        assert_int_equal(coh_runtime_new(&w->rts[i], &options), COH_OK);
        w->pings[i] = (ping_t){.base   = {.ops = &ping_ops},
                               .env    = coh_runtime_env(w->rts[i]),
                               .reader = coh_wire_reader_new()};
        coh_runtime_set_node(w->rts[i], &w->pings[i].base);
    }
}

static void guarded_fini(guarded_t *w)
{
    for (uint32_t i = 0; i < 2; i++) {
        if (w->rts[i] != NULL) {
            coh_runtime_free(w->rts[i]);
        }
        coh_guard_free(w->guards[i]);
        coh_buf_free(&w->texts[i]);
        w->ends[i]->ops->close(w->ends[i]);
    }
    w->kv->ops->close(w->kv);
}

static void runtime_of_one_job_talks_past_the_guard(void **state)
{
    (void)state;
    static char const *const keys[] = {JOB_KEY, ""};
    for (size_t k = 0; k < 2; k++) {
        guarded_t w;
        guarded_init(&w, keys[k], keys[k], true);
        guarded_arg_t args[2] = {{&w, 0}, {&w, 1}};
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&w.threads[i], NULL, run_guarded, &args[i]), 0);
        }
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(pthread_join(w.threads[i], NULL), 0);
            assert_int_equal(w.rcs[i], COH_OK);
            assert_int_equal(w.pings[i].wrong, 0);
            assert_true(w.pings[i].seen >= ROUNDS - 1);
        }
        guarded_fini(&w);
    }
}

/* What the test, as rank 1, keeps of what rank 0 sends. */
static void take_as_stranger(void *arg, uint32_t src, coh_bytes_t data)
{
    guarded_t *w = arg;
    assert_int_equal(src, 0);
    (void)coh_guard_take(w->guards[1], 0, &data);
}

static void send_as_stranger(guarded_t *w, coh_buf_t *frame)
{
    assert_int_equal(w->ends[1]->ops->send(w->ends[1], 0, frame), COH_OK);
    coh_buf_free(frame);
}

static coh_buf_t wave_frame(uint32_t wave)
{
    coh_buf_t frame = COH_BUF_INIT;
    coh_wire_put_envelope(&frame, &(coh_envelope_t){.fingerprint = FINGERPRINT, .sender = 1});
    coh_wire_put_wave(&frame, &(coh_msg_wave_t){.block = 7, .wave = wave});
    return frame;
}

/* Proves itself to rank 0 as far as its key reaches. */
static void shake_as_stranger(guarded_t *w)
{
    for (int i = 0; i < 10000; i++) {
        coh_buf_t frame = COH_BUF_INIT;
        while (coh_guard_next(w->guards[1], 0, &frame)) {
            send_as_stranger(w, &frame);
        }
        if (w->ends[1]->ops->poll(w->ends[1], take_as_stranger, w) > 0 &&
            coh_guard_is_open(w->guards[1], 0)) {
            return;
        }
        (void)usleep(1000);
    }
    fail_msg("rank 0 has not proven itself");
}

/* Rank 0 must end with this text, its node having seen waves up to seen, 0: none. */
static void expect_stranger(guarded_t *w, char const *text, uint32_t seen)
{
    assert_int_equal(pthread_join(w->threads[0], NULL), 0);
    coh_buf_put_u8(&w->texts[0], 0);
    assert_int_equal(w->rcs[0], COH_ESIG);
    assert_non_null(strstr((char *)w->texts[0].p, "rank 1"));
    assert_non_null(strstr((char *)w->texts[0].p, text));
    assert_int_equal(w->pings[0].seen, seen);
    assert_int_equal(w->pings[0].wrong, 0);
    guarded_fini(w);
}

static void runtime_ends_before_a_stranger_is_heard(void **state)
{
    (void)state;
    guarded_t w;
    guarded_arg_t arg = {&w, 0};
    coh_buf_t frame;

    /* A message before all proof, and one behind it. */
    guarded_init(&w, JOB_KEY, "", false);
    frame = wave_frame(2);
    send_as_stranger(&w, &frame);
    frame = wave_frame(3);
    send_as_stranger(&w, &frame);
    assert_int_equal(pthread_create(&w.threads[0], NULL, run_guarded, &arg), 0);
    expect_stranger(&w, "without proof", 0);

    /* Another key. */
    guarded_init(&w, JOB_KEY, "another-key-of-32-characters-....", false);
    assert_int_equal(pthread_create(&w.threads[0], NULL, run_guarded, &arg), 0);
    coh_buf_t challenge = COH_BUF_INIT;
    assert_true(coh_guard_next(w.guards[1], 0, &challenge));
    send_as_stranger(&w, &challenge);
    for (int i = 0; i < 10000; i++) {
        coh_buf_t proof = COH_BUF_INIT;
        (void)w.ends[1]->ops->poll(w.ends[1], take_as_stranger, &w);
        if (coh_guard_next(w.guards[1], 0, &proof)) {
            send_as_stranger(&w, &proof);
            break;
        }
        (void)usleep(1000);
    }
    expect_stranger(&w, "does not hold this job's key", 0);

    /* One that has a key meets one that has none. */
    guarded_init(&w, "", JOB_KEY, false);
    assert_true(coh_guard_next(w.guards[1], 0, &challenge));
    send_as_stranger(&w, &challenge);
    assert_int_equal(pthread_create(&w.threads[0], NULL, run_guarded, &arg), 0);
    expect_stranger(&w, "started without one", 0);

    /* A rank of the job whose frames somebody repeats. */
    guarded_init(&w, JOB_KEY, JOB_KEY, false);
    assert_int_equal(pthread_create(&w.threads[0], NULL, run_guarded, &arg), 0);
    shake_as_stranger(&w);
    frame = wave_frame(2);
    coh_guard_seal(w.guards[1], 0, &frame);
    coh_buf_t again = COH_BUF_INIT;
    coh_buf_put(&again, frame.p, frame.n);
    send_as_stranger(&w, &frame);
    send_as_stranger(&w, &again);
    frame = wave_frame(5);
    coh_guard_seal(w.guards[1], 0, &frame);
    send_as_stranger(&w, &frame);
    expect_stranger(&w, "does not carry its mark", 2);
}

/* A node that hands out requests at its first tick and notes how they come back. */
enum { REQ_MAX = 40 };

typedef struct {
    coh_node_t base;
    coh_env_t *env;
    coh_disk_req_t reqs[REQ_MAX];
    uint32_t req_cnt;
    uint32_t put_cnt;
    uint32_t done_cnt;
    uint32_t done_tags[REQ_MAX];
    pthread_mutex_t *gate; /* unlocked once all requests are queued */
    /* Workers. */
    atomic_uint todo;
    atomic_uint work_done;
    bool failing;
    bool stopped;
} disk_node_t;

static void disk_on_frame(coh_node_t *node, uint32_t src, coh_bytes_t frame)
{
    (void)node;
    (void)src;
    (void)frame;
}

static void disk_on_done(coh_node_t *node, coh_disk_req_t *req)
{
    disk_node_t *d              = (disk_node_t *)node;
    d->done_tags[d->done_cnt++] = req->tag;
}

static bool disk_on_tick(coh_node_t *node)
{
    disk_node_t *d = (disk_node_t *)node;
    if (d->put_cnt == d->req_cnt) {
        return false;
    }
    while (d->put_cnt < d->req_cnt) {
        d->env->disk(d->env, &d->reqs[d->put_cnt++]);
    }
    if (d->gate != NULL) {
        (void)pthread_mutex_unlock(d->gate);
    }
    return true;
}

static bool disk_work(coh_node_t *node, uint32_t worker)
{
    (void)worker;
    disk_node_t *d = (disk_node_t *)node;
    unsigned todo  = atomic_load(&d->todo);
    while (todo != 0 && !atomic_compare_exchange_weak(&d->todo, &todo, todo - 1)) {
    }
    if (todo == 0) {
        return false;
    }
    if (atomic_fetch_add(&d->work_done, 1) + 1 == 1000) {
        d->env->wake_node(d->env);
    }
    return true;
}

static void disk_stop(coh_node_t *node) { ((disk_node_t *)node)->stopped = true; }

static bool disk_finished(coh_node_t const *node)
{
    disk_node_t const *d = (disk_node_t const *)node;
    return d->failing || (d->req_cnt != 0 && d->done_cnt == d->req_cnt) || d->stopped ||
           atomic_load(&d->work_done) == 1000;
}

static char const *disk_failed(coh_node_t const *node)
{
    return ((disk_node_t const *)node)->failing ? "it broke" : NULL;
}

static void disk_free(coh_node_t *node)
{
    disk_node_t *d = (disk_node_t *)node;
    for (uint32_t i = 0; i < d->req_cnt; i++) {
        coh_kv_batch_free(&d->reqs[i].batch);
        coh_kv_batch_free(&d->reqs[i].after);
        coh_buf_free(&d->reqs[i].values);
    }
}

static coh_node_ops_t const disk_ops = {
    .on_frame     = disk_on_frame,
    .on_disk_done = disk_on_done,
    .on_tick      = disk_on_tick,
    .work         = disk_work,
    .stop         = disk_stop,
    .finished     = disk_finished,
    .failed       = disk_failed,
    .free         = disk_free,
};

static coh_disk_req_t *add_write(disk_node_t *d, coh_disk_kind_t kind, char const *key)
{
    coh_disk_req_t *req = &d->reqs[d->req_cnt];
    req->kind           = kind;
    req->tag            = d->req_cnt++;
    coh_kv_batch_put(
        &req->batch, COH_KV_ACCOUNTS, coh_bytes(key, strlen(key)), coh_bytes(key, strlen(key)));
    return req;
}

static bool has(coh_kv_t *kv, char const *key)
{
    coh_buf_t out = COH_BUF_INIT;
    bool found    = kv->ops->get(kv, COH_KV_ACCOUNTS, coh_bytes(key, strlen(key)), &out) == COH_OK;
    coh_buf_free(&out);
    return found;
}

typedef struct {
    coh_transport_t *tp;
    spy_kv_t spy;
    coh_runtime_t *rt;
    disk_node_t node;
} world_t;

static void world_init(world_t *w, unsigned fail_from, uint32_t worker_cnt)
{
    memset(&w->node, 0, sizeof(w->node));
    assert_int_equal(coh_transport_local_new(&w->tp, 1), COH_OK);
    spy_init(&w->spy, fail_from);
    w->rt            = runtime_new(w->tp, &w->spy.base, worker_cnt);
    w->node.base.ops = &disk_ops;
    w->node.env      = coh_runtime_env(w->rt);
    coh_runtime_set_node(w->rt, &w->node.base);
}

static coh_err_t world_run(world_t *w) { return (coh_err_t)(intptr_t)run(w->rt); }

static void world_fini(world_t *w)
{
    coh_runtime_free(w->rt);
    w->tp->ops->close(w->tp);
    spy_fini(&w->spy);
}

static void runtime_shares_one_sync(void **state)
{
    (void)state;
    static world_t w;
    world_init(&w, 0, 1);
    /* The writer is held back at its first write until all requests are queued. */
    (void)add_write(&w.node, COH_DISK_WRITE, "first");
    char key[8];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "k%02d", i);
        (void)add_write(&w.node, i % 2 == 0 ? COH_DISK_WRITE_SYNC : COH_DISK_WRITE, key);
    }
    coh_disk_req_t *ingest = add_write(&w.node, COH_DISK_INGEST, "ingested");
    coh_kv_batch_put(&ingest->after, COH_KV_ACCOUNTS, coh_bytes("after", 5), coh_bytes("x", 1));
    (void)add_write(&w.node, COH_DISK_WRITE_SYNC, "last");
    w.node.gate = &w.spy.gate;
    (void)pthread_mutex_lock(&w.spy.gate);
    assert_int_equal(world_run(&w), COH_OK);
    assert_int_equal(w.node.done_cnt, 23);
    for (uint32_t i = 0; i < 23; i++) {
        assert_int_equal(w.node.done_tags[i], i);
        assert_int_equal(w.node.reqs[i].err, COH_OK);
    }
    /* One for the ten synced writes, however few of them were queued when the first group was taken
     * up, one more; one after the ingest. */
    assert_true(atomic_load(&w.spy.syncs) >= 2 && atomic_load(&w.spy.syncs) <= 3);
    assert_int_equal(atomic_load(&w.spy.writes), 23);
    assert_true(has(w.spy.under, "first") && has(w.spy.under, "k19") &&
                has(w.spy.under, "ingested") && has(w.spy.under, "after") &&
                has(w.spy.under, "last"));
    world_fini(&w);
}

static void runtime_reports_failed_writes(void **state)
{
    (void)state;
    static world_t w;
    world_init(&w, 3, 1);
    static char const *const keys[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < COH_CNT(keys); i++) {
        (void)add_write(&w.node, COH_DISK_WRITE_SYNC, keys[i]);
    }
    (void)add_write(&w.node, COH_DISK_INGEST, "f");
    assert_int_equal(world_run(&w), COH_OK);
    /* Nothing after the gap is written; what shares the failed sync is not durable either. */
    bool failed = false;
    for (uint32_t i = 0; i < 6; i++) {
        failed = failed || w.node.reqs[i].err != COH_OK;
        assert_int_equal(w.node.reqs[i].err, failed ? COH_EIO : COH_OK);
        assert_true(i < 2 || failed);
    }
    assert_true(has(w.spy.under, "a") && has(w.spy.under, "b"));
    assert_false(has(w.spy.under, "c") || has(w.spy.under, "d") || has(w.spy.under, "e") ||
                 has(w.spy.under, "f"));
    world_fini(&w);
}

static void runtime_reads_beside_writes(void **state)
{
    (void)state;
    static world_t w;
    world_init(&w, 0, 1);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, coh_bytes("a", 1), coh_bytes("123", 3));
    coh_kv_batch_put(&batch, COH_KV_ACCOUNTS, coh_bytes("c", 1), coh_bytes("45", 2));
    assert_int_equal(w.spy.under->ops->write(w.spy.under, &batch, false), COH_OK);
    coh_kv_batch_free(&batch);
    coh_bytes_t keys[3] = {coh_bytes("a", 1), coh_bytes("b", 1), coh_bytes("c", 1)};
    coh_err_t errs[3];
    size_t lens[3];
    w.node.reqs[0] = (coh_disk_req_t){.kind    = COH_DISK_READ,
                                      .table   = COH_KV_ACCOUNTS,
                                      .key_cnt = 3,
                                      .keys    = keys,
                                      .errs    = errs,
                                      .lens    = lens};
    w.node.req_cnt = 1;
    assert_int_equal(world_run(&w), COH_OK);
    assert_int_equal(w.node.reqs[0].err, COH_OK);
    assert_int_equal(errs[0], COH_OK);
    assert_int_equal(errs[1], COH_ENOTFOUND);
    assert_int_equal(errs[2], COH_OK);
    assert_true(coh_bytes_eq(coh_buf_bytes(&w.node.reqs[0].values), coh_bytes("12345", 5)));
    world_fini(&w);
}

static void runtime_loses_no_wake_of_workers(void **state)
{
    (void)state;
    static world_t w;
    world_init(&w, 0, 3);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, w.rt), 0);
    for (int i = 0; i < 1000; i++) {
        if (i % 50 == 0) {
            (void)usleep(500); /* let them fall asleep now and then */
        }
        atomic_fetch_add(&w.node.todo, 1);
        w.node.env->wake_workers(w.node.env);
    }
    /* A lost wake-up leaves work undone, and the test hangs. */
    void *rc = NULL;
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, COH_OK);
    assert_int_equal(atomic_load(&w.node.work_done), 1000);
    world_fini(&w);
}

static void runtime_stops_fails_and_abandons(void **state)
{
    (void)state;
    static world_t w;
    pthread_t thread;
    void *rc = NULL;
    world_init(&w, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, run, w.rt), 0);
    coh_runtime_stop(w.rt);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, COH_OK);
    assert_true(w.node.stopped);
    world_fini(&w);

    world_init(&w, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, run, w.rt), 0);
    coh_runtime_abandon(w.rt);
    assert_int_equal(pthread_join(thread, &rc), 0);
    assert_int_equal((intptr_t)rc, COH_ECLOSED);
    world_fini(&w);

    world_init(&w, 0, 1);
    w.node.failing = true;
    coh_buf_t text = COH_BUF_INIT;
    assert_int_equal(coh_runtime_run(w.rt, &text), COH_EPROTO);
    assert_true(coh_bytes_eq(coh_buf_bytes(&text), coh_bytes("it broke", 8)));
    coh_buf_free(&text);
    world_fini(&w);

    world_init(&w, 0, 1); /* never run */
    world_fini(&w);
}

/* A node that finds something to do at its second tick. */
typedef struct {
    coh_node_t base;
    coh_env_t *env;
    uint32_t tick_cnt;
    bool asks_for_tick;
} late_node_t;

static bool late_on_tick(coh_node_t *node)
{
    late_node_t *late = (late_node_t *)node;
    if (late->asks_for_tick) {
        late->env->due_us = late->env->mono_us(late->env) + 1000;
    }
    return ++late->tick_cnt >= 2;
}

static bool late_work(coh_node_t *node, uint32_t worker)
{
    (void)node;
    (void)worker;
    return false;
}

static bool late_finished(coh_node_t const *node)
{
    return ((late_node_t const *)node)->tick_cnt >= 3;
}

static char const *late_failed(coh_node_t const *node)
{
    (void)node;
    return NULL;
}

static void late_free(coh_node_t *node) { (void)node; }

static coh_node_ops_t const late_ops = {
    .on_tick  = late_on_tick,
    .work     = late_work,
    .finished = late_finished,
    .failed   = late_failed,
    .free     = late_free,
};

static void runtime_counts_what_it_overslept(void **state)
{
    (void)state;
    for (int asks = 0; asks < 2; asks++) {
        coh_transport_t *tp;
        spy_kv_t spy;
        coh_metrics_t *metrics = coh_metrics_new(0);
        assert_int_equal(coh_transport_local_new(&tp, 1), COH_OK);
        spy_init(&spy, 0);
        coh_runtime_t *rt             = NULL;
        coh_runtime_options_t options = {
            .transport = tp, .kv = &spy.base, .fingerprint = FINGERPRINT, .metrics = metrics};
        assert_int_equal(coh_runtime_new(&rt, &options), COH_OK);
        late_node_t late = {
            .base = {.ops = &late_ops}, .env = coh_runtime_env(rt), .asks_for_tick = asks == 1};
        coh_runtime_set_node(rt, &late.base);
        assert_int_equal((intptr_t)run(rt), COH_OK);
        assert_int_equal(late.tick_cnt, 3);
        assert_int_equal(coh_metric_get(metrics, COH_M_node_overslept), 1 - asks);
        coh_runtime_free(rt);
        tp->ops->close(tp);
        spy_fini(&spy);
        coh_metrics_free(metrics);
    }
}

/* ---- The data directory ---- */

typedef struct {
    char dir[64];
    char genesis_path[96];
    coh_genesis_t genesis;
} place_t;

static int place_setup(void **state)
{
    place_t *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/coh-test-datadir-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->genesis_path, sizeof(p->genesis_path), "%s/genesis.json", p->dir);
    int fd = open(p->genesis_path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{}", 2), 2);
    (void)close(fd);
    p->genesis.chain_id = 5;
    memset(p->genesis.identity.b, 0xab, sizeof(p->genesis.identity.b));
    *state = p;
    return 0;
}

static int place_teardown(void **state)
{
    char command[256];
    place_t *p = *state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", p->dir);
    int rc = system(command);
    free(p);
    return rc;
}

static coh_err_t open_as(place_t const *p,
                         uint32_t rank,
                         uint32_t rank_cnt,
                         coh_genesis_t const *genesis,
                         char const *text_has)
{
    coh_datadir_t *dd = NULL;
    coh_kv_t *kv      = NULL;
    coh_buf_t text    = COH_BUF_INIT;
    coh_err_t rc      = coh_datadir_open(&dd, p->dir, rank, rank_cnt, &text);
    if (rc == COH_OK) {
        if (coh_datadir_is_fresh(dd)) {
            rc = coh_datadir_create(dd, genesis, p->genesis_path, &text);
        }
        if (rc == COH_OK) {
            rc = coh_datadir_open_kv(dd, &kv, genesis, 1 << 20, &text);
        }
        if (rc == COH_OK) {
            kv->ops->close(kv);
        }
        coh_datadir_close(dd);
    }
    coh_buf_put_u8(&text, 0);
    if (text_has != NULL && strstr((char *)text.p, text_has) == NULL) {
        fail_msg("'%s' lacks '%s'", (char *)text.p, text_has);
    }
    coh_buf_free(&text);
    return rc;
}

static void datadir_knows_its_own(void **state)
{
    place_t *p = *state;
    assert_int_equal(open_as(p, 1, 3, &p->genesis, NULL), COH_OK);
    assert_int_equal(open_as(p, 1, 3, &p->genesis, NULL), COH_OK);
    assert_int_equal(open_as(p, 1, 4, &p->genesis, "made for 2 shards, this cluster has 3"),
                     COH_EMISMATCH);
    coh_genesis_t other = p->genesis;
    other.identity.b[31] ^= 1;
    assert_int_equal(open_as(p, 1, 3, &other, "ababaa"), COH_EMISMATCH);
    other          = p->genesis;
    other.chain_id = 6;
    assert_int_equal(open_as(p, 1, 3, &other, "chain 5"), COH_EMISMATCH);
    /* A folder under another rank's name. */
    char from[96];
    char to[96];
    (void)snprintf(from, sizeof(from), "%s/rank-1", p->dir);
    (void)snprintf(to, sizeof(to), "%s/rank-2", p->dir);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(open_as(p, 2, 3, &p->genesis, "holds the data of rank 1"), COH_EMISMATCH);
}

static void datadir_starts_over_after_a_torn_start(void **state)
{
    place_t *p = *state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/rank-0.new", p->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/rank-0.new/genesis.json", p->dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(open_as(p, 0, 2, &p->genesis, NULL), COH_OK);
    (void)snprintf(path, sizeof(path), "%s/rank-0.new", p->dir);
    assert_int_equal(access(path, F_OK), -1);
    /* A folder whose store has gone is damage, not a fresh start. */
    char command[256];
    (void)snprintf(command, sizeof(command), "rm -rf '%s/rank-0/db'", p->dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(open_as(p, 0, 2, &p->genesis, "db is missing"), COH_ECORRUPT);
    (void)snprintf(path, sizeof(path), "%s/rank-0/db", p->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(open_as(p, 0, 2, &p->genesis, "has no identity"), COH_ECORRUPT);
}

static void datadir_is_used_by_one(void **state)
{
    place_t *p        = *state;
    coh_datadir_t *dd = NULL;
    coh_buf_t text    = COH_BUF_INIT;
    assert_int_equal(coh_datadir_open(&dd, p->dir, 0, 2, &text), COH_OK);
    char want[64];
    (void)snprintf(want, sizeof(want), "in use by process %ld", (long)getpid());
    assert_int_equal(open_as(p, 0, 2, &p->genesis, want), COH_ELOCKED);
    coh_datadir_close(dd);
    assert_int_equal(open_as(p, 0, 2, &p->genesis, NULL), COH_OK);
    assert_int_equal(coh_datadir_open(&dd, "/nonexistent/a", 0, 2, &text), COH_ENOTFOUND);
    coh_buf_free(&text);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(runtime_carries_frames_both_ways),
        cmocka_unit_test(runtime_of_one_job_talks_past_the_guard),
        cmocka_unit_test(runtime_ends_before_a_stranger_is_heard),
        cmocka_unit_test(runtime_shares_one_sync),
        cmocka_unit_test(runtime_reports_failed_writes),
        cmocka_unit_test(runtime_reads_beside_writes),
        cmocka_unit_test(runtime_loses_no_wake_of_workers),
        cmocka_unit_test(runtime_counts_what_it_overslept),
        cmocka_unit_test(runtime_stops_fails_and_abandons),
        cmocka_unit_test_setup_teardown(datadir_knows_its_own, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(
            datadir_starts_over_after_a_torn_start, place_setup, place_teardown),
        cmocka_unit_test_setup_teardown(datadir_is_used_by_one, place_setup, place_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
