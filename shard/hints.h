/* hints.h: what transactions alike have touched, and so whom a transaction had better wait for. It learns, from transactions that have run, which pieces of state go with
   which trait: a piece that at least half of the transactions with a trait touched is expected of the next one. The calls of one pool have their path in common
   and the reserves of its pair, payments of a token their receiver and his balance.

   Hints are only that: two tables of fixed size, in which newcomers displace others, and hashes for which nobody vouches. Who waits in vain loses time, who
   does not wait is retracted.

   Threads: learn and before from any, between begin and the next begin; begin and free while nobody else is in. */
#ifndef COH_HINTS_H
#define COH_HINTS_H

#include "shard/sched.h"

typedef struct coh_hints coh_hints_t;

/* Positions that before returns, at most. */
#define COH_HINTS_BEFORE_MAX 16u

/* proof_min: how often a piece of state must have been seen with a trait to be expected. A few MiB are allocated when something is learned first. */
coh_hints_t *coh_hints_new(uint32_t proof_min);
void coh_hints_free(coh_hints_t *h);

/* coh_hints_begin starts a block; what was learned stays. */
void coh_hints_begin(coh_hints_t *h, uint32_t tx_cnt, coh_sched_traits_fn *traits, void *arg);

/* coh_hints_learn: this incarnation of the transaction at pos touched the state with these hashes. State not known yet is taken in if is_news. */
void coh_hints_learn(coh_hints_t *h,
                     uint32_t pos,
                     uint32_t incarnation,
                     uint64_t const *touched,
                     uint32_t cnt,
                     bool is_news);

/* coh_hints_before writes to out the next lower positions that are expected to touch what pos is expected to touch, one for each trait
   that some of that state goes with, and returns their number. */
uint32_t coh_hints_before(coh_hints_t *h, uint32_t pos, uint32_t out[COH_HINTS_BEFORE_MAX]);

#endif
