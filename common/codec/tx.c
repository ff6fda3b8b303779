#include "common/codec/tx.h"

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/crypto/keccak.h"

enum {
    LIST_MIN   = 0xc0, /* EIP-2718: a first octet from here on begins a legacy transaction */
    AUTH_MAGIC = 0x05, /* EIP-7702: before what an authorization's signature covers */
};

/* Gas (Yellow Paper, Appendix G, and the EIPs named where it is charged). */
enum {
    GAS_TX                    = 21000,
    GAS_CREATE                = 32000,
    GAS_DATA_ZERO             = 4,
    GAS_DATA_NONZERO          = 16,
    GAS_DATA_NONZERO_FRONTIER = 68,
    GAS_ACCESS_ADDR           = 2400,
    GAS_ACCESS_KEY            = 1900,
    GAS_INITCODE_WORD         = 2,
    GAS_AUTH                  = 25000,
    GAS_FLOOR_TOKEN           = 10,
    TOKENS_NONZERO            = 4,
};

/* EIP-4844: first octet of a versioned hash. */
enum { BLOB_VERSION_KZG = 0x01 };

/* Transactions hashed at a time by coh_tx_recover_batch: enough to fill the vectors, few enough
   for the stack. */
enum { CHUNK_CNT = 64 };

char const *coh_tx_err_str(coh_tx_err_t err)
{
    static char const *const texts[COH_TX_ERR_CNT] = {
#define COH_TX_ERR(name, text) [COH_TX_##name] = (text),
#include "common/codec/tx_err.def"
#undef COH_TX_ERR
    };
    return (unsigned)err < COH_TX_ERR_CNT ? texts[err] : "unknown transaction error";
}

/* EIP-155: v is 27 + parity without a chain id, 35 + 2 * chain_id + parity with one. Chain ids are
   64 bits, so v may need 66. */
static coh_err_t read_legacy_v(coh_rlp_t *r, coh_tx_t *tx)
{
    coh_u256_t v;
    COH_TRY(coh_rlp_u256(r, &v));
    coh_u128_t low = (coh_u128_t)v.w[1] << 64 | v.w[0];
    if (v.w[2] != 0 || v.w[3] != 0) {
        return COH_EMALFORMED;
    }
    if (low == 27 || low == 28) {
        tx->parity = (uint8_t)(low - 27);
        return COH_OK;
    }
    if (low < 35 || (low - 35) >> 1 > UINT64_MAX) {
        return COH_EMALFORMED;
    }
    tx->has_chain_id = true;
    tx->chain_id     = (uint64_t)((low - 35) >> 1);
    tx->parity       = (uint8_t)((low - 35) & 1);
    return COH_OK;
}

static coh_err_t read_parity(coh_rlp_t *r, uint8_t *out)
{
    uint64_t v;
    COH_TRY(coh_rlp_u64(r, &v));
    *out = (uint8_t)(v & 1);
    return v <= 1 ? COH_OK : COH_EMALFORMED;
}

static coh_err_t read_scalar(coh_rlp_t *r, uint8_t out[32])
{
    coh_u256_t v;
    COH_TRY(coh_rlp_u256(r, &v));
    coh_u256_to_be(out, &v);
    return COH_OK;
}

static coh_err_t read_to(coh_rlp_t *r, coh_tx_t *tx)
{
    coh_bytes_t to;
    COH_TRY(coh_rlp_string(r, &to));
    if (to.n != 0 && to.n != sizeof(tx->to.b)) {
        return COH_EMALFORMED;
    }
    tx->is_create = to.n == 0;
    if (!tx->is_create) {
        memcpy(tx->to.b, to.p, sizeof(tx->to.b));
    }
    return COH_OK;
}

/* EIP-2930: [[address, [key, ...]], ...]. */
static coh_err_t read_access_list(coh_rlp_t *r, coh_tx_t *tx)
{
    coh_rlp_t entries;
    COH_TRY(coh_rlp_list(r, &entries));
    tx->access_list = coh_bytes(entries.p, (size_t)(entries.end - entries.p));
    while (!coh_rlp_at_end(&entries)) {
        coh_rlp_t entry, keys;
        coh_addr_t addr;
        COH_TRY(coh_rlp_list(&entries, &entry));
        COH_TRY(coh_rlp_fixed(&entry, addr.b, sizeof(addr.b)));
        COH_TRY(coh_rlp_list(&entry, &keys));
        COH_TRY(coh_rlp_end(&entry));
        tx->access_addr_cnt++;
        while (!coh_rlp_at_end(&keys)) {
            coh_hash_t key;
            COH_TRY(coh_rlp_fixed(&keys, key.b, sizeof(key.b)));
            tx->access_key_cnt++;
        }
    }
    return COH_OK;
}

/* EIP-4844: [hash, ...]. */
static coh_err_t read_blob_hashes(coh_rlp_t *r, coh_tx_t *tx)
{
    coh_rlp_t hashes;
    COH_TRY(coh_rlp_list(r, &hashes));
    tx->blob_hashes = coh_bytes(hashes.p, (size_t)(hashes.end - hashes.p));
    while (!coh_rlp_at_end(&hashes)) {
        coh_hash_t hash;
        COH_TRY(coh_rlp_fixed(&hashes, hash.b, sizeof(hash.b)));
        tx->blob_cnt++;
    }
    return COH_OK;
}

/* EIP-7702: [chain_id, address, nonce, y_parity, r, s], the twin of coh_tx_auth_put. */
static coh_err_t read_auth(coh_rlp_t *list, coh_tx_auth_t *auth)
{
    *auth = (coh_tx_auth_t){0};
    coh_rlp_t r;
    uint64_t parity;
    COH_TRY(coh_rlp_list(list, &r));
    COH_TRY(coh_rlp_u256(&r, &auth->chain_id));
    COH_TRY(coh_rlp_fixed(&r, auth->addr.b, sizeof(auth->addr.b)));
    COH_TRY(coh_rlp_u64(&r, &auth->nonce));
    COH_TRY(coh_rlp_u64(&r, &parity));
    if (parity > UINT8_MAX) {
        return COH_EMALFORMED;
    }
    auth->parity = (uint8_t)parity;
    COH_TRY(read_scalar(&r, auth->r));
    COH_TRY(read_scalar(&r, auth->s));
    return coh_rlp_end(&r);
}

static coh_err_t read_auth_list(coh_rlp_t *r, coh_tx_t *tx)
{
    coh_rlp_t list;
    COH_TRY(coh_rlp_list(r, &list));
    tx->auth_list = coh_bytes(list.p, (size_t)(list.end - list.p));
    while (!coh_rlp_at_end(&list)) {
        coh_tx_auth_t auth;
        COH_TRY(read_auth(&list, &auth));
        tx->auth_cnt++;
    }
    return COH_OK;
}

static bool has_tip(coh_tx_type_t type) { return type >= COH_TX_DYNAMIC_FEE; }

/* Reads the fields in the order of their type; the twin of put_fields and put_signature. */
static coh_err_t read_fields(coh_rlp_t *r, coh_tx_t *tx)
{
    if (tx->type != COH_TX_LEGACY) {
        tx->has_chain_id = true;
        COH_TRY(coh_rlp_u64(r, &tx->chain_id));
    }
    COH_TRY(coh_rlp_u64(r, &tx->nonce));
    if (has_tip(tx->type)) {
        COH_TRY(coh_rlp_u256(r, &tx->max_tip));
    }
    COH_TRY(coh_rlp_u256(r, &tx->max_fee));
    if (!has_tip(tx->type)) {
        tx->max_tip = tx->max_fee;
    }
    COH_TRY(coh_rlp_u64(r, &tx->gas_limit));
    COH_TRY(read_to(r, tx));
    COH_TRY(coh_rlp_u256(r, &tx->value));
    COH_TRY(coh_rlp_string(r, &tx->data));
    if (tx->type == COH_TX_LEGACY) {
        COH_TRY(read_legacy_v(r, tx));
    } else {
        COH_TRY(read_access_list(r, tx));
        if (tx->type == COH_TX_BLOB) {
            COH_TRY(coh_rlp_u256(r, &tx->max_fee_per_blob_gas));
            COH_TRY(read_blob_hashes(r, tx));
        } else if (tx->type == COH_TX_SET_CODE) {
            COH_TRY(read_auth_list(r, tx));
        }
        COH_TRY(read_parity(r, &tx->parity));
    }
    COH_TRY(read_scalar(r, tx->r));
    COH_TRY(read_scalar(r, tx->s));
    return coh_rlp_end(r);
}

coh_tx_err_t coh_tx_decode(coh_tx_t *out, coh_bytes_t raw)
{
    return raw.n > COH_TX_RAW_MAX ? COH_TX_TOO_LARGE : coh_tx_decode_mined(out, raw);
}

coh_tx_err_t coh_tx_decode_mined(coh_tx_t *out, coh_bytes_t raw)
{
    *out = (coh_tx_t){.raw = raw};
    if (raw.n == 0) {
        return COH_TX_MALFORMED;
    }
    coh_bytes_t body = raw;
    if (raw.p[0] < LIST_MIN) { /* EIP-2718 */
        if (raw.p[0] <= COH_TX_LEGACY || raw.p[0] >= COH_TX_TYPE_CNT) {
            return COH_TX_MALFORMED;
        }
        out->type = (coh_tx_type_t)raw.p[0];
        body      = coh_bytes(raw.p + 1, raw.n - 1);
    }
    coh_rlp_t whole = coh_rlp_reader(body);
    coh_rlp_t fields;
    if (coh_rlp_list(&whole, &fields) != COH_OK || coh_rlp_end(&whole) != COH_OK ||
        read_fields(&fields, out) != COH_OK) {
        return COH_TX_MALFORMED;
    }
    return COH_TX_OK;
}

coh_rlp_t coh_tx_access_iter(coh_tx_t const *tx) { return coh_rlp_reader(tx->access_list); }

bool coh_tx_access_next(coh_rlp_t *list, coh_addr_t *addr, coh_rlp_t *keys)
{
    if (coh_rlp_at_end(list)) {
        return false;
    }
    coh_rlp_t entry;
    bool good = coh_rlp_list(list, &entry) == COH_OK &&
                coh_rlp_fixed(&entry, addr->b, sizeof(addr->b)) == COH_OK &&
                coh_rlp_list(&entry, keys) == COH_OK;
    COH_ASSERT(good);
    return true;
}

static bool next_hash(coh_rlp_t *list, coh_hash_t *hash)
{
    if (coh_rlp_at_end(list)) {
        return false;
    }
    coh_err_t err = coh_rlp_fixed(list, hash->b, sizeof(hash->b));
    COH_ASSERT(err == COH_OK);
    return true;
}

bool coh_tx_access_key_next(coh_rlp_t *keys, coh_hash_t *key) { return next_hash(keys, key); }

coh_rlp_t coh_tx_blob_iter(coh_tx_t const *tx) { return coh_rlp_reader(tx->blob_hashes); }

bool coh_tx_blob_next(coh_rlp_t *list, coh_hash_t *versioned_hash)
{
    return next_hash(list, versioned_hash);
}

coh_rlp_t coh_tx_auth_iter(coh_tx_t const *tx) { return coh_rlp_reader(tx->auth_list); }

bool coh_tx_auth_next(coh_rlp_t *list, coh_tx_auth_t *auth)
{
    if (coh_rlp_at_end(list)) {
        return false;
    }
    coh_err_t err = read_auth(list, auth);
    COH_ASSERT(err == COH_OK);
    return true;
}

/* What an authorization is about, which its signature covers. */
static void put_auth_subject(coh_buf_t *out, coh_tx_auth_t const *auth)
{
    coh_rlp_put_u256(out, &auth->chain_id);
    coh_rlp_put_string(out, auth->addr.b, sizeof(auth->addr.b));
    coh_rlp_put_u64(out, auth->nonce);
}

static coh_hash_t auth_digest(coh_tx_auth_t const *auth)
{
    uint8_t space[96]; /* at most 1 + 2 + 33 + 21 + 9 octets: never grows */
    coh_buf_t msg = {.p = space, .cap = sizeof(space)};
    coh_buf_put_u8(&msg, AUTH_MAGIC);
    put_auth_subject(&msg, auth);
    coh_rlp_wrap_list(&msg, 1);
    COH_ASSERT(msg.p == space);
    coh_hash_t digest;
    coh_keccak256(&digest, msg.p, msg.n);
    return digest;
}

bool coh_tx_auth_recover(coh_addr_t *authority, coh_tx_auth_t const *auth)
{
    if (auth->parity > 1 || !coh_ecdsa_is_low_s(auth->s)) {
        return false;
    }
    coh_hash_t digest = auth_digest(auth);
    coh_sig_t sig     = {.parity = auth->parity};
    memcpy(sig.r, auth->r, sizeof(sig.r));
    memcpy(sig.s, auth->s, sizeof(sig.s));
    return coh_ecdsa_recover(authority, &digest, &sig) == COH_OK;
}

void coh_tx_find_authorities(coh_buf_t *out, coh_tx_t const *tx)
{
    static coh_addr_t const nobody;
    coh_rlp_t list = coh_tx_auth_iter(tx);
    coh_tx_auth_t auth;
    if (tx->gas_limit / GAS_AUTH < tx->auth_cnt) {
        return;
    }
    while (coh_tx_auth_next(&list, &auth)) {
        coh_addr_t authority;
        bool found = coh_tx_auth_recover(&authority, &auth);
        coh_buf_put(out, found ? authority.b : nobody.b, sizeof(nobody.b));
    }
}

static void put_scalars(coh_buf_t *out, uint8_t const r[32], uint8_t const s[32])
{
    coh_u256_t wide_r = coh_u256_from_be(r, 32);
    coh_u256_t wide_s = coh_u256_from_be(s, 32);
    coh_rlp_put_u256(out, &wide_r);
    coh_rlp_put_u256(out, &wide_s);
}

void coh_tx_auth_put(coh_buf_t *out, coh_tx_auth_t const *auth)
{
    size_t at = out->n;
    put_auth_subject(out, auth);
    coh_rlp_put_u64(out, auth->parity);
    put_scalars(out, auth->r, auth->s);
    coh_rlp_wrap_list(out, at);
}

coh_err_t coh_tx_auth_sign(coh_tx_auth_t *auth, uint8_t const secret[32])
{
    coh_hash_t digest = auth_digest(auth);
    coh_sig_t sig;
    COH_TRY(coh_ecdsa_sign(&sig, &digest, secret));
    memcpy(auth->r, sig.r, sizeof(auth->r));
    memcpy(auth->s, sig.s, sizeof(auth->s));
    auth->parity = sig.parity;
    return COH_OK;
}

static void put_list(coh_buf_t *out, coh_bytes_t payload)
{
    coh_rlp_put_list_header(out, payload.n);
    coh_buf_put(out, payload.p, payload.n);
}

/* What the signature covers, except for EIP-155's suffix. */
static void put_fields(coh_buf_t *out, coh_tx_t const *tx)
{
    if (tx->type != COH_TX_LEGACY) {
        coh_rlp_put_u64(out, tx->chain_id);
    }
    coh_rlp_put_u64(out, tx->nonce);
    if (has_tip(tx->type)) {
        coh_rlp_put_u256(out, &tx->max_tip);
    }
    coh_rlp_put_u256(out, &tx->max_fee);
    coh_rlp_put_u64(out, tx->gas_limit);
    coh_rlp_put_string(out, tx->to.b, tx->is_create ? 0 : sizeof(tx->to.b));
    coh_rlp_put_u256(out, &tx->value);
    coh_rlp_put_string(out, tx->data.p, tx->data.n);
    if (tx->type != COH_TX_LEGACY) {
        put_list(out, tx->access_list);
    }
    if (tx->type == COH_TX_BLOB) {
        coh_rlp_put_u256(out, &tx->max_fee_per_blob_gas);
        put_list(out, tx->blob_hashes);
    } else if (tx->type == COH_TX_SET_CODE) {
        put_list(out, tx->auth_list);
    }
}

static void put_signature(coh_buf_t *out, coh_tx_t const *tx)
{
    if (tx->type == COH_TX_LEGACY) {
        coh_u128_t v = tx->has_chain_id ? 35 + 2 * (coh_u128_t)tx->chain_id : 27;
        v += tx->parity;
        coh_u256_t wide = {{(uint64_t)v, (uint64_t)(v >> 64), 0, 0}};
        coh_rlp_put_u256(out, &wide);
    } else {
        coh_rlp_put_u64(out, tx->parity);
    }
    put_scalars(out, tx->r, tx->s);
}

/* Appends the type octet, if there is one; returns where the list begins. */
static size_t put_type(coh_buf_t *out, coh_tx_t const *tx)
{
    if (tx->type != COH_TX_LEGACY) {
        coh_buf_put_u8(out, (uint8_t)tx->type);
    }
    return out->n;
}

void coh_tx_put_signing_payload(coh_buf_t *out, coh_tx_t const *tx)
{
    size_t at = put_type(out, tx);
    put_fields(out, tx);
    if (tx->type == COH_TX_LEGACY && tx->has_chain_id) { /* EIP-155 */
        coh_rlp_put_u64(out, tx->chain_id);
        coh_rlp_put_u64(out, 0);
        coh_rlp_put_u64(out, 0);
    }
    coh_rlp_wrap_list(out, at);
}

void coh_tx_encode(coh_buf_t *out, coh_tx_t const *tx)
{
    size_t at = put_type(out, tx);
    put_fields(out, tx);
    put_signature(out, tx);
    coh_rlp_wrap_list(out, at);
}

coh_err_t coh_tx_sign(coh_tx_t *tx, uint8_t const secret[32])
{
    coh_buf_t payload = COH_BUF_INIT;
    coh_tx_put_signing_payload(&payload, tx);
    coh_hash_t digest;
    coh_keccak256(&digest, payload.p, payload.n);
    coh_buf_free(&payload);
    coh_sig_t sig;
    COH_TRY(coh_ecdsa_sign(&sig, &digest, secret));
    memcpy(tx->r, sig.r, sizeof(tx->r));
    memcpy(tx->s, sig.s, sizeof(tx->s));
    tx->parity = sig.parity;
    return COH_OK;
}

coh_addr_t coh_tx_created_address(coh_addr_t const *sender, uint64_t nonce)
{
    uint8_t space[64];
    coh_buf_t rlp = {.p = space, .cap = sizeof(space)}; /* at most 1 + 21 + 9 octets: never grows */
    coh_rlp_put_string(&rlp, sender->b, sizeof(sender->b));
    coh_rlp_put_u64(&rlp, nonce);
    coh_rlp_wrap_list(&rlp, 0);
    COH_ASSERT(rlp.p == space);
    coh_hash_t h;
    coh_keccak256(&h, rlp.p, rlp.n);
    coh_addr_t out;
    memcpy(out.b, h.b + 12, sizeof(out.b));
    return out;
}

coh_addr_t coh_tx_receiver(coh_tx_t const *tx, coh_addr_t const *sender)
{
    return tx->is_create ? coh_tx_created_address(sender, tx->nonce) : tx->to;
}

static size_t count_zeros(coh_bytes_t data)
{
    size_t cnt = 0;
    for (size_t i = 0; i < data.n; i++) {
        cnt += data.p[i] == 0;
    }
    return cnt;
}

static uint64_t saturate(coh_u128_t v) { return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v; }

uint64_t coh_tx_intrinsic_gas(coh_tx_t const *tx, coh_fork_t fork)
{
    size_t zero_cnt = count_zeros(tx->data);
    coh_u128_t nonzero_gas =
        fork >= COH_FORK_ISTANBUL ? GAS_DATA_NONZERO : GAS_DATA_NONZERO_FRONTIER; /* EIP-2028 */
    coh_u128_t gas = GAS_TX;
    gas += (coh_u128_t)GAS_DATA_ZERO * zero_cnt + nonzero_gas * (tx->data.n - zero_cnt);
    if (tx->is_create && fork >= COH_FORK_HOMESTEAD) { /* EIP-2 */
        gas += GAS_CREATE;
    }
    if (tx->is_create && fork >= COH_FORK_SHANGHAI) { /* EIP-3860 */
        gas += (coh_u128_t)GAS_INITCODE_WORD * (((coh_u128_t)tx->data.n + 31) / 32);
    }
    gas += (coh_u128_t)GAS_ACCESS_ADDR * tx->access_addr_cnt; /* EIP-2930 */
    gas += (coh_u128_t)GAS_ACCESS_KEY * tx->access_key_cnt;
    gas += (coh_u128_t)GAS_AUTH * tx->auth_cnt; /* EIP-7702 */
    return saturate(gas);
}

uint64_t coh_tx_floor_gas(coh_tx_t const *tx, coh_fork_t fork)
{
    if (fork < COH_FORK_PRAGUE) {
        return 0;
    }
    size_t zero_cnt   = count_zeros(tx->data);
    coh_u128_t tokens = (coh_u128_t)TOKENS_NONZERO * (tx->data.n - zero_cnt) + zero_cnt;
    return saturate(GAS_TX + GAS_FLOOR_TOKEN * tokens); /* EIP-7623 */
}

uint64_t coh_tx_blob_gas(coh_tx_t const *tx) { return COH_TX_BLOB_GAS * tx->blob_cnt; }

coh_tx_err_t coh_tx_check_blob_cnt(coh_tx_t const *tx, uint32_t blob_max)
{
    return tx->blob_cnt > blob_max ? COH_TX_BLOB_CNT : COH_TX_OK;
}

bool coh_tx_upfront(coh_u256_t *out, coh_tx_t const *tx)
{
    coh_u256_t blob_fee;
    bool over = coh_u256_mul_u64(out, &tx->max_fee, tx->gas_limit);
    over |= coh_u256_add(out, out, &tx->value);
    over |= coh_u256_mul_u64(&blob_fee, &tx->max_fee_per_blob_gas, coh_tx_blob_gas(tx));
    over |= coh_u256_add(out, out, &blob_fee);
    return over;
}

void coh_tx_effective_price(coh_u256_t *out, coh_tx_t const *tx, coh_u256_t const *base_fee)
{
    coh_u256_t price;
    bool over = coh_u256_add(&price, base_fee, &tx->max_tip);
    *out      = over || coh_u256_lt(&tx->max_fee, &price) ? tx->max_fee : price;
}

/* r and s in 1..n-1 (Yellow Paper, 4.2 and Appendix F), s in the lower half since Homestead
   (EIP-2). */
static bool signature_in_range(coh_tx_t const *tx, coh_fork_t fork)
{
    static coh_u256_t const order = {{UINT64_C(0xbfd25e8cd0364141),
                                      UINT64_C(0xbaaedce6af48a03b),
                                      UINT64_C(0xfffffffffffffffe),
                                      UINT64_MAX}};
    coh_u256_t r                  = coh_u256_from_be(tx->r, sizeof(tx->r));
    coh_u256_t s                  = coh_u256_from_be(tx->s, sizeof(tx->s));
    return !coh_u256_is_zero(&r) && coh_u256_lt(&r, &order) && !coh_u256_is_zero(&s) &&
           coh_u256_lt(&s, &order) && (fork < COH_FORK_HOMESTEAD || coh_ecdsa_is_low_s(tx->s));
}

static coh_tx_err_t check_signer(coh_tx_t const *tx,
                                 coh_fork_t fork,
                                 uint64_t chain_id,
                                 bool allow_unprotected)
{
    if (!tx->has_chain_id) {
        return allow_unprotected ? COH_TX_OK : COH_TX_UNPROTECTED;
    }
    if (tx->type == COH_TX_LEGACY && fork < COH_FORK_SPURIOUS) {
        return COH_TX_SIGNATURE; /* before EIP-155, v was 27 or 28 */
    }
    return tx->chain_id == chain_id ? COH_TX_OK : COH_TX_CHAIN_ID;
}

static bool type_in_fork(coh_tx_type_t type, coh_fork_t fork)
{
    switch (type) {
    case COH_TX_LEGACY: return true;
    case COH_TX_ACCESS_LIST: return fork >= COH_FORK_BERLIN;
    case COH_TX_DYNAMIC_FEE: return fork >= COH_FORK_LONDON;
    case COH_TX_BLOB: return fork >= COH_FORK_CANCUN;
    case COH_TX_SET_CODE: return fork >= COH_FORK_PRAGUE;
    case COH_TX_TYPE_CNT: break;
    }
    return false;
}

static coh_tx_err_t check_blobs(coh_tx_t const *tx, coh_fork_t fork)
{
    if (tx->is_create) { /* EIP-4844 */
        return COH_TX_BLOB_CREATE;
    }
    if (tx->blob_cnt == 0) {
        return COH_TX_BLOB_NONE;
    }
    coh_rlp_t list = coh_tx_blob_iter(tx);
    coh_hash_t hash;
    while (coh_tx_blob_next(&list, &hash)) {
        if (hash.b[0] != BLOB_VERSION_KZG) {
            return COH_TX_BLOB_VERSION;
        }
    }
    return fork >= COH_FORK_OSAKA ? coh_tx_check_blob_cnt(tx, COH_TX_BLOB_MAX) /* EIP-7594 */
                                  : COH_TX_OK;
}

/* EIP-7702. */
static coh_tx_err_t check_auths(coh_tx_t const *tx)
{
    if (tx->is_create) {
        return COH_TX_AUTH_CREATE;
    }
    return tx->auth_cnt == 0 ? COH_TX_AUTH_NONE : COH_TX_OK;
}

coh_tx_err_t coh_tx_check_static(coh_tx_t const *tx,
                                 coh_fork_t fork,
                                 uint64_t chain_id,
                                 bool allow_unprotected)
{
    if (!type_in_fork(tx->type, fork)) {
        return COH_TX_TYPE_UNSUPPORTED;
    }
    if (tx->is_create && fork >= COH_FORK_SHANGHAI &&
        tx->data.n > COH_INITCODE_SIZE_MAX) { /* EIP-3860 */
        return COH_TX_INITCODE_SIZE;
    }
    if (fork >= COH_FORK_OSAKA && tx->gas_limit > COH_TX_GAS_LIMIT_MAX) { /* EIP-7825 */
        return COH_TX_GAS_CAP;
    }
    if (coh_u256_lt(&tx->max_fee, &tx->max_tip)) { /* EIP-1559 */
        return COH_TX_TIP_ABOVE_CAP;
    }
    coh_tx_err_t err = tx->type == COH_TX_BLOB       ? check_blobs(tx, fork)
                       : tx->type == COH_TX_SET_CODE ? check_auths(tx)
                                                     : COH_TX_OK;
    if (err == COH_TX_OK) {
        err = check_signer(tx, fork, chain_id, allow_unprotected);
    }
    if (err != COH_TX_OK) {
        return err;
    }
    if (!signature_in_range(tx, fork)) {
        return COH_TX_SIGNATURE;
    }
    if (tx->nonce == UINT64_MAX) { /* EIP-2681 */
        return COH_TX_NONCE_MAX;
    }
    if (tx->gas_limit < coh_tx_intrinsic_gas(tx, fork)) {
        return COH_TX_INTRINSIC_GAS;
    }
    if (tx->gas_limit < coh_tx_floor_gas(tx, fork)) {
        return COH_TX_FLOOR_GAS;
    }
    coh_u256_t upfront;
    return coh_tx_upfront(&upfront, tx) ? COH_TX_FEE_OVERFLOW : COH_TX_OK;
}

/* Recovers the senders of cnt <= CHUNK_CNT members; returns the CPU time of recovery. */
static uint64_t recover_chunk(coh_tx_recover_t *batch, size_t cnt, coh_buf_t *scratch)
{
    size_t member[CHUNK_CNT];
    size_t payload_end[CHUNK_CNT]; /* offsets first: the buffer may move while it grows */
    coh_bytes_t input[2 * CHUNK_CNT];
    coh_hash_t digest[2 * CHUNK_CNT];
    size_t valid_cnt = 0;
    coh_buf_clear(scratch);
    for (size_t i = 0; i < cnt; i++) {
        if (batch[i].err == COH_TX_OK) {
            coh_tx_put_signing_payload(scratch, batch[i].tx);
            payload_end[valid_cnt] = scratch->n;
            member[valid_cnt++]    = i;
        }
    }
    for (size_t k = 0, at = 0; k < valid_cnt; at = payload_end[k++]) {
        input[k]             = batch[member[k]].tx->raw;
        input[valid_cnt + k] = coh_bytes(scratch->p + at, payload_end[k] - at);
    }
    coh_keccak256_many(digest, input, 2 * valid_cnt);
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    for (size_t k = 0; k < valid_cnt; k++) {
        coh_tx_recover_t *m = &batch[member[k]];
        coh_sig_t sig       = {.parity = m->tx->parity};
        memcpy(sig.r, m->tx->r, sizeof(sig.r));
        memcpy(sig.s, m->tx->s, sizeof(sig.s));
        m->hash = digest[k];
        if (coh_ecdsa_recover(&m->sender, &digest[valid_cnt + k], &sig) != COH_OK) {
            m->err = COH_TX_SIGNATURE;
        }
    }
    return coh_clock_thread_cpu_ns() - start_ns;
}

uint64_t coh_tx_recover_batch(coh_tx_recover_t *batch, size_t cnt, coh_buf_t *scratch)
{
    uint64_t recover_ns = 0;
    for (size_t at = 0; at < cnt; at += CHUNK_CNT) {
        recover_ns += recover_chunk(batch + at, COH_MIN(cnt - at, CHUNK_CNT), scratch);
    }
    return recover_ns;
}
