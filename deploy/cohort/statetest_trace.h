/* statetest_trace.h: writes what the EVM executes, one line of JSON for each instruction (EIP-3155), in the members and order of geth's
   `evm statetest --trace`, so that two traces can be compared line by line.

   What an instruction costs is known when the next one comes, so each line is written one instruction late. Where a call or creation enters a frame, gasCost is the
   static part alone, while geth counts the gas given along. */
#ifndef COH_STATETEST_TRACE_H
#define COH_STATETEST_TRACE_H

#include <stdio.h>

#include "common/base/buf.h"
#include "common/codec/fork.h"
#include "common/evm/trace.h"

#define COH_STATETEST_DEPTH_MAX 1026u

typedef struct {
    coh_tracer_t tracer; /* first: what the EVM is given */
    FILE *file;
    coh_fork_t fork;
    /* The instruction whose line is not written yet. */
    bool has_pending;
    uint32_t depth;
    uint64_t gas;
    uint64_t gas_cost;
    coh_buf_t head; /* its members before gasCost... */
    coh_buf_t tail; /* ...and behind it */
    uint64_t gas_at_entry[COH_STATETEST_DEPTH_MAX];
    bool entered[COH_STATETEST_DEPTH_MAX];
} coh_statetest_tracer_t;

void coh_statetest_tracer_init(coh_statetest_tracer_t *t, FILE *file, coh_fork_t fork);
void coh_statetest_tracer_fini(coh_statetest_tracer_t *t);

/* coh_statetest_trace_root writes the last line: the state root. */
void coh_statetest_trace_root(FILE *file, coh_hash_t const *root);

#endif
