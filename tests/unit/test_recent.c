#include "coordinator/recent.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "common/base/rng.h"

#include <cmocka.h>

static json_t *parsed(coh_recent_t const *recent)
{
    coh_buf_t text = COH_BUF_INIT;
    coh_buf_put_u8(&text, '{');
    coh_recent_json(recent, &text);
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

static void recent_nothing_yet(void **state)
{
    (void)state;
    coh_recent_t *recent = coh_recent_new();
    json_t *root         = parsed(recent);
    assert_int_equal(member(json_object_get(root, "recent"), "blocks"), 0);
    assert_int_equal(member(stage(root, "tx"), "p99"), 0);
    assert_int_equal(member(stage(root, "commit"), "p50"), 0);
    assert_int_equal(json_array_size(json_object_get(root, "blocks")), 0);
    json_decref(root);
    coh_recent_free(recent);
}

/* Block n took 10 n us to settle, n to prepare, and 5 to decide. */
static void add_blocks(coh_recent_t *recent, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n <= to; n++) {
        coh_recent_block(recent,
                         &(coh_recent_block_t){.number       = n,
                                               .timestamp    = 1000 + n,
                                               .gas_used     = 21000 * n,
                                               .gas_limit    = 30000000,
                                               .committed_us = 100 * n,
                                               .settle_us    = 10 * n,
                                               .prepare_us   = n,
                                               .decide_us    = 5,
                                               .tx_cnt       = (uint32_t)n,
                                               .tx_cross     = (uint32_t)n / 3});
    }
}

static void recent_lists_the_last_blocks(void **state)
{
    (void)state;
    coh_recent_t *recent = coh_recent_new();
    add_blocks(recent, 1, 3);
    json_t *root = parsed(recent);
    assert_int_equal(json_array_size(json_object_get(root, "blocks")), 3);
    json_decref(root);
    add_blocks(recent, 4, 200);
    root           = parsed(recent);
    json_t *blocks = json_object_get(root, "blocks");
    assert_int_equal(json_array_size(blocks), COH_RECENT_BLOCKS);
    for (size_t i = 0; i < COH_RECENT_BLOCKS; i++) {
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
    coh_recent_free(recent);
}

static int by_size(void const *a, void const *b)
{
    uint64_t x = *(uint64_t const *)a;
    uint64_t y = *(uint64_t const *)b;
    return (x > y) - (x < y);
}

/* Quantiles of waits of every size, held against the sorted ones of the last 64 blocks. */
static void recent_quantiles_of_waits(void **state)
{
    (void)state;
    enum { PER_BLOCK = 50, BLOCKS = 150 };
    static uint64_t waits[PER_BLOCK * BLOCKS];
    coh_recent_t *recent = coh_recent_new();
    coh_rng_t rng;
    coh_rng_seed(&rng, 7);
    for (size_t i = 0; i < COH_CNT(waits); i++) {
        waits[i] = coh_rng_next(&rng) >> (24 + coh_rng_next(&rng) % 40);
        if (waits[i] > UINT64_C(7000000000)) {
            waits[i] = 3;
        }
        coh_recent_waited(recent, waits[i]);
        if ((i + 1) % PER_BLOCK == 0) {
            coh_recent_block(recent, &(coh_recent_block_t){.number = i});
        }
    }
    coh_recent_waited(recent, 1); /* of a block that has not come: does not count */
    uint64_t *kept  = waits + PER_BLOCK * (BLOCKS - COH_RECENT_BLOCKS);
    size_t kept_cnt = PER_BLOCK * COH_RECENT_BLOCKS;
    qsort(kept, kept_cnt, sizeof(*kept), by_size);
    for (unsigned percent = 1; percent < 100; percent++) {
        uint64_t right = kept[(kept_cnt * percent + 99) / 100 - 1];
        uint64_t got   = coh_recent_wait_quantile(recent, percent / 100.0);
        if (4 * got + 4 < 3 * right || 4 * got > 5 * right + 4) {
            fail_msg("%u %%: %llu, not %llu",
                     percent,
                     (unsigned long long)got,
                     (unsigned long long)right);
        }
    }
    coh_recent_free(recent);
}

/* The last class is open. */
static void recent_a_wait_of_days(void **state)
{
    (void)state;
    coh_recent_t *recent = coh_recent_new();
    coh_recent_waited(recent, UINT64_MAX);
    coh_recent_block(recent, &(coh_recent_block_t){.number = 1});
    assert_true(coh_recent_wait_quantile(recent, 0.5) > UINT64_C(3600000000));
    coh_recent_free(recent);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(recent_nothing_yet),
        cmocka_unit_test(recent_lists_the_last_blocks),
        cmocka_unit_test(recent_quantiles_of_waits),
        cmocka_unit_test(recent_a_wait_of_days),
    };
    return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
