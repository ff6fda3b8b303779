/* The works of `cohort bench blocks`, on our contracts and, if build/deps/peers has them, on published ones: each kind through clusters of random layouts under every scheduler does what one transition after the other over the state in memory
   does; the cluster of the bench seals the same headers; and what is one dependent chain is not executed again and again, whoever schedules it. */
/* links: coh_bench_world coh_bench_run coh_block_cluster */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <inttypes.h>

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/obs/log.h"
#include "common/state/memview.h"
#include "coordinator/seal.h"
#include "deploy/cohort/bench_run.h"
#include "deploy/cohort/bench_world.h"
#include "deploy/cohort/block_cluster.h"
#include "shard/sched.h"
#include "tests/support/data.h"
#include "tests/support/seed.h"

#define BLOCKS     3u
#define BLOCK_TXS  60u
#define ACCOUNTS   30u
#define SHARDS_MAX 4u
#define PEERS      COHORT_SOURCE_DIR "/build/deps/peers"
#define THREADS    4u

static coh_rng_t rng;
static uint64_t seed;

static coh_bench_world_t make_world(coh_bench_world_spec_t spec)
{
    coh_bench_world_t world;
    coh_buf_t why  = COH_BUF_INIT;
    spec.contracts = COHORT_SOURCE_DIR "/tests/contracts/artifacts";
    coh_err_t rc   = coh_bench_world_new(&world, &spec, &why);
    if (rc != COH_OK) {
        fail_msg("%.*s", (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    return world;
}

/* ---- what must come of it ---- */

typedef struct {
    coh_tx_err_t verdict;
    uint32_t status;
    uint64_t gas_used;
} outcome_t;

static coh_memview_t *make_state(coh_genesis_t const *g, coh_fork_t fork)
{
    coh_memview_t *state = coh_memview_new(&coh_code_coder, fork);
    for (size_t i = 0; i < g->alloc_cnt; i++) {
        coh_genesis_account_t const *a = &g->alloc[i];
        coh_memview_put_account(state, &a->addr, a->nonce, &a->balance, a->code);
        for (size_t k = 0; k < a->slot_cnt; k++) {
            coh_memview_put_slot(state, &a->addr, &a->slots[k].key, &a->slots[k].value);
        }
    }
    return state;
}

/* Outcomes of all transactions, one after the other; owned by the caller. */
static outcome_t *execute(coh_bench_world_t const *world)
{
    coh_memview_t *state         = make_state(&world->genesis, world->blocks[0].fork);
    coh_transition_t *transition = coh_transition_new();
    outcome_t *out               = coh_calloc(world->block_cnt * BLOCK_TXS, sizeof(*out));
    for (size_t b = 0; b < world->block_cnt; b++) {
        coh_import_block_t const *ib = &world->blocks[b];
        coh_block_env_t env          = coh_import_env(ib, world->genesis.chain_id);
        env.fees_exact               = true;
        for (uint32_t i = 0; i < ib->tx_cnt; i++) {
            coh_tx_t tx;
            assert_int_equal(coh_tx_decode(&tx, ib->raws[i]), COH_TX_OK);
            coh_memview_begin_tx(state);
            coh_transition_begin(transition, &env, &tx, &ib->senders[i], coh_memview_view(state));
            assert_int_equal(coh_transition_run(transition), COH_TRANSITION_DONE);
            coh_outcome_t const *o = coh_transition_outcome(transition);
            out[b * BLOCK_TXS + i] = (outcome_t){o->verdict, o->status, o->gas_used};
            coh_memview_apply(state, o);
        }
    }
    coh_transition_free(transition);
    coh_memview_free(state);
    return out;
}

/* ---- what comes of it ---- */

typedef struct {
    coh_bench_world_t const *world;
    outcome_t const *should;
    coh_hash_t hashes[BLOCKS];
    uint32_t block_cnt;
    uint32_t wrong_cnt;
} check_t;

static void check_block(void *arg, coh_import_result_t const *result)
{
    check_t *c = arg;
    if (result->err != COH_OK || c->block_cnt == BLOCKS) {
        c->wrong_cnt++;
        return;
    }
    c->hashes[c->block_cnt] = result->hash;
    c->wrong_cnt += result->sealed->tx_cnt != BLOCK_TXS;
    for (uint32_t i = 0; i < result->sealed->tx_cnt && c->should != NULL; i++) {
        coh_op_receipt_t const *is = &result->sealed->receipts[i];
        outcome_t const *should    = &c->should[c->block_cnt * BLOCK_TXS + i];
        c->wrong_cnt += is->status != should->status || is->gas_used != should->gas_used;
    }
    c->block_cnt++;
}

static void run_layout(check_t *c, coh_block_cluster_layout_t const *layout)
{
    coh_buf_t why                             = COH_BUF_INIT;
    coh_block_cluster_visitor_t const visitor = {.block = check_block, .arg = c};
    coh_block_cluster_t *cluster              = coh_block_cluster_new(layout);
    coh_err_t err                             = coh_block_cluster_run(
        cluster, &c->world->genesis, c->world->blocks, c->world->block_cnt, &visitor, &why);
    coh_block_cluster_free(cluster);
    if (err != COH_OK || c->block_cnt != BLOCKS || c->wrong_cnt != 0) {
        fail_msg("%u shards, %u threads, %s, placement %s, seed %" PRIu64
                 ": %u wrong, %u blocks: %.*s",
                 layout->shard_cnt,
                 layout->thread_cnt,
                 layout->scheduler,
                 layout->placement,
                 layout->seed,
                 c->wrong_cnt,
                 c->block_cnt,
                 (int)why.n,
                 (char const *)why.p);
    }
    coh_buf_free(&why);
}

/* A work under each scheduler, in a layout that nobody chose. */
static void run_work(coh_bench_world_spec_t spec)
{
    coh_bench_world_t world = make_world(spec);
    outcome_t *should       = execute(&world);
    uint32_t reverted       = 0;
    for (size_t i = 0; i < (size_t)BLOCKS * BLOCK_TXS; i++) {
        assert_int_equal(should[i].verdict, COH_TX_OK);
        reverted += should[i].status == 0;
    }
    /* Those of a bank may want for funds after an amalgamation; all else is meant to succeed. */
    assert_true(spec.work == COH_BENCH_WORK_BANK || spec.work == COH_BENCH_WORK_MIX
                    ? reverted < BLOCKS * BLOCK_TXS / 4
                    : reverted == 0);
    coh_hash_t first[BLOCKS];
    for (int kind = 0; kind < COH_SCHED_KIND_CNT; kind++) {
        char placement[40];
        check_t c = {.world = &world, .should = should};
        (void)snprintf(
            placement, sizeof(placement), "random:%" PRIu64, coh_rng_below(&rng, 100000));
        coh_block_cluster_layout_t layout = {
            .shard_cnt  = 1 + (uint32_t)coh_rng_below(&rng, SHARDS_MAX),
            .thread_cnt = 1 + (uint32_t)coh_rng_below(&rng, THREADS),
            .scheduler  = coh_sched_kind_str((coh_sched_kind_t)kind),
            .placement  = placement,
            .seed       = coh_rng_next(&rng)};
        run_layout(&c, &layout);
        if (kind == 0) {
            memcpy(first, c.hashes, sizeof(first));
        }
        assert_memory_equal(first, c.hashes, sizeof(first));
    }
    /* The same by the cluster of the bench. */
    coh_bench_layout_t layout = {.shard_cnt = 2, .thread_cnt = 2, .scheduler = "optimistic"};
    coh_bench_figures_t f;
    coh_hash_t hashes[BLOCKS];
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(
        coh_bench_run(&f, hashes, &layout, &world.genesis, world.blocks, BLOCKS, 1, &why), COH_OK);
    coh_buf_free(&why);
    assert_memory_equal(first, hashes, sizeof(first));
    assert_int_equal(f.tx_cnt, (BLOCKS - 1) * BLOCK_TXS);
    assert_true(f.incarnations >= f.tx_cnt && f.reverted <= reverted);
    free(should);
    coh_bench_world_free(&world);
}

/* All works that can be built with such contracts, and are other work without them. */
static void run_works(char const *peers)
{
    static coh_bench_skew_t const skews[] = {
        {COH_BENCH_SKEW_UNIFORM, 0}, {COH_BENCH_SKEW_ZIPF, 99}, {COH_BENCH_SKEW_HOT, 0}};
    for (int work = 0; work < COH_BENCH_WORK_CNT; work++) {
        coh_bench_uses_t uses = coh_bench_work_uses((coh_bench_work_t)work);
        if (uses == (peers == NULL ? COH_BENCH_PEERS : COH_BENCH_OWN)) {
            continue;
        }
        run_work((coh_bench_world_spec_t){.work          = (coh_bench_work_t)work,
                                          .peers         = peers,
                                          .skew          = skews[coh_rng_below(&rng, 3)],
                                          .seed          = coh_rng_next(&rng),
                                          .account_cnt   = ACCOUNTS,
                                          .block_cnt     = BLOCKS,
                                          .tx_cnt        = BLOCK_TXS,
                                          .cross_percent = COH_BENCH_CROSS_ANY,
                                          .shard_cnt     = 1});
    }
}

static void works_equal_sequential_execution(void **state)
{
    (void)state;
    run_works(NULL);
}

static void works_on_published_contracts_equal_sequential_execution(void **state)
{
    (void)state;
    if (access(PEERS "/SwapRouter.json", R_OK) != 0) {
        coh_test_skip(
            "works on published contracts: tests/contracts/build.sh --with-peers fetches them");
        return;
    }
    run_works(PEERS);
}

static void works_need_their_contracts(void **state)
{
    (void)state;
    coh_bench_world_t world;
    coh_buf_t why               = COH_BUF_INIT;
    coh_bench_world_spec_t spec = {.work        = COH_BENCH_WORK_POOL3,
                                   .account_cnt = 2,
                                   .block_cnt   = 1,
                                   .tx_cnt      = 1,
                                   .contracts   = COHORT_SOURCE_DIR "/tests/contracts/artifacts"};
    assert_int_equal(coh_bench_world_new(&world, &spec, &why), COH_ENOTFOUND);
    coh_bench_world_free(&world);
    spec.peers = "/nonexistent";
    assert_int_equal(coh_bench_world_new(&world, &spec, &why), COH_ENOTFOUND);
    coh_bench_world_free(&world);
    coh_buf_free(&why);
}

/* Each account once in a block, to itself or by contracts that nobody else uses: nothing depends on anything; and of gas what the definitions say. */
static void gigagas_works_are_as_defined(void **state)
{
    (void)state;
    static struct {
        coh_bench_work_t work;
        uint32_t txs;
        uint64_t gas; /* of a transaction, by who defined it */
    } const works[] = {{COH_BENCH_WORK_GIGASELF, 47620, 21000},
                       {COH_BENCH_WORK_GIGATOKEN, 33628, 29738},
                       {COH_BENCH_WORK_GIGASWAP, 6413, 155934}};
    for (size_t i = 0; i < COH_CNT(works); i++) {
        uint64_t giga = 1000000000;
        assert_int_equal(coh_bench_work_txs(works[i].work), works[i].txs);
        assert_int_equal(works[i].txs, (giga + works[i].gas - 1) / works[i].gas);
    }
    coh_bench_world_t world =
        make_world((coh_bench_world_spec_t){.work          = COH_BENCH_WORK_GIGATOKEN,
                                            .seed          = seed,
                                            .account_cnt   = BLOCK_TXS,
                                            .block_cnt     = BLOCKS,
                                            .tx_cnt        = BLOCK_TXS,
                                            .cross_percent = COH_BENCH_CROSS_ANY,
                                            .shard_cnt     = 1});
    for (size_t b = 0; b < BLOCKS; b++) {
        for (uint32_t i = 0; i < BLOCK_TXS; i++) {
            coh_tx_t tx;
            assert_int_equal(coh_tx_decode(&tx, world.blocks[b].raws[i]), COH_TX_OK);
            assert_memory_equal(tx.data.p, "\xa9\x05\x9c\xbb", 4); /* transfer(address,uint256) */
            assert_memory_equal(tx.data.p + 16, world.blocks[b].senders[i].b, 20);
            assert_int_equal(tx.nonce, b); /* nobody has sent anything before */
            assert_int_equal(tx.gas_limit, 35000);
        }
    }
    coh_bench_world_free(&world);
}

/* ---- shares and skews ---- */

static void cross_share_is_what_was_asked_for(void **state)
{
    (void)state;
    static uint32_t const percents[] = {0, 30, 100};
    uint64_t messages[COH_CNT(percents)];
    for (size_t i = 0; i < COH_CNT(percents); i++) {
        coh_bench_world_t world =
            make_world((coh_bench_world_spec_t){.work          = COH_BENCH_WORK_TRANSFER,
                                                .seed          = 7,
                                                .account_cnt   = 100,
                                                .block_cnt     = BLOCKS,
                                                .tx_cnt        = BLOCK_TXS,
                                                .cross_percent = percents[i],
                                                .shard_cnt     = 2});
        uint64_t sent[COH_MSG_ID_MAX + 1] = {0};
        check_t c                         = {.world = &world};
        run_layout(
            &c,
            &(coh_block_cluster_layout_t){
                .shard_cnt = 2, .thread_cnt = 1, .scheduler = "sequential", .message_cnt = sent});
        messages[i] = sent[COH_MSG_PUBLISH];
        coh_bench_world_free(&world);
    }
    assert_int_equal(messages[0], 0);
    assert_true(messages[1] > 0 && messages[2] > 0);
}

/* 64 groups of contracts with their customers: within 50 blocks a placement that learns brings transactions that use several shards below a tenth of what they are by hash. */
static void placement_learns_who_belongs_together(void **state)
{
    (void)state;
    enum { WARM = 48, ALL = 60, TXS = 200, CUSTOMERS = 192 };
    coh_bench_world_t world =
        make_world((coh_bench_world_spec_t){.work          = COH_BENCH_WORK_GROUPS,
                                            .seed          = coh_rng_next(&rng),
                                            .account_cnt   = CUSTOMERS,
                                            .block_cnt     = ALL,
                                            .tx_cnt        = TXS,
                                            .cross_percent = COH_BENCH_CROSS_ANY,
                                            .shard_cnt     = 1});
    static char const *const placements[] = {"hash", "hash", "affinity"};
    coh_bench_figures_t f[3];
    coh_hash_t hashes[3][ALL];
    for (size_t i = 0; i < 3; i++) {
        coh_bench_layout_t layout = {.shard_cnt  = i == 0 ? 1 : 3,
                                     .thread_cnt = 1,
                                     .scheduler  = i == 0 ? "sequential" : "optimistic",
                                     .placement  = placements[i]};
        coh_buf_t why             = COH_BUF_INIT;
        assert_int_equal(
            coh_bench_run(&f[i], hashes[i], &layout, &world.genesis, world.blocks, ALL, WARM, &why),
            COH_OK);
        coh_buf_free(&why);
        assert_memory_equal(hashes[i], hashes[0], sizeof(hashes[i]));
        assert_int_equal(f[i].tx_cnt, (ALL - WARM) * TXS);
    }
    print_message("across shards: %.3f by hash, %.3f learned; %u moves, %u of one account\n",
                  (double)f[1].across / (double)f[1].tx_cnt,
                  (double)f[2].across / (double)f[2].tx_cnt,
                  (unsigned)f[2].moves,
                  (unsigned)f[2].moves_max);
    assert_int_equal(f[0].across + f[0].moves + f[1].moves, 0);
    assert_true(f[1].across > f[1].tx_cnt / 2);
    assert_true(f[2].across * 10 < f[1].across);
    assert_true(f[2].moves > 0 && f[2].moves_max <= 3);
    coh_bench_world_free(&world);
}

/* Eight groups of which hash gives one of four shards more than a third too much: placement that learns makes it about even. */
static void placement_learns_to_spread_load(void **state)
{
    (void)state;
    enum { WARM = 72, ALL = 80, TXS = 100, CUSTOMERS = 64 };
    coh_bench_world_t world =
        make_world((coh_bench_world_spec_t){.work          = COH_BENCH_WORK_GROUPS,
                                            .seed          = 1,
                                            .account_cnt   = CUSTOMERS,
                                            .block_cnt     = ALL,
                                            .tx_cnt        = TXS,
                                            .instance_cnt  = 8,
                                            .cross_percent = COH_BENCH_CROSS_ANY,
                                            .shard_cnt     = 1});
    static char const *const placements[] = {"hash", "affinity"};
    coh_bench_figures_t f[2];
    coh_hash_t hashes[2][ALL];
    for (size_t i = 0; i < 2; i++) {
        coh_bench_layout_t layout = {
            .shard_cnt = 4, .thread_cnt = 1, .scheduler = "optimistic", .placement = placements[i]};
        coh_buf_t why = COH_BUF_INIT;
        assert_int_equal(
            coh_bench_run(&f[i], hashes[i], &layout, &world.genesis, world.blocks, ALL, WARM, &why),
            COH_OK);
        coh_buf_free(&why);
    }
    assert_memory_equal(hashes[1], hashes[0], sizeof(hashes[0]));
    print_message("busiest shard, by its fair share: %.2f by hash, %.2f learned; %u moves\n",
                  f[0].busiest,
                  f[1].busiest,
                  (unsigned)f[1].moves);
    assert_true(f[0].busiest > 1.4 && f[1].busiest < 1.25);
    assert_true(f[1].moves_max <= 3);
    coh_bench_world_free(&world);
}

static void skews_and_works_have_names(void **state)
{
    (void)state;
    char text[COH_BENCH_SKEW_SZ];
    coh_bench_skew_t skew;
    coh_bench_work_t work;
    static char const *const good[] = {"uniform", "hot", "zipf:0.99", "zipf:1.20"};
    static char const *const bad[]  = {"", "zipf", "zipf:", "zipf:0", "zipf:-1", "zipf:1x", "cold"};
    for (size_t i = 0; i < COH_CNT(good); i++) {
        assert_int_equal(coh_bench_skew_parse(&skew, good[i]), COH_OK);
        assert_string_equal(coh_bench_skew_str(text, skew), good[i]);
    }
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_not_equal(coh_bench_skew_parse(&skew, bad[i]), COH_OK);
    }
    for (int i = 0; i < COH_BENCH_WORK_CNT; i++) {
        assert_int_equal(coh_bench_work_parse(&work, coh_bench_work_str((coh_bench_work_t)i)),
                         COH_OK);
        assert_int_equal(work, i);
    }
    assert_int_equal(coh_bench_work_parse(&work, "works"), COH_ENOTFOUND);
}

/* ---- recordings ---- */

/* Loads recordings of mainnet, of which names are the numbers. */
static coh_err_t load_recorded(coh_bench_world_t *world, char const *const names[3], coh_buf_t *why)
{
    coh_buf_t paths = COH_BUF_INIT;
    for (size_t i = 0; i < 3 && names[i] != NULL; i++) {
        coh_buf_printf(&paths,
                       "%s%s/realblocks/mainnet-%s.json",
                       i == 0 ? "" : "+",
                       coh_test_data_dir(),
                       names[i]);
    }
    coh_buf_put_u8(&paths, 0);
    coh_err_t rc = coh_bench_world_load(world, (char const *)paths.p, why);
    coh_buf_free(&paths);
    return rc;
}

/* Consecutive blocks, also of different forks: every transaction does what it did on the network, and clusters seal what sequential execution does. Numbers are those of the headers. */
static void recorded_blocks_make_chains(void **state)
{
    (void)state;
    static struct {
        char const *names[3];
        size_t tx_cnt;
        uint64_t gas;
    } const chains[] = {{{"1149999", "1150000", "1150001w"}, 13, 21000 + 649041 + 66536},
                        {{"15537393", "15537394"}, 81, 29991429 + 29983006},
                        {{"19426586", "19426587"}, 164, 15757891 + 2633933}};
    if (coh_test_data_dir() == NULL) {
        coh_test_skip("chains of recorded blocks");
        return;
    }
    for (size_t i = 0; i < COH_CNT(chains); i++) {
        coh_bench_world_t world;
        coh_buf_t why = COH_BUF_INIT;
        if (load_recorded(&world, chains[i].names, &why) != COH_OK) {
            fail_msg("%.*s", (int)why.n, (char const *)why.p);
        }
        assert_int_equal(world.tx_cnt, chains[i].tx_cnt);
        assert_int_equal(world.gas_used, chains[i].gas);
        assert_int_equal(world.other_gas_cnt, 0);
        coh_hash_t hashes[2][3] = {0};
        for (uint32_t k = 0; k < 2; k++) {
            coh_bench_figures_t f;
            coh_bench_layout_t layout = {.shard_cnt  = 1 + 2 * k,
                                         .thread_cnt = 1 + k,
                                         .scheduler  = k == 0 ? "sequential" : "optimistic"};
            if (coh_bench_run(&f,
                              hashes[k],
                              &layout,
                              &world.genesis,
                              world.blocks,
                              world.block_cnt,
                              0,
                              &why) != COH_OK) {
                fail_msg("%s: %.*s", chains[i].names[0], (int)why.n, (char const *)why.p);
            }
            assert_int_equal(f.tx_cnt, chains[i].tx_cnt);
            assert_int_equal(f.gas_used, chains[i].gas);
        }
        assert_memory_equal(hashes[0], hashes[1], sizeof(hashes[0]));
        coh_bench_world_free(&world);
        coh_buf_free(&why);
    }
}

/* Between the first two an account sent more than it has sent by the end of the first; in the others, transactions use more gas over the state that is there, and leave the block too little. */
static void recorded_blocks_far_apart_may_not_go_together(void **state)
{
    (void)state;
    static struct {
        char const *names[3];
        char const *at;
        char const *why;
    } const apart[] = {
        {{"19932703", "19933122"}, "19933122.json cannot follow: transaction ", "nonce too high"},
        {{"12300570", "12459406"},
         "12459406.json cannot follow: transaction ",
         "exceeds block gas limit"}};
    if (coh_test_data_dir() == NULL) {
        coh_test_skip("recorded blocks that do not make a chain");
        return;
    }
    for (size_t i = 0; i < COH_CNT(apart); i++) {
        coh_bench_world_t world;
        coh_buf_t why = COH_BUF_INIT;
        assert_int_equal(load_recorded(&world, apart[i].names, &why), COH_EINVAL);
        coh_buf_put_u8(&why, 0);
        assert_non_null(strstr((char const *)why.p, apart[i].at));
        assert_non_null(strstr((char const *)why.p, apart[i].why));
        coh_bench_world_free(&world);
        coh_buf_free(&why);
    }
}

/* ---- the guard ---- */

#define LONG_TXS 600u

/* Incarnations of all transactions, and the most of one. */
static void count_incarnations(uint64_t *all,
                               uint64_t *most,
                               coh_bench_work_t work,
                               uint32_t thread_cnt,
                               coh_sched_kind_t kind)
{
    coh_bench_world_t world =
        make_world((coh_bench_world_spec_t){.work          = work,
                                            .seed          = seed,
                                            .account_cnt   = LONG_TXS / 2,
                                            .block_cnt     = BLOCKS,
                                            .tx_cnt        = LONG_TXS,
                                            .cross_percent = COH_BENCH_CROSS_ANY,
                                            .shard_cnt     = 1});
    coh_metrics_t *metrics[]               = {coh_metrics_new(0), coh_metrics_new(1)};
    coh_block_cluster_layout_t layout      = {.shard_cnt  = 1,
                                              .thread_cnt = thread_cnt,
                                              .scheduler  = coh_sched_kind_str(kind),
                                              .metrics    = metrics};
    coh_block_cluster_t *cluster           = coh_block_cluster_new(&layout);
    coh_buf_t why                          = COH_BUF_INIT;
    coh_block_cluster_visitor_t const none = {0};
    assert_int_equal(
        coh_block_cluster_run(cluster, &world.genesis, world.blocks, world.block_cnt, &none, &why),
        COH_OK);
    coh_buf_free(&why);
    coh_block_cluster_free(cluster);
    *all  = coh_metric_get(metrics[1], COH_M_executor_incarnation);
    *most = coh_metric_get(metrics[1], COH_M_executor_incarnation_max);
    coh_metrics_free(metrics[0]);
    coh_metrics_free(metrics[1]);
    coh_bench_world_free(&world);
}

/* EXECUTION.md states the bounds. */
static void guard_bounds_incarnations_of_dependent_chains(void **state)
{
    (void)state;
    static coh_bench_work_t const chains[] = {
        COH_BENCH_WORK_CHAIN, COH_BENCH_WORK_POOL, COH_BENCH_WORK_NFT};
    static uint32_t const threads[] = {1, 2, 4};
    for (size_t w = 0; w < COH_CNT(chains); w++) {
        for (size_t t = 0; t < COH_CNT(threads); t++) {
            for (int kind = 0; kind < COH_SCHED_KIND_CNT; kind++) {
                uint64_t all;
                uint64_t most;
                uint64_t tx_cnt = BLOCKS * LONG_TXS;
                count_incarnations(&all, &most, chains[w], threads[t], (coh_sched_kind_t)kind);
                print_message("%s, %u threads, %s: %.3f incarnations, at most %" PRIu64 "\n",
                              coh_bench_work_str(chains[w]),
                              threads[t],
                              coh_sched_kind_str((coh_sched_kind_t)kind),
                              (double)all / (double)tx_cnt,
                              most);
                assert_true(kind != COH_SCHED_SEQUENTIAL || (all == tx_cnt && most == 1));
                /* Who comes after whom in a chain is not told by what its transfers have in common. */
                uint64_t allowed = chains[w] == COH_BENCH_WORK_CHAIN
                                       ? 2 * tx_cnt + tx_cnt * threads[t] / 8
                                       : tx_cnt + tx_cnt / 10;
                assert_true(all >= tx_cnt && all <= allowed);
                assert_true(most <= 8);
            }
        }
    }
}

int main(void)
{
    (void)coh_log_init("error", "");
    seed = coh_test_seed();
    coh_rng_seed(&rng, seed);
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(works_equal_sequential_execution),
        cmocka_unit_test(works_on_published_contracts_equal_sequential_execution),
        cmocka_unit_test(works_need_their_contracts),
        cmocka_unit_test(gigagas_works_are_as_defined),
        cmocka_unit_test(cross_share_is_what_was_asked_for),
        cmocka_unit_test(placement_learns_who_belongs_together),
        cmocka_unit_test(placement_learns_to_spread_load),
        cmocka_unit_test(skews_and_works_have_names),
        cmocka_unit_test(recorded_blocks_make_chains),
        cmocka_unit_test(recorded_blocks_far_apart_may_not_go_together),
        cmocka_unit_test(guard_bounds_incarnations_of_dependent_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
