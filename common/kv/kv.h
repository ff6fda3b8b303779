/* kv.h: an ordered key-value store with atomic batches: get, iterate, write. One of the four seams: kv_rocks on disk,
   kv_mem in memory for tests and simulation, with the same contract.

   Keys live in column families ("tables"), fixed when the store is opened. A batch is applied whole or not at all, and batches
   become durable in the order in which they were written: after a crash a prefix of them is there, and at least
   all up to the last one written with sync. */
#ifndef COH_KV_H
#define COH_KV_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* Tables of every store, shards' and coordinator's: COH_KV_TABLE(name, purpose). */
#define COH_KV_TABLES(T)                                                                        \
    T(META, "meta", "format, identity, progress marks")                                         \
    T(ACCOUNTS, "accounts", "shard: address -> account")                                        \
    T(STORAGE, "storage", "shard: address, generation, slot -> value")                          \
    T(CODE, "code", "shard: code hash -> code")                                                 \
    T(REDO, "redo", "shard: block number -> redo record, until flushed")                        \
    T(BLOCKS, "blocks", "coordinator: block number -> decision record (header, body, outcome)") \
    T(TX_INDEX, "tx_index", "coordinator: transaction hash -> block number, index")             \
    T(DIRECTORY, "directory", "coordinator: epoch -> bucket assignment")                        \
    T(HEADERS, "headers", "coordinator: block number -> block hash, header")                    \
    T(TRIE, "trie", "shard: path -> page of a state or storage trie")

typedef enum {
#define COH_KV_ENUM(id, name, doc) COH_KV_##id,
    COH_KV_TABLES(COH_KV_ENUM)
#undef COH_KV_ENUM
        COH_KV_TABLE_CNT
} coh_kv_table_t;

/* A batch: operations encoded one after another; built by one thread, then handed over. */
typedef struct {
    coh_buf_t ops;
    uint32_t cnt;
} coh_kv_batch_t;

void coh_kv_batch_init(coh_kv_batch_t *batch);
void coh_kv_batch_free(coh_kv_batch_t *batch);
void coh_kv_batch_put(coh_kv_batch_t *batch,
                      coh_kv_table_t table,
                      coh_bytes_t key,
                      coh_bytes_t value);
/* coh_kv_batch_put_space reserves a value of n bytes and returns where to write it; valid until the next operation. */
uint8_t *coh_kv_batch_put_space(coh_kv_batch_t *batch,
                                coh_kv_table_t table,
                                coh_bytes_t key,
                                size_t n);
void coh_kv_batch_delete(coh_kv_batch_t *batch, coh_kv_table_t table, coh_bytes_t key);
/* Deletes the keys k with first <= k < end. */
void coh_kv_batch_delete_range(coh_kv_batch_t *batch,
                               coh_kv_table_t table,
                               coh_bytes_t first,
                               coh_bytes_t end);

/* coh_kv_batch_append adds a copy of the operations of other. */
void coh_kv_batch_append(coh_kv_batch_t *batch, coh_kv_batch_t const *other);

typedef enum {
    COH_KV_OP_PUT          = 1,
    COH_KV_OP_DELETE       = 2,
    COH_KV_OP_DELETE_RANGE = 3
} coh_kv_op_kind_t;

typedef struct {
    coh_kv_op_kind_t kind;
    coh_kv_table_t table;
    coh_bytes_t key;
    coh_bytes_t value; /* the end key for DELETE_RANGE */
} coh_kv_op_t;

/* coh_kv_batch_next walks a batch; *at starts at 0. False at the end. */
bool coh_kv_batch_next(coh_kv_batch_t const *batch, size_t *at, coh_kv_op_t *op);

typedef struct coh_kv coh_kv_t;

/* A visitor returns false to stop. key and value are borrowed for the call. */
typedef bool coh_kv_visit_t(void *arg, coh_bytes_t key, coh_bytes_t value);

typedef struct {
    /* COH_OK and the value appended to out; COH_ENOTFOUND; COH_EIO */
    coh_err_t (*get)(coh_kv_t *kv, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out);
    /* As get, out of memory alone: COH_EBUSY if it would have to wait for a device, which it never does. For small values: of a table with logged ones (kv_rocks) it may
       always say that. */
    coh_err_t (*peek)(coh_kv_t *kv, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out);
    /* cnt keys of one table: errs[i] is COH_OK or COH_ENOTFOUND; values appended to out one after another, lens[i] octets each.
       Any other failure is returned and means that nothing can be said of any. */
    coh_err_t (*multi_get)(coh_kv_t *kv,
                           coh_kv_table_t table,
                           size_t cnt,
                           coh_bytes_t const *keys,
                           coh_err_t *errs,
                           size_t *lens,
                           coh_buf_t *out);
    /* Applies a batch atomically. With sync it is durable when this returns; without, some later write or close makes it so. */
    coh_err_t (*write)(coh_kv_t *kv, coh_kv_batch_t const *batch, bool sync);
    /* Many PUTs of one table, sorted by key without repetition, built as a file and taken in as a whole: durable and visible when this returns.
       Not ordered against unsynced batches written before it. */
    coh_err_t (*ingest)(coh_kv_t *kv, coh_kv_batch_t const *batch);
    /* Visits keys from first on, in ascending byte order, or descending from first down. An empty first means from the start (end). */
    coh_err_t (*iterate)(coh_kv_t *kv,
                         coh_kv_table_t table,
                         coh_bytes_t first,
                         bool descending,
                         coh_kv_visit_t *visit,
                         void *arg);
    void (*close)(coh_kv_t *kv);
} coh_kv_ops_t;

struct coh_kv {
    coh_kv_ops_t const *ops;
};

/* coh_kv_mem_open makes an empty store in memory. */
coh_err_t coh_kv_mem_open(coh_kv_t **out);
/* coh_kv_mem_clone copies a memory store. */
coh_kv_t *coh_kv_mem_clone(coh_kv_t *kv);

/* Figures that a RocksDB store exports. */
typedef struct {
    uint64_t stall_micros;
    uint64_t bytes_written;
    uint64_t compaction_bytes;
    uint64_t sst_bytes;
    /* In memory: */
    uint64_t memtable_bytes;     /* write buffers, those that are being flushed too */
    uint64_t cache_bytes;        /* block cache in use... */
    uint64_t cache_pinned_bytes; /* ...and of it, by readers at this moment */
    uint64_t reader_bytes;       /* indexes and filters of open tables, beside the cache */
} coh_kv_rocks_stats_t;

/* coh_kv_rocks_open opens or creates a store in directory path (its parent must exist).
   Returns: COH_OK; COH_ELOCKED another process has it; COH_ECORRUPT; COH_EIO. The library's text goes to err_text, if not NULL. */
coh_err_t coh_kv_rocks_open(coh_kv_t **out,
                            char const *path,
                            size_t cache_bytes,
                            coh_buf_t *err_text);
/* coh_kv_rocks_checkpoint makes in path, which is not there (its parent is), what this store would be after closing it now: hard links to files that do not change any more, copies of
   the others. So path must be on the same file system. For the thread that writes, or while nobody does. Not durable before its files and folder are synced.
   Returns: COH_OK; COH_EIO, logged */
coh_err_t coh_kv_rocks_checkpoint(coh_kv_t *kv, char const *path);
void coh_kv_rocks_stats(coh_kv_t *kv, coh_kv_rocks_stats_t *out);

#endif
