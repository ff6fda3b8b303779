/* history.h: recent states of tries. The store holds one state; the undo record of each of the last R blocks holds the pairs that the block changed, as they were
   before; whoever applied them keeps the records, in memory. A block that is given up is undone by its record. A view of the past is a view of the present (coh_mpt_view_new) into which old pairs are put back, trie by trie: then it answers and proves
   what the trie would have then. What it costs is what has changed in that trie since.

   An undo record consists of groups: length of the trie's id (1), its depth (1), id, octets of pairs that follow (4), pairs (length of the value, 0: there was none; key; value). */
#ifndef COH_HISTORY_H
#define COH_HISTORY_H

#include "common/trie/mpt.h"

/* coh_history_put_group begins a group in a record, and returns where its length stands, for coh_mpt_update. */
size_t coh_history_put_group(coh_buf_t *record, coh_mpt_id_t const *id);

/* coh_history_undo takes all tries back by the block whose record this is, the last one that was applied.
   Returns: COH_OK; COH_ECORRUPT the record is damaged, or as coh_mpt_update */
coh_err_t coh_history_undo(coh_mpt_t *mpt, uint64_t block, coh_bytes_t record);

/* coh_history_rewind takes one trie of a view back over cnt blocks; once for a trie of a view.
   In:      records  of the blocks after the one wanted, that block's successor first, up to the present
   Out:     node     at the trie's root then
   Returns: COH_OK; COH_ECORRUPT a record is damaged, or as coh_mpt_update */
coh_err_t coh_history_rewind(coh_mpt_t *view,
                             coh_mpt_id_t const *id,
                             coh_bytes_t const *records,
                             size_t cnt,
                             coh_mpt_node_t *node);

#endif
