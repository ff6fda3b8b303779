#include "coordinator/commit.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"

void coh_commit_init(coh_commit_t *c, uint32_t shard_cnt, uint64_t head)
{
    COH_ASSERT(shard_cnt > 0);
    *c = (coh_commit_t){
        .shard_cnt   = shard_cnt,
        .first       = head + 1,
        .undecided   = head + 1,
        .next        = head + 1,
        .abort_acked = coh_calloc(shard_cnt, 1),
    };
    for (uint32_t i = 0; i < COH_COMMIT_WINDOW; i++) {
        c->blocks[i].words = coh_calloc(shard_cnt, 1);
    }
}

void coh_commit_fini(coh_commit_t *c)
{
    for (uint32_t i = 0; i < COH_COMMIT_WINDOW; i++) {
        free(c->blocks[i].words);
    }
    free(c->abort_acked);
    *c = (coh_commit_t){0};
}

static coh_commit_block_t *block_at(coh_commit_t *c, uint64_t number)
{
    return number >= c->first && number < c->next ? &c->blocks[number % COH_COMMIT_WINDOW] : NULL;
}

bool coh_commit_in_phase(coh_commit_t const *c, uint64_t block, coh_commit_phase_t phase)
{
    return block >= c->first && block < c->next &&
           c->blocks[block % COH_COMMIT_WINDOW].phase == phase;
}

bool coh_commit_may_begin(coh_commit_t const *c, uint32_t depth)
{
    if (c->discarding || c->next - c->first >= COH_COMMIT_WINDOW ||
        c->next - c->undecided > depth) {
        return false;
    }
    return c->next == c->first || !coh_commit_in_phase(c, c->next - 1, COH_COMMIT_EXECUTING);
}

void coh_commit_rewind(coh_commit_t *c, uint64_t head)
{
    COH_ASSERT(coh_commit_is_quiet(c) && head < c->next);
    c->first     = head + 1;
    c->undecided = head + 1;
    c->next      = head + 1;
    c->attempt++;
}

uint64_t coh_commit_begin(coh_commit_t *c)
{
    COH_ASSERT(!c->discarding && c->next - c->first < COH_COMMIT_WINDOW);
    coh_commit_block_t *b = &c->blocks[c->next % COH_COMMIT_WINDOW];
    b->phase              = COH_COMMIT_EXECUTING;
    b->yes_cnt            = 0;
    b->ack_cnt            = 0;
    memset(b->words, COH_COMMIT_NO_WORD, c->shard_cnt);
    return c->next++;
}

bool coh_commit_is_stale(coh_commit_t const *c, uint64_t block, uint32_t shard)
{
    return c->discarding && block >= c->abort_from && c->abort_acked[shard] == 0;
}

bool coh_commit_is_quiet(coh_commit_t const *c) { return c->first == c->next && !c->discarding; }

static void act(coh_commit_actions_t *out, coh_commit_action_kind_t kind, uint64_t block)
{
    COH_ASSERT(out->cnt < COH_COMMIT_ACTIONS_MAX);
    out->v[out->cnt++] = (coh_commit_action_t){.kind = kind, .block = block};
}

/* decide_in_turn starts the decision of the lowest undecided block if all have voted. */
static void decide_in_turn(coh_commit_t *c, coh_commit_actions_t *out)
{
    coh_commit_block_t *b = block_at(c, c->undecided);
    if (b != NULL && b->phase == COH_COMMIT_PREPARING && b->yes_cnt == c->shard_cnt) {
        b->phase = COH_COMMIT_DECIDING;
        act(out, COH_COMMIT_DO_DECIDE, c->undecided);
    }
}

static void abort_from(coh_commit_t *c, coh_commit_actions_t *out, uint64_t block)
{
    COH_ASSERT(block >= c->undecided);
    c->next          = block;
    c->discarding    = true;
    c->abort_from    = block;
    c->abort_ack_cnt = 0;
    memset(c->abort_acked, 0, c->shard_cnt);
    c->attempt++;
    act(out, COH_COMMIT_DO_ABORT, block);
}

static coh_err_t on_vote(coh_commit_t *c, coh_commit_actions_t *out, coh_commit_event_t const *ev)
{
    coh_commit_block_t *b = block_at(c, ev->block);
    if (b == NULL || b->phase != COH_COMMIT_PREPARING ||
        b->words[ev->shard] != COH_COMMIT_NO_WORD) {
        return COH_EPROTO;
    }
    if (ev->kind == COH_COMMIT_EV_VOTE_NO) {
        abort_from(c, out, ev->block);
        return COH_OK;
    }
    b->words[ev->shard] = COH_COMMIT_YES;
    b->yes_cnt++;
    decide_in_turn(c, out);
    return COH_OK;
}

static coh_err_t on_ack(coh_commit_t *c, coh_commit_actions_t *out, coh_commit_event_t const *ev)
{
    coh_commit_block_t *b = block_at(c, ev->block);
    if (b == NULL || b->phase != COH_COMMIT_COMMITTING || b->words[ev->shard] != COH_COMMIT_YES) {
        return COH_EPROTO;
    }
    b->words[ev->shard] = COH_COMMIT_ACKED;
    b->ack_cnt++;
    while (c->first < c->undecided &&
           c->blocks[c->first % COH_COMMIT_WINDOW].ack_cnt == c->shard_cnt) {
        act(out, COH_COMMIT_DO_FORGET, c->first++);
    }
    return COH_OK;
}

static coh_err_t on_ack_abort(coh_commit_t *c,
                              coh_commit_actions_t *out,
                              coh_commit_event_t const *ev)
{
    if (!c->discarding || ev->block < c->abort_from) {
        return COH_EPROTO;
    }
    if (ev->block > c->abort_from) {
        return COH_OK; /* of an ABORT that a further one has overtaken */
    }
    if (c->abort_acked[ev->shard] != 0) {
        return COH_EPROTO;
    }
    c->abort_acked[ev->shard] = 1;
    if (++c->abort_ack_cnt == c->shard_cnt) {
        c->discarding = false;
        act(out, COH_COMMIT_DO_RESUME, c->abort_from);
    }
    return COH_OK;
}

coh_err_t coh_commit_step(coh_commit_t *c, coh_commit_actions_t *out, coh_commit_event_t const *ev)
{
    out->cnt = 0;
    if (ev->shard >= c->shard_cnt) {
        return COH_EPROTO;
    }
    coh_commit_block_t *b = block_at(c, ev->block);
    switch (ev->kind) {
    case COH_COMMIT_EV_SETTLED:
        if (b == NULL || b->phase != COH_COMMIT_EXECUTING) {
            return COH_EPROTO;
        }
        b->phase = COH_COMMIT_PREPARING;
        act(out, COH_COMMIT_DO_PREPARE, ev->block);
        return COH_OK;
    case COH_COMMIT_EV_VOTE_YES:
    case COH_COMMIT_EV_VOTE_NO: return on_vote(c, out, ev);
    case COH_COMMIT_EV_INVALID:
        if (b == NULL || b->phase != COH_COMMIT_DECIDING) {
            return COH_EPROTO;
        }
        abort_from(c, out, ev->block);
        return COH_OK;
    case COH_COMMIT_EV_WRITTEN:
        if (b == NULL || b->phase != COH_COMMIT_DECIDING) {
            return COH_EPROTO;
        }
        b->phase = COH_COMMIT_COMMITTING;
        c->undecided++;
        act(out, COH_COMMIT_DO_COMMIT, ev->block);
        decide_in_turn(c, out);
        return COH_OK;
    case COH_COMMIT_EV_ACK: return on_ack(c, out, ev);
    case COH_COMMIT_EV_ACK_ABORT: return on_ack_abort(c, out, ev);
    }
    return COH_EPROTO;
}
