#include "tests/support/rpcworld.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/tx.h"
#include "common/crypto/keccak.h"
#include "coordinator/decision_log.h"

static void post(void *arg, coh_ask_t *first)
{
    coh_rpcworld_t *w = arg;
    coh_ask_t **at    = &w->asks;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = first;
    for (coh_ask_t const *ask = first; ask != NULL; ask = ask->next) {
        w->ask_cnt++;
        if (ask->kind == COH_ASK_SUBMIT) {
            w->submit_cnt += ask->u.submit.cnt;
            w->batch_cnt++;
        }
    }
}

static void want_pooled(void *arg, bool wanted)
{
    coh_rpcworld_t *w = arg;
    COH_ASSERT(w->wants_pooled != wanted);
    w->wants_pooled = wanted;
}

static void take_text(void *arg, coh_buf_t *text, bool is_answer)
{
    coh_rpcworld_t *w = arg;
    coh_buf_put_u8(text, 0);
    if (is_answer) {
        free(w->answer);
        w->answer = (char *)text->p;
        w->answer_cnt++;
    } else {
        w->notes                = coh_realloc(w->notes, (w->note_cnt + 1) * sizeof(*w->notes));
        w->notes[w->note_cnt++] = (char *)text->p;
    }
    *text = COH_BUF_INIT;
}

static void open_world(coh_rpcworld_t *w, coh_genesis_t const *genesis, bool dev)
{
    *w = (coh_rpcworld_t){.genesis = *genesis, .now_us = 1000000, .first = UINT64_MAX};
    coh_config_default(&w->config);
    w->config.node_dev = dev;
    w->proof.nodes     = coh_bytes("\xc0", 1);
    w->rpc             = coh_rpc_new(&(coh_rpc_deps_t){.config      = &w->config,
                                                       .genesis     = &w->genesis,
                                                       .post        = post,
                                                       .want_pooled = want_pooled,
                                                       .arg         = w});
    w->peer            = coh_rpc_peer_new(w->rpc, true, true, take_text, w);
    (void)coh_rpc_tick(w->rpc, w->now_us);
}

void coh_rpcworld_init(coh_rpcworld_t *w, coh_genesis_t const *genesis)
{
    open_world(w, genesis, false);
}

void coh_rpcworld_init_dev(coh_rpcworld_t *w, coh_genesis_t const *genesis)
{
    open_world(w, genesis, true);
}

void coh_rpcworld_fini(coh_rpcworld_t *w)
{
    coh_rpc_peer_free(w->peer);
    coh_rpc_discard(w->asks);
    coh_rpc_free(w->rpc);
    for (uint32_t i = 0; i < w->block_cnt; i++) {
        coh_buf_free(&w->records[i]);
        coh_sealed_free(w->blocks[i]);
    }
    for (uint32_t i = 0; i < w->note_cnt; i++) {
        free(w->notes[i]);
    }
    coh_buf_free(&w->call_tx);
    free(w->notes);
    free(w->records);
    free(w->blocks);
    free(w->answer);
}

static void tell_head(coh_rpcworld_t *w)
{
    coh_sealed_t *head    = w->blocks[w->block_cnt - 1];
    coh_header_t const *h = &head->header;
    coh_block_env_t next  = {.number    = h->number + 1,
                             .timestamp = h->timestamp,
                             .gas_limit = h->gas_limit,
                             .fork      = head->fork,
                             .base_fee = coh_base_fee_next(&h->base_fee, h->gas_used, h->gas_limit)};
    coh_rpc_head(w->rpc, coh_sealed_ref(head), &next);
}

void coh_rpcworld_add(coh_rpcworld_t *w,
                      coh_bytes_t header,
                      coh_fork_t fork,
                      coh_rpcworld_tx_t const *txs,
                      uint32_t cnt)
{
    coh_header_t h;
    coh_fork_t by_fields;
    coh_err_t err    = coh_header_decode(&h, &by_fields, header);
    coh_decision_t d = {
        .number = h.number, .fork = fork, .tx_cnt = cnt, .header = header, .extra = w->extra};
    coh_buf_t record = COH_BUF_INIT;
    coh_sealed_t *sealed;
    COH_ASSERT(err == COH_OK);
    for (uint32_t i = 0; i < cnt; i++) {
        d.raw_bytes += txs[i].raw.n + txs[i].logs.n;
    }
    uint8_t *out = coh_buf_extend(&record, coh_decision_size(&d));
    coh_decision_cursor_t cur;
    coh_decision_begin(&cur, out, &d);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_decision_put_tx(&cur,
                            &(coh_decision_tx_t){.raw      = txs[i].raw,
                                                 .logs     = txs[i].logs,
                                                 .sender   = txs[i].sender,
                                                 .status   = txs[i].status,
                                                 .gas_used = txs[i].gas_used});
    }
    coh_decision_end(&cur, out);
    err = coh_seal_restore(&sealed, coh_buf_bytes(&record));
    COH_ASSERT(err == COH_OK);
    if (w->first == UINT64_MAX) {
        w->first          = h.number;
        w->genesis.number = h.number;
    }
    w->records                = coh_realloc(w->records, (w->block_cnt + 1) * sizeof(*w->records));
    w->blocks                 = coh_realloc(w->blocks, (w->block_cnt + 1) * sizeof(coh_sealed_t *));
    w->records[w->block_cnt]  = record;
    w->blocks[w->block_cnt++] = sealed;
    tell_head(w);
}

void coh_rpcworld_go_back(coh_rpcworld_t *w, uint32_t cnt)
{
    COH_ASSERT(cnt > 0 && cnt < w->block_cnt);
    coh_sealed_t **gone = coh_calloc(cnt, sizeof(*gone));
    for (uint32_t i = 0; i < cnt; i++) {
        gone[i] = w->blocks[w->block_cnt - cnt + i]; /* with the reference */
        coh_buf_free(&w->records[w->block_cnt - cnt + i]);
    }
    w->block_cnt -= cnt;
    coh_rpc_gone(w->rpc, gone, cnt);
    tell_head(w);
}

static void answer_block(coh_rpcworld_t *w, coh_ask_t *ask)
{
    for (uint32_t i = 0; ask->u.block.by_hash && i < w->block_cnt; i++) {
        if (coh_hash_eq(&w->blocks[i]->hash, &ask->u.block.hash)) {
            ask->u.block.by_hash = false;
            ask->u.block.number  = w->first + i;
        }
    }
    uint64_t i = ask->u.block.number - w->first;
    if (ask->u.block.by_hash || i >= w->block_cnt) {
        ask->err = COH_ENOTFOUND;
    } else if (ask->u.block.want_record || w->on_disk) {
        coh_buf_put(&ask->bytes, w->records[i].p, w->records[i].n);
    } else {
        ask->u.block.sealed = coh_sealed_ref(w->blocks[i]);
    }
}

static void answer_tx(coh_rpcworld_t *w, coh_ask_t *ask)
{
    for (uint32_t b = 0; b < w->block_cnt; b++) {
        for (uint32_t i = 0; i < w->blocks[b]->tx_cnt; i++) {
            if (coh_hash_eq(&w->blocks[b]->receipts[i].tx_hash, &ask->u.tx.hash)) {
                ask->u.tx.state  = COH_ASK_TX_COMMITTED;
                ask->u.tx.number = w->first + b;
                ask->u.tx.idx    = i;
                ask->u.tx.sealed = w->on_disk ? NULL : coh_sealed_ref(w->blocks[b]);
            }
        }
    }
}

static void answer_headers(coh_rpcworld_t *w, coh_ask_t *ask)
{
    ask->u.headers.headers = coh_calloc(ask->u.headers.cnt, sizeof(*ask->u.headers.headers));
    for (uint32_t i = 0; i < ask->u.headers.cnt; i++) {
        uint64_t at = ask->u.headers.first + i - w->first;
        if (at < w->block_cnt) {
            coh_sealed_t const *b           = w->blocks[at];
            ask->u.headers.headers[i].found = true;
            ask->u.headers.headers[i].hash  = b->hash;
            ask->u.headers.headers[i].rlp =
                (coh_ask_part_t){.at = ask->bytes.n, .n = b->header_rlp.n};
            coh_buf_put(&ask->bytes, b->header_rlp.p, b->header_rlp.n);
        }
    }
}

static void answer_submit(coh_rpcworld_t *w, coh_ask_t *ask)
{
    ask->u.submit.verdicts = coh_calloc(ask->u.submit.cnt, sizeof(*ask->u.submit.verdicts));
    for (uint32_t i = 0; i < ask->u.submit.cnt; i++) {
        coh_ask_part_t raw   = ask->u.submit.raws[i];
        coh_ask_verdict_t *v = &ask->u.submit.verdicts[i];
        v->err               = w->verdict;
        v->has_account       = true;
        v->nonce             = 9;
        v->balance           = coh_u256(5);
        coh_keccak256(&v->hash, ask->bytes.p + raw.at, raw.n);
    }
}

static void answer_call(coh_rpcworld_t *w, coh_ask_t *ask)
{
    coh_msg_call_t const *m = &ask->u.call.m;
    w->call                 = *m;
    w->call_cnt++;
    coh_buf_clear(&w->call_tx);
    if (m->txs.cnt != 0) {
        coh_buf_put(&w->call_tx, m->txs.v[m->txs.cnt - 1].raw.p, m->txs.v[m->txs.cnt - 1].raw.n);
    }
    if (m->overrides.cnt != 0) {
        w->call_override        = m->overrides.v[0];
        w->call_override.code.p = NULL;
    }
    if (m->last_env.cnt != 0) {
        w->call_last_env = m->last_env.v[0];
    }
    if (m->slots.cnt != 0) {
        w->call_slot = m->slots.v[0];
    }
    ask->u.call.result = w->call_result;
    if (m->mode == COH_CALL_SIMULATE) {
        uint32_t cnt        = w->call_result.results.cnt;
        ask->u.call.results = coh_calloc(cnt + 1u, sizeof(*ask->u.call.results));
        if (cnt != 0) {
            memcpy(
                ask->u.call.results, w->call_result.results.v, cnt * sizeof(*ask->u.call.results));
        }
        coh_sim_state_set(&ask->u.call.after, &w->call_result);
    }
}

static void answer_root(coh_rpcworld_t *w, coh_ask_t *ask)
{
    w->root_cnt++;
    w->root_account_cnt = ask->u.root.account_cnt;
    ask->err            = w->root_err;
    ask->u.root.root    = w->root;
}

static void answer_state(coh_rpcworld_t *w, coh_ask_t *ask)
{
    if (ask->u.state.block < w->oldest) {
        ask->err = COH_ENOTFOUND;
        return;
    }
    ask->u.state.values = coh_calloc(ask->u.state.cnt, sizeof(*ask->u.state.values));
    for (uint32_t i = 0; i < ask->u.state.cnt; i++) {
        bool latest                  = ask->u.state.block == COH_BLOCK_LATEST;
        ask->u.state.values[i].nonce = 7;
        ask->u.state.values[i].word  = coh_u256(latest ? 0x1234 : 0x1000 + ask->u.state.block);
    }
}

static void answer_proof(coh_rpcworld_t *w, coh_ask_t *ask)
{
    bool latest = ask->u.proof.block == COH_BLOCK_LATEST;
    ask->err    = ask->u.proof.block < w->oldest ? COH_ENOTFOUND : w->proof_err;
    if (ask->err != COH_OK) {
        return;
    }
    ask->u.proof.is      = w->proof;
    ask->u.proof.storage = coh_calloc(ask->u.proof.slot_cnt + 1u, sizeof(*ask->u.proof.storage));
    for (uint32_t i = 0; i < ask->u.proof.slot_cnt; i++) {
        ask->u.proof.storage[i] = (coh_op_storage_proof_t){
            .slot  = ask->u.proof.slots[i],
            .value = coh_u256(latest ? 0x1234 : 0x1000 + ask->u.proof.block),
            .nodes = w->proof.nodes};
    }
    ask->u.proof.is.slots.v   = ask->u.proof.storage;
    ask->u.proof.is.slots.cnt = ask->u.proof.slot_cnt;
}

static void answer_one(coh_rpcworld_t *w, coh_ask_t *ask)
{
    switch (ask->kind) {
    case COH_ASK_BLOCK: answer_block(w, ask); break;
    case COH_ASK_TX: answer_tx(w, ask); break;
    case COH_ASK_HEADERS: answer_headers(w, ask); break;
    case COH_ASK_SUBMIT: answer_submit(w, ask); break;
    case COH_ASK_STATE: answer_state(w, ask); break;
    case COH_ASK_PROOF: answer_proof(w, ask); break;
    case COH_ASK_CALL: answer_call(w, ask); break;
    case COH_ASK_ROOT: answer_root(w, ask); break;
    case COH_ASK_POOL:
    case COH_ASK_DEV: break;
    case COH_ASK_SHARDS: coh_buf_printf(&ask->bytes, "{}"); break;
    case COH_ASK_STATS:
        coh_buf_printf(&ask->bytes, "{\"number\":%u}", (unsigned)ask->u.stats.number);
        break;
    }
}

void coh_rpcworld_answer(coh_rpcworld_t *w)
{
    while (coh_rpc_tell(w->rpc)) {
    }
    coh_rpc_flush(w->rpc);
    while (w->asks != NULL) {
        coh_ask_t *list = w->asks;
        w->asks         = NULL;
        for (coh_ask_t *ask = list; ask != NULL; ask = ask->next) {
            answer_one(w, ask);
        }
        coh_rpc_answered(w->rpc, list);
        while (coh_rpc_tell(w->rpc)) {
        }
        coh_rpc_flush(w->rpc);
    }
}

char const *coh_rpcworld_call(coh_rpcworld_t *w, char const *request)
{
    uint32_t before = w->answer_cnt;
    coh_rpc_request(w->peer, coh_bytes(request, strlen(request)));
    coh_rpcworld_answer(w);
    COH_ASSERT(w->answer_cnt == before + 1);
    return w->answer;
}
