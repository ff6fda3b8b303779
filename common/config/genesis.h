/* genesis.h: a chain's beginning, from geth's genesis.json: chain id, forks by number and time,
   first header fields, allocation. */
#ifndef COH_GENESIS_H
#define COH_GENESIS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/u256.h"
#include "common/codec/blob.h"
#include "common/codec/block.h"
#include "common/codec/fork.h"

typedef struct {
    coh_u256_t key;
    coh_u256_t value;
} coh_genesis_slot_t;

typedef struct {
    coh_addr_t addr;
    uint64_t nonce;
    coh_u256_t balance;
    coh_bytes_t code;          /* owned (malloc); empty: none */
    coh_genesis_slot_t *slots; /* owned (malloc); sorted by key, no repetition, no zero */
    size_t slot_cnt;
} coh_genesis_account_t;

#define COH_GENESIS_OTHER_CNT 5u

/* Orders of accounts, by address, and of slots, by key: for qsort and bsearch. */
int coh_genesis_account_cmp(void const *a, void const *b);
int coh_genesis_slot_cmp(void const *a, void const *b);

typedef struct {
    uint64_t chain_id;
    /* Activation of each fork: block number up to Paris, Unix time from Shanghai on; UINT64_MAX:
       never. [FRONTIER] is 0. [PARIS]: 0 if terminalTotalDifficulty is 0, else mergeNetsplitBlock,
       else never. */
    uint64_t fork_at[COH_FORK_CNT];
    /* Blob parameters (EIP-7840, EIP-7892). max 0: of Cancun, Prague and Osaka the default; of a BPO
       fork that it never comes. bpo_at: Unix time of BPO1 and on. */
    coh_blob_params_t blob_params[COH_BLOB_STEP_CNT];
    uint64_t bpo_at[COH_BLOB_STEP_CNT - COH_BLOB_BPO1];
    /* Block numbers that change no rule here, but count for the chain's fork id (EIP-2124): the DAO's, the bomb's delays, the Merge's; UINT64_MAX
       or, in one built by hand, 0: none. */
    uint64_t other_at[COH_GENESIS_OTHER_CNT];
    bool has_deposit_addr;   /* else the deposit contract is mainnet's (EIP-6110) */
    coh_addr_t deposit_addr; /* depositContractAddress */
    uint64_t number;         /* of the genesis block; 0, or the parent of an imported block */
    uint64_t timestamp;
    uint64_t gas_limit;
    coh_u256_t base_fee; /* baseFeePerGas; 1 gwei if London is active and none is given */
    coh_addr_t coinbase;
    coh_genesis_account_t *alloc; /* owned; sorted by address, no repetition */
    size_t alloc_cnt;
    /* Hashes of the blocks number-ancestor_cnt+1..number, for BLOCKHASH, where a chain begins in the middle of another; none: the hash
       below is that of block number. Not part of the identity. Owned. */
    coh_hash_t *ancestors;
    uint32_t ancestor_cnt;
    coh_u256_t supply; /* sum of alloc's balances */
    coh_header_t
        header; /* of the genesis block; its nonce, extra data, difficulty, mix hash, parent, gas used and blob gas are as given, the rest follows from the above */
    coh_hash_t hash; /* of that block */
    coh_hash_t
        identity; /* keccak256 over that and the chain's rules, in a fixed encoding: equal where chains are */
} coh_genesis_t;

/* coh_genesis_parse reads JSON text. Errors name the member and the remedy. *out is empty on failure.
   Returns: COH_OK; COH_EMALFORMED, COH_EINVAL, COH_EUNSUPPORTED with err_text
   Cost:    a million accounts: about 5 s and 680 MB while reading, 96 MB afterwards */
coh_err_t coh_genesis_parse(coh_genesis_t *out, coh_bytes_t json, coh_buf_t *err_text);
/* The same for a file; also COH_ENOTFOUND, COH_EIO. */
coh_err_t coh_genesis_load(coh_genesis_t *out, char const *path, coh_buf_t *err_text);

/* coh_genesis_put_alloc makes copies of cnt accounts, without slots that are zero, the alloc of g, which has none yet. */
void coh_genesis_put_alloc(coh_genesis_t *g, coh_genesis_account_t const *accounts, size_t cnt);
/* coh_genesis_finish sorts alloc and slots, checks for repetitions and that the supply fits 256 bits,
   drops slots that are zero, computes the supply, and seals: for one built by hand. */
coh_err_t coh_genesis_finish(coh_genesis_t *g, coh_buf_t *err_text);
/* coh_genesis_seal completes the header, and computes hash and identity. No account or slot is there twice, no slot is zero.
   Cost: a million accounts take one to two seconds, and 300 MB meanwhile */
void coh_genesis_seal(coh_genesis_t *g);
void coh_genesis_free(coh_genesis_t *g);

/* coh_genesis_fork is the rule set of the block with this number and timestamp. */
coh_fork_t coh_genesis_fork(coh_genesis_t const *g, uint64_t number, uint64_t timestamp);

/* coh_genesis_fork_id is FORK_HASH of the chain at a time from Shanghai on (EIP-2124, EIP-6122): the checksum of the genesis hash, of all numbers of forks, and of the times of those that have come. */
uint32_t coh_genesis_fork_id(coh_genesis_t const *g, uint64_t timestamp);

/* coh_genesis_blob_params are the blob parameters of the block with this timestamp; all 0 before
   Cancun. */
coh_blob_params_t coh_genesis_blob_params(coh_genesis_t const *g, uint64_t timestamp);

#endif
