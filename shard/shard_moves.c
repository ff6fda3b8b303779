#include "shard/shard_private.h"

coh_err_t coh_sh_on_move(coh_shard_t *s, coh_msg_move_t const *m)
{
    bool is_quiet = s->state == COH_SH_RUNNING && !s->executing && s->part.cnt == 0 &&
                    s->blocks.first == NULL && s->abort_waits == 0;
    return coh_moves_on_move(s->moves, m, is_quiet);
}

coh_err_t coh_sh_on_move_end(coh_shard_t *s, coh_msg_move_end_t const *m)
{
    COH_TRY(coh_moves_on_end(s->moves, m, &s->mark));
    if (m->committed != 0) {
        coh_guests_fini(&s->guests);
        coh_guests_init(&s->guests, &s->directory, s->env->rank - 1);
    }
    return COH_OK;
}

bool coh_sh_poll_moves(coh_shard_t *s)
{
    bool needs_flush;
    bool did = coh_moves_poll(s->moves);
    if (coh_moves_err(s->moves) != COH_OK) {
        coh_sh_fail(
            s,
            "an account that is to move cannot be read: %s; restore this rank's directory from a "
            "backup",
            coh_err_str(coh_moves_err(s->moves)));
        return true;
    }
    if (coh_moves_is_waiting(s->moves, &needs_flush) && !coh_flush_is_running(s->flush) &&
        !s->flush_wanted) {
        if (needs_flush && s->mark.flushed != s->part.committed) {
            coh_sh_start_flush(s);
        } else if (coh_moves_go(s->moves) != COH_OK) {
            coh_sh_fail(s, "MIGRATE of another shard cannot be used");
        }
        did = true;
    }
    if (coh_moves_has_leftovers(s->moves) && !s->executing && s->reads_outstanding == 0 &&
        coh_mv_loads_outstanding(s->mv) == 0 && coh_reads_is_idle(s->reads) &&
        coh_queries_is_idle(s->queries)) {
        coh_moves_drop(s->moves, s->mv);
        did = true;
    }
    return did;
}
