#include "common/obs/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define THREAD_CNT 12 /* more than there are copies of the counters */
#define ROUND_CNT  10000

static bool text_has(coh_buf_t const *text, char const *part)
{
    return memmem(text->p, text->n, part, strlen(part)) != NULL;
}

static void *count(void *arg)
{
    coh_metrics_t *m = arg;
    for (uint64_t i = 0; i < ROUND_CNT; i++) {
        coh_metric_add(m, COH_M_chain_tx, 2);
        coh_metric_observe(m, COH_M_chain_commit_latency, i % 3);
    }
    return NULL;
}

static void metrics_sum_over_threads(void **state)
{
    (void)state;
    coh_metrics_t *m     = coh_metrics_new(0);
    coh_metrics_t *other = coh_metrics_new(1);
    pthread_t threads[THREAD_CNT];
    for (size_t i = 0; i < THREAD_CNT; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count, m), 0);
    }
    for (size_t i = 0; i < THREAD_CNT; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(coh_metric_get(m, COH_M_chain_tx), 2 * THREAD_CNT * ROUND_CNT);
    assert_int_equal(coh_metric_get(m, COH_M_chain_commit_latency), THREAD_CNT * ROUND_CNT);
    assert_int_equal(coh_metric_get(m, COH_M_chain_settle_latency), 0);
    assert_int_equal(coh_metric_get(other, COH_M_chain_tx), 0);
    coh_metrics_free(m);
    coh_metrics_free(other);
}

static void metrics_gauge_holds_the_last_value(void **state)
{
    (void)state;
    coh_metrics_t *m = coh_metrics_new(0);
    coh_metric_set(m, COH_M_pool_tx, 5);
    coh_metric_set(m, COH_M_pool_tx, 3);
    assert_int_equal(coh_metric_get(m, COH_M_pool_tx), 3);
    coh_metrics_free(m);
}

static void metrics_null_set_is_silent(void **state)
{
    (void)state;
    coh_metric_add(NULL, COH_M_chain_tx, 1);
    coh_metric_set(NULL, COH_M_pool_tx, 1);
    coh_metric_observe(NULL, COH_M_chain_commit_latency, 1);
    assert_int_equal(coh_metric_get(NULL, COH_M_chain_tx), 0);
    assert_int_equal(coh_metric_quantile(NULL, COH_M_chain_commit_latency, 0.5), 0);
}

static void metrics_buckets_are_inclusive_powers_of_two(void **state)
{
    (void)state;
    struct {
        uint64_t us;
        char const *first_bucket_with_it; /* the text of the first bucket that counts it */
        char const *bucket_before;        /* NULL: none */
    } const cases[] = {
        {0, "le=\"0.000001\"} 1\n", NULL},
        {1, "le=\"0.000001\"} 1\n", NULL},
        {2, "le=\"0.000002\"} 1\n", "le=\"0.000001\"} 0\n"},
        {3, "le=\"0.000004\"} 1\n", "le=\"0.000002\"} 0\n"},
        {1024, "le=\"0.001024\"} 1\n", "le=\"0.000512\"} 0\n"},
        {1025, "le=\"0.002048\"} 1\n", "le=\"0.001024\"} 0\n"},
        {67108864, "le=\"67.108864\"} 1\n", "le=\"33.554432\"} 0\n"},
        {67108865, "le=\"+Inf\"} 1\n", "le=\"67.108864\"} 0\n"},
        {UINT64_MAX, "le=\"+Inf\"} 1\n", "le=\"67.108864\"} 0\n"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_metrics_t *m = coh_metrics_new(0);
        coh_buf_t text   = COH_BUF_INIT;
        coh_metric_observe(m, COH_M_disk_sync_latency, cases[i].us);
        coh_metrics_prometheus(m, &text);
        char line[128];
        (void)snprintf(line,
                       sizeof(line),
                       "cohort_disk_sync_latency_seconds_bucket{rank=\"0\",%s",
                       cases[i].first_bucket_with_it);
        assert_true(text_has(&text, line));
        if (cases[i].bucket_before != NULL) {
            (void)snprintf(line,
                           sizeof(line),
                           "cohort_disk_sync_latency_seconds_bucket{rank=\"0\",%s",
                           cases[i].bucket_before);
            assert_true(text_has(&text, line));
        }
        coh_buf_free(&text);
        coh_metrics_free(m);
    }
}

static void metrics_quantile_interpolates(void **state)
{
    (void)state;
    coh_metrics_t *m         = coh_metrics_new(0);
    coh_metric_id_t const id = COH_M_chain_settle_latency;
    assert_int_equal(coh_metric_quantile(m, id, 0.5), 0);
    for (int i = 0; i < 100; i++) {
        coh_metric_observe(m, id, 1000); /* bucket (512, 1024] */
    }
    assert_int_equal(coh_metric_quantile(m, id, 0.5), 768);
    assert_int_equal(coh_metric_quantile(m, id, 1.0), 1024);
    for (int i = 0; i < 100; i++) {
        coh_metric_observe(m, id, 5000); /* bucket (4096, 8192] */
    }
    assert_int_equal(coh_metric_quantile(m, id, 0.5), 1024);
    assert_int_equal(coh_metric_quantile(m, id, 0.75), 6144);
    for (int i = 0; i < 1000; i++) {
        coh_metric_observe(m, id, UINT64_MAX);
    }
    assert_int_equal(coh_metric_quantile(m, id, 0.99), 67108864);
    coh_metrics_free(m);
}

static void metrics_prometheus_units(void **state)
{
    (void)state;
    coh_metrics_t *m = coh_metrics_new(3);
    coh_buf_t text   = COH_BUF_INIT;
    coh_metric_add(m, COH_M_chain_block, 7);
    coh_metric_add(m, COH_M_net_sent, 1234);
    coh_metric_add(m, COH_M_executor_cpu, 1500000001);
    coh_metric_set(m, COH_M_process_resident, 42);
    coh_metric_observe(m, COH_M_chain_decide_latency, 1500000);
    coh_metrics_prometheus(m, &text);
    assert_true(text_has(
        &text,
        "# HELP cohort_chain_block_total blocks committed\n"
        "# TYPE cohort_chain_block_total counter\ncohort_chain_block_total{rank=\"3\"} 7\n"));
    assert_true(text_has(&text, "\ncohort_net_sent_bytes_total{rank=\"3\"} 1234\n"));
    assert_true(text_has(&text, "\ncohort_executor_cpu_seconds_total{rank=\"3\"} 1.500000001\n"));
    assert_true(text_has(&text, "\ncohort_process_resident_bytes{rank=\"3\"} 42\n"));
    assert_true(text_has(&text, "# TYPE cohort_chain_decide_latency_seconds histogram\n"));
    assert_true(
        text_has(&text, "\ncohort_chain_decide_latency_seconds_sum{rank=\"3\"} 1.500000\n"));
    assert_true(text_has(&text, "\ncohort_chain_decide_latency_seconds_count{rank=\"3\"} 1\n"));
    assert_string_equal(coh_metric_name(COH_M_chain_tx_cross), "chain_tx_cross");
    coh_buf_free(&text);
    coh_metrics_free(m);
}

/* Prometheus' own checker reads what a process with several ranks exports. */
static void metrics_promtool_accepts(void **state)
{
    (void)state;
    if (system("command -v promtool > /dev/null 2>&1") != 0) {
        print_message("!!! promtool is not installed: the metrics text is NOT checked by "
                      "Prometheus' own tool !!!\n");
        skip();
    }
    coh_metrics_t *sets[3];
    for (uint32_t i = 0; i < 3; i++) {
        sets[i] = coh_metrics_new(i);
        coh_metric_add(sets[i], COH_M_chain_tx, i);
        coh_metric_observe(sets[i], COH_M_chain_commit_latency, 100 * i);
    }
    coh_buf_t text = COH_BUF_INIT;
    coh_metrics_prometheus_all((coh_metrics_t const *const *)sets, 3, &text);
    FILE *tool = popen("promtool check metrics", "w");
    assert_non_null(tool);
    assert_int_equal(fwrite(text.p, 1, text.n, tool), text.n);
    assert_int_equal(pclose(tool), 0);
    coh_buf_free(&text);
    for (size_t i = 0; i < 3; i++) {
        coh_metrics_free(sets[i]);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(metrics_sum_over_threads),
        cmocka_unit_test(metrics_gauge_holds_the_last_value),
        cmocka_unit_test(metrics_null_set_is_silent),
        cmocka_unit_test(metrics_buckets_are_inclusive_powers_of_two),
        cmocka_unit_test(metrics_quantile_interpolates),
        cmocka_unit_test(metrics_prometheus_units),
        cmocka_unit_test(metrics_promtool_accepts),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
