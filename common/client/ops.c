#include "common/client/ops.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/wire/pack_private.h"

/* Each section expands ops.def once. */

#define CNT_OF(fields) (0 fields(COH_F_CNT, COH_F_CNT, COH_F_CNT))

enum {
#define COH_OP_REC(REC, rec)                    \
    field_cnt_##REC = CNT_OF(COH_FIELDS_##REC), \
    bytes_min_##REC = 1 COH_FIELDS_##REC(COH_F_BYTES_MIN, COH_LIST_BYTES_MIN, COH_LIST_BYTES_MIN),
#define COH_OP(id, OP, op, doc)                                   \
    field_cnt_##OP##_request = CNT_OF(COH_FIELDS_##OP##_REQUEST), \
    field_cnt_##OP##_answer  = CNT_OF(COH_FIELDS_##OP##_ANSWER),
#define COH_PUB(topic, PUB, pub, doc) field_cnt_pub_##PUB = CNT_OF(COH_FIELDS_PUB_##PUB),
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
};

/* ---- Encoder --------------------------------------------------------------------------------- */

#define COH_OP_REC(REC, rec)                                         \
    static void put_##REC(coh_buf_t *out, coh_op_##rec##_t const *m) \
    {                                                                \
        coh_pack_array(out, field_cnt_##REC);                        \
        COH_FIELDS_##REC(COH_F_PUT, COH_L_PUT, COH_A_PUT)            \
    }
#define COH_OP(id, OP, op, doc)                                                      \
    void coh_op_put_##op##_request(coh_buf_t *out, coh_op_##op##_request_t const *m) \
    {                                                                                \
        (void)m; /* may have no fields */                                            \
        coh_pack_array(out, 1 + field_cnt_##OP##_request);                           \
        coh_pack_U32(out, &(uint32_t){id});                                          \
        COH_FIELDS_##OP##_REQUEST(COH_F_PUT, COH_L_PUT, COH_A_PUT)                   \
    }                                                                                \
    void coh_op_put_##op##_answer(coh_buf_t *out, coh_op_##op##_answer_t const *m)   \
    {                                                                                \
        coh_pack_array(out, 1 + field_cnt_##OP##_answer);                            \
        coh_pack_U32(out, &(uint32_t){COH_OK});                                      \
        COH_FIELDS_##OP##_ANSWER(COH_F_PUT, COH_L_PUT, COH_A_PUT)                    \
    }
#define COH_PUB(topic, PUB, pub, doc)                                  \
    void coh_pub_put_##pub(coh_buf_t *out, coh_pub_##pub##_t const *m) \
    {                                                                  \
        coh_buf_put_u8(out, topic);                                    \
        coh_pack_array(out, field_cnt_pub_##PUB);                      \
        COH_FIELDS_PUB_##PUB(COH_F_PUT, COH_L_PUT, COH_A_PUT)          \
    }
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

void coh_op_put_error(coh_buf_t *out, coh_err_t err, char const *text)
{
    COH_ASSERT(err != COH_OK);
    if (text == NULL) {
        text = coh_err_str(err);
    }
    coh_pack_array(out, 2);
    coh_pack_negative(out, err);
    coh_pack_octets(out, text, strlen(text));
}

/* ---- Decoder --------------------------------------------------------------------------------- */

#define COH_OP_REC(REC, rec)                                             \
    static coh_err_t get_##REC(coh_unpack_t *up, coh_op_##rec##_t *m)    \
    {                                                                    \
        COH_TRY(coh_unpack_array_of(up, field_cnt_##REC));               \
        COH_FIELDS_##REC(COH_F_GET, COH_L_GET, COH_A_GET) return COH_OK; \
    }
#define COH_OP(id, OP, op, doc)                                                       \
    static coh_err_t get_##OP##_request(coh_unpack_t *up, coh_op_##op##_request_t *m) \
    {                                                                                 \
        (void)up;                                                                     \
        m->none_ = 0;                                                                 \
        COH_FIELDS_##OP##_REQUEST(COH_F_GET, COH_L_GET, COH_A_GET) return COH_OK;     \
    }                                                                                 \
    static coh_err_t get_##OP##_answer(coh_unpack_t *up, coh_op_##op##_answer_t *m)   \
    {                                                                                 \
        COH_FIELDS_##OP##_ANSWER(COH_F_GET, COH_L_GET, COH_A_GET) return COH_OK;      \
    }
#define COH_PUB(topic, PUB, pub, doc)                                        \
    static coh_err_t get_pub_##PUB(coh_unpack_t *up, coh_pub_##pub##_t *m)   \
    {                                                                        \
        COH_TRY(coh_unpack_array_of(up, field_cnt_pub_##PUB));               \
        COH_FIELDS_PUB_##PUB(COH_F_GET, COH_L_GET, COH_A_GET) return COH_OK; \
    }
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

struct coh_op_reader {
    coh_unpack_t up;
};

coh_op_reader_t *coh_op_reader_new(void)
{
    coh_op_reader_t *r = coh_calloc(1, sizeof(*r));
    coh_unpack_init(&r->up);
    return r;
}

void coh_op_reader_free(coh_op_reader_t *r)
{
    if (r != NULL) {
        coh_unpack_fini(&r->up);
        free(r);
    }
}

static coh_err_t expect_end(coh_unpack_t const *up)
{
    return coh_unpack_is_end(up) ? COH_OK : COH_EMALFORMED;
}

/* Checks the number of fields that the header of the enclosing array promised. */
static coh_err_t expect_cnt(uint32_t cnt, uint32_t want)
{
    return cnt == want ? COH_OK : COH_EMALFORMED;
}

coh_err_t coh_op_read_request(coh_op_reader_t *r, coh_op_request_t *out, coh_bytes_t in)
{
    coh_unpack_t *up = &r->up;
    uint32_t cnt     = 0;
    uint32_t op      = 0;
    coh_unpack_begin(up, in);
    COH_TRY(coh_unpack_array(up, &cnt));
    COH_TRY(coh_unpack_U32(up, &op));
    switch (op) {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op_, doc)                                \
    case COH_OP_##OP:                                           \
        out->op = COH_OP_##OP;                                  \
        COH_TRY(expect_cnt(cnt, 1 + field_cnt_##OP##_request)); \
        COH_TRY(get_##OP##_request(up, &out->u.op_));           \
        break;
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    default: return COH_EUNSUPPORTED;
    }
    return expect_end(up);
}

bool coh_op_is_private(coh_op_reader_t *r, coh_bytes_t in)
{
    uint32_t cnt = 0;
    uint32_t op  = 0;
    coh_unpack_begin(&r->up, in);
    return coh_unpack_array(&r->up, &cnt) == COH_OK && coh_unpack_U32(&r->up, &op) == COH_OK &&
           op >= COH_OP_PRIVATE_MIN && op <= COH_OP_PRIVATE_MAX;
}

/* msgpack never uses it. */
#define TOKEN_MARK 0xc1u

void coh_op_put_token(coh_buf_t *out, coh_bytes_t token)
{
    COH_ASSERT(token.n <= UINT16_MAX);
    coh_buf_put_u8(out, TOKEN_MARK);
    coh_buf_put_u8(out, (uint8_t)token.n);
    coh_buf_put_u8(out, (uint8_t)(token.n >> 8));
    coh_buf_put(out, token.p, token.n);
}

coh_err_t coh_op_take_token(coh_bytes_t *in, coh_bytes_t *token)
{
    *token = coh_bytes(NULL, 0);
    if (in->n == 0 || in->p[0] != TOKEN_MARK) {
        return COH_OK;
    }
    size_t n = in->n >= 3 ? (size_t)in->p[1] | (size_t)in->p[2] << 8 : 0;
    if (in->n < 3 || in->n - 3 < n) {
        return COH_ETRUNCATED;
    }
    *token = coh_bytes(in->p + 3, n);
    *in    = coh_bytes(in->p + 3 + n, in->n - 3 - n);
    return COH_OK;
}

coh_err_t coh_op_read_answer(coh_op_reader_t *r,
                             coh_op_answer_t *out,
                             coh_op_id_t op,
                             coh_bytes_t in)
{
    coh_unpack_t *up = &r->up;
    uint32_t cnt     = 0;
    out->op          = op;
    out->err         = COH_OK;
    out->text        = coh_bytes(NULL, 0);
    coh_unpack_begin(up, in);
    COH_TRY(coh_unpack_array(up, &cnt));
    COH_TRY(coh_unpack_value(up));
    if (up->kind == COH_VALUE_NEGATIVE) {
        int64_t code = (int64_t)up->u;
        if (code <= -(int64_t)COH_ERR_CNT) {
            return COH_EMALFORMED;
        }
        out->err = (coh_err_t)code;
        COH_TRY(expect_cnt(cnt, 2));
        COH_TRY(coh_unpack_BIN(up, &out->text));
        return expect_end(up);
    }
    if (up->kind != COH_VALUE_UINT || up->u != 0) {
        return COH_EMALFORMED;
    }
    switch (op) {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op_, doc)                               \
    case COH_OP_##OP:                                          \
        COH_TRY(expect_cnt(cnt, 1 + field_cnt_##OP##_answer)); \
        COH_TRY(get_##OP##_answer(up, &out->u.op_));           \
        break;
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    }
    return expect_end(up);
}

coh_err_t coh_op_read_publication(coh_op_reader_t *r, coh_pub_t *out, coh_bytes_t in)
{
    coh_unpack_t *up = &r->up;
    if (in.n == 0) {
        return COH_ETRUNCATED;
    }
    coh_unpack_begin(up, coh_bytes(in.p + 1, in.n - 1));
    switch (in.p[0]) {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)
#define COH_PUB(topic_, PUB, pub, doc)           \
    case COH_PUB_##PUB:                          \
        out->topic = COH_PUB_##PUB;              \
        COH_TRY(get_pub_##PUB(up, &out->u.pub)); \
        break;
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    default: return COH_EUNSUPPORTED;
    }
    return expect_end(up);
}

char const *coh_op_name(uint32_t id)
{
    switch (id) {
#define COH_OP_REC(REC, rec)
#define COH_OP(id_, OP, op, doc) \
    case COH_OP_##OP:            \
        return #OP;
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
    default: return "?";
    }
}
