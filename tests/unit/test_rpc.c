/* JSON-RPC without sockets: how quantities, data and blocks are read and written, what becomes of requests and batches, limits and time, searches for logs, filters and
   subscriptions; over a chain laid down by hand (support/rpcworld.h). Expected texts are those of the JSON-RPC 2.0 and execution-apis documents, and of geth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/codec/receipt.h"
#include "common/crypto/keccak.h"
#include "common/evm/evm.h"
#include "coordinator/gateway/rpc_json.h"
#include "tests/support/rpcworld.h"
#include "tests/support/txgen.h"

/* ---- reading and writing ---- */

static void rpc_json_quantities(void **state)
{
    (void)state;
    static struct {
        char const *json;
        char const *fault; /* NULL: it is read as value */
        uint64_t value;
    } const cases[] = {
        {"\"0x0\"", NULL, 0},
        {"\"0x400\"", NULL, 1024},
        {"\"0xFFFFFFFFFFFFFFFF\"", NULL, UINT64_MAX},
        {"\"0x\"", "invalid argument 3: hex string \"0x\"", 0},
        {"\"\"", NULL, 0},
        {"\"0x0400\"", "invalid argument 3: hex number with leading zero digits", 0},
        {"\"ff\"", "invalid argument 3: hex string without 0x prefix", 0},
        {"\"0xfg\"", "invalid argument 3: invalid hex string", 0},
        {"\"0x10000000000000000\"", "invalid argument 3: hex number > 64 bits", 0},
        {"5",
         "invalid argument 3: json: cannot unmarshal non-string into Go value of type *hexutil.Big",
         0},
        {"null",
         "invalid argument 3: json: cannot unmarshal non-string into Go value of type *hexutil.Big",
         0},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        json_t *v = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        uint64_t got;
        coh_rpc_fault_t fault;
        bool ok = coh_rpc_get_quantity(&got, v, 3, &fault);
        assert_int_equal(ok, cases[i].fault == NULL);
        if (ok) {
            assert_int_equal(got, cases[i].value);
        } else {
            assert_int_equal(fault.code, -32602);
            assert_string_equal(fault.text, cases[i].fault);
        }
        json_decref(v);
    }
}

static void rpc_json_writes(void **state)
{
    (void)state;
    coh_buf_t out = COH_BUF_INIT;
    coh_rpc_put_quantity(&out, 0);
    coh_rpc_put_quantity(&out, 1024);
    coh_rpc_put_quantity(&out, UINT64_MAX);
    coh_u256_t word = {{0, 0, 0, 1}};
    coh_rpc_put_u256(&out, &word);
    word = coh_u256(0);
    coh_rpc_put_u256(&out, &word);
    coh_rpc_put_data(&out, "\x00\xff", 2);
    coh_rpc_put_data(&out, NULL, 0);
    static char const hostile[] = "a\"\\\n\x01\xff\xc3\xa9\xed\xa0\x80";
    coh_rpc_put_string(&out, hostile, sizeof(hostile) - 1);
    coh_buf_put_u8(&out, 0);
    assert_string_equal((char *)out.p,
                        "\"0x0\"\"0x400\"\"0xffffffffffffffff\""
                        "\"0x1000000000000000000000000000000000000000000000000\"\"0x0\""
                        "\"0x00ff\"\"0x\""
                        "\"a\\\"\\\\\\u000a\\u0001?\xc3\xa9???\"");
    coh_buf_free(&out);
}

static void rpc_json_is_bounded(void **state)
{
    (void)state;
    coh_rpc_fault_t fault;
    json_t *v = coh_rpc_parse(coh_bytes("[[[1]]]", 7), 3, 100, &fault);
    assert_non_null(v);
    json_decref(v);
    assert_null(coh_rpc_parse(coh_bytes("[[[[1]]]]", 9), 3, 100, &fault));
    assert_int_equal(fault.code, -32600);
    assert_null(coh_rpc_parse(coh_bytes("[1,2,3,4]", 9), 3, 4, &fault));
    v = coh_rpc_parse(
        coh_bytes("\"[[[[,,,,\"", 10), 3, 4, &fault); /* in a string they count for nothing */
    assert_non_null(v);
    json_decref(v);
    assert_null(coh_rpc_parse(coh_bytes("{\"a\"", 4), 3, 100, &fault));
    assert_int_equal(fault.code, -32700);
}

/* ---- a chain ---- */

#define CHAIN_ID 1337u

static coh_genesis_t genesis;
static coh_txgen_t *gen;
static coh_addr_t const emitter = {{0xee, 1}};
static coh_hash_t const topic   = {{0x70, 1}};

static int setup(void **state)
{
    (void)state;
    genesis          = (coh_genesis_t){.chain_id = CHAIN_ID, .gas_limit = 30000000};
    genesis.base_fee = coh_u256(1000000000);
    for (int f = 0; f < COH_FORK_CNT; f++) {
        genesis.fork_at[f] = f <= COH_FORK_SHANGHAI ? 0 : UINT64_MAX;
    }
    gen = coh_txgen_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coh_txgen_free(gen);
    return 0;
}

static coh_fork_t rules = COH_FORK_SHANGHAI; /* of blocks that are added */

/* add_block puts a block of cnt transfers on top; those of the bits in logged have one log with topic, or without if it is not even. */
static void add_block(coh_rpcworld_t *w, uint32_t cnt, uint32_t logged)
{
    coh_rpcworld_tx_t txs[32];
    coh_buf_t logs[32] = {COH_BUF_INIT};
    uint64_t number    = w->block_cnt;
    coh_header_t h     = {.number      = number,
                          .gas_limit   = 30000000,
                          .gas_used    = 21000 * (uint64_t)cnt,
                          .timestamp   = 1700000000 + number,
                          .ommers_hash = COH_EMPTY_LIST_HASH,
                          .base_fee    = coh_u256(1000000000)};
    for (uint32_t i = 0; i < cnt; i++) {
        coh_txgen_tx_t const *tx =
            coh_txgen_make(gen,
                           &(coh_txgen_spec_t){.key       = i,
                                               .type      = COH_TX_DYNAMIC_FEE,
                                               .chain_id  = CHAIN_ID,
                                               .nonce     = number,
                                               .gas_limit = 21000,
                                               .max_fee   = coh_u256(2000000000),
                                               .max_tip   = coh_u256(1000 * (i + 1)),
                                               .value     = coh_u256(1),
                                               .to        = {{0xaa}}});
        if ((logged >> i & 1) != 0) {
            coh_log_put(&logs[i], &emitter, &topic, i % 2 == 0 ? 1 : 0, coh_bytes("\x2a", 1));
            coh_rlp_wrap_list(&logs[i], 0);
            assert_true(coh_bloom_add_logs(h.bloom, coh_buf_bytes(&logs[i])));
        }
        txs[i] = (coh_rpcworld_tx_t){.raw      = tx->raw,
                                     .sender   = tx->sender,
                                     .status   = 1,
                                     .gas_used = 21000,
                                     .logs     = coh_buf_bytes(&logs[i])};
    }
    coh_buf_t rlp = COH_BUF_INIT;
    coh_header_encode(&rlp, &h, rules);
    coh_rpcworld_add(w, coh_buf_bytes(&rlp), rules, txs, cnt);
    coh_buf_free(&rlp);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_buf_free(&logs[i]);
    }
}

static uint32_t count(char const *text, char const *what)
{
    uint32_t n = 0;
    for (char const *at = text; (at = strstr(at, what)) != NULL; at += strlen(what)) {
        n++;
    }
    return n;
}

/* The text of the member result, a string, of the last answer. */
static char const *result_of(coh_rpcworld_t const *w)
{
    static char text[128];
    char const *at = strstr(w->answer, "\"result\":\"");
    assert_non_null(at);
    (void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
    return text;
}

static char const *call_with(coh_rpcworld_t *w, char const *method, char const *params)
{
    char text[4096];
    int n = snprintf(text,
                     sizeof(text),
                     "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
                     method,
                     params);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    return coh_rpcworld_call(w, text);
}

#define REQUEST(method, params) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":" params "}"
#define CALL(method, params)      coh_rpcworld_call(&w, REQUEST(method, params))
#define CALL_WITH(method, params) call_with(&w, method, params)
#define ANSWER(result)            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":" result "}"
#define FAULT(code, text) \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":" code ",\"message\":\"" text "\"}}"

/* JSON-RPC 2.0, section 7, and geth's texts. */
static void rpc_requests_and_batches(void **state)
{
    (void)state;
    static struct {
        char const *request;
        char const *answer;
    } const cases[] = {
        {"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"eth_chainId\"}",
         "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":\"0x539\"}"},
        {"{\"jsonrpc\":\"2.0\",\"method\":\"eth_chainId\"}", ""},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"eth_chainId\",\"params\":[]}",
         "{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":\"0x539\"}"},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"eth_chainId\"}",
         FAULT("-32600", "invalid request")},
        {"{\"jsonrpc\":\"2.0\",\"id\":[1],\"method\":\"eth_chainId\"}",
         "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"invalid "
         "request\"}}"},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no\"}",
         FAULT("-32601", "the method no does not exist/is not available")},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":{}}",
         FAULT("-32602", "non-array args")},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",\"params\":[1]}",
         FAULT("-32602", "too many arguments, want at most 0")},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\"}",
         FAULT("-32602", "missing value for required argument 0")},
        {"[]",
         "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"empty "
         "batch\"}}"},
        {"1",
         "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"invalid "
         "request\"}}"},
        {"[1]",
         "[{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"invalid "
         "request\"}}]"},
        {"[{\"jsonrpc\":\"2.0\",\"method\":\"eth_chainId\"}]", ""},
        {"[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"eth_blockNumber\"},{\"jsonrpc\":\"2.0\","
         "\"id\":8,"
         "\"method\":\"eth_getBalance\",\"params\":[\"0x00000000000000000000000000000000000000aa\"]"
         "}]",
         "[{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"0x0\"},{\"jsonrpc\":\"2.0\",\"id\":8,"
         "\"result\":\"0x1234\"}]"},
    };
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    assert_non_null(strstr(CALL("eth_chainId", "[]"), "busy: the cluster is starting"));
    add_block(&w, 0, 0);
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        assert_string_equal(coh_rpcworld_call(&w, cases[i].request), cases[i].answer);
    }
    assert_non_null(strstr(coh_rpcworld_call(&w, "{\"jsonrpc\""), "\"code\":-32700"));
    coh_rpcworld_fini(&w);
}

static void rpc_is_bounded(void **state)
{
    (void)state;
    static char const two[] = "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\","
                              "\"params\":[\"0x00000000000000000000000000000000000000aa\"]},"
                              "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"eth_getBalance\","
                              "\"params\":[\"0x00000000000000000000000000000000000000aa\"]}]";
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 20, 0);
    w.config.http_batch_max = 1;
    assert_non_null(strstr(coh_rpcworld_call(&w, two), "batch too large"));
    w.config.http_batch_max = 2;
    w.config.http_calls_max = 3;
    coh_rpc_request(w.peer, coh_bytes(two, strlen(two))); /* two calls in flight */
    assert_int_equal(coh_rpc_peer_open_cnt(w.peer), 1);
    coh_rpc_request(w.peer, coh_bytes(two, strlen(two)));
    assert_non_null(strstr(w.answer, "busy: too many calls in flight"));
    coh_rpcworld_answer(&w);
    assert_int_equal(count(w.answer, "0x1234"), 2);
    assert_int_equal(coh_rpc_peer_open_cnt(w.peer), 0);
    w.config.http_response_bytes_max = 5000;
    assert_non_null(
        strstr(CALL("eth_getBlockByNumber", "[\"latest\",true]"), "response too large"));
    assert_non_null(strstr(CALL("eth_getBlockByNumber", "[\"latest\",false]"), "transactionsRoot"));
    coh_rpcworld_fini(&w);
}

static void rpc_time_is_up(void **state)
{
    (void)state;
    static char const request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getBalance\","
                                  "\"params\":[\"0x00000000000000000000000000000000000000aa\"]}";
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    coh_rpc_request(w.peer, coh_bytes(request, strlen(request)));
    coh_rpc_flush(w.rpc);
    (void)coh_rpc_tick(w.rpc, w.now_us + w.config.http_timeout_ms * 1000 - 1);
    assert_int_equal(w.answer_cnt, 0);
    (void)coh_rpc_tick(w.rpc, w.now_us + w.config.http_timeout_ms * 1000);
    assert_string_equal(w.answer, FAULT("-32002", "request timed out"));
    coh_rpcworld_answer(&w); /* comes back to nobody */
    assert_int_equal(w.answer_cnt, 1);
    /* A peer that goes away with calls open. */
    coh_rpc_request(w.peer, coh_bytes(request, strlen(request)));
    coh_rpc_flush(w.rpc);
    coh_rpc_peer_free(w.peer);
    w.peer = NULL;
    coh_rpcworld_answer(&w);
    assert_int_equal(w.answer_cnt, 1);
    coh_rpcworld_fini(&w);
}

static void rpc_submissions_go_as_one_batch(void **state)
{
    (void)state;
    static char const request[] =
        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_sendRawTransaction\",\"params\":[\"0x\"]},"
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"eth_sendRawTransaction\",\"params\":[\"0x0\"]},"
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"eth_sendRawTransaction\",\"params\":["
        "\"0x616263\"]}]";
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 1, 0);
    coh_rpc_request(w.peer, coh_bytes(request, strlen(request)));
    coh_rpc_request(w.peer, coh_bytes(request, strlen(request)));
    coh_rpcworld_answer(&w);
    assert_int_equal(w.submit_cnt, 4);
    assert_int_equal(w.batch_cnt, 1);
    /* keccak256 of nothing, and of "abc" */
    assert_string_equal(w.answer,
                        "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":"
                        "\"0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470\"},"
                        "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32602,\"message\":"
                        "\"invalid argument 0: hex string of odd length\"}},"
                        "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":"
                        "\"0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45\"}]");
    coh_bytes_t raw = coh_txgen_make(gen,
                                     &(coh_txgen_spec_t){.key       = 0,
                                                         .type      = COH_TX_DYNAMIC_FEE,
                                                         .chain_id  = CHAIN_ID,
                                                         .nonce     = 0,
                                                         .gas_limit = 21000,
                                                         .max_fee   = coh_u256(2000000000),
                                                         .max_tip   = coh_u256(1000),
                                                         .value     = coh_u256(1),
                                                         .to        = {{0xaa}}})
                          ->raw;
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_printf(
        &text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_sendRawTransaction\",\"params\":[");
    coh_rpc_put_data(&text, raw.p, raw.n);
    coh_buf_printf(&text, "]}");
    coh_buf_put_u8(&text, 0);
    w.verdict = COH_TX_NONCE_TOO_LOW;
    assert_string_equal(coh_rpcworld_call(&w, (char *)text.p),
                        FAULT("-32000", "nonce too low: next nonce 9, tx nonce 0"));
    w.verdict = COH_TX_FUNDS;
    assert_string_equal(coh_rpcworld_call(&w, (char *)text.p),
                        FAULT("-32000",
                              "insufficient funds for gas * price + value: balance 5, tx cost "
                              "42000000000001, overshot 41999999999996"));
    w.verdict = COH_TX_KNOWN;
    assert_string_equal(coh_rpcworld_call(&w, (char *)text.p), FAULT("-32000", "already known"));
    w.verdict = COH_TX_POOL_FULL;
    assert_non_null(strstr(coh_rpcworld_call(&w, (char *)text.p), "\"code\":-32005"));
    coh_buf_free(&text);
    coh_rpcworld_fini(&w);
}

/* EIP-7966 */
static void rpc_waits_for_the_receipt(void **state)
{
    (void)state;
    static char const request[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_"
                                  "sendRawTransactionSync\",\"params\":[\"0x616263\",\"0x64\"]}";
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 1, 0);
    coh_rpc_request(w.peer, coh_bytes(request, strlen(request)));
    coh_rpcworld_answer(&w);
    add_block(&w, 1, 0); /* without it */
    coh_rpcworld_answer(&w);
    assert_int_equal(w.answer_cnt, 0);
    (void)coh_rpc_tick(w.rpc, w.now_us + 99999);
    assert_int_equal(w.answer_cnt, 0);
    (void)coh_rpc_tick(w.rpc, w.now_us + 100000);
    assert_non_null(strstr(w.answer, "\"code\":4,"));
    assert_non_null(
        strstr(w.answer,
               "\"data\":\"0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45\""));
    coh_rpcworld_fini(&w);
}

#define AA "\"0x00000000000000000000000000000000000000aa\""

static void rpc_state_of_blocks(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    add_block(&w, 0, 0);
    add_block(&w, 0, 0);
    w.oldest = 1;
    char hash[67];
    (void)snprintf(hash, sizeof(hash), "0x");
    coh_hex_encode(hash + 2, w.blocks[1]->hash.b, 32);
    char params[256];
    assert_string_equal(CALL("eth_getTransactionCount", "[" AA ",\"pending\"]"), ANSWER("\"0x7\""));
    assert_string_equal(CALL("eth_getBalance", "[" AA "]"), ANSWER("\"0x1234\""));
    assert_string_equal(CALL("eth_getBalance", "[" AA ",\"0x2\"]"), ANSWER("\"0x1002\""));
    assert_string_equal(CALL("eth_getBalance", "[" AA ",{\"blockNumber\":\"0x1\"}]"),
                        ANSWER("\"0x1001\""));
    (void)snprintf(params, sizeof(params), "[" AA ",{\"blockHash\":\"%s\"}]", hash);
    assert_string_equal(CALL_WITH("eth_getBalance", params), ANSWER("\"0x1001\""));
    hash[2] = hash[2] == '0' ? '1' : '0';
    (void)snprintf(params, sizeof(params), "[" AA ",\"%s\"]", hash);
    assert_string_equal(CALL_WITH("eth_getBalance", params),
                        FAULT("-32000", "header for hash not found"));
    assert_string_equal(CALL("eth_getBalance", "[" AA ",\"0x0\"]"),
                        FAULT("-32000",
                              "missing trie node: historical state not available: that of block 0 "
                              "is not remembered any more"));
    assert_string_equal(CALL("eth_getBalance", "[" AA ",\"0x3\"]"),
                        FAULT("-32000", "header not found"));
    assert_string_equal(
        CALL("eth_getStorageAt", "[" AA ",\"0x0\",\"latest\"]"),
        ANSWER("\"0x0000000000000000000000000000000000000000000000000000000000001234\""));
    assert_string_equal(CALL("eth_getCode", "[" AA "]"), ANSWER("\"0x\""));
    assert_string_equal(
        CALL("eth_getBalance", "[\"0xaa\"]"),
        FAULT("-32602", "invalid argument 0: hex string has length 2, want 40 for common.Address"));
    coh_rpcworld_fini(&w);
}

static void put_large_proof(coh_buf_t *out, int key_cnt)
{
    coh_buf_printf(
        out, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getProof\",\"params\":[" AA ",[");
    for (int i = 0; i < key_cnt; i++) {
        coh_buf_printf(out, "%s\"0x1\"", i == 0 ? "" : ",");
    }
    coh_buf_printf(out, "],\"latest\"]}");
}

/* EIP-1186, with keys and missing accounts as geth shows them. */
static void rpc_proofs(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    add_block(&w, 0, 0);
    add_block(&w, 0, 0);
    w.oldest = 1;
    w.proof  = (coh_op_get_proof_answer_t){.exists       = 1,
                                           .nonce        = 5,
                                           .balance      = coh_u256(0x76),
                                           .storage_root = {{0x5a}},
                                           .code_hash    = {{0xc0, 0xde}},
                                           .nodes        = coh_bytes("\xc5\x82\xab\xcd\x07\x80", 6)};
#define ZEROS28 "00000000000000000000000000000000000000000000000000000000"
#define ZEROS30 ZEROS28 "0000"
#define NODES   "[\"0xabcd\",\"0x07\",\"0x\"]"
#define PROOF(code, nonce, root, balance, storage)                                            \
    ANSWER("{\"address\":" AA ",\"accountProof\":" NODES ",\"balance\":\"" balance            \
           "\",\"codeHash\":\"0x" code "\",\"nonce\":\"" nonce "\",\"storageHash\":\"0x" root \
           "\",\"storageProof\":[" storage "]}")
#define SLOT(key, value) "{\"key\":\"" key "\",\"value\":\"" value "\",\"proof\":" NODES "}"
#define THERE(storage)   PROOF("c0de" ZEROS30, "0x5", "5a" ZEROS30 "00", "0x76", storage)
    assert_string_equal(CALL("eth_getProof", "[" AA ",[],\"latest\"]"), THERE(""));
    assert_string_equal(CALL("eth_getProof", "[" AA ",[\"0x00\"],\"safe\"]"),
                        THERE(SLOT("0x0", "0x1234")));
    assert_string_equal(
        CALL("eth_getProof",
             "[" AA ",[\"0x000deadbeef\",\"0x" ZEROS28 "DEADbeef\",\"0x0" ZEROS28
             "1beef\",\"0x00" ZEROS28 "1beef\"],{\"blockNumber\":\"0x1\"}]"),
        THERE(SLOT("0xdeadbeef", "0x1001") "," SLOT("0x" ZEROS28 "deadbeef", "0x1001") "," SLOT(
            "0x1beef", "0x1001") "," SLOT("0x" ZEROS28 "0001beef", "0x1001")));
    char params[256];
    char hash[67] = "0x";
    coh_hex_encode(hash + 2, w.blocks[2]->hash.b, 32);
    (void)snprintf(params, sizeof(params), "[" AA ",[\"0x1\"],\"%s\"]", hash);
    assert_string_equal(CALL_WITH("eth_getProof", params), THERE(SLOT("0x1", "0x1002")));
    assert_string_equal(CALL("eth_getProof", "[" AA ",[],\"0x0\"]"),
                        FAULT("-32000",
                              "missing trie node: historical state not available: that of block 0 "
                              "is not remembered any more"));
    assert_string_equal(CALL("eth_getProof", "[" AA ",[],\"0x3\"]"),
                        FAULT("-32000", "header not found"));
    assert_string_equal(CALL("eth_getProof", "[" AA "]"),
                        FAULT("-32602", "missing value for required argument 1"));
    assert_string_equal(CALL("eth_getProof", "[" AA ",[]]"),
                        FAULT("-32602", "missing value for required argument 2"));
    assert_string_equal(CALL("eth_getProof", "[" AA ",[\"0x0g\"],\"latest\"]"),
                        FAULT("-32602", "unable to decode storage key: hex string invalid"));
    assert_non_null(strstr(CALL("eth_getProof", "[" AA ",\"0x0\",\"latest\"]"),
                           "invalid argument 1: json: cannot unmarshal non-array"));

    coh_buf_t many = COH_BUF_INIT;
    for (int over = 0; over < 2; over++) {
        coh_buf_clear(&many);
        put_large_proof(&many, 1024 + over);
        coh_buf_put_u8(&many, 0);
        char const *got = coh_rpcworld_call(&w, (char const *)many.p);
        if (over == 1) {
            assert_string_equal(got, FAULT("-32602", "too many slots (max 1024)"));
        } else {
            assert_int_equal(count(got, SLOT("0x1", "0x1234")), 1024);
        }
    }
    for (int again = 0; again < 2; again++) { /* 16 of the largest at a time */
        coh_buf_clear(&many);
        for (int i = 0; i < 17; i++) {
            coh_buf_printf(&many, "%s", i == 0 ? "[" : ",");
            put_large_proof(&many, 1024);
        }
        coh_buf_printf(&many, "]");
        coh_buf_put_u8(&many, 0);
        char const *got = coh_rpcworld_call(&w, (char const *)many.p);
        assert_int_equal(count(got, SLOT("0x1", "0x1234")), 16 * 1024);
        assert_int_equal(count(got, FAULT("-32005", "busy: too many proofs")), 1);
    }
    coh_buf_free(&many);

    w.proof = (coh_op_get_proof_answer_t){
        .storage_root = COH_EMPTY_TRIE_ROOT, .code_hash = COH_KECCAK_EMPTY, .nodes = w.proof.nodes};
    assert_string_equal(CALL("eth_getProof", "[" AA ",[],\"finalized\"]"),
                        PROOF(ZEROS30 "0000", "0x0", ZEROS30 "0000", "0x0", ""));
    w.proof_err = COH_EIO;
    assert_string_equal(CALL("eth_getProof", "[" AA ",[],\"finalized\"]"),
                        FAULT("-32603", "internal error: input/output error"));
    coh_rpcworld_fini(&w);
}

/* What a call asks of a shard, and what becomes of each way in which it may end. */
static void rpc_calls(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_tx_t tx;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    add_block(&w, 0, 0);
    uint8_t output[] = {0xab, 0xcd};
    w.call_result    = (coh_msg_call_result_t){.output = coh_bytes(output, 2), .gas = 0x5316};
    assert_string_equal(CALL("eth_call", "[{\"to\":" AA ",\"input\":\"0x0102\"}]"),
                        ANSWER("\"0xabcd\""));
    assert_int_equal(w.call.block, 1);
    assert_int_equal(w.call.number, 1);
    assert_int_equal(w.call.mode, COH_CALL_EXECUTE);
    assert_int_equal(coh_tx_decode(&tx, coh_buf_bytes(&w.call_tx)), COH_TX_OK);
    assert_int_equal(tx.type, COH_TX_LEGACY);
    assert_int_equal(tx.gas_limit, UINT64_MAX);
    assert_int_equal(tx.data.n, 2);
    assert_string_equal(
        CALL("eth_call",
             "[{\"to\":" AA ",\"maxFeePerGas\":\"0x9\",\"gas\":\"0x30d40\",\"accessList\":[{"
             "\"address\":" AA ",\"storageKeys\":["
             "\"0x0000000000000000000000000000000000000000000000000000000000000005\"]}]},\"0x0\",{"
             "" AA ":{\"balance\":\"0x7\",\"code\":\"0x600000\",\"stateDiff\":{"
             "\"0x0000000000000000000000000000000000000000000000000000000000000001\":"
             "\"0x0000000000000000000000000000000000000000000000000000000000000002\"}}},"
             "{\"number\":\"0x63\",\"baseFeePerGas\":\"0x3\"}]"),
        ANSWER("\"0xabcd\""));
    assert_int_equal(w.call.block, 0);
    assert_int_equal(w.call.number, 0x63);
    assert_int_equal(w.call.base_fee.w[0], 3);
    assert_int_equal(coh_tx_decode(&tx, coh_buf_bytes(&w.call_tx)), COH_TX_OK);
    assert_int_equal(tx.type, COH_TX_DYNAMIC_FEE);
    assert_int_equal(tx.gas_limit, 200000);
    assert_int_equal(tx.max_fee.w[0], 9);
    assert_int_equal(tx.access_key_cnt, 1);
    assert_int_equal(w.call.overrides.cnt, 1);
    assert_int_equal(w.call_override.fields, COH_OVERRIDE_BALANCE | COH_OVERRIDE_CODE);
    assert_int_equal(w.call_override.balance.w[0], 7);
    assert_int_equal(w.call_override.code.n, 3);
    assert_int_equal(w.call.slots.cnt, 1);
    assert_int_equal(w.call_slot.slot.w[0], 1);
    assert_int_equal(w.call_slot.value.w[0], 2);
    assert_string_equal(CALL("eth_estimateGas", "[{\"to\":" AA "}]"), ANSWER("\"0x5316\""));
    assert_int_equal(w.call.mode, COH_CALL_ESTIMATE);
    uint8_t list[] = {0xd6, 0x94, 0, 0, 0, 0, 0, 0, 0, 0,    0,   0,
                      0,    0,    0, 0, 0, 0, 0, 0, 0, 0xaa, 0xc0};
    w.call_result  = (coh_msg_call_result_t){
         .access_list = coh_bytes(list, sizeof(list)), .status = COH_EVM_REVERT, .gas_used = 0x5208};
    assert_string_equal(CALL("eth_createAccessList", "[{\"to\":" AA "}]"),
                        ANSWER("{\"accessList\":[{\"address\":" AA
                               ",\"storageKeys\":[]}],\"error\":\"execution reverted\",\"gasUsed\":"
                               "\"0x5208\"}"));
    coh_rpcworld_fini(&w);
}

/* eth_fillTransaction: the example of geth's pull request 19915, what is filled in beside, and geth's texts where a transaction cannot be. */
static void rpc_fills_transactions(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_tx_t tx;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    assert_string_equal(
        CALL("eth_fillTransaction",
             "[{\"to\":\"0x17Ff1b635D4A1E4Ba1377E06d1dD0e1C9015FB5f\",\"value\":\"0x64\","
             "\"gas\":\"0x5208\",\"gasPrice\":\"0x1\",\"nonce\":\"0x0\"}]"),
        ANSWER("{\"raw\":\"0xdf80018252089417ff1b635d4a1e4ba1377e06d1dd0e1c9015fb5f6480808080\","
               "\"tx\":{\"type\":\"0x0\",\"hash\":"
               "\"0xea7d97f5fe68d9fc638410cf134f3785ef690330660069252e5d7bb2f122f6c7\",\"to\":"
               "\"0x17ff1b635d4a1e4ba1377e06d1dd0e1c9015fb5f\",\"nonce\":\"0x0\",\"gas\":"
               "\"0x5208\",\"gasPrice\":\"0x1\",\"maxFeePerGas\":null,"
               "\"maxPriorityFeePerGas\":null,\"value\":\"0x64\",\"input\":\"0x\","
               "\"v\":\"0x0\",\"r\":\"0x0\",\"s\":\"0x0\"}}"));
    assert_int_equal(w.call_cnt, 0);
    /* Everything is missing: the nonce behind the pool's, an estimate, the tip, and twice the base fee. */
    w.call_result = (coh_msg_call_result_t){.gas = 0x5316};
    (void)CALL("eth_fillTransaction", "[{\"from\":" AA ",\"to\":" AA "}]");
    assert_int_equal(w.call_cnt, 1);
    assert_int_equal(w.call.mode, COH_CALL_ESTIMATE);
    assert_int_equal(coh_tx_decode_mined(&tx, coh_buf_bytes(&w.call_tx)), COH_TX_OK);
    coh_u256_t tip = tx.max_tip;
    coh_u256_t cap = w.blocks[0]->header.base_fee;
    (void)coh_u256_add(&cap, &cap, &cap);
    (void)coh_u256_add(&cap, &cap, &tip);
    assert_int_equal(tx.type, COH_TX_DYNAMIC_FEE);
    assert_true(coh_u256_eq(&tx.max_fee, &cap));
    json_t *answer = json_loads(w.answer, 0, NULL);
    json_t *filled = json_object_get(json_object_get(answer, "result"), "tx");
    coh_buf_t raw  = COH_BUF_INIT;
    coh_rpc_fault_t fault;
    assert_string_equal(json_string_value(json_object_get(filled, "gas")), "0x5316");
    assert_string_equal(json_string_value(json_object_get(filled, "type")), "0x2");
    assert_true(json_is_null(json_object_get(filled, "gasPrice")));
    assert_true(coh_rpc_get_data(
        &raw, json_object_get(json_object_get(answer, "result"), "raw"), 0, &fault));
    assert_int_equal(coh_tx_decode_mined(&tx, coh_buf_bytes(&raw)), COH_TX_OK);
    assert_int_equal(tx.gas_limit, 0x5316);
    assert_true(coh_u256_eq(&tx.max_fee, &cap));
    coh_buf_free(&raw);
    json_decref(answer);
    static struct {
        char const *args;
        char const *text;
    } const refused[] = {
        {"[{\"gasPrice\":\"0x1\",\"maxFeePerGas\":\"0x1\",\"to\":" AA "}]",
         "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"},
        {"[{\"gasPrice\":\"0x0\",\"to\":" AA "}]", "gasPrice must be non-zero after london fork"},
        {"[{\"maxFeePerGas\":\"0x0\",\"maxPriorityFeePerGas\":\"0x0\",\"to\":" AA "}]",
         "maxFeePerGas must be non-zero"},
        {"[{\"maxFeePerGas\":\"0x5\",\"maxPriorityFeePerGas\":\"0xa\",\"to\":" AA "}]",
         "maxFeePerGas (5) < maxPriorityFeePerGas (10)"},
        {"[{}]", "contract creation without any data provided"},
        {"[{\"data\":\"0x01\",\"input\":\"0x02\",\"to\":" AA "}]",
         "both \\\"data\\\" and \\\"input\\\" are set and not equal. Please use \\\"input\\\" to "
         "pass transaction call data"},
        {"[{\"chainId\":\"0x1\",\"to\":" AA "}]", "chainId does not match node's (have=1, want="},
        {"[{\"blobVersionedHashes\":[],\"to\":" AA "}]",
         "need at least 1 blob for a blob transaction"},
        {"[{\"maxFeePerBlobGas\":\"0x0\",\"to\":" AA "}]",
         "maxFeePerBlobGas, if specified, must be non-zero"},
    };
    for (size_t i = 0; i < COH_CNT(refused); i++) {
        char const *got = CALL_WITH("eth_fillTransaction", refused[i].args);
        assert_non_null(strstr(got, "\"code\":-32000"));
        assert_non_null(strstr(got, refused[i].text));
    }
    coh_rpcworld_fini(&w);
}

/* Blocks of a simulation: which are asked for, what is told of them, and geth's codes and texts where one cannot be. */
static void rpc_simulates(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    w.root                         = (coh_hash_t){{0xab, 1}};
    uint8_t output[]               = {0x12, 0x34};
    uint8_t reason[5]              = {1, 2, 3, 4, 5};
    coh_rec_sim_result_t results[] = {{.nonce    = 7,
                                       .gas      = 50000,
                                       .status   = COH_EVM_SUCCESS,
                                       .gas_used = 21000,
                                       .gas_max  = 22000,
                                       .output   = coh_bytes(output, 2)},
                                      {.nonce    = 8,
                                       .gas      = 60000,
                                       .status   = COH_EVM_REVERT,
                                       .gas_used = 25000,
                                       .gas_max  = 25000,
                                       .output   = coh_bytes(reason, 5)}};
    coh_rec_sim_account_t account  = {.nonce = 8, .changed = 1};
    w.call_result                  = (coh_msg_call_result_t){.results  = {.v = results, .cnt = 2},
                                                             .accounts = {.v = &account, .cnt = 1}};
    /* Two empty blocks before the one with calls; nobody is asked for those. */
    char const *got =
        CALL("eth_simulateV1",
             "[{\"blockStateCalls\":[{\"blockOverrides\":{\"number\":\"0x3\"},"
             "\"calls\":[{\"to\":" AA "},{\"to\":" AA ",\"gas\":\"0xea60\",\"nonce\":\"0x8\"}]}],"
             "\"returnFullTransactions\":true},\"0x0\"]");
    assert_int_equal(w.call_cnt, 1);
    assert_int_equal(w.root_cnt, 1);
    assert_int_equal(w.root_account_cnt, 1);
    assert_int_equal(w.call.mode, COH_CALL_SIMULATE);
    assert_int_equal(w.call.block, 0);
    assert_int_equal(w.call.number, 3);
    assert_int_equal(w.call.txs.cnt, 2);
    assert_int_equal(w.call.budget, 50000000);
    assert_int_equal(w.call.hashes.n, 64);
    assert_int_equal(count(got, "\"calls\":["), 3);
    assert_int_equal(count(got, "\"calls\":[]"), 2);
    assert_int_equal(count(got, "\"stateRoot\":\"0xab01"), 1);
    assert_int_equal(count(got, "\"nonce\":\"0x7\",\"gas\":\"0xc350\""), 1);
    assert_int_equal(count(got, "\"nonce\":\"0x8\",\"gas\":\"0xea60\""), 1);
    assert_int_equal(count(got,
                           "{\"returnData\":\"0x1234\",\"logs\":[],\"gasUsed\":\"0x5208\","
                           "\"maxUsedGas\":\"0x55f0\",\"status\":\"0x1\"}"),
                     1);
    assert_int_equal(count(got,
                           "\"status\":\"0x0\",\"error\":{\"message\":\"execution reverted\","
                           "\"code\":3,\"data\":\"0x0102030405\"}}"),
                     1);
    static struct {
        char const *params;
        char const *fault;
    } const wrong[] = {
        {"[{}]", FAULT("-32602", "empty input")},
        {"[5]",
         FAULT("-32602",
               "invalid argument 0: json: cannot unmarshal number into Go value of type "
               "ethapi.simOpts")},
        {"[{\"blockStateCalls\":[5]}]",
         FAULT("-32602",
               "invalid argument 0: json: cannot unmarshal number into Go value of type "
               "ethapi.simBlock")},
        {"[{\"blockStateCalls\":[{\"blockOverrides\":{\"number\":\"0x0\"}}]}]",
         FAULT("-38020", "block numbers must be in order: 0 <= 0")},
        {"[{\"blockStateCalls\":[{\"blockOverrides\":{\"number\":\"0x101\"}}]}]",
         FAULT("-38026", "too many blocks")},
        {"[{\"blockStateCalls\":[{\"blockOverrides\":{\"time\":\"0x0\"}}]}]",
         FAULT("-38021", "block timestamps must be in order: 0 <= 1700000000")},
        {"[{\"blockStateCalls\":[{\"stateOverrides\":{" AA
         ":{\"movePrecompileToAddress\":\"0x00000000000000000000000000000000000000bb\"}}}]}]",
         FAULT("-32000", "account 0x00000000000000000000000000000000000000AA is not a precompile")},
        {"[{\"blockStateCalls\":[{}]},\"0x5\"]", FAULT("-32000", "header not found")},
        {"[{\"blockStateCalls\":[{\"calls\":[{\"gasPrice\":\"0x1\",\"maxFeePerGas\":\"0x1\"}]}]}]",
         FAULT("-32000", "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")},
    };
    for (size_t i = 0; i < COH_CNT(wrong); i++) {
        assert_string_equal(CALL_WITH("eth_simulateV1", wrong[i].params), wrong[i].fault);
    }
    static struct {
        coh_tx_err_t verdict;
        char const *fault;
    } const refused[] = {
#define WHO "0x0000000000000000000000000000000000000000"
        {COH_TX_NONCE_TOO_LOW,
         FAULT("-38010", "err: nonce too low: address " WHO ", tx: 6 state: 9 (supplied gas 70)")},
        {COH_TX_NONCE_TOO_HIGH,
         FAULT("-38011", "err: nonce too high: address " WHO ", tx: 6 state: 9 (supplied gas 70)")},
        {COH_TX_GAS_LIMIT, FAULT("-38015", "block gas limit reached: 50 >= 30000000")},
        {COH_TX_FLOOR_GAS,
         FAULT("-32603",
               "err: insufficient gas for floor data gas cost: have 70, want 0 (supplied gas 70)")},
        {COH_TX_INITCODE_SIZE,
         FAULT("-38025",
               "err: max initcode size exceeded: code size 0 limit 49152 (supplied gas 70)")},
    };
    for (size_t i = 0; i < COH_CNT(refused); i++) {
        w.call_result = (coh_msg_call_result_t){.err      = COH_CALL_REFUSED,
                                                .verdict  = (uint32_t)refused[i].verdict,
                                                .nonce    = 9,
                                                .gas      = 70,
                                                .gas_used = 50};
        assert_string_equal(CALL("eth_simulateV1",
                                 "[{\"blockStateCalls\":[{\"calls\":[{\"to\":" AA
                                 ",\"nonce\":\"0x6\"}]}]}]"),
                            refused[i].fault);
    }
    w.call_result = (coh_msg_call_result_t){.err = COH_CALL_GONE};
    assert_non_null(strstr(CALL("eth_simulateV1", "[{\"blockStateCalls\":[{\"calls\":[{}]}]}]"),
                           "missing trie node"));
    /* A shard that says too little, and a state that no root is known of. */
    w.call_result = (coh_msg_call_result_t){.results = {.v = results, .cnt = 1}};
    assert_non_null(
        strstr(CALL("eth_simulateV1", "[{\"blockStateCalls\":[{\"calls\":[{},{}]}]}]"), "-32603"));
    w.root_err = COH_ENOTFOUND;
    assert_non_null(strstr(CALL("eth_simulateV1", "[{\"blockStateCalls\":[{\"calls\":[{}]}]}]"),
                           "missing trie node"));
    coh_rpcworld_fini(&w);
}

/* What is asked for to make a block's access list, and how the list is told: [[aa, [[1, [[1, 2]]]], [3], [[0, 5]], [[1, 6]], [[1, 0x00]]]]. */
static void rpc_tells_access_lists_and_stats(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    add_block(&w, 2, 0);
    uint8_t list[]  = {0xeb, 0xea, 0x94, 0,    0,    0,    0,    0,    0,    0,    0,
                       0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
                       0xaa, 0xc6, 0xc5, 0x01, 0xc3, 0xc2, 0x01, 0x02, 0xc1, 0x03, 0xc3,
                       0xc2, 0x80, 0x05, 0xc3, 0xc2, 0x01, 0x06, 0xc3, 0xc2, 0x01, 0x00};
    w.call_result   = (coh_msg_call_result_t){.access_list = coh_bytes(list, sizeof(list))};
    char const *got = CALL("cohort_accessList", "[\"latest\"]");
    assert_non_null(strstr(got, "{\"blockNumber\":\"0x1\",\"blockHash\":\"0x"));
    assert_non_null(strstr(
        got,
        "\"accessList\":[{\"address\":" AA ",\"storageChanges\":[{\"key\":"
        "\"0x0000000000000000000000000000000000000000000000000000000000000001\",\"changes\":[{"
        "\"index\":\"0x1\",\"value\":"
        "\"0x0000000000000000000000000000000000000000000000000000000000000002\"}]}],"
        "\"storageReads\":["
        "\"0x0000000000000000000000000000000000000000000000000000000000000003\"],"
        "\"balanceChanges\":[{\"index\":\"0x0\",\"value\":\"0x5\"}],"
        "\"nonceChanges\":[{\"index\":\"0x1\",\"value\":\"0x6\"}],"
        "\"codeChanges\":[{\"index\":\"0x1\",\"code\":\"0x00\"}]}]}"));
    assert_int_equal(w.call.mode, COH_CALL_ACCESSES);
    assert_int_equal(w.call.block, 0);
    assert_int_equal(w.call.number, 1);
    assert_int_equal(w.call.txs.cnt, 2); /* Shanghai has no steps without withdrawals */
    assert_int_equal(w.call.traced, 0);
    assert_string_equal(CALL("cohort_accessList", "[\"0x0\"]"),
                        FAULT("-32000", "the genesis block has no access list"));
    assert_string_equal(CALL("cohort_accessList", "[\"0x7\"]"), ANSWER("null"));
    w.call_result = (coh_msg_call_result_t){.err = COH_CALL_GONE};
    assert_non_null(strstr(CALL("cohort_accessList", "[\"latest\"]"), "missing trie node"));
    assert_string_equal(CALL("cohort_blockStats", "[\"latest\"]"), ANSWER("{\"number\":1}"));
    assert_string_equal(CALL("cohort_blockStats", "[\"0x7\"]"), ANSWER("null"));
    coh_rpcworld_fini(&w);
}

static void rpc_calls_fail_as_geth_says(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    uint8_t reason[100] = {0x08, 0xc3, 0x79, 0xa0};
    reason[35]          = 32;
    reason[67]          = 4;
    memcpy(reason + 68, "oops", 4);
    uint8_t panic[36] = {0x4e, 0x48, 0x7b, 0x71};
    panic[35]         = 0x11;
    static struct {
        coh_call_err_t err;
        char const *fault;
    } const ends[] = {
        {COH_CALL_GONE,
         FAULT("-32000",
               "missing trie node: historical state not available: that of block 0 is not "
               "remembered any more")},
        {COH_CALL_TIMEOUT, FAULT("-32000", "execution aborted (timeout = 5000ms)")},
        {COH_CALL_MEMORY, FAULT("-32005", "the call or its trace needs too much memory")},
        {COH_CALL_BUSY, FAULT("-32005", "busy: too many calls")},
        {COH_CALL_INVALID, FAULT("-32602", "no such call")},
        {COH_CALL_CLOSED, FAULT("-32000", "the node is stopping")},
        {COH_CALL_ALLOWANCE, FAULT("-32000", "gas required exceeds allowance (77)")},
        {COH_CALL_REFUSED,
         FAULT("-32000",
               "err: insufficient funds for gas * price + value (supplied gas 50000000)")},
    };
    for (size_t i = 0; i < COH_CNT(ends); i++) {
        w.call_result = (coh_msg_call_result_t){
            .err = (uint32_t)ends[i].err, .gas = 77, .verdict = COH_TX_FUNDS};
        assert_string_equal(CALL("eth_call", "[{\"to\":" AA "}]"), ends[i].fault);
    }
    /* 21000, and 16 for the octet that is not zero. */
    w.call_result =
        (coh_msg_call_result_t){.err = COH_CALL_REFUSED, .verdict = COH_TX_INTRINSIC_GAS};
    assert_string_equal(
        CALL("eth_call", "[{\"to\":" AA ",\"gas\":\"0x1\",\"data\":\"0xff\"}]"),
        FAULT("-32000", "err: intrinsic gas too low: have 1, want 21016 (supplied gas 1)"));
    w.call_result = (coh_msg_call_result_t){.status = COH_EVM_OUT_OF_GAS};
    assert_string_equal(CALL("eth_call", "[{\"to\":" AA "}]"), FAULT("-32000", "out of gas"));
    w.call_result =
        (coh_msg_call_result_t){.status = COH_EVM_REVERT, .output = coh_bytes(reason, 100)};
    char const *text = CALL("eth_call", "[{\"to\":" AA "}]");
    assert_non_null(strstr(
        text, "\"code\":3,\"message\":\"execution reverted: oops\",\"data\":\"0x08c379a000000000"));
    w.call_result =
        (coh_msg_call_result_t){.status = COH_EVM_REVERT, .output = coh_bytes(panic, 36)};
    text = CALL("eth_call", "[{\"to\":" AA "}]");
    assert_non_null(
        strstr(text, "\"message\":\"execution reverted: arithmetic underflow or overflow\""));
    panic[35] = 0x99;
    text      = CALL("eth_call", "[{\"to\":" AA "}]");
    assert_non_null(strstr(text, "\"message\":\"execution reverted: unknown panic code: 0x99\""));
    /* Lengths that lie. */
    w.call_result.output = coh_bytes(reason, 100);
    memset(reason + 4, 0xff, 32);
    text = CALL("eth_call", "[{\"to\":" AA "}]");
    assert_non_null(strstr(text, "\"message\":\"execution reverted\""));
    memset(reason + 4, 0, 32);
    reason[35] = 32;
    reason[67] = 33;
    text       = CALL("eth_call", "[{\"to\":" AA "}]");
    assert_non_null(strstr(text, "\"message\":\"execution reverted\""));
    uint32_t asked = w.call_cnt;
    static struct {
        char const *params;
        char const *fault;
    } const refused[] = {
        {"[{\"data\":\"0x01\",\"input\":\"0x02\"}]",
         FAULT("-32000",
               "both \\\"data\\\" and \\\"input\\\" are set and not equal. Please use "
               "\\\"input\\\" to pass transaction call data")},
        {"[{\"gasPrice\":\"0x1\",\"maxFeePerGas\":\"0x1\"}]",
         FAULT("-32000", "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")},
        {"[{\"maxFeePerGas\":\"0x1\",\"maxPriorityFeePerGas\":\"0x2\"}]",
         FAULT("-32000", "max priority fee per gas higher than max fee per gas")},
        {"[{},\"0x1\"]", FAULT("-32000", "header not found")},
        {"[{\"blobVersionedHashes\":[],"
         "\"to\":" AA "}]",
         FAULT("-32000", "need at least 1 blob for a blob transaction")},
        {"[{},\"latest\",{" AA ":{\"state\":{\"0x01\":\"0x01\"}}}]",
         FAULT("-32602", "invalid argument 2: hex string has length 2, want 64 for common.Hash")},
        {"[7]",
         FAULT("-32602",
               "invalid argument 0: json: cannot unmarshal number into Go value of type "
               "ethapi.TransactionArgs")},
        {"[{},\"latest\",{" AA ":{\"state\":{},\"stateDiff\":{}}}]",
         FAULT("-32000",
               "account 0x00000000000000000000000000000000000000AA has both 'state' and "
               "'stateDiff'")},
        {"[{},\"latest\",{},{\"beaconRoot\":\"0x\"}]",
         FAULT("-32000", "block override \\\"beaconRoot\\\" is not supported for this RPC method")},
    };
    for (size_t i = 0; i < COH_CNT(refused); i++) {
        assert_string_equal(CALL_WITH("eth_call", refused[i].params), refused[i].fault);
    }
    assert_int_equal(w.call_cnt, asked);
    coh_rpcworld_fini(&w);
}

static void rpc_traces(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_genesis_t prague            = genesis;
    prague.fork_at[COH_FORK_CANCUN] = 0;
    prague.fork_at[COH_FORK_PRAGUE] = 0;
    coh_rpcworld_init(&w, &prague);
    rules = COH_FORK_PRAGUE; /* with two steps before the transactions: EIP-4788, EIP-2935 */
    add_block(&w, 0, 0);
    add_block(&w, 2, 0);
    rules                    = COH_FORK_SHANGHAI;
    coh_rec_trace_t traces[] = {{.json = coh_bytes("{\"a\":1}", 7)},
                                {.json = coh_bytes("{\"b\":2}", 7)}};
    w.call_result            = (coh_msg_call_result_t){.traces = {.v = traces, .cnt = 2}};
    char expected[512];
    char hashes[2][65];
    for (size_t i = 0; i < 2; i++) {
        coh_hex_encode(hashes[i], w.blocks[1]->receipts[i].tx_hash.b, 32);
    }
    (void)snprintf(expected,
                   sizeof(expected),
                   ANSWER("[{\"txHash\":\"0x%s\",\"result\":{\"a\":1}},{\"txHash\":\"0x%s\","
                          "\"result\":{\"b\":2}}]"),
                   hashes[0],
                   hashes[1]);
    assert_string_equal(CALL("debug_traceBlockByNumber",
                             "[\"0x1\",{\"tracer\":\"callTracer\",\"tracerConfig\":{\"withLog\":"
                             "true},\"enableMemory\":true}]"),
                        expected);
    assert_int_equal(w.call.mode, COH_CALL_TRACE_BLOCK);
    assert_int_equal(w.call.block, 0); /* its parent */
    assert_int_equal(w.call.number, 1);
    assert_int_equal(w.call.txs.cnt, 4);
    assert_int_equal(w.call.traced, 0);
    assert_int_equal(w.call.tracer, COH_TRACER_CALLS);
    assert_int_equal(w.call.trace_flags, COH_TRACE_WITH_LOG);
    w.call_result.traces.cnt = 1;
    assert_non_null(strstr(CALL("debug_traceBlockByNumber", "[\"0x1\"]"), "internal error"));
    char params[128];
    (void)snprintf(params, sizeof(params), "[\"0x%s\",{\"enableMemory\":true}]", hashes[0]);
    assert_string_equal(CALL_WITH("debug_traceTransaction", params), ANSWER("{\"a\":1}"));
    assert_int_equal(w.call.txs.cnt, 3);
    assert_int_equal(w.call.traced, 2);
    assert_int_equal(w.call.trace_flags, COH_TRACE_MEMORY);
    assert_string_equal(CALL("debug_traceBlockByNumber", "[\"0x0\"]"),
                        FAULT("-32000", "genesis is not traceable"));
    assert_string_equal(CALL("debug_traceBlockByNumber", "[\"0x9\"]"),
                        FAULT("-32000", "block #9 not found"));
    assert_string_equal(CALL("debug_traceTransaction",
                             "[\"0x00000000000000000000000000000000000000000000000000000000000000"
                             "01\"]"),
                        FAULT("-32000", "transaction not found"));
    assert_string_equal(CALL("debug_traceCall", "[{\"to\":" AA "},\"latest\",{}]"),
                        ANSWER("{\"a\":1}"));
    assert_int_equal(w.call.mode, COH_CALL_TRACE);
    /* Options, and a call in the place of a transaction: the two steps and transaction 0 come before it. */
    (void)CALL("debug_traceCall",
               "[{\"to\":" AA "},\"0x1\",{\"limit\":700,\"timeout\":\"1m2.5s\",\"reexec\":128,"
               "\"disableStack\":true,\"disableStorage\":true,\"enableReturnData\":true,"
               "\"enableMemory\":true,\"tracerConfig\":{\"onlyTopCall\":true},\"txIndex\":\"0x1\","
               "\"stateOverrides\":{" AA
               ":{\"balance\":\"0x9\"}},\"blockOverrides\":{\"number\":\"0x77\"}}]");
    assert_string_equal(w.answer, ANSWER("{\"a\":1}"));
    assert_int_equal(w.call.mode, COH_CALL_TRACE);
    assert_int_equal(w.call.block, 0);
    assert_int_equal(w.call.number, 1);
    assert_int_equal(w.call.txs.cnt, 4);
    assert_int_equal(w.call.trace_limit, 700);
    assert_int_equal(w.call.time_ms, 62500);
    assert_int_equal(w.call.trace_flags,
                     COH_TRACE_NO_STACK | COH_TRACE_NO_STORAGE | COH_TRACE_RETURN_DATA |
                         COH_TRACE_MEMORY);
    assert_int_equal(w.call.last_env.cnt, 1);
    assert_int_equal(w.call_last_env.number, 0x77);
    assert_int_equal(w.call_last_env.timestamp, w.call.timestamp);
    assert_int_equal(w.call.overrides.cnt, 1);
    coh_tx_t last;
    assert_int_equal(coh_tx_decode_mined(&last, coh_buf_bytes(&w.call_tx)), COH_TX_OK);
    assert_int_equal(last.to.b[19], 0xaa);
    (void)CALL("debug_traceCall", "[{},\"0x0\",{\"txIndex\":\"0x0\"}]");
    assert_string_equal(w.answer, FAULT("-32000", "no transaction in genesis"));
    (void)CALL("debug_traceCall", "[{},\"0x1\",{\"txIndex\":\"0x2\"}]");
    assert_non_null(strstr(w.answer, "transaction index 2 out of range for block 0x"));
    (void)CALL("debug_traceCall", "[{},\"pending\",{\"txIndex\":\"0x0\"}]");
    assert_string_equal(w.answer, FAULT("-32000", "tracing on top of pending is not supported"));
    (void)CALL("debug_traceCall",
               "[{},\"0x1\",{\"tracer\":\"prestateTracer\",\"tracerConfig\":{\"diffMode\":true,"
               "\"disableCode\":true}}]");
    assert_int_equal(w.call.tracer, COH_TRACER_PRESTATE);
    assert_int_equal(w.call.trace_flags, COH_TRACE_DIFF | COH_TRACE_NO_CODE);
    assert_int_equal(w.call.time_ms, 0);
    (void)CALL("debug_traceCall",
               "[{},\"0x1\",{\"tracer\":\"callTracer\",\"timeout\":\"-1us\",\"tracerConfig\":{"
               "\"onlyTopCall\":true,\"withLog\":true}}]");
    assert_int_equal(w.call.trace_flags, COH_TRACE_ONLY_TOP | COH_TRACE_WITH_LOG);
    assert_int_equal(w.call.time_ms, 1);
    static char const *const options[][2] = {
        {"\"timeout\":\"abc\"", "time: invalid duration \\\"abc\\\""},
        {"\"timeout\":\"5\"", "time: missing unit in duration \\\"5\\\""},
        {"\"timeout\":\"5x\"", "time: unknown unit \\\"x\\\" in duration \\\"5x\\\""},
        {"\"timeout\":5", "-32602"},
        {"\"tracer\":5", "-32602"},
        {"\"limit\":-1", "-32602"},
        {"\"reexec\":\"0x1\"", "-32602"},
        {"\"disableStack\":1", "-32602"},
        {"\"txIndex\":true", "-32602"},
        {"\"tracerConfig\":[]", "-32602"},
    };
    for (size_t i = 0; i < COH_CNT(options); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "[{},\"0x1\",{%s}]", options[i][0]);
        assert_non_null(strstr(CALL_WITH("debug_traceCall", text), options[i][1]));
    }
    w.call_result.err = COH_CALL_TIMEOUT;
    assert_string_equal(CALL("debug_traceCall", "[{},\"0x1\",{\"timeout\":\"1ms\"}]"),
                        FAULT("-32000", "execution timeout"));
    w.call_result.err = COH_CALL_OK;
    /* Not too many at a time. */
    coh_buf_t batch = COH_BUF_INIT;
    for (uint32_t i = 0; i < 20; i++) {
        coh_buf_printf(
            &batch,
            "%s{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"debug_traceCall\",\"params\":[{}]}",
            i == 0 ? "[" : ",");
    }
    coh_buf_printf(&batch, "]%c", 0);
    char const *answers = coh_rpcworld_call(&w, (char const *)batch.p);
    assert_int_equal(count(answers, "\"result\":{\"a\":1}"), 16);
    assert_int_equal(count(answers, "\"code\":-32005,\"message\":\"busy: too many traces\""), 4);
    coh_buf_free(&batch);
    (void)CALL("debug_traceCall", "[{}]");
    assert_non_null(strstr(w.answer, "{\"a\":1}"));
    assert_string_equal(
        CALL("debug_traceCall", "[{},\"latest\",{\"tracer\":\"noopTracer\"}]"),
        FAULT("-32000",
              "tracer noopTracer is not available: use callTracer, prestateTracer, or none"));
    coh_rpcworld_fini(&w);
}

static void rpc_finds_logs(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        coh_rpcworld_t w;
        coh_rpcworld_init(&w, &genesis);
        w.on_disk = on_disk != 0;
        for (uint32_t b = 0; b < 300; b++) {
            add_block(&w,
                      b % 100 == 7 ? 4 : 0,
                      0xf); /* blocks 7, 107, 207: four logs each, two with the topic */
        }
        char const *all = CALL("eth_getLogs", "[{\"fromBlock\":\"earliest\"}]");
        assert_int_equal(count(all, "\"removed\":false"), 12);
        assert_int_equal(count(all, "\"logIndex\":\"0x3\""), 3);
        assert_int_equal(count(all, "\"transactionIndex\":\"0x3\""), 3);
        assert_int_equal(
            count(CALL("eth_getLogs", "[{\"fromBlock\":\"0x8\",\"toBlock\":\"0x6b\"}]"),
                  "\"removed\""),
            4);
        assert_string_equal(CALL("eth_getLogs", "[{}]"), ANSWER("[]"));
        assert_int_equal(
            count(CALL("eth_getLogs",
                       "[{\"fromBlock\":\"0x0\",\"topics\":["
                       "\"0x7001000000000000000000000000000000000000000000000000000000000000\"]}]"),
                  "\"removed\""),
            6);
        assert_int_equal(count(CALL("eth_getLogs", "[{\"fromBlock\":\"0x0\",\"topics\":[null]}]"),
                               "\"removed\""),
                         6);
        assert_string_equal(CALL("eth_getLogs", "[{\"fromBlock\":\"0x0\",\"topics\":[null,null]}]"),
                            ANSWER("[]"));
        assert_int_equal(count(CALL("eth_getLogs",
                                    "[{\"fromBlock\":\"0x0\",\"address\":["
                                    "\"0xee01000000000000000000000000000000000000\"]}]"),
                               "\"removed\""),
                         12);
        assert_string_equal(CALL("eth_getLogs",
                                 "[{\"fromBlock\":\"0x0\",\"address\":"
                                 "\"0xee02000000000000000000000000000000000000\"}]"),
                            ANSWER("[]"));
        assert_string_equal(CALL("eth_getLogs", "[{\"fromBlock\":\"0x5\",\"toBlock\":\"0x4\"}]"),
                            FAULT("-32602", "invalid block range params"));
        assert_string_equal(CALL("eth_getLogs", "[{\"toBlock\":\"0x12c\"}]"),
                            FAULT("-32602", "block range extends beyond current head block"));
        assert_string_equal(CALL("eth_getLogs", "[{\"topics\":[null,null,null,null,null]}]"),
                            FAULT("-32602", "exceed max topics"));
        w.config.http_log_blocks_max = 299;
        assert_non_null(strstr(CALL("eth_getLogs", "[{\"fromBlock\":\"0x0\"}]"),
                               "block range too wide: at most 299 blocks"));
        coh_rpcworld_fini(&w);
    }
}

static void rpc_filters_tell_what_is_new(void **state)
{
    (void)state;
    char request[256];
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 2, 3);
    (void)CALL("eth_newFilter", "[{}]");
    char logs[64];
    (void)snprintf(logs, sizeof(logs), "%s", result_of(&w));
    (void)CALL("eth_newBlockFilter", "[]");
    char blocks[64];
    (void)snprintf(blocks, sizeof(blocks), "%s", result_of(&w));
    assert_false(w.wants_pooled);
    (void)CALL("eth_newPendingTransactionFilter", "[]");
    assert_true(w.wants_pooled);
    char pooled[64];
    (void)snprintf(pooled, sizeof(pooled), "%s", result_of(&w));
    add_block(&w, 2, 3);
    add_block(&w, 1, 1);
    coh_rpc_pooled(w.rpc, &topic, 1);
#define CHANGES(id)                                                                                \
    ((void)snprintf(                                                                               \
         request,                                                                                  \
         sizeof(request),                                                                          \
         "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_getFilterChanges\",\"params\":[\"%s\"]}", \
         id),                                                                                      \
     coh_rpcworld_call(&w, request))
    assert_int_equal(count(CHANGES(logs), "\"removed\""), 3);
    assert_string_equal(CHANGES(logs), ANSWER("[]"));
    assert_int_equal(count(CHANGES(blocks), "\"0x"), 2);
    assert_string_equal(CHANGES(blocks), ANSWER("[]"));
    assert_string_equal(
        CHANGES(pooled),
        ANSWER("[\"0x7001000000000000000000000000000000000000000000000000000000000000\"]"));
    assert_string_equal(CHANGES("0x00"), FAULT("-32000", "filter not found"));
    (void)coh_rpc_tick(w.rpc, w.now_us + UINT64_C(301000000)); /* nobody asked for five minutes */
    assert_false(w.wants_pooled);
    assert_string_equal(CHANGES(logs), FAULT("-32000", "filter not found"));
    coh_rpcworld_fini(&w);
}

/* Whatever comes between, each block is told once and in order. */
/* Many filters with many criteria are one bound's matter, whoever has them; with one that goes its room comes back. */
static void rpc_criteria_are_bounded(void **state)
{
    (void)state;
    enum { ADDRS = 1000 };
    coh_rpcworld_t w;
    coh_buf_t params = COH_BUF_INIT;
    char first[64]   = "";
    uint32_t cnt     = 0;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    coh_buf_printf(&params, "{\"address\":[");
    for (int i = 0; i < ADDRS; i++) {
        coh_buf_printf(&params, "%s" AA, i == 0 ? "" : ",");
    }
    coh_buf_printf(&params, "]}");
    coh_buf_put_u8(&params, 0);
    char *filter = NULL;
    char *logs   = NULL;
    assert_true(asprintf(&filter, REQUEST("eth_newFilter", "[%s]"), (char const *)params.p) > 0);
    assert_true(asprintf(&logs, REQUEST("eth_subscribe", "[\"logs\",%s]"), (char const *)params.p) >
                0);
    bool is_sub = false;
    while (strstr(coh_rpcworld_call(&w, is_sub ? logs : filter), "\"result\"") != NULL) {
        if (cnt++ == 0) {
            (void)snprintf(first, sizeof(first), "[%.36s]", strstr(w.answer, "\"0x"));
        }
        is_sub = cnt % 8 == 0 && cnt < 800;
        assert_true(cnt < 4000);
    }
    assert_in_range(cnt * ADDRS * sizeof(coh_addr_t), 15 << 20, 16 << 20);
    assert_string_equal(w.answer, FAULT("-32005", "busy: too many filters and subscriptions"));
    assert_non_null(strstr(coh_rpcworld_call(&w, logs), "-32005"));
    assert_non_null(strstr(CALL("eth_newBlockFilter", "[]"), "result"));
    assert_string_equal(CALL_WITH("eth_uninstallFilter", first), ANSWER("true"));
    assert_non_null(strstr(coh_rpcworld_call(&w, logs), "result"));
    assert_non_null(strstr(coh_rpcworld_call(&w, filter), "-32005"));
    coh_rpcworld_fini(&w);
    coh_buf_free(&params);
    free(filter);
    free(logs);
}

static void rpc_subscribers_miss_nothing(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        coh_rpcworld_t w;
        coh_rpcworld_init(&w, &genesis);
        w.on_disk = on_disk != 0;
        add_block(&w, 0, 0);
        (void)CALL("eth_subscribe", "[\"newHeads\"]");
        char heads[64];
        (void)snprintf(heads, sizeof(heads), "%s", result_of(&w));
        (void)CALL("eth_subscribe",
                   "[\"logs\",{\"topics\":["
                   "\"0x7001000000000000000000000000000000000000000000000000000000000000\"]}]");
        (void)CALL("eth_subscribe", "[\"transactionReceipts\"]");
        for (uint32_t b = 0; b < 40; b++) {
            add_block(&w, b % 3, 3);
            if (b % 7 == 0) {
                coh_rpcworld_answer(&w);
            }
        }
        coh_rpcworld_answer(&w);
        uint32_t told     = 0;
        uint32_t logs     = 0;
        uint32_t receipts = 0;
        for (uint32_t i = 0; i < w.note_cnt; i++) {
            if (strstr(w.notes[i], heads) != NULL) {
                char number[32];
                (void)snprintf(number, sizeof(number), "\"number\":\"0x%x\"", ++told);
                assert_non_null(strstr(w.notes[i], number));
            } else if (strstr(w.notes[i], "cumulativeGasUsed") != NULL) {
                receipts += count(w.notes[i], "\"cumulativeGasUsed\"");
            } else {
                logs += count(w.notes[i], "\"removed\"");
            }
        }
        assert_int_equal(told, 40);
        assert_int_equal(logs, 26);     /* one in each block with transactions */
        assert_int_equal(receipts, 39); /* 13 blocks with one, 13 with two */
        char request[160];
        (void)snprintf(
            request,
            sizeof(request),
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_unsubscribe\",\"params\":[\"%s\"]}",
            heads);
        assert_string_equal(coh_rpcworld_call(&w, request), ANSWER("true"));
        assert_string_equal(coh_rpcworld_call(&w, request),
                            FAULT("-32000", "subscription not found"));
        assert_string_equal(CALL("eth_subscribe", "[\"syncing2\"]"),
                            FAULT("-32601", "no \\\"syncing2\\\" subscription in eth namespace"));
        coh_rpcworld_fini(&w);
    }
}

/* Notification i is about subscription id, and has text in it. */
static void assert_note(coh_rpcworld_t const *w, uint32_t i, char const *id, char const *text)
{
    assert_true(i < w->note_cnt);
    if (strstr(w->notes[i], id) == NULL || strstr(w->notes[i], text) == NULL) {
        fail_msg("no %s of %s: %s", text, id, w->notes[i]);
    }
}

static char const *changes(coh_rpcworld_t *w, char const *id)
{
    char params[80];
    (void)snprintf(params, sizeof(params), "[\"%s\"]", id);
    return call_with(w, "eth_getFilterChanges", params);
}

/* A dev chain that goes back: logs that were told come again as removed, as geth tells them when another chain becomes the longer one, and heads go on from there. */
static void rpc_tells_what_is_gone(void **state)
{
    (void)state;
    char heads[64];
    char logs[64];
    char filter[64];
    char late[64];
    char blocks[64];
    char then[80];
    coh_rpcworld_t w;
    coh_rpcworld_init_dev(&w, &genesis);
    add_block(&w, 0, 0);
    (void)CALL("eth_subscribe", "[\"newHeads\"]");
    (void)snprintf(heads, sizeof(heads), "%s", result_of(&w));
    (void)CALL("eth_subscribe", "[\"logs\",{\"topics\":[]}]");
    (void)snprintf(logs, sizeof(logs), "%s", result_of(&w));
    (void)CALL("eth_newFilter", "[{}]");
    (void)snprintf(filter, sizeof(filter), "%s", result_of(&w));
    (void)CALL("eth_newBlockFilter", "[]");
    (void)snprintf(blocks, sizeof(blocks), "%s", result_of(&w));
    add_block(&w, 2, 3);
    add_block(&w, 1, 1);
    coh_rpcworld_answer(&w);
    assert_int_equal(w.note_cnt, 5); /* two heads, three logs */
    assert_int_equal(count(changes(&w, filter), "\"removed\":false"), 3);
    assert_int_equal(count(changes(&w, blocks), "\"0x"), 2);
    coh_hash_t gone = w.blocks[2]->hash;
    add_block(&w, 1, 1); /* the filter has not told of it */
    coh_rpcworld_answer(&w);
    assert_int_equal(w.note_cnt, 7);
    (void)CALL("eth_newFilter", "[{}]"); /* when the head is 3 */
    (void)snprintf(late, sizeof(late), "%s", result_of(&w));
    (void)CALL("eth_getBlockByNumber", "[\"0x2\",false]"); /* at hand from here on */
    coh_rpcworld_go_back(&w, 2);
    coh_rpcworld_answer(&w);
    assert_int_equal(w.note_cnt, 9);
    assert_note(&w, 7, logs, "\"blockNumber\":\"0x2\"");
    assert_note(&w, 7, logs, "\"removed\":true");
    assert_note(&w, 8, logs, "\"blockNumber\":\"0x3\"");
    assert_note(&w, 8, logs, "\"removed\":true");
    assert_string_equal(CALL("eth_getBlockByNumber", "[\"0x2\",false]"), ANSWER("null"));
    (void)snprintf(then, sizeof(then), "[\"0x%02x%02x", gone.b[0], gone.b[1]);
    for (size_t i = 2; i < 32; i++) {
        (void)snprintf(then + strlen(then), 3, "%02x", gone.b[i]);
    }
    (void)snprintf(then + strlen(then), 10, "\",false]");
    assert_string_equal(CALL_WITH("eth_getBlockByHash", then), ANSWER("null"));
    add_block(&w, 3, 4); /* another block 2 */
    coh_rpcworld_answer(&w);
    assert_int_equal(w.note_cnt, 11);
    assert_note(&w, 9, heads, "\"number\":\"0x2\"");
    assert_note(&w, 10, logs, "\"removed\":false");
    assert_note(&w, 10, logs, "\"transactionIndex\":\"0x2\"");
    /* First what is gone, then what is new; once. */
    char const *answer = changes(&w, filter);
    assert_int_equal(count(answer, "\"removed\":true"), 1);
    assert_int_equal(count(answer, "\"removed\":false"), 1);
    assert_true(strstr(answer, "\"removed\":true},{") != NULL);
    assert_string_equal(changes(&w, filter), ANSWER("[]"));
    answer = changes(&w, late); /* from the head on, wherever that goes */
    assert_int_equal(count(answer, "\"removed\":true"), 0);
    assert_int_equal(count(answer, "\"removed\":false"), 1);
    assert_int_equal(count(changes(&w, blocks), "\"0x"), 1);
    /* What nobody was told of is not taken back: here two chains that were gone before anybody looked. */
    add_block(&w, 1, 1);
    coh_rpcworld_go_back(&w, 1);
    add_block(&w, 2, 3);
    add_block(&w, 2, 3);
    coh_rpcworld_go_back(&w, 3); /* with the block 2 that was told */
    add_block(&w, 0, 0);
    coh_rpcworld_answer(&w);
    assert_int_equal(w.note_cnt, 13);
    assert_note(&w, 11, logs, "\"removed\":true");
    assert_note(&w, 11, logs, "\"blockNumber\":\"0x2\"");
    assert_note(&w, 12, heads, "\"number\":\"0x2\"");
    answer = changes(&w, filter);
    assert_int_equal(count(answer, "\"removed\":true"), 1);
    assert_int_equal(count(answer, "\"removed\":false"), 0);
    coh_rpcworld_fini(&w);
}

/* What geth makes of arguments that are missing, of a wrong type or too large, and what it says of what there is not. */
static void rpc_arguments(void **state)
{
    (void)state;
#define H "\"0x1111111111111111111111111111111111111111111111111111111111111111\""
    static struct {
        char const *method;
        char const *params;
        char const *answer;
    } const cases[] = {
        {"eth_getBalance", "[]", FAULT("-32602", "missing value for required argument 0")},
        {"eth_getBalance",
         "[null]",
         FAULT("-32602",
               "invalid argument 0: json: cannot unmarshal non-string into Go value of type "
               "common.Address")},
        {"eth_getBalance",
         "[\"\"]",
         FAULT("-32602",
               "invalid argument 0: hex string has length 0, want 40 for common.Address")},
        {"eth_getBalance", "[\"0xaa\",1,2]", FAULT("-32602", "too many arguments, want at most 2")},
        {"eth_getBalance",
         "[" AA ",\"0xffffffffffffffff\"]",
         FAULT("-32602", "invalid argument 1: block number larger than int64")},
        {"eth_getBalance",
         "[" AA ",\"0x10000000000000000\"]",
         FAULT("-32602", "invalid argument 1: hex number > 64 bits")},
        {"eth_getBalance",
         "[" AA ",\"\"]",
         FAULT("-32602", "invalid argument 1: empty hex string")},
        {"eth_getBalance",
         "[" AA ",{}]",
         FAULT("-32000", "invalid arguments; neither block nor hash specified")},
        {"eth_getBalance", "[" AA ",\"0x7fffffffffffffff\"]", FAULT("-32000", "header not found")},
        {"eth_getBalance", "[" AA "," H "]", FAULT("-32000", "header for hash not found")},
        {"eth_getBlockByNumber",
         "[" H ",false]",
         FAULT("-32602", "invalid argument 0: hex number > 64 bits")},
        {"eth_getBlockByNumber",
         "[1,false]",
         FAULT("-32602", "invalid argument 0: hex string without 0x prefix")},
        {"eth_getBlockByNumber",
         "[\"latest\"]",
         FAULT("-32602", "missing value for required argument 1")},
        {"eth_getBlockByNumber",
         "[\"latest\",\"true\"]",
         FAULT("-32602",
               "invalid argument 1: json: cannot unmarshal string into Go value of type bool")},
        {"eth_getBlockByNumber", "[\"0x99\",null]", ANSWER("null")},
        {"eth_getBlockByHash", "[" H ",null]", ANSWER("null")},
        {"eth_getHeaderByHash", "[" H "]", ANSWER("null")},
        {"eth_getHeaderByNumber", "[\"0x99\"]", ANSWER("null")},
        {"eth_getBlockReceipts", "[" H "]", ANSWER("null")},
        {"eth_getBlockTransactionCountByHash", "[" H "]", ANSWER("null")},
        {"eth_getUncleCountByBlockNumber", "[\"latest\"]", ANSWER("\"0x0\"")},
        {"eth_getUncleByBlockNumberAndIndex", "[\"latest\",\"0x0\"]", ANSWER("null")},
        {"eth_getTransactionByHash", "[" H "]", ANSWER("null")},
        {"eth_getTransactionReceipt", "[" H "]", ANSWER("null")},
        {"eth_getTransactionByBlockNumberAndIndex",
         "[\"latest\",\"0xffffffffffffffff\"]",
         ANSWER("null")},
        {"debug_getRawBlock", "[\"0x99\"]", FAULT("-32000", "block #153 not found")},
        {"debug_getRawHeader",
         "[" H "]",
         FAULT("-32000",
               "block 0x1111111111111111111111111111111111111111111111111111111111111111 not "
               "found")},
        {"eth_getFilterChanges", "[\"0x1\"]", FAULT("-32000", "filter not found")},
        {"eth_getFilterLogs",
         "[1]",
         FAULT("-32602",
               "invalid argument 0: json: cannot unmarshal number into Go value of type rpc.ID")},
        {"eth_uninstallFilter", "[\"0x1\"]", ANSWER("false")},
        {"eth_unsubscribe", "[\"0x1\"]", FAULT("-32000", "subscription not found")},
        {"eth_newFilter",
         "[[]]",
         FAULT("-32602",
               "invalid argument 0: json: cannot unmarshal array into Go value of type "
               "filters.input")},
        {"eth_call",
         "[{\"data\":\"0x1\"}]",
         FAULT("-32602", "invalid argument 0: hex string of odd length")},
        {"eth_call",
         "[{},\"latest\",[]]",
         FAULT("-32602",
               "invalid argument 2: json: cannot unmarshal array into Go value of type "
               "override.StateOverride")},
        {"eth_call", "[{\"data\":\"\",\"value\":\"\"}]", ANSWER("\"0x\"")},
        {"debug_traceCall",
         "[{},\"latest\",\"callTracer\"]",
         FAULT("-32602",
               "invalid argument 2: json: cannot unmarshal string into Go value of type "
               "tracers.TraceConfig")},
        {"debug_traceBlockByNumber",
         "[" H "]",
         FAULT("-32602", "invalid argument 0: hex number > 64 bits")},
        {"eth_mining", "[]", ANSWER("false")},
        {"eth_hashrate", "[]", ANSWER("\"0x0\"")},
        {"eth_protocolVersion", "[]", ANSWER("\"0x44\"")},
        {"eth_coinbase", "[]", ANSWER("\"0x0000000000000000000000000000000000000000\"")},
        {"eth_pendingTransactions", "[]", ANSWER("[]")},
        {"net_listening", "[]", ANSWER("true")},
        {"eth_getCompilers",
         "[]",
         FAULT("-32601", "the method eth_getCompilers does not exist/is not available")},
    };
#undef H
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 1, 0);
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char const *answer = CALL_WITH(cases[i].method, cases[i].params);
        if (strcmp(answer, cases[i].answer) != 0) {
            fail_msg("%s%s: %s", cases[i].method, cases[i].params, answer);
        }
    }
    /* A header is the block without what is in it. */
    char hash[80];
    (void)CALL("eth_getBlockByNumber", "[\"latest\",false]");
    json_t *whole      = json_loads(w.answer, 0, NULL);
    json_t *block      = json_object_get(whole, "result");
    char const *member = json_string_value(json_object_get(block, "hash"));
    (void)snprintf(hash, sizeof(hash), "[\"%s\"]", member);
    (void)CALL("eth_getHeaderByNumber", "[\"latest\"]");
    json_t *part   = json_loads(w.answer, 0, NULL);
    json_t *header = json_object_get(part, "result");
    char const *name;
    json_t *value;
    json_object_foreach (header, name, value) {
        assert_true(json_equal(value, json_object_get(block, name)));
    }
    assert_int_equal(json_object_size(block) - json_object_size(header), 4);
    static char const *const more[] = {"size", "transactions", "uncles", "withdrawals"};
    for (size_t i = 0; i < COH_CNT(more); i++) {
        assert_non_null(json_object_get(block, more[i]));
        assert_null(json_object_get(header, more[i]));
    }
    assert_non_null(strstr(CALL_WITH("eth_getHeaderByHash", hash), member));
    (void)CALL("eth_getHeaderByNumber", "[\"pending\"]");
    assert_non_null(strstr(w.answer, "\"number\":\"0x1\""));
    assert_null(strstr(w.answer, "\"transactions\""));
    json_decref(whole);
    json_decref(part);
    coh_rpcworld_fini(&w);
}

static void rpc_fee_history(void **state)
{
    (void)state;
    coh_rpcworld_t w;
    coh_rpcworld_init(&w, &genesis);
    add_block(&w, 0, 0);
    add_block(&w, 4, 0); /* tips 1000, 2000, 3000, 4000 of equal gas */
    assert_string_equal(
        CALL("eth_feeHistory", "[\"0x2\",\"latest\",[0,50,100]]"),
        ANSWER("{\"oldestBlock\":\"0x0\",\"baseFeePerGas\":[\"0x3b9aca00\",\"0x3b9aca00\","
               "\"0x34321f20\"],"
               "\"gasUsedRatio\":[0,0.0028],\"baseFeePerBlobGas\":[\"0x0\",\"0x0\",\"0x0\"],"
               "\"blobGasUsedRatio\":[0,0],"
               "\"reward\":[[\"0x0\",\"0x0\",\"0x0\"],[\"0x3e8\",\"0x7d0\",\"0xfa0\"]]}"));
    assert_non_null(strstr(CALL("eth_feeHistory", "[\"0x2\",\"latest\",[50,10]]"),
                           "invalid reward percentile"));
    assert_non_null(
        strstr(CALL("eth_feeHistory", "[\"0x2\",\"0x9\"]"), "request beyond head block"));
    coh_rpcworld_fini(&w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(rpc_json_quantities),
        cmocka_unit_test(rpc_json_writes),
        cmocka_unit_test(rpc_json_is_bounded),
        cmocka_unit_test(rpc_requests_and_batches),
        cmocka_unit_test(rpc_is_bounded),
        cmocka_unit_test(rpc_time_is_up),
        cmocka_unit_test(rpc_submissions_go_as_one_batch),
        cmocka_unit_test(rpc_waits_for_the_receipt),
        cmocka_unit_test(rpc_state_of_blocks),
        cmocka_unit_test(rpc_proofs),
        cmocka_unit_test(rpc_calls),
        cmocka_unit_test(rpc_calls_fail_as_geth_says),
        cmocka_unit_test(rpc_fills_transactions),
        cmocka_unit_test(rpc_simulates),
        cmocka_unit_test(rpc_tells_access_lists_and_stats),
        cmocka_unit_test(rpc_traces),
        cmocka_unit_test(rpc_finds_logs),
        cmocka_unit_test(rpc_filters_tell_what_is_new),
        cmocka_unit_test(rpc_criteria_are_bounded),
        cmocka_unit_test(rpc_subscribers_miss_nothing),
        cmocka_unit_test(rpc_tells_what_is_gone),
        cmocka_unit_test(rpc_arguments),
        cmocka_unit_test(rpc_fee_history),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
