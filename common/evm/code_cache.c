#include "common/evm/code_cache.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/spin.h"

#define BUCKET_CNT ((size_t)1 << 14)
#define STRIPE_CNT ((size_t)64)

typedef struct item {
    struct item *next;
    coh_hash_t hash;
    coh_code_t *code; /* NULL: not analysed yet */
    uint8_t *bytes;   /* owned; kept beside code's copy: others may be looking at them */
    size_t size;      /* of the code */
    uint32_t pin_cnt;
    bool recent; /* used since the last trim */
} item_t;

typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) coh_spin_t lock; /* of every 64th bucket */
} stripe_t;

struct coh_code_cache {
    size_t max_bytes;
    _Atomic size_t held_bytes;
    item_t *buckets[BUCKET_CNT];
    stripe_t stripes[STRIPE_CNT];
};

/* What an item costs, analysed or not: see coh_code_new. */
static size_t cost(size_t size) { return sizeof(item_t) + sizeof(coh_code_t) + 5 * size; }

coh_code_cache_t *coh_code_cache_new(size_t max_bytes)
{
    coh_code_cache_t *c = aligned_alloc(COH_CACHE_LINE, sizeof(*c));
    COH_ASSERT(c != NULL);
    memset(c, 0, sizeof(*c));
    c->max_bytes = max_bytes;
    for (size_t i = 0; i < STRIPE_CNT; i++) {
        c->stripes[i].lock = COH_SPIN_INIT;
    }
    return c;
}

static void free_item(coh_code_cache_t *c, item_t *item)
{
    atomic_fetch_sub_explicit(&c->held_bytes, cost(item->size), memory_order_relaxed);
    coh_code_unref(item->code);
    free(item->bytes);
    free(item);
}

void coh_code_cache_free(coh_code_cache_t *c)
{
    if (c == NULL) {
        return;
    }
    for (size_t b = 0; b < BUCKET_CNT; b++) {
        while (c->buckets[b] != NULL) {
            item_t *item  = c->buckets[b];
            c->buckets[b] = item->next;
            free_item(c, item);
        }
    }
    free(c);
}

/* Code hashes are Keccak's: any of their bits spread. Whoever aims code at one bucket pays a creation for each. */
static size_t lock(coh_code_cache_t *c, coh_hash_t const *hash)
{
    size_t bucket = coh_load_u64_le(hash->b) % BUCKET_CNT;
    coh_spin_lock(&c->stripes[bucket % STRIPE_CNT].lock);
    return bucket;
}

static void unlock(coh_code_cache_t *c, size_t bucket)
{
    coh_spin_unlock(&c->stripes[bucket % STRIPE_CNT].lock);
}

static item_t *find(coh_code_cache_t *c, size_t bucket, coh_hash_t const *hash)
{
    item_t *item = c->buckets[bucket];
    while (item != NULL && !coh_hash_eq(&item->hash, hash)) {
        item = item->next;
    }
    if (item != NULL && !item->recent) {
        item->recent = true;
    }
    return item;
}

void coh_code_cache_put(coh_code_cache_t *c, coh_hash_t const *hash, coh_bytes_t bytes)
{
    size_t bucket = lock(c, hash);
    if (find(c, bucket, hash) == NULL) {
        item_t *item = coh_calloc(1, sizeof(*item));
        *item        = (item_t){.next   = c->buckets[bucket],
                                .hash   = *hash,
                                .bytes  = coh_calloc(1, bytes.n + 1),
                                .size   = bytes.n,
                                .recent = true};
        if (bytes.n != 0) {
            memcpy(item->bytes, bytes.p, bytes.n);
        }
        c->buckets[bucket] = item;
        atomic_fetch_add_explicit(&c->held_bytes, cost(bytes.n), memory_order_relaxed);
    }
    unlock(c, bucket);
}

coh_code_t const *coh_code_cache_get(coh_code_cache_t *c, coh_hash_t const *hash, coh_fork_t fork)
{
    size_t bucket    = lock(c, hash);
    item_t *item     = find(c, bucket, hash);
    coh_code_t *code = NULL;
    if (item != NULL) {
        if (item->code == NULL || item->code->fork != fork) {
            coh_code_unref(item->code);
            item->code = coh_code_new(coh_bytes(item->bytes, item->size), fork, hash);
        }
        code = item->code;
    }
    unlock(c, bucket);
    return code;
}

bool coh_code_cache_bytes(coh_code_cache_t *c, coh_hash_t const *hash, coh_bytes_t *out)
{
    size_t bucket = lock(c, hash);
    item_t *item  = find(c, bucket, hash);
    if (item != NULL) {
        *out = coh_bytes(item->bytes, item->size);
    }
    unlock(c, bucket);
    return item != NULL;
}

bool coh_code_cache_pin(coh_code_cache_t *c, coh_hash_t const *hash)
{
    size_t bucket = lock(c, hash);
    item_t *item  = find(c, bucket, hash);
    if (item != NULL) {
        item->pin_cnt++;
    }
    unlock(c, bucket);
    return item != NULL;
}

void coh_code_cache_unpin(coh_code_cache_t *c, coh_hash_t const *hash)
{
    size_t bucket = lock(c, hash);
    item_t *item  = find(c, bucket, hash);
    COH_ASSERT(item != NULL && item->pin_cnt != 0);
    item->pin_cnt--;
    unlock(c, bucket);
}

/* One pass over all; takes the second chances away. */
static void evict(coh_code_cache_t *c)
{
    for (size_t b = 0; b < BUCKET_CNT; b++) {
        item_t **link = &c->buckets[b];
        while (*link != NULL) {
            item_t *item = *link;
            if (coh_code_cache_size(c) > c->max_bytes && item->pin_cnt == 0 && !item->recent) {
                *link = item->next;
                free_item(c, item);
            } else {
                item->recent = false;
                link         = &item->next;
            }
        }
    }
}

void coh_code_cache_trim(coh_code_cache_t *c)
{
    for (int pass = 0; pass < 2 && coh_code_cache_size(c) > c->max_bytes; pass++) {
        evict(c);
    }
}

size_t coh_code_cache_size(coh_code_cache_t const *c)
{
    return atomic_load_explicit(&c->held_bytes, memory_order_relaxed);
}
