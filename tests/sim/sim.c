/* sim: runs simulated histories (sim_history.h) and says which seed fails, with the command that repeats it.

   sim [--seeds N] [--first SEED] [--seed S] [--twice] [--verbose] [--plant NAME]

   With COHORT_TEST_LONG in the environment N is ten times as large. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/obs/log.h"
#include "tests/sim/sim_history.h"

/* Longest that one history may take in real time: a loop without end in the code under test is a failure too. */
#define HISTORY_SECONDS_MAX 120u

static char const *const PLANTS[SIM_PLANT_CNT] = {
    [SIM_PLANT_NONE]               = "none",
    [SIM_PLANT_SKIP_REDO_SYNC]     = "skip-redo-sync",
    [SIM_PLANT_SKIP_DECISION_SYNC] = "skip-decision-sync",
    [SIM_PLANT_EARLY_DECISION]     = "early-decision",
    [SIM_PLANT_DROP_RETRACT]       = "drop-retract",
    [SIM_PLANT_LOCAL_RETRACT]      = "local-retract",
};

static char const *program;
static uint64_t running_seed;
static sim_plant_t plant;

static void print_command(uint64_t seed)
{
    fprintf(stderr,
            "repeat: %s --seed %" PRIu64 "%s%s --verbose\n",
            program,
            seed,
            plant == SIM_PLANT_NONE ? "" : " --plant ",
            plant == SIM_PLANT_NONE ? "" : PLANTS[plant]);
}

static void on_assert(char const *expr, char const *file, int line, char const *func)
{
    fprintf(stderr,
            "seed %" PRIu64 " FAILED: %s:%d: %s: assertion %s\n",
            running_seed,
            file,
            line,
            func,
            expr);
    print_command(running_seed);
    if (plant != SIM_PLANT_NONE) {
        fprintf(stderr, "plant %s: caught\n", PLANTS[plant]);
        _exit(0);
    }
}

/* Only what is safe in a handler. */
static void on_signal(int sig)
{
    char text[64];
    char *at     = text + sizeof(text);
    uint64_t num = running_seed;
    *--at        = '\n';
    do {
        *--at = (char)('0' + num % 10);
    } while ((num /= 10) != 0);
    char const *what =
        sig == SIGALRM ? "no end in sight, repeat: sim --seed " : "crashed, repeat: sim --seed ";
    (void)!write(2, what, strlen(what));
    (void)!write(2, at, (size_t)(text + sizeof(text) - at));
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

typedef struct {
    uint64_t blocks;
    uint64_t included;
    uint64_t left_out;
    uint64_t runs;
    uint64_t events;
    sim_counts_t counts;
    sim_drawn_t drawn;
} totals_t;

static void add_counts(sim_counts_t *to, sim_counts_t const *from)
{
    to->reads += from->reads;
    to->retracts += from->retracts;
    to->waves += from->waves;
    to->pieces += from->pieces;
    to->moves += from->moves;
    to->stays += from->stays;
    to->aborts += from->aborts;
    to->loads += from->loads;
    to->errors += from->errors;
    to->lost += from->lost;
    to->backups += from->backups;
}

static void usage(void)
{
    fprintf(stderr,
            "usage: sim [--seeds N] [--first SEED] [--seed S] [--twice] [--verbose] [--plant "
            "NAME]\nplants:");
    for (int i = 1; i < SIM_PLANT_CNT; i++) {
        fprintf(stderr, " %s", PLANTS[i]);
    }
    fprintf(stderr, "\n");
    exit(2);
}

static void add_drawn(sim_drawn_t *sum, sim_drawn_t const *drawn)
{
    for (size_t i = 0; i < COH_TX_TYPE_CNT; i++) {
        sum->type[i] += drawn->type[i];
    }
    sum->from_delegated += drawn->from_delegated;
    sum->to_delegated += drawn->to_delegated;
    sum->failed += drawn->failed;
}

/* Whether so many histories drew all that they should have. */
static bool print_drawn(sim_drawn_t const *d, uint64_t histories)
{
    printf("sim: transactions by type %" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
           " with blobs, %" PRIu64 " with authorizations; %" PRIu64 " from and %" PRIu64
           " to delegated accounts, %" PRIu64 " failed\n",
           d->type[COH_TX_LEGACY],
           d->type[COH_TX_ACCESS_LIST],
           d->type[COH_TX_DYNAMIC_FEE],
           d->type[COH_TX_BLOB],
           d->type[COH_TX_SET_CODE],
           d->from_delegated,
           d->to_delegated,
           d->failed);
    bool all = d->type[COH_TX_BLOB] != 0 && d->type[COH_TX_SET_CODE] != 0 &&
               d->from_delegated != 0 && d->to_delegated != 0 && d->failed != 0;
    return all || histories < 100;
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Runs one seed; returns true if it failed. */
static bool run_seed(uint64_t seed, bool verbose, bool twice, coh_txgen_t *gen, totals_t *totals)
{
    running_seed                = seed;
    sim_history_params_t params = {.seed = seed, .plant = plant, .verbose = verbose};
    sim_history_result_t result;
    (void)alarm(HISTORY_SECONDS_MAX);
    coh_txgen_trim(gen, 100000);
    sim_history_run(&result, &params, gen);
    totals->blocks += result.blocks;
    totals->included += result.included;
    totals->left_out += result.left_out;
    totals->runs += result.runs;
    totals->events += result.events;
    add_counts(&totals->counts, &result.counts);
    add_drawn(&totals->drawn, &result.drawn);
    if (verbose) {
        printf("seed %" PRIu64 ": history %016" PRIx64 ", %" PRIu64 " events, %" PRIu64
               " runs, %" PRIu64 " blocks, %" PRIu64 " transactions, %" PRIu64 " left out\n",
               seed,
               result.digest,
               result.events,
               result.runs,
               result.blocks,
               result.included,
               result.left_out);
    }
    if (result.failed) {
        fprintf(stderr, "seed %" PRIu64 " FAILED: %s\n", seed, result.reason);
        print_command(seed);
        return true;
    }
    if (twice) {
        sim_history_result_t again;
        sim_history_run(&again, &params, gen);
        if (again.digest != result.digest) {
            fprintf(stderr,
                    "seed %" PRIu64 " FAILED: two runs gave two histories, %016" PRIx64
                    " and %016" PRIx64 "\n",
                    seed,
                    result.digest,
                    again.digest);
            print_command(seed);
            return true;
        }
    }
    return false;
}

static uint64_t fresh_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        seed = (uint64_t)time(NULL);
    }
    return seed % UINT64_C(1000000000000);
}

int main(int argc, char **argv)
{
    static struct option const OPTIONS[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"first", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},
        {"twice", no_argument, NULL, 't'},
        {"verbose", no_argument, NULL, 'v'},
        {"plant", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    program        = argv[0];
    uint64_t cnt   = 100;
    uint64_t first = fresh_seed();
    bool twice     = false;
    bool verbose   = false;
    int opt;
    while ((opt = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (opt) {
        case 'n': cnt = strtoull(optarg, NULL, 10); break;
        case 'f': first = strtoull(optarg, NULL, 10); break;
        case 's':
            first = strtoull(optarg, NULL, 10);
            cnt   = 1;
            break;
        case 't': twice = true; break;
        case 'v': verbose = true; break;
        case 'p':
            plant = SIM_PLANT_CNT;
            for (int i = 0; i < SIM_PLANT_CNT; i++) {
                if (strcmp(optarg, PLANTS[i]) == 0) {
                    plant = (sim_plant_t)i;
                }
            }
            if (plant == SIM_PLANT_CNT) {
                usage();
            }
            break;
        default: usage();
        }
    }
    if (getenv("COHORT_TEST_LONG") != NULL && plant == SIM_PLANT_NONE && cnt > 1) {
        cnt *= 10;
    }
    coh_assert_set_hook(on_assert);
    (void)signal(SIGSEGV, on_signal);
    (void)signal(SIGALRM, on_signal);
    (void)coh_log_init(verbose ? "warn" : "error", verbose ? "" : "/dev/null");
#ifndef COH_DEEP_CHECKS
    if (plant == SIM_PLANT_LOCAL_RETRACT) {
        printf("plant %s needs a build with COHORT_DEEP_CHECKS\n", PLANTS[plant]);
        return 77; /* skipped */
    }
#endif
    printf("sim: seeds %" PRIu64 "..%" PRIu64 "%s%s\n",
           first,
           first + cnt - 1,
           plant == SIM_PLANT_NONE ? "" : ", plant ",
           plant == SIM_PLANT_NONE ? "" : PLANTS[plant]);
    (void)fflush(stdout);

    coh_txgen_t *gen = coh_txgen_new();
    totals_t totals  = {0};
    double start     = seconds();
    uint64_t failed  = 0;
    uint64_t ran     = 0;
    for (; ran < cnt && failed == 0; ran++) {
        failed += run_seed(first + ran, verbose, twice, gen, &totals);
    }
    coh_txgen_free(gen);
    printf("sim: %" PRIu64 " histories in %.1f s: %" PRIu64 " starts, %" PRIu64 " blocks, %" PRIu64
           " transactions, %" PRIu64 " left out, %" PRIu64 " events\n",
           ran,
           seconds() - start,
           totals.runs,
           totals.blocks,
           totals.included,
           totals.left_out,
           totals.events);
    printf("sim: %" PRIu64 " READ, %" PRIu64 " RETRACT, %" PRIu64 " WAVE, %" PRIu64
           " MIGRATE, %" PRIu64 " MOVE_END, %" PRIu64 " of refused moves, %" PRIu64
           " ABORT, %" PRIu64 " disk reads, %" PRIu64 " disk errors, %" PRIu64
           " writes lost in crashes, %" PRIu64 " backups\n",
           totals.counts.reads,
           totals.counts.retracts,
           totals.counts.waves,
           totals.counts.pieces,
           totals.counts.moves,
           totals.counts.stays,
           totals.counts.aborts,
           totals.counts.loads,
           totals.counts.errors,
           totals.counts.lost,
           totals.counts.backups);
    if (plant != SIM_PLANT_NONE) {
        printf("plant %s: %s\n", PLANTS[plant], failed != 0 ? "caught" : "NOT CAUGHT");
        return failed != 0 ? 0 : 1;
    }
    bool drew_all = print_drawn(&totals.drawn, ran);
    return failed != 0 || !drew_all ? 1 : 0;
}
