#include "tests/sim/sim_cluster.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hook.h"
#include "common/obs/log.h"
#include "common/wire/wire.h"
#include "coordinator/coordinator.h"
#include "shard/shard.h"
#include "tests/sim/sim_backup.h"
#include "tests/sim/sim_disk.h"

#define TRACE_LINES   256u
#define TRACE_LINE_SZ 240u

typedef enum {
    EV_FRAME,      /* rank receives from peer: data */
    EV_WRITE_TAKE, /* rank's disk carries out the write at the head of its queue */
    EV_WRITE_DONE, /* ...and reports it */
    EV_READ_TAKE,  /* the same for the read req */
    EV_READ_DONE,
    EV_LATE_WRITE, /* batch of an early report reaches the disk */
    EV_TICK,
    EV_WORK,  /* worker peer of rank */
    EV_TIMER, /* the watcher's: peer is what */
    EV_KIND_CNT
} event_kind_t;

static char const *const EVENT_NAMES[EV_KIND_CNT] = {
    "frame",
    "write take",
    "write done",
    "read take",
    "read done",
    "late write",
    "tick",
    "work",
    "timer",
};

typedef struct {
    uint64_t at;
    uint64_t seq; /* breaks ties: first made, first served */
    event_kind_t kind;
    uint32_t rank;
    uint32_t peer;
    coh_disk_req_t *req;
    coh_buf_t data;
} event_t;

typedef struct {
    coh_env_t env;
    sim_t *sim;
    coh_node_t *node; /* NULL: not running */
    coh_coordinator_t *coordinator;
    coh_shard_t *shard;
    sim_disk_t *disk;
    coh_buf_t *outboxes; /* by rank; an envelope and messages */
    size_t envelope_bytes;
    size_t *shown; /* by rank: how much of the outbox the watcher has seen */
    bool *awake;   /* by worker: its next call is in the queue */
    coh_disk_req_t *writes_head;
    coh_disk_req_t **writes_tail;
    coh_disk_req_t *reads; /* under way */
    bool take_write;       /* the write at the head is being carried out */
    bool disk_broken;      /* a write failed: so do all that follow (deploy/cohort/disk.h) */
    uint64_t tick_at;      /* when the tick in the queue goes off; UINT64_MAX if none */
    bool called;           /* ...and whether somebody called for it */
    bool in_work;
    bool ended;
} rank_t;

struct sim {
    sim_params_t params;
    sim_watch_t *watch;
    coh_gateway_sink_t sink;
    coh_rng_t rng;
    uint64_t now;
    uint64_t mono_base; /* of the clock of this run */
    uint64_t unix_base;
    uint64_t seq;
    uint64_t runs;
    uint64_t event_cnt;
    uint64_t history;
    sim_counts_t counts;
    bool running;
    bool ending;    /* nodes are being taken down: what they still say is lost */
    bool errors_on; /* disk errors may happen */
    bool error_hit; /* one did in this run */
    rank_t *ranks;
    uint32_t rank_cnt;
    uint64_t *pair_at;    /* [src * rank_cnt + dst] arrival of the last frame */
    uint64_t *pair_delay; /* usual delay */
    event_t *events;      /* binary heap by (at, seq) */
    size_t event_len;
    size_t event_cap;
    coh_wire_reader_t *reader;
    coh_buf_t line;
    coh_buf_t said; /* scratch of show_messages */
    char *failed;
    char (*trace)[TRACE_LINE_SZ]; /* ring; NULL if none is kept */
    uint64_t trace_cnt;
};

/* ---- outcome and trace ---- */

void sim_fail(sim_t *sim, char const *fmt, ...)
{
    if (sim->failed != NULL) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&sim->failed, fmt, args);
    va_end(args);
    COH_ASSERT(n >= 0);
    sim_trace(sim, "FAILED: %s", sim->failed);
}

char const *sim_failed(sim_t const *sim) { return sim->failed; }

void sim_trace(sim_t *sim, char const *fmt, ...)
{
    if (sim->trace == NULL) {
        return;
    }
    char *line = sim->trace[sim->trace_cnt++ % TRACE_LINES];
    int n      = snprintf(line, TRACE_LINE_SZ, "%10" PRIu64 " ", sim->now);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line + n, TRACE_LINE_SZ - (size_t)n, fmt, args);
    va_end(args);
}

void sim_print_trace(sim_t const *sim)
{
    if (sim->trace == NULL) {
        return;
    }
    uint64_t first = sim->trace_cnt > TRACE_LINES ? sim->trace_cnt - TRACE_LINES : 0;
    for (uint64_t i = first; i < sim->trace_cnt; i++) {
        fprintf(stderr, "%s\n", sim->trace[i % TRACE_LINES]);
    }
}

static void history_mix(sim_t *sim, uint64_t v)
{
    sim->history = coh_mix64(sim->history ^ v) + UINT64_C(0x9e3779b97f4a7c15);
}

static void history_mix_bytes(sim_t *sim, coh_bytes_t bytes)
{
    uint64_t h = bytes.n;
    size_t i   = 0;
    for (; i + 8 <= bytes.n; i += 8) {
        h = coh_mix64(h ^ coh_load_u64_le(bytes.p + i));
    }
    for (; i < bytes.n; i++) {
        h = coh_mix64(h ^ bytes.p[i]);
    }
    history_mix(sim, h);
}

/* ---- queue of events ---- */

static bool earlier(event_t const *a, event_t const *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void swap_events(event_t *a, event_t *b)
{
    event_t t = *a;
    *a        = *b;
    *b        = t;
}

static event_t *push_event(sim_t *sim, uint64_t at, event_kind_t kind, uint32_t rank, uint32_t peer)
{
    if (sim->event_len == sim->event_cap) {
        sim->event_cap = sim->event_cap * 2 + 64;
        sim->events    = coh_realloc(sim->events, sim->event_cap * sizeof(*sim->events));
    }
    size_t i = sim->event_len++;
    sim->events[i] =
        (event_t){.at = at, .seq = sim->seq++, .kind = kind, .rank = rank, .peer = peer};
    while (i > 0 && earlier(&sim->events[i], &sim->events[(i - 1) / 2])) {
        swap_events(&sim->events[i], &sim->events[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    return &sim->events[i];
}

static event_t pop_event(sim_t *sim)
{
    event_t first  = sim->events[0];
    sim->events[0] = sim->events[--sim->event_len];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < sim->event_len; child++) {
            if (earlier(&sim->events[child], &sim->events[least])) {
                least = child;
            }
        }
        if (least == i) {
            return first;
        }
        swap_events(&sim->events[i], &sim->events[least]);
        i = least;
    }
}

/* Removes what belongs to the run: everything but timers. */
static void drop_run_events(sim_t *sim)
{
    event_t *old   = sim->events;
    size_t old_len = sim->event_len;
    sim->events    = NULL;
    sim->event_len = sim->event_cap = 0;
    for (size_t i = 0; i < old_len; i++) {
        if (old[i].kind == EV_TIMER) {
            push_event(sim, old[i].at, EV_TIMER, 0, old[i].peer);
        } else {
            coh_buf_free(&old[i].data);
        }
    }
    free(old);
}

/* A time drawn around usual: mostly below it, sometimes far above. */
static uint64_t draw_us(sim_t *sim, uint64_t usual)
{
    uint64_t us = 1 + coh_rng_below(&sim->rng, usual + 1);
    return coh_rng_percent(&sim->rng, sim->params.slow_percent) ? us * 20 : us;
}

/* ---- what ranks may ask of the world ---- */

static rank_t *rank_of(coh_env_t *env) { return (rank_t *)((char *)env - offsetof(rank_t, env)); }

static uint64_t env_mono_us(coh_env_t *env)
{
    sim_t *sim = rank_of(env)->sim;
    return sim->mono_base + sim->now;
}

static uint64_t env_unix_us(coh_env_t *env)
{
    sim_t *sim = rank_of(env)->sim;
    return sim->unix_base + sim->now;
}

static coh_buf_t *env_outbox(coh_env_t *env, uint32_t dst)
{
    rank_t *rank = rank_of(env);
    COH_ASSERT(dst < rank->sim->rank_cnt && dst != env->rank);
    COH_ASSERT(!rank->in_work);
    coh_buf_t *outbox = &rank->outboxes[dst];
    if (outbox->n == 0) {
        coh_wire_put_envelope(outbox, &(coh_envelope_t){.sender = env->rank});
        rank->envelope_bytes = outbox->n;
    }
    return outbox;
}

static void tick_soon(sim_t *sim, rank_t *rank, uint64_t within_us)
{
    if (sim->ending) {
        return;
    }
    uint64_t at = sim->now + 1 + coh_rng_below(&sim->rng, within_us);
    if (at < rank->tick_at) {
        /* The later one in the queue finds tick_at changed, and does nothing. */
        rank->tick_at = at;
        push_event(sim, at, EV_TICK, rank->env.rank, 0);
    }
}

/* call_tick: as the runtime does behind whatever woke it. */
static void call_tick(sim_t *sim, rank_t *rank, uint64_t within_us)
{
    rank->called = true;
    tick_soon(sim, rank, within_us);
}

static void start_write(sim_t *sim, rank_t *rank)
{
    if (rank->writes_head != NULL && !rank->take_write) {
        rank->take_write = true;
        push_event(sim,
                   sim->now + draw_us(sim, sim->params.disk_us_max),
                   EV_WRITE_TAKE,
                   rank->env.rank,
                   0);
    }
}

/* True if the batch puts something into table. */
static bool batch_puts(coh_kv_batch_t const *batch, coh_kv_table_t table)
{
    size_t at = 0;
    coh_kv_op_t op;
    while (coh_kv_batch_next(batch, &at, &op)) {
        if (op.kind == COH_KV_OP_PUT && op.table == table) {
            return true;
        }
    }
    return false;
}

static bool is_decision(rank_t const *rank, coh_disk_req_t const *req)
{
    return rank->env.rank == 0 && req->kind == COH_DISK_WRITE_SYNC &&
           batch_puts(&req->batch, COH_KV_BLOCKS);
}

static bool is_redo(rank_t const *rank, coh_disk_req_t const *req)
{
    return rank->env.rank != 0 && req->kind == COH_DISK_WRITE_SYNC &&
           batch_puts(&req->batch, COH_KV_REDO);
}

static void env_disk(coh_env_t *env, coh_disk_req_t *req)
{
    rank_t *rank = rank_of(env);
    sim_t *sim   = rank->sim;
    COH_ASSERT(!rank->in_work);
    req->next = NULL;
    if (req->kind == COH_DISK_READ) {
        req->next   = rank->reads;
        rank->reads = req;
        if (!sim->ending) {
            push_event(
                sim, sim->now + draw_us(sim, sim->params.disk_us_max), EV_READ_TAKE, env->rank, 0)
                ->req = req;
        }
        return;
    }
    *rank->writes_tail = req;
    rank->writes_tail  = &req->next;
    if (!sim->ending) {
        start_write(sim, rank);
    }
}

static coh_err_t env_peek(coh_env_t *env, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    rank_t *rank = rank_of(env);
    coh_kv_t *kv = sim_disk_kv(rank->disk);
    return coh_rng_percent(&rank->sim->rng, rank->sim->params.peek_percent)
               ? kv->ops->peek(kv, table, key, out)
               : COH_EBUSY;
}

static void env_wake_workers(coh_env_t *env)
{
    rank_t *rank = rank_of(env);
    sim_t *sim   = rank->sim;
    if (sim->ending) {
        return;
    }
    for (uint32_t w = 0; w < sim->params.worker_cnt; w++) {
        if (!rank->awake[w]) {
            rank->awake[w] = true;
            push_event(
                sim, sim->now + draw_us(sim, sim->params.work_us_max), EV_WORK, env->rank, w);
        }
    }
}

static void env_wake_node(coh_env_t *env)
{
    rank_t *rank = rank_of(env);
    call_tick(rank->sim, rank, 20);
}

static sim_t *sim_of_sink(coh_gateway_sink_t *sink)
{
    return (sim_t *)((char *)sink - offsetof(sim_t, sink));
}

static void sink_reply(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data)
{
    sim_t *sim = sim_of_sink(sink);
    if (!sim->ending) {
        history_mix(sim, request);
        sim_trace(sim, "reply %" PRIu64 " (%zu bytes)", request, data.n);
        sim->watch->on_reply(sim->watch, request, data);
    }
}

static void sink_publish(coh_gateway_sink_t *sink, coh_bytes_t data)
{
    sim_t *sim = sim_of_sink(sink);
    if (!sim->ending) {
        history_mix_bytes(sim, data);
        sim->watch->on_publish(sim->watch, data);
    }
}

static bool sink_has_subscribers(coh_gateway_sink_t *sink)
{
    (void)sink;
    return true;
}

/* ---- network ---- */

/* Messages as text into sim->line; returns true if one of them carries real time, so that it does not repeat from run to run. */
static bool look_at_frame(sim_t *sim, coh_bytes_t frame)
{
    coh_buf_clear(&sim->line);
    coh_envelope_t envelope;
    bool unsteady = false;
    if (coh_wire_reader_begin(sim->reader, frame, &envelope) == COH_OK) {
        coh_msg_t msg;
        while (coh_wire_reader_next(sim->reader, &msg) == COH_OK) {
            unsteady = unsteady || msg.id == COH_MSG_STATS || msg.id == COH_MSG_EXECUTED;
            sim->counts.reads += msg.id == COH_MSG_READ;
            sim->counts.retracts += msg.id == COH_MSG_RETRACT;
            sim->counts.waves += msg.id == COH_MSG_WAVE;
            sim->counts.pieces += msg.id == COH_MSG_MIGRATE;
            sim->counts.moves += msg.id == COH_MSG_MOVE_END && msg.u.move_end.committed != 0;
            sim->counts.stays += msg.id == COH_MSG_MOVE_END && msg.u.move_end.committed == 0;
            sim->counts.aborts += msg.id == COH_MSG_ABORT;
            if (sim->trace != NULL) {
                coh_wire_print(&sim->line, &msg);
                coh_buf_put_u8(&sim->line, ' ');
            }
        }
    }
    coh_buf_put_u8(&sim->line, 0);
    return unsteady;
}

/* The planted bug DROP_RETRACT: the frame again, but every RETRACT names an incarnation that no transaction reaches. */
static void spoil_retracts(sim_t *sim, coh_buf_t *frame)
{
    coh_envelope_t envelope;
    if (coh_wire_reader_begin(sim->reader, coh_buf_bytes(frame), &envelope) != COH_OK) {
        return;
    }
    coh_buf_t out = COH_BUF_INIT;
    coh_wire_put_envelope(&out, &envelope);
    coh_msg_t msg;
    while (coh_wire_reader_next(sim->reader, &msg) == COH_OK) {
        if (msg.id == COH_MSG_RETRACT) {
            msg.u.retract.incarnation = UINT32_MAX;
        }
        switch (msg.id) {
#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, message, route, doc)         \
    case COH_MSG_##MSG:                               \
        coh_wire_put_##message(&out, &msg.u.message); \
        break;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
        case COH_MSG_ID_MAX: COH_ASSERT(false); /* no message has this id */
        }
    }
    coh_buf_free(frame);
    *frame = out;
}

static void send_frame(sim_t *sim, rank_t *rank, uint32_t dst)
{
    coh_buf_t frame     = rank->outboxes[dst];
    rank->outboxes[dst] = COH_BUF_INIT;
    uint32_t src        = rank->env.rank;
    if (sim->params.plant == SIM_PLANT_DROP_RETRACT && src != 0 && dst != 0) {
        spoil_retracts(sim, &frame);
    }
    bool unsteady = look_at_frame(sim, coh_buf_bytes(&frame));
    sim_trace(sim, "net %u->%u %s", src, dst, (char const *)sim->line.p);
    history_mix(sim, (uint64_t)src << 32 | dst);
    if (!unsteady) {
        history_mix_bytes(sim, coh_buf_bytes(&frame));
    }
    rank->shown[dst] = 0;

    size_t pair                                   = (size_t)src * sim->rank_cnt + dst;
    uint64_t at                                   = sim->now + draw_us(sim, sim->pair_delay[pair]);
    at                                            = COH_MAX(at, sim->pair_at[pair]);
    sim->pair_at[pair]                            = at;
    push_event(sim, at, EV_FRAME, dst, src)->data = frame;
}

/* ---- calls into the ranks ---- */

/* Shows the watcher what the rank has just said, in a frame of its own: it may leave later, when
   what it rested on is gone again. */
static void show_messages(sim_t *sim, rank_t *rank)
{
    for (uint32_t dst = 0; dst < sim->rank_cnt && sim->failed == NULL; dst++) {
        coh_buf_t const *outbox = &rank->outboxes[dst];
        size_t seen             = COH_MAX(rank->shown[dst], rank->envelope_bytes);
        if (outbox->n <= seen) {
            continue;
        }
        coh_buf_clear(&sim->said);
        coh_buf_put(&sim->said, outbox->p, rank->envelope_bytes);
        coh_buf_put(&sim->said, outbox->p + seen, outbox->n - seen);
        rank->shown[dst] = outbox->n;
        sim->watch->on_frame(sim->watch, rank->env.rank, dst, coh_buf_bytes(&sim->said));
    }
}

static void flush_outboxes(sim_t *sim, rank_t *rank)
{
    for (uint32_t dst = 0; dst < sim->rank_cnt; dst++) {
        if (rank->outboxes[dst].n > rank->envelope_bytes) {
            send_frame(sim, rank, dst);
        }
    }
}

static void end_run(sim_t *sim, bool clean);

/* What the runtime does after it called a rank: send what is there now or a little later, look whether the rank has ended. */
static void after_call(sim_t *sim, rank_t *rank)
{
    show_messages(sim, rank);
    bool finished = rank->node->ops->finished(rank->node);
    if (finished || coh_rng_percent(&sim->rng, 70)) {
        flush_outboxes(sim, rank);
    }
    call_tick(sim, rank, 50);
    if (!finished) {
        return;
    }
    rank->ended         = true;
    char const *failure = rank->node->ops->failed(rank->node);
    if (failure != NULL) {
        sim_trace(sim, "rank %u failed: %s", rank->env.rank, failure);
        if (!sim->error_hit) {
            sim_fail(sim, "rank %u failed without a disk error: %s", rank->env.rank, failure);
        }
        char *text = coh_strdup(failure);
        end_run(sim, false);
        sim->watch->on_end(sim->watch, text);
        free(text);
        return;
    }
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        if (!sim->ranks[r].ended) {
            return;
        }
    }
    sim_trace(sim, "all ranks stopped");
    end_run(sim, true);
    sim->watch->on_end(sim->watch, NULL);
}

void sim_after_call(sim_t *sim) { after_call(sim, &sim->ranks[0]); }

void sim_request(sim_t *sim, uint64_t request, coh_bytes_t data)
{
    COH_ASSERT(sim->running);
    history_mix(sim, request);
    history_mix_bytes(sim, data);
    coh_coordinator_on_request(sim->ranks[0].coordinator, request, data);
    after_call(sim, &sim->ranks[0]);
}

coh_coordinator_t *sim_coordinator(sim_t *sim) { return sim->ranks[0].coordinator; }

void sim_stop(sim_t *sim)
{
    COH_ASSERT(sim->running);
    sim_trace(sim, "stop");
    rank_t *rank = &sim->ranks[0];
    rank->node->ops->stop(rank->node);
    after_call(sim, rank);
}

static bool says_anything(sim_t const *sim, rank_t const *rank)
{
    bool any = false;
    for (uint32_t dst = 0; dst < sim->rank_cnt; dst++) {
        any = any || rank->outboxes[dst].n > rank->envelope_bytes;
    }
    return any;
}

/* What a rank leaves to do behind a tick that did nothing, or where nobody calls for a tick when there is something to do, waits for the longest sleep of the runtime. */
static void check_rest(sim_t *sim, rank_t *rank, bool was_called, bool busy)
{
    if (!was_called && busy) {
        sim_fail(sim, "rank %u did something at a tick that nobody called for", rank->env.rank);
    } else if (!busy && !rank->node->ops->finished(rank->node) &&
               (rank->node->ops->on_tick(rank->node) || says_anything(sim, rank))) {
        sim_fail(
            sim, "rank %u left something to do behind a tick that did nothing", rank->env.rank);
    }
}

static void run_tick(sim_t *sim, rank_t *rank)
{
    if (rank->tick_at != sim->now || rank->ended) {
        return; /* an earlier one has taken its place */
    }
    bool was_called  = rank->called || env_mono_us(&rank->env) >= rank->env.due_us;
    rank->tick_at    = UINT64_MAX;
    rank->called     = false;
    rank->env.due_us = UINT64_MAX;
    bool busy        = rank->node->ops->on_tick(rank->node);
    check_rest(sim, rank, was_called, busy || says_anything(sim, rank));
    show_messages(sim, rank);
    flush_outboxes(sim, rank);
    uint64_t run = sim->runs;
    if (busy || rank->node->ops->finished(rank->node)) {
        after_call(sim, rank);
    }
    if (sim->running && run == sim->runs && !rank->ended) {
        tick_soon(sim, rank, sim->params.tick_us);
    }
}

static void run_work(sim_t *sim, rank_t *rank, uint32_t worker)
{
    rank->awake[worker] = false;
    rank->in_work       = true;
    bool busy           = rank->node->ops->work(rank->node, worker);
    rank->in_work       = false;
    if (busy && !rank->awake[worker]) {
        rank->awake[worker] = true;
        push_event(
            sim, sim->now + draw_us(sim, sim->params.work_us_max), EV_WORK, rank->env.rank, worker);
    }
}

static void run_frame(sim_t *sim, rank_t *rank, event_t *event)
{
    if (!rank->ended) {
        rank->node->ops->on_frame(rank->node, event->peer, coh_buf_bytes(&event->data));
        after_call(sim, rank);
    }
    coh_buf_free(&event->data);
}

static bool draws_error(sim_t *sim)
{
    if (sim->errors_on && coh_rng_below(&sim->rng, 1000) < sim->params.eio_permille) {
        sim->error_hit = true;
        sim->counts.errors++;
        return true;
    }
    return false;
}

static void report_disk(sim_t *sim, rank_t *rank, coh_disk_req_t *req)
{
    req->next       = NULL;
    req->elapsed_us = 1;
    rank->node->ops->on_disk_done(rank->node, req);
    if (!rank->ended) {
        after_call(sim, rank);
    }
}

static void run_write_take(sim_t *sim, rank_t *rank)
{
    coh_disk_req_t *req = rank->writes_head;
    if (rank->disk_broken) {
        req->err = COH_EIO;
    } else if (draws_error(sim)) {
        rank->disk_broken = true;
        req->err          = COH_EIO;
        sim_trace(sim, "disk %u: write fails", rank->env.rank);
        if (coh_rng_percent(&sim->rng, 50)) {
            sim_disk_half_write(rank->disk, req); /* nobody knows what a failed write left behind */
        }
    } else if (sim->params.plant == SIM_PLANT_EARLY_DECISION && is_decision(rank, req)) {
        event_t *late = push_event(
            sim, sim->now + 1 + coh_rng_below(&sim->rng, 20000), EV_LATE_WRITE, 0, req->batch.cnt);
        coh_buf_put(&late->data, req->batch.ops.p, req->batch.ops.n);
        req->err = COH_OK;
    } else {
        sim_disk_carry_out(rank->disk, req);
    }
    push_event(
        sim, sim->now + draw_us(sim, sim->params.disk_us_max), EV_WRITE_DONE, rank->env.rank, 0);
}

/* All ranks have made their parts of a backup: do they belong together? */
static void check_backup(sim_t *sim, coh_disk_req_t const *manifest)
{
    coh_kv_t **kvs = coh_calloc(sim->rank_cnt, sizeof(*kvs));
    coh_buf_t why  = COH_BUF_INIT;
    bool all       = true;
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        kvs[r] = sim_disk_copy(sim->ranks[r].disk, manifest->arg);
        all    = all && kvs[r] != NULL;
    }
    sim->counts.backups++;
    if (!all) {
        sim_fail(sim, "a backup gets its manifest before all ranks are done");
    } else if (!sim_backup_check(kvs,
                                 sim->rank_cnt - 1,
                                 sim->params.genesis->number,
                                 sim->params.config->block_root_every,
                                 coh_buf_bytes(&manifest->backup->text),
                                 &why)) {
        sim_fail(sim, "backup: %.*s", (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    free(kvs);
}

static void run_write_done(sim_t *sim, rank_t *rank)
{
    coh_disk_req_t *req = rank->writes_head;
    rank->writes_head   = req->next;
    if (rank->writes_head == NULL) {
        rank->writes_tail = &rank->writes_head;
    }
    rank->take_write = false;
    bool skip        = (sim->params.plant == SIM_PLANT_SKIP_REDO_SYNC && is_redo(rank, req)) ||
                (sim->params.plant == SIM_PLANT_SKIP_DECISION_SYNC && is_decision(rank, req)) ||
                (sim->params.plant == SIM_PLANT_EARLY_DECISION && is_decision(rank, req));
    if (req->kind == COH_DISK_WRITE_SYNC && req->err == COH_OK && !skip) {
        sim_disk_sync(rank->disk);
    }
    if (req->kind == COH_DISK_MANIFEST && req->err == COH_OK) {
        check_backup(sim, req);
    }
    sim_trace(sim,
              "disk %u: write done, tag %u arg %" PRIu64 ": %s",
              rank->env.rank,
              req->tag,
              req->arg,
              coh_err_str(req->err));
    start_write(sim, rank);
    report_disk(sim, rank, req);
}

static void run_read_take(sim_t *sim, rank_t *rank, coh_disk_req_t *req)
{
    if (draws_error(sim)) {
        req->err = COH_EIO;
        sim_trace(sim, "disk %u: read fails", rank->env.rank);
    } else {
        sim_disk_carry_out(rank->disk, req);
    }
    push_event(
        sim, sim->now + draw_us(sim, sim->params.disk_us_max), EV_READ_DONE, rank->env.rank, 0)
        ->req = req;
}

static void run_read_done(sim_t *sim, rank_t *rank, coh_disk_req_t *req)
{
    coh_disk_req_t **at = &rank->reads;
    while (*at != req) {
        at = &(*at)->next;
    }
    *at = req->next;
    sim->counts.loads++;
    report_disk(sim, rank, req);
}

static void run_late_write(rank_t *rank, event_t *event)
{
    coh_disk_req_t req = {.kind  = COH_DISK_WRITE,
                          .batch = {.ops = event->data, .cnt = event->peer}};
    sim_disk_carry_out(rank->disk, &req);
    sim_disk_sync(rank->disk);
    coh_buf_free(&event->data);
}

bool sim_step(sim_t *sim)
{
    if (sim->failed != NULL || sim->event_len == 0) {
        return false;
    }
    event_t event = pop_event(sim);
    COH_ASSERT(event.at >= sim->now);
    sim->now = event.at;
    sim->event_cnt++;
    rank_t *rank = &sim->ranks[event.rank];
    COH_ASSERT(event.kind == EV_TIMER || sim->running);
    history_mix(sim, sim->now);
    history_mix(sim, (uint64_t)event.kind << 40 | (uint64_t)event.rank << 20 | event.peer);
    if (event.kind != EV_TICK && event.kind != EV_WORK) {
        sim_trace(sim, "%s at %u (%u)", EVENT_NAMES[event.kind], event.rank, event.peer);
    }
    coh_log_set_rank((int)event.rank);
    switch (event.kind) {
    case EV_FRAME: run_frame(sim, rank, &event); break;
    case EV_WRITE_TAKE: run_write_take(sim, rank); break;
    case EV_WRITE_DONE: run_write_done(sim, rank); break;
    case EV_READ_TAKE: run_read_take(sim, rank, event.req); break;
    case EV_READ_DONE: run_read_done(sim, rank, event.req); break;
    case EV_LATE_WRITE: run_late_write(rank, &event); break;
    case EV_TICK: run_tick(sim, rank); break;
    case EV_WORK: run_work(sim, rank, event.peer); break;
    case EV_TIMER: sim->watch->on_timer(sim->watch, event.peer); break;
    case EV_KIND_CNT: COH_ASSERT(false); /* no such event */
    }
    return sim->failed == NULL;
}

/* ---- start and end ---- */

/* The planted bug LOCAL_RETRACT; called by name from the shards' code. */
static bool skip_retract(void *arg, char const *place)
{
    (void)arg;
    return strcmp(place, "sched:drop_retract") == 0;
}

sim_t *sim_new(sim_params_t const *params, uint64_t seed, sim_watch_t *watch)
{
    sim_t *sim  = coh_calloc(1, sizeof(*sim));
    sim->params = *params;
    sim->watch  = watch;
    sim->sink   = (coh_gateway_sink_t){
          .reply = sink_reply, .publish = sink_publish, .has_subscribers = sink_has_subscribers};
    coh_rng_seed(&sim->rng, seed);
    sim->unix_base = UINT64_C(1750000000000000) + coh_rng_below(&sim->rng, 1000000);
    sim->reader    = coh_wire_reader_new();
    sim->rank_cnt  = 1 + params->shard_cnt;
    sim->ranks     = coh_calloc(sim->rank_cnt, sizeof(*sim->ranks));
    sim->errors_on = true;
    if (params->trace) {
        sim->trace = coh_calloc(TRACE_LINES, sizeof(*sim->trace));
    }
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        rank_t *rank   = &sim->ranks[r];
        rank->sim      = sim;
        rank->disk     = sim_disk_new();
        rank->outboxes = coh_calloc(sim->rank_cnt, sizeof(*rank->outboxes));
        rank->shown    = coh_calloc(sim->rank_cnt, sizeof(*rank->shown));
        rank->awake    = coh_calloc(params->worker_cnt, sizeof(*rank->awake));
        rank->env      = (coh_env_t){
                 .rank         = r,
                 .rank_cnt     = sim->rank_cnt,
                 .mono_us      = env_mono_us,
                 .unix_us      = env_unix_us,
                 .outbox       = env_outbox,
                 .disk         = env_disk,
                 .peek         = env_peek,
                 .wake_workers = env_wake_workers,
                 .wake_node    = env_wake_node,
        };
    }
    size_t pairs    = (size_t)sim->rank_cnt * sim->rank_cnt;
    sim->pair_at    = coh_calloc(pairs, sizeof(*sim->pair_at));
    sim->pair_delay = coh_calloc(pairs, sizeof(*sim->pair_delay));
#ifdef COH_DEEP_CHECKS
    coh_hook_set(params->plant == SIM_PLANT_LOCAL_RETRACT ? skip_retract : NULL, NULL);
#else
    (void)skip_retract;
#endif
    return sim;
}

void sim_start(sim_t *sim)
{
    COH_ASSERT(!sim->running);
    sim->runs++;
    sim->running   = true;
    sim->error_hit = false;
    /* A machine that was started again counts its time from elsewhere, and its calendar may have been set back a little. */
    sim->mono_base = coh_rng_below(&sim->rng, 1000000000);
    sim->unix_base -= coh_rng_below(&sim->rng, 2000000);
    sim_trace(sim, "start %" PRIu64, sim->runs);
    for (size_t p = 0; p < (size_t)sim->rank_cnt * sim->rank_cnt; p++) {
        sim->pair_at[p]    = 0;
        sim->pair_delay[p] = coh_rng_below(&sim->rng, sim->params.net_us_max + 1);
    }
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        rank_t *rank      = &sim->ranks[r];
        rank->ended       = false;
        rank->take_write  = false;
        rank->disk_broken = false;
        rank->reads       = NULL;
        rank->writes_head = NULL;
        rank->writes_tail = &rank->writes_head;
        rank->tick_at     = UINT64_MAX;
        rank->env.metrics = sim->params.metrics ? coh_metrics_new(r) : NULL;
        memset(rank->awake, 0, sim->params.worker_cnt * sizeof(*rank->awake));
        coh_buf_t why = COH_BUF_INIT;
        coh_err_t err;
        if (r == 0) {
            err        = coh_coordinator_new(&rank->coordinator,
                                      sim->params.config,
                                      sim->params.genesis,
                                      &rank->env,
                                      sim_disk_kv(rank->disk),
                                      &sim->sink,
                                      &why);
            rank->node = err == COH_OK ? coh_coordinator_node(rank->coordinator) : NULL;
        } else {
            err        = coh_shard_new(&rank->shard,
                                sim->params.config,
                                sim->params.genesis,
                                &rank->env,
                                sim_disk_kv(rank->disk),
                                sim->params.worker_cnt,
                                &why);
            rank->node = err == COH_OK ? coh_shard_node(rank->shard) : NULL;
        }
        if (err != COH_OK) {
            sim_fail(sim,
                     "rank %u does not start: %s: %.*s",
                     r,
                     coh_err_str(err),
                     (int)why.n,
                     (char const *)why.p);
        }
        coh_buf_free(&why);
        call_tick(sim, rank, 200);
    }
}

/* Takes all ranks down. Requests that are out go back to their makers, as the runtime would hand them back, unfinished. A store
   that is closed cleanly loses nothing (kv.h). */
static void end_run(sim_t *sim, bool clean)
{
    sim->ending = true;
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        rank_t *rank = &sim->ranks[r];
        if (rank->node == NULL) {
            continue;
        }
        while (rank->writes_head != NULL || rank->reads != NULL) {
            coh_disk_req_t **from = rank->writes_head != NULL ? &rank->writes_head : &rank->reads;
            coh_disk_req_t *req   = *from;
            *from                 = req->next;
            if (rank->writes_head == NULL) {
                rank->writes_tail = &rank->writes_head;
            }
            req->next = NULL;
            req->err  = COH_ECLOSED;
            rank->node->ops->on_disk_done(rank->node, req);
        }
        rank->node->ops->free(rank->node);
        rank->node        = NULL;
        rank->coordinator = NULL;
        rank->shard       = NULL;
        coh_metrics_free(rank->env.metrics);
        rank->env.metrics = NULL;
        for (uint32_t dst = 0; dst < sim->rank_cnt; dst++) {
            coh_buf_clear(&rank->outboxes[dst]);
            rank->shown[dst] = 0;
        }
    }
    drop_run_events(sim);
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        size_t unsynced = sim_disk_unsynced(sim->ranks[r].disk);
        size_t keep     = clean ? unsynced : (size_t)coh_rng_below(&sim->rng, unsynced + 1);
        sim_trace(sim, "disk %u keeps %zu of %zu unsynced writes", r, keep, unsynced);
        sim_disk_crash(sim->ranks[r].disk, keep);
        sim->counts.lost += unsynced - keep;
    }
    sim->ending  = false;
    sim->running = false;
}

void sim_crash(sim_t *sim)
{
    COH_ASSERT(sim->running);
    sim_trace(sim, "crash");
    end_run(sim, false);
}

void sim_free(sim_t *sim)
{
    if (sim->running) {
        end_run(sim, false);
    }
    for (uint32_t r = 0; r < sim->rank_cnt; r++) {
        rank_t *rank = &sim->ranks[r];
        sim_disk_free(rank->disk);
        for (uint32_t dst = 0; dst < sim->rank_cnt; dst++) {
            coh_buf_free(&rank->outboxes[dst]);
        }
        free(rank->outboxes);
        free(rank->shown);
        free(rank->awake);
    }
    coh_wire_reader_free(sim->reader);
    coh_buf_free(&sim->line);
    coh_buf_free(&sim->said);
    free(sim->ranks);
    free(sim->pair_at);
    free(sim->pair_delay);
    free(sim->events);
    free(sim->trace);
    free(sim->failed);
    free(sim);
}

/* ---- small questions ---- */

bool sim_is_running(sim_t const *sim) { return sim->running; }

bool sim_is_ready(sim_t const *sim)
{
    return sim->running && coh_coordinator_is_ready(sim->ranks[0].coordinator);
}

void sim_after(sim_t *sim, uint64_t delay_us, uint32_t what)
{
    push_event(sim, sim->now + delay_us, EV_TIMER, 0, what);
}

uint32_t sim_shard_cnt(sim_t const *sim) { return sim->params.shard_cnt; }

uint64_t sim_now(sim_t const *sim) { return sim->now; }

uint64_t sim_run(sim_t const *sim) { return sim->runs; }

uint64_t sim_events(sim_t const *sim) { return sim->event_cnt; }

coh_rng_t *sim_rng(sim_t *sim) { return &sim->rng; }

sim_disk_t *sim_disk_of(sim_t *sim, uint32_t rank) { return sim->ranks[rank].disk; }

void sim_allow_disk_errors(sim_t *sim, bool allow) { sim->errors_on = allow; }

void sim_add_counts(sim_t const *sim, sim_counts_t *counts)
{
    counts->reads += sim->counts.reads;
    counts->retracts += sim->counts.retracts;
    counts->waves += sim->counts.waves;
    counts->pieces += sim->counts.pieces;
    counts->moves += sim->counts.moves;
    counts->stays += sim->counts.stays;
    counts->aborts += sim->counts.aborts;
    counts->loads += sim->counts.loads;
    counts->errors += sim->counts.errors;
    counts->lost += sim->counts.lost;
    counts->backups += sim->counts.backups;
}

uint64_t sim_history(sim_t const *sim) { return sim->history; }
