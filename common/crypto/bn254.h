/* bn254.h: the curve alt_bn128 of EIP-196 and EIP-197: y^2 = x^3 + 3 over a 254-bit prime field, with
   its optimal ate pairing. Ours, on 64-bit limbs. Inputs are public, so nothing runs in constant time.
   Pure; all functions may be called from any thread.

   Points are encoded as the EIPs do: coordinates of 32 octets, big-endian, below the field's prime; an
   element of the quadratic extension has its imaginary part first; (0, 0) is the point at infinity. */
#ifndef COH_BN254_H
#define COH_BN254_H

#include "common/base/err.h"

enum {
    COH_BN254_G1_SZ     = 64,
    COH_BN254_G2_SZ     = 128,
    COH_BN254_SCALAR_SZ = 32,
    COH_BN254_PAIR_SZ   = COH_BN254_G1_SZ + COH_BN254_G2_SZ,
};

/* coh_bn254_add adds two points (EIP-196).
   Returns: COH_OK; COH_EMALFORMED a coordinate is no field element or a point is not on the curve */
coh_err_t coh_bn254_add(uint8_t out[COH_BN254_G1_SZ],
                        uint8_t const a[COH_BN254_G1_SZ],
                        uint8_t const b[COH_BN254_G1_SZ]);

/* coh_bn254_mul multiplies a point by any 256-bit number (EIP-196).
   Returns: as coh_bn254_add                                                        Cost: about 30 us */
coh_err_t coh_bn254_mul(uint8_t out[COH_BN254_G1_SZ],
                        uint8_t const point[COH_BN254_G1_SZ],
                        uint8_t const scalar[COH_BN254_SCALAR_SZ]);

/* coh_bn254_pairing_check tells whether the product of the pairings of cnt pairs, each a point of G1 and
   one of G2, is one (EIP-197); the empty product is.

   In:      pairs  cnt * COH_BN254_PAIR_SZ octets; borrowed for the call
   Returns: COH_OK; COH_EMALFORMED a coordinate is no field element, a point is not on its curve, or one
            of the second is not in the subgroup of prime order; *is_one is then unchanged
   Cost:    memory is constant; time about 0.3 ms + 0.17 ms a pair */
coh_err_t coh_bn254_pairing_check(bool *is_one, uint8_t const *pairs, size_t cnt);

/* coh_bn254_force_backend selects how products in the field are made, "plain" or "adx", for tests; false if
   this processor lacks it. */
bool coh_bn254_force_backend(char const *name);

#endif
