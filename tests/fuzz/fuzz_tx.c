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
        COH_ASSERT(err != COH_TX_BLOB_FEE_TOO_LOW);
        COH_ASSERT(err != COH_TX_OK ||
                   (gas <= tx->gas_limit && coh_tx_floor_gas(tx, fork) <= tx->gas_limit && !over));
        COH_ASSERT(err != COH_TX_CHAIN_ID && err != COH_TX_UNPROTECTED);
    }
}

/* Every list is walked to its end in as many steps as were counted. */
static void walk_lists(coh_tx_t const *tx)
{
    uint32_t addr_cnt = 0, key_cnt = 0, blob_cnt = 0, auth_cnt = 0;
    coh_addr_t addr;
    coh_hash_t hash;
    coh_tx_auth_t auth;
    coh_rlp_t keys;
    coh_rlp_t list = coh_tx_access_iter(tx);
    while (coh_tx_access_next(&list, &addr, &keys)) {
        addr_cnt++;
        while (coh_tx_access_key_next(&keys, &hash)) {
            key_cnt++;
        }
    }
    list = coh_tx_blob_iter(tx);
    while (coh_tx_blob_next(&list, &hash)) {
        blob_cnt++;
    }
    coh_buf_t again = COH_BUF_INIT;
    list            = coh_tx_auth_iter(tx);
    while (coh_tx_auth_next(&list, &auth)) {
        auth_cnt++;
        bool found = coh_tx_auth_recover(&addr, &auth);
        COH_ASSERT(!found || (auth.parity <= 1 && coh_ecdsa_is_low_s(auth.s)));
        coh_tx_auth_put(&again, &auth);
    }
    COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&again), tx->auth_list));
    coh_buf_free(&again);
    COH_ASSERT(addr_cnt == tx->access_addr_cnt && key_cnt == tx->access_key_cnt);
    COH_ASSERT(blob_cnt == tx->blob_cnt && auth_cnt == tx->auth_cnt);
    COH_ASSERT(blob_cnt == 0 || tx->type == COH_TX_BLOB);
    COH_ASSERT(auth_cnt == 0 || tx->type == COH_TX_SET_CODE);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    coh_bytes_t raw = coh_bytes(data, size);
    coh_tx_t tx;
    coh_tx_err_t err = coh_tx_decode(&tx, raw);
    COH_ASSERT((err == COH_TX_TOO_LARGE) == (size > COH_TX_RAW_MAX));
    if (err != COH_TX_OK) {
        COH_ASSERT(err == COH_TX_MALFORMED || err == COH_TX_TOO_LARGE);
        return 0;
    }
    COH_ASSERT(lies_within(tx.data, raw) && lies_within(tx.access_list, raw));
    COH_ASSERT(lies_within(tx.blob_hashes, raw) && lies_within(tx.auth_list, raw));
    coh_buf_t again = COH_BUF_INIT;
    coh_tx_encode(&again, &tx);
    COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&again), raw));
    check_all(&tx);
    walk_lists(&tx);
    coh_tx_recover_t one = {.tx = &tx};
    (void)coh_tx_recover_batch(&one, 1, &again);
    COH_ASSERT(one.err == COH_TX_OK || one.err == COH_TX_SIGNATURE);
    coh_buf_free(&again);
    return 0;
}
