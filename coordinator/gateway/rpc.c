#include "coordinator/gateway/rpc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "coordinator/gateway/rpc_private.h"

#define PUT COH_RPC_PUT

static coh_rpc_method_t const methods[] = {
#define PUBLIC  COH_RPC_PUBLIC
#define PRIVATE COH_RPC_PRIVATE
#define DEV     COH_RPC_DEV
#define COH_RPC(method, function, min_, max_, access_) \
    {.name   = #method,                                \
     .fn     = coh_rpc_do_##function,                  \
     .min    = (min_),                                 \
     .max    = (max_),                                 \
     .access = (access_)},
#include "coordinator/gateway/rpc_methods.def"
#undef COH_RPC
#undef PUBLIC
#undef PRIVATE
#undef DEV
};

/* ---- requests ---- */

static void unlink_due(coh_rpc_request_t *req)
{
    coh_rpc_t *rpc                                                        = req->rpc;
    *(req->due_prev != NULL ? &req->due_prev->due_next : &rpc->due_first) = req->due_next;
    *(req->due_next != NULL ? &req->due_next->due_prev : &rpc->due_last)  = req->due_prev;
}

static void free_call(coh_rpc_call_t *call)
{
    coh_buf_free(&call->id);
    coh_buf_free(&call->out);
    if (call->extra_free != NULL) {
        call->extra_free(call->extra);
    }
}

/* release gives up a hold; the last one frees a request that is over. */
static void release(coh_rpc_request_t *req)
{
    req->holds--;
    if (req->holds == 0 && req->is_over) {
        for (uint32_t i = 0; i < req->cnt; i++) {
            free_call(&req->calls[i]);
        }
        free(req);
    }
}

/* end_request: it is answered, or nobody waits for it. */
static void end_request(coh_rpc_request_t *req)
{
    COH_ASSERT(!req->is_over && req->left == 0);
    req->is_over = true;
    unlink_due(req);
    if (req->peer != NULL) {
        *(req->peer_prev != NULL ? &req->peer_prev->peer_next : &req->peer->requests) =
            req->peer_next;
        if (req->peer_next != NULL) {
            req->peer_next->peer_prev = req->peer_prev;
        }
        req->peer->open_cnt--;
        req->peer = NULL;
    }
}

static void put_answer(coh_buf_t *out, coh_rpc_call_t const *call)
{
    PUT(out, "{\"jsonrpc\":\"2.0\",\"id\":");
    coh_buf_put(out, call->id.p, call->id.n);
    if (call->is_error) {
        PUT(out, ",\"error\":");
    } else {
        PUT(out, ",\"result\":");
    }
    coh_buf_put(out, call->out.p, call->out.n);
    PUT(out, "}");
}

static void answer_request(coh_rpc_request_t *req)
{
    coh_buf_t text = COH_BUF_INIT;
    if (req->cnt == 1 && !req->is_batch) {
        if (req->calls[0].has_id) {
            coh_buf_grow(&text, req->calls[0].out.n + req->calls[0].id.n + 64);
            put_answer(&text, &req->calls[0]);
        }
    } else {
        coh_buf_grow(&text, req->out_bytes + 64);
        for (uint32_t i = 0; i < req->cnt; i++) {
            if (req->calls[i].has_id) {
                coh_buf_put_u8(&text, text.n == 0 ? '[' : ',');
                put_answer(&text, &req->calls[i]);
            }
        }
        if (text.n != 0) {
            PUT(&text, "]");
        }
    }
    coh_rpc_peer_t *peer = req->peer;
    end_request(req);
    peer->send(peer->arg, &text, true);
}

/* finish: the call's outcome is in out. */
static void finish(coh_rpc_call_t *call)
{
    coh_rpc_request_t *req = call->req;
    COH_ASSERT(!call->finished);
    call->finished = true;
    coh_rpc_stop_waiting(call);
    req->rpc->call_cnt--;
    req->out_bytes += call->out.n + call->id.n + 48;
    if (--req->left == 0) {
        req->holds++;
        answer_request(req);
        release(req);
    }
}

bool coh_rpc_is_full(coh_rpc_call_t *call)
{
    size_t max = call->req->rpc->d.config->http_response_bytes_max;
    if (call->req->out_bytes + call->out.n <= max) {
        return false;
    }
    coh_rpc_fail(call, COH_RPC_TOO_LARGE, "response too large: more than %zu bytes", max);
    return true;
}

void coh_rpc_done(coh_rpc_call_t *call)
{
    if (!coh_rpc_is_full(call)) {
        finish(call);
    }
}

void coh_rpc_null(coh_rpc_call_t *call)
{
    coh_buf_clear(&call->out);
    PUT(&call->out, "null");
    coh_rpc_done(call);
}

void coh_rpc_fail_data(coh_rpc_call_t *call, int code, char const *text, char const *data)
{
    coh_metric_add(call->req->rpc->d.metrics, COH_M_rpc_call_failed, 1);
    call->is_error = true;
    coh_buf_free(&call->out); /* it may be what was too large */
    coh_buf_printf(&call->out, "{\"code\":%d,\"message\":", code);
    coh_rpc_put_string(&call->out, text, strlen(text));
    if (data != NULL) {
        coh_buf_printf(&call->out, ",\"data\":%s", data);
    }
    PUT(&call->out, "}");
    finish(call);
}

void coh_rpc_fail(coh_rpc_call_t *call, int code, char const *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    coh_rpc_fail_data(call, code, text, NULL);
}

void coh_rpc_fail_fault(coh_rpc_call_t *call, coh_rpc_fault_t const *fault)
{
    coh_rpc_fail_data(call, fault->code, fault->text, NULL);
}

void coh_rpc_fail_err(coh_rpc_call_t *call, coh_err_t err)
{
    switch (err) {
    case COH_EBUSY: coh_rpc_fail(call, COH_RPC_LIMIT, "busy: the cluster is starting"); break;
    case COH_ECLOSED: coh_rpc_fail(call, COH_RPC_SERVER, "the node is stopping"); break;
    default: coh_rpc_fail(call, COH_RPC_INTERNAL, "internal error: %s", coh_err_str(err)); break;
    }
}

/* ---- asking ---- */

static uint32_t traces_of(coh_ask_t const *ask)
{
    return ask->kind == COH_ASK_CALL &&
           (ask->u.call.m.mode == COH_CALL_TRACE || ask->u.call.m.mode == COH_CALL_TRACE_BLOCK ||
            ask->u.call.m.mode == COH_CALL_SIMULATE || ask->u.call.m.mode == COH_CALL_ACCESSES);
}

static uint32_t proof_keys_of(coh_ask_t const *ask)
{
    return ask->kind == COH_ASK_PROOF ? 1 + ask->u.proof.slot_cnt : 0;
}

void coh_rpc_post_for(coh_rpc_t *rpc, coh_ask_t *ask, void *owner)
{
    rpc->trace_cnt += traces_of(ask);
    rpc->proof_keys += proof_keys_of(ask);
    ask->owner = owner;
    ask->next  = NULL;
    if (rpc->out_first == NULL) {
        rpc->out_first = ask;
    } else {
        rpc->out_last->next = ask;
    }
    rpc->out_last = ask;
}

void coh_rpc_post(coh_rpc_call_t *call, coh_ask_t *ask, coh_rpc_step_fn *step)
{
    call->step = step;
    call->req->holds++;
    coh_rpc_post_for(call->req->rpc, ask, call);
}

static void post_submit(coh_rpc_t *rpc)
{
    if (rpc->submit != NULL) {
        coh_rpc_post_for(rpc, rpc->submit, NULL);
        rpc->submit = NULL;
    }
}

void coh_rpc_submit(coh_rpc_call_t *call, coh_bytes_t raw)
{
    coh_rpc_t *rpc = call->req->rpc;
    if (rpc->submit == NULL) {
        rpc->submit = coh_ask_new(COH_ASK_SUBMIT);
    }
    call->req->holds++;
    coh_ask_submit_add(rpc->submit, raw, call);
    coh_config_t const *cfg = rpc->d.config;
    if (rpc->submit->u.submit.cnt == cfg->client_batch_tx_max ||
        rpc->submit->bytes.n >= cfg->client_message_bytes_max) {
        post_submit(rpc);
    }
}

void coh_rpc_flush(coh_rpc_t *rpc)
{
    post_submit(rpc);
    if (rpc->out_first != NULL) {
        coh_ask_t *first = rpc->out_first;
        rpc->out_first   = NULL;
        rpc->out_last    = NULL;
        rpc->d.post(rpc->d.arg, first);
    }
}

static void answered_submit(coh_ask_t *ask)
{
    for (uint32_t i = 0; i < ask->u.submit.cnt; i++) {
        coh_rpc_call_t *call   = ask->u.submit.owners[i];
        coh_rpc_request_t *req = call->req;
        coh_ask_part_t part    = ask->u.submit.raws[i];
        if (!call->finished && ask->err != COH_OK) {
            coh_rpc_fail_err(call, ask->err);
        } else if (!call->finished) {
            coh_rpc_take_verdict(
                call, &ask->u.submit.verdicts[i], coh_bytes(ask->bytes.p + part.at, part.n));
        }
        release(req);
    }
}

static void answered_call(coh_rpc_t *rpc, coh_ask_t *ask)
{
    coh_rpc_call_t *call   = ask->owner;
    coh_rpc_request_t *req = call->req;
    call->is_asking        = false;
    if (!call->finished) {
        call->step(rpc, call, ask);
    }
    release(req);
}

void coh_rpc_answered(coh_rpc_t *rpc, coh_ask_t *first)
{
    while (first != NULL) {
        coh_ask_t *ask = first;
        first          = ask->next;
        rpc->trace_cnt -= traces_of(ask);
        rpc->proof_keys -= proof_keys_of(ask);
        if (ask->kind == COH_ASK_SUBMIT) {
            answered_submit(ask);
        } else {
            switch (*(coh_rpc_owner_t *)ask->owner) {
            case COH_RPC_OWNER_CALL: answered_call(rpc, ask); break;
            case COH_RPC_OWNER_PUMP: coh_rpc_tell_of(rpc, ask); break;
            case COH_RPC_OWNER_POOLED: coh_rpc_tell_pooled(rpc, ask); break;
            }
        }
        coh_ask_free(ask);
    }
}

/* ---- waiting for a transaction ---- */

void coh_rpc_wait_for_tx(coh_rpc_call_t *call)
{
    coh_rpc_t *rpc = call->req->rpc;
    if (!call->waits) {
        call->waits     = true;
        call->wait_prev = NULL;
        call->wait_next = rpc->waiting;
        if (rpc->waiting != NULL) {
            rpc->waiting->wait_prev = call;
        }
        rpc->waiting = call;
    }
}

void coh_rpc_stop_waiting(coh_rpc_call_t *call)
{
    if (call->waits) {
        call->waits = false;
        *(call->wait_prev != NULL ? &call->wait_prev->wait_next : &call->req->rpc->waiting) =
            call->wait_next;
        if (call->wait_next != NULL) {
            call->wait_next->wait_prev = call->wait_prev;
        }
    }
}

/* ---- dispatch ---- */

static int by_name(void const *a, void const *b)
{
    return strcmp((*(coh_rpc_method_t const *const *)a)->name,
                  (*(coh_rpc_method_t const *const *)b)->name);
}

static coh_rpc_method_t const *find_method(coh_rpc_t const *rpc, char const *name)
{
    coh_rpc_method_t wanted     = {.name = name};
    coh_rpc_method_t const *key = &wanted;
    coh_rpc_method_t const *const *found =
        bsearch(&key, rpc->by_name, COH_CNT(methods), sizeof(key), by_name);
    return found != NULL && ((*found)->access != COH_RPC_DEV || rpc->dev != NULL) ? *found : NULL;
}

/* put_id keeps the id of a call; false if it is none. */
static bool put_id(coh_rpc_call_t *call, json_t const *object)
{
    json_t const *id = json_object_get(object, "id");
    call->has_id     = id != NULL;
    if (id != NULL && (json_is_string(id) || json_is_number(id) || json_is_null(id))) {
        char *text = json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
        if (text != NULL) {
            coh_buf_put(&call->id, text, strlen(text));
            free(text);
            return true;
        }
    }
    PUT(&call->id, "null");
    return id == NULL;
}

static void run_call(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *object)
{
    coh_metric_add(rpc->d.metrics, COH_M_rpc_call, 1);
    bool ok              = put_id(call, object);
    char const *version  = json_string_value(json_object_get(object, "jsonrpc"));
    char const *name     = json_string_value(json_object_get(object, "method"));
    json_t const *params = json_object_get(object, "params");
    if (!ok || version == NULL || strcmp(version, "2.0") != 0 || name == NULL) {
        call->has_id = true;
        coh_rpc_fail(call, COH_RPC_INVALID, "invalid request");
        return;
    }
    call->method = find_method(rpc, name);
    if (call->method == NULL) {
        coh_rpc_fail(
            call, COH_RPC_NO_METHOD, "the method %.100s does not exist/is not available", name);
        return;
    }
    if (call->method->access == COH_RPC_PRIVATE && !call->req->peer->trusted) {
        coh_rpc_fail(call,
                     COH_RPC_UNAUTHORISED,
                     "unauthorised: the method %s needs the bearer token of http-token-file",
                     name);
        return;
    }
    if (params != NULL && !json_is_null(params) && !json_is_array(params)) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "non-array args");
        return;
    }
    size_t cnt = json_array_size(params);
    if (cnt < call->method->min) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "missing value for required argument %zu", cnt);
    } else if (cnt > call->method->max) {
        coh_rpc_fail(
            call, COH_RPC_PARAMS, "too many arguments, want at most %u", call->method->max);
    } else if (rpc->head == NULL) {
        coh_rpc_fail_err(call, COH_EBUSY);
    } else {
        call->method->fn(rpc, call, params);
    }
}

static coh_rpc_request_t *new_request(coh_rpc_peer_t *peer, uint32_t cnt, bool is_batch)
{
    coh_rpc_t *rpc         = peer->rpc;
    coh_rpc_request_t *req = coh_calloc(1, sizeof(*req) + cnt * sizeof(req->calls[0]));
    req->rpc               = rpc;
    req->peer              = peer;
    req->is_batch          = is_batch;
    req->cnt               = cnt;
    req->left              = cnt;
    req->holds             = 1;
    for (uint32_t i = 0; i < cnt; i++) {
        req->calls[i].req   = req;
        req->calls[i].owner = COH_RPC_OWNER_CALL;
    }
    rpc->call_cnt += cnt;
    req->peer_next = peer->requests;
    if (peer->requests != NULL) {
        peer->requests->peer_prev = req;
    }
    peer->requests = req;
    peer->open_cnt++;
    req->due_us   = rpc->now_us + rpc->d.config->http_timeout_ms * 1000;
    req->due_prev = rpc->due_last;
    *(rpc->due_last != NULL ? &rpc->due_last->due_next : &rpc->due_first) = req;
    rpc->due_last                                                         = req;
    return req;
}

/* refuse answers a whole request with one error. */
static void refuse(coh_rpc_peer_t *peer, coh_rpc_fault_t const *fault)
{
    coh_rpc_request_t *req = new_request(peer, 1, false);
    req->calls[0].has_id   = true;
    PUT(&req->calls[0].id, "null");
    coh_rpc_fail_fault(&req->calls[0], fault);
    release(req);
}

void coh_rpc_request(coh_rpc_peer_t *peer, coh_bytes_t text)
{
    coh_rpc_t *rpc          = peer->rpc;
    coh_config_t const *cfg = rpc->d.config;
    coh_rpc_fault_t fault;
    coh_metric_add(rpc->d.metrics, COH_M_rpc_request, 1);
    json_t *root = coh_rpc_parse(text, COH_RPC_DEPTH_MAX, COH_RPC_VALUES_MAX, &fault);
    bool ok      = root != NULL;
    bool batch   = ok && json_is_array(root);
    size_t cnt   = batch ? json_array_size(root) : 1;
    if (ok && !batch && !json_is_object(root)) {
        ok = coh_rpc_fault(&fault, COH_RPC_INVALID, "invalid request");
    } else if (ok && cnt == 0) {
        ok = coh_rpc_fault(&fault, COH_RPC_INVALID, "empty batch");
    } else if (ok && cnt > cfg->http_batch_max) {
        ok = coh_rpc_fault(&fault, COH_RPC_INVALID, "batch too large");
    } else if (ok && rpc->call_cnt + cnt > cfg->http_calls_max) {
        ok = coh_rpc_fault(&fault, COH_RPC_LIMIT, "busy: too many calls in flight");
    }
    if (!ok) {
        refuse(peer, &fault);
    } else {
        coh_rpc_request_t *req = new_request(peer, (uint32_t)cnt, batch);
        for (uint32_t i = 0; i < cnt; i++) {
            run_call(rpc, &req->calls[i], batch ? json_array_get(root, i) : root);
        }
        release(req);
    }
    json_decref(root);
}

/* ---- peers ---- */

coh_rpc_peer_t *coh_rpc_peer_new(coh_rpc_t *rpc,
                                 bool subscribes,
                                 bool trusted,
                                 coh_rpc_send_fn *send,
                                 void *arg)
{
    coh_rpc_peer_t *peer = coh_calloc(1, sizeof(*peer));
    peer->rpc            = rpc;
    peer->subscribes     = subscribes;
    peer->trusted        = trusted;
    peer->send           = send;
    peer->arg            = arg;
    return peer;
}

void coh_rpc_peer_free(coh_rpc_peer_t *peer)
{
    if (peer == NULL) {
        return;
    }
    while (peer->requests != NULL) {
        coh_rpc_request_t *req = peer->requests;
        req->holds++;
        for (uint32_t i = 0; i < req->cnt; i++) {
            coh_rpc_call_t *call = &req->calls[i];
            if (!call->finished) {
                call->finished = true;
                coh_rpc_stop_waiting(call);
                peer->rpc->call_cnt--;
                req->left--;
            }
        }
        end_request(req);
        release(req);
    }
    coh_rpc_end_subs(peer);
    free(peer);
}

uint32_t coh_rpc_peer_open_cnt(coh_rpc_peer_t const *peer) { return peer->open_cnt; }

/* ---- the whole ---- */

coh_rpc_t *coh_rpc_new(coh_rpc_deps_t const *deps)
{
    coh_rpc_t *rpc    = coh_calloc(1, sizeof(*rpc));
    rpc->d            = *deps;
    rpc->pump         = COH_RPC_OWNER_PUMP;
    rpc->pooled_owner = COH_RPC_OWNER_POOLED;
    rpc->dev          = deps->config->node_dev ? coh_rpc_dev_new() : NULL;
    rpc->by_name      = coh_calloc(COH_CNT(methods), sizeof(*rpc->by_name));
    rpc->pooled       = coh_calloc(COH_RPC_POOLED_CNT, sizeof(*rpc->pooled));
    rpc->filters      = coh_calloc(COH_RPC_FILTERS_MAX, sizeof(*rpc->filters));
    for (size_t i = 0; i < COH_CNT(methods); i++) {
        rpc->by_name[i] = &methods[i];
    }
    qsort(rpc->by_name, COH_CNT(methods), sizeof(*rpc->by_name), by_name);
    return rpc;
}

static void free_asks(coh_ask_t *ask)
{
    while (ask != NULL) {
        coh_ask_t *next = ask->next;
        coh_ask_free(ask);
        ask = next;
    }
}

/* drop_holds gives up what an ask that comes back to nobody holds. */
static void drop_holds(coh_ask_t *first)
{
    for (coh_ask_t *ask = first; ask != NULL; ask = ask->next) {
        if (ask->kind == COH_ASK_SUBMIT) {
            for (uint32_t i = 0; i < ask->u.submit.cnt; i++) {
                release(((coh_rpc_call_t *)ask->u.submit.owners[i])->req);
            }
        } else if (*(coh_rpc_owner_t *)ask->owner == COH_RPC_OWNER_CALL) {
            release(((coh_rpc_call_t *)ask->owner)->req);
        }
    }
}

void coh_rpc_discard(coh_ask_t *first)
{
    drop_holds(first);
    free_asks(first);
}

void coh_rpc_free(coh_rpc_t *rpc)
{
    if (rpc == NULL) {
        return;
    }
    post_submit(rpc);
    coh_rpc_discard(rpc->out_first);
    COH_ASSERT(rpc->due_first == NULL); /* no peers */
    for (uint32_t i = 0; i < COH_RPC_CACHE_CNT; i++) {
        coh_rpc_block_free(rpc->cache[i]);
    }
    for (uint32_t i = 0; i < rpc->filter_cnt; i++) {
        coh_rpc_filter_fini(&rpc->filters[i].filter);
        coh_buf_free(&rpc->filters[i].gone);
    }
    coh_sealed_free(rpc->head);
    coh_rpc_dev_free(rpc->dev);
    free(rpc->filters);
    free(rpc->pooled);
    free(rpc->by_name);
    free(rpc);
}

void coh_rpc_head(coh_rpc_t *rpc, coh_sealed_t *head, coh_block_env_t const *next)
{
    bool is_first = rpc->head == NULL;
    coh_sealed_free(rpc->head);
    rpc->head = head;
    rpc->next = *next;
    if (is_first || !coh_rpc_has_subs(rpc)) {
        rpc->told = head->header.number;
    }
    coh_rpc_suggest_tip(rpc, head);
    coh_rpc_ask_waiting(rpc);
}

uint32_t coh_rpc_tick(coh_rpc_t *rpc, uint64_t now_us)
{
    uint64_t next_us = now_us + 1000000;
    rpc->now_us      = now_us;
    while (rpc->due_first != NULL && rpc->due_first->due_us <= now_us) {
        coh_rpc_request_t *req = rpc->due_first;
        req->holds++;
        for (uint32_t i = 0; i < req->cnt && !req->is_over; i++) {
            if (!req->calls[i].finished) {
                coh_rpc_fail(&req->calls[i], COH_RPC_TIMEOUT, "request timed out");
            }
        }
        release(req);
    }
    if (rpc->due_first != NULL) {
        next_us = COH_MIN(next_us, rpc->due_first->due_us);
    }
    for (coh_rpc_call_t *call = rpc->waiting, *next; call != NULL; call = next) {
        next = call->wait_next;
        if (call->wait_until_us <= now_us) {
            coh_buf_t hash = COH_BUF_INIT;
            coh_rpc_put_hash(&hash, &call->hash);
            coh_buf_put_u8(&hash, 0);
            coh_rpc_fail_data(
                call,
                COH_RPC_SYNC_TIMEOUT,
                "The transaction was added to the mempool but wasn't processed within "
                "the designated timeout interval.",
                (char const *)hash.p);
            coh_buf_free(&hash);
        } else {
            next_us = COH_MIN(next_us, call->wait_until_us);
        }
    }
    coh_rpc_age_filters(rpc);
    return (uint32_t)((next_us - now_us + 999) / 1000);
}
