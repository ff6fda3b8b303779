/* bench_world.h: work for `cohort bench blocks` and for tests: a genesis with contracts in use, and blocks of transactions over it. All of it follows from
   the spec. Transactions carry no signatures that anybody recovers: blocks are imported with their senders, so what is measured is execution.

   The contracts are those of tests/contracts, or published ones. Each is deployed and filled by transactions on a state in memory (solo.h), and what comes of that is the genesis. */
#ifndef COH_BENCH_WORLD_H
#define COH_BENCH_WORLD_H

#include "common/config/genesis.h"
#include "coordinator/coordinator.h"

typedef enum {
#define COH_BENCH_WORK(ID, name, uses, txs, about) COH_BENCH_WORK_##ID,
#include "deploy/cohort/bench_world.def"
#undef COH_BENCH_WORK
    COH_BENCH_WORK_CNT
} coh_bench_work_t;

char const *coh_bench_work_str(coh_bench_work_t work);
/* Whose contracts: ours; ours or published ones; published ones, without which the work cannot be built. */
typedef enum { COH_BENCH_OWN, COH_BENCH_EITHER, COH_BENCH_PEERS } coh_bench_uses_t;
coh_bench_uses_t coh_bench_work_uses(coh_bench_work_t work);
/* Transactions of a block, and accounts, by the work's definition; 0: any. */
uint32_t coh_bench_work_txs(coh_bench_work_t work);
/* Returns: COH_OK; COH_ENOTFOUND no work is called so */
coh_err_t coh_bench_work_parse(coh_bench_work_t *out, char const *text);

/* How accounts are drawn. */
typedef enum {
    COH_BENCH_SKEW_UNIFORM,
    COH_BENCH_SKEW_ZIPF, /* account i with weight 1 / (i + 1)^theta */
    COH_BENCH_SKEW_HOT   /* nine times of ten one of the first tenth */
} coh_bench_skew_kind_t;

typedef struct {
    coh_bench_skew_kind_t kind;
    uint32_t theta_percent; /* ZIPF: 100 theta */
} coh_bench_skew_t;

/* "uniform", "hot", "zipf:0.99". */
coh_err_t coh_bench_skew_parse(coh_bench_skew_t *out, char const *text);
#define COH_BENCH_SKEW_SZ 16
char const *coh_bench_skew_str(char out[COH_BENCH_SKEW_SZ], coh_bench_skew_t skew);

/* Of cross_percent: wherever the draw falls. */
#define COH_BENCH_CROSS_ANY UINT32_MAX

typedef struct {
    coh_bench_work_t work;
    coh_bench_skew_t skew;
    uint64_t seed;
    uint32_t account_cnt;
    uint32_t block_cnt;
    uint32_t tx_cnt;       /* of each block */
    uint32_t instance_cnt; /* tokens, banks, games, pools, groups; 0: the work's own number */
    /* Share of transactions whose other party (the receiver of a transfer, the sender of a call) is on another shard than the home, with shard_cnt
       shards placed by hash; or COH_BENCH_CROSS_ANY. */
    uint32_t cross_percent;
    uint32_t shard_cnt;
    char const *contracts; /* folder of artifacts; borrowed for the call */
    /* Folder of those of published contracts (tests/contracts/build.sh --with-peers), which then take the place of ours that do the same: OpenZeppelin's ERC-20, Uniswap V2's
       factory and router; NULL: none; borrowed for the call */
    char const *peers;
} coh_bench_world_spec_t;

typedef struct {
    coh_genesis_t genesis;
    coh_import_block_t *blocks;
    size_t block_cnt;
    /* Recorded ones; of several, what realblock_chain.h says of them. */
    bool is_recorded;
    size_t tx_cnt;
    uint64_t gas_used;
    size_t other_gas_cnt;
    /* What the blocks point to; owned. */
    coh_bytes_t *raws;
    coh_addr_t *senders;
    coh_buf_t bytes;
} coh_bench_world_t;

/* coh_bench_world_new builds the work; release it with coh_bench_world_free, also after a failure.
   Returns: COH_OK; COH_ENOTFOUND, COH_EMALFORMED, COH_EINVAL with why */
coh_err_t coh_bench_world_new(coh_bench_world_t *out,
                              coh_bench_world_spec_t const *spec,
                              coh_buf_t *why);
/* coh_bench_world_load makes a world of one recorded block of a real network (realblock.h), or of several, whose paths have "+" between them, a chain (realblock_chain.h). Release it likewise.
   Returns: COH_OK; COH_EIO, COH_EMALFORMED, COH_EUNSUPPORTED, COH_EINVAL with why, which names the file */
coh_err_t coh_bench_world_load(coh_bench_world_t *out, char const *path, coh_buf_t *why);
void coh_bench_world_free(coh_bench_world_t *world);

#endif
