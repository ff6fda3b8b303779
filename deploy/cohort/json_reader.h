/* json_reader.h: reading members of fixtures in JSON (recorded blocks, official state tests) into plain values. The first failure is kept, with
   what is wrong; later reads return zeros, so that a loader reads on and looks at err once. Any thread, a reader at a time. */
#ifndef COH_JSON_READER_H
#define COH_JSON_READER_H

#include <jansson.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/config/genesis.h"

typedef struct {
    coh_arena_t *arena;  /* where octets and arrays go; borrowed */
    char const *where;   /* what is being read, for err_text; NULL: nothing to say */
    coh_buf_t *err_text; /* borrowed */
    coh_err_t err;       /* COH_OK, or COH_EMALFORMED since the first failure */
} coh_json_reader_t;

/* coh_json_fail: member is not as it should be. */
void coh_json_fail(coh_json_reader_t *rd, char const *member, char const *what);
/* The member key of obj; NULL, a failure, if it is missing. Borrowed from obj. */
json_t *coh_json_member(coh_json_reader_t *rd, json_t const *obj, char const *key);

/* Quantities: text, in hexadecimal or decimal; "0x" alone is zero. coh_json_parse_* return false for others, and fail nothing. */
bool coh_json_parse_u256(coh_u256_t *out, json_t const *v);
bool coh_json_parse_u64(uint64_t *out, json_t const *v);
/* of v, which is called what in err_text; of a member. */
coh_u256_t coh_json_u256_value(coh_json_reader_t *rd, json_t const *v, char const *what);
coh_u256_t coh_json_u256(coh_json_reader_t *rd, json_t const *obj, char const *key);
uint64_t coh_json_u64(coh_json_reader_t *rd, json_t const *obj, char const *key);

/* Exactly n octets in hexadecimal: of a text of len characters (NULL: a failure), of v, of a member. */
void coh_json_fixed_text(coh_json_reader_t *rd,
                         void *out,
                         size_t n,
                         char const *text,
                         size_t len,
                         char const *what);
void coh_json_fixed_value(coh_json_reader_t *rd,
                          void *out,
                          size_t n,
                          json_t const *v,
                          char const *what);
void coh_json_fixed(coh_json_reader_t *rd, void *out, size_t n, json_t const *obj, char const *key);

/* Octets in hexadecimal, any number of them; in the arena. */
coh_bytes_t coh_json_octets(coh_json_reader_t *rd, json_t const *v, char const *what);
/* Copies into the arena, of the octets of buf and of a text. */
coh_bytes_t coh_json_copy(coh_json_reader_t *rd, coh_buf_t const *buf);
char *coh_json_copy_text(coh_json_reader_t *rd, char const *text);
/* cnt elements of size octets, all zero, in the arena; not NULL. */
void *coh_json_zeroed(coh_json_reader_t *rd, size_t cnt, size_t size);

/* Storage as an object of slot to value; without those that are zero, in the arena. NULL: none. */
void coh_json_slots(coh_json_reader_t *rd,
                    coh_genesis_slot_t **out,
                    size_t *out_cnt,
                    json_t *storage);

#endif
