/* The first directory: every policy's shape, for every small number of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/placement.h"

static coh_directory_t make(char const *policy, uint32_t shard_cnt)
{
    coh_directory_t dir = {0};
    coh_buf_t err       = COH_BUF_INIT;
    assert_int_equal(coh_placement_initial(&dir, policy, shard_cnt, &err), COH_OK);
    assert_int_equal(err.n, 0);
    assert_int_equal(dir.epoch, 1);
    assert_int_equal(dir.shard_cnt, shard_cnt);
    coh_buf_free(&err);
    return dir;
}

/* Every shard has the floor or the ceiling of its fair share. */
static void expect_even(coh_directory_t const *dir)
{
    uint32_t cnt[COH_BUCKET_CNT] = {0};
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        assert_true(coh_directory_shard(dir, b) < dir->shard_cnt);
        cnt[coh_directory_shard(dir, b)]++;
    }
    for (uint32_t s = 0; s < dir->shard_cnt; s++) {
        assert_in_range(cnt[s],
                        COH_BUCKET_CNT / dir->shard_cnt,
                        (COH_BUCKET_CNT + dir->shard_cnt - 1) / dir->shard_cnt);
    }
}

static void placement_is_even_for_any_number_of_shards(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= COH_BUCKET_CNT; shards += shards < 40 ? 1 : 507) {
        coh_directory_t dir = make("hash", shards);
        expect_even(&dir);
        dir = make("random:7", shards);
        expect_even(&dir);
    }
    coh_directory_t dir = make("random:7", COH_BUCKET_CNT);
    expect_even(&dir);
}

static void placement_hash_gives_each_shard_one_run(void **state)
{
    (void)state;
    coh_directory_t dir = make("hash", 3);
    /* 4096 / 3 = 1365.33: the runs begin at 0, 1366 and 2731 */
    assert_int_equal(dir.shard_of[0], 0);
    assert_int_equal(dir.shard_of[1365], 0);
    assert_int_equal(dir.shard_of[1366], 1);
    assert_int_equal(dir.shard_of[2730], 1);
    assert_int_equal(dir.shard_of[2731], 2);
    assert_int_equal(dir.shard_of[4095], 2);
}

static void placement_random_depends_on_its_seed_alone(void **state)
{
    (void)state;
    coh_directory_t a = make("random:12345", 5);
    coh_directory_t b = make("random:0x3039", 5);
    coh_directory_t c = make("random:12346", 5);
    assert_memory_equal(a.shard_of, b.shard_of, sizeof(a.shard_of));
    uint32_t same  = 0;
    uint32_t turns = 0;
    for (uint32_t i = 0; i < COH_BUCKET_CNT; i++) {
        same += a.shard_of[i] == c.shard_of[i];
        turns += i > 0 && a.shard_of[i] != a.shard_of[i - 1];
    }
    /* By chance a fifth agrees, four in five neighbours differ: 819 and 3276, deviation 26. */
    assert_in_range(same, 819 - 200, 819 + 200);
    assert_in_range(turns, 3276 - 200, 3276 + 200);
}

static void placement_refuses_what_it_does_not_know(void **state)
{
    (void)state;
    static char const *const wrong[] = {"",
                                        "Hash",
                                        "hash ",
                                        "random",
                                        "random:",
                                        "random:-1",
                                        "random: 1",
                                        "random:1x",
                                        "random:0x",
                                        "random:18446744073709551616"};
    for (size_t i = 0; i < COH_CNT(wrong); i++) {
        coh_directory_t dir = {.epoch = 42};
        coh_buf_t err       = COH_BUF_INIT;
        assert_int_equal(coh_placement_initial(&dir, wrong[i], 2, &err), COH_EINVAL);
        assert_int_not_equal(err.n, 0);
        assert_int_equal(dir.epoch, 42);
        coh_buf_free(&err);
    }
    coh_directory_t dir = {.epoch = 42};
    coh_buf_t err       = COH_BUF_INIT;
    assert_int_equal(coh_placement_initial(&dir, "hash", 0, &err), COH_EINVAL);
    assert_int_equal(coh_placement_initial(&dir, "hash", 65537, &err), COH_EINVAL);
    assert_int_equal(dir.epoch, 42);
    coh_buf_free(&err);
    dir = make("random:18446744073709551615", 65536);
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        assert_true(coh_directory_shard(&dir, b) < dir.shard_cnt);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(placement_is_even_for_any_number_of_shards),
        cmocka_unit_test(placement_hash_gives_each_shard_one_run),
        cmocka_unit_test(placement_random_depends_on_its_seed_alone),
        cmocka_unit_test(placement_refuses_what_it_does_not_know),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
