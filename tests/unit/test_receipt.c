/* Receipts, blooms, requests: what recorded blocks do not show piece by piece. Hashes were computed with Python's hashlib. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/codec/receipt.h"
#include "tests/support/data.h"

static void receipt_requests_are_hashed_by_type(void **state)
{
    (void)state;
    uint8_t deposits[193]   = {0};
    uint8_t withdrawals[77] = {1};
    uint8_t const none[1]   = {2};
    for (size_t i = 0; i < 192; i++) {
        deposits[1 + i] = (uint8_t)i;
    }
    memset(withdrawals + 1, 7, 76);
    coh_bytes_t const requests[] = {coh_bytes(deposits, sizeof(deposits)),
                                    coh_bytes(withdrawals, sizeof(withdrawals)),
                                    coh_bytes(none, sizeof(none))};
    coh_hash_t want =
        coh_test_hash("0x04088d95999f2e6a02451ee2cd0dbc05ba6e383b5911d7cdf301eaee17212d8b");
    coh_hash_t got;
    coh_requests_hash(&got, requests, 3); /* without data: left out */
    assert_memory_equal(got.b, want.b, sizeof(want.b));
    coh_requests_hash(&got, requests, 2);
    assert_memory_equal(got.b, want.b, sizeof(want.b));
    coh_requests_hash(&got, requests + 2, 1);
    assert_memory_equal(got.b, COH_EMPTY_REQUESTS_HASH.b, sizeof(want.b));
    coh_requests_hash(&got, NULL, 0);
    assert_memory_equal(got.b, COH_EMPTY_REQUESTS_HASH.b, sizeof(want.b));
}

/* RLP as the Yellow Paper's appendix B spells it, octet by octet. */
static void receipt_forms(void **state)
{
    (void)state;
    coh_receipt_t r = {.type = COH_TX_LEGACY, .status = 1, .cumulative_gas = 21000};
    coh_buf_t out   = COH_BUF_INIT;
    coh_receipt_put(&out, &r);
    /* f9 0108: list of 264: 01, 82 5208, b9 0100 and 256 octets, c0 */
    assert_int_equal(out.n, 3 + 264);
    uint8_t const head[] = {0xf9, 0x01, 0x08, 0x01, 0x82, 0x52, 0x08, 0xb9, 0x01, 0x00, 0x00};
    assert_memory_equal(out.p, head, sizeof(head));
    assert_int_equal(out.p[out.n - 1], 0xc0);

    coh_buf_clear(&out);
    r.type   = COH_TX_SET_CODE;
    r.status = 0;
    coh_receipt_put(&out, &r);
    uint8_t const typed[] = {0x04, 0xf9, 0x01, 0x08, 0x80, 0x82};
    assert_memory_equal(out.p, typed, sizeof(typed));

    coh_buf_clear(&out);
    r.type     = COH_TX_LEGACY;
    r.has_root = true;
    memset(r.root.b, 0xab, sizeof(r.root.b));
    coh_receipt_put(&out, &r);
    uint8_t const rooted[] = {0xf9, 0x01, 0x28, 0xa0, 0xab, 0xab};
    assert_memory_equal(out.p, rooted, sizeof(rooted));
    coh_buf_free(&out);
}

static void receipt_log_and_its_bloom(void **state)
{
    (void)state;
    coh_addr_t addr             = {.b = {1, 2, 3}};
    coh_hash_t topics[2]        = {{.b = {4}}, {.b = {5}}};
    uint8_t const data[2]       = {6, 7};
    uint8_t bloom[COH_BLOOM_SZ] = {0};
    uint8_t other[COH_BLOOM_SZ] = {0};
    coh_buf_t out               = COH_BUF_INIT;
    coh_log_put(&out, &addr, topics, 2, coh_bytes(data, sizeof(data)));
    /* f85c: list of 92: 94 address, f842 of a0 topic a0 topic, 82 data */
    uint8_t const head[] = {0xf8, 0x5c, 0x94, 1, 2, 3};
    assert_int_equal(out.n, 2 + 21 + 2 + 66 + 3);
    assert_memory_equal(out.p, head, sizeof(head));
    uint8_t const tail[] = {0x82, 6, 7};
    assert_memory_equal(out.p + out.n - 3, tail, sizeof(tail));
    coh_rlp_wrap_list(&out, 0);
    assert_true(coh_bloom_add_logs(bloom, coh_buf_bytes(&out)));
    assert_true(coh_bloom_has(bloom, addr.b, sizeof(addr.b)));
    assert_true(coh_bloom_has(bloom, topics[0].b, sizeof(topics[0].b)));
    assert_true(coh_bloom_has(bloom, topics[1].b, sizeof(topics[1].b)));
    assert_false(coh_bloom_has(bloom, data, sizeof(data)));
    uint32_t bits = 0;
    for (size_t i = 0; i < COH_BLOOM_SZ; i++) {
        bits += (uint32_t)__builtin_popcount(bloom[i]);
    }
    assert_true(bits >= 3 && bits <= 9);
    coh_bloom_merge(other, bloom);
    assert_memory_equal(other, bloom, sizeof(bloom));
    coh_buf_free(&out);
}

static void expect_no_logs(coh_buf_t *list)
{
    uint8_t bloom[COH_BLOOM_SZ] = {0};
    assert_false(coh_logs_check(coh_buf_bytes(list)));
    assert_false(coh_bloom_add_logs(bloom, coh_buf_bytes(list)));
    coh_buf_free(list);
}

/* Lists that come from other ranks. */
static void receipt_refuses_what_is_no_list_of_logs(void **state)
{
    (void)state;
    coh_addr_t addr      = {.b = {1}};
    coh_hash_t topics[5] = {{.b = {2}}};
    coh_bytes_t data     = coh_bytes("data", 4);
    coh_buf_t good       = COH_BUF_INIT;
    assert_true(coh_logs_check(coh_buf_bytes(&good))); /* none */
    coh_log_put(&good, &addr, topics, 4, data);
    coh_log_put(&good, &addr, topics, 0, (coh_bytes_t){0});
    coh_rlp_wrap_list(&good, 0);
    assert_true(coh_logs_check(coh_buf_bytes(&good)));
    for (size_t n = 1; n < good.n; n++) {
        assert_false(coh_logs_check(coh_bytes(good.p, n)));
    }
    coh_buf_put_u8(&good, 0);
    expect_no_logs(&good);

    for (size_t addr_n = 19; addr_n <= 21; addr_n += 2) {
        coh_buf_t out               = COH_BUF_INIT;
        uint8_t const long_addr[21] = {0};
        coh_rlp_put_string(&out, long_addr, addr_n);
        coh_rlp_put_list_header(&out, 0);
        coh_rlp_put_string(&out, data.p, data.n);
        coh_rlp_wrap_list(&out, 0);
        coh_rlp_wrap_list(&out, 0);
        expect_no_logs(&out);
    }
    static struct {
        size_t topic_cnt, topic_sz;
    } const bad[] = {{1, 31}, {1, 0}, {5, 32}};
    for (size_t k = 0; k < COH_CNT(bad); k++) {
        coh_buf_t out = COH_BUF_INIT;
        coh_rlp_put_string(&out, addr.b, sizeof(addr.b));
        size_t at = out.n;
        for (size_t i = 0; i < bad[k].topic_cnt; i++) {
            coh_rlp_put_string(&out, topics[i].b, bad[k].topic_sz);
        }
        coh_rlp_wrap_list(&out, at);
        coh_rlp_put_string(&out, data.p, data.n);
        coh_rlp_wrap_list(&out, 0);
        coh_rlp_wrap_list(&out, 0);
        expect_no_logs(&out);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(receipt_requests_are_hashed_by_type),
        cmocka_unit_test(receipt_forms),
        cmocka_unit_test(receipt_log_and_its_bloom),
        cmocka_unit_test(receipt_refuses_what_is_no_list_of_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
