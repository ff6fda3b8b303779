/* decision_log.h: the record that makes a block a fact. One value in table BLOCKS, under the block's number (8 octets, big-endian); written with sync
   before anybody is told. It holds all that cannot be computed again: header, transactions with their senders and outcomes, and for each
   shard the last block in which it wrote a redo record (so that a shard that lost its state is found out at its next HELLO).

   Layout, little-endian: version u32, fork u32, number u64, burnt u256, burnt_total u256, shard_cnt u32, tx_cnt u32, header_bytes u32, extra_bytes u32,
   last_redo u64 × shard_cnt, header (RLP), extra, then per transaction gas_used u64, status u32, raw_bytes u32, log_bytes u32, sender (20 octets), before Byzantium root (32 octets), raw, logs;
   at the end 8 octets of checksum (common/base/checksum.h): it finds damage, and is no signature. */
#ifndef COH_DECISION_LOG_H
#define COH_DECISION_LOG_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"
#include "common/codec/fork.h"

#define COH_DECISION_KEY_SZ 8u

typedef struct {
    uint64_t number;
    coh_fork_t fork;
    coh_u256_t burnt;       /* base fees burnt by this block (EIP-1559), wei */
    coh_u256_t burnt_total; /* by all blocks up to and with it */
    uint32_t shard_cnt;
    uint64_t const
        *last_redo; /* encoding only: by shard, 0 for never; decoded ones: coh_decision_last_redo */
    uint32_t tx_cnt;
    coh_bytes_t header; /* RLP */
    coh_bytes_t extra;  /* of the body, behind the transactions: see coh_sealed_t */
    size_t raw_bytes;   /* encoding only: sum of the sizes of transactions and logs */
} coh_decision_t;

typedef struct {
    coh_bytes_t raw;
    coh_bytes_t logs; /* RLP; empty: none */
    coh_addr_t sender;
    uint32_t status;
    uint64_t gas_used;
    coh_hash_t root; /* of the state after it; before Byzantium, else zero */
} coh_decision_tx_t;

/* A place in a record between transactions. */
typedef struct {
    uint8_t *p;        /* writing */
    uint8_t const *at; /* reading */
    uint8_t const *end;
    uint8_t const *last_redo;
    uint32_t left_cnt;
    bool has_roots;
} coh_decision_cursor_t;

static inline void coh_decision_key(uint8_t key[COH_DECISION_KEY_SZ], uint64_t number)
{
    coh_store_u64_be(key, number);
}

/* coh_decision_size is the size of the record in octets. */
size_t coh_decision_size(coh_decision_t const *d);
/* coh_decision_begin writes all before the transactions to out (coh_decision_size octets); then coh_decision_put_tx for each; coh_decision_end adds the checksum. */
void coh_decision_begin(coh_decision_cursor_t *cur, uint8_t *out, coh_decision_t const *d);
void coh_decision_put_tx(coh_decision_cursor_t *cur, coh_decision_tx_t const *tx);
void coh_decision_end(coh_decision_cursor_t *cur, uint8_t const *out);

/* coh_decision_read verifies the checksum and decodes all before the transactions; then coh_decision_next_tx for each of tx_cnt.
   Everything borrows from in. COH_ECORRUPT if anything does not fit. */
coh_err_t coh_decision_read(coh_decision_t *out, coh_decision_cursor_t *cur, coh_bytes_t in);
/* coh_decision_peek_header finds the header of a record without verifying anything else; empty if there is none. Borrows from in. */
coh_bytes_t coh_decision_peek_header(coh_bytes_t in);
coh_err_t coh_decision_next_tx(coh_decision_cursor_t *cur, coh_decision_tx_t *tx);
uint64_t coh_decision_last_redo(coh_decision_cursor_t const *cur, uint32_t shard);

#endif
