/* bench_report.h: what a bench run comes to: the cluster's own figures before and after, set against the transactions between, for people
   and as JSON. */
#ifndef COH_BENCH_REPORT_H
#define COH_BENCH_REPORT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/obs/metrics.h"
#include "deploy/cohort/bench_ledger.h"

/* The metrics of every rank, from the cluster's status. */
typedef struct {
    uint32_t rank_cnt;
    uint64_t (*v)[COH_METRIC_CNT]; /* owned; by rank, coordinator first */
    uint64_t taken_us;             /* when the status was asked for */
    coh_u256_t burnt;              /* fees burnt since genesis, in wei */
} coh_bench_stats_t;

/* coh_bench_stats_parse reads the answer to STATUS. Returns: COH_OK; COH_EMALFORMED with what is missing in err_text */
coh_err_t coh_bench_stats_parse(coh_bench_stats_t *out, coh_bytes_t json, coh_buf_t *err_text);
void coh_bench_stats_free(coh_bench_stats_t *stats);

typedef struct {
    /* How it was run. */
    uint64_t seed;
    size_t account_cnt;
    uint32_t cross_percent;
    coh_bench_spot_t spot;
    uint32_t core_cnt;
    /* What happened. */
    double seconds;      /* from the first submission to the last receipt */
    double recover_rate; /* senders a second that libsecp256k1 recovers on all cores */
    uint64_t busy_cnt;   /* answers "busy", each tried again */
    uint64_t gap_cnt;    /* publications missed and fetched */
    uint64_t cross_cnt;  /* of the transactions with a receipt, by plan */
    coh_bench_counts_t counts;
    coh_bench_ledger_t *ledger; /* closed */
    coh_bench_stats_t idle;     /* before the signing, on a cluster at rest, */
    coh_bench_stats_t rested;   /* some seconds later, */
    coh_bench_stats_t before;   /* right before the load, */
    coh_bench_stats_t after;    /* and after it */
} coh_bench_report_t;

/* True if no check found a fault. */
bool coh_bench_report_ok(coh_bench_report_t const *report);
/* coh_bench_report_text appends the report for people, coh_bench_report_json the same figures as one JSON object. */
void coh_bench_report_text(coh_buf_t *out, coh_bench_report_t const *report);
void coh_bench_report_json(coh_buf_t *out, coh_bench_report_t const *report);

#endif
