/* The methods of rpc_methods.def, but for logs, filters and subscriptions (rpc_logs.c). */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/codec/receipt.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/node/version.h"
#include "coordinator/gateway/rpc_private.h"

#define PUT COH_RPC_PUT

/* The least tip that is suggested, wei per gas: what geth suggests when nothing goes on. */
#define TIP_MIN UINT64_C(1000000)

#define READ COH_RPC_READ

#define METHOD(function) \
    void coh_rpc_do_##function(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)

/* For methods that need neither. */
#define IGNORE(a, b) ((void)(a), (void)(b))

/* ---- constants ---- */

static void done_text(coh_rpc_call_t *call, char const *json)
{
    coh_buf_put(&call->out, json, strlen(json));
    coh_rpc_done(call);
}

METHOD(client_version)
{
    (void)params;
    /* Hardhat's helpers look for a name that they know. */
    done_text(call,
              rpc->dev != NULL ? "\"HardhatNetwork-compatible/Cohort/v" COH_VERSION "/linux/c11\""
                               : "\"Cohort/v" COH_VERSION "/linux/c11\"");
}

METHOD(sha3)
{
    (void)rpc;
    coh_buf_t data = COH_BUF_INIT;
    coh_rpc_fault_t fault;
    if (coh_rpc_get_data(&data, json_array_get(params, 0), 0, &fault)) {
        coh_hash_t hash;
        coh_keccak256(&hash, data.p, data.n);
        coh_rpc_put_hash(&call->out, &hash);
        coh_rpc_done(call);
    } else {
        coh_rpc_fail_fault(call, &fault);
    }
    coh_buf_free(&data);
}

METHOD(net_version)
{
    (void)params;
    coh_buf_printf(&call->out, "\"%" PRIu64 "\"", rpc->d.genesis->chain_id);
    coh_rpc_done(call);
}

METHOD(net_listening)
{
    IGNORE(rpc, params);
    done_text(call, "true");
}

METHOD(net_peer_count)
{
    IGNORE(rpc, params);
    done_text(call, "\"0x0\"");
}

METHOD(modules)
{
    IGNORE(rpc, params);
    done_text(
        call,
        "{\"cohort\":\"1.0\",\"debug\":\"1.0\",\"eth\":\"1.0\",\"net\":\"1.0\",\"rpc\":\"1.0\","
        "\"txpool\":\"1.0\",\"web3\":\"1.0\"}");
}

METHOD(chain_id)
{
    (void)params;
    coh_rpc_put_quantity(&call->out, rpc->d.genesis->chain_id);
    coh_rpc_done(call);
}

METHOD(syncing)
{
    IGNORE(rpc, params);
    done_text(call, "false");
}

METHOD(accounts)
{
    (void)params;
    if (rpc->dev == NULL) {
        done_text(call, "[]");
    } else {
        coh_rpc_dev_put_accounts(rpc->dev, &call->out);
        coh_rpc_done(call);
    }
}

METHOD(protocol_version)
{
    IGNORE(rpc, params);
    done_text(call, "\"0x44\""); /* eth/68, whose requests these methods answer */
}

METHOD(mining)
{
    IGNORE(rpc, params);
    done_text(call, "false");
}

METHOD(hashrate)
{
    IGNORE(rpc, params);
    done_text(call, "\"0x0\"");
}

METHOD(coinbase)
{
    (void)params;
    coh_rpc_put_addr(&call->out, &rpc->next.coinbase);
    coh_rpc_done(call);
}

METHOD(block_number)
{
    (void)params;
    coh_rpc_put_quantity(&call->out, rpc->head->header.number);
    coh_rpc_done(call);
}

METHOD(capabilities)
{
    (void)params;
    static char const *const kept[] = {"tx", "logs", "receipts", "blocks"};
    coh_buf_t *out                  = &call->out;
    PUT(out, "{\"head\":{\"number\":");
    coh_rpc_put_quantity(out, rpc->head->header.number);
    PUT(out, ",\"hash\":");
    coh_rpc_put_hash(out, &rpc->head->hash);
    PUT(out, "},\"state\":{\"disabled\":false,\"oldestBlock\":");
    uint64_t head =
        rpc->head->header
            .number; /* the least that is certain: others may be forgotten after a restart */
    coh_rpc_put_quantity(out, head);
    PUT(out, "},\"stateproofs\":{\"disabled\":false,\"oldestBlock\":");
    coh_rpc_put_quantity(out, head);
    PUT(out, "}");
    for (size_t i = 0; i < COH_CNT(kept); i++) {
        coh_buf_printf(out, ",\"%s\":{\"disabled\":false,\"oldestBlock\":", kept[i]);
        coh_rpc_put_quantity(out, rpc->d.genesis->number);
        PUT(out, "}");
    }
    PUT(out, "}");
    coh_rpc_done(call);
}

METHOD(node_info)
{
    (void)params;
    coh_buf_t *out = &call->out;
    coh_buf_printf(out,
                   "{\"name\":\"Cohort/v" COH_VERSION
                   "/linux/c11\",\"listenAddr\":\"\",\"protocols\":{"
                   "\"eth\":{\"network\":%" PRIu64 ",\"genesis\":",
                   rpc->d.genesis->chain_id);
    coh_rpc_put_hash(out, &rpc->d.genesis->hash);
    PUT(out, ",\"head\":");
    coh_rpc_put_hash(out, &rpc->head->hash);
    PUT(out, "}}}");
    coh_rpc_done(call);
}

/* ---- fees ---- */

static int by_value(void const *a, void const *b)
{
    coh_u256_t const *x = a;
    coh_u256_t const *y = b;
    return coh_u256_lt(x, y) ? -1 : coh_u256_lt(y, x) ? 1 : 0;
}

void coh_rpc_suggest_tip(coh_rpc_t *rpc, coh_sealed_t const *b)
{
    /* Like geth's oracle: the 60th percentile of what was paid, but of the last block that has transactions. */
    if (b->tx_cnt > 0) {
        uint32_t cnt     = COH_MIN(b->tx_cnt, 512u);
        coh_u256_t *tips = coh_calloc(cnt, sizeof(*tips));
        for (uint32_t i = 0; i < cnt; i++) {
            coh_op_receipt_t const *r = &b->receipts[(uint64_t)i * b->tx_cnt / cnt];
            (void)coh_u256_sub(&tips[i], &r->effective_price, &b->header.base_fee);
        }
        qsort(tips, cnt, sizeof(*tips), by_value);
        rpc->tip = tips[(cnt - 1) * 3 / 5];
        free(tips);
    }
    coh_u256_t least = coh_u256(TIP_MIN);
    if (coh_u256_lt(&rpc->tip, &least)) {
        rpc->tip = least;
    }
}

METHOD(gas_price)
{
    (void)params;
    coh_u256_t price;
    (void)coh_u256_add(&price, &rpc->next.base_fee, &rpc->tip);
    coh_rpc_put_u256(&call->out, &price);
    coh_rpc_done(call);
}

METHOD(base_fee)
{
    (void)params;
    coh_rpc_put_u256(&call->out, &rpc->next.base_fee);
    coh_rpc_done(call);
}

METHOD(max_priority_fee)
{
    (void)params;
    coh_rpc_put_u256(&call->out, &rpc->tip);
    coh_rpc_done(call);
}

/* blob_fee: what a blob gas costs in a block of this header; 0 before Cancun. */
static coh_u256_t blob_fee(coh_rpc_t const *rpc, coh_header_t const *h)
{
    coh_blob_params_t params = coh_genesis_blob_params(rpc->d.genesis, h->timestamp);
    return params.update_fraction == 0
               ? COH_U256_ZERO
               : coh_blob_base_fee(h->excess_blob_gas, params.update_fraction);
}

/* next_blob_fee: what it will cost in the block after this one, whose rules are those of timestamp. */
static coh_u256_t next_blob_fee(coh_rpc_t const *rpc, coh_header_t const *h, uint64_t timestamp)
{
    coh_blob_params_t params = coh_genesis_blob_params(rpc->d.genesis, timestamp);
    if (params.update_fraction == 0) {
        return COH_U256_ZERO;
    }
    coh_blob_parent_t parent = {.excess_blob_gas = h->excess_blob_gas,
                                .blob_gas_used   = h->blob_gas_used,
                                .base_fee        = h->base_fee};
    coh_fork_t fork          = coh_genesis_fork(rpc->d.genesis, h->number + 1, timestamp);
    return coh_blob_base_fee(coh_blob_next_excess(&parent, fork, &params), params.update_fraction);
}

METHOD(blob_base_fee)
{
    (void)params;
    coh_u256_t fee = next_blob_fee(rpc, &rpc->head->header, rpc->next.timestamp);
    coh_rpc_put_u256(&call->out, &fee);
    coh_rpc_done(call);
}

/* A fee history being put together. */
typedef struct {
    uint64_t first;
    uint32_t cnt;
    uint32_t header_cnt; /* headers read so far... */
    uint32_t reward_cnt; /* ...and rewards */
    uint32_t percentile_cnt;
    double percentiles[COH_RPC_PERCENTILES_MAX];
    coh_header_t *headers; /* owned; cnt */
    coh_buf_t rewards;     /* JSON */
} fees_t;

static void free_fees(void *extra)
{
    fees_t *f = extra;
    free(f->headers);
    coh_buf_free(&f->rewards);
    free(f);
}

/* A tip and how much gas paid it. */
typedef struct {
    coh_u256_t tip;
    uint64_t gas;
} paid_t;

static int by_tip(void const *a, void const *b)
{
    paid_t const *x = a;
    paid_t const *y = b;
    return by_value(&x->tip, &y->tip);
}

static void put_rewards(fees_t *f, coh_sealed_t const *b)
{
    paid_t *paid = coh_calloc(b->tx_cnt, sizeof(*paid));
    for (uint32_t i = 0; i < b->tx_cnt; i++) {
        paid[i].gas = b->receipts[i].gas_used;
        (void)coh_u256_sub(&paid[i].tip, &b->receipts[i].effective_price, &b->header.base_fee);
    }
    qsort(paid, b->tx_cnt, sizeof(*paid), by_tip);
    coh_buf_printf(&f->rewards, "%s[", f->rewards.n == 0 ? "" : ",");
    uint32_t at  = 0;
    uint64_t sum = b->tx_cnt > 0 ? paid[0].gas : 0;
    for (uint32_t p = 0; p < f->percentile_cnt; p++) {
        uint64_t bound = (uint64_t)((double)b->header.gas_used * f->percentiles[p] / 100);
        while (sum < bound && at + 1 < b->tx_cnt) {
            sum += paid[++at].gas;
        }
        coh_u256_t tip = b->tx_cnt > 0 ? paid[at].tip : COH_U256_ZERO;
        coh_buf_printf(&f->rewards, "%s", p == 0 ? "" : ",");
        coh_rpc_put_u256(&f->rewards, &tip);
    }
    PUT(&f->rewards, "]");
    free(paid);
}

static void put_fees(coh_rpc_t *rpc, coh_rpc_call_t *call)
{
    fees_t *f                = call->extra;
    coh_buf_t *out           = &call->out;
    coh_header_t const *last = &f->headers[f->cnt - 1];
    bool is_head             = last->number == rpc->head->header.number;
    PUT(out, "{\"oldestBlock\":");
    coh_rpc_put_quantity(out, f->first);
    PUT(out, ",\"baseFeePerGas\":[");
    for (uint32_t i = 0; i < f->cnt; i++) {
        coh_rpc_put_u256(out, &f->headers[i].base_fee);
        PUT(out, ",");
    }
    coh_fork_t next_fork = coh_genesis_fork(rpc->d.genesis, last->number + 1, last->timestamp);
    coh_u256_t next      = is_head                       ? rpc->next.base_fee
                           : next_fork < COH_FORK_LONDON ? COH_U256_ZERO
                           : coh_u256_is_zero(&last->base_fee)
                               ? rpc->d.genesis->base_fee
                               : coh_base_fee_next(&last->base_fee, last->gas_used, last->gas_limit);
    coh_rpc_put_u256(out, &next);
    PUT(out, "],\"gasUsedRatio\":[");
    for (uint32_t i = 0; i < f->cnt; i++) {
        coh_header_t const *h = &f->headers[i];
        double ratio          = h->gas_limit == 0 ? 0 : (double)h->gas_used / (double)h->gas_limit;
        coh_buf_printf(out, "%s%.9g", i == 0 ? "" : ",", ratio);
    }
    PUT(out, "],\"baseFeePerBlobGas\":[");
    for (uint32_t i = 0; i < f->cnt; i++) {
        coh_u256_t fee = blob_fee(rpc, &f->headers[i]);
        coh_rpc_put_u256(out, &fee);
        PUT(out, ",");
    }
    coh_u256_t blob = next_blob_fee(rpc, last, is_head ? rpc->next.timestamp : last->timestamp);
    coh_rpc_put_u256(out, &blob);
    PUT(out, "],\"blobGasUsedRatio\":[");
    for (uint32_t i = 0; i < f->cnt; i++) {
        coh_header_t const *h    = &f->headers[i];
        coh_blob_params_t params = coh_genesis_blob_params(rpc->d.genesis, h->timestamp);
        double most              = (double)params.max * (double)COH_TX_BLOB_GAS;
        coh_buf_printf(
            out, "%s%.9g", i == 0 ? "" : ",", most > 0 ? (double)h->blob_gas_used / most : 0);
    }
    PUT(out, "]");
    if (f->percentile_cnt > 0) {
        PUT(out, ",\"reward\":[");
        coh_buf_put(out, f->rewards.p, f->rewards.n);
        PUT(out, "]");
    }
    PUT(out, "}");
    coh_rpc_done(call);
}

static void on_reward_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block);

/* add_rewards goes through the blocks from the next one on, as far as they are at hand. */
static void add_rewards(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    fees_t *f = call->extra;
    for (;;) {
        if (block != NULL) {
            put_rewards(f, block->sealed);
            f->reward_cnt++;
        }
        if (f->reward_cnt == f->cnt || f->percentile_cnt == 0) {
            put_fees(rpc, call);
            return;
        }
        uint64_t number = f->first + f->reward_cnt;
        block           = coh_rpc_cached(rpc, number, false);
        if (block == NULL) {
            coh_rpc_ask_block(call, number, false, on_reward_block);
            return;
        }
    }
}

static void on_reward_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    if (block == NULL) {
        coh_rpc_fail(call, COH_RPC_SERVER, "header not found");
    } else {
        add_rewards(rpc, call, block);
    }
}

static coh_ask_t *ask_headers(uint64_t first, uint64_t cnt)
{
    coh_ask_t *ask       = coh_ask_new(COH_ASK_HEADERS);
    ask->u.headers.first = first;
    ask->u.headers.cnt   = (uint32_t)COH_MIN(cnt, (uint64_t)COH_ASK_HEADERS_MAX);
    return ask;
}

static void step_fee_headers(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    fees_t *f = call->extra;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    for (uint32_t i = 0; i < ask->u.headers.cnt; i++) {
        coh_ask_header_t const *h = &ask->u.headers.headers[i];
        coh_fork_t fork;
        if (!h->found ||
            coh_header_decode(&f->headers[f->header_cnt++],
                              &fork,
                              coh_bytes(ask->bytes.p + h->rlp.at, h->rlp.n)) != COH_OK) {
            coh_rpc_fail(call, COH_RPC_SERVER, "header not found");
            return;
        }
    }
    if (f->header_cnt < f->cnt) {
        coh_rpc_post(
            call, ask_headers(f->first + f->header_cnt, f->cnt - f->header_cnt), step_fee_headers);
    } else {
        add_rewards(rpc, call, NULL);
    }
}

/* read_percentiles: ascending, 0 to 100. */
static bool read_percentiles(fees_t *f, json_t const *list, coh_rpc_fault_t *fault)
{
    size_t cnt = json_array_size(list);
    if (list != NULL && !json_is_null(list) && !json_is_array(list)) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "invalid argument 2: not an array");
    }
    if (cnt > COH_RPC_PERCENTILES_MAX) {
        return coh_rpc_fault(fault,
                             COH_RPC_SERVER,
                             "invalid reward percentile: over the query limit %u",
                             COH_RPC_PERCENTILES_MAX);
    }
    for (size_t i = 0; i < cnt; i++) {
        json_t const *v = json_array_get(list, i);
        double p        = json_number_value(v);
        if (!json_is_number(v) || !(p >= 0 && p <= 100)) {
            return coh_rpc_fault(fault, COH_RPC_SERVER, "invalid reward percentile: %f", p);
        }
        if (i > 0 && p < f->percentiles[i - 1]) {
            return coh_rpc_fault(fault,
                                 COH_RPC_SERVER,
                                 "invalid reward percentile: #%zu:%f >= #%zu:%f",
                                 i - 1,
                                 f->percentiles[i - 1],
                                 i,
                                 p);
        }
        f->percentiles[i] = p;
    }
    f->percentile_cnt = (uint32_t)cnt;
    return true;
}

METHOD(fee_history)
{
    coh_rpc_fault_t fault;
    coh_rpc_at_t at;
    uint64_t cnt;
    fees_t *f        = coh_calloc(1, sizeof(*f));
    call->extra      = f;
    call->extra_free = free_fees;
    if (!coh_rpc_get_number(&cnt, json_array_get(params, 0), UINT64_MAX, 0, &fault) ||
        !coh_rpc_get_block_number(&at, json_array_get(params, 1), 1, &fault) ||
        !read_percentiles(f, json_array_get(params, 2), &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    uint64_t last = coh_rpc_at_number(rpc, &at);
    if (last > rpc->head->header.number) {
        coh_rpc_fail(call,
                     COH_RPC_SERVER,
                     "request beyond head block: requested %" PRIu64 ", head %" PRIu64,
                     last,
                     rpc->head->header.number);
        return;
    }
    uint64_t there = last - COH_MIN(last, rpc->d.genesis->number) + 1;
    cnt            = COH_MIN(COH_MIN(cnt, (uint64_t)1024), there);
    if (cnt == 0) {
        done_text(call, "{\"oldestBlock\":\"0x0\",\"gasUsedRatio\":null}");
        return;
    }
    f->first   = last + 1 - cnt;
    f->cnt     = (uint32_t)cnt;
    f->headers = coh_calloc(f->cnt, sizeof(*f->headers));
    coh_rpc_post(call, ask_headers(f->first, f->cnt), step_fee_headers);
}

/* ---- state ---- */

/* post_state asks for the state, or a proof, as of the block that at means; ask is taken. Where a hash says which, the block is found first: it waits in call->extra. */
static void free_ask(void *extra) { coh_ask_free(extra); }

/* post_at asks as of block call->number. */
static void post_at(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask, coh_rpc_step_fn *step)
{
    if (ask->kind == COH_ASK_STATE) {
        ask->u.state.block = call->number;
    } else if (rpc->proof_keys + 1 + ask->u.proof.slot_cnt <= COH_RPC_PROOF_KEYS_MAX) {
        ask->u.proof.block = call->number;
    } else {
        coh_ask_free(ask);
        coh_rpc_fail(call, COH_RPC_LIMIT, "busy: too many proofs");
        return;
    }
    coh_rpc_post(call, ask, step);
}

static void post_state_of(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    coh_ask_t *ask   = call->extra;
    call->extra      = NULL;
    call->extra_free = NULL;
    if (block == NULL) {
        coh_ask_free(ask);
        coh_rpc_fail(call, COH_RPC_SERVER, "header for hash not found");
        return;
    }
    call->number = block->sealed->header.number;
    post_at(rpc, call, ask, call->after);
}

static void post_state(coh_rpc_t *rpc,
                       coh_rpc_call_t *call,
                       coh_rpc_at_t const *at,
                       coh_ask_t *ask,
                       coh_rpc_step_fn *step)
{
    call->number = COH_BLOCK_LATEST;
    if (at->kind == COH_RPC_AT_HASH) {
        call->extra      = ask;
        call->extra_free = free_ask;
        call->after      = step;
        coh_rpc_with_block(rpc, call, at, false, post_state_of);
        return;
    }
    if (at->kind != COH_RPC_AT_LATEST && at->kind != COH_RPC_AT_PENDING) {
        call->number = coh_rpc_at_number(rpc, at);
    }
    if (call->number != COH_BLOCK_LATEST && call->number > rpc->head->header.number) {
        coh_ask_free(ask);
        coh_rpc_fail(call, COH_RPC_SERVER, "header not found");
        return;
    }
    if (ask->kind == COH_ASK_STATE) {
        ask->u.state.pending = at->kind == COH_RPC_AT_PENDING;
    }
    post_at(rpc, call, ask, step);
}

static coh_ask_t *ask_state(uint32_t cnt)
{
    coh_ask_t *ask    = coh_ask_new(COH_ASK_STATE);
    ask->u.state.cnt  = cnt;
    ask->u.state.keys = coh_calloc(cnt, sizeof(*ask->u.state.keys));
    return ask;
}

void coh_rpc_fail_gone(coh_rpc_call_t *call, uint64_t block)
{
    coh_rpc_fail(call,
                 COH_RPC_SERVER,
                 "missing trie node: historical state not available: that of block %" PRIu64
                 " is not remembered any more",
                 block);
}

/* state_is_there: there is an answer; else the call has failed. */
static bool state_is_there(coh_rpc_call_t *call, coh_ask_t const *ask)
{
    if (ask->err == COH_ENOTFOUND) {
        coh_rpc_fail_gone(call, call->number);
        return false;
    }
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return false;
    }
    return true;
}

static void step_balance(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (state_is_there(call, ask)) {
        coh_rpc_put_u256(&call->out, &ask->u.state.values[0].word);
        coh_rpc_done(call);
    }
}

static void step_nonce(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (state_is_there(call, ask)) {
        coh_rpc_put_quantity(&call->out, ask->u.state.values[0].nonce);
        coh_rpc_done(call);
    }
}

static void step_code(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (state_is_there(call, ask)) {
        coh_bytes_t code = ask->u.state.values[0].code;
        coh_rpc_put_data(&call->out, code.p, code.n);
        coh_rpc_done(call);
    }
}

static void put_slot(coh_buf_t *out, coh_u256_t const *word)
{
    uint8_t be[32];
    coh_u256_to_be(be, word);
    coh_rpc_put_data(out, be, sizeof(be));
}

static void step_slot(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (state_is_there(call, ask)) {
        put_slot(&call->out, &ask->u.state.values[0].word);
        coh_rpc_done(call);
    }
}

/* get_state asks for what kind says of the account in argument 0, at the block in argument at_idx. */
static void get_state(coh_rpc_t *rpc,
                      coh_rpc_call_t *call,
                      json_t const *params,
                      coh_key_t key,
                      unsigned at_idx,
                      coh_rpc_step_fn *step)
{
    coh_rpc_at_t at;
    READ(coh_rpc_get_addr, &key.addr, call, params, 0);
    READ(coh_rpc_get_block, &at, call, params, at_idx);
    coh_ask_t *ask       = ask_state(1);
    ask->u.state.keys[0] = key;
    post_state(rpc, call, &at, ask, step);
}

void coh_rpc_ask_nonce(coh_rpc_call_t *call, coh_addr_t const *addr, coh_rpc_step_fn *step)
{
    coh_ask_t *ask       = ask_state(1);
    ask->u.state.keys[0] = coh_key_account(addr);
    ask->u.state.block   = COH_BLOCK_LATEST;
    ask->u.state.pending = true;
    coh_rpc_post(call, ask, step);
}

METHOD(get_balance)
{
    get_state(rpc, call, params, (coh_key_t){.kind = COH_KEY_ACCOUNT}, 1, step_balance);
}

METHOD(get_transaction_count)
{
    get_state(rpc, call, params, (coh_key_t){.kind = COH_KEY_ACCOUNT}, 1, step_nonce);
}

METHOD(get_code) { get_state(rpc, call, params, (coh_key_t){.kind = COH_KEY_CODE}, 1, step_code); }

METHOD(get_storage_at)
{
    coh_key_t key = {.kind = COH_KEY_SLOT};
    READ(coh_rpc_get_slot, &key.slot, call, params, 1);
    get_state(rpc, call, params, key, 2, step_slot);
}

/* How many slots of each account eth_getStorageValues asks for. */
#define STORAGE_VALUES_MAX 1024u

static void step_values(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (!state_is_there(call, ask)) {
        return;
    }
    coh_buf_t *out        = &call->out;
    coh_key_t const *keys = ask->u.state.keys;
    PUT(out, "{");
    for (uint32_t i = 0; i < ask->u.state.cnt; i++) {
        bool first = i == 0 || !coh_addr_eq(&keys[i].addr, &keys[i - 1].addr);
        coh_buf_printf(out, "%s", i == 0 ? "" : first ? "]," : ",");
        if (first) {
            coh_rpc_put_addr(out, &keys[i].addr);
            PUT(out, ":[");
        }
        put_slot(out, &ask->u.state.values[i].word);
    }
    PUT(out, "]}");
    coh_rpc_done(call);
}

/* read_slots appends the slots of one account to ask. */
static bool read_slots(coh_ask_t *ask,
                       char const *addr,
                       json_t const *slots,
                       coh_rpc_fault_t *fault)
{
    json_t *text = json_string(addr);
    coh_addr_t at;
    bool ok = coh_rpc_get_addr(&at, text, 0, fault);
    json_decref(text);
    size_t cnt = json_array_size(slots);
    if (ok && cnt > STORAGE_VALUES_MAX - ask->u.state.cnt) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "too many slots (max %u)", STORAGE_VALUES_MAX);
    }
    for (uint32_t i = 0; i < cnt && ok; i++) {
        coh_key_t *key = &ask->u.state.keys[ask->u.state.cnt++];
        *key           = (coh_key_t){.kind = COH_KEY_SLOT, .addr = at};
        ok             = coh_rpc_get_slot(&key->slot, json_array_get(slots, i), 0, fault);
    }
    return ok;
}

METHOD(get_storage_values)
{
    json_t *accounts = json_array_get(params, 0);
    coh_rpc_at_t at;
    READ(coh_rpc_get_block, &at, call, params, 1);
    coh_rpc_fault_t fault;
    if (!json_is_object(accounts)) {
        (void)coh_rpc_fault_type(&fault, 0, accounts, "map[common.Address][]common.Hash");
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    coh_ask_t *ask   = ask_state(STORAGE_VALUES_MAX);
    bool ok          = true;
    ask->u.state.cnt = 0;
    char const *addr;
    json_t *slots;
    json_object_foreach (accounts, addr, slots) {
        ok = ok && read_slots(ask, addr, slots, &fault);
    }
    if (!ok) {
        coh_rpc_fail_fault(call, &fault);
    } else if (ask->u.state.cnt == 0) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "empty request");
    } else {
        post_state(rpc, call, &at, ask, step_values);
        return;
    }
    coh_ask_free(ask);
}

/* ---- proofs (EIP-1186) ---- */

/* put_nodes shows a list of nodes that the coordinator has checked. */
static void put_nodes(coh_buf_t *out, coh_bytes_t nodes)
{
    coh_rlp_t reader = coh_rlp_reader(nodes);
    coh_rlp_t list;
    coh_bytes_t node;
    char const *comma = "";
    COH_ASSERT(coh_rlp_list(&reader, &list) == COH_OK);
    PUT(out, "[");
    while (!coh_rlp_at_end(&list)) {
        COH_ASSERT(coh_rlp_string(&list, &node) == COH_OK);
        coh_buf_printf(out, "%s", comma);
        coh_rpc_put_data(out, node.p, node.n);
        comma = ",";
    }
    PUT(out, "]");
}

static void put_storage_proof(coh_buf_t *out, coh_op_storage_proof_t const *proof, bool is_word)
{
    PUT(out, "{\"key\":");
    if (is_word) {
        put_slot(out, &proof->slot);
    } else {
        coh_rpc_put_u256(out, &proof->slot);
    }
    PUT(out, ",\"value\":");
    coh_rpc_put_u256(out, &proof->value);
    PUT(out, ",\"proof\":");
    put_nodes(out, proof->nodes);
    PUT(out, "}");
}

static void step_proof(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    call->number = ask->u.proof.block; /* the latest, too, may be gone when its turn comes */
    if (!state_is_there(call, ask)) {
        return;
    }
    coh_op_get_proof_answer_t is = ask->u.proof.is;
    coh_buf_t *out               = &call->out;
    if (is.exists == 0) {
        /* As geth shows it, though not what an account without code and storage has. */
        is.code_hash    = (coh_hash_t){{0}};
        is.storage_root = (coh_hash_t){{0}};
    }
    PUT(out, "{\"address\":");
    coh_rpc_put_addr(out, &ask->u.proof.addr);
    PUT(out, ",\"accountProof\":");
    put_nodes(out, is.nodes);
    PUT(out, ",\"balance\":");
    coh_rpc_put_u256(out, &is.balance);
    PUT(out, ",\"codeHash\":");
    coh_rpc_put_hash(out, &is.code_hash);
    PUT(out, ",\"nonce\":");
    coh_rpc_put_quantity(out, is.nonce);
    PUT(out, ",\"storageHash\":");
    coh_rpc_put_hash(out, &is.storage_root);
    PUT(out, ",\"storageProof\":[");
    for (uint32_t i = 0; i < is.slots.cnt; i++) {
        if (i > 0) {
            PUT(out, ",");
        }
        put_storage_proof(out, &is.slots.v[i], ask->u.proof.is_word[i]);
        if (coh_rpc_is_full(call)) {
            return;
        }
    }
    PUT(out, "]}");
    coh_rpc_done(call);
}

/* read_keys reads the storage keys of a proof. Like geth's, an answer shows one of 32 octets as it was given, and any other as a quantity. */
static bool read_keys(coh_ask_t *ask, json_t const *keys, coh_rpc_fault_t *fault)
{
    size_t cnt = json_array_size(keys);
    if (keys == NULL || json_is_null(keys)) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "missing value for required argument 1");
    }
    if (!json_is_array(keys)) {
        return coh_rpc_fault(
            fault,
            COH_RPC_PARAMS,
            "invalid argument 1: json: cannot unmarshal non-array into Go value of type []string");
    }
    if (cnt > COH_ASK_PROOF_SLOTS_MAX) {
        return coh_rpc_fault(
            fault, COH_RPC_PARAMS, "too many slots (max %u)", COH_ASK_PROOF_SLOTS_MAX);
    }
    ask->u.proof.slot_cnt = (uint32_t)cnt;
    ask->u.proof.slots    = coh_calloc(cnt + 1, sizeof(*ask->u.proof.slots));
    ask->u.proof.is_word  = coh_calloc(cnt + 1, sizeof(*ask->u.proof.is_word));
    for (size_t i = 0; i < cnt; i++) {
        json_t const *key = json_array_get(keys, i);
        if (!coh_rpc_get_slot(&ask->u.proof.slots[i], key, 1, fault)) {
            return false;
        }
        ask->u.proof.is_word[i] = json_string_length(key) > sizeof("0x") - 1 + 62;
    }
    return true;
}

METHOD(get_proof)
{
    coh_rpc_at_t at;
    coh_addr_t addr;
    coh_rpc_fault_t fault;
    READ(coh_rpc_get_addr, &addr, call, params, 0);
    READ(coh_rpc_get_block, &at, call, params, 2);
    coh_ask_t *ask    = coh_ask_new(COH_ASK_PROOF);
    ask->u.proof.addr = addr;
    if (read_keys(ask, json_array_get(params, 1), &fault)) {
        post_state(rpc, call, &at, ask, step_proof);
    } else {
        coh_rpc_fail_fault(call, &fault);
        coh_ask_free(ask);
    }
}

/* ---- submission ---- */

void coh_rpc_fail_verdict(coh_rpc_call_t *call, coh_ask_verdict_t const *v, coh_bytes_t raw)
{
    coh_tx_t tx;
    char const *text = coh_tx_err_str(v->err);
    bool is_busy =
        v->err == COH_TX_BUSY || v->err == COH_TX_POOL_FULL || v->err == COH_TX_SENDER_LIMIT;
    if (is_busy) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "%s", text);
    } else if ((v->err != COH_TX_NONCE_TOO_LOW && v->err != COH_TX_FUNDS) || !v->has_account ||
               coh_tx_decode(&tx, raw) != COH_TX_OK) {
        coh_rpc_fail(call, COH_RPC_SERVER, "%s", text);
    } else if (v->err == COH_TX_NONCE_TOO_LOW) {
        coh_rpc_fail(call,
                     COH_RPC_SERVER,
                     "%s: next nonce %" PRIu64 ", tx nonce %" PRIu64,
                     text,
                     v->nonce,
                     tx.nonce);
    } else {
        char balance[COH_U256_DEC_SZ];
        char cost[COH_U256_DEC_SZ];
        char over[COH_U256_DEC_SZ];
        coh_u256_t upfront;
        coh_u256_t missing = COH_U256_ZERO;
        (void)coh_tx_upfront(&upfront, &tx);
        if (coh_u256_lt(&v->balance, &upfront)) {
            (void)coh_u256_sub(&missing, &upfront, &v->balance);
        }
        coh_u256_to_dec(balance, &v->balance);
        coh_u256_to_dec(cost, &upfront);
        coh_u256_to_dec(over, &missing);
        coh_rpc_fail(call,
                     COH_RPC_SERVER,
                     "%s: balance %s, tx cost %s, overshot %s",
                     text,
                     balance,
                     cost,
                     over);
    }
}

static void step_waiting(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask);
static void show_tx(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask);

void coh_rpc_ask_for_tx(coh_rpc_call_t *call, coh_rpc_step_fn *step)
{
    coh_ask_t *ask = coh_ask_new(COH_ASK_TX);
    ask->u.tx.hash = call->hash;
    coh_rpc_post(call, ask, step);
}

static void ask_waiting(coh_rpc_call_t *call)
{
    if (!call->is_asking) {
        call->is_asking = true;
        coh_rpc_ask_for_tx(call, step_waiting);
    }
}

void coh_rpc_ask_waiting(coh_rpc_t *rpc)
{
    for (coh_rpc_call_t *call = rpc->waiting; call != NULL; call = call->wait_next) {
        ask_waiting(call);
    }
}

static void step_waiting(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
    } else if (ask->u.tx.state == COH_ASK_TX_DROPPED) {
        coh_rpc_fail(call, COH_RPC_SERVER, "%s", coh_tx_err_str(ask->u.tx.verdict));
    } else if (ask->u.tx.state == COH_ASK_TX_COMMITTED) {
        coh_rpc_stop_waiting(call);
        show_tx(rpc, call, ask);
    }
}

void coh_rpc_take_verdict(coh_rpc_call_t *call, coh_ask_verdict_t const *v, coh_bytes_t raw)
{
    if (v->err != COH_TX_OK) {
        coh_rpc_fail_verdict(call, v, raw);
    } else if (call->wait_until_us == 0 && call->req->rpc->dev != NULL) {
        coh_rpc_dev_wait(call, &v->hash);
    } else if (call->wait_until_us == 0) {
        coh_rpc_put_hash(&call->out, &v->hash);
        coh_rpc_done(call);
    } else {
        call->hash = v->hash;
        call->show = COH_RPC_SHOW_RECEIPT;
        coh_rpc_wait_for_tx(call);
        ask_waiting(call); /* it may be in a block already */
    }
}

METHOD(send_raw)
{
    (void)rpc;
    coh_buf_t raw = COH_BUF_INIT;
    coh_rpc_fault_t fault;
    if (coh_rpc_get_data(&raw, json_array_get(params, 0), 0, &fault)) {
        coh_rpc_submit(call, coh_buf_bytes(&raw));
    } else {
        coh_rpc_fail_fault(call, &fault);
    }
    coh_buf_free(&raw);
}

/* EIP-7966 */
METHOD(send_raw_sync)
{
    uint64_t ms     = COH_RPC_SYNC_MS;
    json_t const *v = json_array_get(params, 1);
    coh_rpc_fault_t fault;
    if (v != NULL && !json_is_null(v) && !coh_rpc_get_number(&ms, v, UINT64_MAX, 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    ms                  = ms == 0 ? COH_RPC_SYNC_MS : COH_MIN(ms, rpc->d.config->http_timeout_ms);
    call->wait_until_us = rpc->now_us + ms * 1000;
    coh_rpc_do_send_raw(rpc, call, params);
}

/* ---- blocks ---- */

uint64_t coh_rpc_at_number(coh_rpc_t const *rpc, coh_rpc_at_t const *at)
{
    return at->kind == COH_RPC_AT_NUMBER     ? at->number
           : at->kind == COH_RPC_AT_EARLIEST ? rpc->d.genesis->number
                                             : rpc->head->header.number;
}

/* remember puts block, a reference of the caller's, in front of those at hand. */
static void remember(coh_rpc_t *rpc, coh_rpc_block_t *block)
{
    coh_rpc_block_free(rpc->cache[COH_RPC_CACHE_CNT - 1]);
    memmove(&rpc->cache[1], &rpc->cache[0], (COH_RPC_CACHE_CNT - 1) * sizeof(rpc->cache[0]));
    rpc->cache[0] = block;
}

/* at_hand finds a block by number, or by hash if that is not NULL. */
static coh_rpc_block_t *at_hand(coh_rpc_t *rpc,
                                coh_hash_t const *hash,
                                uint64_t number,
                                bool bodies)
{
    for (uint32_t i = 0; i < COH_RPC_CACHE_CNT && rpc->cache[i] != NULL; i++) {
        coh_rpc_block_t *b = rpc->cache[i];
        bool same =
            hash != NULL ? coh_hash_eq(&b->sealed->hash, hash) : b->sealed->header.number == number;
        if (same && (!bodies || coh_rpc_block_has_bodies(b))) {
            memmove(&rpc->cache[1], &rpc->cache[0], i * sizeof(rpc->cache[0]));
            rpc->cache[0] = b;
            return b;
        }
    }
    bool is_head =
        hash != NULL ? coh_hash_eq(&rpc->head->hash, hash) : rpc->head->header.number == number;
    if (is_head && (!bodies || rpc->head->tx_cnt == 0)) {
        remember(rpc, coh_rpc_block_of(coh_sealed_ref(rpc->head)));
        return rpc->cache[0];
    }
    return NULL;
}

coh_rpc_block_t *coh_rpc_cached(coh_rpc_t *rpc, uint64_t number, bool bodies)
{
    return at_hand(rpc, NULL, number, bodies);
}

coh_rpc_block_t *coh_rpc_take_block(coh_rpc_t *rpc, coh_ask_t *ask, coh_err_t *err)
{
    *err = ask->err;
    if (ask->err != COH_OK) {
        return NULL;
    }
    coh_rpc_block_t *block;
    if (ask->u.block.sealed != NULL) {
        block               = coh_rpc_block_of(ask->u.block.sealed);
        ask->u.block.sealed = NULL;
    } else if ((*err = coh_rpc_block_decode(&block, &ask->bytes)) != COH_OK) {
        return NULL;
    }
    remember(rpc, block);
    return block;
}

static void step_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_err_t err;
    coh_rpc_block_t *block = coh_rpc_take_block(rpc, ask, &err);
    if (block == NULL && err != COH_ENOTFOUND) {
        coh_rpc_fail_err(call, err);
        return;
    }
    if (block != NULL) {
        block->ref_cnt++; /* on_block may bring others to hand */
    }
    call->on_block(rpc, call, block);
    coh_rpc_block_free(block);
}

static void post_block(coh_rpc_call_t *call,
                       coh_hash_t const *hash,
                       uint64_t number,
                       bool bodies,
                       coh_rpc_block_fn *on_block)
{
    coh_ask_t *ask           = coh_ask_new(COH_ASK_BLOCK);
    ask->u.block.by_hash     = hash != NULL;
    ask->u.block.number      = number;
    ask->u.block.want_record = bodies;
    if (hash != NULL) {
        ask->u.block.hash = *hash;
    }
    call->on_block = on_block;
    coh_rpc_post(call, ask, step_block);
}

void coh_rpc_ask_block(coh_rpc_call_t *call,
                       uint64_t number,
                       bool bodies,
                       coh_rpc_block_fn *on_block)
{
    post_block(call, NULL, number, bodies, on_block);
}

void coh_rpc_with_block(coh_rpc_t *rpc,
                        coh_rpc_call_t *call,
                        coh_rpc_at_t const *at,
                        bool bodies,
                        coh_rpc_block_fn *on_block)
{
    bool by_hash           = at->kind == COH_RPC_AT_HASH;
    coh_hash_t const *hash = by_hash ? &at->hash : NULL;
    uint64_t number        = by_hash ? 0 : coh_rpc_at_number(rpc, at);
    coh_rpc_block_t *block = at_hand(rpc, hash, number, bodies);
    if (block != NULL) {
        on_block(rpc, call, block);
    } else if (!by_hash && number > rpc->head->header.number) {
        on_block(rpc, call, NULL);
    } else {
        post_block(call, hash, number, bodies, on_block);
    }
}

static void put_raw(coh_buf_t *out, coh_buf_t *raw)
{
    coh_rpc_put_data(out, raw->p, raw->n);
    coh_buf_free(raw);
}

static bool needs_bodies(coh_rpc_block_t const *block)
{
    for (uint32_t i = 0; i < block->sealed->tx_cnt; i++) {
        if (coh_rpc_receipt_needs_body(block->sealed, i)) {
            return !coh_rpc_block_has_bodies(block);
        }
    }
    return false;
}

static void show_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block);

static void show_receipts(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    if (needs_bodies(block)) {
        coh_rpc_ask_block(call, block->sealed->header.number, true, show_block);
        return;
    }
    PUT(&call->out, "[");
    for (uint32_t i = 0; i < block->sealed->tx_cnt; i++) {
        if (i > 0) {
            PUT(&call->out, ",");
        }
        coh_rpc_put_receipt(&call->out, block, i, rpc->d.genesis);
    }
    PUT(&call->out, "]");
    coh_rpc_done(call);
}

static void show_raw_receipts(coh_rpc_call_t *call, coh_sealed_t const *sealed)
{
    PUT(&call->out, "[");
    for (uint32_t i = 0; i < sealed->tx_cnt; i++) {
        coh_buf_t raw = COH_BUF_INIT;
        if (i > 0) {
            PUT(&call->out, ",");
        }
        coh_rpc_raw_receipt(&raw, sealed, i);
        put_raw(&call->out, &raw);
    }
    PUT(&call->out, "]");
    coh_rpc_done(call);
}

/* What the raw forms of no block are, as geth has it. */
static void no_block(coh_rpc_call_t *call)
{
    if (call->show >= COH_RPC_SHOW_RAW_BLOCK) {
        if (call->idx != 0) {
            char hex[65];
            coh_hex_encode(hex, call->hash.b, sizeof(call->hash.b));
            coh_rpc_fail(call, COH_RPC_SERVER, "block 0x%s not found", hex);
            return;
        }
        coh_rpc_fail(call, COH_RPC_SERVER, "block #%" PRIu64 " not found", call->number);
    } else {
        coh_rpc_null(call);
    }
}

static void show_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    coh_buf_t *out = &call->out;
    coh_buf_t raw  = COH_BUF_INIT;
    if (block == NULL) {
        no_block(call);
        return;
    }
    coh_sealed_t const *s = block->sealed;
    switch (call->show) {
    case COH_RPC_SHOW_BLOCK:
    case COH_RPC_SHOW_FULL_BLOCK:
        coh_rpc_put_block(out, block, call->show == COH_RPC_SHOW_FULL_BLOCK);
        break;
    case COH_RPC_SHOW_HEADER: coh_rpc_put_header(out, s); break;
    case COH_RPC_SHOW_RECEIPTS: show_receipts(rpc, call, block); return;
    case COH_RPC_SHOW_TX_CNT: coh_rpc_put_quantity(out, s->tx_cnt); break;
    case COH_RPC_SHOW_UNCLE_CNT: coh_rpc_put_quantity(out, coh_rpc_ommer_cnt(s)); break;
    case COH_RPC_SHOW_UNCLE:
        if (!coh_rpc_put_ommer(out, s, call->idx)) {
            PUT(out, "null");
        }
        break;
    case COH_RPC_SHOW_TX:
    case COH_RPC_SHOW_RAW_TX:
    case COH_RPC_SHOW_RECEIPT:
        if (call->idx >= s->tx_cnt) {
            PUT(out, "null");
        } else if (call->show == COH_RPC_SHOW_TX) {
            coh_rpc_put_block_tx(out, block, call->idx);
        } else if (call->show == COH_RPC_SHOW_RAW_TX) {
            coh_rpc_put_data(out, block->raws[call->idx].p, block->raws[call->idx].n);
        } else {
            if (coh_rpc_receipt_needs_body(s, call->idx) && !coh_rpc_block_has_bodies(block)) {
                coh_rpc_ask_block(call, s->header.number, true, show_block);
                return;
            }
            coh_rpc_put_receipt(out, block, call->idx, rpc->d.genesis);
        }
        break;
    case COH_RPC_SHOW_RAW_BLOCK:
        coh_rpc_raw_block(&raw, block);
        put_raw(out, &raw);
        break;
    case COH_RPC_SHOW_RAW_HEADER: coh_rpc_put_data(out, s->header_rlp.p, s->header_rlp.n); break;
    case COH_RPC_SHOW_RAW_RECEIPTS: show_raw_receipts(call, s); return;
    }
    coh_rpc_done(call);
}

/* Whether what is shown needs the transactions themselves. */
static bool shows_bodies(coh_rpc_show_t show)
{
    return show == COH_RPC_SHOW_FULL_BLOCK || show == COH_RPC_SHOW_TX ||
           show == COH_RPC_SHOW_RAW_TX || show == COH_RPC_SHOW_RAW_BLOCK;
}

static void show_at(coh_rpc_t *rpc,
                    coh_rpc_call_t *call,
                    coh_rpc_at_t const *at,
                    coh_rpc_show_t show)
{
    call->show   = show;
    call->number = at->kind == COH_RPC_AT_HASH ? 0 : coh_rpc_at_number(rpc, at);
    coh_rpc_with_block(rpc, call, at, shows_bodies(show), show_block);
}

static void show_by_number(coh_rpc_t *rpc,
                           coh_rpc_call_t *call,
                           json_t const *params,
                           coh_rpc_show_t show)
{
    coh_rpc_at_t at;
    READ(coh_rpc_get_block_number, &at, call, params, 0);
    show_at(rpc, call, &at, show);
}

/* show_by_either: a number or a hash. */
static void show_by_either(coh_rpc_t *rpc,
                           coh_rpc_call_t *call,
                           json_t const *params,
                           coh_rpc_show_t show)
{
    coh_rpc_at_t at;
    READ(coh_rpc_get_block, &at, call, params, 0);
    call->hash = at.hash;
    call->idx  = at.kind == COH_RPC_AT_HASH;
    show_at(rpc, call, &at, show);
}

static void show_by_hash(coh_rpc_t *rpc,
                         coh_rpc_call_t *call,
                         json_t const *params,
                         coh_rpc_show_t show)
{
    coh_rpc_at_t at = {.kind = COH_RPC_AT_HASH};
    READ(coh_rpc_get_hash, &at.hash, call, params, 0);
    show_at(rpc, call, &at, show);
}

METHOD(block_by_hash)
{
    bool full;
    READ(coh_rpc_get_bool, &full, call, params, 1);
    show_by_hash(rpc, call, params, full ? COH_RPC_SHOW_FULL_BLOCK : COH_RPC_SHOW_BLOCK);
}

METHOD(block_by_number)
{
    bool full;
    coh_rpc_at_t at;
    READ(coh_rpc_get_block_number, &at, call, params, 0);
    READ(coh_rpc_get_bool, &full, call, params, 1);
    if (at.kind == COH_RPC_AT_PENDING) {
        coh_rpc_put_pending_block(&call->out, rpc->head, &rpc->next, false);
        coh_rpc_done(call);
    } else {
        show_at(rpc, call, &at, full ? COH_RPC_SHOW_FULL_BLOCK : COH_RPC_SHOW_BLOCK);
    }
}

METHOD(header_by_hash) { show_by_hash(rpc, call, params, COH_RPC_SHOW_HEADER); }
METHOD(header_by_number)
{
    coh_rpc_at_t at;
    READ(coh_rpc_get_block_number, &at, call, params, 0);
    if (at.kind == COH_RPC_AT_PENDING) {
        coh_rpc_put_pending_block(&call->out, rpc->head, &rpc->next, true);
        coh_rpc_done(call);
    } else {
        show_at(rpc, call, &at, COH_RPC_SHOW_HEADER);
    }
}

METHOD(block_receipts) { show_by_either(rpc, call, params, COH_RPC_SHOW_RECEIPTS); }
METHOD(block_tx_count_by_hash) { show_by_hash(rpc, call, params, COH_RPC_SHOW_TX_CNT); }
METHOD(block_tx_count_by_number) { show_by_number(rpc, call, params, COH_RPC_SHOW_TX_CNT); }
METHOD(uncle_count_by_hash) { show_by_hash(rpc, call, params, COH_RPC_SHOW_UNCLE_CNT); }
METHOD(uncle_count_by_number) { show_by_number(rpc, call, params, COH_RPC_SHOW_UNCLE_CNT); }
METHOD(raw_block) { show_by_either(rpc, call, params, COH_RPC_SHOW_RAW_BLOCK); }
METHOD(raw_header) { show_by_either(rpc, call, params, COH_RPC_SHOW_RAW_HEADER); }
METHOD(raw_receipts) { show_by_either(rpc, call, params, COH_RPC_SHOW_RAW_RECEIPTS); }

/* read_idx reads the place of a transaction or an ommer in its block. */
static bool read_idx(coh_rpc_call_t *call, json_t const *params)
{
    uint64_t idx;
    coh_rpc_fault_t fault;
    if (!coh_rpc_get_quantity(&idx, json_array_get(params, 1), 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return false;
    }
    call->idx = (uint32_t)COH_MIN(idx, (uint64_t)UINT32_MAX);
    return true;
}

METHOD(uncle_by_hash)
{
    if (read_idx(call, params)) {
        show_by_hash(rpc, call, params, COH_RPC_SHOW_UNCLE);
    }
}

METHOD(uncle_by_number)
{
    if (read_idx(call, params)) {
        show_by_number(rpc, call, params, COH_RPC_SHOW_UNCLE);
    }
}

METHOD(tx_by_block_hash)
{
    if (read_idx(call, params)) {
        show_by_hash(rpc, call, params, COH_RPC_SHOW_TX);
    }
}

METHOD(tx_by_block_number)
{
    if (read_idx(call, params)) {
        show_by_number(rpc, call, params, COH_RPC_SHOW_TX);
    }
}

METHOD(raw_tx_by_block_hash)
{
    if (read_idx(call, params)) {
        show_by_hash(rpc, call, params, COH_RPC_SHOW_RAW_TX);
    }
}

METHOD(raw_tx_by_block_number)
{
    if (read_idx(call, params)) {
        show_by_number(rpc, call, params, COH_RPC_SHOW_RAW_TX);
    }
}

/* ---- transactions by hash ---- */

/* show_tx shows what call wants of a committed transaction that was found. */
static void show_tx(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_rpc_at_t at = {.kind = COH_RPC_AT_NUMBER, .number = ask->u.tx.number};
    call->idx       = ask->u.tx.idx;
    if (ask->u.tx.sealed != NULL && !shows_bodies(call->show)) {
        coh_rpc_block_t *block = coh_rpc_block_of(ask->u.tx.sealed);
        ask->u.tx.sealed       = NULL;
        show_block(rpc, call, block);
        coh_rpc_block_free(block);
        return;
    }
    coh_rpc_with_block(rpc, call, &at, shows_bodies(call->show), show_block);
}

static void step_tx(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    switch (ask->u.tx.state) {
    case COH_ASK_TX_COMMITTED: show_tx(rpc, call, ask); return;
    case COH_ASK_TX_PENDING:
        if (call->show == COH_RPC_SHOW_RAW_TX) {
            coh_rpc_put_data(&call->out, ask->bytes.p, ask->bytes.n);
            coh_rpc_done(call);
            return;
        }
        if (call->show == COH_RPC_SHOW_TX &&
            coh_rpc_put_pooled_tx(
                &call->out, coh_buf_bytes(&ask->bytes), &call->hash, &ask->u.tx.sender) == COH_OK) {
            coh_rpc_done(call);
            return;
        }
        break;
    case COH_ASK_TX_DROPPED:
    case COH_ASK_TX_UNKNOWN: break;
    }
    coh_rpc_null(call);
}

static void tx_by_hash(coh_rpc_call_t *call, json_t const *params, coh_rpc_show_t show)
{
    READ(coh_rpc_get_hash, &call->hash, call, params, 0);
    call->show = show;
    coh_rpc_ask_for_tx(call, step_tx);
}

METHOD(tx_by_hash)
{
    (void)rpc;
    tx_by_hash(call, params, COH_RPC_SHOW_TX);
}

METHOD(raw_tx_by_hash)
{
    (void)rpc;
    tx_by_hash(call, params, COH_RPC_SHOW_RAW_TX);
}

METHOD(tx_receipt)
{
    (void)rpc;
    tx_by_hash(call, params, COH_RPC_SHOW_RECEIPT);
}

/* ---- the pool ---- */

/* Transactions that txpool_content shows. */
#define POOL_SHOWN_MAX 4096u

static void put_pooled(coh_buf_t *out,
                       coh_ask_t const *ask,
                       coh_ask_pooled_t const *p,
                       coh_tx_t const *tx,
                       bool inspect)
{
    coh_buf_printf(out, "\"%" PRIu64 "\":", tx->nonce);
    if (!inspect) {
        coh_err_t err = coh_rpc_put_pooled_tx(
            out, coh_bytes(ask->bytes.p + p->raw.at, p->raw.n), &p->hash, &p->sender);
        COH_ASSERT(err == COH_OK); /* tx was decoded from it */
        return;
    }
    char value[COH_U256_DEC_SZ];
    char price[COH_U256_DEC_SZ];
    coh_u256_to_dec(value, &tx->value);
    coh_u256_to_dec(price, &tx->max_fee);
    if (tx->is_create) {
        PUT(out, "\"contract creation");
    } else {
        coh_rpc_put_addr(out, &tx->to);
        out->n--; /* goes on */
    }
    coh_buf_printf(out, ": %s wei + %" PRIu64 " gas × %s wei\"", value, tx->gas_limit, price);
}

/* put_pool_part puts the ready ones, or those behind a gap: by sender, if by_sender, and nonce. */
static void put_pool_part(coh_buf_t *out,
                          coh_ask_t const *ask,
                          bool ready,
                          bool by_sender,
                          bool inspect)
{
    coh_ask_pooled_t const *last = NULL;
    PUT(out, "{");
    for (uint32_t i = 0; i < ask->u.pool.cnt; i++) {
        coh_ask_pooled_t const *p = &ask->u.pool.txs[i];
        coh_tx_t tx;
        if (p->is_ready != ready ||
            coh_tx_decode(&tx, coh_bytes(ask->bytes.p + p->raw.at, p->raw.n)) != COH_TX_OK) {
            continue;
        }
        bool same = last != NULL && coh_addr_eq(&last->sender, &p->sender);
        if (by_sender && !same) {
            coh_buf_printf(out, "%s", last == NULL ? "" : "},");
            char text[COH_RPC_ADDR_SZ];
            coh_rpc_checksum(text, &p->sender);
            coh_buf_printf(out, "\"%s\"", text);
            PUT(out, ":{");
        } else if (last != NULL) {
            PUT(out, ",");
        }
        put_pooled(out, ask, p, &tx, inspect);
        last = p;
    }
    if (by_sender && last != NULL) {
        PUT(out, "}");
    }
    PUT(out, "}");
}

static void step_pool(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    coh_buf_t *out = &call->out;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    if (ask->u.pool.is_cut) {
        coh_rpc_fail(call,
                     COH_RPC_LIMIT,
                     "more than %u transactions in the pool: ask for one sender's with "
                     "txpool_contentFrom",
                     POOL_SHOWN_MAX);
        return;
    }
    bool by_sender = !ask->u.pool.one_sender;
    bool inspect   = call->idx != 0;
    PUT(out, "{\"pending\":");
    put_pool_part(out, ask, true, by_sender, inspect);
    PUT(out, ",\"queued\":");
    put_pool_part(out, ask, false, by_sender, inspect);
    PUT(out, "}");
    coh_rpc_done(call);
}

static void step_pending(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    coh_buf_t *out = &call->out;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    PUT(out, "[");
    for (uint32_t i = 0; i < ask->u.pool.cnt; i++) {
        coh_ask_pooled_t const *p = &ask->u.pool.txs[i];
        coh_bytes_t raw           = coh_bytes(ask->bytes.p + p->raw.at, p->raw.n);
        coh_hash_t hash;
        coh_keccak256(&hash, raw.p, raw.n);
        size_t at = out->n;
        coh_buf_printf(out, "%s", at == 1 ? "" : ",");
        if (coh_rpc_put_pooled_tx(out, raw, &hash, &p->sender) != COH_OK) {
            out->n = at;
        }
    }
    PUT(out, "]");
    coh_rpc_done(call);
}

static coh_ask_t *ask_pool(coh_rpc_t const *rpc)
{
    coh_ask_t *ask        = coh_ask_new(COH_ASK_POOL);
    ask->u.pool.max       = POOL_SHOWN_MAX;
    ask->u.pool.bytes_max = rpc->d.config->http_response_bytes_max / 4;
    return ask;
}

METHOD(pool_content)
{
    (void)params;
    coh_rpc_post(call, ask_pool(rpc), step_pool);
}

/* Of accounts whose keys the node has: none, but on a dev chain, where all are shown. */
METHOD(pending_transactions)
{
    (void)params;
    if (rpc->dev == NULL) {
        done_text(call, "[]");
    } else {
        coh_rpc_post(call, ask_pool(rpc), step_pending);
    }
}

METHOD(pool_content_from)
{
    coh_addr_t sender;
    READ(coh_rpc_get_addr, &sender, call, params, 0);
    coh_ask_t *ask         = ask_pool(rpc);
    ask->u.pool.one_sender = true;
    ask->u.pool.sender     = sender;
    coh_rpc_post(call, ask, step_pool);
}

METHOD(pool_inspect)
{
    (void)params;
    call->idx = 1;
    coh_rpc_post(call, ask_pool(rpc), step_pool);
}

static void step_pool_status(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    coh_buf_t *out = &call->out;
    PUT(out, "{\"pending\":");
    coh_rpc_put_quantity(out, ask->u.pool.pending_cnt);
    PUT(out, ",\"queued\":");
    coh_rpc_put_quantity(out, ask->u.pool.queued_cnt);
    PUT(out, "}");
    coh_rpc_done(call);
}

METHOD(pool_status)
{
    IGNORE(rpc, params);
    coh_rpc_post(call, coh_ask_new(COH_ASK_POOL), step_pool_status);
}
