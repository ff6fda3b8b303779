/* steps.h: which steps (codec/step.h) a block has before and after its transactions, by fork. Their order is that of Ethereum's execution specification. */
#ifndef COH_STEPS_H
#define COH_STEPS_H

#include "common/chain/schedule.h"
#include "common/codec/body.h"
#include "common/codec/step.h"

/* Before: the DAO's, EIP-4788, EIP-2935. After: withdrawals, or before the Merge rewards; EIP-7002, EIP-7251. */
#define COH_STEPS_MAX 3u

/* What a step's result means for the block. */
typedef enum {
    COH_STEPS_FREE,     /* nothing */
    COH_STEPS_REQUESTS, /* it must have run; its output are requests of the type (EIP-7685) */
} coh_steps_use_t;

typedef struct {
    uint32_t cnt;
    coh_step_t steps[COH_STEPS_MAX];
    coh_steps_use_t use[COH_STEPS_MAX];
    uint8_t request_type[COH_STEPS_MAX];
} coh_steps_t;

/* The contracts that the system calls, as bits of coh_rules_t's steps_off. */
typedef enum {
    COH_SYSTEM_BEACON_ROOTS,   /* EIP-4788 */
    COH_SYSTEM_HISTORY,        /* EIP-2935 */
    COH_SYSTEM_WITHDRAWALS,    /* EIP-7002 */
    COH_SYSTEM_CONSOLIDATIONS, /* EIP-7251 */
    COH_SYSTEM_CNT
} coh_system_t;

extern coh_addr_t const COH_SYSTEM_CONTRACTS[COH_SYSTEM_CNT];

/* coh_steps_before and coh_steps_after list them. What steps point to is in block, and of credits in list (the caller's; replaced), and lives as long. */
void coh_steps_before(coh_steps_t *out, coh_block_t const *block, coh_rules_t const *rules);
void coh_steps_after(coh_steps_t *out,
                     coh_buf_t *list,
                     coh_block_t const *block,
                     coh_rules_t const *rules);

/* coh_steps_reward is what a block's beneficiary gets under fork, beside a 32nd for each ommer: EIP-649, EIP-1234; 0 since Paris (EIP-3675). */
coh_u256_t coh_steps_reward(coh_fork_t fork);

#endif
