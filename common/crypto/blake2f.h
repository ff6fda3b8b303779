/* blake2f.h: the compression function F of BLAKE2b (RFC 7693, section 3.2) with a free number of
   rounds, as EIP-152 asks for. Pure; may be called from any thread. */
#ifndef COH_BLAKE2F_H
#define COH_BLAKE2F_H

#include "common/base/base.h"

/* What EIP-152 calls h, m, t and f. */
typedef struct {
    uint64_t h[8];  /* state; replaced by the result */
    uint64_t m[16]; /* message block */
    uint64_t t[2];  /* offset counter, low word first */
    bool final;     /* last block */
} coh_blake2f_t;

/* coh_blake2f mixes s->m into s->h.                                          Cost: about 10 ns a round */
void coh_blake2f(coh_blake2f_t *s, uint32_t rounds);

#endif
