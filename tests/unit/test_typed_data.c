/* The digest of typed data. Expected values are those of EIP-712's example, and what ethers 6.17.0 (TypedDataEncoder.hash) makes of a structure with all kinds of types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "coordinator/gateway/rpc_typed_data.h"

#define DOMAIN                                                             \
    "\"domain\":{\"name\":\"Ether Mail\",\"version\":\"1\",\"chainId\":1," \
    "\"verifyingContract\":\"0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC\"}"
#define MAIL_TYPES                                                                             \
    "\"Person\":[{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"wallet\",\"type\":"       \
    "\"address\"}],"                                                                           \
    "\"Mail\":[{\"name\":\"from\",\"type\":\"Person\"},{\"name\":\"to\",\"type\":\"Person\"}," \
    "{\"name\":\"contents\",\"type\":\"string\"}]"
#define MAIL                                                                               \
    "\"primaryType\":\"Mail\",\"message\":{\"from\":{\"name\":\"Cow\",\"wallet\":"         \
    "\"0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826\"},\"to\":{\"name\":\"Bob\",\"wallet\":" \
    "\"0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB\"},\"contents\":\"Hello, Bob!\"}"
#define DOMAIN_TYPES                                                                            \
    "\"EIP712Domain\":[{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"version\",\"type\":" \
    "\"string\"},"                                                                              \
    "{\"name\":\"chainId\",\"type\":\"uint256\"},{\"name\":\"verifyingContract\",\"type\":"     \
    "\"address\"}],"

#define KINDS_JSON                                                                                 \
    "{\"types\":{\"Leaf\":[{\"name\":\"v\",\"type\":\"int16\"},{\"name\":\"t\",\"type\":"          \
    "\"bytes3\"}],\"Ze"                                                                            \
    "d\":[{\"name\":\"l\",\"type\":\"Leaf[]\"}],\"Root\":[{\"name\":\"z\",\"type\":\"Zed\"},{"     \
    "\"name\":\"a"                                                                                 \
    "\",\"type\":\"Leaf[2]\"},{\"name\":\"big\",\"type\":\"uint256\"},{\"name\":\"neg\",\"type\":" \
    "\"int256"                                                                                     \
    "\"},{\"name\":\"raw\",\"type\":\"bytes\"},{\"name\":\"flag\",\"type\":\"bool\"},{\"name\":"   \
    "\"grid\",\""                                                                                  \
    "type\":\"uint8[2][]\"},{\"name\":\"who\",\"type\":\"address[]\"},{\"name\":\"u\",\"type\":"   \
    "\"uint64\""                                                                                   \
    "},{\"name\":\"s\",\"type\":\"string\"}]},\"domain\":{\"name\":\"n\",\"salt\":"                \
    "\"0x1111111111111111111"                                                                      \
    "111111111111111111111111111111111111111111111\"},\"primaryType\":\"Root\",\"message\":{"      \
    "\"z\":{\"l\":"                                                                                \
    "[{\"v\":-1,\"t\":\"0x010203\"},{\"v\":32767,\"t\":\"0xffffff\"}]},\"a\":[{\"v\":-32768,"      \
    "\"t\":\"0x000"                                                                                \
    "000\"},{\"v\":0,\"t\":\"0xabcdef\"}],\"big\":"                                                \
    "\"11579208923731619542357098500868790785326998466564056"                                      \
    "4039457584007913129639935\",\"neg\":\"-"                                                      \
    "5789604461865809771178549250434395392663499233282028201972879"                                \
    "2003956564819968\",\"raw\":\"0x00ff\",\"flag\":true,\"grid\":[[1,2],[3,255]],\"who\":["       \
    "\"0xf39fd6e51a"                                                                               \
    "ad88f6f4ce6ab8827279cfffb92266\"],\"u\":7,\"s\":\"é\"}}"
#define KINDS_DIGEST "f83c92b7a5fc125cfb3a6ebcfb7045db17b65f53235cd26afd9a868b3b13016a"

static bool digest(char out[65], char const *json, coh_rpc_fault_t *fault)
{
    coh_hash_t hash;
    json_t *data = json_loads(json, 0, NULL);
    assert_non_null(data);
    bool ok = coh_rpc_typed_digest(&hash, data, fault);
    json_decref(data);
    if (ok) {
        coh_hex_encode(out, hash.b, sizeof(hash.b));
    }
    return ok;
}

static void typed_example_of_the_eip(void **state)
{
    (void)state;
    static char const expected[] =
        "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2";
    coh_rpc_fault_t fault;
    char hex[65];
    assert_true(
        digest(hex, "{\"types\":{" DOMAIN_TYPES MAIL_TYPES "}," DOMAIN "," MAIL "}", &fault));
    assert_string_equal(hex, expected);
    /* Without the domain's type, and with the chain's id as text. */
    assert_true(digest(hex, "{\"types\":{" MAIL_TYPES "}," DOMAIN "," MAIL "}", &fault));
    assert_string_equal(hex, expected);
}

static void typed_all_kinds(void **state)
{
    (void)state;
    coh_rpc_fault_t fault;
    char hex[65];
    assert_true(digest(hex, KINDS_JSON, &fault));
    assert_string_equal(hex, KINDS_DIGEST);
}

/* One member of this type with this value. */
static void refuses(char const *type, char const *value, char const *part)
{
    char json[2048];
    char hex[65];
    coh_rpc_fault_t fault;
    (void)snprintf(json,
                   sizeof(json),
                   "{\"types\":{\"A\":[{\"name\":\"x\",\"type\":\"%s\"}]},\"domain\":{},"
                   "\"primaryType\":\"A\",\"message\":{\"x\":%s}}",
                   type,
                   value);
    assert_false(digest(hex, json, &fault));
    assert_int_equal(fault.code, COH_RPC_PARAMS);
    if (strstr(fault.text, part) == NULL) {
        fail_msg("%s %s: \"%s\"", type, value, fault.text);
    }
}

static void typed_refusals(void **state)
{
    (void)state;
    coh_rpc_fault_t fault;
    char hex[65];
    refuses("uint8", "256", "no integer of 8 bits");
    refuses("uint8", "-1", "no integer of 8 bits");
    refuses("int8", "128", "no integer of 8 bits");
    refuses("int8", "\"-129\"", "no integer of 8 bits");
    refuses("uint7", "1", "no type uint7");
    refuses("uint264", "1", "no type uint264");
    refuses("bytes33", "\"0x00\"", "no type bytes33");
    refuses("bytes2", "\"0x010203\"", "longer than bytes2");
    refuses("bool", "1", "no bool");
    refuses("string", "1", "no string");
    refuses("uint8[2]", "[1]", "length of uint8[2]");
    refuses("uint8[]", "1", "no list");
    refuses("B", "{}", "no type B");
    refuses("A", "1", "no object");
    refuses("A", "{}", "A has no x");
    assert_false(
        digest(hex, "{\"types\":{},\"domain\":{},\"primaryType\":\"A\",\"message\":{}}", &fault));
    assert_false(digest(hex, "[]", &fault));
    /* A struct within itself, 40 deep. */
    char json[4096] = "{\"types\":{\"A\":[{\"name\":\"x\",\"type\":\"A\"}]},\"domain\":{},"
                      "\"primaryType\":\"A\",\"message\":";
    for (int i = 0; i < 40; i++) {
        strcat(json, "{\"x\":");
    }
    strcat(json, "null");
    for (int i = 0; i < 41; i++) {
        strcat(json, "}");
    }
    assert_false(digest(hex, json, &fault));
    assert_non_null(strstr(fault.text, "nested deeper"));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(typed_example_of_the_eip),
        cmocka_unit_test(typed_all_kinds),
        cmocka_unit_test(typed_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
