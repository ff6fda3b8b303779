/* rank.h: one rank put together: data directory, store, metrics, state machine, runtime, the pages by which it is watched
   and, on rank 0, the clients' door. Opened on one thread and run on one; the rest is safe where it says so. */
#ifndef COH_RANK_H
#define COH_RANK_H

#include "common/config/config.h"
#include "common/net/transport.h"
#include "coordinator/coordinator.h"
#include "deploy/cohort/runtime.h"

typedef struct coh_rank coh_rank_t;

typedef struct {
    coh_config_t const *config; /* borrowed until close */
    coh_transport_t *transport; /* this rank's end; borrowed until close */
    bool owns_process;          /* one rank of each process: exports the process' figures */
    bool serves_clients;        /* rank 0: opens client-listen and client-publish */
    coh_gateway_sink_t
        *sink; /* rank 0 without clients: where answers go; borrowed until close, or NULL */
    /* The chain's beginning; borrowed until close. NULL: node-genesis, or the copy in the folder. */
    coh_genesis_t const *genesis;
    bool watches_ranks; /* of other processes: see net-silence-seconds */
    coh_rank_t *
        sibling; /* another rank of this process whose genesis to share, closed later than this one; or NULL */
} coh_rank_options_t;

/* coh_rank_open opens everything, in the folder of the transport's rank under node-data.
   Returns: COH_OK; any error of its parts, with the reason in err_text */
coh_err_t coh_rank_open(coh_rank_t **out, coh_rank_options_t const *options, coh_buf_t *err_text);

/* coh_rank_run: as coh_runtime_run. */
coh_err_t coh_rank_run(coh_rank_t *rank, coh_buf_t *err_text);

/* coh_rank_stop asks rank 0, and so the cluster, for a clean end; a shard waits for rank 0's word and ignores it. coh_rank_abandon makes
   coh_rank_run return as soon as possible. Any thread, signal handlers too. */
void coh_rank_stop(coh_rank_t *rank);
void coh_rank_abandon(coh_rank_t *rank);

/* Something else to be served on the communication thread; before run. */
void coh_rank_add_source(coh_rank_t *rank, coh_runtime_source_t const *source);

/* The coordinator of rank 0, NULL on others; its functions: communication thread. */
coh_coordinator_t *coh_rank_coordinator(coh_rank_t *rank);

void coh_rank_close(coh_rank_t *rank);

#endif
