#include "common/chain/world.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/kv/kv.h"
#include "common/trie/account.h"
#include "common/trie/mpt.h"
#include "common/trie/roots.h"
#include "common/trie/state_root.h"

/* The tries stay in memory as a whole: nothing of them is ever flushed. */
#define CACHE_BYTES ((size_t)1 << 20)

/* A key that changed. Of a slot the generation is that of the change. */
typedef struct {
    coh_addr_t addr;
    bool is_slot;
    uint32_t generation;
    coh_u256_t slot;
} change_t;

struct coh_world {
    coh_memview_t *mv;
    coh_fork_t fork; /* that code is analysed for */
    coh_world_roots_t kind;
    bool indexed; /* all that was filled in is among the changes */
    coh_kv_t *kv; /* these: INCREMENTAL only */
    coh_mpt_t *mpt;
    coh_roots_t *roots;
    uint64_t round; /* of updates */
    change_t *changes;
    size_t cnt, cap;
    size_t done;       /* changes that the tries know */
    coh_arena_t arena; /* of one coh_world_root */
};

coh_world_t *coh_world_new(coh_fork_t fork, coh_world_roots_t roots)
{
    coh_world_t *w = coh_calloc(1, sizeof(*w));
    w->mv          = coh_memview_new(&coh_code_coder, fork);
    w->fork        = fork;
    w->kind        = roots;
    if (roots == COH_WORLD_INCREMENTAL) {
        coh_err_t err = coh_kv_mem_open(&w->kv);
        COH_ASSERT(err == COH_OK);
        w->mpt   = coh_mpt_new(&(coh_mpt_config_t){.kv              = w->kv,
                                                   .table           = COH_KV_TRIE,
                                                   .cache_bytes     = CACHE_BYTES,
                                                   .dirty_bytes_max = SIZE_MAX});
        w->roots = coh_roots_new();
    }
    return w;
}

void coh_world_free(coh_world_t *w)
{
    if (w == NULL) {
        return;
    }
    if (w->kind == COH_WORLD_INCREMENTAL) {
        coh_mpt_free(w->mpt);
        w->kv->ops->close(w->kv);
        coh_roots_free(w->roots);
    }
    coh_memview_free(w->mv);
    coh_arena_free(&w->arena);
    free(w->changes);
    free(w);
}

coh_memview_t *coh_world_state(coh_world_t *w) { return w->mv; }

static void note(coh_world_t *w, change_t change)
{
    if (w->cnt == w->cap) {
        w->cap     = w->cap == 0 ? 256 : w->cap * 2;
        w->changes = coh_realloc(w->changes, w->cap * sizeof(*w->changes));
    }
    w->changes[w->cnt++] = change;
}

typedef struct {
    coh_world_t *world;
    coh_addr_t addr;
    uint32_t generation;
} filled_t;

static void note_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    (void)value;
    filled_t *filled = arg;
    note(filled->world,
         (change_t){.addr       = filled->addr,
                    .is_slot    = true,
                    .generation = filled->generation,
                    .slot       = *slot});
}

static void note_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    filled_t *filled   = arg;
    filled->addr       = *addr;
    filled->generation = value->generation;
    note(filled->world, (change_t){.addr = *addr});
    coh_memview_slots(filled->world->mv, addr, note_slot, filled);
}

/* Notes all that was filled in. */
static void take_index(coh_world_t *w)
{
    if (w->kind == COH_WORLD_INCREMENTAL && !w->indexed) {
        w->indexed      = true;
        filled_t filled = {.world = w};
        coh_memview_accounts(w->mv, note_account, &filled);
    }
}

void coh_world_begin(coh_world_t *w, coh_fork_t fork)
{
    if (fork != w->fork) {
        w->fork = fork;
        coh_memview_set_fork(w->mv, fork);
    }
    take_index(w);
    if (w->done != w->cnt) { /* so that the changes are this block's from here on */
        coh_hash_t root;
        coh_world_root(w, &root);
    }
    w->cnt  = 0;
    w->done = 0;
    coh_memview_save(w->mv);
}

void coh_world_apply(coh_world_t *w, coh_outcome_t const *outcome)
{
    coh_memview_apply(w->mv, outcome);
    if (w->kind == COH_WORLD_REBUILD) {
        return;
    }
    for (uint32_t i = 0; i < outcome->write_cnt; i++) {
        coh_key_t const *key = &outcome->writes[i].key;
        note(w,
             (change_t){.addr       = key->addr,
                        .is_slot    = key->kind == COH_KEY_SLOT,
                        .generation = (uint32_t)key->generation,
                        .slot       = key->slot});
    }
}

void coh_world_undo(coh_world_t *w)
{
    coh_memview_restore(w->mv);
    w->done = 0; /* the tries may know some: they get the old values again */
}

/* ---- The incremental root -------------------------------------------------------------------------------------------------------- */

static int compare_changes(void const *a, void const *b)
{
    change_t const *x = a;
    change_t const *y = b;
    int order         = memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
    if (order == 0 && x->is_slot != y->is_slot) {
        order = x->is_slot ? 1 : -1;
    }
    if (order == 0 && x->generation != y->generation) {
        order = x->generation < y->generation ? -1 : 1;
    }
    if (order == 0 && !coh_u256_eq(&x->slot, &y->slot)) {
        order = coh_u256_lt(&x->slot, &y->slot) ? -1 : 1;
    }
    return order;
}

static int compare_keys(void const *a, void const *b)
{
    coh_mpt_change_t const *x = a;
    coh_mpt_change_t const *y = b;
    return memcmp(x->key.b, y->key.b, sizeof(x->key.b));
}

/* An account among the changes. */
typedef struct {
    coh_addr_t addr;
    coh_hash_t hash;
    coh_value_t value;
    size_t job; /* of its present storage */
} touched_t;

typedef struct {
    coh_world_t *world;
    touched_t *accounts;
    size_t account_cnt;
    coh_mpt_job_t *jobs;
    size_t job_cnt;
} round_t;

static coh_bytes_t copy(coh_world_t *w, coh_buf_t const *buf)
{
    uint8_t *p = coh_arena_alloc(&w->arena, buf->n);
    memcpy(p, buf->p, buf->n);
    return coh_bytes(p, buf->n);
}

/* The changes lo..hi of one storage become a job. The present one gets the present values; one of a later generation, which an undo has left, is
   emptied; an earlier one does not matter. */
static void add_storage(round_t *r, touched_t *account, size_t lo, size_t hi)
{
    coh_world_t *w          = r->world;
    uint32_t generation     = w->changes[lo].generation;
    uint32_t present        = account->value.generation;
    coh_mpt_change_t *pairs = coh_arena_alloc(&w->arena, (hi - lo) * sizeof(*pairs));
    coh_buf_t rlp           = COH_BUF_INIT;
    size_t cnt              = 0;
    if (generation < present) {
        return;
    }
    for (size_t i = lo; i < hi; i++) {
        coh_u256_t const *slot = &w->changes[i].slot;
        coh_u256_t value       = COH_U256_ZERO;
        uint8_t word[32];
        if (i > lo && coh_u256_eq(slot, &w->changes[i - 1].slot)) {
            continue;
        }
        if (generation == present) {
            value = coh_memview_slot(w->mv, &account->addr, slot);
        }
        coh_mpt_change_t *pair = &pairs[cnt++];
        pair->value            = (coh_bytes_t){0};
        coh_u256_to_be(word, slot);
        coh_keccak256(&pair->key, word, sizeof(word));
        if (!coh_u256_is_zero(&value)) {
            coh_buf_clear(&rlp);
            coh_rlp_put_u256(&rlp, &value);
            pair->value = copy(w, &rlp);
        }
    }
    coh_buf_free(&rlp);
    qsort(pairs, cnt, sizeof(*pairs), compare_keys);
    size_t job   = generation == present ? account->job : r->job_cnt++;
    r->jobs[job] = (coh_mpt_job_t){
        .id = coh_mpt_id_storage(&account->hash, generation), .changes = pairs, .cnt = cnt};
}

static void add_account(round_t *r, size_t lo, size_t hi)
{
    coh_world_t *w     = r->world;
    touched_t *account = &r->accounts[r->account_cnt++];
    account->addr      = w->changes[lo].addr;
    account->value     = coh_memview_account(w->mv, &account->addr);
    account->job       = r->job_cnt++;
    coh_keccak256(&account->hash, account->addr.b, sizeof(account->addr.b));
    r->jobs[account->job] =
        (coh_mpt_job_t){.id = coh_mpt_id_storage(&account->hash, account->value.generation)};
    for (size_t i = lo; i < hi;) {
        size_t end = i + 1;
        while (end < hi && w->changes[end].is_slot == w->changes[i].is_slot &&
               w->changes[end].generation == w->changes[i].generation) {
            end++;
        }
        if (w->changes[i].is_slot) {
            add_storage(r, account, i, end);
        }
        i = end;
    }
}

static void run_jobs(round_t *r)
{
    coh_world_t *w = r->world;
    coh_err_t err  = coh_mpt_update(w->mpt, w->round, r->jobs, r->job_cnt, NULL);
    COH_ASSERT(err == COH_OK); /* it is all in memory */
}

/* The leaves of the accounts, whose storage is up to date. */
static coh_mpt_change_t *make_leaves(round_t *r)
{
    coh_world_t *w           = r->world;
    coh_mpt_change_t *leaves = coh_arena_alloc(&w->arena, (r->account_cnt + 1) * sizeof(*leaves));
    coh_buf_t rlp            = COH_BUF_INIT;
    for (size_t i = 0; i < r->account_cnt; i++) {
        touched_t const *account = &r->accounts[i];
        leaves[i]                = (coh_mpt_change_t){.key = account->hash};
        if ((account->value.flags & COH_ACCOUNT_EXISTS) == 0) {
            continue;
        }
        coh_value_t const *v    = &account->value;
        coh_trie_account_t leaf = {.nonce   = v->nonce,
                                   .balance = v->word,
                                   .code_hash =
                                       coh_value_has_code(v) ? v->code_hash : COH_KECCAK_EMPTY};
        coh_node_root(&leaf.storage_root, &r->jobs[account->job].node);
        coh_buf_clear(&rlp);
        coh_trie_account_put(&rlp, &leaf);
        leaves[i].value = copy(w, &rlp);
    }
    coh_buf_free(&rlp);
    qsort(leaves, r->account_cnt, sizeof(*leaves), compare_keys);
    return leaves;
}

static uint32_t bucket_of(coh_hash_t const *key)
{
    return (uint32_t)key->b[0] << 4 | key->b[1] >> 4;
}

static void update_buckets(round_t *r)
{
    coh_mpt_change_t *leaves = make_leaves(r);
    r->job_cnt               = 0;
    for (size_t i = 0; i < r->account_cnt;) {
        uint32_t bucket = bucket_of(&leaves[i].key);
        size_t end      = i + 1;
        while (end < r->account_cnt && bucket_of(&leaves[end].key) == bucket) {
            end++;
        }
        r->jobs[r->job_cnt++] =
            (coh_mpt_job_t){.id = coh_mpt_id_bucket(bucket), .changes = &leaves[i], .cnt = end - i};
        i = end;
    }
    run_jobs(r);
    for (size_t i = 0; i < r->job_cnt; i++) {
        uint32_t bucket = bucket_of(&r->jobs[i].changes[0].key);
        coh_roots_put(r->world->roots, bucket, &r->jobs[i].node, NULL);
    }
}

static void update(coh_world_t *w)
{
    change_t *changes = w->changes + w->done;
    size_t cnt        = w->cnt - w->done;
    qsort(changes, cnt, sizeof(*changes), compare_changes);
    w->round++;
    round_t r  = {.world = w};
    r.accounts = coh_arena_alloc(&w->arena, cnt * sizeof(*r.accounts));
    r.jobs     = coh_arena_alloc(&w->arena, 2 * cnt * sizeof(*r.jobs));
    for (size_t i = w->done; i < w->cnt;) {
        size_t end = i + 1;
        while (end < w->cnt && coh_addr_eq(&w->changes[end].addr, &w->changes[i].addr)) {
            end++;
        }
        add_account(&r, i, end);
        i = end;
    }
    run_jobs(&r);
    update_buckets(&r);
    w->done = w->cnt;
    coh_arena_reset(&w->arena, COH_ARENA_CHUNK_SZ);
}

void coh_world_root(coh_world_t *w, coh_hash_t *out)
{
    if (w->kind == COH_WORLD_REBUILD) {
        coh_state_root(out, w->mv);
        return;
    }
    take_index(w);
    if (w->done != w->cnt) {
        update(w);
    }
    coh_roots_compute(w->roots, out);
}
