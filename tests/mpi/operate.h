/* operate.h: what tests of operations on data directories do: commands of the program, roots of what stores hold, receipts after it. A failure ends the test. One thread. */
#ifndef COH_TEST_OPERATE_H
#define COH_TEST_OPERATE_H

#include "common/kv/kv.h"
#include "tests/mpi/acks.h"
#include "tests/mpi/cluster.h"

/* coh_test_ops_run runs a shell command; its exit code, and what it printed, with a NUL behind, in text if that is not NULL. */
COH_PRINTF(2, 3) int coh_test_ops_run(coh_buf_t *text, char const *fmt, ...);
/* coh_test_ops_expect runs `cohort command 'dir'`, which is to end with code and to say expected. */
void coh_test_ops_expect(int code, char const *command, char const *dir, char const *expected);

/* The store of a rank in a data directory; the caller closes it. */
coh_kv_t *coh_test_ops_open_store(char const *data, uint32_t rank);
/* The state root of the last decided block. */
coh_hash_t coh_test_ops_head_root(char const *data);
/* The state root of what the flat tables of all shards hold, built anew: for shards that have nothing but these. */
coh_hash_t coh_test_ops_flat_root(char const *data, uint32_t shard_cnt);

/* coh_test_ops_pin writes a file for placement-policy pinned: with every second account, and the one at more (in hexadecimal), at the shard after the one that their bucket has by hash. */
void coh_test_ops_pin(char const *path,
                      coh_bench_accounts_t const *accounts,
                      char const *more,
                      uint32_t shard_cnt);

/* coh_test_ops_start starts a cluster with so many shards and waits until it is ready. */
void coh_test_ops_start(coh_test_cluster_t *c, uint32_t shard_cnt);
/* coh_test_ops_expect_acks: every receipt up to block last is there, unchanged. */
void coh_test_ops_expect_acks(coh_test_cluster_t const *c,
                              coh_test_acks_t const *acks,
                              uint64_t last);

#endif
