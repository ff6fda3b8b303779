#include "common/trie/history.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/trie/mpt_private.h"

#define LENGTH_SZ ((size_t)4)

size_t coh_history_put_group(coh_buf_t *record, coh_mpt_id_t const *id)
{
    coh_buf_put_u8(record, id->n);
    coh_buf_put_u8(record, id->depth);
    coh_buf_put(record, id->b, id->n);
    coh_buf_put_u32_le(record, 0);
    return record->n - LENGTH_SZ;
}

/* Key of a record: no trie's prefix begins with this letter. */
static coh_bytes_t record_key(uint8_t out[9], uint64_t block)
{
    out[0] = 'u';
    coh_store_u64_be(out + 1, block);
    return coh_bytes(out, 9);
}

void coh_history_put(coh_kv_batch_t *batch,
                     coh_kv_table_t table,
                     uint64_t block,
                     coh_bytes_t record,
                     uint64_t keep)
{
    uint8_t key[9];
    coh_kv_batch_put(batch, table, record_key(key, block), record);
    if (block >= keep) {
        coh_kv_batch_delete(batch, table, record_key(key, block - keep));
    }
}

coh_err_t coh_history_get(coh_kv_t *kv, coh_kv_table_t table, uint64_t block, coh_buf_t *out)
{
    uint8_t key[9];
    return kv->ops->get(kv, table, record_key(key, block), out);
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
        if (in.n < COH_MPT_PAIR_HEAD || in.p[0] > COH_NODE_VALUE_MAX ||
            in.n < coh_mpt_pair_sz(in.p)) {
            return COH_ECORRUPT;
        }
        if (olds->cnt == olds->cap) {
            olds->cap   = olds->cap == 0 ? 16 : olds->cap * 2;
            olds->items = coh_realloc(olds->items, olds->cap * sizeof(*olds->items));
        }
        old_t *old        = &olds->items[olds->cnt];
        old->order        = olds->cnt++;
        old->change.value = coh_mpt_pair_value(in.p);
        memcpy(old->change.key.b, coh_mpt_pair_key(in.p), sizeof(old->change.key.b));
        in = coh_bytes(in.p + coh_mpt_pair_sz(in.p), in.n - coh_mpt_pair_sz(in.p));
    }
    return COH_OK;
}

/* Adds what a record says of one trie. */
static coh_err_t collect(olds_t *olds, coh_mpt_id_t const *id, coh_bytes_t in)
{
    while (in.n != 0) {
        size_t head = in.n < 2 ? 0 : 2 + (size_t)in.p[0] + LENGTH_SZ;
        if (head == 0 || in.n < head) {
            return COH_ECORRUPT;
        }
        size_t n = coh_load_u32_le(in.p + head - LENGTH_SZ);
        if (in.n - head < n) {
            return COH_ECORRUPT;
        }
        if (in.p[0] == id->n && memcmp(in.p + 2, id->b, id->n) == 0) {
            COH_TRY(collect_group(olds, coh_bytes(in.p + head, n)));
        }
        in = coh_bytes(in.p + head + n, in.n - head - n);
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
                             coh_node_t *node)
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
