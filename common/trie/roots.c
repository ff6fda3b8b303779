#include "common/trie/roots.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/keccak.h"
#include "common/trie/nibbles.h"

/* Levels from the bottom: buckets, and what stands at depth 2, 1, 0. Node i of one has children 16 i .. 16 i + 15 in the level before. */
#define LEVEL_CNT 4
#define NODE_CNT  (4096 + 256 + 16 + 1)
#define CHUNK     64

static size_t const level_at[LEVEL_CNT + 1] = {0, 4096, 4096 + 256, 4096 + 256 + 16, NODE_CNT};

struct coh_roots {
    coh_mpt_node_t node[NODE_CNT];
    coh_mpt_ref_t ref[NODE_CNT]; /* of node */
    bool is_stale[NODE_CNT];     /* ref of a bucket, ref and node of others */
};

coh_roots_t *coh_roots_new(void) { return coh_calloc(1, sizeof(coh_roots_t)); }

coh_roots_t *coh_roots_copy(coh_roots_t const *roots)
{
    coh_roots_t *copy = coh_calloc(1, sizeof(*copy));
    *copy             = *roots;
    return copy;
}

void coh_roots_free(coh_roots_t *roots) { free(roots); }

/* A record's entry: bucket (2), kind (1), length (1), octets of the node. */
static void put_undo(coh_buf_t *undo, uint32_t bucket, coh_mpt_node_t const *node)
{
    coh_buf_put_u8(undo, (uint8_t)(bucket >> 8));
    coh_buf_put_u8(undo, (uint8_t)bucket);
    coh_buf_put_u8(undo, node->kind);
    coh_buf_put_u8(undo, node->n);
    coh_buf_put(undo, node->b, node->n);
}

void coh_roots_put(coh_roots_t *roots, uint32_t bucket, coh_mpt_node_t const *node, coh_buf_t *undo)
{
    COH_ASSERT(bucket < COH_ROOTS_BUCKET_CNT);
    COH_DASSERT(coh_node_check(node, COH_ROOTS_PATH_CNT) == COH_OK);
    if (undo != NULL) {
        put_undo(undo, bucket, &roots->node[bucket]);
    }
    roots->node[bucket]     = *node;
    roots->is_stale[bucket] = true;
}

coh_mpt_node_t const *coh_roots_get(coh_roots_t const *roots, uint32_t bucket)
{
    COH_ASSERT(bucket < COH_ROOTS_BUCKET_CNT);
    return &roots->node[bucket];
}

coh_err_t coh_roots_revert(coh_roots_t *roots, coh_bytes_t undo)
{
    while (undo.n != 0) {
        coh_mpt_node_t node = {.kind = COH_NODE_EMPTY};
        if (undo.n < 4 || undo.n < (size_t)4 + undo.p[3] || undo.p[3] > sizeof(node.b)) {
            return COH_EMALFORMED;
        }
        uint32_t bucket = (uint32_t)undo.p[0] << 8 | undo.p[1];
        node.kind       = undo.p[2];
        node.n          = undo.p[3];
        memcpy(node.b, undo.p + 4, node.n);
        if (bucket >= COH_ROOTS_BUCKET_CNT || coh_node_check(&node, COH_ROOTS_PATH_CNT) != COH_OK) {
            return COH_EMALFORMED;
        }
        coh_roots_put(roots, bucket, &node, NULL);
        undo = coh_bytes(undo.p + 4 + node.n, undo.n - 4 - node.n);
    }
    return COH_OK;
}

/* How many of the 16 children from first on there are, whose references are up to date; with one, *slot is its place. */
static uint32_t child_cnt(coh_roots_t const *roots, size_t first, uint32_t *slot)
{
    uint32_t cnt = 0;
    for (uint32_t i = 0; i < COH_NODE_CHILD_CNT; i++) {
        if (roots->ref[first + i].n != 0) {
            cnt++;
            *slot = i;
        }
    }
    return cnt;
}

/* Makes a node from its children; of a branch, writes the RLP, and returns its length. */
static size_t combine(coh_roots_t *roots,
                      coh_mpt_node_t *node,
                      size_t first,
                      uint8_t rlp[COH_NODE_RLP_MAX])
{
    uint32_t slot = 0;
    switch (child_cnt(roots, first, &slot)) {
    case 0: *node = (coh_mpt_node_t){.kind = COH_NODE_EMPTY}; return 0;
    case 1:
        *node = roots->node[first + slot];
        coh_node_lift(node, slot);
        return 0;
    default:
        *node = (coh_mpt_node_t){.kind = COH_NODE_BRANCH};
        return coh_node_put_branch(rlp, &roots->ref[first]);
    }
}

typedef struct {
    uint8_t rlp[CHUNK][COH_NODE_RLP_MAX];
    coh_bytes_t in[CHUNK];
    coh_hash_t out[CHUNK];
    size_t idx[CHUNK];
    size_t cnt;
} chunk_t;

static void run(coh_roots_t *roots, chunk_t *chunk)
{
    coh_keccak256_many(chunk->out, chunk->in, chunk->cnt);
    for (size_t i = 0; i < chunk->cnt; i++) {
        coh_mpt_ref_t *ref   = &roots->ref[chunk->idx[i]];
        coh_mpt_node_t *node = &roots->node[chunk->idx[i]];
        ref->n               = sizeof(coh_hash_t);
        memcpy(ref->b, chunk->out[i].b, sizeof(coh_hash_t));
        if (node->kind == COH_NODE_BRANCH) {
            node->n = ref->n;
            memcpy(node->b, ref->b, ref->n);
        }
    }
    chunk->cnt = 0;
}

/* Brings one node up to date but for its hash, which is left to the chunk. */
static void refresh(coh_roots_t *roots, chunk_t *chunk, size_t level, size_t i)
{
    size_t at            = level_at[level] + i;
    coh_mpt_node_t *node = &roots->node[at];
    coh_mpt_ref_t *ref   = &roots->ref[at];
    uint8_t *rlp         = chunk->rlp[chunk->cnt];
    size_t n             = 0;
    if (level > 0) {
        n = combine(roots, node, level_at[level - 1] + i * COH_NODE_CHILD_CNT, rlp);
    }
    if (node->kind == COH_NODE_BRANCH && level > 0 && n < sizeof(coh_hash_t)) {
        node->n = (uint8_t)n;
        memcpy(node->b, rlp, n);
    }
    if (node->kind == COH_NODE_LEAF || node->kind == COH_NODE_EXTENSION) {
        n = node->n;
        memcpy(rlp, node->b, n);
    }
    if (n < sizeof(coh_hash_t)) {
        coh_node_ref(ref, node);
        return;
    }
    chunk->in[chunk->cnt]    = coh_bytes(rlp, n);
    chunk->idx[chunk->cnt++] = at;
    if (chunk->cnt == CHUNK) {
        run(roots, chunk);
    }
}

void coh_roots_compute(coh_roots_t *roots, coh_hash_t *root)
{
    chunk_t *chunk = coh_calloc(1, sizeof(*chunk));
    for (size_t level = 0; level < LEVEL_CNT; level++) {
        size_t cnt = level_at[level + 1] - level_at[level];
        for (size_t i = 0; i < cnt; i++) {
            if (!roots->is_stale[level_at[level] + i]) {
                continue;
            }
            roots->is_stale[level_at[level] + i] = false;
            if (level + 1 < LEVEL_CNT) {
                roots->is_stale[level_at[level + 1] + i / COH_NODE_CHILD_CNT] = true;
            }
            refresh(roots, chunk, level, i);
        }
        run(roots, chunk);
    }
    free(chunk);
    coh_node_root(root, &roots->node[NODE_CNT - 1]);
}

/* Nodes of a proof from the bottom up. */
typedef struct {
    coh_buf_t rlp[COH_PROOF_NODE_MAX];
    size_t cnt;
} stack_t;

static void push(stack_t *stack, uint8_t const *rlp, size_t n)
{
    COH_ASSERT(stack->cnt < COH_PROOF_NODE_MAX);
    coh_buf_put(&stack->rlp[stack->cnt++], rlp, n);
}

void coh_roots_prove(coh_roots_t const *roots,
                     coh_proof_t *out,
                     coh_proof_t const *in_bucket,
                     coh_hash_t const *key)
{
    stack_t stack = {.cnt = 0};
    size_t i      = (size_t)key->b[0] << 4 | key->b[1] >> 4;
    for (size_t n = in_bucket->cnt; n-- > 1;) {
        coh_bytes_t rlp = coh_proof_node(in_bucket, n);
        push(&stack, rlp.p, rlp.n);
    }
    /* What stands at the key's place in each level in turn, and its RLP; the stack lacks it yet. */
    coh_mpt_node_t cur = roots->node[i];
    coh_buf_t last     = COH_BUF_INIT;
    COH_ASSERT((cur.kind == COH_NODE_EMPTY) == (in_bucket->cnt == 0));
    if (cur.kind != COH_NODE_EMPTY) {
        coh_bytes_t rlp = coh_proof_node(in_bucket, 0);
        coh_buf_put(&last, rlp.p, rlp.n);
    }
    for (size_t level = 1; level < LEVEL_CNT; level++) {
        size_t first  = level_at[level - 1] + (i & ~(size_t)15);
        size_t own    = i & 15;
        uint32_t slot = 0;
        uint32_t cnt  = child_cnt(roots, first, &slot);
        uint8_t rlp[COH_NODE_RLP_MAX];
        i /= COH_NODE_CHILD_CNT;
        if (cnt == 0) {
            continue;
        }
        if (cnt > 1) {
            if (cur.kind != COH_NODE_EMPTY && last.n >= sizeof(coh_hash_t)) {
                push(&stack, last.p, last.n);
            }
            cur = roots->node[level_at[level] + i];
            coh_buf_clear(&last);
            coh_buf_put(&last, rlp, coh_node_put_branch(rlp, &roots->ref[first]));
            continue;
        }
        if (slot != own) {
            cur = roots->node[first + slot]; /* the path ends at a node that leads elsewhere */
        } else if (cur.kind == COH_NODE_BRANCH && last.n >= sizeof(coh_hash_t)) {
            push(&stack, last.p, last.n); /* it stays, below the extension that lifts it */
        }
        coh_node_lift(&cur, slot);
        coh_buf_clear(&last);
        coh_buf_put(&last, cur.b, cur.n);
    }
    if (cur.kind != COH_NODE_EMPTY) {
        push(&stack, last.p, last.n);
    }
    coh_buf_free(&last);
    out->cnt = 0;
    coh_buf_clear(&out->rlp);
    while (stack.cnt > 0) {
        coh_buf_t *rlp = &stack.rlp[--stack.cnt];
        coh_proof_add(out, coh_buf_bytes(rlp));
        coh_buf_free(rlp);
    }
}
