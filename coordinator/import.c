#include "coordinator/import.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/chain/requests.h"
#include "common/crypto/keccak.h"
#include "coordinator/seal.h"

void coh_import_free(coh_import_t *im)
{
    if (im != NULL) {
        free(im->txs);
        free(im->hashes);
        free(im->senders);
        coh_buf_free(&im->bytes);
        coh_buf_free(&im->extra);
        free(im);
    }
}

/* Copies and decodes transactions and steps. False if one does not decode. */
static bool decode(coh_import_t *im, coh_import_block_t const *b)
{
    size_t total = 0;
    for (uint32_t i = 0; i < b->tx_cnt; i++) {
        total += b->raws[i].n;
    }
    for (uint32_t i = 0; i < b->step_cnt; i++) {
        total += b->steps[i].n;
    }
    coh_buf_grow(&im->bytes, total);
    im->tx_cnt        = b->tx_cnt;
    im->txs           = coh_calloc(b->tx_cnt, sizeof(*im->txs));
    im->hashes        = coh_calloc(b->tx_cnt, sizeof(*im->hashes));
    im->senders       = coh_calloc(b->tx_cnt, sizeof(*im->senders));
    coh_bytes_t *raws = coh_calloc(b->tx_cnt, sizeof(*raws));
    bool ok           = true;
    for (uint32_t i = 0; i < b->tx_cnt && ok; i++) {
        uint8_t *copy  = coh_buf_extend(&im->bytes, b->raws[i].n); /* reserved: does not move */
        raws[i]        = coh_bytes(memcpy(copy, b->raws[i].p, b->raws[i].n), b->raws[i].n);
        im->senders[i] = b->senders[i];
        ok             = coh_tx_decode(&im->txs[i], raws[i]) == COH_TX_OK;
    }
    im->step_cnt   = b->step_cnt;
    im->before_cnt = b->before_cnt;
    for (uint32_t i = 0; i < b->step_cnt && ok; i++) {
        uint8_t *copy = coh_buf_extend(&im->bytes, b->steps[i].n);
        im->steps[i]  = coh_bytes(memcpy(copy, b->steps[i].p, b->steps[i].n), b->steps[i].n);
        coh_step_t step;
        ok = coh_step_decode(&step, im->steps[i]) == COH_OK;
    }
    if (ok) {
        coh_keccak256_many(im->hashes, raws, b->tx_cnt);
    }
    free(raws);
    return ok;
}

coh_block_env_t coh_import_env(coh_import_block_t const *b, uint64_t chain_id)
{
    return (coh_block_env_t){
        .number        = b->number,
        .fork          = b->fork,
        .timestamp     = b->timestamp,
        .gas_limit     = b->gas_limit,
        .chain_id      = chain_id,
        .base_fee      = b->base_fee,
        .blob_base_fee = b->blob_base_fee,
        .prev_randao   = b->prev_randao,
        .blob_max      = b->blob_max,
        .coinbase      = b->coinbase,
    };
}

coh_import_block_t coh_import_block_of(coh_block_env_t const *env)
{
    return (coh_import_block_t){
        .number        = env->number,
        .fork          = env->fork,
        .timestamp     = env->timestamp,
        .gas_limit     = env->gas_limit,
        .base_fee      = env->base_fee,
        .blob_base_fee = env->blob_base_fee,
        .prev_randao   = env->prev_randao,
        .blob_max      = env->blob_max,
        .coinbase      = env->coinbase,
    };
}

coh_import_t *coh_import_new(coh_import_block_t const *b,
                             uint64_t chain_id,
                             coh_import_done_fn *done,
                             void *arg)
{
    if (b->step_cnt > COH_STEP_CNT_MAX || b->before_cnt > b->step_cnt) {
        return NULL;
    }
    coh_import_t *im = coh_calloc(1, sizeof(*im));
    im->env          = coh_import_env(b, chain_id);
    im->done         = done;
    im->arg          = arg;
    im->compares     = b->expect != NULL;
    if (im->compares) {
        im->expect = *b->expect;
        coh_buf_put(&im->extra, b->expect->extra.p, b->expect->extra.n);
    }
    if (!decode(im, b)) {
        coh_import_free(im);
        return NULL;
    }
    return im;
}

void coh_import_finish(coh_import_t *im,
                       coh_err_t err,
                       coh_block_fault_t const *fault,
                       coh_sealed_t const *sealed)
{
    coh_import_result_t result = {.number = im->env.number, .err = err};
    if (fault != NULL) {
        result.fault = *fault;
    }
    if (sealed != NULL) {
        result.gas_used = sealed->header.gas_used;
        result.hash     = sealed->hash;
        result.sealed   = sealed;
    }
    im->done(im->arg, &result);
    coh_import_free(im);
}

static coh_block_err_t add_requests(coh_requests_t *requests,
                                    coh_sealed_t const *sealed,
                                    coh_block_step_t const *steps,
                                    uint32_t step_cnt,
                                    coh_addr_t const *deposit_addr)
{
    for (uint32_t i = 0; sealed->logs != NULL && i < sealed->tx_cnt; i++) {
        if (!coh_requests_add_deposits(requests, coh_sealed_logs(sealed, i), deposit_addr)) {
            return COH_BLOCK_DEPOSIT_LAYOUT;
        }
    }
    for (uint32_t i = 0; i < step_cnt; i++) {
        if (steps[i].use != COH_STEPS_REQUESTS) {
            continue;
        }
        if (steps[i].result != COH_STEP_RAN) { /* EIP-7002, EIP-7251 */
            return steps[i].result == COH_STEP_NO_CODE ? COH_BLOCK_SYSTEM_NO_CODE
                                                       : COH_BLOCK_SYSTEM_FAILED;
        }
        coh_requests_add(requests, steps[i].request_type, coh_buf_bytes(&steps[i].output));
    }
    return COH_BLOCK_OK;
}

coh_block_err_t coh_import_hash_requests(coh_hash_t *out,
                                         coh_sealed_t const *sealed,
                                         coh_block_step_t const *steps,
                                         uint32_t step_cnt,
                                         coh_addr_t const *deposit_addr)
{
    coh_requests_t requests;
    coh_requests_init(&requests);
    coh_block_err_t err = add_requests(&requests, sealed, steps, step_cnt, deposit_addr);
    if (err == COH_BLOCK_OK) {
        coh_requests_hash_all(out, &requests);
    }
    coh_requests_fini(&requests);
    return err;
}

coh_block_err_t coh_import_compare(coh_import_t const *im,
                                   coh_sealed_t const *sealed,
                                   coh_block_step_t const *steps)
{
    coh_header_t const *h = &sealed->header;
    coh_block_sums_t sums = {.gas_used      = h->gas_used,
                             .blob_gas_used = im->expect.blob_gas,
                             .tx_root       = h->tx_root,
                             .receipts_root = h->receipts_root,
                             .state_root    = h->state_root};
    memcpy(sums.bloom, h->bloom, sizeof(sums.bloom));
    if (im->env.fork >= COH_FORK_PRAGUE) {
        coh_block_err_t err = coh_import_hash_requests(
            &sums.requests_hash, sealed, steps, im->step_cnt, &im->expect.deposit_addr);
        if (err != COH_BLOCK_OK) {
            return err;
        }
    }
    coh_header_t const *given = &im->expect.header;
    if ((im->expect.skips & COH_IMPORT_SKIP_STATE_ROOT) != 0) {
        sums.state_root = given->state_root;
    }
    if ((im->expect.skips & COH_IMPORT_SKIP_RECEIPTS_ROOT) != 0) {
        sums.receipts_root = given->receipts_root;
    }
    if ((im->expect.skips & COH_IMPORT_SKIP_REQUESTS_HASH) != 0) {
        sums.requests_hash = given->requests_hash;
    }
    return coh_block_compare(given, im->env.fork, &sums);
}

void coh_imports_init(coh_imports_t *q)
{
    *q      = (coh_imports_t){0};
    q->last = &q->first;
}

void coh_imports_fini(coh_imports_t *q)
{
    while (q->first != NULL) {
        coh_import_free(coh_imports_pop(q));
    }
}

void coh_imports_push(coh_imports_t *q, coh_import_t *im)
{
    im->next = NULL;
    *q->last = im;
    q->last  = &im->next;
    q->cnt++;
}

coh_import_t *coh_imports_pop(coh_imports_t *q)
{
    coh_import_t *im = q->first;
    COH_ASSERT(im != NULL);
    q->first = im->next;
    if (q->first == NULL) {
        q->last = &q->first;
    }
    q->cnt--;
    return im;
}

void coh_imports_put_before(coh_imports_t *q, coh_imports_t *first)
{
    if (first->first == NULL) {
        return;
    }
    *first->last = q->first;
    if (q->first == NULL) {
        q->last = first->last;
    }
    q->first = first->first;
    q->cnt += first->cnt;
    coh_imports_init(first);
}

void coh_imports_fail(coh_imports_t *q, coh_err_t err, coh_block_fault_t const *fault)
{
    static coh_block_fault_t const orphan = {.err = COH_BLOCK_UNKNOWN_PARENT};
    coh_imports_t failed;
    coh_imports_init(&failed);
    coh_imports_put_before(&failed, q);
    while (failed.first != NULL) {
        coh_import_finish(coh_imports_pop(&failed), err, fault, NULL);
        fault = err == COH_EINVAL ? &orphan : fault;
    }
}
