/* key.h: what execution reads and writes. A key names one piece of state, a value holds it; a write (write.h) says which of its
   fields it sets or adds to.

   An account's storage is wiped by giving the account a new generation: a slot's key holds the generation of the account at the time
   of the access, so that slots of older generations are out of reach, whether or not they have been deleted from disk yet. */
#ifndef COH_KEY_H
#define COH_KEY_H

#include "common/base/u256.h"

typedef enum {
    COH_KEY_ACCOUNT = 0,
    COH_KEY_SLOT    = 1,
    COH_KEY_CODE =
        2, /* code by hash (in slot), stored with the account addr; immutable: never versioned */
    COH_KEY_BLOCK_HASH = 3, /* hash of the block whose number is in slot; addr is zero */
    COH_KEY_KIND_CNT
} coh_key_kind_t;

typedef struct {
    coh_u256_t slot; /* storage slot, code hash or block number; 0 for accounts */
    coh_addr_t addr;
    uint32_t kind;
    uint64_t generation; /* of the account; 0 unless kind is SLOT */
} coh_key_t;
_Static_assert(sizeof(coh_key_t) == 64, "no padding: keys are hashed and compared as bytes");

/* Flags of an account. */
enum {
    COH_ACCOUNT_EXISTS =
        1, /* it is in the state trie, empty or not (EIP-161 removed empty ones, which older forks keep) */
    COH_ACCOUNT_HAS_STORAGE =
        2, /* no code and nonce 0, but storage: no account is created here (EIP-7610) */
};

/* An account, or the word of a slot or block hash (then all else is 0). Absent state is all zero, but for the generation that a removed
   account leaves behind. */
typedef struct {
    coh_u256_t word; /* balance, a slot's value, a block's hash */
    uint64_t nonce;
    coh_hash_t code_hash; /* keccak256 of the code; all zero: no code */
    uint32_t generation;  /* how often the storage was wiped */
    uint32_t flags;       /* COH_ACCOUNT_* */
} coh_value_t;
_Static_assert(sizeof(coh_value_t) == 80, "no padding: update encode and compare");

/* Fields of a write. Every write to an account but GONE makes it exist. */
enum {
    COH_WRITE_NONCE    = 1,  /* nonce is set */
    COH_WRITE_DELTA    = 2,  /* word is added to the balance... */
    COH_WRITE_NEGATIVE = 16, /* ...or, with this beside it, taken from it */
    COH_WRITE_VALUE    = 4,  /* word replaces the value (of a slot, or a balance) */
    COH_WRITE_REMOVED  = 8,  /* the previous incarnation wrote this key, this one did not */
    COH_WRITE_CODE     = 32, /* code hash, generation and HAS_STORAGE are set */
    COH_WRITE_EXISTS =
        64, /* the account exists from here on, though nothing else of it is written (before EIP-161) */
    COH_WRITE_GONE =
        128, /* the account is removed: with NONCE, VALUE and CODE, all zero but the generation */
    COH_WRITE_NO_CODE =
        256, /* the writer assumes that the account has no code: see shard/EXECUTION.md */
    COH_WRITE_MASK = 511,
};

/* What a read depends on; only a change of this retracts the reader. */
enum {
    COH_READ_NONCE    = 1,
    COH_READ_WORD     = 2,  /* the exact balance or value */
    COH_READ_AT_LEAST = 4,  /* only whether the balance is at least some bound */
    COH_READ_CODE     = 8,  /* code hash, generation, HAS_STORAGE */
    COH_READ_EXISTS   = 16, /* EXISTS */
    COH_READ_MASK     = 31,
};

static inline bool coh_key_eq(coh_key_t const *a, coh_key_t const *b)
{
    uint8_t const *x = (uint8_t const *)a;
    uint8_t const *y = (uint8_t const *)b;
    uint64_t differ  = 0;
    for (size_t i = 0; i < sizeof(*a); i += 8) { /* in line: it is on every path */
        differ |= coh_load_u64_le(x + i) ^ coh_load_u64_le(y + i);
    }
    return differ == 0;
}

static inline coh_key_t coh_key_account(coh_addr_t const *addr)
{
    return (coh_key_t){.addr = *addr, .kind = COH_KEY_ACCOUNT};
}

static inline coh_key_t coh_key_slot(coh_addr_t const *addr,
                                     uint32_t generation,
                                     coh_u256_t const *slot)
{
    return (coh_key_t){
        .slot = *slot, .addr = *addr, .kind = COH_KEY_SLOT, .generation = generation};
}

static inline bool coh_value_eq(coh_value_t const *a, coh_value_t const *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* True if the account has code. */
static inline bool coh_value_has_code(coh_value_t const *v)
{
    static coh_hash_t const none;
    return !coh_hash_eq(&v->code_hash, &none);
}

/* EIP-161: nonce 0, balance 0, no code. */
static inline bool coh_value_is_empty(coh_value_t const *v)
{
    return v->nonce == 0 && coh_u256_is_zero(&v->word) && !coh_value_has_code(v);
}

#endif
