/* Recorded blocks: reading them, what kind they are, what they must come to. Expected balances were computed with Python from the recordings. */
/* links: coh_tools */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/crypto/keccak.h"
#include "deploy/cohort/realblock.h"
#include "tests/support/data.h"

static bool load(coh_realblock_t *out, char const *name)
{
    char const *dir = coh_test_data_dir();
    if (dir == NULL) {
        coh_test_skip("recorded blocks");
        return false;
    }
    coh_buf_t path     = COH_BUF_INIT;
    coh_buf_t err_text = COH_BUF_INIT;
    coh_buf_printf(&path, "%s/realblocks/%s.json", dir, name);
    coh_buf_put_u8(&path, 0);
    coh_err_t err = coh_realblock_load(out, (char const *)path.p, &err_text);
    coh_buf_put_u8(&err_text, 0);
    if (err != COH_OK) {
        fail_msg("%s: %s", name, (char const *)err_text.p);
    }
    coh_buf_free(&path);
    coh_buf_free(&err_text);
    return true;
}

static void expect_balance(coh_genesis_account_t const *accounts,
                           size_t cnt,
                           char const *addr_text,
                           uint64_t nonce,
                           char const *balance)
{
    coh_addr_t addr = coh_test_addr(addr_text);
    coh_u256_t want = coh_test_u256(balance);
    for (size_t i = 0; i < cnt; i++) {
        if (coh_addr_eq(&accounts[i].addr, &addr)) {
            assert_int_equal(accounts[i].nonce, nonce);
            assert_true(coh_u256_eq(&accounts[i].balance, &want));
            return;
        }
    }
    fail_msg("%s is not among the accounts", addr_text);
}

static void realblock_first_transfers_add_up(void **state)
{
    (void)state;
    coh_realblock_t block;
    if (!load(&block, "mainnet-46400w")) {
        return;
    }
    assert_int_equal(block.number, 46400);
    assert_int_equal(block.fork, COH_FORK_FRONTIER);
    assert_int_equal(coh_realblock_kind(&block), COH_REALBLOCK_TRANSFERS);
    coh_genesis_account_t *after;
    size_t cnt;
    coh_buf_t err_text = COH_BUF_INIT;
    assert_int_equal(coh_realblock_expect(&after, &cnt, &block, NULL, &err_text), COH_OK);
    assert_int_equal(cnt, 3);
    expect_balance(
        after, cnt, "0xf55cdbdf978f539ea4eee0621f7f1a0f9f00f7d9", 1, "34500000000000000");
    expect_balance(
        after, cnt, "0x6baf48e1c966d16559ce2dddb616ffa72004851e", 1, "41197913606445900000");
    expect_balance(
        after, cnt, "0x123843545fb525c8e134c9a5f15ada6865cc3848", 0, "1544073000000000000000");
    free(after);

    /* A sender that cannot pay is found. */
    for (size_t i = 0; i < block.account_cnt; i++) {
        block.accounts[i].balance = coh_u256(5);
    }
    assert_int_equal(coh_realblock_expect(&after, &cnt, &block, NULL, &err_text), COH_EINVAL);
    free(after);
    coh_buf_free(&err_text);
    coh_realblock_free(&block);
}

/* A creation without init code; the recording names the address. */
static void realblock_first_creation_adds_up(void **state)
{
    (void)state;
    coh_realblock_t block;
    if (!load(&block, "mainnet-47205w")) {
        return;
    }
    coh_genesis_account_t *after;
    size_t cnt;
    coh_buf_t err_text = COH_BUF_INIT;
    assert_int_equal(coh_realblock_expect(&after, &cnt, &block, NULL, &err_text), COH_OK);
    assert_int_equal(cnt, 3);
    expect_balance(after, cnt, "0xfbe0afcd7658ba86be41922059dd879c192d4c73", 1, "4500000000000000");
    expect_balance(
        after, cnt, "0xc669eaad75042be84daaf9b461b0e868b9ac1871", 0, "14985000000000000000");
    expect_balance(
        after, cnt, "0xbb7b8287f3f0a933474a79eae42cbca977791171", 0, "30333577595701434377000");
    free(after);

    /* With the rules of Spurious Dragon the new account begins at nonce 1. */
    block.fork = COH_FORK_SPURIOUS;
    assert_int_equal(coh_realblock_expect(&after, &cnt, &block, NULL, &err_text), COH_OK);
    expect_balance(
        after, cnt, "0xc669eaad75042be84daaf9b461b0e868b9ac1871", 1, "14985000000000000000");
    free(after);
    coh_buf_free(&err_text);
    coh_realblock_free(&block);
}

static void realblock_kinds_are_told_apart(void **state)
{
    (void)state;
    static struct {
        char const *name;
        coh_realblock_kind_t kind;
    } const cases[] = {
        {"mainnet-930196", COH_REALBLOCK_TRANSFERS},
        {"mainnet-1149999", COH_REALBLOCK_TRANSFERS},
        {"mainnet-1920000w", COH_REALBLOCK_TRANSFERS},
        {"mainnet-48712w", COH_REALBLOCK_TRANSFERS},
        {"mainnet-98w", COH_REALBLOCK_EMPTY},
        {"mainnet-47205w", COH_REALBLOCK_TRANSFERS},
        {"mainnet-49439w", COH_REALBLOCK_CODE},
        {"mainnet-19933122", COH_REALBLOCK_CODE}, /* with blobs */
    };
    for (size_t i = 0; i < COH_CNT(cases); i++) {
        coh_realblock_t block;
        if (!load(&block, cases[i].name)) {
            return;
        }
        if (coh_realblock_kind(&block) != cases[i].kind) {
            fail_msg("%s: %s", cases[i].name, coh_realblock_kind_str(coh_realblock_kind(&block)));
        }
        coh_realblock_free(&block);
    }
}

static void realblock_genesis_is_the_parent(void **state)
{
    (void)state;
    coh_realblock_t block;
    if (!load(&block, "mainnet-1920000w")) {
        return;
    }
    coh_genesis_t genesis;
    coh_buf_t err_text = COH_BUF_INIT;
    assert_int_equal(coh_realblock_genesis(&genesis, &block, &err_text), COH_OK);
    assert_int_equal(genesis.number, 1919999);
    assert_int_equal(coh_genesis_fork(&genesis, block.number, block.timestamp), COH_FORK_HOMESTEAD);
    assert_int_equal(genesis.alloc_cnt, block.account_cnt);
    coh_genesis_free(&genesis);
    coh_buf_free(&err_text);
    coh_realblock_free(&block);
}

static void realblock_refuses_what_is_no_recording(void **state)
{
    (void)state;
    coh_realblock_t block;
    coh_buf_t err_text = COH_BUF_INIT;
    assert_int_equal(coh_realblock_load(&block, "/nonexistent/block.json", &err_text), COH_EIO);
    coh_realblock_free(&block);
    static char const *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"format\":\"realblock-1\"}",
        "{\"format\":\"realblock-1\",\"header\":{\"number\":\"0xzz\"}}"};
    for (size_t i = 0; i < COH_CNT(texts); i++) {
        char path[] = "/tmp/test_realblock.XXXXXX";
        int fd      = mkstemp(path);
        assert_true(fd >= 0);
        FILE *file = fdopen(fd, "w");
        fputs(texts[i], file);
        fclose(file);
        assert_int_equal(coh_realblock_load(&block, path, &err_text), COH_EMALFORMED);
        coh_realblock_free(&block);
        remove(path);
    }
    assert_true(err_text.n > 0);
    coh_buf_free(&err_text);
}

/* A block's reward: 5 ether and a 32nd for an ommer, whose miner gets seven eighths; the ommer is made up. */
static void realblock_credits_add_up(void **state)
{
    (void)state;
    coh_realblock_t block;
    if (!load(&block, "mainnet-46400w")) {
        return;
    }
    coh_buf_t list      = COH_BUF_INIT;
    coh_addr_t ommer    = {.b = {0xaa}};
    coh_u256_t reward   = coh_test_u256("5156250000000000000");
    coh_u256_t of_ommer = coh_test_u256("4375000000000000000");
    coh_buf_t err_text  = COH_BUF_INIT;
    coh_genesis_account_t *without;
    coh_genesis_account_t *with;
    size_t without_cnt;
    size_t with_cnt;
    coh_step_put_credit(&list, &ommer, &of_ommer);
    coh_step_put_credit(&list, &block.coinbase, &reward);
    coh_step_t const credits = {.kind = COH_STEP_CREDIT, .list = coh_buf_bytes(&list)};
    assert_int_equal(coh_realblock_expect(&without, &without_cnt, &block, NULL, &err_text), COH_OK);
    assert_int_equal(coh_realblock_expect(&with, &with_cnt, &block, &credits, &err_text), COH_OK);
    assert_int_equal(with_cnt, without_cnt + 1);
    for (size_t i = 0, k = 0; i < with_cnt; i++) {
        coh_u256_t want = of_ommer;
        if (!coh_addr_eq(&with[i].addr, &ommer)) {
            want = without[k++].balance;
        }
        if (coh_addr_eq(&with[i].addr, &block.coinbase)) {
            (void)coh_u256_add(&want, &want, &reward);
        }
        assert_true(coh_u256_eq(&with[i].balance, &want));
    }
    free(without);
    free(with);
    coh_buf_free(&list);
    coh_buf_free(&err_text);
    coh_realblock_free(&block);
}

/* What the loader hands over beside the transactions, of a block with an ommer, and of one with withdrawals. */
static void realblock_holds_the_rest_of_the_body(void **state)
{
    (void)state;
    coh_realblock_t block;
    if (!load(&block, "mainnet-226147w")) {
        return;
    }
    coh_hash_t hash;
    coh_keccak256(&hash, block.header_rlp.p, block.header_rlp.n);
    assert_memory_equal(hash.b, block.hash.b, 32);
    assert_true(block.has_ommers && block.has_witness);
    assert_true(block.ommers.n > 500);
    assert_int_equal(block.node_cnt, 25);
    assert_int_equal(block.withdrawals.n, 0);
    coh_realblock_free(&block);
    assert_true(load(&block, "mainnet-1796867"));
    assert_false(block.has_ommers || block.has_witness);
    coh_realblock_free(&block);
    assert_true(load(&block, "mainnet-19910734"));
    coh_rlp_t list = coh_rlp_reader(block.withdrawals);
    coh_rlp_t item;
    size_t cnt = 0;
    while (!coh_rlp_at_end(&list)) {
        assert_int_equal(coh_rlp_list(&list, &item), COH_OK);
        cnt++;
    }
    assert_int_equal(cnt, 16);
    coh_realblock_free(&block);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(realblock_first_transfers_add_up),
        cmocka_unit_test(realblock_first_creation_adds_up),
        cmocka_unit_test(realblock_kinds_are_told_apart),
        cmocka_unit_test(realblock_genesis_is_the_parent),
        cmocka_unit_test(realblock_credits_add_up),
        cmocka_unit_test(realblock_holds_the_rest_of_the_body),
        cmocka_unit_test(realblock_refuses_what_is_no_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
