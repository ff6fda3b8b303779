/* rng.h: a small seeded generator (xoshiro256**, Blackman and Vigna 2018), for simulation, tests and load
   generation; never for secrets. One seed, one sequence, on every machine. */
#ifndef COH_RNG_H
#define COH_RNG_H

#include "common/base/base.h"

typedef struct {
    uint64_t s[4];
} coh_rng_t;

static inline void coh_rng_seed(coh_rng_t *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += UINT64_C(0x9e3779b97f4a7c15);
        rng->s[i] = coh_mix64(seed);
    }
}

static inline uint64_t coh_rng_rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static inline uint64_t coh_rng_next(coh_rng_t *rng)
{
    uint64_t *s     = rng->s;
    uint64_t result = coh_rng_rotl(s[1] * 5, 7) * 9;
    uint64_t t      = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = coh_rng_rotl(s[3], 45);
    return result;
}

/* A number in 0..bound-1; bound must not be 0. The bias of the multiplication is below 2^-32 for bounds below 2^32. */
static inline uint64_t coh_rng_below(coh_rng_t *rng, uint64_t bound)
{
    return (uint64_t)((__extension__(unsigned __int128) coh_rng_next(rng) * bound) >> 64);
}

/* True with probability percent / 100. */
static inline bool coh_rng_percent(coh_rng_t *rng, uint32_t percent)
{
    return coh_rng_below(rng, 100) < percent;
}

#endif
