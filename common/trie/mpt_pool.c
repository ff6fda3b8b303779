#include "common/trie/mpt_pool.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

#define SPAN_SZ     ((size_t)64 << 10)
#define CHUNK_SPANS 32u
#define CHUNK_SZ    (SPAN_SZ * CHUNK_SPANS) /* a huge page */
/* So many chunks are of one span. */
#define SMALL_CHUNKS 16u

typedef struct free_block {
    struct free_block *next;
} free_block_t;

/* Stands at the beginning of its span. */
struct coh_mpt_span {
    coh_mpt_span_t *prev; /* among those with room */
    coh_mpt_span_t *next;
    coh_mpt_chunk_t *chunk;
    free_block_t *free; /* blocks given back */
    uint32_t fresh;     /* where blocks begin that were never taken */
    uint32_t used;      /* blocks */
    uint32_t block_sz;
    uint32_t kind;
};

struct coh_mpt_chunk {
    coh_mpt_chunk_t *prev;
    coh_mpt_chunk_t *next;
    uint8_t *mem; /* owned */
    uint32_t span_cnt;
    uint32_t free; /* bit i: span i holds no blocks */
};

_Static_assert(sizeof(coh_mpt_span_t) <= COH_CACHE_LINE, "a span's head is a line");
_Static_assert(CHUNK_SPANS == 32, "a bit of free for each");

static uint32_t kind_of(size_t block_sz)
{
    size_t kind = block_sz <= COH_MPT_BLOCK_FINE
                      ? block_sz / 64 - 1
                      : COH_MPT_BLOCK_FINE / 64 - 1 + (block_sz - COH_MPT_BLOCK_FINE) / 256;
    return (uint32_t)kind;
}

/* ---- Chunks ---- */

/* n octets at a multiple of n, a power of two. */
static uint8_t *map(size_t n)
{
    uint8_t *p = mmap(
        NULL, 2 * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    COH_ASSERT(p != MAP_FAILED);
    size_t skip = (size_t)(-(uintptr_t)p & (n - 1));
    if (skip != 0) {
        (void)munmap(p, skip);
    }
    (void)munmap(p + skip + n, n - skip);
    return p + skip;
}

static void chunk_push(coh_mpt_pool_t *pool, coh_mpt_chunk_t *chunk, bool at_end)
{
    chunk->prev                                                = at_end ? pool->last : NULL;
    chunk->next                                                = at_end ? NULL : pool->first;
    *(chunk->prev != NULL ? &chunk->prev->next : &pool->first) = chunk;
    *(chunk->next != NULL ? &chunk->next->prev : &pool->last)  = chunk;
}

static void chunk_remove(coh_mpt_pool_t *pool, coh_mpt_chunk_t *chunk)
{
    *(chunk->prev != NULL ? &chunk->prev->next : &pool->first) = chunk->next;
    *(chunk->next != NULL ? &chunk->next->prev : &pool->last)  = chunk->prev;
}

static uint32_t all_free(coh_mpt_chunk_t const *chunk)
{
    return UINT32_MAX >> (CHUNK_SPANS - chunk->span_cnt);
}

static coh_mpt_chunk_t *chunk_new(coh_mpt_pool_t *pool)
{
    coh_mpt_chunk_t *chunk = coh_calloc(1, sizeof(*chunk));
    chunk->span_cnt        = pool->chunk_cnt < SMALL_CHUNKS ? 1 : CHUNK_SPANS;
    chunk->mem             = map(chunk->span_cnt * SPAN_SZ);
    chunk->free            = all_free(chunk);
    if (chunk->span_cnt == CHUNK_SPANS) {
        (void)madvise(
            chunk->mem, CHUNK_SZ, MADV_HUGEPAGE); /* a wish: without them it is only slower */
    }
    pool->chunk_cnt++;
    pool->empty_cnt++;
    pool->bytes += chunk->span_cnt * SPAN_SZ;
    chunk_push(pool, chunk, false);
    return chunk;
}

static void chunk_free(coh_mpt_pool_t *pool, coh_mpt_chunk_t *chunk)
{
    COH_ASSERT(chunk->free == all_free(chunk));
    size_t n = chunk->span_cnt * SPAN_SZ;
    chunk_remove(pool, chunk);
    ASAN_UNPOISON_MEMORY_REGION(chunk->mem, n);
    (void)munmap(chunk->mem, n);
    pool->chunk_cnt--;
    pool->empty_cnt--;
    pool->bytes -= n;
    free(chunk);
}

/* ---- Spans ---- */

static void span_open(coh_mpt_pool_t *pool, coh_mpt_span_t *span)
{
    span->prev = NULL;
    span->next = pool->open[span->kind];
    if (span->next != NULL) {
        span->next->prev = span;
    }
    pool->open[span->kind] = span;
}

static void span_close(coh_mpt_pool_t *pool, coh_mpt_span_t *span)
{
    *(span->prev != NULL ? &span->prev->next : &pool->open[span->kind]) = span->next;
    if (span->next != NULL) {
        span->next->prev = span->prev;
    }
}

static coh_mpt_span_t *span_new(coh_mpt_pool_t *pool, size_t block_sz)
{
    coh_mpt_chunk_t *chunk = pool->first;
    if (chunk == NULL || chunk->free == 0) {
        chunk = chunk_new(pool);
    }
    pool->empty_cnt -= chunk->free == all_free(chunk);
    uint32_t idx = (uint32_t)__builtin_ctz(chunk->free);
    chunk->free &= chunk->free - 1;
    if (chunk->free == 0) {
        chunk_remove(pool, chunk);
        chunk_push(pool, chunk, true);
    }
    uint8_t *mem = chunk->mem + idx * SPAN_SZ;
    ASAN_UNPOISON_MEMORY_REGION(mem, sizeof(coh_mpt_span_t));
    coh_mpt_span_t *span = (coh_mpt_span_t *)(void *)mem;
    *span                = (coh_mpt_span_t){.chunk    = chunk,
                                            .fresh    = COH_CACHE_LINE,
                                            .block_sz = (uint32_t)block_sz,
                                            .kind     = kind_of(block_sz)};
    span_open(pool, span);
    return span;
}

/* Gives a span without blocks back to its chunk. */
static void span_free(coh_mpt_pool_t *pool, coh_mpt_span_t *span)
{
    coh_mpt_chunk_t *chunk = span->chunk;
    span_close(pool, span);
    if (chunk->free == 0) {
        chunk_remove(pool, chunk);
        chunk_push(pool, chunk, false);
    }
    chunk->free |= 1u << ((size_t)((uint8_t *)span - chunk->mem) / SPAN_SZ);
    if (chunk->free == all_free(chunk) && pool->empty_cnt++ != 0) {
        chunk_free(pool, chunk);
    }
}

static bool has_room(coh_mpt_span_t const *span)
{
    return span->free != NULL || span->fresh + span->block_sz <= SPAN_SZ;
}

/* ---- Blocks ---- */

void coh_mpt_pool_init(coh_mpt_pool_t *pool) { *pool = (coh_mpt_pool_t){0}; }

void coh_mpt_pool_fini(coh_mpt_pool_t *pool)
{
    while (pool->first != NULL) {
        chunk_free(pool, pool->first);
    }
}

void *coh_mpt_pool_take(coh_mpt_pool_t *pool, size_t n)
{
    COH_ASSERT(n != 0);
    size_t block_sz = coh_mpt_block_sz(n);
    if (block_sz > COH_MPT_BLOCK_MAX) {
        return coh_realloc(NULL, n);
    }
    coh_mpt_span_t *span = pool->open[kind_of(block_sz)];
    if (span == NULL) {
        span = span_new(pool, block_sz);
    }
    void *p = span->free;
    if (p != NULL) {
        span->free = span->free->next;
    } else {
        p = (uint8_t *)span + span->fresh;
        span->fresh += span->block_sz;
    }
    span->used++;
    if (!has_room(span)) {
        span_close(pool, span);
    }
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void coh_mpt_pool_give(coh_mpt_pool_t *pool, void *p, size_t n)
{
    if (coh_mpt_block_sz(n) > COH_MPT_BLOCK_MAX || p == NULL) {
        free(p);
        return;
    }
    coh_mpt_span_t *span = (coh_mpt_span_t *)((uintptr_t)p & ~(uintptr_t)(SPAN_SZ - 1));
    COH_ASSERT(span->block_sz == coh_mpt_block_sz(n) && span->used != 0);
    bool was_full       = !has_room(span);
    free_block_t *block = p;
    ASAN_UNPOISON_MEMORY_REGION(block, sizeof(*block));
    block->next = span->free;
    span->free  = block;
    ASAN_POISON_MEMORY_REGION(block + 1, span->block_sz - sizeof(*block));
    if (was_full) {
        span_open(pool, span);
    }
    if (--span->used == 0) {
        span_free(pool, span);
    }
}
