#include "tests/support/evmput.h"

#include "common/base/assert.h"

void asm_push(coh_buf_t *out, uint64_t v)
{
    uint8_t be[8];
    size_t n = 8;
    coh_store_u64_be(be, v);
    while (n > 1 && be[8 - n] == 0) {
        n--;
    }
    asm_op(out, (uint8_t)(COH_OP_PUSH1 + n - 1));
    coh_buf_put(out, be + 8 - n, n);
}

void asm_push_addr(coh_buf_t *out, coh_addr_t const *addr)
{
    asm_op(out, COH_OP_PUSH1 + sizeof(addr->b) - 1);
    coh_buf_put(out, addr->b, sizeof(addr->b));
}

size_t asm_jumpi(coh_buf_t *out)
{
    static uint8_t const code[] = {COH_OP_PUSH1 + 1, 0, 0, COH_OP_JUMPI};
    coh_buf_put(out, code, sizeof(code));
    return out->n - 3;
}

void asm_land(coh_buf_t *out, size_t jump)
{
    COH_ASSERT(out->n <= UINT16_MAX);
    out->p[jump]     = (uint8_t)(out->n >> 8);
    out->p[jump + 1] = (uint8_t)out->n;
    asm_op(out, COH_OP_JUMPDEST);
}

void asm_init_code(coh_buf_t *out, coh_bytes_t runtime)
{
    enum { HEAD_SZ = 12 };
    COH_ASSERT(runtime.n <= UINT16_MAX);
    uint8_t const head[HEAD_SZ] = {COH_OP_PUSH1 + 1,
                                   (uint8_t)(runtime.n >> 8),
                                   (uint8_t)runtime.n,
                                   COH_OP_DUP1,
                                   COH_OP_PUSH1,
                                   HEAD_SZ,
                                   COH_OP_PUSH1,
                                   0,
                                   COH_OP_CODECOPY,
                                   COH_OP_PUSH1,
                                   0,
                                   COH_OP_RETURN};
    coh_buf_put(out, head, sizeof(head));
    coh_buf_put(out, runtime.p, runtime.n);
}
