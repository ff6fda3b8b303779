/* keccak.h: Keccak-256 with Ethereum's original padding (Yellow Paper, Appendix D; not FIPS 202
   SHA3). */
#ifndef COH_KECCAK_H
#define COH_KECCAK_H

#include "common/base/base.h"

/* Of no octets: the code hash of an account without code. */
extern coh_hash_t const COH_KECCAK_EMPTY;

/* coh_keccak256 hashes n bytes. out may lie inside the input. */
void coh_keccak256(coh_hash_t *out, void const *p, size_t n);

/* coh_keccak256_many hashes cnt independent inputs into out[0..cnt-1], several at a time where
   the processor has vectors wide enough (AVX-512, else AVX2, else one by one; chosen once at run
   time). Inputs of any mix of lengths; those of equal block count share a vector, so similar
   lengths are fastest. */
void coh_keccak256_many(coh_hash_t *out, coh_bytes_t const *in, size_t cnt);

/* How coh_keccak256_many works here: "avx512", "avx2" or "portable". */
char const *coh_keccak_backend(void);

/* coh_keccak_force_backend selects one of the names above, for tests; false if this processor
   lacks it. */
bool coh_keccak_force_backend(char const *name);

#endif
