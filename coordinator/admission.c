#include "coordinator/admission.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

/* A request under way. */
typedef struct {
    coh_admission_done_fn *done;
    void *arg;
    uint64_t tag;
    uint32_t cnt;
    uint32_t piece_cnt;      /* pieces not finished; answered with the last */
    coh_op_submitted_t *txs; /* owned */
    coh_addr_t *senders;     /* owned; zero: not recovered */
} submission_t;

/* Consecutive transactions of a request that are recovered together. */
typedef struct piece {
    coh_admission_t *adm;
    submission_t *sub;
    coh_recover_job_t *job; /* owned; NULL while the queue of our own workers has it */
    size_t bytes;           /* of its transactions */
    bool has_blobs;
    uint32_t *place;      /* owned; of each transaction of the job in the request */
    uint32_t rank;        /* who recovers it */
    uint32_t waiting_cnt; /* transactions whose sender's account is being asked for... */
    uint32_t *waiting;    /* ...owned; indices in the job, ascending */
    bool asked_again;
    coh_fork_t fork;
    struct piece *prev; /* all pieces, to free them */
    struct piece *next;
} piece_t;

struct coh_admission {
    coh_admission_deps_t d;
    coh_recoverq_t *recoverq;
    coh_ids_t remote;      /* pieces at shards */
    uint32_t *outstanding; /* by rank: transactions to be recovered there */
    uint32_t inflight_cnt; /* transactions without a verdict... */
    size_t inflight_bytes; /* ...and their octets */
    piece_t *pieces;
    coh_buf_t raws; /* scratch */
    bool stopped;
};

static void wake_node(void *arg)
{
    coh_env_t *env = arg;
    env->wake_node(env);
}

coh_admission_t *coh_admission_new(coh_admission_deps_t const *deps)
{
    coh_admission_t *adm = coh_calloc(1, sizeof(*adm));
    adm->d               = *deps;
    adm->recoverq =
        coh_recoverq_new(deps->inflight_tx_max, deps->env->metrics, wake_node, deps->env);
    adm->outstanding = coh_calloc(deps->env->rank_cnt, sizeof(*adm->outstanding));
    return adm;
}

/* drop_piece frees p, and returns its submission if that was the last piece. */
static submission_t *drop_piece(coh_admission_t *adm, piece_t *p)
{
    submission_t *sub                                  = p->sub;
    *(p->prev != NULL ? &p->prev->next : &adm->pieces) = p->next;
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
    coh_recover_job_free(p->job);
    free(p->place);
    free(p->waiting);
    free(p);
    return --sub->piece_cnt == 0 ? sub : NULL;
}

static void free_submission(submission_t *sub)
{
    if (sub != NULL) {
        free(sub->txs);
        free(sub->senders);
        free(sub);
    }
}

void coh_admission_free(coh_admission_t *adm)
{
    if (adm == NULL) {
        return;
    }
    coh_recoverq_free(adm->recoverq);
    while (adm->pieces != NULL) {
        free_submission(drop_piece(adm, adm->pieces));
    }
    free(adm->remote.slots);
    free(adm->outstanding);
    coh_buf_free(&adm->raws);
    free(adm);
}

static void answer(coh_admission_t *adm, submission_t *sub)
{
    uint32_t busy    = 0;
    uint32_t refused = 0;
    for (uint32_t i = 0; i < sub->cnt; i++) {
        coh_tx_err_t err = (coh_tx_err_t)sub->txs[i].err;
        bool is_busy = err == COH_TX_BUSY || err == COH_TX_POOL_FULL || err == COH_TX_SENDER_LIMIT;
        busy += is_busy ? 1 : 0;
        refused += err != COH_TX_OK && !is_busy ? 1 : 0;
    }
    coh_metrics_t *m = adm->d.env->metrics;
    coh_metric_add(m, COH_M_gateway_tx_received, sub->cnt);
    coh_metric_add(m, COH_M_gateway_tx_refused, refused);
    coh_metric_add(m, COH_M_gateway_tx_busy, busy);
    coh_op_submit_answer_t msg = {.txs = {.v = sub->txs, .cnt = sub->cnt}};
    sub->done(sub->arg, sub->tag, &msg, sub->senders);
    free_submission(sub);
}

static void finish_piece(coh_admission_t *adm, piece_t *p)
{
    adm->inflight_cnt -= p->job->cnt;
    adm->inflight_bytes -= p->bytes;
    submission_t *sub = drop_piece(adm, p);
    if (sub != NULL) {
        answer(adm, sub);
    }
}

static uint32_t idlest_rank(coh_admission_t const *adm)
{
    uint32_t best = 0;
    for (uint32_t r = 1; r < adm->d.env->rank_cnt; r++) {
        if (adm->outstanding[r] < adm->outstanding[best]) {
            best = r;
        }
    }
    return best;
}

static void send_recover(coh_admission_t *adm, piece_t *p)
{
    coh_recover_job_t *job = p->job;
    coh_buf_clear(&adm->raws);
    coh_rec_raw_tx_t *txs =
        (coh_rec_raw_tx_t *)(void *)coh_buf_extend(&adm->raws, job->cnt * sizeof(*txs));
    for (uint32_t i = 0; i < job->cnt; i++) {
        txs[i].raw = coh_recover_job_raw(job, i);
    }
    coh_msg_recover_t msg = {.job = coh_ids_put(&adm->remote, p),
                             .txs = {.v = txs, .cnt = job->cnt}};
    coh_wire_put_recover(adm->d.outbox(adm->d.outbox_arg, p->rank - 1), &msg);
}

static void start_piece(coh_admission_t *adm, piece_t *p)
{
    p->rank = p->has_blobs ? 0 : idlest_rank(adm);
    adm->outstanding[p->rank] += p->job->cnt;
    if (p->rank != 0) {
        send_recover(adm, p);
        return;
    }
    coh_recover_job_t *job = p->job;
    p->job                 = NULL;
    job->tag               = (uint64_t)(uintptr_t)p;
    coh_err_t err          = coh_recoverq_push(adm->recoverq, job);
    COH_ASSERT(err == COH_OK); /* its bound is that of inflight_cnt */
    adm->d.env->wake_workers(adm->d.env);
}

/* new_piece makes a piece for the next of the left_cnt transactions of sub. */
static piece_t *new_piece(coh_admission_t *adm,
                          submission_t *sub,
                          uint32_t left_cnt,
                          coh_block_env_t const *next)
{
    coh_recover_rules_t rules = {
        .check_static      = true,
        .fork              = next->fork,
        .blob_max          = next->blob_max,
        .chain_id          = adm->d.chain_id,
        .allow_unprotected = adm->d.allow_unprotected,
    };
    bool is_idle = adm->outstanding[idlest_rank(adm)] == 0;
    uint32_t cap = COH_MIN(left_cnt, is_idle ? COH_ADMISSION_PIECE : COH_ADMISSION_PIECE_MAX);
    piece_t *p   = coh_calloc(1, sizeof(*p));
    p->adm       = adm;
    p->sub       = sub;
    p->fork      = next->fork;
    p->job       = coh_recover_job_new(cap, &rules);
    p->place     = coh_calloc(cap, sizeof(*p->place));
    p->next      = adm->pieces;
    if (p->next != NULL) {
        p->next->prev = p;
    }
    adm->pieces = p;
    sub->piece_cnt++;
    return p;
}

void coh_admission_submit(coh_admission_t *adm,
                          coh_op_submit_request_t const *req,
                          coh_block_env_t const *next,
                          coh_admission_done_fn *done,
                          void *arg,
                          uint64_t tag)
{
    submission_t *sub = coh_calloc(1, sizeof(*sub));
    sub->done         = done;
    sub->arg          = arg;
    sub->tag          = tag;
    sub->cnt          = req->raws.cnt;
    sub->txs          = coh_calloc(sub->cnt, sizeof(*sub->txs));
    sub->senders      = coh_calloc(sub->cnt, sizeof(*sub->senders));
    sub->piece_cnt    = 1; /* ours, so that it is not answered before all is handed out */
    piece_t *p        = NULL;
    for (uint32_t i = 0; i < sub->cnt; i++) {
        coh_bytes_t raw = req->raws.v[i];
        if (raw.n > coh_recover_raw_max(raw)) {
            sub->txs[i].err = COH_TX_TOO_LARGE;
            continue;
        }
        if (adm->stopped || adm->inflight_cnt == adm->d.inflight_tx_max ||
            adm->inflight_bytes + raw.n > COH_ADMISSION_BYTES_MAX) {
            sub->txs[i].err = COH_TX_BUSY;
            continue;
        }
        if (p == NULL) {
            p = new_piece(adm, sub, sub->cnt - i, next);
        }
        coh_err_t rc = coh_recover_job_add(p->job, raw);
        COH_ASSERT(rc == COH_OK); /* its bounds are wider than those checked */
        p->place[p->job->cnt - 1] = i;
        p->bytes += raw.n;
        p->has_blobs = p->has_blobs || coh_recover_has_blobs(raw);
        adm->inflight_cnt++;
        adm->inflight_bytes += raw.n;
        if (p->job->cnt == p->job->cap) {
            start_piece(adm, p);
            p = NULL;
        }
    }
    if (p != NULL && p->job->cnt > 0) {
        start_piece(adm, p);
    } else if (p != NULL) {
        (void)drop_piece(adm, p);
    }
    if (--sub->piece_cnt == 0) {
        answer(adm, sub);
    }
}

/* add_tx decides on transaction i of the job. Returns false if its sender's account must be asked for first. */
static bool add_tx(coh_admission_t *adm, piece_t *p, uint32_t i, uint64_t now_us)
{
    coh_recover_job_t *job      = p->job;
    coh_tx_recover_t const *rec = &job->results[i];
    coh_tx_t const *tx          = &job->txs[i];
    coh_tx_err_t err            = rec->err;
    if (err == COH_TX_OK && tx->gas_limit > adm->d.gas_limit) {
        err = COH_TX_GAS_LIMIT;
    }
    if (err == COH_TX_OK && adm->stopped) {
        err = COH_TX_BUSY;
    }
    if (err == COH_TX_OK) {
        bool stale    = false;
        uint64_t head = coh_chain_head(adm->d.chain)->header.number;
        bool asks     = p->asked_again ? !coh_pool_knows_account(adm->d.pool, &rec->sender)
                                       : coh_pool_may_lag(adm->d.pool, &rec->sender, tx->nonce, head);
        if (asks) {
            return false;
        }
        err =
            coh_pool_add(adm->d.pool, tx, &rec->hash, &rec->sender, p->fork, now_us, head, &stale);
        if (err == COH_TX_BUSY || (err == COH_TX_FUNDS && stale && !p->asked_again)) {
            return false; /* the account was forgotten meanwhile; the balance may have grown */
        }
        uint64_t block;
        uint32_t idx;
        if (err == COH_TX_NONCE_TOO_LOW && coh_chain_find(adm->d.chain, &rec->hash, &block, &idx)) {
            err = COH_TX_KNOWN;
        }
    }
    if (err == COH_TX_OK && adm->d.pooled != NULL) {
        adm->d.pooled(adm->d.pooled_arg, &rec->hash);
    }
    p->sub->txs[p->place[i]]     = (coh_op_submitted_t){.err = (uint32_t)err, .hash = rec->hash};
    p->sub->senders[p->place[i]] = rec->sender;
    return true;
}

/* How many transactions ahead the pool's memory is fetched. */
#define PREFETCH_AHEAD 24u

/* prefetch fetches what adding transaction i of the job will touch; the first call of a job fetches for those before it too. */
static void prefetch(coh_admission_t *adm, piece_t const *p, uint32_t i)
{
    for (uint32_t at = i == 0 ? 0 : i + PREFETCH_AHEAD;
         at < p->job->cnt && at <= i + PREFETCH_AHEAD;
         at++) {
        coh_tx_recover_t const *rec = &p->job->results[at];
        if (rec->err == COH_TX_OK) {
            coh_pool_prefetch(adm->d.pool, &rec->hash, &rec->sender);
        }
    }
}

static void on_accounts(void *arg, coh_lookup_t *lookup);

/* ask starts a lookup of the senders of the waiting transactions. */
static void ask(coh_admission_t *adm, piece_t *p)
{
    coh_lookup_t *lookup = coh_lookup_new(adm->d.lookups, p->waiting_cnt, on_accounts, p);
    for (uint32_t i = 0; i < p->waiting_cnt; i++) {
        lookup->keys[i].addr = p->job->results[p->waiting[i]].sender;
    }
    coh_lookups_ask(adm->d.lookups, lookup, adm->d.dir, adm->d.outbox, adm->d.outbox_arg);
}

static void on_accounts(void *arg, coh_lookup_t *lookup)
{
    static coh_hash_t const none;
    piece_t *p           = arg;
    coh_admission_t *adm = p->adm;
    uint64_t start       = coh_clock_thread_cpu_ns();
    for (uint32_t i = 0; i < lookup->cnt; i++) {
        coh_rec_state_value_t const *v = &lookup->values[i];
        coh_pool_set_account(adm->d.pool,
                             &lookup->keys[i].addr,
                             v->nonce,
                             &v->word,
                             !coh_hash_eq(&v->code_hash, &none),
                             lookup->block);
    }
    coh_lookup_free(lookup);
    uint64_t now_us = adm->d.env->mono_us(adm->d.env);
    uint32_t again  = 0;
    for (uint32_t i = 0; i < p->waiting_cnt; i++) {
        uint32_t idx = p->waiting[i];
        if (!add_tx(adm, p, idx, now_us)) {
            p->waiting[again++] = idx;
        }
    }
    p->waiting_cnt = again;
    if (again == 0) {
        finish_piece(adm, p);
    } else if (!p->asked_again) {
        p->asked_again = true;
        ask(adm, p);
    } else {
        /* Known a moment ago, unknown again: the pool has no room for the account. */
        for (uint32_t i = 0; i < again; i++) {
            uint32_t idx = p->waiting[i];
            p->sub->txs[p->place[idx]] =
                (coh_op_submitted_t){.err = COH_TX_POOL_FULL, .hash = p->job->results[idx].hash};
        }
        finish_piece(adm, p);
    }
    coh_metric_add(
        adm->d.env->metrics, COH_M_coordinator_cpu_admit, coh_clock_thread_cpu_ns() - start);
}

/* go_on_with carries a piece on whose hashes and senders are there. */
static void go_on_with(coh_admission_t *adm, piece_t *p)
{
    uint64_t start  = coh_clock_thread_cpu_ns();
    uint64_t now_us = adm->d.env->mono_us(adm->d.env);
    adm->outstanding[p->rank] -= p->job->cnt;
    if (p->rank != 0) {
        /* Form and static rules first; then what the shard found of the signature. */
        for (uint32_t i = 0; i < p->job->cnt; i++) {
            coh_tx_err_t found = p->job->results[i].err;
            coh_recover_job_decode(p->job, i, 1);
            if (p->job->results[i].err == COH_TX_OK) {
                p->job->results[i].err = found;
            }
        }
    }
    for (uint32_t i = 0; i < p->job->cnt; i++) {
        prefetch(adm, p, i);
        if (!add_tx(adm, p, i, now_us)) {
            if (p->waiting == NULL) {
                p->waiting = coh_calloc(p->job->cnt, sizeof(*p->waiting));
            }
            p->waiting[p->waiting_cnt++] = i;
        }
    }
    if (p->waiting_cnt == 0) {
        finish_piece(adm, p);
    } else {
        ask(adm, p);
    }
    coh_metric_add(
        adm->d.env->metrics, COH_M_coordinator_cpu_admit, coh_clock_thread_cpu_ns() - start);
}

coh_err_t coh_admission_recovered(coh_admission_t *adm,
                                  uint32_t shard,
                                  coh_msg_recovered_t const *msg)
{
    piece_t *p = coh_ids_get(&adm->remote, msg->job);
    if (p == NULL || p->rank != shard + 1 || msg->txs.cnt != p->job->cnt) {
        return COH_EPROTO;
    }
    for (uint32_t i = 0; i < msg->txs.cnt; i++) {
        coh_rec_recovered_tx_t const *r = &msg->txs.v[i];
        if (r->err >= COH_TX_ERR_CNT || r->authorities.n % sizeof(coh_addr_t) != 0) {
            return COH_EPROTO;
        }
        coh_recover_job_set_authorities(p->job, i, r->authorities);
        p->job->results[i] =
            (coh_tx_recover_t){.hash = r->hash, .sender = r->sender, .err = (coh_tx_err_t)r->err};
    }
    coh_ids_remove(&adm->remote, msg->job);
    go_on_with(adm, p);
    return COH_OK;
}

bool coh_admission_poll(coh_admission_t *adm)
{
    bool any = false;
    for (coh_recover_job_t *job = coh_recoverq_pop(adm->recoverq); job != NULL;
         job                    = coh_recoverq_pop(adm->recoverq)) {
        piece_t *p = (piece_t *)(uintptr_t)job->tag;
        p->job     = job;
        go_on_with(adm, p);
        any = true;
    }
    return any;
}

bool coh_admission_work(coh_admission_t *adm) { return coh_recoverq_work(adm->recoverq); }

void coh_admission_stop(coh_admission_t *adm) { adm->stopped = true; }

void coh_admission_set_pool(coh_admission_t *adm, coh_pool_t *pool) { adm->d.pool = pool; }

void coh_admission_set_gas_limit(coh_admission_t *adm, uint64_t gas_limit)
{
    adm->d.gas_limit = gas_limit;
}
