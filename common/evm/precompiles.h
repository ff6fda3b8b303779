/* precompiles.h: Ethereum's precompiled contracts, 0x01..0x11 and 0x100 (Yellow Paper, Appendix E, and the
   EIPs named at each): what a call to one costs and gives under each fork. Pure; all functions may be
   called from any thread.

   A call charges coh_precompile_gas first, and only then runs: what a run costs in time and memory is
   bounded by that gas. */
#ifndef COH_PRECOMPILES_H
#define COH_PRECOMPILES_H

#include "common/base/buf.h"
#include "common/codec/fork.h"

typedef struct coh_precompile coh_precompile_t;

/* coh_precompile_at returns the contract at addr, or NULL if there is none under fork; it lives as long
   as the process. Agrees with coh_fork_is_precompile. */
coh_precompile_t const *coh_precompile_at(coh_fork_t fork, coh_addr_t const *addr);

/* The number that its address spells, 0x01 for one. */
uint64_t coh_precompile_number(coh_precompile_t const *p);

/* Its name in EIP-7910 ("ECREC"). */
char const *coh_precompile_name(coh_precompile_t const *p);

/* coh_precompile_gas returns what a call with this input costs; UINT64_MAX if more than any gas limit. */
uint64_t coh_precompile_gas(coh_precompile_t const *p, coh_fork_t fork, coh_bytes_t in);

/* coh_precompile_run clears out, then appends the result of a call.

   Assumes: coh_precompile_gas of the same arguments was charged
   In:      in  borrowed for the call; no part of out
   Returns: false if the call fails, and so consumes all its gas; out is then empty */
bool coh_precompile_run(coh_precompile_t const *p, coh_fork_t fork, coh_buf_t *out, coh_bytes_t in);

#endif
