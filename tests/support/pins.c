#include "tests/support/pins.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/hex.h"
#include "common/base/rng.h"

#define POLICY "pinned:"

void coh_test_pins_write(char out[COH_TEST_PINS_SZ],
                         coh_addr_t const *addrs,
                         size_t cnt,
                         uint32_t shard_cnt,
                         uint64_t seed)
{
    (void)snprintf(out, COH_TEST_PINS_SZ, POLICY "/tmp/cohort-pins-XXXXXX");
    int fd = mkstemp(out + strlen(POLICY));
    COH_ASSERT(fd >= 0);
    FILE *file = fdopen(fd, "w");
    COH_ASSERT(file != NULL);
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    (void)fprintf(file, "# of seed %llu\n\n", (unsigned long long)seed);
    for (size_t i = 0; i < cnt; i++) {
        size_t first = 0;
        while (!coh_addr_eq(&addrs[first], &addrs[i])) {
            first++;
        }
        if (first == i && coh_rng_percent(&rng, 67)) {
            char hex[2 * sizeof(coh_addr_t) + 1];
            coh_hex_encode(hex, addrs[i].b, sizeof(addrs[i].b));
            (void)fprintf(file, "0x%s %u # ...\n", hex, (unsigned)coh_rng_below(&rng, shard_cnt));
        }
    }
    COH_ASSERT(fclose(file) == 0);
}

void coh_test_pins_remove(char const policy[COH_TEST_PINS_SZ])
{
    (void)unlink(policy + strlen(POLICY));
}
