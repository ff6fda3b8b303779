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

/* ---- Division ----

   Knuth's algorithm D (The Art of Computer Programming, 4.3.1): one limb of the quotient at a time, estimated from
   the top limbs with the reciprocal of the divisor. Reciprocals and the quotients made with them follow
   N. Moeller, T. Granlund, "Improved division by invariant integers", IEEE Transactions on Computers 60 (2011).

   A divisor here is normalised: its top limb has its top bit set. A step takes the remainder so far, below the
   divisor, and the next limb of the dividend; it leaves the new remainder and returns a limb of the quotient. */

static inline uint64_t hi(coh_u128_t v) { return (uint64_t)(v >> 64); }

static inline coh_u128_t pair(uint64_t high, uint64_t low) { return (coh_u128_t)high << 64 | low; }

/* The quotient of (*r, u) by d, with *r below d; *r becomes the remainder. The processor's own division: those of the
   last years do it faster than products with a reciprocal that first has to be made. */
static inline uint64_t step1(uint64_t *r, uint64_t u, uint64_t d)
{
#if defined(__x86_64__)
    uint64_t q;
    __asm__("divq %4" : "=a"(q), "=d"(*r) : "a"(u), "d"(*r), "r"(d) : "cc");
    return q;
#else
    coh_u128_t const v = pair(*r, u);
    *r                 = (uint64_t)(v % d);
    return (uint64_t)(v / d);
#endif
}

/* (2^128 - 1) / d - 2^64. */
static inline uint64_t reciprocal1(uint64_t d)
{
    uint64_t r = ~d;
    return step1(&r, UINT64_MAX, d);
}

/* (2^192 - 1) / (d1, d0) - 2^64: algorithm 6. */
static inline uint64_t reciprocal2(uint64_t d1, uint64_t d0)
{
    uint64_t v = reciprocal1(d1);
    uint64_t p = d1 * v + d0;
    if (p < d0) {
        v--;
        if (p >= d1) {
            v--;
            p -= d1;
        }
        p -= d1;
    }
    coh_u128_t t = (coh_u128_t)v * d0;
    p += hi(t);
    if (p < hi(t)) {
        v--;
        if (COH_UNLIKELY(pair(p, (uint64_t)t) >= pair(d1, d0))) {
            v--;
        }
    }
    return v;
}

/* Algorithm 5: the quotient of (r, u) by a divisor of two limbs; *r becomes the remainder. */
static inline uint64_t step2(coh_u128_t *r, uint64_t u, uint64_t d1, uint64_t d0, uint64_t v)
{
    coh_u128_t const d = pair(d1, d0);
    coh_u128_t q       = (coh_u128_t)v * hi(*r) + *r;
    uint64_t q1        = hi(q);
    uint64_t top       = (uint64_t)*r - q1 * d1;
    coh_u128_t rem     = pair(top, u) - (coh_u128_t)d0 * q1 - d;
    bool over          = hi(rem) >= (uint64_t)q;
    q1 += 1 - (uint64_t)over;
    rem += over ? d : 0;
    if (COH_UNLIKELY(rem >= d)) {
        q1++;
        rem -= d;
    }
    *r = rem;
    return q1;
}

static inline uint64_t step3(uint64_t r[3], uint64_t u, uint64_t const d[3], uint64_t v)
{
    unsigned char carry = 0;
    if (COH_UNLIKELY(r[2] == d[2] && r[1] == d[1])) {
        /* The quotient is 2^64 - 1: (r - d) * 2^64 + u + d is left. */
        uint64_t t0 = coh_u64_addc(u, d[0], &carry);
        uint64_t t1 = coh_u64_addc(r[0] - d[0], d[1], &carry);
        uint64_t t2 = coh_u64_addc(hi(pair(r[1], r[0]) - pair(d[1], d[0])), d[2], &carry);
        r[0] = t0, r[1] = t1, r[2] = t2;
        return UINT64_MAX;
    }
    coh_u128_t top = pair(r[2], r[1]);
    uint64_t q     = step2(&top, r[0], d[2], d[1], v);
    coh_u128_t p   = (coh_u128_t)q * d[0];
    r[0]           = coh_u64_subb(u, (uint64_t)p, &carry);
    r[1]           = coh_u64_subb((uint64_t)top, hi(p), &carry);
    r[2]           = coh_u64_subb(hi(top), 0, &carry);
    if (COH_UNLIKELY(carry)) {
        q--;
        carry = 0;
        r[0]  = coh_u64_addc(r[0], d[0], &carry);
        r[1]  = coh_u64_addc(r[1], d[1], &carry);
        r[2]  = coh_u64_addc(r[2], d[2], &carry);
    }
    return q;
}

static inline uint64_t step4(coh_u256_t *r, uint64_t u, coh_u256_t const *d, uint64_t v)
{
    unsigned char carry = 0;
    if (COH_UNLIKELY(r->w[3] == d->w[3] && r->w[2] == d->w[2])) {
        /* As in step3. */
        coh_u256_t rest;
        (void)coh_u256_sub(&rest, r, d);
        rest = (coh_u256_t){{u, rest.w[0], rest.w[1], rest.w[2]}};
        (void)coh_u256_add(r, &rest, d);
        return UINT64_MAX;
    }
    coh_u128_t top = pair(r->w[3], r->w[2]);
    uint64_t q     = step2(&top, r->w[1], d->w[3], d->w[2], v);
    uint64_t p0, p1, p2;
    p2          = coh_u64_mul_add2(&p0, q, d->w[0], 0, 0);
    p2          = coh_u64_mul_add2(&p1, q, d->w[1], p2, 0);
    uint64_t t0 = coh_u64_subb(u, p0, &carry);
    uint64_t t1 = coh_u64_subb(r->w[0], p1, &carry);
    uint64_t t2 = coh_u64_subb((uint64_t)top, p2, &carry);
    uint64_t t3 = coh_u64_subb(hi(top), 0, &carry);
    *r          = (coh_u256_t){{t0, t1, t2, t3}};
    if (COH_UNLIKELY(carry)) {
        q--;
        (void)coh_u256_add(r, r, d);
    }
    return q;
}

/* Limbs up to the highest one that is not 0. */
static inline int significant(uint64_t const *a, int cnt)
{
    while (cnt > 0 && a[cnt - 1] == 0) {
        cnt--;
    }
    return cnt;
}

/* Divides u[0..cnt] by d of n limbs, 2 to 4, with n <= cnt <= 8; the top limbs of u are below d, as they are when u was shifted
   left with d. Stores cnt + 1 - n limbs of the quotient at q, none if q is NULL, and the remainder. */
static inline void divide(uint64_t *q,
                          coh_u256_t *r,
                          uint64_t const *u,
                          int cnt,
                          coh_u256_t const *d,
                          int n)
{
    uint64_t digit;
    if (n == 2) {
        uint64_t const v = reciprocal2(d->w[1], d->w[0]);
        coh_u128_t rem   = pair(u[cnt], u[cnt - 1]);
        for (int i = cnt - 2; i >= 0; i--) {
            digit = step2(&rem, u[i], d->w[1], d->w[0], v);
            if (q != NULL) {
                q[i] = digit;
            }
        }
        *r = (coh_u256_t){{(uint64_t)rem, hi(rem), 0, 0}};
    } else if (n == 3) {
        uint64_t const v = reciprocal2(d->w[2], d->w[1]);
        uint64_t rem[3]  = {u[cnt - 2], u[cnt - 1], u[cnt]};
        for (int i = cnt - 3; i >= 0; i--) {
            digit = step3(rem, u[i], d->w, v);
            if (q != NULL) {
                q[i] = digit;
            }
        }
        *r = (coh_u256_t){{rem[0], rem[1], rem[2], 0}};
    } else {
        uint64_t const v = reciprocal2(d->w[3], d->w[2]);
        coh_u256_t rem   = {{u[cnt - 3], u[cnt - 2], u[cnt - 1], u[cnt]}};
        int i            = cnt - 4;
        for (; i >= 0; i--) {
            digit = step4(&rem, u[i], d, v);
            if (q != NULL) {
                q[i] = digit;
            }
        }
        *r = rem;
    }
}

static inline uint64_t funnel_left(uint64_t high, uint64_t low, unsigned bits)
{
    return high << bits | low >> 1 >> (63 - bits);
}

static inline void shift_left(coh_u256_t *out, coh_u256_t const *a, unsigned bits)
{
    *out = (coh_u256_t){{a->w[0] << bits,
                         funnel_left(a->w[1], a->w[0], bits),
                         funnel_left(a->w[2], a->w[1], bits),
                         funnel_left(a->w[3], a->w[2], bits)}};
}

static inline void shift_right(coh_u256_t *out, coh_u256_t const *a, unsigned bits)
{
    *out = (coh_u256_t){{coh_u64_funnel(a->w[1], a->w[0], bits),
                         coh_u64_funnel(a->w[2], a->w[1], bits),
                         coh_u64_funnel(a->w[3], a->w[2], bits),
                         a->w[3] >> bits}};
}

/* out = the limbs a[0..cnt-1] shifted left; cnt + 1 limbs, cnt at least 1. */
static inline void shift_left_many(uint64_t *out, uint64_t const *a, int cnt, unsigned bits)
{
    out[cnt] = funnel_left(0, a[cnt - 1], bits);
    for (int i = cnt - 1; i > 0; i--) {
        out[i] = funnel_left(a[i], a[i - 1], bits);
    }
    out[0] = a[0] << bits;
}

uint64_t coh_u256_divmod_u64(coh_u256_t *out, coh_u256_t const *a, uint64_t m)
{
    uint64_t r  = 0;
    uint64_t q3 = step1(&r, a->w[3], m);
    uint64_t q2 = step1(&r, a->w[2], m);
    uint64_t q1 = step1(&r, a->w[1], m);
    uint64_t q0 = step1(&r, a->w[0], m);
    *out        = (coh_u256_t){{q0, q1, q2, q3}};
    return r;
}

void coh_u256_divmod(coh_u256_t *quot, coh_u256_t *rem, coh_u256_t const *a, coh_u256_t const *b)
{
    if (coh_u256_fits_u64(b)) {
        uint64_t const m = b->w[0];
        if (coh_u256_fits_u64(a)) {
            uint64_t const v = a->w[0];
            *quot            = coh_u256(v / m);
            *rem             = coh_u256(v % m);
        } else {
            uint64_t r = coh_u256_divmod_u64(quot, a, m);
            *rem       = coh_u256(r);
        }
        return;
    }
    if (coh_u256_lt(a, b)) {
        *rem  = *a;
        *quot = COH_U256_ZERO;
        return;
    }
    int const n         = significant(b->w, 4);
    int const cnt       = significant(a->w, 4);
    unsigned const bits = (unsigned)__builtin_clzll(b->w[n - 1]);
    uint64_t u[5];
    coh_u256_t d;
    coh_u256_t q = COH_U256_ZERO;
    coh_u256_t r;
    shift_left(&d, b, bits);
    shift_left_many(u, a->w, cnt, bits);
    if (n == 2) {
        divide(q.w, &r, u, cnt, &d, 2);
    } else if (n == 3) {
        divide(q.w, &r, u, cnt, &d, 3);
    } else {
        divide(q.w, &r, u, cnt, &d, 4);
    }
    *quot = q;
    shift_right(rem, &r, bits);
}

void coh_u256_div(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    if (coh_u256_is_zero(b)) {
        *out = COH_U256_ZERO;
        return;
    }
    coh_u256_t rem;
    coh_u256_divmod(out, &rem, a, b);
}

void coh_u256_mod(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    if (coh_u256_is_zero(b)) {
        *out = COH_U256_ZERO;
        return;
    }
    coh_u256_t quot;
    coh_u256_divmod(&quot, out, a, b);
}

/* out = a, or -a if minus. */
static inline void negate_if(coh_u256_t *out, coh_u256_t const *a, bool minus)
{
    uint64_t const all    = 0 - (uint64_t)minus;
    coh_u256_t const ones = {{all, all, all, all}};
    coh_u256_xor(out, a, &ones);
    (void)coh_u256_sub(out, out, &ones);
}

void coh_u256_sdiv(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    bool const a_minus = coh_u256_is_negative(a);
    bool const b_minus = coh_u256_is_negative(b);
    coh_u256_t x, y;
    negate_if(&x, a, a_minus);
    negate_if(&y, b, b_minus);
    coh_u256_div(&x, &x, &y);
    negate_if(out, &x, a_minus != b_minus);
}

void coh_u256_smod(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b)
{
    bool const a_minus = coh_u256_is_negative(a);
    coh_u256_t x, y;
    negate_if(&x, a, a_minus);
    negate_if(&y, b, coh_u256_is_negative(b));
    coh_u256_mod(&x, &x, &y);
    negate_if(out, &x, a_minus);
}

/* out = x mod m; x of cnt limbs, 4..8, m not 0. */
static inline void reduce(coh_u256_t *out, uint64_t const *x, int cnt, coh_u256_t const *m)
{
    int const n = significant(m->w, 4);
    cnt         = significant(x, cnt);
    if (cnt < n) {
        *out = (coh_u256_t){{x[0], x[1], x[2], x[3]}};
        return;
    }
    if (n == 1) {
        uint64_t rem = 0;
        for (int i = cnt - 1; i >= 0; i--) {
            (void)step1(&rem, x[i], m->w[0]);
        }
        *out = coh_u256(rem);
        return;
    }
    unsigned const bits = (unsigned)__builtin_clzll(m->w[n - 1]);
    uint64_t u[9];
    coh_u256_t d, r;
    shift_left(&d, m, bits);
    shift_left_many(u, x, cnt, bits);
    /* The top limb of the quotient is often known to be 0: always for products of what is below m. */
    if (cnt > n && u[cnt] == 0 && u[cnt - 1] < d.w[n - 1]) {
        cnt--;
    }
    if (n == 4) {
        divide(NULL, &r, u, cnt, &d, 4);
    } else if (n == 3) {
        divide(NULL, &r, u, cnt, &d, 3);
    } else {
        divide(NULL, &r, u, cnt, &d, 2);
    }
    shift_right(out, &r, bits);
}

/* v - m if v, with carry above it, is at least m. */
static inline void subtract_once(coh_u256_t *v, bool carry, coh_u256_t const *m)
{
    coh_u256_t less;
    bool const below    = coh_u256_sub(&less, v, m) && !carry;
    uint64_t const keep = 0 - (uint64_t)below;
    v->w[0]             = (v->w[0] & keep) | (less.w[0] & ~keep);
    v->w[1]             = (v->w[1] & keep) | (less.w[1] & ~keep);
    v->w[2]             = (v->w[2] & keep) | (less.w[2] & ~keep);
    v->w[3]             = (v->w[3] & keep) | (less.w[3] & ~keep);
}

void coh_u256_addmod(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b, coh_u256_t const *m)
{
    uint64_t const top = m->w[3];
    if (top != 0 && a->w[3] <= top && b->w[3] <= top) {
        /* a and b are below 2 * m. */
        coh_u256_t x = *a;
        coh_u256_t y = *b;
        subtract_once(&x, false, m);
        subtract_once(&y, false, m);
        bool carry = coh_u256_add(&x, &x, &y);
        subtract_once(&x, carry, m);
        *out = x;
        return;
    }
    if (coh_u256_is_zero(m)) {
        *out = COH_U256_ZERO;
        return;
    }
    coh_u256_t sum;
    bool const carry    = coh_u256_add(&sum, a, b);
    uint64_t const x[5] = {sum.w[0], sum.w[1], sum.w[2], sum.w[3], carry};
    reduce(out, x, 5, m);
}

void coh_u256_mulmod(coh_u256_t *out, coh_u256_t const *a, coh_u256_t const *b, coh_u256_t const *m)
{
    if (coh_u256_is_zero(m)) {
        *out = COH_U256_ZERO;
        return;
    }
    uint64_t x[8];
    coh_u256_mul_wide(x, a, b);
    reduce(out, x, 8, m);
}

/* ---- Powers ---- */

/* out = a * a mod 2^256: six products instead of the ten of coh_u256_mul. */
static inline void square(coh_u256_t *out, coh_u256_t const *a)
{
    uint64_t const a0 = a->w[0], a1 = a->w[1], a2 = a->w[2], a3 = a->w[3];
    coh_u128_t const p00 = (coh_u128_t)a0 * a0;
    coh_u128_t const p01 = (coh_u128_t)a0 * a1;
    coh_u128_t const p02 = (coh_u128_t)a0 * a2 + hi(p01);
    uint64_t const p03   = a0 * a3 + a1 * a2 + hi(p02);
    /* Twice the mixed products, then the squares. */
    uint64_t const m1 = (uint64_t)p01, m2 = (uint64_t)p02;
    coh_u128_t const p11 = (coh_u128_t)a1 * a1;
    unsigned char carry  = 0;
    uint64_t r1          = coh_u64_addc(m1 << 1, hi(p00), &carry);
    uint64_t r2          = coh_u64_addc(m2 << 1 | m1 >> 63, (uint64_t)p11, &carry);
    uint64_t r3          = coh_u64_addc(p03 << 1 | m2 >> 63, hi(p11), &carry);
    *out                 = (coh_u256_t){{(uint64_t)p00, r1, r2, r3}};
}

void coh_u256_exp(coh_u256_t *out, coh_u256_t const *base, coh_u256_t const *exponent)
{
    coh_u256_t power   = *base;
    coh_u256_t const e = *exponent;
    coh_u256_t result  = coh_u256(1);
    uint32_t const cnt = coh_u256_bit_len(&e);
    if ((power.w[0] & 1) == 0 && cnt != 0) {
        /* An even base to the 256th is 0 already; a power of two is a shift. */
        coh_u256_t const one = coh_u256(1);
        coh_u256_t less, both;
        (void)coh_u256_sub(&less, &power, &one);
        coh_u256_and(&both, &power, &less);
        if (cnt > 8 || coh_u256_is_zero(&power)) {
            *out = COH_U256_ZERO;
            return;
        }
        if (coh_u256_is_zero(&both)) {
            coh_u256_t const shift = coh_u256((coh_u256_bit_len(&power) - 1) * e.w[0]);
            coh_u256_shl(out, &shift, &one);
            return;
        }
    }
    /* From the lowest bit, and the product for each bit, needed or not: it runs beside the squaring, and random
       bits cost no mispredicted branch. */
    for (uint32_t i = 0; i < cnt; i++) {
        uint64_t const take = 0 - (e.w[i / 64] >> (i % 64) & 1);
        coh_u256_t product;
        coh_u256_mul(&product, &result, &power);
        square(&power, &power);
        result.w[0] ^= (result.w[0] ^ product.w[0]) & take;
        result.w[1] ^= (result.w[1] ^ product.w[1]) & take;
        result.w[2] ^= (result.w[2] ^ product.w[2]) & take;
        result.w[3] ^= (result.w[3] ^ product.w[3]) & take;
    }
    *out = result;
}
