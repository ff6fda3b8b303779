#include "common/trie/state_root.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/root.h"

/* Keys and values of one trie, one behind the other. */
typedef struct {
    coh_buf_t keys;   /* key_sz octets each */
    coh_buf_t values; /* ... */
    size_t *ends;     /* ...and where each value ends */
    size_t cnt;
    size_t cap;
} pairs_t;

static void end_value(pairs_t *pairs)
{
    if (pairs->cnt == pairs->cap) {
        pairs->cap  = pairs->cap == 0 ? 16 : pairs->cap * 2;
        pairs->ends = coh_realloc(pairs->ends, pairs->cap * sizeof(*pairs->ends));
    }
    pairs->ends[pairs->cnt++] = pairs->values.n;
}

/* Computes the root and releases the pairs. */
static void finish(coh_hash_t *out, pairs_t *pairs, size_t key_sz)
{
    coh_root_item_t *items = coh_calloc(pairs->cnt + 1, sizeof(*items));
    size_t at              = 0;
    for (size_t i = 0; i < pairs->cnt; i++) {
        items[i].key   = coh_bytes(pairs->keys.p + i * key_sz, key_sz);
        items[i].value = coh_bytes(pairs->values.p + at, pairs->ends[i] - at);
        at             = pairs->ends[i];
    }
    coh_root_secure(out, items, pairs->cnt);
    free(items);
    free(pairs->ends);
    coh_buf_free(&pairs->keys);
    coh_buf_free(&pairs->values);
}

static void add_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    pairs_t *pairs = arg;
    coh_u256_to_be(coh_buf_extend(&pairs->keys, 32), slot);
    coh_rlp_put_u256(&pairs->values, value);
    end_value(pairs);
}

typedef struct {
    coh_memview_t const *mv;
    pairs_t pairs;
} accounts_t;

static void add_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    accounts_t *accounts       = arg;
    pairs_t slots              = {0};
    coh_trie_account_t account = {.nonce     = value->nonce,
                                  .balance   = value->word,
                                  .code_hash = coh_value_has_code(value) ? value->code_hash
                                                                         : COH_KECCAK_EMPTY};
    coh_memview_slots(accounts->mv, addr, add_slot, &slots);
    finish(&account.storage_root, &slots, 32);
    coh_trie_account_put(&accounts->pairs.values, &account);
    coh_buf_put(&accounts->pairs.keys, addr->b, sizeof(addr->b));
    end_value(&accounts->pairs);
}

void coh_state_root(coh_hash_t *out, coh_memview_t const *mv)
{
    accounts_t accounts = {.mv = mv};
    coh_memview_accounts(mv, add_account, &accounts);
    finish(out, &accounts.pairs, sizeof(coh_addr_t));
}
