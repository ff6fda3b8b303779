/* coordinator.h: the state machine of rank 0. It orders transactions into blocks, sends them to their homes, finds out when a block is
   settled, runs the group two-phase commit, seals headers, and answers clients. It dispatches; the modules beside it decide.

   WAITING (for HELLO of all) ─▶ RECOVERING (WELCOME sent) ─all READY─▶ RUNNING ─stop─▶ DRAINING ─all STOPPED─▶ STOPPED
   Any of them ─▶ FAILED (reason in coh_node_ops_t.failed). */
#ifndef COH_COORDINATOR_H
#define COH_COORDINATOR_H

#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/node/env.h"
#include "common/state/directory.h"
#include "coordinator/import.h"

typedef struct coh_coordinator coh_coordinator_t;

/* Sinks of the gateway: how answers and publications leave. Called on the communication thread. data is borrowed. */
typedef struct coh_gateway_sink coh_gateway_sink_t;
struct coh_gateway_sink {
    /* Answers request (an opaque number given to coh_coordinator_on_request); exactly once for each. */
    void (*reply)(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data);
    /* Publishes one message to all subscribers of its topic prefix (see client/ops.def); only after has_subscribers was true. */
    void (*publish)(coh_gateway_sink_t *sink, coh_bytes_t data);
    /* True if somebody listens to publications; NULL: nobody ever does. */
    bool (*has_subscribers)(coh_gateway_sink_t *sink);
};

/* coh_coordinator_new builds the state machine over what kv holds (recovery is part of it).
   config, genesis, sink, env, kv: borrowed until free; kv is read here and by disk requests only. sink may be NULL (no clients).
   Returns: COH_OK; COH_ECORRUPT, COH_EMISMATCH with the reason in err_text */
coh_err_t coh_coordinator_new(coh_coordinator_t **out,
                              coh_config_t const *config,
                              coh_genesis_t const *genesis,
                              coh_env_t *env,
                              coh_kv_t *kv,
                              coh_gateway_sink_t *sink,
                              coh_buf_t *err_text);

/* The coordinator as the runtime sees it; freed through its ops. */
coh_node_t *coh_coordinator_node(coh_coordinator_t *c);

/* coh_coordinator_on_request handles one client request (client/ops.def); communication thread. data is borrowed for the call.
   Every request is answered through sink->reply, possibly before this returns; hostile bytes get an error answer. */
void coh_coordinator_on_request(coh_coordinator_t *c, uint64_t request, coh_bytes_t data);

/* The JSON-RPC face (ask.h). coh_coordinator_listen names who asks, once, before the first ask; asker is copied. coh_coordinator_ask takes
   ask until it is done, possibly before this returns. coh_coordinator_go_on: call it when asks with records were freed. Communication thread. */
struct coh_asker;
struct coh_ask;
void coh_coordinator_listen(coh_coordinator_t *c, struct coh_asker const *asker);
void coh_coordinator_ask(coh_coordinator_t *c, struct coh_ask *ask);
void coh_coordinator_go_on(coh_coordinator_t *c);

/* All shards are ready, and blocks may be built; the last committed block. Communication thread. */
bool coh_coordinator_is_ready(coh_coordinator_t const *c);
uint64_t coh_coordinator_head(coh_coordinator_t const *c);

/* coh_coordinator_import queues a block; blocks are carried out in the order given, pipelined like produced ones where
   each is valid. An invalid transaction makes its block invalid (import mode). done is called on the communication thread.
   Its number must be the head's plus one counted with those queued; a chain that begins elsewhere than at 0 says so in its genesis.
   If a block is invalid, those queued after it are given up with COH_EINVAL and verdict COH_TX_ABORTED: their numbers no longer follow.
   Returns: COH_OK; COH_EBUSY queue full; COH_EINVAL wrong number, or a transaction or step that does not decode; COH_ETOOBIG more than
            block.tx_max transactions; COH_ECLOSED stopping or failed */
coh_err_t coh_coordinator_import(coh_coordinator_t *c,
                                 coh_import_block_t const *block,
                                 coh_import_done_fn *done,
                                 void *arg);

/* coh_coordinator_move brings accounts to other shards (bucket of wanted does not count), with all that they have, between blocks: no block begins until that is done, or a shard has refused it.
   Returns: COH_OK: it is under way; COH_ENOTFOUND they are all there; COH_EBUSY others are being moved; COH_ETOOBIG too many; COH_EINVAL no such shard; COH_ECLOSED not running */
coh_err_t coh_coordinator_move(coh_coordinator_t *c, coh_override_t const *wanted, size_t cnt);

/* coh_coordinator_status_json appends the whole cluster's status as one JSON object (STATS of all ranks included); communication thread. */
void coh_coordinator_status_json(coh_coordinator_t *c, coh_buf_t *out);

#endif
