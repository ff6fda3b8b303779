#include "shard/flush.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Below this many entries one atomic batch is cheaper than a file to ingest. */
#define INGEST_MIN 8192u

enum { FLUSH_IDLE, FLUSH_QUEUED, FLUSH_SORTING, FLUSH_SORTED, FLUSH_WRITING };

struct coh_flush {
    coh_mvstore_t *mv;
    coh_env_t *env;
    _Atomic int state;
    coh_store_mark_t mark;
    coh_mv_item_t *items;
    size_t cnt;
    coh_disk_req_t *req; /* built by the worker; handed out by poll */
};

coh_flush_t *coh_flush_new(coh_mvstore_t *mv, coh_env_t *env)
{
    coh_flush_t *f = coh_calloc(1, sizeof(*f));
    f->mv          = mv;
    f->env         = env;
    return f;
}

static void free_req(coh_disk_req_t *req)
{
    if (req != NULL) {
        coh_kv_batch_free(&req->batch);
        coh_kv_batch_free(&req->after);
        free(req);
    }
}

void coh_flush_free(coh_flush_t *f)
{
    if (f != NULL) {
        if (atomic_load(&f->state) != FLUSH_WRITING) {
            free_req(f->req);
        }
        free(f->items);
        free(f);
    }
}

bool coh_flush_is_running(coh_flush_t const *f) { return atomic_load(&f->state) != FLUSH_IDLE; }

void coh_flush_begin(coh_flush_t *f, coh_store_mark_t const *mark)
{
    COH_ASSERT(!coh_flush_is_running(f));
    f->mark = *mark;
    f->cnt  = coh_mv_flush_begin(f->mv, &f->items);
    atomic_store(&f->state, FLUSH_QUEUED);
    f->env->wake_workers(f->env);
}

static void put_mark(coh_flush_t const *f, coh_kv_batch_t *batch)
{
    coh_store_put_mark(batch, &f->mark);
    coh_store_drop_redo(batch, 0, f->mark.flushed);
}

bool coh_flush_work(coh_flush_t *f)
{
    int queued = FLUSH_QUEUED;
    if (!atomic_compare_exchange_strong(&f->state, &queued, FLUSH_SORTING)) {
        return false;
    }
    coh_store_sort_items(f->items, f->cnt);
    coh_disk_req_t *req = coh_calloc(1, sizeof(*req));
    coh_kv_batch_init(&req->batch);
    coh_kv_batch_init(&req->after);
    for (size_t i = 0; i < f->cnt; i++) {
        coh_store_put_value(&req->batch, &f->items[i].key, &f->items[i].value);
    }
    if (f->cnt >= INGEST_MIN) {
        req->kind = COH_DISK_INGEST;
        put_mark(f, &req->after);
    } else {
        req->kind = COH_DISK_WRITE;
        put_mark(f, &req->batch);
    }
    free(f->items);
    f->items = NULL;
    f->req   = req;
    atomic_store(&f->state, FLUSH_SORTED);
    f->env->wake_node(f->env);
    return true;
}

bool coh_flush_poll(coh_flush_t *f, uint32_t tag)
{
    if (atomic_load(&f->state) != FLUSH_SORTED) {
        return false;
    }
    atomic_store(&f->state, FLUSH_WRITING);
    f->req->tag         = tag;
    coh_disk_req_t *req = f->req;
    f->req              = NULL;
    f->env->disk(f->env, req);
    return true;
}

void coh_flush_on_done(coh_flush_t *f, coh_store_mark_t *mark)
{
    coh_mv_flush_end(f->mv);
    *mark = f->mark;
    coh_metric_add(f->env->metrics, COH_M_store_flush, 1);
    coh_metric_add(f->env->metrics, COH_M_store_flush_entry, f->cnt);
    atomic_store(&f->state, FLUSH_IDLE);
}
