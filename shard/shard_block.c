#include "shard/shard_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "common/base/alloc.h"

/* Gas of reading something for the first time in a transaction (EIP-2929). */
#define TOUCH_GAS UINT64_C(2100)

static coh_err_t give_to_executor(coh_shard_t *s, uint32_t src, coh_msg_t const *m)
{
    switch (m->id) {
    case COH_MSG_PUBLISH: return coh_executor_on_publish(s->ex, src, &m->u.publish);
    case COH_MSG_READ: return coh_executor_on_read(s->ex, src, &m->u.read);
    case COH_MSG_VALUE: return coh_executor_on_value(s->ex, &m->u.value);
    case COH_MSG_RETRACT: return coh_executor_on_retract(s->ex, &m->u.retract);
    default: return COH_EPROTO;
    }
}

/* Entries that a block may be expected to need: sender and receiver of each transaction, the coinbase, and what contracts touch, of which a
   quarter is enough for most: more spills over. */
static size_t expected_entries(coh_shard_t const *s, coh_msg_block_t const *m)
{
    size_t plain   = 2 * (size_t)m->tx_cnt + 2;
    size_t touched = m->fees_exact ? (size_t)COH_MIN(m->gas_limit / TOUCH_GAS,
                                                     s->config->state_cache_entries / 4)
                                   : 0;
    return COH_MIN(plain + touched, s->config->state_cache_entries);
}

uint64_t coh_sh_since_last(coh_shard_t const *s, coh_metric_id_t id, uint64_t *told)
{
    uint64_t before = *told;
    *told           = coh_metric_get(s->env->metrics, id);
    return *told - before;
}

bool coh_sh_try_begin(coh_shard_t *s)
{
    coh_kept_t *k = s->blocks.first;
    if (s->executing || k == NULL || k->block != s->part.committed + s->part.cnt + 1) {
        return false;
    }
    coh_msg_t m;
    coh_kept_open(k, s->kept_reader, &m);
    if (!coh_mv_block_begin(s->mv, m.u.block.tx_cnt, expected_entries(s, &m.u.block))) {
        if (coh_mv_dirty_cnt(s->mv) != 0) {
            coh_sh_start_flush(s);
        }
        return false;
    }
    (void)coh_kept_pop(&s->blocks);
    coh_codes_trim(s->codes);
    (void)coh_sh_since_last(s, COH_M_executor_incarnation, &s->told_executions);
    (void)coh_sh_since_last(s, COH_M_mvstore_retraction, &s->told_retractions);
    (void)coh_sh_since_last(s, COH_M_executor_cpu, &s->told_cpu_ns);
    coh_rec_block_tx_t only;
    coh_err_t rc = coh_sh_expand_restore(s, &m.u.block, &only);
    if (rc == COH_OK) {
        rc = coh_executor_begin(s->ex, &m.u.block, ++s->exec_serial);
    }
    if (rc != COH_OK) {
        coh_sh_fail(s,
                    "BLOCK %" PRIu64 " from the coordinator cannot be used: %s",
                    k->block,
                    coh_err_str(rc));
        coh_kept_free(k);
        return true;
    }
    s->executing     = true;
    s->exec_since_us = s->env->mono_us(s->env);
    s->exec_block    = k->block;
    s->exec_coinbase = m.u.block.coinbase;
    s->exec_fork     = (coh_fork_t)m.u.block.fork;
    s->wave          = 0;
    s->reported      = false;
    coh_kept_free(k);

    coh_kept_list_t early;
    coh_kept_init(&early);
    coh_kept_move(&early, &s->early, s->exec_block, s->attempt);
    while (s->state != COH_SH_FAILED && (k = coh_kept_pop(&early)) != NULL) {
        coh_kept_open(k, s->kept_reader, &m);
        rc = give_to_executor(s, k->src, &m);
        if (rc != COH_OK) {
            coh_sh_fail(s,
                        "%s of block %" PRIu64 " from rank %u cannot be used: %s",
                        coh_wire_msg_name(m.id),
                        k->block,
                        k->src,
                        coh_err_str(rc));
        }
        coh_kept_free(k);
    }
    coh_kept_fini(&early);
    return true;
}

coh_err_t coh_sh_on_block(coh_shard_t *s, coh_msg_block_t const *m)
{
    uint64_t expected = s->part.committed + s->part.cnt + s->executing + 1;
    for (coh_kept_t *k = s->blocks.first; k != NULL; k = k->next) {
        expected++;
    }
    if (s->state != COH_SH_RUNNING || m->number != expected || m->attempt != s->attempt ||
        m->fork >= COH_FORK_CNT || m->tx_cnt > s->config->block_tx_max + COH_STEP_CNT_MAX ||
        m->txs.cnt > m->tx_cnt) {
        return COH_EPROTO;
    }
    coh_kept_t *k = coh_kept_add(&s->blocks, 0, m->number, m->attempt);
    coh_wire_put_block(&k->frame, m);
    (void)coh_sh_try_begin(s);
    return COH_OK;
}

coh_err_t coh_sh_on_shard_message(coh_shard_t *s,
                                  uint32_t src,
                                  coh_msg_t const *m,
                                  uint64_t block,
                                  uint32_t attempt)
{
    if (src == 0 || src == s->env->rank) {
        return COH_EPROTO;
    }
    if (attempt < s->attempt) {
        return COH_OK;
    }
    if (attempt == s->attempt && s->executing && block == s->exec_block) {
        return give_to_executor(s, src, m);
    }
    uint64_t begun = s->part.committed + s->part.cnt + s->executing;
    if (attempt == s->attempt && block <= begun) {
        return COH_EPROTO; /* a settled block has no messages under way */
    }
    coh_kept_t *k = coh_kept_add(&s->early, src, block, attempt);
    switch (m->id) {
    case COH_MSG_PUBLISH: coh_wire_put_publish(&k->frame, &m->u.publish); break;
    case COH_MSG_READ: coh_wire_put_read(&k->frame, &m->u.read); break;
    case COH_MSG_VALUE: coh_wire_put_value(&k->frame, &m->u.value); break;
    default: coh_wire_put_retract(&k->frame, &m->u.retract); break;
    }
    return COH_OK;
}

bool coh_sh_report_if_idle(coh_shard_t *s)
{
    if (!s->executing || !coh_executor_is_idle(s->ex)) {
        return false;
    }
    uint64_t sent     = coh_executor_sent(s->ex);
    uint64_t received = coh_executor_received(s->ex);
    if (s->reported && s->reported_sent == sent && s->reported_received == received) {
        return false;
    }
    coh_rec_digest_t *effects = coh_calloc(s->env->rank_cnt - 1, sizeof(*effects));
    for (uint32_t r = 1; r < s->env->rank_cnt; r++) {
        effects[r - 1].effects = coh_executor_effects_to(s->ex, r);
    }
    coh_msg_idle_t m = {
        .block = s->exec_block, .wave = s->wave, .sent = sent, .received = received};
    m.effects.v   = effects;
    m.effects.cnt = s->env->rank_cnt - 1;
    coh_executor_sums(s->ex, &m.gas_used, &m.blob_gas, &m.tips);
    coh_wire_put_idle(coh_sh_to_coordinator(s), &m);
    free(effects);
    s->reported          = true;
    s->reported_sent     = sent;
    s->reported_received = received;
    return true;
}

coh_err_t coh_sh_on_wave(coh_shard_t *s, coh_msg_wave_t const *m)
{
    if (!s->executing || m->block != s->exec_block || m->wave <= s->wave) {
        return COH_EPROTO;
    }
    s->wave     = m->wave;
    s->reported = false;
    return COH_OK;
}

void coh_sh_end_executing(coh_shard_t *s)
{
    s->executing = false;
    s->exec_us += s->env->mono_us(s->env) - s->exec_since_us;
}

uint64_t coh_sh_executing_us(coh_shard_t const *s, uint64_t now_us)
{
    return s->exec_us + (s->executing ? now_us - s->exec_since_us : 0);
}
