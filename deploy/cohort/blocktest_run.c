#include "deploy/cohort/blocktest_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/evm/code.h"
#include "common/trie/state_root.h"
#include "deploy/cohort/blocktest_error.h"
#include "deploy/cohort/statetest_diff.h"

/* ---- The reference --------------------------------------------------------------------------------------------------------------- */

typedef struct {
    coh_blocktest_engine_t engine; /* first */
    coh_execute_t *executor;
    coh_world_roots_t roots;
    coh_branches_t *chain;
} sequential_t;

static void fill(void *arg, coh_memview_t *mv)
{
    coh_blocktest_case_t const *test = arg;
    coh_blocktest_fill(mv, test->pre, test->pre_cnt);
}

static bool sequential_open(coh_blocktest_engine_t *engine,
                            coh_blocktest_case_t const *test,
                            coh_block_t const *genesis,
                            coh_buf_t *why)
{
    sequential_t *s                    = (sequential_t *)engine;
    coh_branches_config_t const config = {.schedule      = test->schedule,
                                          .roots         = s->roots,
                                          .fill          = fill,
                                          .fill_arg      = (void *)test,
                                          .genesis       = genesis->header,
                                          .genesis_shape = genesis->header_fork,
                                          .executor      = s->executor};
    s->chain                           = coh_branches_new(&config);
    if (s->chain == NULL) {
        coh_buf_printf(why, "the genesis has another state root than pre");
    }
    return s->chain != NULL;
}

static coh_block_fault_t const *sequential_import(coh_blocktest_engine_t *engine, coh_bytes_t raw)
{
    return coh_branches_import(((sequential_t *)engine)->chain, raw);
}

static coh_hash_t sequential_head(coh_blocktest_engine_t *engine)
{
    return coh_branches_head(((sequential_t *)engine)->chain)->self.hash;
}

static coh_memview_t *sequential_state(coh_blocktest_engine_t *engine)
{
    return coh_branches_state(((sequential_t *)engine)->chain);
}

static void sequential_close(coh_blocktest_engine_t *engine, coh_buf_t *why)
{
    (void)why;
    sequential_t *s = (sequential_t *)engine;
    coh_branches_free(s->chain);
    s->chain = NULL;
}

static void sequential_free(coh_blocktest_engine_t *engine)
{
    sequential_t *s = (sequential_t *)engine;
    coh_execute_free(s->executor);
    free(s);
}

coh_blocktest_engine_t *coh_blocktest_sequential(coh_blocktest_options_t const *options)
{
    sequential_t *s = coh_calloc(1, sizeof(*s));
    s->engine       = (coh_blocktest_engine_t){.open   = sequential_open,
                                               .import = sequential_import,
                                               .head   = sequential_head,
                                               .state  = sequential_state,
                                               .close  = sequential_close,
                                               .free   = sequential_free};
    s->roots        = options->incremental ? COH_WORLD_INCREMENTAL : COH_WORLD_REBUILD;
    s->executor     = coh_execute_new();
    coh_execute_set_loop(s->executor, options->loop);
    coh_execute_set_stutter(s->executor, options->stutter);
    return &s->engine;
}

/* ---- Judging --------------------------------------------------------------------------------------------------------------------- */

/* Says what is wrong; several things one behind the other. */
COH_PRINTF(2, 3) static void complain(coh_blocktest_result_t *out, char const *fmt, ...)
{
    if (out->why.n != 0) {
        coh_buf_printf(&out->why, "; ");
    }
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    coh_buf_printf(&out->why, "%s", text);
}

static void complain_hash(coh_blocktest_result_t *out,
                          char const *what,
                          coh_hash_t const *got,
                          coh_hash_t const *want)
{
    if (!coh_hash_eq(got, want)) {
        char got_text[65];
        char want_text[65];
        coh_hex_encode(got_text, got->b, sizeof(got->b));
        coh_hex_encode(want_text, want->b, sizeof(want->b));
        complain(out, "%s 0x%s, expected 0x%s", what, got_text, want_text);
    }
}

static void judge_block(coh_blocktest_result_t *out,
                        size_t idx,
                        coh_blocktest_block_t const *block,
                        coh_block_fault_t const *fault)
{
    coh_buf_t said = COH_BUF_INIT;
    out->valid_cnt += fault == NULL;
    out->invalid_cnt += fault != NULL;
    if (fault != NULL) {
        coh_block_fault_put(&said, fault);
    }
    if (fault != NULL && block->exception == NULL) {
        complain(out, "block %zu rejected: %.*s", idx, (int)said.n, (char const *)said.p);
    } else if (fault == NULL && block->exception != NULL) {
        complain(out, "block %zu accepted, expected %s", idx, block->exception);
    } else if (fault != NULL) {
        switch (coh_blocktest_error_check(block->exception, fault)) {
        case COH_STATETEST_ERROR_MET: break;
        case COH_STATETEST_ERROR_OTHER:
            complain(out,
                     "block %zu rejected: %.*s, expected %s",
                     idx,
                     (int)said.n,
                     (char const *)said.p,
                     block->exception);
            break;
        case COH_STATETEST_ERROR_UNKNOWN:
            complain(out,
                     "block %zu: expects %s, which this build does not know",
                     idx,
                     block->exception);
            break;
        }
    }
    coh_buf_free(&said);
}

/* As statetest_diff.h wants it. */
static void show_diff(coh_blocktest_result_t *out,
                      coh_memview_t const *mv,
                      coh_blocktest_case_t const *test)
{
    coh_statetest_state_t state = {.accounts = test->post, .account_cnt = test->post_cnt};
    coh_statetest_diff(&out->diff, mv, &state);
}

static void judge_state(coh_blocktest_result_t *out,
                        coh_memview_t const *mv,
                        coh_blocktest_case_t const *test)
{
    coh_hash_t want = test->post_root;
    if (test->has_post) {
        coh_memview_t *post = coh_memview_new(&coh_code_coder, COH_FORK_FRONTIER);
        coh_blocktest_fill(post, test->post, test->post_cnt);
        coh_state_root(&want, post);
        coh_memview_free(post);
    }
    coh_state_root(&out->root, mv);
    complain_hash(out, "state root", &out->root, &want);
    if (test->has_post && !coh_hash_eq(&out->root, &want)) {
        show_diff(out, mv, test);
    }
}

static void run_case(coh_blocktest_engine_t *engine,
                     coh_blocktest_result_t *out,
                     coh_blocktest_case_t const *test)
{
    coh_block_t genesis;
    if (coh_block_decode(&genesis, test->genesis_raw) != COH_OK) {
        complain(out, "genesisRLP is no block");
        return;
    }
    complain_hash(out, "genesis hash", &genesis.hash, &test->genesis_hash);
    if (engine->open(engine, test, &genesis, &out->why)) {
        for (size_t i = 0; i < test->block_cnt; i++) {
            judge_block(out, i, &test->blocks[i], engine->import(engine, test->blocks[i].raw));
        }
        out->head = engine->head(engine);
        complain_hash(out, "head", &out->head, &test->last_hash);
        judge_state(out, engine->state(engine), test);
    }
    engine->close(engine, &out->why);
}

void coh_blocktest_run(coh_blocktest_engine_t *engine,
                       coh_blocktest_result_t *out,
                       coh_blocktest_case_t const *test,
                       coh_blocktest_options_t const *options)
{
    *out           = (coh_blocktest_result_t){.why = COH_BUF_INIT, .diff = COH_BUF_INIT};
    uint64_t start = coh_clock_mono_us();
    run_case(engine, out, test);
    out->elapsed_us = coh_clock_mono_us() - start;
    if (options->timeout_us != 0 && out->elapsed_us > options->timeout_us) {
        complain(out, "took %.1f s", (double)out->elapsed_us / 1e6);
    }
    out->pass = out->why.n == 0;
}

void coh_blocktest_result_free(coh_blocktest_result_t *result)
{
    coh_buf_free(&result->why);
    coh_buf_free(&result->diff);
}
