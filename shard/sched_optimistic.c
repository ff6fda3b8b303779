/* The optimistic scheduler: everybody starts. State over which somebody had to run again is learned; from then on those that are expected to touch it
   run one after the other, so that a block that is one dependent chain is executed as such. Nothing is learned, and nothing looked up, as long as nobody
   runs again. */
#include "shard/sched_private.h"

static bool learns(coh_hints_t *hints, uint32_t incarnation)
{
    return incarnation != 0 || !coh_hints_is_empty(hints);
}

static bool is_news(uint32_t incarnation) { return incarnation != 0; }

static bool holds(coh_hints_t *hints) { return !coh_hints_is_empty(hints); }

/* Two sightings: one retraction may be chance. */
coh_sched_ops_t const coh_sched_optimistic = {.name      = "optimistic",
                                              .proof_min = 2,
                                              .learns    = learns,
                                              .is_news   = is_news,
                                              .holds     = holds};
