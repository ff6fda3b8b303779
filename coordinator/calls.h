/* calls.h: calls on the state of a committed block, for whoever answers clients: each goes to the shard that owns what it calls, which executes it (shard/callq.h), and comes back as a
   CALL_RESULT.

   coh_calls_begin ─▶ CALL ─▶ CALL_RESULT ─▶ done(arg, tag, block, result), exactly once
                        └─coh_calls_stop─▶ done(..., CLOSED)

   Communication thread only. */
#ifndef COH_CALLS_H
#define COH_CALLS_H

#include "common/codec/block.h"
#include "common/codec/tx.h"
#include "common/config/genesis.h"
#include "common/node/call.h"
#include "common/state/block_env.h"
#include "common/state/directory.h"
#include "common/wire/wire.h"
#include "coordinator/ids.h"
#include "coordinator/lookup.h"

/* tag: the caller's own; block: on whose state it ran. result is borrowed for the call; its err is a coh_call_err_t. */
typedef void coh_calls_done_fn(void *arg,
                               uint64_t tag,
                               uint64_t block,
                               coh_msg_call_result_t const *result);

typedef struct {
    coh_ids_t ids;
    uint32_t shard_cnt;
    uint32_t inflight_max; /* for each shard */
    uint32_t *inflight;    /* owned; by shard */
    bool stopped;
    coh_directory_t const *dir;
    coh_lookup_outbox_fn *outbox;
    void *arg;
} coh_calls_t;

/* dir, outbox's arg: borrowed until fini. */
void coh_calls_init(coh_calls_t *cs,
                    uint32_t shard_cnt,
                    uint32_t inflight_max,
                    coh_directory_t const *dir,
                    coh_lookup_outbox_fn *outbox,
                    void *arg);
/* coh_calls_fini forgets what is under way without calling done. */
void coh_calls_fini(coh_calls_t *cs);

/* coh_calls_begin sends m, whose number it chooses; all else is the caller's to fill in: block, a committed one; the environment (coh_calls_set_env); mode; transactions. tx is that of m
   by which the shard is chosen, decoded; sender its own. m and tx are borrowed for the call.
   Returns: COH_OK: done will be called; COH_EBUSY too many are under way; COH_ECLOSED stopped */
coh_err_t coh_calls_begin(coh_calls_t *cs,
                          coh_msg_call_t *m,
                          coh_tx_t const *tx,
                          coh_addr_t const *sender,
                          coh_calls_done_fn *done,
                          void *arg,
                          uint64_t tag);

/* coh_calls_env is the environment of the transactions of the block with header h, by the rules of fork; coh_calls_set_env puts one into m. */
coh_block_env_t coh_calls_env(coh_genesis_t const *genesis, coh_header_t const *h, coh_fork_t fork);
void coh_calls_set_env(coh_msg_call_t *m, coh_block_env_t const *env);

/* coh_calls_answer takes a shard's result. COH_EPROTO if it was not asked this */
coh_err_t coh_calls_answer(coh_calls_t *cs, uint32_t shard, coh_msg_call_result_t const *m);

/* coh_calls_forget: done is not called any more for what was begun with it. */
void coh_calls_forget(coh_calls_t *cs, coh_calls_done_fn *done);

/* coh_calls_stop ends all that is under way, and refuses more. */
void coh_calls_stop(coh_calls_t *cs);

#endif
