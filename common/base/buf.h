/* buf.h: a growable byte buffer. Appending never fails halfway: an allocation failure is our own stop
   (memory is bounded by configuration, not by luck), so appends return nothing. */
#ifndef COH_BUF_H
#define COH_BUF_H

#include "common/base/base.h"

typedef struct {
    uint8_t *p; /* owned; NULL while cap is 0 */
    size_t n;   /* bytes used */
    size_t cap; /* bytes allocated */
} coh_buf_t;

#define COH_BUF_INIT ((coh_buf_t){0})

/* coh_buf_grow makes room for extra more bytes, and keeps the contents. */
void coh_buf_grow(coh_buf_t *buf, size_t extra);
void coh_buf_free(coh_buf_t *buf);

static inline void coh_buf_clear(coh_buf_t *buf) { buf->n = 0; }

static inline coh_bytes_t coh_buf_bytes(coh_buf_t const *buf) { return coh_bytes(buf->p, buf->n); }

/* coh_buf_extend returns n bytes at the end for the caller to fill; never NULL, valid until the next append. */
static inline uint8_t *coh_buf_extend(coh_buf_t *buf, size_t n)
{
    if (COH_UNLIKELY(buf->cap - buf->n < n || buf->p == NULL)) {
        coh_buf_grow(buf, n);
    }
    uint8_t *at = buf->p + buf->n;
    buf->n += n;
    return at;
}

static inline void coh_buf_put(coh_buf_t *buf, void const *p, size_t n)
{
    if (n != 0) {
        memcpy(coh_buf_extend(buf, n), p, n);
    }
}

static inline void coh_buf_put_u8(coh_buf_t *buf, uint8_t v) { *coh_buf_extend(buf, 1) = v; }

static inline void coh_buf_put_u32_le(coh_buf_t *buf, uint32_t v)
{
    coh_store_u32_le(coh_buf_extend(buf, 4), v);
}

static inline void coh_buf_put_u64_le(coh_buf_t *buf, uint64_t v)
{
    coh_store_u64_le(coh_buf_extend(buf, 8), v);
}

/* coh_buf_printf appends formatted text without its terminating NUL. */
COH_PRINTF(2, 3) void coh_buf_printf(coh_buf_t *buf, char const *fmt, ...);

#endif
