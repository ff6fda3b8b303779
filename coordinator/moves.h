/* moves.h: the coordinator's side of moving accounts between shards (shard/moves.h has the other): which round is under way, and what every shard said to it.

   NONE ─wanted─▶ DRAINING (no block begins) ─all decided and acknowledged─▶ PREPARING ─last yes─▶ DECIDING ─directory durable─▶ ENDING ─last MOVED─▶ NONE
                                                                                 └────────────────last word, one a refusal───────────▶ ENDING

   The decision is the synced write of the directory with the next epoch. A restart that finds it there has moved the accounts; one that does not has not. If that write fails nobody knows, and the
   rank fails, as with a block's decision. Blocks begin again after ENDING. */
#ifndef COH_COORDINATOR_MOVES_H
#define COH_COORDINATOR_MOVES_H

#include "common/node/move.h"
#include "common/state/directory.h"
#include "common/wire/wire.h"

typedef enum {
    COH_MOVES_NONE,
    COH_MOVES_DRAINING,
    COH_MOVES_PREPARING,
    COH_MOVES_DECIDING,
    COH_MOVES_ENDING
} coh_moves_state_t;

typedef struct {
    coh_moves_state_t state;
    uint32_t shard_cnt;
    uint64_t round;
    coh_rec_move_account_t *v; /* owned; of the round */
    size_t cnt;
    coh_directory_t next; /* owned; that after the round */
    uint8_t *spoke;       /* owned; by shard: in this state */
    uint32_t spoke_cnt;
    bool commits;
    coh_move_word_t word; /* of the round, or of the last: YES, or why not... */
    coh_addr_t about;     /* ...and with TOO_BIG of whom */
    uint64_t since_us;    /* when it began to drain */
} coh_co_moves_t;

void coh_co_moves_init(coh_co_moves_t *m, uint32_t shard_cnt);
void coh_co_moves_fini(coh_co_moves_t *m);

/* coh_co_moves_want begins a round that brings accounts (each once) to shards; those that are there already are passed over.
   Returns: COH_OK; COH_ENOTFOUND all of them are; COH_EBUSY a round is under way; COH_ETOOBIG more than a round, or the directory, can hold; COH_EINVAL no such shard */
coh_err_t coh_co_moves_want(coh_co_moves_t *m,
                            coh_directory_t const *dir,
                            coh_override_t const *wanted,
                            size_t cnt);
/* Gives up what is not begun. */
void coh_co_moves_cancel(coh_co_moves_t *m);

/* coh_co_moves_begin: nothing is under way. MOVE is to be sent. */
void coh_co_moves_begin(coh_co_moves_t *m);
/* A shard's word. COH_EPROTO if it does not fit. *all: it was the last; commits says what is next. */
coh_err_t coh_co_moves_vote(coh_co_moves_t *m,
                            uint32_t shard,
                            coh_msg_move_vote_t const *msg,
                            bool *all);
/* coh_co_moves_end: MOVE_END is to be sent, after a commit's write. */
void coh_co_moves_end(coh_co_moves_t *m);
/* MOVED. *all: the round is over. */
coh_err_t coh_co_moves_moved(coh_co_moves_t *m,
                             uint32_t shard,
                             coh_msg_moved_t const *msg,
                             bool *all);

#endif
