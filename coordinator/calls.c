#include "coordinator/calls.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/codec/blob.h"

/* One under way. */
typedef struct {
    coh_calls_done_fn *done; /* NULL: nobody waits any more */
    void *arg;
    uint64_t tag;
    uint64_t block;
    uint32_t shard;
} asked_t;

void coh_calls_init(coh_calls_t *cs,
                    uint32_t shard_cnt,
                    uint32_t inflight_max,
                    coh_directory_t const *dir,
                    coh_lookup_outbox_fn *outbox,
                    void *arg)
{
    *cs = (coh_calls_t){.shard_cnt    = shard_cnt,
                        .inflight_max = inflight_max,
                        .inflight     = coh_calloc(shard_cnt, sizeof(uint32_t)),
                        .dir          = dir,
                        .outbox       = outbox,
                        .arg          = arg};
}

void coh_calls_fini(coh_calls_t *cs)
{
    for (uint32_t i = 0; i < cs->ids.cap; i++) {
        free(cs->ids.slots[i].thing);
    }
    free(cs->ids.slots);
    free(cs->inflight);
    *cs = (coh_calls_t){0};
}

coh_err_t coh_calls_begin(coh_calls_t *cs,
                          coh_msg_call_t *m,
                          coh_tx_t const *tx,
                          coh_addr_t const *sender,
                          coh_calls_done_fn *done,
                          void *arg,
                          uint64_t tag)
{
    coh_addr_t const *at = tx->is_create ? sender : &tx->to;
    uint32_t shard       = coh_directory_owner(cs->dir, at, coh_directory_bucket(at));
    if (cs->stopped) {
        return COH_ECLOSED;
    }
    if (cs->inflight[shard] >= cs->inflight_max) {
        return COH_EBUSY;
    }
    asked_t *asked = coh_calloc(1, sizeof(*asked));
    *asked  = (asked_t){.done = done, .arg = arg, .tag = tag, .block = m->block, .shard = shard};
    m->call = coh_ids_put(&cs->ids, asked);
    cs->inflight[shard]++;
    coh_wire_put_call(cs->outbox(cs->arg, shard), m);
    return COH_OK;
}

coh_block_env_t coh_calls_env(coh_genesis_t const *genesis, coh_header_t const *h, coh_fork_t fork)
{
    coh_block_env_t env = {
        .number    = h->number,
        .timestamp = h->timestamp,
        .gas_limit = h->gas_limit,
        .chain_id  = genesis->chain_id,
        .base_fee  = h->base_fee,
        .coinbase  = h->coinbase,
        .fork      = fork,
    };
    env.prev_randao = env.fork >= COH_FORK_PARIS
                          ? coh_u256_from_be(h->mix_hash.b, sizeof(h->mix_hash.b))
                          : h->difficulty;
    if (env.fork >= COH_FORK_CANCUN) {
        coh_blob_params_t blobs = coh_genesis_blob_params(genesis, h->timestamp);
        env.blob_max            = blobs.max;
        env.blob_base_fee       = coh_blob_base_fee(h->excess_blob_gas, blobs.update_fraction);
    }
    return env;
}

void coh_calls_set_env(coh_msg_call_t *m, coh_block_env_t const *env)
{
    m->fork          = (uint32_t)env->fork;
    m->number        = env->number;
    m->timestamp     = env->timestamp;
    m->gas_limit     = env->gas_limit;
    m->chain_id      = env->chain_id;
    m->base_fee      = env->base_fee;
    m->blob_base_fee = env->blob_base_fee;
    m->blob_max      = env->blob_max;
    m->prev_randao   = env->prev_randao;
    m->coinbase      = env->coinbase;
}

coh_err_t coh_calls_answer(coh_calls_t *cs, uint32_t shard, coh_msg_call_result_t const *m)
{
    asked_t *asked = coh_ids_get(&cs->ids, m->call);
    if (asked == NULL || asked->shard != shard) {
        return COH_EPROTO;
    }
    coh_ids_remove(&cs->ids, m->call);
    cs->inflight[shard]--;
    asked_t was = *asked;
    free(asked);
    if (was.done != NULL) {
        was.done(was.arg, was.tag, was.block, m);
    }
    return COH_OK;
}

void coh_calls_forget(coh_calls_t *cs, coh_calls_done_fn *done)
{
    for (uint32_t i = 0; i < cs->ids.cap; i++) {
        asked_t *asked = cs->ids.slots[i].thing;
        if (asked != NULL && asked->done == done) {
            asked->done = NULL;
        }
    }
}

void coh_calls_stop(coh_calls_t *cs)
{
    cs->stopped = true;
    for (uint32_t i = 0; i < cs->ids.cap; i++) {
        asked_t *asked = cs->ids.slots[i].thing;
        if (asked != NULL && asked->done != NULL) {
            coh_calls_done_fn *done = asked->done;
            asked->done             = NULL;
            done(asked->arg,
                 asked->tag,
                 asked->block,
                 &(coh_msg_call_result_t){.err = COH_CALL_CLOSED});
        }
    }
}
