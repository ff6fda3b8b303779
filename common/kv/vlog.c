#include "common/kv/vlog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strncmp(entry->d_name, NAME_START, sizeof(NAME_START) - 1) == 0) {
            uint64_t number = strtoull(entry->d_name + sizeof(NAME_START) - 1, NULL, 10);
            vlog->number    = COH_MAX(vlog->number, number);
        }
    }
    (void)closedir(dir);
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

/* Makes the next file, and its name durable. */
static coh_err_t next_file(coh_vlog_t *vlog)
{
    if (vlog->fd >= 0) {
        (void)close(vlog->fd);
    }
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
    return rc;
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
        if (done <= 0) {
            return failed(vlog, vlog->number, "write failed");
        }
        /* A part of a page is written again with the rest: past the cache, only whole ones are. */
        at += at + (size_t)done == n ? (size_t)done : (size_t)done & ~(ALIGN - 1);
    }
    return fdatasync(vlog->fd) == 0 ? COH_OK : failed(vlog, vlog->number, "sync failed");
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
    COH_TRY(write_all(vlog, n));
    coh_store_u64_le(ref, vlog->number);
    coh_store_u64_le(ref + 8, vlog->end);
    coh_store_u32_le(ref + 16, (uint32_t)value.n);
    coh_store_u64_le(ref + 20, coh_checksum64(value.p, value.n));
    vlog->end += n;
    return COH_OK;
}

/* Reads n octets at offset; COH_ECORRUPT if there are fewer. */
static coh_err_t read_all(coh_vlog_t const *vlog,
                          uint64_t number,
                          uint64_t offset,
                          uint8_t *p,
                          size_t n)
{
    char *path = path_of(vlog, number);
    int fd     = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0) {
        coh_err_t rc = errno == ENOENT ? COH_ECORRUPT : COH_EIO;
        (void)failed(vlog, number, "open failed");
        return rc;
    }
    coh_err_t rc = COH_OK;
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
    uint8_t *p   = coh_buf_extend(out, n);
    coh_err_t rc = read_all(vlog, number, offset, p, n);
    if (rc == COH_OK && coh_checksum64(p, n) != coh_load_u64_le(ref.p + 20)) {
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
        out->n -= n;
    }
    return rc;
}
