#include "coordinator/state_roots.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* What leads back from a block to the one before: for coh_roots_revert. */
typedef struct {
    coh_buf_t undo;
} step_t;

struct coh_state_roots {
    coh_roots_t *top;
    uint64_t history_blocks;
    size_t history_bytes;
    uint64_t last;  /* block */
    uint64_t first; /* the lowest that can be gone back to */
    step_t *steps;  /* of blocks first+1..last, by number modulo step_cap */
    size_t step_cap;
    size_t bytes;
};

static step_t *step_of(coh_state_roots_t const *roots, uint64_t block)
{
    return &roots->steps[block % roots->step_cap];
}

void coh_bucket_nodes_free(coh_bucket_nodes_t *nodes)
{
    free(nodes->v);
    free(nodes->buckets);
    *nodes = (coh_bucket_nodes_t){0};
}

/* A node that shard says of a bucket; false if it cannot. */
static bool read_node(coh_mpt_node_t *out,
                      coh_directory_t const *dir,
                      uint32_t shard,
                      uint32_t bucket,
                      uint32_t kind,
                      coh_bytes_t node)
{
    if (bucket >= COH_ROOTS_BUCKET_CNT || coh_directory_shard(dir, bucket) != shard ||
        kind > COH_NODE_BRANCH || node.n > sizeof(out->b)) {
        return false;
    }
    *out = (coh_mpt_node_t){.kind = (uint8_t)kind, .n = (uint8_t)node.n};
    if (out->n != 0) {
        memcpy(out->b, node.p, out->n);
    }
    return coh_node_check(out, COH_ROOTS_PATH_CNT) == COH_OK;
}

coh_err_t coh_bucket_nodes_add(coh_bucket_nodes_t *nodes,
                               coh_directory_t const *dir,
                               uint32_t shard,
                               coh_msg_nodes_t const *m)
{
    return coh_bucket_nodes_put(nodes, dir, shard, m->nodes.v, m->nodes.cnt);
}

coh_err_t coh_bucket_nodes_put(coh_bucket_nodes_t *nodes,
                               coh_directory_t const *dir,
                               uint32_t shard,
                               coh_rec_node_t const *recs,
                               uint32_t cnt)
{
    size_t want = nodes->cnt + cnt;
    if (want > COH_ROOTS_BUCKET_CNT) {
        return COH_EPROTO;
    }
    if (want > nodes->cap) {
        nodes->cap     = want;
        nodes->v       = coh_realloc(nodes->v, want * sizeof(*nodes->v));
        nodes->buckets = coh_realloc(nodes->buckets, want * sizeof(*nodes->buckets));
    }
    for (uint32_t i = 0; i < cnt; i++) {
        coh_rec_node_t const *rec = &recs[i];
        bool ascends              = i == 0 || recs[i - 1].bucket < rec->bucket;
        if (!ascends ||
            !read_node(&nodes->v[nodes->cnt], dir, shard, rec->bucket, rec->kind, rec->node)) {
            return COH_EPROTO;
        }
        nodes->buckets[nodes->cnt++] = (uint16_t)rec->bucket;
    }
    return COH_OK;
}

void coh_root_trail_free(coh_root_trail_t *trail)
{
    free(trail->v);
    *trail = (coh_root_trail_t){0};
}

coh_err_t coh_root_trail_add(coh_root_trail_t *trail,
                             coh_directory_t const *dir,
                             uint32_t shard,
                             uint32_t order_cnt,
                             coh_msg_trail_t const *m)
{
    if (m->nodes.cnt == 0) {
        return COH_OK;
    }
    trail->cap = trail->cnt + m->nodes.cnt;
    trail->v   = coh_realloc(trail->v, trail->cap * sizeof(*trail->v));
    for (uint32_t i = 0; i < m->nodes.cnt; i++) {
        coh_rec_trail_node_t const *rec    = &m->nodes.v[i];
        coh_rec_trail_node_t const *before = rec - 1;
        bool ascends                       = i == 0 || before->tx_idx < rec->tx_idx ||
                       (before->tx_idx == rec->tx_idx && before->bucket < rec->bucket);
        coh_trail_entry_t *entry = &trail->v[trail->cnt];
        if (!ascends || rec->tx_idx >= order_cnt ||
            !read_node(&entry->node, dir, shard, rec->bucket, rec->kind, rec->node)) {
            return COH_EPROTO;
        }
        entry->tx_idx = rec->tx_idx;
        entry->bucket = (uint16_t)rec->bucket;
        trail->cnt++;
    }
    return COH_OK;
}

coh_state_roots_t *coh_state_roots_new(uint64_t history_blocks, size_t history_bytes)
{
    coh_state_roots_t *roots = coh_calloc(1, sizeof(*roots));
    roots->top               = coh_roots_new();
    roots->history_blocks    = COH_MAX(history_blocks, UINT64_C(1)); /* for a revert */
    roots->history_bytes     = history_bytes;
    roots->step_cap          = roots->history_blocks + 1;
    roots->steps             = coh_calloc(roots->step_cap, sizeof(*roots->steps));
    return roots;
}

void coh_state_roots_free(coh_state_roots_t *roots)
{
    if (roots != NULL) {
        for (size_t i = 0; i < roots->step_cap; i++) {
            coh_buf_free(&roots->steps[i].undo);
        }
        free(roots->steps);
        coh_roots_free(roots->top);
        free(roots);
    }
}

void coh_state_roots_start(coh_state_roots_t *roots,
                           uint64_t head,
                           coh_hash_t *root,
                           coh_bucket_nodes_t const *nodes)
{
    for (size_t i = 0; i < nodes->cnt; i++) {
        coh_roots_put(roots->top, nodes->buckets[i], &nodes->v[i], NULL);
    }
    coh_roots_compute(roots->top, root);
    roots->first = roots->last = head;
}

static void forget_first(coh_state_roots_t *roots)
{
    step_t *step = step_of(roots, ++roots->first);
    roots->bytes -= step->undo.cap;
    coh_buf_free(&step->undo);
}

void coh_state_roots_apply(coh_state_roots_t *roots,
                           uint64_t block,
                           coh_hash_t *root,
                           coh_bucket_nodes_t const *nodes)
{
    COH_ASSERT(block == roots->last + 1);
    if (block - roots->first > roots->history_blocks) {
        forget_first(roots);
    }
    step_t *step = step_of(roots, block);
    for (size_t i = 0; i < nodes->cnt; i++) {
        coh_roots_put(roots->top, nodes->buckets[i], &nodes->v[i], &step->undo);
    }
    coh_roots_compute(roots->top, root);
    roots->last = block;
    roots->bytes += step->undo.cap;
    while (roots->bytes > roots->history_bytes && roots->first + 1 < roots->last) {
        forget_first(roots);
    }
}

void coh_state_roots_revert(coh_state_roots_t *roots)
{
    step_t *step = step_of(roots, roots->last);
    coh_err_t rc = coh_roots_revert(roots->top, coh_buf_bytes(&step->undo));
    COH_ASSERT(rc == COH_OK); /* we wrote it */
    roots->bytes -= step->undo.cap;
    coh_buf_free(&step->undo);
    roots->last--;
}

void coh_state_roots_rewind(coh_state_roots_t *roots, uint64_t head)
{
    while (roots->first < roots->last) {
        forget_first(roots);
    }
    roots->first = roots->last = head;
}

/* The top as of block, the caller's; NULL: it is not kept. */
static coh_roots_t *top_of(coh_state_roots_t const *roots, uint64_t block)
{
    if (block < roots->first || block > roots->last) {
        return NULL;
    }
    coh_roots_t *top = coh_roots_copy(roots->top);
    for (uint64_t b = roots->last; b > block; b--) {
        coh_err_t rc = coh_roots_revert(top, coh_buf_bytes(&step_of(roots, b)->undo));
        COH_ASSERT(rc == COH_OK); /* we wrote it */
    }
    return top;
}

coh_err_t coh_state_roots_suppose(coh_state_roots_t const *roots,
                                  uint64_t block,
                                  coh_hash_t *root,
                                  coh_bucket_nodes_t const *nodes)
{
    coh_roots_t *top = top_of(roots, block);
    if (top == NULL) {
        return COH_ENOTFOUND;
    }
    for (size_t i = 0; i < nodes->cnt; i++) {
        coh_roots_put(top, nodes->buckets[i], &nodes->v[i], NULL);
    }
    coh_roots_compute(top, root);
    coh_roots_free(top);
    return COH_OK;
}

/* Nodes of a proof within a bucket, and those above. */
#define IN_BUCKET_MAX (COH_PROOF_NODE_MAX - 3u)

coh_err_t coh_state_roots_prove(coh_state_roots_t const *roots,
                                uint64_t block,
                                coh_hash_t *root,
                                coh_proof_t *out,
                                coh_bytes_t *value,
                                coh_proof_t const *in_bucket,
                                coh_hash_t const *key)
{
    coh_roots_t *top = top_of(roots, block);
    if (top == NULL) {
        return COH_ENOTFOUND;
    }
    coh_roots_compute(top, root);
    uint32_t bucket = (uint32_t)key->b[0] << 4 | key->b[1] >> 4;
    bool is_empty   = coh_roots_get(top, bucket)->kind == COH_NODE_EMPTY;
    coh_err_t rc    = COH_EMISMATCH;
    if (is_empty == (in_bucket->cnt == 0) && in_bucket->cnt <= IN_BUCKET_MAX) {
        coh_roots_prove(top, out, in_bucket, key);
        rc = coh_proof_verify(value, out, root, key);
    }
    coh_roots_free(top);
    return rc;
}

/* Of one transaction the order of buckets does not matter. */
static int compare_entries(void const *a, void const *b)
{
    coh_trail_entry_t const *x = a;
    coh_trail_entry_t const *y = b;
    return (x->tx_idx > y->tx_idx) - (x->tx_idx < y->tx_idx);
}

void coh_state_roots_follow(coh_state_roots_t const *roots,
                            coh_hash_t *out,
                            uint32_t order_cnt,
                            coh_root_trail_t *trail)
{
    coh_roots_t *top = coh_roots_copy(roots->top);
    size_t at        = 0;
    if (trail->cnt != 0) {
        qsort(trail->v, trail->cnt, sizeof(*trail->v), compare_entries);
    }
    for (uint32_t i = 0; i < order_cnt; i++) {
        for (; at < trail->cnt && trail->v[at].tx_idx == i; at++) {
            coh_roots_put(top, trail->v[at].bucket, &trail->v[at].node, NULL);
        }
        coh_roots_compute(top, &out[i]);
    }
    coh_roots_free(top);
}
