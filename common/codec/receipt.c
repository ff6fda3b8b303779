#include "common/codec/receipt.h"

#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "common/crypto/sha256.h"

#define TOPIC_CNT_MAX 4u

/* The bit of pair i of a hash's octets, counted from the last octet's lowest bit. */
static uint32_t bloom_bit(coh_hash_t const *hash, size_t i)
{
    return ((uint32_t)hash->b[2 * i] << 8 | hash->b[2 * i + 1]) & (COH_BLOOM_SZ * 8 - 1);
}

void coh_bloom_add(uint8_t bloom[COH_BLOOM_SZ], void const *item, size_t n)
{
    coh_hash_t hash;
    coh_keccak256(&hash, item, n);
    for (size_t i = 0; i < 3; i++) {
        uint32_t bit = bloom_bit(&hash, i);
        bloom[COH_BLOOM_SZ - 1 - bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

void coh_bloom_merge(uint8_t bloom[COH_BLOOM_SZ], uint8_t const other[COH_BLOOM_SZ])
{
    for (size_t i = 0; i < COH_BLOOM_SZ; i++) {
        bloom[i] |= other[i];
    }
}

bool coh_bloom_has(uint8_t const bloom[COH_BLOOM_SZ], void const *item, size_t n)
{
    coh_hash_t hash;
    bool has = true;
    coh_keccak256(&hash, item, n);
    for (size_t i = 0; i < 3; i++) {
        uint32_t bit = bloom_bit(&hash, i);
        has &= (bloom[COH_BLOOM_SZ - 1 - bit / 8] >> bit % 8 & 1) != 0;
    }
    return has;
}

void coh_log_put(coh_buf_t *out,
                 coh_addr_t const *addr,
                 coh_hash_t const *topics,
                 size_t topic_cnt,
                 coh_bytes_t data)
{
    COH_ASSERT(topic_cnt <= TOPIC_CNT_MAX);
    size_t start = out->n;
    coh_rlp_put_string(out, addr->b, sizeof(addr->b));
    size_t list = out->n;
    for (size_t i = 0; i < topic_cnt; i++) {
        coh_rlp_put_string(out, topics[i].b, sizeof(topics[i].b));
    }
    coh_rlp_wrap_list(out, list);
    coh_rlp_put_string(out, data.p, data.n);
    coh_rlp_wrap_list(out, start);
}

/* Walks a list of logs, and enters them into bloom unless it is NULL. */
static bool walk_logs(coh_bytes_t logs, uint8_t *bloom)
{
    if (logs.n == 0) {
        return true;
    }
    coh_rlp_t outer = coh_rlp_reader(logs);
    coh_rlp_t list;
    if (coh_rlp_list(&outer, &list) != COH_OK || !coh_rlp_at_end(&outer)) {
        return false;
    }
    while (!coh_rlp_at_end(&list)) {
        coh_rlp_t log;
        coh_rlp_t topics;
        coh_bytes_t item;
        coh_bytes_t data;
        if (coh_rlp_list(&list, &log) != COH_OK || coh_rlp_string(&log, &item) != COH_OK ||
            item.n != sizeof(coh_addr_t) || coh_rlp_list(&log, &topics) != COH_OK ||
            coh_rlp_string(&log, &data) != COH_OK || !coh_rlp_at_end(&log)) {
            return false;
        }
        for (size_t topic_cnt = 0;; topic_cnt++) {
            if (bloom != NULL) {
                coh_bloom_add(bloom, item.p, item.n);
            }
            if (coh_rlp_at_end(&topics)) {
                break;
            }
            if (topic_cnt == TOPIC_CNT_MAX || coh_rlp_string(&topics, &item) != COH_OK ||
                item.n != sizeof(coh_hash_t)) {
                return false;
            }
        }
    }
    return true;
}

bool coh_logs_check(coh_bytes_t logs) { return walk_logs(logs, NULL); }

bool coh_bloom_add_logs(uint8_t bloom[COH_BLOOM_SZ], coh_bytes_t logs)
{
    return walk_logs(logs, bloom);
}

void coh_receipt_put(coh_buf_t *out, coh_receipt_t const *receipt)
{
    COH_ASSERT(receipt->status <= 1 && (!receipt->has_root || receipt->type == COH_TX_LEGACY));
    if (receipt->type != COH_TX_LEGACY) {
        coh_buf_put_u8(out, (uint8_t)receipt->type);
    }
    size_t start = out->n;
    if (receipt->has_root) {
        coh_rlp_put_string(out, receipt->root.b, sizeof(receipt->root.b));
    } else {
        coh_rlp_put_u64(out, receipt->status);
    }
    coh_rlp_put_u64(out, receipt->cumulative_gas);
    coh_rlp_put_string(out, receipt->bloom, sizeof(receipt->bloom));
    if (receipt->logs.n != 0) {
        coh_buf_put(out, receipt->logs.p, receipt->logs.n);
    } else {
        coh_rlp_put_list_header(out, 0);
    }
    coh_rlp_wrap_list(out, start);
}

void coh_withdrawal_put(coh_buf_t *out, coh_withdrawal_t const *withdrawal)
{
    size_t start = out->n;
    coh_rlp_put_u64(out, withdrawal->index);
    coh_rlp_put_u64(out, withdrawal->validator);
    coh_rlp_put_string(out, withdrawal->addr.b, sizeof(withdrawal->addr.b));
    coh_rlp_put_u64(out, withdrawal->amount_gwei);
    coh_rlp_wrap_list(out, start);
}

void coh_requests_hash(coh_hash_t *out, coh_bytes_t const *requests, size_t cnt)
{
    coh_buf_t hashes = COH_BUF_INIT;
    for (size_t i = 0; i < cnt; i++) {
        COH_ASSERT(requests[i].n != 0);
        if (requests[i].n > 1) {
            coh_hash_t hash;
            coh_sha256(&hash, requests[i].p, requests[i].n);
            coh_buf_put(&hashes, hash.b, sizeof(hash.b));
        }
    }
    coh_sha256(out, hashes.p, hashes.n);
    coh_buf_free(&hashes);
}
