/* kzg.h: checking of KZG proofs as EIP-4844 defines them, over c-kzg, whose sole user this is. May be called
   from any thread. */
#ifndef COH_KZG_H
#define COH_KZG_H

#include "common/base/err.h"

enum { COH_KZG_POINT_SZ = 48, COH_KZG_SCALAR_SZ = 32, COH_KZG_SETUP_SZ = 96 };

/* The only element of the ceremony's result that a proof is checked with: the generator of G2 times the
   secret, compressed. */
extern uint8_t const coh_kzg_setup[COH_KZG_SETUP_SZ];

/* coh_kzg_verify tells whether the polynomial behind commitment has the value y at z
   (verify_kzg_proof of the consensus specification for Deneb).
   Returns: COH_OK it has; COH_EMISMATCH the proof is wrong; COH_EMALFORMED a scalar is not below the
            group's order, or a point is none of G1                                Cost: about 1.2 ms */
coh_err_t coh_kzg_verify(uint8_t const commitment[COH_KZG_POINT_SZ],
                         uint8_t const z[COH_KZG_SCALAR_SZ],
                         uint8_t const y[COH_KZG_SCALAR_SZ],
                         uint8_t const proof[COH_KZG_POINT_SZ]);

/* The version of c-kzg that this was built with. */
char const *coh_kzg_library(void);

#endif
