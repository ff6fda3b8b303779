/* receipt.h: receipts and logs (Yellow Paper 4.4.1; EIP-658, EIP-2718), their Bloom filters, withdrawals (EIP-4895) and the hash of requests (EIP-7685): what a block
   commits to beside its state. The roots of the lists of receipts, transactions and withdrawals are coh_root_list of the encodings (common/trie/root.h). */
#ifndef COH_RECEIPT_H
#define COH_RECEIPT_H

#include "common/codec/block.h"
#include "common/codec/tx.h"

/* coh_bloom_add enters an item: three of 2048 bits, named by its keccak256 (Yellow Paper, M3:2048). */
void coh_bloom_add(uint8_t bloom[COH_BLOOM_SZ], void const *item, size_t n);
/* coh_bloom_merge enters all that other holds. */
void coh_bloom_merge(uint8_t bloom[COH_BLOOM_SZ], uint8_t const other[COH_BLOOM_SZ]);
/* coh_bloom_has is false only if the item has not been entered. */
bool coh_bloom_has(uint8_t const bloom[COH_BLOOM_SZ], void const *item, size_t n);

/* coh_log_put appends the RLP of a log, [address, topics, data].
   In: topics  topic_cnt of them, 0..4; borrowed, as data */
void coh_log_put(coh_buf_t *out,
                 coh_addr_t const *addr,
                 coh_hash_t const *topics,
                 size_t topic_cnt,
                 coh_bytes_t data);

/* Lists of logs travel as one RLP list of what coh_log_put makes, or as no octets if there are none. coh_logs_check tells whether logs is
   such a list; coh_bloom_add_logs enters the address and the topics of each into bloom, and returns false, with some of them entered, if it is none. */
bool coh_logs_check(coh_bytes_t logs);
bool coh_bloom_add_logs(uint8_t bloom[COH_BLOOM_SZ], coh_bytes_t logs);

/* A receipt; logs is borrowed. */
typedef struct {
    coh_tx_type_t type;
    uint32_t status;         /* since Byzantium: 1 succeeded, 0 failed */
    bool has_root;           /* before: in place of the status... */
    coh_hash_t root;         /* ...the state root after the transaction */
    uint64_t cumulative_gas; /* used in the block, up to and including this transaction */
    uint8_t bloom[COH_BLOOM_SZ];
    coh_bytes_t logs; /* a list, or no octets: see coh_logs_check */
} coh_receipt_t;

/* coh_receipt_put appends it as the receipts' trie and peers hold it: [status or root, gas, bloom, logs], after the type's octet if it is not a legacy
   transaction's (EIP-2718). */
void coh_receipt_put(coh_buf_t *out, coh_receipt_t const *receipt);

/* A withdrawal from the consensus layer (EIP-4895). */
typedef struct {
    uint64_t index;
    uint64_t validator;
    coh_addr_t addr;
    uint64_t amount_gwei;
} coh_withdrawal_t;

/* coh_withdrawal_put appends the RLP that a body has of it. */
void coh_withdrawal_put(coh_buf_t *out, coh_withdrawal_t const *withdrawal);

/* coh_requests_hash is the requests_hash of a header (EIP-7685): of cnt lists of requests, each its type's octet and data, ascending by type;
   those without data are left out. */
void coh_requests_hash(coh_hash_t *out, coh_bytes_t const *requests, size_t cnt);

#endif
