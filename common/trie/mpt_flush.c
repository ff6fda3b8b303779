/* Flushing: what has changed since, in the order of keys, as one batch. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/trie/mpt_private.h"

/* A key to write; page NULL: to delete. */
typedef struct {
    coh_mpt_page_t *page;
    size_t at; /* of key, in the text of all keys */
    uint8_t const *key;
    size_t n;
} flush_op_t;

static int compare_ops(void const *a, void const *b)
{
    flush_op_t const *x = a;
    flush_op_t const *y = b;
    size_t n            = COH_MIN(x->n, y->n);
    int order           = memcmp(x->key, y->key, n);
    if (order == 0) {
        order = (x->n > y->n) - (x->n < y->n);
    }
    return order != 0 ? order : (x->page == NULL) - (y->page == NULL); /* what is written first */
}

typedef struct {
    flush_op_t *ops;
    size_t cnt;
    size_t cap;
    coh_buf_t text;
} flush_ops_t;

static void add_op(flush_ops_t *ops, coh_mpt_page_t *page, uint8_t const *key, size_t n)
{
    if (ops->cnt == ops->cap) {
        ops->cap = ops->cap == 0 ? 256 : ops->cap * 2;
        ops->ops = coh_realloc(ops->ops, ops->cap * sizeof(*ops->ops));
    }
    ops->ops[ops->cnt++] = (flush_op_t){.page = page, .at = ops->text.n, .n = n};
    coh_buf_put(&ops->text, key, n);
}

/* Lists what a trie has to flush; its pages are then being written. Returns their octets. */
static size_t flush_trie(coh_mpt_t *mpt, coh_mpt_trie_t *trie, flush_ops_t *ops)
{
    size_t bytes = 0;
    for (size_t at = 0; at < trie->gone.n; at += (size_t)1 + trie->gone.p[at]) {
        add_op(ops, NULL, trie->gone.p + at + 1, trie->gone.p[at]);
    }
    coh_buf_clear(&trie->gone);
    while (trie->dirty.first != NULL) {
        coh_mpt_page_t *page = trie->dirty.first;
        uint8_t key[COH_MPT_KEY_MAX];
        add_op(ops, page, key, coh_mpt_page_key(key, &trie->id, page->path, page->depth));
        bytes += coh_mpt_page_mem(page);
        coh_mpt_page_unlist(mpt, page);
        page->state = COH_MPT_PAGE_WRITING;
        coh_mpt_list_push(&mpt->writing, page);
    }
    coh_mpt_fifo_remove(mpt, trie);
    return bytes;
}

void coh_mpt_flush(coh_mpt_t *mpt, coh_kv_batch_t *batch, size_t bytes_max, bool puts_only)
{
    COH_ASSERT(!mpt->is_flushing && mpt->base == NULL);
    mpt->is_flushing = true;
    flush_ops_t ops  = {.text = COH_BUF_INIT};
    for (size_t bytes = 0; mpt->fifo_first != NULL && bytes <= bytes_max;) {
        bytes += flush_trie(mpt, mpt->fifo_first, &ops);
    }
    for (size_t i = 0; i < ops.cnt; i++) {
        ops.ops[i].key = ops.text.p + ops.ops[i].at;
    }
    if (ops.cnt != 0) {
        qsort(ops.ops, ops.cnt, sizeof(*ops.ops), compare_ops);
    }
    coh_bytes_t last = coh_bytes(NULL, 0);
    for (size_t i = 0; i < ops.cnt; i++) {
        coh_mpt_page_t const *page = ops.ops[i].page;
        coh_bytes_t key            = coh_bytes(ops.ops[i].key, ops.ops[i].n);
        if (coh_bytes_eq(key, last)) {
            continue;
        }
        last = key;
        if (page != NULL && page->bytes != 0) {
            coh_buf_t *out = &mpt->scratch;
            coh_buf_clear(out);
            size_t n = coh_mpt_store_page(coh_buf_extend(out, coh_mpt_stored_max(page)), page);
            coh_kv_batch_put(batch, mpt->config.table, key, coh_bytes(out->p, n));
        } else if (puts_only) {
            coh_kv_batch_put(batch, mpt->config.table, key, coh_bytes(NULL, 0));
        } else {
            coh_kv_batch_delete(batch, mpt->config.table, key);
        }
    }
    free(ops.ops);
    coh_buf_free(&ops.text);
}

void coh_mpt_flush_done(coh_mpt_t *mpt)
{
    COH_ASSERT(mpt->is_flushing);
    mpt->is_flushing = false;
    while (mpt->writing.first != NULL) {
        coh_mpt_page_rest(mpt, mpt->writing.first);
    }
    coh_mpt_trim(mpt);
}

uint64_t coh_mpt_dirty_since(coh_mpt_t const *mpt)
{
    uint64_t since = UINT64_MAX;
    for (coh_mpt_trie_t const *trie = mpt->fifo_first; trie != NULL; trie = trie->fifo_next) {
        since = COH_MIN(since, trie->dirty_since);
    }
    return since;
}
