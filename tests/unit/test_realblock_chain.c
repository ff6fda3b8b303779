/* Recorded blocks joined to a chain, of recordings made here: what state it starts from, by which rules each block goes, and what does not go together. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "deploy/cohort/realblock_chain.h"

/* Gas of a transfer (Yellow Paper, appendix G). */
#define TRANSFER_GAS 21000u
#define GAS_LIMIT    100000u
#define RICH         UINT64_C(1000000000)
#define PAID         200000u

/* Block 0 and 1 of a chain, each with a transaction and up to four accounts; fees are 1 wei. */
typedef struct {
    coh_realblock_t blocks[2];
    coh_tx_t txs[2];
    coh_tx_err_t errs[2];
    coh_addr_t senders[2];
    uint64_t gas[2];
    coh_genesis_account_t accounts[2][4];
} pair_t;

static char const *const names[] = {"first", "second"};
/* By address, ascending. */
static coh_addr_t const payer    = {.b = {0x10, [19] = 1}};
static coh_addr_t const receiver = {.b = {0x20, [19] = 2}};
static coh_addr_t const contract = {.b = {0x30, [19] = 3}};
static coh_addr_t const stranger = {.b = {0x40, [19] = 4}};
static coh_addr_t const coinbase = {.b = {0xc0, [19] = 5}};

static void put_block(pair_t *p,
                      size_t at,
                      coh_fork_t fork,
                      coh_addr_t sender,
                      uint64_t nonce,
                      coh_addr_t to,
                      uint64_t value,
                      uint64_t gas)
{
    p->txs[at]     = (coh_tx_t){.type      = COH_TX_LEGACY,
                                .nonce     = nonce,
                                .gas_limit = GAS_LIMIT,
                                .max_fee   = coh_u256(1),
                                .max_tip   = coh_u256(1),
                                .to        = to,
                                .value     = coh_u256(value),
                                .r         = {[31] = 1},
                                .s         = {[31] = 1}};
    p->senders[at] = sender;
    p->gas[at]     = gas;
    p->blocks[at]  = (coh_realblock_t){.chain_id  = 1,
                                       .number    = 100 + at,
                                       .timestamp = 5000 + at,
                                       .gas_limit = 1000000,
                                       .fork      = fork,
                                       .blobs     = COH_BLOB_STEP_CNT,
                                       .coinbase  = coinbase,
                                       .tx_cnt    = 1,
                                       .txs       = &p->txs[at],
                                       .errs      = &p->errs[at],
                                       .senders   = &p->senders[at],
                                       .gas       = &p->gas[at],
                                       .accounts  = p->accounts[at]};
}

/* Accounts come in the order of their addresses. */
static coh_genesis_account_t *put_account(pair_t *p,
                                          size_t at,
                                          coh_addr_t addr,
                                          uint64_t nonce,
                                          uint64_t balance)
{
    coh_genesis_account_t *a = &p->accounts[at][p->blocks[at].account_cnt++];
    *a = (coh_genesis_account_t){.addr = addr, .nonce = nonce, .balance = coh_u256(balance)};
    return a;
}

/* The payer pays the receiver, which did not exist; then the receiver pays on. What the second recording has is what the first leaves. */
static void put_transfers(pair_t *p)
{
    *p = (pair_t){0};
    put_block(p, 0, COH_FORK_BERLIN, payer, 7, receiver, PAID, TRANSFER_GAS);
    put_account(p, 0, payer, 7, RICH);
    put_block(p, 1, COH_FORK_BERLIN, receiver, 0, stranger, 5, TRANSFER_GAS);
    put_account(p, 1, payer, 8, RICH - PAID - TRANSFER_GAS);
    put_account(p, 1, receiver, 0, PAID);
    put_account(p, 1, stranger, 3, 40);
    put_account(p, 1, coinbase, 0, TRANSFER_GAS);
}

static coh_realblock_chain_t join(pair_t const *p)
{
    coh_realblock_chain_t chain;
    coh_buf_t why = COH_BUF_INIT;
    if (coh_realblock_chain(&chain, p->blocks, names, 2, &why) != COH_OK) {
        fail_msg("%.*s", (int)why.n, (char const *)why.p);
    }
    coh_buf_free(&why);
    return chain;
}

/* The text of the refusal names each of parts. */
static void expect_refusal(pair_t const *p, char const *const *parts, size_t cnt)
{
    coh_realblock_chain_t chain;
    coh_buf_t why = COH_BUF_INIT;
    assert_int_equal(coh_realblock_chain(&chain, p->blocks, names, 2, &why), COH_EINVAL);
    coh_genesis_free(&chain.genesis);
    coh_buf_put_u8(&why, 0);
    for (size_t i = 0; i < cnt; i++) {
        if (strstr((char const *)why.p, parts[i]) == NULL) {
            fail_msg("\"%s\" does not name \"%s\"", (char const *)why.p, parts[i]);
        }
    }
    coh_buf_free(&why);
}

static coh_genesis_account_t const *find(coh_realblock_chain_t const *chain, coh_addr_t addr)
{
    for (size_t i = 0; i < chain->genesis.alloc_cnt; i++) {
        if (coh_addr_eq(&chain->genesis.alloc[i].addr, &addr)) {
            return &chain->genesis.alloc[i];
        }
    }
    return NULL;
}

static void chain_starts_from_what_is_recorded_first(void **state)
{
    (void)state;
    pair_t p;
    put_transfers(&p);
    coh_realblock_chain_t chain = join(&p);
    coh_u256_t rich             = coh_u256(RICH);
    coh_u256_t forty            = coh_u256(40);
    assert_int_equal(chain.tx_cnt, 2);
    assert_int_equal(chain.gas_used, 2 * TRANSFER_GAS);
    assert_int_equal(chain.other_gas_cnt, 0);
    assert_int_equal(chain.genesis.number, 99);
    assert_int_equal(chain.genesis.alloc_cnt, 2);
    assert_null(find(&chain, receiver)); /* the first block makes it, and the next */
    assert_null(find(&chain, coinbase));
    assert_int_equal(find(&chain, payer)->nonce, 7);
    assert_true(coh_u256_eq(&find(&chain, payer)->balance, &rich));
    assert_int_equal(find(&chain, stranger)->nonce, 3);
    assert_true(coh_u256_eq(&find(&chain, stranger)->balance, &forty));
    coh_genesis_free(&chain.genesis);
}

/* Slots of the contract, which reads slot 1: 2 is in both recordings, 1 and 3 only in the second. */
static void chain_takes_each_slot_by_itself(void **state)
{
    (void)state;
    static uint8_t const reads_slot_1[] = {0x60, 0x01, 0x54, 0x50, 0x00};
    coh_genesis_slot_t first[]          = {{coh_u256(2), coh_u256(20)}};
    coh_genesis_slot_t second[]         = {
                {coh_u256(1), coh_u256(11)}, {coh_u256(2), coh_u256(21)}, {coh_u256(3), coh_u256(31)}};
    /* PUSH1 3, cold SLOAD 2100 (EIP-2929), POP 2 */
    uint64_t gas = TRANSFER_GAS + 3 + 2100 + 2;
    pair_t p     = {0};
    put_block(&p, 0, COH_FORK_BERLIN, payer, 0, contract, 0, gas);
    put_account(&p, 0, payer, 0, RICH);
    coh_genesis_account_t *a = put_account(&p, 0, contract, 1, 0);
    a->code                  = coh_bytes(reads_slot_1, sizeof(reads_slot_1));
    a->slots                 = first;
    a->slot_cnt              = COH_CNT(first);
    put_block(&p, 1, COH_FORK_BERLIN, payer, 1, contract, 0, gas);
    put_account(&p, 1, payer, 1, RICH - gas);
    a           = put_account(&p, 1, contract, 1, 0);
    a->code     = coh_bytes(reads_slot_1, sizeof(reads_slot_1));
    a->slots    = second;
    a->slot_cnt = COH_CNT(second);

    coh_realblock_chain_t chain      = join(&p);
    coh_genesis_account_t const *has = find(&chain, contract);
    assert_int_equal(chain.gas_used, 2 * gas);
    assert_int_equal(chain.other_gas_cnt, 0);
    assert_int_equal(has->slot_cnt, 2);
    assert_true(coh_u256_eq(&has->slots[0].key, &first[0].key));
    assert_true(coh_u256_eq(&has->slots[0].value, &first[0].value));
    assert_true(coh_u256_eq(&has->slots[1].key, &second[2].key));
    assert_true(coh_u256_eq(&has->slots[1].value, &second[2].value));
    coh_genesis_free(&chain.genesis);
}

/* PUSH0 is an instruction since Shanghai (EIP-3855), before it takes all gas. */
static void chain_runs_each_block_by_its_own_fork(void **state)
{
    (void)state;
    static uint8_t const pushes_0[] = {0x5f, 0x50, 0x00};
    pair_t p                        = {0};
    for (size_t at = 0; at < 2; at++) {
        put_block(&p,
                  at,
                  at == 0 ? COH_FORK_PARIS : COH_FORK_SHANGHAI,
                  payer,
                  at,
                  contract,
                  0,
                  at == 0 ? GAS_LIMIT : TRANSFER_GAS + 2 + 2);
        put_account(&p, at, payer, at, RICH);
        put_account(&p, at, contract, 1, 0)->code = coh_bytes(pushes_0, sizeof(pushes_0));
    }
    coh_realblock_chain_t chain = join(&p);
    assert_int_equal(chain.gas_used, GAS_LIMIT + TRANSFER_GAS + 4);
    assert_int_equal(chain.other_gas_cnt, 0);
    coh_genesis_free(&chain.genesis);

    p.gas[1]++;
    chain = join(&p);
    assert_int_equal(chain.other_gas_cnt, 1);
    coh_genesis_free(&chain.genesis);
}

static void chain_closes_gaps(void **state)
{
    (void)state;
    pair_t p;
    put_transfers(&p);
    p.blocks[1].number          = 5000;
    coh_realblock_chain_t chain = join(&p);
    assert_int_equal(chain.other_gas_cnt, 0);
    coh_genesis_free(&chain.genesis);
}

static void chain_refuses_what_does_not_go_together(void **state)
{
    (void)state;
    pair_t p;
    put_transfers(&p);
    p.txs[1].nonce                  = 2; /* the block with 0 and 1 is missing */
    static char const *const high[] = {"second cannot follow",
                                       "transaction 0",
                                       "0x2000000000000000000000000000000000000002",
                                       "nonce 2",
                                       "nonce too high",
                                       "has nonce 0"};
    expect_refusal(&p, high, COH_CNT(high));

    put_transfers(&p);
    p.txs[1].value                  = coh_u256(PAID); /* came from somewhere else */
    static char const *const poor[] = {"second cannot follow", "transaction 0", "insufficient"};
    expect_refusal(&p, poor, COH_CNT(poor));

    put_transfers(&p);
    p.blocks[1].number               = 100;
    static char const *const order[] = {"second, block 100",
                                        "does not come after first, block 100"};
    expect_refusal(&p, order, COH_CNT(order));

    put_transfers(&p);
    p.blocks[1].chain_id               = 560048;
    static char const *const network[] = {"second is of another network than first"};
    expect_refusal(&p, network, COH_CNT(network));

    put_transfers(&p);
    static uint8_t const stop[]     = {0x00};
    coh_addr_t omitted[]            = {stranger};
    p.accounts[1][2].code           = coh_bytes(stop, sizeof(stop));
    p.blocks[0].omitted             = omitted;
    p.blocks[0].omitted_cnt         = 1;
    static char const *const code[] = {
        "second", "0x4000000000000000000000000000000000000004", "first leaves out"};
    expect_refusal(&p, code, COH_CNT(code));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(chain_starts_from_what_is_recorded_first),
        cmocka_unit_test(chain_takes_each_slot_by_itself),
        cmocka_unit_test(chain_runs_each_block_by_its_own_fork),
        cmocka_unit_test(chain_closes_gaps),
        cmocka_unit_test(chain_refuses_what_does_not_go_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
