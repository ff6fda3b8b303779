/* Hostile input against real ranks: bytes on every socket, requests and transactions that are wrong in every way, and starts on directories that do
   not fit. Each must give a clear error; the node goes on, or refuses to start with a text and exit code 1. COHORT_TEST_SEED repeats the random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>

#include "common/base/hex.h"
#include "common/base/rng.h"
#include "tests/mpi/cluster.h"
#include "tests/support/seed.h"

#define SHARDS      2u
#define ACCOUNTS    20u
#define POOL_TX_MAX 64u

static coh_rng_t rng;
static coh_bench_accounts_t accounts;
static coh_test_cluster_t cluster;

static void random_bytes(coh_buf_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        coh_buf_put_u8(out, (uint8_t)coh_rng_next(&rng));
    }
}

/* The cluster answers and its ranks are all there. */
static void assert_alive(void)
{
    coh_client_t *client          = coh_test_client(&cluster, 10000);
    coh_op_head_request_t request = {0};
    coh_op_head_answer_t head;
    coh_err_t err = coh_client_head(client, &head, &request);
    if (err != COH_OK) {
        char *log = coh_test_cluster_log(&cluster);
        fail_msg("no answer any more: %s\n%s", coh_err_str(err), log);
    }
    coh_client_close(client);
    assert_false(coh_test_cluster_crashed(&cluster));
}

static int start_cluster(void **state)
{
    (void)state;
    static char const *const options[] = {"--pool-tx-max 64", "--block-interval-ms 5", NULL};
    uint64_t seed                      = coh_test_seed();
    coh_rng_seed(&rng, seed);
    coh_bench_accounts_new(&accounts, 1, ACCOUNTS, 2);
    coh_test_cluster_init(&cluster, SHARDS, &accounts);
    memcpy(cluster.options, options, sizeof(options));
    coh_test_cluster_start(&cluster);
    if (coh_test_cluster_wait_ready(&cluster) < 0) {
        char *log = coh_test_cluster_log(&cluster);
        print_error("not ready\n%s\n", log);
        free(log);
        return -1;
    }
    return 0;
}

static int stop_cluster(void **state)
{
    (void)state;
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
    return 0;
}

/* ---- Bytes on sockets ------------------------------------------------------------------------------------------------------- */

static int port_of(char const *addr) { return atoi(strrchr(addr, ':') + 1); }

static void hostile_garbage_on_tcp_ports(void **state)
{
    (void)state;
    /* nanomsg's handshake: protocol REQ. Then a length that is far too large, or a frame that ends early. */
    static uint8_t const huge[] = {
        0, 'S', 'P', 0, 0, 48, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static uint8_t const early[] = {0, 'S', 'P', 0, 0, 48, 0,    0, 0, 0,
                                    0, 0,   0,   0, 1, 0,  0x80, 0, 0, 1};
    int const ports[]            = {port_of(cluster.requests),
                                    port_of(cluster.publications),
                                    cluster.status_port,
                                    cluster.status_port + 1,
                                    cluster.status_port + 2};
    for (size_t i = 0; i < COH_CNT(ports); i++) {
        assert_true(coh_test_tcp(ports[i], coh_bytes(huge, sizeof(huge))));
        assert_true(coh_test_tcp(ports[i], coh_bytes(early, sizeof(early))));
        assert_true(coh_test_tcp(ports[i], coh_bytes(NULL, 0)));
        for (int round = 0; round < 50; round++) {
            coh_buf_t bytes = COH_BUF_INIT;
            if (coh_rng_percent(&rng, 50)) {
                coh_buf_put(&bytes, huge, 8); /* a good handshake first */
            }
            random_bytes(&bytes, coh_rng_below(&rng, 4000));
            assert_true(coh_test_tcp(ports[i], coh_buf_bytes(&bytes)));
            coh_buf_free(&bytes);
        }
        assert_alive();
    }
}

static void hostile_http_requests(void **state)
{
    (void)state;
    static struct {
        char const *request;
        int status;
    } const cases[] = {
        {"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404},
        {"DELETE /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405},
        {"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404},
        {"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        assert_int_equal(
            coh_test_http(&cluster, coh_bytes(cases[i].request, strlen(cases[i].request))),
            cases[i].status);
    }
    assert_alive();
}

/* Sends one request body as it is and returns the code of the answer; every request has one. */
static int64_t raw_request(int sock, coh_bytes_t body)
{
    assert_int_equal(nn_send(sock, body.p, body.n, 0), body.n);
    void *data = NULL;
    int n      = nn_recv(sock, &data, NN_MSG, 0);
    if (n < 0) {
        fail_msg("no answer to a request of %zu bytes: %s", body.n, nn_strerror(nn_errno()));
    }
    coh_op_reader_t *reader = coh_op_reader_new();
    coh_op_answer_t answer;
    assert_int_equal(coh_op_read_answer(reader, &answer, COH_OP_HEAD, coh_bytes(data, (size_t)n)),
                     COH_OK);
    if (answer.err != COH_OK) {
        assert_true(answer.text.n > 0);
    }
    coh_op_reader_free(reader);
    nn_freemsg(data);
    return answer.err;
}

static void hostile_request_bodies(void **state)
{
    (void)state;
    int sock     = nn_socket(AF_SP, NN_REQ);
    int patience = 10000;
    assert_true(sock >= 0 && nn_connect(sock, cluster.requests) >= 0);
    assert_int_equal(nn_setsockopt(sock, NN_SOL_SOCKET, NN_RCVTIMEO, &patience, sizeof(patience)),
                     0);

    coh_buf_t body = COH_BUF_INIT;
    assert_int_not_equal(raw_request(sock, coh_bytes("", 0)), COH_OK);
    for (int i = 0; i < 200000; i++) {
        coh_buf_put_u8(&body, 0x91); /* an array in an array in an array... */
    }
    assert_int_not_equal(raw_request(sock, coh_buf_bytes(&body)), COH_OK);
    /* Arrays, maps, strings and bytes that claim 2^32-1 members; as the request, and as SUBMIT's list. */
    static uint8_t const kinds[] = {0xdd, 0xdf, 0xdb, 0xc6, 0xc9};
    for (size_t i = 0; i < COH_CNT(kinds); i++) {
        uint8_t const whole[]  = {kinds[i], 0xff, 0xff, 0xff, 0xff, 0};
        uint8_t const inner[]  = {0x92, 1, kinds[i], 0xff, 0xff, 0xff, 0xff, 0};
        uint8_t const member[] = {0x92, 1, 0x91, kinds[i], 0xff, 0xff, 0xff, 0xff, 0};
        assert_int_not_equal(raw_request(sock, coh_bytes(whole, sizeof(whole))), COH_OK);
        assert_int_not_equal(raw_request(sock, coh_bytes(inner, sizeof(inner))), COH_OK);
        assert_int_not_equal(raw_request(sock, coh_bytes(member, sizeof(member))), COH_OK);
    }
    /* Every beginning of a good request, and the good request with one byte more. */
    coh_addr_t addrs[3]            = {accounts.v[0].addr, accounts.v[1].addr, accounts.coinbase};
    coh_op_accounts_request_t good = {.addrs = {.v = addrs, .cnt = 3}};
    coh_buf_clear(&body);
    coh_op_put_accounts_request(&body, &good);
    for (size_t n = 0; n < body.n; n++) {
        assert_int_not_equal(raw_request(sock, coh_bytes(body.p, n)), COH_OK);
    }
    coh_buf_put_u8(&body, 0xc0);
    assert_int_not_equal(raw_request(sock, coh_buf_bytes(&body)), COH_OK);
    for (int round = 0; round < 300; round++) {
        coh_buf_clear(&body);
        if (coh_rng_percent(&rng,
                            70)) { /* the outer shape of a request, so that more is looked at */
            coh_buf_put_u8(&body, (uint8_t)(0x90 + coh_rng_below(&rng, 4)));
            coh_buf_put_u8(&body, (uint8_t)coh_rng_below(&rng, 9));
        }
        random_bytes(&body, coh_rng_below(&rng, 300));
        void *data = NULL;
        assert_int_equal(nn_send(sock, body.p, body.n, 0), body.n);
        assert_true(nn_recv(sock, &data, NN_MSG, 0) > 0);
        nn_freemsg(data);
    }
    coh_buf_free(&body);
    nn_close(sock);
    assert_alive();
}

/* ---- Transactions ----------------------------------------------------------------------------------------------------------- */

/* A transfer from account 0 to account 1 that would be taken. */
static coh_tx_t good_tx(uint64_t nonce)
{
    return (coh_tx_t){
        .type         = COH_TX_DYNAMIC_FEE,
        .has_chain_id = true,
        .chain_id     = COH_BENCH_CHAIN_ID,
        .nonce        = nonce,
        .gas_limit    = 21000,
        .max_fee      = coh_bench_max_fee(),
        .max_tip      = coh_bench_max_tip(),
        .value        = coh_u256(1),
        .to           = accounts.v[1].addr,
    };
}

static coh_tx_err_t submit_raw(coh_client_t *client, coh_bytes_t raw)
{
    coh_op_submit_request_t request = {.raws = {.v = &raw, .cnt = 1}};
    coh_op_submit_answer_t answer;
    assert_int_equal(coh_client_submit(client, &answer, &request), COH_OK);
    assert_int_equal(answer.txs.cnt, 1);
    return (coh_tx_err_t)answer.txs.v[0].err;
}

static coh_tx_err_t submit(coh_client_t *client, coh_tx_t const *tx)
{
    coh_buf_t raw = COH_BUF_INIT;
    coh_tx_encode(&raw, tx);
    coh_tx_err_t err = submit_raw(client, coh_buf_bytes(&raw));
    coh_buf_free(&raw);
    return err;
}

static coh_tx_err_t sign_and_submit(coh_client_t *client, coh_tx_t *tx)
{
    assert_int_equal(coh_tx_sign(tx, accounts.v[0].secret), COH_OK);
    return submit(client, tx);
}

/* s of the other signature for the same digest: the group order minus s. */
static void raise_s(coh_tx_t *tx)
{
    uint8_t order[32];
    assert_int_equal(
        coh_hex_decode(
            order, 32, "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 64),
        COH_OK);
    coh_u256_t n = coh_u256_from_be(order, 32);
    coh_u256_t s = coh_u256_from_be(tx->s, 32);
    assert_false(coh_u256_sub(&s, &n, &s));
    coh_u256_to_be(tx->s, &s);
    tx->parity ^= 1;
}

static void wait_nonce(coh_client_t *client, uint64_t nonce)
{
    for (int i = 0; i < 1000; i++) {
        (void)coh_test_refresh(client, &accounts);
        if (accounts.v[0].nonce >= nonce) {
            return;
        }
        usleep(10000);
    }
    fail_msg("nonce %llu is not reached", (unsigned long long)nonce);
}

static void hostile_transactions(void **state)
{
    (void)state;
    coh_client_t *client = coh_test_client(&cluster, 10000);
    (void)coh_test_refresh(client, &accounts);
    uint64_t nonce = accounts.v[0].nonce;

    coh_tx_t tx = good_tx(nonce);
    tx.chain_id++;
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_CHAIN_ID);

    tx = good_tx(nonce);
    assert_int_equal(coh_tx_sign(&tx, accounts.v[0].secret), COH_OK);
    coh_tx_t forged = tx;
    raise_s(&forged);
    assert_int_equal(submit(client, &forged), COH_TX_SIGNATURE);
    forged = tx;
    memset(forged.r, 0, 32);
    assert_int_equal(submit(client, &forged), COH_TX_SIGNATURE);
    forged = tx;
    memset(forged.s, 0, 32);
    assert_int_equal(submit(client, &forged), COH_TX_SIGNATURE);
    forged = tx;
    memset(forged.r, 0xff, 32);
    assert_int_equal(submit(client, &forged), COH_TX_SIGNATURE);

    tx           = good_tx(nonce);
    tx.gas_limit = 20999;
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_INTRINSIC_GAS);
    tx         = good_tx(nonce);
    tx.max_tip = coh_u256(200000000000);
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_TIP_ABOVE_CAP);
    tx       = good_tx(nonce);
    tx.value = coh_bench_supply(&accounts);
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_FUNDS);
    tx       = good_tx(nonce);
    tx.value = (coh_u256_t){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_FEE_OVERFLOW);
    tx = good_tx(UINT64_MAX);
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_NONCE_MAX);

    tx = good_tx(nonce);
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_OK);
    wait_nonce(client, nonce + 1);
    tx       = good_tx(nonce);
    tx.value = coh_u256(2);
    assert_int_equal(sign_and_submit(client, &tx), COH_TX_NONCE_TOO_LOW);

    /* Bytes that are no transaction, and every beginning of one. */
    coh_buf_t raw = COH_BUF_INIT;
    tx            = good_tx(nonce + 1);
    assert_int_equal(coh_tx_sign(&tx, accounts.v[0].secret), COH_OK);
    coh_tx_encode(&raw, &tx);
    for (size_t n = 0; n < raw.n; n++) {
        assert_int_not_equal(submit_raw(client, coh_bytes(raw.p, n)), COH_TX_OK);
    }
    for (int round = 0; round < 200; round++) {
        coh_buf_clear(&raw);
        coh_buf_put_u8(&raw, (uint8_t)coh_rng_below(&rng, 5));
        random_bytes(&raw, 1 + coh_rng_below(&rng, 200));
        assert_int_not_equal(submit_raw(client, coh_buf_bytes(&raw)), COH_TX_OK);
    }
    coh_buf_free(&raw);
    coh_client_close(client);
    assert_alive();
}

static void hostile_full_pool(void **state)
{
    (void)state;
    coh_client_t *client = coh_test_client(&cluster, 10000);
    (void)coh_test_refresh(client, &accounts);
    uint64_t nonce = accounts.v[0].nonce;
    /* Behind a gap they wait, until the pool is full; what was refused is not taken. */
    coh_tx_err_t err = COH_TX_OK;
    uint64_t taken   = 0;
    while (err == COH_TX_OK) {
        assert_true(taken <= POOL_TX_MAX);
        coh_tx_t tx = good_tx(nonce + 1 + taken);
        err         = sign_and_submit(client, &tx);
        taken += err == COH_TX_OK;
    }
    assert_int_equal(err, COH_TX_POOL_FULL);
    assert_int_equal(taken, POOL_TX_MAX);
    /* Nothing of what was taken is lost: it is there after a full pool has been asked for more. */
    (void)coh_test_refresh(client, &accounts);
    assert_int_equal(accounts.v[0].nonce, nonce);
    coh_client_close(client);
    assert_alive();
}

/* ---- Starts ----------------------------------------------------------------------------------------------------------------- */

static void expect_refusal(coh_test_cluster_t *c, char const *word)
{
    coh_test_cluster_start(c);
    int code  = coh_test_cluster_wait(c);
    char *log = coh_test_cluster_log(c);
    if (code != 1 || strstr(log, word) == NULL || coh_test_cluster_crashed(c)) {
        fail_msg(
            "expected exit code 1 and a text with \"%s\"; got code %d and\n%s", word, code, log);
    }
    free(log);
}

static void hostile_second_process_on_the_directory(void **state)
{
    (void)state;
    coh_test_cluster_t second;
    coh_test_cluster_init(&second, SHARDS, &accounts);
    (void)snprintf(second.data, sizeof(second.data), "%s", cluster.data);
    expect_refusal(&second, "in use");
    coh_test_cluster_fini(&second);
    assert_alive();
}

static void hostile_other_genesis_and_layout(void **state)
{
    (void)state;
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    coh_test_cluster_t other;
    coh_bench_accounts_t strangers;
    coh_bench_accounts_new(&strangers, 2, ACCOUNTS, 2);
    coh_test_cluster_init(&other, SHARDS, &strangers);
    (void)snprintf(other.data, sizeof(other.data), "%s", cluster.data);
    expect_refusal(&other, "genesis");
    (void)snprintf(other.genesis, sizeof(other.genesis), "%s", cluster.genesis);
    other.shard_cnt = SHARDS + 1;
    expect_refusal(&other, "rank");
    coh_test_cluster_fini(&other);
    coh_bench_accounts_free(&strangers);

    /* The right ones are still welcome. */
    coh_test_cluster_start(&cluster);
    assert_true(coh_test_cluster_wait_ready(&cluster) >= 0);
    assert_alive();
}

/* Flips bytes in one file of a copy of the data: the ranks either refuse with a text, or come up with every wei in its place. */
static void hostile_damaged_data(void **state)
{
    (void)state;
    coh_client_t *client = coh_test_client(&cluster, 10000);
    coh_u256_t sum       = coh_test_refresh(client, &accounts);
    coh_client_close(client);
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);

    static char const *const patterns[] = {
        "*.log", "*.sst", "*.val", "MANIFEST*", "CURRENT", "genesis.json"};
    coh_test_cluster_t damaged;
    coh_test_cluster_init(&damaged, SHARDS, &accounts);
    int refused = 0;
    for (size_t i = 0; i < COH_CNT(patterns); i++) {
        for (uint32_t rank = 0; rank < 2; rank++) {
            coh_test_sh("rm -rf '%s' && cp -r '%s' '%s'", damaged.data, cluster.data, damaged.data);
            /* The middle of the largest such file of the rank; sixteen bytes. */
            coh_test_sh("f=$(find '%s/rank-%u' -name '%s' -size +0 -printf '%%s %%p\\n' | sort -n "
                        "| tail -n 1 | cut -d' ' -f2-); [ -z \"$f\" ] || "
                        "printf 'DAMAGED-DAMAGED-' | dd of=\"$f\" bs=1 seek=$(($(stat -c %%s "
                        "\"$f\") / 2)) conv=notrunc status=none",
                        damaged.data,
                        rank,
                        patterns[i]);
            coh_test_cluster_start(&damaged);
            int ready = coh_test_cluster_wait_ready(&damaged);
            assert_false(coh_test_cluster_crashed(&damaged));
            if (ready >= 0) {
                client         = coh_test_client(&damaged, 10000);
                coh_u256_t now = coh_test_refresh(client, &accounts);
                coh_client_close(client);
                assert_true(coh_u256_eq(&now, &sum));
                assert_int_equal(coh_test_cluster_stop(&damaged), 0);
                continue;
            }
            if (damaged.mpirun != 0) {
                char *log = coh_test_cluster_log(&damaged);
                fail_msg(
                    "%s of rank %u damaged: neither ready nor ended\n%s", patterns[i], rank, log);
            }
            char *log = coh_test_cluster_log(&damaged);
            assert_non_null(strstr(log, "lvl=error"));
            free(log);
            refused++;
        }
    }
    printf("%d of %zu damaged directories were refused, the rest came up whole\n",
           refused,
           2 * COH_CNT(patterns));
    assert_true(refused > 0);
    coh_test_cluster_fini(&damaged);
    coh_test_cluster_start(&cluster);
    assert_true(coh_test_cluster_wait_ready(&cluster) >= 0);
    assert_alive();
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(hostile_garbage_on_tcp_ports),
        cmocka_unit_test(hostile_http_requests),
        cmocka_unit_test(hostile_request_bodies),
        cmocka_unit_test(hostile_transactions),
        cmocka_unit_test(hostile_second_process_on_the_directory),
        cmocka_unit_test(hostile_other_genesis_and_layout),
        cmocka_unit_test(hostile_full_pool),
        cmocka_unit_test(hostile_damaged_data),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
