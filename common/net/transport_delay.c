/* Links that take time: frames wait in one queue, in the order in which they were sent, and a thread of its own hands each to the transport underneath when it is due. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/net/transport.h"

/* The kernel may be that late with a timer, beside what it is anyhow. */
#define SLACK_NS 1000ul

typedef struct item {
    struct item *next;
    uint64_t due_us;
    uint32_t src, dst;
    coh_buf_t frame; /* owned */
} item_t;

typedef struct courier courier_t;

typedef struct {
    coh_transport_t base;
    courier_t *courier;
    coh_transport_t *under;
    size_t waiting_bytes; /* lock of the courier */
} end_t;

struct courier {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t delay_us;
    item_t *first; /* lock */
    item_t **last; /* lock */
    uint32_t open_cnt;
    uint32_t end_cnt;
    end_t ends[];
};

static void lock(courier_t *c) { COH_ASSERT(pthread_mutex_lock(&c->lock) == 0); }

static void unlock(courier_t *c) { COH_ASSERT(pthread_mutex_unlock(&c->lock) == 0); }

/* Waits for the first item to be due and takes it. NULL: all ends are closed. Under the lock. */
static item_t *wait_due(courier_t *c)
{
    while (c->open_cnt != 0) {
        item_t *item = c->first;
        if (item == NULL) {
            COH_ASSERT(pthread_cond_wait(&c->changed, &c->lock) == 0);
            continue;
        }
        if (coh_clock_mono_us() >= item->due_us) {
            c->first = item->next;
            c->last  = c->first == NULL ? &c->first : c->last;
            c->ends[item->src].waiting_bytes -= item->frame.n;
            return item;
        }
        struct timespec due = {.tv_sec  = (time_t)(item->due_us / 1000000),
                               .tv_nsec = (long)(item->due_us % 1000000 * 1000)};
        (void)pthread_cond_timedwait(&c->changed, &c->lock, &due);
    }
    return NULL;
}

static void *deliver(void *arg)
{
    courier_t *c = arg;
    (void)prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0);
    lock(c);
    for (item_t *item = wait_due(c); item != NULL; item = wait_due(c)) {
        unlock(c);
        coh_transport_t *under = c->ends[item->src].under;
        /* a receiver that has left does not miss it */
        (void)under->ops->send(under, item->dst, &item->frame);
        coh_buf_free(&item->frame);
        free(item);
        lock(c);
    }
    unlock(c);
    return NULL;
}

static coh_err_t delay_send(coh_transport_t *tp, uint32_t dst, coh_buf_t *frame)
{
    end_t *end   = (end_t *)tp;
    courier_t *c = end->courier;
    if (dst >= c->end_cnt) {
        return COH_EINVAL;
    }
    if (frame->n > COH_FRAME_MAX) {
        return COH_ETOOBIG;
    }
    item_t *item = coh_calloc(1, sizeof(*item));
    *item        = (item_t){.src = tp->rank, .dst = dst, .frame = *frame};
    *frame       = (coh_buf_t){0};
    lock(c);
    item->due_us = coh_clock_mono_us() + c->delay_us; /* under the lock, so that they ascend */
    *c->last     = item;
    c->last      = &item->next;
    end->waiting_bytes += item->frame.n;
    if (c->first == item) {
        COH_ASSERT(pthread_cond_signal(&c->changed) == 0);
    }
    unlock(c);
    return COH_OK;
}

static int delay_poll(coh_transport_t *tp, coh_frame_fn *fn, void *arg)
{
    coh_transport_t *under = ((end_t *)tp)->under;
    return under->ops->poll(under, fn, arg);
}

static int delay_wait_fd(coh_transport_t *tp)
{
    coh_transport_t *under = ((end_t *)tp)->under;
    return under->ops->wait_fd(under);
}

static bool delay_must_poll(coh_transport_t *tp)
{
    coh_transport_t *under = ((end_t *)tp)->under;
    return under->ops->must_poll(under);
}

static size_t delay_backlog(coh_transport_t *tp)
{
    end_t *end             = (end_t *)tp;
    coh_transport_t *under = end->under;
    lock(end->courier);
    size_t waiting = end->waiting_bytes;
    unlock(end->courier);
    return waiting + under->ops->backlog(under);
}

static void delay_close(coh_transport_t *tp)
{
    courier_t *c = ((end_t *)tp)->courier;
    lock(c);
    bool is_last = --c->open_cnt == 0;
    COH_ASSERT(pthread_cond_signal(&c->changed) == 0);
    unlock(c);
    if (!is_last) {
        return;
    }
    COH_ASSERT(pthread_join(c->thread, NULL) == 0);
    while (c->first != NULL) {
        item_t *item = c->first;
        c->first     = item->next;
        coh_buf_free(&item->frame);
        free(item);
    }
    for (uint32_t i = 0; i < c->end_cnt; i++) {
        c->ends[i].under->ops->close(c->ends[i].under);
    }
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static coh_transport_ops_t const delay_ops = {
    .send      = delay_send,
    .poll      = delay_poll,
    .wait_fd   = delay_wait_fd,
    .must_poll = delay_must_poll,
    .backlog   = delay_backlog,
    .close     = delay_close,
};

void coh_transport_delay(coh_transport_t **ends, uint32_t rank_cnt, uint64_t delay_us)
{
    courier_t *c = coh_calloc(1, sizeof(*c) + rank_cnt * sizeof(end_t));
    c->delay_us  = delay_us;
    c->last      = &c->first;
    c->end_cnt   = rank_cnt;
    c->open_cnt  = rank_cnt;
    for (uint32_t i = 0; i < rank_cnt; i++) {
        c->ends[i] = (end_t){.base    = {.ops = &delay_ops, .rank = i, .rank_cnt = rank_cnt},
                             .courier = c,
                             .under   = ends[i]};
        ends[i]    = &c->ends[i].base;
    }
    pthread_condattr_t attr;
    COH_ASSERT(pthread_mutex_init(&c->lock, NULL) == 0);
    COH_ASSERT(pthread_condattr_init(&attr) == 0);
    COH_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    COH_ASSERT(pthread_cond_init(&c->changed, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
    COH_ASSERT(pthread_create(&c->thread, NULL, deliver, c) == 0);
}
