/* realblock_whole.h: a recorded block as what it was on its network: header and body, steps before and after the transactions by the rules of its fork, and what of its
   header is held against the outcome.

   The recorded state is a part of the real one, so that the state root is not comparable, nor before Byzantium the receipts root, which holds state roots. A witness
   confirms these (realblock_state.h).

   A recording may lack what a step needs: then no step is replayed, only the transactions, whose outcome does not depend on steps as long as they read nothing that
   those change; which the header's receipts tell. */
#ifndef COH_REALBLOCK_WHOLE_H
#define COH_REALBLOCK_WHOLE_H

#include "deploy/cohort/chain_import.h"
#include "deploy/cohort/realblock.h"

/* Fields of a header that follow from something else. */
typedef enum {
    COH_REALFIELD_OMMERS_HASH,
    COH_REALFIELD_STATE_ROOT,
    COH_REALFIELD_TX_ROOT,
    COH_REALFIELD_RECEIPTS_ROOT,
    COH_REALFIELD_BLOOM,
    COH_REALFIELD_GAS_USED,
    COH_REALFIELD_WITHDRAWALS_ROOT,
    COH_REALFIELD_BLOB_GAS,
    COH_REALFIELD_REQUESTS_HASH,
    COH_REALFIELD_CNT
} coh_realfield_t;

/* Its name, for people. */
char const *coh_realfield_str(coh_realfield_t field);
/* Those that headers of fork have, by bit. */
uint32_t coh_realfields(coh_fork_t fork);

typedef struct {
    coh_block_t block; /* borrows from raw */
    coh_rules_t rules;
    coh_plan_t plan;
    coh_chain_import_t import; /* for a cluster; the steps are in it, unless... */
    char const *lacks;         /* ...not NULL: what is missing for them */
    uint32_t body_fields;      /* by bit: confirmed by the body alone */
    uint32_t
        run_fields; /* by bit: compared by who executes the block, which is valid only if they are right */
    coh_buf_t raw;
} coh_realblock_whole_t;

/* coh_realblock_whole_init puts it together, of a recording that outlives it, recovers who signed and compares with the recorded senders, and checks the body against the header.
   Release with coh_realblock_whole_fini, also after a failure.
   Returns: COH_OK; COH_EINVAL with what is wrong in err_text */
coh_err_t coh_realblock_whole_init(coh_realblock_whole_t *out,
                                   coh_realblock_t const *from,
                                   coh_buf_t *err_text);
void coh_realblock_whole_fini(coh_realblock_whole_t *whole);

#endif
