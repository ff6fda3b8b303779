/* block.h: block headers (Yellow Paper 4.4 and later EIPs) and the base fee rule. */
#ifndef COH_BLOCK_H
#define COH_BLOCK_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"
#include "common/codec/fork.h"

#define COH_BLOOM_SZ  256
#define COH_EXTRA_MAX 32

typedef struct {
    coh_hash_t parent_hash;
    coh_hash_t ommers_hash;
    coh_addr_t coinbase;
    coh_hash_t state_root;
    coh_hash_t tx_root;
    coh_hash_t receipts_root;
    uint8_t bloom[COH_BLOOM_SZ];
    coh_u256_t difficulty;
    uint64_t number;
    uint64_t gas_limit;
    uint64_t gas_used;
    uint64_t timestamp;
    uint8_t extra[COH_EXTRA_MAX];
    uint32_t extra_sz;
    coh_hash_t mix_hash; /* prevRandao since Paris */
    uint8_t nonce[8];
    coh_u256_t base_fee;           /* London */
    coh_hash_t withdrawals_root;   /* Shanghai */
    uint64_t blob_gas_used;        /* Cancun */
    uint64_t excess_blob_gas;      /* Cancun */
    coh_hash_t parent_beacon_root; /* Cancun */
    coh_hash_t requests_hash;      /* Prague */
} coh_header_t;

/* Hash of an empty list: ommers of every block since Paris. keccak256(rlp([])) */
extern coh_hash_t const COH_EMPTY_LIST_HASH;
/* Root of an empty trie: keccak256(rlp("")). */
extern coh_hash_t const COH_EMPTY_TRIE_ROOT;
/* EIP-7685 requests hash of no requests: sha256(""). */
extern coh_hash_t const COH_EMPTY_REQUESTS_HASH;

/* coh_header_encode appends the RLP form with the fields that fork has. */
void coh_header_encode(coh_buf_t *out, coh_header_t const *h, coh_fork_t fork);
/* coh_header_decode reads one that fills in; *fork_out gets the earliest fork that has these
   fields.
   Returns: COH_OK; COH_ETOOBIG the extra data is too long; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_header_decode(coh_header_t *out, coh_fork_t *fork_out, coh_bytes_t in);
/* coh_header_hash is the block's hash. */
coh_hash_t coh_header_hash(coh_header_t const *h, coh_fork_t fork);

/* coh_base_fee_next is the base fee of the block after one with these figures (EIP-1559;
   elasticity 2, denominator 8). */
coh_u256_t coh_base_fee_next(coh_u256_t const *base_fee, uint64_t gas_used, uint64_t gas_limit);

#endif
