/* flat_root.h: the state root of what shards hold in their flat tables, built anew from every account and slot: what the incremental tries are
   compared with. */
#ifndef COH_TEST_FLAT_ROOT_H
#define COH_TEST_FLAT_ROOT_H

#include "common/kv/kv.h"

/* coh_test_flat_root computes it over the stores of cnt shards. The tables must be at one block: after a clean end, or a start.
   Returns false if a store holds what is no account or slot, or an account twice. */
bool coh_test_flat_root(coh_hash_t *out, coh_kv_t *const *shards, size_t cnt);

/* coh_test_head_root is the state root that the last decision record of a coordinator's store says; false if there is none. */
bool coh_test_head_root(coh_hash_t *out, coh_kv_t *coordinator);

#endif
