#include "coordinator/block_stats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"

/* Waits are counted by size: 0 to 3 us each for itself, then four classes to each power of two, up to two hours; the last class is open. */
#define CLASS_CNT 128u

struct coh_block_stats {
    uint32_t shard_cnt;
    uint64_t block_cnt;                         /* ever */
    coh_block_stat_t ring[COH_BLOCK_STATS_CNT]; /* as they were committed; their shards are owned */
    uint64_t sum[CLASS_CNT];                    /* of the waits in recent blocks */
    uint32_t waits[CLASS_CNT];                  /* of the block that is coming */
    uint32_t recent[COH_BLOCK_STATS_RECENT][CLASS_CNT];
};

static size_t class_of(uint64_t us)
{
    if (us < 4) {
        return us;
    }
    size_t exponent = 63 - (size_t)__builtin_clzll(us);
    size_t i        = exponent * 4 + (us >> (exponent - 2)) - 8;
    return COH_MIN(i, (size_t)CLASS_CNT - 1);
}

/* The lowest of a class. */
static uint64_t class_low(size_t i) { return i < 4 ? i : (uint64_t)(i % 4 + 4) << (i / 4 - 1); }

coh_block_stats_t *coh_block_stats_new(uint32_t shard_cnt)
{
    coh_block_stats_t *stats = coh_calloc(1, sizeof(*stats));
    stats->shard_cnt         = shard_cnt;
    return stats;
}

void coh_block_stats_free(coh_block_stats_t *stats)
{
    if (stats == NULL) {
        return;
    }
    for (uint32_t i = 0; i < COH_BLOCK_STATS_CNT; i++) {
        free(stats->ring[i].shards);
    }
    free(stats);
}

void coh_block_stats_waited(coh_block_stats_t *stats, uint64_t wait_us)
{
    stats->waits[class_of(wait_us)]++;
}

void coh_block_stats_add(coh_block_stats_t *stats, coh_block_stat_t const *block)
{
    uint32_t *gone = stats->recent[stats->block_cnt % COH_BLOCK_STATS_RECENT];
    for (size_t i = 0; i < CLASS_CNT; i++) {
        COH_ASSERT(stats->sum[i] >= gone[i]);
        stats->sum[i] += stats->waits[i];
        stats->sum[i] -= gone[i]; /* zero while the ring fills */
    }
    memcpy(gone, stats->waits, sizeof(stats->waits));
    memset(stats->waits, 0, sizeof(stats->waits));
    coh_block_stat_t *to            = &stats->ring[stats->block_cnt % COH_BLOCK_STATS_CNT];
    coh_block_stats_shard_t *shards = to->shards;
    if (shards == NULL) {
        shards = coh_calloc(stats->shard_cnt, sizeof(*shards));
    }
    memcpy(shards, block->shards, stats->shard_cnt * sizeof(*shards));
    *to        = *block;
    to->shards = shards;
    stats->block_cnt++;
}

uint64_t coh_block_stats_wait_quantile(coh_block_stats_t const *stats, double q)
{
    uint64_t cnt = 0;
    for (size_t i = 0; i < CLASS_CNT; i++) {
        cnt += stats->sum[i];
    }
    double want  = q * (double)cnt;
    double below = 0;
    for (size_t i = 0; i < CLASS_CNT && cnt > 0; i++) {
        double here = (double)stats->sum[i];
        if (here > 0 && below + here >= want) {
            double low  = (double)class_low(i);
            double high = i + 1 < CLASS_CNT ? (double)class_low(i + 1) : low;
            return (uint64_t)(low + (high - low) * (want - below) / here);
        }
        below += here;
    }
    return 0;
}

static size_t recent_cnt(coh_block_stats_t const *stats)
{
    return (size_t)COH_MIN(stats->block_cnt, (uint64_t)COH_BLOCK_STATS_RECENT);
}

/* The block committed n blocks before the last, n below COH_BLOCK_STATS_CNT. */
static coh_block_stat_t const *back(coh_block_stats_t const *stats, size_t n)
{
    return &stats->ring[(stats->block_cnt - 1 - n) % COH_BLOCK_STATS_CNT];
}

static int by_size(void const *a, void const *b)
{
    uint64_t x = *(uint64_t const *)a;
    uint64_t y = *(uint64_t const *)b;
    return (x > y) - (x < y);
}

/* The smallest value that at least q hundredths are no larger than. */
static uint64_t percentile(uint64_t const *sorted, size_t cnt, size_t q)
{
    return cnt == 0 ? 0 : sorted[(cnt * q + 99) / 100 - 1];
}

void coh_block_stats_recent_json(coh_block_stats_t const *stats, coh_buf_t *out)
{
    static char const *const names[] = {"settle", "prepare", "decide", "commit"};
    size_t cnt                       = recent_cnt(stats);
    coh_buf_printf(out,
                   "\"recent\":{\"blocks\":%zu,\"latency_us\":{\"tx\":{\"p50\":%" PRIu64
                   ",\"p99\":%" PRIu64 "}",
                   cnt,
                   coh_block_stats_wait_quantile(stats, 0.5),
                   coh_block_stats_wait_quantile(stats, 0.99));
    for (size_t stage = 0; stage < COH_CNT(names); stage++) {
        uint64_t us[COH_BLOCK_STATS_RECENT];
        for (size_t i = 0; i < cnt; i++) {
            coh_block_stat_t const *b = back(stats, i);
            uint64_t const stages[]   = {b->settle_us,
                                         b->prepare_us,
                                         b->decide_us,
                                         b->settle_us + b->prepare_us + b->decide_us};
            us[i]                     = stages[stage];
        }
        qsort(us, cnt, sizeof(us[0]), by_size);
        coh_buf_printf(out,
                       ",\"%s\":{\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 "}",
                       names[stage],
                       percentile(us, cnt, 50),
                       percentile(us, cnt, 99));
    }
    coh_buf_printf(out, "}},\"blocks\":[");
    for (size_t i = 0; i < cnt; i++) {
        coh_block_stat_t const *b = back(stats, i);
        coh_buf_printf(out,
                       "%s{\"number\":%" PRIu64 ",\"timestamp\":%" PRIu64
                       ",\"tx\":%u,\"tx_cross\":%u,\"gas_used\":%" PRIu64 ",\"gas_limit\":%" PRIu64
                       ",\"committed_us\":%" PRIu64 ",\"settle_us\":%" PRIu64
                       ",\"prepare_us\":%" PRIu64 ",\"decide_us\":%" PRIu64 "}",
                       i == 0 ? "" : ",",
                       b->number,
                       b->timestamp,
                       b->tx_cnt,
                       b->cross_cnt,
                       b->gas_used,
                       b->gas_limit,
                       b->committed_us,
                       b->settle_us,
                       b->prepare_us,
                       b->decide_us);
    }
    coh_buf_printf(out, "]");
}

/* part of all, as a decimal fraction; 0 of nothing. */
static void put_share(coh_buf_t *out, char const *name, uint64_t part, uint64_t all)
{
    coh_buf_printf(out, ",\"%s\":%.4f", name, all == 0 ? 0.0 : (double)part / (double)all);
}

/* The last one of that number; NULL: it is not known any more. On a dev chain numbers come again. */
static coh_block_stat_t const *find(coh_block_stats_t const *stats, uint64_t number)
{
    uint64_t cnt = COH_MIN(stats->block_cnt, (uint64_t)COH_BLOCK_STATS_CNT);
    for (uint64_t n = 0; n < cnt; n++) {
        if (back(stats, n)->number == number) {
            return back(stats, n);
        }
    }
    return NULL;
}

void coh_block_stats_json(coh_block_stats_t const *stats, coh_buf_t *out, uint64_t number)
{
    coh_block_stat_t const *b = find(stats, number);
    uint64_t executions       = 0;
    uint64_t retractions      = 0;
    uint64_t cpu_ns           = 0;
    char hash[65];
    if (b == NULL) {
        coh_buf_printf(out, "null");
        return;
    }
    for (uint32_t s = 0; s < stats->shard_cnt; s++) {
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
    for (uint32_t s = 0; s < stats->shard_cnt; s++) {
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
