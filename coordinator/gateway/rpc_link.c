#include "coordinator/gateway/rpc_link.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* Hashes of pooled transactions that wait to be fetched. */
#define POOLED_BYTES_MAX (65536 * sizeof(coh_hash_t))

struct coh_rpc_link {
    pthread_mutex_t lock; /* guards what follows, to the bell */
    coh_ask_t *posted_first, *posted_last;
    coh_ask_t *done_first, *done_last;
    coh_ask_t *done_before_gone; /* the last one of those; NULL: none */
    coh_sealed_t **gone;         /* owned */
    size_t gone_cnt;
    bool
        gone_open; /* the head that follows has not been told: until then they are not handed out */
    coh_sealed_t *head;
    coh_block_env_t next;
    coh_buf_t pooled;
    bool has_news; /* the JSON-RPC thread's bell is rung */
    int fd;        /* eventfd(2), as the other */
    int coordinator_fd;
    _Atomic bool wants_pooled;   /* a wish: nothing is ordered by it */
    _Atomic uint32_t record_cnt; /* of ask.h */
};

static void ring(int fd)
{
    uint64_t one = 1;
    ssize_t n    = write(fd, &one, sizeof(one));
    (void)n; /* full: it is readable, which is all that is wanted */
}

static void quiet(int fd)
{
    uint64_t cnt;
    ssize_t n = read(fd, &cnt, sizeof(cnt));
    (void)n; /* empty: nothing to quiet */
}

static void lock(coh_rpc_link_t *link)
{
    int rc = pthread_mutex_lock(&link->lock);
    COH_ASSERT(rc == 0);
}

static void unlock(coh_rpc_link_t *link)
{
    int rc = pthread_mutex_unlock(&link->lock);
    COH_ASSERT(rc == 0);
}

coh_err_t coh_rpc_link_new(coh_rpc_link_t **out)
{
    coh_rpc_link_t *link = coh_calloc(1, sizeof(*link));
    int rc               = pthread_mutex_init(&link->lock, NULL);
    COH_ASSERT(rc == 0);
    link->fd             = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    link->coordinator_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (link->fd < 0 || link->coordinator_fd < 0) {
        coh_rpc_link_free(link);
        return COH_EIO;
    }
    *out = link;
    return COH_OK;
}

static void free_asks(coh_ask_t *ask)
{
    while (ask != NULL) {
        coh_ask_t *next = ask->next;
        coh_ask_free(ask);
        ask = next;
    }
}

void coh_rpc_link_free(coh_rpc_link_t *link)
{
    if (link == NULL) {
        return;
    }
    free_asks(link->posted_first);
    free_asks(link->done_first);
    for (size_t i = 0; i < link->gone_cnt; i++) {
        coh_sealed_free(link->gone[i]);
    }
    free(link->gone);
    coh_sealed_free(link->head);
    coh_buf_free(&link->pooled);
    if (link->fd >= 0) {
        (void)close(link->fd);
    }
    if (link->coordinator_fd >= 0) {
        (void)close(link->coordinator_fd);
    }
    (void)pthread_mutex_destroy(&link->lock);
    free(link);
}

/* ---- JSON-RPC thread ---- */

int coh_rpc_link_fd(coh_rpc_link_t const *link) { return link->fd; }

void coh_rpc_link_ring(coh_rpc_link_t *link) { ring(link->coordinator_fd); }

void coh_rpc_link_post(coh_rpc_link_t *link, coh_ask_t *first)
{
    coh_ask_t *last = first;
    while (last->next != NULL) {
        last = last->next;
    }
    lock(link);
    bool was_empty                                                = link->posted_first == NULL;
    *(was_empty ? &link->posted_first : &link->posted_last->next) = first;
    link->posted_last                                             = last;
    unlock(link);
    if (was_empty) {
        ring(link->coordinator_fd);
    }
}

void coh_rpc_link_take(coh_rpc_link_t *link, coh_rpc_link_news_t *news)
{
    quiet(link->fd);
    lock(link);
    *news = (coh_rpc_link_news_t){
        .head = link->head, .next = link->next, .asks = link->done_first, .pooled = link->pooled};
    if (!link->gone_open) {
        news->gone     = link->gone;
        news->gone_cnt = link->gone_cnt;
        link->gone     = NULL;
        link->gone_cnt = 0;
    }
    if (news->gone_cnt != 0 && link->done_before_gone != NULL) {
        news->old_asks               = link->done_first;
        news->asks                   = link->done_before_gone->next;
        link->done_before_gone->next = NULL;
    }
    link->done_before_gone = NULL;
    link->head             = NULL;
    link->done_first       = NULL;
    link->pooled           = COH_BUF_INIT;
    link->has_news         = false;
    unlock(link);
}

coh_ask_t *coh_rpc_link_take_posted(coh_rpc_link_t *link)
{
    lock(link);
    coh_ask_t *first   = link->posted_first;
    link->posted_first = NULL;
    unlock(link);
    return first;
}

void coh_rpc_link_want_pooled(coh_rpc_link_t *link, bool wanted)
{
    atomic_store_explicit(&link->wants_pooled, wanted, memory_order_relaxed);
}

/* ---- communication thread ---- */

int coh_rpc_link_coordinator_fd(coh_rpc_link_t const *link) { return link->coordinator_fd; }

/* tell ends a change of what was left, and wakes the JSON-RPC thread once for all of them. */
static void tell(coh_rpc_link_t *link)
{
    bool had_news  = link->has_news;
    link->has_news = true;
    unlock(link);
    if (!had_news) {
        ring(link->fd);
    }
}

static void on_done(void *arg, coh_ask_t *ask)
{
    coh_rpc_link_t *link = arg;
    ask->next            = NULL;
    lock(link);
    *(link->done_first == NULL ? &link->done_first : &link->done_last->next) = ask;
    link->done_last                                                          = ask;
    tell(link);
}

static void on_head(void *arg, coh_sealed_t *block, coh_block_env_t const *next)
{
    coh_rpc_link_t *link = arg;
    lock(link);
    coh_sealed_t *old = link->head;
    link->head        = block;
    link->next        = *next;
    link->gone_open   = false;
    tell(link);
    coh_sealed_free(old);
}

static void on_gone(void *arg, coh_sealed_t *block)
{
    coh_rpc_link_t *link = arg;
    lock(link);
    link->gone = coh_realloc(link->gone, (link->gone_cnt + 1) * sizeof(coh_sealed_t *));
    link->gone[link->gone_cnt++] = block;
    link->gone_open              = true;
    link->done_before_gone       = link->done_first != NULL ? link->done_last : NULL;
    tell(link);
}

static void on_pooled(void *arg, coh_hash_t const *hash)
{
    coh_rpc_link_t *link = arg;
    if (!atomic_load_explicit(&link->wants_pooled, memory_order_relaxed)) {
        return;
    }
    lock(link);
    if (link->pooled.n < POOLED_BYTES_MAX) {
        coh_buf_put(&link->pooled, hash->b, sizeof(hash->b));
    }
    tell(link);
}

void coh_rpc_link_attach(coh_rpc_link_t *link, coh_coordinator_t *c)
{
    coh_asker_t asker = {.done       = on_done,
                         .head       = on_head,
                         .gone       = on_gone,
                         .pooled     = on_pooled,
                         .arg        = link,
                         .record_cnt = &link->record_cnt};
    coh_coordinator_listen(c, &asker);
}

bool coh_rpc_link_poll(coh_rpc_link_t *link, coh_coordinator_t *c)
{
    quiet(link->coordinator_fd);
    coh_ask_t *ask = coh_rpc_link_take_posted(link);
    bool any       = ask != NULL;
    while (ask != NULL) {
        coh_ask_t *next = ask->next;
        coh_coordinator_ask(c, ask);
        ask = next;
    }
    coh_coordinator_go_on(c);
    return any;
}
