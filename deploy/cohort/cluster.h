/* cluster.h: a whole cluster in one process: coordinator and node-shards shards, each on a thread of its own with its own
   store, over the in-process link. What `cohort node` runs without mpirun, and what commands embed that need a cluster of their own.

     coh_cluster_open(&c, &(coh_cluster_options_t){.config = &config}, &err);
     coh_cluster_run(c, &err);                     on the thread that becomes the coordinator's
     coh_cluster_close(c);                                                                           */
#ifndef COH_CLUSTER_H
#define COH_CLUSTER_H

#include "deploy/cohort/rank.h"

typedef struct coh_cluster coh_cluster_t;

/* As those of a rank; all borrowed until close. */
typedef struct {
    coh_config_t const *config;
    coh_genesis_t const *genesis;
    coh_gateway_sink_t *sink;
    bool serves_clients;
} coh_cluster_options_t;

/* coh_cluster_open opens all ranks. */
coh_err_t coh_cluster_open(coh_cluster_t **out,
                           coh_cluster_options_t const *options,
                           coh_buf_t *err_text);

/* coh_cluster_run runs the cluster until it has stopped or one rank has failed.
   Returns: COH_OK; else the first failure, with rank and reason in err_text */
coh_err_t coh_cluster_run(coh_cluster_t *cluster, coh_buf_t *err_text);

/* coh_cluster_stop asks for a clean end. Any thread, signal handlers too. */
void coh_cluster_stop(coh_cluster_t *cluster);

/* Rank 0 is the coordinator's. */
coh_rank_t *coh_cluster_rank(coh_cluster_t *cluster, uint32_t rank);

void coh_cluster_close(coh_cluster_t *cluster);

#endif
