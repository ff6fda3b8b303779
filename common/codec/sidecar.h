/* sidecar.h: the blobs that a blob transaction is sent with. Who sends one sends its network form, of
   which blocks, hashes and the signature know only the transaction:

       0x03 || rlp([transaction, blobs, commitments, proofs])                 EIP-4844: a proof for each blob
       0x03 || rlp([transaction, 1, blobs, commitments, cell_proofs])         EIP-7594: 128 for each blob

   Bounded: COH_TX_NETWORK_MAX octets. Nothing is copied but for the check of the proofs. Any thread. */
#ifndef COH_SIDECAR_H
#define COH_SIDECAR_H

#include "common/codec/tx.h"

/* Largest network form accepted: geth's limit, room for the 6 blobs of a transaction. */
#define COH_TX_NETWORK_MAX ((size_t)1048576)

typedef struct {
    coh_bytes_t
        tx; /* the transaction's list with its header, the type before it not: at least one octet of raw stands there */
    bool has_cell_proofs;
    coh_rlp_t blobs; /* this and the next two: payloads of the lists */
    coh_rlp_t commitments;
    coh_rlp_t proofs;
} coh_sidecar_t;

/* coh_sidecar_is_network: whether raw, a blob transaction if it is anything, is of the network form. */
bool coh_sidecar_is_network(coh_bytes_t raw);

/* coh_sidecar_split finds the parts of raw, which out borrows from.
   Returns: COH_TX_OK; TOO_LARGE; MALFORMED also of a version that there is not */
coh_tx_err_t coh_sidecar_split(coh_sidecar_t *out, coh_bytes_t raw);

/* coh_sidecar_check holds the blobs against tx, which came with them: as many blobs and commitments as tx has hashes, each the versioned hash
   of its commitment (0x01 and the end of its SHA-256, EIP-4844), and the proofs.
   Returns: COH_TX_OK; BLOB_SIDECAR the numbers or a size do not fit; BLOB_HASH; BLOB_PROOF
   Cost: see coh_kzg_verify_blobs */
coh_tx_err_t coh_sidecar_check(coh_sidecar_t const *sidecar, coh_tx_t const *tx);

#endif
