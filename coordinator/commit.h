/* commit.h: the coordinator's side of the group two-phase commit as a pure step function: (state, event) -> (state, actions). It knows block numbers,
   shards and votes, and neither messages nor disks; it is the mirror of shard/participant.h.

   Several blocks are under way at a time, in order:

   EXECUTING ─settled─▶ PREPARING ─last yes, turn─▶ DECIDING ─written─▶ COMMITTING ─last ACK─▶ (forgotten)
                           │ no                        │ invalid, instead of the write
                           └────────── ABORT ──────────┘      (this block and all above it)

   Its turn comes when the block below is decided: decisions are made in block order even if votes arrive otherwise. After ABORT the machine is
   *discarding* until every shard has acknowledged it: what a shard says of discarded blocks before its acknowledgement is passed over,
   and no block begins. Another ABORT further down may come meanwhile: then the acknowledgements of the last one count.

   Why presumed abort is safe: COMMIT leaves only after the decision's synced write is done (event WRITTEN), and ABORT never after that write was
   handed out: INVALID is the caller's answer to DO_DECIDE, in place of the write. If the write fails nobody knows whether the record will be there after a restart: then nothing is sent, the rank fails, and at the
   next start the log says which it was, and every shard follows the log. */
#ifndef COH_COMMIT_H
#define COH_COMMIT_H

#include "common/base/err.h"

/* Blocks that may be under way or wait for acknowledgements: block-depth is at most 16, one executes, the rest are committed and not acknowledged. */
#define COH_COMMIT_WINDOW 64u

typedef enum {
    COH_COMMIT_EXECUTING,
    COH_COMMIT_PREPARING,
    COH_COMMIT_DECIDING,
    COH_COMMIT_COMMITTING
} coh_commit_phase_t;

typedef enum { COH_COMMIT_NO_WORD, COH_COMMIT_YES, COH_COMMIT_ACKED } coh_commit_word_t;

typedef struct {
    coh_commit_phase_t phase;
    uint32_t yes_cnt;
    uint32_t ack_cnt;
    uint8_t *words; /* by shard, coh_commit_word_t; owned */
} coh_commit_block_t;

typedef struct {
    uint32_t shard_cnt;
    uint64_t first;     /* lowest block not forgotten */
    uint64_t undecided; /* lowest block in EXECUTING, PREPARING or DECIDING; next if none */
    uint64_t next;      /* the block that begins next */
    uint32_t attempt;   /* grows with every ABORT */
    bool discarding;
    uint64_t abort_from; /* of the last ABORT */
    uint32_t abort_ack_cnt;
    uint8_t *abort_acked;                         /* by shard; owned */
    coh_commit_block_t blocks[COH_COMMIT_WINDOW]; /* by number modulo the window */
} coh_commit_t;

typedef enum {
    COH_COMMIT_EV_SETTLED,
    COH_COMMIT_EV_VOTE_YES, /* shard */
    COH_COMMIT_EV_VOTE_NO,  /* shard */
    COH_COMMIT_EV_INVALID, /* answers DO_DECIDE in place of the write: the block must not be (an import with an invalid transaction) */
    COH_COMMIT_EV_WRITTEN, /* the decision record is durable */
    COH_COMMIT_EV_ACK,     /* shard */
    COH_COMMIT_EV_ACK_ABORT, /* shard */
} coh_commit_event_kind_t;

typedef struct {
    coh_commit_event_kind_t kind;
    uint64_t block;
    uint32_t shard; /* 0.. */
} coh_commit_event_t;

typedef enum {
    COH_COMMIT_DO_PREPARE, /* send PREPARE block to all shards */
    COH_COMMIT_DO_DECIDE, /* seal block, write its decision record with sync, come back with WRITTEN */
    COH_COMMIT_DO_COMMIT, /* send COMMIT block to all shards; answer clients */
    COH_COMMIT_DO_FORGET, /* every shard has applied block */
    COH_COMMIT_DO_ABORT, /* send ABORT block with the new attempt to all shards; give back the transactions of block and all above */
    COH_COMMIT_DO_RESUME, /* every shard has discarded: blocks may begin again */
} coh_commit_action_kind_t;

typedef struct {
    coh_commit_action_kind_t kind;
    uint64_t block;
} coh_commit_action_t;

/* One event causes at most a commit, the next decision, and as many forgotten blocks as the window holds. */
#define COH_COMMIT_ACTIONS_MAX (COH_COMMIT_WINDOW + 2)

typedef struct {
    uint32_t cnt;
    coh_commit_action_t v[COH_COMMIT_ACTIONS_MAX];
} coh_commit_actions_t;

/* coh_commit_init: blocks up to head are decided and applied. */
void coh_commit_init(coh_commit_t *c, uint32_t shard_cnt, uint64_t head);
void coh_commit_fini(coh_commit_t *c);

/* True if block c->next may begin: nothing executes, fewer than depth settled blocks are undecided, nothing is being discarded. */
bool coh_commit_may_begin(coh_commit_t const *c, uint32_t depth);
/* coh_commit_begin starts block c->next and returns its number. */
uint64_t coh_commit_begin(coh_commit_t *c);

/* coh_commit_rewind: of dev chains; the last block applied has the number head from here on. coh_commit_is_quiet. */
void coh_commit_rewind(coh_commit_t *c, uint64_t head);

/* True if what shard says of block is to be passed over: it was discarded, and the shard has not acknowledged that yet. */
bool coh_commit_is_stale(coh_commit_t const *c, uint64_t block, uint32_t shard);
/* True if block is under way in this phase. */
bool coh_commit_in_phase(coh_commit_t const *c, uint64_t block, coh_commit_phase_t phase);
/* True if every block is decided and acknowledged and nothing is being discarded. */
bool coh_commit_is_quiet(coh_commit_t const *c);

/* coh_commit_step carries out one event; out is filled anew with what the caller must do, in order.
   Returns: COH_OK; COH_EPROTO the event does not fit the state (a shard voted twice, or acknowledged what it was not told): nothing changed */
coh_err_t coh_commit_step(coh_commit_t *c,
                          coh_commit_actions_t *out,
                          coh_commit_event_t const *event);

#endif
