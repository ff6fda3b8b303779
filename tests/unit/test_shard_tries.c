/* A shard's tries (shard/tries.h) through random lives: blocks of random changes to accounts and slots, wipes and returns, aborts at any moment, flushes,
   memory so small that updates must wait for them, crashes with pages written or not, recovery from merged changes. Whatever the tries say of
   buckets must lead to the root of a model's state, built anew. Another seed: COHORT_TEST_SEED; longer: COHORT_TEST_LONG=1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/root.h"
#include "common/trie/roots.h"
#include "shard/store.h"
#include "shard/tries.h"
#include "tests/support/seed.h"

enum { ACCOUNTS = 40, SLOTS = 6, PAST = 64 };

/* ---- the model ---- */

typedef struct {
    coh_value_t value;
    coh_u256_t slots[SLOTS]; /* of the present generation */
} account_t;

typedef struct {
    account_t v[ACCOUNTS];
} state_t;

/* A block's changes. */
typedef struct {
    coh_mv_item_t v[ACCOUNTS * (SLOTS + 2)];
    size_t cnt;
} changes_t;

typedef struct {
    coh_env_t env;
    uint64_t seed;
    uint64_t now_us;
    coh_rng_t rng;
    coh_kv_t *kv;
    coh_tries_limits_t limits;
    coh_tries_t *tries;
    coh_directory_t dir;
    coh_roots_t *roots; /* of the last block applied */
    state_t states[PAST];
    changes_t log[PAST];
    coh_buf_t roots_undo[PAST];
    uint64_t
        flushed; /* what a crash keeps of the flat tables: from there on changes are laid over again */
    uint64_t committed;
    uint64_t applied;   /* as told by UPDATED, with the deferred ones that follow */
    uint64_t caught_up; /* the tries are at least as of this block: the last take or start */
    uint64_t given;     /* last block handed over */
    bool flush_wanted, flush_running, nodes_asked;
    uint32_t undoing; /* UNDONE that must come */
    uint64_t flush_block;
    coh_tries_done_t pages;      /* taken, not written */
    uint64_t started;            /* no states before this block are known */
    uint64_t query, query_block; /* the last one */
    uint32_t query_account;
    bool query_open;
    uint64_t supposed_block; /* as query; of... */
    state_t supposed;        /* ...a state that never was */
    bool supposal_open;
    /* How often. */
    uint32_t aborts, crashes, flushes, updates, waits, proofs, old_proofs, lost_proofs;
    uint32_t supposals, old_supposals, lost_supposals;
} world_t;

static coh_addr_t addr_of(uint32_t i)
{
    coh_addr_t addr = {{(uint8_t)i, 0xac}};
    return addr;
}

static coh_u256_t slot_of(uint32_t k) { return (coh_u256_t){{k * 0x9e3779b9u, 0, 0, k}}; }

/* The root of a state, from the bottom. */
static coh_hash_t root_of(state_t const *s)
{
    coh_root_item_t items[ACCOUNTS];
    coh_buf_t values[ACCOUNTS];
    coh_addr_t addrs[ACCOUNTS];
    size_t cnt = 0;
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        account_t const *a = &s->v[i];
        if ((a->value.flags & COH_ACCOUNT_EXISTS) == 0) {
            continue;
        }
        coh_root_item_t slots[SLOTS];
        coh_buf_t words[SLOTS];
        uint8_t keys[SLOTS][32];
        size_t slot_cnt = 0;
        for (uint32_t k = 0; k < SLOTS; k++) {
            if (!coh_u256_is_zero(&a->slots[k])) {
                coh_u256_t slot = slot_of(k);
                words[slot_cnt] = COH_BUF_INIT;
                coh_u256_to_be(keys[slot_cnt], &slot);
                coh_rlp_put_u256(&words[slot_cnt], &a->slots[k]);
                slots[slot_cnt] = (coh_root_item_t){.key   = coh_bytes(keys[slot_cnt], 32),
                                                    .value = coh_buf_bytes(&words[slot_cnt])};
                slot_cnt++;
            }
        }
        coh_hash_t storage;
        coh_root_secure(&storage, slots, slot_cnt);
        while (slot_cnt > 0) {
            coh_buf_free(&words[--slot_cnt]);
        }
        coh_hash_t code  = coh_value_has_code(&a->value) ? a->value.code_hash : COH_KECCAK_EMPTY;
        coh_buf_t *value = &values[cnt];
        *value           = COH_BUF_INIT;
        coh_rlp_put_u64(value, a->value.nonce);
        coh_rlp_put_u256(value, &a->value.word);
        coh_rlp_put_string(value, storage.b, sizeof(storage.b));
        coh_rlp_put_string(value, code.b, sizeof(code.b));
        coh_rlp_wrap_list(value, 0);
        addrs[cnt] = addr_of(i);
        items[cnt] = (coh_root_item_t){.key   = coh_bytes(addrs[cnt].b, sizeof(addrs[cnt].b)),
                                       .value = coh_buf_bytes(value)};
        cnt++;
    }
    coh_hash_t root;
    coh_root_secure(&root, items, cnt);
    while (cnt > 0) {
        coh_buf_free(&values[--cnt]);
    }
    return root;
}

static void add_change(changes_t *c, coh_key_t key, coh_value_t const *value, bool wiped)
{
    c->v[c->cnt++] = (coh_mv_item_t){.key = key, .value = *value, .wiped = wiped};
}

/* Writes slots of the account's present generation. */
static void write_slots(world_t *w, changes_t *c, uint32_t i, account_t *a)
{
    coh_addr_t addr = addr_of(i);
    for (uint32_t k = 0; k < SLOTS; k++) {
        if (coh_rng_percent(&w->rng, 40)) {
            coh_u256_t word = coh_rng_percent(&w->rng, 40)
                                  ? COH_U256_ZERO
                                  : coh_u256(1 + coh_rng_below(&w->rng, 1000));
            coh_u256_t slot = slot_of(k);
            if (!coh_u256_eq(&word, &a->slots[k])) {
                a->slots[k] = word;
                add_change(c,
                           coh_key_slot(&addr, a->value.generation, &slot),
                           &(coh_value_t){.word = word},
                           false);
            }
        }
    }
}

static bool has_slots(account_t const *a)
{
    bool any = false;
    for (uint32_t k = 0; k < SLOTS; k++) {
        any = any || !coh_u256_is_zero(&a->slots[k]);
    }
    return any;
}

/* Changes s at random. */
static void change(world_t *w, state_t *s, changes_t *c)
{
    c->cnt = 0;
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        account_t *a    = &s->v[i];
        coh_addr_t addr = addr_of(i);
        coh_value_t old = a->value;
        bool wiped      = false;
        if (!coh_rng_percent(&w->rng, 30)) {
            continue;
        }
        uint64_t what = coh_rng_below(&w->rng, 100);
        if (old.flags & COH_ACCOUNT_EXISTS) {
            if (what < 25 &&
                (coh_value_has_code(&old) || !has_slots(a))) { /* goes, and may come back at once */
                if (coh_value_has_code(&old) && coh_rng_percent(&w->rng, 50)) {
                    write_slots(w, c, i, a); /* of the generation that is left behind */
                }
                wiped    = coh_value_has_code(&old);
                a->value = (coh_value_t){.generation = old.generation + wiped};
                memset(a->slots, 0, sizeof(a->slots));
            } else if (what < 60) {
                a->value.word = coh_u256(coh_rng_below(&w->rng, 3) == 0 ? 0 : what << 40);
                a->value.nonce++;
            } else if (what <
                       65) { /* a delegation ends: no code, but the storage stays (EIP-7702) */
                a->value.code_hash = (coh_hash_t){{0}};
            }
        }
        if ((a->value.flags & COH_ACCOUNT_EXISTS) == 0 && what % 2 == 0) {
            a->value.flags = COH_ACCOUNT_EXISTS;
            a->value.nonce = what;
            if (what % 4 == 0) {
                coh_keccak256(&a->value.code_hash, &what, sizeof(what));
            }
        }
        if (coh_value_has_code(&a->value) && what < 90) {
            write_slots(w, c, i, a);
        }
        if (!coh_value_eq(&old, &a->value)) {
            add_change(c, coh_key_account(&addr), &a->value, wiped);
        }
    }
}

/* A random block on the state of the last one given. */
static void make_block(world_t *w, uint64_t block)
{
    w->states[block % PAST] = w->states[(block - 1) % PAST];
    change(w, &w->states[block % PAST], &w->log[block % PAST]);
}

static bool has_root(world_t const *w, uint64_t block) { return block % w->limits.root_every == 0; }

/* The last block with a root up to block, or where the tries began. */
static uint64_t root_block(world_t const *w, uint64_t block)
{
    return COH_MAX(block - block % w->limits.root_every, w->started);
}

/* Blocks without a root are through when those below are. */
static void pass_deferred(world_t *w)
{
    while (w->applied < w->given && !has_root(w, w->applied + 1)) {
        coh_buf_clear(&w->roots_undo[++w->applied % PAST]);
    }
}

/* ---- what the tries say ---- */

static void expect_root(world_t *w, state_t const *s)
{
    coh_hash_t should = root_of(s);
    coh_hash_t is;
    coh_roots_compute(w->roots, &is);
    if (!coh_hash_eq(&is, &should)) {
        fail_msg("seed %llu: another root than the model's", (unsigned long long)w->seed);
    }
}

static void put_nodes(world_t *w, coh_tries_done_t const *done, coh_buf_t *undo)
{
    for (size_t i = 0; i < done->node_cnt; i++) {
        assert_int_equal(coh_node_check(&done->nodes[i].node, COH_ROOTS_PATH_CNT), COH_OK);
        coh_roots_put(w->roots, done->nodes[i].bucket, &done->nodes[i].node, undo);
    }
}

/* ---- proofs ---- */

static void ask_proof(world_t *w)
{
    if (w->query_open || w->committed - w->started > 20) {
        return;
    }
    coh_u256_t slots[SLOTS];
    uint64_t oldest  = w->committed - COH_MIN(w->committed, UINT64_C(12));
    w->query_block   = oldest + coh_rng_below(&w->rng, w->committed - oldest + 1);
    w->query_account = (uint32_t)coh_rng_below(&w->rng, ACCOUNTS);
    w->query_open    = true;
    coh_addr_t addr  = addr_of(w->query_account);
    for (uint32_t k = 0; k < SLOTS; k++) {
        slots[k] = slot_of(k);
    }
    coh_tries_prove(w->tries, ++w->query, w->query_block, &addr, slots, SLOTS);
}

static void check_slots(account_t const *a, coh_trie_proof_t const *p, coh_hash_t const *root)
{
    assert_int_equal(p->slot_cnt, SLOTS);
    for (uint32_t k = 0; k < SLOTS; k++) {
        coh_proof_t proof = COH_PROOF_INIT;
        coh_u256_t slot   = slot_of(k);
        uint8_t text[32];
        coh_hash_t key;
        coh_bytes_t value;
        coh_u256_t word = COH_U256_ZERO;
        coh_u256_to_be(text, &slot);
        coh_keccak256(&key, text, sizeof(text));
        assert_int_equal(coh_proof_read(&proof, coh_buf_bytes(&p->slots[k].nodes)), COH_OK);
        assert_int_equal(coh_proof_verify(&value, &proof, root, &key), COH_OK);
        if (value.n != 0) {
            coh_rlp_t reader = coh_rlp_reader(value);
            assert_int_equal(coh_rlp_u256(&reader, &word), COH_OK);
        }
        assert_true(coh_u256_eq(&word, &a->slots[k]));
        coh_proof_free(&proof);
    }
}

static void check_proof(world_t *w, coh_tries_done_t const *done)
{
    assert_true(w->query_open && done->query == w->query);
    w->query_open = false;
    if (done->err == COH_ENOTFOUND) {
        w->lost_proofs++;
        /* Kept is what was committed since the start, as far as the limits go. */
        assert_true(w->query_block < w->started ||
                    w->committed - w->query_block >= w->limits.history_blocks ||
                    w->limits.history_bytes < 100000);
        return;
    }
    assert_int_equal(done->err, COH_OK);
    w->proofs++;
    w->old_proofs += w->query_block < w->committed;
    state_t const *s   = &w->states[root_block(w, w->query_block) % PAST];
    account_t const *a = &s->v[w->query_account];
    coh_roots_t *top   = coh_roots_copy(w->roots);
    for (uint64_t b = w->applied; b > w->query_block; b--) {
        assert_int_equal(coh_roots_revert(top, coh_buf_bytes(&w->roots_undo[b % PAST])), COH_OK);
    }
    coh_hash_t root;
    coh_hash_t should = root_of(s);
    coh_hash_t key;
    coh_addr_t addr = addr_of(w->query_account);
    coh_roots_compute(top, &root);
    assert_memory_equal(root.b, should.b, sizeof(root.b));
    coh_proof_t in_bucket = COH_PROOF_INIT;
    coh_proof_t proof     = COH_PROOF_INIT;
    coh_bytes_t value;
    assert_int_equal(coh_proof_read(&in_bucket, coh_buf_bytes(&done->proof.nodes)), COH_OK);
    coh_keccak256(&key, addr.b, sizeof(addr.b));
    coh_roots_prove(top, &proof, &in_bucket, &key);
    assert_int_equal(coh_proof_verify(&value, &proof, &root, &key), COH_OK);
    bool exists = (a->value.flags & COH_ACCOUNT_EXISTS) != 0;
    assert_int_equal(value.n != 0, exists);
    coh_trie_account_t account = {.storage_root = COH_EMPTY_TRIE_ROOT};
    if (exists) {
        assert_int_equal(coh_trie_account_get(&account, value), COH_OK);
        assert_true(account.nonce == a->value.nonce &&
                    coh_u256_eq(&account.balance, &a->value.word));
        check_slots(a, &done->proof, &account.storage_root);
    }
    coh_proof_free(&in_bucket);
    coh_proof_free(&proof);
    coh_roots_free(top);
}

/* Supposes a block on a recent state. */
static void ask_supposal(world_t *w)
{
    if (w->supposal_open || w->committed - w->started > 20) {
        return;
    }
    changes_t *c      = coh_calloc(1, sizeof(*c));
    uint64_t oldest   = w->committed - COH_MIN(w->committed, UINT64_C(12));
    uint64_t back     = coh_rng_below(&w->rng, w->committed - oldest + 1);
    w->supposed_block = root_block(w, oldest + back);
    w->supposed       = w->states[w->supposed_block % PAST];
    w->supposal_open  = true;
    change(w, &w->supposed, c);
    coh_mv_item_t *items = coh_calloc(c->cnt + 1, sizeof(*items));
    memcpy(items, c->v, c->cnt * sizeof(*items));
    coh_tries_suppose(w->tries, 7, w->supposed_block, items, c->cnt);
    free(c);
}

static void check_supposal(world_t *w, coh_tries_done_t const *done)
{
    assert_true(w->supposal_open && done->query == 7);
    w->supposal_open = false;
    if (done->err == COH_ENOTFOUND) {
        w->lost_supposals++;
        return;
    }
    assert_int_equal(done->err, COH_OK);
    w->supposals++;
    w->old_supposals += w->supposed_block < w->committed;
    coh_roots_t *top = coh_roots_copy(w->roots);
    for (uint64_t b = w->applied; b > w->supposed_block; b--) {
        assert_int_equal(coh_roots_revert(top, coh_buf_bytes(&w->roots_undo[b % PAST])), COH_OK);
    }
    for (size_t i = 0; i < done->node_cnt; i++) {
        coh_roots_put(top, done->nodes[i].bucket, &done->nodes[i].node, NULL);
    }
    coh_hash_t should = root_of(&w->supposed);
    coh_hash_t is;
    coh_roots_compute(top, &is);
    assert_memory_equal(is.b, should.b, sizeof(is.b));
    coh_roots_free(top);
}

static void write_pages(world_t *w)
{
    coh_err_t rc = w->pages.ingest ? w->kv->ops->ingest(w->kv, &w->pages.pages)
                                   : w->kv->ops->write(w->kv, &w->pages.pages, true);
    assert_int_equal(rc, COH_OK);
    coh_tries_done_free(&w->pages);
}

static void on_done(world_t *w, coh_tries_done_t *done)
{
    if (done->err != COH_OK && done->kind != COH_TRIES_PROVED && done->kind != COH_TRIES_SUPPOSED) {
        fail_msg("%.*s", (int)done->text.n, (char const *)done->text.p);
    }
    switch (done->kind) {
    case COH_TRIES_UPDATED:
        assert_int_equal(done->block, w->applied + 1);
        assert_true(has_root(w, done->block));
        w->applied++;
        w->updates++;
        coh_buf_clear(&w->roots_undo[done->block % PAST]);
        put_nodes(w, done, &w->roots_undo[done->block % PAST]);
        expect_root(w, &w->states[done->block % PAST]);
        pass_deferred(w);
        break;
    case COH_TRIES_UNDONE:
        assert_true(w->undoing > 0);
        w->undoing--;
        break;
    case COH_TRIES_TAKEN:
        w->pages = *done;
        *done    = (coh_tries_done_t){0};
        break;
    case COH_TRIES_LOADED: put_nodes(w, done, NULL); break;
    case COH_TRIES_PROVED: check_proof(w, done); break;
    case COH_TRIES_SUPPOSED: check_supposal(w, done); break;
    case COH_TRIES_NODES: {
        coh_roots_t *all = coh_roots_new();
        coh_roots_t *old = w->roots;
        w->roots         = all;
        put_nodes(w, done, NULL);
        expect_root(w, &w->states[COH_MAX(w->caught_up, root_block(w, w->applied)) % PAST]);
        w->roots = old;
        coh_roots_free(all);
        w->nodes_asked = false;
        break;
    }
    }
    coh_tries_done_free(done);
}

static bool poll(world_t *w)
{
    coh_tries_done_t done;
    if (!coh_tries_poll(w->tries, &done)) {
        return false;
    }
    on_done(w, &done);
    return true;
}

/* The flat accounts of a state, as a flush writes them: proofs find generations there. */
static void write_flat(world_t *w, state_t const *s)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        coh_addr_t addr = addr_of(i);
        coh_key_t key   = coh_key_account(&addr);
        coh_store_put_value(&batch, &key, &s->v[i].value);
    }
    assert_int_equal(w->kv->ops->write(w->kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
}

/* Until nothing is under way. */
static void drain(world_t *w)
{
    while (coh_tries_work(w->tries) || poll(w) || coh_tries_work(w->tries)) {
    }
}

/* ---- events ---- */

static void give(world_t *w)
{
    if (w->given - w->committed < 12 && w->undoing == 0) {
        make_block(w, ++w->given);
        changes_t const *c   = &w->log[w->given % PAST];
        coh_mv_item_t *items = coh_calloc(c->cnt, sizeof(*items));
        memcpy(items, c->v, c->cnt * sizeof(*items));
        if (has_root(w, w->given)) {
            coh_tries_update(w->tries, w->given, items, c->cnt, NULL, 0);
        } else {
            coh_tries_defer(w->tries, w->given, items, c->cnt);
            pass_deferred(w);
        }
    }
}

static void commit(world_t *w)
{
    if (w->committed < w->applied) {
        coh_tries_commit(w->tries, ++w->committed);
    }
}

static void abort_some(world_t *w)
{
    if (w->given == w->committed) {
        return;
    }
    uint64_t from = w->committed + 1 + coh_rng_below(&w->rng, w->given - w->committed);
    while (w->applied >= from) {
        coh_err_t rc = coh_roots_revert(w->roots, coh_buf_bytes(&w->roots_undo[w->applied % PAST]));
        assert_int_equal(rc, COH_OK);
        w->applied--;
    }
    w->undoing += coh_tries_abort(w->tries, from);
    w->given = from - 1;
    w->aborts++;
}

static void flush_step(world_t *w)
{
    if (!w->flush_wanted && !w->flush_running &&
        (coh_tries_is_full(w->tries) || coh_rng_percent(&w->rng, 10))) {
        w->waits += coh_tries_is_full(w->tries);
        w->flush_wanted = true;
        coh_tries_hold(w->tries);
    }
    if (w->flush_wanted && coh_tries_is_committed(w->tries)) {
        w->flush_wanted  = false;
        w->flush_running = true;
        w->flush_block   = w->committed;
        w->caught_up     = w->committed;
        coh_tries_take(w->tries);
    } else if (w->flush_running && w->pages.kind == COH_TRIES_TAKEN &&
               coh_rng_percent(&w->rng, 50)) {
        write_pages(w);
        write_flat(w, &w->states[w->flush_block % PAST]);
        coh_tries_written(w->tries);
        w->flush_running = false;
        w->flushed       = w->flush_block;
        w->flushes++;
    }
}

/* The changes of blocks flushed+1..committed, one for each key, as recovery merges them. */
static void load(world_t *w)
{
    coh_mv_item_t *items = coh_calloc(ACCOUNTS * (SLOTS + 2) * PAST, sizeof(*items));
    size_t cnt           = 0;
    for (uint64_t b = w->flushed + 1; b <= w->committed; b++) {
        changes_t const *c = &w->log[b % PAST];
        for (size_t i = 0; i < c->cnt; i++) {
            size_t k = 0;
            while (k < cnt && !coh_key_eq(&items[k].key, &c->v[i].key)) {
                k++;
            }
            bool wiped     = k < cnt && items[k].wiped;
            items[k]       = c->v[i];
            items[k].wiped = items[k].wiped || wiped;
            cnt += k == cnt;
        }
    }
    coh_tries_load(w->tries, items, cnt);
}

static void open_tries(world_t *w)
{
    w->tries = coh_tries_new(w->kv, &w->env, &w->limits, coh_rng_next(&w->rng));
}

static void crash(world_t *w)
{
    if (w->committed - w->flushed > 40) {
        return; /* more than the log holds */
    }
    /* Pages that were under way are there or not. */
    if (w->flush_running && w->pages.kind == COH_TRIES_TAKEN && coh_rng_percent(&w->rng, 50)) {
        write_pages(w);
    }
    coh_tries_done_free(&w->pages);
    coh_tries_free(w->tries);
    w->flush_wanted = w->flush_running = w->nodes_asked = w->query_open = false;
    w->supposal_open                                                    = false;
    w->undoing                                                          = 0;
    w->given = w->applied = w->committed;
    w->started = w->caught_up = w->committed;
    w->crashes++;
    open_tries(w);
    if (coh_rng_percent(&w->rng, 30)) { /* a recovery that was cut off, its pages written or not */
        load(w);
        drain(w);
        coh_tries_take(w->tries);
        drain(w);
        if (coh_rng_percent(&w->rng, 50)) {
            write_pages(w);
        }
        coh_tries_done_free(&w->pages);
        coh_tries_free(w->tries);
        open_tries(w);
    }
    load(w);
    drain(w);
    coh_tries_ask_nodes(w->tries, &w->dir, 0);
    drain(w);
    /* As a start does: nothing of before is left to lay over. */
    coh_tries_take(w->tries);
    drain(w);
    write_pages(w);
    write_flat(w, &w->states[w->committed % PAST]);
    coh_tries_written(w->tries);
    w->flushed = w->committed;
    coh_roots_free(w->roots);
    w->roots = coh_roots_new();
    coh_tries_ask_nodes(w->tries, &w->dir, 0);
    coh_tries_done_t done;
    while (!coh_tries_poll(w->tries, &done)) {
        (void)coh_tries_work(w->tries);
    }
    put_nodes(w, &done, NULL);
    coh_tries_done_free(&done);
    expect_root(w, &w->states[w->committed % PAST]);
    w->started = w->caught_up = w->committed;
    coh_tries_start(w->tries, w->committed);
}

static uint64_t env_us(coh_env_t *env) { return ((world_t *)(void *)env)->now_us++; }
static void env_wake(coh_env_t *env) { (void)env; }

static void live(uint64_t seed, uint32_t steps, world_t *sums)
{
    world_t *w = coh_calloc(1, sizeof(*w));
    w->seed    = seed;
    coh_rng_seed(&w->rng, seed);
    w->env = (coh_env_t){.mono_us = env_us, .wake_workers = env_wake, .wake_node = env_wake};
    w->dir = (coh_directory_t){.epoch = 1, .shard_cnt = 1};
    w->limits.cache_bytes =
        coh_rng_percent(&w->rng, 50) ? 4096 + coh_rng_below(&w->rng, 60000) : 1 << 20;
    w->limits.history_blocks = coh_rng_below(&w->rng, 20);
    w->limits.root_every     = coh_rng_percent(&w->rng, 50) ? 1 : 2 + coh_rng_below(&w->rng, 4);
    w->limits.history_bytes =
        coh_rng_percent(&w->rng, 50) ? 1 << 20 : coh_rng_below(&w->rng, 20000);
    w->roots = coh_roots_new();
    assert_int_equal(coh_kv_mem_open(&w->kv), COH_OK);
    open_tries(w);
    for (uint32_t i = 0; i < steps; i++) {
        uint64_t what = coh_rng_below(&w->rng, 100);
        if (what < 25) {
            give(w);
        } else if (what < 55) {
            (void)coh_tries_work(w->tries);
        } else if (what < 75) {
            (void)poll(w);
        } else if (what < 85) {
            commit(w);
        } else if (what < 87) {
            ask_proof(w);
            ask_supposal(w);
        } else if (what < 95) {
            flush_step(w);
        } else if (what < 98) {
            abort_some(w);
        } else if (what < 99 && !w->nodes_asked) {
            drain(w);
            assert_int_equal(w->undoing, 0);
            coh_tries_ask_nodes(w->tries, &w->dir, 0);
            w->nodes_asked = true;
            drain(w);
        } else if (coh_rng_percent(&w->rng, 30)) {
            crash(w);
        }
    }
    crash(w);
    sums->aborts += w->aborts;
    sums->crashes += w->crashes;
    sums->flushes += w->flushes;
    sums->updates += w->updates;
    sums->waits += w->waits;
    sums->proofs += w->proofs;
    sums->old_proofs += w->old_proofs;
    sums->lost_proofs += w->lost_proofs;
    sums->supposals += w->supposals;
    sums->old_supposals += w->old_supposals;
    sums->lost_supposals += w->lost_supposals;
    coh_tries_free(w->tries);
    coh_tries_done_free(&w->pages);
    coh_roots_free(w->roots);
    for (size_t i = 0; i < PAST; i++) {
        coh_buf_free(&w->roots_undo[i]);
    }
    w->kv->ops->close(w->kv);
    free(w);
}

static void tries_follow_the_model_through_random_lives(void **state)
{
    (void)state;
    uint64_t seed  = coh_test_seed();
    uint32_t lives = getenv("COHORT_TEST_LONG") != NULL ? 2000 : 40;
    world_t *sums  = coh_calloc(1, sizeof(*sums));
    for (uint32_t i = 0; i < lives; i++) {
        live(seed + i, 1500, sums);
    }
    print_message("%u updates, %u aborts, %u flushes (%u because memory was full), %u crashes\n",
                  sums->updates,
                  sums->aborts,
                  sums->flushes,
                  sums->waits,
                  sums->crashes);
    print_message("%u proofs, %u of states before the last; %u states not kept\n",
                  sums->proofs,
                  sums->old_proofs,
                  sums->lost_proofs);
    print_message("%u states supposed, %u on states before the last; %u not kept\n",
                  sums->supposals,
                  sums->old_supposals,
                  sums->lost_supposals);
    assert_true(sums->old_supposals > 0 && sums->lost_supposals > 0);
    assert_true(sums->old_proofs > 0 && sums->lost_proofs > 0);
    assert_true(sums->aborts > 0 && sums->flushes > 0 && sums->waits > 0 && sums->crashes > 0);
    free(sums);
}

typedef struct {
    coh_buf_t key;
    coh_buf_t value;
} page_t;

static bool visit_first(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    page_t *page = arg;
    coh_buf_put(&page->key, key.p, key.n);
    coh_buf_put(&page->value, value.p, value.n);
    return false;
}

/* A page that was damaged on disk: the operator learns which, and what to do. */
static void tries_name_the_place_of_damage(void **state)
{
    (void)state;
    world_t *w = coh_calloc(1, sizeof(*w));
    coh_rng_seed(&w->rng, 1);
    w->env    = (coh_env_t){.mono_us = env_us, .wake_workers = env_wake, .wake_node = env_wake};
    w->limits = (coh_tries_limits_t){.cache_bytes = 1 << 20, .root_every = 1};
    w->roots  = coh_roots_new();
    assert_int_equal(coh_kv_mem_open(&w->kv), COH_OK);
    open_tries(w);
    while (w->log[1].cnt == 0) {
        make_block(w, 1);
    }
    w->committed = 1;
    load(w);
    drain(w);
    coh_tries_take(w->tries);
    drain(w);
    write_pages(w);
    coh_tries_free(w->tries);
    page_t page = {.key = COH_BUF_INIT, .value = COH_BUF_INIT};
    assert_int_equal(
        w->kv->ops->iterate(w->kv, COH_KV_TRIE, coh_bytes(NULL, 0), false, visit_first, &page),
        COH_OK);
    assert_true(page.value.n > 40);
    page.value.p[40] ^= 1;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_kv_batch_put(&batch, COH_KV_TRIE, coh_buf_bytes(&page.key), coh_buf_bytes(&page.value));
    assert_int_equal(w->kv->ops->write(w->kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    open_tries(w);
    coh_tries_ask_nodes(w->tries, &w->dir, 0);
    assert_true(coh_tries_work(w->tries));
    coh_tries_done_t done;
    assert_true(coh_tries_poll(w->tries, &done));
    assert_int_equal(done.err, COH_ECORRUPT);
    char place[2 * COH_MPT_ID_MAX + 1];
    coh_hex_encode(place, page.key.p, 3); /* the bucket's trie */
    coh_buf_put_u8(&done.text, 0);
    assert_non_null(strstr((char const *)done.text.p, place));
    assert_non_null(strstr((char const *)done.text.p, "restore"));
    coh_tries_done_free(&done);
    coh_buf_free(&page.key);
    coh_buf_free(&page.value);
    coh_tries_free(w->tries);
    coh_roots_free(w->roots);
    w->kv->ops->close(w->kv);
    free(w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(tries_name_the_place_of_damage),
        cmocka_unit_test(tries_follow_the_model_through_random_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
