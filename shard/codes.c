#include "shard/codes.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/spin.h"

/* Code on its way from disk. */
typedef struct wanted {
    struct wanted *next;
    coh_hash_t hash;
    coh_waiter_t *waiters;
    uint32_t cnt, cap;
} wanted_t;

struct coh_codes {
    coh_code_cache_t *cache;
    coh_codes_source_fn *source;
    void *source_arg;
    coh_spin_t
        lock; /* of all below. Few codes are ever wanted at a time: they are found by looking through */
    wanted_t *wanted;
    coh_hash_t *loads;
    size_t load_cnt, load_cap;
    coh_waiter_t *queries; /* whose code has come */
    uint32_t query_cnt, query_cap;
    _Atomic size_t outstanding; /* loads, and queries that nobody has taken yet */
};

coh_codes_t *coh_codes_new(size_t cache_bytes)
{
    coh_codes_t *codes = coh_calloc(1, sizeof(*codes));
    codes->cache       = coh_code_cache_new(cache_bytes);
    codes->lock        = COH_SPIN_INIT;
    return codes;
}

static void free_wanted(wanted_t *w)
{
    free(w->waiters);
    free(w);
}

void coh_codes_free(coh_codes_t *codes)
{
    if (codes == NULL) {
        return;
    }
    while (codes->wanted != NULL) {
        wanted_t *w   = codes->wanted;
        codes->wanted = w->next;
        free_wanted(w);
    }
    coh_code_cache_free(codes->cache);
    free(codes->loads);
    free(codes->queries);
    free(codes);
}

void coh_codes_set_source(coh_codes_t *codes, coh_codes_source_fn *source, void *arg)
{
    codes->source     = source;
    codes->source_arg = arg;
}

coh_key_t coh_codes_key(coh_addr_t const *addr, coh_hash_t const *hash)
{
    return (coh_key_t){
        .slot = coh_u256_from_be(hash->b, sizeof(hash->b)), .addr = *addr, .kind = COH_KEY_CODE};
}

coh_hash_t coh_codes_hash(coh_key_t const *key)
{
    coh_hash_t hash;
    coh_u256_to_be(hash.b, &key->slot);
    return hash;
}

coh_code_t const *coh_codes_find(coh_codes_t *codes, coh_hash_t const *hash, coh_fork_t fork)
{
    return coh_code_cache_get(codes->cache, hash, fork);
}

bool coh_codes_bytes(coh_codes_t *codes, coh_hash_t const *hash, coh_bytes_t *out)
{
    return coh_code_cache_bytes(codes->cache, hash, out);
}

static void push_query(coh_codes_t *codes, coh_waiter_t const *waiter)
{
    if (codes->query_cnt == codes->query_cap) {
        codes->query_cap = codes->query_cap == 0 ? 16 : codes->query_cap * 2;
        codes->queries   = coh_realloc(codes->queries, codes->query_cap * sizeof(*codes->queries));
    }
    codes->queries[codes->query_cnt++] = *waiter;
    atomic_fetch_add_explicit(&codes->outstanding, 1, memory_order_relaxed);
}

bool coh_codes_take_query(coh_codes_t *codes, coh_waiter_t *out)
{
    if (coh_codes_loads_outstanding(codes) == 0) {
        return false;
    }
    coh_spin_lock(&codes->lock);
    bool any = codes->query_cnt != 0;
    if (any) {
        *out = codes->queries[--codes->query_cnt];
    }
    coh_spin_unlock(&codes->lock);
    if (any) {
        atomic_fetch_sub_explicit(&codes->outstanding, 1, memory_order_relaxed);
    }
    return any;
}

/* Moves the waiters of hash to ctx->woken. The record of a load under way stays until it is back. */
static void wake(coh_codes_t *codes, coh_mv_ctx_t *ctx, coh_hash_t const *hash, bool loaded)
{
    coh_spin_lock(&codes->lock);
    wanted_t **link = &codes->wanted;
    while (*link != NULL && !coh_hash_eq(&(*link)->hash, hash)) {
        link = &(*link)->next;
    }
    wanted_t *w = *link;
    if (w != NULL) {
        for (uint32_t i = 0; i < w->cnt; i++) {
            if (w->waiters[i].kind == COH_WAIT_QUERY) {
                push_query(codes, &w->waiters[i]);
            } else {
                coh_mv_ctx_push_woken(ctx, &w->waiters[i]);
            }
        }
        w->cnt = 0;
        if (loaded) {
            *link = w->next;
            free_wanted(w);
        }
    }
    coh_spin_unlock(&codes->lock);
}

/* What is wanted of hash, under the lock; NULL: nothing. */
static wanted_t *find_wanted(coh_codes_t *codes, coh_hash_t const *hash)
{
    wanted_t *w = codes->wanted;
    while (w != NULL && !coh_hash_eq(&w->hash, hash)) {
        w = w->next;
    }
    return w;
}

static void add_waiter(wanted_t *w, coh_waiter_t const *waiter)
{
    if (w->cnt == w->cap) {
        w->cap     = w->cap == 0 ? 4 : w->cap * 2;
        w->waiters = coh_realloc(w->waiters, w->cap * sizeof(*w->waiters));
    }
    w->waiters[w->cnt++] = *waiter;
}

static void queue_load(coh_codes_t *codes, coh_hash_t const *hash)
{
    if (codes->load_cnt == codes->load_cap) {
        codes->load_cap = codes->load_cap == 0 ? 16 : codes->load_cap * 2;
        codes->loads    = coh_realloc(codes->loads, codes->load_cap * sizeof(*codes->loads));
    }
    codes->loads[codes->load_cnt++] = *hash;
}

bool coh_codes_want(coh_codes_t *codes,
                    coh_mv_ctx_t *ctx,
                    coh_hash_t const *hash,
                    coh_waiter_t const *waiter)
{
    coh_bytes_t bytes;
    coh_spin_lock(&codes->lock);
    /* Again under the lock, under which waiters are taken out after the code was put in. */
    if (coh_code_cache_bytes(codes->cache, hash, &bytes)) {
        coh_spin_unlock(&codes->lock);
        return false;
    }
    wanted_t *w = find_wanted(codes, hash);
    if (w != NULL) {
        add_waiter(w, waiter);
        coh_spin_unlock(&codes->lock);
        return true;
    }
    /* The first one asks the source, while others wait for it as for a load. */
    w             = coh_calloc(1, sizeof(*w));
    w->next       = codes->wanted;
    w->hash       = *hash;
    codes->wanted = w;
    atomic_fetch_add_explicit(&codes->outstanding, 1, memory_order_relaxed);
    coh_spin_unlock(&codes->lock);
    coh_buf_t code = COH_BUF_INIT;
    bool here =
        ctx != NULL && codes->source != NULL && codes->source(codes->source_arg, hash, &code);
    if (here) {
        coh_codes_loaded(codes, ctx, hash, coh_buf_bytes(&code));
    } else {
        coh_spin_lock(&codes->lock);
        add_waiter(w, waiter);
        queue_load(codes, hash);
        coh_spin_unlock(&codes->lock);
    }
    coh_buf_free(&code);
    return !here;
}

void coh_codes_put(coh_codes_t *codes, coh_mv_ctx_t *ctx, coh_hash_t const *hash, coh_bytes_t bytes)
{
    coh_code_cache_put(codes->cache, hash, bytes);
    if (coh_codes_loads_outstanding(codes) != 0) {
        wake(codes, ctx, hash, false);
    }
}

size_t coh_codes_take_loads(coh_codes_t *codes, coh_hash_t *out, size_t max)
{
    coh_spin_lock(&codes->lock);
    size_t cnt = COH_MIN(max, codes->load_cnt);
    codes->load_cnt -= cnt;
    if (cnt != 0) {
        memcpy(out, codes->loads + codes->load_cnt, cnt * sizeof(*out));
    }
    coh_spin_unlock(&codes->lock);
    return cnt;
}

void coh_codes_loaded(coh_codes_t *codes,
                      coh_mv_ctx_t *ctx,
                      coh_hash_t const *hash,
                      coh_bytes_t bytes)
{
    coh_code_cache_put(codes->cache, hash, bytes);
    wake(codes, ctx, hash, true);
    atomic_fetch_sub_explicit(&codes->outstanding, 1, memory_order_relaxed);
}

size_t coh_codes_loads_outstanding(coh_codes_t const *codes)
{
    return atomic_load_explicit(&codes->outstanding, memory_order_relaxed);
}

void coh_codes_trim(coh_codes_t *codes) { coh_code_cache_trim(codes->cache); }

void coh_codes_drop_waiters(coh_codes_t *codes)
{
    coh_spin_lock(&codes->lock);
    for (wanted_t *w = codes->wanted; w != NULL; w = w->next) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < w->cnt; i++) {
            if (w->waiters[i].kind == COH_WAIT_QUERY) {
                w->waiters[kept++] = w->waiters[i];
            }
        }
        w->cnt = kept;
    }
    coh_spin_unlock(&codes->lock);
}

/* ---- what is not on disk ---- */

void coh_codes_pin(coh_codes_t *codes, coh_code_list_t *list, coh_hash_t const *hash)
{
    for (size_t i = 0; i < list->cnt; i++) {
        if (coh_hash_eq(&list->v[i], hash)) {
            return;
        }
    }
    if (!coh_code_cache_pin(codes->cache, hash)) {
        return;
    }
    if (list->cnt == list->cap) {
        list->cap = list->cap == 0 ? 8 : list->cap * 2;
        list->v   = coh_realloc(list->v, list->cap * sizeof(*list->v));
    }
    list->v[list->cnt++] = *hash;
}

void coh_codes_release(coh_codes_t *codes, coh_code_list_t *list)
{
    for (size_t i = 0; i < list->cnt; i++) {
        coh_code_cache_unpin(codes->cache, &list->v[i]);
    }
    free(list->v);
    *list = (coh_code_list_t){0};
}

void coh_code_list_move(coh_code_list_t *to, coh_code_list_t *from)
{
    if (to->cnt + from->cnt > to->cap) {
        to->cap = to->cnt + from->cnt;
        to->v   = coh_realloc(to->v, to->cap * sizeof(*to->v));
    }
    if (from->cnt != 0) {
        memcpy(to->v + to->cnt, from->v, from->cnt * sizeof(*from->v));
        to->cnt += from->cnt;
    }
    free(from->v);
    *from = (coh_code_list_t){0};
}
