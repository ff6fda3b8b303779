/* import.h: blocks that are given, to be replayed instead of what the pool would order: what one consists of, and the queue of those that have not begun.

   given ─new─▶ queued ─pop─▶ under way ─┬─ committed ─finish─▶ (told, forgotten)
                  ▲                      ├─ invalid ─finish─▶
                  └──put_before── aborted┘

   Communication thread. */
#ifndef COH_IMPORT_H
#define COH_IMPORT_H

#include "common/chain/plan.h"

struct coh_sealed;
struct coh_block_step;

/* What a header says that is not compared, where the state is only a part of the real one. */
enum {
    COH_IMPORT_SKIP_STATE_ROOT    = 1,
    COH_IMPORT_SKIP_RECEIPTS_ROOT = 2, /* before Byzantium receipts hold state roots */
    COH_IMPORT_SKIP_REQUESTS_HASH = 4,
};

/* A whole block: what its header says is held against what comes of it. */
typedef struct {
    coh_header_t header;
    coh_fork_t header_fork; /* earliest that has the header's fields */
    coh_hash_t hash;
    uint64_t blob_gas;                          /* of its transactions */
    coh_steps_use_t step_use[COH_STEP_CNT_MAX]; /* what a step's result means */
    uint8_t request_type[COH_STEP_CNT_MAX];
    coh_addr_t deposit_addr; /* whose logs are requests, since Prague */
    coh_bytes_t extra;       /* of the body, to be kept: see coh_sealed_t; copied */
    /* COH_IMPORT_SKIP_*; unless 0, the block is kept under the header that Cohort makes, whose roots are those of the state that there is, and without extra. */
    uint32_t skips;
} coh_import_expect_t;

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
    coh_import_expect_t const
        *expect; /* copied; NULL: nothing is compared, and Cohort makes the header */
} coh_import_block_t;

/* coh_import_env is a block's environment on a chain, with fees_exact false; coh_import_block_of a block that has an environment, and nothing else yet. */
coh_block_env_t coh_import_env(coh_import_block_t const *block, uint64_t chain_id);
coh_import_block_t coh_import_block_of(coh_block_env_t const *env);

/* What became of it. */
typedef struct {
    uint64_t number;
    coh_err_t err; /* COH_OK committed; COH_EINVAL the block is invalid, nothing of it is applied */
    coh_block_fault_t fault; /* with COH_EINVAL: why */
    uint64_t gas_used;
    coh_hash_t hash; /* of the header */
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
    bool compares;
    coh_import_expect_t expect; /* if it compares, but for extra */
    coh_buf_t extra;
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
/* coh_import_finish tells what became of a block, and frees it. fault: NULL unless err is COH_EINVAL; sealed: NULL unless it is COH_OK. */
void coh_import_finish(coh_import_t *im,
                       coh_err_t err,
                       coh_block_fault_t const *fault,
                       struct coh_sealed const *sealed);

/* coh_import_hash_requests computes the hash of a block's requests (EIP-7685, since Prague), out of its logs and of what its steps returned, given or produced.
   Returns: COH_BLOCK_OK; else what makes the block invalid */
coh_block_err_t coh_import_hash_requests(coh_hash_t *out,
                                         struct coh_sealed const *sealed,
                                         struct coh_block_step const *steps,
                                         uint32_t step_cnt,
                                         coh_addr_t const *deposit_addr);

/* coh_import_compare holds what came of a block that compares against its header. sealed: the header that Cohort would make; steps: of the block. */
coh_block_err_t coh_import_compare(coh_import_t const *im,
                                   struct coh_sealed const *sealed,
                                   struct coh_block_step const *steps);

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
void coh_imports_fail(coh_imports_t *q, coh_err_t err, coh_block_fault_t const *fault);

#endif
