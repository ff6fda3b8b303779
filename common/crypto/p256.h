/* p256.h: ECDSA signatures over secp256r1 (NIST P-256, FIPS 186-5), over OpenSSL. May be called from any
   thread. */
#ifndef COH_P256_H
#define COH_P256_H

#include "common/base/err.h"

/* All big-endian. */
typedef struct {
    uint8_t digest[32];
    uint8_t r[32], s[32];
    uint8_t x[32], y[32]; /* the public key */
} coh_p256_t;

/* coh_p256_verify checks a signature of a digest; any s below the group's order will do.
   Returns: COH_OK; COH_ESIG the signature is wrong, r or s out of range, a coordinate of the key no field
            element, or the key not on the curve                                    Cost: about 65 us */
coh_err_t coh_p256_verify(coh_p256_t const *in);

#endif
