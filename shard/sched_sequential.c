/* The sequential scheduler: what is homed here runs in the order of the block, one at a time. On one shard that is sequential execution, without a retraction. Between
   shards each still runs ahead of the others, and what it read there may be retracted. */
#include "shard/sched_private.h"

coh_sched_ops_t const coh_sched_sequential = {.name = "sequential", .one_chain = true};
