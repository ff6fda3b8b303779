/* Ranks that go silent, by a clock that the test sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/net/vigil.h"

#define S UINT64_C(1000000)

/* Rounds every 50 ms up to end_us, in each of which the ranks of the mask are heard of; counts the signs sent to rank 1.
   Returns the first rank found silent, with the time in *found_us, or 0. */
static uint32_t turn(coh_vigil_t *v,
                     uint64_t *now_us,
                     uint64_t end_us,
                     uint32_t heard,
                     uint32_t *signs,
                     uint64_t *silent_us)
{
    while (*now_us < end_us) {
        *now_us += S / 20;
        for (uint32_t rank = 0; rank < v->rank_cnt; rank++) {
            if ((heard >> rank & 1) != 0) {
                coh_vigil_heard(v, rank, *now_us);
            }
        }
        if (!coh_vigil_round(v, *now_us)) {
            continue;
        }
        for (uint32_t rank = 0; rank < v->rank_cnt; rank++) {
            *silent_us = coh_vigil_silent(v, rank, *now_us);
            if (*silent_us != 0) {
                return rank;
            }
            if (coh_vigil_owes(v, rank, *now_us)) {
                assert_int_not_equal(rank, v->rank);
                coh_vigil_sent(v, rank, *now_us);
                *signs += rank == 1;
            }
        }
    }
    return 0;
}

static void vigil_names_the_rank_that_went_silent(void **state)
{
    (void)state;
    coh_vigil_t v;
    uint64_t now_us = 100 * S, silent_us = 0;
    uint32_t signs = 0;
    coh_vigil_init(&v, 0, 4, 4 * S, now_us);
    assert_int_equal(turn(&v, &now_us, 110 * S, 0xe, &signs, &silent_us), 0);
    assert_in_range(signs, 7, 11); /* one a second */
    /* Rank 2 falls silent; nothing before 4 s, and soon after. */
    assert_int_equal(turn(&v, &now_us, 114 * S, 0xa, &signs, &silent_us), 0);
    assert_int_equal(turn(&v, &now_us, 115 * S, 0xa, &signs, &silent_us), 2);
    assert_in_range(silent_us, 4 * S, 5 * S);
    coh_vigil_fini(&v);
}

static void vigil_waits_for_who_has_not_come_and_lets_go_who_left(void **state)
{
    (void)state;
    coh_vigil_t v;
    uint64_t now_us = 0, silent_us = 0;
    uint32_t signs = 0;
    coh_vigil_init(&v, 0, 3, 2 * S, now_us);
    assert_int_equal(turn(&v, &now_us, 60 * S, 0x2, &signs, &silent_us),
                     0); /* rank 2 starts slowly */
    uint32_t before = signs;
    coh_vigil_left(&v, 1);
    assert_int_equal(turn(&v, &now_us, 90 * S, 0, &signs, &silent_us), 0);
    assert_int_equal(signs, before); /* nothing is sent to who has left */
    coh_vigil_fini(&v);
}

/* A watcher that stood still for a minute has not heard anybody; that is not their fault. */
static void vigil_does_not_count_its_own_standstill(void **state)
{
    (void)state;
    coh_vigil_t v;
    uint64_t now_us = 0, silent_us = 0;
    uint32_t signs = 0;
    coh_vigil_init(&v, 0, 3, 3 * S, now_us);
    assert_int_equal(turn(&v, &now_us, 10 * S, 0x6, &signs, &silent_us), 0);
    assert_int_equal(turn(&v, &now_us, 12 * S, 0x4, &signs, &silent_us), 0);
    now_us += 60 * S;
    assert_int_equal(turn(&v, &now_us, now_us + S / 2, 0x4, &signs, &silent_us), 0);
    /* The two seconds before count. */
    assert_int_equal(turn(&v, &now_us, now_us + 2 * S, 0x4, &signs, &silent_us), 1);
    assert_in_range(silent_us, 3 * S, 4 * S);
    coh_vigil_fini(&v);
}

static void vigil_can_be_off(void **state)
{
    (void)state;
    coh_vigil_t v;
    uint64_t now_us = 0, silent_us = 0;
    uint32_t signs = 0;
    coh_vigil_init(&v, 1, 2, 0, now_us);
    coh_vigil_heard(&v, 0, now_us);
    assert_int_equal(turn(&v, &now_us, 1000 * S, 0, &signs, &silent_us), 0);
    assert_int_equal(signs, 0);
    coh_vigil_fini(&v);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(vigil_names_the_rank_that_went_silent),
        cmocka_unit_test(vigil_waits_for_who_has_not_come_and_lets_go_who_left),
        cmocka_unit_test(vigil_does_not_count_its_own_standstill),
        cmocka_unit_test(vigil_can_be_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
