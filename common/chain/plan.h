/* plan.h: a given block taken apart into what is to be executed: its environment, its transactions with who signed them, the steps before and after; and what is
   compared in the end. For whoever executes blocks: in sequence (execute.h), or in a cluster.

   A plan is used again from block to block. What it holds borrows from the block's octets or lies in the plan, and is valid until the next one. One thread at a time. */
#ifndef COH_PLAN_H
#define COH_PLAN_H

#include "common/base/arena.h"
#include "common/chain/block_err.h"
#include "common/chain/steps.h"
#include "common/state/block_env.h"

typedef struct {
    coh_tx_t tx;
    coh_addr_t sender;
    coh_hash_t hash;
} coh_plan_tx_t;

typedef struct {
    coh_block_env_t env; /* fees_exact is set: no tip is ever wrong so */
    coh_plan_tx_t *txs;
    uint32_t tx_cnt;
    uint64_t blob_gas; /* of all transactions */
    coh_steps_t before;
    coh_steps_t after;
    coh_arena_t arena;
    coh_buf_t scratch;
    coh_buf_t credits;
} coh_plan_t;

void coh_plan_init(coh_plan_t *plan);
void coh_plan_fini(coh_plan_t *plan);

/* coh_plan_make takes block apart, whose header and body have been checked, under rules.
   Returns: true; false: a transaction does not decode or is invalid whatever the state, and *fault says which and why
   Cost: a signature recovery for each transaction */
bool coh_plan_make(coh_plan_t *plan,
                   coh_block_fault_t *fault,
                   coh_block_t const *block,
                   coh_rules_t const *rules);

/* What execution makes of a block, as its header has it. */
typedef struct {
    uint64_t gas_used;
    uint64_t blob_gas_used;
    uint8_t bloom[COH_BLOOM_SZ];
    coh_hash_t tx_root;
    coh_hash_t receipts_root;
    coh_hash_t state_root;
    coh_hash_t requests_hash; /* since Prague */
} coh_block_sums_t;

/* coh_block_compare tells in what header differs from sums, the first that makes the rest differ too. */
coh_block_err_t coh_block_compare(coh_header_t const *header,
                                  coh_fork_t fork,
                                  coh_block_sums_t const *sums);

#endif
