/* cmd_node.c: runs a node: one rank of a cluster under mpirun, or a whole cluster in this process
 * without. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cluster.h"
#include "deploy/cohort/cmd.h"

#define DEV_PAST_BLOCKS 65536u

/* What a signal stops. Set before the handlers are installed; the counter is all that they write.
 */
static coh_rank_t *stoppable;
static atomic_int signal_cnt;

static void on_signal(int number)
{
    if (atomic_fetch_add(&signal_cnt, 1) != 0) {
        _exit(128 + number);
    }
    coh_rank_stop(stoppable);
}

/* SIGTERM, SIGINT, and SIGUSR1, which mpirun passes on instead of acting on it: end cleanly; again:
 * end at once. */
static void catch_signals(coh_rank_t *rank)
{
    static int const numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    stoppable                  = rank;
    struct sigaction action    = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COH_CNT(numbers); i++) {
        int rc = sigaction(numbers[i], &action, NULL);
        COH_ASSERT(rc == 0);
    }
}

/* The pieces are closed after this: signals change nothing any more. */
static void ignore_signals(void)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
}

/* Takes text. */
static int report_failure(coh_buf_t *text)
{
    COH_LOG_ERR("node", "failed", "reason=\"%.*s\"", (int)text->n, (char const *)text->p);
    coh_buf_free(text);
    return COH_EXIT_FAILED;
}

static int run_embedded(coh_config_t const *config)
{
    coh_cluster_t *cluster = NULL;
    coh_buf_t text         = COH_BUF_INIT;
    coh_err_t rc           = coh_cluster_open(
        &cluster, &(coh_cluster_options_t){.config = config, .serves_clients = true}, &text);
    if (rc != COH_OK) {
        return report_failure(&text);
    }
    catch_signals(coh_cluster_rank(cluster, 0));
    rc = coh_cluster_run(cluster, &text);
    ignore_signals();
    coh_cluster_close(cluster);
    if (rc != COH_OK) {
        return report_failure(&text);
    }
    COH_LOG_INF("node", "stopped", "clean=1");
    coh_buf_free(&text);
    return COH_EXIT_OK;
}

/* Runs the rank that transport gives us. */
static int run_rank(coh_config_t const *config, coh_transport_t *transport)
{
    coh_buf_t text = COH_BUF_INIT;
    if (transport->rank_cnt < 2) {
        coh_buf_printf(&text,
                       "a cluster has at least two ranks: mpirun -n 1+SHARDS cohort node ...");
        return report_failure(&text);
    }
    coh_rank_t *rank           = NULL;
    coh_rank_options_t options = {.config         = config,
                                  .transport      = transport,
                                  .owns_process   = true,
                                  .serves_clients = true,
                                  .watches_ranks  = true};
    if (coh_rank_open(&rank, &options, &text) != COH_OK) {
        return report_failure(&text);
    }
    catch_signals(rank);
    coh_err_t rc = coh_rank_run(rank, &text);
    ignore_signals();
    if (rc != COH_OK) {
        /* The rank stays open: the job ends now, and its data is as safe as after a crash. */
        return report_failure(&text);
    }
    coh_rank_close(rank);
    COH_LOG_INF("node", "stopped", "clean=1");
    coh_buf_free(&text);
    return COH_EXIT_OK;
}

static int run_job(coh_config_t const *config)
{
    coh_transport_t *transport = NULL;
    coh_err_t rc               = coh_transport_mpi_open(&transport);
    if (rc != COH_OK) {
        (void)fprintf(stderr, "cohort node: cannot join the MPI job: %s\n", coh_err_str(rc));
        return COH_EXIT_FAILED;
    }
    coh_log_set_rank((int)transport->rank);
    if (config->log_file[0] != '\0') {
        coh_buf_t path = COH_BUF_INIT;
        coh_buf_printf(&path, "%s.%u", config->log_file, transport->rank);
        coh_buf_put_u8(&path, 0);
        rc = coh_log_init(config->log_level, (char const *)path.p);
        if (rc != COH_OK) {
            (void)fprintf(stderr,
                          "cohort node: cannot log to %s: %s\n",
                          (char const *)path.p,
                          coh_err_str(rc));
        }
        coh_buf_free(&path);
    }
    int exit_code = rc == COH_OK ? run_rank(config, transport) : COH_EXIT_FAILED;
    if (exit_code != COH_EXIT_OK) {
        coh_transport_mpi_abort(
            exit_code); /* one rank less ends the job: recovery needs them all */
    }
    transport->ops->close(transport);
    return exit_code;
}

/* True if address (host:port) is of this machine alone. */
static bool is_loopback(char const *address)
{
    static char const *const hosts[] = {"127.", "localhost:", "[::1]:"};
    for (size_t i = 0; i < COH_CNT(hosts); i++) {
        if (strncmp(address, hosts[i], strlen(hosts[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* What --dev makes of the options; NULL, or why that cannot be. */
static char const *prepare_dev(coh_config_t *config)
{
    if (config->http_listen[0] == '\0') {
        (void)snprintf(config->http_listen, sizeof(config->http_listen), "127.0.0.1:8545");
    }
    if (config->node_genesis[0] != '\0') {
        return "--dev has a genesis of its own: leave --genesis out, or --dev";
    }
    if (config->node_verify_every != 0) {
        return "a dev chain cannot be re-executed, for clients change its state: leave "
               "--verify-every out";
    }
    if (config->block_root_every != 1) {
        return "a dev chain has a state root in every block: leave --block-root-every out";
    }
    if (!config->node_dev_public && !is_loopback(config->http_listen)) {
        return "--dev lets whoever reaches its port do anything: serve 127.0.0.1, or say "
               "--node-dev-public too";
    }
    /* As far as snapshots reach back. */
    config->state_past_blocks = COH_MAX(config->state_past_blocks, (uint64_t)DEV_PAST_BLOCKS);
    return NULL;
}

static coh_err_t set_http(void *dst, char const *value, coh_buf_t *err_text)
{
    return coh_config_set(dst, "http-listen", value, err_text);
}

static coh_err_t set_job_key_file(void *dst, char const *value, coh_buf_t *err_text)
{
    return coh_config_set(dst, "net-job-key-file", value, err_text);
}

int coh_cmd_node(int argc, char **argv)
{
    static coh_config_t config;
    static coh_arg_t const args[] = {
        COH_ARG_CALL_ROW("http",
                         "HOST:PORT",
                         set_http,
                         &config,
                         "serve JSON-RPC over HTTP and WebSocket there: short for --http-listen"),
        COH_ARG_CALL_ROW("job-key-file",
                         "FILE",
                         set_job_key_file,
                         &config,
                         "the job's secret: short for --net-job-key-file"),
    };
    static coh_command_t const command = {
        .name     = "node",
        .about    = "Runs a cluster. Under mpirun this process is one rank of it: rank 0 the "
                    "coordinator, the others one "
                    "shard each. Without mpirun it hosts the coordinator and --shards shards. The "
                    "first start on a data "
                    "directory needs --genesis; later ones use the copy kept there. SIGTERM, SIGINT "
                    "or SIGUSR1 end it "
                    "cleanly; a second one at once. With --dev it runs a chain for development, with "
                    "funded accounts, in memory "
                    "or in a --data that is emptied first: see deploy/README.md.",
        .examples = "  cohort node --dev\n"
                    "  cohort node --data ./data --genesis genesis.json --shards 2 --threads 2\n"
                    "  mpirun -n 5 cohort node --data /var/lib/cohort --genesis genesis.json "
                    "--http 127.0.0.1:8545\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    if (coh_args_parse(&command, &config, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    char const *why = config.node_dev ? prepare_dev(&config) : NULL;
    if (why != NULL) {
        (void)fprintf(stderr, "cohort node: %s\n", why);
        return COH_EXIT_USAGE;
    }
    if (config.node_data[0] == '\0' && !config.node_dev) {
        (void)fprintf(stderr,
                      "cohort node: --data DIR is needed: where the cluster keeps its state\n");
        return COH_EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    bool job = coh_transport_mpi_is_job();
    /* The ranks of a job have a file each, named once they know their number. */
    coh_err_t rc = coh_log_init(config.log_level, job ? "" : config.log_file);
    if (rc != COH_OK) {
        (void)fprintf(stderr,
                      "cohort node: cannot log to '%s' at level '%s': %s\n",
                      config.log_file,
                      config.log_level,
                      coh_err_str(rc));
        return COH_EXIT_USAGE;
    }
    return job ? run_job(&config) : run_embedded(&config);
}
