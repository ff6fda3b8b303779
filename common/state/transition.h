/* transition.h: the state transition function of one transaction (Yellow Paper 6), over a view. It runs until it is DONE, or until it
   NEEDs a key that is not at hand; it never blocks and holds no state of its own but what the caller passes again.
   Plain value transfers now, and creations without init code, which run no code either and leave an account without any. A receiver with
   code is where the EVM enters. */
#ifndef COH_TRANSITION_H
#define COH_TRANSITION_H

#include "common/state/view.h"
#include "common/state/write.h"

/* What a block sets for its transactions. */
typedef struct {
    uint64_t number;
    uint64_t timestamp;
    uint64_t gas_limit;
    coh_u256_t base_fee; /* 0 before London */
    coh_addr_t coinbase;
    coh_fork_t fork;
    bool fees_exact; /* write tips to the coinbase instead of summing them */
} coh_block_env_t;

typedef enum { COH_TRANSITION_DONE, COH_TRANSITION_NEED } coh_transition_status_t;

/* Sender, receiver or created account, coinbase. */
#define COH_TRANSFER_WRITES_MAX 3

/* coh_transition_run executes tx from sender in block. out->writes must have room for COH_TRANSFER_WRITES_MAX.
   On NEED nothing of out is valid, and running it again starts over. Pure but for the view; any thread. */
coh_transition_status_t coh_transition_run(coh_outcome_t *out,
                                           coh_block_env_t const *block,
                                           coh_tx_t const *tx,
                                           coh_addr_t const *sender,
                                           coh_view_t *view);

#endif
