/* trie_suppose.h: what would stand at the roots of buckets if accounts and slots were so, on the state of a recent block: for the state roots of simulated blocks. The tries stay as they are. */
#ifndef COH_TRIE_SUPPOSE_H
#define COH_TRIE_SUPPOSE_H

#include "shard/trie_update.h"

/* coh_trie_suppose lays items over a view of the state.

   In:      items    as coh_trie_update has them
            records  undo records of the blocks after the one wanted, that block's successor first, up to the present
            scratch  reset
   Out:     out      on success
   Returns: COH_OK; COH_ETOOBIG too many tries for so long a way back; as coh_mpt_update
   Cost:    what the blocks since have changed in these tries, a walk over their records for each trie, and the update */
coh_err_t coh_trie_suppose(coh_mpt_t *mpt,
                           coh_trie_outcome_t *out,
                           coh_mv_item_t const *items,
                           size_t cnt,
                           coh_bytes_t const *records,
                           size_t record_cnt,
                           coh_arena_t *scratch);

#endif
