/* admission.h: from the bytes that a client submits to verdicts and pooled transactions.

   SUBMIT ─▶ pieces of at most 256 ─RECOVERING (own workers or a shard's)─▶ hash, sender ─▶ add to the pool
                                                                  unknown account │  ▲ balance may be out of date
                                                                                  ▼  │ (once)
                                                                              ASKING its owner
   When every transaction of the request has its verdict, the request is answered.

   Bounds: transactions between SUBMIT and verdict (client.inflight_tx_max) and their octets (COH_ADMISSION_BYTES_MAX; the rest is answered BUSY at once), and
   requests (the gateway's). Signature recovery goes to the rank with the fewest transactions outstanding. A rank's word on hash and sender is trusted; form and
   static checks of what it recovered are done here, because the pool needs the decoded transaction anyway. Pieces with blobs stay with the own workers, which
   check their proofs and let go of them: what goes on from there, into the pool and blocks, is the transaction without its sidecar (sidecar.h).

   Communication thread only, but for coh_admission_work. */
#ifndef COH_ADMISSION_H
#define COH_ADMISSION_H

#include "common/client/ops.h"
#include "common/node/env.h"
#include "common/node/recover.h"
#include "common/state/block_env.h"
#include "common/wire/wire.h"
#include "coordinator/chain.h"
#include "coordinator/lookup.h"
#include "coordinator/pool.h"

/* Transactions that one RECOVER carries, or one local job: so many while a rank has none to recover, that all may share in a request; else up
   to the larger number, for each piece costs two messages, and each of those may wake a rank. */
#define COH_ADMISSION_PIECE     256u
#define COH_ADMISSION_PIECE_MAX 1024u

/* Octets of transactions between SUBMIT and verdict, blobs included. */
#define COH_ADMISSION_BYTES_MAX ((size_t)256 << 20)

typedef struct coh_admission coh_admission_t;

/* What admission works with; all borrowed. */
typedef struct {
    coh_env_t *env;
    coh_pool_t *pool;
    coh_chain_t *chain;
    coh_lookups_t *lookups;
    coh_directory_t const *dir;
    coh_lookup_outbox_fn *outbox;
    void *outbox_arg;
    uint64_t chain_id;
    uint64_t gas_limit; /* of a block */
    bool allow_unprotected;
    uint32_t inflight_tx_max;
    /* Called for each transaction that the pool has taken. */
    void (*pooled)(void *arg, coh_hash_t const *hash);
    void *pooled_arg;
} coh_admission_deps_t;

/* What became of a submission. Borrowed for the call. senders: of each transaction, zero where it was not recovered. */
typedef void coh_admission_done_fn(void *arg,
                                   uint64_t tag,
                                   coh_op_submit_answer_t const *answer,
                                   coh_addr_t const *senders);

coh_admission_t *coh_admission_new(coh_admission_deps_t const *deps);
void coh_admission_free(coh_admission_t *adm);

/* coh_admission_submit takes a request's transactions (borrowed for the call); next: whose rules count, the environment of the next block. done is called now or later,
   unless the admission is freed before. */
void coh_admission_submit(coh_admission_t *adm,
                          coh_op_submit_request_t const *req,
                          coh_block_env_t const *next,
                          coh_admission_done_fn *done,
                          void *arg,
                          uint64_t tag);
/* coh_admission_recovered takes a shard's results. COH_EPROTO if it was not asked for them. */
coh_err_t coh_admission_recovered(coh_admission_t *adm,
                                  uint32_t shard,
                                  coh_msg_recovered_t const *msg);
/* coh_admission_poll goes on with what the own workers have finished; true if there was something. */
bool coh_admission_poll(coh_admission_t *adm);
/* coh_admission_work: one piece of work for a worker thread; false if there is none. Any thread. */
bool coh_admission_work(coh_admission_t *adm);
/* coh_admission_set_pool: transactions go to this one from here on. */
void coh_admission_set_pool(coh_admission_t *adm, coh_pool_t *pool);
/* coh_admission_set_gas_limit: of blocks from here on. */
void coh_admission_set_gas_limit(coh_admission_t *adm, uint64_t gas_limit);
/* coh_admission_stop: from now on every transaction not in the pool yet is answered BUSY. */
void coh_admission_stop(coh_admission_t *adm);

#endif
