/* snapshots.h: a dev chain's snapshots on one shard: places in the ring of changes (past.h). Taking one is noting a number; going back is writing the oldest
   value of each key that has changed since, whatever the size of the state. What the ring has forgotten cannot be restored.

   Communication thread only. */
#ifndef COH_SNAPSHOTS_H
#define COH_SNAPSHOTS_H

#include "common/codec/step.h"
#include "common/node/dev.h"
#include "shard/past.h"

typedef struct {
    struct {
        uint64_t id;
        uint64_t mark;
    } v[COH_DEV_SNAPSHOT_MAX]; /* ascending by both */
    uint32_t cnt;
} coh_snapshots_t;

/* coh_snapshots_take notes the present as snapshot id, which is above those that are kept. Returns COH_OK; COH_EPROTO it is not, or there are too many. */
coh_err_t coh_snapshots_take(coh_snapshots_t *s, coh_past_t const *past, uint64_t id);
/* coh_snapshots_has: id is kept, what changed since is remembered, and is not too much for one PATCH. */
bool coh_snapshots_has(coh_snapshots_t const *s, coh_past_t const *past, uint64_t id);
/* coh_snapshots_drop forgets id and all after it. */
void coh_snapshots_drop(coh_snapshots_t *s, uint64_t id);
/* coh_snapshots_patch appends the encoded step PATCH that leads back to id. Assumes: coh_snapshots_has */
void coh_snapshots_patch(coh_snapshots_t const *s,
                         coh_past_t const *past,
                         uint64_t id,
                         coh_buf_t *out);

#endif
