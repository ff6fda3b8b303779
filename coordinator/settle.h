/* settle.h: when is a block executed to the end, everywhere? Mattern's four-counter method ("Algorithms for distributed termination
   detection", 1987) as a pure step function: reports in, one of three answers out.

   Each shard reports how many messages of the block it has sent and received when it is idle. One wave of reports is no consistent cut: a message may leave
   after its sender's report and arrive before its receiver's. Two waves, of which the second starts after the first is complete, are enough: if the sums
   of the first equal those of the second, and sent equals received, then nothing was under way in between.

   One wave suffices if both sums are 0: no shard had sent anything before its report. A shard acts again only when a message arrives, and the first
   such message would have to come from a shard that acted again before: there is none.

   COLLECTING(wave) ─all in, sums equal, not settled─▶ COLLECTING(wave + 1)
          │ all in; both sums 0, or those of the wave before again
          ▼
       SETTLED */
#ifndef COH_SETTLE_H
#define COH_SETTLE_H

#include "common/base/err.h"

typedef struct {
    uint64_t sent;
    uint64_t received;
    bool reported; /* in the current wave */
} coh_settle_shard_t;

typedef struct {
    uint32_t shard_cnt;
    uint32_t wave; /* current; 0 is the wave that nobody asks for */
    uint32_t reported_cnt;
    bool settled;
    bool has_closed;     /* a wave before the current one was closed... */
    uint64_t closed_sum; /* ...with this sum of messages sent, equal to that of those received */
    uint64_t sent;       /* sums over the reports of the current wave */
    uint64_t received;
    coh_settle_shard_t *shards; /* owned */
} coh_settle_t;

typedef enum {
    COH_SETTLE_WAIT,    /* more reports are needed */
    COH_SETTLE_WAVE,    /* ask all shards for wave s->wave */
    COH_SETTLE_SETTLED, /* said once */
} coh_settle_answer_t;

void coh_settle_init(coh_settle_t *s, uint32_t shard_cnt);
void coh_settle_fini(coh_settle_t *s);
/* coh_settle_begin starts on a new block: wave 0, nothing reported. */
void coh_settle_begin(coh_settle_t *s);

/* coh_settle_idle takes one report. A report of an earlier wave is passed over; a later one of the same wave replaces the shard's earlier.
   Returns: COH_OK and *answer; COH_EPROTO a wave that was not asked for, a shard that is none, or a count that fell; s is unchanged then */
coh_err_t coh_settle_idle(coh_settle_t *s,
                          coh_settle_answer_t *answer,
                          uint32_t shard,
                          uint32_t wave,
                          uint64_t sent,
                          uint64_t received);

#endif
