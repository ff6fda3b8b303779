#include "common/state/directory.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
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

/* ---- overrides ---- */

static size_t place_of(coh_directory_t const *dir, coh_addr_t const *addr)
{
    uint64_t h = coh_mix64(coh_load_u64_le(addr->b) ^ dir->override_seed);
    h          = coh_mix64(h ^ coh_load_u64_le(addr->b + 8));
    return (size_t)coh_mix64(h ^ coh_load_u32_le(addr->b + 16)) & dir->override_mask;
}

/* The place of addr, or the empty one where it would be. */
static size_t find_place(coh_directory_t const *dir, coh_addr_t const *addr)
{
    size_t at = place_of(dir, addr);
    while (dir->overrides[at].bucket != COH_DIRECTORY_NO_BUCKET &&
           !coh_addr_eq(&dir->overrides[at].addr, addr)) {
        at = (at + 1) & dir->override_mask;
    }
    return at;
}

coh_override_t const *coh_directory_find(coh_directory_t const *dir, coh_addr_t const *addr)
{
    coh_override_t const *o = &dir->overrides[find_place(dir, addr)];
    return o->bucket == COH_DIRECTORY_NO_BUCKET ? NULL : o;
}

/* Makes room for twice as many places. */
static void grow(coh_directory_t *dir)
{
    coh_override_t *old = dir->overrides;
    size_t old_cnt      = old == NULL ? 0 : dir->override_mask + 1;
    size_t cnt          = old_cnt == 0 ? 64 : 2 * old_cnt;
    if (old == NULL) {
        dir->override_seed = coh_mix64(coh_clock_thread_cpu_ns()) ^ (uintptr_t)dir;
    }
    dir->overrides     = coh_calloc(cnt, sizeof(*dir->overrides));
    dir->override_mask = cnt - 1;
    for (size_t i = 0; i < cnt; i++) {
        dir->overrides[i].bucket = COH_DIRECTORY_NO_BUCKET;
    }
    for (size_t i = 0; i < old_cnt; i++) {
        if (old[i].bucket != COH_DIRECTORY_NO_BUCKET) {
            dir->overrides[find_place(dir, &old[i].addr)] = old[i];
        }
    }
    free(old);
}

static coh_err_t put_override(coh_directory_t *dir, coh_override_t const *o)
{
    if (dir->overrides == NULL || dir->override_cnt * (size_t)2 > dir->override_mask) {
        grow(dir);
    }
    size_t at   = find_place(dir, &o->addr);
    bool is_new = dir->overrides[at].bucket == COH_DIRECTORY_NO_BUCKET;
    if (is_new && dir->override_cnt == COH_DIRECTORY_OVERRIDE_MAX) {
        return COH_ETOOBIG;
    }
    dir->overrides[at] = *o;
    dir->override_cnt += is_new;
    return COH_OK;
}

/* Empties a place, and moves those up that were put behind it for want of theirs. */
static void remove_override(coh_directory_t *dir, size_t at)
{
    size_t next = at;
    for (;;) {
        next = (next + 1) & dir->override_mask;
        if (dir->overrides[next].bucket == COH_DIRECTORY_NO_BUCKET) {
            break;
        }
        size_t wanted = place_of(dir, &dir->overrides[next].addr);
        if (((next - wanted) & dir->override_mask) >= ((next - at) & dir->override_mask)) {
            dir->overrides[at] = dir->overrides[next];
            at                 = next;
        }
    }
    dir->overrides[at] = (coh_override_t){.bucket = COH_DIRECTORY_NO_BUCKET};
    dir->override_cnt--;
}

coh_err_t coh_directory_pin(coh_directory_t *dir, coh_addr_t const *addr, uint32_t shard)
{
    if (shard >= dir->shard_cnt) {
        return COH_EINVAL;
    }
    coh_override_t o = {
        .addr = *addr, .bucket = (uint16_t)coh_directory_bucket(addr), .shard = (uint16_t)shard};
    if (dir->shard_of[o.bucket] != shard) {
        return put_override(dir, &o);
    }
    if (coh_directory_override(dir, addr) != NULL) {
        remove_override(dir, find_place(dir, addr));
    }
    return COH_OK;
}

void coh_directory_copy(coh_directory_t *out, coh_directory_t const *dir)
{
    *out = *dir;
    if (dir->overrides != NULL) {
        size_t size    = (dir->override_mask + 1) * sizeof(*dir->overrides);
        out->overrides = memcpy(coh_calloc(1, size), dir->overrides, size);
    }
}

void coh_directory_free(coh_directory_t *dir)
{
    free(dir->overrides);
    dir->overrides     = NULL;
    dir->override_cnt  = 0;
    dir->override_mask = 0;
}

/* ---- encoding ---- */

static int by_address(void const *a, void const *b)
{
    return memcmp(((coh_override_t const *)a)->addr.b,
                  ((coh_override_t const *)b)->addr.b,
                  sizeof(coh_addr_t));
}

void coh_directory_encode(coh_buf_t *out, coh_directory_t const *dir)
{
    uint8_t *p =
        coh_buf_extend(out, COH_DIRECTORY_SZ + dir->override_cnt * COH_DIRECTORY_OVERRIDE_SZ);
    for (size_t i = 0; i < COH_BUCKET_CNT; i++) {
        COH_ASSERT(dir->shard_of[i] < dir->shard_cnt);
        p[2 * i]     = (uint8_t)dir->shard_of[i];
        p[2 * i + 1] = (uint8_t)(dir->shard_of[i] >> 8);
    }
    if (dir->override_cnt == 0) {
        return;
    }
    coh_override_t *sorted = coh_calloc(dir->override_cnt, sizeof(*sorted));
    size_t cnt             = 0;
    for (size_t i = 0; i <= dir->override_mask; i++) {
        if (dir->overrides[i].bucket != COH_DIRECTORY_NO_BUCKET) {
            sorted[cnt++] = dir->overrides[i];
        }
    }
    qsort(sorted, cnt, sizeof(*sorted), by_address);
    p += COH_DIRECTORY_SZ;
    for (size_t i = 0; i < cnt; i++, p += COH_DIRECTORY_OVERRIDE_SZ) {
        memcpy(p, sorted[i].addr.b, sizeof(sorted[i].addr.b));
        p[20] = (uint8_t)sorted[i].shard;
        p[21] = (uint8_t)(sorted[i].shard >> 8);
    }
    free(sorted);
}

static coh_err_t decode_overrides(coh_directory_t *dir, coh_bytes_t in)
{
    coh_addr_t before = {{0}};
    for (size_t at = 0; at < in.n;) {
        coh_addr_t addrs[BATCH];
        uint16_t buckets[BATCH];
        size_t cnt = COH_MIN((in.n - at) / COH_DIRECTORY_OVERRIDE_SZ, (size_t)BATCH);
        for (size_t i = 0; i < cnt; i++) {
            memcpy(addrs[i].b, in.p + at + i * COH_DIRECTORY_OVERRIDE_SZ, sizeof(addrs[i].b));
        }
        coh_directory_buckets(buckets, addrs, cnt);
        for (size_t i = 0; i < cnt; i++, at += COH_DIRECTORY_OVERRIDE_SZ) {
            coh_override_t o = {.addr   = addrs[i],
                                .bucket = buckets[i],
                                .shard  = (uint16_t)(in.p[at + 20] | in.p[at + 21] << 8)};
            bool ascends     = at == 0 || memcmp(before.b, o.addr.b, sizeof(before.b)) < 0;
            before           = o.addr;
            if (!ascends || o.shard >= dir->shard_cnt || dir->shard_of[o.bucket] == o.shard) {
                return COH_EMALFORMED;
            }
            COH_TRY(put_override(dir, &o));
        }
    }
    return COH_OK;
}

coh_err_t coh_directory_decode(coh_directory_t *out,
                               uint64_t epoch,
                               uint32_t shard_cnt,
                               coh_bytes_t in)
{
    if (shard_cnt == 0 || shard_cnt > (uint32_t)UINT16_MAX + 1) {
        return COH_EINVAL;
    }
    if (in.n < COH_DIRECTORY_SZ || (in.n - COH_DIRECTORY_SZ) % COH_DIRECTORY_OVERRIDE_SZ != 0) {
        return COH_EMALFORMED;
    }
    coh_directory_t dir = {.epoch = epoch, .shard_cnt = shard_cnt};
    for (size_t i = 0; i < COH_BUCKET_CNT; i++) {
        dir.shard_of[i] = (uint16_t)(in.p[2 * i] | in.p[2 * i + 1] << 8);
        if (dir.shard_of[i] >= shard_cnt) {
            return COH_EMALFORMED;
        }
    }
    coh_err_t rc =
        decode_overrides(&dir, coh_bytes(in.p + COH_DIRECTORY_SZ, in.n - COH_DIRECTORY_SZ));
    if (rc != COH_OK) {
        coh_directory_free(&dir);
        return rc;
    }
    *out = dir;
    return COH_OK;
}
