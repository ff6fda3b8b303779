/* The directory: buckets against Keccak digests computed elsewhere, and its encoding byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
#include "common/base/rng.h"
#include "common/state/directory.h"
#include "tests/support/data.h"

/* Addresses with the first three digits of their keccak256. The first three are small or extreme
   numbers, the others the first account of the well-known "test test ... junk" phrase and
   vitalik.eth. */
static struct {
    char const *addr;
    uint32_t bucket;
} const KNOWN[] = {
    {"0x0000000000000000000000000000000000000000", 0x538},
    {"0x0000000000000000000000000000000000000001", 0x146},
    {"0xffffffffffffffffffffffffffffffffffffffff", 0xd3b},
    {"0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", 0xe97},
    {"0xd8da6bf26964af9d7eed9e03e53415d37aa96045", 0x06e},
};

static void directory_bucket_is_leading_12_bits_of_keccak(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(KNOWN); i++) {
        coh_addr_t addr = coh_test_addr(KNOWN[i].addr);
        assert_int_equal(coh_directory_bucket(&addr), KNOWN[i].bucket);
    }
}

static void directory_buckets_of_any_count_equal_single_ones(void **state)
{
    (void)state;
    enum { MAX = 200 };
    coh_addr_t addr[MAX];
    for (size_t i = 0; i < MAX; i++) {
        addr[i] = coh_test_addr(KNOWN[i % COH_CNT(KNOWN)].addr);
    }
    for (size_t cnt = 0; cnt <= MAX; cnt += cnt < 130 ? 1 : 35) {
        uint16_t bucket[MAX + 1];
        memset(bucket, 0xee, sizeof(bucket));
        coh_directory_buckets(bucket, addr, cnt);
        for (size_t i = 0; i < cnt; i++) {
            assert_int_equal(bucket[i], KNOWN[i % COH_CNT(KNOWN)].bucket);
        }
        assert_int_equal(bucket[cnt], 0xeeee);
    }
}

static void directory_owner_follows_the_bucket(void **state)
{
    (void)state;
    coh_directory_t dir = {.epoch = 1, .shard_cnt = 7};
    dir.shard_of[0x538] = 6;
    dir.shard_of[0x146] = 3;
    coh_addr_t zero     = coh_test_addr(KNOWN[0].addr);
    coh_addr_t one      = coh_test_addr(KNOWN[1].addr);
    assert_int_equal(coh_directory_owner(&dir, &zero, 0x538), 6);
    assert_int_equal(coh_directory_owner(&dir, &one, 0x146), 3);
    assert_int_equal(coh_directory_shard(&dir, 0x146), 3);
    assert_int_equal(coh_directory_shard(&dir, 0xfff), 0);
}

static void directory_encoding_is_little_endian_in_bucket_order(void **state)
{
    (void)state;
    coh_directory_t dir = {.epoch = 1, .shard_cnt = 1000};
    dir.shard_of[0]     = 0x0102;
    dir.shard_of[1]     = 0x03e7;
    dir.shard_of[4095]  = 5;
    coh_buf_t buf       = COH_BUF_INIT;
    coh_buf_put_u8(&buf, 0xaa);
    coh_directory_encode(&buf, &dir);
    assert_int_equal(buf.n, 1 + 8192);
    uint8_t const head[] = {0xaa, 0x02, 0x01, 0xe7, 0x03, 0x00, 0x00};
    assert_memory_equal(buf.p, head, sizeof(head));
    assert_int_equal(buf.p[8191], 5);
    assert_int_equal(buf.p[8192], 0);

    coh_directory_t back;
    assert_int_equal(coh_directory_decode(&back, 9, 1000, coh_bytes(buf.p + 1, 8192)), COH_OK);
    assert_int_equal(back.epoch, 9);
    assert_int_equal(back.shard_cnt, 1000);
    assert_memory_equal(back.shard_of, dir.shard_of, sizeof(dir.shard_of));
    coh_buf_free(&buf);
}

static void directory_decode_refuses_what_does_not_fit(void **state)
{
    (void)state;
    uint8_t bytes[8193] = {0};
    bytes[2 * 77]       = 4;
    coh_directory_t dir = {.epoch = 42};
    assert_int_equal(coh_directory_decode(&dir, 1, 4, coh_bytes(bytes, 8192)), COH_EMALFORMED);
    assert_int_equal(coh_directory_decode(&dir, 1, 5, coh_bytes(bytes, 8191)), COH_EMALFORMED);
    assert_int_equal(coh_directory_decode(&dir, 1, 5, coh_bytes(bytes, 8193)), COH_EMALFORMED);
    assert_int_equal(coh_directory_decode(&dir, 1, 5, coh_bytes(NULL, 0)), COH_EMALFORMED);
    assert_int_equal(coh_directory_decode(&dir, 1, 0, coh_bytes(bytes, 8192)), COH_EINVAL);
    assert_int_equal(coh_directory_decode(&dir, 1, 65537, coh_bytes(bytes, 8192)), COH_EINVAL);
    assert_int_equal(dir.epoch, 42);
    assert_int_equal(coh_directory_decode(&dir, 1, 5, coh_bytes(bytes, 8192)), COH_OK);
    assert_int_equal(dir.shard_of[77], 4);
}

static void directory_override_goes_before_the_bucket(void **state)
{
    (void)state;
    coh_directory_t dir = {.epoch = 1, .shard_cnt = 7};
    dir.shard_of[0x538] = 6;
    coh_addr_t zero     = coh_test_addr(KNOWN[0].addr);
    coh_addr_t one      = coh_test_addr(KNOWN[1].addr);
    assert_null(coh_directory_override(&dir, &zero));
    assert_int_equal(coh_directory_pin(&dir, &zero, 2), COH_OK);
    assert_int_equal(coh_directory_pin(&dir, &zero, 7), COH_EINVAL);
    assert_int_equal(coh_directory_owner(&dir, &zero, 0x538), 2);
    assert_int_equal(coh_directory_shard(&dir, 0x538), 6);
    assert_int_equal(coh_directory_override(&dir, &zero)->bucket, 0x538);
    assert_null(coh_directory_override(&dir, &one));
    assert_int_equal(coh_directory_pin(&dir, &zero, 3), COH_OK);
    assert_int_equal(dir.override_cnt, 1);
    assert_int_equal(coh_directory_owner(&dir, &zero, 0x538), 3);
    /* Where the bucket is, an account needs no override. */
    assert_int_equal(coh_directory_pin(&dir, &zero, 6), COH_OK);
    assert_int_equal(dir.override_cnt, 0);
    assert_int_equal(coh_directory_owner(&dir, &zero, 0x538), 6);
    assert_int_equal(coh_directory_pin(&dir, &one, 0), COH_OK);
    assert_int_equal(dir.override_cnt, 0);
    coh_directory_free(&dir);
}

static void directory_overrides_come_and_go_like_a_list(void **state)
{
    (void)state;
    enum { ADDRS = 300, SHARDS = 5 };
    coh_directory_t dir = {.epoch = 1, .shard_cnt = SHARDS};
    coh_addr_t addrs[ADDRS];
    uint16_t buckets[ADDRS];
    uint32_t expected[ADDRS];
    coh_rng_t rng;
    coh_rng_seed(&rng, 20261126);
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        dir.shard_of[b] = (uint16_t)coh_rng_below(&rng, SHARDS);
    }
    for (uint32_t i = 0; i < ADDRS; i++) {
        addrs[i] = (coh_addr_t){.b = {[18] = (uint8_t)(i >> 8), [19] = (uint8_t)i}};
    }
    coh_directory_buckets(buckets, addrs, ADDRS);
    for (uint32_t i = 0; i < ADDRS; i++) {
        expected[i] = dir.shard_of[buckets[i]];
    }
    for (uint32_t round = 0; round < 20000; round++) {
        uint32_t i  = (uint32_t)coh_rng_below(&rng, ADDRS);
        bool home   = coh_rng_percent(&rng, round / 2000 % 2 == 0 ? 20 : 80);
        expected[i] = home ? dir.shard_of[buckets[i]] : (uint32_t)coh_rng_below(&rng, SHARDS);
        assert_int_equal(coh_directory_pin(&dir, &addrs[i], expected[i]), COH_OK);
        uint32_t k = (uint32_t)coh_rng_below(&rng, ADDRS);
        assert_int_equal(coh_directory_owner(&dir, &addrs[k], buckets[k]), expected[k]);
    }
    coh_buf_t buf = COH_BUF_INIT;
    coh_directory_encode(&buf, &dir);
    assert_int_equal(buf.n, 8192 + 22 * (size_t)dir.override_cnt);
    coh_directory_t back;
    assert_int_equal(coh_directory_decode(&back, 2, SHARDS, coh_buf_bytes(&buf)), COH_OK);
    uint32_t apart = 0;
    for (uint32_t i = 0; i < ADDRS; i++) {
        assert_int_equal(coh_directory_owner(&dir, &addrs[i], buckets[i]), expected[i]);
        assert_int_equal(coh_directory_owner(&back, &addrs[i], buckets[i]), expected[i]);
        apart += expected[i] != dir.shard_of[buckets[i]];
    }
    assert_int_equal(dir.override_cnt, apart);
    assert_int_equal(back.override_cnt, apart);
    coh_directory_free(&dir);
    coh_directory_free(&back);
    coh_buf_free(&buf);
}

static void directory_overrides_are_encoded_by_address(void **state)
{
    (void)state;
    coh_directory_t dir = {.epoch = 1, .shard_cnt = 1000};
    coh_addr_t zero     = coh_test_addr(KNOWN[0].addr);
    coh_addr_t one      = coh_test_addr(KNOWN[1].addr);
    assert_int_equal(coh_directory_pin(&dir, &one, 0x0102), COH_OK);
    assert_int_equal(coh_directory_pin(&dir, &zero, 3), COH_OK);
    coh_buf_t buf = COH_BUF_INIT;
    coh_directory_encode(&buf, &dir);
    assert_int_equal(buf.n, 8192 + 44);
    uint8_t expected[44] = {[20] = 3, [41] = 1, [42] = 2, [43] = 1};
    assert_memory_equal(buf.p + 8192, expected, sizeof(expected));
    coh_directory_t back = {.epoch = 42};
    uint8_t *at          = buf.p + 8192;
    /* Out of order, twice the same, a shard that there is not, the bucket's own. */
    at[19] = 1;
    assert_int_equal(coh_directory_decode(&back, 1, 1000, coh_buf_bytes(&buf)), COH_EMALFORMED);
    at[19] = 2;
    assert_int_equal(coh_directory_decode(&back, 1, 1000, coh_buf_bytes(&buf)), COH_EMALFORMED);
    at[19] = 0;
    at[43] = 4;
    assert_int_equal(coh_directory_decode(&back, 1, 1000, coh_buf_bytes(&buf)), COH_EMALFORMED);
    at[42] = at[43] = 0;
    assert_int_equal(coh_directory_decode(&back, 1, 1000, coh_buf_bytes(&buf)), COH_EMALFORMED);
    assert_int_equal(back.epoch, 42);
    coh_directory_free(&dir);
    coh_buf_free(&buf);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(directory_bucket_is_leading_12_bits_of_keccak),
        cmocka_unit_test(directory_buckets_of_any_count_equal_single_ones),
        cmocka_unit_test(directory_owner_follows_the_bucket),
        cmocka_unit_test(directory_encoding_is_little_endian_in_bucket_order),
        cmocka_unit_test(directory_decode_refuses_what_does_not_fit),
        cmocka_unit_test(directory_override_goes_before_the_bucket),
        cmocka_unit_test(directory_overrides_come_and_go_like_a_list),
        cmocka_unit_test(directory_overrides_are_encoded_by_address),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
