/* txmap.h: transaction hash -> two numbers, in memory: an insert-only open-addressing map over a growing array of entries. It is filled, searched, written
   out in key order, and dropped as a whole; single entries never leave. Whoever needs bounded memory keeps two and drops the older.
   Hashes come from clients, who can choose their leading bits; a secret seed keeps the table's chains short all the same. */
#ifndef COH_TXMAP_H
#define COH_TXMAP_H

#include "common/base/base.h"

typedef struct {
    coh_hash_t hash;
    uint64_t block;
    uint32_t idx;
} coh_txmap_entry_t;

typedef struct {
    coh_txmap_entry_t *entries; /* owned; in order of insertion */
    uint32_t *table;            /* owned; entry + 1, 0 is free; a power of two, at most half full */
    uint32_t cnt;
    uint32_t cap;
    uint32_t mask;
    uint64_t seed;
} coh_txmap_t;

void coh_txmap_init(coh_txmap_t *map, uint64_t seed);
void coh_txmap_fini(coh_txmap_t *map);
/* coh_txmap_clear empties the map and keeps its memory. */
void coh_txmap_clear(coh_txmap_t *map);
/* coh_txmap_reserve makes room for cnt entries in all. */
void coh_txmap_reserve(coh_txmap_t *map, uint32_t cnt);
/* coh_txmap_prefetch starts fetching the place of hash in a map larger than the caches; for some puts ahead. */
void coh_txmap_prefetch(coh_txmap_t const *map, coh_hash_t const *hash);
/* coh_txmap_put inserts; an entry of the same hash gets the new numbers. */
void coh_txmap_put(coh_txmap_t *map, coh_hash_t const *hash, uint64_t block, uint32_t idx);
/* coh_txmap_get returns the entry, borrowed until the next put, or NULL. */
coh_txmap_entry_t const *coh_txmap_get(coh_txmap_t const *map, coh_hash_t const *hash);
/* coh_txmap_sorted returns the places of all entries ascending by hash; the caller frees it. Cost: linear for hashes that spread evenly */
uint32_t *coh_txmap_sorted(coh_txmap_t const *map);

#endif
