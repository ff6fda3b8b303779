/* Steps: their encoding, and what the transition makes of them, over state in memory: straight, and answered "not yet" to every first question.
   Expected effects are those of EIP-4788 (system calls), EIP-4895 (credits), EIP-161 (touching) and EIP-779 (the DAO). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "tests/support/evmasm.h"

static coh_addr_t const contract = {{0xcc}};
static coh_addr_t const alice    = {{0xaa}};
static coh_addr_t const bob      = {{0xbb}};

static void decode_ok(coh_step_t *out, coh_buf_t const *raw)
{
    assert_int_equal(coh_step_decode(out, coh_buf_bytes(raw)), COH_OK);
}

static coh_step_t credits(coh_buf_t *list)
{
    return (coh_step_t){.kind = COH_STEP_CREDIT, .list = coh_buf_bytes(list)};
}

static void step_encodes_and_decodes(void **state)
{
    (void)state;
    static uint8_t const word[32] = {1, 2, 3};
    coh_buf_t raw                 = COH_BUF_INIT;
    coh_step_t step;
    coh_step_put(&raw,
                 &(coh_step_t){.kind = COH_STEP_CALL, .to = contract, .data = coh_bytes(word, 32)});
    assert_int_equal(raw.n, 1 + 1 + 21 + 33);
    decode_ok(&step, &raw);
    assert_int_equal(step.kind, COH_STEP_CALL);
    assert_true(coh_addr_eq(&step.to, &contract));
    assert_true(coh_bytes_eq(step.data, coh_bytes(word, 32)));

    coh_buf_t list = COH_BUF_INIT;
    coh_u256_t max = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    coh_step_put_credit(&list, &alice, &COH_U256_ZERO);
    coh_step_put_credit(&list, &bob, &max);
    coh_buf_clear(&raw);
    step = credits(&list);
    coh_step_put(&raw, &step);
    step = (coh_step_t){.kind = COH_STEP_DAO};
    decode_ok(&step, &raw);
    assert_int_equal(step.kind, COH_STEP_CREDIT);
    coh_rlp_t it = coh_step_credit_iter(&step);
    coh_addr_t addr;
    coh_u256_t amount;
    assert_true(coh_step_credit_next(&it, &addr, &amount));
    assert_true(coh_addr_eq(&addr, &alice) && coh_u256_is_zero(&amount));
    assert_true(coh_step_credit_next(&it, &addr, &amount));
    assert_true(coh_addr_eq(&addr, &bob) && coh_u256_eq(&amount, &max));
    assert_false(coh_step_credit_next(&it, &addr, &amount));

    coh_buf_clear(&raw);
    coh_step_put(&raw, &(coh_step_t){.kind = COH_STEP_DAO});
    assert_memory_equal(raw.p, "\xc1\x02", 2);
    decode_ok(&step, &raw);
    assert_int_equal(step.kind, COH_STEP_DAO);
    coh_buf_free(&raw);
    coh_buf_free(&list);
}

static void refused(char const *text, size_t n)
{
    coh_step_t step;
    assert_int_not_equal(coh_step_decode(&step, coh_bytes(text, n)), COH_OK);
}

static void step_decodes_nothing_else(void **state)
{
    (void)state;
    refused("", 0);
    refused("\xc0", 1);
    refused("\xc1\x03", 2);         /* a call to nobody */
    refused("\xc1\x06", 2);         /* no such kind */
    refused("\xc1\x02\x80", 3);     /* something behind it */
    refused("\xc2\x02\x80", 3);     /* more than the DAO's has */
    refused("\xc1\x01", 2);         /* credits without a list */
    refused("\xc3\x01\xc1\x80", 4); /* a credit that is no list */
    refused("\xc3\x01\xc1\xc0", 4); /* an empty one */
    refused("\xc2\x00\xc0", 3);     /* 0 is written 0x80 */
    refused("\xc2\x80\x80", 3);     /* a call to nobody */
    coh_buf_t raw  = COH_BUF_INIT;
    coh_buf_t list = COH_BUF_INIT;
    coh_u256_t one = coh_u256(1);
    coh_step_put_credit(&list, &alice, &one);
    coh_step_t step = credits(&list);
    coh_step_put(&raw, &step);
    for (size_t n = 0; n < raw.n; n++) {
        refused((char const *)raw.p, n);
    }
    coh_buf_free(&raw);
    coh_buf_free(&list);
}

/* ---- Execution ---- */

typedef struct {
    coh_memview_t *mv;
    coh_transition_t *transition;
    coh_block_env_t block;
    coh_outcome_t const *out;
    uint32_t need_cnt;
} world_t;

static void open_world(world_t *w, coh_fork_t fork)
{
    *w = (world_t){.mv         = coh_memview_new(&coh_code_coder, fork),
                   .transition = coh_transition_new(),
                   .block      = {.number = 7, .gas_limit = 5000, .fork = fork}};
}

static void close_world(world_t *w)
{
    coh_transition_free(w->transition);
    coh_memview_free(w->mv);
}

static void put(world_t *w, coh_addr_t addr, uint64_t nonce, uint64_t balance, char const *text)
{
    coh_buf_t code  = COH_BUF_INIT;
    coh_u256_t word = coh_u256(balance);
    coh_test_asm(&code, text);
    coh_memview_put_account(w->mv, &addr, nonce, &word, coh_buf_bytes(&code));
    coh_buf_free(&code);
}

/* Both ways; the outcome is that of the second. */
static void run(world_t *w, coh_step_t const *step, uint32_t status, uint32_t write_cnt)
{
    for (int stutter = 0; stutter < 2; stutter++) {
        coh_memview_set_stutter(w->mv, stutter == 1);
        coh_memview_begin_tx(w->mv);
        coh_transition_begin_step(w->transition, &w->block, step, coh_memview_view(w->mv));
        w->need_cnt = 0;
        while (coh_transition_run(w->transition) == COH_TRANSITION_NEED) {
            assert_int_equal(stutter, 1);
            w->need_cnt++;
        }
        w->out = coh_transition_outcome(w->transition);
        assert_int_equal(w->out->verdict, COH_TX_OK);
        assert_int_equal(w->out->status, status);
        assert_int_equal(w->out->write_cnt, write_cnt);
        assert_int_equal(w->out->gas_used, 0);
        assert_int_equal(w->out->log_cnt, 0);
        assert_true(coh_u256_is_zero(&w->out->tip));
    }
}

static void slot_is(world_t *w, uint64_t slot, coh_u256_t want)
{
    coh_u256_t key = coh_u256(slot);
    coh_u256_t got = coh_memview_slot(w->mv, &contract, &key);
    assert_true(coh_u256_eq(&got, &want));
}

static void balance_is(world_t *w, coh_addr_t addr, uint64_t want, bool exists)
{
    coh_value_t v = coh_memview_account(w->mv, &addr);
    assert_true(coh_u256_fits_u64(&v.word));
    assert_int_equal(v.word.w[0], want);
    assert_int_equal((v.flags & COH_ACCOUNT_EXISTS) != 0, exists);
}

/* The caller and the origin are the system, data is there, gas is 30 million (beyond the block's, and beyond EIP-7825), and nobody pays. */
static void step_system_calls_a_contract(void **state)
{
    (void)state;
    static uint8_t const word[32] = {[31] = 9};
    coh_u256_t system             = coh_u256_from_addr(&COH_SYSTEM_ADDR);
    for (coh_fork_t fork = COH_FORK_CANCUN; fork < COH_FORK_CNT; fork++) {
        world_t w;
        open_world(&w, fork);
        put(&w,
            contract,
            1,
            0,
            "GAS CALLER 1 SSTORE ORIGIN 2 SSTORE 0 CALLDATALOAD 3 SSTORE CALLDATASIZE 4 SSTORE "
            "CALLVALUE 5 SSTORE GASPRICE 6 SSTORE 0 MSTORE 32 0 LOG0 32 0 RETURN");
        coh_step_t step = {.kind = COH_STEP_CALL, .to = contract, .data = coh_bytes(word, 32)};
        run(&w, &step, COH_STEP_RAN, 4);
        assert_true(w.need_cnt > 0);
        coh_u256_t gas = coh_u256_from_be(w.out->output.p, w.out->output.n);
        assert_int_equal(gas.w[0], 30000000 - 2);
        coh_memview_apply(w.mv, w.out);
        slot_is(&w, 1, system);
        slot_is(&w, 2, system);
        slot_is(&w, 3, coh_u256(9));
        slot_is(&w, 4, coh_u256(32));
        balance_is(&w, COH_SYSTEM_ADDR, 0, false);
        close_world(&w);
    }
}

static void number_as_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    *out = coh_u256(1000 + number);
}

/* A call whose data is the hash of the block before (EIP-2935, where that is not known yet). */
static void step_calls_with_the_parents_hash(void **state)
{
    (void)state;
    coh_buf_t raw = COH_BUF_INIT;
    coh_step_put(&raw, &(coh_step_t){.kind = COH_STEP_CALL_PARENT, .to = contract});
    assert_int_equal(raw.n, 1 + 1 + 21);
    coh_step_t step;
    decode_ok(&step, &raw);
    assert_int_equal(step.kind, COH_STEP_CALL_PARENT);
    assert_true(coh_addr_eq(&step.to, &contract));
    world_t w;
    open_world(&w, COH_FORK_PRAGUE);
    w.block.number = 77;
    coh_memview_set_block_hash(w.mv, number_as_hash, NULL);
    put(&w, contract, 1, 0, "0 CALLDATALOAD 3 SSTORE CALLDATASIZE 4 SSTORE CALLER 5 SSTORE");
    run(&w, &step, COH_STEP_RAN, 3);
    coh_memview_apply(w.mv, w.out);
    slot_is(&w, 3, coh_u256(1076));
    slot_is(&w, 4, coh_u256(32));
    slot_is(&w, 5, coh_u256_from_addr(&COH_SYSTEM_ADDR));
    close_world(&w);
    coh_buf_free(&raw);
}

static void step_call_says_how_it_went(void **state)
{
    (void)state;
    world_t w;
    open_world(&w, COH_FORK_PRAGUE);
    coh_step_t step = {.kind = COH_STEP_CALL, .to = contract};
    run(&w, &step, COH_STEP_NO_CODE, 0);
    put(&w, contract, 0, 5, ""); /* an account, but no code */
    run(&w, &step, COH_STEP_NO_CODE, 0);
    put(&w, contract, 1, 5, "1 1 SSTORE 0x77 0 MSTORE8 1 0 REVERT");
    run(&w, &step, COH_STEP_FAILED, 0);
    assert_int_equal(w.out->output.n, 1);
    assert_int_equal(w.out->output.p[0], 0x77);
    put(&w, contract, 1, 5, "1 1 SSTORE again: @again JUMP"); /* out of gas */
    run(&w, &step, COH_STEP_FAILED, 0);
    put(&w, contract, 1, 5, "STOP");
    run(&w, &step, COH_STEP_RAN, 0);
    assert_int_equal(w.out->output.n, 0);
    close_world(&w);
}

/* Alice 3 and 4, nobody 0, and by 0 an empty account that is there: EIP-161 removes it, older forks make what is reached. */
static void step_credits_by_fork(void **state)
{
    (void)state;
    coh_buf_t list    = COH_BUF_INIT;
    coh_u256_t three  = coh_u256(3);
    coh_u256_t four   = coh_u256(4);
    coh_addr_t nobody = {{0xee}};
    coh_step_put_credit(&list, &alice, &three);
    coh_step_put_credit(&list, &bob, &COH_U256_ZERO);
    coh_step_put_credit(&list, &nobody, &COH_U256_ZERO);
    coh_step_put_credit(&list, &alice, &four);
    coh_step_t step = credits(&list);
    for (int old = 0; old < 2; old++) {
        world_t w;
        open_world(&w, old ? COH_FORK_TANGERINE : COH_FORK_SHANGHAI);
        put(&w, bob, 0, 0, "");
        run(&w, &step, COH_STEP_RAN, old ? 3 : 2);
        coh_memview_apply(w.mv, w.out);
        balance_is(&w, alice, 7, true);
        balance_is(&w, bob, 0, old);
        balance_is(&w, nobody, 0, old);
        put(&w, bob, 0, 1, "");
        run(&w, &step, COH_STEP_RAN, old ? 3 : 1); /* nothing to be removed now */
        coh_memview_apply(w.mv, w.out);
        balance_is(&w, alice, 14, true);
        balance_is(&w, bob, 1, true);
        close_world(&w);
    }
    coh_buf_free(&list);
}

static void step_credits_only_touch_what_has_code(void **state)
{
    (void)state;
    world_t w;
    coh_buf_t list = COH_BUF_INIT;
    coh_u256_t one = coh_u256(1);
    coh_step_put_credit(&list, &contract, &one); /* no code runs */
    coh_step_t step = credits(&list);
    open_world(&w, COH_FORK_SHANGHAI);
    put(&w, contract, 1, 0, "1 1 SSTORE");
    run(&w, &step, COH_STEP_RAN, 1);
    assert_int_equal(w.out->writes[0].flags, COH_WRITE_DELTA);
    close_world(&w);
    coh_buf_free(&list);
}

static void step_moves_the_dao(void **state)
{
    (void)state;
    world_t w;
    open_world(&w, COH_FORK_HOMESTEAD);
    coh_addr_t const dao = {{0xbb, 0x9b, 0xc2, 0x44, 0xd7, 0x98, 0x12, 0x3f, 0xde, 0x78,
                             0x3f, 0xcc, 0x1c, 0x72, 0xd3, 0xbb, 0x8c, 0x18, 0x94, 0x13}};
    bool found           = false;
    for (uint32_t i = 0; i < COH_DAO_ACCOUNT_CNT; i++) {
        put(&w, COH_DAO_ACCOUNTS[i], 1, 100 + i, "");
        found |= coh_addr_eq(&COH_DAO_ACCOUNTS[i], &dao);
        assert_true(i == 0 || memcmp(COH_DAO_ACCOUNTS[i - 1].b, COH_DAO_ACCOUNTS[i].b, 20) < 0);
    }
    assert_true(found);
    put(&w, alice, 0, 3, "");
    coh_step_t step = {.kind = COH_STEP_DAO};
    run(&w, &step, COH_STEP_RAN, 117);
    assert_int_equal(w.need_cnt, 116);
    coh_memview_apply(w.mv, w.out);
    balance_is(&w, COH_DAO_REFUND_ADDR, 116 * 100 + 115 * 116 / 2, true);
    balance_is(&w, dao, 0, true);
    balance_is(&w, alice, 3, true);
    put(&w, dao, 1, 5, ""); /* and again */
    run(&w, &step, COH_STEP_RAN, 117);
    coh_memview_apply(w.mv, w.out);
    balance_is(&w, COH_DAO_REFUND_ADDR, 116 * 100 + 115 * 116 / 2 + 5, true);
    balance_is(&w, dao, 0, true);
    close_world(&w);
}

static coh_step_patch_t patch_slot(uint64_t slot,
                                   uint64_t value,
                                   uint32_t more,
                                   uint64_t generation)
{
    coh_step_patch_t p = {.addr   = contract,
                          .fields = COH_PATCH_SLOT | more,
                          .number = generation,
                          .word   = coh_u256(value)};
    p.hash.b[31]       = (uint8_t)slot;
    return p;
}

/* Runs a PATCH of these, which goes through its encoding. */
static void run_patches(world_t *w,
                        coh_step_patch_t const *v,
                        size_t cnt,
                        uint32_t status,
                        uint32_t write_cnt)
{
    coh_buf_t list = COH_BUF_INIT;
    coh_buf_t raw  = COH_BUF_INIT;
    coh_step_t step;
    for (size_t i = 0; i < cnt; i++) {
        coh_step_put_patch(&list, &v[i]);
    }
    coh_step_put(&raw,
                 &(coh_step_t){.kind = COH_STEP_PATCH, .to = bob, .list = coh_buf_bytes(&list)});
    decode_ok(&step, &raw);
    assert_int_equal(step.kind, COH_STEP_PATCH);
    assert_true(coh_addr_eq(&step.to, &bob));
    run(w, &step, status, write_cnt);
    coh_memview_apply(w->mv, w->out);
    coh_buf_free(&list);
    coh_buf_free(&raw);
}

/* Of dev chains: accounts and slots as they are told to be. */
static void step_patches(void **state)
{
    (void)state;
    world_t w;
    open_world(&w, COH_FORK_OSAKA);
    w.block.any_sender = true;
    put(&w, contract, 1, 7, "1 2 SSTORE");
    put(&w, alice, 3, 50, "");
    static uint8_t const code[]       = {0x5f, 0x5f, 0xfd};
    coh_step_patch_t const accounts[] = {
        {.addr = alice, .fields = COH_PATCH_BALANCE, .word = coh_u256(9)},
        {.addr   = bob,
         .fields = COH_PATCH_NONCE | COH_PATCH_CODE,
         .number = 12,
         .hash   = {{1, 2}},
         .code   = {code, sizeof(code)}},
        patch_slot(4, 44, 0, 0),
        patch_slot(5, 55, COH_PATCH_GENERATION, 0),
        patch_slot(6, 66, COH_PATCH_GENERATION, 1), /* out of reach */
    };
    run_patches(&w, accounts, COH_CNT(accounts), COH_STEP_RAN, 4);
    balance_is(&w, alice, 9, true);
    assert_int_equal(coh_memview_account(w.mv, &alice).nonce, 3);
    coh_value_t v = coh_memview_account(w.mv, &bob);
    assert_int_equal(v.nonce, 12);
    assert_int_equal(v.code_hash.b[1], 2);
    slot_is(&w, 4, coh_u256(44));
    slot_is(&w, 5, coh_u256(55));
    slot_is(&w, 6, COH_U256_ZERO);
    /* Code that is known by its hash. */
    coh_step_patch_t const known = {.addr = alice, .fields = COH_PATCH_CODE, .hash = {{8}}};
    run_patches(&w, &known, 1, COH_STEP_RAN, 1);
    assert_int_equal(coh_memview_account(w.mv, &alice).code_hash.b[0], 8);
    /* What is empty then is removed, and its storage is out of reach. */
    coh_step_patch_t const gone = {.addr   = contract,
                                   .fields = COH_PATCH_NONCE | COH_PATCH_BALANCE | COH_PATCH_CODE};
    run_patches(&w, &gone, 1, COH_STEP_RAN, 1);
    balance_is(&w, contract, 0, false);
    assert_int_equal(coh_memview_account(w.mv, &contract).generation, 1);
    /* Slots of what is empty; and of what has no code but a balance: it is marked, so that its storage goes with it, and nothing is created there (EIP-7610). */
    coh_step_patch_t slot = patch_slot(4, 1, 0, 0);
    run_patches(&w, &slot, 1, COH_STEP_FAILED, 0);
    coh_addr_t rich = {{0x71}};
    put(&w, rich, 0, 5, "");
    slot.addr = rich;
    slot.word = COH_U256_ZERO;
    run_patches(&w, &slot, 1, COH_STEP_RAN, 0);
    slot.word = coh_u256(3);
    run_patches(&w, &slot, 1, COH_STEP_RAN, 2);
    v = coh_memview_account(w.mv, &rich);
    assert_int_equal(v.flags, COH_ACCOUNT_EXISTS | COH_ACCOUNT_HAS_STORAGE);
    assert_int_equal(v.generation, 0);
    coh_u256_t at_slot = coh_memview_slot(w.mv, &rich, &(coh_u256_t){{4}});
    assert_int_equal(at_slot.w[0], 3);
    /* Back to before it had storage, to when it had, and away. */
    coh_step_patch_t whole = {
        .addr = rich, .fields = COH_PATCH_ACCOUNT, .number = 0, .word = coh_u256(5)};
    run_patches(&w, &whole, 1, COH_STEP_RAN, 1);
    assert_int_equal(coh_memview_account(w.mv, &rich).flags, COH_ACCOUNT_EXISTS);
    whole.fields |= COH_PATCH_STORAGE;
    run_patches(&w, &whole, 1, COH_STEP_RAN, 1);
    assert_int_equal(coh_memview_account(w.mv, &rich).flags,
                     COH_ACCOUNT_EXISTS | COH_ACCOUNT_HAS_STORAGE);
    whole.fields = COH_PATCH_ACCOUNT;
    whole.word   = COH_U256_ZERO;
    run_patches(&w, &whole, 1, COH_STEP_RAN, 1);
    assert_int_equal(coh_memview_account(w.mv, &rich).flags, 0);
    assert_int_equal(coh_memview_account(w.mv, &rich).generation, 1);
    close_world(&w);

    /* A field that there is not; of a slot and an account at once; none. */
    static uint32_t const bad[] = {64,
                                   COH_PATCH_STORAGE,
                                   COH_PATCH_STORAGE | COH_PATCH_CODE,
                                   COH_PATCH_SLOT | COH_PATCH_NONCE,
                                   COH_PATCH_GENERATION,
                                   0};
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        coh_buf_t list     = COH_BUF_INIT;
        coh_buf_t raw      = COH_BUF_INIT;
        coh_step_patch_t p = {.fields = bad[i]};
        coh_step_put_patch(&list, &p);
        coh_step_put(&raw, &(coh_step_t){.kind = COH_STEP_PATCH, .list = coh_buf_bytes(&list)});
        refused((char const *)raw.p, raw.n);
        coh_buf_free(&list);
        coh_buf_free(&raw);
    }
    coh_buf_t raw = COH_BUF_INIT;
    coh_step_t step;
    coh_step_put(&raw, &(coh_step_t){.kind = COH_STEP_RESTORE, .snapshot = 300});
    assert_memory_equal(raw.p, "\xc4\x05\x82\x01\x2c", 5);
    decode_ok(&step, &raw);
    assert_int_equal(step.snapshot, 300);
    coh_buf_free(&raw);
}

/* EIP-3607, but where accounts may be impersonated. */
static void step_any_sender_is_off(void **state)
{
    (void)state;
    world_t w;
    open_world(&w, COH_FORK_OSAKA);
    put(&w, contract, 0, 1000000, "STOP");
    coh_tx_t tx = {.gas_limit = 21000, .to = bob, .max_fee = coh_u256(1), .max_tip = coh_u256(1)};
    w.block.gas_limit = 30000;
    for (int allowed = 0; allowed < 2; allowed++) {
        w.block.any_sender = allowed;
        coh_memview_begin_tx(w.mv);
        coh_transition_begin(w.transition, &w.block, &tx, &contract, coh_memview_view(w.mv));
        assert_int_equal(coh_transition_run(w.transition), COH_TRANSITION_DONE);
        assert_int_equal(coh_transition_outcome(w.transition)->verdict,
                         allowed ? COH_TX_OK : COH_TX_SENDER_CODE);
    }
    close_world(&w);
}

/* A transition serves steps and transactions in turn. */
static void step_leaves_nothing_for_the_next(void **state)
{
    (void)state;
    world_t w;
    open_world(&w, COH_FORK_CANCUN);
    put(&w, contract, 1, 0, "0 0 REVERT");
    put(&w, alice, 0, 1000000, "");
    coh_step_t step = {.kind = COH_STEP_CALL, .to = contract};
    coh_tx_t tx = {.gas_limit = 30000, .to = bob, .max_fee = coh_u256(1), .max_tip = coh_u256(1)};
    w.block.gas_limit = 30000;
    for (int i = 0; i < 2; i++) {
        run(&w, &step, COH_STEP_FAILED, 0);
        coh_memview_set_stutter(w.mv, false);
        coh_transition_begin(w.transition, &w.block, &tx, &alice, coh_memview_view(w.mv));
        assert_int_equal(coh_transition_run(w.transition), COH_TRANSITION_DONE);
        assert_int_equal(coh_transition_outcome(w.transition)->status, 1);
        assert_int_equal(coh_transition_outcome(w.transition)->gas_used, 21000);
    }
    close_world(&w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(step_encodes_and_decodes),
        cmocka_unit_test(step_decodes_nothing_else),
        cmocka_unit_test(step_system_calls_a_contract),
        cmocka_unit_test(step_calls_with_the_parents_hash),
        cmocka_unit_test(step_call_says_how_it_went),
        cmocka_unit_test(step_credits_by_fork),
        cmocka_unit_test(step_credits_only_touch_what_has_code),
        cmocka_unit_test(step_moves_the_dao),
        cmocka_unit_test(step_patches),
        cmocka_unit_test(step_any_sender_is_off),
        cmocka_unit_test(step_leaves_nothing_for_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
