/* seed.h: what random tests begin with, fresh in each run, and how to have a run again. */
#ifndef COH_TEST_SEED_H
#define COH_TEST_SEED_H

#include "common/base/base.h"

/* coh_test_seed is the seed that the environment variable COHORT_TEST_SEED gives, else one that the clock gives; coh_test_seed_or is fixed instead of that. Both print how to repeat the run. */
uint64_t coh_test_seed(void);
uint64_t coh_test_seed_or(uint64_t fixed);

#endif
