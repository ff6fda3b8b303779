#include "deploy/cohort/block_cluster.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/checksum.h"
#include "common/base/rng.h"
#include "common/node/disk_req.h"
#include "common/wire/wire.h"
#include "shard/shard.h"

/* Rounds in which nothing happens, with no other thread that could make something happen. */
#define IDLE_ROUNDS_MAX 1000u
/* The same with other threads, which may be in the middle of a long transaction: minutes. */
#define IDLE_ROUNDS_MAX_THREADS 400000000u
/* One in so many rounds is the last before a restart. */
#define RESTART_ODDS 60u
/* Frames that a rank takes in a turn. */
#define TURN_FRAMES 4u

typedef struct frame {
    struct frame *next;
    uint64_t due_us; /* not to be taken before */
    coh_buf_t bytes;
} frame_t;

/* Frames from one rank to another. */
typedef struct {
    frame_t *first;
    frame_t **last;
} lane_t;

typedef struct {
    coh_env_t env; /* first: it is cast back */
    coh_block_cluster_t *cluster;
    coh_node_t *node;
    coh_kv_t *kv;
    coh_buf_t envelope;
    coh_buf_t *outboxes; /* by destination */
    lane_t *lanes;       /* by source */
    coh_disk_req_t *disk_first;
    coh_disk_req_t **disk_last;
} rank_t;

struct coh_block_cluster {
    coh_block_cluster_layout_t layout;
    coh_rng_t rng;
    uint32_t rank_cnt;
    rank_t *ranks;
    uint64_t now_us; /* a clock that moves with the steps */
    coh_wire_reader_t *reader;
    coh_coordinator_t *coordinator;

    /* The run. */
    coh_config_t config;
    coh_genesis_t const *genesis;
    uint32_t restarts_left;
    bool is_ending_run;
    bool is_stopping;
    uint64_t first; /* number of the first of blocks */
    coh_import_block_t const *blocks;
    size_t block_cnt;
    size_t handed_cnt;
    size_t done_cnt;
    coh_block_cluster_visitor_t const *visitor;
    coh_block_cluster_report_t report;
    coh_gateway_sink_t sink;
    bool goes_on;       /* as the visitor has it */
    uint64_t asked_cnt; /* requests that are not answered */

    /* Helpers work while is_open; inside counts those that are at it. */
    pthread_t *threads;
    uint32_t thread_cnt;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_ending; /* lock */
    _Atomic bool
        is_open; /* seq_cst, against inside: either a helper sees it closed, or the closer sees the helper */
    _Atomic uint32_t inside;
    _Atomic uint64_t work_cnt; /* pieces of work that helpers did */
};

typedef struct {
    coh_block_cluster_t *cluster;
    uint32_t worker;
} helper_t;

/* ---- helper threads ---- */

static void lock(coh_block_cluster_t *c)
{
    int rc = pthread_mutex_lock(&c->lock);
    COH_ASSERT(rc == 0);
}

static void unlock(coh_block_cluster_t *c)
{
    int rc = pthread_mutex_unlock(&c->lock);
    COH_ASSERT(rc == 0);
}

/* One round over the shards; false: nothing to do, or closed. */
static bool help(coh_block_cluster_t *c, uint32_t worker)
{
    bool did = false;
    atomic_fetch_add(&c->inside, 1);
    if (atomic_load(&c->is_open)) {
        for (uint32_t r = 1; r < c->rank_cnt; r++) {
            did = c->ranks[r].node->ops->work(c->ranks[r].node, worker) || did;
        }
    }
    if (did) {
        atomic_fetch_add_explicit(&c->work_cnt, 1, memory_order_relaxed);
    }
    atomic_fetch_sub(&c->inside, 1);
    return did;
}

static void *help_all(void *arg)
{
    helper_t *helper       = arg;
    coh_block_cluster_t *c = helper->cluster;
    uint32_t worker        = helper->worker;
    free(helper);
    for (;;) {
        lock(c);
        while (!c->is_ending && !atomic_load(&c->is_open)) {
            int rc = pthread_cond_wait(&c->changed, &c->lock);
            COH_ASSERT(rc == 0);
        }
        bool ends = c->is_ending;
        unlock(c);
        if (ends) {
            return NULL;
        }
        while (atomic_load(&c->is_open)) {
            if (!help(c, worker)) {
                (void)sched_yield();
            }
        }
    }
}

static void open_work(coh_block_cluster_t *c)
{
    lock(c);
    atomic_store(&c->is_open, true);
    int rc = pthread_cond_broadcast(&c->changed);
    COH_ASSERT(rc == 0);
    unlock(c);
}

static void close_work(coh_block_cluster_t *c)
{
    atomic_store(&c->is_open, false);
    while (atomic_load(&c->inside) != 0) {
        (void)sched_yield();
    }
}

coh_block_cluster_t *coh_block_cluster_new(coh_block_cluster_layout_t const *layout)
{
    COH_ASSERT(layout->shard_cnt > 0 && layout->thread_cnt > 0);
    coh_block_cluster_t *c = coh_calloc(1, sizeof(*c));
    c->layout              = *layout;
    c->rank_cnt            = layout->shard_cnt + 1;
    c->ranks               = coh_calloc(c->rank_cnt, sizeof(*c->ranks));
    c->thread_cnt          = layout->thread_cnt - 1;
    c->threads             = coh_calloc(c->thread_cnt, sizeof(*c->threads));
    coh_rng_seed(&c->rng, layout->seed);
    c->reader = coh_wire_reader_new();
    int rc    = pthread_mutex_init(&c->lock, NULL);
    COH_ASSERT(rc == 0);
    rc = pthread_cond_init(&c->changed, NULL);
    COH_ASSERT(rc == 0);
    for (uint32_t i = 0; i < c->thread_cnt; i++) {
        helper_t *helper = coh_calloc(1, sizeof(*helper));
        *helper          = (helper_t){.cluster = c, .worker = i + 1};
        rc               = pthread_create(&c->threads[i], NULL, help_all, helper);
        COH_ASSERT(rc == 0);
    }
    return c;
}

void coh_block_cluster_free(coh_block_cluster_t *c)
{
    lock(c);
    c->is_ending = true;
    int rc       = pthread_cond_broadcast(&c->changed);
    COH_ASSERT(rc == 0);
    unlock(c);
    for (uint32_t i = 0; i < c->thread_cnt; i++) {
        rc = pthread_join(c->threads[i], NULL);
        COH_ASSERT(rc == 0);
    }
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    coh_wire_reader_free(c->reader);
    free(c->threads);
    free(c->ranks);
    free(c);
}

void coh_block_cluster_place(coh_block_cluster_t *c, char const *placement)
{
    c->layout.placement = placement;
}

/* ---- the environment of a rank ---- */

static uint64_t env_now_us(coh_env_t *env) { return ((rank_t *)env)->cluster->now_us; }

static uint64_t env_unix_us(coh_env_t *env)
{
    return UINT64_C(1700000000000000) + ((rank_t *)env)->cluster->now_us;
}

static coh_buf_t *env_outbox(coh_env_t *env, uint32_t dst)
{
    rank_t *r = (rank_t *)env;
    COH_ASSERT(dst < env->rank_cnt && dst != env->rank);
    if (r->outboxes[dst].n == 0) {
        coh_buf_put(&r->outboxes[dst], r->envelope.p, r->envelope.n);
    }
    return &r->outboxes[dst];
}

static void env_disk(coh_env_t *env, coh_disk_req_t *req)
{
    rank_t *r     = (rank_t *)env;
    req->next     = NULL;
    *r->disk_last = req;
    r->disk_last  = &req->next;
}

/* Some keys are in memory and some are not: half of them, as the seed has it. */
static coh_err_t env_peek(coh_env_t *env, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    rank_t *r    = (rank_t *)env;
    uint64_t mix = coh_mix64(coh_checksum64(key.p, key.n) ^ r->cluster->layout.seed);
    return mix % 2 != 0 ? r->kv->ops->peek(r->kv, table, key, out) : COH_EBUSY;
}

static void env_wake(coh_env_t *env) { (void)env; /* nobody sleeps */ }

/* Over a store that it may have from before. */
static coh_err_t open_rank(coh_block_cluster_t *c, uint32_t rank, coh_buf_t *err_text)
{
    coh_config_t const *config   = &c->config;
    coh_genesis_t const *genesis = c->genesis;
    rank_t *r                    = &c->ranks[rank];
    r->cluster                   = c;
    r->disk_last                 = &r->disk_first;
    r->outboxes                  = coh_calloc(c->rank_cnt, sizeof(*r->outboxes));
    r->lanes                     = coh_calloc(c->rank_cnt, sizeof(*r->lanes));
    for (uint32_t src = 0; src < c->rank_cnt; src++) {
        r->lanes[src].last = &r->lanes[src].first;
    }
    r->env = (coh_env_t){.rank         = rank,
                         .rank_cnt     = c->rank_cnt,
                         .metrics      = c->layout.metrics != NULL ? c->layout.metrics[rank] : NULL,
                         .mono_us      = env_now_us,
                         .unix_us      = env_unix_us,
                         .outbox       = env_outbox,
                         .disk         = env_disk,
                         .peek         = env_peek,
                         .wake_workers = env_wake,
                         .wake_node    = env_wake};
    coh_wire_put_envelope(&r->envelope, &(coh_envelope_t){.sender = rank});
    if (r->kv == NULL) {
        COH_TRY(coh_kv_mem_open(&r->kv));
    }
    if (rank == 0) {
        COH_TRY(coh_coordinator_new(
            &c->coordinator, config, genesis, &r->env, r->kv, &c->sink, err_text));
        r->node = coh_coordinator_node(c->coordinator);
    } else {
        coh_shard_t *shard;
        COH_TRY(
            coh_shard_new(&shard, config, genesis, &r->env, r->kv, c->layout.thread_cnt, err_text));
        r->node = coh_shard_node(shard);
    }
    return COH_OK;
}

/* Frees all of a rank but its store. */
static void take_down(coh_block_cluster_t *c, rank_t *r)
{
    if (r->node != NULL) {
        r->node->ops->free(r->node);
    }
    while (r->disk_first != NULL) {
        coh_disk_req_t *req = r->disk_first;
        r->disk_first       = req->next;
        coh_disk_req_free(req);
    }
    for (uint32_t i = 0; r->outboxes != NULL && i < c->rank_cnt; i++) {
        coh_buf_free(&r->outboxes[i]);
        while (r->lanes[i].first != NULL) {
            frame_t *frame    = r->lanes[i].first;
            r->lanes[i].first = frame->next;
            coh_buf_free(&frame->bytes);
            free(frame);
        }
    }
    free(r->outboxes);
    free(r->lanes);
    coh_buf_free(&r->envelope);
    *r = (rank_t){.kv = r->kv};
}

static void close_rank(coh_block_cluster_t *c, rank_t *r)
{
    take_down(c, r);
    if (r->kv != NULL) {
        r->kv->ops->close(r->kv);
    }
    *r = (rank_t){0};
}

/* ---- steps ---- */

static bool take_disk(rank_t *r)
{
    coh_disk_req_t *req = r->disk_first;
    if (req == NULL) {
        return false;
    }
    r->disk_first = req->next;
    if (r->disk_first == NULL) {
        r->disk_last = &r->disk_first;
    }
    coh_disk_req_carry_out(req, r->kv, true);
    r->node->ops->on_disk_done(r->node, req);
    return true;
}

/* Takes a few frames from each rank, beginning with any; sometimes leaves a lane for later. */
static bool take_frames(coh_block_cluster_t *c, rank_t *r)
{
    bool did       = false;
    uint32_t start = (uint32_t)coh_rng_below(&c->rng, c->rank_cnt);
    for (uint32_t i = 0; i < c->rank_cnt; i++) {
        uint32_t src = (start + i) % c->rank_cnt;
        lane_t *lane = &r->lanes[src];
        for (uint32_t n = 0; n < TURN_FRAMES && lane->first != NULL; n++) {
            if (lane->first->due_us > c->now_us) {
                break;
            }
            did = true;
            if (coh_rng_percent(&c->rng, 25)) {
                break;
            }
            frame_t *frame = lane->first;
            lane->first    = frame->next;
            if (lane->first == NULL) {
                lane->last = &lane->first;
            }
            r->node->ops->on_frame(r->node, src, coh_buf_bytes(&frame->bytes));
            coh_buf_free(&frame->bytes);
            free(frame);
        }
    }
    return did;
}

static void count_messages(coh_block_cluster_t *c, coh_buf_t const *frame)
{
    coh_envelope_t envelope;
    coh_msg_t m;
    coh_err_t err = coh_wire_reader_begin(c->reader, coh_buf_bytes(frame), &envelope);
    while (err == COH_OK && (err = coh_wire_reader_next(c->reader, &m)) == COH_OK) {
        c->layout.message_cnt[m.id]++;
    }
}

static bool send_frames(coh_block_cluster_t *c, rank_t *r)
{
    bool did = false;
    for (uint32_t dst = 0; dst < c->rank_cnt; dst++) {
        coh_buf_t *outbox = &r->outboxes[dst];
        if (outbox->n <= r->envelope.n) {
            continue;
        }
        if (c->layout.message_cnt != NULL) {
            count_messages(c, outbox);
        }
        frame_t *frame = coh_calloc(1, sizeof(*frame));
        frame->bytes   = *outbox;
        *outbox        = COH_BUF_INIT;
        if (c->layout.delay_us != 0) {
            frame->due_us = c->now_us + coh_rng_below(&c->rng, c->layout.delay_us + 1);
        }
        lane_t *lane = &c->ranks[dst].lanes[r->env.rank];
        *lane->last  = frame;
        lane->last   = &frame->next;
        did          = true;
    }
    return did;
}

static void on_imported(void *arg, coh_import_result_t const *result)
{
    coh_block_cluster_t *c = arg;
    c->done_cnt++;
    if (c->visitor->block != NULL) {
        c->visitor->block(c->visitor->arg, result);
    }
}

static coh_block_cluster_t *of_sink(coh_gateway_sink_t *sink)
{
    return (coh_block_cluster_t *)(void *)((uint8_t *)sink - offsetof(coh_block_cluster_t, sink));
}

static void on_reply(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data)
{
    coh_block_cluster_t *c = of_sink(sink);
    c->asked_cnt--;
    c->visitor->reply(c->visitor->arg, request, data);
}

void coh_block_cluster_ask(coh_block_cluster_t *c, uint64_t request, coh_bytes_t data)
{
    c->asked_cnt++;
    coh_coordinator_on_request(c->coordinator, request, data);
}

coh_err_t coh_block_cluster_move(coh_block_cluster_t *c, coh_override_t const *wanted, size_t cnt)
{
    return coh_coordinator_move(c->coordinator, wanted, cnt);
}

/* Hands over blocks, or asks for the end. */
static coh_err_t drive(coh_block_cluster_t *c)
{
    if (!coh_coordinator_is_ready(c->coordinator)) {
        return COH_OK;
    }
    if (c->is_stopping) {
        return COH_OK;
    }
    c->goes_on = c->visitor->turn != NULL &&
                 c->visitor->turn(c->visitor->arg, coh_coordinator_head(c->coordinator));
    if (c->handed_cnt < c->block_cnt) {
        coh_err_t err =
            coh_coordinator_import(c->coordinator, &c->blocks[c->handed_cnt], on_imported, c);
        if (err == COH_OK) {
            c->handed_cnt++;
        }
        return err == COH_EBUSY ? COH_OK : err;
    }
    if (c->is_ending_run && c->done_cnt == c->block_cnt && !c->goes_on && c->asked_cnt == 0) {
        c->is_stopping = true;
        c->ranks[0].node->ops->stop(c->ranks[0].node);
    }
    return COH_OK;
}

/* All blocks are done; and, at the end, all ranks have stopped. */
static bool is_over(coh_block_cluster_t const *c)
{
    if (!c->is_ending_run) {
        return c->done_cnt == c->block_cnt && !c->goes_on && c->asked_cnt == 0;
    }
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        if (!c->ranks[r].node->ops->finished(c->ranks[r].node)) {
            return false;
        }
    }
    return true;
}

/* A turn of one rank; true if it did anything. */
static bool turn(coh_block_cluster_t *c, rank_t *r)
{
    if (r->node->ops->finished(r->node)) {
        return send_frames(c, r);
    }
    bool did = take_frames(c, r);
    did      = take_disk(r) || did;
    did      = r->node->ops->work(r->node, 0) || did;
    did      = r->node->ops->on_tick(r->node) || did;
    did      = send_frames(c, r) || did;
    return did;
}

/* Lets the time pass until the first of the messages that are under way arrives; false: there is none. */
static bool wait_for_frame(coh_block_cluster_t *c)
{
    uint64_t due_us = UINT64_MAX;
    for (uint32_t dst = 0; dst < c->rank_cnt; dst++) {
        for (uint32_t src = 0; src < c->rank_cnt; src++) {
            frame_t const *frame = c->ranks[dst].lanes[src].first;
            due_us               = frame != NULL ? COH_MIN(due_us, frame->due_us) : due_us;
        }
    }
    if (due_us == UINT64_MAX || due_us <= c->now_us) {
        return false;
    }
    c->now_us = due_us;
    return true;
}

/* Takes all ranks down, with what is under way between them and to their disks, and opens them again. */
static coh_err_t restart(coh_block_cluster_t *c, coh_buf_t *err_text)
{
    c->restarts_left--;
    close_work(c);
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        take_down(c, &c->ranks[r]);
    }
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        COH_TRY(open_rank(c, r, err_text));
    }
    c->handed_cnt = coh_coordinator_head(c->coordinator) + 1 - c->first;
    c->done_cnt   = c->handed_cnt;
    c->report.restart_cnt++;
    c->report.restart_amid_cnt += c->done_cnt > 0 && c->done_cnt < c->block_cnt;
    c->asked_cnt   = 0;
    c->is_stopping = false;
    open_work(c);
    return COH_OK;
}

static coh_err_t run_until_over(coh_block_cluster_t *c, coh_buf_t *err_text)
{
    uint32_t idle   = 0;
    uint64_t helped = 0;
    while (!is_over(c)) {
        if (c->restarts_left != 0 && coh_rng_below(&c->rng, RESTART_ODDS) == 0) {
            COH_TRY(restart(c, err_text));
        }
        coh_err_t err = drive(c);
        if (err != COH_OK) {
            coh_buf_printf(err_text, "block %zu is not taken: %s", c->handed_cnt, coh_err_str(err));
            return err;
        }
        bool did       = false;
        uint32_t start = (uint32_t)coh_rng_below(&c->rng, c->rank_cnt);
        for (uint32_t i = 0; i < c->rank_cnt; i++) {
            rank_t *r = &c->ranks[(start + i) % c->rank_cnt];
            c->now_us++;
            did                = turn(c, r) || did;
            char const *failed = r->node->ops->failed(r->node);
            if (failed != NULL) {
                coh_buf_printf(err_text, "rank %u: %s", r->env.rank, failed);
                return COH_EPROTO;
            }
        }
        uint64_t work = atomic_load_explicit(&c->work_cnt, memory_order_relaxed);
        did           = did || (work == helped && wait_for_frame(c));
        idle          = did || work != helped ? 0 : idle + 1;
        helped        = work;
        if (idle > (c->thread_cnt == 0 ? IDLE_ROUNDS_MAX : IDLE_ROUNDS_MAX_THREADS)) {
            coh_buf_printf(err_text, "the cluster stands still");
            return COH_ETIMEOUT;
        }
    }
    return COH_OK;
}

/* ---- the state afterwards ---- */

static coh_err_t visit_state(coh_block_cluster_t *c)
{
    coh_kv_t **kvs = coh_calloc(c->layout.shard_cnt, sizeof(*kvs));
    for (uint32_t i = 0; i < c->layout.shard_cnt; i++) {
        kvs[i] = c->ranks[i + 1].kv;
    }
    coh_err_t err = coh_store_walk(kvs, c->layout.shard_cnt, &c->visitor->walker);
    free(kvs);
    return err;
}

/* ---- a run ---- */

static coh_err_t make_config(coh_block_cluster_t *c, uint64_t tx_max, coh_buf_t *err_text)
{
    coh_config_t *config = &c->config;
    coh_config_default(config);
    if (c->layout.placement != NULL) {
        COH_TRY(coh_config_set(config, "placement-policy", c->layout.placement, err_text));
    }
    if (c->layout.home != NULL) {
        COH_TRY(coh_config_set(config, "placement-home", c->layout.home, err_text));
    }
    if (c->layout.scheduler != NULL) {
        COH_TRY(coh_config_set(config, "shard-scheduler", c->layout.scheduler, err_text));
    }
    config->block_tx_max           = COH_MAX(tx_max, 1);
    config->pool_tx_max            = 1;
    config->client_inflight_tx_max = 1;
    config->client_batch_tx_max    = 64; /* keys that one question asks for */
    config->state_cache_entries    = c->layout.cache_entries != 0
                                         ? COH_MAX(c->layout.cache_entries, 2 * tx_max + 2)
                                         : 16384 + 4 * tx_max;
    if (c->layout.restart_cnt != 0) {
        config->state_flush_bytes = 1024;
    }
    return COH_OK;
}

/* Ends whatever way it came to. */
static void close_ranks(coh_block_cluster_t *c)
{
    close_work(c);
    for (uint32_t r = c->rank_cnt; r-- > 0;) {
        close_rank(c, &c->ranks[r]);
    }
}

static coh_err_t say(coh_err_t err, coh_buf_t *err_text)
{
    if (err != COH_OK && err_text->n == 0) {
        coh_buf_printf(err_text, "%s", coh_err_str(err));
    }
    return err;
}

coh_err_t coh_block_cluster_open(coh_block_cluster_t *c,
                                 coh_genesis_t const *genesis,
                                 uint64_t tx_max,
                                 coh_buf_t *err_text)
{
    c->genesis       = genesis;
    c->first         = genesis->number + 1;
    c->block_cnt     = 0;
    c->handed_cnt    = 0;
    c->done_cnt      = 0;
    c->restarts_left = c->layout.restart_cnt;
    c->is_ending_run = false;
    c->is_stopping   = false;
    c->report        = (coh_block_cluster_report_t){0};
    c->goes_on       = false;
    c->asked_cnt     = 0;
    c->sink          = (coh_gateway_sink_t){.reply = on_reply};
    coh_err_t err    = make_config(c, tx_max, err_text);
    for (uint32_t r = 0; err == COH_OK && r < c->rank_cnt; r++) {
        err = open_rank(c, r, err_text);
    }
    if (err == COH_OK) {
        open_work(c);
    } else {
        close_ranks(c);
    }
    return say(err, err_text);
}

coh_err_t coh_block_cluster_import(coh_block_cluster_t *c,
                                   coh_import_block_t const *blocks,
                                   size_t block_cnt,
                                   coh_block_cluster_visitor_t const *visitor,
                                   coh_buf_t *err_text)
{
    c->first      = coh_coordinator_head(c->coordinator) + 1;
    c->blocks     = blocks;
    c->block_cnt  = block_cnt;
    c->handed_cnt = 0;
    c->done_cnt   = 0;
    c->visitor    = visitor;
    coh_err_t err = run_until_over(c, err_text);
    if (err != COH_OK) {
        close_ranks(c);
    }
    return say(err, err_text);
}

coh_err_t coh_block_cluster_close(coh_block_cluster_t *c,
                                  coh_block_cluster_visitor_t const *visitor,
                                  coh_buf_t *err_text)
{
    c->visitor       = visitor;
    c->is_ending_run = true;
    coh_err_t err    = run_until_over(c, err_text);
    if (err == COH_OK) {
        close_work(c);
        err = visit_state(c);
    }
    close_ranks(c);
    return say(err, err_text);
}

coh_err_t coh_block_cluster_run(coh_block_cluster_t *c,
                                coh_genesis_t const *genesis,
                                coh_import_block_t const *blocks,
                                size_t block_cnt,
                                coh_block_cluster_visitor_t const *visitor,
                                coh_buf_t *err_text)
{
    uint64_t tx_max = 0;
    for (size_t i = 0; i < block_cnt; i++) {
        tx_max = COH_MAX(tx_max, blocks[i].tx_cnt);
    }
    COH_TRY(coh_block_cluster_open(c, genesis, tx_max, err_text));
    COH_TRY(coh_block_cluster_import(c, blocks, block_cnt, visitor, err_text));
    return coh_block_cluster_close(c, visitor, err_text);
}

coh_block_cluster_report_t coh_block_cluster_report(coh_block_cluster_t const *c)
{
    return c->report;
}
