#include "deploy/cohort/bench_plot.h"

#include <math.h>
#include <stdio.h>

/* Pixels. */
#define PANEL_W  520
#define LEFT     60
#define RIGHT    20
#define TOP      40
#define BODY_H   200
#define BOTTOM   40
#define LEGEND_H 14
#define TITLE_H  40

static char const *const colours[] =
    {"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"};

/* What may stand between tags (XML 1.0, 2.4). */
static void put_text(coh_buf_t *out, char const *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<': coh_buf_printf(out, "&lt;"); break;
        case '>': coh_buf_printf(out, "&gt;"); break;
        case '&': coh_buf_printf(out, "&amp;"); break;
        default: coh_buf_put_u8(out, (uint8_t)*text); break;
        }
    }
}

static void put_label(coh_buf_t *out, double x, double y, char const *anchor, char const *text)
{
    coh_buf_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    put_text(out, text);
    coh_buf_printf(out, "</text>\n");
}

static size_t panel_height(coh_bench_panel_t const *p)
{
    return TOP + BODY_H + BOTTOM + LEGEND_H * (p->line_cnt + 1);
}

/* A round number not below v: 1, 2 or 5 times a power of ten. */
static double round_up(double v)
{
    double unit = pow(10, floor(log10(v)));
    double m    = v / unit;
    return unit * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static double top_of(coh_bench_panel_t const *p)
{
    double top = 0;
    for (size_t i = 0; i < p->line_cnt * p->x_cnt; i++) {
        top = isnan(p->values[i]) || p->values[i] < top ? top : p->values[i];
    }
    return top > 0 ? round_up(top) : 1;
}

static double place(coh_bench_panel_t const *p, size_t i)
{
    double step = (double)(PANEL_W - LEFT - RIGHT) / (double)p->x_cnt;
    return LEFT + step * ((double)i + 0.5);
}

static void put_axes(coh_buf_t *out, coh_bench_panel_t const *p, double top)
{
    enum { TICKS = 4 };
    coh_buf_printf(out, "<g font-weight=\"bold\">\n");
    put_label(out, LEFT, TOP - 15, "start", p->title);
    coh_buf_printf(out, "</g>\n");
    for (int t = 0; t <= TICKS; t++) {
        char text[32];
        double y = TOP + BODY_H - (double)BODY_H * t / TICKS;
        (void)snprintf(text, sizeof(text), "%.4g", top * t / TICKS);
        coh_buf_printf(out,
                       "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
                       LEFT,
                       y,
                       PANEL_W - RIGHT,
                       y);
        put_label(out, LEFT - 6, y + 4, "end", text);
    }
    for (size_t i = 0; i < p->x_cnt; i++) {
        put_label(out, place(p, i), TOP + BODY_H + 16, "middle", p->x_names[i]);
    }
    put_label(out, (LEFT + PANEL_W - RIGHT) / 2.0, TOP + BODY_H + 32, "middle", p->x_title);
}

static void put_line(coh_buf_t *out, coh_bench_panel_t const *p, size_t line, double top)
{
    char const *colour   = colours[line % COH_CNT(colours)];
    char const *dashes   = line / COH_CNT(colours) % 2 == 0 ? "none" : "4 3";
    double const *values = p->values + line * p->x_cnt;
    coh_buf_printf(out,
                   "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" "
                   "stroke-dasharray=\"%s\" points=\"",
                   colour,
                   dashes);
    for (size_t i = 0; i < p->x_cnt; i++) {
        if (!isnan(values[i])) {
            coh_buf_printf(out, "%.1f,%.1f ", place(p, i), TOP + BODY_H - BODY_H * values[i] / top);
        }
    }
    coh_buf_printf(out, "\"/>\n");
    for (size_t i = 0; i < p->x_cnt; i++) {
        if (!isnan(values[i])) {
            coh_buf_printf(out,
                           "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                           place(p, i),
                           TOP + BODY_H - BODY_H * values[i] / top,
                           colour);
        }
    }
    double y = TOP + BODY_H + BOTTOM + LEGEND_H * ((double)line + 1);
    coh_buf_printf(out,
                   "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke-width=\"2\" "
                   "stroke=\"%s\" stroke-dasharray=\"%s\"/>\n",
                   LEFT,
                   y - 4,
                   LEFT + 24,
                   y - 4,
                   colour,
                   dashes);
    put_label(out, LEFT + 30, y, "start", p->line_names[line]);
}

void coh_bench_plot(coh_buf_t *out,
                    char const *title,
                    coh_bench_panel_t const *panels,
                    size_t panel_cnt,
                    size_t columns)
{
    size_t height = 0;
    for (size_t i = 0; i < panel_cnt; i++) {
        height = COH_MAX(height, panel_height(&panels[i]));
    }
    size_t rows = (panel_cnt + columns - 1) / columns;
    coh_buf_printf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%zu\" "
        "font-family=\"sans-serif\" font-size=\"11\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<g font-size=\"15\">\n",
        columns * PANEL_W,
        TITLE_H + rows * height);
    put_label(out, LEFT, TITLE_H - 14, "start", title);
    coh_buf_printf(out, "</g>\n");
    for (size_t i = 0; i < panel_cnt; i++) {
        double top = top_of(&panels[i]);
        coh_buf_printf(out,
                       "<g transform=\"translate(%zu %zu)\">\n",
                       i % columns * PANEL_W,
                       TITLE_H + i / columns * height);
        put_axes(out, &panels[i], top);
        for (size_t line = 0; line < panels[i].line_cnt; line++) {
            put_line(out, &panels[i], line, top);
        }
        coh_buf_printf(out, "</g>\n");
    }
    coh_buf_printf(out, "</svg>\n");
}
