/* coordinator.h: the state machine of rank 0. It orders transactions into blocks, sends them to their homes, finds out when a block is
   settled, runs the group two-phase commit, seals headers, and answers clients. It dispatches; the modules beside it decide.

   WAITING (for HELLO of all) ─▶ RECOVERING (WELCOME sent) ─all READY─▶ RUNNING ─stop─▶ DRAINING ─all STOPPED─▶ STOPPED
   Any of them ─▶ FAILED (reason in coh_node_ops_t.failed). */
#ifndef COH_COORDINATOR_H
#define COH_COORDINATOR_H

#include "common/codec/fork.h"
#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/node/env.h"

typedef struct coh_coordinator coh_coordinator_t;

/* Sinks of the gateway: how answers and publications leave. Called on the communication thread. data is borrowed. */
typedef struct coh_gateway_sink coh_gateway_sink_t;
struct coh_gateway_sink {
    /* Answers request (an opaque number given to coh_coordinator_on_request); exactly once for each. */
    void (*reply)(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data);
    /* Publishes one message to all subscribers of its topic prefix (see client/ops.def). */
    void (*publish)(coh_gateway_sink_t *sink, coh_bytes_t data);
    /* True if somebody listens to publications. */
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

bool coh_coordinator_is_ready(coh_coordinator_t const *c);
uint64_t coh_coordinator_head(coh_coordinator_t const *c);

/* A given block to replay, instead of what the pool would order: its transactions in order with their senders, and its environment. */
typedef struct {
    uint64_t number;
    coh_fork_t fork;
    uint64_t timestamp;
    uint64_t gas_limit;
    coh_u256_t base_fee;
    coh_u256_t blob_base_fee; /* 0 before Cancun */
    coh_u256_t prev_randao;   /* the difficulty before Paris */
    uint32_t blob_max;        /* 0 before Cancun */
    coh_addr_t coinbase;
    uint32_t tx_cnt;
    coh_bytes_t const *raws;   /* tx_cnt; copied */
    coh_addr_t const *senders; /* tx_cnt; copied */
    /* Encoded steps (codec/step.h), in their order: before_cnt of them come before the transactions, the rest after. */
    uint32_t step_cnt; /* at most COH_STEP_CNT_MAX */
    uint32_t before_cnt;
    coh_bytes_t const *steps; /* step_cnt; copied */
} coh_import_block_t;

/* What became of it. */
typedef struct {
    uint64_t number;
    coh_err_t err; /* COH_OK committed; COH_EINVAL the block is invalid, nothing of it is applied */
    uint32_t bad_tx_idx;  /* with COH_EINVAL: the first invalid transaction... */
    uint32_t bad_verdict; /* ...and why (coh_tx_err_t) */
    uint64_t gas_used;
    coh_hash_t hash; /* of the header that Cohort sealed */
    struct coh_sealed const
        *sealed; /* with COH_OK: the block with its receipts; borrowed for the call */
} coh_import_result_t;

typedef void coh_import_done_fn(void *arg, coh_import_result_t const *result);

/* coh_coordinator_import queues a block; blocks are carried out in the order given, pipelined like produced ones where
   each is valid. An invalid transaction makes its block invalid (import mode; DESIGN 4). done is called on the communication thread.
   Its number must be the head's plus one counted with those queued; a chain that begins elsewhere than at 0 says so in its genesis.
   If a block is invalid, those queued after it are given up with COH_EINVAL and verdict COH_TX_ABORTED: their numbers no longer follow.
   Returns: COH_OK; COH_EBUSY queue full; COH_EINVAL wrong number, or a transaction or step that does not decode; COH_ETOOBIG more than
            block.tx_max transactions; COH_ECLOSED stopping or failed */
coh_err_t coh_coordinator_import(coh_coordinator_t *c,
                                 coh_import_block_t const *block,
                                 coh_import_done_fn *done,
                                 void *arg);

/* coh_coordinator_status_json appends the whole cluster's status as one JSON object (STATS of all ranks included); communication thread. */
void coh_coordinator_status_json(coh_coordinator_t *c, coh_buf_t *out);

#endif
