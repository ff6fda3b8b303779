#include "common/state/transition.h"

#include "common/base/assert.h"

static coh_transition_status_t invalid(coh_outcome_t *out, coh_tx_err_t verdict)
{
    out->verdict   = verdict;
    out->status    = 0;
    out->gas_used  = 0;
    out->tip       = COH_U256_ZERO;
    out->write_cnt = 0;
    return COH_TRANSITION_DONE;
}

/* The write to addr's account among those made so far, or a new one. */
static coh_write_t *write_to(coh_outcome_t *out, coh_addr_t const *addr)
{
    for (uint32_t i = 0; i < out->write_cnt; i++) {
        if (coh_addr_eq(&out->writes[i].key.addr, addr)) {
            return &out->writes[i];
        }
    }
    COH_ASSERT(out->write_cnt < out->write_max);
    coh_write_t *w = &out->writes[out->write_cnt++];
    *w             = (coh_write_t){.key = coh_key_account(addr), .flags = COH_WRITE_DELTA};
    return w;
}

static void credit(coh_outcome_t *out, coh_addr_t const *addr, coh_u256_t const *amount)
{
    if (!coh_u256_is_zero(amount)) {
        coh_write_add(write_to(out, addr), amount);
    }
}

coh_transition_status_t coh_transition_run(coh_outcome_t *out,
                                           coh_block_env_t const *block,
                                           coh_tx_t const *tx,
                                           coh_addr_t const *sender,
                                           coh_view_t *view)
{
    coh_u256_t upfront;
    if (coh_tx_upfront(&upfront, tx)) {
        return invalid(out, COH_TX_FEE_OVERFLOW);
    }
    coh_key_t key = coh_key_account(sender);
    coh_value_t account;
    if (view->read(view, &account, &key, COH_READ_NONCE | COH_READ_AT_LEAST, &upfront) ==
        COH_VIEW_NEED) {
        return COH_TRANSITION_NEED;
    }
    if (account.nonce != tx->nonce) {
        return invalid(out,
                       tx->nonce < account.nonce ? COH_TX_NONCE_TOO_LOW : COH_TX_NONCE_TOO_HIGH);
    }
    if (coh_u256_lt(&tx->max_fee, &block->base_fee)) {
        return invalid(out, COH_TX_FEE_TOO_LOW); /* EIP-1559 */
    }
    if (coh_u256_lt(&account.word, &upfront)) {
        return invalid(out, COH_TX_FUNDS);
    }
    if (coh_tx_needs_code(tx, block->fork)) {
        return invalid(out, COH_TX_NEEDS_CODE);
    }

    uint64_t intrinsic = coh_tx_intrinsic_gas(tx, block->fork);
    uint64_t floor     = coh_tx_floor_gas(tx, block->fork); /* EIP-7623 */
    uint64_t gas_used  = COH_MAX(intrinsic, floor);
    if (gas_used > tx->gas_limit) {
        return invalid(out, intrinsic > tx->gas_limit ? COH_TX_INTRINSIC_GAS : COH_TX_FLOOR_GAS);
    }

    coh_addr_t receiver = coh_tx_receiver(tx, sender);
    bool succeeds       = true;
    if (tx->is_create) {
        coh_value_t there;
        key = coh_key_account(&receiver);
        if (view->read(view, &there, &key, COH_READ_NONCE, NULL) == COH_VIEW_NEED) {
            return COH_TRANSITION_NEED;
        }
        succeeds = there.nonce == 0; /* EIP-684: no account with a nonce is created again... */
        gas_used = succeeds ? gas_used : tx->gas_limit; /* ...and trying costs all gas */
    }

    /* No product or sum below overflows: each is at most upfront, which fits. */
    coh_u256_t price;
    coh_u256_t fee;
    coh_u256_t tip;
    coh_tx_effective_price(&price, tx, &block->base_fee);
    (void)coh_u256_mul_u64(&fee, &price, gas_used);
    (void)coh_u256_sub(&tip, &price, &block->base_fee);
    (void)coh_u256_mul_u64(&tip, &tip, gas_used);

    out->verdict      = COH_TX_OK;
    out->status       = succeeds;
    out->gas_used     = gas_used;
    out->tip          = COH_U256_ZERO;
    out->write_cnt    = 0;
    coh_write_t *from = write_to(out, sender);
    coh_write_sub(from, &fee);
    from->flags |= COH_WRITE_NONCE;
    from->nonce = tx->nonce + 1;
    if (succeeds) {
        coh_write_sub(from, &tx->value);
        credit(out, &receiver, &tx->value);
    }
    if (succeeds && tx->is_create && block->fork >= COH_FORK_SPURIOUS) { /* EIP-161 */
        coh_write_t *created = write_to(out, &receiver);
        created->flags |= COH_WRITE_NONCE;
        created->nonce = 1;
    }
    if (block->fees_exact) {
        credit(out, &block->coinbase, &tip);
    } else {
        out->tip = tip;
    }
    return COH_TRANSITION_DONE;
}
