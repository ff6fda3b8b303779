#include "coordinator/recent.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Waits are counted by size: 0 to 3 us each for itself, then four classes to each power of two, up to two hours; the last class is open. */
#define CLASS_CNT 128u

typedef struct {
    coh_recent_block_t block;
    uint32_t waits[CLASS_CNT];
} entry_t;

struct coh_recent {
    uint64_t block_cnt; /* ever */
    uint64_t sum[CLASS_CNT];
    uint32_t waits[CLASS_CNT]; /* of the block that is coming */
    entry_t ring[COH_RECENT_BLOCKS];
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

coh_recent_t *coh_recent_new(void) { return coh_calloc(1, sizeof(coh_recent_t)); }

void coh_recent_free(coh_recent_t *recent) { free(recent); }

void coh_recent_waited(coh_recent_t *recent, uint64_t wait_us)
{
    recent->waits[class_of(wait_us)]++;
}

void coh_recent_block(coh_recent_t *recent, coh_recent_block_t const *block)
{
    entry_t *e = &recent->ring[recent->block_cnt % COH_RECENT_BLOCKS];
    for (size_t i = 0; i < CLASS_CNT; i++) {
        COH_ASSERT(recent->sum[i] >= e->waits[i]);
        recent->sum[i] += recent->waits[i];
        recent->sum[i] -=
            e->waits[i]; /* of the block that is forgotten; zero while the ring fills */
    }
    e->block = *block;
    memcpy(e->waits, recent->waits, sizeof(e->waits));
    memset(recent->waits, 0, sizeof(recent->waits));
    recent->block_cnt++;
}

uint64_t coh_recent_wait_quantile(coh_recent_t const *recent, double q)
{
    uint64_t cnt = 0;
    for (size_t i = 0; i < CLASS_CNT; i++) {
        cnt += recent->sum[i];
    }
    double want  = q * (double)cnt;
    double below = 0;
    for (size_t i = 0; i < CLASS_CNT && cnt > 0; i++) {
        double here = (double)recent->sum[i];
        if (here > 0 && below + here >= want) {
            double low  = (double)class_low(i);
            double high = i + 1 < CLASS_CNT ? (double)class_low(i + 1) : low;
            return (uint64_t)(low + (high - low) * (want - below) / here);
        }
        below += here;
    }
    return 0;
}

static size_t kept_cnt(coh_recent_t const *recent)
{
    return (size_t)COH_MIN(recent->block_cnt, (uint64_t)COH_RECENT_BLOCKS);
}

/* The block committed n blocks before the last. */
static coh_recent_block_t const *back(coh_recent_t const *recent, size_t n)
{
    return &recent->ring[(recent->block_cnt - 1 - n) % COH_RECENT_BLOCKS].block;
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

void coh_recent_json(coh_recent_t const *recent, coh_buf_t *out)
{
    static char const *const names[] = {"settle", "prepare", "decide", "commit"};
    size_t cnt                       = kept_cnt(recent);
    coh_buf_printf(out,
                   "\"recent\":{\"blocks\":%zu,\"latency_us\":{\"tx\":{\"p50\":%" PRIu64
                   ",\"p99\":%" PRIu64 "}",
                   cnt,
                   coh_recent_wait_quantile(recent, 0.5),
                   coh_recent_wait_quantile(recent, 0.99));
    for (size_t stage = 0; stage < COH_CNT(names); stage++) {
        uint64_t us[COH_RECENT_BLOCKS];
        for (size_t i = 0; i < cnt; i++) {
            coh_recent_block_t const *b = back(recent, i);
            uint64_t const stages[]     = {b->settle_us,
                                           b->prepare_us,
                                           b->decide_us,
                                           b->settle_us + b->prepare_us + b->decide_us};
            us[i]                       = stages[stage];
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
        coh_recent_block_t const *b = back(recent, i);
        coh_buf_printf(out,
                       "%s{\"number\":%" PRIu64 ",\"timestamp\":%" PRIu64
                       ",\"tx\":%u,\"tx_cross\":%u,\"gas_used\":%" PRIu64 ",\"gas_limit\":%" PRIu64
                       ",\"committed_us\":%" PRIu64 ",\"settle_us\":%" PRIu64
                       ",\"prepare_us\":%" PRIu64 ",\"decide_us\":%" PRIu64 "}",
                       i == 0 ? "" : ",",
                       b->number,
                       b->timestamp,
                       b->tx_cnt,
                       b->tx_cross,
                       b->gas_used,
                       b->gas_limit,
                       b->committed_us,
                       b->settle_us,
                       b->prepare_us,
                       b->decide_us);
    }
    coh_buf_printf(out, "]");
}
