#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

void coh_buf_grow(coh_buf_t *buf, size_t extra)
{
    COH_ASSERT(extra <= SIZE_MAX / 4 - buf->n);
    size_t want = buf->n + extra;
    size_t cap  = buf->cap == 0 ? 256 : buf->cap;
    while (cap < want) {
        cap *= 2;
    }
    if (cap > buf->cap) {
        buf->p   = coh_realloc(buf->p, cap);
        buf->cap = cap;
    }
}

void coh_buf_free(coh_buf_t *buf)
{
    free(buf->p);
    *buf = COH_BUF_INIT;
}

void coh_buf_printf(coh_buf_t *buf, char const *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int need = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    COH_ASSERT(need >= 0);
    coh_buf_grow(buf, (size_t)need + 1);
    va_start(args, fmt);
    (void)vsnprintf((char *)buf->p + buf->n, (size_t)need + 1, fmt, args);
    va_end(args);
    buf->n += (size_t)need;
}
