/* proof.h: proofs that a key has a value in a trie, or none (EIP-1186: what eth_getProof calls accountProof and storageProof): the RLP of the nodes from the
   root on along the key's path, without those that are part of their parents. The proof of a missing key ends where the path does; an
   empty trie has an empty one. */
#ifndef COH_PROOF_H
#define COH_PROOF_H

#include "common/base/buf.h"
#include "common/trie/mpt.h"

/* Sixty-four branches and a leaf. */
#define COH_PROOF_NODE_MAX 65u

typedef struct {
    coh_buf_t rlp; /* of the nodes, one behind the other */
    size_t ends[COH_PROOF_NODE_MAX];
    size_t cnt;
} coh_proof_t;

#define COH_PROOF_INIT ((coh_proof_t){.rlp = COH_BUF_INIT})

void coh_proof_free(coh_proof_t *proof);
/* coh_proof_add appends a node, copied. */
void coh_proof_add(coh_proof_t *proof, coh_bytes_t rlp);
/* coh_proof_read replaces proof's nodes by those of an RLP list, as answers and messages have them.
   Returns: COH_OK; COH_EMALFORMED no list of strings with nothing behind it, or more than COH_PROOF_NODE_MAX: proof has some of them */
coh_err_t coh_proof_read(coh_proof_t *proof, coh_bytes_t list);
/* coh_proof_node is node idx; valid until the next is added. */
coh_bytes_t coh_proof_node(coh_proof_t const *proof, size_t idx);

/* coh_mpt_prove replaces proof's nodes by those on the path of key in one trie. Of a bucket, they begin with the node that stands at its root, which
   coh_roots_prove continues to the top.
   Returns: COH_OK; as coh_mpt_update */
coh_err_t coh_mpt_prove(coh_mpt_t *mpt,
                        coh_proof_t *proof,
                        coh_mpt_id_t const *id,
                        coh_hash_t const *key);

/* coh_proof_verify checks nodes that came from anywhere.
   Out:     value  of key in the trie with this root; empty if proven missing; borrowed from proof
   Returns: COH_OK; COH_EMISMATCH the nodes prove nothing about key under this root */
coh_err_t coh_proof_verify(coh_bytes_t *value,
                           coh_proof_t const *proof,
                           coh_hash_t const *root,
                           coh_hash_t const *key);

#endif
