/* RLP: whatever the reader accepts, the writer reproduces, octet for octet; so only one form of
   each value passes. */
#include "common/base/assert.h"
#include "common/codec/rlp.h"
#include "tests/fuzz/fuzz.h"

enum { DEPTH_MAX = 64 };

/* Reads the items of r to the end and writes them again; false if one is refused or they nest
   too deep. */
static bool copy(coh_buf_t *out, coh_rlp_t r, int depth)
{
    while (!coh_rlp_at_end(&r)) {
        coh_rlp_t again = r;
        coh_rlp_kind_t kind;
        coh_bytes_t payload, item;
        uint8_t const *start = r.p;
        if (coh_rlp_next_raw(&r, &kind, &payload, &item) != COH_OK) {
            COH_ASSERT(r.p == start);
            return false;
        }
        COH_ASSERT(item.p == start && item.p + item.n == r.p && r.p <= r.end);
        COH_ASSERT(payload.p + payload.n == r.p);
        size_t at = out->n;
        coh_u256_t number;
        uint64_t small;
        if (kind == COH_RLP_STRING) {
            coh_rlp_put_string(out, payload.p, payload.n);
            coh_rlp_t as_small = again;
            if (coh_rlp_u256(&again, &number) == COH_OK) {
                coh_buf_t text = COH_BUF_INIT;
                coh_rlp_put_u256(&text, &number);
                COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&text), item));
                bool fits = (number.w[1] | number.w[2] | number.w[3]) == 0;
                COH_ASSERT((coh_rlp_u64(&as_small, &small) == COH_OK) == fits);
                COH_ASSERT(!fits || small == number.w[0]);
                coh_buf_free(&text);
            }
        } else {
            if (depth == DEPTH_MAX || !copy(out, coh_rlp_reader(payload), depth + 1)) {
                return false;
            }
            coh_rlp_wrap_list(out, at);
        }
        COH_ASSERT(coh_bytes_eq(coh_bytes(out->p + at, out->n - at), item));
    }
    return true;
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    coh_buf_t out = COH_BUF_INIT;
    if (copy(&out, coh_rlp_reader(coh_bytes(data, size)), 0)) {
        COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&out), coh_bytes(data, size)));
    }
    coh_buf_free(&out);
    return 0;
}
