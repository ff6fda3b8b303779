/* Blob transactions in their network form, with proofs that others made: what passes, and each way in which it must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "common/crypto/kzg.h"
#include "common/node/recover.h"
#include "tests/support/data.h"
#include "tests/support/ids.h"

#define PROOFS_SZ (COH_KZG_CELL_CNT * COH_KZG_POINT_SZ)

#define VECTOR(name, hex) static char const name##_hex[] = hex;
#define CELL_PROOF(hex)
#include "tests/unit/blob_vectors.def"
#undef VECTOR
#undef CELL_PROOF
static char const *const cell_proofs_hex[COH_KZG_CELL_CNT] = {
#define VECTOR(name, hex)
#define CELL_PROOF(hex) hex,
#include "tests/unit/blob_vectors.def"
#undef VECTOR
#undef CELL_PROOF
};

static struct {
    uint8_t blob[COH_KZG_BLOB_SZ];
    uint8_t zeros[COH_KZG_BLOB_SZ];
    uint8_t commitment[COH_KZG_POINT_SZ];
    uint8_t proof[COH_KZG_POINT_SZ];
    uint8_t cell_proofs[PROOFS_SZ];
    uint8_t infinity[COH_KZG_POINT_SZ]; /* commitment and every proof of the blob of zeros */
    coh_hash_t hash;
} v;

static int prepare(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 4096; i++) {
        uint64_t word = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
        for (size_t k = 0; k < 8; k++) { /* big-endian, twice */
            v.blob[32 * i + 8 + k]  = (uint8_t)(word >> (56 - 8 * k));
            v.blob[32 * i + 24 + k] = (uint8_t)(word >> (56 - 8 * k));
        }
    }
    coh_test_decode(v.commitment, sizeof(v.commitment), commitment_hex);
    coh_test_decode(v.proof, sizeof(v.proof), proof_hex);
    for (size_t i = 0; i < COH_KZG_CELL_CNT; i++) {
        coh_test_decode(v.cell_proofs + i * COH_KZG_POINT_SZ, COH_KZG_POINT_SZ, cell_proofs_hex[i]);
    }
    coh_test_decode(v.hash.b, sizeof(v.hash.b), versioned_hash_hex);
    v.infinity[0] = 0xc0;
    return 0;
}

/* What to put together; all zero but where a case says otherwise: one blob, as it should be. */
typedef struct {
    bool cells;
    uint32_t blob_cnt;
    uint64_t version; /* with cells; 0: the right one */
    bool bad_hash;    /* of the transaction */
    bool bad_blob;    /* one bit of it */
    bool big_element; /* above the field's order */
    bool bad_proof;   /* another point of the group */
    bool no_point;    /* a proof that is none */
    bool missing_proof;
    bool missing_commitment;
    bool extra_blob; /* one more than there are commitments */
    bool short_blob;
    bool extra_item;   /* behind the proofs */
    bool bare;         /* the transaction alone */
    uint64_t blob_fee; /* 0: enough */
} case_t;

static void put_tx(coh_buf_t *out, case_t const *c)
{
    coh_buf_t hashes = COH_BUF_INIT;
    coh_hash_t hash  = v.hash;
    hash.b[31] ^= c->bad_hash ? 1 : 0;
    for (uint32_t i = 0; i < c->blob_cnt; i++) {
        coh_rlp_put_string(&hashes, hash.b, sizeof(hash.b));
    }
    coh_tx_t tx = {.type                 = COH_TX_BLOB,
                   .has_chain_id         = true,
                   .chain_id             = 1,
                   .nonce                = 4,
                   .gas_limit            = 21000,
                   .max_fee              = coh_u256(100),
                   .blob_cnt             = c->blob_cnt,
                   .blob_hashes          = coh_buf_bytes(&hashes),
                   .max_fee_per_blob_gas = coh_u256(c->blob_fee == UINT64_MAX ? 0 : 7)};
    uint8_t secret[32];
    coh_test_secret(secret, 3);
    assert_int_equal(coh_tx_sign(&tx, secret), COH_OK);
    coh_tx_encode(out, &tx);
    coh_buf_free(&hashes);
}

static void put_blobs(coh_buf_t *out, case_t const *c)
{
    size_t at = out->n;
    for (uint32_t i = 0; i < c->blob_cnt + (c->extra_blob ? 1 : 0); i++) {
        size_t from = out->n;
        coh_rlp_put_string(out, v.blob, sizeof(v.blob) - (c->short_blob ? 1 : 0));
        uint8_t *blob = out->p + from + 4; /* behind its header */
        blob[100] ^= c->bad_blob ? 1 : 0;
        blob[0] = c->big_element ? 0xff : blob[0];
    }
    coh_rlp_wrap_list(out, at);
}

static void put_proofs(coh_buf_t *out, case_t const *c)
{
    size_t at           = out->n;
    size_t each         = c->cells ? COH_KZG_CELL_CNT : 1;
    size_t cnt          = each * c->blob_cnt - (c->missing_proof ? 1 : 0);
    uint8_t const *from = c->cells ? v.cell_proofs : &v.proof[0];
    for (size_t i = 0; i < cnt; i++) {
        uint8_t const *proof = from + i % each * COH_KZG_POINT_SZ;
        if (i + 1 == cnt && c->bad_proof) {
            proof = v.commitment;
        }
        coh_rlp_put_string(out, c->no_point ? v.zeros : proof, COH_KZG_POINT_SZ);
    }
    coh_rlp_wrap_list(out, at);
}

static void put_network(coh_buf_t *out, case_t const *c, coh_bytes_t tx)
{
    coh_buf_put_u8(out, COH_TX_BLOB);
    coh_buf_put(out, tx.p + 1, tx.n - 1);
    if (c->cells) {
        coh_rlp_put_u64(out, c->version == 0 ? 1 : c->version);
    }
    put_blobs(out, c);
    size_t at = out->n;
    for (uint32_t i = 0; i < c->blob_cnt - (c->missing_commitment ? 1 : 0); i++) {
        coh_rlp_put_string(out, v.commitment, sizeof(v.commitment));
    }
    coh_rlp_wrap_list(out, at);
    put_proofs(out, c);
    if (c->extra_item) {
        coh_rlp_put_u64(out, 1);
    }
    coh_rlp_wrap_list(out, 1);
}

/* Submits it; returns the verdict. If it is good, the transaction alone must have come of it. */
static coh_tx_err_t submit_to(case_t const *given, uint32_t blob_max)
{
    case_t c                  = *given;
    c.blob_cnt                = c.blob_cnt == 0 ? 1 : c.blob_cnt;
    coh_recover_rules_t rules = {
        .check_static = true, .fork = COH_FORK_PRAGUE, .chain_id = 1, .blob_max = blob_max};
    coh_buf_t tx      = COH_BUF_INIT;
    coh_buf_t network = COH_BUF_INIT;
    put_tx(&tx, &c);
    put_network(&network, &c, coh_buf_bytes(&tx));
    coh_recoverq_t *q      = coh_recoverq_new(4, NULL, NULL, NULL);
    coh_recover_job_t *job = coh_recover_job_new(1, &rules);
    assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(c.bare ? &tx : &network)), COH_OK);
    assert_int_equal(coh_recoverq_push(q, job), COH_OK);
    assert_true(coh_recoverq_work(q));
    assert_ptr_equal(coh_recoverq_pop(q), job);
    coh_tx_err_t err = job->results[0].err;
    if (err == COH_TX_OK) {
        coh_addr_t sender = coh_test_secret_addr(3);
        assert_true(coh_addr_eq(&job->results[0].sender, &sender));
        assert_int_equal(job->txs[0].raw.n, tx.n);
        assert_memory_equal(job->txs[0].raw.p, tx.p, tx.n);
        assert_int_equal(job->txs[0].blob_cnt, c.blob_cnt);
    }
    coh_recover_job_free(job);
    coh_recoverq_free(q);
    coh_buf_free(&tx);
    coh_buf_free(&network);
    return err;
}

static coh_tx_err_t submit(case_t const *c) { return submit_to(c, 6); }
#define SUBMIT(...) submit(&(case_t){__VA_ARGS__})

static void sidecar_passes_with_proofs_of_both_kinds(void **state)
{
    (void)state;
    for (int cells = 0; cells < 2; cells++) {
        assert_int_equal(SUBMIT(.cells = cells), COH_TX_OK);
        assert_int_equal(SUBMIT(.cells = cells, .blob_cnt = 6), COH_TX_OK);
    }
}

static void sidecar_must_be_there_whole(void **state)
{
    (void)state;
    assert_int_equal(SUBMIT(.bare = true), COH_TX_BLOB_SIDECAR_NONE);
    for (int cells = 0; cells < 2; cells++) {
        assert_int_equal(SUBMIT(.cells = cells, .missing_proof = true), COH_TX_BLOB_SIDECAR);
        assert_int_equal(SUBMIT(.cells = cells, .blob_cnt = 2, .missing_commitment = true),
                         COH_TX_BLOB_SIDECAR);
        assert_int_equal(SUBMIT(.cells = cells, .extra_blob = true), COH_TX_BLOB_SIDECAR);
        assert_int_equal(SUBMIT(.cells = cells, .short_blob = true), COH_TX_BLOB_SIDECAR);
        assert_int_equal(SUBMIT(.cells = cells, .extra_item = true), COH_TX_MALFORMED);
    }
    assert_int_equal(SUBMIT(.cells = true, .version = 2), COH_TX_MALFORMED);
}

static void sidecar_must_be_of_the_transaction(void **state)
{
    (void)state;
    for (int cells = 0; cells < 2; cells++) {
        assert_int_equal(SUBMIT(.cells = cells, .bad_hash = true), COH_TX_BLOB_HASH);
        assert_int_equal(SUBMIT(.cells = cells, .blob_cnt = 2, .bad_proof = true),
                         COH_TX_BLOB_PROOF);
        assert_int_equal(SUBMIT(.cells = cells, .bad_blob = true), COH_TX_BLOB_PROOF);
        assert_int_equal(SUBMIT(.cells = cells, .big_element = true), COH_TX_BLOB_PROOF);
        assert_int_equal(SUBMIT(.cells = cells, .no_point = true), COH_TX_BLOB_PROOF);
    }
}

/* The rules of any transaction come first, and those of the fork's blobs. */
static void sidecar_is_not_looked_at_if_the_transaction_is_refused(void **state)
{
    (void)state;
    assert_int_equal(submit_to(&(case_t){.blob_cnt = 4, .bad_proof = true}, 3), COH_TX_BLOB_CNT);
    assert_int_equal(SUBMIT(.bad_proof = true, .blob_fee = UINT64_MAX), COH_TX_BLOB_FEE_TOO_LOW);
    coh_recover_rules_t rules = {.check_static = true, .fork = COH_FORK_PRAGUE, .chain_id = 1};
    coh_recover_job_t *job    = coh_recover_job_new(1, &rules);
    uint8_t *large            = calloc(1, COH_TX_NETWORK_MAX + 1);
    assert_non_null(large);
    large[0] = COH_TX_BLOB;
    assert_int_equal(coh_recover_job_add(job, coh_bytes(large, COH_TX_NETWORK_MAX + 1)),
                     COH_ETOOBIG);
    large[0] = COH_TX_DYNAMIC_FEE;
    assert_int_equal(coh_recover_job_add(job, coh_bytes(large, COH_TX_RAW_MAX + 1)), COH_ETOOBIG);
    coh_recover_job_free(job);
    free(large);
}

/* No part of it makes the reader leave its bounds (asan), or passes. */
static void sidecar_truncated_is_malformed(void **state)
{
    (void)state;
    case_t c       = {.blob_cnt = 1};
    coh_buf_t tx   = COH_BUF_INIT;
    coh_buf_t full = COH_BUF_INIT;
    put_tx(&tx, &c);
    put_network(&full, &c, coh_buf_bytes(&tx));
    for (size_t n = 0; n < full.n; n += n < 300 || n + 300 > full.n ? 1 : 4001) {
        uint8_t *part = malloc(n + 1);
        assert_non_null(part);
        memcpy(part, full.p, n);
        coh_sidecar_t s;
        assert_int_equal(coh_sidecar_split(&s, coh_bytes(part, n)), COH_TX_MALFORMED);
        assert_false(coh_sidecar_is_network(coh_bytes(part, n)));
        free(part);
    }
    coh_sidecar_t s;
    assert_int_equal(coh_sidecar_split(&s, coh_buf_bytes(&full)), COH_TX_OK);
    assert_false(coh_sidecar_is_network(coh_buf_bytes(&tx)));
    coh_buf_free(&tx);
    coh_buf_free(&full);
}

/* The blob of zeros, whose commitment and proofs are the point at infinity. */
static void kzg_verifies_a_batch_of_blobs(void **state)
{
    (void)state;
    uint8_t *blobs = calloc(2, COH_KZG_BLOB_SZ);
    uint8_t points[2][COH_KZG_POINT_SZ];
    uint8_t(*cells)[PROOFS_SZ] = calloc(2, sizeof(*cells));
    assert_non_null(blobs);
    assert_non_null(cells);
    memcpy(blobs, v.blob, sizeof(v.blob));
    memcpy(points[0], v.commitment, sizeof(points[0]));
    memcpy(points[1], v.infinity, sizeof(points[1]));
    uint8_t proofs[2][COH_KZG_POINT_SZ];
    memcpy(proofs[0], v.proof, sizeof(proofs[0]));
    memcpy(proofs[1], v.infinity, sizeof(proofs[1]));
    memcpy(cells[0], v.cell_proofs, PROOFS_SZ);
    for (size_t i = 0; i < COH_KZG_CELL_CNT; i++) {
        memcpy(cells[1] + i * COH_KZG_POINT_SZ, v.infinity, COH_KZG_POINT_SZ);
    }
    assert_int_equal(coh_kzg_verify_blobs(blobs, points[0], proofs[0], 2), COH_OK);
    assert_int_equal(coh_kzg_verify_cells(blobs, points[0], cells[0], 2), COH_OK);
    blobs[COH_KZG_BLOB_SZ + 31] = 1;
    assert_int_equal(coh_kzg_verify_blobs(blobs, points[0], proofs[0], 2), COH_EMISMATCH);
    assert_int_equal(coh_kzg_verify_cells(blobs, points[0], cells[0], 2), COH_EMISMATCH);
    blobs[COH_KZG_BLOB_SZ] = 0xff;
    assert_int_equal(coh_kzg_verify_blobs(blobs, points[0], proofs[0], 2), COH_EMALFORMED);
    assert_int_equal(coh_kzg_verify_cells(blobs, points[0], cells[0], 2), COH_EMALFORMED);
    free(blobs);
    free(cells);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(sidecar_passes_with_proofs_of_both_kinds),
        cmocka_unit_test(sidecar_must_be_there_whole),
        cmocka_unit_test(sidecar_must_be_of_the_transaction),
        cmocka_unit_test(sidecar_is_not_looked_at_if_the_transaction_is_refused),
        cmocka_unit_test(sidecar_truncated_is_malformed),
        cmocka_unit_test(kzg_verifies_a_batch_of_blobs),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}
