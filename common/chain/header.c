#include "common/chain/header.h"

#define GAS_LIMIT_MIN     5000u
#define GAS_LIMIT_MAX     (UINT64_MAX >> 1)
#define GAS_LIMIT_DIVISOR 1024u
#define LONDON_BASE_FEE   UINT64_C(1000000000)
#define LONDON_ELASTICITY 2u

/* The earliest fork whose headers have the same fields. */
static coh_fork_t shape_of(coh_fork_t fork)
{
    if (fork >= COH_FORK_PRAGUE) {
        return COH_FORK_PRAGUE;
    }
    if (fork >= COH_FORK_SHANGHAI) {
        return fork;
    }
    return fork >= COH_FORK_LONDON ? COH_FORK_LONDON : COH_FORK_FRONTIER;
}

static coh_block_err_t check_gas(coh_header_t const *h, coh_parent_t const *parent, coh_fork_t fork)
{
    uint64_t limit = parent->header.gas_limit;
    if (fork >= COH_FORK_LONDON && parent->header_fork < COH_FORK_LONDON) { /* EIP-1559 */
        limit *= LONDON_ELASTICITY;
    }
    uint64_t away = h->gas_limit > limit ? h->gas_limit - limit : limit - h->gas_limit;
    if (h->gas_limit < GAS_LIMIT_MIN || h->gas_limit > GAS_LIMIT_MAX ||
        away >= limit / GAS_LIMIT_DIVISOR) {
        return COH_BLOCK_GAS_LIMIT;
    }
    if (h->gas_used > h->gas_limit) {
        return COH_BLOCK_GAS_ABOVE_LIMIT;
    }
    if (fork >= COH_FORK_LONDON) {
        coh_u256_t want = parent->header_fork < COH_FORK_LONDON
                              ? coh_u256(LONDON_BASE_FEE)
                              : coh_base_fee_next(&parent->header.base_fee,
                                                  parent->header.gas_used,
                                                  parent->header.gas_limit);
        if (!coh_u256_eq(&h->base_fee, &want)) {
            return COH_BLOCK_BASE_FEE;
        }
    }
    return COH_BLOCK_OK;
}

/* EIP-3675, or the difficulty. */
static coh_block_err_t check_seal(coh_header_t const *h,
                                  coh_parent_t const *parent,
                                  coh_rules_t const *rules)
{
    if (rules->fork >= COH_FORK_PARIS) {
        static uint8_t const no_nonce[8];
        if (!coh_u256_is_zero(&h->difficulty)) {
            return COH_BLOCK_POS_DIFFICULTY;
        }
        if (memcmp(h->nonce, no_nonce, sizeof(no_nonce)) != 0) {
            return COH_BLOCK_POS_NONCE;
        }
        return coh_hash_eq(&h->ommers_hash, &COH_EMPTY_LIST_HASH) ? COH_BLOCK_OK
                                                                  : COH_BLOCK_POS_OMMERS;
    }
    coh_difficulty_parent_t const before = {
        .difficulty = parent->header.difficulty,
        .timestamp  = parent->header.timestamp,
        .has_ommers = !coh_hash_eq(&parent->header.ommers_hash, &COH_EMPTY_LIST_HASH)};
    coh_u256_t want =
        coh_difficulty_next(&before, rules->fork, rules->bomb_delay, h->number, h->timestamp);
    return coh_u256_eq(&h->difficulty, &want) ? COH_BLOCK_OK : COH_BLOCK_DIFFICULTY;
}

/* EIP-4844, EIP-7691, EIP-7892, EIP-7918. */
static coh_block_err_t check_blobs(coh_header_t const *h,
                                   coh_parent_t const *parent,
                                   coh_rules_t const *rules)
{
    if (h->blob_gas_used % COH_TX_BLOB_GAS != 0 ||
        h->blob_gas_used / COH_TX_BLOB_GAS > rules->blobs.max) {
        return COH_BLOCK_BLOB_GAS;
    }
    coh_blob_parent_t before = {.base_fee = parent->header.base_fee};
    if (parent->header_fork >= COH_FORK_CANCUN) {
        before.excess_blob_gas = parent->header.excess_blob_gas;
        before.blob_gas_used   = parent->header.blob_gas_used;
    }
    return h->excess_blob_gas == coh_blob_next_excess(&before, rules->fork, &rules->blobs)
               ? COH_BLOCK_OK
               : COH_BLOCK_EXCESS_BLOB_GAS;
}

coh_block_err_t coh_header_check(coh_header_t const *h,
                                 coh_fork_t shape,
                                 coh_parent_t const *parent,
                                 coh_rules_t const *rules)
{
    static char const dao_extra[] = "dao-hard-fork"; /* EIP-779 */
    if (parent->header.number == UINT64_MAX || h->number != parent->header.number + 1) {
        return COH_BLOCK_NUMBER;
    }
    if (h->timestamp < parent->header.timestamp ||
        (h->timestamp == parent->header.timestamp && !rules->equal_times)) {
        return COH_BLOCK_TIMESTAMP;
    }
    if (shape != shape_of(rules->fork)) {
        return COH_BLOCK_FIELDS;
    }
    if (rules->carries_root && !coh_hash_eq(&h->state_root, &parent->header.state_root)) {
        return COH_BLOCK_STATE_ROOT;
    }
    if (rules->dao_extra && (h->extra_sz != sizeof(dao_extra) - 1 ||
                             memcmp(h->extra, dao_extra, sizeof(dao_extra) - 1) != 0)) {
        return COH_BLOCK_DAO_EXTRA;
    }
    coh_block_err_t err = check_gas(h, parent, rules->fork);
    if (err == COH_BLOCK_OK) {
        err = check_seal(h, parent, rules);
    }
    if (err == COH_BLOCK_OK && rules->fork >= COH_FORK_CANCUN) {
        err = check_blobs(h, parent, rules);
    }
    return err;
}
