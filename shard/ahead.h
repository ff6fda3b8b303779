/* ahead.h: what transactions alike have read of other shards. What is expected of a transaction is asked for when it starts, all at once, instead of one key after the other as it comes to
   them: a call through three contracts elsewhere costs one round trip and not ten. Alike are transactions with a trait in common (sched.h), as for hints.h; there they tell who waits for whom, here which
   keys to ask for.

   It is a table of fixed size, in which newcomers displace others. What it says carries nothing: a key asked for in vain costs a message and perhaps a retraction, one that is not
   expected is asked for when it is read.

   Threads: any. */
#ifndef COH_AHEAD_H
#define COH_AHEAD_H

#include "common/state/key.h"

typedef struct coh_ahead coh_ahead_t;

typedef struct {
    coh_key_t key;
    uint32_t fields; /* COH_READ_*, without AT_LEAST */
} coh_ahead_read_t;

/* Reads that are remembered for one trait, and that are expected of one transaction at most. */
#define COH_AHEAD_EACH 12u
#define COH_AHEAD_MAX  32u

/* Some MiB are allocated when something is learned first. */
coh_ahead_t *coh_ahead_new(void);
void coh_ahead_free(coh_ahead_t *a);

/* coh_ahead_learn: a transaction with these traits, the general ones first, read these keys of other shards; cnt may be 0. */
void coh_ahead_learn(coh_ahead_t *a,
                     uint64_t const *traits,
                     uint32_t trait_cnt,
                     coh_ahead_read_t const *reads,
                     uint32_t cnt);

/* coh_ahead_expect writes to out what a transaction with these traits will probably read of other shards, each key once, and returns how many. */
uint32_t coh_ahead_expect(coh_ahead_t *a,
                          uint64_t const *traits,
                          uint32_t trait_cnt,
                          coh_ahead_read_t out[COH_AHEAD_MAX]);

#endif
