/* swap.h: replaces the folders of all ranks in a data directory at once, whatever kills it on the way.

     DIR/next/rank-*       where the new ones are made
     DIR/swap              a file that is there from the moment on from which the new ones count
     DIR/previous/rank-*   the old ones, until the next swap or until somebody removes them

        begin ─▶ (next is filled, and checked) ─commit─▶ swap ─▶ folders change places ─▶ swap is removed
          ▲                │ killed: begins anew             │ killed: coh_swap_finish goes on
          └────────────────┘                                 ▼

   While DIR/swap is there no rank starts on DIR (datadir.h). The caller has locked all ranks. */
#ifndef COH_SWAP_H
#define COH_SWAP_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* coh_swap_begin makes DIR/next, empty. COH_EIO with err_text, as those below */
coh_err_t coh_swap_begin(char const *dir, coh_buf_t *err_text);

/* coh_swap_commit: DIR/next holds the folders of ranks 0..rank_cnt-1, whole and synced; they take the place of all that are there. */
coh_err_t coh_swap_commit(char const *dir, uint32_t rank_cnt, coh_buf_t *err_text);

/* coh_swap_is_pending: a commit was interrupted. */
bool coh_swap_is_pending(char const *dir);
/* coh_swap_finish completes it. COH_ELOCKED another process does */
coh_err_t coh_swap_finish(char const *dir, coh_buf_t *err_text);

#endif
