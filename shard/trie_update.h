/* trie_update.h: what a block changed -> tries. Slots go to the trie of their account's storage, accounts with the root of that to the trie of their
   bucket, all tries at once, so that their hashes share the multi-buffer Keccak.

   A leaf's storage root is that of the storage's trie if slots changed; the empty root if the storage was wiped; else what the account's leaf says so far. An account whose
   slots changed but not itself keeps all else of its leaf. So nothing but the changes is needed, and to apply the changes of several blocks at
   once, or once more, leads to the same tries: recovery and genesis do that. */
#ifndef COH_TRIE_UPDATE_H
#define COH_TRIE_UPDATE_H

#include "common/base/arena.h"
#include "common/trie/mpt.h"
#include "shard/mvstore.h"

/* What stands at the root of a bucket that has changed. */
typedef struct {
    uint32_t bucket;
    coh_mpt_node_t node;
} coh_trie_node_t;

typedef struct {
    coh_trie_node_t *nodes; /* of changed buckets, ascending; the caller's, free() */
    size_t node_cnt;
    size_t account_cnt; /* leaves of accounts and of storage that were set */
    size_t slot_cnt;
} coh_trie_outcome_t;

/* coh_trie_update applies items: each key once, in any order; all slots of an account in the same call as the account. Slots of generations that their account has left
   behind are passed over.

   In:      scratch  reset
   Out:     out      on success
            undo     unless NULL, appended: for coh_history_undo
   Returns: COH_OK; as coh_mpt_update; on failure the tries are lost to this process
   Cost:    about 350 octets of scratch for each item */
coh_err_t coh_trie_update(coh_mpt_t *mpt,
                          uint64_t block,
                          coh_mv_item_t const *items,
                          size_t cnt,
                          coh_arena_t *scratch,
                          coh_trie_outcome_t *out,
                          coh_buf_t *undo);

#endif
