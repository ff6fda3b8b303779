#include "shard/shard_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/obs/log.h"

static void send_ack(coh_shard_t *s, uint64_t block, bool aborted)
{
    coh_wire_put_ack(coh_sh_to_coordinator(s),
                     &(coh_msg_ack_t){.block = block, .aborted = aborted});
}

static void send_no(coh_shard_t *s, uint64_t block, coh_abort_t reason)
{
    COH_LOG_WRN(
        "participant", "vote no", "block=%" PRIu64 " reason=\"%s\"", block, coh_abort_str(reason));
    coh_metric_add(s->env->metrics, COH_M_participant_vote_no, 1);
    coh_wire_put_vote(coh_sh_to_coordinator(s),
                      &(coh_msg_vote_t){.block = block, .reason = reason});
}

static coh_sh_slot_t *slot_of(coh_shard_t *s, uint64_t block)
{
    return &s->slots[block % COH_PARTICIPANT_WINDOW];
}

static void encode_vote(coh_shard_t *s, coh_sh_slot_t *slot, bool has_redo)
{
    coh_msg_vote_t m = {.block = slot->diff.block, .yes = 1, .has_redo = has_redo};
    uint32_t cnt     = 0;
    m.results.v      = coh_executor_results(s->ex, &cnt);
    m.results.cnt    = cnt;
    coh_metric_add(s->env->metrics, COH_M_executor_tx, cnt);
    uint64_t across = 0;
    uint64_t kept   = 0; /* of these, in the block */
    for (uint32_t i = 0; i < cnt; i++) {
        bool is_across = coh_executor_is_across(s->ex, i);
        across += is_across;
        kept += is_across && m.results.v[i].verdict == COH_TX_OK;
    }
    coh_metric_add(s->env->metrics, COH_M_executor_tx_across, across);
    if (s->usage != NULL) {
        coh_usage_add(s->usage, s->ex, m.results.v, cnt, across);
    }
    coh_buf_clear(&slot->vote);
    if (s->env->metrics != NULL) {
        coh_msg_executed_t e = {.block = slot->diff.block, .across_cnt = kept};
        e.executions  = coh_sh_since_last(s, COH_M_executor_incarnation, &s->told_executions);
        e.retractions = coh_sh_since_last(s, COH_M_mvstore_retraction, &s->told_retractions);
        e.cpu_ns      = coh_sh_since_last(s, COH_M_executor_cpu, &s->told_cpu_ns);
        coh_wire_put_executed(&slot->vote, &e);
    }
    coh_wire_put_vote(&slot->vote, &m);
}

static void send_yes(coh_shard_t *s, coh_sh_slot_t *slot)
{
    coh_metric_add(s->env->metrics, COH_M_participant_vote_yes, 1);
    coh_buf_t *out = coh_sh_to_coordinator(s);
    coh_buf_put(out, slot->nodes.p, slot->nodes.n);
    coh_buf_put(out, slot->vote.p, slot->vote.n);
    coh_buf_free(&slot->nodes);
    coh_buf_free(&slot->vote);
}

static void put_trail(coh_buf_t *out, uint64_t block, coh_trail_node_t const *nodes, size_t cnt)
{
    coh_rec_trail_node_t *recs = coh_calloc(cnt + 1, sizeof(*recs));
    for (size_t i = 0; i < cnt; i++) {
        coh_mpt_node_t const *node = &nodes[i].node.node;
        recs[i]                    = (coh_rec_trail_node_t){.tx_idx = nodes[i].tx_idx,
                                                            .bucket = nodes[i].node.bucket,
                                                            .kind   = node->kind,
                                                            .node   = coh_bytes(node->b, node->n)};
    }
    coh_msg_trail_t m = {.block = block};
    m.nodes.v         = recs;
    m.nodes.cnt       = (uint32_t)cnt;
    coh_wire_put_trail(out, &m);
    free(recs);
}

/* Whether the executing block, or the one that has just settled, gets a state root of its own. */
static bool has_root(coh_shard_t const *s, uint64_t block)
{
    return s->exec_fork < COH_FORK_BYZANTIUM || block % s->config->block_root_every == 0;
}

/* Whether the settled block of slot has a redo record. Before Byzantium it may have changed back. What hosts will say of it is not known when it settles. */
static bool is_changed(coh_shard_t const *s, coh_sh_slot_t const *slot)
{
    return slot->diff.cnt != 0 || slot->trail_cnt != 0 || s->guests.host_cnt != 0;
}

/* Lists what the block changed here, with room for guests'. */
static coh_mv_item_t *list_items(coh_shard_t *s, coh_sh_slot_t const *slot)
{
    coh_mv_diff_t const *diff = &slot->diff;
    coh_mv_item_t *items      = coh_calloc(diff->cnt + slot->guests.cnt + 1, sizeof(*items));
    for (size_t i = 0; i < diff->cnt; i++) {
        items[i] = (coh_mv_item_t){.key   = *coh_mv_entry_key(s->mv, diff->v[i].entry),
                                   .value = diff->v[i].value,
                                   .wiped = diff->v[i].wiped};
    }
    return items;
}

/* Puts what transactions left in guests between what they left here. */
static void merge_trails(coh_shard_t *s, coh_sh_slot_t *slot)
{
    coh_guest_changes_t *guests = &slot->guests;
    size_t own                  = coh_guests_keep_steps(&s->guests, slot->trail, slot->trail_cnt);
    coh_mv_step_t *all          = coh_calloc(own + guests->trail_cnt + 1, sizeof(*all));
    if (own != 0) {
        memcpy(all, slot->trail, own * sizeof(*all));
    }
    if (guests->trail_cnt != 0) {
        memcpy(all + own, guests->trail, guests->trail_cnt * sizeof(*all));
    }
    free(slot->trail);
    slot->trail     = all;
    slot->trail_cnt = own + guests->trail_cnt;
    coh_mv_sort_steps(slot->trail, slot->trail_cnt);
}

/* Gives the block's changes to the tries. */
static void update_tries(coh_shard_t *s, coh_sh_slot_t *slot)
{
    coh_guest_changes_t *guests = &slot->guests;
    coh_mv_item_t *items        = list_items(s, slot);
    size_t cnt                  = coh_guests_keep(&s->guests, items, slot->diff.cnt);
    if (guests->cnt != 0) {
        memcpy(items + cnt, guests->items, guests->cnt * sizeof(*items));
        cnt += guests->cnt;
    }
    if (s->directory.override_cnt != 0 && slot->trail_cnt + guests->trail_cnt != 0) {
        merge_trails(s, slot);
    }
    if (has_root(s, slot->diff.block)) {
        coh_tries_update(s->tries, slot->diff.block, items, cnt, slot->trail, slot->trail_cnt);
        slot->trail     = NULL;
        slot->trail_cnt = 0;
    } else {
        coh_tries_defer(s->tries, slot->diff.block, items, cnt);
    }
}

/* Tells the owners of our guests' buckets what the block changed in them. */
static void send_changes(coh_shard_t *s, coh_sh_slot_t const *slot)
{
    coh_mv_item_t *items = list_items(s, slot);
    for (uint32_t r = 1; r < s->env->rank_cnt; r++) {
        if (s->guests.is_owner[r - 1] != 0) {
            coh_guests_put_changes(&s->guests,
                                   s->env->outbox(s->env, r),
                                   r - 1,
                                   slot->diff.block,
                                   slot->attempt,
                                   items,
                                   slot->diff.cnt,
                                   slot->trail,
                                   slot->trail_cnt);
            coh_metric_add(s->env->metrics, COH_M_net_message_sent, 1);
        }
    }
    free(items);
}

/* Makes the block durable and its root: what it changed here and in guests is known. */
static void write_block(coh_shard_t *s, coh_sh_slot_t *slot)
{
    slot->waits_for_hosts = false;
    bool writes_redo      = !slot->redo_done;
    if (writes_redo) {
        coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, COH_SH_TAG_REDO, slot->serial);
        slot->redo_bytes    = coh_store_put_redo(&req->batch,
                                              s->mv,
                                              &slot->diff,
                                              slot->guests.items,
                                              slot->guests.cnt,
                                              s->codes,
                                              &slot->codes);
        coh_metric_add(s->env->metrics, COH_M_participant_redo, slot->redo_bytes);
        coh_sh_hand_out(s, req);
    }
    update_tries(s, slot);
}

/* Goes on with a prepared block if all its hosts' CHANGES are here. COH_EPROTO: they do not fit */
static coh_err_t take_changes(coh_shard_t *s, coh_sh_slot_t *slot)
{
    uint32_t cnt = 0;
    for (coh_kept_t *k = s->hosts.first; k != NULL; k = k->next) {
        cnt += k->block == slot->diff.block && k->attempt == slot->attempt;
    }
    if (!slot->waits_for_hosts || cnt < s->guests.host_cnt) {
        return COH_OK;
    }
    coh_kept_list_t changes;
    coh_kept_init(&changes);
    coh_kept_move(&changes, &s->hosts, slot->diff.block, slot->attempt);
    coh_err_t rc = COH_OK;
    coh_kept_t *k;
    while (rc == COH_OK && (k = coh_kept_pop(&changes)) != NULL) {
        coh_msg_t m;
        coh_kept_open(k, s->kept_reader, &m);
        rc = coh_guests_take_changes(&s->guests, &slot->guests, k->src - 1, &m.u.changes);
        coh_kept_free(k);
    }
    coh_kept_fini(&changes);
    if (rc == COH_OK) {
        write_block(s, slot);
    }
    return rc;
}

coh_err_t coh_sh_on_changes(coh_shard_t *s, uint32_t src, coh_msg_changes_t const *m)
{
    if (src == 0 || src == s->env->rank || s->state != COH_SH_RUNNING ||
        s->guests.is_host[src - 1] == 0) {
        return COH_EPROTO;
    }
    /* A block has the attempt in which it began, also when one above it is aborted. */
    coh_sh_slot_t *slot = slot_of(s, m->block);
    bool is_prepared = m->block > s->part.committed && m->block - s->part.committed <= s->part.cnt;
    uint32_t attempt = is_prepared ? slot->attempt : s->attempt;
    if (m->attempt < attempt) {
        return COH_OK;
    }
    is_prepared = is_prepared && m->attempt == attempt;
    if (m->block <= s->part.committed || (is_prepared && !slot->waits_for_hosts)) {
        return COH_EPROTO; /* its hosts have spoken */
    }
    for (coh_kept_t *k = s->hosts.first; k != NULL; k = k->next) {
        if (k->src == src && k->block == m->block && k->attempt == m->attempt) {
            return COH_EPROTO;
        }
    }
    coh_kept_t *k = coh_kept_add(&s->hosts, src, m->block, m->attempt);
    coh_wire_put_changes(&k->frame, m);
    return is_prepared ? take_changes(s, slot) : COH_OK;
}

static void do_part(coh_shard_t *s, uint64_t block, coh_part_action_t action, coh_abort_t reason)
{
    coh_sh_slot_t *slot = slot_of(s, block);
    switch (action) {
    case COH_PART_DO_NOTHING: break;
    case COH_PART_DO_WRITE:
        slot->serial          = ++s->serial;
        slot->redo_done       = !is_changed(s, slot);
        slot->redo_ok         = true;
        slot->tries_done      = !has_root(s, block);
        slot->waits_for_hosts = s->guests.host_cnt != 0;
        if (!slot->waits_for_hosts) {
            write_block(s, slot);
        }
        break;
    case COH_PART_DO_VOTE_YES: send_yes(s, slot); break;
    case COH_PART_DO_VOTE_NO: send_no(s, block, reason); break;
    case COH_PART_DO_APPLY:
        coh_mv_commit(s->mv, &slot->diff);
        coh_tries_commit(s->tries, block);
        coh_guests_note(&s->guest_notes, slot->guests.items, slot->guests.cnt);
        coh_guest_changes_free(&slot->guests);
        coh_code_list_move(&s->unwritten, &slot->codes);
        s->redo_bytes += slot->redo_bytes;
        slot->redo_bytes = 0;
        coh_mv_diff_free(&slot->diff);
        send_ack(s, block, false);
        if (s->usage != NULL && block % COH_USAGE_WINDOW == 0) {
            coh_usage_report(s->usage, coh_sh_to_coordinator(s), block);
        }
        break;
    }
}

coh_err_t coh_sh_on_prepare(coh_shard_t *s, coh_msg_prepare_t const *m)
{
    /* Once reported idle, the block stays so: only another shard's message could change it, and settlement excludes those. (A
       query may be loading keys meanwhile: none that the block touched.) */
    if (!s->executing || m->block != s->exec_block || !s->reported ||
        m->effects.cnt != s->env->rank_cnt - 1) {
        return COH_EPROTO;
    }
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    coh_executor_end(s->ex);
    coh_abort_t reason = COH_ABORT_NONE;
    for (uint32_t r = 1; r < s->env->rank_cnt; r++) {
        if (m->effects.v[r - 1].effects != coh_mv_effects_from(s->mv, r)) {
            COH_LOG_ERR("participant", "effects differ", "block=%" PRIu64 " from=%u", m->block, r);
            reason = COH_ABORT_EFFECTS;
        }
    }
    coh_sh_slot_t *slot = slot_of(s, m->block);
    slot->diff.block    = m->block;
    slot->attempt       = s->attempt;
    uint32_t bucket     = coh_directory_bucket(&s->exec_coinbase);
    bool owns = 1 + coh_directory_owner(&s->directory, &s->exec_coinbase, bucket) == s->env->rank;
    coh_addr_t const *coinbase = owns && m->coinbase_paid != 0 ? &s->exec_coinbase : NULL;
    if (s->exec_fork < COH_FORK_BYZANTIUM) {
        slot->trail_cnt = coh_mv_trail(s->mv, &slot->trail);
    }
    coh_mv_settle(s->mv, &slot->diff, coinbase, &m->coinbase_credit);
    coh_sh_end_executing(s);
    slot->settled_us      = s->env->mono_us(s->env);
    slot->settled_exec_us = s->exec_us;
    for (size_t i = 0; i < slot->diff.cnt; i++) {
        if (slot->diff.v[i].new_code) {
            coh_codes_pin(s->codes, &slot->codes, &slot->diff.v[i].value.code_hash);
        }
    }

    coh_part_action_t action;
    bool changed = is_changed(s, slot);
    bool writes  = changed || (has_root(s, m->block) && coh_tries_is_behind(s->tries));
    COH_TRY(coh_participant_on_settled(&s->part, m->block, writes, reason, &action));
    if (reason == COH_ABORT_NONE) {
        encode_vote(s, slot, changed);
    }
    if (s->guests.owner_cnt != 0) {
        send_changes(s, slot);
    }
    do_part(s, m->block, action, reason);
    COH_TRY(take_changes(s, slot));
    coh_metric_add(
        s->env->metrics, COH_M_participant_cpu_prepare, coh_clock_thread_cpu_ns() - start_ns);
    (void)coh_sh_try_begin(s);
    return COH_OK;
}

/* Votes, once the redo record is durable and the tries are updated. */
static void maybe_vote(coh_shard_t *s, uint64_t block)
{
    coh_sh_slot_t const *slot = slot_of(s, block);
    if (slot->redo_done && slot->tries_done) {
        coh_part_action_t action;
        coh_participant_on_written(&s->part, block, slot->redo_ok, &action);
        do_part(s, block, action, COH_ABORT_DISK);
    }
}

void coh_sh_on_redo_written(coh_shard_t *s, coh_disk_req_t const *req)
{
    for (uint32_t i = 0; i < s->part.cnt; i++) {
        uint64_t block      = s->part.committed + 1 + i;
        coh_sh_slot_t *slot = slot_of(s, block);
        if (slot->serial == req->arg) {
            slot->redo_done = true;
            slot->redo_ok   = req->err == COH_OK;
            maybe_vote(s, block);
            return;
        }
    }
}

void coh_sh_on_tries_updated(coh_shard_t *s, coh_tries_done_t const *done)
{
    coh_sh_slot_t *slot = slot_of(s, done->block);
    COH_ASSERT(slot->diff.block == done->block && !slot->tries_done);
    coh_buf_clear(&slot->nodes);
    if (done->trail_cnt != 0) {
        put_trail(&slot->nodes, done->block, done->trail, done->trail_cnt);
    }
    coh_sh_put_nodes(&slot->nodes, done->block, done->nodes, done->node_cnt);
    slot->tries_done = true;
    uint64_t now_us  = s->env->mono_us(s->env);
    coh_metric_observe(s->env->metrics, COH_M_tries_root_latency, now_us - slot->settled_us);
    coh_metric_add(s->env->metrics, COH_M_tries_busy, (now_us - slot->settled_us) * 1000);
    coh_metric_add(s->env->metrics,
                   COH_M_tries_overlap,
                   (coh_sh_executing_us(s, now_us) - slot->settled_exec_us) * 1000);
    maybe_vote(s, done->block);
}

coh_err_t coh_sh_on_commit(coh_shard_t *s, coh_msg_commit_t const *m)
{
    uint64_t start_ns = coh_clock_thread_cpu_ns();
    coh_part_action_t action;
    COH_TRY(coh_participant_on_commit(&s->part, m->block, &action));
    coh_sh_add_hash(s, m->block, &m->hash);
    coh_past_begin(s->past);
    do_part(s, m->block, action, COH_ABORT_NONE);
    coh_metric_add(
        s->env->metrics, COH_M_participant_cpu_prepare, coh_clock_thread_cpu_ns() - start_ns);
    return COH_OK;
}

coh_err_t coh_sh_on_abort(coh_shard_t *s, coh_msg_abort_t const *m)
{
    if (m->attempt <= s->attempt) {
        return COH_EPROTO;
    }
    s->attempt = m->attempt;
    coh_kept_drop(&s->blocks, m->block, m->attempt);
    coh_kept_drop(&s->early, 0, m->attempt);
    coh_kept_drop(&s->hosts, m->block, m->attempt);
    if (s->executing && s->exec_block >= m->block) {
        coh_executor_end(s->ex);
        coh_mv_discard_block(s->mv);
        coh_codes_drop_waiters(s->codes);
        coh_sh_end_executing(s);
    }
    uint32_t prepared  = s->part.cnt;
    uint32_t discarded = 0;
    COH_TRY(coh_participant_on_abort(&s->part, m->block, &discarded));
    coh_mv_diff_t *gone[COH_PARTICIPANT_WINDOW];
    coh_mv_diff_t *stay[COH_PARTICIPANT_WINDOW];
    uint32_t kept = prepared - discarded;
    bool on_disk  = false;
    for (uint32_t i = 0; i < prepared; i++) {
        coh_sh_slot_t *slot = slot_of(s, s->part.committed + 1 + i);
        if (i < kept) {
            stay[i] = &slot->diff;
        } else {
            gone[i - kept] = &slot->diff;
            on_disk        = on_disk || slot->redo_bytes != 0;
        }
    }
    coh_mv_abort(s->mv, gone, discarded, stay, kept);
    /* One further down may come before the last is through: then one ACK answers both. */
    s->aborted = m->block;
    s->abort_waits += coh_tries_abort(s->tries, m->block);
    for (uint32_t i = kept; i < prepared; i++) {
        coh_sh_slot_t *slot = slot_of(s, s->part.committed + 1 + i);
        coh_mv_diff_free(&slot->diff);
        free(slot->trail);
        slot->trail           = NULL;
        slot->trail_cnt       = 0;
        slot->waits_for_hosts = false;
        coh_guest_changes_free(&slot->guests);
        coh_codes_release(s->codes, &slot->codes);
        coh_buf_free(&slot->nodes);
        coh_buf_free(&slot->vote);
        slot->serial     = 0;
        slot->redo_bytes = 0;
    }
    COH_LOG_WRN("participant",
                "aborted",
                "block=%" PRIu64 " attempt=%u discarded=%u",
                m->block,
                m->attempt,
                discarded);
    if (on_disk) {
        /* A later block of the same number may change nothing here and leave no record: this one's must be gone before, for good. */
        coh_disk_req_t *req = coh_disk_req_new(COH_DISK_WRITE_SYNC, COH_SH_TAG_DROP, m->block);
        coh_store_drop_redo(&req->batch, m->block, UINT64_MAX - 1);
        coh_sh_hand_out(s, req);
        s->abort_waits++;
    }
    if (s->abort_waits == 0) {
        send_ack(s, m->block, true);
    }
    return COH_OK;
}

void coh_sh_abort_step(coh_shard_t *s)
{
    COH_ASSERT(s->abort_waits > 0);
    if (--s->abort_waits == 0) {
        send_ack(s, s->aborted, true);
    }
}
