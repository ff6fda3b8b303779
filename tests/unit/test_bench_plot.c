/* Plots: one line, one circle for each value that is there, and one entry of the legend for each line; axes end at a round number above the highest value; text is safe in XML. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "deploy/cohort/bench_plot.h"

static size_t count(char const *text, char const *what)
{
    size_t cnt = 0;
    for (char const *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        cnt++;
    }
    return cnt;
}

static void plot_shows_every_value_once(void **state)
{
    (void)state;
    char const *const places[]       = {"0", "30", "100"};
    char const *const lines[]        = {"a & b", "c <d>"};
    double const values[]            = {1, 2, 33, NAN, 4, 0};
    coh_bench_panel_t const panels[] = {{.title      = "first",
                                         .x_title    = "cross",
                                         .x_names    = places,
                                         .x_cnt      = 3,
                                         .line_names = lines,
                                         .line_cnt   = 2,
                                         .values     = values},
                                        {.title      = "second",
                                         .x_title    = "cross",
                                         .x_names    = places,
                                         .x_cnt      = 1,
                                         .line_names = lines,
                                         .line_cnt   = 1,
                                         .values     = values}};
    coh_buf_t out                    = COH_BUF_INIT;
    coh_bench_plot(&out, "title", panels, 2, 1);
    coh_buf_put_u8(&out, 0);
    char const *svg = (char const *)out.p;
    assert_int_equal(count(svg, "<svg "), 1);
    assert_int_equal(count(svg, "</svg>"), 1);
    assert_int_equal(count(svg, "<g"), count(svg, "</g>"));
    assert_int_equal(count(svg, "<polyline "), 3);
    assert_int_equal(count(svg, "<circle "), 6);
    assert_int_equal(count(svg, "a &amp; b"), 2);
    assert_int_equal(count(svg, "c &lt;d&gt;"), 1);
    assert_int_equal(count(svg, "nan"), 0);
    /* 33 is below 50, whose quarters are on the axis; 50 is at the top of the body, at y 40 of 40..240, so 33 is at 240 - 200 * 33 / 50 */
    assert_int_equal(count(svg, ">50</text>"), 1);
    assert_int_equal(count(svg, ">37.5</text>"), 1);
    assert_int_equal(count(svg, "cy=\"108.0\""), 1);
    coh_buf_free(&out);
}

int main(void)
{
    struct CMUnitTest const tests[] = {cmocka_unit_test(plot_shows_every_value_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
