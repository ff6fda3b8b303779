/* log.h: one logfmt line an event on standard error or a file: ts=… lvl=info rank=2 mod=participant msg="vote sent" block=7 yes=1 */
#ifndef COH_LOG_H
#define COH_LOG_H

#include "common/base/err.h"

typedef enum { COH_LOG_ERROR, COH_LOG_WARN, COH_LOG_INFO, COH_LOG_DEBUG } coh_log_level_t;

/* coh_log_init sets the level ("info"), and the file if path is not empty. */
coh_err_t coh_log_init(char const *level, char const *path);
/* The rank that lines of the calling thread carry; -1 (none) unless set. */
void coh_log_set_rank(int rank);
bool coh_log_enabled(coh_log_level_t level);

/* fmt writes further fields in logfmt, "block=%lu yes=%d"; values with blanks are quoted by the caller: text=\"…\". Any thread. */
COH_PRINTF(4, 5) void coh_log(coh_log_level_t level, char const *module, char const *msg, char const *fmt, ...);

#define COH_LOG_ERR(module, msg, ...) coh_log(COH_LOG_ERROR, module, msg, __VA_ARGS__)
#define COH_LOG_WRN(module, msg, ...) coh_log(COH_LOG_WARN, module, msg, __VA_ARGS__)
#define COH_LOG_INF(module, msg, ...) coh_log(COH_LOG_INFO, module, msg, __VA_ARGS__)
#define COH_LOG_DBG(module, msg, ...)                             \
    do {                                                          \
        if (coh_log_enabled(COH_LOG_DEBUG)) {                     \
            coh_log(COH_LOG_DEBUG, module, msg, __VA_ARGS__);     \
        }                                                         \
    } while (0)

#endif
