/* Instructions of one frame: their values, gas and refunds as the Yellow Paper and the EIPs state them, written out. Calls and creations are in
   test_evm_calls.c. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/evm/code.h"
#include "common/evm/opcodes.h"
#include "tests/support/data.h"
#include "tests/support/evmasm.h"
#include "tests/support/vm.h"

#define ONES   "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define LOWEST "0x8000000000000000000000000000000000000000000000000000000000000000"
#define TOP    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define MINUS2 "0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe"
#define MINUS3 "0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffd"

typedef struct {
    char const *text;
    char const *wanted;
} leaves_t;

static void assert_all_leave(coh_fork_t fork, leaves_t const *cases, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        coh_vm_assert_leaves(fork, cases[i].text, cases[i].wanted);
    }
}

/* Yellow Paper, appendix H.2, 0s and 10s. The operand pushed last is the first. */
static void evm_arithmetic(void **state)
{
    (void)state;
    static leaves_t const cases[] = {
        {"2 3 ADD", "5"},
        {ONES " 2 ADD", "1"},
        {"7 6 MUL", "42"},
        {LOWEST " 2 MUL", "0"},
        {ONES " " ONES " MUL", "1"},
        {"3 5 SUB", "2"},
        {"1 0 SUB", ONES},
        {"3 20 DIV", "6"},
        {"0 20 DIV", "0"},
        {"20 3 DIV", "0"},
        {ONES " " LOWEST " SDIV", LOWEST}, /* overflows to itself */
        {"3 " ONES " SDIV", "0"},
        {MINUS3 " 9 SDIV", MINUS3},
        {"0 " ONES " SDIV", "0"},
        {"3 20 MOD", "2"},
        {"0 20 MOD", "0"},
        {"3 " MINUS2 " SMOD", MINUS2}, /* the sign is that of the dividend */
        {MINUS3 " 8 SMOD", "2"},
        {"0 8 SMOD", "0"},
        {"2 2 " ONES " ADDMOD", "1"}, /* 2^256 + 1, not modulo 2^256 */
        {"0 2 3 ADDMOD", "0"},
        {"12 " ONES " " ONES " MULMOD", "9"},
        {"0 2 3 MULMOD", "0"},
        {"10 2 EXP", "1024"},
        {"0 0 EXP", "1"},
        {"256 2 EXP", "0"},
        {"3 " ONES " EXP", ONES},
        {"0x80 0 SIGNEXTEND", "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff80"},
        {"0xff7f 0 SIGNEXTEND", "0x7f"},
        {"0x8000 1 SIGNEXTEND",
         "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff8000"},
        {"0x1234 31 SIGNEXTEND", "0x1234"},
        {"0x80 " ONES " SIGNEXTEND", "0x80"},
        {"2 1 LT", "1"},
        {"1 2 LT", "0"},
        {"1 1 LT", "0"},
        {"1 2 GT", "1"},
        {"2 1 GT", "0"},
        {"0 " ONES " SLT", "1"},
        {ONES " 0 SLT", "0"},
        {ONES " 0 SGT", "1"},
        {"0 " ONES " SGT", "0"},
        {"5 5 EQ", "1"},
        {LOWEST " 0 EQ", "0"},
        {"0 ISZERO", "1"},
        {LOWEST " ISZERO", "0"},
        {"12 10 AND", "8"},
        {"12 10 OR", "14"},
        {"12 10 XOR", "6"},
        {"0 NOT", ONES},
        {"0xff00 30 BYTE", "255"},
        {"0xff00 31 BYTE", "0"},
        {ONES " 32 BYTE", "0"},
        {ONES " " LOWEST " BYTE", "0"},
    };
    assert_all_leave(COH_FORK_FRONTIER, cases, COH_CNT(cases));
    assert_all_leave(COH_FORK_OSAKA, cases, COH_CNT(cases));
}

/* The test cases of EIP-145 and EIP-7939. */
static void evm_shifts(void **state)
{
    (void)state;
    static leaves_t const cases[] = {
        {"1 0 SHL", "1"},
        {"1 1 SHL", "2"},
        {"1 255 SHL", LOWEST},
        {"1 256 SHL", "0"},
        {"1 257 SHL", "0"},
        {ONES " 0 SHL", ONES},
        {ONES " 1 SHL", MINUS2},
        {ONES " 255 SHL", LOWEST},
        {ONES " 256 SHL", "0"},
        {"0 1 SHL", "0"},
        {TOP " 1 SHL", MINUS2},
        {"1 0 SHR", "1"},
        {"1 1 SHR", "0"},
        {LOWEST " 1 SHR", "0x4000000000000000000000000000000000000000000000000000000000000000"},
        {LOWEST " 255 SHR", "1"},
        {LOWEST " 256 SHR", "0"},
        {LOWEST " 257 SHR", "0"},
        {ONES " 0 SHR", ONES},
        {ONES " 1 SHR", TOP},
        {ONES " 255 SHR", "1"},
        {ONES " 256 SHR", "0"},
        {"0 1 SHR", "0"},
        {"1 0 SAR", "1"},
        {"1 1 SAR", "0"},
        {LOWEST " 1 SAR", "0xc000000000000000000000000000000000000000000000000000000000000000"},
        {LOWEST " 255 SAR", ONES},
        {LOWEST " 256 SAR", ONES},
        {LOWEST " 257 SAR", ONES},
        {ONES " 0 SAR", ONES},
        {ONES " 1 SAR", ONES},
        {ONES " 255 SAR", ONES},
        {ONES " 256 SAR", ONES},
        {"0 1 SAR", "0"},
        {"0x4000000000000000000000000000000000000000000000000000000000000000 254 SAR", "1"},
        {TOP " 248 SAR", "127"},
        {TOP " 254 SAR", "1"},
        {TOP " 255 SAR", "0"},
        {TOP " 256 SAR", "0"},
        {TOP " 257 SAR", "0"},
    };
    static leaves_t const clz[] = {
        {"0 CLZ", "256"},
        {LOWEST " CLZ", "0"},
        {ONES " CLZ", "0"},
        {"0x4000000000000000000000000000000000000000000000000000000000000000 CLZ", "1"},
        {TOP " CLZ", "1"},
        {"1 CLZ", "255"},
    };
    assert_all_leave(COH_FORK_CONSTANTINOPLE, cases, COH_CNT(cases));
    assert_all_leave(COH_FORK_OSAKA, cases, COH_CNT(cases));
    assert_all_leave(COH_FORK_OSAKA, clz, COH_CNT(clz));
    assert_int_equal(coh_vm_status_of(COH_FORK_BYZANTIUM, "1 1 SHL"), COH_EVM_UNDEFINED);
    assert_int_equal(coh_vm_status_of(COH_FORK_PRAGUE, "1 CLZ"), COH_EVM_UNDEFINED);
}

static void evm_environment(void **state)
{
    (void)state;
    static leaves_t const cases[] = {
        {"ADDRESS", "0x1000"},
        {"CALLER", "0x5000"},
        {"ORIGIN", "0x0c0c0c"},
        {"CALLVALUE", "0"},
        {"GASPRICE", "13"},
        {"COINBASE", "0xc0ffee"},
        {"TIMESTAMP", "1234567890"},
        {"NUMBER", "1000"},
        {"PREVRANDAO", "0x0000000000000001000000000000000200000000000000030000000000000004"},
        {"GASLIMIT", "30000000"},
        {"CHAINID", "1337"},
        {"SELFBALANCE", "1000"},
        {"ADDRESS BALANCE", "1000"},
        {"0x5000 BALANCE", "0x100000000000000000000000000000000"},
        {ONES " BALANCE", "0"},
        {"0x112233445566778899aabbcc0000000000000000000000000000000000001000 BALANCE", "1000"},
        {"BASEFEE", "9"},
        {"BLOBBASEFEE", "11"},
        {"0 BLOBHASH", "0"}, /* no blobs */
        {"PC", "0"},
        {"1 2 POP POP PC", "6"},
        {"x: y: PC", "2"},
        {"CODESIZE", "9"}, /* what leaves the word is 8 octets long */
        {"MSIZE", "0"},
        {"0 MLOAD POP MSIZE", "32"},
        {"1 MLOAD POP MSIZE", "64"},
        {"0 31 MSTORE8 MSIZE", "32"},
        {"0 32 MSTORE8 MSIZE", "64"},
        {"0x1001 EXTCODESIZE", "0"},
        {"RETURNDATASIZE", "0"},
        {"CALLDATASIZE", "0"},
        {"0 CALLDATALOAD", "0"},
        {"999 BLOCKHASH", "7000999"},
        {"744 BLOCKHASH", "7000744"},
        {"743 BLOCKHASH", "0"}, /* the 257th before */
        {"1000 BLOCKHASH", "0"},
        {"1001 BLOCKHASH", "0"},
        {ONES " BLOCKHASH", "0"},
        {"0x100000000000003e7 BLOCKHASH", "0"}, /* 2^64 + 999 */
        {"PUSH0", "0"},
    };
    assert_all_leave(COH_FORK_OSAKA, cases, COH_CNT(cases));
    /* GAS is what is left behind it: 10000000 - 2. */
    coh_vm_assert_leaves(COH_FORK_FRONTIER, "GAS", "9999998");
    coh_vm_assert_leaves(COH_FORK_FRONTIER, "1 2 ADD GAS SWAP1 POP", "9999989");
}

static void evm_pushes(void **state)
{
    (void)state;
    for (int n = 1; n <= 32; n++) {
        /* PUSHn of 01 02 03 ... */
        char text[128];
        char wanted[80] = "0x";
        int at          = snprintf(text, sizeof(text), ".%02x", 0x5f + n);
        for (int i = 1; i <= n; i++) {
            at += snprintf(text + at, sizeof(text) - (size_t)at, "%02x", i);
            (void)snprintf(wanted + 2 * i, 3, "%02x", i);
        }
        coh_vm_assert_leaves(COH_FORK_OSAKA, text, wanted);
    }
    /* The end of code inside a push: the missing octets are zeros. PUSH2 at the end, reached by a jump, is followed by STOP. */
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, ".61"), 3);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, ".7f00"), 3);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "PC .7f"), 5);
}

static void evm_stack(void **state)
{
    (void)state;
    for (int n = 1; n <= 16; n++) {
        char text[256];
        char wanted[8];
        int at = 0;
        for (int i = 17; i >= 1; i--) {
            at += snprintf(text + at, sizeof(text) - (size_t)at, "%d ", i);
        }
        (void)snprintf(text + at, sizeof(text) - (size_t)at, "DUP%d", n);
        (void)snprintf(wanted, sizeof(wanted), "%d", n);
        coh_vm_assert_leaves(COH_FORK_OSAKA, text, wanted);
        (void)snprintf(text + at, sizeof(text) - (size_t)at, "SWAP%d", n);
        (void)snprintf(wanted, sizeof(wanted), "%d", n + 1);
        coh_vm_assert_leaves(COH_FORK_OSAKA, text, wanted);
        at += snprintf(text + at, sizeof(text) - (size_t)at, "SWAP%d", n);
        for (int i = 0; i < n; i++) { /* down to where the top went */
            at += snprintf(text + at, sizeof(text) - (size_t)at, " POP");
        }
        coh_vm_assert_leaves(COH_FORK_OSAKA, text, "1");
    }
    assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, "POP"), COH_EVM_STACK_UNDERFLOW);
    assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, "1 ADD"), COH_EVM_STACK_UNDERFLOW);
    assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, "1 2 DUP3"), COH_EVM_STACK_UNDERFLOW);
    assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, "1 2 SWAP2"), COH_EVM_STACK_UNDERFLOW);
    assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, "1 x: POP POP"), COH_EVM_STACK_UNDERFLOW);
}

/* n times the octet, then text. */
static coh_evm_status_t status_of_many(uint32_t n, uint8_t octet, char const *text)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, text);
    size_t tail   = code.n;
    uint8_t *more = coh_buf_extend(&code, n);
    memmove(code.p + n, code.p, tail);
    memset(code.p, octet, n);
    (void)more;
    coh_vm_t vm;
    coh_addr_t self = coh_vm_addr(COH_VM_SELF);
    coh_vm_init(&vm, COH_FORK_OSAKA, "STOP");
    coh_memview_put_account(vm.mv, &self, 1, &COH_U256_ZERO, coh_buf_bytes(&code));
    coh_vm_run(&vm);
    coh_evm_status_t status = vm.status;
    coh_vm_fini(&vm);
    coh_buf_free(&code);
    return status;
}

static void evm_stack_limit(void **state)
{
    (void)state;
    assert_int_equal(status_of_many(1024, COH_OP_PC, "STOP"), COH_EVM_SUCCESS);
    assert_int_equal(status_of_many(1025, COH_OP_PC, "STOP"), COH_EVM_STACK_OVERFLOW);
    assert_int_equal(status_of_many(1024, COH_OP_PC, "PC"), COH_EVM_STACK_OVERFLOW);
    assert_int_equal(status_of_many(1024, COH_OP_PC, "DUP16"), COH_EVM_STACK_OVERFLOW);
    assert_int_equal(status_of_many(1024, COH_OP_PC, "x: 1"), COH_EVM_STACK_OVERFLOW);
    assert_int_equal(status_of_many(1024, COH_OP_PC, "SWAP16 POP 1 STOP"), COH_EVM_SUCCESS);
    assert_int_equal(status_of_many(1024, COH_OP_PC, "ISZERO ADD x: 1"), COH_EVM_SUCCESS);
    /* A block that is never left through its end. */
    assert_int_equal(status_of_many(1024, COH_OP_PC, "STOP 1 1 1"), COH_EVM_SUCCESS);
}

static void evm_jumps(void **state)
{
    (void)state;
    coh_vm_assert_leaves(COH_FORK_OSAKA, "1 @x JUMP 2 x: 3 SWAP1 POP", "3");
    coh_vm_assert_leaves(COH_FORK_OSAKA, "5 1 @x JUMPI 6 x:", "5");
    coh_vm_assert_leaves(COH_FORK_OSAKA, "5 0 @x JUMPI 6 x:", "6");
    coh_vm_assert_leaves(COH_FORK_OSAKA, "5 " LOWEST " @x JUMPI 6 x:", "5"); /* any bit will do */
    /* 1 + 2 + ... + 100 */
    coh_vm_assert_leaves(
        COH_FORK_OSAKA, "0 100 l: DUP1 SWAP2 ADD SWAP1 1 SWAP1 SUB DUP1 @l JUMPI POP", "5050");
    /* A condition of 0 makes the destination irrelevant. */
    assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, "0 " ONES " JUMPI"), COH_EVM_SUCCESS);
    static char const *const bad[] = {
        "0 JUMP",                      /* no JUMPDEST */
        "4 JUMP .605b",                /* inside a push */
        "4 JUMP .7f5b",                /* inside one that the end cuts off */
        "3 JUMP",                      /* the end */
        "4 JUMP",                      /* beyond it */
        ONES " JUMP x:",               /* far beyond it */
        "0x1000000000000000b JUMP x:", /* 2^64 + 11 */
        "0x100000008 JUMP STOP x:",    /* 2^32 + 8 */
        "1 5 JUMPI STOP",              /* a block begins behind JUMPI, but no JUMPDEST is there */
        "1 0x1000000000000000d JUMPI x:",
    };
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, bad[i]), COH_EVM_BAD_JUMP);
    }
    /* A destination of all forks behind an opcode that this one does not have. */
    coh_vm_assert_leaves(COH_FORK_FRONTIER, "@x JUMP PUSH0 CLZ x: 9", "9");
}

/* Sequences that the fast loop fuses, at their edges; a loop around them, so that they run checked and fused. */
static void evm_sequences(void **state)
{
    (void)state;
    static leaves_t const cases[] = {
        {"7 @x JUMP 8 x:", "7"},
        {"7 1 @x JUMPI POP 8 x:", "7"},
        {"7 0 @x JUMPI POP 8 x:", "8"},
        {"7 " LOWEST " @x JUMPI POP 8 x:", "7"},
        {"7 0 ISZERO @x JUMPI POP 8 x:", "7"},
        {"7 " LOWEST " ISZERO @x JUMPI POP 8 x:", "8"},
        {"7 0xa1b2c3d4 DUP1 0xa1b2c3d4 EQ @x JUMPI SWAP1 x: POP", "7"},
        {"7 0xa1b2c3d5 DUP1 0xa1b2c3d4 EQ @x JUMPI SWAP1 x: POP", "0xa1b2c3d5"},
        /* equal in the lowest 64 bits */
        {"7 0x100000000a1b2c3d4 DUP1 0xa1b2c3d4 EQ @x JUMPI SWAP1 x: POP", "0x100000000a1b2c3d4"},
        {"7 0x1a1b2c3d4 DUP1 0xa1b2c3d4 EQ @x JUMPI SWAP1 x: POP", "0x1a1b2c3d4"},
        {ONES " 255 ADD", "254"},
        {"0xffffffffffffffff 1 ADD", "0x10000000000000000"},
        {"3 255 SHL", LOWEST},
        {ONES " 0 SHL", ONES},
        {LOWEST " 255 SHR", "1"},
        {"9 9 MSTORE 9 MLOAD", "9"},
        {"300 257 MSTORE 257 MLOAD", "300"},
        {"1 2 3 4 SWAP1 POP ADD ADD", "7"},
        {"1 2 3 4 SWAP2 POP ADD ADD", "8"},
        {"1 2 3 4 SWAP3 POP ADD ADD", "9"},
        {"1 2 3 4 POP POP POP", "1"},
        {"1 2 3 4 5 POP POP POP POP", "1"},
        {"64 77 DUP2 MSTORE MLOAD", "77"},
        {"77 96 MSTORE 60 36 ADD MLOAD", "77"},
        {"1 1 160 SHL SUB", "0xffffffffffffffffffffffffffffffffffffffff"},
        {ONES " 1 1 160 SHL SUB AND", "0xffffffffffffffffffffffffffffffffffffffff"},
        {"0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20 1 1 160 SHL SUB AND",
         "0x0d0e0f101112131415161718191a1b1c1d1e1f20"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[512];
        coh_vm_assert_leaves(COH_FORK_OSAKA, cases[i].text, cases[i].wanted);
        /* three times; what is left is added up */
        (void)snprintf(text,
                       sizeof(text),
                       "0 3 again: %s 0x1000 MSTORE SWAP1 0x1000 MLOAD ADD SWAP1 1 SWAP1 SUB DUP1 "
                       "@again JUMPI POP 3 SWAP1 DIV",
                       cases[i].text);
        coh_u256_t third = coh_test_u256(cases[i].wanted);
        if (third.w[3] == 0) {
            coh_vm_assert_leaves(COH_FORK_OSAKA, text, cases[i].wanted);
        }
    }
    /* Out of memory's gas in the middle of one. */
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "l: 0xff000000 5 ADD MLOAD @l JUMP");
    coh_vm_run(&vm);
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_OUT_OF_GAS);
    coh_vm_fini(&vm);
}

static void evm_undefined(void **state)
{
    (void)state;
    static uint8_t const never[] = {
        0x0c, 0x1f, 0x21, 0x4b, 0xa5, 0xb0, 0xc7, 0xef, 0xf6, 0xfb, 0xfe};
    static struct {
        coh_fork_t before;
        char const *text;
    } const later[] = {
        {COH_FORK_FRONTIER, "0 0 0 0 0 0 DELEGATECALL"},
        {COH_FORK_SPURIOUS, "0 0 0 0 0 0 STATICCALL"},
        {COH_FORK_SPURIOUS, "0 0 REVERT"},
        {COH_FORK_SPURIOUS, "RETURNDATASIZE"},
        {COH_FORK_SPURIOUS, "0 0 0 RETURNDATACOPY"},
        {COH_FORK_BYZANTIUM, "0 0 0 0 CREATE2"},
        {COH_FORK_BYZANTIUM, "0 EXTCODEHASH"},
        {COH_FORK_BYZANTIUM, "0 0 SAR"},
        {COH_FORK_PETERSBURG, "CHAINID"},
        {COH_FORK_PETERSBURG, "SELFBALANCE"},
        {COH_FORK_BERLIN, "BASEFEE"},
        {COH_FORK_PARIS, "PUSH0"},
        {COH_FORK_SHANGHAI, "0 TLOAD"},
        {COH_FORK_SHANGHAI, "0 0 TSTORE"},
        {COH_FORK_SHANGHAI, "0 0 0 MCOPY"},
        {COH_FORK_SHANGHAI, "0 BLOBHASH"},
        {COH_FORK_SHANGHAI, "BLOBBASEFEE"},
        {COH_FORK_PRAGUE, "0 CLZ"},
    };
    for (size_t i = 0; i < COH_CNT(never); i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "1 1 1 1 .%02x", never[i]);
        assert_int_equal(coh_vm_status_of(COH_FORK_FRONTIER, text), COH_EVM_UNDEFINED);
        assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, text), COH_EVM_UNDEFINED);
    }
    for (size_t i = 0; i < COH_CNT(later); i++) {
        assert_int_equal(coh_vm_status_of(later[i].before, later[i].text), COH_EVM_UNDEFINED);
        assert_int_not_equal(coh_vm_class(coh_vm_status_of(later[i].before + 1, later[i].text)), 2);
    }
}

static void evm_memory(void **state)
{
    (void)state;
    static leaves_t const cases[] = {
        {"0x1122 0 MSTORE 1 MLOAD", "0x112200"},
        {"0x1122 0 MSTORE 31 MLOAD",
         "0x2200000000000000000000000000000000000000000000000000000000000000"},
        {"0xaabb 3 MSTORE8 0 MLOAD",
         "0x000000bb00000000000000000000000000000000000000000000000000000000"},
        {ONES " 5 MSTORE 0 MLOAD",
         "0x0000000000ffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
        {"100 MLOAD", "0"},
    };
    assert_all_leave(COH_FORK_OSAKA, cases, COH_CNT(cases));
}

/* Yellow Paper, appendix H.1: 3 w + w^2 / 512. */
static void evm_memory_gas(void **state)
{
    (void)state;
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "0 MLOAD"), 3 + 3 + 3);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "1 MLOAD"), 3 + 3 + 6);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "0 31 MSTORE8"), 9 + 3);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "0 32 MSTORE8"), 9 + 6);
    /* 23 words are the first that cost one more than 3 each: 69 + 1. */
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "672 MLOAD"), 6 + 66);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "704 MLOAD"), 6 + 70);
    /* 32 KiB, 1024 words: 3072 + 2048, whether at once or in two steps. */
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "32736 MLOAD"), 6 + 5120);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "9000 MLOAD 32736 MLOAD"), 12 + 5120);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "32736 MLOAD 9000 MLOAD"), 12 + 5120);
    /* Ranges of no octets cost nothing and may be anywhere. */
    static char const *const free_ranges[] = {"0 " ONES " KECCAK256",
                                              "0 " ONES " RETURN",
                                              "0 0 " ONES " CALLDATACOPY",
                                              "0 " ONES " " ONES " CODECOPY",
                                              "0 " ONES " " ONES " MCOPY",
                                              "0 0 " ONES " RETURNDATACOPY",
                                              "0 " ONES " LOG0"};
    static uint64_t const free_gas[]       = {36, 6, 12, 12, 12, 12, 381};
    for (size_t i = 0; i < COH_CNT(free_ranges); i++) {
        assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, free_ranges[i]), free_gas[i]);
    }
    /* More than any gas pays. */
    static char const *const endless[] = {ONES " MLOAD",
                                          "0 " ONES " MSTORE",
                                          "0 0xffffffffffffffff MSTORE8",
                                          "0xffffffffffffffe0 MLOAD",
                                          "0xfffffffffffffff0 MLOAD",
                                          "0x100000000 MLOAD",
                                          ONES " 0 KECCAK256",
                                          "1 " ONES " KECCAK256",
                                          ONES " " ONES " RETURN",
                                          "0xffffffff 0xffffffff LOG0",
                                          ONES " 0 0 CODECOPY",
                                          "0x10000000000000001 0 0 CALLDATACOPY",
                                          "1 0 " ONES " MCOPY",
                                          "1 " ONES " 0 MCOPY",
                                          "1 0x10000000000000000 REVERT"};
    for (size_t i = 0; i < COH_CNT(endless); i++) {
        assert_int_equal(coh_vm_status_of(COH_FORK_OSAKA, endless[i]), COH_EVM_OUT_OF_GAS);
    }
}

/* 10 MiB: 327680 words, 983040 + 209715200 gas; exactly that suffices. */
static void evm_memory_large(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "10485728 MLOAD POP MSIZE 0 MSTORE 32 0 RETURN");
    vm.gas = 3 + 3 + 210698240 + 2 + 2 + 3 + 3 + 3 + 3;
    coh_vm_run_ok(&vm);
    assert_int_equal(vm.used, vm.gas);
    assert_int_equal(coh_vm_u64(&vm, 0), 10485760);
    assert_true(coh_evm_bytes(vm.evm) >= 10485760);
    vm.gas--;
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_OUT_OF_GAS);
    /* The next message begins with what is kept. */
    coh_vm_put_code(&vm, COH_VM_OTHER, 0, "STOP");
    coh_vm_run_at(&vm, COH_VM_OTHER);
    assert_true(coh_evm_bytes(vm.evm) < 1 << 20);
    coh_vm_fini(&vm);
}

/* Growth in small steps, past every capacity: what was written stays, what was not is zero, also when another frame used the memory before. */
static void evm_memory_growth(void **state)
{
    (void)state;
    coh_vm_t vm;
    /* mem[32 i] = i + 1 for i below 6000, read from behind: their sum is 6000 * 6001 / 2 */
    coh_vm_init(&vm,
                COH_FORK_OSAKA,
                "0 w: DUP1 1 ADD DUP2 32 MUL MSTORE 1 ADD 6000 DUP2 LT @w JUMPI "
                "0 SWAP1 r: 1 SWAP1 SUB DUP1 32 MUL MLOAD SWAP1 SWAP2 ADD SWAP1 DUP1 @r JUMPI "
                "POP 0 MSTORE 32 0 RETURN");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 18003000);
    coh_vm_put_code(&vm, COH_VM_OTHER, 0, "192000 0 RETURN");
    coh_vm_run_at(&vm, COH_VM_OTHER);
    assert_int_equal(vm.output.n, 192000);
    for (size_t i = 0; i < vm.output.n; i++) {
        assert_int_equal(vm.output.p[i], 0);
    }
    coh_vm_fini(&vm);
}

/* The examples of EIP-5656: gas 3 + 3 for a word, and the memory afterwards. */
static void evm_mcopy(void **state)
{
    (void)state;
    static struct {
        char const *text;
        char const *memory;
    } const cases[] = {
        {"0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 32 MSTORE 32 32 0 "
         "MCOPY",
         "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"},
        {"0x0101010101010101010101010101010101010101010101010101010101010101 0 MSTORE 32 0 0 MCOPY",
         "0101010101010101010101010101010101010101010101010101010101010101"},
        {"0x0001020304050607080000000000000000000000000000000000000000000000 0 MSTORE 8 1 0 MCOPY",
         "0102030405060708080000000000000000000000000000000000000000000000"},
        {"0x0001020304050607080000000000000000000000000000000000000000000000 0 MSTORE 8 0 1 MCOPY",
         "0000010203040506070000000000000000000000000000000000000000000000"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[256];
        char wanted[80];
        (void)snprintf(text, sizeof(text), "%s 0 MLOAD", cases[i].text);
        (void)snprintf(wanted, sizeof(wanted), "0x%s", cases[i].memory);
        coh_vm_assert_leaves(COH_FORK_CANCUN, text, wanted);
    }
    assert_int_equal(coh_vm_gas_of(COH_FORK_CANCUN, "32 0 0 MCOPY"), 9 + 3 + 3 + 3);
    /* Both ranges expand: to 96 octets by the source, to 128 by the destination. */
    coh_vm_assert_leaves(COH_FORK_CANCUN, "32 64 0 MCOPY MSIZE", "96");
    coh_vm_assert_leaves(COH_FORK_CANCUN, "32 0 96 MCOPY MSIZE", "128");
    assert_int_equal(coh_vm_gas_of(COH_FORK_CANCUN, "33 64 0 MCOPY"), 9 + 3 + 6 + 12);
}

static void evm_copies(void **state)
{
    (void)state;
    coh_vm_t vm;
    uint8_t data[40];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i + 1);
    }
    /* CALLDATALOAD across the end, CALLDATACOPY beyond it over what was there */
    coh_vm_init(&vm,
                COH_FORK_OSAKA,
                "CALLDATASIZE 0 MSTORE 38 CALLDATALOAD 32 MSTORE " ONES
                " CALLDATALOAD 64 MSTORE " ONES " 96 MSTORE 32 36 96 CALLDATACOPY " ONES
                " 128 MSTORE 8 " ONES " 128 CALLDATACOPY 160 0 RETURN");
    vm.input = coh_bytes(data, sizeof(data));
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 40);
    coh_vm_assert_word(coh_vm_word(&vm, 1),
                       "0x2728000000000000000000000000000000000000000000000000000000000000");
    coh_vm_assert_word(coh_vm_word(&vm, 2), "0");
    coh_vm_assert_word(coh_vm_word(&vm, 3),
                       "0x2526272800000000000000000000000000000000000000000000000000000000");
    coh_vm_assert_word(coh_vm_word(&vm, 4),
                       "0x0000000000000000ffffffffffffffffffffffffffffffffffffffffffffffff");
    coh_vm_fini(&vm);
    /* CODECOPY gives the code as it stands, also what the fork does not have; zeros behind it. */
    coh_vm_init(&vm, COH_FORK_FRONTIER, "32 0 0 CODECOPY 32 0 RETURN PUSH0 CLZ");
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0),
                       "0x6020600060003960206000f35f1e000000000000000000000000000000000000");
    coh_vm_fini(&vm);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "33 0 0 CODECOPY"), 9 + 3 + 6 + 6);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "64 0 0 CALLDATACOPY"), 9 + 3 + 6 + 6);
}

static void evm_keccak(void **state)
{
    (void)state;
    static leaves_t const cases[] = {
        {"0 0 KECCAK256", "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"},
        /* keccak256("abc") */
        {"0x6162630000000000000000000000000000000000000000000000000000000000 0 MSTORE 3 0 "
         "KECCAK256",
         "0x4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"},
    };
    assert_all_leave(COH_FORK_FRONTIER, cases, COH_CNT(cases));
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "64 0 KECCAK256"), 6 + 30 + 12 + 6);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "65 0 KECCAK256"), 6 + 30 + 18 + 9);
}

/* 10 and 10 for each octet of the exponent; 50 since EIP-160. */
static void evm_exp_gas(void **state)
{
    (void)state;
    static struct {
        char const *exponent;
        uint64_t octets;
    } const cases[] = {{"0", 0}, {"1", 1}, {"255", 1}, {"256", 2}, {LOWEST, 32}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "%s 2 EXP", cases[i].exponent);
        assert_int_equal(coh_vm_gas_of(COH_FORK_TANGERINE, text), 16 + 10 * cases[i].octets);
        assert_int_equal(coh_vm_gas_of(COH_FORK_SPURIOUS, text), 16 + 50 * cases[i].octets);
        assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, text), 16 + 50 * cases[i].octets);
    }
}

static void evm_logs(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "0x1122 0 MSTORE 4 3 2 1 2 30 LOG4 7 32 64 LOG1 0 0 LOG0");
    coh_vm_run_ok(&vm);
    /* pushes, MSTORE with its word, LOG4 of 2 octets, LOG1 of 32 at 64 with two words more, LOG0 */
    assert_int_equal(vm.used, 2 * 3 + 6 + 6 * 3 + 1875 + 16 + 3 * 3 + 750 + 256 + 6 + 2 * 3 + 375);
    assert_int_equal(vm.state.log_cnt, 3);
    coh_log_t const *l = &vm.state.logs[0];
    assert_int_equal(l->topic_cnt, 4);
    assert_int_equal(l->data.n, 2);
    assert_memory_equal(l->data.p, "\x11\x22", 2);
    for (uint8_t i = 0; i < 4; i++) {
        assert_int_equal(l->topics[i].b[31], i + 1);
        assert_int_equal(l->topics[i].b[0], 0);
    }
    coh_addr_t self = coh_vm_addr(COH_VM_SELF);
    assert_true(coh_addr_eq(&l->addr, &self));
    assert_int_equal(l[1].topic_cnt, 1);
    assert_int_equal(l[1].data.n, 32);
    assert_int_equal(l[2].topic_cnt + l[2].data.n, 0);
    coh_vm_fini(&vm);
}

/* What an access costs, by fork: EIP-150, EIP-1884, EIP-2929; 3 for the push. */
static void evm_access_gas(void **state)
{
    (void)state;
    static struct {
        char const *text;
        uint64_t frontier, tangerine, istanbul, berlin;
    } const cases[] = {
        {"0x1234 BALANCE", 23, 403, 703, 2603},
        {"0x1234 BALANCE 0x1234 BALANCE", 46, 806, 1406, 2706},
        {"0x5000 BALANCE", 23, 403, 703, 103}, /* the sender is warm */
        {"ADDRESS BALANCE", 22, 402, 702, 102},
        {"4 BALANCE", 23, 403, 703, 103}, /* and so are precompiled contracts */
        {"0x1234 EXTCODESIZE", 23, 703, 703, 2603},
        {"0x1234 EXTCODESIZE 0x1234 BALANCE", 46, 1106, 1406, 2706},
        {"64 0 0 0x1234 EXTCODECOPY", 44, 724, 724, 2624},
        {"64 0 0 ADDRESS EXTCODECOPY", 43, 723, 723, 123},
        {"5 SLOAD", 53, 203, 803, 2103},
        {"5 SLOAD 5 SLOAD", 106, 406, 1606, 2206},
        {"5 SLOAD 6 SLOAD", 106, 406, 1606, 4206},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        assert_int_equal(coh_vm_gas_of(COH_FORK_FRONTIER, cases[i].text), cases[i].frontier);
        assert_int_equal(coh_vm_gas_of(COH_FORK_HOMESTEAD, cases[i].text), cases[i].frontier);
        assert_int_equal(coh_vm_gas_of(COH_FORK_TANGERINE, cases[i].text), cases[i].tangerine);
        assert_int_equal(coh_vm_gas_of(COH_FORK_PETERSBURG, cases[i].text), cases[i].tangerine);
        assert_int_equal(coh_vm_gas_of(COH_FORK_ISTANBUL, cases[i].text), cases[i].istanbul);
        assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, cases[i].text), cases[i].berlin);
        assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, cases[i].text), cases[i].berlin);
    }
    assert_int_equal(coh_vm_gas_of(COH_FORK_PETERSBURG, "0x1234 EXTCODEHASH"), 403);
    assert_int_equal(coh_vm_gas_of(COH_FORK_ISTANBUL, "0x1234 EXTCODEHASH"), 703);
    assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, "0x1234 EXTCODEHASH"), 2603);
    assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, "0x1234 EXTCODEHASH 0x1234 EXTCODEHASH"), 2706);
}

/* EIP-1052, and the code of others. */
static void evm_code_of_others(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(
        &vm,
        COH_FORK_OSAKA,
        "0x1001 EXTCODEHASH 0 MSTORE 0x2000 EXTCODEHASH 32 MSTORE 0x2001 EXTCODEHASH 64 MSTORE "
        "2 EXTCODEHASH 96 MSTORE 0x1001 EXTCODESIZE 128 MSTORE 0x2000 EXTCODESIZE 160 MSTORE " ONES
        " 192 MSTORE 6 1 192 0x1001 EXTCODECOPY " ONES " 224 MSTORE 8 0 224 0x2000 EXTCODECOPY "
        "0x2002 EXTCODEHASH 256 MSTORE 288 0 RETURN");
    coh_vm_put_code(&vm, COH_VM_OTHER, 0, "1 1 ADD");
    coh_vm_put_eoa(&vm, 0x2000, 0, 1);
    coh_vm_put_eoa(&vm, 0x2002, 0, 0); /* exists, though empty */
    coh_vm_run_ok(&vm);
    /* keccak256(0x6001600101) */
    coh_vm_assert_word(coh_vm_word(&vm, 0),
                       "0x8c634a8b28dd46f5dcb9a9f5da1faed26d0fb5ed98f3873a29ad27aaaffde0e4");
    coh_vm_assert_word(coh_vm_word(&vm, 1),
                       "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    coh_vm_assert_word(coh_vm_word(&vm, 2), "0");
    coh_vm_assert_word(coh_vm_word(&vm, 3), "0");
    coh_vm_assert_word(coh_vm_word(&vm, 4), "5");
    coh_vm_assert_word(coh_vm_word(&vm, 5), "0");
    coh_vm_assert_word(coh_vm_word(&vm, 6),
                       "0x016001010000ffffffffffffffffffffffffffffffffffffffffffffffffffff");
    coh_vm_assert_word(coh_vm_word(&vm, 7),
                       "0x0000000000000000ffffffffffffffffffffffffffffffffffffffffffffffff");
    coh_vm_assert_word(coh_vm_word(&vm, 8), "0");
    coh_vm_fini(&vm);
}

/* ---- SSTORE ---- */

typedef struct {
    uint8_t original;
    char const *values; /* stored one after the other, as digits */
    uint64_t used;
    int64_t refund;
} sstore_t;

/* The slot is warm where access counts (as EIP-3529's table has it). Each store costs two pushes beside. */
static void assert_sstores(coh_fork_t fork, sstore_t const *cases, size_t cnt)
{
    for (size_t i = 0; i < cnt; i++) {
        bool warms     = fork >= COH_FORK_BERLIN;
        char text[128] = "0 SLOAD POP ";
        size_t at      = warms ? strlen(text) : 0;
        for (char const *v = cases[i].values; *v != '\0'; v++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%c 0 SSTORE ", *v);
        }
        coh_vm_t vm;
        coh_vm_init(&vm, fork, text);
        if (cases[i].original != 0) {
            coh_vm_put_slot(&vm, COH_VM_SELF, 0, cases[i].original);
        }
        coh_vm_run_ok(&vm);
        assert_int_equal(vm.used - (warms ? 3 + 2100 + 2 : 0), cases[i].used);
        assert_int_equal(vm.refund, cases[i].refund);
        assert_int_equal(coh_vm_slot(&vm, COH_VM_SELF, 0),
                         cases[i].values[strlen(cases[i].values) - 1] - '0');
        coh_vm_fini(&vm);
    }
}

/* Yellow Paper, appendix G: 20000 where zero becomes another, else 5000; 15000 back where it becomes zero. */
static void evm_sstore_frontier(void **state)
{
    (void)state;
    static sstore_t const cases[] = {
        {0, "00", 10012, 0},
        {0, "01", 25012, 0},
        {0, "10", 25012, 15000},
        {0, "12", 25012, 0},
        {1, "00", 10012, 15000},
        {1, "01", 25012, 15000},
        {1, "22", 10012, 0},
        {1, "20", 10012, 15000},
        {1, "010", 30018, 30000},
    };
    assert_sstores(COH_FORK_FRONTIER, cases, COH_CNT(cases));
    assert_sstores(COH_FORK_BYZANTIUM, cases, COH_CNT(cases));
    assert_sstores(COH_FORK_PETERSBURG, cases, COH_CNT(cases)); /* EIP-1716 */
}

/* EIP-1283, table of test cases. */
static void evm_sstore_1283(void **state)
{
    (void)state;
    static sstore_t const cases[] = {
        {0, "00", 412, 0},
        {0, "01", 20212, 0},
        {0, "10", 20212, 19800},
        {0, "12", 20212, 0},
        {0, "11", 20212, 0},
        {1, "00", 5212, 15000},
        {1, "01", 5212, 4800},
        {1, "02", 5212, 0},
        {1, "20", 5212, 15000},
        {1, "23", 5212, 0},
        {1, "21", 5212, 4800},
        {1, "22", 5212, 0},
        {1, "10", 5212, 15000},
        {1, "12", 5212, 0},
        {1, "11", 412, 0},
        {0, "101", 40218, 19800},
        {1, "010", 10218, 19800},
    };
    assert_sstores(COH_FORK_CONSTANTINOPLE, cases, COH_CNT(cases));
}

/* EIP-2200, table of test cases. */
static void evm_sstore_2200(void **state)
{
    (void)state;
    static sstore_t const cases[] = {
        {0, "00", 1612, 0},
        {0, "01", 20812, 0},
        {0, "10", 20812, 19200},
        {0, "12", 20812, 0},
        {0, "11", 20812, 0},
        {1, "00", 5812, 15000},
        {1, "01", 5812, 4200},
        {1, "02", 5812, 0},
        {1, "20", 5812, 15000},
        {1, "23", 5812, 0},
        {1, "21", 5812, 4200},
        {1, "22", 5812, 0},
        {1, "10", 5812, 15000},
        {1, "12", 5812, 0},
        {1, "11", 1612, 0},
        {0, "101", 40818, 19200},
        {1, "010", 10818, 19200},
    };
    assert_sstores(COH_FORK_ISTANBUL, cases, COH_CNT(cases));
}

/* The table of EIP-3529: before it (EIP-2929), and with its refunds. */
static void evm_sstore_3529(void **state)
{
    (void)state;
    static sstore_t const berlin[] = {
        {0, "00", 212, 0},
        {0, "01", 20112, 0},
        {0, "10", 20112, 19900},
        {0, "12", 20112, 0},
        {0, "11", 20112, 0},
        {1, "00", 3012, 15000},
        {1, "01", 3012, 2800},
        {1, "02", 3012, 0},
        {1, "20", 3012, 15000},
        {1, "23", 3012, 0},
        {1, "21", 3012, 2800},
        {1, "22", 3012, 0},
        {1, "10", 3012, 15000},
        {1, "12", 3012, 0},
        {1, "11", 212, 0},
        {0, "101", 40118, 19900},
        {1, "010", 5918, 17800},
    };
    static sstore_t const london[] = {
        {0, "00", 212, 0},
        {0, "01", 20112, 0},
        {0, "10", 20112, 19900},
        {0, "12", 20112, 0},
        {0, "11", 20112, 0},
        {1, "00", 3012, 4800},
        {1, "01", 3012, 2800},
        {1, "02", 3012, 0},
        {1, "20", 3012, 4800},
        {1, "23", 3012, 0},
        {1, "21", 3012, 2800},
        {1, "22", 3012, 0},
        {1, "10", 3012, 4800},
        {1, "12", 3012, 0},
        {1, "11", 212, 0},
        {0, "101", 40118, 19900},
        {1, "010", 5918, 7600},
    };
    assert_sstores(COH_FORK_BERLIN, berlin, COH_CNT(berlin));
    assert_sstores(COH_FORK_LONDON, london, COH_CNT(london));
    assert_sstores(COH_FORK_OSAKA, london, COH_CNT(london));
    /* Cold: 2100 more, once. */
    assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, "1 0 SSTORE"), 6 + 22100);
    assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, "0 0 SSTORE"), 6 + 2200);
    assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, "0 0 SSTORE 0 SLOAD"), 6 + 2200 + 103);
}

/* EIP-2200: no store with 2300 gas or less, whatever it would cost. */
static void evm_sstore_sentry(void **state)
{
    (void)state;
    static coh_fork_t const with[] = {COH_FORK_ISTANBUL, COH_FORK_BERLIN, COH_FORK_OSAKA};
    for (size_t i = 0; i < COH_CNT(with); i++) {
        coh_vm_t vm;
        coh_vm_init(&vm, with[i], "0 0 SSTORE");
        vm.gas = 6 + 2301;
        coh_vm_run_ok(&vm);
        vm.gas = 6 + 2300;
        coh_vm_run(&vm);
        assert_int_equal(vm.status, COH_EVM_OUT_OF_GAS);
        coh_vm_fini(&vm);
    }
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_CONSTANTINOPLE, "0 0 SSTORE"); /* EIP-1283 had none */
    vm.gas = 6 + 200;
    coh_vm_run_ok(&vm);
    coh_vm_fini(&vm);
}

/* A refund may fall below zero inside a frame; a revert takes it back. */
static void evm_refund_of_frames(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "0 0 SSTORE 0 0 REVERT");
    coh_vm_put_slot(&vm, COH_VM_SELF, 0, 5);
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_REVERT);
    assert_int_equal(vm.refund, 0);
    assert_int_equal(coh_vm_slot(&vm, COH_VM_SELF, 0), 5);
    coh_vm_fini(&vm);
}

/* ---- transient storage, EIP-1153 ---- */

static void evm_transient(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm,
                COH_FORK_CANCUN,
                "7 1 TSTORE 1 TLOAD 0 MSTORE 2 TLOAD 32 MSTORE 1 SLOAD 64 MSTORE 96 0 RETURN");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 7);
    assert_int_equal(coh_vm_u64(&vm, 1), 0);
    assert_int_equal(coh_vm_u64(&vm, 2), 0); /* not the storage */
    coh_vm_fini(&vm);
    assert_int_equal(coh_vm_gas_of(COH_FORK_CANCUN, "7 1 TSTORE"), 6 + 100);
    assert_int_equal(coh_vm_gas_of(COH_FORK_CANCUN, "7 1 TSTORE 1 TLOAD"), 6 + 100 + 3 + 100);
    assert_int_equal(coh_vm_gas_of(COH_FORK_CANCUN, "1 TLOAD 1 SLOAD"), 103 + 2103);
}

/* ---- BLOBHASH, EIP-4844 ---- */

static void evm_blobs(void **state)
{
    (void)state;
    uint8_t list[2 * 33];
    memset(list, 0xa0, sizeof(list)); /* RLP of strings of 32 octets */
    memset(list + 1, 0x01, 32);
    memset(list + 34, 0x02, 32);
    coh_tx_t tx = {
        .type = COH_TX_BLOB, .blob_hashes = coh_bytes(list, sizeof(list)), .blob_cnt = 2};
    coh_vm_t vm;
    coh_vm_init(&vm,
                COH_FORK_CANCUN,
                "0 BLOBHASH 0 MSTORE 1 BLOBHASH 32 MSTORE 2 BLOBHASH 64 MSTORE 0x10000000000000000 "
                "BLOBHASH 96 MSTORE 128 0 RETURN");
    vm.env.tx = &tx;
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0),
                       "0x0101010101010101010101010101010101010101010101010101010101010101");
    coh_vm_assert_word(coh_vm_word(&vm, 1),
                       "0x0202020202020202020202020202020202020202020202020202020202020202");
    coh_vm_assert_word(coh_vm_word(&vm, 2), "0");
    coh_vm_assert_word(coh_vm_word(&vm, 3), "0");
    coh_vm_fini(&vm);
}

/* ---- gas ---- */

/* Whatever the gas limit, both loops agree (coh_vm_run), and the program ends well from exactly its price on. */
static void evm_every_limit(void **state)
{
    (void)state;
    static char const text[] =
        "GAS 0 MSTORE 3 l: DUP1 32 MUL GAS SWAP1 MSTORE 1 SWAP1 SUB DUP1 @l JUMPI "
        "0 SLOAD POP 64 0 LOG0 32 0 KECCAK256 POP 0x1234 BALANCE POP 40 0 200 0x1234 EXTCODECOPY 0 "
        "0 RETURN";
    /* Blocks that run into others, of which every 16th ends them. */
    static char const flood[] = "0 0 a: 99 MSTORE8 b: c: d: e: 0 500 MSTORE f: g: h: i: j: k: l: "
                                "m: n: o: 64 0 KECCAK256 p: q: r: "
                                "900 MLOAD POP POP s: t: 0 0 LOG0 0 0 RETURN";
    static char const *const texts[] = {text, flood};
    for (size_t i = 0; i < COH_CNT(texts); i++) {
        uint64_t price = coh_vm_gas_of(COH_FORK_OSAKA, texts[i]);
        coh_vm_t vm;
        coh_vm_init(&vm, COH_FORK_OSAKA, texts[i]);
        for (vm.gas = 0; vm.gas < price + 3; vm.gas++) {
            coh_vm_run(&vm);
            assert_int_equal(vm.status, vm.gas < price ? COH_EVM_OUT_OF_GAS : COH_EVM_SUCCESS);
            assert_int_equal(vm.used, vm.gas < price ? vm.gas : price);
        }
        coh_vm_fini(&vm);
    }
}

static void count_read(void *arg, coh_key_t const *key, uint32_t fields)
{
    (void)key;
    (void)fields;
    ++*(int *)arg;
}

/* Whatever the gas limit and the loop, the same is read: also where memory can be paid for only if what comes later in the block is not. */
static void evm_reads_before_failing(void **state)
{
    (void)state;
    static char const text[] =
        "0x1234 BALANCE 900 MSTORE 1 SLOAD 0 MSTORE 0x1235 EXTCODESIZE 2 SLOAD ADD POP "
        "2000 0 0 0x1236 EXTCODECOPY 0x1237 BALANCE POP";
    int cnts[4];
    for (uint64_t gas = 0; gas < 16000; gas++) {
        for (int way = 0; way < 4; way++) {
            /* way 0: first run; way 1: added up; the rest: as the plain loop does it */
            static coh_vm_t vm;
            if (way == 0) {
                coh_vm_init(&vm, COH_FORK_OSAKA, text);
                vm.gas = gas;
            }
            coh_vm_run_once(&vm, way < 2 ? COH_EVM_FAST : COH_EVM_SWITCH, way % 2 == 1);
            cnts[way] = 0;
            coh_state_reads(&vm.state, count_read, &cnts[way]);
            assert_int_equal(cnts[way], cnts[0]);
            if (way == 3) {
                coh_vm_fini(&vm);
            }
        }
    }
    assert_int_equal(cnts[0], 8); /* four accounts, two slots, sender and receiver */
}

/* ---- one code, many threads ---- */

static coh_code_t *shared_code;
static pthread_barrier_t barrier; /* so that all begin at once */

static coh_code_t *make_shared(coh_bytes_t bytes, coh_fork_t fork, coh_hash_t const *hash)
{
    (void)bytes;
    (void)fork;
    (void)hash;
    return (coh_code_t *)(uintptr_t)coh_code_ref(shared_code);
}

static coh_coder_t const sharing_coder = {.make = make_shared, .release = coh_code_unref};

/* Runs the shared code a few times; returns NULL, or how many results were wrong. */
static void *run_shared(void *arg)
{
    (void)arg;
    coh_memview_t *mv           = coh_memview_new(&sharing_coder, shared_code->fork);
    coh_addr_t sender           = coh_vm_addr(COH_VM_SENDER);
    coh_addr_t self             = coh_vm_addr(COH_VM_SELF);
    coh_evm_t *evm              = coh_evm_new();
    coh_state_t *s              = coh_calloc(1, sizeof(*s));
    intptr_t wrong              = 0;
    coh_block_env_t block       = {.fork = shared_code->fork};
    coh_evm_env_t env           = {.block = &block};
    coh_evm_message_t const msg = {.sender = sender, .to = self, .gas = 1000000};
    coh_state_init(s, &coh_code_coder);
    coh_memview_put_account(
        mv, &self, 1, &COH_U256_ZERO, coh_bytes(shared_code->bytes, shared_code->size));
    (void)pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; i++) {
        coh_state_begin(s, coh_memview_view(mv), block.fork);
        coh_evm_begin(evm, &env, s, &msg);
        wrong += coh_evm_run(evm) != COH_EVM_DONE;
        coh_evm_result_t const *r = coh_evm_result(evm);
        wrong += r->status != COH_EVM_SUCCESS || r->output.n != 32 || r->output.p[31] != 55;
    }
    coh_state_fini(s);
    free(s);
    coh_evm_free(evm);
    coh_memview_free(mv);
    return (void *)wrong;
}

static void evm_shared_code(void **state)
{
    (void)state;
    enum { THREADS = 4, ROUNDS = 200 };
    /* 1 + 2 + ... + 10, with sequences that get fused under the others' eyes */
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code,
                 "0 0x1000 MSTORE 10 l: DUP1 ISZERO @end JUMPI 0x1000 MLOAD DUP2 ADD 0x1000 MSTORE "
                 "1 SWAP1 SUB 0 ADD DUP1 SWAP1 POP 7 8 POP POP @l JUMP end: POP 0x1000 MLOAD"
                 " 0 MSTORE 32 0 RETURN .0c");
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        shared_code = coh_code_new(coh_buf_bytes(&code), COH_FORK_OSAKA, NULL);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, run_shared, NULL), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            void *wrong;
            assert_int_equal(pthread_join(threads[i], &wrong), 0);
            assert_null(wrong);
        }
        coh_code_unref(shared_code);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    coh_buf_free(&code);
}

/* ---- tracing ---- */

typedef struct {
    coh_tracer_t tracer;
    coh_buf_t text;
} recorder_t;

static void record_step(coh_tracer_t *tracer, coh_trace_step_t const *s)
{
    recorder_t *r = (recorder_t *)tracer;
    coh_buf_printf(&r->text,
                   "%u:%02x depth %u gas %llu cost %llu mem %zu refund %lld ret %zu [",
                   s->pc,
                   s->opcode,
                   s->depth,
                   (unsigned long long)s->gas,
                   (unsigned long long)s->gas_cost,
                   s->memory.n,
                   (long long)s->refund,
                   s->return_data.n);
    for (uint32_t i = 0; i < s->stack_cnt; i++) {
        coh_buf_printf(&r->text, " %llx", (unsigned long long)s->stack[i].w[0]);
    }
    coh_buf_printf(&r->text, " ]\n");
}

static void record_exit(coh_tracer_t *tracer,
                        uint32_t depth,
                        uint32_t status,
                        uint64_t gas_used,
                        coh_bytes_t output)
{
    coh_buf_printf(&((recorder_t *)tracer)->text,
                   "exit depth %u status %u used %llu output %zu\n",
                   depth,
                   status,
                   (unsigned long long)gas_used,
                   output.n);
}

static void evm_trace(void **state)
{
    (void)state;
    recorder_t r = {.tracer = {.step = record_step, .exit = record_exit}};
    coh_vm_t vm;
    coh_vm_init(
        &vm, COH_FORK_OSAKA, "5 SLOAD 32 MSTORE 32 0 0 0 0x1001 50000 STATICCALL 0 5 SSTORE");
    coh_vm_put_code(&vm, COH_VM_OTHER, 0, "3 0 MSTORE8 2 0 REVERT");
    coh_vm_put_slot(&vm, COH_VM_SELF, 5, 0xab);
    vm.env.tracer = &r.tracer;
    coh_vm_run_ok(&vm);
    static char const wanted[] =
        "0:60 depth 1 gas 10000000 cost 3 mem 0 refund 0 ret 0 [ ]\n"
        "2:54 depth 1 gas 9999997 cost 100 mem 0 refund 0 ret 0 [ 5 ]\n"
        "3:60 depth 1 gas 9997897 cost 3 mem 0 refund 0 ret 0 [ ab ]\n"
        "5:52 depth 1 gas 9997894 cost 3 mem 0 refund 0 ret 0 [ ab 20 ]\n"
        "6:60 depth 1 gas 9997885 cost 3 mem 64 refund 0 ret 0 [ ]\n"
        "8:60 depth 1 gas 9997882 cost 3 mem 64 refund 0 ret 0 [ 20 ]\n"
        "10:60 depth 1 gas 9997879 cost 3 mem 64 refund 0 ret 0 [ 20 0 ]\n"
        "12:60 depth 1 gas 9997876 cost 3 mem 64 refund 0 ret 0 [ 20 0 0 ]\n"
        "14:61 depth 1 gas 9997873 cost 3 mem 64 refund 0 ret 0 [ 20 0 0 0 ]\n"
        "17:61 depth 1 gas 9997870 cost 3 mem 64 refund 0 ret 0 [ 20 0 0 0 1001 ]\n"
        "20:fa depth 1 gas 9997867 cost 100 mem 64 refund 0 ret 0 [ 20 0 0 0 1001 c350 ]\n"
        "0:60 depth 2 gas 50000 cost 3 mem 0 refund 0 ret 0 [ ]\n"
        "2:60 depth 2 gas 49997 cost 3 mem 0 refund 0 ret 0 [ 3 ]\n"
        "4:53 depth 2 gas 49994 cost 3 mem 0 refund 0 ret 0 [ 3 0 ]\n"
        "5:60 depth 2 gas 49988 cost 3 mem 32 refund 0 ret 0 [ ]\n"
        "7:60 depth 2 gas 49985 cost 3 mem 32 refund 0 ret 0 [ 2 ]\n"
        "9:fd depth 2 gas 49982 cost 0 mem 32 refund 0 ret 0 [ 2 0 ]\n"
        "exit depth 2 status 1 used 18 output 2\n"
        "21:60 depth 1 gas 9995249 cost 3 mem 64 refund 0 ret 2 [ 0 ]\n"
        "23:60 depth 1 gas 9995246 cost 3 mem 64 refund 0 ret 2 [ 0 0 ]\n"
        "25:55 depth 1 gas 9995243 cost 0 mem 64 refund 0 ret 2 [ 0 0 5 ]\n"
        "26:00 depth 1 gas 9992343 cost 0 mem 64 refund 4800 ret 2 [ 0 ]\n"
        "exit depth 1 status 0 used 7657 output 0\n";
    /* Four runs, the same each time: a pause does not show. */
    assert_int_equal(r.text.n, 4 * (sizeof(wanted) - 1));
    for (size_t i = 0; i < 4; i++) {
        char const *at = (char const *)r.text.p + i * (sizeof(wanted) - 1);
        if (memcmp(at, wanted, sizeof(wanted) - 1) != 0) {
            fail_msg("%.*s", (int)sizeof(wanted) - 1, at);
        }
    }
    coh_buf_free(&r.text);
    coh_vm_fini(&vm);
}

static void record_enter(coh_tracer_t *tracer, coh_trace_call_t const *c)
{
    coh_buf_printf(&((recorder_t *)tracer)->text,
                   "%u> %02x %02x%02x..%02x%02x value %llu gas %llu left %llu input %zu\n",
                   c->depth,
                   c->opcode,
                   c->from.b[18],
                   c->from.b[19],
                   c->to.b[18],
                   c->to.b[19],
                   (unsigned long long)c->value.w[0],
                   (unsigned long long)c->gas,
                   (unsigned long long)c->caller_gas,
                   c->input.n);
}

static void record_leave(coh_tracer_t *tracer,
                         uint32_t depth,
                         uint32_t status,
                         uint64_t gas_used,
                         coh_bytes_t output)
{
    coh_buf_printf(&((recorder_t *)tracer)->text,
                   "<%u %u used %llu output %zu\n",
                   depth,
                   status,
                   (unsigned long long)gas_used,
                   output.n);
}

/* Figures added up by hand: a cold account 2600, value 9000, a new account 25000, the stipend 2300, SHA-256 60 + 12 a word. */
static void evm_trace_calls(void **state)
{
    (void)state;
    recorder_t r = {.tracer = {.enter = record_enter, .leave = record_leave}};
    coh_vm_t vm;
    coh_vm_init(
        &vm,
        COH_FORK_OSAKA,
        "0 0 0 0 7 0x1001 100000 CALL "                          /* reverts with two octets */
        "0 0 0 0 0x2001 100000 DELEGATECALL "                    /* nobody: no code */
        "0 0 32 0 2 10000 STATICCALL "                           /* SHA-256 of a word */
        "0 0 0 0 5000 0x1001 50000 CALL "                        /* more than it has */
        "PUSH10 0x600160005360016000f3 0 MSTORE 10 22 3 CREATE " /* one octet of code; 3 wei */
        "0x2002 SELFDESTRUCT");
    coh_vm_put_code(&vm, COH_VM_OTHER, 0, "3 0 MSTORE8 2 0 REVERT");
    vm.env.tracer = &r.tracer;
    coh_vm_run_ok(&vm);
    static char const wanted[] = "1> f1 5000..1000 value 0 gas 10000000 left 0 input 0\n"
                                 "2> f1 1000..1001 value 7 gas 102300 left 9888379 input 0\n"
                                 "<2 1 used 18 output 2\n"
                                 "2> f4 1000..2001 value 0 gas 100000 left 9888043 input 0\n"
                                 "<2 0 used 0 output 0\n"
                                 "2> fa 1000..0002 value 0 gas 10000 left 9977922 input 32\n"
                                 "<2 0 used 72 output 32\n"
                                 "2> f1 1000..1001 value 5000 gas 52300 left 9928729 input 0\n"
                                 "<2 11 used 0 output 0\n"
                                 "2> f0 1000..0e19 value 3 gas 9793556 left 155453 input 10\n"
                                 "<2 0 used 218 output 1\n"
                                 "2> ff 1000..2002 value 997 gas 0 left 9916188 input 0\n"
                                 "<2 0 used 0 output 0\n"
                                 "<1 0 used 83812 output 0\n";
    for (size_t i = 0; i < 4; i++) {
        char const *at = (char const *)r.text.p + i * (sizeof(wanted) - 1);
        if (r.text.n < (i + 1) * (sizeof(wanted) - 1) ||
            memcmp(at, wanted, sizeof(wanted) - 1) != 0) {
            fail_msg("%.*s", (int)r.text.n, (char const *)r.text.p);
        }
    }
    coh_buf_free(&r.text);
    coh_vm_fini(&vm);
}

/* Cut into slices it executes the same. */
static void evm_slices(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm,
                COH_FORK_OSAKA,
                "100 again: 1 SWAP1 SUB DUP1 @again JUMPI POP GAS 0 MSTORE 32 0 RETURN");
    coh_vm_run_ok(&vm);
    uint64_t used  = vm.used;
    uint64_t left  = coh_vm_u64(&vm, 0);
    uint64_t steps = 1 + 100 * 7 + 7;
    for (uint64_t slice = 1; slice <= steps + 1; slice = slice * 3 + 1) {
        coh_state_begin(&vm.state, coh_memview_view(vm.mv), vm.block.fork);
        coh_evm_set_loop(vm.evm, COH_EVM_SWITCH);
        coh_evm_set_slice(vm.evm, slice);
        coh_evm_message_t msg = {
            .sender = coh_vm_addr(COH_VM_SENDER), .to = coh_vm_addr(COH_VM_SELF), .gas = vm.gas};
        coh_evm_begin(vm.evm, &vm.env, &vm.state, &msg);
        uint64_t runs = 1;
        while (coh_evm_run(vm.evm) == COH_EVM_NEED) {
            runs++;
        }
        coh_evm_result_t const *result = coh_evm_result(vm.evm);
        assert_int_equal(result->status, COH_EVM_SUCCESS);
        assert_int_equal(vm.gas - result->gas_left, used);
        assert_int_equal(coh_u256_load_be(result->output.p).w[0], left);
        assert_int_equal(runs, (steps + slice - 1) / slice);
    }
    coh_vm_fini(&vm);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(evm_trace_calls),     cmocka_unit_test(evm_slices),
        cmocka_unit_test(evm_arithmetic),      cmocka_unit_test(evm_shifts),
        cmocka_unit_test(evm_environment),     cmocka_unit_test(evm_pushes),
        cmocka_unit_test(evm_stack),           cmocka_unit_test(evm_stack_limit),
        cmocka_unit_test(evm_jumps),           cmocka_unit_test(evm_sequences),
        cmocka_unit_test(evm_undefined),       cmocka_unit_test(evm_memory),
        cmocka_unit_test(evm_memory_gas),      cmocka_unit_test(evm_memory_large),
        cmocka_unit_test(evm_memory_growth),   cmocka_unit_test(evm_mcopy),
        cmocka_unit_test(evm_copies),          cmocka_unit_test(evm_keccak),
        cmocka_unit_test(evm_exp_gas),         cmocka_unit_test(evm_logs),
        cmocka_unit_test(evm_access_gas),      cmocka_unit_test(evm_code_of_others),
        cmocka_unit_test(evm_sstore_frontier), cmocka_unit_test(evm_sstore_1283),
        cmocka_unit_test(evm_sstore_2200),     cmocka_unit_test(evm_sstore_3529),
        cmocka_unit_test(evm_sstore_sentry),   cmocka_unit_test(evm_refund_of_frames),
        cmocka_unit_test(evm_transient),       cmocka_unit_test(evm_blobs),
        cmocka_unit_test(evm_every_limit),     cmocka_unit_test(evm_reads_before_failing),
        cmocka_unit_test(evm_shared_code),     cmocka_unit_test(evm_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
