/* The first directory: every policy's shape, for every small number of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "coordinator/placement.h"
#include "tests/support/data.h"

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

static char const LINES[] =
    "# pins\n\n0x0000000000000000000000000000000000000001 2 # far from home\r\n"
    "  0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266\t0\nd8da6bf26964af9d7eed9e03e53415d37aa96045 0";

/* Writes text to a new file and its policy to out. */
static void write_pins(char out[64], char const *text)
{
    (void)snprintf(out, 64, "pinned:/tmp/cohort-test-pins-XXXXXX");
    int fd = mkstemp(out + 7);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void placement_pins_accounts_as_the_file_says(void **state)
{
    (void)state;
    char policy[64];
    write_pins(policy, LINES);
    coh_directory_t dir  = make(policy, 3);
    coh_directory_t hash = make("hash", 3);
    assert_memory_equal(dir.shard_of, hash.shard_of, sizeof(dir.shard_of));
    /* Buckets 0x146 and 0xe97 are shard 0's and 2's, 0x06e is shard 0's: that one needs no override. */
    coh_addr_t one   = coh_test_addr("0x0000000000000000000000000000000000000001");
    coh_addr_t first = coh_test_addr("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    assert_int_equal(dir.override_cnt, 2);
    assert_int_equal(coh_directory_owner(&dir, &one, 0x146), 2);
    assert_int_equal(coh_directory_owner(&dir, &first, 0xe97), 0);
    coh_directory_free(&dir);
    assert_int_equal(unlink(policy + 7), 0);
}

static void placement_refuses_lines_that_are_no_pins(void **state)
{
    (void)state;
    static struct {
        char const *text;
        char const *why;
    } const wrong[] = {
        {"\n0x0000000000000000000000000000000000000001 3", "line 2: \"3\" is no shard, of 0..2"},
        {"0x0000000000000000000000000000000000000001 -1", "line 1: \"-1\" is no shard, of 0..2"},
        {"# x\n# y\n0x00000000000000000000000000000000000001 1",
         "line 3: \"0x00000000000000000000000000000000000001\" is no address"},
        {"0x0000000000000000000000000000000000000001", "line 1: not an address and a shard"},
        {"0x0000000000000000000000000000000000000001 1 1", "line 1: not an address and a shard"},
        {"0x0000000000000000000000000000000000000001 2\n"
         "0000000000000000000000000000000000000001 1",
         "line 2: 0000000000000000000000000000000000000001 was placed before"},
    };
    for (size_t i = 0; i < COH_CNT(wrong); i++) {
        char policy[64];
        write_pins(policy, wrong[i].text);
        coh_directory_t dir = {.epoch = 42};
        coh_buf_t err       = COH_BUF_INIT;
        assert_int_equal(coh_placement_initial(&dir, policy, 3, &err), COH_EINVAL);
        coh_buf_put_u8(&err, 0);
        char const *said = (char const *)err.p;
        assert_non_null(strstr(said, policy + 7));
        assert_string_equal(strstr(said, "line"), wrong[i].why);
        assert_int_equal(dir.epoch, 42);
        coh_buf_free(&err);
        assert_int_equal(unlink(policy + 7), 0);
    }
    char line[400];
    memset(line, 'a', sizeof(line));
    line[sizeof(line) - 1] = '\0';
    char policy[64];
    write_pins(policy, line);
    coh_directory_t dir = {.epoch = 42};
    coh_buf_t err       = COH_BUF_INIT;
    assert_int_equal(coh_placement_initial(&dir, policy, 3, &err), COH_EINVAL);
    assert_int_equal(unlink(policy + 7), 0);
    assert_int_equal(coh_placement_initial(&dir, policy, 3, &err), COH_EINVAL); /* no file */
    assert_int_equal(dir.epoch, 42);
    coh_buf_free(&err);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(placement_is_even_for_any_number_of_shards),
        cmocka_unit_test(placement_hash_gives_each_shard_one_run),
        cmocka_unit_test(placement_random_depends_on_its_seed_alone),
        cmocka_unit_test(placement_refuses_what_it_does_not_know),
        cmocka_unit_test(placement_pins_accounts_as_the_file_says),
        cmocka_unit_test(placement_refuses_lines_that_are_no_pins),
    };
    return cmocka_run_group_tests_name("placement", tests, NULL, NULL);
}
