#include "deploy/cohort/reshard.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/crypto/keccak.h"
#include "common/trie/mpt.h"
#include "deploy/cohort/check.h"
#include "deploy/cohort/datadir.h"
#include "deploy/cohort/files.h"
#include "deploy/cohort/swap.h"
#include "shard/moves.h"
#include "shard/recovery.h"
#include "shard/store.h"
#include "shard/trie_update.h"

#define CACHE_BYTES ((size_t)8 << 20)
/* Octets that are gathered for all new shards before they are written. */
#define GATHERED_BYTES   ((size_t)128 << 20)
#define GATHER_BYTES_MIN ((size_t)1 << 20)
#define GATHER_BYTES_MAX ((size_t)16 << 20)
#define PROGRESS_US      UINT64_C(1000000)
#define NONE             UINT32_MAX /* no shard */

/* A rank's folder. */
typedef struct {
    coh_datadir_t *dd;
    coh_kv_t *kv;
} rank_t;

typedef struct {
    coh_reshard_options_t const *options;
    coh_reshard_done_t *out;
    coh_buf_t *err_text;
    coh_genesis_t genesis;
    char *genesis_path; /* of the file to copy; owned */
    coh_reshard_chain_t chain;
    uint32_t locked_cnt; /* of from: old ranks, and beyond them those that are only locked */
    uint32_t from_cnt;   /* old ranks */
    rank_t *from;
    uint64_t *flushed;   /* by old rank */
    rank_t *to;          /* shard_cnt + 1 */
    char *next;          /* path */
    coh_directory_t dir; /* the new one */
    uint64_t shown_us;
    /* The walk under way. */
    uint32_t source; /* rank */
    coh_kv_table_t table;
    coh_kv_batch_t *gathered; /* by new shard */
    size_t gather_bytes;
    uint64_t entry_cnt;
    coh_addr_t *left; /* owned; accounts that moves have left at the source, ascending */
    size_t left_cnt;
    coh_addr_t addr; /* of which the next three are known */
    uint32_t owner;  /* new shard where it will live... */
    uint32_t bucket;
    bool is_left;
    bool has_addr;
    coh_kv_t *redo_codes; /* in memory: code in redo records */
    coh_err_t err;
} reshard_t;

static void show(reshard_t *r, char const *what, bool at_once)
{
    uint64_t now_us = coh_clock_mono_us();
    if (r->options->progress == NULL || (!at_once && now_us < r->shown_us + PROGRESS_US)) {
        return;
    }
    r->shown_us    = now_us;
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_printf(&text, "%s", what);
    if (!at_once) {
        coh_buf_printf(&text,
                       " of rank %u of %u: %" PRIu64 " entries",
                       r->source,
                       r->from_cnt - 1,
                       r->entry_cnt);
    }
    coh_buf_put_u8(&text, 0);
    r->options->progress(r->options->arg, (char const *)text.p);
    coh_buf_free(&text);
}

/* ---- the old data ---- */

static coh_err_t load_genesis(reshard_t *r)
{
    char const *own = coh_datadir_genesis_path(r->from[0].dd);
    r->genesis_path = coh_strdup(r->options->genesis != NULL ? r->options->genesis : own);
    return coh_genesis_load(&r->genesis, r->genesis_path, r->err_text);
}

/* Locks the folders of all ranks, old and new, and opens the old ones. */
static coh_err_t open_old(reshard_t *r)
{
    coh_reshard_options_t const *o = r->options;
    uint32_t to_cnt                = o->shard_cnt + 1;
    COH_TRY(coh_datadir_open(&r->from[0].dd, o->dir, 0, 0, r->err_text));
    r->locked_cnt = 1;
    if (coh_datadir_is_fresh(r->from[0].dd)) {
        coh_buf_printf(r->err_text,
                       "%s holds no data of rank 0: all ranks' folders must be in one directory",
                       o->dir);
        return COH_ENOTFOUND;
    }
    COH_TRY(load_genesis(r));
    COH_TRY(
        coh_datadir_open_kv(r->from[0].dd, &r->from[0].kv, &r->genesis, CACHE_BYTES, r->err_text));
    r->from_cnt   = coh_datadir_rank_cnt(r->from[0].dd);
    uint32_t most = COH_MAX(r->from_cnt, to_cnt);
    r->from       = coh_realloc(r->from, most * sizeof(*r->from));
    for (uint32_t rank = 1; rank < most; rank++) {
        rank_t *f = &r->from[rank];
        *f        = (rank_t){0};
        COH_TRY(coh_datadir_open(
            &f->dd, o->dir, rank, rank < r->from_cnt ? r->from_cnt : to_cnt, r->err_text));
        r->locked_cnt = rank + 1;
        if (coh_datadir_is_fresh(f->dd) != (rank >= r->from_cnt)) {
            coh_buf_printf(r->err_text,
                           rank < r->from_cnt
                               ? "%s holds no data of rank %u: all ranks' folders must be in one "
                                 "directory"
                               : "%s holds data of rank %u, which the cluster has not: move it "
                                 "away",
                           o->dir,
                           rank);
            return COH_ENOTFOUND;
        }
        if (rank < r->from_cnt) {
            COH_TRY(coh_datadir_open_kv(f->dd, &f->kv, &r->genesis, CACHE_BYTES, r->err_text));
        }
    }
    return COH_OK;
}

static bool count_undecided(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)arg;
    return true;
}

/* Judges a shard as the coordinator would judge its HELLO. */
static coh_err_t judge(reshard_t *r, uint32_t rank, coh_recovery_t *found)
{
    coh_reshard_chain_t const *chain = &r->chain;
    coh_kv_t *kv                     = r->from[rank].kv;
    coh_err_t rc                     = coh_recovery_scan(kv, found, r->err_text);
    COH_TRY(rc);
    char const *why = NULL;
    if (found->fresh) {
        why = "its first start has not ended: start the cluster once";
    } else if (found->mark.rank_cnt != r->from_cnt ||
               (found->mark.epoch != chain->dir.epoch &&
                found->mark.epoch + 1 != chain->dir.epoch)) { /* as in check_shard.c */
        why =
            "its accounts are laid out otherwise than the coordinator says: start the cluster once";
    } else if (found->mark.flushed > chain->head) {
        why = "it holds effects of blocks that the coordinator has not decided";
    } else if (found->prepared < chain->last_redo[rank - 1]) {
        why = "effects that it once held are gone";
    }
    if (why != NULL) {
        coh_buf_printf(r->err_text, "rank %u: %s", rank, why);
        return COH_EMISMATCH;
    }
    uint8_t above[8];
    coh_store_u64_be(above, chain->head + 1);
    return kv->ops->iterate(kv,
                            COH_KV_REDO,
                            coh_bytes(above, sizeof(above)),
                            false,
                            count_undecided,
                            &r->out->dropped_cnt);
}

/* ---- the new folders ---- */

/* Rank 0's is a copy of the old one, files that do not change any more linked. */
static coh_err_t make_coordinator(reshard_t *r)
{
    char *folder  = coh_path_of("%s/rank-0", r->next);
    char *path    = coh_path_of("%s/db", folder);
    char *genesis = coh_path_of("%s/genesis.json", folder);
    coh_err_t rc  = coh_file_make_dir(folder, r->err_text);
    if (rc == COH_OK) {
        rc = coh_file_copy(genesis, r->genesis_path, NULL, NULL, r->err_text);
    }
    if (rc == COH_OK) {
        rc = coh_kv_rocks_checkpoint(r->from[0].kv, path);
    }
    if (rc == COH_OK) {
        rc = coh_kv_rocks_open(&r->to[0].kv, path, CACHE_BYTES, r->err_text);
    }
    if (rc == COH_OK) {
        rc = coh_reshard_write_chain(r->to[0].kv, &r->genesis, &r->dir, r->chain.head);
    }
    free(genesis);
    free(path);
    free(folder);
    return rc;
}

static coh_err_t make_shard(reshard_t *r, uint32_t rank)
{
    rank_t *to = &r->to[rank];
    COH_TRY(coh_datadir_open(&to->dd, r->next, rank, r->dir.shard_cnt + 1, r->err_text));
    COH_TRY(coh_datadir_create(to->dd, &r->genesis, r->genesis_path, r->err_text));
    return coh_datadir_open_kv(to->dd, &to->kv, &r->genesis, CACHE_BYTES, r->err_text);
}

/* ---- what goes where ---- */

static coh_err_t write_gathered(reshard_t *r, uint32_t shard)
{
    coh_kv_batch_t *batch = &r->gathered[shard];
    coh_kv_t *kv          = r->to[shard + 1].kv;
    coh_err_t rc          = batch->cnt == 0 ? COH_OK : kv->ops->ingest(kv, batch);
    coh_buf_clear(&batch->ops);
    batch->cnt = 0;
    return rc;
}

static coh_err_t gather(reshard_t *r, uint32_t shard, coh_bytes_t key, coh_bytes_t value)
{
    coh_kv_batch_t *batch = &r->gathered[shard];
    coh_kv_batch_put(batch, r->table, key, value);
    r->entry_cnt++;
    return batch->ops.n >= r->gather_bytes ? write_gathered(r, shard) : COH_OK;
}

static int by_address(void const *a, void const *b)
{
    return memcmp(((coh_addr_t const *)a)->b, ((coh_addr_t const *)b)->b, sizeof(coh_addr_t));
}

/* Finds out about an account that the source has. */
static void look_at(reshard_t *r, coh_addr_t const *addr)
{
    if (!r->has_addr || !coh_addr_eq(addr, &r->addr)) {
        r->addr     = *addr;
        r->has_addr = true;
        r->bucket   = coh_directory_bucket(addr);
        r->owner    = coh_directory_owner(&r->dir, addr, r->bucket);
        r->is_left  = r->left_cnt != 0 &&
                     bsearch(addr, r->left, r->left_cnt, sizeof(*r->left), by_address) != NULL;
    }
}

/* Begins with an old shard. */
static coh_err_t begin_source(reshard_t *r, uint32_t rank)
{
    free(r->left);
    r->left      = NULL;
    r->left_cnt  = 0;
    r->source    = rank;
    r->has_addr  = false;
    coh_err_t rc = coh_moves_left(r->from[rank].kv, r->chain.dir.epoch, &r->left, &r->left_cnt);
    if (rc != COH_OK) {
        coh_buf_printf(
            r->err_text, "the note of accounts that move, of rank %u: %s", rank, coh_err_str(rc));
    }
    return rc;
}

/* The shard that has the tries of the account looked at notes its generation, if it lives elsewhere. */
static coh_err_t note_guest(reshard_t *r, uint32_t generation)
{
    uint32_t shard = coh_directory_shard(&r->dir, r->bucket);
    if (shard == r->owner || generation == 0) {
        return COH_OK;
    }
    coh_kv_t *kv = r->to[shard + 1].kv;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_store_put_guest(&batch, &r->addr, generation);
    coh_err_t rc = kv->ops->write(kv, &batch, false);
    coh_kv_batch_free(&batch);
    return rc;
}

/* Code is wherever it was made or used first, and must be with each account that has it. */
static coh_err_t find_code(reshard_t *r, coh_bytes_t hash, coh_buf_t *code)
{
    coh_err_t rc = r->redo_codes->ops->get(r->redo_codes, COH_KV_CODE, hash, code);
    for (uint32_t i = 0; rc == COH_ENOTFOUND && i + 1 < r->from_cnt; i++) {
        uint32_t rank = 1 + (r->source - 1 + i) % (r->from_cnt - 1);
        rc            = r->from[rank].kv->ops->get(r->from[rank].kv, COH_KV_CODE, hash, code);
    }
    return rc;
}

static coh_err_t bring_code(reshard_t *r, uint32_t shard, coh_hash_t const *hash)
{
    coh_kv_t *kv    = r->to[shard + 1].kv;
    coh_bytes_t key = coh_bytes(hash->b, sizeof(hash->b));
    coh_buf_t code  = COH_BUF_INIT;
    coh_err_t rc    = kv->ops->get(kv, COH_KV_CODE, key, &code);
    if (rc == COH_ENOTFOUND) {
        rc = find_code(r, key, &code);
        coh_hash_t found;
        coh_keccak256(&found, code.p, code.n);
        if (rc == COH_ENOTFOUND || (rc == COH_OK && !coh_hash_eq(&found, hash))) {
            coh_buf_printf(r->err_text, "the code of an account of rank %u is missing", r->source);
            rc = COH_ECORRUPT;
        }
        if (rc == COH_OK) {
            coh_kv_batch_t batch;
            coh_kv_batch_init(&batch);
            coh_store_put_code(&batch, hash, coh_buf_bytes(&code));
            rc = kv->ops->write(kv, &batch, false);
            coh_kv_batch_free(&batch);
        }
    }
    coh_buf_free(&code);
    return rc;
}

static coh_err_t move_entry(reshard_t *r, coh_bytes_t in_key, coh_bytes_t value)
{
    coh_key_t key;
    uint32_t bucket;
    coh_value_t v;
    if (r->table == COH_KV_TRIE) {
        COH_TRY(coh_mpt_key_bucket(&bucket, in_key) == COH_OK ? COH_OK : COH_ECORRUPT);
        return value.n == 0 ? COH_OK
                            : gather(r, coh_directory_shard(&r->dir, bucket), in_key, value);
    }
    COH_TRY(coh_store_read_key(&key, r->table, in_key));
    look_at(r, &key.addr);
    if (r->is_left) {
        return COH_OK;
    }
    if (r->table == COH_KV_ACCOUNTS) {
        COH_TRY(coh_store_get_value(&v, COH_KEY_ACCOUNT, value));
        if (coh_value_has_code(&v)) {
            COH_TRY(bring_code(r, r->owner, &v.code_hash));
        }
        COH_TRY(note_guest(r, v.generation));
    }
    return gather(r, r->owner, in_key, value);
}

static bool visit_entry(void *arg, coh_bytes_t key, coh_bytes_t value)
{
    reshard_t *r = arg;
    r->err       = move_entry(r, key, value);
    show(r,
         r->table == COH_KV_TRIE      ? "pages of tries"
         : r->table == COH_KV_STORAGE ? "slots"
                                      : "accounts",
         false);
    return r->err == COH_OK;
}

static coh_err_t move_table(reshard_t *r, coh_kv_table_t table, char const *what)
{
    coh_kv_t *kv = r->from[r->source].kv;
    r->table     = table;
    r->entry_cnt = 0;
    coh_err_t rc = kv->ops->iterate(kv, table, coh_bytes(NULL, 0), false, visit_entry, r);
    rc           = rc == COH_OK ? r->err : rc;
    for (uint32_t s = 0; rc == COH_OK && s < r->dir.shard_cnt; s++) {
        rc = write_gathered(r, s);
    }
    if (rc != COH_OK && r->err_text->n == 0) {
        coh_buf_printf(r->err_text, "%s of rank %u: %s", what, r->source, coh_err_str(rc));
    }
    return rc;
}

/* ---- redo records ---- */

/* Lays items over the flat tables and code of shard. */
static coh_err_t lay_flat(reshard_t *r, uint32_t shard, coh_mv_item_t const *items, size_t cnt)
{
    coh_kv_t *kv = r->to[shard + 1].kv;
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_err_t rc = COH_OK;
    for (size_t i = 0; rc == COH_OK && i < cnt; i++) {
        coh_mv_item_t const *item = &items[i];
        coh_store_put_value(&batch, &item->key, &item->value);
        if (item->key.kind == COH_KEY_ACCOUNT) {
            rc = coh_value_has_code(&item->value) ? bring_code(r, shard, &item->value.code_hash)
                                                  : COH_OK;
            look_at(r, &item->key.addr);
            rc = rc == COH_OK ? note_guest(r, item->value.generation) : rc;
        }
    }
    if (rc == COH_OK) {
        rc = kv->ops->write(kv, &batch, true);
    }
    coh_kv_batch_free(&batch);
    return rc;
}

/* Lays items over the tries of shard. */
static coh_err_t lay_tries(reshard_t *r, uint32_t shard, coh_mv_item_t const *items, size_t cnt)
{
    coh_kv_t *kv            = r->to[shard + 1].kv;
    coh_mpt_config_t config = {
        .kv = kv, .table = COH_KV_TRIE, .cache_bytes = CACHE_BYTES, .dirty_bytes_max = SIZE_MAX};
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_mpt_t *mpt         = coh_mpt_new(&config);
    coh_arena_t scratch    = COH_ARENA_INIT;
    coh_trie_outcome_t out = {0};
    coh_err_t rc           = coh_trie_update(mpt, r->chain.head, items, cnt, &scratch, &out, NULL);
    if (rc == COH_OK) {
        coh_mpt_flush(mpt, &batch, SIZE_MAX, false);
        rc = kv->ops->write(kv, &batch, true);
        coh_mpt_flush_done(mpt);
    }
    free(out.nodes);
    coh_arena_free(&scratch);
    coh_mpt_free(mpt);
    coh_kv_batch_free(&batch);
    return rc;
}

/* Those of the items that go to shard. */
static size_t pick(coh_mv_item_t *out,
                   coh_mv_item_t const *items,
                   uint32_t const *shards,
                   size_t cnt,
                   uint32_t shard)
{
    size_t n = 0;
    for (size_t i = 0; i < cnt; i++) {
        if (shards[i] == shard) {
            out[n++] = items[i];
        }
    }
    return n;
}

/* Deals out the items of the source's redo records, each shard's in their order: to flat tables by account, to tries by bucket. The tries of accounts that live at the source and belong to another's
   bucket are not the source's to change: that shard's records have these changes too. */
static coh_err_t deal_items(reshard_t *r, coh_mv_item_t const *items, size_t cnt)
{
    uint32_t *flat      = coh_calloc(cnt + 1, sizeof(*flat)); /* new shard; NONE: it needs it not */
    uint32_t *tries     = coh_calloc(cnt + 1, sizeof(*tries));
    coh_mv_item_t *mine = coh_calloc(cnt + 1, sizeof(*mine));
    for (size_t i = 0; i < cnt; i++) {
        look_at(r, &items[i].key.addr);
        bool has_tries = coh_directory_shard(&r->chain.dir, r->bucket) + 1 == r->source;
        flat[i]        = r->is_left || items[i].is_guest ? NONE : r->owner;
        tries[i]       = has_tries ? coh_directory_shard(&r->dir, r->bucket) : NONE;
    }
    coh_err_t rc = COH_OK;
    for (uint32_t s = 0; rc == COH_OK && s < r->dir.shard_cnt; s++) {
        size_t mine_cnt = pick(mine, items, flat, cnt, s);
        rc              = mine_cnt == 0 ? COH_OK : lay_flat(r, s, mine, mine_cnt);
        mine_cnt        = pick(mine, items, tries, cnt, s);
        rc              = rc != COH_OK || mine_cnt == 0 ? rc : lay_tries(r, s, mine, mine_cnt);
    }
    free(mine);
    free(tries);
    free(flat);
    return rc;
}

/* Moves the tables that one old shard holds. */
static coh_err_t move_shard(reshard_t *r, uint32_t rank)
{
    COH_TRY(begin_source(r, rank));
    COH_TRY(move_table(r, COH_KV_ACCOUNTS, "accounts"));
    COH_TRY(move_table(r, COH_KV_STORAGE, "slots"));
    return move_table(r, COH_KV_TRIE, "pages of tries");
}

/* Lays the redo records of one old shard over what has been moved. */
static coh_err_t move_redo(reshard_t *r, uint32_t rank, uint64_t flushed)
{
    COH_TRY(begin_source(r, rank));
    coh_mv_item_t *items = NULL;
    size_t cnt           = 0;
    coh_kv_batch_t codes;
    coh_kv_batch_init(&codes);
    coh_err_t rc =
        coh_recovery_collect(r->from[rank].kv, flushed, r->chain.head, &items, &cnt, &codes);
    if (rc == COH_OK) {
        rc = r->redo_codes->ops->write(r->redo_codes, &codes, false);
    }
    if (rc == COH_OK) {
        rc = deal_items(r, items, cnt);
    }
    coh_kv_batch_free(&codes);
    free(items);
    if (rc != COH_OK && r->err_text->n == 0) {
        coh_buf_printf(r->err_text, "redo records of rank %u: %s", rank, coh_err_str(rc));
    }
    return rc;
}

static coh_err_t move_all(reshard_t *r)
{
    uint32_t shard_cnt = r->dir.shard_cnt;
    r->gather_bytes =
        COH_MIN(COH_MAX(GATHERED_BYTES / shard_cnt, GATHER_BYTES_MIN), GATHER_BYTES_MAX);
    r->gathered = coh_calloc(shard_cnt, sizeof(*r->gathered));
    r->flushed  = coh_calloc(r->from_cnt, sizeof(*r->flushed));
    r->shown_us = coh_clock_mono_us();
    COH_TRY(coh_kv_mem_open(&r->redo_codes));
    for (uint32_t rank = 1; rank < r->from_cnt; rank++) {
        coh_recovery_t found;
        COH_TRY(judge(r, rank, &found));
        r->flushed[rank] = found.mark.flushed;
        COH_TRY(move_shard(r, rank));
    }
    for (uint32_t rank = 1; rank < r->from_cnt; rank++) { /* all tables are there now */
        COH_TRY(move_redo(r, rank, r->flushed[rank]));
    }
    coh_store_mark_t mark = {
        .rank_cnt = shard_cnt + 1, .epoch = r->dir.epoch, .flushed = r->chain.head};
    for (uint32_t s = 0; s < shard_cnt; s++) {
        coh_kv_batch_t batch;
        coh_kv_batch_init(&batch);
        coh_store_put_mark(&batch, &mark);
        coh_err_t rc = r->to[s + 1].kv->ops->write(r->to[s + 1].kv, &batch, true);
        coh_kv_batch_free(&batch);
        COH_TRY(rc);
    }
    return COH_OK;
}

/* ---- putting it together ---- */

static void close_ranks(rank_t *ranks, uint32_t cnt)
{
    for (uint32_t rank = 0; ranks != NULL && rank < cnt; rank++) {
        if (ranks[rank].kv != NULL) {
            ranks[rank].kv->ops->close(ranks[rank].kv);
        }
        if (ranks[rank].dd != NULL) {
            coh_datadir_close(ranks[rank].dd);
        }
        ranks[rank] = (rank_t){0};
    }
}

/* The new folders as `cohort check` sees them. */
static coh_err_t check_new(reshard_t *r)
{
    coh_check_dir_t found;
    coh_buf_t text = COH_BUF_INIT;
    show(r, "checking", true);
    coh_check_dir(&found, &text, r->next, r->options->root_every);
    coh_err_t rc = found.finding_cnt == 0 && found.is_whole ? COH_OK : COH_ECORRUPT;
    if (rc != COH_OK) {
        coh_buf_printf(r->err_text,
                       "the data is damaged, or was before: nothing was changed. Of the new "
                       "folders cohort check says:\n%.*s",
                       (int)text.n,
                       (char const *)text.p);
    }
    r->out->state_root  = found.state_root;
    r->out->account_cnt = found.account_cnt;
    r->out->slot_cnt    = found.slot_cnt;
    coh_buf_free(&text);
    return rc;
}

/* Names in the new folders become durable; files are, by closing their stores. */
static coh_err_t sync_new(reshard_t *r)
{
    coh_err_t rc = COH_OK;
    for (uint32_t rank = 0; rc == COH_OK && rank <= r->dir.shard_cnt; rank++) {
        char *folder = coh_path_of("%s/rank-%u", r->next, rank);
        char *db     = coh_path_of("%s/db", folder);
        rc           = coh_file_sync_dir(db, r->err_text);
        if (rc == COH_OK) {
            rc = coh_file_sync_dir(folder, r->err_text);
        }
        free(db);
        free(folder);
    }
    return rc;
}

static coh_err_t build(reshard_t *r)
{
    coh_reshard_options_t const *o = r->options;
    COH_TRY(open_old(r));
    COH_TRY(
        coh_reshard_read_chain(&r->chain, r->from[0].kv, &r->genesis, r->from_cnt, r->err_text));
    r->out->from_cnt = r->from_cnt - 1;
    r->out->head     = r->chain.head;
    COH_TRY(coh_reshard_place(&r->dir, &r->chain.dir, o->placement, o->shard_cnt, r->err_text));
    COH_TRY(coh_swap_begin(o->dir, r->err_text));
    for (uint32_t rank = 1; rank <= o->shard_cnt; rank++) {
        COH_TRY(make_shard(r, rank));
    }
    COH_TRY(make_coordinator(r));
    COH_TRY(move_all(r));
    close_ranks(r->to, o->shard_cnt + 1);
    COH_TRY(check_new(r));
    return sync_new(r);
}

static void free_parts(reshard_t *r)
{
    close_ranks(r->to, r->options->shard_cnt + 1);
    for (uint32_t s = 0; r->gathered != NULL && s < r->options->shard_cnt; s++) {
        coh_kv_batch_free(&r->gathered[s]);
    }
    if (r->redo_codes != NULL) {
        r->redo_codes->ops->close(r->redo_codes);
    }
    close_ranks(r->from, r->locked_cnt);
    coh_genesis_free(&r->genesis);
    free(r->gathered);
    free(r->flushed);
    free(r->left);
    coh_directory_free(&r->dir);
    coh_directory_free(&r->chain.dir);
    free(r->chain.last_redo);
    free(r->from);
    free(r->to);
    free(r->genesis_path);
    free(r->next);
}

coh_err_t coh_reshard(coh_reshard_done_t *out,
                      coh_reshard_options_t const *options,
                      coh_buf_t *err_text)
{
    COH_ASSERT(options->shard_cnt >= 1 && options->shard_cnt <= COH_RESHARD_SHARDS_MAX);
    *out = (coh_reshard_done_t){0};
    if (coh_swap_is_pending(options->dir)) {
        out->was_finished = true;
        return coh_swap_finish(options->dir, err_text);
    }
    reshard_t r = {
        .options  = options,
        .out      = out,
        .err_text = err_text,
        .from     = coh_calloc(1, sizeof(*r.from)),
        .to       = coh_calloc(options->shard_cnt + 1, sizeof(*r.to)),
        .next     = coh_path_of("%s/next", options->dir),
    };
    coh_err_t rc = build(&r);
    if (rc == COH_OK) {
        /* Stores first: their files must not be written to under new names. The locks stay. */
        for (uint32_t rank = 0; rank < r.from_cnt; rank++) {
            r.from[rank].kv->ops->close(r.from[rank].kv);
            r.from[rank].kv = NULL;
        }
        rc = coh_swap_commit(options->dir, options->shard_cnt + 1, err_text);
    }
    free_parts(&r);
    if (rc != COH_OK && err_text->n == 0) {
        coh_buf_printf(err_text, "%s", coh_err_str(rc));
    }
    return rc;
}
