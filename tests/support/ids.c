#include "tests/support/ids.h"

#include "common/base/assert.h"
#include "common/crypto/ecdsa.h"
#include "common/crypto/keccak.h"

coh_addr_t coh_test_nth_addr(uint32_t n)
{
    coh_addr_t addr = {{0xad}};
    coh_store_u32_le(addr.b + 16, n);
    return addr;
}

uint32_t coh_test_addr_nth(coh_addr_t const *addr) { return coh_load_u32_le(addr->b + 16); }

void coh_test_secret(uint8_t secret[32], uint32_t n)
{
    memset(secret, 0, 32);
    coh_store_u32_be(secret + 28, n + 1);
}

coh_addr_t coh_test_secret_addr(uint32_t n)
{
    uint8_t secret[32];
    coh_addr_t addr;
    coh_test_secret(secret, n);
    COH_ASSERT(coh_ecdsa_address(&addr, secret) == COH_OK);
    return addr;
}

coh_hash_t coh_test_keccak(coh_bytes_t bytes)
{
    coh_hash_t hash;
    coh_keccak256(&hash, bytes.p, bytes.n);
    return hash;
}
