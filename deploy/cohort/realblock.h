/* realblock.h: recorded blocks of real Ethereum networks (JSON, format "realblock-1"): header, signed transactions with
   their recorded senders and gas, and the state that they read as of the parent block.

   Some hold a witness besides: nodes of the parent state's tries, from which the header's state root follows (realblock_state.h).

   A recording is taken apart into plain values; whether Cohort can execute it is decided from them alone
   (coh_realblock_kind), and what must come out is computed from them alone (coh_realblock_expect), by sums over the
   transactions that use nothing of the executor. */
#ifndef COH_REALBLOCK_H
#define COH_REALBLOCK_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/codec/step.h"
#include "common/codec/tx.h"
#include "common/config/genesis.h"
#include "common/state/block_env.h"

typedef struct {
    uint64_t chain_id;
    uint64_t number;
    uint64_t timestamp;
    uint64_t gas_limit;
    uint64_t gas_used;        /* the header's */
    coh_u256_t base_fee;      /* 0 before London */
    coh_u256_t blob_base_fee; /* 0 before Cancun, as blob_max */
    uint32_t blob_max;
    coh_u256_t prev_randao; /* the difficulty before Paris */
    coh_addr_t coinbase;
    uint8_t bloom[COH_BLOOM_SZ];
    coh_hash_t hash;
    coh_fork_t fork;
    coh_blob_step_t blobs;   /* whose blob parameters hold; COH_BLOB_STEP_CNT: none */
    coh_bytes_t header_rlp;  /* its keccak256 is hash; in the arena, as all octets below */
    bool has_ommers;         /* they were recorded, if there were any */
    coh_bytes_t ommers;      /* payload of the body's list: RLP of headers */
    coh_bytes_t withdrawals; /* likewise, since Shanghai */
    coh_hash_t ancestors
        [256]; /* of the blocks before it, the parent last; zero where execution reads none */
    size_t tx_cnt;
    coh_bytes_t *raws;   /* borrow from bytes */
    coh_tx_t *txs;       /* as raws do */
    coh_tx_err_t *errs;  /* of decoding each */
    coh_addr_t *senders; /* as recorded */
    uint64_t *gas;       /* of each alone, as recorded */
    size_t account_cnt;
    /* Before the block; sorted by address, no repetition. Codes and slots, sorted likewise, lie in the arena. */
    coh_genesis_account_t *accounts;
    bool has_witness;
    coh_hash_t parent_root; /* state root of the parent block */
    coh_bytes_t *nodes;     /* RLP of nodes of that state's tries, without order */
    size_t node_cnt;
    coh_hash_t *branch_hints; /* of nodes that are branches and were not recorded */
    size_t branch_hint_cnt;
    coh_addr_t *omitted; /* accounts whose code is never used and was not recorded */
    size_t omitted_cnt;
    coh_buf_t bytes;
    coh_arena_t arena;
} coh_realblock_t;

/* coh_realblock_load reads a file. out need not be initialised; release it with coh_realblock_free, also after a failure.
   Returns: COH_OK; COH_EIO, COH_EMALFORMED with what is wrong in err_text */
coh_err_t coh_realblock_load(coh_realblock_t *out, char const *path, coh_buf_t *err_text);
void coh_realblock_free(coh_realblock_t *block);

/* The environment of its transactions, fees to the coinbase one by one. */
coh_block_env_t coh_realblock_env(coh_realblock_t const *block);

typedef enum {
    COH_REALBLOCK_TRANSFERS, /* no code runs: plain transfers, and creations without init code */
    COH_REALBLOCK_EMPTY,     /* no transactions */
    COH_REALBLOCK_CODE, /* some transaction runs init code, calls a contract or precompile, has blobs or delegates */
    COH_REALBLOCK_TYPE, /* some transaction does not decode */
} coh_realblock_kind_t;

coh_realblock_kind_t coh_realblock_kind(coh_realblock_t const *block);
/* What a kind means, for people. */
char const *coh_realblock_kind_str(coh_realblock_kind_t kind);

/* coh_realblock_genesis makes the chain whose genesis state is the block's pre-state, numbered as its parent.
   Release out with coh_genesis_free. */
coh_err_t coh_realblock_genesis(coh_genesis_t *out,
                                coh_realblock_t const *block,
                                coh_buf_t *err_text);

/* coh_realblock_expect computes accounts after the block (sorted by address; the caller frees *out): senders pay value and
   recorded gas at the effective price, receivers get value, the coinbase what is above the base fee; an account that is created gets
   nonce 1 (EIP-161), or, if it had one already, nothing (EIP-684). Then come the credits of a step of that kind, or NULL: none. Only for kinds TRANSFERS and EMPTY.
   Returns: COH_OK; COH_EINVAL the recording contradicts itself: a nonce or a balance does not fit, with err_text */
coh_err_t coh_realblock_expect(coh_genesis_account_t **out,
                               size_t *out_cnt,
                               coh_realblock_t const *block,
                               coh_step_t const *credits,
                               coh_buf_t *err_text);

#endif
