#include "coordinator/state_roots.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

struct coh_state_roots {
    coh_roots_t *top;
    coh_buf_t undo; /* of the last apply */
};

void coh_bucket_nodes_free(coh_bucket_nodes_t *nodes)
{
    free(nodes->v);
    free(nodes->buckets);
    *nodes = (coh_bucket_nodes_t){0};
}

static bool read_node(coh_mpt_node_t *out, coh_rec_node_t const *rec)
{
    if (rec->kind > COH_NODE_BRANCH || rec->node.n > sizeof(out->b)) {
        return false;
    }
    *out = (coh_mpt_node_t){.kind = (uint8_t)rec->kind, .n = (uint8_t)rec->node.n};
    if (out->n != 0) {
        memcpy(out->b, rec->node.p, out->n);
    }
    return coh_node_check(out, COH_ROOTS_PATH_CNT) == COH_OK;
}

coh_err_t coh_bucket_nodes_add(coh_bucket_nodes_t *nodes,
                               coh_directory_t const *dir,
                               uint32_t shard,
                               coh_msg_nodes_t const *m)
{
    size_t want = nodes->cnt + m->nodes.cnt;
    if (want > COH_ROOTS_BUCKET_CNT) {
        return COH_EPROTO;
    }
    if (want > nodes->cap) {
        nodes->cap     = want;
        nodes->v       = coh_realloc(nodes->v, want * sizeof(*nodes->v));
        nodes->buckets = coh_realloc(nodes->buckets, want * sizeof(*nodes->buckets));
    }
    for (uint32_t i = 0; i < m->nodes.cnt; i++) {
        coh_rec_node_t const *rec = &m->nodes.v[i];
        bool ascends              = i == 0 || m->nodes.v[i - 1].bucket < rec->bucket;
        if (!ascends || rec->bucket >= COH_ROOTS_BUCKET_CNT ||
            coh_directory_shard(dir, rec->bucket) != shard ||
            !read_node(&nodes->v[nodes->cnt], rec)) {
            return COH_EPROTO;
        }
        nodes->buckets[nodes->cnt++] = (uint16_t)rec->bucket;
    }
    return COH_OK;
}

coh_state_roots_t *coh_state_roots_new(void)
{
    coh_state_roots_t *roots = coh_calloc(1, sizeof(*roots));
    roots->top               = coh_roots_new();
    return roots;
}

void coh_state_roots_free(coh_state_roots_t *roots)
{
    if (roots != NULL) {
        coh_roots_free(roots->top);
        coh_buf_free(&roots->undo);
        free(roots);
    }
}

void coh_state_roots_apply(coh_state_roots_t *roots,
                           coh_hash_t *root,
                           coh_bucket_nodes_t const *nodes)
{
    coh_buf_clear(&roots->undo);
    for (size_t i = 0; i < nodes->cnt; i++) {
        coh_roots_put(roots->top, nodes->buckets[i], &nodes->v[i], &roots->undo);
    }
    coh_roots_compute(roots->top, root);
}

void coh_state_roots_revert(coh_state_roots_t *roots)
{
    coh_err_t rc = coh_roots_revert(roots->top, coh_buf_bytes(&roots->undo));
    COH_ASSERT(rc == COH_OK); /* we wrote it */
    coh_buf_clear(&roots->undo);
}
