/* solo.h: a state in memory on which transactions execute one after another, each a whole one: validation, fees, execution, effects. Senders
   need no keys: who sends is said, not recovered. For benches and tests of contracts.

   One thread at a time. */
#ifndef COH_SOLO_H
#define COH_SOLO_H

#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "deploy/cohort/contracts.h"

/* What coh_solo_send and coh_solo_call spend at most: EIP-7825's cap. */
#define COH_SOLO_GAS_LIMIT COH_TX_GAS_LIMIT_MAX

typedef struct {
    coh_memview_t *state;
    coh_transition_t *transition;
    coh_block_env_t block; /* the caller may change it between transactions */
    coh_u256_t tips;       /* of all transactions so far, for the coinbase */
} coh_solo_t;

void coh_solo_init(coh_solo_t *solo, coh_fork_t fork);
void coh_solo_fini(coh_solo_t *solo);

/* coh_solo_fund makes an account without code. */
void coh_solo_fund(coh_solo_t *solo, coh_addr_t const *addr, coh_u256_t const *balance);
uint64_t coh_solo_nonce(coh_solo_t const *solo, coh_addr_t const *addr);

/* coh_solo_run executes tx, which has passed the static checks, and makes its effects part of the state. The outcome is valid until the next
   transaction. */
coh_outcome_t const *coh_solo_run(coh_solo_t *solo, coh_tx_t const *tx, coh_addr_t const *sender);

/* coh_solo_send is coh_solo_run of a transaction made for the purpose, with the sender's next nonce and COH_SOLO_GAS_LIMIT; to NULL: a creation.
   coh_solo_call does the same, but leaves the state as it was. */
coh_outcome_t const *coh_solo_send(coh_solo_t *solo,
                                   coh_addr_t const *sender,
                                   coh_addr_t const *to,
                                   uint64_t value,
                                   coh_bytes_t data);
coh_outcome_t const *coh_solo_call(coh_solo_t *solo,
                                   coh_addr_t const *sender,
                                   coh_addr_t const *to,
                                   coh_bytes_t data);

/* coh_solo_deploy creates a contract; args are its constructor's.
   Returns: COH_OK; COH_EINVAL it failed, why says how */
coh_err_t coh_solo_deploy(coh_addr_t *out,
                          coh_solo_t *solo,
                          coh_addr_t const *sender,
                          coh_contract_t const *contract,
                          coh_abi_t const *args,
                          size_t arg_cnt,
                          coh_buf_t *why);

/* True if the transaction was valid and succeeded; else why gets the reason, behind what. */
bool coh_solo_ok(coh_outcome_t const *outcome, char const *what, coh_buf_t *why);

#endif
