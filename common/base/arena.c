#include "common/base/arena.h"

#include <stdlib.h>

#include "common/base/assert.h"

void *coh_arena_alloc_slow(coh_arena_t *arena, size_t size)
{
    coh_arena_chunk_t **link = arena->cur == NULL ? &arena->first : &arena->cur->next;
    /* A kept chunk that is too small for this object waits for the next reset. */
    while (*link != NULL && (*link)->size < size) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        size_t data_sz           = COH_MAX(size, COH_ARENA_CHUNK_SZ);
        coh_arena_chunk_t *chunk = malloc(sizeof(*chunk) + data_sz);
        COH_ASSERT(chunk != NULL);
        chunk->next = NULL;
        chunk->size = data_sz;
        arena->total += data_sz;
        *link = chunk;
    }
    arena->cur  = *link;
    arena->used = size;
    return arena->cur->data;
}

void coh_arena_reset(coh_arena_t *arena, size_t keep_bytes)
{
    size_t kept              = 0;
    coh_arena_chunk_t **link = &arena->first;
    while (*link != NULL) {
        coh_arena_chunk_t *chunk = *link;
        if (kept + chunk->size > keep_bytes && kept != 0) {
            *link = chunk->next;
            arena->total -= chunk->size;
            free(chunk);
        } else {
            kept += chunk->size;
            link = &chunk->next;
        }
    }
    arena->cur  = arena->first;
    arena->used = 0;
}

void coh_arena_free(coh_arena_t *arena)
{
    while (arena->first != NULL) {
        coh_arena_chunk_t *chunk = arena->first;
        arena->first             = chunk->next;
        free(chunk);
    }
    *arena = COH_ARENA_INIT;
}
