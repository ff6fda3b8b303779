/* links: coh_args */
#include "deploy/cohort/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGV_MAX 16

static bool flag;
static uint64_t number;
static char const *text;
static unsigned call_cnt;
static char last_call[32];
static coh_config_t cfg;
static int exit_code;
static char printed[2][65536]; /* standard output, standard error of the last run */
static char *args_of_run[ARGV_MAX];

static coh_err_t take(void *dst, char const *value, coh_buf_t *err_text)
{
    (*(unsigned *)dst)++;
    (void)snprintf(last_call, sizeof(last_call), "%s", value);
    if (strcmp(value, "bad") == 0) {
        coh_buf_printf(err_text, "not that one");
        return COH_EINVAL;
    }
    return strcmp(value, "worse") == 0 ? COH_EUNSUPPORTED : COH_OK;
}

static coh_arg_t const rows[] = {
    COH_ARG_FLAG_ROW("verbose", &flag, "say more"),
    COH_ARG_U64_ROW("count", "N", &number, 1, 100, "how many"),
    COH_ARG_STR_ROW("target", "ADDRESS", &text, "where to"),
    COH_ARG_CALL_ROW("add", "NAME", take, &call_cnt, "add one; may be repeated"),
};

static coh_command_t command = {.name     = "try",
                                .about    = "Tries what there is.",
                                .examples = "  cohort try it\n",
                                .args     = rows,
                                .arg_cnt  = COH_CNT(rows)};

static int setup(void **state)
{
    (void)state;
    flag             = false;
    number           = 7;
    text             = "here";
    call_cnt         = 0;
    command.operands = NULL;
    coh_config_default(&cfg);
    return 0;
}

static FILE *redirect(int fd, int *saved)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(fd == STDOUT_FILENO ? stdout : stderr);
    *saved = dup(fd);
    assert_true(*saved >= 0 && dup2(fileno(file), fd) == fd);
    return file;
}

static void restore(int fd, int saved, FILE *file, char *out, size_t out_sz)
{
    (void)fflush(fd == STDOUT_FILENO ? stdout : stderr);
    assert_true(dup2(saved, fd) == fd);
    assert_int_equal(close(saved), 0);
    rewind(file);
    out[fread(out, 1, out_sz - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
}

/* Parses the words after "try"; the last one is NULL. */
static int run(coh_config_t *with, char const *const *words)
{
    int argc            = 0;
    args_of_run[argc++] = (char[]){"try"};
    for (; *words != NULL; words++) {
        args_of_run[argc++] = (char *)(uintptr_t)*words;
    }
    args_of_run[argc] = NULL;
    int saved[2];
    FILE *files[2]  = {redirect(STDOUT_FILENO, &saved[0]), redirect(STDERR_FILENO, &saved[1])};
    exit_code       = -1;
    int operand_idx = coh_args_parse(&command, with, argc, args_of_run, &exit_code);
    restore(STDERR_FILENO, saved[1], files[1], printed[1], sizeof(printed[1]));
    restore(STDOUT_FILENO, saved[0], files[0], printed[0], sizeof(printed[0]));
    return operand_idx;
}

#define RUN(with, ...) run(with, (char const *const[]){__VA_ARGS__, NULL})

static void assert_has(char const *where, char const *part)
{
    if (strstr(where, part) == NULL) {
        fail_msg("'%s' does not say '%s'", where, part);
    }
}

/* The command line is refused with exit code 2, and standard error says part. */
static void assert_refused(int operand_idx, char const *part)
{
    assert_int_equal(operand_idx, -1);
    assert_int_equal(exit_code, COH_EXIT_USAGE);
    assert_has(printed[1], part);
    assert_has(printed[1], "cohort try --help");
    assert_string_equal(printed[0], "");
}

static void args_of_a_command(void **state)
{
    (void)state;
    assert_int_equal(
        RUN(NULL, "--verbose", "--count", "12", "--target=there", "--add", "a", "--add=b"), 8);
    assert_int_equal(exit_code, COH_EXIT_OK);
    assert_true(flag);
    assert_int_equal(number, 12);
    assert_string_equal(text, "there");
    assert_int_equal(call_cnt, 2);
    assert_string_equal(last_call, "b");
    assert_string_equal(printed[1], "");
}

static void args_operands(void **state)
{
    (void)state;
    assert_refused(RUN(NULL, "file"), "unexpected argument 'file'");
    command.operands = "FILE...";
    int first        = RUN(NULL, "a", "--verbose", "b", "--", "--count");
    assert_true(flag);
    assert_int_equal(number, 7);
    assert_string_equal(args_of_run[first], "a");
    assert_string_equal(args_of_run[first + 1], "b");
    assert_string_equal(args_of_run[first + 2], "--count");
}

static void args_wrong_values(void **state)
{
    (void)state;
    assert_refused(RUN(NULL, "--count", "0"), "--count: '0' is not a whole number in 1..100");
    assert_refused(RUN(NULL, "--count", "101"), "1..100");
    assert_refused(RUN(NULL, "--count", "-5"), "1..100");
    assert_refused(RUN(NULL, "--count="), "1..100");
    assert_refused(RUN(NULL, "--count", "5x"), "1..100");
    assert_refused(RUN(NULL, "--count", "99999999999999999999"), "1..100");
    assert_int_equal(number, 7);
    assert_refused(RUN(NULL, "--count"), "--count needs a value");
    assert_refused(RUN(NULL, "--verbose=yes"), "--verbose takes no value");
    assert_refused(RUN(NULL, "--add", "bad"), "--add bad: not that one");
    assert_refused(RUN(NULL, "--add", "worse"), "--add worse: not supported");
}

static void args_unknown_options(void **state)
{
    (void)state;
    assert_refused(RUN(NULL, "--verbos"), "unknown option --verbos; did you mean --verbose?");
    assert_refused(RUN(NULL, "--conut=4"), "unknown option --conut; did you mean --count?");
    assert_refused(RUN(NULL, "--xyzzyxyzzy"), "unknown option --xyzzyxyzzy\n");
    assert_refused(RUN(NULL, "-x"), "unknown option -x");
    assert_refused(RUN(NULL, "--node-threads", "2"),
                   "unknown option --node-threads");               /* not without a configuration */
    assert_refused(RUN(&cfg, "--tx-max", "2"), "did you mean --"); /* the section is missing */
    assert_refused(RUN(&cfg, "--block-txmax", "2"), "did you mean --block-tx-max?");
    assert_refused(RUN(&cfg, "--shard", "2"),
                   "unknown option --shard; did you mean --shards?"); /* no abbreviations */
    assert_refused(RUN(&cfg, "--block", "2"), "unknown option --block");
    assert_false(flag);
}

static void args_configuration(void **state)
{
    (void)state;
    assert_int_equal(RUN(&cfg,
                         "--block-tx-max",
                         "5",
                         "--shards=3",
                         "--node-threads",
                         "4",
                         "--pool-allow-unprotected"),
                     7);
    assert_int_equal(cfg.block_tx_max, 5);
    assert_int_equal(cfg.node_shards, 3);
    assert_int_equal(cfg.node_threads, 4);
    assert_true(cfg.pool_allow_unprotected);
    assert_int_equal(RUN(&cfg, "--pool-allow-unprotected=false"), 2);
    assert_false(cfg.pool_allow_unprotected);
    assert_refused(RUN(&cfg, "--block-tx-max", "0"),
                   "--block-tx-max: '0' is not a whole number in 1..65536");
    assert_refused(RUN(&cfg, "--shards", "0"), "--node-shards: '0' is not a whole number");
}

static void args_own_option_hides_a_bare_name(void **state)
{
    (void)state;
    coh_arg_t const own[] = {
        COH_ARG_U64_ROW("threads", "N", &number, 1, 100, "threads that make load")};
    command.args    = own;
    command.arg_cnt = COH_CNT(own);
    assert_int_equal(RUN(&cfg, "--threads", "9", "--node-threads", "2"), 5);
    command.args    = rows;
    command.arg_cnt = COH_CNT(rows);
    assert_int_equal(number, 9);
    assert_int_equal(cfg.node_threads, 2);
}

/* Defaults, file, environment, command line: each beats the one before. */
static void args_order_of_sources(void **state)
{
    (void)state;
    char path[] = "/tmp/coh_test_args_XXXXXX";
    int fd      = mkstemp(path);
    assert_true(fd >= 0);
    static char const ini[] = "[node]\nshards = 2\nthreads = 2\n[block]\ntx_max = 2\n";
    assert_int_equal(write(fd, ini, sizeof(ini) - 1), sizeof(ini) - 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(setenv("COH_NODE_THREADS", "3", 1), 0);
    assert_int_equal(setenv("COH_BLOCK_TX_MAX", "3", 1), 0);
    assert_int_equal(RUN(&cfg, "--block-tx-max", "4", "--config", path), 5);
    assert_int_equal(cfg.block_depth, 4);
    assert_int_equal(cfg.node_shards, 2);
    assert_int_equal(cfg.node_threads, 3);
    assert_int_equal(cfg.block_tx_max, 4);
    assert_int_equal(setenv("COH_NODE_THREADS", "none", 1), 0);
    assert_refused(RUN(&cfg, "--verbose"),
                   "environment variable COH_NODE_THREADS: node-threads: 'none'");
    assert_int_equal(unsetenv("COH_NODE_THREADS"), 0);
    assert_int_equal(unsetenv("COH_BLOCK_TX_MAX"), 0);
    assert_int_equal(unlink(path), 0);
    assert_refused(RUN(&cfg, "--config", path), path);
}

static void args_help(void **state)
{
    (void)state;
    assert_int_equal(RUN(&cfg, "--help"), -1);
    assert_int_equal(exit_code, COH_EXIT_OK);
    static char const *const parts[] = {
        "usage: cohort try [OPTION...]\n",
        "Tries what there is.",
        "--count N\n      how many [7; 1..100]\n",
        "--target ADDRESS\n      where to [here]\n",
        "--config FILE",
        " [block]\n  --block-tx-max N\n",
        "\n      transactions in one block [8192; 1..65536] (cluster)\n",
        "--node-shards N, --shards\n",
        "EXAMPLES\n  cohort try it\n",
        "EXIT CODES",
    };
    for (size_t i = 0; i < COH_CNT(parts); i++) {
        assert_has(printed[0], parts[i]);
    }
    size_t cnt;
    coh_cfg_row_t const *table = coh_config_rows(&cnt);
    for (size_t i = 0; i < cnt; i++) {
        assert_has(printed[0], table[i].option);
    }
    size_t column = 0;
    for (char const *p = printed[0]; *p != '\0'; p++) {
        column = *p == '\n' ? 0 : column + 1;
        assert_true(column <= 100);
    }
    assert_int_equal(RUN(&cfg, "--count", "nonsense", "-h"),
                     -1); /* help comes before complaints about values */
    assert_int_equal(exit_code, COH_EXIT_OK);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup(args_of_a_command, setup),
        cmocka_unit_test_setup(args_operands, setup),
        cmocka_unit_test_setup(args_wrong_values, setup),
        cmocka_unit_test_setup(args_unknown_options, setup),
        cmocka_unit_test_setup(args_configuration, setup),
        cmocka_unit_test_setup(args_own_option_hides_a_bare_name, setup),
        cmocka_unit_test_setup(args_order_of_sources, setup),
        cmocka_unit_test_setup(args_help, setup),
    };
    return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
