#include "coordinator/lookup.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

/* One QUERY under way. */
typedef struct {
    coh_lookup_t *lookup;
    uint32_t shard;
} question_t;

void coh_lookups_init(coh_lookups_t *ls, uint32_t shard_cnt)
{
    *ls = (coh_lookups_t){.shard_cnt = shard_cnt};
}

void coh_lookups_fini(coh_lookups_t *ls)
{
    for (uint32_t i = 0; i < ls->ids.cap; i++) {
        question_t *q = ls->ids.slots[i].thing;
        if (q != NULL) {
            if (--q->lookup->asked_cnt == 0) {
                coh_lookup_free(q->lookup);
            }
            free(q);
        }
    }
    free(ls->ids.slots);
    coh_buf_free(&ls->keys);
    *ls = (coh_lookups_t){0};
}

coh_lookup_t *coh_lookup_new(coh_lookups_t const *ls,
                             uint32_t cnt,
                             coh_lookup_done_fn *done,
                             void *arg)
{
    coh_lookup_t *l = coh_calloc(1, sizeof(*l));
    l->cnt          = cnt;
    l->keys         = coh_calloc(cnt, sizeof(*l->keys));
    l->wanted       = COH_BLOCK_LATEST;
    l->values       = coh_calloc(cnt, sizeof(*l->values));
    l->order        = coh_calloc(cnt, sizeof(*l->order));
    l->starts       = coh_calloc(ls->shard_cnt + 1, sizeof(*l->starts));
    l->done         = done;
    l->arg          = arg;
    return l;
}

static void forget_codes(coh_lookup_t *l)
{
    for (uint32_t i = 0; i < l->cnt; i++) {
        free((void *)(uintptr_t)l->values[i].code.p);
        l->values[i].code = (coh_bytes_t){0};
    }
}

void coh_lookup_free(coh_lookup_t *l)
{
    if (l != NULL) {
        forget_codes(l);
        free(l->keys);
        free(l->values);
        free(l->order);
        free(l->starts);
        free(l);
    }
}

/* group_by_owner fills order and starts: a counting sort. */
static void group_by_owner(coh_lookup_t *l, coh_directory_t const *dir, uint32_t shard_cnt)
{
    uint16_t *buckets = coh_calloc(l->cnt, sizeof(*buckets));
    uint32_t *at      = coh_calloc(shard_cnt + 1, sizeof(*at));
    coh_addr_t *addrs = coh_calloc(l->cnt, sizeof(*addrs));
    for (uint32_t i = 0; i < l->cnt; i++) {
        addrs[i] = l->keys[i].addr;
    }
    coh_directory_buckets(buckets, addrs, l->cnt);
    memset(l->starts, 0, (shard_cnt + 1) * sizeof(*l->starts));
    for (uint32_t i = 0; i < l->cnt; i++) {
        l->starts[coh_directory_owner(dir, &addrs[i], buckets[i]) + 1]++;
    }
    for (uint32_t s = 0; s < shard_cnt; s++) {
        l->starts[s + 1] += l->starts[s];
        at[s] = l->starts[s];
    }
    for (uint32_t i = 0; i < l->cnt; i++) {
        l->order[at[coh_directory_owner(dir, &addrs[i], buckets[i])]++] = i;
    }
    free(addrs);
    free(buckets);
    free(at);
}

void coh_lookups_ask(coh_lookups_t *ls,
                     coh_lookup_t *l,
                     coh_directory_t const *dir,
                     coh_lookup_outbox_fn *outbox,
                     void *arg)
{
    COH_ASSERT(l->cnt > 0 && l->asked_cnt == 0);
    l->dir        = dir;
    l->outbox     = outbox;
    l->outbox_arg = arg;
    l->has_block  = false;
    l->is_torn    = false;
    l->is_gone    = false;
    forget_codes(l);
    group_by_owner(l, dir, ls->shard_cnt);
    coh_buf_clear(&ls->keys);
    coh_rec_key_t *keys =
        (coh_rec_key_t *)(void *)coh_buf_extend(&ls->keys, l->cnt * sizeof(*keys));
    for (uint32_t i = 0; i < l->cnt; i++) {
        keys[i] = l->keys[l->order[i]];
    }
    for (uint32_t s = 0; s < ls->shard_cnt; s++) {
        uint32_t cnt = l->starts[s + 1] - l->starts[s];
        if (cnt == 0) {
            continue;
        }
        question_t *q         = coh_calloc(1, sizeof(*q));
        *q                    = (question_t){.lookup = l, .shard = s};
        coh_msg_query_t query = {
            .query = coh_ids_put(&ls->ids, q),
            .block = l->wanted,
            .keys  = {.v = keys + l->starts[s], .cnt = cnt},
        };
        coh_wire_put_query(outbox(arg, s), &query);
        l->asked_cnt++;
    }
}

coh_err_t coh_lookups_answer(coh_lookups_t *ls, uint32_t shard, coh_msg_answer_t const *msg)
{
    question_t *q = coh_ids_get(&ls->ids, msg->query);
    if (q == NULL || q->shard != shard) {
        return COH_EPROTO;
    }
    coh_lookup_t *l = q->lookup;
    uint32_t first  = l->starts[shard];
    if (msg->values.cnt != (msg->gone != 0 ? 0 : l->starts[shard + 1] - first) ||
        (l->wanted != COH_BLOCK_LATEST && msg->block != l->wanted) ||
        (l->wanted == COH_BLOCK_LATEST && msg->gone != 0)) {
        return COH_EPROTO;
    }
    l->is_torn   = l->is_torn || (l->has_block && l->block != msg->block);
    l->is_gone   = l->is_gone || msg->gone != 0;
    l->block     = msg->block;
    l->has_block = true;
    for (uint32_t i = 0; i < msg->values.cnt; i++) {
        coh_rec_state_value_t *v = &l->values[l->order[first + i]];
        *v                       = msg->values.v[i];
        if (v->code.n != 0) {
            uint8_t *code = coh_calloc(1, v->code.n);
            memcpy(code, v->code.p, v->code.n);
            v->code.p = code;
        } else {
            v->code = (coh_bytes_t){0};
        }
    }
    coh_ids_remove(&ls->ids, msg->query);
    free(q);
    if (--l->asked_cnt > 0) {
        return COH_OK;
    }
    if (l->is_torn) {
        coh_lookups_ask(ls, l, l->dir, l->outbox, l->outbox_arg);
    } else {
        l->done(l->arg, l);
    }
    return COH_OK;
}
