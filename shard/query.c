#include "shard/query.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

typedef struct query {
    struct query *next; /* while there is no room for its keys */
    uint64_t id;
    uint64_t block;
    uint32_t cnt;
    uint32_t missing;
    coh_key_t *keys;
    coh_rec_state_value_t *values;
} query_t;

struct coh_queries {
    coh_mvstore_t *mv;
    coh_env_t *env;
    query_t *first; /* waiting for room, in order of arrival */
    query_t **last;
    query_t *loading; /* waiting for keys; linked by next */
};

coh_queries_t *coh_queries_new(coh_mvstore_t *mv, coh_env_t *env)
{
    coh_queries_t *q = coh_calloc(1, sizeof(*q));
    q->mv            = mv;
    q->env           = env;
    q->last          = &q->first;
    return q;
}

static void free_query(query_t *query)
{
    free(query->keys);
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

static void answer(coh_queries_t *q, query_t *query)
{
    coh_msg_answer_t m = {.query = query->id, .block = query->block};
    m.values.v         = query->values;
    m.values.cnt       = query->cnt;
    coh_wire_put_answer(q->env->outbox(q->env, 0), &m);
    coh_metric_add(q->env->metrics, COH_M_net_message_sent, 1);
    free_query(query);
}

/* Looks position pos up; false: it is on its way. */
static bool look_up(coh_queries_t *q, query_t *query, uint32_t pos)
{
    coh_value_t value;
    coh_waiter_t waiter = {.kind = COH_WAIT_QUERY, .query = query, .query_pos = pos};
    if (coh_mv_committed(q->mv, &query->keys[pos], &value, &waiter) == COH_MV_WAIT) {
        return false;
    }
    query->values[pos] = (coh_rec_state_value_t){.nonce = value.nonce, .word = value.word};
    return true;
}

static bool start(coh_queries_t *q, query_t *query, uint64_t committed)
{
    if (!coh_mv_query_begin(q->mv, query->cnt)) {
        return false;
    }
    query->block = committed;
    for (uint32_t i = 0; i < query->cnt; i++) {
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

coh_err_t coh_queries_add(coh_queries_t *q, coh_msg_query_t const *m, uint64_t committed)
{
    if (m->keys.cnt > COH_MV_QUERY_MAX) {
        return COH_ETOOBIG;
    }
    query_t *query = coh_calloc(1, sizeof(*query));
    query->id      = m->query;
    query->cnt     = m->keys.cnt;
    query->keys    = coh_calloc(query->cnt, sizeof(*query->keys));
    query->values  = coh_calloc(query->cnt, sizeof(*query->values));
    for (uint32_t i = 0; i < query->cnt; i++) {
        if (m->keys.v[i].kind != COH_KEY_ACCOUNT) {
            free_query(query);
            return COH_EPROTO;
        }
        query->keys[i] = coh_key_account(&m->keys.v[i].addr);
    }
    if (q->first != NULL || !start(q, query, committed)) {
        *q->last = query;
        q->last  = &query->next;
    }
    return COH_OK;
}

void coh_queries_on_loaded(coh_queries_t *q, coh_waiter_t const *waiter)
{
    query_t *query = waiter->query;
    bool here      = look_up(q, query, waiter->query_pos);
    COH_ASSERT(here);
    if (--query->missing == 0) {
        query_t **link = &q->loading;
        while (*link != query) {
            link = &(*link)->next;
        }
        *link = query->next;
        answer(q, query);
    }
}

void coh_queries_poll(coh_queries_t *q, uint64_t committed)
{
    while (q->first != NULL) {
        query_t *query = q->first;
        query_t *next  = query->next;
        query->next    = NULL;
        if (!start(q, query, committed)) {
            query->next = next;
            return;
        }
        q->first = next;
        if (next == NULL) {
            q->last = &q->first;
        }
    }
}
