#include "shard/shard_private.h"

/* The last committed block is called m->head from here on: what leads to it counts, and nothing above. */
static coh_err_t rewind_to(coh_shard_t *s, coh_msg_dev_t const *m)
{
    if (m->head > s->part.committed || m->attempt <= s->attempt || m->hashes.n == 0) {
        return COH_EPROTO;
    }
    COH_TRY(coh_sh_add_hashes(s, m->head, m->hashes));
    s->attempt        = m->attempt;
    s->part.committed = m->head;
    coh_kept_drop(&s->early, 0, m->attempt);
    coh_past_rewind(s->past, m->head);
    coh_tries_rewind(s->tries, m->head);
    coh_snapshots_drop(s->snapshots, m->snapshot);
    return COH_OK;
}

coh_err_t coh_sh_on_dev(coh_shard_t *s, coh_msg_dev_t const *m)
{
    if (s->snapshots == NULL || s->state != COH_SH_RUNNING || s->executing || s->part.cnt != 0 ||
        s->blocks.first != NULL || m->op >= COH_DEV_OP_CNT) {
        return COH_EPROTO;
    }
    coh_msg_dev_done_t done = {.op = m->op, .ok = 1};
    switch ((coh_dev_op_t)m->op) {
    case COH_DEV_TAKE: COH_TRY(coh_snapshots_take(s->snapshots, s->past, m->snapshot)); break;
    case COH_DEV_CHECK: done.ok = coh_snapshots_has(s->snapshots, s->past, m->snapshot); break;
    default: COH_TRY(rewind_to(s, m));
    }
    coh_wire_put_dev_done(coh_sh_to_coordinator(s), &done);
    return COH_OK;
}

coh_err_t coh_sh_expand_restore(coh_shard_t *s, coh_msg_block_t *m, coh_rec_block_tx_t *only)
{
    coh_step_t step;
    if (s->snapshots == NULL || m->txs.cnt != 1 || m->txs.v[0].is_step == 0 ||
        coh_step_decode(&step, m->txs.v[0].raw) != COH_OK || step.kind != COH_STEP_RESTORE) {
        return COH_OK;
    }
    if (!coh_snapshots_has(s->snapshots, s->past, step.snapshot)) {
        return COH_EPROTO; /* it was checked */
    }
    coh_buf_clear(&s->patch);
    coh_snapshots_patch(s->snapshots, s->past, step.snapshot, &s->patch);
    *only     = m->txs.v[0];
    only->raw = coh_buf_bytes(&s->patch);
    m->txs.v  = only;
    return COH_OK;
}
