/* trie_proof.h: proofs of an account and of slots (EIP-1186), of the present state of a shard's tries or of a recent one. */
#ifndef COH_TRIE_PROOF_H
#define COH_TRIE_PROOF_H

#include "common/base/u256.h"
#include "common/trie/proof.h"

typedef struct {
    coh_u256_t slot;
    coh_buf_t nodes; /* RLP list of the nodes as strings, from the storage root on */
} coh_slot_proof_t;

typedef struct {
    coh_buf_t
        nodes; /* of the account: RLP list of the nodes as strings, from the root of the bucket on */
    coh_slot_proof_t *slots; /* owned */
    size_t slot_cnt;
} coh_trie_proof_t;

void coh_trie_proof_free(coh_trie_proof_t *proof);

/* coh_trie_prove makes the proofs of addr and of out->slots[].slot.

   In:      generation   at least the account's highest; of a state in which it was lower, it is found by the storage root
            records      undo records of the blocks after the one wanted, that block's successor first, up to the present
   Returns: COH_OK; as coh_mpt_update; COH_ECORRUPT also if no generation fits
   Cost:    what the blocks since have changed in these tries, and a walk over their records */
coh_err_t coh_trie_prove(coh_mpt_t *mpt,
                         coh_trie_proof_t *out,
                         coh_addr_t const *addr,
                         uint32_t generation,
                         coh_bytes_t const *records,
                         size_t record_cnt);

#endif
