/* Blocks, exported chains and steps: what the decoders accept, the writers reproduce octet for octet. */
#include "common/base/assert.h"
#include "common/codec/body.h"
#include "common/codec/step.h"
#include "tests/fuzz/fuzz.h"

enum { TX_MAX = 64 };

static void check_block(coh_bytes_t raw)
{
    coh_block_t block;
    if (coh_block_decode(&block, raw) != COH_OK || block.tx_cnt > TX_MAX ||
        block.has_withdrawals != (block.header_fork >= COH_FORK_SHANGHAI)) {
        return;
    }
    coh_bytes_t txs[TX_MAX + 1];
    coh_rlp_t list = coh_block_tx_iter(&block);
    uint32_t cnt   = 0;
    while (coh_block_tx_next(&list, &txs[cnt])) {
        cnt++;
    }
    COH_ASSERT(cnt == block.tx_cnt);
    coh_bytes_t ommer;
    list = coh_block_ommer_iter(&block);
    for (cnt = 0; coh_block_ommer_next(&list, &ommer); cnt++) {
    }
    COH_ASSERT(cnt == block.ommer_cnt);
    coh_withdrawal_t withdrawal;
    list = coh_block_withdrawal_iter(&block);
    for (cnt = 0; coh_block_withdrawal_next(&list, &withdrawal); cnt++) {
    }
    COH_ASSERT(cnt == block.withdrawal_cnt);
    coh_buf_t again = COH_BUF_INIT;
    coh_block_put(&again,
                  &block.header,
                  block.header_fork,
                  txs,
                  block.tx_cnt,
                  block.ommers,
                  block.withdrawals);
    COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&again), raw));
    coh_buf_free(&again);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    coh_bytes_t all = coh_bytes(data, size);
    size_t at       = 0;
    coh_bytes_t raw;
    check_block(all);
    while (coh_block_next_raw(&raw, all, &at) == COH_OK) {
        COH_ASSERT(raw.p + raw.n == data + at);
        check_block(raw);
    }
    coh_step_t step;
    if (coh_step_decode(&step, all) == COH_OK) {
        coh_buf_t again = COH_BUF_INIT;
        coh_step_put(&again, &step);
        COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&again), all));
        coh_rlp_t list = coh_step_credit_iter(&step);
        coh_addr_t addr;
        coh_u256_t amount;
        while (coh_step_credit_next(&list, &addr, &amount)) {
        }
        COH_ASSERT(coh_rlp_at_end(&list));
        coh_buf_free(&again);
    }
    return 0;
}
