/* cohort statetest: runs official state tests. Files are dealt out to threads one at a time; what there is to say of a file is printed in the order of
   files, whichever thread was first. */
#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/statetest_report.h"
#include "shard/sched.h"

#define JOBS_MAX 256u
/* How often the main thread looks after the others. */
#define WATCH_MS 200u

typedef struct {
    char **v;
    size_t cnt;
} paths_t;

/* What one thread is at. */
typedef struct {
    struct statetest *all;
    pthread_t thread;
    /* Under the lock: */
    char const *path; /* NULL: nothing */
    char id[256];     /* of the running case */
    uint64_t since_us;
    bool told; /* that it takes long */
} job_t;

/* What is said of one file. */
typedef struct {
    bool done;
    coh_buf_t text;
    coh_statetest_totals_t totals;
} answer_t;

typedef struct statetest {
    coh_statetest_select_t select;
    coh_statetest_options_t options;
    bool json;
    paths_t paths;
    answer_t *answers; /* by path */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next_idx;  /* path to be taken next */
    size_t shown_cnt; /* answers printed */
    coh_statetest_totals_t totals;
    uint64_t case_cnt; /* finished, for progress */
    uint64_t failed_cnt;
} statetest_t;

/* ---- Files ------------------------------------------------------------------------------------------------------------------ */

/* nftw hands no argument on. */
static paths_t *walk_paths;

static void add_path(paths_t *paths, char const *path)
{
    paths->v               = coh_realloc(paths->v, (paths->cnt + 1) * sizeof(*paths->v));
    paths->v[paths->cnt++] = coh_strdup(path);
}

static int add_entry(char const *path, struct stat const *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    size_t n = strlen(path);
    if (type == FTW_F && n > 5 && strcmp(path + n - 5, ".json") == 0) {
        add_path(walk_paths, path);
    }
    return 0;
}

static int compare_paths(void const *a, void const *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A file as it is, or all .json files below a folder in the order of their paths. */
static bool expand_path(paths_t *paths, char const *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        add_path(paths, path);
        return true;
    }
    size_t first = paths->cnt;
    walk_paths   = paths;
    if (nftw(path, add_entry, 16, 0) != 0) {
        return false;
    }
    if (paths->cnt > first) {
        qsort(paths->v + first, paths->cnt - first, sizeof(*paths->v), compare_paths);
    }
    return true;
}

/* ---- Threads ---------------------------------------------------------------------------------------------------------------- */

static void run_file(job_t *job, coh_statetest_runner_t *runner, answer_t *answer, char const *path)
{
    statetest_t *all = job->all;
    coh_statetest_file_t file;
    coh_buf_t err_text = COH_BUF_INIT;
    if (coh_statetest_load(&file, path, &all->select, &err_text) != COH_OK) {
        answer->totals.unreadable = 1;
        coh_statetest_report_unreadable(&answer->text, all->json, path, coh_buf_bytes(&err_text));
        file.case_cnt = 0;
    }
    for (size_t i = 0; i < file.case_cnt; i++) {
        coh_statetest_case_t const *test = &file.cases[i];
        (void)pthread_mutex_lock(&all->lock);
        (void)snprintf(job->id, sizeof(job->id), "%s", test->id);
        job->since_us = coh_clock_mono_us();
        job->told     = false;
        (void)pthread_mutex_unlock(&all->lock);

        coh_statetest_result_t result;
        coh_statetest_run(runner, &result, test);
        coh_statetest_count(&answer->totals, test->fork_name, result.pass);
        coh_statetest_report_case(&answer->text, all->json, path, test, &result, &all->options);
        (void)pthread_mutex_lock(&all->lock);
        all->case_cnt++;
        all->failed_cnt += !result.pass;
        (void)pthread_mutex_unlock(&all->lock);
        coh_statetest_result_free(&result);
    }
    coh_statetest_free(&file);
    coh_buf_free(&err_text);
}

static void *work(void *arg)
{
    job_t *job                     = arg;
    statetest_t *all               = job->all;
    coh_statetest_runner_t *runner = coh_statetest_runner_new(&all->options);
    (void)pthread_mutex_lock(&all->lock);
    while (all->next_idx < all->paths.cnt) {
        size_t idx    = all->next_idx++;
        job->path     = all->paths.v[idx];
        job->id[0]    = '\0';
        job->since_us = coh_clock_mono_us();
        (void)pthread_mutex_unlock(&all->lock);
        answer_t *answer = &all->answers[idx];
        run_file(job, runner, answer, job->path);
        (void)pthread_mutex_lock(&all->lock);
        job->path    = NULL;
        answer->done = true;
        (void)pthread_cond_signal(&all->changed);
    }
    (void)pthread_mutex_unlock(&all->lock);
    coh_statetest_runner_free(runner);
    return NULL;
}

/* ---- The main thread -------------------------------------------------------------------------------------------------------- */

/* Prints the answers whose turn it is; called with the lock held. */
static void show_answers(statetest_t *all)
{
    while (all->shown_cnt < all->paths.cnt && all->answers[all->shown_cnt].done) {
        answer_t *answer = &all->answers[all->shown_cnt++];
        (void)fwrite(answer->text.p, 1, answer->text.n, stdout);
        coh_statetest_add(&all->totals, &answer->totals);
        coh_buf_free(&answer->text);
    }
    (void)fflush(stdout);
}

static void show_progress(statetest_t const *all)
{
    (void)fprintf(stderr,
                  "\r%zu of %zu files, %" PRIu64 " cases, %" PRIu64 " failed ",
                  all->shown_cnt,
                  all->paths.cnt,
                  all->case_cnt,
                  all->failed_cnt);
}

static void tell_slow(statetest_t *all, job_t *jobs, size_t job_cnt)
{
    uint64_t now = coh_clock_mono_us();
    for (size_t i = 0; i < job_cnt; i++) {
        job_t *job = &jobs[i];
        if (job->path != NULL && !job->told && now - job->since_us > all->options.timeout_us) {
            job->told = true;
            (void)fprintf(stderr,
                          "cohort statetest: still running after %" PRIu64 " s: %s %s\n",
                          all->options.timeout_us / 1000000,
                          job->path,
                          job->id);
        }
    }
}

static void run_all(statetest_t *all, size_t job_cnt)
{
    bool progress = !all->json && all->options.trace == NULL && isatty(STDERR_FILENO) != 0;
    job_t *jobs   = coh_calloc(job_cnt, sizeof(*jobs));
    all->answers  = coh_calloc(all->paths.cnt, sizeof(*all->answers));
    for (size_t i = 0; i < job_cnt; i++) {
        jobs[i].all = all;
        int err     = pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
        COH_ASSERT(err == 0);
    }
    (void)pthread_mutex_lock(&all->lock);
    while (all->shown_cnt < all->paths.cnt) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)WATCH_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&all->changed, &all->lock, &until);
        show_answers(all);
        if (progress) {
            show_progress(all);
        }
        if (all->options.timeout_us != 0) {
            tell_slow(all, jobs, job_cnt);
        }
    }
    (void)pthread_mutex_unlock(&all->lock);
    for (size_t i = 0; i < job_cnt; i++) {
        (void)pthread_join(jobs[i].thread, NULL);
    }
    if (progress) {
        (void)fputs("\r\x1b[K", stderr);
    }
    free(jobs);
    free(all->answers);
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

static coh_err_t set_loop(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_evm_loop_t *loop = dst;
    if (strcmp(value, "fast") == 0) {
        *loop = COH_EVM_FAST;
    } else if (strcmp(value, "switch") == 0) {
        *loop = COH_EVM_SWITCH;
    } else {
        coh_buf_printf(err_text, "expected fast or switch");
        return COH_EINVAL;
    }
    return COH_OK;
}

static coh_err_t set_scheduler(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_sched_kind_t kind;
    if (coh_sched_kind_parse(&kind, value) != COH_OK) {
        coh_buf_printf(err_text, "expected optimistic, locking or sequential");
        return COH_EINVAL;
    }
    *(char const **)dst = coh_sched_kind_str(kind);
    return COH_OK;
}

static coh_err_t set_placement(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_statetest_layout_t *layout = dst;
    char rest;
    if (sscanf(value, "random:%" SCNu64 "%c", &layout->placement_seed, &rest) != 1) {
        coh_buf_printf(err_text, "expected random:SEED");
        return COH_EINVAL;
    }
    layout->has_placement = true;
    return COH_OK;
}

int coh_cmd_statetest(int argc, char **argv)
{
    static statetest_t all = {.lock    = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER};
    long cpu_cnt           = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t jobs          = cpu_cnt < 1 ? 1 : COH_MIN((uint64_t)cpu_cnt, JOBS_MAX);
    uint64_t timeout_s     = 0;
    bool trace             = false;
    char const *trace_file = NULL;

    coh_statetest_layout_t *layout = &all.options.layout;
    coh_arg_t const args[]         = {
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
                COH_ARG_U64_ROW("jobs", "N", &jobs, 1, JOBS_MAX, "files at a time; default: processors"),
                COH_ARG_U64_ROW(
            "timeout", "SECONDS", &timeout_s, 0, 86400, "longest time for a case; 0: any"),
                COH_ARG_FLAG_ROW("stutter",
                         &all.options.stutter,
                         "answer each first read of a key by 'not at hand': execution must "
                                 "resume and come to the same"),
                COH_ARG_CALL_ROW("loop",
                         "NAME",
                         set_loop,
                         &all.options.loop,
                         "interpreter: fast, or switch, which checks each instruction by itself"),
                COH_ARG_U64_ROW(
            "shards", "K", &layout->shards, 1, 1024, "run each case in a cluster of K shards"),
                COH_ARG_U64_ROW("threads", "T", &layout->threads, 1, 256, "with T worker threads each"),
                COH_ARG_CALL_ROW("scheduler",
                         "NAME",
                         set_scheduler,
                         &layout->scheduler,
                         "and this scheduler: optimistic, locking or sequential"),
                COH_ARG_CALL_ROW(
            "placement", "random:SEED", set_placement, layout, "and accounts placed by this seed"),
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
    if (at == argc) {
        (void)fprintf(stderr, "cohort statetest: no files; 'cohort statetest --help' explains\n");
        return COH_EXIT_USAGE;
    }
    bool in_cluster = layout->shards != 0 || layout->threads != 0 || layout->scheduler != NULL ||
                      layout->has_placement;
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
    for (int i = at; i < argc; i++) {
        if (!expand_path(&all.paths, argv[i])) {
            (void)fprintf(stderr, "cohort statetest: cannot read %s\n", argv[i]);
            exit_code = COH_EXIT_USAGE;
        }
    }
    uint64_t start = coh_clock_mono_us();
    if (exit_code == COH_EXIT_OK && all.paths.cnt != 0) {
        run_all(&all, (size_t)COH_MIN(jobs, all.paths.cnt));
    }
    coh_buf_t text = COH_BUF_INIT;
    coh_statetest_report_totals(&text, all.json, &all.totals, coh_clock_mono_us() - start);
    (void)fwrite(text.p, 1, text.n, stdout);
    coh_buf_free(&text);
    if (trace_file != NULL && fclose(all.options.trace) != 0) {
        (void)fprintf(stderr, "cohort statetest: cannot write %s\n", trace_file);
        exit_code = COH_EXIT_USAGE;
    }
    for (size_t i = 0; i < all.paths.cnt; i++) {
        free(all.paths.v[i]);
    }
    free(all.paths.v);
    if (exit_code == COH_EXIT_OK && all.totals.failed != 0) {
        exit_code = COH_EXIT_FAILED;
    }
    if (all.totals.unreadable != 0) {
        exit_code = COH_EXIT_USAGE;
    } else if (exit_code == COH_EXIT_OK && all.totals.passed == 0) {
        (void)fprintf(stderr, "cohort statetest: no case was selected\n");
        exit_code = COH_EXIT_USAGE;
    }
    return exit_code;
}
