/* reshard.h: from the data of a stopped cluster that of one with another number of shards, with the same chain and the same state.

   The data directory is read as the next start would read it: redo records of decided blocks laid over flat tables and tries, those above the head dropped. What each shard holds
   goes to whose it will be: flat accounts and slots, code with the accounts that have it, pages of tries as they are stored (a trie's pages belong to the account or the bucket in their
   key). Blocks, receipts and indices are the coordinator's, and stay as they are; it gets the new layout. Then the new folders are checked as `cohort check` does, against the
   head's state root too, and only then they take the place of the old ones (swap.h). Killed before that, the old ones are as they were.

   Where a single account lies apart from its bucket's owner, before (moves) or after (placement pinned:FILE), its flat record and slots follow the account, its leaf and its storage's pages the bucket. Where
   moves have brought accounts is not kept: the new layout is that of its placement. */
#ifndef COH_RESHARD_H
#define COH_RESHARD_H

#include "common/config/genesis.h"
#include "common/kv/kv.h"
#include "common/state/directory.h"

#define COH_RESHARD_SHARDS_MAX 1024u

typedef struct {
    char const *dir;
    char const *genesis;   /* path, for a directory that holds no copy; NULL: the copy */
    char const *placement; /* placement-policy of the new layout */
    uint32_t shard_cnt;    /* of the new layout, 1..COH_RESHARD_SHARDS_MAX */
    uint64_t root_every;   /* block-root-every, as the cluster had it */
    void (*progress)(void *arg,
                     char const *text); /* or NULL; a line without its end, now and then */
    void *arg;
} coh_reshard_options_t;

typedef struct {
    uint32_t from_cnt; /* shards before */
    uint64_t head;
    coh_hash_t state_root; /* of the state before and after */
    uint64_t account_cnt;
    uint64_t slot_cnt;
    uint64_t dropped_cnt; /* redo records of blocks that were not decided */
    bool was_finished;    /* nothing but what an interrupted one had left to do */
} coh_reshard_done_t;

/* coh_reshard does it. One thread; memory: 256 MB, and what redo records hold.
   Returns: COH_OK; COH_ELOCKED a cluster uses the data; COH_EMISMATCH, COH_ECORRUPT, COH_ENOTFOUND the data is not whole or not sound; COH_EINVAL; COH_EIO; with err_text. Unless
            COH_OK, the directory is as it was, or the next call completes what this one began */
coh_err_t coh_reshard(coh_reshard_done_t *out,
                      coh_reshard_options_t const *options,
                      coh_buf_t *err_text);

/* What rank 0's store says of the chain. */
typedef struct {
    uint64_t head;
    coh_directory_t dir; /* owned: coh_directory_free */
    uint64_t *last_redo; /* by shard; owned: free() */
} coh_reshard_chain_t;

/* coh_reshard_read_chain reads it. COH_EMISMATCH, COH_ECORRUPT, COH_EIO with err_text */
coh_err_t coh_reshard_read_chain(coh_reshard_chain_t *out,
                                 coh_kv_t *kv,
                                 coh_genesis_t const *genesis,
                                 uint32_t rank_cnt,
                                 coh_buf_t *err_text);
/* coh_reshard_write_chain makes dir the layout of a copy of rank 0's store. COH_EIO */
coh_err_t coh_reshard_write_chain(coh_kv_t *kv,
                                  coh_genesis_t const *genesis,
                                  coh_directory_t const *dir,
                                  uint64_t head);
/* coh_reshard_place makes the directory of the new layout, of the epoch after that of before, whose overrides it does not take over. COH_EINVAL with err_text */
coh_err_t coh_reshard_place(coh_directory_t *out,
                            coh_directory_t const *before,
                            char const *placement,
                            uint32_t shard_cnt,
                            coh_buf_t *err_text);

#endif
