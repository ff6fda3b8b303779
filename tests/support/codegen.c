#include "tests/support/codegen.h"

#include "common/base/u256.h"
#include "common/crypto/keccak.h"

/* Where pieces put init code in memory: behind the word that they pass on. Then what they copy of others' code, and the word that they got. */
#define INIT_AT 64u
#define CODE_AT 128u
#define WORD_AT 160u
/* From here on memory is zeros. */
#define ZEROS_AT 256u
#define SALTS    2u

static void op(coh_buf_t *out, uint8_t code) { asm_op(out, code); }

/* Stores the top of the stack in one of the few slots that results go to. */
static void store_result(coh_buf_t *out, coh_rng_t *rng)
{
    asm_push(out, 16 + coh_rng_below(rng, 4));
    op(out, COH_OP_SSTORE);
}

static void push_target(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    asm_push_addr(out, &gen->targets[coh_rng_below(rng, gen->target_cnt)]);
}

/* Gas for a call: all there is since EIP-150, before it an amount that is usually there. */
static void push_gas(coh_buf_t *out, coh_codegen_t const *gen)
{
    if (gen->fork >= COH_FORK_TANGERINE) {
        op(out, COH_OP_GAS);
    } else {
        asm_push(out, 40000);
    }
}

static void piece_count(coh_buf_t *out, coh_rng_t *rng)
{
    uint64_t slot = coh_rng_below(rng, 3);
    asm_push(out, slot);
    op(out, COH_OP_SLOAD);
    asm_push(out, 1 + coh_rng_below(rng, 3));
    op(out, COH_OP_ADD);
    asm_push(out, slot);
    op(out, COH_OP_SSTORE);
}

/* A token: moves one from the caller's slot to that of somebody. */
static void piece_token(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    asm_push(out, 1);
    op(out, COH_OP_CALLER);
    op(out, COH_OP_SLOAD);
    op(out, COH_OP_SUB);
    op(out, COH_OP_CALLER);
    op(out, COH_OP_SSTORE);
    push_target(out, gen, rng);
    op(out, COH_OP_DUP1);
    op(out, COH_OP_SLOAD);
    asm_push(out, 1);
    op(out, COH_OP_ADD);
    op(out, COH_OP_SWAP1);
    op(out, COH_OP_SSTORE);
}

static void piece_look(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    switch (coh_rng_below(rng, 10)) {
    case 0:
        push_target(out, gen, rng);
        op(out, COH_OP_BALANCE);
        break;
    case 1:
        push_target(out, gen, rng);
        op(out, gen->fork >= COH_FORK_CONSTANTINOPLE ? COH_OP_EXTCODEHASH : COH_OP_EXTCODESIZE);
        break;
    case 2:
        op(out, COH_OP_COINBASE);
        op(out, COH_OP_BALANCE);
        break;
    case 3:
        asm_push(out, gen->block_number - coh_rng_below(rng, 5));
        op(out, COH_OP_BLOCKHASH);
        break;
    case 4:
        op(out, COH_OP_ADDRESS);
        op(out, COH_OP_BALANCE);
        break;
    case 5: /* of a delegated account the designator (EIP-7702) */
        asm_push(out, 32);
        asm_push(out, 0);
        asm_push(out, CODE_AT);
        push_target(out, gen, rng);
        op(out, COH_OP_EXTCODECOPY);
        asm_push(out, CODE_AT);
        op(out, COH_OP_MLOAD);
        break;
    case 6: op(out, gen->fork >= COH_FORK_CANCUN ? COH_OP_BLOBBASEFEE : COH_OP_GASPRICE); break;
    case 7:
        asm_push(out, coh_rng_below(rng, 3));
        op(out, gen->fork >= COH_FORK_CANCUN ? COH_OP_BLOBHASH : COH_OP_CALLDATALOAD);
        break;
    case 8: op(out, gen->fork >= COH_FORK_ISTANBUL ? COH_OP_SELFBALANCE : COH_OP_ORIGIN); break;
    default:
        push_target(out, gen, rng);
        op(out, COH_OP_EXTCODESIZE);
        break;
    }
    store_result(out, rng);
}

static void piece_call(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    static struct {
        uint8_t op;
        coh_fork_t since;
        bool has_value;
    } const kinds[] = {{COH_OP_CALL, COH_FORK_FRONTIER, true},
                       {COH_OP_CALL, COH_FORK_FRONTIER, true},
                       {COH_OP_CALLCODE, COH_FORK_FRONTIER, true},
                       {COH_OP_DELEGATECALL, COH_FORK_HOMESTEAD, false},
                       {COH_OP_STATICCALL, COH_FORK_BYZANTIUM, false}};
    size_t kind     = coh_rng_below(rng, COH_CNT(kinds));
    kind            = gen->fork >= kinds[kind].since ? kind : 0;
    asm_push(out, 32); /* output */
    asm_push(out, 32);
    asm_push(out, 32); /* input */
    asm_push(out, 0);
    if (kinds[kind].has_value) {
        asm_push(out, coh_rng_below(rng, 3) * coh_rng_below(rng, 1000));
    }
    push_target(out, gen, rng);
    push_gas(out, gen);
    op(out, kinds[kind].op);
    store_result(out, rng);
}

void coh_codegen_init(coh_buf_t *out, uint32_t kind)
{
    static uint8_t const runtime[] = {
        0x60, 0,   0x54, 0x60, 1,    0x01, 0x60, 0, 0x55, /* slot 0 += 1 */
        0x60, 0,   0x35, 0x60, 1,    0x16, 0x15,          /* bit 0 of the data */
        0x60, 21,  0x57, 0x33, 0xff,                      /* SELFDESTRUCT(CALLER) */
        0x5b, 0x00};
    static uint8_t const store[] = {0x60, 7, 0x60, 5, 0x55}; /* slot 5 = 7 */
    if (kind == 2) {
        op(out, COH_OP_INVALID);
        return;
    }
    if (kind == 1) {
        coh_buf_put(out, store, sizeof(store));
    }
    /* As asm_init_code, which knows nothing of what is before it. */
    uint8_t const head     = (uint8_t)((kind == 1 ? sizeof(store) : 0) + 11);
    uint8_t const deploy[] = {
        0x60, sizeof(runtime), 0x80, 0x60, head, 0x60, 0, 0x39, 0x60, 0, 0xf3};
    coh_buf_put(out, deploy, sizeof(deploy));
    coh_buf_put(out, runtime, sizeof(runtime));
}

coh_addr_t coh_codegen_create2(coh_addr_t const *creator, uint32_t kind, uint64_t salt)
{
    coh_buf_t init = COH_BUF_INIT;
    coh_buf_t in   = COH_BUF_INIT;
    coh_hash_t hash;
    coh_addr_t addr;
    coh_codegen_init(&init, kind);
    coh_keccak256(&hash, init.p, init.n);
    coh_buf_put_u8(&in, 0xff);
    coh_buf_put(&in, creator->b, sizeof(creator->b));
    coh_u256_t word = coh_u256(salt);
    coh_u256_to_be(coh_buf_extend(&in, 32), &word);
    coh_buf_put(&in, hash.b, sizeof(hash.b));
    coh_keccak256(&hash, in.p, in.n);
    memcpy(addr.b, hash.b + 12, sizeof(addr.b));
    coh_buf_free(&init);
    coh_buf_free(&in);
    return addr;
}

/* Any precompiled contract, of this fork or a later one, with what memory holds or with zeros: that is the point at infinity of each curve. */
static void piece_precompile(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    static uint16_t const sizes[] = {0, 32, 64, 96, 128, 160, 192, 213, 256, 288, 384};
    uint64_t number               = coh_rng_percent(rng, 90) ? 1 + coh_rng_below(rng, 0x12) : 0x100;
    asm_push(out, 64); /* output */
    asm_push(out, INIT_AT);
    asm_push(out, sizes[coh_rng_below(rng, COH_CNT(sizes))]); /* input */
    asm_push(out, coh_rng_percent(rng, 50) ? 0 : ZEROS_AT);
    if (gen->fork < COH_FORK_BYZANTIUM || coh_rng_percent(rng, 30)) {
        asm_push(out, coh_rng_below(rng, 2));
        asm_push(out, number);
        asm_push(out, 50000);
        op(out, COH_OP_CALL);
    } else {
        asm_push(out, number);
        asm_push(out, 50000);
        op(out, COH_OP_STATICCALL);
    }
    asm_push(out, INIT_AT);
    op(out, COH_OP_MLOAD);
    op(out, COH_OP_ADD);
    store_result(out, rng);
}

/* Calls itself with the word that it got, and does so again there: until the gas is gone, or, before EIP-150, the calls are as deep as they may be. */
static void piece_recurse(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    asm_push(out, 0);
    op(out, COH_OP_CALLDATALOAD);
    asm_push(out, WORD_AT);
    op(out, COH_OP_MSTORE);
    asm_push(out, 32); /* output */
    asm_push(out, 32);
    asm_push(out, 32); /* input */
    asm_push(out, WORD_AT);
    asm_push(out, 0);
    op(out, COH_OP_ADDRESS);
    if (gen->fork >= COH_FORK_TANGERINE) {
        op(out, COH_OP_GAS);
    } else {
        asm_push(out, 6000);
        op(out, COH_OP_GAS);
        op(out, COH_OP_SUB);
    }
    op(out, COH_OP_CALL);
    store_result(out, rng);
}

/* Puts an init code of kind into memory; returns its size. */
static size_t put_init(coh_buf_t *out, uint32_t kind)
{
    coh_buf_t init = COH_BUF_INIT;
    coh_codegen_init(&init, kind);
    uint8_t words[64] = {0};
    size_t n          = init.n;
    memcpy(words, init.p, n);
    coh_buf_free(&init);
    for (size_t i = 0; i < sizeof(words); i += 32) {
        op(out, COH_OP_PUSH32);
        coh_buf_put(out, words + i, 32);
        asm_push(out, INIT_AT + i);
        op(out, COH_OP_MSTORE);
    }
    return n;
}

/* Calls the address on top of the stack, which stays there, with a word of memory. */
static void call_made(coh_buf_t *out, coh_codegen_t const *gen, uint64_t word_at)
{
    asm_push(out, 32);
    asm_push(out, 32);
    asm_push(out, 32);
    asm_push(out, word_at);
    asm_push(out, 0);
    op(out, COH_OP_DUP1 + 5); /* the address */
    push_gas(out, gen);
    op(out, COH_OP_CALL);
    op(out, COH_OP_POP);
}

/* Creates, and half of the time calls what it made, which may destroy itself at once. */
static void piece_create(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    size_t n     = put_init(out, (uint32_t)coh_rng_below(rng, COH_CODEGEN_INIT_CNT));
    bool create2 = gen->fork >= COH_FORK_CONSTANTINOPLE && coh_rng_percent(rng, 70);
    if (create2) {
        asm_push(out, coh_rng_below(rng, SALTS));
    }
    asm_push(out, n);
    asm_push(out, INIT_AT);
    asm_push(out, coh_rng_below(rng, 2) * 5);
    op(out, create2 ? COH_OP_CREATE2 : COH_OP_CREATE);
    if (coh_rng_percent(rng, 50)) {
        call_made(out, gen, 0);
    }
    store_result(out, rng);
}

/* Creates by CREATE2, has that destroy itself, creates at the same address again, and calls what is there. It is still taken then (EIP-684): the account goes
   when the transaction ends. */
static void piece_recreate(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    if (gen->fork < COH_FORK_CONSTANTINOPLE) {
        piece_create(out, gen, rng);
        return;
    }
    uint64_t salt = coh_rng_below(rng, SALTS);
    size_t n      = put_init(out, (uint32_t)coh_rng_below(rng, 2));
    asm_push(out, 1);
    asm_push(out, WORD_AT);
    op(out, COH_OP_MSTORE);
    for (int i = 0; i < 2; i++) {
        asm_push(out, salt);
        asm_push(out, n);
        asm_push(out, INIT_AT);
        asm_push(out, coh_rng_below(rng, 2) * 5);
        op(out, COH_OP_CREATE2);
        call_made(out, gen, WORD_AT);
        store_result(out, rng);
    }
}

static void piece_log(coh_buf_t *out, coh_rng_t *rng)
{
    uint8_t topics = (uint8_t)coh_rng_below(rng, 3);
    for (uint8_t i = 0; i < topics; i++) {
        asm_push(out, coh_rng_below(rng, 3));
        op(out, COH_OP_SLOAD);
    }
    asm_push(out, coh_rng_below(rng, 2) * 32);
    asm_push(out, 0);
    op(out, (uint8_t)(COH_OP_LOG0 + topics));
}

/* Fails if a counter is odd. */
static void piece_fail(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    asm_push(out, 1);
    asm_push(out, coh_rng_below(rng, 3));
    op(out, COH_OP_SLOAD);
    op(out, COH_OP_AND);
    op(out, COH_OP_ISZERO);
    size_t skip = asm_jumpi(out);
    if (gen->fork >= COH_FORK_BYZANTIUM && coh_rng_percent(rng, 80)) {
        asm_push(out, 32);
        asm_push(out, 0);
        op(out, COH_OP_REVERT);
    } else {
        op(out, COH_OP_INVALID);
    }
    asm_land(out, skip);
}

/* Two transient slots count what a transaction does in all calls of a contract (EIP-1153). */
static void piece_transient(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    if (gen->fork < COH_FORK_CANCUN) {
        piece_count(out, rng);
        return;
    }
    uint64_t slot = coh_rng_below(rng, 2);
    asm_push(out, slot);
    op(out, COH_OP_TLOAD);
    asm_push(out, 1);
    op(out, COH_OP_ADD);
    op(out, COH_OP_DUP1);
    asm_push(out, slot);
    op(out, COH_OP_TSTORE);
    store_result(out, rng);
}

static void piece(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    uint64_t what = coh_rng_below(rng, 100);
    if (what < 13) {
        piece_count(out, rng);
    } else if (what < 19) {
        piece_token(out, gen, rng);
    } else if (what < 38) {
        piece_look(out, gen, rng);
    } else if (what < 58) {
        piece_call(out, gen, rng);
    } else if (what < 66) {
        piece_create(out, gen, rng);
    } else if (what < 70) {
        piece_recreate(out, gen, rng);
    } else if (what < 73) {
        piece_recurse(out, gen, rng);
    } else if (what < 78) {
        piece_precompile(out, gen, rng);
    } else if (what < 83) {
        piece_log(out, rng);
    } else if (what < 88) {
        piece_fail(out, gen, rng);
    } else if (what < 92) {
        piece_transient(out, gen, rng);
    } else if (what < 96) {
        asm_push(out, 0); /* a slot is cleared */
        asm_push(out, coh_rng_below(rng, 3));
        op(out, COH_OP_SSTORE);
    } else {
        push_target(out, gen, rng);
        op(out, COH_OP_SELFDESTRUCT);
    }
}

void coh_codegen_contract(coh_buf_t *out, coh_codegen_t const *gen, coh_rng_t *rng)
{
    asm_push(out, 256); /* the word to pass on */
    asm_push(out, 0);
    op(out, COH_OP_CALLDATALOAD);
    op(out, COH_OP_DIV);
    asm_push(out, 0);
    op(out, COH_OP_MSTORE);
    for (uint32_t i = 0; i < 8; i++) {
        asm_push(out, UINT64_C(1) << i);
        asm_push(out, 0);
        op(out, COH_OP_CALLDATALOAD);
        op(out, COH_OP_AND);
        op(out, COH_OP_ISZERO);
        size_t skip = asm_jumpi(out);
        piece(out, gen, rng);
        asm_land(out, skip);
    }
    op(out, COH_OP_STOP);
}
