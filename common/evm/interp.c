#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/evm/evm_private.h"
#include "common/evm/opcodes.h"

#include <stdlib.h>

/* Labels as values: the fast loop's dispatch; the switch loop is its plain twin. */
#pragma GCC diagnostic ignored "-Wpedantic"

static coh_u256_t const word_size  = {{32, 0, 0, 0}};
static coh_u256_t const octet_size = {{1, 0, 0, 0}};
/* 2^160 - 1 */
static coh_u256_t const address_mask = {{UINT64_MAX, UINT64_MAX, UINT32_MAX, 0}};

/* A memory of this size costs 3.5e13 gas: more than any block's limit. Offsets below it are exact in 64 bits, and so is their price. */
#define MEMORY_END_MAX (UINT64_C(1) << 32)

bool coh_frame_expand(coh_frame_t *f, uint64_t *gas, coh_u256_t const *off, coh_u256_t const *size)
{
    if (!coh_u256_fits_u64(off) || !coh_u256_fits_u64(size) || off->w[0] > MEMORY_END_MAX ||
        size->w[0] > MEMORY_END_MAX - off->w[0]) {
        return false;
    }
    uint64_t end = off->w[0] + size->w[0];
    if (end <= f->mem_sz) {
        return true;
    }
    uint64_t words = coh_gas_words(end);
    uint64_t cost  = coh_gas_memory(words);
    if (*gas < cost - f->mem_gas) {
        return false;
    }
    *gas -= cost - f->mem_gas;
    f->mem_gas = cost;
    end        = words * 32;
    if (end > f->mem_cap) {
        f->mem_cap = COH_MAX(end, COH_MIN(f->mem_cap * 2, f->mem_cap + ((size_t)64 << 20)));
        f->mem_cap = COH_MAX(f->mem_cap, (size_t)4096);
        f->mem     = coh_realloc(f->mem, f->mem_cap);
    }
    memset(f->mem + f->mem_sz, 0, end - f->mem_sz);
    f->mem_sz = end;
    return true;
}

static inline bool within_memory(coh_frame_t const *f, coh_u256_t const *off)
{
    return coh_u256_fits_u64(off) && f->mem_sz >= 32 && off->w[0] <= f->mem_sz - 32;
}

/* The memory at [off, off + size), which is there. */
static inline coh_bytes_t memory_at(coh_frame_t const *f,
                                    coh_u256_t const *off,
                                    coh_u256_t const *size)
{
    return coh_u256_is_zero(size) ? coh_bytes(NULL, 0) : coh_bytes(f->mem + off->w[0], size->w[0]);
}

/* [off, off + size) lies in [0, end); *out is off then. */
static inline bool range_within(uint64_t *out,
                                coh_u256_t const *off,
                                coh_u256_t const *size,
                                uint64_t end)
{
    *out = off->w[0];
    return coh_u256_fits_u64(off) && coh_u256_fits_u64(size) && off->w[0] <= end &&
           size->w[0] <= end - off->w[0];
}

/* Octets of src from off on, with zeros behind its end, into memory that is there. */
static void copy_padded(coh_frame_t *f,
                        uint64_t dst,
                        coh_bytes_t src,
                        coh_u256_t const *off,
                        uint64_t size)
{
    if (size == 0) {
        return;
    }
    size_t n = 0;
    if (coh_u256_fits_u64(off) && off->w[0] < src.n) {
        n = COH_MIN(size, src.n - off->w[0]);
        memcpy(f->mem + dst, src.p + off->w[0], n);
    }
    memset(f->mem + dst + n, 0, size - n);
}

static inline coh_u256_t load_padded(coh_bytes_t src, coh_u256_t const *off)
{
    if (!coh_u256_fits_u64(off) || off->w[0] >= src.n) {
        return COH_U256_ZERO;
    }
    if (COH_LIKELY(src.n - off->w[0] >= 32)) {
        return coh_u256_load_be(src.p + off->w[0]);
    }
    uint8_t word[32] = {0};
    memcpy(word, src.p + off->w[0], src.n - off->w[0]);
    return coh_u256_load_be(word);
}

/* Limb by limb: what was just stored by limbs is forwarded to loads of limbs, but not to wider ones, which wait for the cache. */
static inline void copy_word(coh_u256_t *to, coh_u256_t const *from)
{
    uint64_t a = from->w[0], b = from->w[1], c = from->w[2], d = from->w[3];
    to->w[0] = a;
    to->w[1] = b;
    to->w[2] = c;
    to->w[3] = d;
}

static inline void swap_words(coh_u256_t *x, coh_u256_t *y)
{
    for (int i = 0; i < 4; i++) {
        uint64_t t = x->w[i];
        x->w[i]    = y->w[i];
        y->w[i]    = t;
    }
}

/* n, a constant of 1 to 8, octets at p. No other octet is loaded: another thread may just replace the next opcode (code.h). */
static inline __attribute__((always_inline)) uint64_t small_at(uint8_t const *p, unsigned n)
{
    switch (n) {
    case 1: return p[0];
    case 2: return (uint64_t)p[0] << 8 | p[1];
    case 3: return (uint64_t)p[0] << 16 | (uint64_t)p[1] << 8 | p[2];
    case 8: return coh_load_u64_be(p);
    default: /* two halves, which overlap */
        return (uint64_t)__builtin_bswap32(coh_load_u32_le(p)) << 8 * (n - 4) |
               __builtin_bswap32(coh_load_u32_le(p + n - 4));
    }
}

/* n, a constant of 9 to 31, octets at p. */
static inline __attribute__((always_inline)) void push_large(coh_u256_t *out,
                                                             uint8_t const *p,
                                                             unsigned n)
{
    unsigned whole = n / 8;
    unsigned rest  = n % 8;
    *out           = COH_U256_ZERO;
    for (unsigned i = 0; i < whole; i++) {
        out->w[i] = coh_load_u64_be(p + n - 8 * (i + 1));
    }
    if (rest != 0) {
        out->w[whole] = coh_load_u64_be(p) >> (64 - 8 * rest);
    }
}

static inline bool is_destination(coh_code_t const *code, coh_u256_t const *to)
{
    return coh_u256_fits_u64(to) && to->w[0] < code->size &&
           coh_code_begins_block(code, (uint32_t)to->w[0]) &&
           code->bytes[to->w[0]] == COH_OP_JUMPDEST;
}

static inline coh_account_t *account_at(coh_state_t *state, coh_u256_t const *word)
{
    coh_addr_t addr = coh_u256_to_addr(word);
    return coh_state_account(state, &addr);
}

/* EIP-2929: what the access costs beyond the warm price. */
static inline uint64_t cold_account(coh_fork_t fork, coh_account_t const *a)
{
    return fork < COH_FORK_BERLIN || (a->flags & COH_ACCT_WARM) != 0 ||
                   coh_fork_is_precompile(fork, &a->addr)
               ? 0
               : COH_GAS_COLD_ACCOUNT;
}

static inline void warm_account(coh_state_t *state, coh_fork_t fork, coh_account_t *a)
{
    if (fork >= COH_FORK_BERLIN && (a->flags & COH_ACCT_WARM) == 0) {
        coh_state_set_flags(state, a, COH_ACCT_WARM);
    }
}

static coh_bytes_t code_bytes(coh_code_t const *code)
{
    return code != NULL ? coh_bytes(code->bytes, code->size) : coh_bytes(NULL, 0);
}

/* EIP-4844. */
static coh_u256_t blob_hash(coh_tx_t const *tx, coh_u256_t const *idx)
{
    if (tx == NULL || !coh_u256_fits_u64(idx) || idx->w[0] >= tx->blob_cnt) {
        return COH_U256_ZERO;
    }
    coh_rlp_t list = coh_tx_blob_iter(tx);
    coh_hash_t hash;
    for (uint64_t i = 0; i <= idx->w[0]; i++) {
        COH_ASSERT(coh_tx_blob_next(&list, &hash));
    }
    return coh_u256_load_be(hash.b);
}

static void trace_step(coh_evm_t *evm, coh_frame_t const *f, uint8_t opcode, uint64_t gas_cost)
{
    coh_trace_step_t step = {.pc          = f->pc,
                             .opcode      = opcode,
                             .depth       = evm->depth,
                             .self        = &f->self->addr,
                             .gas         = f->gas,
                             .gas_cost    = gas_cost,
                             .stack       = &f->stack[1],
                             .stack_cnt   = f->stack_cnt,
                             .memory      = coh_bytes(f->mem, f->mem_sz),
                             .refund      = evm->state->refund,
                             .return_data = evm->return_data};
    evm->tracer->step(evm->tracer, &step);
}

#define INTERP_NAME   coh_interp_fast
#define INTERP_SWITCH 0
#include "common/evm/interp_loop.h"

#define INTERP_NAME   coh_interp_switch
#define INTERP_SWITCH 1
#include "common/evm/interp_loop.h"
