/* Precompiled contracts: the first octet picks the fork, the second the contract, the rest is the input. Whatever it is, the
   call's cost is known before it, and within that it ends; it leaves its result in place of what was there, and gives
   the same again. */
#include "common/base/assert.h"
#include "common/evm/precompiles.h"
#include "tests/fuzz/fuzz.h"

/* What more than this costs is not run: the time that a run takes is to be seen in its gas. */
static uint64_t const gas_max = 10000000;

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    coh_fork_t fork           = (coh_fork_t)(data[0] % COH_FORK_CNT);
    uint32_t pick             = data[1] % 18;
    uint32_t number           = pick == 0 ? 0x100 : pick;
    coh_addr_t addr           = {.b = {[18] = (uint8_t)(number >> 8), [19] = (uint8_t)number}};
    coh_precompile_t const *p = coh_precompile_at(fork, &addr);
    COH_ASSERT((p != NULL) == coh_fork_is_precompile(fork, &addr));
    coh_bytes_t in = coh_bytes(data + 2, size - 2);
    if (p == NULL || coh_precompile_gas(p, fork, in) > gas_max) {
        return 0;
    }
    coh_buf_t out = COH_BUF_INIT, again = COH_BUF_INIT;
    coh_buf_put(&again, "left over", 9);
    bool done = coh_precompile_run(p, fork, &out, in);
    COH_ASSERT(done || out.n == 0);
    COH_ASSERT(coh_precompile_run(p, fork, &again, in) == done);
    COH_ASSERT(coh_bytes_eq(coh_buf_bytes(&out), coh_buf_bytes(&again)));
    coh_buf_free(&out);
    coh_buf_free(&again);
    return 0;
}
