/* The store on disk: RocksDB, one column family for each table. Sole includer of its header.

   All tables share one write-ahead log, so batches are recovered in the order in which they were
   written. Recovery mode: RocksDB's kTolerateCorruptedTailRecords. A record that an interrupted
   write left incomplete at the end of the log was never acknowledged and is dropped; a record whose
   checksum is wrong is damage, and opening fails. kPointInTimeRecovery would quietly drop all that
   follows such a record, synced decisions among it; kAbsoluteConsistency would need hand-work after
   every kill in the middle of a write.

   Large values of tables that are only ever added to go into files of their own (vlog.h), and RocksDB
   gets a reference. The value is durable before the batch with its reference is written, so that the
   batch alone decides whether the value is there, like everything in it. */
#include <dirent.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/kv/kv.h"
#include "common/kv/kv_private.h"
#include "common/kv/vlog.h"
#include "common/obs/log.h"

#define MIB           ((size_t)1 << 20)
#define INGEST_PREFIX "ingest-"
/* Largest write-ahead log kept for tables whose write buffers are not flushed yet. */
#define WAL_BYTES_MAX (256 * MIB)
/* Files of tables open at a time; by default all are, and their indices and filters stay in memory, however long the chain. */
#define TABLE_FILES_MAX     512
#define FILTER_BITS_PER_KEY 10.0
/* Values from this size on are logged: for smaller ones a second sync costs more than it saves. */
#define LOGGED_BYTES_MIN ((size_t)64 << 10)
#define VALUE_FILE_BYTES (256 * MIB)
/* Before each value of a table with logged ones. */
#define TAG_HERE   0u /* the value follows */
#define TAG_LOGGED 1u /* its reference follows */

/* Recovery modes by RocksDB's numbers (options.h, enum WALRecoveryMode), which its C header does
 * not name. */
#define WAL_TOLERATE_CORRUPTED_TAIL 0
/* The same for where reads may look (options.h, enum ReadTier), and how a read begins to report that they would have to look further. */
#define READ_TIER_MEMORY 1
#define INCOMPLETE       "Result incomplete"

typedef struct {
    size_t write_buffer_bytes;
    int write_buffer_cnt;
    bool filter;    /* point reads of keys that are often absent */
    bool universal; /* random keys, hardly ever read: write amplification matters */
    bool blobs;     /* large values written once: kept out of compaction */
    bool logged;    /* the largest ones in the value log */
} table_shape_t;

static table_shape_t const shapes[COH_KV_TABLE_CNT] = {
    [COH_KV_META]      = {.write_buffer_bytes = MIB, .write_buffer_cnt = 2},
    [COH_KV_ACCOUNTS]  = {.write_buffer_bytes = 32 * MIB, .write_buffer_cnt = 2, .filter = true},
    [COH_KV_STORAGE]   = {.write_buffer_bytes = 32 * MIB, .write_buffer_cnt = 2, .filter = true},
    [COH_KV_CODE]      = {.write_buffer_bytes = 8 * MIB, .write_buffer_cnt = 2, .blobs = true},
    [COH_KV_REDO]      = {.write_buffer_bytes = 64 * MIB, .write_buffer_cnt = 2},
    [COH_KV_BLOCKS]    = {.write_buffer_bytes = 8 * MIB,
                          .write_buffer_cnt   = 2,
                          .blobs              = true,
                          .logged             = true},
    [COH_KV_TX_INDEX]  = {.write_buffer_bytes = 32 * MIB,
                          .write_buffer_cnt   = 3,
                          .filter             = true,
                          .universal          = true},
    [COH_KV_DIRECTORY] = {.write_buffer_bytes = MIB, .write_buffer_cnt = 2},
    [COH_KV_HEADERS]   = {.write_buffer_bytes = 4 * MIB, .write_buffer_cnt = 2},
    [COH_KV_TRIE]      = {.write_buffer_bytes = 32 * MIB, .write_buffer_cnt = 3, .filter = true},
};

#define TABLE_NAME(id, name, doc) name,
static char const *const table_names[COH_KV_TABLE_CNT] = {COH_KV_TABLES(TABLE_NAME)};
#undef TABLE_NAME

typedef struct {
    coh_kv_t base;
    rocksdb_t *db;
    rocksdb_options_t *db_options;
    rocksdb_options_t *options[COH_KV_TABLE_CNT];
    rocksdb_column_family_handle_t *handles[COH_KV_TABLE_CNT];
    rocksdb_readoptions_t *read_options;
    rocksdb_readoptions_t *peek_options; /* reads nothing from a device */
    rocksdb_writeoptions_t *write_options;
    rocksdb_writeoptions_t *sync_options;
    coh_vlog_t *values;
    char *path;
    uint64_t ingest_cnt;
} rocks_t;

/* RocksDB reports failures as text; its status codes lead the text. Takes and frees err. */
static coh_err_t rocks_err(char *err, char const *what, coh_buf_t *err_text)
{
    if (err == NULL) {
        return COH_OK;
    }
    coh_err_t rc = COH_EIO;
    if (strstr(err, "lock hold by current process") != NULL ||
        strstr(err, "While lock file") != NULL) {
        rc = COH_ELOCKED;
    } else if (strncmp(err, "Corruption", strlen("Corruption")) == 0) {
        rc = COH_ECORRUPT;
    }
    if (err_text != NULL) {
        coh_buf_printf(err_text, "%s", err);
    } else {
        COH_LOG_ERR("rocksdb", what, "text=\"%s\"", err);
    }
    rocksdb_free(err);
    return rc;
}

/* Runs call, in which the name err is a char **errptr, and yields a coh_err_t. */
#define ROCKS(what, err_text, call)                       \
    do {                                                  \
        char *text_ = NULL;                               \
        char **err  = &text_;                             \
        call;                                             \
        coh_err_t rc_ = rocks_err(text_, what, err_text); \
        if (COH_UNLIKELY(rc_ != COH_OK)) {                \
            return rc_;                                   \
        }                                                 \
    } while (0)

/* Appends to out what was stored as value of table. */
static coh_err_t put_value(rocks_t const *rocks,
                           coh_kv_table_t table,
                           coh_bytes_t stored,
                           coh_buf_t *out)
{
    if (!shapes[table].logged) {
        coh_buf_put(out, stored.p, stored.n);
        return COH_OK;
    }
    if (stored.n == 0 || stored.p[0] > TAG_LOGGED) {
        COH_LOG_ERR("rocksdb", "value is damaged", "table=%s", table_names[table]);
        return COH_ECORRUPT;
    }
    coh_bytes_t rest = coh_bytes(stored.p + 1, stored.n - 1);
    if (stored.p[0] == TAG_LOGGED) {
        return coh_vlog_read(rocks->values, rest, out);
    }
    coh_buf_put(out, rest.p, rest.n);
    return COH_OK;
}

/* Adds a PUT to the batch; what goes into the log is there when this returns. */
static coh_err_t add_put(rocks_t *rocks, rocksdb_writebatch_t *wb, coh_kv_op_t const *op)
{
    rocksdb_column_family_handle_t *handle = rocks->handles[op->table];
    char const *key                        = (char const *)op->key.p;
    char const *value                      = (char const *)op->value.p;
    if (!shapes[op->table].logged) {
        rocksdb_writebatch_put_cf(wb, handle, key, op->key.n, value, op->value.n);
        return COH_OK;
    }
    char ref[COH_VLOG_REF_SZ];
    char tag             = TAG_HERE;
    char const *parts[2] = {&tag, value};
    size_t part_lens[2]  = {sizeof(tag), op->value.n};
    if (op->value.n >= LOGGED_BYTES_MIN) {
        COH_TRY(coh_vlog_append(rocks->values, op->value, (uint8_t *)ref));
        tag          = TAG_LOGGED;
        parts[1]     = ref;
        part_lens[1] = sizeof(ref);
    }
    rocksdb_writebatch_putv_cf(wb, handle, 1, &key, &op->key.n, 2, parts, part_lens);
    return COH_OK;
}

static coh_err_t rocks_get(coh_kv_t *kv, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    rocks_t *rocks                 = (rocks_t *)kv;
    rocksdb_pinnableslice_t *slice = NULL;
    ROCKS("get failed",
          NULL,
          slice = rocksdb_get_pinned_cf(rocks->db,
                                        rocks->read_options,
                                        rocks->handles[table],
                                        (char const *)key.p,
                                        key.n,
                                        err));
    if (slice == NULL) {
        return COH_ENOTFOUND;
    }
    size_t n          = 0;
    char const *value = rocksdb_pinnableslice_value(slice, &n);
    coh_err_t rc      = put_value(rocks, table, coh_bytes(value, n), out);
    rocksdb_pinnableslice_destroy(slice);
    return rc;
}

static coh_err_t rocks_peek(coh_kv_t *kv, coh_kv_table_t table, coh_bytes_t key, coh_buf_t *out)
{
    rocks_t *rocks = (rocks_t *)kv;
    if (shapes[table].logged) {
        return COH_EBUSY;
    }
    char *text                     = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        rocks->db, rocks->peek_options, rocks->handles[table], (char const *)key.p, key.n, &text);
    if (text != NULL && strncmp(text, INCOMPLETE, strlen(INCOMPLETE)) == 0) {
        rocksdb_free(text);
        return COH_EBUSY;
    }
    COH_TRY(rocks_err(text, "peek failed", NULL));
    if (slice == NULL) {
        return COH_ENOTFOUND;
    }
    size_t n          = 0;
    char const *value = rocksdb_pinnableslice_value(slice, &n);
    coh_buf_put(out, value, n);
    rocksdb_pinnableslice_destroy(slice);
    return COH_OK;
}

static coh_err_t rocks_multi_get(coh_kv_t *kv,
                                 coh_kv_table_t table,
                                 size_t cnt,
                                 coh_bytes_t const *keys,
                                 coh_err_t *errs,
                                 size_t *lens,
                                 coh_buf_t *out)
{
    rocks_t *rocks = (rocks_t *)kv;
    if (cnt == 0) {
        return COH_OK;
    }
    char const **key_ptrs            = coh_calloc(cnt, sizeof(*key_ptrs));
    size_t *key_lens                 = coh_calloc(cnt, sizeof(*key_lens));
    rocksdb_pinnableslice_t **slices = coh_calloc(cnt, sizeof(rocksdb_pinnableslice_t *));
    char **texts                     = coh_calloc(cnt, sizeof(*texts));
    for (size_t i = 0; i < cnt; i++) {
        key_ptrs[i] = (char const *)keys[i].p;
        key_lens[i] = keys[i].n;
    }
    rocksdb_batched_multi_get_cf(rocks->db,
                                 rocks->read_options,
                                 rocks->handles[table],
                                 cnt,
                                 key_ptrs,
                                 key_lens,
                                 slices,
                                 texts,
                                 false);
    coh_err_t rc = COH_OK;
    for (size_t i = 0; i < cnt; i++) {
        coh_err_t rc_i = rocks_err(texts[i], "multi_get failed", NULL);
        rc             = rc == COH_OK ? rc_i : rc;
        errs[i]        = slices[i] != NULL ? COH_OK : COH_ENOTFOUND;
        lens[i]        = 0;
        if (slices[i] != NULL) {
            size_t n          = 0;
            size_t at         = out->n;
            char const *value = rocksdb_pinnableslice_value(slices[i], &n);
            rc_i              = put_value(rocks, table, coh_bytes(value, n), out);
            rc                = rc == COH_OK ? rc_i : rc;
            lens[i]           = out->n - at;
            rocksdb_pinnableslice_destroy(slices[i]);
        }
    }
    free(texts);
    free(slices);
    free(key_lens);
    free(key_ptrs);
    return rc;
}

static coh_err_t rocks_write(coh_kv_t *kv, coh_kv_batch_t const *batch, bool sync)
{
    rocks_t *rocks           = (rocks_t *)kv;
    rocksdb_writebatch_t *wb = rocksdb_writebatch_create();
    coh_err_t rc             = COH_OK;
    size_t at                = 0;
    coh_kv_op_t op;
    while (rc == COH_OK && coh_kv_batch_next(batch, &at, &op)) {
        rocksdb_column_family_handle_t *handle = rocks->handles[op.table];
        char const *key                        = (char const *)op.key.p;
        char const *value                      = (char const *)op.value.p;
        switch (op.kind) {
        case COH_KV_OP_PUT: rc = add_put(rocks, wb, &op); break;
        case COH_KV_OP_DELETE: rocksdb_writebatch_delete_cf(wb, handle, key, op.key.n); break;
        case COH_KV_OP_DELETE_RANGE:
            rocksdb_writebatch_delete_range_cf(wb, handle, key, op.key.n, value, op.value.n);
            break;
        }
    }
    if (rc == COH_OK) {
        char *text = NULL;
        rocksdb_write(rocks->db, sync ? rocks->sync_options : rocks->write_options, wb, &text);
        rc = rocks_err(text, "write failed", NULL);
    }
    rocksdb_writebatch_destroy(wb);
    return rc;
}

static coh_err_t sst_fill(rocksdb_sstfilewriter_t *writer,
                          char const *path,
                          coh_kv_batch_t const *batch)
{
    ROCKS("ingest: open failed", NULL, rocksdb_sstfilewriter_open(writer, path, err));
    size_t at = 0;
    coh_kv_op_t op;
    while (coh_kv_batch_next(batch, &at, &op)) {
        ROCKS("ingest: put failed",
              NULL,
              rocksdb_sstfilewriter_put(writer,
                                        (char const *)op.key.p,
                                        op.key.n,
                                        (char const *)op.value.p,
                                        op.value.n,
                                        err));
    }
    ROCKS("ingest: finish failed", NULL, rocksdb_sstfilewriter_finish(writer, err));
    return COH_OK;
}

static coh_err_t rocks_ingest(coh_kv_t *kv, coh_kv_batch_t const *batch)
{
    rocks_t *rocks = (rocks_t *)kv;
    size_t at      = 0;
    coh_kv_op_t op;
    if (!coh_kv_batch_is_ingestable(batch)) {
        return COH_EINVAL;
    }
    if (!coh_kv_batch_next(batch, &at, &op)) {
        return COH_OK;
    }
    if (shapes[op.table].logged) {
        return rocks_write(kv, batch, true); /* values there carry a tag; and nobody ingests them */
    }
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path,
                   "%s/" INGEST_PREFIX "%llu.tmp",
                   rocks->path,
                   (unsigned long long)rocks->ingest_cnt++);
    coh_buf_put_u8(&path, 0);
    char const *file                  = (char const *)path.p;
    rocksdb_envoptions_t *env_options = rocksdb_envoptions_create();
    rocksdb_sstfilewriter_t *writer =
        rocksdb_sstfilewriter_create(env_options, rocks->options[op.table]);
    coh_err_t rc = sst_fill(writer, file, batch);
    rocksdb_sstfilewriter_destroy(writer);
    rocksdb_envoptions_destroy(env_options);
    if (rc == COH_OK) {
        rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
        rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
        char *text = NULL;
        rocksdb_ingest_external_file_cf(
            rocks->db, rocks->handles[op.table], &file, 1, options, &text);
        rc = rocks_err(text, "ingest failed", NULL);
        rocksdb_ingestexternalfileoptions_destroy(options);
    }
    if (rc != COH_OK) {
        (void)unlink(file);
    }
    coh_buf_free(&path);
    return rc;
}

static coh_err_t rocks_iterate(coh_kv_t *kv,
                               coh_kv_table_t table,
                               coh_bytes_t first,
                               bool descending,
                               coh_kv_visit_t *visit,
                               void *arg)
{
    rocks_t *rocks = (rocks_t *)kv;
    rocksdb_iterator_t *it =
        rocksdb_create_iterator_cf(rocks->db, rocks->read_options, rocks->handles[table]);
    if (first.n == 0 && descending) {
        rocksdb_iter_seek_to_last(it);
    } else if (first.n == 0) {
        rocksdb_iter_seek_to_first(it);
    } else if (descending) {
        rocksdb_iter_seek_for_prev(it, (char const *)first.p, first.n);
    } else {
        rocksdb_iter_seek(it, (char const *)first.p, first.n);
    }
    coh_buf_t copy = COH_BUF_INIT;
    coh_err_t rc   = COH_OK;
    while (rocksdb_iter_valid(it)) {
        size_t key_n       = 0;
        size_t stored_n    = 0;
        char const *key    = rocksdb_iter_key(it, &key_n);
        char const *stored = rocksdb_iter_value(it, &stored_n);
        coh_bytes_t value  = coh_bytes(stored, stored_n);
        if (shapes[table].logged) {
            coh_buf_clear(&copy);
            rc    = put_value(rocks, table, value, &copy);
            value = coh_buf_bytes(&copy);
        }
        if (rc != COH_OK || !visit(arg, coh_bytes(key, key_n), value)) {
            break;
        }
        if (descending) {
            rocksdb_iter_prev(it);
        } else {
            rocksdb_iter_next(it);
        }
    }
    coh_buf_free(&copy);
    char *text = NULL;
    rocksdb_iter_get_error(it, &text);
    rocksdb_iter_destroy(it);
    coh_err_t rc_it = rocks_err(text, "iterate failed", NULL);
    return rc_it != COH_OK ? rc_it : rc;
}

static void rocks_close(coh_kv_t *kv)
{
    rocks_t *rocks = (rocks_t *)kv;
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        if (rocks->handles[table] != NULL) {
            rocksdb_column_family_handle_destroy(rocks->handles[table]);
        }
    }
    if (rocks->db != NULL) {
        rocksdb_close(rocks->db);
    }
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        rocksdb_options_destroy(rocks->options[table]);
    }
    rocksdb_options_destroy(rocks->db_options);
    rocksdb_readoptions_destroy(rocks->read_options);
    rocksdb_readoptions_destroy(rocks->peek_options);
    rocksdb_writeoptions_destroy(rocks->write_options);
    rocksdb_writeoptions_destroy(rocks->sync_options);
    coh_vlog_close(rocks->values);
    free(rocks->path);
    free(rocks);
}

static coh_kv_ops_t const rocks_ops = {
    .get       = rocks_get,
    .peek      = rocks_peek,
    .multi_get = rocks_multi_get,
    .write     = rocks_write,
    .ingest    = rocks_ingest,
    .iterate   = rocks_iterate,
    .close     = rocks_close,
};

static rocksdb_options_t *db_options_new(void)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_wal_recovery_mode(options, WAL_TOLERATE_CORRUPTED_TAIL);
    rocksdb_options_set_max_total_wal_size(options, WAL_BYTES_MAX);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_max_open_files(options, TABLE_FILES_MAX);
    rocksdb_options_set_bytes_per_sync(options, MIB);
    rocksdb_options_set_unordered_write(options, 0);
    rocksdb_options_set_keep_log_file_num(options, 4);
    rocksdb_options_set_max_log_file_size(options, 8 * MIB);
    rocksdb_options_enable_statistics(options);
    return options;
}

static rocksdb_options_t *table_options_new(table_shape_t const *shape, rocksdb_cache_t *cache)
{
    rocksdb_options_t *options                  = rocksdb_options_create();
    rocksdb_block_based_table_options_t *format = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(format, cache);
    rocksdb_block_based_options_set_format_version(format, 5);
    if (shape->filter) {
        rocksdb_block_based_options_set_filter_policy(
            format, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS_PER_KEY));
    }
    rocksdb_options_set_block_based_table_factory(options, format);
    rocksdb_block_based_options_destroy(format);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(options, shape->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, shape->write_buffer_cnt);
    if (shape->universal) {
        rocksdb_options_set_compaction_style(options, rocksdb_universal_compaction);
    } else {
        rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    }
    if (shape->blobs) {
        rocksdb_options_set_enable_blob_files(options, 1);
        rocksdb_options_set_min_blob_size(options, 4096);
    }
    return options;
}

/* Removes files of ingests that a crash interrupted before RocksDB took them in. */
static void remove_leftovers(char const *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strncmp(entry->d_name, INGEST_PREFIX, strlen(INGEST_PREFIX)) == 0) {
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
    }
    (void)closedir(dir);
}

coh_err_t coh_kv_rocks_open(coh_kv_t **out,
                            char const *path,
                            size_t cache_bytes,
                            coh_buf_t *err_text)
{
    rocks_t *rocks      = coh_calloc(1, sizeof(*rocks));
    rocks->base.ops     = &rocks_ops;
    rocks->path         = coh_strdup(path);
    rocks->read_options = rocksdb_readoptions_create();
    rocks->peek_options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(rocks->peek_options, READ_TIER_MEMORY);
    rocks->write_options = rocksdb_writeoptions_create();
    rocks->sync_options  = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->sync_options, 1);
    rocks->db_options = db_options_new();

    rocksdb_cache_t *cache = rocksdb_cache_create_lru(cache_bytes);
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        rocks->options[table] = table_options_new(&shapes[table], cache);
    }
    rocksdb_cache_destroy(cache); /* the tables hold it */

    /* RocksDB insists on its "default" family; it stays empty. */
    char const *names[1 + COH_KV_TABLE_CNT]                       = {"default"};
    rocksdb_options_t const *options[1 + COH_KV_TABLE_CNT]        = {rocks->db_options};
    rocksdb_column_family_handle_t *handles[1 + COH_KV_TABLE_CNT] = {NULL};
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        names[1 + table]   = table_names[table];
        options[1 + table] = rocks->options[table];
    }
    char *text = NULL;
    rocks->db  = rocksdb_open_column_families(
        rocks->db_options, path, 1 + COH_KV_TABLE_CNT, names, options, handles, &text);
    coh_err_t rc = rocks_err(text, "open failed", err_text);
    if (rc != COH_OK) {
        rocks->db = NULL;
        rocks_close(&rocks->base);
        return rc;
    }
    rocksdb_column_family_handle_destroy(handles[0]);
    memcpy(rocks->handles, handles + 1, sizeof(rocks->handles));
    remove_leftovers(path);
    rc = coh_vlog_open(&rocks->values, path, VALUE_FILE_BYTES);
    if (rc != COH_OK) {
        if (err_text != NULL) {
            coh_buf_printf(err_text,
                           rc == COH_EMISMATCH
                               ? "the files of values in %s are of another format than this "
                                 "program's (1); start the version that made them"
                               : "cannot read the folder %s",
                           path);
        }
        rocks_close(&rocks->base);
        return rc;
    }
    *out = &rocks->base;
    return COH_OK;
}

coh_err_t coh_kv_rocks_checkpoint(coh_kv_t *kv, char const *path)
{
    COH_ASSERT(kv->ops == &rocks_ops);
    rocks_t *rocks                 = (rocks_t *)kv;
    rocksdb_checkpoint_t *snapshot = NULL;
    ROCKS("checkpoint failed", NULL, snapshot = rocksdb_checkpoint_object_create(rocks->db, err));
    char *text = NULL;
    /* 0: write buffers are flushed first, whatever they hold. */
    rocksdb_checkpoint_create(snapshot, path, 0, &text);
    rocksdb_checkpoint_object_destroy(snapshot);
    COH_TRY(rocks_err(text, "checkpoint failed", NULL));
    return coh_vlog_link(rocks->values, path);
}

/* A counter of RocksDB's statistics text: "NAME COUNT : VALUE". */
static uint64_t ticker(char const *text, char const *name)
{
    char const *at           = strstr(text, name);
    unsigned long long value = 0;
    if (at == NULL || sscanf(at + strlen(name), " COUNT : %llu", &value) != 1) {
        return 0;
    }
    return value;
}

static uint64_t property(rocks_t *rocks, int table, char const *name)
{
    uint64_t value = 0;
    return rocksdb_property_int_cf(rocks->db, rocks->handles[table], name, &value) == 0 ? value : 0;
}

static uint64_t sum_of_tables(rocks_t *rocks, char const *name)
{
    uint64_t sum = 0;
    for (int table = 0; table < COH_KV_TABLE_CNT; table++) {
        sum += property(rocks, table, name);
    }
    return sum;
}

void coh_kv_rocks_stats(coh_kv_t *kv, coh_kv_rocks_stats_t *out)
{
    COH_ASSERT(kv->ops == &rocks_ops);
    rocks_t *rocks = (rocks_t *)kv;
    *out           = (coh_kv_rocks_stats_t){0};
    char *text     = rocksdb_options_statistics_get_string(rocks->db_options);
    if (text != NULL) {
        out->stall_micros     = ticker(text, "rocksdb.stall.micros");
        out->bytes_written    = ticker(text, "rocksdb.bytes.written");
        out->compaction_bytes = ticker(text, "rocksdb.compact.write.bytes");
        rocksdb_free(text);
    }
    out->sst_bytes = sum_of_tables(rocks, "rocksdb.total-sst-files-size") +
                     sum_of_tables(rocks, "rocksdb.total-blob-file-size");
    out->memtable_bytes = sum_of_tables(rocks, "rocksdb.size-all-mem-tables");
    out->reader_bytes   = sum_of_tables(rocks, "rocksdb.estimate-table-readers-mem");
    /* All tables share one cache. */
    out->cache_bytes        = property(rocks, COH_KV_META, "rocksdb.block-cache-usage");
    out->cache_pinned_bytes = property(rocks, COH_KV_META, "rocksdb.block-cache-pinned-usage");
}
