/* txgen.h: signed transactions for tests. Keys are numbered and always the same, so that an address in a failing run means the same account
   everywhere; what is signed is kept, because signing costs more than anything else that a simulated history does.

   One thread at a time. */
#ifndef COH_TEST_TXGEN_H
#define COH_TEST_TXGEN_H

#include "common/codec/tx.h"

#define COH_TXGEN_KEY_MAX 4096u

typedef struct coh_txgen coh_txgen_t;

/* An authorization to sign (EIP-7702). */
typedef struct {
    uint32_t key; /* number of the authority's key */
    uint64_t chain_id;
    uint64_t nonce;
    coh_addr_t addr;
    bool is_forged; /* signed by nobody */
} coh_txgen_auth_t;

/* An account to name in an access list (EIP-2930), with the first so many slots of its storage. */
typedef struct {
    coh_addr_t addr;
    uint32_t slot_cnt;
} coh_txgen_listed_t;

/* What to sign. */
typedef struct {
    uint32_t key; /* number of the signing key, below COH_TXGEN_KEY_MAX */
    coh_tx_type_t type;
    bool unprotected; /* legacy only: without a chain id (before EIP-155) */
    uint64_t chain_id;
    uint64_t nonce;
    uint64_t gas_limit;
    coh_u256_t max_fee; /* the gas price of types 0 and 1 */
    coh_u256_t max_tip; /* types 2 to 4 only */
    coh_u256_t value;
    bool is_create; /* to is ignored */
    coh_addr_t to;
    uint32_t data_bytes; /* call data: every third octet is zero */
    coh_bytes_t data;    /* behind it; borrowed for the call */
    uint32_t access_addr_cnt;
    uint32_t access_keys_each;
    coh_txgen_listed_t const *listed; /* behind these made-up ones; borrowed for the call */
    uint32_t listed_cnt;
    coh_u256_t max_fee_per_blob_gas; /* type 3 only, as the next */
    uint32_t blob_cnt;
    coh_hash_t const *blob_hash;   /* of each; NULL: made up */
    coh_txgen_auth_t const *auths; /* type 4 only; borrowed for the call */
    uint32_t auth_cnt;
} coh_txgen_spec_t;

/* A signed one; tx borrows from raw. Lives as long as its generator, and does not move. */
typedef struct {
    coh_bytes_t raw;
    coh_hash_t hash;
    coh_addr_t sender;
    coh_tx_t tx;
} coh_txgen_tx_t;

coh_txgen_t *coh_txgen_new(void);
void coh_txgen_free(coh_txgen_t *gen);

/* coh_txgen_trim forgets what was signed if it is more than keep transactions; none may be in use then. */
void coh_txgen_trim(coh_txgen_t *gen, size_t keep);

/* coh_txgen_addr is the address of a numbered key. */
coh_addr_t coh_txgen_addr(coh_txgen_t *gen, uint32_t key);

/* coh_txgen_make signs what spec says, or finds what was signed before. */
coh_txgen_tx_t const *coh_txgen_make(coh_txgen_t *gen, coh_txgen_spec_t const *spec);

#endif
