#include "tests/support/reference.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"

void coh_ref_init(coh_ref_t *ref)
{
    *ref       = (coh_ref_t){.index_cap = 64};
    ref->index = coh_calloc(ref->index_cap, sizeof(*ref->index));
}

void coh_ref_fini(coh_ref_t *ref)
{
    free(ref->accounts);
    free(ref->index);
    *ref = (coh_ref_t){0};
}

void coh_ref_copy(coh_ref_t *dst, coh_ref_t const *src)
{
    *dst             = *src;
    dst->account_cap = src->account_cnt;
    dst->accounts    = coh_calloc(src->account_cnt + 1, sizeof(*dst->accounts));
    memcpy(dst->accounts, src->accounts, src->account_cnt * sizeof(*dst->accounts));
    dst->index = coh_calloc(src->index_cap, sizeof(*dst->index));
    memcpy(dst->index, src->index, src->index_cap * sizeof(*dst->index));
}

/* The index entry of addr, or the free one where it belongs. */
static uint32_t *entry_of(coh_ref_t const *ref, coh_addr_t const *addr)
{
    uint64_t mix = coh_mix64(coh_load_u64_le(addr->b) ^ coh_load_u64_le(addr->b + 12));
    for (size_t i = mix & (ref->index_cap - 1);; i = (i + 1) & (ref->index_cap - 1)) {
        uint32_t *entry = &ref->index[i];
        if (*entry == 0 || coh_addr_eq(&ref->accounts[*entry - 1].addr, addr)) {
            return entry;
        }
    }
}

coh_ref_account_t const *coh_ref_find(coh_ref_t const *ref, coh_addr_t const *addr)
{
    uint32_t entry = *entry_of(ref, addr);
    return entry == 0 ? NULL : &ref->accounts[entry - 1];
}

coh_ref_account_t *coh_ref_account(coh_ref_t *ref, coh_addr_t const *addr)
{
    uint32_t *entry = entry_of(ref, addr);
    if (*entry != 0) {
        return &ref->accounts[*entry - 1];
    }
    if (ref->account_cnt == ref->account_cap) {
        ref->account_cap = ref->account_cap * 2 + 16;
        ref->accounts    = coh_realloc(ref->accounts, ref->account_cap * sizeof(*ref->accounts));
    }
    ref->accounts[ref->account_cnt] = (coh_ref_account_t){.addr = *addr};
    ref->account_cnt++;
    *entry = (uint32_t)ref->account_cnt;
    if (ref->account_cnt * 2 > ref->index_cap) {
        free(ref->index);
        ref->index_cap *= 2;
        ref->index = coh_calloc(ref->index_cap, sizeof(*ref->index));
        for (size_t i = 0; i < ref->account_cnt; i++) {
            *entry_of(ref, &ref->accounts[i].addr) = (uint32_t)(i + 1);
        }
    }
    return &ref->accounts[ref->account_cnt - 1];
}

static uint64_t zero_bytes(coh_tx_t const *tx)
{
    uint64_t cnt = 0;
    for (size_t i = 0; i < tx->data.n; i++) {
        cnt += tx->data.p[i] == 0;
    }
    return cnt;
}

uint64_t coh_ref_intrinsic_gas(coh_tx_t const *tx, coh_fork_t fork)
{
    uint64_t zeros       = zero_bytes(tx);
    uint64_t others      = tx->data.n - zeros;
    uint64_t other_price = fork >= COH_FORK_ISTANBUL ? 16 : 68; /* EIP-2028 */
    return 21000 + 4 * zeros + other_price * others             /* Yellow Paper (64) */
           + UINT64_C(2400) * tx->access_addr_cnt +
           UINT64_C(1900) * tx->access_key_cnt                            /* EIP-2930 */
           + (tx->is_create && fork >= COH_FORK_HOMESTEAD ? 32000u : 0u); /* EIP-2 */
}

uint64_t coh_ref_floor_gas(coh_tx_t const *tx, coh_fork_t fork)
{
    if (fork < COH_FORK_PRAGUE) {
        return 0;
    }
    uint64_t zeros = zero_bytes(tx);
    return 21000 + 10 * (zeros + 4 * (tx->data.n - zeros)); /* EIP-7623: 10 a token */
}

coh_addr_t coh_ref_receiver(coh_tx_t const *tx, coh_addr_t const *sender)
{
    if (!tx->is_create) {
        return tx->to;
    }
    /* RLP by hand: a list of twenty octets and the nonce's significant ones. */
    uint8_t rlp[32] = {[1] = 0x94};
    memcpy(rlp + 2, sender->b, sizeof(sender->b));
    size_t n        = 22;
    size_t nonce_sz = 0;
    while (nonce_sz < 8 && tx->nonce >> (8 * nonce_sz) != 0) {
        nonce_sz++;
    }
    if (nonce_sz != 1 || tx->nonce >= 0x80) {
        rlp[n++] = (uint8_t)(0x80 + nonce_sz);
    }
    for (size_t i = nonce_sz; i > 0; i--) {
        rlp[n++] = (uint8_t)(tx->nonce >> (8 * (i - 1)));
    }
    rlp[0] = (uint8_t)(0xc0 + n - 1);
    coh_hash_t hash;
    coh_keccak256(&hash, rlp, n);
    coh_addr_t out;
    memcpy(out.b, hash.b + 12, sizeof(out.b));
    return out;
}

/* A sum that is known to fit. */
static coh_u256_t sum(coh_u256_t a, coh_u256_t b)
{
    bool carry = coh_u256_add(&a, &a, &b);
    COH_ASSERT(!carry);
    return a;
}

static coh_u256_t difference(coh_u256_t a, coh_u256_t b)
{
    bool borrow = coh_u256_sub(&a, &a, &b);
    COH_ASSERT(!borrow);
    return a;
}

static coh_u256_t product(coh_u256_t a, uint64_t m)
{
    bool overflow = coh_u256_mul_u64(&a, &a, m);
    COH_ASSERT(!overflow);
    return a;
}

coh_tx_err_t coh_ref_check(coh_ref_t const *ref,
                           coh_ref_block_t const *block,
                           coh_tx_t const *tx,
                           coh_addr_t const *sender)
{
    coh_ref_account_t const *account = coh_ref_find(ref, sender);
    uint64_t nonce                   = account == NULL ? 0 : account->nonce;
    coh_u256_t balance               = account == NULL ? COH_U256_ZERO : account->balance;
    if (tx->nonce < nonce) {
        return COH_TX_NONCE_TOO_LOW;
    }
    if (tx->nonce > nonce) {
        return COH_TX_NONCE_TOO_HIGH;
    }
    if (coh_u256_lt(&tx->max_fee, &block->base_fee)) {
        return COH_TX_FEE_TOO_LOW; /* EIP-1559 */
    }
    coh_u256_t upfront = sum(product(tx->max_fee, tx->gas_limit), tx->value);
    if (coh_u256_lt(&balance, &upfront)) {
        return COH_TX_FUNDS;
    }
    if (tx->gas_limit > block->gas_limit - block->gas_used) {
        return COH_TX_GAS_LIMIT;
    }
    return COH_TX_OK;
}

/* EIP-161: what is touched and empty is removed; before, what is touched is there. */
static void touch(coh_ref_account_t *account, coh_fork_t fork)
{
    account->exists =
        fork < COH_FORK_SPURIOUS || account->nonce != 0 || !coh_u256_is_zero(&account->balance);
}

coh_ref_outcome_t coh_ref_apply(coh_ref_t *ref,
                                coh_ref_block_t *block,
                                coh_tx_t const *tx,
                                coh_addr_t const *sender)
{
    coh_ref_outcome_t outcome = {.verdict = coh_ref_check(ref, block, tx, sender)};
    if (outcome.verdict != COH_TX_OK) {
        return outcome;
    }
    uint64_t intrinsic = coh_ref_intrinsic_gas(tx, block->fork);
    uint64_t floor     = coh_ref_floor_gas(tx, block->fork);
    outcome.gas_used   = intrinsic > floor ? intrinsic : floor;
    COH_ASSERT(outcome.gas_used <= tx->gas_limit); /* a static rule, checked at admission */
    COH_ASSERT(!tx->is_create || tx->data.n == 0); /* likewise */
    coh_addr_t receiver = coh_ref_receiver(tx, sender);
    if (tx->is_create && coh_ref_account(ref, &receiver)->nonce != 0) { /* EIP-684 */
        outcome.failed   = true;
        outcome.gas_used = tx->gas_limit;
    }

    /* Before London base fee is 0 and both caps are the gas price, so that this is the gas price. */
    coh_u256_t tip = difference(tx->max_fee, block->base_fee);
    if (coh_u256_lt(&tx->max_tip, &tip)) {
        tip = tx->max_tip;
    }
    outcome.gas_price = sum(block->base_fee, tip);

    coh_ref_account_t *from = coh_ref_account(ref, sender);
    from->nonce++;
    from->balance = difference(from->balance, product(outcome.gas_price, outcome.gas_used));
    if (!outcome.failed) {
        from->balance         = difference(from->balance, tx->value);
        coh_ref_account_t *to = coh_ref_account(ref, &receiver);
        to->balance           = sum(to->balance, tx->value);
        if (tx->is_create && block->fork >= COH_FORK_SPURIOUS) {
            to->nonce = 1; /* EIP-161 */
        }
    }
    coh_ref_account_t *miner = coh_ref_account(ref, &block->coinbase);
    miner->balance           = sum(miner->balance, product(tip, outcome.gas_used));
    touch(coh_ref_account(ref, sender), block->fork);
    touch(coh_ref_account(ref, &block->coinbase), block->fork);
    if (!outcome.failed) {
        touch(coh_ref_account(ref, &receiver), block->fork);
    }
    ref->burnt = sum(ref->burnt, product(block->base_fee, outcome.gas_used));
    block->gas_used += outcome.gas_used;
    return outcome;
}

void coh_ref_state_root(coh_hash_t *out, coh_ref_t const *ref)
{
    coh_root_item_t *items = coh_calloc(ref->account_cnt + 1, sizeof(*items));
    coh_buf_t *values      = coh_calloc(ref->account_cnt + 1, sizeof(*values));
    size_t cnt             = 0;
    for (size_t i = 0; i < ref->account_cnt; i++) {
        coh_ref_account_t const *a = &ref->accounts[i];
        if (!a->exists) {
            continue;
        }
        coh_buf_t *value = &values[cnt];
        coh_rlp_put_u64(value, a->nonce);
        coh_rlp_put_u256(value, &a->balance);
        coh_rlp_put_string(value, COH_EMPTY_TRIE_ROOT.b, sizeof(COH_EMPTY_TRIE_ROOT.b));
        coh_rlp_put_string(value, COH_KECCAK_EMPTY.b, sizeof(COH_KECCAK_EMPTY.b));
        coh_rlp_wrap_list(value, 0);
        items[cnt++] = (coh_root_item_t){.key   = coh_bytes(a->addr.b, sizeof(a->addr.b)),
                                         .value = coh_buf_bytes(value)};
    }
    coh_root_secure(out, items, cnt);
    for (size_t i = 0; i < cnt; i++) {
        coh_buf_free(&values[i]);
    }
    free(values);
    free(items);
}

coh_u256_t coh_ref_total(coh_ref_t const *ref)
{
    coh_u256_t total = ref->burnt;
    for (size_t i = 0; i < ref->account_cnt; i++) {
        total = sum(total, ref->accounts[i].balance);
    }
    return total;
}
