#include "common/base/alloc.h"

#include <stdlib.h>

#include "common/base/assert.h"

void *coh_calloc(size_t cnt, size_t size)
{
    void *p = calloc(cnt == 0 ? 1 : cnt, size == 0 ? 1 : size);
    COH_ASSERT(p != NULL);
    return p;
}

void *coh_realloc(void *p, size_t size)
{
    void *q = realloc(p, size == 0 ? 1 : size);
    COH_ASSERT(q != NULL);
    return q;
}

char *coh_strdup(char const *s)
{
    char *copy = strdup(s);
    COH_ASSERT(copy != NULL);
    return copy;
}
