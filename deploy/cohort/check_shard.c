#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/crypto/keccak.h"
#include "deploy/cohort/check.h"
#include "shard/moves.h"
#include "shard/recovery.h"
#include "shard/store.h"

/* Addresses are hashed in batches. */
#define BATCH 256u

typedef struct {
    coh_check_shard_t *out;
    coh_check_findings_t *findings;
    coh_kv_t *kv;
    coh_check_chain_t const *chain;
    uint32_t shard;
    coh_addr_t addrs[BATCH];
    size_t addr_cnt;
    coh_addr_t *
        moving; /* owned; accounts of a move that the next start settles, which may be here or not */
    size_t moving_cnt;
} walk_t;

static void ignore_change(void *arg, coh_mv_item_t const *item)
{
    (void)arg;
    (void)item;
}

static bool check_redo(void *arg, coh_bytes_t key, coh_bytes_t record)
{
    walk_t *w      = arg;
    uint64_t block = key.n == 8 ? coh_load_u64_be(key.p) : 0;
    w->out->redo_cnt++;
    if (coh_store_read_redo(key, record, &block, &(coh_store_visitor_t){.change = ignore_change}) !=
        COH_OK) {
        return coh_check_finding(
            w->findings, "the redo record of block %" PRIu64 " is damaged", block);
    }
    w->out->undecided_cnt += w->chain->known && block > w->chain->head;
    return true;
}

static bool is_moving(walk_t const *w, coh_addr_t const *addr)
{
    for (size_t i = 0; i < w->moving_cnt; i++) {
        if (coh_addr_eq(&w->moving[i], addr)) {
            return true;
        }
    }
    return false;
}

/* Says which of the addresses gathered are another shard's. */
static bool check_owners(walk_t *w)
{
    uint16_t buckets[BATCH];
    bool go_on  = true;
    size_t cnt  = w->addr_cnt;
    w->addr_cnt = 0;
    coh_directory_buckets(buckets, w->addrs, cnt);
    for (size_t i = 0; i < cnt && go_on; i++) {
        uint32_t owner = coh_directory_owner(&w->chain->dir, &w->addrs[i], buckets[i]);
        if (owner != w->shard && !is_moving(w, &w->addrs[i])) {
            char hex[41];
            coh_hex_encode(hex, w->addrs[i].b, sizeof(w->addrs[i].b));
            go_on = coh_check_finding(
                w->findings, "account 0x%s lies here, and belongs to rank %u", hex, owner + 1);
        }
    }
    return go_on;
}

static bool check_owner(walk_t *w, coh_addr_t const *addr)
{
    if (!w->chain->known) {
        return true;
    }
    w->addrs[w->addr_cnt++] = *addr;
    return w->addr_cnt < BATCH || check_owners(w);
}

/* A key of the flat tables in hexadecimal, cut to what a line holds. */
static char const *key_text(char text[2 * COH_STORE_KEY_MAX + 1], coh_bytes_t key)
{
    coh_hex_encode(text, key.p, COH_MIN(key.n, COH_STORE_KEY_MAX));
    return text;
}

static bool check_account(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    char text[2 * COH_STORE_KEY_MAX + 1];
    coh_key_t k;
    coh_value_t v;
    w->out->account_cnt++;
    if (coh_store_read_key(&k, COH_KV_ACCOUNTS, key) != COH_OK ||
        coh_store_get_value(&v, COH_KEY_ACCOUNT, value) != COH_OK) {
        return coh_check_finding(w->findings, "account 0x%s is damaged", key_text(text, key));
    }
    if (coh_value_has_code(&v)) {
        coh_buf_t code = COH_BUF_INIT;
        coh_err_t rc   = w->kv->ops->get(
            w->kv, COH_KV_CODE, coh_bytes(v.code_hash.b, sizeof(v.code_hash.b)), &code);
        coh_buf_free(&code);
        if (rc != COH_OK && !coh_check_finding(w->findings,
                                               "the code of account 0x%s: %s",
                                               key_text(text, key),
                                               coh_err_str(rc))) {
            return false;
        }
    }
    return check_owner(w, &k.addr);
}

static bool check_slot(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    char text[2 * COH_STORE_KEY_MAX + 1];
    coh_key_t k;
    coh_value_t v;
    w->out->slot_cnt++;
    if (coh_store_read_key(&k, COH_KV_STORAGE, key) != COH_OK ||
        coh_store_get_value(&v, COH_KEY_SLOT, value) != COH_OK) {
        return coh_check_finding(w->findings, "slot 0x%s is damaged", key_text(text, key));
    }
    return true;
}

static bool check_code(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    walk_t *w = arg;
    char text[2 * COH_STORE_KEY_MAX + 1];
    coh_hash_t hash;
    w->out->code_cnt++;
    coh_keccak256(&hash, value.p, value.n);
    if (key.n != sizeof(hash.b) || memcmp(key.p, hash.b, sizeof(hash.b)) != 0) {
        return coh_check_finding(
            w->findings, "the code 0x%s has another hash", key_text(text, key));
    }
    return true;
}

static void walk(walk_t *w, coh_kv_table_t table, coh_kv_visit_t *visit, char const *what)
{
    coh_err_t rc = w->findings->cnt >= COH_CHECK_FINDINGS_MAX
                       ? COH_OK
                       : w->kv->ops->iterate(w->kv, table, coh_bytes(NULL, 0), false, visit, w);
    if (rc != COH_OK) {
        (void)coh_check_finding(w->findings, "%s cannot be read: %s", what, coh_err_str(rc));
    }
}

/* What the shard would say in HELLO, against what the coordinator would answer. */
static void check_against_chain(walk_t *w, coh_store_mark_t const *mark, uint64_t prepared)
{
    if (mark->flushed > w->chain->head) {
        (void)coh_check_finding(w->findings,
                                "holds effects of block %" PRIu64
                                ", the coordinator has decided up to %" PRIu64 " only",
                                mark->flushed,
                                w->chain->head);
    }
    if (prepared < w->chain->last_redo[w->shard]) {
        (void)coh_check_finding(w->findings,
                                "its effects of block %" PRIu64
                                " are gone, it holds up to %" PRIu64,
                                w->chain->last_redo[w->shard],
                                prepared);
    }
    /* A shard may not have heard of the last move's decision. */
    if (mark->epoch != w->chain->dir.epoch && mark->epoch + 1 != w->chain->dir.epoch) {
        (void)coh_check_finding(w->findings,
                                "its accounts are laid out for directory epoch %" PRIu64
                                ", the coordinator's is %" PRIu64,
                                mark->epoch,
                                w->chain->dir.epoch);
    }
}

void coh_check_shard(coh_check_shard_t *out,
                     coh_check_findings_t *findings,
                     coh_roots_t *roots,
                     coh_kv_t *kv,
                     uint32_t rank,
                     uint32_t rank_cnt,
                     coh_check_chain_t const *chain,
                     coh_check_stores_t const *stores)
{
    *out     = (coh_check_shard_t){0};
    walk_t w = {.out = out, .findings = findings, .kv = kv, .chain = chain, .shard = rank - 1};
    coh_store_mark_t mark;
    coh_err_t rc = coh_store_get_mark(kv, &mark);
    out->fresh   = rc == COH_ENOTFOUND;
    if (rc == COH_OK) {
        out->flushed = mark.flushed;
        if (mark.rank_cnt != rank_cnt) {
            (void)coh_check_finding(findings,
                                    "its accounts are laid out for %u ranks, the folder for %u",
                                    mark.rank_cnt,
                                    rank_cnt);
        }
    } else if (!out->fresh) {
        (void)coh_check_finding(findings, "the mark (META node/shard): %s", coh_err_str(rc));
    }
    coh_err_t moving = coh_moves_left(kv, chain->dir.epoch, &w.moving, &w.moving_cnt);
    if (moving != COH_OK) {
        (void)coh_check_finding(
            findings, "the note of accounts that move (META node/move): %s", coh_err_str(moving));
    }
    walk(&w, COH_KV_REDO, check_redo, "redo records");
    if (rc == COH_OK && chain->known) {
        uint64_t prepared = mark.flushed;
        coh_recovery_t found;
        coh_buf_t text = COH_BUF_INIT; /* damage was said above */
        if (coh_recovery_scan(kv, &found, &text) == COH_OK) {
            prepared = found.prepared;
        }
        coh_buf_free(&text);
        check_against_chain(&w, &mark, prepared);
    }
    walk(&w, COH_KV_ACCOUNTS, check_account, "accounts");
    (void)check_owners(&w);
    walk(&w, COH_KV_STORAGE, check_slot, "storage");
    walk(&w, COH_KV_CODE, check_code, "code");
    free(w.moving);
    if (rc == COH_OK && findings->cnt < COH_CHECK_FINDINGS_MAX) {
        coh_check_tries(findings, roots, kv, rank - 1, chain, stores);
    }
}
