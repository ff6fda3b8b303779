/* statetest_error.h: names by which official tests say why a transaction is invalid, in the words of this project. */
#ifndef COH_STATETEST_ERROR_H
#define COH_STATETEST_ERROR_H

#include "common/codec/tx.h"

typedef enum {
    COH_STATETEST_ERROR_MET,
    COH_STATETEST_ERROR_OTHER,   /* err is not what is expected */
    COH_STATETEST_ERROR_UNKNOWN, /* the expectation holds a name that the table has not */
} coh_statetest_error_t;

/* coh_statetest_error_check holds err against expected: names divided by '|', any of which will do. Any thread. */
coh_statetest_error_t coh_statetest_error_check(char const *expected, coh_tx_err_t err);

#endif
