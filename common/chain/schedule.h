/* schedule.h: which rules hold for which block of a chain: forks by number, by time and, for the Merge, by total difficulty; and what depends on the fork or the
   number but is no fork of fork.h: the bomb's delays, the DAO's state change, blob parameters. A plain value. */
#ifndef COH_SCHEDULE_H
#define COH_SCHEDULE_H

#include "common/codec/blob.h"
#include "common/codec/difficulty.h"
#include "common/codec/fork.h"

#define COH_SCHEDULE_NEVER UINT64_MAX

typedef struct {
    uint64_t chain_id;
    /* Of each fork, the block number up to Paris, the Unix time from Shanghai on, which counts once Paris has come; NEVER: never. [FRONTIER] is 0. */
    uint64_t fork_at[COH_FORK_CNT];
    /* Paris also begins behind a block with which the total difficulty reaches this (EIP-3675). */
    bool has_ttd;
    coh_u256_t ttd;
    uint64_t dao_at; /* number of the block with the DAO's state change; NEVER: none */
    uint64_t muir_at, arrow_at, gray_at; /* numbers of the blocks from which the bomb lags more */
    uint64_t blob_at[COH_BLOB_STEP_CNT]; /* Unix times; those of forks are ignored */
    coh_blob_params_t blob_params[COH_BLOB_STEP_CNT];
    coh_addr_t deposit_addr; /* whose logs are deposits (EIP-6110) */
    bool equal_times;        /* these two as in coh_rules_t, of all blocks */
    uint8_t steps_off;
    uint64_t
        root_every; /* since Byzantium only blocks whose number this divides have a state root of their own; 0: like 1 */
} coh_schedule_t;

/* The rules of one block. */
typedef struct {
    coh_fork_t fork;
    uint64_t chain_id;
    uint64_t bomb_delay;
    coh_blob_params_t blobs;
    bool dao_moves; /* the block has the DAO's state change */
    bool dao_extra; /* it is one of the ten whose extra data is given */
    coh_addr_t deposit_addr;
    /* A block may have its parent's timestamp: in chains that Cohort produced, where several blocks come within a second. Ethereum does not allow it. */
    bool equal_times;
    /* The header has its parent's state root, whatever the block did: in chains that Cohort produced with block-root-every. */
    bool carries_root;
    uint8_t
        steps_off; /* by coh_system_t: contracts that the system does not call; of blocks that Cohort produces: see coh_replay_produced */
} coh_rules_t;

/* coh_schedule_init makes one of a chain where fork holds from the beginning, and nothing comes after it: no DAO, mainnet's deposit contract,
   default blob parameters, steps of them by fork alone. */
void coh_schedule_init(coh_schedule_t *out, coh_fork_t fork, uint64_t chain_id);

/* coh_schedule_rules are those of the block with this number and timestamp on a parent with this total difficulty (its own included). */
coh_rules_t coh_schedule_rules(coh_schedule_t const *s,
                               uint64_t number,
                               uint64_t timestamp,
                               coh_u256_t const *parent_td);

#endif
