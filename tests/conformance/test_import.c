/* `cohort import`, as a user runs it, at 1, 2, 3 and 8 shards with 1 or 2 threads (COHORT_TEST_LONG=1: each with both): over recorded blocks of mainnet, and over
   recordings made here, in the same format, of what those lack. The gas of ours is added up by hand from the EIPs; recordings that are
   wrong in one place show that the import would notice. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/codec/block.h"
#include "common/codec/receipt.h"
#include "common/trie/root.h"
#include "tests/support/data.h"
#include "tests/support/reference.h"
#include "tests/support/txgen.h"

#define ETHER    UINT64_C(1000000000000000000)
#define BASE_FEE 1000u
#define CAP      1500u
#define TIP      100u
#define CHAIN_ID 1u

/* Numbered test keys. */
enum { TX_MAX = 16 };
enum { RICH = 1, SECOND, THIRD, EMPTY, MINER, LAST, TAKER };

/* ---- running the program ---- */

typedef struct {
    uint32_t shards;
    uint32_t threads;
} layout_t;

/* The first four are for every run, the others for long ones. */
static layout_t const layouts[] = {{1, 1}, {2, 1}, {3, 2}, {8, 2}, {3, 1}, {8, 1}, {1, 2}, {2, 2}};

static size_t layout_cnt(void) { return getenv("COHORT_TEST_LONG") != NULL ? COH_CNT(layouts) : 4; }

/* Runs the import over paths, as a shell reads them; returns its rows (release with json_decref) and the exit code. */
static json_t *run_import(char const *paths, layout_t layout, int *exit_code)
{
    coh_buf_t command = COH_BUF_INIT;
    coh_buf_printf(&command,
                   "'%s' import --json --shards %u --threads %u %s",
                   COHORT_PROGRAM,
                   layout.shards,
                   layout.threads,
                   paths);
    coh_buf_put_u8(&command, 0);
    FILE *pipe = popen((char const *)command.p, "r");
    assert_non_null(pipe);
    json_t *rows = json_array();
    char line[4096];
    while (fgets(line, sizeof(line), pipe) != NULL) {
        json_error_t error;
        json_t *row = json_loads(line, 0, &error);
        if (row == NULL) {
            fail_msg("no line of JSON: %s", line);
        }
        json_array_append_new(rows, row);
    }
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    *exit_code = WEXITSTATUS(status);
    coh_buf_free(&command);
    return rows;
}

static json_int_t number(json_t const *row, char const *key)
{
    json_t const *v = json_object_get(row, key);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

/* ---- real blocks ---- */

static struct {
    char const *file;
    json_int_t txs;
    json_int_t gas; /* the header's */
} const must_pass[] = {
    {"mainnet-46400w.json", 1, 21000},
    {"mainnet-47205w.json", 1, 21000}, /* a creation without init code */
    {"mainnet-48712w.json", 5, 106836},
    {"mainnet-930196.json", 18, 378000},
    {"mainnet-1149999.json", 1, 21000},
    {"mainnet-1149999w.json", 1, 21000},
    {"mainnet-1150001w.json", 3, 66536},
    {"mainnet-1920000w.json", 4, 84000},
};

static bool confirms(json_t const *fields, char const *name)
{
    size_t i;
    json_t *field;
    json_array_foreach (fields, i, field) {
        if (strcmp(json_string_value(field), name) == 0) {
            return true;
        }
    }
    return false;
}

static void import_real_blocks(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("import of mainnet's blocks");
        return;
    }
    /* Once all that there are, then those of known figures. */
    coh_buf_t all  = COH_BUF_INIT;
    coh_buf_t must = COH_BUF_INIT;
    coh_buf_printf(&all, "'%s/realblocks'", dir);
    for (size_t k = 0; k < COH_CNT(must_pass); k++) {
        coh_buf_printf(&must, " '%s/realblocks/%s'", dir, must_pass[k].file);
    }
    coh_buf_put_u8(&all, 0);
    coh_buf_put_u8(&must, 0);
    for (size_t l = 0; l < layout_cnt(); l++) {
        coh_buf_t const *paths = l == 0 ? &all : &must;
        int exit_code          = 0;
        json_t *rows           = run_import((char const *)paths->p, layouts[l], &exit_code);
        size_t found_cnt       = 0;
        size_t whole_cnt       = 0;
        size_t root_cnt        = 0;
        size_t i;
        json_t *row;
        json_array_foreach (rows, i, row) {
            char const *file   = coh_test_str(row, "file");
            char const *result = coh_test_str(row, "result");
            char const *reason = coh_test_str(row, "reason");
            if (strcmp(result, "passed") != 0) {
                fail_msg("%s, %u shards: %s", file, layouts[l].shards, reason);
            }
            json_t const *fields = json_object_get(row, "confirmed");
            bool is_whole        = coh_test_str(row, "lacks")[0] == '\0';
            bool has_witness     = strstr(file, "w.json") != NULL;
            whole_cnt += is_whole;
            root_cnt += confirms(fields, "state root");
            assert_true(confirms(fields, "bloom"));
            assert_int_equal(confirms(fields, "state root"), has_witness);
            assert_true(is_whole || !has_witness);
            for (size_t k = 0; k < COH_CNT(must_pass); k++) {
                if (strcmp(file, must_pass[k].file) == 0) {
                    found_cnt++;
                    assert_int_equal(number(row, "txs"), must_pass[k].txs);
                    assert_int_equal(number(row, "gas"), must_pass[k].gas);
                    assert_int_equal(number(row, "shards"), layouts[l].shards);
                    assert_int_equal(number(row, "threads"), layouts[l].threads);
                }
            }
        }
        assert_int_equal(found_cnt, COH_CNT(must_pass));
        assert_int_equal(exit_code, 0);
        if (l == 0) {
            assert_int_equal(json_array_size(rows), 75);
            assert_int_equal(whole_cnt, 67);
            assert_int_equal(root_cnt, 33);
        }
        json_decref(rows);
    }
    coh_buf_free(&all);
    coh_buf_free(&must);
}

/* ---- recordings of our own ---- */

typedef struct {
    coh_txgen_t *gen;
    json_t *root; /* the recording; its parts are borrowed */
    json_t *header;
    json_t *raws;
    json_t *senders;
    json_t *outcomes;
    json_t *pre;
    uint64_t gas_used;
    uint64_t nonces[TAKER + 1];
    coh_buf_t receipts; /* the encodings, one behind the other */
    coh_buf_t txs;
    size_t receipt_ends[TX_MAX + 1]; /* [0] is 0 */
    size_t tx_ends[TX_MAX + 1];
    size_t cnt;
} recording_t;

static json_t *hex(void const *p, size_t n)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_grow(&text, 2 * n + 1);
    coh_hex_encode((char *)text.p, p, n);
    json_t *v = json_sprintf("0x%s", (char const *)text.p);
    coh_buf_free(&text);
    return v;
}

static json_t *quantity(uint64_t v)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "0x%" PRIx64, v);
    return json_string(text);
}

static void set(json_t *obj, char const *key, json_t *v)
{
    assert_int_equal(json_object_set_new(obj, key, v), 0);
}

static json_t *set_new(json_t *obj, char const *key, json_t *v)
{
    set(obj, key, v);
    return v;
}

static void init(recording_t *r, char const *fork)
{
    *r = (recording_t){.gen = coh_txgen_new(), .root = json_object()};
    set(r->root, "format", json_string("realblock-1"));
    set(r->root, "chainId", quantity(CHAIN_ID));
    set(r->root, "fork", json_string(fork));
    r->header   = set_new(r->root, "header", json_object());
    r->raws     = set_new(r->root, "transactions", json_array());
    r->senders  = set_new(r->root, "senders", json_array());
    r->outcomes = set_new(set_new(r->root, "txOnly", json_object()), "txs", json_array());
    r->pre      = set_new(r->root, "pre", json_object());
    set(r->root, "codeOmitted", json_array());
    set(r->root, "ommers", json_array());
    set(r->root, "withdrawals", json_array());
}

static void fini(recording_t *r)
{
    json_decref(r->root);
    coh_buf_free(&r->receipts);
    coh_buf_free(&r->txs);
    coh_txgen_free(r->gen);
}

static void put_account(recording_t *r, coh_addr_t addr, uint64_t nonce, uint64_t balance)
{
    char key[43]    = "0x";
    json_t *account = json_object();
    coh_hex_encode(key + 2, addr.b, sizeof(addr.b));
    set(account, "nonce", quantity(nonce));
    set(account, "balance", quantity(balance));
    set(r->pre, key, account);
}

/* Adds what spec says, its nonce the next of its key, with the gas that it must use. */
static void put_tx(recording_t *r, coh_txgen_spec_t spec, uint64_t gas)
{
    spec.nonce               = r->nonces[spec.key]++;
    spec.chain_id            = CHAIN_ID;
    spec.max_fee             = coh_u256(CAP);
    spec.max_tip             = coh_u256(TIP);
    coh_txgen_tx_t const *tx = coh_txgen_make(r->gen, &spec);
    json_t *outcome          = json_object();
    set(outcome, "gasUsed", quantity(gas));
    json_array_append_new(r->raws, hex(tx->raw.p, tx->raw.n));
    json_array_append_new(r->senders, hex(tx->sender.b, sizeof(tx->sender.b)));
    json_array_append_new(r->outcomes, outcome);
    r->gas_used += gas;
    /* EIP-658; none logs, and of ours only a creation can fail, at the cost of all its gas. */
    coh_receipt_t receipt = {.type           = spec.type,
                             .status         = !(spec.is_create && gas == spec.gas_limit),
                             .cumulative_gas = r->gas_used};
    assert_true(r->cnt < TX_MAX);
    coh_receipt_put(&r->receipts, &receipt);
    coh_buf_put(&r->txs, tx->raw.p, tx->raw.n);
    r->cnt++;
    r->receipt_ends[r->cnt] = r->receipts.n;
    r->tx_ends[r->cnt]      = r->txs.n;
}

static coh_hash_t list_root(coh_buf_t const *text, size_t const *ends, size_t cnt)
{
    coh_bytes_t values[TX_MAX];
    coh_hash_t root;
    for (size_t i = 0; i < cnt; i++) {
        values[i] = coh_bytes(text->p + ends[i], ends[i + 1] - ends[i]);
    }
    coh_root_list(&root, values, cnt);
    return root;
}

/* Sets the header, whose gas is what the transactions add up to, and more by surplus. */
static void put_header(recording_t *r, coh_fork_t fork, uint64_t surplus)
{
    coh_header_t h = {
        .ommers_hash      = COH_EMPTY_LIST_HASH,
        .withdrawals_root = COH_EMPTY_TRIE_ROOT,
        .tx_root          = list_root(&r->txs, r->tx_ends, r->cnt),
        .receipts_root    = list_root(&r->receipts, r->receipt_ends, r->cnt),
        .coinbase         = coh_txgen_addr(r->gen, MINER),
        .number           = 1234,
        .gas_limit        = 30000000,
        .gas_used         = r->gas_used + surplus,
        .timestamp        = 1700000000,
        .base_fee         = coh_u256(fork >= COH_FORK_LONDON ? BASE_FEE : 0),
    };
    set(r->header, "coinbase", hex(h.coinbase.b, sizeof(h.coinbase.b)));
    set(r->header, "number", quantity(h.number));
    set(r->header, "gasLimit", quantity(h.gas_limit));
    set(r->header, "gasUsed", quantity(h.gas_used));
    set(r->header, "timestamp", quantity(h.timestamp));
    if (fork >= COH_FORK_LONDON) {
        set(r->header, "baseFeePerGas", quantity(BASE_FEE));
    }
    coh_buf_t rlp   = COH_BUF_INIT;
    coh_hash_t hash = coh_header_hash(&h, fork);
    coh_header_encode(&rlp, &h, fork);
    set(r->root, "headerRlp", hex(rlp.p, rlp.n));
    set(r->root, "hash", hex(hash.b, sizeof(hash.b)));
    coh_buf_free(&rlp);
}

/* Imports the recording in one layout; returns its only row. */
static json_t *import(recording_t *r, layout_t layout, int *exit_code)
{
    char path[] = "/tmp/test_import.XXXXXX";
    int fd      = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(json_dumpf(r->root, file, 0), 0);
    assert_int_equal(fclose(file), 0);
    json_t *rows = run_import(path, layout, exit_code);
    (void)remove(path);
    assert_int_equal(json_array_size(rows), 1);
    json_t *row = json_incref(json_array_get(rows, 0));
    json_decref(rows);
    return row;
}

static void expect_passes(recording_t *r, json_int_t txs, json_int_t gas)
{
    for (size_t l = 0; l < layout_cnt(); l++) {
        int exit_code = 0;
        json_t *row   = import(r, layouts[l], &exit_code);
        if (strcmp(coh_test_str(row, "result"), "passed") != 0) {
            fail_msg("%u shards: %s", layouts[l].shards, coh_test_str(row, "reason"));
        }
        assert_int_equal(number(row, "txs"), txs);
        assert_int_equal(number(row, "gas"), gas);
        assert_int_equal(exit_code, 0);
        json_decref(row);
    }
}

static void expect_fails(recording_t *r, char const *reason)
{
    static layout_t const layout = {2, 1};
    int exit_code                = 0;
    json_t *row                  = import(r, layout, &exit_code);
    assert_string_equal(coh_test_str(row, "result"), "FAILED");
    if (strstr(coh_test_str(row, "reason"), reason) == NULL) {
        fail_msg("%s; expected: %s", coh_test_str(row, "reason"), reason);
    }
    assert_int_not_equal(exit_code, 0);
    json_decref(row);
}

/* Money that is passed on within the block, the coinbase on both sides, every type, data at its floor, and creations: one that succeeds,
   and one at an address that has a nonce already, which costs its whole gas limit and moves nothing (EIP-684). */
static void init_prague(recording_t *r)
{
    init(r, "prague");
    coh_addr_t second   = coh_txgen_addr(r->gen, SECOND);
    coh_addr_t third    = coh_txgen_addr(r->gen, THIRD);
    coh_addr_t miner    = coh_txgen_addr(r->gen, MINER);
    coh_addr_t last     = coh_txgen_addr(r->gen, LAST);
    coh_addr_t taker    = coh_txgen_addr(r->gen, TAKER);
    uint64_t const most = 21000 * CAP; /* what must be there beside the value */
    put_account(r, coh_txgen_addr(r->gen, RICH), 0, ETHER);
    put_account(r, taker, 0, 60000 * CAP + 5);
    coh_tx_t const creation = {.is_create = true};
    put_account(r, coh_ref_receiver(&creation, &taker), 1, 77);

#define TX(gas, ...) put_tx(r, (coh_txgen_spec_t){__VA_ARGS__}, gas)
    TX(21000, .key = RICH, .to = second, .gas_limit = 21000, .value = coh_u256(ETHER / 2));
    TX(21000,
       .key       = SECOND,
       .type      = COH_TX_DYNAMIC_FEE,
       .to        = third,
       .gas_limit = 21000,
       .value     = coh_u256(ETHER / 2 - most));
    TX(21000,
       .key       = THIRD,
       .type      = COH_TX_DYNAMIC_FEE,
       .to        = third,
       .gas_limit = 21000,
       .value     = coh_u256(ETHER / 2 - 2 * most));
    TX(21000, .key = RICH, .to = coh_txgen_addr(r->gen, EMPTY), .gas_limit = 30000);
    /* All that the coinbase has: tips of three times 21000 * 500 (gas price) or * 100, and what it is sent. */
    TX(21000, .key = RICH, .to = miner, .gas_limit = 21000, .value = coh_u256(most));
    uint64_t const tips = 21000 * (3 * (CAP - BASE_FEE) + 2 * TIP);
    TX(21000,
       .key       = MINER,
       .type      = COH_TX_DYNAMIC_FEE,
       .to        = last,
       .gas_limit = 21000,
       .value     = coh_u256(tips));
    TX(21000 + 2400 + 1900,
       .key              = RICH,
       .type             = COH_TX_ACCESS_LIST,
       .to               = last,
       .gas_limit        = 26000,
       .value            = coh_u256(1),
       .access_addr_cnt  = 1,
       .access_keys_each = 1);
    /* 13 octets are zero, 27 are not. */
    TX(21000 + 10 * (13 + 4 * 27),
       .key        = RICH,
       .type       = COH_TX_DYNAMIC_FEE,
       .to         = last,
       .gas_limit  = 23000,
       .data_bytes = 40);
    TX(53000, .key = RICH, .is_create = true, .gas_limit = 60000, .value = coh_u256(1234));
    TX(60000, .key = TAKER, .is_create = true, .gas_limit = 60000, .value = coh_u256(5));
#undef TX
}

static void import_own_block_of_prague(void **state)
{
    (void)state;
    recording_t r;
    init_prague(&r);
    put_header(&r, COH_FORK_PRAGUE, 0);
    expect_passes(&r, 10, 6 * 21000 + 25300 + 22210 + 53000 + 60000);
    fini(&r);
}

/* EIP-2 made creations cost 53000; EIP-161 let them begin at nonce 1. */
static void import_own_creations_by_fork(void **state)
{
    (void)state;
    static struct {
        char const *name;
        coh_fork_t fork;
        uint64_t gas;
    } const forks[] = {
        {"chainstart", COH_FORK_FRONTIER, 21000},
        {"homestead", COH_FORK_HOMESTEAD, 53000},
        {"spuriousDragon", COH_FORK_SPURIOUS, 53000},
        {"shanghai", COH_FORK_SHANGHAI, 53000},
    };
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        recording_t r;
        init(&r, forks[i].name);
        put_account(&r, coh_txgen_addr(r.gen, RICH), 0, ETHER);
        for (uint64_t k = 0; k < 5; k++) {
            coh_txgen_spec_t spec = {.key         = RICH,
                                     .unprotected = true,
                                     .is_create   = true,
                                     .gas_limit   = 60000,
                                     .value       = coh_u256(k)};
            put_tx(&r, spec, forks[i].gas);
        }
        put_header(&r, forks[i].fork, 0);
        expect_passes(&r, 5, 5 * (json_int_t)forks[i].gas);
        fini(&r);
    }
}

static void import_notices_what_is_wrong(void **state)
{
    (void)state;
    recording_t r;
    init_prague(&r);
    put_header(&r, COH_FORK_PRAGUE, 1);
    expect_fails(&r, "wrong gas used");

    uint8_t octet   = r.receipts.p[0]; /* of what the header says only */
    r.receipts.p[0] = octet ^ 1;
    put_header(&r, COH_FORK_PRAGUE, 0);
    expect_fails(&r, "wrong root of receipts");
    r.receipts.p[0] = octet;

    octet      = r.txs.p[0];
    r.txs.p[0] = octet ^ 1;
    put_header(&r, COH_FORK_PRAGUE, 0);
    expect_fails(&r, "wrong root of transactions");
    r.txs.p[0] = octet;

    put_header(&r, COH_FORK_PRAGUE, 0);
    json_t *gas = json_object_get(json_array_get(r.outcomes, 8), "gasUsed");
    json_string_set(gas, "0xcf07"); /* 52999 */
    expect_fails(&r, "transaction 8: gas 53000, recorded 52999");
    json_string_set(gas, "0xcf08");

    coh_addr_t second = coh_txgen_addr(r.gen, SECOND);
    json_t *sender    = json_incref(json_array_get(r.senders, 0));
    json_array_set_new(r.senders, 0, hex(second.b, sizeof(second.b)));
    expect_fails(&r, "recovered another sender");
    json_array_set_new(r.senders, 0, sender);

    /* One wei less, and the last one cannot pay. */
    put_account(&r, coh_txgen_addr(r.gen, TAKER), 0, 60000 * CAP + 4);
    expect_fails(&r, "insufficient funds");
    fini(&r);
}

/* A witness contradicts a recording that was changed: what the block changes, before it and after. */
static void import_holds_recordings_against_their_witness(void **state)
{
    (void)state;
    static layout_t const layout = {2, 1};
    char const *dir              = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("import of changed recordings");
        return;
    }
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/realblocks/mainnet-98w.json", dir);
    coh_buf_put_u8(&path, 0);
    recording_t r  = {.root = coh_test_json((char const *)path.p), .gen = coh_txgen_new()};
    json_t *header = json_object_get(r.root, "header");
    json_t *account =
        json_object_get(json_object_get(r.root, "pre"), coh_test_str(header, "coinbase"));
    json_t *balance = json_copy(json_object_get(account, "balance"));
    int exit_code   = 0;
    json_decref(import(&r, layout, &exit_code));
    assert_int_equal(exit_code, 0);

    json_object_set_new(account, "balance", json_string("0x1"));
    expect_fails(&r, "recorded otherwise than the witness has it");
    json_object_set_new(account, "balance", balance);

    /* Under other rules its miner would get 3 ether. */
    json_object_set_new(r.root, "fork", json_string("byzantium"));
    expect_fails(&r, "wrong state root");
    json_object_set_new(r.root, "fork", json_string("chainstart"));

    json_array_clear(json_object_get(json_object_get(r.root, "witness"), "nodes"));
    expect_fails(&r, "its leaf is not in the witness");
    fini(&r);
    coh_buf_free(&path);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(import_own_block_of_prague),
        cmocka_unit_test(import_own_creations_by_fork),
        cmocka_unit_test(import_notices_what_is_wrong),
        cmocka_unit_test(import_holds_recordings_against_their_witness),
        cmocka_unit_test(import_real_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
