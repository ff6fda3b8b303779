#include "common/trie/history.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/trie/mpt_private.h"

#define LENGTH_SZ ((size_t)4)
/* A pair in a record: length of the value (1), key (32), value. */
#define PAIR_HEAD ((size_t)33)

size_t coh_history_put_group(coh_buf_t *record, coh_mpt_id_t const *id)
{
    coh_buf_put_u8(record, id->n);
    coh_buf_put_u8(record, id->depth);
    coh_buf_put(record, id->b, id->n);
    coh_buf_put_u32_le(record, 0);
    return record->n - LENGTH_SZ;
}

typedef struct {
    coh_mpt_change_t change;
    size_t order; /* of occurrence */
} old_t;

typedef struct {
    old_t *items;
    size_t cnt;
    size_t cap;
} olds_t;

static int compare(void const *a, void const *b)
{
    old_t const *x = a;
    old_t const *y = b;
    int order      = memcmp(x->change.key.b, y->change.key.b, sizeof(x->change.key.b));
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static coh_err_t collect_group(olds_t *olds, coh_bytes_t in)
{
    while (in.n != 0) {
        size_t n = in.n < PAIR_HEAD ? SIZE_MAX : PAIR_HEAD + (size_t)in.p[0];
        if (in.n < n || in.p[0] > COH_NODE_VALUE_MAX) {
            return COH_ECORRUPT;
        }
        if (olds->cnt == olds->cap) {
            olds->cap   = olds->cap == 0 ? 16 : olds->cap * 2;
            olds->items = coh_realloc(olds->items, olds->cap * sizeof(*olds->items));
        }
        old_t *old        = &olds->items[olds->cnt];
        old->order        = olds->cnt++;
        old->change.value = coh_bytes(in.p + PAIR_HEAD, in.p[0]);
        memcpy(old->change.key.b, in.p + 1, sizeof(old->change.key.b));
        in = coh_bytes(in.p + n, in.n - n);
    }
    return COH_OK;
}

/* Takes the first group off a record. */
static coh_err_t next_group(coh_bytes_t *in, coh_mpt_id_t *id, coh_bytes_t *pairs)
{
    size_t head = in->n < 2 ? 0 : 2 + (size_t)in->p[0] + LENGTH_SZ;
    if (head == 0 || in->n < head || in->p[0] == 0 || in->p[0] > COH_MPT_ID_MAX ||
        in->p[1] >= COH_DEPTH_MAX) {
        return COH_ECORRUPT;
    }
    size_t n = coh_load_u32_le(in->p + head - LENGTH_SZ);
    if (in->n - head < n) {
        return COH_ECORRUPT;
    }
    *id = (coh_mpt_id_t){.n = in->p[0], .depth = in->p[1]};
    memcpy(id->b, in->p + 2, id->n);
    *pairs = coh_bytes(in->p + head, n);
    *in    = coh_bytes(in->p + head + n, in->n - head - n);
    return COH_OK;
}

static int compare_ids(coh_mpt_id_t const *a, coh_mpt_id_t const *b)
{
    return a->n != b->n ? (a->n > b->n) - (a->n < b->n) : memcmp(a->b, b->b, a->n);
}

/* Adds what a record says of one trie. */
static coh_err_t collect(olds_t *olds, coh_mpt_id_t const *id, coh_bytes_t in)
{
    while (in.n != 0) {
        coh_mpt_id_t found;
        coh_bytes_t pairs;
        COH_TRY(next_group(&in, &found, &pairs));
        if (compare_ids(&found, id) == 0) {
            COH_TRY(collect_group(olds, pairs));
        }
    }
    return COH_OK;
}

/* Of all that is said of a key, what the oldest record says; sorted. Each must lie in the trie. */
static coh_err_t reduce(olds_t *olds, coh_mpt_change_t *out, size_t *cnt, coh_mpt_id_t const *id)
{
    *cnt = 0;
    if (olds->cnt == 0) {
        return COH_OK;
    }
    qsort(olds->items, olds->cnt, sizeof(*olds->items), compare);
    for (size_t i = 0; i < olds->cnt; i++) {
        coh_mpt_change_t const *change = &olds->items[i].change;
        if (*cnt != 0 && coh_hash_eq(&out[*cnt - 1].key, &change->key)) {
            continue;
        }
        if (*cnt != 0 && coh_nibbles_fork(out[0].key.b, change->key.b, 0, id->depth) != id->depth) {
            return COH_ECORRUPT;
        }
        out[(*cnt)++] = *change;
    }
    return COH_OK;
}

coh_err_t coh_history_rewind(coh_mpt_t *view,
                             coh_mpt_id_t const *id,
                             coh_bytes_t const *records,
                             size_t cnt,
                             coh_mpt_node_t *node)
{
    olds_t olds  = {0};
    coh_err_t rc = COH_OK;
    for (size_t i = 0; i < cnt && rc == COH_OK; i++) {
        rc = collect(&olds, id, records[i]);
    }
    coh_mpt_change_t *changes = coh_calloc(olds.cnt + 1, sizeof(*changes));
    coh_mpt_job_t job         = {.id = *id, .changes = changes};
    rc                        = rc == COH_OK ? reduce(&olds, changes, &job.cnt, id) : rc;
    rc                        = rc == COH_OK ? coh_mpt_update(view, 0, &job, 1, NULL) : rc;
    *node                     = job.node;
    free(changes);
    free(olds.items);
    return rc;
}

/* A group of a record. */
typedef struct {
    coh_mpt_id_t id;
    coh_bytes_t pairs;
    size_t order;
} group_t;

typedef struct {
    group_t *v;
    size_t cnt;
    size_t cap;
    size_t bytes; /* of all pairs */
} groups_t;

static int compare_groups(void const *a, void const *b)
{
    group_t const *x = a;
    group_t const *y = b;
    int order        = compare_ids(&x->id, &y->id);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static coh_err_t list_groups(groups_t *groups, coh_bytes_t in)
{
    while (in.n != 0) {
        if (groups->cnt == groups->cap) {
            groups->cap = groups->cap == 0 ? 64 : groups->cap * 2;
            groups->v   = coh_realloc(groups->v, groups->cap * sizeof(*groups->v));
        }
        group_t *group = &groups->v[groups->cnt];
        group->order   = groups->cnt++;
        COH_TRY(next_group(&in, &group->id, &group->pairs));
        groups->bytes += group->pairs.n;
    }
    if (groups->cnt != 0) {
        qsort(groups->v, groups->cnt, sizeof(*groups->v), compare_groups);
    }
    return COH_OK;
}

/* Makes the job of the trie whose groups begin at *at, moving it on. changes has room for its pairs. */
static coh_err_t undo_job(coh_mpt_job_t *job,
                          coh_mpt_change_t *changes,
                          olds_t *olds,
                          groups_t const *groups,
                          size_t *at)
{
    coh_mpt_id_t const *id = &groups->v[*at].id;
    olds->cnt              = 0;
    while (*at < groups->cnt && compare_ids(&groups->v[*at].id, id) == 0) {
        COH_TRY(collect_group(olds, groups->v[(*at)++].pairs));
    }
    *job = (coh_mpt_job_t){.id = *id, .changes = changes};
    return reduce(olds, changes, &job->cnt, id);
}

coh_err_t coh_history_undo(coh_mpt_t *mpt, uint64_t block, coh_bytes_t record)
{
    groups_t groups           = {0};
    olds_t olds               = {0};
    coh_err_t rc              = list_groups(&groups, record);
    coh_mpt_job_t *jobs       = coh_calloc(groups.cnt + 1, sizeof(*jobs));
    coh_mpt_change_t *changes = coh_calloc(groups.bytes / PAIR_HEAD + 1, sizeof(*changes));
    size_t job_cnt            = 0;
    size_t used               = 0;
    for (size_t at = 0; rc == COH_OK && at < groups.cnt;) {
        rc = undo_job(&jobs[job_cnt], changes + used, &olds, &groups, &at);
        used += rc == COH_OK ? jobs[job_cnt++].cnt : 0;
    }
    rc = rc == COH_OK ? coh_mpt_update(mpt, block, jobs, job_cnt, NULL) : rc;
    free(changes);
    free(jobs);
    free(olds.items);
    free(groups.v);
    return rc;
}
