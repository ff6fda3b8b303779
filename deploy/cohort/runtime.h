/* runtime.h: what runs one rank: an event loop over a transport end, disk threads over a store, and worker threads, around a
   state machine (coh_node_t) that knows none of them. It is the real counterpart of the simulator.

   The loop calls the node with arrived frames, finished disk requests and ticks, then sends what the node put into its
   outboxes: one frame for each destination and round. With nothing to do it first spins a little, then sleeps in ppoll;
   where the transport has no descriptor to wait on (MPI), for a sixteenth of the time that it has been idle, 50 us to 2 ms: so a
   pause is hardly prolonged, and an idle rank costs well under 2 % of a core. */
#ifndef COH_RUNTIME_H
#define COH_RUNTIME_H

#include "common/net/guard.h"
#include "common/net/transport.h"
#include "common/node/env.h"
#include "deploy/cohort/disk.h"

typedef struct coh_runtime coh_runtime_t;

/* Something else that the loop serves: client requests, status pages. */
typedef struct {
    /* Does what there is to do, bounded to a few ms; true if it did anything. Communication thread. now_us: the env's mono_us. */
    bool (*poll)(void *arg, uint64_t now_us);
    void *arg;
    int fd; /* readable when poll has something to do; -1: none, poll is called at least every 10 ms */
} coh_runtime_source_t;

#define COH_RUNTIME_SOURCE_MAX 4

typedef struct {
    coh_transport_t *transport;        /* borrowed until free */
    coh_kv_t *kv;                      /* borrowed until free */
    bool kv_is_rocks;                  /* export RocksDB's figures */
    coh_disk_backups_t const *backups; /* borrowed until free; NULL: none can be made */
    coh_metrics_t *metrics;            /* borrowed until free; may be NULL */
    bool owns_process;    /* export the process' figures: one runtime of each process */
    uint64_t fingerprint; /* of the cluster, for the envelope of frames */
    uint32_t worker_cnt;
    coh_guard_t
        *guard; /* of the peers (guard.h); borrowed until free; NULL: they are of this process */
    uint64_t
        silence_us; /* another rank that is silent for so long is lost, and this one fails (vigil.h); 0: none is watched */
} coh_runtime_options_t;

/* coh_runtime_new prepares the environment of a node and starts the disk threads. Returns: COH_OK; COH_EIO */
coh_err_t coh_runtime_new(coh_runtime_t **out, coh_runtime_options_t const *options);

/* The environment to build the node with. */
coh_env_t *coh_runtime_env(coh_runtime_t *rt);

/* coh_runtime_set_node gives the runtime its node, before run. Taken: freed with the runtime. */
void coh_runtime_set_node(coh_runtime_t *rt, coh_node_t *node);

/* Before run. source is copied. */
void coh_runtime_add_source(coh_runtime_t *rt, coh_runtime_source_t const *source);

/* coh_runtime_run runs the node on the calling thread, from then on the communication thread, until it has finished, failed or was
   abandoned, and the last frames have left.
   Returns: COH_OK finished; COH_ECLOSED abandoned; else it failed, with the reason in err_text */
coh_err_t coh_runtime_run(coh_runtime_t *rt, coh_buf_t *err_text);

/* coh_runtime_stop asks the node for a clean end; coh_runtime_abandon leaves the loop as soon as possible, as when another rank of the process has
   failed. Any thread, signal handlers too. */
void coh_runtime_stop(coh_runtime_t *rt);
void coh_runtime_abandon(coh_runtime_t *rt);

/* Unix time of the loop's last round, in microseconds; 0 before the first. Any thread. */
uint64_t coh_runtime_last_round_us(coh_runtime_t const *rt);

void coh_runtime_free(coh_runtime_t *rt);

#endif
