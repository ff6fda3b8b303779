/* bench_rpc: native or token transfers through JSON-RPC, in batches, until every receipt is there. Any node will do that has the ten accounts which development tools know funded
   and unused: Cohort on the genesis that tests/peers/genesis.mjs prints, or another implementation.

   usage: bench_rpc [--probe] HOST PORT CHAIN_ID [COUNT [BATCH [CONNECTIONS [all|last [CREATION]]]]]

   last: only the receipt of each batch's last transaction is asked for, which is there when all before it are, for they are of one sender. CREATION: a file with the hex
   digits of init code that makes an ERC-20 token and gives its supply to whom creates it; then transfers are of that token.

   --probe: one more connection asks for a balance, again and again, a millisecond after each answer: PROBE_IDLE times before the clock starts, and for as long as it runs.

   All is signed before the clock starts. Each connection has accounts of its own; it hands a batch in, waits for the answer, and goes on; behind by a few batches it asks
   for the receipts, again until all are there. Prints one line of JSON. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/codec/tx.h"
#include "common/crypto/keccak.h"
#include "coordinator/gateway/rpc_json.h"
#include "tests/support/data.h"
#include "tests/support/jsonrpc.h"

#define KEY_CNT   10u
#define BEHIND    12u /* batches handed in whose receipts are not asked for yet */
#define GAS_PRICE UINT64_C(20000000000)
#define SILENCE_S 120u
/* Balances asked for while nothing else is. */
#define PROBE_IDLE 500u

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
    uint32_t *sizes;     /* transactions in each... */
    uint32_t *waits;     /* ...and receipts asked for */
    uint32_t awaited;    /* receipts, of all */
    uint32_t accepted;
    uint32_t succeeded;
    uint32_t polls;
} lane_t;

/* A transaction that is refused would be waited for in vain. */
static void stop_on_error(coh_bytes_t answer)
{
    char const *error = memmem(answer.p, answer.n, "\"error\"", 7);
    if (error != NULL) {
        fprintf(stderr,
                "refused: %.*s\n",
                (int)COH_MIN((size_t)((char const *)answer.p + answer.n - error), (size_t)300),
                error);
        exit(1);
    }
}

static coh_test_rpc_t open_connection(lane_t const *lane)
{
    coh_test_rpc_t rpc;
    bool ok = coh_test_rpc_open(&rpc, lane->host, lane->port, SILENCE_S);
    COH_ASSERT(ok);
    return rpc;
}

static coh_bytes_t exchange(coh_test_rpc_t *rpc, coh_buf_t const *request)
{
    coh_bytes_t answer;
    bool ok = coh_test_rpc_exchange(rpc, &answer, coh_buf_bytes(request));
    COH_ASSERT(ok);
    return answer;
}

static void *run(void *arg)
{
    lane_t *lane       = arg;
    coh_test_rpc_t rpc = open_connection(lane);
    coh_bytes_t answer;
    uint32_t got = 0; /* batches whose receipts are all there */
    for (uint32_t sent = 0; got < lane->batch_cnt;) {
        if (sent < lane->batch_cnt && sent - got < BEHIND) {
            answer = exchange(&rpc, &lane->submits[sent]);
            lane->accepted += coh_test_count(answer, "\"result\":\"0x");
            stop_on_error(answer);
            sent++;
            continue;
        }
        answer = exchange(&rpc, &lane->receipts[got]);
        lane->polls++;
        if (coh_test_count(answer, "\"effectiveGasPrice\"") == lane->waits[got]) {
            lane->awaited += lane->waits[got];
            lane->succeeded += coh_test_count(answer, "\"status\":\"0x1\"");
            got++;
        } else {
            (void)usleep(5000);
        }
    }
    coh_test_rpc_close(&rpc);
    return NULL;
}

/* Asks for balances, one after another, while other connections do what they do. */
typedef struct {
    lane_t lane; /* where to connect to */
    _Atomic bool ends;
    coh_test_rpc_t rpc;
    uint32_t *us; /* owned: how long each took */
    size_t cnt, cap;
} probe_t;

static void probe_once(probe_t *probe)
{
    static char const call[] =
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\",\"params\":["
        "\"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266\",\"latest\"]}";
    coh_bytes_t answer;
    uint64_t start_us = coh_clock_mono_us();
    bool ok           = coh_test_rpc_post(&probe->rpc, &answer, coh_bytes(call, sizeof(call) - 1));
    COH_ASSERT(ok && coh_test_count(answer, "\"result\":\"0x") == 1);
    if (probe->cnt == probe->cap) {
        probe->cap = probe->cap * 2 + 1024;
        probe->us  = coh_realloc(probe->us, probe->cap * sizeof(*probe->us));
    }
    probe->us[probe->cnt++] = (uint32_t)(coh_clock_mono_us() - start_us);
    (void)usleep(1000);
}

static void *run_probe(void *arg)
{
    probe_t *probe = arg;
    while (!atomic_load(&probe->ends)) {
        probe_once(probe);
    }
    return NULL;
}

static int by_value(void const *a, void const *b)
{
    uint32_t x = *(uint32_t const *)a;
    uint32_t y = *(uint32_t const *)b;
    return (x > y) - (x < y);
}

/* Prints and forgets what was measured. */
static void put_probes(coh_buf_t *out, char const *when, probe_t *probe)
{
    COH_ASSERT(probe->cnt > 0);
    qsort(probe->us, probe->cnt, sizeof(*probe->us), by_value);
    coh_buf_printf(
        out,
        ",\"balance_%s\":{\"cnt\":%zu,\"us_p50\":%u,\"us_p90\":%u,\"us_p99\":%u,\"us_max\":%u}",
        when,
        probe->cnt,
        probe->us[probe->cnt / 2],
        probe->us[probe->cnt * 9 / 10],
        probe->us[probe->cnt * 99 / 100],
        probe->us[probe->cnt - 1]);
    probe->cnt = 0;
}

/* What is sent. */
typedef struct {
    uint64_t chain_id;
    uint64_t nonces[KEY_CNT];
    bool last_only;
    bool has_token;
    coh_addr_t token;
} load_t;

/* A batch's two requests, being written. */
typedef struct {
    coh_buf_t submit;
    coh_buf_t receipts;
    uint32_t cnt;
    uint32_t wait_cnt;
} batch_t;

/* Signs tx with a key, whose next nonce it gets, and adds it. */
static void add_tx(batch_t *b, load_t *load, coh_tx_t *tx, uint32_t key, bool waits)
{
    coh_buf_t secret = COH_BUF_INIT;
    coh_buf_t raw    = COH_BUF_INIT;
    coh_hash_t hash;
    COH_ASSERT(coh_test_hex(&secret, keys[key]));
    tx->type         = COH_TX_LEGACY;
    tx->has_chain_id = true;
    tx->chain_id     = load->chain_id;
    tx->nonce        = load->nonces[key]++;
    tx->max_fee      = coh_u256(GAS_PRICE);
    tx->max_tip      = tx->max_fee;
    coh_err_t err    = coh_tx_sign(tx, secret.p);
    COH_ASSERT(err == COH_OK);
    coh_tx_encode(&raw, tx);
    coh_keccak256(&hash, raw.p, raw.n);
    coh_buf_printf(&b->submit,
                   "%s{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"eth_sendRawTransaction\","
                   "\"params\":[",
                   b->cnt == 0 ? "[" : ",",
                   b->cnt);
    coh_rpc_put_data(&b->submit, raw.p, raw.n);
    coh_buf_printf(&b->submit, "]}");
    b->cnt++;
    if (waits) {
        coh_buf_printf(&b->receipts,
                       "%s{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"eth_getTransactionReceipt\","
                       "\"params\":[",
                       b->wait_cnt == 0 ? "[" : ",",
                       b->wait_cnt);
        coh_rpc_put_hash(&b->receipts, &hash);
        coh_buf_printf(&b->receipts, "]}");
        b->wait_cnt++;
    }
    coh_buf_free(&raw);
    coh_buf_free(&secret);
}

/* transfer(to, amount) of the token */
static void set_token_transfer(coh_tx_t *tx,
                               uint8_t data[68],
                               load_t const *load,
                               coh_addr_t const *to,
                               uint64_t amount)
{
    static uint8_t const selector[] = {0xa9, 0x05, 0x9c, 0xbb};
    memset(data, 0, 68);
    memcpy(data, selector, sizeof(selector));
    memcpy(data + 4 + 12, to->b, sizeof(to->b));
    coh_u256_t word = coh_u256(amount);
    coh_u256_store_be(data + 36, &word);
    tx->to        = load->token;
    tx->data      = coh_bytes(data, 68);
    tx->gas_limit = 60000;
}

static void end_batch(lane_t *lane, uint32_t at, batch_t *b)
{
    coh_buf_put_u8(&b->submit, ']');
    coh_buf_put_u8(&b->receipts, ']');
    coh_test_rpc_put_request(&lane->submits[at], coh_buf_bytes(&b->submit));
    coh_test_rpc_put_request(&lane->receipts[at], coh_buf_bytes(&b->receipts));
    lane->sizes[at] = b->cnt;
    lane->waits[at] = b->wait_cnt;
    coh_buf_free(&b->submit);
    coh_buf_free(&b->receipts);
}

/* make_batch signs size transfers of one key to as many new accounts, and writes both requests. */
static void make_batch(lane_t *lane, uint32_t at, load_t *load, uint32_t key, uint32_t size)
{
    batch_t b = {.cnt = 0};
    for (uint32_t i = 0; i < size; i++) {
        coh_tx_t tx   = {.gas_limit = 21000, .value = coh_u256(1)};
        coh_addr_t to = {{0}};
        uint8_t data[68];
        coh_store_u64_le(to.b, coh_mix64(load->nonces[key] * KEY_CNT + key));
        to.b[10] = 1; /* no precompile */
        tx.to    = to;
        if (load->has_token) {
            tx.value = COH_U256_ZERO;
            set_token_transfer(&tx, data, load, &to, 1);
        }
        add_tx(&b, load, &tx, key, !load->last_only || i + 1 == size);
    }
    end_batch(lane, at, &b);
}

static lane_t new_lane(char *argv[], uint32_t batches)
{
    lane_t lane = {
        .host = argv[1], .port = (uint16_t)strtoul(argv[2], NULL, 10), .batch_cnt = batches};
    lane.submits  = coh_calloc(batches, sizeof(coh_buf_t));
    lane.receipts = coh_calloc(batches, sizeof(coh_buf_t));
    lane.sizes    = coh_calloc(batches, sizeof(uint32_t));
    lane.waits    = coh_calloc(batches, sizeof(uint32_t));
    return lane;
}

static void free_lane(lane_t *lane)
{
    for (uint32_t b = 0; b < lane->batch_cnt; b++) {
        coh_buf_free(&lane->submits[b]);
        coh_buf_free(&lane->receipts[b]);
    }
    free(lane->submits);
    free(lane->receipts);
    free(lane->sizes);
    free(lane->waits);
}

/* Whose key it is. */
static coh_addr_t address_of(uint32_t key)
{
    static char const *const addrs[KEY_CNT] = {"f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
                                               "70997970c51812dc3a010c7d01b50e0d17dc79c8",
                                               "3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
                                               "90f79bf6eb2c4f870365e785982e1f101e93b906",
                                               "15d34aaf54267db7d7c367839aaf71a00a2c6a65",
                                               "9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
                                               "976ea74026e726554db657fa54763abd0c3a0aa9",
                                               "14dc79964da2c08b23698b3d3cc7ca32193d9955",
                                               "23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
                                               "a0ee7a142d267c1f36714e4a8f75612f20a79720"};
    return coh_test_addr(addrs[key]);
}

/* Creates the token and gives each account its part. Before the clock starts. */
static void make_token(load_t *load, char *argv[], char const *path)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_buf_t text = COH_BUF_INIT;
    lane_t lane    = new_lane(argv, 1);
    batch_t b      = {.cnt = 0};
    coh_test_file(&text, "", path);
    coh_buf_put_u8(&text, 0);
    text.p[strcspn((char *)text.p, "\n")] = '\0';
    COH_ASSERT(coh_test_hex(&code, (char *)text.p));
    coh_addr_t owner  = address_of(0);
    load->has_token   = true;
    load->token       = coh_tx_created_address(&owner, load->nonces[0]);
    coh_tx_t creation = {.is_create = true, .data = coh_buf_bytes(&code), .gas_limit = 4000000};
    add_tx(&b, load, &creation, 0, true);
    for (uint32_t key = 1; key < KEY_CNT; key++) {
        coh_tx_t tx   = {.gas_limit = 60000};
        coh_addr_t to = address_of(key);
        uint8_t data[68];
        set_token_transfer(&tx, data, load, &to, 1000000);
        add_tx(&b, load, &tx, 0, true);
    }
    end_batch(&lane, 0, &b);
    (void)run(&lane);
    COH_ASSERT(lane.succeeded == KEY_CNT); /* the creation and nine transfers */
    free_lane(&lane);
    coh_buf_free(&code);
    coh_buf_free(&text);
}

int main(int argc, char **argv)
{
    bool probes = argc > 1 && strcmp(argv[1], "--probe") == 0;
    argc -= probes;
    argv += probes;
    if (argc < 4) {
        fprintf(
            stderr,
            "usage: bench_rpc [--probe] HOST PORT CHAIN_ID [COUNT [BATCH [CONNECTIONS [all|last "
            "[CREATION]]]]]\n");
        return 2;
    }
    uint32_t wanted   = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 40000;
    uint32_t batch    = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 200;
    uint32_t lane_cnt = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 5;
    load_t load       = {.chain_id  = strtoull(argv[3], NULL, 10),
                         .last_only = argc > 7 && strcmp(argv[7], "last") == 0};
    COH_ASSERT(batch > 0 && lane_cnt > 0 && lane_cnt <= KEY_CNT);
    if (argc > 8) {
        make_token(&load, argv, argv[8]);
    }
    uint32_t batches = COH_MAX(wanted / batch / lane_cnt, 1u);
    lane_t *lanes    = coh_calloc(lane_cnt, sizeof(*lanes));
    for (uint32_t l = 0; l < lane_cnt; l++) {
        lanes[l] = new_lane(argv, batches);
        for (uint32_t b = 0; b < batches; b++) {
            uint32_t key =
                l + lane_cnt * (b % (KEY_CNT / lane_cnt)); /* accounts of its own, by turns */
            make_batch(&lanes[l], b, &load, key, batch);
        }
    }
    coh_buf_t probed = COH_BUF_INIT;
    probe_t probe    = {.lane = {.host = argv[1], .port = (uint16_t)strtoul(argv[2], NULL, 10)}};
    pthread_t prober;
    if (probes) {
        probe.rpc = open_connection(&probe.lane);
        while (probe.cnt < PROBE_IDLE) {
            probe_once(&probe);
        }
        put_probes(&probed, "idle", &probe);
        COH_ASSERT(pthread_create(&prober, NULL, run_probe, &probe) == 0);
    }
    pthread_t *threads = coh_calloc(lane_cnt, sizeof(*threads));
    uint64_t start_us  = coh_clock_mono_us();
    for (uint32_t l = 0; l < lane_cnt; l++) {
        COH_ASSERT(pthread_create(&threads[l], NULL, run, &lanes[l]) == 0);
    }
    lane_t sum = {.polls = 0};
    for (uint32_t l = 0; l < lane_cnt; l++) {
        COH_ASSERT(pthread_join(threads[l], NULL) == 0);
        sum.accepted += lanes[l].accepted;
        sum.succeeded += lanes[l].succeeded;
        sum.awaited += lanes[l].awaited;
        sum.polls += lanes[l].polls;
    }
    double seconds = (double)(coh_clock_mono_us() - start_us) / 1e6;
    uint32_t total = batches * batch * lane_cnt;
    if (probes) {
        atomic_store(&probe.ends, true);
        COH_ASSERT(pthread_join(prober, NULL) == 0);
        put_probes(&probed, "loaded", &probe);
        coh_test_rpc_close(&probe.rpc);
        free(probe.us);
    }
    printf("{\"bench\":\"rpc\",\"kind\":\"%s\",\"transfers\":%u,\"batch\":%u,\"connections\":%u,"
           "\"accepted\":%u,\"receipts\":%u,\"succeeded\":%u,\"receipt_polls\":%u,"
           "\"seconds\":%.3f,\"per_s\":%.0f%.*s}\n",
           load.has_token ? "token" : "native",
           total,
           batch,
           lane_cnt,
           sum.accepted,
           sum.awaited,
           sum.succeeded,
           sum.polls,
           seconds,
           total / seconds,
           (int)probed.n,
           (char const *)probed.p);
    coh_buf_free(&probed);
    for (uint32_t l = 0; l < lane_cnt; l++) {
        free_lane(&lanes[l]);
    }
    free(threads);
    free(lanes);
    return sum.accepted == total && sum.succeeded == sum.awaited ? 0 : 1;
}
