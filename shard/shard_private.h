/* shard_private.h: the inside of a shard's state machine, shared by its parts. Each uses only those above it:

   shard_out.c     failing, and what goes out
   shard_load.c    values and code that come from disk when something asks for them
   shard_flush.c   when what memory has is written back, and stopping
   shard_start.c   from HELLO to READY
   shard_dev.c     of a dev chain: snapshots, rewinding, restoring
   shard_block.c   from BLOCK to the last IDLE
   shard_commit.c  from PREPARE to COMMIT or ABORT
   shard_serve.c   what is asked of a shard beside blocks
   shard_moves.c   accounts that move between shards
   shard.c         life cycle; which part gets which message, completion and tick

   All run on the communication thread, but for what its comment gives to workers. coh_sh_on_<message> takes that message, borrowed; COH_EPROTO: its sender may not say that now, and the shard
   fails, as with any other error. */
#ifndef COH_SHARD_PRIVATE_H
#define COH_SHARD_PRIVATE_H

#include "common/node/disk_req.h"
#include "common/node/recover.h"
#include "common/wire/wire.h"
#include "shard/callq.h"
#include "shard/executor.h"
#include "shard/flush.h"
#include "shard/guests.h"
#include "shard/kept.h"
#include "shard/moves.h"
#include "shard/participant.h"
#include "shard/query.h"
#include "shard/reads.h"
#include "shard/recovery.h"
#include "shard/shard.h"
#include "shard/snapshots.h"
#include "shard/tries.h"
#include "shard/usage.h"

/* shard.h draws the way through them. */
typedef enum {
    COH_SH_NEW,
    COH_SH_HELLO_SENT,
    COH_SH_RECOVERING,
    COH_SH_RUNNING,
    COH_SH_FLUSHING,
    COH_SH_STOPPED,
    COH_SH_FAILED
} coh_sh_state_t;

/* Tags of disk requests. */
enum {
    COH_SH_TAG_LOAD = 1,
    COH_SH_TAG_LOAD_CODE,
    COH_SH_TAG_REDO,
    COH_SH_TAG_DROP,
    COH_SH_TAG_FLUSH,
    COH_SH_TAG_LOADED, /* flat values of genesis or of redo records */
    COH_SH_TAG_PAGES,  /* of the tries, at start */
    COH_SH_TAG_RECOVERY_MARK,
    COH_SH_TAG_READS,
    COH_SH_TAG_BACKUP,
    COH_SH_TAG_MOVE,
};

/* At start, for genesis and redo records alike: LOADING (the flat tables and the tries get values; again for as long as there are some) ─▶ TAKING (what the tries have to write) ─▶
   MARKING ─▶ ASKING (for the nodes of all buckets) ─▶ READY. A crash on the way does no harm: the values are absolute, and until the mark is there they are given again. */
typedef enum { COH_SH_LOADING, COH_SH_TAKING, COH_SH_MARKING, COH_SH_ASKING } coh_sh_step_t;

/* A prepared, undecided block. */
typedef struct {
    coh_mv_diff_t diff;
    coh_mv_step_t *trail; /* owned, until the tries take it; before Byzantium */
    size_t trail_cnt;
    coh_code_list_t codes;      /* that the diff gave to accounts */
    coh_guest_changes_t guests; /* until the tries take them */
    bool waits_for_hosts;       /* nothing is written before their CHANGES are here */
    uint32_t attempt;           /* of the block */
    uint64_t serial; /* of its redo write: a late completion of an aborted one does not count */
    coh_buf_t
        nodes; /* NODES and the yes, encoded, until the redo record is durable and the tries are updated */
    coh_buf_t vote;
    size_t redo_bytes;
    bool redo_done, redo_ok;
    bool tries_done;
    uint64_t settled_us;
    uint64_t settled_exec_us; /* coh_sh_executing_us then */
} coh_sh_slot_t;

/* Pieces of work that a worker has looked for; its own. */
typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) uint32_t cnt;
} coh_sh_turn_t;

struct coh_shard {
    coh_node_t node;
    coh_config_t const *config;
    coh_genesis_t const *genesis;
    coh_env_t *env;
    coh_kv_t *kv;
    coh_sh_state_t state;
    coh_buf_t fail_text; /* NUL-terminated once failed */

    coh_directory_t directory;
    coh_guests_t guests;
    coh_kv_batch_t guest_notes; /* of committed blocks: for the next flush */
    coh_mvstore_t *mv;
    coh_past_t *past;
    coh_snapshots_t *snapshots; /* of a dev chain, else NULL */
    coh_buf_t patch;            /* scratch: of a restore */
    coh_codes_t *codes;
    coh_code_list_t unwritten; /* code of committed blocks that no flush has taken */
    coh_executor_t *ex;
    coh_flush_t *flush;
    coh_tries_t *tries;
    coh_queries_t *queries;
    coh_reads_t *reads;
    coh_moves_t *moves;
    coh_usage_t *usage; /* NULL: placement does not learn */
    coh_callq_t *calls;
    coh_sh_turn_t *turns; /* by worker */
    coh_recoverq_t *recoverq;
    coh_wire_reader_t *reader;
    coh_wire_reader_t *kept_reader;
    uint64_t told_executions, told_retractions, told_cpu_ns; /* counters when the block began */
    coh_recovery_t found;                                    /* at start */
    coh_store_mark_t mark;

    coh_participant_t part;
    coh_sh_slot_t slots[COH_PARTICIPANT_WINDOW];
    uint64_t serial;
    uint32_t attempt;

    bool executing;
    uint64_t exec_block;
    uint64_t exec_since_us;
    uint64_t exec_us; /* time that blocks executed so far, the present one aside */
    coh_addr_t exec_coinbase;
    coh_fork_t exec_fork;
    uint32_t exec_serial;
    uint32_t wave;
    bool reported;
    uint64_t reported_sent, reported_received;
    coh_kept_list_t blocks; /* BLOCKs that wait their turn */
    coh_kept_list_t early;  /* messages of other shards for blocks that have not begun here */
    coh_kept_list_t
        hosts; /* CHANGES of blocks that are not prepared here, or of which others are missing */

    coh_sh_step_t step;         /* while recovering */
    bool flat_done, tries_done; /* LOADING: its two halves */
    bool is_loaded;             /* nothing is left to load */
    bool flush_wanted;          /* begins when the tries are at a committed block */
    uint64_t aborted;           /* the block of the last ABORT... */
    uint32_t abort_waits;       /* ...and what must be done before its ACK */
    size_t redo_bytes;          /* since the last flush */
    uint64_t flush_us;          /* when that began */
    uint64_t stats_us;
    uint64_t genesis_pos; /* next account of genesis to write */
    uint32_t reads_outstanding;
    uint32_t writes_outstanding;
};

/* ---- shard_out.c ---- */

/* coh_sh_fail ends the shard, with the reason that coh_node_ops_t.failed shows: the first one given. */
COH_PRINTF(2, 3) void coh_sh_fail(coh_shard_t *s, char const *fmt, ...);

/* coh_sh_to_coordinator is where one message to rank 0 is put, which it counts. */
coh_buf_t *coh_sh_to_coordinator(coh_shard_t *s);

/* coh_sh_hand_out gives the disk a write, coh_sh_hand_out_read a read, or nothing if that has no keys; both take req. */
void coh_sh_hand_out(coh_shard_t *s, coh_disk_req_t *req);
void coh_sh_hand_out_read(coh_shard_t *s, coh_disk_req_t *req);

/* coh_sh_node_recs is nodes as the wire has them, borrowing from nodes; the caller's, free(). coh_sh_put_nodes appends NODES to out. */
coh_rec_node_t *coh_sh_node_recs(coh_trie_node_t const *nodes, size_t cnt);
void coh_sh_put_nodes(coh_buf_t *out, uint64_t block, coh_trie_node_t const *nodes, size_t cnt);

/* ---- shard_load.c ---- */

/* coh_sh_request_loads asks the disk for all values and code that somebody has begun to wait for. coh_sh_on_loads and coh_sh_on_codes_loaded give out what is back; req is borrowed. */
void coh_sh_request_loads(coh_shard_t *s);
void coh_sh_on_loads(coh_shard_t *s, coh_disk_req_t *req);
void coh_sh_on_codes_loaded(coh_shard_t *s, coh_disk_req_t *req);

/* coh_sh_finish_queries goes on with queries whose keys or code have come. */
void coh_sh_finish_queries(coh_shard_t *s);

/* Of coh_mv_set_source and coh_codes_set_source; arg: the shard. Any thread. What is damaged they do not find: it is asked of the disk again, and reported then. */
bool coh_sh_read_at_once(void *arg, coh_key_t const *key, coh_buf_t *scratch, coh_value_t *out);
bool coh_sh_read_code_at_once(void *arg, coh_hash_t const *hash, coh_buf_t *out);

/* ---- shard_flush.c ---- */

/* coh_sh_start_flush asks for a flush, which begins when the tries are at a committed block: it takes from both what they are at the same one. coh_sh_maybe_flush does if one is due. */
void coh_sh_start_flush(coh_shard_t *s);
void coh_sh_maybe_flush(coh_shard_t *s, uint64_t now_us);

/* True: it did something. */
bool coh_sh_poll_flush(coh_shard_t *s);

/* coh_sh_on_stop begins the way to STOPPED, which coh_sh_poll_stop goes on with. COH_EPROTO: a block is under way */
coh_err_t coh_sh_on_stop(coh_shard_t *s);
bool coh_sh_poll_stop(coh_shard_t *s);

/* ---- shard_start.c ---- */

void coh_sh_send_hello(coh_shard_t *s);
coh_err_t coh_sh_on_welcome(coh_shard_t *s, coh_msg_welcome_t const *m);

/* What the start had under way is done: a write (req is borrowed), values given to the tries, pages taken from them (moved out of done), nodes of all buckets. */
void coh_sh_on_start_written(coh_shard_t *s, coh_disk_req_t const *req);
void coh_sh_on_start_loaded(coh_shard_t *s);
void coh_sh_on_start_pages(coh_shard_t *s, coh_tries_done_t *done);
void coh_sh_on_start_nodes(coh_shard_t *s, coh_tries_done_t const *done);

/* coh_sh_add_hash tells executor and calls the hash of a committed block; coh_sh_add_hashes those of the last blocks up to head, 32 octets each, ascending.
   COH_EPROTO, none told: that is no list of hashes, or there are too many */
void coh_sh_add_hash(coh_shard_t *s, uint64_t block, coh_hash_t const *hash);
coh_err_t coh_sh_add_hashes(coh_shard_t *s, uint64_t head, coh_bytes_t hashes);

/* ---- shard_dev.c ---- */

coh_err_t coh_sh_on_dev(coh_shard_t *s, coh_msg_dev_t const *m);

/* coh_sh_expand_restore makes a PATCH of a RESTORE in m, if there is one: m borrows from only and from s->patch then. COH_EPROTO: the snapshot is not there */
coh_err_t coh_sh_expand_restore(coh_shard_t *s, coh_msg_block_t *m, coh_rec_block_tx_t *only);

/* ---- shard_block.c ---- */

coh_err_t coh_sh_on_block(coh_shard_t *s, coh_msg_block_t const *m);

/* coh_sh_try_begin begins the next waiting block, if its turn has come and memory has room for what it may touch. True: it did, or failed. */
bool coh_sh_try_begin(coh_shard_t *s);

/* coh_sh_on_shard_message takes PUBLISH, READ, VALUE or RETRACT: for the executing block, or early, or of an attempt that is over. */
coh_err_t coh_sh_on_shard_message(coh_shard_t *s,
                                  uint32_t src,
                                  coh_msg_t const *m,
                                  uint64_t block,
                                  uint32_t attempt);

/* coh_sh_report_if_idle sends IDLE when there is something new to say; true: it did. */
bool coh_sh_report_if_idle(coh_shard_t *s);
coh_err_t coh_sh_on_wave(coh_shard_t *s, coh_msg_wave_t const *m);

/* coh_sh_end_executing notes that no block executes any more; coh_sh_executing_us is for how long blocks have executed up to now. */
void coh_sh_end_executing(coh_shard_t *s);
uint64_t coh_sh_executing_us(coh_shard_t const *s, uint64_t now_us);

/* coh_sh_since_last is by how much a counter has grown since *told, which becomes what it is now. */
uint64_t coh_sh_since_last(coh_shard_t const *s, coh_metric_id_t id, uint64_t *told);

/* ---- shard_commit.c ---- */

coh_err_t coh_sh_on_prepare(coh_shard_t *s, coh_msg_prepare_t const *m);
coh_err_t coh_sh_on_changes(coh_shard_t *s, uint32_t src, coh_msg_changes_t const *m);
coh_err_t coh_sh_on_commit(coh_shard_t *s, coh_msg_commit_t const *m);
coh_err_t coh_sh_on_abort(coh_shard_t *s, coh_msg_abort_t const *m);

/* A redo record is written, or could not be; a block's root is computed. Both borrow. */
void coh_sh_on_redo_written(coh_shard_t *s, coh_disk_req_t const *req);
void coh_sh_on_tries_updated(coh_shard_t *s, coh_tries_done_t const *done);

/* Something that the ACK of an ABORT waits for is done. */
void coh_sh_abort_step(coh_shard_t *s);

/* ---- shard_serve.c ---- */

coh_err_t coh_sh_on_prove(coh_shard_t *s, coh_msg_prove_t const *m);
void coh_sh_send_proof(coh_shard_t *s, coh_tries_done_t const *done);
coh_err_t coh_sh_on_suppose(coh_shard_t *s, coh_msg_suppose_t const *m);
void coh_sh_send_supposed(coh_shard_t *s, coh_tries_done_t const *done);
coh_err_t coh_sh_on_backup(coh_shard_t *s, coh_msg_backup_t const *m);
void coh_sh_on_backup_done(coh_shard_t *s, coh_disk_req_t const *req);
coh_err_t coh_sh_on_recover(coh_shard_t *s, coh_msg_recover_t const *m);
coh_err_t coh_sh_on_read_state(coh_shard_t *s, uint32_t src, coh_msg_read_state_t const *m);

/* coh_sh_send_recovered answers a RECOVER that is done; false: there is none. */
bool coh_sh_send_recovered(coh_shard_t *s);

/* ---- shard_moves.c ---- */

coh_err_t coh_sh_on_move(coh_shard_t *s, coh_msg_move_t const *m);
coh_err_t coh_sh_on_move_end(coh_shard_t *s, coh_msg_move_end_t const *m);

/* True: it did something. */
bool coh_sh_poll_moves(coh_shard_t *s);

#endif
