#include "deploy/cohort/bench_run.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/codec/tx.h"
#include "coordinator/seal.h"
#include "deploy/cohort/runtime.h"
#include "shard/shard.h"

/* Without a decision for so long nothing will come. The first waits until the genesis is stored, which may be gigabytes. */
#define PATIENCE_US UINT64_C(600000000)

typedef struct cluster cluster_t;

typedef struct {
    cluster_t *cluster;
    uint32_t rank;
    coh_transport_t *transport;
    coh_kv_t *kv;
    coh_metrics_t *metrics;
    coh_runtime_t *runtime;
    pthread_t thread;
    coh_err_t err;
    coh_buf_t err_text;
    uint64_t tx_at_start; /* that it had executed */
} rank_t;

struct cluster {
    rank_t *ranks;
    uint32_t rank_cnt;
    coh_config_t config;
    coh_coordinator_t *coordinator;
    coh_genesis_t const *genesis;
    coh_import_block_t const *blocks;
    size_t block_cnt;
    size_t warm_cnt;
    size_t handed_cnt;
    size_t done_cnt;
    bool is_ending;
    coh_err_t err;
    coh_buf_t *err_text;
    coh_hash_t *hashes;
    uint64_t heard_us; /* of the last decision */
    uint64_t start_us;
    coh_bench_figures_t at_start;
    coh_bench_figures_t *out;
};

static void end(cluster_t *c, coh_err_t err)
{
    c->is_ending = true;
    c->err       = err;
    coh_runtime_stop(c->ranks[0].runtime);
}

/* Sums of what the shards count. */
static void read_counters(cluster_t const *c, coh_bench_figures_t *f)
{
    f->cpu_ns     = coh_clock_process_cpu_ns();
    f->execute_ns = f->incarnations = f->parked = f->held = f->retractions = f->messages = 0;
    f->reads = f->round_trips = 0;
    f->across                 = coh_metric_get(c->ranks[0].metrics, COH_M_chain_tx_cross);
    for (uint32_t r = 1; r < c->rank_cnt; r++) {
        coh_metrics_t const *m = c->ranks[r].metrics;
        f->execute_ns += coh_metric_get(m, COH_M_executor_cpu);
        f->incarnations += coh_metric_get(m, COH_M_executor_incarnation);
        f->parked += coh_metric_get(m, COH_M_executor_parked);
        f->held += coh_metric_get(m, COH_M_executor_held);
        f->retractions += coh_metric_get(m, COH_M_mvstore_retraction);
        f->messages += coh_metric_get(m, COH_M_net_message_sent);
        f->reads += coh_metric_get(m, COH_M_executor_read_remote);
        f->round_trips += coh_metric_get(m, COH_M_executor_round_trip);
    }
}

static void start_clock(cluster_t *c)
{
    for (uint32_t r = 1; r < c->rank_cnt; r++) {
        c->ranks[r].tx_at_start = coh_metric_get(c->ranks[r].metrics, COH_M_executor_tx);
    }
    read_counters(c, &c->at_start);
    c->start_us = coh_clock_mono_us();
}

static double find_busiest(cluster_t const *c)
{
    uint64_t all  = 0;
    uint64_t most = 0;
    for (uint32_t r = 1; r < c->rank_cnt; r++) {
        uint64_t cnt =
            coh_metric_get(c->ranks[r].metrics, COH_M_executor_tx) - c->ranks[r].tx_at_start;
        all += cnt;
        most = COH_MAX(most, cnt);
    }
    return (double)most * (c->rank_cnt - 1) / (double)COH_MAX(all, UINT64_C(1));
}

static void stop_clock(cluster_t *c)
{
    coh_bench_figures_t now;
    coh_bench_figures_t const *was = &c->at_start;
    read_counters(c, &now);
    c->out->wall_us      = coh_clock_mono_us() - c->start_us;
    c->out->cpu_ns       = now.cpu_ns - was->cpu_ns;
    c->out->execute_ns   = now.execute_ns - was->execute_ns;
    c->out->incarnations = now.incarnations - was->incarnations;
    c->out->parked       = now.parked - was->parked;
    c->out->held         = now.held - was->held;
    c->out->retractions  = now.retractions - was->retractions;
    c->out->messages     = now.messages - was->messages;
    c->out->reads        = now.reads - was->reads;
    c->out->round_trips  = now.round_trips - was->round_trips;
    c->out->across       = now.across - was->across;
    c->out->busiest      = find_busiest(c);
    c->out->moves        = coh_metric_get(c->ranks[0].metrics, COH_M_placement_moves);
    c->out->moves_max    = coh_metric_get(c->ranks[0].metrics, COH_M_placement_account_moves_max);
}

static void on_imported(void *arg, coh_import_result_t const *result)
{
    cluster_t *c = arg;
    c->heard_us  = coh_clock_mono_us();
    if (c->is_ending) {
        return;
    }
    if (result->err != COH_OK) {
        coh_buf_printf(c->err_text,
                       "block %" PRIu64 ": %s, transaction %u: %s",
                       result->number,
                       coh_err_str(result->err),
                       result->fault.idx,
                       coh_tx_err_str(result->fault.tx_err));
        end(c, COH_EINVAL);
        return;
    }
    c->hashes[c->done_cnt] = result->hash;
    if (c->done_cnt >= c->warm_cnt) {
        c->out->tx_cnt += result->sealed->tx_cnt;
        c->out->gas_used += result->gas_used;
        for (uint32_t i = 0; i < result->sealed->tx_cnt; i++) {
            c->out->reverted += result->sealed->receipts[i].status == 0;
        }
    }
    c->done_cnt++;
    if (c->done_cnt == c->warm_cnt) {
        start_clock(c);
    }
    if (c->done_cnt == c->block_cnt) {
        stop_clock(c);
        end(c, COH_OK);
    }
}

/* One step of the work, on the coordinator's communication thread. */
static bool poll_work(void *arg, uint64_t now_us)
{
    (void)now_us;
    cluster_t *c = arg;
    if (c->is_ending) {
        return false;
    }
    if (coh_clock_mono_us() - c->heard_us > PATIENCE_US) {
        end(c, COH_ETIMEOUT);
        return true;
    }
    size_t may = c->done_cnt < c->warm_cnt ? c->warm_cnt : c->block_cnt;
    if (!coh_coordinator_is_ready(c->coordinator) || c->handed_cnt == may) {
        return false;
    }
    if (c->warm_cnt == 0 && c->handed_cnt == 0) {
        start_clock(c);
    }
    coh_err_t err =
        coh_coordinator_import(c->coordinator, &c->blocks[c->handed_cnt], on_imported, c);
    if (err == COH_OK) {
        c->handed_cnt++;
    } else if (err != COH_EBUSY) {
        end(c, err);
    }
    return err == COH_OK;
}

/* A rank that failed takes the others with it: they would wait for it. */
static void run_rank(rank_t *r)
{
    r->err = coh_runtime_run(r->runtime, &r->err_text);
    if (r->err != COH_OK) {
        for (uint32_t i = 0; i < r->cluster->rank_cnt; i++) {
            if (i != r->rank) {
                coh_runtime_abandon(r->cluster->ranks[i].runtime);
            }
        }
    }
}

static void *shard_main(void *arg)
{
    run_rank(arg);
    return NULL;
}

static coh_err_t open_store(rank_t *r, char const *dir, coh_buf_t *err_text)
{
    if (dir == NULL) {
        return coh_kv_mem_open(&r->kv);
    }
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/rank-%u", dir, r->rank);
    coh_buf_put_u8(&path, 0);
    coh_err_t err = coh_kv_rocks_open(
        &r->kv, (char const *)path.p, r->cluster->config.state_rocksdb_cache_bytes, err_text);
    coh_buf_free(&path);
    return err;
}

static coh_err_t open_rank(rank_t *r, coh_bench_layout_t const *layout, coh_buf_t *err_text)
{
    cluster_t *c = r->cluster;
    COH_TRY(open_store(r, layout->dir, err_text));
    r->metrics                    = coh_metrics_new(r->rank);
    coh_runtime_options_t options = {
        .transport   = r->transport,
        .kv          = r->kv,
        .kv_is_rocks = layout->dir != NULL,
        .metrics     = r->metrics,
        .fingerprint = coh_load_u64_le(c->genesis->hash.b) ^ coh_config_hash(&c->config),
        .worker_cnt  = layout->thread_cnt,
    };
    COH_TRY(coh_runtime_new(&r->runtime, &options));
    coh_env_t *env = coh_runtime_env(r->runtime);
    if (r->rank == 0) {
        COH_TRY(coh_coordinator_new(
            &c->coordinator, &c->config, c->genesis, env, r->kv, NULL, err_text));
        coh_runtime_set_node(r->runtime, coh_coordinator_node(c->coordinator));
        coh_runtime_add_source(r->runtime,
                               &(coh_runtime_source_t){.poll = poll_work, .arg = c, .fd = -1});
    } else {
        coh_shard_t *shard;
        COH_TRY(coh_shard_new(
            &shard, &c->config, c->genesis, env, r->kv, layout->thread_cnt, err_text));
        coh_runtime_set_node(r->runtime, coh_shard_node(shard));
    }
    return COH_OK;
}

static void close_rank(rank_t *r)
{
    if (r->runtime != NULL) {
        coh_runtime_free(r->runtime);
    }
    if (r->kv != NULL) {
        r->kv->ops->close(r->kv);
    }
    if (r->metrics != NULL) {
        coh_metrics_free(r->metrics);
    }
    if (r->transport != NULL) {
        r->transport->ops->close(r->transport);
    }
    coh_buf_free(&r->err_text);
}

static coh_err_t run_all(cluster_t *c)
{
    c->heard_us = coh_clock_mono_us();
    for (uint32_t i = 1; i < c->rank_cnt; i++) {
        COH_ASSERT(pthread_create(&c->ranks[i].thread, NULL, shard_main, &c->ranks[i]) == 0);
    }
    run_rank(&c->ranks[0]);
    coh_err_t err = c->err;
    for (uint32_t i = 0; i < c->rank_cnt; i++) {
        rank_t *r = &c->ranks[i];
        if (i > 0) {
            COH_ASSERT(pthread_join(r->thread, NULL) == 0);
        }
        if (r->err != COH_OK && r->err != COH_ECLOSED) {
            coh_buf_printf(
                c->err_text, "rank %u: %.*s", i, (int)r->err_text.n, (char const *)r->err_text.p);
            err = r->err;
        }
    }
    return err;
}

/* What all code of the genesis takes in a cache, with room to spare: analysed, each piece counts five times its size. */
static uint64_t code_bytes(cluster_t const *c)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->genesis->alloc_cnt; i++) {
        bytes += c->genesis->alloc[i].code.n;
    }
    return 6 * bytes;
}

static coh_err_t make_config(cluster_t *c, coh_bench_layout_t const *layout)
{
    coh_config_t *config = &c->config;
    uint64_t tx_max      = 1;
    for (size_t i = 0; i < c->block_cnt; i++) {
        tx_max = COH_MAX(tx_max, c->blocks[i].tx_cnt);
    }
    coh_config_default(config);
    COH_TRY(coh_config_set(config, "shard-scheduler", layout->scheduler, c->err_text));
    if (layout->placement != NULL) {
        COH_TRY(coh_config_set(config, "placement-policy", layout->placement, c->err_text));
    }
    config->block_tx_max           = tx_max;
    config->pool_tx_max            = 1;
    config->client_inflight_tx_max = 1;
    config->client_batch_tx_max    = 1;
    config->state_cache_entries    = COH_MAX(config->state_cache_entries, 8 * tx_max);
    config->state_code_cache_bytes = COH_MAX(config->state_code_cache_bytes, code_bytes(c));
    return COH_OK;
}

coh_err_t coh_bench_run(coh_bench_figures_t *out,
                        coh_hash_t *hashes,
                        coh_bench_layout_t const *layout,
                        coh_genesis_t const *genesis,
                        coh_import_block_t const *blocks,
                        size_t block_cnt,
                        size_t warm_cnt,
                        coh_buf_t *err_text)
{
    COH_ASSERT(warm_cnt < block_cnt);
    *out        = (coh_bench_figures_t){0};
    cluster_t c = {
        .rank_cnt  = 1 + layout->shard_cnt,
        .genesis   = genesis,
        .blocks    = blocks,
        .block_cnt = block_cnt,
        .warm_cnt  = warm_cnt,
        .err_text  = err_text,
        .hashes    = hashes,
        .out       = out,
    };
    c.ranks                = coh_calloc(c.rank_cnt, sizeof(*c.ranks));
    coh_transport_t **ends = coh_calloc(c.rank_cnt, sizeof(*ends));
    coh_err_t err          = make_config(&c, layout);
    if (err == COH_OK) {
        err = coh_transport_local_new(ends, c.rank_cnt);
    }
    if (err == COH_OK && layout->delay_us != 0) {
        coh_transport_delay(ends, c.rank_cnt, layout->delay_us);
    }
    for (uint32_t i = 0; i < c.rank_cnt; i++) {
        c.ranks[i] = (rank_t){.cluster = &c, .rank = i, .transport = ends[i]};
    }
    free(ends);
    for (uint32_t i = 0; err == COH_OK && i < c.rank_cnt; i++) {
        err = open_rank(&c.ranks[i], layout, err_text);
    }
    if (err == COH_OK) {
        err = run_all(&c);
    }
    for (uint32_t i = 0; i < c.rank_cnt; i++) {
        close_rank(&c.ranks[i]);
    }
    free(c.ranks);
    if (err != COH_OK && err_text->n == 0) {
        coh_buf_printf(err_text, "%s", coh_err_str(err));
    }
    return err;
}
