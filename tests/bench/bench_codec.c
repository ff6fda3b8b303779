/* Cost of taking in signed transfers: decoding, hashing with signing digests, recovering
   senders. One line of JSON; nanoseconds of one thread's CPU per transaction.
   usage: bench_codec [TRANSACTIONS] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/codec/tx.h"

enum { DECODE_TURNS = 100 };

int main(int argc, char **argv)
{
    size_t cnt = argc > 1 ? strtoul(argv[1], NULL, 10) : 4000;
    if (cnt == 0) {
        fprintf(stderr, "usage: %s [TRANSACTIONS]\n", argv[0]);
        return 2;
    }
    coh_buf_t *raws         = coh_calloc(cnt, sizeof(*raws));
    coh_tx_t *txs           = coh_calloc(cnt, sizeof(*txs));
    coh_tx_recover_t *batch = coh_calloc(cnt, sizeof(*batch));
    uint8_t secret[32]      = {[31] = 1};
    for (size_t i = 0; i < cnt; i++) {
        coh_tx_t tx = {.type         = COH_TX_DYNAMIC_FEE,
                       .has_chain_id = true,
                       .chain_id     = 1337,
                       .nonce        = i,
                       .gas_limit    = 21000,
                       .max_fee      = coh_u256(UINT64_C(30000000000)),
                       .max_tip      = coh_u256(UINT64_C(1000000000)),
                       .value        = coh_u256(UINT64_C(1000000000000000000) + i)};
        coh_store_u64_be(tx.to.b, i);
        coh_store_u64_be(secret, i + 1);
        COH_ASSERT(coh_tx_sign(&tx, secret) == COH_OK);
        coh_tx_encode(&raws[i], &tx);
    }
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    for (int turn = 0; turn < DECODE_TURNS; turn++) {
        for (size_t i = 0; i < cnt; i++) {
            COH_ASSERT(coh_tx_decode(&txs[i], coh_buf_bytes(&raws[i])) == COH_TX_OK);
        }
    }
    uint64_t decode_ns = (coh_clock_thread_cpu_ns() - start_ns) / DECODE_TURNS;
    start_ns           = coh_clock_thread_cpu_ns();
    for (int turn = 0; turn < DECODE_TURNS; turn++) {
        for (size_t i = 0; i < cnt; i++) {
            COH_ASSERT(coh_tx_check_static(&txs[i], COH_FORK_OSAKA, 1337, false) == COH_TX_OK);
        }
    }
    uint64_t check_ns = (coh_clock_thread_cpu_ns() - start_ns) / DECODE_TURNS;
    for (size_t i = 0; i < cnt; i++) {
        batch[i].tx = &txs[i];
    }
    coh_buf_t scratch   = COH_BUF_INIT;
    start_ns            = coh_clock_thread_cpu_ns();
    uint64_t recover_ns = coh_tx_recover_batch(batch, cnt, &scratch);
    uint64_t hash_ns    = coh_clock_thread_cpu_ns() - start_ns - recover_ns;
    printf("{\"bench\":\"codec\",\"transactions\":%zu,\"raw_bytes\":%zu,\"decode_ns\":%.0f,"
           "\"check_ns\":%.0f,\"hash_ns\":%.0f,\"recover_ns\":%.0f}\n",
           cnt,
           raws[0].n,
           (double)decode_ns / (double)cnt,
           (double)check_ns / (double)cnt,
           (double)hash_ns / (double)cnt,
           (double)recover_ns / (double)cnt);
    for (size_t i = 0; i < cnt; i++) {
        COH_ASSERT(batch[i].err == COH_TX_OK);
        coh_buf_free(&raws[i]);
    }
    coh_buf_free(&scratch);
    free(raws);
    free(txs);
    free(batch);
    return 0;
}
