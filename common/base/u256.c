#include "common/base/u256.h"

void coh_u256_to_dec(char out[COH_U256_DEC_SZ], coh_u256_t const *a)
{
    char digits[COH_U256_DEC_SZ];
    size_t cnt   = 0;
    coh_u256_t v = *a;
    do {
        digits[cnt++] = (char)('0' + coh_u256_divmod_u64(&v, &v, 10));
    } while (!coh_u256_is_zero(&v));
    for (size_t i = 0; i < cnt; i++) {
        out[i] = digits[cnt - 1 - i];
    }
    out[cnt] = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

coh_err_t coh_u256_parse(coh_u256_t *out, char const *text, size_t len)
{
    uint64_t base = 10;
    if (len >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
        len -= 2;
    }
    if (len == 0) {
        return COH_EMALFORMED;
    }
    coh_u256_t v = COH_U256_ZERO;
    for (size_t i = 0; i < len; i++) {
        int d = digit_value(text[i]);
        if (d >= (int)base) {
            return COH_EMALFORMED;
        }
        coh_u256_t add = coh_u256((uint64_t)d);
        if (coh_u256_mul_u64(&v, &v, base) || coh_u256_add(&v, &v, &add)) {
            return COH_ETOOBIG;
        }
    }
    *out = v;
    return COH_OK;
}
