/* bench_load.h: the transfers that `cohort bench transfers` sends. Everything follows from a seed: keys, the genesis that
   funds them, who pays whom and how much; so that the bench and the cluster it drives need to share nothing but a number.

   A load is made in two steps: a plan (who pays whom, with which nonce, on which shards) and signatures over it, made on all
   cores before any clock starts. Transaction types take turns: EIP-155 legacy, EIP-2930 with an access list of one
   address, EIP-1559. */
#ifndef COH_BENCH_LOAD_H
#define COH_BENCH_LOAD_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/codec/tx.h"
#include "common/state/directory.h"

#define COH_BENCH_CHAIN_ID UINT64_C(1337)

typedef enum { COH_BENCH_UNIFORM, COH_BENCH_HOT_FROM, COH_BENCH_HOT_TO } coh_bench_spot_t;

typedef struct {
    coh_addr_t addr;
    uint8_t secret[32];
    uint16_t shard;
    uint64_t nonce;     /* before the run */
    coh_u256_t balance; /* before the run */
} coh_bench_account_t;

typedef struct {
    size_t cnt;
    coh_bench_account_t *v;
    coh_addr_t coinbase; /* takes the tips; sends nothing */
} coh_bench_accounts_t;

/* coh_bench_accounts_new derives cnt accounts from seed on thread_cnt threads; shards, nonces and balances are left zero. */
void coh_bench_accounts_new(coh_bench_accounts_t *out,
                            uint64_t seed,
                            size_t cnt,
                            uint32_t thread_cnt);
void coh_bench_accounts_free(coh_bench_accounts_t *accounts);

/* coh_bench_genesis_put appends geth's genesis.json: every fork active from the start, each account funded with a million ether, a gas limit that
   leaves full blocks of transfers at most at the base fee's target, so that it falls but never rises. */
void coh_bench_genesis_put(coh_buf_t *out, coh_bench_accounts_t const *accounts);
/* What that genesis gives in all, in wei. */
coh_u256_t coh_bench_supply(coh_bench_accounts_t const *accounts);

typedef struct {
    coh_bytes_t raw;
    coh_hash_t hash;
    uint64_t nonce;
    uint64_t value;
    uint32_t from; /* positions in accounts */
    uint32_t to;
    uint32_t gas; /* that it will use */
    uint8_t type; /* coh_tx_type_t */
    bool is_cross;
} coh_bench_tx_t;

typedef struct {
    size_t cnt;
    coh_bench_tx_t *v;
    size_t cross_cnt;
    coh_buf_t *bytes; /* what raw points into; one a thread */
    uint32_t bytes_cnt;
} coh_bench_load_t;

/* coh_bench_load_plan lays out cnt transfers between accounts whose shards and nonces are filled in: of any run of them cross_percent per cent, rounded
   down, pay an account on another shard (all stay on one shard where there is only one). */
void coh_bench_load_plan(coh_bench_load_t *out,
                         coh_bench_accounts_t const *accounts,
                         uint64_t seed,
                         size_t cnt,
                         uint32_t cross_percent,
                         coh_bench_spot_t spot);

/* coh_bench_load_sign signs and hashes what was planned on thread_cnt threads, and says how far it is on standard error. */
void coh_bench_load_sign(coh_bench_load_t *load,
                         coh_bench_accounts_t const *accounts,
                         uint32_t thread_cnt);
void coh_bench_load_free(coh_bench_load_t *load);

/* Fees that transactions offer; the same for all of a type. */
coh_u256_t coh_bench_max_fee(void);
coh_u256_t coh_bench_max_tip(void);

/* coh_bench_recover_rate measures how many senders a second libsecp256k1 recovers on thread_cnt threads at once, over about a second. */
double coh_bench_recover_rate(uint32_t thread_cnt);

#endif
