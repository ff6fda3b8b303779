/* bench_text.h: what the bench shows to people: one progress line, numbers with separators. */
#ifndef COH_BENCH_TEXT_H
#define COH_BENCH_TEXT_H

#include "common/base/base.h"

/* coh_bench_progress shows a line on standard error. On a terminal it replaces the one before until one is final; elsewhere a line is written every
   five seconds at most, and every final one. One thread. */
COH_PRINTF(2, 3) void coh_bench_progress(bool final, char const *fmt, ...);

/* coh_bench_group writes v with its thousands apart ("31,204"); returns out. */
#define COH_BENCH_GROUP_SZ 32
char const *coh_bench_group(char out[COH_BENCH_GROUP_SZ], uint64_t v);

#endif
