/* The optimistic scheduler: everybody starts. Once one in so many transactions has had to run again, the state over which they did is learned, and those that are expected to touch
   it run one after the other (sched.c, the guard): so a block that is one dependent chain is executed as such. Nothing is learned, and nothing looked up, as
   long as that pays less than it costs. */
#include "shard/sched_private.h"

/* Two sightings: one retraction may be chance. */
coh_sched_ops_t const coh_sched_optimistic = {.name = "optimistic", .proof_min = 2};
