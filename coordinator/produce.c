#include "coordinator/produce.h"

#include "common/base/assert.h"
#include "common/chain/replay.h"
#include "common/obs/log.h"

coh_schedule_t coh_produce_schedule(coh_genesis_t const *genesis, uint64_t root_every)
{
    static char const *const names[COH_SYSTEM_CNT] = {
        [COH_SYSTEM_WITHDRAWALS]    = "withdrawals (EIP-7002)",
        [COH_SYSTEM_CONSOLIDATIONS] = "consolidations (EIP-7251)",
    };
    coh_schedule_t schedule;
    coh_replay_schedule(&schedule, genesis);
    coh_replay_produced(&schedule, genesis, root_every);
    for (int i = 0; i < COH_SYSTEM_CNT; i++) {
        if (names[i] != NULL && (schedule.steps_off >> i & 1) != 0 &&
            genesis->fork_at[COH_FORK_PRAGUE] != COH_SCHEDULE_NEVER) {
            COH_LOG_WRN("coordinator",
                        "the genesis has not the code of a system contract: blocks of this chain "
                        "will never call it",
                        "contract=\"%s\"",
                        names[i]);
        }
    }
    return schedule;
}

uint32_t coh_produce_steps(coh_block_step_t steps[COH_STEP_CNT_MAX],
                           uint32_t *before_cnt,
                           coh_buf_t *bytes,
                           coh_schedule_t const *schedule,
                           coh_block_env_t const *env)
{
    /* As far as steps depend on it: no ommers, no withdrawals. */
    coh_block_t const block = {
        .header = {.number = env->number, .timestamp = env->timestamp, .coinbase = env->coinbase}};
    coh_rules_t rules = coh_schedule_rules(schedule, env->number, env->timestamp, &COH_U256_ZERO);
    coh_steps_t lists[2];
    coh_buf_t credits = COH_BUF_INIT;
    size_t ends[COH_STEP_CNT_MAX];
    uint32_t cnt = 0;
    COH_ASSERT(rules.fork == env->fork);
    coh_steps_before(&lists[0], &block, &rules);
    coh_steps_after(&lists[1], &credits, &block, &rules);
    *before_cnt = lists[0].cnt;
    coh_buf_clear(bytes);
    for (uint32_t l = 0; l < COH_CNT(lists); l++) {
        for (uint32_t i = 0; i < lists[l].cnt; i++) {
            coh_step_t step = lists[l].steps[i];
            if (coh_addr_eq(&step.to, &COH_SYSTEM_CONTRACTS[COH_SYSTEM_HISTORY])) {
                step.kind = COH_STEP_CALL_PARENT;
            }
            coh_step_put(bytes, &step);
            steps[cnt]  = (coh_block_step_t){.use          = lists[l].use[i],
                                             .request_type = lists[l].request_type[i]};
            ends[cnt++] = bytes->n;
        }
    }
    for (uint32_t i = 0; i < cnt; i++) {
        size_t start = i == 0 ? 0 : ends[i - 1];
        steps[i].raw = coh_bytes(bytes->p + start, ends[i] - start);
    }
    coh_buf_free(&credits);
    return cnt;
}
