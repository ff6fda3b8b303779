#include "deploy/cohort/blocktest_report.h"

#include <inttypes.h>

#include "deploy/cohort/report_text.h"

static void put_json_case(coh_buf_t *out,
                          char const *path,
                          coh_blocktest_case_t const *test,
                          coh_blocktest_result_t const *result)
{
    coh_buf_put_u8(out, '{');
    coh_report_json_member(out, "file", path);
    coh_report_json_member(out, "test", test->id);
    coh_report_json_member(out, "fork", test->network);
    coh_buf_printf(out, "\"pass\":%s,", result->pass ? "true" : "false");
    coh_report_json_hash(out, "expectedHead", &test->last_hash);
    coh_report_json_hash(out, "head", &result->head);
    coh_report_json_hash(out, "root", &result->root);
    coh_buf_printf(out,
                   "\"validBlocks\":%" PRIu32 ",\"invalidBlocks\":%" PRIu32 ",\"us\":%" PRIu64
                   ",\"error\":",
                   result->valid_cnt,
                   result->invalid_cnt,
                   result->elapsed_us);
    coh_report_json_text(out, (char const *)result->why.p, result->why.n);
    coh_buf_printf(out, "}\n");
}

void coh_blocktest_report_case(coh_buf_t *out,
                               bool json,
                               char const *path,
                               coh_blocktest_case_t const *test,
                               coh_blocktest_result_t const *result,
                               coh_blocktest_options_t const *options)
{
    if (json) {
        put_json_case(out, path, test, result);
        return;
    }
    if (result->pass) {
        return;
    }
    coh_buf_printf(out,
                   "FAILED %s, fork %s, %s\n  %.*s\n",
                   path,
                   test->network,
                   test->id,
                   (int)result->why.n,
                   (char const *)result->why.p);
    coh_report_lines(out, coh_buf_bytes(&result->diff));
    coh_buf_printf(out,
                   "  repeat: cohort blocktest%s%s%s",
                   options->loop == COH_EVM_SWITCH ? " --loop switch" : "",
                   options->stutter ? " --stutter" : "",
                   options->incremental ? " --incremental" : "");
    coh_vector_layout_put(out, &options->layout);
    coh_buf_printf(out, " --fork %s --filter ", test->network);
    coh_report_quoted(out, test->id);
    coh_buf_put_u8(out, ' ');
    coh_report_quoted(out, path);
    coh_buf_put_u8(out, '\n');
}
