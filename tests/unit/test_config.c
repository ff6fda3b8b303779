#include "common/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static coh_config_t cfg;
static coh_buf_t why;

static int setup(void **state)
{
    (void)state;
    coh_config_default(&cfg);
    coh_buf_free(&why);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    coh_buf_free(&why);
    return 0;
}

static void assert_why_has(char const *part)
{
    coh_buf_put_u8(&why, 0);
    if (strstr((char const *)why.p, part) == NULL) {
        fail_msg("'%s' does not say '%s'", (char const *)why.p, part);
    }
    why.n--;
}

/* Writes text to a file of its own, loads it, and removes it. */
static coh_err_t load_text(char const *text)
{
    char path[] = "/tmp/coh_test_config_XXXXXX";
    int fd      = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    coh_err_t rc = coh_config_load_file(&cfg, path, &why);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void config_defaults(void **state)
{
    (void)state;
    assert_int_equal(cfg.node_shards, 1);
    assert_int_equal(cfg.block_tx_max, 8192);
    assert_string_equal(cfg.client_listen, "tcp://127.0.0.1:7545");
    assert_string_equal(cfg.pool_order, "arrival");
    assert_false(cfg.pool_allow_unprotected);
    assert_string_equal(cfg.node_data, "");
}

static void config_rows_describe_every_option(void **state)
{
    (void)state;
    size_t cnt;
    coh_cfg_row_t const *rows = coh_config_rows(&cnt);
    bool found                = false;
    for (size_t i = 0; i < cnt; i++) {
        assert_null(strchr(rows[i].option, '_'));
        assert_true(strlen(rows[i].doc) > 0);
        /* every default must be accepted, and be what coh_config_default sets */
        coh_config_t set = cfg;
        assert_int_equal(coh_config_set(&set, rows[i].option, rows[i].def, &why), COH_OK);
        assert_memory_equal(&set, &cfg, sizeof(cfg));
        if (strcmp(rows[i].option, "block-tx-max") == 0) {
            found = true;
            assert_string_equal(rows[i].section, "block");
            assert_string_equal(rows[i].name, "tx_max");
            assert_string_equal(rows[i].def, "8192");
            assert_int_equal(rows[i].kind, COH_CFG_KIND_U64);
            assert_true(rows[i].cluster);
            assert_int_equal(rows[i].min, 1);
            assert_int_equal(rows[i].max, 65536);
        }
    }
    assert_true(found);
}

static void config_set_checks_ranges(void **state)
{
    (void)state;
    assert_int_equal(coh_config_set(&cfg, "block-tx-max", "65536", &why), COH_OK);
    assert_int_equal(cfg.block_tx_max, 65536);
    static char const *const bad[] = {"0",
                                      "65537",
                                      "",
                                      " 1",
                                      "1 ",
                                      "-1",
                                      "+1",
                                      "0x10",
                                      "1e3",
                                      "18446744073709551616",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        coh_buf_clear(&why);
        assert_int_equal(coh_config_set(&cfg, "block-tx-max", bad[i], &why), COH_EINVAL);
        assert_why_has("block-tx-max");
        assert_why_has("1..65536");
        assert_int_equal(cfg.block_tx_max, 65536);
    }
}

static void config_set_bool(void **state)
{
    (void)state;
    assert_int_equal(coh_config_set(&cfg, "pool-allow-unprotected", "yes", &why), COH_OK);
    assert_true(cfg.pool_allow_unprotected);
    assert_int_equal(coh_config_set(&cfg, "pool-allow-unprotected", "false", &why), COH_OK);
    assert_false(cfg.pool_allow_unprotected);
    assert_int_equal(coh_config_set(&cfg, "pool-allow-unprotected", "maybe", &why), COH_EINVAL);
    assert_why_has("maybe");
}

static void config_set_refuses_what_does_not_fit(void **state)
{
    (void)state;
    char text[COH_CFG_STR_MAX + 1];
    memset(text, 'x', sizeof(text));
    text[COH_CFG_STR_MAX] = '\0';
    assert_int_equal(coh_config_set(&cfg, "node-data", text, &why), COH_EINVAL);
    assert_string_equal(cfg.node_data, "");
    text[COH_CFG_STR_MAX - 1] = '\0';
    assert_int_equal(coh_config_set(&cfg, "node-data", text, &why), COH_OK);
    assert_string_equal(cfg.node_data, text);
    assert_int_equal(coh_config_set(&cfg, "node-date", "x", &why), COH_ENOTFOUND);
    assert_why_has("node-date");
}

static void config_file(void **state)
{
    (void)state;
    assert_int_equal(load_text("; remark\n[node]\nshards = 4\ndata = /var/lib/c # no "
                               "remark\n\n[block]\ninterval_ms=0\n"
                               "[pool]\nallow_unprotected = true"),
                     COH_OK);
    assert_int_equal(cfg.node_shards, 4);
    assert_string_equal(cfg.node_data, "/var/lib/c # no remark");
    assert_int_equal(cfg.block_interval_ms, 0);
    assert_true(cfg.pool_allow_unprotected);
}

static void config_file_errors_name_file_and_line(void **state)
{
    (void)state;
    char long_line[700] = "[node]\ndata = ";
    memset(long_line + strlen(long_line), 'y', 600);
    struct {
        char const *text;
        coh_err_t err;
        char const *says;
    } const cases[] = {
        {"[node]\n\nshard = 4\n", COH_ENOTFOUND, ":3: 'shard' is not an option of section 'node'"},
        {"[knot]\nshards = 4\n", COH_ENOTFOUND, ":2: 'shards' is not an option of section 'knot'"},
        {"shards = 4\n", COH_ENOTFOUND, ":1: 'shards' is not an option of section ''"},
        {"[node]\nshards = 4000\n",
         COH_EINVAL,
         ":2: node-shards: '4000' is not a whole number in 1..1024"},
        {"[node]\nshards = 4\nshards = 5\n", COH_EINVAL, ":3: shards is already set in line 2"},
        {"[node]\nshards = 4\n  5\n", COH_EINVAL, ":3: shards is already set in line 2"},
        {"[node]\nrubbish\n", COH_EMALFORMED, ":2: neither [section] nor name = value"},
        {"[node\nshards = 4\n", COH_EMALFORMED, ":1: neither"},
        {long_line, COH_EINVAL, ":2: line is longer"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_buf_clear(&why);
        assert_int_equal(load_text(cases[i].text), cases[i].err);
        assert_why_has(cases[i].says);
        assert_why_has("/tmp/coh_test_config_");
    }
    coh_buf_clear(&why);
    assert_int_equal(coh_config_load_file(&cfg, "/nonexistent/file", &why), COH_ENOTFOUND);
    assert_why_has("/nonexistent/file");
    coh_buf_clear(&why);
    assert_int_equal(coh_config_load_file(&cfg, "/tmp", &why), COH_EIO);
}

static void config_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("COH_BLOCK_TX_MAX", "77", 1), 0);
    assert_int_equal(setenv("COH_LOG_LEVEL", "debug", 1), 0);
    assert_int_equal(coh_config_load_env(&cfg, &why), COH_OK);
    assert_int_equal(cfg.block_tx_max, 77);
    assert_string_equal(cfg.log_level, "debug");
    assert_int_equal(setenv("COH_BLOCK_TX_MAX", "many", 1), 0);
    assert_int_equal(coh_config_load_env(&cfg, &why), COH_EINVAL);
    assert_why_has("COH_BLOCK_TX_MAX");
    assert_int_equal(unsetenv("COH_BLOCK_TX_MAX"), 0);
    assert_int_equal(unsetenv("COH_LOG_LEVEL"), 0);
}

static void config_hash_covers_cluster_options_only(void **state)
{
    (void)state;
    uint64_t const before = coh_config_hash(&cfg);
    size_t cnt;
    coh_cfg_row_t const *rows = coh_config_rows(&cnt);
    for (size_t i = 0; i < cnt; i++) {
        coh_config_t other = cfg;
        char text[32];
        char const *value = "else";
        if (rows[i].kind == COH_CFG_KIND_U64) {
            (void)snprintf(text,
                           sizeof(text),
                           "%lu",
                           strtoul(rows[i].def, NULL, 10) == rows[i].max ? rows[i].min
                                                                         : rows[i].max);
            value = text;
        } else if (rows[i].kind == COH_CFG_KIND_BOOL) {
            value = strcmp(rows[i].def, "true") == 0 ? "false" : "true";
        }
        assert_int_equal(coh_config_set(&other, rows[i].option, value, &why), COH_OK);
        assert_int_equal(coh_config_hash(&other) != before, rows[i].cluster);
    }
    /* bytes behind the end of a string are no part of its value */
    cfg.placement_policy[COH_CFG_STR_MAX - 1] = 'z';
    assert_true(coh_config_hash(&cfg) == before);
}

/* Nobody on another machine reaches a port that was not opened on purpose. */
static void config_listens_on_loopback(void **state)
{
    (void)state;
    size_t cnt;
    unsigned found            = 0;
    coh_cfg_row_t const *rows = coh_config_rows(&cnt);
    for (size_t i = 0; i < cnt; i++) {
        if (strcmp(rows[i].name, "listen") != 0 && strcmp(rows[i].name, "publish") != 0) {
            continue;
        }
        char const *addr = rows[i].def;
        addr += strncmp(addr, "tcp://", 6) == 0 ? 6 : 0;
        assert_true(*addr == '\0' || strncmp(addr, "127.0.0.1:", 10) == 0);
        found++;
    }
    assert_int_equal(found, 4); /* client-listen, client-publish, status-listen, http-listen */
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(config_defaults, setup, teardown),
        cmocka_unit_test(config_listens_on_loopback),
        cmocka_unit_test_setup_teardown(config_rows_describe_every_option, setup, teardown),
        cmocka_unit_test_setup_teardown(config_set_checks_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(config_set_bool, setup, teardown),
        cmocka_unit_test_setup_teardown(config_set_refuses_what_does_not_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(config_file, setup, teardown),
        cmocka_unit_test_setup_teardown(config_file_errors_name_file_and_line, setup, teardown),
        cmocka_unit_test_setup_teardown(config_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(config_hash_covers_cluster_options_only, setup, teardown),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
