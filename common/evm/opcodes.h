/* opcodes.h: the instruction set by fork, made from opcodes.def. */
#ifndef COH_OPCODES_H
#define COH_OPCODES_H

#include "common/codec/fork.h"

enum {
#define COH_OP(byte, name, imm, pops, push, gas, since) COH_OP_##name = (byte),
#define COH_FU(byte, name)                              COH_FUSED_##name = (byte),
#include "common/evm/opcodes.def"
};

/* How an instruction ends a block of code (code.h). */
enum {
    COH_OP_LAST = 1, /* nothing behind it is reached but by a jump */
    COH_OP_CUT =
        2, /* what is behind it is a block of its own: it may jump, or looks at the gas that is left */
    COH_OP_DEST = 4, /* JUMPDEST */
};

typedef struct {
    uint16_t gas; /* static part */
    uint8_t imm;  /* octets behind the opcode */
    uint8_t pops;
    uint8_t push;
    uint8_t ends; /* COH_OP_LAST, COH_OP_CUT, COH_OP_DEST */
    bool defined;
} coh_opcode_row_t;

/* coh_opcode_rows is the table of the 256 opcodes under fork. Any thread. */
coh_opcode_row_t const *coh_opcode_rows(coh_fork_t fork);

/* coh_opcode_name: "ADD"; NULL for an opcode that no fork defines. PREVRANDAO is called DIFFICULTY before Paris. */
char const *coh_opcode_name(uint8_t opcode, coh_fork_t fork);

#endif
