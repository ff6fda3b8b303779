/* sim_oracle.h: what must be true of a history, whatever the order of its events. The oracle listens to the messages between ranks and to what clients are
   told, knows the candidate order of each block from BLOCK, and executes each committed block by the reference model. From then on everything that
   anybody says of that block, in this run or after any number of crashes, must agree.

   Checked here: a block number is decided once; what was committed stays; blocks are decided in order; the decision record is durable before COMMIT or any answer that
   shows the block; the redo record is durable before VOTE yes; outcomes, gas, receipts, headers, nonces and balances equal sequential execution; a reader sees one block. */
#ifndef COH_SIM_ORACLE_H
#define COH_SIM_ORACLE_H

#include "common/client/ops.h"
#include "common/codec/block.h"
#include "tests/sim/sim_cluster.h"
#include "tests/support/reference.h"

typedef struct sim_oracle sim_oracle_t;

typedef struct {
    bool
        look_at_disks; /* false: only what ranks and clients can see (with planted bugs, to see that it suffices) */
    uint64_t root_every; /* as configured */
    bool import; /* blocks are given, not produced: environments are whatever the importer says */
} sim_oracle_params_t;

/* A transaction of a committed block, left out or not. */
typedef struct {
    coh_tx_t tx; /* borrows from the oracle */
    coh_hash_t hash;
    coh_addr_t sender;
    uint32_t home; /* rank */
    bool
        is_reward; /* instead of a transaction: the step that a produced block ends with before the Merge */
    bool voted; /* its home has reported on it: */
    uint32_t verdict;
    uint32_t status;
    uint64_t gas_used;
    /* By the reference: */
    coh_ref_outcome_t outcome;
    uint32_t place; /* among the included ones */
    uint64_t cumulative_gas;
    uint64_t block;
} sim_oracle_tx_t;

sim_oracle_t *sim_oracle_new(sim_t *sim,
                             coh_genesis_t const *genesis,
                             sim_oracle_params_t const *params);
void sim_oracle_free(sim_oracle_t *oracle);

void sim_oracle_on_frame(sim_oracle_t *oracle, uint32_t src, uint32_t dst, coh_bytes_t frame);
void sim_oracle_on_publication(sim_oracle_t *oracle, coh_pub_t const *pub);

/* sim_oracle_learn: somebody was told that block number is committed. */
void sim_oracle_learn(sim_oracle_t *oracle, uint64_t number);

/* The last block known to be committed, and the state after a committed block (genesis included). */
uint64_t sim_oracle_head(sim_oracle_t const *oracle);
coh_ref_t const *sim_oracle_state(sim_oracle_t const *oracle, uint64_t number);
/* The environment that the next produced block will have (its gas used is 0). */
coh_ref_block_t sim_oracle_next_block(sim_oracle_t const *oracle);
/* sim_oracle_find returns the included transaction of a committed block, or NULL. */
sim_oracle_tx_t const *sim_oracle_find(sim_oracle_t const *oracle, coh_hash_t const *hash);
size_t sim_oracle_included_cnt(sim_oracle_t const *oracle);
/* What was drawn: included transactions by type (coh_tx_type_t), and those of delegated senders and receivers. */
typedef struct {
    uint64_t type[COH_TX_TYPE_CNT];
    uint64_t from_delegated;
    uint64_t to_delegated;
    uint64_t failed;
} sim_drawn_t;
sim_drawn_t sim_oracle_drawn(sim_oracle_t const *oracle);
size_t sim_oracle_left_out_cnt(sim_oracle_t const *oracle);

/* Answers to clients, held against what the oracle knows. */
void sim_oracle_check_receipt(sim_oracle_t *oracle, coh_op_receipt_t const *receipt);
void sim_oracle_check_receipts(sim_oracle_t *oracle,
                               uint64_t number,
                               coh_hash_t const *hash,
                               coh_op_receipt_t const *receipts,
                               uint32_t cnt);
void sim_oracle_check_block(sim_oracle_t *oracle, coh_op_block_answer_t const *answer);
void sim_oracle_check_account(sim_oracle_t *oracle,
                              uint64_t number,
                              coh_addr_t const *addr,
                              coh_op_account_t const *account);
void sim_oracle_check_proof(sim_oracle_t *oracle,
                            coh_addr_t const *addr,
                            coh_op_get_proof_answer_t const *answer);
void sim_oracle_check_hash(sim_oracle_t *oracle, uint64_t number, coh_hash_t const *hash);

/* sim_oracle_check_supply: nothing was made or lost up to the head. */
void sim_oracle_check_supply(sim_oracle_t *oracle);

#endif
