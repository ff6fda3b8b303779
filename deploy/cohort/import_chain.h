/* import_chain.h: an exported chain (concatenated RLP blocks, as geth's `export` writes them) through a whole cluster in this process, block after block until the end or the
   first invalid one. Coordinator on the calling thread, each shard on a thread of its own, every rank on a RocksDB of its own. */
#ifndef COH_IMPORT_CHAIN_H
#define COH_IMPORT_CHAIN_H

#include "common/chain/line.h"
#include "common/config/config.h"
#include "common/config/genesis.h"

typedef struct {
    coh_config_t const
        *config; /* with node-data: a directory that may hold blocks already, and node-genesis */
    char const *rlp_path;
    bool produced;       /* blocks are under the rules of coh_replay_produced */
    bool shows_progress; /* each few seconds, on standard error */
} coh_import_chain_options_t;

typedef struct {
    uint64_t imported_cnt;
    uint64_t skipped_cnt;    /* blocks that the directory held already, the genesis aside */
    uint64_t tx_cnt, gas;    /* of those imported */
    uint64_t head;           /* last block in the directory */
    coh_hash_t hash;         /* its hash */
    uint64_t elapsed_us;     /* from the first block handed over to the last durable decision */
    coh_block_fault_t fault; /* why the first invalid block is... */
    uint64_t fault_number;   /* ...and which */
} coh_import_chain_outcome_t;

/* coh_import_chain_run imports the file. Memory does not depend on its size: it is mapped, and COH_IMPORT_QUEUE_MAX blocks at most are under way.
   Returns: COH_OK all blocks of the file are in the directory, or, with out->fault, those before the first invalid one are; else what failed,
            with err_text: COH_EINVAL also if the directory holds another block than the file under the same number */
coh_err_t coh_import_chain_run(coh_import_chain_outcome_t *out,
                               coh_import_chain_options_t const *options,
                               coh_buf_t *err_text);

#endif
