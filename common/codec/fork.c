#include "common/codec/fork.h"

char const *coh_fork_name(coh_fork_t fork)
{
    static char const *const names[COH_FORK_CNT] = {
        [COH_FORK_FRONTIER]       = "Frontier",
        [COH_FORK_HOMESTEAD]      = "Homestead",
        [COH_FORK_TANGERINE]      = "EIP150",
        [COH_FORK_SPURIOUS]       = "EIP158",
        [COH_FORK_BYZANTIUM]      = "Byzantium",
        [COH_FORK_CONSTANTINOPLE] = "Constantinople",
        [COH_FORK_PETERSBURG]     = "ConstantinopleFix",
        [COH_FORK_ISTANBUL]       = "Istanbul",
        [COH_FORK_BERLIN]         = "Berlin",
        [COH_FORK_LONDON]         = "London",
        [COH_FORK_PARIS]          = "Paris",
        [COH_FORK_SHANGHAI]       = "Shanghai",
        [COH_FORK_CANCUN]         = "Cancun",
        [COH_FORK_PRAGUE]         = "Prague",
        [COH_FORK_OSAKA]          = "Osaka",
    };
    return (unsigned)fork < COH_FORK_CNT ? names[fork] : "unknown";
}

bool coh_fork_is_precompile(coh_fork_t fork, coh_addr_t const *addr)
{
    static uint8_t const zeros[18];
    if (memcmp(addr->b, zeros, sizeof(zeros)) != 0) {
        return false;
    }
    uint32_t number = (uint32_t)addr->b[18] << 8 | addr->b[19];
    uint32_t last   = 0x04;
    if (fork >= COH_FORK_PRAGUE) {
        last = 0x11; /* EIP-2537: BLS12-381 */
    } else if (fork >= COH_FORK_CANCUN) {
        last = 0x0a; /* EIP-4844: point evaluation */
    } else if (fork >= COH_FORK_ISTANBUL) {
        last = 0x09; /* EIP-152: BLAKE2 F */
    } else if (fork >= COH_FORK_BYZANTIUM) {
        last = 0x08; /* EIP-198, EIP-196, EIP-197: modexp, alt_bn128 */
    }
    return (number >= 1 && number <= last) ||
           (fork >= COH_FORK_OSAKA && number == 0x100); /* EIP-7951: secp256r1 */
}
