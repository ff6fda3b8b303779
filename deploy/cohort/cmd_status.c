/* cmd_status.c: asks a running cluster how it is, and shows the answer to a person, or as JSON to a
   program.

   Two samples a second apart give the rates; --watch goes on like that: on a terminal one screen, else a line of key=value for each second. A member that the
   answer does not have is shown as "-": an older or newer server can be asked too. */
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/client/client.h"
#include "common/obs/metrics.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/screen.h"

#define RANKS_SHOWN_MAX 1024

/* Whom to ask. */
typedef struct {
    coh_client_t *client;
    char const *addr;
    uint64_t timeout_ms;
} server_t;

/* One answer, and when it came. */
typedef struct {
    json_t *root;
    uint64_t at_us;
} sample_t;

/* A number that may be missing. */
typedef struct {
    double v;
    bool known;
} figure_t;

static figure_t figure(json_t const *object, char const *member)
{
    json_t const *v = json_object_get(object, member);
    return (figure_t){.v = json_number_value(v), .known = json_is_number(v)};
}

/* What the counter member of both objects grew by in a second. */
static figure_t rate(json_t const *before, json_t const *after, char const *member, double seconds)
{
    figure_t a = figure(before, member);
    figure_t b = figure(after, member);
    bool known = a.known && b.known && b.v >= a.v && seconds > 0;
    return (figure_t){.v = known ? (b.v - a.v) / seconds : 0, .known = known};
}

static figure_t ratio(figure_t a, figure_t b, double factor)
{
    bool known = a.known && b.known && b.v > 0;
    return (figure_t){.v = known ? factor * a.v / b.v : 0, .known = known};
}

/* Appends the figure and its unit, right-aligned in width, with decimals digits after the point. */
static void put(coh_buf_t *out, int width, figure_t f, int decimals, char const *unit)
{
    char text[48];
    if (f.known) {
        (void)snprintf(text, sizeof(text), "%.*f%s", decimals, f.v, unit);
    } else {
        (void)snprintf(text, sizeof(text), "-%s", unit);
    }
    coh_buf_printf(out, "%*s", width, text);
}

static void put_bytes(coh_buf_t *out, int width, figure_t f)
{
    static char const *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
    size_t i                         = 0;
    while (f.v >= 1024 && i + 1 < COH_CNT(units)) {
        f.v /= 1024;
        i++;
    }
    put(out, width, f, i == 0 ? 0 : 1, f.known ? units[i] : "");
}

/* Text from the server goes to a terminal: only what is printable. */
static void put_text(coh_buf_t *out, json_t const *object, char const *member)
{
    char const *text = json_string_value(json_object_get(object, member));
    if (text == NULL) {
        text = "-";
    }
    for (; *text != '\0'; text++) {
        coh_buf_put_u8(out, isprint((unsigned char)*text) ? (uint8_t)*text : (uint8_t)'?');
    }
}

static void put_duration(coh_buf_t *out, figure_t seconds)
{
    if (!seconds.known || seconds.v < 0 || seconds.v > 1e12) {
        coh_buf_printf(out, "-");
        return;
    }
    uint64_t s = (uint64_t)seconds.v;
    if (s >= 86400) {
        coh_buf_printf(out, "%" PRIu64 " d ", s / 86400);
    }
    coh_buf_printf(
        out, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, s / 3600 % 24, s / 60 % 60, s % 60);
}

static void put_head(coh_buf_t *out, json_t const *root)
{
    json_t const *head = json_object_get(root, "head");
    json_t const *pool = json_object_get(root, "pool");
    coh_buf_printf(out, "cohort ");
    put_text(out, root, "version");
    coh_buf_printf(out, ", ");
    put_text(out, root, "state");
    coh_buf_printf(out, ", up ");
    put_duration(out, figure(root, "uptime_s"));
    coh_buf_printf(out, "\n\nchain           id ");
    put(out, 0, figure(root, "chain_id"), 0, "");
    coh_buf_printf(out, ", genesis ");
    put_text(out, root, "genesis");
    coh_buf_printf(out, "\nhead            ");
    put(out, 0, figure(head, "number"), 0, "");
    coh_buf_printf(out, "  ");
    put_text(out, head, "hash");
    figure_t timestamp = figure(head, "timestamp");
    time_t at = timestamp.known && timestamp.v >= 0 && timestamp.v < 1e11 ? (time_t)timestamp.v : 0;
    char text[32];
    struct tm tm;
    if (at != 0 && gmtime_r(&at, &tm) != NULL &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0) {
        coh_buf_printf(out, "\n                %s", text);
    }
    coh_buf_printf(out, "\npool            ");
    put(out, 0, figure(pool, "tx"), 0, " tx, ");
    put(out, 0, figure(pool, "ready"), 0, " ready, ");
    put(out, 0, figure(pool, "senders"), 0, " senders");
    coh_buf_printf(out, "\nin flight       ");
    put(out, 0, figure(root, "inflight_blocks"), 0, " blocks");
    coh_buf_put_u8(out, '\n');
}

static void put_totals(coh_buf_t *out, json_t const *before, json_t const *after, double seconds)
{
    json_t const *old = json_object_get(before, "totals");
    json_t const *now = json_object_get(after, "totals");
    coh_buf_printf(out, "\nrate            ");
    put(out, 0, rate(old, now, "tx", seconds), 0, " tx/s, ");
    put(out, 0, rate(old, now, "blocks", seconds), 1, " blocks/s");
    coh_buf_printf(out, "\ncommitted       ");
    put(out, 0, figure(now, "tx"), 0, " tx in ");
    put(out, 0, figure(now, "blocks"), 0, " blocks");
    coh_buf_printf(out, "\ncross-shard     ");
    put(out,
        0,
        ratio(rate(old, now, "tx_cross", seconds), rate(old, now, "tx", seconds), 100),
        1,
        " %");
    coh_buf_printf(out, " now, ");
    put(out, 0, ratio(figure(now, "tx_cross"), figure(now, "tx"), 100), 1, " %");
    coh_buf_printf(out, " in all\nretractions     ");
    put(out, 0, figure(now, "retractions"), 0, "");
    json_t const *placement = json_object_get(after, "placement");
    coh_buf_printf(out, "\nplacement       ");
    put(out, 0, figure(placement, "overrides"), 0, " accounts apart from their buckets, ");
    put(out, 0, figure(placement, "moves"), 0, " moves");
    if (json_is_true(json_object_get(placement, "learns"))) {
        figure_t const ten = {.v = 10, .known = true};
        coh_buf_printf(out, "; across shards ");
        put(out, 0, ratio(figure(placement, "across"), ten, 1), 1, " % now, ");
        put(out, 0, ratio(figure(placement, "across_before"), ten, 1), 1, " % before");
    }
    coh_buf_printf(out, "\naborted blocks  ");
    put(out, 0, figure(now, "aborted"), 0, "");
    coh_buf_printf(out, "\ndropped tx      ");
    put(out, 0, figure(now, "dropped"), 0, "");
    coh_buf_put_u8(out, '\n');
}

static void put_latencies(coh_buf_t *out, json_t const *root)
{
    static char const *const stages[] = {"settle", "prepare", "decide", "commit", "tx"};
    figure_t const ms                 = {.v = 1000, .known = true};
    json_t const *latency             = json_object_get(root, "latency_us");
    json_t const *recent              = json_object_get(root, "recent");
    json_t const *lately              = json_object_get(recent, "latency_us");
    coh_buf_printf(out, "\nlatency (ms)    last ");
    put(out, 2, figure(recent, "blocks"), 0, " blocks");
    coh_buf_printf(
        out, " %21s\n%24s %10s %10s %10s\n", "since the start", "p50", "p99", "p50", "p99");
    for (size_t i = 0; i < COH_CNT(stages); i++) {
        json_t const *of[] = {json_object_get(lately, stages[i]),
                              json_object_get(latency, stages[i])};
        coh_buf_printf(out, "  %-11s", stages[i]);
        for (size_t k = 0; k < COH_CNT(of); k++) {
            put(out, 11, ratio(figure(of[k], "p50"), ms, 1), 2, "");
            put(out, 11, ratio(figure(of[k], "p99"), ms, 1), 2, "");
        }
        coh_buf_put_u8(out, '\n');
    }
}

static json_t const *metrics_of(json_t const *root, size_t idx)
{
    return json_object_get(json_array_get(json_object_get(root, "ranks"), idx), "metrics");
}

static void put_ranks(coh_buf_t *out, json_t const *before, json_t const *after, double seconds)
{
    json_t const *ranks = json_object_get(after, "ranks");
    size_t const cnt    = COH_MIN(json_array_size(ranks), (size_t)RANKS_SHOWN_MAX);
    char const *tx      = coh_metric_name(COH_M_executor_tx);
    figure_t total      = {.v = 0, .known = true};
    for (size_t i = 0; i < cnt; i++) {
        total.v += rate(metrics_of(before, i), metrics_of(after, i), tx, seconds).v;
    }
    coh_buf_printf(out,
                   "\n%4s  %-11s %12s %9s %7s %7s %12s %12s %10s %10s\n",
                   "rank",
                   "role",
                   "tx",
                   "tx/s",
                   "load",
                   "runs/tx",
                   "retractions",
                   "remote",
                   "entries",
                   "resident");
    for (size_t i = 0; i < cnt; i++) {
        json_t const *rank = json_array_get(ranks, i);
        json_t const *now  = metrics_of(after, i);
        figure_t tx_rate   = rate(metrics_of(before, i), now, tx, seconds);
        coh_buf_t role     = COH_BUF_INIT;
        put_text(&role, rank, "role");
        put(out, 4, figure(rank, "rank"), 0, "");
        coh_buf_printf(out, "  %-11.*s ", (int)COH_MIN(role.n, (size_t)11), (char const *)role.p);
        coh_buf_free(&role);
        put(out, 12, figure(now, tx), 0, "");
        put(out, 10, tx_rate, 0, "");
        put(out, 8, ratio(tx_rate, total, 100), 1, " %");
        put(out,
            8,
            ratio(figure(now, coh_metric_name(COH_M_executor_incarnation)), figure(now, tx), 1),
            2,
            "");
        put(out, 13, figure(now, coh_metric_name(COH_M_mvstore_retraction)), 0, "");
        put(out, 13, figure(now, coh_metric_name(COH_M_mvstore_write_remote)), 0, "");
        put(out, 11, figure(now, coh_metric_name(COH_M_mvstore_entry)), 0, "");
        put_bytes(out, 11, figure(now, coh_metric_name(COH_M_process_resident)));
        coh_buf_put_u8(out, '\n');
    }
}

/* Asks once. text, if not NULL, gets the JSON as it came; problem, what is wrong, with an end of line. */
static coh_err_t ask(server_t const *server, sample_t *out, coh_buf_t *text, coh_buf_t *problem)
{
    coh_op_status_answer_t answer;
    coh_op_status_request_t const request = {.none_ = 0};
    coh_err_t rc                          = coh_client_status(server->client, &answer, &request);
    if (rc == COH_ETIMEOUT) {
        coh_buf_printf(problem,
                       "no answer from %s in %" PRIu64
                       " ms; is the cluster running, and is this its client-listen?\n",
                       server->addr,
                       server->timeout_ms);
        return rc;
    }
    if (rc != COH_OK) {
        coh_buf_printf(problem, "%s: %s\n", server->addr, coh_client_error(server->client));
        return rc;
    }
    json_error_t error;
    out->at_us = coh_clock_mono_us();
    out->root  = json_loadb((char const *)answer.json.p, answer.json.n, 0, &error);
    if (!json_is_object(out->root)) {
        json_decref(out->root);
        out->root = NULL;
        coh_buf_printf(problem, "%s: the answer is no JSON object\n", server->addr);
        return COH_EMALFORMED;
    }
    if (text != NULL) {
        coh_buf_put(text, answer.json.p, answer.json.n);
    }
    return COH_OK;
}

/* A signal makes the sample shorter: it is measured. */
static void sleep_a_second(void) { (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL); }

static void put_all(coh_buf_t *out, sample_t const *before, sample_t const *after)
{
    double seconds = (double)(after->at_us - before->at_us) / 1e6;
    put_head(out, after->root);
    put_totals(out, before->root, after->root, seconds);
    put_latencies(out, after->root);
    put_ranks(out, before->root, after->root, seconds);
}

static coh_err_t print(coh_buf_t const *text)
{
    return fwrite(text->p, 1, text->n, stdout) == text->n && fflush(stdout) == 0 ? COH_OK : COH_EIO;
}

/* Set by SIGINT and SIGTERM while watching. */
static volatile sig_atomic_t stopped;

static void on_signal(int signal_no)
{
    (void)signal_no;
    stopped = 1;
}

/* A system call that waits ends early: no SA_RESTART. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* One line for a program or a log. */
static void put_line(coh_buf_t *out, sample_t const *before, sample_t const *after)
{
    double seconds         = (double)(after->at_us - before->at_us) / 1e6;
    json_t const *old      = json_object_get(before->root, "totals");
    json_t const *now      = json_object_get(after->root, "totals");
    json_t const *late     = json_object_get(json_object_get(after->root, "recent"), "latency_us");
    json_t const *tx       = json_object_get(late, "tx");
    figure_t const ms      = {.v = 1000, .known = true};
    figure_t const rate_tx = rate(old, now, "tx", seconds);
    coh_buf_printf(out, "uptime_s=");
    put(out, 0, figure(after->root, "uptime_s"), 0, "");
    coh_buf_printf(out, " state=");
    put_text(out, after->root, "state");
    coh_buf_printf(out, " head=");
    put(out, 0, figure(json_object_get(after->root, "head"), "number"), 0, "");
    coh_buf_printf(out, " tx_s=");
    put(out, 0, rate_tx, 0, "");
    coh_buf_printf(out, " blocks_s=");
    put(out, 0, rate(old, now, "blocks", seconds), 1, "");
    coh_buf_printf(out, " cross_percent=");
    put(out, 0, ratio(rate(old, now, "tx_cross", seconds), rate_tx, 100), 1, "");
    coh_buf_printf(out, " p50_ms=");
    put(out, 0, ratio(figure(tx, "p50"), ms, 1), 2, "");
    coh_buf_printf(out, " p99_ms=");
    put(out, 0, ratio(figure(tx, "p99"), ms, 1), 2, "");
    coh_buf_printf(out, " pool=");
    put(out, 0, figure(json_object_get(after->root, "pool"), "tx"), 0, "");
    coh_buf_printf(out, " retractions=");
    put(out, 0, figure(now, "retractions"), 0, "");
    coh_buf_printf(out, " aborted=");
    put(out, 0, figure(now, "aborted"), 0, "");
    coh_buf_put_u8(out, '\n');
}

/* Shows how it is every second, until a signal comes or nobody reads it any more: on a terminal over the last picture, else a line. A cluster that does not answer
   may come back: it is asked again. */
static coh_err_t watch(server_t const *server)
{
    bool on_terminal  = isatty(STDOUT_FILENO) == 1;
    sample_t before   = {0};
    coh_buf_t text    = COH_BUF_INIT;
    coh_buf_t problem = COH_BUF_INIT;
    catch_signals();
    coh_err_t rc = on_terminal ? coh_screen_open() : COH_OK;
    while (rc == COH_OK && !stopped) {
        sample_t after = {0};
        coh_buf_clear(&problem);
        bool answered = ask(server, &after, NULL, &problem) == COH_OK;
        if (!answered && !stopped) {
            /* What was seen last stays on the screen, below the words. */
            coh_buf_t shown = COH_BUF_INIT;
            coh_buf_put(&shown, problem.p, problem.n);
            coh_buf_printf(&shown, "%s", on_terminal && text.n > 0 ? "It was:\n\n" : "");
            coh_buf_put(&shown, text.p, on_terminal ? text.n : 0);
            rc = on_terminal ? coh_screen_show(coh_buf_bytes(&shown)) : COH_OK;
            if (!on_terminal) {
                (void)fprintf(
                    stderr, "cohort status: %.*s", (int)problem.n, (char const *)problem.p);
            }
            coh_buf_free(&shown);
        } else if (answered && before.root != NULL) {
            coh_buf_clear(&text);
            if (on_terminal) {
                put_all(&text, &before, &after);
                rc = coh_screen_show(coh_buf_bytes(&text));
            } else {
                put_line(&text, &before, &after);
                rc = print(&text);
            }
        }
        json_decref(before.root);
        before = after;
        if (!stopped) {
            sleep_a_second();
        }
    }
    if (on_terminal && rc == COH_OK) {
        rc = coh_screen_close();
    }
    json_decref(before.root);
    coh_buf_free(&text);
    coh_buf_free(&problem);
    return rc;
}

/* Says on standard error what is wrong. */
static void complain(coh_buf_t *problem)
{
    if (problem->n > 0) {
        (void)fprintf(stderr, "cohort status: %.*s", (int)problem->n, (char const *)problem->p);
    }
    coh_buf_free(problem);
}

static coh_err_t show(server_t const *server, bool json, coh_buf_t *out)
{
    sample_t before   = {0};
    sample_t after    = {0};
    coh_buf_t problem = COH_BUF_INIT;
    coh_err_t rc      = ask(server, &before, json ? out : NULL, &problem);
    if (rc != COH_OK) {
        goto out;
    }
    if (json) {
        coh_buf_put_u8(out, '\n');
        goto out;
    }
    sleep_a_second();
    rc = ask(server, &after, NULL, &problem);
    if (rc != COH_OK) {
        goto out;
    }
    put_all(out, &before, &after);
out:
    complain(&problem);
    json_decref(before.root);
    json_decref(after.root);
    return rc;
}

int coh_cmd_status(int argc, char **argv)
{
    char const *connect    = "tcp://127.0.0.1:7545";
    uint64_t timeout_ms    = 5000;
    bool json              = false;
    bool watching          = false;
    coh_arg_t const args[] = {
        COH_ARG_STR_ROW(
            "connect", "ADDRESS", &connect, "nanomsg address of the cluster (its client-listen)"),
        COH_ARG_U64_ROW(
            "timeout-ms", "N", &timeout_ms, 1, 3600000, "how long to wait for an answer, in ms"),
        COH_ARG_FLAG_ROW(
            "watch",
            &watching,
            "show it anew every second, until interrupted; a line each if that is no terminal"),
        COH_ARG_FLAG_ROW("json", &json, "print the cluster's answer as JSON, without rates"),
    };
    coh_command_t const command = {
        .name     = "status",
        .about    = "Asks a running cluster what it is doing, and shows its head, throughput, "
                    "latencies, cross-shard share "
                    "and the load of each shard. Rates are taken over one second.",
        .examples = "  cohort status\n"
                    "  cohort status --watch\n"
                    "  cohort status --connect tcp://10.0.0.1:7545\n"
                    "  cohort status --json | jq .head.number\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code;
    if (coh_args_parse(&command, NULL, argc, argv, &exit_code) < 0) {
        return exit_code;
    }
    coh_client_options_t options = COH_CLIENT_OPTIONS_DEFAULT;
    options.timeout_ms           = (uint32_t)timeout_ms;
    server_t server              = {.addr = connect, .timeout_ms = timeout_ms};
    coh_buf_t text               = COH_BUF_INIT;
    if (coh_client_open(&server.client, connect, &options, &text) != COH_OK) {
        (void)fprintf(stderr, "cohort status: %.*s\n", (int)text.n, (char const *)text.p);
        coh_buf_free(&text);
        return COH_EXIT_FAILED;
    }
    coh_err_t rc = watching ? watch(&server) : show(&server, json, &text);
    if (rc == COH_OK) {
        rc = print(&text);
    }
    coh_buf_free(&text);
    coh_client_close(server.client);
    return rc == COH_OK ? COH_EXIT_OK : COH_EXIT_FAILED;
}
