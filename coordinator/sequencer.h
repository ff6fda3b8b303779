/* sequencer.h: the next block's order. From the pool, the parent's figures and the time, it makes a
   draft: the block's environment, and its transactions in order. It keeps no state and asks nobody:
   the same pool and the same arguments give the same draft.

   A transaction fits if its gas limit is within what those before it leave of the block's gas
   limit, at worst: none uses more than its own. Since Osaka the block's octets are bounded too
   (EIP-7934). So a block never uses more than its limit, and
   where one uses less than it might have, what would have fitted goes into the next. Of blobs a block has at most what its
   fork allows (EIP-4844): a sender whose next transaction has more than are left waits for the next block, and the others go on.

   The rules of the block's fork are applied again to transactions that were admitted under another
   one; what is no longer valid leaves the pool, and is listed for the caller to report. */
#ifndef COH_SEQUENCER_H
#define COH_SEQUENCER_H

#include "common/config/genesis.h"
#include "common/state/block_env.h"
#include "coordinator/pool.h"

/* What does not change from block to block. */
typedef struct {
    coh_genesis_t const *genesis; /* borrowed: chain id and forks */
    coh_addr_t coinbase;
    uint64_t gas_limit;     /* of each block */
    uint32_t tx_max;        /* of each block; at least 1 */
    uint64_t interval_us;   /* longest wait for more transactions */
    bool allow_unprotected; /* legacy transactions without a chain id */
    /* Of dev chains: what the next block has against the rules; borrowed, NULL: nothing. */
    coh_u256_t const *base_fee;
    coh_u256_t const *prev_randao;
    bool gas_limit_jumps; /* whatever the parent's */
} coh_sequencer_rules_t;

/* The block below, sealed or at least settled. */
typedef struct {
    uint64_t number;
    uint64_t timestamp;
    uint64_t gas_limit;
    uint64_t gas_used;
    coh_u256_t base_fee;
    coh_u256_t difficulty;    /* before Paris */
    bool has_ommers;          /* likewise */
    uint64_t excess_blob_gas; /* since Cancun, else 0 */
    uint64_t blob_gas_used;   /* likewise */
} coh_sequencer_parent_t;

/* A transaction that the block's fork made invalid. */
typedef struct {
    coh_hash_t hash;
    coh_addr_t sender;
    uint64_t nonce;
    coh_tx_err_t reason;
} coh_sequencer_drop_t;

/* A block's order. Zeroed before its first use, and used again from block to block. */
typedef struct {
    coh_block_env_t env; /* fees_exact: see coh_sequencer_asks_exact_fees */
    uint32_t tx_cnt;
    coh_pool_tx_t **txs; /* tx_cnt, TAKEN; the array is owned, its members are the pool's */
    uint32_t drop_cnt;
    coh_sequencer_drop_t *drops; /* owned */
    size_t
        unpaid_cnt; /* ready ones left behind, if none of them can pay the base fee and for its blobs; else 0 */
    bool blobs_wait;  /* some of them for the price of blobs */
    uint64_t turn_no; /* coh_pool_turn_no after it was built */
    uint64_t built_us;
    uint32_t tx_cap;
    uint32_t drop_cap;
} coh_draft_t;

void coh_draft_free(coh_draft_t *draft);

/* coh_sequencer_env is the environment of the block on top of parent at Unix time now_s: number,
   timestamp (blocks may be less than a second apart: equal to the parent's then, never below),
   fork, base fee (EIP-1559), gas limit (as the rules have it, or as near as it may be to the
   parent's), difficulty, excess blob gas. fees_exact is false. */
coh_block_env_t coh_sequencer_env(coh_sequencer_rules_t const *rules,
                                  coh_sequencer_parent_t const *parent,
                                  uint64_t now_s);

/* coh_sequencer_asks_exact_fees tells whether each transaction of a block with tx in it must write its
   tip to the coinbase, so that whoever reads what the coinbase has reads the right amount: the
   sender if it is the coinbase, and any code. Before Byzantium each receipt holds the state root
   after its transaction (EIP-658), with the tips so far. */
static inline bool coh_sequencer_asks_exact_fees(coh_block_env_t const *env,
                                                 coh_tx_t const *tx,
                                                 coh_addr_t const *sender)
{
    return coh_tx_may_run_code(tx) || coh_addr_eq(sender, &env->coinbase) ||
           env->fork < COH_FORK_BYZANTIUM;
}

/* coh_sequencer_is_due tells whether a block is to be built now: tx_max transactions are ready, or
   one has waited for interval_us, or the pool is drained.

   Ready transactions that cannot pay the base fee, or the price of blobs, are a case of their own. Only blocks lower
   these: so a block is due each interval for these alone, empty if need be, as long as that
   lowers them; and they neither count towards tx_max nor keep a drain going.
   In:      last   the draft built last, or a zeroed one
            now_us in the clock of the pool's arrivals */
bool coh_sequencer_is_due(coh_sequencer_rules_t const *rules,
                          coh_draft_t const *last,
                          coh_pool_t const *pool,
                          uint64_t now_us,
                          bool draining);

/* coh_sequencer_due_us: when what is ready will have waited for interval_us; UINT64_MAX if nothing is
   ready. A block may be due before, by number, and need not be due then. */
uint64_t coh_sequencer_due_us(coh_sequencer_rules_t const *rules,
                              coh_draft_t const *last,
                              coh_pool_t const *pool);

/* coh_sequencer_build replaces draft by the next block's: takes its transactions from the pool, and
   drops those that can be in no block any more.
   In:      now_s  Unix time for the header; now_us in the clock of the pool's arrivals */
void coh_sequencer_build(coh_draft_t *draft,
                         coh_sequencer_rules_t const *rules,
                         coh_sequencer_parent_t const *parent,
                         coh_pool_t *pool,
                         uint64_t now_s,
                         uint64_t now_us);

#endif
