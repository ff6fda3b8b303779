#include "deploy/cohort/statetest_report.h"

#include <inttypes.h>

#include "common/base/assert.h"
#include "deploy/cohort/report_text.h"

static coh_statetest_count_t *count_of(coh_statetest_totals_t *totals, char const *name)
{
    for (size_t i = 0; i < totals->fork_cnt; i++) {
        if (strcmp(totals->forks[i].name, name) == 0) {
            return &totals->forks[i];
        }
    }
    COH_ASSERT(totals->fork_cnt < COH_STATETEST_FORK_MAX);
    coh_statetest_count_t *count = &totals->forks[totals->fork_cnt++];
    (void)snprintf(count->name, sizeof(count->name), "%s", name);
    return count;
}

void coh_statetest_count(coh_statetest_totals_t *totals, char const *fork_name, bool pass)
{
    coh_statetest_count_t *count = count_of(totals, fork_name);
    count->passed += pass;
    count->failed += !pass;
    totals->passed += pass;
    totals->failed += !pass;
}

void coh_statetest_add(coh_statetest_totals_t *totals, coh_statetest_totals_t const *more)
{
    for (size_t i = 0; i < more->fork_cnt; i++) {
        coh_statetest_count_t *count = count_of(totals, more->forks[i].name);
        count->passed += more->forks[i].passed;
        count->failed += more->forks[i].failed;
    }
    totals->passed += more->passed;
    totals->failed += more->failed;
    totals->unreadable += more->unreadable;
}

/* ---- Cases ----------------------------------------------------------------------------------------------------------------------- */

static void put_command(coh_buf_t *out,
                        char const *path,
                        coh_statetest_case_t const *test,
                        coh_statetest_options_t const *options)
{
    coh_buf_printf(out,
                   "cohort statetest%s%s",
                   options->loop == COH_EVM_SWITCH ? " --loop switch" : "",
                   options->stutter ? " --stutter" : "");
    coh_vector_layout_put(out, &options->layout);
    coh_buf_printf(out,
                   " --fork %s --index %" PRIu32 "/%" PRIu32 "/%" PRIu32 " --filter ",
                   test->fork_name,
                   test->idx.data,
                   test->idx.gas,
                   test->idx.value);
    coh_report_quoted(out, test->id);
    coh_buf_put_u8(out, ' ');
    coh_report_quoted(out, path);
}

static void put_json_case(coh_buf_t *out,
                          char const *path,
                          coh_statetest_case_t const *test,
                          coh_statetest_result_t const *result)
{
    coh_buf_put_u8(out, '{');
    coh_report_json_member(out, "file", path);
    coh_report_json_member(out, "test", test->id);
    coh_report_json_member(out, "fork", test->fork_name);
    coh_buf_printf(out,
                   "\"index\":{\"data\":%" PRIu32 ",\"gas\":%" PRIu32 ",\"value\":%" PRIu32
                   "},\"pass\":%s,",
                   test->idx.data,
                   test->idx.gas,
                   test->idx.value,
                   result->pass ? "true" : "false");
    coh_report_json_hash(out, "expectedRoot", &test->root);
    coh_report_json_hash(out, "root", &result->root);
    coh_report_json_hash(out, "expectedLogsHash", &test->logs_hash);
    coh_report_json_hash(out, "logsHash", &result->logs_hash);
    if (result->err != COH_TX_OK) {
        coh_report_json_member(out, "rejected", coh_tx_err_str(result->err));
    }
    coh_buf_printf(out,
                   "\"gasUsed\":%" PRIu64 ",\"us\":%" PRIu64 ",\"error\":",
                   result->gas_used,
                   result->elapsed_us);
    coh_report_json_text(out, (char const *)result->why.p, result->why.n);
    coh_buf_printf(out, "}\n");
}

void coh_statetest_report_case(coh_buf_t *out,
                               bool json,
                               char const *path,
                               coh_statetest_case_t const *test,
                               coh_statetest_result_t const *result,
                               coh_statetest_options_t const *options)
{
    if (json) {
        put_json_case(out, path, test, result);
        return;
    }
    if (result->pass) {
        return;
    }
    coh_buf_printf(out,
                   "FAILED %s, fork %s, index %" PRIu32 "/%" PRIu32 "/%" PRIu32 ", %s\n  %.*s\n",
                   path,
                   test->fork_name,
                   test->idx.data,
                   test->idx.gas,
                   test->idx.value,
                   test->id,
                   (int)result->why.n,
                   (char const *)result->why.p);
    coh_report_lines(out, coh_buf_bytes(&result->diff));
    coh_buf_printf(out, "  repeat: ");
    put_command(out, path, test, options);
    coh_buf_put_u8(out, '\n');
}

void coh_statetest_report_unreadable(coh_buf_t *out, bool json, char const *path, coh_bytes_t why)
{
    if (json) {
        coh_buf_put_u8(out, '{');
        coh_report_json_member(out, "file", path);
        coh_buf_printf(out, "\"pass\":false,\"error\":");
        coh_report_json_text(out, (char const *)why.p, why.n);
        coh_buf_printf(out, "}\n");
    } else {
        coh_buf_printf(out, "UNREADABLE %s\n  %.*s\n", path, (int)why.n, (char const *)why.p);
    }
}

void coh_statetest_report_totals(coh_buf_t *out,
                                 bool json,
                                 coh_statetest_totals_t const *totals,
                                 uint64_t elapsed_us)
{
    double seconds = (double)elapsed_us / 1e6;
    if (json) {
        coh_buf_printf(out,
                       "{\"passed\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"unreadable\":%" PRIu64
                       ",\"seconds\":%.3f,\"forks\":{",
                       totals->passed,
                       totals->failed,
                       totals->unreadable,
                       seconds);
        for (size_t i = 0; i < totals->fork_cnt; i++) {
            coh_statetest_count_t const *c = &totals->forks[i];
            coh_buf_printf(out,
                           "%s\"%s\":{\"passed\":%" PRIu64 ",\"failed\":%" PRIu64 "}",
                           i == 0 ? "" : ",",
                           c->name,
                           c->passed,
                           c->failed);
        }
        coh_buf_printf(out, "}}\n");
        return;
    }
    coh_buf_printf(out, "%-30s %9s %9s\n", "fork", "passed", "failed");
    for (size_t i = 0; i < totals->fork_cnt; i++) {
        coh_statetest_count_t const *c = &totals->forks[i];
        coh_buf_printf(out, "%-30s %9" PRIu64 " %9" PRIu64 "\n", c->name, c->passed, c->failed);
    }
    coh_buf_printf(out,
                   "%" PRIu64 " cases passed, %" PRIu64 " failed, %" PRIu64
                   " files unreadable; %.1f s\n",
                   totals->passed,
                   totals->failed,
                   totals->unreadable,
                   seconds);
}
