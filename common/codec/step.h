/* step.h: what a block does to the state beside its transactions, before and after them, as plain values that are ordered, sent and executed like
   transactions: calls by the system (EIP-4788, EIP-2935, EIP-7002, EIP-7251), credits (withdrawals of EIP-4895, rewards of blocks and ommers), and the
   irregular state change of the DAO fork (EIP-779). Which ones a block has is common/chain's business; common/evm/transition.h executes them.

   A decoded step borrows from its octets, as a transaction does. */
#ifndef COH_STEP_H
#define COH_STEP_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"
#include "common/codec/rlp.h"

/* Numbers go over the wire: append only. */
typedef enum {
    COH_STEP_CALL =
        0, /* the system calls a contract: no fee, no nonce, no value, and no gas of the block's */
    COH_STEP_CREDIT = 1, /* accounts get ether out of nothing */
    COH_STEP_DAO    = 2, /* the balances of the DAO and its children go to the refund contract */
    COH_STEP_CALL_PARENT =
        3, /* a CALL whose data is the hash of the block before: for blocks that are sent before that is known */
    COH_STEP_PATCH =
        4, /* accounts and slots get other values: of dev chains alone, whose coordinator makes them (coordinator/dev.h) */
    COH_STEP_RESTORE =
        5, /* the shard that gets it makes a PATCH of it: back to a snapshot of its past */
    COH_STEP_KIND_CNT
} coh_step_kind_t;

/* What came of one; in an outcome it stands in the place of the receipt's status. Credits and the DAO's always run. */
typedef enum {
    COH_STEP_FAILED =
        0, /* the call reverted, or failed otherwise; its effects are undone. A patch of slots found no contract */
    COH_STEP_RAN     = 1,
    COH_STEP_NO_CODE = 2, /* there is nothing to be called; no effects */
} coh_step_result_t;

/* Gas of a call by the system. */
#define COH_STEP_GAS UINT64_C(30000000)
/* Octets of an encoded step at most: data of a call is a word, and of credits there are some dozens. */
#define COH_STEP_MAX ((size_t)1 << 20)
/* Of a PATCH, and entries in it. */
#define COH_STEP_PATCH_MAX     ((size_t)64 << 20)
#define COH_STEP_PATCH_CNT_MAX 524288u
/* Steps of a block at most: DAO, EIP-4788, EIP-2935; withdrawals, rewards, EIP-7002, EIP-7251. */
#define COH_STEP_CNT_MAX 8u

typedef struct {
    coh_step_kind_t kind;
    coh_addr_t to;     /* CALL, CALL_PARENT; PATCH: whose owner executes it */
    uint64_t snapshot; /* RESTORE */
    coh_bytes_t data;  /* CALL */
    coh_bytes_t
        list; /* CREDIT, PATCH: payload of the RLP list of credits or patches, in their order; an address may come again */
} coh_step_t;

/* What a patch sets. */
enum {
    COH_PATCH_NONCE      = 1,
    COH_PATCH_BALANCE    = 2,
    COH_PATCH_CODE       = 4,
    COH_PATCH_ACCOUNT    = 7, /* these */
    COH_PATCH_SLOT       = 8,
    COH_PATCH_GENERATION = 16, /* of a slot: only if number is the generation of its account */
    COH_PATCH_STORAGE =
        32, /* with NONCE, BALANCE and CODE: COH_ACCOUNT_HAS_STORAGE is set, which else they clear */
};

/* New values of an account, or of a slot. An account that is empty then is removed (EIP-161). */
typedef struct {
    coh_addr_t addr;
    uint32_t fields;  /* COH_PATCH_*; SLOT with none but GENERATION */
    uint64_t number;  /* nonce; generation */
    coh_u256_t word;  /* balance; the slot's value */
    coh_hash_t hash;  /* of the code, zero: none; the slot */
    coh_bytes_t code; /* empty: it is known by its hash */
} coh_step_patch_t;

/* Who calls: 0xfffffffffffffffffffffffffffffffffffffffe. */
extern coh_addr_t const COH_SYSTEM_ADDR;
/* The DAO fork's refund contract, and whose balances it gets. */
#define COH_DAO_ACCOUNT_CNT 116u
extern coh_addr_t const COH_DAO_REFUND_ADDR;
extern coh_addr_t const COH_DAO_ACCOUNTS[COH_DAO_ACCOUNT_CNT];

/* True if the step is a call by the system. */
static inline bool coh_step_calls(coh_step_t const *step)
{
    return step->kind == COH_STEP_CALL || step->kind == COH_STEP_CALL_PARENT;
}

/* coh_step_put_credit appends a credit to what will be a step's list; amount is in wei and may be 0, which touches the account (EIP-161). */
void coh_step_put_credit(coh_buf_t *list, coh_addr_t const *addr, coh_u256_t const *amount);
/* A cursor over the list of a decoded step, and its next credit; false at the end. */
coh_rlp_t coh_step_credit_iter(coh_step_t const *step);
bool coh_step_credit_next(coh_rlp_t *list, coh_addr_t *addr, coh_u256_t *amount);

/* The same for patches; what coh_step_credit_iter gives is a cursor over them too. */
void coh_step_put_patch(coh_buf_t *list, coh_step_patch_t const *patch);
bool coh_step_patch_next(coh_rlp_t *list, coh_step_patch_t *patch);

/* coh_step_put appends the RLP form: [kind, to, data], [kind, [[address, amount], ...]], [kind], [kind, to],
   [kind, to, [[address, fields, number, word, hash, code], ...]], [kind, snapshot]. */
void coh_step_put(coh_buf_t *out, coh_step_t const *step);
/* coh_step_decode reads one that fills in (borrowed), strictly: only what coh_step_put makes.
   Returns: COH_OK; COH_EMALFORMED, COH_ETRUNCATED */
coh_err_t coh_step_decode(coh_step_t *out, coh_bytes_t in);

#endif
