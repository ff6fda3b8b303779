#include "common/state/directory.h"

#include "common/crypto/keccak.h"

/* Addresses hashed per call of the multi-buffer Keccak: several times its widest vector, small
 * enough for the stack. */
#define BATCH 64

_Static_assert(COH_BUCKET_CNT == 1u << COH_BUCKET_BITS, "buckets are the values of their bits");
_Static_assert(COH_BUCKET_CNT - 1 <= UINT16_MAX, "a bucket fits in 16 bits");

static uint32_t leading_bits(coh_hash_t const *hash)
{
    return (uint32_t)hash->b[0] << (COH_BUCKET_BITS - 8) | hash->b[1] >> (16 - COH_BUCKET_BITS);
}

uint32_t coh_directory_bucket(coh_addr_t const *addr)
{
    coh_hash_t hash;
    coh_keccak256(&hash, addr->b, sizeof(addr->b));
    return leading_bits(&hash);
}

void coh_directory_buckets(uint16_t *bucket, coh_addr_t const *addr, size_t cnt)
{
    for (size_t done = 0; done < cnt;) {
        coh_bytes_t in[BATCH];
        coh_hash_t hash[BATCH];
        size_t n = COH_MIN(cnt - done, (size_t)BATCH);
        for (size_t i = 0; i < n; i++) {
            in[i] = coh_bytes(addr[done + i].b, sizeof(addr->b));
        }
        coh_keccak256_many(hash, in, n);
        for (size_t i = 0; i < n; i++) {
            bucket[done + i] = (uint16_t)leading_bits(&hash[i]);
        }
        done += n;
    }
}

void coh_directory_encode(coh_buf_t *out, coh_directory_t const *dir)
{
    uint8_t *p = coh_buf_extend(out, COH_DIRECTORY_SZ);
    for (size_t i = 0; i < COH_BUCKET_CNT; i++) {
        COH_ASSERT(dir->shard_of[i] < dir->shard_cnt);
        p[2 * i]     = (uint8_t)dir->shard_of[i];
        p[2 * i + 1] = (uint8_t)(dir->shard_of[i] >> 8);
    }
}

coh_err_t coh_directory_decode(coh_directory_t *out,
                               uint64_t epoch,
                               uint32_t shard_cnt,
                               coh_bytes_t in)
{
    if (shard_cnt == 0 || shard_cnt > (uint32_t)UINT16_MAX + 1) {
        return COH_EINVAL;
    }
    if (in.n != COH_DIRECTORY_SZ) {
        return COH_EMALFORMED;
    }
    coh_directory_t dir = {.epoch = epoch, .shard_cnt = shard_cnt};
    for (size_t i = 0; i < COH_BUCKET_CNT; i++) {
        dir.shard_of[i] = (uint16_t)(in.p[2 * i] | in.p[2 * i + 1] << 8);
        if (dir.shard_of[i] >= shard_cnt) {
            return COH_EMALFORMED;
        }
    }
    *out = dir;
    return COH_OK;
}
