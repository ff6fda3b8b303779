/* Pages in memory: the tries they belong to, the lists they are on, what they take. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/trie/mpt_private.h"

/* ---- Identity ---- */

coh_mpt_id_t coh_mpt_id_bucket(uint32_t bucket)
{
    COH_ASSERT(bucket < 4096);
    return (coh_mpt_id_t){.n = 3, .depth = 3, .b = {'a', (uint8_t)(bucket >> 8), (uint8_t)bucket}};
}

coh_mpt_id_t coh_mpt_id_storage(coh_hash_t const *account, uint32_t generation)
{
    coh_mpt_id_t id = {.n = COH_MPT_ID_MAX, .depth = 0, .b = {'s'}};
    memcpy(id.b + 1, account->b, sizeof(account->b));
    for (size_t i = 0; i < 4; i++) {
        id.b[33 + i] = (uint8_t)(generation >> (24 - 8 * i));
    }
    return id;
}

coh_err_t coh_mpt_key_bucket(uint32_t *bucket, coh_bytes_t key)
{
    uint8_t const *p = key.p;
    if (key.n > 3 && key.n <= COH_MPT_KEY_MAX && p[0] == 'a' && p[1] < 16) {
        *bucket = (uint32_t)p[1] << 8 | p[2];
        return COH_OK;
    }
    if (key.n > COH_MPT_ID_MAX && key.n <= COH_MPT_KEY_MAX && p[0] == 's') {
        *bucket = (uint32_t)p[1] << 4 | p[2] >> 4;
        return COH_OK;
    }
    return COH_EMALFORMED;
}

size_t coh_mpt_page_key(uint8_t out[COH_MPT_KEY_MAX],
                        coh_mpt_id_t const *id,
                        uint8_t const *path,
                        size_t depth)
{
    size_t n      = id->n;
    size_t path_n = (depth + 1) / 2;
    memcpy(out, id->b, n);
    memcpy(out + n, path, path_n);
    n += path_n;
    if (depth % 2 != 0) {
        out[n - 1] &= 0xf0;
    }
    out[n++] = (uint8_t)depth;
    return n;
}

/* ---- Pairs ---- */

/* What the value of an account without storage and code ends in. */
static void put_tail(uint8_t out[COH_MPT_TAIL_SZ])
{
    out[0] = 0xa0;
    memcpy(out + 1, COH_EMPTY_TRIE_ROOT.b, 32);
    out[33] = 0xa0;
    memcpy(out + 34, COH_KECCAK_EMPTY.b, 32);
}

uint8_t coh_mpt_head(coh_bytes_t value)
{
    if (value.n >= COH_MPT_TAIL_SZ) {
        uint8_t const *tail = value.p + value.n - COH_MPT_TAIL_SZ;
        if (tail[0] == 0xa0 && tail[33] == 0xa0 && memcmp(tail + 34, COH_KECCAK_EMPTY.b, 32) == 0 &&
            memcmp(tail + 1, COH_EMPTY_TRIE_ROOT.b, 32) == 0) {
            return (uint8_t)(COH_MPT_SLIM + (value.n - COH_MPT_TAIL_SZ));
        }
    }
    return (uint8_t)value.n;
}

coh_bytes_t coh_mpt_pair_value(uint8_t const *pair, uint8_t room[COH_NODE_VALUE_MAX])
{
    size_t n = coh_mpt_stored_sz(pair[0]);
    if (pair[0] < COH_MPT_SLIM) {
        return coh_bytes(pair + COH_MPT_PAIR_HEAD, n);
    }
    memcpy(room, pair + COH_MPT_PAIR_HEAD, n);
    put_tail(room + n);
    return coh_bytes(room, n + COH_MPT_TAIL_SZ);
}

/* ---- Lists ---- */

void coh_mpt_list_push(coh_mpt_list_t *list, coh_mpt_page_t *page)
{
    page->prev = NULL;
    page->next = list->first;
    if (list->first != NULL) {
        list->first->prev = page;
    } else {
        list->last = page;
    }
    list->first = page;
}

static void list_append(coh_mpt_list_t *list, coh_mpt_page_t *page)
{
    page->next = NULL;
    page->prev = list->last;
    if (list->last != NULL) {
        list->last->next = page;
    } else {
        list->first = page;
    }
    list->last = page;
}

static void list_remove(coh_mpt_list_t *list, coh_mpt_page_t *page)
{
    if (page->prev != NULL) {
        page->prev->next = page->next;
    } else {
        list->first = page->next;
    }
    if (page->next != NULL) {
        page->next->prev = page->prev;
    } else {
        list->last = page->prev;
    }
}

/* ---- Tries in memory ---- */

size_t coh_mpt_trie_slot(coh_mpt_t const *mpt, coh_mpt_id_t const *id)
{
    uint64_t h = mpt->config.seed ^ id->n;
    for (size_t i = 0; i < id->n; i += 8) {
        uint8_t word[8] = {0};
        memcpy(word, id->b + i, COH_MIN((size_t)8, id->n - i));
        h = coh_mix64(h ^ coh_load_u64_le(word)) + mpt->config.seed;
    }
    return h & (mpt->table_cap - 1);
}

static bool id_eq(coh_mpt_id_t const *a, coh_mpt_id_t const *b)
{
    return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

coh_mpt_trie_t *coh_mpt_find_trie(coh_mpt_t const *mpt, coh_mpt_id_t const *id)
{
    coh_mpt_trie_t *trie = mpt->table[coh_mpt_trie_slot(mpt, id)];
    while (trie != NULL && !id_eq(&trie->id, id)) {
        trie = trie->chain;
    }
    COH_ASSERT(trie == NULL || trie->id.depth == id->depth);
    return trie;
}

static void grow_table(coh_mpt_t *mpt)
{
    size_t old_cap       = mpt->table_cap;
    coh_mpt_trie_t **old = mpt->table;
    mpt->table_cap       = old_cap * 2;
    mpt->table           = coh_calloc(mpt->table_cap, sizeof(coh_mpt_trie_t *));
    for (size_t i = 0; i < old_cap; i++) {
        for (coh_mpt_trie_t *trie = old[i]; trie != NULL;) {
            coh_mpt_trie_t *next = trie->chain;
            size_t slot          = coh_mpt_trie_slot(mpt, &trie->id);
            trie->chain          = mpt->table[slot];
            mpt->table[slot]     = trie;
            trie                 = next;
        }
    }
    free(old);
}

coh_mpt_trie_t *coh_mpt_trie_new(coh_mpt_t *mpt, coh_mpt_id_t const *id)
{
    COH_ASSERT(id->n != 0 && id->n <= COH_MPT_ID_MAX && id->depth < COH_DEPTH_MAX);
    if (mpt->trie_cnt == mpt->table_cap / 2) {
        grow_table(mpt);
    }
    coh_mpt_trie_t *trie = coh_mpt_pool_take(&mpt->pool, sizeof(*trie));
    *trie                = (coh_mpt_trie_t){.id = *id};
    size_t slot          = coh_mpt_trie_slot(mpt, id);
    trie->chain          = mpt->table[slot];
    mpt->table[slot]     = trie;
    mpt->trie_cnt++;
    return trie;
}

void coh_mpt_fifo_remove(coh_mpt_t *mpt, coh_mpt_trie_t *trie)
{
    COH_ASSERT(trie->is_dirty);
    *(trie->fifo_prev != NULL ? &trie->fifo_prev->fifo_next : &mpt->fifo_first) = trie->fifo_next;
    *(trie->fifo_next != NULL ? &trie->fifo_next->fifo_prev : &mpt->fifo_last)  = trie->fifo_prev;
    trie->is_dirty                                                              = false;
}

void coh_mpt_trie_free(coh_mpt_t *mpt, coh_mpt_trie_t *trie)
{
    coh_mpt_trie_t **at = &mpt->table[coh_mpt_trie_slot(mpt, &trie->id)];
    while (*at != trie) {
        at = &(*at)->chain;
    }
    *at = trie->chain;
    mpt->trie_cnt--;
    if (trie->is_dirty) {
        coh_mpt_fifo_remove(mpt, trie);
    }
    coh_buf_free(&trie->gone);
    coh_mpt_pool_give(&mpt->pool, trie, sizeof(*trie));
}

/* ---- Pages in memory ---- */

static size_t pairs_sz(uint32_t cnt, uint32_t bytes) { return cnt * sizeof(uint32_t) + bytes; }

uint8_t *coh_mpt_pairs_take(coh_mpt_pool_t *pool, uint32_t cnt, uint32_t bytes)
{
    if (cnt == 0) {
        return NULL;
    }
    uint8_t *p = coh_mpt_pool_take(pool, pairs_sz(cnt, bytes));
    return p + cnt * sizeof(uint32_t);
}

void coh_mpt_pairs_give(coh_mpt_pool_t *pool, uint8_t *pairs, uint32_t cnt, uint32_t bytes)
{
    if (pairs != NULL) {
        coh_mpt_pool_give(pool, pairs - cnt * sizeof(uint32_t), pairs_sz(cnt, bytes));
    }
}

void coh_mpt_index_pairs(coh_mpt_page_t *page)
{
    COH_ASSERT(page->inner == NULL && page->bytes <= UINT16_MAX);
    uint32_t *index = page->cnt == 0 ? NULL : (uint32_t *)(void *)page->pairs - page->cnt;
    uint32_t at     = 0;
    for (uint32_t i = 0; i < page->cnt; i++) {
        uint8_t const *pair = page->pairs + at;
        index[i]            = coh_mpt_tag(coh_mpt_pair_key(pair), page->depth) << 16 | at;
        at += (uint32_t)coh_mpt_pair_sz(pair);
    }
    COH_ASSERT(at == page->bytes);
}

size_t coh_mpt_page_mem(coh_mpt_page_t const *page)
{
    return coh_mpt_block_sz(sizeof(*page)) +
           coh_mpt_block_sz(page->inner != NULL ? sizeof(*page->inner)
                                                : pairs_sz(page->cnt, page->bytes));
}

void coh_mpt_account_out(coh_mpt_t *mpt, coh_mpt_page_t const *page)
{
    mpt->page_bytes -= coh_mpt_page_mem(page);
    if (page->state == COH_MPT_PAGE_DIRTY) {
        mpt->dirty_bytes -= coh_mpt_page_mem(page);
    }
}

void coh_mpt_account_in(coh_mpt_t *mpt, coh_mpt_page_t const *page)
{
    mpt->page_bytes += coh_mpt_page_mem(page);
    if (page->state == COH_MPT_PAGE_DIRTY) {
        mpt->dirty_bytes += coh_mpt_page_mem(page);
    }
}

coh_mpt_page_t *coh_mpt_page_new(coh_mpt_t *mpt,
                                 coh_mpt_trie_t *trie,
                                 uint8_t const *key,
                                 size_t depth)
{
    coh_mpt_page_t *page = coh_mpt_pool_take(&mpt->pool, sizeof(*page));
    *page                = (coh_mpt_page_t){.trie  = trie,
                                            .state = COH_MPT_PAGE_PINNED,
                                            .depth = (uint8_t)depth,
                                            .fork  = COH_DEPTH_MAX,
                                            .stale = UINT16_MAX};
    memcpy(page->path, key, sizeof(page->path));
    mpt->page_cnt++;
    coh_mpt_account_in(mpt, page);
    return page;
}

void coh_mpt_page_unlist(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    switch ((coh_mpt_page_state_t)page->state) {
    case COH_MPT_PAGE_PINNED: break;
    case COH_MPT_PAGE_IDLE: list_remove(&mpt->idle, page); break;
    case COH_MPT_PAGE_WRITING: list_remove(&mpt->writing, page); break;
    case COH_MPT_PAGE_DIRTY:
        list_remove(&page->trie->dirty, page);
        mpt->dirty_bytes -= coh_mpt_page_mem(page);
        break;
    }
    page->state = COH_MPT_PAGE_PINNED;
}

void coh_mpt_page_rest(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    coh_mpt_page_unlist(mpt, page);
    if (page->resident == 0) {
        page->state = COH_MPT_PAGE_IDLE;
        coh_mpt_list_push(&mpt->idle, page);
    }
}

void coh_mpt_page_dirty(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    coh_mpt_trie_t *trie = page->trie;
    if (page->state != COH_MPT_PAGE_DIRTY) {
        coh_mpt_page_unlist(mpt, page);
        page->state = COH_MPT_PAGE_DIRTY;
        coh_mpt_list_push(&trie->dirty, page);
        mpt->dirty_bytes += coh_mpt_page_mem(page);
    }
    if (!trie->is_dirty) {
        trie->is_dirty                                                            = true;
        trie->dirty_since                                                         = mpt->block;
        trie->fifo_next                                                           = NULL;
        trie->fifo_prev                                                           = mpt->fifo_last;
        *(mpt->fifo_last != NULL ? &mpt->fifo_last->fifo_next : &mpt->fifo_first) = trie;
        mpt->fifo_last                                                            = trie;
    }
    trie->dirty_since = COH_MIN(trie->dirty_since, mpt->block); /* after an undo, a lower one */
}

void coh_mpt_page_link(coh_mpt_t *mpt, coh_mpt_page_t *parent, coh_mpt_page_t *page, uint32_t slot)
{
    COH_ASSERT(parent->inner->child[slot] == NULL);
    parent->inner->child[slot] = page;
    parent->resident++;
    page->parent = parent;
    page->slot   = (uint8_t)slot;
    if (parent->state == COH_MPT_PAGE_IDLE) {
        coh_mpt_page_unlist(mpt, parent);
    }
}

void coh_mpt_page_unlink(coh_mpt_page_t *page)
{
    coh_mpt_page_t *parent = page->parent;
    COH_ASSERT(parent->inner->child[page->slot] == page);
    parent->inner->child[page->slot] = NULL;
    parent->resident--;
}

void coh_mpt_page_free(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    coh_mpt_page_unlist(mpt, page);
    coh_mpt_account_out(mpt, page);
    mpt->page_cnt--;
    coh_mpt_pairs_give(&mpt->pool, page->pairs, page->cnt, page->bytes);
    coh_mpt_pool_give(&mpt->pool, page->inner, sizeof(*page->inner));
    coh_mpt_pool_give(&mpt->pool, page, sizeof(*page));
}

void coh_mpt_note_gone(coh_mpt_page_t const *page)
{
    coh_buf_t *gone = &page->trie->gone;
    uint8_t key[COH_MPT_KEY_MAX];
    size_t n = coh_mpt_page_key(key, &page->trie->id, page->path, page->depth);
    coh_buf_put_u8(gone, (uint8_t)n);
    coh_buf_put(gone, key, n);
}

void coh_mpt_free_below(coh_mpt_t *mpt, coh_mpt_page_t *page, bool noted)
{
    if (page->inner == NULL) {
        return;
    }
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        coh_mpt_page_t *child = page->inner->child[i];
        if (child == NULL) {
            continue;
        }
        coh_mpt_free_below(mpt, child, noted);
        coh_mpt_page_unlink(child);
        if (noted) {
            coh_mpt_note_gone(child);
        }
        coh_mpt_page_free(mpt, child);
    }
}

static void evict(coh_mpt_t *mpt, coh_mpt_page_t *page)
{
    COH_ASSERT(page->state == COH_MPT_PAGE_IDLE && page->resident == 0);
    coh_mpt_page_t *parent = page->parent;
    if (parent == NULL) {
        coh_mpt_trie_free(mpt, page->trie);
    } else {
        coh_mpt_page_unlink(page);
        if (parent->resident == 0 && parent->state == COH_MPT_PAGE_PINNED) {
            parent->state = COH_MPT_PAGE_IDLE;
            list_append(&mpt->idle, parent);
        }
    }
    coh_mpt_page_free(mpt, page);
}

void coh_mpt_trim(coh_mpt_t *mpt)
{
    while (mpt->idle.last != NULL && mpt->page_bytes - mpt->dirty_bytes > mpt->config.cache_bytes) {
        evict(mpt, mpt->idle.last);
    }
}
