/* access_list.h: what a block's execution touched and changed, by account (EIP-7928, block-level access lists): recorded from the sequential reference, transition by
   transition, and written as RLP:

       [[address, [[slot, [[index, value], ...]], ...], [slot read, ...], [[index, balance], ...], [[index, nonce], ...], [[index, code], ...]], ...]

   sorted by address and slot; index 0 stands for the steps before the transactions, i for the i-th transaction, the last one for the steps after them. A slot that was read and not
   changed, or written with the value that it had, is among the reads, also when the frame failed. The system's address is there only if somebody else reached it.

   One corner is told by the overlay only as "warm": a precompiled contract that stands in a transaction's access list and was not called is listed as if it had been. */
#ifndef COH_ACCESS_LIST_H
#define COH_ACCESS_LIST_H

#include "common/state/memview.h"
#include "common/state/state.h"

typedef struct coh_access_list coh_access_list_t;

coh_access_list_t *coh_access_list_new(void);
void coh_access_list_free(coh_access_list_t *list);
/* coh_access_list_begin starts over, for a block that will be executed over mv (borrowed until the list is written). */
void coh_access_list_begin(coh_access_list_t *list, coh_memview_t const *mv);

/* coh_access_list_watch takes one transition, before its writes are part of mv: a coh_execute_watch_fn; arg is the list. */
void coh_access_list_watch(void *arg,
                           uint32_t at,
                           coh_outcome_t const *outcome,
                           coh_state_t const *state);

/* coh_access_list_put appends the list. */
void coh_access_list_put(coh_buf_t *out, coh_access_list_t *list);

#endif
