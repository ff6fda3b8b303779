/* The job key between real ranks: with one key they work; a rank with another key, or with none, ends the job, which names it; a key file that others may read is refused.
   The key is nowhere to be seen. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/mpi/cluster.h"

#define KEY   "a-secret-of-this-job-0123456789abcdef"
#define OTHER "a-secret-of-that-job-0123456789abcdef"

static coh_test_cluster_t cluster;
static coh_bench_accounts_t accounts;
static char key_option[256];
static char last_rank[1024];

static void write_key(char const *name, char const *key, mode_t mode)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", cluster.dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, key, strlen(key)), strlen(key));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
    (void)state;
    coh_bench_accounts_new(&accounts, 1, 100, 1);
    coh_test_cluster_init(&cluster, 1, &accounts);
    write_key("key", KEY "\n", 0600);
    write_key("other", OTHER "\n", 0600);
    write_key("open", KEY "\n", 0644);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coh_test_cluster_fini(&cluster);
    coh_bench_accounts_free(&accounts);
    return 0;
}

/* Starts ranks 0 and 1 with one key file, rank 2 with another; NULL: none. */
static void start(char const *file, char const *last_file)
{
    (void)snprintf(key_option, sizeof(key_option), "--job-key-file '%s/%s'", cluster.dir, file);
    int n = snprintf(last_rank,
                     sizeof(last_rank),
                     ": -n 1 %s node --data '%s' --genesis '%s' --status-listen '' --log-file "
                     "'%s/logs/log'",
                     COHORT_PROGRAM,
                     cluster.data,
                     cluster.genesis,
                     cluster.dir);
    if (last_file != NULL) {
        (void)snprintf(last_rank + n,
                       sizeof(last_rank) - (size_t)n,
                       " --job-key-file '%s/%s'",
                       cluster.dir,
                       last_file);
    }
    cluster.options[0] = file != NULL ? key_option : last_rank;
    cluster.options[1] = file != NULL ? last_rank : NULL;
    coh_test_cluster_start(&cluster);
}

static char *checked_log(void)
{
    char *log = coh_test_cluster_log(&cluster);
    assert_null(strstr(log, KEY));
    assert_null(strstr(log, OTHER));
    return log;
}

/* Which of two ranks finds out first is theirs to race for: either names the other, and rank 0 or 1 names rank 2. */
static void expect_end(char const *one, char const *other)
{
    int code  = coh_test_cluster_wait(&cluster);
    char *log = checked_log();
    if (code != 1 || (strstr(log, one) == NULL && strstr(log, other) == NULL) ||
        coh_test_cluster_crashed(&cluster)) {
        fail_msg("expected code 1 and \"%s\", got code %d and\n%s", one, code, log);
    }
    free(log);
}

static void one_key_for_all(void **state)
{
    (void)state;
    start("key", "key");
    if (coh_test_cluster_wait_ready(&cluster) < 0) {
        fail_msg("not ready\n%s", coh_test_cluster_log(&cluster));
    }
    coh_client_t *client = coh_test_client(&cluster, 10000);
    coh_u256_t sum       = coh_test_refresh(client, &accounts);
    coh_u256_t supply    = coh_bench_supply(&accounts);
    assert_true(coh_u256_eq(&sum, &supply));
    coh_client_close(client);
    /* Neither among the arguments of the processes, nor on the pages. */
    coh_test_sh(
        "cat /proc/[0-9]*/cmdline 2>/dev/null | { ! grep -a -q '[%c]%s'; }", KEY[0], &KEY[1]);
    for (int i = 0; i < 2; i++) {
        coh_test_sh("curl -fs 'http://127.0.0.1:%d/%s' >'%s/page' && ! grep -q '%s' '%s/page'",
                    cluster.status_port,
                    i == 0 ? "status" : "metrics",
                    cluster.dir,
                    KEY,
                    cluster.dir);
    }
    assert_int_equal(coh_test_cluster_stop(&cluster), 0);
    free(checked_log());
}

static void another_key(void **state)
{
    (void)state;
    start("key", "other");
    expect_end("rank 2 does not hold this job's key", "does not hold this job's key");
}

static void no_key(void **state)
{
    (void)state;
    start("key", NULL);
    expect_end("rank 2 sends messages without proof of the job key",
               "asks for proof of the job key, and this rank was started without one");
    start(NULL, "key");
    expect_end("rank 2 asks for proof of the job key", "sends messages without proof");
}

static void open_file(void **state)
{
    (void)state;
    start("open", "open");
    expect_end("open to others (mode 0644", "open to others (mode 0644");
    start("absent", "key");
    expect_end("/absent: No such file", "/absent: No such file");
}

/* What failed has left nothing behind. */
static void right_key_again(void **state) { one_key_for_all(state); }

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(one_key_for_all),
        cmocka_unit_test(another_key),
        cmocka_unit_test(no_key),
        cmocka_unit_test(open_file),
        cmocka_unit_test(right_key_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
