/* openssl.c: what this folder needs of OpenSSL: SHA-256, RIPEMD-160, HMAC-SHA256, P-256. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/crypto/hmac.h"
#include "common/crypto/p256.h"
#include "common/crypto/ripemd160.h"
#include "common/crypto/sha256.h"

/* Fetched once, never changed nor freed: OpenSSL then allows their use by any number of threads
   (openssl-threads(7)). Fetching by name at each call would cost more than the hash. */
static EVP_MD *md_sha256;
static EVP_MD *md_ripemd160;
static EC_GROUP *p256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    md_sha256    = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    md_ripemd160 = EVP_MD_fetch(NULL, "RIPEMD-160", NULL);
    p256         = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    COH_ASSERT(md_sha256 != NULL && EVP_MD_get_size(md_sha256) == (int)sizeof(coh_hash_t));
    COH_ASSERT(md_ripemd160 != NULL && EVP_MD_get_size(md_ripemd160) == COH_RIPEMD160_SZ);
    COH_ASSERT(p256 != NULL);
}

static void prepare(void) { COH_ASSERT(pthread_once(&once, fetch) == 0); }

void coh_sha256(coh_hash_t *out, void const *p, size_t n)
{
    prepare();
    COH_ASSERT(EVP_Digest(p, n, out->b, NULL, md_sha256, NULL) == 1);
}

void coh_ripemd160(uint8_t out[COH_RIPEMD160_SZ], void const *p, size_t n)
{
    prepare();
    COH_ASSERT(EVP_Digest(p, n, out, NULL, md_ripemd160, NULL) == 1);
}

char const *coh_sha256_library(void) { return OpenSSL_version(OPENSSL_VERSION_STRING); }

struct coh_hmac {
    EVP_MAC *mac;
    EVP_MAC_CTX *ctx;
};

coh_hmac_t *coh_hmac_new(coh_bytes_t key)
{
    COH_ASSERT(key.n > 0);
    coh_hmac_t *hmac    = coh_calloc(1, sizeof(*hmac));
    char digest[]       = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    hmac->mac           = EVP_MAC_fetch(NULL, "HMAC", NULL);
    hmac->ctx           = EVP_MAC_CTX_new(hmac->mac);
    COH_ASSERT(hmac->ctx != NULL && EVP_MAC_init(hmac->ctx, key.p, key.n, params) == 1);
    return hmac;
}

void coh_hmac_free(coh_hmac_t *hmac)
{
    if (hmac != NULL) {
        EVP_MAC_CTX_free(hmac->ctx);
        EVP_MAC_free(hmac->mac);
        free(hmac);
    }
}

void coh_hmac_add(coh_hmac_t *hmac, void const *p, size_t n)
{
    COH_ASSERT(n == 0 || EVP_MAC_update(hmac->ctx, p, n) == 1);
}

void coh_hmac_end(coh_hmac_t *hmac, coh_hash_t *out)
{
    size_t n = 0;
    COH_ASSERT(EVP_MAC_final(hmac->ctx, out->b, &n, sizeof(out->b)) == 1 && n == sizeof(out->b));
    COH_ASSERT(EVP_MAC_init(hmac->ctx, NULL, 0, NULL) == 1);
}

bool coh_secret_eq(void const *a, void const *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }

void coh_secret_wipe(void *p, size_t n) { OPENSSL_cleanse(p, n); }

void coh_secret_random(void *p, size_t n)
{
    ssize_t got = getrandom(p, n, 0);
    COH_ASSERT(got >= 0 && (size_t)got == n);
}

/* A number of 32 octets, owned by ctx. */
static BIGNUM *number(BN_CTX *ctx, uint8_t const p[32])
{
    BIGNUM *a = BN_CTX_get(ctx);
    COH_ASSERT(a != NULL && BN_bin2bn(p, 32, a) != NULL);
    return a;
}

/* FIPS 186-5, section 6.4.2. The functions that OpenSSL has for the whole of it are deprecated, or
   want a key object built for each call, which costs as much again. */
static bool verify(BN_CTX *ctx, EC_POINT *key, EC_POINT *sum, coh_p256_t const *in)
{
    BIGNUM const *order = EC_GROUP_get0_order(p256);
    BIGNUM const *field = EC_GROUP_get0_field(p256);
    BIGNUM *r = number(ctx, in->r), *s = number(ctx, in->s);
    BIGNUM *x = number(ctx, in->x), *y = number(ctx, in->y);
    BIGNUM *u1 = number(ctx, in->digest), *u2 = BN_CTX_get(ctx);
    COH_ASSERT(u2 != NULL);
    if (BN_is_zero(r) || BN_cmp(r, order) >= 0 || BN_is_zero(s) || BN_cmp(s, order) >= 0 ||
        BN_cmp(x, field) >= 0 || BN_cmp(y, field) >= 0 ||
        !EC_POINT_set_affine_coordinates(p256, key, x, y, ctx)) { /* not on the curve */
        return false;
    }
    COH_ASSERT(BN_mod_inverse(s, s, order, ctx) != NULL);
    COH_ASSERT(BN_mod_mul(u1, u1, s, order, ctx) == 1);
    COH_ASSERT(BN_mod_mul(u2, r, s, order, ctx) == 1);
    COH_ASSERT(EC_POINT_mul(p256, sum, u1, key, u2, ctx) == 1);
    if (EC_POINT_is_at_infinity(p256, sum)) {
        return false;
    }
    COH_ASSERT(EC_POINT_get_affine_coordinates(p256, sum, x, NULL, ctx) == 1);
    COH_ASSERT(BN_nnmod(x, x, order, ctx) == 1);
    return BN_cmp(x, r) == 0;
}

coh_err_t coh_p256_verify(coh_p256_t const *in)
{
    prepare();
    BN_CTX *ctx   = BN_CTX_new();
    EC_POINT *key = EC_POINT_new(p256), *sum = EC_POINT_new(p256);
    COH_ASSERT(ctx != NULL && key != NULL && sum != NULL);
    BN_CTX_start(ctx);
    bool valid = verify(ctx, key, sum, in);
    BN_CTX_end(ctx);
    EC_POINT_free(sum);
    EC_POINT_free(key);
    BN_CTX_free(ctx);
    ERR_clear_error(); /* a point off the curve leaves one */
    return valid ? COH_OK : COH_ESIG;
}
