#include "common/wire/pack_private.h"

/* ---- msgpack-c's unpacker, one value at a time ----------------------------------------------- */

/* What a callback of the template returns: 0 keeps the value, a negative number leaves the parser.
   An array header leaves it too: the template would go on to the elements, but only our caller
   knows what they must be. */
enum { KEEP = 0, AT_ARRAY = -100, REFUSE = -101 };

typedef coh_unpack_t *user_t;

/* The template hands results on as objects; ours stay in coh_unpack_t. */
typedef uint8_t object_t;

static inline object_t on_root(user_t *user)
{
    (void)user;
    return 0;
}

static inline int keep(user_t *user, object_t *obj, coh_value_kind_t kind, uint64_t u)
{
    (*user)->kind = kind;
    (*user)->u    = u;
    *obj          = 0;
    return KEEP;
}

#define ON_UINT(bits)                                                              \
    static inline int on_uint##bits(user_t *user, uint##bits##_t d, object_t *obj) \
    {                                                                              \
        return keep(user, obj, COH_VALUE_UINT, d);                                 \
    }
#define ON_INT(bits)                                                                      \
    static inline int on_int##bits(user_t *user, int##bits##_t d, object_t *obj)          \
    {                                                                                     \
        return keep(user, obj, d < 0 ? COH_VALUE_NEGATIVE : COH_VALUE_UINT, (uint64_t)d); \
    }
ON_UINT(8)
ON_UINT(16)
ON_UINT(32)
ON_UINT(64)
ON_INT(8)
ON_INT(16)
ON_INT(32)
ON_INT(64)

static inline int on_bin(user_t *user, char const *base, char const *p, unsigned n, object_t *obj)
{
    (void)base;
    (*user)->p = (uint8_t const *)p;
    return keep(user, obj, COH_VALUE_BIN, n);
}

static inline int on_array(user_t *user, unsigned cnt, object_t *obj)
{
    (void)keep(user, obj, COH_VALUE_ARRAY, cnt);
    return AT_ARRAY;
}

/* Everything below is never sent by us. */
#define on_nil(user, obj)                REFUSE
#define on_true(user, obj)               REFUSE
#define on_false(user, obj)              REFUSE
#define on_float(user, d, obj)           ((void)(d), REFUSE)
#define on_double(user, d, obj)          ((void)(d), REFUSE)
#define on_str(user, base, p, n, obj)    REFUSE
#define on_ext(user, base, p, n, obj)    REFUSE
#define on_map(user, cnt, obj)           ((void)(cnt), REFUSE)
#define on_array_item(user, list, obj)   REFUSE
#define on_map_item(user, map, key, obj) REFUSE

/* Arrays are left at their header, so the template never nests. */
#define MSGPACK_EMBED_STACK_SIZE       1
#define msgpack_unpack_struct(name)    struct parser##name
#define msgpack_unpack_func(ret, name) static inline ret parser##name
#define msgpack_unpack_callback(name)  on##name
#define msgpack_unpack_object          object_t
#define msgpack_unpack_user            user_t
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

_Static_assert(MSGPACK_EMBED_STACK_SIZE == 1, "include unpack_define.h only here");
#include <msgpack/unpack_template.h>

coh_err_t coh_unpack_value(coh_unpack_t *up)
{
    if (COH_UNLIKELY(coh_unpack_is_end(up))) {
        return COH_ETRUNCATED; /* in.p may be NULL, which the parser would add to */
    }
    struct parser_context ctx;
    ctx.user = up;
    parser_init(&ctx);
    size_t at = up->at;
    int rc    = parser_execute(&ctx, (char const *)up->in.p, up->in.n, &at);
    if (COH_LIKELY(rc > 0)) {
        up->at = at;
        return COH_OK;
    }
    if (rc == AT_ARRAY) {
        up->at = at + 1; /* left on the last octet of the header */
        return COH_OK;
    }
    return rc == 0 ? COH_ETRUNCATED : COH_EMALFORMED;
}

/* ---- Bytes and lists ------------------------------------------------------------------------- */

/* More than a large message's lists take: a huge one does not keep its memory for ever. */
#define LISTS_KEEP_BYTES ((size_t)4 << 20)

void coh_unpack_init(coh_unpack_t *up) { *up = (coh_unpack_t){0}; }

void coh_unpack_fini(coh_unpack_t *up)
{
    coh_arena_free(&up->lists);
    *up = (coh_unpack_t){0};
}

void coh_unpack_begin(coh_unpack_t *up, coh_bytes_t in)
{
    up->in = in;
    up->at = 0;
    coh_unpack_recycle(up);
}

void coh_unpack_recycle(coh_unpack_t *up) { coh_arena_reset(&up->lists, LISTS_KEEP_BYTES); }

coh_err_t coh_unpack_list(coh_unpack_t *up,
                          void **out,
                          uint32_t *cnt,
                          size_t size,
                          size_t bytes_min)
{
    COH_TRY(coh_unpack_array(up, cnt));
    if (COH_UNLIKELY(*cnt > (up->in.n - up->at) / bytes_min)) {
        return COH_ETRUNCATED;
    }
    *out = coh_arena_alloc(&up->lists, *cnt * size);
    return COH_OK;
}
