#include "coordinator/txmap.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

#define CAP_MIN   1024u
#define RADIX_CNT 65536u

void coh_txmap_init(coh_txmap_t *map, uint64_t seed) { *map = (coh_txmap_t){.seed = seed}; }

void coh_txmap_fini(coh_txmap_t *map)
{
    free(map->entries);
    free(map->table);
    *map = (coh_txmap_t){.seed = map->seed};
}

void coh_txmap_clear(coh_txmap_t *map)
{
    if (map->cnt != 0) {
        memset(map->table, 0, ((size_t)map->mask + 1) * sizeof(*map->table));
        map->cnt = 0;
    }
}

/* The first place to look for hash. */
static inline uint32_t home_of(coh_txmap_t const *map, coh_hash_t const *hash)
{
    return (uint32_t)coh_mix64(coh_load_u64_le(hash->b) ^ map->seed) & map->mask;
}

/* place_of finds the table place that holds hash, or the free one where it belongs. */
static uint32_t place_of(coh_txmap_t const *map, coh_hash_t const *hash)
{
    uint32_t at = home_of(map, hash);
    while (map->table[at] != 0 && !coh_hash_eq(&map->entries[map->table[at] - 1].hash, hash)) {
        at = (at + 1) & map->mask;
    }
    return at;
}

void coh_txmap_reserve(coh_txmap_t *map, uint32_t cnt)
{
    if (cnt <= map->cap) {
        return;
    }
    COH_ASSERT(cnt <= UINT32_MAX / 4);
    map->cap = map->cap == 0 ? CAP_MIN : map->cap;
    while (map->cap < cnt) {
        map->cap *= 2;
    }
    map->mask    = map->cap * 2 - 1;
    map->entries = coh_realloc(map->entries, map->cap * sizeof(*map->entries));
    free(map->table);
    map->table = coh_calloc((size_t)map->mask + 1, sizeof(*map->table));
    for (uint32_t i = 0; i < map->cnt; i++) {
        map->table[place_of(map, &map->entries[i].hash)] = i + 1;
    }
}

void coh_txmap_prefetch(coh_txmap_t const *map, coh_hash_t const *hash)
{
    if (map->table != NULL) {
        __builtin_prefetch(&map->table[home_of(map, hash)], 1);
    }
}

void coh_txmap_put(coh_txmap_t *map, coh_hash_t const *hash, uint64_t block, uint32_t idx)
{
    if (map->cnt == map->cap) {
        coh_txmap_reserve(map, map->cnt + 1);
    }
    uint32_t at = place_of(map, hash);
    if (map->table[at] == 0) {
        map->table[at] = ++map->cnt;
    }
    map->entries[map->table[at] - 1] =
        (coh_txmap_entry_t){.hash = *hash, .block = block, .idx = idx};
}

coh_txmap_entry_t const *coh_txmap_get(coh_txmap_t const *map, coh_hash_t const *hash)
{
    if (map->cnt == 0) {
        return NULL;
    }
    uint32_t at = place_of(map, hash);
    return map->table[at] == 0 ? NULL : &map->entries[map->table[at] - 1];
}

static uint32_t radix_of(coh_hash_t const *hash) { return (uint32_t)hash->b[0] << 8 | hash->b[1]; }

uint32_t *coh_txmap_sorted(coh_txmap_t const *map)
{
    /* One pass by the leading 16 bits, then insertion within each: a few entries a digit for keccak hashes. */
    uint32_t *starts = coh_calloc(RADIX_CNT + 1, sizeof(*starts));
    uint32_t *order  = coh_calloc(map->cnt, sizeof(*order));
    for (uint32_t i = 0; i < map->cnt; i++) {
        starts[radix_of(&map->entries[i].hash) + 1]++;
    }
    for (uint32_t d = 0; d < RADIX_CNT; d++) {
        starts[d + 1] += starts[d];
    }
    for (uint32_t i = 0; i < map->cnt; i++) {
        order[starts[radix_of(&map->entries[i].hash)]++] = i;
    }
    free(starts);
    for (uint32_t i = 1; i < map->cnt; i++) {
        uint32_t v = order[i];
        uint32_t j = i;
        while (j > 0 && memcmp(map->entries[v].hash.b,
                               map->entries[order[j - 1]].hash.b,
                               sizeof(coh_hash_t)) < 0) {
            order[j] = order[j - 1];
            j--;
        }
        order[j] = v;
    }
    return order;
}
