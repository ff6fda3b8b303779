#include "deploy/cohort/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"
#include "deploy/cohort/backup.h"
#include "deploy/cohort/files.h"
#include "deploy/cohort/swap.h"

#define IDENTITY_KEY "id/identity"
/* Format (4), rank (4), number of ranks (4), chain id (8), genesis hash (32); all little-endian. */
#define IDENTITY_BYTES ((size_t)52)
/* The block cache of a store that is opened only to write the identity. */
#define CREATE_CACHE_BYTES ((size_t)1 << 20)

struct coh_datadir {
    uint32_t rank;
    uint32_t rank_cnt;
    bool fresh;
    bool is_dev;
    int lock_fd;
    char *dir;
    char *folder;       /* DIR/rank-2 */
    char *folder_new;   /* DIR/rank-2.new */
    char *genesis_path; /* DIR/rank-2/genesis.json */
    char *kv_path;      /* DIR/rank-2/db */
    char *dev_path;     /* DIR/rank-2/dev */
};

static coh_err_t lock_folder(coh_datadir_t *dd, coh_buf_t *err_text)
{
    char *path   = coh_path_of("%s.lock", dd->folder);
    coh_err_t rc = COH_OK;
    dd->lock_fd  = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (dd->lock_fd < 0) {
        rc = coh_file_failed(err_text, "open", path);
    } else if (flock(dd->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[32]       = "";
        ssize_t n          = pread(dd->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        coh_buf_printf(
            err_text, "%s is in use by process %s", dd->folder, pid[0] != '\0' ? pid : "(unknown)");
        rc = COH_ELOCKED;
    } else {
        /* For the message above only: what locks is flock. */
        char pid[32];
        int n = snprintf(pid, sizeof(pid), "%ld", (long)getpid());
        if (ftruncate(dd->lock_fd, 0) != 0 || pwrite(dd->lock_fd, pid, (size_t)n, 0) != n) {
            rc = coh_file_failed(err_text, "write", path);
        }
    }
    free(path);
    return rc;
}

/* Opens it, whoever's it is. */
static coh_err_t open_any(coh_datadir_t **out,
                          char const *dir,
                          uint32_t rank,
                          uint32_t rank_cnt,
                          coh_buf_t *err_text)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
        return coh_file_failed(err_text, "make the data directory", dir);
    }
    if (coh_swap_is_pending(dir)) {
        coh_buf_printf(err_text,
                       "%s: its folders are about to be replaced by those in %s/next, which was "
                       "interrupted; run the command that did it (cohort reshard or cohort "
                       "restore) again to complete that",
                       dir,
                       dir);
        return COH_EMISMATCH;
    }
    coh_datadir_t *dd = coh_calloc(1, sizeof(*dd));
    dd->rank          = rank;
    dd->rank_cnt      = rank_cnt;
    dd->dir           = coh_strdup(dir);
    dd->folder        = coh_path_of("%s/rank-%u", dir, rank);
    dd->folder_new    = coh_path_of("%s.new", dd->folder);
    dd->genesis_path  = coh_path_of("%s/genesis.json", dd->folder);
    dd->kv_path       = coh_path_of("%s/db", dd->folder);
    dd->dev_path      = coh_path_of("%s/dev", dd->folder);
    coh_err_t rc      = lock_folder(dd, err_text);
    if (rc == COH_OK) {
        struct stat st;
        if (stat(dd->folder, &st) == 0) {
            dd->fresh  = false;
            dd->is_dev = access(dd->dev_path, F_OK) == 0;
        } else if (errno == ENOENT) {
            dd->fresh = true;
        } else {
            rc = coh_file_failed(err_text, "look at", dd->folder);
        }
    }
    if (rc != COH_OK) {
        coh_datadir_close(dd);
        return rc;
    }
    *out = dd;
    return COH_OK;
}

coh_err_t coh_datadir_open(coh_datadir_t **out,
                           char const *dir,
                           uint32_t rank,
                           uint32_t rank_cnt,
                           coh_buf_t *err_text)
{
    coh_datadir_t *dd = NULL;
    COH_TRY(open_any(&dd, dir, rank, rank_cnt, err_text));
    if (dd->is_dev) {
        coh_buf_printf(err_text,
                       "%s is of a dev chain, whose state was changed between blocks: there is "
                       "nothing to go on with; use another data directory",
                       dd->folder);
        coh_datadir_close(dd);
        return COH_EMISMATCH;
    }
    *out = dd;
    return COH_OK;
}

coh_err_t coh_datadir_open_dev(coh_datadir_t **out,
                               char const *dir,
                               uint32_t rank,
                               uint32_t rank_cnt,
                               coh_buf_t *err_text)
{
    coh_datadir_t *dd = NULL;
    COH_TRY(open_any(&dd, dir, rank, rank_cnt, err_text));
    coh_err_t rc = COH_OK;
    if (!dd->fresh && !dd->is_dev) {
        coh_buf_printf(err_text,
                       "%s holds a chain that is no dev chain's, and --dev would empty it: use "
                       "another data directory",
                       dd->folder);
        rc = COH_EMISMATCH;
    } else if (!dd->fresh) {
        /* By the name of what the next start clears away: a part of it is never taken for a whole. */
        rc = coh_file_remove_tree(dd->folder_new, err_text);
        if (rc == COH_OK && rename(dd->folder, dd->folder_new) != 0) {
            rc = coh_file_failed(err_text, "rename", dd->folder);
        }
    }
    if (rc != COH_OK) {
        coh_datadir_close(dd);
        return rc;
    }
    dd->fresh  = true;
    dd->is_dev = true;
    *out       = dd;
    return COH_OK;
}

bool coh_datadir_is_fresh(coh_datadir_t const *dd) { return dd->fresh; }

char const *coh_datadir_folder(coh_datadir_t const *dd) { return dd->folder; }

char const *coh_datadir_genesis_path(coh_datadir_t const *dd) { return dd->genesis_path; }

void coh_datadir_put_identity(coh_kv_batch_t *batch,
                              uint32_t rank,
                              uint32_t rank_cnt,
                              coh_genesis_t const *genesis)
{
    uint8_t *id = coh_kv_batch_put_space(
        batch, COH_KV_META, coh_bytes(IDENTITY_KEY, strlen(IDENTITY_KEY)), IDENTITY_BYTES);
    coh_store_u32_le(id, COH_DATADIR_FORMAT);
    coh_store_u32_le(id + 4, rank);
    coh_store_u32_le(id + 8, rank_cnt);
    coh_store_u64_le(id + 12, genesis->chain_id);
    memcpy(id + 20, genesis->identity.b, sizeof(genesis->identity.b));
}

/* Makes the store in folder_new with the identity in it. */
static coh_err_t create_kv(coh_datadir_t *dd, coh_genesis_t const *genesis, coh_buf_t *err_text)
{
    char *path   = coh_path_of("%s/db", dd->folder_new);
    coh_kv_t *kv = NULL;
    coh_err_t rc = coh_kv_rocks_open(&kv, path, CREATE_CACHE_BYTES, err_text);
    free(path);
    COH_TRY(rc);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_datadir_put_identity(&batch, dd->rank, dd->rank_cnt, genesis);
    rc = kv->ops->write(kv, &batch, true);
    coh_kv_batch_free(&batch);
    kv->ops->close(kv);
    if (rc != COH_OK) {
        coh_buf_printf(
            err_text, "cannot write the identity into %s: %s", dd->folder_new, coh_err_str(rc));
    }
    return rc;
}

coh_err_t coh_datadir_create(coh_datadir_t *dd,
                             coh_genesis_t const *genesis,
                             char const *genesis_path,
                             coh_buf_t *err_text)
{
    COH_ASSERT(dd->fresh);
    COH_TRY(coh_file_remove_tree(dd->folder_new, err_text));
    if (mkdir(dd->folder_new, 0750) != 0) {
        return coh_file_failed(err_text, "make", dd->folder_new);
    }
    if (genesis_path != NULL) {
        char *copy   = coh_path_of("%s/genesis.json", dd->folder_new);
        coh_err_t rc = coh_file_copy(copy, genesis_path, NULL, NULL, err_text);
        free(copy);
        COH_TRY(rc);
    }
    if (dd->is_dev) {
        char *marker = coh_path_of("%s/dev", dd->folder_new);
        int fd       = open(marker, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        coh_err_t rc = fd >= 0 ? COH_OK : coh_file_failed(err_text, "write", marker);
        if (fd >= 0) {
            (void)close(fd);
        }
        free(marker);
        COH_TRY(rc);
    }
    COH_TRY(create_kv(dd, genesis, err_text));
    COH_TRY(coh_file_sync_dir(dd->folder_new, err_text));
    if (rename(dd->folder_new, dd->folder) != 0) {
        return coh_file_failed(err_text, "rename", dd->folder_new);
    }
    COH_TRY(coh_file_sync_dir(dd->dir, err_text));
    dd->fresh = false;
    return COH_OK;
}

static coh_err_t check_identity(coh_datadir_t *dd,
                                coh_bytes_t id,
                                coh_genesis_t const *genesis,
                                coh_buf_t *err_text)
{
    if (id.n < 4) {
        coh_buf_printf(err_text,
                       "%s: the identity is damaged (%zu bytes); restore the folder from a backup",
                       dd->folder,
                       id.n);
        return COH_ECORRUPT;
    }
    uint32_t format = coh_load_u32_le(id.p);
    if (format != COH_DATADIR_FORMAT) {
        coh_buf_printf(
            err_text,
            "%s has data format %u, this program uses %u; start the version that made it, or use "
            "another data directory",
            dd->folder,
            format,
            COH_DATADIR_FORMAT);
        return COH_EMISMATCH;
    }
    if (id.n != IDENTITY_BYTES) {
        coh_buf_printf(err_text,
                       "%s: the identity is damaged (%zu bytes); restore the folder from a backup",
                       dd->folder,
                       id.n);
        return COH_ECORRUPT;
    }
    uint32_t rank     = coh_load_u32_le(id.p + 4);
    uint32_t rank_cnt = coh_load_u32_le(id.p + 8);
    uint64_t chain_id = coh_load_u64_le(id.p + 12);
    if (rank != dd->rank) {
        coh_buf_printf(err_text,
                       "%s holds the data of rank %u; give every folder its own name back",
                       dd->folder,
                       rank);
        return COH_EMISMATCH;
    }
    if (dd->rank_cnt == 0) {
        dd->rank_cnt = rank_cnt;
    }
    if (rank_cnt != dd->rank_cnt) {
        coh_buf_printf(err_text,
                       "%s was made for %u shards, this cluster has %u; start it with %u shards, "
                       "or use another "
                       "data directory",
                       dd->folder,
                       rank_cnt - 1,
                       dd->rank_cnt - 1,
                       rank_cnt - 1);
        return COH_EMISMATCH;
    }
    if (chain_id != genesis->chain_id ||
        memcmp(id.p + 20, genesis->identity.b, sizeof(genesis->identity.b)) != 0) {
        char found[65];
        char expected[65];
        coh_hex_encode(found, id.p + 20, 32);
        coh_hex_encode(expected, genesis->identity.b, 32);
        coh_buf_printf(err_text,
                       "%s was made for chain %llu with genesis 0x%s, the genesis given is of "
                       "chain %llu with 0x%s; "
                       "leave --genesis out to use the stored one, or use another data directory",
                       dd->folder,
                       (unsigned long long)chain_id,
                       found,
                       (unsigned long long)genesis->chain_id,
                       expected);
        return COH_EMISMATCH;
    }
    return COH_OK;
}

coh_err_t coh_datadir_open_kv(coh_datadir_t *dd,
                              coh_kv_t **out,
                              coh_genesis_t const *genesis,
                              size_t cache_bytes,
                              coh_buf_t *err_text)
{
    COH_ASSERT(!dd->fresh);
    coh_kv_t *kv = NULL;
    COH_TRY(coh_backup_clear(dd->folder, err_text));
    /* The store makes what is missing; here something must be there. */
    if (access(dd->kv_path, F_OK) != 0) {
        coh_buf_printf(err_text, "%s is missing; restore the folder from a backup", dd->kv_path);
        return COH_ECORRUPT;
    }
    coh_err_t rc = coh_kv_rocks_open(&kv, dd->kv_path, cache_bytes, err_text);
    COH_TRY(rc);
    coh_buf_t id = COH_BUF_INIT;
    rc = kv->ops->get(kv, COH_KV_META, coh_bytes(IDENTITY_KEY, strlen(IDENTITY_KEY)), &id);
    if (rc == COH_OK) {
        rc = check_identity(dd, coh_buf_bytes(&id), genesis, err_text);
    } else {
        coh_buf_printf(err_text,
                       "%s has no identity (%s); restore the folder from a backup",
                       dd->kv_path,
                       coh_err_str(rc));
        rc = rc == COH_ENOTFOUND ? COH_ECORRUPT : rc;
    }
    coh_buf_free(&id);
    if (rc != COH_OK) {
        kv->ops->close(kv);
        return rc;
    }
    *out = kv;
    return COH_OK;
}

uint32_t coh_datadir_rank_cnt(coh_datadir_t const *dd) { return dd->rank_cnt; }

void coh_datadir_close(coh_datadir_t *dd)
{
    if (dd->lock_fd >= 0) {
        (void)close(dd->lock_fd);
    }
    free(dd->dir);
    free(dd->folder);
    free(dd->folder_new);
    free(dd->genesis_path);
    free(dd->kv_path);
    free(dd->dev_path);
    free(dd);
}
