#include "common/evm/opcodes.h"

#include <threads.h>

/* Each byte has exactly one row. */
#define COH_OP(byte, name, imm, pops, push, gas, since) +1
#define COH_UN(byte)                                    +1
_Static_assert(0
#include "common/evm/opcodes.def"
                   == 256,
               "256 rows");

static coh_opcode_row_t tables[COH_FORK_CNT][256];

static uint8_t ends(uint8_t opcode)
{
    switch (opcode) {
    case COH_OP_STOP:
    case COH_OP_JUMP:
    case COH_OP_RETURN:
    case COH_OP_REVERT:
    case COH_OP_INVALID:
    case COH_OP_SELFDESTRUCT: return COH_OP_LAST;
    case COH_OP_JUMPI:
    case COH_OP_GAS:
    case COH_OP_SSTORE:
    case COH_OP_CREATE:
    case COH_OP_CREATE2:
    case COH_OP_CALL:
    case COH_OP_CALLCODE:
    case COH_OP_DELEGATECALL:
    case COH_OP_STATICCALL: return COH_OP_CUT;
    case COH_OP_JUMPDEST: return COH_OP_DEST;
    default: return 0;
    }
}

static void make_tables(void)
{
    static struct {
        coh_opcode_row_t row;
        coh_fork_t since;
    } const rows[256] = {
#define COH_OP(byte, name, imm_, pops_, push_, gas_, since_)                                        \
    [byte] = {                                                                                      \
        .row   = {.gas = (gas_), .imm = (imm_), .pops = (pops_), .push = (push_), .defined = true}, \
        .since = COH_FORK_##since_},
#include "common/evm/opcodes.def"
    };
    static struct {
        coh_fork_t fork;
        uint8_t opcode;
        uint16_t gas;
    } const reprices[] = {
#define COH_REPRICE(fork_, name, gas_) {COH_FORK_##fork_, COH_OP_##name, (gas_)},
#include "common/evm/opcodes.def"
    };
    for (unsigned fork = 0; fork < COH_FORK_CNT; fork++) {
        for (unsigned b = 0; b < 256; b++) {
            coh_opcode_row_t *row = &tables[fork][b];
            if (rows[b].row.defined && fork >= rows[b].since) {
                *row      = rows[b].row;
                row->ends = ends((uint8_t)b);
            } else {
                row->ends = COH_OP_LAST;
            }
        }
        /* In the order of forks: a later price replaces an earlier one. */
        for (size_t i = 0; i < COH_CNT(reprices); i++) {
            if (fork >= reprices[i].fork) {
                tables[fork][reprices[i].opcode].gas = reprices[i].gas;
            }
        }
    }
}

coh_opcode_row_t const *coh_opcode_rows(coh_fork_t fork)
{
    static once_flag once = ONCE_FLAG_INIT;
    call_once(&once, make_tables);
    return tables[fork];
}

char const *coh_opcode_name(uint8_t opcode, coh_fork_t fork)
{
    static char const *const names[256] = {
#define COH_OP(byte, name, imm, pops, push, gas, since) [byte] = #name,
#include "common/evm/opcodes.def"
    };
    if (opcode == COH_OP_PREVRANDAO && fork < COH_FORK_PARIS) {
        return "DIFFICULTY";
    }
    return names[opcode];
}
