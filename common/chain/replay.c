#include "common/chain/replay.h"

#include "common/base/assert.h"

void coh_replay_schedule(coh_schedule_t *out, coh_genesis_t const *genesis)
{
    coh_schedule_init(out, COH_FORK_FRONTIER, genesis->chain_id);
    for (int fork = 1; fork < COH_FORK_CNT; fork++) {
        out->fork_at[fork] = genesis->fork_at[fork];
    }
    for (int step = 0; step < COH_BLOB_STEP_CNT; step++) {
        if (genesis->blob_params[step].max != 0) {
            out->blob_params[step] = genesis->blob_params[step];
        }
        if (step >= COH_BLOB_BPO1 && genesis->blob_params[step].max != 0) {
            out->blob_at[step] = genesis->bpo_at[step - COH_BLOB_BPO1];
        }
    }
}

void coh_replay_fill(void *arg, coh_memview_t *mv)
{
    coh_genesis_t const *genesis = arg;
    for (size_t i = 0; i < genesis->alloc_cnt; i++) {
        coh_genesis_account_t const *a = &genesis->alloc[i];
        coh_memview_put_account(mv, &a->addr, a->nonce, &a->balance, a->code);
        for (size_t k = 0; k < a->slot_cnt; k++) {
            coh_memview_put_slot(mv, &a->addr, &a->slots[k].key, &a->slots[k].value);
        }
    }
}

coh_block_fault_t const *coh_replay(coh_branches_t *b,
                                    uint64_t *cnt,
                                    coh_bytes_t chain,
                                    coh_replay_fn *fn,
                                    void *arg)
{
    static coh_block_fault_t const malformed = {.err = COH_BLOCK_MALFORMED};
    size_t at                                = 0;
    coh_bytes_t raw;
    coh_err_t err;
    *cnt = 0;
    while ((err = coh_block_next_raw(&raw, chain, &at)) == COH_OK) {
        coh_hash_t before              = coh_branches_head(b)->self.hash;
        coh_block_fault_t const *fault = coh_branches_import(b, raw);
        if (fault != NULL) {
            return fault;
        }
        coh_ancestor_t const *head = coh_branches_head(b);
        if (!coh_hash_eq(&before, &head->self.hash)) {
            ++*cnt;
            if (fn != NULL) {
                fn(arg, head);
            }
        }
    }
    return err == COH_ENOTFOUND ? NULL : &malformed;
}
