#include "common/kv/vlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/checksum.h"
#include "common/obs/log.h"

/* What a write past the page cache has to be aligned to, in memory and on disk, on every usual
 * device. */
#define ALIGN      ((size_t)4096)
#define FILE_MODE  0640
#define NAME_START "values-"
#define NAME_END   ".val"
/* A file begins with a page of its own: this text, zeros. */
#define HEADER "cohort values 1\n"

struct coh_vlog {
    char *folder;
    uint64_t file_bytes;
    uint64_t number; /* of the file appended to, or of the last one found */
    int fd;          /* of it; -1: the next append makes a new one */
    uint64_t end;    /* of it */
    uint8_t *buf;    /* aligned */
    size_t cap;
};

static coh_err_t failed(coh_vlog_t const *vlog, uint64_t number, char const *what)
{
    COH_LOG_ERR("vlog",
                what,
                "folder=%s file=%" PRIu64 " error=\"%s\"",
                vlog->folder,
                number,
                strerror(errno));
    return COH_EIO;
}

/* Path of a file; the caller frees it. */
static char *path_of(coh_vlog_t const *vlog, uint64_t number)
{
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/" NAME_START "%08" PRIu64 NAME_END, vlog->folder, number);
    coh_buf_put_u8(&path, 0);
    return (char *)path.p;
}

/* Whether a file of the folder is of this format. One whose beginning was interrupted has no header, and nothing refers to it. */
static coh_err_t check_header(int folder, char const *name)
{
    char found[sizeof(HEADER) - 1] = {0};
    static char const none[sizeof(found)];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return COH_EIO;
    }
    ssize_t n    = pread(fd, found, sizeof(found), 0);
    coh_err_t rc = COH_OK;
    if (n < 0) {
        rc = COH_EIO;
    } else if (memcmp(found, HEADER, sizeof(found)) != 0 &&
               memcmp(found, none, sizeof(found)) != 0) {
        COH_LOG_ERR("vlog", "file is of another format", "file=%s", name);
        rc = COH_EMISMATCH;
    }
    (void)close(fd);
    return rc;
}

coh_err_t coh_vlog_open(coh_vlog_t **out, char const *folder, uint64_t file_bytes)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        return COH_EIO;
    }
    coh_vlog_t *vlog = coh_calloc(1, sizeof(*vlog));
    vlog->folder     = coh_strdup(folder);
    vlog->file_bytes = file_bytes;
    vlog->fd         = -1;
    coh_err_t rc     = COH_OK;
    errno            = 0;
    for (struct dirent *entry = readdir(dir); rc == COH_OK && entry != NULL; entry = readdir(dir)) {
        if (strncmp(entry->d_name, NAME_START, sizeof(NAME_START) - 1) == 0) {
            uint64_t number = strtoull(entry->d_name + sizeof(NAME_START) - 1, NULL, 10);
            vlog->number    = COH_MAX(vlog->number, number);
            rc              = check_header(dirfd(dir), entry->d_name);
        }
        errno = 0;
    }
    rc = rc == COH_OK && errno != 0 ? COH_EIO : rc;
    (void)closedir(dir);
    if (rc != COH_OK) {
        coh_vlog_close(vlog);
        return rc;
    }
    *out = vlog;
    return COH_OK;
}

void coh_vlog_close(coh_vlog_t *vlog)
{
    if (vlog == NULL) {
        return;
    }
    if (vlog->fd >= 0) {
        (void)close(vlog->fd);
    }
    free(vlog->buf);
    free(vlog->folder);
    free(vlog);
}

/* Ends the file appended to. After a failure nobody knows what of it will be there one day, be it its name, its length or what is written to the same place once
   more: it is not gone on with. What was synced before stays. */
static void end_file(coh_vlog_t *vlog)
{
    if (vlog->fd >= 0) {
        (void)close(vlog->fd);
    }
    vlog->fd = -1;
}

static void reserve(coh_vlog_t *vlog, size_t n)
{
    if (vlog->cap < n) {
        size_t cap = vlog->cap == 0 ? ALIGN : vlog->cap;
        while (cap < n) {
            cap *= 2;
        }
        free(vlog->buf);
        vlog->buf = aligned_alloc(ALIGN, cap);
        vlog->cap = cap;
        COH_ASSERT(vlog->buf != NULL);
    }
}

static coh_err_t write_all(coh_vlog_t *vlog, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t done = pwrite(vlog->fd, vlog->buf + at, n - at, (off_t)(vlog->end + at));
        if (done < 0 && errno == EINTR) {
            continue;
        }
        /* A part of a page is written again with the rest: past the cache, only whole ones are. If there is room for that part alone, there is
           none. */
        bool is_all = done > 0 && at + (size_t)done == n;
        size_t took = done > 0 ? (size_t)done & ~(ALIGN - 1) : 0;
        if (!is_all && took == 0) {
            errno = done > 0 ? ENOSPC : errno;
            return failed(vlog, vlog->number, "write failed");
        }
        at += is_all ? (size_t)done : took;
    }
    return fdatasync(vlog->fd) == 0 ? COH_OK : failed(vlog, vlog->number, "sync failed");
}

/* Makes the next file with its header, and both durable. */
static coh_err_t next_file(coh_vlog_t *vlog)
{
    end_file(vlog);
    char *path = path_of(vlog, ++vlog->number);
    int flags  = O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC;
    vlog->end  = 0;
    vlog->fd   = open(path, flags | O_DIRECT, FILE_MODE);
    if (vlog->fd < 0 && errno == EINVAL) { /* not on this file system; it may have been created */
        (void)unlink(path);
        vlog->fd = open(path, flags, FILE_MODE);
    }
    free(path);
    int folder   = open(vlog->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok      = vlog->fd >= 0 && folder >= 0 && fsync(folder) == 0;
    coh_err_t rc = ok ? COH_OK : failed(vlog, vlog->number, "new file failed");
    if (folder >= 0) {
        (void)close(folder);
    }
    if (rc == COH_OK) {
        reserve(vlog, ALIGN);
        memset(vlog->buf, 0, ALIGN);
        memcpy(vlog->buf, HEADER, sizeof(HEADER) - 1);
        rc = write_all(vlog, ALIGN);
    }
    if (rc != COH_OK) {
        end_file(vlog);
        return rc;
    }
    vlog->end = ALIGN;
    return COH_OK;
}

coh_err_t coh_vlog_append(coh_vlog_t *vlog, coh_bytes_t value, uint8_t ref[COH_VLOG_REF_SZ])
{
    COH_ASSERT(value.n <= UINT32_MAX);
    if (vlog->fd < 0 || vlog->end >= vlog->file_bytes) {
        COH_TRY(next_file(vlog));
    }
    size_t n = (value.n + ALIGN - 1) & ~(ALIGN - 1);
    reserve(vlog, n);
    if (value.n != 0) {
        memcpy(vlog->buf, value.p, value.n);
        memset(vlog->buf + value.n, 0, n - value.n);
    }
    coh_err_t rc = write_all(vlog, n);
    if (rc != COH_OK) {
        end_file(vlog);
        return rc;
    }
    coh_store_u64_le(ref, vlog->number);
    coh_store_u64_le(ref + 8, vlog->end);
    coh_store_u32_le(ref + 16, (uint32_t)value.n);
    coh_store_u64_le(ref + 20, coh_checksum64(value.p, value.n));
    vlog->end += n;
    return COH_OK;
}

coh_err_t coh_vlog_link(coh_vlog_t *vlog, char const *folder)
{
    end_file(vlog);
    int to       = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir     = opendir(vlog->folder);
    coh_err_t rc = to >= 0 && dir != NULL ? COH_OK : failed(vlog, vlog->number, "links failed");
    errno        = 0;
    for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; rc == COH_OK && entry != NULL;
         entry                = readdir(dir)) {
        if (strncmp(entry->d_name, NAME_START, sizeof(NAME_START) - 1) == 0 &&
            linkat(dirfd(dir), entry->d_name, to, entry->d_name, 0) != 0) {
            rc = failed(
                vlog, strtoull(entry->d_name + sizeof(NAME_START) - 1, NULL, 10), "link failed");
        }
        errno = 0;
    }
    if (rc == COH_OK && errno != 0) {
        rc = failed(vlog, vlog->number, "links failed");
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    if (to >= 0) {
        (void)close(to);
    }
    return rc;
}

/* Appends n octets at offset to out; COH_ECORRUPT if there are fewer: what a damaged reference says is not taken for a length to reserve. */
static coh_err_t read_all(coh_vlog_t const *vlog,
                          uint64_t number,
                          uint64_t offset,
                          size_t n,
                          coh_buf_t *out)
{
    char *path = path_of(vlog, number);
    int fd     = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0) {
        coh_err_t rc = errno == ENOENT ? COH_ECORRUPT : COH_EIO;
        (void)failed(vlog, number, "open failed");
        return rc;
    }
    struct stat st;
    coh_err_t rc = COH_OK;
    if (fstat(fd, &st) != 0) {
        rc = failed(vlog, number, "read failed");
    } else if ((uint64_t)st.st_size < offset + n) {
        rc = COH_ECORRUPT;
    }
    uint8_t *p = rc == COH_OK ? coh_buf_extend(out, n) : NULL;
    for (size_t at = 0; rc == COH_OK && at < n;) {
        ssize_t done = pread(fd, p + at, n - at, (off_t)(offset + at));
        if (done < 0 && errno != EINTR) {
            rc = failed(vlog, number, "read failed");
        } else if (done == 0) {
            rc = COH_ECORRUPT;
        } else if (done > 0) {
            at += (size_t)done;
        }
    }
    (void)close(fd);
    return rc;
}

coh_err_t coh_vlog_read(coh_vlog_t const *vlog, coh_bytes_t ref, coh_buf_t *out)
{
    if (ref.n != COH_VLOG_REF_SZ) {
        return COH_ECORRUPT;
    }
    uint64_t number = coh_load_u64_le(ref.p);
    uint64_t offset = coh_load_u64_le(ref.p + 8);
    size_t n        = coh_load_u32_le(ref.p + 16);
    if (offset > INT64_MAX - n) {
        return COH_ECORRUPT;
    }
    size_t start = out->n;
    coh_err_t rc = read_all(vlog, number, offset, n, out);
    if (rc == COH_OK && coh_checksum64(out->p + start, n) != coh_load_u64_le(ref.p + 20)) {
        rc = COH_ECORRUPT;
    }
    if (rc == COH_ECORRUPT) {
        COH_LOG_ERR("vlog",
                    "value is damaged",
                    "folder=%s file=%" PRIu64 " offset=%" PRIu64 " bytes=%zu",
                    vlog->folder,
                    number,
                    offset,
                    n);
    }
    if (rc != COH_OK) {
        out->n = start;
    }
    return rc;
}
