/* The genesis block: state root of the allocation, header as geth makes it, its hash; and the identity of the chain. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/config/genesis.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/root.h"

#define IDENTITY_DOMAIN "cohort genesis 4"

static void storage_root(coh_hash_t *out, coh_genesis_account_t const *account)
{
    size_t cnt = account->slot_cnt;
    if (cnt == 0) {
        *out = COH_EMPTY_TRIE_ROOT;
        return;
    }
    coh_root_item_t *items = coh_calloc(cnt, sizeof(*items));
    size_t *ends           = coh_calloc(cnt + 1, sizeof(*ends));
    coh_buf_t values       = COH_BUF_INIT;
    uint8_t *keys          = coh_calloc(cnt, 32);
    for (size_t i = 0; i < cnt; i++) {
        coh_u256_to_be(keys + i * 32, &account->slots[i].key);
        coh_rlp_put_u256(&values, &account->slots[i].value);
        ends[i + 1] = values.n;
    }
    for (size_t i = 0; i < cnt; i++) {
        items[i] = (coh_root_item_t){.key   = coh_bytes(keys + i * 32, 32),
                                     .value = coh_bytes(values.p + ends[i], ends[i + 1] - ends[i])};
    }
    coh_root_secure(out, items, cnt);
    coh_buf_free(&values);
    free(keys);
    free(ends);
    free(items);
}

/* Cost: a million accounts without storage take about a second and 300 MB. */
static void state_root(coh_hash_t *out, coh_genesis_t const *g)
{
    coh_root_item_t *items = coh_calloc(g->alloc_cnt + 1, sizeof(*items));
    uint8_t *values        = coh_calloc(g->alloc_cnt + 1, COH_TRIE_ACCOUNT_MAX);
    for (size_t i = 0; i < g->alloc_cnt; i++) {
        coh_genesis_account_t const *a = &g->alloc[i];
        coh_trie_account_t account     = {.nonce = a->nonce, .balance = a->balance};
        storage_root(&account.storage_root, a);
        account.code_hash = COH_KECCAK_EMPTY;
        if (a->code.n != 0) {
            coh_keccak256(&account.code_hash, a->code.p, a->code.n);
        }
        uint8_t *value = values + i * COH_TRIE_ACCOUNT_MAX;
        items[i] =
            (coh_root_item_t){.key   = coh_bytes(a->addr.b, sizeof(a->addr.b)),
                              .value = coh_bytes(value, coh_trie_account_write(value, &account))};
    }
    coh_root_secure(out, items, g->alloc_cnt);
    free(values);
    free(items);
}

/* What the block does not say: the chain's rules. */
static coh_hash_t identity_of(coh_genesis_t const *g)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_hash_t hash;
    coh_buf_put(&text, IDENTITY_DOMAIN, sizeof(IDENTITY_DOMAIN) - 1);
    coh_buf_put_u64_le(&text, g->chain_id);
    coh_buf_put_u64_le(&text, COH_FORK_CNT);
    for (size_t i = 0; i < COH_FORK_CNT; i++) {
        coh_buf_put_u64_le(&text, g->fork_at[i]);
    }
    for (size_t i = 0; i < COH_CNT(g->blob_params); i++) {
        coh_buf_put_u64_le(&text, g->blob_params[i].target);
        coh_buf_put_u64_le(&text, g->blob_params[i].max);
        coh_buf_put_u64_le(&text, g->blob_params[i].update_fraction);
    }
    for (size_t i = 0; i < COH_CNT(g->bpo_at); i++) {
        coh_buf_put_u64_le(&text, g->bpo_at[i]);
    }
    coh_buf_put(&text, g->hash.b, sizeof(g->hash.b));
    if (g->has_deposit_addr) {
        coh_buf_put(&text, g->deposit_addr.b, sizeof(g->deposit_addr.b));
    }
    coh_keccak256(&hash, text.p, text.n);
    coh_buf_free(&text);
    return hash;
}

void coh_genesis_seal(coh_genesis_t *g)
{
    coh_header_t *h     = &g->header;
    h->ommers_hash      = COH_EMPTY_LIST_HASH;
    h->tx_root          = COH_EMPTY_TRIE_ROOT;
    h->receipts_root    = COH_EMPTY_TRIE_ROOT;
    h->withdrawals_root = COH_EMPTY_TRIE_ROOT;
    h->requests_hash    = COH_EMPTY_REQUESTS_HASH;
    h->number           = g->number;
    h->timestamp        = g->timestamp;
    h->gas_limit        = g->gas_limit;
    h->base_fee         = g->base_fee;
    h->coinbase         = g->coinbase;
    state_root(&h->state_root, g);
    g->hash     = coh_header_hash(h, coh_genesis_fork(g, g->number, g->timestamp));
    g->identity = identity_of(g);
}
