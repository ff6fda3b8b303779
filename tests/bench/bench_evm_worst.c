/* What an attacker gets for gas: contracts that spend all of a transaction's gas on what costs the most time or memory for it. One line of JSON
   for each: nanoseconds of CPU for each gas at a tenth of the gas and at all of it (a ratio far above 1 would be a cost that grows faster
   than its price), what the transition held at its end, and the peak of the process, which runs this one alone.
   usage: bench_evm_worst [GAS [NAME]] */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/evm/code.h"
#include "common/evm/opcodes.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "tests/support/evmasm.h"
#include "tests/support/vm.h"

/* The attacker, its helper, and the sender. */
enum { SELF = 0x1000, HELPER = 0x1001, SENDER = 0x5000 };

/* Repeats as long as there is gas for it, so that what was done stays. */
#define WHILE_GAS " 60000 GAS GT @l JUMPI STOP"
/* Repeats until it fails, and all is undone. */
#define FOR_EVER " @l JUMP"

typedef struct {
    char const *name;
    char const *text;
    char const *helper;
    uint8_t
        fill; /* so many of which stand behind the helper's text, or behind text if it calls none */
    uint32_t size;
    coh_fork_t fork;
} attack_t;

#define NOW COH_FORK_PRAGUE

static attack_t const attacks[] = {
    /* the interpreter itself */
    {"jumpdest_flood", "l: @l JUMP", NULL, COH_OP_JUMPDEST, 24000, NOW},
    {"jumpdest_run", "l: 64 JUMP", NULL, COH_OP_JUMPDEST, 24000, NOW},
    {"jump", "l: @l JUMP", NULL, 0, 0, NOW},
    {"jumpi_not_taken", "l: 0 @l JUMPI 0 @l JUMPI 0 @l JUMPI 0 @l JUMPI" FOR_EVER, NULL, 0, 0, NOW},
    {"push_pop",
     "l: PC POP PC POP PC POP PC POP PC POP PC POP PC POP PC POP" FOR_EVER,
     NULL,
     0,
     0,
     NOW},
    {"exp",
     "l: 0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff DUP1 EXP POP" FOR_EVER,
     NULL,
     0,
     0,
     NOW},
    {"mulmod",
     "0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1 NUMBER NOT TIMESTAMP NOT "
     "l: DUP3 DUP3 DUP3 MULMOD POP DUP3 DUP3 DUP3 MULMOD POP" FOR_EVER,
     NULL,
     0,
     0,
     NOW},
    {"sdiv",
     "0x7fffffffffffffffffffffffffffffffffffffff 0 NOT 3 SWAP1 DIV l: DUP2 DUP2 SDIV POP DUP2 DUP2 "
     "SDIV POP" FOR_EVER,
     NULL,
     0,
     0,
     NOW},
    /* memory */
    {"memory_by_words", "0 l: DUP1 DUP1 MSTORE 32 ADD" FOR_EVER, NULL, 0, 0, NOW},
    {"memory_by_octets", "0 l: DUP1 DUP1 MSTORE8 1 ADD" FOR_EVER, NULL, 0, 0, NOW},
    {"memory_of_callees",
     "l: 0 0 0 0 0x1001 20000 STATICCALL POP" FOR_EVER,
     "145000 MLOAD",
     0,
     0,
     NOW},
    {"memory_at_every_level", "20000 MLOAD POP 0 0 0 0 ADDRESS GAS STATICCALL", NULL, 0, 0, NOW},
    {"mcopy", "65535 MLOAD l: 65504 0 1 MCOPY 65504 1 0 MCOPY" FOR_EVER, NULL, 0, 0, NOW},
    {"keccak", "l: 65536 0 KECCAK256 POP" FOR_EVER, NULL, 0, 0, NOW},
    {"keccak_short", "l: 1 0 KECCAK256 POP 1 0 KECCAK256 POP" FOR_EVER, NULL, 0, 0, NOW},
    {"codecopy_beyond", "l: 65536 0xffffffff 0 CODECOPY" FOR_EVER, NULL, 0, 0, NOW},
    {"extcodecopy", "l: 24576 0 0 0x1001 EXTCODECOPY" FOR_EVER, NULL, COH_OP_JUMPDEST, 24576, NOW},
    {"extcodecopy_nothing",
     "l: 0 0 0 0x1001 EXTCODECOPY" FOR_EVER,
     NULL,
     COH_OP_JUMPDEST,
     24576,
     NOW},
    /* return data */
    {"return_data",
     "0 0 0 0 0x1001 400000 STATICCALL l: RETURNDATASIZE 0 0 RETURNDATACOPY" FOR_EVER,
     "200000 0 RETURN",
     0,
     0,
     NOW},
    {"return_data_of_calls",
     "l: 50000 0 0 0 0x1001 50000 STATICCALL POP" FOR_EVER,
     "50000 0 RETURN",
     0,
     0,
     NOW},
    {"identity", "l: 65536 0 65536 0 4 50000 STATICCALL POP" FOR_EVER, NULL, 0, 0, NOW},
    {"log", "l: 65536 0 LOG0" WHILE_GAS, NULL, 0, 0, NOW},
    {"log_short", "l: 0 0 LOG0" WHILE_GAS, NULL, 0, 0, NOW},
    {"log_undone",
     "l: 0 0 0 0 0 0x1001 100000 CALL POP" WHILE_GAS,
     "8192 0 LOG0 0 0 REVERT",
     0,
     0,
     NOW},
    /* calls and creations */
    {"call_stop", "l: 0 0 0 0 0x1001 0 STATICCALL POP" FOR_EVER, "STOP", 0, 0, NOW},
    {"call_large_stop", "l: 0 0 0 0 0x1001 0 STATICCALL POP" FOR_EVER, NULL, 0, 24576, NOW},
    {"call_large_fails",
     "l: 0 0 0 0 0x1001 100 STATICCALL POP" FOR_EVER,
     NULL,
     COH_OP_PC,
     24576,
     NOW},
    {"call_large_fails_late",
     "l: 0 0 0 0 0x1001 100000 STATICCALL POP" FOR_EVER,
     "0x300000 MLOAD",
     COH_OP_NOT,
     24500,
     NOW},
    {"recursion", "0 0 0 0 ADDRESS GAS STATICCALL", NULL, 0, 0, NOW},
    {"recursion_again",
     "l: 0 0 0 0 0x1001 GAS STATICCALL POP" FOR_EVER,
     "0 0 0 0 ADDRESS GAS STATICCALL",
     0,
     0,
     NOW},
    {"create_empty", "l: 0 0 0 CREATE POP" WHILE_GAS, NULL, 0, 0, NOW},
    {"create_zeros", "l: 49152 0 0 CREATE POP" WHILE_GAS, NULL, 0, 0, NOW},
    {"create_jumpdests",
     "24576 0 0 0x1001 EXTCODECOPY 24576 0 24576 0x1001 EXTCODECOPY l: 0 0 MSTORE8 49152 0 0 "
     "CREATE POP" WHILE_GAS,
     NULL,
     COH_OP_JUMPDEST,
     24576,
     NOW},
    {"create_pushes",
     "24576 0 0 0x1001 EXTCODECOPY 24576 0 24576 0x1001 EXTCODECOPY l: 0 0 MSTORE8 49152 0 0 "
     "CREATE POP" WHILE_GAS,
     NULL,
     COH_OP_PUSH1,
     24576,
     NOW},
    {"create_gas",
     "24576 0 0 0x1001 EXTCODECOPY 24576 0 24576 0x1001 EXTCODECOPY l: 0 0 MSTORE8 49152 0 0 "
     "CREATE POP" WHILE_GAS,
     NULL,
     COH_OP_GAS,
     24576,
     NOW},
    {"create2", "0 l: DUP1 49152 0 0 CREATE2 POP 1 ADD" WHILE_GAS, NULL, 0, 0, NOW},
    {"create_large_homestead",
     "l: 1000000 0 0 CREATE POP" WHILE_GAS,
     NULL,
     0,
     0,
     COH_FORK_HOMESTEAD},
    {"create_deposit", "l: 0x6160006000f3 0 MSTORE 6 26 0 CREATE POP" WHILE_GAS, NULL, 0, 0, NOW},
    /* state */
    {"balance_cold", "0x10000 l: DUP1 BALANCE POP 1 ADD" FOR_EVER, NULL, 0, 0, NOW},
    {"balance_warm", "l: ADDRESS BALANCE POP ADDRESS BALANCE POP" FOR_EVER, NULL, 0, 0, NOW},
    {"balance_frontier",
     "0x10000 l: DUP1 BALANCE POP 1 ADD" FOR_EVER,
     NULL,
     0,
     0,
     COH_FORK_FRONTIER},
    {"sload_cold", "0 l: DUP1 SLOAD POP 1 ADD" FOR_EVER, NULL, 0, 0, NOW},
    {"sload_warm", "l: 0 SLOAD POP 0 SLOAD POP" FOR_EVER, NULL, 0, 0, NOW},
    {"sload_frontier", "0 l: DUP1 SLOAD POP 1 ADD" FOR_EVER, NULL, 0, 0, COH_FORK_FRONTIER},
    {"sstore_new", "0 l: 1 ADD DUP1 DUP1 SSTORE" WHILE_GAS, NULL, 0, 0, NOW},
    {"sstore_same", "l: GAS 0 SSTORE" WHILE_GAS, NULL, 0, 0, NOW},
    {"sstore_undone",
     "l: 0 0 0 0 0 0x1001 300000 CALL POP" FOR_EVER,
     "GAS 0 l: DUP2 DUP2 SSTORE 1 ADD 10000 GAS GT @l JUMPI 0 0 REVERT",
     0,
     0,
     NOW},
    {"tstore", "0 l: DUP1 DUP1 TSTORE 1 ADD" WHILE_GAS, NULL, 0, 0, NOW},
    {"tload", "0 l: DUP1 TLOAD POP 1 ADD" FOR_EVER, NULL, 0, 0, NOW},
    {"blockhash",
     "1 NUMBER SUB l: DUP1 BLOCKHASH POP DUP1 BLOCKHASH POP" FOR_EVER,
     NULL,
     0,
     0,
     NOW},
    {"transfers", "0x10000 l: 0 0 0 0 1 DUP6 0 CALL POP 1 ADD" WHILE_GAS, NULL, 0, 0, NOW},
    {"calls_frontier",
     "0x10000 l: 0 0 0 0 0 DUP6 0 CALLCODE POP 1 ADD" WHILE_GAS,
     NULL,
     0,
     0,
     COH_FORK_FRONTIER},
};

static void put_code(coh_memview_t *mv, uint64_t number, coh_buf_t const *code)
{
    coh_u256_t balance = {{0, 1, 0, 0}};
    coh_addr_t addr    = coh_vm_addr(number);
    coh_memview_put_account(mv, &addr, 1, &balance, coh_buf_bytes(code));
}

static coh_memview_t *make_world(attack_t const *a)
{
    coh_memview_t *mv  = coh_memview_new(&coh_code_coder, a->fork);
    coh_addr_t sender  = coh_vm_addr(SENDER);
    coh_u256_t balance = {{0, 1, 0, 0}};
    coh_buf_t code     = COH_BUF_INIT;
    coh_memview_put_account(mv, &sender, 0, &balance, coh_bytes(NULL, 0));
    coh_test_asm(&code, a->text);
    bool behind = a->helper == NULL && strstr(a->text, "0x1001") == NULL;
    if (behind) {
        memset(coh_buf_extend(&code, a->size), a->fill, a->size);
        if (a->size != 0) { /* and back to the beginning */
            coh_buf_put(&code, "\x5f\x56", 2);
        }
    }
    put_code(mv, SELF, &code);
    coh_test_asm(&code, a->helper != NULL ? a->helper : "");
    if (!behind) {
        memset(coh_buf_extend(&code, a->size), a->fill, a->size);
    }
    put_code(mv, HELPER, &code);
    coh_buf_free(&code);
    return mv;
}

typedef struct {
    double ns_per_gas;
    uint64_t gas_used;
    size_t held; /* by the transition, while its outcome is readable */
} cost_t;

static cost_t run(attack_t const *a, uint64_t gas)
{
    coh_memview_t *mv           = make_world(a);
    coh_transition_t *t         = coh_transition_new();
    coh_addr_t const sender     = coh_vm_addr(SENDER);
    coh_block_env_t const block = {.number    = 1000000,
                                   .timestamp = 1700000000,
                                   .gas_limit = UINT64_C(1) << 40,
                                   .chain_id  = 1,
                                   .coinbase  = coh_vm_addr(0xc0ffee),
                                   .fork      = a->fork};
    coh_tx_t tx                 = {.to = coh_vm_addr(SELF), .gas_limit = gas};
    uint64_t start              = coh_clock_thread_cpu_ns();
    coh_transition_begin(t, &block, &tx, &sender, coh_memview_view(mv));
    COH_ASSERT(coh_transition_run(t) == COH_TRANSITION_DONE);
    coh_outcome_t const *out = coh_transition_outcome(t);
    uint64_t ns              = coh_clock_thread_cpu_ns() - start;
    COH_ASSERT(out->verdict == COH_TX_OK);
    cost_t cost = {.ns_per_gas = (double)ns / (double)out->gas_used,
                   .gas_used   = out->gas_used,
                   .held       = coh_transition_bytes(t)};
    coh_transition_free(t);
    coh_memview_free(mv);
    return cost;
}

static void report(attack_t const *a, uint64_t gas)
{
    (void)run(a, gas / 100); /* warms the processor's caches, and finds blunders */
    cost_t few  = run(a, gas / 10);
    cost_t most = run(a, gas);
    struct rusage usage;
    COH_ASSERT(getrusage(RUSAGE_SELF, &usage) == 0);
    printf("{\"bench\":\"evm_worst\",\"attack\":\"%s\",\"fork\":\"%s\",\"gas\":%llu,\"ns_per_gas_"
           "tenth\":%.3f,"
           "\"ns_per_gas\":%.3f,\"ratio\":%.2f,\"held_kib\":%zu,\"peak_kib\":%ld}\n",
           a->name,
           coh_fork_name(a->fork),
           (unsigned long long)most.gas_used,
           few.ns_per_gas,
           most.ns_per_gas,
           most.ns_per_gas / few.ns_per_gas,
           most.held / 1024,
           usage.ru_maxrss);
}

int main(int argc, char **argv)
{
    uint64_t gas = argc > 1 ? strtoull(argv[1], NULL, 10) : 30000000;
    if (gas < 10000000 || gas > UINT64_C(1) << 40) {
        fprintf(stderr, "usage: %s [GAS, ten million or more [NAME]]\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < COH_CNT(attacks); i++) {
        if (argc > 2 && strcmp(argv[2], attacks[i].name) != 0) {
            continue;
        }
        (void)fflush(stdout);
        pid_t child = fork(); /* so that each has a peak of its own */
        COH_ASSERT(child >= 0);
        if (child == 0) {
            report(&attacks[i], gas);
            (void)fflush(stdout);
            _exit(0);
        }
        int status;
        COH_ASSERT(waitpid(child, &status, 0) == child && status == 0);
    }
    return 0;
}
