#include "coordinator/gateway/rpc_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/hex.h"
#include "common/base/utf8.h"
#include "common/crypto/keccak.h"

bool coh_rpc_fault(coh_rpc_fault_t *fault, int code, char const *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(fault->text, sizeof(fault->text), fmt, args);
    va_end(args);
    fault->code = code;
    return false;
}

void coh_rpc_checksum(char out[COH_RPC_ADDR_SZ], coh_addr_t const *addr)
{
    coh_hash_t hash;
    char *text = out + 2;
    out[0]     = '0';
    out[1]     = 'x';
    coh_hex_encode(text, addr->b, sizeof(addr->b));
    coh_keccak256(&hash, text, 40);
    for (size_t i = 0; i < 40; i++) {
        unsigned nibble = i % 2 == 0 ? hash.b[i / 2] >> 4 : hash.b[i / 2] & 15;
        if (nibble >= 8 && text[i] >= 'a') {
            text[i] = (char)(text[i] - 'a' + 'A');
        }
    }
}

/* ---- parsing ---- */

/* shape_is_bounded looks at brackets and separators outside strings: enough to bound what a parser would make of the text, whether or not it is JSON. */
static bool shape_is_bounded(coh_bytes_t text,
                             unsigned depth_max,
                             size_t value_max,
                             coh_rpc_fault_t *fault)
{
    size_t depth   = 0;
    size_t values  = 1;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        switch (c) {
        case '"': in_string = true; break;
        case '[':
        case '{':
            values++;
            if (++depth > depth_max) {
                return coh_rpc_fault(
                    fault, COH_RPC_INVALID, "nested deeper than %u levels", depth_max);
            }
            break;
        case ']':
        case '}': depth -= depth > 0; break;
        case ',':
        case ':':
            if (++values > value_max) {
                return coh_rpc_fault(fault, COH_RPC_INVALID, "more than %zu values", value_max);
            }
            break;
        default: break;
        }
    }
    return true;
}

json_t *coh_rpc_parse(coh_bytes_t text,
                      unsigned depth_max,
                      size_t value_max,
                      coh_rpc_fault_t *fault)
{
    if (!shape_is_bounded(text, depth_max, value_max, fault)) {
        return NULL;
    }
    json_error_t err;
    json_t *root = json_loadb((char const *)text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &err);
    if (root == NULL) {
        coh_rpc_fault(fault, COH_RPC_PARSE, "parse error: %s", err.text);
    }
    return root;
}

/* ---- writing ---- */

static char const digits[] = "0123456789abcdef";

void coh_rpc_put_u256(coh_buf_t *out, coh_u256_t const *v)
{
    char text[COH_HEX_QUANTITY_SZ + 2] = "\"";
    size_t n                           = 1 + coh_hex_quantity(text + 1, v);
    text[n++]                          = '"';
    coh_buf_put(out, text, n);
}

void coh_rpc_put_quantity(coh_buf_t *out, uint64_t v)
{
    char text[20];
    char *at = text + sizeof(text);
    *--at    = '"';
    do {
        *--at = digits[v & 15];
        v >>= 4;
    } while (v != 0);
    *--at = 'x';
    *--at = '0';
    *--at = '"';
    coh_buf_put(out, at, (size_t)(text + sizeof(text) - at));
}

void coh_rpc_put_data(coh_buf_t *out, void const *p, size_t n)
{
    uint8_t const *from = p;
    uint8_t *at         = coh_buf_extend(out, 2 * n + 4);
    *at++               = '"';
    *at++               = '0';
    *at++               = 'x';
    for (size_t i = 0; i < n; i++) {
        *at++ = (uint8_t)digits[from[i] >> 4];
        *at++ = (uint8_t)digits[from[i] & 15];
    }
    *at = '"';
}

void coh_rpc_put_string(coh_buf_t *out, char const *text, size_t n)
{
    uint8_t const *p = (uint8_t const *)text;
    coh_buf_put_u8(out, '"');
    for (size_t i = 0; i < n;) {
        size_t len = coh_utf8_len(p + i, n - i);
        if (p[i] == '"' || p[i] == '\\') {
            uint8_t const escaped[] = {'\\', p[i]};
            coh_buf_put(out, escaped, sizeof(escaped));
        } else if (p[i] < 0x20) {
            coh_buf_printf(out, "\\u%04x", p[i]);
        } else if (len == 0) {
            coh_buf_put_u8(out, '?');
        } else {
            coh_buf_put(out, p + i, len);
        }
        i += len == 0 ? 1 : len;
    }
    coh_buf_put_u8(out, '"');
}

/* ---- reading ---- */

/* bad sets the fault of argument idx. */
COH_PRINTF(3, 4) static bool bad(coh_rpc_fault_t *fault, unsigned idx, char const *fmt, ...)
{
    char text[COH_RPC_FAULT_MAX - 32];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return coh_rpc_fault(fault, COH_RPC_PARAMS, "invalid argument %u: %s", idx, text);
}

bool coh_rpc_fault_type(coh_rpc_fault_t *fault, unsigned idx, json_t const *v, char const *type)
{
    char const *is = json_is_string(v)    ? "string"
                     : json_is_number(v)  ? "number"
                     : json_is_boolean(v) ? "bool"
                     : json_is_array(v)   ? "array"
                     : json_is_object(v)  ? "object"
                                          : "null";
    return bad(fault, idx, "json: cannot unmarshal %s into Go value of type %s", is, type);
}

static bool is_hex(char const *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool ok = (p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f') ||
                  (p[i] >= 'A' && p[i] <= 'F');
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* hex_of finds the digits behind 0x. type: as geth names it. */
static bool hex_of(char const **digits_out,
                   size_t *n_out,
                   json_t const *v,
                   char const *type,
                   unsigned idx,
                   coh_rpc_fault_t *fault)
{
    if (v == NULL) {
        return coh_rpc_fault(fault, COH_RPC_PARAMS, "missing value for required argument %u", idx);
    }
    if (!json_is_string(v)) {
        return bad(fault, idx, "json: cannot unmarshal non-string into Go value of type %s", type);
    }
    char const *p = json_string_value(v);
    size_t n      = json_string_length(v);
    if (n == 0) { /* no digits: geth lets that pass for nothing or 0 */
        *digits_out = p;
        *n_out      = 0;
        return true;
    }
    if (n < 2 || p[0] != '0' || (p[1] != 'x' && p[1] != 'X')) {
        return bad(fault, idx, "hex string without 0x prefix");
    }
    *digits_out = p + 2;
    *n_out      = n - 2;
    return true;
}

bool coh_rpc_get_u256(coh_u256_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    char const *p;
    size_t n;
    if (!hex_of(&p, &n, v, "*hexutil.Big", idx, fault)) {
        return false;
    }
    if (n == 0 && json_string_length(v) != 0) {
        return bad(fault, idx, "hex string \"0x\"");
    }
    if (n > 1 && p[0] == '0') {
        return bad(fault, idx, "hex number with leading zero digits");
    }
    if (!is_hex(p, n)) {
        return bad(fault, idx, "invalid hex string");
    }
    if (n > 64) {
        return bad(fault, idx, "hex number > 256 bits");
    }
    char padded[64];
    uint8_t be[32];
    memset(padded, '0', sizeof(padded));
    memcpy(padded + sizeof(padded) - n, p, n);
    if (coh_hex_decode(be, sizeof(be), padded, sizeof(padded)) != COH_OK) {
        return bad(fault, idx, "invalid hex string");
    }
    *out = coh_u256_load_be(be);
    return true;
}

bool coh_rpc_get_quantity(uint64_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    coh_u256_t word;
    if (!coh_rpc_get_u256(&word, v, idx, fault)) {
        return false;
    }
    if (!coh_u256_fits_u64(&word)) {
        return bad(fault, idx, "hex number > 64 bits");
    }
    *out = word.w[0];
    return true;
}

bool coh_rpc_get_number(uint64_t *out,
                        json_t const *v,
                        uint64_t max,
                        unsigned idx,
                        coh_rpc_fault_t *fault)
{
    if (v != NULL && json_is_integer(v)) {
        json_int_t n = json_integer_value(v);
        if (n < 0) {
            return bad(fault, idx, "number below 0");
        }
        *out = (uint64_t)n;
    } else if (!coh_rpc_get_quantity(out, v, idx, fault)) {
        return false;
    }
    return *out <= max || bad(fault, idx, "number above %llu", (unsigned long long)max);
}

bool coh_rpc_get_data(coh_buf_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    char const *p;
    size_t n;
    if (!hex_of(&p, &n, v, "hexutil.Bytes", idx, fault)) {
        return false;
    }
    if (n % 2 != 0) {
        return bad(fault, idx, "hex string of odd length");
    }
    return coh_hex_append(out, p, n) == COH_OK || bad(fault, idx, "invalid hex string");
}

static bool get_fixed(uint8_t *out,
                      size_t sz,
                      json_t const *v,
                      char const *type,
                      unsigned idx,
                      coh_rpc_fault_t *fault)
{
    char const *p;
    size_t n;
    if (!hex_of(&p, &n, v, type, idx, fault)) {
        return false;
    }
    if (n % 2 != 0) {
        return bad(fault, idx, "hex string of odd length");
    }
    if (n != 2 * sz) {
        return bad(fault, idx, "hex string has length %zu, want %zu for %s", n, 2 * sz, type);
    }
    return coh_hex_decode(out, sz, p, n) == COH_OK || bad(fault, idx, "invalid hex string");
}

bool coh_rpc_get_addr(coh_addr_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    return get_fixed(out->b, sizeof(out->b), v, "common.Address", idx, fault);
}

bool coh_rpc_get_hash(coh_hash_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    return get_fixed(out->b, sizeof(out->b), v, "common.Hash", idx, fault);
}

bool coh_rpc_get_slot(coh_u256_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    char const *p;
    size_t n;
    if (!hex_of(&p, &n, v, "common.Hash", idx, fault)) {
        return false;
    }
    char padded[64];
    uint8_t be[32];
    if (n > sizeof(padded)) {
        return coh_rpc_fault(
            fault,
            COH_RPC_PARAMS,
            "unable to decode storage key: hex string too long, want at most 32 bytes");
    }
    memset(padded, '0', sizeof(padded));
    memcpy(padded + sizeof(padded) - n, p, n);
    if (coh_hex_decode(be, sizeof(be), padded, sizeof(padded)) != COH_OK) {
        return coh_rpc_fault(
            fault, COH_RPC_PARAMS, "unable to decode storage key: hex string invalid");
    }
    *out = coh_u256_load_be(be);
    return true;
}

bool coh_rpc_get_bool(bool *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    if (!json_is_boolean(v) && !json_is_null(v)) {
        return coh_rpc_fault_type(fault, idx, v, "bool");
    }
    *out = json_is_true(v);
    return true;
}

static bool get_tag(coh_rpc_at_t *out, json_t const *v)
{
    static struct {
        char const *name;
        coh_rpc_at_kind_t kind;
    } const tags[] = {
        {"latest", COH_RPC_AT_LATEST},
        {"safe", COH_RPC_AT_LATEST},
        {"finalized", COH_RPC_AT_LATEST},
        {"pending", COH_RPC_AT_PENDING},
        {"earliest", COH_RPC_AT_EARLIEST},
    };
    for (size_t i = 0; i < COH_CNT(tags); i++) {
        if (json_is_string(v) && strcmp(json_string_value(v), tags[i].name) == 0) {
            out->kind = tags[i].kind;
            return true;
        }
    }
    return false;
}

/* A number as geth's rpc.BlockNumber reads it. */
static bool get_number(coh_rpc_at_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    out->kind = COH_RPC_AT_NUMBER;
    if (!json_is_string(v)) {
        return json_is_integer(v) ? bad(fault, idx, "hex string without 0x prefix")
                                  : coh_rpc_fault_type(fault, idx, v, "rpc.BlockNumber");
    }
    if (json_string_length(v) == 0) {
        return bad(fault, idx, "empty hex string");
    }
    coh_u256_t word;
    if (json_string_length(v) > 66 || !coh_rpc_get_u256(&word, v, idx, fault)) {
        return json_string_length(v) > 66 ? bad(fault, idx, "hex number > 64 bits") : false;
    }
    if (!coh_u256_fits_u64(&word)) {
        return bad(fault, idx, "hex number > 64 bits");
    }
    out->number = word.w[0];
    return out->number <= INT64_MAX || bad(fault, idx, "block number larger than int64");
}

bool coh_rpc_get_block_number(coh_rpc_at_t *out,
                              json_t const *v,
                              unsigned idx,
                              coh_rpc_fault_t *fault)
{
    *out = (coh_rpc_at_t){.kind = COH_RPC_AT_LATEST};
    return v == NULL || json_is_null(v) || get_tag(out, v) || get_number(out, v, idx, fault);
}

bool coh_rpc_get_block(coh_rpc_at_t *out, json_t const *v, unsigned idx, coh_rpc_fault_t *fault)
{
    *out = (coh_rpc_at_t){.kind = COH_RPC_AT_LATEST};
    if (v == NULL || json_is_null(v) || get_tag(out, v)) {
        return true;
    }
    if (json_is_object(v)) {
        json_t const *number = json_object_get(v, "blockNumber");
        json_t const *hash   = json_object_get(v, "blockHash");
        if (number == NULL && hash == NULL) {
            return coh_rpc_fault(
                fault, COH_RPC_SERVER, "invalid arguments; neither block nor hash specified");
        }
        if (number != NULL && hash != NULL) {
            return bad(fault,
                       idx,
                       "cannot specify both BlockHash and BlockNumber, choose one or the other");
        }
        if (hash != NULL) {
            out->kind = COH_RPC_AT_HASH;
            return coh_rpc_get_hash(&out->hash, hash, idx, fault);
        }
        if (get_tag(out, number)) {
            return true;
        }
        v = number;
    }
    if (json_is_string(v) && json_string_length(v) == 66) {
        out->kind = COH_RPC_AT_HASH;
        return coh_rpc_get_hash(&out->hash, v, idx, fault);
    }
    return get_number(out, v, idx, fault);
}
