#include "common/wire/wire.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/wire/pack_private.h"

/* Each section expands messages.def once: first records, then messages. */

enum {
#define COH_REC(REC, rec)                                       \
    field_cnt_##REC = 0 COH_FIELDS_##REC(COH_F_CNT, COH_F_CNT), \
    bytes_min_##REC = 1 COH_FIELDS_##REC(COH_F_BYTES_MIN, COH_LIST_BYTES_MIN),
#define COH_MSG(id, MSG, msg, route, doc) \
    field_cnt_##MSG = 0 COH_FIELDS_##MSG(COH_F_CNT, COH_F_CNT),
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    ENVELOPE_FIELD_CNT = 4,
};

#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc) \
    _Static_assert((id) > 0 && (id) <= COH_MSG_ID_MAX, "id of " #MSG " out of range");
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

/* ---- Encoder --------------------------------------------------------------------------------- */

#define COH_REC(REC, rec)                                             \
    static void put_##REC(coh_buf_t *out, coh_rec_##rec##_t const *m) \
    {                                                                 \
        coh_pack_array(out, field_cnt_##REC);                         \
        COH_FIELDS_##REC(COH_F_PUT, COH_L_PUT)                        \
    }
#define COH_MSG(id, MSG, msg, route, doc)                               \
    void coh_wire_put_##msg(coh_buf_t *out, coh_msg_##msg##_t const *m) \
    {                                                                   \
        coh_pack_array(out, 1 + field_cnt_##MSG);                       \
        coh_pack_U32(out, &(uint32_t){id});                             \
        COH_FIELDS_##MSG(COH_F_PUT, COH_L_PUT)                          \
    }
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

void coh_wire_put_envelope(coh_buf_t *out, coh_envelope_t const *env)
{
    coh_pack_array(out, ENVELOPE_FIELD_CNT);
    coh_pack_U32(out, &(uint32_t){COH_WIRE_VERSION});
    coh_pack_U64(out, &env->fingerprint);
    coh_pack_U32(out, &env->sender);
    coh_pack_U64(out, &env->epoch);
}

/* ---- Decoder --------------------------------------------------------------------------------- */

#define COH_REC(REC, rec)                                              \
    static coh_err_t get_##REC(coh_unpack_t *up, coh_rec_##rec##_t *m) \
    {                                                                  \
        COH_TRY(coh_unpack_array_of(up, field_cnt_##REC));             \
        COH_FIELDS_##REC(COH_F_GET, COH_L_GET) return COH_OK;          \
    }
#define COH_MSG(id, MSG, msg, route, doc)                              \
    static coh_err_t get_##MSG(coh_unpack_t *up, coh_msg_##msg##_t *m) \
    {                                                                  \
        COH_FIELDS_##MSG(COH_F_GET, COH_L_GET) return COH_OK;          \
    }
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

struct coh_wire_reader {
    coh_unpack_t up;
    coh_err_t err; /* of the frame so far; not COH_OK: nothing more is read of it */
};

coh_wire_reader_t *coh_wire_reader_new(void)
{
    coh_wire_reader_t *r = coh_calloc(1, sizeof(*r));
    coh_unpack_init(&r->up);
    return r;
}

void coh_wire_reader_free(coh_wire_reader_t *r)
{
    if (r != NULL) {
        coh_unpack_fini(&r->up);
        free(r);
    }
}

static coh_err_t read_envelope(coh_unpack_t *up, coh_envelope_t *env)
{
    uint32_t cnt     = 0;
    uint32_t version = 0;
    COH_TRY(coh_unpack_array(up, &cnt));
    COH_TRY(coh_unpack_U32(up, &version));
    if (version != COH_WIRE_VERSION) {
        return COH_EMISMATCH; /* whose envelope may have other fields */
    }
    if (cnt != ENVELOPE_FIELD_CNT) {
        return COH_EMALFORMED;
    }
    COH_TRY(coh_unpack_U64(up, &env->fingerprint));
    COH_TRY(coh_unpack_U32(up, &env->sender));
    return coh_unpack_U64(up, &env->epoch);
}

coh_err_t coh_wire_reader_begin(coh_wire_reader_t *r, coh_bytes_t frame, coh_envelope_t *env)
{
    coh_unpack_begin(&r->up, frame);
    r->err = read_envelope(&r->up, env);
    return r->err;
}

static coh_err_t read_message(coh_unpack_t *up, coh_msg_t *out)
{
    uint32_t cnt = 0;
    uint32_t id  = 0;
    COH_TRY(coh_unpack_array(up, &cnt));
    COH_TRY(coh_unpack_U32(up, &id));
    switch (id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc) \
    case COH_MSG_##MSG:                    \
        out->id = COH_MSG_##MSG;           \
        return cnt == 1 + field_cnt_##MSG ? get_##MSG(up, &out->u.msg) : COH_EMALFORMED;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    default: return COH_EPROTO;
    }
}

coh_err_t coh_wire_reader_next(coh_wire_reader_t *r, coh_msg_t *out)
{
    if (r->err != COH_OK) {
        return r->err;
    }
    coh_unpack_recycle(&r->up);
    r->err = coh_unpack_is_end(&r->up) ? COH_ENOTFOUND : read_message(&r->up, out);
    return r->err;
}

/* ---- Names, text, tables --------------------------------------------------------------------- */

char const *coh_wire_msg_name(uint32_t id)
{
    switch (id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc) \
    case COH_MSG_##MSG:                    \
        return #MSG;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    default: return "?";
    }
}

coh_wire_route_t coh_wire_route(uint32_t id)
{
    switch (id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc) \
    case COH_MSG_##MSG:                    \
        return COH_ROUTE_##route;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    default: return COH_ROUTE_NONE;
    }
}

static void print_U64(coh_buf_t *out, uint64_t const *v)
{
    coh_buf_printf(out, "%llu", (unsigned long long)*v);
}

static void print_U32(coh_buf_t *out, uint32_t const *v) { print_U64(out, &(uint64_t){*v}); }

static void print_U256(coh_buf_t *out, coh_u256_t const *v)
{
    char dec[COH_U256_DEC_SZ];
    coh_u256_to_dec(dec, v);
    coh_buf_printf(out, "%s", dec);
}

static void print_octets(coh_buf_t *out, uint8_t const *p, size_t n)
{
    char hex[2 * sizeof(coh_hash_t) + 1];
    coh_hex_encode(hex, p, n);
    coh_buf_printf(out, "0x%s", hex);
}

static void print_ADDR(coh_buf_t *out, coh_addr_t const *v)
{
    print_octets(out, v->b, sizeof(v->b));
}

static void print_HASH(coh_buf_t *out, coh_hash_t const *v)
{
    print_octets(out, v->b, sizeof(v->b));
}

static void print_BIN(coh_buf_t *out, coh_bytes_t const *v) { coh_buf_printf(out, "%zuB", v->n); }

#define F_PRINT(kind, name, doc)        \
    coh_buf_printf(out, " " #name "="); \
    print_##kind(out, &m->name);
#define L_PRINT(rec, name, doc) coh_buf_printf(out, " " #name "=[%u]", m->name.cnt);

#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc)                               \
    static void print_##MSG(coh_buf_t *out, coh_msg_##msg##_t const *m) \
    {                                                                   \
        COH_FIELDS_##MSG(F_PRINT, L_PRINT)                              \
    }
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG

void coh_wire_print(coh_buf_t *out, coh_msg_t const *m)
{
    coh_buf_printf(out, "%s", coh_wire_msg_name(m->id));
    switch (m->id) {
#define COH_REC(REC, rec)
#define COH_MSG(id_, MSG, msg, route, doc) \
    case COH_MSG_##MSG:                    \
        print_##MSG(out, &m->u.msg);       \
        break;
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    case COH_MSG_ID_MAX: break;
    }
}

/* Each field on its own line of the cell. */
#define F_TABLE(kind, name, doc) "<br>`" #name "` " #kind ": " doc
#define L_TABLE(rec, name, doc)  "<br>`" #name "` list of " #rec ": " doc
#define CELL(fields)             (fields) + sizeof("<br>") - 1

void coh_wire_table_markdown(coh_buf_t *out)
{
    coh_buf_printf(out, "| id | message | route | purpose | fields |\n|---|---|---|---|---|\n");
#define COH_REC(REC, rec)
#define COH_MSG(id, MSG, msg, route, doc)          \
    coh_buf_printf(out,                            \
                   "| %d | %s | %s | %s | %s |\n", \
                   id,                             \
                   #MSG,                           \
                   #route,                         \
                   doc,                            \
                   CELL(COH_FIELDS_##MSG(F_TABLE, L_TABLE)));
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
    coh_buf_printf(out, "\n| record | fields |\n|---|---|\n");
#define COH_REC(REC, rec) \
    coh_buf_printf(out, "| %s | %s |\n", #REC, CELL(COH_FIELDS_##REC(F_TABLE, L_TABLE)));
#define COH_MSG(id, MSG, msg, route, doc)
#include "common/wire/messages.def"
#undef COH_REC
#undef COH_MSG
}
