/* write.h: what a transition leaves behind: writes by key, verdict, gas and tip. Nothing else of it survives. */
#ifndef COH_WRITE_H
#define COH_WRITE_H

#include "common/codec/tx.h"
#include "common/state/key.h"

/* One effect; flags are COH_WRITE_*. */
typedef struct {
    coh_key_t key;
    uint32_t flags;
    uint64_t nonce;
    coh_u256_t word;
} coh_write_t;

/* coh_write_add and coh_write_sub add amount to the delta of a write, or take it away. */
void coh_write_add(coh_write_t *write, coh_u256_t const *amount);
void coh_write_sub(coh_write_t *write, coh_u256_t const *amount);

/* The outcome of one incarnation. writes is the caller's array of write_max; no key occurs twice. */
typedef struct {
    coh_tx_err_t verdict; /* not OK: invalid at its turn, no writes */
    uint32_t status;      /* receipt status */
    uint64_t gas_used;
    coh_u256_t tip; /* for the coinbase; 0 if it is among the writes */
    uint32_t write_cnt;
    uint32_t write_max;
    coh_write_t *writes;
} coh_outcome_t;

#endif
