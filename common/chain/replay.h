/* replay.h: exported chains (concatenated RLP blocks, as geth's `export` writes them) through the sequential reference. */
#ifndef COH_REPLAY_H
#define COH_REPLAY_H

#include "common/chain/branches.h"
#include "common/config/genesis.h"

/* coh_replay_schedule makes the schedule of a genesis. What geth's configuration says beyond the forks of coh_genesis_t (the DAO, the bomb's delays, the terminal total
   difficulty) is as coh_schedule_init has it. */
void coh_replay_schedule(coh_schedule_t *out, coh_genesis_t const *genesis);
/* coh_replay_produced makes of a genesis' schedule that of blocks which Cohort produces on it. root_every: as configured (block-root-every). It differs from Ethereum's rules in three things: timestamps may be equal; with root_every above 1 blocks between carry the last state root; and system
   contracts that the genesis does not have are never called, whatever may come to stand at their addresses: of EIP-7002 and EIP-7251 also those that have other code there than the
   EIP's, which might look at balances, or fail. */
void coh_replay_produced(coh_schedule_t *schedule,
                         coh_genesis_t const *genesis,
                         uint64_t root_every);
/* coh_replay_fill fills in a genesis state: a coh_branches_fill_fn; arg is the coh_genesis_t. */
void coh_replay_fill(void *arg, coh_memview_t *mv);

/* Called for each block that was imported. */
typedef void coh_replay_fn(void *arg, coh_ancestor_t const *head);

/* coh_replay imports all blocks of chain; the genesis may be among them. fn may be NULL.
   Out:     cnt  blocks imported, the genesis not counted
   Returns: NULL; else what is wrong with the block behind them. MALFORMED also of octets that are no block */
coh_block_fault_t const *coh_replay(coh_branches_t *b,
                                    uint64_t *cnt,
                                    coh_bytes_t chain,
                                    coh_replay_fn *fn,
                                    void *arg);

#endif
