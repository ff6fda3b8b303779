#include "coordinator/settle.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

void coh_settle_init(coh_settle_t *s, uint32_t shard_cnt)
{
    COH_ASSERT(shard_cnt > 0);
    *s =
        (coh_settle_t){.shard_cnt = shard_cnt, .shards = coh_calloc(shard_cnt, sizeof(*s->shards))};
}

void coh_settle_fini(coh_settle_t *s)
{
    free(s->shards);
    *s = (coh_settle_t){0};
}

void coh_settle_begin(coh_settle_t *s)
{
    coh_settle_shard_t *shards = s->shards;
    memset(shards, 0, s->shard_cnt * sizeof(*shards));
    *s = (coh_settle_t){.shard_cnt = s->shard_cnt, .shards = shards};
}

static void next_wave(coh_settle_t *s)
{
    s->has_closed   = true;
    s->closed_sum   = s->sent;
    s->sent         = 0;
    s->received     = 0;
    s->reported_cnt = 0;
    s->wave++;
    for (uint32_t i = 0; i < s->shard_cnt; i++) {
        s->shards[i].reported = false;
    }
}

coh_err_t coh_settle_idle(coh_settle_t *s,
                          coh_settle_answer_t *answer,
                          uint32_t shard,
                          uint32_t wave,
                          uint64_t sent,
                          uint64_t received)
{
    *answer = COH_SETTLE_WAIT;
    if (shard >= s->shard_cnt || wave > s->wave) {
        return COH_EPROTO;
    }
    coh_settle_shard_t *sh = &s->shards[shard];
    if (wave < s->wave) {
        return COH_OK;
    }
    if (sent < sh->sent || received < sh->received) {
        return COH_EPROTO; /* counts of a block only grow */
    }
    if (s->settled) {
        /* Nothing can happen after settlement but a repetition. */
        return sent == sh->sent && received == sh->received ? COH_OK : COH_EPROTO;
    }
    if (sh->reported) {
        s->sent -= sh->sent;
        s->received -= sh->received;
    } else {
        sh->reported = true;
        s->reported_cnt++;
    }
    sh->sent     = sent;
    sh->received = received;
    s->sent += sent;
    s->received += received;
    if (s->reported_cnt < s->shard_cnt || s->sent != s->received) {
        return COH_OK;
    }
    if (s->sent == 0 || (s->has_closed && s->closed_sum == s->sent)) {
        s->settled = true;
        *answer    = COH_SETTLE_SETTLED;
        return COH_OK;
    }
    next_wave(s);
    *answer = COH_SETTLE_WAVE;
    return COH_OK;
}
