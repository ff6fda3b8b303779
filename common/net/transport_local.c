/* The in-process link: every end has one inbox that the others append to. An inbox is two queues:
   one is filled under the lock while the reader works through the other, so the lock is held for a
   few instructions only. The order of an inbox is the order in which frames were sent, hence that
   of each pair. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/net/transport.h"
#include "common/net/transport_private.h"

typedef struct {
    uint32_t src;
    coh_buf_t frame; /* owned */
} item_t;

typedef struct {
    item_t *items;
    size_t cnt;
    size_t cap;
} queue_t;

typedef struct hub hub_t;

typedef struct {
    coh_transport_t base;
    hub_t *hub;
    pthread_mutex_t lock;
    queue_t inbox; /* lock */
    bool closed;   /* lock */
    _Atomic size_t
        waiting;     /* frames in inbox: a hint that spares poll the lock; exact under the lock */
    queue_t reading; /* the owner's thread only */
    _Atomic size_t unread_bytes; /* sent by this end, not taken by the receivers yet; a sum only,
                                    orders nothing */
    int event_fd;                /* readable while inbox is not empty */
} end_t;

struct hub {
    coh_frame_pool_t pool;
    _Atomic uint32_t open_cnt; /* ends not closed; the last one frees the hub */
    uint32_t end_cnt;
    end_t ends[];
};

static void lock(end_t *end)
{
    int rc = pthread_mutex_lock(&end->lock);
    COH_ASSERT(rc == 0);
}

static void unlock(end_t *end)
{
    int rc = pthread_mutex_unlock(&end->lock);
    COH_ASSERT(rc == 0);
}

static void event_set(end_t *end)
{
    uint64_t one = 1;
    ssize_t n    = write(end->event_fd, &one, sizeof(one));
    COH_ASSERT(n == (ssize_t)sizeof(one));
}

static void event_clear(end_t *end)
{
    uint64_t value;
    ssize_t n = read(end->event_fd, &value, sizeof(value));
    COH_ASSERT(n == (ssize_t)sizeof(value));
}

static void queue_push(queue_t *queue, uint32_t src, coh_buf_t frame)
{
    if (queue->cnt == queue->cap) {
        queue->cap   = queue->cap == 0 ? 16 : queue->cap * 2;
        queue->items = coh_realloc(queue->items, queue->cap * sizeof(*queue->items));
    }
    queue->items[queue->cnt++] = (item_t){.src = src, .frame = frame};
}

/* Done with an arrived frame: its bytes no longer count as the sender's, its memory goes back. */
static void item_finish(hub_t *hub, item_t *item)
{
    atomic_fetch_sub_explicit(
        &hub->ends[item->src].unread_bytes, item->frame.n, memory_order_relaxed);
    coh_frame_pool_put(&hub->pool, &item->frame);
}

static void queue_fini(hub_t *hub, queue_t *queue)
{
    for (size_t i = 0; i < queue->cnt; i++) {
        item_finish(hub, &queue->items[i]);
    }
    free(queue->items);
    *queue = (queue_t){0};
}

static coh_err_t local_send(coh_transport_t *tp, uint32_t dst, coh_buf_t *frame)
{
    end_t *from = (end_t *)tp;
    hub_t *hub  = from->hub;
    if (dst >= hub->end_cnt) {
        return COH_EINVAL;
    }
    if (frame->n > COH_FRAME_MAX) {
        return COH_ETOOBIG;
    }
    coh_buf_t spare = coh_frame_pool_get(&hub->pool, 0);
    end_t *to       = &hub->ends[dst];
    lock(to);
    bool closed = to->closed;
    if (!closed) {
        atomic_fetch_add_explicit(&from->unread_bytes, frame->n, memory_order_relaxed);
        queue_push(&to->inbox, tp->rank, *frame);
        atomic_store_explicit(&to->waiting, to->inbox.cnt, memory_order_relaxed);
        if (to->inbox.cnt == 1) {
            event_set(to);
        }
        *frame = spare;
    }
    unlock(to);
    if (closed) {
        coh_frame_pool_put(&hub->pool, &spare);
        return COH_ECLOSED;
    }
    return COH_OK;
}

static int local_poll(coh_transport_t *tp, coh_frame_fn *fn, void *arg)
{
    end_t *end = (end_t *)tp;
    if (atomic_load_explicit(&end->waiting, memory_order_relaxed) == 0) {
        return 0; /* a frame just being sent is found by the next poll: event_fd tells of it */
    }
    COH_ASSERT(end->reading.cnt == 0);
    lock(end);
    queue_t batch = end->inbox;
    end->inbox    = end->reading;
    atomic_store_explicit(&end->waiting, 0, memory_order_relaxed);
    if (batch.cnt != 0) {
        event_clear(end);
    }
    unlock(end);
    for (size_t i = 0; i < batch.cnt; i++) {
        fn(arg, batch.items[i].src, coh_buf_bytes(&batch.items[i].frame));
        item_finish(end->hub, &batch.items[i]);
    }
    int cnt      = (int)batch.cnt;
    batch.cnt    = 0;
    end->reading = batch;
    return cnt;
}

static int local_wait_fd(coh_transport_t *tp) { return ((end_t *)tp)->event_fd; }

static bool local_must_poll(coh_transport_t *tp)
{
    (void)tp;
    return false;
}

static size_t local_backlog(coh_transport_t *tp)
{
    return atomic_load_explicit(&((end_t *)tp)->unread_bytes, memory_order_relaxed);
}

static void hub_free(hub_t *hub)
{
    for (uint32_t i = 0; i < hub->end_cnt; i++) {
        end_t *end = &hub->ends[i];
        queue_fini(hub, &end->inbox);
        queue_fini(hub, &end->reading);
        (void)pthread_mutex_destroy(&end->lock);
        if (end->event_fd >= 0) {
            (void)close(end->event_fd);
        }
    }
    coh_frame_pool_fini(&hub->pool);
    free(hub);
}

static void local_close(coh_transport_t *tp)
{
    end_t *end = (end_t *)tp;
    hub_t *hub = end->hub;
    lock(end);
    COH_ASSERT(!end->closed);
    end->closed = true;
    queue_fini(hub, &end->inbox);
    unlock(end);
    /* Release what this end did to the hub; whoever comes last acquires it all before freeing. */
    if (atomic_fetch_sub_explicit(&hub->open_cnt, 1, memory_order_acq_rel) == 1) {
        hub_free(hub);
    }
}

static coh_transport_ops_t const local_ops = {
    .send      = local_send,
    .poll      = local_poll,
    .wait_fd   = local_wait_fd,
    .must_poll = local_must_poll,
    .backlog   = local_backlog,
    .close     = local_close,
};

coh_err_t coh_transport_local_new(coh_transport_t **out, uint32_t rank_cnt)
{
    if (rank_cnt == 0) {
        return COH_EINVAL;
    }
    hub_t *hub = coh_calloc(1, sizeof(*hub) + rank_cnt * sizeof(end_t));
    coh_frame_pool_init(&hub->pool);
    hub->end_cnt = rank_cnt;
    atomic_store(&hub->open_cnt, rank_cnt);
    bool failed = false;
    for (uint32_t rank = 0; rank < rank_cnt; rank++) {
        end_t *end = &hub->ends[rank];
        end->base  = (coh_transport_t){
             .ops = &local_ops, .rank = rank, .rank_cnt = rank_cnt, .one_machine = true};
        end->hub = hub;
        int rc   = pthread_mutex_init(&end->lock, NULL);
        COH_ASSERT(rc == 0);
        end->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        failed        = failed || end->event_fd < 0;
        out[rank]     = &end->base;
    }
    if (failed) {
        hub_free(hub);
        return COH_EIO;
    }
    return COH_OK;
}
