/* bench_run.h: a whole cluster in this process that carries out given blocks against the clock: coordinator on the calling thread, each shard with a
   communication thread and worker threads of its own, every rank on a store of its own, in memory or on disk. What it runs is what `cohort node --shards K` runs. */
#ifndef COH_BENCH_RUN_H
#define COH_BENCH_RUN_H

#include "common/config/genesis.h"
#include "coordinator/coordinator.h"

typedef struct {
    uint32_t shard_cnt;
    uint32_t thread_cnt;   /* of each shard */
    char const *scheduler; /* as shard-scheduler */
    char const *placement; /* as placement-policy; NULL: the default */
    uint64_t delay_us;     /* of each message between ranks, on top of what it takes anyhow */
    char const *dir;       /* exists and is empty: RocksDB in it; NULL: in memory */
} coh_bench_layout_t;

typedef struct {
    /* Of the blocks behind the first warm_cnt, from the decision on the last of these to that on the last block. */
    uint64_t wall_us;
    uint64_t cpu_ns;     /* of all threads of the process */
    uint64_t execute_ns; /* of that, execution and publishing (executor_cpu) */
    uint64_t tx_cnt;
    uint64_t gas_used;
    uint64_t incarnations;
    uint64_t parked;
    uint64_t held;
    uint64_t retractions;
    uint64_t messages;    /* between shards */
    uint64_t reads;       /* of other shards */
    uint64_t round_trips; /* waits for such reads */
    uint64_t across;      /* transactions that used several shards (chain_tx_cross) */
    uint64_t moves;       /* of accounts, also before the clock started */
    uint64_t moves_max;   /* of any account */
    double busiest; /* transactions that the busiest shard executed, by its fair share: 1 is even */
    uint64_t reverted; /* receipts with status 0 */
} coh_bench_figures_t;

/* coh_bench_run imports blocks on top of genesis, the first warm_cnt (< block_cnt) before the clock starts. hashes: block_cnt, of the sealed headers,
   by which runs are compared: each names state, receipts and all blocks before.
   Returns: COH_OK all blocks are committed; else err_text says what went wrong */
coh_err_t coh_bench_run(coh_bench_figures_t *out,
                        coh_hash_t *hashes,
                        coh_bench_layout_t const *layout,
                        coh_genesis_t const *genesis,
                        coh_import_block_t const *blocks,
                        size_t block_cnt,
                        size_t warm_cnt,
                        coh_buf_t *err_text);

#endif
