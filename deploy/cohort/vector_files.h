/* vector_files.h: runs files of official tests on several threads. Files are dealt out one at a time; what there is to say of a file is printed in the order of
   files, whichever thread was first. Beside them one thread shows progress and tells of cases that take long. */
#ifndef COH_VECTOR_FILES_H
#define COH_VECTOR_FILES_H

#include "common/base/buf.h"
#include "deploy/cohort/statetest_report.h"

#define COH_VECTOR_JOBS_MAX 256u

/* What one thread is at. */
typedef struct coh_vector_job coh_vector_job_t;

/* To be called for each case of a file, before and after it. */
void coh_vector_case_begin(coh_vector_job_t *job, char const *id);
void coh_vector_case_end(coh_vector_job_t *job, bool pass);

typedef struct {
    char const *name; /* of the command, for what goes to standard error */
    void *arg;
    /* What one thread reuses from file to file. */
    void *(*worker_new)(void *arg);
    void (*worker_free)(void *worker);
    /* Runs the cases of a file; text and totals are empty. */
    void (*run_file)(void *arg,
                     void *worker,
                     coh_vector_job_t *job,
                     coh_buf_t *text,
                     coh_statetest_totals_t *totals,
                     char const *path);
    bool json;           /* totals as a line of JSON */
    bool progress;       /* on standard error, if it is a terminal */
    uint64_t timeout_us; /* cases that take longer are told of; 0: none */
    uint64_t job_cnt;    /* at the most, 1 to COH_VECTOR_JOBS_MAX */
} coh_vector_run_t;

/* The number of jobs that uses the processors of this machine. */
uint64_t coh_vector_jobs_default(void);

/* coh_vector_run runs the files that operands name, each as it is or all .json files below a folder in the order of their paths, and prints what they say and
   totals of it to standard output. One thread.
   Returns: the command's exit code: COH_EXIT_OK if all cases passed, COH_EXIT_FAILED if one did not, COH_EXIT_USAGE if something could not be read or there was
   no case, told on standard error */
int coh_vector_run(coh_vector_run_t const *run, char *const *operands, int operand_cnt);

#endif
