/* The queue of sender recovery: results against signing keys, chunks, its bound, and several workers at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/crypto/keccak.h"
#include "common/node/recover.h"
#include "tests/support/ids.h"
#include "tests/support/txgen.h"

static coh_recover_rules_t const rules = {.check_static = true,
                                          .fork         = COH_FORK_SHANGHAI,
                                          .chain_id     = 1337};

static void sign(coh_buf_t *out, uint32_t who, uint64_t nonce, uint64_t chain_id)
{
    coh_tx_t tx = {
        .type         = COH_TX_DYNAMIC_FEE,
        .has_chain_id = true,
        .chain_id     = chain_id,
        .nonce        = nonce,
        .gas_limit    = 21000,
        .max_fee      = coh_u256(1000),
        .value        = coh_u256(5),
    };
    uint8_t secret[32];
    coh_test_secret(secret, who);
    assert_int_equal(coh_tx_sign(&tx, secret), COH_OK);
    coh_buf_clear(out);
    coh_tx_encode(out, &tx);
}

/* cnt transactions of keys 1..200 by turns, from nonce first. */
static coh_recover_job_t *make_job(uint32_t cnt, uint64_t first)
{
    coh_recover_job_t *job = coh_recover_job_new(cnt, &rules);
    coh_buf_t raw          = COH_BUF_INIT;
    for (uint32_t i = 0; i < cnt; i++) {
        sign(&raw, (uint32_t)((first + i) % 200), first + i, 1337);
        assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(&raw)), COH_OK);
    }
    job->tag = first;
    coh_buf_free(&raw);
    return job;
}

static void check_job(coh_recover_job_t const *job)
{
    for (uint32_t i = 0; i < job->cnt; i++) {
        assert_int_equal(job->results[i].err, COH_TX_OK);
        coh_addr_t want = coh_test_secret_addr((uint32_t)((job->tag + i) % 200));
        assert_memory_equal(job->results[i].sender.b, want.b, 20);
        coh_bytes_t raw = coh_recover_job_raw(job, i);
        coh_hash_t hash;
        coh_keccak256(&hash, raw.p, raw.n);
        assert_memory_equal(job->results[i].hash.b, hash.b, 32);
        assert_int_equal(job->txs[i].nonce, job->tag + i);
    }
}

static void recover_finds_senders_chunk_by_chunk(void **state)
{
    (void)state;
    coh_recoverq_t *q = coh_recoverq_new(1000, NULL, NULL, NULL);
    assert_false(coh_recoverq_work(q));
    assert_null(coh_recoverq_pop(q));
    assert_int_equal(coh_recoverq_push(q, make_job(COH_RECOVER_CHUNK * 2 + 1, 7)), COH_OK);
    assert_int_equal(coh_recoverq_tx_cnt(q), COH_RECOVER_CHUNK * 2 + 1);
    assert_true(coh_recoverq_work(q));
    assert_true(coh_recoverq_work(q));
    assert_null(coh_recoverq_pop(q));
    assert_true(coh_recoverq_work(q));
    assert_false(coh_recoverq_work(q));
    coh_recover_job_t *job = coh_recoverq_pop(q);
    assert_non_null(job);
    check_job(job);
    assert_int_equal(coh_recoverq_tx_cnt(q), 0);
    coh_recover_job_free(job);
    coh_recoverq_free(q);
}

static void recover_gives_each_transaction_its_own_error(void **state)
{
    (void)state;
    coh_buf_t raw          = COH_BUF_INIT;
    coh_recover_job_t *job = coh_recover_job_new(4, &rules);
    sign(&raw, 9, 0, 1337);
    assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(&raw)), COH_OK);
    assert_int_equal(coh_recover_job_add(job, coh_bytes(raw.p, raw.n - 1)), COH_OK);
    sign(&raw, 9, 0, 1);
    assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(&raw)), COH_OK);
    assert_int_equal(coh_recover_job_add(job, coh_bytes(NULL, 0)), COH_OK);
    assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(&raw)), COH_ETOOBIG); /* full */
    coh_recoverq_t *q = coh_recoverq_new(4, NULL, NULL, NULL);
    assert_int_equal(coh_recoverq_push(q, job), COH_OK);
    while (coh_recoverq_work(q)) {
    }
    assert_ptr_equal(coh_recoverq_pop(q), job);
    assert_int_equal(job->results[0].err, COH_TX_OK);
    assert_int_equal(job->results[1].err, COH_TX_MALFORMED);
    assert_int_equal(job->results[2].err, COH_TX_CHAIN_ID);
    assert_int_equal(job->results[3].err, COH_TX_MALFORMED);
    coh_recover_job_free(job);
    coh_recoverq_free(q);
    coh_buf_free(&raw);
}

static void recover_is_bounded_until_popped(void **state)
{
    (void)state;
    coh_recoverq_t *q    = coh_recoverq_new(3, NULL, NULL, NULL);
    coh_recover_job_t *b = make_job(2, 0);
    assert_int_equal(coh_recoverq_push(q, make_job(2, 0)), COH_OK);
    assert_int_equal(coh_recoverq_push(q, b), COH_EBUSY);
    assert_true(coh_recoverq_work(q));
    assert_int_equal(coh_recoverq_push(q, b), COH_EBUSY);
    coh_recover_job_free(coh_recoverq_pop(q));
    assert_int_equal(coh_recoverq_push(q, b), COH_OK);
    coh_recoverq_free(q); /* frees what it holds */
}

typedef struct {
    coh_recoverq_t *q;
    atomic_bool stop;
    atomic_uint done;
} crew_t;

static void on_done(void *arg)
{
    crew_t *crew = arg;
    atomic_fetch_add(&crew->done, 1);
}

static void *worker(void *arg)
{
    crew_t *crew = arg;
    while (!atomic_load(&crew->stop)) {
        if (!coh_recoverq_work(crew->q)) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void recover_works_with_many_threads(void **state)
{
    (void)state;
    crew_t crew = {0};
    crew.q      = coh_recoverq_new(10000, NULL, on_done, &crew);
    pthread_t threads[3];
    for (size_t i = 0; i < COH_CNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, worker, &crew), 0);
    }
    uint32_t const jobs = 12;
    for (uint32_t i = 0; i < jobs; i++) {
        assert_int_equal(coh_recoverq_push(crew.q, make_job(1 + i * 5, i * 1000)), COH_OK);
    }
    for (uint32_t got = 0; got < jobs;) {
        coh_recover_job_t *job = coh_recoverq_pop(crew.q);
        if (job == NULL) {
            (void)sched_yield();
            continue;
        }
        check_job(job);
        coh_recover_job_free(job);
        got++;
    }
    atomic_store(&crew.stop, true);
    for (size_t i = 0; i < COH_CNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crew.done), jobs);
    coh_recoverq_free(crew.q);
}

/* A submission of nothing but empty strings: there is no memory to point into. */
static void recover_takes_a_job_of_empty_transactions(void **state)
{
    (void)state;
    coh_recover_rules_t no_rules = {.check_static = false};
    coh_recover_job_t *job       = coh_recover_job_new(2, &no_rules);
    assert_int_equal(coh_recover_job_add(job, coh_bytes(NULL, 0)), COH_OK);
    assert_int_equal(coh_recover_job_add(job, coh_bytes(NULL, 0)), COH_OK);
    coh_recover_job_decode(job, 0, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(coh_recover_job_raw(job, i).n, 0);
        assert_int_equal(job->results[i].err, COH_TX_MALFORMED);
    }
    coh_recover_job_free(job);
}

static coh_recover_job_t *job_of(coh_recover_rules_t const *job_rules, coh_bytes_t raw)
{
    coh_recover_job_t *job = coh_recover_job_new(1, job_rules);
    assert_int_equal(coh_recover_job_add(job, raw), COH_OK);
    return job;
}

/* All types run, if the fork has them. A blob transaction comes with its blobs (test_sidecar); another rank that only recovers senders decodes it as it is. */
static void recover_takes_all_types(void **state)
{
    (void)state;
    coh_txgen_t *gen              = coh_txgen_new();
    coh_recover_rules_t admission = {
        .check_static = true, .fork = COH_FORK_OSAKA, .chain_id = 1, .blob_max = 6};
    coh_recover_rules_t before = {
        .check_static = true, .fork = COH_FORK_SHANGHAI, .chain_id = 1, .blob_max = 0};
    coh_recover_rules_t bare      = {.check_static = false};
    coh_recover_rules_t elsewhere = {
        .check_static = true, .fork = COH_FORK_OSAKA, .chain_id = 2, .blob_max = 6};
    coh_recoverq_t *q     = coh_recoverq_new(10, NULL, NULL, NULL);
    coh_txgen_auth_t auth = {.key = 2, .chain_id = 1};
    for (int type = COH_TX_LEGACY; type < COH_TX_TYPE_CNT; type++) {
        coh_txgen_spec_t spec = {
            .key                  = 1,
            .type                 = (coh_tx_type_t)type,
            .chain_id             = 1,
            .gas_limit            = 100000,
            .max_fee              = coh_u256(1000),
            .to                   = {{0x35}},
            .max_fee_per_blob_gas = coh_u256(1),
            .blob_cnt             = 1,
            .auths                = &auth,
            .auth_cnt             = 1,
        };
        coh_txgen_tx_t const *tx = coh_txgen_make(gen, &spec);
        struct {
            coh_recover_rules_t const *rules;
            coh_tx_err_t want;
        } const cases[] = {
            {&admission, type == COH_TX_BLOB ? COH_TX_BLOB_SIDECAR_NONE : COH_TX_OK},
            {&before, type > COH_TX_DYNAMIC_FEE ? COH_TX_TYPE_UNSUPPORTED : COH_TX_OK},
            {&bare, COH_TX_OK},
            {&elsewhere, COH_TX_CHAIN_ID},
        };
        for (size_t i = 0; i < COH_CNT(cases); i++) {
            coh_recover_job_t *job = job_of(cases[i].rules, tx->raw);
            coh_recover_job_decode(job, 0, 1);
            assert_int_equal(job->results[0].err, cases[i].want);
            coh_recover_job_free(job);
            /* Whatever becomes of it, it is told of by its hash. */
            assert_int_equal(coh_recoverq_push(q, job_of(cases[i].rules, tx->raw)), COH_OK);
            assert_true(coh_recoverq_work(q));
            job = coh_recoverq_pop(q);
            assert_int_equal(job->results[0].err, cases[i].want);
            assert_memory_equal(job->results[0].hash.b, tx->hash.b, sizeof(tx->hash.b));
            coh_recover_job_free(job);
        }
    }
    coh_recoverq_free(q);
    coh_txgen_free(gen);
}

/* Who signed the authorizations is found along with the sender, and what another rank has found survives the decoding here. */
static void recover_finds_authorities(void **state)
{
    (void)state;
    coh_txgen_t *gen         = coh_txgen_new();
    coh_recoverq_t *q        = coh_recoverq_new(10, NULL, NULL, NULL);
    coh_recover_rules_t bare = {.check_static = false};
    coh_txgen_auth_t auths[] = {{.key = 2, .chain_id = 1}, {.key = 7, .nonce = 3}};
    coh_txgen_spec_t spec    = {.key       = 1,
                                .type      = COH_TX_SET_CODE,
                                .chain_id  = 1,
                                .gas_limit = 71000,
                                .max_fee   = coh_u256(1000),
                                .to        = {{0x35}},
                                .auths     = auths,
                                .auth_cnt  = 2};
    assert_int_equal(coh_recoverq_push(q, job_of(&bare, coh_txgen_make(gen, &spec)->raw)), COH_OK);
    assert_true(coh_recoverq_work(q));
    coh_recover_job_t *job = coh_recoverq_pop(q);
    coh_bytes_t found      = job->txs[0].authorities;
    coh_addr_t want[2]     = {coh_txgen_addr(gen, 2), coh_txgen_addr(gen, 7)};
    assert_int_equal(found.n, sizeof(want));
    assert_memory_equal(found.p, want, sizeof(want));

    coh_recover_job_t *other = job_of(&bare, coh_txgen_make(gen, &spec)->raw);
    coh_recover_job_set_authorities(other, 0, found);
    coh_recover_job_decode(other, 0, 1);
    assert_memory_equal(other->txs[0].authorities.p, want, sizeof(want));
    coh_recover_job_free(other);
    coh_recover_job_free(job);

    /* Nobody works for a transaction that does not pay for them. */
    spec.gas_limit = 49999;
    assert_int_equal(coh_recoverq_push(q, job_of(&bare, coh_txgen_make(gen, &spec)->raw)), COH_OK);
    assert_true(coh_recoverq_work(q));
    job = coh_recoverq_pop(q);
    assert_int_equal(job->results[0].err, COH_TX_OK);
    assert_int_equal(job->txs[0].authorities.n, 0);
    coh_recover_job_free(job);
    coh_recoverq_free(q);
    coh_txgen_free(gen);
}

/* A large one ends its chunk. */
static void recover_takes_large_ones_alone(void **state)
{
    (void)state;
    coh_recoverq_t *q      = coh_recoverq_new(10, NULL, NULL, NULL);
    coh_recover_job_t *job = coh_recover_job_new(4, &rules);
    static uint8_t large[COH_RECOVER_CHUNK_BYTES];
    coh_buf_t raw = COH_BUF_INIT;
    sign(&raw, 1, 0, 1337);
    assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(&raw)), COH_OK);
    assert_int_equal(coh_recover_job_add(job, coh_bytes(large, sizeof(large))), COH_OK);
    assert_int_equal(coh_recover_job_add(job, coh_buf_bytes(&raw)), COH_OK);
    assert_int_equal(coh_recoverq_push(q, job), COH_OK);
    assert_true(coh_recoverq_work(q));
    assert_null(coh_recoverq_pop(q));
    assert_true(coh_recoverq_work(q));
    assert_ptr_equal(coh_recoverq_pop(q), job);
    assert_int_equal(job->results[1].err, COH_TX_MALFORMED);
    assert_int_equal(job->results[2].err, COH_TX_OK);
    coh_recover_job_free(job);
    coh_buf_free(&raw);
    coh_recoverq_free(q);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(recover_takes_a_job_of_empty_transactions),
        cmocka_unit_test(recover_finds_senders_chunk_by_chunk),
        cmocka_unit_test(recover_gives_each_transaction_its_own_error),
        cmocka_unit_test(recover_takes_all_types),
        cmocka_unit_test(recover_finds_authorities),
        cmocka_unit_test(recover_takes_large_ones_alone),
        cmocka_unit_test(recover_is_bounded_until_popped),
        cmocka_unit_test(recover_works_with_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
