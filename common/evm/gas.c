#include "common/evm/gas.h"

uint64_t coh_gas_sstore(int64_t *refund,
                        coh_fork_t fork,
                        coh_u256_t const *original,
                        coh_u256_t const *current,
                        coh_u256_t const *value)
{
    bool is_zero = coh_u256_is_zero(value);
    *refund      = 0;
    if (fork < COH_FORK_CONSTANTINOPLE || fork == COH_FORK_PETERSBURG) { /* Yellow Paper */
        bool was_zero = coh_u256_is_zero(current);
        *refund       = !was_zero && is_zero ? 15000 : 0;
        return was_zero && !is_zero ? 20000 : 5000;
    }
    int64_t warm  = fork >= COH_FORK_BERLIN ? 100 : fork >= COH_FORK_ISTANBUL ? 800 : 200;
    int64_t reset = fork >= COH_FORK_BERLIN ? 5000 - 2100 : 5000; /* EIP-2929 */
    int64_t clear = fork >= COH_FORK_LONDON ? 4800 : 15000;       /* EIP-3529 */
    if (coh_u256_eq(current, value)) {
        return (uint64_t)warm;
    }
    if (coh_u256_eq(original, current)) {
        if (coh_u256_is_zero(original)) {
            return 20000;
        }
        *refund = is_zero ? clear : 0;
        return (uint64_t)reset;
    }
    if (!coh_u256_is_zero(original)) {
        if (coh_u256_is_zero(current)) {
            *refund -= clear;
        } else if (is_zero) {
            *refund += clear;
        }
    }
    if (coh_u256_eq(original, value)) {
        *refund += coh_u256_is_zero(original) ? 20000 - warm : reset - warm;
    }
    return (uint64_t)warm;
}
