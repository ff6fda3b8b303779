/* links: coh_runtime */
/* The folders of all ranks change places: whole, and when it was interrupted between any two steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "deploy/cohort/datadir.h"
#include "deploy/cohort/files.h"
#include "deploy/cohort/swap.h"

static char dir[64];

COH_PRINTF(1, 2) static void sh(char const *fmt, ...)
{
    char command[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

static void fresh_dir(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/cohort-swap.XXXXXX");
    assert_non_null(mkdtemp(dir));
}

/* Folders rank-0.. below dir, each with a file that says whose it is. */
static void make_ranks(char const *below, uint32_t cnt, char const *who)
{
    for (uint32_t rank = 0; rank < cnt; rank++) {
        sh("mkdir -p '%s/%srank-%u' && echo %s %u > '%s/%srank-%u/who'",
           dir,
           below,
           rank,
           who,
           rank,
           dir,
           below,
           rank);
    }
}

static void expect_ranks(char const *below, uint32_t cnt, char const *who)
{
    for (uint32_t rank = 0; rank < cnt; rank++) {
        sh("test \"$(cat '%s/%srank-%u/who')\" = '%s %u'", dir, below, rank, who, rank);
    }
    sh("test ! -e '%s/%srank-%u'", dir, below, cnt);
}

static void expect_swapped(uint32_t old_cnt, uint32_t new_cnt)
{
    expect_ranks("", new_cnt, "new");
    expect_ranks("previous/", old_cnt, "old");
    sh("test ! -e '%s/next' && test ! -e '%s/swap'", dir, dir);
    assert_false(coh_swap_is_pending(dir));
}

static void swap_replaces_all_folders(void **state)
{
    (void)state;
    for (uint32_t old_cnt = 0; old_cnt <= 4; old_cnt += 2) {
        for (uint32_t new_cnt = 1; new_cnt <= 5; new_cnt += 2) {
            coh_buf_t text = COH_BUF_INIT;
            fresh_dir();
            make_ranks("", old_cnt, "old");
            make_ranks("previous/", 7, "older");
            sh("mkdir '%s/next' && touch '%s/next/left'", dir, dir);
            assert_int_equal(coh_swap_begin(dir, &text), COH_OK);
            sh("test ! -e '%s/next/left'", dir);
            make_ranks("next/", new_cnt, "new");
            assert_int_equal(coh_swap_commit(dir, new_cnt, &text), COH_OK);
            expect_swapped(old_cnt, new_cnt);
            sh("rm -r '%s'", dir);
            coh_buf_free(&text);
        }
    }
}

/* Steps in the order in which commit does them, done here up to each of them. */
static void swap_is_completed_from_anywhere(void **state)
{
    (void)state;
    for (uint32_t old_cnt = 1; old_cnt <= 3; old_cnt++) {
        for (uint32_t new_cnt = 1; new_cnt <= 3; new_cnt++) {
            uint32_t shared   = COH_MIN(old_cnt, new_cnt);
            uint32_t step_cnt = new_cnt + shared + (old_cnt - shared);
            for (uint32_t done = 0; done <= step_cnt; done++) {
                coh_buf_t text = COH_BUF_INIT;
                fresh_dir();
                make_ranks("", old_cnt, "old");
                make_ranks("next/", new_cnt, "new");
                sh("mkdir '%s/previous' && echo 'cohort swap 1, ranks %u' > '%s/swap'",
                   dir,
                   new_cnt,
                   dir);
                uint32_t step = 0;
                for (uint32_t rank = 0; rank < COH_MAX(old_cnt, new_cnt); rank++) {
                    if (rank < old_cnt && step++ < done) {
                        sh("cd '%s' && mv rank-%u previous/", dir, rank);
                    }
                    if (rank < new_cnt && step++ < done) {
                        sh("cd '%s' && mv next/rank-%u .", dir, rank);
                    }
                }
                if (done == step_cnt) {
                    sh("rm -r '%s/next'", dir);
                }
                coh_datadir_t *dd;
                assert_true(coh_swap_is_pending(dir));
                assert_int_equal(coh_datadir_open(&dd, dir, 0, 2, &text), COH_EMISMATCH);
                coh_buf_clear(&text);
                assert_int_equal(coh_swap_finish(dir, &text), COH_OK);
                expect_swapped(old_cnt, new_cnt);
                sh("rm -r '%s'", dir);
                coh_buf_free(&text);
            }
        }
    }
}

static void swap_does_not_guess(void **state)
{
    (void)state;
    coh_buf_t text = COH_BUF_INIT;
    fresh_dir();
    make_ranks("", 2, "old");
    make_ranks("next/", 2, "new");
    sh("mkdir '%s/previous' && echo 'cohort swap 2' > '%s/swap'", dir, dir);
    assert_int_equal(coh_swap_finish(dir, &text), COH_EMISMATCH);
    expect_ranks("", 2, "old");
    expect_ranks("next/", 2, "new");
    sh("rm -r '%s'", dir);
    coh_buf_free(&text);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(swap_replaces_all_folders),
        cmocka_unit_test(swap_is_completed_from_anywhere),
        cmocka_unit_test(swap_does_not_guess),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
