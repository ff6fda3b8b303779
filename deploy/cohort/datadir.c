#include "deploy/cohort/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/hex.h"

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

/* A path made of text; the caller frees it. */
COH_PRINTF(1, 2) static char *path_of(char const *fmt, ...)
{
    char *path = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&path, fmt, args);
    va_end(args);
    COH_ASSERT(n >= 0);
    return path;
}

/* Fills in the reason from errno. */
static coh_err_t io_failed(coh_buf_t *err_text, char const *what, char const *path)
{
    int number = errno;
    coh_buf_printf(err_text, "cannot %s %s: %s", what, path, strerror(number));
    return number == ENOENT ? COH_ENOTFOUND : COH_EIO;
}

static coh_err_t sync_dir(char const *path, coh_buf_t *err_text)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return io_failed(err_text, "open", path);
    }
    coh_err_t rc = fsync(fd) == 0 ? COH_OK : io_failed(err_text, "sync", path);
    (void)close(fd);
    return rc;
}

static int remove_entry(char const *path, struct stat const *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static coh_err_t remove_tree(char const *path, coh_buf_t *err_text)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return io_failed(err_text, "remove", path);
    }
    return COH_OK;
}

static coh_err_t copy_fd(int out_fd, int in_fd)
{
    uint8_t chunk[16384];
    for (;;) {
        ssize_t n = read(in_fd, chunk, sizeof(chunk));
        if (n == 0) {
            return COH_OK;
        }
        for (ssize_t at = 0; at < n;) {
            ssize_t written = write(out_fd, chunk + at, (size_t)(n - at));
            if (written < 0) {
                return COH_EIO;
            }
            at += written;
        }
        if (n < 0) {
            return COH_EIO;
        }
    }
}

/* Copies a file and syncs the copy. */
static coh_err_t copy_file(char const *to, char const *from, coh_buf_t *err_text)
{
    int in_fd = open(from, O_RDONLY | O_CLOEXEC);
    if (in_fd < 0) {
        return io_failed(err_text, "read", from);
    }
    int out_fd   = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    coh_err_t rc = COH_OK;
    if (out_fd < 0 || copy_fd(out_fd, in_fd) != COH_OK || fsync(out_fd) != 0) {
        rc = io_failed(err_text, "write", to);
    }
    if (out_fd >= 0) {
        (void)close(out_fd);
    }
    (void)close(in_fd);
    return rc;
}

static coh_err_t lock_folder(coh_datadir_t *dd, coh_buf_t *err_text)
{
    char *path   = path_of("%s.lock", dd->folder);
    coh_err_t rc = COH_OK;
    dd->lock_fd  = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (dd->lock_fd < 0) {
        rc = io_failed(err_text, "open", path);
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
            rc = io_failed(err_text, "write", path);
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
        return io_failed(err_text, "make the data directory", dir);
    }
    coh_datadir_t *dd = coh_calloc(1, sizeof(*dd));
    dd->rank          = rank;
    dd->rank_cnt      = rank_cnt;
    dd->dir           = coh_strdup(dir);
    dd->folder        = path_of("%s/rank-%u", dir, rank);
    dd->folder_new    = path_of("%s.new", dd->folder);
    dd->genesis_path  = path_of("%s/genesis.json", dd->folder);
    dd->kv_path       = path_of("%s/db", dd->folder);
    dd->dev_path      = path_of("%s/dev", dd->folder);
    coh_err_t rc      = lock_folder(dd, err_text);
    if (rc == COH_OK) {
        struct stat st;
        if (stat(dd->folder, &st) == 0) {
            dd->fresh  = false;
            dd->is_dev = access(dd->dev_path, F_OK) == 0;
        } else if (errno == ENOENT) {
            dd->fresh = true;
        } else {
            rc = io_failed(err_text, "look at", dd->folder);
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
        rc = remove_tree(dd->folder_new, err_text);
        if (rc == COH_OK && rename(dd->folder, dd->folder_new) != 0) {
            rc = io_failed(err_text, "rename", dd->folder);
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

char const *coh_datadir_genesis_path(coh_datadir_t const *dd) { return dd->genesis_path; }

/* Makes the store in folder_new with the identity in it. */
static coh_err_t create_kv(coh_datadir_t *dd, coh_genesis_t const *genesis, coh_buf_t *err_text)
{
    char *path   = path_of("%s/db", dd->folder_new);
    coh_kv_t *kv = NULL;
    coh_err_t rc = coh_kv_rocks_open(&kv, path, CREATE_CACHE_BYTES, err_text);
    free(path);
    COH_TRY(rc);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    uint8_t *id = coh_kv_batch_put_space(
        &batch, COH_KV_META, coh_bytes(IDENTITY_KEY, strlen(IDENTITY_KEY)), IDENTITY_BYTES);
    coh_store_u32_le(id, COH_DATADIR_FORMAT);
    coh_store_u32_le(id + 4, dd->rank);
    coh_store_u32_le(id + 8, dd->rank_cnt);
    coh_store_u64_le(id + 12, genesis->chain_id);
    memcpy(id + 20, genesis->identity.b, sizeof(genesis->identity.b));
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
    COH_TRY(remove_tree(dd->folder_new, err_text));
    if (mkdir(dd->folder_new, 0750) != 0) {
        return io_failed(err_text, "make", dd->folder_new);
    }
    if (genesis_path != NULL) {
        char *copy   = path_of("%s/genesis.json", dd->folder_new);
        coh_err_t rc = copy_file(copy, genesis_path, err_text);
        free(copy);
        COH_TRY(rc);
    }
    if (dd->is_dev) {
        char *marker = path_of("%s/dev", dd->folder_new);
        int fd       = open(marker, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        coh_err_t rc = fd >= 0 ? COH_OK : io_failed(err_text, "write", marker);
        if (fd >= 0) {
            (void)close(fd);
        }
        free(marker);
        COH_TRY(rc);
    }
    COH_TRY(create_kv(dd, genesis, err_text));
    COH_TRY(sync_dir(dd->folder_new, err_text));
    if (rename(dd->folder_new, dd->folder) != 0) {
        return io_failed(err_text, "rename", dd->folder_new);
    }
    COH_TRY(sync_dir(dd->dir, err_text));
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
