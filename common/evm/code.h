/* code.h: contract code, analysed once for the rules of one fork and shared by all threads.

   Code falls into blocks of instructions that are entered only at their beginning. What a block's instructions cost in any case and what
   stack they need is added up, and the interpreter checks and charges it once at the entry. Only where that fails, or what
   an instruction costs beside does not leave enough for the rest of its block, each instruction is checked by itself.
   Instructions that look at the gas that is left (GAS, SSTORE's sentry, calls, creations) end a block, so that the gas is exact there.

   coh_code_new only finds where blocks begin, and so the jump destinations. Most code of a contract does not run, and much of it runs once. So the first
   time that a block is entered it is only noted, and its instructions are checked one by one; the second time it is added up, and its frequent
   sequences of instructions are fused. All threads store the same 64 bits and the same octets, each whole: whoever comes first does no harm
   to the others. Who sees a block added up sees its octets too: those that must not run as they stand are replaced by then.

   Blocks overlap: one that begins at a JUMPDEST is part of the one before it, which runs into it without another check, but for every 16th
   JUMPDEST, where all blocks end: so that adding all of them up costs at most 16 times the code's size.

   All else is immutable after coh_code_new. The reference count may be changed by any thread. */
#ifndef COH_CODE_H
#define COH_CODE_H

#include <stdatomic.h>

#include "common/codec/fork.h"
#include "common/state/view.h"

/* Zero octets behind the code, so that pushes at its end read zeros and running off the end stops. */
#define COH_CODE_PAD 64u
/* EIP-7702: 0xef0100 and an address. */
#define COH_DELEGATION_SZ 23u

/* A block: bits 0..39 the gas of all its instructions without what depends on operands, 40..51 the items that must be on the stack, 52..63 the
   highest point above the entry's height. The last two are at most 1025: the stack holds 1024. */
typedef uint64_t coh_code_block_t;
#define COH_CODE_BLOCK_GAS(block)    ((block) & ((UINT64_C(1) << 40) - 1))
#define COH_CODE_BLOCK_NEED(block)   ((block) >> 40 & 0xfff)
#define COH_CODE_BLOCK_GROWTH(block) ((block) >> 52)
/* Not entered yet, entered once and not added up: they need more than any stack holds, so that a check which fails anyway notices. */
#define COH_CODE_BLOCK_UNKNOWN UINT64_MAX
#define COH_CODE_BLOCK_SEEN    (UINT64_MAX - 1)

struct coh_code {
    _Atomic uint32_t ref_cnt;
    coh_fork_t fork;
    coh_hash_t hash; /* keccak256 of the code; zero if nobody asked (init code) */
    uint32_t size;
    uint32_t block_cnt;
    bool is_delegation; /* EIP-7702 designator, under rules that know it */
    coh_addr_t delegate;
    uint8_t const *bytes; /* the code itself, COH_CODE_PAD zeros behind it */
    /* What the fast loop runs: a copy in which some JUMPDESTs are DEST_ENTER, and, in blocks that have been added up, opcodes that fork does not have are INVALID and
       the first opcode of some sequences is one that stands for the sequence. The other octets, and so all operands and positions, are those of bytes. */
    uint8_t const *exec;
    /* Number of the block that begins at a position, less that of the first in its 32768 positions, plus 1; 0: none begins. */
    uint16_t const *block_at;
    uint32_t const *block_base; /* by position / 32768 */
    _Atomic coh_code_block_t *blocks;
};

/* coh_code_new analyses a copy of bytes; hash may be NULL. The caller has the one reference.
   Memory: about 4 octets for each of code, plus 8 for each block */
coh_code_t *coh_code_new(coh_bytes_t bytes, coh_fork_t fork, coh_hash_t const *hash);
coh_code_t const *coh_code_ref(coh_code_t const *code);
void coh_code_unref(coh_code_t const *code); /* NULL is fine */

/* coh_code_bytes: octets of memory that code takes. */
size_t coh_code_bytes(coh_code_t const *code);

/* coh_code_new and coh_code_unref, for those below who make code without knowing what it is. */
extern coh_coder_t const coh_code_coder;

/* Whether a block begins at pc (0..size; one begins at size if the code can run off its end). */
static inline bool coh_code_begins_block(coh_code_t const *code, uint32_t pc)
{
    return code->block_at[pc] != 0;
}

/* coh_code_block is what is known of the block that begins at pc. */
static inline coh_code_block_t coh_code_block(coh_code_t const *code, uint32_t pc)
{
    /* acquire: with the sum come the octets of exec that were stored before it */
    return atomic_load_explicit(&code->blocks[code->block_base[pc >> 15] + code->block_at[pc] - 1u],
                                memory_order_acquire);
}

/* coh_code_see notes that the block that begins at pc has been entered. */
void coh_code_see(coh_code_t const *code, uint32_t pc);
/* coh_code_add_up adds up the block that begins at pc, fuses its sequences, and returns it. */
coh_code_block_t coh_code_add_up(coh_code_t const *code, uint32_t pc);
/* coh_code_rest: of the gas of a block, what the instructions from pc, the beginning of one in its middle, to its end cost. */
uint64_t coh_code_rest(coh_code_t const *code, uint32_t pc);

#endif
