/* bls12_381.h: the curve BLS12-381 as EIP-2537 uses it, over blst, whose sole user this is (c-kzg, behind
   kzg.h, brings blst along for itself). May be called from any thread.

   Encodings are those of EIP-2537: a field element is 64 octets, big-endian, below the prime, so the first 16
   are zero; of the quadratic extension the real part comes first; a point at infinity is all zeros. Scalars
   are any 256-bit numbers. */
#ifndef COH_BLS12_381_H
#define COH_BLS12_381_H

#include "common/base/err.h"

enum {
    COH_BLS12_381_FP_SZ      = 64,
    COH_BLS12_381_FP2_SZ     = 128,
    COH_BLS12_381_G1_SZ      = 128,
    COH_BLS12_381_G2_SZ      = 256,
    COH_BLS12_381_SCALAR_SZ  = 32,
    COH_BLS12_381_G1_TERM_SZ = COH_BLS12_381_G1_SZ + COH_BLS12_381_SCALAR_SZ,
    COH_BLS12_381_G2_TERM_SZ = COH_BLS12_381_G2_SZ + COH_BLS12_381_SCALAR_SZ,
    COH_BLS12_381_PAIR_SZ    = COH_BLS12_381_G1_SZ + COH_BLS12_381_G2_SZ,
};

/* coh_bls12_381_g1_add and _g2_add add two points of the curve, whatever their order.
   Returns: COH_OK; COH_EMALFORMED a coordinate is no field element or a point is not on the curve */
coh_err_t coh_bls12_381_g1_add(uint8_t out[COH_BLS12_381_G1_SZ],
                               uint8_t const a[COH_BLS12_381_G1_SZ],
                               uint8_t const b[COH_BLS12_381_G1_SZ]);
coh_err_t coh_bls12_381_g2_add(uint8_t out[COH_BLS12_381_G2_SZ],
                               uint8_t const a[COH_BLS12_381_G2_SZ],
                               uint8_t const b[COH_BLS12_381_G2_SZ]);

/* coh_bls12_381_g1_msm and _g2_msm add up cnt terms, each a point with the scalar that multiplies it.

   In:      terms  cnt * COH_BLS12_381_G1_TERM_SZ (_G2_TERM_SZ) octets; borrowed for the call
   Returns: as the additions, also COH_EMALFORMED if a point is not in the subgroup of prime order
   Cost:    memory is a small multiple of the terms' */
coh_err_t coh_bls12_381_g1_msm(uint8_t out[COH_BLS12_381_G1_SZ], uint8_t const *terms, size_t cnt);
coh_err_t coh_bls12_381_g2_msm(uint8_t out[COH_BLS12_381_G2_SZ], uint8_t const *terms, size_t cnt);

/* coh_bls12_381_pairing_check tells whether the product of the pairings of cnt pairs is one.

   In:      pairs  cnt * COH_BLS12_381_PAIR_SZ octets; borrowed for the call
   Returns: as coh_bls12_381_g1_msm; *is_one is then unchanged                   Cost: memory is constant */
coh_err_t coh_bls12_381_pairing_check(bool *is_one, uint8_t const *pairs, size_t cnt);

/* coh_bls12_381_map_to_g1 and _map_to_g2 map a field element to a point of the subgroup (RFC 9380, section
   6.6.3, with its clearing of the cofactor).
   Returns: COH_OK; COH_EMALFORMED no field element */
coh_err_t coh_bls12_381_map_to_g1(uint8_t out[COH_BLS12_381_G1_SZ],
                                  uint8_t const in[COH_BLS12_381_FP_SZ]);
coh_err_t coh_bls12_381_map_to_g2(uint8_t out[COH_BLS12_381_G2_SZ],
                                  uint8_t const in[COH_BLS12_381_FP2_SZ]);

#endif
