#include "coordinator/gateway/rpc_typed_data.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/hex.h"
#include "common/crypto/keccak.h"

/* Structs and arrays within each other: calls nest so deep. */
#define DEPTH_MAX 32u
/* Structs that one depends on. */
#define STRUCT_MAX 64u
#define NAME_MAX   128u

typedef struct {
    json_t const *types;
    coh_rpc_fault_t *fault;
} typed_t;

COH_PRINTF(2, 3) static bool fail(typed_t const *t, char const *fmt, ...)
{
    char text[COH_RPC_FAULT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return coh_rpc_fault(t->fault, COH_RPC_PARAMS, "invalid typed data: %s", text);
}

static char const *text_of(json_t const *object, char const *member)
{
    char const *text = json_string_value(json_object_get(object, member));
    return text != NULL ? text : "";
}

/* base_of copies the name of a type without its brackets. */
static void base_of(char out[NAME_MAX], char const *type)
{
    size_t n = strcspn(type, "[");
    (void)snprintf(out, NAME_MAX, "%.*s", (int)COH_MIN(n, (size_t)NAME_MAX - 1), type);
}

static int by_text(void const *a, void const *b)
{
    return strcmp(*(char const *const *)a, *(char const *const *)b);
}

static void put_text(coh_buf_t *out, char const *text) { coh_buf_put(out, text, strlen(text)); }

static void put_type(coh_buf_t *out, char const *name, json_t const *members)
{
    size_t i;
    json_t const *m;
    put_text(out, name);
    json_array_foreach (members, i, m) {
        put_text(out, i == 0 ? "(" : ",");
        put_text(out, text_of(m, "type"));
        put_text(out, " ");
        put_text(out, text_of(m, "name"));
    }
    put_text(out, json_array_size(members) == 0 ? "()" : ")");
}

/* hash_type: encodeType is the struct itself, then those that it depends on, by name. */
static bool hash_type(typed_t const *t, coh_hash_t *out, char const *name)
{
    char const *names[STRUCT_MAX]; /* those of the types' own keys; each once */
    uint32_t cnt = 1;
    names[0]     = name;
    for (uint32_t at = 0; at < cnt; at++) {
        size_t i;
        json_t const *m;
        json_array_foreach (json_object_get(t->types, names[at]), i, m) {
            char base[NAME_MAX];
            char const *key;
            json_t *value;
            base_of(base, text_of(m, "type"));
            json_object_foreach ((json_t *)(uintptr_t)t->types, key, value) {
                if (strcmp(key, base) != 0) {
                    continue;
                }
                uint32_t k = 0;
                while (k < cnt && strcmp(names[k], key) != 0) {
                    k++;
                }
                if (k == STRUCT_MAX) {
                    return fail(t, "%.64s depends on more than %u types", name, STRUCT_MAX);
                }
                if (k == cnt) {
                    names[cnt++] = key;
                }
            }
        }
    }
    qsort(names + 1, cnt - 1, sizeof(names[0]), by_text);
    coh_buf_t text = COH_BUF_INIT;
    for (uint32_t i = 0; i < cnt; i++) {
        put_type(&text, names[i], json_object_get(t->types, names[i]));
    }
    coh_keccak256(out, text.p, text.n);
    coh_buf_free(&text);
    return true;
}

/* read_integer reads a number, its decimal or hexadecimal text, with a sign or without, of so many bits. */
static bool read_integer(typed_t const *t,
                         uint8_t out[32],
                         json_t const *v,
                         unsigned bits,
                         bool is_signed)
{
    char number[32];
    char const *text = json_string_value(v);
    coh_u256_t word;
    if (json_is_integer(v)) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
        text = number;
    }
    bool is_negative = text != NULL && text[0] == '-';
    text             = is_negative ? text + 1 : text;
    bool ok          = text != NULL && coh_u256_parse(&word, text, strlen(text)) == COH_OK &&
              (is_signed || !is_negative);
    if (ok) { /* at most 2^bits - 1, or 2^(bits-1) - 1, or 2^(bits-1) below zero */
        coh_u256_t one   = coh_u256(1);
        unsigned shift   = is_signed ? bits - 1 : bits;
        coh_u256_t limit = COH_U256_ZERO; /* 2^256 */
        if (shift < 256) {
            limit.w[shift / 64] = UINT64_C(1) << shift % 64;
        }
        if (!is_negative) {
            (void)coh_u256_sub(&limit, &limit, &one);
        }
        ok = !coh_u256_lt(&limit, &word);
    }
    if (!ok) {
        return fail(t, "a value is no integer of %u bits", bits);
    }
    if (is_negative) {
        coh_u256_t zero = COH_U256_ZERO;
        (void)coh_u256_sub(&word, &zero, &word);
    }
    coh_u256_to_be(out, &word);
    return true;
}

/* bits_of reads the number behind a type's name: 8, 16, ... max; def if there is none; 0: it is no such type. */
static unsigned bits_of(char const *type,
                        char const *prefix,
                        unsigned step,
                        unsigned max,
                        unsigned def)
{
    size_t n = strlen(prefix);
    if (strncmp(type, prefix, n) != 0) {
        return 0;
    }
    if (type[n] == '\0') {
        return def;
    }
    char *end;
    unsigned long bits = strtoul(type + n, &end, 10);
    bool ok = type[n] >= '1' && type[n] <= '9' && *end == '\0' && bits <= max && bits % step == 0;
    return ok ? (unsigned)bits : 0;
}

/* encode_atom encodes a value of a type that is neither struct nor array. */
static bool encode_atom(typed_t const *t, uint8_t out[32], char const *type, json_t const *v)
{
    coh_buf_t bytes = COH_BUF_INIT;
    coh_hash_t hash;
    unsigned bits;
    bool ok = false;
    memset(out, 0, 32);
    if (strcmp(type, "string") == 0) {
        if (!json_is_string(v)) {
            return fail(t, "a value is no string");
        }
        coh_keccak256(&hash, json_string_value(v), json_string_length(v));
        memcpy(out, hash.b, 32);
        return true;
    }
    if (strcmp(type, "bool") == 0) {
        out[31] = json_is_true(v);
        return json_is_boolean(v) || fail(t, "a value is no bool");
    }
    if (strcmp(type, "address") == 0) {
        coh_addr_t addr;
        ok = coh_rpc_get_addr(&addr, v, 1, t->fault);
        if (ok) {
            memcpy(out + 12, addr.b, sizeof(addr.b));
        }
        return ok;
    }
    if ((bits = bits_of(type, "uint", 8, 256, 256)) != 0) {
        return read_integer(t, out, v, bits, false);
    }
    if ((bits = bits_of(type, "int", 8, 256, 256)) != 0) {
        return read_integer(t, out, v, bits, true);
    }
    unsigned size = bits_of(type, "bytes", 1, 32, 33); /* 33: of any size */
    if (size == 0) {
        return fail(t, "there is no type %.64s", type);
    }
    if (coh_rpc_get_data(&bytes, v, 1, t->fault)) {
        if (size == 33) {
            coh_keccak256(&hash, bytes.p, bytes.n);
            memcpy(out, hash.b, 32);
            ok = true;
        } else if (bytes.n > size) {
            ok = fail(t, "a value is longer than %.64s", type);
        } else {
            if (bytes.n != 0) {
                memcpy(out, bytes.p, bytes.n);
            }
            ok = true;
        }
    }
    coh_buf_free(&bytes);
    return ok;
}

static bool encode(typed_t const *t,
                   uint8_t out[32],
                   char const *type,
                   json_t const *v,
                   unsigned depth);

/* encodeData of a struct, behind the hash of its type. */
static bool hash_struct(typed_t const *t,
                        coh_hash_t *out,
                        char const *name,
                        json_t const *v,
                        unsigned depth)
{
    json_t const *members = json_object_get(t->types, name);
    coh_buf_t all         = COH_BUF_INIT;
    coh_hash_t type;
    if (!json_is_array(members)) {
        return fail(t, "there is no type %.64s", name);
    }
    if (!json_is_object(v)) {
        return fail(t, "a value of %.64s is no object", name);
    }
    bool ok = hash_type(t, &type, name);
    coh_buf_put(&all, type.b, sizeof(type.b));
    for (size_t i = 0; ok && i < json_array_size(members); i++) {
        json_t const *m = json_array_get(members, i);
        uint8_t word[32];
        json_t const *member = json_object_get(v, text_of(m, "name"));
        ok                   = member != NULL ? encode(t, word, text_of(m, "type"), member, depth)
                                              : fail(t, "%.64s has no %.64s", name, text_of(m, "name"));
        if (ok) {
            coh_buf_put(&all, word, sizeof(word));
        }
    }
    if (ok) {
        coh_keccak256(out, all.p, all.n);
    }
    coh_buf_free(&all);
    return ok;
}

static bool encode_array(typed_t const *t,
                         uint8_t out[32],
                         char const *type,
                         json_t const *v,
                         unsigned depth)
{
    char element[NAME_MAX];
    size_t n        = strlen(type);
    char const *end = strrchr(type, '[');
    coh_buf_t all   = COH_BUF_INIT;
    coh_hash_t hash;
    if (n >= NAME_MAX || end == NULL || !json_is_array(v)) {
        return fail(t, "a value of %.64s is no list", type);
    }
    if (end[1] != ']' && strtoul(end + 1, NULL, 10) != json_array_size(v)) {
        return fail(t, "a list has not the length of %.64s", type);
    }
    (void)snprintf(element, sizeof(element), "%.*s", (int)(end - type), type);
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(v); i++) {
        uint8_t word[32];
        ok = encode(t, word, element, json_array_get(v, i), depth);
        coh_buf_put(&all, word, sizeof(word));
    }
    coh_keccak256(&hash, all.p, all.n);
    memcpy(out, hash.b, 32);
    coh_buf_free(&all);
    return ok;
}

static bool encode(typed_t const *t,
                   uint8_t out[32],
                   char const *type,
                   json_t const *v,
                   unsigned depth)
{
    size_t n = strlen(type);
    if (depth == DEPTH_MAX) {
        return fail(t, "it is nested deeper than %u", DEPTH_MAX);
    }
    if (n != 0 && type[n - 1] == ']') {
        return encode_array(t, out, type, v, depth + 1);
    }
    if (json_object_get(t->types, type) != NULL) {
        coh_hash_t hash;
        if (json_is_null(v)) {
            memset(out, 0, 32);
            return true;
        }
        bool ok = hash_struct(t, &hash, type, v, depth + 1);
        if (ok) {
            memcpy(out, hash.b, 32);
        }
        return ok;
    }
    return encode_atom(t, out, type, v);
}

/* domain_types makes types.EIP712Domain of the members that domain has. */
static json_t *domain_types(json_t const *domain)
{
    static char const *const members[][2] = {{"name", "string"},
                                             {"version", "string"},
                                             {"chainId", "uint256"},
                                             {"verifyingContract", "address"},
                                             {"salt", "bytes32"}};
    json_t *list                          = json_array();
    for (size_t i = 0; i < COH_CNT(members); i++) {
        if (json_object_get(domain, members[i][0]) != NULL) {
            (void)json_array_append_new(
                list, json_pack("{s:s,s:s}", "name", members[i][0], "type", members[i][1]));
        }
    }
    return list;
}

bool coh_rpc_typed_digest(coh_hash_t *out, json_t const *data, coh_rpc_fault_t *fault)
{
    static char const domain_name[] = "EIP712Domain";
    typed_t t                       = {.fault = fault};
    char const *primary             = json_string_value(json_object_get(data, "primaryType"));
    json_t const *domain            = json_object_get(data, "domain");
    if (!json_is_object(json_object_get(data, "types")) || primary == NULL) {
        return fail(&t, "types or primaryType are missing");
    }
    json_t *types = json_copy(json_object_get(data, "types"));
    if (json_object_get(types, domain_name) == NULL) {
        (void)json_object_set_new(types, domain_name, domain_types(domain));
    }
    t.types = types;
    coh_hash_t parts[2];
    bool has_message = strcmp(primary, domain_name) != 0;
    bool ok =
        hash_struct(&t, &parts[0], domain_name, domain, 0) &&
        (!has_message || hash_struct(&t, &parts[1], primary, json_object_get(data, "message"), 0));
    if (ok) {
        uint8_t all[2 + 64] = {0x19, 0x01};
        memcpy(all + 2, parts[0].b, 32);
        memcpy(all + 34, parts[1].b, 32);
        coh_keccak256(out, all, has_message ? sizeof(all) : sizeof(all) - 32);
    }
    json_decref(types);
    return ok;
}
