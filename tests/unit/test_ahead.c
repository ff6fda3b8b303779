/* What is expected of a transaction by what those like it have read: by function, by argument; frequent and rare reads; a table that is full. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "shard/ahead.h"

enum { FUNCTION = 1000, PAIR = 2000 }; /* traits */

static coh_ahead_read_t account(uint8_t i, uint32_t fields)
{
    coh_addr_t addr = {.b = {[19] = i}};
    return (coh_ahead_read_t){.key = coh_key_account(&addr), .fields = fields};
}

static coh_ahead_read_t slot(uint8_t i, uint64_t at)
{
    coh_addr_t addr = {.b = {[19] = i}};
    coh_u256_t word = coh_u256(at);
    return (coh_ahead_read_t){.key = coh_key_slot(&addr, 0, &word), .fields = COH_READ_WORD};
}

static bool has(coh_ahead_read_t const *reads, uint32_t cnt, coh_ahead_read_t read)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < cnt; i++) {
        found += coh_key_eq(&reads[i].key, &read.key) && reads[i].fields == read.fields;
    }
    assert_true(found <= 1);
    return found == 1;
}

static void learn(coh_ahead_t *a, uint64_t general, uint64_t own, coh_ahead_read_t read)
{
    coh_ahead_learn(a, (uint64_t[]){general, own}, 2, &read, 1);
}

static uint32_t expect(coh_ahead_t *a, uint64_t general, uint64_t own, coh_ahead_read_t *out)
{
    return coh_ahead_expect(a, (uint64_t[]){general, own}, 2, out);
}

static void ahead_expects_what_is_common(void **state)
{
    (void)state;
    coh_ahead_t *a = coh_ahead_new();
    coh_ahead_read_t out[COH_AHEAD_MAX];
    assert_int_equal(expect(a, FUNCTION, PAIR, out), 0);
    coh_ahead_learn(a, (uint64_t[]){FUNCTION}, 1, NULL, 0); /* nothing was read: nothing is known */
    assert_int_equal(expect(a, FUNCTION, PAIR, out), 0);
    /* A call read an account and a slot. Of the next call of the same function that is not known yet, of one with the same argument it is. */
    coh_ahead_read_t const first[] = {account(1, COH_READ_CODE), slot(2, 8)};
    coh_ahead_learn(a, (uint64_t[]){FUNCTION, PAIR}, 2, first, 2);
    assert_int_equal(expect(a, FUNCTION, PAIR + 1, out), 0);
    assert_int_equal(expect(a, FUNCTION, PAIR, out), 2);
    assert_true(has(out, 2, first[0]) && has(out, 2, first[1]));
    /* Another with another argument read the same account, for more, and another slot. */
    coh_ahead_read_t const second[] = {account(1, COH_READ_NONCE), slot(3, 8)};
    coh_ahead_learn(a, (uint64_t[]){FUNCTION, PAIR + 1}, 2, second, 2);
    assert_int_equal(expect(a, FUNCTION, PAIR + 2, out), 1);
    assert_true(has(out, 1, account(1, COH_READ_CODE | COH_READ_NONCE)));
    assert_int_equal(expect(a, FUNCTION, PAIR + 1, out), 2);
    assert_true(has(out, 2, account(1, COH_READ_CODE | COH_READ_NONCE)));
    assert_true(has(out, 2, second[1]));
    assert_int_equal(expect(a, FUNCTION + 1, PAIR + 3, out), 0);
    coh_ahead_free(a);
}

static void ahead_forgets_what_is_rare(void **state)
{
    (void)state;
    coh_ahead_t *a = coh_ahead_new();
    coh_ahead_read_t out[COH_AHEAD_MAX];
    /* Each call reads a slot of its own, every one of them the first. */
    for (uint64_t i = 0; i < 200; i++) {
        coh_ahead_read_t const reads[] = {slot(1, 0), slot(1, 100 + i)};
        coh_ahead_learn(a, (uint64_t[]){FUNCTION, PAIR + i}, 2, reads, 2);
        if (i >= 4) {
            assert_int_equal(expect(a, FUNCTION, 9 * PAIR, out), 1);
            assert_true(has(out, 1, slot(1, 0)));
        }
    }
    /* Times change: the function reads something else, and in the end that is what is expected. */
    for (uint64_t i = 0; i < 200; i++) {
        learn(a, FUNCTION, 3 * PAIR + i, slot(1, 1));
    }
    assert_int_equal(expect(a, FUNCTION, 9 * PAIR, out), 1);
    assert_true(has(out, 1, slot(1, 1)));
    /* And if it reads nothing any more, nothing. */
    for (uint64_t i = 0; i < 200; i++) {
        coh_ahead_learn(a, (uint64_t[]){FUNCTION}, 1, NULL, 0);
    }
    assert_int_equal(expect(a, FUNCTION, 9 * PAIR, out), 0);
    coh_ahead_free(a);
}

/* Many more traits than there is room for: what comes often stays, bounds hold, and no key comes twice. */
static void ahead_keeps_what_comes_often(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    coh_ahead_t *a = coh_ahead_new();
    coh_ahead_read_t out[COH_AHEAD_MAX];
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t traits[] = {coh_rng_next(&rng), coh_rng_next(&rng), coh_rng_next(&rng)};
        coh_ahead_read_t reads[COH_AHEAD_MAX];
        for (uint32_t k = 0; k < COH_AHEAD_MAX; k++) {
            reads[k] = slot((uint8_t)coh_rng_below(&rng, 200), coh_rng_below(&rng, 9));
        }
        coh_ahead_learn(a, traits, 3, reads, (uint32_t)coh_rng_below(&rng, COH_AHEAD_MAX + 1));
        uint32_t cnt = coh_ahead_expect(a, traits, 3, out);
        assert_true(cnt <= COH_AHEAD_MAX);
        for (uint32_t k = 0; k < cnt; k++) {
            assert_true(has(out, cnt, out[k]));
        }
        if (i % 3 == 0) {
            learn(a, FUNCTION, PAIR, slot(7, 7));
        }
    }
    assert_int_equal(expect(a, FUNCTION, PAIR, out), 1);
    assert_true(has(out, 1, slot(7, 7)));
    coh_ahead_free(a);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(ahead_expects_what_is_common),
        cmocka_unit_test(ahead_forgets_what_is_rare),
        cmocka_unit_test(ahead_keeps_what_comes_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
