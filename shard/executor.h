/* executor.h: runs the transactions of a block that are homed here. Workers take chains from the scheduler, run transitions over a view of the
   multi-version store, of code and of other shards' state, and publish; the communication thread feeds in what other shards send and carries
   out what they are to get. One block at a time.

   A transition that needs a key not at hand parks: local keys wake it through the store's waiters, remote keys by a READ whose VALUE comes
   back. It keeps what it has executed as long as parked ones take no more than COH_EXECUTOR_PARKED_BYTES together; beyond that it starts over when woken. Messages to other shards are collected by the threads that cause them, and gathered by coh_executor_drain: one PUBLISH for each shard and call, not one for
   each transfer.

   Threads: coh_executor_work from any worker; everything else from the communication thread. */
#ifndef COH_EXECUTOR_H
#define COH_EXECUTOR_H

#include "common/evm/transition.h"
#include "common/node/env.h"
#include "common/state/directory.h"
#include "common/wire/wire.h"
#include "shard/codes.h"
#include "shard/sched.h"

typedef struct coh_executor coh_executor_t;

/* Memory of parked transitions: a few thousand calls of usual contracts. */
#define COH_EXECUTOR_PARKED_BYTES ((size_t)256 << 20)
/* Hashes that BLOCKHASH reaches. */
#define COH_EXECUTOR_HASH_CNT 256u

/* mv, codes, env, directory: borrowed; the directory may change between blocks. worker_cnt threads call coh_executor_work. */
coh_executor_t *coh_executor_new(coh_mvstore_t *mv,
                                 coh_codes_t *codes,
                                 coh_env_t *env,
                                 coh_directory_t const *directory,
                                 uint32_t worker_cnt,
                                 coh_sched_kind_t scheduler);
void coh_executor_free(coh_executor_t *ex);

/* coh_executor_allow_any_sender: of a dev chain (coh_block_env_t). Before the first block. */
void coh_executor_allow_any_sender(coh_executor_t *ex);

/* coh_executor_begin starts a block: decodes its transactions (bytes copied) and lets the workers in. The store's block has begun.
   serial: a number that no other block of this run has; goes into waiters.
   Returns: COH_OK; COH_EMALFORMED a transaction does not decode, indices do not ascend, or code may run and fees are not exact: nothing began */
coh_err_t coh_executor_begin(coh_executor_t *ex, coh_msg_block_t const *block, uint32_t serial);
/* coh_executor_end closes the block, settled or discarded; no worker is inside afterwards. Results stay readable until the next begin. */
void coh_executor_end(coh_executor_t *ex);

/* coh_executor_add_hash tells the hash of the next committed block; hashes that are not known are zero, and those of blocks below the executing one
   that are not committed yet are waited for. */
void coh_executor_add_hash(coh_executor_t *ex, uint64_t number, coh_hash_t const *hash);

/* coh_executor_work runs chains for up to about a millisecond. False: nothing to do. */
bool coh_executor_work(coh_executor_t *ex, uint32_t worker);

/* Messages of other shards, for the executing block and its attempt.
   Returns: COH_OK; COH_EPROTO it names a transaction or key that it cannot */
coh_err_t coh_executor_on_publish(coh_executor_t *ex, uint32_t src, coh_msg_publish_t const *m);
coh_err_t coh_executor_on_read(coh_executor_t *ex, uint32_t src, coh_msg_read_t const *m);
coh_err_t coh_executor_on_value(coh_executor_t *ex, coh_msg_value_t const *m);
coh_err_t coh_executor_on_retract(coh_executor_t *ex, coh_msg_retract_t const *m);

/* coh_executor_on_loaded puts a key read from disk into the store and wakes whom it keeps waiting. */
void coh_executor_on_loaded(coh_executor_t *ex, coh_key_t const *key, coh_value_t const *value);

/* The same for code. */
void coh_executor_on_code_loaded(coh_executor_t *ex, coh_hash_t const *hash, coh_bytes_t bytes);

/* coh_executor_drain puts what the threads collected into the outboxes; returns the number of messages. */
size_t coh_executor_drain(coh_executor_t *ex);

/* coh_executor_is_idle: all executed, nothing collected, nothing being loaded. Call after a drain that returned 0. */
bool coh_executor_is_idle(coh_executor_t *ex);

/* Shard-to-shard messages of the block so far (settlement's counters). */
uint64_t coh_executor_sent(coh_executor_t const *ex);
uint64_t coh_executor_received(coh_executor_t const *ex);

/* Sums over the outcomes, and the digests of the effects sent to rank dst; while idle. */
void coh_executor_sums(coh_executor_t const *ex,
                       uint64_t *gas_used,
                       uint64_t *blob_gas,
                       coh_u256_t *tips);
uint64_t coh_executor_effects_to(coh_executor_t const *ex, uint32_t dst);

/* What a transaction used, as far as is known at its end: accounts that it changed, or read on other shards; first the one that it calls or pays. The coinbase is left out. */
#define COH_EXECUTOR_USED_MAX 16u
typedef struct {
    coh_addr_t addrs[COH_EXECUTOR_USED_MAX];
    uint32_t cnt;
    uint64_t gas_used;
} coh_executor_used_t;

/* After the end, until the next begin. coh_executor_used: false for a step, or a transaction that was left out. coh_executor_is_across: it is no step, and read or changed something on another shard, tips for the coinbase aside. */
bool coh_executor_used(coh_executor_t const *ex, uint32_t pos, coh_executor_used_t *out);
bool coh_executor_is_across(coh_executor_t const *ex, uint32_t pos);

/* coh_executor_results returns an array of *cnt records, one for each transaction, ascending; valid until the next call. */
coh_rec_result_t const *coh_executor_results(coh_executor_t *ex, uint32_t *cnt);

#endif
