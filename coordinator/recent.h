/* recent.h: figures of the last COH_RECENT_BLOCKS committed blocks, for whoever watches the cluster: how big each was, how long it took, and how long their
   transactions waited from admission to the durable decision. What the metrics have since the start is here as it is now.

   coh_recent_waited for each transaction of a block, then coh_recent_block for the block; and so on.

   Communication thread only. */
#ifndef COH_RECENT_H
#define COH_RECENT_H

#include "common/base/buf.h"

#define COH_RECENT_BLOCKS 64u

typedef struct coh_recent coh_recent_t;

typedef struct {
    uint64_t number;
    uint64_t timestamp; /* the header's */
    uint64_t gas_used;
    uint64_t gas_limit;
    uint64_t committed_us; /* since the coordinator's start */
    uint64_t settle_us;    /* from sending it to its settlement... */
    uint64_t prepare_us;   /* ...to the last vote... */
    uint64_t decide_us;    /* ...to the durable decision */
    uint32_t tx_cnt;
    uint32_t tx_cross; /* that used several shards */
} coh_recent_block_t;

coh_recent_t *coh_recent_new(void);
void coh_recent_free(coh_recent_t *recent);

void coh_recent_waited(coh_recent_t *recent, uint64_t wait_us);
void coh_recent_block(coh_recent_t *recent, coh_recent_block_t const *block);

/* coh_recent_wait_quantile is the q-quantile (0..1) of the waits in the blocks that are remembered, in microseconds, at most a quarter too high or too low; 0 if
   nothing waited. */
uint64_t coh_recent_wait_quantile(coh_recent_t const *recent, double q);

/* coh_recent_json appends two members of an object, without a comma around: "recent", quantiles over the blocks remembered, and "blocks", these themselves, the newest first. */
void coh_recent_json(coh_recent_t const *recent, coh_buf_t *out);

#endif
