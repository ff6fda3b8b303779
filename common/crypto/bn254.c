/* The tower: Fp2 = Fp[u]/(u^2 + 1), Fp6 = Fp2[v]/(v^3 - xi) with xi = 9 + u, Fp12 = Fp6[w]/(w^2 - v).
   G2 is taken on the sextic twist y^2 = x^3 + 3/xi over Fp2; (x, y) -> (x w^2, y w^3) leads back.
   The curve's parameter is t = 4965661367192848881, from which all else follows (Barreto, Naehrig 2005):
   p = 36t^4 + 36t^3 + 24t^2 + 6t + 1, r = 36t^4 + 36t^3 + 18t^2 + 6t + 1. */
#include "common/crypto/bn254.h"

#include "common/base/assert.h"
#include "common/crypto/bn254_fp.h"

typedef coh_bn254_fp_t fp_t;

typedef struct {
    fp_t c0, c1; /* c0 + c1 u */
} fp2_t;

typedef struct {
    fp2_t c0, c1, c2; /* c0 + c1 v + c2 v^2 */
} fp6_t;

typedef struct {
    fp6_t c0, c1; /* c0 + c1 w */
} fp12_t;

static coh_u256_t const order =
    COH_BN254_WORDS(0x43e1f593f0000001, 0x2833e84879b97091, 0xb85045b68181585d, 0x30644e72e131a029);
/* 2^512 mod p */
static coh_u256_t const mont_sqr =
    COH_BN254_WORDS(0xf32cfc5b538afa89, 0xb5e71911d44501fb, 0x47ab1eff0a417ff6, 0x06d89f71cab8351f);
/* From here on in Montgomery form. */
static fp_t const fp_one =
    COH_BN254_WORDS(0xd35d438dc58f0d9d, 0x0a78eb28f5c70b3d, 0x666ea36f7879462c, 0x0e0a77c19a07df2f);
static fp_t const fp_three =
    COH_BN254_WORDS(0x7a17caa950ad28d7, 0x1f6ac17ae15521b9, 0x334bea4e696bd284, 0x2a1f6744ce179d8e);
/* A cube root of one: (x, y) -> (beta x, y) multiplies points of G1 by lambda, a cube root of one modulo r. */
static fp_t const beta =
    COH_BN254_WORDS(0x71930c11d782e155, 0xa6bb947cffbe3323, 0xaa303344d4741444, 0x2c3b3f0d26594943);
/* 3/xi */
static fp2_t const twist_b = {
    COH_BN254_WORDS(0x3bf938e377b802a8, 0x020b1b273633535d, 0x26b7edf049755260, 0x2514c6324384a86d),
    COH_BN254_WORDS(0x38e7ecccd1dcff67,
                    0x65f0b37d93ce0d3e,
                    0xd749d0dd22ac00aa,
                    0x0141b9ce4a688d4d)};
/* xi^(k (p - 1) / 6) for k = 1..5: what Frobenius' map multiplies w^k by. */
static fp2_t const frob[5] = {{COH_BN254_WORDS(0xaf9ba69633144907,
                                               0xca6b1d7387afb78a,
                                               0x11bded5ef08a2087,
                                               0x02f34d751a1f3a7c),
                               COH_BN254_WORDS(0xa222ae234c492d72,
                                               0xd00f02a4565de15b,
                                               0xdc2ff3a253dfc926,
                                               0x10a75716b3899551)},
                              {COH_BN254_WORDS(0xb5773b104563ab30,
                                               0x347f91c8a9aa6454,
                                               0x7a007127242e0991,
                                               0x1956bcd8118214ec),
                               COH_BN254_WORDS(0x6e849f1ea0aa4757,
                                               0xaa1c7b6d89f89141,
                                               0xb6e713cdfae0ca3a,
                                               0x26694fbb4e82ebc3)},
                              {COH_BN254_WORDS(0xe4bbdd0c2936b629,
                                               0xbb30f162e133bacb,
                                               0x31a9d1b6f9645366,
                                               0x253570bea500f8dd),
                               COH_BN254_WORDS(0xa1d77ce45ffe77c7,
                                               0x07affd117826d1db,
                                               0x6d16bd27bb7edc6b,
                                               0x2c87200285defecc)},
                              {COH_BN254_WORDS(0x7361d77f843abe92,
                                               0xa5bb2bd3273411fb,
                                               0x9c941f314b3e2399,
                                               0x15df9cddbb9fd3ec),
                               COH_BN254_WORDS(0x5dddfd154bd8c949,
                                               0x62cb29a5a4445b60,
                                               0x37bc870a0c7dd2b9,
                                               0x24830a9d3171f0fd)},
                              {COH_BN254_WORDS(0xc970692f41690fe7,
                                               0xe240342127694b0b,
                                               0x32bee66b83c459e8,
                                               0x12aabced0ab08841),
                               COH_BN254_WORDS(0x0d485d2340aebfa9,
                                               0x05193418ab2fcc57,
                                               0xd3b0a40b8a4910f5,
                                               0x2f21ebb535d2925a)}};
/* xi^(k (p^2 - 1) / 6) for k = 1..5, all in Fp: the same for the map applied twice. */
static fp_t const frob2[5] = {
    COH_BN254_WORDS(0xca8d800500fa1bf2, 0xf0c5d61468b39769, 0x0e201271ad0d4418, 0x04290f65bad856e6),
    COH_BN254_WORDS(0x3350c88e13e80b9c, 0x7dce557cdb5e56b9, 0x6001b4b8b615564a, 0x2682e617020217e0),
    COH_BN254_WORDS(0x68c3488912edefaa, 0x8d087f6872aabf4f, 0x51e1a24709081231, 0x2259d6b14729c0fa),
    COH_BN254_WORDS(0x71930c11d782e155, 0xa6bb947cffbe3323, 0xaa303344d4741444, 0x2c3b3f0d26594943),
    COH_BN254_WORDS(0x08cfc388c494f1ab,
                    0x19b315148d1373d4,
                    0x584e90fdcb6c0213,
                    0x09e1685bdf2f8849)};

/* Signed binary forms, most significant digit first: of 6t + 2, and of t. */
static int8_t const loop_digits[66]  = {1, 0,  -1, 0, 1,  0, 0,  0,  -1, 0, -1, 0, 0,  0,  -1, 0, 1,
                                        0, -1, 0,  0, -1, 0, 0,  0,  0,  0, 1,  0, 0,  -1, 0,  1, 0,
                                        0, -1, 0,  0, 0,  0, -1, 0,  1,  0, 0,  0, -1, 0,  -1, 0, 0,
                                        1, 0,  0,  0, -1, 0, 0,  -1, 0,  1, 0,  1, 0,  0,  0};
static int8_t const param_digits[63] = {1, 0, 0, 0, 1, 0, 1,  0, 0,  -1, 0,  1, 0, 1, 0, -1,
                                        0, 0, 1, 0, 1, 0, -1, 0, -1, 0,  -1, 0, 1, 0, 0, 0,
                                        1, 0, 0, 1, 0, 1, 0,  1, 0,  -1, 0,  1, 0, 0, 1, 0,
                                        0, 0, 0, 1, 0, 1, 0,  0, 0,  0,  -1, 0, 0, 0, 1};

/* ---- Fp ---- */

/* Not inlined: the code of all that follows stays small enough for the instruction cache. */
static __attribute__((noinline)) void fp_mul(fp_t *out, fp_t const *a, fp_t const *b)
{
    coh_bn254_fp_mul(out, a, b);
}

static inline void fp_sqr(fp_t *out, fp_t const *a) { fp_mul(out, a, a); }

static inline void fp_add(fp_t *out, fp_t const *a, fp_t const *b) { coh_bn254_fp_add(out, a, b); }

static inline void fp_sub(fp_t *out, fp_t const *a, fp_t const *b) { coh_bn254_fp_sub(out, a, b); }

static inline bool fp_is_zero(fp_t const *a)
{
    return coh_u256_is_zero(a) || coh_u256_eq(a, &coh_bn254_prime);
}

static inline bool fp_eq(fp_t const *a, fp_t const *b)
{
    fp_t diff;
    fp_sub(&diff, a, b);
    return fp_is_zero(&diff);
}

static inline void fp_dbl(fp_t *out, fp_t const *a) { fp_add(out, a, a); }

static inline void fp_neg(fp_t *out, fp_t const *a)
{
    coh_u256_t zero = COH_U256_ZERO;
    fp_sub(out, &zero, a);
}

/* out = a / 2 */
static inline void fp_half(fp_t *out, fp_t const *a)
{
    coh_u256_t t = *a;
    if ((t.w[0] & 1) != 0) {
        (void)coh_u256_add(&t, &t, &coh_bn254_prime);
    }
    for (int i = 0; i < 3; i++) {
        out->w[i] = t.w[i] >> 1 | t.w[i + 1] << 63;
    }
    out->w[3] = t.w[3] >> 1;
}

/* A signed number of five limbs of 62 bits, the sign in the highest. */
enum { LIMB = 62, LIMB_CNT = 5 };
#define LIMB_MASK (UINT64_MAX >> (64 - LIMB))
typedef struct {
    int64_t v[LIMB_CNT];
} limbs_t;

__extension__ typedef __int128 i128_t;

/* What 62 division steps do to (f, g): (u f + v g, q f + r g) / 2^62. */
typedef struct {
    int64_t u, v, q, r;
} steps_t;

static limbs_t limbs_from(coh_u256_t const *a)
{
    uint64_t const *w = a->w;
    return (limbs_t){{(int64_t)(w[0] & LIMB_MASK),
                      (int64_t)((w[0] >> 62 | w[1] << 2) & LIMB_MASK),
                      (int64_t)((w[1] >> 60 | w[2] << 4) & LIMB_MASK),
                      (int64_t)((w[2] >> 58 | w[3] << 6) & LIMB_MASK),
                      (int64_t)(w[3] >> 56)}};
}

/* a is not negative and below 2^256. */
static coh_u256_t limbs_to(limbs_t const *a)
{
    uint64_t v[LIMB_CNT];
    for (int i = 0; i < LIMB_CNT; i++) {
        v[i] = (uint64_t)a->v[i];
    }
    return (coh_u256_t){{v[0] | v[1] << 62,
                         v[1] >> 2 | v[2] << 60,
                         v[2] >> 4 | v[3] << 58,
                         v[3] >> 6 | v[4] << 56}};
}

/* 62 division steps on the low words of f and g, f odd. Of a run of them that one decision of the algorithm
   settles, up to six are made at once: by the multiple of f that clears as many low bits of g. */
static void division_steps(steps_t *out, int64_t *delta_neg, uint64_t f, uint64_t g)
{
    uint64_t u = 1, v = 0, q = 0, r = 1;
    int64_t eta = *delta_neg;
    int left    = LIMB;
    for (;;) {
        int zeros = __builtin_ctzll(g | UINT64_MAX << left);
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        eta -= zeros;
        left -= zeros;
        if (left == 0) {
            break;
        }
        uint64_t multiple;
        if (eta < 0) {
            uint64_t t = f;
            eta        = -eta;
            f          = g;
            g          = -t;
            t          = u;
            u          = q;
            q          = -t;
            t          = v;
            v          = r;
            r          = -t;
            /* f (f^2 - 2) is -1/f modulo 2^6. */
            int bits = (int)COH_MIN(COH_MIN(eta + 1, (int64_t)left), (int64_t)6);
            multiple = (f * g * (f * f - 2)) & (UINT64_MAX >> (64 - bits));
        } else {
            /* f + 2 ((f + 1) & 4) is 1/f modulo 2^4. */
            int bits = (int)COH_MIN(COH_MIN(eta + 1, (int64_t)left), (int64_t)4);
            multiple = (-(f + (((f + 1) & 4) << 1)) * g) & (UINT64_MAX >> (64 - bits));
        }
        g += f * multiple;
        q += u * multiple;
        r += v * multiple;
    }
    *delta_neg = eta;
    *out       = (steps_t){(int64_t)u, (int64_t)v, (int64_t)q, (int64_t)r};
}

/* (d, e) = (u d + v e, q d + r e) / 2^62 mod p; both stay within (-2p, p). */
static void apply_mod_prime(limbs_t *d, limbs_t *e, steps_t const *t, limbs_t const *p)
{
    static int64_t const prime_inv62 = INT64_C(0x382df87d1b799c77); /* 1/p mod 2^62 */
    int64_t d_sign = d->v[LIMB_CNT - 1] >> 63, e_sign = e->v[LIMB_CNT - 1] >> 63;
    /* Multiples of p to add: one for what is negative, and one that clears the low limb. */
    int64_t md = (t->u & d_sign) + (t->v & e_sign);
    int64_t me = (t->q & d_sign) + (t->r & e_sign);
    i128_t cd  = (i128_t)t->u * d->v[0] + (i128_t)t->v * e->v[0];
    i128_t ce  = (i128_t)t->q * d->v[0] + (i128_t)t->r * e->v[0];
    md -= (int64_t)(((uint64_t)prime_inv62 * (uint64_t)cd + (uint64_t)md) & LIMB_MASK);
    me -= (int64_t)(((uint64_t)prime_inv62 * (uint64_t)ce + (uint64_t)me) & LIMB_MASK);
    cd = (cd + (i128_t)p->v[0] * md) >> LIMB;
    ce = (ce + (i128_t)p->v[0] * me) >> LIMB;
    for (int i = 1; i < LIMB_CNT; i++) {
        int64_t di = d->v[i], ei = e->v[i];
        cd += (i128_t)t->u * di + (i128_t)t->v * ei + (i128_t)p->v[i] * md;
        ce += (i128_t)t->q * di + (i128_t)t->r * ei + (i128_t)p->v[i] * me;
        d->v[i - 1] = (int64_t)((uint64_t)cd & LIMB_MASK);
        e->v[i - 1] = (int64_t)((uint64_t)ce & LIMB_MASK);
        cd >>= LIMB;
        ce >>= LIMB;
    }
    d->v[LIMB_CNT - 1] = (int64_t)cd;
    e->v[LIMB_CNT - 1] = (int64_t)ce;
}

/* (f, g) = (u f + v g, q f + r g) / 2^62, which is without remainder. */
static void apply(limbs_t *f, limbs_t *g, steps_t const *t)
{
    i128_t cf = ((i128_t)t->u * f->v[0] + (i128_t)t->v * g->v[0]) >> LIMB;
    i128_t cg = ((i128_t)t->q * f->v[0] + (i128_t)t->r * g->v[0]) >> LIMB;
    for (int i = 1; i < LIMB_CNT; i++) {
        int64_t fi = f->v[i], gi = g->v[i];
        cf += (i128_t)t->u * fi + (i128_t)t->v * gi;
        cg += (i128_t)t->q * fi + (i128_t)t->r * gi;
        f->v[i - 1] = (int64_t)((uint64_t)cf & LIMB_MASK);
        g->v[i - 1] = (int64_t)((uint64_t)cg & LIMB_MASK);
        cf >>= LIMB;
        cg >>= LIMB;
    }
    f->v[LIMB_CNT - 1] = (int64_t)cf;
    g->v[LIMB_CNT - 1] = (int64_t)cg;
}

/* a += (p if plus) or, first, a = -a if minus; carries settled. */
static void limbs_adjust(limbs_t *a, bool minus, bool plus, limbs_t const *p)
{
    int64_t carry = 0;
    for (int i = 0; i < LIMB_CNT; i++) {
        carry += (minus ? -a->v[i] : a->v[i]) + (plus ? p->v[i] : 0);
        a->v[i] = i == LIMB_CNT - 1 ? carry : (int64_t)((uint64_t)carry & LIMB_MASK);
        carry >>= LIMB;
    }
}

/* out = 1/a; 0 for 0. By division steps (Bernstein, Yang 2019, "Fast constant-time gcd computation and modular
   inversion"), here with a running time that depends on a; five times as fast as a power. d and e keep f = d a,
   g = e a modulo p throughout. */
static void fp_inv(fp_t *out, fp_t const *a)
{
    /* 2^768 mod p: the inverse of x 2^256 is x^-1 2^-256, and lacks 2^512. */
    static fp_t const lift = COH_BN254_WORDS(
        0xb1cd6dafda1530df, 0x62f210e6a7283db6, 0xef7f0b0c0ada0afb, 0x20fd6e902d592544);
    limbs_t const p = limbs_from(&coh_bn254_prime);
    fp_t settled;
    coh_bn254_fp_settle(&settled, a);
    limbs_t f = p, g = limbs_from(&settled), d = {{0}}, e = {{1}};
    int64_t eta = -1;
    while ((g.v[0] | g.v[1] | g.v[2] | g.v[3] | g.v[4]) != 0) {
        steps_t t;
        division_steps(&t, &eta, (uint64_t)f.v[0], (uint64_t)g.v[0]);
        apply_mod_prime(&d, &e, &t, &p);
        apply(&f, &g, &t);
    }
    /* f is 1 or -1, or p if a is 0, where d is 0; the inverse is d f. */
    limbs_adjust(&d, false, d.v[LIMB_CNT - 1] < 0, &p);
    limbs_adjust(&d, f.v[LIMB_CNT - 1] < 0, false, &p);
    limbs_adjust(&d, false, d.v[LIMB_CNT - 1] < 0, &p);
    coh_u256_t inverse = limbs_to(&d);
    fp_mul(out, &inverse, &lift);
}

/* False if the number is no field element. */
static bool fp_from_be(fp_t *out, uint8_t const in[32])
{
    coh_u256_t raw = coh_u256_from_be(in, 32);
    fp_mul(out, &raw, &mont_sqr);
    return coh_u256_lt(&raw, &coh_bn254_prime);
}

static void fp_to_be(uint8_t out[32], fp_t const *a)
{
    fp_t one = coh_u256(1), raw;
    fp_mul(&raw, a, &one);
    coh_bn254_fp_settle(&raw, &raw);
    coh_u256_to_be(out, &raw);
}

/* ---- Fp2 ---- */

static inline void fp2_add(fp2_t *out, fp2_t const *a, fp2_t const *b)
{
    fp_add(&out->c0, &a->c0, &b->c0);
    fp_add(&out->c1, &a->c1, &b->c1);
}

static inline void fp2_sub(fp2_t *out, fp2_t const *a, fp2_t const *b)
{
    fp_sub(&out->c0, &a->c0, &b->c0);
    fp_sub(&out->c1, &a->c1, &b->c1);
}

static inline void fp2_dbl(fp2_t *out, fp2_t const *a) { fp2_add(out, a, a); }

static inline void fp2_half(fp2_t *out, fp2_t const *a)
{
    fp_half(&out->c0, &a->c0);
    fp_half(&out->c1, &a->c1);
}

static inline void fp2_neg(fp2_t *out, fp2_t const *a)
{
    fp_neg(&out->c0, &a->c0);
    fp_neg(&out->c1, &a->c1);
}

static inline void fp2_conj(fp2_t *out, fp2_t const *a)
{
    out->c0 = a->c0;
    fp_neg(&out->c1, &a->c1);
}

static inline bool fp2_is_zero(fp2_t const *a) { return fp_is_zero(&a->c0) && fp_is_zero(&a->c1); }

static inline bool fp2_eq(fp2_t const *a, fp2_t const *b)
{
    return fp_eq(&a->c0, &b->c0) && fp_eq(&a->c1, &b->c1);
}

/* Karatsuba: (a0 b0 - a1 b1) + ((a0 + a1)(b0 + b1) - a0 b0 - a1 b1) u */
static void fp2_mul(fp2_t *out, fp2_t const *a, fp2_t const *b)
{
    fp_t low, high, cross, sum;
    fp_mul(&low, &a->c0, &b->c0);
    fp_mul(&high, &a->c1, &b->c1);
    fp_add(&cross, &a->c0, &a->c1);
    fp_add(&sum, &b->c0, &b->c1);
    fp_mul(&cross, &cross, &sum);
    fp_sub(&out->c0, &low, &high);
    fp_sub(&cross, &cross, &low);
    fp_sub(&out->c1, &cross, &high);
}

/* (a0 + a1)(a0 - a1) + 2 a0 a1 u */
static void fp2_sqr(fp2_t *out, fp2_t const *a)
{
    fp_t sum, diff, prod;
    fp_add(&sum, &a->c0, &a->c1);
    fp_sub(&diff, &a->c0, &a->c1);
    fp_mul(&prod, &a->c0, &a->c1);
    fp_mul(&out->c0, &sum, &diff);
    fp_dbl(&out->c1, &prod);
}

static inline void fp2_mul_fp(fp2_t *out, fp2_t const *a, fp_t const *b)
{
    fp_mul(&out->c0, &a->c0, b);
    fp_mul(&out->c1, &a->c1, b);
}

/* out = (9 + u) a */
static inline void fp2_mul_xi(fp2_t *out, fp2_t const *a)
{
    fp2_t t;
    fp2_dbl(&t, a);
    fp2_dbl(&t, &t);
    fp2_dbl(&t, &t);
    fp2_add(&t, &t, a);
    fp_t c0 = a->c0;
    fp_sub(&out->c0, &t.c0, &a->c1);
    fp_add(&out->c1, &t.c1, &c0);
}

static void fp2_inv(fp2_t *out, fp2_t const *a)
{
    fp_t norm, t;
    fp_sqr(&norm, &a->c0);
    fp_sqr(&t, &a->c1);
    fp_add(&norm, &norm, &t);
    fp_inv(&norm, &norm);
    fp_mul(&out->c0, &a->c0, &norm);
    fp_mul(&t, &a->c1, &norm);
    fp_neg(&out->c1, &t);
}

/* ---- Fp6 ---- */

static inline void fp6_add(fp6_t *out, fp6_t const *a, fp6_t const *b)
{
    fp2_add(&out->c0, &a->c0, &b->c0);
    fp2_add(&out->c1, &a->c1, &b->c1);
    fp2_add(&out->c2, &a->c2, &b->c2);
}

static inline void fp6_sub(fp6_t *out, fp6_t const *a, fp6_t const *b)
{
    fp2_sub(&out->c0, &a->c0, &b->c0);
    fp2_sub(&out->c1, &a->c1, &b->c1);
    fp2_sub(&out->c2, &a->c2, &b->c2);
}

static inline void fp6_neg(fp6_t *out, fp6_t const *a)
{
    fp2_neg(&out->c0, &a->c0);
    fp2_neg(&out->c1, &a->c1);
    fp2_neg(&out->c2, &a->c2);
}

/* out = v a */
static inline void fp6_mul_v(fp6_t *out, fp6_t const *a)
{
    fp2_t top = a->c2;
    out->c2   = a->c1;
    out->c1   = a->c0;
    fp2_mul_xi(&out->c0, &top);
}

/* The product of sums less two products: a0 b1 + a1 b0. */
static inline void fp2_cross(fp2_t *out,
                             fp2_t const *a0,
                             fp2_t const *a1,
                             fp2_t const *b0,
                             fp2_t const *b1,
                             fp2_t const *prod0,
                             fp2_t const *prod1)
{
    fp2_t s, t;
    fp2_add(&s, a0, a1);
    fp2_add(&t, b0, b1);
    fp2_mul(&s, &s, &t);
    fp2_sub(&s, &s, prod0);
    fp2_sub(out, &s, prod1);
}

static void fp6_mul(fp6_t *out, fp6_t const *a, fp6_t const *b)
{
    fp2_t p0, p1, p2, x01, x02, x12;
    fp2_mul(&p0, &a->c0, &b->c0);
    fp2_mul(&p1, &a->c1, &b->c1);
    fp2_mul(&p2, &a->c2, &b->c2);
    fp2_cross(&x12, &a->c1, &a->c2, &b->c1, &b->c2, &p1, &p2);
    fp2_cross(&x01, &a->c0, &a->c1, &b->c0, &b->c1, &p0, &p1);
    fp2_cross(&x02, &a->c0, &a->c2, &b->c0, &b->c2, &p0, &p2);
    fp2_mul_xi(&x12, &x12);
    fp2_add(&out->c0, &p0, &x12);
    fp2_add(&out->c2, &x02, &p1);
    fp2_mul_xi(&p2, &p2);
    fp2_add(&out->c1, &x01, &p2);
}

/* out = a (b0 + b1 v) */
static void fp6_mul_01(fp6_t *out, fp6_t const *a, fp2_t const *b0, fp2_t const *b1)
{
    fp2_t p0, p1, x01, t, s;
    fp2_mul(&p0, &a->c0, b0);
    fp2_mul(&p1, &a->c1, b1);
    fp2_cross(&x01, &a->c0, &a->c1, b0, b1, &p0, &p1);
    fp2_mul(&t, &a->c2, b1);
    fp2_mul_xi(&t, &t);
    fp2_mul(&s, &a->c2, b0);
    fp2_add(&out->c0, &p0, &t);
    out->c1 = x01;
    fp2_add(&out->c2, &p1, &s);
}

static void fp6_inv(fp6_t *out, fp6_t const *a)
{
    fp2_t A, B, C, t, norm;
    fp2_sqr(&A, &a->c0);
    fp2_mul(&t, &a->c1, &a->c2);
    fp2_mul_xi(&t, &t);
    fp2_sub(&A, &A, &t); /* a0^2 - xi a1 a2 */
    fp2_sqr(&B, &a->c2);
    fp2_mul_xi(&B, &B);
    fp2_mul(&t, &a->c0, &a->c1);
    fp2_sub(&B, &B, &t); /* xi a2^2 - a0 a1 */
    fp2_sqr(&C, &a->c1);
    fp2_mul(&t, &a->c0, &a->c2);
    fp2_sub(&C, &C, &t); /* a1^2 - a0 a2 */
    fp2_mul(&norm, &a->c2, &B);
    fp2_mul(&t, &a->c1, &C);
    fp2_add(&norm, &norm, &t);
    fp2_mul_xi(&norm, &norm);
    fp2_mul(&t, &a->c0, &A);
    fp2_add(&norm, &norm, &t);
    fp2_inv(&norm, &norm);
    fp2_mul(&out->c0, &A, &norm);
    fp2_mul(&out->c1, &B, &norm);
    fp2_mul(&out->c2, &C, &norm);
}

/* ---- Fp12 ---- */

static void fp12_set_one(fp12_t *out)
{
    memset(out, 0, sizeof(*out));
    out->c0.c0.c0 = fp_one;
}

static inline bool fp6_is_zero(fp6_t const *a)
{
    return fp2_is_zero(&a->c0) && fp2_is_zero(&a->c1) && fp2_is_zero(&a->c2);
}

static bool fp12_is_one(fp12_t const *a)
{
    fp12_t diff = *a;
    fp_sub(&diff.c0.c0.c0, &a->c0.c0.c0, &fp_one);
    return fp6_is_zero(&diff.c0) && fp6_is_zero(&diff.c1);
}

static void fp12_mul(fp12_t *out, fp12_t const *a, fp12_t const *b)
{
    fp6_t low, high, s, t;
    fp6_mul(&low, &a->c0, &b->c0);
    fp6_mul(&high, &a->c1, &b->c1);
    fp6_add(&s, &a->c0, &a->c1);
    fp6_add(&t, &b->c0, &b->c1);
    fp6_mul(&s, &s, &t);
    fp6_sub(&s, &s, &low);
    fp6_sub(&out->c1, &s, &high);
    fp6_mul_v(&high, &high);
    fp6_add(&out->c0, &low, &high);
}

static void fp12_sqr(fp12_t *out, fp12_t const *a)
{
    fp6_t prod, s, t;
    fp6_mul(&prod, &a->c0, &a->c1);
    fp6_mul_v(&t, &a->c1);
    fp6_add(&t, &t, &a->c0);
    fp6_add(&s, &a->c0, &a->c1);
    fp6_mul(&s, &s, &t); /* a0^2 + v a1^2 + (1 + v) a0 a1 */
    fp6_sub(&s, &s, &prod);
    fp6_mul_v(&t, &prod);
    fp6_sub(&out->c0, &s, &t);
    fp6_add(&out->c1, &prod, &prod);
}

/* a^(p^6); the inverse too, for elements of norm one over Fp6. */
static inline void fp12_conj(fp12_t *out, fp12_t const *a)
{
    out->c0 = a->c0;
    fp6_neg(&out->c1, &a->c1);
}

static void fp12_inv(fp12_t *out, fp12_t const *a)
{
    fp6_t s, t;
    fp6_mul(&s, &a->c0, &a->c0);
    fp6_mul(&t, &a->c1, &a->c1);
    fp6_mul_v(&t, &t);
    fp6_sub(&s, &s, &t);
    fp6_inv(&s, &s);
    fp6_mul(&out->c0, &a->c0, &s);
    fp6_mul(&t, &a->c1, &s);
    fp6_neg(&out->c1, &t);
}

/* a^p */
static void fp12_frob(fp12_t *out, fp12_t const *a)
{
    fp2_t t;
    fp2_conj(&out->c0.c0, &a->c0.c0);
    fp2_conj(&t, &a->c1.c0);
    fp2_mul(&out->c1.c0, &t, &frob[0]);
    fp2_conj(&t, &a->c0.c1);
    fp2_mul(&out->c0.c1, &t, &frob[1]);
    fp2_conj(&t, &a->c1.c1);
    fp2_mul(&out->c1.c1, &t, &frob[2]);
    fp2_conj(&t, &a->c0.c2);
    fp2_mul(&out->c0.c2, &t, &frob[3]);
    fp2_conj(&t, &a->c1.c2);
    fp2_mul(&out->c1.c2, &t, &frob[4]);
}

/* a^(p^2) */
static void fp12_frob2(fp12_t *out, fp12_t const *a)
{
    out->c0.c0 = a->c0.c0;
    fp2_mul_fp(&out->c1.c0, &a->c1.c0, &frob2[0]);
    fp2_mul_fp(&out->c0.c1, &a->c0.c1, &frob2[1]);
    fp2_mul_fp(&out->c1.c1, &a->c1.c1, &frob2[2]);
    fp2_mul_fp(&out->c0.c2, &a->c0.c2, &frob2[3]);
    fp2_mul_fp(&out->c1.c2, &a->c1.c2, &frob2[4]);
}

/* (a + b s)^2 in Fp2[s]/(s^2 - xi): re and im of the result. */
static inline void fp4_sqr(fp2_t *re, fp2_t *im, fp2_t const *a, fp2_t const *b)
{
    fp2_t sqr_a, sqr_b, sum;
    fp2_sqr(&sqr_a, a);
    fp2_sqr(&sqr_b, b);
    fp2_add(&sum, a, b);
    fp2_sqr(&sum, &sum);
    fp2_sub(&sum, &sum, &sqr_a);
    fp2_sub(im, &sum, &sqr_b);
    fp2_mul_xi(&sqr_b, &sqr_b);
    fp2_add(re, &sqr_a, &sqr_b);
}

/* out = 3 sqr - 2 a */
static inline void cyclo_minus(fp2_t *out, fp2_t const *sqr, fp2_t const *a)
{
    fp2_t t;
    fp2_sub(&t, sqr, a);
    fp2_dbl(&t, &t);
    fp2_add(out, &t, sqr);
}

/* out = 3 sqr + 2 a */
static inline void cyclo_plus(fp2_t *out, fp2_t const *sqr, fp2_t const *a)
{
    fp2_t t;
    fp2_add(&t, sqr, a);
    fp2_dbl(&t, &t);
    fp2_add(out, &t, sqr);
}

/* out = a^2 for a^(p^4 - p^2 + 1) = 1 (Granger, Scott 2010). */
static void cyclo_sqr(fp12_t *out, fp12_t const *a)
{
    fp2_t re[3], im[3];
    fp4_sqr(&re[0], &im[0], &a->c0.c0, &a->c1.c1);
    fp4_sqr(&re[1], &im[1], &a->c1.c0, &a->c0.c2);
    fp4_sqr(&re[2], &im[2], &a->c0.c1, &a->c1.c2);
    fp2_mul_xi(&im[2], &im[2]);
    cyclo_minus(&out->c0.c0, &re[0], &a->c0.c0);
    cyclo_plus(&out->c1.c1, &im[0], &a->c1.c1);
    cyclo_minus(&out->c0.c1, &re[1], &a->c0.c1);
    cyclo_plus(&out->c1.c2, &im[1], &a->c1.c2);
    cyclo_minus(&out->c0.c2, &re[2], &a->c0.c2);
    cyclo_plus(&out->c1.c0, &im[2], &a->c1.c0);
}

/* out = a^t, t the curve's parameter, for a as above. out may not be a. */
static void cyclo_pow_param(fp12_t *out, fp12_t const *a)
{
    fp12_t inverse;
    fp12_conj(&inverse, a);
    *out = *a;
    for (size_t i = 1; i < COH_CNT(param_digits); i++) {
        cyclo_sqr(out, out);
        if (param_digits[i] != 0) {
            fp12_mul(out, out, param_digits[i] > 0 ? a : &inverse);
        }
    }
}

/* ---- G1 ---- */

typedef struct {
    fp_t x, y; /* (0, 0): infinity */
} g1_t;

/* (x / z^2, y / z^3); z = 0: infinity. */
typedef struct {
    fp_t x, y, z;
} g1_jac_t;

static bool g1_is_infinity(g1_t const *a) { return fp_is_zero(&a->x) && fp_is_zero(&a->y); }

/* False if the encoding is none of a point. */
static bool g1_decode(g1_t *out, uint8_t const in[COH_BN254_G1_SZ])
{
    if (!fp_from_be(&out->x, in) || !fp_from_be(&out->y, in + 32)) {
        return false;
    }
    if (g1_is_infinity(out)) {
        return true;
    }
    fp_t lhs, rhs;
    fp_sqr(&lhs, &out->y);
    fp_sqr(&rhs, &out->x);
    fp_mul(&rhs, &rhs, &out->x);
    fp_add(&rhs, &rhs, &fp_three);
    return fp_eq(&lhs, &rhs);
}

static void g1_encode(uint8_t out[COH_BN254_G1_SZ], g1_jac_t const *a)
{
    if (fp_is_zero(&a->z)) {
        memset(out, 0, COH_BN254_G1_SZ);
        return;
    }
    fp_t inv, inv2, x, y;
    fp_inv(&inv, &a->z);
    fp_sqr(&inv2, &inv);
    fp_mul(&x, &a->x, &inv2);
    fp_mul(&inv2, &inv2, &inv);
    fp_mul(&y, &a->y, &inv2);
    fp_to_be(out, &x);
    fp_to_be(out + 32, &y);
}

/* out = 2a: with L = 3/2 x^2, S = y^2, T = x S the result is x' = L^2 - 2 T, y' = L (T - x') - S^2, z' = y z.
   No point has order 2, and infinity (z = 0) gives itself. */
static void g1_dbl(g1_jac_t *out, g1_jac_t const *a)
{
    fp_t L, S, T, t;
    fp_mul(&out->z, &a->y, &a->z);
    fp_sqr(&S, &a->y);
    fp_mul(&T, &S, &a->x);
    fp_sqr(&L, &a->x);
    fp_half(&t, &L);
    fp_add(&L, &L, &t);
    fp_sqr(&t, &L);
    fp_sub(&t, &t, &T);
    fp_sub(&out->x, &t, &T);
    fp_sub(&T, &T, &out->x);
    fp_mul(&T, &T, &L);
    fp_sqr(&S, &S);
    fp_sub(&out->y, &T, &S);
}

/* acc += b, b not infinity ("madd-2004-hmv" of the same). */
static void g1_add_affine(g1_jac_t *acc, g1_t const *b)
{
    if (fp_is_zero(&acc->z)) {
        *acc = (g1_jac_t){b->x, b->y, fp_one};
        return;
    }
    fp_t zz, h, r, hh, hhh, v, t;
    fp_sqr(&zz, &acc->z);
    fp_mul(&h, &b->x, &zz);
    fp_sub(&h, &h, &acc->x);
    fp_mul(&t, &zz, &acc->z);
    fp_mul(&r, &b->y, &t);
    fp_sub(&r, &r, &acc->y);
    if (fp_is_zero(&h)) {
        if (fp_is_zero(&r)) {
            g1_dbl(acc, acc);
        } else {
            *acc = (g1_jac_t){0};
        }
        return;
    }
    fp_mul(&acc->z, &acc->z, &h);
    fp_sqr(&hh, &h);
    fp_mul(&hhh, &hh, &h);
    fp_mul(&v, &acc->x, &hh);
    fp_sqr(&t, &r);
    fp_sub(&t, &t, &hhh);
    fp_sub(&t, &t, &v);
    fp_sub(&acc->x, &t, &v);
    fp_sub(&v, &v, &acc->x);
    fp_mul(&v, &v, &r);
    fp_mul(&t, &acc->y, &hhh);
    fp_sub(&acc->y, &v, &t);
}

coh_err_t coh_bn254_add(uint8_t out[COH_BN254_G1_SZ],
                        uint8_t const a[COH_BN254_G1_SZ],
                        uint8_t const b[COH_BN254_G1_SZ])
{
    coh_bn254_choose_backend();
    g1_t p, q;
    if (!g1_decode(&p, a) || !g1_decode(&q, b)) {
        return COH_EMALFORMED;
    }
    g1_jac_t sum = {0};
    if (!g1_is_infinity(&p)) {
        g1_add_affine(&sum, &p);
    }
    if (!g1_is_infinity(&q)) {
        g1_add_affine(&sum, &q);
    }
    g1_encode(out, &sum);
    return COH_OK;
}

/* Odd multiples up to 2 * ODD_CNT - 1 are looked up; digits are then WINDOW bits wide, with sign. */
enum { WINDOW = 5, ODD_CNT = 1 << (WINDOW - 2), DIGITS_MAX = 130 };

/* table[i] = (2i + 1) a * (a common scale), a not infinity. The points are those of an isomorphic curve,
   on which they are affine: one with z on it, (x, y, z), is (x, y, z * scale) on ours. This saves an inversion,
   and works since no formula here mentions the curve's 3. After Meloni 2007: points that share their z
   are added cheaply, and the one of the two keeps its z in step. */
static void g1_odd_multiples(g1_t table[ODD_CNT], fp_t *scale, g1_t const *a)
{
    fp_t ratio[ODD_CNT]; /* z of table[i] / z of table[i - 1] */
    /* 2a, with z = y; a brought to the same z. */
    g1_jac_t dbl = {a->x, a->y, fp_one};
    g1_dbl(&dbl, &dbl);
    fp_t zz, zzz;
    fp_sqr(&zz, &dbl.z);
    fp_mul(&zzz, &zz, &dbl.z);
    g1_t twice = {dbl.x, dbl.y};
    fp_mul(&table[0].x, &a->x, &zz);
    fp_mul(&table[0].y, &a->y, &zzz);
    *scale = dbl.z;
    for (size_t i = 1; i < ODD_CNT; i++) {
        /* table[i] = table[i - 1] + twice; then twice at the new z. */
        g1_t const *last = &table[i - 1];
        fp_t diff, sqr, w1, w2, dy, t;
        fp_sub(&diff, &twice.x, &last->x);
        fp_sqr(&sqr, &diff);
        fp_mul(&w1, &twice.x, &sqr);
        fp_mul(&w2, &last->x, &sqr);
        fp_sub(&dy, &twice.y, &last->y);
        fp_sub(&t, &w1, &w2);
        fp_mul(&twice.y, &twice.y, &t); /* y * diff^3 */
        fp_sqr(&t, &dy);
        fp_sub(&t, &t, &w1);
        fp_sub(&table[i].x, &t, &w2);
        fp_sub(&t, &w1, &table[i].x);
        fp_mul(&t, &t, &dy);
        fp_sub(&table[i].y, &t, &twice.y);
        twice.x  = w1;
        ratio[i] = diff;
        fp_mul(scale, scale, &diff);
    }
    /* All to the z of the last. */
    fp_t up = ratio[ODD_CNT - 1];
    for (size_t i = ODD_CNT - 1; i-- > 0;) {
        fp_t sqr, t;
        fp_sqr(&sqr, &up);
        fp_mul(&table[i].x, &table[i].x, &sqr);
        fp_mul(&t, &sqr, &up);
        fp_mul(&table[i].y, &table[i].y, &t);
        if (i > 0) {
            fp_mul(&up, &up, &ratio[i]);
        }
    }
}

/* a * b: its words 0..3 and 4..7. */
static void mul_wide(coh_u256_t *low, coh_u256_t *high, coh_u256_t const *a, coh_u256_t const *b)
{
    uint64_t t[8] = {0};
    for (int i = 0; i < 4; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < 4; j++) {
            t[i + j] = coh_bn254_mac(t[i + j], a->w[j], b->w[i], &carry);
        }
        t[i + 4] = carry;
    }
    memcpy(low->w, t, sizeof(low->w));
    memcpy(high->w, t + 4, sizeof(high->w));
}

/* Makes a two's complement number its magnitude; true if it was negative. */
static bool make_positive(coh_u256_t *a)
{
    if (a->w[3] >> 63 == 0) {
        return false;
    }
    coh_u256_t zero = COH_U256_ZERO;
    (void)coh_u256_sub(a, &zero, a);
    return true;
}

/* Splits k < r into k1 + k2 lambda (mod r) with parts of at most 128 bits (Gallant, Lambert, Vanstone
   2001): k less a nearby vector of the lattice {(a, b): a + b lambda = 0 mod r}, whose short base is
   (A, -B), (C, A). Rounding down moves each part by at most one base vector. */
static void split_scalar(coh_u256_t *k1, bool *minus1, coh_u256_t *k2, bool *minus2, coh_u256_t k)
{
    static coh_u256_t const A = COH_BN254_WORDS(0x89d3256894d213e3, 0, 0, 0);
    static coh_u256_t const B = COH_BN254_WORDS(0x8211bbeb7d4f1128, 0x6f4d8248eeb859fc, 0, 0);
    static coh_u256_t const C = COH_BN254_WORDS(0x0be4e1541221250b, 0x6f4d8248eeb859fd, 0, 0);
    /* 2^256 A / r and 2^256 B / r */
    static coh_u256_t const A_r = COH_BN254_WORDS(0xd91d232ec7e0b3d7, 0x2, 0, 0);
    static coh_u256_t const B_r = COH_BN254_WORDS(0x7a7bd9d4391eb18d, 0x4ccef014a773d2cf, 0x2, 0);

    coh_u256_t c1, c2, t, unused;
    mul_wide(&unused, &c1, &k, &A_r);
    mul_wide(&unused, &c2, &k, &B_r);
    mul_wide(&t, &unused, &c1, &A);
    (void)coh_u256_sub(k1, &k, &t);
    mul_wide(&t, &unused, &c2, &C);
    (void)coh_u256_sub(k1, k1, &t); /* k - c1 A - c2 C */
    mul_wide(k2, &unused, &c1, &B);
    mul_wide(&t, &unused, &c2, &A);
    (void)coh_u256_sub(k2, k2, &t); /* c1 B - c2 A */
    *minus1 = make_positive(k1);
    *minus2 = make_positive(k2);
}

/* Writes k, at most 128 bits, as a sum of digits[i] 2^i, the digits 0 or odd and below 2^(WINDOW-1), of
   which any WINDOW neighbours hold at most one. Returns how many there are. */
static size_t signed_digits(int8_t digits[DIGITS_MAX], coh_u256_t k, bool negative)
{
    coh_u128_t rest = (coh_u128_t)k.w[1] << 64 | k.w[0];
    COH_DASSERT((k.w[2] | k.w[3]) == 0);
    uint32_t carry = 0; /* worth 1 at digit i */
    size_t cnt     = 0;
    memset(digits, 0, DIGITS_MAX);
    for (size_t i = 0; rest != 0 || carry != 0;) {
        if (((uint32_t)rest & 1) == carry) {
            rest >>= 1;
            i++;
            continue;
        }
        int window = (int)(((uint32_t)rest & ((1 << WINDOW) - 1)) + carry);
        carry = window > 1 << (WINDOW - 1); /* only if bit i + WINDOW - 1 is set: i ends at 128 */
        int digit = carry != 0 ? window - (1 << WINDOW) : window;
        digits[i] = (int8_t)(negative ? -digit : digit);
        cnt       = i + 1;
        rest >>= WINDOW;
        i += WINDOW;
    }
    return cnt;
}

static void g1_add_digit(g1_jac_t *acc, g1_t const table[ODD_CNT], int8_t digit)
{
    if (digit > 0) {
        g1_add_affine(acc, &table[digit / 2]);
    } else if (digit < 0) {
        g1_t minus = table[-digit / 2];
        fp_neg(&minus.y, &minus.y);
        g1_add_affine(acc, &minus);
    }
}

coh_err_t coh_bn254_mul(uint8_t out[COH_BN254_G1_SZ],
                        uint8_t const point[COH_BN254_G1_SZ],
                        uint8_t const scalar[COH_BN254_SCALAR_SZ])
{
    coh_bn254_choose_backend();
    g1_t p;
    if (!g1_decode(&p, point)) {
        return COH_EMALFORMED;
    }
    if (g1_is_infinity(&p)) {
        memset(out, 0, COH_BN254_G1_SZ);
        return COH_OK;
    }
    coh_u256_t k = coh_u256_from_be(scalar, COH_BN254_SCALAR_SZ);
    while (!coh_u256_lt(&k, &order)) { /* at most five times */
        (void)coh_u256_sub(&k, &k, &order);
    }
    coh_u256_t k1, k2;
    bool minus1, minus2;
    split_scalar(&k1, &minus1, &k2, &minus2, k);
    int8_t digits1[DIGITS_MAX], digits2[DIGITS_MAX];
    size_t cnt1 = signed_digits(digits1, k1, minus1);
    size_t cnt2 = signed_digits(digits2, k2, minus2);

    g1_t table1[ODD_CNT], table2[ODD_CNT];
    fp_t scale;
    g1_odd_multiples(table1, &scale, &p);
    for (size_t i = 0; i < ODD_CNT; i++) {
        fp_mul(&table2[i].x, &table1[i].x, &beta);
        table2[i].y = table1[i].y;
    }
    g1_jac_t acc = {0};
    for (size_t i = COH_MAX(cnt1, cnt2); i-- > 0;) {
        g1_dbl(&acc, &acc);
        g1_add_digit(&acc, table1, digits1[i]);
        g1_add_digit(&acc, table2, digits2[i]);
    }
    fp_mul(&acc.z, &acc.z, &scale);
    g1_encode(out, &acc);
    return COH_OK;
}

/* ---- G2, on the twist ---- */

typedef struct {
    fp2_t x, y; /* (0, 0): infinity */
} g2_t;

/* (x / z^2, y / z^3); z = 0: infinity. */
typedef struct {
    fp2_t x, y, z;
} g2_jac_t;

static bool g2_is_infinity(g2_t const *a) { return fp2_is_zero(&a->x) && fp2_is_zero(&a->y); }

/* As g1_dbl. */
static void g2_dbl(g2_jac_t *out, g2_jac_t const *a)
{
    fp2_t L, S, T, t;
    fp2_mul(&out->z, &a->y, &a->z);
    fp2_sqr(&S, &a->y);
    fp2_mul(&T, &S, &a->x);
    fp2_sqr(&L, &a->x);
    fp2_half(&t, &L);
    fp2_add(&L, &L, &t);
    fp2_sqr(&t, &L);
    fp2_sub(&t, &t, &T);
    fp2_sub(&out->x, &t, &T);
    fp2_sub(&T, &T, &out->x);
    fp2_mul(&T, &T, &L);
    fp2_sqr(&S, &S);
    fp2_sub(&out->y, &T, &S);
}

/* acc += b in Jacobian coordinates ("add-1998-cmo-2"); any of them may be infinity or equal. */
static void g2_add(g2_jac_t *acc, g2_jac_t const *b)
{
    if (fp2_is_zero(&b->z)) {
        return;
    }
    if (fp2_is_zero(&acc->z)) {
        *acc = *b;
        return;
    }
    fp2_t zz1, zz2, u1, u2, s1, s2, h, r, hh, hhh, t;
    fp2_sqr(&zz1, &acc->z);
    fp2_sqr(&zz2, &b->z);
    fp2_mul(&u1, &acc->x, &zz2);
    fp2_mul(&u2, &b->x, &zz1);
    fp2_mul(&t, &zz2, &b->z);
    fp2_mul(&s1, &acc->y, &t);
    fp2_mul(&t, &zz1, &acc->z);
    fp2_mul(&s2, &b->y, &t);
    fp2_sub(&h, &u2, &u1);
    fp2_sub(&r, &s2, &s1);
    if (fp2_is_zero(&h)) {
        if (fp2_is_zero(&r)) {
            g2_dbl(acc, acc);
        } else {
            memset(acc, 0, sizeof(*acc));
        }
        return;
    }
    fp2_mul(&t, &acc->z, &b->z);
    fp2_mul(&acc->z, &t, &h);
    fp2_sqr(&hh, &h);
    fp2_mul(&hhh, &hh, &h);
    fp2_mul(&u1, &u1, &hh);
    fp2_sqr(&t, &r);
    fp2_sub(&t, &t, &hhh);
    fp2_sub(&t, &t, &u1);
    fp2_sub(&acc->x, &t, &u1);
    fp2_sub(&u1, &u1, &acc->x);
    fp2_mul(&u1, &u1, &r);
    fp2_mul(&s1, &s1, &hhh);
    fp2_sub(&acc->y, &u1, &s1);
}

/* Frobenius' map, carried over to the twist: there and back by (x w^2, y w^3). */
static void g2_frob(g2_jac_t *out, g2_jac_t const *a)
{
    fp2_t t;
    fp2_conj(&t, &a->x);
    fp2_mul(&out->x, &t, &frob[1]);
    fp2_conj(&t, &a->y);
    fp2_mul(&out->y, &t, &frob[2]);
    fp2_conj(&out->z, &a->z);
}

/* True if a, a point of the twist and not infinity, has order r. With f for Frobenius' map:
   [t+1] a + f([t] a) + f^2([t] a) = f^3([2t] a), by El Housni, Guillevic, Piellard 2022, section 4.3.
   On the whole twist f satisfies f^2 - [6t^2 + 1] f + [p] = 0; the norm of the condition in the ring that f
   generates shares with the group's order, r (2p - r), the factor r only. */
static bool g2_has_prime_order(g2_t const *a)
{
    g2_jac_t base  = {a->x, a->y, {fp_one, COH_U256_ZERO}};
    g2_jac_t minus = base;
    fp2_neg(&minus.y, &minus.y);
    g2_jac_t mul = base;
    for (size_t i = 1; i < COH_CNT(param_digits); i++) {
        g2_dbl(&mul, &mul);
        if (param_digits[i] != 0) {
            g2_add(&mul, param_digits[i] > 0 ? &base : &minus);
        }
    }
    g2_jac_t image1, image2, image3, sum = mul;
    g2_frob(&image1, &mul);
    g2_frob(&image2, &image1);
    g2_frob(&image3, &image2);
    g2_dbl(&image3, &image3);
    g2_add(&sum, &base);
    g2_add(&sum, &image1);
    g2_add(&sum, &image2);
    fp2_neg(&image3.y, &image3.y);
    g2_add(&sum, &image3);
    return fp2_is_zero(&sum.z);
}

/* False if the encoding is none of a point of the subgroup. */
static bool g2_decode(g2_t *out, uint8_t const in[COH_BN254_G2_SZ])
{
    if (!fp_from_be(&out->x.c1, in) || !fp_from_be(&out->x.c0, in + 32) ||
        !fp_from_be(&out->y.c1, in + 64) || !fp_from_be(&out->y.c0, in + 96)) {
        return false;
    }
    if (g2_is_infinity(out)) {
        return true;
    }
    fp2_t lhs, rhs;
    fp2_sqr(&lhs, &out->y);
    fp2_sqr(&rhs, &out->x);
    fp2_mul(&rhs, &rhs, &out->x);
    fp2_add(&rhs, &rhs, &twist_b);
    return fp2_eq(&lhs, &rhs) && g2_has_prime_order(out);
}

/* ---- The pairing ---- */

/* A point of the twist in homogeneous coordinates (x / z, y / z). */
typedef struct {
    fp2_t x, y, z;
} g2_hom_t;

/* The line a + b w + c w v, up to a factor in Fp2; a is to be multiplied by the y, b by the x of the point
   of G1 at which it is taken. */
typedef struct {
    fp2_t a, b, c;
} line_t;

/* Doubles q, and gives the tangent there (Costello, Lange, Naehrig 2010, section 5). */
static void line_double(line_t *line, g2_hom_t *q)
{
    fp2_t A, B, C, E, F, G, H, t;
    fp2_mul(&A, &q->x, &q->y);
    fp2_half(&A, &A);
    fp2_sqr(&B, &q->y);
    fp2_sqr(&C, &q->z);
    fp2_dbl(&E, &C);
    fp2_add(&E, &E, &C);
    fp2_mul(&E, &E, &twist_b); /* 3 b z^2 */
    fp2_dbl(&F, &E);
    fp2_add(&F, &F, &E);
    fp2_add(&G, &B, &F);
    fp2_half(&G, &G);
    fp2_add(&H, &q->y, &q->z);
    fp2_sqr(&H, &H);
    fp2_sub(&H, &H, &B);
    fp2_sub(&H, &H, &C); /* 2 y z */
    fp2_sub(&line->c, &E, &B);
    fp2_sqr(&t, &q->x);
    fp2_dbl(&line->b, &t);
    fp2_add(&line->b, &line->b, &t);
    fp2_neg(&line->a, &H);
    fp2_sub(&t, &B, &F);
    fp2_mul(&q->x, &A, &t);
    fp2_sqr(&E, &E);
    fp2_dbl(&t, &E);
    fp2_add(&E, &E, &t);
    fp2_sqr(&G, &G);
    fp2_sub(&q->y, &G, &E);
    fp2_mul(&q->z, &B, &H);
}

/* Adds b to q, and gives the line through both, which are neither equal nor opposite: multiples of a point
   of order r by numbers that differ in magnitude modulo r. */
static void line_add(line_t *line, g2_hom_t *q, g2_t const *b)
{
    fp2_t theta, lambda, C, D, E, F, G, H, t;
    fp2_mul(&t, &b->y, &q->z);
    fp2_sub(&theta, &q->y, &t);
    fp2_mul(&t, &b->x, &q->z);
    fp2_sub(&lambda, &q->x, &t);
    fp2_sqr(&C, &theta);
    fp2_sqr(&D, &lambda);
    fp2_mul(&E, &lambda, &D);
    fp2_mul(&F, &q->z, &C);
    fp2_mul(&G, &q->x, &D);
    fp2_add(&H, &E, &F);
    fp2_sub(&H, &H, &G);
    fp2_sub(&H, &H, &G);
    fp2_mul(&q->x, &lambda, &H);
    fp2_sub(&G, &G, &H);
    fp2_mul(&G, &G, &theta);
    fp2_mul(&t, &E, &q->y);
    fp2_sub(&q->y, &G, &t);
    fp2_mul(&q->z, &q->z, &E);
    line->a = lambda;
    fp2_neg(&line->b, &theta);
    fp2_mul(&line->c, &theta, &b->x);
    fp2_mul(&t, &lambda, &b->y);
    fp2_sub(&line->c, &line->c, &t);
}

/* f *= the line's value at p */
static void mul_line(fp12_t *f, line_t const *line, g1_t const *p)
{
    fp2_t a, b, s;
    fp6_t low, high, mixed;
    fp2_mul_fp(&a, &line->a, &p->y);
    fp2_mul_fp(&b, &line->b, &p->x);
    fp2_mul(&low.c0, &f->c0.c0, &a);
    fp2_mul(&low.c1, &f->c0.c1, &a);
    fp2_mul(&low.c2, &f->c0.c2, &a);
    fp6_mul_01(&high, &f->c1, &b, &line->c);
    fp6_add(&mixed, &f->c0, &f->c1);
    fp2_add(&s, &a, &b);
    fp6_mul_01(&mixed, &mixed, &s, &line->c);
    fp6_sub(&mixed, &mixed, &low);
    fp6_sub(&f->c1, &mixed, &high);
    fp6_mul_v(&high, &high);
    fp6_add(&f->c0, &low, &high);
}

typedef struct {
    g1_t p;
    g2_t q;
    g2_t minus_q;
    g2_hom_t acc; /* the multiple of q reached */
} pair_t;

/* Pairs whose loops run together and share its squarings. */
enum { BATCH = 8 };

static void pair_add(fp12_t *f, pair_t *pair, g2_t const *q)
{
    line_t line;
    line_add(&line, &pair->acc, q);
    mul_line(f, &line, &pair->p);
}

/* f *= the Miller functions of cnt <= BATCH pairs (Vercauteren 2010: optimal ate, here that of 6t + 2
   with two more lines). */
static void miller_loop(fp12_t *f, pair_t *pairs, size_t cnt)
{
    fp12_t acc;
    fp12_set_one(&acc);
    for (size_t k = 0; k < cnt; k++) {
        pair_t *pair  = &pairs[k];
        pair->minus_q = pair->q;
        fp2_neg(&pair->minus_q.y, &pair->minus_q.y);
        pair->acc = (g2_hom_t){pair->q.x, pair->q.y, {fp_one, COH_U256_ZERO}};
    }
    for (size_t i = 1; i < COH_CNT(loop_digits); i++) {
        if (i > 1) {
            fp12_sqr(&acc, &acc);
        }
        for (size_t k = 0; k < cnt; k++) {
            line_t line;
            line_double(&line, &pairs[k].acc);
            mul_line(&acc, &line, &pairs[k].p);
            if (loop_digits[i] != 0) {
                pair_add(&acc, &pairs[k], loop_digits[i] > 0 ? &pairs[k].q : &pairs[k].minus_q);
            }
        }
    }
    for (size_t k = 0; k < cnt; k++) {
        g2_jac_t q = {pairs[k].q.x, pairs[k].q.y, {fp_one, COH_U256_ZERO}}, image1, image2;
        g2_frob(&image1, &q);
        g2_frob(&image2, &image1);
        fp2_neg(&image2.y, &image2.y);
        pair_add(&acc, &pairs[k], &(g2_t){image1.x, image1.y});
        pair_add(&acc, &pairs[k], &(g2_t){image2.x, image2.y});
    }
    fp12_mul(f, f, &acc);
}

/* f^(2t(6t^2 + 3t + 1) (p^12 - 1) / r): one exactly if f^((p^12 - 1) / r) is, since r does not divide the
   extra factor (Fuentes-Castaneda, Knapp, Rodriguez-Henriquez 2011). */
static void final_exp(fp12_t *f)
{
    /* (p^6 - 1)(p^2 + 1) */
    fp12_t a, b;
    fp12_inv(&a, f);
    fp12_conj(&b, f);
    fp12_mul(&a, &a, &b);
    fp12_frob2(&b, &a);
    fp12_mul(f, &a, &b);
    /* f^(l0 + l1 p + l2 p^2 + l3 p^3) with l2 = 12t^3 + 6t^2 + 6t, l1 = l2 - 2t, l0 = l2 + 6t^2 + 1,
       l3 = l1 - 1 */
    fp12_t f2t, f6t, f6t2, f12t3, l0, l1, l2, l3;
    cyclo_pow_param(&a, f);
    cyclo_sqr(&f2t, &a);
    cyclo_sqr(&f6t, &f2t);
    fp12_mul(&f6t, &f6t, &f2t);
    cyclo_pow_param(&f6t2, &f6t);
    cyclo_sqr(&a, &f6t2);
    cyclo_pow_param(&f12t3, &a);
    fp12_mul(&l2, &f12t3, &f6t2);
    fp12_mul(&l2, &l2, &f6t);
    fp12_conj(&a, &f2t);
    fp12_mul(&l1, &l2, &a);
    fp12_mul(&l0, &l2, &f6t2);
    fp12_mul(&l0, &l0, f);
    fp12_conj(&a, f);
    fp12_mul(&l3, &l1, &a);
    fp12_frob(&a, &l1);
    fp12_mul(f, &l0, &a);
    fp12_frob2(&a, &l2);
    fp12_mul(f, f, &a);
    fp12_frob2(&a, &l3);
    fp12_frob(&b, &a);
    fp12_mul(f, f, &b);
}

coh_err_t coh_bn254_pairing_check(bool *is_one, uint8_t const *pairs, size_t cnt)
{
    coh_bn254_choose_backend();
    pair_t batch[BATCH];
    size_t used = 0;
    fp12_t f;
    fp12_set_one(&f);
    for (size_t i = 0; i < cnt; i++, pairs += COH_BN254_PAIR_SZ) {
        pair_t *pair = &batch[used];
        if (!g1_decode(&pair->p, pairs) || !g2_decode(&pair->q, pairs + COH_BN254_G1_SZ)) {
            return COH_EMALFORMED;
        }
        /* A pairing with infinity is one. */
        if (!g1_is_infinity(&pair->p) && !g2_is_infinity(&pair->q) && ++used == BATCH) {
            miller_loop(&f, batch, used);
            used = 0;
        }
    }
    if (used > 0) {
        miller_loop(&f, batch, used);
    }
    final_exp(&f);
    *is_one = fp12_is_one(&f);
    return COH_OK;
}

bool coh_bn254_force_backend(char const *name)
{
    coh_bn254_backend_t backend = strcmp(name, "plain") == 0 ? COH_BN254_PLAIN
                                  : strcmp(name, "adx") == 0 && coh_bn254_has_adx()
                                      ? COH_BN254_ADX
                                      : COH_BN254_UNKNOWN;
    if (backend == COH_BN254_UNKNOWN) {
        return false;
    }
    atomic_store_explicit(&coh_bn254_backend, backend, memory_order_relaxed);
    return true;
}
