/* deploy/monitoring against the metrics that exist: every name in the dashboard, the alert rules and their tests is one that a rank exports, every alert
   has a test in which it fires, and promtool, where it is installed, accepts the configuration and passes the tests. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/obs/metrics.h"

#define FOLDER COHORT_SOURCE_DIR "/deploy/monitoring/"

static coh_buf_t read_file(char const *path)
{
    coh_buf_t text = COH_BUF_INIT;
    FILE *file     = fopen(path, "re");
    if (file == NULL) {
        fail_msg("cannot read %s", path);
    }
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        coh_buf_put(&text, chunk, n);
    }
    (void)fclose(file);
    coh_buf_put_u8(&text, 0);
    return text;
}

/* What a rank exports, as text: the names are taken from it, not from metrics.def, so that units and endings are right. */
static coh_buf_t exported(void)
{
    coh_buf_t text     = COH_BUF_INIT;
    coh_metrics_t *set = coh_metrics_new(0);
    coh_metrics_prometheus(set, &text);
    coh_metrics_free(set);
    coh_buf_put_u8(&text, 0);
    return text;
}

/* True if there is a sample of this name: it stands at the start of a line, before its labels. */
static bool is_exported(coh_buf_t const *samples, char const *name, size_t n)
{
    char const *text = (char const *)samples->p;
    for (char const *at = text; (at = strstr(at, name)) != NULL; at++) {
        if ((at == text || at[-1] == '\n') && at[n] == '{') {
            return true;
        }
    }
    return false;
}

/* Checks every name cohort_... in text; returns how many there were. */
static size_t check_names(char const *text, char const *where)
{
    coh_buf_t samples = exported();
    size_t cnt        = 0;
    for (char const *at = text; (at = strstr(at, "cohort_")) != NULL;) {
        size_t n = 0;
        while (isalnum((unsigned char)at[n]) || at[n] == '_') {
            n++;
        }
        char name[128];
        assert_true(n < sizeof(name));
        memcpy(name, at, n);
        name[n] = '\0';
        if (!is_exported(&samples, name, n)) {
            fail_msg("%s: there is no metric %s", where, name);
        }
        cnt++;
        at += n;
    }
    coh_buf_free(&samples);
    return cnt;
}

static void monitoring_rules_name_metrics_that_exist(void **state)
{
    (void)state;
    static char const *const files[] = {"rules.yml", "rules_test.yml"};
    for (size_t i = 0; i < COH_CNT(files); i++) {
        char path[512];
        (void)snprintf(path, sizeof(path), FOLDER "%s", files[i]);
        coh_buf_t text = read_file(path);
        assert_true(check_names((char const *)text.p, files[i]) > 10);
        coh_buf_free(&text);
    }
}

static void monitoring_dashboard_queries_metrics_that_exist(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(FOLDER "dashboard.json", 0, &error);
    if (root == NULL) {
        fail_msg("dashboard.json:%d: %s", error.line, error.text);
    }
    size_t queries = 0;
    size_t i;
    json_t *panel;
    json_array_foreach (json_object_get(root, "panels"), i, panel) {
        char const *title = json_string_value(json_object_get(panel, "title"));
        assert_non_null(title);
        size_t k;
        json_t *target;
        json_array_foreach (json_object_get(panel, "targets"), k, target) {
            char const *expr = json_string_value(json_object_get(target, "expr"));
            assert_non_null(expr);
            assert_true(check_names(expr, title) > 0);
            queries++;
        }
    }
    assert_true(queries > 20);
    json_decref(root);
}

/* Every alert of the rules has, among the tests, one that expects it to fire. */
static void monitoring_every_alert_is_tested(void **state)
{
    (void)state;
    coh_buf_t rules = read_file(FOLDER "rules.yml");
    coh_buf_t tests = read_file(FOLDER "rules_test.yml");
    size_t cnt      = 0;
    for (char const *at = (char const *)rules.p; (at = strstr(at, "- alert: ")) != NULL; cnt++) {
        at += strlen("- alert: ");
        char expected[160];
        (void)snprintf(expected,
                       sizeof(expected),
                       "alertname: %.*s\n        exp_alerts:\n          - exp_labels:",
                       (int)strcspn(at, "\n"),
                       at);
        if (strstr((char const *)tests.p, expected) == NULL) {
            fail_msg("no test fires %.*s", (int)strcspn(at, "\n"), at);
        }
    }
    assert_true(cnt > 5);
    coh_buf_free(&rules);
    coh_buf_free(&tests);
}

static void monitoring_promtool_accepts(void **state)
{
    (void)state;
    if (system("command -v promtool > /dev/null 2>&1") != 0) {
        print_message(
            "!!! promtool is not installed: rules and configuration are NOT checked by it\n");
        return;
    }
    assert_int_equal(system("cd '" FOLDER "' && promtool check config prometheus.yml > /dev/null"),
                     0);
    assert_int_equal(system("cd '" FOLDER "' && promtool test rules rules_test.yml"), 0);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(monitoring_rules_name_metrics_that_exist),
        cmocka_unit_test(monitoring_dashboard_queries_metrics_that_exist),
        cmocka_unit_test(monitoring_every_alert_is_tested),
        cmocka_unit_test(monitoring_promtool_accepts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
