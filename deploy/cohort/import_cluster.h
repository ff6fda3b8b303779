/* import_cluster.h: a whole cluster in this process that carries out one given block and is then asked, as a client asks, for accounts.
   Coordinator on the calling thread, each shard on a thread of its own, every rank on a RocksDB of its own. */
#ifndef COH_IMPORT_CLUSTER_H
#define COH_IMPORT_CLUSTER_H

#include "common/client/ops.h"
#include "common/config/config.h"
#include "common/config/genesis.h"
#include "coordinator/coordinator.h"
#include "coordinator/seal.h"
#include "deploy/cohort/realblock_state.h"

typedef struct {
    coh_import_result_t result; /* sealed too is owned, if the block is valid */
    coh_op_account_t *accounts; /* in the order asked for; owned */
    coh_realstate_t
        after; /* if it was wanted: all state, read out of the shards' stores when they had stopped; owned */
    uint64_t elapsed_us; /* from handing the block in to its durable decision */
} coh_import_outcome_t;

void coh_import_outcome_free(coh_import_outcome_t *out);

/* coh_import_cluster_run starts config->node_shards shards with config->node_threads threads each on fresh stores in dir (which exists and is empty),
   imports block on top of genesis, and reads accounts; and all state, with wants_state. All arguments are borrowed for the call.
   Returns: COH_OK (look at out->result.err); else the cluster failed, with err_text, and out holds nothing */
coh_err_t coh_import_cluster_run(coh_import_outcome_t *out,
                                 char const *dir,
                                 coh_config_t const *config,
                                 coh_genesis_t const *genesis,
                                 coh_import_block_t const *block,
                                 coh_addr_t const *addrs,
                                 size_t addr_cnt,
                                 bool wants_state,
                                 coh_buf_t *err_text);

#endif
