/* bench_evm.h: what the parts of `cohort bench evm` share: figures, how they are taken, and who takes them.

   A figure is the median of several samples; a sample runs the same thing as often as fills a given time, on this thread, and counts the
   thread's CPU time. */
#ifndef COH_BENCH_EVM_H
#define COH_BENCH_EVM_H

#include "common/base/rng.h"
#include "deploy/cohort/bench.h"
#include "deploy/cohort/solo.h"

typedef void coh_bench_run_fn(void *arg);

/* Samples of one figure, nanoseconds per run. Zero-initialised; turns is found by the first sample. */
#define COH_BENCH_SAMPLE_MAX 1000
typedef struct {
    double ns[COH_BENCH_SAMPLE_MAX];
    size_t cnt;
    uint64_t turns;
} coh_bench_samples_t;

/* coh_bench_sample adds a sample of about ms milliseconds; run is run at least once. Nothing happens when the samples are full. */
void coh_bench_sample(coh_bench_samples_t *samples, uint64_t ms, coh_bench_run_fn *run, void *arg);
/* Their median; 0 without any. Sorts them. */
double coh_bench_median(coh_bench_samples_t *samples);

/* What a message call costs that is run again and again on a state that stays as it is. */
typedef struct {
    coh_evm_status_t status;
    uint64_t gas;
    double execute_ns; /* code analysed once */
    double total_ns;   /* code analysed in every run */
} coh_bench_call_cost_t;

/* coh_bench_call_measure runs msg over state, which it leaves as it was. All borrowed. */
void coh_bench_call_measure(coh_bench_call_cost_t *out,
                            coh_memview_t *state,
                            coh_block_env_t const *block,
                            coh_evm_message_t const *msg,
                            uint64_t sample_cnt,
                            uint64_t sample_ms);

/* A kind of transaction: the figures. */
typedef struct {
    char const *name;
    uint64_t gas; /* of a transaction, on average */
    double tx_ns;
    bool has_call;
    coh_bench_call_cost_t call; /* the bare call that most of its transactions make */
} coh_bench_tx_cost_t;

#define COH_BENCH_TX_KIND_MAX 5

/* coh_bench_tx_measure measures transfers, token transfers and swaps, and the latter two with others' contracts if options name them.
   Afterwards it checks that no token appeared or vanished.
   Returns: COH_OK, *cnt figures in out; an error with the reason in why */
coh_err_t coh_bench_tx_measure(coh_bench_tx_cost_t out[COH_BENCH_TX_KIND_MAX],
                               size_t *cnt,
                               coh_bench_evm_options_t const *options,
                               coh_buf_t *why);

#endif
