/* shard.h: the state machine of a shard, ranks 1..N. It executes the transactions homed here over a multi-version
   store, serves other homes' reads and effects on the keys that it owns, and takes part in the group commit.

   HELLO sent ─WELCOME─▶ RECOVERING ─redo applied─▶ RUNNING ─STOP─▶ FLUSHING ─▶ STOPPED
   Any of them ─▶ FAILED (reason in coh_node_ops_t.failed). */
#ifndef COH_SHARD_H
#define COH_SHARD_H

#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/node/env.h"

typedef struct coh_shard coh_shard_t;

/* coh_shard_new builds the state machine over what kv holds.
   config, genesis, env, kv: borrowed until free. worker_cnt threads will call the node's work.
   Returns: COH_OK; COH_ECORRUPT, COH_EMISMATCH with the reason in err_text */
coh_err_t coh_shard_new(coh_shard_t **out,
                        coh_config_t const *config,
                        coh_genesis_t const *genesis,
                        coh_env_t *env,
                        coh_kv_t *kv,
                        uint32_t worker_cnt,
                        coh_buf_t *err_text);

/* The shard as the runtime sees it; freed through its ops. */
coh_node_t *coh_shard_node(coh_shard_t *s);

/* True while it is RUNNING; communication thread. */
bool coh_shard_is_ready(coh_shard_t const *s);

/* coh_shard_status_json appends this shard's status as one JSON object; communication thread. */
void coh_shard_status_json(coh_shard_t *s, coh_buf_t *out);

#endif
