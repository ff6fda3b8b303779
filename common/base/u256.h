/* u256.h: 256-bit words, four 64-bit limbs, least significant first. Arithmetic is modulo 2^256; where overflow
   matters the function returns the carry. The words that the EVM sees are here too, with its semantics (Yellow
   Paper, appendix H): division by zero is zero, shifts of 256 and more leave nothing.

   Unless a function says otherwise, out may be any of the operands, and it is written in full. No function
   allocates or fails; all may run on any thread. What is a few instructions is inline; division and powers are
   in u256.c. Limb by limb code is written out, not looped: then gcc and clang keep carries in the flag. */
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

/* coh_u64_addc returns a + b + *carry, coh_u64_subb a - b - *borrow; both leave the new carry, 0 or 1. gcc 12
   makes adc and sbb of its builtins only, clang also of its own. */
static inline uint64_t coh_u64_addc(uint64_t a, uint64_t b, unsigned char *carry)
{
#if defined(__x86_64__)
    unsigned long long sum;
    *carry = __builtin_ia32_addcarryx_u64(*carry, a, b, &sum);
    return sum;
#else
    coh_u128_t sum = (coh_u128_t)a + b + *carry;
    *carry         = (unsigned char)(sum >> 64);
    return (uint64_t)sum;
#endif
}

static inline uint64_t coh_u64_subb(uint64_t a, uint64_t b, unsigned char *borrow)
{
#if defined(__x86_64__)
    unsigned long long rest;
#if defined(__clang__)
    *borrow = __builtin_ia32_subborrow_u64(*borrow, a, b, &rest);
#else
    *borrow = __builtin_ia32_sbb_u64(*borrow, a, b, &rest);
#endif
    return rest;
#else
    coh_u128_t rest = (coh_u128_t)a - b - *borrow;
    *borrow         = (unsigned char)(rest >> 64) & 1;
    return (uint64_t)rest;
#endif
}

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
    unsigned char borrow = 0;
    (void)coh_u64_subb(a->w[0], b->w[0], &borrow);
    (void)coh_u64_subb(a->w[1], b->w[1], &borrow);
    (void)coh_u64_subb(a->w[2], b->w[2], &borrow);
    (void)coh_u64_subb(a->w[3], b->w[3], &borrow);
    return borrow != 0;
}

/* True if a is below b, both in two's complement. */
static inline bool coh_u256_slt(coh_u256_t const *a, coh_u256_t const *b)
{
    uint64_t const sign  = UINT64_C(1) << 63;
    unsigned char borrow = 0;
    (void)coh_u64_subb(a->w[0], b->w[0], &borrow);
    (void)coh_u64_subb(a->w[1], b->w[1], &borrow);
    (void)coh_u64_subb(a->w[2], b->w[2], &borrow);
    (void)coh_u64_subb(a->w[3] ^ sign, b->w[3] ^ sign, &borrow);
    return borrow != 0;
}

static inline bool coh_u256_fits_u64(coh_u256_t const *a)
{
    return (a->w[1] | a->w[2] | a->w[3]) == 0;
}

/* True if the word is below 0 in two's complement. */
static inline bool coh_u256_is_negative(coh_u256_t const *a) { return a->w[3] >> 63 != 0; }

static inline void coh_u256_and(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    *out =
        (coh_u256_t){{a->w[0] & b->w[0], a->w[1] & b->w[1], a->w[2] & b->w[2], a->w[3] & b->w[3]}};
}

static inline void coh_u256_or(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    *out =
        (coh_u256_t){{a->w[0] | b->w[0], a->w[1] | b->w[1], a->w[2] | b->w[2], a->w[3] | b->w[3]}};
}

static inline void coh_u256_xor(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    *out =
        (coh_u256_t){{a->w[0] ^ b->w[0], a->w[1] ^ b->w[1], a->w[2] ^ b->w[2], a->w[3] ^ b->w[3]}};
}

static inline void coh_u256_not(coh_u256_t *out, coh_u256_t const *a)
{
    *out = (coh_u256_t){{~a->w[0], ~a->w[1], ~a->w[2], ~a->w[3]}};
}

/* out = a + b; returns the carry. */
static inline bool coh_u256_add(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    unsigned char carry = 0;
    uint64_t s0         = coh_u64_addc(a->w[0], b->w[0], &carry);
    uint64_t s1         = coh_u64_addc(a->w[1], b->w[1], &carry);
    uint64_t s2         = coh_u64_addc(a->w[2], b->w[2], &carry);
    uint64_t s3         = coh_u64_addc(a->w[3], b->w[3], &carry);
    *out                = (coh_u256_t){{s0, s1, s2, s3}};
    return carry != 0;
}

/* out = a - b; returns the borrow. */
static inline bool coh_u256_sub(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    unsigned char borrow = 0;
    uint64_t s0          = coh_u64_subb(a->w[0], b->w[0], &borrow);
    uint64_t s1          = coh_u64_subb(a->w[1], b->w[1], &borrow);
    uint64_t s2          = coh_u64_subb(a->w[2], b->w[2], &borrow);
    uint64_t s3          = coh_u64_subb(a->w[3], b->w[3], &borrow);
    *out                 = (coh_u256_t){{s0, s1, s2, s3}};
    return borrow != 0;
}

/* *lo = low limb of a * b + c + d, which is below 2^128; returns the high limb. */
static inline uint64_t coh_u64_mul_add2(uint64_t *lo,
                                        uint64_t a,
                                        uint64_t b,
                                        uint64_t c,
                                        uint64_t d)
{
    coh_u128_t t = (coh_u128_t)a * b + c + d;
    *lo          = (uint64_t)t;
    return (uint64_t)(t >> 64);
}

/* out = a * m; returns true on overflow. */
static inline bool coh_u256_mul_u64(coh_u256_t *out, coh_u256_t const *a, uint64_t m)
{
    uint64_t c = 0;
    c          = coh_u64_mul_add2(&out->w[0], a->w[0], m, c, 0);
    c          = coh_u64_mul_add2(&out->w[1], a->w[1], m, c, 0);
    c          = coh_u64_mul_add2(&out->w[2], a->w[2], m, c, 0);
    c          = coh_u64_mul_add2(&out->w[3], a->w[3], m, c, 0);
    return c != 0;
}

/* *lo = low limb of a * b; returns the high limb. */
static inline uint64_t coh_u64_mul(uint64_t *lo, uint64_t a, uint64_t b)
{
    coh_u128_t t = (coh_u128_t)a * b;
    *lo          = (uint64_t)t;
    return (uint64_t)(t >> 64);
}

/* out = a * b mod 2^256. */
static inline void coh_u256_mul(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    uint64_t const a0 = a->w[0], a1 = a->w[1], a2 = a->w[2];
    uint64_t const b0 = b->w[0], b1 = b->w[1], b2 = b->w[2];
    uint64_t r0, r1, r2, l0, l1;
    unsigned char c = 0;
    uint64_t r3     = a0 * b->w[3] + a1 * b2 + a2 * b1 + a->w[3] * b0;
    uint64_t h0     = coh_u64_mul(&r0, a0, b0);
    uint64_t h1     = coh_u64_mul(&r1, a0, b1);
    uint64_t h2     = coh_u64_mul(&r2, a0, b2);
    r1              = coh_u64_addc(r1, h0, &c);
    r2              = coh_u64_addc(r2, h1, &c);
    r3              = coh_u64_addc(r3, h2, &c);
    h0              = coh_u64_mul(&l0, a1, b0);
    h1              = coh_u64_mul(&l1, a1, b1);
    c               = 0;
    r1              = coh_u64_addc(r1, l0, &c);
    r2              = coh_u64_addc(r2, h0, &c);
    r3              = coh_u64_addc(r3, h1, &c);
    h0              = coh_u64_mul(&l0, a2, b0);
    c               = 0;
    r2              = coh_u64_addc(r2, l1, &c);
    r3              = coh_u64_addc(r3, h0, &c);
    c               = 0;
    r2              = coh_u64_addc(r2, l0, &c);
    r3              = coh_u64_addc(r3, 0, &c);
    *out            = (coh_u256_t){{r0, r1, r2, r3}};
}

/* r[0..4] += x * b, where r[4] is not read. */
static inline void coh_u256_mul_row(uint64_t r[5], uint64_t x, coh_u256_t const *b)
{
    uint64_t l0, l1, l2, l3;
    uint64_t h0     = coh_u64_mul(&l0, x, b->w[0]);
    uint64_t h1     = coh_u64_mul(&l1, x, b->w[1]);
    uint64_t h2     = coh_u64_mul(&l2, x, b->w[2]);
    uint64_t h3     = coh_u64_mul(&l3, x, b->w[3]);
    unsigned char c = 0;
    l1              = coh_u64_addc(l1, h0, &c);
    l2              = coh_u64_addc(l2, h1, &c);
    l3              = coh_u64_addc(l3, h2, &c);
    h3              = coh_u64_addc(h3, 0, &c);
    c               = 0;
    r[0]            = coh_u64_addc(r[0], l0, &c);
    r[1]            = coh_u64_addc(r[1], l1, &c);
    r[2]            = coh_u64_addc(r[2], l2, &c);
    r[3]            = coh_u64_addc(r[3], l3, &c);
    r[4]            = coh_u64_addc(h3, 0, &c);
}

/* out = a * b, eight limbs, least significant first. out must not overlap a or b. */
static inline void coh_u256_mul_wide(uint64_t out[8], coh_u256_t const *a, coh_u256_t const *b)
{
    out[0] = 0, out[1] = 0, out[2] = 0, out[3] = 0;
    coh_u256_mul_row(out, a->w[0], b);
    coh_u256_mul_row(out + 1, a->w[1], b);
    coh_u256_mul_row(out + 2, a->w[2], b);
    coh_u256_mul_row(out + 3, a->w[3], b);
}

/* quot = a / b, rem = a mod b; b must not be 0. quot and rem may be a or b, but not each other. */
void coh_u256_divmod(coh_u256_t *quot, coh_u256_t *rem, coh_u256_t const *a, coh_u256_t const *b);

/* out = a / m, returns a mod m; m must not be 0. */
uint64_t coh_u256_divmod_u64(coh_u256_t *out, coh_u256_t const *a, uint64_t m);

/* DIV, MOD: 0 if b is 0. */
void coh_u256_div(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b);
void coh_u256_mod(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b);

/* SDIV, SMOD: two's complement, the quotient cut towards zero, the remainder with the sign of a; 0 if b is 0.
   -2^255 / -1 is -2^255. */
void coh_u256_sdiv(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b);
void coh_u256_smod(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b);

/* ADDMOD, MULMOD: (a + b) mod m and a * b mod m, the sum and the product not cut at 2^256; 0 if m is 0. */
void coh_u256_addmod(coh_u256_t *out,
                     coh_u256_t const *a,
                     coh_u256_t const *b,
                     coh_u256_t const *m);
void coh_u256_mulmod(coh_u256_t *out,
                     coh_u256_t const *a,
                     coh_u256_t const *b,
                     coh_u256_t const *m);

/* EXP: base to the exponent, mod 2^256; 0^0 is 1. */
void coh_u256_exp(coh_u256_t *out, coh_u256_t const *base, coh_u256_t const *exponent);

/* Leading zero bits, 256 for zero: CLZ (EIP-7939). */
static inline uint32_t coh_u256_clz(coh_u256_t const *a)
{
    uint32_t above = 0;
    uint64_t top   = a->w[3];
    for (int i = 2; i >= 0 && top == 0; i--) {
        top = a->w[i];
        above += 64;
    }
    return top == 0 ? 256 : above + (uint32_t)__builtin_clzll(top);
}

/* Bits of the shortest binary form; 0 for zero. */
static inline uint32_t coh_u256_bit_len(coh_u256_t const *a) { return 256 - coh_u256_clz(a); }

/* BYTE: octet i of x counted from the most significant one; 0 for i of 32 and more. */
static inline void coh_u256_byte(coh_u256_t *out, coh_u256_t const *i, coh_u256_t const *x)
{
    bool inside  = coh_u256_fits_u64(i) && i->w[0] < 32;
    uint64_t at  = 31 - (i->w[0] & 31);
    uint64_t bit = at % 8 * 8;
    uint64_t v   = x->w[at / 8] >> bit & 0xff;
    *out         = coh_u256(inside ? v : 0);
}

/* SIGNEXTEND: octet pos of x, counted from the least significant one, holds the sign of what is below; x itself
   for pos of 31 and more. */
static inline void coh_u256_signextend(coh_u256_t *out, coh_u256_t const *pos, coh_u256_t const *x)
{
    if (!coh_u256_fits_u64(pos) || pos->w[0] >= 31) {
        *out = *x;
        return;
    }
    uint64_t at       = pos->w[0] / 8;
    uint64_t up       = 56 - pos->w[0] % 8 * 8;
    uint64_t limb     = (uint64_t)((int64_t)(x->w[at] << up) >> up);
    uint64_t sign     = (uint64_t)((int64_t)limb >> 63);
    uint64_t const w0 = x->w[0], w1 = x->w[1], w2 = x->w[2];
    *out = (coh_u256_t){{at == 0 ? limb : w0,
                         at == 1 ? limb : (at > 1 ? w1 : sign),
                         at == 2 ? limb : (at > 2 ? w2 : sign),
                         at == 3 ? limb : sign}};
}

/* Limb i of x, inverted where flip has ones; 0 for i of 4 and more. No branch; and no copy of x among zeros to load from: that would wait for the
   copy to reach the cache. */
static inline uint64_t coh_u256_limb(coh_u256_t const *x, uint64_t i, uint64_t flip)
{
    uint64_t const inside = 0 - (uint64_t)(i < 4);
    return (x->w[i & 3] ^ flip) & inside;
}

/* The low limb of (high, low) shifted right by bits, 0..63. */
static inline uint64_t coh_u64_funnel(uint64_t high, uint64_t low, uint64_t bits)
{
    return low >> bits | high << 1 << (63 - bits);
}

/* out = x shifted right, with fill, 0 or all ones, coming from above. */
static inline void coh_u256_shift_right(coh_u256_t *out,
                                        coh_u256_t const *shift,
                                        coh_u256_t const *x,
                                        uint64_t fill)
{
    if (!coh_u256_fits_u64(shift) || shift->w[0] >= 256) {
        *out = (coh_u256_t){{fill, fill, fill, fill}};
        return;
    }
    uint64_t const limbs = shift->w[0] / 64, bits = shift->w[0] % 64;
    /* Ones come in as zeros do: all is inverted before and after. */
    uint64_t const w0 = x->w[limbs] ^ fill;
    uint64_t const w1 = coh_u256_limb(x, limbs + 1, fill);
    uint64_t const w2 = coh_u256_limb(x, limbs + 2, fill);
    uint64_t const w3 = coh_u256_limb(x, limbs + 3, fill);
    *out              = (coh_u256_t){{coh_u64_funnel(w1, w0, bits) ^ fill,
                                      coh_u64_funnel(w2, w1, bits) ^ fill,
                                      coh_u64_funnel(w3, w2, bits) ^ fill,
                                      w3 >> bits ^ fill}};
}

/* SHR, SAR (EIP-145): x shifted right by shift bits, filled with zeros, with the sign. */
static inline void coh_u256_shr(coh_u256_t *out, coh_u256_t const *shift, coh_u256_t const *x)
{
    coh_u256_shift_right(out, shift, x, 0);
}

static inline void coh_u256_sar(coh_u256_t *out, coh_u256_t const *shift, coh_u256_t const *x)
{
    coh_u256_shift_right(out, shift, x, (uint64_t)((int64_t)x->w[3] >> 63));
}

/* SHL (EIP-145): x shifted left by shift bits; 0 for 256 and more. */
static inline void coh_u256_shl(coh_u256_t *out, coh_u256_t const *shift, coh_u256_t const *x)
{
    if (!coh_u256_fits_u64(shift) || shift->w[0] >= 256) {
        *out = COH_U256_ZERO;
        return;
    }
    uint64_t const limbs = shift->w[0] / 64, bits = shift->w[0] % 64;
    /* A limb below the lowest has an index that wraps to a large one. */
    uint64_t const w0 = coh_u256_limb(x, 0 - limbs, 0);
    uint64_t const w1 = coh_u256_limb(x, 1 - limbs, 0);
    uint64_t const w2 = coh_u256_limb(x, 2 - limbs, 0);
    uint64_t const w3 = x->w[3 - limbs];
    *out              = (coh_u256_t){{w0 << bits,
                                      w1 << bits | w0 >> 1 >> (63 - bits),
                                      w2 << bits | w1 >> 1 >> (63 - bits),
                                      w3 << bits | w2 >> 1 >> (63 - bits)}};
}

/* Exactly 32 big-endian octets, at any alignment. */
static inline coh_u256_t coh_u256_load_be(uint8_t const *p)
{
    return (coh_u256_t){{coh_load_u64_be(p + 24),
                         coh_load_u64_be(p + 16),
                         coh_load_u64_be(p + 8),
                         coh_load_u64_be(p)}};
}

static inline void coh_u256_store_be(uint8_t out[32], coh_u256_t const *a)
{
    coh_store_u64_be(out, a->w[3]);
    coh_store_u64_be(out + 8, a->w[2]);
    coh_store_u64_be(out + 16, a->w[1]);
    coh_store_u64_be(out + 24, a->w[0]);
}

static inline void coh_u256_to_be(uint8_t out[32], coh_u256_t const *a)
{
    coh_u256_store_be(out, a);
}

/* An address is the low 20 octets of a word; the upper 12 are cut off. */
static inline coh_u256_t coh_u256_from_addr(coh_addr_t const *addr)
{
    return (coh_u256_t){{coh_load_u64_be(addr->b + 12),
                         coh_load_u64_be(addr->b + 4),
                         __builtin_bswap32(coh_load_u32_le(addr->b)),
                         0}};
}

static inline coh_addr_t coh_u256_to_addr(coh_u256_t const *a)
{
    coh_addr_t addr;
    coh_store_u32_le(addr.b, __builtin_bswap32((uint32_t)a->w[2]));
    coh_store_u64_be(addr.b + 4, a->w[1]);
    coh_store_u64_be(addr.b + 12, a->w[0]);
    return addr;
}

/* Reads a big-endian number of at most 32 bytes. */
static inline coh_u256_t coh_u256_from_be(uint8_t const *p, size_t n)
{
    uint8_t pad[32] = {0};
    memcpy(pad + 32 - n, p, n);
    return coh_u256_load_be(pad);
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
