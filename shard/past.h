/* past.h: what the state was: for each of the last committed blocks, the value that every key it changed had before. So the value of a key at an earlier block is the one
   before the oldest change above that block; without such a change it is the present one, which this module does not know (mvstore.h, or the disk).

   Changes lie in a ring, oldest first, and are found by a hash of their key: adding one is a write behind the last and a store into the table; forgetting a
   block is moving the ring's end. Bounded by blocks and by octets, whichever is less. After a restart the past begins anew.

   Communication thread only. */
#ifndef COH_PAST_H
#define COH_PAST_H

#include "common/base/err.h"
#include "common/state/key.h"

typedef struct coh_past coh_past_t;

/* coh_past_new remembers at most block_max blocks and about byte_max octets of changes; memory is taken as it is needed. seed: of the hash, as of coh_mvstore_new. */
coh_past_t *coh_past_new(uint64_t block_max, uint64_t byte_max, uint64_t seed);
void coh_past_free(coh_past_t *past);

/* coh_past_start forgets everything: head is the last committed block. */
void coh_past_start(coh_past_t *past, uint64_t head);
/* coh_past_begin: the changes that are added from here on are those of block head + 1, which becomes the head. */
void coh_past_begin(coh_past_t *past);

/* coh_past_add: old is what key (ACCOUNT, SLOT) had before the block; once for each key and block. hash is coh_past_hash of it. coh_past_prefetch, some keys ahead, gets the
   cache line that it needs. */
uint64_t coh_past_hash(coh_past_t const *past, coh_key_t const *key);
void coh_past_prefetch(coh_past_t const *past, uint64_t hash);
void coh_past_add(coh_past_t *past, uint64_t hash, coh_key_t const *key, coh_value_t const *old);

/* coh_past_forget: of these accounts (each once) and their storage nothing before the head is known, for they came from another shard: they are GONE below that. Remembered until all
   blocks up to the head are forgotten. Cost: that of sorting all such */
void coh_past_forget(coh_past_t *past, coh_addr_t const *addrs, size_t cnt);

uint64_t coh_past_head(coh_past_t const *past);
/* coh_past_first is the lowest block that can be asked for. */
uint64_t coh_past_first(coh_past_t const *past);

typedef enum {
    COH_PAST_PRESENT, /* it has not changed since */
    COH_PAST_FOUND,   /* *out is what it was */
    COH_PAST_GONE,    /* block is below the first */
} coh_past_status_t;

/* coh_past_find: what key had when block was committed.        Cost: a cache miss for each later change of the key, and few more */
coh_past_status_t coh_past_find(coh_past_t const *past,
                                coh_key_t const *key,
                                uint64_t block,
                                coh_value_t *out);

/* ---- dev chains: snapshots, and going back ---- */

/* coh_past_mark: the place behind the last change. coh_past_holds: all changes from mark on are held. coh_past_since: how many these are. */
uint64_t coh_past_mark(coh_past_t const *past);
bool coh_past_holds(coh_past_t const *past, uint64_t mark);
uint64_t coh_past_since(coh_past_t const *past, uint64_t mark);
/* coh_past_visit calls fn for each change from mark on, oldest first: key had old before it. mark is held, as is all behind it. */
typedef void coh_past_visit_fn(void *arg, coh_key_t const *key, coh_value_t const *old);
void coh_past_visit(coh_past_t const *past, uint64_t mark, coh_past_visit_fn *fn, void *arg);
/* coh_past_rewind: the last committed block has the number head (at most the present one) from here on; the changes of blocks above count as its own. */
void coh_past_rewind(coh_past_t *past, uint64_t head);

/* Octets held at present. */
size_t coh_past_bytes(coh_past_t const *past);

#endif
