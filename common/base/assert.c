#include "common/base/assert.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic(coh_assert_hook_t *) assert_hook;

void coh_assert_set_hook(coh_assert_hook_t *hook) { atomic_store(&assert_hook, hook); }

void coh_assert_fail(char const *expr, char const *file, int line, char const *func)
{
    coh_assert_hook_t *hook = atomic_load(&assert_hook);
    if (hook != NULL) {
        hook(expr, file, line, func);
    }
    fprintf(stderr, "cohort: assertion failed: %s (%s:%d, %s)\n", expr, file, line, func);
    abort();
}
