/* revert.h: what a revert says for people. */
#ifndef COH_REVERT_H
#define COH_REVERT_H

#include "common/base/buf.h"

/* coh_evm_revert_reason appends the reason that Solidity puts into what it reverts with: the text of Error(string), as it stands there (any octets), or what
   the code of Panic(uint256) means, in geth's words. Any thread.
   Returns: false, with out unchanged, if output is neither */
bool coh_evm_revert_reason(coh_buf_t *out, coh_bytes_t output);

#endif
