/* Asks of the JSON-RPC face (ask.h). Like client_ops.c it answers from committed state only. */
#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/node/disk_req.h"
#include "coordinator/coordinator_private.h"
#include "coordinator/decision_log.h"

/* A read under way for an ask: one allocation with its arrays, so that whoever ends with the request in hand frees all. The request comes first: a read is
   found by it. */
typedef struct {
    coh_disk_req_t req;
    coh_ask_t *ask; /* NULL: it was answered meanwhile */
    bool is_index;  /* of TX_INDEX; else of BLOCKS or HEADERS */
    uint32_t cnt;
    coh_bytes_t *key_bytes; /* cnt, as the next */
    size_t *lens;
    uint8_t (*keys)[COH_DECISION_KEY_SZ];
    coh_err_t *errs;
    uint32_t *places; /* of each header in the ask */
} read_t;

/* ---- asks ---- */

static coh_bytes_t keep(coh_buf_t *bytes, coh_bytes_t in)
{
    uint8_t *p = coh_buf_extend(bytes, in.n); /* reserved: does not move */
    if (in.n != 0) {
        memcpy(p, in.p, in.n);
    }
    return coh_bytes(p, in.n);
}

coh_ask_t *coh_ask_new(coh_ask_kind_t kind)
{
    coh_ask_t *ask = coh_calloc(1, sizeof(*ask));
    ask->kind      = kind;
    return ask;
}

void coh_ask_free(coh_ask_t *ask)
{
    if (ask == NULL) {
        return;
    }
    switch (ask->kind) {
    case COH_ASK_SUBMIT:
        free(ask->u.submit.raws);
        free(ask->u.submit.owners);
        free(ask->u.submit.verdicts);
        break;
    case COH_ASK_STATE:
        for (uint32_t i = 0; ask->u.state.values != NULL && i < ask->u.state.cnt; i++) {
            free((void *)(uintptr_t)ask->u.state.values[i].code.p);
        }
        free(ask->u.state.keys);
        free(ask->u.state.values);
        break;
    case COH_ASK_PROOF:
        free(ask->u.proof.slots);
        free(ask->u.proof.is_word);
        free(ask->u.proof.storage);
        break;
    case COH_ASK_CALL:
        free(ask->u.call.txs);
        free(ask->u.call.overrides);
        free(ask->u.call.slots);
        free(ask->u.call.traces);
        free(ask->u.call.moves);
        free(ask->u.call.results);
        coh_buf_free(&ask->u.call.given);
        coh_buf_free(&ask->u.call.hashes);
        coh_sim_state_free(&ask->u.call.before);
        coh_sim_state_free(&ask->u.call.after);
        break;
    case COH_ASK_ROOT:
        free(ask->u.root.accounts);
        free(ask->u.root.slots);
        break;
    case COH_ASK_BLOCK: coh_sealed_free(ask->u.block.sealed); break;
    case COH_ASK_TX: coh_sealed_free(ask->u.tx.sealed); break;
    case COH_ASK_HEADERS: free(ask->u.headers.headers); break;
    case COH_ASK_POOL: free(ask->u.pool.txs); break;
    case COH_ASK_SHARDS:
    case COH_ASK_STATS:
    case COH_ASK_DEV: break;
    }
    coh_buf_free(&ask->bytes);
    if (ask->record_cnt != NULL) {
        /* A count only: what it stands for was freed by this thread. */
        atomic_fetch_sub_explicit(ask->record_cnt, 1, memory_order_relaxed);
    }
    free(ask);
}

void coh_sim_state_free(coh_sim_state_t *state)
{
    free(state->accounts);
    free(state->slots);
    free(state->codes);
    coh_buf_free(&state->bytes);
    *state = (coh_sim_state_t){0};
}

static void *copy_of(void const *p, size_t cnt, size_t elem)
{
    void *copy = coh_calloc(cnt + 1, elem);
    return cnt == 0 ? copy : memcpy(copy, p, cnt * elem);
}

void coh_sim_state_set(coh_sim_state_t *state, coh_msg_call_result_t const *r)
{
    size_t bytes = 1;
    coh_sim_state_free(state);
    state->account_cnt = r->accounts.cnt;
    state->slot_cnt    = r->storage.cnt;
    state->code_cnt    = r->codes.cnt;
    state->accounts    = copy_of(r->accounts.v, r->accounts.cnt, sizeof(*state->accounts));
    state->slots       = copy_of(r->storage.v, r->storage.cnt, sizeof(*state->slots));
    state->codes       = coh_calloc((size_t)r->codes.cnt + 1, sizeof(*state->codes));
    for (uint32_t i = 0; i < r->codes.cnt; i++) {
        bytes += r->codes.v[i].code.n;
    }
    coh_buf_grow(&state->bytes, bytes);
    for (uint32_t i = 0; i < r->codes.cnt; i++) {
        state->codes[i].code = keep(&state->bytes, r->codes.v[i].code);
    }
}

void coh_ask_submit_add(coh_ask_t *ask, coh_bytes_t raw, void *owner)
{
    COH_ASSERT(ask->kind == COH_ASK_SUBMIT);
    uint32_t i = ask->u.submit.cnt++;
    if (i == ask->u.submit.cap) {
        ask->u.submit.cap = i == 0 ? 8 : i * 2;
        ask->u.submit.raws =
            coh_realloc(ask->u.submit.raws, ask->u.submit.cap * sizeof(*ask->u.submit.raws));
        ask->u.submit.owners =
            coh_realloc(ask->u.submit.owners, ask->u.submit.cap * sizeof(*ask->u.submit.owners));
    }
    ask->u.submit.raws[i]   = (coh_ask_part_t){.at = ask->bytes.n, .n = raw.n};
    ask->u.submit.owners[i] = owner;
    coh_buf_put(&ask->bytes, raw.p, raw.n);
}

/* answer gives ask back to its asker. */
static void answer(coh_coordinator_t *c, coh_ask_t *ask, coh_err_t err)
{
    if (ask->prev_open != NULL) {
        ask->prev_open->next_open = ask->next_open;
    } else {
        c->asks.open = ask->next_open;
    }
    if (ask->next_open != NULL) {
        ask->next_open->prev_open = ask->prev_open;
    }
    ask->err  = err;
    ask->next = NULL;
    c->asks.asker.done(c->asks.asker.arg, ask);
}

void coh_co_answer(coh_coordinator_t *c, coh_ask_t *ask, coh_err_t err) { answer(c, ask, err); }

/* ---- reading ---- */

/* start_read reads keys, already set, of a table. */
static void start_read(coh_coordinator_t *c, coh_ask_t *ask, read_t *r, coh_kv_table_t table)
{
    r->ask      = ask;
    r->is_index = table == COH_KV_TX_INDEX;
    r->req      = (coh_disk_req_t){
             .kind    = COH_DISK_READ,
             .table   = table,
             .key_cnt = r->cnt,
             .keys    = r->key_bytes,
             .errs    = r->errs,
             .lens    = r->lens,
             .tag     = COH_CO_DISK_ASK,
    };
    coh_kv_batch_init(&r->req.batch);
    coh_kv_batch_init(&r->req.after);
    ask->read = r;
    c->env->disk(c->env, &r->req);
}

static read_t *new_read(uint32_t cnt)
{
    size_t each = sizeof(coh_bytes_t) + sizeof(size_t) + COH_DECISION_KEY_SZ + sizeof(coh_err_t) +
                  sizeof(uint32_t);
    read_t *r    = coh_calloc(1, sizeof(*r) + cnt * each);
    r->cnt       = cnt;
    r->key_bytes = (coh_bytes_t *)(r + 1); /* by falling alignment */
    r->lens      = (size_t *)(r->key_bytes + cnt);
    r->keys      = (uint8_t(*)[COH_DECISION_KEY_SZ])(r->lens + cnt);
    r->errs      = (coh_err_t *)(void *)(r->keys + cnt);
    r->places    = (uint32_t *)(void *)(r->errs + cnt);
    return r;
}

static void set_number(read_t *r, uint32_t i, uint64_t number)
{
    coh_decision_key(r->keys[i], number);
    r->key_bytes[i] = coh_bytes(r->keys[i], sizeof(r->keys[i]));
}

static void read_index(coh_coordinator_t *c, coh_ask_t *ask, coh_hash_t const *hash)
{
    read_t *r       = new_read(1);
    r->key_bytes[0] = coh_bytes(hash->b, sizeof(hash->b));
    start_read(c, ask, r, COH_KV_TX_INDEX);
}

/* go_on starts the reading of records whose turn has come. */
static void go_on(coh_coordinator_t *c)
{
    coh_asks_t *asks      = &c->asks;
    _Atomic uint32_t *cnt = asks->asker.record_cnt;
    while (asks->waiting_first != NULL &&
           atomic_load_explicit(cnt, memory_order_relaxed) < COH_ASK_RECORDS_MAX) {
        coh_ask_t *ask      = asks->waiting_first;
        asks->waiting_first = ask->next_waiting;
        atomic_fetch_add_explicit(cnt, 1, memory_order_relaxed);
        ask->record_cnt = cnt;
        read_t *r       = new_read(1);
        set_number(r, 0, ask->u.block.number);
        start_read(c, ask, r, COH_KV_BLOCKS);
    }
}

static void read_record(coh_coordinator_t *c, coh_ask_t *ask)
{
    ask->next_waiting = NULL;
    if (c->asks.waiting_first == NULL) {
        c->asks.waiting_first = ask;
    } else {
        c->asks.waiting_last->next_waiting = ask;
    }
    c->asks.waiting_last = ask;
    go_on(c);
}

/* ---- blocks ---- */

/* in_memory: a block that needs no reading; borrowed. */
static coh_sealed_t const *in_memory(coh_coordinator_t const *c, uint64_t number)
{
    return number == c->genesis->number ? c->genesis_block : coh_chain_block(c->chain, number);
}

static void block_of_number(coh_coordinator_t *c, coh_ask_t *ask)
{
    uint64_t number       = ask->u.block.number;
    coh_sealed_t const *b = in_memory(c, number);
    if (number < c->genesis->number || number > coh_coordinator_head(c)) {
        answer(c, ask, COH_ENOTFOUND);
    } else if (b != NULL && (!ask->u.block.want_record || b->tx_cnt == 0)) {
        ask->u.block.sealed = coh_sealed_ref(b);
        answer(c, ask, COH_OK);
    } else {
        read_record(c, ask);
    }
}

static void ask_block(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_hash_t const *hash = &ask->u.block.hash;
    if (!ask->u.block.by_hash) {
        block_of_number(c, ask);
    } else if (coh_hash_eq(hash, &c->genesis_block->hash)) {
        ask->u.block.number = c->genesis->number;
        block_of_number(c, ask);
    } else if (coh_chain_find_block(c->chain, hash, &ask->u.block.number)) {
        block_of_number(c, ask);
    } else {
        read_index(c, ask, hash);
    }
}

static void ask_tx(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_hash_t const *hash = &ask->u.tx.hash;
    coh_pool_tx_t const *pooled;
    if (coh_chain_find(c->chain, hash, &ask->u.tx.number, &ask->u.tx.idx)) {
        coh_sealed_t const *b = coh_chain_block(c->chain, ask->u.tx.number);
        ask->u.tx.state       = COH_ASK_TX_COMMITTED;
        ask->u.tx.sealed      = b != NULL ? coh_sealed_ref(b) : NULL;
        answer(c, ask, COH_OK);
    } else if ((pooled = coh_pool_find(c->pool, hash)) != NULL) {
        ask->u.tx.state  = COH_ASK_TX_PENDING;
        ask->u.tx.sender = pooled->sender;
        coh_buf_put(&ask->bytes, pooled->tx.raw.p, pooled->tx.raw.n);
        answer(c, ask, COH_OK);
    } else if (coh_chain_dropped(c->chain, hash, &ask->u.tx.verdict)) {
        ask->u.tx.state = COH_ASK_TX_DROPPED;
        answer(c, ask, COH_OK);
    } else {
        read_index(c, ask, hash);
    }
}

static void put_header(coh_ask_t *ask, uint32_t i, coh_hash_t const *hash, coh_bytes_t rlp)
{
    ask->u.headers.headers[i] =
        (coh_ask_header_t){.found = true, .hash = *hash, .rlp = {.at = ask->bytes.n, .n = rlp.n}};
    coh_buf_put(&ask->bytes, rlp.p, rlp.n);
}

static void ask_headers(coh_coordinator_t *c, coh_ask_t *ask)
{
    uint32_t cnt     = ask->u.headers.cnt;
    uint64_t first   = ask->u.headers.first;
    uint32_t missing = 0;
    uint32_t places[COH_ASK_HEADERS_MAX];
    COH_ASSERT(cnt > 0 && cnt <= COH_ASK_HEADERS_MAX);
    ask->u.headers.headers = coh_calloc(cnt, sizeof(*ask->u.headers.headers));
    for (uint32_t i = 0; i < cnt; i++) {
        coh_sealed_t const *b = in_memory(c, first + i);
        if (b != NULL) {
            put_header(ask, i, &b->hash, coh_buf_bytes(&b->header_rlp));
        } else if (first + i <= coh_coordinator_head(c)) {
            places[missing++] = i; /* what the disk has above is of a dev chain that went back */
        }
    }
    if (missing == 0) {
        answer(c, ask, COH_OK);
        return;
    }
    read_t *r = new_read(missing);
    memcpy(r->places, places, missing * sizeof(*places));
    for (uint32_t i = 0; i < missing; i++) {
        set_number(r, i, first + places[i]);
    }
    start_read(c, ask, r, COH_KV_HEADERS);
}

static void take_headers(coh_coordinator_t *c, coh_ask_t *ask, read_t *r)
{
    uint8_t const *at = r->req.values.p;
    for (uint32_t i = 0; i < r->cnt; i++) {
        if (r->req.errs[i] != COH_OK) {
            continue;
        }
        size_t n = r->req.lens[i];
        if (n <= sizeof(coh_hash_t)) {
            answer(c, ask, COH_ECORRUPT);
            return;
        }
        coh_hash_t hash;
        memcpy(hash.b, at, sizeof(hash.b));
        put_header(ask, r->places[i], &hash, coh_bytes(at + sizeof(hash.b), n - sizeof(hash.b)));
        at += n;
    }
    answer(c, ask, COH_OK);
}

/* take_index goes on with an entry of the index. */
static void take_index(coh_coordinator_t *c, coh_ask_t *ask, read_t const *r)
{
    bool found = r->req.errs[0] == COH_OK;
    if (found && r->req.values.n != COH_CHAIN_INDEX_SZ) {
        answer(c, ask, COH_ECORRUPT);
        return;
    }
    uint64_t number = found ? coh_load_u64_le(r->req.values.p) : 0;
    uint32_t idx    = found ? coh_load_u32_le(r->req.values.p + 8) : 0;
    found           = found && number != COH_CHAIN_GONE;
    if (ask->kind == COH_ASK_BLOCK) {
        ask->u.block.number = number;
        if (found && idx == COH_CHAIN_IDX_BLOCK) {
            block_of_number(c, ask);
        } else {
            answer(c, ask, COH_ENOTFOUND);
        }
        return;
    }
    if (found && idx != COH_CHAIN_IDX_BLOCK) {
        coh_sealed_t const *b = coh_chain_block(c->chain, number);
        ask->u.tx.state       = COH_ASK_TX_COMMITTED;
        ask->u.tx.number      = number;
        ask->u.tx.idx         = idx;
        ask->u.tx.sealed      = b != NULL ? coh_sealed_ref(b) : NULL;
    }
    answer(c, ask, COH_OK);
}

void coh_co_disk_ask_done(coh_coordinator_t *c, coh_disk_req_t *req)
{
    _Static_assert(offsetof(read_t, req) == 0, "a read is found by its request");
    read_t *r      = (read_t *)(void *)req;
    coh_ask_t *ask = r->ask;
    if (ask != NULL) {
        ask->read = NULL;
        if (req->err != COH_OK) {
            answer(c, ask, req->err);
        } else if (r->is_index) {
            take_index(c, ask, r);
        } else if (ask->kind == COH_ASK_HEADERS) {
            take_headers(c, ask, r);
        } else if (req->errs[0] != COH_OK) {
            answer(c, ask, COH_ENOTFOUND);
        } else {
            ask->bytes  = req->values;
            req->values = COH_BUF_INIT;
            answer(c, ask, COH_OK);
        }
    }
    coh_disk_req_free(req);
}

/* ---- transactions and state ---- */

static void on_submitted(void *arg,
                         uint64_t tag,
                         coh_op_submit_answer_t const *got,
                         coh_addr_t const *senders)
{
    coh_coordinator_t *c = arg;
    coh_ask_t *ask       = (coh_ask_t *)(uintptr_t)tag;
    for (uint32_t i = 0; i < got->txs.cnt; i++) {
        coh_ask_verdict_t *v = &ask->u.submit.verdicts[i];
        uint64_t committed;
        v->err  = (coh_tx_err_t)got->txs.v[i].err;
        v->hash = got->txs.v[i].hash;
        if (v->err == COH_TX_NONCE_TOO_LOW || v->err == COH_TX_FUNDS) {
            v->has_account =
                coh_pool_account(c->pool, &senders[i], &committed, &v->nonce, &v->balance);
        }
    }
    answer(c, ask, COH_OK);
}

static void ask_submit(coh_coordinator_t *c, coh_ask_t *ask)
{
    uint32_t cnt           = ask->u.submit.cnt;
    coh_bytes_t *raws      = coh_calloc(cnt, sizeof(*raws));
    ask->u.submit.verdicts = coh_calloc(cnt, sizeof(*ask->u.submit.verdicts));
    for (uint32_t i = 0; i < cnt; i++) {
        raws[i] = coh_bytes(ask->bytes.p + ask->u.submit.raws[i].at, ask->u.submit.raws[i].n);
    }
    coh_op_submit_request_t req = {.raws = {.v = raws, .cnt = cnt}};
    coh_block_env_t next        = coh_co_next_env(c);
    coh_admission_submit(c->admission, &req, &next, on_submitted, c, (uint64_t)(uintptr_t)ask);
    free(raws);
}

static void on_state(void *arg, coh_lookup_t *l)
{
    coh_coordinator_t *c = arg;
    coh_ask_t *ask       = (coh_ask_t *)(uintptr_t)l->tag;
    if (l->is_gone) {
        coh_lookup_free(l);
        answer(c, ask, COH_ENOTFOUND);
        return;
    }
    ask->u.state.block  = l->block;
    ask->u.state.values = l->values;
    l->values           = coh_calloc(l->cnt, sizeof(*l->values)); /* the codes went along */
    for (uint32_t i = 0; ask->u.state.pending && i < l->cnt; i++) {
        uint64_t committed;
        uint64_t next;
        coh_u256_t balance;
        if (ask->u.state.keys[i].kind == COH_KEY_ACCOUNT &&
            coh_pool_account(c->pool, &ask->u.state.keys[i].addr, &committed, &next, &balance)) {
            ask->u.state.values[i].nonce = COH_MAX(ask->u.state.values[i].nonce, next);
        }
    }
    coh_lookup_free(l);
    answer(c, ask, COH_OK);
}

static void ask_state(coh_coordinator_t *c, coh_ask_t *ask)
{
    uint32_t cnt    = ask->u.state.cnt;
    coh_lookup_t *l = coh_lookup_new(&c->lookups, cnt, on_state, c);
    l->tag          = (uint64_t)(uintptr_t)ask;
    l->wanted       = ask->u.state.block;
    for (uint32_t i = 0; i < cnt; i++) {
        coh_key_t const *key = &ask->u.state.keys[i];
        l->keys[i] = (coh_rec_key_t){.kind = key->kind, .addr = key->addr, .slot = key->slot};
    }
    coh_lookups_ask(&c->lookups, l, &c->recovery.dir, coh_co_outbox, c);
}

/* ---- calls and proofs ---- */

static void keep_simulated(coh_ask_t *ask, coh_msg_call_result_t const *r)
{
    coh_sim_state_set(&ask->u.call.after, r);
    ask->u.call.results = copy_of(r->results.v, r->results.cnt, sizeof(*ask->u.call.results));
    for (uint32_t i = 0; i < r->results.cnt; i++) {
        coh_rec_sim_result_t *to = &ask->u.call.results[i];
        to->output               = keep(&ask->bytes, to->output);
        to->logs                 = keep(&ask->bytes, to->logs);
        to->shown                = keep(&ask->bytes, to->shown);
    }
    ask->u.call.result.results.v    = ask->u.call.results;
    ask->u.call.result.accounts.cnt = 0; /* what came with them is in after */
    ask->u.call.result.storage.cnt  = 0;
    ask->u.call.result.codes.cnt    = 0;
}

static void on_call(void *arg, uint64_t tag, uint64_t block, coh_msg_call_result_t const *r)
{
    (void)block;
    coh_ask_t *ask            = (coh_ask_t *)(uintptr_t)tag;
    coh_msg_call_result_t *to = &ask->u.call.result;
    size_t bytes              = 1 + r->output.n + r->logs.n + r->access_list.n;
    for (uint32_t i = 0; i < r->traces.cnt; i++) {
        bytes += r->traces.v[i].json.n;
    }
    for (uint32_t i = 0; i < r->results.cnt; i++) {
        bytes += r->results.v[i].output.n + r->results.v[i].logs.n + r->results.v[i].shown.n;
    }
    coh_buf_clear(&ask->bytes);
    coh_buf_grow(&ask->bytes, bytes);
    *to                = *r;
    to->output         = keep(&ask->bytes, r->output);
    to->logs           = keep(&ask->bytes, r->logs);
    to->access_list    = keep(&ask->bytes, r->access_list);
    ask->u.call.traces = coh_calloc((size_t)r->traces.cnt + 1, sizeof(*ask->u.call.traces));
    for (uint32_t i = 0; i < r->traces.cnt; i++) {
        ask->u.call.traces[i].json = keep(&ask->bytes, r->traces.v[i].json);
    }
    to->traces.v = ask->u.call.traces;
    if (ask->u.call.m.mode == COH_CALL_SIMULATE) {
        keep_simulated(ask, r);
    }
    answer(arg, ask, COH_OK);
}

static void ask_call(coh_coordinator_t *c, coh_ask_t *ask)
{
    coh_rec_block_tx_t const *t = &ask->u.call.txs[ask->u.call.place];
    bool has_home =
        ask->u.call.m.mode == COH_CALL_SIMULATE || ask->u.call.m.mode == COH_CALL_ACCESSES;
    coh_tx_t tx        = {.to = ask->u.call.at};
    coh_err_t err      = COH_EINVAL;
    coh_call_err_t why = COH_CALL_INVALID;
    if (has_home || coh_tx_decode_mined(&tx, t->raw) == COH_TX_OK) {
        err = coh_calls_begin(&c->calls,
                              &ask->u.call.m,
                              &tx,
                              has_home ? &tx.to : &t->sender,
                              on_call,
                              c,
                              (uint64_t)(uintptr_t)ask);
        why = err == COH_EBUSY ? COH_CALL_BUSY : COH_CALL_CLOSED;
    }
    if (err != COH_OK) {
        ask->u.call.result.err = (uint32_t)why;
        answer(c, ask, COH_OK);
    }
}

void coh_co_supposed_for_ask(coh_coordinator_t *c, coh_ask_t *ask, coh_err_t err)
{
    answer(c, ask, err);
}

void coh_co_proved_for_ask(coh_coordinator_t *c,
                           coh_ask_t *ask,
                           coh_err_t err,
                           coh_op_get_proof_answer_t const *got)
{
    if (err == COH_OK) {
        size_t bytes = 1 + got->nodes.n;
        for (uint32_t i = 0; i < got->slots.cnt; i++) {
            bytes += got->slots.v[i].nodes.n;
        }
        coh_buf_grow(&ask->bytes, bytes);
        coh_op_get_proof_answer_t *is = &ask->u.proof.is;
        ask->u.proof.storage =
            coh_calloc((size_t)got->slots.cnt + 1, sizeof(*ask->u.proof.storage));
        *is       = *got;
        is->nodes = keep(&ask->bytes, got->nodes);
        for (uint32_t i = 0; i < got->slots.cnt; i++) {
            ask->u.proof.storage[i]       = got->slots.v[i];
            ask->u.proof.storage[i].nodes = keep(&ask->bytes, got->slots.v[i].nodes);
        }
        is->slots.v = ask->u.proof.storage;
    }
    answer(c, ask, err);
}

/* ---- the pool ---- */

static bool visit_pooled(void *arg, coh_pool_tx_t const *tx, bool is_ready)
{
    coh_ask_t *ask = arg;
    (*(is_ready ? &ask->u.pool.pending_cnt : &ask->u.pool.queued_cnt))++;
    if (ask->u.pool.cnt == ask->u.pool.max || ask->bytes.n + tx->tx.raw.n > ask->u.pool.bytes_max) {
        ask->u.pool.is_cut = true;
        return ask->u.pool.one_sender;
    }
    ask->u.pool.txs[ask->u.pool.cnt++] =
        (coh_ask_pooled_t){.hash     = tx->hash,
                           .sender   = tx->sender,
                           .is_ready = is_ready,
                           .raw      = {.at = ask->bytes.n, .n = tx->tx.raw.n}};
    coh_buf_put(&ask->bytes, tx->tx.raw.p, tx->tx.raw.n);
    return true;
}

static void ask_pool(coh_coordinator_t *c, coh_ask_t *ask)
{
    if (ask->u.pool.max > 0) {
        ask->u.pool.txs = coh_calloc(ask->u.pool.max, sizeof(*ask->u.pool.txs));
        coh_pool_visit(
            c->pool, ask->u.pool.one_sender ? &ask->u.pool.sender : NULL, visit_pooled, ask);
    } else {
        size_t all     = coh_pool_tx_cnt(c->pool);
        size_t pending = coh_pool_ready_cnt(c->pool);
        for (uint32_t i = 0; i < COH_COMMIT_WINDOW; i++) {
            coh_flight_t const *f = &c->flights[i];
            pending += f->live && f->import == NULL ? f->tx_cnt : 0;
        }
        ask->u.pool.pending_cnt = (uint32_t)COH_MIN(pending, all);
        ask->u.pool.queued_cnt  = (uint32_t)all - ask->u.pool.pending_cnt;
    }
    answer(c, ask, COH_OK);
}

/* ---- shards ---- */

static void put_owner(coh_coordinator_t const *c, coh_buf_t *out, coh_addr_t const *addr)
{
    uint32_t bucket = coh_directory_bucket(addr);
    uint32_t shard  = coh_directory_owner(&c->recovery.dir, addr, bucket);
    coh_buf_printf(out,
                   "{\"shard\":%u,\"rank\":%u,\"bucket\":%u,\"epoch\":%" PRIu64 "}",
                   shard,
                   shard + 1,
                   bucket,
                   c->recovery.dir.epoch);
}

static void put_shards(coh_coordinator_t const *c, coh_buf_t *out)
{
    uint32_t *buckets = coh_calloc(c->shard_cnt, sizeof(*buckets));
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        buckets[coh_directory_shard(&c->recovery.dir, b)]++;
    }
    coh_buf_printf(out, "{\"epoch\":%" PRIu64 ",\"shards\":[", c->recovery.dir.epoch);
    for (uint32_t s = 0; s < c->shard_cnt; s++) {
        uint64_t const *stats = c->peers[s].stats;
        coh_buf_printf(out,
                       "%s{\"shard\":%u,\"rank\":%u,\"buckets\":%u,\"executed\":%" PRIu64
                       ",\"retractions\":%" PRIu64 ",\"residentBytes\":%" PRIu64 "}",
                       s == 0 ? "" : ",",
                       s,
                       s + 1,
                       buckets[s],
                       stats[COH_M_executor_tx],
                       stats[COH_M_mvstore_retraction],
                       stats[COH_M_process_resident]);
    }
    coh_buf_printf(out, "]}");
    free(buckets);
}

/* ---- the coordinator's side ---- */

void coh_coordinator_ask(coh_coordinator_t *c, coh_ask_t *ask)
{
    COH_ASSERT(c->asks.asker.done != NULL);
    ask->prev_open = NULL;
    ask->next_open = c->asks.open;
    if (c->asks.open != NULL) {
        c->asks.open->prev_open = ask;
    }
    c->asks.open = ask;
    if (c->state > COH_CO_DRAINING) {
        answer(c, ask, COH_ECLOSED);
        return;
    }
    if (c->state < COH_CO_RUNNING) {
        answer(c, ask, COH_EBUSY);
        return;
    }
    if (c->dev == NULL || !coh_co_dev_holds(c, ask)) {
        coh_co_carry_out_ask(c, ask);
    }
}

/* The block whose state an ask wants; COH_BLOCK_LATEST: the latest, or it wants none. */
static uint64_t state_of(coh_ask_t const *ask)
{
    switch (ask->kind) {
    case COH_ASK_STATE: return ask->u.state.block;
    case COH_ASK_PROOF: return ask->u.proof.block;
    case COH_ASK_CALL: return ask->u.call.m.block;
    default: return COH_BLOCK_LATEST;
    }
}

void coh_co_carry_out_ask(coh_coordinator_t *c, coh_ask_t *ask)
{
    uint64_t block = state_of(ask);
    if (block != COH_BLOCK_LATEST && block > coh_coordinator_head(c)) {
        answer(c, ask, COH_ENOTFOUND); /* a dev chain went back while the asker looked at it */
        return;
    }
    switch (ask->kind) {
    case COH_ASK_SUBMIT: ask_submit(c, ask); break;
    case COH_ASK_STATE: ask_state(c, ask); break;
    case COH_ASK_PROOF: coh_co_prove_for_ask(c, ask); break;
    case COH_ASK_CALL: ask_call(c, ask); break;
    case COH_ASK_ROOT: coh_co_suppose_for_ask(c, ask); break;
    case COH_ASK_BLOCK: ask_block(c, ask); break;
    case COH_ASK_TX: ask_tx(c, ask); break;
    case COH_ASK_HEADERS: ask_headers(c, ask); break;
    case COH_ASK_POOL: ask_pool(c, ask); break;
    case COH_ASK_SHARDS:
        if (ask->u.shards.one_account) {
            put_owner(c, &ask->bytes, &ask->u.shards.addr);
        } else {
            put_shards(c, &ask->bytes);
        }
        answer(c, ask, COH_OK);
        break;
    case COH_ASK_DEV: coh_co_dev_ask(c, ask); break;
    case COH_ASK_STATS:
        coh_block_stats_json(c->block_stats, &ask->bytes, ask->u.stats.number);
        answer(c, ask, COH_OK);
        break;
    }
}

void coh_coordinator_go_on(coh_coordinator_t *c)
{
    if (c->asks.waiting_first != NULL) {
        go_on(c);
    }
}

void coh_coordinator_listen(coh_coordinator_t *c, coh_asker_t const *asker)
{
    c->asks.asker = *asker;
    coh_co_tell_head(c);
}

void coh_co_end_asks(coh_coordinator_t *c)
{
    c->asks.waiting_first = NULL;
    c->asks.proofs_first  = NULL;
    if (c->dev != NULL) {
        coh_co_dev_end_asks(c->dev);
    }
    coh_calls_forget(&c->calls, on_call); /* no result comes to an ask that is gone */
    while (c->asks.open != NULL) {
        coh_ask_t *ask = c->asks.open;
        if (ask->read != NULL) {
            ((read_t *)ask->read)->ask = NULL;
            ask->read                  = NULL;
        }
        answer(c, ask, COH_ECLOSED);
    }
}

void coh_co_tell_head(coh_coordinator_t *c)
{
    if (c->asks.asker.done != NULL) {
        coh_block_env_t next = coh_co_next_env(c);
        c->asks.asker.head(c->asks.asker.arg, coh_sealed_ref(coh_chain_head(c->chain)), &next);
    }
}

void coh_co_tell_gone(coh_coordinator_t *c, uint64_t to)
{
    for (uint64_t n = to + 1; c->asks.asker.gone != NULL && n <= coh_coordinator_head(c); n++) {
        coh_sealed_t const *block = coh_chain_block(c->chain, n);
        if (block != NULL) {
            c->asks.asker.gone(c->asks.asker.arg, coh_sealed_ref(block));
        }
    }
}

void coh_co_pooled(void *arg, coh_hash_t const *hash)
{
    coh_coordinator_t *c = arg;
    if (c->asks.asker.done != NULL) {
        c->asks.asker.pooled(c->asks.asker.arg, hash);
    }
}
