/* The store in memory: one skip list for each table (Pugh 1990), linked backwards at the bottom for
   descending visits. A lock lets a rank's disk threads share it as they share RocksDB. */
#include <pthread.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/rng.h"
#include "common/kv/kv.h"
#include "common/kv/kv_private.h"

/* Each level holds a quarter of the one below: 12 levels serve 4^12 = 16 million keys. */
#define HEIGHT_MAX 12u

typedef struct node {
    struct node *prev; /* at the bottom; the head for the first */
    uint8_t *value;    /* owned */
    size_t value_n;
    uint32_t key_n;
    uint32_t height;
    struct node *next[]; /* height links; the key's bytes follow */
} node_t;

typedef struct {
    node_t *head; /* keyless, of full height */
    node_t *last; /* the head if the list is empty */
} list_t;

typedef struct {
    coh_kv_t base;
    pthread_rwlock_t lock;
    coh_rng_t rng; /* heights only: no effect on contents */
    list_t lists[COH_KV_TABLE_CNT];
} mem_t;

static coh_bytes_t node_key(node_t const *node)
{
    return coh_bytes(node->next + node->height, node->key_n);
}

static node_t *node_new(uint32_t height, coh_bytes_t key)
{
    node_t *node = coh_calloc(1, sizeof(*node) + height * sizeof(node_t *) + key.n);
    node->height = height;
    node->key_n  = (uint32_t)key.n;
    if (key.n != 0) {
        memcpy(node->next + height, key.p, key.n);
    }
    return node;
}

static void node_free(node_t *node)
{
    free(node->value);
    free(node);
}

static void node_set(node_t *node, coh_bytes_t value)
{
    if (value.n != node->value_n) {
        free(node->value);
        node->value   = value.n == 0 ? NULL : coh_calloc(1, value.n);
        node->value_n = value.n;
    }
    if (value.n != 0) {
        memcpy(node->value, value.p, value.n);
    }
}

/* The first node with key >= key, or NULL. With path, the last node before it on each level. */
static node_t *list_seek(list_t const *list, coh_bytes_t key, node_t *path[HEIGHT_MAX])
{
    node_t *at = list->head;
    for (uint32_t level = HEIGHT_MAX; level-- > 0;) {
        for (node_t *next = at->next[level];
             next != NULL && coh_kv_compare(node_key(next), key) < 0;
             next = at->next[level]) {
            at = next;
        }
        if (path != NULL) {
            path[level] = at;
        }
    }
    return at->next[0];
}

static node_t *list_find(list_t const *list, coh_bytes_t key)
{
    node_t *node = list_seek(list, key, NULL);
    return node != NULL && coh_bytes_eq(node_key(node), key) ? node : NULL;
}

static void list_init(list_t *list)
{
    list->head = node_new(HEIGHT_MAX, coh_bytes(NULL, 0));
    list->last = list->head;
}

static void list_fini(list_t *list)
{
    for (node_t *node = list->head; node != NULL;) {
        node_t *next = node->next[0];
        node_free(node);
        node = next;
    }
}

static void list_put(list_t *list, coh_rng_t *rng, coh_bytes_t key, coh_bytes_t value)
{
    node_t *path[HEIGHT_MAX];
    node_t *node = list_seek(list, key, path);
    if (node == NULL || !coh_bytes_eq(node_key(node), key)) {
        uint32_t height = 1;
        for (uint64_t bits = coh_rng_next(rng); height < HEIGHT_MAX && (bits & 3) == 0;
             bits >>= 2) {
            height++;
        }
        node = node_new(height, key);
        for (uint32_t level = 0; level < height; level++) {
            node->next[level]        = path[level]->next[level];
            path[level]->next[level] = node;
        }
        node->prev = path[0];
        if (node->next[0] != NULL) {
            node->next[0]->prev = node;
        } else {
            list->last = node;
        }
    }
    node_set(node, value);
}

/* Removes first <= key < end, or with end == NULL first alone. */
static void list_delete(list_t *list, coh_bytes_t first, coh_bytes_t const *end)
{
    node_t *path[HEIGHT_MAX];
    node_t *node = list_seek(list, first, path);
    while (node != NULL) {
        coh_bytes_t key = node_key(node);
        if (end != NULL ? coh_kv_compare(key, *end) >= 0 : !coh_bytes_eq(key, first)) {
            break;
        }
        for (uint32_t level = 0; level < node->height; level++) {
            COH_DASSERT(path[level]->next[level] == node);
            path[level]->next[level] = node->next[level];
        }
        node_t *next = node->next[0];
        if (next != NULL) {
            next->prev = path[0];
        } else {
            list->last = path[0];
        }
        node_free(node);
        node = next;
    }
}

static void lock_read(mem_t *mem)
{
    int rc = pthread_rwlock_rdlock(&mem->lock);
    COH_ASSERT(rc == 0);
}

static void lock_write(mem_t *mem)
{
    int rc = pthread_rwlock_wrlock(&mem->lock);
    COH_ASSERT(rc == 0);
}

static void unlock(mem_t *mem)
{
    int rc = pthread_rwlock_unlock(&mem->lock);
    COH_ASSERT(rc == 0);
}

static coh_err_t mem_get(coh_kv_t *kv, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    mem_t *mem = (mem_t *)kv;
    lock_read(mem);
    node_t const *node = list_find(&mem->lists[table], key);
    if (node != NULL) {
        coh_buf_put(out, node->value, node->value_n);
    }
    unlock(mem);
    return node != NULL ? COH_OK : COH_ENOTFOUND;
}

static coh_err_t mem_multi_get(coh_kv_t *kv,
                               coh_kv_table_t table,
                               size_t cnt,
                               coh_bytes_t const *keys,
                               coh_err_t *errs,
                               size_t *lens,
                               coh_buf_t *out)
{
    mem_t *mem = (mem_t *)kv;
    lock_read(mem);
    for (size_t i = 0; i < cnt; i++) {
        node_t const *node = list_find(&mem->lists[table], keys[i]);
        errs[i]            = node != NULL ? COH_OK : COH_ENOTFOUND;
        lens[i]            = node != NULL ? node->value_n : 0;
        if (node != NULL) {
            coh_buf_put(out, node->value, node->value_n);
        }
    }
    unlock(mem);
    return COH_OK;
}

static coh_err_t mem_write(coh_kv_t *kv, coh_kv_batch_t const *batch, bool sync)
{
    (void)sync;
    mem_t *mem = (mem_t *)kv;
    size_t at  = 0;
    coh_kv_op_t op;
    lock_write(mem);
    while (coh_kv_batch_next(batch, &at, &op)) {
        list_t *list = &mem->lists[op.table];
        switch (op.kind) {
        case COH_KV_OP_PUT: list_put(list, &mem->rng, op.key, op.value); break;
        case COH_KV_OP_DELETE: list_delete(list, op.key, NULL); break;
        case COH_KV_OP_DELETE_RANGE: list_delete(list, op.key, &op.value); break;
        }
    }
    unlock(mem);
    return COH_OK;
}

static coh_err_t mem_ingest(coh_kv_t *kv, coh_kv_batch_t const *batch)
{
    return coh_kv_batch_is_ingestable(batch) ? mem_write(kv, batch, true) : COH_EINVAL;
}

static coh_err_t mem_iterate(coh_kv_t *kv,
                             coh_kv_table_t table,
                             coh_bytes_t first,
                             bool descending,
                             coh_kv_visit_t *visit,
                             void *arg)
{
    mem_t *mem = (mem_t *)kv;
    lock_read(mem);
    list_t const *list = &mem->lists[table];
    node_t const *node = list_seek(list, first, NULL);
    if (descending) {
        if (first.n == 0 || node == NULL) {
            node = list->last;
        } else if (!coh_bytes_eq(node_key(node), first)) {
            node = node->prev;
        }
    }
    while (node != NULL && node != list->head &&
           visit(arg, node_key(node), coh_bytes(node->value, node->value_n))) {
        node = descending ? node->prev : node->next[0];
    }
    unlock(mem);
    return COH_OK;
}

static void mem_close(coh_kv_t *kv)
{
    mem_t *mem = (mem_t *)kv;
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        list_fini(&mem->lists[table]);
    }
    (void)pthread_rwlock_destroy(&mem->lock);
    free(mem);
}

static coh_kv_ops_t const mem_ops = {
    .get       = mem_get,
    .peek      = mem_get,
    .multi_get = mem_multi_get,
    .write     = mem_write,
    .ingest    = mem_ingest,
    .iterate   = mem_iterate,
    .close     = mem_close,
};

static mem_t *mem_new(void)
{
    mem_t *mem    = coh_calloc(1, sizeof(*mem));
    mem->base.ops = &mem_ops;
    coh_rng_seed(&mem->rng, 1);
    int rc = pthread_rwlock_init(&mem->lock, NULL);
    COH_ASSERT(rc == 0);
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        list_init(&mem->lists[table]);
    }
    return mem;
}

coh_err_t coh_kv_mem_open(coh_kv_t **out)
{
    *out = &mem_new()->base;
    return COH_OK;
}

coh_kv_t *coh_kv_mem_clone(coh_kv_t *kv)
{
    COH_ASSERT(kv->ops == &mem_ops);
    mem_t *mem  = (mem_t *)kv;
    mem_t *copy = mem_new();
    lock_read(mem);
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        for (node_t const *node = mem->lists[table].head->next[0]; node != NULL;
             node               = node->next[0]) {
            list_put(&copy->lists[table],
                     &copy->rng,
                     node_key(node),
                     coh_bytes(node->value, node->value_n));
        }
    }
    unlock(mem);
    return &copy->base;
}
