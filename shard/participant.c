#include "shard/participant.h"

void coh_participant_init(coh_participant_t *p, uint64_t committed)
{
    *p = (coh_participant_t){.committed = committed};
}

static coh_part_state_t *state_of(coh_participant_t *p, uint64_t block)
{
    return &p->state[block % COH_PARTICIPANT_WINDOW];
}

static bool is_undecided(coh_participant_t const *p, uint64_t block)
{
    return block > p->committed && block - p->committed <= p->cnt;
}

coh_err_t coh_participant_on_settled(coh_participant_t *p,
                                     uint64_t block,
                                     bool writes,
                                     coh_abort_t reason,
                                     coh_part_action_t *action)
{
    if (block != p->committed + p->cnt + 1 || p->cnt == COH_PARTICIPANT_WINDOW) {
        return COH_EPROTO;
    }
    p->cnt++;
    if (reason != COH_ABORT_NONE) {
        *state_of(p, block) = COH_PART_REFUSED;
        *action             = COH_PART_DO_VOTE_NO;
    } else if (writes) {
        *state_of(p, block) = COH_PART_WRITING;
        *action             = COH_PART_DO_WRITE;
    } else {
        *state_of(p, block) = COH_PART_VOTED;
        *action             = COH_PART_DO_VOTE_YES;
    }
    return COH_OK;
}

void coh_participant_on_written(coh_participant_t *p,
                                uint64_t block,
                                bool ok,
                                coh_part_action_t *action)
{
    *action = COH_PART_DO_NOTHING;
    if (is_undecided(p, block) && *state_of(p, block) == COH_PART_WRITING) {
        *state_of(p, block) = ok ? COH_PART_VOTED : COH_PART_REFUSED;
        *action             = ok ? COH_PART_DO_VOTE_YES : COH_PART_DO_VOTE_NO;
    }
}

coh_err_t coh_participant_on_commit(coh_participant_t *p, uint64_t block, coh_part_action_t *action)
{
    if (block != p->committed + 1 || p->cnt == 0 || *state_of(p, block) != COH_PART_VOTED) {
        return COH_EPROTO;
    }
    p->committed++;
    p->cnt--;
    *action = COH_PART_DO_APPLY;
    return COH_OK;
}

coh_err_t coh_participant_on_abort(coh_participant_t *p, uint64_t block, uint32_t *discarded)
{
    if (block <= p->committed) {
        return COH_EPROTO;
    }
    uint64_t below = block - p->committed - 1; /* prepared blocks that stay */
    *discarded     = p->cnt > below ? p->cnt - (uint32_t)below : 0;
    p->cnt -= *discarded;
    return COH_OK;
}
