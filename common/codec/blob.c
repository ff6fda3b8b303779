#include "common/codec/blob.h"

#include "common/base/assert.h"
#include "common/codec/tx.h"

/* EIP-7918: what carrying a blob costs in gas of execution, at least. */
enum { BLOB_BASE_COST = 8192 };

/* Limbs of the sums below: outputs below 2^320, products of one limb more. */
enum { LIMB_CNT = 6, SUM_LIMB_CNT = 5 };

typedef struct {
    uint64_t w[LIMB_CNT]; /* least significant first */
} wide_t;

coh_blob_params_t coh_blob_params_default(coh_blob_step_t step)
{
    static coh_blob_params_t const table[COH_BLOB_STEP_CNT] = {
        [COH_BLOB_CANCUN] = {3, 6, 3338477},   /* EIP-4844 */
        [COH_BLOB_PRAGUE] = {6, 9, 5007716},   /* EIP-7691 */
        [COH_BLOB_OSAKA]  = {6, 9, 5007716},   /* EIP-7607 */
        [COH_BLOB_BPO1]   = {10, 15, 8346193}, /* EIP-7892 and, to BPO2, EIP-7607 */
        [COH_BLOB_BPO2]   = {14, 21, 11684671},
        [COH_BLOB_BPO3]   = {21, 32, 20609697},
        [COH_BLOB_BPO4]   = {14, 21, 13739630},
    };
    COH_ASSERT((unsigned)step < COH_BLOB_STEP_CNT);
    return table[step];
}

static bool is_zero(wide_t const *a)
{
    uint64_t any = 0;
    for (size_t i = 0; i < LIMB_CNT; i++) {
        any |= a->w[i];
    }
    return any == 0;
}

static void add(wide_t *a, wide_t const *b)
{
    coh_u128_t t = 0;
    for (size_t i = 0; i < LIMB_CNT; i++) {
        t += (coh_u128_t)a->w[i] + b->w[i];
        a->w[i] = (uint64_t)t;
        t >>= 64;
    }
}

static void mul(wide_t *a, uint64_t m)
{
    coh_u128_t t = 0;
    for (size_t i = 0; i < LIMB_CNT; i++) {
        t += (coh_u128_t)a->w[i] * m;
        a->w[i] = (uint64_t)t;
        t >>= 64;
    }
}

static void divide(wide_t *a, uint64_t m)
{
    coh_u128_t rem = 0;
    for (size_t i = LIMB_CNT; i-- > 0;) {
        rem     = rem << 64 | a->w[i];
        a->w[i] = (uint64_t)(rem / m);
        rem %= m;
    }
}

/* EIP-4844's fake_exponential(1, numerator, denominator): the sum of the terms
   denominator * (numerator / denominator)^i / i!, each rounded down, divided by denominator.
   Term and sum stay below 2^320: from there on the result, at least 2^320 / 2^64, is above 2^256-1.
   So a term times numerator fits 2^384, and after at most some 700 terms they fade or it ends. */
coh_u256_t coh_blob_base_fee(uint64_t excess_blob_gas, uint64_t update_fraction)
{
    static coh_u256_t const max = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    COH_ASSERT(update_fraction != 0);
    wide_t sum  = {{0}};
    wide_t term = {{update_fraction}};
    for (uint64_t i = 1; !is_zero(&term); i++) {
        add(&sum, &term);
        if (sum.w[SUM_LIMB_CNT] != 0) {
            return max;
        }
        mul(&term, excess_blob_gas);
        divide(&term, update_fraction);
        divide(&term, i);
        if (term.w[SUM_LIMB_CNT] != 0) {
            return max;
        }
    }
    divide(&sum, update_fraction);
    return sum.w[4] != 0 ? max : (coh_u256_t){{sum.w[0], sum.w[1], sum.w[2], sum.w[3]}};
}

/* EIP-7918: true if BLOB_BASE_COST gas of execution cost more than a blob. */
static bool is_below_reserve(coh_blob_parent_t const *parent, coh_blob_params_t const *params)
{
    _Static_assert(COH_TX_BLOB_GAS % BLOB_BASE_COST == 0, "else compare the products themselves");
    coh_u256_t price = coh_blob_base_fee(parent->excess_blob_gas, params->update_fraction);
    bool over        = coh_u256_mul_u64(&price, &price, COH_TX_BLOB_GAS / BLOB_BASE_COST);
    return !over && coh_u256_lt(&price, &parent->base_fee);
}

uint64_t coh_blob_next_excess(coh_blob_parent_t const *parent,
                              coh_fork_t fork,
                              coh_blob_params_t const *params)
{
    COH_ASSERT(params->max != 0 && params->target <= params->max);
    coh_u128_t target = (coh_u128_t)COH_TX_BLOB_GAS * params->target;
    coh_u128_t sum    = (coh_u128_t)parent->excess_blob_gas + parent->blob_gas_used;
    coh_u128_t next   = sum < target ? 0 : sum - target;
    if (sum >= target && fork >= COH_FORK_OSAKA && is_below_reserve(parent, params)) {
        coh_u128_t spare = params->max - params->target;
        next             = parent->excess_blob_gas + parent->blob_gas_used * spare / params->max;
    }
    return next > UINT64_MAX ? UINT64_MAX : (uint64_t)next;
}
