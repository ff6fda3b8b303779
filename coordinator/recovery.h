/* recovery.h: what the coordinator's store says at start, and whether what a shard says of itself fits to it.

   The order of reads is the argument. First the decision log is read to its end: that is final, because nobody else writes to it, and a decision that
   is not there now was never told to anybody (write, sync, then speak). Only then HELLOs are judged, in any order: a block that a shard has
   prepared is committed if its record is in the log, and otherwise it never will be (presumed abort). So each shard is answered alone, without knowing the
   others' words, and all of them follow the same log: a block is applied everywhere or nowhere.

   What makes a HELLO unfit (the job ends; the text names rank, what, found, expected):
     - another program version, chain, genesis, CLUSTER options, or layout
     - effects of blocks above the head in its flat tables: this coordinator has lost decisions
     - no redo record of the last block in which it voted with one, and flat tables below that: the shard has lost its state */
#ifndef COH_RECOVERY_H
#define COH_RECOVERY_H

#include "common/config/config.h"
#include "common/config/genesis.h"
#include "common/state/directory.h"
#include "common/wire/wire.h"
#include "coordinator/chain.h"

/* BLOCKHASH reaches so far back. */
#define COH_BLOCK_HASHES 256u

typedef struct {
    bool fresh; /* nothing was stored: coh_recovery_identity must be durable before anything else */
    coh_directory_t dir;
    coh_chain_t *chain;  /* owned by whoever takes it */
    uint64_t *last_redo; /* by shard; the same */
    uint64_t block_cnt;  /* blocks that were indexed again */
    coh_buf_t hashes;    /* of the last COH_BLOCK_HASHES blocks up to head, ascending; owned */
    /* What HELLO must say. */
    uint32_t rank_cnt;
    uint64_t chain_id;
    coh_hash_t genesis;
    uint64_t config_hash;
    uint64_t head;
    uint64_t since; /* see coh_recovery_relayout; 0: the layout is the first one */
} coh_recovery_t;

/* coh_recovery_open reads kv.
   Returns: COH_OK; COH_EMISMATCH data of another chain, layout or format; COH_ECORRUPT; COH_EIO; each with err_text. On failure out holds nothing */
coh_err_t coh_recovery_open(coh_recovery_t *out,
                            coh_kv_t *kv,
                            coh_genesis_t const *genesis,
                            coh_config_t const *config,
                            coh_chain_limits_t const *limits,
                            uint32_t rank_cnt,
                            uint64_t now_us,
                            uint64_t seed,
                            coh_buf_t *err_text);

/* coh_recovery_identity is the synced write of format, identity and directory for a fresh store; the caller's. */
coh_disk_req_t *coh_recovery_identity(coh_recovery_t const *rec);

/* coh_recovery_move is the synced write that makes next the directory in place of rec's, which it deletes; the caller's. */
coh_disk_req_t *coh_recovery_move(coh_recovery_t const *rec, coh_directory_t const *next);

/* coh_recovery_relayout adds to batch what makes dir the layout of a stopped cluster's coordinator, whose shards all hold the state of block head in their flat tables and
   have no redo records: identity, directory, and that what decision records up to head say of redo records is of the layout before. rank_cnt is dir's shards and one. */
void coh_recovery_relayout(coh_kv_batch_t *batch,
                           coh_genesis_t const *genesis,
                           coh_directory_t const *dir,
                           uint64_t head);
/* coh_recovery_since reads up to which block decision records are of an earlier layout; 0: none.    Returns: COH_OK; COH_ECORRUPT; COH_EIO */
coh_err_t coh_recovery_since(uint64_t *since, coh_kv_t *kv);

/* coh_recovery_check_hello judges one shard. COH_EMISMATCH with text for the operator. */
coh_err_t coh_recovery_check_hello(coh_recovery_t const *rec,
                                   coh_msg_hello_t const *hello,
                                   uint32_t rank,
                                   coh_buf_t *err_text);

#endif
