/* u256.h: 256-bit unsigned words, four 64-bit limbs, least significant first. Arithmetic is modulo 2^256;
   where overflow matters the function returns the carry. */
#ifndef COH_U256_H
#define COH_U256_H

#include "common/base/err.h"

__extension__ typedef unsigned __int128 coh_u128_t;

typedef struct {
    uint64_t w[4];
} coh_u256_t;

#define COH_U256_ZERO ((coh_u256_t){{0, 0, 0, 0}})
/* Longest decimal text of a word, with its NUL. */
#define COH_U256_DEC_SZ 79

static inline coh_u256_t coh_u256(uint64_t v) { return (coh_u256_t){{v, 0, 0, 0}}; }

static inline bool coh_u256_is_zero(coh_u256_t const *a)
{
    return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0;
}

static inline bool coh_u256_eq(coh_u256_t const *a, coh_u256_t const *b)
{
    return ((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2]) |
            (a->w[3] ^ b->w[3])) == 0;
}

/* True if a is below b. */
static inline bool coh_u256_lt(coh_u256_t const *a, coh_u256_t const *b)
{
    for (int i = 3; i >= 0; i--) {
        if (a->w[i] != b->w[i]) {
            return a->w[i] < b->w[i];
        }
    }
    return false;
}

/* out = a + b; returns the carry. out may be a or b. */
static inline bool coh_u256_add(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    coh_u128_t t = 0;
    for (int i = 0; i < 4; i++) {
        t += (coh_u128_t)a->w[i] + b->w[i];
        out->w[i] = (uint64_t)t;
        t >>= 64;
    }
    return t != 0;
}

/* out = a - b; returns the borrow. out may be a or b. */
static inline bool coh_u256_sub(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    uint64_t borrow = 0;
    for (int i = 0; i < 4; i++) {
        coh_u128_t t = (coh_u128_t)a->w[i] - b->w[i] - borrow;
        out->w[i]    = (uint64_t)t;
        borrow       = (uint64_t)(t >> 64) & 1;
    }
    return borrow != 0;
}

/* out = a * m; returns true on overflow. out may be a. */
static inline bool coh_u256_mul_u64(coh_u256_t *out, coh_u256_t const *a, uint64_t m)
{
    coh_u128_t t = 0;
    for (int i = 0; i < 4; i++) {
        t += (coh_u128_t)a->w[i] * m;
        out->w[i] = (uint64_t)t;
        t >>= 64;
    }
    return t != 0;
}

/* out = a / m, returns a mod m; m must not be 0. out may be a. */
static inline uint64_t coh_u256_divmod_u64(coh_u256_t *out, coh_u256_t const *a, uint64_t m)
{
    coh_u128_t rem = 0;
    for (int i = 3; i >= 0; i--) {
        rem       = rem << 64 | a->w[i];
        out->w[i] = (uint64_t)(rem / m);
        rem %= m;
    }
    return (uint64_t)rem;
}

static inline void coh_u256_to_be(uint8_t out[32], coh_u256_t const *a)
{
    for (int i = 0; i < 4; i++) {
        coh_store_u64_be(out + (size_t)8 * (size_t)i, a->w[3 - i]);
    }
}

/* Reads a big-endian number of at most 32 bytes. */
static inline coh_u256_t coh_u256_from_be(uint8_t const *p, size_t n)
{
    uint8_t pad[32] = {0};
    memcpy(pad + 32 - n, p, n);
    coh_u256_t v;
    for (int i = 0; i < 4; i++) {
        v.w[3 - i] = coh_load_u64_be(pad + (size_t)8 * (size_t)i);
    }
    return v;
}

/* Octets of the shortest big-endian form; 0 for zero. */
static inline size_t coh_u256_be_len(coh_u256_t const *a)
{
    for (int i = 3; i >= 0; i--) {
        if (a->w[i] != 0) {
            return (size_t)(8 * (i + 1)) - (size_t)(__builtin_clzll(a->w[i]) / 8);
        }
    }
    return 0;
}

/* coh_u256_to_dec writes decimal text with its NUL. */
void coh_u256_to_dec(char out[COH_U256_DEC_SZ], coh_u256_t const *a);

/* coh_u256_parse reads decimal digits, or hexadecimal ones after 0x; len characters, nothing around them.
   Returns: COH_OK; COH_EMALFORMED no digits or a wrong one; COH_ETOOBIG above 2^256-1 */
coh_err_t coh_u256_parse(coh_u256_t *out, char const *text, size_t len);

#endif
