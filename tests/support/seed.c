#include "tests/support/seed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"

uint64_t coh_test_seed_or(uint64_t fixed)
{
    char const *given = getenv("COHORT_TEST_SEED");
    uint64_t seed     = given != NULL ? strtoull(given, NULL, 0) : fixed;
    printf("repeat with COHORT_TEST_SEED=%" PRIu64 "\n", seed);
    (void)fflush(stdout); /* before a test crashes */
    return seed;
}

uint64_t coh_test_seed(void) { return coh_test_seed_or(coh_clock_unix_us()); }
