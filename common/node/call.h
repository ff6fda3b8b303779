/* call.h: calls on the state of a committed block, as coordinator and shards name them (CALL, CALL_RESULT). All numbers go over the wire. */
#ifndef COH_CALL_H
#define COH_CALL_H

#include "common/base/base.h"

/* What is done with the transactions of a call. */
typedef enum {
    COH_CALL_EXECUTE     = 0, /* eth_call: the one, unsigned */
    COH_CALL_ESTIMATE    = 1, /* eth_estimateGas */
    COH_CALL_ACCESS_LIST = 2, /* eth_createAccessList */
    COH_CALL_TRACE       = 3, /* debug_traceCall */
    COH_CALL_TRACE_BLOCK =
        4, /* all, as a block has them with its steps, each on the state that the one before leaves; the transactions from `traced` on are traced */
    COH_CALL_SIMULATE =
        5, /* eth_simulateV1, one block of it: steps and unsigned transactions, each on the state that the one before leaves, all on what blocks simulated before have left */
    COH_CALL_ACCESSES =
        6, /* all, as TRACE_BLOCK, and the steps behind them: the block's access list (EIP-7928) */
    COH_CALL_MODE_CNT
} coh_call_mode_t;

/* How it ended. */
typedef enum {
    COH_CALL_OK      = 0,
    COH_CALL_REFUSED = 1, /* a transaction is invalid at its turn: verdict says why */
    COH_CALL_FAILED =
        2, /* ESTIMATE: it fails with all the gas there is; status and output say how */
    COH_CALL_ALLOWANCE = 3, /* ESTIMATE: it runs out of all the gas there is: `gas` */
    COH_CALL_GONE      = 4, /* the state of the block is not remembered any more */
    COH_CALL_TIMEOUT   = 5, /* call-time-ms is over */
    COH_CALL_MEMORY    = 6, /* it, or its trace, needs more memory than calls may */
    COH_CALL_BUSY      = 7, /* too many calls */
    COH_CALL_INVALID   = 8, /* it does not decode, or is more than a call may be */
    COH_CALL_CLOSED    = 9, /* the cluster stops */
} coh_call_err_t;

/* What of a block's environment a call replaces. */
enum {
    COH_CALL_ENV_NUMBER        = 1,
    COH_CALL_ENV_TIMESTAMP     = 2,
    COH_CALL_ENV_GAS_LIMIT     = 4,
    COH_CALL_ENV_BASE_FEE      = 8,
    COH_CALL_ENV_BLOB_BASE_FEE = 16,
    COH_CALL_ENV_PREV_RANDAO   = 32,
    COH_CALL_ENV_COINBASE      = 64,
};

/* Fields of an override of an account. */
enum {
    COH_OVERRIDE_NONCE   = 1,
    COH_OVERRIDE_BALANCE = 2,
    COH_OVERRIDE_CODE    = 4,
    COH_OVERRIDE_STATE   = 8, /* all slots but the ones given are zero (state, not stateDiff) */
    COH_OVERRIDE_MASK    = 15,
};
/* Of one call. */
#define COH_OVERRIDE_MAX      256u
#define COH_OVERRIDE_SLOT_MAX 8192u
#define COH_CALL_TX_MAX       65536u
/* Addresses at which something else runs than the fork has there. */
#define COH_CALL_MOVE_MAX 64u
/* Accounts and slots, together, that the blocks of a simulation read and change. */
#define COH_SIM_STATE_MAX 65536u
/* Blocks of a simulation. */
#define COH_SIM_BLOCK_MAX 256u

/* How a block is simulated. */
enum {
    COH_SIM_VALIDATE  = 1, /* nonces and fees are checked */
    COH_SIM_TRANSFERS = 2, /* transfers of ether are shown as logs */
    COH_SIM_MASK      = 3,
};
/* What a transaction of it says itself; else the sender's nonce, as much gas as is left. */
enum {
    COH_SIM_GIVEN_NONCE = 1,
    COH_SIM_GIVEN_GAS   = 2,
};

typedef enum {
    COH_TRACER_STRUCT   = 0, /* geth's struct logs */
    COH_TRACER_CALLS    = 1, /* callTracer */
    COH_TRACER_PRESTATE = 2, /* prestateTracer */
    COH_TRACER_CNT
} coh_tracer_kind_t;

/* Options of the tracers, by geth's names. */
enum {
    COH_TRACE_MEMORY        = 1,   /* struct: enableMemory */
    COH_TRACE_NO_STACK      = 2,   /* struct: disableStack */
    COH_TRACE_NO_STORAGE    = 4,   /* struct, prestate: disableStorage */
    COH_TRACE_RETURN_DATA   = 8,   /* struct: enableReturnData */
    COH_TRACE_ONLY_TOP      = 16,  /* calls: onlyTopCall */
    COH_TRACE_WITH_LOG      = 32,  /* calls: withLog */
    COH_TRACE_DIFF          = 64,  /* prestate: diffMode */
    COH_TRACE_NO_CODE       = 128, /* prestate: disableCode */
    COH_TRACE_INCLUDE_EMPTY = 256, /* prestate: includeEmpty */
    COH_TRACE_MASK          = 511,
};

#endif
