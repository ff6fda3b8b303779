/* Transactions one after another on a state in memory: the contracts of tests/contracts under many forks. Gas, status, output and number of logs
   of each transaction were recorded from another implementation of Ethereum (tests/contracts/record.mjs). */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/crypto/ecdsa.h"
#include "deploy/cohort/solo.h"
#include "tests/support/data.h"

#define CONTRACTS  COHORT_SOURCE_DIR "/tests/contracts"
#define SENDER_CNT 4u

/* Names of forks in recordings. */
static struct {
    char const *name;
    coh_fork_t fork;
} const fork_names[] = {
    {"petersburg", COH_FORK_PETERSBURG},
    {"istanbul", COH_FORK_ISTANBUL},
    {"berlin", COH_FORK_BERLIN},
    {"london", COH_FORK_LONDON},
    {"paris", COH_FORK_PARIS},
    {"shanghai", COH_FORK_SHANGHAI},
    {"cancun", COH_FORK_CANCUN},
    {"prague", COH_FORK_PRAGUE},
    {"osaka", COH_FORK_OSAKA},
};

static coh_fork_t find_fork(char const *name)
{
    for (size_t i = 0; i < COH_CNT(fork_names); i++) {
        if (strcmp(fork_names[i].name, name) == 0) {
            return fork_names[i].fork;
        }
    }
    fail_msg("no fork %s", name);
    return COH_FORK_FRONTIER;
}

/* Secret keys 1, 2, 3, 4. */
static coh_addr_t sender_of(uint32_t number)
{
    uint8_t secret[32] = {[31] = (uint8_t)(number + 1)};
    coh_addr_t addr;
    assert_int_equal(coh_ecdsa_address(&addr, secret), COH_OK);
    return addr;
}

static uint64_t number_of(json_t const *obj, char const *key)
{
    json_t const *value = json_object_get(obj, key);
    assert_true(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

/* Data of a step; of a creation the artifact's code, then the recorded arguments. */
static void put_data(coh_buf_t *out, json_t const *step)
{
    coh_buf_t data = COH_BUF_INIT;
    coh_buf_clear(out);
    assert_true(coh_test_hex(&data, coh_test_str(step, "data")));
    char const *name = json_string_value(json_object_get(step, "contract"));
    if (name != NULL) {
        coh_contract_t contract;
        coh_buf_t why = COH_BUF_INIT;
        assert_int_equal(coh_contract_load(&contract, CONTRACTS "/artifacts", name, &why), COH_OK);
        coh_buf_put(out, contract.creation.p, contract.creation.n);
        coh_contract_free(&contract);
    }
    coh_buf_put(out, data.p, data.n);
    coh_buf_free(&data);
}

static void replay_step(coh_solo_t *solo, json_t const *step, char const *where)
{
    coh_buf_t data    = COH_BUF_INIT;
    coh_buf_t output  = COH_BUF_INIT;
    coh_addr_t sender = sender_of((uint32_t)number_of(step, "from"));
    put_data(&data, step);
    coh_tx_t tx = {
        .type         = COH_TX_LEGACY,
        .has_chain_id = true,
        .chain_id     = solo->block.chain_id,
        .is_create    = json_object_get(step, "to") == NULL,
        .nonce        = coh_solo_nonce(solo, &sender),
        .gas_limit    = number_of(step, "gasLimit"),
        .max_fee      = coh_u256(9),
        .max_tip      = coh_u256(9),
        .value        = coh_test_u256(coh_test_str(step, "value")),
        .data         = coh_buf_bytes(&data),
    };
    if (!tx.is_create) {
        tx.to = coh_test_addr(coh_test_str(step, "to"));
    }
    solo->block.timestamp        = number_of(step, "time");
    coh_outcome_t const *outcome = coh_solo_run(solo, &tx, &sender);
    assert_true(coh_test_hex(&output, coh_test_str(step, "output")));
    bool same = outcome->verdict == COH_TX_OK && outcome->status == number_of(step, "status") &&
                outcome->gas_used == number_of(step, "gasUsed") &&
                outcome->log_cnt == number_of(step, "logs") &&
                coh_bytes_eq(outcome->output, coh_buf_bytes(&output));
    if (!same) {
        fail_msg("%s, %s: verdict \"%s\", status %u, gas %llu, %u logs, %zu octets of output; "
                 "recorded: status %llu, gas %llu, %llu logs, %zu octets",
                 where,
                 coh_test_str(step, "what"),
                 coh_tx_err_str(outcome->verdict),
                 outcome->status,
                 (unsigned long long)outcome->gas_used,
                 outcome->log_cnt,
                 outcome->output.n,
                 (unsigned long long)number_of(step, "status"),
                 (unsigned long long)number_of(step, "gasUsed"),
                 (unsigned long long)number_of(step, "logs"),
                 output.n);
    }
    coh_buf_free(&data);
    coh_buf_free(&output);
}

/* Each scenario as recorded; stutter: no key is at hand when it is first asked for. */
static void replay(bool stutter)
{
    json_t *recorded = coh_test_json(CONTRACTS "/recorded.json");
    coh_u256_t funds = coh_test_u256("1000000000000000000000000000000");
    size_t step_cnt  = 0;
    size_t i;
    json_t *scenario;
    json_array_foreach (json_object_get(recorded, "scenarios"), i, scenario) {
        char where[100];
        (void)snprintf(where,
                       sizeof(where),
                       "%s under %s",
                       coh_test_str(scenario, "name"),
                       coh_test_str(scenario, "fork"));
        coh_solo_t solo;
        coh_solo_init(&solo, find_fork(coh_test_str(scenario, "fork")));
        coh_memview_set_stutter(solo.state, stutter);
        for (uint32_t k = 0; k < SENDER_CNT; k++) {
            coh_addr_t sender = sender_of(k);
            coh_solo_fund(&solo, &sender, &funds);
        }
        size_t k;
        json_t *step;
        json_array_foreach (json_object_get(scenario, "steps"), k, step) {
            replay_step(&solo, step, where);
            step_cnt++;
        }
        coh_solo_fini(&solo);
    }
    assert_true(step_cnt > 450);
    json_decref(recorded);
}

static void solo_recorded_transactions_come_out_as_recorded(void **state)
{
    (void)state;
    replay(false);
}

static void solo_stuttered_transactions_come_out_as_recorded(void **state)
{
    (void)state;
    replay(true);
}

static void solo_says_why_a_transaction_failed(void **state)
{
    (void)state;
    coh_solo_t solo;
    coh_solo_init(&solo, COH_FORK_OSAKA);
    coh_addr_t rich  = sender_of(0);
    coh_addr_t poor  = sender_of(1);
    coh_u256_t funds = coh_test_u256("1000000000000000000000000000000");
    coh_buf_t why    = COH_BUF_INIT;
    coh_solo_fund(&solo, &rich, &funds);
    assert_false(
        coh_solo_ok(coh_solo_send(&solo, &poor, &rich, 0, coh_bytes(NULL, 0)), "payment", &why));
    coh_buf_put_u8(&why, 0);
    assert_non_null(strstr((char const *)why.p, "payment: insufficient funds"));

    coh_contract_t token;
    coh_buf_clear(&why);
    assert_int_equal(coh_contract_load(&token, CONTRACTS "/artifacts", "Token", &why), COH_OK);
    coh_addr_t at;
    coh_addr_t zero      = {{0}};
    coh_abi_t const to[] = {
        coh_abi_string("A"), coh_abi_string("B"), coh_abi_addr(&zero), coh_abi_u64(1)};
    assert_int_equal(coh_solo_deploy(&at, &solo, &rich, &token, to, COH_CNT(to), &why), COH_EINVAL);
    coh_buf_put_u8(&why, 0);
    /* ERC20InvalidReceiver(0), whose selector EIP-6093 gives. */
    assert_non_null(strstr((char const *)why.p, "output 0xec442f05000000"));
    coh_contract_free(&token);
    coh_buf_free(&why);
    coh_solo_fini(&solo);
}

static void solo_call_leaves_the_state_as_it_was(void **state)
{
    (void)state;
    coh_solo_t solo;
    coh_solo_init(&solo, COH_FORK_OSAKA);
    coh_addr_t from  = sender_of(0);
    coh_addr_t to    = sender_of(1);
    coh_u256_t funds = coh_test_u256("1000000000000000000000000000000");
    coh_buf_t why    = COH_BUF_INIT;
    coh_solo_fund(&solo, &from, &funds);
    assert_true(coh_solo_ok(coh_solo_call(&solo, &from, &to, coh_bytes(NULL, 0)), "call", &why));
    assert_int_equal(coh_solo_nonce(&solo, &from), 0);
    assert_true(coh_u256_is_zero(&solo.tips));
    assert_true(coh_solo_ok(coh_solo_send(&solo, &from, &to, 5, coh_bytes(NULL, 0)), "send", &why));
    assert_int_equal(coh_solo_nonce(&solo, &from), 1);
    /* 21000 gas at a tip of 2. */
    coh_u256_t tips = coh_u256(42000);
    assert_true(coh_u256_eq(&solo.tips, &tips));
    coh_solo_fini(&solo);
}

int main(void)
{
    static struct CMUnitTest const tests[] = {
        cmocka_unit_test(solo_recorded_transactions_come_out_as_recorded),
        cmocka_unit_test(solo_stuttered_transactions_come_out_as_recorded),
        cmocka_unit_test(solo_says_why_a_transaction_failed),
        cmocka_unit_test(solo_call_leaves_the_state_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
