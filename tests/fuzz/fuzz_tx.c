/* Transactions: whatever is decoded encodes to the same octets, and survives all checks under
   every fork. */
#include "common/base/assert.h"
#include "common/codec/tx.h"
#include "tests/fuzz/fuzz.h"

static bool lies_within(coh_bytes_t part, coh_bytes_t whole)
{
    return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void check_all(coh_tx_t const *tx)
{
    coh_u256_t upfront, price;
    bool over = coh_tx_upfront(&upfront, tx);
    COH_ASSERT(over || !coh_u256_lt(&upfront, &tx->value));
    coh_tx_effective_price(&price, tx, &tx->max_fee);
    COH_ASSERT(coh_u256_eq(&price, &tx->max_fee));
    for (int f = 0; f < COH_FORK_CNT; f++) {
        coh_fork_t fork  = (coh_fork_t)f;
        coh_tx_err_t err = coh_tx_check_static(tx, fork, tx->chain_id, true);
        uint64_t gas     = coh_tx_intrinsic_gas(tx, fork);
        COH_ASSERT(gas >= 21000);
        COH_ASSERT((err != COH_TX_OK && err != COH_TX_NEEDS_CODE) ||
                   (gas <= tx->gas_limit && coh_tx_floor_gas(tx, fork) <= tx->gas_limit && !over));
        COH_ASSERT(err != COH_TX_CHAIN_ID && err != COH_TX_UNPROTECTED);
    }
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    coh_bytes_t raw = coh_bytes(data, size);
    coh_tx_t tx;
    coh_tx_err_t err = coh_tx_decode(&tx, raw);
    COH_ASSERT((err == COH_TX_TOO_LARGE) == (size > COH_TX_RAW_MAX));
    if (err != COH_TX_OK) {
        COH_ASSERT(err == COH_TX_MALFORMED || err == COH_TX_TYPE_UNSUPPORTED ||
                   err == COH_TX_TOO_LARGE);
        return 0;
    }
    COH_ASSERT(lies_within(tx.data, raw) && lies_within(tx.access_list, raw));
    coh_buf_t again = COH_BUF_INIT;
    coh_tx_encode(&again, &tx);
    COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&again), raw));
    check_all(&tx);
    coh_tx_recover_t one = {.tx = &tx};
    (void)coh_tx_recover_batch(&one, 1, &again);
    COH_ASSERT(one.err == COH_TX_OK || one.err == COH_TX_SIGNATURE);
    coh_buf_free(&again);
    return 0;
}
