/* blocktest_case.h: official blockchain tests (JSON, "BlockchainTests" and their successor "blockchain_tests"): a genesis, blocks in their order, some of which must be
   rejected, and what head and state they lead to. */
#ifndef COH_BLOCKTEST_CASE_H
#define COH_BLOCKTEST_CASE_H

#include "common/base/arena.h"
#include "common/chain/schedule.h"
#include "common/config/genesis.h"
#include "common/state/memview.h"

typedef struct {
    coh_bytes_t raw;       /* RLP, whatever it is worth */
    char const *exception; /* expectException; NULL: the block is valid */
} coh_blocktest_block_t;

typedef struct {
    char const *id;      /* of the test in its file */
    char const *network; /* as the file has it */
    coh_schedule_t schedule;
    coh_bytes_t genesis_raw;
    coh_hash_t genesis_hash;
    coh_genesis_account_t *pre; /* with codes and slots in the file's arena; in no order */
    size_t pre_cnt;
    coh_blocktest_block_t *blocks;
    size_t block_cnt;
    coh_hash_t last_hash; /* of the head afterwards */
    bool has_post;        /* the full state afterwards is known... */
    coh_genesis_account_t *post;
    size_t post_cnt;
    coh_hash_t post_root; /* ...else its root */
} coh_blocktest_case_t;

typedef struct {
    coh_blocktest_case_t *cases;
    size_t case_cnt;
    coh_arena_t arena; /* what cases point to */
} coh_blocktest_file_t;

typedef struct {
    char const *network; /* as the file has it; NULL: all */
    char const *
        filter; /* part of the id, or a POSIX extended regular expression that matches some of it; NULL: all */
} coh_blocktest_select_t;

/* coh_blocktest_load reads the selected cases of a file. out need not be initialised; release it with coh_blocktest_free, also after a
   failure. Any thread.
   Returns: COH_OK; COH_EIO, COH_EMALFORMED with what is wrong in err_text */
coh_err_t coh_blocktest_load(coh_blocktest_file_t *out,
                             char const *path,
                             coh_blocktest_select_t const *select,
                             coh_buf_t *err_text);
void coh_blocktest_free(coh_blocktest_file_t *file);

/* coh_blocktest_network makes the schedule that a network's name stands for: rules ("London"), or rules from the beginning and others later, by
   number ("BerlinToLondonAt5"), time ("CancunToPragueAtTime15k") or total difficulty ("ArrowGlacierToParisAtDiffC0000"). False if it is none. */
bool coh_blocktest_network(coh_schedule_t *out, char const *name, uint64_t chain_id);

/* coh_blocktest_fill puts accounts into a state that is empty. */
void coh_blocktest_fill(coh_memview_t *mv, coh_genesis_account_t const *accounts, size_t cnt);

#endif
