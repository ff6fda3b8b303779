/* ids.h: numbers for things under way, so that an answer that carries the number finds the thing again. A number is never used twice in a run: an answer that
   nobody asked for, or a second one, finds nothing. */
#ifndef COH_IDS_H
#define COH_IDS_H

#include <stdlib.h>

#include "common/base/alloc.h"

typedef struct {
    void *thing; /* borrowed; NULL: the place is free */
    uint32_t generation;
    uint32_t next_vacant;
} coh_ids_slot_t;

typedef struct {
    coh_ids_slot_t *slots; /* owned */
    uint32_t cap;
    uint32_t vacant; /* first free place; cap if none */
    uint32_t cnt;    /* things under way */
} coh_ids_t;

static inline uint64_t coh_ids_put(coh_ids_t *ids, void *thing)
{
    if (ids->vacant == ids->cap) {
        uint32_t cap = ids->cap == 0 ? 64 : ids->cap * 2;
        ids->slots   = coh_realloc(ids->slots, cap * sizeof(*ids->slots));
        for (uint32_t i = ids->cap; i < cap; i++) {
            ids->slots[i] = (coh_ids_slot_t){.next_vacant = i + 1};
        }
        ids->cap = cap;
    }
    uint32_t place       = ids->vacant;
    coh_ids_slot_t *slot = &ids->slots[place];
    ids->vacant          = slot->next_vacant;
    slot->thing          = thing;
    slot->generation++;
    ids->cnt++;
    return (uint64_t)slot->generation << 32 | place;
}

/* coh_ids_get returns the thing of this number, or NULL. */
static inline void *coh_ids_get(coh_ids_t const *ids, uint64_t id)
{
    uint32_t place = (uint32_t)id;
    return place < ids->cap && ids->slots[place].generation == (uint32_t)(id >> 32)
               ? ids->slots[place].thing
               : NULL;
}

/* coh_ids_remove forgets a number that coh_ids_get knows. */
static inline void coh_ids_remove(coh_ids_t *ids, uint64_t id)
{
    coh_ids_slot_t *slot = &ids->slots[(uint32_t)id];
    slot->thing          = NULL;
    slot->next_vacant    = ids->vacant;
    ids->vacant          = (uint32_t)id;
    ids->cnt--;
}

#endif
