/* sim_enumerate: the small world of the group commit, complete. Two shards and two blocks, the real step functions of both sides
   (coordinator/commit.h, shard/participant.h), and every order in which messages can arrive, writes can finish or fail, blocks can turn out
   invalid, and the job can crash, with every prefix of the unsynced writes that a crash may leave. What the state machines around the step functions do
   is restated here in a few lines each (look for "glue"); the simulator runs the real ones.

   In every state:  COMMIT leaves only after the decision is durable; a yes only after the redo record is;
                    a decided block has, at every shard that it changed, the redo record of that very attempt and, at others, none that recovery would apply;
                    a block is applied where it is decided only; what is decided is never aborted.
   At every end:    (nothing can happen any more) both blocks are decided and applied everywhere. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "coordinator/commit.h"
#include "shard/participant.h"

#define SHARDS      2u
#define BLOCKS      2u
#define DEPTH       2u
#define CHANNEL_MAX 12u
#define DISK_MAX    12u

typedef enum {
    MSG_PREPARE,
    MSG_COMMIT,
    MSG_ABORT,
    MSG_YES,
    MSG_NO,
    MSG_ACK,
    MSG_ACK_ABORT
} msg_kind_t;

typedef struct {
    uint8_t kind;
    uint8_t block;
    uint8_t attempt; /* number of the attempt at any block, from 1 */
    uint8_t changed; /* PREPARE: it changed something at the receiver */
} msg_t;

typedef struct {
    msg_t v[CHANNEL_MAX];
    uint32_t cnt;
} channel_t;

typedef enum { OP_PUT, OP_DROP_FROM } op_kind_t;

/* A write: of the record of an attempt, or the deletion of the records from block on. */
typedef struct {
    uint8_t kind;
    uint8_t block;
    uint8_t attempt;
    uint8_t sync;
} op_t;

/* A disk: what is durable (attempt by block, 0: no record), writes done and not synced, writes queued. */
typedef struct {
    uint8_t durable[BLOCKS + 1];
    op_t tail[DISK_MAX];
    uint32_t tail_cnt;
    op_t queue[DISK_MAX];
    uint32_t queue_cnt;
} disk_t;

typedef struct {
    coh_participant_t part;
    disk_t disk;
    uint8_t preparing[BLOCKS +
                      1]; /* attempt that the redo write of a block belongs to; 0: none expected */
    uint8_t applied[BLOCKS + 1]; /* attempt, 0: not */
    uint8_t ack_abort; /* 1 + block whose ABORT is answered when the deletion is durable; 0: none */
} shard_t;

typedef struct {
    coh_commit_t commit;
    uint8_t words[COH_COMMIT_WINDOW][SHARDS];
    uint8_t abort_acked[SHARDS];
    disk_t disk; /* decisions */
    shard_t shards[SHARDS];
    channel_t down[SHARDS];
    channel_t up[SHARDS];
    uint8_t attempt_of[BLOCKS + 1]; /* under way */
    uint8_t changed[64][SHARDS];    /* by attempt */
    uint8_t invalid[64];            /* by attempt: its seal finds a transaction that must not be */
    uint8_t attempt_cnt;
    uint8_t crashes_left;
    uint8_t failures_left;
    uint8_t invalid_left;
} world_t;

typedef struct {
    uint64_t (*set)[2];
    size_t cap;
    size_t cnt;
    uint64_t steps;
    uint64_t ends;
} search_t;

static search_t search;

/* ---- what happened on the way, for a failure's report ---- */

static char const *path[4096];
static uint32_t path_arg[4096];
static uint32_t path_cnt;

_Noreturn static void broken(char const *what)
{
    fprintf(stderr, "sim_enumerate: %s, after:\n", what);
    for (uint32_t i = 0; i < path_cnt; i++) {
        fprintf(stderr, "  %s %u\n", path[i], path_arg[i]);
    }
    exit(1);
}

static void must(bool ok, char const *what)
{
    if (!ok) {
        broken(what);
    }
}

/* ---- world ---- */

static void point_inside(world_t *w)
{
    for (uint32_t i = 0; i < COH_COMMIT_WINDOW; i++) {
        w->commit.blocks[i].words = w->words[i];
    }
    w->commit.abort_acked = w->abort_acked;
}

static void copy_world(world_t *to, world_t const *from)
{
    memcpy(to, from, sizeof(*to));
    point_inside(to);
}

static void start_commit(world_t *w, uint64_t head)
{
    coh_commit_t fresh;
    coh_commit_init(&fresh, SHARDS, head);
    coh_commit_t inside = fresh;
    w->commit           = inside;
    memset(w->words, 0, sizeof(w->words));
    memset(w->abort_acked, 0, sizeof(w->abort_acked));
    point_inside(w);
    coh_commit_fini(&fresh);
}

static void send(channel_t *channel,
                 msg_kind_t kind,
                 uint32_t block,
                 uint32_t attempt,
                 bool changed)
{
    COH_ASSERT(channel->cnt < CHANNEL_MAX);
    channel->v[channel->cnt++] = (msg_t){.kind    = (uint8_t)kind,
                                         .block   = (uint8_t)block,
                                         .attempt = (uint8_t)attempt,
                                         .changed = changed};
}

static msg_t receive(channel_t *channel)
{
    COH_ASSERT(channel->cnt > 0);
    msg_t msg = channel->v[0];
    memmove(channel->v, channel->v + 1, --channel->cnt * sizeof(*channel->v));
    return msg;
}

static void queue_write(disk_t *disk, op_kind_t kind, uint32_t block, uint32_t attempt, bool sync)
{
    COH_ASSERT(disk->queue_cnt < DISK_MAX);
    disk->queue[disk->queue_cnt++] = (op_t){
        .kind = (uint8_t)kind, .block = (uint8_t)block, .attempt = (uint8_t)attempt, .sync = sync};
}

static void make_durable(disk_t *disk, op_t const *op)
{
    if (op->kind == OP_PUT) {
        disk->durable[op->block] = op->attempt;
        return;
    }
    for (uint32_t b = op->block; b <= BLOCKS; b++) {
        disk->durable[b] = 0;
    }
}

/* The write at the head of the queue is done. */
static op_t finish_write(disk_t *disk, bool ok)
{
    COH_ASSERT(disk->queue_cnt > 0);
    op_t op = disk->queue[0];
    memmove(disk->queue, disk->queue + 1, --disk->queue_cnt * sizeof(*disk->queue));
    if (ok) {
        COH_ASSERT(disk->tail_cnt < DISK_MAX);
        disk->tail[disk->tail_cnt++] = op;
    }
    if (ok && op.sync) {
        for (uint32_t i = 0; i < disk->tail_cnt; i++) {
            make_durable(disk, &disk->tail[i]);
        }
        disk->tail_cnt = 0;
    }
    return op;
}

/* A crash keeps the first keep_cnt of the writes that are not durable, queued ones included. */
static void crash_disk(disk_t *disk, uint32_t keep_cnt)
{
    for (uint32_t i = 0; i < keep_cnt; i++) {
        make_durable(disk, i < disk->tail_cnt ? &disk->tail[i] : &disk->queue[i - disk->tail_cnt]);
    }
    memset(disk->tail, 0, sizeof(disk->tail));
    memset(disk->queue, 0, sizeof(disk->queue));
    disk->tail_cnt  = 0;
    disk->queue_cnt = 0;
}

static uint32_t head_of(world_t const *w)
{
    uint32_t head = 0;
    while (head < BLOCKS && w->disk.durable[head + 1] != 0) {
        head++;
    }
    return head;
}

/* What recovery would find if the job crashed now and every disk lost all that it may lose. */
static void check(world_t const *w)
{
    uint32_t head = head_of(w);
    for (uint32_t b = 1; b <= BLOCKS; b++) {
        uint8_t decided = w->disk.durable[b];
        must(b <= head || decided == 0, "decisions have a gap");
        for (uint32_t s = 0; s < SHARDS; s++) {
            shard_t const *shard = &w->shards[s];
            must(shard->applied[b] == 0 || shard->applied[b] == decided,
                 "a block is applied that is not decided so");
            if (decided != 0) {
                uint8_t should = w->changed[decided][s] ? decided : 0;
                must(shard->disk.durable[b] == should,
                     "a decided block's redo record is missing or another attempt's");
            }
        }
    }
}

/* ---- coordinator: glue ---- */

static void act(world_t *w, coh_commit_actions_t const *actions);

static void step(world_t *w, coh_commit_event_kind_t kind, uint32_t block, uint32_t shard)
{
    coh_commit_actions_t actions;
    coh_err_t err = coh_commit_step(
        &w->commit, &actions, &(coh_commit_event_t){.kind = kind, .block = block, .shard = shard});
    must(err == COH_OK, "the coordinator refuses an event");
    act(w, &actions);
}

static void act(world_t *w, coh_commit_actions_t const *actions)
{
    for (uint32_t i = 0; i < actions->cnt; i++) {
        uint32_t block  = (uint32_t)actions->v[i].block;
        uint8_t attempt = w->attempt_of[block];
        switch (actions->v[i].kind) {
        case COH_COMMIT_DO_PREPARE:
            for (uint32_t s = 0; s < SHARDS; s++) {
                send(&w->down[s], MSG_PREPARE, block, attempt, w->changed[attempt][s]);
            }
            break;
        case COH_COMMIT_DO_DECIDE:
            if (w->invalid[attempt]) {
                step(w, COH_COMMIT_EV_INVALID, block, 0);
                return; /* an ABORT: nothing else was to be done */
            }
            queue_write(&w->disk, OP_PUT, block, attempt, true);
            break;
        case COH_COMMIT_DO_COMMIT:
            must(w->disk.durable[block] == attempt, "COMMIT leaves before the decision is durable");
            for (uint32_t s = 0; s < SHARDS; s++) {
                send(&w->down[s], MSG_COMMIT, block, attempt, false);
            }
            break;
        case COH_COMMIT_DO_ABORT:
            for (uint32_t b = block; b <= BLOCKS; b++) {
                must(w->disk.durable[b] == 0, "a decided block is aborted");
                w->attempt_of[b] = 0;
            }
            for (uint32_t s = 0; s < SHARDS; s++) {
                send(&w->down[s], MSG_ABORT, block, 0, false);
            }
            break;
        case COH_COMMIT_DO_FORGET:
        case COH_COMMIT_DO_RESUME: break;
        }
    }
}

static void coordinator_hears(world_t *w, uint32_t s)
{
    msg_t msg = receive(&w->up[s]);
    if (coh_commit_is_stale(&w->commit, msg.block, s) && msg.kind != MSG_ACK_ABORT) {
        return;
    }
    switch (msg.kind) {
    case MSG_YES:
        must(msg.attempt == w->attempt_of[msg.block], "a vote on another attempt is counted");
        step(w, COH_COMMIT_EV_VOTE_YES, msg.block, s);
        break;
    case MSG_NO: step(w, COH_COMMIT_EV_VOTE_NO, msg.block, s); break;
    case MSG_ACK: step(w, COH_COMMIT_EV_ACK, msg.block, s); break;
    default: step(w, COH_COMMIT_EV_ACK_ABORT, msg.block, s); break;
    }
}

/* ---- shards: glue ---- */

static void shard_acts(world_t *w, uint32_t s, uint32_t block, coh_part_action_t action)
{
    shard_t *shard  = &w->shards[s];
    uint8_t attempt = shard->preparing[block];
    switch (action) {
    case COH_PART_DO_NOTHING: break;
    case COH_PART_DO_WRITE: queue_write(&shard->disk, OP_PUT, block, attempt, true); break;
    case COH_PART_DO_VOTE_YES:
        must(!w->changed[attempt][s] || shard->disk.durable[block] == attempt,
             "yes before the redo record is durable");
        send(&w->up[s], MSG_YES, block, attempt, false);
        break;
    case COH_PART_DO_VOTE_NO: send(&w->up[s], MSG_NO, block, attempt, false); break;
    case COH_PART_DO_APPLY:
        shard->applied[block] = attempt;
        send(&w->up[s], MSG_ACK, block, attempt, false);
        break;
    }
}

static void shard_hears(world_t *w, uint32_t s)
{
    shard_t *shard           = &w->shards[s];
    msg_t msg                = receive(&w->down[s]);
    coh_part_action_t action = COH_PART_DO_NOTHING;
    coh_err_t err            = COH_OK;
    uint32_t discarded       = 0;
    switch (msg.kind) {
    case MSG_PREPARE:
        shard->preparing[msg.block] = msg.attempt;
        err                         = coh_participant_on_settled(
            &shard->part, msg.block, msg.changed, COH_ABORT_NONE, &action);
        break;
    case MSG_COMMIT: err = coh_participant_on_commit(&shard->part, msg.block, &action); break;
    default:
        err = coh_participant_on_abort(&shard->part, msg.block, &discarded);
        for (uint32_t b = msg.block; b <= BLOCKS; b++) {
            shard->preparing[b] = 0;
        }
        if (discarded > 0) {
            /* Before anything else of these numbers is said, their records must be gone for good. */
            queue_write(&shard->disk, OP_DROP_FROM, msg.block, 0, true);
            shard->ack_abort = (uint8_t)(1 + msg.block);
        } else {
            send(&w->up[s], MSG_ACK_ABORT, msg.block, 0, false);
        }
        break;
    }
    must(err == COH_OK, "a shard refuses a message");
    shard_acts(w, s, msg.block, action);
}

static void shard_wrote(world_t *w, uint32_t s, bool ok)
{
    shard_t *shard           = &w->shards[s];
    op_t op                  = finish_write(&shard->disk, ok);
    coh_part_action_t action = COH_PART_DO_NOTHING;
    if (op.kind == OP_DROP_FROM) {
        send(&w->up[s], MSG_ACK_ABORT, op.block, 0, false);
        shard->ack_abort = 0;
    } else if (op.attempt == shard->preparing[op.block]) {
        coh_participant_on_written(&shard->part, op.block, ok, &action);
        shard_acts(w, s, op.block, action);
    }
}

/* ---- crash and recovery ---- */

static void crash(world_t *w, uint32_t const keep[SHARDS + 1])
{
    crash_disk(&w->disk, keep[0]);
    for (uint32_t s = 0; s < SHARDS; s++) {
        crash_disk(&w->shards[s].disk, keep[1 + s]);
        memset(&w->down[s], 0, sizeof(w->down[s]));
        memset(&w->up[s], 0, sizeof(w->up[s]));
    }
    check(w);
    /* WELCOME and READY: records up to the head are applied, those above deleted, durably. */
    uint32_t head = head_of(w);
    start_commit(w, head);
    for (uint32_t b = 0; b <= BLOCKS; b++) {
        w->attempt_of[b] = 0;
    }
    for (uint32_t s = 0; s < SHARDS; s++) {
        shard_t *shard = &w->shards[s];
        coh_participant_init(&shard->part, head);
        memset(shard->preparing, 0, sizeof(shard->preparing));
        shard->ack_abort = 0;
        for (uint32_t b = 1; b <= BLOCKS; b++) {
            shard->applied[b] = b <= head ? w->disk.durable[b] : 0;
            if (b > head) {
                shard->disk.durable[b] = 0;
            }
        }
    }
}

/* ---- search ---- */

static void mix(uint64_t h[2], uint64_t v)
{
    h[0] = coh_mix64(h[0] ^ v) + UINT64_C(0x9e3779b97f4a7c15);
    h[1] = coh_mix64(h[1] + v * UINT64_C(0xd6e8feb86659fd93)) ^ h[0];
}

static void mix_bytes(uint64_t h[2], void const *p, size_t n)
{
    uint8_t const *at = p;
    for (size_t i = 0; i < n; i++) {
        mix(h, at[i]);
    }
}

static void mix_disk(uint64_t h[2], disk_t const *disk)
{
    mix_bytes(h, disk->durable, sizeof(disk->durable));
    mix(h, disk->tail_cnt);
    mix_bytes(h, disk->tail, disk->tail_cnt * sizeof(*disk->tail));
    mix(h, disk->queue_cnt);
    mix_bytes(h, disk->queue, disk->queue_cnt * sizeof(*disk->queue));
}

/* True if the world was not seen before. */
static bool is_new(world_t const *w)
{
    uint64_t h[2]         = {1, 2};
    coh_commit_t const *c = &w->commit;
    mix(h, c->first);
    mix(h, c->undecided);
    mix(h, c->next);
    mix(h, c->discarding);
    mix(h, c->discarding ? c->abort_from : 0);
    mix_bytes(h, w->abort_acked, sizeof(w->abort_acked));
    for (uint64_t b = c->first; b < c->next; b++) {
        mix(h, c->blocks[b % COH_COMMIT_WINDOW].phase);
        mix_bytes(h, w->words[b % COH_COMMIT_WINDOW], SHARDS);
    }
    mix_disk(h, &w->disk);
    for (uint32_t s = 0; s < SHARDS; s++) {
        shard_t const *shard = &w->shards[s];
        mix(h, shard->part.committed);
        mix(h, shard->part.cnt);
        for (uint64_t b = shard->part.committed + 1; b <= shard->part.committed + shard->part.cnt;
             b++) {
            mix(h, shard->part.state[b % COH_PARTICIPANT_WINDOW]);
        }
        mix_disk(h, &shard->disk);
        mix_bytes(h, shard->preparing, sizeof(shard->preparing));
        mix_bytes(h, shard->applied, sizeof(shard->applied));
        mix(h, shard->ack_abort);
        mix(h, w->down[s].cnt);
        mix_bytes(h, w->down[s].v, w->down[s].cnt * sizeof(msg_t));
        mix(h, w->up[s].cnt);
        mix_bytes(h, w->up[s].v, w->up[s].cnt * sizeof(msg_t));
    }
    mix_bytes(h, w->attempt_of, sizeof(w->attempt_of));
    mix(h, w->attempt_cnt);
    mix_bytes(h, w->changed, (size_t)(w->attempt_cnt + 1) * SHARDS);
    mix_bytes(h, w->invalid, w->attempt_cnt + 1u);
    mix(h, w->crashes_left);
    mix(h, w->failures_left);
    mix(h, w->invalid_left);
    h[0] |= 1; /* 0: a free place */

    if (search.cnt * 2 >= search.cap) {
        size_t old_cap    = search.cap;
        uint64_t(*old)[2] = search.set;
        search.cap        = old_cap == 0 ? 1u << 16 : old_cap * 2;
        search.set        = coh_calloc(search.cap, sizeof(*search.set));
        for (size_t i = 0; i < old_cap; i++) {
            if (old[i][0] != 0) {
                size_t at = old[i][1] & (search.cap - 1);
                while (search.set[at][0] != 0) {
                    at = (at + 1) & (search.cap - 1);
                }
                memcpy(search.set[at], old[i], sizeof(old[i]));
            }
        }
        free(old);
    }
    size_t at = h[1] & (search.cap - 1);
    while (search.set[at][0] != 0) {
        if (search.set[at][0] == h[0] && search.set[at][1] == h[1]) {
            return false;
        }
        at = (at + 1) & (search.cap - 1);
    }
    memcpy(search.set[at], h, sizeof(h));
    search.cnt++;
    return true;
}

static void explore(world_t const *w);

static void push_path(char const *what, uint32_t arg)
{
    COH_ASSERT(path_cnt < COH_CNT(path));
    path[path_cnt]     = what;
    path_arg[path_cnt] = arg;
    path_cnt++;
}

/* Goes on from next, which was reached by what was pushed on the path. */
static void go_on(world_t *next)
{
    search.steps++;
    check(next);
    explore(next);
    path_cnt--;
}

static void try_crashes(world_t const *w)
{
    uint32_t keep[SHARDS + 1];
    uint32_t max[SHARDS + 1];
    disk_t const *disks[SHARDS + 1] = {&w->disk, &w->shards[0].disk, &w->shards[1].disk};
    for (uint32_t d = 0; d <= SHARDS; d++) {
        keep[d] = 0;
        max[d]  = disks[d]->tail_cnt + disks[d]->queue_cnt;
    }
    for (;;) {
        world_t next;
        copy_world(&next, w);
        next.crashes_left--;
        push_path("crash, writes kept", keep[0] * 100 + keep[1] * 10 + keep[2]);
        crash(&next, keep);
        go_on(&next);
        uint32_t d = 0;
        while (d <= SHARDS && keep[d] == max[d]) {
            keep[d++] = 0;
        }
        if (d > SHARDS) {
            return;
        }
        keep[d]++;
    }
}

static uint32_t try_coordinator(world_t const *w)
{
    uint32_t choices = 0;
    world_t next;
    if (w->commit.next <= BLOCKS && coh_commit_may_begin(&w->commit, DEPTH)) {
        /* What a block changes is decided by its execution: every combination. */
        for (uint32_t mask = 0; mask < 2u << SHARDS; mask++) {
            bool invalid = mask >> SHARDS;
            if (invalid && w->invalid_left == 0) {
                break;
            }
            copy_world(&next, w);
            uint32_t block  = (uint32_t)coh_commit_begin(&next.commit);
            uint8_t attempt = ++next.attempt_cnt;
            COH_ASSERT(attempt < COH_CNT(next.changed));
            next.attempt_of[block] = attempt;
            next.invalid[attempt]  = invalid;
            next.invalid_left      = (uint8_t)(next.invalid_left - invalid);
            for (uint32_t s = 0; s < SHARDS; s++) {
                next.changed[attempt][s] = mask >> s & 1;
            }
            push_path("block begins, changing shards", mask);
            go_on(&next);
        }
        choices++;
    }
    for (uint32_t b = 1; b <= BLOCKS; b++) {
        if (coh_commit_in_phase(&w->commit, b, COH_COMMIT_EXECUTING)) {
            copy_world(&next, w);
            push_path("settled: block", b);
            step(&next, COH_COMMIT_EV_SETTLED, b, 0);
            go_on(&next);
            choices++;
        }
    }
    if (w->disk.queue_cnt > 0) {
        copy_world(&next, w);
        op_t op = finish_write(&next.disk, true);
        push_path("decision written: block", op.block);
        step(&next, COH_COMMIT_EV_WRITTEN, op.block, 0);
        go_on(&next);
        choices++;
    }
    return choices;
}

static uint32_t try_shard(world_t const *w, uint32_t s)
{
    uint32_t choices = 0;
    world_t next;
    if (w->down[s].cnt > 0) {
        copy_world(&next, w);
        push_path("shard hears the coordinator: shard", s);
        shard_hears(&next, s);
        go_on(&next);
        choices++;
    }
    if (w->up[s].cnt > 0) {
        copy_world(&next, w);
        push_path("coordinator hears shard", s);
        coordinator_hears(&next, s);
        go_on(&next);
        choices++;
    }
    if (w->shards[s].disk.queue_cnt > 0) {
        copy_world(&next, w);
        push_path("write done: shard", s);
        shard_wrote(&next, s, true);
        go_on(&next);
        choices++;
        if (w->failures_left > 0 && w->shards[s].disk.queue[0].kind == OP_PUT) {
            copy_world(&next, w);
            next.failures_left--;
            push_path("write fails: shard", s);
            shard_wrote(&next, s, false);
            go_on(&next);
        }
    }
    return choices;
}

static void explore(world_t const *w)
{
    if (!is_new(w)) {
        return;
    }
    uint32_t choices = try_coordinator(w);
    for (uint32_t s = 0; s < SHARDS; s++) {
        choices += try_shard(w, s);
    }
    if (w->crashes_left > 0) {
        try_crashes(w);
    }
    if (choices > 0) {
        return;
    }
    search.ends++;
    must(head_of(w) == BLOCKS, "nothing can happen any more, and a block is not decided");
    for (uint32_t s = 0; s < SHARDS; s++) {
        for (uint32_t b = 1; b <= BLOCKS; b++) {
            must(w->shards[s].applied[b] != 0,
                 "nothing can happen any more, and a decided block is not applied");
        }
    }
}

/* What may go wrong in one search. More at once multiplies the states and, so far, has shown nothing new. */
typedef struct {
    uint8_t crashes;
    uint8_t failures;
    uint8_t invalid;
} limits_t;

static void search_all(limits_t const *limits)
{
    search     = (search_t){0};
    world_t *w = coh_calloc(1, sizeof(*w));
    start_commit(w, 0);
    for (uint32_t s = 0; s < SHARDS; s++) {
        coh_participant_init(&w->shards[s].part, 0);
    }
    w->crashes_left  = limits->crashes;
    w->failures_left = limits->failures;
    w->invalid_left  = limits->invalid;
    explore(w);
    printf("sim_enumerate: %u crashes, %u failed writes, %u invalid blocks: %zu states, %" PRIu64
           " steps, %" PRIu64 " ends\n",
           limits->crashes,
           limits->failures,
           limits->invalid,
           search.cnt,
           search.steps,
           search.ends);
    free(search.set);
    free(w);
}

int main(void)
{
    static limits_t const LIMITS[] = {{0, 0, 0}, {2, 0, 0}, {1, 1, 0}, {1, 0, 1}};
    for (size_t i = 0; i < COH_CNT(LIMITS); i++) {
        search_all(&LIMITS[i]);
    }
    return 0;
}
