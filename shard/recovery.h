/* recovery.h: from what a crash left to the state of the coordinator's head. The shard says in HELLO how far its records go; the coordinator
   answers with its head, the highest decided block. Records up to it are laid over the flat table, in order (they hold absolute values, so doing it twice
   does no harm); records above it are of blocks that were never decided, and are deleted: presumed abort. All that is durable before READY, so that a stale record
   can never meet a later block of its number. */
#ifndef COH_SHARD_RECOVERY_H
#define COH_SHARD_RECOVERY_H

#include "common/kv/kv.h"
#include "shard/store.h"

/* What a shard's directory holds. */
typedef struct {
    bool fresh; /* genesis is not written yet */
    coh_store_mark_t mark;
    uint64_t prepared; /* highest redo record; mark.flushed if none */
} coh_recovery_t;

/* coh_recovery_scan reads marks and checks every redo record.
   Returns: COH_OK; COH_ECORRUPT, COH_EMISMATCH, COH_EIO with the place in err_text */
coh_err_t coh_recovery_scan(coh_kv_t *kv, coh_recovery_t *out, coh_buf_t *err_text);

/* coh_recovery_collect merges the redo records flushed+1..head into items, one for each key, sorted, wiped if one of them says so (*items: the caller's, free()), and puts
   their code into codes.
   Returns: COH_OK; COH_ECORRUPT, COH_EIO */
coh_err_t coh_recovery_collect(coh_kv_t *kv,
                               uint64_t flushed,
                               uint64_t head,
                               coh_mv_item_t **items,
                               size_t *cnt,
                               coh_kv_batch_t *codes);

#endif
