/* store.h: how a shard's state lies on disk, and the batches that make it durable. The flat table holds each key's value as of
   some flushed block; a redo record holds all changes of one block, and stays until a flush covers it. So the state of committed block c is
   the flat table with the redo records flushed+1..c laid over it, in order; records above c are of undecided blocks.

   META node/shard      what the flat tables hold: format, rank count, directory epoch, flushed block
   REDO be64(block)     version, block, changes (kind, address[, slot], nonce, value), checksum
   ACCOUNTS address     nonce (8, little-endian), balance (big-endian, no leading zeros) */
#ifndef COH_STORE_H
#define COH_STORE_H

#include "common/kv/kv.h"
#include "shard/mvstore.h"

#define COH_STORE_FORMAT 1u

/* META node/shard. */
typedef struct {
    uint32_t rank_cnt;
    uint64_t epoch;
    uint64_t flushed; /* block */
} coh_store_mark_t;

/* coh_store_get_mark reads the mark. COH_OK; COH_ENOTFOUND fresh directory; COH_ECORRUPT; COH_EMISMATCH another format; COH_EIO */
coh_err_t coh_store_get_mark(coh_kv_t *kv, coh_store_mark_t *out);
void coh_store_put_mark(coh_kv_batch_t *batch, coh_store_mark_t const *mark);

/* The flat key of an account. Borrowed from key. */
coh_bytes_t coh_store_key(coh_key_t const *key);
void coh_store_put_value(coh_kv_batch_t *batch, coh_key_t const *key, coh_value_t const *value);
/* coh_store_get_value decodes a flat value. COH_ECORRUPT if it is none. */
coh_err_t coh_store_get_value(coh_bytes_t in, coh_value_t *out);

/* coh_store_put_redo adds the redo record of a diff to batch; returns its size in bytes. */
size_t coh_store_put_redo(coh_kv_batch_t *batch,
                          coh_mvstore_t const *mv,
                          coh_mv_diff_t const *diff);
/* Deletes the redo records first..last. */
void coh_store_drop_redo(coh_kv_batch_t *batch, uint64_t first, uint64_t last);

/* coh_store_read_redo hands the changes of a record to visit. COH_OK; COH_ECORRUPT damaged, or of another block than its key says */
typedef void coh_store_change_fn(void *arg, coh_key_t const *key, coh_value_t const *value);
coh_err_t coh_store_read_redo(coh_bytes_t key,
                              coh_bytes_t record,
                              uint64_t *block,
                              coh_store_change_fn *visit,
                              void *arg);

/* coh_store_sort_items orders by flat key, for ingestion. */
void coh_store_sort_items(coh_mv_item_t *items, size_t cnt);

#endif
