/* bench_rpc: native transfers through JSON-RPC, in batches, until every receipt is there. Any node will do that has the ten accounts which development tools know funded
   and unused: Cohort on the genesis that tests/peers/genesis.mjs prints, or another implementation.

   usage: bench_rpc HOST PORT CHAIN_ID [COUNT [BATCH [CONNECTIONS]]]

   All is signed before the clock starts. Each connection has accounts of its own; it hands a batch in, waits for the answer, and goes on; behind by a few batches it asks
   for the receipts, again until all are there. Prints one line of JSON. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/codec/tx.h"
#include "common/crypto/keccak.h"
#include "coordinator/gateway/rpc_json.h"
#include "tests/support/data.h"

#define KEY_CNT    10u
#define BEHIND     12u /* batches handed in whose receipts are not asked for yet */
#define GAS_PRICE  UINT64_C(20000000000)
#define ANSWER_MAX (64u << 20)

/* m/44'/60'/0'/0/i of "test test test test test test test test test test test junk" */
static char const *const keys[KEY_CNT] = {
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
};

typedef struct {
    char const *host;
    uint16_t port;
    uint32_t batch_cnt;
    coh_buf_t *submits;  /* one HTTP request each; owned */
    coh_buf_t *receipts; /* the same */
    uint32_t *sizes;     /* transactions in each */
    uint32_t accepted;
    uint32_t succeeded;
    uint32_t polls;
    coh_buf_t answer;
} lane_t;

static uint32_t count(coh_buf_t const *text, char const *what)
{
    uint32_t n     = 0;
    size_t len     = strlen(what);
    uint8_t *end   = text->p + text->n;
    uint8_t *found = text->p;
    while ((found = memmem(found, (size_t)(end - found), what, len)) != NULL) {
        n++;
        found += len;
    }
    return n;
}

/* A transaction that is refused would be waited for in vain. */
static void stop_on_error(coh_buf_t const *answer)
{
    char const *error = memmem(answer->p, answer->n, "\"error\"", 7);
    if (error != NULL) {
        fprintf(stderr,
                "refused: %.*s\n",
                (int)COH_MIN((size_t)((char const *)answer->p + answer->n - error), (size_t)300),
                error);
        exit(1);
    }
}

/* exchange sends one request and reads its answer's body, as Content-Length says. */
static void exchange(lane_t *lane, int fd, coh_buf_t const *request)
{
    for (size_t at = 0; at < request->n;) {
        ssize_t n = send(fd, request->p + at, request->n - at, MSG_NOSIGNAL);
        COH_ASSERT(n > 0);
        at += (size_t)n;
    }
    coh_buf_t *a = &lane->answer;
    size_t total = SIZE_MAX;
    coh_buf_clear(a);
    while (a->n < total) {
        coh_buf_grow(a, 1 << 20);
        ssize_t n = recv(fd, a->p + a->n, a->cap - a->n, 0);
        COH_ASSERT(n > 0 && a->n < ANSWER_MAX);
        a->n += (size_t)n;
        uint8_t *body = memmem(a->p, a->n, "\r\n\r\n", 4);
        if (total == SIZE_MAX && body != NULL) {
            uint8_t *length = memmem(a->p, (size_t)(body - a->p), "ontent-", 7);
            while (length != NULL && strncasecmp((char *)length, "ontent-length:", 14) != 0) {
                length = memmem(length + 7, (size_t)(body - length) - 7, "ontent-", 7);
            }
            COH_ASSERT(length != NULL);
            total = (size_t)(body - a->p) + 4 + strtoul((char *)length + 14, NULL, 10);
        }
    }
}

static void *run(void *arg)
{
    lane_t *lane            = arg;
    int fd                  = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int const one           = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(lane->port)};
    COH_ASSERT(inet_pton(AF_INET, lane->host, &addr.sin_addr) == 1);
    COH_ASSERT(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    uint32_t got = 0; /* batches whose receipts are all there */
    for (uint32_t sent = 0; got < lane->batch_cnt;) {
        if (sent < lane->batch_cnt && sent - got < BEHIND) {
            exchange(lane, fd, &lane->submits[sent]);
            lane->accepted += count(&lane->answer, "\"result\":\"0x");
            stop_on_error(&lane->answer);
            sent++;
            continue;
        }
        exchange(lane, fd, &lane->receipts[got]);
        lane->polls++;
        if (count(&lane->answer, "\"effectiveGasPrice\"") == lane->sizes[got]) {
            lane->succeeded += count(&lane->answer, "\"status\":\"0x1\"");
            got++;
        } else {
            (void)usleep(5000);
        }
    }
    close(fd);
    return NULL;
}

/* put_request wraps a JSON body. */
static void put_request(coh_buf_t *out, coh_buf_t const *body)
{
    coh_buf_printf(out,
                   "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   body->n);
    coh_buf_put(out, body->p, body->n);
}

/* make_batch signs size transfers of one key, and writes both requests. */
static void make_batch(lane_t *lane,
                       uint32_t b,
                       uint32_t key,
                       uint64_t *nonce,
                       uint32_t size,
                       uint64_t chain_id)
{
    coh_buf_t secret   = COH_BUF_INIT;
    coh_buf_t submit   = COH_BUF_INIT;
    coh_buf_t receipts = COH_BUF_INIT;
    COH_ASSERT(coh_test_hex(&secret, keys[key]));
    for (uint32_t i = 0; i < size; i++) {
        coh_buf_t raw = COH_BUF_INIT;
        coh_tx_t tx   = {.type         = COH_TX_LEGACY,
                         .has_chain_id = true,
                         .chain_id     = chain_id,
                         .nonce        = (*nonce)++,
                         .gas_limit    = 21000,
                         .max_fee      = coh_u256(GAS_PRICE),
                         .max_tip      = coh_u256(GAS_PRICE),
                         .value        = coh_u256(1)};
        coh_store_u64_le(tx.to.b, coh_mix64(tx.nonce * KEY_CNT + key));
        tx.to.b[10]   = 1; /* no precompile */
        coh_err_t err = coh_tx_sign(&tx, secret.p);
        COH_ASSERT(err == COH_OK);
        coh_tx_encode(&raw, &tx);
        coh_hash_t hash;
        coh_keccak256(&hash, raw.p, raw.n);
        char const *sep = i == 0 ? "[" : ",";
        coh_buf_printf(
            &submit,
            "%s{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"eth_sendRawTransaction\",\"params\":[",
            sep,
            i);
        coh_rpc_put_data(&submit, raw.p, raw.n);
        coh_buf_printf(&submit, "]}");
        coh_buf_printf(&receipts,
                       "%s{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"eth_getTransactionReceipt\","
                       "\"params\":[",
                       sep,
                       i);
        coh_rpc_put_hash(&receipts, &hash);
        coh_buf_printf(&receipts, "]}");
        coh_buf_free(&raw);
    }
    coh_buf_put_u8(&submit, ']');
    coh_buf_put_u8(&receipts, ']');
    put_request(&lane->submits[b], &submit);
    put_request(&lane->receipts[b], &receipts);
    lane->sizes[b] = size;
    coh_buf_free(&secret);
    coh_buf_free(&submit);
    coh_buf_free(&receipts);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench_rpc HOST PORT CHAIN_ID [COUNT [BATCH [CONNECTIONS]]]\n");
        return 2;
    }
    uint64_t chain_id        = strtoull(argv[3], NULL, 10);
    uint32_t wanted          = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 40000;
    uint32_t batch           = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 200;
    uint32_t lane_cnt        = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 5;
    uint64_t nonces[KEY_CNT] = {0};
    COH_ASSERT(batch > 0 && lane_cnt > 0 && lane_cnt <= KEY_CNT);
    uint32_t batches = COH_MAX(wanted / batch / lane_cnt, 1u);
    lane_t *lanes    = coh_calloc(lane_cnt, sizeof(*lanes));
    for (uint32_t l = 0; l < lane_cnt; l++) {
        lanes[l] = (lane_t){
            .host = argv[1], .port = (uint16_t)strtoul(argv[2], NULL, 10), .batch_cnt = batches};
        lanes[l].submits  = coh_calloc(batches, sizeof(coh_buf_t));
        lanes[l].receipts = coh_calloc(batches, sizeof(coh_buf_t));
        lanes[l].sizes    = coh_calloc(batches, sizeof(uint32_t));
        for (uint32_t b = 0; b < batches; b++) {
            uint32_t key =
                l + lane_cnt * (b % (KEY_CNT / lane_cnt)); /* accounts of its own, by turns */
            make_batch(&lanes[l], b, key, &nonces[key], batch, chain_id);
        }
    }
    pthread_t *threads = coh_calloc(lane_cnt, sizeof(*threads));
    uint64_t start_us  = coh_clock_mono_us();
    for (uint32_t l = 0; l < lane_cnt; l++) {
        COH_ASSERT(pthread_create(&threads[l], NULL, run, &lanes[l]) == 0);
    }
    uint32_t accepted  = 0;
    uint32_t succeeded = 0;
    uint32_t polls     = 0;
    for (uint32_t l = 0; l < lane_cnt; l++) {
        COH_ASSERT(pthread_join(threads[l], NULL) == 0);
        accepted += lanes[l].accepted;
        succeeded += lanes[l].succeeded;
        polls += lanes[l].polls;
    }
    double seconds = (double)(coh_clock_mono_us() - start_us) / 1e6;
    uint32_t total = batches * batch * lane_cnt;
    printf("{\"bench\":\"rpc\",\"transfers\":%u,\"batch\":%u,\"connections\":%u,\"accepted\":%u,"
           "\"succeeded\":%u,"
           "\"receipt_polls\":%u,\"seconds\":%.3f,\"per_s\":%.0f}\n",
           total,
           batch,
           lane_cnt,
           accepted,
           succeeded,
           polls,
           seconds,
           total / seconds);
    for (uint32_t l = 0; l < lane_cnt; l++) {
        for (uint32_t b = 0; b < batches; b++) {
            coh_buf_free(&lanes[l].submits[b]);
            coh_buf_free(&lanes[l].receipts[b]);
        }
        free(lanes[l].submits);
        free(lanes[l].receipts);
        free(lanes[l].sizes);
        coh_buf_free(&lanes[l].answer);
    }
    free(threads);
    free(lanes);
    return accepted == total && succeeded == total ? 0 : 1;
}
