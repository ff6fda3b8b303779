/* blob.h: what blobs cost and how many a block may hold: EIP-4844, with the parameters of EIP-7691
   (Prague), EIP-7892 (blob parameter only forks) and the reserve price of EIP-7918 (Osaka). */
#ifndef COH_BLOB_H
#define COH_BLOB_H

#include "common/base/u256.h"
#include "common/codec/fork.h"

/* Blobs of a block: how many hold the price, how many there may be; and how slowly the price
   follows (BLOB_BASE_FEE_UPDATE_FRACTION). max and update_fraction are not 0 but before Cancun, where
   there are no blobs and all is 0. */
typedef struct {
    uint32_t target; /* not above max */
    uint32_t max;
    uint64_t update_fraction;
} coh_blob_params_t;

/* What changes the parameters, in order of time: forks, and from BPO1 on nothing but these
   (EIP-7892). */
typedef enum {
    COH_BLOB_CANCUN,
    COH_BLOB_PRAGUE,
    COH_BLOB_OSAKA,
    COH_BLOB_BPO1,
    COH_BLOB_BPO2,
    COH_BLOB_BPO3,
    COH_BLOB_BPO4,
    COH_BLOB_BPO5,
    COH_BLOB_STEP_CNT
} coh_blob_step_t;

/* coh_blob_params_default: mainnet's up to BPO2, those of the official tests for BPO3 and BPO4; all 0
   for BPO5, which has none. */
coh_blob_params_t coh_blob_params_default(coh_blob_step_t step);

/* coh_blob_base_fee is the price of one blob gas in a block whose header has excess_blob_gas
   (EIP-4844: fake_exponential(1, excess_blob_gas, update_fraction)); 2^256-1 if it is more. */
coh_u256_t coh_blob_base_fee(uint64_t excess_blob_gas, uint64_t update_fraction);

/* The parent's header, as far as excess blob gas goes; all 0 if it is from before Cancun. */
typedef struct {
    uint64_t excess_blob_gas;
    uint64_t blob_gas_used;
    coh_u256_t base_fee;
} coh_blob_parent_t;

/* coh_blob_next_excess is excess_blob_gas of the block after parent; fork and params are those of
   that block. Below the target it falls by what is missing, above it grows by what is too much; since
   Osaka it does not fall while a blob costs less than 8192 gas of execution (EIP-7918). UINT64_MAX if
   it does not fit. */
uint64_t coh_blob_next_excess(coh_blob_parent_t const *parent,
                              coh_fork_t fork,
                              coh_blob_params_t const *params);

#endif
