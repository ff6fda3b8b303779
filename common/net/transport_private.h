/* transport_private.h: a pool of frame buffers, shared by the transports. Frames are commonly 0.1
   to 1 MB and come and go thousands of times a second: left to malloc, each would be mapped,
   faulted in page by page and unmapped again. A transport puts what it is done with into a pool,
   and takes from it for arriving frames and to give the sender's outbox a new buffer in place of
   the one it took. */
#ifndef COH_TRANSPORT_PRIVATE_H
#define COH_TRANSPORT_PRIVATE_H

#include <pthread.h>

#include "common/net/transport.h"

#define COH_FRAME_POOL_CNT   32u
#define COH_FRAME_POOL_BYTES ((size_t)32 << 20)

/* Bounded by count and bytes: what does not fit is freed. Any thread. */
typedef struct {
    pthread_mutex_t lock;
    coh_buf_t bufs[COH_FRAME_POOL_CNT];
    uint32_t cnt;
    size_t bytes;
} coh_frame_pool_t;

void coh_frame_pool_init(coh_frame_pool_t *pool);
void coh_frame_pool_fini(coh_frame_pool_t *pool);

/* coh_frame_pool_get returns an empty buffer with room for n octets at least; the caller owns it.
   With n 0 it is whatever is at hand, or one without memory. */
coh_buf_t coh_frame_pool_get(coh_frame_pool_t *pool, size_t n);

/* coh_frame_pool_put takes the buffer's memory; *buf is left without any. */
void coh_frame_pool_put(coh_frame_pool_t *pool, coh_buf_t *buf);

#endif
