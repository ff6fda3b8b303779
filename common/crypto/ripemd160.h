/* ripemd160.h: RIPEMD-160 (Dobbertin, Bosselaers, Preneel 1996), over OpenSSL. May be called from any
   thread. */
#ifndef COH_RIPEMD160_H
#define COH_RIPEMD160_H

#include "common/base/base.h"

enum { COH_RIPEMD160_SZ = 20 };

/* coh_ripemd160 hashes n octets at p, which may be NULL if n is 0.   Cost: about 0.5 us + 3 ns/octet */
void coh_ripemd160(uint8_t out[COH_RIPEMD160_SZ], void const *p, size_t n);

#endif
