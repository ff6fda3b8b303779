/* block_stats.h: what is told of the last committed blocks, of whom nothing survives a restart: how big each was, how long what took, who executed how much, what went between shards; and how long
   transactions waited from admission to the durable decision. What the metrics have since the start is here as it is now.

   coh_block_stats_waited for each transaction of a block, then coh_block_stats_add for the block; and so on. Communication thread only. */
#ifndef COH_BLOCK_STATS_H
#define COH_BLOCK_STATS_H

#include "common/base/buf.h"

/* Blocks that can be asked for by number. */
#define COH_BLOCK_STATS_CNT 1024u
/* The last ones, of which there are lists, quantiles and waits. */
#define COH_BLOCK_STATS_RECENT 64u

/* One shard's part. */
typedef struct {
    uint32_t tx_cnt;         /* homed there, those left out of the block too */
    uint64_t execution_cnt;  /* incarnations of these, and of steps */
    uint64_t retraction_cnt; /* told by the keys that it owns */
    uint64_t cpu_ns;         /* its workers spent on the block's execution */
    uint64_t across_cnt;     /* of its transactions, such as used other shards */
} coh_block_stats_shard_t;

typedef struct {
    uint64_t number;
    coh_hash_t hash;
    uint64_t timestamp; /* the header's */
    uint64_t gas_used;
    uint64_t gas_limit;
    uint32_t tx_cnt;
    uint32_t cross_cnt;              /* of these, such as used several shards */
    uint64_t message_cnt;            /* READ, VALUE, PUBLISH, RETRACT */
    uint64_t committed_us;           /* since the coordinator's start */
    uint64_t settle_us;              /* from sending it to its settlement, ... */
    uint64_t prepare_us;             /* ...from there to the last vote, ... */
    uint64_t decide_us;              /* ...from there to its durable decision */
    coh_block_stats_shard_t *shards; /* by shard */
} coh_block_stat_t;

typedef struct coh_block_stats coh_block_stats_t;

coh_block_stats_t *coh_block_stats_new(uint32_t shard_cnt);
void coh_block_stats_free(coh_block_stats_t *stats);

void coh_block_stats_waited(coh_block_stats_t *stats, uint64_t wait_us);
/* coh_block_stats_add keeps a copy of block, and of its shards, in the place of the oldest. */
void coh_block_stats_add(coh_block_stats_t *stats, coh_block_stat_t const *block);

/* coh_block_stats_wait_quantile is the q-quantile (0..1) of the waits in the recent blocks, in microseconds, at most a quarter too high or too low; 0 if nothing
   waited. */
uint64_t coh_block_stats_wait_quantile(coh_block_stats_t const *stats, double q);

/* coh_block_stats_recent_json appends two members of an object, without a comma around: "recent", quantiles over the recent blocks, and "blocks", these themselves, the newest first. */
void coh_block_stats_recent_json(coh_block_stats_t const *stats, coh_buf_t *out);

/* coh_block_stats_json appends what is known of the last committed block number as JSON, "null" if nothing is. */
void coh_block_stats_json(coh_block_stats_t const *stats, coh_buf_t *out, uint64_t number);

#endif
