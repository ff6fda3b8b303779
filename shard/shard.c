#include "shard/shard_private.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/node/version.h"

#define STATS_US UINT64_C(1000000)
/* Every so many pieces of work, of which each is about a millisecond, a worker begins with a slice of a call. */
#define CALL_TURN 8u

static char const *const state_names[] =
    {"new", "waiting", "recovering", "running", "flushing", "stopped", "failed"};

static coh_shard_t *shard_of(coh_node_t *node) { return (coh_shard_t *)node; }

static void recovered_one(void *arg)
{
    coh_shard_t *s = arg;
    s->env->wake_node(s->env);
}

static bool poll_tries(coh_shard_t *s)
{
    coh_tries_done_t done;
    bool did = false;
    while (s->state != COH_SH_FAILED && coh_tries_poll(s->tries, &done)) {
        did = true;
        if (done.kind == COH_TRIES_PROVED) {
            coh_sh_send_proof(s, &done);
        } else if (done.kind == COH_TRIES_SUPPOSED) {
            coh_sh_send_supposed(s, &done);
        } else if (done.err != COH_OK) {
            coh_sh_fail(s, "%.*s", (int)done.text.n, (char const *)done.text.p);
        } else {
            switch (done.kind) {
            case COH_TRIES_UPDATED: coh_sh_on_tries_updated(s, &done); break;
            case COH_TRIES_UNDONE: coh_sh_abort_step(s); break;
            case COH_TRIES_PROVED:
            case COH_TRIES_SUPPOSED: break; /* above */
            case COH_TRIES_TAKEN:
                if (s->state == COH_SH_RECOVERING) {
                    coh_sh_on_start_pages(s, &done);
                } else {
                    coh_flush_pages(s->flush, &done.pages, done.ingest);
                }
                break;
            case COH_TRIES_LOADED: coh_sh_on_start_loaded(s); break;
            case COH_TRIES_NODES: coh_sh_on_start_nodes(s, &done); break;
            }
        }
        coh_tries_done_free(&done);
    }
    return did;
}

static coh_err_t on_coordinator_message(coh_shard_t *s, coh_msg_t const *m)
{
    switch (m->id) {
    case COH_MSG_WELCOME: return coh_sh_on_welcome(s, &m->u.welcome);
    case COH_MSG_REFUSE:
        coh_sh_fail(s,
                    "the coordinator refused this shard: %.*s",
                    (int)COH_MIN(m->u.refuse.reason.n, 400),
                    (char const *)m->u.refuse.reason.p);
        return COH_OK;
    case COH_MSG_BLOCK: return coh_sh_on_block(s, &m->u.block);
    case COH_MSG_WAVE: return coh_sh_on_wave(s, &m->u.wave);
    case COH_MSG_PREPARE: return coh_sh_on_prepare(s, &m->u.prepare);
    case COH_MSG_COMMIT: return coh_sh_on_commit(s, &m->u.commit);
    case COH_MSG_ABORT: return coh_sh_on_abort(s, &m->u.abort);
    case COH_MSG_QUERY: return coh_queries_add(s->queries, &m->u.query);
    case COH_MSG_CALL:
        return s->state == COH_SH_RUNNING ? coh_callq_add(s->calls, &m->u.call) : COH_EPROTO;
    case COH_MSG_PROVE: return coh_sh_on_prove(s, &m->u.prove);
    case COH_MSG_SUPPOSE: return coh_sh_on_suppose(s, &m->u.suppose);
    case COH_MSG_RECOVER: return coh_sh_on_recover(s, &m->u.recover);
    case COH_MSG_BACKUP: return coh_sh_on_backup(s, &m->u.backup);
    case COH_MSG_DEV: return coh_sh_on_dev(s, &m->u.dev);
    case COH_MSG_MOVE: return coh_sh_on_move(s, &m->u.move);
    case COH_MSG_MOVE_END: return coh_sh_on_move_end(s, &m->u.move_end);
    case COH_MSG_STOP: return coh_sh_on_stop(s);
    default: return COH_EPROTO;
    }
}

static coh_err_t on_message(coh_shard_t *s, uint32_t src, coh_msg_t const *m)
{
    switch (m->id) {
    case COH_MSG_PUBLISH:
        return coh_sh_on_shard_message(s, src, m, m->u.publish.block, m->u.publish.attempt);
    case COH_MSG_READ:
        return coh_sh_on_shard_message(s, src, m, m->u.read.block, m->u.read.attempt);
    case COH_MSG_VALUE:
        return coh_sh_on_shard_message(s, src, m, m->u.value.block, m->u.value.attempt);
    case COH_MSG_STATE: return coh_callq_on_state(s->calls, src, &m->u.state);
    case COH_MSG_READ_STATE: return coh_sh_on_read_state(s, src, &m->u.read_state);
    case COH_MSG_CHANGES: return coh_sh_on_changes(s, src, &m->u.changes);
    case COH_MSG_MIGRATE:
        return s->state == COH_SH_RUNNING ? coh_moves_on_migrate(s->moves, src, &m->u.migrate)
                                          : COH_EPROTO;
    case COH_MSG_MIGRATED:
        return s->state == COH_SH_RUNNING ? coh_moves_on_migrated(s->moves, src, &m->u.migrated)
                                          : COH_EPROTO;
    case COH_MSG_RETRACT:
        return coh_sh_on_shard_message(s, src, m, m->u.retract.block, m->u.retract.attempt);
    default: return src == 0 ? on_coordinator_message(s, m) : COH_EPROTO;
    }
}

static void shard_on_frame(coh_node_t *node, uint32_t src, coh_bytes_t frame)
{
    coh_shard_t *s = shard_of(node);
    if (s->state == COH_SH_FAILED) {
        return;
    }
    coh_envelope_t envelope;
    coh_err_t rc = coh_wire_reader_begin(s->reader, frame, &envelope);
    if (rc == COH_OK && envelope.sender != src) {
        rc = COH_EPROTO;
    }
    if (rc != COH_OK) {
        coh_sh_fail(s, "a frame from rank %u cannot be used: %s", src, coh_err_str(rc));
        return;
    }
    coh_msg_t m;
    while (s->state != COH_SH_FAILED && (rc = coh_wire_reader_next(s->reader, &m)) == COH_OK) {
        rc = on_message(s, src, &m);
        if (rc != COH_OK) {
            coh_sh_fail(s,
                        "%s from rank %u cannot be used: %s",
                        coh_wire_msg_name(m.id),
                        src,
                        coh_err_str(rc));
        }
    }
    if (rc != COH_OK && rc != COH_ENOTFOUND) {
        coh_sh_fail(s, "a message from rank %u cannot be decoded: %s", src, coh_err_str(rc));
    }
}

static void shard_on_disk_done(coh_node_t *node, coh_disk_req_t *req)
{
    coh_shard_t *s = shard_of(node);
    if (req->tag == COH_SH_TAG_READS) {
        coh_err_t rc = coh_reads_on_disk(s->reads, req);
        coh_disk_req_free(req);
        if (rc != COH_OK) {
            coh_sh_fail(s,
                        "state cannot be read from disk: %s; if it is damaged, restore this rank's "
                        "directory from a backup",
                        coh_err_str(rc));
        }
        return;
    }
    if (req->tag == COH_SH_TAG_BACKUP) {
        coh_sh_on_backup_done(s, req);
        coh_disk_req_free(req);
        return;
    }
    if (req->kind != COH_DISK_READ) {
        /* Flushes and moves are handed out by their own modules. */
        s->writes_outstanding -= req->tag != COH_SH_TAG_FLUSH && req->tag != COH_SH_TAG_MOVE;
    }
    bool ok = req->err == COH_OK;
    switch (req->tag) {
    case COH_SH_TAG_LOAD: coh_sh_on_loads(s, req); break;
    case COH_SH_TAG_LOAD_CODE: coh_sh_on_codes_loaded(s, req); break;
    case COH_SH_TAG_REDO: coh_sh_on_redo_written(s, req); break;
    case COH_SH_TAG_DROP:
        if (ok) {
            coh_sh_abort_step(s);
        } else {
            coh_sh_fail(
                s, "redo records of an aborted block cannot be deleted: %s", coh_err_str(req->err));
        }
        break;
    case COH_SH_TAG_FLUSH:
        if (ok) {
            coh_flush_on_done(s->flush, &s->mark);
            if (!coh_flush_is_running(s->flush)) {
                coh_tries_written(s->tries);
            }
        } else {
            coh_sh_fail(
                s, "changed state cannot be written to the flat tables: %s", coh_err_str(req->err));
        }
        break;
    case COH_SH_TAG_MOVE:
        coh_moves_on_disk(s->moves, req);
        if (!ok) {
            coh_sh_fail(s, "moved accounts cannot be written: %s", coh_err_str(req->err));
        }
        break;
    case COH_SH_TAG_LOADED:
    case COH_SH_TAG_PAGES:
    case COH_SH_TAG_RECOVERY_MARK: coh_sh_on_start_written(s, req); break;
    default: COH_ASSERT(false); /* no other tag is handed out */
    }
    coh_disk_req_free(req);
}

static void send_stats(coh_shard_t *s)
{
    coh_rec_figure_t figures[COH_METRIC_CNT];
    for (int i = 0; i < COH_METRIC_CNT; i++) {
        figures[i].v = coh_metric_get(s->env->metrics, (coh_metric_id_t)i);
    }
    coh_msg_stats_t m = {0};
    m.figures.v       = figures;
    m.figures.cnt     = COH_METRIC_CNT;
    coh_wire_put_stats(coh_sh_to_coordinator(s), &m);
}

static bool shard_on_tick(coh_node_t *node)
{
    coh_shard_t *s = shard_of(node);
    bool did       = false;
    uint64_t now   = s->env->mono_us(s->env);
    if (s->state == COH_SH_NEW) {
        coh_sh_send_hello(s);
        did = true;
    }
    if (s->state == COH_SH_FAILED || s->state == COH_SH_STOPPED) {
        return did;
    }
    if (coh_mv_is_exhausted(s->mv)) {
        coh_sh_fail(s,
                    "a block needs more than state-cache-entries (%" PRIu64
                    ") and %zu entries of memory more: raise it",
                    s->config->state_cache_entries,
                    COH_MV_SPILL_MAX);
        return true;
    }
    coh_sh_finish_queries(s);
    coh_sh_request_loads(s);
    if (s->executing) {
        did = coh_executor_drain(s->ex) != 0 || did;
        did = coh_sh_report_if_idle(s) || did;
    } else {
        did = coh_sh_try_begin(s) || did;
    }
    while (coh_sh_send_recovered(s)) {
        did = true;
    }
    coh_queries_poll(s->queries);
    coh_sh_request_loads(s);
    did = coh_callq_poll(s->calls) || did;
    did = coh_reads_poll(s->reads) || did;
    did = poll_tries(s) || did;
    if (s->state == COH_SH_RUNNING) {
        coh_sh_maybe_flush(s, now); /* poll_flush begins it */
    }
    did = coh_sh_poll_flush(s) || did;
    did = coh_sh_poll_moves(s) || did;
    if (s->state == COH_SH_FLUSHING) {
        did = coh_sh_poll_stop(s) || did;
    }
    if (now - s->stats_us >= STATS_US) {
        s->stats_us = now;
        send_stats(s);
    }
    s->env->due_us = COH_MIN(s->env->due_us, s->stats_us + STATS_US);
    return did;
}

static bool shard_work(coh_node_t *node, uint32_t worker)
{
    coh_shard_t *s = shard_of(node);
    uint32_t turn  = s->turns[worker].cnt++;
    /* Calls get a slice now and then, however much there is to do, and half of what blocks leave. */
    if (turn % CALL_TURN == 0 && coh_callq_work(s->calls)) {
        return true;
    }
    /* What blocks wait for comes first. */
    if (coh_tries_work(s->tries) || coh_executor_work(s->ex, worker) || coh_flush_work(s->flush) ||
        coh_moves_work(s->moves)) {
        return true;
    }
    return turn % 2 == 0 ? coh_callq_work(s->calls) || coh_recoverq_work(s->recoverq)
                         : coh_recoverq_work(s->recoverq) || coh_callq_work(s->calls);
}

/* A shard ends when the coordinator says so: a signal reaches all ranks, and rank 0 sees to the rest. */
static void shard_stop(coh_node_t *node) { (void)node; }

static bool shard_finished(coh_node_t const *node)
{
    coh_shard_t const *s = (coh_shard_t const *)node;
    return s->state == COH_SH_STOPPED || s->state == COH_SH_FAILED;
}

static char const *shard_failed(coh_node_t const *node)
{
    coh_shard_t const *s = (coh_shard_t const *)node;
    return s->state == COH_SH_FAILED ? (char const *)s->fail_text.p : NULL;
}

static void shard_free(coh_node_t *node)
{
    coh_shard_t *s = shard_of(node);
    coh_kept_fini(&s->blocks);
    coh_kept_fini(&s->early);
    coh_kept_fini(&s->hosts);
    coh_guests_fini(&s->guests);
    coh_directory_free(&s->directory);
    coh_kv_batch_free(&s->guest_notes);
    for (uint32_t i = 0; i < COH_PARTICIPANT_WINDOW; i++) {
        coh_mv_diff_free(&s->slots[i].diff);
        free(s->slots[i].trail);
        coh_guest_changes_free(&s->slots[i].guests);
        free(s->slots[i].codes.v);
        coh_buf_free(&s->slots[i].nodes);
        coh_buf_free(&s->slots[i].vote);
    }
    free(s->unwritten.v);
    coh_executor_free(s->ex);
    coh_flush_free(s->flush);
    coh_tries_free(s->tries);
    coh_queries_free(s->queries);
    coh_callq_free(s->calls);
    free(s->turns);
    coh_reads_free(s->reads);
    coh_moves_free(s->moves);
    coh_usage_free(s->usage);
    coh_recoverq_free(s->recoverq);
    coh_codes_free(s->codes);
    coh_mvstore_free(s->mv);
    coh_past_free(s->past);
    free(s->snapshots);
    coh_buf_free(&s->patch);
    coh_wire_reader_free(s->reader);
    coh_wire_reader_free(s->kept_reader);
    coh_buf_free(&s->fail_text);
    free(s);
}

static coh_node_ops_t const shard_ops = {.on_frame     = shard_on_frame,
                                         .on_disk_done = shard_on_disk_done,
                                         .on_tick      = shard_on_tick,
                                         .work         = shard_work,
                                         .stop         = shard_stop,
                                         .finished     = shard_finished,
                                         .failed       = shard_failed,
                                         .free         = shard_free};

coh_err_t coh_shard_new(coh_shard_t **out,
                        coh_config_t const *config,
                        coh_genesis_t const *genesis,
                        coh_env_t *env,
                        coh_kv_t *kv,
                        uint32_t worker_cnt,
                        coh_buf_t *err_text)
{
    if (config->state_cache_entries < 2 * config->block_tx_max + 2) {
        coh_buf_printf(err_text,
                       "state-cache-entries (%" PRIu64
                       ") must be at least 2 * block-tx-max + 2 (%" PRIu64
                       "): raise it or lower block-tx-max",
                       config->state_cache_entries,
                       2 * config->block_tx_max + 2);
        return COH_EINVAL;
    }
    coh_sched_kind_t scheduler;
    if (coh_sched_kind_parse(&scheduler, config->shard_scheduler) != COH_OK) {
        coh_buf_printf(err_text,
                       "shard-scheduler: \"%s\" is neither optimistic, locking nor sequential",
                       config->shard_scheduler);
        return COH_EINVAL;
    }
    coh_recovery_t found;
    coh_err_t rc;
    COH_TRY(coh_recovery_scan(kv, &found, err_text));
    coh_shard_t *s = coh_calloc(1, sizeof(*s));
    s->node.ops    = &shard_ops;
    s->config      = config;
    s->genesis     = genesis;
    s->env         = env;
    s->kv          = kv;
    s->found       = found;
    s->mark        = found.mark;
    coh_kept_init(&s->blocks);
    coh_kept_init(&s->early);
    coh_kept_init(&s->hosts);
    coh_kv_batch_init(&s->guest_notes);
    uint64_t seed = coh_mix64(env->unix_us(env)) ^ coh_mix64(env->mono_us(env) + env->rank);
    s->mv =
        coh_mvstore_new(config->state_cache_entries, seed, env->rank, env->rank_cnt, env->metrics);
    s->past = coh_past_new(config->state_past_blocks, config->state_past_bytes, coh_mix64(seed));
    coh_mv_set_past(s->mv, s->past);
    if (env->peek != NULL) {
        coh_mv_set_source(s->mv, coh_sh_read_at_once, s);
    }
    if (config->node_dev) {
        s->snapshots = coh_calloc(1, sizeof(*s->snapshots));
    }
    s->codes = coh_codes_new(config->state_code_cache_bytes);
    if (env->peek != NULL) {
        coh_codes_set_source(s->codes, coh_sh_read_code_at_once, s);
    }
    s->ex = coh_executor_new(s->mv, s->codes, env, &s->directory, worker_cnt, scheduler);
    if (config->node_dev) {
        coh_executor_allow_any_sender(s->ex);
    }
    s->flush   = coh_flush_new(s->mv, s->codes, env);
    s->queries = coh_queries_new(s->mv, s->past, s->codes, env);
    s->reads   = coh_reads_new(s->mv, s->past, s->codes, env, COH_SH_TAG_READS);
    s->usage   = strcmp(config->placement_policy, "affinity") == 0
                     ? coh_usage_new(coh_mix64(seed + 2))
                     : NULL;
    s->moves   = coh_moves_new(
        env, kv, &s->directory, s->past, config->placement_round_bytes, COH_SH_TAG_MOVE);
    s->tries = coh_tries_new(kv,
                             env,
                             &(coh_tries_limits_t){.cache_bytes    = config->state_trie_cache_bytes,
                                                   .history_blocks = config->state_history_blocks,
                                                   .history_bytes  = config->state_history_bytes,
                                                   .root_every     = config->block_root_every},
                             coh_mix64(seed));
    s->calls = coh_callq_new(config, env, &s->directory, s->past, s->reads, coh_mix64(seed + 1));
    s->turns = aligned_alloc(COH_CACHE_LINE, worker_cnt * sizeof(*s->turns));
    COH_ASSERT(s->turns != NULL);
    memset(s->turns, 0, worker_cnt * sizeof(*s->turns));
    s->recoverq = coh_recoverq_new(config->client_inflight_tx_max, env->metrics, recovered_one, s);
    s->reader   = coh_wire_reader_new();
    s->kept_reader = coh_wire_reader_new();
    s->flush_us    = env->mono_us(env);
    rc             = coh_moves_scan(s->moves);
    if (rc != COH_OK) {
        coh_buf_printf(err_text,
                       "the note of accounts that moved (META node/move) cannot be used: %s; "
                       "restore this rank's directory from a backup",
                       coh_err_str(rc));
        shard_free(&s->node);
        return rc;
    }
    *out = s;
    return COH_OK;
}

coh_node_t *coh_shard_node(coh_shard_t *s) { return &s->node; }

bool coh_shard_is_ready(coh_shard_t const *s) { return s->state == COH_SH_RUNNING; }

void coh_shard_status_json(coh_shard_t *s, coh_buf_t *out)
{
    json_t *metrics = json_object();
    for (int i = 0; i < COH_METRIC_CNT; i++) {
        (void)json_object_set_new(
            metrics,
            coh_metric_name((coh_metric_id_t)i),
            json_integer((json_int_t)coh_metric_get(s->env->metrics, (coh_metric_id_t)i)));
    }
    json_t *root = json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o}",
                             "version",
                             COH_VERSION,
                             "role",
                             "shard",
                             "rank",
                             (json_int_t)s->env->rank,
                             "state",
                             state_names[s->state],
                             "committed",
                             (json_int_t)s->part.committed,
                             "undecided",
                             (json_int_t)s->part.cnt,
                             "flushed",
                             (json_int_t)s->mark.flushed,
                             "entries",
                             (json_int_t)coh_mv_entry_cnt(s->mv),
                             "dirty",
                             (json_int_t)coh_mv_dirty_cnt(s->mv),
                             "metrics",
                             metrics);
    char *text   = json_dumps(root, JSON_INDENT(2));
    COH_ASSERT(text != NULL);
    coh_buf_put(out, text, strlen(text));
    free(text);
    json_decref(root);
}
