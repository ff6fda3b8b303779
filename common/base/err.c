#include "common/base/err.h"

static char const *const texts[COH_ERR_CNT] = {
#define COH_ERR(name, text) [COH_ERR_IDX_##name] = (text),
#include "common/base/err.def"
#undef COH_ERR
};

char const *coh_err_str(coh_err_t err)
{
    int idx = -(int)err;
    return idx >= 0 && idx < (int)COH_ERR_CNT ? texts[idx] : "unknown error";
}
