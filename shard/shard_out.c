#include "shard/shard_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/obs/log.h"

void coh_sh_fail(coh_shard_t *s, char const *fmt, ...)
{
    if (s->state == COH_SH_FAILED) {
        return; /* the first reason is the one that matters */
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    coh_buf_clear(&s->fail_text);
    coh_buf_put(&s->fail_text, text, strlen(text) + 1);
    s->state = COH_SH_FAILED;
    COH_LOG_ERR("shard", "failed", "reason=\"%s\"", text);
}

coh_buf_t *coh_sh_to_coordinator(coh_shard_t *s)
{
    coh_metric_add(s->env->metrics, COH_M_net_message_sent, 1);
    return s->env->outbox(s->env, 0);
}

void coh_sh_hand_out(coh_shard_t *s, coh_disk_req_t *req)
{
    s->writes_outstanding++;
    s->env->disk(s->env, req);
}

void coh_sh_hand_out_read(coh_shard_t *s, coh_disk_req_t *req)
{
    if (req->key_cnt == 0) {
        coh_disk_req_free(req);
        return;
    }
    s->reads_outstanding++;
    s->env->disk(s->env, req);
}

coh_rec_node_t *coh_sh_node_recs(coh_trie_node_t const *nodes, size_t cnt)
{
    coh_rec_node_t *recs = coh_calloc(cnt + 1, sizeof(*recs));
    for (size_t i = 0; i < cnt; i++) {
        coh_mpt_node_t const *node = &nodes[i].node;
        recs[i]                    = (coh_rec_node_t){
                               .bucket = nodes[i].bucket, .kind = node->kind, .node = coh_bytes(node->b, node->n)};
    }
    return recs;
}

void coh_sh_put_nodes(coh_buf_t *out, uint64_t block, coh_trie_node_t const *nodes, size_t cnt)
{
    coh_rec_node_t *recs = coh_sh_node_recs(nodes, cnt);
    coh_msg_nodes_t m    = {.block = block};
    m.nodes.v            = recs;
    m.nodes.cnt          = (uint32_t)cnt;
    coh_wire_put_nodes(out, &m);
    free(recs);
}
