/* log.h: one logfmt line an event on standard error or a file: ts=… lvl=info rank=2 mod=participant
   msg="vote sent" block=7 yes=1

   A line is one write(2), so lines of threads and ranks that share a file or pipe never mix. Lines
   above 2 KiB are cut and end in cut=1. Control characters never reach the output. */
#ifndef COH_LOG_H
#define COH_LOG_H

#include "common/base/err.h"

typedef enum { COH_LOG_ERROR, COH_LOG_WARN, COH_LOG_INFO, COH_LOG_DEBUG } coh_log_level_t;

/* coh_log_init sets the level ("info"), and the file, which is appended to, unless path is empty.
   Returns: COH_OK; COH_EINVAL no such level; COH_ENOTFOUND, COH_EIO the file cannot be opened,
            nothing changed
   Thread:  before other threads log */
coh_err_t coh_log_init(char const *level, char const *path);
/* The rank that lines of the calling thread carry; -1 (none) unless set. */
void coh_log_set_rank(int rank);
bool coh_log_enabled(coh_log_level_t level);

/* coh_log_quote writes n bytes of any origin as a quoted logfmt value, "a \"b\"", and returns out.
   What is not printable ASCII becomes \u00xx; what does not fit in out_sz (at least 8) is cut and
   ends in dots. */
char const *coh_log_quote(char *out, size_t out_sz, void const *text, size_t n);

/* fmt writes further fields in logfmt, "block=%lu yes=%d"; "%s", "" for none. Values that may hold
   blanks, or that come from outside, go through coh_log_quote. Any thread; errno is kept. */
COH_PRINTF(4, 5)
void coh_log(coh_log_level_t level, char const *module, char const *msg, char const *fmt, ...);

#define COH_LOG_ERR(module, msg, ...) coh_log(COH_LOG_ERROR, module, msg, __VA_ARGS__)
#define COH_LOG_WRN(module, msg, ...) coh_log(COH_LOG_WARN, module, msg, __VA_ARGS__)
#define COH_LOG_INF(module, msg, ...) coh_log(COH_LOG_INFO, module, msg, __VA_ARGS__)
#define COH_LOG_DBG(module, msg, ...)                         \
    do {                                                      \
        if (coh_log_enabled(COH_LOG_DEBUG)) {                 \
            coh_log(COH_LOG_DEBUG, module, msg, __VA_ARGS__); \
        }                                                     \
    } while (0)

#endif
