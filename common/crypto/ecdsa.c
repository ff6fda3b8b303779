#include "common/crypto/ecdsa.h"

#include <pthread.h>
#include <secp256k1.h>
#include <secp256k1_recovery.h>

#include "common/base/assert.h"
#include "common/crypto/keccak.h"

/* Created once and never changed nor destroyed: libsecp256k1 then allows its use by any number
   of threads. It is not randomized, which only matters to who signs with long-lived secrets
   under an observer's eyes. */
static secp256k1_context *ctx;
static pthread_once_t ctx_once = PTHREAD_ONCE_INIT;

static void create_context(void)
{
    ctx = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
    COH_ASSERT(ctx != NULL);
}

static secp256k1_context const *context(void)
{
    COH_ASSERT(pthread_once(&ctx_once, create_context) == 0);
    return ctx;
}

/* The low 20 octets of the hash of the point's coordinates (Yellow Paper, Appendix F). */
static void address_of(coh_addr_t *out, secp256k1_pubkey const *key)
{
    uint8_t point[65];
    size_t n = sizeof(point);
    (void)secp256k1_ec_pubkey_serialize(context(), point, &n, key, SECP256K1_EC_UNCOMPRESSED);
    coh_hash_t hash;
    coh_keccak256(&hash, point + 1, 64);
    memcpy(out->b, hash.b + 12, sizeof(out->b));
}

coh_err_t coh_ecdsa_recover(coh_addr_t *out, coh_hash_t const *digest, coh_sig_t const *sig)
{
    if (sig->parity > 1) {
        return COH_ESIG;
    }
    uint8_t compact[64];
    memcpy(compact, sig->r, 32);
    memcpy(compact + 32, sig->s, 32);
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey key;
    if (!secp256k1_ecdsa_recoverable_signature_parse_compact(
            context(), &parsed, compact, sig->parity) ||
        !secp256k1_ecdsa_recover(context(), &key, &parsed, digest->b)) {
        return COH_ESIG;
    }
    address_of(out, &key);
    return COH_OK;
}

coh_err_t coh_ecdsa_sign(coh_sig_t *out, coh_hash_t const *digest, uint8_t const secret[32])
{
    secp256k1_ecdsa_recoverable_signature sig;
    if (!secp256k1_ecdsa_sign_recoverable(
            context(), &sig, digest->b, secret, secp256k1_nonce_function_rfc6979, NULL)) {
        return COH_ESIG;
    }
    uint8_t compact[64];
    int recid;
    (void)secp256k1_ecdsa_recoverable_signature_serialize_compact(context(), compact, &recid, &sig);
    /* 2 and 3 mean that R's x exceeds the group order, which nobody can bring about: 2^-127. */
    COH_ASSERT(recid == 0 || recid == 1);
    memcpy(out->r, compact, 32);
    memcpy(out->s, compact + 32, 32);
    out->parity = (uint8_t)recid;
    return COH_OK;
}

coh_err_t coh_ecdsa_address(coh_addr_t *out, uint8_t const secret[32])
{
    secp256k1_pubkey key;
    if (!secp256k1_ec_pubkey_create(context(), &key, secret)) {
        return COH_ESIG;
    }
    address_of(out, &key);
    return COH_OK;
}

bool coh_ecdsa_is_low_s(uint8_t const s[32])
{
    static uint8_t const half_order[32] = {
        0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4,
        0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
    };
    return memcmp(s, half_order, sizeof(half_order)) <= 0;
}
