#include "deploy/cohort/import_cluster.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "deploy/cohort/cluster.h"
#include "deploy/cohort/datadir.h"
#include "deploy/cohort/store_walk.h"

/* A block that is not decided after so long never will be. */
#define PATIENCE_US UINT64_C(60000000)

/* STARTING ─ready─▶ IMPORTING ─decided─▶ ASKING ─answered─▶ ENDING, the clean stop of all ranks */
typedef enum { STARTING, IMPORTING, ASKING, ENDING } step_t;

typedef struct {
    coh_gateway_sink_t sink; /* answers come here; first, so that it can be cast back */
    coh_cluster_t *ranks;
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
} cluster_t;

static void end(cluster_t *c, coh_err_t err)
{
    c->step = ENDING;
    c->err  = err;
    coh_cluster_stop(c->ranks);
}

static void on_imported(void *arg, coh_import_result_t const *result)
{
    cluster_t *c   = arg;
    c->out->result = *result;
    if (result->sealed != NULL) {
        c->out->result.sealed = coh_sealed_ref(result->sealed);
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

/* Runs the cluster until the work is done. */
static coh_err_t run(cluster_t *c, coh_buf_t *err_text)
{
    c->coordinator = coh_rank_coordinator(coh_cluster_rank(c->ranks, 0));
    c->start_us    = coh_clock_mono_us();
    coh_rank_add_source(coh_cluster_rank(c->ranks, 0),
                        &(coh_runtime_source_t){.poll = poll_work, .arg = c, .fd = -1});
    COH_TRY(coh_cluster_run(c->ranks, err_text));
    if (c->err != COH_OK) {
        coh_buf_printf(err_text, "%s", coh_err_str(c->err));
    }
    return c->err;
}

void coh_import_outcome_free(coh_import_outcome_t *out)
{
    coh_sealed_free((coh_sealed_t *)(uintptr_t)out->result.sealed); /* our reference */
    free(out->accounts);
    coh_realstate_free(&out->after);
    *out = (coh_import_outcome_t){0};
}

/* Of the shard with this rank. */
static coh_err_t read_store(coh_import_outcome_t *out,
                            coh_config_t const *config,
                            coh_genesis_t const *genesis,
                            uint32_t rank,
                            coh_buf_t *err_text)
{
    coh_store_walker_t const walker = {
        .account = coh_realstate_add_account, .slot = coh_realstate_add_slot, .arg = &out->after};
    coh_datadir_t *dd = NULL;
    coh_kv_t *kv      = NULL;
    COH_TRY(coh_datadir_open(&dd, config->node_data, rank, 0, err_text));
    coh_err_t err =
        coh_datadir_open_kv(dd, &kv, genesis, config->state_rocksdb_cache_bytes, err_text);
    if (err == COH_OK) {
        err = coh_store_walk(&kv, 1, &walker);
        if (err != COH_OK) {
            coh_buf_printf(err_text, "the store of rank %u: %s", rank, coh_err_str(err));
        }
        kv->ops->close(kv);
    }
    coh_datadir_close(dd);
    return err;
}

coh_err_t coh_import_cluster_run(coh_import_outcome_t *out,
                                 char const *dir,
                                 coh_config_t const *config,
                                 coh_genesis_t const *genesis,
                                 coh_import_block_t const *block,
                                 coh_addr_t const *addrs,
                                 size_t addr_cnt,
                                 bool wants_state,
                                 coh_buf_t *err_text)
{
    coh_config_t own = *config;
    (void)snprintf(own.node_data, sizeof(own.node_data), "%s", dir);
    own.status_listen[0] = '\0';
    *out = (coh_import_outcome_t){.accounts = coh_calloc(addr_cnt + 1, sizeof(*out->accounts))};
    cluster_t c = {
        .sink      = {.reply = on_reply},
        .block     = block,
        .addrs     = addrs,
        .addr_cnt  = addr_cnt,
        .batch_max = config->client_batch_tx_max,
        .reader    = coh_op_reader_new(),
        .out       = out,
    };
    coh_cluster_options_t const options = {.config = &own, .genesis = genesis, .sink = &c.sink};
    coh_err_t err                       = coh_cluster_open(&c.ranks, &options, err_text);
    if (err == COH_OK) {
        err = run(&c, err_text);
        coh_cluster_close(c.ranks);
    }
    coh_op_reader_free(c.reader);
    for (uint32_t shard = 0; err == COH_OK && wants_state && shard < own.node_shards; shard++) {
        err = read_store(out, &own, genesis, shard + 1, err_text);
    }
    if (err != COH_OK) {
        coh_import_outcome_free(out);
    }
    return err;
}
