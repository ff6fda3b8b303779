/* statetest_report.h: results of official state tests as text or as lines of JSON. */
#ifndef COH_STATETEST_REPORT_H
#define COH_STATETEST_REPORT_H

#include "deploy/cohort/statetest_run.h"

#define COH_STATETEST_FORK_MAX 64u

/* Counts of one fork, by the name that files give it. */
typedef struct {
    char name[48];
    uint64_t passed;
    uint64_t failed;
} coh_statetest_count_t;

typedef struct {
    coh_statetest_count_t forks[COH_STATETEST_FORK_MAX];
    size_t fork_cnt;
    uint64_t passed;
    uint64_t failed;
    uint64_t unreadable; /* files */
} coh_statetest_totals_t;

void coh_statetest_count(coh_statetest_totals_t *totals, char const *fork_name, bool pass);
/* coh_statetest_add adds more to totals. */
void coh_statetest_add(coh_statetest_totals_t *totals, coh_statetest_totals_t const *more);

/* coh_statetest_report_case appends what is to be said of a case of the file path: a line of JSON, or as text, if it failed, why, where, and
   the command that repeats it with options. */
void coh_statetest_report_case(coh_buf_t *out,
                               bool json,
                               char const *path,
                               coh_statetest_case_t const *test,
                               coh_statetest_result_t const *result,
                               coh_statetest_options_t const *options);
/* The same for a file that could not be read. */
void coh_statetest_report_unreadable(coh_buf_t *out, bool json, char const *path, coh_bytes_t why);
/* The last line, or as text a table by fork. */
void coh_statetest_report_totals(coh_buf_t *out,
                                 bool json,
                                 coh_statetest_totals_t const *totals,
                                 uint64_t elapsed_us);

#endif
