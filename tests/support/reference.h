/* reference.h: what Ethereum says of a block of plain transfers and creations without init code, executed one after another. The oracle of the simulator and of the serial
   fiction: it is written to be compared with the Yellow Paper (section 6) and the EIPs, not to be fast, and shares nothing with the code
   under test but the transaction decoder, Keccak-256, 256-bit words, the base fee rule and, for state roots, RLP and the root of a trie that is built at once
   (common/trie/root.h).

   A ledger is a set of accounts plus what left it (burnt fees). Transactions that are invalid at their turn change nothing. */
#ifndef COH_TEST_REFERENCE_H
#define COH_TEST_REFERENCE_H

#include "common/codec/tx.h"

typedef struct {
    coh_addr_t addr;
    uint64_t nonce;
    coh_u256_t balance;
    bool
        exists; /* is in the state trie: of an allocation, or touched and, since EIP-161, not empty */
} coh_ref_account_t;

typedef struct {
    coh_ref_account_t *accounts; /* owned; in the order of first use */
    size_t account_cnt;
    size_t account_cap;
    uint32_t *index;  /* owned; open addressing over accounts, 1 + position, 0: free */
    size_t index_cap; /* a power of two */
    coh_u256_t burnt; /* base fees, EIP-1559 */
} coh_ref_t;

/* The block that transactions are executed in. */
typedef struct {
    coh_fork_t fork;
    uint64_t gas_limit;
    coh_u256_t base_fee; /* 0 before London */
    coh_addr_t coinbase;
    uint64_t gas_used; /* so far; the caller starts it at 0 */
} coh_ref_block_t;

/* What became of a transaction. */
typedef struct {
    coh_tx_err_t verdict; /* not COH_TX_OK: left out, and why */
    bool failed;          /* executed, and not successful: receipt status 0 */
    uint64_t gas_used;
    coh_u256_t gas_price; /* effective */
} coh_ref_outcome_t;

void coh_ref_init(coh_ref_t *ref);
void coh_ref_fini(coh_ref_t *ref);
/* coh_ref_copy makes dst (not initialised) a copy of src. */
void coh_ref_copy(coh_ref_t *dst, coh_ref_t const *src);

/* coh_ref_account returns the account, made empty if it is new; valid until the next account is made. */
coh_ref_account_t *coh_ref_account(coh_ref_t *ref, coh_addr_t const *addr);
/* coh_ref_find returns it only if it is there, else NULL. */
coh_ref_account_t const *coh_ref_find(coh_ref_t const *ref, coh_addr_t const *addr);

/* coh_ref_intrinsic_gas and coh_ref_floor_gas: gas of a transaction without code (EIP-2028, EIP-2930, EIP-2; EIP-7623). */
uint64_t coh_ref_intrinsic_gas(coh_tx_t const *tx, coh_fork_t fork);
uint64_t coh_ref_floor_gas(coh_tx_t const *tx, coh_fork_t fork);

/* coh_ref_receiver: who gets the value; of a creation, the address that it makes (Yellow Paper 7). */
coh_addr_t coh_ref_receiver(coh_tx_t const *tx, coh_addr_t const *sender);

/* coh_ref_check tells whether tx by sender could be executed next in block; changes nothing. */
coh_tx_err_t coh_ref_check(coh_ref_t const *ref,
                           coh_ref_block_t const *block,
                           coh_tx_t const *tx,
                           coh_addr_t const *sender);

/* coh_ref_apply executes tx, or leaves it out. */
coh_ref_outcome_t coh_ref_apply(coh_ref_t *ref,
                                coh_ref_block_t *block,
                                coh_tx_t const *tx,
                                coh_addr_t const *sender);

/* coh_ref_state_root: of the accounts that exist (Yellow Paper 4.1), from the bottom. */
void coh_ref_state_root(coh_hash_t *out, coh_ref_t const *ref);

/* coh_ref_total: all balances and what was burnt; constant but for what the caller adds. */
coh_u256_t coh_ref_total(coh_ref_t const *ref);

#endif
