/* evm.h: the Ethereum virtual machine: runs one message call or creation over an overlay of state until it is DONE, or until it NEEDs
   something that is not at hand: then calling coh_evm_run again goes on at that instruction. It keeps its own stack of frames: no C recursion,
   whatever the depth. An instance serves one message at a time, is reused for the next, and may move between threads in between.

   idle ─begin─▶ running ─run: NEED─▶ running
                    └────run: DONE─▶ idle (result readable until the next begin) */
#ifndef COH_EVM_H
#define COH_EVM_H

#include "common/evm/trace.h"
#include "common/state/block_env.h"
#include "common/state/state.h"

typedef enum {
#define COH_EVM_STATUS(name, text) COH_EVM_##name,
#include "common/evm/evm_status.def"
#undef COH_EVM_STATUS
    COH_EVM_STATUS_CNT
} coh_evm_status_t;

char const *coh_evm_status_str(coh_evm_status_t status);

typedef struct coh_evm coh_evm_t;

/* What runs at an address in place of what the fork has there: a precompiled contract, by the address that the fork gives it, or none (address zero). For calls whose state is made up: warm
   (EIP-2929) are still the fork's own. */
typedef struct {
    coh_addr_t at;
    coh_addr_t is;
} coh_evm_move_t;

/* Constant for a transaction; borrowed while the EVM runs. */
typedef struct {
    coh_block_env_t const *block;
    coh_tx_t const *tx; /* for BLOBHASH; NULL: no blobs */
    coh_addr_t origin;
    coh_u256_t gas_price; /* effective */
    coh_tracer_t *tracer; /* NULL: none */
    coh_evm_move_t const *moves;
    uint32_t move_cnt;
} coh_evm_env_t;

typedef struct {
    bool is_create;
    coh_addr_t sender;
    coh_addr_t to; /* whose code and storage; of a creation the new account */
    coh_u256_t value;
    uint64_t gas;
    coh_bytes_t input; /* call data, or init code; borrowed */
} coh_evm_message_t;

typedef struct {
    coh_evm_status_t status;
    uint64_t gas_left;
    coh_bytes_t output; /* returned or reverted with; of a creation that succeeded empty */
} coh_evm_result_t;

typedef enum { COH_EVM_DONE, COH_EVM_NEED } coh_evm_run_t;

/* Which of the equivalent loops runs: the fast one, or its twin that checks and charges each instruction by itself. */
typedef enum { COH_EVM_FAST, COH_EVM_SWITCH } coh_evm_loop_t;

coh_evm_t *coh_evm_new(void);
void coh_evm_free(coh_evm_t *evm);
void coh_evm_set_loop(coh_evm_t *evm,
                      coh_evm_loop_t loop); /* default FAST; a tracer implies SWITCH */

/* coh_evm_set_slice lets coh_evm_run come back with NEED, though nothing is needed, after so many instructions of the SWITCH loop; 0 (the default): never. */
void coh_evm_set_slice(coh_evm_t *evm, uint64_t instructions);

/* coh_evm_begin prepares the message of a transaction: value is transferred, and of a creation the account is made, when it runs. The sender's nonce
   has been raised and gas been paid by the caller. All pointers are borrowed until DONE. */
void coh_evm_begin(coh_evm_t *evm,
                   coh_evm_env_t const *env,
                   coh_state_t *state,
                   coh_evm_message_t const *msg);
coh_evm_run_t coh_evm_run(coh_evm_t *evm);
coh_evm_result_t const *coh_evm_result(coh_evm_t const *evm);
/* coh_evm_bytes: octets of frames, their memories, and the init code that they run. */
size_t coh_evm_bytes(coh_evm_t const *evm);

#endif
