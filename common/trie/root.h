/* root.h: the root hash of a Merkle-Patricia trie (Yellow Paper, Appendix D) of pairs that are all in memory, without storing nodes: what official
   tests and lists of a block need. */
#ifndef COH_ROOT_H
#define COH_ROOT_H

#include "common/base/base.h"

/* Longest key, in octets; bounds the depth of the recursion. */
#define COH_ROOT_KEY_MAX 64u

/* One pair; both borrowed. A value is not empty: that would mean that the key is absent. */
typedef struct {
    coh_bytes_t key;
    coh_bytes_t value;
} coh_root_item_t;

/* Order of keys in a trie: by octets, a prefix before what it begins. For qsort. */
int coh_root_compare(void const *a, void const *b);

/* coh_root_sorted computes the root of items, which are sorted by coh_root_compare without repetition.
   Any thread. Cost: O(octets of values); the children of a branch are hashed together */
void coh_root_sorted(coh_hash_t *out, coh_root_item_t const *items, size_t cnt);

/* coh_root_secure does the same with the keccak256 of each key in the key's place. Any order, without repetition. */
void coh_root_secure(coh_hash_t *out, coh_root_item_t const *items, size_t cnt);

/* coh_root_list is the root of values by their index, as of a block's transactions and receipts: keys are rlp(index). */
void coh_root_list(coh_hash_t *out, coh_bytes_t const *values, size_t cnt);

#endif
