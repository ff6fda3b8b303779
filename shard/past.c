#include "shard/past.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Changes in one piece of memory, which is a huge page: else each block would be a hundred misses of the TLB. */
#define CHUNK       20160u
#define CHUNK_BYTES ((size_t)2 << 20)
/* Pieces kept for reuse, of those that nothing is in. */
#define SPARE_MAX 4u

/* A change by its number; numbers ascend for ever. */
typedef struct {
    uint32_t next; /* number of the change before it in its bucket, modulo 2^32 */
    uint16_t kind;
    uint16_t flags;
    coh_addr_t addr;
    uint32_t generation; /* of a slot's key, of an account's value */
    coh_u256_t word;
    union {
        coh_u256_t slot;      /* SLOT */
        coh_hash_t code_hash; /* ACCOUNT */
    } u;
    uint64_t nonce;
} change_t;
_Static_assert(CHUNK * sizeof(change_t) <= CHUNK_BYTES, "a chunk is a page");
_Static_assert(sizeof(change_t) == 104, "state-past-bytes is documented by it");

/* An account that came at block since. */
typedef struct {
    coh_addr_t addr;
    uint64_t since;
} came_t;

struct coh_past {
    uint64_t head;
    uint64_t floor; /* blocks floor + 1..head are held */
    uint64_t block_max;
    uint64_t change_max;
    uint64_t seed;
    uint64_t first;    /* number of the oldest change that is held */
    uint64_t next;     /* of the next one */
    uint64_t *firsts;  /* by block modulo block_max + 1: its first change */
    uint32_t *buckets; /* number of the latest change, modulo 2^32 */
    uint64_t bucket_mask;
    change_t **chunks; /* by number / CHUNK modulo chunk_cnt */
    uint64_t chunk_cnt;
    change_t *spare[SPARE_MAX];
    uint32_t spare_cnt;
    came_t *came; /* owned; by address */
    size_t came_cnt;
    uint64_t held;  /* chunks */
    bool overflown; /* the block at the head has more changes than fit: none of them is held */
};

static void *huge(size_t bytes)
{
    void *p = aligned_alloc(CHUNK_BYTES, (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES);
    COH_ASSERT(p != NULL);
    (void)madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

coh_past_t *coh_past_new(uint64_t block_max, uint64_t byte_max, uint64_t seed)
{
    coh_past_t *past = coh_calloc(1, sizeof(*past));
    past->block_max  = block_max;
    /* numbers within the ring are told apart by 32 bits */
    past->change_max = COH_MIN(byte_max / sizeof(change_t), UINT64_C(1) << 31);
    past->seed       = seed;
    past->chunk_cnt  = past->change_max / CHUNK + 2;
    past->chunks     = coh_calloc(past->chunk_cnt, sizeof(*past->chunks));
    past->firsts     = coh_calloc(block_max + 1, sizeof(*past->firsts));
    uint64_t buckets = 1024;
    while (buckets < past->change_max) {
        buckets *= 2;
    }
    past->bucket_mask = buckets - 1;
    past->buckets     = huge(buckets * sizeof(*past->buckets));
    memset(past->buckets, 0, buckets * sizeof(*past->buckets));
    past->first = 1;
    past->next  = 1; /* 0 is what an empty bucket holds */
    return past;
}

void coh_past_free(coh_past_t *past)
{
    if (past == NULL) {
        return;
    }
    for (uint64_t i = 0; i < past->chunk_cnt; i++) {
        free(past->chunks[i]);
    }
    for (uint32_t i = 0; i < past->spare_cnt; i++) {
        free(past->spare[i]);
    }
    free(past->chunks);
    free(past->firsts);
    free(past->buckets);
    free(past->came);
    free(past);
}

static change_t *at(coh_past_t const *past, uint64_t number)
{
    return &past->chunks[number / CHUNK % past->chunk_cnt][number % CHUNK];
}

/* Forgets the changes below first. */
static void forget(coh_past_t *past, uint64_t first)
{
    /* The chunk of next stays, though nothing may be in it: it is written to next. */
    for (uint64_t c = past->first / CHUNK; c < first / CHUNK; c++) {
        change_t **chunk = &past->chunks[c % past->chunk_cnt];
        if (*chunk == NULL) {
            continue; /* nothing was ever added to it */
        }
        if (past->spare_cnt < SPARE_MAX) {
            past->spare[past->spare_cnt++] = *chunk;
        } else {
            free(*chunk);
            past->held--;
        }
        *chunk = NULL;
    }
    past->first = first;
}

/* Forgets the block floor + 1. */
static void forget_block(coh_past_t *past)
{
    past->floor++;
    forget(past,
           past->floor == past->head ? past->next
                                     : past->firsts[(past->floor + 1) % (past->block_max + 1)]);
}

void coh_past_start(coh_past_t *past, uint64_t head)
{
    forget(past, past->next);
    past->head      = head;
    past->floor     = head;
    past->overflown = false;
}

void coh_past_begin(coh_past_t *past)
{
    past->head++;
    past->overflown                                  = false;
    past->firsts[past->head % (past->block_max + 1)] = past->next;
    if (past->head - past->floor > past->block_max) {
        forget_block(past);
    }
    past->overflown = past->floor == past->head;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

uint64_t coh_past_hash(coh_past_t const *past, coh_key_t const *key)
{
    uint64_t h = mix(past->seed, coh_load_u64_le(key->addr.b));
    h          = mix(h, coh_load_u64_le(key->addr.b + 8));
    h          = mix(h, coh_load_u32_le(key->addr.b + 16) | (uint64_t)key->kind << 32);
    if (key->kind == COH_KEY_SLOT) {
        h = mix(h, key->generation);
        for (int i = 0; i < 4; i++) {
            h = mix(h, key->slot.w[i]);
        }
    }
    return mix(h, 0);
}

void coh_past_prefetch(coh_past_t const *past, uint64_t hash)
{
    __builtin_prefetch(&past->buckets[hash & past->bucket_mask], 1);
}

void coh_past_add(coh_past_t *past, uint64_t hash, coh_key_t const *key, coh_value_t const *old)
{
    COH_DASSERT(key->kind == COH_KEY_ACCOUNT || key->kind == COH_KEY_SLOT);
    while (!past->overflown && past->next - past->first >= past->change_max) {
        forget_block(past);
        past->overflown = past->floor == past->head;
    }
    if (COH_UNLIKELY(past->overflown)) {
        return;
    }
    change_t **chunk = &past->chunks[past->next / CHUNK % past->chunk_cnt];
    if (COH_UNLIKELY(*chunk == NULL)) {
        if (past->spare_cnt != 0) {
            *chunk = past->spare[--past->spare_cnt];
        } else {
            *chunk = huge(CHUNK_BYTES);
            past->held++;
        }
    }
    change_t *c      = &(*chunk)[past->next % CHUNK];
    uint32_t *bucket = &past->buckets[hash & past->bucket_mask];
    bool is_slot     = key->kind == COH_KEY_SLOT;
    c->next          = *bucket;
    c->kind          = (uint16_t)key->kind;
    c->addr          = key->addr;
    c->word          = old->word;
    c->nonce         = old->nonce;
    c->flags         = (uint16_t)old->flags;
    c->generation    = is_slot ? (uint32_t)key->generation : old->generation;
    if (is_slot) {
        c->u.slot = key->slot;
    } else {
        c->u.code_hash = old->code_hash;
    }
    *bucket = (uint32_t)past->next++;
}

static int compare_came(void const *a, void const *b)
{
    return memcmp(((came_t const *)a)->addr.b, ((came_t const *)b)->addr.b, sizeof(coh_addr_t));
}

void coh_past_forget(coh_past_t *past, coh_addr_t const *addrs, size_t cnt)
{
    came_t *all = coh_calloc(past->came_cnt + cnt + 1, sizeof(*all));
    size_t n    = 0;
    for (size_t i = 0; i < past->came_cnt; i++) {
        if (past->came[i].since > past->floor) {
            all[n++] = past->came[i];
        }
    }
    for (size_t i = 0; i < cnt; i++) {
        all[n++] = (came_t){.addr = addrs[i], .since = past->head};
    }
    if (n != 0) {
        qsort(all, n, sizeof(*all), compare_came);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept != 0 && coh_addr_eq(&all[kept - 1].addr, &all[i].addr)) {
            all[kept - 1].since = COH_MAX(all[kept - 1].since, all[i].since);
        } else {
            all[kept++] = all[i];
        }
    }
    free(past->came);
    past->came     = all;
    past->came_cnt = kept;
}

/* Whether the key's account was elsewhere at block. */
static bool came_after(coh_past_t const *past, coh_key_t const *key, uint64_t block)
{
    came_t wanted = {.addr = key->addr};
    came_t const *came =
        past->came_cnt == 0
            ? NULL
            : bsearch(&wanted, past->came, past->came_cnt, sizeof(*past->came), compare_came);
    return came != NULL && block < came->since;
}

uint64_t coh_past_head(coh_past_t const *past) { return past->head; }

uint64_t coh_past_first(coh_past_t const *past) { return past->floor; }

static bool is_of(change_t const *c, coh_key_t const *key)
{
    return c->kind == key->kind && coh_addr_eq(&c->addr, &key->addr) &&
           (key->kind != COH_KEY_SLOT ||
            (c->generation == key->generation && coh_u256_eq(&c->u.slot, &key->slot)));
}

coh_past_status_t coh_past_find(coh_past_t const *past,
                                coh_key_t const *key,
                                uint64_t block,
                                coh_value_t *out)
{
    if (block < past->floor) {
        return COH_PAST_GONE;
    }
    if (block >= past->head) {
        return COH_PAST_PRESENT;
    }
    if (came_after(past, key, block)) {
        return COH_PAST_GONE;
    }
    uint64_t start      = past->firsts[(block + 1) % (past->block_max + 1)];
    change_t const *hit = NULL;
    uint64_t number     = past->next;
    uint32_t low        = past->buckets[coh_past_hash(past, key) & past->bucket_mask];
    for (;;) {
        /* Each is older than the one before. A number that was left in its bucket 2^32 changes ago may look young: it leads to changes of other keys only. */
        uint32_t back = (uint32_t)number - low;
        if (back == 0 || back > number - start) {
            break;
        }
        number -= back;
        change_t const *c = at(past, number);
        if (is_of(c, key)) {
            hit = c;
        }
        low = c->next;
    }
    if (hit == NULL) {
        return COH_PAST_PRESENT;
    }
    *out = (coh_value_t){.word = hit->word, .nonce = hit->nonce, .flags = hit->flags};
    if (key->kind == COH_KEY_ACCOUNT) {
        out->code_hash  = hit->u.code_hash;
        out->generation = hit->generation;
    }
    return COH_PAST_FOUND;
}

uint64_t coh_past_mark(coh_past_t const *past) { return past->next; }

bool coh_past_holds(coh_past_t const *past, uint64_t mark)
{
    return mark >= past->first && !past->overflown;
}

uint64_t coh_past_since(coh_past_t const *past, uint64_t mark) { return past->next - mark; }

void coh_past_visit(coh_past_t const *past, uint64_t mark, coh_past_visit_fn *fn, void *arg)
{
    for (uint64_t number = mark; number < past->next; number++) {
        change_t const *c = at(past, number);
        coh_key_t key     = {.addr = c->addr, .kind = c->kind};
        coh_value_t old   = {.word = c->word, .nonce = c->nonce, .flags = c->flags};
        if (c->kind == COH_KEY_SLOT) {
            key.slot       = c->u.slot;
            key.generation = c->generation;
        } else {
            old.code_hash  = c->u.code_hash;
            old.generation = c->generation;
        }
        fn(arg, &key, &old);
    }
}

void coh_past_rewind(coh_past_t *past, uint64_t head)
{
    COH_ASSERT(head <= past->head);
    past->head = head;
    if (head <= past->floor) {
        past->floor =
            head; /* changes stay in the ring for coh_past_visit, but no block can be asked for by them */
    }
}

size_t coh_past_bytes(coh_past_t const *past)
{
    return sizeof(*past) + past->held * CHUNK_BYTES + past->chunk_cnt * sizeof(*past->chunks) +
           (past->block_max + 1) * sizeof(uint64_t) +
           (past->bucket_mask + 1) * sizeof(*past->buckets);
}
