#include "common/config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crypto/hmac.h"

/* Reads up to n octets; less than 0: errno. */
static ssize_t read_all(int fd, char *p, size_t n)
{
    size_t at = 0;
    while (at < n) {
        ssize_t got = read(fd, p + at, n - at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        at += (size_t)got;
    }
    return (ssize_t)at;
}

static coh_err_t load(coh_buf_t *out, int fd, size_t min, coh_buf_t *why)
{
    struct stat st;
    char text[COH_SECRET_MAX + 2];
    if (fstat(fd, &st) != 0) {
        coh_buf_printf(why, "%s", strerror(errno));
        return COH_EINVAL;
    }
    if (!S_ISREG(st.st_mode)) {
        coh_buf_printf(why, "not a file");
        return COH_EINVAL;
    }
    if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & 077) != 0) {
        coh_buf_printf(why,
                       "open to others (mode %04o, user %u): chmod 600, and give it to user %u",
                       (unsigned)st.st_mode & 07777u,
                       (unsigned)st.st_uid,
                       (unsigned)geteuid());
        return COH_EINVAL;
    }
    ssize_t got = read_all(fd, text, sizeof(text) - 1);
    if (got < 0) {
        coh_buf_printf(why, "%s", strerror(errno));
        return COH_EINVAL;
    }
    text[got]    = '\0';
    size_t n     = strcspn(text, "\r\n \t");
    coh_err_t rc = n >= min && n <= COH_SECRET_MAX ? COH_OK : COH_EINVAL;
    if (rc == COH_OK) {
        coh_buf_put(out, text, n);
    } else {
        coh_buf_printf(why, "expected one word of %zu to %u characters", min, COH_SECRET_MAX);
    }
    coh_secret_wipe(text, sizeof(text));
    return rc;
}

coh_err_t coh_secret_load(coh_buf_t *out,
                          char const *option,
                          char const *path,
                          size_t min,
                          coh_buf_t *err_text)
{
    coh_buf_t why = COH_BUF_INIT;
    coh_err_t rc  = COH_EINVAL;
    int fd        = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        coh_buf_printf(&why, "%s", strerror(errno));
    } else {
        rc = load(out, fd, min, &why);
        (void)close(fd);
    }
    if (rc != COH_OK) {
        coh_buf_printf(err_text, "%s %s: %.*s", option, path, (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    return rc;
}
