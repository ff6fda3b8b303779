/* header.h: whether a header may follow another: every rule of every fork that needs no body and no state (Yellow Paper 4.4.4; EIP-1559, 3675, 4399, 4844, 4895,
   4788, 7685, 7918, 779). Proof of work (mix hash and nonce before the Merge) is not checked. */
#ifndef COH_HEADER_H
#define COH_HEADER_H

#include "common/chain/block_err.h"
#include "common/chain/schedule.h"
#include "common/codec/block.h"

/* A block as its child sees it. */
typedef struct {
    coh_header_t header;
    coh_hash_t hash;
    coh_fork_t header_fork; /* earliest that has the header's fields */
    coh_u256_t total_difficulty;
} coh_parent_t;

/* coh_header_check holds h, whose fields are those of shape, against the rules that it stands under. h->parent_hash is the parent's hash, of which the caller has
   seen to. */
coh_block_err_t coh_header_check(coh_header_t const *h,
                                 coh_fork_t shape,
                                 coh_parent_t const *parent,
                                 coh_rules_t const *rules);

#endif
