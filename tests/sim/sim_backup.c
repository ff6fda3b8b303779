#include "tests/sim/sim_backup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/codec/block.h"
#include "common/trie/roots.h"
#include "coordinator/decision_log.h"
#include "shard/moves.h"
#include "shard/recovery.h"
#include "shard/store.h"
#include "shard/trie_update.h"
#include "tests/support/flat_root.h"

/* What the coordinator's copy ends with. */
typedef struct {
    uint64_t number;
    bool has_root; /* of its own */
    coh_hash_t root;
    uint64_t root_every;
    uint32_t shard_cnt;
    uint64_t *last_redo; /* owned */
    coh_directory_t dir; /* owned */
    bool is_damaged;
} head_t;

static bool visit_directory(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    head_t *head = arg;
    head->is_damaged =
        key.n != 8 ||
        coh_directory_decode(&head->dir, coh_load_u64_be(key.p), head->shard_cnt, value) != COH_OK;
    return false;
}

static bool visit_head(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    head_t *head = arg;
    coh_decision_t d;
    coh_decision_cursor_t cur;
    coh_header_t header;
    coh_fork_t shape;
    head->is_damaged =
        key.n != COH_DECISION_KEY_SZ || coh_decision_read(&d, &cur, value) != COH_OK ||
        d.shard_cnt != head->shard_cnt || coh_header_decode(&header, &shape, d.header) != COH_OK;
    if (!head->is_damaged) {
        head->number   = d.number;
        head->has_root = d.fork < COH_FORK_BYZANTIUM || d.number % head->root_every == 0;
        head->root     = header.state_root;
        for (uint32_t s = 0; s < d.shard_cnt; s++) {
            head->last_redo[s] = coh_decision_last_redo(&cur, s);
        }
    }
    return false;
}

/* Brings tries up to the head, and tells the nodes of their buckets. */
static coh_err_t lay_over_tries(coh_roots_t *roots,
                                coh_kv_t *kv,
                                uint64_t head,
                                coh_mv_item_t const *items,
                                size_t cnt)
{
    coh_mpt_config_t config = {.kv              = kv,
                               .table           = COH_KV_TRIE,
                               .cache_bytes     = (size_t)1 << 20,
                               .dirty_bytes_max = SIZE_MAX};
    coh_mpt_t *mpt          = coh_mpt_new(&config);
    coh_arena_t scratch     = COH_ARENA_INIT;
    coh_trie_outcome_t out  = {0};
    coh_mpt_job_t *jobs     = coh_calloc(COH_ROOTS_BUCKET_CNT, sizeof(*jobs));
    coh_err_t err           = coh_trie_update(mpt, head, items, cnt, &scratch, &out, NULL);
    for (uint32_t b = 0; b < COH_ROOTS_BUCKET_CNT; b++) {
        jobs[b].id = coh_mpt_id_bucket(b);
    }
    if (err == COH_OK) {
        err = coh_mpt_update(mpt, head, jobs, COH_ROOTS_BUCKET_CNT, NULL);
    }
    for (uint32_t b = 0; err == COH_OK && b < COH_ROOTS_BUCKET_CNT; b++) {
        if (jobs[b].node.kind != COH_NODE_EMPTY) {
            coh_roots_put(roots, b, &jobs[b].node, NULL);
        }
    }
    free(jobs);
    free(out.nodes);
    coh_arena_free(&scratch);
    coh_mpt_free(mpt);
    return err;
}

/* Leaves those items that belong into the tries of a shard. */
static size_t keep_of_tries(head_t const *head, uint32_t shard, coh_mv_item_t *items, size_t cnt)
{
    size_t kept = 0;
    for (size_t i = 0; i < cnt; i++) {
        uint32_t bucket = coh_directory_bucket(&items[i].key.addr);
        if (coh_directory_shard(&head->dir, bucket) == shard) {
            items[kept++] = items[i];
        }
    }
    return kept;
}

/* Brings flat tables up to the head, without what a round of moves has left. */
static coh_err_t lay_over_flat(head_t const *head,
                               coh_kv_t *kv,
                               coh_mv_item_t const *items,
                               size_t cnt)
{
    coh_kv_batch_t batch;
    coh_addr_t *left;
    size_t left_cnt;
    COH_TRY(coh_moves_left(kv, head->dir.epoch, &left, &left_cnt));
    coh_kv_batch_init(&batch);
    for (size_t i = 0; i < cnt; i++) {
        if (!items[i].is_guest) {
            coh_store_put_value(&batch, &items[i].key, &items[i].value);
        }
    }
    for (size_t i = 0; i < left_cnt; i++) { /* nobody looks for slots without their account */
        coh_kv_batch_delete(&batch, COH_KV_ACCOUNTS, coh_bytes(left[i].b, sizeof(left[i].b)));
    }
    free(left);
    coh_err_t err = kv->ops->write(kv, &batch, true);
    coh_kv_batch_free(&batch);
    return err;
}

static bool check_shard(head_t const *head,
                        coh_roots_t *roots,
                        coh_kv_t *kv,
                        uint32_t shard,
                        coh_buf_t *why)
{
    coh_recovery_t found;
    if (coh_recovery_scan(kv, &found, why) != COH_OK) {
        return false;
    }
    if (found.fresh || found.mark.flushed > head->number ||
        found.prepared < head->last_redo[shard]) {
        coh_buf_printf(why,
                       "shard %u is flushed up to %" PRIu64 " and prepared up to %" PRIu64
                       ", head %" PRIu64 " needs its redo record of %" PRIu64,
                       shard,
                       found.mark.flushed,
                       found.prepared,
                       head->number,
                       head->last_redo[shard]);
        return false;
    }
    coh_mv_item_t *items = NULL;
    size_t cnt           = 0;
    coh_kv_batch_t codes;
    coh_kv_batch_init(&codes);
    coh_err_t err =
        coh_recovery_collect(kv, found.mark.flushed, head->number, &items, &cnt, &codes);
    if (err == COH_OK) {
        err = lay_over_flat(head, kv, items, cnt);
    }
    if (err == COH_OK) {
        cnt = keep_of_tries(head, shard, items, cnt);
        err = lay_over_tries(roots, kv, head->number, items, cnt);
    }
    if (err != COH_OK) {
        coh_buf_printf(why, "shard %u: %s", shard, coh_err_str(err));
    }
    coh_kv_batch_free(&codes);
    free(items);
    return err == COH_OK;
}

static bool check_roots(head_t const *head,
                        coh_roots_t *roots,
                        coh_kv_t *const *shards,
                        coh_buf_t *why)
{
    coh_hash_t of_tries;
    coh_hash_t of_flat;
    coh_roots_compute(roots, &of_tries);
    if (!coh_test_flat_root(&of_flat, shards, head->shard_cnt) ||
        !coh_hash_eq(&of_flat, &of_tries)) {
        coh_buf_printf(why, "flat tables and tries have other roots");
        return false;
    }
    if (head->has_root && !coh_hash_eq(&of_flat, &head->root)) {
        coh_buf_printf(why, "the state is not that of block %" PRIu64, head->number);
        return false;
    }
    return true;
}

/* The manifest names the head. */
static bool check_manifest(head_t const *head, coh_bytes_t manifest, coh_buf_t *why)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_put(&text, manifest.p, manifest.n);
    coh_buf_put_u8(&text, 0);
    char const *at   = strstr((char const *)text.p, "\"block\":");
    uint64_t claimed = 0;
    bool ok =
        at != NULL && sscanf(at, "\"block\":%" SCNu64, &claimed) == 1 && claimed == head->number;
    if (!ok) {
        coh_buf_printf(why,
                       "the manifest says block %" PRIu64 ", the copy ends with %" PRIu64,
                       claimed,
                       head->number);
    }
    coh_buf_free(&text);
    return ok;
}

static bool read_directory(head_t *head, coh_kv_t *kv)
{
    return kv->ops->iterate(
               kv, COH_KV_DIRECTORY, coh_bytes(NULL, 0), true, visit_directory, head) == COH_OK &&
           !head->is_damaged && head->dir.shard_cnt == head->shard_cnt;
}

bool sim_backup_check(coh_kv_t *const *kvs,
                      uint32_t shard_cnt,
                      uint64_t genesis,
                      uint64_t root_every,
                      coh_bytes_t manifest,
                      coh_buf_t *why)
{
    head_t head = {.number     = genesis,
                   .root_every = root_every,
                   .shard_cnt  = shard_cnt,
                   .last_redo  = coh_calloc(shard_cnt, sizeof(*head.last_redo))};
    bool ok     = kvs[0]->ops->iterate(
                  kvs[0], COH_KV_BLOCKS, coh_bytes(NULL, 0), true, visit_head, &head) == COH_OK &&
              !head.is_damaged && read_directory(&head, kvs[0]);
    if (!ok) {
        coh_buf_printf(why, "the last decision record or the directory cannot be read");
    }
    coh_roots_t *roots = coh_roots_new();
    ok                 = ok && check_manifest(&head, manifest, why);
    for (uint32_t s = 0; ok && s < shard_cnt; s++) {
        ok = check_shard(&head, roots, kvs[s + 1], s, why);
    }
    ok = ok && check_roots(&head, roots, kvs + 1, why);
    coh_roots_free(roots);
    coh_directory_free(&head.dir);
    free(head.last_redo);
    return ok;
}
