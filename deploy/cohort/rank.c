#include "deploy/cohort/rank.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/config/dev_chain.h"
#include "common/config/secret.h"
#include "common/crypto/hmac.h"
#include "common/node/version.h"
#include "common/obs/httpd.h"
#include "common/obs/log.h"
#include "coordinator/gateway/gateway_http.h"
#include "coordinator/gateway/gateway_nn.h"
#include "deploy/cohort/backup.h"
#include "deploy/cohort/datadir.h"
#include "deploy/cohort/status_page.h"
#include "deploy/cohort/verifier.h"
#include "shard/shard.h"

/* How often the status page is written anew. */
#define STATUS_US UINT64_C(300000)
/* How often the file system is asked how full it is. */
#define DISK_US UINT64_C(10000000)
/* A loop that has not come round for this long is stuck. */
#define STUCK_US UINT64_C(5000000)

struct coh_rank {
    coh_rank_options_t options;
    coh_config_t const *config;
    uint32_t idx;
    coh_datadir_t *datadir;
    coh_genesis_t own_genesis; /* unless shared */
    coh_genesis_t const
        *genesis;       /* own_genesis, the sibling's or the one given; NULL until there */
    char *genesis_path; /* NULL if it was given */
    coh_kv_t *kv;
    coh_backup_source_t backup_source;
    coh_disk_backups_t backups;
    coh_metrics_t *metrics;
    coh_guard_t *guard; /* NULL: all ranks are of this process */
    coh_runtime_t *runtime;
    coh_gateway_nn_t *gateway; /* rank 0 with clients */
    coh_gateway_http_t *rpc;   /* rank 0 with clients, if configured */
    coh_coordinator_t *coordinator;
    coh_shard_t *shard;
    coh_page_t *status_page;
    coh_status_page_t front_page; /* at / of rank 0 */
    coh_httpd_t *httpd;
    uint64_t status_us;       /* communication thread: next writing of the page */
    uint64_t disk_us;         /* communication thread: next look at the file system */
    coh_verifier_t *verifier; /* rank 0, if configured */
    _Atomic bool ready;       /* shown by /readyz */
    bool was_ready;           /* once true, stays so; the communication thread's */
};

/* ---- What is shown ---- */

static unsigned serve_livez(void *arg, coh_buf_t *body, char const **content_type)
{
    (void)content_type;
    coh_rank_t *rank = arg;
    uint64_t last_us = coh_runtime_last_round_us(rank->runtime);
    uint64_t now_us  = coh_clock_unix_us();
    bool alive       = now_us < last_us + STUCK_US;
    coh_buf_printf(body, alive ? "alive\n" : "stuck: no round of the event loop in the last 5 s\n");
    return alive ? 200 : 503;
}

static unsigned serve_readyz(void *arg, coh_buf_t *body, char const **content_type)
{
    (void)content_type;
    coh_rank_t *rank = arg;
    bool ready       = atomic_load_explicit(&rank->ready, memory_order_relaxed);
    coh_buf_printf(body, ready ? "ready\n" : "not ready\n");
    return ready ? 200 : 503;
}

static unsigned serve_metrics(void *arg, coh_buf_t *body, char const **content_type)
{
    coh_rank_t *rank = arg;
    *content_type    = "text/plain; version=0.0.4; charset=utf-8";
    coh_metrics_prometheus(rank->metrics, body);
    return 200;
}

static bool node_is_ready(coh_rank_t const *rank)
{
    return rank->coordinator != NULL ? coh_coordinator_is_ready(rank->coordinator)
                                     : coh_shard_is_ready(rank->shard);
}

static void log_ready(coh_rank_t const *rank)
{
    if (rank->idx == 0) {
        COH_LOG_INF("node",
                    "cluster ready",
                    "shards=%u chain=%llu head=%llu client=%s publish=%s http_port=%u "
                    "status_port=%u",
                    rank->options.transport->rank_cnt - 1,
                    (unsigned long long)rank->genesis->chain_id,
                    (unsigned long long)coh_coordinator_head(rank->coordinator),
                    rank->gateway != NULL ? rank->config->client_listen : "none",
                    rank->gateway != NULL ? rank->config->client_publish : "none",
                    rank->rpc != NULL ? coh_gateway_http_port(rank->rpc) : 0,
                    rank->httpd != NULL ? coh_httpd_port(rank->httpd) : 0);
        if (rank->config->node_dev) {
            COH_LOG_INF("node",
                        "dev chain",
                        "listen=%s accounts=%u mnemonic=\"" COH_DEV_MNEMONIC "\"",
                        rank->config->http_listen,
                        COH_DEV_ACCOUNT_CNT);
        }
    } else {
        COH_LOG_INF("node",
                    "shard ready",
                    "status_port=%u",
                    rank->httpd != NULL ? coh_httpd_port(rank->httpd) : 0);
    }
}

static void measure_disk(coh_rank_t *rank)
{
    struct statvfs fs;
    if (rank->datadir != NULL && statvfs(rank->config->node_data, &fs) == 0) {
        coh_metric_set(rank->metrics, COH_M_disk_free, (uint64_t)fs.f_bavail * fs.f_frsize);
        coh_metric_set(rank->metrics, COH_M_disk_size, (uint64_t)fs.f_blocks * fs.f_frsize);
    }
}

/* The loop shows what the HTTP thread hands out; it must not be shown work for this. */
static bool show(void *arg, uint64_t now_us)
{
    coh_rank_t *rank = arg;
    bool ready       = node_is_ready(rank);
    if (ready && !rank->was_ready) {
        log_ready(rank);
        rank->was_ready = true;
    }
    atomic_store_explicit(&rank->ready, ready, memory_order_relaxed);
    coh_metric_set(rank->metrics, COH_M_node_ready, ready);
    if (now_us >= rank->disk_us) {
        rank->disk_us = now_us + DISK_US;
        measure_disk(rank);
    }
    if (rank->verifier != NULL) {
        coh_verifier_note(rank->verifier, coh_coordinator_head(rank->coordinator));
    }
    if (rank->httpd != NULL && now_us >= rank->status_us) {
        rank->status_us = now_us + STATUS_US;
        coh_buf_t json  = COH_BUF_INIT;
        if (rank->coordinator != NULL) {
            coh_coordinator_status_json(rank->coordinator, &json);
        } else {
            coh_shard_status_json(rank->shard, &json);
        }
        coh_buf_put_u8(&json, '\n');
        coh_page_set(rank->status_page, 200, coh_buf_bytes(&json));
        coh_buf_free(&json);
    }
    return false;
}

static void on_request(void *arg, uint64_t request, coh_bytes_t data)
{
    coh_rank_t *rank = arg;
    coh_coordinator_on_request(rank->coordinator, request, data);
}

static bool poll_gateway(void *arg, uint64_t now_us)
{
    (void)now_us;
    coh_rank_t *rank = arg;
    return coh_gateway_nn_poll(rank->gateway, on_request, rank);
}

static bool poll_rpc(void *arg, uint64_t now_us)
{
    (void)now_us;
    coh_rank_t *rank = arg;
    return coh_gateway_http_poll(rank->rpc, rank->coordinator);
}

/* ---- Putting it together ---- */

/* The store of a dev chain: in memory, or in a folder that is emptied at each start. Another chain's folder is refused. */
static coh_err_t open_dev_store(coh_rank_t *rank, coh_buf_t *err_text)
{
    coh_config_t const *config = rank->config;
    coh_rank_t const *sibling  = rank->options.sibling;
    if (sibling != NULL) {
        rank->genesis = sibling->genesis;
    } else {
        coh_dev_genesis(&rank->own_genesis, coh_clock_unix_us() / 1000000);
        rank->genesis = &rank->own_genesis;
    }
    if (config->node_data[0] == '\0') {
        return coh_kv_mem_open(&rank->kv);
    }
    COH_TRY(coh_datadir_open_dev(
        &rank->datadir, config->node_data, rank->idx, rank->options.transport->rank_cnt, err_text));
    COH_TRY(coh_datadir_create(rank->datadir, rank->genesis, NULL, err_text));
    return coh_datadir_open_kv(
        rank->datadir, &rank->kv, rank->genesis, config->state_rocksdb_cache_bytes, err_text);
}

/* Finds the genesis: the one given, as such or as a file, that of a sibling, or the folder's own; makes the folder at the
 * first start. */
static coh_err_t open_store(coh_rank_t *rank, coh_buf_t *err_text)
{
    coh_config_t const *config = rank->config;
    coh_rank_t const *sibling  = rank->options.sibling;
    coh_transport_t const *tp  = rank->options.transport;
    if (config->node_dev) {
        return open_dev_store(rank, err_text);
    }
    COH_TRY(coh_datadir_open(&rank->datadir, config->node_data, rank->idx, tp->rank_cnt, err_text));
    if (rank->options.genesis != NULL) {
        rank->genesis = rank->options.genesis;
    } else if (config->node_genesis[0] != '\0') {
        rank->genesis_path = coh_strdup(config->node_genesis);
    } else if (!coh_datadir_is_fresh(rank->datadir)) {
        rank->genesis_path = coh_strdup(coh_datadir_genesis_path(rank->datadir));
    } else if (sibling != NULL) {
        rank->genesis_path = coh_strdup(sibling->genesis_path);
    } else {
        coh_buf_printf(err_text,
                       "%s holds no data of rank %u yet: the first start needs --genesis",
                       config->node_data,
                       rank->idx);
        return COH_EINVAL;
    }
    if (rank->genesis == NULL && sibling != NULL) {
        rank->genesis = sibling->genesis;
    } else if (rank->genesis == NULL) {
        COH_TRY(coh_genesis_load(&rank->own_genesis, rank->genesis_path, err_text));
        rank->genesis = &rank->own_genesis;
    }
    if (coh_datadir_is_fresh(rank->datadir)) {
        COH_TRY(coh_datadir_create(rank->datadir, rank->genesis, rank->genesis_path, err_text));
    }
    return coh_datadir_open_kv(
        rank->datadir, &rank->kv, rank->genesis, config->state_rocksdb_cache_bytes, err_text);
}

/* All frames of a cluster carry this number. */
static uint64_t fingerprint(coh_config_t const *config, coh_genesis_t const *genesis)
{
    return coh_mix64(coh_config_hash(config)) ^ coh_load_u64_le(genesis->identity.b);
}

/* Who is let in, where ranks are processes of their own. */
static coh_err_t open_guard(coh_rank_t *rank, coh_buf_t *err_text)
{
    coh_transport_t const *tp   = rank->options.transport;
    char const *path            = rank->config->net_job_key_file;
    coh_buf_t key               = COH_BUF_INIT;
    coh_guard_options_t options = {.rank     = tp->rank,
                                   .rank_cnt = tp->rank_cnt,
                                   .build    = COH_VERSION,
                                   .genesis  = &rank->genesis->identity};
    if (!rank->options.watches_ranks) {
        return COH_OK;
    }
    if (path[0] != '\0') {
        COH_TRY(coh_secret_load(&key, "net-job-key-file", path, COH_GUARD_KEY_MIN, err_text));
        options.key = coh_buf_bytes(&key);
    } else if (!tp->one_machine && tp->rank == 0) {
        COH_LOG_WRN("node",
                    "ranks on several machines without a job key: whoever reaches their ports can "
                    "take a rank's place",
                    "option=net-job-key-file");
    }
    rank->guard = coh_guard_new(&options);
    if (key.n != 0) {
        coh_secret_wipe(key.p, key.n);
    }
    coh_buf_free(&key);
    return COH_OK;
}

static coh_err_t set_client_token(coh_rank_t *rank, coh_buf_t *err_text)
{
    coh_buf_t token  = COH_BUF_INIT;
    char const *path = rank->config->client_token_file;
    if (path[0] != '\0') {
        COH_TRY(coh_secret_load(&token, "client-token-file", path, COH_SECRET_TOKEN_MIN, err_text));
        coh_gateway_nn_set_token(rank->gateway, coh_buf_bytes(&token));
        coh_secret_wipe(token.p, token.n);
        coh_buf_free(&token);
    }
    return COH_OK;
}

static coh_err_t open_node(coh_rank_t *rank, coh_buf_t *err_text)
{
    COH_TRY(open_guard(rank, err_text));
    coh_config_t const *config = rank->config;
    uint32_t worker_cnt        = (uint32_t)config->node_threads;
    bool has_backups           = !config->node_dev; /* dev chains do not last */
    if (has_backups) {
        rank->backup_source = (coh_backup_source_t){
            .kv       = rank->kv,
            .folder   = coh_datadir_folder(rank->datadir),
            .genesis  = coh_datadir_genesis_path(rank->datadir),
            .under    = config->node_backups,
            .rank     = rank->idx,
            .rank_cnt = rank->options.transport->rank_cnt,
        };
        rank->backups = coh_backup_of(&rank->backup_source);
    }
    coh_runtime_options_t options = {
        .transport    = rank->options.transport,
        .kv           = rank->kv,
        .kv_is_rocks  = rank->datadir != NULL,
        .backups      = has_backups ? &rank->backups : NULL,
        .metrics      = rank->metrics,
        .owns_process = rank->options.owns_process,
        .fingerprint  = fingerprint(config, rank->genesis),
        .worker_cnt   = worker_cnt,
        .guard        = rank->guard,
        .silence_us   = rank->options.watches_ranks ? config->net_silence_seconds * 1000000 : 0,
    };
    COH_TRY(coh_runtime_new(&rank->runtime, &options));
    coh_env_t *env = coh_runtime_env(rank->runtime);
    if (rank->idx != 0) {
        COH_TRY(coh_shard_new(
            &rank->shard, config, rank->genesis, env, rank->kv, worker_cnt, err_text));
        coh_runtime_set_node(rank->runtime, coh_shard_node(rank->shard));
        return COH_OK;
    }
    coh_gateway_sink_t *sink = rank->options.sink;
    if (rank->options.serves_clients) {
        COH_TRY(coh_gateway_nn_open(&rank->gateway,
                                    config->client_listen,
                                    config->client_publish,
                                    config->client_message_bytes_max,
                                    (uint32_t)config->client_inflight_requests_max,
                                    rank->metrics,
                                    err_text));
        COH_TRY(set_client_token(rank, err_text));
        sink = coh_gateway_nn_sink(rank->gateway);
    }
    COH_TRY(coh_coordinator_new(
        &rank->coordinator, config, rank->genesis, env, rank->kv, sink, err_text));
    coh_runtime_set_node(rank->runtime, coh_coordinator_node(rank->coordinator));
    if (config->node_verify_every != 0) {
        rank->verifier = coh_verifier_start(rank->genesis,
                                            rank->kv,
                                            rank->metrics,
                                            config->node_verify_every,
                                            config->block_root_every);
    }
    if (rank->gateway != NULL) {
        coh_runtime_source_t source = {
            .poll = poll_gateway, .arg = rank, .fd = coh_gateway_nn_fd(rank->gateway)};
        coh_runtime_add_source(rank->runtime, &source);
    }
    if (rank->options.serves_clients && config->http_listen[0] != '\0') {
        COH_TRY(coh_gateway_http_open(&rank->rpc, config, rank->genesis, rank->metrics, err_text));
        coh_gateway_http_attach(rank->rpc, rank->coordinator);
        coh_runtime_source_t source = {
            .poll = poll_rpc, .arg = rank, .fd = coh_gateway_http_fd(rank->rpc)};
        coh_runtime_add_source(rank->runtime, &source);
    }
    return COH_OK;
}

/* Appends "host:port" with rank added to the port, unless that is 0, and a NUL. */
static coh_err_t status_address(coh_buf_t *out,
                                char const *listen,
                                uint32_t rank,
                                coh_buf_t *err_text)
{
    char const *colon  = strrchr(listen, ':');
    char *end          = NULL;
    errno              = 0;
    unsigned long port = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
    if (colon == NULL || end == colon + 1 || *end != '\0' || errno != 0 || port > 65535 - rank) {
        coh_buf_printf(err_text,
                       "status-listen %s: expected host:port, with room for rank %u above",
                       listen,
                       rank);
        return COH_EINVAL;
    }
    coh_buf_printf(out, "%.*s:%lu", (int)(colon - listen), listen, port == 0 ? 0 : port + rank);
    coh_buf_put_u8(out, 0);
    return COH_OK;
}

/* The names that the status pages go by: those of the configuration, and this host's own. */
static void put_status_hosts(coh_buf_t *out, char const *configured)
{
    char own[HOST_NAME_MAX + 1];
    coh_buf_printf(out, "%s", configured);
    if (strcmp(configured, "*") != 0 && gethostname(own, sizeof(own)) == 0) {
        coh_buf_printf(out, "%s%s", configured[0] == '\0' ? "" : ",", own);
    }
    coh_buf_put_u8(out, 0);
}

static coh_err_t open_pages(coh_rank_t *rank, coh_buf_t *err_text)
{
    coh_runtime_source_t source = {.poll = show, .arg = rank, .fd = -1};
    coh_runtime_add_source(rank->runtime, &source);
    if (rank->config->status_listen[0] == '\0') {
        return COH_OK;
    }
    rank->status_page = coh_page_new("application/json", "{\"state\":\"starting\"}\n", 503);
    coh_status_page_init(&rank->front_page);
    coh_httpd_route_t const routes[] = {
        {.path = "/livez", .fn = serve_livez, .arg = rank},
        {.path = "/readyz", .fn = serve_readyz, .arg = rank},
        {.path = "/metrics", .fn = serve_metrics, .arg = rank},
        {.path = "/status", .fn = coh_page_serve, .arg = rank->status_page},
        {.path = "/", .file = &rank->front_page.file},
    };
    size_t route_cnt = rank->idx == 0 ? COH_CNT(routes) : COH_CNT(routes) - 1;
    coh_tls_t tls;
    COH_TRY(coh_tls_load(
        &tls, "status", rank->config->status_tls_cert, rank->config->status_tls_key, err_text));
    coh_buf_t addr  = COH_BUF_INIT;
    coh_buf_t hosts = COH_BUF_INIT;
    coh_err_t rc    = status_address(&addr, rank->config->status_listen, rank->idx, err_text);
    if (rc == COH_OK) {
        put_status_hosts(&hosts, rank->config->status_hosts);
        rc = coh_httpd_start(
            &rank->httpd, (char const *)addr.p, (char const *)hosts.p, &tls, routes, route_cnt);
        if (rc != COH_OK) {
            coh_buf_printf(err_text,
                           "status-listen: cannot listen on %s: %s",
                           (char const *)addr.p,
                           rc == COH_EIO && errno != 0 ? strerror(errno) : coh_err_str(rc));
        }
    }
    coh_buf_free(&addr);
    coh_buf_free(&hosts);
    coh_tls_free(&tls);
    return rc;
}

coh_err_t coh_rank_open(coh_rank_t **out, coh_rank_options_t const *options, coh_buf_t *err_text)
{
    coh_rank_t *rank = coh_calloc(1, sizeof(*rank));
    rank->options    = *options;
    rank->config     = options->config;
    rank->idx        = options->transport->rank;
    coh_log_set_rank((int)rank->idx);
    coh_err_t rc = open_store(rank, err_text);
    if (rc == COH_OK) {
        rank->metrics = coh_metrics_new(rank->idx);
        rc            = open_node(rank, err_text);
    }
    if (rc == COH_OK) {
        rc = open_pages(rank, err_text);
    }
    if (rc != COH_OK) {
        if (err_text->n == 0) {
            coh_buf_printf(err_text, "%s", coh_err_str(rc));
        }
        coh_rank_close(rank);
        return rc;
    }
    *out = rank;
    return COH_OK;
}

coh_err_t coh_rank_run(coh_rank_t *rank, coh_buf_t *err_text)
{
    coh_log_set_rank((int)rank->idx);
    coh_err_t rc = coh_runtime_run(rank->runtime, err_text);
    atomic_store_explicit(&rank->ready, false, memory_order_relaxed);
    return rc;
}

void coh_rank_stop(coh_rank_t *rank)
{
    if (rank->idx == 0) {
        coh_runtime_stop(rank->runtime);
    }
}

void coh_rank_abandon(coh_rank_t *rank) { coh_runtime_abandon(rank->runtime); }

void coh_rank_add_source(coh_rank_t *rank, coh_runtime_source_t const *source)
{
    coh_runtime_add_source(rank->runtime, source);
}

coh_coordinator_t *coh_rank_coordinator(coh_rank_t *rank) { return rank->coordinator; }

void coh_rank_close(coh_rank_t *rank)
{
    coh_verifier_stop(rank->verifier);
    coh_httpd_stop(rank->httpd);
    if (rank->status_page != NULL) {
        coh_page_free(rank->status_page);
    }
    if (rank->rpc != NULL) {
        coh_gateway_http_stop(rank->rpc);
    }
    if (rank->runtime != NULL) {
        coh_runtime_free(rank->runtime);
    }
    coh_guard_free(rank->guard);
    coh_gateway_http_free(rank->rpc);
    if (rank->gateway != NULL) {
        coh_gateway_nn_close(rank->gateway);
    }
    if (rank->kv != NULL) {
        rank->kv->ops->close(rank->kv);
    }
    if (rank->metrics != NULL) {
        coh_metrics_free(rank->metrics);
    }
    if (rank->genesis == &rank->own_genesis) {
        coh_genesis_free(&rank->own_genesis);
    }
    free(rank->genesis_path);
    if (rank->datadir != NULL) {
        coh_datadir_close(rank->datadir);
    }
    free(rank);
}
