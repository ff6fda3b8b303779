/* ecdsa.h: secp256k1 signatures as Ethereum uses them. The sole user of libsecp256k1. All
   functions may be called from any thread. */
#ifndef COH_ECDSA_H
#define COH_ECDSA_H

#include "common/base/err.h"

/* A recoverable signature: r and s big-endian, parity of R's y coordinate. */
typedef struct {
    uint8_t r[32];
    uint8_t s[32];
    uint8_t parity;
} coh_sig_t;

/* coh_ecdsa_recover finds the address whose key signed digest (Yellow Paper, Appendix F).
   It accepts any s below the group order; the low-s rule of EIP-2 is the transaction's business.
   Returns: COH_OK; COH_ESIG r or s out of range, or no such point        Cost: about 50 us */
coh_err_t coh_ecdsa_recover(coh_addr_t *out, coh_hash_t const *digest, coh_sig_t const *sig);

/* coh_ecdsa_sign signs digest (RFC 6979 nonce, low s). Returns COH_ESIG if secret is no valid
   key. */
coh_err_t coh_ecdsa_sign(coh_sig_t *out, coh_hash_t const *digest, uint8_t const secret[32]);

/* coh_ecdsa_address derives the address of a secret key. Returns COH_ESIG if secret is no valid
   key. */
coh_err_t coh_ecdsa_address(coh_addr_t *out, uint8_t const secret[32]);

/* True if s is at most half the group order (EIP-2). */
bool coh_ecdsa_is_low_s(uint8_t const s[32]);

#endif
