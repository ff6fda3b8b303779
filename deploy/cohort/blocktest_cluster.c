/* The engine that executes the blocks of a case in a cluster (block_cluster.h): branches are chosen and headers checked as for the reference (common/chain/branches.h); each block is then imported by the
   cluster, which compares what comes of it with the header. To come to another branch a fresh cluster begins at the genesis. For an adversarial placement the reference imports all blocks of the
   case first. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/evm/code.h"
#include "deploy/cohort/adversary.h"
#include "deploy/cohort/block_cluster.h"
#include "deploy/cohort/blocktest_run.h"
#include "deploy/cohort/chain_import.h"

typedef struct {
    coh_blocktest_engine_t engine; /* first */
    coh_branches_engine_t branches_engine;
    coh_block_cluster_t *cluster;
    char random[40]; /* its placement and homes */
    uint32_t shard_cnt;
    coh_adversary_t *adversary; /* NULL: does not place */
    coh_execute_t *scout;       /* what it learns from */
    bool is_open;
    coh_blocktest_case_t const *test;
    coh_genesis_t genesis;
    uint64_t tx_max;
    coh_branches_t *chain;
    coh_memview_t *state;
    coh_plan_t plan;
    coh_chain_import_t import;
    coh_block_fault_t fault;
    coh_buf_t why; /* the cluster itself failed */
} clustered_t;

static clustered_t *of(coh_branches_engine_t *engine)
{
    return (clustered_t *)(void *)((uint8_t *)engine - offsetof(clustered_t, branches_engine));
}

/* Ends the cluster; state: NULL, or takes what it holds. */
static void end_cluster(clustered_t *s, coh_memview_t *state)
{
    if (s->is_open) {
        coh_block_cluster_visitor_t const visitor = {.walker = {.state = state}};
        (void)coh_block_cluster_close(s->cluster, &visitor, &s->why);
        s->is_open = false;
    }
}

static bool restart(coh_branches_engine_t *engine)
{
    clustered_t *s = of(engine);
    end_cluster(s, NULL);
    s->is_open = coh_block_cluster_open(s->cluster, &s->genesis, s->tx_max, &s->why) == COH_OK;
    return s->is_open;
}

static void note_block(void *arg, coh_import_result_t const *result)
{
    clustered_t *s = arg;
    if (result->err != COH_OK) {
        s->fault = result->fault;
    }
}

static coh_block_fault_t const *execute(coh_branches_engine_t *engine,
                                        coh_block_t const *block,
                                        coh_rules_t const *rules)
{
    clustered_t *s                            = of(engine);
    coh_block_cluster_visitor_t const visitor = {.block = note_block, .arg = s};
    s->fault                                  = (coh_block_fault_t){.err = COH_BLOCK_OK};
    if (!coh_plan_make(&s->plan, &s->fault, block, rules)) {
        return &s->fault;
    }
    if (coh_chain_import_make(&s->import, &s->plan, block, rules) != COH_OK) {
        s->fault.err = COH_BLOCK_TOO_LARGE;
        return &s->fault;
    }
    if (!s->is_open ||
        coh_block_cluster_import(s->cluster, &s->import.block, 1, &visitor, &s->why) != COH_OK) {
        s->is_open   = false;
        s->fault.err = COH_BLOCK_UNKNOWN_PARENT; /* nothing is built on here any more */
    }
    return s->fault.err == COH_BLOCK_OK ? NULL : &s->fault;
}

static void forget_state(clustered_t *s)
{
    if (s->state != NULL) {
        coh_memview_free(s->state);
        s->state = NULL;
    }
}

static coh_memview_t *state_of(coh_branches_engine_t *engine)
{
    clustered_t *s = of(engine);
    forget_state(s);
    s->state = coh_memview_new(&coh_code_coder, COH_FORK_FRONTIER);
    end_cluster(s, s->state);
    return s->state;
}

/* The pre-state as the beginning of a chain whose first header the case gives. False if it is not the header of that state. */
static bool make_genesis(clustered_t *s, coh_block_t const *first)
{
    coh_genesis_t *g = &s->genesis;
    coh_genesis_free(g);
    *g = (coh_genesis_t){.chain_id  = s->test->schedule.chain_id,
                         .number    = first->header.number,
                         .timestamp = first->header.timestamp,
                         .gas_limit = first->header.gas_limit,
                         .base_fee  = first->header.base_fee,
                         .coinbase  = first->header.coinbase,
                         .header    = first->header};
    /* Blocks say by which rules they are executed; here it is only about the fields of the header. */
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        g->fork_at[fork] = fork <= (int)first->header_fork ? 0 : UINT64_MAX;
    }
    coh_genesis_put_alloc(g, s->test->pre, s->test->pre_cnt);
    coh_genesis_seal(g);
    return coh_hash_eq(&g->hash, &first->hash);
}

static void fill(void *arg, coh_memview_t *mv)
{
    coh_blocktest_case_t const *test = arg;
    coh_blocktest_fill(mv, test->pre, test->pre_cnt);
}

/* Places accounts as is worst for the blocks of the case. */
static bool place(clustered_t *s, coh_block_t const *genesis)
{
    coh_branches_config_t const config = {.schedule      = s->test->schedule,
                                          .roots         = COH_WORLD_INCREMENTAL,
                                          .fill          = fill,
                                          .fill_arg      = (void *)s->test,
                                          .genesis       = genesis->header,
                                          .genesis_shape = genesis->header_fork,
                                          .executor      = s->scout};
    coh_branches_t *chain              = coh_branches_new(&config);
    coh_adversary_forget(s->adversary);
    for (size_t i = 0; chain != NULL && i < s->test->block_cnt; i++) {
        (void)coh_branches_import(chain, s->test->blocks[i].raw);
    }
    coh_branches_free(chain);
    char const *policy = coh_adversary_policy(s->adversary, s->shard_cnt);
    coh_block_cluster_place(s->cluster, policy);
    return policy != NULL;
}

static bool clustered_open(coh_blocktest_engine_t *engine,
                           coh_blocktest_case_t const *test,
                           coh_block_t const *genesis,
                           coh_buf_t *why)
{
    clustered_t *s = (clustered_t *)engine;
    s->test        = test;
    s->tx_max      = 1;
    for (size_t i = 0; i < test->block_cnt; i++) {
        coh_block_t block;
        if (coh_block_decode(&block, test->blocks[i].raw) == COH_OK) {
            s->tx_max = COH_MAX(s->tx_max, block.tx_cnt);
        }
    }
    coh_buf_clear(&s->why);
    if (!make_genesis(s, genesis)) {
        coh_buf_printf(why, "the genesis has another state root than pre");
        return false;
    }
    if (s->adversary != NULL && !place(s, genesis)) {
        coh_buf_printf(why, "no file for the placement");
        return false;
    }
    coh_branches_config_t const config = {.schedule      = test->schedule,
                                          .genesis       = genesis->header,
                                          .genesis_shape = genesis->header_fork,
                                          .engine        = &s->branches_engine};
    s->chain                           = coh_branches_new(&config);
    return s->chain != NULL;
}

static coh_block_fault_t const *clustered_import(coh_blocktest_engine_t *engine, coh_bytes_t raw)
{
    return coh_branches_import(((clustered_t *)engine)->chain, raw);
}

static coh_hash_t clustered_head(coh_blocktest_engine_t *engine)
{
    return coh_branches_head(((clustered_t *)engine)->chain)->self.hash;
}

static coh_memview_t *clustered_state(coh_blocktest_engine_t *engine)
{
    return coh_branches_state(((clustered_t *)engine)->chain);
}

static void clustered_close(coh_blocktest_engine_t *engine, coh_buf_t *why)
{
    clustered_t *s = (clustered_t *)engine;
    end_cluster(s, NULL);
    if (s->why.n != 0) {
        coh_buf_printf(why,
                       "%sthe cluster failed: %.*s",
                       why->n != 0 ? "; " : "",
                       (int)s->why.n,
                       (char const *)s->why.p);
    }
    coh_branches_free(s->chain);
    forget_state(s);
    coh_genesis_free(&s->genesis);
    s->chain = NULL;
}

static void clustered_free(coh_blocktest_engine_t *engine)
{
    clustered_t *s = (clustered_t *)engine;
    coh_block_cluster_free(s->cluster);
    coh_adversary_free(s->adversary);
    coh_execute_free(s->scout);
    coh_plan_fini(&s->plan);
    coh_chain_import_free(&s->import);
    coh_buf_free(&s->why);
    free(s);
}

coh_blocktest_engine_t *coh_blocktest_clustered(coh_blocktest_options_t const *options)
{
    clustered_t *s = coh_calloc(1, sizeof(*s));
    s->engine      = (coh_blocktest_engine_t){.open   = clustered_open,
                                              .import = clustered_import,
                                              .head   = clustered_head,
                                              .state  = clustered_state,
                                              .close  = clustered_close,
                                              .free   = clustered_free};
    s->branches_engine =
        (coh_branches_engine_t){.restart = restart, .execute = execute, .state = state_of};
    s->cluster   = coh_vector_layout_cluster(&options->layout, s->random);
    s->shard_cnt = (uint32_t)COH_MAX(options->layout.shards, 1);
    if (options->layout.is_adversarial) {
        s->adversary = coh_adversary_new();
        s->scout     = coh_execute_new();
        coh_execute_set_tracer(s->scout, coh_adversary_tracer(s->adversary));
        coh_execute_set_watch(s->scout, coh_adversary_watch, s->adversary);
    }
    coh_plan_init(&s->plan);
    return &s->engine;
}
