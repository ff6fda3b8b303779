/* What is told of the last blocks, added up by hand, and that older ones are forgotten; quantiles of waits, held against sorted ones. */
#include "coordinator/block_stats.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"

#include <cmocka.h>

/* Of the one shard, in tests that are not about it. */
static coh_block_stats_shard_t idle[1];

static void assert_json(coh_block_stats_t const *stats, uint64_t number, char const *wanted)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_block_stats_json(stats, &text, number);
    coh_buf_put_u8(&text, 0);
    assert_string_equal((char const *)text.p, wanted);
    coh_buf_free(&text);
}

static void block_stats_tell_of_the_last_blocks(void **state)
{
    (void)state;
    coh_block_stats_t *stats          = coh_block_stats_new(2);
    coh_block_stats_shard_t shards[2] = {
        {.tx_cnt = 3, .execution_cnt = 4, .retraction_cnt = 1, .cpu_ns = 30500},
        {.tx_cnt = 1, .execution_cnt = 1, .retraction_cnt = 0, .cpu_ns = 10500}};
    coh_block_stat_t block = {.number      = 7,
                              .tx_cnt      = 4,
                              .cross_cnt   = 1,
                              .message_cnt = 6,
                              .settle_us   = 100,
                              .prepare_us  = 20,
                              .decide_us   = 3,
                              .shards      = shards};
    assert_json(stats, 0, "null");
    assert_json(stats, 7, "null");
    coh_block_stats_add(stats, &block);
    shards[0].tx_cnt = 99; /* copied */
    assert_json(
        stats,
        7,
        "{\"number\":7,\"hash\":"
        "\"0x0000000000000000000000000000000000000000000000000000000000000000\",\"transactions\":4,"
        "\"crossShard\":1,\"crossShardShare\":0.2500,\"executions\":5,\"retractions\":1,"
        "\"messages\":6,\"executionMicros\":41,\"settleMicros\":100,\"prepareMicros\":20,"
        "\"decideMicros\":3,\"commitMicros\":123,\"shards\":[{\"shard\":0,\"rank\":1,"
        "\"transactions\":3,\"executions\":4,\"retractions\":1,\"executionMicros\":30,"
        "\"load\":0.7439},{\"shard\":1,\"rank\":2,\"transactions\":1,\"executions\":1,"
        "\"retractions\":0,\"executionMicros\":10,\"load\":0.2561}]}");
    /* The number comes again, of an empty block: nothing of it is a share. */
    shards[0]       = (coh_block_stats_shard_t){.tx_cnt = 0};
    shards[1]       = shards[0];
    block.tx_cnt    = 0;
    block.cross_cnt = 0;
    coh_block_stats_add(stats, &block);
    coh_buf_t text = COH_BUF_INIT;
    coh_block_stats_json(stats, &text, 7);
    coh_buf_put_u8(&text, 0);
    assert_non_null(strstr((char const *)text.p, "\"crossShardShare\":0.0000"));
    assert_non_null(strstr((char const *)text.p, "\"load\":0.0000"));
    coh_buf_free(&text);
    /* Others come in its place. */
    for (block.number = 8; block.number < 7 + COH_BLOCK_STATS_CNT; block.number++) {
        coh_block_stats_add(stats, &block);
    }
    coh_buf_clear(&text);
    coh_block_stats_json(stats, &text, 7);
    assert_true(text.n > 4);
    coh_block_stats_add(stats, &block);
    assert_json(stats, 7, "null");
    coh_buf_free(&text);
    coh_block_stats_free(stats);
}

static json_t *parsed(coh_block_stats_t const *stats)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_put_u8(&text, '{');
    coh_block_stats_recent_json(stats, &text);
    coh_buf_put_u8(&text, '}');
    json_error_t error;
    json_t *root = json_loadb((char const *)text.p, text.n, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fail_msg("%s: %.*s", error.text, (int)text.n, (char const *)text.p);
    }
    coh_buf_free(&text);
    return root;
}

static json_int_t member(json_t const *object, char const *name)
{
    json_t const *v = json_object_get(object, name);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static json_t *stage(json_t const *root, char const *name)
{
    return json_object_get(json_object_get(json_object_get(root, "recent"), "latency_us"), name);
}

static void block_stats_nothing_yet(void **state)
{
    (void)state;
    coh_block_stats_t *stats = coh_block_stats_new(1);
    json_t *root             = parsed(stats);
    assert_int_equal(member(json_object_get(root, "recent"), "blocks"), 0);
    assert_int_equal(member(stage(root, "tx"), "p99"), 0);
    assert_int_equal(member(stage(root, "commit"), "p50"), 0);
    assert_int_equal(json_array_size(json_object_get(root, "blocks")), 0);
    json_decref(root);
    coh_block_stats_free(stats);
}

/* Block n took 10 n us to settle, n to prepare, and 5 to decide. */
static void add_blocks(coh_block_stats_t *stats, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        coh_block_stats_add(stats,
                            &(coh_block_stat_t){.number       = n,
                                                .timestamp    = 1000 + n,
                                                .gas_used     = 21000 * n,
                                                .gas_limit    = 30000000,
                                                .committed_us = 100 * n,
                                                .settle_us    = 10 * n,
                                                .prepare_us   = n,
                                                .decide_us    = 5,
                                                .tx_cnt       = (uint32_t)n,
                                                .cross_cnt    = (uint32_t)n / 3,
                                                .shards       = idle});
    }
}

static void block_stats_list_the_recent_blocks(void **state)
{
    (void)state;
    coh_block_stats_t *stats = coh_block_stats_new(1);
    add_blocks(stats, 1, 3);
    json_t *root = parsed(stats);
    assert_int_equal(json_array_size(json_object_get(root, "blocks")), 3);
    json_decref(root);
    add_blocks(stats, 4, 200);
    root           = parsed(stats);
    json_t *blocks = json_object_get(root, "blocks");
    assert_int_equal(json_array_size(blocks), COH_BLOCK_STATS_RECENT);
    for (size_t i = 0; i < COH_BLOCK_STATS_RECENT; i++) {
        json_t *b    = json_array_get(blocks, i);
        json_int_t n = 200 - (json_int_t)i;
        assert_int_equal(member(b, "number"), n);
        assert_int_equal(member(b, "timestamp"), 1000 + n);
        assert_int_equal(member(b, "tx"), n);
        assert_int_equal(member(b, "tx_cross"), n / 3);
        assert_int_equal(member(b, "gas_used"), 21000 * n);
        assert_int_equal(member(b, "gas_limit"), 30000000);
        assert_int_equal(member(b, "committed_us"), 100 * n);
        assert_int_equal(member(b, "settle_us"), 10 * n);
        assert_int_equal(member(b, "prepare_us"), n);
        assert_int_equal(member(b, "decide_us"), 5);
    }
    /* Of 137..200: half are at most 168, 64 of 64 are needed for 99 %. */
    assert_int_equal(member(json_object_get(root, "recent"), "blocks"), 64);
    assert_int_equal(member(stage(root, "settle"), "p50"), 1680);
    assert_int_equal(member(stage(root, "settle"), "p99"), 2000);
    assert_int_equal(member(stage(root, "prepare"), "p50"), 168);
    assert_int_equal(member(stage(root, "decide"), "p99"), 5);
    assert_int_equal(member(stage(root, "commit"), "p50"), 1680 + 168 + 5);
    assert_int_equal(member(stage(root, "commit"), "p99"), 2000 + 200 + 5);
    json_decref(root);
    coh_block_stats_free(stats);
}

static int by_size(void const *a, void const *b)
{
    uint64_t x = *(uint64_t const *)a;
    uint64_t y = *(uint64_t const *)b;
    return (x > y) - (x < y);
}

/* Quantiles of waits of every size, held against the sorted ones of the last 64 blocks. */
static void block_stats_quantiles_of_waits(void **state)
{
    (void)state;
    enum { PER_BLOCK = 50, BLOCKS = 150 };
    static uint64_t waits[PER_BLOCK * BLOCKS];
    coh_block_stats_t *stats = coh_block_stats_new(1);
    coh_rng_t rng;
    coh_rng_seed(&rng, 7);
    for (size_t i = 0; i < COH_CNT(waits); i++) {
        waits[i] = coh_rng_next(&rng) >> (24 + coh_rng_next(&rng) % 40);
        if (waits[i] > UINT64_C(7000000000)) {
            waits[i] = 3;
        }
        coh_block_stats_waited(stats, waits[i]);
        if ((i + 1) % PER_BLOCK == 0) {
            coh_block_stats_add(stats, &(coh_block_stat_t){.number = i, .shards = idle});
        }
    }
    coh_block_stats_waited(stats, 1); /* of a block that has not come: does not count */
    uint64_t *kept  = waits + PER_BLOCK * (BLOCKS - COH_BLOCK_STATS_RECENT);
    size_t kept_cnt = PER_BLOCK * COH_BLOCK_STATS_RECENT;
    qsort(kept, kept_cnt, sizeof(*kept), by_size);
    for (unsigned percent = 1; percent < 100; percent++) {
        uint64_t right = kept[(kept_cnt * percent + 99) / 100 - 1];
        uint64_t got   = coh_block_stats_wait_quantile(stats, percent / 100.0);
        if (4 * got + 4 < 3 * right || 4 * got > 5 * right + 4) {
            fail_msg("%u %%: %llu, not %llu",
                     percent,
                     (unsigned long long)got,
                     (unsigned long long)right);
        }
    }
    coh_block_stats_free(stats);
}

/* The last class is open. */
static void block_stats_a_wait_of_days(void **state)
{
    (void)state;
    coh_block_stats_t *stats = coh_block_stats_new(1);
    coh_block_stats_waited(stats, UINT64_MAX);
    coh_block_stats_add(stats, &(coh_block_stat_t){.number = 1, .shards = idle});
    assert_true(coh_block_stats_wait_quantile(stats, 0.5) > UINT64_C(3600000000));
    coh_block_stats_free(stats);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(block_stats_tell_of_the_last_blocks),
        cmocka_unit_test(block_stats_nothing_yet),
        cmocka_unit_test(block_stats_list_the_recent_blocks),
        cmocka_unit_test(block_stats_quantiles_of_waits),
        cmocka_unit_test(block_stats_a_wait_of_days),
    };
    return cmocka_run_group_tests_name("block_stats", tests, NULL, NULL);
}
