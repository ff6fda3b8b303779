/* Hashing: nodes of many pages and tries together, the deepest level first, so that all inputs of a level fill the lanes of the multi-buffer Keccak. */
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "common/trie/mpt_private.h"

#define NONE UINT32_MAX
/* Nodes encoded before they are hashed: their RLP stays in the cache. */
#define CHUNK 64u

enum { LEAF, EXTENSION, BRANCH, COPY };

void coh_mpt_hasher_init(coh_mpt_hasher_t *h)
{
    *h     = (coh_mpt_hasher_t){.arena = COH_ARENA_INIT};
    h->rlp = coh_calloc(CHUNK, COH_NODE_RLP_MAX);
    for (size_t i = 0; i <= COH_DEPTH_MAX; i++) {
        h->heads[i] = NONE;
    }
}

void coh_mpt_hasher_fini(coh_mpt_hasher_t *h)
{
    free(h->nodes);
    free(h->rlp);
    coh_arena_free(&h->arena);
}

static coh_mpt_hash_node_t *add(coh_mpt_hasher_t *h, uint32_t kind, size_t from)
{
    if (h->cnt == h->cap) {
        h->cap   = h->cap == 0 ? 256 : h->cap * 2;
        h->nodes = coh_realloc(h->nodes, h->cap * sizeof(*h->nodes));
    }
    COH_ASSERT(from <= COH_DEPTH_MAX);
    coh_mpt_hash_node_t *node = &h->nodes[h->cnt];
    node->kind                = (uint8_t)kind;
    node->from                = (uint8_t)from;
    node->next                = h->heads[from];
    h->heads[from]            = h->cnt++;
    return node;
}

static void add_leaf(coh_mpt_hasher_t *h, size_t from, uint8_t const *pair, coh_mpt_ref_t *dest)
{
    coh_mpt_hash_node_t *node = add(h, LEAF, from);
    node->key                 = pair;
    node->dest                = dest;
}

static void add_branch(coh_mpt_hasher_t *h,
                       size_t from,
                       coh_mpt_ref_t const *children,
                       coh_mpt_ref_t *dest)
{
    coh_mpt_hash_node_t *node = add(h, BRANCH, from);
    node->src                 = children;
    node->dest                = dest;
}

static void add_extension(coh_mpt_hasher_t *h,
                          size_t from,
                          size_t to,
                          uint8_t const *key,
                          coh_mpt_ref_t const *child,
                          coh_mpt_ref_t *dest)
{
    coh_mpt_hash_node_t *node = add(h, EXTENSION, from);
    node->to                  = (uint8_t)to;
    node->key                 = key;
    node->src                 = child;
    node->dest                = dest;
}

static uint8_t const *key_at(coh_mpt_page_t const *page, size_t i)
{
    return coh_mpt_pair_key(coh_mpt_pair_at(page, i));
}

/* Adds what stands at depth over the pairs lo..hi, which agree in depth nibbles. */
static void add_range(coh_mpt_hasher_t *h,
                      coh_mpt_page_t const *page,
                      size_t lo,
                      size_t hi,
                      size_t depth,
                      coh_mpt_ref_t *dest)
{
    if (hi - lo == 1) {
        add_leaf(h, depth, coh_mpt_pair_at(page, lo), dest);
        return;
    }
    uint8_t const *key = key_at(page, lo);
    size_t fork        = coh_nibbles_fork(key, key_at(page, hi - 1), depth, COH_DEPTH_MAX);
    COH_ASSERT(fork < COH_DEPTH_MAX);
    coh_mpt_ref_t *refs = coh_arena_alloc(&h->arena, (COH_NODE_CHILD_CNT + 1) * sizeof(*refs));
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        refs[i].n = 0;
    }
    while (lo < hi) {
        uint32_t slot = coh_nibble(key_at(page, lo), fork);
        size_t end    = lo + 1;
        while (end < hi && coh_nibble(key_at(page, end), fork) == slot) {
            end++;
        }
        add_range(h, page, lo, end, fork + 1, &refs[slot]);
        lo = end;
    }
    if (fork > depth) {
        coh_mpt_ref_t *branch = &refs[COH_NODE_CHILD_CNT];
        add_extension(h, depth, fork, key, branch, dest);
        dest = branch;
    }
    add_branch(h, fork, refs, dest);
}

/* Where the topmost branch over a page's pairs stands, two at least. Tags tell it mostly. */
static size_t page_fork(coh_mpt_page_t const *page)
{
    uint32_t const *index = coh_mpt_index(page);
    uint32_t differ       = (index[0] ^ index[page->cnt - 1]) >> 16;
    if (differ != 0) {
        return page->depth + (uint32_t)(__builtin_clz(differ) - 16) / 4;
    }
    return coh_nibbles_fork(
        key_at(page, 0), key_at(page, page->cnt - 1), page->depth, COH_DEPTH_MAX);
}

/* The nibble at fork of a pair's key. */
static uint32_t slot_at(coh_mpt_page_t const *page, size_t i, size_t fork)
{
    size_t in_tag = fork - page->depth;
    return in_tag < 4 ? coh_mpt_index(page)[i] >> (28 - 4 * in_tag) & 15
                      : coh_nibble(key_at(page, i), fork);
}

static void hash_pairs(coh_mpt_hasher_t *h, coh_mpt_page_t *page, coh_mpt_ref_t *dest)
{
    if (page->cnt <= 1) {
        page->fork = COH_DEPTH_MAX;
        dest->n    = 0;
        if (page->cnt == 1) {
            add_leaf(h, page->depth, page->pairs, dest);
        }
        return;
    }
    size_t fork = page_fork(page);
    COH_ASSERT(fork < COH_DEPTH_MAX);
    if (fork != page->fork) {
        page->stale = UINT16_MAX;
        page->fork  = (uint8_t)fork;
    }
    for (uint32_t slot = 0; slot < COH_NODE_CHILD_CNT; slot++) {
        if ((page->stale >> slot & 1) != 0) {
            page->refs[slot].n = 0;
        }
    }
    for (size_t lo = 0; lo < page->cnt;) {
        uint32_t slot = slot_at(page, lo, fork);
        size_t end    = lo + 1;
        while (end < page->cnt && slot_at(page, end, fork) == slot) {
            end++;
        }
        if ((page->stale >> slot & 1) != 0) {
            add_range(h, page, lo, end, fork + 1, &page->refs[slot]);
        }
        lo = end;
    }
    page->stale = 0;
    if (fork > page->depth) {
        memcpy(page->path, key_at(page, 0), sizeof(page->path));
        add_extension(h, page->depth, fork, page->path, &page->fork_ref, dest);
        dest = &page->fork_ref;
    }
    add_branch(h, fork, page->refs, dest);
}

void coh_mpt_hash_inner(coh_mpt_hasher_t *h, coh_mpt_page_t const *page, coh_mpt_ref_t *dest)
{
    if (page->fork == page->depth) {
        add_branch(h, page->depth, page->refs, dest);
    } else {
        add_extension(h, page->depth, page->fork, page->path, &page->fork_ref, dest);
    }
}

void coh_mpt_hash_page(coh_mpt_hasher_t *h, coh_mpt_page_t *page, coh_mpt_ref_t *dest)
{
    if (page->inner == NULL) {
        hash_pairs(h, page, dest);
        return;
    }
    uint32_t slot = 0;
    uint32_t cnt  = coh_mpt_child_cnt(page, &slot);
    COH_ASSERT(cnt != 0);
    page->stale = 0;
    if (cnt > 1) {
        page->fork = page->depth;
        add_branch(h, page->depth, page->refs, dest);
        return;
    }
    /* No branch here: the path leads on to that of the child, whose reference is copied once it is known. */
    coh_mpt_page_t const *child = page->inner->child[slot];
    COH_ASSERT(child != NULL && child->fork < COH_DEPTH_MAX);
    coh_mpt_ref_t const *src = child->fork == child->depth ? &page->refs[slot] : &child->fork_ref;
    page->fork               = child->fork;
    memcpy(page->path, child->path, sizeof(page->path));
    add_extension(h, page->depth, page->fork, page->path, src, dest);
    coh_mpt_hash_node_t *copy = add(h, COPY, page->depth);
    copy->src                 = src;
    copy->dest                = &page->fork_ref;
}

static size_t encode(uint8_t *out, coh_mpt_hash_node_t const *node)
{
    uint8_t room[COH_NODE_VALUE_MAX];
    switch (node->kind) {
    case LEAF:
        return coh_node_put_leaf(
            out, coh_mpt_pair_key(node->key), node->from, coh_mpt_pair_value(node->key, room));
    case EXTENSION: return coh_node_put_extension(out, node->key, node->from, node->to, node->src);
    default: return coh_node_put_branch(out, node->src);
    }
}

static void run_level(coh_mpt_hasher_t *h, uint32_t at)
{
    coh_bytes_t in[CHUNK];
    coh_hash_t out[CHUNK];
    coh_mpt_ref_t *dest[CHUNK];
    while (at != NONE) {
        size_t cnt = 0;
        while (at != NONE && cnt < CHUNK) {
            coh_mpt_hash_node_t const *node = &h->nodes[at];
            at                              = node->next;
            if (node->kind == COPY) {
                *node->dest = *node->src;
                continue;
            }
            uint8_t *rlp = h->rlp + cnt * COH_NODE_RLP_MAX;
            size_t n     = encode(rlp, node);
            if (n < sizeof(coh_hash_t)) {
                coh_ref_set(node->dest, rlp, n);
                continue;
            }
            in[cnt]     = coh_bytes(rlp, n);
            dest[cnt++] = node->dest;
        }
        coh_keccak256_many(out, in, cnt);
        for (size_t i = 0; i < cnt; i++) {
            dest[i]->n = sizeof(coh_hash_t);
            memcpy(dest[i]->b, out[i].b, sizeof(coh_hash_t));
        }
    }
}

void coh_mpt_hash_run(coh_mpt_hasher_t *h)
{
    for (size_t level = COH_DEPTH_MAX + 1; level-- > 0;) {
        run_level(h, h->heads[level]);
        h->heads[level] = NONE;
    }
    h->total += h->cnt;
    h->cnt = 0;
    coh_arena_reset(&h->arena, (size_t)16 << 20);
}
