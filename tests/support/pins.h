/* pins.h: files of pins (placement pinned:FILE) with accounts placed by chance. */
#ifndef TESTS_SUPPORT_PINS_H
#define TESTS_SUPPORT_PINS_H

#include "common/base/base.h"
#include "common/state/directory.h"

#define COH_TEST_PINS_SZ 64u

/* coh_test_pins_write places about two in three of the addresses, which may repeat, at a shard drawn from seed, in a new file, and writes the policy
   ("pinned:...") to out. coh_test_pins_remove deletes the file. */
void coh_test_pins_write(char out[COH_TEST_PINS_SZ],
                         coh_addr_t const *addrs,
                         size_t cnt,
                         uint32_t shard_cnt,
                         uint64_t seed);
void coh_test_pins_remove(char const policy[COH_TEST_PINS_SZ]);

#endif
