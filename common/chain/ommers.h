/* ommers.h: which headers a block before the Merge may carry as ommers (Yellow Paper 11.1): two at most, children of an ancestor of the second to the
   seventh generation, valid there, no ancestors themselves and not included before. */
#ifndef COH_OMMERS_H
#define COH_OMMERS_H

#include "common/chain/header.h"
#include "common/codec/body.h"

#define COH_OMMER_MAX            2u
#define COH_OMMER_GENERATION_MAX 7u

/* An ancestor of the block. */
typedef struct {
    coh_parent_t self;
    uint32_t ommer_cnt;
    coh_hash_t ommers[COH_OMMER_MAX]; /* hashes of those that it carries */
} coh_ancestor_t;

/* coh_ommers_check checks the ommers of block.
   In: ancestors  the parent first; all there are, or COH_OMMER_GENERATION_MAX of them
   Returns: COH_BLOCK_OK, or what is wrong, with more of it in fault */
coh_block_err_t coh_ommers_check(coh_block_fault_t *fault,
                                 coh_block_t const *block,
                                 coh_schedule_t const *schedule,
                                 coh_ancestor_t const *const *ancestors,
                                 size_t ancestor_cnt);

/* coh_ommers_hashes gives the hashes of a checked block's ommers. */
void coh_ommers_hashes(coh_ancestor_t *out, coh_block_t const *block);

#endif
