#include "common/codec/tx.h"

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"

/* Envelope types beyond ours that exist: EIP-4844 blobs, EIP-7702 delegations. */
enum { TYPE_BLOB = 0x03, TYPE_SET_CODE = 0x04, LIST_MIN = 0xc0 };

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
    GAS_FLOOR_TOKEN           = 10,
    TOKENS_NONZERO            = 4,
    INITCODE_MAX              = 49152,
};

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

/* Reads the fields in the order of their type; the twin of put_fields and put_signature. */
static coh_err_t read_fields(coh_rlp_t *r, coh_tx_t *tx)
{
    if (tx->type != COH_TX_LEGACY) {
        tx->has_chain_id = true;
        COH_TRY(coh_rlp_u64(r, &tx->chain_id));
    }
    COH_TRY(coh_rlp_u64(r, &tx->nonce));
    if (tx->type == COH_TX_DYNAMIC_FEE) {
        COH_TRY(coh_rlp_u256(r, &tx->max_tip));
    }
    COH_TRY(coh_rlp_u256(r, &tx->max_fee));
    if (tx->type != COH_TX_DYNAMIC_FEE) {
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
        COH_TRY(read_parity(r, &tx->parity));
    }
    COH_TRY(read_scalar(r, tx->r));
    COH_TRY(read_scalar(r, tx->s));
    return coh_rlp_end(r);
}

coh_tx_err_t coh_tx_decode(coh_tx_t *out, coh_bytes_t raw)
{
    if (raw.n > COH_TX_RAW_MAX) {
        return COH_TX_TOO_LARGE;
    }
    *out = (coh_tx_t){.raw = raw};
    if (raw.n == 0) {
        return COH_TX_MALFORMED;
    }
    coh_bytes_t body = raw;
    if (raw.p[0] < LIST_MIN) { /* EIP-2718 */
        switch (raw.p[0]) {
        case COH_TX_ACCESS_LIST:
        case COH_TX_DYNAMIC_FEE: break;
        case TYPE_BLOB:
        case TYPE_SET_CODE: return COH_TX_TYPE_UNSUPPORTED;
        default: return COH_TX_MALFORMED;
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

/* What the signature covers, except for EIP-155's suffix. */
static void put_fields(coh_buf_t *out, coh_tx_t const *tx)
{
    if (tx->type != COH_TX_LEGACY) {
        coh_rlp_put_u64(out, tx->chain_id);
    }
    coh_rlp_put_u64(out, tx->nonce);
    if (tx->type == COH_TX_DYNAMIC_FEE) {
        coh_rlp_put_u256(out, &tx->max_tip);
    }
    coh_rlp_put_u256(out, &tx->max_fee);
    coh_rlp_put_u64(out, tx->gas_limit);
    coh_rlp_put_string(out, tx->to.b, tx->is_create ? 0 : sizeof(tx->to.b));
    coh_rlp_put_u256(out, &tx->value);
    coh_rlp_put_string(out, tx->data.p, tx->data.n);
    if (tx->type != COH_TX_LEGACY) {
        coh_rlp_put_list_header(out, tx->access_list.n);
        coh_buf_put(out, tx->access_list.p, tx->access_list.n);
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
    coh_u256_t r = coh_u256_from_be(tx->r, sizeof(tx->r));
    coh_u256_t s = coh_u256_from_be(tx->s, sizeof(tx->s));
    coh_rlp_put_u256(out, &r);
    coh_rlp_put_u256(out, &s);
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

bool coh_tx_needs_code(coh_tx_t const *tx, coh_fork_t fork)
{
    return tx->is_create ? tx->data.n != 0 : coh_fork_is_precompile(fork, &tx->to);
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

uint64_t coh_tx_gas_max(coh_tx_t const *tx, coh_fork_t fork)
{
    if (tx->is_create) {
        return tx->gas_limit;
    }
    uint64_t intrinsic = coh_tx_intrinsic_gas(tx, fork);
    uint64_t floor     = coh_tx_floor_gas(tx, fork);
    return COH_MAX(intrinsic, floor);
}

bool coh_tx_upfront(coh_u256_t *out, coh_tx_t const *tx)
{
    bool mul_over = coh_u256_mul_u64(out, &tx->max_fee, tx->gas_limit);
    bool add_over = coh_u256_add(out, out, &tx->value);
    return mul_over || add_over;
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
    }
    return false;
}

coh_tx_err_t coh_tx_check_static(coh_tx_t const *tx,
                                 coh_fork_t fork,
                                 uint64_t chain_id,
                                 bool allow_unprotected)
{
    if (!type_in_fork(tx->type, fork)) {
        return COH_TX_TYPE_UNSUPPORTED;
    }
    if (tx->is_create && fork >= COH_FORK_SHANGHAI && tx->data.n > INITCODE_MAX) { /* EIP-3860 */
        return COH_TX_INITCODE_SIZE;
    }
    if (fork >= COH_FORK_OSAKA && tx->gas_limit > COH_TX_GAS_LIMIT_MAX) { /* EIP-7825 */
        return COH_TX_GAS_CAP;
    }
    if (coh_u256_lt(&tx->max_fee, &tx->max_tip)) { /* EIP-1559 */
        return COH_TX_TIP_ABOVE_CAP;
    }
    coh_tx_err_t err = check_signer(tx, fork, chain_id, allow_unprotected);
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
    if (coh_tx_upfront(&upfront, tx)) {
        return COH_TX_FEE_OVERFLOW;
    }
    return coh_tx_needs_code(tx, fork) ? COH_TX_NEEDS_CODE : COH_TX_OK;
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
