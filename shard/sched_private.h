/* sched_private.h: the common part of the schedulers (sched.c), and in what they differ. */
#ifndef COH_SCHED_PRIVATE_H
#define COH_SCHED_PRIVATE_H

#include <stdatomic.h>

#include "common/base/spin.h"
#include "shard/hints.h"
#include "shard/sched.h"

typedef struct {
    char const *name;
    uint32_t proof_min; /* of the hints; 0: it takes none */
    bool one_chain;     /* all transactions are one, in the order of the block */
    bool is_guarded;    /* hints count from the start; else from when transactions run again */
} coh_sched_ops_t;

extern coh_sched_ops_t const coh_sched_sequential;
extern coh_sched_ops_t const coh_sched_locking;
extern coh_sched_ops_t const coh_sched_optimistic;

#endif
