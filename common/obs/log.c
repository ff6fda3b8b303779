#include "common/obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A longer event is cut, and says so. Below PIPE_BUF, so that lines of several processes on one
   pipe stay whole. */
#define LINE_MAX_SZ 2048
#define CUT_MARK    " cut=1"

_Static_assert(LINE_MAX_SZ <= 4096, "PIPE_BUF on Linux");

static char const *const level_names[] = {[COH_LOG_ERROR] = "error",
                                          [COH_LOG_WARN]  = "warn",
                                          [COH_LOG_INFO]  = "info",
                                          [COH_LOG_DEBUG] = "debug"};

/* Both are only read on their own, no other data hangs on them: relaxed order is enough. */
static _Atomic int log_level = COH_LOG_INFO;
static _Atomic int log_fd    = STDERR_FILENO;

static _Thread_local int log_rank = -1;

coh_err_t coh_log_init(char const *level, char const *path)
{
    size_t i = 0;
    while (i < COH_CNT(level_names) && strcmp(level, level_names[i]) != 0) {
        i++;
    }
    if (i == COH_CNT(level_names)) {
        return COH_EINVAL;
    }
    int fd = STDERR_FILENO;
    if (*path != '\0') {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0) {
            return errno == ENOENT ? COH_ENOTFOUND : COH_EIO;
        }
    }
    int old = atomic_exchange_explicit(&log_fd, fd, memory_order_relaxed);
    if (old != STDERR_FILENO) {
        (void)close(old);
    }
    atomic_store_explicit(&log_level, (int)i, memory_order_relaxed);
    return COH_OK;
}

void coh_log_set_rank(int rank) { log_rank = rank; }

bool coh_log_enabled(coh_log_level_t level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

char const *coh_log_quote(char *out, size_t out_sz, void const *text, size_t n)
{
    static char const dots[] = "...";
    size_t const end_sz      = 2; /* closing quote and NUL */
    uint8_t const *in        = text;
    size_t at                = 0;
    out[at++]                = '"';
    size_t cut_at            = at; /* the last place where the dots would fit */
    for (size_t i = 0; i < n; i++) {
        char piece[8];
        uint8_t c = in[i];
        int len   = c == '"' || c == '\\'  ? snprintf(piece, sizeof(piece), "\\%c", c)
                    : c < 0x20 || c > 0x7e ? snprintf(piece, sizeof(piece), "\\u%04x", c)
                                           : snprintf(piece, sizeof(piece), "%c", c);
        if (at + (size_t)len + end_sz > out_sz) {
            memcpy(out + cut_at, dots, sizeof(dots) - 1);
            at = cut_at + sizeof(dots) - 1;
            break;
        }
        memcpy(out + at, piece, (size_t)len);
        at += (size_t)len;
        if (at + sizeof(dots) - 1 + end_sz <= out_sz) {
            cut_at = at;
        }
    }
    out[at++] = '"';
    out[at]   = '\0';
    return out;
}

/* A line under construction; n may reach sz, which means that something was cut. */
typedef struct {
    char p[LINE_MAX_SZ];
    size_t n;
} line_t;

#define LINE_TEXT_MAX \
    (LINE_MAX_SZ - sizeof(CUT_MARK) - 1) /* room for the mark and the newline stays free */

COH_PRINTF(2, 0) static void line_vprintf(line_t *line, char const *fmt, va_list args)
{
    size_t room = LINE_TEXT_MAX - line->n;
    int len     = vsnprintf(line->p + line->n, room + 1, fmt, args);
    if (len > 0) {
        line->n += COH_MIN((size_t)len, room);
    }
}

COH_PRINTF(2, 3) static void line_printf(line_t *line, char const *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    line_vprintf(line, fmt, args);
    va_end(args);
}

void coh_log(coh_log_level_t level, char const *module, char const *msg, char const *fmt, ...)
{
    if (!coh_log_enabled(level)) {
        return;
    }
    int saved_errno = errno;
    line_t line;
    line.n = 0;

    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    char quoted[256];
    line_printf(&line,
                "ts=%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ lvl=%s",
                tm.tm_year + 1900,
                tm.tm_mon + 1,
                tm.tm_mday,
                tm.tm_hour,
                tm.tm_min,
                tm.tm_sec,
                now.tv_nsec / 1000,
                level_names[level]);
    if (log_rank >= 0) {
        line_printf(&line, " rank=%d", log_rank);
    }
    line_printf(
        &line, " mod=%s msg=%s", module, coh_log_quote(quoted, sizeof(quoted), msg, strlen(msg)));

    line_printf(&line, " ");
    size_t fields_at = line.n;
    va_list args;
    va_start(args, fmt);
    line_vprintf(&line, fmt, args);
    va_end(args);
    if (line.n == fields_at) {
        line.n--; /* no fields: no blank */
    }
    bool cut = line.n == LINE_TEXT_MAX;
    /* One event is one line, even if a caller forgot to quote. */
    for (size_t i = 0; i < line.n; i++) {
        unsigned char c = (unsigned char)line.p[i];
        if (c < 0x20 || c == 0x7f) {
            line.p[i] = '?';
        }
    }
    if (cut) {
        memcpy(line.p + line.n, CUT_MARK, sizeof(CUT_MARK) - 1);
        line.n += sizeof(CUT_MARK) - 1;
    }
    line.p[line.n++] = '\n';
    /* A log that cannot be written is no reason to stop, and there is nobody to tell. */
    ssize_t written = write(atomic_load_explicit(&log_fd, memory_order_relaxed), line.p, line.n);
    (void)written;
    errno = saved_errno;
}
