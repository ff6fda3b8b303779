/* backup.h: a backup of a running cluster: of all ranks, at one block, while blocks go on.

     op ─▶ RUNNING: checkpoints ─▶ copies ─all ranks are done─▶ manifest ─▶ DONE
                                     └─one failed, and the others have ended─▶ FAILED

   Why the ranks' copies belong together. In one call of its event loop the coordinator hands its disk the order to copy its store, behind the decision record of block B, the last one handed out so
   far, and sends BACKUP to all shards. Its copy so has the decisions up to B and none above: its head is B. A shard that gets BACKUP copies what its store holds after all writes handed out
   so far. That holds
     - the redo records of all blocks up to B, as far as flat tables do not: it voted for each of them before the coordinator could hand out B's decision record, and it votes after its redo record
       is durable;
     - in its flat tables and tries no block above B: they get committed blocks only, and no COMMIT above B was sent before BACKUP on the same lane;
     - perhaps redo records of blocks above B, which nobody has decided.
   That is what the shard's disk would hold if all ranks had been killed at such a moment, with B as the coordinator's last decision: the start after a kill (recovery.h) brings all to B, and drops
   what is above (presumed abort). So restoring needs nothing that starting does not do, and nothing has to stand still: a checkpoint waits for write buffers to be flushed and links files.

   A round of moves under way is settled likewise. The coordinator's copy has the next directory if its write was handed out before: then every shard had voted, so each copy has the note of the round with all that was moved, or
   what followed from its end. Else no MOVE_END of a commit was sent before BACKUP, so each shard still has what it gives away. The directory then tells which half of the note goes (moves.h).

   A backup is whole once its manifest is there, which is written last. One at a time; a new one may begin when the one before has ended on all ranks. */
#ifndef COH_BACKUP_H
#define COH_BACKUP_H

#include "common/base/buf.h"
#include "common/client/ops.h"

/* The longest path that is taken. */
#define COH_BACKUP_PATH_MAX        1024u
#define COH_BACKUP_MANIFEST_FORMAT 1u

/* A rank's part. */
typedef struct {
    bool is_done;
    coh_hash_t list;
    uint64_t file_cnt;
    uint64_t file_bytes;
} coh_backup_rank_t;

/* The last backup of this run. */
typedef struct {
    uint64_t number; /* 0: there was none */
    coh_op_backup_state_t state;
    coh_buf_t path; /* owned */
    uint64_t block;
    coh_hash_t hash;
    coh_hash_t state_root;
    uint64_t unix_s;
    uint64_t begun_us;
    uint32_t done_cnt;
    coh_backup_rank_t *ranks; /* owned */
    coh_buf_t failed;         /* owned: the first failure */
} coh_backup_t;

void coh_backup_fini(coh_backup_t *backup);

#endif
