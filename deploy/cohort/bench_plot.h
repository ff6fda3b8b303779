/* bench_plot.h: a page of line plots as SVG, without anything to install: for what a sweep of `cohort bench blocks` found. */
#ifndef COH_BENCH_PLOT_H
#define COH_BENCH_PLOT_H

#include "common/base/buf.h"

/* One panel: lines over the same places on the x axis. */
typedef struct {
    char const *title;
    char const *x_title;
    char const *const *x_names; /* x_cnt places, evenly apart */
    size_t x_cnt;
    char const *const *line_names; /* line_cnt; the legend */
    size_t line_cnt;
    double const *values; /* line by line, x_cnt each; NAN: nothing there */
} coh_bench_panel_t;

/* coh_bench_plot appends the document: panels in rows of columns, one legend for each. Borrowed. */
void coh_bench_plot(coh_buf_t *out,
                    char const *title,
                    coh_bench_panel_t const *panels,
                    size_t panel_cnt,
                    size_t columns);

#endif
