#include "common/chain/line.h"

#include "common/chain/execute.h"

coh_block_err_t coh_block_check(coh_block_fault_t *fault,
                                coh_rules_t *rules,
                                coh_block_t const *block,
                                coh_schedule_t const *schedule,
                                coh_ancestor_t const *const *ancestors,
                                size_t ancestor_cnt)
{
    coh_header_t const *h      = &block->header;
    coh_parent_t const *parent = &ancestors[0]->self;
    *fault                     = (coh_block_fault_t){.err = COH_BLOCK_OK};
    *rules     = coh_schedule_rules(schedule, h->number, h->timestamp, &parent->total_difficulty);
    fault->err = coh_header_check(h, block->header_fork, parent, rules);
    if (fault->err == COH_BLOCK_OK) {
        fault->err = coh_body_check(block, rules);
    }
    if (fault->err == COH_BLOCK_OK && rules->fork < COH_FORK_PARIS) {
        fault->err = coh_ommers_check(fault, block, schedule, ancestors, ancestor_cnt);
    }
    return fault->err;
}

void coh_line_init(coh_line_t *line,
                   coh_schedule_t const *schedule,
                   coh_header_t const *first,
                   coh_fork_t shape,
                   coh_u256_t const *td)
{
    *line                   = (coh_line_t){.schedule = *schedule, .cnt = 1};
    line->ancestors[0].self = (coh_parent_t){.header           = *first,
                                             .hash             = coh_header_hash(first, shape),
                                             .header_fork      = shape,
                                             .total_difficulty = *td};
}

coh_ancestor_t const *coh_line_tip(coh_line_t const *line) { return &line->ancestors[line->tip]; }

bool coh_line_check(coh_line_t const *line,
                    coh_block_fault_t *fault,
                    coh_rules_t *rules,
                    coh_block_t const *block)
{
    coh_ancestor_t const *ancestors[COH_OMMER_GENERATION_MAX];
    for (uint32_t i = 0; i < line->cnt; i++) {
        ancestors[i] =
            &line->ancestors[(line->tip + COH_CNT(line->ancestors) - i) % COH_CNT(line->ancestors)];
    }
    if (!coh_hash_eq(&block->header.parent_hash, &ancestors[0]->self.hash)) {
        *fault = (coh_block_fault_t){.err = COH_BLOCK_UNKNOWN_PARENT};
        return false;
    }
    return coh_block_check(fault, rules, block, &line->schedule, ancestors, line->cnt) ==
           COH_BLOCK_OK;
}

void coh_line_push(coh_line_t *line, coh_block_t const *block)
{
    coh_u256_t td          = coh_line_tip(line)->self.total_difficulty;
    line->tip              = (line->tip + 1) % COH_CNT(line->ancestors);
    line->cnt              = COH_MIN(line->cnt + 1, (uint32_t)COH_CNT(line->ancestors));
    coh_ancestor_t *newest = &line->ancestors[line->tip];
    *newest                = (coh_ancestor_t){
                       .self = {.header = block->header, .hash = block->hash, .header_fork = block->header_fork}};
    /* Difficulties add up to far less than 2^256. */
    (void)coh_u256_add(&newest->self.total_difficulty, &td, &block->header.difficulty);
    coh_ommers_hashes(newest, block);
}
