/* Blocks through clusters in this process: a grid of work and layouts, each run held against sequential execution. */
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/bench.h"
#include "deploy/cohort/bench_plot.h"
#include "deploy/cohort/bench_run.h"
#include "deploy/cohort/bench_text.h"
#include "deploy/cohort/report_text.h"

/* Transactions of a block, and accounts, of works that leave it open. */
#define USUAL_CNT 2000u
/* Of the names of places and lines in a plot. */
#define CELL_SZ 128
#define LINE_SZ (6 * CELL_SZ)

/* The axes of the grid. */
enum { WORK, SKEW, CROSS, SHARDS, THREADS, SCHEDULER, DELAY, AXIS_CNT };

static char const *const axis_names[AXIS_CNT] =
    {"work", "skew", "cross", "shards", "threads", "scheduler", "delay_us"};

/* What one layout came to. */
typedef struct {
    char cells[AXIS_CNT][CELL_SZ];
    coh_bench_figures_t f;
    double speedup;
} row_t;

typedef struct {
    coh_bench_blocks_options_t const *options;
    row_t *rows;
    size_t row_cnt, row_cap;
    bool is_headed; /* the table has its first line */
} sweep_t;

/* What is measured, by its column. */
static struct {
    char const *name;
    char const *about; /* of a plot */
} const columns[] = {
    {"tx_s", NULL},
    {"mgas_s", NULL},
    {"core_us_tx", NULL},
    {"execute_us_tx", NULL},
    {"incarnations_tx", NULL},
    {"retractions_tx", "retractions per transaction"},
    {"held_tx", NULL},
    {"parked_tx", NULL},
    {"messages_tx", "messages per transaction"},
    {"reads_tx", NULL},
    {"trips_tx", NULL},
    {"across_tx", "share of transactions that use several shards"},
    {"moves", NULL},
    {"busiest", NULL},
    {"reverted", NULL},
    {"speedup", "times faster than sequential on one shard"},
    {"txs", NULL},
    {"gas", NULL},
    {"wall_us", NULL},
};

static void measure(double out[COH_CNT(columns)], row_t const *row)
{
    coh_bench_figures_t const *f = &row->f;
    double tx                    = (double)COH_MAX(f->tx_cnt, 1);
    double us                    = (double)COH_MAX(f->wall_us, 1);
    double const values[]        = {tx * 1e6 / us,
                                    (double)f->gas_used / us,
                                    (double)f->cpu_ns / 1e3 / tx,
                                    (double)f->execute_ns / 1e3 / tx,
                                    (double)f->incarnations / tx,
                                    (double)f->retractions / tx,
                                    (double)f->held / tx,
                                    (double)f->parked / tx,
                                    (double)f->messages / tx,
                                    (double)f->reads / tx,
                                    (double)f->round_trips / tx,
                                    (double)f->across / tx,
                                    (double)f->moves,
                                    f->busiest,
                                    (double)f->reverted,
                                    row->speedup,
                                    (double)f->tx_cnt,
                                    (double)f->gas_used,
                                    (double)f->wall_us};
    _Static_assert(COH_CNT(values) == COH_CNT(columns), "a value for each column");
    memcpy(out, values, sizeof(values));
}

/* ---- output ---- */

static void print_row(sweep_t *s, row_t const *row)
{
    double v[COH_CNT(columns)];
    measure(v, row);
    if (s->options->json) {
        coh_buf_t names = COH_BUF_INIT;
        for (int a = 0; a < AXIS_CNT; a++) {
            coh_report_json_member(&names, axis_names[a], row->cells[a]);
        }
        (void)printf("{%.*s", (int)names.n, (char const *)names.p);
        coh_buf_free(&names);
        for (size_t i = 0; i < COH_CNT(columns); i++) {
            (void)printf(
                "\"%s\":%.10g%s", columns[i].name, v[i], i + 1 < COH_CNT(columns) ? "," : "");
        }
        (void)printf("}\n");
    } else {
        if (!s->is_headed) {
            (void)printf("%-15s %-9s %5s %6s %7s %-10s %8s %9s %8s %9s %9s %7s %8s %6s %7s %6s %6s "
                         "%7s %6s %7s %8s\n",
                         "work",
                         "skew",
                         "cross",
                         "shards",
                         "threads",
                         "scheduler",
                         "delay us",
                         "tx/s",
                         "Mgas/s",
                         "core us",
                         "exec us",
                         "incarn.",
                         "retract.",
                         "held",
                         "messag.",
                         "reads",
                         "trips",
                         "across",
                         "moves",
                         "busiest",
                         "speed-up");
            s->is_headed = true;
        }
        char tx_s[COH_BENCH_GROUP_SZ];
        (void)printf("%-15s %-9s %5s %6s %7s %-10s %8s %9s %8.0f %9.2f %9.2f %7.3f %8.3f %6.2f "
                     "%7.2f %6.2f %6.2f %7.3f %6.0f %7.2f %8.2f\n",
                     row->cells[WORK],
                     row->cells[SKEW],
                     row->cells[CROSS],
                     row->cells[SHARDS],
                     row->cells[THREADS],
                     row->cells[SCHEDULER],
                     row->cells[DELAY],
                     coh_bench_group(tx_s, (uint64_t)v[0]),
                     v[1],
                     v[2],
                     v[3],
                     v[4],
                     v[5],
                     v[6],
                     v[8],
                     v[9],
                     v[10],
                     v[11],
                     v[12],
                     v[13],
                     v[15]);
    }
    (void)fflush(stdout);
}

static bool write_file(char const *prefix, char const *suffix, coh_buf_t const *text)
{
    coh_buf_t path = COH_BUF_INIT;
    coh_buf_printf(&path, "%s%s", prefix, suffix);
    coh_buf_put_u8(&path, 0);
    FILE *file = fopen((char const *)path.p, "w");
    bool ok    = file != NULL && fwrite(text->p, 1, text->n, file) == text->n;
    ok         = (file != NULL && fclose(file) == 0) && ok;
    if (!ok) {
        (void)fprintf(stderr, "cohort bench: cannot write %s\n", (char const *)path.p);
    }
    coh_buf_free(&path);
    return ok;
}

static void put_csv(coh_buf_t *out, sweep_t const *s)
{
    for (int a = 0; a < AXIS_CNT; a++) {
        coh_buf_printf(out, "%s,", axis_names[a]);
    }
    for (size_t i = 0; i < COH_CNT(columns); i++) {
        coh_buf_printf(out, "%s%s", columns[i].name, i + 1 < COH_CNT(columns) ? "," : "\n");
    }
    for (size_t r = 0; r < s->row_cnt; r++) {
        double v[COH_CNT(columns)];
        measure(v, &s->rows[r]);
        for (int a = 0; a < AXIS_CNT; a++) {
            coh_buf_printf(out, "%s,", s->rows[r].cells[a]);
        }
        for (size_t i = 0; i < COH_CNT(columns); i++) {
            coh_buf_printf(out, "%.10g%s", v[i], i + 1 < COH_CNT(columns) ? "," : "\n");
        }
    }
}

/* ---- plots ---- */

static bool varies(sweep_t const *s, int axis)
{
    for (size_t r = 1; r < s->row_cnt; r++) {
        if (strcmp(s->rows[r].cells[axis], s->rows[0].cells[axis]) != 0) {
            return true;
        }
    }
    return false;
}

/* The line that a row is on in a plot over axis: all else that varies. */
static void name_line(char out[LINE_SZ], sweep_t const *s, row_t const *row, int axis)
{
    size_t n = 0;
    out[0]   = '\0';
    for (int a = 0; a < AXIS_CNT; a++) {
        if (a != axis && varies(s, a)) {
            int put = a == CROSS || a == SHARDS || a == THREADS
                          ? snprintf(out + n, LINE_SZ - n, "%s %s  ", axis_names[a], row->cells[a])
                          : snprintf(out + n, LINE_SZ - n, "%s  ", row->cells[a]);
            n += (size_t)put;
        }
    }
}

/* Finds text in names, or puts it there; elements are size octets apart. */
static size_t intern(char *names, size_t *cnt, size_t size, char const *text)
{
    for (size_t i = 0; i < *cnt; i++) {
        if (strcmp(names + i * size, text) == 0) {
            return i;
        }
    }
    (void)snprintf(names + *cnt * size, size, "%s", text);
    return (*cnt)++;
}

typedef struct {
    coh_bench_panel_t panel;
    char *places, *lines;
    char const **place_names, **line_names;
    double *values;
} plot_t;

static plot_t make_plot(sweep_t const *s, int axis, size_t column)
{
    plot_t p         = {.places = coh_calloc(s->row_cnt, CELL_SZ),
                        .lines  = coh_calloc(s->row_cnt, LINE_SZ),
                        .values = coh_calloc(s->row_cnt * s->row_cnt, sizeof(double))};
    size_t place_cnt = 0;
    size_t line_cnt  = 0;
    for (size_t r = 0; r < s->row_cnt; r++) {
        (void)intern(p.places, &place_cnt, CELL_SZ, s->rows[r].cells[axis]);
    }
    for (size_t i = 0; i < s->row_cnt * s->row_cnt; i++) {
        p.values[i] = NAN;
    }
    for (size_t r = 0; r < s->row_cnt; r++) {
        char name[LINE_SZ];
        double v[COH_CNT(columns)];
        name_line(name, s, &s->rows[r], axis);
        measure(v, &s->rows[r]);
        size_t line  = intern(p.lines, &line_cnt, LINE_SZ, name);
        size_t place = intern(p.places, &place_cnt, CELL_SZ, s->rows[r].cells[axis]);
        p.values[line * place_cnt + place] = v[column];
    }
    p.place_names = coh_calloc(place_cnt, sizeof(*p.place_names));
    p.line_names  = coh_calloc(line_cnt, sizeof(*p.line_names));
    for (size_t i = 0; i < place_cnt; i++) {
        p.place_names[i] = p.places + i * CELL_SZ;
    }
    for (size_t i = 0; i < line_cnt; i++) {
        p.line_names[i] = p.lines + i * LINE_SZ;
    }
    p.panel = (coh_bench_panel_t){.title      = columns[column].about,
                                  .x_title    = axis_names[axis],
                                  .x_names    = p.place_names,
                                  .x_cnt      = place_cnt,
                                  .line_names = p.line_names,
                                  .line_cnt   = line_cnt,
                                  .values     = p.values};
    return p;
}

static void free_plot(plot_t *p)
{
    free(p->places);
    free(p->lines);
    free(p->place_names);
    free(p->line_names);
    free(p->values);
}

static void put_svg(coh_buf_t *out, sweep_t const *s)
{
    plot_t plots[AXIS_CNT * COH_CNT(columns)];
    coh_bench_panel_t panels[AXIS_CNT * COH_CNT(columns)];
    size_t cnt  = 0;
    size_t kind = 0; /* of plots */
    for (size_t i = 0; i < COH_CNT(columns); i++) {
        kind += columns[i].about != NULL;
    }
    for (int a = SKEW; a < AXIS_CNT; a++) {
        for (size_t i = 0; varies(s, a) && i < COH_CNT(columns); i++) {
            if (columns[i].about != NULL) {
                plots[cnt]  = make_plot(s, a, i);
                panels[cnt] = plots[cnt].panel;
                cnt++;
            }
        }
    }
    coh_bench_plot(out, "cohort bench blocks", panels, cnt, kind);
    for (size_t i = 0; i < cnt; i++) {
        free_plot(&plots[i]);
    }
}

/* ---- runs ---- */

static int remove_entry(char const *path, struct stat const *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* A run in a folder of its own, if stores are to be on disk. */
static coh_err_t run_once(coh_bench_figures_t *out,
                          coh_hash_t *hashes,
                          sweep_t const *s,
                          coh_bench_layout_t layout,
                          coh_bench_world_t const *world,
                          coh_buf_t *why)
{
    char dir[4096] = "";
    if (s->options->dir != NULL) {
        int n = snprintf(dir, sizeof(dir), "%s/cohort-bench-XXXXXX", s->options->dir);
        if (n < 0 || (size_t)n >= sizeof(dir) || mkdtemp(dir) == NULL) {
            coh_buf_printf(why, "cannot make a folder in %s", s->options->dir);
            return COH_EIO;
        }
        layout.dir = dir;
    }
    size_t warm =
        world->is_recorded ? 0 : COH_MIN((size_t)s->options->warm_cnt, world->block_cnt - 1);
    coh_err_t rc = coh_bench_run(
        out, hashes, &layout, &world->genesis, world->blocks, world->block_cnt, warm, why);
    if (layout.dir != NULL) {
        (void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    return rc;
}

static int by_wall(void const *a, void const *b)
{
    coh_bench_figures_t const *x = a;
    coh_bench_figures_t const *y = b;
    return x->wall_us < y->wall_us ? -1 : x->wall_us > y->wall_us;
}

static int by_value(void const *a, void const *b)
{
    double x = *(double const *)a;
    double y = *(double const *)b;
    return (x > y) - (x < y);
}

/* How many times faster than sequential: the median of the ratios of runs that followed each other, since what else the machine does changes from turn to turn. */
static double find_speedup(coh_bench_figures_t const *sequential,
                           coh_bench_figures_t const *runs,
                           size_t cnt)
{
    double *ratios = coh_calloc(cnt, sizeof(*ratios));
    for (size_t n = 0; n < cnt; n++) {
        ratios[n] = (double)sequential[n].wall_us / (double)COH_MAX(runs[n].wall_us, 1);
    }
    qsort(ratios, cnt, sizeof(*ratios), by_value);
    double median = ratios[cnt / 2];
    free(ratios);
    return median;
}

static row_t *add_row(sweep_t *s)
{
    if (s->row_cnt == s->row_cap) {
        s->row_cap = COH_MAX(64, 2 * s->row_cap);
        s->rows    = coh_realloc(s->rows, s->row_cap * sizeof(*s->rows));
    }
    s->rows[s->row_cnt] = (row_t){0};
    return &s->rows[s->row_cnt++];
}

/* Runs all layouts with one number of shards on a world, in turn as often as asked for, sequential first; cells: the world's. */
static coh_err_t run_layouts(sweep_t *s,
                             coh_bench_world_t const *world,
                             char cells[AXIS_CNT][CELL_SZ],
                             uint32_t shard_cnt,
                             coh_buf_t *why)
{
    coh_bench_blocks_options_t const *o = s->options;
    size_t each                         = o->scheduler_cnt * o->delay_cnt; /* layouts */
    size_t cnt                          = 1 + o->threads_cnt * each;
    size_t repeat                       = (size_t)o->repeat_cnt;
    coh_bench_layout_t *layouts         = coh_calloc(cnt, sizeof(*layouts));
    coh_bench_figures_t *figures        = coh_calloc(cnt * repeat, sizeof(*figures));
    coh_hash_t *should                  = coh_calloc(world->block_cnt, sizeof(*should));
    coh_hash_t *is                      = coh_calloc(world->block_cnt, sizeof(*is));
    layouts[0] = (coh_bench_layout_t){.shard_cnt = 1, .thread_cnt = 1, .scheduler = "sequential"};
    for (size_t i = 1; i < cnt; i++) {
        layouts[i] = (coh_bench_layout_t){.shard_cnt  = shard_cnt,
                                          .thread_cnt = o->threads[(i - 1) / each],
                                          .placement  = o->placement,
                                          .scheduler = o->schedulers[(i - 1) % each / o->delay_cnt],
                                          .delay_us  = o->delays[(i - 1) % o->delay_cnt]};
    }
    coh_err_t rc = COH_OK;
    for (size_t n = 0; rc == COH_OK && n < repeat; n++) {
        for (size_t i = 0; rc == COH_OK && i < cnt; i++) {
            coh_bench_progress(false,
                               "%s %s, %u x %u %s, run %zu",
                               cells[WORK],
                               cells[SKEW],
                               layouts[i].shard_cnt,
                               layouts[i].thread_cnt,
                               layouts[i].scheduler,
                               n + 1);
            coh_hash_t *hashes = n == 0 && i == 0 ? should : is;
            rc = run_once(&figures[i * repeat + n], hashes, s, layouts[i], world, why);
            if (rc == COH_OK && hashes == is &&
                memcmp(is, should, world->block_cnt * sizeof(*is)) != 0) {
                coh_buf_printf(why,
                               "%u shards, %u threads, %s: other blocks than sequential",
                               layouts[i].shard_cnt,
                               layouts[i].thread_cnt,
                               layouts[i].scheduler);
                rc = COH_EMISMATCH;
            }
        }
    }
    for (size_t i = 1; rc == COH_OK && i < cnt; i++) {
        row_t *row   = add_row(s);
        row->speedup = find_speedup(figures, figures + i * repeat, repeat);
        qsort(figures + i * repeat, repeat, sizeof(*figures), by_wall);
        memcpy(row->cells, cells, sizeof(row->cells));
        (void)snprintf(row->cells[SHARDS], CELL_SZ, "%u", layouts[i].shard_cnt);
        (void)snprintf(row->cells[THREADS], CELL_SZ, "%u", layouts[i].thread_cnt);
        (void)snprintf(row->cells[SCHEDULER], CELL_SZ, "%s", layouts[i].scheduler);
        (void)snprintf(row->cells[DELAY], CELL_SZ, "%" PRIu64, layouts[i].delay_us);
        row->f = figures[i * repeat + repeat / 2];
        print_row(s, row);
    }
    free(layouts);
    free(figures);
    free(should);
    free(is);
    return rc;
}

static coh_err_t run_world(sweep_t *s,
                           coh_bench_work_t work,
                           coh_bench_skew_t skew,
                           uint32_t cross,
                           uint32_t shard_cnt,
                           coh_buf_t *why)
{
    coh_bench_blocks_options_t const *o = s->options;
    coh_bench_world_spec_t spec         = {.work          = work,
                                           .skew          = skew,
                                           .seed          = o->seed,
                                           .block_cnt     = (uint32_t)o->block_cnt,
                                           .tx_cnt        = (uint32_t)o->tx_cnt,
                                           .instance_cnt  = (uint32_t)o->instance_cnt,
                                           .cross_percent = cross,
                                           .shard_cnt     = shard_cnt,
                                           .contracts     = o->contracts,
                                           .peers         = o->peers};
    uint32_t defined                    = coh_bench_work_txs(work);
    bool is_peers = o->peers != NULL && coh_bench_work_uses(work) != COH_BENCH_OWN;
    if (spec.tx_cnt == 0) {
        spec.tx_cnt = defined != 0 ? defined : USUAL_CNT;
    }
    spec.account_cnt              = o->account_cnt != 0 ? (uint32_t)o->account_cnt
                                    : defined != 0      ? COH_MAX(spec.tx_cnt, 2)
                                                        : USUAL_CNT;
    char cells[AXIS_CNT][CELL_SZ] = {0};
    char text[COH_BENCH_SKEW_SZ];
    (void)snprintf(
        cells[WORK], CELL_SZ, "%s%s", coh_bench_work_str(work), is_peers ? ":peers" : "");
    (void)snprintf(cells[SKEW], CELL_SZ, "%s", coh_bench_skew_str(text, skew));
    if (cross == COH_BENCH_CROSS_ANY) {
        (void)snprintf(cells[CROSS], CELL_SZ, "any");
    } else {
        (void)snprintf(cells[CROSS], CELL_SZ, "%u", cross);
    }
    coh_bench_progress(false, "%s %s: making blocks", cells[WORK], cells[SKEW]);
    coh_bench_world_t world;
    coh_err_t rc = coh_bench_world_new(&world, &spec, why);
    if (rc == COH_OK) {
        rc = run_layouts(s, &world, cells, shard_cnt, why);
    }
    coh_bench_world_free(&world);
    return rc;
}

static coh_err_t run_works(sweep_t *s, coh_buf_t *why)
{
    coh_bench_blocks_options_t const *o = s->options;
    bool all                            = o->work_cnt == 0 && o->path_cnt == 0;
    size_t work_cnt                     = all ? COH_BENCH_WORK_CNT : o->work_cnt;
    size_t each                         = o->skew_cnt * o->cross_cnt * o->shards_cnt;
    for (size_t i = 0; i < work_cnt * each; i++) {
        coh_bench_work_t work = all ? (coh_bench_work_t)(i / each) : o->works[i / each];
        if (all && (coh_bench_work_txs(work) != 0 ||
                    (o->peers == NULL && coh_bench_work_uses(work) == COH_BENCH_PEERS))) {
            continue;
        }
        COH_TRY(run_world(s,
                          work,
                          o->skews[i % each / o->cross_cnt / o->shards_cnt],
                          o->crosses[i / o->shards_cnt % o->cross_cnt],
                          o->shards[i % o->shards_cnt],
                          why));
    }
    return COH_OK;
}

/* The name of recordings: their files', without folders and endings; of further ones without the network, if it is that of the first. */
static void name_files(char out[CELL_SZ], char const *paths)
{
    size_t n          = 0;
    size_t network_sz = 0;
    out[0]            = '\0';
    for (char const *path = paths; path != NULL; path = strchr(path, '+')) {
        path += *path == '+';
        size_t end = strcspn(path, "+");
        size_t at  = end;
        while (at > 0 && path[at - 1] != '/') {
            at--;
        }
        char const *name = path + at;
        size_t name_n    = COH_MIN(strcspn(name, "."), end - at);
        if (n == 0) {
            network_sz = strcspn(name, "-.+") + 1;
        } else if (name_n > network_sz && strncmp(name, out, network_sz) == 0) {
            name += network_sz;
            name_n -= network_sz;
        }
        n += (size_t)snprintf(out + n, CELL_SZ - n, "%s%.*s", n == 0 ? "" : "+", (int)name_n, name);
        n = COH_MIN(n, (size_t)CELL_SZ - 1);
    }
}

/* What a chain is made of. */
static void print_chain(char const *name, coh_bench_world_t const *world)
{
    coh_bench_progress(true,
                       "%s: a chain of %zu blocks, %zu transactions, %" PRIu64
                       " gas; %zu transactions use other gas than recorded",
                       name,
                       world->block_cnt,
                       world->tx_cnt,
                       world->gas_used,
                       world->other_gas_cnt);
}

static coh_err_t run_files(sweep_t *s, coh_buf_t *why)
{
    coh_bench_blocks_options_t const *o = s->options;
    for (size_t i = 0; i < o->path_cnt; i++) {
        char cells[AXIS_CNT][CELL_SZ] = {[SKEW] = "real", [CROSS] = "any"};
        coh_bench_world_t world;
        name_files(cells[WORK], o->paths[i]);
        coh_err_t rc = coh_bench_world_load(&world, o->paths[i], why);
        if (rc == COH_OK && world.block_cnt > 1) {
            print_chain(cells[WORK], &world);
        }
        for (size_t k = 0; rc == COH_OK && k < o->shards_cnt; k++) {
            rc = run_layouts(s, &world, cells, o->shards[k], why);
        }
        coh_bench_world_free(&world);
        COH_TRY(rc);
    }
    return COH_OK;
}

/* Each run makes its clusters and threads anew. So that it finds memory that is faulted in, as a node does that has run for long, and not such as the last run's threads have left to
   theirs, there is one arena, which gives nothing back. */
static void keep_memory(void)
{
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_TRIM_THRESHOLD, INT_MAX);
    (void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
}

int coh_bench_blocks(coh_bench_blocks_options_t const *options)
{
    keep_memory();
    sweep_t s     = {.options = options};
    coh_buf_t why = COH_BUF_INIT;
    coh_err_t rc  = run_works(&s, &why);
    if (rc == COH_OK) {
        rc = run_files(&s, &why);
    }
    bool ok = rc == COH_OK;
    if (!ok) {
        (void)fprintf(stderr, "cohort bench: %.*s\n", (int)why.n, (char const *)why.p);
    }
    if (options->sweep != NULL && s.row_cnt != 0) {
        coh_buf_t text = COH_BUF_INIT;
        put_csv(&text, &s);
        ok = write_file(options->sweep, ".csv", &text) && ok;
        coh_buf_clear(&text);
        put_svg(&text, &s);
        ok = write_file(options->sweep, ".svg", &text) && ok;
        coh_buf_free(&text);
    }
    coh_buf_free(&why);
    free(s.rows);
    return ok ? COH_EXIT_OK : COH_EXIT_FAILED;
}
