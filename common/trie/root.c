#include "common/trie/root.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/buf.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/nibbles.h"

_Static_assert(COH_ROOT_KEY_MAX <= COH_HEX_PREFIX_KEY_MAX, "paths fit");

#define CHILD_CNT 16

static uint32_t nibble(coh_bytes_t key, size_t i) { return coh_nibble(key.p, i); }

static size_t nibbles(coh_bytes_t key) { return key.n * 2; }

/* Appends the nibbles from..to of key in hex-prefix form, as a string. */
static void put_path(coh_buf_t *out, coh_bytes_t key, size_t from, size_t to, bool is_leaf)
{
    uint8_t path[COH_ROOT_KEY_MAX + 1];
    coh_rlp_put_string(out, path, coh_hex_prefix_put(path, key.p, from, to, is_leaf));
}

/* Turns the node that was appended since at into what its parent holds: the node itself if it is shorter than a hash, else its hash. */
static void refer(coh_buf_t *out, size_t at)
{
    if (out->n - at >= sizeof(coh_hash_t)) {
        coh_hash_t hash;
        coh_keccak256(&hash, out->p + at, out->n - at);
        out->n = at;
        coh_rlp_put_string(out, hash.b, sizeof(hash.b));
    }
}

static void put_node(coh_buf_t *out, coh_root_item_t const *items, size_t cnt, size_t depth);

/* Appends the branch of items, which part at depth, or one of which ends there. */
static void put_branch(coh_buf_t *out, coh_root_item_t const *items, size_t cnt, size_t depth)
{
    size_t const start = out->n;
    coh_bytes_t value  = coh_bytes(NULL, 0);
    size_t i           = 0;
    if (nibbles(items[0].key) == depth) {
        value = items[0].value;
        i     = 1;
    }
    /* The children one behind the other, then the hashes of the long ones together. */
    size_t at[CHILD_CNT + 1];
    for (uint32_t child = 0; child < CHILD_CNT; child++) {
        at[child]    = out->n;
        size_t first = i;
        while (i < cnt && nibble(items[i].key, depth) == child) {
            i++;
        }
        if (i != first) {
            put_node(out, items + first, i - first, depth + 1);
        }
    }
    COH_ASSERT(i == cnt);
    at[CHILD_CNT] = out->n;

    coh_bytes_t nodes[CHILD_CNT];
    coh_hash_t hashes[CHILD_CNT];
    size_t hash_cnt = 0;
    for (uint32_t child = 0; child < CHILD_CNT; child++) {
        size_t n = at[child + 1] - at[child];
        if (n >= sizeof(coh_hash_t)) {
            nodes[hash_cnt++] = coh_bytes(out->p + at[child], n);
        }
    }
    coh_keccak256_many(hashes, nodes, hash_cnt);

    size_t const list = out->n;
    size_t hash_idx   = 0;
    for (uint32_t child = 0; child < CHILD_CNT; child++) {
        size_t n = at[child + 1] - at[child];
        if (n >= sizeof(coh_hash_t)) {
            coh_rlp_put_string(out, hashes[hash_idx++].b, sizeof(coh_hash_t));
        } else if (n != 0) {
            (void)coh_buf_extend(out, n);
            memcpy(out->p + out->n - n, out->p + at[child], n);
        } else {
            coh_rlp_put_string(out, NULL, 0);
        }
    }
    coh_rlp_put_string(out, value.p, value.n);
    coh_rlp_wrap_list(out, list);
    memmove(out->p + start, out->p + list, out->n - list);
    out->n -= list - start;
}

/* Appends the node of cnt > 0 items whose keys agree in the first depth nibbles. The recursion ends with the longest key. */
static void put_node(coh_buf_t *out, coh_root_item_t const *items, size_t cnt, size_t depth)
{
    size_t const start = out->n;
    coh_bytes_t first  = items[0].key;
    if (cnt == 1) {
        put_path(out, first, depth, nibbles(first), true);
        coh_rlp_put_string(out, items[0].value.p, items[0].value.n);
        coh_rlp_wrap_list(out, start);
        return;
    }
    /* What the outermost two have in common, all have. */
    coh_bytes_t last = items[cnt - 1].key;
    size_t max       = COH_MIN(nibbles(first), nibbles(last));
    size_t fork      = depth;
    while (fork < max && nibble(first, fork) == nibble(last, fork)) {
        fork++;
    }
    if (fork == depth) {
        put_branch(out, items, cnt, depth);
        return;
    }
    put_path(out, first, depth, fork, false);
    size_t child = out->n;
    put_branch(out, items, cnt, fork);
    refer(out, child);
    coh_rlp_wrap_list(out, start);
}

int coh_root_compare(void const *a, void const *b)
{
    coh_bytes_t x = ((coh_root_item_t const *)a)->key;
    coh_bytes_t y = ((coh_root_item_t const *)b)->key;
    size_t n      = COH_MIN(x.n, y.n);
    int order     = n == 0 ? 0 : memcmp(x.p, y.p, n);
    return order != 0 ? order : (x.n > y.n) - (x.n < y.n);
}

void coh_root_sorted(coh_hash_t *out, coh_root_item_t const *items, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        COH_ASSERT(items[i].key.n <= COH_ROOT_KEY_MAX && items[i].value.n != 0);
        COH_ASSERT(i == 0 || coh_root_compare(&items[i - 1], &items[i]) < 0);
    }
    coh_buf_t node = COH_BUF_INIT;
    if (cnt == 0) {
        coh_rlp_put_string(&node, NULL, 0);
    } else {
        put_node(&node, items, cnt, 0);
    }
    coh_keccak256(out, node.p, node.n);
    coh_buf_free(&node);
}

void coh_root_secure(coh_hash_t *out, coh_root_item_t const *items, size_t cnt)
{
    coh_bytes_t *keys       = coh_calloc(cnt + 1, sizeof(*keys));
    coh_hash_t *hashes      = coh_calloc(cnt + 1, sizeof(*hashes));
    coh_root_item_t *hashed = coh_calloc(cnt + 1, sizeof(*hashed));
    for (size_t i = 0; i < cnt; i++) {
        keys[i] = items[i].key;
    }
    coh_keccak256_many(hashes, keys, cnt);
    for (size_t i = 0; i < cnt; i++) {
        hashed[i].key   = coh_bytes(hashes[i].b, sizeof(hashes[i].b));
        hashed[i].value = items[i].value;
    }
    qsort(hashed, cnt, sizeof(*hashed), coh_root_compare);
    coh_root_sorted(out, hashed, cnt);
    free(hashed);
    free(hashes);
    free(keys);
}

void coh_root_list(coh_hash_t *out, coh_bytes_t const *values, size_t cnt)
{
    coh_root_item_t *items = coh_calloc(cnt + 1, sizeof(*items));
    coh_buf_t keys         = COH_BUF_INIT;
    coh_buf_grow(&keys, cnt * 9);
    for (size_t i = 0; i < cnt; i++) {
        /* rlp(0) is 0x80: it comes behind those of one octet, 1..127, and before all longer ones, which ascend. */
        size_t idx = i < 127 && i + 1 < cnt ? i + 1 : i;
        idx        = i == COH_MIN(cnt - 1, (size_t)127) ? 0 : idx;
        size_t at  = keys.n;
        coh_rlp_put_u64(&keys, idx);
        items[i] =
            (coh_root_item_t){.key = coh_bytes(keys.p + at, keys.n - at), .value = values[idx]};
    }
    coh_root_sorted(out, items, cnt);
    free(items);
    coh_buf_free(&keys);
}
