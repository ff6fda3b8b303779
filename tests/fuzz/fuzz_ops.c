/* fuzz_ops: requests, answers and publications. The first octet chooses which of them, and whether
   the others are the message as it stands or a seed for a random one and how that one is damaged.
   Whatever decodes must, encoded and decoded again, be the same. */
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/rng.h"
#include "common/client/ops.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/messages.h"

static void read_request(coh_op_reader_t *r, coh_op_reader_t *r2, coh_bytes_t in)
{
    coh_op_request_t m;
    coh_op_request_t got;
    coh_buf_t again = COH_BUF_INIT;
    coh_bytes_t token;
    if (coh_op_take_token(&in, &token) == COH_OK && coh_op_read_request(r, &m, in) == COH_OK) {
        bool is_private = m.op >= COH_OP_PRIVATE_MIN && m.op <= COH_OP_PRIVATE_MAX;
        COH_ASSERT(coh_op_is_private(r2, in) == is_private);
        coh_test_request_put(&again, &m);
        COH_ASSERT(coh_op_read_request(r2, &got, coh_buf_bytes(&again)) == COH_OK);
        COH_ASSERT(coh_test_request_eq(&got, &m));
    }
    coh_buf_free(&again);
}

static void read_answer(coh_op_reader_t *r, coh_op_reader_t *r2, uint32_t op, coh_bytes_t in)
{
    coh_op_answer_t m;
    coh_op_answer_t got;
    coh_buf_t again = COH_BUF_INIT;
    if (coh_op_read_answer(r, &m, (coh_op_id_t)op, in) == COH_OK && m.err == COH_OK) {
        coh_test_answer_put(&again, &m);
        COH_ASSERT(coh_op_read_answer(r2, &got, m.op, coh_buf_bytes(&again)) == COH_OK);
        COH_ASSERT(coh_test_answer_eq(&got, &m));
    }
    coh_buf_free(&again);
}

static void read_publication(coh_op_reader_t *r, coh_op_reader_t *r2, coh_bytes_t in)
{
    coh_pub_t m;
    coh_pub_t got;
    coh_buf_t again = COH_BUF_INIT;
    if (coh_op_read_publication(r, &m, in) == COH_OK) {
        coh_test_pub_put(&again, &m);
        COH_ASSERT(coh_op_read_publication(r2, &got, coh_buf_bytes(&again)) == COH_OK);
        COH_ASSERT(coh_test_pub_eq(&got, &m));
    }
    coh_buf_free(&again);
}

enum { REQUEST, ANSWER, PUBLICATION, FORM_CNT };

static void put_random(coh_buf_t *out, int form, uint32_t op, coh_rng_t *rng, coh_arena_t *arena)
{
    if (form == REQUEST) {
        coh_op_request_t m;
        coh_test_request_random(&m, op, rng, arena);
        coh_test_request_put(out, &m);
    } else if (form == ANSWER) {
        coh_op_answer_t m;
        coh_test_answer_random(&m, op, rng, arena);
        coh_test_answer_put(out, &m);
    } else {
        coh_pub_t m;
        coh_test_pub_random(
            &m, coh_test_pub_topics[coh_rng_below(rng, coh_test_pub_cnt)], rng, arena);
        coh_test_pub_put(out, &m);
    }
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    int form              = data[0] % FORM_CNT;
    uint32_t op           = coh_test_op_ids[data[1] % coh_test_op_cnt];
    coh_bytes_t in        = coh_bytes(data + 2, size - 2);
    coh_arena_t arena     = COH_ARENA_INIT;
    coh_buf_t made        = COH_BUF_INIT;
    coh_op_reader_t *r    = coh_op_reader_new();
    coh_op_reader_t *twin = coh_op_reader_new();
    if ((data[0] & 0x80) != 0 && in.n >= 8) {
        coh_rng_t rng;
        coh_rng_seed(&rng, coh_load_u64_le(in.p));
        put_random(&made, form, op, &rng, &arena);
        for (size_t i = 8; i + 3 <= in.n; i += 3) {
            made.p[((size_t)in.p[i] << 8 | in.p[i + 1]) % made.n] = in.p[i + 2];
        }
        in = coh_buf_bytes(&made);
    }
    switch (form) {
    case REQUEST: read_request(r, twin, in); break;
    case ANSWER: read_answer(r, twin, op, in); break;
    default: read_publication(r, twin, in); break;
    }
    coh_op_reader_free(r);
    coh_op_reader_free(twin);
    coh_buf_free(&made);
    coh_arena_free(&arena);
    return 0;
}
