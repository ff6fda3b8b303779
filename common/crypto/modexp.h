/* modexp.h: modular exponentiation of big numbers. The sole user of GMP. May be called from any
   thread. */
#ifndef COH_MODEXP_H
#define COH_MODEXP_H

#include "common/base/base.h"

/* A big-endian number of len octets, of which only the leading ones need be there: the rest is zeros.
   That is how EIP-198 reads numbers beyond the end of its input. head.n <= len. */
typedef struct {
    coh_bytes_t head;
    size_t len;
} coh_modexp_num_t;

/* coh_modexp computes base^exp mod mod into mod.len octets, big-endian; 0^0 is 1, and anything modulo 0
   is 0 (EIP-198).

   Assumes: lengths are bounded by what the caller has charged for them; memory is a small multiple of
            their sum
   In:      heads  borrowed for the call; may not overlap out
   Cost:    mod.len^2 * 8 exp.len word operations / 64; 256 bits each: about 8 us */
void coh_modexp(uint8_t *out, coh_modexp_num_t base, coh_modexp_num_t exp, coh_modexp_num_t mod);

/* The version of GMP in use. */
char const *coh_modexp_library(void);

#endif
