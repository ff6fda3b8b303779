/* Methods of Cohort's own: which shard owns what (cohort_shards, cohort_ownerOf), how a block was executed (cohort_blockStats), and what its execution touched and changed (cohort_accessList, EIP-7928). The list is
   made by executing the block once more on the state before it, so of blocks on whose parent calls can run. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/chain/replay.h"
#include "common/chain/steps.h"
#include "common/crypto/keccak.h"
#include "coordinator/calls.h"
#include "coordinator/gateway/rpc_run.h"

#define PUT COH_RPC_PUT

/* The answer is ready-made JSON. */
static void step_json(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    coh_buf_put(&call->out, ask->bytes.p, ask->bytes.n);
    coh_rpc_done(call);
}

/* ---- cohort_shards, cohort_ownerOf ---- */

void coh_rpc_do_shards(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    (void)rpc;
    (void)params;
    coh_rpc_post(call, coh_ask_new(COH_ASK_SHARDS), step_json);
}

void coh_rpc_do_owner_of(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    (void)rpc;
    coh_addr_t addr;
    COH_RPC_READ(coh_rpc_get_addr, &addr, call, params, 0);
    coh_ask_t *ask            = coh_ask_new(COH_ASK_SHARDS);
    ask->u.shards.one_account = true;
    ask->u.shards.addr        = addr;
    coh_rpc_post(call, ask, step_json);
}

/* ---- cohort_blockStats ---- */

static void stats_of_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    (void)rpc;
    if (block == NULL) {
        coh_rpc_null(call);
        return;
    }
    coh_ask_t *ask      = coh_ask_new(COH_ASK_STATS);
    ask->u.stats.number = block->sealed->header.number;
    coh_rpc_post(call, ask, step_json);
}

void coh_rpc_do_block_stats(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    coh_rpc_at_t at;
    COH_RPC_READ(coh_rpc_get_block, &at, call, params, 0);
    coh_rpc_with_block(rpc, call, &at, false, stats_of_block);
}

/* ---- cohort_accessList ---- */

typedef struct {
    coh_rpc_run_t *run; /* owned */
    uint64_t number;
    coh_hash_t hash;
} list_t;

static void free_list(void *extra)
{
    list_t *l = extra;
    coh_rpc_run_free(l->run);
    free(l);
}

static coh_rlp_t open_list(coh_rlp_t *in)
{
    coh_rlp_t list;
    coh_err_t err = coh_rlp_list(in, &list);
    COH_ASSERT(err == COH_OK); /* it was checked by whoever wrote it */
    return list;
}

static coh_bytes_t next_string(coh_rlp_t *in)
{
    coh_bytes_t out;
    coh_err_t err = coh_rlp_string(in, &out);
    COH_ASSERT(err == COH_OK); /* likewise */
    return out;
}

/* A word as execution-apis has slots and their values. */
static void put_word(coh_buf_t *out, coh_bytes_t in)
{
    uint8_t word[32] = {0};
    COH_ASSERT(in.n <= sizeof(word));
    if (in.n != 0) {
        memcpy(word + sizeof(word) - in.n, in.p, in.n);
    }
    coh_rpc_put_data(out, word, sizeof(word));
}

static void put_number(coh_buf_t *out, coh_bytes_t in)
{
    coh_u256_t v = coh_u256_from_be(in.p, in.n);
    coh_rpc_put_u256(out, &v);
}

static void put_octets(coh_buf_t *out, coh_bytes_t in) { coh_rpc_put_data(out, in.p, in.n); }

/* [[index, value], ...] */
static void put_changes(coh_buf_t *out,
                        coh_rlp_t *in,
                        char const *name,
                        void (*put)(coh_buf_t *out, coh_bytes_t in))
{
    coh_rlp_t list = open_list(in);
    PUT(out, "[");
    for (bool first = true; !coh_rlp_at_end(&list); first = false) {
        coh_rlp_t change = open_list(&list);
        coh_buf_printf(out, "%s{\"index\":", first ? "" : ",");
        put_number(out, next_string(&change));
        coh_buf_printf(out, ",\"%s\":", name);
        put(out, next_string(&change));
        PUT(out, "}");
    }
    PUT(out, "]");
}

static void put_account(coh_buf_t *out, coh_rlp_t *in)
{
    coh_rlp_t account = open_list(in);
    PUT(out, "{\"address\":");
    put_octets(out, next_string(&account));
    PUT(out, ",\"storageChanges\":[");
    coh_rlp_t slots = open_list(&account);
    for (bool first = true; !coh_rlp_at_end(&slots); first = false) {
        coh_rlp_t slot = open_list(&slots);
        coh_buf_printf(out, "%s{\"key\":", first ? "" : ",");
        put_word(out, next_string(&slot));
        PUT(out, ",\"changes\":");
        put_changes(out, &slot, "value", put_word);
        PUT(out, "}");
    }
    PUT(out, "],\"storageReads\":[");
    coh_rlp_t reads = open_list(&account);
    for (bool first = true; !coh_rlp_at_end(&reads); first = false) {
        coh_buf_printf(out, "%s", first ? "" : ",");
        put_word(out, next_string(&reads));
    }
    PUT(out, "],\"balanceChanges\":");
    put_changes(out, &account, "value", put_number);
    PUT(out, ",\"nonceChanges\":");
    put_changes(out, &account, "value", put_number);
    PUT(out, ",\"codeChanges\":");
    put_changes(out, &account, "code", put_octets);
    PUT(out, "}");
}

static void step_list(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    coh_msg_call_result_t const *m = &ask->u.call.result;
    list_t const *l                = call->extra;
    coh_buf_t *out                 = &call->out;
    coh_hash_t hash;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    if (m->err != COH_CALL_OK) {
        coh_rpc_fail_run(rpc, call, (coh_call_err_t)m->err, l->number - 1);
        return;
    }
    coh_keccak256(&hash, m->access_list.p, m->access_list.n);
    PUT(out, "{\"blockNumber\":");
    coh_rpc_put_quantity(out, l->number);
    PUT(out, ",\"blockHash\":");
    coh_rpc_put_hash(out, &l->hash);
    PUT(out, ",\"hash\":");
    coh_rpc_put_hash(out, &hash);
    PUT(out, ",\"rlp\":");
    coh_rpc_put_data(out, m->access_list.p, m->access_list.n);
    PUT(out, ",\"accessList\":[");
    coh_rlp_t whole = coh_rlp_reader(m->access_list);
    coh_rlp_t list  = open_list(&whole);
    for (bool first = true; !coh_rlp_at_end(&list); first = false) {
        coh_buf_printf(out, "%s", first ? "" : ",");
        put_account(out, &list);
        if (call->out.n % 4096 < 512 && coh_rpc_is_full(call)) {
            return;
        }
    }
    PUT(out, "]}");
    coh_rpc_done(call);
}

/* The block as far as steps depend on it. */
static coh_block_t body_of(coh_sealed_t const *s)
{
    coh_block_t body = {.header = s->header};
    coh_rlp_t tail   = coh_rlp_reader(coh_buf_bytes(&s->extra));
    if (s->extra.n != 0) {
        coh_rlp_t list = open_list(&tail);
        body.ommers    = coh_bytes(list.p, (size_t)(list.end - list.p));
        if (!coh_rlp_at_end(&tail)) {
            list             = open_list(&tail);
            body.withdrawals = coh_bytes(list.p, (size_t)(list.end - list.p));
        }
    }
    return body;
}

/* The rules that the block stood under: one that Cohort made calls no system contract that the genesis has not. */
static coh_rules_t rules_of(coh_rpc_t const *rpc, coh_sealed_t const *s)
{
    static coh_u256_t const all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    static char const own[]     = "cohort";
    coh_header_t const *h       = &s->header;
    coh_schedule_t schedule;
    coh_replay_schedule(&schedule, rpc->d.genesis);
    if (h->extra_sz == sizeof(own) - 1 && memcmp(h->extra, own, h->extra_sz) == 0) {
        coh_replay_produced(&schedule, rpc->d.genesis, rpc->d.config->block_root_every);
    }
    return coh_schedule_rules(
        &schedule, h->number, h->timestamp, s->fork >= COH_FORK_PARIS ? &all : &COH_U256_ZERO);
}

static void put_steps(coh_buf_t *bytes, coh_ask_part_t **part, coh_steps_t const *steps)
{
    for (uint32_t i = 0; i < steps->cnt; i++, (*part)++) {
        (*part)->at = bytes->n;
        coh_step_put(bytes, &steps->steps[i]);
        (*part)->n = bytes->n - (*part)->at;
    }
}

static void list_of_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    list_t *l = call->extra;
    if (block == NULL) {
        coh_rpc_null(call);
        return;
    }
    coh_sealed_t const *s = block->sealed;
    if (s->header.number <= rpc->d.genesis->number) {
        coh_rpc_fail(call, COH_RPC_SERVER, "the genesis block has no access list");
        return;
    }
    if (coh_rpc_is_busy(rpc, call)) {
        return;
    }
    coh_ask_t *ask    = l->run->ask;
    coh_msg_call_t *m = &ask->u.call.m;
    coh_block_t body  = body_of(s);
    coh_rules_t rules = rules_of(rpc, s);
    coh_buf_t credits = COH_BUF_INIT;
    coh_steps_t before;
    coh_steps_t after;
    coh_steps_before(&before, &body, &rules);
    coh_steps_after(&after, &credits, &body, &rules);
    uint32_t cnt          = before.cnt + s->tx_cnt + after.cnt;
    coh_ask_part_t *parts = coh_calloc((size_t)cnt + 1, sizeof(*parts));
    coh_ask_part_t *part  = parts;
    put_steps(&ask->bytes, &part, &before);
    for (uint32_t i = 0; i < s->tx_cnt; i++, part++) {
        *part = (coh_ask_part_t){.at = ask->bytes.n, .n = block->raws[i].n};
        coh_buf_put(&ask->bytes, block->raws[i].p, block->raws[i].n);
    }
    put_steps(&ask->bytes, &part, &after);
    ask->u.call.txs = coh_calloc((size_t)cnt + 1, sizeof(*ask->u.call.txs));
    for (uint32_t i = 0; i < cnt; i++) {
        bool is_tx         = i >= before.cnt && i - before.cnt < s->tx_cnt;
        ask->u.call.txs[i] = (coh_rec_block_tx_t){
            .tx_idx  = i,
            .is_step = !is_tx,
            .sender  = is_tx ? s->receipts[i - before.cnt].from : (coh_addr_t){{0}},
            .raw     = coh_bytes(ask->bytes.p + parts[i].at, parts[i].n)};
    }
    free(parts);
    coh_buf_free(&credits);
    coh_block_env_t env = coh_calls_env(rpc->d.genesis, &s->header, s->fork);
    coh_calls_set_env(m, &env);
    m->block       = s->header.number - 1;
    m->txs.cnt     = cnt;
    m->traced      = before.cnt;
    ask->u.call.at = s->tx_cnt != 0 ? s->receipts[0].to : s->header.coinbase;
    l->number      = s->header.number;
    l->hash        = s->hash;
    coh_rpc_post_run(call, l->run, step_list);
}

void coh_rpc_do_access_list(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    list_t *l        = coh_calloc(1, sizeof(*l));
    l->run           = coh_rpc_run_new(COH_CALL_ACCESSES);
    call->extra      = l;
    call->extra_free = free_list;
    COH_RPC_READ(coh_rpc_get_block, &l->run->at, call, params, 0);
    coh_rpc_with_block(rpc, call, &l->run->at, true, list_of_block);
}
