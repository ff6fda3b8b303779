/* bench_draw.h: values that benches make up. */
#ifndef COH_BENCH_DRAW_H
#define COH_BENCH_DRAW_H

#include "common/base/rng.h"
#include "common/base/u256.h"

static inline coh_u256_t coh_bench_power_of_ten(unsigned zeros)
{
    coh_u256_t v = coh_u256(1);
    for (unsigned i = 0; i < zeros; i++) {
        (void)coh_u256_mul_u64(&v, &v, 10);
    }
    return v;
}

/* An address that nobody has a key of. */
static inline coh_addr_t coh_bench_addr(coh_rng_t *rng)
{
    coh_addr_t addr;
    for (size_t i = 0; i < sizeof(addr.b); i++) {
        addr.b[i] = (uint8_t)coh_rng_next(rng);
    }
    return addr;
}

#endif
