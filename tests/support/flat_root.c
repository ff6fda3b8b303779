#include "tests/support/flat_root.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"
#include "coordinator/decision_log.h"
#include "shard/store.h"

/* Keys and values of one trie, one behind the other. */
typedef struct {
    coh_buf_t text;
    size_t *ends; /* of key, value, key, ... */
    size_t cnt;   /* pairs */
    size_t cap;
} pairs_t;

static void end_part(pairs_t *p, size_t idx)
{
    if (idx >= p->cap) {
        p->cap  = p->cap * 2 + 16;
        p->ends = coh_realloc(p->ends, p->cap * sizeof(*p->ends));
    }
    p->ends[idx] = p->text.n;
}

static bool finish(coh_hash_t *out, pairs_t *p)
{
    coh_root_item_t *items = coh_calloc(p->cnt + 1, sizeof(*items));
    size_t at              = 0;
    for (size_t i = 0; i < p->cnt; i++) {
        items[i].key   = coh_bytes(p->text.p + at, p->ends[2 * i] - at);
        items[i].value = coh_bytes(p->text.p + p->ends[2 * i], p->ends[2 * i + 1] - p->ends[2 * i]);
        at             = p->ends[2 * i + 1];
    }
    qsort(items, p->cnt, sizeof(*items), coh_root_compare);
    bool is_set = true;
    for (size_t i = 1; i < p->cnt; i++) {
        is_set = is_set && coh_root_compare(&items[i - 1], &items[i]) < 0;
    }
    if (is_set) {
        coh_root_secure(out, items, p->cnt);
    }
    free(items);
    free(p->ends);
    coh_buf_free(&p->text);
    return is_set;
}

typedef struct {
    coh_kv_t *kv;
    pairs_t accounts;
    bool ok;
    /* Of the account whose storage is visited. */
    coh_key_t first;
    pairs_t slots;
} walk_t;

static bool visit_slot(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    coh_key_t k;
    coh_value_t v;
    if (coh_store_read_key(&k, COH_KV_STORAGE, key) != COH_OK ||
        coh_store_get_value(&v, COH_KEY_SLOT, value) != COH_OK) {
        w->ok = false;
        return false;
    }
    if (!coh_addr_eq(&k.addr, &w->first.addr) || k.generation != w->first.generation) {
        return false;
    }
    coh_u256_to_be(coh_buf_extend(&w->slots.text, 32), &k.slot);
    end_part(&w->slots, 2 * w->slots.cnt);
    coh_rlp_put_u256(&w->slots.text, &v.word);
    end_part(&w->slots, 2 * w->slots.cnt++ + 1);
    return true;
}

static bool visit_account(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    coh_key_t k;
    coh_value_t v;
    if (coh_store_read_key(&k, COH_KV_ACCOUNTS, key) != COH_OK ||
        coh_store_get_value(&v, COH_KEY_ACCOUNT, value) != COH_OK) {
        w->ok = false;
        return false;
    }
    if ((v.flags & COH_ACCOUNT_EXISTS) == 0) {
        return true;
    }
    uint8_t first[COH_STORE_KEY_MAX];
    w->first     = coh_key_slot(&k.addr, v.generation, &COH_U256_ZERO);
    w->slots     = (pairs_t){0};
    coh_err_t rc = w->kv->ops->iterate(
        w->kv, COH_KV_STORAGE, coh_store_key(first, &w->first), false, visit_slot, w);
    coh_hash_t storage;
    w->ok          = finish(&storage, &w->slots) && rc == COH_OK && w->ok;
    coh_buf_t *out = &w->accounts.text;
    coh_buf_put(out, k.addr.b, sizeof(k.addr.b));
    end_part(&w->accounts, 2 * w->accounts.cnt);
    size_t at = out->n;
    coh_rlp_put_u64(out, v.nonce);
    coh_rlp_put_u256(out, &v.word);
    coh_rlp_put_string(out, storage.b, sizeof(storage.b));
    coh_hash_t const *code = coh_value_has_code(&v) ? &v.code_hash : &COH_KECCAK_EMPTY;
    coh_rlp_put_string(out, code->b, sizeof(code->b));
    coh_rlp_wrap_list(out, at);
    end_part(&w->accounts, 2 * w->accounts.cnt++ + 1);
    return w->ok;
}

bool coh_test_flat_root(coh_hash_t *out, coh_kv_t *const *shards, size_t cnt)
{
    walk_t w = {.ok = true};
    for (size_t i = 0; i < cnt && w.ok; i++) {
        w.kv = shards[i];
        coh_err_t rc =
            w.kv->ops->iterate(w.kv, COH_KV_ACCOUNTS, coh_bytes(NULL, 0), false, visit_account, &w);
        w.ok = w.ok && rc == COH_OK;
    }
    return finish(out, &w.accounts) && w.ok;
}

typedef struct {
    coh_hash_t *out;
    bool ok;
} head_t;

static bool visit_head(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    (void)key;
    head_t *head = arg;
    coh_header_t header;
    coh_fork_t fork;
    if (coh_header_decode(&header, &fork, coh_decision_peek_header(value)) == COH_OK) {
        *head->out = header.state_root;
        head->ok   = true;
    }
    return false;
}

bool coh_test_head_root(coh_hash_t *out, coh_kv_t *coordinator)
{
    head_t head  = {.out = out};
    coh_err_t rc = coordinator->ops->iterate(
        coordinator, COH_KV_BLOCKS, coh_bytes(NULL, 0), true, visit_head, &head);
    return rc == COH_OK && head.ok;
}
