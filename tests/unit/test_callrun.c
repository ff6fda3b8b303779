/* Calls piece by piece over state in memory: what they give is what a transition gives that runs in one go; overrides, estimates that are least, access lists that are complete, traces as geth's
   tracers write them (figures added up by hand), blocks of transactions; random contracts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/hex.h"
#include "common/chain/access_list.h"
#include "common/codec/rlp.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "shard/callrun.h"
#include "shard/codes.h"
#include "tests/support/codegen.h"
#include "tests/support/evmasm.h"

#define COINBASE 0xcccc

typedef struct {
    coh_memview_t *mv;
    coh_call_codes_t *codes;
    coh_call_limits_t limits;
    coh_block_env_t env;
    coh_tx_t tx;
    coh_addr_t sender;
    coh_rec_override_t overrides[4];
    uint32_t override_cnt;
    coh_rec_override_slot_t slots[4];
    uint32_t slot_cnt;
    coh_msg_call_t m; /* mode and options */
    coh_buf_t raw;
    uint32_t wanted_cnt;
    uint32_t rounds; /* in which these were wanted */
    uint32_t run_cnt;
} world_t;

static coh_addr_t addr_of(uint64_t number)
{
    coh_u256_t word = coh_u256(number);
    return coh_u256_to_addr(&word);
}

static void hash_of_block(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    *out = coh_u256(number * 1000 + 7);
}

static void init(world_t *w)
{
    *w                 = (world_t){.mv     = coh_memview_new(&coh_code_coder, COH_FORK_PRAGUE),
                                   .codes  = coh_call_codes_new(),
                                   .limits = {.gas_max         = 20000000,
                                              .trace_bytes_max = 1 << 20,
                                              .slice           = 7,
                                              .seed            = 3,
                                              .wanted_max      = 3},
                                   .env    = {.number     = 50,
                                              .timestamp  = 1700000000,
                                              .gas_limit  = 30000000,
                                              .chain_id   = 9,
                                              .base_fee   = coh_u256(10),
                                              .coinbase   = addr_of(COINBASE),
                                              .fork       = COH_FORK_PRAGUE,
                                              .blob_max   = 9,
                                              .fees_exact = true},
                                   .tx     = {.type         = COH_TX_DYNAMIC_FEE,
                                              .has_chain_id = true,
                                              .chain_id     = 9,
                                              .gas_limit    = 1000000},
                                   .sender = addr_of(0x5000)};
    coh_u256_t balance = coh_u256(UINT64_C(1000000000000));
    coh_memview_put_account(w->mv, &w->sender, 4, &balance, (coh_bytes_t){0});
    coh_memview_set_block_hash(w->mv, hash_of_block, NULL);
}

static void fini(world_t *w)
{
    coh_memview_free(w->mv);
    coh_call_codes_free(w->codes);
    coh_buf_free(&w->raw);
}

static void put_code(world_t *w, uint64_t number, uint64_t balance, char const *text)
{
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, text);
    coh_addr_t addr   = addr_of(number);
    coh_u256_t amount = coh_u256(balance);
    coh_memview_put_account(w->mv, &addr, 1, &amount, coh_buf_bytes(&code));
    coh_buf_free(&code);
}

static void put_slot(world_t *w, uint64_t number, uint64_t slot, uint64_t value)
{
    coh_addr_t addr = addr_of(number);
    coh_u256_t s    = coh_u256(slot);
    coh_u256_t v    = coh_u256(value);
    coh_memview_put_slot(w->mv, &addr, &s, &v);
}

static void give_one(world_t *w, coh_call_t *c, uint32_t idx)
{
    coh_key_t const *key = coh_call_wanted(c, idx);
    coh_value_t value    = {0};
    coh_bytes_t code     = {0};
    w->wanted_cnt++;
    if (key->kind == COH_KEY_CODE) {
        coh_hash_t hash = coh_codes_hash(key);
        code            = coh_memview_code(w->mv, &hash);
        coh_value_t of  = coh_memview_account(w->mv, &key->addr);
        assert_true(coh_hash_eq(&of.code_hash, &hash)); /* its owner has it */
    } else if (key->kind == COH_KEY_BLOCK_HASH) {
        hash_of_block(NULL, &value.word, key->slot.w[0]);
    } else if (key->kind == COH_KEY_ACCOUNT) {
        value = coh_memview_account(w->mv, &key->addr);
    } else if (coh_memview_account(w->mv, &key->addr).generation == key->generation) {
        value.word = coh_memview_slot(w->mv, &key->addr, &key->slot);
    }
    coh_call_give(c, idx, &value, code);
}

/* Gives c what it wants, until it is done. */
static coh_msg_call_result_t const *serve(world_t *w, coh_call_t *c)
{
    coh_call_run_t run;
    w->wanted_cnt = 0;
    w->rounds     = 0;
    w->run_cnt    = 0;
    while ((run = coh_call_run(c)) != COH_CALL_RUN_DONE) {
        w->run_cnt++;
        if (run == COH_CALL_RUN_SLICE) {
            continue;
        }
        w->rounds++;
        for (uint32_t i = coh_call_wanted_cnt(c); i-- > 0;) { /* in any order */
            give_one(w, c, i);
        }
    }
    return coh_call_result(c);
}

/* A call of the world's transaction; free it with coh_call_free. NULL: refused. */
static coh_call_t *new_call(world_t *w, coh_call_mode_t mode)
{
    coh_buf_clear(&w->raw);
    coh_tx_encode(&w->raw, &w->tx);
    coh_rec_block_tx_t raw = {.sender = w->sender, .raw = coh_buf_bytes(&w->raw)};
    w->m.mode              = mode;
    w->m.fork              = (uint32_t)w->env.fork;
    w->m.number            = w->env.number;
    w->m.timestamp         = w->env.timestamp;
    w->m.gas_limit         = w->env.gas_limit;
    w->m.chain_id          = w->env.chain_id;
    w->m.base_fee          = w->env.base_fee;
    w->m.coinbase          = w->env.coinbase;
    w->m.blob_max          = w->env.blob_max;
    w->m.txs.v             = &raw;
    w->m.txs.cnt           = 1;
    w->m.overrides.v       = w->overrides;
    w->m.overrides.cnt     = w->override_cnt;
    w->m.slots.v           = w->slots;
    w->m.slots.cnt         = w->slot_cnt;
    return coh_call_new(&w->m, &w->limits, w->codes);
}

static void call(world_t *w, uint64_t to)
{
    w->tx.to        = addr_of(to);
    w->tx.is_create = false;
}

static void assert_words(coh_bytes_t got, size_t cnt, uint64_t const *wanted)
{
    assert_int_equal(got.n, cnt * 32);
    for (size_t i = 0; i < cnt; i++) {
        coh_u256_t word = coh_u256_from_be(got.p + 32 * i, 32);
        assert_true(coh_u256_fits_u64(&word));
        assert_int_equal(word.w[0], wanted[i]);
    }
}

/* ---- execution ---- */

static void call_executes(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w, 0xa0, 100, "5 SLOAD 0 MSTORE 32 32 0 0 7 0xb0 100000 CALL 64 MSTORE 96 0 RETURN");
    put_code(
        &w, 0xb0, 0, "CALLVALUE BASEFEE ADD GASPRICE ADD 49 BLOCKHASH ADD 0 MSTORE 32 0 RETURN");
    put_slot(&w, 0xa0, 5, 55);
    call(&w, 0xa0);
    coh_call_t *c                  = new_call(&w, COH_CALL_EXECUTE);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_int_equal(r->status, COH_EVM_SUCCESS);
    /* Without a fee BASEFEE and GASPRICE are 0. */
    assert_words(r->output, 3, (uint64_t[]){55, 7 + 49007, 1});
    assert_true(w.run_cnt > 5);
    assert_in_range(w.wanted_cnt, 6, 8); /* sender, two contracts with code, slot, hash, coinbase */
    coh_call_free(c);
    /* With one they are as ever. */
    w.tx.max_fee = coh_u256(13);
    w.tx.max_tip = coh_u256(1);
    c            = new_call(&w, COH_CALL_EXECUTE);
    r            = serve(&w, c);
    assert_words(r->output, 3, (uint64_t[]){55, 7 + 10 + 11 + 49007, 1});
    coh_call_free(c);
    /* Gas is bounded. */
    w.limits.gas_max = 21500;
    c                = new_call(&w, COH_CALL_EXECUTE);
    r                = serve(&w, c);
    assert_int_equal(r->status, COH_EVM_OUT_OF_GAS);
    assert_int_equal(r->gas_used, 21500);
    coh_call_free(c);
    /* It must own what it pays. */
    w.tx.value = coh_u256(UINT64_C(1000000000001));
    c          = new_call(&w, COH_CALL_EXECUTE);
    r          = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_REFUSED);
    assert_int_equal(r->verdict, COH_TX_FUNDS);
    coh_call_free(c);
    fini(&w);
}

static void call_tells_of_failures_and_logs(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w, 0xa0, 0, "0xdead 0 MSTORE 2 30 REVERT");
    put_code(&w, 0xb0, 0, "0xbeef 0 MSTORE 7 32 0 LOG1 STOP");
    put_code(&w, 0xc0, 0, "INVALID");
    call(&w, 0xa0);
    coh_call_t *c                  = new_call(&w, COH_CALL_EXECUTE);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_int_equal(r->status, COH_EVM_REVERT);
    assert_true(coh_bytes_eq(r->output, coh_bytes("\xde\xad", 2)));
    coh_call_free(c);
    call(&w, 0xb0);
    c              = new_call(&w, COH_CALL_EXECUTE);
    r              = serve(&w, c);
    coh_rlp_t list = coh_rlp_reader(r->logs), logs, log;
    uint8_t addr[20];
    assert_int_equal(coh_rlp_list(&list, &logs), COH_OK);
    assert_int_equal(coh_rlp_list(&logs, &log), COH_OK);
    assert_int_equal(coh_rlp_fixed(&log, addr, 20), COH_OK);
    assert_int_equal(addr[19], 0xb0);
    coh_call_free(c);
    call(&w, 0xc0);
    c = new_call(&w, COH_CALL_EXECUTE);
    r = serve(&w, c);
    assert_int_equal(r->status, COH_EVM_UNDEFINED);
    assert_int_equal(r->gas_used, 1000000);
    coh_call_free(c);
    /* A creation: its address comes of the sender's own nonce. */
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, "0x60 0 MSTORE8 1 0 RETURN");
    w.tx.is_create     = true;
    w.tx.data          = coh_buf_bytes(&code);
    w.tx.nonce         = 77;
    c                  = new_call(&w, COH_CALL_EXECUTE);
    r                  = serve(&w, c);
    coh_addr_t created = coh_tx_created_address(&w.sender, 4);
    assert_int_equal(r->status, COH_EVM_SUCCESS);
    assert_true(coh_addr_eq(&r->created, &created));
    coh_call_free(c);
    coh_buf_free(&code);
    fini(&w);
}

static void call_overrides(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w, 0xa0, 100, "5 SLOAD 0 MSTORE 6 SLOAD 32 MSTORE SELFBALANCE 64 MSTORE 96 0 RETURN");
    put_slot(&w, 0xa0, 5, 55);
    put_slot(&w, 0xa0, 6, 66);
    call(&w, 0xa0);
    /* Some slots, or all of them. */
    w.overrides[0] = (coh_rec_override_t){
        .addr = addr_of(0xa0), .fields = COH_OVERRIDE_BALANCE, .balance = coh_u256(9)};
    w.override_cnt = 1;
    w.slots[0]     = (coh_rec_override_slot_t){
            .addr = addr_of(0xa0), .slot = coh_u256(6), .value = coh_u256(67)};
    w.slot_cnt                     = 1;
    coh_call_t *c                  = new_call(&w, COH_CALL_EXECUTE);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_words(r->output, 3, (uint64_t[]){55, 67, 9});
    coh_call_free(c);
    w.overrides[0].fields |= COH_OVERRIDE_STATE;
    c = new_call(&w, COH_CALL_EXECUTE);
    r = serve(&w, c);
    assert_words(r->output, 3, (uint64_t[]){0, 67, 9});
    coh_call_free(c);
    /* Code where there is none, and funds and a nonce of the sender. */
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, "0 0 0 CREATE 0 MSTORE CALLER BALANCE 32 MSTORE 64 0 RETURN");
    call(&w, 0xbb);
    w.slot_cnt     = 0;
    w.override_cnt = 2;
    w.overrides[0] = (coh_rec_override_t){.addr   = addr_of(0xbb),
                                          .fields = COH_OVERRIDE_CODE | COH_OVERRIDE_NONCE,
                                          .nonce  = 12,
                                          .code   = coh_buf_bytes(&code)};
    w.overrides[1] = (coh_rec_override_t){
        .addr = w.sender, .fields = COH_OVERRIDE_BALANCE, .balance = coh_u256(1)};
    c                = new_call(&w, COH_CALL_EXECUTE);
    r                = serve(&w, c);
    coh_addr_t owner = addr_of(0xbb);
    coh_addr_t made  = coh_tx_created_address(&owner, 12);
    assert_int_equal(r->output.n, 64);
    assert_memory_equal(r->output.p + 12, made.b, 20);
    assert_int_equal(r->output.p[63], 1);
    coh_call_free(c);
    /* No code where there is some. */
    call(&w, 0xa0);
    w.override_cnt = 1;
    w.overrides[0] = (coh_rec_override_t){.addr = addr_of(0xa0), .fields = COH_OVERRIDE_CODE};
    c              = new_call(&w, COH_CALL_EXECUTE);
    r              = serve(&w, c);
    assert_int_equal(r->output.n, 0);
    assert_int_equal(r->gas_used, 21000);
    coh_call_free(c);
    coh_buf_free(&code);
    fini(&w);
}

static void call_refuses_what_it_cannot_be(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    call(&w, 0xa0);
    assert_null(new_call(&w, COH_CALL_MODE_CNT));
    w.m.tracer = COH_TRACER_CNT;
    assert_null(new_call(&w, COH_CALL_TRACE));
    w.m.tracer      = 0;
    w.m.trace_flags = COH_TRACE_MASK + 1;
    assert_null(new_call(&w, COH_CALL_TRACE));
    w.m.trace_flags       = 0;
    w.override_cnt        = 1;
    w.overrides[0].fields = COH_OVERRIDE_MASK + 1;
    assert_null(new_call(&w, COH_CALL_EXECUTE));
    w.override_cnt           = 0;
    coh_rec_block_tx_t raw   = {.raw = coh_bytes("\x02\xc0", 2)};
    coh_msg_call_t malformed = {.mode = COH_CALL_EXECUTE, .txs = {.v = &raw, .cnt = 1}};
    assert_null(coh_call_new(&malformed, &w.limits, w.codes));
    malformed.txs.cnt = 0;
    assert_null(coh_call_new(&malformed, &w.limits, w.codes));
    malformed.mode    = COH_CALL_TRACE_BLOCK;
    malformed.txs.cnt = 0;
    malformed.fork    = COH_FORK_CNT;
    assert_null(coh_call_new(&malformed, &w.limits, w.codes));
    malformed.fork          = 0;
    malformed.overrides.cnt = COH_OVERRIDE_MAX + 1;
    assert_null(coh_call_new(&malformed, &w.limits, w.codes));
    malformed.overrides.cnt = 0;
    coh_call_t *c           = coh_call_new(&malformed, &w.limits, w.codes);
    assert_int_equal(serve(&w, c)->err, COH_CALL_OK); /* a block without transactions */
    coh_call_free(c);
    /* One that is ended, wherever it is. */
    put_code(&w, 0xa0, 0, "again: 1 POP @again JUMP");
    c = new_call(&w, COH_CALL_EXECUTE);
    assert_int_equal(coh_call_run(c), COH_CALL_RUN_WANTS);
    coh_call_end(c, COH_CALL_GONE);
    assert_int_equal(coh_call_run(c), COH_CALL_RUN_DONE);
    assert_int_equal(coh_call_result(c)->err, COH_CALL_GONE);
    coh_call_free(c);
    fini(&w);
}

/* ---- estimates ---- */

/* Whether the call succeeds with so much gas, by a transition alone. */
static bool succeeds_with(world_t *w, uint64_t gas)
{
    coh_transition_t *t = coh_transition_new();
    coh_tx_t tx         = w->tx;
    tx.gas_limit        = gas;
    coh_memview_begin_tx(w->mv);
    coh_transition_begin_call(t, &w->env, &tx, &w->sender, coh_memview_view(w->mv));
    assert_int_equal(coh_transition_run(t), COH_TRANSITION_DONE);
    coh_outcome_t const *o = coh_transition_outcome(t);
    bool ok                = o->verdict == COH_TX_OK && o->status != 0;
    coh_transition_free(t);
    return ok;
}

static uint64_t estimate(world_t *w, uint32_t ratio, coh_call_err_t wanted)
{
    w->m.ratio                     = ratio;
    coh_call_t *c                  = new_call(w, COH_CALL_ESTIMATE);
    coh_msg_call_result_t const *r = serve(w, c);
    assert_int_equal(r->err, wanted);
    uint64_t gas = r->gas;
    coh_call_free(c);
    return gas;
}

static void call_estimates_the_least_gas(void **state)
{
    (void)state;
    static char const *const texts[] = {
        "STOP",
        "1 2 SSTORE 3 4 SSTORE",
        "0 1 SSTORE 0 2 SSTORE",                                          /* refunds */
        "0 0 0 0 0 0xb0 GAS CALL ISZERO @bad JUMPI STOP bad: 0 0 REVERT", /* all but a 64th */
        "0 0 0 0 9 0xb0 GAS CALL ISZERO @bad JUMPI STOP bad: 0 0 REVERT", /* the stipend */
        "100000 GAS LT @bad JUMPI STOP bad: 0 0 REVERT", /* looks at what is left */
        "0 0 0 0 0 0xb0 30000 CALL POP 64 0 LOG0",
    };
    world_t w;
    init(&w);
    put_code(&w, 0xb0, 0, "7 8 SSTORE 7 9 SSTORE");
    for (size_t i = 0; i < COH_CNT(texts); i++) {
        put_code(&w, 0xa00 + i, 100, texts[i]);
        put_slot(&w, 0xa00 + i, 1, 5);
        put_slot(&w, 0xa00 + i, 2, 5);
        call(&w, 0xa00 + i);
        uint64_t gas = estimate(&w, 0, COH_CALL_OK);
        assert_true(succeeds_with(&w, gas));
        assert_false(succeeds_with(&w, gas - 1));
        uint64_t near = estimate(&w, 15, COH_CALL_OK);
        assert_true(succeeds_with(&w, near));
        assert_in_range(near, gas, gas + gas * 16 / 1000);
    }
    /* A plain transfer; one with data to nobody; a creation. */
    call(&w, 0xffff);
    assert_int_equal(estimate(&w, 15, COH_CALL_OK), 21000);
    w.tx.data = coh_bytes("\x01\x00\x01", 3);
    assert_int_equal(estimate(&w, 0, COH_CALL_OK), 21000 + 90); /* EIP-7623: 10 a token, 9 tokens */
    coh_buf_t code = COH_BUF_INIT;
    coh_test_asm(&code, "1 2 SSTORE 0x60 0 MSTORE8 1 0 RETURN");
    w.tx.is_create = true;
    w.tx.data      = coh_buf_bytes(&code);
    uint64_t gas   = estimate(&w, 0, COH_CALL_OK);
    assert_true(succeeds_with(&w, gas));
    assert_false(succeeds_with(&w, gas - 1));
    coh_buf_free(&code);
    fini(&w);
}

static void call_estimates_fail(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w, 0xa0, 0, "0xdead 0 MSTORE 2 30 REVERT");
    put_code(&w, 0xb0, 0, "again: @again JUMP");
    put_code(&w, 0xc0, 0, "GAS 0 MSTORE 7 32 SSTORE");
    call(&w, 0xa0);
    coh_call_t *c                  = new_call(&w, COH_CALL_ESTIMATE);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_FAILED);
    assert_int_equal(r->status, COH_EVM_REVERT);
    assert_true(coh_bytes_eq(r->output, coh_bytes("\xde\xad", 2)));
    coh_call_free(c);
    call(&w, 0xb0);
    w.limits.slice = 100000;
    assert_int_equal(estimate(&w, 0, COH_CALL_ALLOWANCE), 1000000); /* its own limit */
    w.tx.gas_limit  = 0;
    w.env.gas_limit = 700000;
    assert_int_equal(estimate(&w, 0, COH_CALL_ALLOWANCE), 700000); /* the block's */
    w.limits.gas_max = 600000;
    assert_int_equal(estimate(&w, 0, COH_CALL_ALLOWANCE), 600000); /* the option */
    w.tx.max_fee = coh_u256(UINT64_C(2000000));
    assert_int_equal(estimate(&w, 0, COH_CALL_ALLOWANCE), 500000); /* what the sender can pay */
    w.tx.value = coh_u256(UINT64_C(900000000000));
    assert_int_equal(estimate(&w, 0, COH_CALL_ALLOWANCE), 50000); /* beside the value */
    w.tx.value = coh_u256(UINT64_C(1000000000001));
    assert_int_equal(estimate(&w, 0, COH_CALL_REFUSED), 0);
    w.env.fork       = COH_FORK_OSAKA;
    w.env.gas_limit  = 30000000;
    w.limits.gas_max = 20000000;
    w.tx.max_fee     = coh_u256(0);
    w.tx.value       = coh_u256(0);
    assert_int_equal(estimate(&w, 0, COH_CALL_ALLOWANCE), 16777216); /* EIP-7825 */
    fini(&w);
}

/* ---- access lists ---- */

static void call_lists_accesses(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w,
             0xa0,
             0,
             "0 5 SLOAD POP 0 0 0 0 0xb0 50000 STATICCALL POP 0 0 0 0 2 5000 STATICCALL POP 0xd0 "
             "BALANCE POP "
             "0 0 0 0 0xc0 50000 DELEGATECALL POP CALLER BALANCE");
    put_code(&w, 0xb0, 0, "2 SLOAD 1 SLOAD 2 SLOAD");
    put_code(&w, 0xc0, 0, "9 SLOAD");
    call(&w, 0xa0);
    coh_call_t *c                  = new_call(&w, COH_CALL_ACCESS_LIST);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    /* The receiver is there for its slots alone, the precompiled contract and the sender are not. */
    struct {
        uint64_t addr;
        uint64_t slots[2];
        uint32_t cnt;
    } const wanted[] = {{0xa0, {5, 9}, 2}, {0xb0, {2, 1}, 2}, {0xd0, {0}, 0}, {0xc0, {0}, 0}};
    coh_tx_t tx      = {.access_list = r->access_list, .access_addr_cnt = 1};
    coh_rlp_t list   = coh_tx_access_iter(&tx);
    coh_rlp_t keys;
    coh_addr_t addr;
    coh_hash_t key;
    for (size_t i = 0; i < COH_CNT(wanted); i++) {
        coh_addr_t is = addr_of(wanted[i].addr);
        assert_true(coh_tx_access_next(&list, &addr, &keys));
        assert_true(coh_addr_eq(&addr, &is));
        for (uint32_t k = 0; k < wanted[i].cnt; k++) {
            assert_true(coh_tx_access_key_next(&keys, &key));
            assert_int_equal(key.b[31], wanted[i].slots[k]);
        }
        assert_false(coh_tx_access_key_next(&keys, &key));
    }
    assert_false(coh_tx_access_next(&list, &addr, &keys));
    /* The gas is that of a transaction with the list. */
    coh_transition_t *t  = coh_transition_new();
    coh_tx_t with        = w.tx;
    with.access_list     = r->access_list;
    with.access_addr_cnt = 4;
    with.access_key_cnt  = 4;
    coh_memview_begin_tx(w.mv);
    coh_transition_begin_call(t, &w.env, &with, &w.sender, coh_memview_view(w.mv));
    assert_int_equal(coh_transition_run(t), COH_TRANSITION_DONE);
    assert_int_equal(coh_transition_outcome(t)->gas_used, r->gas_used);
    coh_transition_free(t);
    coh_call_free(c);
    /* What is reached only with the list given: a contract that branches by the gas of a warm slot. */
    put_code(&w,
             0xe0,
             0,
             "GAS 5 SLOAD POP GAS SWAP1 SUB 1000 LT @cold JUMPI 6 SLOAD STOP cold: 7 SLOAD");
    call(&w, 0xe0);
    c    = new_call(&w, COH_CALL_ACCESS_LIST);
    r    = serve(&w, c);
    tx   = (coh_tx_t){.access_list = r->access_list, .access_addr_cnt = 1};
    list = coh_tx_access_iter(&tx);
    assert_true(coh_tx_access_next(&list, &addr, &keys));
    uint64_t seen = 0;
    while (coh_tx_access_key_next(&keys, &key)) {
        seen = seen * 10 + key.b[31];
    }
    assert_int_equal(seen, 576);
    coh_call_free(c);
    fini(&w);
}

/* ---- traces ---- */

static void assert_json(coh_bytes_t got, char const *wanted)
{
    json_error_t why;
    json_t *is     = json_loadb((char const *)got.p, got.n, 0, &why);
    json_t *should = json_loads(wanted, 0, &why);
    if (should == NULL) {
        fail_msg("the test's own JSON: %s at %d", why.text, why.position);
    }
    if (is == NULL || !json_equal(is, should)) {
        (void)fwrite(got.p, 1, got.n, stderr); /* all of it: a message is cut */
        fail_msg("another trace");
    }
    json_decref(is);
    json_decref(should);
}

static void trace_of(world_t *w, coh_tracer_kind_t kind, uint32_t flags, char const *wanted)
{
    w->m.tracer                    = kind;
    w->m.trace_flags               = flags;
    coh_call_t *c                  = new_call(w, COH_CALL_TRACE);
    coh_msg_call_result_t const *r = serve(w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_int_equal(r->traces.cnt, 1);
    assert_json(r->traces.v[0].json, wanted);
    coh_call_free(c);
}

static void call_traces_steps(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w, 0xa0, 0, "5 SLOAD 0 MSTORE 0 0 0 0 0 0xb0 5000 CALL 3 5 SSTORE");
    put_code(&w, 0xb0, 0, "ADD");
    put_slot(&w, 0xa0, 5, 0x1234);
    call(&w, 0xa0);
    w.tx.gas_limit = 100000;
    /* 2100 for the slot; 2600 for the account, and the 5000 that are lost there; 2900 for the change (EIP-2929, EIP-3529). */
    trace_of(
        &w,
        COH_TRACER_STRUCT,
        COH_TRACE_MEMORY,
        "{\"gas\":33639,\"failed\":false,\"returnValue\":\"0x\",\"structLogs\":["
        "{\"pc\":0,\"op\":\"PUSH1\",\"gas\":79000,\"gasCost\":3,\"depth\":1,\"stack\":[]},"
        "{\"pc\":2,\"op\":\"SLOAD\",\"gas\":78997,\"gasCost\":2100,\"depth\":1,\"stack\":[\"0x5\"],"
        "\"storage\":{\"0000000000000000000000000000000000000000000000000000000000000005\":"
        "\"0000000000000000000000000000000000000000000000000000000000001234\"}},"
        "{\"pc\":3,\"op\":\"PUSH1\",\"gas\":76897,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x1234\"]}"
        ","
        "{\"pc\":5,\"op\":\"MSTORE\",\"gas\":76894,\"gasCost\":6,\"depth\":1,\"stack\":[\"0x1234\","
        "\"0x0\"]},"
        "{\"pc\":6,\"op\":\"PUSH1\",\"gas\":76888,\"gasCost\":3,\"depth\":1,\"stack\":[],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":8,\"op\":\"PUSH1\",\"gas\":76885,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":10,\"op\":\"PUSH1\",\"gas\":76882,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\","
        "\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":12,\"op\":\"PUSH1\",\"gas\":76879,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\","
        "\"0x0\",\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":14,\"op\":\"PUSH1\",\"gas\":76876,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\","
        "\"0x0\",\"0x0\",\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":16,\"op\":\"PUSH1\",\"gas\":76873,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\","
        "\"0x0\",\"0x0\",\"0x0\",\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":18,\"op\":\"PUSH2\",\"gas\":76870,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\","
        "\"0x0\",\"0x0\",\"0x0\",\"0x0\",\"0xb0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":21,\"op\":\"CALL\",\"gas\":76867,\"gasCost\":7600,\"depth\":1,"
        "\"stack\":[\"0x0\",\"0x0\",\"0x0\",\"0x0\",\"0x0\",\"0xb0\",\"0x1388\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":0,\"op\":\"ADD\",\"gas\":5000,\"gasCost\":3,\"depth\":2,\"stack\":[],\"error\":"
        "\"stack underflow\"},"
        "{\"pc\":22,\"op\":\"PUSH1\",\"gas\":69267,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":24,\"op\":\"PUSH1\",\"gas\":69264,\"gasCost\":3,\"depth\":1,\"stack\":[\"0x0\","
        "\"0x3\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]},"
        "{\"pc\":26,\"op\":\"SSTORE\",\"gas\":69261,\"gasCost\":2900,\"depth\":1,\"stack\":["
        "\"0x0\",\"0x3\",\"0x5\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"],"
        "\"storage\":{\"0000000000000000000000000000000000000000000000000000000000000005\":"
        "\"0000000000000000000000000000000000000000000000000000000000000003\"}},"
        "{\"pc\":27,\"op\":\"STOP\",\"gas\":66361,\"gasCost\":0,\"depth\":1,\"stack\":[\"0x0\"],"
        "\"memory\":[\"0000000000000000000000000000000000000000000000000000000000001234\"]}]}");
    fini(&w);
}

static void call_traces_calls(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w,
             0xa0,
             50,
             "0 0 0 0 7 0xb0 50000 CALL 1 0 0 LOG1 0 0 0 0 0xc0 50000 STATICCALL 0 0 0 0 500 0xb0 "
             "9000 CALL");
    put_code(&w, 0xb0, 0, "2 0 0 LOG1 0 0 0 0 0xd0 1000 DELEGATECALL STOP");
    /* Error("no \"good\"\n") */
    put_code(&w,
             0xc0,
             0,
             "PUSH32 0x08c379a000000000000000000000000000000000000000000000000000000000 0 MSTORE "
             "32 4 MSTORE 10 36 MSTORE "
             "PUSH10 0x6e6f2022676f6f64220a 176 SHL 68 MSTORE 100 0 REVERT");
    call(&w, 0xa0);
    w.tx.gas_limit = 200000;
    w.tx.value     = coh_u256(3);
    w.tx.data      = coh_bytes("\x12\x34", 2);
    /* 21032; 21 + 11600 + 3377 less the stipend; 759; 18 + 2600 + 60; 21 + 9100 less the stipend. */
    trace_of(
        &w,
        COH_TRACER_CALLS,
        COH_TRACE_WITH_LOG,
        "{\"from\":\"0x0000000000000000000000000000000000005000\",\"gas\":\"0x30d40\",\"gasUsed\":"
        "\"0xabd4\","
        "\"to\":\"0x00000000000000000000000000000000000000a0\",\"input\":\"0x1234\",\"value\":"
        "\"0x3\",\"type\":\"CALL\","
        "\"logs\":[{\"address\":\"0x00000000000000000000000000000000000000a0\","
        "\"topics\":[\"0x0000000000000000000000000000000000000000000000000000000000000001\"],"
        "\"data\":\"0x\",\"position\":\"0x1\"}],"
        "\"calls\":[{\"from\":\"0x00000000000000000000000000000000000000a0\",\"gas\":\"0xcc4c\","
        "\"gasUsed\":\"0xd31\","
        "\"to\":\"0x00000000000000000000000000000000000000b0\",\"input\":\"0x\",\"value\":\"0x7\","
        "\"type\":\"CALL\","
        "\"logs\":[{\"address\":\"0x00000000000000000000000000000000000000b0\","
        "\"topics\":[\"0x0000000000000000000000000000000000000000000000000000000000000002\"],"
        "\"data\":\"0x\",\"position\":\"0x0\"}],"
        "\"calls\":[{\"from\":\"0x00000000000000000000000000000000000000b0\",\"gas\":\"0x3e8\","
        "\"gasUsed\":\"0x0\","
        "\"to\":\"0x00000000000000000000000000000000000000d0\",\"input\":\"0x\",\"value\":\"0x7\","
        "\"type\":\"DELEGATECALL\"}]},"
        "{\"from\":\"0x00000000000000000000000000000000000000a0\",\"gas\":\"0xc350\",\"gasUsed\":"
        "\"0x3c\","
        "\"to\":\"0x00000000000000000000000000000000000000c0\",\"input\":\"0x\",\"type\":"
        "\"STATICCALL\","
        "\"output\":\"0x08c379a00000000000000000000000000000000000000000000000000000000000000020"
        "000000000000000000000000000000000000000000000000000000000000000a"
        "6e6f2022676f6f64220a00000000000000000000000000000000000000000000\","
        "\"error\":\"execution reverted\",\"revertReason\":\"no \\\"good\\\"\\n\"},"
        "{\"from\":\"0x00000000000000000000000000000000000000a0\",\"gas\":\"0x2c24\",\"gasUsed\":"
        "\"0x0\","
        "\"to\":\"0x00000000000000000000000000000000000000b0\",\"input\":\"0x\",\"value\":"
        "\"0x1f4\",\"type\":\"CALL\","
        "\"error\":\"insufficient balance for transfer\"}]}");
    trace_of(&w,
             COH_TRACER_CALLS,
             COH_TRACE_ONLY_TOP,
             "{\"from\":\"0x0000000000000000000000000000000000005000\",\"gas\":\"0x30d40\","
             "\"gasUsed\":\"0xabd4\","
             "\"to\":\"0x00000000000000000000000000000000000000a0\",\"input\":\"0x1234\",\"value\":"
             "\"0x3\",\"type\":\"CALL\"}");
    /* A plain transfer is one call. */
    call(&w, 0xeeee);
    w.tx.data = (coh_bytes_t){0};
    trace_of(&w,
             COH_TRACER_CALLS,
             0,
             "{\"from\":\"0x0000000000000000000000000000000000005000\",\"gas\":\"0x30d40\","
             "\"gasUsed\":\"0x5208\","
             "\"to\":\"0x000000000000000000000000000000000000eeee\",\"input\":\"0x\",\"value\":"
             "\"0x3\",\"type\":\"CALL\"}");
    fini(&w);
}

static void call_traces_state(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(&w, 0xa0, 50, "5 SLOAD 6 SSTORE 7 SLOAD 0xb0 BALANCE 0 0 0 0 4 0xdd 9000 CALL");
    put_code(&w, 0xb0, 9, "STOP");
    put_slot(&w, 0xa0, 5, 0x55);
    put_slot(&w, 0xa0, 7, 0x77);
    call(&w, 0xa0);
    w.tx.gas_limit = 100000;
    w.tx.max_fee   = coh_u256(12);
    w.tx.max_tip   = coh_u256(2);
    trace_of(&w,
             COH_TRACER_PRESTATE,
             0,
             "{\"0x0000000000000000000000000000000000005000\":{\"balance\":\"0xe8d4a51000\","
             "\"nonce\":4},"
             "\"0x00000000000000000000000000000000000000a0\":{\"balance\":\"0x32\",\"nonce\":1,"
             "\"code\":\"0x60055460065560075460b03160006000600060006004"
             "60dd612328f1\",\"storage\":{"
             "\"0x0000000000000000000000000000000000000000000000000000000000000005\":"
             "\"0x0000000000000000000000000000000000000000000000000000000000000055\","
             "\"0x0000000000000000000000000000000000000000000000000000000000000006\":"
             "\"0x0000000000000000000000000000000000000000000000000000000000000000\","
             "\"0x0000000000000000000000000000000000000000000000000000000000000007\":"
             "\"0x0000000000000000000000000000000000000000000000000000000000000077\"}},"
             "\"0x00000000000000000000000000000000000000b0\":{\"balance\":\"0x9\",\"nonce\":1,"
             "\"code\":\"0x00\"}}");
    /* 21000, two cold slots, one set from 0 (22100), a cold balance, a cold call with value to a new account: 9000 + 25000, less nothing: the stipend is used by nobody. */
    uint64_t gas = 21000 + 3 * 11 + 2 * 2100 + 22100 + 2600 + 2600 + 9000 + 25000 - 2300;
    char wanted[4096];
    (void)snprintf(
        wanted,
        sizeof(wanted),
        "{\"pre\":{\"0x0000000000000000000000000000000000005000\":{\"balance\":\"0xe8d4a51000\","
        "\"nonce\":4},"
        "\"0x00000000000000000000000000000000000000a0\":{\"balance\":\"0x32\",\"nonce\":1}},"
        "\"post\":{\"0x0000000000000000000000000000000000005000\":{\"balance\":\"0x%llx\","
        "\"nonce\":5},"
        "\"0x00000000000000000000000000000000000000a0\":{\"balance\":\"0x2e\",\"storage\":{"
        "\"0x0000000000000000000000000000000000000000000000000000000000000006\":"
        "\"0x0000000000000000000000000000000000000000000000000000000000000055\"}},"
        "\"0x00000000000000000000000000000000000000dd\":{\"balance\":\"0x4\"},"
        "\"0x000000000000000000000000000000000000cccc\":{\"balance\":\"0x%llx\"}}}",
        (unsigned long long)(UINT64_C(1000000000000) - 12 * gas),
        (unsigned long long)(2 * gas));
    trace_of(&w, COH_TRACER_PRESTATE, COH_TRACE_DIFF | COH_TRACE_NO_CODE, wanted);
    fini(&w);
}

/* A trace that is too large ends the call, however it grows. */
static void call_traces_are_bounded(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    put_code(
        &w, 0xa0, 0, "1000 0 MSTORE again: 0 0 0 0 4 5000 STATICCALL POP 1 0 0 LOG1 @again JUMP");
    put_code(&w, 0xb0, 0, "0 again: DUP1 SLOAD POP DUP1 BALANCE POP 1 ADD @again JUMP");
    w.limits.slice           = 100000;
    w.limits.trace_bytes_max = 100000;
    w.tx.gas_limit           = 20000000;
    for (uint32_t kind = 0; kind < COH_TRACER_CNT; kind++) {
        call(&w, kind == COH_TRACER_PRESTATE ? 0xb0 : 0xa0);
        w.m.tracer      = kind;
        w.m.trace_flags = kind == COH_TRACER_CALLS ? COH_TRACE_WITH_LOG : 0;
        coh_call_t *c   = new_call(&w, COH_CALL_TRACE);
        assert_int_equal(serve(&w, c)->err, COH_CALL_MEMORY);
        assert_in_range(coh_call_bytes(c), 0, 8 << 20);
        coh_call_free(c);
    }
    fini(&w);
}

/* ---- random contracts, alone and in a row ---- */

enum { TARGETS = 12, ROW = 8 };

static void random_world(world_t *w, coh_rng_t *rng, coh_addr_t targets[TARGETS])
{
    init(w);
    for (uint32_t i = 0; i < TARGETS; i++) {
        targets[i] = i + 1 < TARGETS ? addr_of(0xa00 + i) : addr_of(4);
    }
    coh_codegen_t gen = {
        .fork = w->env.fork, .targets = targets, .target_cnt = TARGETS, .block_number = 49};
    for (uint32_t i = 0; i + 3 < TARGETS; i++) {
        coh_buf_t code = COH_BUF_INIT;
        coh_codegen_contract(&code, &gen, rng);
        coh_u256_t balance = coh_u256(1000);
        coh_memview_put_account(w->mv, &targets[i], 1, &balance, coh_buf_bytes(&code));
        coh_buf_free(&code);
    }
    w->limits.slice = 1 + coh_rng_below(rng, 50);
}

static void random_tx(world_t *w, coh_rng_t *rng, coh_addr_t const *targets, uint8_t data[32])
{
    for (int i = 0; i < 32; i++) {
        data[i] = (uint8_t)coh_rng_next(rng);
    }
    w->tx.to        = targets[coh_rng_below(rng, TARGETS)];
    w->tx.data      = coh_bytes(data, 32);
    w->tx.value     = coh_u256(coh_rng_below(rng, 50));
    w->tx.gas_limit = 30000 + coh_rng_below(rng, 800000);
    w->tx.max_fee   = coh_u256(coh_rng_percent(rng, 50) ? 0 : 20);
    w->tx.max_tip   = coh_u256(coh_u256_is_zero(&w->tx.max_fee) ? 0 : 3);
}

static void assert_same(coh_msg_call_result_t const *r, coh_transition_t *t, coh_outcome_t const *o)
{
    assert_int_equal(r->err, o->verdict == COH_TX_OK ? COH_CALL_OK : COH_CALL_REFUSED);
    assert_int_equal(r->verdict, o->verdict);
    if (o->verdict == COH_TX_OK) {
        coh_buf_t logs = COH_BUF_INIT;
        if (o->log_cnt != 0) {
            coh_outcome_put_logs(&logs, o);
        }
        assert_int_equal(r->status, coh_transition_halt(t));
        assert_int_equal(r->gas_used, o->gas_used);
        assert_true(coh_bytes_eq(r->output, o->output));
        assert_true(coh_bytes_eq(r->logs, coh_buf_bytes(&logs)));
        coh_buf_free(&logs);
    }
}

static void calls_of_random_contracts(void **state)
{
    (void)state;
    uint32_t ok = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        coh_rng_t rng;
        world_t w;
        coh_addr_t targets[TARGETS];
        coh_rng_seed(&rng, seed);
        random_world(&w, &rng, targets);
        coh_transition_t *t = coh_transition_new();
        for (uint32_t i = 0; i < 10; i++) {
            uint8_t data[32];
            random_tx(&w, &rng, targets, data);
            coh_memview_begin_tx(w.mv);
            coh_transition_begin_call(t, &w.env, &w.tx, &w.sender, coh_memview_view(w.mv));
            assert_int_equal(coh_transition_run(t), COH_TRANSITION_DONE);
            coh_outcome_t const *o = coh_transition_outcome(t);
            coh_call_t *c          = new_call(&w, COH_CALL_EXECUTE);
            assert_same(serve(&w, c), t, o);
            coh_call_free(c);
            /* Watching changes nothing, and what is told is JSON. */
            w.m.tracer                     = (uint32_t)coh_rng_below(&rng, COH_TRACER_CNT);
            w.m.trace_flags                = (uint32_t)coh_rng_below(&rng, COH_TRACE_MASK + 1);
            c                              = new_call(&w, COH_CALL_TRACE);
            coh_msg_call_result_t const *r = serve(&w, c);
            if (r->err != COH_CALL_MEMORY) {
                assert_same(r, t, o);
                json_error_t why;
                json_t *json = r->traces.cnt == 0 ? NULL
                                                  : json_loadb((char const *)r->traces.v[0].json.p,
                                                               r->traces.v[0].json.n,
                                                               JSON_REJECT_DUPLICATES,
                                                               &why);
                assert_true((json != NULL) == (r->err == COH_CALL_OK));
                json_decref(json);
            }
            coh_call_free(c);
            if (o->verdict == COH_TX_OK && o->status != 0) {
                ok++;
                uint64_t gas = estimate(&w, 0, COH_CALL_OK);
                assert_true(succeeds_with(&w, gas));
            }
        }
        coh_transition_free(t);
        fini(&w);
    }
    assert_true(ok > 100);
}

/* Steps of a block are executed in their places, and not traced. */
static void calls_of_blocks_with_steps(void **state)
{
    (void)state;
    world_t w;
    coh_addr_t to    = addr_of(0x700);
    uint8_t word[32] = {[31] = 0x5a};
    coh_buf_t step   = COH_BUF_INIT;
    init(&w);
    /* stores what it is called with, and returns what was stored before */
    put_code(
        &w,
        0x700,
        0,
        "PUSH1 0 SLOAD PUSH1 0 MSTORE PUSH1 0 CALLDATALOAD PUSH1 0 SSTORE PUSH1 32 PUSH1 0 RETURN");
    coh_step_put(&step,
                 &(coh_step_t){.kind = COH_STEP_CALL, .to = to, .data = coh_bytes(word, 32)});
    w.tx.to      = to;
    w.tx.nonce   = 4;
    w.tx.max_fee = coh_u256(20);
    coh_call_free(new_call(&w, COH_CALL_EXECUTE)); /* sets the environment */
    coh_rec_block_tx_t txs[2]      = {{.is_step = 1, .raw = coh_buf_bytes(&step)},
                                      {.sender = w.sender, .raw = coh_buf_bytes(&w.raw)}};
    w.m.mode                       = COH_CALL_TRACE_BLOCK;
    w.m.tracer                     = COH_TRACER_CALLS;
    w.m.txs.v                      = txs;
    w.m.txs.cnt                    = 2;
    coh_call_t *c                  = coh_call_new(&w.m, &w.limits, w.codes);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_int_equal(r->traces.cnt, 1);
    assert_int_equal(r->output.n, 32);
    assert_int_equal(r->output.p[31], 0x5a);
    coh_call_free(c);
    /* Its place in the access list is before the transactions, or behind them. */
    coh_rec_block_tx_t three[3] = {txs[0], txs[1], txs[0]};
    w.m.mode                    = COH_CALL_ACCESSES;
    w.m.traced                  = 1;
    w.m.txs.v                   = three;
    w.m.txs.cnt                 = 3;
    c                           = coh_call_new(&w.m, &w.limits, w.codes);
    r                           = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    /* [0x700, [[0, [[0, 0x5a], [1, 0], [2, 0x5a]]]], [], [], [], []] */
    coh_bytes_t slots = coh_bytes("\xcc\xcb\x80\xc9\xc2\x80\x5a\xc2\x01\x80\xc2\x02\x5a\xc0", 14);
    assert_non_null(memmem(r->access_list.p, r->access_list.n, slots.p, slots.n));
    coh_call_free(c);
    w.m.mode    = COH_CALL_TRACE_BLOCK;
    w.m.traced  = 0;
    w.m.txs.v   = txs;
    w.m.txs.cnt = 2;
    /* One that does not decode, and one where there are none. */
    txs[0].raw.n--;
    assert_null(coh_call_new(&w.m, &w.limits, w.codes));
    txs[0].raw.n++;
    w.m.mode    = COH_CALL_EXECUTE;
    w.m.txs.cnt = 1;
    assert_null(coh_call_new(&w.m, &w.limits, w.codes));
    coh_buf_free(&step);
    fini(&w);
}

/* A call is traced where a transaction of a block stood: what comes before it is executed as in the block, overrides and another environment are for the call alone. */
static void calls_behind_transactions(void **state)
{
    (void)state;
    static struct {
        bool overrides;
        uint64_t last_number;    /* 0: none is given */
        uint64_t loaded, number; /* what the call returns */
    } const cases[] = {
        {false, 0, 50, 50}, {false, 90, 50, 90}, {true, 0, 0x77, 50}, {true, 90, 0x77, 90}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        world_t w;
        coh_addr_t to  = addr_of(0x700);
        coh_buf_t step = COH_BUF_INIT;
        coh_buf_t raw  = COH_BUF_INIT;
        init(&w);
        /* returns what was stored before and the block's number, and stores that */
        put_code(&w, 0x700, 0, "0 SLOAD 0 MSTORE NUMBER 32 MSTORE NUMBER 0 SSTORE 64 0 RETURN");
        coh_step_put(&step, &(coh_step_t){.kind = COH_STEP_CALL, .to = to});
        w.tx.to      = addr_of(0x800);
        w.tx.nonce   = 4;
        w.tx.value   = coh_u256(3);
        w.tx.max_fee = coh_u256(20);
        coh_tx_encode(&raw, &w.tx);
        w.tx.to        = to;
        w.tx.value     = coh_u256(0);
        w.tx.max_fee   = coh_u256(0);
        w.overrides[0] = (coh_rec_override_t){
            .addr = to, .fields = COH_OVERRIDE_BALANCE, .balance = coh_u256(1)};
        w.overrides[1] = (coh_rec_override_t){.addr = addr_of(0x999), .fields = COH_OVERRIDE_NONCE};
        w.slots[0]     = (coh_rec_override_slot_t){.addr = to, .value = coh_u256(0x77)};
        w.override_cnt = cases[i].overrides ? 2 : 0;
        w.slot_cnt     = cases[i].overrides ? 1 : 0;
        coh_call_free(new_call(&w, COH_CALL_EXECUTE)); /* sets the environment */
        coh_rec_block_tx_t txs[3]      = {{.is_step = 1, .raw = coh_buf_bytes(&step)},
                                          {.sender = w.sender, .raw = coh_buf_bytes(&raw)},
                                          {.sender = w.sender, .raw = coh_buf_bytes(&w.raw)}};
        coh_rec_call_env_t env         = {.number    = 90,
                                          .timestamp = w.env.timestamp,
                                          .gas_limit = w.env.gas_limit,
                                          .base_fee  = w.env.base_fee,
                                          .coinbase  = w.env.coinbase};
        w.m.mode                       = COH_CALL_TRACE;
        w.m.tracer                     = COH_TRACER_CALLS;
        w.m.txs.v                      = txs;
        w.m.txs.cnt                    = 3;
        w.m.last_env.v                 = &env;
        w.m.last_env.cnt               = cases[i].last_number != 0;
        coh_call_t *c                  = coh_call_new(&w.m, &w.limits, w.codes);
        coh_msg_call_result_t const *r = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_OK);
        assert_int_equal(r->traces.cnt, 1);
        assert_int_equal(r->output.n, 64);
        assert_int_equal(r->output.p[31], cases[i].loaded);
        assert_int_equal(r->output.p[63], cases[i].number);
        coh_call_free(c);
        /* What comes before is a block's: with another nonce it is none. The last is no step, and one environment is enough. */
        coh_rec_block_tx_t twice[3] = {txs[1], txs[1], txs[2]};
        w.m.txs.v                   = twice;
        c                           = coh_call_new(&w.m, &w.limits, w.codes);
        r                           = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_REFUSED);
        assert_int_equal(r->tx_idx, 1);
        coh_call_free(c);
        coh_rec_block_tx_t steps[2] = {txs[1], txs[0]};
        w.m.txs.v                   = steps;
        w.m.txs.cnt                 = 2;
        assert_null(coh_call_new(&w.m, &w.limits, w.codes));
        w.m.txs.v        = txs;
        w.m.txs.cnt      = 3;
        w.m.last_env.cnt = 2;
        assert_null(coh_call_new(&w.m, &w.limits, w.codes));
        coh_buf_free(&step);
        coh_buf_free(&raw);
        fini(&w);
    }
}

/* geth adds entries until they are more octets than the limit. */
static void struct_logs_up_to_a_limit(void **state)
{
    (void)state;
    size_t first = 0;
    for (uint32_t wanted = 1; wanted <= 3; wanted++) {
        world_t w;
        init(&w);
        put_code(&w, 0x700, 0, "1 POP 2 POP STOP");
        w.tx.to                        = addr_of(0x700);
        w.m.trace_limit                = wanted == 1 ? 1 : wanted == 2 ? first : first + 1;
        coh_call_t *c                  = new_call(&w, COH_CALL_TRACE);
        coh_msg_call_result_t const *r = serve(&w, c);
        json_t *json =
            json_loadb((char const *)r->traces.v[0].json.p, r->traces.v[0].json.n, 0, NULL);
        json_t *logs = json_object_get(json, "structLogs");
        /* One octet is less than the first entry; as many as it has are not more than it. */
        assert_int_equal(json_array_size(logs), wanted == 1 ? 1 : 2);
        char const *end = memmem(r->traces.v[0].json.p, r->traces.v[0].json.n, "}", 1);
        char const *at  = memmem(r->traces.v[0].json.p, r->traces.v[0].json.n, "{\"pc\"", 5);
        assert_true(at != NULL && end != NULL);
        first = (size_t)(end - at) + 1;
        json_decref(json);
        coh_call_free(c);
        fini(&w);
    }
}

/* A row of transactions is executed as one block's; the last half is traced. */
static void calls_of_blocks(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        coh_rng_t rng;
        world_t w;
        coh_addr_t targets[TARGETS];
        coh_buf_t raws[ROW];
        coh_rec_block_tx_t txs[ROW];
        uint64_t gas[ROW];
        uint8_t data[ROW][32];
        coh_rng_seed(&rng, 1000 + seed);
        random_world(&w, &rng, targets);
        w.limits.wanted_max =
            1 + (uint32_t)coh_rng_below(&rng, 40); /* scouts come far, or nowhere */
        coh_memview_save(w.mv);
        coh_transition_t *t         = coh_transition_new();
        coh_access_list_t *accesses = coh_access_list_new();
        coh_access_source_t source  = coh_access_source_memview(w.mv);
        coh_access_list_begin(accesses, &source);
        for (uint32_t i = 0; i < ROW; i++) {
            random_tx(&w, &rng, targets, data[i]);
            w.tx.nonce   = 4 + i;
            w.tx.max_fee = coh_u256(20);
            raws[i]      = COH_BUF_INIT;
            coh_tx_encode(&raws[i], &w.tx);
            txs[i] = (coh_rec_block_tx_t){.sender = w.sender, .raw = coh_buf_bytes(&raws[i])};
            coh_memview_begin_tx(w.mv);
            coh_transition_begin(t, &w.env, &w.tx, &w.sender, coh_memview_view(w.mv));
            assert_int_equal(coh_transition_run(t), COH_TRANSITION_DONE);
            coh_outcome_t const *o = coh_transition_outcome(t);
            assert_int_equal(o->verdict, COH_TX_OK);
            gas[i] = o->gas_used;
            coh_access_list_watch(accesses, i + 1, o, coh_transition_state(t));
            coh_memview_apply(w.mv, o);
        }
        coh_buf_t list = COH_BUF_INIT;
        coh_access_list_put(&list, accesses);
        coh_access_list_free(accesses);
        coh_memview_restore(w.mv);
        coh_call_t *c = new_call(&w, COH_CALL_EXECUTE); /* sets the environment */
        coh_call_free(c);
        w.m.mode                       = COH_CALL_TRACE_BLOCK;
        w.m.tracer                     = COH_TRACER_CALLS;
        w.m.trace_flags                = COH_TRACE_ONLY_TOP;
        w.m.traced                     = ROW / 2;
        w.m.txs.v                      = txs;
        w.m.txs.cnt                    = ROW;
        c                              = coh_call_new(&w.m, &w.limits, w.codes);
        coh_msg_call_result_t const *r = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_OK);
        assert_int_equal(r->traces.cnt, ROW / 2);
        for (uint32_t i = 0; i < ROW / 2; i++) {
            json_t *json =
                json_loadb((char const *)r->traces.v[i].json.p, r->traces.v[i].json.n, 0, NULL);
            assert_int_equal(strtoull(json_string_value(json_object_get(json, "gasUsed")), NULL, 0),
                             gas[ROW / 2 + i]);
            json_decref(json);
        }
        coh_call_free(c);
        /* What they touched and changed is what the transitions told. */
        w.m.mode   = COH_CALL_ACCESSES;
        w.m.traced = 0;
        c          = coh_call_new(&w.m, &w.limits, w.codes);
        r          = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_OK);
        assert_true(coh_bytes_eq(r->access_list, coh_buf_bytes(&list)));
        coh_call_free(c);
        coh_buf_free(&list);
        /* One that is not valid at its turn is no block. */
        txs[3] = txs[1];
        c      = coh_call_new(&w.m, &w.limits, w.codes);
        r      = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_REFUSED);
        assert_int_equal(r->verdict, COH_TX_NONCE_TOO_LOW);
        assert_int_equal(r->tx_idx, 3);
        coh_call_free(c);
        for (uint32_t i = 0; i < ROW; i++) {
            coh_buf_free(&raws[i]);
        }
        coh_transition_free(t);
        fini(&w);
    }
}

/* The storage that a block's transactions reach one slot after the other is asked for together, also where what a transaction reaches depends on those before it. */
static void ask_together(bool depends, uint32_t rounds_max)
{
    enum { CNT = 120, FIRST = 4 };
    world_t w;
    init(&w);
    w.limits.wanted_max = 256;
    w.limits.slice      = 100;
    /* The slot that the data names holds the next one's name, and that one a third's, whose value is returned; if it depends, then also the one that the number of transactions so far names. */
    put_code(&w,
             0xa0,
             0,
             depends ? "0 CALLDATALOAD SLOAD SLOAD SLOAD 0 MSTORE "
                       "0 SLOAD DUP1 1 ADD 0 SSTORE 0x9000 ADD SLOAD 32 MSTORE 64 0 RETURN"
                     : "0 CALLDATALOAD SLOAD SLOAD SLOAD 0 MSTORE 64 0 RETURN");
    for (uint64_t i = 0; i < CNT; i++) {
        put_slot(&w, 0xa0, 0x1000 + i, 0x2000 + i);
        put_slot(&w, 0xa0, 0x2000 + i, 0x3000 + i);
        put_slot(&w, 0xa0, 0x3000 + i, 7 * i);
        put_slot(&w, 0xa0, 0x9000 + i, 11 * i);
    }
    coh_buf_t raws[CNT];
    coh_rec_block_tx_t txs[CNT];
    for (uint64_t i = 0; i < CNT; i++) {
        uint8_t word[32] = {[30] = 0x10, [31] = (uint8_t)i};
        call(&w, 0xa0);
        w.tx.data    = coh_bytes(word, 32);
        w.tx.nonce   = FIRST + i;
        w.tx.max_fee = coh_u256(20);
        raws[i]      = COH_BUF_INIT;
        coh_tx_encode(&raws[i], &w.tx);
        txs[i] = (coh_rec_block_tx_t){.sender = w.sender, .raw = coh_buf_bytes(&raws[i])};
    }
    w.tx.data = (coh_bytes_t){0};
    coh_call_free(new_call(&w, COH_CALL_EXECUTE)); /* sets the environment */
    w.m.mode                       = COH_CALL_TRACE_BLOCK;
    w.m.tracer                     = COH_TRACER_CALLS;
    w.m.trace_flags                = 0;
    w.m.txs.v                      = txs;
    w.m.txs.cnt                    = CNT;
    coh_call_t *c                  = coh_call_new(&w.m, &w.limits, w.codes);
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_int_equal(r->traces.cnt, CNT);
    for (uint32_t i = 0; i < CNT; i++) {
        char wanted[160];
        (void)snprintf(
            wanted, sizeof(wanted), "\"output\":\"0x%064x%064x\"", 7 * i, depends ? 11 * i : 0);
        assert_non_null(
            memmem(r->traces.v[i].json.p, r->traces.v[i].json.n, wanted, strlen(wanted)));
    }
    /* Three slots each, or four and one of all; sender, contract, code, coinbase. */
    assert_int_equal(w.wanted_cnt, depends ? 4 * CNT + 1 + 4 : 3 * CNT + 4);
    assert_in_range(w.rounds, 1, rounds_max);
    coh_call_free(c);
    for (uint32_t i = 0; i < CNT; i++) {
        coh_buf_free(&raws[i]);
    }
    fini(&w);
}

static void calls_of_blocks_ask_together(void **state)
{
    (void)state;
    ask_together(false, 12);
    ask_together(true, 132); /* the last slot of each is known when it is its turn */
}

/* ---- simulation ---- */

/* A transaction of a simulated block. */
typedef struct {
    uint64_t to;
    uint64_t value;
    uint64_t gas; /* 0: none given */
    uint64_t nonce;
    uint8_t given;
} sim_tx_t;

/* Begins block number with these transactions of the world's sender on top of what before says. */
static coh_call_t *new_simulation(world_t *w,
                                  uint64_t number,
                                  uint32_t flags,
                                  sim_tx_t const *txs,
                                  uint32_t cnt,
                                  coh_msg_call_result_t const *before,
                                  coh_bytes_t hashes)
{
    coh_rec_block_tx_t recs[4];
    size_t ends[4];
    uint8_t given[4];
    coh_buf_clear(&w->raw);
    for (uint32_t i = 0; i < cnt; i++) {
        w->tx.to        = addr_of(txs[i].to);
        w->tx.value     = coh_u256(txs[i].value);
        w->tx.gas_limit = txs[i].gas;
        w->tx.nonce     = txs[i].nonce;
        given[i]        = txs[i].given;
        coh_tx_encode(&w->raw, &w->tx);
        ends[i] = w->raw.n;
    }
    for (uint32_t i = 0; i < cnt; i++) {
        size_t at = i == 0 ? 0 : ends[i - 1];
        recs[i]   = (coh_rec_block_tx_t){.sender = w->sender,
                                         .raw    = coh_bytes(w->raw.p + at, ends[i] - at)};
    }
    coh_msg_call_t m = {.block       = 50,
                        .mode        = COH_CALL_SIMULATE,
                        .fork        = (uint32_t)w->env.fork,
                        .number      = number,
                        .timestamp   = w->env.timestamp,
                        .gas_limit   = w->env.gas_limit,
                        .chain_id    = w->env.chain_id,
                        .base_fee    = w->env.base_fee,
                        .blob_max    = w->env.blob_max,
                        .coinbase    = w->env.coinbase,
                        .trace_flags = flags,
                        .budget      = 20000000,
                        .given       = coh_bytes(given, cnt),
                        .hashes      = hashes};
    m.txs.v          = recs;
    m.txs.cnt        = cnt;
    m.overrides.v    = w->overrides;
    m.overrides.cnt  = w->override_cnt;
    m.slots.v        = w->slots;
    m.slots.cnt      = w->slot_cnt;
    m.moves          = w->m.moves;
    if (before != NULL) {
        m.accounts.v   = before->accounts.v;
        m.accounts.cnt = before->accounts.cnt;
        m.storage.v    = before->storage.v;
        m.storage.cnt  = before->storage.cnt;
        m.codes.v      = before->codes.v;
        m.codes.cnt    = before->codes.cnt;
    }
    return coh_call_new(&m, &w->limits, w->codes);
}

static coh_rec_sim_account_t const *sim_account(coh_msg_call_result_t const *r, uint64_t number)
{
    coh_addr_t addr = addr_of(number);
    for (uint32_t i = 0; i < r->accounts.cnt; i++) {
        if (coh_addr_eq(&r->accounts.v[i].addr, &addr)) {
            return &r->accounts.v[i];
        }
    }
    fail_msg("account %llx has not changed", (unsigned long long)number);
    return NULL;
}

/* Who logged, of each of cnt logs, by the last octet of the address. */
static void assert_loggers(coh_bytes_t logs, size_t cnt, uint8_t const *wanted)
{
    coh_rlp_t outer = coh_rlp_reader(logs);
    coh_rlp_t list;
    coh_rlp_t log;
    uint8_t addr[20];
    assert_int_equal(coh_rlp_list(&outer, &list), COH_OK);
    for (size_t i = 0; i < cnt; i++) {
        assert_int_equal(coh_rlp_list(&list, &log), COH_OK);
        assert_int_equal(coh_rlp_fixed(&log, addr, 20), COH_OK);
        assert_int_equal(addr[19], wanted[i]);
    }
    assert_true(coh_rlp_at_end(&list));
}

static void simulation_of_blocks(void **state)
{
    (void)state;
    world_t w;
    coh_buf_t code = COH_BUF_INIT;
    init(&w);
    /* Counts in slot 0, logs, pays 7 to whom will not have it and 5 to whom will, and tells the count. */
    coh_test_asm(&code,
                 "0 SLOAD 1 ADD 0 SSTORE 0 0 LOG0 0 0 0 0 7 0xb0 50000 CALL POP "
                 "0 0 0 0 5 0xd0 50000 CALL POP 0 SLOAD 0 MSTORE 32 0 RETURN");
    put_code(&w, 0xb0, 0, "0 0 REVERT");
    w.overrides[0] = (coh_rec_override_t){.addr    = addr_of(0xa0),
                                          .fields  = COH_OVERRIDE_CODE | COH_OVERRIDE_BALANCE,
                                          .balance = coh_u256(100),
                                          .code    = coh_buf_bytes(&code)};
    w.override_cnt = 1;
    sim_tx_t txs[] = {{.to = 0xa0, .value = 3}, {.to = 0xa0}};
    coh_call_t *c  = new_simulation(&w, 51, COH_SIM_TRANSFERS, txs, 2, NULL, (coh_bytes_t){0});
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_int_equal(r->results.cnt, 2);
    coh_rec_sim_result_t const *first  = &r->results.v[0];
    coh_rec_sim_result_t const *second = &r->results.v[1];
    assert_int_equal(first->status, COH_EVM_SUCCESS);
    assert_words(first->output, 1, (uint64_t[]){1});
    assert_words(second->output, 1, (uint64_t[]){2});
    assert_int_equal(first->nonce, 4);
    assert_int_equal(second->nonce, 5);
    assert_int_equal(first->gas, 20000000); /* the budget; the block has more */
    assert_int_equal(second->gas, 20000000 - first->gas_used);
    /* The transfer that was refused is none; receipts know of none at all. */
    assert_loggers(first->logs, 1, (uint8_t[]){0xa0});
    assert_loggers(first->shown, 3, (uint8_t[]){0xee, 0xa0, 0xee});
    assert_loggers(second->shown, 2, (uint8_t[]){0xa0, 0xee});
    assert_int_equal(sim_account(r, 0x5000)->nonce, 6);
    assert_int_equal(sim_account(r, 0xa0)->balance.w[0], 100 + 3 - 5 - 5);
    assert_int_equal(sim_account(r, 0xd0)->balance.w[0], 10);
    assert_int_equal(r->storage.cnt, 1);
    assert_int_equal(r->storage.v[0].value.w[0], 2);
    assert_int_equal(r->codes.cnt, 1);

    /* The next block finds all that, and this one's hash. */
    coh_hash_t hash = {.b = {0x77, [31] = 0x51}};
    world_t next    = w;
    coh_buf_t asks  = COH_BUF_INIT;
    coh_test_asm(&asks, "51 BLOCKHASH 0 MSTORE 32 0 RETURN");
    next.raw          = COH_BUF_INIT;
    next.overrides[0] = (coh_rec_override_t){
        .addr = addr_of(0xc0), .fields = COH_OVERRIDE_CODE, .code = coh_buf_bytes(&asks)};
    sim_tx_t more[] = {{.to = 0xa0}, {.to = 0xc0}};
    coh_call_t *d   = new_simulation(&next, 52, 0, more, 2, r, coh_bytes(hash.b, sizeof(hash.b)));
    coh_msg_call_result_t const *q = serve(&next, d);
    assert_int_equal(q->err, COH_CALL_OK);
    assert_words(q->results.v[0].output, 1, (uint64_t[]){3});
    assert_int_equal(q->results.v[0].nonce, 6);
    assert_int_equal(q->results.v[0].shown.n, 0);
    assert_true(coh_bytes_eq(q->results.v[1].output, coh_bytes(hash.b, sizeof(hash.b))));
    assert_int_equal(sim_account(q, 0xd0)->balance.w[0], 15);
    assert_int_equal(q->codes.cnt, 2);
    /* One that has nothing to do with it keeps all of it. */
    sim_tx_t idle                     = {.to = 0x5001};
    next.override_cnt                 = 0;
    coh_call_t *e                     = new_simulation(&next, 53, 0, &idle, 1, q, (coh_bytes_t){0});
    coh_msg_call_result_t const *last = serve(&next, e);
    assert_int_equal(last->err, COH_CALL_OK);
    assert_int_equal(last->storage.cnt, 1);
    assert_int_equal(last->storage.v[0].value.w[0], 3);
    assert_int_equal(last->storage.v[0].changed, 1);
    assert_int_equal(sim_account(last, 0xd0)->balance.w[0], 15);
    assert_int_equal(sim_account(last, 0xd0)->changed, 1);
    assert_int_equal(sim_account(last, 0xb0)->changed, 0); /* it reverted: only read */
    coh_call_free(e);
    coh_call_free(d);
    coh_call_free(c);
    coh_buf_free(&next.raw);
    coh_buf_free(&code);
    coh_buf_free(&asks);
    fini(&w);
}

/* One transaction, which is refused. */
static void assert_refused(world_t *w,
                           uint32_t flags,
                           sim_tx_t tx,
                           coh_tx_err_t verdict,
                           uint64_t gas)
{
    coh_call_t *c                  = new_simulation(w, 51, flags, &tx, 1, NULL, (coh_bytes_t){0});
    coh_msg_call_result_t const *r = serve(w, c);
    assert_int_equal(r->err, COH_CALL_REFUSED);
    assert_int_equal(r->verdict, verdict);
    assert_int_equal(r->nonce, 4);
    assert_int_equal(r->balance.w[0], UINT64_C(1000000000000));
    assert_int_equal(r->gas, gas);
    coh_call_free(c);
}

/* Accounts that are overridden, senders and receivers are wanted before anything is executed, as many at a time as there may be. */
static void simulation_asks_ahead(void **state)
{
    (void)state;
    static uint64_t const rounds[] = {0, 8, 5, 4, 3}; /* by the most at a time */
    for (uint32_t most = 1; most < COH_CNT(rounds); most++) {
        world_t w;
        init(&w);
        w.limits.wanted_max = most;
        w.override_cnt      = 4;
        w.slot_cnt          = 4;
        for (uint32_t i = 0; i < 4; i++) { /* slots are not in the order of their accounts */
            coh_addr_t addr    = addr_of(0xa000 + i);
            coh_u256_t balance = coh_u256(100 + i);
            coh_memview_put_account(w.mv, &addr, 1, &balance, (coh_bytes_t){0});
            w.overrides[i] = (coh_rec_override_t){
                .addr = addr_of(0xa000 + i), .fields = COH_OVERRIDE_NONCE, .nonce = 5 + i};
            w.slots[i] = (coh_rec_override_slot_t){.addr  = addr_of(0xa000 + (i + 2) % 3),
                                                   .slot  = coh_u256(i),
                                                   .value = coh_u256(70 + i)};
        }
        sim_tx_t const txs[] = {{.to = 0xb000, .value = 1}, {.to = 0xa001}, {.to = 0xb001}};
        coh_call_t *c        = new_simulation(&w, 51, 0, txs, 3, NULL, (coh_bytes_t){0});
        coh_msg_call_result_t const *r = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_OK);
        assert_int_equal(w.wanted_cnt, 8); /* with the sender, two receivers and the coinbase */
        assert_int_equal(w.rounds, rounds[most]);
        for (uint32_t i = 0; i < 4; i++) {
            coh_rec_sim_account_t const *a = sim_account(r, 0xa000 + i);
            assert_int_equal(a->nonce, 5 + i);
            assert_int_equal(a->balance.w[0], 100 + i);
        }
        assert_int_equal(r->storage.cnt, 4);
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t slot  = (uint32_t)r->storage.v[i].slot.w[0];
            coh_addr_t has = addr_of(0xa000 + (slot + 2) % 3);
            assert_true(coh_addr_eq(&r->storage.v[i].addr, &has));
            assert_int_equal(r->storage.v[i].value.w[0], 70 + slot);
        }
        coh_call_free(c);
        fini(&w);
    }
}

static void simulation_refuses(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    uint8_t nonce = COH_SIM_GIVEN_NONCE;
    uint8_t gas   = COH_SIM_GIVEN_GAS;
    assert_refused(&w, 0, (sim_tx_t){.gas = 30000001, .given = gas}, COH_TX_GAS_LIMIT, 0);
    assert_refused(&w, 0, (sim_tx_t){.gas = 20999, .given = gas}, COH_TX_INTRINSIC_GAS, 20999);
    assert_refused(&w, 0, (sim_tx_t){.value = UINT64_MAX}, COH_TX_FUNDS, 20000000);
    uint32_t flags = COH_SIM_VALIDATE;
    assert_refused(
        &w, flags, (sim_tx_t){.nonce = 3, .given = nonce}, COH_TX_NONCE_TOO_LOW, 20000000);
    assert_refused(
        &w, flags, (sim_tx_t){.nonce = 5, .given = nonce}, COH_TX_NONCE_TOO_HIGH, 20000000);
    assert_refused(&w, flags, (sim_tx_t){.nonce = 4, .given = nonce}, COH_TX_FEE_TOO_LOW, 20000000);
    /* Who does not validate pays nothing, and any nonce will do; though code sees the base fee. */
    put_code(&w, 0xa0, 0, "BASEFEE 0 MSTORE 32 0 RETURN");
    sim_tx_t tx                    = {.to = 0xa0, .nonce = 9, .given = nonce};
    coh_call_t *c                  = new_simulation(&w, 51, 0, &tx, 1, NULL, (coh_bytes_t){0});
    coh_msg_call_result_t const *r = serve(&w, c);
    assert_int_equal(r->err, COH_CALL_OK);
    assert_words(r->results.v[0].output, 1, (uint64_t[]){10});
    assert_int_equal(r->results.v[0].nonce, 9);
    assert_int_equal(sim_account(r, 0x5000)->nonce, 5);
    assert_int_equal(sim_account(r, 0x5000)->balance.w[0], UINT64_C(1000000000000));
    coh_call_free(c);
    /* Such a nonce wraps. */
    w.overrides[0] =
        (coh_rec_override_t){.addr = w.sender, .fields = COH_OVERRIDE_NONCE, .nonce = UINT64_MAX};
    w.override_cnt = 1;
    sim_tx_t two[] = {{.to = 0xa0}, {.to = 0xa0}};
    c              = new_simulation(&w, 51, 0, two, 2, NULL, (coh_bytes_t){0});
    r              = serve(&w, c);
    assert_int_equal(r->results.v[0].nonce, UINT64_MAX);
    assert_int_equal(r->results.v[1].nonce, 0);
    coh_call_free(c);
    fini(&w);
}

/* The precompiled contract that copies its input (0x04) moves to 0x1234. */
static void calls_find_what_has_moved(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    coh_rec_precompile_t moves[] = {{.at = addr_of(4)}, {.at = addr_of(0x1234), .is = addr_of(4)}};
    w.m.moves.v                  = moves;
    w.m.moves.cnt                = 2;
    w.tx.data                    = coh_bytes("\xca\xfe", 2);
    uint64_t const tos[]         = {0x1234, 4};
    for (size_t i = 0; i < COH_CNT(tos); i++) {
        call(&w, tos[i]);
        coh_call_t *c                  = new_call(&w, COH_CALL_EXECUTE);
        coh_msg_call_result_t const *r = serve(&w, c);
        assert_int_equal(r->err, COH_CALL_OK);
        assert_int_equal(r->status, COH_EVM_SUCCESS);
        assert_int_equal(r->output.n, i == 0 ? 2 : 0);
        coh_call_free(c);
    }
    /* The same from code. */
    w.tx.data = (coh_bytes_t){0};
    put_code(&w,
             0xa0,
             0,
             "0xcafe 0 MSTORE 32 64 32 0 0 0x1234 50000 CALL POP 64 MLOAD 32 0 32 0 0 4 50000 CALL "
             "POP RETURNDATASIZE ADD 0 MSTORE 32 0 RETURN");
    call(&w, 0xa0);
    coh_call_t *c = new_call(&w, COH_CALL_EXECUTE);
    assert_words(serve(&w, c)->output, 1, (uint64_t[]){0xcafe});
    coh_call_free(c);
    fini(&w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(call_executes),
        cmocka_unit_test(call_tells_of_failures_and_logs),
        cmocka_unit_test(call_overrides),
        cmocka_unit_test(call_refuses_what_it_cannot_be),
        cmocka_unit_test(call_estimates_the_least_gas),
        cmocka_unit_test(call_estimates_fail),
        cmocka_unit_test(call_lists_accesses),
        cmocka_unit_test(call_traces_steps),
        cmocka_unit_test(call_traces_calls),
        cmocka_unit_test(call_traces_state),
        cmocka_unit_test(call_traces_are_bounded),
        cmocka_unit_test(calls_of_random_contracts),
        cmocka_unit_test(calls_of_blocks),
        cmocka_unit_test(calls_of_blocks_ask_together),
        cmocka_unit_test(calls_of_blocks_with_steps),
        cmocka_unit_test(calls_behind_transactions),
        cmocka_unit_test(struct_logs_up_to_a_limit),
        cmocka_unit_test(simulation_of_blocks),
        cmocka_unit_test(simulation_asks_ahead),
        cmocka_unit_test(simulation_refuses),
        cmocka_unit_test(calls_find_what_has_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
