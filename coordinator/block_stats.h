/* block_stats.h: how the last blocks were executed: who executed how much, what went between shards, how long what took. A ring of the last COH_BLOCK_STATS_CNT committed blocks; nothing of it survives a
   restart. */
#ifndef COH_BLOCK_STATS_H
#define COH_BLOCK_STATS_H

#include "common/base/buf.h"

#define COH_BLOCK_STATS_CNT 1024u

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
    uint32_t tx_cnt;
    uint32_t cross_cnt;              /* of these, such as used several shards */
    uint64_t message_cnt;            /* READ, VALUE, PUBLISH, RETRACT */
    uint64_t settle_us;              /* from sending it to its settlement, ... */
    uint64_t prepare_us;             /* ...from there to the last vote, ... */
    uint64_t decide_us;              /* ...from there to its durable decision */
    coh_block_stats_shard_t *shards; /* by shard */
} coh_block_stats_t;

typedef struct {
    uint32_t shard_cnt;
    coh_block_stats_t
        *ring; /* owned, with their shards; by number modulo COH_BLOCK_STATS_CNT; number 0: none */
} coh_block_stats_ring_t;

void coh_block_stats_init(coh_block_stats_ring_t *r, uint32_t shard_cnt);
void coh_block_stats_fini(coh_block_stats_ring_t *r);
/* coh_block_stats_put keeps a copy of stats in the place of what was there. */
void coh_block_stats_put(coh_block_stats_ring_t *r, coh_block_stats_t const *stats);
/* coh_block_stats_json appends what is known of block number as JSON, "null" if nothing is. */
void coh_block_stats_json(coh_buf_t *out, coh_block_stats_ring_t const *r, uint64_t number);

#endif
