/* Dev chains through the program and JSON-RPC, without anybody's client: each method that changes state, time or past, in one process with three shards, once in memory and once with a data
   directory; random walks with nested snapshots against a model of plain arrays; and that there is nothing of all that without --dev. What signatures and addresses must be is what Ethereum's
   libraries make of the well-known keys. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/codec/tx.h"
#include "common/config/dev_chain.h"
#include "common/crypto/keccak.h"

#define PATIENCE_US UINT64_C(60000000)

#define ALICE "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
#define BOB   "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
/* Whom nobody funded. */
#define CAROL "0xca40100000000000000000000000000000000001"
#define CODED "0xc0de00000000000000000000000000000000c0de"
/* slot[word 0 of the data] = word 1 */
#define STORE_CODE "0x6020355f355500"
/* returns the block's number and timestamp */
#define CLOCK_CODE         \
    "0x435f52426020526040" \
    "5ff3"
/* returns blockhash(word 0 of the data) */
#define HASH_CODE "0x5f35405f5260205ff3"

/* What DA0E..01 creates first, as ethers says. */
#define CREATED "0x72bc5efdfbc2e811cdc832adc0c1ad1b06e30366"
/* logs word 0 of the data as a topic */
#define LOG_CODE "0x5f355f5fa100"

static char folder[64];
static pid_t node;
static unsigned port;
static char const *data_option; /* NULL: in memory */

/* ---- the node ---- */

/* The port in the log's line that says that the cluster is ready; 0: not there yet. */
static unsigned find_port(char const *path)
{
    char line[1024];
    unsigned found = 0;
    FILE *f        = fopen(path, "r");
    while (f != NULL && found == 0 && fgets(line, sizeof(line), f) != NULL) {
        char const *at = strstr(line, "msg=\"cluster ready\"") ? strstr(line, "http_port=") : NULL;
        if (at != NULL) {
            found = (unsigned)strtoul(at + strlen("http_port="), NULL, 10);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return found;
}

static void start_node(bool dev)
{
    char listen[128];
    char publish[128];
    char log[128];
    char data[128];
    char genesis[128];
    (void)snprintf(listen, sizeof(listen), "ipc://%s/requests", folder);
    (void)snprintf(publish, sizeof(publish), "ipc://%s/publications", folder);
    (void)snprintf(log, sizeof(log), "%s/log", folder);
    (void)snprintf(data, sizeof(data), "%s/%s", folder, dev ? "dev" : "plain");
    (void)snprintf(genesis, sizeof(genesis), "%s/genesis.json", folder);
    (void)unlink(log);
    char const *args[24] = {"cohort", "node", "--shards", "3", "--http", "127.0.0.1:0"};
    size_t cnt           = 6;
    char const *more[]   = {"--client-listen",
                            listen,
                            "--client-publish",
                            publish,
                            "--status-listen",
                            "",
                            "--log-file",
                            log};
    for (size_t i = 0; i < COH_CNT(more); i++) {
        args[cnt++] = more[i];
    }
    if (dev) {
        args[cnt++] = "--dev";
    } else {
        args[cnt++] = "--genesis";
        args[cnt++] = genesis;
    }
    if (!dev || data_option != NULL) {
        args[cnt++] = "--data";
        args[cnt++] = data;
    }
    pid_t self = getpid();
    node       = fork();
    assert_true(node >= 0);
    if (node == 0) {
        /* A test that fails leaves no node behind. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != self) {
            _exit(127);
        }
        (void)execv(COHORT_PROGRAM, (char **)(uintptr_t)args);
        _exit(127);
    }
    uint64_t start = coh_clock_mono_us();
    while ((port = find_port(log)) == 0) {
        assert_true(coh_clock_mono_us() - start < PATIENCE_US);
        (void)usleep(5000);
    }
}

static void stop_node(void)
{
    int status;
    assert_int_equal(kill(node, SIGTERM), 0);
    assert_int_equal(waitpid(node, &status, 0), node);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- JSON-RPC ---- */

/* exchange sends one request; the whole answer, which the caller frees. */
static json_t *exchange(char const *method, char const *params)
{
    static char text[1 << 20];
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port   = htons((uint16_t)port),
                               .sin_addr   = {htonl(INADDR_LOOPBACK)}};
    char body[65536];
    int n  = snprintf(body,
                     sizeof(body),
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
                     method,
                     params);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(n > 0 && (size_t)n < sizeof(body) && fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    char head[256];
    int head_n = snprintf(head,
                          sizeof(head),
                          "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                          "application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
                          n);
    assert_int_equal(write(fd, head, (size_t)head_n), head_n);
    assert_int_equal(write(fd, body, (size_t)n), n);
    size_t got = 0;
    ssize_t r;
    while (got < sizeof(text) - 1 && (r = read(fd, text + got, sizeof(text) - 1 - got)) > 0) {
        got += (size_t)r;
    }
    text[got] = '\0';
    (void)close(fd);
    char const *answer = strstr(text, "\r\n\r\n");
    assert_non_null(answer);
    json_t *json = json_loads(answer + 4, 0, NULL);
    assert_non_null(json);
    return json;
}

/* The result of a call, which lives until some calls later. */
COH_PRINTF(2, 3) static json_t *rpc(char const *method, char const *fmt, ...)
{
    static json_t *kept[16];
    static size_t next;
    char params[32768];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(params, sizeof(params), fmt, args);
    va_end(args);
    json_t *answer = exchange(method, params);
    json_t *result = json_object_get(answer, "result");
    if (result == NULL) {
        char *dump = json_dumps(answer, 0);
        print_error("%s%s: %s\n", method, params, dump);
        free(dump);
    }
    assert_non_null(result);
    json_decref(kept[next]);
    kept[next] = answer;
    next       = (next + 1) % COH_CNT(kept);
    return result;
}

/* A call that fails with this code and a text that contains part. */
static void rpc_fails(int code, char const *part, char const *method, char const *params)
{
    json_t *answer = exchange(method, params);
    json_t *error  = json_object_get(answer, "error");
    assert_non_null(error);
    assert_int_equal(json_integer_value(json_object_get(error, "code")), code);
    if (strstr(json_string_value(json_object_get(error, "message")), part) == NULL) {
        fail_msg("%s: \"%s\" says nothing of \"%s\"",
                 method,
                 json_string_value(json_object_get(error, "message")),
                 part);
    }
    json_decref(answer);
}

static uint64_t number(json_t const *v)
{
    assert_true(json_is_string(v));
    return strtoull(json_string_value(v), NULL, 16);
}

static uint64_t block_number(void) { return number(rpc("eth_blockNumber", "[]")); }

static uint64_t balance(char const *addr)
{
    return number(rpc("eth_getBalance", "[\"%s\",\"latest\"]", addr));
}

/* The low 64 bits of a slot. */
static uint64_t slot(char const *addr, uint64_t key)
{
    char const *text = json_string_value(
        rpc("eth_getStorageAt", "[\"%s\",\"0x%" PRIx64 "\",\"latest\"]", addr, key));
    assert_int_equal(strlen(text), 66);
    return strtoull(text + 50, NULL, 16);
}

static json_t *block(char const *at) { return rpc("eth_getBlockByNumber", "[\"%s\",false]", at); }

static char const *text_of(json_t const *object, char const *member)
{
    char const *text = json_string_value(json_object_get(object, member));
    assert_non_null(text);
    return text;
}

static void latest_hash(char out[67])
{
    (void)snprintf(out, 67, "%s", text_of(block("latest"), "hash"));
}

static void is_true(json_t const *v) { assert_true(json_is_true(v)); }

static void put_code(char const *code)
{
    is_true(rpc("hardhat_setCode", "[\"" CODED "\",\"%s\"]", code));
}

static void store(char const *from, uint64_t key, uint64_t value)
{
    (void)rpc("eth_sendTransaction",
              "[{\"from\":\"%s\",\"to\":\"" CODED "\",\"gas\":\"0x186a0\",\"data\":\"0x%064" PRIx64
              "%064" PRIx64 "\"}]",
              from,
              key,
              value);
}

/* ---- WebSocket (RFC 6455), just enough ---- */

static int ws_open(void)
{
    static char const head[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    struct sockaddr_in addr       = {.sin_family = AF_INET,
                                     .sin_port   = htons((uint16_t)port),
                                     .sin_addr   = {htonl(INADDR_LOOPBACK)}};
    struct timeval const patience = {.tv_sec = 60};
    int fd                        = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, head, sizeof(head) - 1), sizeof(head) - 1);
    char text[1024] = "";
    for (size_t n = 0; strstr(text, "\r\n\r\n") == NULL; n++) {
        assert_true(n + 1 < sizeof(text) && read(fd, text + n, 1) == 1);
        text[n + 1] = '\0';
    }
    assert_memory_equal(text, "HTTP/1.1 101 ", 13);
    return fd;
}

static void ws_read(int fd, void *out, size_t n)
{
    assert_int_equal(recv(fd, out, n, MSG_WAITALL), n);
}

/* The next message, which the caller frees. */
static json_t *ws_next(int fd)
{
    uint8_t head[4];
    static char text[65536];
    ws_read(fd, head, 2);
    assert_int_equal(head[0], 0x81); /* a text, whole */
    size_t n = head[1];
    if (n == 126) {
        ws_read(fd, head + 2, 2);
        n = (size_t)head[2] << 8 | head[3];
    }
    assert_true(n < 127 || head[1] == 126);
    ws_read(fd, text, n);
    json_t *json = json_loadb(text, n, 0, NULL);
    assert_non_null(json);
    return json;
}

/* Subscribes before there is anything to tell; the id. */
static void ws_subscribe(int fd, char const *params, char id[40])
{
    char text[200];
    int n = snprintf(text + 8,
                     sizeof(text) - 8,
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_subscribe\",\"params\":%s}",
                     params);
    assert_true(n > 0 && n <= 192);
    size_t at = 8 - (n < 126 ? 6 : 8);
    text[at]  = (char)0x81;
    if (n < 126) {
        text[at + 1] = (char)(0x80 | n);
    } else {
        text[at + 1] = (char)(0x80 | 126);
        text[at + 2] = 0;
        text[at + 3] = (char)n;
    }
    memset(text + 4, 0, 4); /* masked by 0 */
    assert_int_equal(write(fd, text + at, (size_t)n + 8 - at), (size_t)n + 8 - at);
    json_t *answer = ws_next(fd);
    (void)snprintf(id, 40, "%s", text_of(answer, "result"));
    json_decref(answer);
}

/* The next notification is one of id's; its result, which the caller frees. */
static json_t *ws_note(int fd, char const *id)
{
    json_t *note         = ws_next(fd);
    json_t const *params = json_object_get(note, "params");
    assert_string_equal(text_of(params, "subscription"), id);
    json_t *result = json_incref(json_object_get(params, "result"));
    json_decref(note);
    return result;
}

static void ws_expect_head(int fd, char const *id, uint64_t wanted)
{
    json_t *head = ws_note(fd, id);
    assert_int_equal(number(json_object_get(head, "number")), wanted);
    json_decref(head);
}

static void ws_expect_log(int fd, char const *id, uint64_t topic, uint64_t in_block, bool removed)
{
    json_t *log       = ws_note(fd, id);
    char const *first = json_string_value(json_array_get(json_object_get(log, "topics"), 0));
    assert_int_equal(strtoull(first + 50, NULL, 16), topic);
    assert_int_equal(number(json_object_get(log, "blockNumber")), in_block);
    assert_int_equal(json_is_true(json_object_get(log, "removed")), removed);
    json_decref(log);
}

/* ---- tests ---- */

typedef struct {
    char const *name;
    bool dev;
} method_t;

static method_t const methods[] = {
#define PUBLIC                                      false
#define PRIVATE                                     false
#define DEV                                         true
#define COH_RPC(method, function, min, max, access) {#method, access},
#include "coordinator/gateway/rpc_methods.def"
#undef COH_RPC
#undef PUBLIC
#undef PRIVATE
#undef DEV
};

/* Without --dev there are no such methods, and no accounts. */
static void dev_is_off(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/genesis.json", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(
        "{\"config\":{\"chainId\":31337,\"homesteadBlock\":0,\"eip150Block\":0,\"eip155Block\":0,"
        "\"eip158Block\":0,\"byzantiumBlock\":0,\"constantinopleBlock\":0,\"petersburgBlock\":0,"
        "\"istanbulBlock\":0,\"berlinBlock\":0,\"londonBlock\":0,\"terminalTotalDifficulty\":0,"
        "\"shanghaiTime\":0,\"cancunTime\":0,\"pragueTime\":0,\"osakaTime\":0},"
        "\"gasLimit\":\"30000000\",\"difficulty\":\"0\",\"alloc\":{\"" ALICE
        "\":{\"balance\":\"1\"}}}",
        f);
    assert_int_equal(fclose(f), 0);
    start_node(false);
    uint32_t cnt = 0;
    for (size_t i = 0; i < COH_CNT(methods); i++) {
        if (methods[i].dev) {
            rpc_fails(-32601,
                      "does not exist/is not available",
                      methods[i].name,
                      "[\"" ALICE "\",\"0x1\"]");
            cnt++;
        }
    }
    assert_true(cnt > 30);
    assert_int_equal(json_array_size(rpc("eth_accounts", "[]")), 0);
    assert_int_equal(balance(ALICE), 1);
    stop_node();
}

static void dev_accounts(void **state)
{
    (void)state;
    json_t *accounts = rpc("eth_accounts", "[]");
    assert_int_equal(json_array_size(accounts), 10);
    assert_string_equal(json_string_value(json_array_get(accounts, 0)), ALICE);
    assert_string_equal(json_string_value(json_array_get(accounts, 1)), BOB);
    assert_string_equal(json_string_value(json_array_get(accounts, 9)),
                        "0xa0ee7a142d267c1f36714e4a8f75612f20a79720");
    assert_string_equal(json_string_value(rpc("eth_chainId", "[]")), "0x7a69");
    assert_string_equal(json_string_value(rpc("eth_getBalance", "[\"" BOB "\",\"latest\"]")),
                        "0x21e19e0c9bab2400000");
    uint64_t now = (uint64_t)time(NULL);
    assert_true(number(json_object_get(block("0x0"), "timestamp")) + 600 > now);
    /* Each transaction makes a block, with the next nonce. */
    for (unsigned i = 1; i <= 3; i++) {
        json_t *hash    = rpc("eth_sendTransaction",
                           "[{\"from\":\"" ALICE "\",\"to\":\"" CAROL "\",\"value\":\"0x5\"}]");
        json_t *receipt = rpc("eth_getTransactionReceipt", "[\"%s\"]", json_string_value(hash));
        assert_int_equal(number(json_object_get(receipt, "blockNumber")), i);
        assert_int_equal(number(json_object_get(receipt, "status")), 1);
        assert_int_equal(block_number(), i);
        assert_int_equal(balance(CAROL), 5 * i);
    }
    assert_int_equal(number(rpc("eth_getTransactionCount", "[\"" ALICE "\",\"latest\"]")), 3);
    rpc_fails(-32000,
              "unknown account " CAROL,
              "eth_sendTransaction",
              "[{\"from\":\"" CAROL "\",\"to\":\"" BOB "\"}]");
    rpc_fails(-32000,
              "insufficient funds",
              "eth_sendTransaction",
              "[{\"from\":\"" ALICE "\",\"to\":\"" BOB "\",\"value\":\"0x21e19e0c9bab2400000\"}]");
    rpc_fails(-32000,
              "nonce too low",
              "eth_sendTransaction",
              "[{\"from\":\"" ALICE "\",\"to\":\"" BOB "\",\"nonce\":\"0x0\"}]");
    /* One that reverts is in a block, and its hash comes back. */
    put_code("0x5f5ffd");
    json_t *failed = rpc("eth_sendTransaction",
                         "[{\"from\":\"" ALICE "\",\"to\":\"" CODED "\",\"gas\":\"0x186a0\"}]");
    assert_int_equal(
        number(json_object_get(
            rpc("eth_getTransactionReceipt", "[\"%s\"]", json_string_value(failed)), "status")),
        0);
    /* A signed one waits for its block too. */
    json_t *raw =
        rpc("eth_signTransaction",
            "[{\"from\":\"" BOB "\",\"to\":\"" CAROL "\",\"value\":\"0x1\",\"gas\":\"0x5208\"}]");
    json_t *sent = rpc("eth_sendRawTransaction", "[\"%s\"]", json_string_value(raw));
    assert_string_equal(
        text_of(rpc("eth_getTransactionReceipt", "[\"%s\"]", json_string_value(sent)), "from"),
        BOB);
}

/* Of ethers' Wallet of the first key. */
static void dev_signatures(void **state)
{
    (void)state;
    /* signMessage("hello") */
    static char const hello[] =
        "0xf16ea9a3478698f695fd1401bfe27e9e4a7e8e3da94aa72b021125e31fa899cc573c48ea3fe1d4ab61a9db10"
        "c19032026e3ed2dbccba5a178235ac27f94504311c";
    assert_string_equal(json_string_value(rpc("eth_sign", "[\"" ALICE "\",\"0x68656c6c6f\"]")),
                        hello);
    assert_string_equal(json_string_value(rpc("personal_sign", "[\"0x68656c6c6f\",\"" ALICE "\"]")),
                        hello);
    rpc_fails(-32000, "unknown account", "eth_sign", "[\"" CAROL "\",\"0x00\"]");
    rpc_fails(-32602,
              "typed data",
              "eth_signTypedData_v4",
              "[\"" ALICE "\",{\"types\":{},\"primaryType\":\"A\",\"domain\":{},\"message\":{}}]");
}

static void dev_state(void **state)
{
    (void)state;
    uint64_t at = block_number();
    is_true(rpc("hardhat_setBalance", "[\"" CAROL "\",\"0x123456\"]"));
    assert_int_equal(balance(CAROL), 0x123456);
    is_true(rpc("anvil_setBalance", "[\"" CAROL "\",\"0x77\"]"));
    assert_int_equal(balance(CAROL), 0x77);
    is_true(rpc("hardhat_setNonce", "[\"" CAROL "\",\"0x9\"]"));
    assert_int_equal(number(rpc("eth_getTransactionCount", "[\"" CAROL "\",\"latest\"]")), 9);
    put_code(STORE_CODE);
    assert_string_equal(json_string_value(rpc("eth_getCode", "[\"" CODED "\",\"latest\"]")),
                        STORE_CODE);
    is_true(rpc("hardhat_setStorageAt", "[\"" CODED "\",\"0x5\",\"0x%064x\"]", 0xabc));
    assert_int_equal(slot(CODED, 5), 0xabc);
    assert_int_equal(block_number(), at); /* no block was made */
    store(ALICE, 6, 0xdef);
    assert_int_equal(slot(CODED, 5), 0xabc);
    assert_int_equal(slot(CODED, 6), 0xdef);
    assert_int_equal(block_number(), at + 1);
    /* The block's state root contains it all. */
    json_t *proof = rpc("eth_getProof", "[\"" CODED "\",[\"0x5\"],\"latest\"]");
    assert_int_equal(
        number(json_object_get(json_array_get(json_object_get(proof, "storageProof"), 0), "value")),
        0xabc);
    char const *root_node =
        json_string_value(json_array_get(json_object_get(proof, "accountProof"), 0));
    static uint8_t octets[4096];
    coh_hash_t hash;
    size_t n     = strlen(root_node) / 2 - 1;
    char hex[67] = "0x";
    assert_true(n <= sizeof(octets));
    assert_int_equal(coh_hex_decode(octets, n, root_node + 2, 2 * n), COH_OK);
    coh_keccak256(&hash, octets, n);
    coh_hex_encode(hex + 2, hash.b, sizeof(hash.b));
    assert_string_equal(hex, text_of(block("latest"), "stateRoot"));
    /* What is empty is gone, and its storage with it. */
    put_code("0x");
    put_code(STORE_CODE);
    assert_int_equal(slot(CODED, 5), 0);
    rpc_fails(-32000,
              "the account is empty",
              "hardhat_setStorageAt",
              "[\"0xca40100000000000000000000000000000000002\",\"0x0\",\"0x1\"]");
}

/* Storage of an account without code: in the trie (each proof is checked against the block's root before it is answered), there for code that comes later, gone where a snapshot did not have it, and
   then no hindrance for a contract to be created there. */
static void dev_storage_without_code(void **state)
{
    (void)state;
    char const *creator = "0xda0e000000000000000000000000000000000001";
    is_true(rpc("hardhat_setBalance", "[\"%s\",\"0xde0b6b3a7640000\"]", creator));
    is_true(rpc("hardhat_impersonateAccount", "[\"%s\"]", creator));
    is_true(rpc("hardhat_setBalance", "[\"" CREATED "\",\"0x1\"]"));
    json_t *id = json_incref(rpc("evm_snapshot", "[]"));
    is_true(rpc("hardhat_setStorageAt", "[\"" CREATED "\",\"0x7\",\"0x2a\"]"));
    assert_int_equal(slot(CREATED, 7), 42);
    (void)rpc("evm_mine", "[]");
    json_t *proof = rpc("eth_getProof", "[\"" CREATED "\",[\"0x7\"],\"latest\"]");
    json_t *entry = json_array_get(json_object_get(proof, "storageProof"), 0);
    assert_int_equal(number(json_object_get(entry, "value")), 42);
    assert_int_equal(json_array_size(json_object_get(entry, "proof")), 1);
    /* A contract may not be created where there is storage (EIP-7610). */
    json_t *hash = rpc(
        "eth_sendTransaction", "[{\"from\":\"%s\",\"gas\":\"0x30d40\",\"data\":\"0x\"}]", creator);
    json_t *receipt = rpc("eth_getTransactionReceipt", "[\"%s\"]", json_string_value(hash));
    assert_string_equal(text_of(receipt, "status"), "0x0");
    /* Its code finds the storage. */
    is_true(rpc("hardhat_setCode", "[\"" CREATED "\",\"0x6007545f5260205ff3\"]"));
    assert_int_equal(
        strtoull(json_string_value(rpc("eth_call", "[{\"to\":\"" CREATED "\"},\"latest\"]")) + 50,
                 NULL,
                 16),
        42);
    is_true(rpc("evm_revert", "[\"%s\"]", json_string_value(id)));
    assert_int_equal(slot(CREATED, 7), 0);
    hash = rpc(
        "eth_sendTransaction", "[{\"from\":\"%s\",\"gas\":\"0x30d40\",\"data\":\"0x\"}]", creator);
    receipt = rpc("eth_getTransactionReceipt", "[\"%s\"]", json_string_value(hash));
    assert_string_equal(text_of(receipt, "status"), "0x1");
    assert_string_equal(text_of(receipt, "contractAddress"), CREATED);
    json_decref(id);
}

static void dev_snapshots(void **state)
{
    (void)state;
    char before[67];
    char then[67];
    char again[67];
    put_code(STORE_CODE);
    store(ALICE, 1, 11);
    uint64_t money = balance(CAROL);
    uint64_t at    = block_number();
    latest_hash(before);
    char tx[67];
    json_t *id = rpc("evm_snapshot", "[]");
    for (int round = 0; round < 2; round++) {
        is_true(rpc("hardhat_setBalance", "[\"" CAROL "\",\"0x1\"]"));
        put_code(CLOCK_CODE);
        put_code(STORE_CODE);
        uint64_t next = number(json_object_get(block("latest"), "timestamp")) + 50;
        (void)rpc("evm_setNextBlockTimestamp", "[%" PRIu64 "]", next);
        store(BOB, 1, 12);
        (void)rpc("evm_setNextBlockTimestamp", "[%" PRIu64 "]", next + 7);
        store(BOB, 2, 13);
        latest_hash(round == 0 ? then : again);
        assert_int_equal(slot(CODED, 1), 12);
        assert_int_equal(block_number(), at + 2);
        json_t *last = json_array_get(json_object_get(block("latest"), "transactions"), 0);
        (void)snprintf(tx, sizeof(tx), "%s", json_string_value(last));
        is_true(rpc("evm_revert", "[\"%s\"]", json_string_value(id)));
        assert_true(json_is_false(rpc("evm_revert", "[\"%s\"]", json_string_value(id))));
        assert_int_equal(block_number(), at);
        assert_string_equal(text_of(block("latest"), "hash"), before);
        assert_int_equal(slot(CODED, 1), 11);
        assert_int_equal(slot(CODED, 2), 0);
        assert_int_equal(balance(CAROL), money);
        assert_true(json_is_null(rpc("eth_getTransactionByHash", "[\"%s\"]", tx)));
        assert_true(json_is_null(rpc("eth_getTransactionReceipt", "[\"%s\"]", tx)));
        assert_true(
            json_is_null(rpc("eth_getBlockByHash", "[\"%s\",false]", round == 0 ? then : again)));
        id = rpc("evm_snapshot", "[]");
    }
    /* The same again is the same block, state root and all. */
    assert_string_equal(then, again);
    /* BLOCKHASH is of the chain as it is now. */
    put_code(HASH_CODE);
    (void)rpc("evm_increaseTime", "[1000]");
    (void)rpc("evm_mine", "[]");
    store(BOB, 0, 0);
    char parent[67];
    (void)snprintf(parent, sizeof(parent), "%s", text_of(block("latest"), "parentHash"));
    assert_string_not_equal(parent, then);
    assert_string_equal(
        json_string_value(rpc("eth_call",
                              "[{\"to\":\"" CODED "\",\"data\":\"0x%064" PRIx64 "\"},\"latest\"]",
                              at + 1)),
        parent);
    /* ...and to a transaction, of blocks below the snapshot too. */
    put_code("0x5f35405f5500");
    for (uint64_t n = at; n <= at + 1; n++) {
        (void)rpc("eth_sendTransaction",
                  "[{\"from\":\"" ALICE "\",\"to\":\"" CODED
                  "\",\"gas\":\"0x186a0\",\"data\":\"0x%064" PRIx64 "\"}]",
                  n);
        assert_string_equal(
            json_string_value(rpc("eth_getStorageAt", "[\"" CODED "\",\"0x0\",\"latest\"]")),
            n == at ? before : parent);
    }
    /* Other blocks have the numbers now of those that are gone. */
    assert_true(json_is_null(rpc("eth_getTransactionByHash", "[\"%s\"]", tx)));
    assert_true(json_is_null(rpc("eth_getTransactionReceipt", "[\"%s\"]", tx)));
    assert_true(json_is_null(rpc("eth_getBlockByHash", "[\"%s\",false]", then)));
    /* Nested ones: the inner goes with the outer. */
    char outer[16];
    char inner[16];
    (void)snprintf(outer, sizeof(outer), "%s", json_string_value(rpc("evm_snapshot", "[]")));
    is_true(rpc("hardhat_setBalance", "[\"" CAROL "\",\"0x2\"]"));
    (void)snprintf(inner, sizeof(inner), "%s", json_string_value(rpc("evm_snapshot", "[]")));
    is_true(rpc("hardhat_setBalance", "[\"" CAROL "\",\"0x3\"]"));
    is_true(rpc("evm_revert", "[\"%s\"]", outer));
    assert_int_equal(balance(CAROL), money);
    assert_true(json_is_false(rpc("evm_revert", "[\"%s\"]", inner)));
}

/* Who subscribes sees the chain go back and go on, over two snapshots and a reset; and so does a filter. */
static void dev_subscribers_see_it_go_back(void **state)
{
    (void)state;
    char heads[40];
    char logs[40];
    put_code(LOG_CODE);
    uint64_t at = block_number();
    int fd      = ws_open();
    ws_subscribe(fd, "[\"newHeads\"]", heads);
    ws_subscribe(fd, "[\"logs\",{\"address\":\"" CODED "\"}]", logs);
    json_t *filter = json_incref(rpc("eth_newFilter", "[{\"address\":\"" CODED "\"}]"));
    json_t *first  = json_incref(rpc("evm_snapshot", "[]"));
    store(ALICE, 1, 0);
    ws_expect_head(fd, heads, at + 1);
    ws_expect_log(fd, logs, 1, at + 1, false);
    json_t *second = json_incref(rpc("evm_snapshot", "[]"));
    store(ALICE, 2, 0);
    ws_expect_head(fd, heads, at + 2);
    ws_expect_log(fd, logs, 2, at + 2, false);
    assert_int_equal(
        json_array_size(rpc("eth_getFilterChanges", "[\"%s\"]", json_string_value(filter))), 2);
    is_true(rpc("evm_revert", "[\"%s\"]", json_string_value(second)));
    ws_expect_log(fd, logs, 2, at + 2, true);
    store(ALICE, 3, 0);
    ws_expect_head(fd, heads, at + 2);
    ws_expect_log(fd, logs, 3, at + 2, false);
    is_true(rpc("evm_revert", "[\"%s\"]", json_string_value(first)));
    ws_expect_log(fd, logs, 1, at + 1, true);
    ws_expect_log(fd, logs, 3, at + 2, true);
    /* The filter has told of 1 and 2, and 3 came and went between. */
    json_t *changes = rpc("eth_getFilterChanges", "[\"%s\"]", json_string_value(filter));
    assert_int_equal(json_array_size(changes), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *log = json_array_get(changes, i);
        is_true(json_object_get(log, "removed"));
        char const *topic = json_string_value(json_array_get(json_object_get(log, "topics"), 0));
        assert_int_equal(strtoull(topic + 50, NULL, 16), i == 0 ? 2 : 1);
    }
    store(ALICE, 4, 0);
    ws_expect_head(fd, heads, at + 1);
    ws_expect_log(fd, logs, 4, at + 1, false);
    is_true(rpc("hardhat_reset", "[]"));
    ws_expect_log(fd, logs, 4, at + 1, true);
    assert_int_equal(block_number(), 0);
    (void)rpc("evm_mine", "[]");
    ws_expect_head(fd, heads, 1);
    assert_int_equal(close(fd), 0);
    json_decref(filter);
    json_decref(first);
    json_decref(second);
}

static void dev_time(void **state)
{
    (void)state;
    put_code(CLOCK_CODE);
    json_t *head = block("latest");
    uint64_t at  = number(json_object_get(head, "timestamp"));
    uint64_t n   = number(json_object_get(head, "number"));
    (void)rpc("evm_setNextBlockTimestamp", "[%" PRIu64 "]", at + 100000);
    (void)rpc("evm_mine", "[]");
    assert_int_equal(number(json_object_get(block("latest"), "timestamp")), at + 100000);
    /* The clock goes on from there. */
    (void)rpc("evm_mine", "[]");
    uint64_t next = number(json_object_get(block("latest"), "timestamp"));
    assert_true(next > at + 100000 && next < at + 100000 + 600);
    char expected[131];
    (void)snprintf(expected, sizeof(expected), "0x%064" PRIx64 "%064" PRIx64, n + 2, next);
    assert_string_equal(json_string_value(rpc("eth_call", "[{\"to\":\"" CODED "\"},\"latest\"]")),
                        expected);
    (void)rpc("evm_increaseTime", "[\"0xe10\"]");
    (void)rpc("evm_mine", "[]");
    uint64_t later = number(json_object_get(block("latest"), "timestamp"));
    assert_true(later >= next + 3600 && later < next + 3600 + 600);
    (void)rpc("evm_mine", "[%" PRIu64 "]", later + 5);
    assert_int_equal(number(json_object_get(block("latest"), "timestamp")), later + 5);
    rpc_fails(
        -32000, "lower than the previous block's timestamp", "evm_setNextBlockTimestamp", "[1]");
    rpc_fails(-32000, "lower than the previous block's timestamp", "evm_mine", "[1]");
    is_true(rpc("hardhat_mine", "[\"0x10\",\"0x3c\"]"));
    assert_int_equal(block_number(), n + 4 + 16);
    uint64_t last = number(json_object_get(block("latest"), "timestamp"));
    char number_text[32];
    (void)snprintf(number_text, sizeof(number_text), "0x%" PRIx64, n + 5);
    assert_int_equal(last - number(json_object_get(block(number_text), "timestamp")), 15 * 60);
    is_true(rpc("anvil_mine", "[]"));
    assert_true(number(json_object_get(block("latest"), "timestamp")) > last);
    rpc_fails(-32005, "more than 65536 blocks", "hardhat_mine", "[\"0x10001\"]");
}

static void dev_mining(void **state)
{
    (void)state;
    uint64_t at = block_number();
    is_true(rpc("evm_setAutomine", "[false]"));
    assert_true(json_is_false(rpc("hardhat_getAutomine", "[]")));
    char one[67];
    char two[67];
    (void)snprintf(one,
                   sizeof(one),
                   "%s",
                   json_string_value(rpc("eth_sendTransaction",
                                         "[{\"from\":\"" ALICE "\",\"to\":\"" BOB "\"}]")));
    (void)snprintf(
        two,
        sizeof(two),
        "%s",
        json_string_value(rpc("eth_sendTransaction",
                              "[{\"from\":\"" ALICE "\",\"to\":\"" BOB "\",\"value\":\"0x1\"}]")));
    assert_true(json_is_null(rpc("eth_getTransactionReceipt", "[\"%s\"]", one)));
    is_true(rpc("anvil_dropTransaction", "[\"%s\"]", two));
    assert_true(json_is_false(rpc("hardhat_dropTransaction", "[\"%s\"]", two)));
    assert_true(json_is_null(rpc("eth_getTransactionByHash", "[\"%s\"]", two)));
    assert_int_equal(block_number(), at);
    /* What is pooled outlives a change of state, and a change of the past. */
    json_t *id = rpc("evm_snapshot", "[]");
    is_true(rpc("hardhat_setBalance", "[\"" CAROL "\",\"0x1\"]"));
    is_true(rpc("evm_revert", "[\"%s\"]", json_string_value(id)));
    (void)rpc("evm_mine", "[]");
    assert_int_equal(block_number(), at + 1);
    assert_int_equal(
        number(json_object_get(rpc("eth_getTransactionReceipt", "[\"%s\"]", one), "blockNumber")),
        at + 1);
    is_true(rpc("evm_setIntervalMining", "[20]"));
    uint64_t start = coh_clock_mono_us();
    while (block_number() < at + 4) {
        assert_true(coh_clock_mono_us() - start < PATIENCE_US);
    }
    is_true(rpc("evm_setIntervalMining", "[0]"));
    is_true(rpc("evm_setAutomine", "[true]"));
    /* The next block as it was wished for. */
    is_true(rpc("hardhat_setCoinbase", "[\"0x00000000000000000000000000000000000b10c0\"]"));
    is_true(rpc("anvil_setNextBlockBaseFeePerGas", "[\"0x12a05f200\"]"));
    is_true(rpc("hardhat_setPrevRandao", "[\"0x%064x\"]", 0x99));
    is_true(rpc("evm_setBlockGasLimit", "[\"0x1312d00\"]"));
    (void)rpc("evm_mine", "[]");
    json_t *head = block("latest");
    assert_string_equal(text_of(head, "miner"), "0x00000000000000000000000000000000000b10c0");
    assert_string_equal(text_of(head, "baseFeePerGas"), "0x12a05f200");
    assert_string_equal(text_of(head, "gasLimit"), "0x1312d00");
    assert_int_equal(number(json_object_get(head, "mixHash")), 0x99);
}

static void dev_impersonation(void **state)
{
    (void)state;
    static char const send[] =
        "[{\"from\":\"" CAROL "\",\"to\":\"" BOB "\",\"value\":\"0x7\",\"gas\":\"0x5208\"}]";
    is_true(rpc("hardhat_setBalance", "[\"" CAROL "\",\"0xde0b6b3a7640000\"]"));
    rpc_fails(-32000, "unknown account", "eth_sendTransaction", send);
    is_true(rpc("hardhat_impersonateAccount", "[\"" CAROL "\"]"));
    json_t *tx = rpc("eth_getTransactionByHash",
                     "[\"%s\"]",
                     json_string_value(rpc("eth_sendTransaction", "%s", send)));
    assert_string_equal(text_of(tx, "from"), CAROL);
    rpc_fails(
        -32000, "unknown account", "eth_sign", "[\"" CAROL "\",\"0x00\"]"); /* nobody has its key */
    /* Its raw form is of no use to anybody: it is not signed. */
    is_true(rpc("anvil_stopImpersonatingAccount", "[\"" CAROL "\"]"));
    assert_true(json_is_false(rpc("hardhat_stopImpersonatingAccount", "[\"" CAROL "\"]")));
    rpc_fails(-32000, "unknown account", "eth_sendTransaction", send);
    /* A contract sends what it has, and calls itself. */
    put_code(STORE_CODE);
    is_true(rpc("hardhat_setBalance", "[\"" CODED "\",\"0xde0b6b3a7640000\"]"));
    is_true(rpc("anvil_impersonateAccount", "[\"" CODED "\"]"));
    store(CODED, 3, 4);
    assert_int_equal(slot(CODED, 3), 4);
}

/* EIP-7702: ALICE sends what BOB has signed. Blobs must come signed. */
static void dev_set_code(void **state)
{
    (void)state;
    uint64_t alice     = number(rpc("eth_getTransactionCount", "[\"" ALICE "\",\"latest\"]"));
    uint64_t bob       = number(rpc("eth_getTransactionCount", "[\"" BOB "\",\"latest\"]"));
    coh_tx_auth_t auth = {.chain_id = coh_u256(31337), .nonce = bob};
    char r[65];
    char s[65];
    (void)coh_hex_decode(auth.addr.b, sizeof(auth.addr.b), CODED, strlen(CODED));
    assert_int_equal(coh_tx_auth_sign(&auth, COH_DEV_SECRETS[1]), COH_OK);
    coh_hex_encode(r, auth.r, sizeof(auth.r));
    coh_hex_encode(s, auth.s, sizeof(auth.s));
    put_code(STORE_CODE);
    json_t *hash =
        rpc("eth_sendTransaction",
            "[{\"from\":\"" ALICE "\",\"to\":\"" BOB
            "\",\"gas\":\"0x30d40\",\"data\":\"0x%064x%064x\",\"authorizationList\":[{\"chainId\":"
            "\"0x7a69\",\"address\":\"" CODED "\",\"nonce\":\"0x%" PRIx64
            "\",\"yParity\":\"0x%x\",\"r\":\"0x%.64s\",\"s\":\"0x%.64s\"}]}]",
            5u,
            9u,
            bob,
            (unsigned)auth.parity,
            r + strspn(r, "0"),
            s + strspn(s, "0"));
    char text[67];
    (void)snprintf(text, sizeof(text), "%s", json_string_value(hash));
    json_t *receipt = rpc("eth_getTransactionReceipt", "[\"%s\"]", text);
    assert_int_equal(number(json_object_get(receipt, "type")), 4);
    assert_int_equal(number(json_object_get(receipt, "status")), 1);
    assert_string_equal(json_string_value(rpc("eth_getCode", "[\"" BOB "\",\"latest\"]")),
                        "0xef0100c0de00000000000000000000000000000000c0de");
    assert_int_equal(slot(BOB, 5), 9);
    assert_int_equal(number(rpc("eth_getTransactionCount", "[\"" ALICE "\",\"latest\"]")),
                     alice + 1);
    /* His next one has the nonce behind his authorization. */
    hash = rpc("eth_sendTransaction",
               "[{\"from\":\"" BOB "\",\"to\":\"" CAROL "\",\"value\":\"0x1\"}]");
    (void)snprintf(text, sizeof(text), "%s", json_string_value(hash));
    assert_int_equal(
        number(json_object_get(rpc("eth_getTransactionByHash", "[\"%s\"]", text), "nonce")),
        bob + 1);
    rpc_fails(-32000,
              "signing blob transactions not supported",
              "eth_sendTransaction",
              "[{\"from\":\"" ALICE "\",\"to\":\"" BOB "\",\"maxFeePerBlobGas\":\"0x1\","
              "\"blobVersionedHashes\":["
              "\"0x0100000000000000000000000000000000000000000000000000000000000000\"]}]");
}

static void dev_reset(void **state)
{
    (void)state;
    is_true(rpc("hardhat_reset", "[]"));
    assert_int_equal(block_number(), 0);
    assert_string_equal(json_string_value(rpc("eth_getCode", "[\"" CODED "\",\"latest\"]")), "0x");
    assert_string_equal(json_string_value(rpc("eth_getBalance", "[\"" ALICE "\",\"latest\"]")),
                        "0x21e19e0c9bab2400000");
    assert_int_equal(number(rpc("eth_getTransactionCount", "[\"" ALICE "\",\"latest\"]")), 0);
    (void)rpc("eth_sendTransaction", "[{\"from\":\"" ALICE "\",\"to\":\"" BOB "\"}]");
    assert_int_equal(block_number(), 1);
    assert_string_equal(text_of(block("latest"), "gasLimit"), "0x1c9c380");
    is_true(rpc("anvil_reset", "[]"));
    assert_int_equal(block_number(), 0);
    rpc_fails(-32000,
              "forking is not supported",
              "hardhat_reset",
              "[{\"forking\":{\"jsonRpcUrl\":\"http://example\"}}]");
}

/* ---- random walks ---- */

#define WALK_SLOTS    6u
#define WALK_ACCOUNTS 5u
#define WALK_DEPTH    12u

typedef struct {
    uint64_t block;
    char hash[67];
    uint64_t balances[WALK_ACCOUNTS];
    uint64_t slots[WALK_SLOTS];
    char id[24];
} model_t;

static void walk_addr(char out[43], unsigned i)
{
    (void)snprintf(out, 43, "0x%040x", 0xacc000 + i);
}

static void compare(model_t const *m)
{
    assert_int_equal(block_number(), m->block);
    for (unsigned i = 0; i < WALK_ACCOUNTS; i++) {
        char addr[43];
        walk_addr(addr, i);
        assert_int_equal(balance(addr), m->balances[i]);
    }
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        assert_int_equal(slot(CODED, i), m->slots[i]);
    }
}

static void dev_random_walk(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    coh_rng_t rng;
    print_message("seed %" PRIu64 "\n", seed);
    coh_rng_seed(&rng, seed);
    static model_t models[WALK_DEPTH]; /* the last is the present */
    unsigned depth = 1;
    memset(models, 0, sizeof(models));
    put_code(STORE_CODE);
    models[0].block = block_number();
    for (unsigned i = 0; i < WALK_SLOTS; i++) {
        models[0].slots[i] = slot(CODED, i); /* of tests before */
    }
    for (int step = 0; step < 250; step++) {
        model_t *m     = &models[depth - 1];
        uint64_t value = coh_rng_below(&rng, 4); /* often nothing */
        char addr[43];
        switch (coh_rng_below(&rng, 8)) {
        case 0:
        case 1: {
            uint64_t key = coh_rng_below(&rng, WALK_SLOTS);
            store(coh_rng_below(&rng, 2) == 0 ? ALICE : BOB, key, value);
            m->slots[key] = value;
            m->block++;
            break;
        }
        case 2: {
            uint64_t key = coh_rng_below(&rng, WALK_SLOTS);
            is_true(rpc("hardhat_setStorageAt",
                        "[\"" CODED "\",\"0x%" PRIx64 "\",\"0x%064" PRIx64 "\"]",
                        key,
                        value));
            m->slots[key] = value;
            break;
        }
        case 3: {
            uint64_t i = coh_rng_below(&rng, WALK_ACCOUNTS);
            walk_addr(addr, (unsigned)i);
            is_true(rpc("hardhat_setBalance", "[\"%s\",\"0x%" PRIx64 "\"]", addr, value));
            m->balances[i] = value;
            break;
        }
        case 4: {
            uint64_t i = coh_rng_below(&rng, WALK_ACCOUNTS);
            walk_addr(addr, (unsigned)i);
            (void)rpc("eth_sendTransaction",
                      "[{\"from\":\"" ALICE "\",\"to\":\"%s\",\"value\":\"0x%" PRIx64 "\"}]",
                      addr,
                      value);
            m->balances[i] += value;
            m->block++;
            break;
        }
        case 5:
            if (depth < WALK_DEPTH) {
                latest_hash(m->hash);
                models[depth] = *m;
                (void)snprintf(
                    m->id, sizeof(m->id), "%s", json_string_value(rpc("evm_snapshot", "[]")));
                depth++;
            }
            break;
        case 6:
            if (depth > 1) {
                depth = 1 + (unsigned)coh_rng_below(&rng, depth - 1);
                m     = &models[depth - 1];
                is_true(rpc("evm_revert", "[\"%s\"]", m->id));
                compare(m);
                assert_string_equal(text_of(block("latest"), "hash"), m->hash);
            }
            break;
        default: is_true(rpc("hardhat_mine", "[\"0x%" PRIx64 "\"]", value)); m->block += value;
        }
    }
    compare(&models[depth - 1]);
}

/* ---- main ---- */

static int open_dev(void **state)
{
    (void)state;
    start_node(true);
    return 0;
}

static int close_dev(void **state)
{
    (void)state;
    stop_node();
    return 0;
}

int main(void)
{
    static struct CMUnitTest const dev[] = {
        cmocka_unit_test(dev_accounts),
        cmocka_unit_test(dev_signatures),
        cmocka_unit_test(dev_state),
        cmocka_unit_test(dev_storage_without_code),
        cmocka_unit_test(dev_snapshots),
        cmocka_unit_test(dev_subscribers_see_it_go_back),
        cmocka_unit_test(dev_time),
        cmocka_unit_test(dev_mining),
        cmocka_unit_test(dev_impersonation),
        cmocka_unit_test(dev_random_walk),
        cmocka_unit_test(dev_set_code),
        cmocka_unit_test(dev_reset),
    };
    static struct CMUnitTest const plain[] = {cmocka_unit_test(dev_is_off)};
    char const *parent                     = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof(folder), "%s/test_dev.XXXXXX", parent);
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(plain, NULL, NULL);
    failed += cmocka_run_group_tests(dev, open_dev, close_dev);
    data_option = "--data";
    failed += cmocka_run_group_tests(dev, open_dev, close_dev);
    /* It begins anew on what was left. */
    failed += cmocka_run_group_tests(dev, open_dev, close_dev);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r '%s'", folder);
    return failed != 0 || system(command) != 0;
}
