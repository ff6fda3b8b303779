/* `cohort statetest`, as a user runs it, with both loops of the interpreter, straight and resumed at each first read, and in clusters, at random places and at the worst ones with delayed messages: all cases of our own
   (folder own; expected hashes computed with npm's @ethereumjs/vm), then files of the published suites, drawn at random until a
   third of a minute is over, or, with COHORT_TEST_LONG, all of them. Cases that are wrong in one place show that the runner would notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "tests/support/data.h"
#include "tests/support/seed.h"

#define OWN       COHORT_SOURCE_DIR "/tests/conformance/own"
#define OWN_CASES 1306
#define OWN_OSAKA 97
/* As the documents say. */
#define PUBLISHED_CASES 72890
#define SAMPLE_S        20
#define FILES_AT_ONCE   24

/* Of our own cases, unless the run is a long one, under one fork. */
#define ADVERSARIAL "--shards 4 --placement adversarial --delay 200"

static char const *const modes[] = {
    "--loop fast",
    "--loop switch --stutter",
    "--loop fast --stutter",
    "--loop switch",
    "--shards 3 --threads 2 --placement random:7",
    ADVERSARIAL,
};

/* What one run of the program said. */
typedef struct {
    int exit_code;
    json_int_t passed;
    json_int_t failed;
    json_int_t unreadable;
    coh_buf_t errors; /* of failed cases and unreadable files, lines */
} run_t;

static void run_free(run_t *run) { coh_buf_free(&run->errors); }

static json_int_t count(json_t const *totals, char const *key)
{
    json_t const *v = json_object_get(totals, key);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

/* Runs the program with options over paths, as a shell reads them. */
static run_t run_program(char const *options, char const *paths)
{
    run_t run         = {.errors = COH_BUF_INIT};
    coh_buf_t command = COH_BUF_INIT;
    coh_buf_printf(&command, "'%s' statetest --json %s %s", COHORT_PROGRAM, options, paths);
    coh_buf_put_u8(&command, 0);
    FILE *pipe = popen((char const *)command.p, "r");
    assert_non_null(pipe);
    json_t *last = NULL;
    char *line   = NULL;
    size_t cap   = 0;
    while (getline(&line, &cap, pipe) > 0) {
        json_error_t error;
        json_decref(last);
        last = json_loads(line, 0, &error);
        if (last == NULL) {
            fail_msg("no line of JSON: %s", line);
        }
        json_t const *pass = json_object_get(last, "pass");
        if (pass != NULL && !json_is_true(pass)) {
            json_t const *test = json_object_get(last, "test");
            json_t const *fork = json_object_get(last, "fork");
            coh_buf_printf(&run.errors,
                           "%s %s %s: %s\n",
                           coh_test_str(last, "file"),
                           test == NULL ? "" : json_string_value(test),
                           fork == NULL ? "" : json_string_value(fork),
                           coh_test_str(last, "error"));
        }
    }
    free(line);
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    run.exit_code = WEXITSTATUS(status);
    if (last != NULL) {
        run.passed     = count(last, "passed");
        run.failed     = count(last, "failed");
        run.unreadable = count(last, "unreadable");
        json_decref(last);
    }
    coh_buf_free(&command);
    coh_buf_put_u8(&run.errors, 0);
    return run;
}

static void expect_all_pass(run_t const *run, char const *mode)
{
    if (run->exit_code != 0 || run->failed != 0 || run->unreadable != 0) {
        fail_msg("%s: %d cases failed, %d files unreadable, exit code %d\n%s",
                 mode,
                 (int)run->failed,
                 (int)run->unreadable,
                 run->exit_code,
                 (char const *)run->errors.p);
    }
}

static void statetests_of_our_own_pass(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(modes); i++) {
        bool few  = strcmp(modes[i], ADVERSARIAL) == 0 && getenv("COHORT_TEST_LONG") == NULL;
        run_t run = run_program(modes[i], few ? "--fork Osaka '" OWN "'" : "'" OWN "'");
        expect_all_pass(&run, modes[i]);
        assert_int_equal(run.passed, few ? OWN_OSAKA : OWN_CASES);
        run_free(&run);
    }
}

/* ---- Selection ---- */

static void statetests_are_selected(void **state)
{
    (void)state;
    static struct {
        char const *options;
        json_int_t cnt;
    } const selections[] = {
        {"--fork Osaka --filter calls/", 11},         /* each has one case a fork, but two of one */
        {"--fork EIP158 --filter 'set_and_log'", 18}, /* 6 data, 3 gas */
        {"--filter set_and_log --index 5/2/0", 15},   /* forks */
        {"--filter '^calls/(callcode|recursive)$'", 45}, /* 15 and 30 */
        {"--filter '/call('", 0},                        /* neither text nor expression */
    };
    for (size_t i = 0; i < COH_CNT(selections); i++) {
        run_t run = run_program(selections[i].options, "'" OWN "' 2>&-");
        assert_int_equal(run.passed, selections[i].cnt);
        assert_int_equal(run.exit_code, selections[i].cnt == 0 ? 2 : 0);
        run_free(&run);
    }
    run_t run = run_program("--fork Nowhere", "'" OWN "' 2>&-");
    assert_int_equal(run.exit_code, 2);
    run_free(&run);
    run = run_program("--shards 2 --stutter", "'" OWN "' 2>&-");
    assert_int_equal(run.exit_code, 2);
    run_free(&run);
    run = run_program("", "/nonexistent 2>&-");
    assert_int_equal(run.exit_code, 2);
    run_free(&run);
}

/* ---- What is wrong gets noticed ---- */

static void write_file(char path[], json_t const *root, char const *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    if (root != NULL) {
        assert_int_equal(json_dumpf(root, file, 0), 0);
    } else {
        (void)fputs(text, file);
    }
    assert_int_equal(fclose(file), 0);
}

/* Runs root, or text; expects exit code and words among the errors. */
static void expect_error(json_t const *root, char const *text, int exit_code, char const *words)
{
    char path[] = "/tmp/test_statetests.XXXXXX";
    write_file(path, root, text);
    run_t run = run_program("", path);
    (void)remove(path);
    assert_int_equal(run.exit_code, exit_code);
    if (strstr((char const *)run.errors.p, words) == NULL) {
        fail_msg("%s; expected: %s", (char const *)run.errors.p, words);
    }
    run_free(&run);
}

static json_t *load_own(char const *name)
{
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, OWN "/%s", name);
    coh_buf_put_u8(&path, 0);
    json_t *root = coh_test_json((char const *)path.p);
    coh_buf_free(&path);
    return root;
}

/* The first entry of a test under a fork. */
static json_t *entry_of(json_t *root, char const *id, char const *fork)
{
    json_t *post  = json_object_get(json_object_get(root, id), "post");
    json_t *entry = json_array_get(json_object_get(post, fork), 0);
    assert_non_null(entry);
    return entry;
}

static void statetests_notice_what_is_wrong(void **state)
{
    (void)state;
    static char const zeros[] =
        "0x0000000000000000000000000000000000000000000000000000000000000000";
    static struct {
        char const *file;
        char const *id;
        char const *member; /* of the entry under Cancun... */
        char const *value;  /* ...what it is set to; NULL: it is removed */
        char const *words;
    } const changes[] = {
        {"storage.json", "storage/dirty_slot", "hash", zeros, "state root 0x"},
        {"storage.json", "storage/dirty_slot", "logs", zeros, "logs hash 0x"},
        {"storage.json",
         "storage/dirty_slot",
         "expectException",
         "TR_NoFunds",
         "executed, expected TR_NoFunds"},
        {"rejected.json",
         "rejected/nonce_too_low",
         "expectException",
         NULL,
         "rejected: nonce too low"},
        {"rejected.json",
         "rejected/nonce_too_low",
         "expectException",
         "TransactionException.NONCE_MISMATCH_TOO_HIGH|TR_NoFunds",
         "rejected: nonce too low, expected TransactionException"},
        {"rejected.json",
         "rejected/nonce_too_low",
         "expectException",
         "TR_NonceTooLow|TR_Whatever",
         "which this build does not know"},
        {"rejected.json", "rejected/nonce_too_low", "hash", zeros, "state root 0x"},
    };
    for (size_t i = 0; i < COH_CNT(changes); i++) {
        json_t *root  = load_own(changes[i].file);
        json_t *entry = entry_of(root, changes[i].id, "Cancun");
        if (changes[i].value == NULL) {
            json_object_del(entry, changes[i].member);
        } else {
            json_object_set_new(entry, changes[i].member, json_string(changes[i].value));
        }
        expect_error(root, NULL, 1, changes[i].words);
        json_decref(root);
    }

    /* Signed octets that are not those of the fields, and a signature by another. */
    json_t *root = load_own("types.json");
    json_t *tx   = json_object_get(json_object_get(root, "types/blob"), "transaction");
    json_object_set_new(tx, "nonce", json_string("0x01"));
    expect_error(root, NULL, 1, "signed octets and fields disagree: nonce");
    json_object_set_new(tx, "nonce", json_string("0x00"));
    json_object_set_new(tx, "sender", json_string("0x00000000000000000000000000000000000000aa"));
    expect_error(root, NULL, 1, "signed by another than the sender");
    json_decref(root);

    root = load_own("storage.json");
    json_object_del(json_object_get(json_object_get(root, "storage/transient"), "env"),
                    "currentRandom");
    expect_error(root, NULL, 2, "storage/transient: member currentRandom is missing");
    json_decref(root);
    expect_error(NULL, "{\"a\":{\"post\":{\"Atlantis\":[]}}}", 2, "Atlantis");
    expect_error(NULL, "{", 2, "line 1");
}

/* As text: where the states differ, and a command that repeats the case. */
static void statetests_show_what_differs(void **state)
{
    (void)state;
    json_t *root  = load_own("storage.json");
    json_t *entry = entry_of(root, "storage/dirty_slot", "Cancun");
    json_t *post =
        json_deep_copy(json_object_get(json_object_get(root, "storage/dirty_slot"), "pre"));
    /* Slot 1 comes back to what it had; of 3 and 4, which are cleared, 4 is expected to stay. */
    json_t *storage = json_object_get(
        json_object_get(post, "0x000000000000000000000000000000000000c0de"), "storage");
    json_object_del(storage, "0x03");
    json_object_set_new(json_object_get(post, "0x000000000000000000000000000000000000c0de"),
                        "nonce",
                        json_string("0x05"));
    json_object_set_new(entry, "state", post);
    json_object_set_new(
        entry,
        "hash",
        json_string("0x0000000000000000000000000000000000000000000000000000000000000000"));
    char path[] = "/tmp/test_statetests.XXXXXX";
    write_file(path, root, NULL);
    json_decref(root);
    coh_buf_t command = COH_BUF_INIT;
    coh_buf_printf(&command, "'%s' statetest --fork Cancun %s", COHORT_PROGRAM, path);
    coh_buf_put_u8(&command, 0);
    FILE *pipe = popen((char const *)command.p, "r");
    assert_non_null(pipe);
    coh_buf_t text = COH_BUF_INIT;
    for (int c; (c = fgetc(pipe)) != EOF;) {
        coh_buf_put_u8(&text, (uint8_t)c);
    }
    coh_buf_put_u8(&text, 0);
    int status = pclose(pipe);
    (void)remove(path);
    assert_int_equal(WEXITSTATUS(status), 1);
    static char const *const words[] = {
        "  0x000000000000000000000000000000000000c0de nonce 0x0, expected 0x5\n",
        "  0x000000000000000000000000000000000000c0de slot 0x4: 0x0, expected 0x2\n",
        "repeat: cohort statetest --fork Cancun --index 0/0/0 --filter 'storage/dirty_slot' ",
    };
    for (size_t i = 0; i < COH_CNT(words); i++) {
        if (strstr((char const *)text.p, words[i]) == NULL) {
            fail_msg("%s\nlacks: %s", (char const *)text.p, words[i]);
        }
    }
    assert_null(strstr((char const *)text.p, "slot 0x1:"));
    assert_null(strstr((char const *)text.p, "slot 0x3:"));
    coh_buf_free(&text);
    coh_buf_free(&command);
}

/* ---- Trace ---- */

/* The steps of calls/call_reverts under Cancun, as npm's @ethereumjs/vm 10.1.3 reports them. */
static struct {
    json_int_t pc;
    json_int_t op;
    char const *gas;
    json_int_t depth;
    size_t stack_cnt;
    char const *top;
} const steps[] = {
    {0, 0x60, "0x5c878", 1, 0, NULL},       {2, 0x60, "0x5c875", 1, 1, "0x1"},
    {4, 0x52, "0x5c872", 1, 2, "0x0"},      {5, 0x60, "0x5c86c", 1, 0, NULL},
    {7, 0x60, "0x5c869", 1, 1, "0x20"},     {9, 0x60, "0x5c866", 1, 2, "0x20"},
    {11, 0x60, "0x5c863", 1, 3, "0x20"},    {13, 0x60, "0x5c860", 1, 4, "0x0"},
    {15, 0x61, "0x5c85d", 1, 5, "0x3"},     {18, 0x62, "0x5c85a", 1, 6, "0xca11"},
    {22, 0xf1, "0x5c857", 1, 7, "0x186a0"}, {0, 0x34, "0x18f9c", 2, 0, NULL},
    {1, 0x60, "0x18f9a", 2, 1, "0x3"},      {3, 0x55, "0x18f97", 2, 2, "0x1"},
    {4, 0x33, "0x13943", 2, 0, NULL},       {5, 0x60, "0x13941", 2, 1, "0xc0de"},
    {7, 0x55, "0x1393e", 2, 2, "0x2"},      {8, 0x60, "0xe2ea", 2, 0, NULL},
    {10, 0x35, "0xe2e7", 2, 1, "0x0"},      {11, 0x15, "0xe2e4", 2, 1, "0x1"},
    {12, 0x60, "0xe2e1", 2, 1, "0x0"},      {14, 0x57, "0xe2de", 2, 2, "0x19"},
    {15, 0x60, "0xe2d4", 2, 0, NULL},       {17, 0x60, "0xe2d1", 2, 1, "0xff"},
    {19, 0x52, "0xe2ce", 2, 2, "0x0"},      {20, 0x60, "0xe2c8", 2, 0, NULL},
    {22, 0x60, "0xe2c5", 2, 1, "0x20"},     {24, 0xfd, "0xe2c2", 2, 2, "0x0"},
    {23, 0x60, "0x4f726", 1, 1, "0x0"},     {25, 0x01, "0x4f723", 1, 2, "0x1"},
    {26, 0x60, "0x4f720", 1, 1, "0x1"},     {28, 0x55, "0x4f71d", 1, 2, "0x3"},
    {29, 0x3d, "0x4a0c9", 1, 0, NULL},      {30, 0x60, "0x4a0c7", 1, 1, "0x20"},
    {32, 0x55, "0x4a0c4", 1, 2, "0x4"},
};

static void statetests_trace_each_instruction(void **state)
{
    (void)state;
    char path[] = "/tmp/test_statetests.XXXXXX";
    write_file(path, NULL, "");
    coh_buf_t options = COH_BUF_INIT;
    coh_buf_printf(&options, "--fork Cancun --filter call_reverts --trace-file %s", path);
    coh_buf_put_u8(&options, 0);
    run_t run = run_program((char const *)options.p, "'" OWN "/calls.json'");
    assert_int_equal(run.passed, 1);
    run_free(&run);
    coh_buf_free(&options);

    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *line    = NULL;
    size_t cap    = 0;
    size_t step   = 0;
    bool has_root = false;
    while (getline(&line, &cap, file) > 0) {
        json_error_t error;
        json_t *row = json_loads(line, 0, &error);
        assert_non_null(row);
        if (step < COH_CNT(steps)) {
            json_t *stack = json_object_get(row, "stack");
            assert_int_equal(json_integer_value(json_object_get(row, "pc")), steps[step].pc);
            assert_int_equal(json_integer_value(json_object_get(row, "op")), steps[step].op);
            assert_string_equal(coh_test_str(row, "gas"), steps[step].gas);
            assert_int_equal(json_integer_value(json_object_get(row, "depth")), steps[step].depth);
            assert_int_equal(json_array_size(stack), steps[step].stack_cnt);
            if (steps[step].top != NULL) {
                assert_string_equal(
                    json_string_value(json_array_get(stack, steps[step].stack_cnt - 1)),
                    steps[step].top);
            }
        } else if (step > COH_CNT(steps)) {
            /* After the last SSTORE, the implied STOP and the summary. */
            has_root = has_root || json_object_get(row, "stateRoot") != NULL;
        }
        /* The first SSTORE costs 22100 (EIP-2929), which only the next step tells. */
        if (step == 13) {
            assert_string_equal(coh_test_str(row, "gasCost"), "0x5654");
            assert_string_equal(coh_test_str(row, "opName"), "SSTORE");
        }
        step++;
        json_decref(row);
    }
    assert_true(has_root);
    free(line);
    assert_int_equal(fclose(file), 0);
    (void)remove(path);
}

/* ---- Published suites ---- */

static char const *const suites[] = {
    "eest/state_tests",
    "legacy/Cancun/GeneralStateTests",
    "legacy/Constantinople/GeneralStateTests",
    "ethtests/GeneralStateTests",
};

/* Cases of a file, by its own members: one for each entry under each rule set. */
static json_int_t cases_of(char const *path)
{
    json_t *doc    = coh_test_json(path);
    json_int_t cnt = 0;
    char const *key;
    json_t *test;
    json_object_foreach (doc, key, test) {
        char const *fork;
        json_t *entries;
        json_object_foreach (json_object_get(test, "post"), fork, entries) {
            assert_true(json_array_size(entries) > 0);
            cnt += (json_int_t)json_array_size(entries);
        }
    }
    json_decref(doc);
    return cnt;
}

static void run_all(char const *dir)
{
    json_int_t case_cnt = 0;
    for (size_t i = 0; i < COH_CNT(suites); i++) {
        char **files;
        size_t cnt = coh_test_files(&files, dir, suites[i], ".json");
        for (size_t k = 0; k < cnt; k++) {
            case_cnt += cases_of(files[k]);
        }
        coh_test_files_free(files);
    }
    assert_int_equal(case_cnt, PUBLISHED_CASES);
    for (size_t m = 0; m < COH_CNT(modes); m++) {
        coh_buf_t paths = COH_BUF_INIT;
        for (size_t i = 0; i < COH_CNT(suites); i++) {
            coh_buf_printf(&paths, " '%s/%s'", dir, suites[i]);
        }
        coh_buf_put_u8(&paths, 0);
        run_t run = run_program(modes[m], (char const *)paths.p);
        expect_all_pass(&run, modes[m]);
        assert_int_equal(run.passed, case_cnt);
        print_message("%s: all %d published cases pass\n", modes[m], (int)run.passed);
        run_free(&run);
        coh_buf_free(&paths);
    }
}

/* Files in random order, each in a mode by turns, until the time is over. */
static void run_sample(char const *dir)
{
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);

    char const **files = NULL;
    size_t cnt         = 0;
    char **lists[COH_CNT(suites)];
    for (size_t i = 0; i < COH_CNT(suites); i++) {
        size_t n = coh_test_files(&lists[i], dir, suites[i], ".json");
        files    = coh_realloc(files, (cnt + n + 1) * sizeof(*files));
        for (size_t k = 0; k < n; k++) {
            /* Some of those take minutes each: only in long runs. */
            if (strstr(lists[i][k], "/stTimeConsuming/") == NULL &&
                strstr(lists[i][k], "/vmPerformance/") == NULL) {
                files[cnt++] = lists[i][k];
            }
        }
    }
    assert_true(cnt > 3000);
    for (size_t i = cnt - 1; i > 0; i--) {
        size_t k        = (size_t)coh_rng_below(&rng, i + 1);
        char const *tmp = files[i];
        files[i]        = files[k];
        files[k]        = tmp;
    }
    uint64_t const start = coh_clock_mono_us();
    json_int_t passed    = 0;
    size_t at            = 0;
    for (size_t turn = 0; at < cnt && coh_clock_mono_us() - start < SAMPLE_S * 1000000u; turn++) {
        coh_buf_t paths     = COH_BUF_INIT;
        json_int_t case_cnt = 0;
        for (size_t k = 0; k < FILES_AT_ONCE && at < cnt; k++) {
            case_cnt += cases_of(files[at]);
            coh_buf_printf(&paths, " '%s'", files[at++]);
        }
        coh_buf_put_u8(&paths, 0);
        char const *mode = modes[turn % COH_CNT(modes)];
        run_t run        = run_program(mode, (char const *)paths.p);
        expect_all_pass(&run, mode);
        assert_int_equal(run.passed, case_cnt);
        passed += run.passed;
        run_free(&run);
        coh_buf_free(&paths);
    }
    assert_true(passed > 0);
    print_message(
        "%d cases of %zu of %zu files pass; COHORT_TEST_LONG=1 runs all\n", (int)passed, at, cnt);
    for (size_t i = 0; i < COH_CNT(suites); i++) {
        coh_test_files_free(lists[i]);
    }
    free(files);
}

static void statetests_published_pass(void **state)
{
    (void)state;
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("the published state tests");
        return;
    }
    if (getenv("COHORT_TEST_LONG") != NULL) {
        run_all(dir);
    } else {
        run_sample(dir);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(statetests_of_our_own_pass),
        cmocka_unit_test(statetests_are_selected),
        cmocka_unit_test(statetests_notice_what_is_wrong),
        cmocka_unit_test(statetests_show_what_differs),
        cmocka_unit_test(statetests_trace_each_instruction),
        cmocka_unit_test(statetests_published_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
