#include "shard/recovery.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"

typedef struct {
    coh_recovery_t *out;
    coh_err_t rc;
    uint64_t bad_block;
} scan_t;

static void ignore_change(void *arg, coh_mv_item_t const *item)
{
    (void)arg;
    (void)item;
}

static bool scan_record(void *arg, coh_bytes_t key, coh_bytes_t record)
{
    scan_t *scan   = arg;
    uint64_t block = 0;
    scan->rc =
        coh_store_read_redo(key, record, &block, &(coh_store_visitor_t){.change = ignore_change});
    if (scan->rc != COH_OK) {
        scan->bad_block = key.n == 8 ? coh_load_u64_be(key.p) : 0;
        return false;
    }
    scan->out->prepared = COH_MAX(scan->out->prepared, block);
    return true;
}

coh_err_t coh_recovery_scan(coh_kv_t *kv, coh_recovery_t *out, coh_buf_t *err_text)
{
    *out         = (coh_recovery_t){0};
    coh_err_t rc = coh_store_get_mark(kv, &out->mark);
    if (rc == COH_ENOTFOUND) {
        out->fresh = true;
        return COH_OK;
    }
    if (rc != COH_OK) {
        coh_buf_printf(err_text,
                       "the shard's mark (META node/shard) cannot be used: %s; restore this rank's "
                       "directory from a backup",
                       coh_err_str(rc));
        return rc;
    }
    out->prepared = out->mark.flushed;
    scan_t scan   = {.out = out};
    rc = kv->ops->iterate(kv, COH_KV_REDO, coh_bytes(NULL, 0), false, scan_record, &scan);
    if (rc != COH_OK) {
        coh_buf_printf(err_text, "redo records cannot be read: %s", coh_err_str(rc));
        return rc;
    }
    if (scan.rc != COH_OK) {
        coh_buf_printf(err_text,
                       "the redo record of block %" PRIu64
                       " is damaged; restore this rank's directory from a backup",
                       scan.bad_block);
    }
    return scan.rc;
}

/* A change, and how many came before it. */
typedef struct {
    coh_mv_item_t item;
    size_t place;
} change_t;

typedef struct {
    change_t *changes;
    size_t cnt, cap;
    uint64_t flushed, head;
    coh_kv_batch_t *codes;
    coh_err_t rc;
} collect_t;

static void collect_change(void *arg, coh_mv_item_t const *item)
{
    collect_t *c = arg;
    if (c->cnt == c->cap) {
        c->cap     = c->cap == 0 ? 1024 : c->cap * 2;
        c->changes = coh_realloc(c->changes, c->cap * sizeof(*c->changes));
    }
    c->changes[c->cnt] = (change_t){.item = *item, .place = c->cnt};
    c->cnt++;
}

static void collect_code(void *arg, coh_bytes_t code)
{
    collect_t *c = arg;
    coh_hash_t hash;
    coh_keccak256(&hash, code.p, code.n);
    coh_store_put_code(c->codes, &hash, code);
}

static bool collect_record(void *arg, coh_bytes_t key, coh_bytes_t record)
{
    collect_t *c   = arg;
    uint64_t block = key.n == 8 ? coh_load_u64_be(key.p) : 0;
    if (block > c->head) {
        return false;
    }
    if (block > c->flushed) {
        c->rc = coh_store_read_redo(
            key,
            record,
            &block,
            &(coh_store_visitor_t){.change = collect_change, .code = collect_code, .arg = c});
    }
    return c->rc == COH_OK;
}

/* Of equal keys the last counts. */
static int by_key_then_place(void const *a, void const *b)
{
    change_t const *x = a;
    change_t const *y = b;
    int d             = coh_store_compare_keys(&x->item.key, &y->item.key);
    return d != 0 ? d : (x->place > y->place) - (x->place < y->place);
}

coh_err_t coh_recovery_collect(coh_kv_t *kv,
                               uint64_t flushed,
                               uint64_t head,
                               coh_mv_item_t **items,
                               size_t *cnt,
                               coh_kv_batch_t *codes)
{
    collect_t c  = {.flushed = flushed, .head = head, .codes = codes};
    coh_err_t rc = kv->ops->iterate(kv, COH_KV_REDO, coh_bytes(NULL, 0), false, collect_record, &c);
    rc           = rc != COH_OK ? rc : c.rc;
    if (rc != COH_OK) {
        free(c.changes);
        return rc;
    }
    if (c.cnt != 0) {
        qsort(c.changes, c.cnt, sizeof(*c.changes), by_key_then_place);
    }
    coh_mv_item_t *merged = coh_calloc(c.cnt, sizeof(*merged));
    size_t merged_cnt     = 0;
    bool wiped            = false;
    for (size_t i = 0; i < c.cnt; i++) {
        wiped = wiped || c.changes[i].item.wiped;
        if (i + 1 == c.cnt || !coh_key_eq(&c.changes[i].item.key, &c.changes[i + 1].item.key)) {
            merged[merged_cnt]         = c.changes[i].item;
            merged[merged_cnt++].wiped = wiped;
            wiped                      = false;
        }
    }
    free(c.changes);
    *items = merged;
    *cnt   = merged_cnt;
    return COH_OK;
}
