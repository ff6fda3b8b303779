#include "common/crypto/modexp.h"

#include <gmp.h>

#include "common/base/assert.h"

static void import(mpz_t out, coh_modexp_num_t num)
{
    COH_ASSERT(num.head.n <= num.len);
    mpz_init(out);
    mpz_import(out, num.head.n, 1, 1, 1, 0, num.head.p);
    mpz_mul_2exp(out, out, 8 * (num.len - num.head.n));
}

void coh_modexp(uint8_t *out, coh_modexp_num_t base, coh_modexp_num_t exp, coh_modexp_num_t mod)
{
    if (mod.len == 0) {
        return; /* no result, so its operands are not even read: they may be long */
    }
    memset(out, 0, mod.len);
    mpz_t b, e, m;
    import(m, mod);
    if (mpz_sgn(m) != 0) {
        import(b, base);
        import(e, exp);
        mpz_powm(b, b, e, m);
        size_t octets = (mpz_sizeinbase(b, 2) + 7) / 8;
        if (mpz_sgn(b) != 0) {
            (void)mpz_export(out + (mod.len - octets), NULL, 1, 1, 1, 0, b);
        }
        mpz_clear(e);
        mpz_clear(b);
    }
    mpz_clear(m);
}

char const *coh_modexp_library(void) { return gmp_version; }
