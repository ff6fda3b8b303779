/* fuzz_evm: a few contracts that call each other, and transactions to them, executed by the fast loop and by the switch loop, each over a
   view that has everything at hand and over one that answers every first question by "not yet", and once more with a tracer. What the
   transactions leave behind, and what they read, must be the same.

   The first octet of the input says how it is read: as the choices of a generator of mostly valid programs (when it runs out, random ones
   seeded by it go on), as a seed of that generator and patches to what it makes, or as code as it stands. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/assert.h"
#include "common/base/rng.h"
#include "common/evm/code.h"
#include "common/evm/gas.h"
#include "common/evm/opcodes.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/vm.h"

enum {
    CONTRACT_CNT = 4,
    CODE_MAX     = 3000,
    TX_CNT       = 3,
    DATA_MAX     = 96,
    NEST_MAX     = 2, /* loops and branches inside each other */
    INIT_MAX     = 2, /* init code inside init code */
};

/* ---- choices ---- */

typedef struct {
    coh_bytes_t in;
    size_t at;
    coh_rng_t rng;
    coh_fork_t fork;
} dice_t;

static uint8_t octet(dice_t *d)
{
    return d->at < d->in.n ? d->in.p[d->at++] : (uint8_t)coh_rng_next(&d->rng);
}

/* 0..bound-1; bound at most 65536. */
static uint32_t roll(dice_t *d, uint32_t bound)
{
    uint32_t v = octet(d);
    if (bound > 256) {
        v = v << 8 | octet(d);
    }
    return v % bound;
}

static bool one_in(dice_t *d, uint32_t bound) { return roll(d, bound) == bound / 2; }

/* ---- programs ---- */

typedef struct {
    uint8_t code[CODE_MAX];
    uint32_t n;
    uint32_t height; /* items on the stack here */
    uint32_t nest;
    uint32_t init; /* how deep inside init code */
    uint32_t base; /* where the code of which this is part begins */
} program_t;

static void put(program_t *p, uint32_t opcode)
{
    if (p->n < CODE_MAX) {
        p->code[p->n++] = (uint8_t)opcode;
    }
}

static void adjust(program_t *p, uint32_t pops, uint32_t pushes)
{
    p->height -= COH_MIN(p->height, pops);
    p->height += pushes;
}

/* An instruction of d's fork. Others only now and then, as they end the program: else something with the same effect on the stack. */
static void op(program_t *p, dice_t *d, uint32_t opcode)
{
    coh_opcode_row_t const *row = &coh_opcode_rows(COH_FORK_OSAKA)[opcode];
    if (coh_opcode_rows(d->fork)[opcode].defined || one_in(d, 200)) {
        put(p, opcode);
    } else {
        for (uint32_t i = 0; i < row->pops; i++) {
            put(p, COH_OP_POP);
        }
        for (uint32_t i = 0; i < row->push; i++) {
            put(p, COH_OP_NUMBER);
        }
    }
    adjust(p, row->pops, row->push);
}

static void push(program_t *p, uint64_t v)
{
    uint32_t n = 1;
    while (n < 8 && v >> (8 * n) != 0) {
        n++;
    }
    put(p, COH_OP_PUSH1 + n - 1);
    while (n-- != 0) {
        put(p, (uint8_t)(v >> (8 * n)));
    }
    p->height++;
}

static void push_edge(program_t *p, dice_t *d)
{
    uint32_t n = 1 + roll(d, 32);
    put(p, COH_OP_PUSH1 + n - 1);
    uint8_t const fill = roll(d, 2) == 0 ? 0x00 : 0xff;
    for (uint32_t i = 0; i < n; i++) {
        bool edge = i == 0 || i == n - 1;
        put(p, edge ? octet(d) : fill);
    }
    p->height++;
}

static uint64_t const addresses[] = {
    0x1000, 0x1001, 0x1002, 0x1003, /* the contracts */
    0x2000,                         /* has a balance */
    0x2001,                         /* does not exist */
    0x3000, 0x3001, 0x3002, 0x3003, /* delegate to a contract, themselves, a precompile, each other */
    0x4000,                         /* the coinbase */
    0x5000,                         /* the sender */
    0x6000,                         /* exists, and is empty */
    1,      2,      3,      4,      5, 6, 7, 8, 9, 10, 11, 17, 256,
};

static void push_address(program_t *p, dice_t *d)
{
    uint32_t which = roll(d, 40);
    if (which < 16) {
        push(p, addresses[which % CONTRACT_CNT]);
    } else if (which == 16) {
        op(p, d, COH_OP_ADDRESS);
    } else if (which == 17) {
        op(p, d, COH_OP_CALLER);
    } else if (which == 18 && p->height != 0) {
        op(p, d, COH_OP_DUP1); /* perhaps what a creation gave */
    } else if (which == 19) {
        push_edge(p, d);
    } else {
        push(p, addresses[roll(d, COH_CNT(addresses))]);
    }
}

static void push_offset(program_t *p, dice_t *d)
{
    uint32_t kind = roll(d, 256);
    if (kind < 240) {
        push(p, roll(d, 160));
    } else if (kind < 254) {
        push(p, roll(d, 20000));
    } else {
        push_edge(p, d);
    }
}

static void push_size(program_t *p, dice_t *d)
{
    uint32_t kind = roll(d, 256);
    if (kind < 64) {
        push(p, 32);
    } else if (kind < 96) {
        push(p, 0);
    } else if (kind < 250) {
        push(p, roll(d, 130));
    } else if (kind < 254) {
        push(p, roll(d, 5000));
    } else {
        push_edge(p, d);
    }
}

static void push_slot(program_t *p, dice_t *d) { push(p, roll(d, 5)); }

/* Leaves one more item on the stack. */
static void push_value(program_t *p, dice_t *d)
{
    static uint8_t const plain[] = {COH_OP_ADDRESS,        COH_OP_ORIGIN,      COH_OP_CALLER,
                                    COH_OP_CALLVALUE,      COH_OP_GASPRICE,    COH_OP_CALLDATASIZE,
                                    COH_OP_CODESIZE,       COH_OP_COINBASE,    COH_OP_TIMESTAMP,
                                    COH_OP_NUMBER,         COH_OP_PREVRANDAO,  COH_OP_GASLIMIT,
                                    COH_OP_CHAINID,        COH_OP_SELFBALANCE, COH_OP_BASEFEE,
                                    COH_OP_BLOBBASEFEE,    COH_OP_PC,          COH_OP_MSIZE,
                                    COH_OP_RETURNDATASIZE, COH_OP_PUSH0,       COH_OP_CALLDATASIZE};
    switch (roll(d, 16)) {
    case 0:
    case 1:
    case 2: push(p, roll(d, 4)); break;
    case 3: push(p, roll(d, 300)); break;
    case 4:
    case 5: push_edge(p, d); break;
    case 6:
    case 7: op(p, d, plain[roll(d, COH_CNT(plain))]); break;
    case 8: op(p, d, COH_OP_GAS); break;
    case 9:
        push_offset(p, d);
        op(p, d, COH_OP_MLOAD);
        break;
    case 10:
        push_slot(p, d);
        op(p, d, COH_OP_SLOAD);
        break;
    case 11:
        push_slot(p, d);
        op(p, d, COH_OP_TLOAD);
        break;
    case 12:
        push_offset(p, d);
        op(p, d, COH_OP_CALLDATALOAD);
        break;
    default:
        if (p->height == 0) {
            push(p, 1);
        } else {
            op(p, d, COH_OP_DUP1 + roll(d, COH_MIN(p->height, 16u)));
        }
    }
}

static void arithmetic(program_t *p, dice_t *d)
{
    static uint8_t const ops[] = {
        COH_OP_ADD,    COH_OP_MUL,    COH_OP_SUB,  COH_OP_DIV,        COH_OP_SDIV, COH_OP_MOD,
        COH_OP_SMOD,   COH_OP_ADDMOD, COH_OP_EXP,  COH_OP_SIGNEXTEND, COH_OP_LT,   COH_OP_GT,
        COH_OP_SLT,    COH_OP_SGT,    COH_OP_EQ,   COH_OP_ISZERO,     COH_OP_AND,  COH_OP_OR,
        COH_OP_XOR,    COH_OP_NOT,    COH_OP_BYTE, COH_OP_SHL,        COH_OP_SHR,  COH_OP_SAR,
        COH_OP_MULMOD, COH_OP_CLZ};
    uint8_t opcode = ops[roll(d, COH_CNT(ops))];
    uint32_t pops  = coh_opcode_rows(COH_FORK_OSAKA)[opcode].pops;
    while (p->height < pops || one_in(d, 3)) {
        push_value(p, d);
    }
    op(p, d, opcode);
}

/* Sequences that compilers write, and that the fast loop may run in one go. */
static void idiom(program_t *p, dice_t *d)
{
    static uint8_t const unary[] = {COH_OP_ADD, COH_OP_SHL, COH_OP_SHR, COH_OP_SUB, COH_OP_EQ};
    uint32_t n;
    switch (roll(d, 8)) {
    case 0: /* by a small constant */
        push_value(p, d);
        push(p, roll(d, 256));
        op(p, d, unary[roll(d, COH_CNT(unary))]);
        break;
    case 1:
        push(p, roll(d, 2) == 0 ? roll(d, 256) : 256 + roll(d, 1000));
        op(p, d, COH_OP_MLOAD);
        break;
    case 2:
        push_value(p, d);
        push(p, roll(d, 2) == 0 ? roll(d, 256) : 256 + roll(d, 1000));
        op(p, d, COH_OP_MSTORE);
        break;
    case 3: /* swap and pop, pop and pop */
        n = 1 + roll(d, 4);
        while (p->height <= n) {
            push_value(p, d);
        }
        op(p, d, roll(d, 3) == 0 ? (uint32_t)COH_OP_POP : COH_OP_SWAP1 + n - 1);
        op(p, d, COH_OP_POP);
        break;
    case 4: /* at a pointer that stays on the stack */
        push_offset(p, d);
        push_value(p, d);
        op(p, d, COH_OP_DUP2);
        op(p, d, COH_OP_MSTORE);
        break;
    case 5:
        push_offset(p, d);
        push(p, roll(d, 64));
        op(p, d, COH_OP_ADD);
        op(p, d, COH_OP_MLOAD);
        break;
    default: /* the low 160 bits */
        n = roll(d, 3);
        if (n != 0) {
            push_value(p, d);
        }
        push(p, 1);
        push(p, one_in(d, 10) ? 2 : 1);
        push(p, one_in(d, 10) ? 161 : 160);
        op(p, d, COH_OP_SHL);
        op(p, d, COH_OP_SUB);
        if (n != 0) {
            op(p, d, COH_OP_AND);
        }
    }
}

static void copy(program_t *p, dice_t *d)
{
    static uint8_t const ops[] = {COH_OP_CALLDATACOPY,
                                  COH_OP_CODECOPY,
                                  COH_OP_RETURNDATACOPY,
                                  COH_OP_MCOPY,
                                  COH_OP_EXTCODECOPY};
    uint8_t opcode             = ops[roll(d, COH_CNT(ops))];
    if (opcode == COH_OP_RETURNDATACOPY && roll(d, 4) != 0) {
        op(p, d, COH_OP_RETURNDATASIZE); /* all of it */
        push(p, 0);
    } else {
        push_size(p, d);
        push_offset(p, d);
    }
    push_offset(p, d);
    if (opcode == COH_OP_EXTCODECOPY) {
        push_address(p, d);
    }
    op(p, d, opcode);
}

static void look(program_t *p, dice_t *d)
{
    static uint8_t const ops[] = {COH_OP_BALANCE, COH_OP_EXTCODESIZE, COH_OP_EXTCODEHASH};
    uint32_t which             = roll(d, COH_CNT(ops) + 2);
    if (which < COH_CNT(ops)) {
        push_address(p, d);
        op(p, d, ops[which]);
    } else if (which == COH_CNT(ops)) {
        push(p, 740 + roll(d, 262));
        op(p, d, COH_OP_BLOCKHASH);
    } else {
        push_slot(p, d);
        op(p, d, COH_OP_BLOBHASH);
    }
}

static void call(program_t *p, dice_t *d)
{
    static uint8_t const ops[] = {
        COH_OP_CALL, COH_OP_CALL, COH_OP_CALLCODE, COH_OP_DELEGATECALL, COH_OP_STATICCALL};
    static uint64_t const gas[] = {0, 100, 2300, 5000, 30000, 100000, UINT64_MAX};
    uint8_t opcode              = ops[roll(d, COH_CNT(ops))];
    for (int i = 0; i < 2; i++) {
        push_size(p, d);
        push_offset(p, d);
    }
    if (opcode == COH_OP_CALL || opcode == COH_OP_CALLCODE) {
        push(p, roll(d, 3) != 0 ? 0 : roll(d, 2) == 0 ? 1 : roll(d, 60000));
    }
    push_address(p, d);
    uint32_t which = roll(d, 2 * COH_CNT(gas));
    if (which < COH_CNT(gas)) {
        push(p, gas[which]);
    } else if (roll(d, 2) == 0) {
        op(p, d, COH_OP_GAS);
    } else { /* half of it, which older forks can give */
        push(p, 2);
        op(p, d, COH_OP_GAS);
        op(p, d, COH_OP_DIV);
    }
    op(p, d, opcode);
}

/* Writes the two octets of a jump's push. */
static void set_target(program_t *p, dice_t *d, uint32_t at, uint32_t target)
{
    if (one_in(d, 100)) {
        target = roll(d, CODE_MAX);
    }
    target -= p->base;
    if (at + 1 < p->n) {
        p->code[at]     = (uint8_t)(target >> 8);
        p->code[at + 1] = (uint8_t)target;
    }
}

/* PUSH2 with a target that is set later; returns where that is. */
static uint32_t push_target(program_t *p)
{
    put(p, COH_OP_PUSH1 + 1);
    put(p, 0);
    put(p, 0);
    p->height++;
    return p->n - 2;
}

static void statements(program_t *p, dice_t *d, uint32_t cnt);

static void pop_to(program_t *p, dice_t *d, uint32_t height)
{
    while (p->height > height) {
        op(p, d, COH_OP_POP);
    }
    while (p->height < height) {
        push(p, 1);
    }
}

static void loop(program_t *p, dice_t *d)
{
    push(p, 1 + roll(d, one_in(d, 16) ? 2000 : 5));
    uint32_t begin  = p->n;
    uint32_t height = p->height;
    put(p, COH_OP_JUMPDEST);
    p->nest++;
    statements(p, d, 1 + roll(d, 3));
    p->nest--;
    pop_to(p, d, height);
    push(p, 1);
    op(p, d, COH_OP_SWAP1);
    op(p, d, COH_OP_SUB);
    op(p, d, COH_OP_DUP1);
    uint32_t at = push_target(p);
    op(p, d, COH_OP_JUMPI);
    set_target(p, d, at, begin);
}

static void branch(program_t *p, dice_t *d)
{
    push_value(p, d);
    if (one_in(d, 4)) {
        op(p, d, COH_OP_ISZERO);
    } else if (one_in(d, 4)) { /* as the function of a contract is chosen */
        static uint8_t const beyond[] = {
            COH_OP_PUSH9, 1, 0, 0, 0, 0, 1, 2, 3, 4}; /* equal but for a bit above the 64th */
        if (one_in(d, 4)) {
            for (uint32_t i = 0; i < COH_CNT(beyond); i++) {
                put(p, beyond[i]);
            }
            p->height++;
        } else {
            push(p, 0x01020304);
        }
        op(p, d, COH_OP_DUP1);
        push(p, roll(d, 2) == 0 ? 0x01020304 : 0x11223344);
        op(p, d, COH_OP_EQ);
    }
    uint32_t at = push_target(p);
    op(p, d, COH_OP_JUMPI);
    uint32_t height = p->height;
    p->nest++;
    statements(p, d, 1 + roll(d, 3));
    p->nest--;
    pop_to(p, d, height);
    set_target(p, d, at, p->n);
    put(p, COH_OP_JUMPDEST);
}

static void end(program_t *p, dice_t *d)
{
    switch (roll(d, 12)) {
    case 0: op(p, d, COH_OP_STOP); break;
    case 1:
        push_address(p, d);
        op(p, d, COH_OP_SELFDESTRUCT);
        break;
    case 2: op(p, d, COH_OP_INVALID); break;
    case 3:
    case 4:
        push_size(p, d);
        push_offset(p, d);
        op(p, d, COH_OP_REVERT);
        break;
    case 5: break; /* runs off its end, or into what follows */
    default:
        push_size(p, d);
        push_offset(p, d);
        op(p, d, COH_OP_RETURN);
    }
}

/* Init code and then the code that it returns. */
static void init_code(program_t *q, dice_t *d, uint32_t depth)
{
    *q = (program_t){.init = depth};
    statements(q, d, roll(d, 3));
    if (one_in(d, 4)) {
        end(q, d);
        return;
    }
    if (one_in(d, 16)) { /* what EIP-170 and EIP-3541 forbid, and what they do not */
        push(q, 0xee + roll(d, 2));
        push(q, 0);
        op(q, d, COH_OP_MSTORE8);
        push(q, roll(d, 4) == 0 ? COH_CODE_SIZE_MAX + roll(d, 2) : roll(d, 3));
        push(q, 0);
        op(q, d, COH_OP_RETURN);
        return;
    }
    uint32_t size = 20 + roll(d, 40);
    push(q, size);
    uint32_t at = push_target(q);
    push(q, 0);
    op(q, d, COH_OP_CODECOPY);
    push(q, size);
    push(q, 0);
    op(q, d, COH_OP_RETURN);
    set_target(q, d, at, q->n);
    q->height = 0;
    q->base   = q->n;
    statements(q, d, 1 + roll(d, 2));
    end(q, d);
}

static void create(program_t *p, dice_t *d)
{
    static program_t children[INIT_MAX + 1]; /* by depth */
    program_t *q = &children[p->init + 1];
    init_code(q, d, p->init + 1);
    /* The init code lies among the code, jumped over. */
    uint32_t over = push_target(p);
    op(p, d, COH_OP_JUMP);
    uint32_t from = p->n;
    for (uint32_t i = 0; i < q->n; i++) {
        put(p, q->code[i]);
    }
    set_target(p, d, over, p->n);
    put(p, COH_OP_JUMPDEST);
    push(p, q->n);
    push(p, from - p->base);
    push(p, 0);
    op(p, d, COH_OP_CODECOPY);
    bool salted = roll(d, 2) == 0 && coh_opcode_rows(d->fork)[COH_OP_CREATE2].defined;
    if (salted) {
        push(p, roll(d, 2));
    }
    push(p, q->n);
    push(p, 0);
    push(p, roll(d, 4) != 0 ? 0 : roll(d, 40));
    op(p, d, salted ? COH_OP_CREATE2 : COH_OP_CREATE);
}

static void statement(program_t *p, dice_t *d)
{
    uint32_t topics;
    switch (roll(d, 27)) {
    case 24:
    case 25:
    case 26: idiom(p, d); break;
    case 0:
        push_value(p, d);
        push_offset(p, d);
        op(p, d, one_in(d, 3) ? COH_OP_MSTORE8 : COH_OP_MSTORE);
        break;
    case 1:
    case 2:
    case 3:
        push_value(p, d);
        push_slot(p, d);
        op(p, d, COH_OP_SSTORE);
        break;
    case 4:
        op(p, d, COH_OP_GAS); /* makes any difference in gas visible */
        push_slot(p, d);
        op(p, d, COH_OP_SSTORE);
        break;
    case 5:
        push_value(p, d);
        push_slot(p, d);
        op(p, d, COH_OP_TSTORE);
        break;
    case 6:
        topics = roll(d, 5);
        for (uint32_t i = 0; i < topics; i++) {
            push_value(p, d);
        }
        push_size(p, d);
        push_offset(p, d);
        op(p, d, COH_OP_LOG0 + topics);
        break;
    case 7:
        push_size(p, d);
        push_offset(p, d);
        op(p, d, COH_OP_KECCAK256);
        break;
    case 8:
    case 9: copy(p, d); break;
    case 10: look(p, d); break;
    case 11:
    case 12:
    case 13: call(p, d); break;
    case 14:
    case 15:
        if (p->init < INIT_MAX && one_in(d, 2)) {
            create(p, d);
            break;
        }
        call(p, d);
        break;
    case 16:
        if (p->nest < NEST_MAX) {
            loop(p, d);
        }
        break;
    case 17:
        if (p->nest < NEST_MAX) {
            branch(p, d);
        }
        break;
    case 18:
        if (p->height > 1) {
            op(p, d, COH_OP_SWAP1 + roll(d, COH_MIN(p->height - 1, 16u)));
        }
        break;
    case 19:
        if (one_in(d, 10)) {
            end(p, d);
        } else if (one_in(d, 10)) {
            for (uint32_t i = 0; i < 17; i++) { /* so that DUP16 and SWAP16 reach something */
                push(p, i);
            }
        } else if (one_in(d, 10)) {
            put(p, octet(d)); /* anything */
        } else if (one_in(d, 6)) {
            for (uint32_t i = roll(d, 20); i != 0; i--) { /* blocks that run into each other */
                put(p, COH_OP_JUMPDEST);
            }
        } else if (p->height != 0) {
            op(p, d, COH_OP_POP);
        }
        break;
    default: arithmetic(p, d);
    }
}

static void statements(program_t *p, dice_t *d, uint32_t cnt)
{
    while (cnt-- != 0 && p->n < CODE_MAX - 100) {
        statement(p, d);
    }
}

/* ---- the world ---- */

typedef struct {
    coh_fork_t fork;
    program_t contracts[CONTRACT_CNT];
    struct {
        coh_tx_t tx;
        uint8_t data[CODE_MAX];
        size_t data_sz;
    } txs[TX_CNT];
    uint32_t tx_cnt;
} case_t;

static coh_tx_t *add_tx(case_t *c, coh_bytes_t data)
{
    coh_tx_t *tx              = &c->txs[c->tx_cnt].tx;
    c->txs[c->tx_cnt].data_sz = data.n;
    if (data.n != 0) {
        memcpy(c->txs[c->tx_cnt].data, data.p, data.n);
    }
    *tx = (coh_tx_t){.to = coh_vm_addr(addresses[0]), .gas_limit = 300000};
    c->tx_cnt++;
    return tx;
}

static void make_tx(case_t *c, dice_t *d)
{
    static program_t init;
    static uint64_t const gas[] = {500, 5000, 40000, 150000, 400000, 1000000, 6000000};
    uint8_t data[DATA_MAX];
    size_t n       = roll(d, DATA_MAX + 1);
    bool is_create = one_in(d, 8);
    if (is_create) {
        init_code(&init, d, 0);
    }
    for (size_t i = 0; i < n; i++) {
        data[i] = octet(d);
    }
    coh_tx_t *tx  = add_tx(c, is_create ? coh_bytes(init.code, init.n) : coh_bytes(data, n));
    tx->is_create = is_create;
    if (one_in(d, 4)) {
        tx->to = coh_vm_addr(addresses[roll(d, COH_CNT(addresses))]);
    }
    if (one_in(d, 4)) {
        tx->value = coh_u256(roll(d, 100));
    }
    tx->data       = coh_bytes(c->txs[c->tx_cnt - 1].data, c->txs[c->tx_cnt - 1].data_sz);
    uint64_t scale = gas[roll(d, roll(d, 8) == 0 ? COH_CNT(gas) : COH_CNT(gas) - 1)];
    tx->gas_limit  = COH_MAX(coh_tx_intrinsic_gas(tx, c->fork), coh_tx_floor_gas(tx, c->fork)) +
                    scale / 64 * roll(d, 65);
    tx->gas_limit -= one_in(d, 200);
}

static void make_case(case_t *c, dice_t *d)
{
    for (int i = 0; i < CONTRACT_CNT; i++) {
        c->contracts[i] = (program_t){.n = 0};
        statements(&c->contracts[i], d, 1 + roll(d, 12));
        end(&c->contracts[i], d);
    }
    for (uint32_t cnt = 1 + roll(d, TX_CNT); c->tx_cnt < cnt;) {
        make_tx(c, d);
    }
}

/* The input's octets are the code: four parts, told by their first octets. */
static void take_case(case_t *c, dice_t *d)
{
    (void)add_tx(c, coh_bytes("calldata", 8));
    for (int i = 0; i < CONTRACT_CNT; i++) {
        size_t left  = d->in.n - COH_MIN(d->at, d->in.n);
        size_t n     = i == CONTRACT_CNT - 1 ? left : left / 2;
        program_t *p = &c->contracts[i];
        p->n         = (uint32_t)COH_MIN(n, (size_t)CODE_MAX);
        if (p->n != 0) {
            memcpy(p->code, d->in.p + d->at, p->n);
        }
        d->at += n;
    }
}

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    *out = coh_u256(number * 3 + 1);
}

static void put_delegation(coh_memview_t *mv, uint64_t from, uint64_t to)
{
    uint8_t code[COH_DELEGATION_SZ] = {0xef, 0x01, 0x00};
    coh_addr_t addr                 = coh_vm_addr(from);
    coh_addr_t delegate             = coh_vm_addr(to);
    coh_u256_t balance              = coh_u256(77);
    memcpy(code + 3, delegate.b, sizeof(delegate.b));
    coh_memview_put_account(mv, &addr, 1, &balance, coh_bytes(code, sizeof(code)));
}

static coh_memview_t *make_world(case_t const *c)
{
    coh_memview_t *mv = coh_memview_new(&coh_code_coder, c->fork);
    coh_addr_t addr   = coh_vm_addr(0x5000);
    coh_u256_t rich   = {{0, 1, 0, 0}};
    coh_memview_set_block_hash(mv, block_hash, NULL);
    coh_memview_put_account(mv, &addr, 0, &rich, coh_bytes(NULL, 0));
    addr             = coh_vm_addr(0x2000);
    coh_u256_t some  = coh_u256(1000);
    coh_u256_t seven = coh_u256(7);
    coh_memview_put_account(mv, &addr, 0, &some, coh_bytes(NULL, 0));
    if (c->fork < COH_FORK_SPURIOUS) {
        addr = coh_vm_addr(0x6000);
        coh_memview_put_account(mv, &addr, 0, &COH_U256_ZERO, coh_bytes(NULL, 0));
    }
    for (uint32_t i = 0; i < CONTRACT_CNT; i++) {
        addr = coh_vm_addr(0x1000 + i);
        coh_memview_put_account(
            mv, &addr, 1, &some, coh_bytes(c->contracts[i].code, c->contracts[i].n));
        for (uint64_t slot = i % 2; slot < 3; slot++) {
            coh_u256_t key = coh_u256(slot);
            coh_memview_put_slot(mv, &addr, &key, &seven);
        }
    }
    if (c->fork >= COH_FORK_PRAGUE) {
        put_delegation(mv, 0x3000, 0x1001);
        put_delegation(mv, 0x3001, 0x3001);
        put_delegation(mv, 0x3002, 4);
        put_delegation(mv, 0x3003, 0x3000);
    }
    return mv;
}

/* ---- execution ---- */

/* Checks what must hold before every instruction. */
typedef struct {
    coh_tracer_t tracer;
    uint64_t step_cnt;
    uint32_t depth;
    uint64_t gas[COH_CALL_DEPTH_MAX + 2]; /* by depth, at the last step there */
} watch_t;

static void watch_step(coh_tracer_t *tracer, coh_trace_step_t const *step)
{
    watch_t *w = (watch_t *)tracer;
    COH_ASSERT(step->depth >= 1 && step->depth <= COH_CALL_DEPTH_MAX + 1);
    COH_ASSERT(step->depth <= w->depth + 1);
    COH_ASSERT(step->stack_cnt <= 1024 && step->memory.n % 32 == 0);
    if (step->depth == w->depth + 1) {
        COH_ASSERT(step->pc == 0 && step->stack_cnt == 0 && step->memory.n == 0);
    } else {
        COH_ASSERT(step->depth == w->depth && step->gas <= w->gas[w->depth]);
    }
    w->depth            = step->depth;
    w->gas[step->depth] = step->gas;
    w->step_cnt++;
}

static void watch_exit(coh_tracer_t *tracer,
                       uint32_t depth,
                       uint32_t status,
                       uint64_t gas_used,
                       coh_bytes_t output)
{
    watch_t *w = (watch_t *)tracer;
    (void)gas_used;
    COH_ASSERT(depth == w->depth || depth == w->depth + 1); /* a frame may end without a step */
    COH_ASSERT(status < COH_EVM_STATUS_CNT);
    COH_ASSERT(status <= COH_EVM_REVERT || output.n == 0);
    w->depth = depth - 1;
}

static void print_hex(coh_buf_t *out, char const *name, coh_bytes_t octets)
{
    static char const digits[] = "0123456789abcdef";
    coh_buf_printf(out, " %s=", name);
    uint8_t *p = coh_buf_extend(out, 2 * octets.n + 1);
    for (size_t i = 0; i < octets.n; i++) {
        p[2 * i]     = (uint8_t)digits[octets.p[i] >> 4];
        p[2 * i + 1] = (uint8_t)digits[octets.p[i] & 15];
    }
    out->n--;
}

static void print_word(coh_buf_t *out, char const *name, coh_u256_t const *word)
{
    uint8_t text[32];
    coh_u256_store_be(text, word);
    print_hex(out, name, coh_bytes(text, sizeof(text)));
}

static int by_key(void const *a, void const *b)
{
    return memcmp(&(*(coh_write_t const *const *)a)->key,
                  &(*(coh_write_t const *const *)b)->key,
                  sizeof(coh_key_t));
}

static void print_writes(coh_buf_t *out, coh_write_t const *writes, uint32_t cnt)
{
    coh_write_t const **sorted = coh_calloc(cnt, sizeof(*sorted));
    for (uint32_t i = 0; i < cnt; i++) {
        sorted[i] = &writes[i];
    }
    qsort(sorted, cnt, sizeof(*sorted), by_key);
    for (uint32_t i = 0; i < cnt; i++) {
        coh_write_t const *w = sorted[i];
        coh_buf_printf(out, "write kind=%u flags=%u", w->key.kind, w->flags);
        print_hex(out, "addr", coh_bytes(w->key.addr.b, sizeof(w->key.addr)));
        print_word(out, "slot", &w->key.slot);
        print_word(out, "word", &w->word);
        coh_buf_printf(out,
                       " generation=%llu nonce=%llu",
                       (unsigned long long)w->key.generation,
                       (unsigned long long)w->nonce);
        if (w->code != NULL) {
            print_hex(out, "hash", coh_bytes(w->code->hash.b, sizeof(w->code->hash)));
            coh_buf_printf(out, " generation=%u flags=%u", w->code->generation, w->code->flags);
            print_hex(out, "code", w->code->bytes);
        }
        coh_buf_put_u8(out, '\n');
    }
    free(sorted);
}

static void print_logs(coh_buf_t *out, coh_log_t const *logs, uint32_t cnt)
{
    for (uint32_t i = 0; i < cnt; i++) {
        coh_buf_printf(out, "log");
        print_hex(out, "addr", coh_bytes(logs[i].addr.b, sizeof(logs[i].addr)));
        for (uint32_t t = 0; t < logs[i].topic_cnt; t++) {
            print_hex(out, "topic", coh_bytes(logs[i].topics[t].b, sizeof(logs[i].topics[t])));
        }
        print_hex(out, "data", logs[i].data);
        coh_buf_put_u8(out, '\n');
    }
}

/* ---- the ways ---- */

enum { FAST, SWITCH, FAST_STUTTER, SWITCH_STUTTER, WATCHED, WAY_CNT };

typedef struct {
    coh_memview_t *mv;
    coh_block_env_t const *block;
    coh_transition_t *ways[WAY_CNT];
} world_t;

static void execute(world_t *w, int way, coh_tx_t const *tx, watch_t *watch)
{
    static coh_addr_t sender;
    coh_transition_t *t = w->ways[way];
    sender              = coh_vm_addr(0x5000);
    coh_memview_set_stutter(w->mv, way == FAST_STUTTER || way == SWITCH_STUTTER);
    coh_memview_begin_tx(w->mv);
    coh_transition_set_loop(t, way == FAST || way == FAST_STUTTER ? COH_EVM_FAST : COH_EVM_SWITCH);
    coh_transition_set_tracer(t, way == WATCHED ? &watch->tracer : NULL);
    coh_transition_begin(t, w->block, tx, &sender, coh_memview_view(w->mv));
    while (coh_transition_run(t) == COH_TRANSITION_NEED) {
    }
    coh_memview_set_stutter(w->mv, false);
}

typedef struct {
    coh_key_t key;
    uint32_t fields;
} read_t;

typedef struct {
    read_t *of;
    size_t cnt;
} reads_t;

static void add_read(void *arg, coh_key_t const *key, uint32_t fields)
{
    reads_t *reads          = arg;
    reads->of               = coh_realloc(reads->of, (reads->cnt + 1) * sizeof(*reads->of));
    reads->of[reads->cnt++] = (read_t){*key, fields};
}

static int by_read_key(void const *a, void const *b)
{
    return memcmp(&((read_t const *)a)->key, &((read_t const *)b)->key, sizeof(coh_key_t));
}

static void print_reads(coh_buf_t *out, coh_state_t const *state)
{
    reads_t reads = {.cnt = 0};
    coh_state_reads(state, add_read, &reads);
    if (reads.cnt != 0) {
        qsort(reads.of, reads.cnt, sizeof(*reads.of), by_read_key);
    }
    for (size_t i = 0; i < reads.cnt; i++) {
        coh_key_t const *key = &reads.of[i].key;
        coh_buf_printf(out,
                       "read kind=%u fields=%u generation=%llu",
                       key->kind,
                       reads.of[i].fields,
                       (unsigned long long)key->generation);
        print_hex(out, "addr", coh_bytes(key->addr.b, sizeof(key->addr)));
        print_word(out, "slot", &key->slot);
        coh_buf_put_u8(out, '\n');
    }
    free(reads.of);
}

static void print_outcome(coh_buf_t *out, coh_transition_t const *t)
{
    coh_outcome_t const *o = coh_transition_outcome(t);
    coh_buf_clear(out);
    coh_buf_printf(out,
                   "verdict=%d status=%u gas=%llu",
                   (int)o->verdict,
                   o->status,
                   (unsigned long long)o->gas_used);
    print_word(out, "tip", &o->tip);
    print_hex(out, "output", o->output);
    print_hex(out, "created", coh_bytes(o->created.b, sizeof(o->created)));
    coh_buf_put_u8(out, '\n');
    print_logs(out, o->logs, o->log_cnt);
    print_writes(out, o->writes, o->write_cnt);
    print_reads(out, coh_transition_state(t));
}

/* Money is not made: what accounts gain, the tip and the burnt fee are at most what accounts lose. */
static void check_money(world_t const *w, coh_outcome_t const *o)
{
    coh_u256_t gain = o->tip;
    coh_u256_t loss = COH_U256_ZERO;
    coh_u256_t burnt;
    (void)coh_u256_mul_u64(&burnt, &w->block->base_fee, o->gas_used);
    (void)coh_u256_add(&gain, &gain, &burnt);
    for (uint32_t i = 0; i < o->write_cnt; i++) {
        coh_write_t const *write = &o->writes[i];
        if (write->key.kind != COH_KEY_ACCOUNT) {
            continue;
        }
        if (write->flags & COH_WRITE_GONE) {
            coh_value_t was = coh_memview_account(w->mv, &write->key.addr);
            (void)coh_u256_add(&loss, &loss, &was.word);
        } else if (write->flags & COH_WRITE_NEGATIVE) {
            (void)coh_u256_add(&loss, &loss, &write->word);
        } else if (write->flags & COH_WRITE_DELTA) {
            (void)coh_u256_add(&gain, &gain, &write->word);
        }
    }
    COH_ASSERT(!coh_u256_lt(&loss, &gain));
}

static void run_tx(world_t *w, coh_tx_t *tx)
{
    static watch_t watch;
    coh_buf_t expected = COH_BUF_INIT;
    coh_buf_t got      = COH_BUF_INIT;
    coh_addr_t sender  = coh_vm_addr(0x5000);
    tx->nonce          = coh_memview_account(w->mv, &sender).nonce;
    watch              = (watch_t){.tracer = {.step = watch_step, .exit = watch_exit}};
    for (int way = 0; way < WAY_CNT; way++) {
        execute(w, way, tx, &watch);
        print_outcome(way == 0 ? &expected : &got, w->ways[way]);
        if (way != 0 && !coh_bytes_eq(coh_buf_bytes(&expected), coh_buf_bytes(&got))) {
            fprintf(stderr,
                    "%s, way %d differs from way 0:\n%.*s\n--- and not\n%.*s\n",
                    coh_fork_name(w->block->fork),
                    way,
                    (int)got.n,
                    (char const *)got.p,
                    (int)expected.n,
                    (char const *)expected.p);
            abort();
        }
    }
    coh_outcome_t const *outcome = coh_transition_outcome(w->ways[0]);
    COH_ASSERT(outcome->verdict != COH_TX_OK || outcome->gas_used <= tx->gas_limit);
    COH_ASSERT(watch.depth == 0);
    check_money(w, outcome);
    coh_memview_apply(w->mv, outcome);
    coh_buf_free(&expected);
    coh_buf_free(&got);
}

static void run_case(case_t *c, dice_t *d)
{
    coh_block_env_t const block = {.number        = 1000,
                                   .timestamp     = 1700000000,
                                   .gas_limit     = 30000000,
                                   .chain_id      = 1,
                                   .base_fee      = coh_u256(c->fork >= COH_FORK_LONDON ? 7 : 0),
                                   .blob_base_fee = coh_u256(1),
                                   .prev_randao   = {{1, 2, 3, 4}},
                                   .coinbase      = coh_vm_addr(0x4000),
                                   .fork          = c->fork,
                                   .fees_exact    = roll(d, 2) == 0};
    world_t w                   = {.mv = make_world(c), .block = &block};
    for (int way = 0; way < WAY_CNT; way++) {
        w.ways[way] = coh_transition_new();
    }
    for (uint32_t i = 0; i < c->tx_cnt; i++) {
        coh_tx_t *tx = &c->txs[i].tx;
        tx->data     = coh_bytes(c->txs[i].data, c->txs[i].data_sz);
        tx->max_fee  = coh_u256(10);
        tx->max_tip  = tx->max_fee;
        run_tx(&w, tx);
    }
    for (int way = 0; way < WAY_CNT; way++) {
        coh_transition_free(w.ways[way]);
    }
    coh_memview_free(w.mv);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    static case_t c;
    if (size < 10) {
        return 0;
    }
    enum { CHOICES, SEED, CODE };
    uint8_t form = data[0] % 4;
    c            = (case_t){.fork = (coh_fork_t)(data[1] % COH_FORK_CNT)};
    dice_t d     = {.in = coh_bytes(data, size), .at = 2, .fork = c.fork};
    coh_rng_seed(&d.rng, coh_load_u64_le(data + 2));
    if (form == CODE) {
        take_case(&c, &d);
    } else if (form == CHOICES) {
        make_case(&c, &d);
    } else {
        d.at   = size;
        c.fork = (coh_fork_t)coh_rng_below(&d.rng, COH_FORK_CNT);
        d.fork = c.fork;
        make_case(&c, &d);
        for (size_t i = 10; i + 4 <= size; i += 4) {
            program_t *p = &c.contracts[data[i] % CONTRACT_CNT];
            if (p->n != 0) {
                p->code[((uint32_t)data[i + 1] << 8 | data[i + 2]) % p->n] = data[i + 3];
            }
        }
    }
    run_case(&c, &d);
    return 0;
}
