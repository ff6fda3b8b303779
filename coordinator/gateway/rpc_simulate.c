/* eth_simulateV1: blocks that never were, on top of a committed one, by geth's rules. Each block is one call to a shard (shard/simulate.c), which gets what the blocks before have changed and answers
   with that and its own; then the owners of what is changed say what state root that would be (coordinator/suppose.c), and with the header's hash the next block may begin.

   base ─▶ block: CALL ─outcomes, changes─▶ ROOT ─state root─▶ header, hash, text ─▶ next block ─▶ done

   A block in which nothing happens needs neither. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/chain/replay.h"
#include "common/chain/requests.h"
#include "common/chain/steps.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/evm/evm.h"
#include "common/trie/root.h"
#include "coordinator/calls.h"
#include "coordinator/gateway/rpc_run.h"

#define PUT COH_RPC_PUT

/* geth's codes. */
enum {
    NONCE_TOO_LOW   = -38010,
    NONCE_TOO_HIGH  = -38011,
    FEE_TOO_LOW     = -38012,
    INTRINSIC_GAS   = -38013,
    FUNDS           = -38014,
    BLOCK_GAS       = -38015,
    BLOCK_NUMBER    = -38020,
    BLOCK_TIMESTAMP = -38021,
    INITCODE_SIZE   = -38025,
    LIMIT_EXCEEDED  = -38026,
    CALL_VM_ERROR   = -32015,
    TIMESTAMP_STEP  = 12,
    CALLS_MAX       = 5000, /* of all blocks */
    WITHDRAWALS_MAX = 1024, /* of a block */
    LONDON_BASE_FEE = 1000000000,
    LEGACY_V_FROM_END =
        3, /* octets of a legacy transaction that nobody signed: v, r, s, one each */
};

typedef struct {
    coh_addr_t sender;
    coh_ask_part_t raw; /* in the block's raws */
    uint8_t given;      /* COH_SIM_GIVEN_* */
} sim_call_t;

/* A block to be simulated. */
typedef struct {
    coh_rpc_run_t *run; /* owned; overrides; NULL: it fills a gap */
    uint64_t number;
    uint64_t timestamp;
    bool has_randao, has_difficulty;
    coh_hash_t beacon_root;
    coh_buf_t withdrawals; /* payload of the RLP list */
    sim_call_t *calls;     /* owned */
    uint32_t call_cnt;
    coh_buf_t raws;
} sim_block_t;

/* What the block under way is. */
typedef struct {
    coh_header_t header;
    coh_rules_t rules;
    coh_block_env_t env;
    coh_block_t body; /* as far as steps depend on it */
    coh_steps_t before, after;
    coh_buf_t credits;
    coh_buf_t bytes;               /* what results point into */
    coh_rec_sim_result_t *results; /* owned; of steps and calls */
    uint32_t result_cnt;
} sim_now_t;

typedef struct {
    coh_rpc_at_t at;
    bool validates, transfers, full;
    sim_block_t *blocks; /* owned */
    uint32_t cnt, idx;
    uint64_t due_us;
    uint64_t budget; /* gas that is left */
    uint64_t base;   /* number of the committed block */
    coh_schedule_t schedule;
    coh_u256_t total_difficulty; /* 0, or as much as Paris wants */
    bool carries_root;           /* headers carry the last root */
    coh_hash_t root;             /* of the last block */
    coh_sealed_t *parent;        /* a reference */
    coh_buf_t hashes;            /* of the blocks simulated */
    coh_sim_state_t state;       /* what they have changed */
    sim_now_t now;
} sim_t;

static void clear_now(sim_now_t *now)
{
    coh_buf_free(&now->credits);
    coh_buf_free(&now->bytes);
    free(now->results);
    *now = (sim_now_t){.result_cnt = 0};
}

static void free_sim(void *extra)
{
    sim_t *s = extra;
    for (uint32_t i = 0; i < s->cnt; i++) {
        sim_block_t *b = &s->blocks[i];
        coh_rpc_run_free(b->run);
        coh_buf_free(&b->withdrawals);
        coh_buf_free(&b->raws);
        free(b->calls);
    }
    clear_now(&s->now);
    coh_sim_state_free(&s->state);
    coh_sealed_free(s->parent);
    coh_buf_free(&s->hashes);
    free(s->blocks);
    free(s);
}

/* ---- reading ---- */

/* EIP-4895 */
static bool read_withdrawals(sim_block_t *b, json_t const *given, coh_rpc_fault_t *fault)
{
    json_t const *list;
    if (!coh_rpc_list_of(&list, given, "withdrawals", 0, fault)) {
        return false;
    }
    if (json_array_size(list) > WITHDRAWALS_MAX) {
        return coh_rpc_fault(fault, LIMIT_EXCEEDED, "too many withdrawals");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t const *w = json_array_get(list, i);
        coh_withdrawal_t to;
        if (!coh_rpc_get_quantity(&to.index, json_object_get(w, "index"), 0, fault) ||
            !coh_rpc_get_quantity(&to.validator, json_object_get(w, "validatorIndex"), 0, fault) ||
            !coh_rpc_get_addr(&to.addr, json_object_get(w, "address"), 0, fault) ||
            !coh_rpc_get_quantity(&to.amount_gwei, json_object_get(w, "amount"), 0, fault)) {
            return false;
        }
        coh_withdrawal_put(&b->withdrawals, &to);
    }
    return true;
}

static bool read_block_overrides(sim_block_t *b, json_t const *given, coh_rpc_fault_t *fault)
{
    json_t const *beacon = coh_rpc_member(given, "beaconRoot");
    if (!coh_rpc_read_env(b->run, given, 0, true, fault) ||
        (beacon != NULL && !coh_rpc_get_hash(&b->beacon_root, beacon, 0, fault))) {
        return false;
    }
    b->has_randao =
        coh_rpc_member(given, "prevRandao") != NULL || coh_rpc_member(given, "random") != NULL;
    b->has_difficulty = coh_rpc_member(given, "difficulty") != NULL;
    return read_withdrawals(b, given, fault);
}

/* A call, as the transaction that geth makes of it: of the newest type that it can be, unless it names a gas price. */
static bool read_call(coh_rpc_t const *rpc,
                      sim_block_t *b,
                      coh_rpc_run_t *args,
                      json_t const *given,
                      coh_rpc_fault_t *fault)
{
    sim_call_t *to = &b->calls[b->call_cnt++];
    coh_rpc_run_clear(args);
    if (!coh_rpc_read_args(rpc, args, given, fault)) {
        return false;
    }
    coh_tx_t *tx = &args->tx;
    if (!args->has_price && tx->type < COH_TX_DYNAMIC_FEE) {
        tx->type = COH_TX_DYNAMIC_FEE;
    }
    to->sender = args->from;
    to->given  = (uint8_t)((args->has_nonce ? COH_SIM_GIVEN_NONCE : 0) |
                          (args->has_gas ? COH_SIM_GIVEN_GAS : 0));
    to->raw.at = b->raws.n;
    coh_tx_encode(&b->raws, tx);
    to->raw.n = b->raws.n - to->raw.at;
    return true;
}

static bool read_block(coh_rpc_t const *rpc,
                       sim_block_t *b,
                       json_t const *given,
                       uint32_t *call_cnt,
                       coh_rpc_fault_t *fault)
{
    json_t const *calls;
    b->run = coh_rpc_run_new(COH_CALL_SIMULATE);
    if (!json_is_object(given)) {
        return coh_rpc_fault_type(fault, 0, given, "ethapi.simBlock");
    }
    if (!coh_rpc_list_of(&calls, given, "calls", 0, fault) ||
        !read_block_overrides(b, coh_rpc_member(given, "blockOverrides"), fault) ||
        !coh_rpc_read_overrides(b->run, coh_rpc_member(given, "stateOverrides"), 0, fault)) {
        return false;
    }
    size_t cnt = json_array_size(calls);
    if (cnt > CALLS_MAX - *call_cnt) {
        return coh_rpc_fault(fault, LIMIT_EXCEEDED, "too many calls");
    }
    *call_cnt += (uint32_t)cnt;
    b->calls            = coh_calloc(cnt + 1, sizeof(*b->calls));
    coh_rpc_run_t *args = coh_rpc_run_new(COH_CALL_SIMULATE);
    bool ok             = true;
    for (size_t i = 0; i < cnt && ok; i++) {
        ok = read_call(rpc, b, args, json_array_get(calls, i), fault);
    }
    coh_rpc_run_free(args);
    return ok;
}

static bool read_flag(bool *out, json_t const *given, char const *name, coh_rpc_fault_t *fault)
{
    json_t const *v = coh_rpc_member(given, name);
    *out            = false;
    return v == NULL || coh_rpc_get_bool(out, v, 0, fault);
}

static bool read_sim(coh_rpc_t const *rpc, sim_t *s, json_t const *given, coh_rpc_fault_t *fault)
{
    json_t const *blocks;
    if (!json_is_object(given)) {
        return coh_rpc_fault_type(fault, 0, given, "ethapi.simOpts");
    }
    if (!coh_rpc_list_of(&blocks, given, "blockStateCalls", 0, fault) ||
        !read_flag(&s->transfers, given, "traceTransfers", fault) ||
        !read_flag(&s->validates, given, "validation", fault) ||
        !read_flag(&s->full, given, "returnFullTransactions", fault)) {
        return false;
    }
    size_t cnt        = json_array_size(blocks);
    uint32_t call_cnt = 0;
    if (cnt == 0) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "empty input");
    }
    if (cnt > COH_SIM_BLOCK_MAX) {
        return coh_rpc_fault(fault, LIMIT_EXCEEDED, "too many blocks");
    }
    s->blocks = coh_calloc(cnt, sizeof(*s->blocks));
    for (size_t i = 0; i < cnt; i++) {
        json_t const *block = json_array_get(blocks, i);
        if (!read_block(rpc, &s->blocks[s->cnt++], block, &call_cnt, fault)) {
            return false;
        }
    }
    return true;
}

/* place_blocks gives the blocks numbers and times behind the committed one, strictly ascending, and fills gaps with empty blocks. */
static bool place_blocks(sim_t *s, coh_header_t const *base, coh_rpc_fault_t *fault)
{
    sim_block_t *all = coh_calloc(COH_SIM_BLOCK_MAX, sizeof(*all));
    uint64_t number  = base->number;
    uint64_t time    = base->timestamp;
    uint32_t n       = 0;
    bool ok          = true;
    for (uint32_t i = 0; i < s->cnt && ok; i++) {
        sim_block_t const *b = &s->blocks[i];
        uint32_t fields      = b->run->env_fields;
        uint64_t want        = (fields & COH_CALL_ENV_NUMBER) ? b->run->env.number : number + 1;
        if (want <= number) {
            ok = coh_rpc_fault(fault,
                               BLOCK_NUMBER,
                               "block numbers must be in order: %" PRIu64 " <= %" PRIu64,
                               want,
                               number);
        } else if (want - base->number > COH_SIM_BLOCK_MAX) {
            ok = coh_rpc_fault(fault, LIMIT_EXCEEDED, "too many blocks");
        }
        for (; ok && number + 1 < want; n++) {
            time += TIMESTAMP_STEP;
            all[n] = (sim_block_t){.number = ++number, .timestamp = time};
        }
        uint64_t then =
            (fields & COH_CALL_ENV_TIMESTAMP) ? b->run->env.timestamp : time + TIMESTAMP_STEP;
        if (ok && then <= time) {
            ok = coh_rpc_fault(fault,
                               BLOCK_TIMESTAMP,
                               "block timestamps must be in order: %" PRIu64 " <= %" PRIu64,
                               then,
                               time);
        }
        if (ok) {
            all[n]        = *b;
            all[n].number = number = want;
            all[n++].timestamp = time = then;
        }
    }
    if (!ok) {
        free(all);
        return false;
    }
    free(s->blocks); /* what they own has moved */
    s->blocks = all;
    s->cnt    = n;
    return true;
}

/* ---- a block begins ---- */

static coh_u256_t base_fee_of(sim_t const *s, sim_block_t const *b)
{
    coh_header_t const *parent = &s->parent->header;
    if (b->run != NULL && (b->run->env_fields & COH_CALL_ENV_BASE_FEE)) {
        return b->run->env.base_fee;
    }
    if (!s->validates) {
        return COH_U256_ZERO;
    }
    return s->parent->fork < COH_FORK_LONDON
               ? coh_u256(LONDON_BASE_FEE)
               : coh_base_fee_next(&parent->base_fee, parent->gas_used, parent->gas_limit);
}

static uint64_t excess_of(sim_t const *s, coh_rules_t const *rules)
{
    coh_header_t const *parent = &s->parent->header;
    coh_blob_parent_t blobs    = {.excess_blob_gas = parent->excess_blob_gas,
                                  .blob_gas_used   = parent->blob_gas_used,
                                  .base_fee        = parent->base_fee};
    return s->parent->fork < COH_FORK_CANCUN
               ? 0
               : coh_blob_next_excess(&blobs, rules->fork, &rules->blobs);
}

/* begin_header sets what is known of the block before it is executed, and the environment. */
static void begin_header(coh_rpc_t const *rpc, sim_t *s)
{
    sim_now_t *now             = &s->now;
    sim_block_t const *b       = &s->blocks[s->idx];
    coh_header_t const *parent = &s->parent->header;
    coh_header_t *h            = &now->header;
    coh_block_env_t *env       = &now->env;
    uint32_t fields            = b->run != NULL ? b->run->env_fields : 0;
    *h                         = (coh_header_t){.parent_hash        = s->parent->hash,
                                                .ommers_hash        = COH_EMPTY_LIST_HASH,
                                                .coinbase           = parent->coinbase,
                                                .difficulty         = parent->difficulty,
                                                .number             = b->number,
                                                .gas_limit          = parent->gas_limit,
                                                .timestamp          = b->timestamp,
                                                .withdrawals_root   = COH_EMPTY_TRIE_ROOT,
                                                .parent_beacon_root = b->beacon_root,
                                                .requests_hash      = COH_EMPTY_REQUESTS_HASH};
    now->rules = coh_schedule_rules(&s->schedule, b->number, b->timestamp, &s->total_difficulty);
    coh_fork_t fork = now->rules.fork;
    if (fields & COH_CALL_ENV_COINBASE) {
        h->coinbase = b->run->env.coinbase;
    }
    if (fields & COH_CALL_ENV_GAS_LIMIT) {
        h->gas_limit = b->run->env.gas_limit;
    }
    if (fork >= COH_FORK_PARIS) {
        h->difficulty = COH_U256_ZERO;
        if (b->has_randao) {
            coh_u256_to_be(h->mix_hash.b, &b->run->env.prev_randao);
        }
    } else if (b->has_difficulty && !b->has_randao) {
        h->difficulty = b->run->env.prev_randao;
    }
    if (fork >= COH_FORK_LONDON) {
        h->base_fee = base_fee_of(s, b);
    }
    *env             = (coh_block_env_t){.number    = h->number,
                                         .timestamp = h->timestamp,
                                         .gas_limit = h->gas_limit,
                                         .chain_id  = rpc->d.genesis->chain_id,
                                         .base_fee  = h->base_fee,
                                         .coinbase  = h->coinbase,
                                         .fork      = fork};
    env->prev_randao = fork >= COH_FORK_PARIS
                           ? coh_u256_from_be(h->mix_hash.b, sizeof(h->mix_hash.b))
                           : h->difficulty;
    if (fork >= COH_FORK_CANCUN) {
        h->excess_blob_gas = excess_of(s, &now->rules);
        env->blob_max      = now->rules.blobs.max;
        env->blob_base_fee =
            (fields & COH_CALL_ENV_BLOB_BASE_FEE)
                ? b->run->env.blob_base_fee
                : coh_blob_base_fee(h->excess_blob_gas, now->rules.blobs.update_fraction);
    }
    now->body = (coh_block_t){.header = *h, .withdrawals = coh_buf_bytes(&b->withdrawals)};
    coh_steps_before(&now->before, &now->body, &now->rules);
    coh_steps_after(&now->after, &now->credits, &now->body, &now->rules);
}

static uint32_t tx_cnt_of(sim_t const *s)
{
    return s->now.before.cnt + s->blocks[s->idx].call_cnt + s->now.after.cnt;
}

/* Whose owner executes the block: whom its first call calls. */
static coh_addr_t home_of(sim_t const *s)
{
    sim_block_t const *b = &s->blocks[s->idx];
    coh_tx_t tx;
    if (b->call_cnt != 0) {
        coh_ask_part_t raw = b->calls[0].raw;
        coh_tx_err_t err   = coh_tx_decode_mined(&tx, coh_bytes(b->raws.p + raw.at, raw.n));
        COH_ASSERT(err == COH_TX_OK); /* we encoded it */
        return tx.is_create ? b->calls[0].sender : tx.to;
    }
    return s->now.before.cnt != 0 ? s->now.before.steps[0].to : (coh_addr_t){{0}};
}

static void put_steps(coh_buf_t *bytes, coh_ask_part_t **part, coh_steps_t const *steps)
{
    for (uint32_t i = 0; i < steps->cnt; i++, (*part)++) {
        (*part)->at = bytes->n;
        coh_step_put(bytes, &steps->steps[i]);
        (*part)->n = bytes->n - (*part)->at;
    }
}

static void step_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask);

/* post_block sends the block to be executed. */
static void post_block(coh_rpc_call_t *call, sim_t *s)
{
    sim_block_t *b        = &s->blocks[s->idx];
    sim_now_t *now        = &s->now;
    uint32_t cnt          = tx_cnt_of(s);
    coh_ask_part_t *parts = coh_calloc((size_t)cnt + 1, sizeof(*parts));
    coh_ask_part_t *part  = parts;
    if (b->run == NULL) {
        b->run = coh_rpc_run_new(COH_CALL_SIMULATE);
    }
    coh_ask_t *ask    = b->run->ask;
    coh_msg_call_t *m = &ask->u.call.m;
    put_steps(&ask->bytes, &part, &now->before);
    for (uint32_t i = 0; i < b->call_cnt; i++, part++) {
        *part = (coh_ask_part_t){.at = ask->bytes.n, .n = b->calls[i].raw.n};
        coh_buf_put(&ask->bytes, b->raws.p + b->calls[i].raw.at, b->calls[i].raw.n);
    }
    put_steps(&ask->bytes, &part, &now->after);
    ask->u.call.txs = coh_calloc((size_t)cnt + 1, sizeof(*ask->u.call.txs));
    for (uint32_t i = 0; i < cnt; i++) {
        uint32_t at  = i - now->before.cnt; /* of the calls, if it is below their number */
        bool is_call = i >= now->before.cnt && at < b->call_cnt;
        ask->u.call.txs[i] =
            (coh_rec_block_tx_t){.tx_idx  = i,
                                 .is_step = !is_call,
                                 .sender  = is_call ? b->calls[at].sender : (coh_addr_t){{0}},
                                 .raw     = coh_bytes(ask->bytes.p + parts[i].at, parts[i].n)};
        coh_buf_put_u8(&ask->u.call.given, is_call ? b->calls[at].given : 0);
    }
    free(parts);
    coh_calls_set_env(m, &now->env);
    m->block   = s->base;
    m->txs.cnt = cnt;
    m->trace_flags =
        (s->validates ? COH_SIM_VALIDATE : 0u) | (s->transfers ? COH_SIM_TRANSFERS : 0u);
    m->budget = s->budget;
    m->given  = coh_buf_bytes(&ask->u.call.given);
    coh_buf_put(&ask->u.call.hashes, s->hashes.p, s->hashes.n);
    m->hashes          = coh_buf_bytes(&ask->u.call.hashes);
    ask->u.call.at     = home_of(s);
    ask->u.call.before = s->state;
    s->state           = (coh_sim_state_t){0};
    m->accounts.v      = ask->u.call.before.accounts;
    m->accounts.cnt    = ask->u.call.before.account_cnt;
    m->storage.v       = ask->u.call.before.slots;
    m->storage.cnt     = ask->u.call.before.slot_cnt;
    m->codes.v         = ask->u.call.before.codes;
    m->codes.cnt       = ask->u.call.before.code_cnt;
    coh_rpc_post_run(call, b->run, step_block);
}

/* ---- a block ends ---- */

/* A call, decoded, with the nonce and the gas limit that it was executed with; raw: as it stands in the block, borrowing from bytes. */
static void finish_tx(coh_tx_t *tx,
                      coh_buf_t *bytes,
                      coh_bytes_t given,
                      coh_rec_sim_result_t const *result)
{
    size_t at        = bytes->n;
    coh_tx_err_t err = coh_tx_decode_mined(tx, given);
    COH_ASSERT(err == COH_TX_OK); /* we encoded it */
    tx->nonce     = result->nonce;
    tx->gas_limit = result->gas;
    coh_tx_encode(bytes, tx);
    tx->raw = coh_bytes(bytes->p + at, bytes->n - at);
}

/* Requests of the block (EIP-7685); false: it could not be a block. */
static bool set_requests(coh_header_t *h, sim_t const *s)
{
    sim_now_t const *now = &s->now;
    uint32_t end         = now->result_cnt - now->after.cnt;
    coh_requests_t requests;
    bool ok = true;
    coh_requests_init(&requests);
    for (uint32_t i = now->before.cnt; i < end && ok; i++) {
        ok = coh_requests_add_deposits(&requests, now->results[i].logs, &now->rules.deposit_addr);
    }
    for (uint32_t i = 0; i < now->after.cnt && ok; i++) {
        coh_rec_sim_result_t const *r = &now->results[end + i];
        if (now->after.use[i] == COH_STEPS_REQUESTS) {
            ok = r->status != COH_STEP_FAILED;
            coh_requests_add(&requests, now->after.request_type[i], r->output);
        }
    }
    coh_requests_hash_all(&h->requests_hash, &requests);
    coh_requests_fini(&requests);
    return ok;
}

static void set_withdrawals(coh_header_t *h, coh_buf_t *tail, sim_block_t const *b)
{
    coh_block_t body = {.withdrawals = coh_buf_bytes(&b->withdrawals)};
    coh_rlp_t list   = coh_block_withdrawal_iter(&body);
    coh_bytes_t *all = coh_calloc(WITHDRAWALS_MAX, sizeof(*all));
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    size_t cnt = 0;
    while (!coh_rlp_at_end(&list)) {
        coh_err_t err = coh_rlp_next_raw(&list, &kind, &payload, &all[cnt++]);
        COH_ASSERT(err == COH_OK); /* we wrote it */
    }
    coh_root_list(&h->withdrawals_root, all, cnt);
    coh_buf_put_u8(tail, 0xc0); /* no ommers */
    size_t at = tail->n;
    coh_buf_put(tail, b->withdrawals.p, b->withdrawals.n);
    coh_rlp_wrap_list(tail, at);
    free(all);
}

static void put_call(coh_buf_t *out,
                     coh_sealed_t const *sealed,
                     uint32_t idx,
                     coh_rec_sim_result_t const *r,
                     uint32_t *log_idx)
{
    bool ok = r->status == COH_EVM_SUCCESS;
    coh_buf_printf(out, "%s{\"returnData\":", idx == 0 ? "" : ",");
    coh_rpc_put_data(out, r->output.p, ok ? r->output.n : 0);
    PUT(out, ",\"logs\":");
    coh_rpc_put_log_list(out, sealed, idx, r->shown.n != 0 ? r->shown : r->logs, log_idx);
    PUT(out, ",\"gasUsed\":");
    coh_rpc_put_quantity(out, r->gas_used);
    PUT(out, ",\"maxUsedGas\":");
    coh_rpc_put_quantity(out, r->gas_max);
    PUT(out, ",\"status\":");
    coh_rpc_put_quantity(out, ok);
    if (r->status == COH_EVM_REVERT) {
        coh_buf_t text = COH_BUF_INIT;
        coh_rpc_put_revert(&text, r->output);
        PUT(out, ",\"error\":{\"message\":");
        coh_rpc_put_string(out, (char const *)text.p, text.n);
        coh_buf_printf(out, ",\"code\":%d,\"data\":", COH_RPC_REVERTED);
        coh_rpc_put_data(out, r->output.p, r->output.n);
        PUT(out, "}");
        coh_buf_free(&text);
    } else if (!ok) {
        coh_buf_printf(out,
                       ",\"error\":{\"message\":\"%s\",\"code\":%d}",
                       coh_evm_status_str((coh_evm_status_t)r->status),
                       CALL_VM_ERROR);
    }
    PUT(out, "}");
}

/* put_block appends the block with what its calls gave. */
static void put_block(coh_rpc_call_t *call, sim_t const *s, coh_rpc_block_t const *block)
{
    coh_buf_t *out   = &call->out;
    uint32_t log_idx = 0;
    coh_buf_printf(out, "%s", s->idx == 0 ? "[" : ",");
    coh_rpc_put_block(out, block, s->full);
    out->n--; /* its last bracket */
    PUT(out, ",\"calls\":[");
    for (uint32_t i = 0; i < block->sealed->tx_cnt; i++) {
        put_call(out, block->sealed, i, &s->now.results[s->now.before.cnt + i], &log_idx);
    }
    PUT(out, "]}");
}

/* seal makes the block. raws: its transactions as they are decoded again; NULL: it could not be a block. */
static coh_rpc_block_t *seal(sim_t *s)
{
    sim_block_t const *b = &s->blocks[s->idx];
    sim_now_t *now       = &s->now;
    uint32_t cnt         = b->call_cnt;
    coh_tx_t *txs        = coh_calloc((size_t)cnt + 1, sizeof(*txs));
    coh_hash_t *hashes   = coh_calloc((size_t)cnt + 1, sizeof(*hashes));
    coh_block_tx_t *recs = coh_calloc((size_t)cnt + 1, sizeof(*recs));
    coh_bytes_t *raws    = coh_calloc((size_t)cnt + 1, sizeof(*raws));
    coh_buf_t bytes      = COH_BUF_INIT; /* transactions as they are hashed... */
    coh_buf_t record     = COH_BUF_INIT; /* ...and as they are decoded */
    coh_buf_t scratch    = COH_BUF_INIT;
    coh_header_t h       = now->header;
    size_t room          = 64 * (size_t)cnt + 1;
    coh_buf_grow(&bytes, b->raws.n + room); /* once: nonce and gas may be longer than given */
    coh_buf_grow(&record, b->raws.n + room);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_rec_sim_result_t const *r = &now->results[now->before.cnt + i];
        coh_ask_part_t given          = b->calls[i].raw;
        finish_tx(&txs[i], &bytes, coh_bytes(b->raws.p + given.at, given.n), r);
        uint8_t *copy = coh_buf_extend(&record, txs[i].raw.n);
        raws[i]       = coh_bytes(memcpy(copy, txs[i].raw.p, txs[i].raw.n), txs[i].raw.n);
        if (txs[i].type == COH_TX_LEGACY) { /* v of nobody is 0 */
            bytes.p[bytes.n - LEGACY_V_FROM_END] = 0x80;
        }
        coh_keccak256(&hashes[i], txs[i].raw.p, txs[i].raw.n);
        recs[i] = (coh_block_tx_t){.tx       = &txs[i],
                                   .hash     = &hashes[i],
                                   .sender   = &b->calls[i].sender,
                                   .reported = true,
                                   .status   = r->status == COH_EVM_SUCCESS,
                                   .gas_used = r->gas_used,
                                   .logs     = r->logs};
        h.blob_gas_used += coh_tx_blob_gas(&txs[i]);
        s->budget -= r->gas_used;
    }
    bool ok              = now->rules.fork < COH_FORK_PRAGUE || set_requests(&h, s);
    coh_sealed_t *sealed = coh_seal(&now->env, s->parent, recs, cnt, &s->root, &scratch);
    h.state_root         = s->root;
    h.gas_used           = sealed->header.gas_used;
    h.tx_root            = sealed->header.tx_root;
    h.receipts_root      = sealed->header.receipts_root;
    memcpy(h.bloom, sealed->header.bloom, sizeof(h.bloom));
    coh_buf_clear(&scratch);
    if (b->withdrawals.n != 0 && now->rules.fork >= COH_FORK_SHANGHAI) {
        set_withdrawals(&h, &scratch, b);
    }
    coh_sealed_adopt(sealed, &h, now->rules.fork, coh_buf_bytes(&scratch));
    free(txs);
    free(hashes);
    free(recs);
    coh_buf_free(&bytes);
    coh_buf_free(&scratch);
    coh_rpc_block_t *block = coh_rpc_block_of(sealed);
    block->record          = record;
    block->raws            = raws;
    if (!ok) {
        coh_rpc_block_free(block);
        return NULL;
    }
    return block;
}

/* finish_block tells of the block and makes it the parent of the next; false: the call has failed. */
static bool finish_block(coh_rpc_call_t *call, sim_t *s)
{
    coh_rpc_block_t *block = seal(s);
    if (block == NULL) {
        coh_rpc_fail(call,
                     COH_RPC_INTERNAL,
                     "block %" PRIu64 ": its requests cannot be read",
                     s->blocks[s->idx].number);
        return false;
    }
    put_block(call, s, block);
    coh_sealed_free(s->parent);
    s->parent = coh_sealed_ref(block->sealed);
    coh_buf_put(&s->hashes, s->parent->hash.b, sizeof(s->parent->hash.b));
    coh_rpc_block_free(block);
    clear_now(&s->now);
    s->idx++;
    return !coh_rpc_is_full(call);
}

/* ---- from block to block ---- */

/* go_on begins blocks until one has to be executed, or all are done. */
static void go_on(coh_rpc_t *rpc, coh_rpc_call_t *call, sim_t *s)
{
    while (s->idx < s->cnt) {
        coh_rpc_fault_t fault;
        sim_block_t const *b = &s->blocks[s->idx];
        begin_header(rpc, s);
        if (rpc->now_us >= s->due_us) {
            coh_rpc_fail_run(rpc, call, COH_CALL_TIMEOUT, s->base);
            return;
        }
        if (s->now.rules.fork < COH_FORK_BYZANTIUM) {
            coh_rpc_fail(call, COH_RPC_SERVER, "blocks before Byzantium cannot be simulated");
            return;
        }
        if (b->run != NULL && !coh_rpc_check_moves(b->run, s->now.rules.fork, &fault)) {
            coh_rpc_fail_fault(call, &fault);
            return;
        }
        if (tx_cnt_of(s) != 0 || (b->run != NULL && b->run->ask->u.call.m.overrides.cnt != 0)) {
            post_block(call, s);
            return;
        }
        if (!finish_block(call, s)) {
            return;
        }
    }
    PUT(&call->out, "]");
    coh_rpc_done(call);
}

static void step_root(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    sim_t *s = call->extra;
    if (ask->err == COH_ENOTFOUND) {
        coh_rpc_fail_gone(call, s->base);
    } else if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
    } else {
        s->root = ask->u.root.root;
        if (finish_block(call, s)) {
            go_on(rpc, call, s);
        }
    }
}

static void post_root(coh_rpc_call_t *call, sim_t const *s)
{
    coh_sim_state_t const *state = &s->state;
    coh_ask_t *ask               = coh_ask_new(COH_ASK_ROOT);
    ask->u.root.block            = s->base;
    ask->u.root.accounts = coh_calloc((size_t)state->account_cnt + 1, sizeof(*state->accounts));
    ask->u.root.slots    = coh_calloc((size_t)state->slot_cnt + 1, sizeof(*state->slots));
    for (uint32_t i = 0; i < state->account_cnt; i++) {
        if (state->accounts[i].changed != 0) {
            ask->u.root.accounts[ask->u.root.account_cnt++] = state->accounts[i];
        }
    }
    for (uint32_t i = 0; i < state->slot_cnt; i++) {
        if (state->slots[i].changed != 0) {
            ask->u.root.slots[ask->u.root.slot_cnt++] = state->slots[i];
        }
    }
    coh_rpc_post(call, ask, step_root);
}

/* fail_refused: a call cannot be executed at all. Texts and codes are geth's. */
static void fail_refused(coh_rpc_call_t *call, sim_t const *s, coh_msg_call_result_t const *m)
{
    sim_now_t const *now = &s->now;
    sim_block_t const *b = &s->blocks[s->idx];
    uint32_t idx         = m->tx_idx - now->before.cnt;
    char const *text     = coh_tx_err_str((coh_tx_err_t)m->verdict);
    if (m->tx_idx < now->before.cnt || idx >= b->call_cnt) {
        coh_rpc_fail_err(call, COH_EPROTO);
        return;
    }
    coh_ask_part_t raw = b->calls[idx].raw;
    coh_tx_t tx;
    coh_tx_err_t err = coh_tx_decode_mined(&tx, coh_bytes(b->raws.p + raw.at, raw.n));
    COH_ASSERT(err == COH_TX_OK); /* we encoded it */
    if (m->verdict == COH_TX_GAS_LIMIT) {
        coh_rpc_fail(call,
                     BLOCK_GAS,
                     "block gas limit reached: %" PRIu64 " >= %" PRIu64,
                     m->gas_used,
                     now->env.gas_limit);
        return;
    }
    tx.gas_limit = m->gas;
    char who[COH_RPC_ADDR_SZ];
    char one[COH_U256_DEC_SZ];
    char two[COH_U256_DEC_SZ];
    char why[400]   = "";
    int code        = COH_RPC_INTERNAL;
    coh_u256_t want = COH_U256_ZERO;
    coh_rpc_checksum(who, &b->calls[idx].sender);
    switch ((coh_tx_err_t)m->verdict) {
    case COH_TX_NONCE_TOO_LOW:
    case COH_TX_NONCE_TOO_HIGH:
        code = m->verdict == COH_TX_NONCE_TOO_LOW ? NONCE_TOO_LOW : NONCE_TOO_HIGH;
        (void)snprintf(why,
                       sizeof(why),
                       ": address %s, tx: %" PRIu64 " state: %" PRIu64,
                       who,
                       tx.nonce,
                       m->nonce);
        break;
    case COH_TX_NONCE_MAX:
        (void)snprintf(why, sizeof(why), ": address %s, nonce: %" PRIu64, who, m->nonce);
        break;
    case COH_TX_TIP_ABOVE_CAP:
        code = COH_RPC_PARAMS;
        coh_u256_to_dec(one, &tx.max_tip);
        coh_u256_to_dec(two, &tx.max_fee);
        (void)snprintf(why,
                       sizeof(why),
                       ": address %s, maxPriorityFeePerGas: %s, maxFeePerGas: %s",
                       who,
                       one,
                       two);
        break;
    case COH_TX_FEE_TOO_LOW:
        code = FEE_TOO_LOW;
        coh_u256_to_dec(one, &tx.max_fee);
        coh_u256_to_dec(two, &now->env.base_fee);
        (void)snprintf(
            why, sizeof(why), ": address %s, maxFeePerGas: %s, baseFee: %s", who, one, two);
        break;
    case COH_TX_BLOB_FEE_TOO_LOW:
        coh_u256_to_dec(one, &tx.max_fee_per_blob_gas);
        coh_u256_to_dec(two, &now->env.blob_base_fee);
        (void)snprintf(
            why, sizeof(why), ": address %s blobGasFeeCap: %s, blobBaseFee: %s", who, one, two);
        break;
    case COH_TX_FUNDS:
        code = FUNDS;
        (void)coh_tx_upfront(&want, &tx);
        coh_u256_to_dec(one, &m->balance);
        coh_u256_to_dec(two, &want);
        (void)snprintf(why, sizeof(why), ": address %s have %s want %s", who, one, two);
        break;
    case COH_TX_INTRINSIC_GAS:
    case COH_TX_FLOOR_GAS:
        code = m->verdict == COH_TX_INTRINSIC_GAS ? INTRINSIC_GAS : code;
        (void)snprintf(why,
                       sizeof(why),
                       ": have %" PRIu64 ", want %" PRIu64,
                       tx.gas_limit,
                       m->verdict == COH_TX_INTRINSIC_GAS ? coh_tx_intrinsic_gas(&tx, now->env.fork)
                                                          : coh_tx_floor_gas(&tx, now->env.fork));
        break;
    case COH_TX_INITCODE_SIZE:
        code = INITCODE_SIZE;
        (void)snprintf(
            why, sizeof(why), ": code size %zu limit %u", tx.data.n, COH_INITCODE_SIZE_MAX);
        break;
    default: break;
    }
    coh_rpc_fail(call, code, "err: %s%s (supplied gas %" PRIu64 ")", text, why, tx.gas_limit);
}

static void step_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    sim_t *s                       = call->extra;
    coh_msg_call_result_t const *m = &ask->u.call.result;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    if (m->err == COH_CALL_REFUSED) {
        fail_refused(call, s, m);
        return;
    }
    if (m->err != COH_CALL_OK) {
        coh_rpc_fail_run(rpc, call, (coh_call_err_t)m->err, s->base);
        return;
    }
    if (m->results.cnt != tx_cnt_of(s)) {
        coh_rpc_fail_err(call, COH_EPROTO);
        return;
    }
    s->state            = ask->u.call.after; /* with all that there was before */
    ask->u.call.after   = (coh_sim_state_t){0};
    s->now.results      = ask->u.call.results;
    s->now.result_cnt   = m->results.cnt;
    s->now.bytes        = ask->bytes;
    ask->u.call.results = NULL;
    ask->bytes          = COH_BUF_INIT;
    if (!s->carries_root) {
        post_root(call, s);
    } else if (finish_block(call, s)) {
        go_on(rpc, call, s);
    }
}

static void on_base(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    static coh_u256_t const all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    sim_t *s                    = call->extra;
    coh_rpc_fault_t fault;
    if (block == NULL) {
        coh_rpc_no_block(call, &s->at);
        return;
    }
    coh_header_t const *h = &block->sealed->header;
    if (!place_blocks(s, h, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    if (coh_rpc_is_busy(rpc, call)) {
        return;
    }
    coh_replay_schedule(&s->schedule, rpc->d.genesis);
    s->base             = h->number;
    s->parent           = coh_sealed_ref(block->sealed);
    s->root             = h->state_root;
    s->carries_root     = rpc->d.config->block_root_every > 1;
    s->budget           = rpc->d.config->call_gas_max;
    s->due_us           = rpc->now_us + rpc->d.config->call_time_ms * 1000;
    s->total_difficulty = block->sealed->fork >= COH_FORK_PARIS ? all : COH_U256_ZERO;
    go_on(rpc, call, s);
}

void coh_rpc_do_simulate(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    sim_t *s         = coh_calloc(1, sizeof(*s));
    call->extra      = s;
    call->extra_free = free_sim;
    coh_rpc_fault_t fault;
    if (!read_sim(rpc, s, json_array_get(params, 0), &fault) ||
        !coh_rpc_get_block(&s->at, json_array_get(params, 1), 1, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    coh_rpc_with_block(rpc, call, &s->at, false, on_base);
}
