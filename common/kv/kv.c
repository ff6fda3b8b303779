#include "common/kv/kv.h"

#include "common/base/assert.h"
#include "common/kv/kv_private.h"

/* One operation in a batch: kind (1), table (1), key length (4), value length (4), key, value. */
#define OP_HEAD_BYTES ((size_t)10)

void coh_kv_batch_init(coh_kv_batch_t *batch) { *batch = (coh_kv_batch_t){.ops = COH_BUF_INIT}; }

void coh_kv_batch_free(coh_kv_batch_t *batch)
{
    coh_buf_free(&batch->ops);
    batch->cnt = 0;
}

/* Appends head and key; returns where the value of value_n bytes goes. */
static uint8_t *append_op(coh_kv_batch_t *batch,
                          coh_kv_op_kind_t kind,
                          coh_kv_table_t table,
                          coh_bytes_t key,
                          size_t value_n)
{
    COH_ASSERT((unsigned)table < COH_KV_TABLE_CNT);
    COH_ASSERT(key.n <= UINT32_MAX && value_n <= UINT32_MAX);
    COH_ASSERT(batch->cnt < UINT32_MAX);
    uint8_t *at = coh_buf_extend(&batch->ops, OP_HEAD_BYTES + key.n + value_n);
    at[0]       = (uint8_t)kind;
    at[1]       = (uint8_t)table;
    coh_store_u32_le(at + 2, (uint32_t)key.n);
    coh_store_u32_le(at + 6, (uint32_t)value_n);
    at += OP_HEAD_BYTES;
    if (key.n != 0) {
        memcpy(at, key.p, key.n);
    }
    batch->cnt++;
    return at + key.n;
}

void coh_kv_batch_put(coh_kv_batch_t *batch,
                      coh_kv_table_t table,
                      coh_bytes_t key,
                      coh_bytes_t value)
{
    uint8_t *at = append_op(batch, COH_KV_OP_PUT, table, key, value.n);
    if (value.n != 0) {
        memcpy(at, value.p, value.n);
    }
}

uint8_t *coh_kv_batch_put_space(coh_kv_batch_t *batch,
                                coh_kv_table_t table,
                                coh_bytes_t key,
                                size_t n)
{
    return append_op(batch, COH_KV_OP_PUT, table, key, n);
}

void coh_kv_batch_delete(coh_kv_batch_t *batch, coh_kv_table_t table, coh_bytes_t key)
{
    (void)append_op(batch, COH_KV_OP_DELETE, table, key, 0);
}

void coh_kv_batch_delete_range(coh_kv_batch_t *batch,
                               coh_kv_table_t table,
                               coh_bytes_t first,
                               coh_bytes_t end)
{
    uint8_t *at = append_op(batch, COH_KV_OP_DELETE_RANGE, table, first, end.n);
    if (end.n != 0) {
        memcpy(at, end.p, end.n);
    }
}

void coh_kv_batch_append(coh_kv_batch_t *batch, coh_kv_batch_t const *other)
{
    if (other->cnt != 0) {
        coh_buf_put(&batch->ops, other->ops.p, other->ops.n);
        batch->cnt += other->cnt;
    }
}

bool coh_kv_batch_next(coh_kv_batch_t const *batch, size_t *at, coh_kv_op_t *op)
{
    size_t left = batch->ops.n - *at;
    if (left == 0) {
        return false;
    }
    COH_ASSERT(*at < batch->ops.n && left >= OP_HEAD_BYTES);
    uint8_t const *p = batch->ops.p + *at;
    size_t key_n     = coh_load_u32_le(p + 2);
    size_t value_n   = coh_load_u32_le(p + 6);
    COH_ASSERT(p[0] >= COH_KV_OP_PUT && p[0] <= COH_KV_OP_DELETE_RANGE);
    COH_ASSERT(p[1] < COH_KV_TABLE_CNT);
    COH_ASSERT(left - OP_HEAD_BYTES >= key_n + value_n);
    op->kind  = (coh_kv_op_kind_t)p[0];
    op->table = (coh_kv_table_t)p[1];
    op->key   = coh_bytes(p + OP_HEAD_BYTES, key_n);
    op->value = coh_bytes(p + OP_HEAD_BYTES + key_n, value_n);
    *at += OP_HEAD_BYTES + key_n + value_n;
    return true;
}

bool coh_kv_batch_is_ingestable(coh_kv_batch_t const *batch)
{
    size_t at = 0;
    coh_kv_op_t op;
    coh_kv_op_t before = {0};
    for (bool first = true; coh_kv_batch_next(batch, &at, &op); first = false) {
        if (op.kind != COH_KV_OP_PUT ||
            (!first && (op.table != before.table || coh_kv_compare(before.key, op.key) >= 0))) {
            return false;
        }
        before = op;
    }
    return true;
}
