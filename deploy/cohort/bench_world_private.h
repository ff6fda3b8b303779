/* bench_world_private.h: a world while it is built, shared by bench_world.c (accounts, and the state as a genesis), bench_world_setup.c (contracts) and bench_world_txs.c
   (transactions). */
#ifndef COH_BENCH_WORLD_PRIVATE_H
#define COH_BENCH_WORLD_PRIVATE_H

#include "common/base/rng.h"
#include "coordinator/placement.h"
#include "deploy/cohort/bench_draw.h"
#include "deploy/cohort/bench_world.h"
#include "deploy/cohort/solo.h"

/* The newest rules. */
#define COH_BENCH_FORK ((coh_fork_t)(COH_FORK_CNT - 1))

#define COH_BENCH_BASE_FEE 7
#define COH_BENCH_START_S  2000 /* the genesis' timestamp */
/* Most contracts of each kind. */
#define COH_BENCH_COPIES_MAX 15
#define COH_BENCH_TOKENS     15u
#define COH_BENCH_POOLS_MAX  (COH_BENCH_TOKENS * (COH_BENCH_TOKENS - 1) / 2)
#define COH_BENCH_GROUPS_MAX 64u
/* A pool's fee in Uniswap V3, in millionths. */
#define COH_BENCH_POOL3_FEE 3000u
#define COH_BENCH_DEADLINE  UINT64_C(100000000000)
#define COH_BENCH_RICH_ZERO 30 /* zeros of an account's balance in wei, and of a token's supply */
#define COH_BENCH_PAY_ZERO  14 /* of what a transaction moves: an account can pay 10^10 of them */

/* Contracts of one kind that transactions are spread over. */
typedef struct {
    coh_addr_t at[COH_BENCH_COPIES_MAX];
    uint32_t cnt;
} coh_bench_copies_t;

typedef struct {
    coh_bench_world_spec_t const *spec;
    coh_buf_t *why;
    coh_rng_t rng;
    coh_solo_t solo;
    coh_addr_t rich; /* deploys, and holds what nobody else does */
    coh_addr_t *accounts;
    uint64_t *nonces;
    double *weights; /* ZIPF: summed up to each account */
    coh_directory_t dir;
    uint32_t *shards; /* of accounts */
    uint32_t next;    /* SELF, CHAIN: whose turn it is */

    coh_addr_t tokens[COH_BENCH_TOKENS];
    uint32_t token_cnt;
    uint32_t token_draw_cnt; /* of which transfers are drawn */
    coh_addr_t router;
    coh_addr_t factory;  /* Uniswap's */
    coh_addr_t filler;   /* V3 */
    coh_addr_t *singles; /* GIGASWAP: of accounts */
    struct {
        coh_addr_t router;
        coh_addr_t tokens[2];
    } groups[COH_BENCH_GROUPS_MAX];
    uint32_t group_cnt;
    uint8_t pools[COH_BENCH_POOLS_MAX][2]; /* tokens */
    uint32_t pool_cnt;
    coh_bench_copies_t banks, games;
    coh_addr_t nft, market, goods;
    uint64_t item_cnt;
} coh_bench_build_t;

static inline uint32_t coh_bench_shard_of(coh_bench_build_t const *b, coh_addr_t const *addr)
{
    return coh_directory_owner(&b->dir, addr, coh_directory_bucket(addr));
}

/* coh_bench_world_set_up deploys the contracts of the spec's work and fills them. COH_OK; else with the reason in why */
coh_err_t coh_bench_world_set_up(coh_bench_build_t *b);

/* coh_bench_world_put_blocks makes the transactions, and the blocks of them. */
void coh_bench_world_put_blocks(coh_bench_build_t *b, coh_bench_world_t *out);

#endif
