/* dev.h: what a dev chain's coordinator asks of shards between blocks (DEV). Numbers go over the wire: append only. */
#ifndef COH_DEV_H
#define COH_DEV_H

typedef enum {
    COH_DEV_TAKE   = 0, /* a snapshot of the committed state */
    COH_DEV_CHECK  = 1, /* can it be restored? */
    COH_DEV_REWIND = 2, /* the last committed block gets another number, at most its own */
    COH_DEV_OP_CNT
} coh_dev_op_t;

/* Snapshots that are kept at a time. */
#define COH_DEV_SNAPSHOT_MAX 1024u
/* Shards of a dev chain at most: a restore is one step for each. */
#define COH_DEV_SHARD_MAX 8u

#endif
