#include "common/chain/plan.h"

#include "common/codec/blob.h"

void coh_plan_init(coh_plan_t *plan) { *plan = (coh_plan_t){.arena = COH_ARENA_INIT}; }

void coh_plan_fini(coh_plan_t *plan)
{
    coh_arena_free(&plan->arena);
    coh_buf_free(&plan->scratch);
    coh_buf_free(&plan->credits);
}

static coh_block_env_t make_env(coh_header_t const *h, coh_rules_t const *rules)
{
    coh_block_env_t env = {.number      = h->number,
                           .timestamp   = h->timestamp,
                           .gas_limit   = h->gas_limit,
                           .chain_id    = rules->chain_id,
                           .base_fee    = h->base_fee,
                           .prev_randao = rules->fork >= COH_FORK_PARIS
                                              ? coh_u256_from_be(h->mix_hash.b, 32)
                                              : h->difficulty,
                           .coinbase    = h->coinbase,
                           .fork        = rules->fork,
                           .blob_max    = rules->blobs.max,
                           .fees_exact  = true};
    if (rules->fork >= COH_FORK_CANCUN) {
        env.blob_base_fee = coh_blob_base_fee(h->excess_blob_gas, rules->blobs.update_fraction);
    }
    return env;
}

static bool fail_tx(coh_block_fault_t *fault, uint32_t idx, coh_tx_err_t err)
{
    *fault = (coh_block_fault_t){.err = COH_BLOCK_TX, .tx_err = err, .idx = idx};
    return false;
}

bool coh_plan_make(coh_plan_t *plan,
                   coh_block_fault_t *fault,
                   coh_block_t const *block,
                   coh_rules_t const *rules)
{
    coh_arena_reset(&plan->arena, COH_ARENA_CHUNK_SZ);
    size_t cnt              = block->tx_cnt;
    coh_rlp_t it            = coh_block_tx_iter(block);
    coh_tx_recover_t *batch = coh_arena_alloc(&plan->arena, (cnt + 1) * sizeof(*batch));
    coh_bytes_t raw;
    plan->env      = make_env(&block->header, rules);
    plan->txs      = coh_arena_alloc(&plan->arena, (cnt + 1) * sizeof(*plan->txs));
    plan->tx_cnt   = block->tx_cnt;
    plan->blob_gas = 0;
    for (uint32_t i = 0; coh_block_tx_next(&it, &raw); i++) {
        coh_tx_t *tx     = &plan->txs[i].tx;
        coh_tx_err_t err = coh_tx_decode_mined(tx, raw);
        if (err == COH_TX_OK) {
            err = coh_tx_check_static(tx, rules->fork, rules->chain_id, true);
        }
        if (err != COH_TX_OK && err != COH_TX_INTRINSIC_GAS && err != COH_TX_FLOOR_GAS) {
            return fail_tx(
                fault, i, err); /* those two are the transition's, behind funds and fees */
        }
        plan->blob_gas += coh_tx_blob_gas(tx);
        batch[i] = (coh_tx_recover_t){.tx = tx};
    }
    (void)coh_tx_recover_batch(batch, cnt, &plan->scratch);
    for (uint32_t i = 0; i < cnt; i++) {
        plan->txs[i].sender = batch[i].sender;
        plan->txs[i].hash   = batch[i].hash;
        if (batch[i].err != COH_TX_OK) {
            return fail_tx(fault, i, batch[i].err);
        }
    }
    coh_steps_before(&plan->before, block, rules);
    coh_steps_after(&plan->after, &plan->credits, block, rules);
    return true;
}

coh_block_err_t coh_block_compare(coh_header_t const *h,
                                  coh_fork_t fork,
                                  coh_block_sums_t const *sums)
{
    if (!coh_hash_eq(&h->tx_root, &sums->tx_root)) {
        return COH_BLOCK_TX_ROOT;
    }
    if (h->gas_used != sums->gas_used) {
        return COH_BLOCK_GAS_USED;
    }
    if (fork >= COH_FORK_CANCUN && h->blob_gas_used != sums->blob_gas_used) {
        return COH_BLOCK_BLOB_GAS_USED;
    }
    if (memcmp(h->bloom, sums->bloom, sizeof(sums->bloom)) != 0) {
        return COH_BLOCK_BLOOM;
    }
    if (!coh_hash_eq(&h->receipts_root, &sums->receipts_root)) {
        return COH_BLOCK_RECEIPTS_ROOT;
    }
    if (fork >= COH_FORK_PRAGUE && !coh_hash_eq(&h->requests_hash, &sums->requests_hash)) {
        return COH_BLOCK_REQUESTS_HASH;
    }
    return coh_hash_eq(&h->state_root, &sums->state_root) ? COH_BLOCK_OK : COH_BLOCK_STATE_ROOT;
}
