/* Searches for logs, filters that are polled, subscriptions. */
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/obs/log.h"
#include "coordinator/gateway/rpc_private.h"

#define PUT COH_RPC_PUT

#define METHOD(function) \
    void coh_rpc_do_##function(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)

#define IGNORE(a, b) ((void)(a), (void)(b))

/* ---- criteria ---- */

static bool read_addrs(coh_rpc_filter_t *f, json_t const *v, coh_rpc_fault_t *fault)
{
    if (v == NULL || json_is_null(v)) {
        return true;
    }
    size_t cnt = json_is_array(v) ? json_array_size(v) : 1;
    if (cnt > COH_RPC_CRITERIA_MAX) {
        return coh_rpc_fault(
            fault, COH_RPC_PARAMS, "exceed max addresses or topics per search position");
    }
    f->addrs    = coh_calloc(cnt, sizeof(*f->addrs));
    f->addr_cnt = (uint32_t)cnt;
    for (size_t i = 0; i < cnt; i++) {
        if (!coh_rpc_get_addr(
                &f->addrs[i], json_is_array(v) ? json_array_get(v, i) : v, 0, fault)) {
            return false;
        }
    }
    return true;
}

/* read_place reads what may stand at one place: null or [] for anything, one topic, or a list of which null means anything. */
static bool read_place(coh_rpc_filter_t *f,
                       uint32_t place,
                       json_t const *v,
                       uint32_t *total,
                       coh_rpc_fault_t *fault)
{
    if (json_is_null(v)) {
        return true;
    }
    size_t cnt = json_is_array(v) ? json_array_size(v) : 1;
    if (cnt > COH_RPC_CRITERIA_MAX) {
        return coh_rpc_fault(
            fault, COH_RPC_PARAMS, "exceed max addresses or topics per search position");
    }
    f->topics = coh_realloc(f->topics, (*total + cnt + 1) * sizeof(*f->topics));
    for (size_t i = 0; i < cnt; i++) {
        json_t const *topic = json_is_array(v) ? json_array_get(v, i) : v;
        if (json_is_null(topic)) {
            f->topic_cnt[place] = 0;
            return true;
        }
        if (!coh_rpc_get_hash(&f->topics[*total + i], topic, 0, fault)) {
            return false;
        }
    }
    f->topic_cnt[place] = (uint32_t)cnt;
    *total += (uint32_t)cnt;
    return true;
}

static bool read_topics(coh_rpc_filter_t *f, json_t const *v, coh_rpc_fault_t *fault)
{
    uint32_t total = 0;
    if (v == NULL || json_is_null(v)) {
        return true;
    }
    if (!json_is_array(v)) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "invalid argument 0: topics are no array");
    }
    if (json_array_size(v) > COH_RPC_TOPIC_PLACES) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "exceed max topics");
    }
    for (uint32_t p = 0; p < json_array_size(v); p++) {
        if (!read_place(f, p, json_array_get(v, p), &total, fault)) {
            return false;
        }
        f->place_cnt = p + 1;
    }
    return true;
}

/* read_filter reads address and topics; on failure f holds nothing. */
static bool read_filter(coh_rpc_filter_t *f, json_t const *v, coh_rpc_fault_t *fault)
{
    *f = (coh_rpc_filter_t){0};
    if (v != NULL && !json_is_null(v) && !json_is_object(v)) {
        return coh_rpc_fault_type(fault, 0, v, "filters.input");
    }
    if (read_addrs(f, json_object_get(v, "address"), fault) &&
        read_topics(f, json_object_get(v, "topics"), fault)) {
        return true;
    }
    coh_rpc_filter_fini(f);
    return false;
}

static size_t topics_of(coh_rpc_filter_t const *f)
{
    size_t cnt = 0;
    for (uint32_t p = 0; p < COH_RPC_TOPIC_PLACES; p++) {
        cnt += f->topic_cnt[p];
    }
    return cnt;
}

static size_t criteria_bytes(coh_rpc_filter_t const *f)
{
    return f->addr_cnt * sizeof(*f->addrs) + topics_of(f) * sizeof(*f->topics);
}

/* has_room takes room for the criteria of a filter or subscription; false: there is none, and the call has failed. */
static bool has_room(coh_rpc_t *rpc, coh_rpc_call_t *call, size_t bytes)
{
    if (rpc->criteria_bytes + bytes > COH_RPC_CRITERIA_BYTES_MAX) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "busy: too many filters and subscriptions");
        return false;
    }
    rpc->criteria_bytes += bytes;
    return true;
}

/* ---- searches ---- */

/* A search under way. */
typedef struct {
    coh_rpc_filter_t filter;
    uint64_t next; /* blocks whose headers are to be looked at: next to last */
    uint64_t last;
    uint64_t found[COH_ASK_HEADERS_MAX]; /* blocks whose bloom passes */
    uint32_t found_cnt;
    uint32_t found_at;
    bool first; /* no log has been put yet */
} search_t;

static void free_search(void *extra)
{
    search_t *s = extra;
    coh_rpc_filter_fini(&s->filter);
    free(s);
}

static void step_headers(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask);
static void on_log_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block);

static void ask_headers(coh_rpc_call_t *call)
{
    search_t *s          = call->extra;
    coh_ask_t *ask       = coh_ask_new(COH_ASK_HEADERS);
    ask->u.headers.first = s->next;
    ask->u.headers.cnt   = (uint32_t)COH_MIN(s->last - s->next + 1, (uint64_t)COH_ASK_HEADERS_MAX);
    coh_rpc_post(call, ask, step_headers);
}

/* go_on searches the blocks found, as far as they are at hand, from block if it is not NULL. */
static void go_on(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    search_t *s = call->extra;
    for (;;) {
        if (block != NULL) {
            size_t max = rpc->d.config->http_response_bytes_max;
            (void)coh_rpc_put_logs(&call->out, block->sealed, &s->filter, max, &s->first);
            s->found_at++;
            if (coh_rpc_is_full(call)) {
                return;
            }
        }
        if (s->found_at == s->found_cnt) {
            break;
        }
        block = coh_rpc_cached(rpc, s->found[s->found_at], false);
        if (block == NULL) {
            coh_rpc_ask_block(call, s->found[s->found_at], false, on_log_block);
            return;
        }
    }
    if (s->next <= s->last) {
        ask_headers(call);
    } else {
        PUT(&call->out, "]");
        coh_rpc_done(call);
    }
}

static void on_log_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_block_t *block)
{
    if (block == NULL) {
        coh_rpc_fail(call, COH_RPC_SERVER, "unknown block");
    } else {
        go_on(rpc, call, block);
    }
}

static void step_headers(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    search_t *s = call->extra;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    s->found_cnt = 0;
    s->found_at  = 0;
    for (uint32_t i = 0; i < ask->u.headers.cnt; i++) {
        coh_ask_header_t const *h = &ask->u.headers.headers[i];
        coh_bytes_t rlp           = coh_bytes(ask->bytes.p + h->rlp.at, h->rlp.n);
        coh_header_t header;
        coh_fork_t fork;
        if (!h->found || coh_header_decode(&header, &fork, rlp) != COH_OK) {
            coh_rpc_fail(call, COH_RPC_SERVER, "header not found"); /* rather than logs left out */
            return;
        }
        if (coh_rpc_filter_may(&s->filter, header.bloom)) {
            s->found[s->found_cnt++] = ask->u.headers.first + i;
        }
    }
    s->next += ask->u.headers.cnt;
    go_on(rpc, call, NULL);
}

/* start_search answers the call with before (logs; freed) and the logs of blocks first..last that pass; filter is taken. */
static void start_search(coh_rpc_t *rpc,
                         coh_rpc_call_t *call,
                         coh_rpc_filter_t *filter,
                         coh_buf_t *before,
                         uint64_t first,
                         uint64_t last)
{
    uint64_t max     = rpc->d.config->http_log_blocks_max;
    search_t *s      = coh_calloc(1, sizeof(*s));
    s->filter        = *filter;
    *filter          = (coh_rpc_filter_t){0};
    s->next          = first;
    s->last          = last;
    s->first         = before->n == 0;
    call->extra      = s;
    call->extra_free = free_search;
    PUT(&call->out, "[");
    coh_buf_put(&call->out, before->p, before->n);
    coh_buf_free(before);
    if (first > last) {
        PUT(&call->out, "]");
        coh_rpc_done(call);
    } else if (last - first >= max) {
        coh_rpc_fail(call,
                     COH_RPC_LIMIT,
                     "block range too wide: at most %llu blocks",
                     (unsigned long long)max);
    } else {
        ask_headers(call);
    }
}

static void on_hash_block(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    search_t *s = call->extra;
    coh_err_t err;
    coh_rpc_block_t *block = coh_rpc_take_block(rpc, ask, &err);
    if (block == NULL && err == COH_ENOTFOUND) {
        coh_rpc_fail(call, COH_RPC_SERVER, "unknown block");
    } else if (block == NULL) {
        coh_rpc_fail_err(call, err);
    } else {
        PUT(&call->out, "[");
        (void)coh_rpc_put_logs(&call->out,
                               block->sealed,
                               &s->filter,
                               rpc->d.config->http_response_bytes_max,
                               &s->first);
        PUT(&call->out, "]");
        coh_rpc_done(call);
    }
}

/* search_hash answers the call with the logs of one block; filter is taken. */
static void search_hash(coh_rpc_call_t *call, coh_rpc_filter_t *filter, coh_hash_t const *hash)
{
    search_t *s          = coh_calloc(1, sizeof(*s));
    s->filter            = *filter;
    *filter              = (coh_rpc_filter_t){0};
    s->first             = true;
    call->extra          = s;
    call->extra_free     = free_search;
    coh_ask_t *ask       = coh_ask_new(COH_ASK_BLOCK);
    ask->u.block.by_hash = true;
    ask->u.block.hash    = *hash;
    coh_rpc_post(call, ask, on_hash_block);
}

/* read_range reads fromBlock and toBlock, with the defaults given, as numbers. */
static bool read_range(coh_rpc_t const *rpc,
                       json_t const *v,
                       uint64_t *first,
                       uint64_t *last,
                       coh_rpc_fault_t *fault)
{
    coh_rpc_at_t from;
    coh_rpc_at_t to;
    json_t const *from_v = json_object_get(v, "fromBlock");
    json_t const *to_v   = json_object_get(v, "toBlock");
    if (!coh_rpc_get_block(&from, from_v, 0, fault) || !coh_rpc_get_block(&to, to_v, 0, fault)) {
        return false;
    }
    if (from.kind == COH_RPC_AT_HASH || to.kind == COH_RPC_AT_HASH) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "invalid argument 0: hex number > 64 bits");
    }
    if (from_v != NULL) {
        *first = coh_rpc_at_number(rpc, &from);
    }
    if (to_v != NULL && to.kind != COH_RPC_AT_LATEST && to.kind != COH_RPC_AT_PENDING) {
        *last = coh_rpc_at_number(rpc, &to);
    }
    return true;
}

METHOD(get_logs)
{
    json_t const *v    = json_array_get(params, 0);
    json_t const *hash = json_object_get(v, "blockHash");
    uint64_t head      = rpc->head->header.number;
    uint64_t first     = head;
    uint64_t last      = head;
    coh_rpc_filter_t filter;
    coh_rpc_fault_t fault;
    if (!read_filter(&filter, v, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    if (hash != NULL && !json_is_null(hash)) {
        coh_hash_t wanted;
        if (json_object_get(v, "fromBlock") != NULL || json_object_get(v, "toBlock") != NULL) {
            coh_rpc_fail(call,
                         COH_RPC_PARAMS,
                         "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, "
                         "choose one or the other");
        } else if (!coh_rpc_get_hash(&wanted, hash, 0, &fault)) {
            coh_rpc_fail_fault(call, &fault);
        } else {
            search_hash(call, &filter, &wanted);
        }
    } else if (!read_range(rpc, v, &first, &last, &fault)) {
        coh_rpc_fail_fault(call, &fault);
    } else if (first > last) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "invalid block range params");
    } else if (last > head) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "block range extends beyond current head block");
    } else {
        start_search(
            rpc, call, &filter, &(coh_buf_t){0}, COH_MAX(first, rpc->d.genesis->number), last);
    }
    coh_rpc_filter_fini(&filter);
}

/* ---- filters ---- */

static void new_id(uint8_t id[COH_RPC_ID_SZ])
{
    /* Who guesses an id can read or end another's filter: so it is random. */
    ssize_t n = getrandom(id, COH_RPC_ID_SZ, 0);
    COH_ASSERT(n == COH_RPC_ID_SZ);
}

static void want_pooled(coh_rpc_t *rpc, bool more)
{
    uint32_t before = rpc->pooled_wanted;
    rpc->pooled_wanted += more ? 1u : UINT32_MAX;
    if ((before == 0) != (rpc->pooled_wanted == 0)) {
        rpc->d.want_pooled(rpc->d.arg, rpc->pooled_wanted != 0);
    }
}

static void remove_filter(coh_rpc_t *rpc, uint32_t i)
{
    coh_rpc_filter_entry_t *f = &rpc->filters[i];
    if (f->kind == COH_RPC_FILTER_POOLED) {
        want_pooled(rpc, false);
    }
    rpc->criteria_bytes -= criteria_bytes(&f->filter);
    coh_rpc_filter_fini(&f->filter);
    rpc->gone_bytes -= f->gone.n;
    coh_buf_free(&f->gone);
    *f = rpc->filters[--rpc->filter_cnt];
}

void coh_rpc_age_filters(coh_rpc_t *rpc)
{
    for (uint32_t i = rpc->filter_cnt; i-- > 0;) {
        if (rpc->now_us - rpc->filters[i].used_us > COH_RPC_FILTER_AGE_US) {
            remove_filter(rpc, i);
        }
    }
}

/* add_filter makes a filter and answers the call with its id. NULL: there are too many; the call has failed. */
static coh_rpc_filter_entry_t *add_filter(coh_rpc_t *rpc,
                                          coh_rpc_call_t *call,
                                          coh_rpc_filter_kind_t kind)
{
    if (rpc->filter_cnt == COH_RPC_FILTERS_MAX) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "busy: too many filters");
        return NULL;
    }
    coh_rpc_filter_entry_t *f = &rpc->filters[rpc->filter_cnt++];
    *f                        = (coh_rpc_filter_entry_t){
                               .kind      = kind,
                               .to        = UINT64_MAX,
                               .seen      = rpc->head->header.number,
                               .pooled_no = rpc->pooled_no,
                               .used_us   = rpc->now_us,
    };
    new_id(f->id);
    coh_rpc_put_data(&call->out, f->id, sizeof(f->id));
    return f;
}

METHOD(new_filter)
{
    json_t const *v = json_array_get(params, 0);
    uint64_t first  = rpc->head->header.number + 1;
    uint64_t last   = UINT64_MAX;
    char const *tag = json_string_value(json_object_get(v, "fromBlock"));
    bool floats     = tag == NULL || strncmp(tag, "0x", 2) != 0;
    coh_rpc_filter_t filter;
    coh_rpc_fault_t fault;
    if (!read_filter(&filter, v, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        return;
    }
    if (!read_range(rpc, v, &first, &last, &fault)) {
        coh_rpc_fail_fault(call, &fault);
    } else if (first > last) {
        coh_rpc_fail(call, COH_RPC_PARAMS, "invalid block range params");
    } else if (has_room(rpc, call, criteria_bytes(&filter))) {
        coh_rpc_filter_entry_t *f = add_filter(rpc, call, COH_RPC_FILTER_LOGS);
        if (f == NULL) {
            rpc->criteria_bytes -= criteria_bytes(&filter);
        } else {
            f->filter = filter;
            f->from   = first;
            f->floats = floats;
            f->to     = last;
            filter    = (coh_rpc_filter_t){0};
            coh_rpc_done(call);
        }
    }
    coh_rpc_filter_fini(&filter);
}

METHOD(new_block_filter)
{
    (void)params;
    if (add_filter(rpc, call, COH_RPC_FILTER_BLOCKS) != NULL) {
        coh_rpc_done(call);
    }
}

METHOD(new_pending_filter)
{
    (void)params;
    if (add_filter(rpc, call, COH_RPC_FILTER_POOLED) != NULL) {
        want_pooled(rpc, true);
        coh_rpc_done(call);
    }
}

/* is_id: v may name a filter or a subscription; else the call has failed. */
static bool is_id(coh_rpc_call_t *call, json_t const *v)
{
    coh_rpc_fault_t fault;
    if (json_is_string(v)) {
        return true;
    }
    (void)coh_rpc_fault_type(&fault, 0, v, "rpc.ID");
    coh_rpc_fail_fault(call, &fault);
    return false;
}

/* find_filter finds the filter of argument 0; UINT32_MAX: there is none, and the call has failed. */
static uint32_t find_filter(coh_rpc_t *rpc, coh_rpc_call_t *call, json_t const *params)
{
    json_t const *v = json_array_get(params, 0);
    uint8_t id[COH_RPC_ID_SZ];
    if (!is_id(call, v)) {
        return UINT32_MAX;
    }
    if (coh_hex_decode(id, sizeof(id), json_string_value(v), json_string_length(v)) == COH_OK) {
        for (uint32_t i = 0; i < rpc->filter_cnt; i++) {
            if (memcmp(rpc->filters[i].id, id, sizeof(id)) == 0) {
                rpc->filters[i].used_us = rpc->now_us;
                return i;
            }
        }
    }
    coh_rpc_fail(call, COH_RPC_SERVER, "filter not found");
    return UINT32_MAX;
}

static coh_rpc_filter_t copy_filter(coh_rpc_filter_t const *from)
{
    coh_rpc_filter_t f = *from;
    size_t topics      = topics_of(from);
    f.addrs            = coh_calloc(f.addr_cnt, sizeof(*f.addrs));
    f.topics           = coh_calloc(topics, sizeof(*f.topics));
    if (f.addr_cnt > 0) {
        memcpy(f.addrs, from->addrs, f.addr_cnt * sizeof(*f.addrs));
    }
    if (topics > 0) {
        memcpy(f.topics, from->topics, topics * sizeof(*f.topics));
    }
    return f;
}

static void step_block_hashes(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_ask_t *ask)
{
    (void)rpc;
    if (ask->err != COH_OK) {
        coh_rpc_fail_err(call, ask->err);
        return;
    }
    for (uint32_t i = 0; i < ask->u.headers.cnt; i++) {
        if (ask->u.headers.headers[i].found) {
            coh_buf_printf(&call->out, "%s", call->out.n == 1 ? "" : ",");
            coh_rpc_put_hash(&call->out, &ask->u.headers.headers[i].hash);
        }
    }
    if (coh_rpc_is_full(call)) {
        return;
    }
    call->number += ask->u.headers.cnt;
    uint64_t left = call->idx - COH_MIN((uint64_t)call->idx, (uint64_t)ask->u.headers.cnt);
    call->idx     = (uint32_t)left;
    if (left == 0) {
        PUT(&call->out, "]");
        coh_rpc_done(call);
        return;
    }
    coh_ask_t *next       = coh_ask_new(COH_ASK_HEADERS);
    next->u.headers.first = call->number;
    next->u.headers.cnt   = (uint32_t)COH_MIN(left, (uint64_t)COH_ASK_HEADERS_MAX);
    coh_rpc_post(call, next, step_block_hashes);
}

/* block_changes answers with the hashes of blocks first..head, the last ones if they are too many. */
static void block_changes(coh_rpc_t *rpc, coh_rpc_call_t *call, uint64_t first)
{
    uint64_t head = rpc->head->header.number;
    uint64_t max  = rpc->d.config->http_log_blocks_max;
    PUT(&call->out, "[");
    if (first > head) {
        PUT(&call->out, "]");
        coh_rpc_done(call);
        return;
    }
    uint64_t cnt         = COH_MIN(head - first + 1, COH_MIN(max, (uint64_t)UINT32_MAX));
    call->number         = head + 1 - cnt;
    call->idx            = (uint32_t)cnt;
    coh_ask_t *ask       = coh_ask_new(COH_ASK_HEADERS);
    ask->u.headers.first = call->number;
    ask->u.headers.cnt   = (uint32_t)COH_MIN(cnt, (uint64_t)COH_ASK_HEADERS_MAX);
    coh_rpc_post(call, ask, step_block_hashes);
}

static void pooled_changes(coh_rpc_t *rpc, coh_rpc_call_t *call, coh_rpc_filter_entry_t *f)
{
    uint64_t at =
        rpc->pooled_no - COH_MIN(rpc->pooled_no - f->pooled_no, (uint64_t)COH_RPC_POOLED_CNT);
    PUT(&call->out, "[");
    for (uint64_t no = at; no < rpc->pooled_no; no++) {
        if (no > at) {
            PUT(&call->out, ",");
        }
        coh_rpc_put_hash(&call->out, &rpc->pooled[no % COH_RPC_POOLED_CNT]);
    }
    PUT(&call->out, "]");
    f->pooled_no = rpc->pooled_no;
    coh_rpc_done(call);
}

METHOD(filter_changes)
{
    uint32_t i = find_filter(rpc, call, params);
    if (i == UINT32_MAX) {
        return;
    }
    coh_rpc_filter_entry_t *f = &rpc->filters[i];
    uint64_t head             = rpc->head->header.number;
    uint64_t first            = f->seen + 1;
    switch (f->kind) {
    case COH_RPC_FILTER_LOGS: {
        coh_rpc_filter_t copy = copy_filter(&f->filter);
        /* A filter that was not polled for longer than a search may span goes on from there. */
        uint64_t last = COH_MIN(COH_MIN(head, f->to), f->seen + rpc->d.config->http_log_blocks_max);
        f->seen       = COH_MAX(f->seen, last);
        coh_buf_t gone = f->gone;
        f->gone        = COH_BUF_INIT;
        rpc->gone_bytes -= gone.n;
        start_search(rpc, call, &copy, &gone, COH_MAX(first, f->from), last);
        break;
    }
    case COH_RPC_FILTER_BLOCKS:
        f->seen = head;
        block_changes(rpc, call, first);
        break;
    case COH_RPC_FILTER_POOLED: pooled_changes(rpc, call, f); break;
    }
}

METHOD(filter_logs)
{
    uint32_t i = find_filter(rpc, call, params);
    if (i == UINT32_MAX) {
        return;
    }
    coh_rpc_filter_entry_t *f = &rpc->filters[i];
    if (f->kind != COH_RPC_FILTER_LOGS) {
        coh_rpc_fail(call, COH_RPC_SERVER, "filter not found");
        return;
    }
    coh_rpc_filter_t copy = copy_filter(&f->filter);
    start_search(rpc,
                 call,
                 &copy,
                 &(coh_buf_t){0},
                 COH_MAX(f->from, rpc->d.genesis->number),
                 COH_MIN(f->to, rpc->head->header.number));
}

METHOD(uninstall_filter)
{
    json_t const *v = json_array_get(params, 0);
    uint8_t id[COH_RPC_ID_SZ];
    bool found = false;
    if (!is_id(call, v)) {
        return;
    }
    if (coh_hex_decode(id, sizeof(id), json_string_value(v), json_string_length(v)) == COH_OK) {
        for (uint32_t i = 0; i < rpc->filter_cnt && !found; i++) {
            if (memcmp(rpc->filters[i].id, id, sizeof(id)) == 0) {
                remove_filter(rpc, i);
                found = true;
            }
        }
    }
    coh_buf_printf(&call->out, found ? "true" : "false");
    coh_rpc_done(call);
}

/* ---- subscriptions ---- */

static size_t sub_bytes(coh_rpc_sub_t const *sub)
{
    return criteria_bytes(&sub->filter) + sub->hash_cnt * sizeof(*sub->hashes);
}

static void free_sub(coh_rpc_sub_t *sub)
{
    coh_rpc_t *rpc                                                  = sub->peer->rpc;
    *(sub->prev != NULL ? &sub->prev->next : &rpc->subs[sub->kind]) = sub->next;
    if (sub->next != NULL) {
        sub->next->prev = sub->prev;
    }
    if (sub->kind == COH_RPC_SUB_POOLED) {
        want_pooled(rpc, false);
    }
    sub->peer->sub_cnt--;
    rpc->criteria_bytes -= sub_bytes(sub);
    coh_rpc_filter_fini(&sub->filter);
    free(sub->hashes);
    free(sub);
}

void coh_rpc_end_subs(coh_rpc_peer_t *peer)
{
    while (peer->subs != NULL) {
        coh_rpc_sub_t *sub = peer->subs;
        peer->subs         = sub->peer_next;
        free_sub(sub);
    }
}

/* read_hashes reads the transactions whose receipts are wanted. */
static bool read_hashes(coh_rpc_sub_t *sub, json_t const *v, coh_rpc_fault_t *fault)
{
    json_t const *list = json_object_get(v, "transactionHashes");
    size_t cnt         = json_array_size(list);
    if (cnt > COH_RPC_CRITERIA_MAX) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "too many transaction hashes");
    }
    sub->hashes   = coh_calloc(cnt, sizeof(*sub->hashes));
    sub->hash_cnt = (uint32_t)cnt;
    for (size_t i = 0; i < cnt; i++) {
        if (!coh_rpc_get_hash(&sub->hashes[i], json_array_get(list, i), 1, fault)) {
            return false;
        }
    }
    return true;
}

/* read_sub reads what is subscribed to; false with fault, and what was read to be freed. */
static bool read_sub(coh_rpc_sub_t *sub, json_t const *params, coh_rpc_fault_t *fault)
{
    char const *name    = json_string_value(json_array_get(params, 0));
    json_t const *which = json_array_get(params, 1);
    name                = name != NULL ? name : "";
    if (strcmp(name, "newHeads") == 0) {
        sub->kind = COH_RPC_SUB_HEADS;
        return true;
    }
    if (strcmp(name, "logs") == 0) {
        sub->kind = COH_RPC_SUB_LOGS;
        return read_filter(&sub->filter, which, fault);
    }
    if (strcmp(name, "transactionReceipts") == 0) {
        sub->kind = COH_RPC_SUB_RECEIPTS;
        return read_hashes(sub, which, fault);
    }
    if (strcmp(name, "newPendingTransactions") == 0) {
        sub->kind = COH_RPC_SUB_POOLED;
        sub->full = json_is_true(which);
        return true;
    }
    return coh_rpc_fault(
        fault, COH_RPC_NO_METHOD, "no \"%.50s\" subscription in eth namespace", name);
}

METHOD(subscribe)
{
    coh_rpc_peer_t *peer = call->req->peer;
    coh_rpc_fault_t fault;
    if (!peer->subscribes) {
        coh_rpc_fail(call, COH_RPC_NO_METHOD, "notifications not supported");
        return;
    }
    if (peer->sub_cnt == COH_RPC_PEER_SUBS_MAX) {
        coh_rpc_fail(call, COH_RPC_LIMIT, "too many subscriptions of one connection");
        return;
    }
    coh_rpc_sub_t *sub = coh_calloc(1, sizeof(*sub));
    if (!read_sub(sub, params, &fault)) {
        coh_rpc_fail_fault(call, &fault);
        free(sub->hashes);
        free(sub);
        return;
    }
    if (!has_room(rpc, call, sub_bytes(sub))) {
        coh_rpc_filter_fini(&sub->filter);
        free(sub->hashes);
        free(sub);
        return;
    }
    new_id(sub->id);
    sub->peer      = peer;
    sub->peer_next = peer->subs;
    peer->subs     = sub;
    peer->sub_cnt++;
    sub->next = rpc->subs[sub->kind];
    if (sub->next != NULL) {
        sub->next->prev = sub;
    }
    rpc->subs[sub->kind] = sub;
    if (sub->kind == COH_RPC_SUB_POOLED) {
        want_pooled(rpc, true);
    }
    coh_rpc_put_data(&call->out, sub->id, sizeof(sub->id));
    coh_rpc_done(call);
}

METHOD(unsubscribe)
{
    (void)rpc;
    json_t const *v = json_array_get(params, 0);
    uint8_t id[COH_RPC_ID_SZ];
    if (!is_id(call, v)) {
        return;
    }
    if (coh_hex_decode(id, sizeof(id), json_string_value(v), json_string_length(v)) == COH_OK) {
        for (coh_rpc_sub_t **at = &call->req->peer->subs; *at != NULL; at = &(*at)->peer_next) {
            coh_rpc_sub_t *sub = *at;
            if (memcmp(sub->id, id, sizeof(id)) == 0) {
                *at = sub->peer_next;
                free_sub(sub);
                PUT(&call->out, "true");
                coh_rpc_done(call);
                return;
            }
        }
    }
    coh_rpc_fail(call, COH_RPC_SERVER, "subscription not found");
}

static void notify(coh_rpc_sub_t *sub, coh_bytes_t result)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_grow(&text, result.n + 160);
    PUT(&text,
        "{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscription\",\"params\":{\"subscription\":");
    coh_rpc_put_data(&text, sub->id, sizeof(sub->id));
    PUT(&text, ",\"result\":");
    coh_buf_put(&text, result.p, result.n);
    PUT(&text, "}}");
    coh_metric_add(sub->peer->rpc->d.metrics, COH_M_rpc_notified, 1);
    sub->peer->send(sub->peer->arg, &text, false);
}

static void tell_log(void *arg, coh_bytes_t text) { notify(arg, text); }

static bool wants_receipt(coh_rpc_sub_t const *sub, coh_hash_t const *hash)
{
    bool any = sub->hash_cnt == 0;
    for (uint32_t i = 0; i < sub->hash_cnt && !any; i++) {
        any = coh_hash_eq(&sub->hashes[i], hash);
    }
    return any;
}

static void tell_receipts(coh_rpc_t *rpc, coh_rpc_sub_t *sub, coh_rpc_block_t const *block)
{
    coh_buf_t list = COH_BUF_INIT;
    for (uint32_t i = 0; i < block->sealed->tx_cnt; i++) {
        if (wants_receipt(sub, &block->sealed->receipts[i].tx_hash)) {
            coh_buf_put_u8(&list, list.n == 0 ? '[' : ',');
            coh_rpc_put_receipt(&list, block, i, rpc->d.genesis);
        }
    }
    if (list.n != 0) {
        PUT(&list, "]");
        notify(sub, coh_buf_bytes(&list));
    }
    coh_buf_free(&list);
}

static void tell_block(coh_rpc_t *rpc, coh_rpc_block_t const *block)
{
    coh_sealed_t const *s = block->sealed;
    coh_buf_t text        = COH_BUF_INIT;
    for (coh_rpc_sub_t *sub = rpc->subs[COH_RPC_SUB_HEADS]; sub != NULL; sub = sub->next) {
        if (text.n == 0) {
            coh_rpc_put_header(&text, s);
        }
        notify(sub, coh_buf_bytes(&text));
    }
    coh_buf_free(&text);
    for (coh_rpc_sub_t *sub = rpc->subs[COH_RPC_SUB_LOGS]; sub != NULL; sub = sub->next) {
        if (s->logs != NULL && coh_rpc_filter_may(&sub->filter, s->header.bloom)) {
            coh_rpc_visit_logs(s, &sub->filter, false, tell_log, sub);
        }
    }
    for (coh_rpc_sub_t *sub = rpc->subs[COH_RPC_SUB_RECEIPTS]; sub != NULL; sub = sub->next) {
        tell_receipts(rpc, sub, block);
    }
}

/* Receipts of blob transactions show what stands in their bodies. */
static bool tells_bodies(coh_rpc_t const *rpc, coh_sealed_t const *s)
{
    bool any = false;
    for (uint32_t i = 0; i < s->tx_cnt && rpc->subs[COH_RPC_SUB_RECEIPTS] != NULL && !any; i++) {
        any = coh_rpc_receipt_needs_body(s, i);
    }
    return any;
}

bool coh_rpc_has_subs(coh_rpc_t const *rpc)
{
    return rpc->subs[COH_RPC_SUB_HEADS] != NULL || rpc->subs[COH_RPC_SUB_LOGS] != NULL ||
           rpc->subs[COH_RPC_SUB_RECEIPTS] != NULL;
}

bool coh_rpc_tell(coh_rpc_t *rpc)
{
    if (rpc->head == NULL || rpc->is_pumping || rpc->told >= rpc->head->header.number) {
        return false;
    }
    if (!coh_rpc_has_subs(rpc)) {
        rpc->told = rpc->head->header.number;
        return false;
    }
    uint64_t next          = rpc->told + 1;
    coh_rpc_block_t *block = coh_rpc_cached(rpc, next, rpc->pump_bodies);
    if (block != NULL && tells_bodies(rpc, block->sealed) && !coh_rpc_block_has_bodies(block)) {
        rpc->pump_bodies = true;
        block            = NULL;
    }
    if (block == NULL) {
        coh_ask_t *ask           = coh_ask_new(COH_ASK_BLOCK);
        ask->u.block.number      = next;
        ask->u.block.want_record = rpc->pump_bodies;
        rpc->is_pumping          = true;
        coh_rpc_post_for(rpc, ask, &rpc->pump);
        return false;
    }
    rpc->pump_bodies = false;
    rpc->told        = next;
    tell_block(rpc, block);
    return rpc->told < rpc->head->header.number;
}

static void forget_cache(coh_rpc_t *rpc)
{
    for (uint32_t i = 0; i < COH_RPC_CACHE_CNT; i++) {
        coh_rpc_block_free(rpc->cache[i]);
        rpc->cache[i] = NULL;
    }
}

static void keep_log(void *arg, coh_bytes_t text)
{
    coh_buf_t *out = arg;
    if (out->n != 0) {
        coh_buf_put_u8(out, ',');
    }
    coh_buf_put(out, text.p, text.n);
}

/* take_back tells that one block is gone, to those who were told of it. Lower ones first, as geth does. */
static void take_back(coh_rpc_t *rpc, coh_sealed_t const *s)
{
    uint64_t number     = s->header.number;
    coh_rpc_sub_t *subs = number <= rpc->told ? rpc->subs[COH_RPC_SUB_LOGS] : NULL;
    for (coh_rpc_sub_t *sub = subs; sub != NULL && s->logs != NULL; sub = sub->next) {
        if (coh_rpc_filter_may(&sub->filter, s->header.bloom)) {
            coh_rpc_visit_logs(s, &sub->filter, true, tell_log, sub);
        }
    }
    for (uint32_t i = rpc->filter_cnt; i-- > 0 && s->logs != NULL;) {
        coh_rpc_filter_entry_t *f = &rpc->filters[i];
        if (f->kind != COH_RPC_FILTER_LOGS || number > f->seen || number < f->from ||
            number > f->to || !coh_rpc_filter_may(&f->filter, s->header.bloom)) {
            continue;
        }
        size_t before = f->gone.n;
        coh_rpc_visit_logs(s, &f->filter, true, keep_log, &f->gone);
        rpc->gone_bytes += f->gone.n - before;
        if (rpc->gone_bytes > COH_RPC_GONE_BYTES_MAX) {
            remove_filter(rpc, i); /* so that its client sees that it has missed something */
        }
    }
}

void coh_rpc_gone(coh_rpc_t *rpc, coh_sealed_t **blocks, size_t cnt)
{
    for (size_t i = 0; i < cnt;) {
        uint64_t to = blocks[i]->header.number - 1;
        size_t end  = i + 1;
        while (end < cnt && blocks[end]->header.number > blocks[end - 1]->header.number) {
            end++;
        }
        for (; i < end; i++) {
            take_back(rpc, blocks[i]);
            coh_sealed_free(blocks[i]);
        }
        rpc->told = COH_MIN(rpc->told, to);
        for (uint32_t f = 0; f < rpc->filter_cnt; f++) {
            coh_rpc_filter_entry_t *filter = &rpc->filters[f];
            filter->seen                   = COH_MIN(filter->seen, to);
            filter->from = filter->floats ? COH_MIN(filter->from, to + 1) : filter->from;
        }
    }
    free(blocks);
    forget_cache(rpc);
}

void coh_rpc_tell_of(coh_rpc_t *rpc, coh_ask_t *ask)
{
    coh_err_t err;
    rpc->is_pumping = false;
    if (coh_rpc_take_block(rpc, ask, &err) == NULL && /* else it is at hand now */
        (rpc->dev == NULL || err != COH_ENOTFOUND)) { /* a dev chain went back meanwhile */
        rpc->told++;
        COH_LOG_WRN("rpc",
                    "subscribers miss a block",
                    "block=%llu reason=\"%s\"",
                    (unsigned long long)rpc->told,
                    coh_err_str(err));
    }
}

/* ---- pooled transactions ---- */

/* Asks for whole pooled transactions under way. */
#define POOLED_ASKS_MAX 1024u

void coh_rpc_pooled(coh_rpc_t *rpc, coh_hash_t const *hashes, size_t cnt)
{
    bool full = false;
    for (coh_rpc_sub_t *sub = rpc->subs[COH_RPC_SUB_POOLED]; sub != NULL; sub = sub->next) {
        full = full || sub->full;
    }
    for (size_t i = 0; i < cnt; i++) {
        rpc->pooled[rpc->pooled_no++ % COH_RPC_POOLED_CNT] = hashes[i];
        coh_buf_t text                                     = COH_BUF_INIT;
        for (coh_rpc_sub_t *sub = rpc->subs[COH_RPC_SUB_POOLED]; sub != NULL; sub = sub->next) {
            if (!sub->full) {
                if (text.n == 0) {
                    coh_rpc_put_hash(&text, &hashes[i]);
                }
                notify(sub, coh_buf_bytes(&text));
            }
        }
        coh_buf_free(&text);
        if (full && rpc->pooled_asks < POOLED_ASKS_MAX) {
            coh_ask_t *ask = coh_ask_new(COH_ASK_TX);
            ask->u.tx.hash = hashes[i];
            rpc->pooled_asks++;
            coh_rpc_post_for(rpc, ask, &rpc->pooled_owner);
        }
    }
}

void coh_rpc_tell_pooled(coh_rpc_t *rpc, coh_ask_t *ask)
{
    rpc->pooled_asks--;
    coh_buf_t text = COH_BUF_INIT;
    if (ask->err == COH_OK && ask->u.tx.state == COH_ASK_TX_PENDING &&
        coh_rpc_put_pooled_tx(
            &text, coh_buf_bytes(&ask->bytes), &ask->u.tx.hash, &ask->u.tx.sender) == COH_OK) {
        for (coh_rpc_sub_t *sub = rpc->subs[COH_RPC_SUB_POOLED]; sub != NULL; sub = sub->next) {
            if (sub->full) {
                notify(sub, coh_buf_bytes(&text));
            }
        }
    }
    coh_buf_free(&text);
}
