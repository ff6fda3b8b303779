#include "tests/sim/sim_history.h"
#include "shard/sched.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/rlp.h"
#include "common/evm/evm.h"
#include "common/node/call.h"
#include "coordinator/coordinator.h"
#include "tests/sim/sim_oracle.h"
#include "tests/support/evmput.h"
#include "tests/support/pins.h"

#define MS    UINT64_C(1000)
#define ETHER UINT64_C(1000000000000000000)
#define GWEI  UINT64_C(1000000000)
/* Keys above the accounts of genesis that may receive, and then send. */
#define FRESH_KEY_CNT    8u
#define IMPORT_QUEUE_MAX 4u
#define CHECKS_AT_ONCE   16u
/* Proofs of the head's state among the checks. */
#define CHECKED_PROOFS 8u
#define AUTHS_MAX      4u
/* Simulated time in which everything must be done once nothing breaks any more. */
#define PATIENCE_US (60 * 1000 * MS)

/* How senders and receivers are chosen. */
typedef enum { MIX_UNIFORM, MIX_HOT_RECEIVER, MIX_HOT_SENDER, MIX_CHAIN, MIX_PAIR, MIX_CNT } mix_t;

/* LOAD ─all sent, no faults left─▶ DRAIN ─nothing executable left─▶ CHECK ─all asked─▶ LAST (down, and up again) ─ready─▶ RECHECK ─all asked─▶ DONE */
typedef enum {
    PHASE_LOAD,
    PHASE_DRAIN,
    PHASE_CHECK,
    PHASE_LAST,
    PHASE_RECHECK,
    PHASE_DONE
} phase_t;

enum { TIMER_CLIENT, TIMER_CRASH, TIMER_STOP, TIMER_RESTART };

typedef struct {
    coh_config_t config;
    coh_genesis_t genesis;
    sim_params_t sim;
    bool import;
    mix_t mix;
    coh_fork_t fork;
    uint32_t account_cnt;
    uint32_t tx_cnt;
    uint32_t invalid_percent;
    uint32_t fault_cnt;
    uint64_t load_us;            /* time over which the load and the faults are spread */
    uint64_t client_us;          /* longest time between two requests */
    char pins[COH_TEST_PINS_SZ]; /* placement, or empty */
    uint32_t move_permille;      /* of the client's turns that move accounts */
    /* Transactions of types 3 and 4, and contracts. */
    uint32_t blob_percent;
    uint32_t auth_percent;
    uint32_t contract_cnt;
} scenario_t;

typedef struct {
    coh_txgen_tx_t const *tx;
    bool sent;         /* in some run */
    uint64_t taken_in; /* run in which the pool took it; 0: none */
} client_tx_t;

typedef struct request {
    uint64_t id;
    coh_op_id_t op;
    uint64_t head;   /* of the oracle when it was asked */
    uint64_t number; /* of the block asked for */
    uint32_t first;  /* transaction (SUBMIT, RECEIPT) or account (ACCOUNTS) */
    uint32_t cnt;
    bool garbage;
    bool must; /* an error answer is a failure */
    struct request *next;
} request_t;

/* A block to import: invalid ones come before the valid one of the same number. */
typedef struct history history_t;
typedef struct {
    history_t *history;
    uint64_t number;
    uint64_t run; /* in which it was handed over last */
    coh_ref_block_t env;
    uint64_t timestamp;
    uint32_t tx_cnt;
    coh_bytes_t *raws;
    coh_addr_t *senders;
    bool invalid;
    uint32_t bad_idx;
    coh_tx_err_t bad_verdict;
} step_t;

struct history {
    sim_watch_t watch;
    scenario_t scenario;
    coh_rng_t rng; /* of scenario and clients; the cluster has its own */
    bool backs_up; /* clients ask for backups instead of some other things */
    coh_txgen_t *gen;
    sim_t *sim;
    sim_oracle_t *oracle;
    coh_op_reader_t *reader;
    coh_buf_t buf;
    phase_t phase;
    uint64_t deadline;
    uint64_t quiet_since; /* the head has not moved and nothing was executable since */
    uint64_t quiet_head;
    uint32_t faults_left;
    uint64_t last_run; /* the one that PHASE_LAST ends */
    /* Planning: what the transactions made so far would do, in the order in which they were made. */
    coh_ref_t plan;
    coh_rng_t type_rng; /* of blobs, delegations and calls: all else is drawn as without */
    coh_txgen_auth_t auths[AUTHS_MAX];
    uint32_t last_to;
    client_tx_t *txs;
    uint32_t tx_cnt;
    uint32_t sent_cnt;
    /* Import. */
    step_t *steps;
    uint32_t step_cnt;
    uint32_t step_next;
    uint32_t steps_out;
    bool invalid_out;
    bool resync; /* start again from the head once nothing is out */
    /* Requests. */
    request_t *requests;
    uint32_t request_cnt;
    uint64_t request_id;
    uint64_t check_pos;
    coh_rng_t move_rng;
    uint32_t round_cnt; /* of moves that were begun */
};

/* ---- drawing a scenario ---- */

static uint64_t draw(coh_rng_t *rng, uint64_t lo, uint64_t hi)
{
    return lo + coh_rng_below(rng, hi - lo + 1);
}

/* Between lo and hi, small values as likely as large ones in order of magnitude. */
static uint64_t draw_scale(coh_rng_t *rng, uint64_t lo, uint64_t hi)
{
    uint64_t top = lo;
    while (top < hi && coh_rng_percent(rng, 75)) {
        top = COH_MIN(hi, top * 2 + 1);
    }
    return draw(rng, lo, top);
}

static void set_option(coh_config_t *config, char const *option, char const *value)
{
    coh_buf_t why = COH_BUF_INIT;
    coh_err_t err = coh_config_set(config, option, value, &why);
    COH_ASSERT(err == COH_OK);
    coh_buf_free(&why);
}

static void draw_config(scenario_t *s, coh_rng_t *rng)
{
    coh_config_default(&s->config);
    s->config.node_shards            = s->sim.shard_cnt;
    s->config.node_threads           = s->sim.worker_cnt;
    s->config.block_tx_max           = draw_scale(rng, 1, 64);
    s->config.block_interval_ms      = draw(rng, 0, 20);
    s->config.block_depth            = draw(rng, 1, 4);
    s->config.pool_allow_unprotected = true;
    /* Few accounts that all authorize each other: with less room those behind gaps could keep each other's transactions out, and not all that is valid would be committed. */
    s->config.pool_delegated_tx_max = 1000;
    set_option(&s->config, "pool-order", coh_rng_percent(rng, 50) ? "arrival" : "tip");
    char text[64];
    (void)snprintf(text, sizeof(text), "random:%" PRIu64, coh_rng_below(rng, 1000000));
    set_option(&s->config, "placement-policy", coh_rng_percent(rng, 80) ? text : "hash");
    set_option(&s->config, "placement-home", coh_rng_percent(rng, 60) ? text : "sender");
    set_option(&s->config,
               "shard-scheduler",
               coh_sched_kind_str((coh_sched_kind_t)coh_rng_below(rng, COH_SCHED_KIND_CNT)));
    /* Far below what an operator may configure: so that a few accounts are enough for eviction, loads and flushes. */
    s->config.state_cache_entries = 2 * s->config.block_tx_max + 2 + draw_scale(rng, 0, 200);
    s->config.state_flush_bytes   = draw_scale(rng, 128, 65536);
    s->config.state_flush_seconds = 1;
    s->config.state_past_blocks   = draw_scale(rng, 0, 30);
    s->config.state_past_bytes    = draw_scale(rng, 0, 1 << 16);
    s->config.block_root_every    = coh_rng_percent(rng, 70) ? 1 : draw(rng, 2, 7);
}

static void draw_genesis(scenario_t *s, coh_rng_t *rng, coh_txgen_t *gen)
{
    static coh_fork_t const FORKS[] = {COH_FORK_BERLIN,
                                       COH_FORK_LONDON,
                                       COH_FORK_SHANGHAI,
                                       COH_FORK_CANCUN,
                                       COH_FORK_PRAGUE,
                                       COH_FORK_OSAKA};
    s->fork                         = FORKS[coh_rng_below(rng, COH_CNT(FORKS))];
    coh_genesis_t *g                = &s->genesis;
    *g                              = (coh_genesis_t){
                                     .chain_id  = draw(rng, 1, 100000),
                                     .timestamp = 1700000000,
                                     .gas_limit = coh_rng_percent(rng, 50) ? 30000000 : draw(rng, 4, 64) * 21000 + 40000,
                                     .base_fee  = coh_u256(s->fork < COH_FORK_LONDON ? 0 : draw_scale(rng, 7, GWEI)),
                                     .alloc_cnt = s->account_cnt,
    };
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        g->fork_at[fork] = fork <= (int)s->fork ? 0 : UINT64_MAX;
    }
    g->coinbase =
        coh_rng_percent(rng, 60) ? coh_txgen_addr(gen, 0) : (coh_addr_t){.b = {0xc0, 0x1b}};
    g->alloc = coh_calloc(s->account_cnt, sizeof(*g->alloc));
    for (uint32_t i = 0; i < s->account_cnt; i++) {
        coh_u256_t balance = coh_u256(ETHER);
        if (i > 1 && coh_rng_percent(rng, 25)) {
            balance = COH_U256_ZERO;
        } else if (i > 1 && coh_rng_percent(rng, 20)) {
            balance = coh_u256(21000 * (g->base_fee.w[0] + 1) * draw(rng, 1, 6));
        }
        g->alloc[i] = (coh_genesis_account_t){.addr = coh_txgen_addr(gen, i), .balance = balance};
        if (coh_rng_percent(rng, 5)) {
            g->alloc[i].nonce = draw(rng, 1, 1000000);
        }
    }
}

static void finish_genesis(scenario_t *s)
{
    coh_buf_t why = COH_BUF_INIT;
    coh_err_t err = coh_genesis_finish(&s->genesis, &why);
    COH_ASSERT(err == COH_OK);
    coh_buf_free(&why);
}

static void draw_scenario(scenario_t *s,
                          sim_history_params_t const *params,
                          coh_rng_t *rng,
                          coh_txgen_t *gen)
{
    s->import          = coh_rng_percent(rng, 35);
    s->mix             = (mix_t)coh_rng_below(rng, MIX_CNT);
    s->account_cnt     = (uint32_t)draw_scale(rng, 3, 200);
    s->tx_cnt          = (uint32_t)draw(rng, 20, 200);
    s->invalid_percent = coh_rng_percent(rng, 70) ? (uint32_t)draw(rng, 1, 15) : 0;
    s->fault_cnt       = coh_rng_percent(rng, 70) ? (uint32_t)draw(rng, 1, 4) : 0;
    s->load_us         = draw_scale(rng, 10, 400) * MS;
    s->client_us       = COH_MAX(s->load_us / 20, 100);
    s->sim             = (sim_params_t){
                    .shard_cnt    = (uint32_t)draw_scale(rng, 1, 8),
                    .worker_cnt   = (uint32_t)draw(rng, 1, 4),
                    .config       = &s->config,
                    .genesis      = &s->genesis,
                    .net_us_max   = draw_scale(rng, 10, 5000),
                    .disk_us_max  = draw_scale(rng, 10, 5000),
                    .work_us_max  = draw_scale(rng, 5, 1000),
                    .tick_us      = draw(rng, 300, 2000),
                    .slow_percent = (uint32_t)draw_scale(rng, 0, 10),
                    .eio_permille = coh_rng_percent(rng, 15) ? (uint32_t)draw(rng, 1, 20) : 0,
                    .peek_percent = (uint32_t)draw(rng, 0, 4) * 25,
                    .metrics      = coh_rng_percent(rng, 25),
                    .trace        = params->verbose,
                    .plant        = params->plant,
    };
    switch (params->plant) {
    case SIM_PLANT_SKIP_REDO_SYNC:
    case SIM_PLANT_SKIP_DECISION_SYNC:
    case SIM_PLANT_EARLY_DECISION: s->fault_cnt = 4; break;
    case SIM_PLANT_DROP_RETRACT:
    case SIM_PLANT_LOCAL_RETRACT:
        s->import = true; /* here outcomes depend on others of the same block all the time */
        break;
    default: break;
    }
    draw_config(s, rng);
    draw_genesis(s, rng, gen);
}

/* Contracts of the reference lie here. */
/* In two of three histories there are blobs, contracts and delegations, as soon as the fork has them. Clients' blobs take time to check: there are fewer of them. */
static void draw_types(scenario_t *s, coh_rng_t *rng)
{
    if (coh_rng_percent(rng, 33)) {
        return;
    }
    if (s->fork >= COH_FORK_CANCUN && (s->import || coh_rng_percent(rng, 20))) {
        s->blob_percent                   = (uint32_t)draw(rng, 1, s->import ? 30 : 8);
        s->genesis.header.excess_blob_gas = draw_scale(rng, 0, 30000000);
    }
    if (s->fork < COH_FORK_PRAGUE) {
        return;
    }
    s->auth_percent  = (uint32_t)draw(rng, 1, 40);
    s->contract_cnt  = COH_REF_CONTRACT_CNT;
    coh_genesis_t *g = &s->genesis;
    g->alloc         = coh_realloc(g->alloc, (g->alloc_cnt + s->contract_cnt) * sizeof(*g->alloc));
    coh_ref_put_contracts(g->alloc, &g->alloc_cnt);
}

/* In some histories accounts live apart from their buckets: existing ones, such that come to be, the coinbase; in some, placement learns. */
static void draw_pins(scenario_t *s, uint64_t seed, coh_txgen_t *gen)
{
    coh_rng_t rng; /* its own: all else is drawn as without */
    coh_rng_seed(&rng, seed ^ UINT64_C(0x70696e73));
    if (s->sim.shard_cnt == 1 || coh_rng_percent(&rng, 60)) {
        if (coh_rng_percent(&rng, 25)) {
            set_option(&s->config, "placement-policy", "affinity");
        }
        return;
    }
    uint32_t cnt      = s->account_cnt + FRESH_KEY_CNT;
    coh_addr_t *addrs = coh_calloc((size_t)cnt + 1 + s->contract_cnt, sizeof(*addrs));
    for (uint32_t i = 0; i < cnt; i++) {
        addrs[i] = coh_txgen_addr(gen, i);
    }
    addrs[cnt++] = s->genesis.coinbase;
    for (uint32_t i = 0; i < s->contract_cnt; i++) {
        addrs[cnt++] = coh_ref_contract_addr(i);
    }
    coh_test_pins_write(s->pins, addrs, cnt, s->sim.shard_cnt, coh_rng_next(&rng));
    free(addrs);
    set_option(&s->config, "placement-policy", s->pins);
}

static void print_scenario(scenario_t const *s)
{
    fprintf(stderr,
            "scenario: %s mix %d fork %s shards %u workers %u accounts %u transactions %u invalid "
            "%u%% faults %u eio %u/1000\n"
            "  load %" PRIu64 " us, net %" PRIu64 " us, disk %" PRIu64 " us, work %" PRIu64
            " us, slow %u%%, in memory %u%%\n"
            "  block-tx-max %" PRIu64 " interval %" PRIu64 " ms depth %" PRIu64
            " gas limit %" PRIu64 " cache %" PRIu64 " flush %" PRIu64
            " placement %s home %s scheduler %s order %s\n  blobs %u%% authorizations %u%%\n",
            s->import ? "import" : "production",
            (int)s->mix,
            coh_fork_name(s->fork),
            s->sim.shard_cnt,
            s->sim.worker_cnt,
            s->account_cnt,
            s->tx_cnt,
            s->invalid_percent,
            s->fault_cnt,
            s->sim.eio_permille,
            s->load_us,
            s->sim.net_us_max,
            s->sim.disk_us_max,
            s->sim.work_us_max,
            s->sim.slow_percent,
            s->sim.peek_percent,
            s->config.block_tx_max,
            s->config.block_interval_ms,
            s->config.block_depth,
            s->genesis.gas_limit,
            s->config.state_cache_entries,
            s->config.state_flush_bytes,
            s->config.placement_policy,
            s->config.placement_home,
            s->config.shard_scheduler,
            s->config.pool_order,
            s->blob_percent,
            s->auth_percent);
}

/* ---- making transactions ---- */

static uint32_t draw_key(history_t *h)
{
    return (uint32_t)coh_rng_below(&h->rng, h->scenario.account_cnt + FRESH_KEY_CNT);
}

static void draw_ends(history_t *h, uint32_t *from, uint32_t *to)
{
    *from       = draw_key(h);
    *to         = draw_key(h);
    bool follow = coh_rng_percent(&h->rng, 80);
    switch (h->scenario.mix) {
    case MIX_HOT_RECEIVER: *to = follow ? 1 : *to; break;
    case MIX_HOT_SENDER: *from = follow ? 0 : *from; break;
    case MIX_CHAIN: *from = follow ? h->last_to : *from; break;
    case MIX_PAIR:
        *from = follow ? h->last_to % 2 : *from;
        *to   = follow ? 1 - h->last_to % 2 : *to;
        break;
    default: break;
    }
    if (coh_rng_percent(&h->rng, 3)) {
        *to = *from;
    }
}

static coh_u256_t fraction(coh_rng_t *rng, coh_u256_t of)
{
    coh_u256_t out;
    uint64_t thousandths = coh_rng_below(rng, 1001);
    (void)coh_u256_divmod_u64(&out, &of, 1000);
    (void)coh_u256_mul_u64(&out, &out, thousandths);
    return out;
}

/* The gas that a transaction needs, from the rules; the reference computes it again from its encoding. */
static uint64_t gas_needed(coh_txgen_spec_t const *spec, coh_fork_t fork)
{
    uint64_t zeros  = spec->data_bytes / 3;
    uint64_t others = spec->data_bytes - zeros;
    uint64_t gas    = 21000 + 4 * zeros + 16 * others;
    if (spec->type != COH_TX_LEGACY) {
        gas += UINT64_C(2400) * spec->access_addr_cnt +
               UINT64_C(1900) * spec->access_addr_cnt * spec->access_keys_each;
    }
    gas += UINT64_C(25000) * spec->auth_cnt;
    uint64_t floor = fork >= COH_FORK_PRAGUE ? 21000 + 10 * (zeros + 4 * others) : 0;
    return COH_MAX(gas, floor);
}

/* What its sender must have, without the value. */
static coh_u256_t upfront_of(coh_txgen_spec_t const *spec)
{
    coh_u256_t gas  = spec->max_fee;
    coh_u256_t blob = spec->max_fee_per_blob_gas;
    (void)coh_u256_mul_u64(&gas, &gas, spec->gas_limit);
    (void)coh_u256_mul_u64(&blob, &blob, COH_TX_BLOB_GAS * spec->blob_cnt);
    (void)coh_u256_add(&gas, &gas, &blob);
    return gas;
}

/* One to four accounts that want to run the code of others (EIP-7702); about a fourth of it has no effect, by the plan. */
static void draw_auths(history_t *h, coh_txgen_spec_t *spec)
{
    coh_rng_t *rng = &h->type_rng;
    spec->type     = COH_TX_SET_CODE;
    spec->auths    = h->auths;
    spec->auth_cnt = (uint32_t)draw(rng, 1, AUTHS_MAX);
    for (uint32_t i = 0; i < spec->auth_cnt; i++) {
        uint32_t keys   = h->scenario.account_cnt + FRESH_KEY_CNT;
        uint32_t key    = coh_rng_percent(rng, 20) ? spec->key : (uint32_t)draw(rng, 0, keys - 1);
        coh_addr_t addr = coh_txgen_addr(h->gen, key);
        uint64_t to     = coh_rng_below(rng, 100);
        coh_txgen_auth_t a = {.key      = key,
                              .chain_id = coh_rng_percent(rng, 20) ? 0 : spec->chain_id,
                              .nonce    = coh_ref_account(&h->plan, &addr)->nonce};
        a.nonce += key == spec->key;
        for (uint32_t k = 0; k < i; k++) {
            a.nonce += h->auths[k].key == key;
        }
        if (to < 40) {
            a.addr = coh_ref_contract_addr((uint32_t)coh_rng_below(rng, h->scenario.contract_cnt));
        } else if (to < 60) { /* delegated as well, himself, or without any code */
            a.addr = coh_txgen_addr(h->gen, (uint32_t)draw(rng, 0, keys - 1));
        } else if (to < 70) {
            a.addr = (coh_addr_t){.b = {[19] = (uint8_t)draw(rng, 1, 0x11)}};
        } /* else nobody's: no delegation any more */
        switch (coh_rng_below(rng, 16)) {
        case 0: a.nonce++; break;
        case 1: a.nonce--; break; /* of a nonce 0 the largest there is, by which nobody can sign */
        case 2: a.chain_id = spec->chain_id + 1; break;
        case 3: a.is_forged = true; break;
        default: break;
        }
        h->auths[i] = a;
    }
}

/* The versioned hash of a blob of zeros: 0x01, and the end of the SHA-256 of the point at infinity, its commitment (EIP-4844). */
static coh_hash_t const of_infinity = {{0x01, 0x06, 0x57, 0xf3, 0x75, 0x54, 0xc7, 0x81,
                                        0x40, 0x2a, 0x22, 0x91, 0x7d, 0xee, 0x2f, 0x75,
                                        0xde, 0xf7, 0xab, 0x96, 0x6d, 0x7b, 0x77, 0x09,
                                        0x05, 0x39, 0x8e, 0xba, 0x3c, 0x44, 0x40, 0x14}};

/* Makes a blob transaction, or one with authorizations, of some, and sends some to contracts. */
static void draw_type(history_t *h, coh_ref_block_t const *env, coh_txgen_spec_t *spec)
{
    coh_rng_t *rng      = &h->type_rng;
    scenario_t const *s = &h->scenario;
    uint64_t price      = env->blob_base_fee.w[0];
    if (coh_rng_percent(rng, s->blob_percent) && env->blob_cnt < env->blob_max) {
        spec->type      = COH_TX_BLOB;
        spec->blob_cnt  = (uint32_t)draw(rng, 1, COH_MIN(2, env->blob_max - env->blob_cnt));
        spec->blob_hash = &of_infinity;
        spec->max_fee_per_blob_gas = coh_u256(draw(rng, price, 2 * price + 3));
    } else if (coh_rng_percent(rng, s->auth_percent)) {
        draw_auths(h, spec);
    }
    if (s->contract_cnt != 0 && coh_rng_percent(rng, 6)) {
        spec->to = coh_ref_contract_addr((uint32_t)coh_rng_below(rng, s->contract_cnt));
    }
}

/* Draws what key `from` might send next, by the plan, in a block like env. */
static coh_txgen_spec_t draw_spec(history_t *h,
                                  coh_ref_block_t const *env,
                                  uint32_t from,
                                  uint32_t to)
{
    coh_rng_t *rng                  = &h->rng;
    coh_addr_t sender               = coh_txgen_addr(h->gen, from);
    coh_ref_account_t const account = *coh_ref_account(&h->plan, &sender);
    bool fee_market                 = env->fork >= COH_FORK_LONDON;
    coh_txgen_spec_t spec           = {
                  .key      = from,
                  .type     = (coh_tx_type_t)coh_rng_below(rng, fee_market ? 3 : 2),
                  .chain_id = h->scenario.genesis.chain_id,
                  .nonce    = account.nonce,
                  .to       = coh_rng_percent(rng, 98) ? coh_txgen_addr(h->gen, to) : (coh_addr_t){.b = {0}},
    };
    spec.unprotected = coh_rng_percent(rng, 10);
    if (coh_rng_percent(rng, 15)) {
        spec.data_bytes = (uint32_t)draw(rng, 1, 40);
    }
    if (coh_rng_percent(rng, 15)) {
        spec.access_addr_cnt  = (uint32_t)draw(rng, 0, 2);
        spec.access_keys_each = (uint32_t)draw(rng, 0, 2);
    }
    draw_type(h, env, &spec);
    spec.gas_limit =
        gas_needed(&spec, env->fork) + (coh_rng_percent(rng, 40) ? coh_rng_below(rng, 20000) : 0);
    uint64_t base      = env->base_fee.w[0];
    uint64_t max_fee   = base + (coh_rng_percent(rng, 30) ? 0 : coh_rng_below(rng, 4 * base + 100));
    spec.max_fee       = coh_u256(max_fee);
    spec.max_tip       = coh_u256(coh_rng_below(rng, max_fee + 1));
    coh_u256_t upfront = upfront_of(&spec);
    coh_u256_t spendable = COH_U256_ZERO;
    if (!coh_u256_lt(&account.balance, &upfront)) {
        (void)coh_u256_sub(&spendable, &account.balance, &upfront);
    }
    switch (coh_rng_below(rng, 5)) {
    case 0: break;
    case 1: spec.value = fraction(rng, spendable); break;
    case 2:
        spec.value = spendable; /* all that it has */
        break;
    default:
        spec.value = coh_u256(coh_rng_below(rng, 1000000));
        spec.value = coh_u256_lt(&spendable, &spec.value) ? spendable : spec.value;
        break;
    }
    return spec;
}

static void spoil_spec(history_t *h, coh_ref_block_t const *env, coh_txgen_spec_t *spec)
{
    if (spec->blob_cnt != 0 && coh_rng_percent(&h->type_rng, 50)) {
        spec->max_fee_per_blob_gas = coh_u256(env->blob_base_fee.w[0] - 1);
        return;
    }
    switch (coh_rng_below(&h->rng, 4)) {
    case 0: spec->nonce -= spec->nonce > 0; break;
    case 1: spec->nonce += draw(&h->rng, 1, 3); break;
    case 2: spec->value = coh_u256(draw(&h->rng, 1, 3) * ETHER); break;
    default:
        spec->max_fee = coh_u256(spec->max_fee.w[0] / 2);
        spec->max_tip = coh_u256_lt(&spec->max_fee, &spec->max_tip) ? spec->max_fee : spec->max_tip;
        break;
    }
}

/* Makes the next transaction of the plan, which is valid in env by the plan so far; NULL if no sender was found. */
static coh_txgen_tx_t const *plan_valid(history_t *h, coh_ref_block_t *env)
{
    for (int attempt = 0; attempt < 20; attempt++) {
        uint32_t from;
        uint32_t to;
        draw_ends(h, &from, &to);
        coh_txgen_spec_t spec    = draw_spec(h, env, from, to);
        coh_addr_t sender        = coh_txgen_addr(h->gen, from);
        coh_u256_t upfront       = upfront_of(&spec);
        coh_ref_account_t *owner = coh_ref_account(&h->plan, &sender);
        (void)coh_u256_add(&upfront, &upfront, &spec.value);
        if (coh_u256_lt(&owner->balance, &upfront) ||
            spec.gas_limit > env->gas_limit - env->gas_used) {
            continue;
        }
        coh_txgen_tx_t const *tx = coh_txgen_make(h->gen, &spec);
        coh_ref_outcome_t done   = coh_ref_apply(&h->plan, env, &tx->tx, &tx->sender);
        COH_ASSERT(done.verdict == COH_TX_OK);
        h->last_to = to;
        return tx;
    }
    return NULL;
}

/* One that is probably invalid; does not touch the plan. */
static coh_txgen_tx_t const *plan_invalid(history_t *h, coh_ref_block_t const *env)
{
    uint32_t from;
    uint32_t to;
    draw_ends(h, &from, &to);
    coh_txgen_spec_t spec = draw_spec(h, env, from, to);
    spoil_spec(h, env, &spec);
    return coh_txgen_make(h->gen, &spec);
}

/* ---- production: clients' transactions ---- */

static void plan_production(history_t *h)
{
    scenario_t const *s = &h->scenario;
    h->txs              = coh_calloc(s->tx_cnt, sizeof(*h->txs));
    coh_ref_block_t env = sim_oracle_next_block(h->oracle);
    while (h->tx_cnt < s->tx_cnt) {
        bool invalid             = coh_rng_percent(&h->rng, s->invalid_percent);
        env.gas_used             = 0; /* each in a block of its own, as far as the plan goes */
        env.blob_cnt             = 0;
        coh_txgen_tx_t const *tx = invalid ? plan_invalid(h, &env) : plan_valid(h, &env);
        if (tx == NULL) {
            break;
        }
        h->txs[h->tx_cnt++].tx = tx;
    }
    /* Clients do not agree on an order. */
    for (uint32_t i = 0; i + 1 < h->tx_cnt; i++) {
        uint32_t j = i + (uint32_t)coh_rng_below(&h->rng, COH_MIN(h->tx_cnt - i, 8u));
        if (coh_rng_percent(&h->rng, 30)) {
            client_tx_t t = h->txs[i];
            h->txs[i]     = h->txs[j];
            h->txs[j]     = t;
        }
    }
}

/* ---- import: given blocks ---- */

static step_t *add_step(history_t *h, uint64_t number, coh_ref_block_t const *env, uint32_t tx_max)
{
    h->steps     = coh_realloc(h->steps, (h->step_cnt + 1) * sizeof(*h->steps));
    step_t *step = &h->steps[h->step_cnt++];
    *step        = (step_t){
               .history   = h,
               .number    = number,
               .env       = *env,
               .timestamp = 1700000000 + number * 12,
               .raws      = coh_calloc(tx_max, sizeof(*step->raws)),
               .senders   = coh_calloc(tx_max, sizeof(*step->senders)),
    };
    return step;
}

static void step_add_tx(step_t *step, coh_txgen_tx_t const *tx)
{
    step->raws[step->tx_cnt]    = tx->raw;
    step->senders[step->tx_cnt] = tx->sender;
    step->tx_cnt++;
}

/* Draws one block on top of the plan; with spoil one that the reference finds invalid (then the plan stays as it was). */
static void plan_block(history_t *h, uint64_t number, uint32_t tx_max, bool spoil)
{
    scenario_t const *s = &h->scenario;
    coh_ref_t saved;
    coh_ref_copy(&saved, &h->plan);
    uint64_t base       = s->fork < COH_FORK_LONDON ? 0 : draw_scale(&h->rng, 7, GWEI);
    coh_ref_block_t env = {
        .fork      = s->fork,
        .gas_limit = 30000000,
        .chain_id  = s->genesis.chain_id,
        .base_fee  = coh_u256(base),
        .coinbase  = coh_rng_percent(&h->rng, 60) ? coh_txgen_addr(h->gen, draw_key(h))
                                                  : s->genesis.coinbase,
    };
    if (s->fork >= COH_FORK_CANCUN) {
        env.blob_base_fee = coh_u256(draw_scale(&h->type_rng, 1, 1000));
        env.blob_max      = (uint32_t)draw(&h->type_rng, 1, 9);
    }
    step_t *step    = add_step(h, number, &env, tx_max);
    uint32_t bad_at = spoil ? (uint32_t)coh_rng_below(&h->rng, tx_max) : UINT32_MAX;
    for (uint32_t i = 0; i < tx_max; i++) {
        bool bad                 = i >= bad_at && !step->invalid;
        coh_txgen_tx_t const *tx = bad ? plan_invalid(h, &env) : plan_valid(h, &env);
        if (tx == NULL) {
            break;
        }
        if (bad) {
            coh_ref_outcome_t outcome = coh_ref_apply(&h->plan, &env, &tx->tx, &tx->sender);
            step->invalid             = outcome.verdict != COH_TX_OK;
            step->bad_idx             = i;
            step->bad_verdict         = outcome.verdict;
        }
        step_add_tx(step, tx);
    }
    if (spoil) {
        coh_ref_fini(&h->plan);
        h->plan = saved;
        if (!step->invalid) { /* what was to be invalid happened not to be: no such block */
            free(step->raws);
            free(step->senders);
            h->step_cnt--;
        }
    } else {
        coh_ref_fini(&saved);
    }
}

static void plan_import(history_t *h)
{
    uint32_t left = h->scenario.tx_cnt;
    for (uint64_t number = h->scenario.genesis.number + 1; left > 0; number++) {
        uint32_t tx_max =
            (uint32_t)draw_scale(&h->rng, 1, COH_MIN(h->scenario.config.block_tx_max, left));
        if (h->scenario.invalid_percent > 0 && coh_rng_percent(&h->rng, 25)) {
            plan_block(h, number, tx_max, true);
        }
        plan_block(h, number, tx_max, false);
        left -= tx_max;
    }
}

static void import_done(void *arg, coh_import_result_t const *result)
{
    step_t *step = arg;
    history_t *h = step->history;
    sim_t *sim   = h->sim;
    if (!sim_is_running(sim) || step->run != sim_run(sim)) {
        return; /* the coordinator was taken down */
    }
    h->steps_out--;
    sim_trace(sim, "import of block %" PRIu64 ": %s", result->number, coh_err_str(result->err));
    if (result->number != step->number) {
        sim_fail(sim,
                 "the import of block %" PRIu64 " is reported as that of block %" PRIu64,
                 step->number,
                 result->number);
    } else if (result->err == COH_OK && step->invalid) {
        sim_fail(sim,
                 "block %" PRIu64
                 " was imported; by the reference its transaction %u is invalid: %s",
                 step->number,
                 step->bad_idx,
                 coh_tx_err_str(step->bad_verdict));
    } else if (result->err == COH_OK) {
        sim_oracle_learn(h->oracle, step->number);
        sim_oracle_check_hash(h->oracle, step->number, &result->hash);
    } else if (result->err == COH_EINVAL && !step->invalid) {
        sim_fail(sim,
                 "block %" PRIu64
                 " was refused for its transaction %u (%s); by the reference it is valid",
                 step->number,
                 result->fault.idx,
                 coh_tx_err_str(result->fault.tx_err));
    } else if (result->err == COH_EINVAL &&
               (result->fault.idx != step->bad_idx || result->fault.tx_err != step->bad_verdict)) {
        sim_fail(sim,
                 "block %" PRIu64
                 " was refused for its transaction %u (%s); by the reference it is %u (%s)",
                 step->number,
                 result->fault.idx,
                 coh_tx_err_str(result->fault.tx_err),
                 step->bad_idx,
                 coh_tx_err_str(step->bad_verdict));
    } else if (result->err != COH_EINVAL) {
        h->resync = true;
    }
    if (step->invalid) {
        h->invalid_out = false;
    }
}

/* Hands over the next blocks. */
static void import_some(history_t *h)
{
    sim_t *sim = h->sim;
    if (!sim_is_ready(sim)) {
        return;
    }
    if (h->resync && h->steps_out == 0) {
        uint64_t head = coh_coordinator_head(sim_coordinator(sim));
        h->step_next  = 0;
        while (h->step_next < h->step_cnt && h->steps[h->step_next].number <= head) {
            h->step_next++;
        }
        h->resync = false;
    }
    while (!h->resync && !h->invalid_out && h->steps_out < IMPORT_QUEUE_MAX &&
           h->step_next < h->step_cnt && sim_is_running(sim) && sim_failed(sim) == NULL) {
        step_t *step             = &h->steps[h->step_next];
        coh_import_block_t block = {
            .number        = step->number,
            .fork          = step->env.fork,
            .timestamp     = step->timestamp,
            .gas_limit     = step->env.gas_limit,
            .base_fee      = step->env.base_fee,
            .blob_base_fee = step->env.blob_base_fee,
            .blob_max      = step->env.blob_max,
            .coinbase      = step->env.coinbase,
            .tx_cnt        = step->tx_cnt,
            .raws          = step->raws,
            .senders       = step->senders,
        };
        step->run = sim_run(sim);
        h->steps_out++;
        h->invalid_out = step->invalid;
        coh_err_t err  = coh_coordinator_import(sim_coordinator(sim), &block, import_done, step);
        if (err != COH_OK) {
            h->steps_out--;
            h->invalid_out = false;
            h->resync      = h->resync || err == COH_ECLOSED; /* it is about to stop */
            if (err != COH_EBUSY && err != COH_ECLOSED) {
                sim_fail(sim,
                         "block %" PRIu64 " is not taken for import: %s",
                         step->number,
                         coh_err_str(err));
            }
            return;
        }
        sim_trace(sim,
                  "import block %" PRIu64 " handed over, %u transactions%s",
                  step->number,
                  step->tx_cnt,
                  step->invalid ? ", invalid" : "");
        h->step_next++;
        sim_after_call(sim);
    }
}

/* ---- requests ---- */

static request_t *new_request(history_t *h, coh_op_id_t op)
{
    request_t *request = coh_calloc(1, sizeof(*request));
    *request           = (request_t){
                  .id   = ++h->request_id,
                  .op   = op,
                  .head = sim_oracle_head(h->oracle),
                  .must = h->phase == PHASE_CHECK || h->phase == PHASE_RECHECK,
                  .next = h->requests,
    };
    h->requests = request;
    h->request_cnt++;
    coh_buf_clear(&h->buf);
    return request;
}

/* Sends what is in h->buf. */
static void send_request(history_t *h, request_t const *request)
{
    sim_trace(h->sim, "request %" PRIu64 " op %s", request->id, coh_op_name((uint32_t)request->op));
    sim_request(h->sim, request->id, coh_buf_bytes(&h->buf));
}

static void forget_requests(history_t *h)
{
    while (h->requests != NULL) {
        request_t *request = h->requests;
        h->requests        = request->next;
        free(request);
    }
    h->request_cnt = 0;
}

/* A blob transaction as clients send it (EIP-4844): behind it come its blobs, all zeros, whose commitments and proofs are the point at infinity. The caller frees out. */
static void put_network(coh_buf_t *out, coh_txgen_tx_t const *tx)
{
    static uint8_t const zeros[131072];
    static uint8_t const infinity[48] = {0xc0};
    coh_bytes_t const parts[3]        = {
               {zeros, sizeof(zeros)}, {infinity, sizeof(infinity)}, {infinity, sizeof(infinity)}};
    coh_buf_put(out, tx->raw.p, tx->raw.n);
    for (size_t part = 0; part < COH_CNT(parts); part++) {
        size_t at = out->n;
        for (uint32_t i = 0; i < tx->tx.blob_cnt; i++) {
            coh_rlp_put_string(out, parts[part].p, parts[part].n);
        }
        coh_rlp_wrap_list(out, at);
    }
    coh_rlp_wrap_list(out, 1);
}

static void ask_submit(history_t *h, uint32_t first, uint32_t cnt)
{
    request_t *request = new_request(h, COH_OP_SUBMIT);
    request->first     = first;
    request->cnt       = cnt;
    coh_bytes_t raws[16];
    coh_buf_t networks[16] = {COH_BUF_INIT};
    COH_ASSERT(cnt <= COH_CNT(raws));
    for (uint32_t i = 0; i < cnt; i++) {
        raws[i]                = h->txs[first + i].tx->raw;
        h->txs[first + i].sent = true;
        if (h->txs[first + i].tx->tx.blob_cnt != 0) {
            put_network(&networks[i], h->txs[first + i].tx);
            raws[i] = coh_buf_bytes(&networks[i]);
        }
    }
    coh_op_submit_request_t msg = {.raws = {.v = raws, .cnt = cnt}};
    coh_op_put_submit_request(&h->buf, &msg);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_buf_free(&networks[i]);
    }
    send_request(h, request);
}

/* Account i of all that may hold something: keys, then the coinbase of genesis, the zero address, and contracts. */
static uint32_t known_account_cnt(history_t const *h)
{
    return h->scenario.account_cnt + FRESH_KEY_CNT + 2 + h->scenario.contract_cnt;
}

static coh_addr_t known_account(history_t *h, uint32_t i)
{
    uint32_t keys = h->scenario.account_cnt + FRESH_KEY_CNT;
    if (i < keys) {
        return coh_txgen_addr(h->gen, i);
    }
    if (i > keys + 1) {
        return coh_ref_contract_addr(i - keys - 2);
    }
    return i == keys ? h->scenario.genesis.coinbase : (coh_addr_t){.b = {0}};
}

static void ask_accounts(history_t *h, uint32_t first, uint32_t cnt)
{
    request_t *request = new_request(h, COH_OP_ACCOUNTS);
    request->first     = first;
    request->cnt       = cnt;
    coh_addr_t addrs[64];
    COH_ASSERT(cnt <= COH_CNT(addrs));
    for (uint32_t i = 0; i < cnt; i++) {
        addrs[i] = known_account(h, first + i);
    }
    coh_op_accounts_request_t msg = {.addrs = {.v = addrs, .cnt = cnt}};
    coh_op_put_accounts_request(&h->buf, &msg);
    send_request(h, request);
}

/* Accounts as of the last blocks: those are not always remembered. */
static void ask_state(history_t *h, uint32_t first, uint32_t cnt, uint64_t number)
{
    request_t *request = new_request(h, COH_OP_STATE);
    request->first     = first;
    request->cnt       = cnt;
    request->number    = number;
    coh_op_asked_t keys[64];
    COH_ASSERT(cnt <= COH_CNT(keys));
    for (uint32_t i = 0; i < cnt; i++) {
        keys[i] = (coh_op_asked_t){.addr = known_account(h, first + i)};
    }
    coh_op_state_request_t msg = {.block = number, .keys = {.v = keys, .cnt = cnt}};
    coh_op_put_state_request(&h->buf, &msg);
    send_request(h, request);
}

/* A call that reads balances on all shards: of code that its receiver has for the call alone. */
static void ask_execute(history_t *h, uint32_t first, uint32_t cnt, uint64_t number)
{
    request_t *request = new_request(h, COH_OP_EXECUTE);
    request->first     = first;
    request->cnt       = cnt;
    request->number    = number;
    coh_buf_t code     = COH_BUF_INIT;
    coh_buf_t raw      = COH_BUF_INIT;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_addr_t addr = known_account(h, first + i);
        asm_push_addr(&code, &addr);
        asm_op(&code, COH_OP_BALANCE);
        asm_push(&code, 32 * (uint64_t)i);
        asm_op(&code, COH_OP_MSTORE);
    }
    asm_push(&code, 32 * (uint64_t)cnt);
    asm_push(&code, 0);
    asm_op(&code, COH_OP_RETURN);
    coh_tx_t tx = {.gas_limit = 1000000, .to = known_account(h, first)};
    coh_tx_encode(&raw, &tx);
    coh_op_altered_t altered = {
        .addr = tx.to, .fields = COH_OVERRIDE_CODE, .code = coh_buf_bytes(&code)};
    coh_op_execute_request_t msg = {.block    = number,
                                    .mode     = COH_CALL_EXECUTE,
                                    .from     = known_account(h, first + cnt - 1),
                                    .tx       = coh_buf_bytes(&raw),
                                    .accounts = {&altered, 1}};
    coh_op_put_execute_request(&h->buf, &msg);
    send_request(h, request);
    coh_buf_free(&code);
    coh_buf_free(&raw);
}

static void ask_receipt(history_t *h, uint32_t tx)
{
    request_t *request           = new_request(h, COH_OP_RECEIPT);
    request->first               = tx;
    coh_op_receipt_request_t msg = {.hash = h->txs[tx].tx->hash};
    coh_op_put_receipt_request(&h->buf, &msg);
    send_request(h, request);
}

static void ask_block(history_t *h, uint64_t number)
{
    request_t *request         = new_request(h, COH_OP_BLOCK);
    request->number            = number;
    coh_op_block_request_t msg = {.number = number};
    coh_op_put_block_request(&h->buf, &msg);
    send_request(h, request);
}

static void ask_block_receipts(history_t *h, uint64_t number)
{
    request_t *request                  = new_request(h, COH_OP_BLOCK_RECEIPTS);
    request->number                     = number;
    coh_op_block_receipts_request_t msg = {.number = number};
    coh_op_put_block_receipts_request(&h->buf, &msg);
    send_request(h, request);
}

static void ask_proof(history_t *h, uint32_t account, uint64_t number)
{
    request_t *request             = new_request(h, COH_OP_GET_PROOF);
    request->first                 = account;
    request->number                = number;
    coh_op_get_proof_request_t msg = {.addr = known_account(h, account), .block = number};
    coh_op_put_get_proof_request(&h->buf, &msg);
    send_request(h, request);
}

static void ask_head(history_t *h)
{
    request_t *request        = new_request(h, COH_OP_HEAD);
    coh_op_head_request_t msg = {0};
    coh_op_put_head_request(&h->buf, &msg);
    send_request(h, request);
}

static void ask_garbage(history_t *h)
{
    request_t *request = new_request(h, COH_OP_STATUS);
    request->garbage   = true;
    for (uint64_t i = coh_rng_below(&h->rng, 40); i > 0; i--) {
        coh_buf_put_u8(&h->buf, (uint8_t)coh_rng_next(&h->rng));
    }
    send_request(h, request);
}

static void take_submit(history_t *h,
                        request_t const *request,
                        coh_op_submit_answer_t const *answer)
{
    if (answer->txs.cnt != request->cnt) {
        sim_fail(h->sim,
                 "%u transactions were submitted, %u are answered for",
                 request->cnt,
                 answer->txs.cnt);
        return;
    }
    for (uint32_t i = 0; i < request->cnt; i++) {
        coh_op_submitted_t const *got = &answer->txs.v[i];
        client_tx_t *mine             = &h->txs[request->first + i];
        sim_trace(h->sim,
                  "  transaction %u: %s",
                  request->first + i,
                  coh_tx_err_str((coh_tx_err_t)got->err));
        /* At a limit transactions are refused before they are looked at. */
        if (got->err != COH_TX_BUSY && !coh_hash_eq(&got->hash, &mine->tx->hash)) {
            sim_fail(h->sim, "a submitted transaction is answered for under another hash");
        }
        if (got->err == COH_TX_OK || got->err == COH_TX_KNOWN) {
            mine->taken_in = sim_run(h->sim);
        }
    }
}

static void take_receipt(history_t *h,
                         request_t const *request,
                         coh_op_receipt_answer_t const *answer)
{
    coh_hash_t const *hash           = &h->txs[request->first].tx->hash;
    sim_oracle_tx_t const *committed = sim_oracle_find(h->oracle, hash);
    if (answer->state == COH_OP_TX_COMMITTED) {
        if (answer->receipts.cnt != 1 || !coh_hash_eq(&answer->receipts.v[0].tx_hash, hash)) {
            sim_fail(h->sim, "a committed transaction is answered for without its receipt");
            return;
        }
        sim_oracle_check_receipt(h->oracle, &answer->receipts.v[0]);
    } else if (committed != NULL && committed->block <= request->head) {
        sim_fail(h->sim,
                 "a transaction of block %" PRIu64 " has no receipt any more (state %u)",
                 committed->block,
                 answer->state);
    }
}

static void take_accounts(history_t *h,
                          request_t const *request,
                          coh_op_accounts_answer_t const *answer)
{
    if (answer->accounts.cnt != request->cnt) {
        sim_fail(
            h->sim, "%u accounts were asked for, %u answered", request->cnt, answer->accounts.cnt);
        return;
    }
    if (answer->block < request->head) {
        sim_fail(h->sim,
                 "accounts of block %" PRIu64 " are answered after block %" PRIu64
                 " was acknowledged",
                 answer->block,
                 request->head);
        return;
    }
    for (uint32_t i = 0; i < request->cnt && sim_failed(h->sim) == NULL; i++) {
        coh_addr_t addr = known_account(h, request->first + i);
        sim_oracle_check_account(h->oracle, answer->block, &addr, &answer->accounts.v[i]);
    }
}

static void take_state(history_t *h, request_t const *request, coh_op_state_answer_t const *answer)
{
    if (answer->values.cnt != request->cnt || answer->block != request->number) {
        sim_fail(h->sim, "the state of another block is answered than was asked for");
        return;
    }
    for (uint32_t i = 0; i < request->cnt && sim_failed(h->sim) == NULL; i++) {
        coh_addr_t addr          = known_account(h, request->first + i);
        coh_op_account_t account = {.nonce   = answer->values.v[i].nonce,
                                    .balance = answer->values.v[i].word};
        sim_oracle_check_account(h->oracle, answer->block, &addr, &account);
    }
}

static void take_execute(history_t *h,
                         request_t const *request,
                         coh_op_execute_answer_t const *answer)
{
    switch (answer->err) {
    case COH_CALL_OK: break;
    case COH_CALL_GONE:
    case COH_CALL_TIMEOUT:
    case COH_CALL_BUSY:
    case COH_CALL_CLOSED: return;
    default:
        sim_fail(h->sim, "a call ends with error %u, verdict %u", answer->err, answer->verdict);
        return;
    }
    if (answer->block != request->number || answer->status != COH_EVM_SUCCESS ||
        answer->output.n != 32 * (size_t)request->cnt) {
        sim_fail(h->sim,
                 "a call on block %" PRIu64 " ends on block %" PRIu64
                 " with status %u and %zu octets",
                 request->number,
                 answer->block,
                 answer->status,
                 answer->output.n);
        return;
    }
    for (uint32_t i = 0; i < request->cnt && sim_failed(h->sim) == NULL; i++) {
        coh_addr_t addr                = known_account(h, request->first + i);
        coh_ref_account_t const *known = coh_ref_find(
            sim_oracle_state(h->oracle, COH_MIN(request->number, sim_oracle_head(h->oracle))),
            &addr);
        coh_op_account_t account = {.nonce = known != NULL ? known->nonce : 0,
                                    .balance =
                                        coh_u256_from_be(answer->output.p + 32 * (size_t)i, 32)};
        sim_oracle_check_account(h->oracle, request->number, &addr, &account);
    }
}

static void take_head(history_t *h, request_t const *request, coh_op_head_answer_t const *answer)
{
    if (answer->number < request->head) {
        sim_fail(h->sim,
                 "the head is said to be %" PRIu64 " after block %" PRIu64 " was acknowledged",
                 answer->number,
                 request->head);
        return;
    }
    sim_oracle_check_hash(h->oracle, answer->number, &answer->hash);
    coh_ref_block_t next = sim_oracle_next_block(h->oracle);
    /* With blocks under way the next one comes on top of those. */
    if (!h->scenario.import && request->must && !coh_u256_eq(&next.base_fee, &answer->base_fee)) {
        sim_fail(h->sim,
                 "the base fee after block %" PRIu64 " is said to be another than follows from it",
                 answer->number);
    }
}

static void on_reply(sim_watch_t *watch, uint64_t id, coh_bytes_t data)
{
    history_t *h   = (history_t *)watch;
    request_t **at = &h->requests;
    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        sim_fail(h->sim, "request %" PRIu64 " is answered, but is not open", id);
        return;
    }
    request_t request = **at;
    free(*at);
    *at = request.next;
    h->request_cnt--;
    if (request.garbage) {
        return; /* an answer is all that it is owed */
    }
    coh_op_answer_t answer;
    coh_err_t err = coh_op_read_answer(h->reader, &answer, request.op, data);
    if (err != COH_OK) {
        sim_fail(h->sim,
                 "the answer to a %s does not decode: %s",
                 coh_op_name((uint32_t)request.op),
                 coh_err_str(err));
        return;
    }
    if (answer.err != COH_OK) {
        sim_trace(h->sim, "  refused: %s", coh_err_str(answer.err));
        if (request.must) {
            sim_fail(h->sim,
                     "a %s of what is committed (block %" PRIu64 ") is refused: %.*s",
                     coh_op_name((uint32_t)request.op),
                     request.number,
                     (int)answer.text.n,
                     (char const *)answer.text.p);
        }
        return;
    }
    switch (request.op) {
    case COH_OP_SUBMIT: take_submit(h, &request, &answer.u.submit); break;
    case COH_OP_ACCOUNTS: take_accounts(h, &request, &answer.u.accounts); break;
    case COH_OP_RECEIPT: take_receipt(h, &request, &answer.u.receipt); break;
    case COH_OP_BLOCK:
        if (answer.u.block.number != request.number) {
            sim_fail(h->sim, "another block is answered than was asked for");
        }
        if (request.number != h->scenario.genesis.number) {
            sim_oracle_check_block(h->oracle, &answer.u.block);
        }
        break;
    case COH_OP_BLOCK_RECEIPTS:
        if (request.number != h->scenario.genesis.number) {
            sim_oracle_check_receipts(h->oracle,
                                      request.number,
                                      &answer.u.block_receipts.hash,
                                      answer.u.block_receipts.receipts.v,
                                      answer.u.block_receipts.receipts.cnt);
        }
        break;
    case COH_OP_HEAD: take_head(h, &request, &answer.u.head); break;
    case COH_OP_GET_PROOF:
        if (request.number != UINT64_MAX && answer.u.get_proof.block != request.number) {
            sim_fail(h->sim, "a proof is of another block than was asked for");
        }
        coh_addr_t addr = known_account(h, request.first);
        sim_oracle_check_proof(h->oracle, &addr, &answer.u.get_proof);
        break;
    case COH_OP_STATUS: break;
    case COH_OP_EXECUTE: take_execute(h, &request, &answer.u.execute); break;
    case COH_OP_STATE: take_state(h, &request, &answer.u.state); break;
    case COH_OP_BACKUP:
    case COH_OP_BACKUP_STATE: break;
    }
}

static void on_publish(sim_watch_t *watch, coh_bytes_t data)
{
    history_t *h = (history_t *)watch;
    coh_pub_t pub;
    coh_err_t err = coh_op_read_publication(h->reader, &pub, data);
    if (err != COH_OK) {
        sim_fail(h->sim, "a publication does not decode: %s", coh_err_str(err));
        return;
    }
    sim_oracle_on_publication(h->oracle, &pub);
}

static void on_frame(sim_watch_t *watch, uint32_t src, uint32_t dst, coh_bytes_t frame)
{
    sim_oracle_on_frame(((history_t *)watch)->oracle, src, dst, frame);
}

/* ---- what clients do ---- */

static void load_step(history_t *h)
{
    coh_rng_t *rng = &h->rng;
    uint64_t head  = sim_oracle_head(h->oracle);
    uint64_t dice  = coh_rng_below(rng, 100);
    if (h->scenario.import) {
        import_some(h);
        if (!sim_is_running(h->sim) || sim_failed(h->sim) != NULL) {
            return;
        }
    }
    if (dice < 55 && h->sent_cnt < h->tx_cnt) {
        uint32_t cnt   = (uint32_t)draw_scale(rng, 1, COH_MIN(16u, h->tx_cnt - h->sent_cnt));
        uint32_t first = h->sent_cnt;
        h->sent_cnt += cnt;
        ask_submit(h, first, cnt);
    } else if (dice < 60 && h->sent_cnt > 0) {
        ask_submit(h, (uint32_t)coh_rng_below(rng, h->sent_cnt), 1);
    } else if (dice < 67 && h->phase != PHASE_CHECK && h->phase != PHASE_RECHECK) {
        uint32_t first = (uint32_t)coh_rng_below(rng, known_account_cnt(h));
        uint32_t cnt   = (uint32_t)draw(rng, 1, COH_MIN(known_account_cnt(h) - first, 64u));
        uint64_t back  = draw_scale(rng, 0, COH_MIN(head - h->scenario.genesis.number, 20u));
        if (coh_rng_percent(rng, 50)) {
            ask_state(h, first, cnt, head - back);
        } else {
            ask_execute(h, first, cnt, head - back);
        }
    } else if (dice < 72) {
        uint32_t first = (uint32_t)coh_rng_below(rng, known_account_cnt(h));
        ask_accounts(h, first, (uint32_t)draw(rng, 1, COH_MIN(known_account_cnt(h) - first, 64u)));
    } else if (dice < 82 && h->sent_cnt > 0) {
        ask_receipt(h, (uint32_t)coh_rng_below(rng, h->sent_cnt));
    } else if (dice < 87) {
        ask_head(h);
    } else if (h->backs_up && dice >= 87 && dice < 98 && dice % 2 == 1) {
        request_t *request          = new_request(h, COH_OP_BACKUP);
        coh_op_backup_request_t msg = {.path = coh_bytes("/backup", 7)};
        coh_op_put_backup_request(&h->buf, &msg);
        send_request(h, request);
    } else if (dice < 91) {
        ask_block(h, draw(rng, h->scenario.genesis.number, head + 1));
    } else if (dice < 95) {
        ask_block_receipts(h, draw(rng, h->scenario.genesis.number, head + 1));
    } else if (dice < 97) {
        uint32_t account = (uint32_t)coh_rng_below(rng, known_account_cnt(h));
        ask_proof(h, account, coh_rng_percent(rng, 50) ? UINT64_MAX : head);
    } else if (dice < 98) {
        request_t *request          = new_request(h, COH_OP_STATUS);
        coh_op_status_request_t msg = {0};
        coh_op_put_status_request(&h->buf, &msg);
        send_request(h, request);
    } else {
        ask_garbage(h);
    }
}

/* True if another transaction of the same sender and nonce sits in the pool's way without being executable itself. */
static bool is_blocked(history_t *h, uint32_t tx, coh_ref_block_t const *env)
{
    coh_txgen_tx_t const *mine = h->txs[tx].tx;
    coh_ref_t const *state     = sim_oracle_state(h->oracle, sim_oracle_head(h->oracle));
    for (uint32_t i = 0; i < h->tx_cnt; i++) {
        coh_txgen_tx_t const *other = h->txs[i].tx;
        if (i != tx && other->tx.nonce == mine->tx.nonce &&
            coh_addr_eq(&other->sender, &mine->sender) && h->txs[i].taken_in == sim_run(h->sim) &&
            coh_ref_check(state, env, &other->tx, &other->sender) != COH_TX_OK) {
            return true;
        }
    }
    return false;
}

/* Submits again what could be executed now; returns how many those are. */
static uint32_t press_on(history_t *h)
{
    if (h->scenario.import) {
        import_some(h);
        return h->step_cnt - h->step_next + h->steps_out;
    }
    coh_ref_block_t env = sim_oracle_next_block(h->oracle);
    uint32_t cnt        = 0;
    for (uint32_t i = 0; i < h->tx_cnt && sim_is_running(h->sim) && sim_failed(h->sim) == NULL;
         i++) {
        coh_txgen_tx_t const *tx = h->txs[i].tx;
        coh_ref_t const *state   = sim_oracle_state(h->oracle, sim_oracle_head(h->oracle));
        if (coh_ref_check(state, &env, &tx->tx, &tx->sender) == COH_TX_OK &&
            !is_blocked(h, i, &env)) {
            cnt++;
            ask_submit(h, i, 1);
        }
    }
    return cnt;
}

static void drain_step(history_t *h)
{
    if (!sim_is_ready(h->sim) || h->request_cnt != 0) {
        return;
    }
    uint32_t left = press_on(h);
    uint64_t head = sim_oracle_head(h->oracle);
    if (left != 0 || head != h->quiet_head) {
        h->quiet_head  = head;
        h->quiet_since = sim_now(h->sim);
    } else if (sim_now(h->sim) - h->quiet_since > 100 * MS) {
        h->phase     = PHASE_CHECK;
        h->check_pos = 0;
    }
}

/* Asks for the next things of all that was ever committed; true when all is asked and answered. */
static bool check_step(history_t *h)
{
    uint64_t chunk_cnt = (known_account_cnt(h) + 63) / 64;
    uint64_t genesis   = h->scenario.genesis.number;
    uint64_t block_cnt = sim_oracle_head(h->oracle) - genesis;
    while (h->request_cnt < CHECKS_AT_ONCE && sim_is_running(h->sim) &&
           sim_failed(h->sim) == NULL) {
        uint64_t pos = h->check_pos++;
        if (pos < chunk_cnt) {
            uint32_t first = (uint32_t)pos * 64;
            ask_accounts(h, first, COH_MIN(known_account_cnt(h) - first, 64u));
        } else if (pos < chunk_cnt + block_cnt) {
            ask_block(h, genesis + 1 + pos - chunk_cnt);
        } else if (pos < chunk_cnt + 2 * block_cnt) {
            ask_block_receipts(h, genesis + 1 + pos - chunk_cnt - block_cnt);
        } else if (pos < chunk_cnt + 2 * block_cnt + h->tx_cnt) {
            ask_receipt(h, (uint32_t)(pos - chunk_cnt - 2 * block_cnt));
        } else if (pos == chunk_cnt + 2 * block_cnt + h->tx_cnt) {
            ask_head(h);
        } else if (pos <= chunk_cnt + 2 * block_cnt + h->tx_cnt + CHECKED_PROOFS) {
            ask_proof(h, (uint32_t)pos % known_account_cnt(h), UINT64_MAX);
        } else {
            return h->request_cnt == 0;
        }
    }
    return false;
}

static void restart_later(history_t *h)
{
    sim_after(h->sim, 1 + coh_rng_below(&h->rng, 2 * MS), TIMER_RESTART);
}

static void take_down(history_t *h)
{
    sim_crash(h->sim);
    forget_requests(h);
    h->steps_out   = 0;
    h->invalid_out = false;
    h->resync      = true;
    restart_later(h);
}

static void on_end(sim_watch_t *watch, char const *failed)
{
    history_t *h = (history_t *)watch;
    (void)failed;
    forget_requests(h);
    h->steps_out   = 0;
    h->invalid_out = false;
    h->resync      = true;
    restart_later(h);
}

/* Moves some accounts to random shards, in histories that do. Whether that is taken, and what comes of it, the cluster knows. */
static void move_step(history_t *h)
{
    if (h->scenario.move_permille == 0 ||
        coh_rng_below(&h->move_rng, 1000) >= h->scenario.move_permille || !sim_is_ready(h->sim)) {
        return;
    }
    coh_override_t wanted[8];
    size_t cnt  = 1 + (size_t)coh_rng_below(&h->move_rng, COH_CNT(wanted));
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        uint32_t account = (uint32_t)coh_rng_below(&h->move_rng, known_account_cnt(h));
        wanted[kept]     = (coh_override_t){
                .addr  = known_account(h, account),
                .shard = (uint16_t)coh_rng_below(&h->move_rng, h->scenario.sim.shard_cnt)};
        bool is_new = true;
        for (size_t k = 0; k < kept; k++) {
            is_new = is_new && !coh_addr_eq(&wanted[k].addr, &wanted[kept].addr);
        }
        kept += is_new;
    }
    coh_err_t err = coh_coordinator_move(sim_coordinator(h->sim), wanted, kept);
    sim_after_call(h->sim);
    h->round_cnt += err == COH_OK;
}

static void client_timer(history_t *h)
{
    sim_t *sim = h->sim;
    if (sim_now(sim) > h->deadline) {
        sim_fail(sim,
                 "no progress: phase %d, head %" PRIu64 ", %u requests open, %s",
                 (int)h->phase,
                 sim_oracle_head(h->oracle),
                 h->request_cnt,
                 sim_is_ready(sim)     ? "ready"
                 : sim_is_running(sim) ? "not ready"
                                       : "down");
        return;
    }
    move_step(h);
    switch (h->phase) {
    case PHASE_LOAD:
        if (sim_is_running(sim)) {
            load_step(h);
        }
        if (h->sent_cnt == h->tx_cnt && sim_now(sim) > h->scenario.load_us && h->faults_left == 0) {
            h->phase       = PHASE_DRAIN;
            h->deadline    = sim_now(sim) + PATIENCE_US;
            h->quiet_since = sim_now(sim);
            sim_allow_disk_errors(sim, false);
        }
        break;
    case PHASE_DRAIN:
        if (sim_is_running(sim)) {
            drain_step(h);
        }
        break;
    case PHASE_CHECK:
        if (sim_is_running(sim) && check_step(h)) {
            h->phase    = PHASE_LAST;
            h->last_run = sim_run(sim);
            if (coh_rng_percent(&h->rng, 50)) {
                sim_stop(sim);
            } else {
                take_down(h);
            }
        } else if (!sim_is_running(sim)) {
            h->phase = PHASE_DRAIN; /* an error of before ended the job only now */
        }
        break;
    case PHASE_LAST:
        if (sim_is_ready(sim) && sim_run(sim) > h->last_run) {
            h->phase     = PHASE_RECHECK;
            h->check_pos = 0;
        }
        break;
    case PHASE_RECHECK:
        if (sim_is_running(sim) && check_step(h)) {
            h->phase = PHASE_DONE;
        }
        break;
    case PHASE_DONE: break;
    }
    uint64_t pause = h->phase == PHASE_LOAD    ? h->scenario.client_us
                     : h->phase == PHASE_DRAIN ? 30 * MS
                                               : MS;
    sim_after(sim, 1 + coh_rng_below(&h->rng, pause), TIMER_CLIENT);
}

static void on_timer(sim_watch_t *watch, uint32_t what)
{
    history_t *h = (history_t *)watch;
    sim_t *sim   = h->sim;
    switch (what) {
    case TIMER_CLIENT: client_timer(h); break;
    case TIMER_CRASH:
        h->faults_left--;
        if (sim_is_running(sim)) {
            take_down(h);
        }
        break;
    case TIMER_STOP:
        h->faults_left--;
        if (sim_is_running(sim)) {
            sim_stop(sim);
        }
        break;
    case TIMER_RESTART:
        if (!sim_is_running(sim)) {
            sim_start(sim);
            if (h->phase == PHASE_LOAD && coh_rng_percent(&h->rng, 30)) {
                h->faults_left++;
                sim_after(sim, coh_rng_below(&h->rng, 5 * MS), TIMER_CRASH);
            }
        }
        break;
    default: COH_ASSERT(false); /* no such timer */
    }
}

/* ---- a history ---- */

static void free_history(history_t *h)
{
    forget_requests(h);
    for (uint32_t i = 0; i < h->step_cnt; i++) {
        free(h->steps[i].raws);
        free(h->steps[i].senders);
    }
    free(h->steps);
    free(h->txs);
    coh_ref_fini(&h->plan);
    coh_op_reader_free(h->reader);
    coh_buf_free(&h->buf);
    coh_genesis_free(&h->scenario.genesis);
    if (h->scenario.pins[0] != '\0') {
        coh_test_pins_remove(h->scenario.pins);
    }
    free(h);
}

void sim_history_run(sim_history_result_t *out,
                     sim_history_params_t const *params,
                     coh_txgen_t *gen)
{
    history_t *h = coh_calloc(1, sizeof(*h));
    h->watch     = (sim_watch_t){.on_frame   = on_frame,
                                 .on_reply   = on_reply,
                                 .on_publish = on_publish,
                                 .on_timer   = on_timer,
                                 .on_end     = on_end};
    h->gen       = gen;
    coh_rng_seed(&h->rng, params->seed);
    h->backs_up   = params->seed % 2 == 0;
    scenario_t *s = &h->scenario;
    draw_scenario(s, params, &h->rng, gen);
    coh_rng_seed(&h->type_rng, params->seed ^ UINT64_C(0x7479706573));
    draw_types(s, &h->type_rng);
    finish_genesis(s);
    draw_pins(s, params->seed, gen);
    coh_rng_seed(&h->move_rng, params->seed ^ UINT64_C(0x6d6f766573));
    if (s->sim.shard_cnt > 1 && coh_rng_percent(&h->move_rng, 50)) {
        s->move_permille = (uint32_t)coh_rng_below(&h->move_rng, 200);
        if (coh_rng_percent(&h->move_rng, 30)) { /* an account or two */
            s->config.placement_round_bytes = 120;
        }
    }
    if (params->verbose) {
        print_scenario(s);
    }
    h->reader = coh_op_reader_new();
    h->sim    = sim_new(&s->sim, coh_rng_next(&h->rng), &h->watch);
    h->oracle =
        sim_oracle_new(h->sim,
                       &s->genesis,
                       &(sim_oracle_params_t){.look_at_disks = params->plant == SIM_PLANT_NONE,
                                              .root_every    = s->config.block_root_every,
                                              .import        = s->import});
    h->deadline = UINT64_MAX;
    coh_ref_copy(&h->plan, sim_oracle_state(h->oracle, s->genesis.number));
    if (s->import) {
        plan_import(h);
        h->resync = true;
    } else {
        plan_production(h);
    }

    h->faults_left = s->fault_cnt;
    for (uint32_t i = 0; i < s->fault_cnt; i++) {
        sim_after(h->sim,
                  coh_rng_below(&h->rng, s->load_us),
                  coh_rng_percent(&h->rng, 80) ? TIMER_CRASH : TIMER_STOP);
    }
    sim_after(h->sim, 1, TIMER_CLIENT);
    sim_start(h->sim);
    while (h->phase != PHASE_DONE && sim_step(h->sim)) {
    }
    if (sim_failed(h->sim) == NULL) {
        sim_oracle_check_supply(h->oracle);
    }

    *out = (sim_history_result_t){
        .failed   = sim_failed(h->sim) != NULL,
        .digest   = sim_history(h->sim),
        .events   = sim_events(h->sim),
        .blocks   = sim_oracle_head(h->oracle) - s->genesis.number,
        .included = sim_oracle_included_cnt(h->oracle),
        .left_out = sim_oracle_left_out_cnt(h->oracle),
        .drawn    = sim_oracle_drawn(h->oracle),
        .runs     = sim_run(h->sim),
    };
    sim_add_counts(h->sim, &out->counts);
    if (out->failed) {
        (void)snprintf(out->reason, sizeof(out->reason), "%s", sim_failed(h->sim));
        if (params->verbose) {
            sim_print_trace(h->sim);
        }
    }
    sim_free(h->sim);
    sim_oracle_free(h->oracle);
    free_history(h);
}
