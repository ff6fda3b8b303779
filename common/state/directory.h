/* directory.h: who owns which account. The account space is cut into 4096 buckets by the leading 12
   bits of keccak256(address), which are also the first three nibbles of the account's path in the
   state trie; the directory maps each bucket to a shard, and single accounts, by *overrides*, to other
   shards than their bucket's. The coordinator decides it (coordinator/placement.h); every rank holds
   a copy, and an epoch number tells copies apart. Read by any thread while nobody writes it.

   An account with an override lives at the override's shard, its *host*: flat record, code, storage,
   and with them execution. In the tries it stays with its bucket, whose owner learns from the host
   what each block changed in it (CHANGES, shard/guests.h).

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
/* Octets of the encoded form without overrides, and of each override. */
#define COH_DIRECTORY_SZ          ((size_t)COH_BUCKET_CNT * 2)
#define COH_DIRECTORY_OVERRIDE_SZ ((size_t)22)
/* Overrides in a directory: 48 MB of memory on each rank. */
#define COH_DIRECTORY_OVERRIDE_MAX 1000000u

typedef struct {
    coh_addr_t addr;
    uint16_t bucket; /* of addr; COH_DIRECTORY_NO_BUCKET: an empty place */
    uint16_t shard;  /* not that of the bucket */
} coh_override_t;

#define COH_DIRECTORY_NO_BUCKET UINT16_MAX

typedef struct coh_directory {
    uint64_t epoch;     /* of this assignment; the first is 1 */
    uint32_t shard_cnt; /* 1..65536 */
    uint32_t override_cnt;
    size_t override_mask;              /* places - 1 */
    uint64_t override_seed;            /* so that nobody can aim at one place */
    coh_override_t *overrides;         /* owned; a hash table with linear probing; NULL: none yet */
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

/* coh_directory_find looks an account up among the overrides, of which there are some. */
coh_override_t const *coh_directory_find(coh_directory_t const *dir, coh_addr_t const *addr);

/* coh_directory_override is the override of an account; NULL if there is none. */
static inline coh_override_t const *coh_directory_override(coh_directory_t const *dir,
                                                           coh_addr_t const *addr)
{
    return dir->override_cnt == 0 ? NULL : coh_directory_find(dir, addr);
}

/* coh_directory_owner is the shard that owns an account, whose bucket the caller has at hand. It
   asks for both, because an account may be placed apart from its bucket: whoever routes by account
   calls this one, whoever works on whole buckets (tries, flushes) coh_directory_shard. */
static inline uint32_t coh_directory_owner(coh_directory_t const *dir,
                                           coh_addr_t const *addr,
                                           uint32_t bucket)
{
    COH_DASSERT(bucket == coh_directory_bucket(addr));
    coh_override_t const *o = coh_directory_override(dir, addr);
    return o != NULL ? o->shard : coh_directory_shard(dir, bucket);
}

/* coh_directory_pin places an account: by an override, or by none if its bucket is there anyway.
   Nobody may be reading.
   Returns: COH_OK; COH_ETOOBIG there are COH_DIRECTORY_OVERRIDE_MAX overrides; COH_EINVAL no such shard */
coh_err_t coh_directory_pin(coh_directory_t *dir, coh_addr_t const *addr, uint32_t shard);

/* coh_directory_copy makes out an independent copy; what it was is not freed. */
void coh_directory_copy(coh_directory_t *out, coh_directory_t const *dir);

/* coh_directory_free frees the overrides. */
void coh_directory_free(coh_directory_t *dir);

/* coh_directory_encode appends the shard of each bucket in order, 16 bits, little-endian
   (COH_DIRECTORY_SZ octets), and the overrides, ascending by address: address, shard (16 bits,
   little-endian). Epoch and shard count travel beside it. */
void coh_directory_encode(coh_buf_t *out, coh_directory_t const *dir);

/* coh_directory_decode reads what coh_directory_encode wrote, for a cluster of shard_cnt shards.
   Out: out  overwritten; coh_directory_free frees it
   Returns: COH_OK; COH_EMALFORMED another size, a shard that the cluster has not, overrides out of
   order or to the bucket's own shard; COH_ETOOBIG too many of them; COH_EINVAL shard_cnt is 0 or
   above 65536. On failure out is unchanged. */
coh_err_t coh_directory_decode(coh_directory_t *out,
                               uint64_t epoch,
                               uint32_t shard_cnt,
                               coh_bytes_t in);

#endif
