/* participant.h: a shard's side of the group two-phase commit as a pure step function: (state, event) -> (state, action). It knows
   block numbers and neither messages nor disks; it is the mirror of coordinator/commit.h.

   A block:  EXECUTING ─settled─▶ WRITING ─durable─▶ VOTED ─COMMIT─▶ (applied, forgotten)
                 │                  │ write failed     │
                 │                  ▼                  │
                 │               REFUSED               │
                 └───────ABORT───────┴───────ABORT─────┘──▶ (discarded, forgotten)

   A block that leaves nothing to write here skips WRITING: it changed nothing, and the tries have nothing to tell with its root. Between its yes and the decision a shard is in doubt: it may neither apply nor
   discard, and after a crash asks the coordinator. */
#ifndef COH_PARTICIPANT_H
#define COH_PARTICIPANT_H

#include "common/base/err.h"
#include "common/node/abort.h"

/* Undecided blocks at a time: the coordinator's block-depth is at most 16, and one more may be executing. */
#define COH_PARTICIPANT_WINDOW 32u

typedef enum { COH_PART_WRITING, COH_PART_VOTED, COH_PART_REFUSED } coh_part_state_t;

typedef struct {
    uint64_t committed; /* the highest committed block */
    uint32_t cnt;       /* blocks above it that were prepared: committed+1 .. committed+cnt */
    coh_part_state_t state[COH_PARTICIPANT_WINDOW]; /* of block b at b modulo the window */
} coh_participant_t;

typedef enum {
    COH_PART_DO_NOTHING,
    COH_PART_DO_WRITE, /* write the redo record with sync, and update the tries, then coh_participant_on_written */
    COH_PART_DO_VOTE_YES,
    COH_PART_DO_VOTE_NO,
    COH_PART_DO_APPLY, /* make the block's changes committed, ACK */
} coh_part_action_t;

void coh_participant_init(coh_participant_t *p, uint64_t committed);

/* The block is settled. writes: it has a redo record, or a root to compute; reason: why it must be refused, or COH_ABORT_NONE.
   Returns: COH_OK; COH_EPROTO not the next block, or too many undecided */
coh_err_t coh_participant_on_settled(coh_participant_t *p,
                                     uint64_t block,
                                     bool writes,
                                     coh_abort_t reason,
                                     coh_part_action_t *action);

/* The redo record is durable and the tries are updated, or it could not be written. Nothing to do if the block was aborted meanwhile. */
void coh_participant_on_written(coh_participant_t *p,
                                uint64_t block,
                                bool ok,
                                coh_part_action_t *action);

/* COMMIT. Returns: COH_OK; COH_EPROTO not the lowest undecided block, or one without our yes */
coh_err_t coh_participant_on_commit(coh_participant_t *p,
                                    uint64_t block,
                                    coh_part_action_t *action);

/* ABORT of block and all above. *discarded: how many prepared ones that were, block..block+*discarded-1. COH_EPROTO: it is committed. */
coh_err_t coh_participant_on_abort(coh_participant_t *p, uint64_t block, uint32_t *discarded);

#endif
