/* sched.h: which transaction runs next, and what state each is in. It knows nothing of what a transaction does.

   Transactions of one sender form a chain: they run in order, on one worker at a time, since each depends on the one before. Chains start
   in the order of their first transactions; those that must run again come first.

   A transaction:  READY(i) ─start─▶ RUNNING(i) ─finish─▶ DONE(i)
                      ▲                │  │ retract          │ retract
                      ├─────park───────┘  ▼                  │
                      │            RETRACTED(i) ─finish──▶ READY(i+1)
                      └──────────────────────────────────────┘
   A chain:  QUEUED ─pop─▶ RUNNING ─nothing READY left─▶ IDLE ─retract─▶ QUEUED
                              │ park ▲ pop
                              ▼      │
                           PARKED ─wake, retract─▶ QUEUED

   Threads: pop, start, finish, park, retract and wake from any; begin, close and the rest from the communication thread. */
#ifndef COH_SCHED_H
#define COH_SCHED_H

#include "common/base/err.h"

typedef struct coh_sched coh_sched_t;

#define COH_SCHED_NONE UINT32_MAX

coh_sched_t *coh_sched_new(void);
void coh_sched_free(coh_sched_t *s);

/* coh_sched_begin opens a block of tx_cnt transactions at positions 0..tx_cnt-1; chain_of[pos] is the number of its chain, 0..chain_cnt-1, numbered in order
   of first appearance. chain_of is copied. */
void coh_sched_begin(coh_sched_t *s, uint32_t const *chain_of, uint32_t tx_cnt, uint32_t chain_cnt);

/* Workers enclose what they do with enter and leave; enter fails while the block is closed. */
bool coh_sched_enter(coh_sched_t *s);
void coh_sched_leave(coh_sched_t *s);
/* coh_sched_close ends the block: afterwards no worker is inside, and none gets in until the next begin. */
void coh_sched_close(coh_sched_t *s);

/* coh_sched_pop takes a chain to run, or COH_SCHED_NONE. */
uint32_t coh_sched_pop(coh_sched_t *s);

/* coh_sched_start moves the chain's next READY transaction to RUNNING and returns its position and incarnation; COH_SCHED_NONE: none left, the caller lets go of the chain. */
uint32_t coh_sched_start(coh_sched_t *s, uint32_t chain, uint32_t *incarnation);
/* coh_sched_finish: the incarnation has been executed and published. True: DONE; false: it was retracted meanwhile, what it published
   must become estimates, and start will hand it out again. */
bool coh_sched_finish(coh_sched_t *s, uint32_t chain, uint32_t pos);
/* coh_sched_park gives the RUNNING transaction back; whoever has its key will wake the chain. True: the caller lets go of the chain; false: it
   was woken or retracted meanwhile, go on with start. */
bool coh_sched_park(coh_sched_t *s, uint32_t chain, uint32_t pos);
/* coh_sched_wake makes a parked chain run again. Harmless if it is not parked. */
void coh_sched_wake(coh_sched_t *s, uint32_t chain);
/* coh_sched_retract: that incarnation's reads no longer hold. Ignored if the transaction has moved on. True: it was DONE, and
   the caller must turn what it published into estimates. */
bool coh_sched_retract(coh_sched_t *s, uint32_t pos, uint32_t incarnation);

/* coh_sched_lock_tx and unlock guard what others may add to a transaction while its chain runs (remote values); returns the current incarnation. */
uint32_t coh_sched_lock_tx(coh_sched_t *s, uint32_t pos);
void coh_sched_unlock_tx(coh_sched_t *s, uint32_t pos);

uint32_t coh_sched_chain_of(coh_sched_t const *s, uint32_t pos);
/* All transactions are DONE and no worker runs one. It can change back only by a retract. */
bool coh_sched_all_done(coh_sched_t const *s);

#endif
