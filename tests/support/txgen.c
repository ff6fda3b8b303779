#include "tests/support/txgen.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"

/* A kept transaction: its public part, the bytes that it borrows from, and the digest by which it is found. */
typedef struct kept {
    coh_txgen_tx_t tx;
    coh_hash_t digest; /* of key number and signing payload */
    struct kept *next;
    uint8_t raw[];
} kept_t;

#define BUCKET_CNT 65536u

struct coh_txgen {
    bool known[COH_TXGEN_KEY_MAX];
    coh_addr_t addrs[COH_TXGEN_KEY_MAX];
    uint8_t secrets[COH_TXGEN_KEY_MAX][32];
    coh_buf_t data;
    coh_buf_t access;
    coh_buf_t own; /* the list that only its type has */
    coh_buf_t scratch;
    size_t kept_cnt;
    kept_t *buckets[BUCKET_CNT];
};

coh_txgen_t *coh_txgen_new(void) { return coh_calloc(1, sizeof(coh_txgen_t)); }

void coh_txgen_trim(coh_txgen_t *gen, size_t keep)
{
    if (gen->kept_cnt <= keep) {
        return;
    }
    for (size_t i = 0; i < BUCKET_CNT; i++) {
        while (gen->buckets[i] != NULL) {
            kept_t *kept    = gen->buckets[i];
            gen->buckets[i] = kept->next;
            free(kept);
        }
    }
    gen->kept_cnt = 0;
}

void coh_txgen_free(coh_txgen_t *gen)
{
    coh_txgen_trim(gen, 0);
    coh_buf_free(&gen->data);
    coh_buf_free(&gen->access);
    coh_buf_free(&gen->own);
    coh_buf_free(&gen->scratch);
    free(gen);
}

static void make_key(coh_txgen_t *gen, uint32_t key)
{
    COH_ASSERT(key < COH_TXGEN_KEY_MAX);
    if (gen->known[key]) {
        return;
    }
    char text[64];
    int n = snprintf(text, sizeof(text), "cohort test key %u", key);
    coh_hash_t secret;
    coh_keccak256(&secret, text, (size_t)n);
    memcpy(gen->secrets[key], secret.b, sizeof(secret.b));
    coh_err_t err = coh_ecdsa_address(&gen->addrs[key], gen->secrets[key]);
    COH_ASSERT(err == COH_OK);
    gen->known[key] = true;
}

coh_addr_t coh_txgen_addr(coh_txgen_t *gen, uint32_t key)
{
    make_key(gen, key);
    return gen->addrs[key];
}

/* An entry of an access list (EIP-2930): [address, [key...]], with the first key_cnt slots. */
static void put_listed(coh_buf_t *out, coh_addr_t const *addr, uint32_t key_cnt)
{
    size_t entry = out->n;
    coh_rlp_put_string(out, addr->b, sizeof(addr->b));
    size_t keys = out->n;
    for (uint32_t k = 0; k < key_cnt; k++) {
        coh_hash_t key = {.b = {[31] = (uint8_t)k}};
        coh_rlp_put_string(out, key.b, sizeof(key.b));
    }
    coh_rlp_wrap_list(out, keys);
    coh_rlp_wrap_list(out, entry);
}

/* The payload of an access list: made-up members, then those that are given. Returns how many keys the latter have. */
static uint32_t put_access_list(coh_buf_t *out, coh_txgen_spec_t const *spec)
{
    uint32_t key_cnt = 0;
    for (uint32_t a = 0; a < spec->access_addr_cnt; a++) {
        coh_addr_t addr = {.b = {0xac, [19] = (uint8_t)a}};
        put_listed(out, &addr, spec->access_keys_each);
    }
    for (uint32_t i = 0; i < spec->listed_cnt; i++) {
        put_listed(out, &spec->listed[i].addr, spec->listed[i].slot_cnt);
        key_cnt += spec->listed[i].slot_cnt;
    }
    return key_cnt;
}

/* The payload of a list of versioned hashes (EIP-4844), made up. */
static void put_blobs(coh_buf_t *out, uint32_t cnt, coh_hash_t const *given)
{
    for (uint32_t i = 0; i < cnt; i++) {
        coh_hash_t hash = {.b = {0x01, 0xb1, [31] = (uint8_t)i}};
        coh_rlp_put_string(out, given != NULL ? given->b : hash.b, sizeof(hash.b));
    }
}

/* The payload of an authorization list (EIP-7702). */
static void put_auths(coh_txgen_t *gen, coh_buf_t *out, coh_txgen_auth_t const *auths, uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        coh_tx_auth_t auth = {.chain_id = coh_u256(auths[i].chain_id),
                              .addr     = auths[i].addr,
                              .nonce    = auths[i].nonce};
        make_key(gen, auths[i].key);
        coh_err_t err = coh_tx_auth_sign(&auth, gen->secrets[auths[i].key]);
        COH_ASSERT(err == COH_OK);
        auth.parity = auths[i].is_forged ? 2 : auth.parity;
        coh_tx_auth_put(out, &auth);
    }
}

coh_txgen_tx_t const *coh_txgen_make(coh_txgen_t *gen, coh_txgen_spec_t const *spec)
{
    make_key(gen, spec->key);
    coh_buf_clear(&gen->data);
    for (uint32_t i = 0; i < spec->data_bytes; i++) {
        coh_buf_put_u8(&gen->data, i % 3 == 2 ? 0 : (uint8_t)(i + 1));
    }
    coh_buf_put(&gen->data, spec->data.p, spec->data.n);
    coh_buf_clear(&gen->access);
    bool const legacy   = spec->type == COH_TX_LEGACY;
    uint32_t listed_cnt = 0;
    uint32_t key_cnt    = 0;
    if (!legacy) {
        listed_cnt = spec->access_addr_cnt + spec->listed_cnt;
        key_cnt    = spec->access_addr_cnt * spec->access_keys_each;
        key_cnt += put_access_list(&gen->access, spec);
    }
    coh_buf_clear(&gen->own);
    bool const blob     = spec->type == COH_TX_BLOB;
    bool const set_code = spec->type == COH_TX_SET_CODE;
    if (blob) {
        put_blobs(&gen->own, spec->blob_cnt, spec->blob_hash);
    } else if (set_code) {
        put_auths(gen, &gen->own, spec->auths, spec->auth_cnt);
    }
    coh_bytes_t const none = coh_bytes(NULL, 0);
    coh_tx_t tx            = {
                   .type                 = spec->type,
                   .has_chain_id         = !(legacy && spec->unprotected),
                   .chain_id             = legacy && spec->unprotected ? 0 : spec->chain_id,
                   .nonce                = spec->nonce,
                   .gas_limit            = spec->gas_limit,
                   .max_fee              = spec->max_fee,
                   .max_tip              = spec->type >= COH_TX_DYNAMIC_FEE ? spec->max_tip : spec->max_fee,
                   .value                = spec->value,
                   .is_create            = spec->is_create,
                   .to                   = spec->is_create ? (coh_addr_t){{0}} : spec->to,
                   .data                 = coh_buf_bytes(&gen->data),
                   .access_list          = coh_buf_bytes(&gen->access),
                   .access_addr_cnt      = listed_cnt,
                   .access_key_cnt       = key_cnt,
                   .max_fee_per_blob_gas = blob ? spec->max_fee_per_blob_gas : COH_U256_ZERO,
                   .blob_hashes          = blob ? coh_buf_bytes(&gen->own) : none,
                   .blob_cnt             = blob ? spec->blob_cnt : 0,
                   .auth_list            = set_code ? coh_buf_bytes(&gen->own) : none,
                   .auth_cnt             = set_code ? spec->auth_cnt : 0,
    };
    coh_buf_clear(&gen->scratch);
    coh_buf_put_u32_le(&gen->scratch, spec->key);
    coh_tx_put_signing_payload(&gen->scratch, &tx);
    coh_hash_t digest;
    coh_keccak256(&digest, gen->scratch.p, gen->scratch.n);
    kept_t **bucket = &gen->buckets[coh_load_u32_le(digest.b) % BUCKET_CNT];
    for (kept_t *kept = *bucket; kept != NULL; kept = kept->next) {
        if (coh_hash_eq(&kept->digest, &digest)) {
            return &kept->tx;
        }
    }

    coh_err_t err = coh_tx_sign(&tx, gen->secrets[spec->key]);
    COH_ASSERT(err == COH_OK);
    coh_buf_clear(&gen->scratch);
    coh_tx_encode(&gen->scratch, &tx);
    kept_t *kept = coh_calloc(1, sizeof(*kept) + gen->scratch.n);
    memcpy(kept->raw, gen->scratch.p, gen->scratch.n);
    kept->digest    = digest;
    kept->tx.raw    = coh_bytes(kept->raw, gen->scratch.n);
    kept->tx.sender = gen->addrs[spec->key];
    coh_keccak256(&kept->tx.hash, kept->raw, kept->tx.raw.n);
    coh_tx_err_t verdict = coh_tx_decode(&kept->tx.tx, kept->tx.raw);
    COH_ASSERT(verdict == COH_TX_OK);
    kept->next = *bucket;
    *bucket    = kept;
    gen->kept_cnt++;
    return &kept->tx;
}
