/* statetest_diff.h: where two states differ, for people. */
#ifndef COH_STATETEST_DIFF_H
#define COH_STATETEST_DIFF_H

#include "common/base/buf.h"
#include "common/state/memview.h"
#include "deploy/cohort/statetest_case.h"

/* Lines at most; a last one says how many more there are. */
#define COH_STATETEST_DIFF_MAX 20u

/* coh_statetest_diff appends a line for each nonce, balance, code and slot in which mv is not as expected, in the order of addresses and
   slots. */
void coh_statetest_diff(coh_buf_t *out,
                        coh_memview_t const *mv,
                        coh_statetest_state_t const *expected);

#endif
