/* vigil.h: notices ranks that have gone silent. TCP takes minutes to notice a link that was cut or a host that stands
   still; MPI tells nothing at all. So every rank sends each other one a sign of life where it has sent nothing else
   for a while, and holds a rank from which nothing came for the configured time to be lost.

   A rank is watched from its first frame on (starting takes as long as it takes, and whoever started the job watches
   that) until its farewell. Time in which the watcher itself stood still counts for nobody. This is bookkeeping with a
   clock handed in: no I/O. One thread. */
#ifndef COH_VIGIL_H
#define COH_VIGIL_H

#include "common/base/base.h"

typedef struct {
    uint64_t heard_us; /* last frame from it */
    uint64_t sent_us;  /* last frame to it */
    bool watched;      /* heard of, and not gone */
    bool gone;         /* it has said farewell */
} coh_vigil_peer_t;

typedef struct {
    uint64_t silence_us; /* 0: nobody is watched, and no signs are due */
    uint64_t round_us;   /* of the last round */
    uint64_t look_us;    /* next time that anything may be due */
    uint32_t rank;       /* the watcher */
    uint32_t rank_cnt;
    coh_vigil_peer_t *peers; /* owned; by rank */
} coh_vigil_t;

/* coh_vigil_init: rank watches all other ranks below rank_cnt for a silence of silence_us microseconds; 0 turns it off.
   Times are of one monotonic clock, in microseconds. */
void coh_vigil_init(coh_vigil_t *vigil,
                    uint32_t rank,
                    uint32_t rank_cnt,
                    uint64_t silence_us,
                    uint64_t now_us);
void coh_vigil_fini(coh_vigil_t *vigil);

/* coh_vigil_heard: a frame came from peer; coh_vigil_sent: one went to it; coh_vigil_left: its farewell came. */
void coh_vigil_heard(coh_vigil_t *vigil, uint32_t peer, uint64_t now_us);
void coh_vigil_sent(coh_vigil_t *vigil, uint32_t peer, uint64_t now_us);
void coh_vigil_left(coh_vigil_t *vigil, uint32_t peer);

/* coh_vigil_round is to be called in every round of the watcher's loop, after arrived frames were reported. True if there
   is something to look after now: coh_vigil_owes and coh_vigil_silent are then to be asked about every peer. */
bool coh_vigil_round(coh_vigil_t *vigil, uint64_t now_us);

/* coh_vigil_owes is true if peer is owed a sign of life: nothing went to it for a quarter of the silence, or a second. */
bool coh_vigil_owes(coh_vigil_t const *vigil, uint32_t peer, uint64_t now_us);
/* coh_vigil_silent gives the time for which peer has been silent if that is too long, else 0. */
uint64_t coh_vigil_silent(coh_vigil_t const *vigil, uint32_t peer, uint64_t now_us);

#endif
