/* state.h: the state as one transaction sees and changes it: an overlay over a view, with a journal. Nothing is written anywhere; the only
   result is the diff (coh_state_diff). Accounts and slots are read through the view once for each field; reading never changes a result,
   so a rollback keeps what was read.

   Balances. Most transactions need no exact balance: they credit accounts blindly, and ask of the sender only whether it has enough. So an
   account's base.word is a stand-in until COH_READ_WORD has been read, and cur.word is base.word plus what this transaction did; the
   diff holds the difference. When the exact balance comes, both move by the same amount; the journal keeps differences.
   Of a balance that was only compared an interval is known, at_least <= base < below; the stand-in is its lower end. So a
   comparison with what was asked for comes out right, and cur.word is never more than the account has.

   An access:  coh_state_account ─▶ coh_state_need (fields; may say NEED: nothing has changed, come again) ─▶ read cur, or one of the changes
   A frame:    coh_state_mark ─▶ changes ─▶ either nothing (they stay), or coh_state_rollback (they never were)

   One thread at a time. Pointers to accounts and slots are valid until the next coh_state_begin. */
#ifndef COH_STATE_H
#define COH_STATE_H

#include "common/base/arena.h"
#include "common/state/view.h"
#include "common/state/write.h"

/* Flags of an account in the overlay; all are journaled. */
enum {
    COH_ACCT_WARM      = 1,  /* EIP-2929 */
    COH_ACCT_TOUCHED   = 2,  /* EIP-161: removed at the end if it is empty */
    COH_ACCT_CREATED   = 4,  /* by this transaction */
    COH_ACCT_DESTROYED = 8,  /* SELFDESTRUCT; removed at the end */
    COH_ACCT_REMOVED   = 16, /* set by coh_state_finalize alone */
};

typedef struct coh_slot coh_slot_t;

typedef struct coh_account {
    coh_addr_t addr;
    uint32_t have;    /* COH_READ_*: what of base has been read */
    uint32_t flags;   /* COH_ACCT_* */
    uint32_t hash;    /* of addr, in the table */
    coh_u256_t below; /* with AT_LEAST in have: base.word is less; 0: nothing known */
    coh_value_t base;
    coh_value_t cur;
    coh_code_t const *code;   /* of cur.code_hash, once it was asked for */
    coh_bytes_t new_code;     /* cur's code, if this transaction deployed it */
    coh_slot_t *slots;        /* all that were accessed */
    struct coh_account *next; /* in the order of first access */
} coh_account_t;

struct coh_slot {
    coh_u256_t key;
    coh_u256_t base; /* at the beginning of the transaction (EIP-2200's original value) */
    coh_u256_t cur;
    coh_u256_t transient; /* EIP-1153 */
    coh_account_t *account;
    coh_slot_t *next; /* of the same account */
    uint32_t hash;    /* of account and key, in the table */
    bool have;        /* base is known... */
    bool read;        /* ...from the view */
    bool warm;        /* EIP-2929; journaled */
};

typedef struct coh_journal_entry coh_journal_entry_t;

typedef struct {
    uint32_t journal_cnt;
    uint32_t log_cnt;
    int64_t refund;
} coh_mark_t;

/* A place of the hash table; free if it is of another epoch. The lowest bit of object tells a slot from an account. */
typedef struct {
    uint32_t epoch;
    uint32_t hash;
    uintptr_t object;
} coh_state_place_t;

/* Members are for state.c and for the inline functions below. */
typedef struct coh_state {
    coh_view_t *view;
    coh_coder_t const *coder;
    coh_fork_t fork;
    coh_arena_t arena; /* accounts, slots, log data, new code, writes */
    coh_account_t *first, *last;
    uint32_t account_cnt;
    uint32_t slot_cnt;
    coh_state_place_t *table; /* accounts and slots by hash */
    uint32_t table_mask;
    uint32_t epoch;   /* of this transaction */
    uint64_t seed[4]; /* of the hashes: unpredictable */
    coh_journal_entry_t *journal;
    uint32_t journal_cnt, journal_cap;
    coh_log_t *logs;
    uint32_t log_cnt, log_cap;
    int64_t refund;                      /* gas; may be below zero inside a frame (EIP-2200) */
    struct coh_state_analysed *analysed; /* code of this transaction, to be released */
    struct coh_state_block_hash *block_hashes; /* by number modulo 256; NULL: none was read */
} coh_state_t;

/* coh_state_init makes an empty overlay in the caller's memory; coh_state_fini frees what it owns. coder (borrowed) analyses the code
   that a transaction deploys and then runs; NULL: it runs none. */
void coh_state_init(coh_state_t *s, coh_coder_t const *coder);
void coh_state_fini(coh_state_t *s);
/* Octets that it holds beyond its fixed size. */
size_t coh_state_bytes(coh_state_t const *s);
/* coh_state_begin forgets everything and starts over view (borrowed until the next begin) under the rules of fork. */
void coh_state_begin(coh_state_t *s, coh_view_t *view, coh_fork_t fork);

/* coh_state_account returns the overlay's record of addr; it reads nothing. Never NULL. */
coh_account_t *coh_state_account(coh_state_t *s, coh_addr_t const *addr);

/* coh_state_read asks the view for fields of a that are not at hand. With COH_READ_AT_LEAST, a->cur.word afterwards is on the same side of
   *bound as the account's balance at this point of the transaction. */
coh_view_status_t coh_state_read(coh_state_t *s,
                                 coh_account_t *a,
                                 uint32_t fields,
                                 coh_u256_t const *bound);

/* coh_state_need makes sure that fields (without AT_LEAST) of a are at hand. */
static inline coh_view_status_t coh_state_need(coh_state_t *s, coh_account_t *a, uint32_t fields)
{
    if (COH_LIKELY((a->have & fields) == fields)) {
        return COH_VIEW_OK;
    }
    return coh_state_read(s, a, fields, NULL);
}

/* coh_state_code gets the analysed code of a into a->code: NULL there afterwards if it has none. Needs no other field beforehand. */
coh_view_status_t coh_state_code(coh_state_t *s, coh_account_t *a);

/* coh_state_exists: *out says whether a is in the state trie, or was made to be by this transaction. */
coh_view_status_t coh_state_exists(coh_state_t *s, coh_account_t *a, bool *out);
/* coh_state_is_dead: *out says whether a does not exist, or since EIP-161 is empty. */
coh_view_status_t coh_state_is_dead(coh_state_t *s, coh_account_t *a, bool *out);

/* coh_state_slot finds the slot of a with its value at hand. a's CODE field (the generation) has been read. */
coh_view_status_t coh_state_slot(coh_state_t *s,
                                 coh_slot_t **out,
                                 coh_account_t *a,
                                 coh_u256_t const *key);
/* coh_state_slot_record does not read the value: for access lists and transient storage. Never NULL. */
coh_slot_t *coh_state_slot_record(coh_state_t *s, coh_account_t *a, coh_u256_t const *key);

/* coh_state_block_hash reads the hash of block number. */
coh_view_status_t coh_state_block_hash(coh_state_t *s, coh_u256_t *out, uint64_t number);

/* Changes; each is taken back by a rollback to a mark made before it. */
void coh_state_set_slot(coh_state_t *s, coh_slot_t *slot, coh_u256_t const *value);
void coh_state_set_transient(coh_state_t *s, coh_slot_t *slot, coh_u256_t const *value);
void coh_state_set_nonce(coh_state_t *s, coh_account_t *a, uint64_t nonce); /* NONCE is at hand */
/* The receiver of value exists afterwards. */
void coh_state_credit(coh_state_t *s, coh_account_t *a, coh_u256_t const *amount);
/* The caller has seen that the balance suffices. */
void coh_state_debit(coh_state_t *s, coh_account_t *a, coh_u256_t const *amount);
/* coh_state_set_code deploys bytes (copied) whose hash is given (unused if they are empty: no code). CODE is at hand. */
void coh_state_set_code(coh_state_t *s,
                        coh_account_t *a,
                        coh_bytes_t bytes,
                        coh_hash_t const *hash);
/* coh_state_set_flags adds COH_ACCT_* flags. Touching or creating makes the account exist before EIP-161. */
void coh_state_set_flags(coh_state_t *s, coh_account_t *a, uint32_t flags);
void coh_state_warm_slot(coh_state_t *s, coh_slot_t *slot);
/* coh_state_add_log appends a log; data is copied. */
void coh_state_add_log(coh_state_t *s, coh_log_t const *log);

/* coh_state_mark and coh_state_rollback: see above. One touch outlives the rollback: that of 0x03 (RIPEMD-160) since EIP-161, as
   block 2675119 of mainnet has it. */
coh_mark_t coh_state_mark(coh_state_t const *s);
void coh_state_rollback(coh_state_t *s, coh_mark_t mark);

/* coh_state_finalize does what the end of a transaction does to accounts: removes the destroyed (EIP-6780: since Cancun only those created by
   it) and, since EIP-161, the empty ones that were touched. May ask the view; call it again after a NEED. */
coh_view_status_t coh_state_finalize(coh_state_t *s);
/* coh_state_diff lists what changed, after finalize: writes without repetition of a key, in no promised order, in the overlay's arena; *cnt of them. Keys that were
   written and have their old value again are not among them. */
coh_write_t const *coh_state_diff(coh_state_t *s, uint32_t *cnt);

/* The read set, with what failed frames have read: calls fn for each key that was read, with the fields that were (the diff is the write set). */
typedef void coh_state_read_fn(void *arg, coh_key_t const *key, uint32_t fields);
void coh_state_reads(coh_state_t const *s, coh_state_read_fn *fn, void *arg);

#endif
