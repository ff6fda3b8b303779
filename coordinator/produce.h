/* produce.h: what Ethereum wants of a block beside its transactions, for blocks that Cohort makes itself: by fork, calls of the system contracts that the genesis has (EIP-4788 with a beacon
   root of zero, EIP-2935, EIP-7002, EIP-7251), and before the Merge the reward. There are no withdrawals and no ommers.

   A block is sent while the one before it is still being sealed, so its parent's hash is not known then: EIP-2935's call is one whose data the shard reads when it is there
   (COH_STEP_CALL_PARENT), which makes it wait for the COMMIT before it. */
#ifndef COH_PRODUCE_H
#define COH_PRODUCE_H

#include "common/chain/schedule.h"
#include "common/config/genesis.h"
#include "common/state/block_env.h"
#include "coordinator/seal.h"

/* coh_produce_schedule is that of produced blocks (coh_replay_produced). Logs a warning for system contracts of EIP-7002 and EIP-7251 that will never be called though their fork is
   to come. */
coh_schedule_t coh_produce_schedule(coh_genesis_t const *genesis, uint64_t root_every);

/* coh_produce_steps lists the steps of the block of env. bytes: replaced; steps borrow from it.
   Out:     before_cnt  how many of them come before the transactions
   Returns: how many there are, at most COH_STEP_CNT_MAX */
uint32_t coh_produce_steps(coh_block_step_t steps[COH_STEP_CNT_MAX],
                           uint32_t *before_cnt,
                           coh_buf_t *bytes,
                           coh_schedule_t const *schedule,
                           coh_block_env_t const *env);

#endif
