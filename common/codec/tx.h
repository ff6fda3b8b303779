/* tx.h: signed Ethereum transactions: legacy before and after EIP-155, access list (EIP-2930),
   dynamic fee (EIP-1559), blob (EIP-4844, as it stands in blocks: without its sidecar of blobs) and
   set code (EIP-7702). Decoding is strict: only the canonical encoding is accepted, and nothing is
   copied: a decoded transaction borrows from its raw bytes. */
#ifndef COH_TX_H
#define COH_TX_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"
#include "common/codec/fork.h"
#include "common/codec/rlp.h"
#include "common/crypto/ecdsa.h"

/* Largest raw transaction accepted: geth's pool limit, four slots of 32 KiB. */
#define COH_TX_RAW_MAX ((size_t)131072)
/* EIP-7825: gas limit of one transaction since Osaka. */
#define COH_TX_GAS_LIMIT_MAX UINT64_C(16777216)
/* Longest init code, of a transaction or an instruction (EIP-3860). */
#define COH_INITCODE_SIZE_MAX 49152u
/* EIP-4844: gas of one blob. */
#define COH_TX_BLOB_GAS UINT64_C(131072)
/* EIP-7594: blobs of one transaction since Osaka. */
#define COH_TX_BLOB_MAX 6

typedef enum {
#define COH_TX_ERR(name, text) COH_TX_##name,
#include "common/codec/tx_err.def"
#undef COH_TX_ERR
    COH_TX_ERR_CNT
} coh_tx_err_t;

typedef enum {
    COH_TX_LEGACY      = 0,
    COH_TX_ACCESS_LIST = 1,
    COH_TX_DYNAMIC_FEE = 2,
    COH_TX_BLOB        = 3,
    COH_TX_SET_CODE    = 4,
    COH_TX_TYPE_CNT
} coh_tx_type_t;

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
    coh_u256_t max_fee_per_blob_gas; /* this and the next two: type 3 only, else 0 and empty */
    coh_bytes_t blob_hashes;         /* payload of the RLP list of versioned hashes */
    uint32_t blob_cnt;
    uint32_t auth_cnt;
    coh_bytes_t auth_list;   /* payload of the RLP list; empty but for type 4 */
    coh_bytes_t authorities; /* empty, or as coh_tx_find_authorities found them */
    uint8_t r[32];
    uint8_t s[32];
} coh_tx_t;

/* One authorization of a set code transaction (EIP-7702). */
typedef struct {
    coh_u256_t chain_id; /* 0: valid on every chain */
    coh_addr_t addr;     /* whose code the authority shall run; zero: none again */
    uint64_t nonce;
    uint8_t parity; /* as given: others than 0 and 1 are possible, and signed by nobody */
    uint8_t r[32];
    uint8_t s[32];
    /* For the reader, who may recover the signer ahead of use; the iterator leaves them empty. */
    bool has_authority;
    coh_addr_t authority;
} coh_tx_auth_t;

/* Text for people, as geth words it where it has the case; never NULL. */
char const *coh_tx_err_str(coh_tx_err_t err);

/* coh_tx_decode reads one transaction that fills raw. No signature or fork rule is checked here.
   Returns: COH_TX_OK; MALFORMED (also of a type that there is not), TOO_LARGE */
coh_tx_err_t coh_tx_decode(coh_tx_t *out, coh_bytes_t raw);
/* coh_tx_decode_mined reads one out of a block, where it may be of any size. */
coh_tx_err_t coh_tx_decode_mined(coh_tx_t *out, coh_bytes_t raw);

/* Iterators over the lists of a decoded transaction: a cursor from the first function, moved by the
   second, which returns false at the end. They borrow from tx, allocate nothing, and may be copied.

       coh_rlp_t list = coh_tx_access_iter(tx), keys;
       while (coh_tx_access_next(&list, &addr, &keys)) {
           while (coh_tx_access_key_next(&keys, &key)) { ... } } */
coh_rlp_t coh_tx_access_iter(coh_tx_t const *tx);
bool coh_tx_access_next(coh_rlp_t *list, coh_addr_t *addr, coh_rlp_t *keys);
bool coh_tx_access_key_next(coh_rlp_t *keys, coh_hash_t *key);
coh_rlp_t coh_tx_blob_iter(coh_tx_t const *tx);
bool coh_tx_blob_next(coh_rlp_t *list, coh_hash_t *versioned_hash);
coh_rlp_t coh_tx_auth_iter(coh_tx_t const *tx);
bool coh_tx_auth_next(coh_rlp_t *list, coh_tx_auth_t *auth);

/* coh_tx_auth_recover finds who signed auth: keccak256(0x05 || rlp([chain_id, address, nonce])), low
   s, parity 0 or 1 (EIP-7702). False if nobody did. Whether chain id and nonce fit is the state's
   business.        Cost: about 50 us */
bool coh_tx_auth_recover(coh_addr_t *authority, coh_tx_auth_t const *auth);
/* coh_tx_find_authorities appends the address of who signed each authorization of tx, the zero address where nobody did: auth_cnt times 20
   octets, or nothing if the gas limit does not pay for them, and tx can be in no block.        Cost: about 50 us for each */
void coh_tx_find_authorities(coh_buf_t *out, coh_tx_t const *tx);
/* coh_tx_auth_put appends the RLP form of auth, coh_tx_auth_sign sets its r, s and parity (COH_ESIG
   if secret is no valid key): for who makes transactions. */
void coh_tx_auth_put(coh_buf_t *out, coh_tx_auth_t const *auth);
coh_err_t coh_tx_auth_sign(coh_tx_auth_t *auth, uint8_t const secret[32]);

/* coh_tx_put_signing_payload appends what the sender signed the keccak256 of (EIP-155, EIP-2930,
   EIP-1559, EIP-4844, EIP-7702). */
void coh_tx_put_signing_payload(coh_buf_t *out, coh_tx_t const *tx);

/* coh_tx_encode appends the raw form of the fields of tx with its signature (r, s, parity); raw
   is ignored. The lists are written from tx->access_list, blob_hashes and auth_list. */
void coh_tx_encode(coh_buf_t *out, coh_tx_t const *tx);

/* coh_tx_sign sets r, s and parity. COH_ESIG if secret is no valid key. */
coh_err_t coh_tx_sign(coh_tx_t *tx, uint8_t const secret[32]);

/* coh_tx_created_address is where a creation by sender at nonce puts its account:
   keccak256(rlp([sender, nonce]))[12:] (Yellow Paper 7). */
coh_addr_t coh_tx_created_address(coh_addr_t const *sender, uint64_t nonce);
/* coh_tx_receiver is whose account the value goes to: to, or of a creation the created address. */
coh_addr_t coh_tx_receiver(coh_tx_t const *tx, coh_addr_t const *sender);

/* Gas that the transaction costs before any code runs, EIP-2028, 2930, 3860, 7623, 7702 by fork.
   UINT64_MAX if it does not fit. coh_tx_floor_gas is 0 before Prague. */
uint64_t coh_tx_intrinsic_gas(coh_tx_t const *tx, coh_fork_t fork);
uint64_t coh_tx_floor_gas(coh_tx_t const *tx, coh_fork_t fork);
/* coh_tx_may_run_code: false means that tx runs no code that could look at any state, whatever its receiver is: all its gas is spent on the
   transaction itself, and each instruction that reads costs some, or needs operands whose pushing does. */
static inline bool coh_tx_may_run_code(coh_tx_t const *tx)
{
    return tx->is_create || tx->data.n != 0 || tx->gas_limit > 21000;
}

/* coh_tx_blob_gas is the gas that its blobs take of the block's: 131072 each (EIP-4844). */
uint64_t coh_tx_blob_gas(coh_tx_t const *tx);

/* coh_tx_check_static applies every rule that needs no state: type by fork, size of init code
   (EIP-3860), gas cap (EIP-7825), tip against cap, blobs (EIP-4844: no creation, at least one,
   version 0x01; EIP-7594: at most 6), authorizations (EIP-7702: no creation, at least one), chain
   id, signature ranges (EIP-2 low s since Homestead), nonce below 2^64-1 (EIP-2681), intrinsic and
   floor gas, 256-bit overflow of the upfront cost.
   allow_unprotected admits legacy transactions without a chain id. What the block's blob parameters
   say is checked by coh_tx_check_blob_cnt. */
coh_tx_err_t coh_tx_check_static(coh_tx_t const *tx,
                                 coh_fork_t fork,
                                 uint64_t chain_id,
                                 bool allow_unprotected);

/* coh_tx_check_blob_cnt: BLOB_CNT if tx has more than blob_max blobs, those that a block may hold
   (coh_blob_params_t). */
coh_tx_err_t coh_tx_check_blob_cnt(coh_tx_t const *tx, uint32_t blob_max);

/* coh_tx_upfront sets out = gas_limit * max_fee + value + blob gas * max_fee_per_blob_gas (what the
   sender must own: EIP-1559, EIP-4844); true on overflow. */
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
