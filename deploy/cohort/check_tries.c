/* The tries of a shard against its flat tables. What the flat tables hold is hashed anew, into tries of its own, a range of buckets at a time; the stored tries are to have the
   same nodes at their roots, and each account and slot is then looked up in them: so every page that is reachable is read, and its hash compared with what is above it.

   A shard that was killed has redo records that neither may have yet: both get them here, in memory. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/roots.h"
#include "deploy/cohort/check.h"
#include "shard/recovery.h"
#include "shard/store.h"
#include "shard/trie_update.h"

/* Accounts in memory at once, about 300 octets each. */
#define LEAVES_MAX ((size_t)1 << 18)
/* Pages of stored tries in memory, and of those made anew before they are forgotten. */
#define CACHE_BYTES  ((size_t)64 << 20)
#define WORD_RLP_MAX 33u

/* An account that exists. */
typedef struct {
    coh_addr_t addr;
    coh_hash_t hash; /* of addr */
    coh_value_t value;
    coh_hash_t storage_root; /* of its slots */
    uint8_t rlp[COH_TRIE_ACCOUNT_MAX];
    uint8_t rlp_n;
} leaf_t;

typedef struct {
    coh_hash_t hash; /* of the slot */
    coh_u256_t slot;
    uint8_t rlp[WORD_RLP_MAX];
    uint8_t rlp_n;
} slot_t;

typedef struct {
    coh_check_findings_t *findings;
    coh_kv_t *kv;
    coh_mv_item_t *items; /* of redo records; by table and flat key */
    size_t item_cnt;
    size_t slot_item; /* the first of a slot */
    coh_mpt_t *base;
    coh_mpt_t *stored; /* base with items */
    coh_kv_t *no_kv;   /* empty */
    coh_mpt_t *fresh;  /* from flat tables; over no_kv */
    uint32_t first_bucket, end_bucket;
    leaf_t *leaves; /* of these buckets, by address; then by hash */
    size_t leaf_cnt, leaf_cap;
    slot_t *slots; /* of one account, by hash */
    size_t slot_cnt, slot_cap;
    uint32_t bucket_cnt[COH_ROOTS_BUCKET_CNT]; /* accounts */
} tries_t;

static bool is_enough(tries_t const *t) { return t->findings->cnt >= COH_CHECK_FINDINGS_MAX; }

static uint32_t bucket_of(coh_hash_t const *hash)
{
    return (uint32_t)hash->b[0] << 4 | hash->b[1] >> 4;
}

/* ---- flat tables with the items over them ---- */

/* A walk in the order of flat keys, from one key on as long as keys begin with prefix. */
typedef struct {
    coh_kv_table_t table;
    coh_bytes_t prefix;
    coh_mv_item_t const *items; /* of the table, not passed yet */
    coh_mv_item_t const *end;
    bool (*visit)(void *arg, coh_key_t const *key, coh_value_t const *value);
    void *arg;
    bool stopped;
} flat_t;

static bool has_prefix(coh_bytes_t key, coh_bytes_t prefix)
{
    return key.n >= prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

static bool give_item(flat_t *f)
{
    uint8_t buf[COH_STORE_KEY_MAX];
    coh_mv_item_t const *item = f->items;
    if (!has_prefix(coh_store_key(buf, &item->key), f->prefix)) {
        f->items = f->end;
        return true;
    }
    f->items++;
    return coh_store_is_absent(&item->value) || f->visit(f->arg, &item->key, &item->value);
}

static bool give_flat(void *arg, coh_bytes_t in_key, coh_bytes_t in)
{
    flat_t *f = arg;
    coh_key_t key;
    coh_value_t value;
    if (!has_prefix(in_key, f->prefix)) {
        return false;
    }
    if (coh_store_read_key(&key, f->table, in_key) != COH_OK) {
        return true; /* damage is said elsewhere */
    }
    int order = -1;
    while (!f->stopped && f->items < f->end &&
           (order = coh_store_compare_keys(&f->items->key, &key)) <= 0) {
        f->stopped = !give_item(f);
        if (order == 0) {
            return !f->stopped;
        }
    }
    if (!f->stopped && coh_store_get_value(&value, key.kind, in) == COH_OK) {
        f->stopped = !f->visit(f->arg, &key, &value);
    }
    return !f->stopped;
}

/* Walks table from the flat key from on. */
static coh_err_t walk_flat(tries_t *t, flat_t *f, coh_bytes_t from)
{
    bool is_slot = f->table == COH_KV_STORAGE;
    size_t low   = is_slot ? t->slot_item : 0;
    size_t high  = is_slot ? t->item_cnt : t->slot_item;
    f->end       = t->items + high;
    while (low < high) { /* the first item at or behind from */
        size_t mid = low + (high - low) / 2;
        uint8_t buf[COH_STORE_KEY_MAX];
        coh_bytes_t key = coh_store_key(buf, &t->items[mid].key);
        size_t n        = COH_MIN(key.n, from.n);
        int order       = n == 0 ? 0 : memcmp(key.p, from.p, n);
        if (order < 0 || (order == 0 && key.n < from.n)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    f->items   = t->items + low;
    f->stopped = false;
    COH_TRY(t->kv->ops->iterate(t->kv, f->table, from, false, give_flat, f));
    while (!f->stopped && f->items < f->end) {
        f->stopped = !give_item(f);
    }
    return COH_OK;
}

/* ---- what is wrong ---- */

static bool tell_fault(tries_t *t, coh_err_t err)
{
    coh_mpt_fault_t const *fault = coh_mpt_fault(t->stored);
    char id[2 * COH_MPT_ID_MAX + 1];
    char path[2 * sizeof(fault->path) + 1];
    coh_hex_encode(id, fault->id.b, fault->id.n);
    coh_hex_encode(path, fault->path, sizeof(fault->path));
    return coh_check_finding(t->findings,
                             "the page of trie 0x%s at path %.*s %s: %s",
                             id,
                             (int)fault->depth,
                             path,
                             err == COH_ECORRUPT ? "is damaged or missing" : "cannot be read",
                             coh_err_str(err));
}

/* Looks key up in a stored trie; false if it has another value or none, or cannot be read: *err says. */
static bool is_stored(tries_t *t,
                      coh_mpt_id_t const *id,
                      coh_hash_t const *key,
                      coh_bytes_t value,
                      coh_err_t *err)
{
    coh_buf_t found = COH_BUF_INIT;
    *err            = coh_mpt_get(t->stored, id, key, &found);
    bool same       = *err == COH_OK && coh_bytes_eq(coh_buf_bytes(&found), value);
    coh_buf_free(&found);
    return same;
}

static bool same_node(coh_mpt_node_t const *a, coh_mpt_node_t const *b)
{
    return a->kind == b->kind && a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

/* The nodes of a trie made of changes, and of the stored one. False: the latter cannot be read. */
static bool both_nodes(tries_t *t,
                       coh_mpt_job_t *fresh,
                       coh_mpt_job_t *stored,
                       coh_mpt_id_t const *id,
                       coh_mpt_change_t const *changes,
                       size_t cnt)
{
    *fresh  = (coh_mpt_job_t){.id = *id, .changes = changes, .cnt = cnt};
    *stored = (coh_mpt_job_t){.id = *id};
    if (coh_mpt_update(t->fresh, 0, fresh, 1, NULL) != COH_OK) {
        return false;
    }
    coh_err_t err = coh_mpt_update(t->stored, 0, stored, 1, NULL);
    if (err != COH_OK) {
        (void)tell_fault(t, err);
    }
    return err == COH_OK;
}

/* What was made anew has served. */
static void forget_fresh(tries_t *t)
{
    coh_mpt_stats_t stats;
    coh_mpt_stats(t->fresh, &stats);
    if (stats.page_bytes > CACHE_BYTES) {
        coh_mpt_free(t->fresh);
        t->fresh = coh_mpt_new(
            &(coh_mpt_config_t){.kv = t->no_kv, .table = COH_KV_TRIE, .dirty_bytes_max = SIZE_MAX});
    }
}

/* ---- storage ---- */

static bool take_slot(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    tries_t *t = arg;
    if (t->slot_cnt == t->slot_cap) {
        t->slot_cap = t->slot_cap * 2 + 64;
        t->slots    = coh_realloc(t->slots, t->slot_cap * sizeof(*t->slots));
    }
    slot_t *s = &t->slots[t->slot_cnt++];
    s->slot   = key->slot;
    uint8_t be[32];
    coh_u256_to_be(be, &key->slot);
    coh_keccak256(&s->hash, be, sizeof(be));
    coh_u256_to_be(be, &value->word);
    size_t len  = coh_u256_be_len(&value->word);
    size_t head = len > 1 || be[31] >= 0x80 ? 1 : 0;
    s->rlp[0]   = (uint8_t)(0x80 + len);
    memcpy(s->rlp + head, be + 32 - len, len);
    s->rlp_n = (uint8_t)(head + len);
    return true;
}

static int by_slot_hash(void const *a, void const *b)
{
    return memcmp(((slot_t const *)a)->hash.b, ((slot_t const *)b)->hash.b, sizeof(coh_hash_t));
}

/* Compares the slots gathered with the stored trie of their account. */
static bool check_slots(tries_t *t, leaf_t *leaf)
{
    qsort(t->slots, t->slot_cnt, sizeof(*t->slots), by_slot_hash);
    coh_mpt_change_t *changes = coh_calloc(t->slot_cnt, sizeof(*changes));
    for (size_t i = 0; i < t->slot_cnt; i++) {
        slot_t const *s = &t->slots[i];
        changes[i]      = (coh_mpt_change_t){.key = s->hash, .value = coh_bytes(s->rlp, s->rlp_n)};
    }
    coh_mpt_id_t id = coh_mpt_id_storage(&leaf->hash, leaf->value.generation);
    coh_mpt_job_t fresh;
    coh_mpt_job_t stored;
    char addr[41];
    coh_hex_encode(addr, leaf->addr.b, sizeof(leaf->addr.b));
    bool is_read = both_nodes(t, &fresh, &stored, &id, changes, t->slot_cnt);
    coh_node_root(&leaf->storage_root, &fresh.node);
    free(changes);
    forget_fresh(t);
    if (is_read && !same_node(&fresh.node, &stored.node) &&
        !coh_check_finding(
            t->findings, "the storage trie of account 0x%s is not that of its slots", addr)) {
        return false;
    }
    for (size_t i = 0; is_read && i < t->slot_cnt; i++) {
        slot_t const *s = &t->slots[i];
        coh_err_t err;
        if (is_stored(t, &id, &s->hash, coh_bytes(s->rlp, s->rlp_n), &err)) {
            continue;
        }
        if (err != COH_OK && err != COH_ENOTFOUND) {
            return tell_fault(t, err);
        }
        char slot[65];
        uint8_t be[32];
        coh_u256_to_be(be, &s->slot);
        coh_hex_encode(slot, be, sizeof(be));
        if (!coh_check_finding(t->findings,
                               "slot 0x%s of account 0x%s has another value in the storage trie",
                               slot,
                               addr)) {
            return false;
        }
    }
    return !is_enough(t);
}

static bool take_addr(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    (void)value;
    *(coh_key_t *)arg = *key;
    return false;
}

static leaf_t *find_leaf(tries_t const *t, coh_addr_t const *addr)
{
    size_t low  = 0;
    size_t high = t->leaf_cnt;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order  = memcmp(t->leaves[mid].addr.b, addr->b, sizeof(addr->b));
        if (order == 0) {
            return &t->leaves[mid];
        }
        low  = order < 0 ? mid + 1 : low;
        high = order < 0 ? high : mid;
    }
    return NULL;
}

/* Makes addr the next one; false: there is none. */
static bool next_addr(coh_addr_t *addr)
{
    for (size_t i = sizeof(addr->b); i-- > 0;) {
        if (++addr->b[i] != 0) {
            return true;
        }
    }
    return false;
}

/* Goes from account to account that has slots; those of the accounts at hand are looked at. */
static coh_err_t check_storages(tries_t *t)
{
    coh_addr_t from = {{0}};
    do {
        coh_key_t found = {0};
        flat_t f        = {.table = COH_KV_STORAGE, .visit = take_addr, .arg = &found};
        COH_TRY(walk_flat(t, &f, coh_bytes(from.b, sizeof(from.b))));
        if (!f.stopped) {
            break;
        }
        from         = found.addr;
        leaf_t *leaf = find_leaf(t, &from);
        if (leaf == NULL) {
            continue;
        }
        uint8_t prefix[24];
        memcpy(prefix, from.b, sizeof(from.b));
        coh_store_u32_be(prefix + 20, leaf->value.generation);
        t->slot_cnt = 0;
        f           = (flat_t){.table  = COH_KV_STORAGE,
                               .prefix = coh_bytes(prefix, sizeof(prefix)),
                               .visit  = take_slot,
                               .arg    = t};
        COH_TRY(walk_flat(t, &f, f.prefix));
        if (t->slot_cnt != 0 && !check_slots(t, leaf)) {
            break;
        }
    } while (next_addr(&from));
    return COH_OK;
}

/* ---- accounts ---- */

static bool count_account(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    tries_t *t = arg;
    if (value->flags & COH_ACCOUNT_EXISTS) {
        t->bucket_cnt[coh_directory_bucket(&key->addr)]++;
    }
    return true;
}

static bool take_account(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    tries_t *t  = arg;
    leaf_t leaf = {.addr = key->addr, .value = *value, .storage_root = COH_EMPTY_TRIE_ROOT};
    coh_keccak256(&leaf.hash, key->addr.b, sizeof(key->addr.b));
    uint32_t bucket = bucket_of(&leaf.hash);
    if (!(value->flags & COH_ACCOUNT_EXISTS) || bucket < t->first_bucket ||
        bucket >= t->end_bucket) {
        return true;
    }
    if (t->leaf_cnt == t->leaf_cap) {
        t->leaf_cap *= 2;
        t->leaves = coh_realloc(t->leaves, t->leaf_cap * sizeof(*t->leaves));
    }
    t->leaves[t->leaf_cnt++] = leaf;
    return true;
}

static int by_leaf_hash(void const *a, void const *b)
{
    return memcmp(((leaf_t const *)a)->hash.b, ((leaf_t const *)b)->hash.b, sizeof(coh_hash_t));
}

static void encode_leaf(leaf_t *leaf)
{
    coh_value_t const *v       = &leaf->value;
    coh_trie_account_t account = {
        .nonce        = v->nonce,
        .balance      = v->word,
        .storage_root = leaf->storage_root,
        .code_hash    = coh_value_has_code(v) ? v->code_hash : COH_KECCAK_EMPTY,
    };
    leaf->rlp_n = (uint8_t)coh_trie_account_write(leaf->rlp, &account);
}

/* Compares the accounts of a bucket, the cnt leaves at first, with its stored trie. */
static bool check_bucket(tries_t *t, uint32_t bucket, leaf_t *first, size_t cnt, coh_roots_t *roots)
{
    coh_mpt_change_t *changes = coh_calloc(cnt + 1, sizeof(*changes));
    for (size_t i = 0; i < cnt; i++) {
        encode_leaf(&first[i]);
        changes[i] = (coh_mpt_change_t){.key   = first[i].hash,
                                        .value = coh_bytes(first[i].rlp, first[i].rlp_n)};
    }
    coh_mpt_id_t id = coh_mpt_id_bucket(bucket);
    coh_mpt_job_t fresh;
    coh_mpt_job_t stored;
    bool is_read = both_nodes(t, &fresh, &stored, &id, changes, cnt);
    free(changes);
    forget_fresh(t);
    if (cnt != 0) {
        coh_roots_put(roots, bucket, &fresh.node, NULL);
    }
    if (is_read && !same_node(&fresh.node, &stored.node) &&
        !coh_check_finding(
            t->findings, "the trie of bucket %u is not that of its accounts", bucket)) {
        return false;
    }
    for (size_t i = 0; is_read && i < cnt; i++) {
        coh_err_t err;
        if (is_stored(t, &id, &first[i].hash, coh_bytes(first[i].rlp, first[i].rlp_n), &err)) {
            continue;
        }
        if (err != COH_OK && err != COH_ENOTFOUND) {
            return tell_fault(t, err);
        }
        char addr[41];
        coh_hex_encode(addr, first[i].addr.b, sizeof(first[i].addr.b));
        if (!coh_check_finding(t->findings,
                               err == COH_OK ? "account 0x%s is another one in the trie"
                                             : "account 0x%s is not in the trie",
                               addr)) {
            return false;
        }
    }
    return !is_enough(t);
}

/* Checks the buckets of the range. */
static coh_err_t check_range(tries_t *t, coh_roots_t *roots)
{
    t->leaf_cnt = 0;
    flat_t f    = {.table = COH_KV_ACCOUNTS, .visit = take_account, .arg = t};
    COH_TRY(walk_flat(t, &f, coh_bytes(NULL, 0)));
    COH_TRY(check_storages(t));
    if (t->leaf_cnt != 0) {
        qsort(t->leaves, t->leaf_cnt, sizeof(*t->leaves), by_leaf_hash);
    }
    size_t at = 0;
    for (uint32_t b = t->first_bucket; b < t->end_bucket && !is_enough(t); b++) {
        size_t first = at;
        while (at < t->leaf_cnt && bucket_of(&t->leaves[at].hash) == b) {
            at++;
        }
        if (!check_bucket(t, b, t->leaves + first, at - first, roots)) {
            break;
        }
    }
    return COH_OK;
}

static coh_err_t check_ranges(tries_t *t, coh_roots_t *roots)
{
    flat_t f = {.table = COH_KV_ACCOUNTS, .visit = count_account, .arg = t};
    COH_TRY(walk_flat(t, &f, coh_bytes(NULL, 0)));
    while (t->end_bucket < COH_ROOTS_BUCKET_CNT && !is_enough(t)) {
        size_t cnt      = t->bucket_cnt[t->end_bucket];
        t->first_bucket = t->end_bucket++;
        while (t->end_bucket < COH_ROOTS_BUCKET_CNT &&
               cnt + t->bucket_cnt[t->end_bucket] <= LEAVES_MAX) {
            cnt += t->bucket_cnt[t->end_bucket++];
        }
        COH_TRY(check_range(t, roots));
    }
    return COH_OK;
}

/* Brings the stored tries up to the head, in memory. */
static coh_err_t lay_items(tries_t *t, uint64_t head)
{
    coh_arena_t scratch    = COH_ARENA_INIT;
    coh_trie_outcome_t out = {0};
    coh_err_t err = coh_trie_update(t->stored, head, t->items, t->item_cnt, &scratch, &out, NULL);
    free(out.nodes);
    coh_arena_free(&scratch);
    return err;
}

void coh_check_tries(coh_check_findings_t *findings,
                     coh_roots_t *roots,
                     coh_kv_t *kv,
                     uint64_t flushed,
                     uint64_t head)
{
    tries_t *t  = coh_calloc(1, sizeof(*t));
    t->findings = findings;
    t->kv       = kv;
    coh_kv_batch_t codes;
    coh_kv_batch_init(&codes);
    coh_err_t err = coh_recovery_collect(kv, flushed, head, &t->items, &t->item_cnt, &codes);
    coh_kv_batch_free(&codes);
    if (err == COH_OK) {
        err = coh_kv_mem_open(&t->no_kv);
    }
    if (t->items == NULL) { /* places in arrays are computed, be there anything in them or not */
        t->items = coh_calloc(1, sizeof(*t->items));
    }
    t->leaf_cap = 1024;
    t->leaves   = coh_calloc(t->leaf_cap, sizeof(*t->leaves));
    if (err == COH_OK) {
        while (t->slot_item < t->item_cnt && t->items[t->slot_item].key.kind == COH_KEY_ACCOUNT) {
            t->slot_item++;
        }
        coh_mpt_config_t config = {.kv              = kv,
                                   .table           = COH_KV_TRIE,
                                   .cache_bytes     = CACHE_BYTES,
                                   .dirty_bytes_max = SIZE_MAX};
        t->base                 = coh_mpt_new(&config);
        t->stored               = coh_mpt_view_new(t->base);
        config.kv               = t->no_kv;
        t->fresh                = coh_mpt_new(&config);
        err                     = lay_items(t, head);
        if (err != COH_OK) {
            (void)tell_fault(t, err);
            err = COH_OK;
        } else {
            err = check_ranges(t, roots);
        }
    }
    if (err != COH_OK) {
        (void)coh_check_finding(findings, "the tries cannot be checked: %s", coh_err_str(err));
    }
    coh_mpt_free(t->fresh);
    coh_mpt_free(t->stored);
    coh_mpt_free(t->base);
    if (t->no_kv != NULL) {
        t->no_kv->ops->close(t->no_kv);
    }
    free(t->items);
    free(t->leaves);
    free(t->slots);
    free(t);
}
