/* rlp.h: Recursive Length Prefix (Yellow Paper, Appendix B): a strict reader that accepts only
   the canonical form, and a writer into a buffer. The reader never allocates and never recurses:
   depth is the caller's. */
#ifndef COH_RLP_H
#define COH_RLP_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"

/* A cursor over a list's payload (or over one item that fills the input). */
typedef struct {
    uint8_t const *p;
    uint8_t const *end;
} coh_rlp_t;

typedef enum { COH_RLP_STRING, COH_RLP_LIST } coh_rlp_kind_t;

static inline coh_rlp_t coh_rlp_reader(coh_bytes_t in)
{
    return (coh_rlp_t){.p = in.p, .end = in.n == 0 ? in.p : in.p + in.n};
}

static inline bool coh_rlp_at_end(coh_rlp_t const *r) { return r->p == r->end; }

/* coh_rlp_next reads one item: its kind and payload (borrowed), and moves past it.
   Returns: COH_OK; COH_ETRUNCATED it ends early; COH_EMALFORMED not the shortest form */
coh_err_t coh_rlp_next(coh_rlp_t *r, coh_rlp_kind_t *kind, coh_bytes_t *payload);

/* As coh_rlp_next, but also returns the item with its header (for re-hashing it whole). */
coh_err_t coh_rlp_next_raw(coh_rlp_t *r,
                           coh_rlp_kind_t *kind,
                           coh_bytes_t *payload,
                           coh_bytes_t *item);

/* Typed reads; COH_EMALFORMED if the item is of another kind, size or form (leading zeros). */
coh_err_t coh_rlp_list(coh_rlp_t *r, coh_rlp_t *inner);
coh_err_t coh_rlp_string(coh_rlp_t *r, coh_bytes_t *out);
coh_err_t coh_rlp_fixed(coh_rlp_t *r, void *out, size_t n);
coh_err_t coh_rlp_u64(coh_rlp_t *r, uint64_t *out);
coh_err_t coh_rlp_u256(coh_rlp_t *r, coh_u256_t *out);
/* COH_EMALFORMED unless everything was read. */
coh_err_t coh_rlp_end(coh_rlp_t const *r);

/* Writers append one item each. */
void coh_rlp_put_string(coh_buf_t *out, void const *p, size_t n);
void coh_rlp_put_u64(coh_buf_t *out, uint64_t v);
void coh_rlp_put_u256(coh_buf_t *out, coh_u256_t const *v);
/* coh_rlp_put_list_header starts a list whose payload of payload_bytes octets the caller appends
   next. */
void coh_rlp_put_list_header(coh_buf_t *out, size_t payload_bytes);
/* coh_rlp_wrap_list turns what was appended since offset at into a list, in place. */
void coh_rlp_wrap_list(coh_buf_t *out, size_t at);

#endif
