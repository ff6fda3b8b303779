#include "deploy/cohort/verify_chain.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/chain/execute.h"
#include "common/chain/line.h"
#include "common/chain/replay.h"
#include "common/codec/receipt.h"
#include "coordinator/decision_log.h"
#include "deploy/cohort/chain_store.h"

#define HASH_WINDOW 256u

struct coh_verify {
    coh_schedule_t given;    /* of imported blocks */
    coh_schedule_t produced; /* of the others */
    coh_line_t line;
    coh_world_t *world;
    coh_execute_t *executor;
    coh_hash_t hashes[HASH_WINDOW]; /* by number */
    uint64_t first;                 /* lowest number whose hash is known */
    uint64_t tx_cnt, gas;
    coh_u256_t burnt_total;
    coh_buf_t raw;
    coh_buf_t scratch;
};

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    coh_verify_t const *v = arg;
    uint64_t last         = coh_line_tip(&v->line)->self.header.number;
    *out                  = COH_U256_ZERO;
    if (number >= v->first && number <= last && last - number < HASH_WINDOW) {
        *out = coh_u256_from_be(v->hashes[number % HASH_WINDOW].b, sizeof(coh_hash_t));
    }
}

coh_verify_t *coh_verify_new(coh_genesis_t const *genesis, uint64_t root_every)
{
    coh_verify_t *v = coh_calloc(1, sizeof(*v));
    coh_hash_t root;
    coh_replay_schedule(&v->given, genesis);
    v->produced = v->given;
    coh_replay_produced(&v->produced, genesis, root_every);
    coh_line_init(&v->line,
                  &v->given,
                  &genesis->header,
                  coh_genesis_fork(genesis, genesis->number, genesis->timestamp),
                  &genesis->header.difficulty);
    v->first = genesis->number;
    for (uint32_t i = genesis->ancestor_cnt; i-- > 0 && v->first + HASH_WINDOW > genesis->number;) {
        v->first                          = genesis->number - (genesis->ancestor_cnt - 1 - i);
        v->hashes[v->first % HASH_WINDOW] = genesis->ancestors[i];
    }
    if (genesis->ancestor_cnt == 0) {
        v->hashes[genesis->number % HASH_WINDOW] = genesis->hash;
    }
    v->executor       = coh_execute_new();
    v->world          = coh_world_new(COH_FORK_FRONTIER, COH_WORLD_INCREMENTAL);
    coh_memview_t *mv = coh_world_state(v->world);
    coh_replay_fill((void *)(uintptr_t)genesis, mv);
    coh_memview_set_block_hash(mv, block_hash, v);
    coh_world_root(v->world, &root);
    if (!coh_hash_eq(&root, &genesis->header.state_root)) {
        coh_verify_free(v);
        return NULL;
    }
    return v;
}

void coh_verify_free(coh_verify_t *v)
{
    if (v == NULL) {
        return;
    }
    coh_execute_free(v->executor);
    coh_world_free(v->world);
    coh_buf_free(&v->raw);
    coh_buf_free(&v->scratch);
    free(v);
}

coh_verified_t coh_verify_last(coh_verify_t const *v)
{
    coh_parent_t const *tip = &coh_line_tip(&v->line)->self;
    return (coh_verified_t){
        .number = tip->header.number, .hash = tip->hash, .tx_cnt = v->tx_cnt, .gas = v->gas};
}

static bool differs(coh_buf_t *why, uint32_t tx, char const *what)
{
    coh_buf_printf(why, "transaction %" PRIu32 ": %s is not as stored", tx, what);
    return false;
}

/* Holds what the record says of transaction idx against what executing it came to. gas: of those before it and of it. */
static bool check_tx(coh_verify_t *v,
                     coh_decision_tx_t const *stored,
                     coh_fork_t fork,
                     uint32_t idx,
                     uint64_t gas,
                     coh_buf_t *why)
{
    coh_executed_t const *executed = coh_execute_result(v->executor);
    coh_executed_tx_t const *tx    = &executed->txs[idx];
    coh_plan_tx_t const *plan      = &executed->plan->txs[idx];
    if (!coh_addr_eq(&plan->sender, &stored->sender)) {
        return differs(why, idx, "sender");
    }
    if (tx->gas_used != stored->gas_used) {
        return differs(why, idx, "gas");
    }
    if (tx->status != stored->status) {
        return differs(why, idx, "status");
    }
    coh_receipt_t receipt = {.type           = plan->tx.type,
                             .status         = stored->status,
                             .has_root       = fork < COH_FORK_BYZANTIUM,
                             .root           = stored->root,
                             .cumulative_gas = gas,
                             .logs           = stored->logs};
    if (stored->logs.n != 0 &&
        (!coh_logs_check(stored->logs) || !coh_bloom_add_logs(receipt.bloom, stored->logs))) {
        return differs(why, idx, "list of logs");
    }
    coh_buf_clear(&v->scratch);
    coh_receipt_put(&v->scratch, &receipt);
    return coh_bytes_eq(coh_buf_bytes(&v->scratch), tx->receipt) ||
           differs(why, idx, receipt.has_root ? "root or list of logs" : "list of logs");
}

static bool check_record(coh_verify_t *v,
                         coh_bytes_t record,
                         coh_block_t const *block,
                         coh_fork_t fork,
                         coh_buf_t *why)
{
    coh_decision_t d;
    coh_decision_cursor_t cur;
    coh_decision_tx_t tx;
    coh_u256_t burnt;
    uint64_t gas = 0;
    (void)coh_decision_read(&d, &cur, record); /* it could be read before */
    for (uint32_t i = 0; i < d.tx_cnt; i++) {
        (void)coh_decision_next_tx(&cur, &tx);
        gas += tx.gas_used;
        if (!check_tx(v, &tx, fork, i, gas, why)) {
            return false;
        }
    }
    (void)coh_u256_mul_u64(&burnt, &block->header.base_fee, block->header.gas_used);
    (void)coh_u256_add(&v->burnt_total, &v->burnt_total, &burnt);
    if (d.number != block->header.number || d.fork != fork) {
        coh_buf_printf(why, "the number or the fork in the record is not the block's");
        return false;
    }
    if (!coh_u256_eq(&d.burnt, &burnt) || !coh_u256_eq(&d.burnt_total, &v->burnt_total)) {
        coh_buf_printf(why, "burnt fees are not as stored");
        return false;
    }
    return true;
}

bool coh_verify_block(coh_verify_t *v, coh_bytes_t record, coh_buf_t *why)
{
    coh_decision_t d;
    coh_decision_cursor_t cur;
    coh_block_t block;
    coh_rules_t rules;
    coh_block_fault_t fault;
    coh_buf_clear(&v->raw);
    if (coh_decision_read(&d, &cur, record) != COH_OK ||
        coh_stored_block_put(&v->raw, &v->scratch, record) != COH_OK ||
        coh_block_decode(&block, coh_buf_bytes(&v->raw)) != COH_OK) {
        coh_buf_printf(why, "the decision record is damaged");
        return false;
    }
    v->line.schedule = d.extra.n == 0 ? v->produced : v->given;
    if (!coh_line_check(&v->line, &fault, &rules, &block)) {
        coh_block_fault_put(why, &fault);
        return false;
    }
    coh_block_fault_t const *failed = coh_execute_block(v->executor, v->world, &block, &rules);
    if (failed != NULL) {
        coh_block_fault_put(why, failed);
        return false;
    }
    if (!check_record(v, record, &block, rules.fork, why)) {
        return false;
    }
    coh_line_push(&v->line, &block);
    v->hashes[block.header.number % HASH_WINDOW] = block.hash;
    v->tx_cnt += block.tx_cnt;
    v->gas += block.header.gas_used;
    return true;
}
