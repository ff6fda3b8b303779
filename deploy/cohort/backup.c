#include "deploy/cohort/backup.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/crypto/sha256.h"
#include "deploy/cohort/datadir.h"
#include "deploy/cohort/files.h"

#define CHECKPOINT "checkpoint"
#define LIST_HEAD  "cohort backup files %u, rank %u of %u, data %u\n"
/* A list of more files than a rank ever has: 100 octets each. */
#define LIST_BYTES_MAX ((size_t)256 << 20)
#define NAME_MAX_BYTES 255u

/* ---- making one ---- */

/* A backup is made where the operator of this host allows it, in a folder by a plain path. */
static coh_err_t judge_path(coh_backup_source_t const *s, coh_disk_backup_t *b)
{
    size_t n = strlen(s->under);
    if (n == 0) {
        coh_buf_printf(&b->failed,
                       "no backups may be made here: start the cluster with --node-backups DIR "
                       "(below which they may be)");
        return COH_EINVAL;
    }
    while (n > 1 && s->under[n - 1] == '/') {
        n--;
    }
    bool is_under = strncmp(b->path, s->under, n) == 0 && b->path[n] == '/' &&
                    b->path[n + 1] != '\0' && strstr(b->path, "/../") == NULL;
    size_t len = strlen(b->path);
    if (!is_under || (len >= 3 && strcmp(b->path + len - 3, "/..") == 0)) {
        coh_buf_printf(&b->failed,
                       "%s is not below %s (node-backups), where backups may be made",
                       b->path,
                       s->under);
        return COH_EINVAL;
    }
    return COH_OK;
}

/* What would be overwritten. */
static coh_err_t expect_room(coh_backup_source_t const *s, coh_disk_backup_t *b)
{
    char *manifest = coh_path_of("%s/manifest.json", b->path);
    char *folder   = coh_path_of("%s/rank-%u", b->path, s->rank);
    coh_err_t rc   = COH_OK;
    if (access(manifest, F_OK) == 0 || access(folder, F_OK) == 0) {
        coh_buf_printf(&b->failed, "%s holds a backup, or a part of one", b->path);
        rc = COH_EINVAL;
    }
    free(folder);
    free(manifest);
    return rc;
}

static coh_err_t checkpoint(void *arg, coh_disk_req_t *req)
{
    coh_backup_source_t const *s = arg;
    coh_disk_backup_t *b         = req->backup;
    COH_TRY(judge_path(s, b));
    COH_TRY(expect_room(s, b));
    COH_TRY(coh_backup_clear(s->folder, &b->failed));
    char *path   = coh_path_of("%s/" CHECKPOINT, s->folder);
    coh_err_t rc = coh_kv_rocks_checkpoint(s->kv, path);
    if (rc != COH_OK) {
        coh_buf_printf(&b->failed, "the checkpoint in %s failed: %s", path, coh_err_str(rc));
    }
    free(path);
    return rc;
}

coh_err_t coh_backup_clear(char const *folder, coh_buf_t *err_text)
{
    char *path   = coh_path_of("%s/" CHECKPOINT, folder);
    coh_err_t rc = coh_file_remove_tree(path, err_text);
    free(path);
    return rc;
}

/* Takes a file into the backup, and down in the list. */
static coh_err_t take_file(coh_disk_backup_t *b,
                           coh_buf_t *list,
                           char const *folder,
                           char const *name,
                           char const *from)
{
    coh_hash_t sum;
    uint64_t bytes;
    char *to     = coh_path_of("%s/%s", folder, name);
    coh_err_t rc = COH_OK;
    if (link(from, to) == 0) {
        rc = coh_file_hash(to, &sum, &bytes, &b->failed);
    } else {
        rc = coh_file_copy(to, from, &sum, &bytes, &b->failed);
    }
    free(to);
    COH_TRY(rc);
    char hex[65];
    coh_hex_encode(hex, sum.b, sizeof(sum.b));
    coh_buf_printf(list, "%s %" PRIu64 " %s\n", hex, bytes, name);
    b->file_cnt++;
    b->file_bytes += bytes;
    return COH_OK;
}

/* Takes all files of the checkpoint. */
static coh_err_t take_store(coh_disk_backup_t *b,
                            coh_buf_t *list,
                            char const *folder,
                            char const *from,
                            _Atomic bool const *ending)
{
    char *db     = coh_path_of("%s/db", folder);
    coh_err_t rc = coh_file_make_dir(db, &b->failed);
    DIR *dir     = rc == COH_OK ? opendir(from) : NULL;
    if (rc == COH_OK && dir == NULL) {
        rc = coh_file_failed(&b->failed, "read", from);
    }
    errno = 0;
    for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; rc == COH_OK && entry != NULL;
         entry                = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            char *name = coh_path_of("db/%s", entry->d_name);
            char *path = coh_path_of("%s/%s", from, entry->d_name);
            rc         = atomic_load(ending) ? COH_ECLOSED : take_file(b, list, folder, name, path);
            free(path);
            free(name);
        }
        errno = 0;
    }
    if (rc == COH_OK && errno != 0) {
        rc = coh_file_failed(&b->failed, "read", from);
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    if (rc == COH_OK) {
        rc = coh_file_sync_dir(db, &b->failed);
    }
    free(db);
    return rc;
}

/* Fills the folder that is still called partial. */
static coh_err_t fill(coh_backup_source_t const *s,
                      coh_disk_backup_t *b,
                      char const *folder,
                      _Atomic bool const *ending)
{
    coh_buf_t list   = COH_BUF_INIT;
    char *from       = coh_path_of("%s/" CHECKPOINT, s->folder);
    char *list_path  = coh_path_of("%s/files", folder);
    coh_err_t rc     = COH_OK;
    bool has_genesis = access(s->genesis, F_OK) == 0;
    coh_buf_printf(
        &list, LIST_HEAD, COH_BACKUP_FILES_FORMAT, s->rank, s->rank_cnt, COH_DATADIR_FORMAT);
    if (has_genesis) {
        char *to = coh_path_of("%s/genesis.json", folder);
        coh_hash_t sum;
        uint64_t bytes;
        rc = coh_file_copy(to, s->genesis, &sum, &bytes, &b->failed);
        free(to);
        if (rc == COH_OK) {
            char hex[65];
            coh_hex_encode(hex, sum.b, sizeof(sum.b));
            coh_buf_printf(&list, "%s %" PRIu64 " genesis.json\n", hex, bytes);
            b->file_cnt++;
            b->file_bytes += bytes;
        }
    }
    if (rc == COH_OK) {
        rc = take_store(b, &list, folder, from, ending);
    }
    if (rc == COH_OK) {
        coh_sha256(&b->list, list.p, list.n);
        rc = coh_file_write(list_path, coh_buf_bytes(&list), &b->failed);
    }
    free(list_path);
    free(from);
    coh_buf_free(&list);
    return rc;
}

/* The folder and its name become durable. */
static coh_err_t copy_rank(coh_backup_source_t const *s,
                           coh_disk_backup_t *b,
                           _Atomic bool const *ending)
{
    char *folder  = coh_path_of("%s/rank-%u", b->path, s->rank);
    char *partial = coh_path_of("%s.partial", folder);
    coh_err_t rc  = coh_file_make_dir(s->under, &b->failed);
    if (rc == COH_OK) {
        rc = coh_file_make_dir(b->path, &b->failed);
    }
    if (rc == COH_OK) {
        rc = coh_file_remove_tree(partial, &b->failed);
    }
    if (rc == COH_OK) {
        rc = coh_file_make_dir(partial, &b->failed);
    }
    if (rc == COH_OK) {
        rc = fill(s, b, partial, ending);
    }
    if (rc == COH_OK && rename(partial, folder) != 0) {
        rc = coh_file_failed(&b->failed, "rename", partial);
    }
    if (rc == COH_OK) {
        rc = coh_file_sync_dir(b->path, &b->failed);
    }
    coh_err_t cleared = coh_backup_clear(s->folder, &b->failed);
    free(partial);
    free(folder);
    return rc != COH_OK ? rc : cleared;
}

static coh_err_t copy(void *arg, coh_disk_req_t *req, _Atomic bool const *ending)
{
    coh_backup_source_t const *s = arg;
    coh_disk_backup_t *b         = req->backup;
    if (req->kind == COH_DISK_BACKUP) {
        return copy_rank(s, b, ending);
    }
    char *manifest = coh_path_of("%s/manifest.json", b->path);
    coh_err_t rc   = coh_file_write(manifest, coh_buf_bytes(&b->text), &b->failed);
    free(manifest);
    return rc;
}

coh_disk_backups_t coh_backup_of(coh_backup_source_t *source)
{
    return (coh_disk_backups_t){.checkpoint = checkpoint, .copy = copy, .arg = source};
}

/* ---- its list of files ---- */

/* A file's name as a checkpoint or a rank's folder has it: nothing that leads elsewhere. */
static bool is_name(char const *path, size_t n)
{
    bool in_db       = n > 3 && memcmp(path, "db/", 3) == 0;
    char const *name = path + (in_db ? 3 : 0);
    size_t name_n    = n - (in_db ? 3 : 0);
    return name_n != 0 && name_n <= NAME_MAX_BYTES && name[0] != '.' &&
           memchr(name, '/', name_n) == NULL && memchr(name, 0, name_n) == NULL &&
           (in_db || (name_n == 12 && memcmp(name, "genesis.json", 12) == 0));
}

/* Reads a line "sha256 size path", without its end. */
static coh_err_t read_line(coh_backup_files_t *out, char const *line, size_t n)
{
    coh_backup_file_t f = {0};
    if (n < 67 || coh_hex_decode(f.sha256.b, sizeof(f.sha256.b), line, 64) != COH_OK ||
        line[64] != ' ') {
        return COH_ECORRUPT;
    }
    size_t at = 65;
    for (; at < n && line[at] >= '0' && line[at] <= '9' && f.bytes < UINT64_MAX / 16; at++) {
        f.bytes = f.bytes * 10 + (uint64_t)(line[at] - '0');
    }
    if (at == 65 || at >= n || line[at] != ' ' || !is_name(line + at + 1, n - at - 1)) {
        return COH_ECORRUPT;
    }
    f.path = coh_path_of("%.*s", (int)(n - at - 1), line + at + 1);
    if (out->cnt == out->cap) {
        out->cap = out->cap * 2 + 64;
        out->v   = coh_realloc(out->v, out->cap * sizeof(*out->v));
    }
    out->v[out->cnt++] = f;
    return COH_OK;
}

static coh_err_t parse(coh_backup_files_t *out,
                       coh_buf_t const *list,
                       uint32_t rank,
                       uint32_t rank_cnt,
                       coh_buf_t *err_text)
{
    char const *at  = (char const *)list->p;
    char const *end = at + list->n;
    char head[128];
    int head_n = snprintf(
        head, sizeof(head), LIST_HEAD, COH_BACKUP_FILES_FORMAT, rank, rank_cnt, COH_DATADIR_FORMAT);
    if (list->n < (size_t)head_n || memcmp(at, head, (size_t)head_n) != 0) {
        char const *stop = memchr(at, '\n', list->n);
        coh_buf_printf(err_text,
                       "the list of rank %u says \"%.*s\", expected \"%.*s\"",
                       rank,
                       (int)COH_MIN(stop != NULL ? stop - at : end - at, 100),
                       at,
                       head_n - 1,
                       head);
        return COH_EMISMATCH;
    }
    for (at += head_n; at < end;) {
        char const *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL || read_line(out, at, (size_t)(stop - at)) != COH_OK) {
            coh_buf_printf(err_text, "the list of files of rank %u is damaged", rank);
            return COH_ECORRUPT;
        }
        at = stop + 1;
    }
    return COH_OK;
}

coh_err_t coh_backup_files_read(coh_backup_files_t *out,
                                char const *folder,
                                coh_hash_t const *sha256,
                                uint32_t rank,
                                uint32_t rank_cnt,
                                coh_buf_t *err_text)
{
    *out           = (coh_backup_files_t){0};
    coh_buf_t list = COH_BUF_INIT;
    char *path     = coh_path_of("%s/files", folder);
    coh_err_t rc   = coh_file_read(path, LIST_BYTES_MAX, &list, err_text);
    coh_hash_t found;
    if (rc == COH_OK) {
        coh_sha256(&found, list.p, list.n);
        if (!coh_hash_eq(&found, sha256)) {
            coh_buf_printf(err_text, "%s is not the one that the manifest names", path);
            rc = COH_ECORRUPT;
        }
    }
    if (rc == COH_OK) {
        rc = parse(out, &list, rank, rank_cnt, err_text);
    }
    if (rc != COH_OK) {
        coh_backup_files_free(out);
    }
    free(path);
    coh_buf_free(&list);
    return rc;
}

void coh_backup_files_free(coh_backup_files_t *files)
{
    for (size_t i = 0; i < files->cnt; i++) {
        free(files->v[i].path);
    }
    free(files->v);
    *files = (coh_backup_files_t){0};
}
