/* cohort import: replays recorded blocks of real networks, or an exported chain, through an embedded cluster and holds the result against the recording or the headers. */
#include <dirent.h>
#include <errno.h>
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
#include "deploy/cohort/realblock_state.h"
#include "deploy/cohort/report_text.h"

typedef struct {
    coh_config_t config;
    bool json;
    bool all;
    bool produced;
    char const *rlp; /* NULL: recorded blocks */
    uint64_t passed;
    uint64_t failed;
    uint64_t others; /* not executed: nothing that can be */
    uint64_t whole;  /* of those passed, with all their steps */
    uint64_t tx_cnt; /* of those passed, as all below */
    uint64_t gas;
    uint64_t field_cnt; /* that their headers have and that follow from something */
    uint64_t confirmed_cnt;
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

/* What is known about one block, and what has become of it. */
typedef struct {
    coh_realblock_t block;
    coh_realblock_whole_t whole;
    coh_import_outcome_t outcome;
    coh_genesis_account_t *expected; /* afterwards, where that can be added up */
    size_t expected_cnt;
    uint32_t confirmed; /* fields of the header, by bit */
} replay_t;

/* The credits of the block's steps, NULL: none. */
static coh_step_t const *find_credits(coh_plan_t const *plan)
{
    for (uint32_t i = 0; i < plan->after.cnt; i++) {
        if (plan->after.steps[i].kind == COH_STEP_CREDIT) {
            return &plan->after.steps[i];
        }
    }
    return NULL;
}

/* Adds up what accounts must hold, where no code runs and no balances move beside transactions and credits. */
static bool add_up(replay_t *r, coh_buf_t *why)
{
    coh_realblock_kind_t kind = coh_realblock_kind(&r->block);
    if ((kind != COH_REALBLOCK_TRANSFERS && kind != COH_REALBLOCK_EMPTY) ||
        r->whole.rules.dao_moves) {
        return true;
    }
    return coh_realblock_expect(
               &r->expected, &r->expected_cnt, &r->block, find_credits(&r->whole.plan), why) ==
           COH_OK;
}

static bool check_accounts(replay_t const *r, coh_buf_t *why)
{
    for (size_t i = 0; i < r->expected_cnt; i++) {
        coh_op_account_t const *is          = &r->outcome.accounts[i];
        coh_genesis_account_t const *should = &r->expected[i];
        if (is->nonce != should->nonce || !coh_u256_eq(&is->balance, &should->balance)) {
            char have[COH_U256_DEC_SZ];
            char want[COH_U256_DEC_SZ];
            coh_u256_to_dec(have, &is->balance);
            coh_u256_to_dec(want, &should->balance);
            coh_buf_printf(why,
                           "account %zu of %zu: nonce %" PRIu64 " balance %s, expected %" PRIu64
                           " and %s",
                           i,
                           r->expected_cnt,
                           is->nonce,
                           have,
                           should->nonce,
                           want);
            return false;
        }
    }
    return true;
}

/* Before Byzantium receipts hold state roots. */
static bool check_old_receipts(replay_t *r, coh_buf_t *why)
{
    coh_realblock_reference_t reference;
    coh_hash_t root;
    bool ok = coh_realblock_reference_run(&reference, &r->block, &r->whole, why) == COH_OK &&
              coh_realblock_receipts_root(
                  &root, &r->block, r->outcome.result.sealed, &reference, why) == COH_OK;
    if (ok && !coh_hash_eq(&root, &r->whole.block.header.receipts_root)) {
        coh_buf_printf(why, "wrong root of receipts");
        ok = false;
    }
    coh_realblock_reference_free(&reference);
    r->confirmed |= (uint32_t)ok << COH_REALFIELD_RECEIPTS_ROOT;
    return ok;
}

/* The roots of the whole state. */
static bool check_witness(replay_t *r, coh_buf_t *why)
{
    coh_hash_t root;
    coh_witness_t *witness = coh_realblock_witness(&r->block);
    bool ok = coh_realblock_state_root(&root, witness, &r->block, &r->outcome.after, why) == COH_OK;
    coh_witness_free(witness);
    if (ok && !coh_hash_eq(&root, &r->whole.block.header.state_root)) {
        coh_buf_printf(why, "wrong state root");
        ok = false;
    }
    r->confirmed |= (uint32_t)ok << COH_REALFIELD_STATE_ROOT;
    return ok && (r->block.fork >= COH_FORK_BYZANTIUM || check_old_receipts(r, why));
}

static bool check_outcome(replay_t *r, coh_buf_t *why)
{
    coh_import_result_t const *result = &r->outcome.result;
    if (result->err != COH_OK) {
        coh_buf_printf(why, "%s: ", coh_err_str(result->err));
        coh_block_fault_put(why, &result->fault);
        return false;
    }
    r->confirmed = r->whole.body_fields | r->whole.run_fields;
    for (size_t i = 0; i < r->block.tx_cnt; i++) {
        uint64_t gas = result->sealed->receipts[i].gas_used;
        if (gas != r->block.gas[i]) {
            coh_buf_printf(why,
                           "transaction %zu: gas %" PRIu64 ", recorded %" PRIu64,
                           i,
                           gas,
                           r->block.gas[i]);
            return false;
        }
    }
    return check_accounts(r, why) &&
           (!r->block.has_witness || r->whole.lacks != NULL || check_witness(r, why));
}

static bool execute(import_t const *im, replay_t *r, coh_genesis_t const *genesis, coh_buf_t *why)
{
    char dir[PATH_MAX] = "";
    if (coh_realblock_whole_init(&r->whole, &r->block, why) != COH_OK || !add_up(r, why)) {
        return false;
    }
    if (!make_dir(im, dir)) {
        coh_buf_printf(why, "cannot make a folder for the stores");
        return false;
    }
    coh_addr_t *addrs = coh_calloc(r->expected_cnt + 1, sizeof(*addrs));
    for (size_t i = 0; i < r->expected_cnt; i++) {
        addrs[i] = r->expected[i].addr;
    }
    bool ok = coh_import_cluster_run(&r->outcome,
                                     dir,
                                     &im->config,
                                     genesis,
                                     &r->whole.import.block,
                                     addrs,
                                     r->expected_cnt,
                                     r->block.has_witness,
                                     why) == COH_OK &&
              check_outcome(r, why);
    if (im->config.node_data[0] == '\0') {
        (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    free(addrs);
    return ok;
}

/* The fields of set, with one text before and one behind each but the last. */
static void put_fields(coh_buf_t *out, uint32_t set, char const *quote)
{
    char const *between = "";
    for (uint32_t f = 0; f < COH_REALFIELD_CNT; f++) {
        if ((set >> f & 1) != 0) {
            coh_buf_printf(
                out, "%s%s%s%s", between, quote, coh_realfield_str((coh_realfield_t)f), quote);
            between = ", ";
        }
    }
}

static void print_json(import_t const *im,
                       char const *name,
                       replay_t const *r,
                       char const *result,
                       coh_buf_t const *why)
{
    coh_buf_t fields = COH_BUF_INIT;
    put_fields(&fields, r->confirmed, "\"");
    coh_buf_t texts = COH_BUF_INIT;
    coh_report_json_member(&texts, "file", name);
    size_t name_n = texts.n;
    coh_report_json_text(&texts, (char const *)why->p, why->n);
    printf("{%.*s\"number\":%" PRIu64 ",\"fork\":\"%s\",\"txs\":%zu,\"gas\":%" PRIu64
           ",\"shards\":%" PRIu64 ",\"threads\":%" PRIu64 ",\"result\":\"%s\",\"us\":%" PRIu64
           ",\"confirmed\":[%.*s],\"lacks\":\"%s\",\"reason\":%.*s}\n",
           (int)name_n,
           (char const *)texts.p,
           r->block.number,
           coh_fork_name(r->block.fork),
           r->block.tx_cnt,
           r->block.gas_used,
           im->config.node_shards,
           im->config.node_threads,
           result,
           r->outcome.elapsed_us,
           (int)fields.n,
           (char const *)fields.p,
           r->whole.lacks != NULL ? r->whole.lacks : "",
           (int)(texts.n - name_n),
           (char const *)texts.p + name_n);
    coh_buf_free(&texts);
    coh_buf_free(&fields);
}

static void print_text(char const *name,
                       replay_t const *r,
                       char const *result,
                       coh_buf_t const *why)
{
    printf("%-28s %-16s %5zu %10" PRIu64 "  %-8s",
           name,
           coh_fork_name(r->block.fork),
           r->block.tx_cnt,
           r->block.gas_used,
           result);
    if (why->n != 0) {
        printf(" %.*s\n", (int)why->n, (char const *)why->p);
        return;
    }
    coh_buf_t fields = COH_BUF_INIT;
    put_fields(&fields, r->confirmed, "");
    printf(" %7.1f ms  confirmed: %.*s\n",
           (double)r->outcome.elapsed_us / 1e3,
           (int)fields.n,
           (char const *)fields.p);
    if (r->whole.lacks != NULL) {
        printf("%-28s only its transactions: %s\n", "", r->whole.lacks);
    }
    coh_buf_free(&fields);
}

static uint32_t count_bits(uint32_t set) { return (uint32_t)__builtin_popcount(set); }

static void import_file(import_t *im, char const *path)
{
    static char const *const words[] = {
        [PASSED] = "passed", [FAILED] = "FAILED", [OTHER] = "skipped"};
    replay_t r            = {0};
    coh_genesis_t genesis = {0};
    coh_buf_t why         = COH_BUF_INIT;
    verdict_t verdict     = FAILED;
    if (coh_realblock_load(&r.block, path, &why) == COH_OK) {
        coh_realblock_kind_t kind = coh_realblock_kind(&r.block);
        if (kind == COH_REALBLOCK_TYPE) {
            verdict = OTHER;
            coh_buf_printf(&why, "%s", coh_realblock_kind_str(kind));
        } else if (coh_realblock_genesis(&genesis, &r.block, &why) == COH_OK &&
                   execute(im, &r, &genesis, &why)) {
            verdict = PASSED;
        }
    }
    char const *slash = strrchr(path, '/');
    char const *name  = slash != NULL ? slash + 1 : path;
    if (im->json) {
        print_json(im, name, &r, words[verdict], &why);
    } else {
        print_text(name, &r, words[verdict], &why);
    }
    (void)fflush(stdout);
    im->passed += verdict == PASSED;
    im->failed += verdict == FAILED;
    im->others += verdict == OTHER;
    if (verdict == PASSED) {
        im->tx_cnt += r.block.tx_cnt;
        im->gas += r.block.gas_used;
        im->whole += r.whole.lacks == NULL;
        im->field_cnt += count_bits(coh_realfields(r.block.fork));
        im->confirmed_cnt += count_bits(r.confirmed);
    }
    coh_genesis_free(&genesis);
    coh_import_outcome_free(&r.outcome);
    coh_realblock_whole_fini(&r.whole);
    coh_realblock_free(&r.block);
    free(r.expected);
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
        .about =
            "Replays recorded blocks (JSON files of format realblock-1, or folders of them) "
            "through an embedded cluster: pre-state in, then the whole block with its rewards, "
            "withdrawals and system calls by the rules of its fork. A block passes if "
            "the recovered senders are the recorded ones, the gas of each transaction is as "
            "recorded, and every field of the header that the recording can confirm is "
            "confirmed: roots of transactions, receipts and withdrawals, gas, bloom, hashes "
            "of ommers and requests, and with a Merkle witness the state root; where no code "
            "runs also every balance and nonce is what transactions and credits add up to. "
            "Of a recording that lacks what a step needs only the transactions are replayed, "
            "which is said. Exits with 0 if at least one block "
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
    if (!im.produced && im.config.block_root_every != 1) {
        (void)fprintf(stderr,
                      "cohort import: --block-root-every is for chains that Cohort produced "
                      "(--rlp with --produced): all other blocks have a state root each\n");
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
            (void)fprintf(stderr, "cohort import: cannot read %s: %s\n", argv[i], strerror(errno));
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
        printf("\n%" PRIu64 " passed (%" PRIu64 " whole; %" PRIu64 " transactions, %" PRIu64
               " gas; %" PRIu64 " of %" PRIu64 " header fields confirmed), %" PRIu64
               " failed, %" PRIu64 " skipped; %" PRIu64 " shards x %" PRIu64 " threads\n",
               im.passed,
               im.whole,
               im.tx_cnt,
               im.gas,
               im.confirmed_cnt,
               im.field_cnt,
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
