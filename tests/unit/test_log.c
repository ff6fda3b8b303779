#include "common/obs/log.h"

#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define TEXT_SZ (1 << 20)

static char path[64];
static char text[TEXT_SZ];

static int setup(void **state)
{
    (void)state;
    memcpy(path, "/tmp/coh_test_log_XXXXXX", sizeof("/tmp/coh_test_log_XXXXXX"));
    int fd = mkstemp(path);
    coh_log_set_rank(-1);
    return fd >= 0 && close(fd) == 0 && coh_log_init("info", path) == COH_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return coh_log_init("info", "") == COH_OK ? unlink(path) : -1;
}

/* What was logged so far. */
static char const *logged(void)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    text[n]  = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

static void assert_matches(char const *line, char const *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&regex, line, 0, NULL, 0) != 0) {
        fail_msg("'%s' does not match '%s'", line, pattern);
    }
    regfree(&regex);
}

#define TS "^ts=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z "

static void log_line_is_logfmt(void **state)
{
    (void)state;
    coh_log_set_rank(2);
    COH_LOG_INF("participant", "vote sent", "block=%d yes=%d", 7, 1);
    assert_matches(logged(),
                   TS "lvl=info rank=2 mod=participant msg=\"vote sent\" block=7 yes=1\n$");
}

static void log_without_rank_or_fields(void **state)
{
    (void)state;
    errno = EAGAIN;
    COH_LOG_ERR("node", "stop", "%s", "");
    assert_int_equal(errno, EAGAIN);
    assert_matches(logged(), TS "lvl=error mod=node msg=\"stop\"\n$");
}

static void log_levels(void **state)
{
    (void)state;
    COH_LOG_DBG("m", "hidden", "a=%d", 1);
    assert_string_equal(logged(), "");
    assert_false(coh_log_enabled(COH_LOG_DEBUG));
    assert_int_equal(coh_log_init("debug", path), COH_OK);
    COH_LOG_DBG("m", "shown", "a=%d", 1);
    assert_matches(logged(), TS "lvl=debug mod=m msg=\"shown\" a=1\n$");
    assert_int_equal(coh_log_init("error", path), COH_OK);
    assert_false(coh_log_enabled(COH_LOG_WARN));
    assert_int_equal(coh_log_init("loud", path), COH_EINVAL);
    assert_int_equal(coh_log_init("info", "/nonexistent/log"), COH_ENOTFOUND);
    assert_false(coh_log_enabled(COH_LOG_WARN)); /* a failed init changes nothing */
}

static void log_hostile_text_stays_on_one_line(void **state)
{
    (void)state;
    COH_LOG_INF("m", "a \"b\"\nc", "raw=%s", "x\nts=1 lvl=error\r\x1b[2J");
    assert_matches(
        logged(),
        TS "lvl=info mod=m msg=\"a \\\\\"b\\\\\"\\\\u000ac\" raw=x[?]ts=1 lvl=error[?][?]\\[2J\n$");
}

static void log_quote(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(coh_log_quote(out, sizeof(out), "", 0), "\"\"");
    assert_string_equal(coh_log_quote(out, sizeof(out), "a b", 3), "\"a b\"");
    assert_string_equal(coh_log_quote(out, sizeof(out), "\"\\\n\0\xff", 5),
                        "\"\\\"\\\\\\u000a\\u0000\\u00ff\"");
    /* exactly full, then one too many: the cut is visible, and never in the middle of an escape */
    assert_string_equal(coh_log_quote(out, 8, "abcde", 5), "\"abcde\"");
    assert_string_equal(coh_log_quote(out, 8, "abcdef", 6), "\"ab...\"");
    assert_string_equal(coh_log_quote(out, 8, "\n\n", 2), "\"...\"");
    assert_string_equal(coh_log_quote(out, 12, "ab\n", 3), "\"ab\\u000a\"");
    for (size_t sz = 8; sz <= sizeof(out); sz++) {
        memset(out, '#', sizeof(out));
        coh_log_quote(out,
                      sz,
                      "\x01"
                      "bc\"d\x02"
                      "efghijklmnopqrstuvwxyz",
                      28);
        assert_true(strlen(out) < sz);
        assert_int_equal(out[strlen(out) - 1], '"');
    }
}

static void log_long_lines_are_cut(void **state)
{
    (void)state;
    char value[5000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    COH_LOG_INF("m", "long", "value=%s", value);
    char const *line = logged();
    assert_true(strlen(line) <= 2048);
    assert_matches(line, TS "lvl=info mod=m msg=\"long\" value=v+ cut=1\n$");
}

static void *log_many(void *arg)
{
    int no = *(int const *)arg;
    coh_log_set_rank(no);
    for (int i = 0; i < 500; i++) {
        COH_LOG_INF("m", "line", "i=%d thread=%d", i, no);
    }
    return NULL;
}

static void log_threads_do_not_mix_lines(void **state)
{
    (void)state;
    pthread_t threads[4];
    int numbers[4];
    for (int i = 0; i < 4; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, &numbers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    int next[4]  = {0};
    int line_cnt = 0;
    char *rest   = NULL;
    (void)logged();
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line       = strtok_r(NULL, "\n", &rest)) {
        int rank   = -1;
        int i      = -1;
        int thread = -1;
        assert_int_equal(sscanf(line,
                                "ts=%*s lvl=info rank=%d mod=m msg=\"line\" i=%d thread=%d",
                                &rank,
                                &i,
                                &thread),
                         3);
        assert_in_range(rank, 0, 3);
        assert_int_equal(rank, thread);
        assert_int_equal(i, next[rank]++);
        line_cnt++;
    }
    assert_int_equal(line_cnt, 4 * 500);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(log_line_is_logfmt, setup, teardown),
        cmocka_unit_test_setup_teardown(log_without_rank_or_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(log_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(log_hostile_text_stays_on_one_line, setup, teardown),
        cmocka_unit_test_setup_teardown(log_quote, setup, teardown),
        cmocka_unit_test_setup_teardown(log_long_lines_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(log_threads_do_not_mix_lines, setup, teardown),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
