#include "deploy/cohort/bench_report.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "deploy/cohort/bench_text.h"

coh_err_t coh_bench_stats_parse(coh_bench_stats_t *out, coh_bytes_t json, coh_buf_t *err_text)
{
    *out = (coh_bench_stats_t){0};
    json_error_t error;
    json_t *root  = json_loadb((char const *)json.p, json.n, 0, &error);
    json_t *ranks = json_object_get(root, "ranks");
    size_t cnt    = json_array_size(ranks);
    if (cnt < 2) {
        coh_buf_printf(err_text, "status: %s", root == NULL ? error.text : "no ranks");
        json_decref(root);
        return COH_EMALFORMED;
    }
    json_t const *burnt = json_object_get(json_object_get(root, "totals"), "burnt");
    if (!json_is_string(burnt) ||
        coh_u256_parse(&out->burnt, json_string_value(burnt), json_string_length(burnt)) !=
            COH_OK) {
        coh_buf_printf(err_text, "status: no totals.burnt");
        json_decref(root);
        return COH_EMALFORMED;
    }
    out->rank_cnt = (uint32_t)cnt;
    out->v        = coh_calloc(cnt, sizeof(*out->v));
    for (size_t rank = 0; rank < cnt; rank++) {
        json_t *metrics = json_object_get(json_array_get(ranks, rank), "metrics");
        for (int id = 0; id < COH_METRIC_CNT; id++) {
            json_t *value = json_object_get(metrics, coh_metric_name((coh_metric_id_t)id));
            if (json_is_integer(value)) {
                out->v[rank][id] = (uint64_t)json_integer_value(value);
            }
        }
    }
    json_decref(root);
    return COH_OK;
}

void coh_bench_stats_free(coh_bench_stats_t *stats)
{
    free(stats->v);
    *stats = (coh_bench_stats_t){0};
}

/* Growth of a rank's metric between two statuses. */
static uint64_t grown(coh_bench_stats_t const *from,
                      coh_bench_stats_t const *to,
                      uint32_t rank,
                      coh_metric_id_t id)
{
    uint64_t a = rank < from->rank_cnt ? from->v[rank][id] : 0;
    uint64_t b = rank < to->rank_cnt ? to->v[rank][id] : 0;
    return b > a ? b - a : 0;
}

static double total(coh_bench_report_t const *r, coh_metric_id_t id)
{
    double sum = 0;
    for (uint32_t rank = 0; rank < r->after.rank_cnt; rank++) {
        sum += (double)grown(&r->before, &r->after, rank, id);
    }
    return sum;
}

/* Rows of the cost table: where the cluster's CPU time went, recovery first. */
static struct {
    char const *key;
    char const *text;
    coh_metric_id_t metric;
} const stages[] = {
    {"recover", "signature recovery", COH_M_recover_signature_cpu},
    {"decode", "decode, hash", COH_M_recover_decode_cpu},
    {"admit", "admission to the pool", COH_M_coordinator_cpu_admit},
    {"order", "order into blocks", COH_M_coordinator_cpu_order},
    {"execute", "execute, publish", COH_M_executor_cpu},
    {"prepare", "prepare (redo records)", COH_M_participant_cpu_prepare},
    {"tries", "tries, state root", COH_M_tries_cpu},
    {"seal", "seal, receipts, decide", COH_M_coordinator_cpu_seal},
    {"disk", "disk threads", COH_M_disk_cpu},
};

typedef struct {
    double tx_cnt; /* at least 1, to divide by */
    double stage_us[COH_CNT(stages)];
    double rest_us; /* communication, sleep and wake-up, whatever no stage counts */
    double total_us;
    double besides_us; /* all but signature recovery */
    double rate;
    double idle_percent_max; /* of one core, busiest rank before the load; negative: not measured */
} figures_t;

static figures_t figures_of(coh_bench_report_t const *r)
{
    figures_t f  = {.tx_cnt = COH_MAX((double)r->counts.receipts, 1.0), .idle_percent_max = -1};
    double known = 0;
    for (size_t i = 0; i < COH_CNT(stages); i++) {
        f.stage_us[i] = total(r, stages[i].metric) / 1e3 / f.tx_cnt;
        known += f.stage_us[i];
    }
    f.total_us     = total(r, COH_M_process_cpu) / 1e3 / f.tx_cnt;
    f.rest_us      = COH_MAX(f.total_us - known, 0.0);
    f.besides_us   = f.total_us - f.stage_us[0];
    f.rate         = r->seconds > 0 ? (double)r->counts.receipts / r->seconds : 0;
    double span_ns = (double)(r->rested.taken_us - r->idle.taken_us) * 1e3;
    if (span_ns > 0) {
        for (uint32_t rank = 0; rank < r->rested.rank_cnt; rank++) {
            double percent =
                100.0 * (double)grown(&r->idle, &r->rested, rank, COH_M_process_cpu) / span_ns;
            f.idle_percent_max = COH_MAX(f.idle_percent_max, percent);
        }
    }
    return f;
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

bool coh_bench_report_ok(coh_bench_report_t const *report)
{
    for (int i = 0; i < COH_BENCH_CHECK_CNT; i++) {
        if (coh_bench_ledger_verdict(report->ledger, (coh_bench_check_t)i)->fault_cnt != 0) {
            return false;
        }
    }
    return report->counts.receipts > 0;
}

static char const *spot_str(coh_bench_spot_t spot)
{
    switch (spot) {
    case COH_BENCH_UNIFORM: return "uniform";
    case COH_BENCH_HOT_FROM: return "from";
    case COH_BENCH_HOT_TO: return "to";
    }
    return "?";
}

static void put_head(coh_buf_t *out, char const *title) { coh_buf_printf(out, "\n%s\n", title); }

#define ROW "  %-26s"

static void put_rank_row(coh_buf_t *out, coh_bench_report_t const *r)
{
    char text[COH_BENCH_GROUP_SZ];
    coh_buf_printf(out, ROW, "transactions per shard");
    for (uint32_t rank = 1; rank < r->after.rank_cnt; rank++) {
        uint64_t cnt = grown(&r->before, &r->after, rank, COH_M_executor_tx);
        coh_buf_printf(out,
                       "%s%s (%.1f %%)",
                       rank == 1 ? "" : ", ",
                       coh_bench_group(text, cnt),
                       100.0 * ratio((double)cnt, total(r, COH_M_executor_tx)));
    }
    coh_buf_put_u8(out, '\n');
}

void coh_bench_report_text(coh_buf_t *out, coh_bench_report_t const *r)
{
    figures_t f = figures_of(r);
    char a[COH_BENCH_GROUP_SZ];
    char b[COH_BENCH_GROUP_SZ];
    double blocks = total(r, COH_M_chain_block);

    coh_buf_printf(out,
                   "\nCohort: signed transfers, 1 coordinator + %u shards, %u cores, %s traffic "
                   "over %s accounts\n",
                   r->after.rank_cnt - 1,
                   r->core_cnt,
                   r->spot == COH_BENCH_UNIFORM    ? "even"
                   : r->spot == COH_BENCH_HOT_FROM ? "one-sender"
                                                   : "one-receiver",
                   coh_bench_group(a, r->account_cnt));

    put_head(out, "Throughput");
    coh_buf_printf(out, ROW "%s tx/s\n", "end to end", coh_bench_group(a, (uint64_t)f.rate));
    coh_buf_printf(out,
                   ROW "%s transactions in %.1f s\n",
                   "committed",
                   coh_bench_group(a, r->counts.receipts),
                   r->seconds);
    coh_buf_printf(out,
                   ROW "%s senders/s on %u cores\n",
                   "libsecp256k1 alone",
                   coh_bench_group(a, (uint64_t)r->recover_rate),
                   r->core_cnt);
    coh_buf_printf(out, ROW "%.2f\n", "ratio of the two", ratio(f.rate, r->recover_rate));

    put_head(out, "Latency (submission to durable receipt)");
    coh_buf_printf(out, ROW "%.1f ms\n", "p50", coh_bench_ledger_latency(r->ledger, 0.50) / 1e3);
    coh_buf_printf(out, ROW "%.1f ms\n", "p99", coh_bench_ledger_latency(r->ledger, 0.99) / 1e3);
    coh_buf_printf(out, ROW "%.1f ms\n", "longest", coh_bench_ledger_latency(r->ledger, 1.0) / 1e3);

    put_head(out, "Work");
    coh_buf_printf(
        out, ROW "%.1f %%\n", "cross-shard share", 100.0 * ratio((double)r->cross_cnt, f.tx_cnt));
    put_rank_row(out, r);
    coh_buf_printf(out,
                   ROW "%s, %.0f transactions each\n",
                   "blocks",
                   coh_bench_group(a, (uint64_t)blocks),
                   ratio((double)r->counts.receipts, blocks));
    coh_buf_printf(out,
                   ROW "%s aborted blocks, %.2f settlement waves a block\n",
                   "",
                   coh_bench_group(a, (uint64_t)total(r, COH_M_chain_block_aborted)),
                   ratio(total(r, COH_M_chain_wave), blocks));
    coh_buf_printf(out,
                   ROW "%s (%.4f incarnations a transaction)\n",
                   "retractions",
                   coh_bench_group(a, (uint64_t)total(r, COH_M_mvstore_retraction)),
                   ratio(total(r, COH_M_executor_incarnation), total(r, COH_M_executor_tx)));
    double changed = total(r, COH_M_tries_account) + total(r, COH_M_tries_slot);
    double busy    = total(r, COH_M_tries_busy);
    coh_buf_printf(out,
                   ROW "%.2f accounts and slots changed a transaction, %.2f core-us each\n",
                   "state roots",
                   changed / f.tx_cnt,
                   ratio(total(r, COH_M_tries_cpu) / 1e3, changed));
    coh_buf_printf(out,
                   ROW "%.1f ms after settlement; %.0f %% of that while the next block executed\n",
                   "",
                   ratio(busy / 1e6, total(r, COH_M_participant_vote_yes)),
                   100.0 * ratio(total(r, COH_M_tries_overlap), busy));
    coh_buf_printf(out,
                   ROW "%.0f bytes, %.4f messages a transaction\n",
                   "between ranks",
                   total(r, COH_M_net_sent) / f.tx_cnt,
                   total(r, COH_M_net_message_sent) / f.tx_cnt);
    coh_buf_printf(out,
                   ROW "%s answers busy (tried again), %s publications fetched again\n",
                   "back-pressure",
                   coh_bench_group(a, r->busy_cnt),
                   coh_bench_group(b, r->gap_cnt));

    put_head(out, "Cost: core-microseconds per transaction, all ranks, load generator not counted");
    for (size_t i = 0; i < COH_CNT(stages); i++) {
        coh_buf_printf(out, ROW "%7.2f\n", stages[i].text, f.stage_us[i]);
    }
    coh_buf_printf(out, ROW "%7.2f\n", "communication, the rest", f.rest_us);
    coh_buf_printf(out, ROW "%7.2f\n", "in all", f.total_us);
    coh_buf_printf(out, ROW "%7.2f\n", "besides recovery", f.besides_us);
    if (f.idle_percent_max >= 0) {
        coh_buf_printf(
            out, ROW "%7.2f %% of a core, busiest rank\n", "at rest", f.idle_percent_max);
    }

    put_head(out, "Checks");
    for (int i = 0; i < COH_BENCH_CHECK_CNT; i++) {
        coh_bench_verdict_t const *v = coh_bench_ledger_verdict(r->ledger, (coh_bench_check_t)i);
        coh_buf_printf(out,
                       "  %-6s  %s\n",
                       v->fault_cnt == 0 ? "ok" : "FAILED",
                       coh_bench_check_str((coh_bench_check_t)i));
        if (v->fault_cnt != 0) {
            coh_buf_printf(
                out, "          %s faults, the first of them:\n", coh_bench_group(a, v->fault_cnt));
            coh_buf_put(out, v->text.p, v->text.n);
        }
    }
    coh_buf_printf(out,
                   "  %s sent, %s taken, ",
                   coh_bench_group(a, r->counts.sent),
                   coh_bench_group(b, r->counts.taken));
    coh_buf_printf(out,
                   "%s refused, %s dropped\n\n%s\n",
                   coh_bench_group(a, r->counts.refused),
                   coh_bench_group(b, r->counts.dropped),
                   coh_bench_report_ok(r) ? "All checks hold." : "CHECKS FAILED.");
}

void coh_bench_report_json(coh_buf_t *out, coh_bench_report_t const *r)
{
    figures_t f    = figures_of(r);
    double blocks  = total(r, COH_M_chain_block);
    json_t *shards = json_array();
    for (uint32_t rank = 1; rank < r->after.rank_cnt; rank++) {
        json_array_append_new(
            shards,
            json_integer((json_int_t)grown(&r->before, &r->after, rank, COH_M_executor_tx)));
    }
    json_t *cost = json_object();
    for (size_t i = 0; i < COH_CNT(stages); i++) {
        json_object_set_new(cost, stages[i].key, json_real(f.stage_us[i]));
    }
    json_object_set_new(cost, "rest", json_real(f.rest_us));
    json_object_set_new(cost, "total", json_real(f.total_us));
    json_object_set_new(cost, "besides_recovery", json_real(f.besides_us));
    json_t *checks                                           = json_object();
    static char const *const check_keys[COH_BENCH_CHECK_CNT] = {
        "receipts", "fields", "nonces", "balances", "supply"};
    for (int i = 0; i < COH_BENCH_CHECK_CNT; i++) {
        json_object_set_new(
            checks,
            check_keys[i],
            json_integer(
                (json_int_t)coh_bench_ledger_verdict(r->ledger, (coh_bench_check_t)i)->fault_cnt));
    }
    json_t *root =
        json_pack("{s:b, s:s, s:I, s:I, s:i, s:i, s:i, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:f, "
                  "s:I, s:I, s:I, s:f, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:I, "
                  "s:I, s:o, s:o}",
                  "ok",
                  coh_bench_report_ok(r),
                  "hot",
                  spot_str(r->spot),
                  "seed",
                  (json_int_t)r->seed,
                  "accounts",
                  (json_int_t)r->account_cnt,
                  "cores",
                  (int)r->core_cnt,
                  "shards",
                  (int)r->after.rank_cnt - 1,
                  "cross_percent_asked",
                  (int)r->cross_percent,
                  "seconds",
                  r->seconds,
                  "sent",
                  (json_int_t)r->counts.sent,
                  "committed",
                  (json_int_t)r->counts.receipts,
                  "refused",
                  (json_int_t)r->counts.refused,
                  "dropped",
                  (json_int_t)r->counts.dropped,
                  "tx_per_second",
                  f.rate,
                  "recover_per_second",
                  r->recover_rate,
                  "recover_ratio",
                  ratio(f.rate, r->recover_rate),
                  "latency_us_p50",
                  (json_int_t)coh_bench_ledger_latency(r->ledger, 0.50),
                  "latency_us_p99",
                  (json_int_t)coh_bench_ledger_latency(r->ledger, 0.99),
                  "latency_us_max",
                  (json_int_t)coh_bench_ledger_latency(r->ledger, 1.0),
                  "cross_share",
                  ratio((double)r->cross_cnt, f.tx_cnt),
                  "tx_per_shard",
                  shards,
                  "blocks",
                  blocks,
                  "tx_per_block",
                  ratio((double)r->counts.receipts, blocks),
                  "retractions",
                  total(r, COH_M_mvstore_retraction),
                  "bytes_per_tx",
                  total(r, COH_M_net_sent) / f.tx_cnt,
                  "messages_per_tx",
                  total(r, COH_M_net_message_sent) / f.tx_cnt,
                  "idle_core_percent_max",
                  f.idle_percent_max,
                  "busy",
                  (json_int_t)r->busy_cnt,
                  "publications_fetched",
                  (json_int_t)r->gap_cnt,
                  "core_us_per_tx",
                  cost,
                  "check_faults",
                  checks);
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    coh_buf_printf(out, "%s\n", text);
    free(text);
    json_decref(root);
}
