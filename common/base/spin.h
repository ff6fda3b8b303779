/* spin.h: a lock for critical sections of a few dozen instructions. It yields the processor after some spinning, so that a holder
   that lost its core (ranks may outnumber cores) gets it back. */
#ifndef COH_SPIN_H
#define COH_SPIN_H

#include <sched.h>
#include <stdatomic.h>

#include "common/base/base.h"

typedef struct {
    atomic_flag held;
} coh_spin_t;

#define COH_SPIN_INIT  ((coh_spin_t){ATOMIC_FLAG_INIT})
#define COH_SPIN_TRIES 64

static inline void coh_spin_lock(coh_spin_t *lock)
{
    unsigned tries = 0;
    /* acquire: what the last holder wrote before its release is visible to us */
    while (atomic_flag_test_and_set_explicit(&lock->held, memory_order_acquire)) {
        if (++tries < COH_SPIN_TRIES) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        } else {
            tries = 0;
            (void)sched_yield();
        }
    }
}

static inline void coh_spin_unlock(coh_spin_t *lock)
{
    atomic_flag_clear_explicit(&lock->held, memory_order_release);
}

#endif
