/* verify_chain.h: stored blocks (decision records, coordinator/decision_log.h) held against what executing them comes to: one block after the other on one thread, from the genesis, by the sequential
   reference (common/chain) over a state in memory. Every header field, root and receipt, and what a record says beside the block: senders, gas, status, logs, burnt fees.

   Blocks that were imported stand under Ethereum's rules, those that Cohort made under its own (coh_replay_produced); a record tells which it is by its body's rest, which only an imported block has. */
#ifndef COH_VERIFY_CHAIN_H
#define COH_VERIFY_CHAIN_H

#include "common/base/buf.h"
#include "common/config/genesis.h"

typedef struct coh_verify coh_verify_t;

/* coh_verify_new begins at genesis (borrowed until free). root_every: block-root-every with which the blocks were produced.
   Returns: NULL if its state has another root than its header
   Cost:    memory for the whole state, as it grows */
coh_verify_t *coh_verify_new(coh_genesis_t const *genesis, uint64_t root_every);
void coh_verify_free(coh_verify_t *v);

/* What was verified last, at first the genesis. */
typedef struct {
    uint64_t number;
    coh_hash_t hash;
    uint64_t tx_cnt, gas; /* so far */
} coh_verified_t;
coh_verified_t coh_verify_last(coh_verify_t const *v);

/* coh_verify_block verifies the record of the next block.
   Returns: true; false: something differs, and why says what (without the block's number); nothing can be verified behind it */
bool coh_verify_block(coh_verify_t *v, coh_bytes_t record, coh_buf_t *why);

#endif
