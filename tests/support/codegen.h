/* codegen.h: random contracts that get into each other's way: they count in few slots, call, delegate to and pay each other, call themselves until the gas is gone,
   and precompiled contracts; look at balances, code, block hashes, blobs and their price, create, destroy, and create again in the same transaction, log and revert.

   A contract is a row of eight pieces; bit i of its call data's first word lets piece i run. What a piece calls gets that word shifted right by eight bits: so
   call data says what happens, seven calls deep, and without any (a plain transfer) nothing does. */
#ifndef COH_TEST_CODEGEN_H
#define COH_TEST_CODEGEN_H

#include "common/base/rng.h"
#include "common/codec/fork.h"
#include "tests/support/evmput.h"

typedef struct {
    coh_fork_t fork;
    coh_addr_t const *targets; /* whom the pieces call, pay and look at */
    uint32_t target_cnt;
    uint64_t block_number; /* of some block whose hash is asked for */
} coh_codegen_t;

/* coh_codegen_contract appends the code of a contract. */
void coh_codegen_contract(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng);

/* Init codes that contracts create with: of a contract that counts in slot 0, and destroys itself in favour of its caller if bit 0 of its call data is set.
   The second kind writes a slot when it is created, the third fails. At most 64 octets. */
#define COH_CODEGEN_INIT_CNT 3u
void coh_codegen_init(coh_buf_t *out, uint32_t kind);
/* Where creator puts the account made with CREATE2 from init code of kind with salt (EIP-1014). */
coh_addr_t coh_codegen_create2(coh_addr_t const *creator, uint32_t kind, uint64_t salt);

#endif
