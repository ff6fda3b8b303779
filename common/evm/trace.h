/* trace.h: watching the EVM step by step (EIP-3155). A tracer costs nothing when there is none: the interpreter's loop is instantiated
   once without it and once with it. */
#ifndef COH_TRACE_H
#define COH_TRACE_H

#include "common/base/u256.h"

/* What is about to be executed. Pointers are valid during the call. */
typedef struct {
    uint32_t pc;
    uint8_t opcode;
    uint32_t depth; /* 1: the transaction's own call */
    uint64_t gas;   /* left, before this instruction */
    uint64_t gas_cost;
    coh_u256_t const *stack; /* bottom first */
    uint32_t stack_cnt;
    coh_bytes_t memory;
    int64_t refund;
    coh_bytes_t return_data;
} coh_trace_step_t;

typedef struct coh_tracer coh_tracer_t;

struct coh_tracer {
    /* Before each instruction. gas_cost is what is known of its cost then: the static part. */
    void (*step)(coh_tracer_t *tracer, coh_trace_step_t const *step);
    /* A frame ended with status (coh_evm_status_t), gas_used and output. */
    void (*exit)(coh_tracer_t *tracer,
                 uint32_t depth,
                 uint32_t status,
                 uint64_t gas_used,
                 coh_bytes_t output);
};

#endif
