#include "shard/store.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/checksum.h"

#define REDO_VERSION 1u

static char const mark_key[] = "node/shard";
#define MARK_SZ 32u

coh_err_t coh_store_get_mark(coh_kv_t *kv, coh_store_mark_t *out)
{
    coh_buf_t buf = COH_BUF_INIT;
    coh_err_t rc  = kv->ops->get(kv, COH_KV_META, coh_bytes(mark_key, sizeof(mark_key) - 1), &buf);
    if (rc == COH_OK) {
        if (buf.n != MARK_SZ || coh_load_u64_le(buf.p + 24) != coh_checksum64(buf.p, 24)) {
            rc = COH_ECORRUPT;
        } else if (coh_load_u32_le(buf.p) != COH_STORE_FORMAT) {
            rc = COH_EMISMATCH;
        } else {
            *out = (coh_store_mark_t){.rank_cnt = coh_load_u32_le(buf.p + 4),
                                      .epoch    = coh_load_u64_le(buf.p + 8),
                                      .flushed  = coh_load_u64_le(buf.p + 16)};
        }
    }
    coh_buf_free(&buf);
    return rc;
}

void coh_store_put_mark(coh_kv_batch_t *batch, coh_store_mark_t const *mark)
{
    uint8_t v[MARK_SZ];
    coh_store_u32_le(v, COH_STORE_FORMAT);
    coh_store_u32_le(v + 4, mark->rank_cnt);
    coh_store_u64_le(v + 8, mark->epoch);
    coh_store_u64_le(v + 16, mark->flushed);
    coh_store_u64_le(v + 24, coh_checksum64(v, 24));
    coh_kv_batch_put(
        batch, COH_KV_META, coh_bytes(mark_key, sizeof(mark_key) - 1), coh_bytes(v, sizeof(v)));
}

coh_bytes_t coh_store_key(coh_key_t const *key)
{
    COH_ASSERT(key->kind == COH_KEY_ACCOUNT);
    return coh_bytes(key->addr.b, sizeof(key->addr.b));
}

void coh_store_put_value(coh_kv_batch_t *batch, coh_key_t const *key, coh_value_t const *value)
{
    uint8_t be[32];
    size_t len = coh_u256_be_len(&value->word);
    coh_u256_to_be(be, &value->word);
    uint8_t *v = coh_kv_batch_put_space(batch, COH_KV_ACCOUNTS, coh_store_key(key), 8 + len);
    coh_store_u64_le(v, value->nonce);
    memcpy(v + 8, be + 32 - len, len);
}

coh_err_t coh_store_get_value(coh_bytes_t in, coh_value_t *out)
{
    if (in.n < 8 || in.n > 40 || (in.n > 8 && in.p[8] == 0)) {
        return COH_ECORRUPT;
    }
    out->nonce = coh_load_u64_le(in.p);
    out->word  = coh_u256_from_be(in.p + 8, in.n - 8);
    return COH_OK;
}

/* ---- redo records ---- */

#define REDO_HEAD_SZ 16u
/* kind, address, slot, nonce, length, balance */
#define CHANGE_SZ_MAX (1u + 20u + 32u + 8u + 1u + 32u)

static uint8_t *put_change(uint8_t *p, coh_key_t const *key, coh_value_t const *value)
{
    *p++ = (uint8_t)key->kind;
    memcpy(p, key->addr.b, sizeof(key->addr.b));
    p += sizeof(key->addr.b);
    if (key->kind == COH_KEY_SLOT) {
        coh_u256_to_be(p, &key->slot);
        p += 32;
    }
    coh_store_u64_le(p, value->nonce);
    p += 8;
    uint8_t be[32];
    size_t len = coh_u256_be_len(&value->word);
    coh_u256_to_be(be, &value->word);
    *p++ = (uint8_t)len;
    memcpy(p, be + 32 - len, len);
    return p + len;
}

size_t coh_store_put_redo(coh_kv_batch_t *batch, coh_mvstore_t const *mv, coh_mv_diff_t const *diff)
{
    COH_ASSERT(diff->cnt <= UINT32_MAX);
    coh_buf_t rec  = COH_BUF_INIT;
    uint8_t *start = coh_buf_extend(&rec, REDO_HEAD_SZ + diff->cnt * CHANGE_SZ_MAX + 8);
    coh_store_u32_le(start, REDO_VERSION);
    coh_store_u64_le(start + 4, diff->block);
    coh_store_u32_le(start + 12, (uint32_t)diff->cnt);
    uint8_t *p = start + REDO_HEAD_SZ;
    for (size_t i = 0; i < diff->cnt; i++) {
        p = put_change(p, coh_mv_entry_key(mv, diff->v[i].entry), &diff->v[i].value);
    }
    coh_store_u64_le(p, coh_checksum64(start, (size_t)(p - start)));
    size_t size = (size_t)(p + 8 - start);
    uint8_t key[8];
    coh_store_u64_be(key, diff->block);
    coh_kv_batch_put(batch, COH_KV_REDO, coh_bytes(key, sizeof(key)), coh_bytes(start, size));
    coh_buf_free(&rec);
    return size;
}

void coh_store_drop_redo(coh_kv_batch_t *batch, uint64_t first, uint64_t last)
{
    COH_ASSERT(last < UINT64_MAX);
    uint8_t from[8];
    uint8_t to[8];
    coh_store_u64_be(from, first);
    coh_store_u64_be(to, last + 1);
    coh_kv_batch_delete_range(
        batch, COH_KV_REDO, coh_bytes(from, sizeof(from)), coh_bytes(to, sizeof(to)));
}

/* Reads one change; NULL if the rest is too short or no change. */
static uint8_t const *get_change(uint8_t const *p,
                                 uint8_t const *end,
                                 coh_key_t *key,
                                 coh_value_t *value)
{
    *key         = (coh_key_t){0};
    size_t fixed = 1 + 20 + (p < end && *p == COH_KEY_SLOT ? 32 : 0) + 8 + 1;
    if ((size_t)(end - p) < fixed || *p >= COH_KEY_KIND_CNT) {
        return NULL;
    }
    key->kind = *p++;
    memcpy(key->addr.b, p, sizeof(key->addr.b));
    p += sizeof(key->addr.b);
    if (key->kind == COH_KEY_SLOT) {
        key->slot = coh_u256_from_be(p, 32);
        p += 32;
    }
    value->nonce = coh_load_u64_le(p);
    p += 8;
    size_t len = *p++;
    if (len > 32 || (size_t)(end - p) < len) {
        return NULL;
    }
    value->word = coh_u256_from_be(p, len);
    return p + len;
}

coh_err_t coh_store_read_redo(coh_bytes_t key,
                              coh_bytes_t record,
                              uint64_t *block,
                              coh_store_change_fn *visit,
                              void *arg)
{
    if (key.n != 8 || record.n < REDO_HEAD_SZ + 8 || coh_load_u32_le(record.p) != REDO_VERSION) {
        return COH_ECORRUPT;
    }
    uint8_t const *end = record.p + record.n - 8;
    *block             = coh_load_u64_be(key.p);
    if (coh_load_u64_le(end) != coh_checksum64(record.p, record.n - 8) ||
        coh_load_u64_le(record.p + 4) != *block) {
        return COH_ECORRUPT;
    }
    uint32_t cnt     = coh_load_u32_le(record.p + 12);
    uint8_t const *p = record.p + REDO_HEAD_SZ;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_key_t k;
        coh_value_t v;
        p = get_change(p, end, &k, &v);
        if (p == NULL) {
            return COH_ECORRUPT;
        }
        visit(arg, &k, &v);
    }
    return p == end ? COH_OK : COH_ECORRUPT;
}

static int by_key(void const *a, void const *b)
{
    coh_mv_item_t const *x = a;
    coh_mv_item_t const *y = b;
    return memcmp(x->key.addr.b, y->key.addr.b, sizeof(x->key.addr.b));
}

void coh_store_sort_items(coh_mv_item_t *items, size_t cnt)
{
    qsort(items, cnt, sizeof(*items), by_key);
}
