#include "common/obs/metrics.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Threads spread over so many copies of the counters; the first eight never share a cache line. */
#define STRIPE_CNT 8

typedef enum { COUNTER, GAUGE, HISTOGRAM } kind_t;
typedef enum { NONE, BYTES, SECONDS, SECONDS_NS } unit_t;

typedef struct {
    char const *name;
    char const *doc;
    kind_t kind;
    unit_t unit;
} row_t;

static row_t const rows[COH_METRIC_CNT] = {
#define COH_METRIC(KIND, module, name, unit, doc) {#module "_" #name, doc, KIND, unit},
#include "common/obs/metrics.def"
#undef COH_METRIC
};

/* Histograms are numbered among themselves, in the table's order. */
enum {
#define COUNTER_HIST(module, name)
#define GAUGE_HIST(module, name)
#define HISTOGRAM_HIST(module, name)              HIST_##module##_##name,
#define COH_METRIC(KIND, module, name, unit, doc) KIND##_HIST(module, name)
#include "common/obs/metrics.def"
#undef COH_METRIC
    HIST_CNT
};

static uint8_t const hist_of[COH_METRIC_CNT] = {
#undef HISTOGRAM_HIST
#define HISTOGRAM_HIST(module, name)              [COH_M_##module##_##name] = HIST_##module##_##name,
#define COH_METRIC(KIND, module, name, unit, doc) KIND##_HIST(module, name)
#include "common/obs/metrics.def"
#undef COH_METRIC
};

#define COH_METRIC(KIND, module, name, unit, doc)            \
    _Static_assert((KIND == HISTOGRAM) == (unit == SECONDS), \
                   #name ": histograms, and they alone, are in SECONDS");
#include "common/obs/metrics.def"
#undef COH_METRIC

typedef struct {
    _Atomic uint64_t bucket[COH_METRIC_BUCKETS]; /* not cumulative */
    _Atomic uint64_t sum_us;
} hist_t;

/* Every access is relaxed: a figure stands for itself, nothing else is published by it. A reader
   may therefore see an event in one figure and not yet in another. */
typedef struct {
    COH_ALIGNED(COH_CACHE_LINE) _Atomic uint64_t value[COH_METRIC_CNT];
    hist_t hist[HIST_CNT];
} stripe_t;

_Static_assert(sizeof(stripe_t) % COH_CACHE_LINE == 0, "stripes must not share a cache line");

struct coh_metrics {
    uint32_t rank;
    stripe_t stripe[STRIPE_CNT]; /* gauges live in the first */
};

static stripe_t *my_stripe(coh_metrics_t *m)
{
    static _Atomic unsigned thread_cnt;
    static _Thread_local unsigned thread_no; /* 0: not numbered yet */
    if (COH_UNLIKELY(thread_no == 0)) {
        thread_no =
            atomic_fetch_add_explicit(&thread_cnt, 1, memory_order_relaxed) % STRIPE_CNT + 1;
    }
    return &m->stripe[thread_no - 1];
}

static void add(_Atomic uint64_t *cell, uint64_t v)
{
    (void)atomic_fetch_add_explicit(cell, v, memory_order_relaxed);
}

static uint64_t load(_Atomic uint64_t const *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

coh_metrics_t *coh_metrics_new(uint32_t rank)
{
    coh_metrics_t *m = aligned_alloc(COH_CACHE_LINE, sizeof(*m));
    COH_ASSERT(m != NULL);
    memset(m, 0, sizeof(*m));
    m->rank = rank;
    return m;
}

void coh_metrics_free(coh_metrics_t *m) { free(m); }

void coh_metric_add(coh_metrics_t *m, coh_metric_id_t id, uint64_t v)
{
    if (m == NULL) {
        return;
    }
    COH_ASSERT(rows[id].kind == COUNTER);
    add(&my_stripe(m)->value[id], v);
}

void coh_metric_set(coh_metrics_t *m, coh_metric_id_t id, uint64_t v)
{
    if (m == NULL) {
        return;
    }
    COH_ASSERT(rows[id].kind == GAUGE);
    atomic_store_explicit(&m->stripe[0].value[id], v, memory_order_relaxed);
}

/* The first bucket whose bound 2^i is at least us. */
static size_t bucket_of(uint64_t us)
{
    if (us <= 1) {
        return 0;
    }
    size_t i = 64 - (size_t)__builtin_clzll(us - 1);
    return COH_MIN(i, (size_t)COH_METRIC_BUCKETS - 1);
}

void coh_metric_observe(coh_metrics_t *m, coh_metric_id_t id, uint64_t us)
{
    if (m == NULL) {
        return;
    }
    COH_ASSERT(rows[id].kind == HISTOGRAM);
    hist_t *hist = &my_stripe(m)->hist[hist_of[id]];
    add(&hist->bucket[bucket_of(us)], 1);
    add(&hist->sum_us, us);
}

/* A histogram summed over the stripes. */
typedef struct {
    uint64_t bucket[COH_METRIC_BUCKETS];
    uint64_t sum_us;
    uint64_t cnt;
} hist_sum_t;

static hist_sum_t hist_sum(coh_metrics_t const *m, coh_metric_id_t id)
{
    COH_ASSERT(rows[id].kind == HISTOGRAM);
    hist_sum_t sum = {0};
    for (size_t s = 0; s < STRIPE_CNT; s++) {
        hist_t const *hist = &m->stripe[s].hist[hist_of[id]];
        for (size_t i = 0; i < COH_METRIC_BUCKETS; i++) {
            uint64_t n = load(&hist->bucket[i]);
            sum.bucket[i] += n;
            sum.cnt += n;
        }
        sum.sum_us += load(&hist->sum_us);
    }
    return sum;
}

uint64_t coh_metric_get(coh_metrics_t const *m, coh_metric_id_t id)
{
    if (m == NULL) {
        return 0;
    }
    if (rows[id].kind == HISTOGRAM) {
        return hist_sum(m, id).cnt;
    }
    uint64_t sum = 0;
    for (size_t s = 0; s < STRIPE_CNT; s++) {
        sum += load(&m->stripe[s].value[id]);
    }
    return sum;
}

uint64_t coh_metric_quantile(coh_metrics_t const *m, coh_metric_id_t id, double q)
{
    if (m == NULL) {
        return 0;
    }
    hist_sum_t sum = hist_sum(m, id);
    if (sum.cnt == 0) {
        return 0;
    }
    double want  = COH_MIN(COH_MAX(q, 0.0), 1.0) * (double)sum.cnt;
    double below = 0;
    for (size_t i = 0; i < COH_METRIC_BUCKETS - 1; i++) {
        double here = (double)sum.bucket[i];
        if (here > 0 && below + here >= want) {
            double low  = i == 0 ? 0.0 : (double)(UINT64_C(1) << (i - 1));
            double high = (double)(UINT64_C(1) << i);
            return (uint64_t)(low + (high - low) * (want - below) / here + 0.5);
        }
        below += here;
    }
    return UINT64_C(1) << (COH_METRIC_BUCKETS -
                           2); /* in the open bucket: at least its lower bound */
}

char const *coh_metric_name(coh_metric_id_t id) { return rows[id].name; }

static void put_name(coh_buf_t *out, row_t const *row)
{
    static char const *const units[] = {
        [NONE] = "", [BYTES] = "_bytes", [SECONDS] = "_seconds", [SECONDS_NS] = "_seconds"};
    coh_buf_printf(
        out, "cohort_%s%s%s", row->name, units[row->unit], row->kind == COUNTER ? "_total" : "");
}

static void put_histogram(coh_buf_t *out,
                          row_t const *row,
                          coh_metrics_t const *m,
                          coh_metric_id_t id)
{
    hist_sum_t sum      = hist_sum(m, id);
    uint64_t cumulative = 0;
    for (size_t i = 0; i < COH_METRIC_BUCKETS - 1; i++) {
        cumulative += sum.bucket[i];
        uint64_t bound_us = UINT64_C(1) << i;
        put_name(out, row);
        coh_buf_printf(out,
                       "_bucket{rank=\"%" PRIu32 "\",le=\"%" PRIu64 ".%06" PRIu64 "\"} %" PRIu64
                       "\n",
                       m->rank,
                       bound_us / 1000000,
                       bound_us % 1000000,
                       cumulative);
    }
    put_name(out, row);
    coh_buf_printf(
        out, "_bucket{rank=\"%" PRIu32 "\",le=\"+Inf\"} %" PRIu64 "\n", m->rank, sum.cnt);
    put_name(out, row);
    coh_buf_printf(out,
                   "_sum{rank=\"%" PRIu32 "\"} %" PRIu64 ".%06" PRIu64 "\n",
                   m->rank,
                   sum.sum_us / 1000000,
                   sum.sum_us % 1000000);
    put_name(out, row);
    coh_buf_printf(out, "_count{rank=\"%" PRIu32 "\"} %" PRIu64 "\n", m->rank, sum.cnt);
}

static void put_value(coh_buf_t *out, row_t const *row, coh_metrics_t const *m, coh_metric_id_t id)
{
    uint64_t v = coh_metric_get(m, id);
    put_name(out, row);
    coh_buf_printf(out,
                   "{rank=\"%" PRIu32 "\"} %" PRIu64,
                   m->rank,
                   row->unit == SECONDS_NS ? v / 1000000000 : v);
    if (row->unit == SECONDS_NS) {
        coh_buf_printf(out, ".%09" PRIu64, v % 1000000000);
    }
    coh_buf_put_u8(out, '\n');
}

void coh_metrics_prometheus_all(coh_metrics_t const *const *sets, size_t cnt, coh_buf_t *out)
{
    static char const *const types[] = {
        [COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    for (size_t i = 0; i < COH_METRIC_CNT; i++) {
        row_t const *row = &rows[i];
        coh_buf_printf(out, "# HELP ");
        put_name(out, row);
        coh_buf_printf(out, " %s\n# TYPE ", row->doc);
        put_name(out, row);
        coh_buf_printf(out, " %s\n", types[row->kind]);
        for (size_t s = 0; s < cnt; s++) {
            if (row->kind == HISTOGRAM) {
                put_histogram(out, row, sets[s], (coh_metric_id_t)i);
            } else {
                put_value(out, row, sets[s], (coh_metric_id_t)i);
            }
        }
    }
}

void coh_metrics_prometheus(coh_metrics_t const *m, coh_buf_t *out)
{
    coh_metrics_prometheus_all(&m, 1, out);
}
