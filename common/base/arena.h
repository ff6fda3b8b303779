/* arena.h: a bump allocator. Objects live until the arena is reset; a reset keeps the memory for the next round, so
   steady work allocates nothing. One thread at a time. */
#ifndef COH_ARENA_H
#define COH_ARENA_H

#include "common/base/base.h"

typedef struct coh_arena_chunk {
    struct coh_arena_chunk *next;
    size_t size; /* octets behind this header */
    COH_ALIGNED(16) uint8_t data[];
} coh_arena_chunk_t;

typedef struct {
    coh_arena_chunk_t *first;
    coh_arena_chunk_t *cur;
    size_t used;  /* octets used in cur */
    size_t total; /* octets of all chunks */
} coh_arena_t;

#define COH_ARENA_INIT     ((coh_arena_t){0})
#define COH_ARENA_CHUNK_SZ ((size_t)1 << 18)

void coh_arena_free(coh_arena_t *arena);
/* coh_arena_reset forgets all objects; chunks beyond keep_bytes are given back. */
void coh_arena_reset(coh_arena_t *arena, size_t keep_bytes);
void *coh_arena_alloc_slow(coh_arena_t *arena, size_t size);

/* coh_arena_alloc returns size octets aligned to 16, not zeroed; never NULL. */
static inline void *coh_arena_alloc(coh_arena_t *arena, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (COH_UNLIKELY(arena->cur == NULL || arena->cur->size - arena->used < size)) {
        return coh_arena_alloc_slow(arena, size);
    }
    void *p = arena->cur->data + arena->used;
    arena->used += size;
    return p;
}

/* coh_arena_grow returns an array of *cap elements at least want long, with the first cnt copied over; old memory is left behind. */
static inline void *coh_arena_grow(coh_arena_t *arena,
                                   void *old,
                                   size_t cnt,
                                   uint32_t *cap,
                                   size_t want,
                                   size_t elem)
{
    if (want <= *cap) {
        return old;
    }
    size_t n = *cap == 0 ? 2 : (size_t)*cap * 2;
    while (n < want) {
        n *= 2;
    }
    void *p = coh_arena_alloc(arena, n * elem);
    if (cnt != 0) {
        memcpy(p, old, cnt * elem);
    }
    *cap = (uint32_t)n;
    return p;
}

#endif
