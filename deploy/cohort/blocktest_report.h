/* blocktest_report.h: results of official blockchain tests as text or as lines of JSON. Totals and files that cannot be read: statetest_report.h. */
#ifndef COH_BLOCKTEST_REPORT_H
#define COH_BLOCKTEST_REPORT_H

#include "deploy/cohort/blocktest_run.h"

/* coh_blocktest_report_case appends what is to be said of a case of the file path: a line of JSON, or as text, if it failed, why, where, and
   the command that repeats it with options. */
void coh_blocktest_report_case(coh_buf_t *out,
                               bool json,
                               char const *path,
                               coh_blocktest_case_t const *test,
                               coh_blocktest_result_t const *result,
                               coh_blocktest_options_t const *options);

#endif
