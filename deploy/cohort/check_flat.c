#include "deploy/cohort/check_flat.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "shard/moves.h"
#include "shard/recovery.h"
#include "shard/store.h"

static int by_address(void const *a, void const *b)
{
    return memcmp(((coh_addr_t const *)a)->b, ((coh_addr_t const *)b)->b, sizeof(coh_addr_t));
}

static coh_err_t read_left(coh_check_flat_t *flat, uint64_t epoch)
{
    COH_TRY(coh_moves_left(flat->kv, epoch, &flat->left, &flat->left_cnt));
    if (epoch != 0) {
        return COH_OK;
    }
    coh_addr_t *more;
    size_t more_cnt;
    COH_TRY(coh_moves_left(flat->kv, UINT64_MAX, &more, &more_cnt));
    flat->left = coh_realloc(flat->left, (flat->left_cnt + more_cnt + 1) * sizeof(*flat->left));
    memcpy(flat->left + flat->left_cnt, more, more_cnt * sizeof(*more));
    flat->left_cnt += more_cnt;
    qsort(flat->left, flat->left_cnt, sizeof(*flat->left), by_address);
    free(more);
    return COH_OK;
}

static coh_err_t read_items(coh_check_flat_t *flat, uint64_t flushed, uint64_t head)
{
    coh_kv_batch_t codes;
    coh_kv_batch_init(&codes);
    coh_err_t rc =
        coh_recovery_collect(flat->kv, flushed, head, &flat->items, &flat->item_cnt, &codes);
    coh_kv_batch_free(&codes);
    COH_TRY(rc);
    flat->own = coh_calloc(flat->item_cnt + 1, sizeof(*flat->own));
    for (size_t i = 0; i < flat->item_cnt; i++) {
        if (!flat->items[i].is_guest) {
            flat->own_slot += flat->items[i].key.kind == COH_KEY_ACCOUNT;
            flat->own[flat->own_cnt++] = flat->items[i];
        }
    }
    return COH_OK;
}

coh_err_t coh_check_flat_open(coh_check_flat_t *out, coh_kv_t *kv, uint64_t epoch, uint64_t head)
{
    coh_store_mark_t mark;
    *out = (coh_check_flat_t){.kv = kv};
    COH_TRY(coh_store_get_mark(kv, &mark));
    coh_err_t rc = read_left(out, epoch);
    if (rc == COH_OK) {
        rc = read_items(out, mark.flushed, head);
    }
    if (rc != COH_OK) {
        coh_check_flat_free(out);
    }
    return rc;
}

void coh_check_flat_free(coh_check_flat_t *flat)
{
    free(flat->items);
    free(flat->own);
    free(flat->left);
    *flat = (coh_check_flat_t){0};
}

bool coh_check_flat_has(coh_check_flat_t const *flat, coh_addr_t const *addr)
{
    return flat->left_cnt == 0 ||
           bsearch(addr, flat->left, flat->left_cnt, sizeof(*flat->left), by_address) == NULL;
}

/* A walk. */
typedef struct {
    coh_kv_table_t table;
    coh_bytes_t prefix;
    coh_mv_item_t const *items; /* of the table, not passed yet */
    coh_mv_item_t const *end;
    coh_check_flat_visit_t *visit;
    void *arg;
    bool stopped;
} walk_t;

static bool has_prefix(coh_bytes_t key, coh_bytes_t prefix)
{
    return key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

static bool give_item(walk_t *w)
{
    uint8_t buf[COH_STORE_KEY_MAX];
    coh_mv_item_t const *item = w->items;
    if (!has_prefix(coh_store_key(buf, &item->key), w->prefix)) {
        w->items = w->end;
        return true;
    }
    w->items++;
    return coh_store_is_absent(&item->value) || w->visit(w->arg, &item->key, &item->value);
}

static bool give_flat(void *arg, coh_bytes_t in_key, coh_bytes_t in)
{
    walk_t *w = arg;
    coh_key_t key;
    coh_value_t value;
    if (!has_prefix(in_key, w->prefix)) {
        return false;
    }
    if (coh_store_read_key(&key, w->table, in_key) != COH_OK) {
        return true;
    }
    int order = -1;
    while (!w->stopped && w->items < w->end &&
           (order = coh_store_compare_keys(&w->items->key, &key)) <= 0) {
        w->stopped = !give_item(w);
        if (order == 0) {
            return !w->stopped;
        }
    }
    if (!w->stopped && coh_store_get_value(&value, key.kind, in) == COH_OK) {
        w->stopped = !w->visit(w->arg, &key, &value);
    }
    return !w->stopped;
}

/* The place of the first of the items low..high-1 at or behind a flat key. */
static size_t find_item(coh_mv_item_t const *items, size_t low, size_t high, coh_bytes_t from)
{
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        uint8_t buf[COH_STORE_KEY_MAX];
        coh_bytes_t key = coh_store_key(buf, &items[mid].key);
        size_t n        = COH_MIN(key.n, from.n);
        int order       = n == 0 ? 0 : memcmp(key.p, from.p, n);
        if (order < 0 || (order == 0 && key.n < from.n)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

coh_err_t coh_check_flat_walk(coh_check_flat_t const *flat,
                              coh_kv_table_t table,
                              coh_bytes_t from,
                              coh_bytes_t prefix,
                              coh_check_flat_visit_t *visit,
                              void *arg,
                              bool *stopped)
{
    bool is_slot = table == COH_KV_STORAGE;
    size_t low   = is_slot ? flat->own_slot : 0;
    size_t high  = is_slot ? flat->own_cnt : flat->own_slot;
    walk_t w     = {.table  = table,
                    .prefix = prefix,
                    .items  = flat->own + find_item(flat->own, low, high, from),
                    .end    = flat->own + high,
                    .visit  = visit,
                    .arg    = arg};
    COH_TRY(flat->kv->ops->iterate(flat->kv, table, from, false, give_flat, &w));
    while (!w.stopped && w.items < w.end) {
        w.stopped = !give_item(&w);
    }
    *stopped = w.stopped;
    return COH_OK;
}
