/* fuzz_wire: frames between ranks. The first octet chooses what the others are: an even one, a
   frame as it stands; an odd one, a seed for a frame of random messages, and where and how that
   frame is damaged, so that every message is reached without luck. Whatever decodes must, encoded
   and decoded again, be the same. */
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/rng.h"
#include "common/wire/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/messages.h"

static void check_message(coh_msg_t const *m)
{
    coh_envelope_t env   = {0};
    coh_buf_t again      = COH_BUF_INIT;
    coh_buf_t text       = COH_BUF_INIT;
    coh_wire_reader_t *r = coh_wire_reader_new();
    coh_msg_t got;
    coh_wire_put_envelope(&again, &env);
    coh_test_msg_put(&again, m);
    COH_ASSERT(coh_wire_reader_begin(r, coh_buf_bytes(&again), &env) == COH_OK);
    COH_ASSERT(coh_wire_reader_next(r, &got) == COH_OK);
    COH_ASSERT(coh_test_msg_eq(&got, m));
    COH_ASSERT(coh_wire_reader_next(r, &got) == COH_ENOTFOUND);
    coh_wire_print(&text, m);
    COH_ASSERT(text.n != 0 && coh_wire_route(m->id) != COH_ROUTE_NONE);
    coh_wire_reader_free(r);
    coh_buf_free(&again);
    coh_buf_free(&text);
}

static void read_frame(coh_bytes_t frame)
{
    coh_wire_reader_t *r = coh_wire_reader_new();
    coh_envelope_t env;
    coh_msg_t m;
    coh_err_t err = coh_wire_reader_begin(r, frame, &env);
    while (err == COH_OK && (err = coh_wire_reader_next(r, &m)) == COH_OK) {
        check_message(&m);
    }
    coh_wire_reader_free(r);
}

/* Overwrites octets of frame as the pairs in damage say: place, value. */
static void damage_frame(coh_buf_t *frame, uint8_t const *damage, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i += 3) {
        frame->p[((size_t)damage[i] << 8 | damage[i + 1]) % frame->n] = damage[i + 2];
    }
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    if ((data[0] & 1) == 0 || size < 9) {
        read_frame(coh_bytes(data + 1, size - 1));
        return 0;
    }
    coh_rng_t rng;
    coh_arena_t arena = COH_ARENA_INIT;
    coh_buf_t frame   = COH_BUF_INIT;
    coh_rng_seed(&rng, coh_load_u64_le(data + 1));
    coh_wire_put_envelope(&frame,
                          &(coh_envelope_t){.fingerprint = coh_rng_next(&rng), .sender = 1});
    for (int i = 0; i < 3; i++) {
        coh_msg_t m;
        coh_test_msg_random(
            &m, coh_test_msg_ids[coh_rng_below(&rng, coh_test_msg_cnt)], &rng, &arena);
        coh_test_msg_put(&frame, &m);
    }
    damage_frame(&frame, data + 9, size - 9);
    read_frame(coh_buf_bytes(&frame));
    coh_buf_free(&frame);
    coh_arena_free(&arena);
    return 0;
}
