/* cohort blocktest: runs official blockchain tests. */
#include <stdio.h>
#include <string.h>

#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/blocktest_report.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/vector_files.h"

typedef struct {
    coh_blocktest_select_t select;
    coh_blocktest_options_t options;
    bool json;
} blocktest_t;

static void *worker_new(void *arg)
{
    blocktest_t const *all = arg;
    return coh_vector_layout_is_set(&all->options.layout) ? coh_blocktest_clustered(&all->options)
                                                          : coh_blocktest_sequential(&all->options);
}

static void worker_free(void *worker)
{
    coh_blocktest_engine_t *engine = worker;
    engine->free(engine);
}

static void run_file(void *arg,
                     void *worker,
                     coh_vector_job_t *job,
                     coh_buf_t *text,
                     coh_statetest_totals_t *totals,
                     char const *path)
{
    blocktest_t const *all = arg;
    coh_blocktest_file_t file;
    coh_buf_t err_text = COH_BUF_INIT;
    if (coh_blocktest_load(&file, path, &all->select, &err_text) != COH_OK) {
        totals->unreadable = 1;
        coh_statetest_report_unreadable(text, all->json, path, coh_buf_bytes(&err_text));
        file.case_cnt = 0;
    }
    for (size_t i = 0; i < file.case_cnt; i++) {
        coh_blocktest_case_t const *test = &file.cases[i];
        coh_blocktest_result_t result;
        coh_vector_case_begin(job, test->id);
        coh_blocktest_run(worker, &result, test, &all->options);
        coh_statetest_count(totals, test->network, result.pass);
        coh_blocktest_report_case(text, all->json, path, test, &result, &all->options);
        coh_vector_case_end(job, result.pass);
        coh_blocktest_result_free(&result);
    }
    coh_blocktest_free(&file);
    coh_buf_free(&err_text);
}

static coh_err_t set_network(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_schedule_t schedule;
    if (!coh_blocktest_network(&schedule, value, 1)) {
        coh_buf_printf(err_text,
                       "expected a name as tests have it, as in Frontier, CancunToPragueAtTime15k");
        return COH_EINVAL;
    }
    *(char const **)dst = value;
    return COH_OK;
}

int coh_cmd_blocktest(int argc, char **argv)
{
    static blocktest_t all;
    uint64_t jobs      = coh_vector_jobs_default();
    uint64_t timeout_s = 0;

    coh_arg_t const args[] = {
        COH_ARG_CALL_ROW("fork",
                         "NAME",
                         set_network,
                         &all.select.network,
                         "only cases of this fork or transition"),
        COH_ARG_STR_ROW("filter",
                        "TEXT",
                        &all.select.filter,
                        "only tests whose id holds this text, or matches it as an extended regular "
                        "expression"),
        COH_ARG_FLAG_ROW("json", &all.json, "a line of JSON for each case, and one of totals"),
        COH_ARG_U64_ROW(
            "jobs", "N", &jobs, 1, COH_VECTOR_JOBS_MAX, "files at a time; default: processors"),
        COH_ARG_U64_ROW(
            "timeout", "SECONDS", &timeout_s, 0, 86400, "longest time for a case; 0: any"),
        COH_ARG_FLAG_ROW("stutter",
                         &all.options.stutter,
                         "answer each first read of a key by 'not at hand': execution must "
                         "resume and come to the same"),
        COH_ARG_CALL_ROW("loop",
                         "NAME",
                         coh_vector_set_loop,
                         &all.options.loop,
                         "interpreter: fast, or switch, which checks each instruction by itself"),
        COH_ARG_FLAG_ROW("incremental",
                         &all.options.incremental,
                         "state roots from tries that are updated, not computed anew"),
        COH_VECTOR_LAYOUT_ROWS(&all.options.layout),
    };
    coh_command_t const command = {
        .name     = "blocktest",
        .operands = "PATH...",
        .about =
            "Runs official Ethereum blockchain tests: files, or all .json files below folders. "
            "Each case is a genesis and blocks, valid and invalid, on one branch or several, "
            "executed one after the other; it passes if every block that must be rejected "
            "is, for that reason, and no other, and if head and state afterwards are those "
            "that the file gives. Proof of work is not checked. Failed cases are shown with "
            "what differs and the command that repeats them. Exits with 0 if all passed, 1 "
            "if one failed, 2 if a file could not be read or no case was selected.",
        .examples =
            "  cohort blocktest BlockchainTests/ValidBlocks\n"
            "  cohort blocktest --fork PragueToOsakaAtTime15k blockchain_tests\n"
            "  cohort blocktest --shards 3 --threads 2 --placement random:1 blockchain_tests\n",
        .args    = args,
        .arg_cnt = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    int at        = coh_args_parse(&command, NULL, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    if (coh_vector_layout_is_set(&all.options.layout) &&
        (all.options.stutter || all.options.incremental || all.options.loop != COH_EVM_FAST)) {
        (void)fprintf(stderr,
                      "cohort blocktest: --stutter, --loop and --incremental are for execution "
                      "outside a cluster\n");
        return COH_EXIT_USAGE;
    }
    (void)coh_log_init("error", "");
    all.options.timeout_us     = timeout_s * 1000000;
    coh_vector_run_t const run = {.name        = "blocktest",
                                  .arg         = &all,
                                  .worker_new  = worker_new,
                                  .worker_free = worker_free,
                                  .run_file    = run_file,
                                  .json        = all.json,
                                  .progress    = !all.json,
                                  .timeout_us  = all.options.timeout_us,
                                  .job_cnt     = jobs};
    return coh_vector_run(&run, argv + at, argc - at);
}
