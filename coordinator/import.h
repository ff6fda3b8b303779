/* import.h: blocks that are given, to be replayed instead of what the pool would order: what one consists of, and the queue of those that have not begun.

   given ─new─▶ queued ─pop─▶ under way ─┬─ committed ─finish─▶ (told, forgotten)
                  ▲                      ├─ invalid ─finish─▶
                  └──put_before── aborted┘

   Communication thread. */
#ifndef COH_IMPORT_H
#define COH_IMPORT_H

#include "common/codec/step.h"
#include "common/codec/tx.h"
#include "common/state/block_env.h"

/* A given block to replay, instead of what the pool would order: its transactions in order with their senders, and its environment. */
typedef struct {
    uint64_t number;
    coh_fork_t fork;
    uint64_t timestamp;
    uint64_t gas_limit;
    coh_u256_t base_fee;
    coh_u256_t blob_base_fee; /* 0 before Cancun */
    coh_u256_t prev_randao;   /* the difficulty before Paris */
    uint32_t blob_max;        /* 0 before Cancun */
    coh_addr_t coinbase;
    uint32_t tx_cnt;
    coh_bytes_t const *raws;   /* tx_cnt; copied */
    coh_addr_t const *senders; /* tx_cnt; copied */
    /* Encoded steps (codec/step.h), in their order: before_cnt of them come before the transactions, the rest after. */
    uint32_t step_cnt; /* at most COH_STEP_CNT_MAX */
    uint32_t before_cnt;
    coh_bytes_t const *steps; /* step_cnt; copied */
} coh_import_block_t;

/* What became of it. */
typedef struct {
    uint64_t number;
    coh_err_t err; /* COH_OK committed; COH_EINVAL the block is invalid, nothing of it is applied */
    uint32_t bad_tx_idx;  /* with COH_EINVAL: the first invalid transaction... */
    uint32_t bad_verdict; /* ...and why (coh_tx_err_t) */
    uint64_t gas_used;
    coh_hash_t hash; /* of the header that Cohort sealed */
    struct coh_sealed const
        *sealed; /* with COH_OK: the block with its receipts; borrowed for the call */
} coh_import_result_t;

typedef void coh_import_done_fn(void *arg, coh_import_result_t const *result);

/* A block given to import. Its memory lives until it is done. */
typedef struct coh_import {
    coh_block_env_t env;
    uint32_t tx_cnt;
    coh_tx_t *txs;       /* owned, borrow from bytes */
    coh_hash_t *hashes;  /* owned */
    coh_addr_t *senders; /* owned */
    uint32_t step_cnt, before_cnt;
    coh_bytes_t steps[COH_STEP_CNT_MAX]; /* borrow from bytes */
    coh_buf_t bytes;
    coh_import_done_fn *done;
    void *arg;
    struct coh_import *next;
} coh_import_t;

/* coh_import_new copies and decodes a block; done is called with arg by coh_import_finish. NULL: a transaction or step does not decode, or too many steps */
coh_import_t *coh_import_new(coh_import_block_t const *block,
                             uint64_t chain_id,
                             coh_import_done_fn *done,
                             void *arg);
void coh_import_free(coh_import_t *im);
/* coh_import_finish tells what became of a block, and frees it. sealed: NULL unless err is COH_OK. */
void coh_import_finish(coh_import_t *im,
                       coh_err_t err,
                       uint32_t bad_idx,
                       coh_tx_err_t verdict,
                       struct coh_sealed const *sealed);

/* Blocks in the order of their numbers. */
typedef struct {
    coh_import_t *first;
    coh_import_t **last;
    uint32_t cnt;
} coh_imports_t;

void coh_imports_init(coh_imports_t *q);
void coh_imports_fini(coh_imports_t *q);
void coh_imports_push(coh_imports_t *q, coh_import_t *im);
/* coh_imports_pop takes the first, of which there must be one. */
coh_import_t *coh_imports_pop(coh_imports_t *q);
/* coh_imports_put_before moves all of first before those of q. */
void coh_imports_put_before(coh_imports_t *q, coh_imports_t *first);
/* coh_imports_fail gives up all: the first for the reason given, the others because they follow it. */
void coh_imports_fail(coh_imports_t *q, coh_err_t err, uint32_t bad_idx, coh_tx_err_t verdict);

#endif
