/* witness.h: a part of a state, given as nodes of its Merkle-Patricia tries (Yellow Paper, Appendix D), keys of 32 octets: those on the paths of what a block reads and
   changes. With it the state root after the block follows from the root before and the block's changes, without the rest of the state.

   Nodes of all tries lie in one table by their hash, which is all that tells them apart; an update adds the nodes that it makes, so that the next
   goes on from the root that came out. Where a deletion leaves a branch with one child, that child's kind matters: if its node was not given, it may have been named
   as a branch (coh_witness_hint_branch).

   Nothing is trusted: a node is found by its hash, and one that does not decode is as good as missing. One thread at a time; recursion is bounded by the 64
   nibbles of a key. */
#ifndef COH_WITNESS_H
#define COH_WITNESS_H

#include "common/trie/mpt.h"

typedef struct coh_witness coh_witness_t;

coh_witness_t *coh_witness_new(void);
void coh_witness_free(coh_witness_t *w);

/* coh_witness_add adds a node's RLP, copied. */
void coh_witness_add(coh_witness_t *w, coh_bytes_t rlp);
/* coh_witness_hint_branch says that the node with this hash is a branch. */
void coh_witness_hint_branch(coh_witness_t *w, coh_hash_t const *hash);

/* coh_witness_get reads key in the trie with this root.
   Out:     value  borrowed until w is freed; empty if there is none
   Returns: COH_OK; COH_ENOTFOUND a node on the path is missing or no node */
coh_err_t coh_witness_get(coh_witness_t *w,
                          coh_bytes_t *value,
                          coh_hash_t const *root,
                          coh_hash_t const *key);

/* coh_witness_update applies changes (ascending by key, without repetition; an empty value removes) to the trie with *root: first what is set, then what is
   removed, so that no branch collapses that does not have to.
   Out:     root  of the changed trie
   Returns: COH_OK; COH_ENOTFOUND as coh_witness_get, and nothing has changed */
coh_err_t coh_witness_update(coh_witness_t *w,
                             coh_hash_t *root,
                             coh_mpt_change_t const *changes,
                             size_t cnt);

#endif
