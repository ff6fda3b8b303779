/* verifier.h: a node's check on itself, on rank 0: a thread of low priority that re-executes the committed blocks in order (verify_chain.h), so many at a time, out of the decision records
   in the store. It begins at the genesis, after a restart too, and holds the whole state in memory once more. Blocks wait in the store, not here: it may lag behind as far as it likes.

   Figures: verify_block, verify_mismatch. At the first block that differs it says so in the log, loudly, and ends; the node goes on. */
#ifndef COH_VERIFIER_H
#define COH_VERIFIER_H

#include "common/config/genesis.h"
#include "common/kv/kv.h"
#include "common/obs/metrics.h"

typedef struct coh_verifier coh_verifier_t;

/* coh_verifier_start: genesis, kv (whose get is called from the thread), metrics (may be NULL) are borrowed until stop. every: blocks that have to be there before it goes on, 1..; root_every: as for coh_verify_new */
coh_verifier_t *coh_verifier_start(coh_genesis_t const *genesis,
                                   coh_kv_t *kv,
                                   coh_metrics_t *metrics,
                                   uint64_t every,
                                   uint64_t root_every);
/* coh_verifier_note: all up to head is committed and durable. Any thread; cheap. */
void coh_verifier_note(coh_verifier_t *v, uint64_t head);
/* Ends the thread, after the block that it is at. NULL is allowed. */
void coh_verifier_stop(coh_verifier_t *v);

#endif
