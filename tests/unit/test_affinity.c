/* A placement that learns: groups that are used together come to one shard, load stays even, what is well where it is stays, and load that falls to one shard is spread; from random reports, with an expectation for each property. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "coordinator/affinity.h"

enum { SHARDS = 4, GROUPS = 64, MEMBERS = 5 };

static coh_rng_t rng;
static coh_override_t plan[COH_AFFINITY_PLAN_MAX];

static coh_addr_t member(uint32_t group, uint32_t i)
{
    return (coh_addr_t){.b = {[0] = (uint8_t)(1 + group * 3), [1] = (uint8_t)i, [19] = 7}};
}

static coh_directory_t even_directory(void)
{
    coh_directory_t dir = {.epoch = 1, .shard_cnt = SHARDS};
    for (uint32_t b = 0; b < COH_BUCKET_CNT; b++) {
        dir.shard_of[b] = (uint16_t)(b * SHARDS / COH_BUCKET_CNT);
    }
    return dir;
}

static uint32_t owner(coh_directory_t const *dir, coh_addr_t const *addr)
{
    return coh_directory_owner(dir, addr, coh_directory_bucket(addr));
}

/* Each group's first member was called by about a hundred transactions, which used its others; reports come from random shards. True as coh_affinity_report. */
static bool report_groups(coh_affinity_t *af, uint32_t across, bool noise)
{
    coh_rec_load_t loads[SHARDS][GROUPS * MEMBERS];
    coh_rec_pair_t pairs[SHARDS][2 * GROUPS * MEMBERS];
    uint32_t load_cnt[SHARDS] = {0};
    uint32_t pair_cnt[SHARDS] = {0};
    for (uint32_t g = 0; g < GROUPS; g++) {
        uint32_t s = (uint32_t)coh_rng_below(&rng, SHARDS);
        for (uint32_t i = 0; i < MEMBERS; i++) {
            coh_addr_t a            = member(g, 0);
            coh_addr_t b            = member(g, i);
            uint64_t n              = 80 + coh_rng_below(&rng, 40);
            loads[s][load_cnt[s]++] = (coh_rec_load_t){.addr = b, .gas = i == 0 ? 100000 : n};
            if (i != 0) {
                pairs[s][pair_cnt[s]++] = (coh_rec_pair_t){.a = a, .b = b, .cnt = n};
            }
            if (noise && i != 0) { /* now and then it is used with a stranger */
                coh_addr_t c =
                    member((g + 1 + (uint32_t)coh_rng_below(&rng, GROUPS - 1)) % GROUPS, i);
                bool less = memcmp(b.b, c.b, sizeof(b.b)) < 0;
                pairs[s][pair_cnt[s]++] =
                    (coh_rec_pair_t){.a = less ? b : c, .b = less ? c : b, .cnt = 2};
            }
        }
    }
    bool due = false;
    for (uint32_t s = 0; s < SHARDS; s++) {
        assert_false(due);
        coh_msg_usage_t m = {.block = 8, .tx_cnt = 1000, .across_cnt = across};
        m.loads.v         = loads[s];
        m.loads.cnt       = load_cnt[s];
        m.pairs.v         = pairs[s];
        m.pairs.cnt       = pair_cnt[s];
        due               = coh_affinity_report(af, s, &m);
    }
    return due;
}

static void carry_out(coh_affinity_t *af, coh_directory_t *dir, size_t cnt)
{
    coh_rec_move_account_t moves[GROUPS * MEMBERS];
    assert_true(cnt <= GROUPS * MEMBERS);
    for (size_t i = 0; i < cnt; i++) {
        moves[i] = (coh_rec_move_account_t){
            .addr = plan[i].addr, .from = owner(dir, &plan[i].addr), .to = plan[i].shard};
        assert_int_not_equal(moves[i].from, moves[i].to);
        assert_int_equal(coh_directory_pin(dir, &plan[i].addr, plan[i].shard), COH_OK);
    }
    coh_affinity_moved(af, moves, cnt);
}

static void check_groups(coh_directory_t const *dir)
{
    uint32_t on[SHARDS] = {0};
    for (uint32_t g = 0; g < GROUPS; g++) {
        coh_addr_t first = member(g, 0);
        uint32_t at      = owner(dir, &first);
        on[at]++;
        for (uint32_t i = 1; i < MEMBERS; i++) {
            coh_addr_t addr = member(g, i);
            assert_int_equal(owner(dir, &addr), at);
        }
    }
    for (uint32_t s = 0; s < SHARDS; s++) { /* a quarter above the fair share of 16 */
        assert_in_range(on[s], 1, 20);
    }
}

static void affinity_brings_groups_together_and_lets_them_be(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    coh_affinity_t *af  = coh_affinity_new(SHARDS);
    assert_true(report_groups(af, 900, false));
    size_t cnt = coh_affinity_plan(af, &dir, plan);
    assert_true(cnt > GROUPS && cnt < GROUPS * MEMBERS);
    carry_out(af, &dir, cnt);
    check_groups(&dir);
    assert_int_equal(coh_affinity_figures(af).before, 900);
    for (uint32_t window = 0; window < 20; window++) {
        assert_true(report_groups(af, 3, window % 2 == 1));
        assert_int_equal(coh_affinity_plan(af, &dir, plan), 0);
    }
    coh_affinity_figures_t figures = coh_affinity_figures(af);
    assert_int_equal(figures.before, 900);
    assert_int_equal(figures.now, 3);
    assert_int_equal(figures.moves_max, 1);
    coh_affinity_free(af);
    coh_directory_free(&dir);
}

static void affinity_leaves_in_peace_who_must_not_move(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    coh_affinity_t *af  = coh_affinity_new(SHARDS);
    coh_addr_t never    = member(5, 2);
    (void)report_groups(af, 900, false);
    (void)coh_affinity_plan(af, &dir, plan); /* not carried out */
    coh_affinity_too_big(af, 1, &never);
    for (uint32_t round = 0; round < 30; round++) {
        (void)report_groups(af, 900, true);
        size_t cnt = coh_affinity_plan(af, &dir, plan);
        for (size_t i = 0; i < cnt; i++) {
            assert_false(coh_addr_eq(&plan[i].addr, &never));
            /* Somebody takes every account elsewhere each time. */
            plan[i].shard = (uint16_t)((owner(&dir, &plan[i].addr) + 1) % SHARDS);
        }
        carry_out(af, &dir, cnt);
        assert_true(coh_affinity_figures(af).moves_max <= COH_AFFINITY_MOVES_MAX);
    }
    (void)report_groups(af, 900, true);
    assert_int_equal(coh_affinity_plan(af, &dir, plan), 0);
    coh_affinity_free(af);
    coh_directory_free(&dir);
}

static void affinity_is_bounded_and_takes_any_report(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    coh_affinity_t *af  = coh_affinity_new(SHARDS);
    static coh_rec_load_t loads[8192];
    static coh_rec_pair_t pairs[8192];
    for (uint32_t window = 0; window < 12; window++) {
        bool due = false;
        for (uint32_t s = 0; s < SHARDS; s++) {
            for (uint32_t i = 0; i < 8192; i++) {
                for (size_t k = 0; k < sizeof(loads[i].addr.b); k++) {
                    loads[i].addr.b[k] = (uint8_t)coh_rng_next(&rng);
                }
                loads[i].gas = coh_rng_next(&rng);
                pairs[i] =
                    (coh_rec_pair_t){.a   = loads[coh_rng_below(&rng, i + 1)].addr,
                                     .b   = loads[coh_rng_below(&rng, i + 1)].addr,
                                     .cnt = coh_rng_below(&rng, 3) == 0 ? coh_rng_next(&rng)
                                                                        : coh_rng_below(&rng, 3)};
            }
            coh_msg_usage_t m = {.tx_cnt     = coh_rng_next(&rng),
                                 .across_cnt = UINT64_MAX,
                                 .gas        = coh_rng_next(&rng) >> coh_rng_below(&rng, 64)};
            m.loads.v         = loads;
            m.loads.cnt       = 8192;
            m.pairs.v         = pairs;
            m.pairs.cnt       = 8192;
            due               = coh_affinity_report(af, s, &m);
        }
        assert_true(due);
        size_t cnt = coh_affinity_plan(af, &dir, plan);
        assert_true(cnt <= COH_AFFINITY_PLAN_MAX);
        for (size_t i = 0; i < cnt; i++) {
            assert_true(plan[i].shard < SHARDS);
        }
    }
    coh_affinity_free(af);
}

/* A window without anything across shards: group g used gas[g], on the shard where it is. */
static bool report_load(coh_affinity_t *af,
                        coh_directory_t const *dir,
                        uint64_t const *gas,
                        uint64_t tx_cnt)
{
    bool due = false;
    for (uint32_t s = 0; s < SHARDS; s++) {
        coh_rec_load_t loads[GROUPS * MEMBERS];
        coh_rec_pair_t pairs[GROUPS * MEMBERS];
        coh_msg_usage_t m = {.tx_cnt = tx_cnt, .loads.v = loads, .pairs.v = pairs};
        for (uint32_t g = 0; g < GROUPS; g++) {
            coh_addr_t first = member(g, 0);
            if (gas[g] == 0 || owner(dir, &first) != s) {
                continue;
            }
            for (uint32_t i = 0; i < MEMBERS; i++) {
                coh_addr_t addr      = member(g, i);
                loads[m.loads.cnt++] = (coh_rec_load_t){.addr = addr, .gas = i == 0 ? gas[g] : 100};
                if (i != 0) {
                    pairs[m.pairs.cnt++] = (coh_rec_pair_t){.a = first, .b = addr, .cnt = 100};
                }
            }
            /* A tenth more or less than it was told: windows differ. */
            m.gas += gas[g] * (90 + coh_rng_below(&rng, 21)) / 100;
        }
        due = coh_affinity_report(af, s, &m);
    }
    return due;
}

/* Loads of the shards where the groups are, each of which must be on one. */
static void sum_loads(uint64_t out[SHARDS], coh_directory_t const *dir, uint64_t const *gas)
{
    memset(out, 0, SHARDS * sizeof(*out));
    for (uint32_t g = 0; g < GROUPS; g++) {
        coh_addr_t first = member(g, 0);
        out[owner(dir, &first)] += gas[g];
        for (uint32_t i = 1; i < MEMBERS; i++) {
            coh_addr_t addr = member(g, i);
            assert_int_equal(owner(dir, &addr), owner(dir, &first));
        }
    }
}

/* All that is used fell to one shard. */
static void affinity_evens_out_load_that_goes_nowhere(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    memset(dir.shard_of, 0, sizeof(dir.shard_of));
    coh_affinity_t *af = coh_affinity_new(SHARDS);
    uint64_t gas[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        gas[g] = 1000000 + coh_rng_below(&rng, 9000000);
    }
    assert_true(report_load(af, &dir, gas, 1000));
    assert_int_equal(coh_affinity_plan(af, &dir, plan), 0); /* a window is none */
    (void)report_load(af, &dir, gas, 1000);
    size_t cnt = coh_affinity_plan(af, &dir, plan);
    assert_true(cnt >= GROUPS / 2 * MEMBERS && cnt < GROUPS * MEMBERS && cnt % MEMBERS == 0);
    carry_out(af, &dir, cnt);
    uint64_t on[SHARDS];
    sum_loads(on, &dir, gas);
    uint64_t all = on[0] + on[1] + on[2] + on[3];
    for (uint32_t s = 0; s < SHARDS; s++) {
        assert_in_range(on[s], all / 5, all * 3 / 10);
    }
    for (uint32_t window = 0; window < 20; window++) {
        (void)report_load(af, &dir, gas, 1000);
        assert_int_equal(coh_affinity_plan(af, &dir, plan), 0);
    }
    coh_affinity_free(af);
    coh_directory_free(&dir);
}

/* One contract is more than a shard's load: the others leave it, it stays, and nothing goes to and fro. */
static void affinity_leaves_a_hot_account_alone(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    coh_affinity_t *af  = coh_affinity_new(SHARDS);
    uint64_t gas[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        gas[g] = 1000000;
        for (uint32_t i = 0; i < MEMBERS; i++) { /* each is whole, a quarter of them on shard 0 */
            coh_addr_t addr = member(g, i);
            assert_int_equal(coh_directory_pin(&dir, &addr, g % SHARDS), COH_OK);
        }
    }
    gas[0]          = 100000000; /* the others together: 63 million */
    coh_addr_t hot  = member(0, 0);
    size_t move_cnt = 0;
    for (uint32_t window = 0; window < 40; window++) {
        (void)report_load(af, &dir, gas, 1000);
        size_t cnt = coh_affinity_plan(af, &dir, plan);
        for (size_t i = 0; i < cnt; i++) {
            assert_false(coh_addr_eq(&plan[i].addr, &hot));
        }
        assert_true(cnt == 0 || window < 3);
        carry_out(af, &dir, cnt);
        move_cnt += cnt;
    }
    uint64_t on[SHARDS];
    sum_loads(on, &dir, gas);
    assert_int_equal(on[0], gas[0]);
    assert_int_equal(move_cnt, 15 * MEMBERS);
    for (uint32_t s = 1; s < SHARDS; s++) {
        assert_in_range(on[s], 19000000, 23000000);
    }
    assert_int_equal(coh_affinity_figures(af).moves_max, 1);
    coh_affinity_free(af);
    coh_directory_free(&dir);
}

/* A tenth more than its share, or a cluster that has nothing to do, is no reason. */
static void affinity_lets_small_differences_be(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    coh_affinity_t *af  = coh_affinity_new(SHARDS);
    uint64_t even[GROUPS];
    uint64_t idle[GROUPS] = {0};
    for (uint32_t g = 0; g < GROUPS; g++) {
        even[g] = g % SHARDS == 0 ? 1100000 : 1000000;
        for (uint32_t i = 0; i < MEMBERS; i++) {
            coh_addr_t addr = member(g, i);
            assert_int_equal(coh_directory_pin(&dir, &addr, g % SHARDS), COH_OK);
        }
    }
    idle[0] = idle[4] = 50000; /* two groups, both on shard 0 */
    for (uint32_t window = 0; window < 20; window++) {
        (void)report_load(af, &dir, window < 10 ? even : idle, window < 10 ? 1000 : 2);
        assert_int_equal(coh_affinity_plan(af, &dir, plan), 0);
    }
    coh_affinity_free(af);
    coh_directory_free(&dir);
}

static int set_up(void **state)
{
    (void)state;
    coh_rng_seed(&rng, 20261126);
    return 0;
}

static void affinity_plans_less_when_it_was_too_much(void **state)
{
    (void)state;
    coh_directory_t dir = even_directory();
    coh_affinity_t *af  = coh_affinity_new(SHARDS);
    coh_addr_t at       = member(0, 0);
    (void)report_groups(af, 900, false);
    size_t cnt = coh_affinity_plan(af, &dir, plan);
    size_t all = cnt;
    coh_affinity_too_big(af, cnt, &at);
    (void)report_groups(af, 900, false);
    cnt = coh_affinity_plan(af, &dir, plan);
    assert_int_equal(cnt, all / 2);
    coh_affinity_too_big(af, cnt, &at);
    (void)report_groups(af, 900, false);
    cnt = coh_affinity_plan(af, &dir, plan);
    assert_int_equal(cnt, all / 4);
    /* What goes through makes it bolder; in the end all are together. */
    size_t sum = 0;
    for (uint32_t window = 0; cnt != 0; window++) {
        assert_true(window < 5);
        sum += cnt;
        carry_out(af, &dir, cnt);
        (void)report_groups(af, 900, false);
        cnt = coh_affinity_plan(af, &dir, plan);
    }
    assert_in_range(sum, all, all + all / 4);
    check_groups(&dir);
    coh_affinity_free(af);
    coh_directory_free(&dir);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup(affinity_brings_groups_together_and_lets_them_be, set_up),
        cmocka_unit_test_setup(affinity_leaves_in_peace_who_must_not_move, set_up),
        cmocka_unit_test_setup(affinity_plans_less_when_it_was_too_much, set_up),
        cmocka_unit_test_setup(affinity_is_bounded_and_takes_any_report, set_up),
        cmocka_unit_test_setup(affinity_evens_out_load_that_goes_nowhere, set_up),
        cmocka_unit_test_setup(affinity_leaves_a_hot_account_alone, set_up),
        cmocka_unit_test_setup(affinity_lets_small_differences_be, set_up),
    };
    return cmocka_run_group_tests_name("affinity", tests, NULL, NULL);
}
