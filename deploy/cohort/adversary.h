/* adversary.h: the placement that is worst for a given work. Blocks are executed once in order, on one thread, to see which contract calls which and what each transaction touches; then each account is
   pinned to a shard of its own choice: in the order in which they were touched first, to the shard with the fewest of its callers and callees, among such with the fewest others of the same
   transactions, among such with the fewest accounts. As far as there are shards enough, a contract and its every callee are on different ones. The same work gives the same placement.

   It costs nothing but speed to be wrong here: results are the same under every placement, which is what this is made to test. One thread at a time. */
#ifndef COH_ADVERSARY_H
#define COH_ADVERSARY_H

#include "common/config/genesis.h"
#include "common/evm/trace.h"
#include "common/state/directory.h"
#include "common/state/state.h"
#include "coordinator/import.h"

typedef struct coh_adversary coh_adversary_t;

coh_adversary_t *coh_adversary_new(void);
void coh_adversary_free(coh_adversary_t *a);
/* coh_adversary_forget forgets what was seen. */
void coh_adversary_forget(coh_adversary_t *a);

/* What it learns from, three ways.
   - coh_adversary_learn executes blocks on top of genesis; of hashes of blocks it knows those of the genesis. What is invalid teaches nothing.
   - Whoever executes anyway gives its transitions the tracer, for the calls, and after each of them calls coh_adversary_watch (a coh_execute_watch_fn; arg is the adversary).
   - coh_adversary_call and coh_adversary_touch say it one by one: a call, and an account that the present transaction touched; coh_adversary_next begins the next one. */
void coh_adversary_learn(coh_adversary_t *a,
                         coh_genesis_t const *genesis,
                         coh_import_block_t const *blocks,
                         size_t block_cnt);
coh_tracer_t *coh_adversary_tracer(coh_adversary_t *a);
void coh_adversary_watch(void *arg,
                         uint32_t at,
                         coh_outcome_t const *outcome,
                         coh_state_t const *state);
void coh_adversary_call(coh_adversary_t *a, coh_addr_t const *from, coh_addr_t const *to);
void coh_adversary_touch(coh_adversary_t *a, coh_addr_t const *addr);
void coh_adversary_next(coh_adversary_t *a);

/* coh_adversary_place gives each account seen its shard, of shard_cnt (1..65536), in the order in which they were touched first.
   Out:     pins  borrowed until the next call; bucket is not set
   Returns: how many
   Cost: O(touches * (shard_cnt + log touches)) */
size_t coh_adversary_place(coh_adversary_t *a, coh_override_t const **pins, uint32_t shard_cnt);

/* coh_adversary_policy places, and makes a placement-policy of it (pinned:FILE, of a file in memory that nobody else sees).
   Returns: the policy, borrowed until the next call; NULL, with errno, if there is no such file to be had */
char const *coh_adversary_policy(coh_adversary_t *a, uint32_t shard_cnt);

#endif
