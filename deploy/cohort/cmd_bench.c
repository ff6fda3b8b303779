/* cohort bench KIND: puts load on a running cluster, or on the EVM in this process, and measures it. */
#include <stdio.h>
#include <unistd.h>

#include "deploy/cohort/args.h"
#include "deploy/cohort/bench.h"
#include "deploy/cohort/cmd.h"

static int write_genesis(char const *path, coh_bench_options_t const *options)
{
    coh_bench_accounts_t accounts;
    coh_buf_t text = COH_BUF_INIT;
    coh_bench_accounts_new(&accounts, options->seed, options->account_cnt, options->thread_cnt);
    coh_bench_genesis_put(&text, &accounts);
    FILE *file = fopen(path, "w");
    bool ok    = file != NULL && fwrite(text.p, 1, text.n, file) == text.n;
    ok         = (file != NULL && fclose(file) == 0) && ok;
    coh_buf_free(&text);
    coh_bench_accounts_free(&accounts);
    if (!ok) {
        (void)fprintf(stderr, "cohort bench: cannot write %s\n", path);
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
                        "only write a genesis.json that funds the accounts, for cohort node"),
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

int coh_cmd_bench(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "transfers") == 0) {
        return cmd_transfers(argc - 1, argv + 1);
    }
    if (argc >= 2 && strcmp(argv[1], "evm") == 0) {
        return cmd_evm(argc - 1, argv + 1);
    }
    bool help = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    (void)fprintf(help ? stdout : stderr,
                  "usage: cohort bench KIND [OPTION...]\n\n"
                  "  transfers  signed value transfers between accounts, to a running cluster\n"
                  "  evm        programs and contract transactions, in this process\n\n"
                  "'cohort bench KIND --help' explains a kind and its options, with examples.\n");
    return help ? COH_EXIT_OK : COH_EXIT_USAGE;
}
