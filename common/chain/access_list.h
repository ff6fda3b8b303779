/* access_list.h: what a block's execution touched and changed, by account (EIP-7928, block-level access lists): recorded from the sequential reference, transition by
   transition, or from whoever else executes a block in order, and written as RLP:

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
/* The state that a block is executed over: values as they are before a transition's writes are part of it, of keys that transitions write; and all code that these name. */
typedef struct {
    coh_value_t (*value)(void const *arg, coh_key_t const *key);
    coh_bytes_t (*code)(void const *arg, coh_hash_t const *hash);
    void const *arg;
} coh_access_source_t;

/* State in memory as a source; borrowed. */
coh_access_source_t coh_access_source_memview(coh_memview_t const *mv);

/* coh_access_list_begin starts over, for a block that will be executed over source (what it refers to is borrowed until the list is written). */
void coh_access_list_begin(coh_access_list_t *list, coh_access_source_t const *source);

/* coh_access_list_watch takes one transition, before its writes are part of the state: a coh_execute_watch_fn; arg is the list. */
void coh_access_list_watch(void *arg,
                           uint32_t at,
                           coh_outcome_t const *outcome,
                           coh_state_t const *state);

/* Octets held. */
size_t coh_access_list_bytes(coh_access_list_t const *list);

/* coh_access_list_put appends the list. */
void coh_access_list_put(coh_buf_t *out, coh_access_list_t *list);

#endif
