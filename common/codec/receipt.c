#include "common/codec/receipt.h"

#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "common/crypto/sha256.h"

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
                 uint8_t bloom[COH_BLOOM_SZ],
                 coh_addr_t const *addr,
                 coh_hash_t const *topics,
                 size_t topic_cnt,
                 coh_bytes_t data)
{
    COH_ASSERT(topic_cnt <= 4);
    size_t start = out->n;
    coh_rlp_put_string(out, addr->b, sizeof(addr->b));
    coh_bloom_add(bloom, addr->b, sizeof(addr->b));
    size_t list = out->n;
    for (size_t i = 0; i < topic_cnt; i++) {
        coh_rlp_put_string(out, topics[i].b, sizeof(topics[i].b));
        coh_bloom_add(bloom, topics[i].b, sizeof(topics[i].b));
    }
    coh_rlp_wrap_list(out, list);
    coh_rlp_put_string(out, data.p, data.n);
    coh_rlp_wrap_list(out, start);
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
    coh_rlp_put_list_header(out, receipt->logs.n);
    coh_buf_put(out, receipt->logs.p, receipt->logs.n);
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
