/* state_root.h: the state root (Yellow Paper 4.1, Appendix D) of a state that is all in memory. */
#ifndef COH_STATE_ROOT_H
#define COH_STATE_ROOT_H

#include "common/state/memview.h"

/* coh_state_root computes it from all accounts and slots anew. Any thread, if none writes to mv. */
void coh_state_root(coh_hash_t *out, coh_memview_t const *mv);

#endif
