/* fuzz_guard: what a stranger may send a rank that has a key, and one that has none. The octets are frames, each after its length (one octet); the first octet says whether the
   rank's own challenge was sent before, and whether the first frame is made a challenge of the right form. Nothing passes without the key, whatever is sent. */
#include "common/base/assert.h"
#include "common/net/guard.h"
#include "tests/fuzz/fuzz.h"

static coh_hash_t const genesis = {{1}};

static coh_guard_t *guard_new(char const *key)
{
    return coh_guard_new(&(coh_guard_options_t){.rank     = 1,
                                                .rank_cnt = 3,
                                                .key      = coh_bytes(key, strlen(key)),
                                                .build    = "0",
                                                .genesis  = &genesis});
}

static void feed(coh_guard_t *guard, bool has_key, uint8_t const *data, size_t size)
{
    coh_buf_t own   = COH_BUF_INIT;
    coh_buf_t frame = COH_BUF_INIT;
    bool framed     = (data[0] & 2) != 0;
    if ((data[0] & 1) != 0) {
        COH_ASSERT(coh_guard_next(guard, 0, &own) == has_key);
    }
    for (size_t at = 1; at < size;) {
        size_t n = COH_MIN((size_t)data[at], size - at - 1);
        coh_buf_clear(&frame);
        coh_buf_put(&frame, data + at + 1, n);
        at += 1 + n;
        if (framed && frame.n >= 16) {
            memcpy(frame.p, "\xc1\x01\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00", 16);
            framed = false;
        }
        coh_bytes_t in              = coh_buf_bytes(&frame);
        coh_guard_verdict_t verdict = coh_guard_take(guard, 0, &in);
        if (has_key) {
            COH_ASSERT(verdict != COH_GUARD_PASS && !coh_guard_is_open(guard, 0));
        } else {
            COH_ASSERT((verdict == COH_GUARD_PASS) != (verdict == COH_GUARD_ASKED));
        }
        coh_buf_clear(&own);
        (void)coh_guard_next(guard, 0, &own);
    }
    coh_buf_free(&own);
    coh_buf_free(&frame);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    for (int has_key = 0; has_key < 2; has_key++) {
        coh_guard_t *guard = guard_new(has_key ? "0123456789abcdef0123456789abcdef" : "");
        feed(guard, has_key != 0, data, size);
        coh_guard_free(guard);
    }
    return 0;
}
