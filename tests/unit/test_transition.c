/* The transition over a view that gives away no more than it must: of a balance only on which side of the bound it is, of a nonce only
   what was asked for. Figures are added up by hand from the Yellow Paper and the EIPs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/state/transition.h"
#include "tests/support/data.h"

#define ACCOUNT_MAX 4u
#define BASE_FEE    10u
#define TIP         5u
#define CAP         100u
#define PRICE       (BASE_FEE + TIP)

typedef struct {
    coh_addr_t addr;
    uint64_t nonce;
    coh_u256_t balance;
    bool absent; /* not at hand: NEED */
    uint32_t read_cnt;
} account_t;

typedef struct {
    coh_view_t view;
    account_t accounts[ACCOUNT_MAX];
    uint32_t account_cnt;
    coh_block_env_t block;
    coh_tx_t tx;
    coh_addr_t sender;
    coh_write_t writes[COH_TRANSFER_WRITES_MAX];
    coh_outcome_t out;
} world_t;

static coh_addr_t const from    = {{0x11}};
static coh_addr_t const to      = {{0x22}};
static coh_addr_t const miner   = {{0x33}};
static coh_u256_t const huge    = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
static uint64_t const not_asked = UINT64_C(0xdeadbeefdeadbeef);

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
        if (a->absent) {
            return COH_VIEW_NEED;
        }
        out->nonce = (fields & COH_READ_NONCE) ? a->nonce : not_asked;
        out->word  = huge;
        if (fields & COH_READ_WORD) {
            out->word = a->balance;
        } else if ((fields & COH_READ_AT_LEAST) && coh_u256_lt(&a->balance, bound)) {
            out->word = COH_U256_ZERO;
        }
        return COH_VIEW_OK;
    }
    fail_msg("read of an account that the transaction has no business with");
    return COH_VIEW_NEED;
}

static account_t *add_account(world_t *w, coh_addr_t addr, uint64_t nonce, coh_u256_t balance)
{
    account_t *a = &w->accounts[w->account_cnt++];
    *a           = (account_t){.addr = addr, .nonce = nonce, .balance = balance};
    return a;
}

/* A transfer of 7 wei at Cancun by a sender who has just what it must have. */
static void init(world_t *w)
{
    *w = (world_t){
        .view   = {.read = read_account},
        .block  = {.number    = 1,
                   .gas_limit = 30000000,
                   .base_fee  = coh_u256(BASE_FEE),
                   .coinbase  = miner,
                   .fork      = COH_FORK_CANCUN},
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
}

static coh_transition_status_t run(world_t *w)
{
    w->out = (coh_outcome_t){.writes = w->writes, .write_max = COH_TRANSFER_WRITES_MAX};
    return coh_transition_run(&w->out, &w->block, &w->tx, &w->sender, &w->view);
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
    expect_write(&w, miner, PAID, 0, 21000 * TIP);

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

    /* Without a base fee it gets back all that it pays: zero is not negative. */
    w.block.base_fee = COH_U256_ZERO;
    expect_done(&w, 1, 21000, 0);
    expect_write(&w, from, COH_WRITE_DELTA | COH_WRITE_NONCE, 5, 0);
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

static void transition_leaves_code_alone(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.tx.to = (coh_addr_t){{[19] = 9}}; /* blake2f, EIP-152: since Istanbul */
    expect_invalid(&w, COH_TX_NEEDS_CODE);
    w.block.fork = COH_FORK_PETERSBURG;
    expect_done(&w, 1, 21000, 21000 * TIP);
    init(&w);
    w.tx.is_create        = true;
    w.tx.gas_limit        = 60000;
    w.tx.data             = coh_bytes("\0", 1); /* STOP is code, too */
    w.accounts[0].balance = huge;
    expect_invalid(&w, COH_TX_NEEDS_CODE);
}

static void transition_needs_the_sender(void **state)
{
    (void)state;
    world_t w;
    init(&w);
    w.accounts[0].absent = true;
    assert_int_equal(run(&w), COH_TRANSITION_NEED);
    w.accounts[0].absent = false;
    expect_done(&w, 1, 21000, 21000 * TIP);
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
    return add_account(
        w, coh_test_addr("0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"), 0, COH_U256_ZERO);
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
        assert_int_equal(w.out.write_cnt, 1 + cases[i].nonce);
        if (cases[i].nonce != 0) {
            expect_write(&w, created->addr, flags, cases[i].nonce, 0);
        }

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
    assert_int_equal(run(&w), COH_TRANSITION_NEED);
    assert_int_equal(created->read_cnt, 1);
    created->absent = false;
    expect_done(&w, 1, 53000, 53000 * TIP);

    /* What is invalid anyway does not ask for it. */
    created->absent       = true;
    created->read_cnt     = 0;
    w.accounts[0].balance = coh_u256(60000 * CAP + 6);
    expect_invalid(&w, COH_TX_FUNDS);
    assert_int_equal(created->read_cnt, 0);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(transition_moves_value_and_charges_the_fee),
        cmocka_unit_test(transition_to_oneself_costs_the_fee),
        cmocka_unit_test(transition_of_nothing_writes_the_sender_alone),
        cmocka_unit_test(transition_exact_fees_go_to_the_coinbase),
        cmocka_unit_test(transition_needs_funds_for_the_worst_case),
        cmocka_unit_test(transition_nonce_must_be_the_senders),
        cmocka_unit_test(transition_cap_must_reach_the_base_fee),
        cmocka_unit_test(transition_charges_data_and_its_floor),
        cmocka_unit_test(transition_leaves_code_alone),
        cmocka_unit_test(transition_needs_the_sender),
        cmocka_unit_test(transition_creates_by_the_rules_of_the_fork),
        cmocka_unit_test(transition_creation_at_a_taken_address_fails),
        cmocka_unit_test(transition_creation_can_pay_the_coinbase_itself),
        cmocka_unit_test(transition_creation_needs_the_address_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
