#include "shard/shard_private.h"

#include <stdlib.h>

#include "common/base/alloc.h"

/* Slots in one PROVE. */
#define PROVE_SLOTS_MAX 1024u

/* ---- proofs, and what if ---- */

coh_err_t coh_sh_on_prove(coh_shard_t *s, coh_msg_prove_t const *m)
{
    if (s->state != COH_SH_RUNNING || m->block > s->part.committed ||
        m->slots.cnt > PROVE_SLOTS_MAX) {
        return COH_EPROTO;
    }
    coh_u256_t slots[PROVE_SLOTS_MAX];
    for (uint32_t i = 0; i < m->slots.cnt; i++) {
        slots[i] = m->slots.v[i].slot;
    }
    coh_tries_prove(s->tries, m->query, m->block, &m->addr, slots, m->slots.cnt);
    return COH_OK;
}

void coh_sh_send_proof(coh_shard_t *s, coh_tries_done_t const *done)
{
    coh_trie_proof_t const *p  = &done->proof;
    coh_rec_slot_proof_t *recs = coh_calloc(p->slot_cnt + 1, sizeof(*recs));
    for (size_t i = 0; i < p->slot_cnt; i++) {
        recs[i] = (coh_rec_slot_proof_t){.nodes = coh_buf_bytes(&p->slots[i].nodes)};
    }
    uint32_t failed   = done->err == COH_OK ? 0 : done->err == COH_ENOTFOUND ? 1 : 2;
    coh_msg_proof_t m = {.query = done->query, .failed = failed, .nodes = coh_buf_bytes(&p->nodes)};
    m.slots.v         = recs;
    m.slots.cnt       = (uint32_t)p->slot_cnt;
    coh_wire_put_proof(coh_sh_to_coordinator(s), &m);
    free(recs);
}

coh_err_t coh_sh_on_suppose(coh_shard_t *s, coh_msg_suppose_t const *m)
{
    size_t cnt = m->accounts.cnt + m->storage.cnt;
    if (s->state != COH_SH_RUNNING || m->block > s->part.committed || cnt > COH_SIM_STATE_MAX) {
        return COH_EPROTO;
    }
    coh_mv_item_t *items = coh_calloc(cnt + 1, sizeof(*items));
    for (uint32_t i = 0; i < m->accounts.cnt; i++) {
        coh_rec_sim_account_t const *a = &m->accounts.v[i];
        items[i]                       = (coh_mv_item_t){.key   = coh_key_account(&a->addr),
                                                         .value = {.word       = a->balance,
                                                                   .nonce      = a->nonce,
                                                                   .code_hash  = a->code_hash,
                                                                   .generation = a->generation,
                                                                   .flags      = a->flags},
                                                         .wiped = a->generation != a->base};
    }
    for (uint32_t i = 0; i < m->storage.cnt; i++) {
        coh_rec_sim_slot_t const *slot = &m->storage.v[i];
        items[m->accounts.cnt + i] =
            (coh_mv_item_t){.key   = coh_key_slot(&slot->addr, slot->generation, &slot->slot),
                            .value = {.word = slot->value}};
    }
    coh_tries_suppose(s->tries, m->query, m->block, items, cnt);
    return COH_OK;
}

void coh_sh_send_supposed(coh_shard_t *s, coh_tries_done_t const *done)
{
    uint32_t failed      = done->err == COH_OK ? 0 : done->err == COH_ENOTFOUND ? 1 : 2;
    coh_msg_supposed_t m = {.query = done->query, .failed = failed};
    coh_rec_node_t *recs = coh_sh_node_recs(done->nodes, done->node_cnt);
    m.nodes.v            = recs;
    m.nodes.cnt          = (uint32_t)done->node_cnt;
    coh_wire_put_supposed(coh_sh_to_coordinator(s), &m);
    free(recs);
}

/* ---- backups ---- */

/* The store is copied as it is after all writes handed out so far. Whatever flush is among those is of committed blocks, which the coordinator's copy has; and of each block that has been voted
   on the redo record is there. */
coh_err_t coh_sh_on_backup(coh_shard_t *s, coh_msg_backup_t const *m)
{
    if (s->state != COH_SH_RUNNING) {
        return COH_EPROTO;
    }
    s->env->disk(s->env,
                 coh_disk_backup_new(COH_DISK_BACKUP, COH_SH_TAG_BACKUP, m->backup, m->path));
    return COH_OK;
}

void coh_sh_on_backup_done(coh_shard_t *s, coh_disk_req_t const *req)
{
    coh_disk_backup_t const *b = req->backup;
    coh_msg_backed_up_t m      = {
             .backup     = req->arg,
             .list       = b->list,
             .file_cnt   = b->file_cnt,
             .file_bytes = b->file_bytes,
    };
    if (req->err != COH_OK) {
        char const *text = coh_err_str(req->err);
        m.failed = b->failed.n != 0 ? coh_buf_bytes(&b->failed) : coh_bytes(text, strlen(text));
    }
    coh_wire_put_backed_up(coh_sh_to_coordinator(s), &m);
}

/* ---- recovery of senders ---- */

coh_err_t coh_sh_on_recover(coh_shard_t *s, coh_msg_recover_t const *m)
{
    coh_recover_rules_t rules = {.check_static = false};
    coh_recover_job_t *job    = coh_recover_job_new(m->txs.cnt, &rules);
    job->tag                  = m->job;
    for (uint32_t i = 0; i < m->txs.cnt; i++) {
        coh_err_t rc = coh_recover_job_add(job, m->txs.v[i].raw);
        if (rc != COH_OK) {
            coh_recover_job_free(job);
            return rc;
        }
    }
    coh_err_t rc = coh_recoverq_push(s->recoverq, job);
    if (rc != COH_OK) {
        coh_recover_job_free(job);
        return rc;
    }
    s->env->wake_workers(s->env);
    return COH_OK;
}

bool coh_sh_send_recovered(coh_shard_t *s)
{
    coh_recover_job_t *job = coh_recoverq_pop(s->recoverq);
    if (job == NULL) {
        return false;
    }
    coh_rec_recovered_tx_t *txs = coh_calloc(job->cnt, sizeof(*txs));
    for (uint32_t i = 0; i < job->cnt; i++) {
        txs[i] = (coh_rec_recovered_tx_t){.err         = (uint32_t)job->results[i].err,
                                          .hash        = job->results[i].hash,
                                          .sender      = job->results[i].sender,
                                          .authorities = job->txs[i].authorities};
    }
    coh_msg_recovered_t m = {.job = job->tag};
    m.txs.v               = txs;
    m.txs.cnt             = job->cnt;
    coh_wire_put_recovered(coh_sh_to_coordinator(s), &m);
    free(txs);
    coh_recover_job_free(job);
    return true;
}

/* ---- state of committed blocks, for other shards ---- */

coh_err_t coh_sh_on_read_state(coh_shard_t *s, uint32_t src, coh_msg_read_state_t const *m)
{
    if (src == 0 || src == s->env->rank || s->state < COH_SH_RECOVERING) {
        return COH_EPROTO;
    }
    uint32_t bucket = coh_directory_bucket(&m->addr);
    bool owned      = 1 + coh_directory_owner(&s->directory, &m->addr, bucket) == s->env->rank ||
                 coh_moves_has(s->moves, &m->addr);
    if (!owned && s->directory.epoch > 1) { /* it was sent before the account moved */
        coh_reads_refuse(s->reads, src, m);
        return COH_OK;
    }
    return coh_reads_on_message(s->reads, src, m, owned);
}
