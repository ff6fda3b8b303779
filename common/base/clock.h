/* clock.h: time as numbers. Protocol code is handed the time; only adapters and measurements call these. */
#ifndef COH_CLOCK_H
#define COH_CLOCK_H

#include "common/base/base.h"

/* Monotonic microseconds since some fixed point of this machine's boot. */
uint64_t coh_clock_mono_us(void);
/* Unix time in microseconds. */
uint64_t coh_clock_unix_us(void);
/* CPU time used by the calling thread, by this process, in nanoseconds. */
uint64_t coh_clock_thread_cpu_ns(void);
uint64_t coh_clock_process_cpu_ns(void);

#endif
