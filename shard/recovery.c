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

typedef struct {
    coh_mv_item_t *items;
    size_t cnt, cap;
    uint64_t flushed, head;
    coh_kv_batch_t *codes;
    coh_err_t rc;
} collect_t;

static void collect_change(void *arg, coh_mv_item_t const *item)
{
    collect_t *c = arg;
    if (c->cnt == c->cap) {
        c->cap   = c->cap == 0 ? 1024 : c->cap * 2;
        c->items = coh_realloc(c->items, c->cap * sizeof(*c->items));
    }
    c->items[c->cnt++] = *item;
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
        free(c.items);
        return rc;
    }
    *items = c.items;
    *cnt   = coh_store_merge_items(c.items, c.cnt);
    return COH_OK;
}
