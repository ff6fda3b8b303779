/* key.h: what execution reads and writes. A key names one piece of state, a value holds it; a write says which of its
   fields it sets or adds to. Accounts now; storage slots and code hashes are kinds of the same key. */
#ifndef COH_KEY_H
#define COH_KEY_H

#include "common/base/u256.h"

typedef enum {
    COH_KEY_ACCOUNT = 0,
    COH_KEY_SLOT    = 1,
    COH_KEY_CODE    = 2,
    COH_KEY_KIND_CNT
} coh_key_kind_t;

typedef struct {
    coh_u256_t slot; /* 0 unless kind is SLOT */
    coh_addr_t addr;
    uint32_t kind;
} coh_key_t;
_Static_assert(sizeof(coh_key_t) == 56, "no padding: keys are hashed and compared as bytes");

/* An account: nonce and balance. A slot: its value in word. Absent state is all zero. */
typedef struct {
    uint64_t nonce;
    coh_u256_t word;
} coh_value_t;

/* Fields of a write. */
enum {
    COH_WRITE_NONCE    = 1,  /* nonce is set */
    COH_WRITE_DELTA    = 2,  /* word is added to the balance... */
    COH_WRITE_NEGATIVE = 16, /* ...or, with this beside it, taken from it */
    COH_WRITE_VALUE    = 4,  /* word replaces the value */
    COH_WRITE_REMOVED  = 8,  /* the previous incarnation wrote this key, this one did not */
    COH_WRITE_MASK     = 31,
};

/* What a read depends on; only a change of this retracts the reader. */
enum {
    COH_READ_NONCE    = 1,
    COH_READ_WORD     = 2, /* the exact balance or value */
    COH_READ_AT_LEAST = 4, /* only whether the balance is at least some bound */
    COH_READ_MASK     = 7,
};

static inline bool coh_key_eq(coh_key_t const *a, coh_key_t const *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static inline coh_key_t coh_key_account(coh_addr_t const *addr)
{
    return (coh_key_t){.addr = *addr, .kind = COH_KEY_ACCOUNT};
}

static inline bool coh_value_eq(coh_value_t const *a, coh_value_t const *b)
{
    return a->nonce == b->nonce && coh_u256_eq(&a->word, &b->word);
}

#endif
