/* bench.h: the kinds of load that `cohort bench` knows. */
#ifndef COH_BENCH_H
#define COH_BENCH_H

#include "deploy/cohort/bench_load.h"

typedef struct {
    char const *requests;     /* address of the coordinator for requests */
    char const *publications; /* and for publications */
    char const *placement;    /* policy by which the cluster's accounts were placed */
    char const *json_path;    /* NULL: none */
    uint64_t seed;
    uint64_t account_cnt;
    uint64_t tx_cnt;  /* 0: as many as could be recovered in seconds, and a tenth more */
    uint64_t seconds; /* submissions end after them; ignored if tx_cnt is given */
    uint64_t cross_percent;
    coh_bench_spot_t spot;
    uint64_t batch;      /* transactions in a request */
    uint64_t pipeline;   /* requests on their way */
    uint64_t window;     /* transactions without a receipt, at most */
    uint32_t thread_cnt; /* for signing and calibration */
} coh_bench_options_t;

/* coh_bench_transfers drives a running cluster with signed transfers and prints the report to standard output.
   Returns: an exit code; coh_exit_t */
int coh_bench_transfers(coh_bench_options_t const *options);

typedef struct {
    char **paths; /* state tests, and folders of them */
    size_t path_cnt;
    char const *filter;    /* part of a program's name; NULL: all */
    char const *contracts; /* folder of our artifacts */
    char const *peers;     /* folder of others' artifacts; NULL: none */
    char const *baseline;  /* report of an earlier run, as JSON; NULL: none */
    uint64_t sample_cnt;
    uint64_t sample_ms;
    uint64_t account_cnt;
    uint64_t seed;
    bool json; /* report as JSON instead of text */
} coh_bench_evm_options_t;

/* coh_bench_evm runs programs and transactions in this process, on one core, and prints the report to standard output.
   Returns: an exit code; coh_exit_t */
int coh_bench_evm(coh_bench_evm_options_t const *options);

#endif
