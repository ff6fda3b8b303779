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
    /* Whether what this incarnation touched is to be learned, and whether state that nobody knew before is. */
    bool (*learns)(coh_hints_t *hints, uint32_t incarnation);
    bool (*is_news)(uint32_t incarnation);
    /* Whether hints are to be looked at. */
    bool (*holds)(coh_hints_t *hints);
} coh_sched_ops_t;

extern coh_sched_ops_t const coh_sched_sequential;
extern coh_sched_ops_t const coh_sched_locking;
extern coh_sched_ops_t const coh_sched_optimistic;

#endif
