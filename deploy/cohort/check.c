/* The coordinator's side; the shards' is check_shard.c. */
#include "deploy/cohort/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "coordinator/decision_log.h"
#include "coordinator/recovery.h"

bool coh_check_finding(coh_check_findings_t *findings, char const *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    findings->cnt++;
    if (findings->cnt <= COH_CHECK_FINDINGS_MAX) {
        coh_buf_printf(&findings->text, "%s\n", line);
    }
    return findings->cnt < COH_CHECK_FINDINGS_MAX;
}

/* Transactions above the mark of the index, which opening gathers in memory: as the coordinator has them. */
#define INDEX_TX_MAX 65536u

/* A walk over the decision log. */
typedef struct {
    coh_check_chain_t *chain;
    coh_check_findings_t *findings;
    uint32_t shard_cnt;
    uint64_t since;       /* records up to it are of an earlier layout */
    coh_hash_t last_hash; /* of the record before */
    bool has_last;
    uint64_t *last_redo; /* by shard, of the record before */
} walk_t;

static bool check_txs(walk_t *w, coh_decision_t const *d, coh_decision_cursor_t *cur)
{
    coh_decision_tx_t tx;
    for (uint32_t i = 0; i < d->tx_cnt; i++) {
        if (coh_decision_next_tx(cur, &tx) != COH_OK) {
            return coh_check_finding(
                w->findings, "block %" PRIu64 ": transaction %u cannot be read", d->number, i);
        }
    }
    return true;
}

static bool check_decision(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    coh_decision_t d;
    coh_decision_cursor_t cur;
    coh_sealed_t *block = NULL;
    uint64_t number     = key.n == COH_DECISION_KEY_SZ ? coh_load_u64_be(key.p) : 0;
    uint64_t expected   = w->chain->head + 1;
    bool go_on          = true;
    w->chain->head      = number;
    w->chain->block_cnt++;
    if (number != expected) {
        go_on       = coh_check_finding(w->findings,
                                  "block %" PRIu64 ": expected the decision record of %" PRIu64,
                                  number,
                                  expected);
        w->has_last = false;
    }
    if (coh_decision_read(&d, &cur, value) != COH_OK || d.number != number ||
        (d.shard_cnt != w->shard_cnt && number > w->since)) {
        w->has_last = false;
        return coh_check_finding(
            w->findings, "block %" PRIu64 ": the decision record is damaged", number);
    }
    for (uint32_t i = 0; i < d.shard_cnt && number > w->since && go_on; i++) {
        uint64_t redo = coh_decision_last_redo(&cur, i);
        if (redo > number || redo < w->last_redo[i]) {
            go_on = coh_check_finding(w->findings,
                                      "block %" PRIu64 ": the last redo record of shard %u is said "
                                      "to be of block %" PRIu64,
                                      number,
                                      i,
                                      redo);
        }
        w->last_redo[i] = redo;
    }
    go_on = go_on && check_txs(w, &d, &cur);
    w->chain->tx_cnt += d.tx_cnt;
    if (coh_seal_restore(&block, value) != COH_OK) {
        w->has_last = false;
        return coh_check_finding(w->findings,
                                 "block %" PRIu64 ": the decision record does not hold together",
                                 number) &&
               go_on;
    }
    if (w->has_last && !coh_hash_eq(&block->header.parent_hash, &w->last_hash)) {
        go_on = coh_check_finding(w->findings,
                                  "block %" PRIu64 ": its header does not name the block before",
                                  number) &&
                go_on;
    }
    w->last_hash         = block->hash;
    w->has_last          = true;
    w->chain->state_root = block->header.state_root;
    w->chain->fork       = d.fork;
    coh_sealed_free(block);
    return go_on;
}

void coh_check_coordinator(coh_check_chain_t *out,
                           coh_check_findings_t *findings,
                           coh_kv_t *kv,
                           coh_genesis_t const *genesis,
                           uint32_t rank_cnt)
{
    *out = (coh_check_chain_t){
        .first      = genesis->number,
        .head       = genesis->number,
        .state_root = genesis->header.state_root,
        .fork       = coh_genesis_fork(genesis, genesis->number, genesis->timestamp),
    };
    walk_t w     = {.chain     = out,
                    .findings  = findings,
                    .shard_cnt = rank_cnt - 1,
                    .last_hash = genesis->hash,
                    .has_last  = true,
                    .last_redo = coh_calloc(rank_cnt, sizeof(uint64_t))};
    coh_err_t rc = coh_recovery_since(&w.since, kv);
    if (rc != COH_OK) {
        (void)coh_check_finding(
            findings, "the record of layouts (META coordinator/since): %s", coh_err_str(rc));
    }
    rc = kv->ops->iterate(kv, COH_KV_BLOCKS, coh_bytes(NULL, 0), false, check_decision, &w);
    if (rc != COH_OK) {
        (void)coh_check_finding(findings, "decision records cannot be read: %s", coh_err_str(rc));
    }
    out->last_redo = w.last_redo;
    /* The rest is what a start would say: identity, directory, the end of the log. */
    static coh_config_t config;
    coh_config_default(&config);
    coh_chain_limits_t limits = {.recent_cnt = 1, .index_tx_max = INDEX_TX_MAX, .dropped_max = 1};
    coh_recovery_t rec;
    coh_buf_t text = COH_BUF_INIT;
    rc             = coh_recovery_open(
        &rec, kv, genesis, &config, &limits, rank_cnt, coh_clock_mono_us(), 0, &text);
    if (rc != COH_OK) {
        (void)coh_check_finding(findings, "%.*s", (int)text.n, (char const *)text.p);
    } else {
        out->known = findings->cnt == 0;
        out->dir   = rec.dir;
        coh_chain_free(rec.chain);
        free(rec.last_redo);
        coh_buf_free(&rec.hashes);
    }
    coh_buf_free(&text);
}
