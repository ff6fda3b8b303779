/* reference.h: what Ethereum says of a block of transactions of all types, executed one after another: transfers, creations without init code, blobs (EIP-4844), delegations
   (EIP-7702), and calls of a few contracts, by name or through a delegation. The oracle of the simulator and of the serial
   fiction: it is written to be compared with the Yellow Paper (section 6) and the EIPs, not to be fast, and shares nothing with the code
   under test but the transaction decoder, the recovery of who signed an authorization, Keccak-256, 256-bit words, the base fee rule and, for state roots, RLP and the root of a trie that is built at once
   (common/trie/root.h).

   A ledger is a set of accounts plus what left it (burnt fees). Transactions that are invalid at their turn change nothing. */
#ifndef COH_TEST_REFERENCE_H
#define COH_TEST_REFERENCE_H

#include "common/codec/tx.h"
#include "common/config/genesis.h"

/* A contract: its code, and what running it comes to. There is no interpreter here. */
typedef enum {
    COH_REF_STOPS,
    COH_REF_REVERTS,
    COH_REF_FAILS, /* an instruction that there is not: all gas is gone */
    COH_REF_GIVES /* SELFDESTRUCT to the caller: since EIP-6780 the account stays, without its balance */
} coh_ref_end_t;

typedef struct {
    coh_bytes_t code;
    uint64_t gas; /* that its instructions take */
    coh_ref_end_t end;
} coh_ref_contract_t;

/* One of each kind; since Cancun. */
#define COH_REF_CONTRACT_CNT 4u
extern coh_ref_contract_t const coh_ref_contracts[COH_REF_CONTRACT_CNT];

/* coh_ref_contract_addr is where coh_ref_put_contracts puts the i-th of them. alloc has room for all, and *cnt grows by them; their code is malloc's, as a genesis frees it. */
coh_addr_t coh_ref_contract_addr(uint32_t i);
void coh_ref_put_contracts(coh_genesis_account_t *alloc, size_t *cnt);

typedef struct {
    coh_addr_t addr;
    uint64_t nonce;
    coh_u256_t balance;
    coh_ref_contract_t const *contract; /* of coh_ref_contracts; NULL: it has no code of its own */
    bool is_delegated;                  /* EIP-7702: to */
    coh_addr_t delegate;
    bool
        exists; /* is in the state trie: of an allocation, or touched and, since EIP-161, not empty */
} coh_ref_account_t;

typedef struct {
    coh_ref_account_t *accounts; /* owned; in the order of first use */
    size_t account_cnt;
    size_t account_cap;
    uint32_t *index;  /* owned; open addressing over accounts, 1 + position, 0: free */
    size_t index_cap; /* a power of two */
    coh_u256_t burnt; /* base fees, EIP-1559, and those for blobs, EIP-4844 */
} coh_ref_t;

/* The block that transactions are executed in. */
typedef struct {
    coh_fork_t fork;
    uint64_t gas_limit;
    uint64_t chain_id;        /* that authorizations are for */
    coh_u256_t base_fee;      /* 0 before London */
    coh_u256_t blob_base_fee; /* 0 before Cancun */
    coh_addr_t coinbase;
    uint32_t blob_max; /* blobs in it */
    uint32_t blob_cnt; /* so far; the caller starts it at 0, like the next */
    uint64_t gas_used;
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

/* coh_ref_put_alloc puts in the accounts of a genesis. Their code, if any, is that of one of coh_ref_contracts or a delegation; they have no slots. */
void coh_ref_put_alloc(coh_ref_t *ref, coh_genesis_account_t const *accounts, size_t cnt);

/* coh_ref_code_hash is that of the code that the account has: a contract's, that of a delegation, or none. */
coh_hash_t coh_ref_code_hash(coh_ref_account_t const *account);

/* coh_ref_intrinsic_gas and coh_ref_floor_gas: gas of a transaction before any code runs (EIP-2028, EIP-2930, EIP-2, EIP-7702; EIP-7623). */
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
