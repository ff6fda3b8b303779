/* Incremental tries, their top, proofs and past, against trees that root.c builds anew from a plain sorted list; and against damage and crashes.
   COHORT_TEST_SEED repeats a run, COHORT_TEST_LONG makes it millions of changes long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/checksum.h"
#include "common/base/rng.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/trie/history.h"
#include "common/trie/nibbles.h"
#include "common/trie/proof.h"
#include "common/trie/root.h"
#include "common/trie/roots.h"
#include "tests/support/data.h"
#include "tests/support/seed.h"

static bool is_long;
static uint64_t seed;

/* ---- A trie as a sorted list ---- */

typedef struct {
    coh_hash_t key;
    uint8_t n; /* octets of value; 0 in changes: removed */
    uint8_t value[COH_NODE_VALUE_MAX];
} pair_t;

typedef struct {
    pair_t *pairs;
    size_t cnt;
    size_t cap;
} model_t;

/* Where key is, or would be. */
static size_t model_find(model_t const *m, coh_hash_t const *key, bool *is_there)
{
    size_t lo = 0;
    size_t hi = m->cnt;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int order  = memcmp(m->pairs[mid].key.b, key->b, sizeof(key->b));
        if (order == 0) {
            *is_there = true;
            return mid;
        }
        *(order < 0 ? &lo : &hi) = order < 0 ? mid + 1 : mid;
    }
    *is_there = false;
    return lo;
}

/* Sets a pair; in a list of changes, also to nothing. */
static void model_put(model_t *m, pair_t const *pair, bool keep_removed)
{
    bool is_there;
    size_t at = model_find(m, &pair->key, &is_there);
    if (pair->n == 0 && !keep_removed) {
        if (is_there) {
            memmove(&m->pairs[at], &m->pairs[at + 1], (m->cnt - at - 1) * sizeof(*m->pairs));
            m->cnt--;
        }
        return;
    }
    if (!is_there) {
        if (m->cnt == m->cap) {
            m->cap   = m->cap == 0 ? 64 : m->cap * 2;
            m->pairs = coh_realloc(m->pairs, m->cap * sizeof(*m->pairs));
        }
        memmove(&m->pairs[at + 1], &m->pairs[at], (m->cnt - at) * sizeof(*m->pairs));
        m->cnt++;
    }
    m->pairs[at] = *pair;
}

static void model_copy(model_t *to, model_t const *from)
{
    to->cnt   = 0;
    to->cap   = COH_MAX(to->cap, from->cnt + 1);
    to->pairs = coh_realloc(to->pairs, to->cap * sizeof(*to->pairs));
    if (from->cnt != 0) {
        memcpy(to->pairs, from->pairs, from->cnt * sizeof(*to->pairs));
    }
    to->cnt = from->cnt;
}

static void model_root(coh_hash_t *out, model_t const *m)
{
    coh_root_item_t *items = coh_calloc(m->cnt + 1, sizeof(*items));
    for (size_t i = 0; i < m->cnt; i++) {
        items[i].key   = coh_bytes(m->pairs[i].key.b, sizeof(m->pairs[i].key.b));
        items[i].value = coh_bytes(m->pairs[i].value, m->pairs[i].n);
    }
    coh_root_sorted(out, items, m->cnt);
    free(items);
}

static coh_bytes_t model_value(model_t const *m, coh_hash_t const *key)
{
    bool is_there;
    size_t at = model_find(m, key, &is_there);
    return is_there ? coh_bytes(m->pairs[at].value, m->pairs[at].n) : coh_bytes(NULL, 0);
}

static coh_hash_t random_key(coh_rng_t *rng)
{
    coh_hash_t key;
    for (size_t i = 0; i < sizeof(key.b); i += 8) {
        coh_store_u64_le(key.b + i, coh_rng_next(rng));
    }
    return key;
}

/* Some key: present, or with nothing in common with others, or with much. */
static coh_hash_t some_key(coh_rng_t *rng,
                           model_t const *m,
                           uint32_t percent_present,
                           uint32_t percent_near)
{
    coh_hash_t key = random_key(rng);
    if (m->cnt == 0) {
        return key;
    }
    coh_hash_t const *other = &m->pairs[coh_rng_below(rng, m->cnt)].key;
    if (coh_rng_percent(rng, percent_present)) {
        return *other;
    }
    if (coh_rng_percent(rng, percent_near)) {
        size_t common = coh_rng_percent(rng, 50) ? coh_rng_below(rng, 64) : coh_rng_below(rng, 8);
        for (size_t i = 0; i < common; i++) {
            coh_nibble_set(key.b, i, coh_nibble(other->b, i));
        }
    }
    return key;
}

static void random_value(coh_rng_t *rng, pair_t *pair)
{
    static uint8_t const lengths[] = {
        1, 1, 2, 20, 31, 33, 55, 56, 62, 66, 70, 110, COH_NODE_VALUE_MAX};
    pair->n = lengths[coh_rng_below(rng, COH_CNT(lengths))];
    for (size_t i = 0; i < pair->n; i++) {
        pair->value[i] = (uint8_t)coh_rng_next(rng);
    }
    enum { TAIL_SZ = 66 }; /* of an account without storage and code: pages leave that out */
    if (pair->n <= COH_NODE_VALUE_MAX - TAIL_SZ && coh_rng_percent(rng, 40)) {
        pair->n       = (uint8_t)(coh_rng_percent(rng, 10) ? 0 : pair->n);
        uint8_t *tail = pair->value + pair->n;
        pair->n       = (uint8_t)(pair->n + TAIL_SZ);
        tail[0] = tail[33] = 0xa0;
        memcpy(tail + 1, COH_EMPTY_TRIE_ROOT.b, sizeof(COH_EMPTY_TRIE_ROOT.b));
        memcpy(tail + 34, COH_KECCAK_EMPTY.b, sizeof(COH_KECCAK_EMPTY.b));
        if (coh_rng_percent(rng, 20)) {
            tail[coh_rng_below(rng, TAIL_SZ)] ^= 1; /* almost */
        }
    }
}

/* ---- A world: the state trie over several shards, and storages ---- */

enum { SHARD_MAX = 4, STORAGE_CNT = 3, PAST_MAX = 5, LOG_MAX = 4096 };

/* What one block changed; models of changes hold removed keys too. */
typedef struct {
    model_t state;
    model_t storage[STORAGE_CNT];
} changes_t;

typedef struct {
    coh_kv_t *kv;
    coh_mpt_t *mpt;
    uint64_t replay_from; /* first block whose changes the store may lack */
    coh_buf_t undo[PAST_MAX];
} shard_t;

typedef struct {
    coh_rng_t rng;
    uint32_t shard_cnt;
    uint8_t shard_of[COH_ROOTS_BUCKET_CNT];
    shard_t shards[SHARD_MAX];
    coh_roots_t *roots;
    coh_buf_t roots_undo[PAST_MAX];
    model_t state;
    model_t storage[STORAGE_CNT];
    coh_mpt_id_t storage_id[STORAGE_CNT];
    model_t past[PAST_MAX]; /* state after block b, in b % PAST_MAX */
    coh_hash_t past_root[PAST_MAX];
    uint64_t block; /* last */
    changes_t log[LOG_MAX];
    uint64_t past_from; /* no records of blocks up to this one */
} world_t;

static coh_mpt_t *open_mpt(world_t *w, coh_kv_t *kv)
{
    static uint32_t const pages[] = {COH_MPT_PAGE_MIN, 400, 1000, 4096};
    coh_mpt_config_t config       = {
              .kv              = kv,
              .table           = COH_KV_TRIE,
              .cache_bytes     = coh_rng_percent(&w->rng, 30) ? 0 : coh_rng_below(&w->rng, 1 << 20),
              .dirty_bytes_max = SIZE_MAX,
              .page_bytes      = pages[coh_rng_below(&w->rng, COH_CNT(pages))],
              .seed            = coh_rng_next(&w->rng)};
    return coh_mpt_new(&config);
}

static world_t *world_new(uint64_t world_seed)
{
    world_t *w = coh_calloc(1, sizeof(*w));
    coh_rng_seed(&w->rng, world_seed);
    w->shard_cnt = 1 + (uint32_t)coh_rng_below(&w->rng, SHARD_MAX);
    for (size_t i = 0; i < COH_ROOTS_BUCKET_CNT; i++) {
        w->shard_of[i] = (uint8_t)coh_rng_below(&w->rng, w->shard_cnt);
    }
    for (uint32_t i = 0; i < w->shard_cnt; i++) {
        assert_int_equal(coh_kv_mem_open(&w->shards[i].kv), COH_OK);
        w->shards[i].mpt         = open_mpt(w, w->shards[i].kv);
        w->shards[i].replay_from = 1;
    }
    for (uint32_t i = 0; i < STORAGE_CNT; i++) {
        coh_hash_t account = random_key(&w->rng);
        w->storage_id[i]   = coh_mpt_id_storage(&account, i);
    }
    w->roots        = coh_roots_new();
    w->past_root[0] = COH_EMPTY_TRIE_ROOT;
    return w;
}

static void changes_free(changes_t *c)
{
    free(c->state.pairs);
    for (size_t i = 0; i < STORAGE_CNT; i++) {
        free(c->storage[i].pairs);
    }
}

static void world_free(world_t *w)
{
    for (uint32_t i = 0; i < w->shard_cnt; i++) {
        coh_mpt_free(w->shards[i].mpt);
        w->shards[i].kv->ops->close(w->shards[i].kv);
    }
    for (size_t i = 0; i < PAST_MAX; i++) {
        for (uint32_t s = 0; s < SHARD_MAX; s++) {
            coh_buf_free(&w->shards[s].undo[i]);
        }
        coh_buf_free(&w->roots_undo[i]);
        free(w->past[i].pairs);
    }
    for (size_t i = 0; i < STORAGE_CNT; i++) {
        free(w->storage[i].pairs);
    }
    for (size_t i = 0; i < LOG_MAX; i++) {
        changes_free(&w->log[i]);
    }
    free(w->state.pairs);
    coh_roots_free(w->roots);
    free(w);
}

static coh_mpt_change_t *as_changes(model_t const *m)
{
    coh_mpt_change_t *out = coh_calloc(m->cnt + 1, sizeof(*out));
    for (size_t i = 0; i < m->cnt; i++) {
        out[i].key   = m->pairs[i].key;
        out[i].value = coh_bytes(m->pairs[i].value, m->pairs[i].n);
    }
    return out;
}

static uint32_t bucket_of(coh_hash_t const *key)
{
    return (uint32_t)key->b[0] << 4 | key->b[1] >> 4;
}

/* Applies what a block changed to one shard; to roots, unless NULL, goes what its buckets have become. Returns storages' roots if the shard is the first. */
static void apply(world_t *w,
                  uint32_t s,
                  uint64_t block,
                  changes_t const *c,
                  bool is_replay,
                  coh_hash_t storage_roots[STORAGE_CNT])
{
    shard_t *shard             = &w->shards[s];
    coh_mpt_change_t *state    = as_changes(&c->state);
    coh_mpt_job_t *jobs        = coh_calloc(c->state.cnt + STORAGE_CNT, sizeof(*jobs));
    uint32_t *buckets          = coh_calloc(c->state.cnt + 1, sizeof(*buckets));
    coh_mpt_change_t *owned[3] = {NULL};
    size_t cnt                 = 0;
    for (size_t i = 0; i < c->state.cnt;) {
        uint32_t bucket = bucket_of(&state[i].key);
        size_t end      = i;
        while (end < c->state.cnt && bucket_of(&state[end].key) == bucket) {
            end++;
        }
        if (w->shard_of[bucket] == s) {
            buckets[cnt] = bucket;
            jobs[cnt++]  = (coh_mpt_job_t){
                 .id = coh_mpt_id_bucket(bucket), .changes = &state[i], .cnt = end - i};
        }
        i = end;
    }
    size_t bucket_cnt = cnt;
    if (s == 0) {
        for (uint32_t i = 0; i < STORAGE_CNT; i++) {
            owned[i]    = as_changes(&c->storage[i]);
            jobs[cnt++] = (coh_mpt_job_t){
                .id = w->storage_id[i], .changes = owned[i], .cnt = c->storage[i].cnt};
        }
    }
    coh_buf_t *undo = is_replay ? NULL : &shard->undo[block % PAST_MAX];
    if (undo != NULL) {
        coh_buf_clear(undo);
    }
    assert_int_equal(coh_mpt_update(shard->mpt, block, jobs, cnt, undo), COH_OK);
    for (size_t i = 0; i < bucket_cnt && !is_replay; i++) {
        assert_int_equal(coh_node_check(&jobs[i].node, COH_ROOTS_PATH_CNT), COH_OK);
        coh_roots_put(w->roots, buckets[i], &jobs[i].node, &w->roots_undo[block % PAST_MAX]);
    }
    for (size_t i = bucket_cnt; i < cnt && storage_roots != NULL; i++) {
        coh_node_root(&storage_roots[i - bucket_cnt], &jobs[i].node);
    }
    for (size_t i = 0; i < COH_CNT(owned); i++) {
        free(owned[i]);
    }
    free(buckets);
    free(jobs);
    free(state);
}

static void random_changes(world_t *w,
                           model_t const *m,
                           model_t *out,
                           size_t cnt,
                           uint32_t percent_removed)
{
    for (size_t i = 0; i < cnt; i++) {
        pair_t pair = {0};
        bool remove = coh_rng_percent(&w->rng, percent_removed);
        pair.key    = some_key(&w->rng, m, remove ? 95 : 40, 30);
        if (!remove) {
            random_value(&w->rng, &pair);
        }
        model_put(out, &pair, true);
    }
}

static void next_block(world_t *w, size_t cnt, uint32_t percent_removed)
{
    uint64_t block = ++w->block;
    assert_true(block < LOG_MAX);
    changes_t *c = &w->log[block];
    random_changes(w, &w->state, &c->state, cnt, percent_removed);
    for (size_t i = 0; i < STORAGE_CNT; i++) {
        random_changes(
            w, &w->storage[i], &c->storage[i], coh_rng_below(&w->rng, 12), percent_removed);
        for (size_t k = 0; k < c->storage[i].cnt; k++) {
            model_put(&w->storage[i], &c->storage[i].pairs[k], false);
        }
    }
    for (size_t k = 0; k < c->state.cnt; k++) {
        model_put(&w->state, &c->state.pairs[k], false);
    }
    coh_hash_t storage_roots[STORAGE_CNT];
    coh_buf_clear(&w->roots_undo[block % PAST_MAX]);
    for (uint32_t s = 0; s < w->shard_cnt; s++) {
        apply(w, s, block, c, false, s == 0 ? storage_roots : NULL);
    }
    coh_hash_t root;
    coh_hash_t want;
    coh_roots_compute(w->roots, &root);
    model_root(&want, &w->state);
    assert_memory_equal(root.b, want.b, sizeof(root.b));
    for (size_t i = 0; i < STORAGE_CNT; i++) {
        model_root(&want, &w->storage[i]);
        assert_memory_equal(storage_roots[i].b, want.b, sizeof(want.b));
    }
    model_copy(&w->past[block % PAST_MAX], &w->state);
    w->past_root[block % PAST_MAX] = root;
}

/* Proves key in roots and mpt, checks against the model, and that any changed octet is noticed. */
static void check_proof(world_t *w,
                        coh_roots_t const *roots,
                        coh_mpt_t *mpt,
                        coh_hash_t const *root,
                        model_t const *m,
                        coh_hash_t const *key)
{
    coh_mpt_id_t id   = coh_mpt_id_bucket(bucket_of(key));
    coh_proof_t inner = COH_PROOF_INIT;
    coh_proof_t proof = COH_PROOF_INIT;
    coh_bytes_t want  = model_value(m, key);
    coh_bytes_t value;
    assert_int_equal(coh_mpt_prove(mpt, &inner, &id, key), COH_OK);
    coh_roots_prove(roots, &proof, &inner, key);
    assert_int_equal(coh_proof_verify(&value, &proof, root, key), COH_OK);
    assert_true(coh_bytes_eq(value, want));
    coh_buf_t got = COH_BUF_INIT;
    assert_int_equal(coh_mpt_get(mpt, &id, key, &got), want.n == 0 ? COH_ENOTFOUND : COH_OK);
    assert_true(coh_bytes_eq(coh_buf_bytes(&got), want));
    if (proof.rlp.n != 0) {
        size_t at = coh_rng_below(&w->rng, proof.rlp.n);
        proof.rlp.p[at] ^= (uint8_t)(1 + coh_rng_below(&w->rng, 255));
        assert_int_equal(coh_proof_verify(&value, &proof, root, key), COH_EMISMATCH);
    }
    coh_buf_free(&got);
    coh_proof_free(&inner);
    coh_proof_free(&proof);
}

static void check_present(world_t *w)
{
    coh_hash_t const *root = &w->past_root[w->block % PAST_MAX];
    for (int i = 0; i < 8; i++) {
        coh_hash_t key = some_key(&w->rng, &w->state, 50, 60);
        coh_mpt_t *mpt = w->shards[w->shard_of[bucket_of(&key)]].mpt;
        check_proof(w, w->roots, mpt, root, &w->state, &key);
    }
    uint32_t s     = (uint32_t)coh_rng_below(&w->rng, STORAGE_CNT);
    coh_hash_t key = some_key(&w->rng, &w->storage[s], 50, 60);
    coh_hash_t storage_root;
    coh_proof_t proof = COH_PROOF_INIT;
    coh_bytes_t value;
    model_root(&storage_root, &w->storage[s]);
    assert_int_equal(coh_mpt_prove(w->shards[0].mpt, &proof, &w->storage_id[s], &key), COH_OK);
    assert_int_equal(coh_proof_verify(&value, &proof, &storage_root, &key), COH_OK);
    assert_true(coh_bytes_eq(value, model_value(&w->storage[s], &key)));
    coh_proof_free(&proof);
}

static void check_past(world_t *w)
{
    uint64_t max = COH_MIN(w->block - w->past_from, (uint64_t)PAST_MAX - 1);
    if (max == 0) {
        return;
    }
    uint64_t back      = 1 + coh_rng_below(&w->rng, max);
    uint64_t block     = w->block - back;
    model_t const *old = &w->past[block % PAST_MAX];
    coh_roots_t *roots = coh_roots_copy(w->roots);
    for (uint64_t b = w->block; b > block; b--) {
        assert_int_equal(coh_roots_revert(roots, coh_buf_bytes(&w->roots_undo[b % PAST_MAX])),
                         COH_OK);
    }
    coh_hash_t root;
    coh_roots_compute(roots, &root);
    assert_memory_equal(root.b, w->past_root[block % PAST_MAX].b, sizeof(root.b));

    coh_hash_t key  = some_key(&w->rng, coh_rng_percent(&w->rng, 50) ? old : &w->state, 70, 60);
    shard_t *shard  = &w->shards[w->shard_of[bucket_of(&key)]];
    coh_mpt_t *view = coh_mpt_view_new(shard->mpt);
    coh_bytes_t records[PAST_MAX];
    for (uint64_t i = 0; i < back; i++) {
        records[i] = coh_buf_bytes(&shard->undo[(block + 1 + i) % PAST_MAX]);
    }
    coh_mpt_node_t node;
    coh_mpt_id_t id = coh_mpt_id_bucket(bucket_of(&key));
    assert_int_equal(coh_history_rewind(view, &id, records, back, &node), COH_OK);
    coh_mpt_node_t const *want = coh_roots_get(roots, bucket_of(&key));
    assert_int_equal(node.kind, want->kind);
    assert_int_equal(node.n, want->n);
    assert_memory_equal(node.b, want->b, node.n);
    check_proof(w, roots, view, &root, old, &key);
    coh_mpt_free(view);
    coh_roots_free(roots);
}

static void flush(world_t *w, shard_t *shard, bool is_written)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    bool puts_only = coh_rng_percent(&w->rng, 50);
    size_t max     = coh_rng_percent(&w->rng, 40) ? SIZE_MAX : coh_rng_below(&w->rng, 1 << 16);
    coh_mpt_flush(shard->mpt, &batch, max, puts_only);
    if (is_written) {
        shard->replay_from = COH_MIN(coh_mpt_dirty_since(shard->mpt), w->block + 1);
        assert_int_equal(puts_only ? shard->kv->ops->ingest(shard->kv, &batch)
                                   : shard->kv->ops->write(shard->kv, &batch, false),
                         COH_OK);
        coh_mpt_flush_done(shard->mpt);
    }
    coh_kv_batch_free(&batch);
}

/* Forgets what is in memory, perhaps in the middle of a flush, and repeats what is missing. */
static void crash(world_t *w, shard_t *shard)
{
    if (coh_rng_percent(&w->rng, 50)) {
        flush(w, shard, false);
    }
    coh_mpt_free(shard->mpt);
    shard->mpt = open_mpt(w, shard->kv);
    for (uint64_t b = shard->replay_from; b <= w->block; b++) {
        apply(w, (uint32_t)(shard - w->shards), b, &w->log[b], true, NULL);
    }
    for (uint32_t bucket = 0; bucket < COH_ROOTS_BUCKET_CNT; bucket++) {
        if (&w->shards[w->shard_of[bucket]] == shard) {
            coh_mpt_job_t job = {.id = coh_mpt_id_bucket(bucket)};
            assert_int_equal(coh_mpt_update(shard->mpt, w->block, &job, 1, NULL), COH_OK);
            coh_mpt_node_t const *want = coh_roots_get(w->roots, bucket);
            assert_int_equal(job.node.kind, want->kind);
            assert_int_equal(job.node.n, want->n);
            assert_memory_equal(job.node.b, want->b, job.node.n);
        }
    }
}

static uint64_t run_world(uint64_t world_seed, uint64_t block_cnt, size_t change_max)
{
    world_t *w       = world_new(world_seed);
    uint64_t changes = 0;
    for (uint64_t b = 0; b < block_cnt; b++) {
        /* Growing, shrinking to nothing, growing again. */
        uint32_t removed = (b / 16) % 2 == 0 ? 20 : 85;
        next_block(w, 1 + coh_rng_below(&w->rng, change_max), removed);
        changes += w->log[w->block].state.cnt;
        shard_t *shard = &w->shards[coh_rng_below(&w->rng, w->shard_cnt)];
        if (coh_rng_percent(&w->rng, 40)) {
            flush(w, shard, true);
        }
        if (coh_rng_percent(&w->rng, 10)) {
            crash(w, shard);
        }
        check_present(w);
        check_past(w);
    }
    world_free(w);
    return changes;
}

static void mpt_random_worlds(void **state)
{
    (void)state;
    uint64_t want    = is_long ? 4000000 : 60000;
    uint64_t changes = 0;
    for (uint64_t i = 0; changes < want; i++) {
        static size_t const sizes[] = {3, 30, 300, 2500};
        changes += run_world(seed + i, 100, sizes[i % COH_CNT(sizes)]);
    }
    printf(
        "%llu changes, seeds from %llu\n", (unsigned long long)changes, (unsigned long long)seed);
}

/* ---- Damage and limits ---- */

enum { FAULT_KEY_CNT = 120 };

typedef struct {
    coh_buf_t keys; /* one behind the other */
    size_t ends[4 * FAULT_KEY_CNT];
    size_t cnt;
} stored_t;

static bool note_key(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    stored_t *stored = arg;
    (void)value;
    assert_true(stored->cnt < COH_CNT(stored->ends));
    coh_buf_put(&stored->keys, key.p, key.n);
    stored->ends[stored->cnt++] = stored->keys.n;
    return true;
}

static void list_stored(stored_t *stored, coh_kv_t *kv)
{
    *stored = (stored_t){.keys = COH_BUF_INIT};
    assert_int_equal(kv->ops->iterate(kv, COH_KV_TRIE, coh_bytes(NULL, 0), false, note_key, stored),
                     COH_OK);
}

static coh_bytes_t stored_key(stored_t const *stored, size_t i)
{
    size_t at = i == 0 ? 0 : stored->ends[i - 1];
    return coh_bytes(stored->keys.p + at, stored->ends[i] - at);
}

static coh_mpt_t *open_small(coh_kv_t *kv, size_t dirty_max)
{
    coh_mpt_config_t config = {.kv              = kv,
                               .table           = COH_KV_TRIE,
                               .dirty_bytes_max = dirty_max,
                               .page_bytes      = COH_MPT_PAGE_MIN};
    return coh_mpt_new(&config);
}

static void flush_all(coh_mpt_t *mpt, coh_kv_t *kv)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_mpt_flush(mpt, &batch, SIZE_MAX, false);
    assert_int_equal(kv->ops->write(kv, &batch, false), COH_OK);
    coh_mpt_flush_done(mpt);
    assert_true(coh_mpt_dirty_since(mpt) == UINT64_MAX);
    coh_kv_batch_free(&batch);
}

static void set_stored(coh_kv_t *kv, coh_bytes_t key, coh_bytes_t const *value)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    if (value == NULL) {
        coh_kv_batch_delete(&batch, COH_KV_TRIE, key);
    } else {
        coh_kv_batch_put(&batch, COH_KV_TRIE, key, *value);
    }
    assert_int_equal(kv->ops->write(kv, &batch, false), COH_OK);
    coh_kv_batch_free(&batch);
}

/* FAULT_KEY_CNT keys of one bucket, and as many values for each of two blocks. */
typedef struct {
    coh_mpt_change_t changes[FAULT_KEY_CNT];
    uint8_t values[FAULT_KEY_CNT][40];
} block_t;

static void make_block(block_t *b, uint8_t fill)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, 7);
    model_t m = {0};
    for (size_t i = 0; i < FAULT_KEY_CNT; i++) {
        pair_t pair = {.n = 1};
        pair.key    = some_key(&rng, &m, 0, 60);
        coh_nibble_set(pair.key.b, 0, 10);
        coh_nibble_set(pair.key.b, 1, 11);
        coh_nibble_set(pair.key.b, 2, 12);
        model_put(&m, &pair, true);
    }
    assert_int_equal(m.cnt, FAULT_KEY_CNT);
    for (size_t i = 0; i < FAULT_KEY_CNT; i++) {
        memset(b->values[i], fill, sizeof(b->values[i]));
        b->values[i][0]     = (uint8_t)i;
        b->changes[i].key   = m.pairs[i].key;
        b->changes[i].value = coh_bytes(b->values[i], sizeof(b->values[i]));
    }
    free(m.pairs);
}

static coh_mpt_job_t job_of(block_t const *b)
{
    return (coh_mpt_job_t){
        .id = coh_mpt_id_bucket(0xabc), .changes = b->changes, .cnt = FAULT_KEY_CNT};
}

static void expect_fault(coh_mpt_t const *mpt, coh_bytes_t key)
{
    coh_mpt_fault_t const *fault = coh_mpt_fault(mpt);
    assert_int_equal(fault->id.n, 3);
    assert_memory_equal(fault->id.b, key.p, 3);
    assert_int_equal(fault->depth, key.p[key.n - 1]);
    assert_memory_equal(fault->path, key.p + 3, key.n - 4);
}

/* Each page in turn is lost, or has an octet changed, with and without the checksum made to fit: said with the path, and nothing has changed. */
static void mpt_damage_is_reported(void **state)
{
    (void)state;
    static block_t before;
    static block_t after;
    coh_kv_t *kv;
    make_block(&before, 1);
    make_block(&after, 2);
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    coh_mpt_t *mpt    = open_small(kv, SIZE_MAX);
    coh_mpt_job_t job = job_of(&before);
    assert_int_equal(coh_mpt_update(mpt, 1, &job, 1, NULL), COH_OK);
    coh_mpt_node_t node_before = job.node;
    flush_all(mpt, kv);
    stored_t stored;
    list_stored(&stored, kv);
    assert_true(stored.cnt > 20);
    job = job_of(&after);
    assert_int_equal(coh_mpt_update(mpt, 2, &job, 1, NULL), COH_OK);
    coh_mpt_node_t node_after = job.node;
    coh_mpt_free(mpt);

    for (size_t i = 0; i < stored.cnt; i++) {
        coh_bytes_t key = stored_key(&stored, i);
        bool is_root    = key.p[key.n - 1] == 3;
        coh_buf_t good  = COH_BUF_INIT;
        assert_int_equal(kv->ops->get(kv, COH_KV_TRIE, key, &good), COH_OK);
        for (int how = is_root ? 1 : 0; how < (is_root ? 2 : 3); how++) {
            coh_buf_t bad = COH_BUF_INIT;
            coh_buf_put(&bad, good.p, good.n);
            bad.p[bad.n - 9] ^= 1; /* of a value, or a reference */
            if (how == 2) {
                coh_store_u64_le(bad.p + bad.n - 8, coh_checksum64(bad.p, bad.n - 8));
            }
            coh_bytes_t value = coh_buf_bytes(&bad);
            set_stored(kv, key, how == 0 ? NULL : &value);
            coh_buf_t undo = COH_BUF_INIT;
            mpt            = open_small(kv, SIZE_MAX);
            job            = job_of(&after);
            assert_int_equal(coh_mpt_update(mpt, 2, &job, 1, &undo), COH_ECORRUPT);
            expect_fault(mpt, key);
            assert_int_equal(undo.n, 0);
            assert_true(coh_mpt_dirty_since(mpt) == UINT64_MAX);
            value = coh_buf_bytes(&good);
            set_stored(kv, key, &value);
            job = (coh_mpt_job_t){.id = job.id};
            assert_int_equal(coh_mpt_update(mpt, 2, &job, 1, NULL), COH_OK);
            assert_int_equal(job.node.kind, node_before.kind);
            assert_memory_equal(job.node.b, node_before.b, node_before.n);
            job = job_of(&after);
            assert_int_equal(coh_mpt_update(mpt, 2, &job, 1, NULL), COH_OK);
            assert_memory_equal(job.node.b, node_after.b, node_after.n);
            coh_mpt_free(mpt);
            coh_buf_free(&undo);
            coh_buf_free(&bad);
        }
        coh_buf_free(&good);
    }
    coh_buf_free(&stored.keys);
    kv->ops->close(kv);
}

static void mpt_tells_that_too_much_is_to_flush(void **state)
{
    (void)state;
    static block_t block;
    coh_kv_t *kv;
    make_block(&block, 1);
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    coh_mpt_t *mpt    = open_small(kv, 1000);
    coh_mpt_job_t job = job_of(&block);
    assert_int_equal(coh_mpt_update(mpt, 5, &job, 1, NULL), COH_OK);
    assert_int_equal(coh_mpt_dirty_since(mpt), 5);
    assert_true(coh_mpt_is_full(mpt));
    flush_all(mpt, kv);
    assert_false(coh_mpt_is_full(mpt));
    assert_int_equal(coh_mpt_update(mpt, 6, &job, 1, NULL), COH_OK);
    assert_true(coh_mpt_dirty_since(mpt) == UINT64_MAX); /* nothing changed */
    coh_mpt_stats_t stats;
    coh_mpt_stats(mpt, &stats);
    assert_int_equal(stats.dirty_bytes, 0);
    assert_int_equal(stats.page_cnt, 0); /* the cache's bound is 0 */
    coh_mpt_free(mpt);
    kv->ops->close(kv);
}

/* A wiped account's next storage begins empty, though the old one is still there, and changes nothing in that. */
static void mpt_generations_are_apart(void **state)
{
    (void)state;
    static block_t block;
    coh_kv_t *kv;
    make_block(&block, 1);
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    coh_mpt_t *mpt     = open_small(kv, SIZE_MAX);
    coh_hash_t account = {.b = {0xff, 0xff}};
    memset(account.b, 0xff, sizeof(account.b));
    coh_mpt_job_t jobs[2] = {
        {.id = coh_mpt_id_storage(&account, UINT32_MAX - 1), .changes = block.changes, .cnt = 90},
        {.id = coh_mpt_id_storage(&account, UINT32_MAX), .changes = block.changes}};
    assert_int_equal(coh_mpt_update(mpt, 1, jobs, 1, NULL), COH_OK);
    coh_mpt_node_t old = jobs[0].node;
    jobs[1].cnt        = 3;
    assert_int_equal(coh_mpt_update(mpt, 2, &jobs[1], 1, NULL), COH_OK);
    coh_mpt_node_t young = jobs[1].node;
    jobs[1].id           = coh_mpt_id_storage(&account, 0);
    assert_int_equal(coh_mpt_update(mpt, 2, &jobs[1], 1, NULL), COH_OK);
    assert_int_equal(young.kind, jobs[1].node.kind); /* as in a trie that nothing came before */
    assert_memory_equal(young.b, jobs[1].node.b, young.n);
    jobs[1].id = coh_mpt_id_storage(&account, UINT32_MAX);
    flush_all(mpt, kv);
    coh_mpt_free(mpt);
    mpt         = open_small(kv, SIZE_MAX);
    jobs[0].cnt = jobs[1].cnt = 0;
    assert_int_equal(coh_mpt_update(mpt, 3, jobs, 2, NULL), COH_OK);
    assert_int_equal(jobs[0].node.kind, old.kind);
    assert_memory_equal(jobs[0].node.b, old.b, old.n);
    assert_int_equal(jobs[1].node.kind, young.kind);
    assert_memory_equal(jobs[1].node.b, young.b, young.n);
    coh_mpt_free(mpt);
    kv->ops->close(kv);
}

/* Pages that are no more are deleted from the store, one by one or because the page above them holds all again. */
static void mpt_gone_pages_are_deleted(void **state)
{
    (void)state;
    static block_t block;
    coh_kv_t *kv;
    make_block(&block, 1);
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    coh_mpt_t *mpt = open_small(kv, SIZE_MAX);
    size_t last    = 0;
    for (int round = 0; round < 2; round++) {
        coh_mpt_job_t job = job_of(&block);
        assert_int_equal(coh_mpt_update(mpt, 1, &job, 1, NULL), COH_OK);
        flush_all(mpt, kv);
        stored_t stored;
        list_stored(&stored, kv);
        assert_true(stored.cnt > 20 && (round == 0 || stored.cnt == last));
        last = stored.cnt;
        coh_buf_free(&stored.keys);
        static block_t removal;
        make_block(&removal, 1);
        for (size_t i = 0; i < FAULT_KEY_CNT; i++) {
            removal.changes[i].value.n = 0;
        }
        /* From the first key on in the one round, one page after another; in the other, all but two at once. */
        size_t step = round == 0 ? 5 : FAULT_KEY_CNT - 2;
        for (size_t at = 0; at < FAULT_KEY_CNT; at += step) {
            job.changes = &removal.changes[at];
            job.cnt     = COH_MIN(step, FAULT_KEY_CNT - at);
            assert_int_equal(coh_mpt_update(mpt, 1, &job, 1, NULL), COH_OK);
            flush_all(mpt, kv);
            list_stored(&stored, kv);
            assert_true(at + job.cnt < FAULT_KEY_CNT - 2 || stored.cnt <= 1);
            assert_true(stored.cnt <= last);
            last = round == 0 ? stored.cnt : last;
            coh_buf_free(&stored.keys);
        }
        assert_int_equal(job.node.kind, COH_NODE_EMPTY);
        list_stored(&stored, kv);
        assert_int_equal(stored.cnt, 0);
        coh_buf_free(&stored.keys);
        job = job_of(&block);
        assert_int_equal(coh_mpt_update(mpt, 1, &job, 1, NULL), COH_OK);
        flush_all(mpt, kv);
        list_stored(&stored, kv);
        last = stored.cnt;
        coh_buf_free(&stored.keys);
    }
    coh_mpt_free(mpt);
    kv->ops->close(kv);
}

int main(void)
{
    seed                            = coh_test_seed();
    is_long                         = getenv("COHORT_TEST_LONG") != NULL;
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(mpt_damage_is_reported),
        cmocka_unit_test(mpt_tells_that_too_much_is_to_flush),
        cmocka_unit_test(mpt_generations_are_apart),
        cmocka_unit_test(mpt_gone_pages_are_deleted),
        cmocka_unit_test(mpt_random_worlds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
