/* Pages between memory and store: their stored form, and reading them, many at a time. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/checksum.h"
#include "common/trie/mpt_private.h"

/* Pages read from the store at a time. */
#define LOAD_MAX ((size_t)1024)

/* A stored page: kind (1); of pairs, their number (2) and they; of an inner page, fork (1), bitmap of children (2), path (32) and reference of the fork if it is below
   the page, and for each child the size of what is below (4) and its reference; a checksum (8) of all that. A reference: length (1), octets. */
enum { KIND_PAIRS = 1, KIND_INNER = 2, CHECKSUM_SZ = 8 };

#define STORED_INNER_MAX ((size_t)1 + 1 + 2 + 32 + 33 + 16 * (4 + 33) + CHECKSUM_SZ)

/* ---- Stored pages ---- */

static uint8_t *put_stored_ref(uint8_t *at, coh_mpt_ref_t const *ref)
{
    *at++ = ref->n;
    memcpy(at, ref->b, ref->n);
    return at + ref->n;
}

size_t coh_mpt_store_page(uint8_t *out, coh_mpt_page_t const *page)
{
    uint8_t *at = out;
    if (page->inner == NULL) {
        *at++ = KIND_PAIRS;
        *at++ = (uint8_t)page->cnt;
        *at++ = (uint8_t)(page->cnt >> 8);
        memcpy(at, page->pairs, page->bytes);
        at += page->bytes;
    } else {
        uint32_t bitmap = 0;
        for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
            bitmap |= (uint32_t)(page->inner->bytes[i] != 0) << i;
        }
        *at++ = KIND_INNER;
        *at++ = page->fork;
        *at++ = (uint8_t)bitmap;
        *at++ = (uint8_t)(bitmap >> 8);
        if (page->fork > page->depth) {
            memcpy(at, page->path, sizeof(page->path));
            at = put_stored_ref(at + sizeof(page->path), &page->fork_ref);
        }
        for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
            if (page->inner->bytes[i] != 0) {
                coh_store_u32_le(at, page->inner->bytes[i]);
                at = put_stored_ref(at + 4, &page->refs[i]);
            }
        }
    }
    coh_store_u64_le(at, coh_checksum64(out, (size_t)(at - out)));
    return (size_t)(at - out) + CHECKSUM_SZ;
}

size_t coh_mpt_stored_max(coh_mpt_page_t const *page)
{
    return page->inner == NULL ? 3 + page->bytes + CHECKSUM_SZ : STORED_INNER_MAX;
}

/* Whether key lies under the page. */
static bool is_under(coh_mpt_page_t const *page, uint8_t const *key)
{
    return coh_nibbles_fork(page->path, key, 0, page->depth) == page->depth;
}

static bool read_pairs(coh_mpt_pool_t *pool,
                       coh_mpt_page_t *page,
                       uint8_t const *at,
                       uint8_t const *end)
{
    if (end - at < 2) {
        return false;
    }
    uint32_t cnt         = (uint32_t)at[0] | (uint32_t)at[1] << 8;
    uint8_t const *start = at += 2;
    uint8_t const *last  = NULL;
    for (uint32_t i = 0; i < cnt; i++) {
        if ((size_t)(end - at) < COH_MPT_PAIR_HEAD || !coh_mpt_is_head(at[0]) ||
            (size_t)(end - at) < coh_mpt_pair_sz(at) || !is_under(page, coh_mpt_pair_key(at)) ||
            (last != NULL &&
             memcmp(coh_mpt_pair_key(last), coh_mpt_pair_key(at), sizeof(coh_hash_t)) >= 0)) {
            return false;
        }
        last = at;
        at += coh_mpt_pair_sz(at);
    }
    if (at != end || cnt == 0 || end - start > UINT16_MAX) {
        return false;
    }
    page->cnt   = cnt;
    page->bytes = (uint32_t)(end - start);
    page->pairs = coh_mpt_pairs_take(pool, page->cnt, page->bytes);
    memcpy(page->pairs, start, page->bytes);
    coh_mpt_index_pairs(page);
    return true;
}

static uint8_t const *read_stored_ref(coh_mpt_ref_t *out, uint8_t const *at, uint8_t const *end)
{
    if (at == end || at[0] == 0 || at[0] > sizeof(out->b) ||
        (size_t)(end - at) < (size_t)1 + at[0]) {
        return NULL;
    }
    out->n = at[0];
    memcpy(out->b, at + 1, out->n);
    return at + 1 + out->n;
}

/* The reference of the node at depth over the branch at page->fork, whose reference is fork_ref. */
static void chain_ref(coh_mpt_ref_t *out, coh_mpt_page_t const *page, size_t depth)
{
    if (page->fork == depth) {
        *out = page->fork_ref;
        return;
    }
    uint8_t rlp[COH_NODE_LEAF_MAX];
    coh_ref_set(
        out, rlp, coh_node_put_extension(rlp, page->path, depth, page->fork, &page->fork_ref));
}

static bool ref_eq(coh_mpt_ref_t const *a, coh_mpt_ref_t const *b)
{
    return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

static bool read_inner(coh_mpt_pool_t *pool,
                       coh_mpt_page_t *page,
                       uint8_t const *at,
                       uint8_t const *end)
{
    if (end - at < 3) {
        return false;
    }
    page->inner     = coh_mpt_pool_take(pool, sizeof(*page->inner));
    *page->inner    = (coh_mpt_inner_t){0};
    page->stale     = 0;
    page->fork      = at[0];
    uint32_t bitmap = (uint32_t)at[1] | (uint32_t)at[2] << 8;
    at += 3;
    bool is_chain = (bitmap & (bitmap - 1)) == 0;
    if (bitmap == 0 || page->fork < page->depth || page->fork >= COH_DEPTH_MAX ||
        is_chain != (page->fork > page->depth)) {
        return false;
    }
    if (is_chain) {
        if ((size_t)(end - at) < sizeof(page->path) || !is_under(page, at)) {
            return false;
        }
        memcpy(page->path, at, sizeof(page->path));
        at = read_stored_ref(&page->fork_ref, at + sizeof(page->path), end);
        if (at == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        if ((bitmap >> i & 1) != 0) {
            if (end - at < 4 || coh_load_u32_le(at) == 0) {
                return false;
            }
            page->inner->bytes[i] = coh_load_u32_le(at);
            page->bytes           = coh_mpt_add_sat(page->bytes, page->inner->bytes[i]);
            at                    = read_stored_ref(&page->refs[i], at + 4, end);
            if (at == NULL) {
                return false;
            }
        }
    }
    if (is_chain) {
        coh_mpt_ref_t below;
        uint32_t slot = coh_nibble(page->path, page->depth);
        chain_ref(&below, page, (size_t)page->depth + 1);
        if (bitmap != 1u << slot || !ref_eq(&below, &page->refs[slot])) {
            return false;
        }
    }
    return at == end;
}

/* Fills a new page from its stored form, but for the references that follow from pairs. */
static bool read_page(coh_mpt_pool_t *pool, coh_mpt_page_t *page, coh_bytes_t in)
{
    if (in.n < 1 + CHECKSUM_SZ) {
        return false;
    }
    uint8_t const *end = in.p + in.n - CHECKSUM_SZ;
    if (coh_load_u64_le(end) != coh_checksum64(in.p, in.n - CHECKSUM_SZ)) {
        return false;
    }
    switch (in.p[0]) {
    case KIND_PAIRS: return read_pairs(pool, page, in.p + 1, end);
    case KIND_INNER: return read_inner(pool, page, in.p + 1, end);
    default: return false;
    }
}

/* ---- Reading pages ---- */

static coh_mpt_load_t *new_load(coh_mpt_t *mpt)
{
    if (mpt->load_n == mpt->load_cap) {
        mpt->load_cap = mpt->load_cap == 0 ? 64 : mpt->load_cap * 2;
        mpt->loads    = coh_realloc(mpt->loads, mpt->load_cap * sizeof(*mpt->loads));
    }
    coh_mpt_load_t *load = &mpt->loads[mpt->load_n++];
    *load                = (coh_mpt_load_t){0};
    return load;
}

void coh_mpt_load_add(coh_mpt_t *mpt,
                      coh_mpt_trie_t *trie,
                      coh_mpt_page_t *parent,
                      uint32_t slot,
                      uint8_t const *key)
{
    coh_mpt_load_t *load = new_load(mpt);
    load->trie           = trie;
    load->parent         = parent;
    load->key            = key;
    load->slot           = (uint8_t)slot;
    load->depth          = (uint8_t)(parent == NULL ? trie->id.depth : parent->depth + 1);
}

static coh_err_t set_fault(coh_mpt_t *mpt, coh_mpt_load_t const *load, coh_err_t err)
{
    mpt->fault = (coh_mpt_fault_t){.id = load->trie->id, .depth = load->depth};
    for (size_t i = 0; i < load->depth; i++) {
        coh_nibble_set(mpt->fault.path, i, coh_nibble(load->key, i));
    }
    return err;
}

/* The page of the base that a view's new page begins as a copy of; NULL if it is not in memory there. */
static coh_mpt_page_t const *counterpart(coh_mpt_t const *mpt, coh_mpt_load_t const *load)
{
    if (mpt->base == NULL) {
        return NULL;
    }
    if (load->parent == NULL) {
        coh_mpt_trie_t const *trie = coh_mpt_find_trie(mpt->base, &load->trie->id);
        return trie == NULL ? NULL : trie->root;
    }
    coh_mpt_page_t const *parent = load->parent->base;
    return parent == NULL ? NULL : parent->inner->child[load->slot];
}

static void copy_page(coh_mpt_t *mpt, coh_mpt_load_t *load, coh_mpt_page_t const *from)
{
    coh_mpt_page_t *page = coh_mpt_page_new(mpt, load->trie, load->key, load->depth);
    coh_mpt_account_out(mpt, page);
    page->base     = from;
    page->bytes    = from->bytes;
    page->cnt      = from->cnt;
    page->stale    = from->stale;
    page->fork     = from->fork;
    page->fork_ref = from->fork_ref;
    memcpy(page->path, from->path, sizeof(page->path));
    memcpy(page->refs, from->refs, sizeof(page->refs));
    if (from->inner != NULL) {
        page->inner  = coh_mpt_pool_take(&mpt->pool, sizeof(*page->inner));
        *page->inner = (coh_mpt_inner_t){0};
        memcpy(page->inner->bytes, from->inner->bytes, sizeof(page->inner->bytes));
    } else if (from->bytes != 0) {
        page->pairs = coh_mpt_pairs_take(&mpt->pool, from->cnt, from->bytes);
        memcpy(page->pairs, from->pairs, from->bytes);
        coh_mpt_index_pairs(page);
    }
    coh_mpt_account_in(mpt, page);
    load->page = page;
    load->ref  = from->parent == NULL ? from->trie->ref : from->parent->refs[from->slot];
}

/* Makes the pages of the keys that the store has, unverified. */
static coh_err_t fetch(coh_mpt_t *mpt,
                       coh_mpt_load_t *loads,
                       size_t cnt,
                       coh_bytes_t *keys,
                       coh_err_t *errs,
                       size_t *lens)
{
    uint8_t text[LOAD_MAX][COH_MPT_KEY_MAX];
    size_t asked[LOAD_MAX];
    size_t n = 0;
    for (size_t i = 0; i < cnt; i++) {
        coh_mpt_page_t const *from = counterpart(mpt, &loads[i]);
        if (from != NULL) {
            copy_page(mpt, &loads[i], from);
            continue;
        }
        keys[n] = coh_bytes(
            text[n], coh_mpt_page_key(text[n], &loads[i].trie->id, loads[i].key, loads[i].depth));
        asked[n++] = i;
    }
    coh_kv_t *kv = mpt->config.kv;
    coh_buf_clear(&mpt->scratch);
    coh_buf_grow(&mpt->scratch, 1); /* values may all be empty: octets to point at */
    coh_err_t rc =
        n == 0 ? COH_OK
               : kv->ops->multi_get(kv, mpt->config.table, n, keys, errs, lens, &mpt->scratch);
    if (rc != COH_OK) {
        return set_fault(mpt, &loads[asked[0]], rc);
    }
    mpt->load_cnt += n;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        coh_mpt_load_t *load = &loads[asked[i]];
        coh_bytes_t in       = coh_bytes(mpt->scratch.p + at, lens[i]);
        bool is_there        = errs[i] == COH_OK && in.n != 0;
        coh_mpt_page_t *page = load->page =
            coh_mpt_page_new(mpt, load->trie, load->key, load->depth);
        at += lens[i];
        coh_mpt_account_out(mpt, page);
        bool ok = is_there ? read_page(&mpt->pool, page, in) : load->parent == NULL;
        coh_mpt_account_in(mpt, page);
        if (!ok) {
            return set_fault(mpt, load, COH_ECORRUPT);
        }
        if (page->inner != NULL) {
            coh_mpt_hash_inner(&mpt->hasher, page, &load->ref);
        } else {
            coh_mpt_hash_page(&mpt->hasher, page, &load->ref);
        }
    }
    return COH_OK;
}

static coh_err_t load_chunk(coh_mpt_t *mpt,
                            coh_mpt_load_t *loads,
                            size_t cnt,
                            coh_bytes_t *keys,
                            coh_err_t *errs,
                            size_t *lens)
{
    coh_err_t rc = fetch(mpt, loads, cnt, keys, errs, lens);
    coh_mpt_hash_run(&mpt->hasher);
    for (size_t i = 0; i < cnt; i++) {
        coh_mpt_load_t *load = &loads[i];
        coh_mpt_page_t *page = load->page;
        if (rc == COH_OK && load->parent != NULL &&
            !ref_eq(&load->ref, &load->parent->refs[load->slot])) {
            rc = set_fault(mpt, load, COH_ECORRUPT);
        }
        if (rc != COH_OK) {
            if (page != NULL) {
                coh_mpt_page_free(mpt, page);
                load->page = NULL;
            }
        } else if (load->parent == NULL) {
            load->trie->root = page;
            load->trie->ref  = load->ref;
            coh_mpt_page_rest(mpt, page);
        } else {
            coh_mpt_page_link(mpt, load->parent, page, load->slot);
            coh_mpt_page_rest(mpt, page);
        }
    }
    return rc;
}

coh_err_t coh_mpt_load_pages(coh_mpt_t *mpt)
{
    size_t max        = COH_MIN(mpt->load_n, LOAD_MAX);
    coh_bytes_t *keys = coh_calloc(max + 1, sizeof(*keys));
    coh_err_t *errs   = coh_calloc(max + 1, sizeof(*errs));
    size_t *lens      = coh_calloc(max + 1, sizeof(*lens));
    coh_err_t rc      = COH_OK;
    for (size_t at = 0; at < mpt->load_n && rc == COH_OK; at += LOAD_MAX) {
        rc =
            load_chunk(mpt, mpt->loads + at, COH_MIN(mpt->load_n - at, LOAD_MAX), keys, errs, lens);
    }
    free(lens);
    free(errs);
    free(keys);
    return rc;
}

void coh_mpt_drop_rootless(coh_mpt_t *mpt)
{
    for (size_t i = 0; i < mpt->load_n; i++) {
        coh_mpt_trie_t *trie = mpt->loads[i].trie;
        if (mpt->loads[i].parent == NULL && trie->root == NULL) {
            coh_mpt_trie_free(mpt, trie);
        }
    }
}

coh_err_t coh_mpt_root_page(coh_mpt_t *mpt, coh_mpt_id_t const *id, coh_mpt_page_t **out)
{
    coh_mpt_trie_t *trie = coh_mpt_find_trie(mpt, id);
    if (trie == NULL) {
        /* Any key does; of a bucket, its first nibbles. */
        uint8_t key[32] = {0};
        for (size_t i = 0; i < id->depth; i++) {
            COH_ASSERT(id->n == 3 && id->depth == 3);
            coh_nibble_set(key, i, ((uint32_t)id->b[1] << 8 | id->b[2]) >> (8 - 4 * i) & 15);
        }
        trie        = coh_mpt_trie_new(mpt, id);
        mpt->load_n = 0;
        coh_mpt_load_add(mpt, trie, NULL, 0, key);
        coh_err_t rc = coh_mpt_load_pages(mpt);
        if (rc != COH_OK) {
            coh_mpt_drop_rootless(mpt);
            return rc;
        }
    }
    *out = trie->root;
    return COH_OK;
}

coh_err_t coh_mpt_child_page(coh_mpt_t *mpt,
                             coh_mpt_page_t *page,
                             uint32_t slot,
                             coh_mpt_page_t **out)
{
    COH_ASSERT(page->inner->bytes[slot] != 0);
    if (page->inner->child[slot] == NULL) {
        uint8_t key[32];
        memcpy(key, page->path, sizeof(key));
        coh_nibble_set(key, page->depth, slot);
        mpt->load_n = 0;
        coh_mpt_load_add(mpt, page->trie, page, slot, key);
        COH_TRY(coh_mpt_load_pages(mpt));
    }
    *out = page->inner->child[slot];
    return COH_OK;
}
