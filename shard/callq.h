/* callq.h: the calls of a shard (CALL, CALL_RESULT): eth_call, eth_estimateGas, eth_createAccessList, traces. Each runs (callrun.h) on the state of exactly one committed block; nothing of it
   goes into any block.

   Workers run calls in slices of less than a millisecond, when no block has work for them, and now and then when one has (shard.c). A call that wants keys parks: the communication thread reads each here (reads.h) or asks its owner
   (READ_STATE), and puts the call back when it has come; of several keys when all have.

   waiting ─room─▶ READY ─worker─▶ RUNNING ─slice over─▶ READY
                     ▲                ├─wants a key─▶ PARKED ─it has come─┐
                     └────────────────┼────────────────────────────────────┘
                                      └─▶ done: CALL_RESULT

   Bounded: calls by `call-inflight-max`, of which COH_CALLQ_ACTIVE_MAX run at a time; gas, time and traces by options; memory of all by COH_CALLQ_BYTES_MAX.

   Threads: coh_callq_work from any worker; everything else from the communication thread. */
#ifndef COH_CALLQ_H
#define COH_CALLQ_H

#include "common/config/config.h"
#include "common/state/directory.h"
#include "shard/callrun.h"
#include "shard/reads.h"

typedef struct coh_callq coh_callq_t;

#define COH_CALLQ_ACTIVE_MAX 64u
#define COH_CALLQ_BYTES_MAX  ((size_t)512 << 20)

/* All borrowed; the directory may change between calls. seed: of tables. */
coh_callq_t *coh_callq_new(coh_config_t const *config,
                           coh_env_t *env,
                           coh_directory_t const *directory,
                           coh_past_t *past,
                           coh_reads_t *reads,
                           uint64_t seed);
void coh_callq_free(coh_callq_t *q);

/* coh_callq_add_hash tells the hash of a committed block, ascending, for BLOCKHASH. */
void coh_callq_add_hash(coh_callq_t *q, uint64_t number, coh_hash_t const *hash);

/* coh_callq_add takes a CALL (copied); its CALL_RESULT goes to rank 0 sooner or later, exactly one.
   Returns: COH_OK; COH_EPROTO its block is not committed */
coh_err_t coh_callq_add(coh_callq_t *q, coh_msg_call_t const *m);
/* coh_callq_on_state takes a STATE of rank src. COH_EPROTO: not asked for, or no owner answers so */
coh_err_t coh_callq_on_state(coh_callq_t *q, uint32_t src, coh_msg_state_t const *m);

/* coh_callq_poll answers what is done, reads what is wanted, and ends what is late; true if it did something. */
bool coh_callq_poll(coh_callq_t *q);
/* coh_callq_work runs a slice of one call; false: none is ready. */
bool coh_callq_work(coh_callq_t *q);

#endif
