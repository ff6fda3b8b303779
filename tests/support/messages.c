#include "tests/support/messages.h"

#include "common/base/assert.h"

/* ---- Fields ---------------------------------------------------------------------------------- */

static void random_octets(void *out, size_t n, coh_rng_t *rng)
{
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)out)[i] = (uint8_t)coh_rng_next(rng);
    }
}

/* All widths are equally likely, so that each encoding of a number is met. */
static void random_U64(uint64_t *out, coh_rng_t *rng, coh_arena_t *arena)
{
    (void)arena;
    *out = coh_rng_next(rng) >> coh_rng_below(rng, 64);
}

static void random_U32(uint32_t *out, coh_rng_t *rng, coh_arena_t *arena)
{
    (void)arena;
    *out = (uint32_t)coh_rng_next(rng) >> coh_rng_below(rng, 32);
}

static void random_U256(coh_u256_t *out, coh_rng_t *rng, coh_arena_t *arena)
{
    (void)arena;
    uint8_t be[32];
    size_t n = coh_rng_below(rng, 33);
    random_octets(be, n, rng);
    *out = coh_u256_from_be(be, n);
}

static void random_ADDR(coh_addr_t *out, coh_rng_t *rng, coh_arena_t *arena)
{
    (void)arena;
    random_octets(out->b, sizeof(out->b), rng);
}

static void random_HASH(coh_hash_t *out, coh_rng_t *rng, coh_arena_t *arena)
{
    (void)arena;
    random_octets(out->b, sizeof(out->b), rng);
}

/* Mostly short, and now and then beyond what 8 and 16 bits of length hold. */
static size_t random_bin_size(coh_rng_t *rng)
{
    uint64_t dice = coh_rng_below(rng, 1000);
    return dice == 0 ? 70000 : dice < 50 ? 256 + coh_rng_below(rng, 100) : coh_rng_below(rng, 64);
}

static void random_BIN(coh_bytes_t *out, coh_rng_t *rng, coh_arena_t *arena)
{
    size_t n   = random_bin_size(rng);
    uint8_t *p = coh_arena_alloc(arena, n);
    random_octets(p, n, rng);
    *out = coh_bytes(p, n);
}

/* Mostly short, and now and then beyond what 4 bits of length hold. */
static uint32_t random_list_cnt(coh_rng_t *rng)
{
    return (uint32_t)coh_rng_below(rng, coh_rng_percent(rng, 5) ? 40 : 5);
}

#define SAME_SCALAR(kind)                                                 \
    static bool same_##kind(COH_C_##kind const *a, COH_C_##kind const *b) \
    {                                                                     \
        return memcmp(a, b, sizeof(*a)) == 0;                             \
    }
SAME_SCALAR(U32)
SAME_SCALAR(U64)
SAME_SCALAR(U256)
SAME_SCALAR(ADDR)
SAME_SCALAR(HASH)

static bool same_BIN(coh_bytes_t const *a, coh_bytes_t const *b) { return coh_bytes_eq(*a, *b); }

#define F_RANDOM(kind, name, doc) random_##kind(&m->name, rng, arena);
#define LIST_RANDOM(type, random, name)                                   \
    {                                                                     \
        m->name.cnt = random_list_cnt(rng);                               \
        type *v     = coh_arena_alloc(arena, m->name.cnt * sizeof(type)); \
        for (uint32_t i = 0; i < m->name.cnt; i++) {                      \
            random(&v[i], rng, arena);                                    \
        }                                                                 \
        m->name.v = v;                                                    \
    }
#define L_RANDOM(rec, name, doc)  LIST_RANDOM(COH_REC_T_##rec, random_##rec, name)
#define A_RANDOM(kind, name, doc) LIST_RANDOM(COH_C_##kind, random_##kind, name)

#define F_SAME(kind, name, doc) same = same && same_##kind(&a->name, &b->name);
#define LIST_SAME(same_one, name)                        \
    same = same && a->name.cnt == b->name.cnt;           \
    for (uint32_t i = 0; same && i < a->name.cnt; i++) { \
        same = same_one(&a->name.v[i], &b->name.v[i]);   \
    }
#define L_SAME(rec, name, doc)  LIST_SAME(same_##rec, name)
#define A_SAME(kind, name, doc) LIST_SAME(same_##kind, name)

/* random_<tag> and same_<tag> of a struct. */
#define STRUCT_FUNCTIONS(tag, type, random_fields, same_fields)           \
    static void random_##tag(type *m, coh_rng_t *rng, coh_arena_t *arena) \
    {                                                                     \
        (void)m, (void)rng, (void)arena;                                  \
        random_fields                                                     \
    }                                                                     \
    static bool same_##tag(type const *a, type const *b)                  \
    {                                                                     \
        bool same = true;                                                 \
        (void)a, (void)b;                                                 \
        same_fields return same;                                          \
    }

/* ---- Messages between ranks ------------------------------------------------------------------ */

#define COH_REC(REC, rec)                                  \
    STRUCT_FUNCTIONS(REC,                                  \
                     coh_rec_##rec##_t,                    \
                     COH_FIELDS_##REC(F_RANDOM, L_RANDOM), \
                     COH_FIELDS_##REC(F_SAME, L_SAME))
#define COH_MSG(id, MSG, msg, route, doc)                  \
    STRUCT_FUNCTIONS(MSG,                                  \
                     coh_msg_##msg##_t,                    \
                     COH_FIELDS_##MSG(F_RANDOM, L_RANDOM), \
                     COH_FIELDS_##MSG(F_SAME, L_SAME))
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

uint32_t const coh_test_msg_ids[] = {
#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc) id,
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
};
size_t const coh_test_msg_cnt = COH_CNT(coh_test_msg_ids);

void coh_test_msg_random(coh_msg_t *out, uint32_t id, coh_rng_t *rng, coh_arena_t *arena)
{
    switch (id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc)     \
    case COH_MSG_##MSG:                        \
        out->id = COH_MSG_##MSG;               \
        random_##MSG(&out->u.msg, rng, arena); \
        return;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    default: COH_ASSERT(false);
    }
}

bool coh_test_msg_eq(coh_msg_t const *a, coh_msg_t const *b)
{
    if (a->id != b->id) {
        return false;
    }
    switch ((uint32_t)a->id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc) \
    case COH_MSG_##MSG:                    \
        return same_##MSG(&a->u.msg, &b->u.msg);
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    default: return false;
    }
}

void coh_test_msg_put(coh_buf_t *out, coh_msg_t const *m)
{
    switch ((uint32_t)m->id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc)  \
    case COH_MSG_##MSG:                     \
        coh_wire_put_##msg(out, &m->u.msg); \
        return;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    default: COH_ASSERT(false);
    }
}

/* ---- Messages of clients --------------------------------------------------------------------- */

#define RANDOM3(fields) fields(F_RANDOM, L_RANDOM, A_RANDOM)
#define SAME3(fields)   fields(F_SAME, L_SAME, A_SAME)

/* The records of ops.def and the operations share names (RECEIPT), so the functions of the latter
   carry a suffix. */
#define COH_OP_REC(REC, rec) \
    STRUCT_FUNCTIONS(REC, coh_op_##rec##_t, RANDOM3(COH_FIELDS_##REC), SAME3(COH_FIELDS_##REC))
#define COH_OP(id, OP, op, doc)                          \
    STRUCT_FUNCTIONS(OP##_request,                       \
                     coh_op_##op##_request_t,            \
                     RANDOM3(COH_FIELDS_##OP##_REQUEST), \
                     SAME3(COH_FIELDS_##OP##_REQUEST))   \
    STRUCT_FUNCTIONS(OP##_answer,                        \
                     coh_op_##op##_answer_t,             \
                     RANDOM3(COH_FIELDS_##OP##_ANSWER),  \
                     SAME3(COH_FIELDS_##OP##_ANSWER))
#define COH_PUB(topic, PUB, pub, doc) \
    STRUCT_FUNCTIONS(                 \
        PUB##_pub, coh_pub_##pub##_t, RANDOM3(COH_FIELDS_PUB_##PUB), SAME3(COH_FIELDS_PUB_##PUB))
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB

uint32_t const coh_test_op_ids[] = {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc) id,
#define COH_PUB(topic, PUB, pub, doc)
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
};
size_t const coh_test_op_cnt = COH_CNT(coh_test_op_ids);

uint32_t const coh_test_pub_topics[] = {
#define COH_OP_REC(REC, rec)
#define COH_OP(id, OP, op, doc)
#define COH_PUB(topic, PUB, pub, doc) topic,
#include "common/client/ops.def"
#undef COH_OP_REC
#undef COH_OP
#undef COH_PUB
};
size_t const coh_test_pub_cnt = COH_CNT(coh_test_pub_topics);

/* Each function below is one switch over the operations or the topics. */
#define COH_OP_REC(REC, rec)
#define COH_PUB(topic, PUB, pub, doc)

void coh_test_request_random(coh_op_request_t *out,
                             uint32_t op_id,
                             coh_rng_t *rng,
                             coh_arena_t *arena)
{
    *out = (coh_op_request_t){.op = (coh_op_id_t)op_id};
    switch (op_id) {
#define COH_OP(id, OP, op_, doc)                        \
    case COH_OP_##OP:                                   \
        random_##OP##_request(&out->u.op_, rng, arena); \
        return;
#include "common/client/ops.def"
#undef COH_OP
    default: COH_ASSERT(false);
    }
}

bool coh_test_request_eq(coh_op_request_t const *a, coh_op_request_t const *b)
{
    switch (a->op) {
#define COH_OP(id, OP, op_, doc) \
    case COH_OP_##OP:            \
        return a->op == b->op && same_##OP##_request(&a->u.op_, &b->u.op_);
#include "common/client/ops.def"
#undef COH_OP
    }
    return false;
}

void coh_test_request_put(coh_buf_t *out, coh_op_request_t const *m)
{
    switch (m->op) {
#define COH_OP(id, OP, op_, doc)                    \
    case COH_OP_##OP:                               \
        coh_op_put_##op_##_request(out, &m->u.op_); \
        break;
#include "common/client/ops.def"
#undef COH_OP
    }
}

void coh_test_answer_random(coh_op_answer_t *out,
                            uint32_t op_id,
                            coh_rng_t *rng,
                            coh_arena_t *arena)
{
    *out = (coh_op_answer_t){.op = (coh_op_id_t)op_id};
    switch (op_id) {
#define COH_OP(id, OP, op_, doc)                       \
    case COH_OP_##OP:                                  \
        random_##OP##_answer(&out->u.op_, rng, arena); \
        return;
#include "common/client/ops.def"
#undef COH_OP
    default: COH_ASSERT(false);
    }
}

bool coh_test_answer_eq(coh_op_answer_t const *a, coh_op_answer_t const *b)
{
    if (a->op != b->op || a->err != b->err || !coh_bytes_eq(a->text, b->text)) {
        return false;
    }
    switch (a->op) {
#define COH_OP(id, OP, op_, doc) \
    case COH_OP_##OP:            \
        return a->err != COH_OK || same_##OP##_answer(&a->u.op_, &b->u.op_);
#include "common/client/ops.def"
#undef COH_OP
    }
    return false;
}

void coh_test_answer_put(coh_buf_t *out, coh_op_answer_t const *m)
{
    switch (m->op) {
#define COH_OP(id, OP, op_, doc)                   \
    case COH_OP_##OP:                              \
        coh_op_put_##op_##_answer(out, &m->u.op_); \
        break;
#include "common/client/ops.def"
#undef COH_OP
    }
}

#undef COH_PUB
#define COH_OP(id, OP, op, doc)

void coh_test_pub_random(coh_pub_t *out, uint32_t topic, coh_rng_t *rng, coh_arena_t *arena)
{
    *out = (coh_pub_t){.topic = (coh_pub_topic_t)topic};
    switch (topic) {
#define COH_PUB(topic_, PUB, pub, doc)               \
    case COH_PUB_##PUB:                              \
        random_##PUB##_pub(&out->u.pub, rng, arena); \
        return;
#include "common/client/ops.def"
#undef COH_PUB
    default: COH_ASSERT(false);
    }
}

bool coh_test_pub_eq(coh_pub_t const *a, coh_pub_t const *b)
{
    switch (a->topic) {
#define COH_PUB(topic_, PUB, pub, doc) \
    case COH_PUB_##PUB:                \
        return a->topic == b->topic && same_##PUB##_pub(&a->u.pub, &b->u.pub);
#include "common/client/ops.def"
#undef COH_PUB
    }
    return false;
}

void coh_test_pub_put(coh_buf_t *out, coh_pub_t const *m)
{
    switch (m->topic) {
#define COH_PUB(topic_, PUB, pub, doc)     \
    case COH_PUB_##PUB:                    \
        coh_pub_put_##pub(out, &m->u.pub); \
        break;
#include "common/client/ops.def"
#undef COH_PUB
    }
}

#undef COH_OP
#undef COH_OP_REC
