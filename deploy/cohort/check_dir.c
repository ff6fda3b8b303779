/* A whole data directory: one rank after the other, then what only all of them can tell. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "deploy/cohort/check.h"
#include "deploy/cohort/datadir.h"

#define CACHE_BYTES ((size_t)16 << 20)
/* Ranks that a directory is looked through for. */
#define RANKS_MAX 1025u

/* A folder. */
typedef struct {
    coh_datadir_t *dd;
    coh_kv_t *kv; /* NULL: it is not open */
    coh_genesis_t genesis;
    bool is_tried;
    coh_buf_t why; /* it does not open */
} folder_t;

typedef struct {
    coh_check_dir_t *out;
    coh_buf_t *text;
    char const *dir;
    folder_t *folders; /* by rank */
    coh_check_chain_t chain;
    coh_roots_t *roots;
    uint32_t fresh_cnt;
} dir_t;

static void close_folder(folder_t *f)
{
    if (f->kv != NULL) {
        f->kv->ops->close(f->kv);
    }
    coh_genesis_free(&f->genesis);
    if (f->dd != NULL) {
        coh_datadir_close(f->dd);
    }
    coh_buf_free(&f->why);
    *f = (folder_t){0};
}

/* Opens a folder, if it is not open already. */
static bool open_folder(dir_t *d, uint32_t rank)
{
    folder_t *f = &d->folders[rank];
    if (f->is_tried) {
        return f->kv != NULL;
    }
    f->is_tried  = true;
    coh_err_t rc = coh_datadir_open(&f->dd, d->dir, rank, 0, &f->why);
    if (rc == COH_OK) {
        rc = coh_genesis_load(&f->genesis, coh_datadir_genesis_path(f->dd), &f->why);
    }
    if (rc == COH_OK) {
        rc = coh_datadir_open_kv(f->dd, &f->kv, &f->genesis, CACHE_BYTES, &f->why);
    }
    return rc == COH_OK;
}

static bool has_folder(char const *dir, uint32_t rank)
{
    coh_buf_t path = COH_BUF_INIT;
    struct stat st;
    coh_buf_printf(&path, "%s/rank-%u", dir, rank);
    coh_buf_put_u8(&path, 0);
    bool there = stat((char const *)path.p, &st) == 0 && S_ISDIR(st.st_mode);
    coh_buf_free(&path);
    return there;
}

static coh_kv_t *store_of(void *arg, uint32_t rank)
{
    dir_t *d = arg;
    return rank < RANKS_MAX && has_folder(d->dir, rank) && open_folder(d, rank)
               ? d->folders[rank].kv
               : NULL;
}

static void tell_findings(dir_t *d, uint32_t rank, coh_check_findings_t const *findings)
{
    char const *at = (char const *)findings->text.p;
    size_t left    = findings->text.n;
    while (left != 0) {
        size_t n = (size_t)((char const *)memchr(at, '\n', left) - at) + 1;
        coh_buf_printf(d->text, "rank %u: WRONG: %.*s", rank, (int)n, at);
        at += n;
        left -= n;
    }
    if (findings->cnt >= COH_CHECK_FINDINGS_MAX) {
        coh_buf_printf(d->text, "rank %u: WRONG: and more, not looked for\n", rank);
    }
    d->out->finding_cnt += findings->cnt;
}

static void check_shard(dir_t *d, coh_check_findings_t *findings, folder_t *folder, uint32_t rank)
{
    coh_check_shard_t s;
    coh_check_shard(&s,
                    findings,
                    d->roots,
                    folder->kv,
                    rank,
                    coh_datadir_rank_cnt(folder->dd),
                    &d->chain,
                    &(coh_check_stores_t){.of = store_of, .arg = d});
    coh_buf_printf(d->text,
                   "rank %u: shard, flushed up to %" PRIu64 ", %" PRIu64 " redo records (%" PRIu64
                   " undecided), %" PRIu64 " accounts, %" PRIu64 " slots, %" PRIu64 " codes%s\n",
                   rank,
                   s.flushed,
                   s.redo_cnt,
                   s.undecided_cnt,
                   s.account_cnt,
                   s.slot_cnt,
                   s.code_cnt,
                   s.fresh ? "; its first start has not ended" : "");
    d->fresh_cnt += s.fresh;
    d->out->account_cnt += s.account_cnt;
    d->out->slot_cnt += s.slot_cnt;
    d->out->redo_cnt += s.redo_cnt;
}

/* Checks one folder; the chain is filled in by rank 0's. */
static void check_folder(dir_t *d, uint32_t rank)
{
    coh_check_findings_t findings = {0};
    folder_t *folder              = &d->folders[rank];
    if (!open_folder(d, rank)) {
        (void)coh_check_finding(&findings, "%.*s", (int)folder->why.n, (char const *)folder->why.p);
    } else if (rank == 0) {
        coh_check_coordinator(
            &d->chain, &findings, folder->kv, &folder->genesis, coh_datadir_rank_cnt(folder->dd));
        d->out->shard_cnt = coh_datadir_rank_cnt(folder->dd) - 1;
        coh_buf_printf(d->text,
                       "rank 0: coordinator of %u shards, chain %" PRIu64 ": %" PRIu64
                       " blocks up to %" PRIu64 ", %" PRIu64 " transactions\n",
                       d->out->shard_cnt,
                       folder->genesis.chain_id,
                       d->chain.block_cnt,
                       d->chain.head,
                       d->chain.tx_cnt);
    } else {
        check_shard(d, &findings, folder, rank);
    }
    if (d->chain.dir.override_cnt == 0) { /* else others ask for it */
        close_folder(folder);
    }
    tell_findings(d, rank, &findings);
    coh_buf_free(&findings.text);
}

/* The root of what all shards hold, against the head's header. */
static void check_root(dir_t *d, uint64_t root_every)
{
    coh_check_chain_t const *chain = &d->chain;
    coh_check_dir_t *out           = d->out;
    coh_roots_compute(d->roots, &out->state_root);
    out->head   = chain->head;
    bool is_own = chain->head == chain->first || chain->fork < COH_FORK_BYZANTIUM ||
                  chain->head % root_every == 0;
    if (is_own && !coh_hash_eq(&out->state_root, &chain->state_root)) {
        char found[65];
        char expected[65];
        coh_hex_encode(found, out->state_root.b, sizeof(out->state_root.b));
        coh_hex_encode(expected, chain->state_root.b, sizeof(chain->state_root.b));
        coh_buf_printf(d->text,
                       "WRONG: the state of all shards has root 0x%s, block %" PRIu64
                       " says 0x%s\n",
                       found,
                       chain->head,
                       expected);
        out->finding_cnt++;
    }
}

void coh_check_dir(coh_check_dir_t *out, coh_buf_t *text, char const *dir, uint64_t root_every)
{
    *out    = (coh_check_dir_t){0};
    dir_t d = {.out     = out,
               .text    = text,
               .dir     = dir,
               .folders = coh_calloc(RANKS_MAX, sizeof(*d.folders)),
               .roots   = coh_roots_new()};
    for (uint32_t rank = 0; rank < RANKS_MAX; rank++) {
        if (has_folder(dir, rank)) {
            check_folder(&d, rank);
            out->rank_cnt++;
        }
    }
    out->is_whole = out->shard_cnt != 0 && out->rank_cnt == out->shard_cnt + 1 && d.fresh_cnt == 0;
    if (out->is_whole && d.chain.known && out->finding_cnt == 0) {
        check_root(&d, root_every);
    }
    for (uint32_t rank = 0; rank < RANKS_MAX; rank++) {
        close_folder(&d.folders[rank]);
    }
    free(d.folders);
    free(d.chain.last_redo);
    coh_directory_free(&d.chain.dir);
    coh_roots_free(d.roots);
}
