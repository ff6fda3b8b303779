/* evm_private.h: frames, shared by the loops (interp.c), calls and creations (call.c) and the driver (evm.c). */
#ifndef COH_EVM_PRIVATE_H
#define COH_EVM_PRIVATE_H

#include "common/base/buf.h"
#include "common/evm/code.h"
#include "common/evm/evm.h"
#include "common/evm/gas.h"
#include "common/evm/opcodes.h"

#define COH_STACK_MAX 1024u

/* How a loop comes back to the driver. */
typedef enum {
    COH_EXIT_END,  /* the frame ended: its status, output */
    COH_EXIT_PUSH, /* a frame was pushed on top of it */
    COH_EXIT_NEED, /* the view will wake us, or the slice is over: nothing of the instruction has happened */
} coh_exit_t;

/* Fresh: before the first instruction. A frame that is resumed after a call goes on at a block's beginning, after a NEED in its middle. */
typedef struct coh_frame {
    coh_code_t const *code;
    uint32_t pc;
    uint32_t stack_cnt;
    uint64_t gas;
    uint8_t *mem; /* owned; kept from call to call */
    size_t mem_cap;
    size_t mem_sz;       /* in use; a multiple of 32, zero beyond what was written */
    uint64_t mem_gas;    /* paid for mem_sz */
    coh_account_t *self; /* whose storage, balance, address */
    coh_addr_t caller;
    coh_u256_t value;
    coh_bytes_t
        input; /* borrowed: from the memory of the frame below, which does not move while this one runs */
    coh_mark_t mark;
    bool at_block; /* resume at the beginning of a block... */
    bool
        checked; /* ...or, in the fast loop, in the middle of one that is entered for the first time */
    bool is_static; /* EIP-214 */
    bool is_create;
    bool owns_code;          /* init code */
    bool retried;            /* the instruction at pc said NEED before: it was traced already */
    coh_evm_status_t status; /* once ended */
    coh_bytes_t output;
    /* Where the frame below wants the output. */
    uint64_t out_off;
    uint64_t out_sz;
    uint64_t gas_begin;
    coh_u256_t stack[COH_STACK_MAX + 1]; /* items from [1] on: [stack_cnt] is the top one */
} coh_frame_t;

struct coh_evm {
    coh_evm_env_t const *env;
    coh_block_env_t const *block;
    coh_state_t *state;
    coh_evm_message_t msg;
    coh_evm_loop_t loop;
    uint64_t slice; /* instructions of the switch loop that one run executes; 0: all */
    uint64_t slice_left;
    coh_tracer_t *tracer;
    coh_fork_t fork;
    coh_opcode_row_t const *rows; /* of fork */
    bool started;
    uint32_t depth_max; /* since the message began */
    uint32_t depth;     /* frames in use; the top one is frames[depth - 1] */
    coh_frame_t *frames[COH_CALL_DEPTH_MAX + 1]; /* allocated when first reached */
    coh_bytes_t
        return_data; /* of the last call; borrowed from a frame's memory or from precompiled */
    coh_buf_t precompiled; /* output of the last precompiled contract */
    coh_evm_result_t result;
};

/* ---- interp.c ---- */

/* Run f until one of coh_exit_t has happened: the two loops of coh_evm_loop_t. */
coh_exit_t coh_interp_fast(coh_evm_t *evm, coh_frame_t *f);
coh_exit_t coh_interp_switch(coh_evm_t *evm, coh_frame_t *f);

/* Makes the frame's memory reach off + size (size is not 0), charging *gas. False: more than can be paid. */
bool coh_frame_expand(coh_frame_t *f, uint64_t *gas, coh_u256_t const *off, coh_u256_t const *size);

/* ---- call.c: instructions that make frames. f's stack, pc and gas are stored in it. ---- */

typedef enum {
    COH_CALL_DONE, /* the result is on the stack: go on behind the instruction */
    COH_CALL_PUSHED,
    COH_CALL_NEED,
    COH_CALL_FAILED, /* f->status says why */
} coh_call_t;

coh_call_t coh_call_op(coh_evm_t *evm, coh_frame_t *f, uint8_t opcode);
coh_call_t coh_create_op(coh_evm_t *evm, coh_frame_t *f, uint8_t opcode);
/* The transaction's own message: DONE (result set), PUSHED or NEED. */
coh_call_t coh_call_message(coh_evm_t *evm);
/* The top frame ended: undo or keep what it did, give its result to the frame below (or to the message). */
void coh_call_return(coh_evm_t *evm);
/* SELFDESTRUCT: DONE, NEED or FAILED. */
coh_call_t coh_selfdestruct_op(coh_evm_t *evm, coh_frame_t *f);

#endif
