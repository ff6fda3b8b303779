/* kzg.h: checking of KZG proofs as EIP-4844 and EIP-7594 define them, over c-kzg, whose sole user this is. May be called
   from any thread. */
#ifndef COH_KZG_H
#define COH_KZG_H

#include "common/base/err.h"

enum {
    COH_KZG_POINT_SZ  = 48,
    COH_KZG_SCALAR_SZ = 32,
    COH_KZG_SETUP_SZ  = 96,
    COH_KZG_BLOB_SZ   = 131072,
    COH_KZG_CELL_CNT  = 128, /* of a blob, each with a proof (EIP-7594) */
};

/* The only element of the ceremony's result that a proof for a point or a blob is checked with: the generator of G2
   times the secret, compressed. */
extern uint8_t const coh_kzg_setup[COH_KZG_SETUP_SZ];

/* coh_kzg_verify tells whether the polynomial behind commitment has the value y at z
   (verify_kzg_proof of the consensus specification for Deneb).
   Returns: COH_OK it has; COH_EMISMATCH the proof is wrong; COH_EMALFORMED a scalar is not below the
            group's order, or a point is none of G1                                Cost: about 1.2 ms */
coh_err_t coh_kzg_verify(uint8_t const commitment[COH_KZG_POINT_SZ],
                         uint8_t const z[COH_KZG_SCALAR_SZ],
                         uint8_t const y[COH_KZG_SCALAR_SZ],
                         uint8_t const proof[COH_KZG_POINT_SZ]);

/* coh_kzg_verify_blobs tells whether each of cnt blobs is the one that its commitment and proof are about
   (verify_blob_kzg_proof_batch). All three arrays stand without gaps.
   Returns: COH_OK; COH_EMISMATCH a proof is wrong; COH_EMALFORMED a field element is not below the group's order, or
            a point is none of G1                      Cost: about 0.5 ms, and 1.5 ms for each blob */
coh_err_t coh_kzg_verify_blobs(uint8_t const *blobs,
                               uint8_t const *commitments,
                               uint8_t const *proofs,
                               size_t cnt);

/* coh_kzg_verify_cells tells it by proofs for each of the 128 cells of the extended blobs, blob by blob
   (verify_cell_kzg_proof_batch, EIP-7594). Returns as above.      Cost: about 30 ms for each blob */
coh_err_t coh_kzg_verify_cells(uint8_t const *blobs,
                               uint8_t const *commitments,
                               uint8_t const *proofs,
                               size_t cnt);

/* The version of c-kzg that this was built with. */
char const *coh_kzg_library(void);

#endif
