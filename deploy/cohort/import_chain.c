#include "deploy/cohort/import_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/chain/replay.h"
#include "coordinator/seal.h"
#include "deploy/cohort/chain_import.h"
#include "deploy/cohort/chain_store.h"
#include "deploy/cohort/cluster.h"

/* Blocks that make no progress for so long never will. */
#define PATIENCE_US UINT64_C(600000000)
#define PROGRESS_US UINT64_C(2000000)

/* STARTING ─ready─▶ FEEDING ─end of the file, or an invalid block─▶ DRAINING ─all decided─▶ ENDING, the clean stop of all ranks */
typedef enum { STARTING, FEEDING, DRAINING, ENDING } step_t;

typedef struct {
    coh_import_chain_options_t const *options;
    coh_import_chain_outcome_t *out;
    coh_bytes_t chain; /* the mapped file */
    size_t at;
    coh_line_t line; /* up to the last block handed over */
    coh_plan_t plan;
    coh_chain_import_t import;
    coh_block_t block; /* the next one, if has_block: in import, not handed over yet */
    bool has_block;
    coh_cluster_t *ranks;
    coh_coordinator_t *coordinator;
    step_t step;
    coh_err_t err;
    coh_buf_t why; /* with err */
    uint64_t under_way;
    uint64_t start_us;
    uint64_t moved_us; /* the last block was decided */
    uint64_t shown_us;
} import_t;

/* ---- The file -------------------------------------------------------------------------------------------------------------------- */

static coh_err_t map_file(coh_bytes_t *out, char const *path, coh_buf_t *err_text)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *out   = (coh_bytes_t){0};
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        coh_buf_printf(err_text, "%s: %s", path, fd < 0 ? strerror(errno) : "not a file");
        if (fd >= 0) {
            (void)close(fd);
        }
        return COH_ENOTFOUND;
    }
    if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            coh_buf_printf(err_text, "%s: %s", path, strerror(errno));
            (void)close(fd);
            return COH_EIO;
        }
        (void)madvise(p, (size_t)st.st_size, MADV_SEQUENTIAL);
        *out = coh_bytes(p, (size_t)st.st_size);
    }
    (void)close(fd);
    return COH_OK;
}

static void unmap_file(coh_bytes_t chain)
{
    if (chain.p != NULL) {
        (void)munmap((void *)(uintptr_t)chain.p, chain.n);
    }
}

/* ---- Blocks that are there already ----------------------------------------------------------------------------------------------- */

/* Compares a block at or below the head with the one that is there. False: it is another, or cannot be read. */
static bool compare_stored(import_t *im,
                           coh_chain_store_t const *store,
                           coh_genesis_t const *genesis,
                           coh_block_t const *block)
{
    uint64_t number = block->header.number;
    coh_hash_t hash = genesis->hash;
    if (store != NULL) {
        coh_err_t err = coh_chain_store_hash(store, &hash, number);
        if (err != COH_OK) {
            im->err = err;
            coh_buf_printf(&im->why, "reading block %" PRIu64 ": %s", number, coh_err_str(err));
            return false;
        }
    }
    if (!coh_hash_eq(&hash, &block->hash)) {
        im->err = COH_EINVAL;
        coh_buf_printf(&im->why,
                       number == genesis->number
                           ? "block %" PRIu64 " of the file is not the genesis given"
                           : "block %" PRIu64 " of the file is not the one in the data directory",
                       number);
        return false;
    }
    im->out->skipped_cnt += number != genesis->number;
    return true;
}

/* Moves past the blocks that are there. store: NULL if that is the genesis alone. */
static void skip_stored(import_t *im, coh_chain_store_t const *store, coh_genesis_t const *genesis)
{
    uint64_t head = coh_line_tip(&im->line)->self.header.number;
    coh_bytes_t raw;
    coh_block_t block;
    for (;;) {
        size_t next = im->at;
        /* What is malformed is found again, and reported, when it is fed. */
        if (coh_block_next_raw(&raw, im->chain, &next) != COH_OK ||
            coh_block_decode(&block, raw) != COH_OK || block.header.number > head ||
            block.header.number < genesis->number || !compare_stored(im, store, genesis, &block)) {
            return;
        }
        im->at = next;
    }
}

/* Finds where to go on: behind the head of the data directory, or behind the genesis. */
static coh_err_t find_start(import_t *im, coh_buf_t *err_text)
{
    coh_config_t const *config   = im->options->config;
    char const *genesis_path     = config->node_genesis[0] != '\0' ? config->node_genesis : NULL;
    coh_genesis_t own            = {0};
    coh_chain_store_t *store     = NULL;
    coh_genesis_t const *genesis = &own;
    coh_schedule_t schedule;
    coh_err_t err;
    if (coh_chain_store_has(config->node_data)) {
        err = coh_chain_store_open(&store, config->node_data, genesis_path, err_text);
        COH_TRY(err);
        genesis = coh_chain_store_genesis(store);
    } else if (genesis_path == NULL) {
        coh_buf_printf(err_text, "a fresh start needs --genesis");
        return COH_EINVAL;
    } else {
        COH_TRY(coh_genesis_load(&own, genesis_path, err_text));
    }
    coh_replay_schedule(&schedule, genesis);
    if (im->options->produced) {
        coh_replay_produced(&schedule, genesis, config->block_root_every);
    }
    if (store != NULL) {
        err = coh_chain_store_line(store, &im->line, &schedule, err_text);
    } else {
        coh_line_init(&im->line,
                      &schedule,
                      &genesis->header,
                      coh_genesis_fork(genesis, genesis->number, genesis->timestamp),
                      &genesis->header.difficulty);
        err = COH_OK;
    }
    if (err == COH_OK) {
        skip_stored(im, store, genesis);
        err = im->err;
        coh_buf_put(err_text, im->why.p, im->why.n);
    }
    im->out->head = coh_line_tip(&im->line)->self.header.number;
    im->out->hash = coh_line_tip(&im->line)->self.hash;
    coh_chain_store_close(store);
    coh_genesis_free(&own);
    return err;
}

/* ---- Feeding the cluster --------------------------------------------------------------------------------------------------------- */

static void fail(import_t *im, coh_err_t err, char const *what)
{
    im->err = err;
    coh_buf_printf(
        &im->why, "block %" PRIu64 ": %s", coh_line_tip(&im->line)->self.header.number + 1, what);
    im->step = DRAINING;
}

/* Only the first one counts: those behind it are given up for its sake. */
static void note_fault(import_t *im, uint64_t number, coh_block_fault_t const *fault)
{
    if (im->out->fault.err == COH_BLOCK_OK || number < im->out->fault_number) {
        im->out->fault        = *fault;
        im->out->fault_number = number;
    }
    im->step = DRAINING;
}

static void on_imported(void *arg, coh_import_result_t const *result)
{
    import_t *im = arg;
    im->under_way--;
    im->moved_us = coh_clock_mono_us();
    if (result->err == COH_OK) {
        im->out->imported_cnt++;
        im->out->tx_cnt += result->sealed->tx_cnt;
        im->out->gas += result->gas_used;
        im->out->head = result->number;
        im->out->hash = result->hash;
    } else if (result->err == COH_EINVAL) {
        note_fault(im, result->number, &result->fault);
    } else if (im->err == COH_OK) {
        im->err = result->err;
        coh_buf_printf(&im->why, "block %" PRIu64 ": %s", result->number, coh_err_str(result->err));
        im->step = DRAINING;
    }
}

/* Reads, checks and plans the next block. False: there is none, or it is invalid. */
static bool prepare(import_t *im)
{
    coh_block_fault_t fault = {.err = COH_BLOCK_MALFORMED};
    coh_rules_t rules;
    coh_bytes_t raw;
    coh_err_t err = coh_block_next_raw(&raw, im->chain, &im->at);
    if (err == COH_ENOTFOUND) {
        im->step = DRAINING;
        return false;
    }
    if (err == COH_OK) {
        err       = coh_block_decode(&im->block, raw);
        fault.err = err == COH_ETOOBIG ? COH_BLOCK_EXTRA_SIZE : COH_BLOCK_MALFORMED;
    }
    if (err != COH_OK || !coh_line_check(&im->line, &fault, &rules, &im->block) ||
        !coh_plan_make(&im->plan, &fault, &im->block, &rules)) {
        note_fault(im, coh_line_tip(&im->line)->self.header.number + 1, &fault);
        return false;
    }
    err = coh_chain_import_make(&im->import, &im->plan, &im->block, &rules);
    if (err != COH_OK) {
        fail(im, err, "a step has more octets than one may have");
        return false;
    }
    if (im->options->produced && im->block.ommer_cnt == 0 && im->block.withdrawal_cnt == 0) {
        im->import.expect.extra = (coh_bytes_t){0}; /* stored as it was where it was produced */
    }
    return true;
}

/* Hands one block over. False: nothing to do now. */
static bool feed(import_t *im)
{
    if (!im->has_block && !prepare(im)) {
        return true;
    }
    im->has_block = true;
    coh_err_t err = coh_coordinator_import(im->coordinator, &im->import.block, on_imported, im);
    if (err == COH_EBUSY) {
        return false;
    }
    if (err != COH_OK) {
        fail(im,
             err,
             err == COH_ETOOBIG ? "more transactions than block-tx-max allows" : coh_err_str(err));
        return true;
    }
    coh_line_push(&im->line, &im->block);
    im->has_block = false;
    im->under_way++;
    return true;
}

static void show_progress(import_t *im, uint64_t now_us)
{
    if (im->options->shows_progress && now_us - im->shown_us >= PROGRESS_US) {
        double seconds = (double)(now_us - im->start_us) / 1e6;
        (void)fprintf(stderr,
                      "block %" PRIu64 ": %.1f %% of the file, %.0f blocks/s, %.0f "
                      "transactions/s\n",
                      im->out->head,
                      100.0 * (double)im->at / (double)im->chain.n,
                      (double)im->out->imported_cnt / seconds,
                      (double)im->out->tx_cnt / seconds);
        im->shown_us = now_us;
    }
}

/* One step of the work, on the coordinator's communication thread. */
static bool poll_work(void *arg, uint64_t loop_us)
{
    (void)loop_us;
    import_t *im = arg;
    uint64_t now = coh_clock_mono_us();
    if (im->step != ENDING && now - im->moved_us > PATIENCE_US) {
        fail(im, COH_ETIMEOUT, "nothing was decided for ten minutes");
        im->under_way = 0;
    }
    switch (im->step) {
    case STARTING:
        if (coh_coordinator_is_ready(im->coordinator)) {
            im->start_us = im->shown_us = im->moved_us = now;
            im->step                                   = FEEDING;
        }
        return im->step == FEEDING;
    case FEEDING: show_progress(im, now); return feed(im);
    case DRAINING:
        show_progress(im, now);
        if (im->under_way == 0) {
            im->out->elapsed_us = im->moved_us - im->start_us;
            im->step            = ENDING;
            coh_cluster_stop(im->ranks);
        }
        return im->step == ENDING;
    case ENDING: break;
    }
    return false;
}

static coh_err_t run_cluster(import_t *im, coh_buf_t *err_text)
{
    coh_config_t own     = *im->options->config;
    own.status_listen[0] = '\0';
    COH_TRY(coh_cluster_open(&im->ranks, &(coh_cluster_options_t){.config = &own}, err_text));
    im->coordinator = coh_rank_coordinator(coh_cluster_rank(im->ranks, 0));
    im->moved_us    = coh_clock_mono_us();
    coh_rank_add_source(coh_cluster_rank(im->ranks, 0),
                        &(coh_runtime_source_t){.poll = poll_work, .arg = im, .fd = -1});
    coh_err_t err = coh_cluster_run(im->ranks, err_text);
    coh_cluster_close(im->ranks);
    if (err == COH_OK && im->err != COH_OK) {
        coh_buf_put(err_text, im->why.p, im->why.n);
        err = im->err;
    }
    return err;
}

coh_err_t coh_import_chain_run(coh_import_chain_outcome_t *out,
                               coh_import_chain_options_t const *options,
                               coh_buf_t *err_text)
{
    import_t im = {.options = options, .out = out};
    *out        = (coh_import_chain_outcome_t){.fault = {.err = COH_BLOCK_OK}};
    coh_plan_init(&im.plan);
    coh_err_t err = map_file(&im.chain, options->rlp_path, err_text);
    if (err == COH_OK) {
        err = find_start(&im, err_text);
    }
    if (err == COH_OK) {
        err = run_cluster(&im, err_text);
    }
    unmap_file(im.chain);
    coh_plan_fini(&im.plan);
    coh_chain_import_free(&im.import);
    coh_buf_free(&im.why);
    return err;
}
