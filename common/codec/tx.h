/* tx.h: signed Ethereum transactions: legacy before and after EIP-155, access list (EIP-2930)
   and dynamic fee (EIP-1559). Decoding is strict: only the canonical encoding is accepted, and
   nothing is copied: a decoded transaction borrows from its raw bytes. */
#ifndef COH_TX_H
#define COH_TX_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"
#include "common/codec/fork.h"
#include "common/crypto/ecdsa.h"

/* Largest raw transaction accepted: geth's pool limit, four slots of 32 KiB. */
#define COH_TX_RAW_MAX ((size_t)131072)
/* EIP-7825: gas limit of one transaction since Osaka. */
#define COH_TX_GAS_LIMIT_MAX UINT64_C(16777216)

typedef enum {
#define COH_TX_ERR(name, text) COH_TX_##name,
#include "common/codec/tx_err.def"
#undef COH_TX_ERR
    COH_TX_ERR_CNT
} coh_tx_err_t;

typedef enum { COH_TX_LEGACY = 0, COH_TX_ACCESS_LIST = 1, COH_TX_DYNAMIC_FEE = 2 } coh_tx_type_t;

typedef struct {
    coh_bytes_t raw; /* the whole encoding; hash = keccak256(raw) */
    coh_tx_type_t type;
    bool has_chain_id; /* false: legacy without EIP-155 protection */
    bool is_create;    /* no receiver */
    uint8_t parity;    /* of R's y: 0 or 1 */
    uint64_t nonce;
    uint64_t gas_limit;
    coh_addr_t to;
    /* second cache line */
    coh_u256_t max_fee; /* maxFeePerGas; gasPrice for types 0 and 1 */
    coh_u256_t max_tip; /* maxPriorityFeePerGas; gasPrice for types 0 and 1 */
    /* third; the rest is of no use once the sender is known */
    coh_u256_t value;
    coh_bytes_t data;
    coh_bytes_t access_list; /* payload of the RLP list; empty without one */
    uint32_t access_addr_cnt;
    uint32_t access_key_cnt;
    uint64_t chain_id;
    uint8_t r[32];
    uint8_t s[32];
} coh_tx_t;

/* Text for people, as geth words it where it has the case; never NULL. */
char const *coh_tx_err_str(coh_tx_err_t err);

/* coh_tx_decode reads one transaction that fills raw. No signature or fork rule is checked here.
   Returns: COH_TX_OK; MALFORMED, TYPE_UNSUPPORTED (a known envelope type that this build lacks),
   TOO_LARGE */
coh_tx_err_t coh_tx_decode(coh_tx_t *out, coh_bytes_t raw);

/* coh_tx_put_signing_payload appends what the sender signed the keccak256 of (EIP-155, EIP-2930,
   EIP-1559). */
void coh_tx_put_signing_payload(coh_buf_t *out, coh_tx_t const *tx);

/* coh_tx_encode appends the raw form of the fields of tx with its signature (r, s, parity); raw
   is ignored. The access list is written from tx->access_list. */
void coh_tx_encode(coh_buf_t *out, coh_tx_t const *tx);

/* coh_tx_sign sets r, s and parity. COH_ESIG if secret is no valid key. */
coh_err_t coh_tx_sign(coh_tx_t *tx, uint8_t const secret[32]);

/* coh_tx_created_address is where a creation by sender at nonce puts its account:
   keccak256(rlp([sender, nonce]))[12:] (Yellow Paper 7). */
coh_addr_t coh_tx_created_address(coh_addr_t const *sender, uint64_t nonce);
/* coh_tx_receiver is whose account the value goes to: to, or of a creation the created address. */
coh_addr_t coh_tx_receiver(coh_tx_t const *tx, coh_addr_t const *sender);

/* coh_tx_needs_code tells whether tx runs code by its own terms: a creation with init code, or a
   precompile of the fork as receiver. Whether a receiver is a contract, only the state knows. */
bool coh_tx_needs_code(coh_tx_t const *tx, coh_fork_t fork);

/* Gas that the transaction costs before any code runs, EIP-2028, 2930, 3860, 7623 by fork.
   UINT64_MAX if it does not fit. coh_tx_floor_gas is 0 before Prague. */
uint64_t coh_tx_intrinsic_gas(coh_tx_t const *tx, coh_fork_t fork);
uint64_t coh_tx_floor_gas(coh_tx_t const *tx, coh_fork_t fork);
/* coh_tx_gas_max is the most gas that tx can use where it fits its gas limit: exactly what a plain
   transfer uses, max(intrinsic, floor); the gas limit of a creation, which loses all of it if its
   address is taken (EIP-684). */
uint64_t coh_tx_gas_max(coh_tx_t const *tx, coh_fork_t fork);

/* coh_tx_check_static applies every rule that needs no state: chain id, type by fork, signature
   ranges (EIP-2 low s since Homestead), intrinsic and floor gas, gas cap (EIP-7825), tip against
   cap, 256-bit overflow of the upfront cost, nonce below 2^64-1 (EIP-2681); last of all,
   coh_tx_needs_code. allow_unprotected admits legacy transactions without a chain id. */
coh_tx_err_t coh_tx_check_static(coh_tx_t const *tx,
                                 coh_fork_t fork,
                                 uint64_t chain_id,
                                 bool allow_unprotected);

/* coh_tx_upfront sets out = gas_limit * max_fee + value (what the sender must own); true on
   overflow. */
bool coh_tx_upfront(coh_u256_t *out, coh_tx_t const *tx);

/* coh_tx_effective_price sets out = min(max_fee, base_fee + max_tip); base_fee must not exceed
   max_fee. */
void coh_tx_effective_price(coh_u256_t *out, coh_tx_t const *tx, coh_u256_t const *base_fee);

/* One member of a batch to recover. tx, digest scratch and results are the caller's. */
typedef struct {
    coh_tx_t const *tx; /* borrowed */
    coh_hash_t hash;    /* out: transaction hash */
    coh_addr_t sender;  /* out, if err is COH_TX_OK */
    coh_tx_err_t err;   /* in: others than OK are passed over; out: SIGNATURE if nobody signed */
} coh_tx_recover_t;

/* coh_tx_recover_batch hashes cnt transactions with the multi-buffer Keccak and recovers their
   senders. scratch is cleared and reused. Returns the CPU nanoseconds of this thread that
   signature recovery itself took. */
uint64_t coh_tx_recover_batch(coh_tx_recover_t *batch, size_t cnt, coh_buf_t *scratch);

#endif
