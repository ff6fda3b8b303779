/* query.h: reads of committed state for the coordinator (QUERY, ANSWER). All values of an answer belong to one block: the one asked for, as far as it is remembered (past.h), or the one that
   was committed when the query arrived, even if some have to come from disk first. A slot is looked up in its account's generation, code by its account's hash:
   first the account, then the rest. */
#ifndef COH_QUERY_H
#define COH_QUERY_H

#include "common/node/env.h"
#include "common/wire/wire.h"
#include "shard/codes.h"

typedef struct coh_queries coh_queries_t;

/* past: of mv; its head is the block that is committed. */
coh_queries_t *coh_queries_new(coh_mvstore_t *mv,
                               coh_past_t *past,
                               coh_codes_t *codes,
                               coh_env_t *env);
void coh_queries_free(coh_queries_t *q);

#define COH_QUERY_CODE_MAX 64u

/* coh_queries_add takes a query; answers go to rank 0's outbox, now or when the keys are loaded.
   Returns: COH_OK; COH_ETOOBIG more than COH_MV_QUERY_MAX keys, a slot counting as two, or more than COH_QUERY_CODE_MAX codes; COH_EPROTO an unknown kind of key, or a block that is not committed */
coh_err_t coh_queries_add(coh_queries_t *q, coh_msg_query_t const *m);
/* A waiter of this module's came back. */
void coh_queries_on_loaded(coh_queries_t *q, coh_waiter_t const *waiter);
/* True if no query is under way. */
bool coh_queries_is_idle(coh_queries_t const *q);
/* coh_queries_poll tries those again for which there was no room. */
void coh_queries_poll(coh_queries_t *q);

#endif
