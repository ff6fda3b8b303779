#include "common/chain/block_err.h"

#include <inttypes.h>

char const *coh_block_err_str(coh_block_err_t err)
{
    static char const *const texts[COH_BLOCK_ERR_CNT] = {
#define COH_BLOCK_ERR(name, text) [COH_BLOCK_##name] = (text),
#include "common/chain/block_err.def"
#undef COH_BLOCK_ERR
    };
    return (unsigned)err < COH_BLOCK_ERR_CNT ? texts[err] : "unknown";
}

void coh_block_fault_put(coh_buf_t *out, coh_block_fault_t const *fault)
{
    coh_buf_printf(out, "%s", coh_block_err_str(fault->err));
    switch (fault->err) {
    case COH_BLOCK_TX:
        coh_buf_printf(out, " %" PRIu32 ": %s", fault->idx, coh_tx_err_str(fault->tx_err));
        break;
    case COH_BLOCK_OMMER_HEADER:
        coh_buf_printf(out, " (%" PRIu32 "): %s", fault->idx, coh_block_err_str(fault->ommer_err));
        break;
    case COH_BLOCK_OMMER_REPEATED:
    case COH_BLOCK_OMMER_ANCESTOR:
    case COH_BLOCK_OMMER_PARENT: coh_buf_printf(out, " (%" PRIu32 ")", fault->idx); break;
    default: break;
    }
}
