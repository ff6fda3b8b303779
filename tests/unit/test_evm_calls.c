/* Calls, creations and self-destruction: who runs, with what gas, and what stays of it, by fork. Figures are from the Yellow Paper and the EIPs
   named at each case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/evm/opcodes.h"
#include "tests/support/data.h"
#include "tests/support/evmasm.h"
#include "tests/support/vm.h"

enum {
    SELF   = COH_VM_SELF,
    OTHER  = COH_VM_OTHER,
    THIRD  = COH_VM_THIRD,
    SENDER = COH_VM_SENDER,
    NOBODY = COH_VM_NOBODY
};

#define ONES "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
/* Returns the word on top of the stack. */
#define RETURN_WORD " 0 MSTORE 32 0 RETURN"

static coh_account_t *account_at(coh_vm_t *vm, char const *hex)
{
    coh_addr_t addr  = coh_test_addr(hex);
    coh_account_t *a = coh_state_account(&vm->state, &addr);
    assert_int_equal(coh_state_need(&vm->state, a, COH_READ_NONCE | COH_READ_WORD | COH_READ_CODE),
                     COH_VIEW_OK);
    return a;
}

/* ---- calls ---- */

static void calls_context(void **state)
{
    (void)state;
    static struct {
        char const *call;
        char const *address, *caller, *value;
        uint64_t self, other; /* balances afterwards */
    } const cases[] = {
        {"128 0 0 0 3 0x1001 100000 CALL", "0x1001", "0x1000", "3", 997, 3},
        {"128 0 0 0 3 0x1001 100000 CALLCODE", "0x1000", "0x1000", "3", 1000, 0},
        {"128 0 0 0 0x1001 100000 DELEGATECALL", "0x1000", "0x5000", "7", 1000, 0},
        {"128 0 0 0 0x1001 100000 STATICCALL", "0x1001", "0x1000", "0", 1000, 0},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[128];
        coh_vm_t vm;
        (void)snprintf(text, sizeof(text), "%s 128 MSTORE 160 0 RETURN", cases[i].call);
        coh_vm_init(&vm, COH_FORK_BYZANTIUM, text);
        coh_vm_put_code(
            &vm,
            OTHER,
            0,
            "ADDRESS 0 MSTORE CALLER 32 MSTORE CALLVALUE 64 MSTORE ORIGIN 96 MSTORE 128 0 RETURN");
        vm.value = coh_u256(7);
        coh_vm_run_ok(&vm);
        coh_vm_assert_word(coh_vm_word(&vm, 0), cases[i].address);
        coh_vm_assert_word(coh_vm_word(&vm, 1), cases[i].caller);
        coh_vm_assert_word(coh_vm_word(&vm, 2), cases[i].value);
        coh_vm_assert_word(coh_vm_word(&vm, 3), "0x0c0c0c");
        assert_int_equal(coh_vm_u64(&vm, 4), 1);
        assert_int_equal(coh_vm_balance(&vm, SELF), cases[i].self + 7);
        assert_int_equal(coh_vm_balance(&vm, OTHER), cases[i].other);
        coh_vm_fini(&vm);
    }
}

/* DELEGATECALL and CALLCODE write the caller's storage. */
static void calls_storage(void **state)
{
    (void)state;
    static char const *const calls[] = {"0 0 0 0 0 0x1001 100000 CALLCODE",
                                        "0 0 0 0 0x1001 100000 DELEGATECALL"};
    for (size_t i = 0; i < COH_CNT(calls); i++) {
        coh_vm_t vm;
        coh_vm_init(&vm, COH_FORK_OSAKA, calls[i]);
        coh_vm_put_code(&vm, OTHER, 0, "5 SLOAD 1 ADD 6 SSTORE 9 1 TSTORE");
        coh_vm_put_slot(&vm, SELF, 5, 40);
        coh_vm_put_slot(&vm, OTHER, 5, 70);
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_slot(&vm, SELF, 6), 41);
        assert_int_equal(coh_vm_slot(&vm, OTHER, 6), 0);
        coh_vm_fini(&vm);
    }
}

typedef struct {
    coh_fork_t fork;
    char const *call;
    uint64_t used;
} call_gas_t;

/* Calls of accounts without code, which give back all the gas of the call and the stipend. */
static void calls_gas(void **state)
{
    (void)state;
    static call_gas_t const cases[] = {
        /* Yellow Paper: 40; 9000 for value of which 2300 come back; 25000 for who does not exist */
        {COH_FORK_FRONTIER, "0 0 0 0 0 0x2000 0 CALL", 21 + 40},
        {COH_FORK_FRONTIER, "0 0 0 0 0 0x2001 0 CALL", 21 + 40 + 25000},
        {COH_FORK_FRONTIER, "0 0 0 0 1 0x2000 0 CALL", 21 + 40 + 9000 - 2300},
        {COH_FORK_FRONTIER, "0 0 0 0 1 0x2001 0 CALL", 21 + 40 + 9000 + 25000 - 2300},
        {COH_FORK_FRONTIER, "0 0 0 0 0 0x2002 0 CALL", 21 + 40}, /* exists, though empty */
        {COH_FORK_FRONTIER, "0 0 0 0 0 0x2001 0 CALLCODE", 21 + 40},
        {COH_FORK_FRONTIER, "0 0 0 0 1 0x2001 0 CALLCODE", 21 + 40 + 9000 - 2300},
        {COH_FORK_HOMESTEAD, "0 0 0 0 0x2001 0 DELEGATECALL", 18 + 40},
        /* EIP-150: 700 */
        {COH_FORK_TANGERINE, "0 0 0 0 0 0x2000 0 CALL", 21 + 700},
        {COH_FORK_TANGERINE, "0 0 0 0 0 0x2001 0 CALL", 21 + 700 + 25000},
        {COH_FORK_TANGERINE, "0 0 0 0 0x2001 0 DELEGATECALL", 18 + 700},
        /* EIP-161: only value makes an account, and an empty one is none */
        {COH_FORK_SPURIOUS, "0 0 0 0 0 0x2001 0 CALL", 21 + 700},
        {COH_FORK_SPURIOUS, "0 0 0 0 1 0x2001 0 CALL", 21 + 700 + 9000 + 25000 - 2300},
        {COH_FORK_SPURIOUS, "0 0 0 0 1 0x2002 0 CALL", 21 + 700 + 9000 + 25000 - 2300},
        {COH_FORK_SPURIOUS, "0 0 0 0 1 0x2000 0 CALL", 21 + 700 + 9000 - 2300},
        {COH_FORK_BYZANTIUM, "0 0 0 0 0x2001 0 STATICCALL", 18 + 700},
        /* EIP-2929: 2600, or 100 when warm */
        {COH_FORK_BERLIN, "0 0 0 0 0 0x2001 0 CALL", 21 + 2600},
        {COH_FORK_BERLIN, "0 0 0 0 0 0x2001 0 CALL 0 0 0 0 0 0x2001 0 CALL", 42 + 2600 + 100},
        {COH_FORK_BERLIN, "0 0 0 0 1 0x2001 0 CALL", 21 + 2600 + 9000 + 25000 - 2300},
        {COH_FORK_BERLIN, "0 0 0 0 0x2001 0 DELEGATECALL 0x2001 BALANCE", 18 + 2600 + 103},
        {COH_FORK_BERLIN, "0 0 0 0 0x2001 0 STATICCALL", 18 + 2600},
        {COH_FORK_BERLIN, "0 0 0 0 0 0x2001 0 CALLCODE", 21 + 2600},
        {COH_FORK_OSAKA, "0 0 0 0 0 0x5000 0 CALL", 21 + 100},
        /* memory: 64 octets of input, 96 of output; 3 words at once, or 2 and 1 */
        {COH_FORK_OSAKA, "96 0 64 0 0 0x5000 0 CALL", 21 + 100 + 9},
        {COH_FORK_OSAKA, "32 0 64 64 0 0x5000 0 CALL", 21 + 100 + 12},
        {COH_FORK_OSAKA, "0 " ONES " 0 " ONES " 0 0x5000 0 CALL", 21 + 100},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_vm_t vm;
        coh_vm_init(&vm, cases[i].fork, cases[i].call);
        coh_vm_put_eoa(&vm, 0x2000, 0, 1);
        coh_vm_put_eoa(&vm, 0x2002, 0, 0);
        coh_vm_run_ok(&vm);
        if (vm.used != cases[i].used) {
            fail_msg("%s %s: %llu",
                     coh_fork_name(cases[i].fork),
                     cases[i].call,
                     (unsigned long long)vm.used);
        }
        vm.gas = vm.used + (strstr(cases[i].call, "1 0x20") != NULL ? 2300 : 0);
        coh_vm_run_ok(&vm); /* so much suffices... */
        vm.gas--;
        coh_vm_run(&vm);
        assert_int_equal(vm.status, COH_EVM_OUT_OF_GAS); /* ...and not less */
        coh_vm_fini(&vm);
    }
}

/* EIP-150: at most all but a 64th; before, what was asked for or nothing. */
static void calls_gas_passed(void **state)
{
    (void)state;
    coh_vm_t vm;
    /* pushes 21, a word of memory 3, a cold call 2600; GAS in the callee costs 2 */
    coh_vm_init(&vm, COH_FORK_OSAKA, "32 0 0 0 0 0x1001 " ONES " CALL POP 32 0 RETURN");
    coh_vm_put_code(&vm, OTHER, 0, "GAS" RETURN_WORD);
    vm.gas = 2624 + 64000;
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 63000 - 2);
    vm.gas = 2624 + 64063; /* a 64th is rounded down: 1000 stay */
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 63063 - 2);
    coh_vm_put_code(&vm, SELF, 1000, "32 0 0 0 0 0x1001 63000 CALL POP 32 0 RETURN");
    vm.gas = 2624 + 64000;
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 63000 - 2);
    coh_vm_put_code(&vm, SELF, 1000, "32 0 0 0 0 0x1001 62999 CALL POP 32 0 RETURN");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 62999 - 2);
    /* The stipend comes on top of what was asked for: with none, 2300. */
    coh_vm_put_code(&vm, SELF, 1000, "32 0 0 0 1 0x1001 0 CALL POP 32 0 RETURN");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 2300 - 2);
    coh_vm_put_code(&vm, SELF, 1000, "32 0 0 0 1 0x1001 100 CALLCODE POP 32 0 RETURN");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 2400 - 2);
    coh_vm_fini(&vm);

    coh_vm_init(&vm, COH_FORK_HOMESTEAD, "32 0 0 0 0 0x1001 5000 CALL POP 32 0 RETURN");
    coh_vm_put_code(&vm, OTHER, 0, "GAS" RETURN_WORD);
    vm.gas = 21 + 3 + 40 + 5000 + 8; /* what follows the call costs 8 */
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 5000 - 2);
    vm.gas = 21 + 3 + 40 + 4999;
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_OUT_OF_GAS);
    coh_vm_put_code(&vm, SELF, 1000, "0 0 0 0 0 0x1001 0x10000000000000001 CALL");
    vm.gas = 1000000;
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_OUT_OF_GAS);
    coh_vm_fini(&vm);
}

/* A call that fails costs what was passed, one that reverts gives the rest back. */
static void calls_gas_returned(void **state)
{
    (void)state;
    static struct {
        char const *callee;
        uint64_t used, result;
    } const cases[] = {{"INVALID", 30000, 0},
                       {"POP", 30000, 0},
                       {"0 0 REVERT", 6, 0},
                       {"0 0 RETURN", 6, 1},
                       {"STOP", 0, 1},
                       {"x: 1 POP @x JUMP", 30000, 0}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_vm_t vm;
        coh_vm_init(&vm, COH_FORK_OSAKA, "0 0 0 0 0 0x1001 30000 CALL" RETURN_WORD);
        coh_vm_put_code(&vm, OTHER, 0, cases[i].callee);
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_u64(&vm, 0), cases[i].result);
        assert_int_equal(vm.used, 21 + 2600 + cases[i].used + 3 + 3 + 3 + 6);
        coh_vm_fini(&vm);
    }
}

/* EIP-214. */
static void calls_static(void **state)
{
    (void)state;
    static char const *const forbidden[] = {
        "1 0 SSTORE",
        "0 0 SSTORE",
        "1 0 TSTORE",
        "0 0 LOG0",
        "1 2 3 4 0 0 LOG4",
        "0 0 0 CREATE",
        "0 0 0 0 CREATE2",
        "0 SELFDESTRUCT",
        "0 0 0 0 1 0x1002 0 CALL",
        /* one level down, where it fails as well: the caller then fails by itself */
        "0 0 0 0 0 0x1003 50000 CALL @ok JUMPI INVALID ok:",
        "0 0 0 0 0x1003 50000 DELEGATECALL @ok JUMPI INVALID ok:",
        "0 0 0 0 0 0x1003 50000 CALLCODE @ok JUMPI INVALID ok:",
    };
    static char const *const allowed[] = {"0 SLOAD",
                                          "0 TLOAD",
                                          "0 0 0 0 0 0x1002 0 CALL",
                                          "0 0 0 0 1 0x1002 0 CALLCODE",
                                          "0 0 0 0 0x1002 0 STATICCALL",
                                          "0x1234 BALANCE",
                                          "0 0 RETURN"};
    for (size_t i = 0; i < COH_CNT(forbidden) + COH_CNT(allowed); i++) {
        bool is_allowed = i >= COH_CNT(forbidden);
        coh_vm_t vm;
        coh_vm_init(&vm, COH_FORK_OSAKA, "0 0 0 0 0x1001 200000 STATICCALL" RETURN_WORD);
        coh_vm_put_code(&vm, OTHER, 5, is_allowed ? allowed[i - COH_CNT(forbidden)] : forbidden[i]);
        coh_vm_put_code(&vm, 0x1003, 5, "1 7 SSTORE");
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_u64(&vm, 0), is_allowed);
        assert_true(is_allowed || vm.used >= 200000);
        assert_int_equal(vm.state.log_cnt, 0);
        coh_vm_fini(&vm);
    }
}

/* EIP-211. */
static void calls_return_data(void **state)
{
    (void)state;
    static struct {
        char const *before; /* what leaves return data */
        uint64_t size;
    } const cases[] = {
        {"", 0},
        {"0 0 0 0 0 0x1001 50000 CALL POP", 40},                                /* returns 40 */
        {"0 0 0 0 0 0x1002 50000 CALL POP", 7},                                 /* reverts with 7 */
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 0 0 0 0x1003 50000 CALL POP", 0}, /* fails */
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 0 0 0 0x2001 50000 CALL POP", 0}, /* no code */
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 0 0 5000 0x1001 50000 CALL POP", 0}, /* no funds */
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 33 0 0 4 50000 CALL POP", 33},       /* identity */
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 1 0 0 8 50000 CALL POP",
         0}, /* pairing of one octet */
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 0 CREATE POP", 0},
        {"0 0 0 0 0 0x1001 50000 CALL POP 0 0 5000 CREATE POP", 0},
        {"0x60076000fd 0 MSTORE 5 27 0 CREATE POP", 7}, /* init code that reverts with 7 */
        {"0x60076000f3 0 MSTORE 5 27 0 CREATE POP", 0}, /* and one that deploys 7 */
        {"0 0 0 0 0x1001 50000 STATICCALL POP", 40},
        {"0 0 0 0 0x1001 50000 DELEGATECALL POP", 40},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[256];
        coh_vm_t vm;
        (void)snprintf(text, sizeof(text), "%s RETURNDATASIZE" RETURN_WORD, cases[i].before);
        coh_vm_init(&vm, COH_FORK_OSAKA, text);
        coh_vm_put_code(&vm, OTHER, 0, ONES " 0 MSTORE " ONES " 8 MSTORE 40 0 RETURN");
        coh_vm_put_code(&vm, THIRD, 0, "0x11223344556677 0 MSTORE 7 25 REVERT");
        coh_vm_put_code(&vm, 0x1003, 0, "INVALID");
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_u64(&vm, 0), cases[i].size);
        /* All of it can be copied, not an octet more; also of nothing beyond its end. */
        struct {
            uint64_t off, size;
        } const ranges[] = {{0, cases[i].size},
                            {cases[i].size, 0},
                            {cases[i].size, 1},
                            {0, cases[i].size + 1},
                            {cases[i].size + 1, 0}};
        for (size_t k = 0; k < COH_CNT(ranges); k++) {
            (void)snprintf(text,
                           sizeof(text),
                           "%s %llu %llu 0 RETURNDATACOPY",
                           cases[i].before,
                           (unsigned long long)ranges[k].size,
                           (unsigned long long)ranges[k].off);
            coh_vm_put_code(&vm, SELF, 1000, text);
            coh_vm_run(&vm);
            assert_int_equal(vm.status, k < 2 ? COH_EVM_SUCCESS : COH_EVM_RETURN_BOUNDS);
        }
        (void)snprintf(text, sizeof(text), "%s 1 " ONES " 0 RETURNDATACOPY", cases[i].before);
        coh_vm_put_code(&vm, SELF, 1000, text);
        coh_vm_run(&vm);
        assert_int_equal(vm.status, COH_EVM_RETURN_BOUNDS);
        coh_vm_fini(&vm);
    }
    coh_vm_t vm;
    coh_vm_init(
        &vm, COH_FORK_OSAKA, "0 0 0 0 0 0x1002 50000 CALL POP 5 1 40 RETURNDATACOPY 64 0 RETURN");
    coh_vm_put_code(&vm, THIRD, 0, "0x11223344556677 0 MSTORE 7 25 REVERT");
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 1),
                       "0x0000000000000000223344556600000000000000000000000000000000000000");
    coh_vm_fini(&vm);
}

/* The output area gets as much as there is, and keeps the rest. */
static void calls_output_area(void **state)
{
    (void)state;
    static struct {
        char const *callee;
        uint64_t size; /* of the area, at 32 */
        char const *wanted;
    } const cases[] = {
        {"0x1122334455 0 MSTORE 5 27 RETURN",
         32,
         "0x1122334455ffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
        {"0x1122334455 0 MSTORE 5 27 RETURN",
         2,
         "0x1122ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
        {"0x1122334455 0 MSTORE 5 27 REVERT",
         3,
         "0x112233ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
        {"0x1122334455 0 MSTORE 5 27 RETURN", 0, ONES},
        {"0x1122334455 0 MSTORE INVALID", 32, ONES},
        {"STOP", 32, ONES},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[256];
        coh_vm_t vm;
        (void)snprintf(text,
                       sizeof(text),
                       ONES " 32 MSTORE %llu 32 0 0 0 0x1001 50000 CALL POP 32 32 RETURN",
                       (unsigned long long)cases[i].size);
        coh_vm_init(&vm, COH_FORK_OSAKA, text);
        coh_vm_put_code(&vm, OTHER, 0, cases[i].callee);
        coh_vm_run_ok(&vm);
        coh_vm_assert_word(coh_vm_word(&vm, 0), cases[i].wanted);
        coh_vm_fini(&vm);
    }
}

/* Call data are the octets named, and do not move while the callee runs. */
static void calls_input(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm,
                COH_FORK_OSAKA,
                "0xaabbccdd 0 MSTORE 32 64 3 29 0 0x1001 500000 CALL POP 32 64 RETURN");
    coh_vm_put_code(&vm,
                    OTHER,
                    0,
                    "50000 MLOAD POP 3 CALLDATASIZE SUB @bad JUMPI 0 CALLDATALOAD" RETURN_WORD
                    " bad:");
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0),
                       "0xbbccdd0000000000000000000000000000000000000000000000000000000000");
    coh_vm_fini(&vm);
}

/* What fails or reverts leaves nothing: storage, transient storage, logs, money, warmth, refunds; also of frames above that succeeded. */
static void calls_rollback(void **state)
{
    (void)state;
    static char const *const ends[] = {"0 0 REVERT", "INVALID", "POP POP POP"};
    for (size_t i = 0; i < COH_CNT(ends); i++) {
        char text[256];
        coh_vm_t vm;
        (void)snprintf(text,
                       sizeof(text),
                       "1 0 SSTORE 0 5 SSTORE 1 0 TSTORE 0 0 LOG0 0x1234 BALANCE POP "
                       "0 0 0 0 1 0x1002 50000 CALL POP %s",
                       ends[i]);
        coh_vm_init(
            &vm,
            COH_FORK_OSAKA,
            "0 0 0 0 2 0x1001 200000 CALL 0 MSTORE GAS 0x1234 BALANCE POP GAS SWAP1 SUB 32 MSTORE "
            "64 0 RETURN");
        coh_vm_put_code(&vm, OTHER, 50, text);
        coh_vm_put_code(&vm, THIRD, 0, "0 0 LOG0 1 0 SSTORE");
        coh_vm_put_slot(&vm, OTHER, 5, 9);
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_u64(&vm, 0), 0);
        assert_int_equal(coh_vm_u64(&vm, 1), 3 + 2600 + 2 + 2); /* cold again */
        assert_int_equal(vm.refund, 0);
        assert_int_equal(vm.state.log_cnt, 0);
        assert_int_equal(coh_vm_slot(&vm, OTHER, 0), 0);
        assert_int_equal(coh_vm_slot(&vm, OTHER, 5), 9);
        assert_int_equal(coh_vm_slot(&vm, THIRD, 0), 0);
        assert_int_equal(coh_vm_balance(&vm, SELF), 1000);
        assert_int_equal(coh_vm_balance(&vm, OTHER), 50);
        assert_int_equal(coh_vm_balance(&vm, THIRD), 0);
        uint32_t cnt;
        while (coh_state_finalize(&vm.state) == COH_VIEW_NEED) {
        }
        (void)coh_state_diff(&vm.state, &cnt);
        assert_int_equal(cnt, 1); /* the sender's nonce */
        coh_vm_fini(&vm);
    }
}

static void calls_without_funds(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "0 0 0 0 1001 0x1001 50000 CALL" RETURN_WORD);
    coh_vm_put_code(&vm, OTHER, 0, "INVALID");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 0);
    /* The gas comes back, and with it the stipend. */
    assert_int_equal(vm.used, 21 + 2600 + 9000 - 2300 + 3 + 3 + 3 + 6);
    coh_vm_put_code(&vm, SELF, 1000, "0 0 0 0 1000 0x1001 50000 CALL" RETURN_WORD);
    coh_vm_put_code(&vm, OTHER, 0, "STOP");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 1);
    assert_int_equal(coh_vm_balance(&vm, OTHER), 1000);
    assert_int_equal(coh_vm_balance(&vm, SELF), 0);
    coh_vm_fini(&vm);
}

/* A contract that calls itself: the 1025th level is not reached (Yellow Paper: 1024 below the first). */
static void calls_depth(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        char const *gas; /* left for the call: before EIP-150 what the rest needs is kept by hand */
    } const cases[] = {{COH_FORK_FRONTIER, "60000 GAS SUB"}, {COH_FORK_OSAKA, "GAS"}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[160];
        coh_vm_t vm;
        /* slot 0 counts the levels, slot 1 is the result of the deepest call */
        (void)snprintf(text,
                       sizeof(text),
                       "0 SLOAD 1 ADD 0 SSTORE 0 0 0 0 0 ADDRESS %s CALL DUP1 @up JUMPI "
                       "RETURNDATASIZE 2 SSTORE 77 1 SSTORE up:",
                       cases[i].gas);
        if (cases[i].fork == COH_FORK_FRONTIER) {
            char *at = strstr(text, "RETURNDATASIZE 2 SSTORE ");
            memmove(at, at + 24, strlen(at + 24) + 1);
        }
        coh_vm_init(&vm, cases[i].fork, text);
        vm.gas = UINT64_C(1000000000000);
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_slot(&vm, SELF, 0), 1025);
        assert_int_equal(coh_vm_slot(&vm, SELF, 1), 77);
        /* Afterwards no more is held than is kept from message to message: 16 frames of 33 KB each. */
        assert_true(coh_evm_bytes(vm.evm) < (size_t)16 * 40000);
        coh_vm_fini(&vm);
    }
    /* Creations neither: the nonce stays. */
    coh_vm_t vm;
    coh_vm_init(
        &vm, COH_FORK_OSAKA, "0 0 0 CREATE @on JUMPI 88 1 SSTORE on: 0 0 0 0 0 ADDRESS GAS CALL");
    vm.gas = UINT64_C(1000000000000000);
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_slot(&vm, SELF, 1), 88);
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 1 + 1024);
    coh_vm_fini(&vm);
}

/* ---- precompiled contracts ---- */

static void calls_precompiled(void **state)
{
    (void)state;
    coh_vm_t vm;
    /* identity of 33 octets: 15 + 2 * 3 */
    coh_vm_init(&vm,
                COH_FORK_OSAKA,
                "0x1122334455667788 0 MSTORE 0x99 32 MSTORE8 33 64 33 0 0 4 50000 CALL 0 MSTORE "
                "160 0 RETURN");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 1);
    assert_int_equal(coh_vm_u64(&vm, 2), 0x1122334455667788);
    coh_vm_assert_word(coh_vm_word(&vm, 3),
                       "0x9900000000000000000000000000000000000000000000000000000000000000");
    coh_vm_fini(&vm);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "0 0 33 0 0 4 50000 CALL"), 21 + 100 + 6 + 21);
    assert_int_equal(coh_vm_gas_of(COH_FORK_BERLIN, "0 0 0 0 0 1 50000 CALL"), 21 + 100 + 3000);
    assert_int_equal(coh_vm_gas_of(COH_FORK_ISTANBUL, "0 0 0 0 0 1 50000 CALL"), 21 + 700 + 3000);
    assert_int_equal(coh_vm_gas_of(COH_FORK_OSAKA, "0 0 0 0 2 50000 STATICCALL"), 18 + 100 + 60);
    /* one that does not exist yet is an account without code: MODEXP in Spurious Dragon */
    assert_int_equal(coh_vm_gas_of(COH_FORK_SPURIOUS, "0 0 0 0 0 5 50000 CALL"), 21 + 700);
    /* Too little gas: all that was passed is gone, and the money is not. */
    coh_vm_init(&vm, COH_FORK_OSAKA, "0 0 0 0 5 1 699 CALL" RETURN_WORD);
    coh_vm_put_eoa(&vm, 1, 0, 1);
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 0);
    assert_int_equal(vm.used, 21 + 100 + 9000 + 699 + 3 + 3 + 3 + 6); /* 2999 with the stipend */
    assert_int_equal(coh_vm_balance(&vm, 1), 1);
    coh_vm_put_code(&vm, SELF, 1000, "0 0 0 0 5 1 700 CALL" RETURN_WORD);
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 1);
    assert_int_equal(coh_vm_balance(&vm, 1), 6);
    /* Input that it refuses: (1, 1) is no point of the curve. */
    coh_vm_put_code(&vm, SELF, 1000, "1 0 MSTORE 1 32 MSTORE 0 0 64 0 0 6 50000 CALL" RETURN_WORD);
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 0);
    assert_true(vm.used > 50000);
    coh_vm_fini(&vm);
    /* As the message itself. */
    coh_vm_init(&vm, COH_FORK_OSAKA, "STOP");
    vm.input = coh_bytes("abc", 3);
    coh_vm_run_at(&vm, 4);
    assert_int_equal(vm.status, COH_EVM_SUCCESS);
    assert_int_equal(vm.used, 18);
    assert_int_equal(vm.output.n, 3);
    assert_memory_equal(vm.output.p, "abc", 3);
    vm.gas   = 17;
    vm.value = coh_u256(3);
    coh_vm_run_at(&vm, 4);
    assert_int_equal(vm.status, COH_EVM_PRECOMPILE);
    assert_int_equal(vm.used, 17);
    assert_int_equal(coh_vm_balance(&vm, 4), 0);
    coh_vm_fini(&vm);
}

/* ---- creations ---- */

/* The address of a creation by nonce, keccak256(rlp([sender, nonce])): a known account's first three. */
static void creations_address(void **state)
{
    (void)state;
    static char const *const wanted[] = {"0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d",
                                         "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8",
                                         "0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91"};
    coh_addr_t const creator          = coh_test_addr("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0");
    for (uint64_t nonce = 0; nonce < COH_CNT(wanted); nonce++) {
        coh_vm_t vm;
        coh_buf_t code = COH_BUF_INIT;
        coh_vm_init(&vm, COH_FORK_HOMESTEAD, "STOP");
        coh_test_asm(&code, "0 0 0 CREATE" RETURN_WORD);
        coh_memview_put_account(vm.mv, &creator, nonce, &COH_U256_ZERO, coh_buf_bytes(&code));
        coh_vm_run_to(&vm, &creator);
        coh_vm_assert_word(coh_vm_word(&vm, 0), wanted[nonce]);
        assert_int_equal(vm.used, 9 + 32000 + 3 + 3 + 3 + 6);
        coh_buf_free(&code);
        coh_vm_fini(&vm);
    }
}

/* The examples of EIP-1014, their gas included. */
static void creations_salted(void **state)
{
    (void)state;
    static struct {
        char const *creator, *salt, *init;
        uint64_t gas;
        char const *wanted;
    } const cases[] = {
        {"0x0000000000000000000000000000000000000000",
         "0",
         "00",
         32006,
         "0x4D1A2e2bB4F88F0250f26Ffff098B0b30B26BF38"},
        {"0xdeadbeef00000000000000000000000000000000",
         "0",
         "00",
         32006,
         "0xB928f69Bb1D91Cd65274e3c79d8986362984fDA3"},
        {"0xdeadbeef00000000000000000000000000000000",
         "0xfeed000000000000000000000000000000000000",
         "00",
         32006,
         "0xD04116cDd17beBE565EB2422F2497E06cC1C9833"},
        {"0x0000000000000000000000000000000000000000",
         "0",
         "deadbeef",
         32006,
         "0x70f2b2914A2a4b783FaEFb75f459A580616Fcb5e"},
        {"0x00000000000000000000000000000000deadbeef",
         "0xcafebabe",
         "deadbeef",
         32006,
         "0x60f3f640a8508fC6a86d45DF051962668E1e8AC7"},
        {"0x00000000000000000000000000000000deadbeef",
         "0xcafebabe",
         "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
         32012,
         "0x1d8bfDC5D46DC4f61D6b6115972536eBE6A8854C"},
        {"0x0000000000000000000000000000000000000000",
         "0",
         "",
         32000,
         "0xE33C0C7F7df4809055C3ebA6c09CFe4BaF1BD9e0"},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_vm_t vm;
        coh_buf_t code     = COH_BUF_INIT;
        coh_addr_t creator = coh_test_addr(cases[i].creator);
        size_t n           = strlen(cases[i].init) / 2;
        uint64_t words     = (n + 31) / 32;
        bool fails         = strncmp(cases[i].init, "dead", 4) == 0; /* 0xde is no opcode */
        char text[512];
        /* the creation gets 1/64 less than 64000, which the failing ones use up */
        (void)snprintf(text,
                       sizeof(text),
                       "%zu 21 0 CODECOPY %s %zu 0 0 CREATE2 0 MSTORE 32 0 RETURN",
                       n,
                       cases[i].salt,
                       n);
        coh_test_asm(&code, text);
        code.p[3] = (uint8_t)code.n; /* the init code is behind */
        (void)snprintf(text, sizeof(text), ".%s", cases[i].init);
        coh_buf_t init = COH_BUF_INIT;
        coh_test_asm(&init, n != 0 ? text : "");
        coh_buf_put(&code, init.p, init.n);
        coh_vm_init(&vm, COH_FORK_CONSTANTINOPLE, "STOP");
        coh_memview_put_account(vm.mv, &creator, 1, &COH_U256_ZERO, coh_buf_bytes(&code));
        coh_vm_run_to(&vm, &creator);
        assert_int_equal(vm.status, COH_EVM_SUCCESS);
        coh_vm_assert_word(coh_vm_word(&vm, 0), fails ? "0" : cases[i].wanted);
        if (!fails) {
            uint64_t memory = n != 0 ? 3 : 3; /* the word that is returned, if not before */
            assert_int_equal(vm.used, 9 + 3 + 3 * words + 12 + cases[i].gas + 3 + 3 + 6 + memory);
        } else { /* since Berlin the address stays warm, and so shows */
            coh_vm_fini(&vm);
            coh_vm_init(&vm, COH_FORK_BERLIN, "STOP");
            coh_memview_put_account(vm.mv, &creator, 1, &COH_U256_ZERO, coh_buf_bytes(&code));
            coh_vm_run_to(&vm, &creator);
            assert_true(account_at(&vm, cases[i].wanted)->flags & COH_ACCT_WARM);
        }
        coh_buf_free(&init);
        coh_buf_free(&code);
        coh_vm_fini(&vm);
    }
}

/* 0x1000 creates at nonces 1 and 2 (computed outside). */
#define FIRST_CREATED  "0x5bafcc0c93ecd8022925d7fd89da1c6250850e19"
#define SECOND_CREATED "0x56bf3bd655a1adc56e6d1936eadda051ef3cd330"

/* Init code runs as the new account, called by the creator, without input; what it returns is the code. */
static void creations_context(void **state)
{
    (void)state;
    coh_vm_t vm;
    /* the init code logs what it sees, stores, and returns 3 octets of its memory */
    coh_vm_init(
        &vm,
        COH_FORK_OSAKA,
        "CODESIZE 0 0 CODECOPY CODESIZE @init SWAP1 SUB @init 5 CREATE DUP1 0 MSTORE EXTCODESIZE "
        "32 MSTORE "
        "0 0 0 0 0 0 MLOAD 50000 CALL 64 MSTORE 96 0 RETURN "
        "init: ADDRESS 0 MSTORE CALLER 32 MSTORE CALLVALUE 64 MSTORE CALLDATASIZE 96 MSTORE "
        "CODESIZE 128 MSTORE ADDRESS EXTCODESIZE 160 MSTORE SELFBALANCE 192 MSTORE 224 0 LOG0 "
        "9 4 SSTORE 0x5b5b00 0 MSTORE 3 29 RETURN");
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), FIRST_CREATED);
    assert_int_equal(coh_vm_u64(&vm, 1), 3);
    assert_int_equal(coh_vm_u64(&vm, 2), 1); /* it can be called at once */
    assert_int_equal(vm.state.log_cnt, 1);
    coh_bytes_t seen                  = vm.state.logs[0].data;
    static char const *const wanted[] = {FIRST_CREATED, "0x1000", "5", "0", "52", "0", "5"};
    for (size_t i = 0; i < COH_CNT(wanted); i++) {
        coh_vm_assert_word(coh_u256_load_be(seen.p + 32 * i), wanted[i]);
    }
    coh_account_t *a = account_at(&vm, FIRST_CREATED);
    assert_int_equal(a->cur.nonce, 1); /* EIP-161 */
    assert_int_equal(a->cur.word.w[0], 5);
    assert_int_equal(a->new_code.n, 3);
    assert_memory_equal(a->new_code.p, "\x5b\x5b\x00", 3);
    assert_true(a->flags & COH_ACCT_CREATED);
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 2);
    assert_int_equal(coh_vm_balance(&vm, SELF), 995);
    coh_vm_fini(&vm);
    /* Before EIP-161 a new account's nonce is 0. */
    coh_vm_init(&vm, COH_FORK_TANGERINE, "0 0 0 CREATE" RETURN_WORD);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), FIRST_CREATED);
    assert_int_equal(account_at(&vm, FIRST_CREATED)->cur.nonce, 0);
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 2);
    coh_vm_fini(&vm);
}

/* CREATE with init code of one push, MSTORE-ed: returns size octets of zeros, the first of which is first. */
static void creation_of(coh_vm_t *vm, coh_fork_t fork, uint32_t size, uint8_t first)
{
    char text[256];
    (void)snprintf(text,
                   sizeof(text),
                   "0x60%02x60005362%06x6000f3 0 MSTORE 12 20 0 CREATE" RETURN_WORD,
                   first,
                   size);
    coh_vm_init(vm, fork, text);
}

/* 200 gas for each octet of code; what happens when it is not there. */
static void creations_deposit(void **state)
{
    (void)state;
    coh_vm_t vm;
    creation_of(&vm, COH_FORK_OSAKA, 32, 0);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), FIRST_CREATED);
    /* pushes, MSTORE, CREATE with a word of init code (EIP-3860), init code: 4 pushes, MSTORE8, a word; deposit; RETURN_WORD */
    uint64_t const price = 3 + 3 + 3 + 3 + 9 + 32000 + 2 + 12 + 3 + 3 + 6400 + 3 + 3 + 6;
    assert_int_equal(vm.used, price);
    coh_vm_fini(&vm);

    /* Gas for the init code, and less than for the deposit: Frontier makes an account without code; EIP-2 lets it fail. */
    creation_of(&vm, COH_FORK_FRONTIER, 32, 0);
    vm.gas = 21 + 32000 + 18 + 6399;
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), FIRST_CREATED);
    assert_false(coh_value_has_code(&account_at(&vm, FIRST_CREATED)->cur));
    assert_int_equal(vm.used, 21 + 32000 + 18 + 12);
    coh_vm_fini(&vm);
    static coh_fork_t const forks[] = {COH_FORK_FRONTIER, COH_FORK_HOMESTEAD, COH_FORK_OSAKA};
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        coh_buf_t init = COH_BUF_INIT;
        coh_test_asm(&init, "0 0 MSTORE8 32 0 RETURN");
        coh_vm_init(&vm, forks[i], "STOP");
        vm.is_create = true;
        vm.input     = coh_buf_bytes(&init);
        vm.gas       = 18 + 6399;
        coh_vm_run(&vm);
        assert_int_equal(vm.status, i == 0 ? COH_EVM_SUCCESS : COH_EVM_OUT_OF_GAS);
        assert_int_equal(vm.used, i == 0 ? 18 : vm.gas);
        vm.gas++;
        coh_vm_run_ok(&vm);
        assert_int_equal(vm.used, vm.gas);
        coh_buf_free(&init);
        coh_vm_fini(&vm);
    }

    /* A 64th stays, so that the creator sees the failure (EIP-150). */
    creation_of(&vm, COH_FORK_OSAKA, 32, 0);
    vm.gas = 21 + 32002 + 6480;
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0");
    assert_int_equal(account_at(&vm, FIRST_CREATED)->cur.nonce, 0);
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 2);
    coh_vm_fini(&vm);
}

/* EIP-170, EIP-3541. */
static void creations_forbidden_code(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint32_t size;
        uint8_t first;
        bool made;
    } const cases[] = {
        {COH_FORK_TANGERINE, 24577, 0, true},
        {COH_FORK_SPURIOUS, 24576, 0, true},
        {COH_FORK_SPURIOUS, 24577, 0, false},
        {COH_FORK_OSAKA, 24576, 0, true},
        {COH_FORK_OSAKA, 24577, 0, false},
        {COH_FORK_BERLIN, 1, 0xef, true},
        {COH_FORK_LONDON, 1, 0xef, false},
        {COH_FORK_LONDON, 1, 0xee, true},
        {COH_FORK_OSAKA, 23, 0xef, false},
        {COH_FORK_OSAKA, 0, 0xef, true},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_vm_t vm;
        creation_of(&vm, cases[i].fork, cases[i].size, cases[i].first);
        coh_vm_run_ok(&vm);
        coh_vm_assert_word(coh_vm_word(&vm, 0), cases[i].made ? FIRST_CREATED : "0");
        coh_account_t *a = account_at(&vm, FIRST_CREATED);
        assert_int_equal(a->new_code.n, cases[i].made ? cases[i].size : 0);
        /* a failure takes the 63/64 */
        assert_true(cases[i].made || vm.used > vm.gas - vm.gas / 64);
        coh_vm_fini(&vm);
    }
}

/* EIP-3860. */
static void creations_init_code(void **state)
{
    (void)state;
    /* 49152 octets, 1536 words: memory 4608 + 4608, 2 for each word; CREATE2 6 more */
    assert_int_equal(coh_vm_gas_of(COH_FORK_SHANGHAI, "49152 0 0 CREATE"), 9 + 9216 + 32000 + 3072);
    assert_int_equal(coh_vm_gas_of(COH_FORK_PARIS, "49152 0 0 CREATE"), 9 + 9216 + 32000);
    assert_int_equal(coh_vm_gas_of(COH_FORK_SHANGHAI, "0 49152 0 0 CREATE2"),
                     12 + 9216 + 32000 + 3072 + 9216);
    assert_int_equal(coh_vm_gas_of(COH_FORK_PARIS, "0 49152 0 0 CREATE2"),
                     12 + 9216 + 32000 + 9216);
    assert_int_equal(coh_vm_gas_of(COH_FORK_SHANGHAI, "33 0 0 CREATE"), 9 + 6 + 32000 + 4);
    assert_int_equal(coh_vm_status_of(COH_FORK_SHANGHAI, "49153 0 0 CREATE"), COH_EVM_OUT_OF_GAS);
    assert_int_equal(coh_vm_status_of(COH_FORK_SHANGHAI, "0 49153 0 0 CREATE2"),
                     COH_EVM_OUT_OF_GAS);
    assert_int_equal(coh_vm_status_of(COH_FORK_PARIS, "49153 0 0 CREATE"), COH_EVM_SUCCESS);
}

/* Who is refused a creation keeps its gas and its nonce; whose creation fails does not. */
static void creations_nonce(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "0 0 1001 CREATE" RETURN_WORD);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0");
    assert_int_equal(vm.used, 9 + 32000 + 12 + 3);
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 1);
    coh_vm_fini(&vm);

    coh_vm_init(&vm, COH_FORK_OSAKA, "0xfe 0 MSTORE8 1 0 0 CREATE 1 0 7 CREATE" RETURN_WORD);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0");
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 3);
    assert_int_equal(coh_vm_balance(&vm, SELF), 1000);
    coh_vm_fini(&vm);

    /* EIP-2681 */
    coh_buf_t code  = COH_BUF_INIT;
    coh_addr_t self = coh_vm_addr(SELF);
    coh_test_asm(&code, "0 0 0 CREATE" RETURN_WORD);
    coh_vm_init(&vm, COH_FORK_OSAKA, "STOP");
    coh_memview_put_account(vm.mv, &self, UINT64_MAX, &COH_U256_ZERO, coh_buf_bytes(&code));
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0");
    assert_int_equal(vm.used, 9 + 32000 + 12 + 3);
    coh_memview_put_account(vm.mv, &self, UINT64_MAX - 1, &COH_U256_ZERO, coh_buf_bytes(&code));
    coh_vm_run_ok(&vm);
    assert_false(coh_u256_is_zero(&(coh_u256_t){{coh_vm_word(&vm, 0).w[0], 0, 0, 0}}));
    assert_true(coh_vm_account(&vm, SELF)->cur.nonce == UINT64_MAX);
    coh_buf_free(&code);
    coh_vm_fini(&vm);
}

/* EIP-684, EIP-7610: where somebody is, nobody is created, and the gas is gone; money alone is nobody. */
static void creations_collision(void **state)
{
    (void)state;
    static struct {
        uint64_t nonce, balance;
        char const *code;
        uint64_t storage;
        bool made;
    } const cases[] = {
        {0, 0, NULL, 0, true},
        {0, 9, NULL, 0, true},
        {1, 0, NULL, 0, false},
        {0, 9, "STOP", 0, false},
        {0, 9, NULL, 4, false},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_vm_t vm;
        coh_buf_t code     = COH_BUF_INIT;
        coh_addr_t addr    = coh_test_addr(FIRST_CREATED);
        coh_u256_t money   = coh_u256(cases[i].balance);
        coh_u256_t storage = coh_u256(cases[i].storage);
        coh_vm_init(
            &vm, COH_FORK_OSAKA, "0 0 2 CREATE 0 MSTORE 0 0 0 CREATE 32 MSTORE 64 0 RETURN");
        coh_test_asm(&code, cases[i].code != NULL ? cases[i].code : "");
        coh_memview_put_account(vm.mv, &addr, cases[i].nonce, &money, coh_buf_bytes(&code));
        if (cases[i].storage != 0) {
            coh_memview_put_slot(vm.mv, &addr, &money, &storage);
        }
        coh_vm_run_ok(&vm);
        coh_vm_assert_word(coh_vm_word(&vm, 0), cases[i].made ? FIRST_CREATED : "0");
        coh_vm_assert_word(coh_vm_word(&vm, 1), SECOND_CREATED); /* the nonce was used up */
        assert_true(cases[i].made ? vm.used < 70000 : vm.used > vm.gas - vm.gas / 32);
        assert_int_equal(account_at(&vm, FIRST_CREATED)->cur.word.w[0],
                         cases[i].balance + (cases[i].made ? 2 : 0));
        coh_buf_free(&code);
        coh_vm_fini(&vm);
    }
}

/* Created twice at one address in one transaction: the second finds the first, unless that one was undone. */
static void creations_twice(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(
        &vm, COH_FORK_OSAKA, "5 0 0 0 CREATE2 0 MSTORE 5 0 0 0 CREATE2 32 MSTORE 64 0 RETURN");
    coh_vm_run_ok(&vm);
    /* keccak256(0xff, 0x1000, 5, keccak256()), computed outside */
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0xbd4b53af52113103c735acfb0d6a6b2aff9cdaac");
    coh_vm_assert_word(coh_vm_word(&vm, 1), "0");
    coh_vm_fini(&vm);
    coh_vm_init(
        &vm,
        COH_FORK_OSAKA,
        "0 0 0 0 0x1001 100000 DELEGATECALL 0 MSTORE 5 0 0 0 CREATE2 32 MSTORE 64 0 RETURN");
    coh_vm_put_code(&vm, OTHER, 0, "5 0 0 0 CREATE2 0 0 REVERT");
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0");
    coh_vm_assert_word(coh_vm_word(&vm, 1), "0xbd4b53af52113103c735acfb0d6a6b2aff9cdaac");
    assert_int_equal(coh_vm_account(&vm, SELF)->cur.nonce, 2);
    coh_vm_fini(&vm);
}

/* The transaction's own creation, by 0x5000 at nonce 3. */
static void creations_message(void **state)
{
    (void)state;
    static char const created[] = "0x62c1b4e7e96f2dbb8b6f391bde98185653ccdf05";
    coh_vm_t vm;
    coh_buf_t init = COH_BUF_INIT;
    coh_vm_init(&vm, COH_FORK_OSAKA, "STOP");
    vm.is_create = true;
    vm.value     = coh_u256(6);
    coh_test_asm(&init, "0x5b 0 MSTORE8 2 0 RETURN");
    vm.input = coh_buf_bytes(&init);
    coh_vm_run_ok(&vm);
    assert_int_equal(vm.output.n, 0);
    assert_int_equal(vm.used, 6 + 3 + 3 + 6 + 400);
    assert_int_equal(account_at(&vm, created)->cur.nonce, 1);
    assert_int_equal(account_at(&vm, created)->cur.word.w[0], 6);
    assert_int_equal(account_at(&vm, created)->new_code.n, 2);
    coh_test_asm(&init, "0x5b 0 MSTORE8 2 0 REVERT");
    vm.input = coh_buf_bytes(&init);
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_REVERT);
    assert_int_equal(vm.output.n, 2);
    assert_int_equal(account_at(&vm, created)->cur.nonce, 0);
    assert_int_equal(account_at(&vm, created)->cur.word.w[0], 0);
    /* no init code: an account without code */
    vm.input = coh_bytes(NULL, 0);
    coh_vm_run_ok(&vm);
    assert_int_equal(vm.used, 0);
    assert_int_equal(account_at(&vm, created)->cur.nonce, 1);
    /* somebody is there */
    coh_addr_t addr = coh_test_addr(created);
    coh_memview_put_account(vm.mv, &addr, 1, &COH_U256_ZERO, coh_bytes(NULL, 0));
    coh_vm_run(&vm);
    assert_int_equal(vm.status, COH_EVM_COLLISION);
    assert_int_equal(vm.used, vm.gas);
    coh_buf_free(&init);
    coh_vm_fini(&vm);
}

/* ---- SELFDESTRUCT ---- */

static void selfdestruct_gas(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        char const *text;
        uint64_t used;
        int64_t refund;
    } const cases[] = {
        {COH_FORK_FRONTIER, "0x2001 SELFDESTRUCT", 3, 24000},
        {COH_FORK_FRONTIER, "0x2000 SELFDESTRUCT", 3, 24000},
        {COH_FORK_TANGERINE, "0x2000 SELFDESTRUCT", 3 + 5000, 24000},
        {COH_FORK_TANGERINE, "0x2001 SELFDESTRUCT", 3 + 5000 + 25000, 24000},
        {COH_FORK_TANGERINE, "0x2002 SELFDESTRUCT", 3 + 5000, 24000},
        {COH_FORK_SPURIOUS, "0x2002 SELFDESTRUCT", 3 + 5000 + 25000, 24000},
        {COH_FORK_SPURIOUS, "ADDRESS SELFDESTRUCT", 2 + 5000, 24000},
        {COH_FORK_BERLIN, "0x2001 SELFDESTRUCT", 3 + 5000 + 2600 + 25000, 24000},
        {COH_FORK_BERLIN, "0x2000 SELFDESTRUCT", 3 + 5000 + 2600, 24000},
        {COH_FORK_BERLIN, "0x5000 SELFDESTRUCT", 3 + 5000, 24000},
        {COH_FORK_BERLIN, "1 SELFDESTRUCT", 3 + 5000 + 25000, 24000}, /* a warm precompile */
        {COH_FORK_LONDON, "0x2000 SELFDESTRUCT", 3 + 5000 + 2600, 0}, /* EIP-3529 */
        {COH_FORK_OSAKA, "0x2001 SELFDESTRUCT", 3 + 5000 + 2600 + 25000, 0},
        /* Without money nobody is made: EIP-161, not EIP-150. */
        {COH_FORK_TANGERINE,
         "0 0 0 0 1000 0x2000 0 CALL POP 0x2001 SELFDESTRUCT",
         21 + 700 + 9000 - 2300 + 2 + 3 + 5000 + 25000,
         24000},
        {COH_FORK_SPURIOUS,
         "0 0 0 0 1000 0x2000 0 CALL POP 0x2001 SELFDESTRUCT",
         21 + 700 + 9000 - 2300 + 2 + 3 + 5000,
         24000},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_vm_t vm;
        coh_vm_init(&vm, cases[i].fork, cases[i].text);
        coh_vm_put_eoa(&vm, 0x2000, 0, 1);
        coh_vm_put_eoa(&vm, 0x2002, 0, 0);
        coh_vm_run_ok(&vm);
        assert_int_equal(vm.used, cases[i].used);
        assert_int_equal(vm.refund, cases[i].refund);
        coh_vm_fini(&vm);
    }
}

/* Who has the money, and who is gone at the end. */
static void selfdestruct_effect(void **state)
{
    (void)state;
    coh_vm_t vm;
    static coh_fork_t const forks[] = {COH_FORK_FRONTIER, COH_FORK_SHANGHAI, COH_FORK_CANCUN};
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        bool stays = forks[i] >= COH_FORK_CANCUN; /* EIP-6780 */
        coh_vm_init(&vm, forks[i], "0x2000 SELFDESTRUCT");
        coh_vm_put_eoa(&vm, 0x2000, 0, 1);
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_balance(&vm, 0x2000), 1001);
        assert_int_equal(coh_vm_balance(&vm, SELF), 0);
        assert_int_equal((coh_vm_account(&vm, SELF)->flags & COH_ACCT_DESTROYED) == 0, stays);
        /* to itself: burnt, or kept */
        coh_vm_put_code(&vm, SELF, 1000, "ADDRESS SELFDESTRUCT");
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_balance(&vm, SELF), stays ? 1000 : 0);
        coh_vm_fini(&vm);
    }
    /* Twice in a transaction: one refund; money that comes in between is passed on, what comes after is lost with the account. */
    coh_vm_init(&vm,
                COH_FORK_BERLIN,
                "0 0 0 0 0 0x1001 50000 CALL POP 0 0 0 0 9 0x1001 50000 CALL POP "
                "0 0 0 0 4 0x1002 50000 CALL");
    coh_vm_put_code(&vm, OTHER, 50, "0x2000 SELFDESTRUCT");
    coh_vm_put_eoa(&vm, 0x2000, 0, 1);
    coh_vm_run_ok(&vm);
    assert_int_equal(vm.refund, 24000);
    assert_int_equal(coh_vm_balance(&vm, 0x2000), 60);
    assert_int_equal(coh_vm_balance(&vm, OTHER), 0);
    coh_vm_fini(&vm);
    /* A destroyed account's code still runs until the end of the transaction; reverted, nothing happened. */
    coh_vm_init(&vm, COH_FORK_BERLIN, "0 0 0 0 0 0x1001 100000 CALL" RETURN_WORD);
    coh_vm_put_code(
        &vm,
        OTHER,
        50,
        "0 0 0 0 0 0x1002 50000 CALL POP 0x1002 EXTCODESIZE @on JUMPI STOP on: 0 0 REVERT");
    coh_vm_put_code(&vm, THIRD, 30, "0x2000 SELFDESTRUCT");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 0);
    assert_int_equal(vm.refund, 0);
    assert_int_equal(coh_vm_balance(&vm, THIRD), 30);
    assert_int_equal(coh_vm_account(&vm, THIRD)->flags & COH_ACCT_DESTROYED, 0);
    coh_vm_fini(&vm);
    /* Since Cancun only who was created in the transaction is removed; its money, sent to itself, is burnt. */
    coh_vm_init(&vm, COH_FORK_OSAKA, "0x30ff 0 MSTORE 2 30 7 CREATE" RETURN_WORD);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), FIRST_CREATED);
    assert_true(account_at(&vm, FIRST_CREATED)->flags & COH_ACCT_DESTROYED);
    assert_int_equal(account_at(&vm, FIRST_CREATED)->cur.word.w[0], 0);
    assert_int_equal(coh_vm_balance(&vm, SELF), 993);
    coh_vm_fini(&vm);
}

/* ---- delegation, EIP-7702 ---- */

static void delegations_gas(void **state)
{
    (void)state;
    static char const to_other[] = ".ef0100"
                                   "0000000000000000000000000000000000001001";
    static char const to_self[]  = ".ef0100"
                                   "0000000000000000000000000000000000003000";
    static char const to_4[]     = ".ef0100"
                                   "0000000000000000000000000000000000000004";
    static char const to_none[]  = ".ef0100"
                                   "0000000000000000000000000000000000002001";
    static struct {
        char const *delegation; /* of 0x3000 */
        char const *text;
        uint64_t used, result;
    } const cases[] = {
        {to_other, "0 0 0 0 0 0x3000 50000 CALL", 21 + 2600 + 2600 + 5, 1},
        {to_other, "0x3000 BALANCE POP 0 0 0 0 0 0x3000 50000 CALL", 2605 + 21 + 100 + 2600 + 5, 1},
        {to_other, "0x1001 BALANCE POP 0 0 0 0 0 0x3000 50000 CALL", 2605 + 21 + 2600 + 100 + 5, 1},
        {to_other, "0 0 0 0 0x3000 50000 DELEGATECALL", 18 + 2600 + 2600 + 5, 1},
        {to_other, "0 0 0 0 0x3000 50000 STATICCALL", 18 + 2600 + 2600 + 5, 1},
        {to_other, "0 0 0 0 0 0x3000 50000 CALLCODE", 21 + 2600 + 2600 + 5, 1},
        {to_other,
         "0 0 0 0 0 0x3000 50000 CALL POP 0x1001 BALANCE POP 1",
         21 + 5200 + 5 + 2 + 103 + 2 + 3,
         1},
        /* to itself: warm by then, and its designator is no code */
        {to_self, "0 0 0 0 0 0x3000 50000 CALL", 21 + 2600 + 100 + 50000, 0},
        /* to a precompiled contract: warm, and nothing runs */
        {to_4, "0 0 5 0 0 0x3000 50000 CALL", 21 + 3 + 2600 + 100, 1},
        {to_none, "0 0 0 0 0 0x3000 50000 CALL", 21 + 2600 + 2600, 1},
        /* one step only: 0x3001 delegates to 0x3000, whose designator does not run */
        {to_other, "0 0 0 0 0 0x3001 50000 CALL", 21 + 2600 + 2600 + 50000, 0},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        char text[256];
        coh_vm_t vm;
        (void)snprintf(text, sizeof(text), "%s" RETURN_WORD, cases[i].text);
        coh_vm_init(&vm, COH_FORK_PRAGUE, text);
        coh_vm_put_code(&vm, OTHER, 0, "PC PC x:");
        coh_vm_put_code(&vm, 0x3000, 0, cases[i].delegation);
        coh_vm_put_code(&vm, 0x3001, 0, to_self);
        coh_vm_run_ok(&vm);
        assert_int_equal(coh_vm_u64(&vm, 0), cases[i].result);
        uint64_t word = strstr(cases[i].text, " 5 0 ") != NULL ? 0 : 3; /* paid for before */
        if (vm.used != cases[i].used + 3 + 3 + 6 + word) {
            fail_msg("%s: %llu", cases[i].text, (unsigned long long)vm.used);
        }
        coh_vm_fini(&vm);
    }
}

static void delegations_run(void **state)
{
    (void)state;
    static char const to_other[] = ".ef01000000000000000000000000000000000000001001";
    coh_vm_t vm;
    /* The delegate's code runs as the account that delegates. */
    coh_vm_init(&vm,
                COH_FORK_PRAGUE,
                "64 0 0 0 3 0x3000 200000 CALL POP 0x3000 EXTCODESIZE 64 MSTORE 0x3000 EXTCODEHASH "
                "96 MSTORE "
                "32 0 128 0x3000 EXTCODECOPY 160 0 RETURN");
    coh_vm_put_code(&vm, OTHER, 0, "ADDRESS 0 MSTORE CODESIZE 32 MSTORE 8 2 SSTORE 64 0 RETURN");
    coh_vm_put_code(&vm, 0x3000, 10, to_other);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), "0x3000");
    assert_int_equal(coh_vm_u64(&vm, 1), 18);
    assert_int_equal(coh_vm_slot(&vm, 0x3000, 2), 8);
    assert_int_equal(coh_vm_slot(&vm, OTHER, 2), 0);
    assert_int_equal(coh_vm_balance(&vm, 0x3000), 13);
    /* Who looks at the code sees the designator. */
    assert_int_equal(coh_vm_u64(&vm, 2), 23);
    coh_vm_assert_word(coh_vm_word(&vm, 3),
                       "0x883188a174b6978cffe090837285e7ccd3040570d1fa8431de2f0722ae9f4075");
    coh_vm_assert_word(coh_vm_word(&vm, 4),
                       "0xef01000000000000000000000000000000000000001001000000000000000000");
    /* The message itself: the delegate costs nothing, and is warm. */
    coh_vm_put_code(&vm, OTHER, 0, "0x1001 BALANCE");
    coh_vm_run_at(&vm, 0x3000);
    assert_int_equal(vm.status, COH_EVM_SUCCESS);
    assert_int_equal(vm.used, 103);
    coh_vm_put_code(&vm, 0x3000, 10, ".ef01000000000000000000000000000000000000003000");
    coh_vm_run_at(&vm, 0x3000);
    assert_int_equal(vm.status, COH_EVM_UNDEFINED);
    coh_vm_put_code(&vm, 0x3000, 10, ".ef01000000000000000000000000000000000000002001");
    vm.value = coh_u256(2);
    coh_vm_run_at(&vm, 0x3000);
    assert_int_equal(vm.status, COH_EVM_SUCCESS);
    assert_int_equal(vm.used, 0);
    assert_int_equal(coh_vm_balance(&vm, 0x3000), 12);
    coh_vm_fini(&vm);
    /* Before Prague the designator is code that fails. */
    coh_vm_init(&vm, COH_FORK_CANCUN, "0 0 0 0 0 0x3000 50000 CALL" RETURN_WORD);
    coh_vm_put_code(&vm, 0x3000, 10, to_other);
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 0);
    coh_vm_fini(&vm);
}

/* ---- transient storage across frames, EIP-1153 ---- */

static void calls_transient(void **state)
{
    (void)state;
    coh_vm_t vm;
    /* 0x1001 counts in its own transient slot; the second call reverts; the third sees the first alone */
    coh_vm_init(&vm,
                COH_FORK_CANCUN,
                "32 0 0 0 0 0x1001 50000 CALL POP "
                "1 32 MSTORE8 0 0 1 32 0 0x1001 50000 CALL POP "
                "32 64 0 0 0 0x1001 50000 CALL POP "
                "0 TLOAD 32 MSTORE 96 0 RETURN");
    coh_vm_put_code(&vm,
                    OTHER,
                    0,
                    "0 TLOAD 1 ADD DUP1 0 TSTORE CALLDATASIZE @no JUMPI" RETURN_WORD
                    " no: 0 0 REVERT");
    coh_vm_run_ok(&vm);
    assert_int_equal(coh_vm_u64(&vm, 0), 1);
    assert_int_equal(coh_vm_u64(&vm, 1), 0); /* each account has its own */
    assert_int_equal(coh_vm_u64(&vm, 2), 2);
    coh_vm_fini(&vm);
}

/* ---- abandoned messages ---- */

/* Whoever parks a message in the middle of a creation may begin another one instead. */
static void calls_abandoned(void **state)
{
    (void)state;
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_OSAKA, "0x600054 0 MSTORE 3 29 0 CREATE" RETURN_WORD);
    coh_addr_t sender           = coh_vm_addr(SENDER);
    coh_addr_t self             = coh_vm_addr(SELF);
    coh_evm_message_t const msg = {.sender = sender, .to = self, .gas = 1000000};
    for (int turns = 0; turns < 8; turns++) {
        coh_memview_set_stutter(vm.mv, true);
        coh_memview_begin_tx(vm.mv);
        coh_state_begin(&vm.state, coh_memview_view(vm.mv), COH_FORK_OSAKA);
        coh_evm_begin(vm.evm, &vm.env, &vm.state, &msg);
        for (int i = 0; i < turns && coh_evm_run(vm.evm) == COH_EVM_NEED; i++) {
        }
    }
    coh_memview_set_stutter(vm.mv, false);
    coh_vm_run_ok(&vm);
    coh_vm_assert_word(coh_vm_word(&vm, 0), FIRST_CREATED);
    coh_vm_fini(&vm);
    coh_evm_free(NULL);
}

/* While a creation waits for state, its init code and what was found out about it count. */
static void calls_count_the_init_code_that_they_hold(void **state)
{
    (void)state;
    enum { CODE = 40000 };
    coh_vm_t vm;
    coh_vm_init(&vm, COH_FORK_PRAGUE, "STOP");
    coh_buf_t init = COH_BUF_INIT;
    coh_test_asm(&init, "0x1001 BALANCE STOP");
    size_t n = init.n;
    memset(coh_buf_extend(&init, CODE - n), 0x5b, CODE - n); /* JUMPDEST */
    coh_addr_t sender         = coh_vm_addr(SENDER);
    coh_evm_message_t const m = {.is_create = true,
                                 .sender    = sender,
                                 .to        = coh_tx_created_address(&sender, 3),
                                 .gas       = vm.gas,
                                 .input     = coh_buf_bytes(&init)};
    coh_memview_set_stutter(vm.mv, true);
    coh_memview_begin_tx(vm.mv);
    coh_state_begin(&vm.state, coh_memview_view(vm.mv), COH_FORK_PRAGUE);
    coh_evm_begin(vm.evm, &vm.env, &vm.state, &m);
    size_t before = coh_evm_bytes(vm.evm);
    size_t most   = before;
    while (coh_evm_run(vm.evm) == COH_EVM_NEED) {
        most = COH_MAX(most, coh_evm_bytes(vm.evm));
    }
    assert_int_equal(coh_evm_result(vm.evm)->status, COH_EVM_SUCCESS);
    /* Two copies, a place of two octets for each position, and eight for each JUMPDEST that begins a block. */
    assert_true(most - before >= (size_t)CODE * (2 + 2 + 8));
    assert_true(coh_evm_bytes(vm.evm) < most - (size_t)CODE * 8);
    coh_buf_free(&init);
    coh_vm_fini(&vm);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(calls_context),
        cmocka_unit_test(calls_storage),
        cmocka_unit_test(calls_gas),
        cmocka_unit_test(calls_gas_passed),
        cmocka_unit_test(calls_gas_returned),
        cmocka_unit_test(calls_static),
        cmocka_unit_test(calls_return_data),
        cmocka_unit_test(calls_output_area),
        cmocka_unit_test(calls_input),
        cmocka_unit_test(calls_rollback),
        cmocka_unit_test(calls_without_funds),
        cmocka_unit_test(calls_depth),
        cmocka_unit_test(calls_precompiled),
        cmocka_unit_test(creations_address),
        cmocka_unit_test(creations_salted),
        cmocka_unit_test(creations_context),
        cmocka_unit_test(creations_deposit),
        cmocka_unit_test(creations_forbidden_code),
        cmocka_unit_test(creations_init_code),
        cmocka_unit_test(creations_nonce),
        cmocka_unit_test(creations_collision),
        cmocka_unit_test(creations_twice),
        cmocka_unit_test(creations_message),
        cmocka_unit_test(selfdestruct_gas),
        cmocka_unit_test(selfdestruct_effect),
        cmocka_unit_test(delegations_gas),
        cmocka_unit_test(delegations_run),
        cmocka_unit_test(calls_transient),
        cmocka_unit_test(calls_abandoned),
        cmocka_unit_test(calls_count_the_init_code_that_they_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
