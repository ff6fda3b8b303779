/* directory.h: who owns which account. The account space is cut into 4096 buckets by the leading 12
   bits of keccak256(address), which are also the first three nibbles of the account's path in the
   state trie; the directory maps each bucket to a shard. The coordinator decides it
   (coordinator/placement.h); every rank holds a copy, and an epoch number tells copies apart. It is
   a plain value: copied freely, read by any thread while nobody writes it.

   An account's bucket never changes, and computing it costs a Keccak: compute it once per account
   (in batches where many are at hand) and keep it beside the account. Its owner does change, with
   the epoch: look that up each time. */
#ifndef COH_DIRECTORY_H
#define COH_DIRECTORY_H

#include "common/base/assert.h"
#include "common/base/buf.h"
#include "common/base/err.h"

#define COH_BUCKET_BITS 12
#define COH_BUCKET_CNT  4096u
/* Octets of the encoded form: the field `buckets` of WELCOME. */
#define COH_DIRECTORY_SZ ((size_t)COH_BUCKET_CNT * 2)

typedef struct coh_directory {
    uint64_t epoch;                    /* of this assignment; the first is 1 */
    uint32_t shard_cnt;                /* 1..65536 */
    uint16_t shard_of[COH_BUCKET_CNT]; /* by bucket; rank - 1, below shard_cnt */
} coh_directory_t;

/* coh_directory_bucket is the bucket of an account, 0..COH_BUCKET_CNT-1. Any thread. Cost: one
 * Keccak */
uint32_t coh_directory_bucket(coh_addr_t const *addr);

/* coh_directory_buckets computes the buckets of cnt accounts with the multi-buffer Keccak, at a
   fraction of the cost of asking one by one. Any thread. Out: bucket[0..cnt-1]     In:
   addr[0..cnt-1], repetitions allowed */
void coh_directory_buckets(uint16_t *bucket, coh_addr_t const *addr, size_t cnt);

/* coh_directory_shard is the shard that a bucket is assigned to. */
static inline uint32_t coh_directory_shard(coh_directory_t const *dir, uint32_t bucket)
{
    COH_ASSERT(bucket < COH_BUCKET_CNT);
    return dir->shard_of[bucket];
}

/* coh_directory_owner is the shard that owns an account, whose bucket the caller has at hand. It
   asks for both, because an account may be placed apart from its bucket: whoever routes by account
   calls this one, whoever works on whole buckets (tries, flushes) coh_directory_shard. */
static inline uint32_t coh_directory_owner(coh_directory_t const *dir,
                                           coh_addr_t const *addr,
                                           uint32_t bucket)
{
    COH_DASSERT(bucket == coh_directory_bucket(addr));
    return coh_directory_shard(dir, bucket);
}

/* coh_directory_encode appends COH_DIRECTORY_SZ octets: the shard of each bucket in order, 16 bits,
   little-endian. Epoch and shard count travel beside it. */
void coh_directory_encode(coh_buf_t *out, coh_directory_t const *dir);

/* coh_directory_decode reads what coh_directory_encode wrote, for a cluster of shard_cnt shards.
   Returns: COH_OK; COH_EMALFORMED another size, or a shard that the cluster has not; COH_EINVAL
   shard_cnt is 0 or above 65536. On failure out is unchanged. */
coh_err_t coh_directory_decode(coh_directory_t *out,
                               uint64_t epoch,
                               uint32_t shard_cnt,
                               coh_bytes_t in);

#endif
