/* world.h: the whole state in memory (memview.h) as a chain of blocks changes it: effects of a block that turns out to be invalid can be taken back, and the state root is
   computed from what changed, through the incremental tries (mpt.h), or anew each time, whose cost is the state's size: for small states
   that is less, and it is what the incremental way is tested against.

   filled ─begin─▶ in a block ─┬─ (effects stay) ─begin─▶ in a block
                               └─ undo ─▶ as before the begin

   One thread at a time. */
#ifndef COH_WORLD_H
#define COH_WORLD_H

#include "common/state/memview.h"

typedef struct coh_world coh_world_t;

typedef enum { COH_WORLD_REBUILD, COH_WORLD_INCREMENTAL } coh_world_roots_t;

coh_world_t *coh_world_new(coh_fork_t fork, coh_world_roots_t roots);
void coh_world_free(coh_world_t *w);

/* coh_world_state is the state, to be filled before the first begin, and looked at; borrowed. Its writes go through coh_world_apply. */
coh_memview_t *coh_world_state(coh_world_t *w);

/* coh_world_begin: a block under the rules of fork. */
void coh_world_begin(coh_world_t *w, coh_fork_t fork);
void coh_world_apply(coh_world_t *w, coh_outcome_t const *outcome);
void coh_world_undo(coh_world_t *w);

/* coh_world_root computes the state root (Yellow Paper 4.1). Cost: incremental, the keys changed since the last call and the path above each */
void coh_world_root(coh_world_t *w, coh_hash_t *out);

#endif
