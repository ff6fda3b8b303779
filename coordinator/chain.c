#include "coordinator/chain.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/node/disk_req.h"
#include "coordinator/txmap.h"

struct coh_chain {
    coh_chain_limits_t limits;
    coh_sealed_t *base;    /* the head at start, until a block is appended; then NULL */
    coh_sealed_t **recent; /* by number modulo recent_cnt */
    uint64_t recent_first; /* lowest number kept; head + 1 if none */
    uint64_t head;
    size_t recent_bytes;
    coh_txmap_t active;
    coh_txmap_t flushing;
    bool is_flushing;
    uint64_t active_since_us; /* first entry of active */
    uint64_t indexed;         /* highest block in active */
    coh_txmap_t dropped[2];   /* current, and the one before it */
};

static size_t bytes_of(coh_sealed_t const *block)
{
    return sizeof(*block) + block->header_rlp.cap + block->tx_cnt * sizeof(*block->receipts);
}

coh_chain_t *coh_chain_new(coh_chain_limits_t const *limits,
                           coh_sealed_t *head,
                           uint64_t indexed,
                           uint64_t seed)
{
    COH_ASSERT(limits->recent_cnt > 0);
    coh_chain_t *chain  = coh_calloc(1, sizeof(*chain));
    chain->limits       = *limits;
    chain->recent       = coh_calloc(limits->recent_cnt, sizeof(coh_sealed_t *));
    chain->base         = head;
    chain->head         = head->header.number;
    chain->recent_first = chain->head + 1;
    chain->indexed      = indexed;
    coh_txmap_init(&chain->active, seed);
    coh_txmap_init(&chain->flushing, seed);
    coh_txmap_init(&chain->dropped[0], seed);
    coh_txmap_init(&chain->dropped[1], seed);
    return chain;
}

void coh_chain_free(coh_chain_t *chain)
{
    if (chain == NULL) {
        return;
    }
    for (uint32_t i = 0; i < chain->limits.recent_cnt; i++) {
        coh_sealed_free(chain->recent[i]);
    }
    coh_sealed_free(chain->base);
    free(chain->recent);
    coh_txmap_fini(&chain->active);
    coh_txmap_fini(&chain->flushing);
    coh_txmap_fini(&chain->dropped[0]);
    coh_txmap_fini(&chain->dropped[1]);
    free(chain);
}

coh_sealed_t const *coh_chain_head(coh_chain_t const *chain)
{
    return chain->base != NULL ? chain->base
                               : chain->recent[chain->head % chain->limits.recent_cnt];
}

static void evict(coh_chain_t *chain)
{
    while (chain->recent_first < chain->head &&
           (chain->head - chain->recent_first >= chain->limits.recent_cnt ||
            chain->recent_bytes > chain->limits.recent_bytes)) {
        coh_sealed_t **old = &chain->recent[chain->recent_first % chain->limits.recent_cnt];
        chain->recent_bytes -= bytes_of(*old);
        coh_sealed_free(*old);
        *old = NULL;
        chain->recent_first++;
    }
}

/* Puts ahead for which the map's memory is fetched. */
#define PREFETCH_AHEAD 16u

void coh_chain_index(coh_chain_t *chain, coh_sealed_t const *block, uint64_t now_us)
{
    if (chain->active.cnt == 0) {
        chain->active_since_us = now_us;
    }
    /* Its limit at once: to grow there by doubling would copy it and hash it all over again. */
    coh_txmap_reserve(&chain->active, chain->limits.index_tx_max);
    for (uint32_t i = 0; i < block->tx_cnt; i++) {
        if (i + PREFETCH_AHEAD < block->tx_cnt) {
            coh_txmap_prefetch(&chain->active, &block->receipts[i + PREFETCH_AHEAD].tx_hash);
        }
        coh_txmap_put(&chain->active, &block->receipts[i].tx_hash, block->header.number, i);
    }
    coh_txmap_put(&chain->active, &block->hash, block->header.number, COH_CHAIN_IDX_BLOCK);
    chain->indexed = block->header.number;
}

void coh_chain_append(coh_chain_t *chain, coh_sealed_t *block, uint64_t now_us)
{
    uint64_t number = block->header.number;
    COH_ASSERT(number == chain->head + 1 || (chain->base != NULL && number > chain->head));
    if (chain->base != NULL) {
        coh_sealed_free(chain->base);
        chain->base         = NULL;
        chain->recent_first = number;
    }
    coh_chain_index(chain, block, now_us);
    chain->head = number;
    /* The place of the new block may still be taken by the one that leaves: evict first, on the new head's account. */
    chain->recent_bytes += bytes_of(block);
    evict(chain);
    COH_ASSERT(chain->recent[number % chain->limits.recent_cnt] == NULL);
    chain->recent[number % chain->limits.recent_cnt] = block;
}

bool coh_chain_can_rewind(coh_chain_t const *chain, uint64_t number)
{
    return number == chain->head ||
           (chain->base == NULL && number < chain->head && number + 1 >= chain->recent_first);
}

void coh_chain_rewind(coh_chain_t *chain, coh_sealed_t *block, uint64_t now_us)
{
    uint64_t number = block->header.number;
    COH_ASSERT(coh_chain_can_rewind(chain, number));
    if (chain->active.cnt == 0) {
        chain->active_since_us = now_us;
    }
    for (; chain->head > number; chain->head--) {
        coh_sealed_t **gone = &chain->recent[chain->head % chain->limits.recent_cnt];
        /* Over what other maps and the disk say. */
        for (uint32_t i = 0; i < (*gone)->tx_cnt; i++) {
            coh_txmap_put(&chain->active, &(*gone)->receipts[i].tx_hash, COH_CHAIN_GONE, 0);
        }
        coh_txmap_put(&chain->active, &(*gone)->hash, COH_CHAIN_GONE, COH_CHAIN_IDX_BLOCK);
        chain->recent_bytes -= bytes_of(*gone);
        coh_sealed_free(*gone);
        *gone = NULL;
    }
    if (chain->base == NULL && chain->recent_first > number) {
        chain->base = block;
    } else {
        coh_sealed_free(block);
    }
}

coh_sealed_t const *coh_chain_block(coh_chain_t const *chain, uint64_t number)
{
    if (chain->base != NULL) {
        return number == chain->head ? chain->base : NULL;
    }
    return number >= chain->recent_first && number <= chain->head
               ? chain->recent[number % chain->limits.recent_cnt]
               : NULL;
}

static coh_txmap_entry_t const *find(coh_chain_t const *chain, coh_hash_t const *hash)
{
    coh_txmap_entry_t const *e = coh_txmap_get(&chain->active, hash);
    return e != NULL ? e : coh_txmap_get(&chain->flushing, hash);
}

bool coh_chain_find(coh_chain_t const *chain,
                    coh_hash_t const *hash,
                    uint64_t *block,
                    uint32_t *idx)
{
    coh_txmap_entry_t const *e = find(chain, hash);
    if (e == NULL || e->idx == COH_CHAIN_IDX_BLOCK || e->block == COH_CHAIN_GONE) {
        return false;
    }
    *block = e->block;
    *idx   = e->idx;
    return true;
}

bool coh_chain_find_block(coh_chain_t const *chain, coh_hash_t const *hash, uint64_t *block)
{
    coh_txmap_entry_t const *e = find(chain, hash);
    if (e != NULL && e->idx == COH_CHAIN_IDX_BLOCK && e->block != COH_CHAIN_GONE) {
        *block = e->block;
        return true;
    }
    coh_sealed_t const *head = coh_chain_head(chain);
    if (coh_hash_eq(&head->hash, hash)) {
        *block = head->header.number;
        return true;
    }
    return false;
}

void coh_chain_drop(coh_chain_t *chain, coh_hash_t const *hash, coh_tx_err_t verdict)
{
    if (chain->dropped[0].cnt >= chain->limits.dropped_max) {
        coh_txmap_t older = chain->dropped[1];
        chain->dropped[1] = chain->dropped[0];
        chain->dropped[0] = older;
        coh_txmap_clear(&chain->dropped[0]);
    }
    coh_txmap_put(&chain->dropped[0], hash, 0, (uint32_t)verdict);
}

bool coh_chain_dropped(coh_chain_t const *chain, coh_hash_t const *hash, coh_tx_err_t *verdict)
{
    for (int i = 0; i < 2; i++) {
        coh_txmap_entry_t const *e = coh_txmap_get(&chain->dropped[i], hash);
        if (e != NULL) {
            *verdict = (coh_tx_err_t)e->idx;
            return true;
        }
    }
    return false;
}

uint64_t coh_chain_flush_due_us(coh_chain_t const *chain)
{
    return chain->is_flushing || chain->active.cnt == 0
               ? UINT64_MAX
               : chain->active_since_us + chain->limits.index_age_us;
}

coh_disk_req_t *coh_chain_flush_begin(coh_chain_t *chain, uint64_t now_us, bool force)
{
    bool due = chain->active.cnt >= chain->limits.index_tx_max ||
               now_us - chain->active_since_us >= chain->limits.index_age_us;
    if (chain->is_flushing || chain->active.cnt == 0 || !(due || force)) {
        return NULL;
    }
    coh_txmap_t empty  = chain->flushing;
    chain->flushing    = chain->active;
    chain->active      = empty;
    chain->is_flushing = true;

    coh_disk_req_t *req = coh_disk_req_new(COH_DISK_INGEST, 0, 0);
    uint32_t *order     = coh_txmap_sorted(&chain->flushing);
    for (uint32_t i = 0; i < chain->flushing.cnt; i++) {
        coh_txmap_entry_t const *e = &chain->flushing.entries[order[i]];
        uint8_t *value             = coh_kv_batch_put_space(&req->batch,
                                                COH_KV_TX_INDEX,
                                                coh_bytes(e->hash.b, sizeof(e->hash.b)),
                                                COH_CHAIN_INDEX_SZ);
        coh_store_u64_le(value, e->block);
        coh_store_u32_le(value + 8, e->idx);
    }
    free(order);
    uint8_t mark[8];
    coh_store_u64_le(mark, chain->indexed);
    coh_kv_batch_put(&req->after,
                     COH_KV_META,
                     coh_bytes(COH_CHAIN_INDEX_MARK, sizeof(COH_CHAIN_INDEX_MARK) - 1),
                     coh_bytes(mark, sizeof(mark)));
    return req;
}

void coh_chain_flush_done(coh_chain_t *chain, bool ok)
{
    COH_ASSERT(chain->is_flushing);
    chain->is_flushing = false;
    if (ok) {
        coh_txmap_clear(&chain->flushing);
    }
}

bool coh_chain_is_flushed(coh_chain_t const *chain)
{
    return !chain->is_flushing && chain->active.cnt == 0;
}

bool coh_chain_is_behind(coh_chain_t const *chain)
{
    return chain->active.cnt / 4 >= chain->limits.index_tx_max;
}
