/* realblock_state.h: the header's roots of the whole state, out of a recording's witness (common/trie/witness.h) and the state after the block, as whoever executed it has it:
   each changed account's storage root from the account's old leaf, then the account trie. What the recording says of a changed account or slot before the block is held
   against its leaf, too.

   Before Byzantium receipts hold the state root after each transaction. A cluster has no state in between to be read: the sequential reference (common/chain/execute.h)
   executes the block for them, and says besides what these roots are of the recorded part of the state, which is what the cluster has computed. */
#ifndef COH_REALBLOCK_STATE_H
#define COH_REALBLOCK_STATE_H

#include "common/state/memview.h"
#include "common/trie/witness.h"
#include "coordinator/seal.h"
#include "deploy/cohort/realblock_whole.h"

typedef struct {
    coh_addr_t addr;
    coh_value_t value;
} coh_realstate_account_t;

typedef struct {
    coh_addr_t addr;
    coh_u256_t slot;
    coh_u256_t value;
} coh_realstate_slot_t;

/* Accounts that exist and their slots, in no order. Zeroed before use. */
typedef struct {
    coh_realstate_account_t *accounts; /* owned */
    coh_realstate_slot_t *slots;       /* owned */
    size_t account_cnt, account_cap;
    size_t slot_cnt, slot_cap;
} coh_realstate_t;

void coh_realstate_free(coh_realstate_t *state);
/* Callbacks of a coh_store_walker_t; arg is the coh_realstate_t. */
void coh_realstate_add_account(void *arg, coh_addr_t const *addr, coh_value_t const *value);
void coh_realstate_add_slot(void *arg,
                            coh_addr_t const *addr,
                            coh_u256_t const *slot,
                            coh_u256_t const *value);

/* coh_realblock_witness makes the witness of a recording that has one; release it with coh_witness_free. */
coh_witness_t *coh_realblock_witness(coh_realblock_t const *block);

/* coh_realblock_state_root computes the root of the whole state that is after (which it sorts) where the recording knows it, and the parent's elsewhere.
   Returns: COH_OK; COH_ENOTFOUND a node is missing; COH_EINVAL the recording contradicts its witness; with err_text */
coh_err_t coh_realblock_state_root(coh_hash_t *out,
                                   coh_witness_t *witness,
                                   coh_realblock_t const *block,
                                   coh_realstate_t *after,
                                   coh_buf_t *err_text);

/* What the sequential reference makes of a block. */
typedef struct {
    coh_block_sums_t sums; /* state root: of the recorded part */
    /* Before Byzantium, with a witness; else NULL. By transaction, the state root after it. */
    coh_hash_t *part_roots;  /* owned; of the recorded part */
    coh_hash_t *whole_roots; /* owned; of the whole state */
} coh_realblock_reference_t;

/* coh_realblock_reference_run executes a block that lacks nothing, in order on this thread. Release out with coh_realblock_reference_free.
   Returns: COH_OK; COH_EINVAL the block is invalid; as coh_realblock_state_root */
coh_err_t coh_realblock_reference_run(coh_realblock_reference_t *out,
                                      coh_realblock_t const *block,
                                      coh_realblock_whole_t const *whole,
                                      coh_buf_t *err_text);
void coh_realblock_reference_free(coh_realblock_reference_t *reference);

/* coh_realblock_receipts_root is the root of the receipts of sealed, made by a cluster of a block before Byzantium with a witness: each with the root of the whole
   state in it.
   Returns: COH_OK; COH_EINVAL the cluster came to another root of the recorded part than the reference, with err_text */
coh_err_t coh_realblock_receipts_root(coh_hash_t *out,
                                      coh_realblock_t const *block,
                                      coh_sealed_t const *sealed,
                                      coh_realblock_reference_t const *reference,
                                      coh_buf_t *err_text);

#endif
