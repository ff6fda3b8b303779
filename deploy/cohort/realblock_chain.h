/* realblock_chain.h: recordings of one network joined to a chain, in the order of their numbers: blocks that follow each other at once, the later ones renumbered where blocks between them
   are missing; each with its own environment and under the rules of its own fork. As of single recordings, only the transactions count: no rewards, withdrawals or system calls.

   The state that a chain starts from, key by key (an account's fields are one key, each of its slots is another): the value in the earliest recording that has the key; or nothing, if a block before
   that one read or wrote it, so that it was not there. So every block finds what was recorded for it, but where a block before it wrote, where an earlier recording says otherwise, and where
   what it was paid did not come from a transaction. That is another state than it had on its network only if blocks are missing, or for want of rewards and withdrawals; how far that
   goes, the gas that was recorded for each transaction tells.

   Recordings go together if every transaction is valid where it stands: its nonce fits, and its sender can pay. */
#ifndef COH_REALBLOCK_CHAIN_H
#define COH_REALBLOCK_CHAIN_H

#include "deploy/cohort/realblock.h"

typedef struct {
    coh_genesis_t
        genesis; /* parent of the first block; blocks say themselves by which fork they go */
    size_t tx_cnt;
    uint64_t gas_used;
    size_t other_gas_cnt; /* transactions that use other gas than was recorded of them */
} coh_realblock_chain_t;

/* coh_realblock_chain joins cnt recordings (1 or more), executing them one transaction after the other on this thread. Block i gets the number of the first plus i. names: of each, for err_text.
   Release out->genesis with coh_genesis_free, also after a failure.
   Returns: COH_OK; COH_EINVAL they do not go together: the first reason in err_text */
coh_err_t coh_realblock_chain(coh_realblock_chain_t *out,
                              coh_realblock_t const *blocks,
                              char const *const *names,
                              size_t cnt,
                              coh_buf_t *err_text);

#endif
