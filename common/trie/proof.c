#include "common/trie/proof.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/mpt_private.h"

void coh_proof_free(coh_proof_t *proof)
{
    coh_buf_free(&proof->rlp);
    proof->cnt = 0;
}

void coh_proof_add(coh_proof_t *proof, coh_bytes_t rlp)
{
    COH_ASSERT(proof->cnt < COH_PROOF_NODE_MAX);
    coh_buf_put(&proof->rlp, rlp.p, rlp.n);
    proof->ends[proof->cnt++] = proof->rlp.n;
}

coh_err_t coh_proof_read(coh_proof_t *proof, coh_bytes_t list)
{
    coh_rlp_t reader = coh_rlp_reader(list);
    coh_rlp_t nodes;
    proof->cnt = 0;
    coh_buf_clear(&proof->rlp);
    COH_TRY(coh_rlp_list(&reader, &nodes));
    COH_TRY(coh_rlp_end(&reader));
    while (!coh_rlp_at_end(&nodes)) {
        coh_bytes_t node;
        COH_TRY(coh_rlp_string(&nodes, &node));
        if (proof->cnt == COH_PROOF_NODE_MAX) {
            return COH_EMALFORMED;
        }
        coh_proof_add(proof, node);
    }
    return COH_OK;
}

coh_bytes_t coh_proof_node(coh_proof_t const *proof, size_t idx)
{
    COH_ASSERT(idx < proof->cnt);
    size_t at = idx == 0 ? 0 : proof->ends[idx - 1];
    size_t n  = proof->ends[idx] - at;
    return n == 0 ? coh_bytes(NULL, 0) : coh_bytes(proof->rlp.p + at, n);
}

/* ---- Making ---- */

/* Appends a node unless it is part of its parent. */
static void emit(coh_proof_t *proof, uint8_t const *rlp, size_t n)
{
    if (n >= sizeof(coh_hash_t) || proof->cnt == 0) {
        coh_proof_add(proof, coh_bytes(rlp, n));
    }
}

static size_t range_end(uint8_t const *const *pairs, size_t lo, size_t hi, size_t fork)
{
    uint32_t slot = coh_nibble(coh_mpt_pair_key(pairs[lo]), fork);
    while (lo < hi && coh_nibble(coh_mpt_pair_key(pairs[lo]), fork) == slot) {
        lo++;
    }
    return lo;
}

static size_t range_fork(uint8_t const *const *pairs, size_t lo, size_t hi, size_t depth)
{
    return coh_nibbles_fork(
        coh_mpt_pair_key(pairs[lo]), coh_mpt_pair_key(pairs[hi - 1]), depth, COH_DEPTH_MAX);
}

static void range_ref(coh_mpt_ref_t *out,
                      uint8_t const *const *pairs,
                      size_t lo,
                      size_t hi,
                      size_t depth);

/* The references of the branch at fork over the pairs lo..hi. */
static void range_refs(coh_mpt_ref_t refs[COH_NODE_CHILD_CNT],
                       uint8_t const *const *pairs,
                       size_t lo,
                       size_t hi,
                       size_t fork)
{
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        refs[i].n = 0;
    }
    while (lo < hi) {
        size_t end = range_end(pairs, lo, hi, fork);
        range_ref(&refs[coh_nibble(coh_mpt_pair_key(pairs[lo]), fork)], pairs, lo, end, fork + 1);
        lo = end;
    }
}

/* The reference of what stands at depth over the pairs lo..hi, one node at a time. The depth of the recursion is that of the trie. */
static void range_ref(coh_mpt_ref_t *out,
                      uint8_t const *const *pairs,
                      size_t lo,
                      size_t hi,
                      size_t depth)
{
    uint8_t rlp[COH_NODE_RLP_MAX];
    uint8_t const *key = coh_mpt_pair_key(pairs[lo]);
    if (hi - lo == 1) {
        uint8_t room[COH_NODE_VALUE_MAX];
        coh_bytes_t value = coh_mpt_pair_value(pairs[lo], room);
        coh_ref_set(out, rlp, coh_node_put_leaf(rlp, key, depth, value));
        return;
    }
    size_t fork = range_fork(pairs, lo, hi, depth);
    coh_mpt_ref_t refs[COH_NODE_CHILD_CNT];
    range_refs(refs, pairs, lo, hi, fork);
    coh_ref_set(out, rlp, coh_node_put_branch(rlp, refs));
    if (fork > depth) {
        coh_mpt_ref_t branch = *out;
        coh_ref_set(out, rlp, coh_node_put_extension(rlp, key, depth, fork, &branch));
    }
}

/* Emits what is on the path of key from depth on over the pairs lo..hi. */
static void prove_range(coh_proof_t *proof,
                        uint8_t const *const *pairs,
                        size_t lo,
                        size_t hi,
                        size_t depth,
                        uint8_t const *key)
{
    uint8_t rlp[COH_NODE_RLP_MAX];
    while (hi - lo > 1) {
        coh_mpt_ref_t refs[COH_NODE_CHILD_CNT];
        uint8_t const *first = coh_mpt_pair_key(pairs[lo]);
        size_t fork          = range_fork(pairs, lo, hi, depth);
        range_refs(refs, pairs, lo, hi, fork);
        size_t n = coh_node_put_branch(rlp, refs);
        if (fork > depth) {
            uint8_t extension[COH_NODE_LEAF_MAX];
            coh_mpt_ref_t branch;
            coh_ref_set(&branch, rlp, n);
            emit(proof, extension, coh_node_put_extension(extension, first, depth, fork, &branch));
            if (coh_nibbles_fork(first, key, depth, fork) != fork) {
                return;
            }
        }
        emit(proof, rlp, n);
        while (lo < hi && coh_nibble(coh_mpt_pair_key(pairs[lo]), fork) < coh_nibble(key, fork)) {
            lo++;
        }
        if (lo == hi || coh_nibble(coh_mpt_pair_key(pairs[lo]), fork) != coh_nibble(key, fork)) {
            return;
        }
        hi    = range_end(pairs, lo, hi, fork);
        depth = fork + 1;
    }
    uint8_t room[COH_NODE_VALUE_MAX];
    coh_bytes_t value = coh_mpt_pair_value(pairs[lo], room);
    emit(proof, rlp, coh_node_put_leaf(rlp, coh_mpt_pair_key(pairs[lo]), depth, value));
}

static void prove_pairs(coh_proof_t *proof,
                        coh_mpt_page_t const *page,
                        size_t depth,
                        uint8_t const *key)
{
    uint8_t const **pairs = coh_calloc((size_t)page->cnt + 1, sizeof(*pairs));
    uint8_t const *at     = page->pairs;
    for (uint32_t i = 0; i < page->cnt; i++) {
        pairs[i] = at;
        at += coh_mpt_pair_sz(at);
    }
    if (page->cnt != 0) {
        prove_range(proof, pairs, 0, page->cnt, depth, key);
    }
    free(pairs);
}

coh_err_t coh_mpt_prove(coh_mpt_t *mpt,
                        coh_proof_t *proof,
                        coh_mpt_id_t const *id,
                        coh_hash_t const *key)
{
    proof->cnt = 0;
    coh_buf_clear(&proof->rlp);
    coh_mpt_page_t *page;
    COH_TRY(coh_mpt_root_page(mpt, id, &page));
    size_t depth = page->depth; /* of the next node */
    while (page->inner != NULL) {
        uint8_t rlp[COH_NODE_RLP_MAX];
        uint32_t slot = 0;
        if (page->fork > depth) {
            emit(proof,
                 rlp,
                 coh_node_put_extension(rlp, page->path, depth, page->fork, &page->fork_ref));
            if (coh_nibbles_fork(page->path, key->b, depth, page->fork) != page->fork) {
                coh_mpt_trim(mpt);
                return COH_OK;
            }
            depth = page->fork;
        }
        /* Of a single child, the extension has said it all; it leads to some page further below. */
        if (coh_mpt_child_cnt(page, &slot) > 1) {
            emit(proof, rlp, coh_node_put_branch(rlp, page->refs));
            slot = coh_nibble(key->b, page->depth);
            if (page->inner->bytes[slot] == 0) {
                coh_mpt_trim(mpt);
                return COH_OK;
            }
            depth = (size_t)page->depth + 1;
        }
        COH_TRY(coh_mpt_child_page(mpt, page, slot, &page));
    }
    prove_pairs(proof, page, depth, key->b);
    coh_mpt_trim(mpt);
    return COH_OK;
}

/* ---- Checking ---- */

/* What a parent holds of its child: an RLP item. */
typedef struct {
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t raw;
} item_t;

enum { ITEM_CNT = COH_NODE_CHILD_CNT + 1 };

/* Takes a node apart: 2 or 17 items. */
static coh_err_t read_node(item_t items[ITEM_CNT], size_t *cnt, coh_bytes_t rlp)
{
    coh_rlp_t outer = coh_rlp_reader(rlp);
    coh_rlp_t list;
    COH_TRY(coh_rlp_list(&outer, &list));
    COH_TRY(coh_rlp_end(&outer));
    *cnt = 0;
    while (!coh_rlp_at_end(&list)) {
        if (*cnt == ITEM_CNT) {
            return COH_EMISMATCH;
        }
        item_t *item = &items[(*cnt)++];
        COH_TRY(coh_rlp_next_raw(&list, &item->kind, &item->payload, &item->raw));
    }
    return *cnt == 2 || *cnt == ITEM_CNT ? COH_OK : COH_EMISMATCH;
}

static bool is_hash_of(uint8_t const *want, coh_bytes_t rlp)
{
    coh_hash_t hash;
    coh_keccak256(&hash, rlp.p, rlp.n);
    return memcmp(hash.b, want, sizeof(hash.b)) == 0;
}

/* Follows one node from *depth on. *next is the child, without octets if the search ends here: with *value, or as missing. */
static coh_err_t follow(coh_bytes_t *value,
                        item_t *next,
                        size_t *depth,
                        coh_bytes_t rlp,
                        uint8_t const *key)
{
    item_t items[ITEM_CNT];
    size_t cnt;
    next->raw = coh_bytes(NULL, 0);
    COH_TRY(read_node(items, &cnt, rlp));
    if (cnt == ITEM_CNT) {
        if (*depth >= COH_DEPTH_MAX) {
            return COH_EMISMATCH;
        }
        item_t const *child = &items[coh_nibble(key, (*depth)++)];
        if (child->kind == COH_RLP_LIST || child->payload.n != 0) {
            *next = *child;
        }
        return COH_OK;
    }
    uint8_t path[COH_HEX_PREFIX_KEY_MAX + 1];
    size_t path_cnt;
    bool is_leaf;
    if (items[0].kind != COH_RLP_STRING ||
        coh_hex_prefix_get(path, &path_cnt, &is_leaf, items[0].payload) != COH_OK ||
        path_cnt > COH_DEPTH_MAX - *depth || (!is_leaf && path_cnt == 0)) {
        return COH_EMISMATCH;
    }
    for (size_t i = 0; i < path_cnt; i++) {
        if (coh_nibble(path, i) != coh_nibble(key, *depth + i)) {
            return COH_OK;
        }
    }
    *depth += path_cnt;
    if (!is_leaf) {
        *next = items[1];
        return COH_OK;
    }
    if (*depth != COH_DEPTH_MAX || items[1].kind != COH_RLP_STRING || items[1].payload.n == 0) {
        return COH_EMISMATCH;
    }
    *value = items[1].payload;
    return COH_OK;
}

coh_err_t coh_proof_verify(coh_bytes_t *value,
                           coh_proof_t const *proof,
                           coh_hash_t const *root,
                           coh_hash_t const *key)
{
    *value = coh_bytes(NULL, 0);
    if (proof->cnt == 0) {
        return coh_hash_eq(root, &COH_EMPTY_TRIE_ROOT) ? COH_OK : COH_EMISMATCH;
    }
    coh_bytes_t rlp = coh_proof_node(proof, 0);
    size_t used     = 1;
    size_t depth    = 0;
    if (!is_hash_of(root->b, rlp)) {
        return COH_EMISMATCH;
    }
    for (;;) {
        item_t next;
        coh_bytes_t found = coh_bytes(NULL, 0);
        if (follow(&found, &next, &depth, rlp, key->b) != COH_OK) {
            return COH_EMISMATCH;
        }
        if (next.raw.n == 0) {
            if (used != proof->cnt) {
                return COH_EMISMATCH;
            }
            *value = found;
            return COH_OK;
        }
        if (next.kind == COH_RLP_LIST) {
            rlp = next.raw; /* part of its parent */
            continue;
        }
        if (next.payload.n != sizeof(coh_hash_t) || used == proof->cnt) {
            return COH_EMISMATCH;
        }
        rlp = coh_proof_node(proof, used++);
        if (!is_hash_of(next.payload.p, rlp)) {
            return COH_EMISMATCH;
        }
    }
}
