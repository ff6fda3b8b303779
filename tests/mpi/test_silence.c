/* A rank that stands still without dying, as behind a cut link: the others name it and end the job within the configured time.
   A cluster at rest is left alone. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "tests/mpi/cluster.h"

#define SHARDS    2u
#define SILENCE_S 3u

static void start(coh_test_cluster_t *c, coh_bench_accounts_t *accounts)
{
    coh_bench_accounts_new(accounts, 1, 10, 1);
    coh_test_cluster_init(c, SHARDS, accounts);
    c->options[0] = "--net-silence-seconds 3";
    coh_test_cluster_start(c);
    if (coh_test_cluster_wait_ready(c) < 0) {
        char *log = coh_test_cluster_log(c);
        fail_msg("not ready\n%s", log);
    }
}

static void a_rank_at_rest_is_not_silent(void **state)
{
    (void)state;
    coh_test_cluster_t c;
    coh_bench_accounts_t accounts;
    start(&c, &accounts);
    sleep(3 * SILENCE_S);
    assert_int_equal(coh_test_cluster_stop(&c), 0);
    char *log = coh_test_cluster_log(&c);
    assert_null(strstr(log, "silent"));
    free(log);
    coh_test_cluster_fini(&c);
    coh_bench_accounts_free(&accounts);
}

/* Whichever rank it is, coordinator or shard. */
static void a_silent_rank_ends_the_job(void **state)
{
    (void)state;
    for (int rank = 0; rank <= 1; rank++) {
        coh_test_cluster_t c;
        coh_bench_accounts_t accounts;
        start(&c, &accounts);
        coh_test_cluster_signal(&c, rank, SIGSTOP);
        uint64_t start_us = coh_clock_mono_us();
        int code          = coh_test_cluster_wait(&c);
        printf("rank %d stood still: the job ended after %llu ms with code %d\n",
               rank,
               (unsigned long long)((coh_clock_mono_us() - start_us) / 1000),
               code);
        assert_true(code > 0);
        char *log = coh_test_cluster_log(&c);
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "peer=%d silent_ms=3", rank);
        if (strstr(log, expected) == NULL) {
            fail_msg("the silent rank is not named\n%s", log);
        }
        free(log);
        coh_test_cluster_fini(&c);
        coh_bench_accounts_free(&accounts);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(a_rank_at_rest_is_not_silent),
        cmocka_unit_test(a_silent_rank_ends_the_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
