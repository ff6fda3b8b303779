#include "common/chain/schedule.h"

enum { DAO_EXTRA_BLOCKS = 10 };

void coh_schedule_init(coh_schedule_t *out, coh_fork_t fork, uint64_t chain_id)
{
    /* EIP-6110: DEPOSIT_CONTRACT_ADDRESS */
    static coh_addr_t const deposit = {{0x00, 0x00, 0x00, 0x00, 0x21, 0x9a, 0xb5,
                                        0x40, 0x35, 0x6c, 0xbb, 0x83, 0x9c, 0xbe,
                                        0x05, 0x30, 0x3d, 0x77, 0x05, 0xfa}};
    *out                            = (coh_schedule_t){.chain_id     = chain_id,
                                                       .dao_at       = COH_SCHEDULE_NEVER,
                                                       .muir_at      = COH_SCHEDULE_NEVER,
                                                       .arrow_at     = COH_SCHEDULE_NEVER,
                                                       .gray_at      = COH_SCHEDULE_NEVER,
                                                       .deposit_addr = deposit};
    for (int f = 0; f < COH_FORK_CNT; f++) {
        out->fork_at[f] = f <= (int)fork ? 0 : COH_SCHEDULE_NEVER;
    }
    for (int step = 0; step < COH_BLOB_STEP_CNT; step++) {
        out->blob_at[step]     = COH_SCHEDULE_NEVER;
        out->blob_params[step] = coh_blob_params_default((coh_blob_step_t)step);
    }
}

/* The number or time at has come with now; a timestamp may be as high as NEVER. */
static bool has_come(uint64_t at, uint64_t now) { return at <= now && at != COH_SCHEDULE_NEVER; }

static coh_fork_t fork_of(coh_schedule_t const *s,
                          uint64_t number,
                          uint64_t timestamp,
                          coh_u256_t const *parent_td)
{
    if (has_come(s->fork_at[COH_FORK_PARIS], number) ||
        (s->has_ttd && !coh_u256_lt(parent_td, &s->ttd))) {
        int fork = COH_FORK_PARIS;
        while (fork + 1 < COH_FORK_CNT && has_come(s->fork_at[fork + 1], timestamp)) {
            fork++;
        }
        return (coh_fork_t)fork;
    }
    int fork = COH_FORK_LONDON;
    while (!has_come(s->fork_at[fork], number)) {
        fork--; /* Frontier is at 0 */
    }
    return (coh_fork_t)fork;
}

static uint64_t bomb_delay(coh_schedule_t const *s, coh_fork_t fork, uint64_t number)
{
    if (has_come(s->gray_at, number)) {
        return COH_BOMB_DELAY_GRAY_GLACIER;
    }
    if (has_come(s->arrow_at, number)) {
        return COH_BOMB_DELAY_ARROW_GLACIER;
    }
    uint64_t delay = coh_difficulty_bomb_delay(fork);
    return has_come(s->muir_at, number) ? COH_MAX(delay, COH_BOMB_DELAY_MUIR_GLACIER) : delay;
}

static coh_blob_params_t blobs(coh_schedule_t const *s, coh_fork_t fork, uint64_t timestamp)
{
    if (fork < COH_FORK_CANCUN) {
        return (coh_blob_params_t){0};
    }
    for (int step = COH_BLOB_STEP_CNT - 1; step >= COH_BLOB_BPO1; step--) {
        if (fork >= COH_FORK_OSAKA && has_come(s->blob_at[step], timestamp) &&
            s->blob_params[step].max != 0) {
            return s->blob_params[step];
        }
    }
    return s->blob_params[fork >= COH_FORK_OSAKA    ? COH_BLOB_OSAKA
                          : fork >= COH_FORK_PRAGUE ? COH_BLOB_PRAGUE
                                                    : COH_BLOB_CANCUN];
}

coh_rules_t coh_schedule_rules(coh_schedule_t const *s,
                               uint64_t number,
                               uint64_t timestamp,
                               coh_u256_t const *parent_td)
{
    coh_fork_t fork = fork_of(s, number, timestamp, parent_td);
    return (coh_rules_t){.fork       = fork,
                         .chain_id   = s->chain_id,
                         .bomb_delay = bomb_delay(s, fork, number),
                         .blobs      = blobs(s, fork, timestamp),
                         .dao_moves  = number == s->dao_at,
                         .dao_extra  = number >= s->dao_at &&
                                      number - s->dao_at<DAO_EXTRA_BLOCKS,
                                                         .deposit_addr = s->deposit_addr,
                                                         .equal_times  = s->equal_times,
                                                         .carries_root = s->root_every> 1 &&
                                      fork >= COH_FORK_BYZANTIUM && number % s->root_every != 0,
                         .steps_off = s->steps_off};
}
