/* overlay.h: state by key, for one call: what it has read, with what overrides and transactions made of it. A hash table without deletion. One thread at a time. */
#ifndef COH_OVERLAY_H
#define COH_OVERLAY_H

#include "common/state/key.h"

typedef struct {
    coh_key_t key;
    coh_value_t value;
} coh_overlay_item_t;

typedef struct {
    coh_overlay_item_t *items; /* owned; cnt, in the order of arrival */
    uint32_t cnt, cap;
    uint32_t *places; /* owned; by hash: number of the item plus 1 */
    uint32_t mask;
    uint64_t seed; /* of the hash: unpredictable to whoever chooses keys */
} coh_overlay_t;

/* coh_overlay_init makes an empty one; coh_overlay_clear empties it and keeps its memory. */
void coh_overlay_init(coh_overlay_t *o, uint64_t seed);
void coh_overlay_fini(coh_overlay_t *o);
void coh_overlay_clear(coh_overlay_t *o);

/* coh_overlay_find: valid until the next put; NULL: not there. coh_overlay_put adds key or replaces its value; true if it was not there. */
coh_value_t *coh_overlay_find(coh_overlay_t const *o, coh_key_t const *key);
bool coh_overlay_put(coh_overlay_t *o, coh_key_t const *key, coh_value_t const *value);

/* Octets held. */
size_t coh_overlay_bytes(coh_overlay_t const *o);

#endif
