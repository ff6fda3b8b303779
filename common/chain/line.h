/* line.h: a chain without branches, checked block after block against what it needs of those below: the last seven and the total difficulty. So memory stays the same
   however long the chain is. For exported chains, stored ones, and whoever executes blocks himself.

   A plain value. One thread at a time. */
#ifndef COH_LINE_H
#define COH_LINE_H

#include "common/chain/ommers.h"

typedef struct {
    coh_schedule_t schedule;
    uint32_t cnt; /* ancestors known */
    uint32_t tip; /* where the last is */
    coh_ancestor_t ancestors[COH_OMMER_GENERATION_MAX];
} coh_line_t;

/* coh_block_check holds a decoded block against its ancestors: header, body and ommers, all that needs no execution. The first of ancestors is its parent,
   of which the caller has seen to; they are all there are, or COH_OMMER_GENERATION_MAX of them.
   Out:     rules  the block's, whatever is returned
   Returns: COH_BLOCK_OK, or what is wrong, with more of it in fault */
coh_block_err_t coh_block_check(coh_block_fault_t *fault,
                                coh_rules_t *rules,
                                coh_block_t const *block,
                                coh_schedule_t const *schedule,
                                coh_ancestor_t const *const *ancestors,
                                size_t ancestor_cnt);

/* coh_line_init begins behind one block, whose total difficulty is td (its own included). */
void coh_line_init(coh_line_t *line,
                   coh_schedule_t const *schedule,
                   coh_header_t const *first,
                   coh_fork_t shape,
                   coh_u256_t const *td);
/* coh_line_tip is the last block. */
coh_ancestor_t const *coh_line_tip(coh_line_t const *line);
/* coh_line_check tells whether block may be the next: UNKNOWN_PARENT if it names another parent than the last block, else as coh_block_check. */
bool coh_line_check(coh_line_t const *line,
                    coh_block_fault_t *fault,
                    coh_rules_t *rules,
                    coh_block_t const *block);
/* coh_line_push makes block the last. */
void coh_line_push(coh_line_t *line, coh_block_t const *block);

#endif
