/* fork.h: Ethereum's rule sets in their order. A rule "since X" is written fork >= COH_FORK_X. */
#ifndef COH_FORK_H
#define COH_FORK_H

#include "common/base/base.h"

typedef enum {
    COH_FORK_FRONTIER,
    COH_FORK_HOMESTEAD,      /* EIP-606 */
    COH_FORK_TANGERINE,      /* EIP-608, "EIP150" */
    COH_FORK_SPURIOUS,       /* EIP-607, "EIP158" */
    COH_FORK_BYZANTIUM,      /* EIP-609 */
    COH_FORK_CONSTANTINOPLE, /* EIP-1013 */
    COH_FORK_PETERSBURG,     /* EIP-1716, "ConstantinopleFix" */
    COH_FORK_ISTANBUL,       /* EIP-1679 */
    COH_FORK_BERLIN,         /* EIP-2930, EIP-2929 */
    COH_FORK_LONDON,         /* EIP-1559 */
    COH_FORK_PARIS,          /* EIP-3675 */
    COH_FORK_SHANGHAI,
    COH_FORK_CANCUN, /* EIP-7569 */
    COH_FORK_PRAGUE, /* EIP-7600 */
    COH_FORK_OSAKA,  /* EIP-7607 */
    COH_FORK_CNT
} coh_fork_t;

/* The fork's common name ("London"); never NULL. */
char const *coh_fork_name(coh_fork_t fork);

/* True if addr is a precompiled contract under fork, so that a transfer to it runs code. */
bool coh_fork_is_precompile(coh_fork_t fork, coh_addr_t const *addr);

#endif
