/* The tries of a shard against its flat tables. What the flat tables hold is hashed anew, into tries of its own, a range of buckets at a time; the stored tries are to have the
   same nodes at their roots, and each account and slot is then looked up in them: so every page that is reachable is read, and its hash compared with what is above it.

   A shard that was killed has redo records that neither may have yet: both get them here, in memory.

   An account that lives apart from its bucket is in the tries of one shard and in the flat tables of another, its host, whose store is then read too. Where that is not there, the bucket as a whole cannot
   be compared, only what else is in it. Without the coordinator nobody knows who lives where: then what is compared is what both tries and flat tables have. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/roots.h"
#include "deploy/cohort/check.h"
#include "deploy/cohort/check_flat.h"
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
    coh_check_flat_t const *flat; /* where it lives */
    coh_hash_t hash;              /* of addr */
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

/* A store that guests live in. */
typedef struct {
    bool is_asked;
    bool is_there;
    coh_check_flat_t flat;
} host_t;

typedef struct {
    coh_check_findings_t *findings;
    coh_check_stores_t const *stores;
    coh_directory_t const *dir; /* NULL: not known */
    uint32_t shard;
    uint64_t head;
    coh_check_flat_t flat;
    host_t *hosts;                            /* by shard; NULL without dir */
    uint8_t is_partial[COH_ROOTS_BUCKET_CNT]; /* not all of its accounts can be had */
    coh_mpt_t *base;
    coh_mpt_t *stored; /* base with redo records */
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

/* The store of a shard that guests live in; NULL: it is not there, or cannot be used. */
static coh_check_flat_t const *host_flat(tries_t *t, uint32_t shard)
{
    host_t *host = &t->hosts[shard];
    if (!host->is_asked) {
        coh_kv_t *kv   = t->stores->of(t->stores->arg, shard + 1);
        host->is_asked = true;
        host->is_there =
            kv != NULL && coh_check_flat_open(&host->flat, kv, t->dir->epoch, t->head) == COH_OK;
    }
    return host->is_there ? &host->flat : NULL;
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

/* Compares the storage of an account that has some; *go_on: what check_slots says. */
static coh_err_t check_storage(tries_t *t, leaf_t *leaf, bool *go_on)
{
    uint8_t bytes[24];
    bool stopped;
    memcpy(bytes, leaf->addr.b, sizeof(leaf->addr.b));
    coh_store_u32_be(bytes + 20, leaf->value.generation);
    coh_bytes_t prefix = coh_bytes(bytes, sizeof(bytes));
    t->slot_cnt        = 0;
    COH_TRY(
        coh_check_flat_walk(leaf->flat, COH_KV_STORAGE, prefix, prefix, take_slot, t, &stopped));
    *go_on = t->slot_cnt == 0 || check_slots(t, leaf);
    return COH_OK;
}

/* Goes from account to account that has slots; those of the accounts at hand are looked at. Then guests', one by one. */
static coh_err_t check_storages(tries_t *t)
{
    coh_addr_t from = {{0}};
    bool go_on      = true;
    do {
        coh_key_t found = {0};
        bool stopped;
        COH_TRY(coh_check_flat_walk(&t->flat,
                                    COH_KV_STORAGE,
                                    coh_bytes(from.b, sizeof(from.b)),
                                    coh_bytes(NULL, 0),
                                    take_addr,
                                    &found,
                                    &stopped));
        if (!stopped) {
            break;
        }
        from         = found.addr;
        leaf_t *leaf = find_leaf(t, &from);
        if (leaf != NULL && leaf->flat == &t->flat) {
            COH_TRY(check_storage(t, leaf, &go_on));
        }
    } while (go_on && next_addr(&from));
    for (size_t i = 0; i < t->leaf_cnt && go_on; i++) {
        if (t->leaves[i].flat != &t->flat) {
            COH_TRY(check_storage(t, &t->leaves[i], &go_on));
        }
    }
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

/* Whether an account that lies in the shard's flat tables lives here and is in the tries here. */
static bool is_own(tries_t *t, leaf_t const *leaf)
{
    if (!coh_check_flat_has(&t->flat, &leaf->addr)) {
        return false;
    }
    uint32_t bucket = bucket_of(&leaf->hash);
    if (t->dir != NULL) {
        return coh_directory_shard(t->dir, bucket) == t->shard &&
               coh_directory_override(t->dir, &leaf->addr) == NULL;
    }
    coh_mpt_id_t id = coh_mpt_id_bucket(bucket);
    coh_buf_t found = COH_BUF_INIT;
    coh_err_t err   = coh_mpt_get(t->stored, &id, &leaf->hash, &found);
    coh_buf_free(&found);
    return err != COH_ENOTFOUND;
}

static void add_leaf(tries_t *t, leaf_t const *leaf)
{
    if (t->leaf_cnt == t->leaf_cap) {
        t->leaf_cap *= 2;
        t->leaves = coh_realloc(t->leaves, t->leaf_cap * sizeof(*t->leaves));
    }
    t->leaves[t->leaf_cnt++] = *leaf;
}

static void begin_leaf(leaf_t *leaf, coh_check_flat_t const *flat, coh_key_t const *key)
{
    *leaf = (leaf_t){.addr = key->addr, .flat = flat, .storage_root = COH_EMPTY_TRIE_ROOT};
    coh_keccak256(&leaf->hash, key->addr.b, sizeof(key->addr.b));
}

static bool take_account(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    tries_t *t = arg;
    leaf_t leaf;
    begin_leaf(&leaf, &t->flat, key);
    leaf.value      = *value;
    uint32_t bucket = bucket_of(&leaf.hash);
    if ((value->flags & COH_ACCOUNT_EXISTS) && bucket >= t->first_bucket &&
        bucket < t->end_bucket && is_own(t, &leaf)) {
        add_leaf(t, &leaf);
    }
    return true;
}

static bool take_value(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    (void)key;
    *(coh_value_t *)arg = *value;
    return false;
}

/* A guest of this range of buckets. */
static coh_err_t take_guest(tries_t *t, coh_override_t const *o)
{
    coh_check_flat_t const *flat = host_flat(t, o->shard);
    coh_bytes_t addr             = coh_bytes(o->addr.b, sizeof(o->addr.b));
    coh_key_t key                = coh_key_account(&o->addr);
    coh_value_t value            = {0};
    bool stopped;
    if (flat == NULL) {
        t->is_partial[o->bucket] = 1;
        return COH_OK;
    }
    COH_TRY(coh_check_flat_walk(flat, COH_KV_ACCOUNTS, addr, addr, take_value, &value, &stopped));
    if ((value.flags & COH_ACCOUNT_EXISTS) && coh_check_flat_has(flat, &o->addr)) {
        leaf_t leaf;
        begin_leaf(&leaf, flat, &key);
        leaf.value = value;
        add_leaf(t, &leaf);
    }
    return COH_OK;
}

/* Calls take for each account of our buckets that lives elsewhere. */
static coh_err_t each_guest(tries_t *t, coh_err_t (*take)(tries_t *t, coh_override_t const *o))
{
    coh_directory_t const *dir = t->dir;
    for (size_t i = 0; dir != NULL && dir->override_cnt != 0 && i <= dir->override_mask; i++) {
        coh_override_t const *o = &dir->overrides[i];
        if (o->bucket != COH_DIRECTORY_NO_BUCKET &&
            coh_directory_shard(dir, o->bucket) == t->shard && o->bucket >= t->first_bucket &&
            o->bucket < t->end_bucket) {
            COH_TRY(take(t, o));
        }
    }
    return COH_OK;
}

static coh_err_t count_guest(tries_t *t, coh_override_t const *o)
{
    t->bucket_cnt[o->bucket]++;
    return COH_OK;
}

static int by_leaf_addr(void const *a, void const *b)
{
    return memcmp(((leaf_t const *)a)->addr.b, ((leaf_t const *)b)->addr.b, sizeof(coh_addr_t));
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
    if (is_read && t->dir != NULL && t->is_partial[bucket] == 0 &&
        !same_node(&fresh.node, &stored.node) &&
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
    bool stopped;
    t->leaf_cnt = 0;
    COH_TRY(coh_check_flat_walk(&t->flat,
                                COH_KV_ACCOUNTS,
                                coh_bytes(NULL, 0),
                                coh_bytes(NULL, 0),
                                take_account,
                                t,
                                &stopped));
    size_t own_cnt = t->leaf_cnt;
    COH_TRY(each_guest(t, take_guest));
    if (t->leaf_cnt != own_cnt) {
        qsort(t->leaves, t->leaf_cnt, sizeof(*t->leaves), by_leaf_addr);
    }
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
    bool stopped;
    COH_TRY(coh_check_flat_walk(&t->flat,
                                COH_KV_ACCOUNTS,
                                coh_bytes(NULL, 0),
                                coh_bytes(NULL, 0),
                                count_account,
                                t,
                                &stopped));
    t->end_bucket = COH_ROOTS_BUCKET_CNT;
    COH_TRY(each_guest(t, count_guest));
    t->end_bucket = 0;
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

/* Whether a change is one for the tries here. */
static bool is_for_tries(tries_t *t, coh_mv_item_t const *item)
{
    coh_hash_t hash;
    coh_keccak256(&hash, item->key.addr.b, sizeof(item->key.addr.b));
    uint32_t bucket = bucket_of(&hash);
    if (t->dir != NULL) {
        return coh_directory_shard(t->dir, bucket) == t->shard;
    }
    coh_mpt_id_t id = coh_mpt_id_bucket(bucket);
    coh_buf_t found = COH_BUF_INIT;
    bool is_known   = coh_mpt_get(t->base, &id, &hash, &found) == COH_OK;
    coh_buf_free(&found);
    return item->is_guest || is_known;
}

/* Brings the stored tries up to the head, in memory. */
static coh_err_t lay_items(tries_t *t)
{
    coh_arena_t scratch    = COH_ARENA_INIT;
    coh_trie_outcome_t out = {0};
    coh_mv_item_t *items   = coh_calloc(t->flat.item_cnt + 1, sizeof(*items));
    size_t cnt             = 0;
    for (size_t i = 0; i < t->flat.item_cnt; i++) {
        if (is_for_tries(t, &t->flat.items[i])) {
            items[cnt++] = t->flat.items[i];
        }
    }
    coh_err_t err = coh_trie_update(t->stored, t->head, items, cnt, &scratch, &out, NULL);
    free(items);
    free(out.nodes);
    coh_arena_free(&scratch);
    return err;
}

static coh_err_t check(tries_t *t, coh_roots_t *roots)
{
    coh_mpt_config_t config = {.kv              = t->flat.kv,
                               .table           = COH_KV_TRIE,
                               .cache_bytes     = CACHE_BYTES,
                               .dirty_bytes_max = SIZE_MAX};
    t->base                 = coh_mpt_new(&config);
    t->stored               = coh_mpt_view_new(t->base);
    config.kv               = t->no_kv;
    t->fresh                = coh_mpt_new(&config);
    coh_err_t err           = lay_items(t);
    if (err != COH_OK) {
        (void)tell_fault(t, err);
        return COH_OK;
    }
    return check_ranges(t, roots);
}

void coh_check_tries(coh_check_findings_t *findings,
                     coh_roots_t *roots,
                     coh_kv_t *kv,
                     uint32_t shard,
                     coh_check_chain_t const *chain,
                     coh_check_stores_t const *stores)
{
    tries_t *t  = coh_calloc(1, sizeof(*t));
    t->findings = findings;
    t->stores   = stores;
    t->shard    = shard;
    t->head     = chain->known ? chain->head : UINT64_MAX;
    t->leaf_cap = 1024;
    t->leaves   = coh_calloc(t->leaf_cap, sizeof(*t->leaves));
    if (chain->known) {
        t->dir   = &chain->dir;
        t->hosts = coh_calloc(chain->dir.shard_cnt, sizeof(*t->hosts));
    }
    coh_err_t err = coh_check_flat_open(&t->flat, kv, chain->known ? chain->dir.epoch : 0, t->head);
    if (err == COH_OK) {
        err = coh_kv_mem_open(&t->no_kv);
    }
    if (err == COH_OK) {
        err = check(t, roots);
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
    for (uint32_t s = 0; t->dir != NULL && s < t->dir->shard_cnt; s++) {
        coh_check_flat_free(&t->hosts[s].flat);
    }
    coh_check_flat_free(&t->flat);
    free(t->hosts);
    free(t->leaves);
    free(t->slots);
    free(t);
}
