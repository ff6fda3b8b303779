#include "deploy/cohort/realblock_import.h"

coh_import_block_t coh_realblock_import(coh_realblock_t const *block)
{
    return (coh_import_block_t){
        .number        = block->number,
        .fork          = block->fork,
        .timestamp     = block->timestamp,
        .gas_limit     = block->gas_limit,
        .base_fee      = block->base_fee,
        .blob_base_fee = block->blob_base_fee,
        .prev_randao   = block->prev_randao,
        .blob_max      = block->blob_max,
        .coinbase      = block->coinbase,
        .tx_cnt        = (uint32_t)block->tx_cnt,
        .raws          = block->raws,
        .senders       = block->senders,
    };
}
