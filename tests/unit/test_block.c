/* Headers and base fees: the genesis block, real blocks, whole chains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/codec/block.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"
#include "tests/support/data.h"

/* Ethereum mainnet, block 0. */
static coh_header_t genesis(void)
{
    coh_hash_t extra =
        coh_test_hash("11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa");
    coh_header_t h = {
        .ommers_hash = COH_EMPTY_LIST_HASH,
        .state_root =
            coh_test_hash("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544"),
        .tx_root       = COH_EMPTY_TRIE_ROOT,
        .receipts_root = COH_EMPTY_TRIE_ROOT,
        .difficulty    = coh_u256(UINT64_C(0x400000000)),
        .gas_limit     = 5000,
        .extra_sz      = 32,
        .nonce         = {0, 0, 0, 0, 0, 0, 0, 0x42},
    };
    memcpy(h.extra, extra.b, 32);
    return h;
}

static void block_hashes_the_genesis_header(void **state)
{
    (void)state;
    coh_header_t h = genesis();
    coh_hash_t want =
        coh_test_hash("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
    coh_hash_t got = coh_header_hash(&h, COH_FORK_FRONTIER);
    assert_memory_equal(got.b, want.b, 32);
}

static void block_constants_are_hashes_of_nothing(void **state)
{
    (void)state;
    coh_hash_t got;
    coh_keccak256(&got, "\xc0", 1);
    assert_true(coh_hash_eq(&got, &COH_EMPTY_LIST_HASH));
    coh_keccak256(&got, "\x80", 1);
    assert_true(coh_hash_eq(&got, &COH_EMPTY_TRIE_ROOT));
    coh_hash_t sha = /* FIPS 180-4, empty message */
        coh_test_hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(coh_hash_eq(&sha, &COH_EMPTY_REQUESTS_HASH));
}

static void block_header_fields_depend_on_the_fork(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        coh_fork_t decoded;
        size_t field_cnt;
    } const cases[] = {
        {COH_FORK_FRONTIER, COH_FORK_FRONTIER, 15},
        {COH_FORK_BERLIN, COH_FORK_FRONTIER, 15},
        {COH_FORK_LONDON, COH_FORK_LONDON, 16},
        {COH_FORK_PARIS, COH_FORK_LONDON, 16},
        {COH_FORK_SHANGHAI, COH_FORK_SHANGHAI, 17},
        {COH_FORK_CANCUN, COH_FORK_CANCUN, 20},
        {COH_FORK_PRAGUE, COH_FORK_PRAGUE, 21},
        {COH_FORK_OSAKA, COH_FORK_PRAGUE, 21},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_header_t h            = genesis();
        h.base_fee                = coh_u256(7);
        h.withdrawals_root.b[0]   = 1;
        h.blob_gas_used           = 131072;
        h.excess_blob_gas         = 2;
        h.parent_beacon_root.b[0] = 3;
        h.requests_hash.b[0]      = 4;
        coh_buf_t text            = COH_BUF_INIT;
        coh_header_encode(&text, &h, cases[i].fork);
        coh_rlp_t r = coh_rlp_reader(coh_buf_bytes(&text));
        assert_int_equal(coh_rlp_list(&r, &r), COH_OK);
        size_t field_cnt = 0;
        while (!coh_rlp_at_end(&r)) {
            coh_rlp_kind_t kind;
            coh_bytes_t payload;
            assert_int_equal(coh_rlp_next(&r, &kind, &payload), COH_OK);
            field_cnt++;
        }
        assert_int_equal(field_cnt, cases[i].field_cnt);
        coh_header_t back;
        coh_fork_t fork;
        assert_int_equal(coh_header_decode(&back, &fork, coh_buf_bytes(&text)), COH_OK);
        assert_int_equal(fork, cases[i].decoded);
        assert_true(back.gas_limit == 5000);
        assert_true(back.excess_blob_gas == (fork >= COH_FORK_CANCUN ? 2 : 0));
        coh_buf_free(&text);
    }
}

/* A header cut short anywhere, with anything after it, or with a field more is refused. */
static void block_decode_refuses_other_shapes(void **state)
{
    (void)state;
    coh_header_t h = genesis();
    coh_header_t back;
    coh_fork_t fork;
    coh_buf_t text = COH_BUF_INIT;
    coh_header_encode(&text, &h, COH_FORK_PRAGUE);
    for (size_t n = 0; n < text.n; n++) {
        assert_int_not_equal(coh_header_decode(&back, &fork, coh_bytes(text.p, n)), COH_OK);
    }
    assert_int_equal(coh_header_decode(&back, &fork, coh_buf_bytes(&text)), COH_OK);
    coh_buf_put_u8(&text, 0x80);
    assert_int_equal(coh_header_decode(&back, &fork, coh_buf_bytes(&text)), COH_EMALFORMED);
    /* Its list, 3 octets of header, re-written with 18, 19 and 22 fields. */
    for (int extra_cnt = 0; extra_cnt < 8; extra_cnt++) {
        coh_buf_t list = COH_BUF_INIT;
        coh_header_encode(&list, &h, COH_FORK_LONDON);
        memmove(list.p, list.p + 3, list.n - 3);
        list.n -= 3;
        for (int i = 0; i < extra_cnt; i++) {
            coh_hash_t zero = {{0}};
            if (i == 1 || i == 2) {
                coh_rlp_put_u64(&list, 1);
            } else {
                coh_rlp_put_string(&list, zero.b, 32);
            }
        }
        coh_rlp_wrap_list(&list, 0);
        bool whole = extra_cnt == 0 || extra_cnt == 1 || extra_cnt == 4 || extra_cnt == 5;
        assert_int_equal(coh_header_decode(&back, &fork, coh_buf_bytes(&list)) == COH_OK, whole);
        coh_buf_free(&list);
    }
    coh_buf_free(&text);
}

/* go-ethereum, consensus/misc/eip1559_test.go, TestCalcBaseFee; then corners computed with
   Python's integers. */
static void block_base_fee_follows_eip_1559(void **state)
{
    (void)state;
    static struct {
        char const *base_fee;
        uint64_t gas_used, gas_limit;
        char const *want;
    } const cases[] = {
        {"1000000000", 10000000, 20000000, "1000000000"},
        {"1000000000", 9000000, 20000000, "987500000"},
        {"1000000000", 11000000, 20000000, "1012500000"},
        {"7", 15000001, 30000000, "8"}, /* rises by at least 1 */
        {"7", 0, 30000000, "7"},        /* falls by 7 / 8, rounded down */
        {"0", 30000000, 30000000, "1"},
        {"0", 0, 30000000, "0"},
        {"1000000000", 0, 30000000, "875000000"},
        {"1000000000", 30000000, 30000000, "1125000000"},
        {"123456789", 12345678, 30000001, "120726006"},
        /* 2^255: the product needs more than 256 bits */
        {"0x8000000000000000000000000000000000000000000000000000000000000000",
         0,
         30000000,
         "0x7000000000000000000000000000000000000000000000000000000000000000"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_u256_t base_fee = coh_test_u256(cases[i].base_fee);
        coh_u256_t want     = coh_test_u256(cases[i].want);
        coh_u256_t got      = coh_base_fee_next(&base_fee, cases[i].gas_used, cases[i].gas_limit);
        assert_true(coh_u256_eq(&got, &want));
    }
}

static void check_number(json_t const *fields, char const *key, uint64_t got)
{
    if (coh_test_u64(coh_test_str(fields, key)) != got) {
        fail_msg("%s: got %llu", key, (unsigned long long)got);
    }
}

static void check_real_header(char const *path)
{
    json_t *doc     = coh_test_json(path);
    coh_buf_t text  = COH_BUF_INIT;
    coh_buf_t again = COH_BUF_INIT;
    assert_true(coh_test_hex(&text, coh_test_str(doc, "headerRlp")));
    coh_hash_t want = coh_test_hash(coh_test_str(doc, "hash"));
    coh_header_t h;
    coh_fork_t fork;
    if (coh_header_decode(&h, &fork, coh_buf_bytes(&text)) != COH_OK) {
        fail_msg("%s: header refused", path);
    }
    coh_hash_t got = coh_header_hash(&h, fork);
    assert_memory_equal(got.b, want.b, 32);
    coh_header_encode(&again, &h, fork);
    assert_true(coh_bytes_eq(coh_buf_bytes(&again), coh_buf_bytes(&text)));
    json_t const *fields = json_object_get(doc, "header");
    check_number(fields, "number", h.number);
    check_number(fields, "gasLimit", h.gas_limit);
    check_number(fields, "gasUsed", h.gas_used);
    check_number(fields, "timestamp", h.timestamp);
    if (fork >= COH_FORK_LONDON) {
        check_number(fields, "baseFeePerGas", h.base_fee.w[0]);
    }
    coh_hash_t root = coh_test_hash(coh_test_str(fields, "stateRoot"));
    assert_memory_equal(h.state_root.b, root.b, 32);
    coh_buf_free(&text);
    coh_buf_free(&again);
    json_decref(doc);
}

static void block_reads_real_headers(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("realblocks (75 headers)");
        return;
    }
    char **files;
    size_t cnt = coh_test_files(&files, dir, "realblocks", ".json");
    for (size_t i = 0; i < cnt; i++) {
        check_real_header(files[i]);
    }
    coh_test_files_free(files);
    print_message("%zu real headers\n", cnt);
    assert_true(cnt > 0);
}

static void read_file(coh_buf_t *out, char const *dir, char const *name)
{
    char path[4096];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t part[4096];
    for (size_t n; (n = fread(part, 1, sizeof(part), file)) != 0;) {
        coh_buf_put(out, part, n);
    }
    (void)fclose(file);
}

/* A file of blocks one after the other: each names its parent's hash, and has the base fee that
   its parent gives. */
static void check_chain(char const *dir, char const *name, size_t *block_cnt, size_t *base_fee_cnt)
{
    coh_buf_t text = COH_BUF_INIT;
    read_file(&text, dir, name);
    coh_rlp_t blocks       = coh_rlp_reader(coh_buf_bytes(&text));
    coh_header_t parent    = {0};
    coh_hash_t parent_hash = {{0}};
    coh_fork_t parent_fork = COH_FORK_FRONTIER;
    for (bool first = true; !coh_rlp_at_end(&blocks); first = false) {
        coh_rlp_t block;
        coh_rlp_kind_t kind;
        coh_bytes_t payload, item;
        coh_header_t h;
        coh_fork_t fork;
        assert_int_equal(coh_rlp_list(&blocks, &block), COH_OK);
        assert_int_equal(coh_rlp_next_raw(&block, &kind, &payload, &item), COH_OK);
        assert_int_equal(coh_header_decode(&h, &fork, item), COH_OK);
        if (!first) {
            assert_memory_equal(h.parent_hash.b, parent_hash.b, 32);
        }
        if (!first && parent_fork >= COH_FORK_LONDON) {
            coh_u256_t want =
                coh_base_fee_next(&parent.base_fee, parent.gas_used, parent.gas_limit);
            assert_true(coh_u256_eq(&h.base_fee, &want));
            *base_fee_cnt += 1;
        }
        parent      = h;
        parent_fork = fork;
        parent_hash = coh_header_hash(&h, fork);
        *block_cnt += 1;
    }
    coh_buf_free(&text);
}

static void block_reads_whole_chains(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("chains (3 files, 8700 blocks)");
        return;
    }
    size_t block_cnt    = 0;
    size_t base_fee_cnt = 0;
    check_chain(dir, "chains/mainnet-0/chain.rlp", &block_cnt, &base_fee_cnt);
    check_chain(dir, "chains/hivechain-500/chain.rlp", &block_cnt, &base_fee_cnt);
    check_chain(dir, "rpc/chain.rlp", &block_cnt, &base_fee_cnt);
    print_message("%zu blocks, %zu base fees\n", block_cnt, base_fee_cnt);
    assert_true(base_fee_cnt > 0);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(block_hashes_the_genesis_header),
        cmocka_unit_test(block_constants_are_hashes_of_nothing),
        cmocka_unit_test(block_header_fields_depend_on_the_fork),
        cmocka_unit_test(block_decode_refuses_other_shapes),
        cmocka_unit_test(block_base_fee_follows_eip_1559),
        cmocka_unit_test(block_reads_real_headers),
        cmocka_unit_test(block_reads_whole_chains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
