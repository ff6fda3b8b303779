/* The locking scheduler: two-phase locking in the order of the block. The locks of a transaction are the slots in its access list and what transactions alike have written,
   all known before it starts; it has got them when the transactions below it that want one of them too are DONE. They are held until DONE, so nobody waits in a circle: waits point
   downwards. What it touches beside that goes by the optimistic rules. */
#include "shard/sched_private.h"

coh_sched_ops_t const coh_sched_locking = {.name = "locking", .proof_min = 1, .is_guarded = true};
