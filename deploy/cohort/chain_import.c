#include "deploy/cohort/chain_import.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

void coh_chain_import_free(coh_chain_import_t *in)
{
    free(in->raws);
    free(in->senders);
    coh_buf_free(&in->step_bytes);
    coh_buf_free(&in->extra);
    *in = (coh_chain_import_t){.cap = 0};
}

/* Encodes the steps, the first time to see how many octets they are. */
static coh_err_t put_steps(coh_chain_import_t *in, coh_plan_t const *plan)
{
    coh_steps_t const *const lists[] = {&plan->before, &plan->after};
    size_t ends[COH_STEP_CNT_MAX];
    uint32_t cnt = 0;
    coh_buf_clear(&in->step_bytes);
    for (uint32_t l = 0; l < COH_CNT(lists); l++) {
        for (uint32_t i = 0; i < lists[l]->cnt; i++) {
            COH_ASSERT(cnt < COH_STEP_CNT_MAX);
            size_t start = in->step_bytes.n;
            coh_step_put(&in->step_bytes, &lists[l]->steps[i]);
            if (in->step_bytes.n - start > COH_STEP_MAX) {
                return COH_ETOOBIG;
            }
            in->expect.step_use[cnt]     = lists[l]->use[i];
            in->expect.request_type[cnt] = lists[l]->request_type[i];
            ends[cnt++]                  = in->step_bytes.n;
        }
    }
    for (uint32_t i = 0; i < cnt; i++) {
        size_t start = i == 0 ? 0 : ends[i - 1];
        in->steps[i] = coh_bytes(in->step_bytes.p + start, ends[i] - start);
    }
    in->block.step_cnt   = cnt;
    in->block.before_cnt = plan->before.cnt;
    in->block.steps      = in->steps;
    return COH_OK;
}

/* What the body has behind the transactions. */
static coh_bytes_t put_extra(coh_chain_import_t *in, coh_block_t const *block)
{
    coh_buf_clear(&in->extra);
    coh_rlp_put_list_header(&in->extra, block->ommers.n);
    coh_buf_put(&in->extra, block->ommers.p, block->ommers.n);
    if (block->has_withdrawals) {
        coh_rlp_put_list_header(&in->extra, block->withdrawals.n);
        coh_buf_put(&in->extra, block->withdrawals.p, block->withdrawals.n);
    }
    return coh_buf_bytes(&in->extra);
}

coh_err_t coh_chain_import_make(coh_chain_import_t *in,
                                coh_plan_t const *plan,
                                coh_block_t const *block,
                                coh_rules_t const *rules)
{
    coh_block_env_t const *env = &plan->env;
    if (plan->tx_cnt > in->cap) {
        in->cap     = plan->tx_cnt;
        in->raws    = coh_realloc(in->raws, in->cap * sizeof(*in->raws));
        in->senders = coh_realloc(in->senders, in->cap * sizeof(*in->senders));
    }
    for (uint32_t i = 0; i < plan->tx_cnt; i++) {
        in->raws[i]    = plan->txs[i].tx.raw;
        in->senders[i] = plan->txs[i].sender;
    }
    in->expect        = (coh_import_expect_t){.header       = block->header,
                                              .header_fork  = block->header_fork,
                                              .hash         = block->hash,
                                              .blob_gas     = plan->blob_gas,
                                              .deposit_addr = rules->deposit_addr,
                                              .extra        = put_extra(in, block)};
    in->block         = coh_import_block_of(env);
    in->block.tx_cnt  = plan->tx_cnt;
    in->block.raws    = in->raws;
    in->block.senders = in->senders;
    in->block.expect  = &in->expect;
    return put_steps(in, plan);
}
