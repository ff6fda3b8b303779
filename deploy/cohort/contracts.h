/* contracts.h: compiled contracts for benches and tests: artifacts that tests/contracts/build.sh made, and call data by the
   contract ABI (Solidity documentation, "Contract ABI Specification"). Arguments are words (any static value type), byte strings, and
   dynamic arrays of words: what the contracts of tests/contracts take. No memory is bounded here: artifacts and arguments are ours.

   Any thread; no state of its own. */
#ifndef COH_CONTRACTS_H
#define COH_CONTRACTS_H

#include "common/base/buf.h"
#include "common/base/u256.h"

#define COH_ABI_SELECTOR_SZ 4

/* A function as its artifact lists it. */
typedef struct {
    char *signature; /* "transfer(address,uint256)"; owned */
    uint8_t selector[COH_ABI_SELECTOR_SZ];
} coh_contract_method_t;

typedef struct {
    char *name;                     /* owned */
    coh_buf_t creation;             /* init code, without the constructor's arguments */
    coh_buf_t runtime;              /* code after deployment, with immutable variables still zero */
    coh_contract_method_t *methods; /* owned */
    size_t method_cnt;
} coh_contract_t;

/* coh_contract_load reads dir/name.json. On failure *out is empty and why says what is wrong, with the path.
   Returns: COH_OK; COH_ENOTFOUND cannot be read; COH_EMALFORMED no artifact, or one that needs linking */
coh_err_t coh_contract_load(coh_contract_t *out, char const *dir, char const *name, coh_buf_t *why);
void coh_contract_free(coh_contract_t *contract);

/* coh_contract_selector finds the selector of a function by its signature; NULL if the contract has no such function. Borrowed. */
uint8_t const *coh_contract_selector(coh_contract_t const *contract, char const *signature);

typedef enum { COH_ABI_WORD, COH_ABI_BYTES, COH_ABI_ARRAY } coh_abi_kind_t;

/* One argument. */
typedef struct coh_abi {
    coh_abi_kind_t kind;
    uint8_t word[32];            /* WORD */
    coh_bytes_t bytes;           /* BYTES; borrowed */
    struct coh_abi const *items; /* ARRAY: words; borrowed */
    size_t item_cnt;             /* ARRAY */
} coh_abi_t;

coh_abi_t coh_abi_u256(coh_u256_t const *v);
coh_abi_t coh_abi_u64(uint64_t v);
coh_abi_t coh_abi_addr(coh_addr_t const *addr);
coh_abi_t coh_abi_bool(bool v);
/* bytes1 to bytes32, n octets; they stand at the left of their word. */
coh_abi_t coh_abi_fixed(void const *p, size_t n);
/* bytes, string, T[]: what they point to is borrowed until encoded. Items must be words. */
coh_abi_t coh_abi_bytes(coh_bytes_t bytes);
coh_abi_t coh_abi_string(char const *text);
coh_abi_t coh_abi_array(coh_abi_t const *items, size_t cnt);

/* coh_abi_encode appends cnt arguments as a tuple: what follows the init code of a constructor, or a selector. */
void coh_abi_encode(coh_buf_t *out, coh_abi_t const *args, size_t cnt);

/* coh_abi_selector computes a function's selector: the first four octets of keccak256(signature). */
void coh_abi_selector(uint8_t out[COH_ABI_SELECTOR_SZ], char const *signature);

/* coh_abi_call appends the call data of a function: selector and arguments. */
void coh_abi_call(coh_buf_t *out, char const *signature, coh_abi_t const *args, size_t cnt);

#endif
