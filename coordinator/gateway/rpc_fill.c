/* eth_fillTransaction: what is missing of a transaction, so that it can be signed: fees, nonce, gas. Defaults, their order and texts of errors are geth's. */
#include <inttypes.h>

#include "common/crypto/keccak.h"
#include "coordinator/calls.h"
#include "coordinator/gateway/rpc_run.h"

#define PUT COH_RPC_PUT

static void free_run(void *extra) { coh_rpc_run_free(extra); }

/* Twice a price, and more: false if that does not fit. */
static bool add_twice(coh_u256_t *sum, coh_u256_t const *price, coh_u256_t const *more)
{
    coh_u256_t twice;
    return !coh_u256_add(&twice, price, price) && !coh_u256_add(sum, &twice, more);
}

static bool tip_above_cap(coh_tx_t const *tx, coh_rpc_fault_t *fault)
{
    char cap[COH_U256_DEC_SZ];
    char tip[COH_U256_DEC_SZ];
    coh_u256_to_dec(cap, &tx->max_fee);
    coh_u256_to_dec(tip, &tx->max_tip);
    return coh_rpc_fault(
        fault, COH_RPC_SERVER, "maxFeePerGas (%s) < maxPriorityFeePerGas (%s)", cap, tip);
}

/* The fees of a transaction for which no gasPrice is given. */
static bool fill_fees(coh_rpc_t const *rpc,
                      coh_tx_t *tx,
                      coh_u256_t const *base_fee,
                      json_t const *cap,
                      json_t const *tip,
                      coh_rpc_fault_t *fault)
{
    bool is_london = rpc->head->fork >= COH_FORK_LONDON;
    if ((cap != NULL && !coh_rpc_get_u256(&tx->max_fee, cap, 0, fault)) ||
        (tip != NULL && !coh_rpc_get_u256(&tx->max_tip, tip, 0, fault))) {
        return false;
    }
    if (cap != NULL && tip != NULL && coh_u256_is_zero(&tx->max_fee)) {
        return coh_rpc_fault(fault, COH_RPC_SERVER, "maxFeePerGas must be non-zero");
    }
    if (!is_london && (cap == NULL || tip == NULL)) {
        if (cap != NULL || tip != NULL) {
            return coh_rpc_fault(
                fault,
                COH_RPC_SERVER,
                "maxFeePerGas and maxPriorityFeePerGas are not valid before London is active");
        }
        tx->max_fee = rpc->tip;
        tx->max_tip = rpc->tip;
        return true;
    }
    if (tip == NULL) {
        tx->max_tip = rpc->tip;
    }
    if (cap == NULL && !add_twice(&tx->max_fee, base_fee, &tx->max_tip)) {
        return coh_rpc_fault(fault, COH_RPC_SERVER, "maxPriorityFeePerGas is too large");
    }
    if (coh_u256_lt(&tx->max_fee, &tx->max_tip)) {
        return tip_above_cap(tx, fault);
    }
    if (tx->type == COH_TX_LEGACY || tx->type == COH_TX_ACCESS_LIST) {
        tx->type = COH_TX_DYNAMIC_FEE;
    }
    return true;
}

/* Reads the argument, and fills in all that needs no asking. */
static bool read_tx(coh_rpc_t const *rpc, coh_rpc_run_t *r, json_t *args, coh_rpc_fault_t *fault)
{
    json_t const *price    = coh_rpc_member(args, "gasPrice");
    json_t const *cap      = coh_rpc_member(args, "maxFeePerGas");
    json_t const *tip      = coh_rpc_member(args, "maxPriorityFeePerGas");
    json_t const *blob_cap = coh_rpc_member(args, "maxFeePerBlobGas");
    coh_header_t const *h  = &rpc->head->header;
    if (coh_rpc_member(args, "blobs") != NULL) {
        return coh_rpc_fault(fault,
                             COH_RPC_SERVER,
                             "blobs are not filled in: give their blobVersionedHashes instead");
    }
    /* Fees that are not both there are not to be compared yet. */
    json_t *plain = json_copy(args);
    if (price == NULL) {
        (void)json_object_del(plain, "maxFeePerGas");
        (void)json_object_del(plain, "maxPriorityFeePerGas");
    }
    bool ok = coh_rpc_read_args(rpc, r, plain != NULL ? plain : args, fault);
    json_decref(plain);
    if (!ok || (price == NULL && !fill_fees(rpc, &r->tx, &h->base_fee, cap, tip, fault))) {
        return false;
    }
    if (price != NULL && coh_u256_is_zero(&r->tx.max_fee) && rpc->head->fork >= COH_FORK_LONDON) {
        return coh_rpc_fault(fault, COH_RPC_SERVER, "gasPrice must be non-zero after london fork");
    }
    if (r->tx.type == COH_TX_BLOB && blob_cap == NULL) {
        coh_block_env_t env = coh_calls_env(rpc->d.genesis, h, rpc->head->fork);
        if (!add_twice(&r->tx.max_fee_per_blob_gas, &env.blob_base_fee, &COH_U256_ZERO)) {
            return coh_rpc_fault(fault, COH_RPC_SERVER, "blobs are too dear");
        }
    } else if (blob_cap != NULL && coh_u256_is_zero(&r->tx.max_fee_per_blob_gas)) {
        return coh_rpc_fault(
            fault, COH_RPC_SERVER, "maxFeePerBlobGas, if specified, must be non-zero");
    }
    if (r->tx.type == COH_TX_BLOB && r->tx.blob_cnt > rpc->next.blob_max) {
        return coh_rpc_fault(fault,
                             COH_RPC_SERVER,
                             "too many blobs in transaction (have=%" PRIu32 ", max=%" PRIu32 ")",
                             r->tx.blob_cnt,
                             rpc->next.blob_max);
    }
    if (r->tx.is_create && r->tx.data.n == 0) {
        return coh_rpc_fault(fault, COH_RPC_SERVER, "contract creation without any data provided");
    }
    return true;
}

static void done_filled(coh_rpc_call_t *call)
{
    coh_rpc_run_t *r = call->extra;
    coh_buf_t *out   = &call->out;
    coh_buf_t raw    = COH_BUF_INIT;
    coh_hash_t hash;
    coh_tx_t tx = r->tx;
    if (tx.type == COH_TX_LEGACY) { /* v, r and s are 0: what is signed for chain 0 (EIP-155) */
        tx.has_chain_id = true;
        tx.chain_id     = 0;
        coh_tx_put_signing_payload(&raw, &tx);
    } else {
        coh_tx_encode(&raw, &tx);
    }
    coh_keccak256(&hash, raw.p, raw.n);
    PUT(out, "{\"raw\":");
    coh_rpc_put_data(out, raw.p, raw.n);
    PUT(out, ",\"tx\":");
    coh_rpc_put_unsigned_tx(out, &r->tx, &hash);
    PUT(out, "}");
    coh_buf_free(&raw);
    coh_rpc_done(call);
}

static void step_gas(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_rpc_run_t *r = call->extra;
    if (coh_rpc_run_is_answered(rpc, call, ask)) {
        r->tx.gas_limit = ask->u.call.result.gas;
        done_filled(call);
    }
}

static void fill_gas(coh_rpc_t *rpc, coh_rpc_call_t *call)
{
    coh_rpc_run_t *r = call->extra;
    if (r->has_gas) {
        done_filled(call);
    } else {
        coh_rpc_run_pending(rpc, call, r, step_gas);
    }
}

static void step_nonce(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    ((coh_rpc_run_t *)call->extra)->tx.nonce = ask->u.state.values[0].nonce;
    fill_gas(rpc, call);
}

void coh_rpc_do_fill_tx(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    coh_rpc_run_t *r = coh_rpc_run_new(COH_CALL_ESTIMATE);
    call->extra      = r;
    call->extra_free = free_run;
    coh_rpc_fault_t fault;
    if (!read_tx(rpc, r, json_array_get(params, 0), &fault)) {
        coh_rpc_fail_fault(call, &fault);
    } else if (r->has_nonce) {
        fill_gas(rpc, call);
    } else {
        coh_rpc_ask_nonce(call, &r->from, step_nonce);
    }
}
