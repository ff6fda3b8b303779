#include "common/base/hook.h"

#ifdef COH_DEEP_CHECKS

static coh_hook_fn *hook_fn;
static void *hook_arg;

void coh_hook_set(coh_hook_fn *fn, void *arg)
{
    hook_fn  = fn;
    hook_arg = arg;
}

bool coh_hook_call(char const *place) { return hook_fn != NULL && hook_fn(hook_arg, place); }

#else

typedef int coh_hook_translation_unit_is_not_empty;

#endif
