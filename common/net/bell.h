/* bell.h: wakes the loops of ranks on one machine. MPI has no descriptor that becomes readable when
   a frame arrives, so that a rank that waits must poll: too seldom for the frame, too often for the
   core. A bell is such a descriptor: whoever has sent a frame rings the receiver's bell.

   It is a datagram socket under a name of random octets (unix(7), abstract sockets): no file, nothing
   left behind, and, other than under the short names that the kernel gives, nobody on another machine
   is taken for the rank of this name. Rings carry nothing; one from a stranger costs a look for frames, no more.
   Each rank that was met is rung through a socket of its own: what waits for one that does not listen
   uses up the room of that socket alone.
   One thread at a time. */
#ifndef COH_BELL_H
#define COH_BELL_H

#include "common/base/base.h"

/* Octets of a name, its length in the last. */
#define COH_BELL_NAME_SZ 16

typedef struct coh_bell coh_bell_t;

/* coh_bell_new makes a bell that knows no others yet, of rank_cnt ranks. NULL if the system has none to
   give. */
coh_bell_t *coh_bell_new(uint32_t rank_cnt);
void coh_bell_free(coh_bell_t *bell);

/* coh_bell_name: under which name others reach this bell. */
void coh_bell_name(coh_bell_t const *bell, uint8_t name[COH_BELL_NAME_SZ]);
/* coh_bell_meet makes rank's bell known, and rings it once to see. False if it cannot be reached
   from here (another machine, another network namespace), or there is no descriptor left. */
bool coh_bell_meet(coh_bell_t *bell, uint32_t rank, uint8_t const name[COH_BELL_NAME_SZ]);

/* coh_bell_ring makes the descriptor of a rank that was met readable. Never blocks. */
void coh_bell_ring(coh_bell_t *bell, uint32_t rank);

/* coh_bell_fd: readable from the first ring until coh_bell_quiet. Whoever waits on it calls quiet
   first and looks for frames then: so no ring is lost. */
int coh_bell_fd(coh_bell_t const *bell);
void coh_bell_quiet(coh_bell_t *bell);

#endif
