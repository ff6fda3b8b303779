#include "deploy/cohort/import_cluster.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "deploy/cohort/runtime.h"
#include "shard/shard.h"

/* A block that is not decided after so long never will be. */
#define PATIENCE_US UINT64_C(60000000)

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
} rank_t;

/* STARTING ─ready─▶ IMPORTING ─decided─▶ ASKING ─answered─▶ ENDING, the clean stop of all ranks */
typedef enum { STARTING, IMPORTING, ASKING, ENDING } step_t;

struct cluster {
    coh_gateway_sink_t sink; /* answers come here; first, so that it can be cast back */
    rank_t *ranks;
    uint32_t rank_cnt;
    coh_coordinator_t *coordinator;
    coh_import_block_t const *block;
    coh_addr_t const *addrs;
    size_t addr_cnt;
    size_t asked_cnt; /* accounts answered so far */
    size_t batch_max;
    step_t step;
    bool is_asked; /* a request is open */
    coh_err_t err;
    uint64_t start_us;
    coh_op_reader_t *reader;
    coh_import_outcome_t *out;
};

static void end(cluster_t *c, coh_err_t err)
{
    c->step = ENDING;
    c->err  = err;
    coh_runtime_stop(c->ranks[0].runtime);
}

static void on_imported(void *arg, coh_import_result_t const *result)
{
    cluster_t *c   = arg;
    c->out->result = *result;
    if (result->sealed != NULL) {
        coh_sealed_t const *sealed = result->sealed;
        c->out->gas                = coh_calloc(sealed->tx_cnt, sizeof(*c->out->gas));
        for (uint32_t i = 0; i < sealed->tx_cnt; i++) {
            c->out->gas[i] = sealed->receipts[i].gas_used;
        }
        memcpy(c->out->bloom, sealed->header.bloom, sizeof(c->out->bloom));
        c->out->result.sealed = NULL;
    }
    c->out->elapsed_us = coh_clock_mono_us() - c->start_us;
    c->step            = ASKING;
}

static void on_reply(coh_gateway_sink_t *sink, uint64_t request, coh_bytes_t data)
{
    (void)request;
    cluster_t *c = (cluster_t *)sink;
    coh_op_answer_t answer;
    coh_err_t err = coh_op_read_answer(c->reader, &answer, COH_OP_ACCOUNTS, data);
    err           = err == COH_OK ? answer.err : err;
    size_t cnt    = COH_MIN(c->addr_cnt - c->asked_cnt, c->batch_max);
    if (err == COH_OK && answer.u.accounts.accounts.cnt != cnt) {
        err = COH_EPROTO;
    }
    if (err != COH_OK) {
        end(c, err);
        return;
    }
    memcpy(c->out->accounts + c->asked_cnt,
           answer.u.accounts.accounts.v,
           cnt * sizeof(*c->out->accounts));
    c->asked_cnt += cnt;
    c->is_asked = false;
}

static void on_publish(coh_gateway_sink_t *sink, coh_bytes_t data)
{
    (void)sink;
    (void)data;
}

static bool has_subscribers(coh_gateway_sink_t *sink)
{
    (void)sink;
    return false;
}

static void ask_accounts(cluster_t *c)
{
    coh_op_accounts_request_t request = {
        .addrs = {.v   = c->addrs + c->asked_cnt,
                  .cnt = (uint32_t)COH_MIN(c->addr_cnt - c->asked_cnt, c->batch_max)}};
    coh_buf_t data = COH_BUF_INIT;
    coh_op_put_accounts_request(&data, &request);
    c->is_asked = true;
    coh_coordinator_on_request(c->coordinator, 1, coh_buf_bytes(&data));
    coh_buf_free(&data);
}

/* One step of the work, on the coordinator's communication thread. */
static bool poll_work(void *arg, uint64_t now_us)
{
    (void)now_us;
    cluster_t *c = arg;
    uint64_t now = coh_clock_mono_us();
    if (c->step != ENDING && now - c->start_us > PATIENCE_US) {
        end(c, COH_ETIMEOUT);
        return true;
    }
    if (c->step == STARTING && coh_coordinator_is_ready(c->coordinator)) {
        c->start_us   = now;
        c->step       = IMPORTING;
        coh_err_t err = coh_coordinator_import(c->coordinator, c->block, on_imported, c);
        if (err != COH_OK) {
            end(c, err);
        }
        return true;
    }
    if (c->step == ASKING && !c->is_asked) {
        if (c->asked_cnt == c->addr_cnt) {
            end(c, COH_OK);
        } else {
            ask_accounts(c);
        }
        return true;
    }
    return false;
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

static coh_err_t open_rank(rank_t *r,
                           char const *dir,
                           coh_config_t const *config,
                           coh_genesis_t const *genesis,
                           coh_buf_t *err_text)
{
    cluster_t *c   = r->cluster;
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/rank-%u", dir, r->rank);
    coh_buf_put_u8(&path, 0);
    coh_err_t err = coh_kv_rocks_open(
        &r->kv, (char const *)path.p, config->state_rocksdb_cache_bytes, err_text);
    coh_buf_free(&path);
    COH_TRY(err);
    r->metrics                    = coh_metrics_new(r->rank);
    coh_runtime_options_t options = {
        .transport    = r->transport,
        .kv           = r->kv,
        .kv_is_rocks  = true,
        .metrics      = r->metrics,
        .owns_process = r->rank == 0,
        .fingerprint  = coh_load_u64_le(genesis->hash.b) ^ coh_config_hash(config),
        .worker_cnt   = (uint32_t)config->node_threads,
    };
    COH_TRY(coh_runtime_new(&r->runtime, &options));
    coh_env_t *env = coh_runtime_env(r->runtime);
    if (r->rank == 0) {
        COH_TRY(
            coh_coordinator_new(&c->coordinator, config, genesis, env, r->kv, &c->sink, err_text));
        coh_runtime_set_node(r->runtime, coh_coordinator_node(c->coordinator));
        coh_runtime_add_source(r->runtime,
                               &(coh_runtime_source_t){.poll = poll_work, .arg = c, .fd = -1});
    } else {
        coh_shard_t *shard;
        COH_TRY(coh_shard_new(&shard, config, genesis, env, r->kv, options.worker_cnt, err_text));
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

static coh_err_t run_all(cluster_t *c, coh_buf_t *err_text)
{
    c->start_us = coh_clock_mono_us();
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
                err_text, "rank %u: %.*s", i, (int)r->err_text.n, (char const *)r->err_text.p);
            err = r->err;
        }
    }
    if (err != COH_OK && err_text->n == 0) {
        coh_buf_printf(err_text, "%s", coh_err_str(err));
    }
    return err;
}

coh_err_t coh_import_cluster_run(coh_import_outcome_t *out,
                                 char const *dir,
                                 coh_config_t const *config,
                                 coh_genesis_t const *genesis,
                                 coh_import_block_t const *block,
                                 coh_addr_t const *addrs,
                                 size_t addr_cnt,
                                 coh_buf_t *err_text)
{
    uint32_t rank_cnt = 1 + (uint32_t)config->node_shards;
    *out = (coh_import_outcome_t){.accounts = coh_calloc(addr_cnt + 1, sizeof(*out->accounts))};
    cluster_t c = {
        .sink      = {.reply = on_reply, .publish = on_publish, .has_subscribers = has_subscribers},
        .ranks     = coh_calloc(rank_cnt, sizeof(*c.ranks)),
        .rank_cnt  = rank_cnt,
        .block     = block,
        .addrs     = addrs,
        .addr_cnt  = addr_cnt,
        .batch_max = config->client_batch_tx_max,
        .reader    = coh_op_reader_new(),
        .out       = out,
    };
    coh_transport_t **ends = coh_calloc(rank_cnt, sizeof(*ends));
    coh_err_t err          = coh_transport_local_new(ends, rank_cnt);
    for (uint32_t i = 0; i < rank_cnt; i++) {
        c.ranks[i] = (rank_t){.cluster = &c, .rank = i, .transport = ends[i]};
    }
    free(ends);
    for (uint32_t i = 0; err == COH_OK && i < rank_cnt; i++) {
        err = open_rank(&c.ranks[i], dir, config, genesis, err_text);
    }
    if (err == COH_OK) {
        err = run_all(&c, err_text);
    }
    for (uint32_t i = 0; i < rank_cnt; i++) {
        close_rank(&c.ranks[i]);
    }
    coh_op_reader_free(c.reader);
    free(c.ranks);
    if (err != COH_OK) {
        free(out->accounts);
        free(out->gas);
        *out = (coh_import_outcome_t){0};
    }
    return err;
}
