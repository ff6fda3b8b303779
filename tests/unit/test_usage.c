/* What a shard learns of accounts and of pairs used together (shard/usage.h): exact where little was used, in proportion where only some of it is looked at; the frequent ones are not lost among many rare
   ones, of which few are reported; and each report begins anew. What the transactions used is made up here, in the executor's place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/base/alloc.h"
#include "shard/usage.h"

#define BLOCK_TXS 400u
#define PLAIN_GAS 21000u

/* A block of made-up transactions; cnt 0: one that was left out. */
typedef struct {
    coh_executor_used_t used[16 * COH_USAGE_TX_MAX];
    coh_rec_result_t results[16 * COH_USAGE_TX_MAX];
    uint32_t cnt;
    uint32_t asked_cnt; /* how many were looked at */
} block_t;

/* Instead of the executor's. */
bool coh_executor_used(coh_executor_t const *ex, uint32_t pos, coh_executor_used_t *out)
{
    block_t *b = (block_t *)(uintptr_t)ex;
    assert_true(pos < b->cnt);
    b->asked_cnt++;
    *out = b->used[pos];
    return out->cnt != 0;
}

static coh_addr_t addr_of(uint32_t i)
{
    coh_addr_t addr = {.b = {0xad}};
    coh_store_u32_le(addr.b + 16, i);
    return addr;
}

/* Adds a transaction that used cnt accounts, the first with the call. */
static void add(block_t *b, uint64_t gas, uint32_t cnt, uint32_t const *accounts)
{
    coh_executor_used_t *used = &b->used[b->cnt];
    assert_true(b->cnt < COH_CNT(b->used) && cnt <= COH_EXECUTOR_USED_MAX);
    *used = (coh_executor_used_t){.cnt = cnt, .gas_used = gas};
    for (uint32_t i = 0; i < cnt; i++) {
        used->addrs[i] = addr_of(accounts[i]);
    }
    b->results[b->cnt] = (coh_rec_result_t){.tx_idx = b->cnt, .gas_used = gas};
    b->cnt++;
}

#define ADD(b, gas, ...) \
    add(b, gas, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (uint32_t[]){__VA_ARGS__})

static void take_in(coh_usage_t *u, block_t *b, uint64_t across_cnt)
{
    coh_usage_add(u, (coh_executor_t const *)(void const *)b, b->results, b->cnt, across_cnt);
    b->cnt = 0;
}

/* A report, decoded; free_report. */
typedef struct {
    coh_buf_t frame;
    coh_wire_reader_t *reader;
    coh_msg_usage_t m;
} report_t;

static report_t report(coh_usage_t *u, uint64_t block)
{
    report_t r              = {.reader = coh_wire_reader_new()};
    coh_envelope_t envelope = {.sender = 1};
    coh_msg_t msg;
    coh_wire_put_envelope(&r.frame, &envelope);
    coh_usage_report(u, &r.frame, block);
    assert_int_equal(coh_wire_reader_begin(r.reader, coh_buf_bytes(&r.frame), &envelope), COH_OK);
    assert_int_equal(coh_wire_reader_next(r.reader, &msg), COH_OK);
    assert_int_equal(msg.id, COH_MSG_USAGE);
    r.m = msg.u.usage;
    assert_true(r.m.block == block);
    assert_true(r.m.loads.cnt <= COH_USAGE_LOADS && r.m.pairs.cnt <= COH_USAGE_PAIRS);
    return r;
}

static void free_report(report_t *r)
{
    coh_wire_reader_free(r->reader);
    coh_buf_free(&r->frame);
}

/* 0 if the report does not have it; that it has it twice is an error. */
static uint64_t load_of(report_t const *r, uint32_t account)
{
    coh_addr_t addr = addr_of(account);
    uint64_t gas    = 0;
    for (uint32_t i = 0; i < r->m.loads.cnt; i++) {
        if (coh_addr_eq(&r->m.loads.v[i].addr, &addr)) {
            assert_true(gas == 0);
            gas = r->m.loads.v[i].gas;
        }
    }
    return gas;
}

static uint64_t pair_of(report_t const *r, uint32_t x, uint32_t y)
{
    coh_addr_t a = addr_of(x);
    coh_addr_t b = addr_of(y);
    uint64_t cnt = 0;
    for (uint32_t i = 0; i < r->m.pairs.cnt; i++) {
        coh_rec_pair_t const *p = &r->m.pairs.v[i];
        assert_true(memcmp(p->a.b, p->b.b, sizeof(p->a.b)) < 0);
        if ((coh_addr_eq(&p->a, &a) && coh_addr_eq(&p->b, &b)) ||
            (coh_addr_eq(&p->a, &b) && coh_addr_eq(&p->b, &a))) {
            assert_true(cnt == 0);
            cnt = p->cnt;
        }
    }
    return cnt;
}

static void usage_counts_exactly_what_is_little(void **state)
{
    (void)state;
    block_t *b     = coh_calloc(1, sizeof(*b));
    coh_usage_t *u = coh_usage_new(7);
    ADD(b, 50000, 1, 2, 3);
    ADD(b, 60000, 1, 2);
    ADD(b, 70000, 2, 1);
    ADD(b, 80000, 4);
    add(b, 90000, 0, NULL); /* left out, or a step: it is there, and tells nothing of accounts */
    take_in(u, b, 2);
    ADD(b, 30000, 3, 1);
    take_in(u, b, 1);
    report_t r = report(u, 9);
    assert_true(r.m.tx_cnt == 6 && r.m.across_cnt == 3);
    assert_true(r.m.gas == 50000 + 60000 + 70000 + 80000 + 90000 + 30000);
    /* Who is called bears the gas, and one for being used; others one. */
    assert_int_equal(load_of(&r, 1), 50001 + 60001 + 1 + 1);
    assert_int_equal(load_of(&r, 2), 1 + 1 + 70001);
    assert_int_equal(load_of(&r, 3), 1 + 30001);
    assert_int_equal(load_of(&r, 4), 80001);
    assert_int_equal(r.m.loads.cnt, 4);
    assert_int_equal(pair_of(&r, 1, 2), 3); /* whoever of them is called */
    assert_int_equal(pair_of(&r, 1, 3), 2);
    assert_int_equal(r.m.pairs.cnt, 2); /* 2 and 3 were not called together */
    free_report(&r);
    /* Nothing of that is left. */
    ADD(b, 50000, 1, 5);
    take_in(u, b, 0);
    r = report(u, 17);
    assert_true(r.m.tx_cnt == 1 && r.m.across_cnt == 0 && r.m.gas == 50000);
    assert_int_equal(r.m.loads.cnt, 2);
    assert_int_equal(load_of(&r, 1), 50001);
    assert_int_equal(load_of(&r, 5), 1);
    assert_int_equal(r.m.pairs.cnt, 1);
    assert_int_equal(pair_of(&r, 5, 1), 1);
    free_report(&r);
    coh_usage_free(u);
    free(b);
}

/* Within a tenth. */
static void assert_about(uint64_t is, uint64_t should)
{
    assert_in_range(is, should - should / 10, should + should / 10);
}

static void usage_looks_at_some_plain_transfers(void **state)
{
    (void)state;
    enum { BLOCKS = 40, TXS = BLOCKS * BLOCK_TXS };
    block_t *b     = coh_calloc(1, sizeof(*b));
    coh_usage_t *u = coh_usage_new(7);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        for (uint32_t t = 0; t < BLOCK_TXS; t++) {
            ADD(b, PLAIN_GAS, 1, 2);
        }
        take_in(u, b, 0);
    }
    report_t r = report(u, 1);
    assert_true(r.m.tx_cnt == TXS && r.m.gas == (uint64_t)TXS * PLAIN_GAS);
    assert_about(b->asked_cnt, TXS / 4);
    assert_int_equal(pair_of(&r, 1, 2), b->asked_cnt); /* it weighs less than a call: one in four */
    assert_about(load_of(&r, 1), (uint64_t)TXS * (PLAIN_GAS + 1));
    assert_about(load_of(&r, 2), TXS);
    free_report(&r);
    coh_usage_free(u);
    free(b);
}

static void usage_looks_at_some_of_a_large_block(void **state)
{
    (void)state;
    enum { BLOCKS = 10 };
    block_t *b     = coh_calloc(1, sizeof(*b));
    coh_usage_t *u = coh_usage_new(7);
    uint32_t txs   = COH_CNT(b->used);
    for (uint32_t i = 0; i < BLOCKS; i++) {
        uint32_t before = b->asked_cnt;
        for (uint32_t t = 0; t < txs; t++) {
            ADD(b, 50000, t % 2, 2);
        }
        take_in(u, b, 0);
        assert_in_range(
            b->asked_cnt - before, 1, COH_USAGE_TX_MAX * 5 / 4); /* about, in each block */
    }
    assert_in_range(b->asked_cnt, BLOCKS * COH_USAGE_TX_MAX / 2, BLOCKS * COH_USAGE_TX_MAX);
    report_t r = report(u, 1);
    assert_true(r.m.tx_cnt == (uint64_t)BLOCKS * txs);
    assert_about(load_of(&r, 0), UINT64_C(50001) * BLOCKS * txs / 2);
    assert_about(load_of(&r, 1), UINT64_C(50001) * BLOCKS * txs / 2);
    assert_about(load_of(&r, 2), (uint64_t)BLOCKS * txs);
    assert_about(pair_of(&r, 0, 2), b->asked_cnt / 2);
    free_report(&r);
    coh_usage_free(u);
    free(b);
}

/* Thirty contracts, each with an account of its own, among accounts that come once: a sketch of bounded size keeps the former and their pairs, exactly, and tells little of the latter. */
static void usage_keeps_the_frequent_among_many_rare_ones(void **state)
{
    (void)state;
    enum { FREQUENT = 30, BLOCKS = 500, FIRST_RARE = 1000 };
    block_t *b     = coh_calloc(1, sizeof(*b));
    coh_usage_t *u = coh_usage_new(11);
    uint32_t rare  = FIRST_RARE;
    uint32_t times = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        for (uint32_t k = 0; k < 10; k++, times++) {
            for (uint32_t f = 0; f < FREQUENT; f++) {
                ADD(b, 40000, f, FREQUENT + f);
            }
        }
        for (; b->cnt < BLOCK_TXS; rare += 2) {
            ADD(b, 40000, rare, rare + 1);
        }
        take_in(u, b, 0);
    }
    assert_true((rare - FIRST_RARE) / 2 >
                4 * COH_USAGE_PAIRS); /* all places were taken many times */
    report_t r = report(u, 1);
    for (uint32_t f = 0; f < FREQUENT; f++) {
        assert_int_equal(pair_of(&r, f, FREQUENT + f), times);
        assert_int_equal(load_of(&r, f), UINT64_C(40001) * times);
        assert_in_range(load_of(&r, FREQUENT + f), 0, times); /* one rare call weighs as much */
    }
    uint32_t once = 0;
    for (uint32_t i = 0; i < r.m.pairs.cnt; i++) {
        once += r.m.pairs.v[i].cnt == 1;
    }
    assert_int_equal(once, COH_USAGE_RARE_MAX);
    assert_int_equal(r.m.pairs.cnt, FREQUENT + COH_USAGE_RARE_MAX);
    /* Accounts of reported pairs, as far as they still have a place, and a few more. */
    assert_in_range(r.m.loads.cnt, FREQUENT, 2 * FREQUENT + 3 * COH_USAGE_RARE_MAX);
    free_report(&r);
    coh_usage_free(u);
    free(b);
}

/* The rare ones that are told of differ from report to report, so that in time each has its turn. */
static void usage_tells_of_other_rare_ones_each_time(void **state)
{
    (void)state;
    enum { PAIRS = 4 * COH_USAGE_RARE_MAX };
    block_t *b        = coh_calloc(1, sizeof(*b));
    coh_usage_t *u    = coh_usage_new(13);
    bool told[PAIRS]  = {false};
    uint32_t told_cnt = 0;
    for (uint32_t round = 0; round < 40; round++) {
        for (uint32_t i = 0; i < PAIRS; i++) {
            ADD(b, 40000, 2 * i, 2 * i + 1);
        }
        take_in(u, b, 0);
        report_t r = report(u, round);
        assert_int_equal(r.m.pairs.cnt, COH_USAGE_RARE_MAX);
        for (uint32_t i = 0; i < PAIRS; i++) {
            bool is_told = pair_of(&r, 2 * i, 2 * i + 1) != 0;
            told_cnt += is_told && !told[i];
            told[i] = told[i] || is_told;
        }
        free_report(&r);
    }
    assert_true(told_cnt > PAIRS * 9 / 10);
    coh_usage_free(u);
    free(b);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(usage_counts_exactly_what_is_little),
        cmocka_unit_test(usage_looks_at_some_plain_transfers),
        cmocka_unit_test(usage_looks_at_some_of_a_large_block),
        cmocka_unit_test(usage_keeps_the_frequent_among_many_rare_ones),
        cmocka_unit_test(usage_tells_of_other_rare_ones_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
