/* placement.h: which shard owns which bucket and account. A policy, given as text in the configuration, makes
   the directory that a cluster starts with; from then on the stored directory counts, and the
   policy is not asked again.

     hash          bucket * shards / 4096: each shard owns one run of neighbouring buckets, and so a
                   few subtrees of the state trie. Buckets are slices of a hash, so load is even
                   unless single accounts are hot.
     affinity      begins like hash, and moves accounts that are used together onto one shard while it
                   runs (affinity.h).
     pinned:FILE   single accounts, by overrides, as the file says: a line for each, its address and its
                   shard (0..), with empty lines and comments behind #; all others as hash has it.
     random:SEED   buckets dealt out in an order drawn from SEED: runs are broken up, shares differ
                   by at most one bucket. For tests, and against whoever picks addresses that fall
                   into one run.

   Results are the same under every placement (shard/EXECUTION.md); only speed differs. */
#ifndef COH_PLACEMENT_H
#define COH_PLACEMENT_H

#include "common/state/directory.h"

/* coh_placement_initial makes the first directory, epoch 1, of a cluster of shard_cnt shards. Up to
   4096 shards, none is without buckets. The same arguments give the same directory everywhere.
   Out:     out  on success; coh_directory_free frees it
   Returns: COH_OK; COH_EINVAL no such policy, a file that cannot be used, or shard_cnt not in
            1..65536: err_text says which, out is unchanged */
coh_err_t coh_placement_initial(coh_directory_t *out,
                                char const *policy,
                                uint32_t shard_cnt,
                                coh_buf_t *err_text);

#endif
