/* The instruction set against the Yellow Paper's appendix H (items removed and added, gas by group) and the EIPs that changed it,
   written out here once more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/evm/opcodes.h"

typedef struct {
    uint8_t opcode;
    char const *name;
    uint8_t removed, added;
    coh_fork_t since;
} row_t;

#define FIRST COH_FORK_FRONTIER

static row_t const instructions[] = {
    {0x00, "STOP", 0, 0, FIRST},
    {0x01, "ADD", 2, 1, FIRST},
    {0x02, "MUL", 2, 1, FIRST},
    {0x03, "SUB", 2, 1, FIRST},
    {0x04, "DIV", 2, 1, FIRST},
    {0x05, "SDIV", 2, 1, FIRST},
    {0x06, "MOD", 2, 1, FIRST},
    {0x07, "SMOD", 2, 1, FIRST},
    {0x08, "ADDMOD", 3, 1, FIRST},
    {0x09, "MULMOD", 3, 1, FIRST},
    {0x0a, "EXP", 2, 1, FIRST},
    {0x0b, "SIGNEXTEND", 2, 1, FIRST},
    {0x10, "LT", 2, 1, FIRST},
    {0x11, "GT", 2, 1, FIRST},
    {0x12, "SLT", 2, 1, FIRST},
    {0x13, "SGT", 2, 1, FIRST},
    {0x14, "EQ", 2, 1, FIRST},
    {0x15, "ISZERO", 1, 1, FIRST},
    {0x16, "AND", 2, 1, FIRST},
    {0x17, "OR", 2, 1, FIRST},
    {0x18, "XOR", 2, 1, FIRST},
    {0x19, "NOT", 1, 1, FIRST},
    {0x1a, "BYTE", 2, 1, FIRST},
    {0x1b, "SHL", 2, 1, COH_FORK_CONSTANTINOPLE}, /* EIP-145 */
    {0x1c, "SHR", 2, 1, COH_FORK_CONSTANTINOPLE},
    {0x1d, "SAR", 2, 1, COH_FORK_CONSTANTINOPLE},
    {0x1e, "CLZ", 1, 1, COH_FORK_OSAKA}, /* EIP-7939 */
    {0x20, "KECCAK256", 2, 1, FIRST},
    {0x30, "ADDRESS", 0, 1, FIRST},
    {0x31, "BALANCE", 1, 1, FIRST},
    {0x32, "ORIGIN", 0, 1, FIRST},
    {0x33, "CALLER", 0, 1, FIRST},
    {0x34, "CALLVALUE", 0, 1, FIRST},
    {0x35, "CALLDATALOAD", 1, 1, FIRST},
    {0x36, "CALLDATASIZE", 0, 1, FIRST},
    {0x37, "CALLDATACOPY", 3, 0, FIRST},
    {0x38, "CODESIZE", 0, 1, FIRST},
    {0x39, "CODECOPY", 3, 0, FIRST},
    {0x3a, "GASPRICE", 0, 1, FIRST},
    {0x3b, "EXTCODESIZE", 1, 1, FIRST},
    {0x3c, "EXTCODECOPY", 4, 0, FIRST},
    {0x3d, "RETURNDATASIZE", 0, 1, COH_FORK_BYZANTIUM}, /* EIP-211 */
    {0x3e, "RETURNDATACOPY", 3, 0, COH_FORK_BYZANTIUM},
    {0x3f, "EXTCODEHASH", 1, 1, COH_FORK_CONSTANTINOPLE}, /* EIP-1052 */
    {0x40, "BLOCKHASH", 1, 1, FIRST},
    {0x41, "COINBASE", 0, 1, FIRST},
    {0x42, "TIMESTAMP", 0, 1, FIRST},
    {0x43, "NUMBER", 0, 1, FIRST},
    {0x44, "PREVRANDAO", 0, 1, FIRST}, /* EIP-4399 */
    {0x45, "GASLIMIT", 0, 1, FIRST},
    {0x46, "CHAINID", 0, 1, COH_FORK_ISTANBUL},     /* EIP-1344 */
    {0x47, "SELFBALANCE", 0, 1, COH_FORK_ISTANBUL}, /* EIP-1884 */
    {0x48, "BASEFEE", 0, 1, COH_FORK_LONDON},       /* EIP-3198 */
    {0x49, "BLOBHASH", 1, 1, COH_FORK_CANCUN},      /* EIP-4844 */
    {0x4a, "BLOBBASEFEE", 0, 1, COH_FORK_CANCUN},   /* EIP-7516 */
    {0x50, "POP", 1, 0, FIRST},
    {0x51, "MLOAD", 1, 1, FIRST},
    {0x52, "MSTORE", 2, 0, FIRST},
    {0x53, "MSTORE8", 2, 0, FIRST},
    {0x54, "SLOAD", 1, 1, FIRST},
    {0x55, "SSTORE", 2, 0, FIRST},
    {0x56, "JUMP", 1, 0, FIRST},
    {0x57, "JUMPI", 2, 0, FIRST},
    {0x58, "PC", 0, 1, FIRST},
    {0x59, "MSIZE", 0, 1, FIRST},
    {0x5a, "GAS", 0, 1, FIRST},
    {0x5b, "JUMPDEST", 0, 0, FIRST},
    {0x5c, "TLOAD", 1, 1, COH_FORK_CANCUN}, /* EIP-1153 */
    {0x5d, "TSTORE", 2, 0, COH_FORK_CANCUN},
    {0x5e, "MCOPY", 3, 0, COH_FORK_CANCUN},   /* EIP-5656 */
    {0x5f, "PUSH0", 0, 1, COH_FORK_SHANGHAI}, /* EIP-3855 */
    {0xa0, "LOG0", 2, 0, FIRST},
    {0xa1, "LOG1", 3, 0, FIRST},
    {0xa2, "LOG2", 4, 0, FIRST},
    {0xa3, "LOG3", 5, 0, FIRST},
    {0xa4, "LOG4", 6, 0, FIRST},
    {0xf0, "CREATE", 3, 1, FIRST},
    {0xf1, "CALL", 7, 1, FIRST},
    {0xf2, "CALLCODE", 7, 1, FIRST},
    {0xf3, "RETURN", 2, 0, FIRST},
    {0xf4, "DELEGATECALL", 6, 1, COH_FORK_HOMESTEAD}, /* EIP-7 */
    {0xf5, "CREATE2", 4, 1, COH_FORK_CONSTANTINOPLE}, /* EIP-1014 */
    {0xfa, "STATICCALL", 6, 1, COH_FORK_BYZANTIUM},   /* EIP-214 */
    {0xfd, "REVERT", 2, 0, COH_FORK_BYZANTIUM},       /* EIP-140 */
    {0xfe, "INVALID", 0, 0, FIRST},                   /* EIP-141 */
    {0xff, "SELFDESTRUCT", 1, 0, FIRST},
};

/* Gas, by the Yellow Paper's groups; all of these never changed. */
typedef struct {
    uint16_t gas;
    char const *names; /* each followed by a blank */
} group_t;

static group_t const groups[] = {
    {0, "STOP RETURN REVERT INVALID SSTORE "},
    {1, "JUMPDEST "},
    {2,
     "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE COINBASE TIMESTAMP NUMBER "
     "PREVRANDAO GASLIMIT CHAINID "
     "RETURNDATASIZE POP PC MSIZE GAS BASEFEE BLOBBASEFEE PUSH0 "},
    {3,
     "ADD SUB NOT LT GT SLT SGT EQ ISZERO AND OR XOR BYTE SHL SHR SAR CALLDATALOAD MLOAD MSTORE "
     "MSTORE8 CALLDATACOPY "
     "CODECOPY RETURNDATACOPY MCOPY BLOBHASH "},
    {5, "MUL DIV SDIV MOD SMOD SIGNEXTEND SELFBALANCE CLZ "},
    {8, "ADDMOD MULMOD JUMP "},
    {10, "JUMPI EXP "},
    {20, "BLOCKHASH "},
    {30, "KECCAK256 "},
    {100, "TLOAD TSTORE "},
    {375, "LOG0 "},
    {750, "LOG1 "},
    {1125, "LOG2 "},
    {1500, "LOG3 "},
    {1875, "LOG4 "},
    {32000, "CREATE CREATE2 "},
};

/* What changed: Frontier, EIP-150 (Tangerine Whistle), EIP-1884 (Istanbul), EIP-2929 (Berlin: warm). */
typedef struct {
    uint8_t opcode;
    uint16_t frontier, tangerine, istanbul, berlin;
} change_t;

static change_t const changes[] = {
    {0x31, 20, 400, 700, 100},   /* BALANCE */
    {0x3b, 20, 700, 700, 100},   /* EXTCODESIZE */
    {0x3c, 20, 700, 700, 100},   /* EXTCODECOPY */
    {0x3f, 400, 400, 700, 100},  /* EXTCODEHASH */
    {0x54, 50, 200, 800, 100},   /* SLOAD */
    {0xf1, 40, 700, 700, 100},   /* CALL */
    {0xf2, 40, 700, 700, 100},   /* CALLCODE */
    {0xf4, 40, 700, 700, 100},   /* DELEGATECALL */
    {0xfa, 700, 700, 700, 100},  /* STATICCALL */
    {0xff, 0, 5000, 5000, 5000}, /* SELFDESTRUCT */
};

static uint32_t gas_of(row_t const *r, coh_fork_t fork)
{
    for (size_t i = 0; i < COH_CNT(changes); i++) {
        if (changes[i].opcode == r->opcode) {
            return fork >= COH_FORK_BERLIN      ? changes[i].berlin
                   : fork >= COH_FORK_ISTANBUL  ? changes[i].istanbul
                   : fork >= COH_FORK_TANGERINE ? changes[i].tangerine
                                                : changes[i].frontier;
        }
    }
    char word[32];
    (void)snprintf(word, sizeof(word), "%s ", r->name);
    for (size_t i = 0; i < COH_CNT(groups); i++) {
        for (char const *at = groups[i].names; (at = strstr(at, word)) != NULL; at++) {
            if (at == groups[i].names || at[-1] == ' ') {
                return groups[i].gas;
            }
        }
    }
    fail_msg("%s has no price", r->name);
    return 0;
}

/* What the table must say of each byte; *out is not defined where no fork knows it. */
static bool row_of(row_t *out, char name[16], uint8_t opcode)
{
    for (size_t i = 0; i < COH_CNT(instructions); i++) {
        if (instructions[i].opcode == opcode) {
            *out = instructions[i];
            return true;
        }
    }
    *out = (row_t){.opcode = opcode, .name = name};
    if (opcode >= 0x60 && opcode <= 0x7f) {
        (void)snprintf(name, 16, "PUSH%d", opcode - 0x5f);
        out->added = 1;
    } else if (opcode >= 0x80 && opcode <= 0x8f) {
        (void)snprintf(name, 16, "DUP%d", opcode - 0x7f);
        out->removed = (uint8_t)(opcode - 0x7f);
        out->added   = (uint8_t)(opcode - 0x7e);
    } else if (opcode >= 0x90 && opcode <= 0x9f) {
        (void)snprintf(name, 16, "SWAP%d", opcode - 0x8f);
        out->removed = (uint8_t)(opcode - 0x8e);
        out->added   = out->removed;
    } else {
        return false;
    }
    return true;
}

static void opcodes_rows(void **state)
{
    (void)state;
    unsigned known = 0;
    for (unsigned fork = 0; fork < COH_FORK_CNT; fork++) {
        coh_opcode_row_t const *rows = coh_opcode_rows((coh_fork_t)fork);
        for (unsigned b = 0; b < 256; b++) {
            row_t want;
            char name[16];
            bool exists = row_of(&want, name, (uint8_t)b);
            known += exists;
            assert_int_equal(rows[b].defined, exists && fork >= want.since);
            if (!rows[b].defined) {
                assert_int_equal(rows[b].gas | rows[b].imm | rows[b].pops | rows[b].push, 0);
                assert_int_equal(rows[b].ends, COH_OP_LAST);
                continue;
            }
            bool is_small = b >= 0x60 && b <= 0x9f;
            assert_int_equal(rows[b].pops, want.removed);
            assert_int_equal(rows[b].push, want.added);
            assert_int_equal(rows[b].imm, b >= 0x60 && b <= 0x7f ? b - 0x5f : 0);
            assert_int_equal(rows[b].gas, is_small ? 3 : gas_of(&want, (coh_fork_t)fork));
        }
    }
    assert_int_equal(known, COH_FORK_CNT * (COH_CNT(instructions) + 32 + 16 + 16));
}

static void opcodes_names(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        row_t want;
        char name[16];
        char const *got = coh_opcode_name((uint8_t)b, COH_FORK_OSAKA);
        if (row_of(&want, name, (uint8_t)b)) {
            assert_string_equal(got, want.name);
        } else {
            assert_null(got);
        }
    }
    assert_string_equal(coh_opcode_name(0x44, COH_FORK_LONDON), "DIFFICULTY");
    assert_string_equal(coh_opcode_name(0x44, COH_FORK_PARIS), "PREVRANDAO");
    assert_string_equal(coh_opcode_name(0x5f, COH_FORK_FRONTIER), "PUSH0"); /* known, not defined */
}

/* How instructions end a block. */
static void opcodes_ends(void **state)
{
    (void)state;
    static uint8_t const last[] = {0x00, 0x56, 0xf3, 0xfd, 0xfe, 0xff};
    static uint8_t const cut[]  = {0x55, 0x57, 0x5a, 0xf0, 0xf1, 0xf2, 0xf4, 0xf5, 0xfa};
    uint8_t want[256]           = {[0x5b] = COH_OP_DEST};
    for (size_t i = 0; i < COH_CNT(last); i++) {
        want[last[i]] = COH_OP_LAST;
    }
    for (size_t i = 0; i < COH_CNT(cut); i++) {
        want[cut[i]] = COH_OP_CUT;
    }
    coh_opcode_row_t const *rows = coh_opcode_rows(COH_FORK_OSAKA);
    for (unsigned b = 0; b < 256; b++) {
        assert_int_equal(rows[b].ends, rows[b].defined ? want[b] : COH_OP_LAST);
    }
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(opcodes_rows),
        cmocka_unit_test(opcodes_names),
        cmocka_unit_test(opcodes_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
