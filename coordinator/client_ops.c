/* What clients ask: the gateway's backend. Answers are made of committed state only: a block and its receipts are in the chain from the moment that its decision
   is durable, not before (P5). */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/node/disk_req.h"
#include "common/node/version.h"
#include "coordinator/coordinator_private.h"
#include "coordinator/decision_log.h"

#define STATE_GONE "the state of that block is not remembered any more"

/* A question whose answer is on disk: where the transaction is, then its block; or a block at once. One allocation with its request, so that whoever
   ends with the request in hand frees both. */
typedef struct {
    coh_disk_req_t req;
    uint64_t ticket;
    coh_op_id_t op;
    bool index_read; /* the read under way is of TX_INDEX */
    coh_hash_t hash; /* RECEIPT */
    uint64_t number;
    uint32_t tx_idx;
    /* Of the request under way. */
    uint8_t key[COH_DECISION_KEY_SZ];
    coh_bytes_t key_bytes;
    coh_err_t err;
    size_t len;
} coh_disk_query_t;

static void answer_block(coh_coordinator_t *c, uint64_t ticket, coh_sealed_t const *b)
{
    coh_hash_t *hashes = coh_calloc(b->tx_cnt, sizeof(*hashes));
    for (uint32_t i = 0; i < b->tx_cnt; i++) {
        hashes[i] = b->receipts[i].tx_hash;
    }
    coh_op_block_answer_t m = {
        .number = b->header.number,
        .hash   = b->hash,
        .header = coh_buf_bytes(&b->header_rlp),
        .txs    = {.v = hashes, .cnt = b->tx_cnt},
    };
    coh_gateway_answer_block(c->gateway, ticket, &m);
    free(hashes);
}

static void answer_block_receipts(coh_coordinator_t *c, uint64_t ticket, coh_sealed_t const *b)
{
    coh_op_block_receipts_answer_t m = {
        .number   = b->header.number,
        .hash     = b->hash,
        .receipts = {.v = b->receipts, .cnt = b->tx_cnt},
    };
    coh_gateway_answer_block_receipts(c->gateway, ticket, &m);
}

static void answer_state(coh_coordinator_t *c,
                         uint64_t ticket,
                         coh_op_tx_state_t state,
                         coh_tx_err_t verdict)
{
    coh_gateway_answer_receipt(
        c->gateway,
        ticket,
        &(coh_op_receipt_answer_t){.state = (uint32_t)state, .verdict = (uint32_t)verdict});
}

/* answer_from answers q from its block. */
static void answer_from(coh_coordinator_t *c,
                        uint64_t ticket,
                        coh_op_id_t op,
                        coh_hash_t const *hash,
                        uint32_t tx_idx,
                        coh_sealed_t const *b)
{
    if (op == COH_OP_BLOCK) {
        answer_block(c, ticket, b);
    } else if (op == COH_OP_BLOCK_RECEIPTS) {
        answer_block_receipts(c, ticket, b);
    } else if (tx_idx < b->tx_cnt && coh_hash_eq(&b->receipts[tx_idx].tx_hash, hash)) {
        coh_op_receipt_answer_t m = {.state    = COH_OP_TX_COMMITTED,
                                     .receipts = {.v = &b->receipts[tx_idx], .cnt = 1}};
        coh_gateway_answer_receipt(c->gateway, ticket, &m);
    } else {
        coh_gateway_refuse(c->gateway,
                           ticket,
                           COH_ECORRUPT,
                           "the transaction index names a block without the transaction");
    }
}

/* start_read reads what q asks for next: the index entry or the block. */
static void start_read(coh_coordinator_t *c, coh_disk_query_t *q)
{
    if (q->index_read) {
        q->key_bytes = coh_bytes(q->hash.b, sizeof(q->hash.b));
    } else {
        coh_decision_key(q->key, q->number);
        q->key_bytes = coh_bytes(q->key, sizeof(q->key));
    }
    coh_buf_t values    = q->req.values;
    coh_disk_req_t *req = &q->req;
    coh_buf_clear(&values);
    *req = (coh_disk_req_t){.kind = COH_DISK_READ, .values = values};
    coh_kv_batch_init(&req->batch);
    coh_kv_batch_init(&req->after);
    req->table   = q->index_read ? COH_KV_TX_INDEX : COH_KV_BLOCKS;
    req->key_cnt = 1;
    req->keys    = &q->key_bytes;
    req->errs    = &q->err;
    req->lens    = &q->len;
    req->tag     = COH_CO_DISK_QUERY;
    c->env->disk(c->env, req);
}

static void ask_disk(coh_coordinator_t *c, coh_disk_query_t const *question)
{
    if (c->disk_queries >= COH_DISK_QUERIES_MAX) {
        coh_gateway_refuse(
            c->gateway, question->ticket, COH_EBUSY, "busy: too many questions about old blocks");
        return;
    }
    c->disk_queries++;
    coh_disk_query_t *q = coh_calloc(1, sizeof(*q));
    *q                  = *question;
    start_read(c, q);
}

/* take_index goes on with the index entry that was read; true if its block is being read now. */
static bool take_index(coh_coordinator_t *c, coh_disk_query_t *q)
{
    if (q->err == COH_ENOTFOUND) {
        answer_state(c, q->ticket, COH_OP_TX_UNKNOWN, COH_TX_OK);
        return false;
    }
    if (q->req.values.n != COH_CHAIN_INDEX_SZ) {
        coh_gateway_refuse(
            c->gateway, q->ticket, COH_ECORRUPT, "damaged entry of the transaction index");
        return false;
    }
    q->index_read = false;
    q->number     = coh_load_u64_le(q->req.values.p);
    q->tx_idx     = coh_load_u32_le(q->req.values.p + 8);
    if (q->tx_idx == COH_CHAIN_IDX_BLOCK) {
        answer_state(c, q->ticket, COH_OP_TX_UNKNOWN, COH_TX_OK);
        return false;
    }
    coh_sealed_t const *b = coh_chain_block(c->chain, q->number);
    if (b != NULL) {
        answer_from(c, q->ticket, q->op, &q->hash, q->tx_idx, b);
        return false;
    }
    start_read(c, q);
    return true;
}

static void take_block(coh_coordinator_t *c, coh_disk_query_t const *q)
{
    coh_sealed_t *b;
    if (q->err == COH_ENOTFOUND) {
        coh_gateway_refuse(c->gateway, q->ticket, COH_ENOTFOUND, "no such block");
    } else if (coh_seal_restore(&b, coh_buf_bytes(&q->req.values)) != COH_OK) {
        coh_gateway_refuse(c->gateway, q->ticket, COH_ECORRUPT, "damaged decision record");
    } else {
        answer_from(c, q->ticket, q->op, &q->hash, q->tx_idx, b);
        coh_sealed_free(b);
    }
}

void coh_co_disk_query_done(coh_coordinator_t *c, coh_disk_req_t *req)
{
    coh_disk_query_t *q = (coh_disk_query_t *)(void *)req;
    _Static_assert(offsetof(coh_disk_query_t, req) == 0, "a query is found by its request");
    bool goes_on = false;
    if (req->err != COH_OK) {
        coh_gateway_refuse(c->gateway, q->ticket, req->err, NULL);
    } else if (q->index_read) {
        goes_on = take_index(c, q);
    } else {
        take_block(c, q);
    }
    if (!goes_on) {
        coh_disk_req_free(req);
        c->disk_queries--;
    }
}

/* ---- operations ---- */

static void on_submitted(void *arg,
                         uint64_t ticket,
                         coh_op_submit_answer_t const *answer,
                         coh_addr_t const *senders)
{
    (void)senders;
    coh_coordinator_t *c = arg;
    coh_gateway_answer_submit(c->gateway, ticket, answer);
}

static void op_submit(void *arg, uint64_t ticket, coh_op_submit_request_t const *req)
{
    coh_coordinator_t *c = arg;
    if (c->state < COH_CO_RUNNING) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, "the cluster is starting");
        return;
    }
    if (req->raws.cnt > c->config->client_batch_tx_max) {
        coh_gateway_refuse(c->gateway, ticket, COH_ETOOBIG, "too many transactions in one request");
        return;
    }
    coh_block_env_t next = coh_co_next_env(c);
    coh_admission_submit(c->admission, req, &next, on_submitted, c, ticket);
}

static void on_accounts(void *arg, coh_lookup_t *l)
{
    coh_coordinator_t *c       = arg;
    coh_op_account_t *accounts = coh_calloc(l->cnt, sizeof(*accounts));
    for (uint32_t i = 0; i < l->cnt; i++) {
        accounts[i] = (coh_op_account_t){.nonce = l->values[i].nonce, .balance = l->values[i].word};
    }
    coh_op_accounts_answer_t m = {.block = l->block, .accounts = {.v = accounts, .cnt = l->cnt}};
    coh_gateway_answer_accounts(c->gateway, l->tag, &m);
    free(accounts);
    coh_lookup_free(l);
}

static void op_accounts(void *arg, uint64_t ticket, coh_op_accounts_request_t const *req)
{
    coh_coordinator_t *c = arg;
    if (c->state != COH_CO_RUNNING && c->state != COH_CO_DRAINING) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, "the cluster is starting or stopping");
    } else if (req->addrs.cnt > c->config->client_batch_tx_max) {
        coh_gateway_refuse(c->gateway, ticket, COH_ETOOBIG, "too many accounts in one request");
    } else if (req->addrs.cnt == 0) {
        coh_gateway_answer_accounts(
            c->gateway, ticket, &(coh_op_accounts_answer_t){.block = coh_coordinator_head(c)});
    } else {
        coh_lookup_t *l = coh_lookup_new(&c->lookups, req->addrs.cnt, on_accounts, c);
        l->tag          = ticket;
        for (uint32_t i = 0; i < req->addrs.cnt; i++) {
            l->keys[i].addr = req->addrs.v[i];
        }
        coh_lookups_ask(&c->lookups, l, &c->recovery.dir, coh_co_outbox, c);
    }
}

static void on_state(void *arg, coh_lookup_t *l)
{
    coh_coordinator_t *c = arg;
    if (l->is_gone) {
        coh_gateway_refuse(c->gateway, l->tag, COH_ENOTFOUND, STATE_GONE);
    } else {
        coh_op_held_t *values = coh_calloc(l->cnt, sizeof(*values));
        for (uint32_t i = 0; i < l->cnt; i++) {
            coh_rec_state_value_t const *v = &l->values[i];
            values[i]                      = (coh_op_held_t){
                                     .nonce = v->nonce, .word = v->word, .code_hash = v->code_hash, .code = v->code};
        }
        coh_op_state_answer_t m = {.block = l->block, .values = {.v = values, .cnt = l->cnt}};
        coh_gateway_answer_state(c->gateway, l->tag, &m);
        free(values);
    }
    coh_lookup_free(l);
}

static void op_state(void *arg, uint64_t ticket, coh_op_state_request_t const *req)
{
    coh_coordinator_t *c = arg;
    uint64_t weight      = 0;
    uint64_t codes       = 0;
    bool known           = true;
    for (uint32_t i = 0; i < req->keys.cnt; i++) {
        uint32_t kind = req->keys.v[i].kind;
        weight += kind == COH_KEY_SLOT ? 2 : 1;
        codes += kind == COH_KEY_CODE;
        known = known && kind <= COH_KEY_CODE;
    }
    if (c->state != COH_CO_RUNNING && c->state != COH_CO_DRAINING) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, "the cluster is starting or stopping");
    } else if (!known) {
        coh_gateway_refuse(c->gateway, ticket, COH_EINVAL, "no such kind of state");
    } else if (weight > c->config->client_batch_tx_max || codes > COH_LOOKUP_CODES_MAX) {
        coh_gateway_refuse(c->gateway, ticket, COH_ETOOBIG, "too many keys in one request");
    } else if (req->block != COH_BLOCK_LATEST && req->block > coh_coordinator_head(c)) {
        coh_gateway_refuse(c->gateway, ticket, COH_ENOTFOUND, "no such block yet");
    } else if (req->keys.cnt == 0) {
        coh_op_state_answer_t m = {
            .block = req->block != COH_BLOCK_LATEST ? req->block : coh_coordinator_head(c)};
        coh_gateway_answer_state(c->gateway, ticket, &m);
    } else {
        coh_lookup_t *l = coh_lookup_new(&c->lookups, req->keys.cnt, on_state, c);
        l->tag          = ticket;
        l->wanted       = req->block;
        for (uint32_t i = 0; i < req->keys.cnt; i++) {
            coh_op_asked_t const *k = &req->keys.v[i];
            l->keys[i] = (coh_rec_key_t){.kind = k->kind, .addr = k->addr, .slot = k->slot};
        }
        coh_lookups_ask(&c->lookups, l, &c->recovery.dir, coh_co_outbox, c);
    }
}

static void on_call(void *arg, uint64_t ticket, uint64_t block, coh_msg_call_result_t const *r)
{
    coh_coordinator_t *c      = arg;
    coh_op_execute_answer_t m = {.block       = block,
                                 .err         = r->err,
                                 .verdict     = r->verdict,
                                 .status      = r->status,
                                 .gas_used    = r->gas_used,
                                 .gas         = r->gas,
                                 .output      = r->output,
                                 .logs        = r->logs,
                                 .created     = r->created,
                                 .access_list = r->access_list};
    coh_bytes_t *traces       = coh_calloc((size_t)r->traces.cnt + 1, sizeof(*traces));
    for (uint32_t i = 0; i < r->traces.cnt; i++) {
        traces[i] = r->traces.v[i].json;
    }
    m.traces.v   = traces;
    m.traces.cnt = r->traces.cnt;
    coh_gateway_answer_execute(c->gateway, ticket, &m);
    free(traces);
}

static void alter_env(coh_block_env_t *env, coh_op_execute_request_t const *req)
{
    uint32_t fields = req->env_fields;
    env->number     = (fields & COH_CALL_ENV_NUMBER) ? req->number : env->number;
    env->timestamp  = (fields & COH_CALL_ENV_TIMESTAMP) ? req->timestamp : env->timestamp;
    env->gas_limit  = (fields & COH_CALL_ENV_GAS_LIMIT) ? req->gas_limit : env->gas_limit;
    env->base_fee   = (fields & COH_CALL_ENV_BASE_FEE) ? req->base_fee : env->base_fee;
    env->blob_base_fee =
        (fields & COH_CALL_ENV_BLOB_BASE_FEE) ? req->blob_base_fee : env->blob_base_fee;
    env->prev_randao = (fields & COH_CALL_ENV_PREV_RANDAO) ? req->prev_randao : env->prev_randao;
    env->coinbase    = (fields & COH_CALL_ENV_COINBASE) ? req->coinbase : env->coinbase;
}

/* begin_call sends a call on block b to the shard that executes it. */
static coh_err_t begin_call(coh_coordinator_t *c,
                            uint64_t ticket,
                            coh_op_execute_request_t const *req,
                            coh_tx_t const *tx,
                            coh_sealed_t const *b)
{
    coh_block_env_t env = coh_calls_env(c->genesis, &b->header, b->fork);
    alter_env(&env, req);
    coh_rec_block_tx_t raw         = {.sender = req->from, .raw = req->tx};
    coh_rec_override_t *accounts   = coh_calloc((size_t)req->accounts.cnt + 1, sizeof(*accounts));
    coh_rec_override_slot_t *slots = coh_calloc((size_t)req->slots.cnt + 1, sizeof(*slots));
    for (uint32_t i = 0; i < req->accounts.cnt; i++) {
        coh_op_altered_t const *a = &req->accounts.v[i];
        accounts[i]               = (coh_rec_override_t){.addr    = a->addr,
                                                         .fields  = a->fields,
                                                         .nonce   = a->nonce,
                                                         .balance = a->balance,
                                                         .code    = a->code};
    }
    for (uint32_t i = 0; i < req->slots.cnt; i++) {
        coh_op_altered_slot_t const *s = &req->slots.v[i];
        slots[i] = (coh_rec_override_slot_t){.addr = s->addr, .slot = s->slot, .value = s->value};
    }
    coh_msg_call_t m = {.block       = b->header.number,
                        .mode        = req->mode,
                        .ratio       = req->ratio,
                        .tracer      = req->tracer,
                        .trace_flags = req->trace_flags,
                        .txs         = {.v = &raw, .cnt = 1},
                        .overrides   = {.v = accounts, .cnt = req->accounts.cnt},
                        .slots       = {.v = slots, .cnt = req->slots.cnt}};
    coh_calls_set_env(&m, &env);
    coh_err_t rc = coh_calls_begin(&c->calls, &m, tx, &req->from, on_call, c, ticket);
    free(accounts);
    free(slots);
    return rc;
}

static void op_execute(void *arg, uint64_t ticket, coh_op_execute_request_t const *req)
{
    coh_coordinator_t *c = arg;
    uint64_t head        = coh_coordinator_head(c);
    coh_tx_t tx;
    if (c->state != COH_CO_RUNNING) {
        coh_gateway_refuse(c->gateway, ticket, COH_EBUSY, "the cluster is starting or stopping");
    } else if (req->mode >= COH_CALL_TRACE_BLOCK || coh_tx_decode(&tx, req->tx) != COH_TX_OK) {
        coh_gateway_refuse(c->gateway, ticket, COH_EINVAL, "no such call");
    } else if (req->block != COH_BLOCK_LATEST && req->block > head) {
        coh_gateway_refuse(c->gateway, ticket, COH_ENOTFOUND, "no such block yet");
    } else {
        uint64_t block        = req->block != COH_BLOCK_LATEST ? req->block : head;
        coh_sealed_t const *b = coh_chain_block(c->chain, block);
        coh_err_t rc          = b != NULL ? begin_call(c, ticket, req, &tx, b) : COH_ENOTFOUND;
        if (rc != COH_OK) {
            coh_gateway_refuse(
                c->gateway, ticket, rc, rc == COH_ENOTFOUND ? STATE_GONE : "busy: too many calls");
        }
    }
}

static void ask_block(coh_coordinator_t *c, uint64_t ticket, coh_op_id_t op, uint64_t number)
{
    coh_sealed_t const *b = coh_chain_block(c->chain, number);
    if (b != NULL) {
        answer_from(c, ticket, op, NULL, 0, b);
    } else if (number > coh_coordinator_head(c)) {
        coh_gateway_refuse(c->gateway, ticket, COH_ENOTFOUND, "no such block yet");
    } else {
        ask_disk(c, &(coh_disk_query_t){.ticket = ticket, .op = op, .number = number});
    }
}

static void op_block(void *arg, uint64_t ticket, coh_op_block_request_t const *req)
{
    ask_block(arg, ticket, COH_OP_BLOCK, req->number);
}

static void op_block_receipts(void *arg,
                              uint64_t ticket,
                              coh_op_block_receipts_request_t const *req)
{
    ask_block(arg, ticket, COH_OP_BLOCK_RECEIPTS, req->number);
}

static void op_receipt(void *arg, uint64_t ticket, coh_op_receipt_request_t const *req)
{
    coh_coordinator_t *c = arg;
    uint64_t number;
    uint32_t idx;
    coh_tx_err_t verdict;
    if (coh_chain_find(c->chain, &req->hash, &number, &idx)) {
        coh_sealed_t const *b = coh_chain_block(c->chain, number);
        if (b != NULL) {
            answer_from(c, ticket, COH_OP_RECEIPT, &req->hash, idx, b);
        } else {
            ask_disk(c,
                     &(coh_disk_query_t){.ticket = ticket,
                                         .op     = COH_OP_RECEIPT,
                                         .hash   = req->hash,
                                         .number = number,
                                         .tx_idx = idx});
        }
    } else if (coh_pool_has(c->pool, &req->hash)) {
        answer_state(c, ticket, COH_OP_TX_PENDING, COH_TX_OK);
    } else if (coh_chain_dropped(c->chain, &req->hash, &verdict)) {
        answer_state(c, ticket, COH_OP_TX_DROPPED, verdict);
    } else {
        ask_disk(
            c,
            &(coh_disk_query_t){
                .ticket = ticket, .op = COH_OP_RECEIPT, .hash = req->hash, .index_read = true});
    }
}

static void op_get_proof(void *arg, uint64_t ticket, coh_op_get_proof_request_t const *req)
{
    coh_co_get_proof(arg, ticket, req);
}

static void op_head(void *arg, uint64_t ticket, coh_op_head_request_t const *req)
{
    (void)req;
    coh_coordinator_t *c     = arg;
    coh_sealed_t const *head = coh_chain_head(c->chain);
    coh_block_env_t next     = coh_co_next_env(c);
    coh_op_head_answer_t m   = {
          .number    = head->header.number,
          .hash      = head->hash,
          .timestamp = head->header.timestamp,
          .chain_id  = c->genesis->chain_id,
          .base_fee  = next.base_fee,
          .gas_limit = next.gas_limit,
          .max_batch = (uint32_t)c->config->client_batch_tx_max,
    };
    coh_gateway_answer_head(c->gateway, ticket, &m);
}

static void op_status(void *arg, uint64_t ticket, coh_op_status_request_t const *req)
{
    (void)req;
    coh_coordinator_t *c = arg;
    coh_buf_t json       = COH_BUF_INIT;
    coh_coordinator_status_json(c, &json);
    coh_gateway_answer_status(
        c->gateway, ticket, &(coh_op_status_answer_t){.json = coh_buf_bytes(&json)});
    coh_buf_free(&json);
}

static void op_backup(void *arg, uint64_t ticket, coh_op_backup_request_t const *req)
{
    coh_co_backup(arg, ticket, req);
}

static void op_backup_state(void *arg, uint64_t ticket, coh_op_backup_state_request_t const *req)
{
    coh_co_backup_state(arg, ticket, req);
}

coh_gateway_backend_t const coh_co_backend = {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) .op = op_##op,
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
};

/* ---- status ---- */

static void put_quantiles(coh_buf_t *out,
                          coh_metrics_t const *m,
                          char const *name,
                          coh_metric_id_t id,
                          char const *sep)
{
    coh_buf_printf(out,
                   "%s\"%s\":{\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 "}",
                   sep,
                   name,
                   coh_metric_quantile(m, id, 0.5),
                   coh_metric_quantile(m, id, 0.99));
}

static void put_rank(coh_buf_t *out,
                     uint32_t rank,
                     char const *role,
                     uint64_t at_us,
                     coh_metrics_t const *own,
                     uint64_t const *figures)
{
    coh_buf_printf(out,
                   "%s{\"rank\":%u,\"role\":\"%s\",\"at_us\":%" PRIu64 ",\"metrics\":{",
                   rank == 0 ? "" : ",",
                   rank,
                   role,
                   at_us);
    for (unsigned i = 0; i < COH_METRIC_CNT; i++) {
        uint64_t v = own != NULL       ? coh_metric_get(own, (coh_metric_id_t)i)
                     : figures != NULL ? figures[i]
                                       : 0;
        coh_buf_printf(
            out, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",", coh_metric_name((coh_metric_id_t)i), v);
    }
    coh_buf_printf(out, "}}");
}

static uint64_t own_metric(coh_coordinator_t const *c, coh_metric_id_t id)
{
    return c->metrics != NULL ? coh_metric_get(c->metrics, id) : 0;
}

void coh_coordinator_status_json(coh_coordinator_t *c, coh_buf_t *out)
{
    static char const *const states[] = {
        "waiting", "recovering", "running", "draining", "stopping", "stopped", "failed"};
    static char const *const rounds[] = {"none", "draining", "preparing", "deciding", "ending"};
    coh_sealed_t const *head          = coh_chain_head(c->chain);
    coh_block_env_t next              = coh_co_next_env(c);
    char genesis[65];
    char hash[65];
    char base_fee[COH_U256_DEC_SZ];
    char burnt[COH_U256_DEC_SZ];
    coh_hex_encode(genesis, c->genesis->hash.b, 32);
    coh_hex_encode(hash, head->hash.b, 32);
    coh_u256_to_dec(base_fee, &next.base_fee);
    coh_u256_to_dec(burnt, &head->burnt_total);
    uint64_t now_us       = c->env->mono_us(c->env) - c->started_us;
    uint64_t retractions  = 0;
    uint64_t incarnations = 0;
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        retractions += c->peers[s].stats[COH_M_mvstore_retraction];
        incarnations += c->peers[s].stats[COH_M_executor_incarnation];
    }
    coh_buf_printf(out,
                   "{\"version\":\"" COH_VERSION "\",\"chain_id\":%" PRIu64
                   ",\"genesis\":\"0x%s\",\"state\":\"%s\"",
                   c->genesis->chain_id,
                   genesis,
                   states[c->state]);
    coh_buf_printf(out,
                   ",\"head\":{\"number\":%" PRIu64 ",\"hash\":\"0x%s\",\"timestamp\":%" PRIu64 "}",
                   head->header.number,
                   hash,
                   head->header.timestamp);
    coh_buf_printf(out, ",\"base_fee\":\"%s\",\"gas_limit\":%" PRIu64, base_fee, next.gas_limit);
    coh_buf_printf(out,
                   ",\"pool\":{\"tx\":%zu,\"ready\":%zu,\"senders\":%zu,\"tx_max\":%" PRIu64 "}",
                   coh_pool_tx_cnt(c->pool),
                   coh_pool_ready_cnt(c->pool),
                   coh_pool_sender_cnt(c->pool),
                   c->config->pool_tx_max);
    coh_buf_printf(out,
                   ",\"inflight_blocks\":%" PRIu64 ",\"uptime_s\":%" PRIu64
                   ",\"uptime_us\":%" PRIu64,
                   c->commit.next - c->commit.undecided,
                   now_us / 1000000,
                   now_us);
    coh_buf_printf(out,
                   ",\"totals\":{\"tx\":%" PRIu64 ",\"tx_cross\":%" PRIu64 ",\"gas\":%" PRIu64
                   ",\"blocks\":%" PRIu64 ",\"aborted\":%" PRIu64 ",\"dropped\":%" PRIu64
                   ",\"retractions\":%" PRIu64 ",\"incarnations\":%" PRIu64 ",\"burnt\":\"%s\"}",
                   own_metric(c, COH_M_chain_tx),
                   own_metric(c, COH_M_chain_tx_cross),
                   own_metric(c, COH_M_chain_gas),
                   own_metric(c, COH_M_chain_block),
                   own_metric(c, COH_M_chain_block_aborted),
                   own_metric(c, COH_M_pool_tx_dropped),
                   retractions,
                   incarnations,
                   burnt);
    coh_buf_printf(out,
                   ",\"placement\":{\"epoch\":%" PRIu64 ",\"overrides\":%u,\"moves\":%" PRIu64
                   ",\"refused\":%" PRIu64 ",\"round\":\"%s\",\"learns\":%s,\"across\":%" PRIu64
                   ",\"across_before\":%" PRIu64 "}",
                   c->recovery.dir.epoch,
                   c->recovery.dir.override_cnt,
                   own_metric(c, COH_M_placement_moves),
                   own_metric(c, COH_M_placement_round_refused),
                   rounds[c->moves.state],
                   c->affinity != NULL ? "true" : "false",
                   own_metric(c, COH_M_placement_across),
                   own_metric(c, COH_M_placement_across_before));
    coh_buf_printf(out, ",\"latency_us\":{");
    if (c->metrics != NULL) {
        put_quantiles(out, c->metrics, "settle", COH_M_chain_settle_latency, "");
        put_quantiles(out, c->metrics, "prepare", COH_M_chain_prepare_latency, ",");
        put_quantiles(out, c->metrics, "decide", COH_M_chain_decide_latency, ",");
        put_quantiles(out, c->metrics, "commit", COH_M_chain_commit_latency, ",");
        put_quantiles(out, c->metrics, "tx", COH_M_chain_tx_latency, ",");
    }
    coh_buf_printf(out, "},");
    coh_block_stats_recent_json(c->block_stats, out);
    coh_buf_printf(out, ",\"ranks\":[");
    put_rank(out, 0, "coordinator", now_us, c->metrics, NULL);
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        coh_peer_t const *peer = &c->peers[s];
        put_rank(out,
                 s + 1,
                 "shard",
                 peer->has_stats ? peer->stats_us - c->started_us : 0,
                 NULL,
                 peer->has_stats ? peer->stats : NULL);
    }
    coh_buf_printf(out, "]}");
}
