/* chain_import.h: a planned block (common/chain/plan.h) as a cluster takes it. */
#ifndef COH_CHAIN_IMPORT_H
#define COH_CHAIN_IMPORT_H

#include "coordinator/coordinator.h"

/* Used again from block to block; zeroed before the first. */
typedef struct {
    coh_import_block_t block;
    coh_import_expect_t expect;
    coh_bytes_t *raws;   /* owned */
    coh_addr_t *senders; /* owned */
    uint32_t cap;
    coh_buf_t step_bytes;
    coh_buf_t extra;
    coh_bytes_t steps[COH_STEP_CNT_MAX];
} coh_chain_import_t;

void coh_chain_import_free(coh_chain_import_t *in);

/* coh_chain_import_make fills in->block, with all that its header says to be compared. It borrows from plan and block, and lives until the next call.
   Returns: COH_OK; COH_ETOOBIG a step has more octets than one may have (COH_STEP_MAX) */
coh_err_t coh_chain_import_make(coh_chain_import_t *in,
                                coh_plan_t const *plan,
                                coh_block_t const *block,
                                coh_rules_t const *rules);

#endif
