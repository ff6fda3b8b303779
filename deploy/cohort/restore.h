/* restore.h: a data directory out of a backup (backup.h), which is first looked at: its manifest, the lists of files that it names, the checksum of every file. Nothing is restored of one that
   is not whole, and nothing over data that is there. The folders are made beside and appear all at once (swap.h). */
#ifndef COH_RESTORE_H
#define COH_RESTORE_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* Ranks that a manifest may name. */
#define COH_RESTORE_RANKS_MAX 1025u

typedef struct {
    char const *from; /* the backup */
    char const
        *data; /* data directory: not there, or nothing in it; NULL: the backup is only looked at */
    char const *genesis;  /* file, for a chain whose data has no copy; NULL: the copy */
    uint32_t const *only; /* ranks to restore, where a host has only some; NULL: all */
    size_t only_cnt;
    void (*progress)(void *arg, char const *text); /* or NULL */
    void *arg;
} coh_restore_options_t;

typedef struct {
    uint64_t chain_id;
    uint64_t block;
    coh_hash_t hash;
    coh_hash_t state_root;
    uint32_t shard_cnt;
    uint64_t unix_s; /* when it was begun */
    uint64_t file_cnt;
    uint64_t file_bytes;
    bool was_finished; /* nothing but what an interrupted one had left to do */
} coh_restore_done_t;

/* coh_restore does it.
   Returns: COH_OK; COH_ENOTFOUND no backup, or a part of one; COH_ECORRUPT a checksum is wrong; COH_EMISMATCH another format, or of another chain than it says; COH_EINVAL there is data
            already; COH_EIO; with err_text. Unless COH_OK, the data directory is as it was, or the next call completes what this one began */
coh_err_t coh_restore(coh_restore_done_t *out,
                      coh_restore_options_t const *options,
                      coh_buf_t *err_text);

#endif
