#include "common/codec/rlp.h"

#include "common/base/assert.h"

/* Yellow Paper, Appendix B: the first octet says the kind, and up to LONG_MIN - 1 the length;
   beyond, the length follows in the fewest octets. */
enum { STRING_TAG = 0x80, LIST_TAG = 0xc0, LONG_MIN_SZ = 56, HEADER_MAX = 9 };

/* Reads the octets of a long length, which must be the fewest and not fit the short form. */
static coh_err_t read_length(uint8_t const *p, size_t len_sz, size_t *out)
{
    if (p[0] == 0) {
        return COH_EMALFORMED;
    }
    uint64_t n = 0;
    for (size_t i = 0; i < len_sz; i++) {
        n = n << 8 | p[i];
    }
    *out = n;
    return n < LONG_MIN_SZ ? COH_EMALFORMED : COH_OK;
}

coh_err_t coh_rlp_next(coh_rlp_t *r, coh_rlp_kind_t *kind, coh_bytes_t *payload)
{
    if (r->p == r->end) {
        return COH_ETRUNCATED;
    }
    uint8_t first = *r->p;
    if (first < STRING_TAG) {
        *kind    = COH_RLP_STRING;
        *payload = coh_bytes(r->p++, 1);
        return COH_OK;
    }
    uint8_t tag      = first < LIST_TAG ? STRING_TAG : LIST_TAG;
    uint8_t const *p = r->p + 1;
    size_t left      = (size_t)(r->end - p);
    size_t n         = (size_t)first - tag;
    if (n >= LONG_MIN_SZ) {
        size_t len_sz = n - LONG_MIN_SZ + 1;
        if (len_sz > left) {
            return COH_ETRUNCATED;
        }
        COH_TRY(read_length(p, len_sz, &n));
        p += len_sz;
        left -= len_sz;
    }
    if (n > left) {
        return COH_ETRUNCATED;
    }
    if (tag == STRING_TAG && n == 1 && *p < STRING_TAG) {
        return COH_EMALFORMED;
    }
    *kind    = tag == STRING_TAG ? COH_RLP_STRING : COH_RLP_LIST;
    *payload = coh_bytes(p, n);
    r->p     = p + n;
    return COH_OK;
}

coh_err_t coh_rlp_next_raw(coh_rlp_t *r,
                           coh_rlp_kind_t *kind,
                           coh_bytes_t *payload,
                           coh_bytes_t *item)
{
    uint8_t const *start = r->p;
    COH_TRY(coh_rlp_next(r, kind, payload));
    *item = coh_bytes(start, (size_t)(r->p - start));
    return COH_OK;
}

coh_err_t coh_rlp_list(coh_rlp_t *r, coh_rlp_t *inner)
{
    coh_rlp_kind_t kind;
    coh_bytes_t payload;
    COH_TRY(coh_rlp_next(r, &kind, &payload));
    *inner = coh_rlp_reader(payload);
    return kind == COH_RLP_LIST ? COH_OK : COH_EMALFORMED;
}

coh_err_t coh_rlp_string(coh_rlp_t *r, coh_bytes_t *out)
{
    coh_rlp_kind_t kind;
    COH_TRY(coh_rlp_next(r, &kind, out));
    return kind == COH_RLP_STRING ? COH_OK : COH_EMALFORMED;
}

coh_err_t coh_rlp_fixed(coh_rlp_t *r, void *out, size_t n)
{
    coh_bytes_t text;
    COH_TRY(coh_rlp_string(r, &text));
    if (text.n != n) {
        return COH_EMALFORMED;
    }
    memcpy(out, text.p, n);
    return COH_OK;
}

/* A number is a string of at most max octets without leading zeros; zero is empty. */
static coh_err_t read_number(coh_rlp_t *r, size_t max, coh_bytes_t *out)
{
    COH_TRY(coh_rlp_string(r, out));
    return out->n > max || (out->n != 0 && out->p[0] == 0) ? COH_EMALFORMED : COH_OK;
}

coh_err_t coh_rlp_u64(coh_rlp_t *r, uint64_t *out)
{
    coh_bytes_t text;
    COH_TRY(read_number(r, 8, &text));
    uint64_t v = 0;
    for (size_t i = 0; i < text.n; i++) {
        v = v << 8 | text.p[i];
    }
    *out = v;
    return COH_OK;
}

coh_err_t coh_rlp_u256(coh_rlp_t *r, coh_u256_t *out)
{
    coh_bytes_t text;
    COH_TRY(read_number(r, 32, &text));
    *out = coh_u256_from_be(text.p, text.n);
    return COH_OK;
}

coh_err_t coh_rlp_end(coh_rlp_t const *r) { return coh_rlp_at_end(r) ? COH_OK : COH_EMALFORMED; }

/* Writes the header of an item with n octets of payload; returns its length. */
static size_t make_header(uint8_t out[HEADER_MAX], uint8_t tag, size_t n)
{
    if (n < LONG_MIN_SZ) {
        out[0] = (uint8_t)(tag + n);
        return 1;
    }
    size_t len_sz = 8 - (size_t)__builtin_clzll(n) / 8;
    out[0]        = (uint8_t)((size_t)tag + LONG_MIN_SZ - 1 + len_sz);
    for (size_t i = 0; i < len_sz; i++) {
        out[1 + i] = (uint8_t)(n >> (8 * (len_sz - 1 - i)));
    }
    return 1 + len_sz;
}

void coh_rlp_put_string(coh_buf_t *out, void const *p, size_t n)
{
    uint8_t const *text = p;
    if (n != 1 || text[0] >= STRING_TAG) {
        uint8_t header[HEADER_MAX];
        coh_buf_put(out, header, make_header(header, STRING_TAG, n));
    }
    coh_buf_put(out, p, n);
}

void coh_rlp_put_u64(coh_buf_t *out, uint64_t v)
{
    uint8_t text[8];
    coh_store_u64_be(text, v);
    size_t skip = v == 0 ? 8 : (size_t)__builtin_clzll(v) / 8;
    coh_rlp_put_string(out, text + skip, 8 - skip);
}

void coh_rlp_put_u256(coh_buf_t *out, coh_u256_t const *v)
{
    uint8_t text[32];
    coh_u256_to_be(text, v);
    size_t n = coh_u256_be_len(v);
    coh_rlp_put_string(out, text + 32 - n, n);
}

void coh_rlp_put_list_header(coh_buf_t *out, size_t payload_bytes)
{
    uint8_t header[HEADER_MAX];
    coh_buf_put(out, header, make_header(header, LIST_TAG, payload_bytes));
}

void coh_rlp_wrap_list(coh_buf_t *out, size_t at)
{
    COH_ASSERT(at <= out->n);
    size_t n = out->n - at;
    uint8_t header[HEADER_MAX];
    size_t header_sz = make_header(header, LIST_TAG, n);
    (void)coh_buf_extend(out, header_sz);
    memmove(out->p + at + header_sz, out->p + at, n);
    memcpy(out->p + at, header, header_sz);
}
