#include "shard/trie_update.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/roots.h"

/* rlp(word): an octet of length and 32. */
#define WORD_RLP_MAX 33u
/* Inputs hashed at a time: they and their hashes stay in the processor's cache. */
#define HASH_CHUNK 256u
/* Accounts of one bucket that are sorted by insertion; more come from who looks for them. */
#define INSERTION_MAX 24u
#define SCRATCH_KEEP  ((size_t)64 << 20)
/* Leaves are made in another order than items are in: so many before it is needed, an item's memory is asked for. */
#define AHEAD 8u

typedef struct {
    coh_mv_item_t const *item;
    coh_hash_t hash; /* of the slot */
} slot_t;

/* An account that changed, or has slots that did. */
typedef struct account {
    coh_hash_t hash;           /* of the address */
    coh_mv_item_t const *item; /* NULL: it did not change itself */
    slot_t const *slots;       /* NULL: none, else slot_cnt of them, of any generation */
    coh_hash_t const *root;    /* of the storage; NULL: not known from slots */
    uint32_t slot_cnt;
} account_t;

_Static_assert(sizeof(account_t) == COH_CACHE_LINE, "they are moved and looked at whole");

typedef struct {
    coh_mpt_t *mpt;
    uint64_t block;
    coh_arena_t *scratch;
    coh_buf_t *undo;
    slot_t *slots; /* by address, generation, hash */
    size_t slot_cnt;
    account_t *accounts; /* by hash; AHEAD empty ones behind */
    size_t account_cnt;
    coh_mpt_change_t *changes; /* of accounts, in the same order */
    uint8_t *leaves;           /* likewise, COH_TRIE_ACCOUNT_MAX octets of room each */
} update_t;

static void *take(update_t *u, size_t cnt, size_t elem)
{
    return coh_arena_alloc(u->scratch, COH_MAX(cnt, (size_t)1) * elem);
}

/* ---- slots ---- */

static int compare_slots(void const *a, void const *b)
{
    slot_t const *x        = a;
    slot_t const *y        = b;
    coh_key_t const *x_key = &x->item->key;
    coh_key_t const *y_key = &y->item->key;
    int order              = memcmp(x_key->addr.b, y_key->addr.b, sizeof(x_key->addr.b));
    if (order == 0) {
        order = (x_key->generation > y_key->generation) - (x_key->generation < y_key->generation);
    }
    return order != 0 ? order : memcmp(x->hash.b, y->hash.b, sizeof(x->hash.b));
}

/* Lists the slots among the items, hashed and sorted. */
static void list_slots(update_t *u, coh_mv_item_t const *items, size_t cnt)
{
    size_t slot_cnt = 0;
    for (size_t i = 0; i < cnt; i++) {
        slot_cnt += items[i].key.kind == COH_KEY_SLOT;
    }
    u->slots = take(u, slot_cnt, sizeof(*u->slots));
    for (size_t i = 0; i < cnt && u->slot_cnt < slot_cnt; i++) {
        if (items[i].key.kind == COH_KEY_SLOT) {
            u->slots[u->slot_cnt++].item = &items[i];
        }
    }
    uint8_t text[HASH_CHUNK][32];
    coh_bytes_t in[HASH_CHUNK];
    coh_hash_t out[HASH_CHUNK];
    for (size_t at = 0; at < slot_cnt; at += HASH_CHUNK) {
        size_t n = COH_MIN(slot_cnt - at, (size_t)HASH_CHUNK);
        for (size_t i = 0; i < n; i++) {
            coh_u256_to_be(text[i], &u->slots[at + i].item->key.slot);
            in[i] = coh_bytes(text[i], sizeof(text[i]));
        }
        coh_keccak256_many(out, in, n);
        for (size_t i = 0; i < n; i++) {
            u->slots[at + i].hash = out[i];
        }
    }
    if (slot_cnt > 1) {
        qsort(u->slots, slot_cnt, sizeof(*u->slots), compare_slots);
    }
}

static bool same_account(slot_t const *a, slot_t const *b)
{
    return coh_addr_eq(&a->item->key.addr, &b->item->key.addr);
}

/* ---- accounts ---- */

static int compare_accounts(void const *a, void const *b)
{
    account_t const *x = a;
    account_t const *y = b;
    return memcmp(x->hash.b, y->hash.b, sizeof(x->hash.b));
}

static void hash_accounts(account_t *accounts, size_t cnt)
{
    coh_bytes_t in[HASH_CHUNK];
    coh_hash_t out[HASH_CHUNK];
    for (size_t at = 0; at < cnt; at += HASH_CHUNK) {
        size_t n = COH_MIN(cnt - at, (size_t)HASH_CHUNK);
        for (size_t i = 0; i < n; i++) {
            account_t const *a = &accounts[at + i];
            coh_addr_t const *addr =
                a->item != NULL ? &a->item->key.addr : &a->slots->item->key.addr;
            in[i] = coh_bytes(addr->b, sizeof(addr->b));
        }
        coh_keccak256_many(out, in, n);
        for (size_t i = 0; i < n; i++) {
            accounts[at + i].hash = out[i];
        }
    }
}

static uint32_t bucket_of(coh_hash_t const *hash)
{
    return (uint32_t)hash->b[0] << 4 | hash->b[1] >> 4;
}

/* Sorts by bucket in one pass, then within buckets, which mostly hold few. */
static void sort_accounts(update_t *u, account_t const *accounts, size_t cnt)
{
    uint32_t *ends = take(u, COH_ROOTS_BUCKET_CNT + 1, sizeof(*ends));
    u->accounts    = take(u, cnt + AHEAD, sizeof(*u->accounts));
    memset(ends, 0, (COH_ROOTS_BUCKET_CNT + 1) * sizeof(*ends));
    for (size_t i = 0; i < cnt; i++) {
        ends[bucket_of(&accounts[i].hash) + 1]++;
    }
    for (size_t b = 0; b < COH_ROOTS_BUCKET_CNT; b++) {
        ends[b + 1] += ends[b];
    }
    for (size_t i = 0; i < cnt; i++) { /* afterwards ends[b] is where bucket b ends */
        u->accounts[ends[bucket_of(&accounts[i].hash)]++] = accounts[i];
    }
    uint32_t first = 0;
    for (size_t b = 0; b < COH_ROOTS_BUCKET_CNT; first = ends[b++]) {
        account_t *v = u->accounts + first;
        size_t n     = ends[b] - first;
        if (n > INSERTION_MAX) {
            qsort(v, n, sizeof(*v), compare_accounts);
            continue;
        }
        for (size_t i = 1; i < n; i++) {
            if (compare_accounts(&v[i - 1], &v[i]) <= 0) {
                continue;
            }
            account_t a = v[i];
            size_t k    = i;
            for (; k > 0 && compare_accounts(&v[k - 1], &a) > 0; k--) {
                v[k] = v[k - 1];
            }
            v[k] = a;
        }
    }
}

/* Lists the accounts: those among the items, and those of slots, one for each. */
static void list_accounts(update_t *u, coh_mv_item_t const *items, size_t cnt)
{
    size_t group_cnt = 0;
    for (size_t i = 0; i < u->slot_cnt; i++) {
        group_cnt += i == 0 || !same_account(&u->slots[i - 1], &u->slots[i]);
    }
    size_t max          = cnt - u->slot_cnt + group_cnt;
    account_t *accounts = take(u, max, sizeof(*accounts));
    size_t n            = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (items[i].key.kind == COH_KEY_ACCOUNT) {
            accounts[n++] = (account_t){.item = &items[i]};
        }
    }
    for (size_t i = 0; i < u->slot_cnt; i++) {
        if (i == 0 || !same_account(&u->slots[i - 1], &u->slots[i])) {
            accounts[n++] = (account_t){.slots = &u->slots[i]};
        }
        accounts[n - 1].slot_cnt++;
    }
    COH_ASSERT(n == max);
    hash_accounts(accounts, n);
    sort_accounts(u, accounts, n);
    for (size_t i = 0; i < n; i++) {
        account_t const *a = &u->accounts[i];
        account_t *last    = u->account_cnt == 0 ? NULL : &u->accounts[u->account_cnt - 1];
        if (last == NULL || !coh_hash_eq(&last->hash, &a->hash)) {
            u->accounts[u->account_cnt++] = *a;
            continue;
        }
        COH_ASSERT((last->item == NULL) != (a->item == NULL));
        if (last->item == NULL) {
            last->item = a->item;
        } else {
            last->slots    = a->slots;
            last->slot_cnt = a->slot_cnt;
        }
    }
    for (size_t i = 0; i < AHEAD; i++) {
        u->accounts[u->account_cnt + i] = (account_t){0};
    }
}

/* ---- storage ---- */

/* Narrows the account's slots to those of its present generation. That of an account that did not change itself is the highest: others cannot have been written. */
static void pick_generation(account_t *a)
{
    uint64_t generation = a->item != NULL ? a->item->value.generation
                                          : a->slots[a->slot_cnt - 1].item->key.generation;
    while (a->slot_cnt != 0 && a->slots->item->key.generation < generation) {
        a->slots++;
        a->slot_cnt--;
    }
    while (a->slot_cnt != 0 && a->slots[a->slot_cnt - 1].item->key.generation > generation) {
        a->slot_cnt--;
    }
}

static coh_bytes_t word_rlp(uint8_t out[WORD_RLP_MAX], coh_u256_t const *word)
{
    size_t len = coh_u256_be_len(word);
    uint8_t be[32];
    coh_u256_to_be(be, word);
    size_t head = len > 1 || be[31] >= 0x80 ? 1 : 0;
    out[0]      = (uint8_t)(0x80 + len);
    memcpy(out + head, be + 32 - len, len);
    return coh_bytes(out, len == 0 ? 0 : head + len);
}

static coh_err_t update_storage(update_t *u, size_t *slot_cnt)
{
    size_t max                = COH_MIN(u->account_cnt, u->slot_cnt);
    coh_mpt_job_t *jobs       = take(u, max, sizeof(*jobs));
    account_t **of            = take(u, max, sizeof(account_t *)); /* each job */
    coh_hash_t *roots         = take(u, max, sizeof(*roots));
    coh_mpt_change_t *changes = take(u, u->slot_cnt, sizeof(*changes));
    uint8_t *text             = take(u, u->slot_cnt, WORD_RLP_MAX);
    size_t job_cnt            = 0;
    size_t n                  = 0;
    for (size_t i = 0; i < u->account_cnt && u->slot_cnt != 0; i++) {
        account_t *a = &u->accounts[i];
        if (a->slot_cnt != 0) {
            pick_generation(a);
        }
        if (a->slot_cnt == 0) {
            continue;
        }
        of[job_cnt]     = a;
        jobs[job_cnt++] = (coh_mpt_job_t){
            .id      = coh_mpt_id_storage(&a->hash, (uint32_t)a->slots->item->key.generation),
            .changes = changes + n,
            .cnt     = a->slot_cnt};
        for (uint32_t k = 0; k < a->slot_cnt; k++, n++) {
            changes[n] = (coh_mpt_change_t){
                .key   = a->slots[k].hash,
                .value = word_rlp(text + n * WORD_RLP_MAX, &a->slots[k].item->value.word)};
        }
    }
    *slot_cnt = n;
    if (job_cnt == 0) {
        return COH_OK;
    }
    COH_TRY(coh_mpt_update(u->mpt, u->block, jobs, job_cnt, u->undo));
    for (size_t i = 0; i < job_cnt; i++) {
        coh_node_root(&roots[i], &jobs[i].node);
        of[i]->root = &roots[i];
    }
    return COH_OK;
}

/* ---- buckets ---- */

static uint8_t const *old_root(coh_bytes_t old)
{
    COH_ASSERT(old.n > COH_TRIE_ACCOUNT_ROOT_FROM_END);
    return old.p + old.n - COH_TRIE_ACCOUNT_ROOT_FROM_END;
}

/* A job's part of the accounts. */
typedef struct {
    update_t *u;
    size_t first;
} bucket_t;

/* Asks for the memory of the account after some others, of this bucket or the next. */
static void fetch_item(account_t const *a)
{
    for (size_t at = 0; a->item != NULL && at < sizeof(*a->item); at += COH_CACHE_LINE) {
        __builtin_prefetch((char const *)a->item + at);
    }
}

/* coh_mpt_resolve_t: makes the leaf of account idx of a bucket. */
static void make_leaf(void *arg, size_t idx, coh_bytes_t old)
{
    bucket_t const *bucket    = arg;
    size_t at                 = bucket->first + idx;
    account_t const *a        = &bucket->u->accounts[at];
    uint8_t *leaf             = bucket->u->leaves + at * COH_TRIE_ACCOUNT_MAX;
    coh_mv_item_t const *item = a->item;
    size_t n                  = 0;
    fetch_item(a + AHEAD);
    if (item == NULL) {
        if (old.n != 0 && a->root != NULL) {
            COH_ASSERT(old.n <= COH_TRIE_ACCOUNT_MAX);
            n = old.n;
            memcpy(leaf, old.p, n);
            memcpy(leaf + n - COH_TRIE_ACCOUNT_ROOT_FROM_END, a->root->b, sizeof(a->root->b));
        }
    } else if (item->value.flags & COH_ACCOUNT_EXISTS) {
        coh_value_t const *v       = &item->value;
        coh_trie_account_t account = {
            .nonce        = v->nonce,
            .balance      = v->word,
            .storage_root = a->root != NULL ? *a->root : COH_EMPTY_TRIE_ROOT,
            .code_hash    = coh_value_has_code(v) ? v->code_hash : COH_KECCAK_EMPTY};
        if (a->root == NULL && !item->wiped && old.n != 0) {
            memcpy(account.storage_root.b, old_root(old), sizeof(account.storage_root.b));
        }
        n = coh_trie_account_write(leaf, &account);
    }
    bucket->u->changes[at].value = coh_bytes(leaf, n);
}

static coh_err_t update_buckets(update_t *u, coh_trie_outcome_t *out)
{
    size_t max          = COH_MIN(u->account_cnt, (size_t)COH_ROOTS_BUCKET_CNT);
    coh_mpt_job_t *jobs = take(u, max, sizeof(*jobs));
    bucket_t *buckets   = take(u, max, sizeof(*buckets));
    size_t job_cnt      = 0;
    u->changes          = take(u, u->account_cnt, sizeof(*u->changes));
    u->leaves           = take(u, u->account_cnt, COH_TRIE_ACCOUNT_MAX);
    for (size_t i = 0; i < u->account_cnt; i++) {
        account_t const *a = &u->accounts[i];
        u->changes[i]      = (coh_mpt_change_t){.key = a->hash};
        if (i == 0 || bucket_of(&a[-1].hash) != bucket_of(&a->hash)) {
            buckets[job_cnt] = (bucket_t){.u = u, .first = i};
            jobs[job_cnt]    = (coh_mpt_job_t){.id      = coh_mpt_id_bucket(bucket_of(&a->hash)),
                                               .changes = &u->changes[i],
                                               .resolve = make_leaf,
                                               .arg     = &buckets[job_cnt]};
            job_cnt++;
        }
        jobs[job_cnt - 1].cnt++;
    }
    COH_TRY(coh_mpt_update(u->mpt, u->block, jobs, job_cnt, u->undo));
    out->account_cnt = u->account_cnt;
    out->node_cnt    = job_cnt;
    out->nodes       = coh_calloc(job_cnt + 1, sizeof(*out->nodes));
    for (size_t i = 0; i < job_cnt; i++) {
        out->nodes[i] =
            (coh_trie_node_t){.bucket = bucket_of(&jobs[i].changes->key), .node = jobs[i].node};
    }
    return COH_OK;
}

coh_err_t coh_trie_update(coh_mpt_t *mpt,
                          uint64_t block,
                          coh_mv_item_t const *items,
                          size_t cnt,
                          coh_arena_t *scratch,
                          coh_trie_outcome_t *out,
                          coh_buf_t *undo)
{
    coh_arena_reset(scratch, SCRATCH_KEEP);
    update_t u = {.mpt = mpt, .block = block, .scratch = scratch, .undo = undo};
    list_slots(&u, items, cnt);
    list_accounts(&u, items, cnt);
    *out = (coh_trie_outcome_t){0};
    COH_TRY(update_storage(&u, &out->slot_cnt));
    return update_buckets(&u, out);
}
