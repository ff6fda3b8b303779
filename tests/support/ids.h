/* ids.h: addresses, keys and hashes by small numbers, the same in all tests. */
#ifndef COH_TEST_IDS_H
#define COH_TEST_IDS_H

#include "common/base/base.h"

/* The address numbered n, of which nobody has the key; and back. */
coh_addr_t coh_test_nth_addr(uint32_t n);
uint32_t coh_test_addr_nth(coh_addr_t const *addr);

/* The secret key numbered n, which is n + 1; and its address. */
void coh_test_secret(uint8_t secret[32], uint32_t n);
coh_addr_t coh_test_secret_addr(uint32_t n);

/* keccak256, as of code. */
coh_hash_t coh_test_keccak(coh_bytes_t bytes);

#endif
