/* datadir.h: the folder of one rank in the data directory, and what makes sure that it is the right one.

     DIR/rank-2.lock          flock of the process that uses rank 2's folder, with its PID
     DIR/rank-2/genesis.json  copy of what the chain was started with, if that was a file
     DIR/rank-2/checkpoint/   of a backup that is being copied; cleared away by the next start
     DIR/rank-2/db/           RocksDB; its META table holds the identity under "id/"
     DIR/rank-2/dev           empty; the folder is a dev chain's, which nobody but the next dev chain opens
     DIR/rank-2.new/          a first start that was interrupted; cleared away by the next
     DIR/next, DIR/previous, DIR/swap   see swap.h: all folders being replaced

   The identity (format version, chain id, genesis hash, number of ranks, rank) is checked at every start: another chain or another number of
   ranks on the same data is refused. A folder is made under another name and renamed once it is complete and synced. */
#ifndef COH_DATADIR_H
#define COH_DATADIR_H

#include "common/config/genesis.h"
#include "common/kv/kv.h"

#define COH_DATADIR_FORMAT 3u

typedef struct coh_datadir coh_datadir_t;

/* coh_datadir_open makes dir if it is missing (not its parents) and locks rank's folder in it. rank_cnt 0: whatever it was made for, of a folder that is
   not fresh.
   Returns: COH_OK; COH_ELOCKED another process uses it; COH_EMISMATCH it is a dev chain's; COH_EIO; with the reason in err_text */
coh_err_t coh_datadir_open(coh_datadir_t **out,
                           char const *dir,
                           uint32_t rank,
                           uint32_t rank_cnt,
                           coh_buf_t *err_text);

/* coh_datadir_open_dev does the same for a dev chain, and empties the folder: it is fresh. COH_EMISMATCH: it is another chain's, and stays. */
coh_err_t coh_datadir_open_dev(coh_datadir_t **out,
                               char const *dir,
                               uint32_t rank,
                               uint32_t rank_cnt,
                               coh_buf_t *err_text);

/* True if there is no folder for the rank yet. */
bool coh_datadir_is_fresh(coh_datadir_t const *dd);

/* coh_datadir_folder is the rank's folder. Lives as long as dd. */
char const *coh_datadir_folder(coh_datadir_t const *dd);

/* coh_datadir_genesis_path is where a folder that is not fresh keeps its genesis.json. Lives as long as dd. */
char const *coh_datadir_genesis_path(coh_datadir_t const *dd);

/* coh_datadir_create makes the folder: genesis_path is copied into it; NULL: no copy is kept. Durable when this returns.
   Assumes: coh_datadir_is_fresh
   Returns: COH_OK; COH_EIO, COH_ENOTFOUND with the reason in err_text */
coh_err_t coh_datadir_create(coh_datadir_t *dd,
                             coh_genesis_t const *genesis,
                             char const *genesis_path,
                             coh_buf_t *err_text);

/* coh_datadir_put_identity adds a folder's identity to a batch for its store, for whoever makes a folder in another way. */
void coh_datadir_put_identity(coh_kv_batch_t *batch,
                              uint32_t rank,
                              uint32_t rank_cnt,
                              coh_genesis_t const *genesis);

/* coh_datadir_open_kv opens the store and checks the identity against genesis and the number of ranks. The caller closes it.
   Assumes: not coh_datadir_is_fresh
   Returns: COH_OK; COH_EMISMATCH made for another chain or number of ranks, or by another version; COH_ECORRUPT; COH_ELOCKED; COH_EIO;
            with found, expected and remedy in err_text */
coh_err_t coh_datadir_open_kv(coh_datadir_t *dd,
                              coh_kv_t **out,
                              coh_genesis_t const *genesis,
                              size_t cache_bytes,
                              coh_buf_t *err_text);

/* coh_datadir_rank_cnt is the number of ranks: as given to open, or, where that was 0, as found by coh_datadir_open_kv. */
uint32_t coh_datadir_rank_cnt(coh_datadir_t const *dd);

/* coh_datadir_close releases the lock; after the store is closed. */
void coh_datadir_close(coh_datadir_t *dd);

#endif
