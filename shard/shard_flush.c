#include "shard/shard_private.h"

#include <inttypes.h>

#include "common/obs/log.h"

void coh_sh_start_flush(coh_shard_t *s)
{
    if (!coh_flush_is_running(s->flush) && !s->flush_wanted) {
        s->flush_wanted = true;
        coh_tries_hold(s->tries);
    }
}

bool coh_sh_poll_flush(coh_shard_t *s)
{
    bool did = coh_flush_poll(s->flush, COH_SH_TAG_FLUSH);
    if (s->flush_wanted && coh_tries_is_committed(s->tries)) {
        s->flush_wanted = false;
        coh_tries_take(s->tries);
        coh_flush_begin(s->flush,
                        &(coh_store_mark_t){.rank_cnt = s->env->rank_cnt,
                                            .epoch    = s->directory.epoch,
                                            .flushed  = s->part.committed},
                        &s->unwritten,
                        &s->guest_notes);
        s->redo_bytes = 0;
        s->flush_us   = s->env->mono_us(s->env);
        did           = true;
    }
    return did;
}

void coh_sh_maybe_flush(coh_shard_t *s, uint64_t now_us)
{
    uint64_t due_us =
        s->redo_bytes != 0 ? s->flush_us + s->config->state_flush_seconds * 1000000 : UINT64_MAX;
    bool due = s->redo_bytes >= s->config->state_flush_bytes || now_us >= due_us ||
               coh_mv_dirty_cnt(s->mv) > s->config->state_cache_entries / 2 ||
               coh_tries_is_full(s->tries);
    if (due && !coh_flush_is_running(s->flush) && !coh_moves_is_active(s->moves)) {
        coh_sh_start_flush(s);
    } else if (!due) {
        s->env->due_us = COH_MIN(s->env->due_us, due_us);
    }
}

coh_err_t coh_sh_on_stop(coh_shard_t *s)
{
    if (s->state != COH_SH_RUNNING || s->executing || s->part.cnt != 0) {
        return COH_EPROTO;
    }
    s->state = COH_SH_FLUSHING;
    return COH_OK;
}

bool coh_sh_poll_stop(coh_shard_t *s)
{
    if (coh_flush_is_running(s->flush) || s->flush_wanted || s->writes_outstanding != 0 ||
        coh_moves_is_active(s->moves) || coh_moves_has_leftovers(s->moves)) {
        return false;
    }
    if (s->mark.flushed != s->part.committed) {
        coh_sh_start_flush(s);
        return true;
    }
    coh_wire_put_stopped(coh_sh_to_coordinator(s), &(coh_msg_stopped_t){.head = s->part.committed});
    s->state = COH_SH_STOPPED;
    COH_LOG_INF("shard", "stopped", "head=%" PRIu64, s->part.committed);
    return true;
}
