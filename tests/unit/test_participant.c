/* The shard's side of the commit: every arrow of its diagram, what it refuses, and that late completions of discarded writes do nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shard/participant.h"

static coh_part_action_t settled(coh_participant_t *p,
                                 uint64_t block,
                                 bool changed,
                                 coh_abort_t reason)
{
    coh_part_action_t action;
    assert_int_equal(coh_participant_on_settled(p, block, changed, reason, &action), COH_OK);
    return action;
}

static coh_part_action_t written(coh_participant_t *p, uint64_t block, bool ok)
{
    coh_part_action_t action;
    coh_participant_on_written(p, block, ok, &action);
    return action;
}

static coh_err_t commit(coh_participant_t *p, uint64_t block)
{
    coh_part_action_t action = COH_PART_DO_NOTHING;
    coh_err_t rc             = coh_participant_on_commit(p, block, &action);
    assert_int_equal(action, rc == COH_OK ? COH_PART_DO_APPLY : COH_PART_DO_NOTHING);
    return rc;
}

static void participant_votes_yes_only_after_the_write(void **state)
{
    (void)state;
    coh_participant_t p;
    coh_participant_init(&p, 10);
    assert_int_equal(settled(&p, 11, true, COH_ABORT_NONE), COH_PART_DO_WRITE);
    assert_int_equal(commit(&p, 11), COH_EPROTO); /* no yes of ours yet */
    assert_int_equal(settled(&p, 12, false, COH_ABORT_NONE), COH_PART_DO_VOTE_YES);
    assert_int_equal(commit(&p, 12), COH_EPROTO); /* 11 first */
    assert_int_equal(written(&p, 11, true), COH_PART_DO_VOTE_YES);
    assert_int_equal(written(&p, 11, true), COH_PART_DO_NOTHING);
    assert_int_equal(commit(&p, 11), COH_OK);
    assert_int_equal(commit(&p, 11), COH_EPROTO);
    assert_int_equal(commit(&p, 12), COH_OK);
    assert_int_equal(p.committed, 12);
    assert_int_equal(p.cnt, 0);
}

static void participant_refuses_and_never_commits_what_it_refused(void **state)
{
    (void)state;
    coh_participant_t p;
    coh_participant_init(&p, 0);
    assert_int_equal(settled(&p, 1, true, COH_ABORT_EFFECTS), COH_PART_DO_VOTE_NO);
    assert_int_equal(commit(&p, 1), COH_EPROTO);
    uint32_t discarded;
    assert_int_equal(coh_participant_on_abort(&p, 1, &discarded), COH_OK);
    assert_int_equal(discarded, 1);
    assert_int_equal(settled(&p, 1, true, COH_ABORT_NONE), COH_PART_DO_WRITE);
    assert_int_equal(written(&p, 1, false), COH_PART_DO_VOTE_NO);
    assert_int_equal(commit(&p, 1), COH_EPROTO);
}

static void participant_discards_a_block_and_all_above(void **state)
{
    (void)state;
    coh_participant_t p;
    coh_participant_init(&p, 5);
    for (uint64_t b = 6; b <= 9; b++) {
        assert_int_equal(settled(&p, b, true, COH_ABORT_NONE), COH_PART_DO_WRITE);
    }
    assert_int_equal(written(&p, 6, true), COH_PART_DO_VOTE_YES);
    uint32_t discarded;
    assert_int_equal(coh_participant_on_abort(&p, 7, &discarded), COH_OK);
    assert_int_equal(discarded, 3);
    assert_int_equal(written(&p, 8, true), COH_PART_DO_NOTHING); /* late */
    assert_int_equal(commit(&p, 6), COH_OK);
    assert_int_equal(coh_participant_on_abort(&p, 6, &discarded),
                     COH_EPROTO); /* committed is committed */
    assert_int_equal(coh_participant_on_abort(&p, 9, &discarded),
                     COH_OK); /* it never got that far here */
    assert_int_equal(discarded, 0);
    coh_part_action_t action;
    assert_int_equal(coh_participant_on_settled(&p, 8, true, COH_ABORT_NONE, &action), COH_EPROTO);
    assert_int_equal(settled(&p, 7, true, COH_ABORT_NONE), COH_PART_DO_WRITE);
}

static void participant_bounds_what_is_undecided(void **state)
{
    (void)state;
    coh_participant_t p;
    coh_participant_init(&p, 0);
    for (uint64_t b = 1; b <= COH_PARTICIPANT_WINDOW; b++) {
        assert_int_equal(settled(&p, b, false, COH_ABORT_NONE), COH_PART_DO_VOTE_YES);
    }
    coh_part_action_t action;
    assert_int_equal(
        coh_participant_on_settled(&p, COH_PARTICIPANT_WINDOW + 1, false, COH_ABORT_NONE, &action),
        COH_EPROTO);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(participant_votes_yes_only_after_the_write),
        cmocka_unit_test(participant_refuses_and_never_commits_what_it_refused),
        cmocka_unit_test(participant_discards_a_block_and_all_above),
        cmocka_unit_test(participant_bounds_what_is_undecided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
