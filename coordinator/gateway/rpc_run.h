/* rpc_run.h: what is put together for a shard to execute on the state of a committed block, shared by rpc_call.c (calls, estimates, traces) and rpc_simulate.c: transactions that nobody signed,
   overrides of accounts and of the block, as geth reads them. */
#ifndef COH_RPC_RUN_H
#define COH_RPC_RUN_H

#include "coordinator/gateway/rpc_private.h"

typedef struct {
    coh_ask_t *ask; /* owned until it is posted */
    coh_rpc_at_t at;
    coh_tx_t tx;                        /* borrows from what follows */
    bool has_nonce, has_gas, has_price; /* of tx: they were given */
    coh_addr_t from;
    coh_buf_t data;
    coh_buf_t access_list;
    coh_buf_t blob_hashes;
    coh_buf_t auth_list;
    coh_ask_part_t *codes; /* owned; of overrides, in the ask's bytes */
    coh_addr_t *
        targets; /* owned; by override: where the precompiled contract there is moved; zero: nowhere */
    coh_block_env_t env; /* what env_fields (COH_CALL_ENV_*) say of it is given */
    uint32_t env_fields;
    bool one;           /* a trace of one transaction, not of a block */
    uint32_t tx_idx;    /* of it */
    uint32_t tx_cnt;    /* traced, of a block */
    coh_hash_t *hashes; /* owned; of the transactions of a traced block */
} coh_rpc_run_t;

coh_rpc_run_t *coh_rpc_run_new(coh_call_mode_t mode);
void coh_rpc_run_free(coh_rpc_run_t *run);
/* coh_rpc_run_clear forgets the transaction. */
void coh_rpc_run_clear(coh_rpc_run_t *run);

/* coh_rpc_member finds a member that is there and not null; coh_rpc_list_of one that must be a list: NULL without a fault: there is none. */
json_t *coh_rpc_member(json_t const *object, char const *name);
bool coh_rpc_list_of(json_t const **out,
                     json_t const *object,
                     char const *name,
                     unsigned idx,
                     coh_rpc_fault_t *fault);

/* All false with a fault. idx: of the argument. coh_rpc_read_args reads a transaction. coh_rpc_read_overrides reads accounts by address: {nonce, balance, code, state or stateDiff,
   movePrecompileToAddress}, once; coh_rpc_check_moves, with the fork known, what is moved. coh_rpc_read_env reads fields of a block; whole: of beaconRoot and withdrawals, which are the
   caller's to read, too. */
bool coh_rpc_read_args(coh_rpc_t const *rpc,
                       coh_rpc_run_t *run,
                       json_t const *args,
                       coh_rpc_fault_t *fault);
bool coh_rpc_read_overrides(coh_rpc_run_t *run,
                            json_t *given,
                            unsigned idx,
                            coh_rpc_fault_t *fault);
bool coh_rpc_check_moves(coh_rpc_run_t *run, coh_fork_t fork, coh_rpc_fault_t *fault);
bool coh_rpc_read_env(coh_rpc_run_t *run,
                      json_t const *given,
                      unsigned idx,
                      bool whole,
                      coh_rpc_fault_t *fault);
void coh_rpc_alter_env(coh_block_env_t *env, coh_rpc_run_t const *run);

/* coh_rpc_post_run posts the run's ask. coh_rpc_run_pending lets it execute the run's transaction in the block that comes next. */
void coh_rpc_post_run(coh_rpc_call_t *call, coh_rpc_run_t *run, coh_rpc_step_fn *step);
void coh_rpc_run_pending(coh_rpc_t *rpc,
                         coh_rpc_call_t *call,
                         coh_rpc_run_t *run,
                         coh_rpc_step_fn *step);
/* coh_rpc_run_is_answered: there is a result; else the call has failed. */
bool coh_rpc_run_is_answered(coh_rpc_t const *rpc, coh_rpc_call_t *call, coh_ask_t const *ask);
/* coh_rpc_put_revert appends a revert's text for people, without quotes. */
void coh_rpc_put_revert(coh_buf_t *out, coh_bytes_t output);
/* coh_rpc_fail_run: no outcome, for a reason that has nothing to do with what was executed. coh_rpc_is_busy fails the call if too many traces and simulations are under way. */
void coh_rpc_fail_run(coh_rpc_t const *rpc,
                      coh_rpc_call_t *call,
                      coh_call_err_t err,
                      uint64_t block);
bool coh_rpc_is_busy(coh_rpc_t const *rpc, coh_rpc_call_t *call);
void coh_rpc_no_block(coh_rpc_call_t *call, coh_rpc_at_t const *at);

#endif
