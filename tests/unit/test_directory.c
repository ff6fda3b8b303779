/* The directory: buckets against Keccak digests computed elsewhere, and its encoding byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hex.h"
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

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(directory_bucket_is_leading_12_bits_of_keccak),
        cmocka_unit_test(directory_buckets_of_any_count_equal_single_ones),
        cmocka_unit_test(directory_owner_follows_the_bucket),
        cmocka_unit_test(directory_encoding_is_little_endian_in_bucket_order),
        cmocka_unit_test(directory_decode_refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
