/* cohort bench KIND: puts load on a running cluster, or on the EVM in this process, and measures it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "common/obs/log.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/bench.h"
#include "deploy/cohort/cmd.h"
#include "shard/sched.h"

static int write_genesis(char const *path, coh_bench_options_t const *options)
{
    coh_bench_accounts_t accounts;
    coh_buf_t text = COH_BUF_INIT;
    coh_bench_accounts_new(&accounts, options->seed, options->account_cnt, options->thread_cnt);
    coh_bench_genesis_put(&text, &accounts);
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
    bool ok    = file != NULL && fwrite(text.p, 1, text.n, file) == text.n;
    ok         = (file != NULL && fclose(file) == 0) && ok;
    coh_buf_free(&text);
    coh_bench_accounts_free(&accounts);
    if (!ok) {
        (void)fprintf(stderr, "cohort bench: cannot write %s: %s\n", path, strerror(errno));
        return COH_EXIT_FAILED;
    }
    return COH_EXIT_OK;
}

static coh_err_t set_spot(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_spot_t *spot = dst;
    if (strcmp(value, "from") == 0) {
        *spot = COH_BENCH_HOT_FROM;
    } else if (strcmp(value, "to") == 0) {
        *spot = COH_BENCH_HOT_TO;
    } else {
        coh_buf_printf(err_text, "from or to");
        return COH_EINVAL;
    }
    return COH_OK;
}

static int cmd_transfers(int argc, char **argv)
{
    long cores                  = sysconf(_SC_NPROCESSORS_ONLN);
    coh_bench_options_t options = {.seed          = 1,
                                   .account_cnt   = 10000,
                                   .seconds       = 20,
                                   .cross_percent = 33,
                                   .batch         = 512,
                                   .pipeline      = 16,
                                   .window        = 16384};
    uint64_t thread_cnt         = cores > 0 ? (uint64_t)cores : 1;
    char const *genesis_path    = NULL;
    coh_arg_t const args[]      = {
             COH_ARG_STR_ROW("write-genesis",
                        "FILE",
                        &genesis_path,
                        "only write a genesis.json that funds the accounts, for cohort node; -: to "
                             "standard output"),
             COH_ARG_U64_ROW("seed",
                        "S",
                        &options.seed,
                        0,
                        UINT64_MAX,
                        "keys and traffic follow from it; as for --write-genesis"),
             COH_ARG_U64_ROW("accounts",
                        "N",
                        &options.account_cnt,
                        2,
                        100000000,
                        "accounts that pay and are paid; as for --write-genesis"),
             COH_ARG_U64_ROW(
            "seconds", "S", &options.seconds, 1, 86400, "hand in transactions for so long"),
             COH_ARG_U64_ROW("count",
                        "N",
                        &options.tx_cnt,
                        0,
                        1000000000,
                        "hand in N transactions instead; 0: as --seconds says"),
             COH_ARG_U64_ROW("cross",
                        "PERCENT",
                        &options.cross_percent,
                        0,
                        100,
                        "share of transfers that pay an account on another shard"),
             COH_ARG_CALL_ROW("hot",
                         "from|to",
                         set_spot,
                         &options.spot,
                         "every transfer comes from (pays) one account"),
             COH_ARG_U64_ROW("batch", "N", &options.batch, 1, 65536, "transactions in a request"),
             COH_ARG_U64_ROW(
            "pipeline", "N", &options.pipeline, 1, 1024, "requests on their way at a time"),
             COH_ARG_U64_ROW("window",
                        "N",
                        &options.window,
                        1,
                        16777216,
                        "transactions without a receipt at a time; with --hot from, keep it below "
                             "the cluster's pool-sender-tx-max"),
             COH_ARG_U64_ROW("sign-threads",
                        "N",
                        &thread_cnt,
                        1,
                        1024,
                        "threads for signing and for measuring recovery; default: all cores"),
             COH_ARG_STR_ROW("json", "FILE", &options.json_path, "also write the report as JSON"),
    };
    coh_command_t const command = {
        .name  = "bench transfers",
        .about = "Drives a running cluster with signed transfers (legacy, EIP-2930 and EIP-1559 in "
                 "turn) and prints a report: throughput, latency, cost by "
                 "stage. All is signed before the clock starts. Checks that every transaction "
                 "taken has exactly one receipt, that receipts, nonces "
                 "and balances are right, and that no money appeared or vanished; exits with 1 if "
                 "not. The cluster's addresses are --client-listen and "
                 "--client-publish, and --placement-policy is what it was first started with.",
        .examples = "  cohort bench transfers --write-genesis genesis.json\n"
                    "  cohort bench transfers --seconds 10 --cross 100\n"
                    "  cohort bench transfers --hot to --json report.json\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    static coh_config_t config;
    int exit_code = COH_EXIT_OK;
    int at        = coh_args_parse(&command, &config, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    options.thread_cnt = (uint32_t)thread_cnt;
    if (genesis_path != NULL) {
        return write_genesis(genesis_path, &options);
    }
    options.requests     = config.client_listen;
    options.publications = config.client_publish;
    options.placement    = config.placement_policy;
    options.batch        = COH_MIN(options.batch, options.window);
    return coh_bench_transfers(&options);
}

static int cmd_evm(int argc, char **argv)
{
    coh_bench_evm_options_t options = {.contracts   = COHORT_CONTRACTS_DIR,
                                       .sample_cnt  = 7,
                                       .sample_ms   = 40,
                                       .account_cnt = 1000,
                                       .seed        = 1};
    coh_arg_t const args[]          = {
                 COH_ARG_U64_ROW("samples",
                        "N",
                        &options.sample_cnt,
                        1,
                        1000,
                        "samples of each figure, which is their median"),
                 COH_ARG_U64_ROW("sample-ms", "MS", &options.sample_ms, 1, 60000, "length of a sample"),
                 COH_ARG_STR_ROW("filter", "TEXT", &options.filter, "only programs whose name holds TEXT"),
                 COH_ARG_U64_ROW(
            "accounts", "N", &options.account_cnt, 2, 10000000, "accounts that send transactions"),
                 COH_ARG_U64_ROW("seed", "S", &options.seed, 0, UINT64_MAX, "who pays whom follows from it"),
                 COH_ARG_STR_ROW("contracts", "DIR", &options.contracts, "artifacts of Token and Router"),
                 COH_ARG_STR_ROW("with-peers",
                        "DIR",
                        &options.peers,
                        "also measure OpenZeppelin's token and Uniswap V2, whose artifacts "
                                 "'tests/contracts/build.sh --with-peers' puts into build/deps/peers"),
                 COH_ARG_STR_ROW("baseline",
                        "FILE",
                        &options.baseline,
                        "compare with the output of an earlier run with --json: times faster"),
                 COH_ARG_FLAG_ROW("json", &options.json, "report as JSON"),
    };
    coh_command_t const command = {
        .name     = "bench evm",
        .operands = "[PATH...]",
        .about =
            "Measures the EVM on one core of this machine. Programs come from files of state "
            "tests and folders of them: each input's call is run by itself on the given state, "
            "with its code analysed once (execute) and in every run (total). Then whole "
            "transactions on a state in memory, from the check of the nonce to the fee, "
            "senders recovered beforehand: native transfers, ERC-20 transfers and swaps of a "
            "constant-product pool. Times are CPU time of one thread; figures of the "
            "machine (libsecp256k1, Keccak-256) are taken in between, for comparison across "
            "machines.",
        .examples = "  cohort bench evm evm-benchmarks/main evm-benchmarks/micro\n"
                    "  cohort bench evm evm-benchmarks --filter swap_math --json > before.json\n"
                    "  cohort bench evm --accounts 100000 --with-peers build/deps/peers\n",
        .args     = args,
        .arg_cnt  = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    int at        = coh_args_parse(&command, NULL, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    options.paths    = argv + at;
    options.path_cnt = (size_t)(argc - at);
    return coh_bench_evm(&options);
}

/* Takes the comma-separated words of value one by one; false: too many, or take refuses one. */
static bool each_word(char const *value,
                      size_t *cnt,
                      size_t max,
                      bool (*take)(void *dst, size_t at, char const *word),
                      void *dst)
{
    *cnt = 0;
    for (char const *at = value; at != NULL;) {
        char word[32];
        char const *end = strchr(at, ',');
        size_t n        = end != NULL ? (size_t)(end - at) : strlen(at);
        if (n == 0 || n >= sizeof(word) || *cnt == max) {
            return false;
        }
        memcpy(word, at, n);
        word[n] = '\0';
        if (!take(dst, *cnt, word)) {
            return false;
        }
        (*cnt)++;
        at = end != NULL ? end + 1 : NULL;
    }
    return true;
}

static bool take_number(char const *word, uint32_t min, uint32_t max, uint32_t *out)
{
    char rest;
    return sscanf(word, "%" SCNu32 "%c", out, &rest) == 1 && *out >= min && *out <= max;
}

static bool take_shards(void *dst, size_t at, char const *word)
{
    return take_number(word, 1, 1024, &((coh_bench_blocks_options_t *)dst)->shards[at]);
}

static bool take_threads(void *dst, size_t at, char const *word)
{
    return take_number(word, 1, 256, &((coh_bench_blocks_options_t *)dst)->threads[at]);
}

static bool take_cross(void *dst, size_t at, char const *word)
{
    return take_number(word, 0, 100, &((coh_bench_blocks_options_t *)dst)->crosses[at]);
}

static bool take_skew(void *dst, size_t at, char const *word)
{
    return coh_bench_skew_parse(&((coh_bench_blocks_options_t *)dst)->skews[at], word) == COH_OK;
}

static bool take_delay(void *dst, size_t at, char const *word)
{
    return take_number(word, 0, 1000000, &((coh_bench_blocks_options_t *)dst)->delays[at]);
}

static bool take_scheduler(void *dst, size_t at, char const *word)
{
    coh_sched_kind_t kind;
    if (coh_sched_kind_parse(&kind, word) != COH_OK) {
        return false;
    }
    ((coh_bench_blocks_options_t *)dst)->schedulers[at] = coh_sched_kind_str(kind);
    return true;
}

static coh_err_t refuse(coh_buf_t *err_text, char const *what)
{
    coh_buf_printf(
        err_text, "expected up to %u of: %s, with commas between", COH_BENCH_AXIS_MAX, what);
    return COH_EINVAL;
}

static coh_err_t set_shards(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_blocks_options_t *o = dst;
    return each_word(value, &o->shards_cnt, COH_BENCH_AXIS_MAX, take_shards, o)
               ? COH_OK
               : refuse(err_text, "1 to 1024");
}

static coh_err_t set_threads(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_blocks_options_t *o = dst;
    return each_word(value, &o->threads_cnt, COH_BENCH_AXIS_MAX, take_threads, o)
               ? COH_OK
               : refuse(err_text, "1 to 256");
}

static coh_err_t set_cross(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_blocks_options_t *o = dst;
    return each_word(value, &o->cross_cnt, COH_BENCH_AXIS_MAX, take_cross, o)
               ? COH_OK
               : refuse(err_text, "0 to 100");
}

static coh_err_t set_skew(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_blocks_options_t *o = dst;
    return each_word(value, &o->skew_cnt, COH_BENCH_AXIS_MAX, take_skew, o)
               ? COH_OK
               : refuse(err_text, "uniform, hot, zipf:THETA");
}

static coh_err_t set_delays(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_blocks_options_t *o = dst;
    return each_word(value, &o->delay_cnt, COH_BENCH_AXIS_MAX, take_delay, o)
               ? COH_OK
               : refuse(err_text, "0 to 1000000");
}

static coh_err_t set_schedulers(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_bench_blocks_options_t *o = dst;
    if (strcmp(value, "all") == 0) {
        value = "sequential,locking,optimistic";
    }
    return each_word(value, &o->scheduler_cnt, COH_BENCH_AXIS_MAX, take_scheduler, o)
               ? COH_OK
               : refuse(err_text, "optimistic, locking, sequential, or all");
}

static int cmd_blocks(int argc, char **argv)
{
    static coh_bench_blocks_options_t options = {.shards        = {1},
                                                 .threads       = {1},
                                                 .schedulers    = {"optimistic"},
                                                 .crosses       = {COH_BENCH_CROSS_ANY},
                                                 .shards_cnt    = 1,
                                                 .threads_cnt   = 1,
                                                 .scheduler_cnt = 1,
                                                 .cross_cnt     = 1,
                                                 .skew_cnt      = 1,
                                                 .delays        = {0},
                                                 .delay_cnt     = 1,
                                                 .seed          = 1,
                                                 .block_cnt     = 5,
                                                 .warm_cnt      = 1,
                                                 .placement     = "hash",
                                                 .repeat_cnt    = 1,
                                                 .contracts     = COHORT_CONTRACTS_DIR};
    coh_arg_t const args[]                    = {
                           COH_ARG_CALL_ROW("shards", "K,...", set_shards, &options, "shards; default: 1"),
                           COH_ARG_CALL_ROW(
            "threads", "T,...", set_threads, &options, "worker threads of each shard; default: 1"),
                           COH_ARG_CALL_ROW("scheduler",
                         "NAME,...",
                         set_schedulers,
                         &options,
                         "optimistic, locking, sequential, or all; default: optimistic"),
                           COH_ARG_CALL_ROW("cross",
                         "PERCENT,...",
                         set_cross,
                         &options,
                         "share of transactions whose other party is on another shard; default: "
                                            "wherever it falls"),
                           COH_ARG_CALL_ROW("skew",
                         "HOW,...",
                         set_skew,
                         &options,
                         "how accounts are drawn: uniform, zipf:THETA, or hot (nine times of ten "
                                            "one of a tenth); default: uniform"),
                           COH_ARG_CALL_ROW("delay",
                         "US,...",
                         set_delays,
                         &options,
                         "microseconds that every message between ranks takes, on top of what it "
                                            "takes anyhow; default: 0"),
                           COH_ARG_U64_ROW(
            "accounts",
            "N",
            &options.account_cnt,
            0,
            1000000,
            "accounts that send transactions; 0: as many as the work is defined for, or 2000"),
                           COH_ARG_U64_ROW(
            "txs", "N", &options.tx_cnt, 0, 65536, "transactions in a block; 0: likewise"),
                           COH_ARG_U64_ROW(
            "blocks", "N", &options.block_cnt, 2, 1000, "blocks, with those that are not measured"),
                           COH_ARG_U64_ROW(
            "warm", "N", &options.warm_cnt, 1, 999, "the first so many blocks are not measured"),
                           COH_ARG_STR_ROW(
            "placement",
            "POLICY",
            &options.placement,
            "as placement-policy of a node: hash, affinity, random:SEED or pinned:FILE"),
                           COH_ARG_U64_ROW(
            "instances",
            "N",
            &options.instance_cnt,
            0,
            100,
            "tokens, banks or games (up to 15) or pools (up to 100); 0: as the work has it"),
                           COH_ARG_U64_ROW("repeat",
                        "N",
                        &options.repeat_cnt,
                        1,
                        101,
                        "runs of each layout, in turn; the median of their times counts"),
                           COH_ARG_U64_ROW("seed", "S", &options.seed, 0, UINT64_MAX, "all work follows from it"),
                           COH_ARG_STR_ROW("contracts", "DIR", &options.contracts, "artifacts of our contracts"),
                           COH_ARG_STR_ROW(
            "with-peers",
            "DIR",
            &options.peers,
            "published contracts instead of ours where there are such, OpenZeppelin's ERC-20 and "
                               "Uniswap's: artifacts that 'tests/contracts/build.sh --with-peers' puts into "
                               "build/deps/peers"),
                           COH_ARG_STR_ROW("dir",
                        "DIR",
                        &options.dir,
                        "commit to stores on disk, in a folder made in DIR for each run and "
                                           "removed afterwards; default: in memory"),
                           COH_ARG_STR_ROW("sweep",
                        "PREFIX",
                        &options.sweep,
                        "also write PREFIX.csv, and plots of it to PREFIX.svg"),
                           COH_ARG_FLAG_ROW("json", &options.json, "a line of JSON for each layout"),
    };
    coh_command_t const command = {
        .name     = "bench blocks",
        .operands = "[WORK|FILE[+FILE...]...]",
        .about =
            "Executes blocks in clusters in this process, coordinator, shards and commits "
            "included, and reports throughput, what it cost in "
            "CPU time of all threads, incarnations, retractions and messages between shards. "
            "What they do is a WORK (default: each that is of no set size), or, of recordings of "
            "real blocks (realblock-1), a FILE, or several with + between, in the order of their "
            "numbers, as a chain: block after block in one cluster, each by the rules of its fork; "
            "exits with 1, naming the first conflict, if they do not go together, because a "
            "transaction would be invalid where it stands. Of recordings all blocks are measured, "
            "and of these the transactions alone. Options with lists make a grid. "
            "Every run must seal the same headers as scheduler sequential on one shard with "
            "one thread, which runs first and is what speed-up is relative to; exits with 1 "
            "if one does not. The works: "
#define COH_BENCH_WORK(ID, name, uses, txs, about) name " (" about "), "
#include "deploy/cohort/bench_world.def"
#undef COH_BENCH_WORK
            "of which the last five are for comparison with others: pool3, pools3 and gigaswap "
            "need "
            "--with-peers.",
        .examples =
            "  cohort bench blocks --threads 1,2 --scheduler all pool pools\n"
            "  cohort bench blocks --shards 1,2,4 --cross 0,30,100 --skew "
            "uniform,zipf:0.99,hot --sweep sweep token\n"
            "  cohort bench blocks --shards 4 --placement affinity --blocks 80 --warm 50 groups\n"
            "  cohort bench blocks --threads 1,2 --blocks 3 gigaself gigatoken\n"
            "  cohort bench blocks --with-peers build/deps/peers token pool pool3 gigaswap\n"
            "  cohort bench blocks --threads 1,2 realblocks/mainnet-17034869.json\n"
            "  cohort bench blocks --threads 1,2 "
            "realblocks/mainnet-19426586.json+realblocks/mainnet-19426587.json\n",
        .args    = args,
        .arg_cnt = COH_CNT(args),
    };
    int exit_code = COH_EXIT_OK;
    int at        = coh_args_parse(&command, NULL, argc, argv, &exit_code);
    if (at < 0) {
        return exit_code;
    }
    options.paths = argv + at;
    for (int i = at; i < argc; i++) {
        if (options.work_cnt < COH_BENCH_WORK_CNT &&
            coh_bench_work_parse(&options.works[options.work_cnt], argv[i]) == COH_OK) {
            options.work_cnt++;
        } else {
            options.paths[options.path_cnt++] = argv[i];
        }
    }
    (void)coh_log_init("error", ""); /* the ranks have much to say */
    return coh_bench_blocks(&options);
}

int coh_cmd_bench(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "transfers") == 0) {
        return cmd_transfers(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "evm") == 0) {
        return cmd_evm(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "blocks") == 0) {
        return cmd_blocks(argc - 1, argv + 1);
    }
    bool help = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc >= 2 && !help) {
        (void)fprintf(stderr, "cohort bench: unknown kind '%s'\n\n", argv[1]);
    }
    (void)fprintf(
        help ? stdout : stderr,
        "usage: cohort bench KIND [OPTION...]\n\n"
        "  transfers  signed value transfers between accounts, to a running cluster\n"
        "  evm        programs and contract transactions, in this process\n"
        "  blocks     blocks of contract transactions through clusters in this process\n\n"
        "'cohort bench KIND --help' explains a kind and its options, with examples.\n");
    return help ? COH_EXIT_OK : COH_EXIT_USAGE;
}
