/* vm.h: a small world for tests of the EVM: accounts by small numbers, contracts as text (evmasm.h). A message runs through both loops,
   each over a view that has all at hand and over one that answers every first question by "not yet"; whatever differs fails
   the test, as all functions do where something is not as it should be. */
#ifndef COH_TEST_VM_H
#define COH_TEST_VM_H

#include "common/base/buf.h"
#include "common/evm/evm.h"
#include "common/state/memview.h"

enum {
    COH_VM_SENDER = 0x5000, /* 2^128 wei, nonce 3 */
    COH_VM_SELF   = 0x1000, /* 1000 wei, nonce 1 */
    COH_VM_OTHER  = 0x1001,
    COH_VM_THIRD  = 0x1002,
    COH_VM_NOBODY = 0x2001,
};

typedef struct {
    coh_memview_t *mv;
    coh_state_t state; /* after a run: as it left it, before finalize */
    coh_evm_t *evm;
    coh_block_env_t block;
    coh_evm_env_t env;
    /* The message. */
    uint64_t gas; /* ten million */
    coh_u256_t value;
    coh_bytes_t input;
    bool is_create; /* input is init code */
    /* Of the last run. */
    coh_evm_status_t status;
    uint64_t used;
    int64_t refund;
    coh_buf_t output;
} coh_vm_t;

coh_addr_t coh_vm_addr(uint64_t number);

/* coh_vm_init makes a world with the sender and a contract at SELF. */
void coh_vm_init(coh_vm_t *vm, coh_fork_t fork, char const *text);
void coh_vm_fini(coh_vm_t *vm);
/* A contract of nonce 1. */
void coh_vm_put_code(coh_vm_t *vm, uint64_t number, uint64_t balance, char const *text);
void coh_vm_put_slot(coh_vm_t *vm, uint64_t number, uint64_t slot, uint64_t value);
void coh_vm_put_eoa(coh_vm_t *vm, uint64_t number, uint64_t nonce, uint64_t balance);

/* What of a status is Ethereum's: 0 succeeded, 1 reverted, 2 failed. */
int coh_vm_class(coh_evm_status_t status);

/* coh_vm_run sends the message from SENDER to SELF, coh_vm_run_at to another; coh_vm_run_ok succeeds. Sender
   and receiver are warm, nothing else. */
void coh_vm_run(coh_vm_t *vm);
void coh_vm_run_at(coh_vm_t *vm, uint64_t to);
void coh_vm_run_to(coh_vm_t *vm, coh_addr_t const *to);
void coh_vm_run_ok(coh_vm_t *vm);
/* One way alone; only state is left of it. */
void coh_vm_run_once(coh_vm_t *vm, coh_evm_loop_t loop, bool stutter);

/* Words of the output. */
coh_u256_t coh_vm_word(coh_vm_t const *vm, size_t at);
uint64_t coh_vm_u64(coh_vm_t const *vm, size_t at);
/* wanted: "0x.." or decimal. */
void coh_vm_assert_word(coh_u256_t got, char const *wanted);

/* What the last run left. */
coh_account_t *coh_vm_account(coh_vm_t *vm, uint64_t number);
uint64_t coh_vm_balance(coh_vm_t *vm, uint64_t number);
uint64_t coh_vm_slot(coh_vm_t *vm, uint64_t number, uint64_t key);

/* In a world of its own: gas of text, which succeeds; how it ends; the one word that it leaves on the stack. */
uint64_t coh_vm_gas_of(coh_fork_t fork, char const *text);
coh_evm_status_t coh_vm_status_of(coh_fork_t fork, char const *text);
void coh_vm_assert_leaves(coh_fork_t fork, char const *text, char const *wanted);

#endif
