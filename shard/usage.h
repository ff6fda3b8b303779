/* usage.h: which accounts were used how much, and together, by the transactions that executed here: what a placement learns from (coordinator/affinity.h). A sketch of bounded size:
   the frequent ones are there, rare ones come and go (space-saving: a newcomer takes the place of the least of the few that it competes with; what that one had is not counted for it).
   It costs little: of a block's transactions some are looked at, of plain transfers one in four, and of pairs that were seen only once few are reported: where they are many they say nothing. Nothing
   here changes a result.

   Communication thread only. */
#ifndef COH_USAGE_H
#define COH_USAGE_H

#include "common/wire/wire.h"
#include "shard/executor.h"

/* Blocks between reports. */
#define COH_USAGE_WINDOW 8u
/* Accounts and pairs remembered: about 850 KB. */
#define COH_USAGE_LOADS 4096u
#define COH_USAGE_PAIRS 8192u
/* Transactions of a block that are looked at. */
#define COH_USAGE_TX_MAX 512u
/* Pairs in a report that were seen once, and accounts in it that are in none of its pairs. */
#define COH_USAGE_RARE_MAX 64u

typedef struct coh_usage coh_usage_t;

/* seed: of the hashes, as of coh_mvstore_new. */
coh_usage_t *coh_usage_new(uint64_t seed);
void coh_usage_free(coh_usage_t *u);

/* coh_usage_add takes in the block that ex has executed. results: all of its transactions, in its order; across_cnt of them used accounts of other shards. */
void coh_usage_add(coh_usage_t *u,
                   coh_executor_t const *ex,
                   coh_rec_result_t const *results,
                   uint32_t cnt,
                   uint64_t across_cnt);
/* coh_usage_report writes USAGE, and begins anew. */
void coh_usage_report(coh_usage_t *u, coh_buf_t *out, uint64_t block);

#endif
