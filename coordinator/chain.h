/* chain.h: what is committed, as far as it is in memory: the head, the last blocks with their receipts, where each recent transaction is, and which ones
   were left out. Older blocks and index entries are on disk, and their readers go there (COH_DISK_READ).

   The transaction index is written behind: entries gather in memory (ACTIVE), become FLUSHING as a whole, go to disk as one sorted ingest together with
   the mark "indexed up to block b", and are dropped. After a crash the blocks above the mark are indexed again from their decision records.

   ACTIVE ─coh_chain_flush_begin─▶ FLUSHING ─coh_chain_flush_done─▶ (on disk)

   Communication thread only. */
#ifndef COH_CHAIN_H
#define COH_CHAIN_H

#include "common/node/env.h"
#include "coordinator/seal.h"

typedef struct coh_chain coh_chain_t;

typedef struct {
    uint32_t recent_cnt; /* blocks kept with their receipts... */
    size_t recent_bytes; /* ...and bytes that they may take, the head aside */
    uint32_t
        index_tx_max; /* entries in memory after which the index is written; four times this many at most before blocks must wait */
    uint64_t index_age_us; /* time after which it is written */
    uint32_t dropped_max;  /* transactions left out that are remembered, at least */
} coh_chain_limits_t;

/* Value of an index entry on disk: block u64, index u32, little-endian. The key is the transaction's hash; or a block's, with COH_CHAIN_IDX_BLOCK as index. */
#define COH_CHAIN_INDEX_SZ  12u
#define COH_CHAIN_IDX_BLOCK UINT32_MAX
/* As block: the chain has gone back behind it (dev chains). */
#define COH_CHAIN_GONE UINT64_MAX
/* META key of the mark: u64 little-endian, highest block whose transactions are all in TX_INDEX. */
#define COH_CHAIN_INDEX_MARK "node/index_head"

/* coh_chain_new takes head (the genesis block or the last one decided). indexed: the mark as found. seed: unpredictable to clients. */
coh_chain_t *coh_chain_new(coh_chain_limits_t const *limits,
                           coh_sealed_t *head,
                           uint64_t indexed,
                           uint64_t seed);
void coh_chain_free(coh_chain_t *chain);

coh_sealed_t const *coh_chain_head(coh_chain_t const *chain);
/* coh_chain_append takes block, the new head: its number is the head's plus one, or anything higher right above genesis. */
void coh_chain_append(coh_chain_t *chain, coh_sealed_t *block, uint64_t now_us);
/* Of dev chains: coh_chain_can_rewind tells whether the blocks above number are all in memory, coh_chain_rewind forgets them with their transactions; block (a reference, taken) is
   the one of that number, the new head. */
bool coh_chain_can_rewind(coh_chain_t const *chain, uint64_t number);
void coh_chain_rewind(coh_chain_t *chain, coh_sealed_t *block, uint64_t now_us);
/* coh_chain_index adds the hashes of a block and its transactions to the index in memory: at start, for blocks above the mark. */
void coh_chain_index(coh_chain_t *chain, coh_sealed_t const *block, uint64_t now_us);

/* coh_chain_block returns a block kept in memory, borrowed until the next append, or NULL. */
coh_sealed_t const *coh_chain_block(coh_chain_t const *chain, uint64_t number);
/* coh_chain_find looks a transaction up in the index in memory. */
bool coh_chain_find(coh_chain_t const *chain,
                    coh_hash_t const *hash,
                    uint64_t *block,
                    uint32_t *idx);
/* coh_chain_find_block looks a block up by its hash, in the index in memory; the head of the start too. */
bool coh_chain_find_block(coh_chain_t const *chain, coh_hash_t const *hash, uint64_t *block);

/* Transactions left out, with their verdict; the oldest are forgotten. */
void coh_chain_drop(coh_chain_t *chain, coh_hash_t const *hash, coh_tx_err_t verdict);
bool coh_chain_dropped(coh_chain_t const *chain, coh_hash_t const *hash, coh_tx_err_t *verdict);

/* coh_chain_flush_begin returns the request that writes the index, if it is due (or wanted by force) and none is under way; else NULL. The caller hands
   it to the disk with a tag of its own and calls coh_chain_flush_done when it is back. */
coh_disk_req_t *coh_chain_flush_begin(coh_chain_t *chain, uint64_t now_us, bool force);
/* coh_chain_flush_due_us: when it will be due by its age; UINT64_MAX: by that it will not. */
uint64_t coh_chain_flush_due_us(coh_chain_t const *chain);
void coh_chain_flush_done(coh_chain_t *chain, bool ok);
/* True if no index entry is in memory alone. */
bool coh_chain_is_flushed(coh_chain_t const *chain);
/* True if the index is so far behind that no block should begin. */
bool coh_chain_is_behind(coh_chain_t const *chain);

#endif
