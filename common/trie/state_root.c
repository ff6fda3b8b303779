#include "common/trie/state_root.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"

/* keccak256(""): the code hash of an account without code. */
static coh_hash_t const empty_code_hash = {{0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c,
                                            0x92, 0x7e, 0x7d, 0xb2, 0xdc, 0xc7, 0x03, 0xc0,
                                            0xe5, 0x00, 0xb6, 0x53, 0xca, 0x82, 0x27, 0x3b,
                                            0x7b, 0xfa, 0xd8, 0x04, 0x5d, 0x85, 0xa4, 0x70}};

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
    accounts_t *accounts = arg;
    pairs_t slots        = {0};
    coh_hash_t storage_root;
    coh_memview_slots(accounts->mv, addr, add_slot, &slots);
    finish(&storage_root, &slots, 32);

    coh_hash_t const *code_hash = coh_value_has_code(value) ? &value->code_hash : &empty_code_hash;
    coh_buf_t *out              = &accounts->pairs.values;
    size_t start                = out->n;
    coh_rlp_put_u64(out, value->nonce);
    coh_rlp_put_u256(out, &value->word);
    coh_rlp_put_string(out, storage_root.b, sizeof(storage_root.b));
    coh_rlp_put_string(out, code_hash->b, sizeof(code_hash->b));
    coh_rlp_wrap_list(out, start);
    coh_buf_put(&accounts->pairs.keys, addr->b, sizeof(addr->b));
    end_value(&accounts->pairs);
}

void coh_state_root(coh_hash_t *out, coh_memview_t const *mv)
{
    accounts_t accounts = {.mv = mv};
    coh_memview_accounts(mv, add_account, &accounts);
    finish(out, &accounts.pairs, sizeof(coh_addr_t));
}
