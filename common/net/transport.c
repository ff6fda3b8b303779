#include "common/net/transport.h"

#include "common/base/assert.h"
#include "common/net/transport_private.h"

static void lock(coh_frame_pool_t *pool)
{
    int rc = pthread_mutex_lock(&pool->lock);
    COH_ASSERT(rc == 0);
}

static void unlock(coh_frame_pool_t *pool)
{
    int rc = pthread_mutex_unlock(&pool->lock);
    COH_ASSERT(rc == 0);
}

void coh_frame_pool_init(coh_frame_pool_t *pool)
{
    *pool  = (coh_frame_pool_t){0};
    int rc = pthread_mutex_init(&pool->lock, NULL);
    COH_ASSERT(rc == 0);
}

void coh_frame_pool_fini(coh_frame_pool_t *pool)
{
    for (uint32_t i = 0; i < pool->cnt; i++) {
        coh_buf_free(&pool->bufs[i]);
    }
    (void)pthread_mutex_destroy(&pool->lock);
}

coh_buf_t coh_frame_pool_get(coh_frame_pool_t *pool, size_t n)
{
    coh_buf_t buf = COH_BUF_INIT;
    lock(pool);
    /* The latest first: its memory is the most likely to be in a cache. */
    for (uint32_t i = pool->cnt; i-- > 0;) {
        if (pool->bufs[i].cap >= n) {
            buf = pool->bufs[i];
            pool->bytes -= buf.cap;
            pool->bufs[i] = pool->bufs[--pool->cnt];
            break;
        }
    }
    unlock(pool);
    if (buf.cap < n) {
        coh_buf_grow(&buf, n);
    }
    return buf;
}

void coh_frame_pool_put(coh_frame_pool_t *pool, coh_buf_t *buf)
{
    lock(pool);
    if (buf->cap != 0 && pool->cnt < COH_FRAME_POOL_CNT &&
        pool->bytes + buf->cap <= COH_FRAME_POOL_BYTES) {
        coh_buf_clear(buf);
        pool->bufs[pool->cnt++] = *buf;
        pool->bytes += buf->cap;
        *buf = COH_BUF_INIT;
    }
    unlock(pool);
    coh_buf_free(buf);
}
