#include "deploy/cohort/solo.h"

#include "common/base/hex.h"
#include "common/evm/code.h"

#define BASE_FEE   7
#define TIP        2
#define OUTPUT_MAX 100 /* octets of revert data that are shown */

void coh_solo_init(coh_solo_t *solo, coh_fork_t fork)
{
    *solo = (coh_solo_t){
        .state      = coh_memview_new(&coh_code_coder, fork),
        .transition = coh_transition_new(),
        .block =
            {
                .number    = 1,
                .timestamp = 1000,
                .gas_limit = UINT64_C(1) << 40,
                .chain_id  = 1,
                .base_fee  = coh_u256(fork >= COH_FORK_LONDON ? BASE_FEE : 0),
                .fork      = fork,
                .coinbase  = {.b = {0xc0, [19] = 0xc0}},
            },
    };
}

void coh_solo_fini(coh_solo_t *solo)
{
    coh_transition_free(solo->transition);
    coh_memview_free(solo->state);
    *solo = (coh_solo_t){0};
}

void coh_solo_fund(coh_solo_t *solo, coh_addr_t const *addr, coh_u256_t const *balance)
{
    coh_memview_put_account(solo->state, addr, 0, balance, coh_bytes(NULL, 0));
}

uint64_t coh_solo_nonce(coh_solo_t const *solo, coh_addr_t const *addr)
{
    return coh_memview_account(solo->state, addr).nonce;
}

/* Runs tx; the state is as before. */
static coh_outcome_t const *execute(coh_solo_t *solo, coh_tx_t const *tx, coh_addr_t const *sender)
{
    coh_memview_begin_tx(solo->state);
    coh_transition_begin(solo->transition, &solo->block, tx, sender, coh_memview_view(solo->state));
    while (coh_transition_run(solo->transition) != COH_TRANSITION_DONE) {
        /* All state is at hand, and only a stuttering one says at first that it is not. */
    }
    return coh_transition_outcome(solo->transition);
}

coh_outcome_t const *coh_solo_run(coh_solo_t *solo, coh_tx_t const *tx, coh_addr_t const *sender)
{
    coh_outcome_t const *outcome = execute(solo, tx, sender);
    coh_memview_apply(solo->state, outcome);
    (void)coh_u256_add(&solo->tips, &solo->tips, &outcome->tip);
    return outcome;
}

static coh_tx_t make_tx(coh_solo_t *solo,
                        coh_addr_t const *sender,
                        coh_addr_t const *to,
                        uint64_t value,
                        coh_bytes_t data)
{
    coh_tx_t tx = {
        .type         = COH_TX_LEGACY,
        .has_chain_id = true,
        .chain_id     = solo->block.chain_id,
        .is_create    = to == NULL,
        .nonce        = coh_solo_nonce(solo, sender),
        .gas_limit    = COH_SOLO_GAS_LIMIT,
        .max_fee      = coh_u256(BASE_FEE + TIP),
        .max_tip      = coh_u256(BASE_FEE + TIP),
        .value        = coh_u256(value),
        .data         = data,
    };
    if (to != NULL) {
        tx.to = *to;
    }
    return tx;
}

coh_outcome_t const *coh_solo_send(coh_solo_t *solo,
                                   coh_addr_t const *sender,
                                   coh_addr_t const *to,
                                   uint64_t value,
                                   coh_bytes_t data)
{
    coh_tx_t tx = make_tx(solo, sender, to, value, data);
    return coh_solo_run(solo, &tx, sender);
}

coh_outcome_t const *coh_solo_call(coh_solo_t *solo,
                                   coh_addr_t const *sender,
                                   coh_addr_t const *to,
                                   coh_bytes_t data)
{
    coh_tx_t tx = make_tx(solo, sender, to, 0, data);
    return execute(solo, &tx, sender);
}

coh_err_t coh_solo_deploy(coh_addr_t *out,
                          coh_solo_t *solo,
                          coh_addr_t const *sender,
                          coh_contract_t const *contract,
                          coh_abi_t const *args,
                          size_t arg_cnt,
                          coh_buf_t *why)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_buf_put(&code, contract->creation.p, contract->creation.n);
    coh_abi_encode(&code, args, arg_cnt);
    coh_outcome_t const *outcome = coh_solo_send(solo, sender, NULL, 0, coh_buf_bytes(&code));
    bool ok                      = coh_solo_ok(outcome, contract->name, why);
    *out                         = outcome->created;
    coh_buf_free(&code);
    return ok ? COH_OK : COH_EINVAL;
}

bool coh_solo_ok(coh_outcome_t const *outcome, char const *what, coh_buf_t *why)
{
    if (outcome->verdict != COH_TX_OK) {
        coh_buf_printf(why, "%s: %s", what, coh_tx_err_str(outcome->verdict));
        return false;
    }
    if (outcome->status != 1) {
        char hex[2 * OUTPUT_MAX + 1];
        coh_hex_encode(hex, outcome->output.p, COH_MIN(outcome->output.n, (size_t)OUTPUT_MAX));
        coh_buf_printf(why,
                       "%s: failed after %llu gas, output 0x%s",
                       what,
                       (unsigned long long)outcome->gas_used,
                       hex);
        return false;
    }
    return true;
}
