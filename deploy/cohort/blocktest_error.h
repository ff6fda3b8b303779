/* blocktest_error.h: names by which official tests say why a block is invalid, in the words of this project. */
#ifndef COH_BLOCKTEST_ERROR_H
#define COH_BLOCKTEST_ERROR_H

#include "common/chain/block_err.h"
#include "deploy/cohort/statetest_error.h"

/* coh_blocktest_error_check holds fault against expected: names divided by '|', any of which will do. Any thread. */
coh_statetest_error_t coh_blocktest_error_check(char const *expected,
                                                coh_block_fault_t const *fault);

#endif
