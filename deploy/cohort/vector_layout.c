#include "deploy/cohort/vector_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/evm/evm.h"
#include "shard/sched.h"

#define RANDOM_SZ 40u
#define PINNED    "pinned:"

bool coh_vector_layout_is_set(coh_vector_layout_t const *layout)
{
    return layout->shards != 0 || layout->threads != 0 || layout->scheduler != NULL ||
           layout->has_placement || layout->is_adversarial || layout->pins != NULL ||
           layout->delay_us != 0;
}

coh_err_t coh_vector_layout_set_scheduler(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_sched_kind_t kind;
    if (coh_sched_kind_parse(&kind, value) != COH_OK) {
        coh_buf_printf(err_text, "expected optimistic, locking or sequential");
        return COH_EINVAL;
    }
    *(char const **)dst = coh_sched_kind_str(kind);
    return COH_OK;
}

coh_err_t coh_vector_layout_set_placement(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_vector_layout_t *layout = dst;
    char rest;
    layout->has_placement  = false;
    layout->pins           = NULL;
    layout->is_adversarial = strcmp(value, "adversarial") == 0;
    if (strncmp(value, PINNED, strlen(PINNED)) == 0) {
        layout->pins = value;
    } else if (sscanf(value, "random:%" SCNu64 "%c", &layout->placement_seed, &rest) == 1) {
        layout->has_placement = true;
    } else if (!layout->is_adversarial) {
        coh_buf_printf(err_text, "expected random:SEED, pinned:FILE or adversarial");
        return COH_EINVAL;
    }
    return COH_OK;
}

coh_err_t coh_vector_set_loop(void *dst, char const *value, coh_buf_t *err_text)
{
    coh_evm_loop_t *loop = dst;
    if (strcmp(value, "fast") == 0) {
        *loop = COH_EVM_FAST;
    } else if (strcmp(value, "switch") == 0) {
        *loop = COH_EVM_SWITCH;
    } else {
        coh_buf_printf(err_text, "expected fast or switch");
        return COH_EINVAL;
    }
    return COH_OK;
}

void coh_vector_layout_put(coh_buf_t *out, coh_vector_layout_t const *layout)
{
    if (layout->shards != 0) {
        coh_buf_printf(out, " --shards %" PRIu64, layout->shards);
    }
    if (layout->threads != 0) {
        coh_buf_printf(out, " --threads %" PRIu64, layout->threads);
    }
    if (layout->scheduler != NULL) {
        coh_buf_printf(out, " --scheduler %s", layout->scheduler);
    }
    if (layout->has_placement) {
        coh_buf_printf(out, " --placement random:%" PRIu64, layout->placement_seed);
    } else if (layout->pins != NULL) {
        coh_buf_printf(out, " --placement %s", layout->pins);
    } else if (layout->is_adversarial) {
        coh_buf_printf(out, " --placement adversarial");
    }
    if (layout->delay_us != 0) {
        coh_buf_printf(out, " --delay %" PRIu64, layout->delay_us);
    }
}

coh_block_cluster_t *coh_vector_layout_cluster(coh_vector_layout_t const *layout, char random[40])
{
    (void)snprintf(random, RANDOM_SZ, "random:%" PRIu64, layout->placement_seed);
    char const *home = layout->has_placement ? random : NULL;
    return coh_block_cluster_new(
        &(coh_block_cluster_layout_t){.shard_cnt  = (uint32_t)COH_MAX(layout->shards, 1),
                                      .thread_cnt = (uint32_t)COH_MAX(layout->threads, 1),
                                      .placement  = home != NULL ? home : layout->pins,
                                      .home       = home,
                                      .scheduler  = layout->scheduler,
                                      .seed       = layout->placement_seed,
                                      .delay_us   = layout->delay_us});
}
