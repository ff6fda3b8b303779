#include "deploy/cohort/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"

#define CHUNK_BYTES ((size_t)1 << 17)

char *coh_path_of(char const *fmt, ...)
{
    char *path = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&path, fmt, args);
    va_end(args);
    COH_ASSERT(n >= 0);
    return path;
}

coh_err_t coh_file_failed(coh_buf_t *err_text, char const *what, char const *path)
{
    int number = errno;
    coh_buf_printf(err_text, "cannot %s %s: %s", what, path, strerror(number));
    return number == ENOENT ? COH_ENOTFOUND : COH_EIO;
}

coh_err_t coh_file_sync_dir(char const *path, coh_buf_t *err_text)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return coh_file_failed(err_text, "open", path);
    }
    coh_err_t rc = fsync(fd) == 0 ? COH_OK : coh_file_failed(err_text, "sync", path);
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

coh_err_t coh_file_remove_tree(char const *path, coh_buf_t *err_text)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return coh_file_failed(err_text, "remove", path);
    }
    return COH_OK;
}

coh_err_t coh_file_make_dir(char const *path, coh_buf_t *err_text)
{
    return mkdir(path, 0750) == 0 || errno == EEXIST ? COH_OK
                                                     : coh_file_failed(err_text, "make", path);
}

bool coh_file_is_dir(char const *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static coh_err_t write_all(int fd, uint8_t const *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t written = write(fd, p + at, n - at);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return COH_EIO;
        }
        at += (size_t)written;
    }
    return COH_OK;
}

/* Reads in_fd to its end, into out_fd unless that is negative, and hashes it on the way. errno says what failed; *is_read whose fault it was. */
static coh_err_t pump(int out_fd, int in_fd, coh_hash_t *sha256, uint64_t *bytes, bool *is_read)
{
    uint8_t *chunk  = malloc(CHUNK_BYTES);
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    COH_ASSERT(chunk != NULL && sum != NULL && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1);
    coh_err_t rc = COH_OK;
    *bytes       = 0;
    for (ssize_t n = 1; rc == COH_OK && n != 0;) {
        n        = read(in_fd, chunk, CHUNK_BYTES);
        *is_read = n < 0;
        if (n < 0 && errno != EINTR) {
            rc = COH_EIO;
        } else if (n > 0) {
            bool hashed = EVP_DigestUpdate(sum, chunk, (size_t)n) == 1;
            COH_ASSERT(hashed);
            *bytes += (uint64_t)n;
            rc = out_fd < 0 ? COH_OK : write_all(out_fd, chunk, (size_t)n);
        } else if (n < 0) {
            n = 1; /* interrupted */
        }
    }
    bool ended = EVP_DigestFinal_ex(sum, sha256->b, NULL) == 1;
    COH_ASSERT(ended);
    int number = errno;
    EVP_MD_CTX_free(sum);
    free(chunk);
    errno = number;
    return rc;
}

coh_err_t coh_file_copy(char const *to,
                        char const *from,
                        coh_hash_t *sha256,
                        uint64_t *bytes,
                        coh_buf_t *err_text)
{
    coh_hash_t own_sum;
    uint64_t own_bytes;
    int in_fd = open(from, O_RDONLY | O_CLOEXEC);
    if (in_fd < 0) {
        return coh_file_failed(err_text, "read", from);
    }
    int out_fd   = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    bool is_read = false;
    coh_err_t rc = COH_OK;
    if (out_fd < 0 ||
        pump(out_fd,
             in_fd,
             sha256 != NULL ? sha256 : &own_sum,
             bytes != NULL ? bytes : &own_bytes,
             &is_read) != COH_OK ||
        fsync(out_fd) != 0) {
        rc = coh_file_failed(err_text, is_read ? "read" : "write", is_read ? from : to);
    }
    if (out_fd >= 0) {
        (void)close(out_fd);
    }
    (void)close(in_fd);
    return rc;
}

coh_err_t coh_file_hash(char const *path, coh_hash_t *sha256, uint64_t *bytes, coh_buf_t *err_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return coh_file_failed(err_text, "read", path);
    }
    bool is_read;
    coh_err_t rc = pump(-1, fd, sha256, bytes, &is_read);
    if (rc != COH_OK) {
        rc = coh_file_failed(err_text, "read", path);
    } else if (fsync(fd) != 0) {
        rc = coh_file_failed(err_text, "sync", path);
    }
    (void)close(fd);
    return rc;
}

/* Makes the names in the folder that path is in durable. */
static coh_err_t sync_parent(char const *path, coh_buf_t *err_text)
{
    char const *slash = strrchr(path, '/');
    char *parent =
        slash == NULL ? coh_path_of(".") : coh_path_of("%.*s", (int)(slash - path), path);
    coh_err_t rc = coh_file_sync_dir(parent[0] == '\0' ? "/" : parent, err_text);
    free(parent);
    return rc;
}

coh_err_t coh_file_write(char const *path, coh_bytes_t text, coh_buf_t *err_text)
{
    char *tmp    = coh_path_of("%s.tmp", path);
    int fd       = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    coh_err_t rc = COH_OK;
    if (fd < 0 || write_all(fd, text.p, text.n) != COH_OK || fsync(fd) != 0 ||
        rename(tmp, path) != 0) {
        rc = coh_file_failed(err_text, "write", path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    free(tmp);
    return rc == COH_OK ? sync_parent(path, err_text) : rc;
}

coh_err_t coh_file_read(char const *path, size_t bytes_max, coh_buf_t *out, coh_buf_t *err_text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return coh_file_failed(err_text, "read", path);
    }
    coh_err_t rc = COH_OK;
    size_t start = out->n;
    for (ssize_t n = 1; rc == COH_OK && n != 0;) {
        coh_buf_grow(out, CHUNK_BYTES);
        n = read(fd, out->p + out->n, CHUNK_BYTES);
        if (n < 0 && errno != EINTR) {
            rc = coh_file_failed(err_text, "read", path);
        } else if (n > 0 && out->n - start + (size_t)n > bytes_max) {
            coh_buf_printf(err_text, "%s is larger than %zu octets", path, bytes_max);
            rc = COH_ETOOBIG;
        }
        out->n += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    return rc;
}
