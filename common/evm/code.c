#include "common/evm/code.h"

#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/evm/opcodes.h"

_Static_assert(sizeof(_Atomic coh_code_block_t) == 8 && COH_CODE_BLOCK_UNKNOWN == UINT64_MAX,
               "memset makes blocks unknown");

#define BASE_SHIFT 15
/* Of this many blocks, the last ends those that run into it (if it begins at a JUMPDEST). */
#define DEST_ENTER_EVERY 16
/* Bounds of a block's need and growth. */
#define NEED_MAX   1025
#define GROWTH_MAX 1025

typedef struct {
    uint16_t *block_at;
    uint32_t *block_base;
    uint32_t base_cnt; /* entries of block_base that are set */
    uint32_t block_cnt;
} search_t;

static void found(search_t *s, uint32_t pc)
{
    while (COH_UNLIKELY(s->base_cnt <= pc >> BASE_SHIFT)) {
        s->block_base[s->base_cnt++] = s->block_cnt;
    }
    s->block_cnt += s->block_at[pc] == 0; /* JUMPDEST behind a cut: one block */
    s->block_at[pc] = (uint16_t)(s->block_cnt - s->block_base[pc >> BASE_SHIFT]);
}

/* Bits of 64 octets: where an opcode that pushes data may stand, and one that begins a block or cuts one off. */
typedef struct {
    uint64_t push;
    uint64_t edge;
} scan_t;

#ifdef __SSE2__
static inline scan_t scan(uint8_t const *p)
{
    scan_t s = {0, 0};
    for (int i = 0; i < 4; i++) {
        __m128i v    = _mm_loadu_si128((__m128i const *)(void const *)(p + (size_t)16 * (size_t)i));
        __m128i edge = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(COH_OP_SSTORE)),
                                    _mm_cmpeq_epi8(v, _mm_set1_epi8(COH_OP_JUMPI)));
        edge         = _mm_or_si128(edge, _mm_cmpeq_epi8(v, _mm_set1_epi8(COH_OP_GAS)));
        edge         = _mm_or_si128(edge, _mm_cmpeq_epi8(v, _mm_set1_epi8(COH_OP_JUMPDEST)));
        __m128i high = _mm_and_si128(v, _mm_set1_epi8((char)0xf0)); /* calls, creations */
        edge         = _mm_or_si128(edge, _mm_cmpeq_epi8(high, _mm_set1_epi8((char)0xf0)));
        __m128i push = _mm_cmpgt_epi8(v, _mm_set1_epi8(COH_OP_PUSH1 - 1)); /* signed: 0x60..0x7f */
        s.push |= (uint64_t)(uint32_t)_mm_movemask_epi8(push) << (16 * i);
        s.edge |= (uint64_t)(uint32_t)_mm_movemask_epi8(edge) << (16 * i);
    }
    return s;
}
#else
static inline scan_t scan(uint8_t const *p)
{
    scan_t s = {0, 0};
    for (int i = 0; i < 64; i++) {
        uint8_t b = p[i];
        s.push |= (uint64_t)(b >= COH_OP_PUSH1 && b <= COH_OP_PUSH32) << i;
        s.edge |= (uint64_t)(b == COH_OP_SSTORE || b == COH_OP_JUMPI || b == COH_OP_GAS ||
                             b == COH_OP_JUMPDEST || b >= 0xf0)
                  << i;
    }
    return s;
}
#endif

static void edge(search_t *s, uint8_t *exec, coh_opcode_row_t const *row, uint32_t pc)
{
    if (row->ends == COH_OP_CUT) {
        found(s, pc + 1);
    } else if (row->ends == COH_OP_DEST) {
        found(s, pc);
        if (s->block_cnt % DEST_ENTER_EVERY == 0) {
            exec[pc] = COH_FUSED_DEST_ENTER;
        }
    }
}

static void find_blocks(coh_code_t *code, uint8_t *exec, search_t *s)
{
    coh_opcode_row_t const *rows = coh_opcode_rows(code->fork);
    uint32_t size                = code->size;
    uint32_t data_end            = 0; /* behind the data of the last push */
    found(s, 0);
    for (uint32_t base = 0; base < size; base += 64) {
        uint8_t const *p = code->bytes + base; /* of the padding 64 octets may be read */
        scan_t bits      = scan(p);
        uint64_t data    = data_end > base ? (UINT64_C(1) << (data_end - base)) - 1 : 0;
        /* That data looks like a push is rare, so that the processor need not wait for one push to find the next. */
        for (uint64_t left = bits.push; left != 0; left &= left - 1) {
            uint32_t at = (uint32_t)__builtin_ctzll(left);
            if (COH_LIKELY(base + at >= data_end)) {
                uint32_t n = (uint32_t)p[at] - (COH_OP_PUSH1 - 1);
                data |= ((UINT64_C(1) << n) - 1) << at << 1;
                data_end = base + at + 1 + n;
            }
        }
        for (uint64_t left = bits.edge & ~data; left != 0; left &= left - 1) {
            uint32_t pc = base + (uint32_t)__builtin_ctzll(left);
            edge(s, exec, &rows[code->bytes[pc]], pc);
        }
    }
    while (s->base_cnt <= size >> BASE_SHIFT) {
        s->block_base[s->base_cnt++] = s->block_cnt;
    }
}

/* True if a static jump to the 16 bits at p arrives. */
static bool arrives(coh_code_t const *code, uint8_t const *p)
{
    uint32_t to = (uint32_t)p[0] << 8 | p[1];
    return to < code->size && code->bytes[to] == COH_OP_JUMPDEST && coh_code_begins_block(code, to);
}

/* The opcode that stands for the sequence at pc, or for one instruction itself. Only the last of a sequence ends a block, so that all of it is in
   the same one; no jump leads into its middle. */
static uint8_t sequence_at(coh_code_t const *code, uint32_t pc)
{
    uint8_t const *p = code->bytes + pc; /* COH_CODE_PAD octets may be read behind the end */
    bool shifts      = code->fork >= COH_FORK_CONSTANTINOPLE;
    switch (p[0]) {
    case COH_OP_PUSH1:
        switch (p[2]) {
        case COH_OP_ADD: return COH_FUSED_PUSH1_ADD;
        case COH_OP_SHL: return shifts ? COH_FUSED_PUSH1_SHL : p[0];
        case COH_OP_SHR: return shifts ? COH_FUSED_PUSH1_SHR : p[0];
        case COH_OP_MLOAD: return COH_FUSED_PUSH1_MLOAD;
        case COH_OP_MSTORE: return COH_FUSED_PUSH1_MSTORE;
        default: break;
        }
        if (shifts && memcmp(p, "\x60\x01\x60\x01\x60\xa0\x1b\x03", 8) == 0) {
            return p[8] == COH_OP_AND ? COH_FUSED_ADDRESS_MASK_AND : COH_FUSED_ADDRESS_MASK;
        }
        return p[0];
    case COH_OP_PUSH2:
        switch (p[3]) {
        case COH_OP_JUMP: return arrives(code, p + 1) ? COH_FUSED_PUSH2_JUMP : p[0];
        case COH_OP_JUMPI: return arrives(code, p + 1) ? COH_FUSED_PUSH2_JUMPI : p[0];
        case COH_OP_MLOAD: return COH_FUSED_PUSH2_MLOAD;
        case COH_OP_MSTORE: return COH_FUSED_PUSH2_MSTORE;
        default: return p[0];
        }
    case COH_OP_ISZERO:
        return p[1] == COH_OP_PUSH2 && p[4] == COH_OP_JUMPI && arrives(code, p + 2)
                   ? COH_FUSED_ISZERO_PUSH2_JUMPI
                   : p[0];
    case COH_OP_DUP1:
        return p[1] == COH_OP_PUSH4 && p[6] == COH_OP_EQ && p[7] == COH_OP_PUSH2 &&
                       p[10] == COH_OP_JUMPI && arrives(code, p + 8)
                   ? COH_FUSED_SELECTOR_JUMPI
                   : p[0];
    case COH_OP_SWAP1: return p[1] == COH_OP_POP ? COH_FUSED_SWAP1_POP : p[0];
    case COH_OP_SWAP2: return p[1] == COH_OP_POP ? COH_FUSED_SWAP2_POP : p[0];
    case COH_OP_SWAP3: return p[1] == COH_OP_POP ? COH_FUSED_SWAP3_POP : p[0];
    case COH_OP_POP: return p[1] == COH_OP_POP ? COH_FUSED_POP_POP : p[0];
    case COH_OP_DUP2: return p[1] == COH_OP_MSTORE ? COH_FUSED_DUP2_MSTORE : p[0];
    case COH_OP_ADD: return p[1] == COH_OP_MLOAD ? COH_FUSED_ADD_MLOAD : p[0];
    default: return p[0];
    }
}

static void fuse(coh_code_t const *code, uint32_t pc, coh_opcode_row_t const *row)
{
    uint8_t opcode = row->defined ? sequence_at(code, pc) : (uint8_t)COH_OP_INVALID;
    if (opcode != code->bytes[pc]) {
        __atomic_store_n(
            (uint8_t *)(uintptr_t)&code->exec[pc], opcode, __ATOMIC_RELAXED); /* see code.h */
    }
}

static void store_block(coh_code_t const *code, uint32_t pc, coh_code_block_t block)
{
    uint32_t idx = code->block_base[pc >> BASE_SHIFT] + code->block_at[pc] - 1u;
    atomic_store_explicit(&code->blocks[idx], block, memory_order_release); /* see code.h */
}

void coh_code_see(coh_code_t const *code, uint32_t pc)
{
    store_block(code, pc, COH_CODE_BLOCK_SEEN);
}

coh_code_block_t coh_code_add_up(coh_code_t const *code, uint32_t pc)
{
    coh_opcode_row_t const *rows = coh_opcode_rows(code->fork);
    uint32_t const begin         = pc;
    uint64_t gas                 = 0;
    int32_t height = 0, need = 0, growth = 0;
    for (;;) {
        coh_opcode_row_t const *row = &rows[code->bytes[pc]]; /* behind the end: STOP */
        fuse(code, pc, row);
        if (pc != begin && row->ends == COH_OP_DEST && code->exec[pc] == COH_FUSED_DEST_ENTER) {
            break;
        }
        gas += row->gas;
        need = COH_MAX(need, (int32_t)row->pops - height);
        height += (int32_t)row->push - (int32_t)row->pops;
        growth = COH_MAX(growth, height);
        if ((row->ends & (COH_OP_LAST | COH_OP_CUT)) != 0) {
            break;
        }
        pc += 1u + row->imm;
        if (pc >= code->size) {
            break;
        }
    }
    /* 2^32 octets of code do not reach 2^40 gas. */
    coh_code_block_t block =
        gas | (uint64_t)COH_MIN(need, NEED_MAX) << 40 | (uint64_t)COH_MIN(growth, GROWTH_MAX) << 52;
    store_block(code, begin, block);
    return block;
}

uint64_t coh_code_rest(coh_code_t const *code, uint32_t pc)
{
    coh_opcode_row_t const *rows = coh_opcode_rows(code->fork);
    uint64_t gas                 = 0;
    while (pc < code->size) {
        coh_opcode_row_t const *row = &rows[code->bytes[pc]];
        if (row->ends == COH_OP_DEST && code->exec[pc] == COH_FUSED_DEST_ENTER) {
            break;
        }
        gas += row->gas;
        if ((row->ends & (COH_OP_LAST | COH_OP_CUT)) != 0) {
            break;
        }
        pc += 1u + row->imm;
    }
    return gas;
}

coh_code_t *coh_code_new(coh_bytes_t bytes, coh_fork_t fork, coh_hash_t const *hash)
{
    COH_ASSERT(bytes.n <= UINT32_MAX - COH_CODE_PAD);
    /* One piece of memory for what has a known size: the structure, positions, bases, bytes. */
    size_t positions = bytes.n + 1;
    size_t base_cnt  = (bytes.n >> BASE_SHIFT) + 1;
    size_t base_off  = sizeof(coh_code_t);
    size_t at_off    = base_off + base_cnt * sizeof(uint32_t);
    size_t bytes_off = at_off + positions * sizeof(uint16_t);
    uint8_t *memory  = coh_realloc(NULL, bytes_off + 2 * (bytes.n + COH_CODE_PAD));
    coh_code_t *code = (coh_code_t *)(void *)memory;
    search_t s       = {.block_base = (uint32_t *)(void *)(memory + base_off),
                        .block_at   = (uint16_t *)(void *)(memory + at_off)};
    memset(s.block_at, 0, positions * sizeof(uint16_t));
    uint8_t *copy = memory + bytes_off;
    if (bytes.n != 0) {
        memcpy(copy, bytes.p, bytes.n);
    }
    memset(copy + bytes.n, 0, COH_CODE_PAD);
    uint8_t *exec = copy + bytes.n + COH_CODE_PAD;
    memcpy(exec, copy, bytes.n + COH_CODE_PAD);
    *code = (coh_code_t){.fork  = fork,
                         .size  = (uint32_t)bytes.n,
                         .bytes = copy,
                         .exec  = exec,
                         .hash  = hash != NULL ? *hash : (coh_hash_t){{0}}};
    atomic_init(&code->ref_cnt, 1);
    find_blocks(code, exec, &s);
    code->block_at   = s.block_at;
    code->block_base = s.block_base;
    code->block_cnt  = s.block_cnt;
    code->blocks     = coh_realloc(NULL, s.block_cnt * sizeof(*code->blocks));
    memset(code->blocks, 0xff, s.block_cnt * sizeof(*code->blocks)); /* COH_CODE_BLOCK_UNKNOWN */
    if (fork >= COH_FORK_PRAGUE && bytes.n == COH_DELEGATION_SZ &&
        memcmp(copy, "\xef\x01\x00", 3) == 0) { /* EIP-7702 */
        code->is_delegation = true;
        memcpy(code->delegate.b, copy + 3, sizeof(code->delegate.b));
    }
    return code;
}

coh_code_t const *coh_code_ref(coh_code_t const *code)
{
    /* relaxed: whoever takes a reference has one already */
    atomic_fetch_add_explicit(&((coh_code_t *)(uintptr_t)code)->ref_cnt, 1, memory_order_relaxed);
    return code;
}

size_t coh_code_bytes(coh_code_t const *code)
{
    return sizeof(*code) + 2 * ((size_t)code->size + COH_CODE_PAD) +
           ((size_t)code->size + 1) * sizeof(*code->block_at) +
           ((code->size >> BASE_SHIFT) + 1) * sizeof(*code->block_base) +
           code->block_cnt * sizeof(*code->blocks);
}

void coh_code_unref(coh_code_t const *code)
{
    if (code == NULL) {
        return;
    }
    coh_code_t *c = (coh_code_t *)(uintptr_t)code;
    /* release what this thread did with it, acquire what the others did, before it is freed */
    if (atomic_fetch_sub_explicit(&c->ref_cnt, 1, memory_order_acq_rel) == 1) {
        free(c->blocks);
        free(c);
    }
}

coh_coder_t const coh_code_coder = {.make = coh_code_new, .release = coh_code_unref};
