/* trace.h: watching the EVM step by step (EIP-3155). A tracer costs nothing when there is none: the interpreter's loop is instantiated
   once without it and once with it. */
#ifndef COH_TRACE_H
#define COH_TRACE_H

#include "common/base/u256.h"

/* What is about to be executed. Pointers are valid during the call. */
typedef struct {
    uint32_t pc;
    uint8_t opcode;
    uint32_t depth;         /* 1: the transaction's own call */
    coh_addr_t const *self; /* whose storage and balance */
    uint64_t gas;           /* left, before this instruction */
    uint64_t gas_cost;
    coh_u256_t const *stack; /* bottom first */
    uint32_t stack_cnt;
    coh_bytes_t memory;
    int64_t refund;
    coh_bytes_t return_data;
} coh_trace_step_t;

/* A call, creation or SELFDESTRUCT that begins: whether or not a frame comes of it (of a call to whom has no code, to a precompiled contract, one too deep or beyond the
   caller's balance there is none). Pointers are valid during the call. */
typedef struct {
    uint8_t opcode; /* of the instruction; CALL or CREATE for the transaction's own */
    uint32_t depth; /* of what begins: 1 for the transaction's own */
    coh_addr_t from;
    coh_addr_t to;       /* whose code runs; the account created; the beneficiary */
    coh_u256_t value;    /* of a DELEGATECALL the caller's own; of a SELFDESTRUCT the balance */
    uint64_t gas;        /* that it may use, with the stipend */
    uint64_t caller_gas; /* left to the caller meanwhile */
    coh_bytes_t input;   /* call data or init code */
} coh_trace_call_t;

typedef struct coh_tracer coh_tracer_t;

/* Each may be NULL; with enter no transfer is too plain for the EVM to see it, and without it there is no leave. */
struct coh_tracer {
    /* Before each instruction. gas_cost is what is known of its cost then: the static part. */
    void (*step)(coh_tracer_t *tracer, coh_trace_step_t const *step);
    /* A frame ended with status (coh_evm_status_t), gas_used and output. */
    void (*exit)(coh_tracer_t *tracer,
                 uint32_t depth,
                 uint32_t status,
                 uint64_t gas_used,
                 coh_bytes_t output);
    void (*enter)(coh_tracer_t *tracer, coh_trace_call_t const *call);
    /* What was entered last is over; of a creation that succeeded, output is the code. */
    void (*leave)(coh_tracer_t *tracer,
                  uint32_t depth,
                  uint32_t status,
                  uint64_t gas_used,
                  coh_bytes_t output);
};

#endif
