/* Methods that execute on the state of a committed block: calls, estimates, access lists, traces. Arguments, defaults and texts of errors are geth's. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/evm/evm.h"
#include "common/evm/revert.h"
#include "coordinator/calls.h"
#include "coordinator/gateway/rpc_run.h"

#define PUT  COH_RPC_PUT
#define READ COH_RPC_READ

#define METHOD(function) \
    void coh_rpc_do_##function(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)

/* Thousandths that an estimate may be too much, as in geth. */
#define ESTIMATE_RATIO 15u
/* The DAO fork's block (EIP-779). */
#define DAO_CHAIN UINT64_C(1)
#define DAO_BLOCK UINT64_C(1920000)

void coh_rpc_run_clear(coh_rpc_run_t *r)
{
    coh_buf_free(&r->data);
    coh_buf_free(&r->access_list);
    coh_buf_free(&r->blob_hashes);
    coh_buf_free(&r->auth_list);
    r->tx   = (coh_tx_t){.type = COH_TX_LEGACY};
    r->from = (coh_addr_t){{0}};
}

void coh_rpc_run_free(coh_rpc_run_t *r)
{
    if (r == NULL) {
        return;
    }
    coh_rpc_run_clear(r);
    coh_ask_free(r->ask);
    free(r->codes);
    free(r->targets);
    free(r->hashes);
    free(r);
}

coh_rpc_run_t *coh_rpc_run_new(coh_call_mode_t mode)
{
    coh_rpc_run_t *r      = coh_calloc(1, sizeof(*r));
    r->ask                = coh_ask_new(COH_ASK_CALL);
    r->ask->u.call.m.mode = (uint32_t)mode;
    return r;
}

static void free_run(void *extra) { coh_rpc_run_free(extra); }

static coh_rpc_run_t *new_run(coh_rpc_call_t *call, coh_call_mode_t mode)
{
    coh_rpc_run_t *r = coh_rpc_run_new(mode);
    call->extra      = r;
    call->extra_free = free_run;
    return r;
}

/* ---- reading what is to be executed ---- */

json_t *coh_rpc_member(json_t const *object, char const *name)
{
    json_t *v = json_object_get(object, name);
    return json_is_null(v) ? NULL : v;
}

static bool optional_u256(coh_u256_t *out,
                          json_t const *object,
                          char const *name,
                          unsigned idx,
                          coh_rpc_fault_t *fault)
{
    json_t const *v = coh_rpc_member(object, name);
    return v == NULL || coh_rpc_get_u256(out, v, idx, fault);
}

static bool optional_quantity(uint64_t *out,
                              json_t const *object,
                              char const *name,
                              unsigned idx,
                              coh_rpc_fault_t *fault)
{
    json_t const *v = coh_rpc_member(object, name);
    return v == NULL || coh_rpc_get_quantity(out, v, idx, fault);
}

static bool is_object_or_none(json_t const *v,
                              unsigned idx,
                              char const *type,
                              coh_rpc_fault_t *fault)
{
    return v == NULL || json_is_null(v) || json_is_object(v) ||
           coh_rpc_fault_type(fault, idx, v, type);
}

bool coh_rpc_list_of(json_t const **out,
                     json_t const *object,
                     char const *name,
                     unsigned idx,
                     coh_rpc_fault_t *fault)
{
    *out = coh_rpc_member(object, name);
    return *out == NULL || json_is_array(*out) ||
           coh_rpc_fault(fault, COH_RPC_PARAMS, "invalid argument %u: %s is not a list", idx, name);
}

static bool read_data(coh_rpc_run_t *r, json_t const *args, coh_rpc_fault_t *fault)
{
    json_t const *data  = coh_rpc_member(args, "data");
    json_t const *input = coh_rpc_member(args, "input");
    if (data != NULL && !coh_rpc_get_data(&r->data, data, 0, fault)) {
        return false;
    }
    if (input != NULL) {
        coh_buf_t other = COH_BUF_INIT;
        bool ok         = coh_rpc_get_data(&other, input, 0, fault);
        bool same       = data == NULL || (other.n == r->data.n &&
                                     (other.n == 0 || memcmp(other.p, r->data.p, other.n) == 0));
        coh_buf_free(&r->data);
        r->data = other;
        if (!ok) {
            return false;
        }
        if (!same) {
            return coh_rpc_fault(fault,
                                 COH_RPC_SERVER,
                                 "both \"data\" and \"input\" are set and not equal. Please use "
                                 "\"input\" to pass transaction call data");
        }
    }
    r->tx.data = coh_buf_bytes(&r->data);
    return true;
}

static bool read_fees(coh_rpc_run_t *r, json_t const *args, coh_rpc_fault_t *fault)
{
    bool price = coh_rpc_member(args, "gasPrice") != NULL;
    bool fees  = coh_rpc_member(args, "maxFeePerGas") != NULL ||
                coh_rpc_member(args, "maxPriorityFeePerGas") != NULL;
    if (price && fees) {
        return coh_rpc_fault(fault,
                             COH_RPC_SERVER,
                             "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified");
    }
    if (!optional_u256(&r->tx.max_fee, args, price ? "gasPrice" : "maxFeePerGas", 0, fault) ||
        !optional_u256(
            &r->tx.max_tip, args, price ? "gasPrice" : "maxPriorityFeePerGas", 0, fault) ||
        !optional_u256(&r->tx.max_fee_per_blob_gas, args, "maxFeePerBlobGas", 0, fault)) {
        return false;
    }
    if (coh_u256_lt(&r->tx.max_fee, &r->tx.max_tip)) {
        return coh_rpc_fault(fault, COH_RPC_SERVER, "%s", coh_tx_err_str(COH_TX_TIP_ABOVE_CAP));
    }
    if (fees) {
        r->tx.type = COH_TX_DYNAMIC_FEE;
    }
    return true;
}

/* EIP-2930 */
static bool read_access_list(coh_rpc_run_t *r, json_t const *args, coh_rpc_fault_t *fault)
{
    json_t const *list;
    if (!coh_rpc_list_of(&list, args, "accessList", 0, fault)) {
        return false;
    }
    coh_buf_t *out = &r->access_list;
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t const *entry = json_array_get(list, i);
        json_t const *keys;
        coh_addr_t addr;
        size_t at = out->n;
        if (!coh_rpc_get_addr(&addr, json_object_get(entry, "address"), 0, fault) ||
            !coh_rpc_list_of(&keys, entry, "storageKeys", 0, fault)) {
            return false;
        }
        coh_rlp_put_string(out, addr.b, sizeof(addr.b));
        size_t keys_at = out->n;
        for (size_t k = 0; k < json_array_size(keys); k++) {
            coh_hash_t key;
            if (!coh_rpc_get_hash(&key, json_array_get(keys, k), 0, fault)) {
                return false;
            }
            coh_rlp_put_string(out, key.b, sizeof(key.b));
            r->tx.access_key_cnt++;
        }
        coh_rlp_wrap_list(out, keys_at);
        coh_rlp_wrap_list(out, at);
        r->tx.access_addr_cnt++;
    }
    r->tx.access_list = coh_buf_bytes(out);
    if (list != NULL && r->tx.type == COH_TX_LEGACY) {
        r->tx.type = COH_TX_ACCESS_LIST;
    }
    return true;
}

/* EIP-4844 */
static bool read_blobs(coh_rpc_run_t *r, json_t const *args, coh_rpc_fault_t *fault)
{
    json_t const *list;
    if (!coh_rpc_list_of(&list, args, "blobVersionedHashes", 0, fault)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        coh_hash_t hash;
        if (!coh_rpc_get_hash(&hash, json_array_get(list, i), 0, fault)) {
            return false;
        }
        coh_rlp_put_string(&r->blob_hashes, hash.b, sizeof(hash.b));
        r->tx.blob_cnt++;
    }
    r->tx.blob_hashes = coh_buf_bytes(&r->blob_hashes);
    if (list != NULL) {
        r->tx.type = COH_TX_BLOB;
        if (r->tx.blob_cnt == 0) {
            return coh_rpc_fault(
                fault, COH_RPC_SERVER, "need at least 1 blob for a blob transaction");
        }
        if (r->tx.is_create) {
            return coh_rpc_fault(fault, COH_RPC_SERVER, "missing \"to\" in blob transaction");
        }
    }
    return true;
}

static bool read_word(uint8_t out[32], json_t const *object, char const *name, coh_rpc_fault_t *f)
{
    coh_u256_t word;
    if (!coh_rpc_get_u256(&word, json_object_get(object, name), 0, f)) {
        return false;
    }
    coh_u256_to_be(out, &word);
    return true;
}

/* EIP-7702 */
static bool read_auths(coh_rpc_run_t *r, json_t const *args, coh_rpc_fault_t *fault)
{
    json_t const *list;
    if (!coh_rpc_list_of(&list, args, "authorizationList", 0, fault)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t const *entry = json_array_get(list, i);
        coh_tx_auth_t auth  = {.parity = 0};
        uint64_t parity     = 0;
        if (!coh_rpc_get_u256(&auth.chain_id, json_object_get(entry, "chainId"), 0, fault) ||
            !coh_rpc_get_addr(&auth.addr, json_object_get(entry, "address"), 0, fault) ||
            !coh_rpc_get_quantity(&auth.nonce, json_object_get(entry, "nonce"), 0, fault) ||
            !coh_rpc_get_number(&parity, json_object_get(entry, "yParity"), UINT8_MAX, 0, fault) ||
            !read_word(auth.r, entry, "r", fault) || !read_word(auth.s, entry, "s", fault)) {
            return false;
        }
        auth.parity = (uint8_t)parity;
        coh_tx_auth_put(&r->auth_list, &auth);
        r->tx.auth_cnt++;
    }
    r->tx.auth_list = coh_buf_bytes(&r->auth_list);
    if (list != NULL) {
        r->tx.type = COH_TX_SET_CODE;
        if (r->tx.is_create) {
            return coh_rpc_fault(fault, COH_RPC_SERVER, "missing \"to\" in set code transaction");
        }
    }
    return true;
}

bool coh_rpc_read_args(coh_rpc_t const *rpc,
                       coh_rpc_run_t *r,
                       json_t const *args,
                       coh_rpc_fault_t *fault)
{
    json_t const *from = coh_rpc_member(args, "from");
    json_t const *to   = coh_rpc_member(args, "to");
    uint64_t chain_id  = rpc->d.genesis->chain_id;
    bool estimates     = r->ask->u.call.m.mode == COH_CALL_ESTIMATE;
    r->tx.gas_limit    = estimates ? 0 : UINT64_MAX; /* as much as there may be */
    r->tx.is_create    = to == NULL;
    r->has_nonce       = coh_rpc_member(args, "nonce") != NULL;
    r->has_gas         = coh_rpc_member(args, "gas") != NULL;
    r->has_price       = coh_rpc_member(args, "gasPrice") != NULL;
    if (!json_is_object(args)) {
        return coh_rpc_fault_type(fault, 0, args, "ethapi.TransactionArgs");
    }
    if ((from != NULL && !coh_rpc_get_addr(&r->from, from, 0, fault)) ||
        (to != NULL && !coh_rpc_get_addr(&r->tx.to, to, 0, fault)) ||
        !optional_quantity(&r->tx.gas_limit, args, "gas", 0, fault) ||
        !optional_quantity(&r->tx.nonce, args, "nonce", 0, fault) ||
        !optional_quantity(&chain_id, args, "chainId", 0, fault) ||
        !optional_u256(&r->tx.value, args, "value", 0, fault) || !read_data(r, args, fault) ||
        !read_fees(r, args, fault) || !read_access_list(r, args, fault) ||
        !read_blobs(r, args, fault) || !read_auths(r, args, fault)) {
        return false;
    }
    if (chain_id != rpc->d.genesis->chain_id) {
        return coh_rpc_fault(fault,
                             COH_RPC_SERVER,
                             "chainId does not match node's (have=%" PRIu64 ", want=%" PRIu64 ")",
                             chain_id,
                             rpc->d.genesis->chain_id);
    }
    r->tx.chain_id = chain_id;
    return true;
}

bool coh_rpc_read_tx(coh_rpc_t const *rpc,
                     coh_tx_t *tx,
                     coh_addr_t *from,
                     coh_buf_t *data,
                     coh_buf_t *access_list,
                     coh_buf_t *auth_list,
                     json_t const *args,
                     coh_rpc_fault_t *fault)
{
    coh_ask_t ask     = {.kind = COH_ASK_CALL};
    coh_rpc_run_t r   = {.ask = &ask};
    ask.u.call.m.mode = COH_CALL_ESTIMATE; /* no gas of its own */
    bool ok           = coh_rpc_read_args(rpc, &r, args, fault);
    *tx               = r.tx;
    *from             = r.from;
    *data             = r.data;
    *access_list      = r.access_list;
    tx->data          = coh_buf_bytes(data);
    *auth_list        = r.auth_list;
    tx->access_list   = coh_buf_bytes(access_list);
    tx->auth_list     = coh_buf_bytes(auth_list);
    tx->blob_hashes   = coh_bytes(NULL, 0);
    coh_buf_free(&r.blob_hashes);
    return ok;
}

/* ---- overrides ---- */

static bool read_override_slots(coh_ask_t *ask,
                                coh_addr_t const *addr,
                                json_t *slots,
                                unsigned idx,
                                coh_rpc_fault_t *fault)
{
    char const *name;
    json_t *value;
    if (!json_is_object(slots)) {
        return coh_rpc_fault(
            fault, COH_RPC_PARAMS, "invalid argument %u: slots are not an object", idx);
    }
    json_object_foreach (slots, name, value) {
        json_t *key = json_string(name);
        coh_hash_t word;
        coh_rec_override_slot_t *s = &ask->u.call.slots[ask->u.call.m.slots.cnt];
        s->addr                    = *addr;
        bool ok                    = coh_rpc_get_slot(&s->slot, key, idx, fault) &&
                  coh_rpc_get_hash(&word, value, idx, fault);
        json_decref(key);
        if (!ok) {
            return false;
        }
        s->value = coh_u256_load_be(word.b);
        ask->u.call.m.slots.cnt++;
    }
    return true;
}

static bool read_override(coh_rpc_run_t *r,
                          coh_addr_t const *addr,
                          json_t const *given,
                          unsigned idx,
                          coh_rpc_fault_t *fault)
{
    coh_ask_t *ask          = r->ask;
    uint32_t place          = ask->u.call.m.overrides.cnt++;
    coh_rec_override_t *o   = &ask->u.call.overrides[place];
    coh_ask_part_t *code    = &r->codes[place];
    json_t *state           = coh_rpc_member(given, "state");
    json_t *diff            = coh_rpc_member(given, "stateDiff");
    json_t const *code_text = coh_rpc_member(given, "code");
    json_t const *to        = coh_rpc_member(given, "movePrecompileToAddress");
    o->addr                 = *addr;
    o->fields               = (coh_rpc_member(given, "nonce") != NULL ? COH_OVERRIDE_NONCE : 0u) |
                (coh_rpc_member(given, "balance") != NULL ? COH_OVERRIDE_BALANCE : 0u) |
                (code_text != NULL ? COH_OVERRIDE_CODE : 0u) |
                (state != NULL ? COH_OVERRIDE_STATE : 0u);
    if (state != NULL && diff != NULL) {
        char text[COH_RPC_ADDR_SZ];
        coh_rpc_checksum(text, addr);
        return coh_rpc_fault(
            fault, COH_RPC_SERVER, "account %s has both 'state' and 'stateDiff'", text);
    }
    if (to != NULL && !coh_rpc_get_addr(&r->targets[place], to, idx, fault)) {
        return false;
    }
    code->at = ask->bytes.n;
    if (!optional_quantity(&o->nonce, given, "nonce", idx, fault) ||
        !optional_u256(&o->balance, given, "balance", idx, fault) ||
        (code_text != NULL && !coh_rpc_get_data(&ask->bytes, code_text, idx, fault))) {
        return false;
    }
    code->n       = ask->bytes.n - code->at;
    json_t *slots = state != NULL ? state : diff;
    return slots == NULL || read_override_slots(ask, addr, slots, idx, fault);
}

bool coh_rpc_read_overrides(coh_rpc_run_t *r, json_t *given, unsigned idx, coh_rpc_fault_t *fault)
{
    if (!is_object_or_none(given, idx, "override.StateOverride", fault)) {
        return false;
    }
    size_t cnt = json_object_size(given);
    if (cnt > COH_OVERRIDE_MAX) {
        return coh_rpc_fault(
            fault, COH_RPC_LIMIT, "more than %u overridden accounts", COH_OVERRIDE_MAX);
    }
    if (cnt == 0) {
        return true;
    }
    r->codes                 = coh_calloc(cnt, sizeof(*r->codes));
    r->ask->u.call.overrides = coh_calloc(cnt, sizeof(*r->ask->u.call.overrides));
    r->targets               = coh_calloc(cnt, sizeof(*r->targets));
    char const *name;
    json_t *account;
    size_t slots = 0;
    json_object_foreach (given, name, account) {
        slots += json_object_size(json_object_get(account, "state")) +
                 json_object_size(json_object_get(account, "stateDiff"));
    }
    if (slots > COH_OVERRIDE_SLOT_MAX) {
        return coh_rpc_fault(
            fault, COH_RPC_LIMIT, "more than %u overridden slots", COH_OVERRIDE_SLOT_MAX);
    }
    r->ask->u.call.slots = coh_calloc(slots + 1, sizeof(*r->ask->u.call.slots));
    json_object_foreach (given, name, account) {
        coh_addr_t addr;
        json_t *text = json_string(name);
        bool ok      = coh_rpc_get_addr(&addr, text, idx, fault);
        json_decref(text);
        for (uint32_t i = 0; ok && i < r->ask->u.call.m.overrides.cnt; i++) {
            if (coh_addr_eq(&r->ask->u.call.overrides[i].addr, &addr)) {
                return coh_rpc_fault(
                    fault, COH_RPC_PARAMS, "invalid argument %u: an account comes twice", idx);
            }
        }
        if (!ok || !is_object_or_none(account, idx, "override.OverrideAccount", fault) ||
            !read_override(r, &addr, account, idx, fault)) {
            return false;
        }
    }
    return true;
}

static bool is_overridden(coh_rpc_run_t const *r, coh_addr_t const *addr)
{
    for (uint32_t i = 0; i < r->ask->u.call.m.overrides.cnt; i++) {
        if (coh_addr_eq(&r->ask->u.call.overrides[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

/* What runs at an address from here on. */
static void put_move(coh_rpc_run_t *r, coh_addr_t const *at, coh_addr_t const *is)
{
    coh_rec_precompile_t *moves = r->ask->u.call.moves;
    uint32_t *cnt               = &r->ask->u.call.m.moves.cnt;
    for (uint32_t i = 0; i < *cnt; i++) {
        if (coh_addr_eq(&moves[i].at, at)) {
            moves[i].is = *is;
            return;
        }
    }
    moves[(*cnt)++] = (coh_rec_precompile_t){.at = *at, .is = *is};
}

/* An override takes away the precompiled contract of its account, and may put it elsewhere. */
bool coh_rpc_check_moves(coh_rpc_run_t *r, coh_fork_t fork, coh_rpc_fault_t *fault)
{
    static coh_addr_t const none;
    uint32_t cnt         = r->ask->u.call.m.overrides.cnt;
    r->ask->u.call.moves = coh_calloc(2 * (size_t)cnt + 1, sizeof(*r->ask->u.call.moves));
    for (uint32_t i = 0; i < cnt; i++) {
        coh_addr_t const *addr = &r->ask->u.call.overrides[i].addr;
        coh_addr_t const *to   = &r->targets[i];
        bool is_there          = coh_fork_is_precompile(fork, addr);
        bool moves             = !coh_addr_eq(to, &none);
        char text[COH_RPC_ADDR_SZ];
        if (moves && !is_there) {
            coh_rpc_checksum(text, addr);
            return coh_rpc_fault(fault, COH_RPC_SERVER, "account %s is not a precompile", text);
        }
        if (moves && is_overridden(r, to)) {
            coh_rpc_checksum(text, to);
            return coh_rpc_fault(fault, COH_RPC_SERVER, "account %s is already overridden", text);
        }
        if (is_there) {
            put_move(r, addr, &none);
        }
        if (moves) {
            put_move(r, to, addr);
        }
    }
    return r->ask->u.call.m.moves.cnt <= COH_CALL_MOVE_MAX ||
           coh_rpc_fault(fault, COH_RPC_LIMIT, "more than %u precompiles moved", COH_CALL_MOVE_MAX);
}

/* named_by: which of two names a member has; the first if neither. */
static char const *named_by(json_t const *object, char const *name, char const *other)
{
    return coh_rpc_member(object, name) == NULL && coh_rpc_member(object, other) != NULL ? other
                                                                                         : name;
}

bool coh_rpc_read_env(coh_rpc_run_t *r,
                      json_t const *given,
                      unsigned idx,
                      bool whole,
                      coh_rpc_fault_t *fault)
{
    coh_block_env_t *env   = &r->env;
    char const *time       = named_by(given, "time", "timestamp");
    char const *recipient  = named_by(given, "feeRecipient", "coinbase");
    char const *randao     = named_by(given, "prevRandao", "random");
    char const *fee        = named_by(given, "baseFeePerGas", "baseFee");
    char const *difficulty = coh_rpc_member(given, randao) != NULL ? randao : "difficulty";
    struct {
        char const *name;
        uint32_t field;
    } const names[]                    = {{"number", COH_CALL_ENV_NUMBER},
                                          {time, COH_CALL_ENV_TIMESTAMP},
                                          {"gasLimit", COH_CALL_ENV_GAS_LIMIT},
                                          {fee, COH_CALL_ENV_BASE_FEE},
                                          {"blobBaseFee", COH_CALL_ENV_BLOB_BASE_FEE},
                                          {difficulty, COH_CALL_ENV_PREV_RANDAO},
                                          {recipient, COH_CALL_ENV_COINBASE}};
    static char const *const refused[] = {"beaconRoot", "withdrawals"};
    if (!is_object_or_none(given, idx, "override.BlockOverrides", fault)) {
        return false;
    }
    for (size_t i = 0; i < COH_CNT(refused) && !whole; i++) {
        if (coh_rpc_member(given, refused[i]) != NULL) {
            return coh_rpc_fault(fault,
                                 COH_RPC_SERVER,
                                 "block override \"%s\" is not supported for this RPC method",
                                 refused[i]);
        }
    }
    for (size_t i = 0; i < COH_CNT(names); i++) {
        r->env_fields |= coh_rpc_member(given, names[i].name) != NULL ? names[i].field : 0;
    }
    json_t const *coinbase = coh_rpc_member(given, recipient);
    coh_hash_t word;
    if (coh_rpc_member(given, randao) != NULL) {
        if (!coh_rpc_get_hash(&word, coh_rpc_member(given, randao), idx, fault)) {
            return false;
        }
        env->prev_randao = coh_u256_load_be(word.b);
    } else if (!optional_u256(&env->prev_randao, given, "difficulty", idx, fault)) {
        return false;
    }
    return optional_quantity(&env->number, given, "number", idx, fault) &&
           optional_quantity(&env->timestamp, given, time, idx, fault) &&
           optional_quantity(&env->gas_limit, given, "gasLimit", idx, fault) &&
           optional_u256(&env->base_fee, given, fee, idx, fault) &&
           optional_u256(&env->blob_base_fee, given, "blobBaseFee", idx, fault) &&
           (coinbase == NULL || coh_rpc_get_addr(&env->coinbase, coinbase, idx, fault));
}

void coh_rpc_alter_env(coh_block_env_t *env, coh_rpc_run_t const *r)
{
    uint32_t fields = r->env_fields;
    env->number     = (fields & COH_CALL_ENV_NUMBER) ? r->env.number : env->number;
    env->timestamp  = (fields & COH_CALL_ENV_TIMESTAMP) ? r->env.timestamp : env->timestamp;
    env->gas_limit  = (fields & COH_CALL_ENV_GAS_LIMIT) ? r->env.gas_limit : env->gas_limit;
    env->base_fee   = (fields & COH_CALL_ENV_BASE_FEE) ? r->env.base_fee : env->base_fee;
    env->blob_base_fee =
        (fields & COH_CALL_ENV_BLOB_BASE_FEE) ? r->env.blob_base_fee : env->blob_base_fee;
    env->prev_randao = (fields & COH_CALL_ENV_PREV_RANDAO) ? r->env.prev_randao : env->prev_randao;
    env->coinbase    = (fields & COH_CALL_ENV_COINBASE) ? r->env.coinbase : env->coinbase;
}

/* ---- what came of it ---- */

void coh_rpc_put_revert(coh_buf_t *out, coh_bytes_t output)
{
    coh_buf_t reason = COH_BUF_INIT;
    coh_buf_printf(out, "%s", coh_evm_status_str(COH_EVM_REVERT));
    if (coh_evm_revert_reason(&reason, output)) {
        coh_buf_put(out, ": ", 2);
        coh_buf_put(out, reason.p, reason.n);
    }
    coh_buf_free(&reason);
}

/* fail_status: the outermost call failed. */
static void fail_status(coh_rpc_call_t *call, coh_msg_call_result_t const *m)
{
    if (m->status != COH_EVM_REVERT) {
        coh_rpc_fail(call, COH_RPC_SERVER, "%s", coh_evm_status_str((coh_evm_status_t)m->status));
        return;
    }
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_t data = COH_BUF_INIT;
    coh_rpc_put_revert(&text, m->output);
    coh_buf_put_u8(&text, 0);
    coh_rpc_put_data(&data, m->output.p, m->output.n);
    coh_buf_put_u8(&data, 0);
    coh_rpc_fail_data(call, COH_RPC_REVERTED, (char const *)text.p, (char const *)data.p);
    coh_buf_free(&text);
    coh_buf_free(&data);
}

/* fail_refused: the transaction could not be executed at all. */
static void fail_refused(coh_rpc_call_t *call,
                         coh_rpc_t const *rpc,
                         coh_msg_call_t const *m,
                         uint32_t verdict)
{
    coh_rpc_run_t const *r = call->extra;
    char const *text       = coh_tx_err_str((coh_tx_err_t)verdict);
    uint64_t gas           = COH_MIN(r->tx.gas_limit, rpc->d.config->call_gas_max);
    switch (m->mode) {
    case COH_CALL_EXECUTE:
        if (verdict == COH_TX_INTRINSIC_GAS || verdict == COH_TX_FLOOR_GAS) {
            coh_fork_t fork = (coh_fork_t)m->fork;
            uint64_t want   = verdict == COH_TX_FLOOR_GAS ? coh_tx_floor_gas(&r->tx, fork)
                                                          : coh_tx_intrinsic_gas(&r->tx, fork);
            coh_rpc_fail(call,
                         COH_RPC_SERVER,
                         "err: %s: have %" PRIu64 ", want %" PRIu64 " (supplied gas %" PRIu64 ")",
                         text,
                         gas,
                         want,
                         gas);
            break;
        }
        coh_rpc_fail(call, COH_RPC_SERVER, "err: %s (supplied gas %" PRIu64 ")", text, gas);
        break;
    case COH_CALL_ESTIMATE: coh_rpc_fail(call, COH_RPC_SERVER, "%s", text); break;
    case COH_CALL_ACCESS_LIST:
        coh_rpc_fail(call, COH_RPC_SERVER, "failed to apply transaction: err: %s", text);
        break;
    default: coh_rpc_fail(call, COH_RPC_SERVER, "tracing failed: %s", text); break;
    }
}

/* How many transactions a call traces. */
static uint32_t traced_cnt(coh_rpc_call_t const *call)
{
    coh_rpc_run_t const *r = call->extra;
    return r->tx_cnt == 0 || r->one ? 1 : r->tx_cnt;
}

void coh_rpc_fail_run(coh_rpc_t const *rpc,
                      coh_rpc_call_t *call,
                      coh_call_err_t err,
                      uint64_t block)
{
    switch (err) {
    case COH_CALL_GONE: coh_rpc_fail_gone(call, block); break;
    case COH_CALL_TIMEOUT:
        coh_rpc_fail(call,
                     COH_RPC_SERVER,
                     "execution aborted (timeout = %" PRIu64 "ms)",
                     rpc->d.config->call_time_ms);
        break;
    case COH_CALL_MEMORY:
        coh_rpc_fail(call, COH_RPC_LIMIT, "the call or its trace needs too much memory");
        break;
    case COH_CALL_BUSY: coh_rpc_fail(call, COH_RPC_LIMIT, "busy: too many calls"); break;
    case COH_CALL_CLOSED: coh_rpc_fail_err(call, COH_ECLOSED); break;
    default: coh_rpc_fail(call, COH_RPC_PARAMS, "no such call"); break;
    }
}

bool coh_rpc_run_is_answered(coh_rpc_t const *rpc, coh_rpc_call_t *call, coh_ask_t const *ask)
{
    coh_msg_call_result_t const *m = &ask->u.call.result;
    if (ask->err == COH_ENOTFOUND) {
        coh_rpc_fail(call, COH_RPC_SERVER, "header not found"); /* a dev chain went back */
        return false;
    }
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return false;
    }
    switch ((coh_call_err_t)m->err) {
    case COH_CALL_OK:
        if (ask->u.call.m.mode < COH_CALL_TRACE || m->traces.cnt == traced_cnt(call)) {
            return true;
        }
        coh_rpc_fail_err(call, COH_EPROTO);
        return false;
    case COH_CALL_REFUSED: fail_refused(call, rpc, &ask->u.call.m, m->verdict); break;
    case COH_CALL_FAILED: fail_status(call, m); break;
    case COH_CALL_ALLOWANCE:
        coh_rpc_fail(call, COH_RPC_SERVER, "gas required exceeds allowance (%" PRIu64 ")", m->gas);
        break;
    case COH_CALL_TIMEOUT:
        if (ask->u.call.m.mode >= COH_CALL_TRACE) {
            coh_rpc_fail(call, COH_RPC_SERVER, "execution timeout");
            break;
        }
        /* fall through */
    default: coh_rpc_fail_run(rpc, call, (coh_call_err_t)m->err, ask->u.call.m.block); break;
    }
    return false;
}

static void step_run(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_msg_call_result_t const *m = &ask->u.call.result;
    coh_buf_t *out                 = &call->out;
    if (!coh_rpc_run_is_answered(rpc, call, ask)) {
        return;
    }
    switch (ask->u.call.m.mode) {
    case COH_CALL_ESTIMATE: coh_rpc_put_quantity(out, m->gas); break;
    case COH_CALL_ACCESS_LIST:
        PUT(out, "{\"accessList\":");
        coh_rpc_put_access_list(out, m->access_list);
        if (m->status != COH_EVM_SUCCESS) {
            coh_buf_printf(
                out, ",\"error\":\"%s\"", coh_evm_status_str((coh_evm_status_t)m->status));
        }
        PUT(out, ",\"gasUsed\":");
        coh_rpc_put_quantity(out, m->gas_used);
        PUT(out, "}");
        break;
    case COH_CALL_TRACE: coh_buf_put(out, m->traces.v[0].json.p, m->traces.v[0].json.n); break;
    default:
        if (m->status != COH_EVM_SUCCESS) {
            fail_status(call, m);
            return;
        }
        coh_rpc_put_data(out, m->output.p, m->output.n);
        break;
    }
    coh_rpc_done(call);
}

/* ---- calls ---- */

bool coh_rpc_is_busy(coh_rpc_t const *rpc, coh_rpc_call_t *call)
{
    if (rpc->trace_cnt >= COH_RPC_TRACES_MAX) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "busy: too many traces");
        return true;
    }
    return false;
}

void coh_rpc_no_block(coh_rpc_call_t *call, coh_rpc_at_t const *at)
{
    coh_rpc_fail(call,
                 COH_RPC_SERVER,
                 at->kind == COH_RPC_AT_HASH ? "header for hash not found" : "header not found");
}

void coh_rpc_post_run(coh_rpc_call_t *call, coh_rpc_run_t *r, coh_rpc_step_fn *step)
{
    coh_ask_t *ask            = r->ask;
    r->ask                    = NULL;
    ask->u.call.m.txs.v       = ask->u.call.txs;
    ask->u.call.m.overrides.v = ask->u.call.overrides;
    ask->u.call.m.slots.v     = ask->u.call.slots;
    ask->u.call.m.moves.v     = ask->u.call.moves;
    for (uint32_t i = 0; i < ask->u.call.m.overrides.cnt; i++) {
        ask->u.call.overrides[i].code = coh_bytes(ask->bytes.p + r->codes[i].at, r->codes[i].n);
    }
    coh_rpc_post(call, ask, step);
}

/* Posts the run's transaction, for this environment on the state of block. */
static void post_tx(coh_rpc_call_t *call,
                    coh_rpc_run_t *r,
                    coh_block_env_t const *env,
                    uint64_t block,
                    coh_rpc_step_fn *step)
{
    coh_ask_t *ask = r->ask;
    coh_calls_set_env(&ask->u.call.m, env);
    ask->u.call.m.block   = block;
    ask->u.call.m.txs.cnt = 1;
    ask->u.call.txs       = coh_calloc(1, sizeof(*ask->u.call.txs));
    size_t at             = ask->bytes.n;
    coh_tx_encode(&ask->bytes, &r->tx);
    ask->u.call.txs[0] = (coh_rec_block_tx_t){
        .sender = r->from, .raw = coh_bytes(ask->bytes.p + at, ask->bytes.n - at)};
    coh_rpc_post_run(call, r, step);
}

void coh_rpc_run_pending(coh_rpc_t *rpc,
                         coh_rpc_call_t *call,
                         coh_rpc_run_t *r,
                         coh_rpc_step_fn *step)
{
    r->ask->u.call.m.ratio = ESTIMATE_RATIO;
    post_tx(call, r, &rpc->next, rpc->head->header.number, step);
}

static void run_on_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    coh_rpc_run_t *r = call->extra;
    coh_ask_t *ask   = r->ask;
    if (block == NULL) {
        coh_rpc_no_block(call, &r->at);
        return;
    }
    if (ask->u.call.m.mode == COH_CALL_TRACE && coh_rpc_is_busy(rpc, call)) {
        return;
    }
    coh_sealed_t const *s = block->sealed;
    coh_block_env_t env   = r->at.kind == COH_RPC_AT_PENDING
                                ? rpc->next
                                : coh_calls_env(rpc->d.genesis, &s->header, s->fork);
    coh_rpc_alter_env(&env, r);
    coh_rpc_fault_t fault;
    if (!coh_rpc_check_moves(r, env.fork, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    post_tx(call, r, &env, s->header.number, step_run);
}

static void run(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params, coh_call_mode_t mode)
{
    coh_rpc_run_t *r = new_run(call, mode);
    coh_rpc_fault_t fault;
    r->ask->u.call.m.ratio = ESTIMATE_RATIO;
    if (!coh_rpc_read_args(rpc, r, json_array_get(params, 0), &fault) ||
        !coh_rpc_get_block(&r->at, json_array_get(params, 1), 1, &fault) ||
        !coh_rpc_read_overrides(r, json_array_get(params, 2), 2, &fault) ||
        !coh_rpc_read_env(r, json_array_get(params, 3), 3, false, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    if (rpc->dev != NULL && mode == COH_CALL_ESTIMATE && r->at.kind == COH_RPC_AT_LATEST) {
        r->at.kind =
            COH_RPC_AT_PENDING; /* where the clock was set, as the transaction will see it */
    }
    coh_rpc_with_block(rpc, call, &r->at, false, run_on_block);
}

METHOD(call) { run(rpc, call, params, COH_CALL_EXECUTE); }
METHOD(estimate_gas) { run(rpc, call, params, COH_CALL_ESTIMATE); }
METHOD(create_access_list) { run(rpc, call, params, COH_CALL_ACCESS_LIST); }

/* ---- traces ---- */

/* read_duration reads a length of time as Go's time.ParseDuration does, in ms, rounded up. */
static bool read_duration(uint64_t *ms, char const *text, coh_rpc_fault_t *fault)
{
    static struct {
        char const *name;
        double ms;
    } const units[] = {{"ns", 1e-6},
                       {"us", 1e-3},
                       {"\xc2\xb5s", 1e-3},
                       {"\xce\xbcs", 1e-3},
                       {"ms", 1},
                       {"s", 1e3},
                       {"m", 6e4},
                       {"h", 3.6e6}};
    char const *p   = text;
    double sum      = 0;
    bool is_below   = *p == '-';
    p += *p == '-' || *p == '+';
    if (strcmp(p, "0") == 0) {
        *ms = 1;
        return true;
    }
    bool ok = *p != '\0';
    while (ok && *p != '\0') {
        size_t whole = strspn(p, "0123456789");
        size_t point = p[whole] == '.';
        size_t part  = point != 0 ? strspn(p + whole + 1, "0123456789") : 0;
        size_t n     = whole + point + part;
        ok           = whole + part != 0 && n < 32;
        if (!ok) {
            break;
        }
        char number[32];
        memcpy(number, p, n);
        number[n]   = '\0';
        double much = strtod(number, NULL);
        p += n;
        size_t unit_n = strcspn(p, ".0123456789");
        size_t u      = 0;
        while (u < COH_CNT(units) &&
               (strlen(units[u].name) != unit_n || strncmp(units[u].name, p, unit_n) != 0)) {
            u++;
        }
        if (unit_n == 0) {
            return coh_rpc_fault(
                fault, COH_RPC_SERVER, "time: missing unit in duration \"%.40s\"", text);
        }
        if (u == COH_CNT(units)) {
            return coh_rpc_fault(fault,
                                 COH_RPC_SERVER,
                                 "time: unknown unit \"%.*s\" in duration \"%.40s\"",
                                 (int)COH_MIN(unit_n, (size_t)20),
                                 p,
                                 text);
        }
        sum += much * units[u].ms;
        p += unit_n;
    }
    if (!ok || sum > 9.2e12) { /* what 63 bits of ns hold */
        return coh_rpc_fault(fault, COH_RPC_SERVER, "time: invalid duration \"%.40s\"", text);
    }
    *ms = is_below || sum < 1 ? 1 : (uint64_t)(sum + 0.999);
    return true;
}

/* optional_text: NULL if it is not there. */
static bool optional_text(char const **out,
                          json_t const *object,
                          char const *name,
                          unsigned idx,
                          coh_rpc_fault_t *fault)
{
    json_t const *v = coh_rpc_member(object, name);
    *out            = json_string_value(v);
    return v == NULL || *out != NULL ||
           coh_rpc_fault(
               fault,
               COH_RPC_PARAMS,
               "invalid argument %u: json: cannot unmarshal non-string into Go struct field "
               "TraceConfig.%s of type string",
               idx,
               name);
}

/* optional_count: a number of JSON. */
static bool optional_count(uint64_t *out,
                           json_t const *object,
                           char const *name,
                           unsigned idx,
                           coh_rpc_fault_t *fault)
{
    json_t const *v = coh_rpc_member(object, name);
    *out = json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
    return v == NULL || (json_is_integer(v) && json_integer_value(v) >= 0) ||
           coh_rpc_fault(fault,
                         COH_RPC_PARAMS,
                         "invalid argument %u: json: cannot unmarshal into Go struct field "
                         "TraceConfig.%s: not a count",
                         idx,
                         name);
}

/* read_tracer reads geth's trace options. What reexec asks for, to execute that many blocks again, is never needed here: state is remembered or it is not. */
static bool read_tracer(coh_msg_call_t *m,
                        json_t const *given,
                        unsigned idx,
                        coh_rpc_fault_t *fault)
{
    static struct {
        char const *name;
        uint32_t flag;
        bool nested; /* in tracerConfig */
    } const options[] = {
        {"enableMemory", COH_TRACE_MEMORY, false},
        {"disableStack", COH_TRACE_NO_STACK, false},
        {"disableStorage", COH_TRACE_NO_STORAGE, false},
        {"enableReturnData", COH_TRACE_RETURN_DATA, false},
        {"onlyTopCall", COH_TRACE_ONLY_TOP, true},
        {"withLog", COH_TRACE_WITH_LOG, true},
        {"diffMode", COH_TRACE_DIFF, true},
        {"disableCode", COH_TRACE_NO_CODE, true},
        {"disableStorage", COH_TRACE_NO_STORAGE, true},
        {"includeEmpty", COH_TRACE_INCLUDE_EMPTY, true},
    };
    static char const *const tracers[COH_TRACER_CNT] = {
        [COH_TRACER_STRUCT]   = "",
        [COH_TRACER_CALLS]    = "callTracer",
        [COH_TRACER_PRESTATE] = "prestateTracer",
    };
    json_t const *nested = coh_rpc_member(given, "tracerConfig");
    char const *tracer;
    char const *timeout;
    uint64_t reexec;
    if (!is_object_or_none(given, idx, "tracers.TraceConfig", fault) ||
        !is_object_or_none(nested, idx, "tracers.TraceConfig", fault) ||
        !optional_text(&tracer, given, "tracer", idx, fault) ||
        !optional_text(&timeout, given, "timeout", idx, fault) ||
        !optional_count(&reexec, given, "reexec", idx, fault) ||
        !optional_count(&m->trace_limit, given, "limit", idx, fault) ||
        (timeout != NULL && !read_duration(&m->time_ms, timeout, fault))) {
        return false;
    }
    for (m->tracer = 0; tracer != NULL && strcmp(tracer, tracers[m->tracer]) != 0;) {
        if (++m->tracer == COH_TRACER_CNT) {
            return coh_rpc_fault(
                fault,
                COH_RPC_SERVER,
                "tracer %.50s is not available: use callTracer, prestateTracer, or none",
                tracer);
        }
    }
    for (size_t i = 0; i < COH_CNT(options); i++) {
        json_t const *v = coh_rpc_member(options[i].nested ? nested : given, options[i].name);
        bool on         = false;
        if (options[i].nested == (m->tracer == COH_TRACER_STRUCT)) {
            continue; /* of another tracer */
        }
        if (v != NULL && !coh_rpc_get_bool(&on, v, idx, fault)) {
            return false;
        }
        m->trace_flags |= on ? options[i].flag : 0;
    }
    return true;
}

/* put_steps appends what the block does before its transactions. */
static void put_steps(coh_ask_t *ask, coh_steps_t const *steps, coh_ask_part_t *parts)
{
    for (uint32_t i = 0; i < steps->cnt; i++) {
        parts[i].at = ask->bytes.n;
        coh_step_put(&ask->bytes, &steps->steps[i]);
        parts[i].n = ask->bytes.n - parts[i].at;
    }
}

/* put_block_txs makes the ask one on the state before the block: its steps, its first cnt transactions, and last if that is not NULL. */
static void put_block_txs(coh_rpc_t const *rpc,
                          coh_ask_t *ask,
                          coh_rpc_block_t const *block,
                          uint32_t cnt,
                          coh_tx_t const *last,
                          coh_addr_t const *from)
{
    coh_sealed_t const *s = block->sealed;
    coh_block_t body      = {.header = s->header};
    coh_rules_t rules     = {.fork      = s->fork,
                             .chain_id  = rpc->d.genesis->chain_id,
                             .dao_moves = rpc->d.genesis->chain_id == DAO_CHAIN &&
                                          s->header.number == DAO_BLOCK};
    coh_steps_t steps;
    coh_ask_part_t parts[COH_STEPS_MAX];
    size_t tx_at = ask->bytes.n;
    if (last != NULL) {
        coh_tx_encode(&ask->bytes, last);
    }
    size_t tx_n = ask->bytes.n - tx_at;
    coh_steps_before(&steps, &body, &rules);
    put_steps(ask, &steps, parts);
    ask->u.call.txs = coh_calloc((size_t)steps.cnt + cnt + 1, sizeof(*ask->u.call.txs));
    size_t bytes    = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        bytes += block->raws[i].n;
    }
    coh_buf_grow(&ask->bytes, bytes + 1); /* does not move from here on */
    for (uint32_t i = 0; i < steps.cnt; i++) {
        ask->u.call.txs[i] = (coh_rec_block_tx_t){
            .tx_idx = i, .is_step = 1, .raw = coh_bytes(ask->bytes.p + parts[i].at, parts[i].n)};
    }
    for (uint32_t i = 0; i < cnt; i++) {
        uint8_t *p = coh_buf_extend(&ask->bytes, block->raws[i].n);
        memcpy(p, block->raws[i].p, block->raws[i].n);
        ask->u.call.txs[steps.cnt + i] =
            (coh_rec_block_tx_t){.tx_idx = steps.cnt + i,
                                 .sender = s->receipts[i].from,
                                 .raw    = coh_bytes(p, block->raws[i].n)};
    }
    coh_msg_call_t *m = &ask->u.call.m;
    m->block          = s->header.number - 1;
    m->txs.cnt        = steps.cnt + cnt;
    if (last != NULL) {
        ask->u.call.txs[m->txs.cnt] = (coh_rec_block_tx_t){
            .tx_idx = m->txs.cnt, .sender = *from, .raw = coh_bytes(ask->bytes.p + tx_at, tx_n)};
        m->txs.cnt++;
    }
    coh_block_env_t env = coh_calls_env(rpc->d.genesis, &s->header, s->fork);
    coh_calls_set_env(m, &env);
    ask->u.call.place = m->txs.cnt - 1;
}

/* trace_in_block traces a call where transaction tx_idx of the block stands. */
static void trace_in_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    coh_rpc_run_t *r = call->extra;
    coh_ask_t *ask   = r->ask;
    coh_rpc_fault_t fault;
    if (block == NULL) {
        coh_rpc_no_block(call, &r->at);
        return;
    }
    coh_sealed_t const *s = block->sealed;
    if (s->header.number <= rpc->d.genesis->number) {
        coh_rpc_fail(call, COH_RPC_SERVER, "no transaction in genesis");
        return;
    }
    if (r->tx_idx >= COH_MAX(s->tx_cnt, 1u)) {
        char hex[65];
        coh_hex_encode(hex, s->hash.b, sizeof(s->hash.b));
        coh_rpc_fail(call,
                     COH_RPC_SERVER,
                     "transaction index %" PRIu32 " out of range for block 0x%s",
                     r->tx_idx,
                     hex);
        return;
    }
    if (coh_rpc_is_busy(rpc, call)) {
        return;
    }
    if (!coh_rpc_check_moves(r, s->fork, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    put_block_txs(rpc, ask, block, r->tx_idx, &r->tx, &r->from);
    coh_block_env_t env = coh_calls_env(rpc->d.genesis, &s->header, s->fork);
    coh_rpc_alter_env(&env, r);
    ask->u.call.last_env       = (coh_rec_call_env_t){.number        = env.number,
                                                      .timestamp     = env.timestamp,
                                                      .gas_limit     = env.gas_limit,
                                                      .base_fee      = env.base_fee,
                                                      .blob_base_fee = env.blob_base_fee,
                                                      .prev_randao   = env.prev_randao,
                                                      .coinbase      = env.coinbase};
    ask->u.call.m.last_env.v   = &ask->u.call.last_env;
    ask->u.call.m.last_env.cnt = 1;
    coh_rpc_post_run(call, r, step_run);
}

METHOD(trace_call)
{
    coh_rpc_run_t *r    = new_run(call, COH_CALL_TRACE);
    json_t *options     = json_array_get(params, 2);
    json_t const *place = coh_rpc_member(options, "txIndex");
    uint64_t idx        = 0;
    coh_rpc_fault_t fault;
    if (!coh_rpc_read_args(rpc, r, json_array_get(params, 0), &fault) ||
        !coh_rpc_get_block(&r->at, json_array_get(params, 1), 1, &fault) ||
        !read_tracer(&r->ask->u.call.m, options, 2, &fault) ||
        !coh_rpc_read_overrides(r, coh_rpc_member(options, "stateOverrides"), 2, &fault) ||
        !coh_rpc_read_env(r, coh_rpc_member(options, "blockOverrides"), 2, false, &fault) ||
        (place != NULL && !coh_rpc_get_number(&idx, place, UINT32_MAX, 2, &fault))) {
        coh_rpc_fail_fault(call, &fault);
    } else if (place == NULL) {
        coh_rpc_with_block(rpc, call, &r->at, false, run_on_block);
    } else if (r->at.kind == COH_RPC_AT_PENDING) {
        coh_rpc_fail(call, COH_RPC_SERVER, "tracing on top of pending is not supported");
    } else {
        r->tx_idx = (uint32_t)idx;
        coh_rpc_with_block(rpc, call, &r->at, true, trace_in_block);
    }
}

static void step_trace(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_rpc_run_t const *r         = call->extra;
    coh_msg_call_result_t const *m = &ask->u.call.result;
    coh_buf_t *out                 = &call->out;
    if (!coh_rpc_run_is_answered(rpc, call, ask)) {
        return;
    }
    if (r->one) {
        coh_buf_put(out, m->traces.v[0].json.p, m->traces.v[0].json.n);
        coh_rpc_done(call);
        return;
    }
    PUT(out, "[");
    for (uint32_t i = 0; i < r->tx_cnt; i++) {
        coh_buf_printf(out, "%s{\"txHash\":", i == 0 ? "" : ",");
        coh_rpc_put_hash(out, &r->hashes[i]);
        PUT(out, ",\"result\":");
        coh_buf_put(out, m->traces.v[i].json.p, m->traces.v[i].json.n);
        PUT(out, "}");
    }
    PUT(out, "]");
    coh_rpc_done(call);
}

/* trace_block traces one or all transactions of a block, on the state of its parent. */
static void trace_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    coh_rpc_run_t *r  = call->extra;
    coh_ask_t *ask    = r->ask;
    coh_msg_call_t *m = &ask->u.call.m;
    if (block == NULL) {
        if (r->at.kind == COH_RPC_AT_HASH) {
            char hex[65];
            coh_hex_encode(hex, r->at.hash.b, sizeof(r->at.hash.b));
            coh_rpc_fail(call, COH_RPC_SERVER, "block 0x%s not found", hex);
        } else {
            coh_rpc_fail(call,
                         COH_RPC_SERVER,
                         "block #%" PRIu64 " not found",
                         coh_rpc_at_number(rpc, &r->at));
        }
        return;
    }
    coh_sealed_t const *s = block->sealed;
    if (s->header.number <= rpc->d.genesis->number) {
        coh_rpc_fail(call, COH_RPC_SERVER, "genesis is not traceable");
        return;
    }
    if (s->tx_cnt == 0) {
        PUT(&call->out, "[]");
        coh_rpc_done(call);
        return;
    }
    if (coh_rpc_is_busy(rpc, call)) {
        return;
    }
    /* Less than there are, as a transaction's place was found in it. */
    uint32_t cnt = r->one ? r->tx_idx + 1 : s->tx_cnt;
    put_block_txs(rpc, ask, block, cnt, NULL, NULL);
    r->hashes = coh_calloc(cnt, sizeof(*r->hashes));
    r->tx_cnt = cnt;
    for (uint32_t i = 0; i < cnt; i++) {
        r->hashes[i] = s->receipts[i].tx_hash;
    }
    m->traced = r->one ? m->txs.cnt - 1 : 0;
    coh_rpc_post_run(call, r, step_trace);
}

static void step_traced_tx(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_rpc_run_t *r = call->extra;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
    } else if (ask->u.tx.state != COH_ASK_TX_COMMITTED) {
        coh_rpc_fail(call, COH_RPC_SERVER, "transaction not found");
    } else {
        r->one    = true;
        r->tx_idx = ask->u.tx.idx;
        r->at     = (coh_rpc_at_t){.kind = COH_RPC_AT_NUMBER, .number = ask->u.tx.number};
        coh_rpc_with_block(rpc, call, &r->at, true, trace_block);
    }
}

METHOD(trace_tx)
{
    (void)rpc;
    coh_rpc_run_t *r = new_run(call, COH_CALL_TRACE_BLOCK);
    coh_rpc_fault_t fault;
    if (!coh_rpc_get_hash(&call->hash, json_array_get(params, 0), 0, &fault) ||
        !read_tracer(&r->ask->u.call.m, json_array_get(params, 1), 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    coh_rpc_ask_for_tx(call, step_traced_tx);
}

static void begin_trace(coh_rpc_t *rpc,
                        coh_rpc_call_t *call,
                        json_t const *params,
                        coh_rpc_at_t const *at)
{
    coh_rpc_run_t *r = new_run(call, COH_CALL_TRACE_BLOCK);
    coh_rpc_fault_t fault;
    r->at = *at;
    if (!read_tracer(&r->ask->u.call.m, json_array_get(params, 1), 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    coh_rpc_with_block(rpc, call, &r->at, true, trace_block);
}

METHOD(trace_block_by_number)
{
    coh_rpc_at_t at;
    READ(coh_rpc_get_block_number, &at, call, params, 0);
    begin_trace(rpc, call, params, &at);
}

METHOD(trace_block_by_hash)
{
    coh_rpc_at_t at = {.kind = COH_RPC_AT_HASH};
    READ(coh_rpc_get_hash, &at.hash, call, params, 0);
    begin_trace(rpc, call, params, &at);
}
