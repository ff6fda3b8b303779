/* check_flat.h: the flat tables of a shard's store as of a block: redo records of decided blocks laid over them in memory, and without what an unsettled round of moves has left (shard/moves.h). For `cohort
   check`. One thread. */
#ifndef COH_CHECK_FLAT_H
#define COH_CHECK_FLAT_H

#include "common/kv/kv.h"
#include "common/state/directory.h"
#include "shard/mvstore.h"

typedef struct {
    coh_kv_t *kv;         /* borrowed */
    coh_mv_item_t *items; /* owned; of redo records, by table and flat key; of guests too */
    size_t item_cnt;
    coh_mv_item_t *own; /* owned; those of accounts that live here */
    size_t own_cnt;
    size_t own_slot;  /* the first of a slot among them */
    coh_addr_t *left; /* owned; what moves have left, ascending */
    size_t left_cnt;
} coh_check_flat_t;

/* coh_check_flat_open reads the redo records up to head. epoch: of the coordinator's directory; 0: it is not known, and all accounts of an unsettled round are passed over.
   Returns: COH_OK; COH_ENOTFOUND the shard has never ended its first start; COH_ECORRUPT, COH_EMISMATCH, COH_EIO: out is as if freed */
coh_err_t coh_check_flat_open(coh_check_flat_t *out, coh_kv_t *kv, uint64_t epoch, uint64_t head);
void coh_check_flat_free(coh_check_flat_t *flat);

/* False: stop. */
typedef bool coh_check_flat_visit_t(void *arg, coh_key_t const *key, coh_value_t const *value);

/* coh_check_flat_walk goes through table (ACCOUNTS or STORAGE) in the order of flat keys, from the key from on as long as keys begin with prefix. *stopped: visit said so. Entries that do not decode
   are passed over: coh_check_shard tells. COH_OK; COH_EIO */
coh_err_t coh_check_flat_walk(coh_check_flat_t const *flat,
                              coh_kv_table_t table,
                              coh_bytes_t from,
                              coh_bytes_t prefix,
                              coh_check_flat_visit_t *visit,
                              void *arg,
                              bool *stopped);

/* coh_check_flat_has tells whether an account is not among those left by moves. */
bool coh_check_flat_has(coh_check_flat_t const *flat, coh_addr_t const *addr);

#endif
