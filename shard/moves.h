/* moves.h: a shard's part in moving accounts between shards, with their storage, while the cluster runs. A round is decided like a block:

   IDLE ─MOVE─▶ WAITING (for a flush) ─▶ SENDING ─all is there, synced─▶ VOTED ─MOVE_END─▶ ENDING ─durable─▶ IDLE (MOVED)
                                            └──────────refused─────────────┘

   Rounds begin when no block is under way, so state stands still. An account's flat tables at the old shard are at the head after a flush; it reads them on a worker and sends them in pieces
   (MIGRATE), one at a time, each of which the new shard puts into its own flat tables before it asks for more (MIGRATED). It is not the owner: nobody reads them there. Before the first piece
   it notes whom it takes, and before the yes the old one whom it gives away (META node/move, synced with all before it). The decision is the coordinator's synced write of the directory with the next
   epoch; then all shards switch, and answer once a mark with that epoch is durable. What a crash leaves of a round is settled at the start by the directory that comes with WELCOME: if it has the round's
   epoch, what was given away is deleted, else what was taken. So an account is wholly at one shard after any start, and nothing is copied twice.

   The tries stay where they are (guests.h). What was given away stays readable until no read is under way, for calls and queries that were sent before the switch; then it goes from memory and from the
   flat tables, and until then the shard takes part in no other round (it answers that it is busy). State of blocks before the move is not remembered of a moved account: whoever asks is told so (past.h).

   Bounded: a piece is at most about COH_MOVES_PIECE octets, a round placement-round-bytes for each old shard; one that would take more refuses, naming the account at which it came to that.

   Threads: coh_moves_work from any worker, everything else from the communication thread. */
#ifndef COH_MOVES_H
#define COH_MOVES_H

#include "common/node/env.h"
#include "common/node/move.h"
#include "common/state/directory.h"
#include "common/wire/wire.h"
#include "shard/mvstore.h"
#include "shard/past.h"
#include "shard/store.h"

#define COH_MOVES_PIECE ((size_t)256 << 10)
/* Accounts in one round. */
#define COH_MOVES_MAX 65536u

typedef struct coh_moves coh_moves_t;

/* All borrowed. dir: changed by a committed round. round_bytes: see above. tag: of disk requests. */
coh_moves_t *coh_moves_new(coh_env_t *env,
                           coh_kv_t *kv,
                           coh_directory_t *dir,
                           coh_past_t *past,
                           size_t round_bytes,
                           uint32_t tag);
void coh_moves_free(coh_moves_t *m);

/* coh_moves_scan reads what an earlier run has left of a round. COH_OK, also if there is nothing; COH_ECORRUPT, COH_EIO */
coh_err_t coh_moves_scan(coh_moves_t *m);
/* coh_moves_recover adds to batch what settles that, now that the directory is known. The batch must be durable before anything else happens. */
void coh_moves_recover(coh_moves_t *m, coh_kv_batch_t *batch);

/* Messages. COH_EPROTO if they do not fit. on_move: is_quiet: no block is under way here. */
coh_err_t coh_moves_on_move(coh_moves_t *m, coh_msg_move_t const *msg, bool is_quiet);
coh_err_t coh_moves_on_migrate(coh_moves_t *m, uint32_t src, coh_msg_migrate_t const *msg);
coh_err_t coh_moves_on_migrated(coh_moves_t *m, uint32_t src, coh_msg_migrated_t const *msg);
/* on_end: of a committed round the directory changes, and mark's epoch, which is written. */
coh_err_t coh_moves_on_end(coh_moves_t *m, coh_msg_move_end_t const *msg, coh_store_mark_t *mark);

/* A round is under way: no flush may begin but the one that it waits for. */
bool coh_moves_is_active(coh_moves_t const *m);
/* The round waits until no flush runs, and, if needs_flush, until the flat tables are at the head; then coh_moves_go, which returns COH_EPROTO if what
   came early does not fit. */
bool coh_moves_is_waiting(coh_moves_t const *m, bool *needs_flush);
coh_err_t coh_moves_go(coh_moves_t *m);

/* Something given away is still here. coh_moves_drop deletes it: no block executes, no read is under way. */
bool coh_moves_has_leftovers(coh_moves_t const *m);
void coh_moves_drop(coh_moves_t *m, coh_mvstore_t *mv);

/* An account that a read may be asked of here although it is another's: it is on its way here, or was given away. */
bool coh_moves_has(coh_moves_t const *m, coh_addr_t const *addr);

/* Both go on; true if there was something to do. */
bool coh_moves_poll(coh_moves_t *m);
bool coh_moves_work(coh_moves_t *m);
/* What a worker could not read; the shard cannot go on. */
coh_err_t coh_moves_err(coh_moves_t const *m);
/* A request came back; its error is the caller's to look at: after one the shard cannot go on. */
void coh_moves_on_disk(coh_moves_t *m, coh_disk_req_t const *req);

/* coh_moves_left lists the accounts whose flat tables in a store at rest are not to be looked at, because the next start deletes them: of a round that was not settled there, and which the directory of
   epoch has, those given away, else those taken. *addrs: ascending; the caller's, free(). COH_OK; COH_ECORRUPT, COH_EIO */
coh_err_t coh_moves_left(coh_kv_t *kv, uint64_t epoch, coh_addr_t **addrs, size_t *cnt);

#endif
