/* alloc.h: allocation that cannot fail quietly. What may be large is bounded by configuration before it
   is allocated; an exhausted machine is then a reason to stop the rank (recovery replays), not a case to
   carry through every function. Release with free(). */
#ifndef COH_ALLOC_H
#define COH_ALLOC_H

#include "common/base/base.h"

/* Zeroed memory for cnt objects of size bytes each; never NULL. */
void *coh_calloc(size_t cnt, size_t size);
void *coh_realloc(void *p, size_t size);
/* coh_strdup copies a string; the caller frees it. */
char *coh_strdup(char const *s);

#endif
