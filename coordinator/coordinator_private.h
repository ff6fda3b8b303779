/* coordinator_private.h: the inside of the coordinator's state machine, shared by coordinator.c (life cycle, blocks) and client_ops.c (what clients ask). */
#ifndef COH_COORDINATOR_PRIVATE_H
#define COH_COORDINATOR_PRIVATE_H

#include "common/codec/step.h"
#include "common/state/directory.h"
#include "coordinator/admission.h"
#include "coordinator/affinity.h"
#include "coordinator/ask.h"
#include "coordinator/backup.h"
#include "coordinator/block_stats.h"
#include "coordinator/calls.h"
#include "coordinator/chain.h"
#include "coordinator/commit.h"
#include "coordinator/coordinator.h"
#include "coordinator/dev.h"
#include "coordinator/gateway/gateway.h"
#include "coordinator/import.h"
#include "coordinator/lookup.h"
#include "coordinator/moves.h"
#include "coordinator/pool.h"
#include "coordinator/produce.h"
#include "coordinator/recovery.h"
#include "coordinator/sequencer.h"
#include "coordinator/settle.h"
#include "coordinator/state_roots.h"

/* Blocks waiting to be imported. */
#define COH_IMPORT_QUEUE_MAX 64u
/* A block that is refused this many times in a row is not going to pass: the node fails with the reason. */
#define COH_ABORTS_MAX 3u
/* Reads of old blocks and index entries for clients, at a time: each brings a whole decision record. */
#define COH_DISK_QUERIES_MAX 64u
/* Proofs under way for clients, at a time. */
#define COH_PROOFS_MAX 64u

/* WAITING ─last HELLO, identity durable─▶ RECOVERING ─last READY─▶ RUNNING ─stop─▶ DRAINING ─quiet, index written─▶ STOPPING ─last STOPPED─▶ STOPPED
   Any ─▶ FAILED. A stop before RUNNING is remembered until then. */
typedef enum {
    COH_CO_WAITING,
    COH_CO_RECOVERING,
    COH_CO_RUNNING,
    COH_CO_DRAINING,
    COH_CO_STOPPING,
    COH_CO_STOPPED,
    COH_CO_FAILED,
} coh_co_state_t;

/* Tags of disk requests. */
typedef enum {
    COH_CO_DISK_IDENTITY, /* first start */
    COH_CO_DISK_DECISION, /* arg: block */
    COH_CO_DISK_INDEX,
    COH_CO_DISK_QUERY,  /* for a client */
    COH_CO_DISK_ASK,    /* for an ask */
    COH_CO_DISK_BACKUP, /* this and the next: see backup.h */
    COH_CO_DISK_MANIFEST,
    COH_CO_DISK_DIRECTORY,
} coh_co_disk_tag_t;

/* A block under way, from BLOCK to COMMIT. */
typedef struct {
    coh_block_env_t env;
    bool live;
    bool is_patch;           /* of a dev chain's state: never sealed (dev.h) */
    coh_block_fault_t fault; /* of an import that is invalid, and being given up */
    uint32_t tx_cnt;
    coh_block_tx_t *txs; /* owned */
    uint32_t step_cnt;
    uint32_t
        before_cnt; /* of the steps: those come first in the block's order, then the transactions, then the other steps */
    coh_block_step_t steps[COH_STEP_CNT_MAX];
    coh_buf_t step_bytes; /* in production: what steps borrow from */
    bool has_logs;
    uint32_t *homed_cnt;            /* owned; by shard */
    uint8_t *has_redo;              /* owned; by shard */
    coh_block_stats_shard_t *stats; /* owned; by shard */
    uint64_t message_cnt;
    uint8_t *has_nodes;       /* owned; by shard: NODES has come */
    coh_root_trail_t trail;   /* before Byzantium */
    coh_bucket_nodes_t nodes; /* owned; of buckets that the block changed */
    uint64_t gas_used;
    uint64_t blob_gas;
    uint64_t gas_reported; /* by the results in the votes, as the next */
    uint64_t blob_gas_reported;
    coh_import_t *import; /* owned; NULL in production */
    coh_sealed_t *sealed; /* owned; while its decision record is written */
    uint64_t sent_us;
    uint64_t settled_us;
    uint64_t voted_us; /* the last vote so far */
} coh_flight_t;

/* What a shard's last IDLE of the current wave said. */
typedef struct {
    uint64_t gas_used;
    uint64_t blob_gas;
    coh_u256_t tips;
    uint64_t *effects; /* owned; by shard */
} coh_idle_t;

/* What rank 0 knows of a shard. */
typedef struct {
    bool hello;
    bool has_nodes; /* at start */
    bool ready;
    bool stopped;
    bool has_stats;
    uint64_t stats_us; /* when they came */
    coh_idle_t idle;
    uint64_t stats[COH_METRIC_CNT];
} coh_peer_t;

typedef struct coh_co_dev coh_co_dev_t;

struct coh_coordinator {
    coh_node_t node;
    coh_co_state_t state;
    coh_buf_t failure; /* NUL-terminated once state is FAILED */
    bool stop_wanted;

    coh_config_t const *config;
    coh_genesis_t const *genesis;
    coh_env_t *env;
    coh_metrics_t *metrics;
    coh_sequencer_rules_t rules;
    coh_schedule_t schedule;       /* of produced blocks */
    bool home_random, home_callee; /* placement.home */
    uint64_t home_seed;
    uint32_t shard_cnt;
    uint64_t started_us;

    coh_recovery_t recovery;
    bool identity_durable;
    coh_wire_reader_t *reader;
    coh_peer_t *peers; /* by shard */

    coh_chain_t *chain;
    coh_state_roots_t *roots;       /* of the head, or of the block that is being decided */
    coh_bucket_nodes_t start_nodes; /* of all buckets, until all shards are ready */
    coh_pool_t *pool;
    uint64_t pool_no; /* of dev chains, which replace it */
    coh_lookups_t lookups;
    coh_calls_t calls;
    coh_gateway_t *gateway;
    coh_admission_t *admission;
    uint32_t disk_queries;
    coh_asks_t asks;
    coh_co_dev_t *dev;           /* owned; NULL: no dev chain */
    coh_sealed_t *genesis_block; /* owned */
    coh_ids_t proofs;            /* under way */
    coh_ids_t supposals;         /* likewise */
    coh_block_stats_t *block_stats;

    coh_co_moves_t moves;
    coh_affinity_t *affinity; /* NULL: placement does not learn */
    coh_settle_t settle;      /* of the executing block */
    coh_commit_t commit;
    coh_flight_t flights[COH_COMMIT_WINDOW]; /* by number modulo the window */
    uint64_t *last_redo;                     /* by shard */
    uint64_t abort_block;                    /* refused last... */
    uint32_t abort_cnt;                      /* ...so many times in a row */
    coh_buf_t abort_reason;

    coh_draft_t draft;  /* the last block built from the pool */
    uint64_t follow_us; /* when an empty block is to follow (block.follow_ms); 0: never */

    coh_imports_t imports; /* not begun */

    uint64_t decided; /* the highest block whose decision record was handed to the disk */
    coh_backup_t backup;

    /* Scratch, kept from block to block. */
    coh_buf_t send_txs;
    coh_buf_t addrs;
    coh_buf_t seal;
};

/* The messages for shard (0..). */
coh_buf_t *coh_co_outbox(void *c, uint32_t shard);

/* The environment of the block that comes next, if it is built now. */
coh_block_env_t coh_co_next_env(coh_coordinator_t *c);

extern coh_gateway_backend_t const coh_co_backend;

/* coh_co_get_proof asks the owner of an account for a proof, for a client; coh_co_prove_for_ask does in its turn for an ask, which coh_co_proved_for_ask (asks.c)
   ends: got counts only if err is COH_OK, and is borrowed. coh_co_on_proof continues the owner's answer to the state root, and passes it on; COH_EPROTO if
   shard was not asked. coh_co_free_proofs forgets those under way. */
void coh_co_get_proof(coh_coordinator_t *c, uint64_t ticket, coh_op_get_proof_request_t const *req);
void coh_co_prove_for_ask(coh_coordinator_t *c, coh_ask_t *ask);
void coh_co_proved_for_ask(coh_coordinator_t *c,
                           coh_ask_t *ask,
                           coh_err_t err,
                           coh_op_get_proof_answer_t const *got);
coh_err_t coh_co_on_proof(coh_coordinator_t *c, uint32_t shard, coh_msg_proof_t const *m);
void coh_co_free_proofs(coh_coordinator_t *c);

/* coh_co_suppose_for_ask asks the owners of accounts for an ask of kind ROOT, which coh_co_supposed_for_ask (asks.c) ends. The others as with proofs. */
void coh_co_suppose_for_ask(coh_coordinator_t *c, coh_ask_t *ask);
void coh_co_supposed_for_ask(coh_coordinator_t *c, coh_ask_t *ask, coh_err_t err);
coh_err_t coh_co_on_supposed(coh_coordinator_t *c, uint32_t shard, coh_msg_supposed_t const *m);
void coh_co_free_supposals(coh_coordinator_t *c);

/* coh_co_disk_query_done goes on with a client's question whose read is back; takes req. */
void coh_co_disk_query_done(coh_coordinator_t *c, coh_disk_req_t *req);

/* coh_co_backup begins a backup for a client, coh_co_backup_state answers how far one is. coh_co_on_backed_up takes a shard's word: COH_EPROTO if it was not asked.
   coh_co_disk_backup_done takes req: this rank's own, or the manifest's. */
void coh_co_backup(coh_coordinator_t *c, uint64_t ticket, coh_op_backup_request_t const *req);
void coh_co_backup_state(coh_coordinator_t *c,
                         uint64_t ticket,
                         coh_op_backup_state_request_t const *req);
coh_err_t coh_co_on_backed_up(coh_coordinator_t *c, uint32_t shard, coh_msg_backed_up_t const *m);
void coh_co_disk_backup_done(coh_coordinator_t *c, coh_disk_req_t *req);

/* Asks (asks.c): coh_co_disk_ask_done goes on with one whose read is back, and takes req; coh_co_end_asks answers all that are open with COH_ECLOSED;
   coh_co_tell_head tells the listener of the head, coh_co_pooled of a transaction. */
void coh_co_disk_ask_done(coh_coordinator_t *c, coh_disk_req_t *req);
void coh_co_end_asks(coh_coordinator_t *c);
void coh_co_tell_head(coh_coordinator_t *c);
/* coh_co_tell_gone tells whoever asks that the blocks above number to are about to be forgotten. */
void coh_co_tell_gone(coh_coordinator_t *c, uint64_t to);
void coh_co_pooled(void *c, coh_hash_t const *hash);
/* coh_co_answer gives an ask back, coh_co_carry_out_ask begins with one that is open. */
void coh_co_answer(coh_coordinator_t *c, coh_ask_t *ask, coh_err_t err);
void coh_co_carry_out_ask(coh_coordinator_t *c, coh_ask_t *ask);

/* Dev chains (dev.c). coh_co_dev_end_asks: all asks are about to be answered. coh_co_dev_holds: ask waits until the state has changed, and is carried out then. coh_co_dev_ask carries out
   one of kind DEV. coh_co_dev_on_done takes a shard's answer: COH_EPROTO it was not asked. coh_co_dev_poll goes on; true if it did something. */
coh_co_dev_t *coh_co_dev_new(void);
void coh_co_dev_free(coh_co_dev_t *dev);
void coh_co_dev_end_asks(coh_co_dev_t *dev);
bool coh_co_dev_holds(coh_coordinator_t *c, coh_ask_t *ask);
void coh_co_dev_ask(coh_coordinator_t *c, coh_ask_t *ask);
coh_err_t coh_co_dev_on_done(coh_coordinator_t *c, coh_msg_dev_done_t const *m);
bool coh_co_dev_poll(coh_coordinator_t *c);
/* coh_co_dev_time: the timestamp of a block that is built now on one of parent_s. coh_co_dev_is_due: a block of the pool's is to be built; else env->due_us is lowered to when one may be.
   coh_co_dev_built: it was. coh_co_dev_holds_blocks: none may be. coh_co_dev_patched: a block of patches is committed; failed: as coh_step_result_t has it. */
uint64_t coh_co_dev_time(coh_coordinator_t *c, uint64_t parent_s);
bool coh_co_dev_is_due(coh_coordinator_t *c, uint64_t now_us);
void coh_co_dev_built(coh_coordinator_t *c, uint64_t timestamp, uint64_t now_us);
bool coh_co_dev_holds_blocks(coh_coordinator_t const *c);
void coh_co_dev_patched(coh_coordinator_t *c, bool failed);
/* coh_co_launch_patch starts a block of cnt equal steps, raw, which is taken: one for each shard, or one for the owner that it names. coh_co_replace_pool begins with an empty one. */
void coh_co_launch_patch(coh_coordinator_t *c, coh_buf_t *raw, uint32_t cnt);
void coh_co_replace_pool(coh_coordinator_t *c);

#endif
