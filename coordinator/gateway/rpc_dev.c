/* Methods of a dev chain (coordinator/dev.h): accounts whose keys the node has, and what changes state, time and past. Names, arguments and answers are those of Hardhat Network, which
   Anvil shares under names of its own. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/config/dev_chain.h"
#include "common/crypto/ecdsa.h"
#include "common/crypto/keccak.h"
#include "coordinator/dev.h"
#include "coordinator/gateway/rpc_private.h"
#include "coordinator/gateway/rpc_typed_data.h"

#define PUT  COH_RPC_PUT
#define READ COH_RPC_READ

#define METHOD(function) \
    void coh_rpc_do_##function(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)

/* Gas of a transaction for which none is given: as much as one may have (EIP-7825). */
#define GAS_DEFAULT UINT64_C(16777216)
/* Tip where none is given. */
#define TIP_DEFAULT UINT64_C(1000000000)
/* Of a block: the least is Ethereum's (Yellow Paper 4.4.4). */
#define GAS_LIMIT_MIN UINT64_C(5000)
#define GAS_LIMIT_MAX (UINT64_C(1) << 48)
/* Blocks of one call. */
#define MINE_MAX UINT64_C(65536)
/* Octets of code (EIP-170 does not bind whoever sets it). */
#define CODE_MAX         ((size_t)512 << 10)
#define IMPERSONATED_MAX 1024u
#define INTERVAL_MAX_MS  UINT64_C(3600000)

struct coh_rpc_dev {
    coh_addr_t accounts[COH_DEV_ACCOUNT_CNT];
    coh_addr_t *impersonated; /* owned */
    uint32_t impersonated_cnt;
};

coh_rpc_dev_t *coh_rpc_dev_new(void)
{
    coh_rpc_dev_t *dev = coh_calloc(1, sizeof(*dev));
    coh_dev_accounts(dev->accounts);
    dev->impersonated = coh_calloc(IMPERSONATED_MAX, sizeof(*dev->impersonated));
    return dev;
}

void coh_rpc_dev_free(coh_rpc_dev_t *dev)
{
    if (dev != NULL) {
        free(dev->impersonated);
        free(dev);
    }
}

/* secret_of finds the key of an account; NULL: it is not known. */
static uint8_t const *secret_of(coh_rpc_dev_t const *dev, coh_addr_t const *addr)
{
    for (uint32_t i = 0; i < COH_DEV_ACCOUNT_CNT; i++) {
        if (coh_addr_eq(&dev->accounts[i], addr)) {
            return COH_DEV_SECRETS[i];
        }
    }
    return NULL;
}

/* The place of an impersonated account; impersonated_cnt: it is none. */
static uint32_t find_impersonated(coh_rpc_dev_t const *dev, coh_addr_t const *addr)
{
    uint32_t i = 0;
    while (i < dev->impersonated_cnt && !coh_addr_eq(&dev->impersonated[i], addr)) {
        i++;
    }
    return i;
}

void coh_rpc_dev_put_accounts(coh_rpc_dev_t const *dev, coh_buf_t *out)
{
    for (uint32_t i = 0; i < COH_DEV_ACCOUNT_CNT; i++) {
        coh_buf_put_u8(out, i == 0 ? '[' : ',');
        coh_rpc_put_addr(out, &dev->accounts[i]);
    }
    PUT(out, "]");
}

static void done_true(coh_rpc_call_t *call)
{
    PUT(&call->out, "true");
    coh_rpc_done(call);
}

static void fail_unknown(coh_rpc_call_t *call, coh_addr_t const *addr)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_rpc_put_addr(&text, addr);
    coh_rpc_fail(
        call, COH_RPC_SERVER, "unknown account %.*s", (int)(text.n - 2), (char const *)text.p + 1);
    coh_buf_free(&text);
}

/* ---- asking ---- */

static coh_ask_t *ask_dev(coh_dev_kind_t op)
{
    coh_ask_t *ask = coh_ask_new(COH_ASK_DEV);
    ask->u.dev.op  = (uint32_t)op;
    return ask;
}

/* is_done: it was carried out; else the call has failed. */
static bool is_done(coh_rpc_call_t *call, coh_ask_t const *ask)
{
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
    } else if (ask->u.dev.text[0] != '\0') {
        coh_rpc_fail(call, COH_RPC_SERVER, "%s", ask->u.dev.text);
    } else {
        return true;
    }
    return false;
}

static void step_true(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        done_true(call);
    }
}

static void step_zero(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        PUT(&call->out, "\"0x0\"");
        coh_rpc_done(call);
    }
}

static void step_bool(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        coh_buf_printf(&call->out, "%s", ask->u.dev.result != 0 ? "true" : "false");
        coh_rpc_done(call);
    }
}

/* ---- blocks and time ---- */

static void post_mine(coh_rpc_call_t *call, uint64_t cnt, uint64_t gap_s, coh_rpc_step_fn *step)
{
    if (cnt > MINE_MAX) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "more than %" PRIu64 " blocks", MINE_MAX);
        return;
    }
    coh_ask_t *ask = ask_dev(COH_DEV_MINE);
    ask->u.dev.a   = cnt;
    ask->u.dev.b   = gap_s;
    coh_rpc_post(call, ask, step);
}

/* A number that may be missing, or null. */
static bool optional_number(uint64_t *out,
                            json_t const *v,
                            uint64_t max,
                            unsigned idx,
                            coh_rpc_fault_t *fault)
{
    return v == NULL || json_is_null(v) || coh_rpc_get_number(out, v, max, idx, fault);
}

static void step_mine(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        post_mine(call, call->number, 1, step_zero);
    }
}

/* Argument: nothing, a timestamp, or Anvil's {timestamp, blocks}. */
METHOD(evm_mine)
{
    json_t const *v    = json_array_get(params, 0);
    json_t const *when = json_is_object(v) ? json_object_get(v, "timestamp") : v;
    uint64_t at        = 0;
    uint64_t cnt       = 1;
    coh_rpc_fault_t fault;
    (void)rpc;
    if (!optional_number(&at, when, UINT64_MAX, 0, &fault) ||
        !optional_number(&cnt, json_object_get(v, "blocks"), MINE_MAX, 0, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    call->number = cnt;
    if (at == 0) {
        post_mine(call, cnt, 1, step_zero);
        return;
    }
    coh_ask_t *ask = ask_dev(COH_DEV_NEXT_TIMESTAMP);
    ask->u.dev.a   = at;
    coh_rpc_post(call, ask, step_mine);
}

METHOD(dev_mine)
{
    uint64_t cnt = 1;
    uint64_t gap = 1;
    coh_rpc_fault_t fault;
    (void)rpc;
    if (!optional_number(&cnt, json_array_get(params, 0), UINT64_MAX, 0, &fault) ||
        !optional_number(&gap, json_array_get(params, 1), UINT32_MAX, 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    post_mine(call, cnt, gap, step_true);
}

static void step_text(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        uint64_t n = ask->u.dev.op == COH_DEV_INCREASE_TIME ? ask->u.dev.result : ask->u.dev.a;
        coh_buf_printf(&call->out, "\"%" PRId64 "\"", (int64_t)n);
        coh_rpc_done(call);
    }
}

static void post_number(coh_rpc_call_t *call,
                        json_t const *params,
                        coh_dev_kind_t op,
                        uint64_t max,
                        coh_rpc_step_fn *step)
{
    coh_rpc_fault_t fault;
    uint64_t n;
    if (!coh_rpc_get_number(&n, json_array_get(params, 0), max, 0, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    coh_ask_t *ask = ask_dev(op);
    ask->u.dev.a   = n;
    coh_rpc_post(call, ask, step);
}

METHOD(evm_increase_time)
{
    (void)rpc;
    post_number(call, params, COH_DEV_INCREASE_TIME, INT64_MAX, step_text);
}

METHOD(evm_next_timestamp)
{
    (void)rpc;
    post_number(call, params, COH_DEV_NEXT_TIMESTAMP, INT64_MAX, step_text);
}

METHOD(evm_automine)
{
    bool on;
    (void)rpc;
    READ(coh_rpc_get_bool, &on, call, params, 0);
    coh_ask_t *ask = ask_dev(COH_DEV_AUTOMINE);
    ask->u.dev.a   = on;
    coh_rpc_post(call, ask, step_true);
}

METHOD(dev_get_automine)
{
    (void)rpc;
    (void)params;
    coh_ask_t *ask = ask_dev(COH_DEV_AUTOMINE);
    ask->u.dev.a   = 2;
    coh_rpc_post(call, ask, step_bool);
}

/* Hardhat's in ms. Anvil's (anvil_setIntervalMining), which is in seconds, is not there. */
METHOD(evm_interval)
{
    (void)rpc;
    post_number(call, params, COH_DEV_INTERVAL_MINING, INTERVAL_MAX_MS, step_true);
}

/* ---- snapshots ---- */

static void step_snapshot(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        coh_rpc_put_quantity(&call->out, ask->u.dev.result);
        coh_rpc_done(call);
    }
}

METHOD(evm_snapshot)
{
    (void)rpc;
    (void)params;
    coh_rpc_post(call, ask_dev(COH_DEV_SNAPSHOT), step_snapshot);
}

METHOD(evm_revert)
{
    (void)rpc;
    post_number(call, params, COH_DEV_REVERT, UINT64_MAX, step_bool);
}

METHOD(dev_reset)
{
    json_t const *v = json_array_get(params, 0);
    if (json_object_get(v, "forking") != NULL) {
        coh_rpc_fail(call, COH_RPC_SERVER, "forking is not supported: a dev chain is its own");
        return;
    }
    rpc->dev->impersonated_cnt = 0;
    coh_rpc_post(call, ask_dev(COH_DEV_RESET), step_bool);
}

/* ---- state ---- */

static void post_patch(coh_rpc_call_t *call, coh_step_patch_t const *patch)
{
    coh_ask_t *ask  = ask_dev(COH_DEV_PATCH);
    ask->u.dev.addr = patch->addr;
    coh_step_put_patch(&ask->bytes, patch);
    coh_rpc_post(call, ask, step_true);
}

METHOD(dev_set_balance)
{
    coh_step_patch_t p = {.fields = COH_PATCH_BALANCE};
    (void)rpc;
    READ(coh_rpc_get_addr, &p.addr, call, params, 0);
    READ(coh_rpc_get_u256, &p.word, call, params, 1);
    post_patch(call, &p);
}

METHOD(dev_set_nonce)
{
    coh_step_patch_t p = {.fields = COH_PATCH_NONCE};
    (void)rpc;
    READ(coh_rpc_get_addr, &p.addr, call, params, 0);
    READ(coh_rpc_get_quantity, &p.number, call, params, 1);
    post_patch(call, &p);
}

METHOD(dev_set_code)
{
    coh_step_patch_t p = {.fields = COH_PATCH_CODE};
    coh_buf_t code     = COH_BUF_INIT;
    coh_rpc_fault_t fault;
    (void)rpc;
    if (!coh_rpc_get_addr(&p.addr, json_array_get(params, 0), 0, &fault) ||
        !coh_rpc_get_data(&code, json_array_get(params, 1), 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
    } else if (code.n > CODE_MAX) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "more than %zu octets of code", CODE_MAX);
    } else {
        p.code = coh_buf_bytes(&code);
        if (code.n != 0) {
            coh_keccak256(&p.hash, code.p, code.n);
        }
        post_patch(call, &p);
    }
    coh_buf_free(&code);
}

METHOD(dev_set_storage_at)
{
    coh_step_patch_t p = {.fields = COH_PATCH_SLOT};
    coh_u256_t slot;
    (void)rpc;
    READ(coh_rpc_get_addr, &p.addr, call, params, 0);
    READ(coh_rpc_get_slot, &slot, call, params, 1);
    READ(coh_rpc_get_slot, &p.word, call, params, 2);
    coh_u256_to_be(p.hash.b, &slot);
    post_patch(call, &p);
}

/* ---- what blocks are built by ---- */

METHOD(dev_coinbase)
{
    coh_addr_t addr;
    (void)rpc;
    READ(coh_rpc_get_addr, &addr, call, params, 0);
    coh_ask_t *ask  = ask_dev(COH_DEV_COINBASE);
    ask->u.dev.addr = addr;
    coh_rpc_post(call, ask, step_true);
}

METHOD(evm_gas_limit)
{
    uint64_t limit;
    (void)rpc;
    READ(coh_rpc_get_quantity, &limit, call, params, 0);
    if (limit < GAS_LIMIT_MIN || limit > GAS_LIMIT_MAX) {
        coh_rpc_fail(call,
                     COH_RPC_PARAMS,
                     "invalid argument 0: a block's gas limit is %" PRIu64 " to %" PRIu64,
                     GAS_LIMIT_MIN,
                     GAS_LIMIT_MAX);
        return;
    }
    coh_ask_t *ask = ask_dev(COH_DEV_GAS_LIMIT);
    ask->u.dev.a   = limit;
    coh_rpc_post(call, ask, step_true);
}

static void post_word(coh_rpc_call_t *call, coh_dev_kind_t op, coh_u256_t const *word)
{
    coh_ask_t *ask = ask_dev(op);
    coh_u256_to_be(ask->u.dev.hash.b, word);
    coh_rpc_post(call, ask, step_true);
}

METHOD(dev_base_fee)
{
    coh_u256_t fee;
    (void)rpc;
    READ(coh_rpc_get_u256, &fee, call, params, 0);
    post_word(call, COH_DEV_BASE_FEE, &fee);
}

METHOD(dev_prev_randao)
{
    coh_u256_t word;
    (void)rpc;
    READ(coh_rpc_get_slot, &word, call, params, 0);
    post_word(call, COH_DEV_PREV_RANDAO, &word);
}

/* ---- accounts of others, and the pool ---- */

METHOD(dev_drop_tx)
{
    (void)rpc;
    coh_hash_t hash;
    READ(coh_rpc_get_hash, &hash, call, params, 0);
    coh_ask_t *ask  = ask_dev(COH_DEV_DROP);
    ask->u.dev.hash = hash;
    coh_rpc_post(call, ask, step_bool);
}

METHOD(dev_impersonate)
{
    coh_rpc_dev_t *dev = rpc->dev;
    coh_addr_t addr;
    READ(coh_rpc_get_addr, &addr, call, params, 0);
    if (find_impersonated(dev, &addr) == dev->impersonated_cnt) {
        if (dev->impersonated_cnt == IMPERSONATED_MAX) {
            coh_rpc_fail(
                call, COH_RPC_LIMIT, "%u accounts are impersonated already", IMPERSONATED_MAX);
            return;
        }
        dev->impersonated[dev->impersonated_cnt++] = addr;
    }
    done_true(call);
}

METHOD(dev_stop_impersonating)
{
    coh_rpc_dev_t *dev = rpc->dev;
    coh_addr_t addr;
    READ(coh_rpc_get_addr, &addr, call, params, 0);
    uint32_t i = find_impersonated(dev, &addr);
    if (i == dev->impersonated_cnt) {
        PUT(&call->out, "false");
        coh_rpc_done(call);
        return;
    }
    dev->impersonated[i] = dev->impersonated[--dev->impersonated_cnt];
    done_true(call);
}

/* ---- transactions ---- */

static void step_hash(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (is_done(call, ask)) {
        coh_rpc_put_hash(&call->out, &call->hash);
        coh_rpc_done(call);
    }
}

void coh_rpc_dev_wait(coh_rpc_call_t *call, coh_hash_t const *hash)
{
    coh_ask_t *ask  = ask_dev(COH_DEV_WAIT);
    ask->u.dev.hash = *hash;
    call->hash      = *hash;
    coh_rpc_post(call, ask, step_hash);
}

static void step_sent(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    coh_ask_verdict_t const *v = &ask->u.dev.verdict;
    if (!is_done(call, ask)) {
        return;
    }
    if (v->err != COH_TX_OK) {
        coh_rpc_fail_verdict(call, v, coh_buf_bytes(&ask->bytes));
    } else {
        coh_rpc_dev_wait(call, &v->hash);
    }
}

/* A transaction to be signed. */
typedef struct {
    coh_tx_t tx; /* borrows from what follows */
    coh_addr_t from;
    bool has_nonce;
    coh_buf_t data;
    coh_buf_t access_list;
    coh_buf_t auth_list;
} unsigned_t;

static void free_unsigned(void *extra)
{
    unsigned_t *u = extra;
    coh_buf_free(&u->data);
    coh_buf_free(&u->access_list);
    coh_buf_free(&u->auth_list);
    free(u);
}

/* fill_fees: what was not said. */
static void fill_fees(coh_rpc_t const *rpc, coh_tx_t *tx, json_t const *args)
{
    bool has_price = json_object_get(args, "gasPrice") != NULL;
    bool has_cap   = json_object_get(args, "maxFeePerGas") != NULL;
    bool has_tip   = json_object_get(args, "maxPriorityFeePerGas") != NULL;
    if (has_price || (has_cap && has_tip)) {
        return;
    }
    if (tx->type == COH_TX_LEGACY || (tx->type == COH_TX_ACCESS_LIST && (has_cap || has_tip))) {
        tx->type = COH_TX_DYNAMIC_FEE;
    }
    if (!has_tip) {
        tx->max_tip = coh_u256(TIP_DEFAULT);
    }
    if (!has_cap) {
        coh_u256_t base = rpc->next.base_fee;
        (void)coh_u256_add(&base, &base, &base);
        (void)coh_u256_add(&tx->max_fee, &base, &tx->max_tip);
    } else if (coh_u256_lt(&tx->max_fee, &tx->max_tip)) {
        tx->max_tip = tx->max_fee;
    }
}

/* read_unsigned reads the argument into call->extra; NULL: the call has failed. */
static unsigned_t *read_unsigned(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    json_t const *args = json_array_get(params, 0);
    unsigned_t *u      = coh_calloc(1, sizeof(*u));
    coh_rpc_fault_t fault;
    call->extra      = u;
    call->extra_free = free_unsigned;
    /* maxPriorityFeePerGas alone is less than no cap. */
    json_t *plain = json_is_object(args) ? json_copy((json_t *)(uintptr_t)args) : NULL;
    json_t *tip   = json_incref(json_object_get(plain, "maxPriorityFeePerGas"));
    if (json_object_get(plain, "maxFeePerGas") == NULL) {
        (void)json_object_del(plain, "maxPriorityFeePerGas");
    }
    bool ok =
        coh_rpc_read_tx(rpc,
                        &u->tx,
                        &u->from,
                        &u->data,
                        &u->access_list,
                        &u->auth_list,
                        plain != NULL ? plain : args,
                        &fault) &&
        (tip == NULL || json_is_null(tip) || coh_rpc_get_u256(&u->tx.max_tip, tip, 0, &fault));
    json_decref(tip);
    json_decref(plain);
    if (!ok) {
        coh_rpc_fail_fault(call, &fault);
        return NULL;
    }
    if (json_object_get(args, "from") == NULL) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "missing value for from");
        return NULL;
    }
    if (u->tx.type ==
        COH_TX_BLOB) { /* its blobs, and the proofs for them, are the sender's to make */
        coh_rpc_fail(call, COH_RPC_SERVER, "signing blob transactions not supported");
        return NULL;
    }
    json_t const *nonce = json_object_get(args, "nonce");
    u->has_nonce        = nonce != NULL && !json_is_null(nonce);
    u->tx.has_chain_id  = true;
    if (u->tx.gas_limit == 0) {
        u->tx.gas_limit = COH_MIN(GAS_DEFAULT, rpc->next.gas_limit);
    }
    fill_fees(rpc, &u->tx, args);
    return u;
}

METHOD(send_tx)
{
    unsigned_t *u = read_unsigned(rpc, call, params);
    if (u == NULL) {
        return;
    }
    if (secret_of(rpc->dev, &u->from) == NULL &&
        find_impersonated(rpc->dev, &u->from) == rpc->dev->impersonated_cnt) {
        fail_unknown(call, &u->from);
        return;
    }
    coh_ask_t *ask  = ask_dev(COH_DEV_SEND);
    ask->u.dev.addr = u->from;
    ask->u.dev.a    = u->has_nonce;
    coh_tx_encode(&ask->bytes, &u->tx);
    coh_rpc_post(call, ask, step_sent);
}

static void done_signed(coh_rpc_t *rpc, coh_rpc_call_t *call)
{
    unsigned_t *u = call->extra;
    coh_buf_t raw = COH_BUF_INIT;
    coh_err_t rc  = coh_tx_sign(&u->tx, secret_of(rpc->dev, &u->from));
    COH_ASSERT(rc == COH_OK); /* it is a key */
    coh_tx_encode(&raw, &u->tx);
    coh_rpc_put_data(&call->out, raw.p, raw.n);
    coh_buf_free(&raw);
    coh_rpc_done(call);
}

static void step_nonce(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    ((unsigned_t *)call->extra)->tx.nonce = ask->u.state.values[0].nonce;
    done_signed(rpc, call);
}

METHOD(sign_tx)
{
    unsigned_t *u = read_unsigned(rpc, call, params);
    if (u == NULL) {
        return;
    }
    if (secret_of(rpc->dev, &u->from) == NULL) {
        fail_unknown(call, &u->from);
    } else if (u->has_nonce) {
        done_signed(rpc, call);
    } else {
        coh_rpc_ask_nonce(call, &u->from, step_nonce);
    }
}

/* ---- signatures ---- */

static void done_signature(coh_rpc_t *rpc,
                           coh_rpc_call_t *call,
                           coh_addr_t const *addr,
                           coh_hash_t const *digest)
{
    uint8_t const *secret = secret_of(rpc->dev, addr);
    uint8_t out[65];
    coh_sig_t sig;
    if (secret == NULL) {
        fail_unknown(call, addr);
        return;
    }
    coh_err_t rc = coh_ecdsa_sign(&sig, digest, secret);
    COH_ASSERT(rc == COH_OK); /* it is a key */
    memcpy(out, sig.r, 32);
    memcpy(out + 32, sig.s, 32);
    out[64] = (uint8_t)(27 + sig.parity);
    coh_rpc_put_data(&call->out, out, sizeof(out));
    coh_rpc_done(call);
}

/* EIP-191, version 0x45. */
static void sign_message(coh_rpc_t *rpc,
                         coh_rpc_call_t *call,
                         json_t const *params,
                         unsigned addr_idx)
{
    coh_addr_t addr;
    coh_buf_t message = COH_BUF_INIT;
    coh_buf_t all     = COH_BUF_INIT;
    coh_rpc_fault_t fault;
    unsigned idx = 1 - addr_idx;
    if (coh_rpc_get_addr(&addr, json_array_get(params, addr_idx), addr_idx, &fault) &&
        coh_rpc_get_data(&message, json_array_get(params, idx), idx, &fault)) {
        coh_hash_t digest;
        coh_buf_printf(&all,
                       "\x19"
                       "Ethereum Signed Message:\n%zu",
                       message.n);
        coh_buf_put(&all, message.p, message.n);
        coh_keccak256(&digest, all.p, all.n);
        done_signature(rpc, call, &addr, &digest);
    } else {
        coh_rpc_fail_fault(call, &fault);
    }
    coh_buf_free(&message);
    coh_buf_free(&all);
}

METHOD(sign) { sign_message(rpc, call, params, 0); }
METHOD(personal_sign) { sign_message(rpc, call, params, 1); }

/* EIP-712. The typed data come as an object or as its text. */
METHOD(sign_typed_data)
{
    coh_addr_t addr;
    coh_rpc_fault_t fault;
    coh_hash_t digest;
    READ(coh_rpc_get_addr, &addr, call, params, 0);
    json_t const *given = json_array_get(params, 1);
    json_t *parsed      = NULL;
    if (json_is_string(given)) {
        parsed = coh_rpc_parse(coh_bytes(json_string_value(given), json_string_length(given)),
                               COH_RPC_DEPTH_MAX,
                               COH_RPC_VALUES_MAX,
                               &fault);
        given  = parsed;
    }
    bool ok = given != NULL && coh_rpc_typed_digest(&digest, given, &fault);
    json_decref(parsed);
    if (ok) {
        done_signature(rpc, call, &addr, &digest);
    } else {
        coh_rpc_fail_fault(call, &fault);
    }
}
