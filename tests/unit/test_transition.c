/* The transition: plain transfers over a view that gives away no more than it must (of a balance only on which side of the bound it is, of a
   nonce only what was asked for), contracts over state in memory. Figures are added up by hand from the Yellow Paper and the EIPs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/evm/code.h"
#include "common/evm/transition.h"
#include "common/state/memview.h"
#include "tests/support/data.h"
#include "tests/support/seed.h"

#define ACCOUNT_MAX 4u
#define BASE_FEE    10u
#define TIP         5u
#define CAP         100u
#define PRICE       (BASE_FEE + TIP)

typedef struct {
    coh_addr_t addr;
    uint64_t nonce;
    coh_u256_t balance;
    uint32_t flags; /* COH_ACCOUNT_* */
    bool absent;    /* not at hand: NEED */
    uint32_t read_cnt;
    uint32_t asked; /* COH_READ_* */
} account_t;

typedef struct {
    coh_view_t view;
    account_t accounts[ACCOUNT_MAX];
    uint32_t account_cnt;
    coh_block_env_t block;
    coh_tx_t tx;
    coh_addr_t sender;
    coh_outcome_t out;
} world_t;

static coh_addr_t const from    = {{0x11}};
static coh_addr_t const to      = {{0x22}};
static coh_addr_t const miner   = {{0x33}};
static coh_u256_t const huge    = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
static uint64_t const not_asked = UINT64_C(0xdeadbeefdeadbeef);

/* One transition for all: nothing of one may be left for the next. */
static coh_transition_t *transition;

static coh_view_status_t read_account(coh_view_t *view,
                                      coh_value_t *out,
                                      coh_key_t const *key,
                                      uint32_t fields,
                                      coh_u256_t const *bound)
{
    world_t *w = (world_t *)view;
    assert_int_equal(key->kind, COH_KEY_ACCOUNT);
    assert_true(coh_u256_is_zero(&key->slot));
    for (uint32_t i = 0; i < w->account_cnt; i++) {
        account_t *a = &w->accounts[i];
        if (!coh_addr_eq(&a->addr, &key->addr)) {
            continue;
        }
        a->read_cnt++;
        a->asked |= fields;
        if (a->absent) {
            return COH_VIEW_NEED;
        }
        *out       = (coh_value_t){.flags = ~a->flags};
        out->nonce = (fields & COH_READ_NONCE) ? a->nonce : not_asked;
        out->word  = huge;
        if (fields & COH_READ_WORD) {
            out->word = a->balance;
        } else if ((fields & COH_READ_AT_LEAST) && coh_u256_lt(&a->balance, bound)) {
            out->word = COH_U256_ZERO;
        }
        if (fields & COH_READ_CODE) {
            out->flags ^= COH_ACCOUNT_HAS_STORAGE;
        } else {
            memset(&out->code_hash, 0xa5, sizeof(out->code_hash));
        }
        if (fields & COH_READ_EXISTS) {
            out->flags ^= COH_ACCOUNT_EXISTS;
        }
        return COH_VIEW_OK;
    }
    fail_msg("read of an account that the transaction has no business with");
    return COH_VIEW_NEED;
}

static account_t *add_account(world_t *w, coh_addr_t addr, uint64_t nonce, coh_u256_t balance)
{
    account_t *a = &w->accounts[w->account_cnt++];
    *a = (account_t){.addr = addr, .nonce = nonce, .balance = balance, .flags = COH_ACCOUNT_EXISTS};
    return a;
}

/* A transfer of 7 wei at Cancun by a sender who has just what it must have, to somebody who does not exist. */
static void init(world_t *w)
{
    *w = (world_t){
        .view   = {.read = read_account},
        .block  = {.number    = 1,
                   .gas_limit = 30000000,
                   .chain_id  = 1,
                   .base_fee  = coh_u256(BASE_FEE),
                   .coinbase  = miner,
                   .fork      = COH_FORK_CANCUN,
                   .blob_max  = 6},
        .tx     = {.type         = COH_TX_DYNAMIC_FEE,
                   .has_chain_id = true,
                   .chain_id     = 1,
                   .nonce        = 4,
                   .gas_limit    = 21000,
                   .max_fee      = coh_u256(CAP),
                   .max_tip      = coh_u256(TIP),
                   .value        = coh_u256(7),
                   .to           = to},
        .sender = from,
    };
    add_account(w, from, 4, coh_u256(21000 * CAP + 7));
    add_account(w, to, 0, COH_U256_ZERO)->flags = 0;
}

static coh_transition_status_t run_on(world_t *w)
{
    coh_transition_status_t status = coh_transition_run(transition);
    if (status == COH_TRANSITION_DONE) {
        w->out = *coh_transition_outcome(transition);
    }
    return status;
}

static coh_transition_status_t run(world_t *w)
{
    coh_transition_begin(transition, &w->block, &w->tx, &w->sender, &w->view);
    return run_on(w);
}

static void expect_invalid(world_t *w, coh_tx_err_t verdict)
{
    assert_int_equal(run(w), COH_TRANSITION_DONE);
    assert_string_equal(coh_tx_err_str(w->out.verdict), coh_tx_err_str(verdict));
    assert_int_equal(w->out.write_cnt, 0);
    assert_int_equal(w->out.gas_used, 0);
    assert_int_equal(w->out.status, 0);
    assert_true(coh_u256_is_zero(&w->out.tip));
}

static void expect_done(world_t *w, uint32_t status, uint64_t gas_used, uint64_t tip)
{
    assert_int_equal(run(w), COH_TRANSITION_DONE);
    assert_string_equal(coh_tx_err_str(w->out.verdict), coh_tx_err_str(COH_TX_OK));
    assert_int_equal(w->out.status, status);
    assert_int_equal(w->out.gas_used, gas_used);
    coh_u256_t want = coh_u256(tip);
    assert_true(coh_u256_eq(&w->out.tip, &want));
}

/* The one write to addr: flags, its nonce if set, and the size of its delta. */
static void expect_write(world_t const *w,
                         coh_addr_t addr,
                         uint32_t flags,
                         uint64_t nonce,
                         uint64_t amount)
{
    coh_key_t key      = coh_key_account(&addr);
    coh_u256_t want    = coh_u256(amount);
    uint32_t found_cnt = 0;
    for (uint32_t i = 0; i < w->out.write_cnt; i++) {
        coh_write_t const *write = &w->out.writes[i];
        if (coh_key_eq(&write->key, &key)) {
            found_cnt++;
            assert_int_equal(write->flags, flags);
            assert_true(write->nonce == nonce);
            assert_true(coh_u256_eq(&write->word, &want));
        }
    }
    assert_int_equal(found_cnt, 1);
}

enum {
    PAID    = COH_WRITE_DELTA,
    PAYS    = COH_WRITE_DELTA | COH_WRITE_NEGATIVE | COH_WRITE_NONCE,
    CREATED = COH_WRITE_DELTA | COH_WRITE_NONCE,
};

static void transition_moves_value_and_charges_the_fee(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE + 7);
    expect_write(&w, to, PAID, 0, 7);

    /* EIP-1559: the cap bounds the tip. */
    w.block.base_fee = coh_u256(CAP - 2);
    expect_done(&w, 1, 21000, 21000 * 2);
    expect_write(&w, from, PAYS, 5, 21000 * CAP + 7);

    /* Before London all of the gas price is the coinbase's. */
    w.block.fork     = COH_FORK_BYZANTIUM;
    w.block.base_fee = COH_U256_ZERO;
    w.tx.type        = COH_TX_LEGACY;
    w.tx.max_tip     = w.tx.max_fee;
    expect_done(&w, 1, 21000, 21000 * CAP);
    expect_write(&w, from, PAYS, 5, 21000 * CAP + 7);
}

static void transition_to_oneself_costs_the_fee(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.tx.to = from;
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.out.write_cnt, 1);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE);
}

static void transition_of_nothing_writes_the_sender_alone(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.tx.value = COH_U256_ZERO;
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.out.write_cnt, 1);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE);
}

static void transition_exact_fees_go_to_the_coinbase(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.block.fees_exact = true;
    expect_done(&w, 1, 21000, 0);
    assert_int_equal(w.out.write_cnt, 3);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE + 7);
    expect_write(&w, to, PAID, 0, 7);
    expect_write(&w, miner, PAID, 0, 21000 * TIP); /* blindly: it is no account of the view */

    w.block.coinbase = from;
    expect_done(&w, 1, 21000, 0);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, from, PAYS, 5, 21000 * BASE_FEE + 7);
    expect_write(&w, to, PAID, 0, 7);

    w.block.coinbase = to;
    expect_done(&w, 1, 21000, 0);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE + 7);
    expect_write(&w, to, PAID, 0, 21000 * TIP + 7);

    w.block.coinbase = from;
    w.tx.to          = from;
    expect_done(&w, 1, 21000, 0);
    assert_int_equal(w.out.write_cnt, 1);
    expect_write(&w, from, PAYS, 5, 21000 * BASE_FEE);

    /* Without a base fee it gets back all that it pays. */
    w.block.base_fee = COH_U256_ZERO;
    expect_done(&w, 1, 21000, 0);
    expect_write(&w, from, COH_WRITE_NONCE, 5, 0);
}

/* What must be there is the gas limit at the cap, not the gas used at the price (EIP-1559). */
static void transition_needs_funds_for_the_worst_case(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.tx.gas_limit        = 50000;
    w.accounts[0].balance = coh_u256(50000 * CAP + 7);
    expect_done(&w, 1, 21000, 21000 * TIP);
    w.accounts[0].balance = coh_u256(50000 * CAP + 6);
    expect_invalid(&w, COH_TX_FUNDS);
    w.tx.value = coh_u256(6);
    expect_done(&w, 1, 21000, 21000 * TIP);
    w.tx.value = huge;
    expect_invalid(&w, COH_TX_FEE_OVERFLOW);
}

static void transition_nonce_must_be_the_senders(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.accounts[0].balance = COH_U256_ZERO; /* the nonce is looked at first */
    w.accounts[0].nonce   = 5;
    expect_invalid(&w, COH_TX_NONCE_TOO_LOW);
    w.accounts[0].nonce = 3;
    expect_invalid(&w, COH_TX_NONCE_TOO_HIGH);
}

static void transition_cap_must_reach_the_base_fee(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.block.base_fee = coh_u256(CAP);
    expect_done(&w, 1, 21000, 0);
    w.block.base_fee = coh_u256(CAP + 1);
    expect_invalid(&w, COH_TX_FEE_TOO_LOW);
}

/* 1000 octets that are not zero: 16 gas each (EIP-2028), 40 at least since Prague (EIP-7623). */
static void transition_charges_data_and_its_floor(void **state)
{
    (void)state;
    static uint8_t data[1000];
    memset(data, 1, sizeof(data));
    world_t w;
    init(&w);
    w.accounts[0].balance = coh_u256(UINT64_C(1) << 40);
    w.tx.data             = coh_bytes(data, sizeof(data));
    w.tx.gas_limit        = 61000;
    expect_done(&w, 1, 37000, 37000 * TIP);
    w.block.fork = COH_FORK_PRAGUE;
    expect_done(&w, 1, 61000, 61000 * TIP);
    expect_write(&w, from, PAYS, 5, 61000 * PRICE + 7);
    w.tx.gas_limit = 60999;
    expect_invalid(&w, COH_TX_FLOOR_GAS);
    w.tx.gas_limit = 36999;
    expect_invalid(&w, COH_TX_INTRINSIC_GAS);
    w.block.fork = COH_FORK_CANCUN;
    expect_invalid(&w, COH_TX_INTRINSIC_GAS);
}

/* A transfer asks of the receiver only whether it has code, and of the sender only whether it can pay. */
static void transition_asks_for_no_exact_balance(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.accounts[0].asked, COH_READ_NONCE | COH_READ_CODE | COH_READ_AT_LEAST);
    assert_int_equal(w.accounts[1].asked, COH_READ_CODE);
    /* Of nothing, it must know whether an empty account is touched (EIP-161). */
    w.tx.value = COH_U256_ZERO;
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.accounts[1].asked,
                     COH_READ_CODE | COH_READ_NONCE | COH_READ_AT_LEAST | COH_READ_EXISTS);
    w.accounts[1].balance = coh_u256(1);
    w.accounts[1].flags   = COH_ACCOUNT_EXISTS;
    w.accounts[1].asked   = 0;
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.out.write_cnt, 1);
    assert_int_equal(w.accounts[1].asked, COH_READ_CODE | COH_READ_NONCE | COH_READ_AT_LEAST);
}

static void transition_touches_empty_accounts_by_fork(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.tx.value           = COH_U256_ZERO;
    w.accounts[1].flags  = COH_ACCOUNT_EXISTS;
    uint32_t const fixed = COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE;
    expect_done(&w, 1, 21000, 21000 * TIP);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, to, fixed, 0, 0);
    w.block.fork     = COH_FORK_TANGERINE;
    w.block.base_fee = COH_U256_ZERO;
    w.tx.max_tip     = w.tx.max_fee;
    expect_done(&w, 1, 21000, 21000 * CAP);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, to, COH_WRITE_EXISTS, 0, 0);
    /* A tip of zero makes the coinbase exist before EIP-161, and removes it since. */
    w.tx.max_fee       = COH_U256_ZERO;
    w.tx.max_tip       = COH_U256_ZERO;
    w.tx.value         = coh_u256(7);
    w.block.fees_exact = true;
    expect_done(&w, 1, 21000, 0);
    assert_int_equal(w.out.write_cnt, 3);
    expect_write(&w, miner, COH_WRITE_EXISTS, 0, 0);
    w.block.fork = COH_FORK_SPURIOUS;
    (void)add_account(&w, miner, 0, COH_U256_ZERO);
    expect_done(&w, 1, 21000, 0);
    assert_int_equal(w.out.write_cnt, 3);
    expect_write(&w, miner, fixed, 0, 0);
}

static void transition_checks_what_the_block_says(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.accounts[0].balance = huge;
    w.block.gas_limit     = 20999;
    expect_invalid(&w, COH_TX_GAS_LIMIT);
    w.block.gas_limit = 40000000;
    w.tx.gas_limit    = 16777217; /* EIP-7825 */
    expect_done(&w, 1, 21000, 21000 * TIP);
    w.block.fork = COH_FORK_OSAKA;
    expect_invalid(&w, COH_TX_GAS_CAP);
    w.tx.gas_limit = 16777216;
    expect_done(&w, 1, 21000, 21000 * TIP);

    static uint8_t const init_code[49153]; /* EIP-3860 */
    w.block.fork   = COH_FORK_SHANGHAI;
    w.tx.is_create = true;
    w.tx.data      = coh_bytes(init_code, sizeof(init_code));
    expect_invalid(&w, COH_TX_INITCODE_SIZE);
}

/* Two blobs take 262144 gas (EIP-4844). */
static void transition_burns_the_fee_of_blobs(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.tx.type                 = COH_TX_BLOB;
    w.tx.blob_cnt             = 2;
    w.tx.max_fee_per_blob_gas = coh_u256(9);
    w.block.blob_base_fee     = coh_u256(3);
    w.accounts[0].balance     = coh_u256(21000 * CAP + 7 + 262144 * 9);
    expect_done(&w, 1, 21000, 21000 * TIP);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE + 7 + 262144 * 3);
    w.accounts[0].balance = coh_u256(21000 * CAP + 7 + 262144 * 9 - 1);
    expect_invalid(&w, COH_TX_FUNDS);
    w.block.blob_base_fee = coh_u256(10);
    expect_invalid(&w, COH_TX_BLOB_FEE_TOO_LOW);
    w.block.blob_base_fee = coh_u256(9);
    w.accounts[0].balance = huge;
    w.block.blob_max      = 1;
    expect_invalid(&w, COH_TX_BLOB_CNT);
}

static void transition_needs_the_sender(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.accounts[0].absent = true;
    assert_int_equal(run(&w), COH_TRANSITION_NEED);
    assert_int_equal(run_on(&w), COH_TRANSITION_NEED);
    w.accounts[0].absent = false;
    w.accounts[1].absent = true;
    assert_int_equal(run_on(&w), COH_TRANSITION_NEED);
    w.accounts[1].absent = false;
    assert_int_equal(run_on(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE + 7);
    expect_write(&w, to, PAID, 0, 7);
    /* What is begun again owes nothing to what was dropped half-way. */
    w.accounts[1].absent = true;
    assert_int_equal(run(&w), COH_TRANSITION_NEED);
    w.accounts[1].absent = false;
    expect_done(&w, 1, 21000, 21000 * TIP);
    expect_write(&w, from, PAYS, 5, 21000 * PRICE + 7);
}

/* The address of sender's creation at nonce 1 is a published one. */
static account_t *init_creation(world_t *w)
{
    init(w);
    w->sender              = coh_test_addr("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0");
    w->accounts[0].addr    = w->sender;
    w->accounts[0].nonce   = 1;
    w->accounts[0].balance = coh_u256(60000 * CAP + 7);
    w->tx.is_create        = true;
    w->tx.to               = (coh_addr_t){{0}};
    w->tx.nonce            = 1;
    w->tx.gas_limit        = 60000;
    w->accounts[1].addr    = coh_test_addr("0x343c43a37d37dff08ae8c4a11544c718abb4fcf8");
    return &w->accounts[1];
}

static void transition_creates_by_the_rules_of_the_fork(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint64_t gas;
        uint64_t nonce; /* of the account that is made */
    } const cases[] = {
        {COH_FORK_FRONTIER, 21000, 0},
        {COH_FORK_HOMESTEAD, 53000, 0}, /* EIP-2 */
        {COH_FORK_TANGERINE, 53000, 0},
        {COH_FORK_SPURIOUS, 53000, 1}, /* EIP-161 */
        {COH_FORK_LONDON, 53000, 1},
        {COH_FORK_SHANGHAI, 53000, 1},
        {COH_FORK_PRAGUE, 53000, 1},
        {COH_FORK_OSAKA, 53000, 1},
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        world_t w;
        account_t *created = init_creation(&w);
        w.block.fork       = cases[i].fork;
        uint32_t flags     = cases[i].nonce == 0 ? PAID : CREATED;
        expect_done(&w, 1, cases[i].gas, cases[i].gas * TIP);
        assert_int_equal(w.out.write_cnt, 2);
        expect_write(&w, w.sender, PAYS, 2, cases[i].gas * PRICE + 7);
        expect_write(&w, created->addr, flags, cases[i].nonce, 7);

        /* Money that lay there already is no obstacle. */
        created->balance = coh_u256(1000);
        expect_done(&w, 1, cases[i].gas, cases[i].gas * TIP);
        expect_write(&w, created->addr, flags, cases[i].nonce, 7);

        w.tx.value = COH_U256_ZERO;
        expect_done(&w, 1, cases[i].gas, cases[i].gas * TIP);
        expect_write(&w, w.sender, PAYS, 2, cases[i].gas * PRICE);
        assert_int_equal(w.out.write_cnt, 2);
        expect_write(&w,
                     created->addr,
                     cases[i].nonce != 0 ? COH_WRITE_NONCE : COH_WRITE_EXISTS,
                     cases[i].nonce,
                     0);

        created->read_cnt = 0;
        w.tx.gas_limit    = cases[i].gas - 1;
        expect_invalid(&w, COH_TX_INTRINSIC_GAS);
        assert_int_equal(created->read_cnt, 0);
    }
}

static void transition_creation_at_a_taken_address_fails(void **state)
{
    (void)state;
    world_t w;
    account_t *created              = init_creation(&w);
    created->nonce                  = 1;
    static coh_fork_t const forks[] = {
        COH_FORK_FRONTIER, COH_FORK_HOMESTEAD, COH_FORK_SPURIOUS, COH_FORK_PRAGUE};
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        w.block.fork       = forks[i];
        w.block.fees_exact = false;
        expect_done(&w, 0, 60000, 60000 * TIP);
        assert_int_equal(w.out.write_cnt, 1);
        expect_write(&w, w.sender, PAYS, 2, 60000 * PRICE);
        w.block.fees_exact = true;
        expect_done(&w, 0, 60000, 0);
        assert_int_equal(w.out.write_cnt, 2);
        expect_write(&w, miner, PAID, 0, 60000 * TIP);
    }
}

static void transition_creation_can_pay_the_coinbase_itself(void **state)
{
    (void)state;
    world_t w;
    account_t *created = init_creation(&w);
    w.block.fees_exact = true;
    expect_done(&w, 1, 53000, 0);
    assert_int_equal(w.out.write_cnt, 3);
    expect_write(&w, miner, PAID, 0, 53000 * TIP);
    w.block.coinbase = created->addr;
    expect_done(&w, 1, 53000, 0);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, created->addr, CREATED, 1, 53000 * TIP + 7);
}

static void transition_creation_needs_the_address_too(void **state)
{
    (void)state;
    world_t w;
    account_t *created   = init_creation(&w);
    created->absent      = true;
    w.accounts[0].absent = true;
    assert_int_equal(run(&w), COH_TRANSITION_NEED);
    w.accounts[0].absent = false;
    assert_int_equal(run_on(&w), COH_TRANSITION_NEED);
    assert_int_equal(created->read_cnt, 1);
    assert_int_equal(run_on(&w), COH_TRANSITION_NEED);
    assert_int_equal(w.accounts[0].read_cnt, 2);
    created->absent = false;
    assert_int_equal(run_on(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.gas_used, 53000);
    assert_int_equal(w.out.write_cnt, 2);
    expect_write(&w, w.sender, PAYS, 2, 53000 * PRICE + 7);
    expect_write(&w, created->addr, CREATED, 1, 7);
    assert_true(coh_addr_eq(&w.out.created, &created->addr));

    /* What is invalid anyway does not ask for it. */
    created->absent       = true;
    created->read_cnt     = 0;
    w.accounts[0].balance = coh_u256(60000 * CAP + 6);
    expect_invalid(&w, COH_TX_FUNDS);
    assert_int_equal(created->read_cnt, 0);
}

/* Contracts, over state in memory. Each case is run four ways: by the fast loop and by its plain twin, at one go and resumed after each first
   question. */

enum { WAYS = 4 };

typedef struct {
    coh_block_env_t block;
    coh_tx_t tx;
    coh_memview_t *mv;
    coh_transition_t *ways[WAYS];
    coh_outcome_t const *out;
} evm_world_t;

static coh_addr_t const contract = {{0xcc, [19] = 1}};
static coh_addr_t const other    = {{[19] = 0x20}}; /* fits a PUSH1 */

#define CODE(octets) coh_bytes(octets, sizeof(octets) - 1)

/* A call of contract, which is to be put there, by a rich sender. */
static void open_world(evm_world_t *w, coh_fork_t fork)
{
    world_t plain;
    init(&plain);
    *w               = (evm_world_t){.block = plain.block, .tx = plain.tx};
    w->block.fork    = fork;
    w->tx.to         = contract;
    w->tx.gas_limit  = 200000;
    w->tx.value      = COH_U256_ZERO;
    w->mv            = coh_memview_new(&coh_code_coder, fork);
    coh_u256_t money = coh_u256(UINT64_C(1) << 40);
    coh_memview_put_account(w->mv, &from, 4, &money, (coh_bytes_t){0});
    if (fork < COH_FORK_LONDON) {
        w->block.base_fee = COH_U256_ZERO;
        w->tx.max_fee     = coh_u256(PRICE);
        w->tx.max_tip     = coh_u256(PRICE);
    }
    for (int i = 0; i < WAYS; i++) {
        w->ways[i] = coh_transition_new();
        coh_transition_set_loop(w->ways[i], i % 2 == 0 ? COH_EVM_FAST : COH_EVM_SWITCH);
    }
}

static void close_world(evm_world_t *w)
{
    for (int i = 0; i < WAYS; i++) {
        coh_transition_free(w->ways[i]);
    }
    coh_memview_free(w->mv);
}

static void put(evm_world_t *w, coh_addr_t addr, uint64_t balance, coh_bytes_t code)
{
    coh_u256_t word = coh_u256(balance);
    coh_memview_put_account(w->mv, &addr, code.n != 0, &word, code);
}

static void put_slot(evm_world_t *w, uint64_t slot, uint64_t value)
{
    coh_u256_t key  = coh_u256(slot);
    coh_u256_t word = coh_u256(value);
    coh_memview_put_slot(w->mv, &contract, &key, &word);
}

static void assert_bytes(coh_bytes_t got, coh_bytes_t want)
{
    assert_int_equal(got.n, want.n);
    if (want.n != 0) {
        assert_memory_equal(got.p, want.p, want.n);
    }
}

static coh_write_t const *find_write(coh_outcome_t const *out, coh_key_t const *key)
{
    for (uint32_t i = 0; i < out->write_cnt; i++) {
        if (coh_key_eq(&out->writes[i].key, key)) {
            return &out->writes[i];
        }
    }
    return NULL;
}

/* The order of writes is that of first accesses, also those of frames that failed: not part of the result. */
static void assert_outcomes_equal(coh_outcome_t const *a, coh_outcome_t const *b)
{
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->gas_used, b->gas_used);
    assert_true(coh_u256_eq(&a->tip, &b->tip));
    assert_true(coh_addr_eq(&a->created, &b->created));
    assert_bytes(a->output, b->output);
    assert_int_equal(a->write_cnt, b->write_cnt);
    for (uint32_t i = 0; i < a->write_cnt; i++) {
        coh_write_t const *v = &a->writes[i];
        coh_write_t const *w = find_write(b, &v->key);
        assert_non_null(w);
        assert_true(coh_u256_eq(&v->word, &w->word));
        assert_int_equal(v->nonce, w->nonce);
        assert_int_equal(v->flags, w->flags);
        if (v->code != NULL) {
            assert_true(coh_hash_eq(&v->code->hash, &w->code->hash));
            assert_int_equal(v->code->generation, w->code->generation);
            assert_bytes(v->code->bytes, w->code->bytes);
        }
    }
    assert_int_equal(a->log_cnt, b->log_cnt);
    for (uint32_t i = 0; i < a->log_cnt; i++) {
        assert_true(coh_addr_eq(&a->logs[i].addr, &b->logs[i].addr));
        assert_int_equal(a->logs[i].topic_cnt, b->logs[i].topic_cnt);
        assert_memory_equal(
            a->logs[i].topics, b->logs[i].topics, a->logs[i].topic_cnt * sizeof(coh_hash_t));
        assert_bytes(a->logs[i].data, b->logs[i].data);
    }
}

static void run_all_ways(evm_world_t *w)
{
    for (int i = 0; i < WAYS; i++) {
        coh_memview_set_stutter(w->mv, i >= 2);
        coh_memview_begin_tx(w->mv);
        coh_transition_begin(w->ways[i], &w->block, &w->tx, &from, coh_memview_view(w->mv));
        int turns = 0;
        while (coh_transition_run(w->ways[i]) == COH_TRANSITION_NEED) {
            assert_true(turns++ < 10000);
        }
        assert_int_equal(turns > 0, i >= 2);
        w->out = coh_transition_outcome(w->ways[i]);
        assert_outcomes_equal(w->out, coh_transition_outcome(w->ways[0]));
    }
}

static void expect(evm_world_t *w, uint32_t status, uint64_t gas_used)
{
    run_all_ways(w);
    assert_string_equal(coh_tx_err_str(w->out->verdict), coh_tx_err_str(COH_TX_OK));
    assert_int_equal(w->out->status, status);
    assert_int_equal(w->out->gas_used, gas_used);
}

static void expect_refused(evm_world_t *w, coh_tx_err_t verdict)
{
    run_all_ways(w);
    assert_string_equal(coh_tx_err_str(w->out->verdict), coh_tx_err_str(verdict));
    assert_int_equal(w->out->write_cnt, 0);
}

/* The write to an account, or NULL. */
static coh_write_t const *write_to(evm_world_t const *w, coh_addr_t addr)
{
    coh_key_t key = coh_key_account(&addr);
    return find_write(w->out, &key);
}

static void expect_paid(evm_world_t const *w, uint64_t amount)
{
    coh_write_t const *write = write_to(w, from);
    assert_non_null(write);
    assert_int_equal(write->flags, PAYS);
    assert_int_equal(write->nonce, 5);
    assert_int_equal(write->word.w[0], amount);
}

static void expect_slot(evm_world_t const *w, coh_addr_t addr, uint64_t slot, uint64_t value)
{
    coh_u256_t number        = coh_u256(slot);
    coh_key_t key            = coh_key_slot(&addr, 0, &number);
    coh_write_t const *write = find_write(w->out, &key);
    assert_non_null(write);
    assert_int_equal(write->flags, COH_WRITE_VALUE);
    assert_int_equal(write->word.w[0], value);
}

/* SSTORE(0, 7), MSTORE8(0, 0x2a), LOG0(0, 1), RETURN(0, 1): eight pushes 24, cold SSTORE of a new value 22100 (EIP-2929), memory 3 + 3, log
   375 + 8. */
static void transition_runs_a_contract(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_CANCUN);
    put(&w,
        contract,
        0,
        CODE("\x60\x07\x60\x00\x55\x60\x2a\x60\x00\x53\x60\x01\x60\x00\xa0\x60\x01\x60\x00\xf3"));
    w.tx.value = coh_u256(7);
    for (int again = 0; again < 2; again++) { /* nothing of the first is left for the second */
        expect(&w, 1, 21000 + 24 + 22100 + 6 + 383);
        assert_int_equal(w.out->write_cnt, 3);
        expect_paid(&w, UINT64_C(43513) * PRICE + 7);
        expect_slot(&w, contract, 0, 7);
        assert_int_equal(write_to(&w, contract)->flags, PAID);
        assert_int_equal(w.out->log_cnt, 1);
        assert_true(coh_addr_eq(&w.out->logs[0].addr, &contract));
        assert_bytes(w.out->logs[0].data, CODE("\x2a"));
        assert_bytes(w.out->output, CODE("\x2a"));
        assert_int_equal(w.out->tip.w[0], UINT64_C(43513) * TIP);
    }
    close_world(&w);
}

static void transition_failure_leaves_nonce_and_fee(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_CANCUN);
    w.tx.value = coh_u256(7);
    put(&w, contract, 0, CODE("\x60\x07\x60\x00\x55\x60\x00\x60\x00\xa0\x60\x00\x60\x00\xfd"));
    expect(&w, 0, 21000 + 18 + 22100 + 375); /* REVERT keeps the rest of the gas */
    assert_int_equal(w.out->write_cnt, 1);
    assert_int_equal(w.out->log_cnt, 0);
    expect_paid(&w, UINT64_C(43493) * PRICE);
    put(&w, contract, 0, CODE("\x60\x07\x60\x00\x55\xfe"));
    expect(&w, 0, 200000);
    assert_int_equal(w.out->write_cnt, 1);
    expect_paid(&w, UINT64_C(200000) * PRICE);
    close_world(&w);
}

/* SSTORE(0, 0) over 1: two pushes and 5000 in all forks; refund 15000, at most half (EIP-2200), since London 4800, at most a fifth (EIP-3529). */
static void transition_refunds_by_fork(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint64_t gas;
    } const cases[] = {{COH_FORK_ISTANBUL, 26006 - 13003},
                       {COH_FORK_BERLIN, 26006 - 13003},
                       {COH_FORK_LONDON, 26006 - 4800},
                       {COH_FORK_PRAGUE, 26006 - 4800}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        evm_world_t w;
        open_world(&w, cases[i].fork);
        put(&w, contract, 0, CODE("\x60\x00\x60\x00\x55"));
        put_slot(&w, 0, 1);
        expect(&w, 1, cases[i].gas);
        expect_slot(&w, contract, 0, 0);
        expect_paid(&w, cases[i].gas * PRICE);
        close_world(&w);
    }
}

/* 200 octets that are not zero and nothing to do: 24200 gas, but at least 29000 (EIP-7623). A refund does not go below the floor. */
static void transition_floor_comes_after_refunds(void **state)
{
    (void)state;
    static uint8_t data[200];
    memset(data, 1, sizeof(data));
    evm_world_t w;
    open_world(&w, COH_FORK_PRAGUE);
    w.tx.data = coh_bytes(data, sizeof(data));
    put(&w, contract, 0, CODE("\x00"));
    expect(&w, 1, 29000);
    put(&w, contract, 0, CODE("\x60\x00\x60\x00\x55"));
    put_slot(&w, 0, 1);
    expect(&w, 1, 29000); /* 24200 + 5006 - 4800 = 24406 */
    w.block.fork = COH_FORK_CANCUN;
    expect(&w, 1, 24406);
    close_world(&w);
}

/* SLOAD(0): 3 + 2100, or by the access list 3 + 100 and 2400 + 1900 for the list (EIP-2930). */
static void transition_access_list_warms(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_CANCUN);
    put(&w, contract, 0, CODE("\x60\x00\x54"));
    expect(&w, 1, 23103);
    uint8_t list[56] = {0xf7, 0x94};
    memcpy(list + 2, contract.b, 20);
    list[22]             = 0xe1;
    list[23]             = 0xa0;
    w.tx.access_list     = coh_bytes(list, sizeof(list));
    w.tx.access_addr_cnt = 1;
    w.tx.access_key_cnt  = 1;
    expect(&w, 1, 21000 + 4300 + 103);
    list[55] = 1; /* another slot */
    expect(&w, 1, 21000 + 4300 + 2103);
    close_world(&w);
}

/* BALANCE of the coinbase: 2 + 100 + 2 (POP) since Shanghai (EIP-3651), 2600 before. */
static void transition_coinbase_is_warm_since_shanghai(void **state)
{
    (void)state;
    static struct {
        coh_fork_t fork;
        uint64_t gas;
    } const cases[] = {{COH_FORK_LONDON, 23604}, {COH_FORK_SHANGHAI, 21104}};
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        evm_world_t w;
        open_world(&w, cases[i].fork);
        put(&w, contract, 0, CODE("\x41\x31\x50"));
        expect(&w, 1, cases[i].gas);
        close_world(&w);
    }
}

static void transition_refuses_contracts_as_senders(void **state)
{
    (void)state;
    static coh_fork_t const forks[] = {COH_FORK_BYZANTIUM, COH_FORK_CANCUN, COH_FORK_PRAGUE};
    for (size_t i = 0; i < COH_CNT(forks); i++) {
        evm_world_t w;
        open_world(&w, forks[i]);
        put(&w, contract, 0, CODE("\x00"));
        coh_u256_t money = coh_u256(UINT64_C(1) << 40);
        coh_memview_put_account(w.mv, &from, 4, &money, CODE("\x00"));
        expect_refused(&w, COH_TX_SENDER_CODE); /* EIP-3607 */
        uint8_t delegation[23] = {0xef, 0x01, 0x00};
        memcpy(delegation + 3, contract.b, 20);
        coh_memview_put_account(w.mv, &from, 4, &money, coh_bytes(delegation, sizeof(delegation)));
        if (forks[i] < COH_FORK_PRAGUE) {
            expect_refused(&w, COH_TX_SENDER_CODE);
        } else {
            expect(&w, 1, 21000); /* EIP-7702 */
        }
        close_world(&w);
    }
}

/* A set code transaction that calls the authority. Intrinsic gas is 46000 (EIP-7702); the delegate does SSTORE(0, 7): 22106. */
static void transition_authorizes_delegations(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_PRAGUE);
    put(&w, contract, 0, CODE("\x60\x07\x60\x00\x55"));
    static uint8_t const secret[32] = {[31] = 1};
    /* The address of secret key 1 is a well-known one. */
    coh_addr_t authority   = coh_test_addr("0x7e5f4552091a69125d5dfcb7b8c2659029395bdf");
    coh_tx_auth_t auth     = {.chain_id = coh_u256(1), .addr = contract};
    uint8_t designator[23] = {0xef, 0x01, 0x00};
    memcpy(designator + 3, contract.b, 20);
    coh_buf_t list = {0};
    w.tx.type      = COH_TX_SET_CODE;
    w.tx.to        = authority;
    w.tx.auth_cnt  = 1;
#define AUTHORIZE()                                            \
    assert_int_equal(coh_tx_auth_sign(&auth, secret), COH_OK); \
    coh_buf_clear(&list);                                      \
    coh_tx_auth_put(&list, &auth);                             \
    w.tx.auth_list = coh_buf_bytes(&list)
    AUTHORIZE();
    expect(&w, 1, 68106);
    assert_int_equal(w.out->write_cnt, 3);
    expect_slot(&w, authority, 0, 7);
    coh_write_t const *write = write_to(&w, authority);
    assert_int_equal(write->flags, COH_WRITE_CODE | COH_WRITE_NONCE);
    assert_int_equal(write->nonce, 1);
    assert_bytes(write->code->bytes, coh_bytes(designator, sizeof(designator)));

    put(&w, authority, 1, (coh_bytes_t){0}); /* it exists: 12500 back */
    expect(&w, 1, 68106 - 12500);
    expect_slot(&w, authority, 0, 7);

    /* Invalid ones are passed over, and paid for. */
    static struct {
        uint64_t chain_id, nonce;
    } const wrong[] = {{2, 0}, {1, 1}, {1, UINT64_MAX}};
    for (size_t i = 0; i < COH_CNT(wrong); i++) {
        auth.chain_id = coh_u256(wrong[i].chain_id);
        auth.nonce    = wrong[i].nonce;
        AUTHORIZE();
        expect(&w, 1, 46000);
        assert_int_equal(w.out->write_cnt, 1);
    }
    coh_memview_put_account(w.mv, &authority, UINT64_MAX, &COH_U256_ZERO, (coh_bytes_t){0});
    expect(&w, 1, 46000); /* the nonce would overflow (EIP-2681) */
    assert_int_equal(w.out->write_cnt, 1);
    /* The authority is warm even so: PUSH20, BALANCE. */
    uint8_t look[22] = {0x73, [21] = 0x31};
    memcpy(look + 1, authority.b, 20);
    put(&w, other, 0, coh_bytes(look, sizeof(look)));
    auth.nonce    = 1;
    auth.chain_id = coh_u256(1);
    w.tx.to       = other;
    AUTHORIZE();
    expect(&w, 1, 46000 + 103);
    w.tx.to = authority;
    put(&w, authority, 1, (coh_bytes_t){0});
    auth.nonce    = 0;
    auth.chain_id = COH_U256_ZERO; /* on every chain */
    AUTHORIZE();
    expect(&w, 1, 68106 - 12500);

    /* A revert does not take it back, nor does it lose the refund. */
    put(&w, contract, 0, CODE("\x60\x07\x60\x00\x55\x60\x00\x60\x00\xfd"));
    expect(&w, 0, 46000 + 22112 - 12500);
    assert_int_equal(w.out->write_cnt, 2);
    assert_non_null(write_to(&w, authority)->code);

    /* The zero address clears. What was delegated stays an account with a nonce. */
    auth.addr      = (coh_addr_t){{0}};
    auth.nonce     = 1;
    coh_u256_t one = coh_u256(1);
    coh_memview_put_account(w.mv, &authority, 1, &one, coh_bytes(designator, sizeof(designator)));
    AUTHORIZE();
    expect(&w, 1, 46000 - 9200); /* a fifth of 46000 */
    write = write_to(&w, authority);
    assert_int_equal(write->flags, COH_WRITE_CODE | COH_WRITE_NONCE);
    assert_int_equal(write->code->bytes.n, 0);
    assert_int_equal(write->code->hash.b[0], 0);

    /* Other code is not replaced. */
    coh_memview_put_account(w.mv, &authority, 1, &one, CODE("\x00"));
    expect(&w, 1, 46000);
    assert_int_equal(w.out->write_cnt, 1);
    coh_buf_free(&list);
    close_world(&w);
}

/* Ten octets of init code, three of them zero, that return one octet 0x00: 53000 + 7*16 + 3*4 + 2 (EIP-3860), 18 to run, 200 to store. */
static void transition_creates_contracts(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_CANCUN);
    w.tx.is_create = true;
    w.tx.value     = coh_u256(7);
    w.tx.data      = CODE("\x60\x00\x60\x00\x53\x60\x01\x60\x00\xf3");
    expect(&w, 1, 53126 + 18 + 200);
    assert_int_equal(w.out->write_cnt, 2);
    coh_write_t const *write = write_to(&w, w.out->created);
    assert_int_equal(write->flags, CREATED | COH_WRITE_CODE);
    assert_int_equal(write->nonce, 1);
    assert_int_equal(write->word.w[0], 7);
    assert_bytes(write->code->bytes, CODE("\x00"));
    /* keccak256 of one zero octet */
    coh_hash_t hash =
        coh_test_hash("0xbc36789e7a1e281436464229828f817d6612f7b477d66591ff96a9e064bcc98a");
    assert_true(coh_hash_eq(&write->code->hash, &hash));

    w.tx.data = CODE("\xfe");
    expect(&w, 0, 200000);
    assert_int_equal(w.out->write_cnt, 1);
    expect_paid(&w, UINT64_C(200000) * PRICE);
    coh_addr_t const nobody = {{0}};
    assert_true(coh_addr_eq(&w.out->created, &nobody));
    close_world(&w);
}

/* ORIGIN SELFDESTRUCT by the coinbase: 2 + 5000. Its tip is burnt with it before EIP-6780, and its own afterwards. */
static void transition_coinbase_destroys_itself(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_SHANGHAI);
    w.block.fees_exact = true;
    w.block.coinbase   = contract;
    w.tx.value         = coh_u256(7);
    put(&w, contract, 5, CODE("\x32\xff"));
    put_slot(&w, 0, 1);
    expect(&w, 1, 26002);
    assert_int_equal(w.out->write_cnt, 2);
    expect_paid(&w, 26002 * PRICE - 5);
    coh_write_t const *write = write_to(&w, contract);
    assert_true(write->flags & COH_WRITE_GONE);
    assert_int_equal(write->code->generation, 1);

    w.block.fork = COH_FORK_CANCUN;
    expect(&w, 1, 26002);
    assert_int_equal(w.out->write_cnt, 2);
    expect_paid(&w, 26002 * PRICE - 5);
    assert_int_equal(write_to(&w, contract)->flags, COH_WRITE_DELTA);
    assert_int_equal(write_to(&w, contract)->word.w[0], 26002 * TIP - 5);
    close_world(&w);
}

/* The identity: 15 gas and 3 for a word, and 16 for the octet of data. */
static void transition_pays_precompiles(void **state)
{
    (void)state;
    evm_world_t w;
    open_world(&w, COH_FORK_CANCUN);
    w.tx.to   = (coh_addr_t){{[19] = 4}};
    w.tx.data = CODE("\x77");
    expect(&w, 1, 21034);
    assert_bytes(w.out->output, CODE("\x77"));
    assert_int_equal(w.out->write_cnt, 1); /* touched, and not there */
    w.tx.value = coh_u256(7);
    expect(&w, 1, 21034);
    assert_int_equal(w.out->write_cnt, 2);
    assert_int_equal(write_to(&w, w.tx.to)->flags, PAID);
    w.tx.gas_limit = 21033;
    expect(&w, 0, 21033);
    assert_int_equal(w.out->write_cnt, 1);
    close_world(&w);
}

/* Programs by chance: whatever they do, all ways agree. */
static void transition_is_the_same_all_ways(void **state)
{
    (void)state;
    uint64_t seed = coh_test_seed();
    static struct {
        uint8_t opcode, pops;
    } const ops[] = {{0x54, 1}, {0x55, 2}, {0x55, 2}, {0x55, 2}, {0x31, 1}, {0x3b, 1},
                     {0x40, 1}, {0xf0, 3}, {0xf1, 7}, {0xf1, 7}, {0xf2, 7}, {0xa0, 2},
                     {0xa1, 3}, {0x01, 2}, {0x52, 2}, {0x5a, 0}, {0x50, 1}, {0x5c, 1},
                     {0x5d, 2}, {0x3f, 1}, {0xf4, 6}, {0xf5, 4}, {0xfa, 6}, {0xff, 1}};
    enum { SINCE_FRONTIER = 17 };
    static coh_fork_t const forks[] = {
        COH_FORK_HOMESTEAD, COH_FORK_BYZANTIUM, COH_FORK_BERLIN, COH_FORK_CANCUN, COH_FORK_PRAGUE};
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    uint32_t successes = 0;
    for (int round = 0; round < 300; round++) {
        evm_world_t w;
        open_world(&w, forks[coh_rng_below(&rng, COH_CNT(forks))]);
        for (int i = 0; i < 2; i++) {
            uint8_t code[200];
            size_t n = 0;
            while (n < sizeof(code) - 20) {
                size_t op =
                    coh_rng_below(&rng, coh_rng_percent(&rng, 50) ? SINCE_FRONTIER : COH_CNT(ops));
                for (uint32_t pushes = 0; pushes < ops[op].pops; pushes++) {
                    bool is_address = coh_rng_percent(&rng, 3);
                    code[n++]       = is_address ? 0x30 : 0x60; /* ADDRESS, or PUSH1 */
                    if (!is_address) {
                        code[n++] = coh_rng_percent(&rng, 10) ? other.b[19]
                                                              : (uint8_t)coh_rng_below(&rng, 6);
                    }
                }
                code[n++] = ops[op].opcode;
            }
            put(&w, i == 0 ? contract : other, 100, coh_bytes(code, n));
        }
        put_slot(&w, 1, 1);
        w.block.fees_exact = coh_rng_percent(&rng, 50);
        w.block.coinbase   = coh_rng_percent(&rng, 30) ? contract : miner;
        w.tx.gas_limit     = 21000 + coh_rng_below(&rng, 2000000);
        w.tx.value         = coh_u256(coh_rng_below(&rng, 2));
        run_all_ways(&w);
        assert_int_equal(w.out->verdict, COH_TX_OK);
        successes += w.out->status;
        coh_memview_apply(w.mv, w.out);
        close_world(&w);
    }
    printf("%u of 300 succeeded\n", successes);
}

/* ---- calls ---- */

static coh_transition_status_t run_call(world_t *w)
{
    coh_transition_begin_call(transition, &w->block, &w->tx, &w->sender, &w->view);
    return run_on(w);
}

/* As eth_call defines it: nonce, gas limits of block and EIP-7825 do not count; without a fee the base fee is none. */
static void transition_call(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.block.fork          = COH_FORK_OSAKA;
    w.tx.nonce            = 99;
    w.tx.gas_limit        = 50000000;
    w.tx.max_fee          = COH_U256_ZERO;
    w.tx.max_tip          = COH_U256_ZERO;
    w.accounts[0].balance = coh_u256(7);
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_OK);
    assert_int_equal(w.out.status, 1);
    assert_int_equal(w.out.gas_used, 21000);
    assert_int_equal(coh_transition_halt(transition), COH_EVM_SUCCESS);
    assert_int_equal(coh_transition_gas_max(transition), 21000);
    assert_true(coh_u256_is_zero(&w.out.tip));
    assert_int_equal(w.tx.nonce, 99);

    /* The value is paid... */
    w.accounts[0].balance = coh_u256(6);
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_FUNDS);
    /* ...and a fee that is named is checked and paid as ever. */
    w.accounts[0].balance = coh_u256(UINT64_C(50000000) * CAP + 7);
    w.tx.max_fee          = coh_u256(BASE_FEE - 1);
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_FEE_TOO_LOW);
    w.tx.max_fee = coh_u256(CAP);
    w.tx.max_tip = coh_u256(CAP + 1);
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_TIP_ABOVE_CAP);
    w.tx.max_tip = coh_u256(TIP);
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_OK);
    assert_int_equal(w.out.tip.w[0], 21000 * TIP);
    w.accounts[0].balance = coh_u256(UINT64_C(50000000) * CAP + 6);
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_FUNDS);
    /* Gas that the data costs is needed as ever. */
    w.tx.gas_limit = 20999;
    assert_int_equal(run_call(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_INTRINSIC_GAS);
    /* The next transaction is none. */
    w.tx.gas_limit = 21000;
    assert_int_equal(run(&w), COH_TRANSITION_DONE);
    assert_int_equal(w.out.verdict, COH_TX_NONCE_TOO_HIGH);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(transition_call),
        cmocka_unit_test(transition_moves_value_and_charges_the_fee),
        cmocka_unit_test(transition_to_oneself_costs_the_fee),
        cmocka_unit_test(transition_of_nothing_writes_the_sender_alone),
        cmocka_unit_test(transition_exact_fees_go_to_the_coinbase),
        cmocka_unit_test(transition_needs_funds_for_the_worst_case),
        cmocka_unit_test(transition_nonce_must_be_the_senders),
        cmocka_unit_test(transition_cap_must_reach_the_base_fee),
        cmocka_unit_test(transition_charges_data_and_its_floor),
        cmocka_unit_test(transition_asks_for_no_exact_balance),
        cmocka_unit_test(transition_touches_empty_accounts_by_fork),
        cmocka_unit_test(transition_checks_what_the_block_says),
        cmocka_unit_test(transition_burns_the_fee_of_blobs),
        cmocka_unit_test(transition_needs_the_sender),
        cmocka_unit_test(transition_creates_by_the_rules_of_the_fork),
        cmocka_unit_test(transition_creation_at_a_taken_address_fails),
        cmocka_unit_test(transition_creation_can_pay_the_coinbase_itself),
        cmocka_unit_test(transition_creation_needs_the_address_too),
        cmocka_unit_test(transition_runs_a_contract),
        cmocka_unit_test(transition_failure_leaves_nonce_and_fee),
        cmocka_unit_test(transition_refunds_by_fork),
        cmocka_unit_test(transition_floor_comes_after_refunds),
        cmocka_unit_test(transition_access_list_warms),
        cmocka_unit_test(transition_coinbase_is_warm_since_shanghai),
        cmocka_unit_test(transition_refuses_contracts_as_senders),
        cmocka_unit_test(transition_authorizes_delegations),
        cmocka_unit_test(transition_creates_contracts),
        cmocka_unit_test(transition_coinbase_destroys_itself),
        cmocka_unit_test(transition_pays_precompiles),
        cmocka_unit_test(transition_is_the_same_all_ways),
    };
    transition = coh_transition_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    coh_transition_free(transition);
    return failed;
}
