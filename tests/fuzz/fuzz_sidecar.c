/* Blob transactions in their network form, as clients send them: the parts lie within what was sent, and what comes out of a job of admission is the transaction
   alone, or an error. */
#include "common/base/assert.h"
#include "common/node/recover.h"
#include "tests/fuzz/fuzz.h"

static bool lies_within(uint8_t const *p, uint8_t const *end, coh_bytes_t whole)
{
    return p == end || (p >= whole.p && p <= end && end <= whole.p + whole.n);
}

static void decode(coh_bytes_t raw, bool is_network, coh_sidecar_t const *parts)
{
    coh_recover_rules_t rules = {
        .check_static = true, .fork = COH_FORK_OSAKA, .chain_id = 1, .blob_max = 6};
    coh_recover_job_t *job = coh_recover_job_new(1, &rules);
    if (coh_recover_job_add(job, raw) == COH_OK) {
        coh_recover_job_decode(job, 0, 1);
        coh_tx_t const *tx = &job->txs[0];
        coh_tx_err_t err   = job->results[0].err;
        COH_ASSERT(is_network || err != COH_TX_OK || tx->type != COH_TX_BLOB);
        if (is_network && err != COH_TX_MALFORMED && err != COH_TX_TOO_LARGE) {
            COH_ASSERT(tx->raw.n == parts->tx.n + 1 && tx->raw.p[0] == COH_TX_BLOB);
            COH_ASSERT(memcmp(tx->raw.p + 1, parts->tx.p, parts->tx.n) == 0);
        }
    }
    coh_recover_job_free(job);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    coh_bytes_t raw = coh_bytes(data, size);
    coh_sidecar_t parts;
    bool is_network  = coh_sidecar_is_network(raw);
    coh_tx_err_t err = coh_sidecar_split(&parts, raw);
    COH_ASSERT(err == COH_TX_OK || err == COH_TX_MALFORMED || err == COH_TX_TOO_LARGE);
    if (err == COH_TX_OK) {
        COH_ASSERT(is_network && parts.tx.p > raw.p);
        COH_ASSERT(lies_within(parts.tx.p, parts.tx.p + parts.tx.n, raw));
        COH_ASSERT(lies_within(parts.blobs.p, parts.blobs.end, raw));
        COH_ASSERT(lies_within(parts.commitments.p, parts.commitments.end, raw));
        COH_ASSERT(lies_within(parts.proofs.p, parts.proofs.end, raw));
    }
    decode(raw, is_network, &parts);
    return 0;
}
