/* write.h: what a transition leaves behind: writes by key, logs, verdict, gas and tip. Nothing else of it survives. */
#ifndef COH_WRITE_H
#define COH_WRITE_H

#include "common/codec/tx.h"
#include "common/state/key.h"

/* What a write with COH_WRITE_CODE sets. */
typedef struct {
    coh_hash_t hash; /* all zero: no code */
    uint32_t generation;
    uint32_t flags; /* COH_ACCOUNT_HAS_STORAGE or 0 */
    coh_bytes_t
        bytes; /* the code, if this transaction deployed it; else empty: it is known by its hash */
} coh_write_code_t;

/* One effect; flags are COH_WRITE_*. */
typedef struct {
    coh_key_t key;
    coh_u256_t word;
    uint64_t nonce;
    coh_write_code_t const *code; /* with COH_WRITE_CODE, else NULL; lives as long as the writes */
    uint32_t flags;
} coh_write_t;

/* coh_write_apply changes *value as write says (all flags but REMOVED), for whoever keeps plain values: sequential state, replay of redo
   records. Balances are taken modulo 2^256. */
void coh_write_apply(coh_value_t *value, coh_write_t const *write);

typedef struct {
    coh_addr_t addr;
    uint32_t topic_cnt; /* 0..4 */
    coh_hash_t topics[4];
    coh_bytes_t data;
} coh_log_t;

/* The outcome of one incarnation; what it points to belongs to the transition that made it. No key occurs twice among the writes. */
typedef struct {
    coh_tx_err_t verdict; /* not OK: invalid at its turn, no writes, no logs */
    uint32_t status;      /* receipt status: 1 succeeded, 0 failed; of a step, coh_step_result_t */
    uint64_t gas_used;    /* after refunds */
    coh_u256_t tip;       /* for the coinbase; 0 if it is among the writes */
    uint32_t write_cnt;
    uint32_t log_cnt;
    coh_write_t const *writes;
    coh_log_t const *logs;
    coh_bytes_t output; /* what the call returned or reverted with */
    coh_addr_t created; /* of a creation that succeeded */
} coh_outcome_t;

/* coh_outcome_put_logs appends the logs of an outcome as an RLP list (common/codec/receipt.h). */
void coh_outcome_put_logs(coh_buf_t *out, coh_outcome_t const *outcome);

#endif
