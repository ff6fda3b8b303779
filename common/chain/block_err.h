/* block_err.h: why a block is invalid, each reason by its own name. */
#ifndef COH_BLOCK_ERR_H
#define COH_BLOCK_ERR_H

#include "common/codec/tx.h"

typedef enum {
#define COH_BLOCK_ERR(name, text) COH_BLOCK_##name,
#include "common/chain/block_err.def"
#undef COH_BLOCK_ERR
    COH_BLOCK_ERR_CNT
} coh_block_err_t;

/* An error with where it was met. */
typedef struct {
    coh_block_err_t err;
    coh_block_err_t ommer_err; /* with OMMER_HEADER: what is wrong with that */
    coh_tx_err_t tx_err;       /* with TX: why... */
    uint32_t idx;              /* ...and which; of OMMER_*: which ommer */
} coh_block_fault_t;

/* Text for people; never NULL. */
char const *coh_block_err_str(coh_block_err_t err);
/* coh_block_fault_put appends all that a fault says. */
void coh_block_fault_put(coh_buf_t *out, coh_block_fault_t const *fault);

#endif
