#include "common/evm/revert.h"

#include "common/base/hex.h"
#include "common/base/u256.h"

/* Solidity's documentation, "Panic via assert and Error via require"; the words are geth's. */
static struct {
    uint8_t code;
    char const *text;
} const panics[] = {
    {0x00, "generic panic"},
    {0x01, "assert(false)"},
    {0x11, "arithmetic underflow or overflow"},
    {0x12, "division or modulo by zero"},
    {0x21, "enum overflow"},
    {0x22, "invalid encoded storage byte array accessed"},
    {0x31, "out-of-bounds array access; popping on an empty array"},
    {0x32, "out-of-bounds access of an array or bytesN"},
    {0x41, "out of memory"},
    {0x51, "uninitialized function"},
};

static void put_panic(coh_buf_t *out, uint8_t const *word)
{
    coh_u256_t code = coh_u256_load_be(word);
    for (size_t i = 0; i < COH_CNT(panics); i++) {
        if (coh_u256_fits_u64(&code) && code.w[0] == panics[i].code) {
            coh_buf_printf(out, "%s", panics[i].text);
            return;
        }
    }
    char hex[65];
    coh_hex_encode(hex, word, 32);
    coh_buf_printf(out, "unknown panic code: 0x%s", hex + strspn(hex, "0"));
}

/* in: the arguments of Error(string): offset of the string, which is a length and its octets. */
static bool put_error(coh_buf_t *out, coh_bytes_t in)
{
    coh_u256_t at = coh_u256_load_be(in.p);
    if (!coh_u256_fits_u64(&at) || at.w[0] > in.n - 32) {
        return false;
    }
    coh_u256_t size = coh_u256_load_be(in.p + at.w[0]);
    if (!coh_u256_fits_u64(&size) || size.w[0] > in.n - 32 - at.w[0]) {
        return false;
    }
    coh_buf_put(out, in.p + at.w[0] + 32, size.w[0]);
    return true;
}

bool coh_evm_revert_reason(coh_buf_t *out, coh_bytes_t output)
{
    static uint8_t const error[] = {0x08, 0xc3, 0x79, 0xa0}; /* Error(string) */
    static uint8_t const panic[] = {0x4e, 0x48, 0x7b, 0x71}; /* Panic(uint256) */
    if (output.n >= 4 + 64 && memcmp(output.p, error, 4) == 0) {
        return put_error(out, coh_bytes(output.p + 4, output.n - 4));
    }
    if (output.n >= 4 + 32 && memcmp(output.p, panic, 4) == 0) {
        put_panic(out, output.p + 4);
        return true;
    }
    return false;
}
