#include "deploy/cohort/realblock_state.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/chain/execute.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/trie/account.h"
#include "common/trie/root.h"
#include "common/trie/state_root.h"

/* ---- The state after a block -------------------------------------------------------------------------------------------------- */

void coh_realstate_free(coh_realstate_t *state)
{
    free(state->accounts);
    free(state->slots);
    *state = (coh_realstate_t){0};
}

void coh_realstate_add_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    coh_realstate_t *s = arg;
    if (s->account_cnt == s->account_cap) {
        s->account_cap = s->account_cap == 0 ? 256 : 2 * s->account_cap;
        s->accounts    = coh_realloc(s->accounts, s->account_cap * sizeof(*s->accounts));
    }
    s->accounts[s->account_cnt++] = (coh_realstate_account_t){.addr = *addr, .value = *value};
}

void coh_realstate_add_slot(void *arg,
                            coh_addr_t const *addr,
                            coh_u256_t const *slot,
                            coh_u256_t const *value)
{
    coh_realstate_t *s = arg;
    if (s->slot_cnt == s->slot_cap) {
        s->slot_cap = s->slot_cap == 0 ? 256 : 2 * s->slot_cap;
        s->slots    = coh_realloc(s->slots, s->slot_cap * sizeof(*s->slots));
    }
    s->slots[s->slot_cnt++] = (coh_realstate_slot_t){.addr = *addr, .slot = *slot, .value = *value};
}

static int compare_words(coh_u256_t const *x, coh_u256_t const *y)
{
    return coh_u256_lt(x, y) ? -1 : coh_u256_lt(y, x);
}

static int compare_accounts(void const *a, void const *b)
{
    coh_realstate_account_t const *x = a;
    coh_realstate_account_t const *y = b;
    return memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
}

static int compare_slots(void const *a, void const *b)
{
    coh_realstate_slot_t const *x = a;
    coh_realstate_slot_t const *y = b;
    int order                     = memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));
    return order != 0 ? order : compare_words(&x->slot, &y->slot);
}

static void sort(coh_realstate_t *s)
{
    if (s->account_cnt != 0) {
        qsort(s->accounts, s->account_cnt, sizeof(*s->accounts), compare_accounts);
    }
    if (s->slot_cnt != 0) {
        qsort(s->slots, s->slot_cnt, sizeof(*s->slots), compare_slots);
    }
}

/* ---- Roots from a witness ----------------------------------------------------------------------------------------------------- */

coh_witness_t *coh_realblock_witness(coh_realblock_t const *block)
{
    coh_witness_t *w = coh_witness_new();
    for (size_t i = 0; i < block->node_cnt; i++) {
        coh_witness_add(w, block->nodes[i]);
    }
    for (size_t i = 0; i < block->branch_hint_cnt; i++) {
        coh_witness_hint_branch(w, &block->branch_hints[i]);
    }
    return w;
}

/* Changes of one trie whose values are written to text, which may move: until they are used, each value's p is its place in there. */
typedef struct {
    coh_mpt_change_t *v; /* owned */
    size_t cnt, cap;
    size_t *starts; /* owned */
    coh_buf_t text;
} changes_t;

typedef struct {
    coh_witness_t *witness;
    coh_realblock_t const *block;
    coh_realstate_t const *after;
    size_t slot_at; /* of after's, those not looked at yet */
    changes_t accounts;
    changes_t slots; /* of one account */
    coh_buf_t *err_text;
} walk_t;

static void add_change(changes_t *c, coh_hash_t const *key, size_t start)
{
    if (c->cnt == c->cap) {
        c->cap    = c->cap == 0 ? 64 : 2 * c->cap;
        c->v      = coh_realloc(c->v, c->cap * sizeof(*c->v));
        c->starts = coh_realloc(c->starts, c->cap * sizeof(*c->starts));
    }
    c->starts[c->cnt] = start;
    c->v[c->cnt++]    = (coh_mpt_change_t){.key = *key};
}

static int compare_changes(void const *a, void const *b)
{
    coh_mpt_change_t const *x = a;
    coh_mpt_change_t const *y = b;
    return memcmp(x->key.b, y->key.b, sizeof(x->key.b));
}

/* Applies and forgets them. */
static coh_err_t apply(changes_t *c, coh_witness_t *witness, coh_hash_t *root)
{
    for (size_t i = 0; i < c->cnt; i++) {
        size_t end    = i + 1 < c->cnt ? c->starts[i + 1] : c->text.n;
        c->v[i].value = coh_bytes(c->text.p + c->starts[i], end - c->starts[i]);
    }
    if (c->cnt != 0) {
        qsort(c->v, c->cnt, sizeof(*c->v), compare_changes);
    }
    coh_err_t err = coh_witness_update(witness, root, c->v, c->cnt);
    c->cnt        = 0;
    coh_buf_clear(&c->text);
    return err;
}

static void free_changes(changes_t *c)
{
    free(c->v);
    free(c->starts);
    coh_buf_free(&c->text);
}

static coh_err_t fail(walk_t *w, coh_err_t err, coh_addr_t const *addr, char const *what)
{
    char hex[41];
    coh_hex_encode(hex, addr->b, sizeof(addr->b));
    coh_buf_printf(w->err_text, "account 0x%s: %s", hex, what);
    return err;
}

/* One slot, before and after; of a storage that was wiped, before is what is left of it, nothing. */
static coh_err_t change_slot(walk_t *w,
                             coh_addr_t const *addr,
                             coh_hash_t const *old_root,
                             coh_u256_t const *slot,
                             coh_u256_t const *before,
                             coh_u256_t const *now)
{
    uint8_t text[32];
    coh_hash_t key;
    coh_bytes_t found;
    coh_buf_t recorded = COH_BUF_INIT;
    if (coh_u256_eq(before, now)) {
        return COH_OK;
    }
    coh_u256_to_be(text, slot);
    coh_keccak256(&key, text, sizeof(text));
    if (coh_witness_get(w->witness, &found, old_root, &key) != COH_OK) {
        return fail(w, COH_ENOTFOUND, addr, "a changed slot is not in the witness");
    }
    if (!coh_u256_is_zero(before)) {
        coh_rlp_put_u256(&recorded, before);
    }
    bool same = coh_bytes_eq(found, coh_buf_bytes(&recorded));
    coh_buf_free(&recorded);
    if (!same) {
        return fail(w, COH_EINVAL, addr, "a slot was recorded otherwise than the witness has it");
    }
    size_t start = w->slots.text.n;
    if (!coh_u256_is_zero(now)) {
        coh_rlp_put_u256(&w->slots.text, now);
    }
    add_change(&w->slots, &key, start);
    return COH_OK;
}

/* The slots of addr, before (sorted by the loader) and after, side by side. */
static coh_err_t change_slots(walk_t *w,
                              coh_addr_t const *addr,
                              coh_hash_t const *old_root,
                              coh_genesis_slot_t const *before,
                              size_t before_cnt)
{
    coh_realstate_t const *after = w->after;
    size_t b                     = 0;
    for (;;) {
        bool has_now =
            w->slot_at < after->slot_cnt && coh_addr_eq(&after->slots[w->slot_at].addr, addr);
        coh_realstate_slot_t const *now = has_now ? &after->slots[w->slot_at] : NULL;
        if (b == before_cnt && !has_now) {
            return COH_OK;
        }
        int order = b == before_cnt ? 1 : !has_now ? -1 : compare_words(&before[b].key, &now->slot);
        COH_TRY(change_slot(w,
                            addr,
                            old_root,
                            order <= 0 ? &before[b].key : &now->slot,
                            order <= 0 ? &before[b].value : &COH_U256_ZERO,
                            order >= 0 ? &now->value : &COH_U256_ZERO));
        b += order <= 0;
        w->slot_at += order >= 0;
    }
}

static bool is_changed(coh_genesis_account_t const *before, coh_value_t const *now)
{
    if (before == NULL || now == NULL) {
        return true;
    }
    coh_hash_t code_hash = {{0}};
    if (before->code.n != 0) {
        coh_keccak256(&code_hash, before->code.p, before->code.n);
    }
    return before->nonce != now->nonce || !coh_u256_eq(&before->balance, &now->word) ||
           !coh_hash_eq(&code_hash, &now->code_hash) || now->generation != 0;
}

/* An account's leaf before the block, against what was recorded of it. */
static coh_err_t read_leaf(walk_t *w,
                           coh_trie_account_t *leaf,
                           coh_addr_t const *addr,
                           coh_hash_t const *key,
                           coh_genesis_account_t const *before)
{
    coh_bytes_t found;
    *leaf =
        (coh_trie_account_t){.storage_root = COH_EMPTY_TRIE_ROOT, .code_hash = COH_KECCAK_EMPTY};
    if (coh_witness_get(w->witness, &found, &w->block->parent_root, key) != COH_OK) {
        return fail(w, COH_ENOTFOUND, addr, "it changes, and its leaf is not in the witness");
    }
    bool same = (found.n != 0) == (before != NULL);
    if (same && before != NULL) {
        coh_hash_t code_hash;
        coh_keccak256(&code_hash, before->code.p, before->code.n);
        same = coh_trie_account_get(leaf, found) == COH_OK && leaf->nonce == before->nonce &&
               coh_u256_eq(&leaf->balance, &before->balance) &&
               (before->code.n == 0 || coh_hash_eq(&leaf->code_hash, &code_hash));
    }
    return same ? COH_OK
                : fail(w, COH_EINVAL, addr, "it was recorded otherwise than the witness has it");
}

/* before, now: NULL if it does not exist. */
static coh_err_t change_account(walk_t *w,
                                coh_addr_t const *addr,
                                coh_genesis_account_t const *before,
                                coh_value_t const *now)
{
    coh_hash_t key;
    coh_trie_account_t leaf = {.storage_root = COH_EMPTY_TRIE_ROOT};
    bool changed            = is_changed(before, now);
    bool has_leaf           = false;
    coh_keccak256(&key, addr->b, sizeof(addr->b));
    bool is_wiped = before == NULL || (now != NULL && now->generation != 0);
    if (!changed) { /* but perhaps its slots; the leaf of one that is only read may be missing */
        coh_bytes_t found;
        has_leaf = coh_witness_get(w->witness, &found, &w->block->parent_root, &key) == COH_OK &&
                   coh_trie_account_get(&leaf, found) == COH_OK;
    } else {
        COH_TRY(read_leaf(w, &leaf, addr, &key, before));
        has_leaf = true;
    }
    if (now == NULL) {
        add_change(&w->accounts, &key, w->accounts.text.n);
        return COH_OK;
    }
    if (is_wiped) {
        leaf.storage_root = COH_EMPTY_TRIE_ROOT;
    }
    COH_TRY(change_slots(w,
                         addr,
                         &leaf.storage_root,
                         is_wiped ? NULL : before->slots,
                         is_wiped ? 0 : before->slot_cnt));
    if (!changed && w->slots.cnt == 0) {
        return COH_OK;
    }
    if (!has_leaf) {
        return fail(w, COH_ENOTFOUND, addr, "its slots change, and its leaf is not in the witness");
    }
    if (!changed) {
        COH_TRY(read_leaf(w, &leaf, addr, &key, before));
    }
    if (apply(&w->slots, w->witness, &leaf.storage_root) != COH_OK) {
        return fail(w, COH_ENOTFOUND, addr, "a node of its storage is not in the witness");
    }
    leaf.nonce   = now->nonce;
    leaf.balance = now->word;
    if (coh_value_has_code(now)) {
        leaf.code_hash = now->code_hash;
    } else if (is_wiped || before->code.n != 0) {
        leaf.code_hash = COH_KECCAK_EMPTY;
    } /* else it has none, or one that was not recorded because it does not run */
    size_t start = w->accounts.text.n;
    coh_trie_account_put(&w->accounts.text, &leaf);
    add_change(&w->accounts, &key, start);
    return COH_OK;
}

static coh_err_t walk(walk_t *w)
{
    coh_realblock_t const *block = w->block;
    coh_realstate_t const *after = w->after;
    size_t b                     = 0;
    size_t a                     = 0;
    while (b < block->account_cnt || a < after->account_cnt) {
        coh_genesis_account_t const *before = &block->accounts[b];
        coh_realstate_account_t const *now  = &after->accounts[a];
        int order                           = b == block->account_cnt   ? 1
                                              : a == after->account_cnt ? -1
                                                                        : memcmp(before->addr.b, now->addr.b, 20);
        coh_err_t err                       = change_account(w,
                                       order <= 0 ? &before->addr : &now->addr,
                                       order <= 0 ? before : NULL,
                                       order >= 0 ? &now->value : NULL);
        COH_TRY(err);
        b += order <= 0;
        a += order >= 0;
    }
    if (w->slot_at != after->slot_cnt) {
        return fail(
            w, COH_EINVAL, &after->slots[w->slot_at].addr, "it has slots and does not exist");
    }
    return COH_OK;
}

coh_err_t coh_realblock_state_root(coh_hash_t *out,
                                   coh_witness_t *witness,
                                   coh_realblock_t const *block,
                                   coh_realstate_t *after,
                                   coh_buf_t *err_text)
{
    sort(after);
    walk_t w      = {.witness = witness, .block = block, .after = after, .err_text = err_text};
    *out          = block->parent_root;
    coh_err_t err = walk(&w);
    if (err == COH_OK) {
        err = apply(&w.accounts, witness, out);
        if (err != COH_OK) {
            coh_buf_printf(err_text, "a node of the account trie is not in the witness");
        }
    }
    free_changes(&w.accounts);
    free_changes(&w.slots);
    return err;
}

/* ---- The reference ------------------------------------------------------------------------------------------------------------ */

typedef struct {
    coh_realblock_t const *block;
    coh_realblock_reference_t *out;
    coh_witness_t *witness;
    coh_memview_t *mv; /* the state after each transition */
    coh_err_t err;
    coh_buf_t *err_text;
} watch_t;

typedef struct {
    coh_realstate_t *to;
    coh_memview_t const *from;
    coh_addr_t addr;
} copy_t;

static void copy_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    copy_t *c = arg;
    coh_realstate_add_slot(c->to, &c->addr, slot, value);
}

static void copy_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    copy_t *c = arg;
    c->addr   = *addr;
    coh_realstate_add_account(c->to, addr, value);
    coh_memview_slots(c->from, addr, copy_slot, c);
}

static void on_transition(void *arg,
                          uint32_t at,
                          coh_outcome_t const *outcome,
                          coh_state_t const *state)
{
    watch_t *w = arg;
    (void)state;
    coh_memview_apply(w->mv, outcome);
    if (at == 0 || at > w->block->tx_cnt || w->err != COH_OK) {
        return;
    }
    coh_realstate_t after = {0};
    copy_t copy           = {.to = &after, .from = w->mv};
    coh_memview_accounts(w->mv, copy_account, &copy);
    coh_state_root(&w->out->part_roots[at - 1], w->mv);
    w->err = coh_realblock_state_root(
        &w->out->whole_roots[at - 1], w->witness, w->block, &after, w->err_text);
    coh_realstate_free(&after);
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    coh_realblock_t const *block = arg;
    uint64_t back                = block->number - number;
    *out                         = COH_U256_ZERO;
    if (back >= 1 && back <= COH_CNT(block->ancestors)) {
        coh_hash_t const *hash = &block->ancestors[COH_CNT(block->ancestors) - back];
        *out                   = coh_u256_from_be(hash->b, sizeof(hash->b));
    }
}

coh_err_t coh_realblock_reference_run(coh_realblock_reference_t *out,
                                      coh_realblock_t const *block,
                                      coh_realblock_whole_t const *whole,
                                      coh_buf_t *err_text)
{
    *out              = (coh_realblock_reference_t){0};
    coh_world_t *w    = coh_world_new(block->fork, COH_WORLD_INCREMENTAL);
    coh_execute_t *ex = coh_execute_new();
    watch_t watch     = {.block = block, .out = out, .err_text = err_text};
    coh_memview_put_alloc(coh_world_state(w), block->accounts, block->account_cnt);
    coh_memview_set_block_hash(coh_world_state(w), block_hash, (void *)(uintptr_t)block);
    if (block->has_witness && block->fork < COH_FORK_BYZANTIUM) {
        out->part_roots  = coh_calloc(block->tx_cnt + 1, sizeof(*out->part_roots));
        out->whole_roots = coh_calloc(block->tx_cnt + 1, sizeof(*out->whole_roots));
        watch.witness    = coh_realblock_witness(block);
        watch.mv         = coh_memview_new(&coh_code_coder, block->fork);
        coh_memview_put_alloc(watch.mv, block->accounts, block->account_cnt);
        coh_execute_set_watch(ex, on_transition, &watch);
    }
    coh_block_fault_t const *fault = coh_execute_unchecked(ex, w, &whole->block, &whole->rules);
    if (fault != NULL) {
        coh_block_fault_put(err_text, fault);
        watch.err = COH_EINVAL;
    } else {
        out->sums = coh_execute_result(ex)->sums;
    }
    if (watch.mv != NULL) {
        coh_memview_free(watch.mv);
        coh_witness_free(watch.witness);
    }
    coh_execute_free(ex);
    coh_world_free(w);
    return watch.err;
}

void coh_realblock_reference_free(coh_realblock_reference_t *reference)
{
    free(reference->part_roots);
    free(reference->whole_roots);
    *reference = (coh_realblock_reference_t){0};
}

coh_err_t coh_realblock_receipts_root(coh_hash_t *out,
                                      coh_realblock_t const *block,
                                      coh_sealed_t const *sealed,
                                      coh_realblock_reference_t const *reference,
                                      coh_buf_t *err_text)
{
    uint32_t cnt = sealed->tx_cnt;
    for (uint32_t i = 0; i < cnt; i++) {
        if (!coh_hash_eq(&sealed->roots[i], &reference->part_roots[i])) {
            coh_buf_printf(err_text, "another state root after transaction %u", i);
            return COH_EINVAL;
        }
    }
    size_t *ends        = coh_calloc((size_t)cnt + 1, sizeof(*ends));
    coh_bytes_t *values = coh_calloc((size_t)cnt + 1, sizeof(*values));
    coh_buf_t text      = COH_BUF_INIT;
    uint64_t gas        = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        gas += sealed->receipts[i].gas_used;
        coh_receipt_t receipt = {.type           = block->txs[i].type,
                                 .has_root       = true,
                                 .root           = reference->whole_roots[i],
                                 .cumulative_gas = gas,
                                 .logs           = coh_sealed_logs(sealed, i)};
        (void)coh_bloom_add_logs(receipt.bloom, receipt.logs); /* lists: checked when they came */
        coh_receipt_put(&text, &receipt);
        ends[i] = text.n;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        size_t start = i == 0 ? 0 : ends[i - 1];
        values[i]    = coh_bytes(text.p + start, ends[i] - start);
    }
    coh_root_list(out, values, cnt);
    coh_buf_free(&text);
    free(values);
    free(ends);
    return COH_OK;
}
