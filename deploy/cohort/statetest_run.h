/* statetest_run.h: runs a case of an official state test and holds what comes of it against what is expected.

   The transaction is taken from its signed octets where the file has them, and these are held against the single fields; else it is made of
   the fields and signed. It passes the same checks as one that a client sends, and the same state transition function as in a block, over the
   state in memory. */
#ifndef COH_STATETEST_RUN_H
#define COH_STATETEST_RUN_H

#include <stdio.h>

#include "common/evm/transition.h"
#include "deploy/cohort/statetest_case.h"
#include "deploy/cohort/vector_layout.h"

typedef struct {
    coh_evm_loop_t loop;
    bool stutter; /* each first read of a key is answered by "not at hand" (memview.h) */
    FILE *trace;  /* EIP-3155 lines; NULL: none. Borrowed */
    coh_vector_layout_t layout; /* if it is set, in a cluster */
    uint64_t timeout_us;        /* a case that takes longer fails; 0: none */
} coh_statetest_options_t;

typedef struct {
    bool pass;
    coh_tx_err_t err; /* why the transaction was refused */
    coh_hash_t root;  /* zero if it did not come to that */
    coh_hash_t logs_hash;
    uint64_t gas_used;
    uint64_t elapsed_us;
    coh_buf_t why;  /* what is wrong, one line of text */
    coh_buf_t diff; /* first differences of the states, lines; empty if the file has no state */
} coh_statetest_result_t;

/* What is reused from case to case. One thread at a time. */
typedef struct coh_statetest_runner coh_statetest_runner_t;

coh_statetest_runner_t *coh_statetest_runner_new(coh_statetest_options_t const *options);
void coh_statetest_runner_free(coh_statetest_runner_t *runner);

/* coh_statetest_run runs one case. out need not be initialised; release it with coh_statetest_result_free.
   Since nothing was touched, a rejected transaction leaves the state as it was, but for older files and rules before EIP-161: there the coinbase
   exists afterwards. */
void coh_statetest_run(coh_statetest_runner_t *runner,
                       coh_statetest_result_t *out,
                       coh_statetest_case_t const *test);
void coh_statetest_result_free(coh_statetest_result_t *result);

#endif
