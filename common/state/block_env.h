/* block_env.h: what a block sets for its transactions (Yellow Paper 4.4.4, and later EIPs). A plain value. */
#ifndef COH_BLOCK_ENV_H
#define COH_BLOCK_ENV_H

#include "common/base/u256.h"
#include "common/codec/fork.h"

typedef struct {
    uint64_t number;
    uint64_t timestamp;
    uint64_t gas_limit;
    uint64_t chain_id;
    coh_u256_t base_fee;      /* 0 before London */
    coh_u256_t blob_base_fee; /* EIP-7516; 0 before Cancun */
    coh_u256_t prev_randao;   /* EIP-4399; the difficulty before Paris */
    coh_addr_t coinbase;
    coh_fork_t fork;
    uint32_t blob_max;        /* blobs in a block (EIP-4844, EIP-7691, EIP-7892); 0 before Cancun */
    uint64_t excess_blob_gas; /* EIP-4844; of a block that Cohort produces, for its header */
    bool
        any_sender; /* accounts with code may send, against EIP-3607: of dev chains, where they are impersonated */
    bool fees_exact; /* write tips to the coinbase instead of summing them */
} coh_block_env_t;

#endif
