/* pack_private.h: the one way in which wire.c and client/ops.c turn structs into msgpack and back.
   Both are lists of the macros at the end, expanded over messages.def and ops.def; this file knows
   how one field of each kind is written and read.

   msgpack-c is a pair of templates with convenience layers above them; we instantiate the
   templates. Its packer calls a function pointer for each few octets; instantiated over coh_buf_t,
   the append is inline. Its unpacker builds a tree of objects from a zone, and allocates what an
   array header claims before it has seen the elements, so a frame of five octets could ask for
   gigabytes; instantiated with callbacks that keep the one value just parsed, it allocates nothing
   and becomes a pull parser: each read asks for the next value and says which kind it must be. The
   nesting is then that of our calls, so hostile depth is a wrong kind like any other, and no object
   tree is built only to be copied into our structs. */
#ifndef COH_PACK_PRIVATE_H
#define COH_PACK_PRIVATE_H

#include <limits.h>
#include <msgpack/sysdep.h>
#include <msgpack/timestamp.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/wire/kinds.h"

/* ---- Writing --------------------------------------------------------------------------------- */

static inline int coh_pack_append(coh_buf_t *out, void const *p, size_t n)
{
    memcpy(coh_buf_extend(out, n), p, n);
    return 0;
}

#define msgpack_pack_inline_func(name)             static inline COH_UNUSED int coh_mp##name
#define msgpack_pack_inline_func_cint(name)        static inline COH_UNUSED int coh_mp##name
#define msgpack_pack_inline_func_fixint(name)      static inline COH_UNUSED int coh_mp_fix##name
#define msgpack_pack_user                          coh_buf_t *
#define msgpack_pack_append_buffer(user, buf, len) return coh_pack_append(user, buf, len)
#include <msgpack/pack_template.h>

static inline void coh_pack_array(coh_buf_t *out, uint32_t cnt) { coh_mp_array(out, cnt); }

static inline void coh_pack_octets(coh_buf_t *out, void const *p, size_t n)
{
    coh_mp_bin(out, n);
    coh_buf_put(out, p, n);
}

static inline void coh_pack_U32(coh_buf_t *out, uint32_t const *v) { coh_mp_uint32(out, *v); }

static inline void coh_pack_negative(coh_buf_t *out, int32_t v) { coh_mp_int32(out, v); }

static inline void coh_pack_U64(coh_buf_t *out, uint64_t const *v) { coh_mp_uint64(out, *v); }

static inline void coh_pack_U256(coh_buf_t *out, coh_u256_t const *v)
{
    uint8_t be[32];
    size_t n = coh_u256_be_len(v);
    coh_u256_to_be(be, v);
    coh_pack_octets(out, be + sizeof(be) - n, n);
}

static inline void coh_pack_ADDR(coh_buf_t *out, coh_addr_t const *v)
{
    coh_pack_octets(out, v->b, sizeof(v->b));
}

static inline void coh_pack_HASH(coh_buf_t *out, coh_hash_t const *v)
{
    coh_pack_octets(out, v->b, sizeof(v->b));
}

static inline void coh_pack_BIN(coh_buf_t *out, coh_bytes_t const *v)
{
    coh_pack_octets(out, v->p, v->n);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Kinds of one msgpack value; what we never send is none of them and does not parse. */
typedef enum {
    COH_VALUE_UINT,     /* u */
    COH_VALUE_NEGATIVE, /* u: two's complement */
    COH_VALUE_BIN,      /* p, u octets */
    COH_VALUE_ARRAY,    /* header only: u elements follow */
} coh_value_kind_t;

typedef struct {
    coh_bytes_t in; /* borrowed */
    size_t at;      /* next octet of in to parse */
    coh_arena_t lists;
    /* The value parsed last. */
    coh_value_kind_t kind;
    uint64_t u;
    uint8_t const *p;
} coh_unpack_t;

/* coh_unpack_init starts with no memory, coh_unpack_fini frees it; coh_unpack_begin starts on new
   bytes (borrowed). */
void coh_unpack_init(coh_unpack_t *up);
void coh_unpack_fini(coh_unpack_t *up);
void coh_unpack_begin(coh_unpack_t *up, coh_bytes_t in);

/* coh_unpack_recycle takes back all memory of lists, for reuse. */
void coh_unpack_recycle(coh_unpack_t *up);

/* coh_unpack_value parses the next value into kind, u and p.
   Returns: COH_OK; COH_ETRUNCATED it ends beyond in; COH_EMALFORMED not of a kind that we use */
coh_err_t coh_unpack_value(coh_unpack_t *up);

/* coh_unpack_list reads an array header and gets memory for its elements of size octets each, not
   initialised. Each element takes at least bytes_min octets of what remains of in: more of them are
   refused before memory is taken.
   Returns: as coh_unpack_value */
coh_err_t coh_unpack_list(coh_unpack_t *up,
                          void **out,
                          uint32_t *cnt,
                          size_t size,
                          size_t bytes_min);

static inline bool coh_unpack_is_end(coh_unpack_t const *up) { return up->at == up->in.n; }

static inline coh_err_t coh_unpack_kind(coh_unpack_t *up, coh_value_kind_t kind)
{
    COH_TRY(coh_unpack_value(up));
    return COH_LIKELY(up->kind == kind) ? COH_OK : COH_EMALFORMED;
}

/* Reads an array header of any length, and of exactly cnt elements. */
static inline coh_err_t coh_unpack_array(coh_unpack_t *up, uint32_t *cnt)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_ARRAY));
    *cnt = (uint32_t)up->u;
    return COH_OK;
}

static inline coh_err_t coh_unpack_array_of(coh_unpack_t *up, uint32_t cnt)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_ARRAY));
    return COH_LIKELY(up->u == cnt) ? COH_OK : COH_EMALFORMED;
}

static inline coh_err_t coh_unpack_U32(coh_unpack_t *up, uint32_t *v)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_UINT));
    *v = (uint32_t)up->u;
    return COH_LIKELY(up->u <= UINT32_MAX) ? COH_OK : COH_EMALFORMED;
}

static inline coh_err_t coh_unpack_U64(coh_unpack_t *up, uint64_t *v)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_UINT));
    *v = up->u;
    return COH_OK;
}

static inline coh_err_t coh_unpack_U256(coh_unpack_t *up, coh_u256_t *v)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_BIN));
    if (COH_UNLIKELY(up->u > 32 || (up->u != 0 && up->p[0] == 0))) {
        return COH_EMALFORMED;
    }
    *v = coh_u256_from_be(up->p, up->u);
    return COH_OK;
}

static inline coh_err_t coh_unpack_fixed(coh_unpack_t *up, uint8_t *out, size_t n)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_BIN));
    if (COH_UNLIKELY(up->u != n)) {
        return COH_EMALFORMED;
    }
    memcpy(out, up->p, n);
    return COH_OK;
}

static inline coh_err_t coh_unpack_ADDR(coh_unpack_t *up, coh_addr_t *v)
{
    return coh_unpack_fixed(up, v->b, sizeof(v->b));
}

static inline coh_err_t coh_unpack_HASH(coh_unpack_t *up, coh_hash_t *v)
{
    return coh_unpack_fixed(up, v->b, sizeof(v->b));
}

static inline coh_err_t coh_unpack_BIN(coh_unpack_t *up, coh_bytes_t *v)
{
    COH_TRY(coh_unpack_kind(up, COH_VALUE_BIN));
    *v = coh_bytes(up->p, up->u);
    return COH_OK;
}

/* ---- Lists of fields ------------------------------------------------------------------------- */

/* Octets that a field takes at least. */
enum {
    COH_BYTES_MIN_U32  = 1,
    COH_BYTES_MIN_U64  = 1,
    COH_BYTES_MIN_U256 = 2,
    COH_BYTES_MIN_ADDR = 22,
    COH_BYTES_MIN_HASH = 34,
    COH_BYTES_MIN_BIN  = 2,
};

/* How many fields; how many octets they take at least. */
#define COH_F_CNT(kind, name, doc)          +1
#define COH_F_BYTES_MIN(kind, name, doc)    +COH_BYTES_MIN_##kind
#define COH_LIST_BYTES_MIN(kind, name, doc) +1

/* Encoder: m is written to out. Records are written and read by functions put_<REC> and get_<REC>
   of the including file, which also has a constant bytes_min_<REC>. */
#define COH_F_PUT(kind, name, doc) coh_pack_##kind(out, &m->name);
#define COH_L_PUT(rec, name, doc)                \
    coh_pack_array(out, m->name.cnt);            \
    for (uint32_t i = 0; i < m->name.cnt; i++) { \
        put_##rec(out, &m->name.v[i]);           \
    }
#define COH_A_PUT(kind, name, doc)               \
    coh_pack_array(out, m->name.cnt);            \
    for (uint32_t i = 0; i < m->name.cnt; i++) { \
        coh_pack_##kind(out, &m->name.v[i]);     \
    }

/* Decoder: m is read from up; the enclosing function returns the error of what does not fit. */
#define COH_F_GET(kind, name, doc) COH_TRY(coh_unpack_##kind(up, &m->name));
#define COH_LIST_GET_(type, bytes_min, get, name)                                   \
    {                                                                               \
        void *list = NULL;                                                          \
        COH_TRY(coh_unpack_list(up, &list, &m->name.cnt, sizeof(type), bytes_min)); \
        type *v   = list;                                                           \
        m->name.v = v;                                                              \
        for (uint32_t i = 0; i < m->name.cnt; i++) {                                \
            COH_TRY(get(up, &v[i]));                                                \
        }                                                                           \
    }
#define COH_L_GET(rec, name, doc) COH_LIST_GET_(COH_REC_T_##rec, bytes_min_##rec, get_##rec, name)
#define COH_A_GET(kind, name, doc) \
    COH_LIST_GET_(COH_C_##kind, COH_BYTES_MIN_##kind, coh_unpack_##kind, name)

#endif
