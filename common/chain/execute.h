/* execute.h: executes a whole block, one transition after the other, in its order, on one thread, over a state in memory: what Ethereum says of a block, and so the
   reference for everything that executes it otherwise.

       steps before ─▶ transactions ─▶ steps after ─▶ roots ─▶ compared with the header

   All or nothing: an invalid block leaves the state as it was. */
#ifndef COH_EXECUTE_H
#define COH_EXECUTE_H

#include "common/chain/plan.h"
#include "common/chain/requests.h"
#include "common/chain/schedule.h"
#include "common/chain/world.h"
#include "common/codec/body.h"
#include "common/evm/transition.h"

typedef struct coh_execute coh_execute_t;

/* What came of one transaction. */
typedef struct {
    uint64_t gas_used;
    uint32_t status;
    coh_bytes_t receipt; /* as the trie of receipts holds it */
} coh_executed_tx_t;

/* What execution computed. Belongs to the executor, until its next block; transactions borrow from the block. */
typedef struct {
    coh_plan_t const *plan; /* the transactions */
    coh_executed_tx_t const *txs;
    uint32_t tx_cnt;
    coh_block_sums_t sums;
    coh_requests_t const *requests; /* since Prague */
} coh_executed_t;

/* What is called after each transition, before its effects become part of the state. at: 0 for steps before the transactions, 1 + its index for a transaction,
   one more than the last for steps after them (the index of EIP-7928). state: for what was read. */
typedef void coh_execute_watch_fn(void *arg,
                                  uint32_t at,
                                  coh_outcome_t const *outcome,
                                  coh_state_t const *state);

coh_execute_t *coh_execute_new(void);
void coh_execute_free(coh_execute_t *ex);
void coh_execute_set_loop(coh_execute_t *ex, coh_evm_loop_t loop);
/* The state then stutters (memview.h): each first read is answered by NEED. */
void coh_execute_set_stutter(coh_execute_t *ex, bool on);
void coh_execute_set_watch(coh_execute_t *ex, coh_execute_watch_fn *fn, void *arg);
/* tracer: of transactions; borrowed, NULL: none. */
void coh_execute_set_tracer(coh_execute_t *ex, coh_tracer_t *tracer);

/* coh_body_check checks a block's body as far as it needs no execution: its size, root of withdrawals, hash of ommers (whose validity is ommers.h). The root of
   transactions is compared when they have been executed, since a transaction that is invalid is the better reason. */
coh_block_err_t coh_body_check(coh_block_t const *block, coh_rules_t const *rules);

/* coh_execute runs block, whose header and body have been checked, over w, which is the state after its parent, and holds what comes of it against the header.
   Returns: NULL: the block is valid and its effects are in w; else, owned by the executor, what is wrong; w is as it was */
coh_block_fault_t const *coh_execute_block(coh_execute_t *ex,
                                           coh_world_t *w,
                                           coh_block_t const *block,
                                           coh_rules_t const *rules);
/* coh_execute_unchecked does the same without comparing anything with what execution computes: for whoever makes blocks. */
coh_block_fault_t const *coh_execute_unchecked(coh_execute_t *ex,
                                               coh_world_t *w,
                                               coh_block_t const *block,
                                               coh_rules_t const *rules);
/* coh_executed is what the last execution computed, if it did not fail on the way. */
coh_executed_t const *coh_execute_result(coh_execute_t const *ex);

#endif
