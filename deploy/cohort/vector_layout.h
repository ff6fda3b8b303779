/* vector_layout.h: how official tests are executed, as the command line says it: --loop; and in which cluster: --shards, --threads, --scheduler, --placement. */
#ifndef COH_VECTOR_LAYOUT_H
#define COH_VECTOR_LAYOUT_H

#include "deploy/cohort/block_cluster.h"

typedef struct {
    uint64_t shards; /* all as they are: in none */
    uint64_t threads;
    char const *scheduler; /* NULL: the default */
    bool has_placement;    /* ... */
    uint64_t placement_seed;
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
                         "random:SEED",                                                            \
                         coh_vector_layout_set_placement,                                          \
                         layout,                                                                   \
                         "and accounts placed by this seed")

/* coh_vector_layout_put appends the options that say the same. */
void coh_vector_layout_put(coh_buf_t *out, coh_vector_layout_t const *layout);

/* coh_vector_layout_cluster starts such a cluster; release it with coh_block_cluster_free. random is for its texts, and must live as long. */
coh_block_cluster_t *coh_vector_layout_cluster(coh_vector_layout_t const *layout, char random[40]);

#endif
