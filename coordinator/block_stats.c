#include "coordinator/block_stats.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"

void coh_block_stats_init(coh_block_stats_ring_t *r, uint32_t shard_cnt)
{
    r->shard_cnt = shard_cnt;
    r->ring      = coh_calloc(COH_BLOCK_STATS_CNT, sizeof(*r->ring));
}

void coh_block_stats_fini(coh_block_stats_ring_t *r)
{
    for (uint32_t i = 0; r->ring != NULL && i < COH_BLOCK_STATS_CNT; i++) {
        free(r->ring[i].shards);
    }
    free(r->ring);
    *r = (coh_block_stats_ring_t){0};
}

void coh_block_stats_put(coh_block_stats_ring_t *r, coh_block_stats_t const *stats)
{
    coh_block_stats_t *to           = &r->ring[stats->number % COH_BLOCK_STATS_CNT];
    coh_block_stats_shard_t *shards = to->shards;
    if (shards == NULL) {
        shards = coh_calloc(r->shard_cnt, sizeof(*shards));
    }
    memcpy(shards, stats->shards, r->shard_cnt * sizeof(*shards));
    *to        = *stats;
    to->shards = shards;
}

/* part of all, as a decimal fraction; 0 of nothing. */
static void put_share(coh_buf_t *out, char const *name, uint64_t part, uint64_t all)
{
    coh_buf_printf(out, ",\"%s\":%.4f", name, all == 0 ? 0.0 : (double)part / (double)all);
}

void coh_block_stats_json(coh_buf_t *out, coh_block_stats_ring_t const *r, uint64_t number)
{
    coh_block_stats_t const *b = &r->ring[number % COH_BLOCK_STATS_CNT];
    uint64_t executions        = 0;
    uint64_t retractions       = 0;
    uint64_t cpu_ns            = 0;
    char hash[65];
    if (b->shards == NULL || b->number != number) {
        coh_buf_printf(out, "null");
        return;
    }
    for (uint32_t s = 0; s < r->shard_cnt; s++) {
        executions += b->shards[s].execution_cnt;
        retractions += b->shards[s].retraction_cnt;
        cpu_ns += b->shards[s].cpu_ns;
    }
    coh_hex_encode(hash, b->hash.b, sizeof(b->hash.b));
    coh_buf_printf(out,
                   "{\"number\":%" PRIu64
                   ",\"hash\":\"0x%s\",\"transactions\":%u,\"crossShard\":%u",
                   number,
                   hash,
                   b->tx_cnt,
                   b->cross_cnt);
    put_share(out, "crossShardShare", b->cross_cnt, b->tx_cnt);
    coh_buf_printf(out,
                   ",\"executions\":%" PRIu64 ",\"retractions\":%" PRIu64 ",\"messages\":%" PRIu64
                   ",\"executionMicros\":%" PRIu64 ",\"settleMicros\":%" PRIu64
                   ",\"prepareMicros\":%" PRIu64 ",\"decideMicros\":%" PRIu64
                   ",\"commitMicros\":%" PRIu64 ",\"shards\":[",
                   executions,
                   retractions,
                   b->message_cnt,
                   cpu_ns / 1000,
                   b->settle_us,
                   b->prepare_us,
                   b->decide_us,
                   b->settle_us + b->prepare_us + b->decide_us);
    for (uint32_t s = 0; s < r->shard_cnt; s++) {
        coh_block_stats_shard_t const *of = &b->shards[s];
        coh_buf_printf(out,
                       "%s{\"shard\":%u,\"rank\":%u,\"transactions\":%u,\"executions\":%" PRIu64
                       ",\"retractions\":%" PRIu64 ",\"executionMicros\":%" PRIu64,
                       s == 0 ? "" : ",",
                       s,
                       s + 1,
                       of->tx_cnt,
                       of->execution_cnt,
                       of->retraction_cnt,
                       of->cpu_ns / 1000);
        put_share(out, "load", of->cpu_ns, cpu_ns);
        coh_buf_printf(out, "}");
    }
    coh_buf_printf(out, "]}");
}
