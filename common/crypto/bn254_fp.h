/* bn254_fp.h: the prime field of alt_bn128, for bn254.c alone. An element x is kept as x * 2^256 mod p
   (Montgomery form), below 2p, with p = 0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47.
   So zero and one have two forms each, but products need no last subtraction: with factors below 2p < 2^255 they
   stay below 2p by themselves. coh_bn254_fp_settle gives the form below p.

   Almost all time of the curve goes into the few functions here, and compilers make carry chains badly. So each
   is there twice: plain, for every machine, and as x86-64 assembly. The product's uses MULX, ADCX and ADOX
   (BMI2 and ADX), after asking the processor once. */
#ifndef COH_BN254_FP_H
#define COH_BN254_FP_H

#include <stdatomic.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "common/base/u256.h"

typedef coh_u256_t coh_bn254_fp_t;

#define COH_BN254_WORDS(a, b, c, d)                            \
    {                                                          \
        {                                                      \
            UINT64_C(a), UINT64_C(b), UINT64_C(c), UINT64_C(d) \
        }                                                      \
    }

static coh_u256_t const coh_bn254_prime =
    COH_BN254_WORDS(0x3c208c16d87cfd47, 0x97816a916871ca8d, 0xb85045b68181585d, 0x30644e72e131a029);
static coh_u256_t const coh_bn254_twice_prime =
    COH_BN254_WORDS(0x7841182db0f9fa8e, 0x2f02d522d0e3951a, 0x70a08b6d0302b0bb, 0x60c89ce5c2634053);
/* -1/p mod 2^64 */
static uint64_t const coh_bn254_prime_inv = UINT64_C(0x87d20782e4866389);

/* ---- plain ---- */

/* out = a - limit if a >= limit. */
static inline void coh_bn254_fp_less(coh_bn254_fp_t *out,
                                     coh_u256_t const *a,
                                     coh_u256_t const *limit)
{
    coh_u256_t less;
    uint64_t keep = -(uint64_t)coh_u256_sub(&less, a, limit);
    for (int i = 0; i < 4; i++) {
        out->w[i] = (a->w[i] & keep) | (less.w[i] & ~keep);
    }
}

static inline void coh_bn254_fp_settle(coh_bn254_fp_t *out, coh_bn254_fp_t const *a)
{
    coh_bn254_fp_less(out, a, &coh_bn254_prime);
}

static inline void coh_bn254_fp_add_plain(coh_bn254_fp_t *out,
                                          coh_bn254_fp_t const *a,
                                          coh_bn254_fp_t const *b)
{
    coh_u256_t sum;
    (void)coh_u256_add(&sum, a, b); /* 4p < 2^256 */
    coh_bn254_fp_less(out, &sum, &coh_bn254_twice_prime);
}

static inline void coh_bn254_fp_sub_plain(coh_bn254_fp_t *out,
                                          coh_bn254_fp_t const *a,
                                          coh_bn254_fp_t const *b)
{
    coh_u256_t diff, addend;
    uint64_t below = -(uint64_t)coh_u256_sub(&diff, a, b);
    for (int i = 0; i < 4; i++) {
        addend.w[i] = coh_bn254_twice_prime.w[i] & below;
    }
    (void)coh_u256_add(out, &diff, &addend);
}

/* a + b * c + carry, which fits two words; the high one becomes the carry. */
static inline uint64_t coh_bn254_mac(uint64_t a, uint64_t b, uint64_t c, uint64_t *carry)
{
    coh_u128_t t = (coh_u128_t)b * c + a + *carry;
    *carry       = (uint64_t)(t >> 64);
    return (uint64_t)t;
}

/* Montgomery's product, word by word (Koc, Acar, Kaliski 1996, "CIOS"). Since 3p < 2^256, no step carries
   beyond four words. */
static inline void coh_bn254_fp_mul_plain(coh_bn254_fp_t *out,
                                          coh_bn254_fp_t const *a,
                                          coh_bn254_fp_t const *b)
{
    uint64_t const *p = coh_bn254_prime.w;
    uint64_t t0 = 0, t1 = 0, t2 = 0, t3 = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t hi = 0, lo = 0, k = b->w[i];
        t0         = coh_bn254_mac(t0, a->w[0], k, &hi);
        uint64_t m = t0 * coh_bn254_prime_inv;
        (void)coh_bn254_mac(t0, m, p[0], &lo);
        t1 = coh_bn254_mac(t1, a->w[1], k, &hi);
        t0 = coh_bn254_mac(t1, m, p[1], &lo);
        t2 = coh_bn254_mac(t2, a->w[2], k, &hi);
        t1 = coh_bn254_mac(t2, m, p[2], &lo);
        t3 = coh_bn254_mac(t3, a->w[3], k, &hi);
        t2 = coh_bn254_mac(t3, m, p[3], &lo);
        t3 = lo + hi;
    }
    *out = (coh_bn254_fp_t){{t0, t1, t2, t3}};
}

#if defined(__x86_64__)

/* ---- x86-64 ---- */

/* The words of p, or of 2p, where the linker puts them: no register is needed to reach them. */
#define COH_BN254_ASM_WORDS(a) \
    [p0] "m"((a).w[0]), [p1] "m"((a).w[1]), [p2] "m"((a).w[2]), [p3] "m"((a).w[3])

static inline void coh_bn254_fp_add(coh_bn254_fp_t *out,
                                    coh_bn254_fp_t const *a,
                                    coh_bn254_fp_t const *b)
{
    uint64_t t0 = a->w[0], t1 = a->w[1], t2 = a->w[2], t3 = a->w[3], s0, s1, s2, s3;
    __asm__("addq 0(%[b]), %[t0]\n\t"
            "adcq 8(%[b]), %[t1]\n\t"
            "adcq 16(%[b]), %[t2]\n\t"
            "adcq 24(%[b]), %[t3]\n\t"
            "movq %[t0], %[s0]\n\t"
            "movq %[t1], %[s1]\n\t"
            "movq %[t2], %[s2]\n\t"
            "movq %[t3], %[s3]\n\t"
            "subq %[p0], %[s0]\n\t"
            "sbbq %[p1], %[s1]\n\t"
            "sbbq %[p2], %[s2]\n\t"
            "sbbq %[p3], %[s3]\n\t"
            "cmovcq %[t0], %[s0]\n\t"
            "cmovcq %[t1], %[s1]\n\t"
            "cmovcq %[t2], %[s2]\n\t"
            "cmovcq %[t3], %[s3]\n\t"
            : [t0] "+&r"(t0),
              [t1] "+&r"(t1),
              [t2] "+&r"(t2),
              [t3] "+&r"(t3),
              [s0] "=&r"(s0),
              [s1] "=&r"(s1),
              [s2] "=&r"(s2),
              [s3] "=&r"(s3)
            : [b] "r"(b->w), "m"(*b), COH_BN254_ASM_WORDS(coh_bn254_twice_prime)
            : "cc");
    *out = (coh_bn254_fp_t){{s0, s1, s2, s3}};
}

static inline void coh_bn254_fp_sub(coh_bn254_fp_t *out,
                                    coh_bn254_fp_t const *a,
                                    coh_bn254_fp_t const *b)
{
    uint64_t t0 = a->w[0], t1 = a->w[1], t2 = a->w[2], t3 = a->w[3], s0, s1, s2, s3;
    __asm__("subq 0(%[b]), %[t0]\n\t"
            "sbbq 8(%[b]), %[t1]\n\t"
            "sbbq 16(%[b]), %[t2]\n\t"
            "sbbq 24(%[b]), %[t3]\n\t"
            "sbbq %[s3], %[s3]\n\t" /* all ones if negative */
            "movq %[s3], %[s0]\n\t"
            "movq %[s3], %[s1]\n\t"
            "movq %[s3], %[s2]\n\t"
            "andq %[p0], %[s0]\n\t"
            "andq %[p1], %[s1]\n\t"
            "andq %[p2], %[s2]\n\t"
            "andq %[p3], %[s3]\n\t"
            "addq %[s0], %[t0]\n\t"
            "adcq %[s1], %[t1]\n\t"
            "adcq %[s2], %[t2]\n\t"
            "adcq %[s3], %[t3]\n\t"
            : [t0] "+&r"(t0),
              [t1] "+&r"(t1),
              [t2] "+&r"(t2),
              [t3] "+&r"(t3),
              [s0] "=&r"(s0),
              [s1] "=&r"(s1),
              [s2] "=&r"(s2),
              [s3] "=&r"(s3)
            : [b] "r"(b->w), "m"(*b), COH_BN254_ASM_WORDS(coh_bn254_twice_prime)
            : "cc");
    *out = (coh_bn254_fp_t){{t0, t1, t2, t3}};
}

/* s0 : t = t + a * b[i], where b[i] is in rdx. The low halves go along one chain of carries, the high ones along
   the other. */
#define COH_BN254_ASM_MUL_ROW                           \
    "xorl %k[s1], %k[s1]\n\t" /* clears both carries */ \
    "mulxq 0(%[a]), %[s1], %[s0]\n\t"                   \
    "adoxq %[s1], %[t0]\n\t"                            \
    "adcxq %[s0], %[t1]\n\t"                            \
    "mulxq 8(%[a]), %[s1], %[s0]\n\t"                   \
    "adoxq %[s1], %[t1]\n\t"                            \
    "adcxq %[s0], %[t2]\n\t"                            \
    "mulxq 16(%[a]), %[s1], %[s0]\n\t"                  \
    "adoxq %[s1], %[t2]\n\t"                            \
    "adcxq %[s0], %[t3]\n\t"                            \
    "mulxq 24(%[a]), %[s1], %[s0]\n\t"                  \
    "movl $0, %k[s2]\n\t"                               \
    "adoxq %[s1], %[t3]\n\t"                            \
    "adcxq %[s2], %[s0]\n\t"                            \
    "adoxq %[s2], %[s0]\n\t"

/* t = (s0 : t + m * p) / 2^64 with the m that makes the lowest word zero. */
#define COH_BN254_ASM_REDUCE_ROW    \
    "movq %[inv], %%rdx\n\t"        \
    "imulq %[t0], %%rdx\n\t"        \
    "xorl %k[s1], %k[s1]\n\t"       \
    "mulxq %[p0], %[s1], %[s2]\n\t" \
    "adcxq %[t0], %[s1]\n\t"        \
    "movq %[s2], %[t0]\n\t"         \
    "adcxq %[t1], %[t0]\n\t"        \
    "mulxq %[p1], %[s1], %[t1]\n\t" \
    "adoxq %[s1], %[t0]\n\t"        \
    "adcxq %[t2], %[t1]\n\t"        \
    "mulxq %[p2], %[s1], %[t2]\n\t" \
    "adoxq %[s1], %[t1]\n\t"        \
    "adcxq %[t3], %[t2]\n\t"        \
    "mulxq %[p3], %[s1], %[t3]\n\t" \
    "movl $0, %k[s2]\n\t"           \
    "adoxq %[s1], %[t2]\n\t"        \
    "adcxq %[s2], %[t3]\n\t"        \
    "adoxq %[s0], %[t3]\n\t"

static inline void coh_bn254_fp_mul_adx(coh_bn254_fp_t *out,
                                        coh_bn254_fp_t const *a,
                                        coh_bn254_fp_t const *b)
{
    uint64_t t0 = 0, t1 = 0, t2 = 0, t3 = 0, s0, s1, s2;
    __asm__("movq 0(%[b]), %%rdx\n\t" COH_BN254_ASM_MUL_ROW COH_BN254_ASM_REDUCE_ROW
            "movq 8(%[b]), %%rdx\n\t" COH_BN254_ASM_MUL_ROW COH_BN254_ASM_REDUCE_ROW
            "movq 16(%[b]), %%rdx\n\t" COH_BN254_ASM_MUL_ROW COH_BN254_ASM_REDUCE_ROW
            "movq 24(%[b]), %%rdx\n\t" COH_BN254_ASM_MUL_ROW COH_BN254_ASM_REDUCE_ROW
            : [t0] "+&r"(t0),
              [t1] "+&r"(t1),
              [t2] "+&r"(t2),
              [t3] "+&r"(t3),
              [s0] "=&r"(s0),
              [s1] "=&r"(s1),
              [s2] "=&r"(s2)
            : [a] "r"(a->w),
              [b] "r"(b->w),
              COH_BN254_ASM_WORDS(coh_bn254_prime),
              [inv] "m"(coh_bn254_prime_inv),
              "m"(*a),
              "m"(*b)
            : "cc", "rdx");
    *out = (coh_bn254_fp_t){{t0, t1, t2, t3}};
}

/* True if the processor has BMI2 and ADX. */
static inline bool coh_bn254_has_adx(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & bit_BMI2) != 0 &&
           (ebx & bit_ADX) != 0;
}

#else

static inline bool coh_bn254_has_adx(void) { return false; }

static inline void coh_bn254_fp_add(coh_bn254_fp_t *out,
                                    coh_bn254_fp_t const *a,
                                    coh_bn254_fp_t const *b)
{
    coh_bn254_fp_add_plain(out, a, b);
}

static inline void coh_bn254_fp_sub(coh_bn254_fp_t *out,
                                    coh_bn254_fp_t const *a,
                                    coh_bn254_fp_t const *b)
{
    coh_bn254_fp_sub_plain(out, a, b);
}

#define coh_bn254_fp_mul_adx coh_bn254_fp_mul_plain

#endif

/* Which product to take; asked for at the first use. Threads that race there store the same. */
typedef enum { COH_BN254_UNKNOWN, COH_BN254_PLAIN, COH_BN254_ADX } coh_bn254_backend_t;
static _Atomic(coh_bn254_backend_t) coh_bn254_backend;

static inline void coh_bn254_choose_backend(void)
{
    if (COH_UNLIKELY(atomic_load_explicit(&coh_bn254_backend, memory_order_relaxed) ==
                     COH_BN254_UNKNOWN)) {
        atomic_store_explicit(&coh_bn254_backend,
                              coh_bn254_has_adx() ? COH_BN254_ADX : COH_BN254_PLAIN,
                              memory_order_relaxed);
    }
}

static inline void coh_bn254_fp_mul(coh_bn254_fp_t *out,
                                    coh_bn254_fp_t const *a,
                                    coh_bn254_fp_t const *b)
{
    if (COH_LIKELY(atomic_load_explicit(&coh_bn254_backend, memory_order_relaxed) ==
                   COH_BN254_ADX)) {
        coh_bn254_fp_mul_adx(out, a, b);
    } else {
        coh_bn254_fp_mul_plain(out, a, b);
    }
}

#endif
