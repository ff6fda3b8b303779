/* The serial fiction (README) for contracts: blocks of random transactions of all types, calls, creations, transfers, blobs and delegations, over random contracts (tests/support/codegen.h) through 1, 2, 3
   and 8 shards, 1, 2 and 4 threads each, any placement (also the worst, with delayed messages) and any homes, give the same outcomes, gas, logs and state, and those are the ones of sequential
   execution: one transition after the other over the state in memory; blocks with an invalid transaction are refused for it, and leave nothing. And by name what has bitten other engines. */
/* links: coh_block_cluster */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/base/hook.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/obs/log.h"
#include "common/state/memview.h"
#include "common/trie/state_root.h"
#include "deploy/cohort/adversary.h"
#include "deploy/cohort/block_cluster.h"
#include "shard/sched.h"
#include "tests/support/codegen.h"
#include "tests/support/evmasm.h"
#include "tests/support/pins.h"
#include "tests/support/seed.h"
#include "tests/support/txgen.h"

#define BLOCKS_MAX   4u
#define BLOCK_TXS    60u
#define EOAS         10u
#define POOR         3u                 /* the last of them own little */
#define STRANGERS    3u                 /* keys behind those, of accounts that are not there */
#define CODED_KEY    (EOAS + STRANGERS) /* whose account has code that is no delegation */
#define CONTRACTS    8u
#define TARGETS_MAX  72u
#define AUTHS_MAX    4u
#define LISTED_MAX   3u
#define BLOB_MAX     6u
#define COINBASE_KEY 0u /* of every second block */
#define CHAIN_ID     7u
#define BASE_FEE     10u
#define BLOCK_GAS    60000000u
#define FIRST_BLOCK  301u

/* ---- a world: accounts, blocks, and what sequential execution makes of them ---- */

typedef struct {
    uint32_t status;
    uint64_t gas_used;
    coh_buf_t logs;
} outcome_t;

typedef struct {
    coh_import_block_t block;
    coh_bytes_t raws[BLOCK_TXS];
    coh_addr_t senders[BLOCK_TXS];
    outcome_t outcomes[BLOCK_TXS];
    uint64_t gas_used;
    uint32_t blob_cnt;
    coh_bytes_t steps[COH_STEP_CNT_MAX]; /* in the world's arena */
    coh_hash_t root;                     /* of the state after it */
} block_t;

/* What a world holds, by which a test sees that its input is worth something. */
typedef struct {
    uint32_t status[2];
    uint32_t step[3]; /* by coh_step_result_t */
    uint32_t type[COH_TX_TYPE_CNT];
    uint32_t from_delegated; /* transactions of senders with a delegation */
    uint32_t to_delegated;   /* likewise receivers */
    uint32_t log;
    uint32_t code; /* of all accounts at the end */
    uint32_t delegation;
} counts_t;

typedef struct {
    coh_fork_t fork;
    coh_rng_t rng;
    coh_txgen_t *gen;
    coh_genesis_t genesis;
    coh_addr_t targets[TARGETS_MAX];
    uint32_t target_cnt;
    block_t blocks[BLOCKS_MAX];
    uint32_t block_cnt;
    /* A block that is refused, before blocks[bad_at]. */
    bool has_bad;
    block_t bad;
    uint32_t bad_at;
    uint32_t bad_idx; /* its first invalid transaction, and why it is */
    coh_tx_err_t bad_verdict;
    coh_memview_t *state; /* after them */
    coh_transition_t *transition;
    coh_arena_t arena;
    counts_t cnt;
    /* Of the first layout. */
    bool known;
    coh_hash_t hashes[BLOCKS_MAX];
} world_t;

static uint64_t run_seed;
/* Hashes of the run's own blocks, once they are known. */
static coh_hash_t own_hashes[BLOCKS_MAX];

static coh_hash_t ancestor(uint64_t number)
{
    coh_hash_t hash;
    coh_keccak256(&hash, &number, sizeof(number));
    return hash;
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    coh_hash_t hash = number < FIRST_BLOCK ? ancestor(number) : own_hashes[number - FIRST_BLOCK];
    *out            = coh_u256_from_be(hash.b, 32);
}

static coh_bytes_t copy(coh_buf_t const *buf)
{
    uint8_t *p = coh_calloc(1, buf->n + 1);
    memcpy(p, buf->p, buf->n);
    return coh_bytes(p, buf->n);
}

static coh_addr_t contract_addr(uint32_t i)
{
    return (coh_addr_t){.b = {0xc0, (uint8_t)(i * 41), [19] = (uint8_t)i}};
}

static void add_account(world_t *w, coh_genesis_account_t account)
{
    w->genesis.alloc[w->genesis.alloc_cnt++] = account;
}

static void make_targets(world_t *w)
{
    for (uint32_t i = 0; i <= CODED_KEY; i++) {
        w->targets[w->target_cnt++] = coh_txgen_addr(w->gen, i);
    }
    for (uint32_t i = 0; i < CONTRACTS; i++) {
        coh_addr_t addr             = contract_addr(i);
        w->targets[w->target_cnt++] = addr;
        for (uint32_t kind = 0; i < 4 && kind < 2; kind++) {
            for (uint64_t salt = 0; salt < 2; salt++) {
                w->targets[w->target_cnt++] = coh_codegen_create2(&addr, kind, salt);
            }
        }
    }
    w->targets[w->target_cnt++] = (coh_addr_t){.b = {[19] = 2}};   /* SHA-256 */
    w->targets[w->target_cnt++] = (coh_addr_t){.b = {[19] = 4}};   /* identity */
    w->targets[w->target_cnt++] = (coh_addr_t){.b = {0xee, 0xee}}; /* nobody */
}

/* Puts everything of the genesis into the reference. */
static void start_reference(world_t *w)
{
    w->state      = coh_memview_new(&coh_code_coder, w->fork);
    w->transition = coh_transition_new();
    coh_memview_set_block_hash(w->state, block_hash, NULL);
    coh_memview_put_alloc(w->state, w->genesis.alloc, w->genesis.alloc_cnt);
}

static void begin_world(world_t *w, coh_fork_t fork, uint64_t seed)
{
    *w     = (world_t){.fork = fork};
    w->gen = coh_txgen_new();
    coh_rng_seed(&w->rng, seed);
    coh_genesis_t *g = &w->genesis;
    *g               = (coh_genesis_t){.chain_id  = CHAIN_ID,
                                       .number    = FIRST_BLOCK - 1,
                                       .timestamp = 1700000000,
                                       .gas_limit = BLOCK_GAS,
                                       .base_fee  = coh_u256(BASE_FEE)};
    for (int f = 0; f < COH_FORK_CNT; f++) {
        g->fork_at[f] = f <= (int)fork ? 0 : UINT64_MAX;
    }
    g->ancestors    = coh_calloc(256, sizeof(*g->ancestors));
    g->ancestor_cnt = 256;
    for (uint64_t i = 0; i < 256; i++) {
        g->ancestors[i] = ancestor(FIRST_BLOCK - 256 + i);
    }
    g->alloc = coh_calloc(EOAS + CONTRACTS + 8, sizeof(*g->alloc));
    make_targets(w);
}

static void finish_genesis(world_t *w)
{
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_genesis_finish(&w->genesis, &why), COH_OK);
    coh_buf_free(&why);
    start_reference(w);
}

static void free_block(block_t *b)
{
    for (uint32_t i = 0; i < b->block.tx_cnt; i++) {
        coh_buf_free(&b->outcomes[i].logs);
    }
}

static void free_world(world_t *w)
{
    for (uint32_t b = 0; b < w->block_cnt; b++) {
        free_block(&w->blocks[b]);
    }
    free_block(&w->bad);
    coh_transition_free(w->transition);
    coh_memview_free(w->state);
    coh_genesis_free(&w->genesis);
    coh_txgen_free(w->gen);
    coh_arena_free(&w->arena);
}

/* Notes the root of the last block, to which nothing is added any more. */
static void end_block(world_t *w)
{
    if (w->block_cnt != 0) {
        coh_state_root(&w->blocks[w->block_cnt - 1].root, w->state);
    }
}

/* Makes b an empty block on top of those that there are. */
static void start_block(world_t *w, block_t *b, coh_addr_t coinbase)
{
    end_block(w);
    b->block = (coh_import_block_t){.number      = FIRST_BLOCK + w->block_cnt,
                                    .fork        = w->fork,
                                    .timestamp   = 1700000012 + 12 * w->block_cnt,
                                    .gas_limit   = BLOCK_GAS,
                                    .prev_randao = coh_u256(12345 + w->block_cnt),
                                    .coinbase    = coinbase,
                                    .raws        = b->raws,
                                    .senders     = b->senders,
                                    .steps       = b->steps};
    if (w->fork >= COH_FORK_LONDON) {
        b->block.base_fee = coh_u256(BASE_FEE);
    }
    if (w->fork >= COH_FORK_CANCUN) {
        b->block.blob_base_fee = coh_u256(1 + w->block_cnt * 7);
        b->block.blob_max      = BLOB_MAX;
    }
}

static block_t *begin_block(world_t *w, coh_addr_t coinbase)
{
    block_t *b = &w->blocks[w->block_cnt];
    start_block(w, b, coinbase);
    w->block_cnt++;
    return b;
}

static void encode_logs(coh_buf_t *out, coh_outcome_t const *o)
{
    for (uint32_t i = 0; i < o->log_cnt; i++) {
        coh_log_t const *log = &o->logs[i];
        size_t at            = out->n;
        coh_rlp_put_string(out, log->addr.b, sizeof(log->addr.b));
        size_t topics = out->n;
        for (uint32_t t = 0; t < log->topic_cnt; t++) {
            coh_rlp_put_string(out, log->topics[t].b, sizeof(log->topics[t].b));
        }
        coh_rlp_wrap_list(out, topics);
        coh_rlp_put_string(out, log->data.p, log->data.n);
        coh_rlp_wrap_list(out, at);
    }
    if (o->log_cnt != 0) {
        coh_rlp_wrap_list(out, 0);
    }
}

static coh_block_env_t env_of(block_t const *b)
{
    coh_block_env_t env = coh_import_env(&b->block, CHAIN_ID);
    env.fees_exact      = true;
    return env;
}

/* Executes a step at the end of block b in sequence. */
static void add_step(world_t *w, block_t *b, coh_step_t const *step)
{
    coh_block_env_t env = env_of(b);
    coh_buf_t raw       = COH_BUF_INIT;
    coh_step_put(&raw, step);
    uint8_t *copied               = coh_arena_alloc(&w->arena, raw.n);
    b->steps[b->block.step_cnt++] = coh_bytes(memcpy(copied, raw.p, raw.n), raw.n);
    b->block.before_cnt += b->block.tx_cnt == 0;
    coh_memview_begin_tx(w->state);
    coh_transition_begin_step(w->transition, &env, step, coh_memview_view(w->state));
    assert_int_equal(coh_transition_run(w->transition), COH_TRANSITION_DONE);
    coh_outcome_t const *o = coh_transition_outcome(w->transition);
    w->cnt.step[o->status]++;
    coh_memview_apply(w->state, o);
    coh_buf_free(&raw);
}

/* EIP-7702: its code is the name of an account. */
static bool is_delegated(world_t const *w, coh_addr_t const *addr)
{
    coh_value_t value = coh_memview_account(w->state, addr);
    coh_bytes_t code  = coh_memview_code(w->state, &value.code_hash);
    return coh_value_has_code(&value) && code.n == COH_DELEGATION_SZ && code.p[0] == 0xef;
}

/* Executes tx at the end of block b in sequence; takes it into the block if it is valid. */
static coh_tx_err_t try_tx(world_t *w, block_t *b, coh_txgen_tx_t const *tx)
{
    coh_import_block_t *ib = &b->block;
    coh_block_env_t env    = env_of(b);
    bool from_delegated    = is_delegated(w, &tx->sender);
    bool to_delegated      = is_delegated(w, &tx->tx.to);
    coh_memview_begin_tx(w->state);
    coh_transition_begin(w->transition, &env, &tx->tx, &tx->sender, coh_memview_view(w->state));
    assert_int_equal(coh_transition_run(w->transition), COH_TRANSITION_DONE);
    coh_outcome_t const *o = coh_transition_outcome(w->transition);
    if (o->verdict != COH_TX_OK) {
        return o->verdict;
    }
    if (tx->tx.gas_limit > ib->gas_limit - b->gas_used) {
        return COH_TX_GAS_LIMIT;
    }
    outcome_t *out = &b->outcomes[ib->tx_cnt];
    out->status    = o->status;
    out->gas_used  = o->gas_used;
    encode_logs(&out->logs, o);
    w->cnt.status[o->status]++;
    w->cnt.type[tx->tx.type]++;
    w->cnt.from_delegated += from_delegated;
    w->cnt.to_delegated += to_delegated;
    w->cnt.log += o->log_cnt;
    coh_memview_apply(w->state, o);
    b->gas_used += o->gas_used;
    b->blob_cnt += tx->tx.blob_cnt;
    b->raws[ib->tx_cnt]    = tx->raw;
    b->senders[ib->tx_cnt] = tx->sender;
    ib->tx_cnt++;
    return COH_TX_OK;
}

static bool add_tx(world_t *w, block_t *b, coh_txgen_tx_t const *tx)
{
    return b->block.tx_cnt < BLOCK_TXS && b->blob_cnt + tx->tx.blob_cnt <= BLOB_MAX &&
           try_tx(w, b, tx) == COH_TX_OK;
}

/* ---- random transactions ---- */

static coh_addr_t target(world_t *w) { return w->targets[coh_rng_below(&w->rng, w->target_cnt)]; }

static uint64_t nonce_of(world_t *w, uint32_t key)
{
    coh_addr_t addr = coh_txgen_addr(w->gen, key);
    return coh_memview_account(w->state, &addr).nonce;
}

/* What a drawn transaction borrows. */
typedef struct {
    coh_txgen_spec_t spec;
    coh_buf_t data;
    coh_txgen_listed_t listed[LISTED_MAX];
    coh_txgen_auth_t auths[AUTHS_MAX];
} drawn_t;

static void draw_base(world_t *w, drawn_t *d, uint32_t key)
{
    coh_rng_t *rng = &w->rng;
    *d             = (drawn_t){.spec = {.key      = key,
                                        .chain_id = CHAIN_ID,
                                        .nonce    = nonce_of(w, key),
                                        .max_fee  = coh_u256(BASE_FEE + coh_rng_below(rng, 20)),
                                        .max_tip  = coh_u256(coh_rng_below(rng, BASE_FEE))}};
    uint64_t type  = coh_rng_below(rng, 3);
    if ((type == 1 && w->fork >= COH_FORK_BERLIN) || (type == 2 && w->fork >= COH_FORK_LONDON)) {
        d->spec.type = (coh_tx_type_t)type;
    }
    d->spec.unprotected = d->spec.type == COH_TX_LEGACY && w->fork < COH_FORK_SPURIOUS;
}

/* Whom it will probably meet, with slots that contracts use, or not (EIP-2930). */
static void draw_access_list(world_t *w, drawn_t *d)
{
    d->spec.listed     = d->listed;
    d->spec.listed_cnt = (uint32_t)coh_rng_below(&w->rng, LISTED_MAX + 1);
    for (uint32_t i = 0; i < d->spec.listed_cnt; i++) {
        coh_addr_t addr = coh_rng_percent(&w->rng, 50) ? d->spec.to : target(w);
        d->listed[i] =
            (coh_txgen_listed_t){.addr = addr, .slot_cnt = (uint32_t)coh_rng_below(&w->rng, 4)};
    }
}

static void draw_blobs(world_t *w, drawn_t *d)
{
    d->spec.type                 = COH_TX_BLOB;
    d->spec.blob_cnt             = 1 + (uint32_t)coh_rng_below(&w->rng, 2);
    d->spec.max_fee_per_blob_gas = coh_u256(1 + coh_rng_below(&w->rng, 60));
}

/* Authorizations of anybody, whether he sends as well, has no account, or code of his own, to anybody: contracts, delegated accounts, precompiled contracts, nobody,
   and himself. Most are valid, by those before them in the list too. */
static void draw_auths(world_t *w, drawn_t *d)
{
    coh_rng_t *rng   = &w->rng;
    d->spec.type     = COH_TX_SET_CODE;
    d->spec.auths    = d->auths;
    d->spec.auth_cnt = 1 + (uint32_t)coh_rng_below(rng, AUTHS_MAX);
    uint64_t moved[CODED_KEY + 1];
    for (uint32_t i = 0; i <= CODED_KEY; i++) {
        moved[i] = i == d->spec.key;
    }
    for (uint32_t i = 0; i < d->spec.auth_cnt; i++) {
        uint32_t key       = (uint32_t)coh_rng_below(rng, CODED_KEY + 1);
        key                = coh_rng_percent(rng, 20) ? d->spec.key : key;
        coh_txgen_auth_t a = {.key = key, .chain_id = CHAIN_ID, .addr = target(w)};
        a.nonce            = nonce_of(w, key) + moved[key];
        if (coh_rng_percent(rng, 20)) {
            a.chain_id = 0; /* of every chain */
        }
        uint64_t what = coh_rng_below(rng, 100);
        if (what < 40) {
            a.addr = contract_addr((uint32_t)coh_rng_below(rng, CONTRACTS));
        } else if (what < 50) {
            a.addr = (coh_addr_t){{0}};
        } else if (what < 55) {
            a.addr = coh_txgen_addr(w->gen, key);
        }
        bool is_valid = key != CODED_KEY;
        switch (coh_rng_below(rng, 12)) {
        case 0:
            a.nonce++;
            is_valid = false;
            break;
        case 1:
            is_valid = is_valid && a.nonce == 0;
            a.nonce -= a.nonce != 0;
            break;
        case 2:
            a.chain_id = CHAIN_ID + 1;
            is_valid   = false;
            break;
        case 3:
            a.is_forged = true;
            is_valid    = false;
            break;
        default: break;
        }
        moved[key] += is_valid;
        d->auths[i] = a;
    }
}

/* A transaction that might come next in block b; its data is the caller's to free. */
static void draw_tx(world_t *w, block_t const *b, drawn_t *d)
{
    coh_rng_t *rng = &w->rng;
    uint32_t key   = (uint32_t)coh_rng_below(rng, EOAS + STRANGERS);
    draw_base(w, d, key);
    coh_txgen_spec_t *spec = &d->spec;
    uint64_t what          = coh_rng_below(rng, 100);
    spec->to               = target(w);
    spec->value            = coh_u256(coh_rng_below(rng, 3) * coh_rng_below(rng, 100000));
    spec->gas_limit        = coh_rng_percent(rng, 10) ? coh_rng_below(rng, 4000000)
                                                      : 100000 + coh_rng_below(rng, 700000);
    if (what < 25) { /* a plain transfer, to whomever */
        spec->gas_limit = coh_rng_percent(rng, 70) ? 21000 : spec->gas_limit;
    } else if (what < 32) { /* creates one more random contract */
        coh_buf_t runtime = COH_BUF_INIT;
        coh_codegen_t gen = {.fork         = w->fork,
                             .targets      = w->targets,
                             .target_cnt   = w->target_cnt,
                             .block_number = FIRST_BLOCK - 1};
        coh_codegen_contract(&runtime, &gen, rng);
        asm_init_code(&d->data, coh_buf_bytes(&runtime));
        coh_buf_free(&runtime);
        spec->is_create = true;
        spec->gas_limit = 800000;
        if (w->target_cnt < TARGETS_MAX && coh_rng_percent(rng, 60)) {
            coh_addr_t sender           = coh_txgen_addr(w->gen, key);
            w->targets[w->target_cnt++] = coh_tx_created_address(&sender, spec->nonce);
        }
    } else { /* calls */
        if (coh_rng_percent(rng, 60)) {
            spec->to = contract_addr((uint32_t)coh_rng_below(rng, CONTRACTS));
        } else if (coh_rng_percent(rng, 40)) {
            spec->to = coh_txgen_addr(w->gen, (uint32_t)coh_rng_below(rng, CODED_KEY + 1));
        }
        for (uint32_t i = 0; i < 32; i++) {
            coh_buf_put_u8(&d->data, (uint8_t)(coh_rng_next(rng) & coh_rng_next(rng)));
        }
        if (what < 45 && w->fork >= COH_FORK_PRAGUE) {
            draw_auths(w, d);
        } else if (what < 52 && w->fork >= COH_FORK_CANCUN && b->blob_cnt < BLOB_MAX) {
            draw_blobs(w, d);
        }
    }
    if (spec->type != COH_TX_LEGACY && spec->gas_limit != 21000) {
        draw_access_list(w, d);
    }
    spec->data = coh_buf_bytes(&d->data);
    if (what >= 32 && coh_rng_percent(rng, 20)) { /* its gas ends somewhere in the middle */
        uint64_t least  = coh_tx_intrinsic_gas(&coh_txgen_make(w->gen, spec)->tx, w->fork);
        spec->gas_limit = least + coh_rng_below(rng, 40000);
    }
}

static void add_random_tx(world_t *w, block_t *b)
{
    drawn_t d;
    draw_tx(w, b, &d);
    (void)add_tx(w, b, coh_txgen_make(w->gen, &d.spec));
    coh_buf_free(&d.data);
}

/* Makes d, valid as far as anybody knows, what may not come next in block b. */
static void spoil(world_t *w, block_t const *b, drawn_t *d)
{
    coh_txgen_spec_t *spec = &d->spec;
    coh_addr_t sender      = coh_txgen_addr(w->gen, spec->key);
    coh_value_t account    = coh_memview_account(w->state, &sender);
    switch (coh_rng_below(&w->rng, 7)) {
    case 0: spec->nonce += 1 + coh_rng_below(&w->rng, 2); break;
    case 1: spec->nonce -= spec->nonce != 0; break;
    case 2: /* one wei more than there is, now */
    case 3: {
        coh_u256_t fee = spec->max_fee;
        (void)coh_u256_mul_u64(&fee, &fee, spec->gas_limit);
        spec->value = coh_u256_sub(&spec->value, &account.word, &fee) ? COH_U256_ZERO : spec->value;
        (void)coh_u256_add(&spec->value, &spec->value, &(coh_u256_t){.w = {1}});
        break;
    }
    case 4: spec->max_fee = spec->max_tip = coh_u256(BASE_FEE - 1); break;
    case 5:
        spec->key   = CODED_KEY;
        spec->nonce = nonce_of(w, CODED_KEY);
        break;
    default:
        if (w->fork < COH_FORK_OSAKA) { /* since Osaka no transaction may have as much, EIP-7825 */
            spec->gas_limit = BLOCK_GAS - b->gas_used + 1;
        }
        break;
    }
}

/* Draws a block on top of those that there are that has an invalid transaction somewhere. What comes behind it may be anything. */
static void draw_bad_block(world_t *w, coh_addr_t coinbase)
{
    block_t *b = &w->bad;
    start_block(w, b, coinbase);
    coh_memview_save(w->state);
    counts_t cnt     = w->cnt;
    uint32_t good    = (uint32_t)coh_rng_below(&w->rng, BLOCK_TXS / 2);
    uint32_t tx_cnt  = 0;
    coh_tx_err_t err = COH_TX_OK;
    for (uint32_t i = 0; i < 3 * BLOCK_TXS && b->block.tx_cnt < good; i++) {
        add_random_tx(w, b);
    }
    for (uint32_t i = 0; i < 3 * BLOCK_TXS && b->block.tx_cnt < BLOCK_TXS && err == COH_TX_OK;
         i++) {
        drawn_t d;
        draw_tx(w, b, &d);
        spoil(w, b, &d);
        coh_txgen_tx_t const *tx = coh_txgen_make(w->gen, &d.spec);
        if (b->blob_cnt + tx->tx.blob_cnt <= BLOB_MAX) {
            tx_cnt             = b->block.tx_cnt;
            err                = try_tx(w, b, tx);
            b->raws[tx_cnt]    = tx->raw;
            b->senders[tx_cnt] = tx->sender;
            tx_cnt++;
        }
        coh_buf_free(&d.data);
    }
    assert_int_not_equal(err, COH_TX_OK);
    w->bad_idx     = tx_cnt - 1;
    w->bad_verdict = err;
    while (tx_cnt < BLOCK_TXS && coh_rng_percent(&w->rng, 90)) {
        drawn_t d;
        draw_tx(w, b, &d);
        coh_txgen_tx_t const *tx = coh_txgen_make(w->gen, &d.spec);
        if (b->blob_cnt + tx->tx.blob_cnt <= BLOB_MAX) {
            b->raws[tx_cnt]    = tx->raw;
            b->senders[tx_cnt] = tx->sender;
            b->blob_cnt += tx->tx.blob_cnt;
            tx_cnt++;
        }
        coh_buf_free(&d.data);
    }
    b->block.tx_cnt = tx_cnt;
    w->bad_at       = w->block_cnt;
    w->has_bad      = true;
    w->cnt          = cnt;
    coh_memview_restore(w->state);
}

/* A call by the system of a contract, or of what is none, or credits, some of nothing. */
static void add_random_step(world_t *w, block_t *b)
{
    coh_buf_t bytes = COH_BUF_INIT;
    coh_step_t step = {.kind = COH_STEP_CALL, .to = target(w)};
    if (coh_rng_below(&w->rng, 2) == 0) {
        step.kind = COH_STEP_CREDIT;
        for (uint64_t i = coh_rng_below(&w->rng, 4); i != 0; i--) {
            coh_addr_t to     = coh_rng_below(&w->rng, 3) == 0 ? b->block.coinbase : target(w);
            coh_u256_t amount = coh_u256(coh_rng_below(&w->rng, 3) * 1000);
            coh_step_put_credit(&bytes, &to, &amount);
        }
        step.list = coh_buf_bytes(&bytes);
    } else {
        for (uint32_t i = 0; i < 32; i++) {
            uint8_t octet = i < 31 ? 0 : (uint8_t)coh_rng_below(&w->rng, 4);
            coh_buf_put(&bytes, &octet, 1);
        }
        step.data = coh_buf_bytes(&bytes);
    }
    add_step(w, b, &step);
    coh_buf_free(&bytes);
}

/* The code of an account that runs that of another (EIP-7702); the caller's. */
static coh_bytes_t delegation_to(coh_addr_t addr)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_buf_put(&code, "\xef\x01", 3);
    coh_buf_put(&code, addr.b, sizeof(addr.b));
    coh_bytes_t out = copy(&code);
    coh_buf_free(&code);
    return out;
}

/* Somebody has the key of an account with code: it can neither send nor delegate (EIP-3607, EIP-7702). */
static coh_genesis_account_t coded_account(world_t *w)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, "1 0 SLOAD ADD 0 SSTORE");
    coh_genesis_account_t a = {.addr    = coh_txgen_addr(w->gen, CODED_KEY),
                               .nonce   = 1,
                               .balance = coh_u256(UINT64_C(1000000000000000000)),
                               .code    = copy(&code)};
    coh_buf_free(&code);
    return a;
}

static void make_random_world(world_t *w, coh_fork_t fork, uint64_t seed)
{
    begin_world(w, fork, seed);
    coh_codegen_t gen = {.fork         = fork,
                         .targets      = w->targets,
                         .target_cnt   = w->target_cnt,
                         .block_number = FIRST_BLOCK - 1};
    for (uint32_t i = 0; i < EOAS; i++) {
        uint64_t ether          = UINT64_C(1000000000000000000);
        coh_genesis_account_t a = {.addr    = coh_txgen_addr(w->gen, i),
                                   .nonce   = i % 3 == 0 ? 5 : 0,
                                   .balance = coh_u256(i < EOAS - POOR ? ether : 20000000)};
        if (i % 3 == 1 && fork >= COH_FORK_PRAGUE) {
            a.code = delegation_to(target(w));
        }
        add_account(w, a);
    }
    add_account(w, coded_account(w));
    for (uint32_t i = 0; i < CONTRACTS; i++) {
        coh_buf_t code = COH_BUF_INIT;
        coh_codegen_contract(&code, &gen, &w->rng);
        coh_genesis_account_t a = {.addr    = contract_addr(i),
                                   .nonce   = fork >= COH_FORK_SPURIOUS,
                                   .balance = coh_u256(i * 700),
                                   .code    = copy(&code)};
        a.slots                 = coh_calloc(3, sizeof(*a.slots));
        a.slot_cnt              = 3;
        for (uint64_t k = 0; k < 3; k++) {
            a.slots[k] = (coh_genesis_slot_t){.key = coh_u256(k), .value = coh_u256(i + k)};
        }
        coh_buf_free(&code);
        add_account(w, a);
    }
    finish_genesis(w);
    for (uint32_t b = 0; b < BLOCKS_MAX; b++) {
        coh_addr_t coinbase = b % 2 == 0 ? coh_txgen_addr(w->gen, COINBASE_KEY)
                              : b == 1   ? contract_addr(2)
                                         : (coh_addr_t){.b = {0xcb, 0x01}};
        if (b == seed % BLOCKS_MAX) {
            draw_bad_block(w, coinbase);
        }
        block_t *block = begin_block(w, coinbase);
        for (uint64_t i = coh_rng_below(&w->rng, 4); i != 0; i--) {
            add_random_step(w, block);
        }
        for (uint32_t i = 0; i < 3 * BLOCK_TXS && block->block.tx_cnt < BLOCK_TXS; i++) {
            add_random_tx(w, block);
        }
        for (uint64_t i = coh_rng_below(&w->rng, 5); i != 0; i--) {
            add_random_step(w, block);
        }
    }
}

/* ---- one layout ---- */

typedef struct {
    world_t *world;
    uint32_t done_cnt;
    uint32_t wrong_cnt;
    char wrong[256]; /* the first difference */
    uint32_t account_cnt;
    uint32_t slot_cnt;
    bool awaits_bad;  /* the block that is told of next is the bad one... */
    bool has_refused; /* ...and it was refused, for what is wrong */
    bool is_done[BLOCKS_MAX];
    coh_hash_t hashes[BLOCKS_MAX];
    coh_block_cluster_report_t report;
    /* Moves. */
    coh_block_cluster_t *cluster;
    coh_rng_t move_rng;
    uint32_t move_percent;
    uint32_t shard_cnt;
    uint32_t round_cnt;
    coh_addr_t *addrs;
    size_t addr_cnt;
} check_t;

COH_PRINTF(2, 3) static void differ(check_t *c, char const *fmt, ...)
{
    if (c->wrong_cnt++ == 0) {
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(c->wrong, sizeof(c->wrong), fmt, args);
        va_end(args);
    }
}

static void check_bad_block(check_t *c, coh_import_result_t const *result)
{
    world_t const *w = c->world;
    if (result->number != w->bad.block.number || result->err != COH_EINVAL ||
        result->fault.err != COH_BLOCK_TX || result->fault.idx != w->bad_idx ||
        result->fault.tx_err != w->bad_verdict) {
        differ(c,
               "invalid block %u: %s, transaction %u: %s for %u: %s",
               w->bad_at,
               coh_err_str(result->err),
               result->fault.idx,
               coh_tx_err_str(result->fault.tx_err),
               w->bad_idx,
               coh_tx_err_str(w->bad_verdict));
    }
    c->has_refused = true;
}

static void check_block(void *arg, coh_import_result_t const *result)
{
    check_t *c       = arg;
    uint32_t idx     = (uint32_t)(result->number - FIRST_BLOCK);
    block_t const *b = &c->world->blocks[idx];
    if (c->awaits_bad) {
        check_bad_block(c, result);
        return;
    }
    if (idx >= c->world->block_cnt || c->is_done[idx]) {
        differ(c, "block %" PRIu64 " was not asked for", result->number);
        return;
    }
    c->done_cnt++;
    c->is_done[idx] = true;
    if (result->err != COH_OK) {
        differ(c,
               "block %u: %s, transaction %u: %s",
               idx,
               coh_err_str(result->err),
               result->fault.idx,
               coh_tx_err_str(result->fault.tx_err));
        return;
    }
    if (result->sealed->tx_cnt != b->block.tx_cnt) {
        differ(c, "block %u: %u receipts", idx, result->sealed->tx_cnt);
        return;
    }
    c->hashes[idx] = result->hash;
    if (!coh_hash_eq(&result->sealed->header.state_root, &b->root)) {
        differ(c, "block %u: another state root", idx);
    }
    for (uint32_t i = 0; i < b->block.tx_cnt; i++) {
        coh_op_receipt_t const *is = &result->sealed->receipts[i];
        outcome_t const *should    = &b->outcomes[i];
        if (is->status != should->status || is->gas_used != should->gas_used) {
            differ(c,
                   "block %u, transaction %u: status %u for %u, gas %" PRIu64 " for %" PRIu64,
                   idx,
                   i,
                   is->status,
                   should->status,
                   is->gas_used,
                   should->gas_used);
        }
        if (!coh_bytes_eq(coh_sealed_logs(result->sealed, i), coh_buf_bytes(&should->logs))) {
            differ(c, "block %u, transaction %u: other logs", idx, i);
        }
    }
}

static void check_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    check_t *c         = arg;
    coh_value_t should = coh_memview_account(c->world->state, addr);
    c->account_cnt++;
    if (!(should.flags & COH_ACCOUNT_EXISTS) || should.nonce != value->nonce ||
        !coh_u256_eq(&should.word, &value->word) ||
        !coh_hash_eq(&should.code_hash, &value->code_hash)) {
        differ(c,
               "account %02x%02x..%02x: exists %u, nonce %" PRIu64 " for %" PRIu64
               ", balance %" PRIu64 " for %" PRIu64 ", code %s",
               addr->b[0],
               addr->b[1],
               addr->b[19],
               should.flags & COH_ACCOUNT_EXISTS,
               value->nonce,
               should.nonce,
               value->word.w[0],
               should.word.w[0],
               coh_hash_eq(&should.code_hash, &value->code_hash) ? "right" : "wrong");
    }
}

static void check_slot(void *arg,
                       coh_addr_t const *addr,
                       coh_u256_t const *slot,
                       coh_u256_t const *value)
{
    check_t *c        = arg;
    coh_u256_t should = coh_memview_slot(c->world->state, addr, slot);
    c->slot_cnt++;
    if (!coh_u256_eq(&should, value)) {
        differ(c,
               "account %02x%02x..%02x, slot %" PRIu64 ": %" PRIu64 " for %" PRIu64,
               addr->b[0],
               addr->b[1],
               addr->b[19],
               slot->w[0],
               value->w[0],
               should.w[0]);
    }
}

static void check_code(void *arg, coh_hash_t const *hash, coh_bytes_t code)
{
    check_t *c = arg;
    coh_hash_t is;
    coh_keccak256(&is, code.p, code.n);
    if (!coh_hash_eq(&is, hash)) {
        differ(c, "stored code has another hash");
    }
}

typedef struct {
    world_t *world;
    uint32_t accounts;
    uint32_t slots;
    uint32_t codes;
    uint32_t delegations;
} count_t;

static void count_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    (void)slot;
    (void)value;
    ((count_t *)arg)->slots++;
}

static void count_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    count_t *count = arg;
    count->accounts++;
    count->codes += coh_value_has_code(value);
    count->delegations += is_delegated(count->world, addr);
    coh_memview_slots(count->world->state, addr, count_slot, count);
}

/* The accounts of the world: those of genesis, those that come to be at known addresses, and the coinbase. The caller's. */
static coh_addr_t *list_accounts(world_t const *w, size_t *cnt)
{
    *cnt              = w->genesis.alloc_cnt + w->target_cnt + 1;
    coh_addr_t *addrs = coh_calloc(*cnt, sizeof(*addrs));
    memcpy(addrs, w->targets, w->target_cnt * sizeof(*addrs));
    for (size_t i = 0; i < w->genesis.alloc_cnt; i++) {
        addrs[w->target_cnt + i] = w->genesis.alloc[i].addr;
    }
    addrs[*cnt - 1] = coh_txgen_addr(w->gen, COINBASE_KEY);
    return addrs;
}

/* Now and then moves some accounts to random shards. */
static bool move_some(void *arg, uint64_t head)
{
    (void)head;
    check_t *c = arg;
    if (!coh_rng_percent(&c->move_rng, c->move_percent)) {
        return false;
    }
    coh_override_t wanted[16];
    size_t cnt = 0;
    for (size_t i = 0; i < COH_CNT(wanted); i++) {
        coh_override_t o = {.addr  = c->addrs[coh_rng_below(&c->move_rng, c->addr_cnt)],
                            .shard = (uint16_t)coh_rng_below(&c->move_rng, c->shard_cnt)};
        bool is_new      = true;
        for (size_t k = 0; k < cnt; k++) {
            is_new = is_new && !coh_addr_eq(&wanted[k].addr, &o.addr);
        }
        if (is_new) {
            wanted[cnt++] = o;
        }
    }
    c->round_cnt += coh_block_cluster_move(c->cluster, wanted, cnt) == COH_OK;
    return false;
}

/* Runs all blocks, the bad one in its place unless restarts or moves may hide what becomes of it. */
static coh_err_t run_blocks(check_t *c,
                            coh_import_block_t const *blocks,
                            coh_block_cluster_layout_t const *layout,
                            coh_block_cluster_visitor_t const *visitor,
                            coh_buf_t *why)
{
    world_t *w                   = c->world;
    coh_block_cluster_t *cluster = c->cluster;
    if (!w->has_bad || layout->restart_cnt != 0 || c->move_percent != 0) {
        return coh_block_cluster_run(cluster, &w->genesis, blocks, w->block_cnt, visitor, why);
    }
    uint32_t at = w->bad_at;
    COH_TRY(coh_block_cluster_open(cluster, &w->genesis, BLOCK_TXS, why));
    COH_TRY(coh_block_cluster_import(cluster, blocks, at, visitor, why));
    c->awaits_bad = true;
    COH_TRY(coh_block_cluster_import(cluster, &w->bad.block, 1, visitor, why));
    c->awaits_bad = false;
    COH_TRY(coh_block_cluster_import(cluster, blocks + at, w->block_cnt - at, visitor, why));
    if (!c->has_refused) {
        differ(c, "nothing is told of the invalid block %u", at);
    }
    return coh_block_cluster_close(cluster, visitor, why);
}

/* Runs the world through a layout and compares: every block, but that restarts may hide the fate of some that were decided just before. */
static check_t compare(world_t *w, coh_block_cluster_layout_t const *layout, uint32_t move_percent)
{
    check_t c = {.world = w, .move_percent = move_percent, .shard_cnt = layout->shard_cnt};
    c.addrs   = list_accounts(w, &c.addr_cnt);
    coh_rng_seed(&c.move_rng, layout->seed);
    coh_block_cluster_visitor_t visitor = {
        .block  = check_block,
        .walker = {.account = check_account, .slot = check_slot, .code = check_code, .arg = &c},
        .turn   = move_percent != 0 ? move_some : NULL,
        .arg    = &c};
    coh_import_block_t blocks[BLOCKS_MAX];
    for (uint32_t b = 0; b < w->block_cnt; b++) {
        blocks[b] = w->blocks[b].block;
    }
    coh_buf_t why = COH_BUF_INIT;
    end_block(w);
    coh_block_cluster_t *cluster = coh_block_cluster_new(layout);
    c.cluster                    = cluster;
    coh_err_t err                = run_blocks(&c, blocks, layout, &visitor, &why);
    c.report                     = coh_block_cluster_report(cluster);
    coh_block_cluster_free(cluster);
    if (err != COH_OK) {
        differ(&c, "%s: %.*s", coh_err_str(err), (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    count_t count = {.world = w};
    coh_memview_accounts(w->state, count_account, &count);
    if (c.wrong_cnt == 0 && (count.accounts != c.account_cnt || count.slots != c.slot_cnt ||
                             c.done_cnt + c.report.untold_cnt != w->block_cnt)) {
        differ(&c,
               "%u blocks done of %u after %u restarts, %u accounts for %u, %u slots for %u",
               c.done_cnt,
               w->block_cnt,
               c.report.restart_cnt,
               c.account_cnt,
               count.accounts,
               c.slot_cnt,
               count.slots);
    }
    w->cnt.code       = count.codes;
    w->cnt.delegation = count.delegations;
    for (uint32_t b = 0; b < w->block_cnt && c.wrong_cnt == 0; b++) {
        if (w->known && c.is_done[b] && !coh_hash_eq(&w->hashes[b], &c.hashes[b])) {
            differ(&c, "block %u has another hash than in the first layout", b);
        }
    }
    if (!w->known && c.report.restart_cnt == 0 && c.wrong_cnt == 0) {
        memcpy(w->hashes, c.hashes, sizeof(w->hashes));
        w->known = true;
    }
    free(c.addrs);
    return c;
}

/* Runs a layout in which accounts move in so many of a hundred turns; *round_cnt: how often that began. */
static coh_block_cluster_report_t run_moving(world_t *w,
                                             coh_block_cluster_layout_t const *layout,
                                             uint32_t move_percent,
                                             uint32_t *round_cnt)
{
    check_t c = compare(w, layout, move_percent);
    *round_cnt += c.round_cnt;
    if (c.wrong_cnt != 0) {
        fail_msg("%s, %u shards, %u threads, %s, placement %s, home %s, seed %" PRIu64 ": %s",
                 coh_fork_name(w->fork),
                 layout->shard_cnt,
                 layout->thread_cnt,
                 layout->scheduler != NULL ? layout->scheduler : "default",
                 layout->placement != NULL ? layout->placement : "default",
                 layout->home != NULL ? layout->home : "default",
                 layout->seed,
                 c.wrong);
    }
    return c.report;
}

static coh_block_cluster_report_t run_layout(world_t *w, coh_block_cluster_layout_t const *layout)
{
    uint32_t none = 0;
    return run_moving(w, layout, 0, &none);
}

static void write_pins(world_t *w, char out[COH_TEST_PINS_SZ], uint32_t shard_cnt, uint64_t seed)
{
    size_t cnt;
    coh_addr_t *addrs = list_accounts(w, &cnt);
    coh_test_pins_write(out, addrs, cnt, shard_cnt, seed);
    free(addrs);
}

static coh_adversary_t *make_adversary(world_t const *w)
{
    coh_adversary_t *a = coh_adversary_new();
    coh_import_block_t blocks[BLOCKS_MAX];
    for (uint32_t b = 0; b < w->block_cnt; b++) {
        blocks[b] = w->blocks[b].block;
    }
    coh_adversary_learn(a, &w->genesis, blocks, w->block_cnt);
    return a;
}

static void run_layouts(world_t *w, bool few)
{
    static uint32_t const shards[]  = {1, 2, 3, 8};
    static uint32_t const threads[] = {1, 2, 4};
    coh_adversary_t *adversary      = make_adversary(w);
    run_layout(w, &(coh_block_cluster_layout_t){.shard_cnt = 1, .thread_cnt = 1});
    for (size_t s = 0; s < COH_CNT(shards); s++) {
        for (size_t t = 0; t < (few ? 2 : COH_CNT(threads)); t++) {
            char random[40];
            uint64_t seed = coh_rng_next(&w->rng) % 100000;
            (void)snprintf(random, sizeof(random), "random:%" PRIu64, seed);
            coh_block_cluster_layout_t layout = {.shard_cnt  = shards[s],
                                                 .thread_cnt = threads[t],
                                                 .placement  = random,
                                                 .seed       = seed};
            for (int kind = 0; kind < COH_SCHED_KIND_CNT; kind++) {
                layout.scheduler = coh_sched_kind_str((coh_sched_kind_t)kind);
                layout.home      = NULL;
                run_layout(w, &layout);
                layout.home = random;
                run_layout(w, &layout);
            }
            char pins[COH_TEST_PINS_SZ];
            write_pins(w, pins, shards[s], seed);
            layout.placement = pins;
            layout.scheduler = NULL;
            layout.home      = seed % 2 == 0 ? NULL : random;
            run_layout(w, &layout);
            coh_test_pins_remove(pins);
            layout.placement = coh_adversary_policy(adversary, shards[s]);
            layout.scheduler = coh_sched_kind_str((coh_sched_kind_t)(seed % COH_SCHED_KIND_CNT));
            layout.home      = NULL;
            layout.delay_us  = 1 + seed % 200;
            run_layout(w, &layout);
        }
    }
    coh_adversary_free(adversary);
}

static void random_contracts(coh_fork_t fork)
{
    world_t *w = coh_calloc(1, sizeof(*w));
    make_random_world(w, fork, run_seed + (uint64_t)fork);
    run_layouts(w, false);
    /* The input is worth something. */
    counts_t const *cnt = &w->cnt;
    assert_true(cnt->status[0] > 5 && cnt->status[1] > 20);
    assert_true(cnt->code > CONTRACTS / 2);
    assert_true(cnt->step[COH_STEP_RAN] > 0);
    assert_true(fork < COH_FORK_PRAGUE ||
                (cnt->type[COH_TX_BLOB] > 0 && cnt->type[COH_TX_SET_CODE] > 5 &&
                 cnt->from_delegated > 5 && cnt->to_delegated > 5 && cnt->delegation > 1));
    free_world(w);
    free(w);
}

/* For COHORT_TEST_SECONDS: fresh worlds of all forks that differ for contracts, each in all layouts. */
#ifdef COH_DEEP_CHECKS

static bool expect_nonsense(void *arg, char const *place)
{
    (void)arg;
    return strcmp(place, "executor:expect_nonsense") == 0;
}

#endif

static void add_counts(counts_t *sum, counts_t const *cnt)
{
    sum->status[0] += cnt->status[0];
    sum->status[1] += cnt->status[1];
    for (uint32_t i = 0; i < COH_TX_TYPE_CNT; i++) {
        sum->type[i] += cnt->type[i];
    }
    sum->from_delegated += cnt->from_delegated;
    sum->to_delegated += cnt->to_delegated;
    sum->delegation += cnt->delegation;
}

/* refused: bad blocks by their verdict. */
static void print_counts(counts_t const *sum, uint32_t const refused[COH_TX_ERR_CNT])
{
    print_message("transactions by type: %u, %u, %u, %u with blobs, %u with authorizations\n",
                  sum->type[COH_TX_LEGACY],
                  sum->type[COH_TX_ACCESS_LIST],
                  sum->type[COH_TX_DYNAMIC_FEE],
                  sum->type[COH_TX_BLOB],
                  sum->type[COH_TX_SET_CODE]);
    print_message(
        "%u failed, %u came from delegated accounts, %u went to such; %u delegations left\n",
        sum->status[0],
        sum->from_delegated,
        sum->to_delegated,
        sum->delegation);
    for (uint32_t i = 1; i < COH_TX_ERR_CNT; i++) {
        if (refused[i] != 0) {
            print_message("%u blocks refused: %s\n", refused[i], coh_tx_err_str((coh_tx_err_t)i));
        }
    }
}

static void contracts_equal_sequential_execution_for_long(void **state)
{
    (void)state;
    static coh_fork_t const forks[]  = {COH_FORK_FRONTIER,
                                        COH_FORK_HOMESTEAD,
                                        COH_FORK_TANGERINE,
                                        COH_FORK_SPURIOUS,
                                        COH_FORK_BYZANTIUM,
                                        COH_FORK_ISTANBUL,
                                        COH_FORK_BERLIN,
                                        COH_FORK_LONDON,
                                        COH_FORK_SHANGHAI,
                                        COH_FORK_CANCUN,
                                        COH_FORK_PRAGUE,
                                        COH_FORK_OSAKA,
                                        COH_FORK_PRAGUE, /* twice: all types are there */
                                        COH_FORK_OSAKA};
    uint64_t seconds                 = strtoull(getenv("COHORT_TEST_SECONDS"), NULL, 10);
    time_t end                       = time(NULL) + (time_t)seconds;
    time_t told                      = time(NULL);
    uint64_t worlds                  = 0;
    counts_t sum                     = {0};
    uint32_t refused[COH_TX_ERR_CNT] = {0};
    for (; time(NULL) < end; worlds++) {
        world_t *w = coh_calloc(1, sizeof(*w));
        make_random_world(w, forks[worlds % COH_CNT(forks)], run_seed + worlds);
#ifdef COH_DEEP_CHECKS
        coh_hook_set(worlds % 3 == 0 ? expect_nonsense : NULL, NULL);
#endif
        run_layouts(w, worlds % 5 == 4);
        add_counts(&sum, &w->cnt);
        refused[w->bad_verdict]++;
        free_world(w);
        free(w);
        if (time(NULL) >= told + 60) {
            told = time(NULL);
            print_message("%" PRIu64 " worlds, the last of seed %" PRIu64 "\n",
                          worlds + 1,
                          run_seed + worlds);
        }
    }
    print_message("%" PRIu64 " worlds without a difference\n", worlds);
    print_counts(&sum, refused);
}

static void contracts_equal_sequential_execution_homestead(void **state)
{
    (void)state;
    random_contracts(COH_FORK_HOMESTEAD);
}

static void contracts_equal_sequential_execution_byzantium(void **state)
{
    (void)state;
    random_contracts(COH_FORK_BYZANTIUM);
}

static void contracts_equal_sequential_execution_shanghai(void **state)
{
    (void)state;
    random_contracts(COH_FORK_SHANGHAI);
}

static void contracts_equal_sequential_execution_prague(void **state)
{
    (void)state;
    random_contracts(COH_FORK_PRAGUE);
}

/* What redo records and flat tables hold is all that a rank needs: code, slots, generations, hashes of blocks. */
static void contracts_survive_restarts(void **state)
{
    (void)state;
    static coh_fork_t const forks[]  = {COH_FORK_HOMESTEAD, COH_FORK_SHANGHAI, COH_FORK_PRAGUE};
    coh_block_cluster_report_t total = {0};
    for (size_t f = 0; f < COH_CNT(forks); f++) {
        world_t *w = coh_calloc(1, sizeof(*w));
        make_random_world(w, forks[f], run_seed + 300 + f);
        run_layout(w, &(coh_block_cluster_layout_t){.shard_cnt = 1, .thread_cnt = 1});
        for (uint32_t i = 0; i < 8; i++) {
            char pins[COH_TEST_PINS_SZ];
            write_pins(w, pins, 1 + i % 3, run_seed + i);
            coh_block_cluster_report_t report =
                run_layout(w,
                           &(coh_block_cluster_layout_t){.shard_cnt     = 1 + i % 3,
                                                         .thread_cnt    = 1 + i % 2,
                                                         .seed          = run_seed + i,
                                                         .cache_entries = i % 4 == 0 ? 1 : 0,
                                                         .restart_cnt   = 6,
                                                         .placement = i % 2 == 0 ? NULL : pins});
            total.restart_cnt += report.restart_cnt;
            total.restart_amid_cnt += report.restart_amid_cnt;
            coh_test_pins_remove(pins);
        }
        free_world(w);
        free(w);
    }
    print_message("%u restarts, %u of them with some blocks committed\n",
                  total.restart_cnt,
                  total.restart_amid_cnt);
    assert_true(total.restart_cnt >= 24 && total.restart_amid_cnt >= 6);
}

/* Accounts with code and storage change their shards all the time, from and to overrides, and ranks are taken down in the middle of it. */
static void contracts_move_while_they_run(void **state)
{
    (void)state;
    static coh_fork_t const forks[] = {COH_FORK_HOMESTEAD, COH_FORK_SHANGHAI, COH_FORK_PRAGUE};
    uint32_t restart_cnt            = 0;
    uint32_t round_cnt              = 0;
    for (size_t f = 0; f < COH_CNT(forks); f++) {
        world_t *w = coh_calloc(1, sizeof(*w));
        make_random_world(w, forks[f], run_seed + 500 + f);
        run_layout(w, &(coh_block_cluster_layout_t){.shard_cnt = 1, .thread_cnt = 1});
        for (uint32_t i = 0; i < 10; i++) {
            char pins[COH_TEST_PINS_SZ];
            write_pins(w, pins, 2 + i % 3, run_seed + i);
            coh_block_cluster_report_t report =
                run_moving(w,
                           &(coh_block_cluster_layout_t){.shard_cnt     = 2 + i % 3,
                                                         .thread_cnt    = 1 + i % 2,
                                                         .seed          = run_seed + i,
                                                         .cache_entries = i % 4 == 0 ? 1 : 0,
                                                         .restart_cnt   = i < 5 ? 0 : 6,
                                                         .placement     = i % 2 == 0 ? NULL : pins},
                           1 + 5 * (i % 3),
                           &round_cnt);
            restart_cnt += report.restart_cnt;
            coh_test_pins_remove(pins);
        }
        free_world(w);
        free(w);
    }
    print_message("%u rounds of moves, %u restarts\n", round_cnt, restart_cnt);
    assert_true(round_cnt >= 100 && restart_cnt >= 24);
}

#ifdef COH_DEEP_CHECKS

static bool drop_some(void *arg, char const *place)
{
    _Atomic uint32_t *cnt = arg;
    return strcmp(place, "executor:drop_parked") == 0 && atomic_fetch_add(cnt, 1) % 3 != 0;
}

static void contracts_begin_again_where_there_is_no_room_to_park(void **state)
{
    (void)state;
    _Atomic uint32_t cnt = 0;
    world_t *w           = coh_calloc(1, sizeof(*w));
    make_random_world(w, COH_FORK_PRAGUE, run_seed + 200);
    coh_hook_set(drop_some, &cnt);
    run_layouts(w, true);
    coh_hook_set(NULL, NULL);
    assert_true(atomic_load(&cnt) > 100);
    free_world(w);
    free(w);
}

/* Every incarnation asks other shards for keys that it has nothing to do with, and never ahead for those that it needs. */
static void contracts_do_not_depend_on_what_is_expected(void **state)
{
    (void)state;
    static coh_fork_t const forks[] = {COH_FORK_FRONTIER, COH_FORK_SHANGHAI, COH_FORK_PRAGUE};
    for (size_t f = 0; f < COH_CNT(forks); f++) {
        world_t *w = coh_calloc(1, sizeof(*w));
        make_random_world(w, forks[f], run_seed + 400 + f);
        coh_hook_set(expect_nonsense, NULL);
        run_layouts(w, true);
        coh_hook_set(NULL, NULL);
        free_world(w);
        free(w);
    }
}

/* Bugs that are put in, to see the tests catch them. One thread: what a seed does it does again. */

static bool is_planted(void *arg, char const *place) { return strcmp(place, arg) == 0; }

#define PLANT_WORLDS 20u

/* Worlds that come out wrong with a bug, of PLANT_WORLDS; *retractions of all of them. */
static uint32_t plant(char const *place, uint64_t *retractions)
{
    char name[64];
    uint32_t wrong = 0;
    *retractions   = 0;
    (void)snprintf(name, sizeof(name), "%s", place);
    for (uint64_t i = 0; i < PLANT_WORLDS; i++) {
        world_t *w               = coh_calloc(1, sizeof(*w));
        coh_metrics_t *metrics[] = {coh_metrics_new(0), coh_metrics_new(1), coh_metrics_new(2)};
        coh_block_cluster_layout_t layout = {.shard_cnt  = 2,
                                             .thread_cnt = 1,
                                             .placement  = "random:3",
                                             .seed       = i,
                                             .metrics    = metrics};
        make_random_world(w, COH_FORK_PRAGUE, 1000 + i);
        coh_hook_set(is_planted, name);
        wrong += compare(w, &layout, 0).wrong_cnt != 0;
        coh_hook_set(NULL, NULL);
        for (size_t r = 0; r < COH_CNT(metrics); r++) {
            *retractions += coh_metric_get(metrics[r], COH_M_mvstore_retraction);
            coh_metrics_free(metrics[r]);
        }
        free_world(w);
        free(w);
    }
    print_message("%s: %u of %u worlds wrong, %" PRIu64 " retractions\n",
                  place,
                  wrong,
                  PLANT_WORLDS,
                  *retractions);
    return wrong;
}

static void contracts_planted_bugs_are_caught(void **state)
{
    (void)state;
    uint64_t usual;
    uint64_t retractions;
    assert_int_equal(plant("none", &usual), 0);
    assert_true(plant("sched:drop_retract", &retractions) != 0);
    assert_true(plant("mvstore:drop_read", &retractions) != 0);
    /* Of delegations: the code of accounts is read without being registered, an authority's nonce is not moved by who runs again, and what an incarnation delegated that the next
       one does not is not taken back. */
    assert_true(plant("mvstore:drop_code_read", &retractions) != 0);
    assert_true(plant("executor:lose_nonce", &retractions) != 0);
    assert_true(plant("executor:keep_delegation", &retractions) != 0);
    /* Who reads on over an estimate is retracted when its writer has run again: right, but not for nothing. */
    assert_int_equal(plant("mvstore:ignore_estimate", &retractions), 0);
    assert_true(retractions > usual);
}

#endif

/* ---- by name ---- */

/* A world of rich senders and of contracts whose code is given as text. */
static world_t *new_world(coh_fork_t fork, char const *const *codes, uint32_t code_cnt)
{
    world_t *w = coh_calloc(1, sizeof(*w));
    begin_world(w, fork, run_seed);
    for (uint32_t i = 0; i < EOAS; i++) {
        add_account(w,
                    (coh_genesis_account_t){.addr    = coh_txgen_addr(w->gen, i),
                                            .balance = coh_u256(UINT64_C(1000000000000000000))});
    }
    for (uint32_t i = 0; i < code_cnt; i++) {
        coh_buf_t code = COH_BUF_INIT;
        coh_test_asm(&code, codes[i]);
        add_account(
            w, (coh_genesis_account_t){.addr = contract_addr(i), .nonce = 1, .code = copy(&code)});
        coh_buf_free(&code);
    }
    finish_genesis(w);
    return w;
}

static void drop_world(world_t *w)
{
    free_world(w);
    free(w);
}

static coh_addr_t const nobody = {.b = {0xbb}};

/* A transaction of key to addr with one word of data (none if it is UINT64_MAX); returns its status. */
static uint32_t call(world_t *w,
                     block_t *b,
                     uint32_t key,
                     coh_addr_t to,
                     uint64_t value,
                     uint64_t word)
{
    coh_u256_t data = coh_u256(word);
    uint8_t be[32];
    coh_u256_to_be(be, &data);
    bool plain            = word == UINT64_MAX;
    coh_txgen_spec_t spec = {.key         = key,
                             .chain_id    = CHAIN_ID,
                             .unprotected = w->fork < COH_FORK_SPURIOUS,
                             .nonce       = nonce_of(w, key),
                             .gas_limit   = plain ? 21000 : 300000,
                             .max_fee     = coh_u256(BASE_FEE + 3),
                             .to          = to,
                             .value       = coh_u256(value),
                             .data        = coh_bytes(be, plain ? 0 : 32)};
    assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
    return b->outcomes[b->block.tx_cnt - 1].status;
}

#define PLAIN UINT64_MAX

/* Creates an account with the code that text says. */
static coh_addr_t create(world_t *w, block_t *b, uint32_t key, char const *text)
{
    coh_buf_t runtime = COH_BUF_INIT;
    coh_buf_t init    = COH_BUF_INIT;
    coh_test_asm(&runtime, text);
    asm_init_code(&init, coh_buf_bytes(&runtime));
    coh_addr_t sender     = coh_txgen_addr(w->gen, key);
    coh_txgen_spec_t spec = {.key       = key,
                             .chain_id  = CHAIN_ID,
                             .nonce     = nonce_of(w, key),
                             .gas_limit = 200000,
                             .max_fee   = coh_u256(BASE_FEE + 3),
                             .is_create = true,
                             .data      = coh_buf_bytes(&init)};
    assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
    assert_int_equal(b->outcomes[b->block.tx_cnt - 1].status, 1);
    coh_buf_free(&runtime);
    coh_buf_free(&init);
    return coh_tx_created_address(&sender, spec.nonce);
}

static uint64_t slot_of(world_t *w, coh_addr_t addr, uint64_t slot)
{
    coh_u256_t key = coh_u256(slot);
    return coh_memview_slot(w->state, &addr, &key).w[0];
}

static void contracts_transfer_meets_code_of_the_same_block(void **state)
{
    (void)state;
    world_t *w      = new_world(COH_FORK_PRAGUE, NULL, 0);
    block_t *b      = begin_block(w, nobody);
    coh_addr_t from = coh_txgen_addr(w->gen, 0);
    coh_addr_t addr = coh_tx_created_address(&from, 0);
    assert_int_equal(call(w, b, 1, addr, 5, PLAIN), 1);
    coh_addr_t made = create(w, b, 0, "x: STOP"); /* the JUMPDEST costs 1 gas, and none is left */
    assert_true(coh_addr_eq(&made, &addr));
    assert_int_equal(call(w, b, 2, addr, 7, PLAIN), 0);
    assert_int_equal(call(w, b, 3, addr, 9, 0), 1);
    b = begin_block(w, nobody);
    assert_int_equal(call(w, b, 4, addr, 11, PLAIN), 0);
    assert_int_equal(coh_memview_account(w->state, &addr).word.w[0], 5 + 9);
    run_layouts(w, false);
    drop_world(w);
}

/* The child counts in slot 0, and destroys itself if it is told to. */
static void contracts_destroyed_and_created_again(void **state)
{
    (void)state;
    static coh_fork_t const forks[] = {COH_FORK_SHANGHAI, COH_FORK_CANCUN};
    for (size_t f = 0; f < COH_CNT(forks); f++) {
        coh_buf_t init = COH_BUF_INIT;
        coh_codegen_init(&init, 0);
        uint8_t word[32] = {0};
        char text[256];
        char hex[65];
        assert_true(init.n > 32 && init.n <= 64);
        coh_hex_encode(hex, init.p, 32);
        (void)snprintf(text, sizeof(text), ".7f%s 0 MSTORE ", hex);
        memcpy(word, init.p + 32, init.n - 32);
        coh_hex_encode(hex, word, 32);
        (void)snprintf(text + strlen(text),
                       sizeof(text) - strlen(text),
                       ".7f%s 32 MSTORE 9 %zu 0 0 CREATE2 1 SSTORE",
                       hex,
                       init.n);
        coh_buf_free(&init);
        char const *codes[] = {text};
        world_t *w          = new_world(forks[f], codes, 1);
        coh_addr_t factory  = contract_addr(0);
        coh_addr_t child    = coh_codegen_create2(&factory, 0, 9);
        block_t *b          = begin_block(w, nobody);
        assert_int_equal(call(w, b, 0, factory, 0, 0), 1);
        assert_int_equal(call(w, b, 1, child, 0, 0), 1);
        assert_int_equal(call(w, b, 2, child, 0, 0), 1);
        assert_int_equal(slot_of(w, child, 0), 2);
        assert_int_equal(call(w, b, 3, child, 0, 1), 1); /* counts, and is gone: before EIP-6780 */
        bool wiped =
            forks[f] < COH_FORK_CANCUN; /* else the address is taken, and that costs all gas */
        assert_int_equal(call(w, b, 4, factory, 0, 0), wiped);
        assert_int_equal(call(w, b, 5, child, 0, 0), 1);
        assert_int_equal(slot_of(w, child, 0), wiped ? 1 : 4);
        b = begin_block(w, nobody);
        assert_int_equal(call(w, b, 1, child, 0, 0), 1);
        assert_int_equal(call(w, b, 2, child, 0, 1), 1);
        assert_int_equal(slot_of(w, child, 0), wiped ? 0 : 6);
        run_layouts(w, false);
        drop_world(w);
    }
}

/* A contract keeps what the coinbase has by the time of each call: the tips of all before it. */
static void contracts_see_every_tip_of_the_coinbase(void **state)
{
    (void)state;
    static char const *const codes[] = {"COINBASE BALANCE 0 CALLDATALOAD SSTORE"};
    world_t *w                       = new_world(COH_FORK_PRAGUE, codes, 1);
    block_t *b                       = begin_block(w, nobody);
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(call(w, b, (uint32_t)i, contract_addr(0), 0, i), 1);
        assert_int_equal(call(w, b, (uint32_t)i, coh_txgen_addr(w->gen, 9), 1, PLAIN), 1);
    }
    uint64_t tips = 0;
    for (uint32_t i = 0; i < b->block.tx_cnt; i++) {
        if (i % 2 == 0) {
            assert_int_equal(slot_of(w, contract_addr(0), i / 2), tips);
        }
        tips += 3 * b->outcomes[i].gas_used; /* base fee + 3 is paid */
    }
    assert_int_equal(coh_memview_account(w->state, &nobody).word.w[0], tips);
    run_layouts(w, false);
    drop_world(w);
}

/* Each transaction writes ten slots, in a cache of two entries a transaction and two. */
static void contracts_spill_over_a_small_cache(void **state)
{
    (void)state;
#define SET(k) " 1 " #k " 0 CALLDATALOAD 16 MUL ADD SSTORE"
    static char const *const codes[] = {SET(0) SET(1) SET(2) SET(3) SET(4) SET(5) SET(6) SET(7)
                                            SET(8) SET(9)};
#undef SET
    enum { TXS = 20, SLOTS = 10 };
    world_t *w = new_world(COH_FORK_PRAGUE, codes, 1);
    for (uint64_t i = 0; i < 3; i++) {
        block_t *b = begin_block(w, nobody);
        for (uint64_t t = 0; t < TXS; t++) {
            assert_int_equal(call(w, b, (uint32_t)(t % EOAS), contract_addr(0), 0, i * TXS / 2 + t),
                             1);
        }
    }
    assert_int_equal(slot_of(w, contract_addr(0), 16 * (2 * TXS - 1) + SLOTS - 1), 1);
    for (uint32_t i = 0; i < 4; i++) {
        coh_metrics_t *metrics    = coh_metrics_new(0);
        coh_metrics_t *by_rank[3] = {metrics, metrics, metrics};
        run_layout(w,
                   &(coh_block_cluster_layout_t){.shard_cnt     = 1 + i % 2,
                                                 .thread_cnt    = 1 + i / 2,
                                                 .seed          = i,
                                                 .cache_entries = 1,
                                                 .metrics       = by_rank});
        /* Those of the first block, at least, but for what fits. */
        assert_true(coh_metric_get(metrics, COH_M_mvstore_spilled) >= TXS * SLOTS - (2 * TXS + 2));
        assert_true(coh_metric_get(metrics, COH_M_mvstore_evicted) > 0);
        coh_metrics_free(metrics);
    }
    drop_world(w);
}

/* The coinbase is a contract that sends all it has away in the middle of the block (before EIP-6780 it is gone, and comes again with the next tip). */
static void contracts_coinbase_destroys_itself(void **state)
{
    (void)state;
    static char const *const codes[] = {"0 CALLDATALOAD SELFDESTRUCT"};
    static coh_fork_t const forks[]  = {COH_FORK_HOMESTEAD, COH_FORK_SHANGHAI, COH_FORK_PRAGUE};
    for (size_t f = 0; f < COH_CNT(forks); f++) {
        world_t *w = new_world(forks[f], codes, 1);
        block_t *b = begin_block(w, contract_addr(0));
        assert_int_equal(call(w, b, 0, nobody, 1, PLAIN), 1);
        assert_int_equal(call(w, b, 1, contract_addr(0), 0, 0xaa), 1);
        assert_int_equal(call(w, b, 2, nobody, 1, PLAIN), 1);
        coh_addr_t heir     = {.b = {[19] = 0xaa}};
        coh_addr_t coinbase = contract_addr(0);
        uint64_t price      = forks[f] >= COH_FORK_LONDON ? 3 : BASE_FEE + 3;
        coh_value_t is      = coh_memview_account(w->state, &coinbase);
        bool gone           = forks[f] < COH_FORK_CANCUN;
        /* Its own tip comes before the account is removed. */
        uint64_t left =
            price * b->outcomes[2].gas_used + (gone ? 0 : price * b->outcomes[1].gas_used);
        assert_int_equal(coh_memview_account(w->state, &heir).word.w[0],
                         price * b->outcomes[0].gas_used);
        assert_int_equal(is.word.w[0], left);
        assert_int_equal(coh_value_has_code(&is), !gone);
        run_layouts(w, true);
        drop_world(w);
    }
}

static void contracts_delegation_moves_a_nonce_and_brings_code(void **state)
{
    (void)state;
    static char const *const codes[] = {"1 0 SLOAD ADD 0 SSTORE"};
    world_t *w                       = new_world(COH_FORK_PRAGUE, codes, 1);
    block_t *b                       = begin_block(w, nobody);
    coh_addr_t authority             = coh_txgen_addr(w->gen, 1);
    assert_int_equal(call(w, b, 2, authority, 5, PLAIN), 1);
    coh_txgen_auth_t auth = {.key = 1, .chain_id = CHAIN_ID, .nonce = 0, .addr = contract_addr(0)};
    coh_txgen_spec_t spec = {.key       = 0,
                             .type      = COH_TX_SET_CODE,
                             .chain_id  = CHAIN_ID,
                             .gas_limit = 200000,
                             .max_fee   = coh_u256(BASE_FEE + 3),
                             .to        = nobody,
                             .auths     = &auth,
                             .auth_cnt  = 1};
    assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
    assert_int_equal(nonce_of(w, 1), 1);
    assert_int_equal(call(w, b, 1, nobody, 1, PLAIN),
                     1); /* with the nonce that the delegation left */
    assert_int_equal(call(w, b, 3, authority, 5, PLAIN), 0); /* it has code now */
    assert_int_equal(call(w, b, 4, authority, 5, 0), 1);
    assert_int_equal(slot_of(w, authority, 0), 1);
    run_layouts(w, false);
    drop_world(w);
}

/* Each authorization of one transaction does what EIP-7702 says, and what comes after in the block sees it. */
static void contracts_authorize_as_the_eip_says(void **state)
{
    (void)state;
    static char const *const codes[] = {"1 0 SLOAD ADD 0 SSTORE", "2 0 SLOAD ADD 0 SSTORE"};
    world_t *w                       = new_world(COH_FORK_PRAGUE, codes, 2);
    block_t *b                       = begin_block(w, nobody);
    coh_addr_t key[EOAS];
    for (uint32_t i = 0; i < EOAS; i++) {
        key[i] = coh_txgen_addr(w->gen, i);
    }
#define AUTH(k, n, to, chain, forged) {k, chain, n, to, forged}
    coh_addr_t const identity      = {.b = {[19] = 4}};
    coh_addr_t const none          = {{0}};
    uint64_t const any_chain       = 0;
    coh_txgen_auth_t const auths[] = {
        AUTH(1, 0, contract_addr(0), CHAIN_ID, false),
        AUTH(2, 1, contract_addr(0), CHAIN_ID, false), /* not its nonce */
        AUTH(3, 0, contract_addr(0), CHAIN_ID + 1, false),
        AUTH(0, 1, contract_addr(1), CHAIN_ID, false), /* the sender */
        AUTH(4, 0, key[1], any_chain, false),          /* a delegated account */
        AUTH(5, 0, identity, CHAIN_ID, false),
        AUTH(6, 0, contract_addr(0), CHAIN_ID, false),
        AUTH(6, 1, none, CHAIN_ID, false),
        AUTH(7, 0, contract_addr(0), CHAIN_ID, false),
        AUTH(7, 1, contract_addr(1), CHAIN_ID, false), /* another */
        AUTH(8, 0, contract_addr(0), CHAIN_ID, true),
        AUTH(11, 0, contract_addr(0), CHAIN_ID, false), /* has no account */
    };
#undef AUTH
    coh_txgen_spec_t spec = {.key       = 0,
                             .type      = COH_TX_SET_CODE,
                             .chain_id  = CHAIN_ID,
                             .gas_limit = 1000000,
                             .max_fee   = coh_u256(BASE_FEE + 3),
                             .to        = key[1],
                             .auths     = auths,
                             .auth_cnt  = COH_CNT(auths)};
    assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
    assert_int_equal(b->outcomes[0].status, 1);
    assert_int_equal(slot_of(w, key[1], 0), 1); /* the transaction itself ran its new code */
    static uint64_t const nonces[] = {2, 1, 0, 0, 1, 1, 2, 2, 0};
    for (uint32_t i = 0; i < COH_CNT(nonces); i++) {
        assert_int_equal(nonce_of(w, i), nonces[i]);
    }
    assert_int_equal(nonce_of(w, 11), 1);
    assert_int_equal(call(w, b, 0, key[0], 0, 0), 1); /* it sends, and runs its code */
    assert_int_equal(slot_of(w, key[0], 0), 2);
    assert_int_equal(call(w, b, 1, key[2], 1, PLAIN), 1);
    assert_int_equal(call(w, b, 2, key[3], 1, PLAIN), 1);
    assert_int_equal(call(w, b, 3, key[4], 0, 0), 0); /* a designator is no code: 0xef */
    assert_int_equal(call(w, b, 4, key[5], 1, PLAIN), 1);
    assert_int_equal(call(w, b, 5, key[6], 1, PLAIN), 1);
    assert_int_equal(call(w, b, 6, key[7], 0, 0), 1);
    assert_int_equal(slot_of(w, key[7], 0), 2);
    assert_int_equal(call(w, b, 7, key[8], 1, PLAIN), 1);
    coh_addr_t stranger = coh_txgen_addr(w->gen, 11);
    assert_int_equal(call(w, b, 8, stranger, 0, 0), 1);
    assert_int_equal(slot_of(w, stranger, 0), 1);
    run_layouts(w, false);
    drop_world(w);
}

/* A delegated account's code sends all that the account has away, before it can pay for its next transaction; another one's nonce is moved before its next: neither
   transaction can be in the block, which is refused for the first of them. */
static void contracts_take_what_a_sender_needs(void **state)
{
    (void)state;
    static char const *const codes[] = {"0 CALLDATALOAD SELFDESTRUCT"};
    for (uint32_t moves_nonce = 0; moves_nonce < 2; moves_nonce++) {
        world_t *w            = new_world(COH_FORK_PRAGUE, codes, 1);
        block_t *b            = &w->bad;
        coh_addr_t poor       = coh_txgen_addr(w->gen, 1);
        coh_txgen_auth_t auth = {.key = 1, .chain_id = CHAIN_ID, .addr = contract_addr(0)};
        coh_txgen_spec_t spec = {.key       = 0,
                                 .type      = COH_TX_SET_CODE,
                                 .chain_id  = CHAIN_ID,
                                 .gas_limit = 200000,
                                 .max_fee   = coh_u256(BASE_FEE + 3),
                                 .to        = nobody,
                                 .auths     = &auth,
                                 .auth_cnt  = 1};
        start_block(w, b, nobody);
        coh_memview_save(w->state);
        assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
        assert_int_equal(call(w, b, 2, poor, 0, 0xaa), 1);
        assert_int_equal(coh_memview_account(w->state, &poor).word.w[0], 0);
        coh_txgen_spec_t next = {.key       = 1,
                                 .chain_id  = CHAIN_ID,
                                 .nonce     = moves_nonce == 0 ? 1 : 0,
                                 .gas_limit = 21000,
                                 .max_fee   = coh_u256(BASE_FEE),
                                 .to        = nobody};
        w->bad_verdict        = try_tx(w, b, coh_txgen_make(w->gen, &next));
        assert_int_equal(w->bad_verdict, moves_nonce == 0 ? COH_TX_FUNDS : COH_TX_NONCE_TOO_LOW);
        for (uint32_t i = 2; i < 4; i++) {
            coh_txgen_tx_t const *tx    = coh_txgen_make(w->gen, &next);
            b->raws[b->block.tx_cnt]    = tx->raw;
            b->senders[b->block.tx_cnt] = tx->sender;
            b->block.tx_cnt++;
        }
        w->bad_idx = 2;
        w->has_bad = true;
        coh_memview_restore(w->state);
        b = begin_block(w, nobody);
        assert_int_equal(call(w, b, 1, nobody, 1, PLAIN), 1);
        run_layouts(w, true);
        drop_world(w);
    }
}

#ifdef COH_DEEP_CHECKS

static bool count_kept(void *arg, char const *place)
{
    _Atomic uint32_t *cnt = arg;
    if (strcmp(place, "executor:drop_parked") == 0) { /* asked when there is room */
        atomic_fetch_add(cnt, 1);
    }
    return false;
}

#endif

/* Each of ten transactions uses 40 MiB of memory, and then waits for balances of other shards: what is parked may take 256 MiB (COH_EXECUTOR_PARKED_BYTES), so some begin again. */
static void contracts_park_no_more_than_there_is_room_for(void **state)
{
    (void)state;
    char text[512] = "1 41943040 MSTORE 0";
    for (uint32_t i = 0; i < 8; i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof(text) - n, " 0 CALLDATALOAD %u ADD BALANCE ADD", i);
    }
    size_t n = strlen(text);
    (void)snprintf(text + n, sizeof(text) - n, " 41943040 MLOAD ADD 0 CALLDATALOAD SSTORE");
    char const *codes[] = {text};
    world_t *w          = new_world(COH_FORK_PRAGUE, codes, 1);
    block_t *b          = begin_block(w, nobody);
    b->block.gas_limit  = UINT64_C(1) << 41;
    for (uint32_t i = 0; i < EOAS; i++) {
        uint8_t word[32]      = {[30] = (uint8_t)(0x70 + i)};
        coh_txgen_spec_t spec = {.key       = i,
                                 .chain_id  = CHAIN_ID,
                                 .gas_limit = UINT64_C(1) << 34,
                                 .max_fee   = coh_u256(BASE_FEE),
                                 .to        = contract_addr(0),
                                 .data      = coh_bytes(word, sizeof(word))};
        assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
        assert_int_equal(b->outcomes[i].status, 1);
        assert_int_equal(slot_of(w, contract_addr(0), UINT64_C(0x7000) + 256 * i), 1);
    }
    coh_metrics_t *metrics    = coh_metrics_new(0);
    coh_metrics_t *by_rank[3] = {metrics, metrics, metrics};
#ifdef COH_DEEP_CHECKS
    _Atomic uint32_t kept = 0;
    coh_hook_set(count_kept, &kept);
#endif
    for (uint32_t i = 0; i < 3; i++) {
        run_layout(w,
                   &(coh_block_cluster_layout_t){.shard_cnt  = 2,
                                                 .thread_cnt = 1 + i % 2,
                                                 .placement  = "random:3",
                                                 .seed       = i,
                                                 .delay_us   = 100,
                                                 .metrics    = by_rank});
    }
#ifdef COH_DEEP_CHECKS
    coh_hook_set(NULL, NULL);
    assert_true(atomic_load(&kept) < coh_metric_get(metrics, COH_M_executor_parked));
#endif
    assert_true(coh_metric_get(metrics, COH_M_executor_parked) > 2 * EOAS);
    coh_metrics_free(metrics);
    drop_world(w);
}

/* Two contracts call each other as deep as calls may be (1024, Yellow Paper 8), each adding one to its counter and to what it returns; the last call fails. */
static void contracts_nest_to_the_depth_limit(void **state)
{
    (void)state;
    static coh_fork_t const forks[] = {COH_FORK_HOMESTEAD, COH_FORK_PRAGUE};
    for (size_t f = 0; f < COH_CNT(forks); f++) {
        bool keeps_part = forks[f] >= COH_FORK_TANGERINE; /* EIP-150: a call leaves a 64th */
        char text[3][256];
        char const *codes[3];
        for (uint32_t i = 0; i < 3; i++) {
            char hex[41];
            coh_addr_t other = contract_addr(i == 0 ? 1 : 0);
            coh_hex_encode(hex, other.b, sizeof(other.b));
            (void)snprintf(text[i],
                           sizeof(text[i]),
                           "1 0 SLOAD ADD 0 SSTORE 32 0 0 0 0 .73%s %s CALL POP "
                           "0 MLOAD %s",
                           hex,
                           keeps_part ? "GAS" : "300 GAS SUB",
                           i < 2 ? "1 ADD 0 MSTORE 32 0 RETURN" : "1 SSTORE");
            codes[i] = text[i];
        }
        world_t *w            = new_world(forks[f], codes, 3);
        block_t *b            = begin_block(w, nobody);
        b->block.gas_limit    = UINT64_C(1) << 41;
        coh_txgen_spec_t spec = {.key         = 0,
                                 .chain_id    = CHAIN_ID,
                                 .unprotected = !keeps_part,
                                 .gas_limit   = keeps_part ? UINT64_C(1) << 40 : 8000000,
                                 .max_fee     = coh_u256(BASE_FEE),
                                 .to          = contract_addr(2)};
        for (uint32_t i = 0; i < 2; i++) {
            spec.key = i;
            assert_true(add_tx(w, b, coh_txgen_make(w->gen, &spec)));
            assert_int_equal(b->outcomes[i].status, 1);
            assert_int_equal(slot_of(w, contract_addr(0), 0), (i + 1) * 512);
            assert_int_equal(slot_of(w, contract_addr(1), 0), (i + 1) * 512);
            assert_int_equal(slot_of(w, contract_addr(2), 1), 1024);
        }
        run_layouts(w, true);
        drop_world(w);
    }
}

/* EXTCODEHASH of an account that does not exist is 0, of one without code the hash of nothing (EIP-1052). */
static void contracts_see_code_and_existence_change_in_a_block(void **state)
{
    (void)state;
    static char const *const codes[] = {"0 CALLDATALOAD EXTCODEHASH 0 SLOAD 1 ADD SSTORE"
                                        " 0 SLOAD 1 ADD 0 SSTORE"};
    world_t *w                       = new_world(COH_FORK_PRAGUE, codes, 1);
    block_t *b                       = begin_block(w, nobody);
    uint64_t word                    = 0x77;
    coh_addr_t addr                  = {.b = {[19] = 0x77}};
    assert_int_equal(call(w, b, 0, contract_addr(0), 0, word), 1);
    assert_int_equal(call(w, b, 1, addr, 1, PLAIN), 1);
    assert_int_equal(call(w, b, 2, contract_addr(0), 0, word), 1);
    assert_int_equal(slot_of(w, contract_addr(0), 1), 0);
    assert_true(slot_of(w, contract_addr(0), 2) == UINT64_C(0x7bfad8045d85a470));
    run_layouts(w, false);
    drop_world(w);
}

/* The hash of the block below, which is not committed yet when it is asked for. */
static void contracts_wait_for_the_hash_of_a_block_under_way(void **state)
{
    (void)state;
    static char const *const codes[] = {"1 NUMBER SUB BLOCKHASH 1 SSTORE"
                                        " 256 NUMBER SUB BLOCKHASH 2 SSTORE"
                                        " 257 NUMBER SUB BLOCKHASH 3 SSTORE"};
    world_t *w                       = new_world(COH_FORK_PRAGUE, codes, 1);
    block_t *b                       = begin_block(w, nobody);
    assert_int_equal(call(w, b, 0, contract_addr(0), 0, 0), 1);
    run_layout(w, &(coh_block_cluster_layout_t){.shard_cnt = 1, .thread_cnt = 1});
    own_hashes[0] = w->hashes[0];
    for (uint32_t i = 1; i < BLOCKS_MAX; i++) {
        b = begin_block(w, nobody);
        assert_int_equal(call(w, b, i, contract_addr(0), 0, 0), 1);
        coh_u256_t hash = coh_u256_from_be(own_hashes[i - 1].b, 32);
        coh_hash_t old  = ancestor(FIRST_BLOCK + i - 256);
        coh_u256_t far  = coh_u256_from_be(old.b, 32);
        assert_true(slot_of(w, contract_addr(0), 1) == hash.w[0]);
        assert_true(slot_of(w, contract_addr(0), 2) == far.w[0]);
        assert_int_equal(slot_of(w, contract_addr(0), 3), 0);
        memset(w->hashes, 0, sizeof(w->hashes));
        w->known = false;
        run_layout(w, &(coh_block_cluster_layout_t){.shard_cnt = 2, .thread_cnt = 1, .seed = i});
        own_hashes[i] = w->hashes[i];
    }
    run_layouts(w, false);
    memset(own_hashes, 0, sizeof(own_hashes));
    drop_world(w);
}

/* ---- what an invalid block leaves, and what transfers cost ---- */

static void check_refused(void *arg, coh_import_result_t const *result)
{
    check_t *c = arg;
    c->done_cnt++;
    if (result->err != COH_EINVAL || result->fault.idx != 1 ||
        result->fault.tx_err != COH_TX_NONCE_TOO_HIGH) {
        differ(c, "%s", coh_err_str(result->err));
    }
}

static void contracts_of_an_invalid_block_leave_nothing(void **state)
{
    (void)state;
    static char const *const codes[] = {"1 0 SLOAD ADD 0 SSTORE 0 0 0 CREATE 1 SSTORE"};
    for (uint32_t shards = 1; shards <= 3; shards++) {
        world_t *w = new_world(COH_FORK_PRAGUE, codes, 1);
        block_t *b = begin_block(w, nobody);
        coh_memview_save(w->state);
        (void)call(w, b, 0, contract_addr(0), 0, 0);
        coh_memview_restore(w->state);
        coh_txgen_spec_t spec                     = {.key       = 1,
                                                     .chain_id  = CHAIN_ID,
                                                     .nonce     = 1,
                                                     .gas_limit = 21000,
                                                     .max_fee   = coh_u256(BASE_FEE),
                                                     .to        = nobody};
        coh_txgen_tx_t const *tx                  = coh_txgen_make(w->gen, &spec);
        b->raws[1]                                = tx->raw;
        b->senders[1]                             = tx->sender;
        b->block.tx_cnt                           = 2;
        check_t c                                 = {.world = w};
        coh_block_cluster_visitor_t const visitor = {
            .block  = check_refused,
            .walker = {.account = check_account, .slot = check_slot, .arg = &c},
            .arg    = &c};
        coh_block_cluster_t *cluster = coh_block_cluster_new(
            &(coh_block_cluster_layout_t){.shard_cnt = shards, .thread_cnt = 1, .seed = shards});
        coh_buf_t why = COH_BUF_INIT;
        assert_int_equal(coh_block_cluster_run(cluster, &w->genesis, &b->block, 1, &visitor, &why),
                         COH_OK);
        if (c.wrong_cnt != 0) {
            fail_msg("%u shards: %s", shards, c.wrong);
        }
        assert_int_equal(c.done_cnt, 1);
        assert_int_equal(c.account_cnt, EOAS + 1);
        assert_int_equal(c.slot_cnt, 0);
        coh_block_cluster_free(cluster);
        drop_world(w);
    }
}

/* A block of transfers, half of them to other shards: no reads between shards, and no more messages than for a few of them. */
static void transfers_across_shards_cost_no_reads(void **state)
{
    (void)state;
    world_t *w = new_world(COH_FORK_PRAGUE, NULL, 0);
    block_t *b = begin_block(w, nobody);
    for (uint32_t i = 0; i < BLOCK_TXS; i++) {
        coh_addr_t to = {.b = {0x10, (uint8_t)(i * 7), [19] = (uint8_t)i}};
        assert_int_equal(call(w, b, i % 8, to, 1 + i, PLAIN), 1);
    }
    uint64_t sent[COH_MSG_ID_MAX + 1] = {0};
    run_layout(w,
               &(coh_block_cluster_layout_t){
                   .shard_cnt = 2, .thread_cnt = 1, .placement = "random:5", .message_cnt = sent});
    assert_int_equal(sent[COH_MSG_BLOCK], 2);
    assert_int_equal(sent[COH_MSG_READ] + sent[COH_MSG_VALUE] + sent[COH_MSG_RETRACT], 0);
    assert_true(sent[COH_MSG_PUBLISH] > 0 && sent[COH_MSG_PUBLISH] < BLOCK_TXS / 2);
    drop_world(w);
}

int main(void)
{
    (void)coh_log_init("error", "");
    run_seed                        = coh_test_seed();
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(contracts_equal_sequential_execution_homestead),
        cmocka_unit_test(contracts_equal_sequential_execution_byzantium),
        cmocka_unit_test(contracts_equal_sequential_execution_shanghai),
        cmocka_unit_test(contracts_equal_sequential_execution_prague),
        cmocka_unit_test(contracts_spill_over_a_small_cache),
        cmocka_unit_test(contracts_survive_restarts),
        cmocka_unit_test(contracts_move_while_they_run),
#ifdef COH_DEEP_CHECKS
        cmocka_unit_test(contracts_begin_again_where_there_is_no_room_to_park),
        cmocka_unit_test(contracts_do_not_depend_on_what_is_expected),
        cmocka_unit_test(contracts_planted_bugs_are_caught),
#endif
        cmocka_unit_test(contracts_transfer_meets_code_of_the_same_block),
        cmocka_unit_test(contracts_destroyed_and_created_again),
        cmocka_unit_test(contracts_see_every_tip_of_the_coinbase),
        cmocka_unit_test(contracts_coinbase_destroys_itself),
        cmocka_unit_test(contracts_delegation_moves_a_nonce_and_brings_code),
        cmocka_unit_test(contracts_authorize_as_the_eip_says),
        cmocka_unit_test(contracts_take_what_a_sender_needs),
        cmocka_unit_test(contracts_nest_to_the_depth_limit),
        cmocka_unit_test(contracts_park_no_more_than_there_is_room_for),
        cmocka_unit_test(contracts_see_code_and_existence_change_in_a_block),
        cmocka_unit_test(contracts_wait_for_the_hash_of_a_block_under_way),
        cmocka_unit_test(contracts_of_an_invalid_block_leave_nothing),
        cmocka_unit_test(transfers_across_shards_cost_no_reads),
    };
    struct CMUnitTest const for_long[] = {
        cmocka_unit_test(contracts_equal_sequential_execution_for_long),
    };
    return getenv("COHORT_TEST_SECONDS") != NULL ? cmocka_run_group_tests(for_long, NULL, NULL)
                                                 : cmocka_run_group_tests(tests, NULL, NULL);
}
