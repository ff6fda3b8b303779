/* hook.h: named places at which a test may step in: to force one interleaving, or to plant a bug and see it caught. Empty unless
   built with COH_DEEP_CHECKS: production code has no switches. */
#ifndef COH_HOOK_H
#define COH_HOOK_H

#include "common/base/base.h"

#ifdef COH_DEEP_CHECKS

/* Called with the name of the place; returns true to make the code there skip what it would do. */
typedef bool coh_hook_fn(void *arg, char const *place);

/* coh_hook_set installs fn for the whole process (NULL removes it); set it before threads start. */
void coh_hook_set(coh_hook_fn *fn, void *arg);
bool coh_hook_call(char const *place);

#define COH_HOOK(place) coh_hook_call(place)

#else

#define COH_HOOK(place) false

#endif

#endif
