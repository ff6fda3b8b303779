/* reads.h: single keys of committed state at a block, for calls: those that run here (callq.h) and, through READ_STATE, those of other shards. What is not in memory is read from disk for
   the reader alone: nothing enters the store, so no call evicts what blocks need, and no block waits for a call's reads. What comes from disk is exact: a key that is not in memory has no change that is
   not flushed, and one that changes meanwhile leaves what it had in the past (past.h).

   Communication thread only. */
#ifndef COH_READS_H
#define COH_READS_H

#include "common/node/env.h"
#include "common/wire/wire.h"
#include "shard/codes.h"

typedef struct coh_reads coh_reads_t;

/* READ_STATEs of other shards under way. */
#define COH_READS_REMOTE_MAX 65536u

/* All borrowed. tag: of the disk requests that coh_reads_poll hands out. */
coh_reads_t *coh_reads_new(coh_mvstore_t *mv,
                           coh_past_t *past,
                           coh_codes_t *codes,
                           coh_env_t *env,
                           uint32_t tag);
void coh_reads_free(coh_reads_t *reads);

typedef enum {
    COH_READ_HERE, /* the answer is here */
    COH_READ_LATER,
} coh_read_status_t;

typedef struct {
    bool gone;         /* the block is not remembered any more: all else is empty */
    coh_value_t value; /* ACCOUNT, SLOT */
    coh_bytes_t code;  /* CODE; borrowed for the call */
} coh_read_answer_t;

typedef void coh_read_done_fn(void *arg, coh_read_answer_t const *answer);

/* coh_reads_get reads key (owned here, of kind ACCOUNT, SLOT or CODE) at block, which is committed. COH_READ_LATER: done is called with the answer once it has come. */
coh_read_status_t coh_reads_get(coh_reads_t *reads,
                                coh_key_t const *key,
                                uint64_t block,
                                coh_read_answer_t *answer,
                                coh_read_done_fn *done,
                                void *arg);

/* coh_reads_on_message answers a READ_STATE of rank src, once its block is committed. owned: the key is this shard's.
   Returns: COH_OK; COH_EPROTO not such a key; COH_ETOOBIG too many at a time */
coh_err_t coh_reads_on_message(coh_reads_t *reads,
                               uint32_t src,
                               coh_msg_read_state_t const *m,
                               bool owned);

/* coh_reads_refuse answers a READ_STATE of rank src: that state is not here. */
void coh_reads_refuse(coh_reads_t *reads, uint32_t src, coh_msg_read_state_t const *m);

/* True if no read is under way but such as wait for a block. */
bool coh_reads_is_idle(coh_reads_t const *reads);

/* coh_reads_poll hands out disk requests for what was asked; true if it did. */
bool coh_reads_poll(coh_reads_t *reads);
/* coh_reads_on_disk takes what a request brought; coh_disk_req_free frees it afterwards, or if it never was carried out.
   Returns: COH_OK; COH_ECORRUPT a value or code is damaged; the disk's error */
coh_err_t coh_reads_on_disk(coh_reads_t *reads, coh_disk_req_t *req);

#endif
