/* err.h: outcomes of operations. COH_OK is 0, failures are negative, each with a text in err.def.
   Transaction invalidity and EVM outcomes are not errors in this sense and have tables of their own. */
#ifndef COH_ERR_H
#define COH_ERR_H

#include "common/base/base.h"

enum coh_err_index {
#define COH_ERR(name, text) COH_ERR_IDX_##name,
#include "common/base/err.def"
#undef COH_ERR
    COH_ERR_CNT
};

typedef enum {
#define COH_ERR(name, text) COH_##name = -(int)COH_ERR_IDX_##name,
#include "common/base/err.def"
#undef COH_ERR
} coh_err_t;

/* coh_err_str names an error in words; never NULL. */
char const *coh_err_str(coh_err_t err);

/* COH_TRY returns the error of e upward. */
#define COH_TRY(e)                            \
    do {                                      \
        coh_err_t coh_try_rc_ = (e);          \
        if (COH_UNLIKELY(coh_try_rc_ != 0)) { \
            return coh_try_rc_;               \
        }                                     \
    } while (0)

#endif
