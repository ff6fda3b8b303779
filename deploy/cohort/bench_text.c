#include "deploy/cohort/bench_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"

#define TERMINAL_INTERVAL_US UINT64_C(100000)
#define SPARSE_INTERVAL_US   UINT64_C(5000000)

void coh_bench_progress(bool final, char const *fmt, ...)
{
    static uint64_t shown_us; /* one thread, by contract */
    bool terminal = isatty(STDERR_FILENO) == 1;
    uint64_t now  = coh_clock_mono_us();
    if (shown_us == 0 && !terminal) {
        shown_us = now; /* short phases show only their end */
    }
    if (!final && now - shown_us < (terminal ? TERMINAL_INTERVAL_US : SPARSE_INTERVAL_US)) {
        return;
    }
    shown_us = now;
    if (terminal) {
        fputs("\r\033[K", stderr);
    }
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (final || !terminal) {
        fputc('\n', stderr);
    }
    fflush(stderr);
}

char const *coh_bench_group(char out[COH_BENCH_GROUP_SZ], uint64_t v)
{
    char digits[24];
    int n    = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
    char *at = out;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            *at++ = ',';
        }
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}
