/* cohort import: replays recorded blocks of real networks, or an exported chain, through an embedded cluster and holds the result against the recording or the headers. */
#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/hex.h"
#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/cmd.h"
#include "deploy/cohort/import_chain.h"
#include "deploy/cohort/import_cluster.h"
#include "deploy/cohort/realblock_import.h"

typedef struct {
    coh_config_t config;
    bool json;
    bool all;
    bool produced;
    char const *rlp; /* NULL: recorded blocks */
    uint64_t passed;
    uint64_t failed;
    uint64_t others; /* not executed: nothing in them */
    uint64_t tx_cnt; /* of those passed */
    uint64_t gas;
} import_t;

typedef enum { PASSED, FAILED, OTHER } verdict_t;

/* ---- Files ------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    char **v;
    size_t cnt;
} paths_t;

static void add_path(paths_t *paths, char *path)
{
    paths->v               = coh_realloc(paths->v, (paths->cnt + 1) * sizeof(*paths->v));
    paths->v[paths->cnt++] = path;
}

static int is_json(struct dirent const *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

/* A file as it is, or the .json files of a folder in the order of their names. */
static bool expand_path(paths_t *paths, char const *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        add_path(paths, coh_strdup(path));
        return true;
    }
    struct dirent **entries;
    int cnt = scandir(path, &entries, is_json, versionsort);
    for (int i = 0; i < cnt; i++) {
        coh_buf_t full = COH_BUF_INIT;
        coh_buf_printf(&full, "%s/%s", path, entries[i]->d_name);
        coh_buf_put_u8(&full, 0);
        add_path(paths, (char *)full.p);
        free(entries[i]);
    }
    if (cnt >= 0) {
        free(entries);
    }
    return cnt >= 0;
}

static int remove_entry(char const *path, struct stat const *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* A fresh folder for one block's stores: below --data, or a temporary one. */
static bool make_dir(import_t const *im, char out[PATH_MAX])
{
    char const *tmp    = getenv("TMPDIR");
    char const *parent = im->config.node_data[0] != '\0' ? im->config.node_data
                         : tmp != NULL && tmp[0] != '\0' ? tmp
                                                         : "/tmp";
    int n              = snprintf(out, PATH_MAX, "%s/cohort-import.XXXXXX", parent);
    return n > 0 && n < PATH_MAX && mkdtemp(out) != NULL;
}

/* ---- One block -------------------------------------------------------------------------------------------------------------- */

/* Recovers the senders of all transactions; false at the first that is not the recorded one. */
static bool recover_senders(coh_realblock_t const *block, coh_buf_t *why)
{
    coh_tx_recover_t *batch = coh_calloc(block->tx_cnt, sizeof(*batch));
    coh_buf_t scratch       = COH_BUF_INIT;
    for (size_t i = 0; i < block->tx_cnt; i++) {
        batch[i].tx = &block->txs[i];
    }
    (void)coh_tx_recover_batch(batch, block->tx_cnt, &scratch);
    bool ok = true;
    for (size_t i = 0; ok && i < block->tx_cnt; i++) {
        ok = batch[i].err == COH_TX_OK && coh_addr_eq(&batch[i].sender, &block->senders[i]);
        if (!ok) {
            coh_buf_printf(why, "transaction %zu: recovered another sender than recorded", i);
        }
    }
    coh_buf_free(&scratch);
    free(batch);
    return ok;
}

static bool check_outcome(coh_realblock_t const *block,
                          coh_import_outcome_t const *outcome,
                          coh_genesis_account_t const *expected,
                          size_t expected_cnt,
                          coh_buf_t *why)
{
    coh_import_result_t const *r = &outcome->result;
    if (r->err != COH_OK) {
        coh_buf_printf(why, "%s: ", coh_err_str(r->err));
        coh_block_fault_put(why, &r->fault);
        return false;
    }
    if (r->gas_used != block->gas_used) {
        coh_buf_printf(
            why, "gas used %" PRIu64 ", header has %" PRIu64, r->gas_used, block->gas_used);
        return false;
    }
    for (size_t i = 0; i < block->tx_cnt; i++) {
        if (outcome->gas[i] != block->gas[i]) {
            coh_buf_printf(why,
                           "transaction %zu: gas %" PRIu64 ", recorded %" PRIu64,
                           i,
                           outcome->gas[i],
                           block->gas[i]);
            return false;
        }
    }
    if (memcmp(outcome->bloom, block->bloom, sizeof(block->bloom)) != 0) {
        coh_buf_printf(why, "the bloom of the logs is not the header's");
        return false;
    }
    for (size_t i = 0; i < expected_cnt; i++) {
        coh_op_account_t const *is = &outcome->accounts[i];
        if (is->nonce != expected[i].nonce || !coh_u256_eq(&is->balance, &expected[i].balance)) {
            char have[COH_U256_DEC_SZ];
            char want[COH_U256_DEC_SZ];
            coh_u256_to_dec(have, &is->balance);
            coh_u256_to_dec(want, &expected[i].balance);
            coh_buf_printf(why,
                           "account %zu of %zu: nonce %" PRIu64 " balance %s, expected %" PRIu64
                           " and %s",
                           i,
                           expected_cnt,
                           is->nonce,
                           have,
                           expected[i].nonce,
                           want);
            return false;
        }
    }
    return true;
}

static bool execute(import_t const *im,
                    coh_realblock_t const *block,
                    coh_genesis_t const *genesis,
                    uint64_t *elapsed_us,
                    coh_buf_t *why)
{
    coh_genesis_account_t *expected = NULL;
    size_t expected_cnt             = 0;
    coh_addr_t *addrs               = NULL;
    coh_import_outcome_t outcome    = {0};
    char dir[PATH_MAX]              = "";
    bool ok                         = recover_senders(block, why);
    if (ok && coh_realblock_kind(block) == COH_REALBLOCK_TRANSFERS) {
        ok = coh_realblock_expect(&expected, &expected_cnt, block, why) == COH_OK;
    }
    if (ok && !make_dir(im, dir)) {
        coh_buf_printf(why, "cannot make a folder for the stores");
        dir[0] = '\0';
        ok     = false;
    }
    if (ok) {
        addrs = coh_calloc(expected_cnt, sizeof(*addrs));
        for (size_t i = 0; i < expected_cnt; i++) {
            addrs[i] = expected[i].addr;
        }
        coh_import_block_t const import = coh_realblock_import(block);
        ok =
            coh_import_cluster_run(
                &outcome, dir, &im->config, genesis, &import, addrs, expected_cnt, why) == COH_OK &&
            check_outcome(block, &outcome, expected, expected_cnt, why);
        *elapsed_us = outcome.elapsed_us;
    }
    if (dir[0] != '\0' && im->config.node_data[0] == '\0') {
        (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    free(outcome.accounts);
    free(outcome.gas);
    free(addrs);
    free(expected);
    return ok;
}

static void print_row(import_t const *im,
                      char const *name,
                      coh_realblock_t const *block,
                      verdict_t verdict,
                      uint64_t elapsed_us,
                      coh_buf_t const *why)
{
    static char const *const words[] = {
        [PASSED] = "passed", [FAILED] = "FAILED", [OTHER] = "skipped"};
    if (im->json) {
        /* Names and reasons are ours and hold nothing that JSON escapes but what file names may bring. */
        printf("{\"file\":\"");
        for (char const *p = name; *p != '\0'; p++) {
            if (*p == '"' || *p == '\\' || (unsigned char)*p < 0x20) {
                printf("\\u%04x", (unsigned)(unsigned char)*p);
            } else {
                putchar(*p);
            }
        }
        printf("\",\"number\":%" PRIu64 ",\"fork\":\"%s\",\"txs\":%zu,\"gas\":%" PRIu64
               ",\"shards\":%" PRIu64 ",\"threads\":%" PRIu64 ",\"result\":\"%s\",\"us\":%" PRIu64
               ",\"reason\":\"%.*s\"}\n",
               block->number,
               coh_fork_name(block->fork),
               block->tx_cnt,
               block->gas_used,
               im->config.node_shards,
               im->config.node_threads,
               words[verdict],
               elapsed_us,
               (int)why->n,
               (char const *)why->p);
    } else {
        printf("%-28s %-16s %5zu %10" PRIu64 "  %-8s",
               name,
               coh_fork_name(block->fork),
               block->tx_cnt,
               block->gas_used,
               words[verdict]);
        if (verdict == PASSED) {
            printf(" %7.1f ms\n", (double)elapsed_us / 1e3);
        } else {
            printf(" %.*s\n", (int)why->n, (char const *)why->p);
        }
    }
    (void)fflush(stdout);
}

static void import_file(import_t *im, char const *path)
{
    coh_realblock_t block;
    coh_genesis_t genesis = {0};
    coh_buf_t why         = COH_BUF_INIT;
    uint64_t elapsed_us   = 0;
    verdict_t verdict     = FAILED;
    if (coh_realblock_load(&block, path, &why) == COH_OK) {
        coh_realblock_kind_t kind = coh_realblock_kind(&block);
        if (kind != COH_REALBLOCK_TRANSFERS && kind != COH_REALBLOCK_CODE) {
            verdict = OTHER;
            coh_buf_printf(&why, "%s", coh_realblock_kind_str(kind));
        } else if (coh_realblock_genesis(&genesis, &block, &why) == COH_OK &&
                   execute(im, &block, &genesis, &elapsed_us, &why)) {
            verdict = PASSED;
        }
    }
    char const *slash = strrchr(path, '/');
    print_row(im, slash != NULL ? slash + 1 : path, &block, verdict, elapsed_us, &why);
    im->passed += verdict == PASSED;
    im->failed += verdict == FAILED;
    im->others += verdict == OTHER;
    if (verdict == PASSED) {
        im->tx_cnt += block.tx_cnt;
        im->gas += block.gas_used;
    }
    coh_genesis_free(&genesis);
    coh_realblock_free(&block);
    coh_buf_free(&why);
}

/* ---- A chain ---------------------------------------------------------------------------------------------------------------- */

static void print_chain(import_t const *im, coh_import_chain_outcome_t const *out)
{
    bool valid    = out->fault.err == COH_BLOCK_OK;
    coh_buf_t why = COH_BUF_INIT;
    char hash[65];
    coh_hex_encode(hash, out->hash.b, sizeof(out->hash.b));
    if (!valid) {
        coh_block_fault_put(&why, &out->fault);
    }
    if (im->json) {
        printf("{\"result\":\"%s\",\"imported\":%" PRIu64 ",\"skipped\":%" PRIu64
               ",\"txs\":%" PRIu64 ",\"gas\":%" PRIu64 ",\"head\":%" PRIu64
               ",\"hash\":\"0x%s\",\"shards\":%" PRIu64 ",\"threads\":%" PRIu64 ",\"us\":%" PRIu64,
               valid ? "passed" : "FAILED",
               out->imported_cnt,
               out->skipped_cnt,
               out->tx_cnt,
               out->gas,
               out->head,
               hash,
               im->config.node_shards,
               im->config.node_threads,
               out->elapsed_us);
        if (!valid) {
            printf(",\"block\":%" PRIu64 ",\"reason\":\"%.*s\"",
                   out->fault_number,
                   (int)why.n,
                   (char const *)why.p);
        }
        printf("}\n");
    } else {
        if (!valid) {
            printf("block %" PRIu64 " is invalid: %.*s\n",
                   out->fault_number,
                   (int)why.n,
                   (char const *)why.p);
        }
        printf("%" PRIu64 " blocks imported (%" PRIu64 " transactions, %" PRIu64
               " gas) in %.1f s, %" PRIu64 " were there; head %" PRIu64 " 0x%s; %" PRIu64
               " shards x %" PRIu64 " threads\n",
               out->imported_cnt,
               out->tx_cnt,
               out->gas,
               (double)out->elapsed_us / 1e6,
               out->skipped_cnt,
               out->head,
               hash,
               im->config.node_shards,
               im->config.node_threads);
    }
    coh_buf_free(&why);
}

static int import_chain(import_t *im)
{
    coh_import_chain_options_t const options = {.config         = &im->config,
                                                .rlp_path       = im->rlp,
                                                .produced       = im->produced,
                                                .shows_progress = true};
    coh_import_chain_outcome_t out;
    coh_buf_t text    = COH_BUF_INIT;
    bool is_temporary = im->config.node_data[0] == '\0';
    if (is_temporary) {
        char dir[PATH_MAX];
        if (!make_dir(im, dir) || coh_config_set(&im->config, "node-data", dir, &text) != COH_OK) {
            (void)fprintf(stderr, "cohort import: cannot make a folder for the stores\n");
            coh_buf_free(&text);
            return COH_EXIT_FAILED;
        }
    }
    coh_err_t err = coh_import_chain_run(&out, &options, &text);
    if (err != COH_OK) {
        (void)fprintf(stderr, "cohort import: %.*s\n", (int)text.n, (char const *)text.p);
    } else {
        print_chain(im, &out);
    }
    if (is_temporary) {
        (void)nftw(im->config.node_data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    coh_buf_free(&text);
    return err == COH_OK && out.fault.err == COH_BLOCK_OK ? COH_EXIT_OK : COH_EXIT_FAILED;
}

int coh_cmd_import(int argc, char **argv)
{
    static import_t im;
    coh_arg_t const args[] = {
        COH_ARG_FLAG_ROW("json", &im.json, "one line of JSON for each block"),
        COH_ARG_FLAG_ROW("all", &im.all, "count blocks that are skipped as failures"),
        COH_ARG_STR_ROW("rlp",
                        "FILE",
                        &im.rlp,
                        "import this exported chain instead, on the chain of --genesis"),
        COH_ARG_FLAG_ROW("produced",
                         &im.produced,
                         "with --rlp: a chain that Cohort produced; blocks may have their parent's "
                         "timestamp, and system contracts that the genesis lacks are not called"),
    };
    coh_command_t const command = {
        .name     = "import",
        .operands = "PATH...",
        .about = "Replays recorded blocks (JSON files of format realblock-1, or folders of them) "
                 "through an embedded cluster: pre-state in, signed transactions in order, "
                 "one block. A block passes if the recovered senders are the recorded ones, the "
                 "gas of each "
                 "transaction is as recorded, and gas and bloom of the block are the header's; "
                 "where no code "
                 "runs also every balance and nonce is what the "
                 "transactions themselves add up to. Blocks without transactions "
                 "are named and skipped. Exits with 0 if at least one block "
                 "was executed and none failed. With --data the stores are kept there. "
                 "With --rlp the blocks of an exported chain (concatenated RLP, as geth's export "
                 "writes them) are validated and executed instead, every header field compared, up "
                 "to the first invalid block, which is named; with --data they go into that data "
                 "directory, behind the blocks that it holds already.",
        .examples = "  cohort import realblocks/mainnet-930196.json\n"
                    "  cohort import --shards 8 --threads 2 realblocks\n"
                    "  cohort import --rlp chain.rlp --genesis genesis.json --data ./data --shards "
                    "3\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    int at        = coh_args_parse(&command, &im.config, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    if ((at == argc) == (im.rlp == NULL)) {
        (void)fprintf(stderr,
                      "cohort import: %s; 'cohort import --help' explains\n",
                      im.rlp == NULL ? "no files" : "files beside --rlp");
        return COH_EXIT_USAGE;
    }
    if (im.rlp == NULL && im.produced) {
        (void)fprintf(stderr,
                      "cohort import: --produced needs --rlp; 'cohort import --help' explains\n");
        return COH_EXIT_USAGE;
    }
    /* The table is the news; of the log only what went wrong. */
    if (strcmp(im.config.log_level, "info") == 0) {
        (void)snprintf(im.config.log_level, sizeof(im.config.log_level), "warn");
    }
    if (coh_log_init(im.config.log_level, im.config.log_file) != COH_OK) {
        (void)fprintf(stderr, "cohort import: cannot log to %s\n", im.config.log_file);
        return COH_EXIT_FAILED;
    }
    if (im.rlp != NULL) {
        return import_chain(&im);
    }
    paths_t paths = {0};
    for (int i = at; i < argc; i++) {
        if (!expand_path(&paths, argv[i])) {
            (void)fprintf(stderr, "cohort import: cannot read %s\n", argv[i]);
            exit_code = COH_EXIT_FAILED;
        }
    }
    if (!im.json) {
        printf("%-28s %-16s %5s %10s  %s\n", "block", "rules", "txs", "gas", "result");
    }
    for (size_t i = 0; i < paths.cnt; i++) {
        import_file(&im, paths.v[i]);
        free(paths.v[i]);
    }
    free(paths.v);
    if (!im.json) {
        printf("\n%" PRIu64 " passed (%" PRIu64 " transactions, %" PRIu64 " gas), %" PRIu64
               " failed, %" PRIu64 " skipped; %" PRIu64 " shards x %" PRIu64 " threads\n",
               im.passed,
               im.tx_cnt,
               im.gas,
               im.failed,
               im.others,
               im.config.node_shards,
               im.config.node_threads);
    }
    if (im.failed > 0 || im.passed == 0 || (im.all && im.others > 0)) {
        exit_code = COH_EXIT_FAILED;
    }
    return exit_code;
}
