/* Official state tests: reading files of both forms, names of errors, differences of states. */
/* links: coh_statetest */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/evm/code.h"
#include "deploy/cohort/statetest_case.h"
#include "deploy/cohort/statetest_diff.h"
#include "deploy/cohort/statetest_error.h"
#include "tests/support/data.h"

#define ENV                                                                                  \
    "\"env\":{\"currentCoinbase\":\"0x00000000000000000000000000000000000000c0\","           \
    "\"currentGasLimit\":\"0x10\",\"currentNumber\":\"0x02\",\"currentTimestamp\":\"0x03\"," \
    "\"currentDifficulty\":\"0x04\",\"currentBaseFee\":\"0x05\",\"currentRandom\":\"0x06\"," \
    "\"currentExcessBlobGas\":\"0x4b69c0\"}"
#define ZEROS "\"0x0000000000000000000000000000000000000000000000000000000000000000\""
#define POST(data, gas, value)                                                                \
    "{\"indexes\":{\"data\":" #data ",\"gas\":" #gas ",\"value\":" #value "},\"hash\":" ZEROS \
    ",\"logs\":" ZEROS "}"
#define SENDER "\"sender\":\"0x00000000000000000000000000000000000000aa\""

static coh_err_t load(coh_statetest_file_t *out,
                      char const *text,
                      coh_statetest_select_t const *select,
                      coh_buf_t *err_text)
{
    char path[] = "/tmp/test_statetest.XXXXXX";
    int fd      = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
    coh_err_t err = coh_statetest_load(out, path, select, err_text);
    (void)remove(path);
    return err;
}

static void statetest_old_form_has_many_cases(void **state)
{
    (void)state;
    static char const text[] =
        "{\"one\":{" ENV
        ",\"pre\":{\"0x00000000000000000000000000000000000000aa\":{\"nonce\":\"0x01\","
        "\"balance\":\"0x02\",\"code\":\"0x6000\",\"storage\":{\"0x07\":\"0x08\",\"0x09\":\"0x00\"}"
        "}},"
        "\"transaction\":{\"nonce\":\"0x01\",\"gasPrice\":\"0x0b\",\"to\":\"\"," SENDER
        ",\"data\":[\"0x\",\"0xabcd\"],\"gasLimit\":[\"0x5208\"],"
        "\"value\":[\"0x01\",\"0x:bigint "
        "0x10000000000000000000000000000000000000000000000000000000000000000\"],"
        "\"accessLists\":[null,[{\"address\":\"0x00000000000000000000000000000000000000bb\","
        "\"storageKeys\":[\"0x01\",\"0x02\"]}]]},"
        "\"post\":{\"Berlin\":[" POST(0, 0, 0) "," POST(1, 0, 0) "],\"Cancun\":[" POST(
            1, 0, 1) "]}}}";
    coh_statetest_select_t all = {0};
    coh_statetest_file_t file;
    coh_buf_t err_text = COH_BUF_INIT;
    assert_int_equal(load(&file, text, &all, &err_text), COH_OK);
    assert_int_equal(file.case_cnt, 3);

    coh_statetest_case_t const *c = &file.cases[0];
    assert_string_equal(c->id, "one");
    assert_int_equal(c->env.fork, COH_FORK_BERLIN);
    assert_int_equal(c->env.prev_randao.w[0], 4); /* the difficulty */
    assert_true(coh_u256_is_zero(&c->env.base_fee));
    assert_int_equal(c->env.chain_id, 1);
    assert_true(c->is_legacy);
    assert_int_equal(c->pre->account_cnt, 1);
    assert_int_equal(c->pre->accounts[0].code.n, 2);
    assert_int_equal(c->pre->accounts[0].slot_cnt, 1); /* zeros are none */
    assert_int_equal(c->fields.type, COH_TX_LEGACY);
    assert_true(c->fields.is_create);
    assert_null(c->tx_err);

    c = &file.cases[1];
    assert_int_equal(c->fields.type, COH_TX_ACCESS_LIST);
    assert_int_equal(c->fields.access_addr_cnt, 1);
    assert_int_equal(c->fields.access_key_cnt, 2);
    assert_int_equal(c->fields.data.n, 2);

    c = &file.cases[2];
    assert_int_equal(c->env.fork, COH_FORK_CANCUN);
    assert_int_equal(c->env.prev_randao.w[0], 6);
    assert_int_equal(c->env.base_fee.w[0], 5);
    assert_int_equal(c->env.blob_max, 6);
    /* e^(0x4b69c0 / 3338477), rounded down: 1.48 * 3338477 of excess */
    assert_int_equal(c->env.blob_base_fee.w[0], 4);
    assert_string_equal(c->tx_err, "value is out of range");
    coh_statetest_free(&file);

    coh_statetest_select_t some = {
        .fork = "Berlin", .filter = "^o.e$", .has_idx = true, .idx = {.data = 1}};
    assert_int_equal(load(&file, text, &some, &err_text), COH_OK);
    assert_int_equal(file.case_cnt, 1);
    assert_int_equal(file.cases[0].idx.data, 1);
    coh_statetest_free(&file);
    coh_buf_free(&err_text);
}

static void statetest_new_form_has_parameters(void **state)
{
    (void)state;
    static char const text[] =
        "{\"two\":{" ENV ",\"pre\":{},\"config\":{\"chainid\":\"0x07\",\"blobSchedule\":{\"Osaka\":"
        "{\"target\":\"0x0a\","
        "\"max\":\"0x0f\",\"baseFeeUpdateFraction\":\"0x4b69c0\"}}},"
        "\"transaction\":{\"nonce\":\"0x01\",\"maxFeePerGas\":\"0x0b\",\"maxPriorityFeePerGas\":"
        "\"0x02\","
        "\"to\":\"0x00000000000000000000000000000000000000bb\"," SENDER
        ",\"data\":[\"0x\"],\"gasLimit\":[\"0x5208\"],\"value\":[\"0x01\"],"
        "\"maxFeePerBlobGas\":\"0x03\",\"blobVersionedHashes\":[" ZEROS "," ZEROS "]},"
        "\"post\":{\"Osaka\":[{\"indexes\":{\"data\":0,\"gas\":0,\"value\":0},\"hash\":" ZEROS
        ",\"logs\":" ZEROS ",\"txbytes\":\"0x0102\",\"expectException\":\"A|B\",\"state\":{"
        "\"0x00000000000000000000000000000000000000aa\":{\"nonce\":\"0x00\",\"balance\":\"0x00\","
        "\"code\":\"0x\",\"storage\":{}}}}]}}}";
    coh_statetest_select_t all = {0};
    coh_statetest_file_t file;
    coh_buf_t err_text = COH_BUF_INIT;
    assert_int_equal(load(&file, text, &all, &err_text), COH_OK);
    assert_int_equal(file.case_cnt, 1);
    coh_statetest_case_t const *c = &file.cases[0];
    assert_false(c->is_legacy);
    assert_int_equal(c->env.chain_id, 7);
    assert_int_equal(c->env.blob_max, 15);
    assert_int_equal(c->env.blob_base_fee.w[0], 2); /* e^1 */
    assert_int_equal(c->fields.type, COH_TX_BLOB);
    assert_int_equal(c->fields.blob_cnt, 2);
    assert_int_equal(c->fields.chain_id, 7);
    assert_int_equal(c->raw.n, 2);
    assert_string_equal(c->exception, "A|B");
    assert_true(c->has_post);
    assert_int_equal(c->post.account_cnt, 1);
    coh_statetest_free(&file);
    coh_buf_free(&err_text);
}

static void statetest_names_of_errors(void **state)
{
    (void)state;
    static struct {
        char const *expected;
        coh_tx_err_t err;
        coh_statetest_error_t want;
    } const cases[] = {
        {"TR_NoFunds", COH_TX_FUNDS, COH_STATETEST_ERROR_MET},
        {"TR_NoFunds", COH_TX_NONCE_TOO_LOW, COH_STATETEST_ERROR_OTHER},
        {"TR_NoFunds", COH_TX_OK, COH_STATETEST_ERROR_OTHER},
        {"TransactionException.SENDER_NOT_EOA", COH_TX_SENDER_CODE, COH_STATETEST_ERROR_MET},
        {"TransactionException.INSUFFICIENT_ACCOUNT_FUNDS|TransactionException.INTRINSIC_GAS_TOO_"
         "LOW",
         COH_TX_INTRINSIC_GAS,
         COH_STATETEST_ERROR_MET},
        {"TransactionException.RLP_INVALID_TO", COH_TX_MALFORMED, COH_STATETEST_ERROR_MET},
        {"TransactionException.RLP_INVALID_TO", COH_TX_FUNDS, COH_STATETEST_ERROR_OTHER},
        {"TR_NoFunds|Whatever", COH_TX_FUNDS, COH_STATETEST_ERROR_UNKNOWN},
        {"TR_NoFund", COH_TX_FUNDS, COH_STATETEST_ERROR_UNKNOWN},
        {"", COH_TX_FUNDS, COH_STATETEST_ERROR_UNKNOWN},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        assert_int_equal(coh_statetest_error_check(cases[i].expected, cases[i].err), cases[i].want);
    }
}

/* More differences than are shown. */
static void statetest_differences_are_bounded(void **state)
{
    (void)state;
    coh_memview_t *mv = coh_memview_new(&coh_code_coder, COH_FORK_LONDON);
    for (uint8_t i = 0; i < COH_STATETEST_DIFF_MAX + 3; i++) {
        coh_addr_t addr    = {.b = {i}};
        coh_u256_t balance = coh_u256(1);
        coh_memview_put_account(mv, &addr, 0, &balance, coh_bytes(NULL, 0));
    }
    coh_statetest_state_t nothing = {0};
    coh_buf_t text                = COH_BUF_INIT;
    coh_statetest_diff(&text, mv, &nothing);
    coh_buf_put_u8(&text, 0);
    assert_non_null(strstr((char const *)text.p,
                           "0x0000000000000000000000000000000000000000 exists, expected not to\n"));
    assert_non_null(strstr((char const *)text.p, "\nand 3 more\n"));
    coh_buf_free(&text);
    coh_memview_free(mv);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(statetest_old_form_has_many_cases),
        cmocka_unit_test(statetest_new_form_has_parameters),
        cmocka_unit_test(statetest_names_of_errors),
        cmocka_unit_test(statetest_differences_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
