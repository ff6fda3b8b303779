/* The coordinator's side of moves: each arrow of the diagram, what it asks for, and what it must refuse. The shards' side runs in the simulator and in test_serial_contracts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/moves.h"

enum { SHARDS = 3 };

typedef struct {
    coh_co_moves_t m;
    coh_directory_t dir;
    coh_override_t wanted[2];
} world_t;

static world_t world;

/* Account 1 is at shard 0 by its bucket, and account 2 by an override at shard 2. */
static int set_up(void **state)
{
    (void)state;
    world                      = (world_t){.dir = {.epoch = 5, .shard_cnt = SHARDS}};
    world.wanted[0].addr.b[19] = 1;
    world.wanted[0].shard      = 1;
    world.wanted[1].addr.b[19] = 2;
    world.wanted[1].shard      = 0;
    assert_int_equal(coh_directory_pin(&world.dir, &world.wanted[1].addr, 2), COH_OK);
    coh_co_moves_init(&world.m, SHARDS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    coh_co_moves_fini(&world.m);
    coh_directory_free(&world.dir);
    return 0;
}

static coh_err_t vote(uint32_t shard, uint64_t round, coh_move_word_t word, bool *all)
{
    coh_msg_move_vote_t msg = {.round = round, .word = word, .addr.b = {[19] = 9}};
    return coh_co_moves_vote(&world.m, shard, &msg, all);
}

static coh_err_t moved(uint32_t shard, uint64_t round, bool *all)
{
    return coh_co_moves_moved(&world.m, shard, &(coh_msg_moved_t){.round = round}, all);
}

static void moves_are_decided_by_the_last_yes(void **state)
{
    (void)state;
    bool all;
    coh_co_moves_t *m = &world.m;
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 2), COH_OK);
    assert_int_equal(m->state, COH_MOVES_DRAINING);
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 2), COH_EBUSY);
    assert_int_equal(m->cnt, 2);
    assert_int_equal(m->v[0].from, 0);
    assert_int_equal(m->v[0].to, 1);
    assert_int_equal(m->v[1].from, 2);
    assert_int_equal(m->v[1].to, 0);
    assert_int_equal(m->next.epoch, 6);
    assert_int_equal(m->next.override_cnt, 1); /* one came, one went home */
    assert_int_equal(world.dir.override_cnt, 1);
    assert_int_equal(coh_directory_override(&world.dir, &world.wanted[1].addr)->shard, 2);
    assert_int_equal(vote(0, 1, COH_MOVE_YES, &all), COH_EPROTO);
    coh_co_moves_begin(m);
    assert_int_equal(m->round, 1);
    assert_int_equal(vote(0, 1, COH_MOVE_YES, &all), COH_OK);
    assert_false(all);
    assert_int_equal(vote(0, 1, COH_MOVE_YES, &all), COH_EPROTO);
    assert_int_equal(vote(1, 2, COH_MOVE_YES, &all), COH_EPROTO);
    assert_int_equal(vote(1, 1, COH_MOVE_WORD_CNT, &all), COH_EPROTO);
    assert_int_equal(vote(2, 1, COH_MOVE_YES, &all), COH_OK);
    assert_false(all);
    assert_int_equal(moved(0, 1, &all), COH_EPROTO);
    assert_int_equal(vote(1, 1, COH_MOVE_YES, &all), COH_OK);
    assert_true(all && m->commits);
    assert_int_equal(m->state, COH_MOVES_DECIDING);
    assert_int_equal(moved(0, 1, &all), COH_EPROTO);
    coh_co_moves_end(m);
    assert_int_equal(vote(1, 1, COH_MOVE_YES, &all), COH_EPROTO);
    for (uint32_t s = 0; s < SHARDS; s++) {
        assert_int_equal(moved(s, 1, &all), COH_OK);
        assert_int_equal(all, s == SHARDS - 1);
    }
    assert_int_equal(m->state, COH_MOVES_NONE);
    assert_int_equal(m->word, COH_MOVE_YES);
}

static void moves_end_with_the_first_no(void **state)
{
    (void)state;
    bool all;
    coh_co_moves_t *m = &world.m;
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 1), COH_OK);
    coh_co_moves_begin(m);
    assert_int_equal(vote(1, 1, COH_MOVE_TOO_BIG, &all), COH_OK);
    assert_true(all);
    assert_false(m->commits);
    coh_co_moves_end(m);
    /* Another one spoke before it heard. */
    assert_int_equal(vote(0, 1, COH_MOVE_YES, &all), COH_OK);
    assert_false(all);
    for (uint32_t s = 0; s < SHARDS; s++) {
        assert_int_equal(moved(s, 1, &all), COH_OK);
    }
    assert_true(all);
    assert_int_equal(m->state, COH_MOVES_NONE);
    assert_int_equal(m->word, COH_MOVE_TOO_BIG);
    assert_int_equal(m->about.b[19], 9);
    assert_int_equal(moved(0, 1, &all), COH_EPROTO);
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 1), COH_OK);
    coh_co_moves_begin(m);
    assert_int_equal(m->round, 2);
}

static void moves_that_cannot_be_are_not_begun(void **state)
{
    (void)state;
    coh_co_moves_t *m     = &world.m;
    world.wanted[0].shard = 0;
    world.wanted[1].shard = 2;
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 2), COH_ENOTFOUND);
    world.wanted[1].shard = 3;
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 2), COH_EINVAL);
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 65537), COH_ETOOBIG);
    assert_int_equal(m->state, COH_MOVES_NONE);
    assert_null(m->v);
    world.wanted[1].shard = 1;
    assert_int_equal(coh_co_moves_want(m, &world.dir, world.wanted, 2), COH_OK);
    assert_int_equal(m->cnt, 1);
    coh_co_moves_cancel(m);
    assert_int_equal(m->state, COH_MOVES_NONE);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test_setup_teardown(moves_are_decided_by_the_last_yes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moves_end_with_the_first_no, set_up, tear_down),
        cmocka_unit_test_setup_teardown(moves_that_cannot_be_are_not_begun, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
