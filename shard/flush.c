#include "shard/flush.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/node/disk_req.h"

/* Below this many entries of a table the batch is cheaper than a file to ingest. */
#define INGEST_MIN 8192u

enum { FLUSH_IDLE, FLUSH_QUEUED, FLUSH_SORTING, FLUSH_SORTED, FLUSH_WRITING };

struct coh_flush {
    coh_mvstore_t *mv;
    coh_codes_t *codes;
    coh_env_t *env;
    _Atomic int state;
    coh_store_mark_t mark;
    coh_mv_item_t *items;
    size_t cnt;
    coh_code_list_t list;
    coh_kv_batch_t besides;
    coh_disk_req_t *reqs[COH_FLUSH_REQ_MAX]; /* built by the worker; handed out by poll */
    coh_disk_req_t *pages;                   /* NULL: not there yet */
    uint32_t req_cnt;                        /* then those that are not back */
};

coh_flush_t *coh_flush_new(coh_mvstore_t *mv, coh_codes_t *codes, coh_env_t *env)
{
    coh_flush_t *f = coh_calloc(1, sizeof(*f));
    f->mv          = mv;
    f->codes       = codes;
    f->env         = env;
    coh_kv_batch_init(&f->besides);
    return f;
}

void coh_flush_free(coh_flush_t *f)
{
    if (f != NULL) {
        for (uint32_t i = 0; atomic_load(&f->state) == FLUSH_SORTED && i < f->req_cnt; i++) {
            coh_disk_req_free(f->reqs[i]);
        }
        if (f->pages != NULL) {
            coh_disk_req_free(f->pages);
        }
        free(f->items);
        free(f->list.v);
        coh_kv_batch_free(&f->besides);
        free(f);
    }
}

bool coh_flush_is_running(coh_flush_t const *f) { return atomic_load(&f->state) != FLUSH_IDLE; }

uint32_t coh_flush_requests(coh_disk_req_t *req[COH_FLUSH_REQ_MAX],
                            coh_mv_item_t const *items,
                            size_t cnt)
{
    size_t put_cnt[COH_KEY_KIND_CNT]         = {0};
    coh_disk_req_t *ingest[COH_KEY_KIND_CNT] = {0};
    coh_disk_req_t *rest                     = coh_disk_req_new(COH_DISK_WRITE, 0, 0);
    uint32_t req_cnt                         = 0;
    for (size_t i = 0; i < cnt; i++) {
        put_cnt[items[i].key.kind] += !coh_store_is_absent(&items[i].value);
    }
    for (uint32_t kind = 0; kind < COH_KEY_KIND_CNT; kind++) {
        if (put_cnt[kind] >= INGEST_MIN) {
            ingest[kind]   = coh_disk_req_new(COH_DISK_INGEST, 0, 0);
            req[req_cnt++] = ingest[kind];
        }
    }
    for (size_t i = 0; i < cnt; i++) {
        coh_disk_req_t *file = ingest[items[i].key.kind];
        bool in_file         = file != NULL && !coh_store_is_absent(&items[i].value);
        coh_store_put_value(in_file ? &file->batch : &rest->batch, &items[i].key, &items[i].value);
    }
    req[req_cnt++] = rest;
    return req_cnt;
}

void coh_flush_begin(coh_flush_t *f,
                     coh_store_mark_t const *mark,
                     coh_code_list_t *codes,
                     coh_kv_batch_t *besides)
{
    COH_ASSERT(!coh_flush_is_running(f));
    COH_ASSERT(f->pages == NULL);
    f->mark = *mark;
    f->cnt  = coh_mv_flush_begin(f->mv, &f->items);
    coh_code_list_move(&f->list, codes);
    f->besides = *besides;
    coh_kv_batch_init(besides);
    atomic_store(&f->state, FLUSH_QUEUED);
    f->env->wake_workers(f->env);
}

bool coh_flush_work(coh_flush_t *f)
{
    int queued = FLUSH_QUEUED;
    if (!atomic_compare_exchange_strong(&f->state, &queued, FLUSH_SORTING)) {
        return false;
    }
    coh_store_sort_items(f->items, f->cnt);
    f->req_cnt            = coh_flush_requests(f->reqs, f->items, f->cnt);
    coh_kv_batch_t *batch = &f->reqs[f->req_cnt - 1]->batch;
    for (size_t i = 0; i < f->list.cnt; i++) {
        coh_bytes_t code;
        bool here = coh_codes_bytes(f->codes, &f->list.v[i], &code);
        COH_ASSERT(here); /* it is pinned */
        coh_store_put_code(batch, &f->list.v[i], code);
    }
    coh_kv_batch_append(batch, &f->besides);
    coh_kv_batch_free(&f->besides);
    coh_store_put_mark(batch, &f->mark);
    coh_store_drop_redo(batch, 0, f->mark.flushed);
    free(f->items);
    f->items = NULL;
    atomic_store(&f->state, FLUSH_SORTED);
    f->env->wake_node(f->env);
    return true;
}

void coh_flush_pages(coh_flush_t *f, coh_kv_batch_t *pages, bool ingest)
{
    COH_ASSERT(coh_flush_is_running(f) && f->pages == NULL);
    f->pages        = coh_disk_req_new(ingest ? COH_DISK_INGEST : COH_DISK_WRITE_SYNC, 0, 0);
    f->pages->batch = *pages;
    coh_kv_batch_init(pages);
}

bool coh_flush_poll(coh_flush_t *f, uint32_t tag)
{
    if (atomic_load(&f->state) != FLUSH_SORTED || f->pages == NULL) {
        return false;
    }
    atomic_store(&f->state, FLUSH_WRITING);
    uint32_t req_cnt = f->req_cnt;
    if (f->pages->kind == COH_DISK_INGEST) {
        f->pages->tag = tag;
        f->req_cnt++;
        f->env->disk(f->env, f->pages);
    } else {
        coh_disk_req_t *rest = f->reqs[req_cnt - 1];
        rest->kind           = f->pages->batch.cnt != 0 ? COH_DISK_WRITE_SYNC : COH_DISK_WRITE;
        coh_kv_batch_append(&rest->batch, &f->pages->batch);
        coh_disk_req_free(f->pages);
    }
    f->pages = NULL;
    for (uint32_t i = 0; i < req_cnt; i++) {
        f->reqs[i]->tag = tag;
        f->env->disk(f->env, f->reqs[i]);
    }
    return true;
}

void coh_flush_on_done(coh_flush_t *f, coh_store_mark_t *mark)
{
    if (--f->req_cnt != 0) {
        return;
    }
    coh_mv_flush_end(f->mv);
    coh_codes_release(f->codes, &f->list);
    *mark = f->mark;
    coh_metric_add(f->env->metrics, COH_M_store_flush, 1);
    coh_metric_add(f->env->metrics, COH_M_store_flush_entry, f->cnt);
    atomic_store(&f->state, FLUSH_IDLE);
}
