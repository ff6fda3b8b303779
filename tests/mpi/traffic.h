/* traffic.h: transactions of several kinds for clusters whose data is worked on afterwards: transfers, creations of contracts, calls that change storage. One thread. */
#ifndef COH_TEST_TRAFFIC_H
#define COH_TEST_TRAFFIC_H

#include "common/base/rng.h"
#include "tests/mpi/acks.h"
#include "tests/mpi/cluster.h"

/* coh_test_traffic_genesis adds a contract with slot_cnt slots to the genesis of a cluster that has not been started; its code sets the slot that the first word of a call's data names to the second. */
void coh_test_traffic_genesis(coh_test_cluster_t const *c, uint32_t slot_cnt);
/* Where it lies, in hexadecimal. */
#define COH_TEST_TRAFFIC_STORE "00000000000000000000000000000000005701ed"

/* coh_test_traffic hands in cnt transactions of accounts whose nonces are up to date (coh_test_refresh), as they are taken, and keeps their nonces so; receipts go to acks.
   each, if not NULL, is called now and then. Returns when ack_cnt of them have receipts, or after 20 s. */
void coh_test_traffic(coh_test_cluster_t const *c,
                      coh_bench_accounts_t *accounts,
                      coh_test_acks_t *acks,
                      coh_rng_t *rng,
                      size_t cnt,
                      size_t ack_cnt,
                      void (*each)(void *arg),
                      void *arg);

#endif
