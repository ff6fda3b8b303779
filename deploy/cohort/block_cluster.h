/* block_cluster.h: a whole cluster inside one call: given a state and blocks, it executes the blocks on so many shards with so many threads each, and
   hands back what became of every block and the state afterwards. For official tests, comparisons of layouts, and whoever wants a block's outcome
   without a data directory: stores are in memory, and nothing survives the call.

   The ranks are the real state machines. Their communication threads are one, the caller's, which takes turns between them in an order drawn from
   the seed, so that messages of different pairs overtake each other; with one thread a run is repeatable to the last step. The other threads are
   started once and used again from call to call: a run of a small block costs a millisecond or two. */
#ifndef COH_BLOCK_CLUSTER_H
#define COH_BLOCK_CLUSTER_H

#include "common/wire/wire.h"
#include "coordinator/coordinator.h"
#include "coordinator/seal.h"
#include "deploy/cohort/store_walk.h"

typedef struct {
    uint32_t shard_cnt;    /* 1.. */
    uint32_t thread_cnt;   /* of each shard, 1.. */
    char const *placement; /* as placement-policy; NULL: the default */
    char const *home;      /* as placement-home; NULL: the default */
    char const *scheduler; /* as shard-scheduler; NULL: the default */
    uint64_t seed;         /* of the order of steps, and of delays */
    /* Messages arrive so many microseconds after they were sent, drawn from 0 to this, in order between two ranks; 0: at once. By the cluster's clock, which moves by one with each step of a
       rank, and over times in which there is nothing to do but to wait. */
    uint64_t delay_us;
    /* As state-cache-entries, raised to what the blocks need; 0: enough for usual blocks. */
    uint64_t cache_entries;
    /* At most so many times, at any moment, all ranks are taken down and opened again over what their stores hold; then state is also
       flushed after each few blocks. */
    uint32_t restart_cnt;
    /* NULL, or by message id (coh_msg_id_t, 0..COH_MSG_ID_MAX): messages sent are added here. */
    uint64_t *message_cnt;
    /* NULL, or by rank (0..shard_cnt; they may be the same): where the counters of the ranks go; borrowed until free. */
    coh_metrics_t *const *metrics;
} coh_block_cluster_layout_t;

typedef struct coh_block_cluster coh_block_cluster_t;

/* coh_block_cluster_move moves accounts, from the visitor's turn: coh_coordinator_move. */
coh_err_t coh_block_cluster_move(coh_block_cluster_t *c, coh_override_t const *wanted, size_t cnt);

/* What happened in a run. */
typedef struct {
    uint32_t restart_cnt;
    uint32_t restart_amid_cnt; /* of these, those that found some blocks committed, and some not */
    uint32_t
        untold_cnt; /* blocks that were committed, but a restart came before the visitor was told */
} coh_block_cluster_report_t;

/* coh_block_cluster_new starts thread_cnt - 1 threads. layout is copied, but for its texts: borrowed until free. */
coh_block_cluster_t *coh_block_cluster_new(coh_block_cluster_layout_t const *layout);
void coh_block_cluster_free(coh_block_cluster_t *c);

/* coh_block_cluster_place gives what opens from here on another placement than the layout says: as placement-policy; borrowed until then. */
void coh_block_cluster_place(coh_block_cluster_t *c, char const *placement);

/* Who is told. All may be NULL; what is handed over is borrowed for the call. */
typedef struct {
    void (*block)(
        void *arg,
        coh_import_result_t const *
            result); /* in order; with restarts it may miss some that were decided just before one */
    /* Of the state after the last valid block; with an arg of its own. What makes it fail fails the run. */
    coh_store_walker_t walker;
    /* Between steps, from the first block on: may ask (coh_block_cluster_ask). True: the cluster shall not end yet. */
    bool (*turn)(void *arg, uint64_t head);
    /* An answer to what was asked (client/ops.def). What is asked before a restart is answered by it never. */
    void (*reply)(void *arg, uint64_t request, coh_bytes_t data);
    void *arg;
} coh_block_cluster_visitor_t;

/* coh_block_cluster_ask asks as a client does; from turn and reply only. */
void coh_block_cluster_ask(coh_block_cluster_t *c, uint64_t request, coh_bytes_t data);

/* A run in pieces. coh_block_cluster_open starts the ranks on genesis (finished: coh_genesis_finish; borrowed until close); tx_max: the most transactions of a
   block to come. coh_block_cluster_import hands blocks over, on top of what was committed, and tells the visitor of them; an invalid one leaves the cluster
   running. coh_block_cluster_close ends it and lets the visitor see the state.
   Returns: COH_OK; else it is over, with err_text, and nothing is to be closed */
coh_err_t coh_block_cluster_open(coh_block_cluster_t *c,
                                 coh_genesis_t const *genesis,
                                 uint64_t tx_max,
                                 coh_buf_t *err_text);
coh_err_t coh_block_cluster_import(coh_block_cluster_t *c,
                                   coh_import_block_t const *blocks,
                                   size_t block_cnt,
                                   coh_block_cluster_visitor_t const *visitor,
                                   coh_buf_t *err_text);
coh_err_t coh_block_cluster_close(coh_block_cluster_t *c,
                                  coh_block_cluster_visitor_t const *visitor,
                                  coh_buf_t *err_text);

/* coh_block_cluster_run is all of that: it imports blocks on top of genesis (finished: coh_genesis_finish). Code is visited first, then accounts, then slots.
   Returns: COH_OK the cluster worked: what became of the blocks, the visitor was told; else it failed, with err_text: the visitor may have been
            told of blocks, and of no state */
coh_err_t coh_block_cluster_run(coh_block_cluster_t *c,
                                coh_genesis_t const *genesis,
                                coh_import_block_t const *blocks,
                                size_t block_cnt,
                                coh_block_cluster_visitor_t const *visitor,
                                coh_buf_t *err_text);

/* Of the last run. */
coh_block_cluster_report_t coh_block_cluster_report(coh_block_cluster_t const *c);

#endif
