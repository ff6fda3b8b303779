/* Roots against published data: Ethereum's TrieTests and GenesisTests, and of recorded blocks their transactions' root (from the header) and
   the root of the state they read (computed by npm's @ethereumjs/vm, an independent implementation). Without data, the cases of unit test_root are all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/trie/account.h"
#include "common/trie/nibbles.h"
#include "common/trie/proof.h"
#include "common/trie/root.h"
#include "common/trie/state_root.h"
#include "tests/support/realblocks.h"

/* Loads dir/sub; NULL, and a word about it, if there is no data. */
static json_t *load(char const *sub, char const *what)
{
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip(what);
        return NULL;
    }
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/%s", dir, sub);
    coh_buf_put_u8(&path, 0);
    json_t *root = coh_test_json((char const *)path.p);
    coh_buf_free(&path);
    return root;
}

/* ---- TrieTests ---- */

enum { ITEM_MAX = 64 };

/* A trie as a list of its pairs; members own their octets. */
typedef struct {
    coh_buf_t keys[ITEM_MAX];
    coh_buf_t values[ITEM_MAX];
    size_t cnt;
} pairs_t;

/* Text stands for its octets, but for hexadecimal after 0x. */
static void octets(coh_buf_t *out, char const *text)
{
    if (strncmp(text, "0x", 2) == 0) {
        assert_true(coh_test_hex(out, text));
    } else {
        coh_buf_put(out, text, strlen(text));
    }
}

/* Sets a pair; value NULL removes it. */
static void put(pairs_t *pairs, char const *key_text, char const *value)
{
    coh_buf_t key = COH_BUF_INIT;
    octets(&key, key_text);
    size_t i = 0;
    while (i < pairs->cnt && !coh_bytes_eq(coh_buf_bytes(&pairs->keys[i]), coh_buf_bytes(&key))) {
        i++;
    }
    if (i < pairs->cnt) {
        coh_buf_free(&pairs->keys[i]);
        coh_buf_free(&pairs->values[i]);
        pairs->cnt--;
        pairs->keys[i]   = pairs->keys[pairs->cnt];
        pairs->values[i] = pairs->values[pairs->cnt];
    }
    if (value == NULL) {
        coh_buf_free(&key);
        return;
    }
    assert_true(pairs->cnt < ITEM_MAX);
    pairs->keys[pairs->cnt]   = key;
    pairs->values[pairs->cnt] = COH_BUF_INIT;
    octets(&pairs->values[pairs->cnt], value);
    pairs->cnt++;
}

static void run_trie_test(char const *name, json_t const *test, bool secure)
{
    pairs_t pairs = {0};
    json_t *in    = json_object_get(test, "in");
    if (json_is_object(in)) {
        char const *key;
        json_t *value;
        json_object_foreach (in, key, value) {
            put(&pairs, key, json_string_value(value));
        }
    } else {
        size_t i;
        json_t *pair;
        json_array_foreach (in, i, pair) {
            put(&pairs,
                json_string_value(json_array_get(pair, 0)),
                json_string_value(json_array_get(pair, 1)));
        }
    }
    coh_root_item_t items[ITEM_MAX];
    for (size_t i = 0; i < pairs.cnt; i++) {
        items[i].key   = coh_buf_bytes(&pairs.keys[i]);
        items[i].value = coh_buf_bytes(&pairs.values[i]);
    }
    coh_hash_t root;
    if (secure) {
        coh_root_secure(&root, items, pairs.cnt);
    } else {
        qsort(items, pairs.cnt, sizeof(*items), coh_root_compare);
        coh_root_sorted(&root, items, pairs.cnt);
    }
    coh_hash_t want = coh_test_hash(coh_test_str(test, "root"));
    if (!coh_hash_eq(&root, &want)) {
        fail_msg("%s: wrong root", name);
    }
    for (size_t i = 0; i < pairs.cnt; i++) {
        coh_buf_free(&pairs.keys[i]);
        coh_buf_free(&pairs.values[i]);
    }
}

static void tries_published_roots(void **state)
{
    (void)state;
    static struct {
        char const *path;
        size_t cnt;
        bool secure;
    } const files[] = {
        {"ethtests/TrieTests/trieanyorder.json", 7, false},
        {"ethtests/TrieTests/trieanyorder_secureTrie.json", 7, true},
        {"ethtests/TrieTests/trietest.json", 5, false},
        {"ethtests/TrieTests/trietest_secureTrie.json", 3, true},
        {"ethtests/TrieTests/hex_encoded_securetrie_test.json", 3, true},
    };
    for (size_t i = 0; i < COH_CNT(files); i++) {
        json_t *root = load(files[i].path, "TrieTests");
        if (root == NULL) {
            return;
        }
        assert_int_equal(json_object_size(root), files[i].cnt);
        char const *name;
        json_t *test;
        json_object_foreach (root, name, test) {
            run_trie_test(name, test, files[i].secure);
        }
        json_decref(root);
    }
}

/* Neighbours of a key in the order of a trie: of that order we have the comparison. */
static void tries_published_order(void **state)
{
    (void)state;
    json_t *root = load("ethtests/TrieTests/trietestnextprev.json", "TrieTests: order of keys");
    if (root == NULL) {
        return;
    }
    json_t *basic = json_object_get(root, "basic");
    json_t *in    = json_object_get(basic, "in");
    json_t *tests = json_object_get(basic, "tests");
    size_t cnt    = json_array_size(in);
    coh_root_item_t items[8];
    assert_true(cnt > 0 && cnt <= COH_CNT(items) && json_array_size(tests) > 0);
    for (size_t i = 0; i < cnt; i++) {
        json_t *key  = json_array_get(in, i);
        items[i].key = coh_bytes(json_string_value(key), json_string_length(key));
    }
    qsort(items, cnt, sizeof(*items), coh_root_compare);
    size_t t;
    json_t *test;
    json_array_foreach (tests, t, test) {
        json_t *key          = json_array_get(test, 0);
        coh_root_item_t item = {.key = coh_bytes(json_string_value(key), json_string_length(key))};
        coh_bytes_t prev     = coh_bytes(NULL, 0);
        coh_bytes_t next     = coh_bytes(NULL, 0);
        for (size_t i = 0; i < cnt; i++) {
            int order = coh_root_compare(&items[i], &item);
            if (order < 0) {
                prev = items[i].key;
            } else if (order > 0 && next.n == 0) {
                next = items[i].key;
            }
        }
        char const *want_prev = json_string_value(json_array_get(test, 1));
        char const *want_next = json_string_value(json_array_get(test, 2));
        assert_true(coh_bytes_eq(prev, coh_bytes(want_prev, strlen(want_prev))));
        assert_true(coh_bytes_eq(next, coh_bytes(want_next, strlen(want_next))));
    }
    json_decref(root);
}

/* ---- Paths ---- */

static void tries_published_paths(void **state)
{
    (void)state;
    json_t *root = load("ethtests/BasicTests/hexencodetest.json", "BasicTests: hex-prefix");
    if (root == NULL) {
        return;
    }
    assert_true(json_object_size(root) >= 12);
    char const *name;
    json_t *test;
    json_object_foreach (root, name, test) {
        uint8_t key[16] = {0};
        uint8_t path[COH_CNT(key) + 1];
        json_t *seq = json_object_get(test, "seq");
        bool term   = json_is_true(json_object_get(test, "term"));
        size_t cnt  = json_array_size(seq);
        assert_true(cnt <= 2 * COH_CNT(key));
        for (size_t i = 0; i < cnt; i++) {
            coh_nibble_set(key, i, (uint32_t)json_integer_value(json_array_get(seq, i)));
        }
        coh_buf_t want = COH_BUF_INIT;
        assert_true(coh_test_hex(&want, coh_test_str(test, "out")));
        size_t n = coh_hex_prefix_put(path, key, 0, cnt, term);
        if (n != want.n || memcmp(path, want.p, n) != 0) {
            fail_msg("%s: wrong path", name);
        }
        uint8_t back[COH_CNT(path)];
        bool is_leaf;
        assert_int_equal(coh_hex_prefix_get(back, &n, &is_leaf, coh_buf_bytes(&want)), COH_OK);
        assert_int_equal(n, cnt);
        assert_int_equal(is_leaf, term);
        assert_memory_equal(back, key, (cnt + 1) / 2);
        coh_buf_free(&want);
    }
    json_decref(root);
}

/* ---- Proofs ---- */

static void read_proof(coh_proof_t *proof, json_t const *nodes)
{
    coh_buf_t rlp = COH_BUF_INIT;
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node) {
        assert_true(coh_test_hex(&rlp, json_string_value(node)));
        coh_proof_add(proof, coh_buf_bytes(&rlp));
    }
    coh_buf_free(&rlp);
}

/* Of an answer of eth_getProof, account and slots are what the nodes prove, from their first one on. */
static void check_answer(json_t const *result)
{
    coh_proof_t proof = COH_PROOF_INIT;
    coh_addr_t addr   = coh_test_addr(coh_test_str(result, "address"));
    coh_hash_t key;
    coh_hash_t root;
    coh_bytes_t value;
    coh_trie_account_t account;
    read_proof(&proof, json_object_get(result, "accountProof"));
    assert_true(proof.cnt > 1);
    coh_bytes_t first = coh_proof_node(&proof, 0);
    coh_keccak256(&root, first.p, first.n);
    coh_keccak256(&key, addr.b, sizeof(addr.b));
    assert_int_equal(coh_proof_verify(&value, &proof, &root, &key), COH_OK);
    assert_int_equal(coh_trie_account_get(&account, value), COH_OK);
    coh_u256_t balance = coh_test_u256(coh_test_str(result, "balance"));
    coh_hash_t storage = coh_test_hash(coh_test_str(result, "storageHash"));
    coh_hash_t code    = coh_test_hash(coh_test_str(result, "codeHash"));
    assert_true(account.nonce == coh_test_u64(coh_test_str(result, "nonce")));
    assert_true(coh_u256_eq(&account.balance, &balance));
    assert_memory_equal(account.storage_root.b, storage.b, sizeof(storage.b));
    assert_memory_equal(account.code_hash.b, code.b, sizeof(code.b));
    key.b[31] ^= 1;
    if (coh_proof_verify(&value, &proof, &root, &key) == COH_OK) {
        assert_int_equal(value.n, 0); /* the path ends at the leaf of another */
    }
    size_t i;
    json_t *slot;
    json_array_foreach (json_object_get(result, "storageProof"), i, slot) {
        coh_proof_free(&proof);
        read_proof(&proof, json_object_get(slot, "proof"));
        coh_u256_t number = coh_test_u256(coh_test_str(slot, "key"));
        coh_u256_t want   = coh_test_u256(coh_test_str(slot, "value"));
        uint8_t text[32];
        coh_buf_t rlp = COH_BUF_INIT;
        coh_u256_to_be(text, &number);
        coh_keccak256(&key, text, sizeof(text));
        if (!coh_u256_is_zero(&want)) {
            coh_rlp_put_u256(&rlp, &want);
        }
        assert_int_equal(coh_proof_verify(&value, &proof, &storage, &key), COH_OK);
        assert_true(coh_bytes_eq(value, coh_buf_bytes(&rlp)));
        coh_buf_free(&rlp);
    }
    coh_proof_free(&proof);
}

/* Recorded answers of geth: execution-apis. */
static void tries_published_proofs(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("eth_getProof");
        return;
    }
    char **files;
    size_t cnt = coh_test_files(&files, dir, "rpc/eth_getProof", ".io");
    assert_int_equal(cnt, 2);
    for (size_t i = 0; i < cnt; i++) {
        FILE *f     = fopen(files[i], "re");
        char *line  = NULL;
        size_t room = 0;
        assert_non_null(f);
        while (getline(&line, &room, f) > 0) {
            if (strncmp(line, "<< ", 3) == 0) {
                json_t *answer = json_loads(line + 3, 0, NULL);
                assert_non_null(answer);
                check_answer(json_object_get(answer, "result"));
                json_decref(answer);
            }
        }
        free(line);
        (void)fclose(f);
    }
    coh_test_files_free(files);
}

/* ---- State roots ---- */

static void put_account(coh_memview_t *mv, coh_addr_t const *addr, json_t const *account)
{
    char const *code_text = json_string_value(json_object_get(account, "code"));
    char const *nonce     = json_string_value(json_object_get(account, "nonce"));
    char const *balance   = json_string_value(json_object_get(account, "balance"));
    if (balance == NULL) {
        balance = json_string_value(json_object_get(account, "wei"));
    }
    coh_u256_t word = balance == NULL ? COH_U256_ZERO : coh_test_u256(balance);
    coh_buf_t code  = COH_BUF_INIT;
    if (code_text != NULL) {
        assert_true(coh_test_hex(&code, code_text));
    }
    coh_memview_put_account(
        mv, addr, nonce == NULL ? 0 : coh_test_u64(nonce), &word, coh_buf_bytes(&code));
    coh_buf_free(&code);
    char const *key;
    json_t *value;
    json_object_foreach (json_object_get(account, "storage"), key, value) {
        coh_u256_t slot = coh_test_u256(key);
        word            = coh_test_u256(json_string_value(value));
        coh_memview_put_slot(mv, addr, &slot, &word);
    }
}

static void expect_state_root(char const *name, coh_memview_t const *mv, coh_hash_t const *want)
{
    coh_hash_t root;
    coh_state_root(&root, mv);
    if (!coh_hash_eq(&root, want)) {
        fail_msg("%s: wrong state root", name);
    }
}

static void tries_published_genesis_states(void **state)
{
    (void)state;
    json_t *root = load("ethtests/GenesisTests/basic_genesis_tests.json", "GenesisTests");
    if (root == NULL) {
        return;
    }
    assert_int_equal(json_object_size(root), 3);
    char const *name;
    json_t *test;
    json_object_foreach (root, name, test) {
        coh_memview_t *mv = coh_memview_new(&coh_code_coder, COH_FORK_FRONTIER);
        char const *key;
        json_t *account;
        json_object_foreach (json_object_get(test, "alloc"), key, account) {
            coh_addr_t addr = coh_test_addr(key);
            put_account(mv, &addr, account);
        }
        /* A block: header, and two empty lists. */
        coh_buf_t block = COH_BUF_INIT;
        assert_true(coh_test_hex(&block, coh_test_str(test, "result")));
        coh_rlp_t reader = coh_rlp_reader(coh_buf_bytes(&block));
        coh_rlp_t members;
        coh_rlp_kind_t kind;
        coh_bytes_t payload;
        coh_bytes_t item;
        coh_header_t header;
        coh_fork_t fork;
        assert_int_equal(coh_rlp_list(&reader, &members), COH_OK);
        assert_int_equal(coh_rlp_next_raw(&members, &kind, &payload, &item), COH_OK);
        assert_int_equal(coh_header_decode(&header, &fork, item), COH_OK);
        expect_state_root(name, mv, &header.state_root);
        coh_buf_free(&block);
        coh_memview_free(mv);
    }
    json_decref(root);
}

/* ---- Recorded blocks ---- */

static void check_roots(void *arg, coh_test_realblock_t const *r)
{
    (void)arg;
    coh_hash_t root;
    coh_root_list(&root, r->block.raws, r->block.tx_cnt);
    json_t *header  = json_object_get(r->root, "header");
    coh_hash_t want = coh_test_hash(coh_test_str(header, "transactionsTrie"));
    if (!coh_hash_eq(&root, &want)) {
        fail_msg("%s: wrong root of transactions", r->path);
    }
    coh_memview_t *mv = coh_test_load_pre(&r->block);
    want = coh_test_hash(coh_test_str(json_object_get(r->root, "txOnly"), "preStateRoot"));
    expect_state_root(r->path, mv, &want);
    coh_memview_free(mv);
}

static void tries_of_recorded_blocks(void **state)
{
    (void)state;
    size_t cnt = coh_test_realblocks("roots of recorded blocks", check_roots, NULL);
    if (coh_test_data_dir() != NULL) {
        assert_int_equal(cnt, 75);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(tries_published_roots),
        cmocka_unit_test(tries_published_order),
        cmocka_unit_test(tries_published_paths),
        cmocka_unit_test(tries_published_proofs),
        cmocka_unit_test(tries_published_genesis_states),
        cmocka_unit_test(tries_of_recorded_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
