/* pool.h: signed transactions waiting for a block, by sender and nonce. Bounded: at a limit it
   refuses, and says so.

   A sender's record holds what is known of its account (nonce under the next block; balance as of
   some block) and its transactions sorted by nonce. The run of consecutive nonces that starts at
   the account's nonce is ready; behind a gap they wait. Across senders the order is that of arrival
   or of tip; in both, a sender's own transactions keep nonce order.

   POOLED ─take─▶ TAKEN (in a block) ─▶ coh_pool_committed (gone)
                     │                  coh_pool_dropped   (gone: invalid at its turn; the caller
                     │                                      reports it)
                     └─▶ coh_pool_returned (POOLED again: its block was aborted, or a predecessor
                                            was dropped)

   What is TAKEN counts as executed: its successors are ready. Once one is dropped or returned,
   those after it are behind a gap; the ones of them that are TAKEN can only fail in their block,
   and stand in the way of their own successors until they are returned.

   A nonce below the account's is refused at the door. Where the account's nonce is found to have
   moved past pooled transactions (an imported block carried others), these are handed out all the
   same: the block that takes them finds them invalid and reports them, like any other.

   What an account without code has pooled stays payable: its balance only grows but for its own transactions, whose cost is counted. Of an account with a
   delegation (EIP-7702) anybody may take the balance, or raise the nonce, and so with one cheap transaction make all that it has pooled invalid, again and
   again: blocks full of what they drop, for the price of one transaction. So, as in geth, whoever is delegated, or has an authorization among the pooled transactions that
   may still be valid, has delegated_tx_max transactions at a time (geth: 1), if that is one without a gap before it; and an authorization of whoever has more is refused. What it had waiting behind a gap
   before that does not count where the gap is filled: it could not be got rid of. What is
   made invalid at once is then so many for each account that an authorization was paid for. An authorization for a nonce below the account's
   can do nothing, and counts for nothing: nobody can hold an account up by repeating old ones.

   Used by the communication thread alone. */
#ifndef COH_POOL_H
#define COH_POOL_H

#include "common/codec/tx.h"

typedef struct coh_pool coh_pool_t;

/* A pooled transaction. Its memory is the pool's until committed or dropped, and does not move. */
typedef struct coh_pool_tx {
    coh_hash_t hash;
    coh_addr_t sender;
    uint16_t sender_bucket;                  /* coh_directory_bucket of it */
    coh_fork_t fork;                         /* the rules that it was checked under */
    COH_ALIGNED(COH_CACHE_LINE) coh_tx_t tx; /* borrows from its own copy of the raw bytes */
    coh_u256_t upfront;                      /* coh_tx_upfront */
    uint64_t arrival_us;                     /* env clock */
    struct coh_pool_priv *priv;
} coh_pool_tx_t;

typedef enum {
    COH_POOL_ARRIVAL, /* first come, first served */
    COH_POOL_TIP, /* by the tip that it pays at the block's base fee (EIP-1559); then by arrival */
} coh_pool_order_t;

typedef struct {
    size_t tx_max;        /* all senders */
    size_t sender_tx_max; /* of one sender */
    coh_pool_order_t order;
    size_t delegated_tx_max; /* of one delegated sender; 0: as of any */
} coh_pool_limits_t;

/* limits: copied. Accounts are known for at most 2 * tx_max addresses; those without pooled
   transactions are forgotten, least recently used first (about). */
coh_pool_t *coh_pool_new(coh_pool_limits_t const *limits);
/* Frees all of its transactions too, taken or not. */
void coh_pool_free(coh_pool_t *pool);

/* What the pool knows of an account. False: ask the owner, then coh_pool_set_account. It is false
   for an account that the pool has not met or has forgotten, and after a drop, which shows that
   nonce or balance are not what they seemed. */
bool coh_pool_knows_account(coh_pool_t const *pool, coh_addr_t const *addr);
/* coh_pool_set_account records nonce, balance, and whether there is code as committed at block (from ANSWER). Answers may
   be late: a nonce below the one known, and balance and code of an older block, are ignored. Not between
   take_begin and take_end. */
void coh_pool_set_account(coh_pool_t *pool,
                          coh_addr_t const *addr,
                          uint64_t nonce,
                          coh_u256_t const *balance,
                          bool has_code,
                          uint64_t block);

/* coh_pool_may_lag tells whether an account is not known, or the nonce that is known of it may be less than the account's, from which a transaction with
   this one would wait for ever: it is above it, none of the account's transactions here is in line before it, and the account was not asked for since
   now_block. An account's nonce moves without transactions of its own if it authorizes a set code transaction, or as code that creates contracts
   (EIP-7702). */
bool coh_pool_may_lag(coh_pool_t const *pool,
                      coh_addr_t const *addr,
                      uint64_t nonce,
                      uint64_t now_block);
/* coh_pool_doubt: nonce and balance of an account may have moved, ask for it before anything is added. True if it has transactions here, which wait
   for that answer. */
bool coh_pool_doubt(coh_pool_t *pool, coh_addr_t const *addr);

/* coh_pool_add takes a transaction that passed the static checks under fork, of a known account.
   raw and authorities are copied. Not between take_begin and take_end.
   Returns, the first that holds: KNOWN the same hash is pooled or taken; BUSY the account is not
            known, or no longer: ask and try again; NONCE_TOO_LOW; FEE_OVERFLOW; UNDERPRICED the
            nonce is pooled, and this is not 10 % more of both tip and cap (100 % if one of them has
            blobs; of the cap for blobs too if both have), or it is taken;
            DELEGATED_LIMIT, DELEGATED_GAP, AUTH_RESERVED by the rule for delegated accounts;
            SENDER_LIMIT; POOL_FULL; FUNDS its upfront cost together with that of the sender's
            transactions with lower nonces, pooled or taken, exceeds the balance last known; OK
   A gapped nonce is taken and waits. A replacement inherits the arrival, and frees the one that it
   replaces. With FUNDS, *stale tells whether the balance may be out of date (older than block
   now_block): the caller may ask again. */
coh_tx_err_t coh_pool_add(coh_pool_t *pool,
                          coh_tx_t const *tx,
                          coh_hash_t const *hash,
                          coh_addr_t const *sender,
                          coh_fork_t fork,
                          uint64_t arrival_us,
                          uint64_t now_block,
                          bool *stale);

/* coh_pool_prefetch starts fetching the memory that adding or committing such a transaction
   touches. Whoever handles many in a row calls it for each some 24 ahead of its turn: it takes
   about a third off their cost where the pool is larger than the caches. Changes nothing that can
   be seen, and any arguments will do. */
void coh_pool_prefetch(coh_pool_t *pool, coh_hash_t const *hash, coh_addr_t const *sender);

/* coh_pool_has tells whether the hash is pooled or taken. */
bool coh_pool_has(coh_pool_t const *pool, coh_hash_t const *hash);

/* coh_pool_find returns the transaction of this hash, pooled or taken, borrowed until the pool changes; NULL if there is none. */
coh_pool_tx_t const *coh_pool_find(coh_pool_t const *pool, coh_hash_t const *hash);
/* coh_pool_account sets what is known of an account: nonce as committed, balance, and next_nonce, the one behind its transactions
   that are taken or ready. False if nothing is known. */
bool coh_pool_account(coh_pool_t const *pool,
                      coh_addr_t const *addr,
                      uint64_t *nonce,
                      uint64_t *next_nonce,
                      coh_u256_t *balance);
/* coh_pool_visit calls visit for each transaction of the sender addr, or of all senders if addr is NULL, by sender and nonce, until it returns false. is_ready: it is
   taken, or could be. */
typedef bool coh_pool_visit_t(void *arg, coh_pool_tx_t const *tx, bool is_ready);
void coh_pool_visit(coh_pool_t const *pool,
                    coh_addr_t const *addr,
                    coh_pool_visit_t *visit,
                    void *arg);

/* coh_pool_ready_cnt: transactions that could be taken now, fees aside. coh_pool_tx_cnt: all, taken
   ones included. coh_pool_sender_cnt: senders with any. */
size_t coh_pool_ready_cnt(coh_pool_t const *pool);
size_t coh_pool_tx_cnt(coh_pool_t const *pool);
size_t coh_pool_sender_cnt(coh_pool_t const *pool);
/* coh_pool_oldest_ready_us is the arrival of the transaction that ended the last time without any
   ready one; UINT64_MAX if none is ready. No ready transaction has been ready for longer. Cost:
   O(1) */
uint64_t coh_pool_oldest_ready_us(coh_pool_t const *pool);
/* coh_pool_turn_no grows whenever another transaction becomes the first ready one of its sender: by
   arrival, replacement, or because the one before it left. While it stands still, what could not pay
   a base fee cannot pay the same one now. */
uint64_t coh_pool_turn_no(coh_pool_t const *pool);

/* coh_pool_take_begin starts a block with this base fee and price of blob gas; then coh_pool_take hands out the next
   transaction in order, marks it TAKEN, and so on, until NULL (none that can pay them) or
   the caller stops; coh_pool_untake puts the last one taken back in front (it did not fit);
   coh_pool_pass does, and passes its sender over;
   coh_pool_take_end ends it: senders passed over are considered again next time.
   In between, coh_pool_dropped is allowed, and nothing else that changes the pool. */
void coh_pool_take_begin(coh_pool_t *pool, coh_u256_t const *base_fee, coh_u256_t const *blob_fee);
coh_pool_tx_t *coh_pool_take(coh_pool_t *pool);
void coh_pool_untake(coh_pool_t *pool, coh_pool_tx_t *tx);
void coh_pool_pass(coh_pool_t *pool, coh_pool_tx_t *tx);
void coh_pool_take_end(coh_pool_t *pool);
/* coh_pool_blobs_wait: in the last block taken, some sender was passed over for the price of blobs. */
bool coh_pool_blobs_wait(coh_pool_t const *pool);

/* The block is decided: the sender's nonce moves on; spent is what the transaction took from the
   balance (value and fee). Frees tx. */
void coh_pool_committed(coh_pool_t *pool, coh_pool_tx_t *tx, coh_u256_t const *spent);
/* Invalid at its turn; frees tx. Its successors by the same sender, taken or not, are gapped from
   now on; the taken ones must be returned (or dropped) by the caller. */
void coh_pool_dropped(coh_pool_t *pool, coh_pool_tx_t *tx);
/* Back to POOLED at its old place. Any order will do; highest nonce first is cheapest. */
void coh_pool_returned(coh_pool_t *pool, coh_pool_tx_t *tx);

#endif
