#include "deploy/cohort/restore.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "coordinator/backup.h"
#include "coordinator/decision_log.h"
#include "deploy/cohort/backup.h"
#include "deploy/cohort/chain_store.h"
#include "deploy/cohort/files.h"
#include "deploy/cohort/swap.h"

#define MANIFEST_BYTES_MAX ((size_t)1 << 20)
#define PROGRESS_US        UINT64_C(1000000)

typedef struct {
    coh_restore_options_t const *options;
    coh_restore_done_t *out;
    coh_buf_t *err_text;
    coh_hash_t genesis;
    coh_hash_t lists[COH_RESTORE_RANKS_MAX]; /* by rank */
    uint32_t rank_cnt;
    uint64_t shown_us;
} restore_t;

/* ---- the manifest ---- */

static bool get_u64(json_t const *object, char const *name, uint64_t max, uint64_t *out)
{
    json_t const *value = json_object_get(object, name);
    json_int_t n        = json_integer_value(value);
    *out                = (uint64_t)n;
    return json_is_integer(value) && n >= 0 && (uint64_t)n <= max;
}

static bool get_hash(json_t const *object, char const *name, coh_hash_t *out)
{
    json_t const *value = json_object_get(object, name);
    return json_is_string(value) && coh_hex_decode(out->b,
                                                   sizeof(out->b),
                                                   json_string_value(value),
                                                   json_string_length(value)) == COH_OK;
}

static bool read_ranks(restore_t *r, json_t const *ranks)
{
    if (!json_is_array(ranks) || json_array_size(ranks) != r->rank_cnt) {
        return false;
    }
    for (uint32_t rank = 0; rank < r->rank_cnt; rank++) {
        json_t const *entry = json_array_get(ranks, rank);
        uint64_t number;
        if (!get_u64(entry, "rank", UINT32_MAX, &number) || number != rank ||
            !get_hash(entry, "files_sha256", &r->lists[rank])) {
            return false;
        }
    }
    return true;
}

static coh_err_t read_fields(restore_t *r, json_t const *root, char const *path)
{
    coh_restore_done_t *out = r->out;
    char const *kind        = json_string_value(json_object_get(root, "kind"));
    uint64_t format;
    uint64_t shard_cnt;
    if (kind == NULL || strcmp(kind, "cohort backup") != 0 ||
        !get_u64(root, "format", UINT32_MAX, &format)) {
        coh_buf_printf(r->err_text, "%s is no manifest of a backup", path);
        return COH_EMISMATCH;
    }
    if (format != COH_BACKUP_MANIFEST_FORMAT) {
        coh_buf_printf(r->err_text,
                       "%s has format %" PRIu64 ", this program reads %u: restore it with the "
                       "version that made it",
                       path,
                       format,
                       COH_BACKUP_MANIFEST_FORMAT);
        return COH_EMISMATCH;
    }
    bool ok = get_u64(root, "time", UINT64_MAX, &out->unix_s) &&
              get_u64(root, "chain_id", UINT64_MAX, &out->chain_id) &&
              get_u64(root, "block", UINT64_MAX, &out->block) &&
              get_hash(root, "hash", &out->hash) && get_hash(root, "genesis", &r->genesis) &&
              get_hash(root, "state_root", &out->state_root) &&
              get_u64(root, "shards", COH_RESTORE_RANKS_MAX - 1, &shard_cnt) && shard_cnt != 0;
    if (ok) {
        out->shard_cnt = (uint32_t)shard_cnt;
        r->rank_cnt    = out->shard_cnt + 1;
        ok             = read_ranks(r, json_object_get(root, "ranks"));
    }
    if (!ok) {
        coh_buf_printf(r->err_text, "%s is damaged", path);
        return COH_ECORRUPT;
    }
    return COH_OK;
}

static coh_err_t read_manifest(restore_t *r)
{
    char *path     = coh_path_of("%s/manifest.json", r->options->from);
    coh_buf_t text = COH_BUF_INIT;
    coh_err_t rc   = COH_OK;
    if (access(path, F_OK) != 0) {
        coh_buf_printf(r->err_text,
                       "%s has no manifest.json: it is no backup, or one that was not finished",
                       r->options->from);
        rc = COH_ENOTFOUND;
    } else {
        rc = coh_file_read(path, MANIFEST_BYTES_MAX, &text, r->err_text);
    }
    if (rc == COH_OK) {
        json_t *root = json_loadb((char const *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
        rc           = read_fields(r, root, path);
        json_decref(root);
    }
    coh_buf_free(&text);
    free(path);
    return rc;
}

/* ---- files ---- */

static void show(restore_t *r)
{
    uint64_t now_us = coh_clock_mono_us();
    if (r->options->progress != NULL && now_us >= r->shown_us + PROGRESS_US) {
        r->shown_us    = now_us;
        coh_buf_t text = COH_BUF_INIT;
        coh_buf_printf(&text,
                       "%" PRIu64 " files, %" PRIu64 " MB",
                       r->out->file_cnt,
                       r->out->file_bytes / 1000000);
        coh_buf_put_u8(&text, 0);
        r->options->progress(r->options->arg, (char const *)text.p);
        coh_buf_free(&text);
    }
}

/* Copies a file of the backup, or only reads it, and compares it with the list. to: folder, or NULL */
static coh_err_t take_file(restore_t *r,
                           char const *folder,
                           char const *to,
                           coh_backup_file_t const *file)
{
    coh_hash_t sum;
    uint64_t bytes;
    char *from   = coh_path_of("%s/%s", folder, file->path);
    coh_err_t rc = COH_OK;
    if (to == NULL) {
        rc = coh_file_hash(from, &sum, &bytes, r->err_text);
    } else {
        char *path = coh_path_of("%s/%s", to, file->path);
        rc         = coh_file_copy(path, from, &sum, &bytes, r->err_text);
        free(path);
    }
    if (rc == COH_OK && (bytes != file->bytes || !coh_hash_eq(&sum, &file->sha256))) {
        coh_buf_printf(r->err_text, "%s is damaged: its checksum is not the list's", from);
        rc = COH_ECORRUPT;
    }
    free(from);
    r->out->file_cnt++;
    r->out->file_bytes += bytes;
    show(r);
    return rc;
}

/* Makes the folder of a rank, with its store's in it. */
static coh_err_t make_folder(restore_t *r, char const *folder)
{
    char *db     = coh_path_of("%s/db", folder);
    coh_err_t rc = coh_file_make_dir(folder, r->err_text);
    if (rc == COH_OK) {
        rc = coh_file_make_dir(db, r->err_text);
    }
    free(db);
    return rc;
}

static coh_err_t sync_folder(restore_t *r, char const *folder)
{
    char *db     = coh_path_of("%s/db", folder);
    coh_err_t rc = coh_file_sync_dir(db, r->err_text);
    if (rc == COH_OK) {
        rc = coh_file_sync_dir(folder, r->err_text);
    }
    free(db);
    return rc;
}

/* to: the data directory's DIR/next, or NULL */
static coh_err_t take_rank(restore_t *r, uint32_t rank, char const *to)
{
    coh_backup_files_t files = {0};
    char *from               = coh_path_of("%s/rank-%u", r->options->from, rank);
    char *folder             = to != NULL ? coh_path_of("%s/rank-%u", to, rank) : NULL;
    coh_err_t rc             = COH_OK;
    if (!coh_file_is_dir(from)) {
        coh_buf_printf(r->err_text, "%s is missing: the backup is not whole", from);
        rc = COH_ENOTFOUND;
    }
    if (rc == COH_OK) {
        rc = coh_backup_files_read(&files, from, &r->lists[rank], rank, r->rank_cnt, r->err_text);
    }
    if (rc == COH_OK && folder != NULL) {
        rc = make_folder(r, folder);
    }
    for (size_t i = 0; rc == COH_OK && i < files.cnt; i++) {
        rc = take_file(r, from, folder, &files.v[i]);
    }
    if (rc == COH_OK && folder != NULL) {
        rc = sync_folder(r, folder);
    }
    coh_backup_files_free(&files);
    free(folder);
    free(from);
    return rc;
}

static bool is_wanted(restore_t const *r, uint32_t rank)
{
    bool wanted = r->options->only == NULL;
    for (size_t i = 0; i < r->options->only_cnt; i++) {
        wanted = wanted || r->options->only[i] == rank;
    }
    return wanted;
}

static coh_err_t take_ranks(restore_t *r, char const *to)
{
    for (size_t i = 0; i < r->options->only_cnt; i++) {
        if (r->options->only[i] >= r->rank_cnt) {
            coh_buf_printf(r->err_text, "the backup has no rank %u", r->options->only[i]);
            return COH_EINVAL;
        }
    }
    for (uint32_t rank = 0; rank < r->rank_cnt; rank++) {
        if (is_wanted(r, rank)) {
            COH_TRY(take_rank(r, rank, to));
        }
    }
    return COH_OK;
}

/* ---- the data directory ---- */

/* It is made, or is there with nothing in it but what a restore or a lock leaves. */
static coh_err_t expect_empty(restore_t *r)
{
    char const *data = r->options->data;
    COH_TRY(coh_file_make_dir(data, r->err_text));
    DIR *dir = opendir(data);
    if (dir == NULL) {
        return coh_file_failed(r->err_text, "read", data);
    }
    coh_err_t rc = COH_OK;
    for (struct dirent *entry = readdir(dir); rc == COH_OK && entry != NULL; entry = readdir(dir)) {
        char const *name = entry->d_name;
        size_t n         = strlen(name);
        bool is_lock     = n > 5 && strcmp(name + n - 5, ".lock") == 0;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "next") != 0 &&
            strcmp(name, "previous") != 0 && strcmp(name, "lost+found") != 0 && !is_lock) {
            coh_buf_printf(r->err_text,
                           "%s is not empty (%s): nothing is restored over data that is there",
                           data,
                           name);
            rc = COH_EINVAL;
        }
    }
    (void)closedir(dir);
    return rc;
}

/* Rank 0's restored store ends where the manifest says. */
static coh_err_t check_chain(restore_t *r, char const *dir)
{
    coh_chain_store_t *store = NULL;
    coh_hash_t hash;
    COH_TRY(coh_chain_store_open(&store, dir, r->options->genesis, r->err_text));
    coh_genesis_t const *genesis = coh_chain_store_genesis(store);
    uint64_t head                = coh_chain_store_head(store);
    coh_err_t rc                 = coh_chain_store_hash(store, &hash, head);
    bool same = rc == COH_OK && head == r->out->block && coh_hash_eq(&hash, &r->out->hash) &&
                genesis->chain_id == r->out->chain_id && coh_hash_eq(&genesis->hash, &r->genesis);
    if (!same) {
        coh_buf_printf(r->err_text,
                       "the chain in the backup ends with block %" PRIu64
                       ", the manifest says %" PRIu64 "%s",
                       head,
                       r->out->block,
                       head == r->out->block ? ", of another chain" : "");
        rc = COH_EMISMATCH;
    }
    coh_chain_store_close(store);
    return rc;
}

static coh_err_t restore(restore_t *r, char const *next)
{
    char const *data = r->options->data;
    COH_TRY(read_manifest(r));
    if (data == NULL) {
        return take_ranks(r, NULL);
    }
    COH_TRY(expect_empty(r));
    COH_TRY(coh_swap_begin(data, r->err_text));
    COH_TRY(take_ranks(r, next));
    if (is_wanted(r, 0)) {
        COH_TRY(check_chain(r, next));
    }
    return coh_swap_commit(data, r->rank_cnt, r->err_text);
}

coh_err_t coh_restore(coh_restore_done_t *out,
                      coh_restore_options_t const *options,
                      coh_buf_t *err_text)
{
    *out = (coh_restore_done_t){0};
    if (options->data != NULL && coh_swap_is_pending(options->data)) {
        out->was_finished = true;
        return coh_swap_finish(options->data, err_text);
    }
    restore_t *r = coh_calloc(1, sizeof(*r));
    r->options   = options;
    r->out       = out;
    r->err_text  = err_text;
    r->shown_us  = coh_clock_mono_us();
    char *next   = options->data != NULL ? coh_path_of("%s/next", options->data) : NULL;
    coh_err_t rc = restore(r, next);
    free(next);
    free(r);
    return rc;
}
