/* Requests: deposits out of logs, of no layout but EIP-6110's, and the hash of EIP-7685. The event's octets are laid out here as the ABI has them; the hash's expected values
   are computed with coreutils' sha256sum. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/chain/requests.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/state/write.h"
#include "tests/support/data.h"

static coh_addr_t const contract = {{0xde}};

/* A dynamic octet string of n times mark, length first. */
static void put_member(uint8_t data[576], size_t head, size_t offset, size_t n, uint8_t mark)
{
    data[head + 30]   = (uint8_t)(offset >> 8);
    data[head + 31]   = (uint8_t)offset;
    data[offset + 31] = (uint8_t)n;
    memset(data + offset + 32, mark, n);
}

static void make_event(uint8_t data[576], coh_log_t *log)
{
    memset(data, 0, 576);
    put_member(data, 0, 160, 48, 1);
    put_member(data, 32, 256, 32, 2);
    put_member(data, 64, 320, 8, 3);
    put_member(data, 96, 384, 96, 4);
    put_member(data, 128, 512, 8, 5);
    static char const signature[] = "DepositEvent(bytes,bytes,bytes,bytes,bytes)";
    *log = (coh_log_t){.addr = contract, .topic_cnt = 1, .data = coh_bytes(data, 576)};
    coh_keccak256(&log->topics[0], signature, sizeof(signature) - 1);
}

static bool add_deposits(coh_requests_t *r, coh_log_t const *logs, uint32_t cnt)
{
    coh_outcome_t const outcome = {.logs = logs, .log_cnt = cnt};
    coh_buf_t list              = COH_BUF_INIT;
    coh_outcome_put_logs(&list, &outcome);
    bool ok = coh_requests_add_deposits(r, coh_buf_bytes(&list), &contract);
    coh_buf_free(&list);
    return ok;
}

static void requests_take_deposits(void **state)
{
    (void)state;
    uint8_t data[576];
    coh_log_t logs[3];
    make_event(data, &logs[0]);
    logs[1]           = logs[0];
    logs[1].addr.b[0] = 0xdd; /* another's */
    logs[2]           = logs[0];
    logs[2].topics[0].b[0] ^= 1; /* another event, of whatever layout */
    logs[2].data = coh_bytes(data, 3);
    coh_requests_t r;
    coh_requests_init(&r);
    assert_true(add_deposits(&r, logs, 3));
    assert_true(add_deposits(&r, logs, 1));
    uint8_t want[1 + 2 * 192] = {0};
    for (int i = 0; i < 2; i++) {
        uint8_t *p = want + 1 + i * 192;
        memset(p, 1, 48);
        memset(p + 48, 2, 32);
        memset(p + 80, 3, 8);
        memset(p + 88, 4, 96);
        memset(p + 184, 5, 8);
    }
    assert_int_equal(r.lists[0].n, sizeof(want));
    assert_memory_equal(r.lists[0].p, want, sizeof(want));
    coh_requests_clear(&r);
    assert_int_equal(r.lists[0].n, 1);
    coh_requests_fini(&r);
}

/* Any change of a head or a length is another layout; of contents it is not. */
static void requests_know_one_layout(void **state)
{
    (void)state;
    uint8_t data[576];
    coh_log_t log;
    coh_requests_t r;
    coh_requests_init(&r);
    for (size_t i = 0; i < 576; i++) {
        make_event(data, &log);
        data[i] ^= 0x40;
        bool is_length = (i >= 160 && i < 192) || (i >= 256 && i < 288) || (i >= 320 && i < 352) ||
                         (i >= 384 && i < 416) || (i >= 512 && i < 544);
        assert_int_equal(add_deposits(&r, &log, 1), i >= 160 && !is_length);
    }
    make_event(data, &log);
    log.data.n = 575;
    assert_false(add_deposits(&r, &log, 1));
    log.data.n = 0;
    assert_false(add_deposits(&r, &log, 1));
    log.topic_cnt = 0; /* no event at all */
    assert_true(add_deposits(&r, &log, 1));
    coh_requests_fini(&r);
}

/* sha256(sha256(0x01 6162) || sha256(0x02 63)): printf '\1ab' | sha256sum, ... */
static void requests_are_hashed(void **state)
{
    (void)state;
    coh_requests_t r;
    coh_hash_t hash;
    coh_requests_init(&r);
    coh_requests_hash_all(&hash, &r);
    assert_memory_equal(hash.b, COH_EMPTY_REQUESTS_HASH.b, 32);
    coh_requests_add(&r, 2, coh_bytes("c", 1));
    coh_requests_add(&r, 1, coh_bytes("a", 1));
    coh_requests_add(&r, 1, coh_bytes("b", 1));
    coh_requests_hash_all(&hash, &r);
    coh_hash_t want =
        coh_test_hash("0x94c31ba9b893e6fe69fed4c1a8abe383270b1bab168f6abd89d170e44ed7355f");
    assert_memory_equal(hash.b, want.b, 32);
    coh_requests_fini(&r);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(requests_take_deposits),
        cmocka_unit_test(requests_know_one_layout),
        cmocka_unit_test(requests_are_hashed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
