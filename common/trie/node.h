/* node.h: nodes of a Merkle-Patricia trie with keys of 32 octets (Yellow Paper, Appendix D), as plain values.

   A parent holds of a child its reference: the child's RLP where that is shorter than a hash, else its keccak256. What stands at some depth of a
   trie is a node as seen from there (coh_mpt_node_t): an empty one, a leaf or an extension with the rest of its path, or a branch. It is
   what the owner of a subtree hands up, because the parent may have to lift it: where a branch would have one child only, there is no
   branch, and the child takes the nibble into its own path. */
#ifndef COH_NODE_H
#define COH_NODE_H

#include "common/base/base.h"
#include "common/base/err.h"

/* Children of a branch. */
#define COH_NODE_CHILD_CNT 16u
/* Longest value of a leaf, in octets: an account's RLP has at most 110. */
#define COH_NODE_VALUE_MAX 128u
/* Longest RLP of a leaf (header, path of 64 nibbles, value), and of any node. */
#define COH_NODE_LEAF_MAX 168u
#define COH_NODE_RLP_MAX  536u

/* A reference. */
typedef struct {
    uint8_t n; /* 0: no child; 32: its hash; fewer: its RLP */
    uint8_t b[32];
} coh_mpt_ref_t;

typedef enum { COH_NODE_EMPTY, COH_NODE_LEAF, COH_NODE_EXTENSION, COH_NODE_BRANCH } coh_node_kind_t;

typedef struct {
    uint8_t kind;                 /* coh_node_kind_t */
    uint8_t n;                    /* octets of b */
    uint8_t b[COH_NODE_LEAF_MAX]; /* LEAF, EXTENSION: the RLP; BRANCH: the reference */
} coh_mpt_node_t;

/* The encoders write a node's RLP and return its length. key is read from nibble from on (of an extension, up to to). */
size_t coh_node_put_leaf(uint8_t out[COH_NODE_LEAF_MAX],
                         uint8_t const *key,
                         size_t from,
                         coh_bytes_t value);
size_t coh_node_put_extension(uint8_t out[COH_NODE_LEAF_MAX],
                              uint8_t const *key,
                              size_t from,
                              size_t to,
                              coh_mpt_ref_t const *child);
size_t coh_node_put_branch(uint8_t out[COH_NODE_RLP_MAX],
                           coh_mpt_ref_t const child[COH_NODE_CHILD_CNT]);

/* coh_ref_set makes the reference of a node from its RLP. Cost: a Keccak, if n is 32 or more */
void coh_ref_set(coh_mpt_ref_t *out, uint8_t const *rlp, size_t n);

/* coh_node_ref is what a parent would hold of node; n is 0 for an empty one. */
void coh_node_ref(coh_mpt_ref_t *out, coh_mpt_node_t const *node);

/* coh_node_root is the root hash of the trie that consists of node: the keccak256 of its RLP, however short it is. */
void coh_node_root(coh_hash_t *out, coh_mpt_node_t const *node);

/* coh_node_lift makes node what stands one nibble higher, where it is the only child: its path begins with nibble then.
   node must have been made here or have passed coh_node_check, with path_max below 64. */
void coh_node_lift(coh_mpt_node_t *node, uint32_t nibble);

/* coh_node_check tells whether a node that came from outside is one: of a leaf, that its path has exactly path_cnt nibbles; of an extension, fewer, and not
   none.    Returns: COH_OK; COH_EMALFORMED */
coh_err_t coh_node_check(coh_mpt_node_t const *node, size_t path_cnt);

#endif
