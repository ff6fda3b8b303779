/* bench.h: the kinds of load that `cohort bench` knows. */
#ifndef COH_BENCH_H
#define COH_BENCH_H

#include "deploy/cohort/bench_load.h"
#include "deploy/cohort/bench_world.h"

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

/* Values of one axis of the grid. */
#define COH_BENCH_AXIS_MAX 16u

typedef struct {
    coh_bench_work_t works[COH_BENCH_WORK_CNT];
    size_t
        work_cnt; /* with path_cnt 0: if it is 0, all of them that have no definition, and no need of peers that are not there */
    char **paths; /* recordings of real blocks */
    size_t path_cnt;
    /* The grid is the product of these. */
    uint32_t shards[COH_BENCH_AXIS_MAX];
    uint32_t threads[COH_BENCH_AXIS_MAX];
    char const *schedulers[COH_BENCH_AXIS_MAX];
    uint32_t crosses[COH_BENCH_AXIS_MAX]; /* percent, or COH_BENCH_CROSS_ANY */
    coh_bench_skew_t skews[COH_BENCH_AXIS_MAX];
    uint32_t delays[COH_BENCH_AXIS_MAX]; /* us, of messages between ranks */
    size_t shards_cnt, threads_cnt, scheduler_cnt, cross_cnt, skew_cnt, delay_cnt;
    uint64_t seed;
    uint64_t account_cnt; /* 0: as the work's definition has it, or 2000 */
    uint64_t tx_cnt;      /* of a block; likewise */
    uint64_t block_cnt;
    uint64_t instance_cnt;
    uint64_t warm_cnt;     /* blocks before those that are measured */
    char const *placement; /* as placement-policy */
    uint64_t repeat_cnt;   /* runs of each layout, of which the median counts */
    char const *contracts; /* folder of our artifacts */
    char const *peers;     /* folder of others' artifacts; NULL: none */
    char const *dir;       /* stores are on disk, in folders in it; NULL: in memory */
    char const *sweep;     /* PREFIX.csv and PREFIX.svg; NULL: none */
    bool json;             /* a line of JSON for each layout instead of a table */
} coh_bench_blocks_options_t;

/* coh_bench_blocks executes blocks in clusters in this process and prints what it took to standard output.
   Returns: an exit code; coh_exit_t */
int coh_bench_blocks(coh_bench_blocks_options_t const *options);

#endif
