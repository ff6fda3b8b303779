#include "shard/query.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* The account of a key, once it was looked up. It is kept: before the key itself has come, a block may have evicted it again. */
typedef struct {
    coh_value_t value;
    bool is_known;
} account_t;

typedef struct query {
    struct query *next; /* while there is no room for its keys */
    uint64_t id;
    uint64_t block;
    bool is_latest; /* block was the last committed one when it began */
    bool is_gone;   /* block was forgotten before all was looked up */
    uint32_t cnt;
    uint32_t missing;
    size_t weight; /* keys that it may bring into memory */
    coh_key_t *keys;
    account_t *accounts;
    coh_rec_state_value_t *values;
} query_t;

struct coh_queries {
    coh_mvstore_t *mv;
    coh_past_t *past;
    coh_codes_t *codes;
    coh_env_t *env;
    query_t *first; /* waiting for room, in order of arrival */
    query_t **last;
    query_t *loading; /* waiting for keys; linked by next */
};

coh_queries_t *coh_queries_new(coh_mvstore_t *mv,
                               coh_past_t *past,
                               coh_codes_t *codes,
                               coh_env_t *env)
{
    coh_queries_t *q = coh_calloc(1, sizeof(*q));
    q->mv            = mv;
    q->past          = past;
    q->codes         = codes;
    q->env           = env;
    q->last          = &q->first;
    return q;
}

/* The codes of a query are copies. */
static void free_codes(query_t *query)
{
    for (uint32_t i = 0; i < query->cnt; i++) {
        free((void *)(uintptr_t)query->values[i].code.p);
        query->values[i].code = (coh_bytes_t){0};
    }
}

static void free_query(query_t *query)
{
    free_codes(query);
    free(query->keys);
    free(query->accounts);
    free(query->values);
    free(query);
}

static void free_list(query_t *query)
{
    while (query != NULL) {
        query_t *next = query->next;
        free_query(query);
        query = next;
    }
}

void coh_queries_free(coh_queries_t *q)
{
    if (q != NULL) {
        free_list(q->first);
        free_list(q->loading);
        free(q);
    }
}

bool coh_queries_is_idle(coh_queries_t const *q) { return q->first == NULL && q->loading == NULL; }

static void answer(coh_queries_t *q, query_t *query)
{
    coh_msg_answer_t m = {.query = query->id, .block = query->block, .gone = query->is_gone};
    m.values.v         = query->values;
    m.values.cnt       = query->is_gone ? 0 : query->cnt;
    coh_wire_put_answer(q->env->outbox(q->env, 0), &m);
    coh_metric_add(q->env->metrics, COH_M_net_message_sent, 1);
    free_query(query);
}

static coh_bytes_t copy(coh_bytes_t in)
{
    uint8_t *p = coh_calloc(1, in.n + 1);
    memcpy(p, in.p, in.n);
    return coh_bytes(p, in.n);
}

/* What key had at the query's block; false: it is on its way. */
static bool value_at(coh_queries_t *q,
                     query_t *query,
                     coh_key_t const *key,
                     coh_value_t *out,
                     coh_waiter_t const *waiter)
{
    switch (coh_past_find(q->past, key, query->block, out)) {
    case COH_PAST_FOUND: return true;
    case COH_PAST_GONE:
        query->is_gone = true;
        *out           = (coh_value_t){0};
        return true;
    case COH_PAST_PRESENT: break;
    }
    return coh_mv_committed(q->mv, key, out, waiter) == COH_MV_OK;
}

/* Looks position pos up; false: it is on its way. */
static bool look_up(coh_queries_t *q, query_t *query, uint32_t pos)
{
    coh_key_t const *key       = &query->keys[pos];
    coh_rec_state_value_t *out = &query->values[pos];
    coh_key_t account          = coh_key_account(&key->addr);
    coh_waiter_t waiter        = {.kind = COH_WAIT_QUERY, .query = query, .query_pos = pos};
    account_t *known           = &query->accounts[pos];
    if (!known->is_known) {
        if (!value_at(q, query, &account, &known->value, &waiter)) {
            return false;
        }
        known->is_known = true;
    }
    coh_value_t value = known->value;
    if (key->kind == COH_KEY_SLOT) {
        coh_key_t slot = coh_key_slot(&key->addr, value.generation, &key->slot);
        if (!value_at(q, query, &slot, &value, &waiter)) {
            return false;
        }
        *out = (coh_rec_state_value_t){.word = value.word};
        return true;
    }
    *out = (coh_rec_state_value_t){
        .nonce = value.nonce, .word = value.word, .code_hash = value.code_hash};
    if (key->kind == COH_KEY_CODE && coh_value_has_code(&value)) {
        coh_bytes_t code;
        if (!coh_codes_bytes(q->codes, &value.code_hash, &code)) {
            bool waits = coh_codes_want(q->codes, NULL, &value.code_hash, &waiter);
            if (waits) {
                return false;
            }
            bool here = coh_codes_bytes(q->codes, &value.code_hash, &code);
            COH_ASSERT(here);
        }
        out->code = copy(code);
    }
    return true;
}

static void wait_for_room(coh_queries_t *q, query_t *query)
{
    query->next = NULL;
    *q->last    = query;
    q->last     = &query->next;
}

static bool start(coh_queries_t *q, query_t *query)
{
    if (!coh_mv_query_begin(q->mv, query->weight)) {
        return false;
    }
    if (query->is_latest) {
        query->block = coh_past_head(q->past);
    }
    query->is_gone = false;
    query->missing = 0;
    for (uint32_t i = 0; i < query->cnt; i++) {
        query->accounts[i].is_known = false;
        query->missing += !look_up(q, query, i);
    }
    if (query->missing == 0) {
        answer(q, query);
    } else {
        query->next = q->loading;
        q->loading  = query;
    }
    return true;
}

/* Takes the keys; false: not such a key. */
static bool take_keys(query_t *query, coh_msg_query_t const *m)
{
    for (uint32_t i = 0; i < query->cnt; i++) {
        coh_rec_key_t const *in = &m->keys.v[i];
        if (in->kind != COH_KEY_ACCOUNT && in->kind != COH_KEY_SLOT && in->kind != COH_KEY_CODE) {
            return false;
        }
        query->keys[i] = (coh_key_t){.addr = in->addr, .slot = in->slot, .kind = in->kind};
    }
    return true;
}

coh_err_t coh_queries_add(coh_queries_t *q, coh_msg_query_t const *m)
{
    if (m->block != COH_BLOCK_LATEST && m->block > coh_past_head(q->past)) {
        return COH_EPROTO;
    }
    size_t weight   = m->keys.cnt;
    size_t code_cnt = 0;
    for (uint32_t i = 0; i < m->keys.cnt; i++) {
        weight += m->keys.v[i].kind == COH_KEY_SLOT;
        code_cnt += m->keys.v[i].kind == COH_KEY_CODE;
    }
    if (weight > COH_MV_QUERY_MAX || code_cnt > COH_QUERY_CODE_MAX) {
        return COH_ETOOBIG;
    }
    query_t *query   = coh_calloc(1, sizeof(*query));
    query->id        = m->query;
    query->block     = m->block;
    query->is_latest = m->block == COH_BLOCK_LATEST;
    query->cnt       = m->keys.cnt;
    query->weight    = weight;
    query->keys      = coh_calloc(query->cnt, sizeof(*query->keys));
    query->accounts  = coh_calloc(query->cnt, sizeof(*query->accounts));
    query->values    = coh_calloc(query->cnt, sizeof(*query->values));
    if (!take_keys(query, m)) {
        free_query(query);
        return COH_EPROTO;
    }
    if (q->first != NULL || !start(q, query)) {
        wait_for_room(q, query);
    }
    return COH_OK;
}

void coh_queries_on_loaded(coh_queries_t *q, coh_waiter_t const *waiter)
{
    query_t *query = waiter->query;
    if (!look_up(q, query, waiter->query_pos) || --query->missing != 0) {
        return;
    }
    query_t **link = &q->loading;
    while (*link != query) {
        link = &(*link)->next;
    }
    *link = query->next;
    if (query->is_gone && query->is_latest) { /* ask all again, of what is the latest now */
        free_codes(query);
        wait_for_room(q, query);
    } else {
        answer(q, query);
    }
}

void coh_queries_poll(coh_queries_t *q)
{
    while (q->first != NULL) {
        query_t *query = q->first;
        query_t *next  = query->next;
        query->next    = NULL;
        if (!start(q, query)) {
            query->next = next;
            return;
        }
        q->first = next;
        if (next == NULL) {
            q->last = &q->first;
        }
    }
}
