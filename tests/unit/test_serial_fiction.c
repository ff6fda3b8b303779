/* The serial fiction (README): the same blocks, of transactions of all types, through 1, 2, 3 and 8 shards, 1, 2 and 4 worker
   threads each, any placement of accounts and any homes give the same headers, receipts, nonces and
   balances, and those are the ones of sequential execution (tests/support/reference.h). Real threads,
   the real runtime, the in-process link; stores in memory. */
/* links: coh_runtime */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/client/ops.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/obs/log.h"
#include "common/trie/proof.h"
#include "coordinator/coordinator.h"
#include "coordinator/seal.h"
#include "deploy/cohort/runtime.h"
#include "shard/sched.h"
#include "shard/shard.h"
#include "tests/support/pins.h"
#include "tests/support/reference.h"
#include "tests/support/seed.h"
#include "tests/support/txgen.h"

#define ACCOUNTS 48u
#define BLOCKS   10u
/* Proofs asked for, of the last blocks. */
#define PROOFS      20u
#define PROOF_DEPTH 4u
#define BLOCK_TXS   120u
#define SHARDS_MAX  8u
#define ETHER       UINT64_C(1000000000000000000)
/* Where the creations with this nonce would go, there is an account already. */
#define TAKEN_NONCE 3u
#define CHAIN_ID    7u
#define AUTHS_MAX   4u
#define BLOB_MAX    9u

/* ---- the input: blocks that are valid in their order, and hardly in another ---- */

typedef struct {
    coh_ref_block_t env; /* its gas_used is what the whole block uses */
    coh_bytes_t raws[BLOCK_TXS];
    coh_addr_t senders[BLOCK_TXS];
    coh_txgen_tx_t const *txs[BLOCK_TXS];
    coh_ref_outcome_t outcomes[BLOCK_TXS];
    coh_hash_t root; /* of the reference's state after it */
    coh_ref_t after; /* that state */
    uint32_t tx_cnt;
} block_t;

static struct {
    uint64_t seed;
    coh_txgen_t *gen;
    coh_genesis_t genesis;
    block_t blocks[BLOCKS];
    coh_ref_t after; /* the reference's state after the last block */
    /* Of the first layout, that all others are compared with. */
    bool known;
    coh_hash_t hashes[BLOCKS];
} input;

static uint32_t draw(coh_rng_t *rng, uint32_t below) { return (uint32_t)coh_rng_below(rng, below); }

/* Contracts of the reference lie here. */
/* Signs for one to four accounts that they run the code of others (EIP-7702); a fourth of it is of no effect. moved: by how much each nonce will have moved when it comes to that. */
static uint32_t draw_auths(coh_rng_t *rng, coh_ref_t *ref, coh_txgen_auth_t *auths, uint32_t from)
{
    uint32_t cnt             = 1 + draw(rng, AUTHS_MAX);
    uint64_t moved[ACCOUNTS] = {0};
    moved[from]              = 1;
    for (uint32_t i = 0; i < cnt; i++) {
        uint32_t key       = coh_rng_percent(rng, 20) ? from : draw(rng, ACCOUNTS / 2);
        uint32_t to        = draw(rng, 100);
        coh_addr_t addr    = coh_txgen_addr(input.gen, key);
        coh_txgen_auth_t a = {.key      = key,
                              .chain_id = coh_rng_percent(rng, 20) ? 0 : CHAIN_ID,
                              .nonce    = coh_ref_account(ref, &addr)->nonce + moved[key]};
        if (to < 30) {
            a.addr = coh_ref_contract_addr(draw(rng, COH_REF_CONTRACT_CNT));
        } else if (to < 45) { /* delegated as well, himself, or without any code */
            a.addr = coh_txgen_addr(input.gen, draw(rng, ACCOUNTS));
        } else if (to < 60) {
            a.addr = (coh_addr_t){.b = {[19] = (uint8_t)(1 + draw(rng, 0x11))}};
        } /* else nobody's: no delegation any more */
        switch (draw(rng, 16)) {
        case 0: a.nonce += 1; break;
        case 1:
            a.nonce -= 1;
            break; /* of a nonce 0 the largest there is, by which nobody can sign */
        case 2: a.chain_id = CHAIN_ID + 1; break;
        case 3: a.is_forged = true; break;
        default: moved[key]++; break;
        }
        auths[i] = a;
    }
    return cnt;
}

/* Key 0 is the coinbase of every second block, key 1 is paid by everybody, keys above 8 begin with
   nothing and pass on what they are paid within the same block. Some transactions create an account, without any code. */
static coh_txgen_spec_t draw_spec(coh_rng_t *rng,
                                  coh_ref_t *ref,
                                  coh_ref_block_t const *env,
                                  coh_txgen_auth_t *auths,
                                  uint32_t from)
{
    static uint32_t last_to;
    uint32_t to                      = coh_rng_percent(rng, 30) ? 1 : draw(rng, ACCOUNTS);
    from                             = coh_rng_percent(rng, 50) ? last_to : from;
    last_to                          = to;
    coh_addr_t sender                = coh_txgen_addr(input.gen, from);
    coh_ref_account_t const *account = coh_ref_account(ref, &sender);
    uint64_t max_fee                 = env->base_fee.w[0] + draw(rng, 50);
    coh_txgen_spec_t spec            = {
                   .key       = from,
                   .type      = (coh_tx_type_t)draw(rng, COH_TX_TYPE_CNT),
                   .chain_id  = input.genesis.chain_id,
                   .nonce     = account->nonce,
                   .gas_limit = 21000,
                   .max_fee   = coh_u256(max_fee),
                   .max_tip   = coh_u256(coh_rng_below(rng, max_fee + 1)),
                   .to        = coh_txgen_addr(input.gen, coh_rng_percent(rng, 3) ? from : to),
                   .is_create = account->nonce == TAKEN_NONCE || coh_rng_percent(rng, 4),
    };
    coh_u256_t balance  = account->balance;
    coh_u256_t blob_fee = COH_U256_ZERO;
    if (coh_rng_percent(rng, 5)) {
        spec.to = coh_ref_contract_addr(draw(rng, COH_REF_CONTRACT_CNT));
    }
    if (spec.type > COH_TX_DYNAMIC_FEE && (spec.is_create || coh_rng_percent(rng, 40))) {
        spec.type = COH_TX_DYNAMIC_FEE;
    }
    if (spec.type == COH_TX_BLOB) {
        spec.blob_cnt             = 1 + draw(rng, 3);
        spec.max_fee_per_blob_gas = coh_u256(env->blob_base_fee.w[0] + draw(rng, 3));
        blob_fee                  = coh_u256(UINT64_C(131072) * spec.blob_cnt);
        (void)coh_u256_mul_u64(&blob_fee, &blob_fee, spec.max_fee_per_blob_gas.w[0]);
    } else if (spec.type == COH_TX_SET_CODE) {
        spec.auths    = auths;
        spec.auth_cnt = draw_auths(rng, ref, auths, from);
        spec.gas_limit += UINT64_C(25000) * spec.auth_cnt;
    }
    spec.gas_limit = spec.is_create ? 53000 + coh_rng_below(rng, 1000) : spec.gas_limit;
    if (!spec.is_create && coh_rng_percent(rng, 40)) { /* enough for some code that it may meet */
        spec.gas_limit += coh_rng_percent(rng, 30) ? draw(rng, 7) : draw(rng, 8000);
    }
    coh_u256_t fee = spec.max_fee;
    (void)coh_u256_mul_u64(&fee, &fee, spec.gas_limit);
    (void)coh_u256_add(&fee, &fee, &blob_fee);
    if (coh_u256_sub(&spec.value, &balance, &fee)) {
        spec.value = COH_U256_ZERO; /* it cannot pay: the reference will refuse it */
    } else if (!coh_rng_percent(rng, 30)) {
        (void)coh_u256_divmod_u64(&spec.value, &spec.value, 2 + draw(rng, 1000));
    }
    return spec;
}

/* What a block holds that is worth something. */
typedef struct {
    uint32_t created;
    uint32_t failed;
    uint32_t type[COH_TX_TYPE_CNT];
    uint32_t from_delegated;
    uint32_t to_delegated;
} counts_t;

static bool is_delegated(coh_addr_t const *addr)
{
    coh_ref_account_t const *account = coh_ref_find(&input.after, addr);
    return account != NULL && account->is_delegated;
}

static void draw_tx(coh_rng_t *rng, block_t *block, counts_t *cnt)
{
    coh_txgen_auth_t auths[AUTHS_MAX];
    coh_txgen_spec_t spec = draw_spec(rng, &input.after, &block->env, auths, draw(rng, ACCOUNTS));
    coh_txgen_tx_t const *tx  = coh_txgen_make(input.gen, &spec);
    bool from_delegated       = is_delegated(&tx->sender);
    bool to_delegated         = is_delegated(&tx->tx.to);
    coh_ref_outcome_t outcome = coh_ref_apply(&input.after, &block->env, &tx->tx, &tx->sender);
    if (outcome.verdict != COH_TX_OK) {
        return;
    }
    block->txs[block->tx_cnt]      = tx;
    block->raws[block->tx_cnt]     = tx->raw;
    block->senders[block->tx_cnt]  = tx->sender;
    block->outcomes[block->tx_cnt] = outcome;
    block->tx_cnt++;
    cnt->failed += outcome.failed;
    cnt->created += tx->tx.is_create && !outcome.failed;
    cnt->type[tx->tx.type]++;
    cnt->from_delegated += from_delegated;
    cnt->to_delegated += to_delegated;
}

static int make_input(void **state)
{
    (void)state;
    input.seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, input.seed);
    input.gen        = coh_txgen_new();
    coh_genesis_t *g = &input.genesis;
    *g               = (coh_genesis_t){.chain_id  = CHAIN_ID,
                                       .timestamp = 1700000000,
                                       .gas_limit = 30000000,
                                       .base_fee  = coh_u256(100)};
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        g->fork_at[fork] = fork <= COH_FORK_PRAGUE ? 0 : UINT64_MAX;
    }
    g->alloc = coh_calloc(8 + ACCOUNTS + COH_REF_CONTRACT_CNT, sizeof(*g->alloc));
    for (uint32_t i = 0; i < 8; i++) {
        g->alloc[g->alloc_cnt++] = (coh_genesis_account_t){.addr    = coh_txgen_addr(input.gen, i),
                                                           .balance = coh_u256(ETHER)};
    }
    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        coh_addr_t sender        = coh_txgen_addr(input.gen, i);
        coh_tx_t creation        = {.is_create = true, .nonce = TAKEN_NONCE};
        coh_addr_t taken         = coh_ref_receiver(&creation, &sender);
        g->alloc[g->alloc_cnt++] = (coh_genesis_account_t){.addr = taken, .nonce = 1};
    }
    coh_ref_put_contracts(g->alloc, &g->alloc_cnt);
    coh_ref_init(&input.after);
    coh_ref_put_alloc(&input.after, g->alloc, g->alloc_cnt);
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_genesis_finish(g, &why), COH_OK);
    coh_buf_free(&why);

    counts_t cnt = {0};
    for (uint32_t b = 0; b < BLOCKS; b++) {
        block_t *block = &input.blocks[b];
        block->env     = (coh_ref_block_t){
                .fork          = COH_FORK_PRAGUE,
                .gas_limit     = 30000000,
                .chain_id      = CHAIN_ID,
                .base_fee      = coh_u256(7 + draw(&rng, 100)),
                .blob_base_fee = coh_u256(1 + draw(&rng, 5)),
                .blob_max      = BLOB_MAX,
                .coinbase      = b % 2 == 0 ? coh_txgen_addr(input.gen, 0) : (coh_addr_t){.b = {0xc0}},
        };
        for (uint32_t attempt = 0; attempt < 20 * BLOCK_TXS && block->tx_cnt < BLOCK_TXS;
             attempt++) {
            draw_tx(&rng, block, &cnt);
        }
        assert_true(block->tx_cnt > BLOCK_TXS / 2);
        coh_ref_state_root(&block->root, &input.after);
        coh_ref_copy(&block->after, &input.after);
    }
    print_message(
        "by type: %u, %u, %u, %u with blobs, %u with authorizations; %u failed; %u came from "
        "delegated accounts, %u went to such\n",
        cnt.type[COH_TX_LEGACY],
        cnt.type[COH_TX_ACCESS_LIST],
        cnt.type[COH_TX_DYNAMIC_FEE],
        cnt.type[COH_TX_BLOB],
        cnt.type[COH_TX_SET_CODE],
        cnt.failed,
        cnt.from_delegated,
        cnt.to_delegated);
    assert_true(cnt.created > 0 && cnt.failed > 0 && cnt.from_delegated > 0 &&
                cnt.to_delegated > 0);
    assert_true(cnt.type[COH_TX_BLOB] > 0 && cnt.type[COH_TX_SET_CODE] > 0);
    return 0;
}

static int free_input(void **state)
{
    (void)state;
    coh_txgen_free(input.gen);
    coh_genesis_free(&input.genesis);
    coh_ref_fini(&input.after);
    for (uint32_t b = 0; b < BLOCKS; b++) {
        coh_ref_fini(&input.blocks[b].after);
    }
    return 0;
}

/* ---- one cluster ---- */

typedef struct {
    coh_runtime_t *rt;
    coh_transport_t *tp;
    coh_kv_t *kv;
    coh_coordinator_t *coordinator; /* rank 0 */
    pthread_t thread;
    coh_err_t err;
    coh_buf_t why;
} rank_t;

typedef struct {
    coh_gateway_sink_t sink; /* first: the sink is the cluster */
    coh_config_t config;
    rank_t ranks[1 + SHARDS_MAX];
    uint32_t rank_cnt;
    coh_op_reader_t *reader;
    uint32_t handed_cnt;   /* blocks given to the coordinator */
    uint32_t imported_cnt; /* and done */
    uint32_t asked_cnt;    /* requests: accounts, then the receipts of each block, then proofs */
    uint32_t answered_cnt;
    uint32_t wrong_cnt;
    char wrong[256]; /* the first difference */
    coh_hash_t hashes[BLOCKS];
} cluster_t;

COH_PRINTF(2, 3) static void differ(cluster_t *c, char const *fmt, ...)
{
    if (c->wrong_cnt++ == 0) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(c->wrong, sizeof(c->wrong), fmt, args);
        va_end(args);
    }
}

static void on_imported(void *arg, coh_import_result_t const *result)
{
    cluster_t *c = arg;
    c->imported_cnt++;
    if (result->err != COH_OK || result->number == 0 || result->number > BLOCKS) {
        differ(c,
               "block %" PRIu64 ": %s, transaction %u: %s",
               result->number,
               coh_err_str(result->err),
               result->fault.idx,
               coh_tx_err_str(result->fault.tx_err));
        return;
    }
    if (result->gas_used != input.blocks[result->number - 1].env.gas_used) {
        differ(c, "block %" PRIu64 ": gas used %" PRIu64, result->number, result->gas_used);
    }
    if (!coh_hash_eq(&result->sealed->header.state_root, &input.blocks[result->number - 1].root)) {
        differ(c, "block %" PRIu64 ": state root", result->number);
    }
    c->hashes[result->number - 1] = result->hash;
}

static void take_accounts(cluster_t *c, coh_op_accounts_answer_t const *answer)
{
    if (answer->block != BLOCKS || answer->accounts.cnt != input.after.account_cnt) {
        differ(c, "%u accounts of block %" PRIu64, answer->accounts.cnt, answer->block);
        return;
    }
    for (uint32_t i = 0; i < answer->accounts.cnt; i++) {
        coh_ref_account_t const *should = &input.after.accounts[i];
        coh_op_account_t const *is      = &answer->accounts.v[i];
        if (is->nonce != should->nonce || !coh_u256_eq(&is->balance, &should->balance)) {
            differ(c,
                   "account %u: nonce %" PRIu64 " for %" PRIu64 ", balance %s",
                   i,
                   is->nonce,
                   should->nonce,
                   coh_u256_eq(&is->balance, &should->balance) ? "right" : "wrong");
        }
    }
}

static void take_receipts(cluster_t *c, uint32_t b, coh_op_block_receipts_answer_t const *answer)
{
    block_t const *block = &input.blocks[b];
    if (answer->receipts.cnt != block->tx_cnt || !coh_hash_eq(&answer->hash, &c->hashes[b])) {
        differ(c,
               "block %u: %u receipts for %u transactions, or another hash",
               b + 1,
               answer->receipts.cnt,
               block->tx_cnt);
        return;
    }
    uint64_t cumulative = 0;
    for (uint32_t i = 0; i < block->tx_cnt; i++) {
        coh_op_receipt_t const *is = &answer->receipts.v[i];
        coh_txgen_tx_t const *tx   = block->txs[i];
        coh_addr_t receiver        = coh_ref_receiver(&tx->tx, &tx->sender);
        cumulative += block->outcomes[i].gas_used;
        if (!coh_hash_eq(&is->tx_hash, &tx->hash) || is->block != b + 1 || is->tx_idx != i ||
            is->status != (block->outcomes[i].failed ? 0 : 1) ||
            !coh_addr_eq(&is->from, &tx->sender) || !coh_addr_eq(&is->to, &receiver) ||
            is->gas_used != block->outcomes[i].gas_used || is->cumulative_gas != cumulative ||
            !coh_u256_eq(&is->effective_price, &block->outcomes[i].gas_price)) {
            differ(c, "block %u: receipt %u", b + 1, i);
        }
    }
}

/* What proof idx is about: an account of the last block, as of one of the last blocks. */
static coh_addr_t proof_account(uint32_t idx)
{
    return input.after.accounts[(size_t)idx * 7 % input.after.account_cnt].addr;
}

static uint64_t proof_block(uint32_t idx) { return BLOCKS - idx % PROOF_DEPTH; }

/* The value of key that nodes prove. */
static bool verify(coh_buf_t *value, coh_bytes_t nodes, coh_hash_t const *root, coh_bytes_t key)
{
    coh_proof_t proof = COH_PROOF_INIT;
    coh_bytes_t item;
    coh_hash_t hash;
    coh_keccak256(&hash, key.p, key.n);
    bool ok = coh_proof_read(&proof, nodes) == COH_OK &&
              coh_proof_verify(&item, &proof, root, &hash) == COH_OK;
    if (ok) {
        coh_buf_put(value, item.p, item.n);
    }
    coh_proof_free(&proof);
    return ok;
}

static void take_proof(cluster_t *c, uint32_t idx, coh_op_get_proof_answer_t const *is)
{
    uint64_t number            = proof_block(idx);
    coh_addr_t addr            = proof_account(idx);
    block_t const *block       = &input.blocks[number - 1];
    coh_ref_account_t const *a = coh_ref_find(&block->after, &addr);
    bool exists                = a != NULL && a->exists;
    uint8_t slot[32]           = {0};
    coh_buf_t value            = COH_BUF_INIT;
    coh_buf_t leaf             = COH_BUF_INIT;
    if (is->block != number || !coh_hash_eq(&is->state_root, &block->root) ||
        is->exists != exists ||
        (exists && (is->nonce != a->nonce || !coh_u256_eq(&is->balance, &a->balance))) ||
        is->slots.cnt != 1 || !coh_u256_is_zero(&is->slots.v[0].value)) {
        differ(c, "proof %u: another account", idx);
    }
    if (exists) {
        coh_rlp_put_u64(&leaf, a->nonce);
        coh_rlp_put_u256(&leaf, &a->balance);
        coh_rlp_put_string(&leaf, COH_EMPTY_TRIE_ROOT.b, 32);
        coh_hash_t code_hash = coh_ref_code_hash(a);
        coh_rlp_put_string(&leaf, code_hash.b, 32);
        coh_rlp_wrap_list(&leaf, 0);
    }
    if (!verify(&value, is->nodes, &block->root, coh_bytes(addr.b, sizeof(addr.b))) ||
        !coh_bytes_eq(coh_buf_bytes(&value), coh_buf_bytes(&leaf))) {
        differ(c, "proof %u does not prove the account", idx);
    }
    coh_buf_clear(&value);
    if (!verify(&value, is->slots.v[0].nodes, &COH_EMPTY_TRIE_ROOT, coh_bytes(slot, 32)) ||
        value.n != 0) {
        differ(c, "proof %u does not prove an empty storage", idx);
    }
    coh_buf_free(&value);
    coh_buf_free(&leaf);
}

static coh_op_id_t op_of(uint64_t request)
{
    return request == 0       ? COH_OP_ACCOUNTS
           : request > BLOCKS ? COH_OP_GET_PROOF
                              : COH_OP_BLOCK_RECEIPTS;
}

static void on_reply(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data)
{
    cluster_t *c = (cluster_t *)sink;
    coh_op_answer_t answer;
    c->answered_cnt++;
    if (coh_op_read_answer(c->reader, &answer, op_of(request), data) != COH_OK ||
        answer.err != COH_OK) {
        differ(c, "request %" PRIu64 " was not answered", request);
    } else if (request == 0) {
        take_accounts(c, &answer.u.accounts);
    } else if (request > BLOCKS) {
        take_proof(c, (uint32_t)request - BLOCKS - 1, &answer.u.get_proof);
    } else {
        take_receipts(c, (uint32_t)request - 1, &answer.u.block_receipts);
    }
}

static void ask(cluster_t *c, uint32_t request)
{
    coh_buf_t buf = COH_BUF_INIT;
    if (request == 0) {
        uint32_t cnt      = (uint32_t)input.after.account_cnt;
        coh_addr_t *addrs = coh_calloc(cnt, sizeof(*addrs));
        for (uint32_t i = 0; i < cnt; i++) {
            addrs[i] = input.after.accounts[i].addr;
        }
        coh_op_accounts_request_t msg = {.addrs = {.v = addrs, .cnt = cnt}};
        coh_op_put_accounts_request(&buf, &msg);
        free(addrs);
    } else if (request > BLOCKS) {
        coh_u256_t slot                = COH_U256_ZERO;
        uint32_t idx                   = (uint32_t)request - BLOCKS - 1;
        coh_op_get_proof_request_t msg = {
            .addr = proof_account(idx), .block = proof_block(idx), .slots = {.v = &slot, .cnt = 1}};
        coh_op_put_get_proof_request(&buf, &msg);
    } else {
        coh_op_block_receipts_request_t msg = {.number = request};
        coh_op_put_block_receipts_request(&buf, &msg);
    }
    coh_coordinator_on_request(c->ranks[0].coordinator, request, coh_buf_bytes(&buf));
    coh_buf_free(&buf);
}

static void stop(cluster_t *c) { coh_runtime_stop(c->ranks[0].rt); }

/* Runs on the coordinator's communication thread: hands over blocks, asks, ends. */
static bool drive(void *arg, uint64_t now_us)
{
    (void)now_us;
    cluster_t *c          = arg;
    coh_coordinator_t *co = c->ranks[0].coordinator;
    if (!coh_coordinator_is_ready(co)) {
        return false;
    }
    if (c->wrong_cnt != 0) {
        stop(c);
        return false;
    }
    if (c->handed_cnt < BLOCKS) {
        block_t const *b         = &input.blocks[c->handed_cnt];
        coh_import_block_t block = {
            .number        = c->handed_cnt + 1,
            .fork          = b->env.fork,
            .timestamp     = input.genesis.timestamp + c->handed_cnt + 1,
            .gas_limit     = b->env.gas_limit,
            .base_fee      = b->env.base_fee,
            .blob_base_fee = b->env.blob_base_fee,
            .blob_max      = BLOB_MAX,
            .coinbase      = b->env.coinbase,
            .tx_cnt        = b->tx_cnt,
            .raws          = b->raws,
            .senders       = b->senders,
        };
        coh_err_t err = coh_coordinator_import(co, &block, on_imported, c);
        c->handed_cnt += err == COH_OK;
        if (err != COH_OK && err != COH_EBUSY) {
            differ(c, "block %" PRIu64 " is not taken: %s", block.number, coh_err_str(err));
        }
        return err == COH_OK;
    }
    if (c->imported_cnt == BLOCKS && c->asked_cnt <= BLOCKS + PROOFS) {
        ask(c, c->asked_cnt++);
        return true;
    }
    if (c->answered_cnt == BLOCKS + PROOFS + 1) {
        stop(c);
    }
    return false;
}

static void *run_rank(void *arg)
{
    rank_t *rank = arg;
    rank->err    = coh_runtime_run(rank->rt, &rank->why);
    return NULL;
}

/* Runs the input through a cluster of this layout and compares. */
static void run_layout(uint32_t shard_cnt,
                       uint32_t worker_cnt,
                       char const *scheduler,
                       char const *placement,
                       char const *home)
{
    cluster_t *c = coh_calloc(1, sizeof(*c));
    c->sink      = (coh_gateway_sink_t){.reply = on_reply};
    c->rank_cnt  = 1 + shard_cnt;
    c->reader    = coh_op_reader_new();
    coh_config_default(&c->config);
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_config_set(&c->config, "placement-policy", placement, &why), COH_OK);
    assert_int_equal(coh_config_set(&c->config, "placement-home", home, &why), COH_OK);
    assert_int_equal(coh_config_set(&c->config, "shard-scheduler", scheduler, &why), COH_OK);
    c->config.block_tx_max        = BLOCK_TXS;
    c->config.state_cache_entries = 4096;
    coh_transport_t *ends[1 + SHARDS_MAX];
    assert_int_equal(coh_transport_local_new(ends, c->rank_cnt), COH_OK);
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        rank_t *rank = &c->ranks[r];
        rank->tp     = ends[r];
        assert_int_equal(coh_kv_mem_open(&rank->kv), COH_OK);
        coh_runtime_options_t options = {
            .transport = rank->tp, .kv = rank->kv, .worker_cnt = worker_cnt};
        assert_int_equal(coh_runtime_new(&rank->rt, &options), COH_OK);
        coh_env_t *env = coh_runtime_env(rank->rt);
        if (r == 0) {
            assert_int_equal(
                coh_coordinator_new(
                    &rank->coordinator, &c->config, &input.genesis, env, rank->kv, &c->sink, &why),
                COH_OK);
            coh_runtime_set_node(rank->rt, coh_coordinator_node(rank->coordinator));
            coh_runtime_source_t source = {.poll = drive, .arg = c, .fd = -1};
            coh_runtime_add_source(rank->rt, &source);
        } else {
            coh_shard_t *shard;
            assert_int_equal(
                coh_shard_new(&shard, &c->config, &input.genesis, env, rank->kv, worker_cnt, &why),
                COH_OK);
            coh_runtime_set_node(rank->rt, coh_shard_node(shard));
        }
    }
    coh_buf_free(&why);
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        assert_int_equal(pthread_create(&c->ranks[r].thread, NULL, run_rank, &c->ranks[r]), 0);
    }
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        rank_t *rank = &c->ranks[r];
        assert_int_equal(pthread_join(rank->thread, NULL), 0);
        if (rank->err != COH_OK) {
            differ(c,
                   "rank %u: %s: %.*s",
                   r,
                   coh_err_str(rank->err),
                   (int)rank->why.n,
                   (char const *)rank->why.p);
        }
    }
    for (uint32_t b = 0; b < BLOCKS && c->wrong_cnt == 0; b++) {
        if (input.known && !coh_hash_eq(&input.hashes[b], &c->hashes[b])) {
            differ(c, "block %u has another hash than with one shard and one thread", b + 1);
        }
    }
    if (c->wrong_cnt == 0) {
        memcpy(input.hashes, c->hashes, sizeof(input.hashes));
        input.known = true;
    }
    char wrong[320];
    (void)snprintf(wrong,
                   sizeof(wrong),
                   "%u shards, %u workers, %s, placement %s, home %s: %s",
                   shard_cnt,
                   worker_cnt,
                   scheduler,
                   placement,
                   home,
                   c->wrong);
    bool right = c->wrong_cnt == 0;
    for (uint32_t r = 0; r < c->rank_cnt; r++) {
        rank_t *rank = &c->ranks[r];
        coh_runtime_free(rank->rt);
        rank->tp->ops->close(rank->tp);
        rank->kv->ops->close(rank->kv);
        coh_buf_free(&rank->why);
    }
    coh_op_reader_free(c->reader);
    free(c);
    if (!right) {
        fail_msg("%s", wrong);
    }
}

static void run_workers(uint32_t shard_cnt, bool random_home)
{
    for (uint32_t worker_cnt = 1; worker_cnt <= 4; worker_cnt *= 2) {
        char placement[40];
        (void)snprintf(placement,
                       sizeof(placement),
                       "random:%" PRIu64,
                       input.seed % 1000 + shard_cnt * worker_cnt);
        for (int kind = 0; kind < COH_SCHED_KIND_CNT; kind++) {
            run_layout(shard_cnt,
                       worker_cnt,
                       coh_sched_kind_str((coh_sched_kind_t)kind),
                       placement,
                       random_home ? placement : "sender");
        }
        char pins[COH_TEST_PINS_SZ];
        coh_addr_t *addrs = coh_calloc(input.genesis.alloc_cnt, sizeof(*addrs));
        for (size_t i = 0; i < input.genesis.alloc_cnt; i++) {
            addrs[i] = input.genesis.alloc[i].addr;
        }
        coh_test_pins_write(
            pins, addrs, input.genesis.alloc_cnt, shard_cnt, input.seed + shard_cnt * worker_cnt);
        run_layout(shard_cnt, worker_cnt, "optimistic", pins, random_home ? placement : "callee");
        coh_test_pins_remove(pins);
        free(addrs);
    }
}

static void serial_fiction_one_shard(void **state)
{
    (void)state;
    run_layout(1, 1, "sequential", "hash", "sender");
    run_workers(1, false);
}

static void serial_fiction_two_shards(void **state)
{
    (void)state;
    run_workers(2, false);
    run_workers(2, true);
}

static void serial_fiction_three_shards(void **state)
{
    (void)state;
    run_workers(3, false);
    run_workers(3, true);
}

static void serial_fiction_eight_shards(void **state)
{
    (void)state;
    run_workers(8, false);
    run_workers(8, true);
}

int main(void)
{
    (void)coh_log_init("error", "");
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(serial_fiction_one_shard),
        cmocka_unit_test(serial_fiction_two_shards),
        cmocka_unit_test(serial_fiction_three_shards),
        cmocka_unit_test(serial_fiction_eight_shards),
    };
    return cmocka_run_group_tests(tests, make_input, free_input);
}
