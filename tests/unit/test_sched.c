/* The scheduler: each arrow of its diagram, and a random run on several threads in which transactions park, are woken and retracted, and every
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

static void sched_runs_a_chain_in_order(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new();
    assert_false(coh_sched_enter(s));
    coh_sched_begin(s, two_chains, 5, 2);
    assert_true(coh_sched_enter(s));
    assert_int_equal(coh_sched_pop(s), 0);
    assert_int_equal(coh_sched_pop(s), 1);
    assert_int_equal(coh_sched_pop(s), COH_SCHED_NONE);
    uint32_t const order[] = {0, 2, 4};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(start(s, 0, 0), order[i]);
        assert_false(coh_sched_all_done(s));
        assert_true(coh_sched_finish(s, 0, order[i]));
    }
    assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    assert_int_equal(start(s, 1, 0), 1);
    assert_true(coh_sched_finish(s, 1, 1));
    assert_int_equal(start(s, 1, 0), 3);
    assert_true(coh_sched_finish(s, 1, 3));
    assert_true(coh_sched_all_done(s));
    coh_sched_leave(s);
    coh_sched_close(s);
    assert_false(coh_sched_enter(s));
    coh_sched_free(s);
}

static void sched_runs_a_retracted_transaction_again_and_only_it(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new();
    coh_sched_begin(s, two_chains, 5, 2);
    assert_int_equal(coh_sched_pop(s), 0);
    for (uint32_t pos = 0; pos <= 4; pos += 2) {
        assert_int_equal(start(s, 0, 0), pos);
        assert_true(coh_sched_finish(s, 0, pos));
    }
    assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    assert_false(coh_sched_retract(s, 2, 1)); /* an incarnation that is not */
    assert_true(coh_sched_retract(s, 2, 0));
    assert_false(coh_sched_retract(s, 2, 0)); /* it has moved on */
    assert_int_equal(coh_sched_pop(s), 0);    /* before the chain that never ran */
    assert_int_equal(start(s, 0, 1), 2);
    /* retracted while it runs: finish says so, and it runs a third time */
    assert_false(coh_sched_retract(s, 2, 1));
    assert_false(coh_sched_finish(s, 0, 2));
    assert_int_equal(start(s, 0, 2), 2);
    assert_true(coh_sched_finish(s, 0, 2));
    assert_int_equal(start(s, 0, 0), COH_SCHED_NONE);
    assert_int_equal(coh_sched_pop(s), 1);
    coh_sched_free(s);
}

static void sched_wakes_what_is_parked_even_if_the_wake_comes_first(void **state)
{
    (void)state;
    coh_sched_t *s = coh_sched_new();
    coh_sched_begin(s, two_chains, 5, 2);
    assert_int_equal(coh_sched_pop(s), 0);
    assert_int_equal(start(s, 0, 0), 0);
    assert_true(coh_sched_park(s, 0, 0));
    assert_int_equal(coh_sched_pop(s), 1);
    assert_int_equal(coh_sched_pop(s), COH_SCHED_NONE);
    coh_sched_wake(s, 0);
    coh_sched_wake(s, 0);
    assert_int_equal(coh_sched_pop(s), 0);
    assert_int_equal(coh_sched_pop(s), COH_SCHED_NONE);
    assert_int_equal(start(s, 0, 0), 0);
    coh_sched_wake(s, 0);                  /* the key came while it was on its way to park */
    assert_false(coh_sched_park(s, 0, 0)); /* so it does not */
    assert_int_equal(start(s, 0, 0), 0);
    assert_true(coh_sched_park(s, 0, 0));
    /* what it read before it parked may be retracted: it starts over under the next incarnation, without waiting for the old key */
    assert_false(coh_sched_retract(s, 0, 0));
    assert_int_equal(coh_sched_pop(s), 0);
    assert_int_equal(start(s, 0, 1), 0);
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

static void *race_worker(void *arg)
{
    race_t *r = ((racer_t *)arg)->race;
    coh_rng_t rng;
    coh_rng_seed(&rng, ((racer_t *)arg)->seed);
    while (!coh_sched_all_done(r->s)) {
        uint32_t chain = coh_sched_pop(r->s);
        if (chain == COH_SCHED_NONE) {
            /* anything parked must come back: wake a chain at random */
            coh_sched_wake(r->s, (uint32_t)coh_rng_below(&rng, CHAINS));
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
            atomic_store(&r->last_run[pos], incarnation + 1);
            (void)coh_sched_finish(r->s, chain, pos);
        }
    }
    return NULL;
}

static void sched_ends_with_everything_done_under_random_retractions(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed: %llu\n", (unsigned long long)seed);
    for (uint64_t round = 0; round < 30; round++) {
        coh_rng_t rng;
        coh_rng_seed(&rng, seed + round);
        uint32_t chain_of[TXS];
        for (uint32_t i = 0; i < TXS; i++) {
            chain_of[i] = i < CHAINS ? i : (uint32_t)coh_rng_below(&rng, CHAINS);
        }
        race_t race = {.s = coh_sched_new(), .retracts_left = RETRACTS};
        coh_sched_begin(race.s, chain_of, TXS, CHAINS);
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
        coh_sched_free(race.s);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(sched_runs_a_chain_in_order),
        cmocka_unit_test(sched_runs_a_retracted_transaction_again_and_only_it),
        cmocka_unit_test(sched_wakes_what_is_parked_even_if_the_wake_comes_first),
        cmocka_unit_test(sched_ends_with_everything_done_under_random_retractions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
