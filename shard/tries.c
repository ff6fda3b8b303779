#include "shard/tries.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/trie/history.h"
#include "shard/store.h"

/* Below this many octets of changed pages a batch is cheaper than a file to ingest. */
#define INGEST_BYTES_MIN ((size_t)4 << 20)

typedef enum {
    JOB_UPDATE,
    JOB_LOAD,
    JOB_CATCH_UP, /* deferred changes of committed blocks, before a take */
    JOB_UNDO,
    JOB_TAKE,
    JOB_WRITTEN,
    JOB_NODES,
    JOB_PROVE,
    JOB_SUPPOSE,
} job_kind_t;

/* An applied block. */
typedef struct {
    uint64_t block;
    coh_buf_t record; /* history.h */
} applied_t;

typedef struct {
    applied_t *v; /* owned; ascending */
    size_t cnt, cap;
} applied_list_t;

/* Changes of a block without a root. */
typedef struct {
    uint64_t block;
    uint64_t with;        /* undecided block whose update has them; 0: none yet */
    coh_mv_item_t *items; /* owned */
    size_t cnt;
} deferred_t;

/* A wipe that the flat tables may not show yet. */
typedef struct {
    uint64_t block;
    coh_addr_t addr;
    uint32_t generation; /* the new one */
} wipe_t;

typedef struct job {
    struct job *next;
    job_kind_t kind;
    bool is_aborted;      /* UPDATE: to be undone when it has run */
    coh_mv_item_t *items; /* owned; UPDATE, LOAD, CATCH_UP, SUPPOSE */
    bool merges;          /* items are of several blocks, in order */
    coh_mv_step_t *trail; /* owned; UPDATE */
    size_t trail_cnt;
    uint32_t
        *buckets; /* owned; NODES: those asked for; UPDATE: those to be told besides, ascending */
    size_t bucket_cnt;
    size_t cnt;        /* of items */
    applied_t applied; /* UPDATE: out */
    applied_t *undo;   /* owned; UNDO: the last block first */
    size_t undo_cnt;
    uint64_t prove_block; /* PROVE, SUPPOSE: the state's */
    coh_addr_t addr;      /* PROVE */
    uint32_t generation;  /* PROVE: of the last wipe not flushed; 0: none */
    coh_bytes_t *records; /* owned; PROVE, SUPPOSE: borrowed from the blocks kept, oldest first */
    size_t record_cnt;
    coh_tries_done_t done; /* out */
} job_t;

typedef struct {
    job_t *first;
    job_t **last;
} jobs_t;

enum { IDLE, QUEUED, RUNNING, DONE };

struct coh_tries {
    coh_env_t *env;
    coh_kv_t *kv;
    coh_tries_limits_t limits;
    coh_mpt_t *mpt;      /* the running job's; else the communication thread's */
    coh_arena_t scratch; /* the running job's */
    jobs_t first;        /* what goes before updates */
    jobs_t updates;
    jobs_t proofs; /* take turns with updates */
    bool proof_next;
    job_t *current;
    _Atomic int
        state; /* of current: who stores hands over all that it has written before (sequentially consistent) */
    bool held;
    uint64_t undo_from;
    applied_list_t applied; /* undecided */
    applied_list_t history; /* committed, the last ones */
    size_t history_bytes;
    uint64_t history_from; /* the lowest block whose state can be gone back to */
    uint64_t taken_block;  /* of the last take */
    uint64_t committed;
    wipe_t *wipes; /* owned; by block */
    size_t wipe_cnt, wipe_cap;
    deferred_t *deferred; /* owned; by block */
    size_t deferred_cnt, deferred_cap;
    uint64_t untold
        [COH_BUCKET_CNT]; /* by bucket: 0: its node has been told; 1: not; else by the update of this undecided block */
    bool any_untold;
    bool catches_up; /* a CATCH_UP is under way, which will leave some untold */
    bool has_told;   /* one of them ever was above 1 */
};

/* ---- lists ---- */

static void list_push(applied_list_t *list, applied_t const *block)
{
    if (list->cnt == list->cap) {
        list->cap = list->cap * 2 + 4;
        list->v   = coh_realloc(list->v, list->cap * sizeof(*list->v));
    }
    list->v[list->cnt++] = *block;
}

/* Removes the first cnt, whose records are somebody else's now. */
static void list_shift(applied_list_t *list, size_t cnt)
{
    list->cnt -= cnt;
    if (cnt != 0 && list->cnt != 0) {
        memmove(list->v, list->v + cnt, list->cnt * sizeof(*list->v));
    }
}

static void list_free(applied_list_t *list)
{
    for (size_t i = 0; i < list->cnt; i++) {
        coh_buf_free(&list->v[i].record);
    }
    free(list->v);
}

static void jobs_init(jobs_t *jobs)
{
    jobs->first = NULL;
    jobs->last  = &jobs->first;
}

static void jobs_push(jobs_t *jobs, job_t *job)
{
    *jobs->last = job;
    jobs->last  = &job->next;
}

static job_t *jobs_pop(jobs_t *jobs)
{
    job_t *job  = jobs->first;
    jobs->first = job->next;
    if (jobs->first == NULL) {
        jobs->last = &jobs->first;
    }
    job->next = NULL;
    return job;
}

static job_t *job_new(job_kind_t kind)
{
    job_t *job = coh_calloc(1, sizeof(*job));
    job->kind  = kind;
    coh_kv_batch_init(&job->done.pages);
    return job;
}

void coh_tries_done_free(coh_tries_done_t *done)
{
    coh_buf_free(&done->text);
    free(done->nodes);
    free(done->trail);
    coh_trie_proof_free(&done->proof);
    coh_kv_batch_free(&done->pages);
    *done = (coh_tries_done_t){0};
}

static void job_free(job_t *job)
{
    if (job != NULL) {
        coh_tries_done_free(&job->done);
        coh_buf_free(&job->applied.record);
        for (size_t i = 0; i < job->undo_cnt; i++) {
            coh_buf_free(&job->undo[i].record);
        }
        free(job->undo);
        free(job->records);
        free(job->items);
        free(job->trail);
        free(job->buckets);
        free(job);
    }
}

coh_tries_t *coh_tries_new(coh_kv_t *kv,
                           coh_env_t *env,
                           coh_tries_limits_t const *limits,
                           uint64_t seed)
{
    coh_tries_t *t          = coh_calloc(1, sizeof(*t));
    coh_mpt_config_t config = {.kv              = kv,
                               .table           = COH_KV_TRIE,
                               .cache_bytes     = limits->cache_bytes / 2,
                               .dirty_bytes_max = limits->cache_bytes / 2,
                               .seed            = seed};
    t->env                  = env;
    t->kv                   = kv;
    t->limits               = *limits;
    t->mpt                  = coh_mpt_new(&config);
    jobs_init(&t->first);
    jobs_init(&t->updates);
    jobs_init(&t->proofs);
    return t;
}

static void jobs_free(jobs_t *jobs)
{
    while (jobs->first != NULL) {
        job_free(jobs_pop(jobs));
    }
}

void coh_tries_free(coh_tries_t *t)
{
    if (t == NULL) {
        return;
    }
    jobs_free(&t->first);
    jobs_free(&t->updates);
    jobs_free(&t->proofs);
    job_free(t->current);
    list_free(&t->applied);
    list_free(&t->history);
    free(t->wipes);
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        free(t->deferred[i].items);
    }
    free(t->deferred);
    coh_mpt_free(t->mpt);
    coh_arena_free(&t->scratch);
    free(t);
}

/* ---- the communication thread ---- */

/* Puts the changes of deferred blocks up to max before the job's own. They are the job's for good, or as long as its block is not aborted. */
static void take_deferred(coh_tries_t *t, job_t *job, uint64_t max)
{
    size_t cnt = job->cnt;
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        cnt += t->deferred[i].with == 0 && t->deferred[i].block <= max ? t->deferred[i].cnt : 0;
    }
    coh_mv_item_t *all = coh_calloc(cnt + 1, sizeof(*all));
    size_t at          = 0;
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        deferred_t *d = &t->deferred[i];
        if (d->with == 0 && d->block <= max) {
            memcpy(all + at, d->items, d->cnt * sizeof(*all));
            at += d->cnt;
            d->with = job->applied.block;
        }
    }
    if (job->cnt != 0) {
        memcpy(all + at, job->items, job->cnt * sizeof(*all));
    }
    free(job->items);
    job->items  = all;
    job->cnt    = cnt;
    job->merges = true;
}

/* Makes the job tell of all buckets that have not been told. */
static void take_untold(coh_tries_t *t, job_t *job)
{
    job->buckets = coh_calloc(COH_BUCKET_CNT, sizeof(*job->buckets));
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        if (t->untold[b] == 1) {
            job->buckets[job->bucket_cnt++] = b;
            t->untold[b]                    = job->applied.block;
        }
    }
    t->any_untold = false;
    t->has_told   = true;
}

/* What an update does besides its own block's changes is known when it begins: a take before it may have done that. */
static void take_over(coh_tries_t *t, job_t *job)
{
    if (t->any_untold) {
        take_untold(t, job);
    }
    if (t->deferred_cnt != 0) {
        take_deferred(t, job, job->applied.block);
    }
}

/* Lists the records that lead from the present back to the job's block. What the tries are now follows from the blocks applied: nothing is being undone. */
static void list_records(coh_tries_t const *t, job_t *job)
{
    applied_list_t const *lists[] = {&t->history, &t->applied};
    job->records = coh_calloc(t->history.cnt + t->applied.cnt + 1, sizeof(*job->records));
    for (size_t k = 0; k < COH_CNT(lists); k++) {
        for (size_t i = 0; i < lists[k]->cnt; i++) {
            if (lists[k]->v[i].block > job->prove_block) {
                job->records[job->record_cnt++] = coh_buf_bytes(&lists[k]->v[i].record);
            }
        }
    }
    if (job->prove_block < t->history_from) {
        job->done.err = COH_ENOTFOUND;
    }
    for (size_t i = 0; i < t->wipe_cnt; i++) {
        if (coh_addr_eq(&t->wipes[i].addr, &job->addr)) {
            job->generation = COH_MAX(job->generation, t->wipes[i].generation);
        }
    }
}

/* Hands the next job to the workers, if its turn has come. */
static void pump(coh_tries_t *t)
{
    if (t->current != NULL) {
        return;
    }
    bool may_update = t->updates.first != NULL && !t->held && !coh_mpt_is_full(t->mpt);
    if (t->first.first != NULL) {
        t->current = jobs_pop(&t->first);
    } else if (t->proofs.first != NULL && (t->proof_next || !may_update)) {
        t->current    = jobs_pop(&t->proofs);
        t->proof_next = false;
        list_records(t, t->current);
    } else if (may_update) {
        t->current    = jobs_pop(&t->updates);
        t->proof_next = true;
        take_over(t, t->current);
    } else {
        return;
    }
    atomic_store(&t->state, QUEUED);
    t->env->wake_workers(t->env);
}

/* Queues what need not wait for updates. */
static void push_first(coh_tries_t *t, job_t *job)
{
    jobs_push(&t->first, job);
    pump(t);
}

static void note_wipe(coh_tries_t *t, uint64_t block, coh_mv_item_t const *item)
{
    if (!item->wiped) {
        return;
    }
    if (t->wipe_cnt == t->wipe_cap) {
        t->wipe_cap = t->wipe_cap * 2 + 16;
        t->wipes    = coh_realloc(t->wipes, t->wipe_cap * sizeof(*t->wipes));
    }
    t->wipes[t->wipe_cnt++] =
        (wipe_t){.block = block, .addr = item->key.addr, .generation = item->value.generation};
}

void coh_tries_defer(coh_tries_t *t, uint64_t block, coh_mv_item_t *items, size_t cnt)
{
    if (t->deferred_cnt == t->deferred_cap) {
        t->deferred_cap = t->deferred_cap * 2 + 8;
        t->deferred     = coh_realloc(t->deferred, t->deferred_cap * sizeof(*t->deferred));
    }
    for (size_t i = 0; i < cnt; i++) {
        note_wipe(t, block, &items[i]);
    }
    t->deferred[t->deferred_cnt++] = (deferred_t){.block = block, .items = items, .cnt = cnt};
}

bool coh_tries_is_behind(coh_tries_t const *t)
{
    bool any = t->any_untold || t->catches_up;
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        any = any || t->deferred[i].with == 0;
    }
    return any;
}

/* Lets go of deferred blocks whose changes are in the tries for good. */
static void drop_deferred(coh_tries_t *t, uint64_t with)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        if (t->deferred[i].with == with) {
            free(t->deferred[i].items);
        } else {
            t->deferred[kept++] = t->deferred[i];
        }
    }
    t->deferred_cnt = kept;
}

void coh_tries_update(coh_tries_t *t,
                      uint64_t block,
                      coh_mv_item_t *items,
                      size_t cnt,
                      coh_mv_step_t *trail,
                      size_t trail_cnt)
{
    job_t *job         = job_new(JOB_UPDATE);
    job->applied.block = block;
    job->items         = items;
    job->cnt           = cnt;
    job->trail         = trail;
    job->trail_cnt     = trail_cnt;
    for (size_t i = 0; i < cnt; i++) {
        note_wipe(t, block, &items[i]);
    }
    jobs_push(&t->updates, job);
    pump(t);
}

void coh_tries_load(coh_tries_t *t, coh_mv_item_t *items, size_t cnt)
{
    job_t *job = job_new(JOB_LOAD);
    job->items = items;
    job->cnt   = cnt;
    push_first(t, job);
}

void coh_tries_ask_nodes(coh_tries_t *t, coh_directory_t const *dir, uint32_t shard)
{
    job_t *job   = job_new(JOB_NODES);
    job->buckets = coh_calloc(COH_BUCKET_CNT, sizeof(*job->buckets));
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        if (coh_directory_shard(dir, b) == shard) {
            job->buckets[job->bucket_cnt++] = b;
        }
    }
    push_first(t, job);
}

void coh_tries_prove(coh_tries_t *t,
                     uint64_t query,
                     uint64_t block,
                     coh_addr_t const *addr,
                     coh_u256_t const *slots,
                     size_t slot_cnt)
{
    job_t *job              = job_new(JOB_PROVE);
    coh_trie_proof_t *proof = &job->done.proof;
    job->done.query         = query;
    job->prove_block        = block;
    job->addr               = *addr;
    proof->slots            = coh_calloc(slot_cnt + 1, sizeof(*proof->slots));
    proof->slot_cnt         = slot_cnt;
    for (size_t i = 0; i < slot_cnt; i++) {
        proof->slots[i].slot = slots[i];
    }
    jobs_push(&t->proofs, job);
    pump(t);
}

void coh_tries_suppose(coh_tries_t *t,
                       uint64_t query,
                       uint64_t block,
                       coh_mv_item_t *items,
                       size_t cnt)
{
    job_t *job       = job_new(JOB_SUPPOSE);
    job->done.query  = query;
    job->prove_block = block;
    job->items       = items;
    job->cnt         = cnt;
    jobs_push(&t->proofs, job);
    pump(t);
}

void coh_tries_start(coh_tries_t *t, uint64_t head)
{
    t->history_from = head;
    t->committed    = head;
}

void coh_tries_rewind(coh_tries_t *t, uint64_t head)
{
    COH_ASSERT(t->applied.cnt == 0 && head <= t->committed);
    /* What blocks above changed counts as head's. */
    for (size_t i = 0; i < t->history.cnt; i++) {
        t->history.v[i].block = COH_MIN(t->history.v[i].block, head);
    }
    for (size_t i = 0; i < t->wipe_cnt; i++) {
        t->wipes[i].block = COH_MIN(t->wipes[i].block, head);
    }
    t->history_from = COH_MIN(t->history_from, head);
    t->taken_block  = COH_MIN(t->taken_block, head);
    t->committed    = head;
}

/* Lets the oldest blocks go; not while a proof may be made from their records. */
static void trim_history(coh_tries_t *t)
{
    if (t->current != NULL && t->current->records != NULL) {
        return;
    }
    size_t cnt = 0;
    while (cnt < t->history.cnt &&
           (t->history.v[cnt].block + t->limits.history_blocks <= t->committed ||
            t->history_bytes > t->limits.history_bytes)) {
        applied_t *block = &t->history.v[cnt++];
        t->history_bytes -= block->record.cap;
        t->history_from = block->block;
        coh_buf_free(&block->record);
    }
    list_shift(&t->history, cnt);
}

void coh_tries_commit(coh_tries_t *t, uint64_t block)
{
    t->committed = block;
    if (t->applied.cnt != 0 && t->applied.v[0].block == block) {
        t->history_bytes += t->applied.v[0].record.cap;
        list_push(&t->history, &t->applied.v[0]);
        list_shift(&t->applied, 1);
        drop_deferred(t, block);
        for (uint32_t b = 0; t->has_told && b < COH_BUCKET_CNT; b++) {
            t->untold[b] = t->untold[b] == block ? 0 : t->untold[b];
        }
    }
    trim_history(t);
}

/* Queues the undoing of what has been applied from undo_from on; false if there is nothing. */
static bool push_undo(coh_tries_t *t)
{
    applied_list_t *list = &t->applied;
    size_t kept          = list->cnt;
    while (kept != 0 && list->v[kept - 1].block >= t->undo_from) {
        kept--;
    }
    if (kept == list->cnt) {
        return false;
    }
    job_t *job = job_new(JOB_UNDO);
    job->undo  = coh_calloc(list->cnt - kept, sizeof(*job->undo));
    while (list->cnt > kept) {
        job->undo[job->undo_cnt++] = list->v[--list->cnt];
    }
    push_first(t, job);
    return true;
}

bool coh_tries_abort(coh_tries_t *t, uint64_t block)
{
    jobs_t all = t->updates;
    jobs_init(&t->updates);
    while (all.first != NULL) {
        job_t *job = jobs_pop(&all);
        if (job->applied.block < block) {
            jobs_push(&t->updates, job);
        } else {
            job_free(job);
        }
    }
    while (t->wipe_cnt != 0 && t->wipes[t->wipe_cnt - 1].block >= block) {
        t->wipe_cnt--;
    }
    while (t->deferred_cnt != 0 && t->deferred[t->deferred_cnt - 1].block >= block) {
        free(t->deferred[--t->deferred_cnt].items);
    }
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        t->deferred[i].with = t->deferred[i].with >= block ? 0 : t->deferred[i].with;
    }
    for (uint32_t b = 0; t->has_told && b < COH_BUCKET_CNT; b++) {
        if (t->untold[b] > 1 && t->untold[b] >= block) {
            t->untold[b]  = 1;
            t->any_untold = true;
        }
    }
    t->undo_from = block;
    if (t->current != NULL && t->current->kind == JOB_UPDATE &&
        t->current->applied.block >= block) {
        bool again             = t->current->is_aborted;
        t->current->is_aborted = true;
        return !again; /* what the earlier abort waits for goes down to here */
    }
    return push_undo(t);
}

bool coh_tries_is_full(coh_tries_t const *t)
{
    return t->current == NULL && coh_mpt_is_full(t->mpt);
}

void coh_tries_hold(coh_tries_t *t) { t->held = true; }

bool coh_tries_is_committed(coh_tries_t const *t)
{
    return t->current == NULL && t->first.first == NULL && t->applied.cnt == 0;
}

void coh_tries_take(coh_tries_t *t)
{
    COH_ASSERT(coh_tries_is_committed(t));
    t->held        = false;
    t->taken_block = t->committed;
    bool is_behind = false;
    for (size_t i = 0; i < t->deferred_cnt; i++) {
        is_behind = is_behind || (t->deferred[i].with == 0 && t->deferred[i].block <= t->committed);
    }
    if (is_behind) {
        job_t *job         = job_new(JOB_CATCH_UP);
        job->applied.block = UINT64_MAX;
        take_deferred(t, job, t->committed);
        drop_deferred(t, UINT64_MAX);
        /* States are those of blocks with a root: these changes count as the next one's. */
        uint64_t every     = t->limits.root_every;
        job->applied.block = (t->committed / every + 1) * every;
        t->catches_up      = true;
        push_first(t, job);
    }
    push_first(t, job_new(JOB_TAKE));
}

void coh_tries_written(coh_tries_t *t)
{
    size_t cnt = 0; /* wipes that the flat tables show now */
    while (cnt < t->wipe_cnt && t->wipes[cnt].block <= t->taken_block) {
        cnt++;
    }
    t->wipe_cnt -= cnt;
    if (t->wipe_cnt != 0) {
        memmove(t->wipes, t->wipes + cnt, t->wipe_cnt * sizeof(*t->wipes));
    }
    push_first(t, job_new(JOB_WRITTEN));
}

/* Takes a finished job; false if its result is nobody's business. */
static bool finish(coh_tries_t *t, job_t *job, coh_tries_done_t *done)
{
    if (job->kind == JOB_UPDATE && job->done.err == COH_OK) {
        list_push(&t->applied, &job->applied);
        job->applied.record = COH_BUF_INIT;
        if (job->is_aborted) {
            (void)push_undo(t);
            return false;
        }
    }
    if (job->kind == JOB_CATCH_UP && job->done.err == COH_OK) {
        t->catches_up = false;
        t->history_bytes += job->applied.record.cap;
        list_push(&t->history, &job->applied);
        job->applied.record = COH_BUF_INIT;
        for (size_t i = 0; i < job->done.node_cnt; i++) {
            t->untold[job->done.nodes[i].bucket] = 1;
            t->any_untold                        = true;
        }
        return false;
    }
    if (job->kind == JOB_WRITTEN) {
        return false;
    }
    *done     = job->done;
    job->done = (coh_tries_done_t){0};
    return true;
}

bool coh_tries_poll(coh_tries_t *t, coh_tries_done_t *done)
{
    bool tells = false;
    while (!tells && t->current != NULL && atomic_load(&t->state) == DONE) {
        job_t *job = t->current;
        t->current = NULL;
        atomic_store(&t->state, IDLE);
        tells = finish(t, job, done);
        job_free(job);
        pump(t);
    }
    return tells;
}

/* ---- a worker ---- */

/* Says where in the tries damage was met, and what to do. */
static void tell_fault(coh_buf_t *text, coh_mpt_fault_t const *fault, coh_err_t err)
{
    char id[2 * COH_MPT_ID_MAX + 1];
    char path[2 * sizeof(fault->path) + 1];
    coh_hex_encode(id, fault->id.b, fault->id.n);
    coh_hex_encode(path, fault->path, sizeof(fault->path));
    coh_buf_printf(
        text,
        "the stored page of trie 0x%s at path %.*s %s: %s; restore this rank's directory from "
        "a backup",
        id,
        (int)fault->depth,
        path,
        err == COH_ECORRUPT ? "is damaged or missing" : "cannot be read",
        coh_err_str(err));
}

/* Applies what each transaction left to a view, and keeps what stands at the roots of the buckets. The tries stay as they are. */
static coh_err_t follow_trail(coh_tries_t *t, job_t *job)
{
    coh_mpt_t *view      = coh_mpt_view_new(t->mpt);
    coh_mv_item_t *items = coh_calloc(job->trail_cnt, sizeof(*items));
    size_t cap           = 0;
    coh_err_t rc         = COH_OK;
    for (size_t at = 0; at < job->trail_cnt && rc == COH_OK;) {
        uint32_t tx_idx = job->trail[at].tx_idx;
        size_t cnt      = 0;
        while (at < job->trail_cnt && job->trail[at].tx_idx == tx_idx) {
            items[cnt++] = job->trail[at++].item;
        }
        coh_trie_outcome_t out;
        rc = coh_trie_update(view, job->applied.block, items, cnt, &t->scratch, &out, NULL);
        if (rc != COH_OK) {
            break;
        }
        if (job->done.trail_cnt + out.node_cnt > cap) {
            cap             = 2 * (job->done.trail_cnt + out.node_cnt);
            job->done.trail = coh_realloc(job->done.trail, cap * sizeof(*job->done.trail));
        }
        for (size_t i = 0; i < out.node_cnt; i++) {
            job->done.trail[job->done.trail_cnt++] =
                (coh_trail_node_t){.tx_idx = tx_idx, .node = out.nodes[i]};
        }
        free(out.nodes);
    }
    free(items);
    coh_mpt_free(view);
    return rc;
}

/* Adds the nodes of buckets that have not changed to those of buckets that have. */
static coh_err_t tell_besides(coh_tries_t *t, job_t const *job, coh_trie_outcome_t *out)
{
    coh_mpt_job_t *jobs = coh_calloc(job->bucket_cnt + 1, sizeof(*jobs));
    for (size_t i = 0; i < job->bucket_cnt; i++) {
        jobs[i].id = coh_mpt_id_bucket(job->buckets[i]);
    }
    coh_err_t rc         = coh_mpt_update(t->mpt, 0, jobs, job->bucket_cnt, NULL);
    size_t max           = out->node_cnt + job->bucket_cnt;
    coh_trie_node_t *all = coh_calloc(max + 1, sizeof(*all));
    size_t cnt           = 0;
    size_t k             = 0;
    for (size_t i = 0; i < job->bucket_cnt; i++) {
        while (k < out->node_cnt && out->nodes[k].bucket < job->buckets[i]) {
            all[cnt++] = out->nodes[k++];
        }
        if (k == out->node_cnt || out->nodes[k].bucket != job->buckets[i]) {
            all[cnt++] = (coh_trie_node_t){.bucket = job->buckets[i], .node = jobs[i].node};
        }
    }
    while (k < out->node_cnt) {
        all[cnt++] = out->nodes[k++];
    }
    free(jobs);
    free(out->nodes);
    out->nodes    = all;
    out->node_cnt = cnt;
    return rc;
}

static coh_err_t update(coh_tries_t *t, job_t *job, coh_buf_t *record)
{
    coh_trie_outcome_t out;
    if (job->trail_cnt != 0) {
        COH_TRY(follow_trail(t, job));
    }
    if (job->merges) {
        job->cnt = coh_store_merge_items(job->items, job->cnt);
    }
    coh_err_t rc = coh_trie_update(
        t->mpt, job->applied.block, job->items, job->cnt, &t->scratch, &out, record);
    if (rc == COH_OK && job->bucket_cnt != 0) {
        rc = tell_besides(t, job, &out);
    }
    if (rc == COH_OK) {
        job->done.nodes    = out.nodes;
        job->done.node_cnt = out.node_cnt;
        coh_metric_add(t->env->metrics, COH_M_tries_account, out.account_cnt);
        coh_metric_add(t->env->metrics, COH_M_tries_slot, out.slot_cnt);
    }
    return rc;
}

static coh_err_t undo(coh_tries_t *t, job_t const *job)
{
    for (size_t i = 0; i < job->undo_cnt; i++) {
        COH_TRY(coh_history_undo(t->mpt, job->undo[i].block, coh_buf_bytes(&job->undo[i].record)));
    }
    return COH_OK;
}

static coh_err_t list_nodes(coh_tries_t *t, job_t *job)
{
    coh_mpt_job_t *jobs = coh_calloc(job->bucket_cnt + 1, sizeof(*jobs));
    for (size_t i = 0; i < job->bucket_cnt; i++) {
        jobs[i].id = coh_mpt_id_bucket(job->buckets[i]);
    }
    coh_err_t rc    = coh_mpt_update(t->mpt, 0, jobs, job->bucket_cnt, NULL);
    job->done.nodes = coh_calloc(job->bucket_cnt + 1, sizeof(*job->done.nodes));
    for (size_t i = 0; i < job->bucket_cnt && rc == COH_OK; i++) {
        if (jobs[i].node.kind != COH_NODE_EMPTY) {
            job->done.nodes[job->done.node_cnt++] =
                (coh_trie_node_t){.bucket = job->buckets[i], .node = jobs[i].node};
        }
    }
    free(jobs);
    return rc;
}

/* The highest generation that the account can have had: of a wipe that is not flushed, or what the flat table says, or, if it lives elsewhere, what was noted. */
static coh_err_t find_generation(coh_tries_t *t, job_t *job)
{
    coh_buf_t flat = COH_BUF_INIT;
    coh_err_t rc =
        t->kv->ops->get(t->kv, COH_KV_ACCOUNTS, coh_bytes(job->addr.b, sizeof(job->addr.b)), &flat);
    coh_value_t value = {0};
    if (rc == COH_OK) {
        rc = coh_store_get_value(&value, COH_KEY_ACCOUNT, coh_buf_bytes(&flat));
    }
    coh_buf_free(&flat);
    job->generation = COH_MAX(job->generation, value.generation);
    if (rc != COH_OK && rc != COH_ENOTFOUND) {
        return rc;
    }
    COH_TRY(coh_store_get_guest(t->kv, &job->addr, &value.generation));
    job->generation = COH_MAX(job->generation, value.generation);
    return COH_OK;
}

static coh_err_t prove(coh_tries_t *t, job_t *job)
{
    COH_TRY(job->done.err);
    COH_TRY(find_generation(t, job));
    return coh_trie_prove(
        t->mpt, &job->done.proof, &job->addr, job->generation, job->records, job->record_cnt);
}

static coh_err_t suppose(coh_tries_t *t, job_t *job)
{
    coh_trie_outcome_t out;
    COH_TRY(job->done.err);
    COH_TRY(coh_trie_suppose(
        t->mpt, &out, job->items, job->cnt, job->records, job->record_cnt, &t->scratch));
    job->done.nodes    = out.nodes;
    job->done.node_cnt = out.node_cnt;
    return COH_OK;
}

static void take(coh_tries_t *t, job_t *job)
{
    coh_mpt_stats_t stats;
    coh_mpt_stats(t->mpt, &stats);
    job->done.ingest = stats.dirty_bytes >= INGEST_BYTES_MIN;
    coh_mpt_flush(t->mpt, &job->done.pages, SIZE_MAX, job->done.ingest);
}

bool coh_tries_work(coh_tries_t *t)
{
    int queued = QUEUED;
    if (!atomic_compare_exchange_strong(&t->state, &queued, RUNNING)) {
        return false;
    }
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    job_t *job        = t->current;
    coh_err_t rc      = COH_OK;
    job->done.block   = job->applied.block;
    switch (job->kind) {
    case JOB_UPDATE:
        job->done.kind = COH_TRIES_UPDATED;
        rc             = update(t, job, &job->applied.record);
        break;
    case JOB_CATCH_UP: rc = update(t, job, &job->applied.record); break;
    case JOB_LOAD:
        job->done.kind = COH_TRIES_LOADED;
        rc             = update(t, job, NULL);
        break;
    case JOB_UNDO:
        job->done.kind = COH_TRIES_UNDONE;
        rc             = undo(t, job);
        break;
    case JOB_TAKE:
        job->done.kind = COH_TRIES_TAKEN;
        take(t, job);
        break;
    case JOB_WRITTEN: coh_mpt_flush_done(t->mpt); break;
    case JOB_NODES:
        job->done.kind = COH_TRIES_NODES;
        rc             = list_nodes(t, job);
        break;
    case JOB_PROVE:
        job->done.kind = COH_TRIES_PROVED;
        rc             = prove(t, job);
        break;
    case JOB_SUPPOSE:
        job->done.kind = COH_TRIES_SUPPOSED;
        rc             = suppose(t, job);
        break;
    }
    if (rc != COH_OK && job->kind != JOB_PROVE && job->kind != JOB_SUPPOSE) {
        tell_fault(&job->done.text, coh_mpt_fault(t->mpt), rc);
    }
    job->done.err = rc;
    coh_metric_add(t->env->metrics, COH_M_tries_cpu, coh_clock_thread_cpu_ns() - start_ns);
    atomic_store(&t->state, DONE);
    t->env->wake_node(t->env);
    return true;
}
