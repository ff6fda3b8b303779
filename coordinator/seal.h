/* seal.h: outcomes -> block. The transactions that were valid at their turn, in order, become the body; from their outcomes come receipts, and from
   those the header, whose hash names the block.

   Header fields are Ethereum's, by fork (common/codec/block.h), with what Cohort has no use for at its neutral value: no ommers, nonce 0,
   extra "cohort", empty withdrawals, parent beacon root 0. So are the roots: of the signed transactions, of the receipts (EIP-2718, EIP-658), and of
   the state, which the tries of the shards lead to (common/trie/roots.h). */
#ifndef COH_SEAL_H
#define COH_SEAL_H

#include <stdatomic.h>

#include "common/chain/steps.h"
#include "common/client/ops.h"
#include "common/codec/block.h"
#include "common/codec/step.h"
#include "common/codec/tx.h"
#include "common/config/genesis.h"
#include "common/state/block_env.h"

/* A transaction of a block under way. */
typedef struct {
    coh_tx_t const *tx; /* borrowed from the pool's or the import's */
    coh_hash_t const *hash;
    coh_addr_t const *sender;
    struct coh_pool_tx *pooled; /* NULL in an import */
    uint16_t sender_bucket;
    uint16_t to_bucket;
    uint16_t home;        /* shard */
    bool reported;        /* its home said what became of it: the rest is set */
    uint8_t status;       /* receipt status */
    coh_tx_err_t verdict; /* not OK: left out */
    uint64_t gas_used;
    coh_bytes_t logs; /* as coh_logs_check has them; owned by whoever owns this */
    coh_hash_t root;  /* of the state after it; before Byzantium */
} coh_block_tx_t;

/* A step of a block under way, and what came of it. */
typedef struct coh_block_step {
    coh_bytes_t raw; /* borrowed from the import or the flight */
    uint16_t home;
    bool reported;
    coh_step_result_t result;
    coh_buf_t output;
    coh_steps_use_t use; /* what the result means... */
    uint8_t request_type;
} coh_block_step_t;

/* A block with its receipts. It does not change once made, and may be shared between threads by references: the last one that is given back frees it. */
typedef struct coh_sealed {
    _Atomic uint32_t ref_cnt;
    coh_header_t header;
    coh_fork_t fork;
    coh_hash_t hash;
    coh_buf_t header_rlp; /* owned */
    coh_buf_t
        extra; /* what the body has behind the transactions, of an imported block: RLP of the list of ommers, then of withdrawals, if it has one; else empty */
    coh_hash_t
        *roots; /* owned; before Byzantium: by receipt, the state root that it holds; NULL since */
    coh_op_receipt_t *receipts; /* owned; tx_cnt, in order */
    coh_bytes_t *
        logs; /* owned, with log_bytes that it points into; by receipt, as in coh_block_tx_t; NULL: nobody logged */
    coh_buf_t log_bytes;
    uint32_t *
        log_firsts; /* owned; with logs: by receipt, how many logs the block has before its first */
    uint8_t *creations; /* owned; by receipt, 1: it created the account to; NULL: none did */
    uint32_t tx_cnt;
    size_t txs_bytes; /* octets of the transactions in the block's RLP, the list's header aside */
    /* Wei: base fee times gas used (EIP-1559). What is paid for blobs is burnt as well, and not counted. */
    coh_u256_t burnt;
    coh_u256_t burnt_total; /* with all blocks before */
} coh_sealed_t;

/* coh_sealed_ref returns another reference to sealed; coh_sealed_free gives one back (NULL is allowed). Any thread. */
coh_sealed_t *coh_sealed_ref(coh_sealed_t const *sealed);
void coh_sealed_free(coh_sealed_t *sealed);
static inline bool coh_sealed_is_creation(coh_sealed_t const *sealed, uint32_t idx)
{
    return sealed->creations != NULL && sealed->creations[idx] != 0;
}
/* The logs of a receipt, as in coh_block_tx_t; borrowed. */
coh_bytes_t coh_sealed_logs(coh_sealed_t const *sealed, uint32_t idx);

/* coh_seal builds the block of those of txs[0..cnt-1] whose verdict is OK on top of parent, of which hash and burnt_total are read. scratch is cleared and reused. The
   caller frees the result.
   Cost: the tries of two lists, most of it three permutations of the multi-buffer Keccak a transaction, and a Bloom filter for each log */
coh_sealed_t *coh_seal(coh_block_env_t const *env,
                       coh_sealed_t const *parent,
                       coh_block_tx_t const *txs,
                       uint32_t cnt,
                       coh_hash_t const *state_root,
                       coh_buf_t *scratch);

/* coh_sealed_set_requests sets the hash of the block's requests (since Prague). Before anybody else refers to sealed. */
void coh_sealed_set_requests(coh_sealed_t *sealed, coh_hash_t const *hash);

/* coh_sealed_adopt puts the given header in the place of the one that Cohort made, from which it differs at most in what execution does not compute. Before anybody else
   refers to sealed. */
void coh_sealed_adopt(coh_sealed_t *sealed,
                      coh_header_t const *header,
                      coh_fork_t shape,
                      coh_bytes_t extra);

/* coh_seal_genesis is the parent of the first block. */
coh_sealed_t *coh_seal_genesis(coh_genesis_t const *genesis);

/* coh_seal_restore rebuilds a block with its receipts from its decision record.
   Returns: COH_OK and *out, the caller's; COH_ECORRUPT the record is damaged or does not hold together */
coh_err_t coh_seal_restore(coh_sealed_t **out, coh_bytes_t record);

#endif
