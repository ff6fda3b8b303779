#include "shard/store.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/checksum.h"

#define REDO_VERSION 3u
/* In the octet of a change's kind: its account's storage was wiped in the block; it is for the tries only. */
#define CHANGE_WIPED 0x80u
#define CHANGE_GUEST 0x40u

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

/* ---- flat keys and values ---- */

coh_kv_table_t coh_store_table(coh_key_t const *key)
{
    COH_ASSERT(key->kind == COH_KEY_ACCOUNT || key->kind == COH_KEY_SLOT);
    return key->kind == COH_KEY_ACCOUNT ? COH_KV_ACCOUNTS : COH_KV_STORAGE;
}

coh_bytes_t coh_store_key(uint8_t buf[COH_STORE_KEY_MAX], coh_key_t const *key)
{
    memcpy(buf, key->addr.b, sizeof(key->addr.b));
    if (coh_store_table(key) == COH_KV_ACCOUNTS) {
        return coh_bytes(buf, sizeof(key->addr.b));
    }
    coh_store_u32_be(buf + 20, (uint32_t)key->generation);
    coh_u256_to_be(buf + 24, &key->slot);
    return coh_bytes(buf, COH_STORE_KEY_MAX);
}

coh_err_t coh_store_read_key(coh_key_t *out, coh_kv_table_t table, coh_bytes_t in)
{
    coh_addr_t addr;
    if (in.n != (table == COH_KV_ACCOUNTS ? sizeof(addr.b) : COH_STORE_KEY_MAX)) {
        return COH_ECORRUPT;
    }
    memcpy(addr.b, in.p, sizeof(addr.b));
    if (table == COH_KV_ACCOUNTS) {
        *out = coh_key_account(&addr);
    } else {
        coh_u256_t slot = coh_u256_from_be(in.p + 24, 32);
        *out            = coh_key_slot(&addr, coh_load_u32_be(in.p + 20), &slot);
    }
    return COH_OK;
}

bool coh_store_is_absent(coh_value_t const *value)
{
    static coh_value_t const none;
    return coh_value_eq(value, &none);
}

/* Flags of a flat account. */
enum { FLAT_EXISTS = 1, FLAT_HAS_STORAGE = 2, FLAT_CODE = 4, FLAT_GENERATION = 8, FLAT_MASK = 15 };
#define FLAT_SZ_MAX (1u + 8u + 4u + 32u + 32u)

/* Writes the flat value, at most FLAT_SZ_MAX octets; returns its end. Nothing is written of an absent one. */
static uint8_t *put_flat(uint8_t *p, uint32_t kind, coh_value_t const *v)
{
    uint8_t be[32];
    size_t len = coh_u256_be_len(&v->word);
    coh_u256_to_be(be, &v->word);
    if (kind == COH_KEY_ACCOUNT && !coh_store_is_absent(v)) {
        bool has_code = coh_value_has_code(v);
        *p++          = (uint8_t)(((v->flags & COH_ACCOUNT_EXISTS) ? FLAT_EXISTS : 0) |
                         ((v->flags & COH_ACCOUNT_HAS_STORAGE) ? FLAT_HAS_STORAGE : 0) |
                         (has_code ? FLAT_CODE : 0) | (v->generation != 0 ? FLAT_GENERATION : 0));
        coh_store_u64_le(p, v->nonce);
        p += 8;
        if (v->generation != 0) {
            coh_store_u32_le(p, v->generation);
            p += 4;
        }
        if (has_code) {
            memcpy(p, v->code_hash.b, sizeof(v->code_hash.b));
            p += sizeof(v->code_hash.b);
        }
    }
    memcpy(p, be + 32 - len, len);
    return p + len;
}

coh_err_t coh_store_get_value(coh_value_t *out, uint32_t kind, coh_bytes_t in)
{
    *out               = (coh_value_t){0};
    uint8_t const *p   = in.p;
    uint8_t const *end = p + in.n;
    if (kind == COH_KEY_ACCOUNT) {
        if (in.n < 9 || (p[0] & ~FLAT_MASK) != 0) {
            return COH_ECORRUPT;
        }
        uint8_t flags = p[0];
        out->flags    = ((flags & FLAT_EXISTS) ? COH_ACCOUNT_EXISTS : 0) |
                     ((flags & FLAT_HAS_STORAGE) ? COH_ACCOUNT_HAS_STORAGE : 0);
        out->nonce  = coh_load_u64_le(p + 1);
        size_t more = ((flags & FLAT_GENERATION) ? 4u : 0u) + ((flags & FLAT_CODE) ? 32u : 0u);
        p += 9;
        if ((size_t)(end - p) < more) {
            return COH_ECORRUPT;
        }
        if (flags & FLAT_GENERATION) {
            out->generation = coh_load_u32_le(p);
            p += 4;
        }
        if (flags & FLAT_CODE) {
            memcpy(out->code_hash.b, p, sizeof(out->code_hash.b));
            p += sizeof(out->code_hash.b);
        }
    }
    if (end - p > 32 || (p < end && *p == 0)) {
        return COH_ECORRUPT;
    }
    out->word = coh_u256_from_be(p, (size_t)(end - p));
    return coh_store_is_absent(out) ? COH_ECORRUPT : COH_OK;
}

size_t coh_store_put_flat(uint8_t out[COH_STORE_FLAT_MAX], uint32_t kind, coh_value_t const *value)
{
    _Static_assert(COH_STORE_FLAT_MAX == FLAT_SZ_MAX, "as the header says");
    return (size_t)(put_flat(out, kind, value) - out);
}

static char const guest_key[] = "guest/";
#define GUEST_KEY_SZ (sizeof(guest_key) - 1 + sizeof(coh_addr_t))

static coh_bytes_t guest_key_of(uint8_t out[GUEST_KEY_SZ], coh_addr_t const *addr)
{
    memcpy(out, guest_key, sizeof(guest_key) - 1);
    memcpy(out + sizeof(guest_key) - 1, addr->b, sizeof(addr->b));
    return coh_bytes(out, GUEST_KEY_SZ);
}

void coh_store_put_guest(coh_kv_batch_t *batch, coh_addr_t const *addr, uint32_t generation)
{
    uint8_t key[GUEST_KEY_SZ];
    uint8_t value[4];
    coh_store_u32_be(value, generation);
    coh_kv_batch_put(batch, COH_KV_META, guest_key_of(key, addr), coh_bytes(value, sizeof(value)));
}

coh_err_t coh_store_get_guest(coh_kv_t *kv, coh_addr_t const *addr, uint32_t *generation)
{
    uint8_t key[GUEST_KEY_SZ];
    coh_buf_t value = COH_BUF_INIT;
    coh_err_t rc    = kv->ops->get(kv, COH_KV_META, guest_key_of(key, addr), &value);
    *generation     = 0;
    if (rc == COH_OK) {
        rc          = value.n == 4 ? COH_OK : COH_ECORRUPT;
        *generation = rc == COH_OK ? coh_load_u32_be(value.p) : 0;
    }
    coh_buf_free(&value);
    return rc == COH_ENOTFOUND ? COH_OK : rc;
}

void coh_store_put_value(coh_kv_batch_t *batch, coh_key_t const *key, coh_value_t const *value)
{
    uint8_t flat_key[COH_STORE_KEY_MAX];
    uint8_t flat[FLAT_SZ_MAX];
    coh_bytes_t k = coh_store_key(flat_key, key);
    size_t n      = (size_t)(put_flat(flat, key->kind, value) - flat);
    if (n == 0) {
        coh_kv_batch_delete(batch, coh_store_table(key), k);
    } else {
        coh_kv_batch_put(batch, coh_store_table(key), k, coh_bytes(flat, n));
    }
}

void coh_store_put_code(coh_kv_batch_t *batch, coh_hash_t const *hash, coh_bytes_t code)
{
    coh_kv_batch_put(batch, COH_KV_CODE, coh_bytes(hash->b, sizeof(hash->b)), code);
}

/* ---- redo records ---- */

/* version, block, numbers of changes and of codes */
#define REDO_HEAD_SZ 20u
/* kind, key, length, flat value */
#define CHANGE_SZ_MAX (1u + COH_STORE_KEY_MAX + 1u + FLAT_SZ_MAX)

static uint8_t *put_change(uint8_t *p,
                           coh_key_t const *key,
                           coh_value_t const *value,
                           bool wiped,
                           bool is_guest)
{
    *p++ = (uint8_t)(key->kind | (wiped ? CHANGE_WIPED : 0) | (is_guest ? CHANGE_GUEST : 0));
    p += coh_store_key(p, key).n;
    uint8_t *len = p++;
    p            = put_flat(p, key->kind, value);
    *len         = (uint8_t)(p - len - 1);
    return p;
}

size_t coh_store_put_redo(coh_kv_batch_t *batch,
                          coh_mvstore_t const *mv,
                          coh_mv_diff_t const *diff,
                          coh_mv_item_t const *guests,
                          size_t guest_cnt,
                          coh_codes_t *codes,
                          coh_code_list_t const *list)
{
    size_t change_cnt = diff->cnt + guest_cnt;
    COH_ASSERT(change_cnt <= UINT32_MAX);
    size_t code_sz = 0;
    for (size_t i = 0; i < list->cnt; i++) {
        coh_bytes_t code;
        bool here = coh_codes_bytes(codes, &list->v[i], &code);
        COH_ASSERT(here); /* it is pinned */
        code_sz += 4 + code.n;
    }
    coh_buf_t rec  = COH_BUF_INIT;
    uint8_t *start = coh_buf_extend(&rec, REDO_HEAD_SZ + change_cnt * CHANGE_SZ_MAX + code_sz + 8);
    coh_store_u32_le(start, REDO_VERSION);
    coh_store_u64_le(start + 4, diff->block);
    coh_store_u32_le(start + 12, (uint32_t)change_cnt);
    coh_store_u32_le(start + 16, (uint32_t)list->cnt);
    uint8_t *p = start + REDO_HEAD_SZ;
    for (size_t i = 0; i < diff->cnt; i++) {
        coh_mv_change_t const *c = &diff->v[i];
        p = put_change(p, coh_mv_entry_key(mv, c->entry), &c->value, c->wiped, false);
    }
    for (size_t i = 0; i < guest_cnt; i++) {
        p = put_change(p, &guests[i].key, &guests[i].value, guests[i].wiped, true);
    }
    for (size_t i = 0; i < list->cnt; i++) {
        coh_bytes_t code;
        (void)coh_codes_bytes(codes, &list->v[i], &code);
        coh_store_u32_le(p, (uint32_t)code.n);
        memcpy(p + 4, code.p, code.n);
        p += 4 + code.n;
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
static uint8_t const *get_change(uint8_t const *p, uint8_t const *end, coh_mv_item_t *item)
{
    if (p == end) {
        return NULL;
    }
    *item =
        (coh_mv_item_t){.wiped = (*p & CHANGE_WIPED) != 0, .is_guest = (*p & CHANGE_GUEST) != 0};
    coh_key_t *key = &item->key;
    uint32_t kind  = *p++ & ~(CHANGE_WIPED | CHANGE_GUEST);
    if (kind != COH_KEY_ACCOUNT && (kind != COH_KEY_SLOT || item->wiped)) {
        return NULL;
    }
    coh_kv_table_t table = kind == COH_KEY_ACCOUNT ? COH_KV_ACCOUNTS : COH_KV_STORAGE;
    size_t key_sz        = kind == COH_KEY_ACCOUNT ? sizeof(key->addr.b) : COH_STORE_KEY_MAX;
    if ((size_t)(end - p) < key_sz + 1 ||
        coh_store_read_key(key, table, coh_bytes(p, key_sz)) != COH_OK) {
        return NULL;
    }
    p += key_sz;
    size_t len = *p++;
    if ((size_t)(end - p) < len) {
        return NULL;
    }
    if (len != 0 && coh_store_get_value(&item->value, kind, coh_bytes(p, len)) != COH_OK) {
        return NULL;
    }
    return p + len;
}

coh_err_t coh_store_read_redo(coh_bytes_t key,
                              coh_bytes_t record,
                              uint64_t *block,
                              coh_store_visitor_t const *visitor)
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
    uint32_t cnt      = coh_load_u32_le(record.p + 12);
    uint32_t code_cnt = coh_load_u32_le(record.p + 16);
    uint8_t const *p  = record.p + REDO_HEAD_SZ;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_mv_item_t item;
        p = get_change(p, end, &item);
        if (p == NULL) {
            return COH_ECORRUPT;
        }
        visitor->change(visitor->arg, &item);
    }
    for (uint32_t i = 0; i < code_cnt; i++) {
        if ((size_t)(end - p) < 4 || (size_t)(end - p) - 4 < coh_load_u32_le(p)) {
            return COH_ECORRUPT;
        }
        coh_bytes_t code = coh_bytes(p + 4, coh_load_u32_le(p));
        if (visitor->code != NULL) {
            visitor->code(visitor->arg, code);
        }
        p = code.p + code.n;
    }
    return p == end ? COH_OK : COH_ECORRUPT;
}

int coh_store_compare_keys(coh_key_t const *a, coh_key_t const *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    int d = memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
    if (d != 0 || a->kind == COH_KEY_ACCOUNT) {
        return d;
    }
    if (a->generation != b->generation) {
        return a->generation < b->generation ? -1 : 1;
    }
    return coh_u256_lt(&a->slot, &b->slot) ? -1 : coh_u256_lt(&b->slot, &a->slot);
}

static int by_key(void const *a, void const *b)
{
    coh_mv_item_t const *x = a;
    coh_mv_item_t const *y = b;
    return coh_store_compare_keys(&x->key, &y->key);
}

void coh_store_sort_items(coh_mv_item_t *items, size_t cnt)
{
    if (cnt != 0) {
        qsort(items, cnt, sizeof(*items), by_key);
    }
}

/* A change, and how many came before it. */
typedef struct {
    coh_mv_item_t item;
    size_t place;
} placed_t;

static int by_key_then_place(void const *a, void const *b)
{
    placed_t const *x = a;
    placed_t const *y = b;
    int d             = coh_store_compare_keys(&x->item.key, &y->item.key);
    return d != 0 ? d : (x->place > y->place) - (x->place < y->place);
}

size_t coh_store_merge_items(coh_mv_item_t *items, size_t cnt)
{
    if (cnt == 0) {
        return 0;
    }
    placed_t *placed = coh_calloc(cnt, sizeof(*placed));
    for (size_t i = 0; i < cnt; i++) {
        placed[i] = (placed_t){.item = items[i], .place = i};
    }
    qsort(placed, cnt, sizeof(*placed), by_key_then_place);
    size_t kept = 0;
    bool wiped  = false;
    for (size_t i = 0; i < cnt; i++) {
        wiped = wiped || placed[i].item.wiped;
        if (i + 1 == cnt || !coh_key_eq(&placed[i].item.key, &placed[i + 1].item.key)) {
            items[kept]         = placed[i].item;
            items[kept++].wiped = wiped;
            wiped               = false;
        }
    }
    free(placed);
    return kept;
}
