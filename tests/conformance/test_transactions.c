/* Single transactions of the published suites: ethereum/tests' TransactionTests (validity, hash, sender and intrinsic gas under each
   fork), and the signed transactions of the official state tests with their senders and the signers of their authorizations. Without
   the data, three cases of our own: valid, without a signature, cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/codec/blob.h"
#include "common/codec/tx.h"
#include "tests/support/data.h"

#define BIT(name) (UINT64_C(1) << COH_TX_##name)
_Static_assert(COH_TX_ERR_CNT <= 64, "a set of errors is one word");

typedef struct {
    char const *prefix;
    uint64_t set; /* what we may call it */
} fault_t;

/* The faults of TransactionTests. Those of encoding that the suite names by field are malformed here; v that fits no chain id is
   malformed, v of another chain is that. */
static fault_t const tx_faults[] = {
    {"RLP_", BIT(MALFORMED)},
    {"ADDRESS_", BIT(MALFORMED)},
    {"NONCE_TOO_BIG", BIT(NONCE_MAX)},
    {"NONCE_OVERFLOW", BIT(MALFORMED)},
    {"VALUE_OVERFLOW", BIT(MALFORMED)},
    {"GASLIMIT_OVERFLOW", BIT(MALFORMED)},
    {"PRIORITY_OVERFLOW", BIT(MALFORMED)},
    {"GASLIMIT_PRICE_PRODUCT_OVERFLOW", BIT(FEE_OVERFLOW)},
    {"INVALID_SIGNATURE_VRS", BIT(SIGNATURE) | BIT(MALFORMED)},
    {"INVALID_CHAINID", BIT(CHAIN_ID) | BIT(MALFORMED)},
    {"EC_RECOVERY_FAIL", BIT(SIGNATURE)},
    {"INTRINSIC_GAS_TOO_LOW", BIT(INTRINSIC_GAS)},
    {"INITCODE_SIZE_EXCEEDED", BIT(INITCODE_SIZE)},
    {"TYPE_NOT_SUPPORTED", BIT(TYPE_UNSUPPORTED) | BIT(MALFORMED)},
};

/* The faults of state tests. Those that only state or block know are none to us; the cost of what nobody can own may be seen at once. */
static fault_t const state_faults[] = {
    {"INTRINSIC_GAS_TOO_LOW", BIT(INTRINSIC_GAS) | BIT(FLOOR_GAS)},
    {"INTRINSIC_GAS_BELOW_FLOOR_GAS_COST", BIT(FLOOR_GAS)},
    {"TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", BIT(BLOB_VERSION)},
    {"TYPE_3_TX_ZERO_BLOBS", BIT(BLOB_NONE)},
    {"TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED", BIT(BLOB_CNT)},
    {"TYPE_3_TX_BLOB_COUNT_EXCEEDED", BIT(BLOB_CNT)},
    {"TYPE_1_TX_PRE_FORK", BIT(TYPE_UNSUPPORTED)},
    {"TYPE_3_TX_PRE_FORK", BIT(TYPE_UNSUPPORTED)},
    {"TYPE_4_TX_PRE_FORK", BIT(TYPE_UNSUPPORTED)},
    {"TYPE_4_TX_CONTRACT_CREATION", BIT(AUTH_CREATE)},
    {"TYPE_4_EMPTY_AUTHORIZATION_LIST", BIT(AUTH_NONE)},
    {"GAS_LIMIT_EXCEEDS_MAXIMUM", BIT(GAS_CAP)},
    {"PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS", BIT(TIP_ABOVE_CAP)},
    {"INITCODE_SIZE_EXCEEDED", BIT(INITCODE_SIZE)},
    {"INSUFFICIENT_ACCOUNT_FUNDS", BIT(OK) | BIT(FEE_OVERFLOW)},
    {"INSUFFICIENT_MAX_FEE_PER_GAS", BIT(OK)},
    {"INSUFFICIENT_MAX_FEE_PER_BLOB_GAS", BIT(OK)},
    {"GAS_ALLOWANCE_EXCEEDED", BIT(OK)},
    {"SENDER_NOT_EOA", BIT(OK)},
};

/* The errors that a published exception admits: "Kind.NAME", or several with '|' between them. */
static uint64_t admitted(fault_t const *faults, size_t fault_cnt, char const *exception)
{
    uint64_t set = 0;
    for (char const *at = exception; at != NULL; at = strchr(at, '|')) {
        char const *name = strchr(at, '.');
        assert_non_null(name);
        at           = name + 1;
        uint64_t one = 0;
        for (size_t i = 0; i < fault_cnt; i++) {
            if (strncmp(at, faults[i].prefix, strlen(faults[i].prefix)) == 0) {
                one |= faults[i].set;
            }
        }
        if (one == 0) {
            fail_msg("unknown exception %s", exception);
        }
        set |= one;
    }
    return set;
}

static coh_fork_t fork_by_name(char const *name)
{
    for (int fork = 0; fork < COH_FORK_CNT; fork++) {
        if (strcmp(coh_fork_name((coh_fork_t)fork), name) == 0) {
            return (coh_fork_t)fork;
        }
    }
    fail_msg("unknown fork %s", name);
    return COH_FORK_CNT;
}

/* A transaction as it was sent, what the decoder said, and who signed it. */
typedef struct {
    coh_buf_t raw;
    coh_tx_t tx;
    coh_tx_err_t decoded;
    coh_tx_recover_t signer;
} subject_t;

static void load(subject_t *s, char const *hex)
{
    coh_buf_t scratch = COH_BUF_INIT;
    *s                = (subject_t){.raw = COH_BUF_INIT};
    assert_true(coh_test_hex(&s->raw, hex));
    s->decoded = coh_tx_decode(&s->tx, coh_buf_bytes(&s->raw));
    s->signer  = (coh_tx_recover_t){.tx = &s->tx, .err = s->decoded};
    (void)coh_tx_recover_batch(&s->signer, 1, &scratch);
    if (s->decoded == COH_TX_OK) {
        coh_buf_clear(&scratch);
        coh_tx_encode(&scratch, &s->tx);
        assert_true(coh_bytes_eq(coh_buf_bytes(&scratch), coh_buf_bytes(&s->raw)));
    }
    coh_buf_free(&scratch);
}

/* All that needs no state. */
static coh_tx_err_t verdict(subject_t const *s, coh_fork_t fork, uint64_t chain_id)
{
    coh_tx_err_t err = s->decoded;
    if (err == COH_TX_OK) {
        err = coh_tx_check_static(&s->tx, fork, chain_id, true);
    }
    return err == COH_TX_OK ? s->signer.err : err;
}

/* ---- TransactionTests ---- */

typedef struct {
    size_t valid;
    size_t invalid;
} case_cnt_t;

static void check_vector(char const *name,
                         subject_t const *s,
                         coh_fork_t fork,
                         json_t const *want,
                         case_cnt_t *cnt)
{
    coh_tx_err_t err        = verdict(s, fork, 1);
    json_t const *exception = json_object_get(want, "exception");
    if (exception != NULL) {
        cnt->invalid++;
        char const *text = json_string_value(exception);
        if ((admitted(tx_faults, COH_CNT(tx_faults), text) >> err & 1) == 0) {
            fail_msg("%s, %s: expected %s, got \"%s\"",
                     name,
                     coh_fork_name(fork),
                     text,
                     coh_tx_err_str(err));
        }
        return;
    }
    cnt->valid++;
    /* A sum beyond 256 bits is one that the suite leaves to the sender's balance. */
    if (err != COH_TX_OK && err != COH_TX_FEE_OVERFLOW) {
        fail_msg("%s, %s: refused: %s", name, coh_fork_name(fork), coh_tx_err_str(err));
    }
    coh_hash_t want_hash   = coh_test_hash(coh_test_str(want, "hash"));
    coh_addr_t want_sender = coh_test_addr(coh_test_str(want, "sender"));
    assert_int_equal(s->signer.err, COH_TX_OK);
    assert_memory_equal(s->signer.hash.b, want_hash.b, 32);
    assert_memory_equal(s->signer.sender.b, want_sender.b, 20);
    assert_true(coh_tx_intrinsic_gas(&s->tx, fork) ==
                coh_test_u64(coh_test_str(want, "intrinsicGas")));
}

static void check_transaction_test(char const *name, json_t const *test, case_cnt_t *cnt)
{
    subject_t s;
    char const *fork;
    json_t *want;
    load(&s, coh_test_str(test, "txbytes"));
    json_object_foreach (json_object_get(test, "result"), fork, want) {
        check_vector(name, &s, fork_by_name(fork), want, cnt);
    }
    coh_buf_free(&s.raw);
}

static void transaction_tests(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("ethtests/TransactionTests (105 files)");
        return;
    }
    char **files;
    size_t file_cnt = coh_test_files(&files, dir, "ethtests/TransactionTests", ".json");
    case_cnt_t cnt  = {0};
    for (size_t i = 0; i < file_cnt; i++) {
        json_t *doc = coh_test_json(files[i]);
        char const *name;
        json_t *test;
        json_object_foreach (doc, name, test) {
            check_transaction_test(name, test, &cnt);
        }
        json_decref(doc);
    }
    coh_test_files_free(files);
    print_message("%zu files, %zu valid and %zu invalid cases\n", file_cnt, cnt.valid, cnt.invalid);
    assert_true(file_cnt > 0 && cnt.valid > 0 && cnt.invalid > 0);
}

/* ---- state tests ---- */

typedef struct {
    size_t type_cnt[COH_TX_TYPE_CNT];
    size_t refused;
    size_t left_to_state;
    size_t auths;
    size_t unsigned_auths;
} state_cnt_t;

static void check_auths(char const *name, coh_tx_t const *tx, json_t const *want, state_cnt_t *cnt)
{
    assert_int_equal(tx->auth_cnt, json_array_size(want));
    coh_rlp_t list = coh_tx_auth_iter(tx);
    coh_tx_auth_t auth;
    coh_addr_t got;
    for (size_t i = 0; coh_tx_auth_next(&list, &auth); i++) {
        json_t const *row = json_array_get(want, i);
        json_t *signer    = json_object_get(row, "signer");
        coh_u256_t chain  = coh_test_u256(coh_test_str(row, "chainId"));
        coh_u256_t r      = coh_test_u256(coh_test_str(row, "r"));
        coh_u256_t s      = coh_test_u256(coh_test_str(row, "s"));
        coh_u256_t got_r  = coh_u256_from_be(auth.r, sizeof(auth.r));
        coh_u256_t got_s  = coh_u256_from_be(auth.s, sizeof(auth.s));
        coh_addr_t addr   = coh_test_addr(coh_test_str(row, "address"));
        assert_true(coh_u256_eq(&auth.chain_id, &chain) && coh_addr_eq(&auth.addr, &addr));
        assert_true(coh_u256_eq(&got_r, &r) && coh_u256_eq(&got_s, &s));
        assert_true(auth.nonce == coh_test_u64(coh_test_str(row, "nonce")));
        assert_true(auth.parity == coh_test_u64(coh_test_str(row, "yParity")));
        bool found = coh_tx_auth_recover(&got, &auth);
        cnt->auths++;
        cnt->unsigned_auths += !found;
        /* Who is named although the signature was spoilt afterwards did not sign (EIP-7702). */
        bool spoilt = auth.parity > 1 || !coh_ecdsa_is_low_s(auth.s) || coh_u256_is_zero(&r) ||
                      coh_u256_is_zero(&s);
        assert_true(!spoilt || !found);
        if (signer != NULL && !spoilt) {
            coh_addr_t want_addr = coh_test_addr(json_string_value(signer));
            if (!found || !coh_addr_eq(&got, &want_addr)) {
                fail_msg("%s: authorization %zu: another signer", name, i);
            }
        }
    }
}

static void check_post(char const *name,
                       coh_fork_t fork,
                       json_t const *test,
                       json_t const *post,
                       state_cnt_t *cnt)
{
    json_t const *fields    = json_object_get(test, "transaction");
    json_t const *exception = json_object_get(post, "expectException");
    uint64_t chain_id = coh_test_u64(coh_test_str(json_object_get(test, "config"), "chainid"));
    subject_t s;
    load(&s, coh_test_str(post, "txbytes"));
    coh_tx_err_t err = verdict(&s, fork, chain_id);
    if (err == COH_TX_OK && fork >= COH_FORK_CANCUN) {
        coh_blob_params_t params =
            coh_blob_params_default((coh_blob_step_t)(COH_BLOB_CANCUN + (fork - COH_FORK_CANCUN)));
        err = coh_tx_check_blob_cnt(&s.tx, params.max);
    }
    uint64_t set =
        exception == NULL
            ? BIT(OK)
            : admitted(state_faults, COH_CNT(state_faults), json_string_value(exception));
    if ((set >> err & 1) == 0) {
        fail_msg("%s: %s, not %s",
                 name,
                 coh_tx_err_str(err),
                 exception == NULL ? "valid" : json_string_value(exception));
    }
    cnt->refused += err != COH_TX_OK;
    cnt->left_to_state += exception != NULL && err == COH_TX_OK;
    if (s.decoded == COH_TX_OK) {
        coh_addr_t sender = coh_test_addr(coh_test_str(fields, "sender"));
        assert_int_equal(s.signer.err, COH_TX_OK);
        assert_memory_equal(s.signer.sender.b, sender.b, sizeof(sender.b));
        cnt->type_cnt[s.tx.type]++;
        if (s.tx.type == COH_TX_SET_CODE) {
            check_auths(name, &s.tx, json_object_get(fields, "authorizationList"), cnt);
        }
    }
    coh_buf_free(&s.raw);
}

static void state_test_transactions(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("the transactions of eest/state_tests (1349 files)");
        return;
    }
    char **files;
    size_t file_cnt = coh_test_files(&files, dir, "eest/state_tests", ".json");
    state_cnt_t cnt = {0};
    for (size_t i = 0; i < file_cnt; i++) {
        json_t *doc = coh_test_json(files[i]);
        char const *name;
        json_t *test;
        json_object_foreach (doc, name, test) {
            char const *fork;
            json_t *posts;
            json_object_foreach (json_object_get(test, "post"), fork, posts) {
                size_t k;
                json_t *post;
                json_array_foreach (posts, k, post) {
                    check_post(name, fork_by_name(fork), test, post, &cnt);
                }
            }
        }
        json_decref(doc);
    }
    coh_test_files_free(files);
    for (size_t type = 0; type < COH_TX_TYPE_CNT; type++) {
        print_message("%zu transactions of type %zu\n", cnt.type_cnt[type], type);
        assert_true(cnt.type_cnt[type] > 0);
    }
    print_message(
        "%zu files; %zu refused without state, %zu left to it; %zu authorizations, %zu of "
        "them signed by nobody\n",
        file_cnt,
        cnt.refused,
        cnt.left_to_state,
        cnt.auths,
        cnt.unsigned_auths);
    assert_true(cnt.refused > 0 && cnt.left_to_state > 0 && cnt.auths > 0);
}

/* ---- cases of our own, in the form of TransactionTests ---- */

/* EIP-155's example, without and with its rules; the same with r = 0, which the list says in 32 octets less; the same cut short. */
#define EIP155_HEAD \
    "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080"
#define EIP155_TAIL                                                        \
    "25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276" \
    "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"

#define EIP155_R_ZERO                                                                        \
    "f84c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080" \
    "2580a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"

static char const own_tests[] =
    "{\"eip155\": {\"txbytes\": \"0x" EIP155_HEAD EIP155_TAIL "\", \"result\": {"
    " \"Homestead\": {\"exception\": \"TransactionException.INVALID_SIGNATURE_VRS\"},"
    " \"London\": {\"hash\": "
    "\"0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788\","
    "  \"sender\": \"0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f\", \"intrinsicGas\": \"0x5208\"}}},"
    " \"r_zero\": {\"txbytes\": \"0x" EIP155_R_ZERO "\", \"result\": {"
    " \"London\": {\"exception\": \"TransactionException.INVALID_SIGNATURE_VRS\"}}},"
    " \"cut\": {\"txbytes\": \"0x" EIP155_HEAD "25\", \"result\": {"
    " \"London\": {\"exception\": \"TransactionException.RLP_TOO_SHORT\"}}}}";

static void own_transaction_tests(void **state)
{
    (void)state;
    json_t *doc    = json_loads(own_tests, 0, NULL);
    case_cnt_t cnt = {0};
    char const *name;
    json_t *test;
    assert_non_null(doc);
    json_object_foreach (doc, name, test) {
        check_transaction_test(name, test, &cnt);
    }
    json_decref(doc);
    assert_int_equal(cnt.valid, 1);
    assert_int_equal(cnt.invalid, 3);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(own_transaction_tests),
        cmocka_unit_test(transaction_tests),
        cmocka_unit_test(state_test_transactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
