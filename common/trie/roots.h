/* roots.h: the top of the account trie: the nodes of 4096 buckets, which stand at depth 3, merged into the state root, exactly as one trie would
   have it: of buckets that are alone below a branch's place, the node is lifted. Incremental: what did not change is not hashed again.

   A plain value behind a handle; no I/O. One thread at a time. */
#ifndef COH_ROOTS_H
#define COH_ROOTS_H

#include "common/trie/proof.h"

#define COH_ROOTS_BUCKET_CNT 4096u
/* Nibbles of a leaf's path at the root of a bucket: for coh_node_check. */
#define COH_ROOTS_PATH_CNT 61u

typedef struct coh_roots coh_roots_t;

/* coh_roots_new makes the top of an empty state; coh_roots_copy one like another. About 1 MB each. */
coh_roots_t *coh_roots_new(void);
coh_roots_t *coh_roots_copy(coh_roots_t const *roots);
void coh_roots_free(coh_roots_t *roots);

/* coh_roots_put sets a bucket's node, which has passed coh_node_check if it came from another rank. Copied.
   Out: undo  unless NULL, appended: the node before; the puts of one block make a record for coh_roots_revert */
void coh_roots_put(coh_roots_t *roots,
                   uint32_t bucket,
                   coh_mpt_node_t const *node,
                   coh_buf_t *undo);

/* coh_roots_get is a bucket's node; valid until it is put. */
coh_mpt_node_t const *coh_roots_get(coh_roots_t const *roots, uint32_t bucket);

/* coh_roots_compute brings the top up to date and tells the state root. Cost: a Keccak for each branch above a bucket that was put, 273 at most, in batches */
void coh_roots_compute(coh_roots_t *roots, coh_hash_t *root);

/* coh_roots_revert puts back what one record says. To go several blocks back, give their records, the last block's first.
   Returns: COH_OK; COH_EMALFORMED, and roots is then spoilt */
coh_err_t coh_roots_revert(coh_roots_t *roots, coh_bytes_t undo);

/* coh_roots_prove makes of a proof within key's bucket (coh_mpt_prove) one from the state root on. roots is computed.
   Out: out  replaced */
void coh_roots_prove(coh_roots_t const *roots,
                     coh_proof_t *out,
                     coh_proof_t const *in_bucket,
                     coh_hash_t const *key);

#endif
