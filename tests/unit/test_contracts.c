/* Artifacts of tests/contracts and call data for them. Selectors were computed by solc (methodIdentifiers of each artifact); encodings
   are the examples of Solidity's ABI specification. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "deploy/cohort/contracts.h"
#include "tests/support/data.h"

#define ARTIFACTS COHORT_SOURCE_DIR "/tests/contracts/artifacts"

static void assert_hex(coh_buf_t *got, char const *expected)
{
    coh_buf_t want = COH_BUF_INIT;
    assert_true(coh_test_hex(&want, expected));
    assert_int_equal(got->n, want.n);
    assert_memory_equal(got->p, want.p, want.n);
    coh_buf_free(&want);
    coh_buf_free(got);
}

static coh_contract_t load(char const *name)
{
    coh_contract_t contract;
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_contract_load(&contract, ARTIFACTS, name, &why), COH_OK);
    assert_int_equal(why.n, 0);
    return contract;
}

static void contracts_every_selector_is_the_compilers(void **state)
{
    (void)state;
    char **files    = NULL;
    size_t file_cnt = coh_test_files(&files, ARTIFACTS, "", ".json");
    size_t seen     = 0;
    assert_true(file_cnt >= 14);
    for (size_t i = 0; i < file_cnt; i++) {
        char *name              = strrchr(files[i], '/') + 1;
        *strrchr(name, '.')     = '\0';
        coh_contract_t contract = load(name);
        assert_string_equal(contract.name, name);
        assert_true(contract.creation.n > contract.runtime.n);
        for (size_t k = 0; k < contract.method_cnt; k++) {
            uint8_t selector[COH_ABI_SELECTOR_SZ];
            coh_abi_selector(selector, contract.methods[k].signature);
            assert_memory_equal(selector, contract.methods[k].selector, sizeof(selector));
            seen++;
        }
        coh_contract_free(&contract);
    }
    coh_test_files_free(files);
    assert_true(seen > 80);
}

static void contracts_token_has_the_functions_of_erc20(void **state)
{
    (void)state;
    /* EIP-20's functions, with the selectors that every explorer shows. */
    static struct {
        char const *signature;
        uint8_t selector[COH_ABI_SELECTOR_SZ];
    } const erc20[] = {
        {"totalSupply()", {0x18, 0x16, 0x0d, 0xdd}},
        {"balanceOf(address)", {0x70, 0xa0, 0x82, 0x31}},
        {"transfer(address,uint256)", {0xa9, 0x05, 0x9c, 0xbb}},
        {"transferFrom(address,address,uint256)", {0x23, 0xb8, 0x72, 0xdd}},
        {"approve(address,uint256)", {0x09, 0x5e, 0xa7, 0xb3}},
        {"allowance(address,address)", {0xdd, 0x62, 0xed, 0x3e}},
    };
    coh_contract_t token = load("Token");
    for (size_t i = 0; i < COH_CNT(erc20); i++) {
        uint8_t const *selector = coh_contract_selector(&token, erc20[i].signature);
        assert_non_null(selector);
        assert_memory_equal(selector, erc20[i].selector, COH_ABI_SELECTOR_SZ);
    }
    assert_null(coh_contract_selector(&token, "mint(address,uint256)"));
    coh_contract_free(&token);
}

static void contracts_code_is_that_of_the_artifact(void **state)
{
    (void)state;
    coh_contract_t token = load("Token");
    /* Solidity begins both with the free memory pointer: PUSH1 80 PUSH1 40 MSTORE. */
    static uint8_t const opening[] = {0x60, 0x80, 0x60, 0x40, 0x52};
    assert_memory_equal(token.creation.p, opening, sizeof(opening));
    assert_memory_equal(token.runtime.p, opening, sizeof(opening));
    /* A contract without immutable variables carries its runtime code at the end of its creation code. */
    assert_memory_equal(
        token.creation.p + token.creation.n - token.runtime.n, token.runtime.p, token.runtime.n);
    coh_contract_free(&token);
}

static void contracts_bad_artifacts_are_refused(void **state)
{
    (void)state;
    static char const *const bad[] = {
        "",
        "[]",
        "{",
        "{\"deployedBytecode\":\"0x00\",\"methodIdentifiers\":{}}",
        "{\"bytecode\":\"0x00\",\"methodIdentifiers\":{}}",
        "{\"bytecode\":\"0x0\",\"deployedBytecode\":\"0x00\",\"methodIdentifiers\":{}}",
        /* A place to be linked is no hex. */
        "{\"bytecode\":\"0x73__$aa$__\",\"deployedBytecode\":\"0x00\",\"methodIdentifiers\":{}}",
        "{\"bytecode\":\"0x00\",\"deployedBytecode\":\"0x00\"}",
        "{\"bytecode\":\"0x00\",\"deployedBytecode\":\"0x00\",\"methodIdentifiers\":{\"f()\":1}}",
        "{\"bytecode\":\"\",\"deployedBytecode\":\"\",\"methodIdentifiers\":{\"f()\":\"010203\"}}",
    };
    char dir[] = "/tmp/test_contracts.XXXXXX";
    char path[sizeof(dir) + 16];
    coh_contract_t contract;
    coh_buf_t why = COH_BUF_INIT;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/Bad.json", dir);
    assert_int_equal(coh_contract_load(&contract, dir, "Bad", &why), COH_ENOTFOUND);
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(bad[i], file) >= 0);
        assert_int_equal(fclose(file), 0);
        coh_buf_clear(&why);
        assert_int_equal(coh_contract_load(&contract, dir, "Bad", &why), COH_EMALFORMED);
        assert_true(why.n > strlen(path) && memcmp(why.p, path, strlen(path)) == 0);
        assert_null(contract.methods);
        assert_int_equal(contract.creation.n, 0);
    }
    coh_buf_free(&why);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* The examples of the specification, in its order. */
static void abi_static_arguments(void **state)
{
    (void)state;
    coh_buf_t call        = COH_BUF_INIT;
    coh_abi_t const baz[] = {coh_abi_u64(69), coh_abi_bool(true)};
    coh_abi_call(&call, "baz(uint32,bool)", baz, COH_CNT(baz));
    assert_hex(&call,
               "cdcd77c0"
               "0000000000000000000000000000000000000000000000000000000000000045"
               "0000000000000000000000000000000000000000000000000000000000000001");

    /* A static array is encoded as its elements. */
    coh_abi_t const bar[] = {coh_abi_fixed("abc", 3), coh_abi_fixed("def", 3)};
    coh_abi_call(&call, "bar(bytes3[2])", bar, COH_CNT(bar));
    assert_hex(&call,
               "fce353f6"
               "6162630000000000000000000000000000000000000000000000000000000000"
               "6465660000000000000000000000000000000000000000000000000000000000");
}

static void abi_dynamic_arguments(void **state)
{
    (void)state;
    coh_buf_t call            = COH_BUF_INIT;
    coh_abi_t const numbers[] = {coh_abi_u64(1), coh_abi_u64(2), coh_abi_u64(3)};
    coh_abi_t const sam[]     = {
            coh_abi_string("dave"), coh_abi_bool(true), coh_abi_array(numbers, COH_CNT(numbers))};
    coh_abi_call(&call, "sam(bytes,bool,uint256[])", sam, COH_CNT(sam));
    assert_hex(&call,
               "a5643bf2"
               "0000000000000000000000000000000000000000000000000000000000000060"
               "0000000000000000000000000000000000000000000000000000000000000001"
               "00000000000000000000000000000000000000000000000000000000000000a0"
               "0000000000000000000000000000000000000000000000000000000000000004"
               "6461766500000000000000000000000000000000000000000000000000000000"
               "0000000000000000000000000000000000000000000000000000000000000003"
               "0000000000000000000000000000000000000000000000000000000000000001"
               "0000000000000000000000000000000000000000000000000000000000000002"
               "0000000000000000000000000000000000000000000000000000000000000003");

    coh_abi_t const pair[] = {coh_abi_u64(0x456), coh_abi_u64(0x789)};
    coh_abi_t const f[]    = {coh_abi_u64(0x123),
                              coh_abi_array(pair, COH_CNT(pair)),
                              coh_abi_fixed("1234567890", 10),
                              coh_abi_bytes(coh_bytes("Hello, world!", 13))};
    coh_abi_call(&call, "f(uint256,uint32[],bytes10,bytes)", f, COH_CNT(f));
    assert_hex(&call,
               "8be65246"
               "0000000000000000000000000000000000000000000000000000000000000123"
               "0000000000000000000000000000000000000000000000000000000000000080"
               "3132333435363738393000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000e0"
               "0000000000000000000000000000000000000000000000000000000000000002"
               "0000000000000000000000000000000000000000000000000000000000000456"
               "0000000000000000000000000000000000000000000000000000000000000789"
               "000000000000000000000000000000000000000000000000000000000000000d"
               "48656c6c6f2c20776f726c642100000000000000000000000000000000000000");
}

static void abi_words(void **state)
{
    (void)state;
    /* An address and a whole word; then an empty string and an empty array: a length of zero each, nothing behind it. */
    coh_buf_t out        = COH_BUF_INIT;
    coh_addr_t addr      = coh_test_addr("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed");
    coh_u256_t max       = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_abi_t const in[] = {
        coh_abi_addr(&addr), coh_abi_u256(&max), coh_abi_string(""), coh_abi_array(NULL, 0)};
    coh_abi_encode(&out, in, COH_CNT(in));
    assert_hex(&out,
               "0000000000000000000000005aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
               "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
               "0000000000000000000000000000000000000000000000000000000000000080"
               "00000000000000000000000000000000000000000000000000000000000000a0"
               "0000000000000000000000000000000000000000000000000000000000000000"
               "0000000000000000000000000000000000000000000000000000000000000000");
    /* 32 octets fill their word: no padding. */
    coh_abi_t const full = coh_abi_string("01234567890123456789012345678901");
    coh_abi_encode(&out, &full, 1);
    assert_int_equal(out.n, 3 * 32);
    coh_buf_free(&out);
}

int main(void)
{
    static struct CMUnitTest const tests[] = {
        cmocka_unit_test(contracts_every_selector_is_the_compilers),
        cmocka_unit_test(contracts_token_has_the_functions_of_erc20),
        cmocka_unit_test(contracts_code_is_that_of_the_artifact),
        cmocka_unit_test(contracts_bad_artifacts_are_refused),
        cmocka_unit_test(abi_static_arguments),
        cmocka_unit_test(abi_dynamic_arguments),
        cmocka_unit_test(abi_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
