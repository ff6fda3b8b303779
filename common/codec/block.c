#include "common/codec/block.h"

#include "common/base/assert.h"
#include "common/codec/rlp.h"
#include "common/crypto/keccak.h"

/* EIP-1559. */
enum { ELASTICITY = 2, BASE_FEE_DENOMINATOR = 8 };

coh_hash_t const COH_EMPTY_LIST_HASH = {{0x1d, 0xcc, 0x4d, 0xe8, 0xde, 0xc7, 0x5d, 0x7a,
                                         0xab, 0x85, 0xb5, 0x67, 0xb6, 0xcc, 0xd4, 0x1a,
                                         0xd3, 0x12, 0x45, 0x1b, 0x94, 0x8a, 0x74, 0x13,
                                         0xf0, 0xa1, 0x42, 0xfd, 0x40, 0xd4, 0x93, 0x47}};

coh_hash_t const COH_EMPTY_TRIE_ROOT = {{0x56, 0xe8, 0x1f, 0x17, 0x1b, 0xcc, 0x55, 0xa6,
                                         0xff, 0x83, 0x45, 0xe6, 0x92, 0xc0, 0xf8, 0x6e,
                                         0x5b, 0x48, 0xe0, 0x1b, 0x99, 0x6c, 0xad, 0xc0,
                                         0x01, 0x62, 0x2f, 0xb5, 0xe3, 0x63, 0xb4, 0x21}};

coh_hash_t const COH_EMPTY_REQUESTS_HASH = {{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                                             0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                                             0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                                             0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55}};

void coh_header_encode(coh_buf_t *out, coh_header_t const *h, coh_fork_t fork)
{
    COH_ASSERT(h->extra_sz <= COH_EXTRA_MAX);
    size_t at = out->n;
    coh_rlp_put_string(out, h->parent_hash.b, sizeof(h->parent_hash.b));
    coh_rlp_put_string(out, h->ommers_hash.b, sizeof(h->ommers_hash.b));
    coh_rlp_put_string(out, h->coinbase.b, sizeof(h->coinbase.b));
    coh_rlp_put_string(out, h->state_root.b, sizeof(h->state_root.b));
    coh_rlp_put_string(out, h->tx_root.b, sizeof(h->tx_root.b));
    coh_rlp_put_string(out, h->receipts_root.b, sizeof(h->receipts_root.b));
    coh_rlp_put_string(out, h->bloom, sizeof(h->bloom));
    coh_rlp_put_u256(out, &h->difficulty);
    coh_rlp_put_u64(out, h->number);
    coh_rlp_put_u64(out, h->gas_limit);
    coh_rlp_put_u64(out, h->gas_used);
    coh_rlp_put_u64(out, h->timestamp);
    coh_rlp_put_string(out, h->extra, h->extra_sz);
    coh_rlp_put_string(out, h->mix_hash.b, sizeof(h->mix_hash.b));
    coh_rlp_put_string(out, h->nonce, sizeof(h->nonce));
    if (fork >= COH_FORK_LONDON) { /* EIP-1559 */
        coh_rlp_put_u256(out, &h->base_fee);
    }
    if (fork >= COH_FORK_SHANGHAI) { /* EIP-4895 */
        coh_rlp_put_string(out, h->withdrawals_root.b, sizeof(h->withdrawals_root.b));
    }
    if (fork >= COH_FORK_CANCUN) { /* EIP-4844, EIP-4788 */
        coh_rlp_put_u64(out, h->blob_gas_used);
        coh_rlp_put_u64(out, h->excess_blob_gas);
        coh_rlp_put_string(out, h->parent_beacon_root.b, sizeof(h->parent_beacon_root.b));
    }
    if (fork >= COH_FORK_PRAGUE) { /* EIP-7685 */
        coh_rlp_put_string(out, h->requests_hash.b, sizeof(h->requests_hash.b));
    }
    coh_rlp_wrap_list(out, at);
}

static coh_err_t read_extra(coh_rlp_t *r, coh_header_t *h)
{
    coh_bytes_t extra;
    COH_TRY(coh_rlp_string(r, &extra));
    if (extra.n > COH_EXTRA_MAX) {
        return COH_ETOOBIG;
    }
    memcpy(h->extra, extra.p, extra.n);
    h->extra_sz = (uint32_t)extra.n;
    return COH_OK;
}

/* The fields that later forks appended, as far as there are any. */
static coh_err_t read_later_fields(coh_rlp_t *r, coh_header_t *h, coh_fork_t *fork_out)
{
    *fork_out = COH_FORK_FRONTIER;
    if (coh_rlp_at_end(r)) {
        return COH_OK;
    }
    COH_TRY(coh_rlp_u256(r, &h->base_fee));
    *fork_out = COH_FORK_LONDON;
    if (coh_rlp_at_end(r)) {
        return COH_OK;
    }
    COH_TRY(coh_rlp_fixed(r, h->withdrawals_root.b, sizeof(h->withdrawals_root.b)));
    *fork_out = COH_FORK_SHANGHAI;
    if (coh_rlp_at_end(r)) {
        return COH_OK;
    }
    COH_TRY(coh_rlp_u64(r, &h->blob_gas_used));
    COH_TRY(coh_rlp_u64(r, &h->excess_blob_gas));
    COH_TRY(coh_rlp_fixed(r, h->parent_beacon_root.b, sizeof(h->parent_beacon_root.b)));
    *fork_out = COH_FORK_CANCUN;
    if (coh_rlp_at_end(r)) {
        return COH_OK;
    }
    COH_TRY(coh_rlp_fixed(r, h->requests_hash.b, sizeof(h->requests_hash.b)));
    *fork_out = COH_FORK_PRAGUE;
    return coh_rlp_end(r);
}

coh_err_t coh_header_decode(coh_header_t *out, coh_fork_t *fork_out, coh_bytes_t in)
{
    *out            = (coh_header_t){0};
    coh_rlp_t whole = coh_rlp_reader(in);
    coh_rlp_t r;
    COH_TRY(coh_rlp_list(&whole, &r));
    COH_TRY(coh_rlp_end(&whole));
    COH_TRY(coh_rlp_fixed(&r, out->parent_hash.b, sizeof(out->parent_hash.b)));
    COH_TRY(coh_rlp_fixed(&r, out->ommers_hash.b, sizeof(out->ommers_hash.b)));
    COH_TRY(coh_rlp_fixed(&r, out->coinbase.b, sizeof(out->coinbase.b)));
    COH_TRY(coh_rlp_fixed(&r, out->state_root.b, sizeof(out->state_root.b)));
    COH_TRY(coh_rlp_fixed(&r, out->tx_root.b, sizeof(out->tx_root.b)));
    COH_TRY(coh_rlp_fixed(&r, out->receipts_root.b, sizeof(out->receipts_root.b)));
    COH_TRY(coh_rlp_fixed(&r, out->bloom, sizeof(out->bloom)));
    COH_TRY(coh_rlp_u256(&r, &out->difficulty));
    COH_TRY(coh_rlp_u64(&r, &out->number));
    COH_TRY(coh_rlp_u64(&r, &out->gas_limit));
    COH_TRY(coh_rlp_u64(&r, &out->gas_used));
    COH_TRY(coh_rlp_u64(&r, &out->timestamp));
    COH_TRY(read_extra(&r, out));
    COH_TRY(coh_rlp_fixed(&r, out->mix_hash.b, sizeof(out->mix_hash.b)));
    COH_TRY(coh_rlp_fixed(&r, out->nonce, sizeof(out->nonce)));
    return read_later_fields(&r, out, fork_out);
}

coh_hash_t coh_header_hash(coh_header_t const *h, coh_fork_t fork)
{
    coh_buf_t buf = COH_BUF_INIT;
    coh_header_encode(&buf, h, fork);
    coh_hash_t hash;
    coh_keccak256(&hash, buf.p, buf.n);
    coh_buf_free(&buf);
    return hash;
}

/* a * m / d through 320 bits; the quotient's low 256 bits. d must not be 0. */
static coh_u256_t mul_div(coh_u256_t const *a, uint64_t m, uint64_t d)
{
    uint64_t product[5];
    coh_u128_t t = 0;
    for (int i = 0; i < 4; i++) {
        t += (coh_u128_t)a->w[i] * m;
        product[i] = (uint64_t)t;
        t >>= 64;
    }
    product[4] = (uint64_t)t;
    coh_u256_t quotient;
    coh_u128_t rem = product[4] % d;
    for (int i = 3; i >= 0; i--) {
        rem           = rem << 64 | product[i];
        quotient.w[i] = (uint64_t)(rem / d);
        rem %= d;
    }
    return quotient;
}

coh_u256_t coh_base_fee_next(coh_u256_t const *base_fee, uint64_t gas_used, uint64_t gas_limit)
{
    uint64_t target = gas_limit / ELASTICITY;
    if (gas_used == target || target == 0) {
        return *base_fee;
    }
    bool rises       = gas_used > target;
    uint64_t away    = rises ? gas_used - target : target - gas_used;
    coh_u256_t delta = mul_div(base_fee, away, target);
    (void)coh_u256_divmod_u64(&delta, &delta, BASE_FEE_DENOMINATOR);
    coh_u256_t next;
    if (!rises) {
        (void)coh_u256_sub(&next, base_fee, &delta);
        return next;
    }
    if (coh_u256_is_zero(&delta)) {
        delta = coh_u256(1);
    }
    (void)coh_u256_add(&next, base_fee, &delta);
    return next;
}
