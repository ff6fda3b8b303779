#include "common/base/clock.h"

#include <time.h>

static uint64_t read_ns(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

uint64_t coh_clock_mono_us(void) { return read_ns(CLOCK_MONOTONIC) / 1000; }

uint64_t coh_clock_unix_us(void) { return read_ns(CLOCK_REALTIME) / 1000; }

uint64_t coh_clock_thread_cpu_ns(void) { return read_ns(CLOCK_THREAD_CPUTIME_ID); }

uint64_t coh_clock_process_cpu_ns(void) { return read_ns(CLOCK_PROCESS_CPUTIME_ID); }
