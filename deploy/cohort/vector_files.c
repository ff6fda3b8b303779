#include "deploy/cohort/vector_files.h"

#include <errno.h>
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
#include "deploy/cohort/args.h"

/* How often the main thread looks after the others. */
#define WATCH_MS 200u

/* What is said of one file. */
typedef struct {
    bool done;
    coh_buf_t text;
    coh_statetest_totals_t totals;
} answer_t;

typedef struct {
    char **v;
    size_t cnt;
} paths_t;

typedef struct {
    coh_vector_run_t const *run;
    paths_t const *paths;
    coh_statetest_totals_t *totals;
    answer_t *answers; /* by path */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t next_idx;   /* path to be taken next */
    size_t shown_cnt;  /* answers printed */
    uint64_t case_cnt; /* finished, for progress */
    uint64_t failed_cnt;
} pool_t;

struct coh_vector_job {
    pool_t *pool;
    pthread_t thread;
    /* Under the lock: */
    char const *path; /* NULL: nothing */
    char id[256];     /* of the running case */
    uint64_t since_us;
    bool told; /* that it takes long */
};

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

/* Appends a file, or all below a folder. False: there is no such thing. */
static bool add_operand(paths_t *paths, char const *path)
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

static void free_paths(paths_t *paths)
{
    for (size_t i = 0; i < paths->cnt; i++) {
        free(paths->v[i]);
    }
    free(paths->v);
}

/* ---- Threads ---------------------------------------------------------------------------------------------------------------- */

void coh_vector_case_begin(coh_vector_job_t *job, char const *id)
{
    (void)pthread_mutex_lock(&job->pool->lock);
    (void)snprintf(job->id, sizeof(job->id), "%s", id);
    job->since_us = coh_clock_mono_us();
    job->told     = false;
    (void)pthread_mutex_unlock(&job->pool->lock);
}

void coh_vector_case_end(coh_vector_job_t *job, bool pass)
{
    (void)pthread_mutex_lock(&job->pool->lock);
    job->pool->case_cnt++;
    job->pool->failed_cnt += !pass;
    (void)pthread_mutex_unlock(&job->pool->lock);
}

static void *work(void *arg)
{
    coh_vector_job_t *job       = arg;
    pool_t *pool                = job->pool;
    coh_vector_run_t const *run = pool->run;
    void *worker                = run->worker_new(run->arg);
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->next_idx < pool->paths->cnt) {
        size_t idx    = pool->next_idx++;
        job->path     = pool->paths->v[idx];
        job->id[0]    = '\0';
        job->since_us = coh_clock_mono_us();
        (void)pthread_mutex_unlock(&pool->lock);
        answer_t *answer = &pool->answers[idx];
        run->run_file(run->arg, worker, job, &answer->text, &answer->totals, job->path);
        (void)pthread_mutex_lock(&pool->lock);
        job->path    = NULL;
        answer->done = true;
        (void)pthread_cond_signal(&pool->changed);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    run->worker_free(worker);
    return NULL;
}

/* ---- The main thread -------------------------------------------------------------------------------------------------------- */

/* Prints the answers whose turn it is; called with the lock held. */
static void show_answers(pool_t *pool)
{
    while (pool->shown_cnt < pool->paths->cnt && pool->answers[pool->shown_cnt].done) {
        answer_t *answer = &pool->answers[pool->shown_cnt++];
        (void)fwrite(answer->text.p, 1, answer->text.n, stdout);
        coh_statetest_add(pool->totals, &answer->totals);
        coh_buf_free(&answer->text);
    }
    (void)fflush(stdout);
}

static void show_progress(pool_t const *pool)
{
    (void)fprintf(stderr,
                  "\r%zu of %zu files, %" PRIu64 " cases, %" PRIu64 " failed ",
                  pool->shown_cnt,
                  pool->paths->cnt,
                  pool->case_cnt,
                  pool->failed_cnt);
}

static void tell_slow(pool_t const *pool, coh_vector_job_t *jobs, size_t job_cnt)
{
    uint64_t now = coh_clock_mono_us();
    for (size_t i = 0; i < job_cnt; i++) {
        coh_vector_job_t *job = &jobs[i];
        if (job->path != NULL && !job->told && now - job->since_us > pool->run->timeout_us) {
            job->told = true;
            (void)fprintf(stderr,
                          "cohort %s: still running after %" PRIu64 " s: %s %s\n",
                          pool->run->name,
                          pool->run->timeout_us / 1000000,
                          job->path,
                          job->id);
        }
    }
}

static void run_all(coh_vector_run_t const *run,
                    paths_t const *paths,
                    coh_statetest_totals_t *totals)
{
    bool progress          = run->progress && isatty(STDERR_FILENO) != 0;
    size_t job_cnt         = (size_t)COH_MIN(run->job_cnt, paths->cnt);
    coh_vector_job_t *jobs = coh_calloc(job_cnt, sizeof(*jobs));
    pool_t pool            = {.run     = run,
                              .paths   = paths,
                              .totals  = totals,
                              .answers = coh_calloc(paths->cnt + 1, sizeof(*pool.answers)),
                              .lock    = PTHREAD_MUTEX_INITIALIZER,
                              .changed = PTHREAD_COND_INITIALIZER};
    for (size_t i = 0; i < job_cnt; i++) {
        jobs[i].pool = &pool;
        int err      = pthread_create(&jobs[i].thread, NULL, work, &jobs[i]);
        COH_ASSERT(err == 0);
    }
    (void)pthread_mutex_lock(&pool.lock);
    while (pool.shown_cnt < paths->cnt) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)WATCH_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&pool.changed, &pool.lock, &until);
        show_answers(&pool);
        if (progress) {
            show_progress(&pool);
        }
        if (run->timeout_us != 0) {
            tell_slow(&pool, jobs, job_cnt);
        }
    }
    (void)pthread_mutex_unlock(&pool.lock);
    for (size_t i = 0; i < job_cnt; i++) {
        (void)pthread_join(jobs[i].thread, NULL);
    }
    if (progress) {
        (void)fputs("\r\x1b[K", stderr);
    }
    free(jobs);
    free(pool.answers);
}

/* ---- The command ------------------------------------------------------------------------------------------------------------ */

uint64_t coh_vector_jobs_default(void)
{
    long cpu_cnt = sysconf(_SC_NPROCESSORS_ONLN);
    return cpu_cnt < 1 ? 1 : COH_MIN((uint64_t)cpu_cnt, COH_VECTOR_JOBS_MAX);
}

int coh_vector_run(coh_vector_run_t const *run, char *const *operands, int operand_cnt)
{
    if (operand_cnt == 0) {
        (void)fprintf(
            stderr, "cohort %s: no files; 'cohort %s --help' explains\n", run->name, run->name);
        return COH_EXIT_USAGE;
    }
    uint64_t start                = coh_clock_mono_us();
    paths_t paths                 = {0};
    coh_statetest_totals_t totals = {.fork_cnt = 0};
    for (int i = 0; i < operand_cnt; i++) {
        if (!add_operand(&paths, operands[i])) {
            (void)fprintf(
                stderr, "cohort %s: cannot read %s: %s\n", run->name, operands[i], strerror(errno));
            totals.unreadable++;
        }
    }
    if (totals.unreadable == 0 && paths.cnt != 0) {
        run_all(run, &paths, &totals);
    }
    free_paths(&paths);
    coh_buf_t text = COH_BUF_INIT;
    coh_statetest_report_totals(&text, run->json, &totals, coh_clock_mono_us() - start);
    (void)fwrite(text.p, 1, text.n, stdout);
    coh_buf_free(&text);
    if (totals.unreadable != 0) {
        return COH_EXIT_USAGE;
    }
    if (totals.passed + totals.failed == 0) {
        (void)fprintf(stderr, "cohort %s: no case was selected\n", run->name);
        return COH_EXIT_USAGE;
    }
    return totals.failed != 0 ? COH_EXIT_FAILED : COH_EXIT_OK;
}
