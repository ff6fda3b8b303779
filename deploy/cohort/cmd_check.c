/* cmd_check.c: walks a data directory that no cluster uses, and says what is wrong with it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/check.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/datadir.h"

#define CACHE_BYTES ((size_t)16 << 20)
/* Ranks that a directory is looked through for. */
#define RANKS_MAX 1025u

/* An opened folder. */
typedef struct {
    coh_datadir_t *dd;
    coh_kv_t *kv;
    coh_genesis_t genesis;
} folder_t;

static void close_folder(folder_t *f)
{
    if (f->kv != NULL) {
        f->kv->ops->close(f->kv);
    }
    coh_genesis_free(&f->genesis);
    if (f->dd != NULL) {
        coh_datadir_close(f->dd);
    }
}

static coh_err_t open_folder(folder_t *f, char const *dir, uint32_t rank, coh_buf_t *err_text)
{
    *f = (folder_t){0};
    COH_TRY(coh_datadir_open(&f->dd, dir, rank, 0, err_text));
    coh_err_t rc = coh_genesis_load(&f->genesis, coh_datadir_genesis_path(f->dd), err_text);
    if (rc == COH_OK) {
        rc = coh_datadir_open_kv(f->dd, &f->kv, &f->genesis, CACHE_BYTES, err_text);
    }
    return rc;
}

static void print_findings(uint32_t rank, coh_check_findings_t const *findings)
{
    char const *at = (char const *)findings->text.p;
    size_t left    = findings->text.n;
    while (left != 0) {
        size_t n = (size_t)((char const *)memchr(at, '\n', left) - at) + 1;
        (void)printf("rank %u: WRONG: %.*s", rank, (int)n, at);
        at += n;
        left -= n;
    }
    if (findings->cnt >= COH_CHECK_FINDINGS_MAX) {
        (void)printf("rank %u: WRONG: and more, not looked for\n", rank);
    }
}

/* Checks one folder; chain is filled in by rank 0's. Returns the number of findings. */
static uint32_t check_folder(char const *dir, uint32_t rank, coh_check_chain_t *chain)
{
    coh_check_findings_t findings = {0};
    coh_buf_t text                = COH_BUF_INIT;
    folder_t folder;
    if (open_folder(&folder, dir, rank, &text) != COH_OK) {
        (void)coh_check_finding(&findings, "%.*s", (int)text.n, (char const *)text.p);
    } else if (rank == 0) {
        coh_check_coordinator(
            chain, &findings, folder.kv, &folder.genesis, coh_datadir_rank_cnt(folder.dd));
        (void)printf("rank 0: coordinator of %u shards, chain %" PRIu64 ": %" PRIu64
                     " blocks up to %" PRIu64 ", %" PRIu64 " transactions\n",
                     coh_datadir_rank_cnt(folder.dd) - 1,
                     folder.genesis.chain_id,
                     chain->block_cnt,
                     chain->head,
                     chain->tx_cnt);
    } else {
        coh_check_shard_t s;
        coh_check_shard(&s, &findings, folder.kv, rank, coh_datadir_rank_cnt(folder.dd), chain);
        (void)printf("rank %u: shard, flushed up to %" PRIu64 ", %" PRIu64 " redo records (%" PRIu64
                     " undecided), %" PRIu64 " accounts, %" PRIu64 " slots, %" PRIu64 " codes%s\n",
                     rank,
                     s.flushed,
                     s.redo_cnt,
                     s.undecided_cnt,
                     s.account_cnt,
                     s.slot_cnt,
                     s.code_cnt,
                     s.fresh ? "; its first start has not ended" : "");
    }
    close_folder(&folder);
    print_findings(rank, &findings);
    coh_buf_free(&text);
    coh_buf_free(&findings.text);
    return findings.cnt;
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

int coh_cmd_check(int argc, char **argv)
{
    coh_command_t const command = {
        .name     = "check",
        .operands = "DIR",
        .about    = "Walks a data directory that no cluster uses: marks, the checksums of redo and "
                    "decision records, blocks "
                    "without a gap, accounts, slots and code. On a host that holds only some "
                    "ranks, those; shards are held "
                    "against the decisions where rank 0 is there too. Nothing is changed but for "
                    "what any opening of a store "
                    "does (its log is replayed). Exit code 1 if anything is wrong.",
        .examples = "  cohort check /var/lib/cohort\n",
    };
    int exit_code;
    int at = coh_args_parse(&command, NULL, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    if (argc - at != 1) {
        (void)fprintf(stderr, "cohort check: expected one data directory\n");
        return COH_EXIT_USAGE;
    }
    coh_check_chain_t chain = {0};
    uint64_t finding_cnt    = 0;
    uint32_t rank_cnt       = 0;
    for (uint32_t rank = 0; rank < RANKS_MAX; rank++) {
        if (has_folder(argv[at], rank)) {
            finding_cnt += check_folder(argv[at], rank, &chain);
            rank_cnt++;
        }
    }
    free(chain.last_redo);
    coh_directory_free(&chain.dir);
    if (rank_cnt == 0) {
        (void)fprintf(stderr, "cohort check: %s holds no rank's data\n", argv[at]);
        return COH_EXIT_FAILED;
    }
    (void)printf("%u ranks, %s\n", rank_cnt, finding_cnt == 0 ? "nothing wrong" : "see above");
    return finding_cnt == 0 ? COH_EXIT_OK : COH_EXIT_FAILED;
}
