#include "coordinator/sequencer.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/blob.h"
#include "common/codec/body.h"
#include "common/codec/difficulty.h"

/* EIP-1559: base fee of the first block of London. */
#define INITIAL_BASE_FEE  UINT64_C(1000000000)
#define ELASTICITY        2u
#define GAS_LIMIT_DIVISOR 1024u
/* Of a block beside its transactions, in octets: header, list headers; and of each transaction, which is a string (EIP-2718). */
#define FRAME_BYTES    4096u
#define TX_FRAME_BYTES 9u

void coh_draft_free(coh_draft_t *draft)
{
    free(draft->txs);
    free(draft->drops);
    *draft = (coh_draft_t){0};
}

/* The gas limit of rules, or as near to it as one step from the parent's may come (Yellow Paper
   4.4.4; EIP-1559 doubles the parent's at London). */
static uint64_t next_gas_limit(uint64_t want, uint64_t parent, bool doubles)
{
    uint64_t from = doubles ? parent * ELASTICITY : parent;
    uint64_t step = from / GAS_LIMIT_DIVISOR;
    step -= step > 0;
    return want > from ? COH_MIN(want, from + step) : COH_MAX(want, from - step);
}

coh_block_env_t coh_sequencer_env(coh_sequencer_rules_t const *rules,
                                  coh_sequencer_parent_t const *parent,
                                  uint64_t now_s)
{
    coh_block_env_t env = {
        .number    = parent->number + 1,
        .timestamp = COH_MAX(parent->timestamp, now_s),
        .chain_id  = rules->genesis->chain_id,
        .coinbase  = rules->coinbase,
    };
    coh_fork_t below = coh_genesis_fork(rules->genesis, parent->number, parent->timestamp);
    env.fork         = coh_genesis_fork(rules->genesis, env.number, env.timestamp);
    bool is_london   = env.fork >= COH_FORK_LONDON && below < COH_FORK_LONDON;
    env.gas_limit    = next_gas_limit(rules->gas_limit, parent->gas_limit, is_london);
    if (env.fork >= COH_FORK_CANCUN) { /* EIP-4844 */
        coh_blob_params_t blobs        = coh_genesis_blob_params(rules->genesis, env.timestamp);
        coh_blob_parent_t const before = {.excess_blob_gas = parent->excess_blob_gas,
                                          .blob_gas_used   = parent->blob_gas_used,
                                          .base_fee        = parent->base_fee};
        env.blob_max                   = blobs.max;
        env.excess_blob_gas            = coh_blob_next_excess(&before, env.fork, &blobs);
        env.blob_base_fee = coh_blob_base_fee(env.excess_blob_gas, blobs.update_fraction);
    }
    if (env.fork >= COH_FORK_LONDON) {
        env.base_fee =
            is_london ? coh_u256(INITIAL_BASE_FEE)
                      : coh_base_fee_next(&parent->base_fee, parent->gas_used, parent->gas_limit);
    }
    if (env.fork < COH_FORK_PARIS) {
        coh_difficulty_parent_t const before = {.difficulty = parent->difficulty,
                                                .timestamp  = parent->timestamp,
                                                .has_ommers = parent->has_ommers};
        env.prev_randao                      = coh_difficulty_next(
            &before, env.fork, coh_difficulty_bomb_delay(env.fork), env.number, env.timestamp);
    }
    env.base_fee    = rules->base_fee != NULL ? *rules->base_fee : env.base_fee;
    env.prev_randao = rules->prev_randao != NULL ? *rules->prev_randao : env.prev_randao;
    env.gas_limit   = rules->gas_limit_jumps ? rules->gas_limit : env.gas_limit;
    return env;
}

/* Whether an empty block would lower the base fee (below 8 wei, the eighth of it is nothing), or what some wait for, the price of blobs. */
static bool can_fall(coh_sequencer_rules_t const *rules, coh_draft_t const *last)
{
    coh_block_env_t const *env = &last->env;
    coh_u256_t next            = coh_base_fee_next(&env->base_fee, 0, env->gas_limit);
    if (!last->blobs_wait || coh_u256_lt(&next, &env->base_fee)) {
        return coh_u256_lt(&next, &env->base_fee);
    }
    coh_blob_params_t blobs       = coh_genesis_blob_params(rules->genesis, env->timestamp);
    coh_blob_parent_t const empty = {.excess_blob_gas = env->excess_blob_gas,
                                     .base_fee        = env->base_fee};
    return coh_blob_next_excess(&empty, env->fork, &blobs) < env->excess_blob_gas;
}

bool coh_sequencer_is_due(coh_sequencer_rules_t const *rules,
                          coh_draft_t const *last,
                          coh_pool_t const *pool,
                          uint64_t now_us,
                          bool draining)
{
    size_t ready = coh_pool_ready_cnt(pool);
    if (ready == 0) {
        return false;
    }
    if (last->unpaid_cnt == 0) {
        return draining || ready >= rules->tx_max ||
               now_us >= coh_pool_oldest_ready_us(pool) + rules->interval_us;
    }
    /* Numbers alone do not tell: an unpaid one may have been replaced by one that pays, or have left
       while another came. */
    bool news    = coh_pool_turn_no(pool) != last->turn_no;
    size_t fresh = ready - COH_MIN(ready, last->unpaid_cnt);
    if (fresh >= rules->tx_max || (draining && news)) {
        return true;
    }
    bool waited = now_us >= last->built_us + rules->interval_us;
    return waited && !draining && (news || can_fall(rules, last));
}

uint64_t coh_sequencer_due_us(coh_sequencer_rules_t const *rules,
                              coh_draft_t const *last,
                              coh_pool_t const *pool)
{
    if (coh_pool_ready_cnt(pool) == 0) {
        return UINT64_MAX;
    }
    uint64_t since_us = last->unpaid_cnt == 0 ? coh_pool_oldest_ready_us(pool) : last->built_us;
    return since_us + rules->interval_us;
}

/* Why tx can be in no block under the rules of env, or OK. Brings its fork up to date. */
static coh_tx_err_t recheck(coh_pool_tx_t *tx,
                            coh_sequencer_rules_t const *rules,
                            coh_block_env_t const *env)
{
    if (tx->fork != env->fork) {
        coh_tx_err_t err = coh_tx_check_static(
            &tx->tx, env->fork, rules->genesis->chain_id, rules->allow_unprotected);
        if (err != COH_TX_OK) {
            return err;
        }
        tx->fork = env->fork;
    }
    return tx->tx.gas_limit > env->gas_limit ? COH_TX_GAS_LIMIT
                                             : coh_tx_check_blob_cnt(&tx->tx, env->blob_max);
}

static void drop(coh_draft_t *draft, coh_pool_t *pool, coh_pool_tx_t *tx, coh_tx_err_t reason)
{
    if (draft->drop_cnt == draft->drop_cap) {
        draft->drop_cap = draft->drop_cap == 0 ? 64 : 2 * draft->drop_cap;
        draft->drops    = coh_realloc(draft->drops, draft->drop_cap * sizeof(*draft->drops));
    }
    draft->drops[draft->drop_cnt++] = (coh_sequencer_drop_t){
        .hash = tx->hash, .sender = tx->sender, .nonce = tx->tx.nonce, .reason = reason};
    coh_pool_dropped(pool, tx);
}

void coh_sequencer_build(coh_draft_t *draft,
                         coh_sequencer_rules_t const *rules,
                         coh_sequencer_parent_t const *parent,
                         coh_pool_t *pool,
                         uint64_t now_s,
                         uint64_t now_us)
{
    COH_ASSERT(rules->tx_max > 0);
    if (draft->tx_cap < rules->tx_max) {
        draft->tx_cap = rules->tx_max;
        draft->txs    = coh_realloc(draft->txs, draft->tx_cap * sizeof(coh_pool_tx_t *));
    }
    draft->env        = coh_sequencer_env(rules, parent, now_s);
    draft->tx_cnt     = 0;
    draft->drop_cnt   = 0;
    draft->unpaid_cnt = 0;
    draft->built_us   = now_us;

    uint64_t gas_left = draft->env.gas_limit;
    size_t bytes_left =
        draft->env.fork >= COH_FORK_OSAKA ? COH_BLOCK_RLP_MAX - FRAME_BYTES : SIZE_MAX;
    uint32_t blobs_left = draft->env.blob_max;
    bool exhausted      = false;
    bool passed         = false;
    coh_pool_take_begin(pool, &draft->env.base_fee, &draft->env.blob_base_fee);
    while (draft->tx_cnt < rules->tx_max) {
        coh_pool_tx_t *tx = coh_pool_take(pool);
        if (tx == NULL) {
            exhausted = true;
            break;
        }
        coh_tx_err_t reason = recheck(tx, rules, &draft->env);
        if (reason != COH_TX_OK) {
            drop(draft, pool, tx, reason);
            continue;
        }
        size_t bytes = tx->tx.raw.n + TX_FRAME_BYTES;
        if (tx->tx.gas_limit > gas_left || bytes > bytes_left) {
            coh_pool_untake(pool, tx);
            break;
        }
        if (tx->tx.blob_cnt > blobs_left) {
            coh_pool_pass(pool, tx);
            passed = true;
            continue;
        }
        blobs_left -= tx->tx.blob_cnt;
        gas_left -= tx->tx.gas_limit;
        bytes_left -= bytes;
        draft->env.fees_exact |= coh_sequencer_asks_exact_fees(&draft->env, &tx->tx, &tx->sender);
        draft->txs[draft->tx_cnt++] = tx;
    }
    coh_pool_take_end(pool);
    if (exhausted && !passed) { /* what was passed fits the next block */
        draft->unpaid_cnt = coh_pool_ready_cnt(pool);
    }
    draft->blobs_wait = coh_pool_blobs_wait(pool);
    draft->turn_no    = coh_pool_turn_no(pool);
}
