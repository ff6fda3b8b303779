/* Settlement: the rules of PROTOCOL 3, and a random search for a run that is called settled while a message is under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "coordinator/settle.h"

static coh_settle_answer_t idle(coh_settle_t *s,
                                uint32_t shard,
                                uint32_t wave,
                                uint64_t sent,
                                uint64_t received)
{
    coh_settle_answer_t answer;
    assert_int_equal(coh_settle_idle(s, &answer, shard, wave, sent, received), COH_OK);
    return answer;
}

static void settle_takes_one_wave_without_messages(void **state)
{
    (void)state;
    coh_settle_t s;
    coh_settle_init(&s, 3);
    coh_settle_begin(&s);
    assert_int_equal(idle(&s, 0, 0, 0, 0), COH_SETTLE_WAIT);
    assert_int_equal(idle(&s, 2, 0, 0, 0), COH_SETTLE_WAIT);
    assert_int_equal(idle(&s, 2, 0, 0, 0), COH_SETTLE_WAIT); /* again: still one shard missing */
    assert_int_equal(idle(&s, 1, 0, 0, 0), COH_SETTLE_SETTLED);
    assert_int_equal(idle(&s, 1, 0, 0, 0), COH_SETTLE_WAIT); /* said once */
    coh_settle_fini(&s);
}

static void settle_asks_until_two_waves_agree(void **state)
{
    (void)state;
    coh_settle_t s;
    coh_settle_init(&s, 2);
    coh_settle_begin(&s);
    assert_int_equal(idle(&s, 0, 0, 5, 0), COH_SETTLE_WAIT);
    assert_int_equal(idle(&s, 1, 0, 0, 3), COH_SETTLE_WAIT); /* two are under way */
    assert_int_equal(idle(&s, 1, 0, 0, 5), COH_SETTLE_WAVE);
    assert_int_equal(s.wave, 1);
    assert_int_equal(idle(&s, 0, 0, 5, 0), COH_SETTLE_WAIT); /* of the wave before: passed over */
    assert_int_equal(idle(&s, 0, 1, 6, 0), COH_SETTLE_WAIT);
    assert_int_equal(idle(&s, 1, 1, 0, 6), COH_SETTLE_WAVE); /* equal, but not the sums before */
    assert_int_equal(idle(&s, 1, 2, 0, 6), COH_SETTLE_WAIT);
    assert_int_equal(idle(&s, 0, 2, 6, 0), COH_SETTLE_SETTLED);
    coh_settle_begin(&s);
    assert_int_equal(s.wave, 0);
    assert_int_equal(idle(&s, 0, 0, 0, 0), COH_SETTLE_WAIT);
    assert_int_equal(idle(&s, 1, 0, 0, 0), COH_SETTLE_SETTLED);
    coh_settle_fini(&s);
}

static void settle_refuses_what_cannot_be(void **state)
{
    (void)state;
    coh_settle_t s;
    coh_settle_answer_t answer;
    coh_settle_init(&s, 2);
    coh_settle_begin(&s);
    assert_int_equal(coh_settle_idle(&s, &answer, 2, 0, 0, 0), COH_EPROTO);
    assert_int_equal(coh_settle_idle(&s, &answer, 0, 1, 0, 0), COH_EPROTO);
    assert_int_equal(idle(&s, 0, 0, 4, 2), COH_SETTLE_WAIT);
    assert_int_equal(coh_settle_idle(&s, &answer, 0, 0, 3, 2), COH_EPROTO);
    assert_int_equal(coh_settle_idle(&s, &answer, 0, 0, 4, 1), COH_EPROTO);
    assert_int_equal(idle(&s, 1, 0, 2, 4), COH_SETTLE_WAVE); /* nothing changed by the above */
    coh_settle_fini(&s);
}

/* A small world: shards that bounce messages about for a while, links that deliver in order with any delay, reports and waves the same. */
#define SHARDS 3
#define QUEUE  256

typedef struct {
    uint32_t wave;
    uint64_t sent;
    uint64_t received;
} report_t;

typedef struct {
    uint64_t under_way[SHARDS][SHARDS]; /* messages from, to */
    report_t reports[SHARDS][QUEUE];    /* to the coordinator, in order */
    uint32_t report_first[SHARDS];
    uint32_t report_next[SHARDS];
    uint32_t wave_asked[SHARDS]; /* on its way to the shard or there */
    uint32_t wave_seen[SHARDS];
    uint64_t sent[SHARDS];
    uint64_t received[SHARDS];
    uint32_t fuel; /* messages that may still be caused */
} small_world_t;

static void report(small_world_t *w, uint32_t s)
{
    assert_true(w->report_next[s] < QUEUE);
    w->reports[s][w->report_next[s]++] =
        (report_t){.wave = w->wave_seen[s], .sent = w->sent[s], .received = w->received[s]};
}

static void emit(small_world_t *w, coh_rng_t *rng, uint32_t s)
{
    while (w->fuel > 0 && coh_rng_percent(rng, 45)) {
        w->fuel--;
        w->sent[s]++;
        w->under_way[s][(s + 1 + coh_rng_below(rng, SHARDS - 1)) % SHARDS]++;
    }
    report(w, s);
}

static void run_small_world(uint64_t seed)
{
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    static small_world_t w;
    w = (small_world_t){.fuel = (uint32_t)coh_rng_below(&rng, 20)};
    coh_settle_t s;
    coh_settle_init(&s, SHARDS);
    coh_settle_begin(&s);
    for (uint32_t i = 0; i < SHARDS; i++) {
        emit(&w, &rng, i);
    }
    coh_settle_answer_t answer = COH_SETTLE_WAIT;
    for (int step = 0; answer != COH_SETTLE_SETTLED; step++) {
        assert_true(step < 100000); /* it ends */
        uint32_t at   = (uint32_t)coh_rng_below(&rng, SHARDS);
        uint32_t from = (uint32_t)coh_rng_below(&rng, SHARDS);
        switch (coh_rng_below(&rng, 3)) {
        case 0:
            if (w.under_way[from][at] > 0) {
                w.under_way[from][at]--;
                w.received[at]++;
                emit(&w, &rng, at);
            }
            break;
        case 1:
            if (w.wave_seen[at] < w.wave_asked[at]) {
                w.wave_seen[at]++;
                report(&w, at);
            }
            break;
        default:
            if (w.report_first[at] < w.report_next[at]) {
                report_t const *r = &w.reports[at][w.report_first[at]++];
                answer            = idle(&s, at, r->wave, r->sent, r->received);
                for (uint32_t i = 0; i < SHARDS && answer == COH_SETTLE_WAVE; i++) {
                    w.wave_asked[i] = s.wave;
                }
            }
            break;
        }
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        for (uint32_t k = 0; k < SHARDS; k++) {
            if (w.under_way[i][k] != 0) {
                fail_msg("seed %lu: settled with a message under way", (unsigned long)seed);
            }
        }
    }
    coh_settle_fini(&s);
}

static void settle_is_never_too_early_nor_never(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        run_small_world(seed);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(settle_takes_one_wave_without_messages),
        cmocka_unit_test(settle_asks_until_two_waves_agree),
        cmocka_unit_test(settle_refuses_what_cannot_be),
        cmocka_unit_test(settle_is_never_too_early_nor_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
