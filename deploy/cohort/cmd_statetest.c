/* cohort statetest: runs official state tests. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/vector_files.h"

typedef struct {
    coh_statetest_select_t select;
    coh_statetest_options_t options;
    bool json;
} statetest_t;

static void *worker_new(void *arg)
{
    statetest_t const *all = arg;
    return coh_statetest_runner_new(&all->options);
}

static void worker_free(void *worker) { coh_statetest_runner_free(worker); }

static void run_file(void *arg,
                     void *worker,
                     coh_vector_job_t *job,
                     coh_buf_t *text,
                     coh_statetest_totals_t *totals,
                     char const *path)
{
    statetest_t const *all = arg;
    coh_statetest_file_t file;
    coh_buf_t err_text = COH_BUF_INIT;
    if (coh_statetest_load(&file, path, &all->select, &err_text) != COH_OK) {
        totals->unreadable = 1;
        coh_statetest_report_unreadable(text, all->json, path, coh_buf_bytes(&err_text));
        file.case_cnt = 0;
    }
    for (size_t i = 0; i < file.case_cnt; i++) {
        coh_statetest_case_t const *test = &file.cases[i];
        coh_statetest_result_t result;
        coh_vector_case_begin(job, test->id);
        coh_statetest_run(worker, &result, test);
        coh_statetest_count(totals, test->fork_name, result.pass);
        coh_statetest_report_case(text, all->json, path, test, &result, &all->options);
        coh_vector_case_end(job, result.pass);
        coh_statetest_result_free(&result);
    }
    coh_statetest_free(&file);
    coh_buf_free(&err_text);
}

/* ---- Options ---------------------------------------------------------------------------------------------------------------- */

static coh_err_t set_index(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_statetest_select_t *select = dst;
    char rest;
    if (sscanf(value,
               "%" SCNu32 "/%" SCNu32 "/%" SCNu32 "%c",
               &select->idx.data,
               &select->idx.gas,
               &select->idx.value,
               &rest) != 3) {
        coh_buf_printf(err_text, "expected DATA/GAS/VALUE, as in 0/1/0");
        return COH_EINVAL;
    }
    select->has_idx = true;
    return COH_OK;
}

static coh_err_t set_fork(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_fork_t fork;
    if (!coh_statetest_fork(&fork, value)) {
        coh_buf_printf(err_text, "expected a name as tests have it, as in Frontier, EIP158, Osaka");
        return COH_EINVAL;
    }
    *(char const **)dst = value;
    return COH_OK;
}

int coh_cmd_statetest(int argc, char **argv)
{
    static statetest_t all;
    uint64_t jobs          = coh_vector_jobs_default();
    uint64_t timeout_s     = 0;
    bool trace             = false;
    char const *trace_file = NULL;

    coh_vector_layout_t *layout = &all.options.layout;
    coh_arg_t const args[]      = {
             COH_ARG_CALL_ROW("fork", "NAME", set_fork, &all.select.fork, "only cases of this fork"),
             COH_ARG_STR_ROW("filter",
                        "TEXT",
                        &all.select.filter,
                        "only tests whose id holds this text, or matches it as an extended regular "
                             "expression"),
             COH_ARG_CALL_ROW("index",
                         "DATA/GAS/VALUE",
                         set_index,
                         &all.select,
                         "only cases with these elements of the transaction's arrays"),
             COH_ARG_FLAG_ROW("json", &all.json, "a line of JSON for each case, and one of totals"),
             COH_ARG_FLAG_ROW("trace",
                         &trace,
                         "write each instruction to standard error, as EIP-3155 has it; one job"),
             COH_ARG_STR_ROW("trace-file", "FILE", &trace_file, "the same to a file"),
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
             COH_VECTOR_LAYOUT_ROWS(layout),
    };
    coh_command_t const command = {
        .name     = "statetest",
        .operands = "PATH...",
        .about    = "Runs official Ethereum state tests: files, or all .json files below folders. "
                    "Each case is "
                    "one signed transaction on one state under one fork; it passes if the state root "
                    "and the hash of the logs are those that the file gives, and a transaction "
                    "that must be rejected is, for that reason. Failed cases are shown with what "
                    "differs and the command that "
                    "repeats them. Exits with 0 if all passed, 1 if one failed, 2 if a file could "
                    "not be read or no case was selected.",
        .examples = "  cohort statetest GeneralStateTests/stExample\n"
                    "  cohort statetest --fork Cancun --filter sstore --jobs 2 state_tests\n"
                    "  cohort statetest --trace --fork Osaka --index 0/0/0 add11.json\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    int at        = coh_args_parse(&command, NULL, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    bool in_cluster = coh_vector_layout_is_set(layout);
    if (in_cluster &&
        (trace || trace_file != NULL || all.options.stutter || all.options.loop != COH_EVM_FAST)) {
        (void)fprintf(stderr,
                      "cohort statetest: --trace, --stutter and --loop are for execution outside a "
                      "cluster\n");
        return COH_EXIT_USAGE;
    }
    (void)coh_log_init("error", ""); /* the ranks of a cluster have much to say */
    all.options.timeout_us = timeout_s * 1000000;
    if (trace || trace_file != NULL) {
        jobs              = 1;
        all.options.trace = trace_file == NULL ? stderr : fopen(trace_file, "w");
        if (all.options.trace == NULL) {
            (void)fprintf(stderr, "cohort statetest: cannot write %s\n", trace_file);
            return COH_EXIT_USAGE;
        }
    }
    coh_vector_run_t const run = {.name        = "statetest",
                                  .arg         = &all,
                                  .worker_new  = worker_new,
                                  .worker_free = worker_free,
                                  .run_file    = run_file,
                                  .json        = all.json,
                                  .progress    = !all.json && all.options.trace == NULL,
                                  .timeout_us  = all.options.timeout_us,
                                  .job_cnt     = jobs};
    exit_code                  = coh_vector_run(&run, argv + at, argc - at);
    if (trace_file != NULL && fclose(all.options.trace) != 0) {
        (void)fprintf(stderr, "cohort statetest: cannot write %s\n", trace_file);
        exit_code = COH_EXIT_USAGE;
    }
    return exit_code;
}
