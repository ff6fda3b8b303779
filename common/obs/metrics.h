/* metrics.h: counters, gauges and histograms of one rank. Each rank of an embedded node has its own
   set. Adding is one relaxed atomic add in the copy of the counters that the calling thread was
   given (threads share one only beyond the eighth); reading sums up. A metric takes only the call
   that its kind in metrics.def allows: add for COUNTER, set for GAUGE, observe for HISTOGRAM. */
#ifndef COH_METRICS_H
#define COH_METRICS_H

#include <stdatomic.h>

#include "common/base/buf.h"

typedef enum {
#define COH_METRIC(KIND, module, name, unit, doc) COH_M_##module##_##name,
#include "common/obs/metrics.def"
#undef COH_METRIC
    COH_METRIC_CNT
} coh_metric_id_t;

/* Histogram buckets: up to 2^i microseconds for i in 0..COH_METRIC_BUCKETS-2, then infinity. */
#define COH_METRIC_BUCKETS 28

typedef struct coh_metrics coh_metrics_t;

coh_metrics_t *coh_metrics_new(uint32_t rank);
void coh_metrics_free(coh_metrics_t *m);

/* Any thread. m may be NULL: then nothing happens. */
void coh_metric_add(coh_metrics_t *m, coh_metric_id_t id, uint64_t v);
void coh_metric_set(coh_metrics_t *m, coh_metric_id_t id, uint64_t v);
/* us: a latency in microseconds. */
void coh_metric_observe(coh_metrics_t *m, coh_metric_id_t id, uint64_t us);

/* Counter or gauge: its value; histogram: number of observations. */
uint64_t coh_metric_get(coh_metrics_t const *m, coh_metric_id_t id);
/* A quantile (0..1) of a histogram in microseconds: upper bound of its bucket, interpolated; 0 if
   empty. */
uint64_t coh_metric_quantile(coh_metrics_t const *m, coh_metric_id_t id, double q);

/* "chain_tx", and so on. */
char const *coh_metric_name(coh_metric_id_t id);

/* coh_metrics_prometheus appends the text format 0.0.4, every sample with a rank
   label. Any thread. */
void coh_metrics_prometheus(coh_metrics_t const *m, coh_buf_t *out);
/* The same for cnt sets of one process: texts of single sets may not be joined, since each metric
   is described once. */
void coh_metrics_prometheus_all(coh_metrics_t const *const *sets, size_t cnt, coh_buf_t *out);

#endif
