/* Official blockchain tests through the sequential reference and through clusters: all cases of our own (folder own_blocks: under each fork two branches of blocks as npm's @ethereumjs/vm
   10.1.3 makes them, and blocks that differ from a valid one in one thing), straight, resumed at each first read, in both loops of the interpreter, with rebuilt and with
   incremental roots, and in clusters of one, of three and of four shards, these at the worst places (adversary.h) with delayed messages; then files of the published suites, drawn at random, or, with COHORT_TEST_LONG, all of them in all ways. Cases that
   are wrong in one place show that the runner would notice. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "common/obs/log.h"
#include "deploy/cohort/blocktest_run.h"
#include "tests/support/data.h"
#include "tests/support/seed.h"

#define OWN       COHORT_SOURCE_DIR "/tests/conformance/own_blocks/chains.json"
#define OWN_CASES 15
#define OWN_BAD   97 /* blocks to be rejected */
#define ALL_CASES 8874
#define SAMPLE_US UINT64_C(10000000)

static coh_blocktest_options_t const modes[] = {
    {.loop = COH_EVM_FAST},
    {.loop = COH_EVM_FAST, .incremental = true},
    {.loop = COH_EVM_SWITCH, .stutter = true},
    {.loop = COH_EVM_FAST, .stutter = true, .incremental = true},
    {.layout = {.shards = 1, .threads = 1}},
    {.layout = {.shards = 3, .threads = 2, .has_placement = true, .placement_seed = 20261126}},
    {.layout = {.shards = 4, .threads = 2, .is_adversarial = true, .delay_us = 200}},
};

typedef struct {
    size_t passed;
    size_t failed;
    uint64_t valid_cnt;
    uint64_t invalid_cnt;
    coh_buf_t why; /* of those that failed */
} totals_t;

/* Runs the cases of a file. */
static void run_file(totals_t *totals, char const *path, coh_blocktest_options_t const *options)
{
    coh_blocktest_select_t const all = {.network = NULL};
    coh_blocktest_file_t file;
    coh_buf_t err_text             = COH_BUF_INIT;
    coh_blocktest_engine_t *engine = coh_vector_layout_is_set(&options->layout)
                                         ? coh_blocktest_clustered(options)
                                         : coh_blocktest_sequential(options);
    if (coh_blocktest_load(&file, path, &all, &err_text) != COH_OK) {
        coh_buf_printf(&totals->why, "%s: %.*s\n", path, (int)err_text.n, (char const *)err_text.p);
        totals->failed++;
        file.case_cnt = 0;
    }
    for (size_t i = 0; i < file.case_cnt; i++) {
        coh_blocktest_result_t result;
        coh_blocktest_run(engine, &result, &file.cases[i], options);
        totals->passed += result.pass;
        totals->failed += !result.pass;
        totals->valid_cnt += result.valid_cnt;
        totals->invalid_cnt += result.invalid_cnt;
        if (!result.pass) {
            coh_buf_printf(&totals->why,
                           "%s, %s: %.*s\n%.*s",
                           path,
                           file.cases[i].id,
                           (int)result.why.n,
                           (char const *)result.why.p,
                           (int)result.diff.n,
                           (char const *)result.diff.p);
        }
        coh_blocktest_result_free(&result);
    }
    engine->free(engine);
    coh_blocktest_free(&file);
    coh_buf_free(&err_text);
}

static void expect_all_pass(totals_t *totals)
{
    if (totals->failed != 0) {
        fail_msg("%zu cases failed\n%.*s",
                 totals->failed,
                 (int)totals->why.n,
                 (char const *)totals->why.p);
    }
    coh_buf_free(&totals->why);
}

static void blocktests_of_our_own_pass(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(modes); i++) {
        totals_t totals = {.why = COH_BUF_INIT};
        run_file(&totals, OWN, &modes[i]);
        expect_all_pass(&totals);
        assert_int_equal(totals.passed, OWN_CASES);
        assert_int_equal(totals.valid_cnt, OWN_CASES * 5);
        assert_int_equal(totals.invalid_cnt, OWN_BAD);
    }
}

/* ---- What is wrong gets noticed ---- */

/* Writes root to a file, runs it, and expects words among what is wrong. */
static void expect_error(json_t const *root, char const *words)
{
    char path[] = "/tmp/test_blocktests.XXXXXX";
    int fd      = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(json_dumpf(root, file, 0), 0);
    assert_int_equal(fclose(file), 0);
    totals_t totals = {.why = COH_BUF_INIT};
    run_file(&totals, path, &modes[0]);
    (void)remove(path);
    coh_buf_put_u8(&totals.why, 0);
    assert_int_equal(totals.failed, 1);
    if (strstr((char const *)totals.why.p, words) == NULL) {
        fail_msg("%s; expected: %s", (char const *)totals.why.p, words);
    }
    coh_buf_free(&totals.why);
}

static json_t *load_one(char const *id)
{
    json_t *root = coh_test_json(OWN);
    json_t *one  = json_object();
    json_object_set(one, id, json_object_get(root, id));
    json_t *copy = json_deep_copy(one);
    json_decref(one);
    json_decref(root);
    return copy;
}

static void blocktests_notice_what_is_wrong(void **state)
{
    (void)state;
    static char const zeros[] =
        "0x0000000000000000000000000000000000000000000000000000000000000000";
    static char const id[] = "own_chain_Osaka";
    static struct {
        char const *member;
        char const *value;
        char const *words;
    } const changes[] = {
        {"lastblockhash", zeros, "head 0x"},
        {"postStateHash", zeros, "state root 0x"},
        {"network", "Paris", "block"},
        {"network", "Atlantis", "member Atlantis is no network that this build knows"},
        {"network", "ParisToPragueAt5", "is no network"},
        {"genesisRLP", "0xc0", "genesisRLP is no block"},
    };
    for (size_t i = 0; i < COH_CNT(changes); i++) {
        json_t *root = load_one(id);
        json_t *test = json_object_get(root, id);
        json_object_set_new(test, changes[i].member, json_string(changes[i].value));
        expect_error(root, changes[i].words);
        json_decref(root);
    }

    json_t *root   = load_one(id);
    json_t *test   = json_object_get(root, id);
    json_t *blocks = json_object_get(test, "blocks");
    json_t *bad    = json_array_get(blocks, 1); /* the state root is wrong */
    json_object_set_new(bad, "expectException", json_string("BlockException.INVALID_GAS_USED"));
    expect_error(root, "block 1 rejected: wrong state root, expected BlockException.INVALID_GAS");
    json_object_set_new(bad, "expectException", json_string("BlockException.WHATEVER"));
    expect_error(root, "block 1: expects BlockException.WHATEVER, which this build does not know");
    json_object_del(bad, "expectException");
    expect_error(root, "block 1 rejected: wrong state root");
    json_decref(root);

    root         = load_one(id);
    test         = json_object_get(root, id);
    blocks       = json_object_get(test, "blocks");
    json_t *good = json_array_get(blocks, json_array_size(blocks) - 1);
    json_object_set_new(good, "expectException", json_string("BlockException.INVALID_GAS_USED"));
    expect_error(root, "accepted, expected BlockException.INVALID_GAS_USED");
    json_decref(root);

    root        = load_one(id);
    json_t *pre = json_object_get(json_object_get(root, id), "pre");
    json_object_del(pre, "0x0000000000000000000000000000000000001001");
    expect_error(root, "the genesis has another state root than pre");
    json_decref(root);
}

/* The program: what it prints, and its exit codes. */
static void expect_program(char const *arguments, int exit_code, char const *words)
{
    coh_buf_t command = COH_BUF_INIT;
    coh_buf_t text    = COH_BUF_INIT;
    coh_buf_printf(&command, "'%s' blocktest %s 2>&1", COHORT_PROGRAM, arguments);
    coh_buf_put_u8(&command, 0);
    FILE *pipe = popen((char const *)command.p, "r");
    assert_non_null(pipe);
    for (int c; (c = fgetc(pipe)) != EOF;) {
        coh_buf_put_u8(&text, (uint8_t)c);
    }
    coh_buf_put_u8(&text, 0);
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != exit_code || strstr((char const *)text.p, words) == NULL) {
        fail_msg("%s: exit code %d\n%s",
                 (char const *)command.p,
                 WEXITSTATUS(status),
                 (char const *)text.p);
    }
    coh_buf_free(&text);
    coh_buf_free(&command);
}

static void blocktests_run_as_a_command(void **state)
{
    (void)state;
    expect_program("'" OWN "'", 0, "15 cases passed, 0 failed, 0 files unreadable");
    expect_program("--fork Cancun --json '" OWN "'", 0, "\"validBlocks\":5,\"invalidBlocks\":0,");
    expect_program(
        "--filter 'chain_(London|Osaka)$' --stutter --jobs 1 '" OWN "'", 0, "2 cases passed");
    expect_program("--shards 2 --scheduler locking --fork Prague '" OWN "'", 0, "1 cases passed");
    expect_program("--shards 2 --placement adversarial --delay 50 --fork Prague '" OWN "'",
                   0,
                   "1 cases passed");
    expect_program(
        "--placement pinned:/nonexistent --fork Prague '" OWN "'", 1, "/nonexistent: No such file");
    expect_program(
        "--placement worst '" OWN "'", 2, "expected random:SEED, pinned:FILE or adversarial");
    expect_program("--shards 2 --stutter '" OWN "'", 2, "are for execution outside a cluster");
    expect_program("--fork Nowhere '" OWN "'", 2, "expected a name as tests have it");
    expect_program("--fork BPO1 '" OWN "'", 2, "no case was selected");
    expect_program("/nonexistent", 2, "cannot read /nonexistent: No such file or directory");
    expect_program("/nonexistent", 2, "0 failed, 1 files unreadable");
    expect_program("", 2, "no files");
}

/* ---- Published suites ---- */

static void blocktests_networks_are_known(void **state)
{
    (void)state;
    coh_schedule_t s;
    coh_u256_t td = coh_u256(0xbffff);
    assert_true(coh_blocktest_network(&s, "ArrowGlacierToParisAtDiffC0000", 1));
    assert_int_equal(coh_schedule_rules(&s, 9, 9, &td).fork, COH_FORK_LONDON);
    assert_int_equal(coh_schedule_rules(&s, 9, 9, &td).bomb_delay, 10700000);
    td = coh_u256(0xc0000);
    assert_int_equal(coh_schedule_rules(&s, 9, 9, &td).fork, COH_FORK_PARIS);

    assert_true(coh_blocktest_network(&s, "OsakaToBPO1AtTime15k", 7));
    assert_int_equal(coh_schedule_rules(&s, 1, 14999, &td).blobs.max, 9);
    assert_int_equal(coh_schedule_rules(&s, 1, 15000, &td).blobs.max, 15);
    assert_int_equal(coh_schedule_rules(&s, 1, 15000, &td).fork, COH_FORK_OSAKA);
    assert_int_equal(coh_schedule_rules(&s, 1, 15000, &td).chain_id, 7);
    assert_true(coh_blocktest_network(&s, "BPO1ToBPO2AtTime15k", 1));
    assert_int_equal(coh_schedule_rules(&s, 1, 0, &td).blobs.max, 15);
    assert_int_equal(coh_schedule_rules(&s, 1, 15000, &td).blobs.max, 21);

    assert_true(coh_blocktest_network(&s, "HomesteadToDaoAt5", 1));
    assert_false(coh_schedule_rules(&s, 4, 0, &td).dao_extra);
    assert_true(coh_schedule_rules(&s, 5, 0, &td).dao_moves);
    assert_true(coh_schedule_rules(&s, 14, 0, &td).dao_extra);
    assert_false(coh_schedule_rules(&s, 14, 0, &td).dao_moves);
    assert_false(coh_schedule_rules(&s, 15, 0, &td).dao_extra);

    assert_true(coh_blocktest_network(&s, "Cancun", 1)); /* a timestamp may be the highest */
    assert_int_equal(coh_schedule_rules(&s, 1, UINT64_MAX, &td).fork, COH_FORK_CANCUN);

    static char const *const wrong[] = {"",
                                        "London5",
                                        "LondonTo",
                                        "LondonToParis",
                                        "LondonToParisAt",
                                        "ParisToShanghaiAt5",
                                        "BerlinToLondonAtTime5",
                                        "BerlinToLondonAt5x",
                                        "BerlinToLondonAtDiff5"};
    for (size_t i = 0; i < COH_CNT(wrong); i++) {
        assert_false(coh_blocktest_network(&s, wrong[i], 1));
    }
}

static void blocktests_published_pass(void **state)
{
    (void)state;
    static char const *const folders[] = {"eest/blockchain_tests", "legacy/Cancun/BlockchainTests"};
    char const *dir                    = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("8874 published blockchain tests");
        return;
    }
    bool all      = getenv("COHORT_TEST_LONG") != NULL;
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    uint64_t until  = coh_clock_mono_us() + SAMPLE_US;
    totals_t totals = {.why = COH_BUF_INIT};
    for (size_t f = 0; f < COH_CNT(folders); f++) {
        char **files;
        size_t cnt = coh_test_files(&files, dir, folders[f], ".json");
        assert_true(cnt > 0);
        if (!all) {
            until = coh_clock_mono_us() + SAMPLE_US / COH_CNT(folders);
        }
        for (size_t i = 0; all ? i < cnt : coh_clock_mono_us() < until; i++) {
            if (!all) {
                run_file(&totals,
                         files[coh_rng_below(&rng, (uint32_t)cnt)],
                         &modes[coh_rng_below(&rng, COH_CNT(modes))]);
                continue;
            }
            for (size_t m = 0; m < COH_CNT(modes); m++) {
                run_file(&totals, files[i], &modes[m]);
            }
        }
        coh_test_files_free(files);
    }
    printf("%zu cases, %" PRIu64 " blocks accepted, %" PRIu64 " rejected\n",
           totals.passed,
           totals.valid_cnt,
           totals.invalid_cnt);
    expect_all_pass(&totals);
    assert_true(!all || totals.passed == ALL_CASES * COH_CNT(modes));
}

int main(void)
{
    (void)coh_log_init("error", ""); /* the ranks of clusters have much to say */
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(blocktests_networks_are_known),
        cmocka_unit_test(blocktests_of_our_own_pass),
        cmocka_unit_test(blocktests_notice_what_is_wrong),
        cmocka_unit_test(blocktests_run_as_a_command),
        cmocka_unit_test(blocktests_published_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
