/* `cohort import --rlp`, as a user runs it, at 1 and 3 shards: exported chains to their last blocks; chains of our own under each fork; in pieces, on a data directory;
   and chains with a changed octet, which stop before that block, and go on behind it once it is right. Hashes of last blocks are those of the recordings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/codec/body.h"
#include "tests/support/data.h"

#define HIVECHAIN_LAST "0x36a166f0dcd160fc5e5c61c9a7c2d7f236d9175bf27f43aaa2150e291f092ef7"
#define RPC_LAST       "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
#define MAINNET_LAST   "0xa6860fefa339c963e1bb622526cc8dd4344eedd2a9b969e74de5cccc445fbed4"

static uint32_t const shard_cnts[] = {1, 3};

/* A folder for what the test writes. In memory where the system has such a place: each block is synced. */
static char folder[64];

static void make_folder(void)
{
    char const *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(folder, sizeof(folder), "%s/test_import_chain.XXXXXX", parent);
    assert_non_null(mkdtemp(folder));
}

static int run(char const *command)
{
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -r '%s'", folder);
    assert_int_equal(run(command), 0);
}

static void path_of(char out[128], char const *name)
{
    (void)snprintf(out, 128, "%s/%s", folder, name);
}

static void write_file(char const *path, coh_bytes_t data)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data.p, 1, data.n, file), data.n);
    assert_int_equal(fclose(file), 0);
}

/* Imports; more: further options. Returns the line of JSON (release with json_decref), NULL if there is none. */
static json_t *import(char const *chain,
                      char const *genesis,
                      uint32_t shard_cnt,
                      char const *more,
                      int *exit_code)
{
    char command[2048];
    char line[4096];
    (void)snprintf(
        command,
        sizeof(command),
        "TMPDIR='%s' '%s' import --log-level error --json --rlp '%s' --genesis '%s' --shards %u %s",
        folder,
        COHORT_PROGRAM,
        chain,
        genesis,
        shard_cnt,
        more);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    json_t *row = NULL;
    json_error_t error;
    while (fgets(line, sizeof(line), pipe) != NULL) {
        assert_null(row);
        row = json_loads(line, 0, &error);
        assert_non_null(row);
    }
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    *exit_code = WEXITSTATUS(status);
    return row;
}

static void expect_number(json_t const *row, char const *key, uint64_t want)
{
    json_t const *v = json_object_get(row, key);
    assert_true(json_is_integer(v));
    assert_int_equal(json_integer_value(v), want);
}

/* Imports all of it; so many blocks were to be imported, and so many there, up to the one with this hash. */
static void expect_passes(char const *chain,
                          char const *genesis,
                          uint32_t shard_cnt,
                          char const *more,
                          uint64_t imported,
                          uint64_t skipped,
                          char const *last)
{
    int exit_code;
    json_t *row = import(chain, genesis, shard_cnt, more, &exit_code);
    assert_non_null(row);
    if (strcmp(coh_test_str(row, "result"), "passed") != 0) {
        fail_msg("%s: %s", chain, coh_test_str(row, "reason"));
    }
    assert_int_equal(exit_code, 0);
    expect_number(row, "imported", imported);
    expect_number(row, "skipped", skipped);
    expect_number(row, "head", imported + skipped);
    assert_string_equal(coh_test_str(row, "hash"), last);
    json_decref(row);
}

static void expect_stops(char const *chain,
                         char const *genesis,
                         uint32_t shard_cnt,
                         char const *more,
                         uint64_t at,
                         char const *reason)
{
    int exit_code;
    json_t *row = import(chain, genesis, shard_cnt, more, &exit_code);
    assert_non_null(row);
    assert_int_equal(exit_code, 1);
    assert_string_equal(coh_test_str(row, "result"), "FAILED");
    assert_string_equal(coh_test_str(row, "reason"), reason);
    expect_number(row, "block", at);
    expect_number(row, "head", at - 1);
    json_decref(row);
}

/* ---- Recorded chains ------------------------------------------------------------------------------------------------------------- */

static void import_recorded(char const *sub, char const *genesis, uint64_t cnt, char const *last)
{
    char chain[1024];
    char given[1024];
    (void)snprintf(chain, sizeof(chain), "%s/%s/chain.rlp", coh_test_data_dir(), sub);
    (void)snprintf(given, sizeof(given), "%s/%s/genesis.json", coh_test_data_dir(), sub);
    for (size_t i = 0; i < COH_CNT(shard_cnts); i++) {
        expect_passes(chain, genesis != NULL ? genesis : given, shard_cnts[i], "", cnt, 0, last);
    }
}

/* besu's file of mainnet leaves out forks that follow from others, and the Merge's number. */
static void complete_mainnet(char const *path)
{
    char given[1024];
    (void)snprintf(given, sizeof(given), "%s/chains/mainnet-0/genesis.json", coh_test_data_dir());
    json_error_t error;
    json_t *json = json_load_file(given, JSON_DECODE_INT_AS_REAL, &error);
    assert_non_null(json);
    json_t *config = json_object_get(json, "config");
    json_object_set_new(config, "eip155Block", json_integer(2675000));
    json_object_set_new(config, "constantinopleBlock", json_integer(7280000));
    json_object_set_new(config, "mergeNetsplitBlock", json_integer(15537394));
    assert_int_equal(json_dump_file(json, path, 0), 0);
    json_decref(json);
}

static void import_recorded_chains(void **state)
{
    (void)state;
    if (coh_test_data_dir() == NULL) {
        coh_test_skip("import of recorded chains");
        return;
    }
    char mainnet[128];
    path_of(mainnet, "mainnet.json");
    complete_mainnet(mainnet);
    import_recorded("chains/hivechain-500", NULL, 500, HIVECHAIN_LAST);
    import_recorded("rpc", NULL, 54, RPC_LAST);
    import_recorded("chains/mainnet-0", mainnet, 8191, MAINNET_LAST);
}

/* ---- Our own chains -------------------------------------------------------------------------------------------------------------- */

typedef struct {
    char genesis[128]; /* its file */
    coh_buf_t rlp;     /* the genesis, then the blocks up to the last */
    size_t starts[32]; /* of each block in it, [0]: the genesis */
    uint32_t cnt;      /* blocks behind the genesis */
    char last[67];
} chain_t;

static void put_hex(json_t *obj, char const *key, void const *p, size_t n)
{
    char text[2 * 64 + 1];
    assert_true(n <= 64);
    coh_hex_encode(text, p, n);
    json_object_set_new(obj, key, json_sprintf("0x%s", text));
}

static void put_number(json_t *obj, char const *key, coh_u256_t const *v)
{
    char text[COH_U256_DEC_SZ];
    coh_u256_to_dec(text, v);
    json_object_set_new(obj, key, json_string(text));
}

static void put_u64(json_t *obj, char const *key, uint64_t v)
{
    coh_u256_t wide = coh_u256(v);
    put_number(obj, key, &wide);
}

/* Writes the beginning of a test as geth's genesis.json: all forks up to one from the start. */
static void write_genesis(char const *path, json_t *test, coh_header_t const *h, coh_fork_t fork)
{
    static struct {
        char const *member;
        coh_fork_t fork;
    } const forks[] = {
        {"homesteadBlock", COH_FORK_HOMESTEAD},
        {"eip150Block", COH_FORK_TANGERINE},
        {"eip155Block", COH_FORK_SPURIOUS},
        {"eip158Block", COH_FORK_SPURIOUS},
        {"byzantiumBlock", COH_FORK_BYZANTIUM},
        {"constantinopleBlock", COH_FORK_PETERSBURG},
        {"petersburgBlock", COH_FORK_PETERSBURG},
        {"istanbulBlock", COH_FORK_ISTANBUL},
        {"berlinBlock", COH_FORK_BERLIN},
        {"londonBlock", COH_FORK_LONDON},
        {"terminalTotalDifficulty", COH_FORK_PARIS},
        {"shanghaiTime", COH_FORK_SHANGHAI},
        {"cancunTime", COH_FORK_CANCUN},
        {"pragueTime", COH_FORK_PRAGUE},
        {"osakaTime", COH_FORK_OSAKA},
    };
    json_t *json   = json_object();
    json_t *config = json_object();
    json_object_set_new(config, "chainId", json_integer(1));
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        if (forks[i].fork <= fork) {
            json_object_set_new(config, forks[i].member, json_integer(0));
        }
    }
    json_object_set_new(json, "config", config);
    json_object_set(json, "alloc", json_object_get(test, "pre"));
    put_u64(json, "timestamp", h->timestamp);
    put_u64(json, "gasLimit", h->gas_limit);
    put_u64(json, "gasUsed", h->gas_used);
    put_number(json, "difficulty", &h->difficulty);
    put_hex(json, "nonce", h->nonce, sizeof(h->nonce));
    put_hex(json, "extraData", h->extra, h->extra_sz);
    put_hex(json, "mixHash", h->mix_hash.b, 32);
    put_hex(json, "coinbase", h->coinbase.b, 20);
    put_hex(json, "parentHash", h->parent_hash.b, 32);
    if (fork >= COH_FORK_LONDON) {
        put_number(json, "baseFeePerGas", &h->base_fee);
    }
    if (fork >= COH_FORK_CANCUN) {
        put_u64(json, "excessBlobGas", h->excess_blob_gas);
        put_u64(json, "blobGasUsed", h->blob_gas_used);
    }
    assert_int_equal(json_dump_file(json, path, 0), 0);
    json_decref(json);
}

/* Takes of a test's blocks those that lead to its last one. */
static void open_chain(chain_t *c, json_t *tests, char const *name, coh_fork_t fork)
{
    json_t *test = json_object_get(tests, name);
    *c           = (chain_t){.rlp = COH_BUF_INIT};
    assert_non_null(test);
    json_t *blocks     = json_object_get(test, "blocks");
    coh_buf_t raws[32] = {0};
    coh_hash_t parent  = coh_test_hash(coh_test_str(test, "lastblockhash"));
    coh_block_t block  = {.raw = {0}};
    uint32_t back      = COH_CNT(raws);
    bool is_found      = true;
    (void)snprintf(c->last, sizeof(c->last), "%s", coh_test_str(test, "lastblockhash"));
    while (is_found) {
        is_found = false;
        for (size_t i = 0; i < json_array_size(blocks) && !is_found; i++) {
            json_t *row = json_array_get(blocks, i);
            if (json_object_get(row, "expectException") != NULL) {
                continue;
            }
            assert_true(back > 0);
            assert_true(coh_test_hex(&raws[back - 1], coh_test_str(row, "rlp")));
            is_found = coh_block_decode(&block, coh_buf_bytes(&raws[back - 1])) == COH_OK &&
                       coh_hash_eq(&block.hash, &parent);
        }
        if (is_found) {
            parent = block.header.parent_hash;
            back--;
            c->cnt++;
        }
    }
    coh_buf_t first = COH_BUF_INIT;
    assert_true(coh_test_hex(&first, coh_test_str(test, "genesisRLP")));
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&first)), COH_OK);
    assert_memory_equal(block.hash.b, parent.b, 32);
    path_of(c->genesis, "genesis.json");
    write_genesis(c->genesis, test, &block.header, fork);
    coh_buf_put(&c->rlp, first.p, first.n);
    for (uint32_t i = 0; i < c->cnt; i++) {
        c->starts[i + 1] = c->rlp.n;
        coh_buf_put(&c->rlp, raws[back + i].p, raws[back + i].n);
    }
    c->starts[c->cnt + 1] = c->rlp.n;
    for (size_t i = 0; i < COH_CNT(raws); i++) {
        coh_buf_free(&raws[i]);
    }
    coh_buf_free(&first);
}

static json_t *load_own(void)
{
    json_t *tests = coh_test_json(COHORT_SOURCE_DIR "/tests/conformance/own_blocks/chains.json");
    assert_non_null(tests);
    return tests;
}

static void import_own_chains(void **state)
{
    (void)state;
    static struct {
        char const *name;
        coh_fork_t fork;
    } const chains[] = {
        {"own_chain_Frontier", COH_FORK_FRONTIER},
        {"own_chain_EIP158", COH_FORK_SPURIOUS},
        {"own_chain_London", COH_FORK_LONDON},
        {"own_chain_Cancun", COH_FORK_CANCUN},
        {"own_chain_Osaka", COH_FORK_OSAKA},
    };
    json_t *tests = load_own();
    char rlp[128];
    path_of(rlp, "chain.rlp");
    for (size_t i = 0; i < COH_CNT(chains); i++) {
        chain_t c;
        open_chain(&c, tests, chains[i].name, chains[i].fork);
        assert_true(c.cnt >= 3);
        write_file(rlp, coh_buf_bytes(&c.rlp));
        for (size_t k = 0; k < COH_CNT(shard_cnts); k++) {
            expect_passes(rlp, c.genesis, shard_cnts[k], "", c.cnt, 0, c.last);
        }
        coh_buf_free(&c.rlp);
    }
    json_decref(tests);
}

/* Where a field of a header begins in the octets of a block with a body of some size: list headers of 3 octets each, as long as both are above 255 octets; parent 33, ommers 33,
   coinbase 21, state root 33 (with their own headers). */
enum { AT_STATE_ROOT = 3 + 3 + 33 + 33 + 21 + 1 };

/* In pieces, with a wrong block in between. */
static void import_goes_on_where_it_was(void **state)
{
    (void)state;
    json_t *tests = load_own();
    chain_t c;
    char rlp[128];
    char more[256];
    open_chain(&c, tests, "own_chain_Osaka", COH_FORK_OSAKA);
    path_of(rlp, "chain.rlp");
    (void)snprintf(more, sizeof(more), "--data '%s/data'", folder);
    assert_true(c.cnt >= 3);

    write_file(rlp, coh_bytes(c.rlp.p, c.starts[2])); /* the genesis and one block */
    coh_block_t first;
    assert_int_equal(
        coh_block_decode(&first, coh_bytes(c.rlp.p + c.starts[1], c.starts[2] - c.starts[1])),
        COH_OK);
    char hash[67] = "0x";
    coh_hex_encode(hash + 2, first.hash.b, 32);
    expect_passes(rlp, c.genesis, 3, more, 1, 0, hash);

    /* One octet of the second block's state root. */
    c.rlp.p[c.starts[2] + AT_STATE_ROOT] ^= 1;
    write_file(rlp, coh_buf_bytes(&c.rlp));
    expect_stops(rlp, c.genesis, 3, more, 2, "wrong state root");
    /* The same once more: the state is that of the block before. */
    expect_stops(rlp, c.genesis, 3, more, 2, "wrong state root");
    c.rlp.p[c.starts[2] + AT_STATE_ROOT] ^= 1;

    /* Octets that are no block. */
    write_file(rlp, coh_bytes(c.rlp.p, c.starts[2] + 100));
    expect_stops(rlp, c.genesis, 3, more, 2, "malformed block encoding");

    /* The parent of the third is missing. */
    coh_buf_t gap = COH_BUF_INIT;
    coh_buf_put(&gap, c.rlp.p, c.starts[2]);
    coh_buf_put(&gap, c.rlp.p + c.starts[3], c.rlp.n - c.starts[3]);
    write_file(rlp, coh_buf_bytes(&gap));
    expect_stops(rlp, c.genesis, 3, more, 2, "unknown parent");
    coh_buf_free(&gap);

    write_file(rlp, coh_buf_bytes(&c.rlp));
    expect_passes(rlp, c.genesis, 3, more, c.cnt - 1, 1, c.last);
    expect_passes(rlp, c.genesis, 3, more, 0, c.cnt, c.last);

    /* Another block than the one that is there. */
    c.rlp.p[c.starts[2] + AT_STATE_ROOT] ^= 1;
    write_file(rlp, coh_buf_bytes(&c.rlp));
    int exit_code;
    assert_null(import(rlp, c.genesis, 3, more, &exit_code));
    assert_int_equal(exit_code, 1);
    coh_buf_free(&c.rlp);
    json_decref(tests);
}

static int begin(void **state)
{
    (void)state;
    make_folder();
    return 0;
}

static int end(void **state)
{
    (void)state;
    remove_folder();
    return 0;
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(import_own_chains),
        cmocka_unit_test(import_goes_on_where_it_was),
        cmocka_unit_test(import_recorded_chains),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
