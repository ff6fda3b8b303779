#include "coordinator/moves.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

#define MOVES_MAX 65536u

void coh_co_moves_init(coh_co_moves_t *m, uint32_t shard_cnt)
{
    *m = (coh_co_moves_t){.shard_cnt = shard_cnt, .spoke = coh_calloc(shard_cnt, 1)};
}

void coh_co_moves_fini(coh_co_moves_t *m)
{
    free(m->v);
    free(m->spoke);
    coh_directory_free(&m->next);
    *m = (coh_co_moves_t){0};
}

void coh_co_moves_cancel(coh_co_moves_t *m)
{
    free(m->v);
    m->v   = NULL;
    m->cnt = 0;
    coh_directory_free(&m->next);
    m->state = COH_MOVES_NONE;
}

coh_err_t coh_co_moves_want(coh_co_moves_t *m,
                            coh_directory_t const *dir,
                            coh_override_t const *wanted,
                            size_t cnt)
{
    if (m->state != COH_MOVES_NONE) {
        return COH_EBUSY;
    }
    if (cnt > MOVES_MAX) {
        return COH_ETOOBIG;
    }
    coh_directory_copy(&m->next, dir);
    m->next.epoch++;
    m->v         = coh_calloc(cnt + 1, sizeof(*m->v));
    coh_err_t rc = COH_OK;
    for (size_t i = 0; i < cnt && rc == COH_OK; i++) {
        uint32_t from =
            coh_directory_owner(dir, &wanted[i].addr, coh_directory_bucket(&wanted[i].addr));
        if (from != wanted[i].shard) {
            m->v[m->cnt++] = (coh_rec_move_account_t){
                .addr = wanted[i].addr, .from = from, .to = wanted[i].shard};
            rc = coh_directory_pin(&m->next, &wanted[i].addr, wanted[i].shard);
        }
    }
    if (rc == COH_OK && m->cnt == 0) {
        rc = COH_ENOTFOUND;
    }
    if (rc != COH_OK) {
        coh_co_moves_cancel(m);
        return rc;
    }
    m->state = COH_MOVES_DRAINING;
    return COH_OK;
}

static void enter(coh_co_moves_t *m, coh_moves_state_t state)
{
    m->state     = state;
    m->spoke_cnt = 0;
    memset(m->spoke, 0, m->shard_cnt);
}

void coh_co_moves_begin(coh_co_moves_t *m)
{
    COH_ASSERT(m->state == COH_MOVES_DRAINING);
    m->round++;
    m->word = COH_MOVE_YES;
    enter(m, COH_MOVES_PREPARING);
}

/* Notes that shard has spoken; false if it had, or was not asked. */
static bool speak(coh_co_moves_t *m, uint32_t shard, uint64_t round, coh_moves_state_t state)
{
    if (m->state != state || round != m->round || m->spoke[shard] != 0) {
        return false;
    }
    m->spoke[shard] = 1;
    m->spoke_cnt++;
    return true;
}

coh_err_t coh_co_moves_vote(coh_co_moves_t *m,
                            uint32_t shard,
                            coh_msg_move_vote_t const *msg,
                            bool *all)
{
    if (m->state == COH_MOVES_ENDING && msg->round == m->round && !m->commits) {
        *all = false; /* it said so before it heard that another one refused */
        return COH_OK;
    }
    if (msg->word >= COH_MOVE_WORD_CNT || !speak(m, shard, msg->round, COH_MOVES_PREPARING)) {
        return COH_EPROTO;
    }
    if (msg->word != COH_MOVE_YES) {
        m->word  = (coh_move_word_t)msg->word;
        m->about = msg->addr;
    }
    /* The first refusal is enough: others may be waiting for what will not come. */
    *all       = m->spoke_cnt == m->shard_cnt || m->word != COH_MOVE_YES;
    m->commits = m->word == COH_MOVE_YES;
    if (*all && m->commits) {
        enter(m, COH_MOVES_DECIDING);
    }
    return COH_OK;
}

void coh_co_moves_end(coh_co_moves_t *m)
{
    COH_ASSERT(m->state == COH_MOVES_DECIDING || !m->commits);
    enter(m, COH_MOVES_ENDING);
}

coh_err_t coh_co_moves_moved(coh_co_moves_t *m,
                             uint32_t shard,
                             coh_msg_moved_t const *msg,
                             bool *all)
{
    if (!speak(m, shard, msg->round, COH_MOVES_ENDING)) {
        return COH_EPROTO;
    }
    *all = m->spoke_cnt == m->shard_cnt;
    if (*all) {
        coh_co_moves_cancel(m);
    }
    return COH_OK;
}
