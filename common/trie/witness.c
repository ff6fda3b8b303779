#include "common/trie/witness.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "common/trie/nibbles.h"

#define HASH_SZ sizeof(coh_hash_t)

/* A node's RLP by its hash; rlp is empty where only its being a branch is known. */
typedef struct {
    coh_hash_t hash;
    coh_bytes_t rlp; /* p NULL: the place is free */
    bool is_branch;
} place_t;

struct coh_witness {
    place_t *places;
    size_t place_cnt; /* a power of 2 */
    size_t used;
    coh_arena_t rlps;
    coh_arena_t nodes; /* of the update under way */
};

/* A node of the trie under change. One that was not looked at is only a reference. */
typedef enum { NODE_REF, NODE_LEAF, NODE_EXTENSION, NODE_BRANCH } kind_t;

typedef struct node node_t;

struct node {
    kind_t kind;
    coh_mpt_ref_t ref;                 /* REF; of others, once it is known */
    coh_hash_t key;                    /* LEAF: the whole key; EXTENSION: as far as `to` */
    size_t to;                         /* EXTENSION: the nibble where its child stands */
    coh_bytes_t value;                 /* LEAF */
    node_t *child[COH_NODE_CHILD_CNT]; /* BRANCH; EXTENSION: the first */
};

/* ---- The table ---- */

static place_t *find(coh_witness_t const *w, uint8_t const *hash)
{
    size_t i = coh_load_u64_le(hash) & (w->place_cnt - 1);
    while (w->places[i].rlp.p != NULL && memcmp(w->places[i].hash.b, hash, HASH_SZ) != 0) {
        i = (i + 1) & (w->place_cnt - 1);
    }
    return &w->places[i];
}

static place_t *claim(coh_witness_t *w, coh_hash_t const *hash)
{
    static uint8_t const none[1];
    if (2 * (w->used + 1) > w->place_cnt) {
        place_t *old = w->places;
        size_t cnt   = w->place_cnt;
        w->place_cnt *= 2;
        w->places = coh_calloc(w->place_cnt, sizeof(*w->places));
        for (size_t i = 0; i < cnt; i++) {
            if (old[i].rlp.p != NULL) {
                *find(w, old[i].hash.b) = old[i];
            }
        }
        free(old);
    }
    place_t *place = find(w, hash->b);
    if (place->rlp.p == NULL) {
        *place = (place_t){.hash = *hash, .rlp = coh_bytes(none, 0)};
        w->used++;
    }
    return place;
}

coh_witness_t *coh_witness_new(void)
{
    coh_witness_t *w = coh_calloc(1, sizeof(*w));
    w->place_cnt     = 256;
    w->places        = coh_calloc(w->place_cnt, sizeof(*w->places));
    return w;
}

void coh_witness_free(coh_witness_t *w)
{
    if (w != NULL) {
        coh_arena_free(&w->rlps);
        coh_arena_free(&w->nodes);
        free(w->places);
        free(w);
    }
}

static void add(coh_witness_t *w, coh_hash_t const *hash, coh_bytes_t rlp)
{
    place_t *place = claim(w, hash);
    if (place->rlp.n == 0 && rlp.n != 0) {
        uint8_t *copy = coh_arena_alloc(&w->rlps, rlp.n);
        place->rlp    = coh_bytes(memcpy(copy, rlp.p, rlp.n), rlp.n);
    }
}

void coh_witness_add(coh_witness_t *w, coh_bytes_t rlp)
{
    coh_hash_t hash;
    coh_keccak256(&hash, rlp.p, rlp.n);
    add(w, &hash, rlp);
}

void coh_witness_hint_branch(coh_witness_t *w, coh_hash_t const *hash)
{
    claim(w, hash)->is_branch = true;
}

/* ---- Decoding ---- */

static node_t *new_node(coh_witness_t *w, kind_t kind)
{
    node_t *n = coh_arena_alloc(&w->nodes, sizeof(*n));
    *n        = (node_t){.kind = kind};
    return n;
}

/* The next item as a reference; NULL in *out if it is the empty string. */
static coh_err_t read_child(coh_witness_t *w, node_t **out, coh_rlp_t *list)
{
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_bytes_t item;
    *out = NULL;
    COH_TRY(coh_rlp_next_raw(list, &kind, &payload, &item));
    bool is_hash = kind == COH_RLP_STRING && payload.n == HASH_SZ;
    if (kind == COH_RLP_STRING && payload.n == 0) {
        return COH_OK;
    }
    if (!is_hash && (kind == COH_RLP_STRING || item.n >= HASH_SZ)) {
        return COH_EMALFORMED;
    }
    coh_bytes_t ref = is_hash ? payload : item;
    *out            = new_node(w, NODE_REF);
    (*out)->ref.n   = (uint8_t)ref.n;
    memcpy((*out)->ref.b, ref.p, ref.n);
    return COH_OK;
}

/* Fills n, which stands at nibble depth of key, from its RLP. */
static coh_err_t decode(coh_witness_t *w,
                        node_t *n,
                        size_t depth,
                        coh_hash_t const *key,
                        coh_bytes_t rlp)
{
    coh_rlp_t outer = coh_rlp_reader(rlp);
    coh_rlp_t list;
    COH_TRY(coh_rlp_list(&outer, &list));
    COH_TRY(coh_rlp_end(&outer));
    coh_rlp_t count = list;
    size_t cnt      = 0;
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    while (!coh_rlp_at_end(&count)) {
        COH_TRY(coh_rlp_next(&count, &kind, &payload));
        cnt++;
    }
    if (cnt == COH_NODE_CHILD_CNT + 1 && depth < COH_DEPTH_MAX) {
        for (size_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
            COH_TRY(read_child(w, &n->child[i], &list));
        }
        COH_TRY(coh_rlp_string(&list, &payload));
        n->kind = NODE_BRANCH;
        return payload.n == 0 ? COH_OK : COH_EMALFORMED;
    }
    uint8_t path[COH_HEX_PREFIX_KEY_MAX + 1];
    size_t path_cnt;
    bool is_leaf;
    if (cnt != 2) {
        return COH_EMALFORMED;
    }
    COH_TRY(coh_rlp_string(&list, &payload));
    COH_TRY(coh_hex_prefix_get(path, &path_cnt, &is_leaf, payload));
    size_t end = depth + path_cnt;
    if (is_leaf ? end != COH_DEPTH_MAX : path_cnt == 0 || end >= COH_DEPTH_MAX) {
        return COH_EMALFORMED;
    }
    n->key = *key;
    for (size_t i = 0; i < path_cnt; i++) {
        coh_nibble_set(n->key.b, depth + i, coh_nibble(path, i));
    }
    if (is_leaf) {
        COH_TRY(coh_rlp_string(&list, &n->value));
        n->kind = NODE_LEAF;
        return n->value.n != 0 && n->value.n <= COH_NODE_VALUE_MAX ? COH_OK : COH_EMALFORMED;
    }
    COH_TRY(read_child(w, &n->child[0], &list));
    n->kind = NODE_EXTENSION;
    n->to   = end;
    return n->child[0] != NULL ? COH_OK : COH_EMALFORMED;
}

/* Looks a reference up; key leads to it. */
static coh_err_t resolve(coh_witness_t *w, node_t *n, size_t depth, coh_hash_t const *key)
{
    if (n->kind != NODE_REF) {
        return COH_OK;
    }
    coh_bytes_t rlp;
    if (n->ref.n == HASH_SZ) {
        rlp = find(w, n->ref.b)->rlp;
    } else { /* n is overwritten */
        uint8_t *copy = coh_arena_alloc(&w->nodes, n->ref.n);
        rlp           = coh_bytes(memcpy(copy, n->ref.b, n->ref.n), n->ref.n);
    }
    if (rlp.n == 0) {
        return COH_ENOTFOUND;
    }
    node_t found  = {.ref = n->ref};
    coh_err_t err = decode(w, &found, depth, key, rlp);
    if (err != COH_OK) {
        return COH_ENOTFOUND;
    }
    *n = found;
    return COH_OK;
}

/* ---- Changes: slot is where the node stands in its parent ---- */

static node_t *new_leaf(coh_witness_t *w, coh_hash_t const *key, coh_bytes_t value)
{
    node_t *leaf = new_node(w, NODE_LEAF);
    leaf->key    = *key;
    leaf->value  = value;
    return leaf;
}

static coh_err_t put(coh_witness_t *w,
                     node_t **slot,
                     size_t depth,
                     coh_hash_t const *key,
                     coh_bytes_t value)
{
    node_t *n = *slot;
    if (n == NULL) {
        *slot = new_leaf(w, key, value);
        return COH_OK;
    }
    COH_TRY(resolve(w, n, depth, key));
    n->ref.n = 0;
    if (n->kind == NODE_BRANCH) {
        return put(w, &n->child[coh_nibble(key->b, depth)], depth + 1, key, value);
    }
    size_t end  = n->kind == NODE_LEAF ? COH_DEPTH_MAX : n->to;
    size_t fork = coh_nibbles_fork(n->key.b, key->b, depth, end);
    if (fork == end) {
        if (n->kind == NODE_EXTENSION) {
            return put(w, &n->child[0], end, key, value);
        }
        n->value = value;
        return COH_OK;
    }
    /* The path parts at fork: a branch there, below what of the extension comes before. */
    node_t *branch                          = new_node(w, NODE_BRANCH);
    branch->child[coh_nibble(key->b, fork)] = new_leaf(w, key, value);
    node_t **rest                           = &branch->child[coh_nibble(n->key.b, fork)];
    *rest = n->kind == NODE_EXTENSION && fork + 1 == end ? n->child[0] : n;
    if (fork == depth) {
        *slot = branch;
        return COH_OK;
    }
    node_t *above   = new_node(w, NODE_EXTENSION);
    above->key      = *key;
    above->to       = fork;
    above->child[0] = branch;
    *slot           = above;
    return COH_OK;
}

/* Makes *slot, an extension up to `to` along key whose child may be anything, one node with it where that has a path of its own. */
static coh_err_t join(coh_witness_t *w,
                      node_t **slot,
                      size_t to,
                      coh_hash_t const *key,
                      node_t *child)
{
    coh_err_t err = resolve(w, child, to, key);
    bool hinted   = err == COH_ENOTFOUND && child->ref.n == HASH_SZ &&
                  find(w, child->ref.b)->rlp.p != NULL && find(w, child->ref.b)->is_branch;
    if (err != COH_OK && !hinted) {
        return err;
    }
    if (err == COH_OK && child->kind != NODE_BRANCH) {
        child->ref.n = 0; /* its path is longer now */
        *slot        = child;
        return COH_OK;
    }
    node_t *extension   = new_node(w, NODE_EXTENSION);
    extension->key      = *key;
    extension->to       = to;
    extension->child[0] = child;
    *slot               = extension;
    return COH_OK;
}

static coh_err_t cut(coh_witness_t *w, node_t **slot, size_t depth, coh_hash_t const *key)
{
    node_t *n = *slot;
    if (n == NULL) {
        return COH_OK;
    }
    COH_TRY(resolve(w, n, depth, key));
    n->ref.n = 0;
    if (n->kind == NODE_LEAF) {
        if (coh_hash_eq(&n->key, key)) {
            *slot = NULL;
        }
        return COH_OK;
    }
    if (n->kind == NODE_EXTENSION) {
        if (coh_nibbles_fork(n->key.b, key->b, depth, n->to) != n->to) {
            return COH_OK;
        }
        COH_TRY(cut(w, &n->child[0], n->to, key));
        COH_ASSERT(n->child[0] != NULL); /* a branch, which has two children at least */
        return join(w, slot, n->to, &n->key, n->child[0]);
    }
    COH_TRY(cut(w, &n->child[coh_nibble(key->b, depth)], depth + 1, key));
    size_t left_cnt = 0;
    size_t left     = 0;
    for (size_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        if (n->child[i] != NULL) {
            left_cnt++;
            left = i;
        }
    }
    COH_ASSERT(left_cnt != 0);
    if (left_cnt > 1) {
        return COH_OK;
    }
    coh_hash_t path = *key;
    coh_nibble_set(path.b, depth, (uint32_t)left);
    return join(w, slot, depth + 1, &path, n->child[left]);
}

/* ---- Encoding ---- */

static void encode(coh_witness_t *w, coh_mpt_ref_t *ref, node_t *n, size_t depth, bool is_root)
{
    if (n->kind == NODE_REF || (n->ref.n != 0 && !is_root)) {
        *ref = n->ref;
        return;
    }
    uint8_t rlp[COH_NODE_RLP_MAX];
    size_t rlp_n = 0;
    if (n->kind == NODE_LEAF) {
        rlp_n = coh_node_put_leaf(rlp, n->key.b, depth, n->value);
    } else if (n->kind == NODE_EXTENSION) {
        coh_mpt_ref_t child;
        encode(w, &child, n->child[0], n->to, false);
        rlp_n = coh_node_put_extension(rlp, n->key.b, depth, n->to, &child);
    } else {
        coh_mpt_ref_t child[COH_NODE_CHILD_CNT] = {0};
        for (size_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
            if (n->child[i] != NULL) {
                encode(w, &child[i], n->child[i], depth + 1, false);
            }
        }
        rlp_n = coh_node_put_branch(rlp, child);
    }
    coh_ref_set(ref, rlp, rlp_n);
    if (ref->n != HASH_SZ && is_root) {
        coh_hash_t hash;
        coh_keccak256(&hash, rlp, rlp_n);
        memcpy(ref->b, hash.b, HASH_SZ);
        ref->n = HASH_SZ;
    }
    if (ref->n == HASH_SZ) {
        coh_hash_t hash;
        memcpy(hash.b, ref->b, HASH_SZ);
        add(w, &hash, coh_bytes(rlp, rlp_n));
    }
}

/* ---- Calls ---- */

static node_t *begin(coh_witness_t *w, coh_hash_t const *root)
{
    coh_arena_reset(&w->nodes, COH_ARENA_CHUNK_SZ);
    if (coh_hash_eq(root, &COH_EMPTY_TRIE_ROOT)) {
        return NULL;
    }
    node_t *n = new_node(w, NODE_REF);
    n->ref.n  = HASH_SZ;
    memcpy(n->ref.b, root->b, HASH_SZ);
    return n;
}

coh_err_t coh_witness_get(coh_witness_t *w,
                          coh_bytes_t *value,
                          coh_hash_t const *root,
                          coh_hash_t const *key)
{
    node_t *n    = begin(w, root);
    size_t depth = 0;
    *value       = coh_bytes(NULL, 0);
    while (n != NULL) {
        COH_TRY(resolve(w, n, depth, key));
        if (n->kind == NODE_BRANCH) {
            n = n->child[coh_nibble(key->b, depth++)];
        } else if (n->kind == NODE_EXTENSION) {
            if (coh_nibbles_fork(n->key.b, key->b, depth, n->to) != n->to) {
                return COH_OK;
            }
            depth = n->to;
            n     = n->child[0];
        } else {
            if (coh_hash_eq(&n->key, key)) {
                uint8_t *copy = coh_arena_alloc(&w->rlps, n->value.n);
                *value        = coh_bytes(memcpy(copy, n->value.p, n->value.n), n->value.n);
            }
            return COH_OK;
        }
    }
    return COH_OK;
}

coh_err_t coh_witness_update(coh_witness_t *w,
                             coh_hash_t *root,
                             coh_mpt_change_t const *changes,
                             size_t cnt)
{
    node_t *top = begin(w, root);
    for (size_t i = 0; i < cnt; i++) {
        if (changes[i].value.n != 0) {
            COH_TRY(put(w, &top, 0, &changes[i].key, changes[i].value));
        }
    }
    for (size_t i = 0; i < cnt; i++) {
        if (changes[i].value.n == 0) {
            COH_TRY(cut(w, &top, 0, &changes[i].key));
        }
    }
    if (top == NULL) {
        *root = COH_EMPTY_TRIE_ROOT;
        return COH_OK;
    }
    coh_mpt_ref_t ref;
    encode(w, &ref, top, 0, true);
    memcpy(root->b, ref.b, HASH_SZ);
    return COH_OK;
}
