#include "common/trie/node.h"

#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/nibbles.h"

#define HASH_SZ sizeof(coh_hash_t)

_Static_assert(COH_NODE_RLP_MAX >= 3 + 16 * (1 + HASH_SZ) + 1, "a full branch fits");
_Static_assert(COH_NODE_LEAF_MAX >= 2 + 1 + 33 + 2 + COH_NODE_VALUE_MAX, "a leaf fits");
_Static_assert(COH_NODE_LEAF_MAX <= UINT8_MAX, "n of coh_mpt_node_t");

/* RLP of strings and lists (Yellow Paper, Appendix B), for lengths below 256 but for branches. */
static size_t string_sz(uint8_t const *p, size_t n)
{
    return n == 1 && p[0] < 0x80 ? 1 : n < 56 ? n + 1 : n + 2;
}

static uint8_t *put_string(uint8_t *out, uint8_t const *p, size_t n)
{
    if (n >= 56) {
        *out++ = 0xb8;
        *out++ = (uint8_t)n;
    } else if (n != 1 || p[0] >= 0x80) {
        *out++ = (uint8_t)(0x80 + n);
    }
    if (n != 0) {
        memcpy(out, p, n);
    }
    return out + n;
}

static uint8_t *put_list_header(uint8_t *out, size_t n)
{
    if (n < 56) {
        *out++ = (uint8_t)(0xc0 + n);
    } else if (n < 256) {
        *out++ = 0xf8;
        *out++ = (uint8_t)n;
    } else {
        *out++ = 0xf9;
        *out++ = (uint8_t)(n >> 8);
        *out++ = (uint8_t)n;
    }
    return out;
}

static size_t ref_sz(coh_mpt_ref_t const *ref)
{
    return ref->n == 0 || ref->n == HASH_SZ ? (size_t)ref->n + 1 : ref->n;
}

static uint8_t *put_ref(uint8_t *out, coh_mpt_ref_t const *ref)
{
    if (ref->n == 0) {
        *out++ = 0x80;
        return out;
    }
    if (ref->n == HASH_SZ) {
        *out++ = 0x80 + HASH_SZ;
        memcpy(out, ref->b, HASH_SZ);
        return out + HASH_SZ;
    }
    memcpy(out, ref->b, ref->n);
    return out + ref->n;
}

size_t coh_node_put_leaf(uint8_t out[COH_NODE_LEAF_MAX],
                         uint8_t const *key,
                         size_t from,
                         coh_bytes_t value)
{
    COH_ASSERT(from <= COH_DEPTH_MAX && value.n != 0 && value.n <= COH_NODE_VALUE_MAX);
    uint8_t path[COH_DEPTH_MAX / 2 + 1];
    size_t path_n = coh_hex_prefix_put(path, key, from, COH_DEPTH_MAX, true);
    uint8_t *at   = put_list_header(out, string_sz(path, path_n) + string_sz(value.p, value.n));
    at            = put_string(at, path, path_n);
    at            = put_string(at, value.p, value.n);
    return (size_t)(at - out);
}

size_t coh_node_put_extension(uint8_t out[COH_NODE_LEAF_MAX],
                              uint8_t const *key,
                              size_t from,
                              size_t to,
                              coh_mpt_ref_t const *child)
{
    COH_ASSERT(from < to && to <= COH_DEPTH_MAX && child->n != 0);
    uint8_t path[COH_DEPTH_MAX / 2 + 1];
    size_t path_n = coh_hex_prefix_put(path, key, from, to, false);
    uint8_t *at   = put_list_header(out, string_sz(path, path_n) + ref_sz(child));
    at            = put_string(at, path, path_n);
    at            = put_ref(at, child);
    return (size_t)(at - out);
}

size_t coh_node_put_branch(uint8_t out[COH_NODE_RLP_MAX],
                           coh_mpt_ref_t const child[COH_NODE_CHILD_CNT])
{
    size_t payload = 1;
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        payload += ref_sz(&child[i]);
    }
    uint8_t *at = put_list_header(out, payload);
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        at = put_ref(at, &child[i]);
    }
    *at++ = 0x80; /* no value: all keys are of one length */
    return (size_t)(at - out);
}

void coh_ref_set(coh_mpt_ref_t *out, uint8_t const *rlp, size_t n)
{
    if (n >= HASH_SZ) {
        coh_hash_t hash;
        coh_keccak256(&hash, rlp, n);
        memcpy(out->b, hash.b, HASH_SZ);
        out->n = HASH_SZ;
        return;
    }
    memcpy(out->b, rlp, n);
    out->n = (uint8_t)n;
}

void coh_node_ref(coh_mpt_ref_t *out, coh_mpt_node_t const *node)
{
    switch ((coh_node_kind_t)node->kind) {
    case COH_NODE_EMPTY: out->n = 0; break;
    case COH_NODE_LEAF:
    case COH_NODE_EXTENSION: coh_ref_set(out, node->b, node->n); break;
    case COH_NODE_BRANCH:
        out->n = node->n;
        memcpy(out->b, node->b, COH_MIN(node->n, HASH_SZ));
        break;
    }
}

void coh_node_root(coh_hash_t *out, coh_mpt_node_t const *node)
{
    if (node->kind == COH_NODE_EMPTY) {
        *out = COH_EMPTY_TRIE_ROOT;
    } else if (node->kind == COH_NODE_BRANCH && node->n == HASH_SZ) {
        memcpy(out->b, node->b, HASH_SZ);
    } else {
        coh_keccak256(out, node->b, node->n);
    }
}

/* Takes the RLP of a leaf or extension apart: the path as a key from nibble 0 on, and the item that follows it. */
static coh_err_t split(uint8_t path[COH_HEX_PREFIX_KEY_MAX + 1],
                       size_t *cnt,
                       bool *is_leaf,
                       coh_rlp_kind_t *kind,
                       coh_bytes_t *payload,
                       coh_bytes_t *item,
                       coh_mpt_node_t const *node)
{
    coh_rlp_t outer = coh_rlp_reader(coh_bytes(node->b, node->n));
    coh_rlp_t list;
    coh_bytes_t text;
    COH_TRY(coh_rlp_list(&outer, &list));
    COH_TRY(coh_rlp_end(&outer));
    COH_TRY(coh_rlp_string(&list, &text));
    COH_TRY(coh_hex_prefix_get(path, cnt, is_leaf, text));
    COH_TRY(coh_rlp_next_raw(&list, kind, payload, item));
    return coh_rlp_end(&list);
}

coh_err_t coh_node_check(coh_mpt_node_t const *node, size_t path_cnt)
{
    if (node->n > COH_NODE_LEAF_MAX) {
        return COH_EMALFORMED;
    }
    if (node->kind == COH_NODE_EMPTY) {
        return node->n == 0 ? COH_OK : COH_EMALFORMED;
    }
    if (node->kind == COH_NODE_BRANCH) {
        /* The shortest has two children of at least four octets each. */
        return node->n <= HASH_SZ && node->n >= 2 * 4 ? COH_OK : COH_EMALFORMED;
    }
    uint8_t path[COH_HEX_PREFIX_KEY_MAX + 1];
    size_t cnt;
    bool is_leaf;
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t item;
    COH_TRY(split(path, &cnt, &is_leaf, &kind, &payload, &item, node));
    if (node->kind == COH_NODE_LEAF) {
        return is_leaf && cnt == path_cnt && kind == COH_RLP_STRING && payload.n != 0 &&
                       payload.n <= COH_NODE_VALUE_MAX
                   ? COH_OK
                   : COH_EMALFORMED;
    }
    bool child = kind == COH_RLP_STRING ? payload.n == HASH_SZ : item.n < HASH_SZ;
    return node->kind == COH_NODE_EXTENSION && !is_leaf && cnt != 0 && cnt < path_cnt && child
               ? COH_OK
               : COH_EMALFORMED;
}

void coh_node_lift(coh_mpt_node_t *node, uint32_t nibble)
{
    if (node->kind == COH_NODE_EMPTY) {
        return;
    }
    uint8_t const first = (uint8_t)(nibble << 4);
    if (node->kind == COH_NODE_BRANCH) {
        coh_mpt_ref_t child;
        coh_node_ref(&child, node);
        node->n    = (uint8_t)coh_node_put_extension(node->b, &first, 0, 1, &child);
        node->kind = COH_NODE_EXTENSION;
        return;
    }
    uint8_t path[COH_HEX_PREFIX_KEY_MAX + 1];
    size_t cnt;
    bool is_leaf;
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t item;
    coh_err_t rc = split(path, &cnt, &is_leaf, &kind, &payload, &item, node);
    COH_ASSERT(rc == COH_OK && cnt < COH_DEPTH_MAX);
    uint8_t longer[COH_DEPTH_MAX / 2] = {first};
    for (size_t i = 0; i < cnt; i++) {
        coh_nibble_set(longer, i + 1, coh_nibble(path, i));
    }
    coh_mpt_node_t lifted = {.kind = node->kind};
    if (node->kind == COH_NODE_LEAF) {
        size_t from                    = COH_DEPTH_MAX - 1 - cnt;
        uint8_t key[COH_DEPTH_MAX / 2] = {0};
        for (size_t i = 0; i <= cnt; i++) {
            coh_nibble_set(key, from + i, coh_nibble(longer, i));
        }
        lifted.n = (uint8_t)coh_node_put_leaf(lifted.b, key, from, payload);
    } else {
        coh_mpt_ref_t child = {0};
        bool is_hash        = kind == COH_RLP_STRING;
        child.n             = (uint8_t)(is_hash ? payload.n : item.n);
        memcpy(child.b, is_hash ? payload.p : item.p, child.n);
        lifted.n = (uint8_t)coh_node_put_extension(lifted.b, longer, 0, cnt + 1, &child);
    }
    *node = lifted;
}
