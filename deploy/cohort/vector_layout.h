/* vector_layout.h: how official tests are executed, as the command line says it: --loop; and in which cluster: --shards, --threads, --scheduler, --placement, --delay. */
#ifndef COH_VECTOR_LAYOUT_H
#define COH_VECTOR_LAYOUT_H

#include "deploy/cohort/block_cluster.h"

typedef struct {
    uint64_t shards; /* all as they are: in none */
    uint64_t threads;
    char const *scheduler; /* NULL: the default */
    bool has_placement;    /* by chance... */
    uint64_t placement_seed;
    bool is_adversarial; /* or by a first run in order (adversary.h)... */
    char const *pins;    /* or as this file says; NULL: it does not */
    uint64_t delay_us;   /* of messages, at most */
} coh_vector_layout_t;

/* True if there is to be a cluster. */
bool coh_vector_layout_is_set(coh_vector_layout_t const *layout);

/* Functions for COH_ARG_CALL_ROW; dst: the scheduler, the layout. */
coh_err_t coh_vector_layout_set_scheduler(void *dst, char const *value, coh_buf_t *err_text);
coh_err_t coh_vector_layout_set_placement(void *dst, char const *value, coh_buf_t *err_text);

/* The same for an interpreter's loop, a coh_evm_loop_t. */
coh_err_t coh_vector_set_loop(void *dst, char const *value, coh_buf_t *err_text);

/* The rows of a command's options. */
#define COH_VECTOR_LAYOUT_ROWS(layout)                                                             \
    COH_ARG_U64_ROW(                                                                               \
        "shards", "K", &(layout)->shards, 1, 1024, "run each case in a cluster of K shards"),      \
        COH_ARG_U64_ROW("threads", "T", &(layout)->threads, 1, 256, "with T worker threads each"), \
        COH_ARG_CALL_ROW("scheduler",                                                              \
                         "NAME",                                                                   \
                         coh_vector_layout_set_scheduler,                                          \
                         &(layout)->scheduler,                                                     \
                         "and this scheduler: optimistic, locking or sequential"),                 \
        COH_ARG_CALL_ROW("placement",                                                              \
                         "POLICY",                                                                 \
                         coh_vector_layout_set_placement,                                          \
                         layout,                                                                   \
                         "and accounts placed by chance (random:SEED), as a file says "            \
                         "(pinned:FILE), or as is worst for each case, by a first run in order: "  \
                         "contracts apart from all that they call (adversarial)"),                 \
        COH_ARG_U64_ROW("delay",                                                                   \
                        "US",                                                                      \
                        &(layout)->delay_us,                                                       \
                        0,                                                                         \
                        1000000,                                                                   \
                        "and messages under way for 0 to US microseconds, as chance has it")

/* coh_vector_layout_put appends the options that say the same. */
void coh_vector_layout_put(coh_buf_t *out, coh_vector_layout_t const *layout);

/* coh_vector_layout_cluster starts such a cluster; release it with coh_block_cluster_free. random is for its texts, and must live as long. */
coh_block_cluster_t *coh_vector_layout_cluster(coh_vector_layout_t const *layout, char random[40]);

#endif
