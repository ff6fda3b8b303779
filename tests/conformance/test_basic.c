/* ethereum/tests' BasicTests: difficulty formulas, keys and signatures, early transactions, the main network's genesis header, genesis
   blocks of a proof of concept. Two files are about other things: crypto.json about devp2p's transport, which Cohort does not speak;
   hexencodetest.json about paths in tries, which the tests of tries run. Without the data, cases of ours in the same form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/codec/block.h"
#include "common/codec/difficulty.h"
#include "common/codec/rlp.h"
#include "common/codec/tx.h"
#include "common/config/genesis.h"
#include "common/crypto/keccak.h"
#include "tests/support/data.h"

/* ---- difficulty ---- */

/* The rules of a network from a block on. */
typedef struct {
    uint64_t from;
    coh_fork_t fork;
} era_t;

typedef struct {
    char const *file;
    era_t eras[3];
} network_t;

#define MAINNET                                                                               \
    {                                                                                         \
        {0, COH_FORK_FRONTIER}, {1150000, COH_FORK_HOMESTEAD}, {4370000, COH_FORK_BYZANTIUM}, \
    }

static network_t const networks[] = {
    {"difficulty.json", MAINNET},
    {"difficultyMainNetwork.json", MAINNET},
    {"difficultyCustomMainNetwork.json", MAINNET},
    {"difficultyRopsten.json",
     {{0, COH_FORK_HOMESTEAD}, {1700000, COH_FORK_BYZANTIUM}, {4230000, COH_FORK_CONSTANTINOPLE}}},
    {"difficultyCustomHomestead.json",
     {{0, COH_FORK_HOMESTEAD}, {UINT64_MAX, COH_FORK_HOMESTEAD}, {UINT64_MAX, COH_FORK_HOMESTEAD}}},
};

static size_t check_difficulty(json_t *doc, era_t const eras[3])
{
    char const *name;
    json_t *test;
    size_t cnt = 0;
    json_object_foreach (doc, name, test) {
        json_t const *uncles           = json_object_get(test, "parentUncles");
        coh_difficulty_parent_t parent = {
            .difficulty = coh_test_u256(coh_test_str(test, "parentDifficulty")),
            .timestamp  = coh_test_u64(coh_test_str(test, "parentTimestamp")),
        };
        if (uncles != NULL) {
            /* Some spell the hash of no uncles with 63 digits. */
            coh_u256_t hash   = coh_test_u256(json_string_value(uncles));
            coh_u256_t none   = coh_u256_from_be(COH_EMPTY_LIST_HASH.b, 32);
            parent.has_ommers = !coh_u256_eq(&hash, &none);
        }
        uint64_t number = coh_test_u64(coh_test_str(test, "currentBlockNumber"));
        size_t era      = 2;
        while (number < eras[era].from) {
            era--;
        }
        coh_u256_t want = coh_test_u256(coh_test_str(test, "currentDifficulty"));
        coh_u256_t got  = coh_difficulty_next(&parent,
                                             eras[era].fork,
                                             coh_difficulty_bomb_delay(eras[era].fork),
                                             number,
                                             coh_test_u64(coh_test_str(test, "currentTimestamp")));
        if (!coh_u256_eq(&got, &want)) {
            char dec[COH_U256_DEC_SZ];
            coh_u256_to_dec(dec, &got);
            fail_msg("%s: %s", name, dec);
        }
        cnt++;
    }
    return cnt;
}

/* ---- keys ---- */

/* The key is the hash of the seed, the address that of the key. What the given signatures cover is
   not said, and is not the hash of the empty text, which their name suggests: they only must be
   somebody's. */
static size_t check_keys(json_t *doc)
{
    size_t i;
    json_t *test;
    json_array_foreach (doc, i, test) {
        char const *seed = coh_test_str(test, "seed");
        coh_hash_t key   = coh_test_hash(coh_test_str(test, "key"));
        coh_addr_t addr  = coh_test_addr(coh_test_str(test, "addr"));
        coh_hash_t digest;
        coh_addr_t got;
        coh_keccak256(&digest, seed, strlen(seed));
        assert_memory_equal(digest.b, key.b, sizeof(key.b));
        assert_int_equal(coh_ecdsa_address(&got, key.b), COH_OK);
        assert_memory_equal(got.b, addr.b, sizeof(addr.b));

        json_t const *sig = json_object_get(test, "sig_of_emptystring");
        coh_u256_t r      = coh_test_u256(coh_test_str(sig, "r"));
        coh_u256_t s      = coh_test_u256(coh_test_str(sig, "s"));
        coh_sig_t given   = {.parity = (uint8_t)(coh_test_u64(coh_test_str(sig, "v")) - 27)};
        coh_u256_to_be(given.r, &r);
        coh_u256_to_be(given.s, &s);
        assert_int_equal(coh_ecdsa_recover(&got, &digest, &given), COH_OK);
    }
    return json_array_size(doc);
}

/* ---- transactions ---- */

/* Fields, signed form and signer; the unsigned form has three empty strings for v, r and s. */
static size_t check_txs(json_t *doc)
{
    size_t i;
    json_t *test;
    json_array_foreach (doc, i, test) {
        coh_buf_t raw      = COH_BUF_INIT;
        coh_buf_t part     = COH_BUF_INIT;
        coh_buf_t scratch  = COH_BUF_INIT;
        coh_hash_t key     = coh_test_hash(coh_test_str(test, "key"));
        char const *to     = coh_test_str(test, "to");
        uint64_t nonce     = (uint64_t)json_integer_value(json_object_get(test, "nonce"));
        uint64_t gas_price = (uint64_t)json_integer_value(json_object_get(test, "gasprice"));
        uint64_t gas       = (uint64_t)json_integer_value(json_object_get(test, "startgas"));
        uint64_t value     = (uint64_t)json_integer_value(json_object_get(test, "value"));
        coh_tx_t tx;
        coh_addr_t signer;
        assert_true(coh_test_hex(&raw, coh_test_str(test, "signed")));
        assert_int_equal(coh_tx_decode(&tx, coh_buf_bytes(&raw)), COH_TX_OK);
        assert_true(tx.type == COH_TX_LEGACY && !tx.has_chain_id && tx.nonce == nonce);
        assert_true(tx.max_fee.w[0] == gas_price && tx.gas_limit == gas && tx.value.w[0] == value);
        assert_true(tx.is_create == (to[0] == '\0'));
        if (!tx.is_create) {
            coh_addr_t addr = coh_test_addr(to);
            assert_memory_equal(tx.to.b, addr.b, sizeof(addr.b));
        }
        assert_true(coh_test_hex(&part, coh_test_str(test, "data")));
        assert_true(coh_bytes_eq(tx.data, coh_buf_bytes(&part)));

        coh_tx_put_signing_payload(&scratch, &tx);
        coh_rlp_t r = coh_rlp_reader(coh_buf_bytes(&scratch));
        coh_rlp_t fields;
        assert_int_equal(coh_rlp_list(&r, &fields), COH_OK);
        coh_buf_clear(&part);
        coh_buf_put(&part, fields.p, (size_t)(fields.end - fields.p));
        coh_buf_put(&part, "\x80\x80\x80", 3);
        coh_rlp_wrap_list(&part, 0);
        coh_buf_clear(&scratch);
        assert_true(coh_test_hex(&scratch, coh_test_str(test, "unsigned")));
        assert_true(coh_bytes_eq(coh_buf_bytes(&part), coh_buf_bytes(&scratch)));

        coh_tx_recover_t one = {.tx = &tx};
        (void)coh_tx_recover_batch(&one, 1, &scratch);
        assert_int_equal(one.err, COH_TX_OK);
        assert_int_equal(coh_ecdsa_address(&signer, key.b), COH_OK);
        assert_memory_equal(one.sender.b, signer.b, sizeof(signer.b));
        coh_buf_free(&raw);
        coh_buf_free(&part);
        coh_buf_free(&scratch);
    }
    return json_array_size(doc);
}

/* ---- genesis ---- */

/* Reads a block's header and checks that the two lists behind it are empty. */
static coh_bytes_t read_empty_block(coh_buf_t const *rlp)
{
    coh_rlp_t whole = coh_rlp_reader(coh_buf_bytes(rlp));
    coh_rlp_t block, list;
    coh_rlp_kind_t kind;
    coh_bytes_t payload, header;
    assert_int_equal(coh_rlp_list(&whole, &block), COH_OK);
    assert_int_equal(coh_rlp_end(&whole), COH_OK);
    assert_int_equal(coh_rlp_next_raw(&block, &kind, &payload, &header), COH_OK);
    assert_int_equal(kind, COH_RLP_LIST);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(coh_rlp_list(&block, &list), COH_OK);
        assert_true(coh_rlp_at_end(&list));
    }
    assert_int_equal(coh_rlp_end(&block), COH_OK);
    return header;
}

static size_t check_genesis_hash(json_t *doc)
{
    coh_buf_t rlp   = COH_BUF_INIT;
    coh_buf_t again = COH_BUF_INIT;
    coh_header_t h;
    coh_fork_t fork;
    assert_true(coh_test_hex(&rlp, coh_test_str(doc, "genesis_rlp_hex")));
    coh_bytes_t header = read_empty_block(&rlp);
    assert_int_equal(coh_header_decode(&h, &fork, header), COH_OK);
    assert_int_equal(fork, COH_FORK_FRONTIER);
    coh_header_encode(&again, &h, fork);
    assert_true(coh_bytes_eq(coh_buf_bytes(&again), header));
    coh_hash_t want_hash = coh_test_hash(coh_test_str(doc, "genesis_hash"));
    coh_hash_t want_root = coh_test_hash(coh_test_str(doc, "genesis_state_root"));
    coh_hash_t hash      = coh_header_hash(&h, fork);
    assert_memory_equal(hash.b, want_hash.b, 32);
    assert_memory_equal(h.state_root.b, want_root.b, 32);
    assert_true(coh_hash_eq(&h.ommers_hash, &COH_EMPTY_LIST_HASH));
    assert_true(coh_hash_eq(&h.tx_root, &COH_EMPTY_TRIE_ROOT));
    assert_true(coh_hash_eq(&h.receipts_root, &COH_EMPTY_TRIE_ROOT));
    coh_buf_free(&rlp);
    coh_buf_free(&again);
    return 1;
}

/* Headers of a proof of concept of 2014, with 13 fields, among them the root of a state whose accounts had a form that is gone: all others are
   checked. */
static size_t check_old_genesis(json_t *doc)
{
    static uint8_t const zeros[32];
    size_t i;
    json_t *test;
    json_array_foreach (doc, i, test) {
        coh_buf_t rlp = COH_BUF_INIT;
        assert_true(coh_test_hex(&rlp, coh_test_str(test, "result")));
        coh_bytes_t header = read_empty_block(&rlp);
        coh_rlp_t whole    = coh_rlp_reader(header);
        coh_rlp_t r;
        coh_hash_t hash;
        coh_addr_t coinbase;
        coh_bytes_t root, octets;
        uint64_t v;
        assert_int_equal(coh_rlp_list(&whole, &r), COH_OK);
        assert_int_equal(coh_rlp_fixed(&r, hash.b, 32), COH_OK); /* parent */
        assert_memory_equal(hash.b, zeros, 32);
        assert_int_equal(coh_rlp_fixed(&r, hash.b, 32), COH_OK); /* uncles */
        assert_true(coh_hash_eq(&hash, &COH_EMPTY_LIST_HASH));
        assert_int_equal(coh_rlp_fixed(&r, coinbase.b, 20), COH_OK);
        assert_memory_equal(coinbase.b, zeros, 20);
        assert_int_equal(coh_rlp_string(&r, &root), COH_OK);
        assert_int_equal(root.n, json_object_size(json_object_get(test, "inputs")) == 0 ? 0 : 32);
        assert_int_equal(coh_rlp_string(&r, &octets), COH_OK); /* transactions' root */
        assert_int_equal(octets.n, 0);
        assert_int_equal(coh_rlp_u64(&r, &v), COH_OK); /* difficulty */
        assert_true(v == UINT64_C(1) << 22);
        assert_int_equal(coh_rlp_u64(&r, &v), COH_OK); /* number */
        assert_true(v == 0);
        assert_int_equal(coh_rlp_u64(&r, &v), COH_OK); /* least gas price */
        assert_true(v == UINT64_C(1000000000000000));
        assert_int_equal(coh_rlp_u64(&r, &v), COH_OK); /* gas limit */
        assert_true(v == 1000000);
        /* gas used, timestamp, extra data */
        for (int empty = 0; empty < 3; empty++) {
            assert_int_equal(coh_rlp_string(&r, &octets), COH_OK);
            assert_int_equal(octets.n, 0);
        }
        coh_hash_t nonce;
        coh_keccak256(&nonce, "\x2a", 1); /* of 42 */
        assert_int_equal(coh_rlp_fixed(&r, hash.b, 32), COH_OK);
        assert_true(coh_hash_eq(&hash, &nonce));
        assert_int_equal(coh_rlp_end(&r), COH_OK);
        coh_buf_free(&rlp);
    }
    return json_array_size(doc);
}

/* ---- all files ---- */

/* Returns how many cases were checked; 0 for a file about other things. */
static size_t check_file(char const *file, json_t *doc)
{
    for (size_t i = 0; i < COH_CNT(networks); i++) {
        if (strcmp(file, networks[i].file) == 0) {
            return check_difficulty(doc, networks[i].eras);
        }
    }
    if (strcmp(file, "keyaddrtest.json") == 0) {
        return check_keys(doc);
    }
    if (strcmp(file, "txtest.json") == 0) {
        return check_txs(doc);
    }
    if (strcmp(file, "genesishashestest.json") == 0) {
        return check_genesis_hash(doc);
    }
    if (strcmp(file, "blockgenesistest.json") == 0) {
        return check_old_genesis(doc);
    }
    if (strcmp(file, "crypto.json") != 0 && strcmp(file, "hexencodetest.json") != 0) {
        fail_msg("what is %s?", file);
    }
    return 0;
}

static void basic_tests(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("ethtests/BasicTests (11 files)");
        return;
    }
    char **files;
    size_t file_cnt = coh_test_files(&files, dir, "ethtests/BasicTests", ".json");
    size_t cnt      = 0;
    for (size_t i = 0; i < file_cnt; i++) {
        char const *name = strrchr(files[i], '/') + 1;
        /* Its balances are beyond 64 bits; they are of no account here. */
        bool is_big = strcmp(name, "blockgenesistest.json") == 0;
        json_t *doc = is_big ? json_load_file(files[i], JSON_DECODE_INT_AS_REAL, NULL)
                             : coh_test_json(files[i]);
        assert_non_null(doc);
        size_t checked = check_file(name, doc);
        print_message(
            "%5zu cases of %s%s\n", checked, name, checked == 0 ? ", not about codecs" : "");
        cnt += checked;
        json_decref(doc);
    }
    coh_test_files_free(files);
    print_message("%zu files, %zu cases\n", file_cnt, cnt);
    assert_true(file_cnt > 0 && cnt > 0);
}

/* Block 1 of the main network; and by hand Homestead's 2048000 + 1000 * (1 - 20 / 10) + 2^(12 - 2). */
static char const own_difficulty[] =
    "{\"block 1\": {\"parentTimestamp\": \"0\", \"parentDifficulty\": \"17179869184\","
    "  \"currentTimestamp\": \"1438269988\", \"currentBlockNumber\": \"1\","
    "  \"currentDifficulty\": \"17171480576\"},"
    " \"Homestead\": {\"parentTimestamp\": \"1000\", \"parentDifficulty\": \"2048000\","
    "  \"currentTimestamp\": \"1020\", \"currentBlockNumber\": \"1200000\","
    "  \"currentDifficulty\": \"2048024\"}}";

/* And the address of the key 1, which is well known. */
static void own_basic_tests(void **state)
{
    (void)state;
    json_t *doc = json_loads(own_difficulty, 0, NULL);
    assert_non_null(doc);
    assert_int_equal(check_difficulty(doc, networks[0].eras), 2);
    json_decref(doc);
    coh_addr_t want = coh_test_addr("7e5f4552091a69125d5dfcb7b8c2659029395bdf");
    coh_addr_t got;
    static uint8_t const one[32] = {[31] = 1};
    assert_int_equal(coh_ecdsa_address(&got, one), COH_OK);
    assert_memory_equal(got.b, want.b, sizeof(want.b));
}

/* ---- genesis blocks of recorded chains ---- */

/* The parent of the first block in chain.rlp is the block that genesis.json describes; so is its state. */
static void check_chain(char const *dir, char const *name)
{
    coh_buf_t path  = COH_BUF_INIT;
    coh_buf_t why   = COH_BUF_INIT;
    coh_buf_t chain = COH_BUF_INIT;
    coh_genesis_t g;
    coh_buf_t json = COH_BUF_INIT;
    coh_buf_printf(&path, "chains/%s/genesis.json%c", name, 0);
    coh_test_file(&json, dir, (char const *)path.p);
    /* Forks after the Merge, whose block one file does not give, are no part of the block. */
    static char const *const later[] = {"\"shanghaiTime", "\"cancunTime", "\"pragueTime"};
    for (size_t i = 0; i < COH_CNT(later); i++) {
        char *at = memmem(json.p, json.n, later[i], strlen(later[i]));
        if (at != NULL) {
            at[1] = '_';
        }
    }
    if (coh_genesis_parse(&g, coh_buf_bytes(&json), &why) != COH_OK) {
        fail_msg("%.*s", (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&json);
    coh_buf_clear(&path);
    coh_buf_printf(&path, "chains/%s/chain.rlp%c", name, 0);
    coh_test_file(&chain, dir, (char const *)path.p);
    coh_rlp_t blocks = coh_rlp_reader(coh_buf_bytes(&chain));
    coh_rlp_t block;
    coh_header_t header = {.number = 0};
    coh_fork_t fork;
    while (header.number != 1) { /* some chains begin with the genesis block itself */
        coh_rlp_kind_t kind;
        coh_bytes_t payload;
        coh_bytes_t whole;
        assert_int_equal(coh_rlp_list(&blocks, &block), COH_OK);
        assert_int_equal(coh_rlp_next_raw(&block, &kind, &payload, &whole), COH_OK);
        assert_int_equal(coh_header_decode(&header, &fork, whole), COH_OK);
    }
    assert_memory_equal(g.hash.b, header.parent_hash.b, sizeof(coh_hash_t));
    coh_genesis_free(&g);
    coh_buf_free(&path);
    coh_buf_free(&why);
    coh_buf_free(&chain);
}

/* GenesisTests: the members of a genesis and the block that they make. They are older than geth's form: no config, balances called wei or missing. */
static void check_genesis_test(char const *name, json_t *test)
{
    coh_buf_t rlp = COH_BUF_INIT;
    coh_buf_t why = COH_BUF_INIT;
    coh_hash_t want;
    coh_genesis_t g;
    assert_true(coh_test_hex(&rlp, coh_test_str(test, "result")));
    coh_bytes_t header = read_empty_block(&rlp);
    coh_keccak256(&want, header.p, header.n);
    (void)json_object_del(test, "result");
    (void)json_object_set_new(test, "config", json_pack("{s:i}", "chainId", 1));
    char const *addr;
    json_t *account;
    json_object_foreach (json_object_get(test, "alloc"), addr, account) {
        json_t *wei = json_object_get(account, "wei");
        if (json_object_get(account, "balance") == NULL) {
            (void)json_object_set_new(
                account, "balance", wei != NULL ? json_incref(wei) : json_string("0"));
        }
        (void)json_object_del(account, "wei");
    }
    char *text = json_dumps(test, 0);
    if (coh_genesis_parse(&g, coh_bytes(text, strlen(text)), &why) != COH_OK) {
        fail_msg("%s: %.*s", name, (int)why.n, (char const *)why.p);
    }
    assert_memory_equal(g.hash.b, want.b, sizeof(want.b));
    free(text);
    coh_genesis_free(&g);
    coh_buf_free(&rlp);
    coh_buf_free(&why);
}

static void genesis_blocks(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("genesis blocks");
        return;
    }
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/ethtests/GenesisTests/basic_genesis_tests.json%c", dir, 0);
    json_t *doc = coh_test_json((char const *)path.p);
    char const *name;
    json_t *test;
    json_object_foreach (doc, name, test) {
        check_genesis_test(name, test);
    }
    print_message("%zu genesis tests\n", json_object_size(doc));
    json_decref(doc);
    coh_buf_free(&path);
    check_chain(dir, "hivechain-500");
    check_chain(dir, "mainnet-0");
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(own_basic_tests),
        cmocka_unit_test(basic_tests),
        cmocka_unit_test(genesis_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
