/* store.h: how a shard's state lies on disk, and the batches that make it durable. The flat table holds each key's value as of
   some flushed block; a redo record holds all changes of one block, and stays until a flush covers it. So the state of committed block c is
   the flat table with the redo records flushed+1..c laid over it, in order; records above c are of undecided blocks.

   META guest/address         generation (be32) of an account whose storage's trie is here and which lives elsewhere, once it was wiped (guests.h)
   META node/move             accounts that are on the move, until that is settled (moves.h)
   META node/shard            what the flat tables hold: format, rank count, directory epoch, flushed block
   REDO be64(block)           version, block, changes (kind, whether storage was wiped, whether it is a guest's, address[, generation, slot], flat value), new code, checksum
   ACCOUNTS address           flags (1), nonce (8, little-endian)[, generation (4, little-endian)][, code hash (32)], balance (big-endian, no leading zeros)
   STORAGE address, generation (be32), slot (be256)    value (big-endian, no leading zeros)
   CODE hash                  code
   TRIE                       pages of the tries over them (common/trie/mpt.h), as of some block between the flushed one and the head

   What is all zero is not there. Slots of generations that an account has left behind stay: nobody finds them. */
#ifndef COH_STORE_H
#define COH_STORE_H

#include "common/kv/kv.h"
#include "shard/codes.h"

#define COH_STORE_FORMAT 3u

/* META node/shard. */
typedef struct {
    uint32_t rank_cnt;
    uint64_t epoch;
    uint64_t flushed; /* block */
} coh_store_mark_t;

/* coh_store_get_mark reads the mark. COH_OK; COH_ENOTFOUND fresh directory; COH_ECORRUPT; COH_EMISMATCH another format; COH_EIO */
coh_err_t coh_store_get_mark(coh_kv_t *kv, coh_store_mark_t *out);
void coh_store_put_mark(coh_kv_batch_t *batch, coh_store_mark_t const *mark);

/* Where a key of kind ACCOUNT or SLOT lies. */
#define COH_STORE_KEY_MAX 56u
coh_kv_table_t coh_store_table(coh_key_t const *key);
/* coh_store_key writes the flat key to buf and returns it. */
coh_bytes_t coh_store_key(uint8_t buf[COH_STORE_KEY_MAX], coh_key_t const *key);
/* coh_store_read_key is the reverse, of a key found in table. COH_ECORRUPT if it is none. */
coh_err_t coh_store_read_key(coh_key_t *out, coh_kv_table_t table, coh_bytes_t in);

/* coh_store_put_flat writes the flat value of a key of kind to out and returns its size; 0 if value has no place on disk. */
#define COH_STORE_FLAT_MAX 77u
size_t coh_store_put_flat(uint8_t out[COH_STORE_FLAT_MAX], uint32_t kind, coh_value_t const *value);

/* The generation of a guest; 0 if none is stored. COH_OK; COH_ECORRUPT; COH_EIO */
void coh_store_put_guest(coh_kv_batch_t *batch, coh_addr_t const *addr, uint32_t generation);
coh_err_t coh_store_get_guest(coh_kv_t *kv, coh_addr_t const *addr, uint32_t *generation);

/* True if value has no place on disk. */
bool coh_store_is_absent(coh_value_t const *value);
/* coh_store_put_value puts what is there, and deletes what is absent. */
void coh_store_put_value(coh_kv_batch_t *batch, coh_key_t const *key, coh_value_t const *value);
/* coh_store_get_value decodes a flat value of kind. COH_ECORRUPT if it is none. */
coh_err_t coh_store_get_value(coh_value_t *out, uint32_t kind, coh_bytes_t in);

/* coh_store_put_code puts code whose keccak256 is hash. */
void coh_store_put_code(coh_kv_batch_t *batch, coh_hash_t const *hash, coh_bytes_t code);

/* coh_store_put_redo adds the redo record of a diff, with changes of guests and the code listed, to batch; returns its size in bytes. */
size_t coh_store_put_redo(coh_kv_batch_t *batch,
                          coh_mvstore_t const *mv,
                          coh_mv_diff_t const *diff,
                          coh_mv_item_t const *guests,
                          size_t guest_cnt,
                          coh_codes_t *codes,
                          coh_code_list_t const *list);
/* Deletes the redo records first..last. */
void coh_store_drop_redo(coh_kv_batch_t *batch, uint64_t first, uint64_t last);

/* What a redo record holds, for whoever reads it. code may be NULL. */
typedef struct {
    void (*change)(void *arg, coh_mv_item_t const *item);
    void (*code)(void *arg, coh_bytes_t code);
    void *arg;
} coh_store_visitor_t;

/* coh_store_read_redo hands out a record's changes, then its code. COH_OK; COH_ECORRUPT damaged, or of another block than its key says */
coh_err_t coh_store_read_redo(coh_bytes_t key,
                              coh_bytes_t record,
                              uint64_t *block,
                              coh_store_visitor_t const *visitor);

/* coh_store_compare_keys orders by table, then by flat key. */
int coh_store_compare_keys(coh_key_t const *a, coh_key_t const *b);
/* coh_store_sort_items orders so, for ingestion. */
void coh_store_sort_items(coh_mv_item_t *items, size_t cnt);
/* coh_store_merge_items makes of changes in their order one for each key, ordered as above: the last one, wiped if one of them is. Returns how many are left. */
size_t coh_store_merge_items(coh_mv_item_t *items, size_t cnt);

#endif
