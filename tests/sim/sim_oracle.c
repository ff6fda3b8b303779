#include "tests/sim/sim_oracle.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/codec/blob.h"
#include "common/codec/rlp.h"
#include "common/codec/step.h"
#include "common/crypto/keccak.h"
#include "common/trie/account.h"
#include "common/trie/proof.h"
#include "common/wire/wire.h"
#include "tests/sim/sim_disk.h"
#include "tests/support/flat_root.h"

/* ANNOUNCED ─all of its transactions seen, decided─▶ COMMITTED. An announced block of a number may be replaced by another (ABORT, restart); a committed one not. */
typedef struct {
    uint64_t number;
    uint64_t run;
    uint32_t attempt;
    bool announced;
    bool committed;
    coh_ref_block_t env;
    uint64_t timestamp;
    uint64_t excess_blob_gas; /* if it is produced */
    uint32_t tx_cnt;
    uint32_t seen_cnt;
    uint32_t included_cnt;
    sim_oracle_tx_t *txs; /* owned, with their raw bytes */
    bool header_known;
    coh_header_t header;
    coh_hash_t hash;
    coh_ref_t after; /* if committed */
} block_t;

struct sim_oracle {
    sim_t *sim;
    sim_oracle_params_t params;
    coh_genesis_t const *genesis;
    coh_wire_reader_t *reader;
    coh_u256_t supply;
    coh_ref_t start; /* after genesis */
    uint64_t base;   /* number of genesis: the block before blocks[0] */
    block_t *blocks;
    size_t block_cnt;
    uint64_t head;
    size_t included_cnt;
    size_t left_out_cnt;
    sim_drawn_t drawn;
    uint64_t ready_run;  /* of the last READY... */
    uint32_t ready_cnt;  /* ...how many there were in it... */
    uint64_t ready_head; /* ...and the head then */
};

sim_oracle_t *sim_oracle_new(sim_t *sim,
                             coh_genesis_t const *genesis,
                             sim_oracle_params_t const *params)
{
    sim_oracle_t *oracle = coh_calloc(1, sizeof(*oracle));
    *oracle              = (sim_oracle_t){
                     .sim     = sim,
                     .params  = *params,
                     .genesis = genesis,
                     .reader  = coh_wire_reader_new(),
                     .base    = genesis->number,
                     .head    = genesis->number,
    };
    coh_ref_init(&oracle->start);
    coh_ref_put_alloc(&oracle->start, genesis->alloc, genesis->alloc_cnt);
    oracle->supply = coh_ref_total(&oracle->start);
    return oracle;
}

static void clear_block(block_t *block)
{
    for (uint32_t i = 0; i < block->tx_cnt; i++) {
        free((void *)(uintptr_t)block->txs[i].tx.raw.p);
    }
    free(block->txs);
    if (block->committed) {
        coh_ref_fini(&block->after);
    }
    *block = (block_t){0};
}

void sim_oracle_free(sim_oracle_t *oracle)
{
    for (size_t i = 0; i < oracle->block_cnt; i++) {
        clear_block(&oracle->blocks[i]);
    }
    free(oracle->blocks);
    coh_ref_fini(&oracle->start);
    coh_wire_reader_free(oracle->reader);
    free(oracle);
}

/* The block of a number above genesis, empty if nothing is known of it. */
static block_t *block_at(sim_oracle_t *oracle, uint64_t number)
{
    COH_ASSERT(number > oracle->base && number - oracle->base < 1000000);
    size_t idx = (size_t)(number - oracle->base - 1);
    if (idx >= oracle->block_cnt) {
        oracle->blocks = coh_realloc(oracle->blocks, (idx + 1) * sizeof(*oracle->blocks));
        memset(oracle->blocks + oracle->block_cnt,
               0,
               (idx + 1 - oracle->block_cnt) * sizeof(*oracle->blocks));
        oracle->block_cnt = idx + 1;
    }
    return &oracle->blocks[idx];
}

uint64_t sim_oracle_head(sim_oracle_t const *oracle) { return oracle->head; }

coh_ref_t const *sim_oracle_state(sim_oracle_t const *oracle, uint64_t number)
{
    COH_ASSERT(number >= oracle->base && number <= oracle->head);
    return number == oracle->base ? &oracle->start
                                  : &oracle->blocks[number - oracle->base - 1].after;
}

sim_drawn_t sim_oracle_drawn(sim_oracle_t const *oracle) { return oracle->drawn; }

size_t sim_oracle_included_cnt(sim_oracle_t const *oracle) { return oracle->included_cnt; }

size_t sim_oracle_left_out_cnt(sim_oracle_t const *oracle) { return oracle->left_out_cnt; }

/* The base fee that follows the head (EIP-1559). */
static coh_u256_t next_base_fee(sim_oracle_t const *oracle, coh_fork_t fork)
{
    if (fork < COH_FORK_LONDON) {
        return COH_U256_ZERO;
    }
    if (oracle->head == oracle->base) {
        return coh_base_fee_next(&oracle->genesis->base_fee, 0, oracle->genesis->gas_limit);
    }
    coh_ref_block_t const *env = &oracle->blocks[oracle->head - oracle->base - 1].env;
    return coh_base_fee_next(&env->base_fee, env->gas_used, env->gas_limit);
}

/* The excess blob gas that follows the head (EIP-4844, EIP-7918). */
static uint64_t next_excess(sim_oracle_t const *oracle,
                            coh_fork_t fork,
                            coh_blob_params_t const *params)
{
    coh_blob_parent_t parent = {.excess_blob_gas = oracle->genesis->header.excess_blob_gas,
                                .base_fee        = oracle->genesis->base_fee};
    if (oracle->head != oracle->base) {
        block_t const *head = &oracle->blocks[oracle->head - oracle->base - 1];
        parent              = (coh_blob_parent_t){.excess_blob_gas = head->excess_blob_gas,
                                                  .blob_gas_used   = COH_TX_BLOB_GAS * head->env.blob_cnt,
                                                  .base_fee        = head->env.base_fee};
    }
    return fork < COH_FORK_CANCUN ? 0 : coh_blob_next_excess(&parent, fork, params);
}

coh_ref_block_t sim_oracle_next_block(sim_oracle_t const *oracle)
{
    coh_genesis_t const *genesis = oracle->genesis;
    coh_fork_t fork          = coh_genesis_fork(genesis, oracle->head + 1, genesis->timestamp + 1);
    coh_blob_params_t params = coh_genesis_blob_params(genesis, genesis->timestamp + 1);
    coh_ref_block_t next     = {
            .fork      = fork,
            .gas_limit = genesis->gas_limit,
            .chain_id  = genesis->chain_id,
            .base_fee  = next_base_fee(oracle, fork),
            .coinbase  = genesis->coinbase,
            .blob_max  = params.max,
    };
    if (fork >= COH_FORK_CANCUN) {
        next.blob_base_fee =
            coh_blob_base_fee(next_excess(oracle, fork, &params), params.update_fraction);
    }
    return next;
}

sim_oracle_tx_t const *sim_oracle_find(sim_oracle_t const *oracle, coh_hash_t const *hash)
{
    for (uint64_t n = oracle->base; n < oracle->head; n++) {
        block_t const *block = &oracle->blocks[n - oracle->base];
        for (uint32_t i = 0; i < block->tx_cnt; i++) {
            sim_oracle_tx_t const *tx = &block->txs[i];
            if (tx->outcome.verdict == COH_TX_OK && coh_hash_eq(&tx->hash, hash)) {
                return tx;
            }
        }
    }
    return NULL;
}

/* ---- commitment ---- */

static bool has_decision(sim_oracle_t *oracle, uint64_t number)
{
    uint8_t key[8];
    coh_store_u64_be(key, number);
    return sim_disk_is_durable(
        sim_disk_of(oracle->sim, 0), COH_KV_BLOCKS, coh_bytes(key, sizeof(key)));
}

/* Before the Merge a block ends with two ether for its coinbase (EIP-1234). */
static void apply_reward(sim_oracle_t *oracle, block_t *block, sim_oracle_tx_t *step)
{
    coh_u256_t const reward = coh_u256(UINT64_C(2000000000000000000));
    coh_ref_account_t *to   = coh_ref_account(&block->after, &block->env.coinbase);
    to->exists              = true;
    (void)coh_u256_add(&to->balance, &to->balance, &reward);
    (void)coh_u256_add(&oracle->supply, &oracle->supply, &reward);
    step->outcome.verdict = COH_TX_ERR_CNT; /* in no block's list */
    if (!step->voted || step->status != COH_STEP_RAN) {
        sim_fail(
            oracle->sim, "block %" PRIu64 ": its reward was not reported as paid", block->number);
    }
}

static bool is_delegated(coh_ref_t const *ref, coh_addr_t const *addr)
{
    coh_ref_account_t const *account = coh_ref_find(ref, addr);
    return account != NULL && account->is_delegated;
}

/* Executes block as the next of the chain, and compares what the homes reported. */
static void commit(sim_oracle_t *oracle, block_t *block)
{
    sim_t *sim = oracle->sim;
    if (!block->announced || block->seen_cnt != block->tx_cnt) {
        sim_fail(sim,
                 "block %" PRIu64 " is committed, but was announced with %u of %u transactions",
                 oracle->head + 1,
                 block->seen_cnt,
                 block->tx_cnt);
        return;
    }
    if (oracle->params.look_at_disks && !has_decision(oracle, block->number)) {
        sim_fail(sim,
                 "block %" PRIu64 " is shown as committed before its decision record is durable",
                 block->number);
        return;
    }
    if (!oracle->params.import) {
        coh_ref_block_t next     = sim_oracle_next_block(oracle);
        coh_blob_params_t params = coh_genesis_blob_params(oracle->genesis, block->timestamp);
        if (!coh_u256_eq(&next.base_fee, &block->env.base_fee) ||
            !coh_u256_eq(&next.blob_base_fee, &block->env.blob_base_fee) ||
            next.blob_max != block->env.blob_max) {
            sim_fail(sim,
                     "block %" PRIu64
                     " has another base fee, or price of blobs, than follows from the one before",
                     block->number);
            return;
        }
        block->excess_blob_gas = next_excess(oracle, next.fork, &params);
    }
    coh_ref_copy(&block->after, sim_oracle_state(oracle, oracle->head));
    block->committed = true;
    oracle->head     = block->number;
    for (uint32_t i = 0; i < block->tx_cnt; i++) {
        sim_oracle_tx_t *tx = &block->txs[i];
        if (tx->is_reward) {
            apply_reward(oracle, block, tx);
            continue;
        }
        bool from_delegated = is_delegated(&block->after, &tx->sender);
        bool to_delegated   = is_delegated(&block->after, &tx->tx.to);
        tx->outcome         = coh_ref_apply(&block->after, &block->env, &tx->tx, &tx->sender);
        bool included       = tx->outcome.verdict == COH_TX_OK;
        if (!tx->voted) {
            sim_fail(sim,
                     "block %" PRIu64 " transaction %u: committed without a report of its home",
                     block->number,
                     i);
        } else if (tx->verdict != tx->outcome.verdict) {
            sim_fail(sim,
                     "block %" PRIu64 " transaction %u: verdict \"%s\", by the reference \"%s\"",
                     block->number,
                     i,
                     coh_tx_err_str((coh_tx_err_t)tx->verdict),
                     coh_tx_err_str(tx->outcome.verdict));
        } else if (included && (tx->gas_used != tx->outcome.gas_used ||
                                tx->status != (tx->outcome.failed ? 0 : 1))) {
            sim_fail(sim,
                     "block %" PRIu64 " transaction %u: gas %" PRIu64
                     " status %u, by the reference %" PRIu64 " and %u",
                     block->number,
                     i,
                     tx->gas_used,
                     tx->status,
                     tx->outcome.gas_used,
                     tx->outcome.failed ? 0 : 1);
        } else if (!included && oracle->params.import) {
            sim_fail(sim,
                     "block %" PRIu64 " was imported although its transaction %u is invalid: %s",
                     block->number,
                     i,
                     coh_tx_err_str(tx->outcome.verdict));
        }
        if (included) {
            if (sim_oracle_find(oracle, &tx->hash) != tx) {
                sim_fail(
                    sim, "block %" PRIu64 " transaction %u was executed before", block->number, i);
            }
            tx->place          = block->included_cnt++;
            tx->cumulative_gas = block->env.gas_used;
            oracle->included_cnt++;
            oracle->drawn.type[tx->tx.type]++;
            oracle->drawn.from_delegated += from_delegated;
            oracle->drawn.to_delegated += to_delegated;
            oracle->drawn.failed += tx->outcome.failed;
        } else {
            oracle->left_out_cnt++;
        }
    }
    sim_trace(sim,
              "oracle: block %" PRIu64 " committed, %u of %u transactions",
              block->number,
              block->included_cnt,
              block->tx_cnt);
}

void sim_oracle_learn(sim_oracle_t *oracle, uint64_t number)
{
    while (oracle->head < number && sim_failed(oracle->sim) == NULL) {
        commit(oracle, block_at(oracle, oracle->head + 1));
    }
}

/* Blocks above head that were announced will not be: if one of them is committed all the same, that is seen. */
static void forget_above(sim_oracle_t *oracle, uint64_t head)
{
    for (uint64_t n = head; n - oracle->base < oracle->block_cnt; n++) {
        clear_block(&oracle->blocks[n - oracle->base]);
    }
}

/* ---- messages ---- */

static void on_block(sim_oracle_t *oracle, uint32_t dst, coh_msg_block_t const *msg)
{
    sim_t *sim = oracle->sim;
    if (msg->number <= oracle->head) {
        sim_fail(sim,
                 "block %" PRIu64 " is announced, but block %" PRIu64 " is committed",
                 msg->number,
                 oracle->head);
        return;
    }
    block_t *block = block_at(oracle, msg->number);
    uint64_t run   = sim_run(sim);
    if (!block->announced || block->run != run || block->attempt != msg->attempt) {
        clear_block(block);
        *block = (block_t){
            .number    = msg->number,
            .run       = run,
            .attempt   = msg->attempt,
            .announced = true,
            .env       = {.fork          = (coh_fork_t)msg->fork,
                          .gas_limit     = msg->gas_limit,
                          .chain_id      = oracle->genesis->chain_id,
                          .base_fee      = msg->base_fee,
                          .blob_base_fee = msg->blob_base_fee,
                          .blob_max      = msg->blob_max,
                          .coinbase      = msg->coinbase},
            .timestamp = msg->timestamp,
            .tx_cnt    = msg->tx_cnt,
            .txs       = coh_calloc(msg->tx_cnt + 1, sizeof(*block->txs)),
        };
    }
    if (block->tx_cnt != msg->tx_cnt || block->timestamp != msg->timestamp ||
        block->env.fork != (coh_fork_t)msg->fork || block->env.gas_limit != msg->gas_limit ||
        !coh_u256_eq(&block->env.base_fee, &msg->base_fee) ||
        !coh_u256_eq(&block->env.blob_base_fee, &msg->blob_base_fee) ||
        block->env.blob_max != msg->blob_max ||
        !coh_addr_eq(&block->env.coinbase, &msg->coinbase)) {
        sim_fail(sim, "block %" PRIu64 " is announced differently to rank %u", msg->number, dst);
        return;
    }
    for (uint32_t i = 0; i < msg->txs.cnt; i++) {
        coh_rec_block_tx_t const *rec = &msg->txs.v[i];
        if (rec->tx_idx >= block->tx_cnt || block->txs[rec->tx_idx].home != 0) {
            sim_fail(sim,
                     "block %" PRIu64 ": index %u is out of range or has two homes",
                     msg->number,
                     rec->tx_idx);
            return;
        }
        sim_oracle_tx_t *tx = &block->txs[rec->tx_idx];
        if (rec->is_step != 0) {
            if (block->env.fork >= COH_FORK_PARIS || rec->tx_idx + 1 != block->tx_cnt) {
                sim_fail(sim, "block %" PRIu64 " has a step that it should not have", msg->number);
                return;
            }
            tx->is_reward = true;
            tx->home      = dst;
            block->seen_cnt++;
            continue;
        }
        uint8_t *raw = coh_calloc(rec->raw.n + 1, 1);
        memcpy(raw, rec->raw.p, rec->raw.n);
        coh_tx_err_t err = coh_tx_decode(&tx->tx, coh_bytes(raw, rec->raw.n));
        tx->tx.raw       = coh_bytes(raw, rec->raw.n);
        tx->sender       = rec->sender;
        tx->home         = dst;
        tx->block        = msg->number;
        coh_keccak256(&tx->hash, raw, rec->raw.n);
        block->seen_cnt++;
        if (err != COH_TX_OK) {
            sim_fail(
                sim, "block %" PRIu64 ": transaction %u does not decode", msg->number, rec->tx_idx);
            return;
        }
    }
}

/* The last block up to number with a state root of its own. */
static uint64_t root_block(sim_oracle_t const *oracle, uint64_t number)
{
    return COH_MAX(number - number % oracle->params.root_every, oracle->base);
}

/* All shards have recovered: what their tables hold, built anew, must be what the head's header says. */
static void check_stores(sim_oracle_t *oracle, uint32_t shard_cnt)
{
    coh_kv_t *shards[64];
    COH_ASSERT(shard_cnt <= COH_CNT(shards));
    for (uint32_t i = 0; i < shard_cnt; i++) {
        shards[i] = sim_disk_kv(sim_disk_of(oracle->sim, i + 1));
    }
    coh_hash_t want = oracle->genesis->header.state_root;
    coh_hash_t root;
    (void)coh_test_head_root(&want, sim_disk_kv(sim_disk_of(oracle->sim, 0)));
    if (!coh_test_flat_root(&root, shards, shard_cnt) || !coh_hash_eq(&root, &want)) {
        sim_fail(oracle->sim,
                 "after a start, the flat tables have another state root than the head");
    }
}

static void on_ready(sim_oracle_t *oracle, uint64_t head)
{
    uint64_t run       = sim_run(oracle->sim);
    oracle->ready_cnt  = oracle->ready_run == run ? oracle->ready_cnt + 1 : 1;
    oracle->ready_run  = run;
    oracle->ready_head = head;
    uint32_t shards    = sim_shard_cnt(oracle->sim);
    if (oracle->ready_cnt == shards && oracle->params.look_at_disks &&
        root_block(oracle, head) == head) {
        check_stores(oracle, shards);
    }
}

static void on_vote(sim_oracle_t *oracle, uint32_t src, coh_msg_vote_t const *msg)
{
    sim_t *sim = oracle->sim;
    if (msg->block <= oracle->head) {
        sim_fail(sim, "rank %u votes on block %" PRIu64 ", which is committed", src, msg->block);
        return;
    }
    if (!msg->yes) {
        return;
    }
    if (msg->has_redo && oracle->params.look_at_disks) {
        uint8_t key[8];
        coh_store_u64_be(key, msg->block);
        if (!sim_disk_is_durable(sim_disk_of(sim, src), COH_KV_REDO, coh_bytes(key, sizeof(key)))) {
            sim_fail(sim,
                     "rank %u votes yes on block %" PRIu64 " before its redo record is durable",
                     src,
                     msg->block);
            return;
        }
    }
    block_t *block = block_at(oracle, msg->block);
    if (!block->announced) {
        return; /* an ABORT is on its way to the shard */
    }
    for (uint32_t i = 0; i < msg->results.cnt; i++) {
        coh_rec_result_t const *result = &msg->results.v[i];
        if (result->tx_idx >= block->tx_cnt || block->txs[result->tx_idx].home != src) {
            sim_fail(sim,
                     "rank %u reports on transaction %u of block %" PRIu64
                     ", which it is not the home of",
                     src,
                     result->tx_idx,
                     msg->block);
            return;
        }
        sim_oracle_tx_t *tx = &block->txs[result->tx_idx];
        tx->voted           = true;
        tx->verdict         = result->verdict;
        tx->status          = result->status;
        tx->gas_used        = result->gas_used;
    }
}

static void on_message(sim_oracle_t *oracle, uint32_t src, uint32_t dst, coh_msg_t const *msg)
{
    sim_t *sim = oracle->sim;
    switch (msg->id) {
    case COH_MSG_BLOCK: on_block(oracle, dst, &msg->u.block); break;
    case COH_MSG_VOTE: on_vote(oracle, src, &msg->u.vote); break;
    case COH_MSG_READY: on_ready(oracle, msg->u.ready.head); break;
    case COH_MSG_COMMIT:
        if (msg->u.commit.block > oracle->head + 1) {
            sim_fail(sim,
                     "COMMIT %" PRIu64 " leaves while %" PRIu64 " is the last committed block",
                     msg->u.commit.block,
                     oracle->head);
        }
        sim_oracle_learn(oracle, msg->u.commit.block);
        break;
    case COH_MSG_ABORT:
        if (msg->u.abort.block <= oracle->head) {
            sim_fail(sim, "ABORT %" PRIu64 " although it is committed", msg->u.abort.block);
        } else {
            forget_above(oracle, msg->u.abort.block - 1);
        }
        break;
    case COH_MSG_WELCOME:
        if (msg->u.welcome.head < oracle->head) {
            sim_fail(sim,
                     "the coordinator remembers blocks up to %" PRIu64 ", but %" PRIu64
                     " was committed",
                     msg->u.welcome.head,
                     oracle->head);
        }
        sim_oracle_learn(oracle, msg->u.welcome.head);
        forget_above(oracle, oracle->head);
        break;
    default: break;
    }
}

void sim_oracle_on_frame(sim_oracle_t *oracle, uint32_t src, uint32_t dst, coh_bytes_t frame)
{
    coh_envelope_t envelope;
    coh_err_t err = coh_wire_reader_begin(oracle->reader, frame, &envelope);
    coh_msg_t msg;
    while (err == COH_OK && sim_failed(oracle->sim) == NULL) {
        err = coh_wire_reader_next(oracle->reader, &msg);
        if (err == COH_OK) {
            on_message(oracle, src, dst, &msg);
        }
    }
    if (err != COH_OK && err != COH_ENOTFOUND) {
        sim_fail(oracle->sim,
                 "rank %u sends rank %u a frame that does not decode: %s",
                 src,
                 dst,
                 coh_err_str(err));
    } else if (envelope.sender != src) {
        sim_fail(oracle->sim, "rank %u says in a frame that it is rank %u", src, envelope.sender);
    }
}

/* ---- what clients are told ---- */

/* The committed block of a number that a client was told of, or NULL if the history has failed. */
static block_t *told_block(sim_oracle_t *oracle, uint64_t number)
{
    if (number <= oracle->base || number > oracle->head + 64) {
        sim_fail(oracle->sim,
                 "a client is told of block %" PRIu64 ", the head is %" PRIu64,
                 number,
                 oracle->head);
        return NULL;
    }
    sim_oracle_learn(oracle, number);
    return sim_failed(oracle->sim) == NULL ? block_at(oracle, number) : NULL;
}

void sim_oracle_check_hash(sim_oracle_t *oracle, uint64_t number, coh_hash_t const *hash)
{
    if (number == oracle->base) {
        return; /* genesis: its identity is the genesis' business */
    }
    block_t *block = told_block(oracle, number);
    if (block != NULL && block->header_known && !coh_hash_eq(&block->hash, hash)) {
        sim_fail(oracle->sim, "block %" PRIu64 " had another hash before", number);
    }
}

/* The first sight of a header fixes the block's hash. */
static void check_header(sim_oracle_t *oracle,
                         uint64_t number,
                         coh_hash_t const *hash,
                         coh_bytes_t rlp)
{
    sim_t *sim     = oracle->sim;
    block_t *block = told_block(oracle, number);
    if (block == NULL) {
        return;
    }
    coh_header_t header;
    coh_fork_t fork;
    if (coh_header_decode(&header, &fork, rlp) != COH_OK) {
        sim_fail(sim, "the header of block %" PRIu64 " does not decode", number);
        return;
    }
    coh_hash_t real;
    coh_keccak256(&real, rlp.p, rlp.n);
    if (!coh_hash_eq(&real, hash)) {
        sim_fail(sim, "the header of block %" PRIu64 " has another hash than is said", number);
        return;
    }
    sim_oracle_check_hash(oracle, number, hash);
    coh_ref_block_t const *env = &block->env;
    if (header.number != number || header.gas_used != env->gas_used ||
        header.gas_limit != env->gas_limit || header.timestamp != block->timestamp ||
        !coh_addr_eq(&header.coinbase, &env->coinbase) ||
        header.blob_gas_used != COH_TX_BLOB_GAS * env->blob_cnt ||
        (!oracle->params.import && header.excess_blob_gas != block->excess_blob_gas) ||
        (env->fork >= COH_FORK_LONDON && !coh_u256_eq(&header.base_fee, &env->base_fee))) {
        sim_fail(sim,
                 "the header of block %" PRIu64 " differs from the reference: number %" PRIu64
                 ", gas used %" PRIu64 " (%" PRIu64 "), gas limit %" PRIu64 " (%" PRIu64
                 "), time %" PRIu64 " (%" PRIu64 ")",
                 number,
                 header.number,
                 header.gas_used,
                 env->gas_used,
                 header.gas_limit,
                 env->gas_limit,
                 header.timestamp,
                 block->timestamp);
        return;
    }
    if (number > oracle->base + 1) {
        block_t const *parent = block_at(oracle, number - 1);
        block                 = block_at(oracle, number);
        if (parent->header_known && !coh_hash_eq(&header.parent_hash, &parent->hash)) {
            sim_fail(sim, "the header of block %" PRIu64 " names another parent", number);
        }
        if (!oracle->params.import && header.timestamp < parent->timestamp) {
            sim_fail(sim, "block %" PRIu64 " is earlier than its parent", number);
        }
    }
    coh_hash_t root;
    coh_ref_state_root(&root, sim_oracle_state(oracle, root_block(oracle, number)));
    if (!coh_hash_eq(&header.state_root, &root)) {
        sim_fail(sim,
                 "the header of block %" PRIu64 " has another state root than the reference",
                 number);
    }
    block->header_known = true;
    block->header       = header;
    block->hash         = *hash;
}

void sim_oracle_check_block(sim_oracle_t *oracle, coh_op_block_answer_t const *answer)
{
    check_header(oracle, answer->number, &answer->hash, answer->header);
    if (sim_failed(oracle->sim) != NULL) {
        return;
    }
    block_t const *block = block_at(oracle, answer->number);
    bool same            = answer->txs.cnt == block->included_cnt;
    for (uint32_t i = 0; same && i < block->tx_cnt; i++) {
        sim_oracle_tx_t const *tx = &block->txs[i];
        same =
            tx->outcome.verdict != COH_TX_OK || coh_hash_eq(&tx->hash, &answer->txs.v[tx->place]);
    }
    if (!same) {
        sim_fail(
            oracle->sim, "block %" PRIu64 " is said to hold other transactions", answer->number);
    }
}

void sim_oracle_check_receipt(sim_oracle_t *oracle, coh_op_receipt_t const *receipt)
{
    if (told_block(oracle, receipt->block) == NULL) {
        return;
    }
    sim_oracle_tx_t const *tx = sim_oracle_find(oracle, &receipt->tx_hash);
    if (tx == NULL || tx->block != receipt->block) {
        sim_fail(oracle->sim,
                 "a receipt says that block %" PRIu64 " holds a transaction that it does not hold",
                 receipt->block);
        return;
    }
    if (tx->place != receipt->tx_idx || receipt->type != (uint32_t)tx->tx.type ||
        !coh_addr_eq(&receipt->from, &tx->sender) || !coh_addr_eq(&receipt->to, &tx->tx.to) ||
        receipt->status != (tx->outcome.failed ? 0 : 1) ||
        receipt->gas_used != tx->outcome.gas_used ||
        receipt->cumulative_gas != tx->cumulative_gas ||
        !coh_u256_eq(&receipt->effective_price, &tx->outcome.gas_price)) {
        sim_fail(oracle->sim,
                 "a receipt differs from the reference: block %" PRIu64
                 ", index %u (%u), gas %" PRIu64 " (%" PRIu64 "), cumulative %" PRIu64 " (%" PRIu64
                 ")",
                 receipt->block,
                 receipt->tx_idx,
                 tx->place,
                 receipt->gas_used,
                 tx->outcome.gas_used,
                 receipt->cumulative_gas,
                 tx->cumulative_gas);
    }
}

void sim_oracle_check_receipts(sim_oracle_t *oracle,
                               uint64_t number,
                               coh_hash_t const *hash,
                               coh_op_receipt_t const *receipts,
                               uint32_t cnt)
{
    sim_oracle_check_hash(oracle, number, hash);
    block_t const *block = told_block(oracle, number);
    if (block == NULL) {
        return;
    }
    if (cnt != block->included_cnt) {
        sim_fail(oracle->sim,
                 "block %" PRIu64 " has %u receipts for %u transactions",
                 number,
                 cnt,
                 block->included_cnt);
    }
    for (uint32_t i = 0; i < cnt && sim_failed(oracle->sim) == NULL; i++) {
        if (receipts[i].tx_idx != i || receipts[i].block != number) {
            sim_fail(oracle->sim, "receipt %u of block %" PRIu64 " is out of place", i, number);
        }
        sim_oracle_check_receipt(oracle, &receipts[i]);
    }
}

void sim_oracle_on_publication(sim_oracle_t *oracle, coh_pub_t const *pub)
{
    switch (pub->topic) {
    case COH_PUB_BLOCK:
        check_header(oracle, pub->u.block.number, &pub->u.block.hash, pub->u.block.header);
        if (sim_failed(oracle->sim) == NULL &&
            block_at(oracle, pub->u.block.number)->included_cnt != pub->u.block.tx_cnt) {
            sim_fail(oracle->sim,
                     "block %" PRIu64 " is published with a wrong number of transactions",
                     pub->u.block.number);
        }
        break;
    case COH_PUB_RECEIPTS:
        sim_oracle_check_receipts(oracle,
                                  pub->u.receipts.number,
                                  &pub->u.receipts.hash,
                                  pub->u.receipts.receipts.v,
                                  pub->u.receipts.receipts.cnt);
        break;
    case COH_PUB_DROPPED:
        for (uint32_t i = 0; i < pub->u.dropped.txs.cnt; i++) {
            if (sim_oracle_find(oracle, &pub->u.dropped.txs.v[i].tx_hash) != NULL) {
                sim_fail(oracle->sim,
                         "a transaction is said to be left out, but is in a committed block");
            }
        }
        break;
    }
}

void sim_oracle_check_account(sim_oracle_t *oracle,
                              uint64_t number,
                              coh_addr_t const *addr,
                              coh_op_account_t const *account)
{
    sim_t *sim = oracle->sim;
    if (number != oracle->base && told_block(oracle, number) == NULL) {
        return;
    }
    coh_ref_account_t const *known = coh_ref_find(sim_oracle_state(oracle, number), addr);
    uint64_t nonce                 = known == NULL ? 0 : known->nonce;
    coh_u256_t balance             = known == NULL ? COH_U256_ZERO : known->balance;
    if (account->nonce != nonce || !coh_u256_eq(&account->balance, &balance)) {
        char hex[2 * sizeof(addr->b) + 1];
        char is[COH_U256_DEC_SZ];
        char should[COH_U256_DEC_SZ];
        coh_hex_encode(hex, addr->b, sizeof(addr->b));
        coh_u256_to_dec(is, &account->balance);
        coh_u256_to_dec(should, &balance);
        sim_fail(sim,
                 "account %s at block %" PRIu64 ": nonce %" PRIu64
                 " balance %s, by the reference %" PRIu64 " and %s",
                 hex,
                 number,
                 account->nonce,
                 is,
                 nonce,
                 should);
    }
}

/* The value that an RLP list of nodes proves; false if it proves none. */
static bool proven(coh_buf_t *out,
                   coh_bytes_t nodes,
                   coh_hash_t const *root,
                   coh_addr_t const *addr)
{
    coh_proof_t proof = COH_PROOF_INIT;
    coh_bytes_t item;
    coh_hash_t key;
    coh_keccak256(&key, addr->b, sizeof(addr->b));
    bool ok = coh_proof_read(&proof, nodes) == COH_OK &&
              coh_proof_verify(&item, &proof, root, &key) == COH_OK;
    if (ok) {
        coh_buf_put(out, item.p, item.n);
    }
    coh_proof_free(&proof);
    return ok;
}

void sim_oracle_check_proof(sim_oracle_t *oracle,
                            coh_addr_t const *addr,
                            coh_op_get_proof_answer_t const *answer)
{
    if (answer->block != oracle->base && told_block(oracle, answer->block) == NULL) {
        return;
    }
    /* After a start between two roots the tries are as of the head, until the next root. */
    uint64_t as_of = root_block(oracle, answer->block);
    as_of = answer->block >= oracle->ready_head ? COH_MAX(as_of, oracle->ready_head) : as_of;
    coh_ref_t const *state     = sim_oracle_state(oracle, as_of);
    coh_ref_account_t const *a = coh_ref_find(state, addr);
    coh_buf_t value            = COH_BUF_INIT;
    coh_hash_t root;
    coh_ref_state_root(&root, state);
    bool ok = coh_hash_eq(&root, &answer->state_root) && proven(&value, answer->nodes, &root, addr);
    if (ok && a != NULL && a->exists) {
        coh_trie_account_t account;
        coh_hash_t code_hash = coh_ref_code_hash(a);
        ok                   = coh_trie_account_get(&account, coh_buf_bytes(&value)) == COH_OK &&
             account.nonce == a->nonce && coh_u256_eq(&account.balance, &a->balance) &&
             coh_hash_eq(&account.code_hash, &code_hash) && answer->exists == 1 &&
             answer->nonce == a->nonce && coh_u256_eq(&answer->balance, &a->balance);
    } else if (ok) {
        ok = value.n == 0 && answer->exists == 0;
    }
    if (!ok) {
        sim_fail(oracle->sim, "a proof as of block %" PRIu64 " does not hold", answer->block);
    }
    coh_buf_free(&value);
}

void sim_oracle_check_supply(sim_oracle_t *oracle)
{
    coh_u256_t total = coh_ref_total(sim_oracle_state(oracle, oracle->head));
    if (!coh_u256_eq(&total, &oracle->supply)) {
        sim_fail(oracle->sim, "the reference model itself does not conserve the supply");
    }
}
