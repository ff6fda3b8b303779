#include "coordinator/gateway/rpc_format.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/receipt.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "coordinator/decision_log.h"

#define PUT COH_RPC_PUT

/* A member with a comma before it: its name is a literal. */
#define NAME(out, name) COH_RPC_PUT(out, ",\"" name "\":")

/* ---- blocks at hand ---- */

coh_rpc_block_t *coh_rpc_block_of(coh_sealed_t *sealed)
{
    coh_rpc_block_t *b = coh_calloc(1, sizeof(*b));
    b->ref_cnt         = 1;
    b->sealed          = sealed;
    return b;
}

coh_err_t coh_rpc_block_decode(coh_rpc_block_t **out, coh_buf_t *record)
{
    coh_sealed_t *sealed;
    coh_decision_t d;
    coh_decision_cursor_t cur;
    COH_TRY(coh_seal_restore(&sealed, coh_buf_bytes(record)));
    coh_rpc_block_t *b = coh_rpc_block_of(sealed);
    b->record          = *record;
    *record            = COH_BUF_INIT;
    b->raws            = coh_calloc(sealed->tx_cnt, sizeof(*b->raws));
    coh_err_t err      = coh_decision_read(&d, &cur, coh_buf_bytes(&b->record));
    for (uint32_t i = 0; i < sealed->tx_cnt && err == COH_OK; i++) {
        coh_decision_tx_t tx;
        err        = coh_decision_next_tx(&cur, &tx);
        b->raws[i] = tx.raw;
    }
    COH_ASSERT(err == COH_OK); /* it was restored */
    *out = b;
    return COH_OK;
}

void coh_rpc_block_free(coh_rpc_block_t *b)
{
    if (b != NULL && --b->ref_cnt == 0) {
        coh_sealed_free(b->sealed);
        coh_buf_free(&b->record);
        free(b->raws);
        free(b);
    }
}

/* ---- headers ---- */

static void put_bloom(coh_buf_t *out, uint8_t const bloom[COH_BLOOM_SZ])
{
    coh_rpc_put_data(out, bloom, COH_BLOOM_SZ);
}

/* The members of a header, the first without a comma. */
static void put_header(coh_buf_t *out, coh_header_t const *h, coh_fork_t fork)
{
    PUT(out, "\"number\":");
    coh_rpc_put_quantity(out, h->number);
    NAME(out, "parentHash");
    coh_rpc_put_hash(out, &h->parent_hash);
    NAME(out, "sha3Uncles");
    coh_rpc_put_hash(out, &h->ommers_hash);
    NAME(out, "miner");
    coh_rpc_put_addr(out, &h->coinbase);
    NAME(out, "stateRoot");
    coh_rpc_put_hash(out, &h->state_root);
    NAME(out, "transactionsRoot");
    coh_rpc_put_hash(out, &h->tx_root);
    NAME(out, "receiptsRoot");
    coh_rpc_put_hash(out, &h->receipts_root);
    NAME(out, "logsBloom");
    put_bloom(out, h->bloom);
    NAME(out, "difficulty");
    coh_rpc_put_u256(out, &h->difficulty);
    NAME(out, "gasLimit");
    coh_rpc_put_quantity(out, h->gas_limit);
    NAME(out, "gasUsed");
    coh_rpc_put_quantity(out, h->gas_used);
    NAME(out, "timestamp");
    coh_rpc_put_quantity(out, h->timestamp);
    NAME(out, "extraData");
    coh_rpc_put_data(out, h->extra, h->extra_sz);
    NAME(out, "mixHash");
    coh_rpc_put_hash(out, &h->mix_hash);
    NAME(out, "nonce");
    coh_rpc_put_data(out, h->nonce, sizeof(h->nonce));
    if (fork >= COH_FORK_LONDON) {
        NAME(out, "baseFeePerGas");
        coh_rpc_put_u256(out, &h->base_fee);
    }
    if (fork >= COH_FORK_SHANGHAI) {
        NAME(out, "withdrawalsRoot");
        coh_rpc_put_hash(out, &h->withdrawals_root);
    }
    if (fork >= COH_FORK_CANCUN) {
        NAME(out, "blobGasUsed");
        coh_rpc_put_quantity(out, h->blob_gas_used);
        NAME(out, "excessBlobGas");
        coh_rpc_put_quantity(out, h->excess_blob_gas);
        NAME(out, "parentBeaconBlockRoot");
        coh_rpc_put_hash(out, &h->parent_beacon_root);
    }
    if (fork >= COH_FORK_PRAGUE) {
        NAME(out, "requestsHash");
        coh_rpc_put_hash(out, &h->requests_hash);
    }
}

void coh_rpc_put_header(coh_buf_t *out, coh_sealed_t const *sealed)
{
    PUT(out, "{");
    put_header(out, &sealed->header, sealed->fork);
    NAME(out, "hash");
    coh_rpc_put_hash(out, &sealed->hash);
    PUT(out, "}");
}

/* Octets of a list's or string's header, for a payload of n octets that is not a single small one. */
static size_t rlp_header_bytes(size_t n)
{
    size_t header = 1;
    for (size_t rest = n; n > 55 && rest > 0; rest >>= 8) {
        header++;
    }
    return header;
}

/* What the block has behind its transactions: the RLP of the list of ommers, and since Shanghai that of withdrawals. */
static coh_bytes_t tail_of(coh_sealed_t const *s)
{
    static uint8_t const none[] = {0xc0, 0xc0};
    return s->extra.n != 0 ? coh_buf_bytes(&s->extra)
                           : coh_bytes(none, s->fork >= COH_FORK_SHANGHAI ? 2 : 1);
}

/* A cursor over the ommers; withdrawals, if there is a list of them, likewise. False: there is none. */
static bool open_tail(coh_sealed_t const *s, coh_rlp_t *ommers, coh_rlp_t *withdrawals)
{
    coh_rlp_t tail = coh_rlp_reader(tail_of(s));
    coh_err_t err  = coh_rlp_list(&tail, ommers);
    bool has       = !coh_rlp_at_end(&tail);
    if (err == COH_OK && has) {
        err = coh_rlp_list(&tail, withdrawals);
    }
    COH_ASSERT(err == COH_OK); /* it was decoded when it was imported */
    return has;
}

static bool next_ommer(coh_rlp_t *list, coh_bytes_t *raw)
{
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    return !coh_rlp_at_end(list) && coh_rlp_next_raw(list, &kind, &payload, raw) == COH_OK;
}

uint32_t coh_rpc_ommer_cnt(coh_sealed_t const *sealed)
{
    coh_rlp_t ommers;
    coh_rlp_t withdrawals;
    coh_bytes_t raw;
    uint32_t cnt = 0;
    open_tail(sealed, &ommers, &withdrawals);
    while (next_ommer(&ommers, &raw)) {
        cnt++;
    }
    return cnt;
}

static size_t block_bytes(coh_sealed_t const *s)
{
    size_t n = s->header_rlp.n + rlp_header_bytes(s->txs_bytes) + s->txs_bytes + tail_of(s).n;
    return rlp_header_bytes(n) + n;
}

bool coh_rpc_put_ommer(coh_buf_t *out, coh_sealed_t const *sealed, uint32_t idx)
{
    coh_rlp_t ommers;
    coh_rlp_t withdrawals;
    coh_bytes_t raw;
    open_tail(sealed, &ommers, &withdrawals);
    while (next_ommer(&ommers, &raw)) {
        if (idx-- == 0) {
            coh_header_t h;
            coh_fork_t shape;
            coh_hash_t hash;
            coh_err_t err = coh_header_decode(&h, &shape, raw);
            COH_ASSERT(err == COH_OK); /* it was decoded when it was imported */
            coh_keccak256(&hash, raw.p, raw.n);
            size_t n = raw.n + 2; /* a block without transactions and ommers */
            PUT(out, "{");
            put_header(out, &h, shape);
            NAME(out, "hash");
            coh_rpc_put_hash(out, &hash);
            NAME(out, "size");
            coh_rpc_put_quantity(out, rlp_header_bytes(n) + n);
            PUT(out, ",\"uncles\":[]}");
            return true;
        }
    }
    return false;
}

static void put_tail(coh_buf_t *out, coh_sealed_t const *s)
{
    coh_rlp_t ommers;
    coh_rlp_t withdrawals;
    coh_bytes_t raw;
    bool has = open_tail(s, &ommers, &withdrawals);
    NAME(out, "uncles");
    PUT(out, "[");
    for (bool first = true; next_ommer(&ommers, &raw); first = false) {
        coh_hash_t hash;
        coh_keccak256(&hash, raw.p, raw.n);
        coh_buf_printf(out, "%s", first ? "" : ",");
        coh_rpc_put_hash(out, &hash);
    }
    PUT(out, "]");
    if (!has) {
        return;
    }
    NAME(out, "withdrawals");
    PUT(out, "[");
    for (bool first = true; !coh_rlp_at_end(&withdrawals); first = false) {
        coh_rlp_t fields;
        coh_withdrawal_t w;
        bool ok = coh_rlp_list(&withdrawals, &fields) == COH_OK &&
                  coh_rlp_u64(&fields, &w.index) == COH_OK &&
                  coh_rlp_u64(&fields, &w.validator) == COH_OK &&
                  coh_rlp_fixed(&fields, w.addr.b, sizeof(w.addr.b)) == COH_OK &&
                  coh_rlp_u64(&fields, &w.amount_gwei) == COH_OK;
        COH_ASSERT(ok); /* likewise */
        coh_buf_printf(out, "%s{\"index\":", first ? "" : ",");
        coh_rpc_put_quantity(out, w.index);
        NAME(out, "validatorIndex");
        coh_rpc_put_quantity(out, w.validator);
        NAME(out, "address");
        coh_rpc_put_addr(out, &w.addr);
        NAME(out, "amount");
        coh_rpc_put_quantity(out, w.amount_gwei);
        PUT(out, "}");
    }
    PUT(out, "]");
}

void coh_rpc_put_block(coh_buf_t *out, coh_rpc_block_t const *block, bool full)
{
    coh_sealed_t const *s = block->sealed;
    PUT(out, "{");
    put_header(out, &s->header, s->fork);
    NAME(out, "hash");
    coh_rpc_put_hash(out, &s->hash);
    NAME(out, "size");
    coh_rpc_put_quantity(out, block_bytes(s));
    NAME(out, "transactions");
    PUT(out, "[");
    for (uint32_t i = 0; i < s->tx_cnt; i++) {
        if (i > 0) {
            PUT(out, ",");
        }
        if (full) {
            coh_rpc_put_block_tx(out, block, i);
        } else {
            coh_rpc_put_hash(out, &s->receipts[i].tx_hash);
        }
    }
    PUT(out, "]");
    put_tail(out, s);
    PUT(out, "}");
}

void coh_rpc_put_pending_block(coh_buf_t *out,
                               coh_sealed_t const *head,
                               coh_block_env_t const *env,
                               bool header_only)
{
    coh_header_t h = {
        .parent_hash      = head->hash,
        .ommers_hash      = COH_EMPTY_LIST_HASH,
        .coinbase         = env->coinbase,
        .state_root       = head->header.state_root,
        .tx_root          = COH_EMPTY_TRIE_ROOT,
        .receipts_root    = COH_EMPTY_TRIE_ROOT,
        .number           = head->header.number + 1,
        .gas_limit        = env->gas_limit,
        .timestamp        = env->timestamp,
        .base_fee         = env->base_fee,
        .withdrawals_root = COH_EMPTY_TRIE_ROOT,
        .requests_hash    = COH_EMPTY_REQUESTS_HASH,
    };
    if (env->fork < COH_FORK_PARIS) {
        h.difficulty = env->prev_randao;
    }
    PUT(out, "{");
    put_header(out, &h, env->fork);
    PUT(out, ",\"hash\":null");
    if (!header_only) {
        PUT(out, ",\"size\":\"0x0\",\"transactions\":[],\"uncles\":[]");
    }
    if (!header_only && env->fork >= COH_FORK_SHANGHAI) {
        PUT(out, ",\"withdrawals\":[]");
    }
    PUT(out, "}");
}

/* ---- transactions ---- */

void coh_rpc_put_access_list(coh_buf_t *out, coh_bytes_t payload)
{
    coh_tx_t tx    = {.access_list = payload};
    coh_rlp_t list = coh_tx_access_iter(&tx);
    coh_rlp_t keys;
    coh_addr_t addr;
    coh_hash_t key;
    PUT(out, "[");
    for (bool first = true; coh_tx_access_next(&list, &addr, &keys); first = false) {
        coh_buf_printf(out, "%s{\"address\":", first ? "" : ",");
        coh_rpc_put_addr(out, &addr);
        PUT(out, ",\"storageKeys\":[");
        for (bool first_key = true; coh_tx_access_key_next(&keys, &key); first_key = false) {
            coh_buf_printf(out, "%s", first_key ? "" : ",");
            coh_rpc_put_hash(out, &key);
        }
        PUT(out, "]}");
    }
    PUT(out, "]");
}

static void put_blobs(coh_buf_t *out, coh_tx_t const *tx)
{
    coh_rlp_t list = coh_tx_blob_iter(tx);
    coh_hash_t hash;
    NAME(out, "maxFeePerBlobGas");
    coh_rpc_put_u256(out, &tx->max_fee_per_blob_gas);
    NAME(out, "blobVersionedHashes");
    PUT(out, "[");
    for (bool first = true; coh_tx_blob_next(&list, &hash); first = false) {
        coh_buf_printf(out, "%s", first ? "" : ",");
        coh_rpc_put_hash(out, &hash);
    }
    PUT(out, "]");
}

static void put_word(coh_buf_t *out, uint8_t const be[32])
{
    coh_u256_t word = coh_u256_load_be(be);
    coh_rpc_put_u256(out, &word);
}

static void put_auths(coh_buf_t *out, coh_tx_t const *tx)
{
    coh_rlp_t list = coh_tx_auth_iter(tx);
    coh_tx_auth_t auth;
    NAME(out, "authorizationList");
    PUT(out, "[");
    for (bool first = true; coh_tx_auth_next(&list, &auth); first = false) {
        coh_buf_printf(out, "%s{\"chainId\":", first ? "" : ",");
        coh_rpc_put_u256(out, &auth.chain_id);
        NAME(out, "address");
        coh_rpc_put_addr(out, &auth.addr);
        NAME(out, "nonce");
        coh_rpc_put_quantity(out, auth.nonce);
        NAME(out, "yParity");
        coh_rpc_put_quantity(out, auth.parity);
        NAME(out, "r");
        put_word(out, auth.r);
        NAME(out, "s");
        put_word(out, auth.s);
        PUT(out, "}");
    }
    PUT(out, "]");
}

/* True of a transaction of a simulated block. */
static bool is_unsigned(coh_tx_t const *tx)
{
    static uint8_t const none[32];
    return memcmp(tx->r, none, sizeof(none)) == 0;
}

static void put_signature(coh_buf_t *out, coh_tx_t const *tx)
{
    coh_u256_t v = coh_u256(tx->parity);
    if (tx->type == COH_TX_LEGACY && !is_unsigned(tx)) {
        coh_u256_t base = coh_u256(27);
        if (tx->has_chain_id) { /* EIP-155 */
            coh_u256_t chain = coh_u256(tx->chain_id);
            coh_u256_t plus  = coh_u256(35);
            (void)coh_u256_mul_u64(&base, &chain, 2);
            (void)coh_u256_add(&base, &base, &plus);
        }
        (void)coh_u256_add(&v, &v, &base);
    }
    NAME(out, "v");
    coh_rpc_put_u256(out, &v);
    NAME(out, "r");
    put_word(out, tx->r);
    NAME(out, "s");
    put_word(out, tx->s);
    if (tx->type != COH_TX_LEGACY) {
        NAME(out, "yParity");
        coh_rpc_put_quantity(out, tx->parity);
    }
}

/* What a transaction does. */
static void put_payload(coh_buf_t *out, coh_tx_t const *tx, bool has_chain_id)
{
    NAME(out, "value");
    coh_rpc_put_u256(out, &tx->value);
    NAME(out, "input");
    coh_rpc_put_data(out, tx->data.p, tx->data.n);
    if (has_chain_id) {
        NAME(out, "chainId");
        coh_rpc_put_quantity(out, tx->chain_id);
    }
    if (tx->type != COH_TX_LEGACY) {
        NAME(out, "accessList");
        coh_rpc_put_access_list(out, tx->access_list);
    }
    if (tx->type == COH_TX_BLOB) {
        put_blobs(out, tx);
    }
    if (tx->type == COH_TX_SET_CODE) {
        put_auths(out, tx);
    }
}

/* A transaction, behind the members that say where it is. price: paid per gas, or what it offers. */
static void put_tx(coh_buf_t *out,
                   coh_tx_t const *tx,
                   coh_hash_t const *hash,
                   coh_addr_t const *sender,
                   coh_u256_t const *price)
{
    NAME(out, "hash");
    coh_rpc_put_hash(out, hash);
    NAME(out, "from");
    coh_rpc_put_addr(out, sender);
    NAME(out, "to");
    if (tx->is_create) {
        PUT(out, "null");
    } else {
        coh_rpc_put_addr(out, &tx->to);
    }
    NAME(out, "type");
    coh_rpc_put_quantity(out, (uint64_t)tx->type);
    NAME(out, "nonce");
    coh_rpc_put_quantity(out, tx->nonce);
    NAME(out, "gas");
    coh_rpc_put_quantity(out, tx->gas_limit);
    NAME(out, "gasPrice");
    coh_rpc_put_u256(out, price);
    if (tx->type >= COH_TX_DYNAMIC_FEE) {
        NAME(out, "maxFeePerGas");
        coh_rpc_put_u256(out, &tx->max_fee);
        NAME(out, "maxPriorityFeePerGas");
        coh_rpc_put_u256(out, &tx->max_tip);
    }
    put_payload(out, tx, tx->has_chain_id);
    put_signature(out, tx);
    PUT(out, "}");
}

static void put_fee(coh_buf_t *out, bool is_there, coh_u256_t const *fee)
{
    if (is_there) {
        coh_rpc_put_u256(out, fee);
    } else {
        PUT(out, "null");
    }
}

void coh_rpc_put_unsigned_tx(coh_buf_t *out, coh_tx_t const *tx, coh_hash_t const *hash)
{
    bool has_tip = tx->type >= COH_TX_DYNAMIC_FEE;
    PUT(out, "{\"type\":");
    coh_rpc_put_quantity(out, (uint64_t)tx->type);
    NAME(out, "hash");
    coh_rpc_put_hash(out, hash);
    NAME(out, "to");
    if (tx->is_create) {
        PUT(out, "null");
    } else {
        coh_rpc_put_addr(out, &tx->to);
    }
    NAME(out, "nonce");
    coh_rpc_put_quantity(out, tx->nonce);
    NAME(out, "gas");
    coh_rpc_put_quantity(out, tx->gas_limit);
    NAME(out, "gasPrice");
    put_fee(out, !has_tip, &tx->max_fee);
    NAME(out, "maxFeePerGas");
    put_fee(out, has_tip, &tx->max_fee);
    NAME(out, "maxPriorityFeePerGas");
    put_fee(out, has_tip, &tx->max_tip);
    put_payload(out, tx, tx->type != COH_TX_LEGACY);
    PUT(out, ",\"v\":\"0x0\",\"r\":\"0x0\",\"s\":\"0x0\"");
    if (tx->type != COH_TX_LEGACY) {
        PUT(out, ",\"yParity\":\"0x0\"");
    }
    PUT(out, "}");
}

void coh_rpc_put_block_tx(coh_buf_t *out, coh_rpc_block_t const *block, uint32_t idx)
{
    coh_sealed_t const *s     = block->sealed;
    coh_op_receipt_t const *r = &s->receipts[idx];
    coh_tx_t tx;
    COH_ASSERT(block->raws != NULL && idx < s->tx_cnt);
    coh_tx_err_t err = coh_tx_decode_mined(&tx, block->raws[idx]);
    COH_ASSERT(err == COH_TX_OK); /* it was restored */
    PUT(out, "{\"blockHash\":");
    coh_rpc_put_hash(out, &s->hash);
    NAME(out, "blockNumber");
    coh_rpc_put_quantity(out, s->header.number);
    NAME(out, "blockTimestamp");
    coh_rpc_put_quantity(out, s->header.timestamp);
    NAME(out, "transactionIndex");
    coh_rpc_put_quantity(out, idx);
    put_tx(out, &tx, &r->tx_hash, &r->from, &r->effective_price);
}

coh_err_t coh_rpc_put_pooled_tx(coh_buf_t *out,
                                coh_bytes_t raw,
                                coh_hash_t const *hash,
                                coh_addr_t const *sender)
{
    coh_tx_t tx;
    if (coh_tx_decode(&tx, raw) != COH_TX_OK) {
        return COH_EMALFORMED;
    }
    PUT(out,
        "{\"blockHash\":null,\"blockNumber\":null,\"blockTimestamp\":null,"
        "\"transactionIndex\":null");
    put_tx(out, &tx, hash, sender, &tx.max_fee);
    return COH_OK;
}

/* ---- logs ---- */

/* A log being read. */
typedef struct {
    coh_addr_t addr;
    coh_hash_t topics[COH_RPC_TOPIC_PLACES];
    uint32_t topic_cnt;
    coh_bytes_t data;
} log_t;

/* A cursor over logs as in coh_block_tx_t. */
static coh_rlp_t log_iter(coh_bytes_t logs)
{
    coh_rlp_t outer = coh_rlp_reader(logs);
    coh_rlp_t list  = outer;
    if (!coh_rlp_at_end(&outer)) {
        coh_err_t err = coh_rlp_list(&outer, &list);
        COH_ASSERT(err == COH_OK); /* checked when it arrived */
    }
    return list;
}

static bool next_log(coh_rlp_t *list, log_t *log)
{
    coh_rlp_t fields;
    coh_rlp_t topics;
    if (coh_rlp_at_end(list)) {
        return false;
    }
    bool ok = coh_rlp_list(list, &fields) == COH_OK &&
              coh_rlp_fixed(&fields, log->addr.b, sizeof(log->addr.b)) == COH_OK &&
              coh_rlp_list(&fields, &topics) == COH_OK &&
              coh_rlp_string(&fields, &log->data) == COH_OK;
    log->topic_cnt = 0;
    while (ok && !coh_rlp_at_end(&topics)) {
        ok = log->topic_cnt < COH_RPC_TOPIC_PLACES &&
             coh_rlp_fixed(&topics, log->topics[log->topic_cnt++].b, sizeof(coh_hash_t)) == COH_OK;
    }
    COH_ASSERT(ok); /* checked when it arrived */
    return true;
}

static void put_log(coh_buf_t *out,
                    coh_sealed_t const *sealed,
                    uint32_t idx,
                    uint32_t log_idx,
                    log_t const *log,
                    bool removed)
{
    PUT(out, "{\"address\":");
    coh_rpc_put_addr(out, &log->addr);
    NAME(out, "topics");
    PUT(out, "[");
    for (uint32_t i = 0; i < log->topic_cnt; i++) {
        if (i > 0) {
            PUT(out, ",");
        }
        coh_rpc_put_hash(out, &log->topics[i]);
    }
    PUT(out, "]");
    NAME(out, "data");
    coh_rpc_put_data(out, log->data.p, log->data.n);
    NAME(out, "blockNumber");
    coh_rpc_put_quantity(out, sealed->header.number);
    NAME(out, "blockHash");
    coh_rpc_put_hash(out, &sealed->hash);
    NAME(out, "blockTimestamp");
    coh_rpc_put_quantity(out, sealed->header.timestamp);
    NAME(out, "transactionHash");
    coh_rpc_put_hash(out, &sealed->receipts[idx].tx_hash);
    NAME(out, "transactionIndex");
    coh_rpc_put_quantity(out, idx);
    NAME(out, "logIndex");
    coh_rpc_put_quantity(out, log_idx);
    coh_buf_printf(out, ",\"removed\":%s}", removed ? "true" : "false");
}

void coh_rpc_put_log_list(coh_buf_t *out,
                          coh_sealed_t const *sealed,
                          uint32_t idx,
                          coh_bytes_t logs,
                          uint32_t *log_idx)
{
    coh_rlp_t list = log_iter(logs);
    log_t log;
    PUT(out, "[");
    for (bool first = true; next_log(&list, &log); first = false) {
        coh_buf_printf(out, "%s", first ? "" : ",");
        put_log(out, sealed, idx, (*log_idx)++, &log, false);
    }
    PUT(out, "]");
}

/* ---- receipts ---- */

bool coh_rpc_receipt_needs_body(coh_sealed_t const *sealed, uint32_t idx)
{
    return sealed->receipts[idx].type == COH_TX_BLOB;
}

static void put_blob_gas(coh_buf_t *out,
                         coh_rpc_block_t const *block,
                         uint32_t idx,
                         coh_genesis_t const *genesis)
{
    coh_header_t const *h = &block->sealed->header;
    coh_tx_t tx;
    COH_ASSERT(block->raws != NULL);
    coh_tx_err_t err = coh_tx_decode(&tx, block->raws[idx]);
    COH_ASSERT(err == COH_TX_OK);
    coh_blob_params_t params = coh_genesis_blob_params(genesis, h->timestamp);
    NAME(out, "blobGasUsed");
    coh_rpc_put_quantity(out, coh_tx_blob_gas(&tx));
    if (params.update_fraction != 0) {
        coh_u256_t price = coh_blob_base_fee(h->excess_blob_gas, params.update_fraction);
        NAME(out, "blobGasPrice");
        coh_rpc_put_u256(out, &price);
    }
}

void coh_rpc_put_receipt(coh_buf_t *out,
                         coh_rpc_block_t const *block,
                         uint32_t idx,
                         coh_genesis_t const *genesis)
{
    coh_sealed_t const *s       = block->sealed;
    coh_op_receipt_t const *r   = &s->receipts[idx];
    bool is_creation            = coh_sealed_is_creation(s, idx);
    uint8_t bloom[COH_BLOOM_SZ] = {0};
    bool valid                  = coh_bloom_add_logs(bloom, coh_sealed_logs(s, idx));
    COH_ASSERT(valid);
    PUT(out, "{\"blockHash\":");
    coh_rpc_put_hash(out, &s->hash);
    NAME(out, "blockNumber");
    coh_rpc_put_quantity(out, s->header.number);
    NAME(out, "transactionHash");
    coh_rpc_put_hash(out, &r->tx_hash);
    NAME(out, "transactionIndex");
    coh_rpc_put_quantity(out, idx);
    NAME(out, "from");
    coh_rpc_put_addr(out, &r->from);
    NAME(out, "to");
    if (is_creation) {
        PUT(out, "null,\"contractAddress\":");
        coh_rpc_put_addr(out, &r->to);
    } else {
        coh_rpc_put_addr(out, &r->to);
        PUT(out, ",\"contractAddress\":null");
    }
    NAME(out, "type");
    coh_rpc_put_quantity(out, r->type);
    if (s->roots != NULL) { /* before EIP-658 */
        NAME(out, "root");
        coh_rpc_put_hash(out, &s->roots[idx]);
    } else {
        NAME(out, "status");
        coh_rpc_put_quantity(out, r->status);
    }
    NAME(out, "gasUsed");
    coh_rpc_put_quantity(out, r->gas_used);
    NAME(out, "cumulativeGasUsed");
    coh_rpc_put_quantity(out, r->cumulative_gas);
    NAME(out, "effectiveGasPrice");
    coh_rpc_put_u256(out, &r->effective_price);
    if (r->type == COH_TX_BLOB) {
        put_blob_gas(out, block, idx, genesis);
    }
    NAME(out, "logsBloom");
    put_bloom(out, bloom);
    NAME(out, "logs");
    uint32_t log_idx = s->log_firsts != NULL ? s->log_firsts[idx] : 0;
    coh_rpc_put_log_list(out, s, idx, coh_sealed_logs(s, idx), &log_idx);
    PUT(out, "}");
}

/* ---- filters ---- */

void coh_rpc_filter_fini(coh_rpc_filter_t *filter)
{
    free(filter->addrs);
    free(filter->topics);
    *filter = (coh_rpc_filter_t){0};
}

bool coh_rpc_filter_may(coh_rpc_filter_t const *f, uint8_t const bloom[COH_BLOOM_SZ])
{
    bool any = f->addr_cnt == 0;
    for (uint32_t i = 0; i < f->addr_cnt && !any; i++) {
        any = coh_bloom_has(bloom, f->addrs[i].b, sizeof(f->addrs[i].b));
    }
    size_t at = 0;
    for (uint32_t p = 0; p < f->place_cnt && any; p++) {
        any = f->topic_cnt[p] == 0;
        for (uint32_t i = 0; i < f->topic_cnt[p]; i++, at++) {
            any = any || coh_bloom_has(bloom, f->topics[at].b, sizeof(f->topics[at].b));
        }
    }
    return any;
}

static bool passes(coh_rpc_filter_t const *f, log_t const *log)
{
    bool any = f->addr_cnt == 0;
    for (uint32_t i = 0; i < f->addr_cnt && !any; i++) {
        any = coh_addr_eq(&f->addrs[i], &log->addr);
    }
    if (!any || log->topic_cnt < f->place_cnt) {
        return false;
    }
    size_t at = 0;
    for (uint32_t p = 0; p < f->place_cnt && any; p++) {
        any = f->topic_cnt[p] == 0;
        for (uint32_t i = 0; i < f->topic_cnt[p]; i++, at++) {
            any = any || coh_hash_eq(&f->topics[at], &log->topics[p]);
        }
    }
    return any;
}

/* What finds logs one by one. */
typedef struct {
    coh_sealed_t const *sealed;
    coh_rpc_filter_t const *filter;
    uint32_t idx;
    uint32_t log_idx; /* of log in the block, plus one */
    coh_rlp_t list;
    log_t log;
} search_t;

static bool search_next(search_t *s)
{
    if (s->sealed->logs == NULL) {
        return false;
    }
    for (;;) {
        while (next_log(&s->list, &s->log)) {
            s->log_idx++;
            if (passes(s->filter, &s->log)) {
                return true;
            }
        }
        if (s->idx + 1 >= s->sealed->tx_cnt) {
            return false;
        }
        s->list = log_iter(coh_sealed_logs(s->sealed, ++s->idx));
    }
}

static search_t search(coh_sealed_t const *sealed, coh_rpc_filter_t const *filter)
{
    search_t s = {.sealed = sealed, .filter = filter};
    if (sealed->logs != NULL) {
        s.list = log_iter(coh_sealed_logs(sealed, 0));
    }
    return s;
}

uint32_t coh_rpc_put_logs(coh_buf_t *out,
                          coh_sealed_t const *sealed,
                          coh_rpc_filter_t const *filter,
                          size_t max,
                          bool *first)
{
    search_t s   = search(sealed, filter);
    uint32_t cnt = 0;
    while (out->n <= max && search_next(&s)) {
        if (!*first) {
            PUT(out, ",");
        }
        put_log(out, sealed, s.idx, s.log_idx - 1, &s.log, false);
        *first = false;
        cnt++;
    }
    return cnt;
}

void coh_rpc_visit_logs(coh_sealed_t const *sealed,
                        coh_rpc_filter_t const *filter,
                        bool removed,
                        coh_rpc_log_fn *fn,
                        void *arg)
{
    search_t s     = search(sealed, filter);
    coh_buf_t text = COH_BUF_INIT;
    while (search_next(&s)) {
        coh_buf_clear(&text);
        put_log(&text, sealed, s.idx, s.log_idx - 1, &s.log, removed);
        fn(arg, coh_buf_bytes(&text));
    }
    coh_buf_free(&text);
}

/* ---- raw forms ---- */

void coh_rpc_raw_block(coh_buf_t *out, coh_rpc_block_t const *block)
{
    coh_sealed_t const *s = block->sealed;
    size_t at             = out->n;
    coh_buf_put(out, s->header_rlp.p, s->header_rlp.n);
    coh_rlp_put_list_header(out, s->txs_bytes);
    for (uint32_t i = 0; i < s->tx_cnt; i++) {
        coh_bytes_t raw = block->raws[i];
        if (s->receipts[i].type == COH_TX_LEGACY) {
            coh_buf_put(out, raw.p, raw.n);
        } else {
            coh_rlp_put_string(out, raw.p, raw.n);
        }
    }
    coh_bytes_t tail = tail_of(s);
    coh_buf_put(out, tail.p, tail.n);
    coh_rlp_wrap_list(out, at);
}

void coh_rpc_raw_receipt(coh_buf_t *out, coh_sealed_t const *sealed, uint32_t idx)
{
    coh_op_receipt_t const *r = &sealed->receipts[idx];
    coh_receipt_t receipt     = {
            .type           = (coh_tx_type_t)r->type,
            .status         = r->status,
            .has_root       = sealed->roots != NULL,
            .cumulative_gas = r->cumulative_gas,
            .logs           = coh_sealed_logs(sealed, idx),
    };
    if (receipt.has_root) {
        receipt.root = sealed->roots[idx];
    }
    bool valid = coh_bloom_add_logs(receipt.bloom, receipt.logs);
    COH_ASSERT(valid);
    coh_receipt_put(out, &receipt);
}
