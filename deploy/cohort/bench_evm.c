/* cohort bench evm: programs in the form of state tests, and transactions; the report. */
#include <fts.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/crypto/ecdsa.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "deploy/cohort/args.h"
#include "deploy/cohort/bench_evm.h"
#include "deploy/cohort/bench_text.h"
#include "deploy/cohort/statetest_run.h"

#define KECCAK_BYTES 136 /* one block, and its padding in a second one */

typedef struct {
    char *name; /* "main/snailtracer/benchmark"; owned */
    coh_bench_call_cost_t cost;
    double baseline_execute_ns; /* 0: not in the baseline */
    double baseline_total_ns;
} program_t;

typedef struct {
    coh_bench_evm_options_t const *options;
    json_t *baseline; /* NULL: none */
    program_t *programs;
    size_t program_cnt;
    coh_bench_tx_cost_t txs[COH_BENCH_TX_KIND_MAX];
    size_t tx_cnt;
    coh_bench_samples_t
        recover; /* these are taken between all else: the machine of the same minutes */
    coh_bench_samples_t keccak_plain;
    coh_bench_samples_t keccak;
    coh_buf_t why;
} bench_t;

/* What does not depend on the EVM: libsecp256k1, and a hash of one buffer, in plain C and as this processor does it best. */
typedef struct {
    coh_hash_t digest;
    coh_sig_t sig;
    uint8_t text[KECCAK_BYTES];
} calibration_t;

static void run_recover(void *arg)
{
    calibration_t *c = arg;
    coh_addr_t addr;
    (void)coh_ecdsa_recover(&addr, &c->digest, &c->sig);
}

static void run_keccak(void *arg)
{
    calibration_t *c = arg;
    coh_keccak256((coh_hash_t *)c->text, c->text, sizeof(c->text));
}

static void calibrate(bench_t *bench)
{
    static uint8_t const secret[32] = {[31] = 1};
    calibration_t c                 = {.digest = {.b = {1}}};
    (void)coh_ecdsa_sign(&c.sig, &c.digest, secret);
    coh_bench_sample(&bench->recover, bench->options->sample_ms, run_recover, &c);
    coh_bench_sample(&bench->keccak, bench->options->sample_ms, run_keccak, &c);
    char const *backend = coh_keccak_backend();
    (void)coh_keccak_force_backend("portable");
    coh_bench_sample(&bench->keccak_plain, bench->options->sample_ms, run_keccak, &c);
    (void)coh_keccak_force_backend(backend);
}

/* Folder, file and label: "main/swap_math/spent". Without a label the number of the input stands there. */
static char *program_name(char const *path, json_t *doc, coh_statetest_case_t const *test)
{
    char const *from = strrchr(path, '/');
    while (from != NULL && from > path && from[-1] != '/') {
        from--;
    }
    from = from == NULL ? path : from;
    char number[16];
    (void)snprintf(number, sizeof(number), "%u", test->idx.data);
    json_t *labels =
        json_object_get(json_object_get(json_object_get(doc, test->id), "_info"), "labels");
    char const *label = json_string_value(json_object_get(labels, number));
    coh_buf_t name    = COH_BUF_INIT;
    size_t len        = strlen(from);
    if (len > 5 && strcmp(from + len - 5, ".json") == 0) {
        len -= 5;
    }
    coh_buf_printf(&name, "%.*s/%s", (int)len, from, label == NULL ? number : label);
    coh_buf_put_u8(&name, 0);
    return (char *)name.p;
}

static coh_memview_t *make_state(coh_statetest_case_t const *test)
{
    coh_memview_t *state = coh_memview_new(&coh_code_coder, test->env.fork);
    coh_memview_put_alloc(state, test->pre->accounts, test->pre->account_cnt);
    return state;
}

/* What the baseline says of a program. */
static void find_baseline(bench_t const *bench, program_t *program)
{
    size_t i;
    json_t *other;
    json_array_foreach (json_object_get(bench->baseline, "programs"), i, other) {
        char const *name = json_string_value(json_object_get(other, "name"));
        if (name != NULL && strcmp(name, program->name) == 0) {
            program->baseline_execute_ns = json_number_value(json_object_get(other, "execute_ns"));
            program->baseline_total_ns   = json_number_value(json_object_get(other, "total_ns"));
        }
    }
}

/* What gives wrong results is not worth measuring. */
static coh_err_t check_case(bench_t *bench, char const *name, coh_statetest_case_t const *test)
{
    coh_statetest_options_t const plain = {0};
    coh_statetest_runner_t *runner      = coh_statetest_runner_new(&plain);
    coh_statetest_result_t result;
    coh_statetest_run(runner, &result, test);
    bool pass = result.pass;
    if (!pass) {
        coh_buf_printf(
            &bench->why, "%s: %.*s", name, (int)result.why.n, (char const *)result.why.p);
    }
    coh_statetest_result_free(&result);
    coh_statetest_runner_free(runner);
    return pass ? COH_OK : COH_EMISMATCH;
}

static coh_err_t run_case(bench_t *bench, char *name, coh_statetest_case_t const *test)
{
    coh_evm_message_t msg = {
        .sender = test->sender,
        .to     = test->fields.to,
        .value  = test->fields.value,
        .gas    = test->fields.gas_limit,
        .input  = test->fields.data,
    };
    bench->programs =
        coh_realloc(bench->programs, (bench->program_cnt + 1) * sizeof(*bench->programs));
    program_t *p = &bench->programs[bench->program_cnt++];
    *p           = (program_t){.name = name};
    coh_bench_progress(false, "%zu: %s", bench->program_cnt, name);
    calibrate(bench);
    COH_TRY(check_case(bench, name, test));
    coh_memview_t *state = make_state(test);
    coh_bench_call_measure(
        &p->cost, state, &test->env, &msg, bench->options->sample_cnt, bench->options->sample_ms);
    coh_memview_free(state);
    find_baseline(bench, p);
    return COH_OK;
}

static coh_err_t run_file(bench_t *bench, char const *path)
{
    coh_statetest_select_t const all = {0};
    coh_statetest_file_t file;
    coh_buf_t why = COH_BUF_INIT;
    coh_err_t rc  = coh_statetest_load(&file, path, &all, &why);
    if (rc != COH_OK) {
        coh_buf_printf(&bench->why, "%s: %.*s", path, (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    json_t *doc = json_load_file(path, JSON_ALLOW_NUL, NULL);
    for (size_t i = 0; i < file.case_cnt && rc == COH_OK; i++) {
        coh_statetest_case_t const *test = &file.cases[i];
        if (test->fields.is_create || test->exception != NULL) {
            continue; /* programs are called */
        }
        char *name = program_name(path, doc, test);
        if (bench->options->filter == NULL || strstr(name, bench->options->filter) != NULL) {
            rc = run_case(bench, name, test); /* name: taken */
        } else {
            free(name);
        }
    }
    json_decref(doc);
    coh_statetest_free(&file);
    return rc;
}

static int by_name(FTSENT const **a, FTSENT const **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* All files *.json below the paths, in order. */
static coh_err_t run_paths(bench_t *bench)
{
    if (bench->options->path_cnt == 0) {
        return COH_OK;
    }
    coh_err_t rc = COH_OK;
    FTS *walk    = fts_open(bench->options->paths, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    FTSENT *at;
    if (walk == NULL) {
        return COH_EIO;
    }
    while (rc == COH_OK && (at = fts_read(walk)) != NULL) {
        size_t len = strlen(at->fts_path);
        if (at->fts_info == FTS_F && (at->fts_level == FTS_ROOTLEVEL ||
                                      (len > 5 && strcmp(at->fts_path + len - 5, ".json") == 0))) {
            rc = run_file(bench, at->fts_path);
        } else if (at->fts_info == FTS_NS || at->fts_info == FTS_DNR || at->fts_info == FTS_ERR) {
            coh_buf_printf(&bench->why, "%s: %s", at->fts_path, strerror(at->fts_errno));
            rc = COH_EIO;
        }
    }
    (void)fts_close(walk);
    return rc;
}

static double per_second(double ns) { return ns > 0 ? 1e9 / ns : 0; }

static uint64_t rate_of(coh_bench_samples_t *samples)
{
    return (uint64_t)per_second(coh_bench_median(samples));
}

/* Million gas a second. */
static double mgas(uint64_t gas, double ns) { return ns > 0 ? (double)gas * 1e3 / ns : 0; }

/* Geometric mean of baseline over ours, of programs whose names begin with prefix; 0 if there are none. */
static double mean_ratio(bench_t const *bench, char const *prefix, bool total)
{
    double sum = 0;
    size_t cnt = 0;
    for (size_t i = 0; i < bench->program_cnt; i++) {
        program_t const *p = &bench->programs[i];
        double theirs      = total ? p->baseline_total_ns : p->baseline_execute_ns;
        double ours        = total ? p->cost.total_ns : p->cost.execute_ns;
        if (strncmp(p->name, prefix, strlen(prefix)) == 0 && theirs > 0 && ours > 0) {
            sum += log(theirs / ours);
            cnt++;
        }
    }
    return cnt == 0 ? 0 : exp(sum / (double)cnt);
}

static void print_programs(bench_t const *bench)
{
    char gas[COH_BENCH_GROUP_SZ];
    bool compared = bench->baseline != NULL;
    printf("%-36s %13s %12s %12s %9s%s\n",
           "program",
           "gas",
           "execute us",
           "total us",
           "Mgas/s",
           compared ? "   x execute   x total" : "");
    for (size_t i = 0; i < bench->program_cnt; i++) {
        program_t const *p = &bench->programs[i];
        printf("%-36s %13s %12.2f %12.2f %9.0f",
               p->name,
               coh_bench_group(gas, p->cost.gas),
               p->cost.execute_ns / 1e3,
               p->cost.total_ns / 1e3,
               mgas(p->cost.gas, p->cost.execute_ns));
        if (compared && p->baseline_total_ns > 0) {
            printf("   %9.2f %9.2f",
                   p->baseline_execute_ns / p->cost.execute_ns,
                   p->baseline_total_ns / p->cost.total_ns);
        }
        printf("%s\n", p->cost.status == COH_EVM_SUCCESS ? "" : "   reverts");
    }
    static char const *const groups[] = {"main/", "micro/", ""};
    for (size_t i = 0; i < COH_CNT(groups); i++) {
        if (mean_ratio(bench, groups[i], true) == 0) {
            continue; /* no baseline, or none of its programs is in this group */
        }
        printf("geometric mean of %-6s  x execute %.2f   x total %.2f\n",
               groups[i][0] == '\0' ? "all" : groups[i],
               mean_ratio(bench, groups[i], false),
               mean_ratio(bench, groups[i], true));
    }
    printf("\n");
}

static void print_report(bench_t *bench)
{
    char rate[COH_BENCH_GROUP_SZ];
    char call[COH_BENCH_GROUP_SZ];
    char fresh[COH_BENCH_GROUP_SZ];
    char gas[COH_BENCH_GROUP_SZ];
    printf("calibration, same minutes\n  libsecp256k1 recover %s/s\n",
           coh_bench_group(rate, rate_of(&bench->recover)));
    printf("  Keccak-256 of %d bytes %s/s in plain C",
           KECCAK_BYTES,
           coh_bench_group(rate, rate_of(&bench->keccak_plain)));
    printf(", %s/s as used\n\n", coh_bench_group(rate, rate_of(&bench->keccak)));
    if (bench->program_cnt != 0) {
        print_programs(bench);
    }
    printf("%-24s %10s %12s %20s %20s\n",
           "transactions, one core",
           "gas",
           "tx/s",
           "calls/s, analysed",
           "analysed each time");
    for (size_t i = 0; i < bench->tx_cnt; i++) {
        coh_bench_tx_cost_t const *t = &bench->txs[i];
        printf("%-24s %10s %12s",
               t->name,
               coh_bench_group(gas, t->gas),
               coh_bench_group(rate, (uint64_t)per_second(t->tx_ns)));
        if (t->has_call) {
            printf(" %20s %20s",
                   coh_bench_group(call, (uint64_t)per_second(t->call.execute_ns)),
                   coh_bench_group(fresh, (uint64_t)per_second(t->call.total_ns)));
        }
        printf("\n");
    }
}

static json_t *cost_json(coh_bench_call_cost_t const *cost)
{
    return json_pack("{s:s, s:I, s:f, s:f, s:f}",
                     "status",
                     coh_evm_status_str(cost->status),
                     "gas",
                     (json_int_t)cost->gas,
                     "execute_ns",
                     cost->execute_ns,
                     "total_ns",
                     cost->total_ns,
                     "mgas_per_second",
                     mgas(cost->gas, cost->execute_ns));
}

static void print_json(bench_t *bench)
{
    json_t *programs = json_array();
    json_t *txs      = json_array();
    for (size_t i = 0; i < bench->program_cnt; i++) {
        program_t const *p = &bench->programs[i];
        json_t *one        = cost_json(&p->cost);
        json_object_set_new(one, "name", json_string(p->name));
        if (p->baseline_total_ns > 0) {
            json_object_set_new(
                one, "execute_ratio", json_real(p->baseline_execute_ns / p->cost.execute_ns));
            json_object_set_new(
                one, "total_ratio", json_real(p->baseline_total_ns / p->cost.total_ns));
        }
        json_array_append_new(programs, one);
    }
    for (size_t i = 0; i < bench->tx_cnt; i++) {
        coh_bench_tx_cost_t const *t = &bench->txs[i];
        json_t *one                  = json_pack("{s:s, s:I, s:f, s:f}",
                                "name",
                                t->name,
                                "gas",
                                (json_int_t)t->gas,
                                "ns",
                                t->tx_ns,
                                "per_second",
                                per_second(t->tx_ns));
        if (t->has_call) {
            json_object_set_new(one, "call", cost_json(&t->call));
        }
        json_array_append_new(txs, one);
    }
    json_t *root = json_pack("{s:s, s:{s:f, s:f, s:f}, s:o, s:o}",
                             "bench",
                             "evm",
                             "calibration",
                             "recover_per_second",
                             per_second(coh_bench_median(&bench->recover)),
                             "keccak_136_plain_per_second",
                             per_second(coh_bench_median(&bench->keccak_plain)),
                             "keccak_136_per_second",
                             per_second(coh_bench_median(&bench->keccak)),
                             "programs",
                             programs,
                             "transactions",
                             txs);
    if (bench->baseline != NULL) {
        json_object_set_new(root, "main_total_ratio", json_real(mean_ratio(bench, "main/", true)));
        json_object_set_new(
            root, "main_execute_ratio", json_real(mean_ratio(bench, "main/", false)));
    }
    (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(root);
}

static coh_err_t run_all(bench_t *bench)
{
    char const *path = bench->options->baseline;
    if (path != NULL) {
        json_error_t error;
        bench->baseline = json_load_file(path, 0, &error);
        if (bench->baseline == NULL) {
            coh_buf_printf(&bench->why, "%s: %s", path, error.text);
            return COH_EMALFORMED;
        }
    }
    COH_TRY(run_paths(bench));
    if (bench->program_cnt == 0 && bench->options->path_cnt != 0) {
        coh_buf_printf(&bench->why, "no program found");
        return COH_ENOTFOUND;
    }
    calibrate(bench);
    COH_TRY(coh_bench_tx_measure(bench->txs, &bench->tx_cnt, bench->options, &bench->why));
    calibrate(bench);
    return COH_OK;
}

int coh_bench_evm(coh_bench_evm_options_t const *options)
{
    bench_t *bench = coh_calloc(1, sizeof(*bench));
    bench->options = options;
    coh_err_t rc   = run_all(bench);
    if (rc == COH_OK) {
        coh_bench_progress(true, "%zu programs, %zu kinds", bench->program_cnt, bench->tx_cnt);
        (options->json ? print_json : print_report)(bench);
    } else {
        (void)fprintf(stderr,
                      "cohort bench evm: %.*s%s%s\n",
                      (int)bench->why.n,
                      (char const *)bench->why.p,
                      bench->why.n == 0 ? "" : ": ",
                      coh_err_str(rc));
    }
    for (size_t i = 0; i < bench->program_cnt; i++) {
        free(bench->programs[i].name);
    }
    free(bench->programs);
    json_decref(bench->baseline);
    coh_buf_free(&bench->why);
    free(bench);
    return rc == COH_OK ? COH_EXIT_OK : COH_EXIT_FAILED;
}
