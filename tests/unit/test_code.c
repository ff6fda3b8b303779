/* Code analysis: blocks, what they cost and need, jump destinations. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/crypto/keccak.h"
#include "common/evm/code.h"
#include "common/evm/opcodes.h"
#include "tests/support/evmasm.h"

static coh_code_t *code_of(char const *text, coh_fork_t fork)
{
    coh_buf_t bytes = COH_BUF_INIT;
    coh_test_asm(&bytes, text);
    coh_code_t *code = coh_code_new(coh_buf_bytes(&bytes), fork, NULL);
    coh_buf_free(&bytes);
    return code;
}

static void assert_block(coh_code_t const *code,
                         uint32_t pc,
                         uint64_t gas,
                         uint32_t need,
                         uint32_t growth)
{
    assert_true(coh_code_begins_block(code, pc));
    coh_code_block_t block = coh_code_block(code, pc);
    if (block == COH_CODE_BLOCK_UNKNOWN) {
        coh_code_see(code, pc);
        assert_true(coh_code_block(code, pc) == COH_CODE_BLOCK_SEEN);
        block = coh_code_add_up(code, pc);
    }
    assert_int_equal(COH_CODE_BLOCK_GAS(block), gas);
    assert_int_equal(COH_CODE_BLOCK_NEED(block), need);
    assert_int_equal(COH_CODE_BLOCK_GROWTH(block), growth);
    assert_true(coh_code_block(code, pc) == block); /* it is known from now on */
}

/* Blocks begin exactly at these positions; the list ends with UINT32_MAX. */
static void assert_blocks_at(coh_code_t const *code, uint32_t const *at)
{
    uint32_t cnt = 0;
    for (uint32_t pc = 0; pc <= code->size; pc++) {
        bool wanted = *at == pc;
        assert_int_equal(coh_code_begins_block(code, pc), wanted);
        at += wanted;
        cnt += wanted;
    }
    assert_int_equal(*at, UINT32_MAX);
    assert_int_equal(code->block_cnt, cnt);
}

#define ASSERT_BLOCKS_AT(code, ...) \
    assert_blocks_at(code, (uint32_t const[]){__VA_ARGS__, UINT32_MAX})

static void code_straight(void **state)
{
    (void)state;
    /* 3 + 3 + 3 + 3 + 3 + 0; [0] pushes, ADD, DUP1, MSTORE needs one from below */
    coh_code_t *code = code_of("1 2 ADD DUP1 MSTORE STOP", COH_FORK_OSAKA);
    ASSERT_BLOCKS_AT(code, 0);
    assert_block(code, 0, 15, 0, 2);
    coh_code_unref(code);

    code = code_of("ADD POP POP 1 1 1 SWAP3 RETURN", COH_FORK_OSAKA);
    assert_block(code, 0, 3 + 2 + 2 + 9 + 3 + 0, 4, 0); /* SWAP3 of 3 pushed wants the fourth */
    coh_code_unref(code);

    code = code_of("POP POP POP POP POP 1 2 3 CALLER 7 8 9", COH_FORK_OSAKA);
    assert_block(code, 0, 10 + 9 + 2 + 9, 5, 2);
    coh_code_unref(code);
}

static void code_cuts(void **state)
{
    (void)state;
    /*                     0 2 4     5 6   7 8      9 */
    coh_code_t *code = code_of("1 2 SSTORE 3 GAS ADD JUMPI PC CALL POP", COH_FORK_OSAKA);
    /* 0:60 2:60 4:55 | 5:60 7:5a | 8:01 9:57 | 10:58 11:f1 | 12:50 end */
    ASSERT_BLOCKS_AT(code, 0, 5, 8, 10, 12);
    assert_block(code, 0, 6, 0, 2);
    assert_block(code, 5, 5, 0, 2);
    assert_block(code, 8, 3 + 10, 3, 0);
    assert_block(code, 10, 2 + 100, 6, 1);
    assert_block(code, 12, 2, 1, 0);
    coh_code_unref(code);

    code = code_of("CREATE CREATE2 CALLCODE DELEGATECALL STATICCALL GAS SSTORE", COH_FORK_OSAKA);
    ASSERT_BLOCKS_AT(code, 0, 1, 2, 3, 4, 5, 6, 7);
    assert_block(code, 0, 32000, 3, 0);
    assert_block(code, 1, 32000, 4, 0);
    assert_block(code, 2, 100, 7, 0);
    assert_block(code, 3, 100, 6, 0);
    assert_block(code, 4, 100, 6, 0);
    assert_block(code, 5, 2, 0, 1);
    assert_block(code, 6, 0, 2, 0);
    assert_block(code, 7, 0, 0, 0); /* off the end: STOP */
    coh_code_unref(code);
}

static void code_dead(void **state)
{
    (void)state;
    static char const *const last[] = {
        "STOP", "JUMP", "RETURN", "REVERT", "INVALID", "SELFDESTRUCT", ".0c"};
    static uint64_t const gas[]  = {0, 8, 0, 0, 0, 5000, 0};
    static uint32_t const need[] = {0, 1, 2, 2, 0, 1, 0};
    for (size_t i = 0; i < COH_CNT(last); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "%s ADD ADD x: PC", last[i]);
        coh_code_t *code = code_of(text, COH_FORK_OSAKA);
        ASSERT_BLOCKS_AT(code, 0, 3);
        assert_block(code, 0, gas[i], need[i], 0);
        assert_block(code, 3, 1 + 2, 0, 1);
        coh_code_unref(code);
    }
}

static void code_destinations(void **state)
{
    (void)state;
    /* 0:5b | 1:60 5b 3:50 | 4:5b | 5:5b | 6:57 | 7:5b (one block, though cut and destination) 8:62 5b5b5b 12:5b */
    coh_code_t *code = code_of("a: .605b POP b: c: JUMPI d: .625b5b5b e:", COH_FORK_OSAKA);
    ASSERT_BLOCKS_AT(code, 0, 4, 5, 7, 12);
    /* Each goes on through the destinations behind it. */
    assert_block(code, 0, 1 + 3 + 2 + 1 + 1 + 10, 2, 1);
    assert_block(code, 4, 1 + 1 + 10, 2, 0);
    assert_block(code, 5, 1 + 10, 2, 0);
    assert_block(code, 7, 1 + 3 + 1, 0, 1);
    assert_block(code, 12, 1, 0, 0);
    coh_code_unref(code);
    /* PUSH32 hides 32 of them, each PUSH as many as it is wide. */
    for (uint32_t n = 1; n <= 32; n++) {
        uint8_t bytes[40];
        memset(bytes, 0x5b, sizeof(bytes));
        bytes[0] = (uint8_t)(0x5f + n);
        code     = coh_code_new(coh_bytes(bytes, sizeof(bytes)), COH_FORK_FRONTIER, NULL);
        for (uint32_t pc = 1; pc < sizeof(bytes); pc++) {
            assert_int_equal(coh_code_begins_block(code, pc), pc > n);
        }
        coh_code_unref(code);
    }
}

/* Pushes whose data the code's end cuts off read zeros there, and what follows is STOP. */
static void code_ends_in_push(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 32; n++) {
        for (uint32_t have = 0; have <= n; have++) {
            uint8_t bytes[33];
            memset(bytes, 0x5b, sizeof(bytes));
            bytes[0]         = (uint8_t)(0x5f + n);
            coh_code_t *code = coh_code_new(coh_bytes(bytes, 1 + have), COH_FORK_OSAKA, NULL);
            ASSERT_BLOCKS_AT(code, 0);
            assert_block(code, 0, 3, 0, 1);
            for (uint32_t i = 0; i < COH_CODE_PAD; i++) {
                assert_int_equal(code->bytes[code->size + i], 0);
            }
            coh_code_unref(code);
        }
    }
}

static void code_empty(void **state)
{
    (void)state;
    coh_code_t *code = coh_code_new(coh_bytes(NULL, 0), COH_FORK_OSAKA, NULL);
    assert_int_equal(code->size, 0);
    ASSERT_BLOCKS_AT(code, 0);
    assert_block(code, 0, 0, 0, 0);
    coh_code_unref(code);
    coh_code_unref(NULL);
}

/* What the stack can never hold is cut off at 1025. */
static void code_stack_bounds(void **state)
{
    (void)state;
    static uint32_t const cnts[] = {1023, 1024, 1025, 1026, 5000, 24576};
    for (size_t i = 0; i < COH_CNT(cnts); i++) {
        uint32_t n     = cnts[i];
        uint32_t bound = n < 1025 ? n : 1025;
        uint8_t *bytes = coh_calloc(1, n);
        memset(bytes, COH_OP_ADDRESS, n);
        coh_code_t *code = coh_code_new(coh_bytes(bytes, n), COH_FORK_OSAKA, NULL);
        assert_block(code, 0, 2 * (uint64_t)n, 0, bound);
        coh_code_unref(code);
        memset(bytes, COH_OP_POP, n);
        code = coh_code_new(coh_bytes(bytes, n), COH_FORK_OSAKA, NULL);
        assert_block(code, 0, 2 * (uint64_t)n, bound, 0);
        coh_code_unref(code);
        memset(bytes, COH_OP_LOG4, n); /* much gas in one block */
        code = coh_code_new(coh_bytes(bytes, n), COH_FORK_OSAKA, NULL);
        assert_block(code, 0, 1875 * (uint64_t)n, 6 * n < 1025 ? 6 * n : 1025, 0);
        coh_code_unref(code);
        free(bytes);
    }
}

/* Beyond 32768 positions, where numbers of blocks start anew; with a block at every position, and with none for long. */
static void code_large(void **state)
{
    (void)state;
    static uint32_t const sizes[] = {32767, 32768, 32769, 65535, 65536, 65537, 200000};
    for (size_t i = 0; i < COH_CNT(sizes); i++) {
        uint32_t n     = sizes[i];
        uint8_t *bytes = coh_calloc(1, n);
        memset(bytes, COH_OP_JUMPDEST, n);
        coh_code_t *code = coh_code_new(coh_bytes(bytes, n), COH_FORK_HOMESTEAD, NULL);
        assert_int_equal(code->block_cnt, n);
        for (uint32_t pc = 0; pc < n; pc++) {
            assert_true(coh_code_begins_block(code, pc));
        }
        assert_false(coh_code_begins_block(code, n));
        assert_block(code, n - 1, 1, 0, 0);
        assert_block(code, 0, 15, 0, 0); /* every 16th ends those that run into it */
        assert_block(code, 14, 1, 0, 0);
        assert_block(code, 15, 16, 0, 0);
        assert_block(code, 30, 1, 0, 0);
        assert_block(code, 32752, 15, 0, 0);
        coh_code_unref(code);

        memset(bytes, COH_OP_PC, n);
        bytes[n - 1] = COH_OP_JUMPDEST;
        code         = coh_code_new(coh_bytes(bytes, n), COH_FORK_HOMESTEAD, NULL);
        ASSERT_BLOCKS_AT(code, 0, n - 1);
        assert_block(code, n - 1, 1, 0, 0);
        assert_block(code, 0, 2 * (uint64_t)(n - 1) + 1, 0, 1025);
        coh_code_unref(code);

        /* Different blocks on both sides of each border. */
        for (uint32_t pc = 0; pc < n; pc++) {
            bytes[pc] = pc % 3 == 0 ? COH_OP_JUMPDEST : pc % 3 == 1 ? COH_OP_PC : COH_OP_GAS;
        }
        code = coh_code_new(coh_bytes(bytes, n), COH_FORK_HOMESTEAD, NULL);
        for (uint32_t pc = 0; pc + 3 <= n; pc += 3) {
            assert_block(code, pc, 5, 0, 2);
        }
        assert_int_equal(code->block_cnt, n / 3 + 1);
        coh_code_unref(code);
        free(bytes);
    }
}

/* Opcodes that this fork does not have, known to a later one or to none, also those that stand for sequences, are INVALID in what is run once
   their block is added up, and as they were in what is read. */
static void code_older_forks(void **state)
{
    (void)state;
    coh_code_t *code = code_of("PUSH0 SHL x: .0c y: SELFBALANCE z: .db", COH_FORK_BYZANTIUM);
    static uint8_t const bytes[] = {0x5f, 0x1b, 0x5b, 0x0c, 0x5b, 0x47, 0x5b, 0xdb};
    static uint8_t const exec[]  = {0xfe, 0x1b, 0x5b, 0xfe, 0x5b, 0xfe, 0x5b, 0xfe};
    assert_memory_equal(code->exec, bytes, sizeof(bytes));
    ASSERT_BLOCKS_AT(code, 0, 2, 4, 6);
    assert_block(code, 0, 0, 0, 0);
    assert_block(code, 2, 1, 0, 0);
    assert_block(code, 4, 1, 0, 0);
    assert_block(code, 6, 1, 0, 0);
    assert_memory_equal(code->bytes, bytes, sizeof(bytes));
    assert_memory_equal(code->exec, exec, sizeof(exec));
    for (uint32_t i = 0; i < COH_CODE_PAD; i++) {
        assert_int_equal(code->exec[sizeof(exec) + i], 0);
    }
    assert_true(coh_code_bytes(code) >= sizeof(*code) + 2 * (sizeof(bytes) + COH_CODE_PAD));
    coh_code_unref(code);

    code = code_of("PUSH0 SHL x: .0c y: SELFBALANCE", COH_FORK_SHANGHAI);
    assert_block(code, 0, 2 + 3 + 1, 1, 1);
    assert_memory_equal(code->exec, "\x5f\x1b\x5b\xfe\x5b\x47", 6);
    coh_code_unref(code);

    /* An undefined octet is no push, whatever it will be once: what follows it is seen. */
    code = code_of("1 CLZ x: TLOAD y:", COH_FORK_SHANGHAI);
    ASSERT_BLOCKS_AT(code, 0, 3, 5);
    coh_code_unref(code);
    /* In push data they are data. */
    code = code_of(".621e5f5c .600c", COH_FORK_FRONTIER);
    assert_block(code, 0, 6, 0, 2);
    assert_memory_equal(code->exec, "\x62\x1e\x5f\x5c\x60\x0c", 6);
    coh_code_unref(code);
}

/* Sequences begin with the opcode that stands for them once their block is added up; everything else stays. */
static void code_sequences(void **state)
{
    (void)state;
    static struct {
        char const *text;
        uint8_t fused;
        coh_fork_t since;
    } const cases[] = {
        {"@x JUMP x:", COH_FUSED_PUSH2_JUMP, COH_FORK_FRONTIER},
        {"@x JUMPI x:", COH_FUSED_PUSH2_JUMPI, COH_FORK_FRONTIER},
        {"ISZERO @x JUMPI x:", COH_FUSED_ISZERO_PUSH2_JUMPI, COH_FORK_FRONTIER},
        {"DUP1 0x11223344 EQ @x JUMPI x:", COH_FUSED_SELECTOR_JUMPI, COH_FORK_FRONTIER},
        {"5 ADD", COH_FUSED_PUSH1_ADD, COH_FORK_FRONTIER},
        {"5 SHL", COH_FUSED_PUSH1_SHL, COH_FORK_CONSTANTINOPLE},
        {"5 SHR", COH_FUSED_PUSH1_SHR, COH_FORK_CONSTANTINOPLE},
        {"5 MLOAD", COH_FUSED_PUSH1_MLOAD, COH_FORK_FRONTIER},
        {"5 MSTORE", COH_FUSED_PUSH1_MSTORE, COH_FORK_FRONTIER},
        {"500 MLOAD", COH_FUSED_PUSH2_MLOAD, COH_FORK_FRONTIER},
        {"500 MSTORE", COH_FUSED_PUSH2_MSTORE, COH_FORK_FRONTIER},
        {"SWAP1 POP", COH_FUSED_SWAP1_POP, COH_FORK_FRONTIER},
        {"SWAP2 POP", COH_FUSED_SWAP2_POP, COH_FORK_FRONTIER},
        {"SWAP3 POP", COH_FUSED_SWAP3_POP, COH_FORK_FRONTIER},
        {"POP POP", COH_FUSED_POP_POP, COH_FORK_FRONTIER},
        {"DUP2 MSTORE", COH_FUSED_DUP2_MSTORE, COH_FORK_FRONTIER},
        {"ADD MLOAD", COH_FUSED_ADD_MLOAD, COH_FORK_FRONTIER},
        {"1 1 160 SHL SUB", COH_FUSED_ADDRESS_MASK, COH_FORK_CONSTANTINOPLE},
        {"1 1 160 SHL SUB AND", COH_FUSED_ADDRESS_MASK_AND, COH_FORK_CONSTANTINOPLE},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        for (unsigned fork = 0; fork < COH_FORK_CNT; fork++) {
            coh_code_t *code = code_of(cases[i].text, (coh_fork_t)fork);
            assert_memory_equal(code->exec, code->bytes, code->size + COH_CODE_PAD);
            coh_code_see(code, 0);
            (void)coh_code_add_up(code, 0);
            if (fork >= cases[i].since) {
                assert_int_equal(code->exec[0], cases[i].fused);
            } else {
                assert_int_equal(code->exec[0], code->bytes[0]);
            }
            assert_memory_equal(code->exec + code->size, code->bytes + code->size, COH_CODE_PAD);
            coh_code_unref(code);
        }
    }
    /* What only looks like one: jumps that do not arrive, other constants, sequences that the end cuts off, data. */
    static char const *const none[] = {"PUSH2 4 JUMP 1",
                                       "PUSH2 0xffff JUMPI x:",
                                       "PUSH2 5 JUMP .605b",
                                       "ISZERO PUSH2 4 JUMPI x:",
                                       "DUP1 0x11223344 EQ PUSH2 3 JUMPI x:",
                                       "DUP1 0x112233 EQ @x JUMPI x:",
                                       "1 2 160 SHL SUB",
                                       "1 1 161 SHL SUB",
                                       "PUSH1 5",
                                       ".60",
                                       "SWAP4 POP",
                                       ".6250525b",
                                       "DUP1 MSTORE"};
    for (size_t i = 0; i < COH_CNT(none); i++) {
        coh_code_t *code = code_of(none[i], COH_FORK_OSAKA);
        coh_code_see(code, 0);
        (void)coh_code_add_up(code, 0);
        assert_int_equal(code->exec[0], code->bytes[0]);
        coh_code_unref(code);
    }
}

/* EIP-7702. */
static void code_delegation(void **state)
{
    (void)state;
    static char const designator[] = ".ef010000112233445566778899aabbccddeeff00112233";
    coh_code_t *code               = code_of(designator, COH_FORK_PRAGUE);
    assert_true(code->is_delegation);
    assert_int_equal(code->size, 23);
    static uint8_t const delegate[20] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
                                         0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
                                         0xee, 0xff, 0x00, 0x11, 0x22, 0x33};
    assert_memory_equal(code->delegate.b, delegate, 20);
    coh_code_unref(code);
    code = code_of(designator, COH_FORK_CANCUN);
    assert_false(code->is_delegation);
    coh_code_unref(code);
    static char const *const others[] = {
        ".ef010000112233445566778899aabbccddeeff001122",     /* too short */
        ".ef010000112233445566778899aabbccddeeff0011223344", /* too long */
        ".ef010100112233445566778899aabbccddeeff00112233",   /* another version */
        ".ef000000112233445566778899aabbccddeeff00112233",
        ".ee010000112233445566778899aabbccddeeff00112233",
    };
    for (size_t i = 0; i < COH_CNT(others); i++) {
        code = code_of(others[i], COH_FORK_OSAKA);
        assert_false(code->is_delegation);
        coh_code_unref(code);
    }
}

static void code_keeps_hash_and_bytes(void **state)
{
    (void)state;
    uint8_t bytes[3] = {0x60, 0x5b, 0x00};
    coh_hash_t hash;
    coh_keccak256(&hash, bytes, sizeof(bytes));
    coh_code_t *code = coh_code_new(coh_bytes(bytes, sizeof(bytes)), COH_FORK_OSAKA, &hash);
    memset(bytes, 0xaa, sizeof(bytes)); /* it has a copy */
    assert_memory_equal(code->bytes, "\x60\x5b\x00", 3);
    assert_true(coh_hash_eq(&code->hash, &hash));
    assert_ptr_equal(coh_code_ref(code), code);
    coh_code_unref(code);
    assert_memory_equal(code->bytes, "\x60\x5b\x00", 3);
    coh_code_unref(code);
}

/* What the end of a block costs, up to where it ends: a cut, an end, the 16th destination, the end of the code. */
static void code_rest(void **state)
{
    (void)state;
    coh_code_t *code = code_of("1 2 ADD PC GAS PC PC JUMP PC", COH_FORK_OSAKA);
    coh_code_see(code, 0);
    (void)coh_code_add_up(code, 0);
    assert_int_equal(coh_code_rest(code, 0), 3 + 3 + 3 + 2 + 2);
    assert_int_equal(coh_code_rest(code, 4), 3 + 2 + 2);
    assert_int_equal(coh_code_rest(code, 6), 2);
    assert_int_equal(coh_code_rest(code, 7), 2 + 2 + 8);
    assert_int_equal(coh_code_rest(code, 9), 8);
    coh_code_unref(code);
    uint8_t bytes[40];
    memset(bytes, COH_OP_JUMPDEST, sizeof(bytes));
    bytes[0]  = COH_OP_PC;
    bytes[3]  = COH_OP_PC;
    bytes[39] = COH_OP_PUSH32;
    code      = coh_code_new(coh_bytes(bytes, sizeof(bytes)), COH_FORK_OSAKA, NULL);
    /* the 16th block begins at 16, the 32nd at 32 */
    coh_code_block_t first = coh_code_add_up(code, 0);
    assert_int_equal(COH_CODE_BLOCK_GAS(first), coh_code_rest(code, 0));
    assert_int_equal(coh_code_rest(code, 0), 2 + 2 + 2 + 12);
    assert_int_equal(coh_code_rest(code, 3), 2 + 12);
    assert_int_equal(coh_code_rest(code, 15), 1);
    assert_int_equal(coh_code_rest(code, 17), 15);
    assert_int_equal(coh_code_rest(code, 39), 3);
    assert_int_equal(coh_code_rest(code, 40), 0);
    coh_code_unref(code);
}

/* Against a plain walk over random octets: block starts, and what each block adds up to. */
static void code_random(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 20251126);
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[300];
        uint32_t n      = (uint32_t)coh_rng_below(&rng, sizeof(bytes));
        coh_fork_t fork = (coh_fork_t)coh_rng_below(&rng, COH_FORK_CNT);
        for (uint32_t i = 0; i < n; i++) {
            static uint8_t const often[] = {0x5b, 0x55, 0x57, 0x5a, 0x56, 0x60, 0x61, 0x01, 0x80};
            bytes[i] = coh_rng_percent(&rng, 60) ? often[coh_rng_below(&rng, sizeof(often))]
                                                 : (uint8_t)coh_rng_next(&rng);
        }
        coh_opcode_row_t const *rows = coh_opcode_rows(fork);
        coh_code_t *code             = coh_code_new(coh_bytes(bytes, n), fork, NULL);
        uint32_t number[sizeof(bytes)]; /* of the block that begins here, from 1 */
        uint32_t cnt = 0;
        bool begins  = true; /* for certain: behind a cut */
        for (uint32_t pc = 0; pc < n; pc += 1u + rows[bytes[pc]].imm) {
            bool here = coh_code_begins_block(code, pc);
            assert_int_equal(here, begins || bytes[pc] == COH_OP_JUMPDEST);
            begins     = rows[bytes[pc]].ends == COH_OP_CUT;
            number[pc] = here ? ++cnt : 0;
        }
        for (uint32_t pc = 0; pc < n; pc += 1u + rows[bytes[pc]].imm) {
            if (number[pc] == 0) {
                continue;
            }
            uint64_t gas = 0;
            int height = 0, need = 0, growth = 0;
            for (uint32_t at = pc; at < n; at += 1u + rows[bytes[at]].imm) {
                coh_opcode_row_t const *row = &rows[bytes[at]];
                if (at != pc && bytes[at] == COH_OP_JUMPDEST && number[at] % 16 == 0) {
                    break;
                }
                gas += row->gas;
                need = row->pops - height > need ? row->pops - height : need;
                height += row->push - row->pops;
                growth = height > growth ? height : growth;
                if (row->ends == COH_OP_CUT || row->ends == COH_OP_LAST) {
                    break;
                }
            }
            assert_block(code, pc, gas, (uint32_t)need, (uint32_t)growth);
        }
        coh_code_unref(code);
    }
}

/* Several threads add up the blocks of one code. */
static void *add_up_all(void *arg)
{
    coh_code_t const *code = arg;
    for (uint32_t pc = 0; pc < code->size; pc++) {
        if (coh_code_begins_block(code, pc) && coh_code_block(code, pc) == COH_CODE_BLOCK_UNKNOWN) {
            (void)coh_code_add_up(code, pc);
        }
    }
    coh_code_unref(code);
    return NULL;
}

static void code_threads(void **state)
{
    (void)state;
    uint8_t *bytes = coh_calloc(1, 24576);
    for (uint32_t i = 0; i < 24576; i++) {
        bytes[i] = i % 2 == 0 ? COH_OP_JUMPDEST : COH_OP_PC;
    }
    coh_code_t *code = coh_code_new(coh_bytes(bytes, 24576), COH_FORK_OSAKA, NULL);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        coh_code_t const *ref = coh_code_ref(code);
        assert_int_equal(pthread_create(&threads[i], NULL, add_up_all, (void *)(uintptr_t)ref), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (uint32_t pc = 0; pc < 24576; pc += 2) {
        uint64_t cnt =
            16 - (pc / 2 + 1) % 16; /* of pairs up to where the next block ends it, or the code */
        cnt = COH_MIN(cnt, (24576 - pc) / 2);
        assert_true(coh_code_block(code, pc) == (3 * cnt | cnt << 52));
    }
    coh_code_unref(code);
    free(bytes);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(code_straight),
        cmocka_unit_test(code_cuts),
        cmocka_unit_test(code_dead),
        cmocka_unit_test(code_destinations),
        cmocka_unit_test(code_ends_in_push),
        cmocka_unit_test(code_empty),
        cmocka_unit_test(code_stack_bounds),
        cmocka_unit_test(code_large),
        cmocka_unit_test(code_older_forks),
        cmocka_unit_test(code_sequences),
        cmocka_unit_test(code_delegation),
        cmocka_unit_test(code_keeps_hash_and_bytes),
        cmocka_unit_test(code_rest),
        cmocka_unit_test(code_random),
        cmocka_unit_test(code_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
