#include "coordinator/seal.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/trie/root.h"
#include "coordinator/decision_log.h"

#define BATCH_CNT 64u
/* Of a receipt's encoding, the logs aside: type, list header, root or status, gas, Bloom filter, list header of the logs. */
#define RECEIPT_SZ_MAX (1u + 9u + 33u + 9u + 3u + COH_BLOOM_SZ + 9u)

static coh_sealed_t *new_sealed(void)
{
    coh_sealed_t *sealed = coh_calloc(1, sizeof(*sealed));
    atomic_init(&sealed->ref_cnt, 1);
    return sealed;
}

coh_sealed_t *coh_sealed_ref(coh_sealed_t const *sealed)
{
    coh_sealed_t *same = (coh_sealed_t *)(uintptr_t)sealed; /* only its count is written */
    /* Whoever refers to it already keeps it alive: nothing to order. */
    atomic_fetch_add_explicit(&same->ref_cnt, 1, memory_order_relaxed);
    return same;
}

void coh_sealed_free(coh_sealed_t *sealed)
{
    /* The last one must see all that the others did with it before it frees the memory. */
    if (sealed != NULL &&
        atomic_fetch_sub_explicit(&sealed->ref_cnt, 1, memory_order_acq_rel) == 1) {
        coh_buf_free(&sealed->header_rlp);
        coh_buf_free(&sealed->extra);
        free(sealed->roots);
        free(sealed->receipts);
        free(sealed->logs);
        coh_buf_free(&sealed->log_bytes);
        free(sealed->log_firsts);
        free(sealed->creations);
        free(sealed);
    }
}

coh_bytes_t coh_sealed_logs(coh_sealed_t const *sealed, uint32_t idx)
{
    return sealed->logs != NULL ? sealed->logs[idx] : (coh_bytes_t){0};
}

/* count_logs sets log_firsts once all logs are there. */
static void count_logs(coh_sealed_t *sealed)
{
    if (sealed->logs == NULL) {
        return;
    }
    uint32_t cnt       = 0;
    sealed->log_firsts = coh_calloc(sealed->tx_cnt, sizeof(*sealed->log_firsts));
    for (uint32_t i = 0; i < sealed->tx_cnt; i++) {
        coh_rlp_t outer = coh_rlp_reader(sealed->logs[i]);
        coh_rlp_t list;
        coh_rlp_kind_t kind;
        coh_bytes_t item;
        sealed->log_firsts[i] = cnt;
        if (coh_rlp_list(&outer, &list) == COH_OK) {
            while (!coh_rlp_at_end(&list) && coh_rlp_next(&list, &kind, &item) == COH_OK) {
                cnt++;
            }
        }
    }
}

static void note_root(coh_sealed_t *sealed, uint32_t idx, coh_hash_t const *root)
{
    if (sealed->fork < COH_FORK_BYZANTIUM) {
        if (sealed->roots == NULL) {
            sealed->roots = coh_calloc(sealed->tx_cnt, sizeof(*sealed->roots));
        }
        sealed->roots[idx] = *root;
    }
}

static void note_creation(coh_sealed_t *sealed, uint32_t idx, coh_tx_t const *tx)
{
    if (tx->is_create) {
        if (sealed->creations == NULL) {
            sealed->creations = coh_calloc(sealed->tx_cnt, 1);
        }
        sealed->creations[idx] = 1;
    }
}

/* keep_logs copies the logs of those of txs[0..cnt-1] that are in the block. */
static void keep_logs(coh_sealed_t *sealed, coh_block_tx_t const *txs, uint32_t cnt)
{
    size_t total = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        total += txs[i].verdict == COH_TX_OK ? txs[i].logs.n : 0;
    }
    if (total == 0) {
        return;
    }
    sealed->logs = coh_calloc(sealed->tx_cnt, sizeof(*sealed->logs));
    coh_buf_grow(&sealed->log_bytes, total); /* once: logs point into it */
    uint32_t idx = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_bytes_t logs = txs[i].logs;
        if (txs[i].verdict != COH_TX_OK) {
            continue;
        }
        if (logs.n != 0) {
            uint8_t *copy     = coh_buf_extend(&sealed->log_bytes, logs.n);
            sealed->logs[idx] = coh_bytes(memcpy(copy, logs.p, logs.n), logs.n);
        }
        idx++;
    }
    count_logs(sealed);
}

/* The root of the signed transactions in the block. values: room for tx_cnt. */
static void set_tx_root(coh_sealed_t *sealed,
                        coh_block_tx_t const *txs,
                        uint32_t cnt,
                        coh_bytes_t *values)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        if (txs[i].verdict == COH_TX_OK) {
            values[n++] = txs[i].tx->raw;
        }
    }
    coh_root_list(&sealed->header.tx_root, values, n);
}

/* The root of the receipts, and the Bloom filter of them all. scratch is for their encodings. */
static void set_receipts_root(coh_sealed_t *sealed, coh_bytes_t *values, coh_buf_t *scratch)
{
    coh_buf_clear(scratch);
    coh_buf_grow(scratch, sealed->tx_cnt * RECEIPT_SZ_MAX + sealed->log_bytes.n);
    uint8_t const *start = scratch->p;
    for (uint32_t i = 0; i < sealed->tx_cnt; i++) {
        coh_op_receipt_t const *r = &sealed->receipts[i];
        size_t at                 = scratch->n;
        coh_receipt_t receipt     = {.type           = (coh_tx_type_t)r->type,
                                     .status         = r->status,
                                     .has_root       = sealed->fork < COH_FORK_BYZANTIUM,
                                     .cumulative_gas = r->cumulative_gas,
                                     .logs           = coh_sealed_logs(sealed, i)};
        if (receipt.has_root) {
            receipt.root = sealed->roots[i];
        }
        if (receipt.logs.n != 0) {
            bool valid = coh_bloom_add_logs(receipt.bloom, receipt.logs);
            COH_ASSERT(valid); /* checked when it arrived */
            coh_bloom_merge(sealed->header.bloom, receipt.bloom);
        }
        coh_receipt_put(scratch, &receipt);
        values[i] = coh_bytes(scratch->p + at, scratch->n - at);
    }
    COH_ASSERT(scratch->p == start);
    coh_root_list(&sealed->header.receipts_root, values, sealed->tx_cnt);
}

static void put_outcome(coh_op_receipt_t *r,
                        coh_block_env_t const *env,
                        coh_tx_t const *tx,
                        coh_hash_t const *hash,
                        coh_addr_t const *sender,
                        uint32_t idx,
                        uint32_t status,
                        uint64_t gas_used,
                        uint64_t cumulative)
{
    r->tx_hash        = *hash;
    r->block          = env->number;
    r->tx_idx         = idx;
    r->type           = (uint32_t)tx->type;
    r->from           = *sender;
    r->to             = coh_tx_receiver(tx, sender);
    r->status         = status;
    r->gas_used       = gas_used;
    r->cumulative_gas = cumulative;
    coh_tx_effective_price(&r->effective_price, tx, &env->base_fee);
}

/* Octets of a transaction in a block's list: a legacy one as it is, a typed one as a string (EIP-2718). */
static size_t listed_bytes(coh_tx_t const *tx)
{
    size_t n = tx->raw.n;
    if (tx->type == COH_TX_LEGACY) {
        return n;
    }
    size_t header = 1;
    for (size_t rest = n; n > 55 && rest > 0; rest >>= 8) {
        header++;
    }
    return header + n;
}

static void put_env(coh_header_t *h, coh_block_env_t const *env)
{
    static char const extra[] = "cohort";
    *h                        = (coh_header_t){
                               .ommers_hash      = COH_EMPTY_LIST_HASH,
                               .coinbase         = env->coinbase,
                               .number           = env->number,
                               .gas_limit        = env->gas_limit,
                               .timestamp        = env->timestamp,
                               .extra_sz         = sizeof(extra) - 1,
                               .base_fee         = env->base_fee,
                               .withdrawals_root = COH_EMPTY_TRIE_ROOT,
                               .excess_blob_gas  = env->excess_blob_gas,
                               .requests_hash    = COH_EMPTY_REQUESTS_HASH,
    };
    memcpy(h->extra, extra, sizeof(extra) - 1);
    if (env->fork >= COH_FORK_PARIS) {
        coh_u256_to_be(h->mix_hash.b, &env->prev_randao);
    } else {
        h->difficulty = env->prev_randao;
    }
}

/* How many transactions ahead memory is fetched. */
#define PREFETCH_AHEAD 12u

/* Fetches the lines that a receipt is made from. They were last used when the block was built. */
static inline void fetch(coh_block_tx_t const *t)
{
    char const *tx = (char const *)t->tx;
    __builtin_prefetch(tx);
    __builtin_prefetch(tx + COH_CACHE_LINE);
    __builtin_prefetch(t->hash);
    __builtin_prefetch(t->sender);
}

coh_sealed_t *coh_seal(coh_block_env_t const *env,
                       coh_sealed_t const *parent,
                       coh_block_tx_t const *txs,
                       uint32_t cnt,
                       coh_hash_t const *state_root,
                       coh_buf_t *scratch)
{
    coh_sealed_t *sealed = new_sealed();
    coh_header_t *h      = &sealed->header;
    put_env(h, env);
    sealed->fork     = env->fork;
    sealed->receipts = coh_calloc(cnt, sizeof(*sealed->receipts));
    for (uint32_t i = 0; i < cnt; i++) {
        coh_block_tx_t const *t = &txs[i];
        if (i + PREFETCH_AHEAD < cnt) {
            fetch(&txs[i + PREFETCH_AHEAD]);
        }
        COH_ASSERT(t->reported);
        if (t->verdict == COH_TX_OK) {
            h->gas_used += t->gas_used;
            h->blob_gas_used += coh_tx_blob_gas(t->tx);
            sealed->txs_bytes += listed_bytes(t->tx);
            uint32_t idx = sealed->tx_cnt++;
            put_outcome(&sealed->receipts[idx],
                        env,
                        t->tx,
                        t->hash,
                        t->sender,
                        idx,
                        t->status,
                        t->gas_used,
                        h->gas_used);
        }
    }
    for (uint32_t i = 0, idx = 0; i < cnt; i++) {
        if (txs[i].verdict == COH_TX_OK) {
            note_root(sealed, idx, &txs[i].root);
            note_creation(sealed, idx++, txs[i].tx);
        }
    }
    keep_logs(sealed, txs, cnt);
    coh_bytes_t *values = coh_calloc(cnt + 1, sizeof(*values));
    set_tx_root(sealed, txs, cnt, values);
    set_receipts_root(sealed, values, scratch);
    free(values);
    h->state_root  = *state_root;
    h->parent_hash = parent->hash;
    coh_header_encode(&sealed->header_rlp, h, env->fork);
    coh_keccak256(&sealed->hash, sealed->header_rlp.p, sealed->header_rlp.n);
    /* Both stay below the supply, which fits. */
    (void)coh_u256_mul_u64(&sealed->burnt, &env->base_fee, h->gas_used);
    (void)coh_u256_add(&sealed->burnt_total, &parent->burnt_total, &sealed->burnt);
    return sealed;
}

static void encode_header(coh_sealed_t *sealed, coh_fork_t shape)
{
    coh_buf_clear(&sealed->header_rlp);
    coh_header_encode(&sealed->header_rlp, &sealed->header, shape);
    coh_keccak256(&sealed->hash, sealed->header_rlp.p, sealed->header_rlp.n);
}

void coh_sealed_set_requests(coh_sealed_t *sealed, coh_hash_t const *hash)
{
    if (!coh_hash_eq(&sealed->header.requests_hash, hash)) {
        sealed->header.requests_hash = *hash;
        encode_header(sealed, sealed->fork);
    }
}

void coh_sealed_adopt(coh_sealed_t *sealed,
                      coh_header_t const *header,
                      coh_fork_t shape,
                      coh_bytes_t extra)
{
    coh_buf_put(&sealed->extra, extra.p, extra.n);
    sealed->header = *header;
    encode_header(sealed, shape);
}

coh_sealed_t *coh_seal_genesis(coh_genesis_t const *genesis)
{
    coh_sealed_t *sealed = new_sealed();
    sealed->header       = genesis->header;
    sealed->fork         = coh_genesis_fork(genesis, genesis->number, genesis->timestamp);
    sealed->hash         = genesis->hash;
    sealed->receipts     = coh_calloc(0, sizeof(*sealed->receipts));
    coh_header_encode(&sealed->header_rlp, &sealed->header, sealed->fork);
    return sealed;
}

/* The logs of receipt idx. The first that there are allocate room for those of all. */
static void restore_logs(coh_sealed_t *sealed, uint32_t idx, coh_bytes_t logs, size_t max)
{
    if (logs.n == 0) {
        return;
    }
    if (sealed->logs == NULL) {
        sealed->logs = coh_calloc(sealed->tx_cnt, sizeof(*sealed->logs));
        coh_buf_grow(&sealed->log_bytes, max);
    }
    uint8_t *copy     = coh_buf_extend(&sealed->log_bytes, logs.n);
    sealed->logs[idx] = coh_bytes(memcpy(copy, logs.p, logs.n), logs.n);
}

static coh_err_t restore_txs(coh_sealed_t *sealed, coh_decision_cursor_t *cur)
{
    size_t left               = (size_t)(cur->end - cur->at);
    coh_header_t const *h     = &sealed->header;
    coh_block_env_t const env = {.number = h->number, .base_fee = h->base_fee};
    uint64_t gas              = 0;
    for (uint32_t i = 0; i < sealed->tx_cnt; i += BATCH_CNT) {
        uint32_t cnt = COH_MIN(sealed->tx_cnt - i, BATCH_CNT);
        coh_bytes_t raws[BATCH_CNT];
        coh_hash_t hashes[BATCH_CNT];
        for (uint32_t k = 0; k < cnt; k++) {
            coh_decision_tx_t dtx;
            coh_tx_t tx;
            COH_TRY(coh_decision_next_tx(cur, &dtx));
            if (coh_tx_decode(&tx, dtx.raw) != COH_TX_OK || dtx.gas_used > h->gas_used - gas ||
                coh_u256_lt(&tx.max_fee, &h->base_fee)) {
                return COH_ECORRUPT;
            }
            gas += dtx.gas_used;
            sealed->txs_bytes += listed_bytes(&tx);
            raws[k] = dtx.raw;
            restore_logs(sealed, i + k, dtx.logs, left);
            note_creation(sealed, i + k, &tx);
            note_root(sealed, i + k, &dtx.root);
            put_outcome(&sealed->receipts[i + k],
                        &env,
                        &tx,
                        &(coh_hash_t){{0}},
                        &dtx.sender,
                        i + k,
                        dtx.status,
                        dtx.gas_used,
                        gas);
        }
        coh_keccak256_many(hashes, raws, cnt);
        for (uint32_t k = 0; k < cnt; k++) {
            sealed->receipts[i + k].tx_hash = hashes[k];
        }
    }
    count_logs(sealed);
    return gas == h->gas_used ? COH_OK : COH_ECORRUPT;
}

coh_err_t coh_seal_restore(coh_sealed_t **out, coh_bytes_t record)
{
    coh_decision_t d;
    coh_decision_cursor_t cur;
    COH_TRY(coh_decision_read(&d, &cur, record));
    coh_sealed_t *sealed = new_sealed();
    sealed->tx_cnt       = d.tx_cnt;
    sealed->receipts     = coh_calloc(d.tx_cnt, sizeof(*sealed->receipts));
    sealed->fork         = d.fork;
    sealed->burnt        = d.burnt;
    sealed->burnt_total  = d.burnt_total;
    coh_buf_put(&sealed->header_rlp, d.header.p, d.header.n);
    coh_buf_put(&sealed->extra, d.extra.p, d.extra.n);
    coh_keccak256(&sealed->hash, d.header.p, d.header.n);
    coh_fork_t by_fields;
    coh_err_t err = coh_header_decode(&sealed->header, &by_fields, d.header);
    if (err == COH_OK) {
        err = sealed->header.number == d.number ? restore_txs(sealed, &cur) : COH_ECORRUPT;
    }
    if (err != COH_OK) {
        coh_sealed_free(sealed);
        return COH_ECORRUPT;
    }
    *out = sealed;
    return COH_OK;
}
