/* ethereum/tests' RLPTests: what is valid is written and read back as the suite says, what is invalid is refused. Without the data, cases of
   ours in the same form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/codec/rlp.h"
#include "tests/support/data.h"

enum { DEPTH_MAX = 64 };

/* Walks all items to any depth without recursion, and writes them again to out (if they are valid). */
static coh_err_t walk(coh_buf_t *out, coh_bytes_t in)
{
    struct {
        coh_rlp_t at;
        size_t start; /* of the list in out */
    } stack[DEPTH_MAX];
    size_t depth   = 0;
    stack[0].at    = coh_rlp_reader(in);
    stack[0].start = 0;
    for (;;) {
        coh_rlp_t *r = &stack[depth].at;
        if (coh_rlp_at_end(r)) {
            if (depth == 0) {
                return COH_OK;
            }
            coh_rlp_wrap_list(out, stack[depth--].start);
            continue;
        }
        coh_rlp_kind_t kind;
        coh_bytes_t payload;
        coh_err_t err = coh_rlp_next(r, &kind, &payload);
        if (err != COH_OK) {
            return err;
        }
        if (kind == COH_RLP_STRING) {
            coh_rlp_put_string(out, payload.p, payload.n);
        } else {
            assert_true(++depth < DEPTH_MAX);
            stack[depth].at    = coh_rlp_reader(payload);
            stack[depth].start = out->n;
        }
    }
}

/* True if raw is one item, valid through and through, with nothing behind it; its form is then the only one. */
static bool is_one_item(coh_bytes_t raw)
{
    coh_rlp_t r = coh_rlp_reader(raw);
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    coh_buf_t again = COH_BUF_INIT;
    bool good       = coh_rlp_next(&r, &kind, &payload) == COH_OK && coh_rlp_end(&r) == COH_OK &&
                walk(&again, raw) == COH_OK;
    if (good) {
        assert_true(coh_bytes_eq(coh_buf_bytes(&again), raw));
    }
    coh_buf_free(&again);
    return good;
}

/* The shortest big-endian octets of a decimal number of any size. */
static void decimal_to_be(coh_buf_t *out, char const *digits)
{
    uint8_t be[64] = {0};
    for (; *digits != '\0'; digits++) {
        uint32_t carry = (uint32_t)(*digits - '0');
        for (size_t i = sizeof(be); i-- > 0;) {
            carry += (uint32_t)be[i] * 10;
            be[i] = (uint8_t)carry;
            carry >>= 8;
        }
        assert_int_equal(carry, 0);
    }
    size_t zeros = 0;
    while (zeros < sizeof(be) && be[zeros] == 0) {
        zeros++;
    }
    coh_buf_put(out, be + zeros, sizeof(be) - zeros);
}

/* Appends value in RLP: text, a number, a decimal number after '#', or a list. */
static void put_value(coh_buf_t *out, json_t const *value)
{
    if (json_is_array(value)) {
        size_t at = out->n;
        size_t i;
        json_t *item;
        json_array_foreach (value, i, item) {
            put_value(out, item);
        }
        coh_rlp_wrap_list(out, at);
    } else if (json_is_integer(value)) {
        coh_rlp_put_u64(out, (uint64_t)json_integer_value(value));
    } else if (json_string_value(value)[0] == '#') {
        coh_buf_t be = COH_BUF_INIT;
        decimal_to_be(&be, json_string_value(value) + 1);
        coh_rlp_put_string(out, be.p, be.n);
        if (be.n <= 32) {
            coh_buf_t same  = COH_BUF_INIT;
            coh_u256_t wide = coh_u256_from_be(be.p, be.n);
            coh_rlp_put_u256(&same, &wide);
            assert_int_equal(same.n, be.n + 1);
            assert_memory_equal(same.p, out->p + out->n - same.n, same.n);
            coh_buf_free(&same);
        }
        coh_buf_free(&be);
    } else {
        coh_rlp_put_string(out, json_string_value(value), json_string_length(value));
    }
}

/* Reads one item as value says what it is, and compares. */
static void read_back(coh_rlp_t *r, json_t const *value)
{
    if (json_is_array(value)) {
        coh_rlp_t inner;
        size_t i;
        json_t *item;
        assert_int_equal(coh_rlp_list(r, &inner), COH_OK);
        json_array_foreach (value, i, item) {
            read_back(&inner, item);
        }
        assert_int_equal(coh_rlp_end(&inner), COH_OK);
    } else if (json_is_integer(value)) {
        uint64_t v;
        assert_int_equal(coh_rlp_u64(r, &v), COH_OK);
        assert_true(v == (uint64_t)json_integer_value(value));
    } else if (json_string_value(value)[0] == '#') {
        coh_buf_t be    = COH_BUF_INIT;
        coh_rlp_t whole = *r;
        coh_u256_t v;
        coh_bytes_t octets;
        decimal_to_be(&be, json_string_value(value) + 1);
        assert_int_equal(coh_rlp_u256(&whole, &v), be.n <= 32 ? COH_OK : COH_EMALFORMED);
        if (be.n <= 32) {
            coh_u256_t want = coh_u256_from_be(be.p, be.n);
            assert_true(coh_u256_eq(&v, &want));
        }
        assert_int_equal(coh_rlp_string(r, &octets), COH_OK);
        assert_true(coh_bytes_eq(octets, coh_buf_bytes(&be)));
        coh_buf_free(&be);
    } else {
        coh_bytes_t octets;
        coh_bytes_t want = coh_bytes(json_string_value(value), json_string_length(value));
        assert_int_equal(coh_rlp_string(r, &octets), COH_OK);
        assert_true(coh_bytes_eq(octets, want));
    }
}

typedef struct {
    size_t valid;
    size_t invalid;
} case_cnt_t;

static void check_case(char const *name, json_t const *test, case_cnt_t *cnt)
{
    json_t const *in = json_object_get(test, "in");
    coh_buf_t raw    = COH_BUF_INIT;
    if (!coh_test_hex(&raw, coh_test_str(test, "out"))) {
        fail_msg("%s: out is not hexadecimal", name);
    }
    bool says_what = !json_is_string(in) || (strcmp(json_string_value(in), "VALID") != 0 &&
                                             strcmp(json_string_value(in), "INVALID") != 0);
    bool valid     = says_what || strcmp(json_string_value(in), "VALID") == 0;
    if (is_one_item(coh_buf_bytes(&raw)) != valid) {
        fail_msg("%s: should be %s", name, valid ? "valid" : "invalid");
    }
    if (says_what) {
        coh_buf_t written = COH_BUF_INIT;
        coh_rlp_t r       = coh_rlp_reader(coh_buf_bytes(&raw));
        put_value(&written, in);
        if (!coh_bytes_eq(coh_buf_bytes(&written), coh_buf_bytes(&raw))) {
            fail_msg("%s: encoded otherwise", name);
        }
        coh_buf_free(&written);
        read_back(&r, in);
        assert_int_equal(coh_rlp_end(&r), COH_OK);
    }
    *(valid ? &cnt->valid : &cnt->invalid) += 1;
    coh_buf_free(&raw);
}

static void check_all(json_t *doc, case_cnt_t *cnt)
{
    char const *name;
    json_t *test;
    json_object_foreach (doc, name, test) {
        check_case(name, test, cnt);
    }
}

static void rlp_tests(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("ethtests/RLPTests (3 files)");
        return;
    }
    char **files;
    size_t file_cnt = coh_test_files(&files, dir, "ethtests/RLPTests", ".json");
    case_cnt_t cnt  = {0};
    for (size_t i = 0; i < file_cnt; i++) {
        json_t *doc = coh_test_json(files[i]);
        check_all(doc, &cnt);
        json_decref(doc);
    }
    coh_test_files_free(files);
    print_message("%zu files, %zu valid and %zu invalid cases\n", file_cnt, cnt.valid, cnt.invalid);
    assert_true(file_cnt > 0 && cnt.valid > 0 && cnt.invalid > 0);
}

/* Around the lengths at which the form changes, and forms that are too long. */
static char const own_tests[] =
    "{\"empty\": {\"in\": \"\", \"out\": \"0x80\"}, \"one\": {\"in\": 1, \"out\": \"0x01\"},"
    " \"128\": {\"in\": 128, \"out\": \"8180\"}, \"256\": {\"in\": \"#256\", \"out\": \"820100\"},"
    " \"2^256\": {\"in\": "
    "\"#115792089237316195423570985008687907853269984665640564039457584007913129639936\","
    "  \"out\": \"a1010000000000000000000000000000000000000000000000000000000000000000\"},"
    " \"55\": {\"in\": \"1234567890123456789012345678901234567890123456789012345\", \"out\":"
    "  "
    "\"b7313233343536373839303132333435363738393031323334353637383930313233343536373839303132333435"
    "36373839303132333435\"},"
    " \"56\": {\"in\": \"12345678901234567890123456789012345678901234567890123456\", \"out\":"
    "  "
    "\"b8383132333435363738393031323334353637383930313233343536373839303132333435363738393031323334"
    "353637383930313233343536\"},"
    " \"lists\": {\"in\": [[], [[]], \"a\"], \"out\": \"c4c0c1c061\"},"
    " \"unspecific\": {\"in\": \"VALID\", \"out\": \"c0\"},"
    " \"nothing\": {\"in\": \"INVALID\", \"out\": \"\"},"
    " \"two\": {\"in\": \"INVALID\", \"out\": \"8080\"},"
    " \"single\": {\"in\": \"INVALID\", \"out\": \"817f\"},"
    " \"short\": {\"in\": \"INVALID\", \"out\": \"82ff\"},"
    " \"long form\": {\"in\": \"INVALID\", \"out\": \"b80180\"},"
    " \"inner\": {\"in\": \"INVALID\", \"out\": \"c2c181\"}}";

static void own_rlp_tests(void **state)
{
    (void)state;
    json_t *doc    = json_loads(own_tests, 0, NULL);
    case_cnt_t cnt = {0};
    assert_non_null(doc);
    check_all(doc, &cnt);
    json_decref(doc);
    assert_int_equal(cnt.valid, 9);
    assert_int_equal(cnt.invalid, 6);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(own_rlp_tests),
        cmocka_unit_test(rlp_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
