/* The coordinator's side of the group commit: the plain path, the order of decisions, aborts; and every interleaving of two shards and two blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/base.h"
#include "coordinator/commit.h"

static coh_commit_actions_t step(coh_commit_t *c,
                                 coh_commit_event_kind_t kind,
                                 uint64_t block,
                                 uint32_t shard)
{
    coh_commit_actions_t out;
    coh_commit_event_t ev = {.kind = kind, .block = block, .shard = shard};
    assert_int_equal(coh_commit_step(c, &out, &ev), COH_OK);
    return out;
}

static void refused(coh_commit_t *c, coh_commit_event_kind_t kind, uint64_t block, uint32_t shard)
{
    coh_commit_actions_t out;
    coh_commit_event_t ev = {.kind = kind, .block = block, .shard = shard};
    assert_int_equal(coh_commit_step(c, &out, &ev), COH_EPROTO);
}

static void expect(coh_commit_actions_t const *out,
                   uint32_t idx,
                   coh_commit_action_kind_t kind,
                   uint64_t block)
{
    assert_true(idx < out->cnt);
    assert_int_equal(out->v[idx].kind, kind);
    assert_int_equal(out->v[idx].block, block);
}

static void commit_decides_in_block_order(void **state)
{
    (void)state;
    coh_commit_t c;
    coh_commit_init(&c, 2, 10);
    assert_int_equal(coh_commit_begin(&c), 11);
    assert_false(coh_commit_may_begin(&c, 4)); /* one executes */
    coh_commit_actions_t out = step(&c, COH_COMMIT_EV_SETTLED, 11, 0);
    expect(&out, 0, COH_COMMIT_DO_PREPARE, 11);
    assert_true(coh_commit_may_begin(&c, 1));
    assert_int_equal(coh_commit_begin(&c), 12);
    (void)step(&c, COH_COMMIT_EV_SETTLED, 12, 0);
    assert_false(coh_commit_may_begin(&c, 1));
    assert_true(coh_commit_may_begin(&c, 2));
    /* Block 12 has all its votes first. */
    assert_int_equal(step(&c, COH_COMMIT_EV_VOTE_YES, 12, 0).cnt, 0);
    assert_int_equal(step(&c, COH_COMMIT_EV_VOTE_YES, 12, 1).cnt, 0);
    assert_int_equal(step(&c, COH_COMMIT_EV_VOTE_YES, 11, 1).cnt, 0);
    refused(&c, COH_COMMIT_EV_VOTE_YES, 11, 1);
    refused(&c, COH_COMMIT_EV_ACK, 11, 1);
    refused(&c, COH_COMMIT_EV_WRITTEN, 11, 0);
    out = step(&c, COH_COMMIT_EV_VOTE_YES, 11, 0);
    assert_int_equal(out.cnt, 1);
    expect(&out, 0, COH_COMMIT_DO_DECIDE, 11);
    out = step(&c, COH_COMMIT_EV_WRITTEN, 11, 0);
    assert_int_equal(out.cnt, 2);
    expect(&out, 0, COH_COMMIT_DO_COMMIT, 11);
    expect(&out, 1, COH_COMMIT_DO_DECIDE, 12);
    (void)step(&c, COH_COMMIT_EV_WRITTEN, 12, 0);
    (void)step(&c, COH_COMMIT_EV_ACK, 11, 0);
    refused(&c, COH_COMMIT_EV_ACK, 11, 0);
    (void)step(&c, COH_COMMIT_EV_ACK, 12, 0);
    out = step(&c, COH_COMMIT_EV_ACK, 11, 1);
    expect(&out, 0, COH_COMMIT_DO_FORGET, 11);
    out = step(&c, COH_COMMIT_EV_ACK, 12, 1);
    expect(&out, 0, COH_COMMIT_DO_FORGET, 12);
    assert_true(coh_commit_is_quiet(&c));
    coh_commit_fini(&c);
}

static void commit_discards_a_refused_block_and_those_above(void **state)
{
    (void)state;
    coh_commit_t c;
    coh_commit_init(&c, 2, 0);
    for (uint64_t b = 1; b <= 3; b++) {
        assert_int_equal(coh_commit_begin(&c), b);
        (void)step(&c, COH_COMMIT_EV_SETTLED, b, 0);
    }
    (void)step(&c, COH_COMMIT_EV_VOTE_YES, 2, 0);
    coh_commit_actions_t out = step(&c, COH_COMMIT_EV_VOTE_NO, 2, 1);
    assert_int_equal(out.cnt, 1);
    expect(&out, 0, COH_COMMIT_DO_ABORT, 2);
    assert_int_equal(c.attempt, 1);
    assert_false(coh_commit_may_begin(&c, 8));
    assert_true(coh_commit_is_stale(&c, 3, 0));
    assert_false(coh_commit_is_stale(&c, 1, 0));
    /* The block below goes on. */
    (void)step(&c, COH_COMMIT_EV_VOTE_YES, 1, 0);
    refused(&c, COH_COMMIT_EV_ACK_ABORT, 1, 0);
    assert_int_equal(step(&c, COH_COMMIT_EV_ACK_ABORT, 2, 0).cnt, 0);
    assert_false(coh_commit_is_stale(&c, 2, 0));
    assert_true(coh_commit_is_stale(&c, 2, 1));
    /* Then it is refused too: the acknowledgements of the first ABORT no longer count. */
    out = step(&c, COH_COMMIT_EV_VOTE_NO, 1, 1);
    expect(&out, 0, COH_COMMIT_DO_ABORT, 1);
    assert_int_equal(c.attempt, 2);
    assert_int_equal(step(&c, COH_COMMIT_EV_ACK_ABORT, 2, 1).cnt, 0);
    assert_int_equal(step(&c, COH_COMMIT_EV_ACK_ABORT, 1, 1).cnt, 0);
    refused(&c, COH_COMMIT_EV_ACK_ABORT, 1, 1);
    out = step(&c, COH_COMMIT_EV_ACK_ABORT, 1, 0);
    expect(&out, 0, COH_COMMIT_DO_RESUME, 1);
    assert_true(coh_commit_may_begin(&c, 1));
    assert_int_equal(coh_commit_begin(&c), 1);
    coh_commit_fini(&c);
}

static void commit_gives_up_an_invalid_block_instead_of_writing(void **state)
{
    (void)state;
    coh_commit_t c;
    coh_commit_init(&c, 1, 0);
    (void)coh_commit_begin(&c);
    refused(&c, COH_COMMIT_EV_INVALID, 1, 0);
    (void)step(&c, COH_COMMIT_EV_SETTLED, 1, 0);
    refused(&c, COH_COMMIT_EV_INVALID, 1, 0);
    (void)step(&c, COH_COMMIT_EV_VOTE_YES, 1, 0);
    coh_commit_actions_t out = step(&c, COH_COMMIT_EV_INVALID, 1, 0);
    expect(&out, 0, COH_COMMIT_DO_ABORT, 1);
    refused(&c, COH_COMMIT_EV_WRITTEN, 1, 0);
    coh_commit_fini(&c);
}

/* Every interleaving of two blocks' votes on two shards, with at most one no, the decision writes and the acknowledgements. Each shard speaks in its own order
   (its lane), and only of what it was told. Checked at each step: a decision is written before COMMIT, in order, with all votes yes; nothing is
   both committed and aborted. A run is replayed from its choices, because the machine is not copied. */
#define SH  2u
#define BLK 2u

typedef struct {
    bool committed[BLK + 1];
    bool aborted[BLK + 1];
    bool writing[BLK + 1];
    bool prepared[BLK + 1];
    uint32_t voted[SH]; /* votes of each shard so far */
    bool said_no[SH];
    uint32_t acked[SH];
    bool abort_acked[SH];
    uint64_t abort_from;
    bool resumed;
} tiny_t;

static void note(tiny_t *t, coh_commit_actions_t const *out)
{
    for (uint32_t i = 0; i < out->cnt; i++) {
        uint64_t b = out->v[i].block;
        switch (out->v[i].kind) {
        case COH_COMMIT_DO_PREPARE: t->prepared[b] = true; break;
        case COH_COMMIT_DO_DECIDE:
            assert_true(b == 1 || t->committed[b - 1]);
            for (uint32_t s = 0; s < SH; s++) {
                assert_true(t->voted[s] >= b);
            }
            t->writing[b] = true;
            break;
        case COH_COMMIT_DO_COMMIT:
            assert_true(t->writing[b] && !t->aborted[b]);
            assert_true(b == 1 || t->committed[b - 1]);
            t->committed[b] = true;
            break;
        case COH_COMMIT_DO_ABORT:
            for (uint64_t n = b; n <= BLK; n++) {
                assert_false(t->committed[n]);
                assert_false(t->writing[n]);
                t->aborted[n] = true;
            }
            t->abort_from = b;
            break;
        case COH_COMMIT_DO_RESUME: t->resumed = true; break;
        case COH_COMMIT_DO_FORGET: assert_int_equal(t->acked[0] >= b && t->acked[1] >= b, 1); break;
        }
    }
}

/* The events that may come next; returns how many. */
static uint32_t possible(tiny_t const *t,
                         coh_commit_event_t ev[8],
                         uint32_t no_shard,
                         uint64_t no_block)
{
    uint32_t cnt = 0;
    for (uint64_t b = 1; b <= BLK; b++) {
        if (t->writing[b] && !t->committed[b]) {
            ev[cnt++] = (coh_commit_event_t){.kind = COH_COMMIT_EV_WRITTEN, .block = b};
        }
    }
    for (uint32_t s = 0; s < SH; s++) {
        uint64_t b = t->voted[s] + 1;
        if (b <= BLK && t->prepared[b] && !t->aborted[b] && !t->said_no[s]) {
            bool no = s == no_shard && b == no_block;
            ev[cnt++] =
                (coh_commit_event_t){.kind  = no ? COH_COMMIT_EV_VOTE_NO : COH_COMMIT_EV_VOTE_YES,
                                     .block = b,
                                     .shard = s};
        }
        if (t->acked[s] < BLK && t->committed[t->acked[s] + 1]) {
            ev[cnt++] = (coh_commit_event_t){
                .kind = COH_COMMIT_EV_ACK, .block = t->acked[s] + 1, .shard = s};
        }
        if (t->abort_from != 0 && !t->abort_acked[s]) {
            ev[cnt++] = (coh_commit_event_t){
                .kind = COH_COMMIT_EV_ACK_ABORT, .block = t->abort_from, .shard = s};
        }
    }
    return cnt;
}

/* Runs one path; choices[i] picks the i-th event. Returns the path's length, and how many choices there were at each step. */
static uint32_t run_path(uint8_t const *choices,
                         uint8_t *widths,
                         uint32_t no_shard,
                         uint64_t no_block)
{
    coh_commit_t c;
    tiny_t t = {0};
    coh_commit_init(&c, SH, 0);
    for (uint64_t b = 1; b <= BLK; b++) {
        (void)coh_commit_begin(&c);
        coh_commit_actions_t out = step(&c, COH_COMMIT_EV_SETTLED, b, 0);
        note(&t, &out);
    }
    uint32_t len = 0;
    for (;;) {
        coh_commit_event_t ev[8];
        uint32_t cnt = possible(&t, ev, no_shard, no_block);
        if (cnt == 0) {
            break;
        }
        widths[len]              = (uint8_t)cnt;
        coh_commit_event_t *e    = &ev[choices[len++]];
        coh_commit_actions_t out = {0};
        if (e->kind == COH_COMMIT_EV_VOTE_YES || e->kind == COH_COMMIT_EV_VOTE_NO) {
            t.voted[e->shard] += e->kind == COH_COMMIT_EV_VOTE_YES;
            t.said_no[e->shard] |= e->kind == COH_COMMIT_EV_VOTE_NO;
        } else if (e->kind == COH_COMMIT_EV_ACK) {
            t.acked[e->shard]++;
        } else if (e->kind == COH_COMMIT_EV_ACK_ABORT) {
            t.abort_acked[e->shard] = true;
        }
        out = step(&c, e->kind, e->block, e->shard);
        note(&t, &out);
    }
    /* In the end: all below the refused block is committed, the rest discarded, and blocks may begin again. */
    uint64_t expected = no_block == 0 ? BLK : no_block - 1;
    for (uint64_t b = 1; b <= BLK; b++) {
        assert_int_equal(t.committed[b], b <= expected);
        assert_int_equal(t.aborted[b], b > expected);
    }
    assert_int_equal(t.resumed, no_block != 0);
    assert_true(coh_commit_is_quiet(&c));
    assert_int_equal(c.next, expected + 1);
    coh_commit_fini(&c);
    return len;
}

static void commit_holds_in_every_interleaving(void **state)
{
    (void)state;
    uint64_t paths = 0;
    for (uint64_t no_block = 0; no_block <= BLK; no_block++) {
        for (uint32_t no_shard = 0; no_shard < (no_block == 0 ? 1 : SH); no_shard++) {
            uint8_t choices[32] = {0};
            uint8_t widths[32]  = {0};
            for (;;) {
                uint32_t len = run_path(choices, widths, no_shard, no_block);
                paths++;
                /* The next path: the last step that has another choice takes it. */
                while (len > 0 && choices[len - 1] + 1 == widths[len - 1]) {
                    choices[--len] = 0;
                }
                if (len == 0) {
                    break;
                }
                choices[len - 1]++;
            }
        }
    }
    assert_true(paths > 100);
    print_message("%lu paths\n", (unsigned long)paths);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(commit_decides_in_block_order),
        cmocka_unit_test(commit_discards_a_refused_block_and_those_above),
        cmocka_unit_test(commit_gives_up_an_invalid_block_instead_of_writing),
        cmocka_unit_test(commit_holds_in_every_interleaving),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
