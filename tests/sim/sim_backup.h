/* sim_backup.h: whether the parts of a backup belong together (coordinator/backup.h): what a start would make of them is one block's state, whole. */
#ifndef COH_SIM_BACKUP_H
#define COH_SIM_BACKUP_H

#include "common/kv/kv.h"

/* sim_backup_check looks at the copies of rank 0 and of shard_cnt shards, and brings the latter to the head, which must be the block that the manifest says. Then flat tables
   and tries must have one root, and, where the head has one of its own, that. False with the reason in why. */
bool sim_backup_check(coh_kv_t *const *kvs,
                      uint32_t shard_cnt,
                      uint64_t genesis,
                      uint64_t root_every,
                      coh_bytes_t manifest,
                      coh_buf_t *why);

#endif
