/* state_roots.h: the state root of each block, out of what the shards say of the buckets that they own. */
#ifndef COH_STATE_ROOTS_H
#define COH_STATE_ROOTS_H

#include "common/state/directory.h"
#include "common/trie/roots.h"
#include "common/wire/wire.h"

/* Nodes of buckets, each bucket once. */
typedef struct {
    coh_mpt_node_t *v; /* owned */
    uint16_t *buckets; /* owned */
    size_t cnt, cap;
} coh_bucket_nodes_t;

void coh_bucket_nodes_free(coh_bucket_nodes_t *nodes);

/* coh_bucket_nodes_add copies what shard says.
   Returns: COH_OK; COH_EPROTO not ascending, a bucket that it does not own, or what is no node */
coh_err_t coh_bucket_nodes_add(coh_bucket_nodes_t *nodes,
                               coh_directory_t const *dir,
                               uint32_t shard,
                               coh_msg_nodes_t const *m);

/* coh_bucket_nodes_put is the same for a list that stands in another message. */
coh_err_t coh_bucket_nodes_put(coh_bucket_nodes_t *nodes,
                               coh_directory_t const *dir,
                               uint32_t shard,
                               coh_rec_node_t const *recs,
                               uint32_t cnt);

/* What stands at the root of a bucket after a transaction or step of a block, by its place in the block's order. */
typedef struct {
    uint32_t tx_idx;
    uint16_t bucket;
    coh_mpt_node_t node;
} coh_trail_entry_t;

typedef struct {
    coh_trail_entry_t *v; /* owned */
    size_t cnt, cap;
} coh_root_trail_t;

void coh_root_trail_free(coh_root_trail_t *trail);

/* coh_root_trail_add copies what shard says of a block of order_cnt transactions and steps.
   Returns: COH_OK; COH_EPROTO not ascending, or what coh_bucket_nodes_add does not take */
coh_err_t coh_root_trail_add(coh_root_trail_t *trail,
                             coh_directory_t const *dir,
                             uint32_t shard,
                             uint32_t order_cnt,
                             coh_msg_trail_t const *m);

typedef struct coh_state_roots coh_state_roots_t;

/* coh_state_roots_new begins with an empty state before block number. What leads back to the last blocks is kept: of history_blocks, as long as it takes no more than
   history_bytes. About 1.5 MB besides. */
coh_state_roots_t *coh_state_roots_new(uint64_t history_blocks, size_t history_bytes);
void coh_state_roots_free(coh_state_roots_t *roots);

/* coh_state_roots_start sets the state of block head, the first one known. */
void coh_state_roots_start(coh_state_roots_t *roots,
                           uint64_t head,
                           coh_hash_t *root,
                           coh_bucket_nodes_t const *nodes);
/* coh_state_roots_apply puts what block, the next one, changed, and computes its root. Cost: see coh_roots_compute */
void coh_state_roots_apply(coh_state_roots_t *roots,
                           uint64_t block,
                           coh_hash_t *root,
                           coh_bucket_nodes_t const *nodes);
/* coh_state_roots_follow computes the root after each of order_cnt transactions and steps, on top of what was applied so far, which stays as it is. Sorts trail. */
void coh_state_roots_follow(coh_state_roots_t const *roots,
                            coh_hash_t *out,
                            uint32_t order_cnt,
                            coh_root_trail_t *trail);
/* coh_state_roots_revert takes the last apply back: its block is not to be. */
void coh_state_roots_revert(coh_state_roots_t *roots);

/* coh_state_roots_rewind: of dev chains; the state as it is now is that of block head, and none before is kept. */
void coh_state_roots_rewind(coh_state_roots_t *roots, uint64_t head);

/* coh_state_roots_prove makes of a proof within key's bucket, as of block, one from that block's state root on.
   Out:     value  of key, borrowed from out; empty: there is none
   Returns: COH_OK; COH_ENOTFOUND the block is not kept (any more); COH_EMISMATCH the proof, which came from another rank, is none
   Cost:    a copy of the top, and the blocks since taken back */
coh_err_t coh_state_roots_prove(coh_state_roots_t const *roots,
                                uint64_t block,
                                coh_hash_t *root,
                                coh_proof_t *out,
                                coh_bytes_t *value,
                                coh_proof_t const *in_bucket,
                                coh_hash_t const *key);

/* coh_state_roots_suppose computes the root of the state of block if nodes stood at the roots of these buckets.
   Returns: COH_OK; COH_ENOTFOUND the block is not kept (any more)
   Cost:    as coh_state_roots_prove */
coh_err_t coh_state_roots_suppose(coh_state_roots_t const *roots,
                                  uint64_t block,
                                  coh_hash_t *root,
                                  coh_bucket_nodes_t const *nodes);

#endif
