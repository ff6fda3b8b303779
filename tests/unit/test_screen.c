/* links: coh_screen */
#include "deploy/cohort/screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROWS 6
#define COLS 24

/* A terminal that knows what the screen uses, row by row; where the cursor is below the last row, it has scrolled. */
typedef struct {
    char cell[ROWS][COLS + 1];
    unsigned row, column;
    bool full; /* the last column was written: the next character would wrap */
} terminal_t;

static void write_to(terminal_t *t, coh_buf_t const *out)
{
    for (size_t i = 0; i < out->n; i++) {
        char c           = (char)out->p[i];
        char const *rest = (char const *)out->p + i;
        if (c == '\033') {
            size_t left = out->n - i;
            if (left >= 3 && memcmp(rest, "\033[H", 3) == 0) {
                t->row = t->column = 0;
                t->full            = false;
            } else if (left >= 3 && memcmp(rest, "\033[K", 3) == 0) {
                memset(&t->cell[t->row][t->column], '.', COLS - t->column);
            } else if (left >= 3 && memcmp(rest, "\033[J", 3) == 0) {
                for (unsigned r = t->row + 1; r < ROWS; r++) {
                    memset(t->cell[r], '.', COLS);
                }
            } else {
                fail_msg("a sequence that is not known");
            }
            i += 2;
        } else if (c == '\r') {
            t->column = 0;
            t->full   = false;
        } else if (c == '\n') {
            t->row++;
            assert_true(t->row < ROWS);
        } else {
            assert_false(t->full);
            t->cell[t->row][t->column] = c;
            t->full                    = t->column == COLS - 1;
            t->column += t->full ? 0 : 1;
        }
    }
}

static terminal_t fresh(void)
{
    terminal_t t = {0};
    for (unsigned r = 0; r < ROWS; r++) {
        memset(t.cell[r], '#', COLS);
    }
    return t;
}

static void show(terminal_t *t, char const *text)
{
    coh_buf_t out = COH_BUF_INIT;
    coh_screen_fit(&out, coh_bytes(text, strlen(text)), ROWS, COLS);
    write_to(t, &out);
    coh_buf_free(&out);
}

static void assert_row(terminal_t const *t, unsigned row, char const *text)
{
    char expected[COLS + 1];
    memset(expected, '.', COLS);
    expected[COLS] = '\0';
    memcpy(expected, text, strlen(text));
    assert_string_equal(t->cell[row], expected);
}

/* Nothing of what was there before is left. */
static void screen_writes_over(void **state)
{
    (void)state;
    terminal_t t = fresh();
    show(&t, "one\n\nthree\n");
    assert_row(&t, 0, "one");
    assert_row(&t, 1, "");
    assert_row(&t, 2, "three");
    assert_row(&t, 3, "");
    show(&t, "1\n");
    assert_row(&t, 0, "1");
    for (unsigned r = 1; r < ROWS; r++) {
        assert_row(&t, r, "");
    }
}

static void screen_cuts_lines(void **state)
{
    (void)state;
    terminal_t t = fresh();
    show(&t, "123456789012345678901234\n1234567890123456789012345\n12345678901234567890123\n");
    assert_row(&t, 0, "123456789012345678901234");
    assert_row(&t, 1, "123456789012345678901234");
    assert_row(&t, 2, "12345678901234567890123");
}

static void screen_says_what_is_missing(void **state)
{
    (void)state;
    terminal_t t = fresh();
    show(&t, "1\n2\n3\n4\n5\n6\n");
    assert_row(&t, 5, "6");
    show(&t, "1\n2\n3\n4\n5\n6\n7\n8\n");
    assert_row(&t, 4, "5");
    assert_row(&t, 5, "... and 3 lines more");
}

static void screen_without_a_size_is_uncut(void **state)
{
    (void)state;
    coh_buf_t out = COH_BUF_INIT;
    coh_screen_fit(&out, coh_bytes("a\nb\n", 4), 0, 0);
    coh_buf_put_u8(&out, 0);
    assert_string_equal((char const *)out.p, "\033[Ha\033[K\r\nb\033[K\033[J");
    coh_buf_free(&out);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(screen_writes_over),
        cmocka_unit_test(screen_cuts_lines),
        cmocka_unit_test(screen_says_what_is_missing),
        cmocka_unit_test(screen_without_a_size_is_uncut),
    };
    return cmocka_run_group_tests_name("screen", tests, NULL, NULL);
}
