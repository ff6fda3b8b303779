/* memview.h: the whole state in memory, for whoever executes alone: official tests, benchmarks, the sequential reference. It answers as a view and
   takes the writes of outcomes.  One thread at a time. */
#ifndef COH_MEMVIEW_H
#define COH_MEMVIEW_H

#include "common/base/err.h"
#include "common/config/genesis.h"
#include "common/state/view.h"
#include "common/state/write.h"

typedef struct coh_memview coh_memview_t;

/* coder is borrowed. */
coh_memview_t *coh_memview_new(coh_coder_t const *coder, coh_fork_t fork);
void coh_memview_free(coh_memview_t *mv);
/* coh_memview_set_fork: code is analysed for fork from here on; what was borrowed of analysed code ends. */
void coh_memview_set_fork(coh_memview_t *mv, coh_fork_t fork);
coh_view_t *coh_memview_view(coh_memview_t *mv);

/* coh_memview_set_stutter: the first read of every field and code by each transaction is answered by NEED, and the second one by the value; call
   coh_memview_begin_tx before each transaction. Members that were not asked for hold nonsense, and of a balance that was compared only the
   side of the bound is right. Proves that resuming changes nothing, and that nobody looks at what it did not ask for. */
void coh_memview_set_stutter(coh_memview_t *mv, bool on);
void coh_memview_begin_tx(coh_memview_t *mv);

/* Filling in. code is copied and hashed; a slot needs its account first. HAS_STORAGE is set where nonce and code are none. */
void coh_memview_put_account(coh_memview_t *mv,
                             coh_addr_t const *addr,
                             uint64_t nonce,
                             coh_u256_t const *balance,
                             coh_bytes_t code);
void coh_memview_put_slot(coh_memview_t *mv,
                          coh_addr_t const *addr,
                          coh_u256_t const *slot,
                          coh_u256_t const *value);
/* All accounts of a genesis, or another list of such, with their slots. */
void coh_memview_put_alloc(coh_memview_t *mv, coh_genesis_account_t const *accounts, size_t cnt);
/* coh_memview_account copies an account as it is; coh_memview_slot the value of a slot in the account's present generation. Zero if absent. */
coh_value_t coh_memview_account(coh_memview_t const *mv, coh_addr_t const *addr);
coh_u256_t coh_memview_slot(coh_memview_t const *mv,
                            coh_addr_t const *addr,
                            coh_u256_t const *slot);
/* How BLOCKHASH is answered; without one, zero. */
typedef void coh_memview_block_hash_fn(void *arg, coh_u256_t *out, uint64_t number);
void coh_memview_set_block_hash(coh_memview_t *mv, coh_memview_block_hash_fn *fn, void *arg);

/* coh_memview_apply makes the writes of an outcome part of the state. */
void coh_memview_apply(coh_memview_t *mv, coh_outcome_t const *outcome);
/* coh_memview_restore goes back to the state of the last coh_memview_save, at a cost of what was applied since. One level. */
void coh_memview_save(coh_memview_t *mv);
void coh_memview_restore(coh_memview_t *mv);

/* Walking all existing accounts, and the non-zero slots of one in its present generation; no order. */
typedef void coh_memview_account_fn(void *arg, coh_addr_t const *addr, coh_value_t const *value);
typedef void coh_memview_slot_fn(void *arg, coh_u256_t const *slot, coh_u256_t const *value);
void coh_memview_accounts(coh_memview_t const *mv, coh_memview_account_fn *fn, void *arg);
void coh_memview_slots(coh_memview_t const *mv,
                       coh_addr_t const *addr,
                       coh_memview_slot_fn *fn,
                       void *arg);
/* The code of hash; empty if unknown. Borrowed until the view is freed. */
coh_bytes_t coh_memview_code(coh_memview_t const *mv, coh_hash_t const *hash);

#endif
