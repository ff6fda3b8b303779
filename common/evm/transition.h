/* transition.h: the state transition function of one transaction (Yellow Paper 6), over a view: validation at its turn, fees, execution,
   refunds; or of a step, one of the things that a block does to the state beside its transactions. It runs until it is DONE, or until it NEEDs a key that is not at hand; it never blocks.

   A transition object holds what execution has reached, so that it goes on at the same instruction when the key has come; whoever
   parks too many may drop one and begin it again later: the result is the same.

   idle ─begin─▶ running ─run: NEED─▶ running
                    └────run: DONE─▶ idle (outcome readable until the next begin)

   One thread at a time. */
#ifndef COH_TRANSITION_H
#define COH_TRANSITION_H

#include "common/codec/step.h"
#include "common/evm/evm.h"

typedef enum { COH_TRANSITION_DONE, COH_TRANSITION_NEED } coh_transition_status_t;

typedef struct coh_transition coh_transition_t;

coh_transition_t *coh_transition_new(void);
void coh_transition_free(coh_transition_t *t);
/* coh_transition_set_loop and coh_transition_set_tracer hold for what begins afterwards; tracer: borrowed, NULL: none. */
void coh_transition_set_loop(coh_transition_t *t, coh_evm_loop_t loop);
void coh_transition_set_tracer(coh_transition_t *t, coh_tracer_t *tracer);

/* coh_transition_set_moves likewise: see coh_evm_move_t; borrowed. */
void coh_transition_set_moves(coh_transition_t *t, coh_evm_move_t const *moves, uint32_t cnt);

/* coh_transition_set_slice: see coh_evm_set_slice. NEED may then mean only that: run it again. */
void coh_transition_set_slice(coh_transition_t *t, uint64_t instructions);

/* coh_transition_begin prepares tx from sender in block over view; all borrowed until DONE, or the next begin. It checks every rule that
   depends on state or block, and of the static ones (coh_tx_check_static) those on gas and sizes; the others it assumes to be checked. */
void coh_transition_begin(coh_transition_t *t,
                          coh_block_env_t const *block,
                          coh_tx_t const *tx,
                          coh_addr_t const *sender,
                          coh_view_t *view);
/* coh_transition_begin_step prepares a step in its place (the decoded step and what it borrows from likewise borrowed). Its outcome has verdict OK, and as status a coh_step_result_t; no gas,
   tip or logs, which no receipt has. A call's output is there, and its effects only if it RAN. Steps are not traced. */
void coh_transition_begin_step(coh_transition_t *t,
                               coh_block_env_t const *block,
                               coh_step_t const *step,
                               coh_view_t *view);
/* coh_transition_begin_call prepares a call as eth_call defines it: the nonce is the sender's own, whatever tx says, and the sender may have code; neither the block's gas limit nor
   EIP-7825 bounds the gas. Fees are paid and funds are checked as ever, but with a max_fee of 0 the base fee, and with a max_fee_per_blob_gas of 0 the blob base fee, counts, and reads, as 0. tx
   and block are copied, what tx borrows is borrowed. */
void coh_transition_begin_call(coh_transition_t *t,
                               coh_block_env_t const *block,
                               coh_tx_t const *tx,
                               coh_addr_t const *sender,
                               coh_view_t *view);
/* coh_transition_begin_simulated prepares a call as eth_simulateV1 defines it: the sender may have code, and neither the block's gas limit nor EIP-7825 bounds the gas. validates: nonce and fees
   are checked as those of a transaction; else the nonce is the sender's own, and wraps, and who offers no fee pays none, though code sees the block's base fee. tx and block are copied, what tx borrows
   is borrowed. */
void coh_transition_begin_simulated(coh_transition_t *t,
                                    coh_block_env_t const *block,
                                    coh_tx_t const *tx,
                                    coh_addr_t const *sender,
                                    coh_view_t *view,
                                    bool validates);
coh_transition_status_t coh_transition_run(coh_transition_t *t);
/* coh_transition_outcome: after DONE, until the next begin; what it points to lives as long. */
coh_outcome_t const *coh_transition_outcome(coh_transition_t const *t);
/* coh_transition_halt says how the outermost frame ended, coh_transition_gas_max the gas that was used at most: before refunds (EIP-3529), the floor of EIP-7623 included.
   Of an outcome whose verdict is OK. */
coh_evm_status_t coh_transition_halt(coh_transition_t const *t);
uint64_t coh_transition_gas_max(coh_transition_t const *t);
/* The overlay, for the read set (coh_state_reads). */
coh_state_t const *coh_transition_state(coh_transition_t const *t);
/* Octets that this object holds beyond its fixed size, for whoever bounds the memory of parked ones. */
size_t coh_transition_bytes(coh_transition_t const *t);

#endif
