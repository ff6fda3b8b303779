#include "shard/overlay.h"

#include <stdlib.h>

#include "common/base/alloc.h"

void coh_overlay_init(coh_overlay_t *o, uint64_t seed) { *o = (coh_overlay_t){.seed = seed}; }

void coh_overlay_fini(coh_overlay_t *o)
{
    free(o->items);
    free(o->places);
    *o = (coh_overlay_t){.seed = o->seed};
}

void coh_overlay_clear(coh_overlay_t *o)
{
    if (o->cnt != 0) {
        memset(o->places, 0, ((size_t)o->mask + 1) * sizeof(*o->places));
        o->cnt = 0;
    }
}

/* The place of key, or the free one where it belongs. */
static uint32_t *place_of(coh_overlay_t const *o, coh_key_t const *key)
{
    uint8_t const *p = (uint8_t const *)key;
    uint64_t h       = o->seed;
    for (size_t i = 0; i < sizeof(*key); i += 8) {
        h = coh_mix64(h ^ coh_load_u64_le(p + i));
    }
    uint32_t at = (uint32_t)h & o->mask;
    while (o->places[at] != 0 && !coh_key_eq(&o->items[o->places[at] - 1].key, key)) {
        at = (at + 1) & o->mask;
    }
    return &o->places[at];
}

static void grow(coh_overlay_t *o)
{
    o->cap   = o->cap == 0 ? 32 : o->cap * 2;
    o->items = coh_realloc(o->items, o->cap * sizeof(*o->items));
    free(o->places);
    o->mask   = o->cap * 2 - 1;
    o->places = coh_calloc((size_t)o->mask + 1, sizeof(*o->places));
    for (uint32_t i = 0; i < o->cnt; i++) {
        *place_of(o, &o->items[i].key) = i + 1;
    }
}

coh_value_t *coh_overlay_find(coh_overlay_t const *o, coh_key_t const *key)
{
    if (o->cnt == 0) {
        return NULL;
    }
    uint32_t place = *place_of(o, key);
    return place != 0 ? &o->items[place - 1].value : NULL;
}

bool coh_overlay_put(coh_overlay_t *o, coh_key_t const *key, coh_value_t const *value)
{
    if (o->cnt == o->cap) {
        grow(o);
    }
    uint32_t *place = place_of(o, key);
    bool fresh      = *place == 0;
    if (fresh) {
        o->items[o->cnt].key = *key;
        *place               = ++o->cnt;
    }
    o->items[*place - 1].value = *value;
    return fresh;
}

size_t coh_overlay_bytes(coh_overlay_t const *o)
{
    return o->cap * sizeof(*o->items) + 2 * (size_t)o->cap * sizeof(*o->places);
}
