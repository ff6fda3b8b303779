/* check.h: walks the store of a rank and says what is wrong with it, for `cohort check`. Nothing is repaired or changed. Findings are lines of text;
   a walk goes on after one where that makes sense, up to COH_CHECK_FINDINGS_MAX of them. One thread. */
#ifndef COH_CHECK_H
#define COH_CHECK_H

#include "common/config/genesis.h"
#include "common/kv/kv.h"
#include "common/state/directory.h"

#define COH_CHECK_FINDINGS_MAX 20u

typedef struct {
    coh_buf_t text; /* a line for each finding; owned by the caller */
    uint32_t cnt;
} coh_check_findings_t;

/* What the coordinator's store says, for the shards' to be held against. */
typedef struct {
    bool known;     /* the coordinator's store was there and sound enough */
    uint64_t first; /* number of the genesis block */
    uint64_t head;  /* highest decided block */
    uint64_t block_cnt;
    uint64_t tx_cnt;
    coh_directory_t dir; /* owned: coh_directory_free */
    uint64_t *last_redo; /* by shard; owned: free() */
} coh_check_chain_t;

/* What there is in a shard's store. */
typedef struct {
    bool
        fresh; /* its genesis was never finished: a first start that ended early, and may be repeated */
    uint64_t flushed;
    uint64_t redo_cnt;
    uint64_t undecided_cnt; /* redo records above the head, which the next start drops */
    uint64_t account_cnt;
    uint64_t slot_cnt;
    uint64_t code_cnt;
} coh_check_shard_t;

/* coh_check_coordinator reads identity and directory, and every decision record: its checksum, its transactions, that header and receipts can be made
   again from it, that numbers have no gap and each header names the one before. */
void coh_check_coordinator(coh_check_chain_t *out,
                           coh_check_findings_t *findings,
                           coh_kv_t *kv,
                           coh_genesis_t const *genesis,
                           uint32_t rank_cnt);

/* coh_check_shard reads the mark, every redo record with its checksum, and every account, slot and code of the flat tables: that it decodes, that the
   account is the shard's own, that code has the hash under which it lies, and that an account's code is there. chain not known: without what needs it. */
void coh_check_shard(coh_check_shard_t *out,
                     coh_check_findings_t *findings,
                     coh_kv_t *kv,
                     uint32_t rank,
                     uint32_t rank_cnt,
                     coh_check_chain_t const *chain);

/* coh_check_finding adds a line; true if further ones are wanted. */
COH_PRINTF(2, 3) bool coh_check_finding(coh_check_findings_t *findings, char const *fmt, ...);

#endif
