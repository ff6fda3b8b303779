/* The schedulers: each arrow of their diagram, who is held, and a random run on several threads in which transactions park, are woken and retracted, and every
   one must be DONE in its last incarnation at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/rng.h"
#include "shard/sched.h"

static uint32_t const two_chains[] = {0, 1, 0, 1, 0};

static uint32_t start(coh_sched_t *s, uint32_t chain, uint32_t incarnation)
{
    uint32_t got = 99;
    uint32_t pos = coh_sched_start(s, chain, &got);
    if (pos != COH_SCHED_NONE) {
        assert_int_equal(got, incarnation);
    }
    return pos;
}

/* No traits: nobody is alike. */
static uint32_t no_traits(void *arg, uint32_t pos, coh_sched_trait_t *out)
{
    (void)arg;
    (void)pos;
    (void)out;
    return 0;
}

static void begin(coh_sched_t *s, uint32_t const *chain_of, uint32_t tx_cnt, uint32_t chain_cnt)
{
    coh_sched_begin(s, chain_of, tx_cnt, chain_cnt, no_traits, NULL);
}

static bool finish(coh_sched_t *s, uint32_t chain, uint32_t pos)
{
    uint32_t woken = 99;
    uint32_t next  = COH_SCHED_NONE;
    bool done      = coh_sched_finish(s, chain, pos, &woken, &next);
    assert_int_equal(woken, 0);
    assert_int_equal(next, COH_SCHED_NONE);
    return done;
}

static void sched_hands_out_positions_in_order(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    assert_false(coh_sched_enter(s));
    begin(s, two_chains, 5, 2);
    assert_true(coh_sched_enter(s));
    /* chain 0 runs no further than what was handed out */
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 0), 0);
    assert_true(finish(s, 0, 0));
    assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    assert_int_equal(coh_sched_pop(s, true), 1);
    assert_int_equal(start(s, 1, 0), 1);
    /* position 2 goes to chain 0; 3 to chain 1, which is at work and will come to it; then 4 as well */
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 0), 2);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    assert_true(finish(s, 1, 1));
    assert_int_equal(start(s, 1, 0), 3);
    assert_true(finish(s, 1, 3));
    assert_int_equal(start(s, 1, 0), COH_SCHED_NONE);
    assert_true(finish(s, 0, 2));
    assert_false(coh_sched_all_done(s));
    assert_int_equal(start(s, 0, 0), 4);
    assert_true(finish(s, 0, 4));
    assert_true(coh_sched_all_done(s));
    coh_sched_leave(s);
    coh_sched_close(s);
    assert_false(coh_sched_enter(s));
    coh_sched_free(s);
}

static void sched_runs_a_retracted_transaction_again_and_only_it(void **state)
{
    (void)state;
    static uint32_t const chain_of[] = {0, 0, 0, 1, 1};
    coh_sched_t *s                   = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    begin(s, chain_of, 5, 2);
    for (uint32_t pos = 0; pos < 3; pos++) {
        assert_int_equal(coh_sched_pop(s, true), 0);
        assert_int_equal(start(s, 0, 0), pos);
        assert_true(finish(s, 0, pos));
        assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    }
    assert_false(coh_sched_retract(s, 1, 1)); /* an incarnation that is not */
    assert_true(coh_sched_retract(s, 1, 0));
    assert_false(coh_sched_retract(s, 1, 0));    /* it has moved on */
    assert_int_equal(coh_sched_pop(s, true), 0); /* before what never ran */
    assert_int_equal(start(s, 0, 1), 1);
    /* retracted while it runs: finish says so, and it runs a third time */
    assert_false(coh_sched_retract(s, 1, 1));
    assert_false(finish(s, 0, 1));
    assert_int_equal(start(s, 0, 2), 1);
    assert_true(finish(s, 0, 1));
    assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    assert_int_equal(coh_sched_pop(s, true), 1);
    coh_sched_free(s);
}

static void sched_wakes_what_is_parked_even_if_the_wake_comes_first(void **state)
{
    (void)state;
    static uint32_t const chain_of[] = {0, 1};
    coh_sched_t *s                   = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    begin(s, chain_of, 2, 2);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 0), 0);
    assert_true(coh_sched_park(s, 0, 0));
    assert_int_equal(coh_sched_pop(s, true), 1);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    coh_sched_wake(s, 0);
    coh_sched_wake(s, 0);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    assert_int_equal(start(s, 0, 0), 0);
    coh_sched_wake(s, 0);                  /* the key came while it was on its way to park */
    assert_false(coh_sched_park(s, 0, 0)); /* so it does not */
    assert_int_equal(start(s, 0, 0), 0);
    assert_true(coh_sched_park(s, 0, 0));
    /* what it read before it parked may be retracted: it starts over under the next incarnation, without waiting for the old key */
    assert_false(coh_sched_retract(s, 0, 0));
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 1), 0);
    coh_sched_free(s);
}

static void sched_takes_a_chain_back(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    begin(s, two_chains, 5, 2);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(coh_sched_pop(s, true), 1);
    coh_sched_put_back(s, 1);
    assert_int_equal(coh_sched_pop(s, true), 1);
    assert_int_equal(start(s, 1, 0), 1);
    coh_sched_put_back(s, 0);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 0), 0);
    coh_sched_free(s);
}

static void sched_gives_the_lowest_of_those_to_run_again(void **state)
{
    (void)state;
    enum { CNT = 64 };
    uint32_t chain_of[CNT];
    for (uint32_t i = 0; i < CNT; i++) {
        chain_of[i] = i;
    }
    coh_sched_t *s = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    begin(s, chain_of, CNT, CNT);
    for (uint32_t i = 0; i < CNT; i++) {
        assert_int_equal(coh_sched_pop(s, true), i);
        assert_int_equal(start(s, i, 0), i);
        assert_true(coh_sched_park(s, i, i));
    }
    for (uint32_t i = 0; i < CNT; i++) {
        coh_sched_wake(s, i * 37 % CNT); /* each once, in another order */
        if (i == CNT / 2 - 1) {          /* some are taken while others are still to come */
            uint32_t lowest = coh_sched_pop(s, true);
            assert_int_equal(lowest, 0);
            assert_int_equal(start(s, lowest, 0), lowest);
        }
    }
    for (uint32_t i = 1; i < CNT; i++) {
        assert_int_equal(coh_sched_pop(s, true), i);
    }
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    coh_sched_free(s);
}

static void sched_sequential_gives_all_to_one_worker_in_order(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_SEQUENTIAL, 2);
    begin(s, two_chains, 5, 2);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    for (uint32_t pos = 0; pos < 5; pos++) {
        assert_int_equal(coh_sched_chain_of(s, pos), 0);
        assert_int_equal(start(s, 0, 0), pos);
        assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
        assert_false(coh_sched_learns(s, 1));
        assert_true(finish(s, 0, pos));
    }
    assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    assert_true(coh_sched_all_done(s));
    coh_sched_close(s);
    begin(s, two_chains, 0, 0);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    assert_true(coh_sched_all_done(s));
    coh_sched_free(s);
}

/* One that has run twice in vain waits, without hints, until all below it are DONE. */
static void sched_puts_in_order_what_ran_twice_in_vain(void **state)
{
    (void)state;
    static uint32_t const chain_of[] = {0, 1, 2, 3};
    uint32_t woken                   = 0;
    uint32_t next                    = COH_SCHED_NONE;
    coh_sched_t *s                   = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    begin(s, chain_of, 4, 4);
    for (uint32_t pos = 0; pos < 4; pos++) {
        assert_int_equal(coh_sched_pop(s, true), pos);
        assert_int_equal(start(s, pos, 0), pos);
    }
    assert_true(finish(s, 1, 1));
    assert_int_equal(start(s, 1, 0), COH_SCHED_NONE);
    assert_false(coh_sched_retract(s, 3, 0));
    assert_false(finish(s, 3, 3));
    assert_int_equal(start(s, 3, 1), 3); /* the second time at once */
    assert_false(coh_sched_retract(s, 3, 1));
    assert_false(finish(s, 3, 3));
    assert_int_equal(start(s, 3, 0), COH_SCHED_NONE); /* for 2 */
    assert_true(coh_sched_finish(s, 2, 2, &woken, &next));
    assert_int_equal(next, 3);
    assert_int_equal(start(s, 3, 0), COH_SCHED_NONE); /* and then for 0 */
    next = COH_SCHED_NONE;
    assert_true(coh_sched_finish(s, 0, 0, &woken, &next));
    assert_int_equal(next, 3);
    assert_int_equal(start(s, 3, 2), 3);
    /* what was DONE and runs again is waited for like what never was */
    assert_false(coh_sched_retract(s, 3, 2));
    assert_false(finish(s, 3, 3));
    assert_true(coh_sched_retract(s, 1, 0));
    assert_int_equal(start(s, 3, 0), COH_SCHED_NONE);
    assert_int_equal(coh_sched_pop(s, true), 1);
    assert_int_equal(start(s, 1, 1), 1);
    next = COH_SCHED_NONE;
    assert_true(coh_sched_finish(s, 1, 1, &woken, &next));
    assert_int_equal(next, 3);
    assert_int_equal(start(s, 3, 3), 3);
    assert_true(finish(s, 3, 3));
    assert_true(coh_sched_all_done(s));
    coh_sched_close(s);
    coh_sched_free(s);
}

/* While nothing may begin, only what has begun runs again. */
static void sched_begins_nothing_where_it_may_not(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    begin(s, two_chains, 5, 2);
    assert_int_equal(coh_sched_pop(s, false), COH_SCHED_NONE);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 0), 0);
    assert_true(coh_sched_park(s, 0, 0));
    assert_int_equal(coh_sched_pop(s, false), COH_SCHED_NONE);
    coh_sched_wake(s, 0);
    assert_int_equal(coh_sched_pop(s, false), 0);
    coh_sched_free(s);
}

/* ---- hints ---- */

/* Six chains; those at even positions have a trait in common, and each one of its own, from *arg on. */
static uint32_t even_traits(void *arg, uint32_t pos, coh_sched_trait_t *out)
{
    uint32_t cnt = 0;
    if (pos % 2 == 0) {
        out[cnt++] = (coh_sched_trait_t){.hash = 77};
    }
    out[cnt++] = (coh_sched_trait_t){.hash = *(uint64_t *)arg + pos};
    return cnt;
}

static uint64_t own_traits         = 1000;
static uint32_t const six_chains[] = {0, 1, 2, 3, 4, 5};
static uint64_t const hot[]        = {4242};

static void pop_and_start(coh_sched_t *s, uint32_t pos, uint32_t incarnation)
{
    assert_int_equal(coh_sched_pop(s, true), pos);
    assert_int_equal(start(s, pos, incarnation), pos);
}

static void sched_optimistic_holds_what_ran_again_over_the_same_state(void **state)
{
    (void)state;
    uint32_t woken = 0;
    uint32_t next  = COH_SCHED_NONE;
    coh_sched_t *s = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    coh_sched_begin(s, six_chains, 6, 6, even_traits, &own_traits);
    assert_false(coh_sched_learns(s, 0)); /* as long as nobody runs again */
    for (uint32_t pos = 0; pos < 6; pos++) {
        pop_and_start(s, pos, 0);
    }
    assert_true(finish(s, 0, 0));
    assert_true(finish(s, 1, 1)); /* else 2 would have to wait for it in the end */
    /* 2 runs again and again, each time over the same state: at the second time the guard is up */
    for (uint32_t incarnation = 1; incarnation <= 3; incarnation++) {
        assert_false(coh_sched_retract(s, 2, incarnation - 1));
        assert_false(finish(s, 2, 2));
        assert_int_equal(start(s, 2, incarnation), 2);
        assert_true(coh_sched_learns(s, incarnation));
        coh_sched_learn(s, 2, incarnation, hot, 1);
        assert_int_equal(coh_sched_learns(s, 0), incarnation >= 2);
    }
    /* 4, which is like it, waits for it if it has to run again; 5 does not */
    assert_false(coh_sched_retract(s, 4, 0));
    assert_false(finish(s, 4, 4));
    assert_int_equal(start(s, 4, 0), COH_SCHED_NONE);
    assert_int_equal(coh_sched_take_held(s), 1);
    assert_int_equal(coh_sched_take_held(s), 0);
    assert_false(coh_sched_retract(s, 5, 0));
    assert_false(finish(s, 5, 5));
    assert_int_equal(start(s, 5, 1), 5);
    /* 2 waits for nobody but 0, which is like it, and DONE */
    assert_false(coh_sched_retract(s, 2, 3));
    assert_false(finish(s, 2, 2));
    assert_int_equal(start(s, 2, 4), 2);
    /* who finishes it has 4 at once */
    assert_true(coh_sched_finish(s, 2, 2, &woken, &next));
    assert_int_equal(woken, 0);
    assert_int_equal(next, 4);
    assert_int_equal(start(s, 4, 1), 4);
    assert_true(finish(s, 4, 4));
    assert_true(finish(s, 3, 3));
    assert_true(finish(s, 5, 5));
    assert_true(coh_sched_all_done(s));
    coh_sched_close(s);
    /* the next block knows: 2 waits for 0, 4 for 2 */
    coh_sched_begin(s, six_chains, 6, 6, even_traits, &own_traits);
    pop_and_start(s, 0, 0);
    pop_and_start(s, 1, 0);
    assert_int_equal(coh_sched_pop(s, true), 2);
    assert_int_equal(start(s, 2, 0), COH_SCHED_NONE);
    pop_and_start(s, 3, 0);
    assert_int_equal(coh_sched_pop(s, true), 4);
    assert_int_equal(start(s, 4, 0), COH_SCHED_NONE);
    /* with no room for it the chain is woken instead */
    next = 1;
    assert_true(coh_sched_finish(s, 0, 0, &woken, &next));
    assert_int_equal(woken, 1);
    assert_int_equal(next, 1);
    pop_and_start(s, 2, 0);
    coh_sched_close(s);
    /* after one in which nobody had to wait the guard is down */
    begin(s, six_chains, 6, 6);
    coh_sched_close(s);
    assert_true(coh_sched_learns(s, 0));
    static uint32_t chain_of[100];
    for (uint32_t i = 0; i < COH_CNT(chain_of); i++) {
        chain_of[i] = i;
    }
    begin(s, chain_of, COH_CNT(chain_of), COH_CNT(chain_of));
    coh_sched_close(s);
    begin(s, chain_of, COH_CNT(chain_of), COH_CNT(chain_of));
    assert_false(coh_sched_learns(s, 0));
    coh_sched_close(s);
    coh_sched_free(s);
}

/* A trait that goes with the state in one case of three says nothing. */
static void sched_holds_nobody_for_rare_state(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_LOCKING, 2);
    static uint32_t chain_of[60];
    for (uint32_t i = 0; i < COH_CNT(chain_of); i++) {
        chain_of[i] = i;
    }
    coh_sched_begin(s, chain_of, COH_CNT(chain_of), COH_CNT(chain_of), even_traits, &own_traits);
    for (uint32_t pos = 0; pos < COH_CNT(chain_of); pos += 2) {
        coh_sched_learn(s, pos, 0, hot, pos % 6 == 0);
    }
    coh_sched_close(s);
    uint64_t others = 5000;
    coh_sched_begin(s, chain_of, COH_CNT(chain_of), COH_CNT(chain_of), even_traits, &others);
    for (uint32_t pos = 0; pos < COH_CNT(chain_of); pos++) {
        pop_and_start(s, pos, 0);
    }
    assert_int_equal(coh_sched_take_held(s), 0);
    coh_sched_free(s);
}

/* Positions 1 and 3 name the same state. */
static uint32_t key_traits(void *arg, uint32_t pos, coh_sched_trait_t *out)
{
    (void)arg;
    out[0] = (coh_sched_trait_t){.hash = 4242, .is_key = true};
    return pos % 2;
}

static void sched_locking_holds_at_once(void **state)
{
    (void)state;
    uint32_t woken = 0;
    uint32_t next  = COH_SCHED_NONE;
    coh_sched_t *s = coh_sched_new(COH_SCHED_LOCKING, 2);
    coh_sched_begin(s, six_chains, 6, 6, key_traits, NULL);
    assert_true(coh_sched_learns(s, 0));
    for (uint32_t pos = 0; pos < 3; pos++) {
        assert_int_equal(coh_sched_pop(s, true), pos);
        assert_int_equal(start(s, pos, 0), pos);
    }
    assert_int_equal(coh_sched_pop(s, true), 3);
    assert_int_equal(start(s, 3, 0), COH_SCHED_NONE);
    assert_true(coh_sched_finish(s, 1, 1, &woken, &next));
    assert_int_equal(woken, 0);
    assert_int_equal(next, 3);
    assert_int_equal(start(s, 3, 0), 3);
    assert_int_equal(coh_sched_pop(s, true), 4);
    assert_int_equal(coh_sched_pop(s, true), 5);
    assert_int_equal(start(s, 5, 0), COH_SCHED_NONE);
    coh_sched_close(s);
    /* what one transaction wrote is expected of the next one like it */
    coh_sched_begin(s, six_chains, 6, 6, even_traits, &own_traits);
    assert_int_equal(coh_sched_pop(s, true), 0);
    assert_int_equal(start(s, 0, 0), 0);
    coh_sched_learn(s, 0, 0, hot, 1);
    assert_int_equal(coh_sched_pop(s, true), 1);
    assert_int_equal(coh_sched_pop(s, true), 2);
    assert_int_equal(start(s, 2, 0), COH_SCHED_NONE);
    coh_sched_free(s);
}

/* ---- in order ---- */

enum { ROW = 32, WINDOW = 64, LONG = 400 };

static uint32_t same_trait(void *arg, uint32_t pos, coh_sched_trait_t *out)
{
    (void)arg;
    (void)pos;
    out[0] = (coh_sched_trait_t){.hash = 77};
    return 1;
}

static void begin_long(coh_sched_t *s)
{
    static uint32_t chain_of[LONG];
    for (uint32_t i = 0; i < LONG; i++) {
        chain_of[i] = i;
    }
    coh_sched_begin(s, chain_of, LONG, LONG, same_trait, NULL);
}

/* Runs a transaction as the executor does. */
static void run_next(coh_sched_t *s, uint32_t pos, bool follows)
{
    pop_and_start(s, pos, 0);
    if (coh_sched_is_in_order(s)) {
        coh_sched_note_order(s, follows);
    } else {
        coh_sched_learn(s, pos, 0, hot, 1);
    }
    assert_true(finish(s, pos, pos));
    assert_int_equal(start(s, pos, 0), COH_SCHED_NONE);
}

static void sched_gives_a_row_to_one_worker(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_LOCKING, 2);
    begin_long(s);
    uint32_t pos = 0;
    while (!coh_sched_is_in_order(s)) {
        assert_true(pos <= ROW + 1);
        run_next(s, pos++, true);
    }
    assert_true(pos >= ROW);
    /* the other one gets nothing while one is at it, and what is next when that is DONE */
    pop_and_start(s, pos, 0);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    coh_sched_note_order(s, true);
    assert_true(finish(s, pos, pos));
    assert_int_equal(start(s, pos, 0), COH_SCHED_NONE);
    pos++;
    /* a retraction of what was DONE comes first, and is waited for */
    assert_true(coh_sched_retract(s, pos - 1, 0));
    pop_and_start(s, pos - 1, 1);
    assert_int_equal(coh_sched_pop(s, true), COH_SCHED_NONE);
    assert_true(finish(s, pos - 1, pos - 1));
    while (pos < LONG) {
        run_next(s, pos++, true);
    }
    assert_true(coh_sched_all_done(s));
    assert_int_equal(coh_sched_take_held(s), 0);
    coh_sched_close(s);

    /* the next block begins in order, and stops it when most do not follow upon each other: then hints hold again */
    begin_long(s);
    for (pos = 0; pos < 2 * WINDOW; pos++) {
        run_next(s, pos, pos % 4 != 0);
        assert_true(coh_sched_is_in_order(s));
    }
    for (; coh_sched_is_in_order(s); pos++) {
        assert_true(pos < 4 * WINDOW);
        run_next(s, pos, pos % 2 != 0);
    }
    pop_and_start(s, pos, 0);
    assert_int_equal(coh_sched_pop(s, true), pos + 1);
    assert_int_equal(start(s, pos + 1, 0), COH_SCHED_NONE);
    assert_int_equal(coh_sched_take_held(s), 1);
    coh_sched_close(s);
    coh_sched_free(s);
}

/* Runs one in vain, and again. */
static void run_twice(coh_sched_t *s, uint32_t pos)
{
    pop_and_start(s, pos, 0);
    assert_false(coh_sched_retract(s, pos, 0));
    assert_false(finish(s, pos, pos));
    assert_int_equal(start(s, pos, 1), pos);
    coh_sched_learn(s, pos, 1, NULL, 0);
    assert_true(finish(s, pos, pos));
    assert_int_equal(start(s, pos, 1), COH_SCHED_NONE);
}

static void sched_goes_in_order_when_hints_do_not_help(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new(COH_SCHED_OPTIMISTIC, 2);
    for (uint32_t follow = 0; follow < 2; follow++) {
        begin_long(s);
        assert_false(coh_sched_is_in_order(s));
        uint32_t pos = 0;
        while (!coh_sched_is_in_order(s)) {
            assert_true(pos < ROW);
            run_twice(s, pos++);
        }
        /* to the end, whatever follows... */
        while (pos < LONG) {
            run_next(s, pos++, follow != 0);
            assert_true(coh_sched_is_in_order(s));
        }
        coh_sched_close(s);
    }
    /* ...and on, if it was a chain */
    begin_long(s);
    assert_true(coh_sched_is_in_order(s));
    coh_sched_close(s);
    coh_sched_free(s);
}

enum { TXS = 200, CHAINS = 37, THREADS = 4, RETRACTS = 400 };

typedef struct {
    coh_sched_t *s;
    _Atomic uint32_t last_run[TXS]; /* incarnation + 1 that finished last */
    _Atomic uint32_t retracts_left;
    uint64_t seed;
} race_t;

typedef struct {
    race_t *race;
    uint64_t seed;
} racer_t;

static uint32_t race_traits(void *arg, uint32_t pos, coh_sched_trait_t *out)
{
    (void)arg;
    out[0] = (coh_sched_trait_t){.hash = 100 + pos % 5};
    out[1] = (coh_sched_trait_t){.hash = pos % 7, .is_key = true};
    return pos % 3;
}

static void *race_worker(void *arg)
{
    race_t *r = ((racer_t *)arg)->race;
    coh_rng_t rng;
    coh_rng_seed(&rng, ((racer_t *)arg)->seed);
    while (!coh_sched_all_done(r->s)) {
        uint32_t chain = coh_sched_pop(r->s, true);
        if (chain == COH_SCHED_NONE) {
            /* anything parked must come back: wake a chain at random */
            coh_sched_wake(r->s, coh_sched_chain_of(r->s, (uint32_t)coh_rng_below(&rng, TXS)));
            continue;
        }
        uint32_t incarnation = 0;
        uint32_t pos;
        while ((pos = coh_sched_start(r->s, chain, &incarnation)) != COH_SCHED_NONE) {
            if (coh_rng_percent(&rng, 10)) {
                if (coh_sched_park(r->s, chain, pos)) {
                    break;
                }
                continue;
            }
            uint32_t left = atomic_load(&r->retracts_left);
            if (left != 0 && atomic_compare_exchange_strong(&r->retracts_left, &left, left - 1)) {
                uint32_t victim   = (uint32_t)coh_rng_below(&rng, TXS);
                uint32_t finished = atomic_load(&r->last_run[victim]);
                (void)coh_sched_retract(r->s, victim, finished == 0 ? 0 : finished - 1);
            }
            if (coh_sched_is_in_order(r->s)) {
                coh_sched_note_order(r->s, coh_rng_percent(&rng, 75));
            } else if (coh_sched_learns(r->s, incarnation)) {
                uint64_t touched[] = {pos % 5, coh_rng_below(&rng, 8)};
                coh_sched_learn(r->s, pos, incarnation, touched, 2);
            }
            uint32_t woken;
            uint32_t next = coh_rng_percent(&rng, 50) ? COH_SCHED_NONE : chain;
            atomic_store(&r->last_run[pos], incarnation + 1);
            (void)coh_sched_finish(r->s, chain, pos, &woken, &next);
            if (next != COH_SCHED_NONE && next != chain) {
                while ((pos = coh_sched_start(r->s, next, &incarnation)) != COH_SCHED_NONE) {
                    uint32_t none = chain;
                    atomic_store(&r->last_run[pos], incarnation + 1);
                    (void)coh_sched_finish(r->s, next, pos, &woken, &none);
                }
            }
        }
    }
    return NULL;
}

static void sched_ends_with_everything_done_under_random_retractions(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed: %llu\n", (unsigned long long)seed);
    coh_sched_t *kinds[COH_SCHED_KIND_CNT];
    for (int k = 0; k < COH_SCHED_KIND_CNT; k++) {
        kinds[k] = coh_sched_new((coh_sched_kind_t)k, 2);
    }
    for (uint64_t round = 0; round < 60; round++) {
        coh_rng_t rng;
        coh_rng_seed(&rng, seed + round);
        uint32_t chain_of[TXS];
        for (uint32_t i = 0; i < TXS; i++) {
            chain_of[i] = i < CHAINS ? i : (uint32_t)coh_rng_below(&rng, CHAINS);
        }
        race_t race = {.s = kinds[round % COH_SCHED_KIND_CNT], .retracts_left = RETRACTS};
        coh_sched_begin(race.s, chain_of, TXS, CHAINS, race_traits, NULL);
        pthread_t threads[THREADS];
        racer_t racers[THREADS];
        for (uint64_t t = 0; t < THREADS; t++) {
            racers[t] = (racer_t){.race = &race, .seed = seed + round * THREADS + t};
            assert_int_equal(pthread_create(&threads[t], NULL, race_worker, &racers[t]), 0);
        }
        for (int t = 0; t < THREADS; t++) {
            assert_int_equal(pthread_join(threads[t], NULL), 0);
        }
        assert_true(coh_sched_all_done(race.s));
        for (uint32_t i = 0; i < TXS; i++) {
            assert_int_equal(coh_sched_lock_tx(race.s, i) + 1, atomic_load(&race.last_run[i]));
            coh_sched_unlock_tx(race.s, i);
        }
        coh_sched_close(race.s);
    }
    for (int k = 0; k < COH_SCHED_KIND_CNT; k++) {
        coh_sched_free(kinds[k]);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(sched_hands_out_positions_in_order),
        cmocka_unit_test(sched_runs_a_retracted_transaction_again_and_only_it),
        cmocka_unit_test(sched_wakes_what_is_parked_even_if_the_wake_comes_first),
        cmocka_unit_test(sched_takes_a_chain_back),
        cmocka_unit_test(sched_gives_the_lowest_of_those_to_run_again),
        cmocka_unit_test(sched_puts_in_order_what_ran_twice_in_vain),
        cmocka_unit_test(sched_begins_nothing_where_it_may_not),
        cmocka_unit_test(sched_sequential_gives_all_to_one_worker_in_order),
        cmocka_unit_test(sched_optimistic_holds_what_ran_again_over_the_same_state),
        cmocka_unit_test(sched_holds_nobody_for_rare_state),
        cmocka_unit_test(sched_locking_holds_at_once),
        cmocka_unit_test(sched_gives_a_row_to_one_worker),
        cmocka_unit_test(sched_goes_in_order_when_hints_do_not_help),
        cmocka_unit_test(sched_ends_with_everything_done_under_random_retractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
