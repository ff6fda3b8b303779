/* Cost of 256-bit arithmetic: one line of JSON, nanoseconds of CPU for each operation, over independent random
   operands that lie in the first-level cache; the best of several rounds.
   usage: bench_u256 [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/base/u256.h"

enum { OPERANDS = 256, TURNS = 200 };

typedef struct {
    coh_u256_t a[OPERANDS], b[OPERANDS], m[OPERANDS], out[OPERANDS];
} set_t;

/* Words of exactly limbs limbs. */
static void fill(coh_u256_t *v, coh_rng_t *rng, int limbs)
{
    for (size_t i = 0; i < OPERANDS; i++) {
        v[i] = COH_U256_ZERO;
        for (int k = 0; k < limbs; k++) {
            v[i].w[k] = coh_rng_next(rng) | 1;
        }
    }
}

static void below(coh_u256_t *v, coh_rng_t *rng, uint64_t bound)
{
    for (size_t i = 0; i < OPERANDS; i++) {
        v[i] = coh_u256(coh_rng_below(rng, bound));
    }
}

/* One pass of an operation over all operands. */
#define PASS(name, statement)                   \
    static void name(set_t *s)                  \
    {                                           \
        for (size_t i = 0; i < OPERANDS; i++) { \
            statement;                          \
        }                                       \
    }

PASS(add, (void)coh_u256_add(&s->out[i], &s->a[i], &s->b[i]))
PASS(sub, (void)coh_u256_sub(&s->out[i], &s->a[i], &s->b[i]))
PASS(lt, s->out[i].w[0] = coh_u256_lt(&s->a[i], &s->b[i]))
PASS(mul, coh_u256_mul(&s->out[i], &s->a[i], &s->b[i]))
PASS(div_, coh_u256_div(&s->out[i], &s->a[i], &s->b[i]))
PASS(mod, coh_u256_mod(&s->out[i], &s->a[i], &s->b[i]))
PASS(sdiv, coh_u256_sdiv(&s->out[i], &s->a[i], &s->b[i]))
PASS(divmod_u64, (void)coh_u256_divmod_u64(&s->out[i], &s->a[i], s->b[i].w[0]))
PASS(addmod, coh_u256_addmod(&s->out[i], &s->a[i], &s->b[i], &s->m[i]))
PASS(mulmod, coh_u256_mulmod(&s->out[i], &s->a[i], &s->b[i], &s->m[i]))
PASS(exp_, coh_u256_exp(&s->out[i], &s->a[i], &s->b[i]))
PASS(shl, coh_u256_shl(&s->out[i], &s->b[i], &s->a[i]))
PASS(shr, coh_u256_shr(&s->out[i], &s->b[i], &s->a[i]))
PASS(sar, coh_u256_sar(&s->out[i], &s->b[i], &s->a[i]))
PASS(signextend, coh_u256_signextend(&s->out[i], &s->b[i], &s->a[i]))
PASS(byte_, coh_u256_byte(&s->out[i], &s->b[i], &s->a[i]))
PASS(load_be, s->out[i] = coh_u256_load_be((uint8_t const *)&s->a[i]))

static unsigned long rounds  = 9;
static char const *separator = "";

static void report(char const *name, set_t *s, void (*pass)(set_t *))
{
    double best = 1e99;
    for (unsigned long r = 0; r < rounds; r++) {
        uint64_t start = coh_clock_thread_cpu_ns();
        for (int t = 0; t < TURNS; t++) {
            pass(s);
            __asm__ volatile("" ::"r"(s) : "memory");
        }
        double ns = (double)(coh_clock_thread_cpu_ns() - start) / (TURNS * OPERANDS);
        best      = COH_MIN(best, ns);
    }
    printf("%s\"%s\":%.2f", separator, name, best);
    separator = ",";
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : rounds;
    if (rounds == 0) {
        fprintf(stderr, "usage: %s [ROUNDS]\n", argv[0]);
        return 2;
    }
    static set_t s;
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    printf("{\"bench\":\"u256\",\"ns_per_op\":{");
    fill(s.a, &rng, 4);
    fill(s.b, &rng, 4);
    report("add", &s, add);
    report("sub", &s, sub);
    report("lt", &s, lt);
    report("mul", &s, mul);
    static char const *const div_names[] = {"div_1", "div_2", "div_3", "div_4"};
    for (int limbs = 1; limbs <= 4; limbs++) {
        fill(s.b, &rng, limbs);
        report(div_names[limbs - 1], &s, div_);
    }
    report("mod_4", &s, mod);
    fill(s.b, &rng, 2);
    report("sdiv_2", &s, sdiv);
    fill(s.a, &rng, 2);
    report("div_2_2", &s, div_);
    fill(s.a, &rng, 1);
    fill(s.b, &rng, 1);
    report("div_1_1", &s, div_);
    fill(s.a, &rng, 4);
    report("divmod_u64", &s, divmod_u64);
    fill(s.b, &rng, 4);
    fill(s.m, &rng, 4);
    report("addmod_any", &s, addmod);
    report("mulmod_any", &s, mulmod);
    for (size_t i = 0; i < OPERANDS; i++) {
        coh_u256_mod(&s.a[i], &s.a[i], &s.m[i]);
        coh_u256_mod(&s.b[i], &s.b[i], &s.m[i]);
    }
    report("addmod_reduced", &s, addmod);
    report("mulmod_reduced", &s, mulmod);
    fill(s.a, &rng, 1);
    fill(s.b, &rng, 1);
    fill(s.m, &rng, 1);
    report("mulmod_1", &s, mulmod);
    fill(s.a, &rng, 4);
    fill(s.b, &rng, 4);
    report("exp_256_bits", &s, exp_);
    below(s.a, &rng, 12);
    below(s.b, &rng, 32);
    report("exp_5_bits", &s, exp_);
    fill(s.a, &rng, 4);
    below(s.b, &rng, 256);
    report("shl", &s, shl);
    report("shr", &s, shr);
    report("sar", &s, sar);
    below(s.b, &rng, 33);
    report("signextend", &s, signextend);
    report("byte", &s, byte_);
    report("load_be", &s, load_be);
    printf("}}\n");
    return 0;
}
