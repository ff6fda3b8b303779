/* sched.h: which transaction runs next, and what state each is in. It knows nothing of what a transaction does.

   Transactions of one sender form a chain: they run in order, on one worker at a time, since each depends on the one before. Positions are handed out in
   the order of the block: a chain runs up to the last position handed out. Those that must run again come first.

   Three schedulers share the states below and differ in who is in a chain and who has to wait; results are the same by construction, since whatever they
   decide, reads are registered and retracted by the same rules (EXECUTION.md):
   - sequential: all transactions of the block that are homed here are one chain;
   - locking: nobody starts before the transactions below it that are expected to touch the same state are DONE;
   - optimistic: anybody starts, and only what turned out to be in each other's way is held so.

   A transaction:  READY(i) ─start─▶ RUNNING(i) ─finish─▶ DONE(i)
                      ▲                │  │ retract          │ retract
                      ├─────park───────┘  ▼                  │
                      │            RETRACTED(i) ─finish──▶ READY(i+1)
                      └──────────────────────────────────────┘
   A chain:  IDLE ─pop a position of it─▶ RUNNING ─nothing handed out is READY─▶ IDLE ─retract─▶ QUEUED
                              │ park, start finds it held ▲ pop
                              ▼                           │
                           PARKED ──wake, retract─────▶ QUEUED ◀─put_back─ RUNNING

   Threads: pop, start, learn, finish, park, retract and wake from any; begin, close and the rest from the communication thread. */
#ifndef COH_SCHED_H
#define COH_SCHED_H

#include "common/base/err.h"

typedef struct coh_sched coh_sched_t;

#define COH_SCHED_NONE UINT32_MAX

typedef enum {
    COH_SCHED_SEQUENTIAL,
    COH_SCHED_LOCKING,
    COH_SCHED_OPTIMISTIC,
    COH_SCHED_KIND_CNT
} coh_sched_kind_t;

char const *coh_sched_kind_str(coh_sched_kind_t kind);
/* Returns: COH_OK; COH_ENOTFOUND no scheduler is called so */
coh_err_t coh_sched_kind_parse(coh_sched_kind_t *out, char const *text);

/* What can be told of a transaction before it runs. Transactions with a trait in common (they call the same function, with the same first argument) probably
   touch the same state; with is_key, hash is itself that of a piece of state that the transaction names. */
typedef struct {
    uint64_t hash;
    bool is_key;
} coh_sched_trait_t;

#define COH_SCHED_TRAITS_MAX 16u
/* Hashes of touched state that learn looks at. */
#define COH_SCHED_TOUCHED_MAX 16u

/* Writes the traits of the transaction at pos, at most COH_SCHED_TRAITS_MAX, and returns their number. Called from any thread, between begin and close. */
typedef uint32_t coh_sched_traits_fn(void *arg, uint32_t pos, coh_sched_trait_t *out);

/* worker_cnt: threads that pop, about. */
coh_sched_t *coh_sched_new(coh_sched_kind_t kind, uint32_t worker_cnt);
void coh_sched_free(coh_sched_t *s);

/* coh_sched_begin opens a block of tx_cnt transactions at positions 0..tx_cnt-1; chain_of[pos] is the number of its chain, 0..chain_cnt-1, numbered in order
   of first appearance. chain_of is copied. */
void coh_sched_begin(coh_sched_t *s,
                     uint32_t const *chain_of,
                     uint32_t tx_cnt,
                     uint32_t chain_cnt,
                     coh_sched_traits_fn *traits,
                     void *arg);

/* Workers enclose what they do with enter and leave; enter fails while the block is closed. */
bool coh_sched_enter(coh_sched_t *s);
void coh_sched_leave(coh_sched_t *s);
/* coh_sched_close ends the block: afterwards no worker is inside, and none gets in until the next begin. */
void coh_sched_close(coh_sched_t *s);

/* coh_sched_pop takes a chain to run, or COH_SCHED_NONE: the one with the lowest position of those that are to run again, else the next position that nobody was
   given yet, if may_begin. */
uint32_t coh_sched_pop(coh_sched_t *s, bool may_begin);

/* coh_sched_start moves the chain's next READY transaction to RUNNING and returns its position and incarnation; COH_SCHED_NONE: none left, or it has to wait for
   another transaction, which will wake the chain: the caller lets go of it. */
uint32_t coh_sched_start(coh_sched_t *s, uint32_t chain, uint32_t *incarnation);
/* coh_sched_learns: whether the scheduler wants to know what this incarnation touched; then coh_sched_learn tells it, before finish: hashes of state that it
   wrote and others may have to read. */
bool coh_sched_learns(coh_sched_t *s, uint32_t incarnation);
void coh_sched_learn(coh_sched_t *s,
                     uint32_t pos,
                     uint32_t incarnation,
                     uint64_t const *touched,
                     uint32_t cnt);
/* coh_sched_is_in_order: whether transactions run in the block's order, one after the other. Then coh_sched_note_order takes the place of learn: whether this one read what the
   position before it wrote. When many did not, they stop running in order. */
bool coh_sched_is_in_order(coh_sched_t const *s);
void coh_sched_note_order(coh_sched_t *s, bool follows);
/* coh_sched_finish: the incarnation has been executed and published. True: DONE; false: it was retracted meanwhile, what it published
   must become estimates, and start will hand it out again. Chains that waited for it are woken, *woken of them; but if *next is COH_SCHED_NONE, one of them
   goes there and is the caller's, as if popped. */
bool coh_sched_finish(coh_sched_t *s,
                      uint32_t chain,
                      uint32_t pos,
                      uint32_t *woken,
                      uint32_t *next);
/* coh_sched_park gives the RUNNING transaction back; whoever has its key will wake the chain. True: the caller lets go of the chain; false: it
   was woken or retracted meanwhile, go on with start. */
bool coh_sched_park(coh_sched_t *s, uint32_t chain, uint32_t pos);
/* coh_sched_put_back gives a popped chain back, none of whose transactions is RUNNING; whoever pops next gets it, unless one that stands lower in the block is to run again. */
void coh_sched_put_back(coh_sched_t *s, uint32_t chain);
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
/* Times that a transaction was held since the last call. Any thread. */
uint64_t coh_sched_take_held(coh_sched_t *s);

#endif
