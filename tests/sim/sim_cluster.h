/* sim_cluster.h: a whole cluster in one thread: coordinator and shards, as they run in production, over a simulated network, clock and
   disks. Everything that could happen in another order is an event in one queue, at a time drawn from one seeded generator: one seed, one history.

   Network  per ordered pair of ranks frames arrive whole and in order; delays differ between pairs and from frame to frame. Frames of one call may be gathered
            with those of the next.
   Disk     one write after another, reads beside them, each at its own time; see sim_disk.h for what a crash leaves.
   Workers  work(node, w) is called at random times for each worker that was woken, and not for one that was not: a lost wake-up shows as a stand-still.
   Crash    by the platform's rule a rank that dies ends the job: all ranks stop at one moment, messages under way vanish, each disk keeps what it may, all
            start again.

   What the ranks say and write is shown to a watcher (sim_watch_t), which knows nothing of time and order but what it sees. */
#ifndef COH_SIM_CLUSTER_H
#define COH_SIM_CLUSTER_H

#include "common/base/rng.h"
#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/node/env.h"

typedef struct sim sim_t;

/* Bugs that can be planted at the seams, to see the checkers catch them. */
typedef enum {
    SIM_PLANT_NONE,
    SIM_PLANT_SKIP_REDO_SYNC,     /* shards' disks report redo records as synced that are not */
    SIM_PLANT_SKIP_DECISION_SYNC, /* the coordinator's disk does so with decision records */
    SIM_PLANT_EARLY_DECISION, /* the coordinator's disk reports a decision record before it begins to write it */
    SIM_PLANT_DROP_RETRACT,  /* RETRACT between shards arrives as one of an incarnation long gone */
    SIM_PLANT_LOCAL_RETRACT, /* a retraction inside a shard is skipped (hook, COH_DEEP_CHECKS) */
    SIM_PLANT_CNT
} sim_plant_t;

typedef struct {
    uint32_t shard_cnt;
    uint32_t worker_cnt;          /* of each rank */
    coh_config_t const *config;   /* borrowed */
    coh_genesis_t const *genesis; /* borrowed */
    uint64_t net_us_max;          /* usual delay of a frame: up to this, by pair */
    uint64_t disk_us_max;         /* usual time of a disk request */
    uint64_t work_us_max;         /* from a worker's call to its next */
    uint64_t tick_us;             /* longest time between two calls of on_tick */
    uint32_t slow_percent;        /* of frames and disk requests take 20 times as long */
    uint32_t eio_permille;        /* of disk requests fail */
    uint32_t peek_percent;        /* of keys asked for at once are in the store's memory */
    bool metrics;                 /* ranks keep metrics and send them about */
    bool trace;                   /* keep the last events as text */
    sim_plant_t plant;
} sim_params_t;

/* Who looks on. All are called in the middle of an event: they may draw conclusions, and fail the history, but not call into the cluster. */
typedef struct sim_watch sim_watch_t;
struct sim_watch {
    /* What rank src has just said to rank dst, as a frame; it leaves now or a little later. */
    void (*on_frame)(sim_watch_t *watch, uint32_t src, uint32_t dst, coh_bytes_t frame);
    void (*on_reply)(sim_watch_t *watch, uint64_t request, coh_bytes_t data);
    void (*on_publish)(sim_watch_t *watch, coh_bytes_t data);
    /* A timer of sim_after went off. This one may call into the cluster. */
    void (*on_timer)(sim_watch_t *watch, uint32_t what);
    /* The job ended by itself: all ranks stopped (failed is NULL), or one failed after a disk error. */
    void (*on_end)(sim_watch_t *watch, char const *failed);
};

sim_t *sim_new(sim_params_t const *params, uint64_t seed, sim_watch_t *watch);
void sim_free(sim_t *sim);

/* sim_start starts all ranks on what their disks hold. */
void sim_start(sim_t *sim);
/* sim_crash ends all ranks at this moment; timers stay. */
void sim_crash(sim_t *sim);
/* sim_stop asks the coordinator for a clean end. */
void sim_stop(sim_t *sim);
bool sim_is_running(sim_t const *sim);
bool sim_is_ready(sim_t const *sim);

/* sim_step carries out the next event; false if there is none or the history has failed. */
bool sim_step(sim_t *sim);

/* sim_request hands a client's request to the coordinator. Only while running. */
void sim_request(sim_t *sim, uint64_t request, coh_bytes_t data);
/* sim_coordinator is the running coordinator, for calls that have no message (import); sim_after_call must follow each. */
struct coh_coordinator *sim_coordinator(sim_t *sim);
void sim_after_call(sim_t *sim);
/* sim_after sets a timer of the watcher. */
void sim_after(sim_t *sim, uint64_t delay_us, uint32_t what);

uint64_t sim_now(sim_t const *sim);
uint32_t sim_shard_cnt(sim_t const *sim);
uint64_t sim_run(sim_t const *sim); /* how often the job was started */
uint64_t sim_events(sim_t const *sim);
coh_rng_t *sim_rng(sim_t *sim);
struct sim_disk *sim_disk_of(sim_t *sim, uint32_t rank);
/* Disk errors may happen from now on, or not any more. */
void sim_allow_disk_errors(sim_t *sim, bool allow);
/* How often it happened so far: what the history was good for. */
typedef struct {
    uint64_t reads;    /* READ from shard to shard */
    uint64_t retracts; /* RETRACT */
    uint64_t waves;    /* WAVE */
    uint64_t pieces;   /* MIGRATE */
    uint64_t moves;    /* MOVE_END of rounds that were committed... */
    uint64_t stays;    /* ...or refused */
    uint64_t aborts;   /* ABORT */
    uint64_t loads;    /* reads from disk */
    uint64_t errors;   /* failed disk requests */
    uint64_t lost;     /* writes that a crash took */
    uint64_t backups;  /* whole ones */
} sim_counts_t;
void sim_add_counts(sim_t const *sim, sim_counts_t *counts);
/* A digest of everything that happened so far. */
uint64_t sim_history(sim_t const *sim);

/* sim_fail ends the history as a failed one; the first reason counts. */
COH_PRINTF(2, 3) void sim_fail(sim_t *sim, char const *fmt, ...);
/* The reason, or NULL. */
char const *sim_failed(sim_t const *sim);
/* sim_trace adds a line to the trace, if one is kept. */
COH_PRINTF(2, 3) void sim_trace(sim_t *sim, char const *fmt, ...);
/* sim_print_trace writes the last events to standard error. */
void sim_print_trace(sim_t const *sim);

#endif
