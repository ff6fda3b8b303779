/* sha256.h: SHA-256 (FIPS 180-4), over OpenSSL. May be called from any thread. */
#ifndef COH_SHA256_H
#define COH_SHA256_H

#include "common/base/base.h"

/* coh_sha256 hashes n octets at p, which may be NULL if n is 0.      Cost: about 0.2 us + 1 ns/octet */
void coh_sha256(coh_hash_t *out, void const *p, size_t n);

/* The version of OpenSSL in use. */
char const *coh_sha256_library(void);

#endif
