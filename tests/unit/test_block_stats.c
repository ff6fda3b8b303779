/* How blocks were executed: what is told of the last ones, added up by hand, and that older ones are forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coordinator/block_stats.h"

static void assert_json(coh_block_stats_ring_t const *r, uint64_t number, char const *wanted)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_block_stats_json(&text, r, number);
    coh_buf_put_u8(&text, 0);
    assert_string_equal((char const *)text.p, wanted);
    coh_buf_free(&text);
}

static void block_stats_tell_of_the_last_blocks(void **state)
{
    (void)state;
    coh_block_stats_ring_t r;
    coh_block_stats_shard_t shards[2] = {
        {.tx_cnt = 3, .execution_cnt = 4, .retraction_cnt = 1, .cpu_ns = 30500},
        {.tx_cnt = 1, .execution_cnt = 1, .retraction_cnt = 0, .cpu_ns = 10500}};
    coh_block_stats_t stats = {.number      = 7,
                               .tx_cnt      = 4,
                               .cross_cnt   = 1,
                               .message_cnt = 6,
                               .settle_us   = 100,
                               .prepare_us  = 20,
                               .decide_us   = 3,
                               .shards      = shards};
    coh_block_stats_init(&r, 2);
    assert_json(&r, 0, "null");
    assert_json(&r, 7, "null");
    coh_block_stats_put(&r, &stats);
    shards[0].tx_cnt = 99; /* copied */
    assert_json(
        &r,
        7,
        "{\"number\":7,\"hash\":"
        "\"0x0000000000000000000000000000000000000000000000000000000000000000\",\"transactions\":4,"
        "\"crossShard\":1,\"crossShardShare\":0.2500,\"executions\":5,\"retractions\":1,"
        "\"messages\":6,\"executionMicros\":41,\"settleMicros\":100,\"prepareMicros\":20,"
        "\"decideMicros\":3,\"commitMicros\":123,\"shards\":[{\"shard\":0,\"rank\":1,"
        "\"transactions\":3,\"executions\":4,\"retractions\":1,\"executionMicros\":30,"
        "\"load\":0.7439},{\"shard\":1,\"rank\":2,\"transactions\":1,\"executions\":1,"
        "\"retractions\":0,\"executionMicros\":10,\"load\":0.2561}]}");
    /* Another block comes in its place; of an empty one nothing is a share. */
    shards[0]       = (coh_block_stats_shard_t){.tx_cnt = 0};
    shards[1]       = shards[0];
    stats.number    = 7 + COH_BLOCK_STATS_CNT;
    stats.tx_cnt    = 0;
    stats.cross_cnt = 0;
    coh_block_stats_put(&r, &stats);
    assert_json(&r, 7, "null");
    coh_buf_t text = COH_BUF_INIT;
    coh_block_stats_json(&text, &r, stats.number);
    coh_buf_put_u8(&text, 0);
    assert_non_null(strstr((char const *)text.p, "\"crossShardShare\":0.0000"));
    assert_non_null(strstr((char const *)text.p, "\"load\":0.0000"));
    coh_buf_free(&text);
    coh_block_stats_fini(&r);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(block_stats_tell_of_the_last_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
