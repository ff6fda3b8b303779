#include "tests/support/reference.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"

/* EIP-4844: gas of a blob. EIP-7702: PER_EMPTY_ACCOUNT_COST, and what of it is given back for an account that is there. */
#define BLOB_GAS    131072u
#define AUTH_GAS    25000u
#define AUTH_REFUND 12500u

/* What the code of a delegated account begins with, and its size. */
#define DESIGNATOR_SZ 23u
static uint8_t const designator_head[3] = {0xef, 0x01, 0x00};

#define CODE(...)                                                        \
    {                                                                    \
        (uint8_t const[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}) \
    }
coh_ref_contract_t const coh_ref_contracts[COH_REF_CONTRACT_CNT] = {
    {CODE(0x5b, 0x5b, 0x5b, 0x00), 3, COH_REF_STOPS},         /* JUMPDEST three times, STOP */
    {CODE(0x60, 0x00, 0x60, 0x00, 0xfd), 6, COH_REF_REVERTS}, /* PUSH1 0 twice, REVERT */
    {CODE(0xfe), 0, COH_REF_FAILS},                           /* INVALID */
    {CODE(0x33, 0xff), 2 + 5000, COH_REF_GIVES},              /* CALLER, SELFDESTRUCT */
};

coh_addr_t coh_ref_contract_addr(uint32_t i)
{
    return (coh_addr_t){.b = {0xcc, [19] = (uint8_t)i}};
}

void coh_ref_put_contracts(coh_genesis_account_t *alloc, size_t *cnt)
{
    for (uint32_t i = 0; i < COH_REF_CONTRACT_CNT; i++) {
        coh_bytes_t code = coh_ref_contracts[i].code;
        uint8_t *copied  = coh_calloc(1, code.n);
        alloc[(*cnt)++] =
            (coh_genesis_account_t){.addr  = coh_ref_contract_addr(i),
                                    .nonce = 1,
                                    .code  = coh_bytes(memcpy(copied, code.p, code.n), code.n)};
    }
}
#undef CODE

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

void coh_ref_put_alloc(coh_ref_t *ref, coh_genesis_account_t const *accounts, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        coh_ref_account_t *account = coh_ref_account(ref, &accounts[i].addr);
        coh_bytes_t code           = accounts[i].code;
        account->nonce             = accounts[i].nonce;
        account->balance           = accounts[i].balance;
        account->exists            = true;
        for (size_t k = 0; k < COH_REF_CONTRACT_CNT; k++) {
            if (coh_bytes_eq(code, coh_ref_contracts[k].code)) {
                account->contract = &coh_ref_contracts[k];
            }
        }
        if (code.n == DESIGNATOR_SZ && memcmp(code.p, designator_head, 3) == 0) {
            account->is_delegated = true;
            memcpy(account->delegate.b, code.p + 3, sizeof(account->delegate.b));
        }
        COH_ASSERT(code.n == 0 || account->contract != NULL || account->is_delegated);
    }
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
           + UINT64_C(1) * AUTH_GAS * tx->auth_cnt                        /* EIP-7702 */
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

static uint64_t blob_gas(coh_tx_t const *tx) { return UINT64_C(1) * BLOB_GAS * tx->blob_cnt; }

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
    if (tx->blob_cnt != 0 && coh_u256_lt(&tx->max_fee_per_blob_gas, &block->blob_base_fee)) {
        return COH_TX_BLOB_FEE_TOO_LOW; /* EIP-4844 */
    }
    coh_u256_t upfront = sum(product(tx->max_fee, tx->gas_limit), tx->value);
    upfront            = sum(upfront, product(tx->max_fee_per_blob_gas, blob_gas(tx)));
    if (coh_u256_lt(&balance, &upfront)) {
        return COH_TX_FUNDS;
    }
    if (tx->gas_limit > block->gas_limit - block->gas_used) {
        return COH_TX_GAS_LIMIT;
    }
    if (tx->blob_cnt > block->blob_max - block->blob_cnt) {
        return COH_TX_BLOB_CNT; /* EIP-4844, EIP-7691 */
    }
    return COH_TX_OK;
}

/* EIP-161: what is touched and empty is removed; before, what is touched is there. */
static void touch(coh_ref_account_t *account, coh_fork_t fork)
{
    account->exists = fork < COH_FORK_SPURIOUS || account->nonce != 0 ||
                      !coh_u256_is_zero(&account->balance) || account->contract != NULL;
}

/* EIP-7702, "Behavior", for each tuple; returns the gas that is given back. */
static uint64_t authorize(coh_ref_t *ref, coh_ref_block_t const *block, coh_tx_t const *tx)
{
    static coh_addr_t const none;
    uint64_t refund = 0;
    coh_rlp_t list  = coh_tx_auth_iter(tx);
    coh_tx_auth_t auth;
    while (coh_tx_auth_next(&list, &auth)) {
        coh_u256_t chain_id = coh_u256(block->chain_id);
        coh_addr_t addr;
        if (!coh_u256_is_zero(&auth.chain_id) && !coh_u256_eq(&auth.chain_id, &chain_id)) { /* 1. */
            continue;
        }
        if (auth.nonce == UINT64_MAX || !coh_tx_auth_recover(&addr, &auth)) { /* 2., 3. */
            continue;
        }
        coh_ref_account_t *authority = coh_ref_account(ref, &addr);
        if (authority->contract != NULL || authority->nonce != auth.nonce) { /* 5., 6. */
            continue;
        }
        refund += authority->exists ? AUTH_REFUND : 0;             /* 7. */
        authority->is_delegated = !coh_addr_eq(&auth.addr, &none); /* 8. */
        authority->delegate     = auth.addr;
        authority->nonce++; /* 9. */
        authority->exists = true;
    }
    return refund;
}

static bool is_precompile(coh_addr_t const *addr)
{
    static uint8_t const zeros[19];
    return memcmp(addr->b, zeros, sizeof(zeros)) == 0 && addr->b[19] >= 1 && addr->b[19] <= 0x11;
}

/* What a call of `to` runs; NULL: nothing. */
static coh_ref_contract_t const *code_of(coh_ref_t const *ref, coh_addr_t const *to)
{
    static coh_ref_contract_t const designator = {.end = COH_REF_FAILS}; /* begins with 0xef */
    coh_ref_account_t const *account           = coh_ref_find(ref, to);
    if (account == NULL || !account->is_delegated) {
        return account == NULL ? NULL : account->contract;
    }
    /* EIP-7702: a designator is followed once, and to a precompiled contract to no code. */
    account = coh_ref_find(ref, &account->delegate);
    if (account == NULL || is_precompile(&account->addr)) {
        return NULL;
    }
    return account->is_delegated ? &designator : account->contract;
}

/* Runs the code of `to` for a transaction that has gas_left for it; returns what it takes. */
static uint64_t run(coh_ref_t *ref,
                    bool *failed,
                    coh_addr_t const *sender,
                    coh_addr_t const *to,
                    uint64_t gas_left)
{
    coh_ref_contract_t const *contract = code_of(ref, to);
    if (contract == NULL) {
        return 0;
    }
    *failed = contract->end == COH_REF_REVERTS || contract->end == COH_REF_FAILS;
    if (contract->end == COH_REF_FAILS || contract->gas > gas_left) {
        *failed = true;
        return gas_left;
    }
    if (contract->end == COH_REF_GIVES && !coh_addr_eq(sender, to)) {
        coh_ref_account_t *from = coh_ref_account(ref, to);
        coh_u256_t had          = from->balance;
        from->balance           = COH_U256_ZERO;
        coh_ref_account_t *heir = coh_ref_account(ref, sender);
        heir->balance           = sum(heir->balance, had);
    }
    return contract->gas;
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
    COH_ASSERT(intrinsic <= tx->gas_limit && floor <= tx->gas_limit); /* checked at admission */
    COH_ASSERT(!tx->is_create || tx->data.n == 0);                    /* likewise */

    /* Before London base fee is 0 and both caps are the gas price, so that this is the gas price. */
    coh_u256_t tip = difference(tx->max_fee, block->base_fee);
    if (coh_u256_lt(&tx->max_tip, &tip)) {
        tip = tx->max_tip;
    }
    outcome.gas_price   = sum(block->base_fee, tip);
    coh_u256_t blob_fee = product(block->blob_base_fee, blob_gas(tx)); /* EIP-4844 */

    /* Nobody else can use what all the gas may cost while the transaction runs. */
    coh_u256_t held         = product(outcome.gas_price, tx->gas_limit);
    coh_ref_account_t *from = coh_ref_account(ref, sender);
    from->nonce++;
    from->balance   = difference(from->balance, sum(held, blob_fee));
    uint64_t refund = authorize(ref, block, tx);

    coh_addr_t receiver     = coh_ref_receiver(tx, sender);
    coh_ref_account_t *to   = coh_ref_account(ref, &receiver);
    coh_u256_t sender_had   = coh_ref_account(ref, sender)->balance;
    coh_u256_t receiver_had = to->balance;
    outcome.gas_used        = intrinsic;
    if (tx->is_create && to->nonce != 0) { /* EIP-684 */
        outcome.failed   = true;
        outcome.gas_used = tx->gas_limit;
    } else {
        from          = coh_ref_account(ref, sender);
        from->balance = difference(from->balance, tx->value);
        to            = coh_ref_account(ref, &receiver);
        to->balance   = sum(to->balance, tx->value);
        if (tx->is_create && block->fork >= COH_FORK_SPURIOUS) {
            to->nonce = 1; /* EIP-161 */
        } else if (!tx->is_create) {
            outcome.gas_used +=
                run(ref, &outcome.failed, sender, &receiver, tx->gas_limit - intrinsic);
        }
        if (outcome.failed) {
            coh_ref_account(ref, sender)->balance    = sender_had;
            coh_ref_account(ref, &receiver)->balance = receiver_had;
        }
    }
    /* EIP-3529, then EIP-7623. Delegations stay even if the transaction fails. */
    outcome.gas_used -= refund < outcome.gas_used / 5 ? refund : outcome.gas_used / 5;
    outcome.gas_used = outcome.gas_used > floor ? outcome.gas_used : floor;

    coh_u256_t paid          = product(outcome.gas_price, outcome.gas_used);
    from                     = coh_ref_account(ref, sender);
    from->balance            = sum(from->balance, difference(held, paid));
    coh_ref_account_t *miner = coh_ref_account(ref, &block->coinbase);
    miner->balance           = sum(miner->balance, product(tip, outcome.gas_used));
    touch(coh_ref_account(ref, sender), block->fork);
    touch(coh_ref_account(ref, &block->coinbase), block->fork);
    if (!outcome.failed) {
        touch(coh_ref_account(ref, &receiver), block->fork);
    }
    ref->burnt = sum(ref->burnt, sum(product(block->base_fee, outcome.gas_used), blob_fee));
    block->gas_used += outcome.gas_used;
    block->blob_cnt += tx->blob_cnt;
    return outcome;
}

coh_hash_t coh_ref_code_hash(coh_ref_account_t const *account)
{
    uint8_t designator[DESIGNATOR_SZ];
    memcpy(designator, designator_head, sizeof(designator_head));
    memcpy(designator + 3, account->delegate.b, sizeof(account->delegate.b));
    coh_bytes_t code = account->is_delegated       ? coh_bytes(designator, sizeof(designator))
                       : account->contract != NULL ? account->contract->code
                                                   : coh_bytes(NULL, 0);
    coh_hash_t hash;
    coh_keccak256(&hash, code.p, code.n);
    return hash;
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
        coh_hash_t code_hash = coh_ref_code_hash(a);
        coh_rlp_put_string(value, code_hash.b, sizeof(code_hash.b));
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
