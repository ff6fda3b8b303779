#include "deploy/cohort/realblock_chain.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"

/* A set of accounts and slots (of all generations). */
typedef struct {
    coh_key_t *v; /* owned */
    size_t cnt, cap;
} keys_t;

typedef struct {
    coh_view_t
        view; /* first, so that it can be cast back: that of state, and seen remembers the keys */
    coh_memview_t *state;
    coh_transition_t *transition;
    keys_t seen;                     /* recorded for, read or written by the blocks so far */
    coh_genesis_account_t *accounts; /* owned, with their slots; at the start; codes are borrowed */
    size_t account_cnt, account_cap;
    coh_realblock_t const *block; /* that is executed, with env */
    coh_block_env_t env;
    coh_realblock_t const *blocks;
    char const *const *names;
    coh_realblock_chain_t *out;
    coh_buf_t *err_text;
} join_t;

/* ---- Keys --------------------------------------------------------------------------------------------------------------------- */

static int compare_keys(void const *a, void const *b) { return memcmp(a, b, sizeof(coh_key_t)); }

/* Sorts them, each once. */
static void tidy(keys_t *keys)
{
    size_t kept = 0;
    if (keys->cnt != 0) {
        qsort(keys->v, keys->cnt, sizeof(*keys->v), compare_keys);
    }
    for (size_t i = 0; i < keys->cnt; i++) {
        if (kept == 0 || !coh_key_eq(&keys->v[kept - 1], &keys->v[i])) {
            keys->v[kept++] = keys->v[i];
        }
    }
    keys->cnt = kept;
}

static void add_key(keys_t *keys, coh_key_t key)
{
    if (keys->cnt == keys->cap) {
        tidy(keys);
        if (keys->cnt >= keys->cap / 2) {
            keys->cap = COH_MAX((size_t)4096, 2 * keys->cap);
            keys->v   = coh_realloc(keys->v, keys->cap * sizeof(*keys->v));
        }
    }
    key.generation       = 0;
    keys->v[keys->cnt++] = key;
}

/* Of tidy ones. */
static bool has_key(keys_t const *keys, coh_key_t const *key)
{
    return keys->cnt != 0 &&
           bsearch(key, keys->v, keys->cnt, sizeof(*keys->v), compare_keys) != NULL;
}

static void see(join_t *j, coh_key_t const *key)
{
    if (key->kind != COH_KEY_CODE) {
        add_key(&j->seen, *key);
    }
}

static coh_view_status_t read_key(coh_view_t *view,
                                  coh_value_t *out,
                                  coh_key_t const *key,
                                  uint32_t fields,
                                  coh_u256_t const *bound)
{
    join_t *j = (join_t *)view;
    if (key->kind == COH_KEY_BLOCK_HASH) {
        uint64_t back = j->env.number - key->slot.w[0];
        *out          = (coh_value_t){0};
        if (back >= 1 && back <= COH_CNT(j->block->ancestors)) {
            coh_hash_t const *hash = &j->block->ancestors[COH_CNT(j->block->ancestors) - back];
            out->word              = coh_u256_from_be(hash->b, sizeof(hash->b));
        }
        return COH_VIEW_OK;
    }
    see(j, key);
    coh_view_t *state = coh_memview_view(j->state);
    return state->read(state, out, key, fields, bound);
}

static coh_view_status_t read_code(coh_view_t *view,
                                   coh_code_t const **out,
                                   coh_addr_t const *addr,
                                   coh_hash_t const *hash)
{
    coh_view_t *state = coh_memview_view(((join_t *)view)->state);
    return state->code(state, out, addr, hash);
}

/* ---- The state at the start --------------------------------------------------------------------------------------------------- */

static void add_account(join_t *j, coh_genesis_account_t const *from)
{
    if (j->account_cnt == j->account_cap) {
        j->account_cap = COH_MAX((size_t)256, 2 * j->account_cap);
        j->accounts    = coh_realloc(j->accounts, j->account_cap * sizeof(*j->accounts));
    }
    j->accounts[j->account_cnt++] = (coh_genesis_account_t){
        .addr = from->addr, .nonce = from->nonce, .balance = from->balance, .code = from->code};
    coh_memview_put_account(j->state, &from->addr, from->nonce, &from->balance, from->code);
}

/* Adds those slots of from, an account of a recording, that are new. to: the same account at the start. Of one whose storage was wiped, or that is gone, they do not matter any more. */
static void add_slots(join_t *j, coh_genesis_account_t *to, coh_genesis_account_t const *from)
{
    coh_value_t now = coh_memview_account(j->state, &from->addr);
    if (from->slot_cnt == 0 || now.generation != 0 || (now.flags & COH_ACCOUNT_EXISTS) == 0) {
        return;
    }
    to->slots = coh_realloc(to->slots, (to->slot_cnt + from->slot_cnt) * sizeof(*to->slots));
    for (size_t i = 0; i < from->slot_cnt; i++) {
        coh_genesis_slot_t const *slot = &from->slots[i];
        coh_key_t key                  = coh_key_slot(&from->addr, 0, &slot->key);
        if (!has_key(&j->seen, &key)) {
            to->slots[to->slot_cnt++] = *slot;
            coh_memview_put_slot(j->state, &from->addr, &slot->key, &slot->value);
        }
    }
}

/* Puts what is new in a recording where it belongs. */
static void add_recorded(join_t *j, coh_realblock_t const *block)
{
    size_t known_cnt = j->account_cnt; /* sorted */
    tidy(&j->seen);
    for (size_t i = 0; i < block->account_cnt; i++) {
        coh_genesis_account_t const *from = &block->accounts[i];
        coh_key_t key                     = coh_key_account(&from->addr);
        coh_genesis_account_t *to         = NULL;
        if (!has_key(&j->seen, &key)) {
            add_account(j, from);
            to = &j->accounts[j->account_cnt - 1];
        } else if (known_cnt != 0) {
            to = bsearch(from, j->accounts, known_cnt, sizeof(*to), coh_genesis_account_cmp);
        }
        if (to != NULL) {
            add_slots(j, to, from);
        }
    }
    for (size_t i = 0; i < block->account_cnt; i++) {
        coh_genesis_account_t const *from = &block->accounts[i];
        add_key(&j->seen, coh_key_account(&from->addr));
        for (size_t k = 0; k < from->slot_cnt; k++) {
            add_key(&j->seen, coh_key_slot(&from->addr, 0, &from->slots[k].key));
        }
    }
    if (j->account_cnt != 0) {
        qsort(j->accounts, j->account_cnt, sizeof(*j->accounts), coh_genesis_account_cmp);
    }
}

/* ---- Whether they go together ------------------------------------------------------------------------------------------------- */

static coh_err_t check_order(join_t *j, size_t at)
{
    coh_realblock_t const *block = &j->blocks[at];
    if (at > 0 && block->chain_id != j->blocks[0].chain_id) {
        coh_buf_printf(j->err_text, "%s is of another network than %s", j->names[at], j->names[0]);
        return COH_EINVAL;
    }
    if (at > 0 && block->number <= j->blocks[at - 1].number) {
        coh_buf_printf(j->err_text,
                       "%s, block %" PRIu64 ", does not come after %s, block %" PRIu64,
                       j->names[at],
                       block->number,
                       j->names[at - 1],
                       j->blocks[at - 1].number);
        return COH_EINVAL;
    }
    return COH_OK;
}

/* A code that an earlier recording left out, because nothing in its block runs it. */
static coh_err_t check_omitted(join_t *j, size_t at)
{
    coh_realblock_t const *block = &j->blocks[at];
    for (size_t b = 0; b < at; b++) {
        for (size_t i = 0; i < j->blocks[b].omitted_cnt; i++) {
            coh_genesis_account_t const key  = {.addr = j->blocks[b].omitted[i]};
            coh_genesis_account_t const *has = block->account_cnt == 0
                                                   ? NULL
                                                   : bsearch(&key,
                                                             block->accounts,
                                                             block->account_cnt,
                                                             sizeof(key),
                                                             coh_genesis_account_cmp);
            if (has != NULL && has->code.n != 0) {
                char hex[2 * sizeof(key.addr.b) + 1];
                coh_hex_encode(hex, key.addr.b, sizeof(key.addr.b));
                coh_buf_printf(j->err_text,
                               "%s may run the code of 0x%s, which %s leaves out",
                               j->names[at],
                               hex,
                               j->names[b]);
                return COH_EINVAL;
            }
        }
    }
    return COH_OK;
}

static coh_err_t refuse(join_t *j, size_t at, size_t tx_at, coh_tx_err_t verdict)
{
    coh_realblock_t const *block = &j->blocks[at];
    coh_addr_t const *sender     = &block->senders[tx_at];
    char hex[2 * sizeof(sender->b) + 1];
    coh_hex_encode(hex, sender->b, sizeof(sender->b));
    coh_buf_printf(j->err_text,
                   "%s cannot follow: transaction %zu, of 0x%s with nonce %" PRIu64
                   ": %s (by then the account has nonce %" PRIu64 ")",
                   j->names[at],
                   tx_at,
                   hex,
                   block->txs[tx_at].nonce,
                   coh_tx_err_str(verdict),
                   coh_memview_account(j->state, sender).nonce);
    return COH_EINVAL;
}

static coh_err_t execute(join_t *j, size_t at)
{
    coh_realblock_t const *block = &j->blocks[at];
    j->block                     = block;
    j->env                       = coh_realblock_env(block);
    j->env.number                = j->blocks[0].number + at;
    uint64_t gas_left            = block->gas_limit;
    coh_memview_set_fork(j->state, block->fork);
    for (size_t i = 0; i < block->tx_cnt; i++) {
        coh_tx_t const *tx   = &block->txs[i];
        coh_tx_err_t verdict = block->errs[i];
        if (verdict == COH_TX_OK) {
            verdict = coh_tx_check_static(tx, block->fork, block->chain_id, true);
        }
        if (verdict == COH_TX_OK && tx->gas_limit > gas_left) {
            verdict = COH_TX_GAS_LIMIT;
        }
        if (verdict != COH_TX_OK) {
            return refuse(j, at, i, verdict);
        }
        coh_memview_begin_tx(j->state);
        coh_transition_begin(j->transition, &j->env, tx, &block->senders[i], &j->view);
        coh_transition_status_t status = coh_transition_run(j->transition);
        COH_ASSERT(status == COH_TRANSITION_DONE); /* all state is at hand */
        coh_outcome_t const *outcome = coh_transition_outcome(j->transition);
        if (outcome->verdict != COH_TX_OK) {
            return refuse(j, at, i, outcome->verdict);
        }
        for (uint32_t w = 0; w < outcome->write_cnt; w++) {
            see(j, &outcome->writes[w].key);
        }
        coh_memview_apply(j->state, outcome);
        gas_left -= outcome->gas_used;
        j->out->gas_used += outcome->gas_used;
        j->out->other_gas_cnt += outcome->gas_used != block->gas[i];
    }
    j->out->tx_cnt += block->tx_cnt;
    return COH_OK;
}

static coh_err_t join(join_t *j, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        COH_TRY(check_order(j, i));
    }
    for (size_t i = 0; i < cnt; i++) {
        COH_TRY(check_omitted(j, i));
        add_recorded(j, &j->blocks[i]);
        COH_TRY(execute(j, i));
    }
    coh_realblock_t start = j->blocks[0]; /* a borrowed copy, to which the others' accounts come */
    start.accounts        = j->accounts;
    start.account_cnt     = j->account_cnt;
    return coh_realblock_genesis(&j->out->genesis, &start, j->err_text);
}

coh_err_t coh_realblock_chain(coh_realblock_chain_t *out,
                              coh_realblock_t const *blocks,
                              char const *const *names,
                              size_t cnt,
                              coh_buf_t *err_text)
{
    COH_ASSERT(cnt > 0);
    *out          = (coh_realblock_chain_t){0};
    join_t j      = {.view       = {.read = read_key, .code = read_code},
                     .state      = coh_memview_new(&coh_code_coder, blocks[0].fork),
                     .transition = coh_transition_new(),
                     .blocks     = blocks,
                     .names      = names,
                     .out        = out,
                     .err_text   = err_text};
    coh_err_t err = join(&j, cnt);
    for (size_t i = 0; i < j.account_cnt; i++) {
        free(j.accounts[i].slots);
    }
    free(j.accounts);
    free(j.seen.v);
    coh_transition_free(j.transition);
    coh_memview_free(j.state);
    return err;
}
