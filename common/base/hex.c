#include "common/base/hex.h"

static char const digits[] = "0123456789abcdef";

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

void coh_hex_encode(char *out, void const *p, size_t n)
{
    uint8_t const *b = p;
    for (size_t i = 0; i < n; i++) {
        out[2 * i]     = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

size_t coh_hex_quantity(char out[COH_HEX_QUANTITY_SZ], coh_u256_t const *v)
{
    uint8_t be[32];
    coh_u256_to_be(be, v);
    size_t n = 0;
    out[n++] = '0';
    out[n++] = 'x';
    for (size_t i = 0; i < 64; i++) {
        unsigned d = (unsigned)(i % 2 == 0 ? be[i / 2] >> 4 : be[i / 2] & 15);
        if (d != 0 || n > 2 || i == 63) {
            out[n++] = digits[d];
        }
    }
    out[n] = '\0';
    return n;
}

static void skip_prefix(char const **text, size_t *len)
{
    if (*len >= 2 && (*text)[0] == '0' && ((*text)[1] == 'x' || (*text)[1] == 'X')) {
        *text += 2;
        *len -= 2;
    }
}

static coh_err_t decode(uint8_t *out, size_t n, char const *text)
{
    for (size_t i = 0; i < n; i++) {
        int hi = digit(text[2 * i]);
        int lo = digit(text[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return COH_EMALFORMED;
        }
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return COH_OK;
}

coh_err_t coh_hex_decode(uint8_t *out, size_t n, char const *text, size_t len)
{
    skip_prefix(&text, &len);
    return len == 2 * n ? decode(out, n, text) : COH_EMALFORMED;
}

coh_err_t coh_hex_append(coh_buf_t *out, char const *text, size_t len)
{
    skip_prefix(&text, &len);
    if (len % 2 != 0) {
        return COH_EMALFORMED;
    }
    size_t old   = out->n;
    coh_err_t rc = decode(coh_buf_extend(out, len / 2), len / 2, text);
    if (rc != COH_OK) {
        out->n = old;
    }
    return rc;
}
