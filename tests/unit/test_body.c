/* Whole blocks: their encoding, laid out here by hand, and what a header says of a body without execution. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/chain/execute.h"
#include "common/crypto/keccak.h"
#include "tests/support/txgen.h"

static coh_header_t header(void)
{
    return (coh_header_t){.number           = 5,
                          .gas_limit        = 30000000,
                          .ommers_hash      = COH_EMPTY_LIST_HASH,
                          .withdrawals_root = COH_EMPTY_TRIE_ROOT};
}

/* [header, [a typed transaction of three octets, a legacy one that is the list of 7], [], [a withdrawal]] */
static void put_own(coh_buf_t *out)
{
    coh_header_t h = header();
    coh_header_encode(out, &h, COH_FORK_SHANGHAI);
    coh_buf_put(out, "\xc6\x83\x02\xaa\xbb\xc1\x07", 7);
    coh_buf_put(out, "\xc0", 1);
    coh_buf_put(out, "\xd9\xd8\x01\x02\x94", 5);
    for (int i = 0; i < 20; i++) {
        coh_buf_put_u8(out, 0xee);
    }
    coh_buf_put(out, "\x09", 1);
    coh_rlp_wrap_list(out, 0);
}

static void body_decodes(void **state)
{
    (void)state;
    coh_buf_t raw = COH_BUF_INIT;
    coh_block_t block;
    coh_header_t h = header();
    put_own(&raw);
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), COH_OK);
    coh_hash_t hash = coh_header_hash(&h, COH_FORK_SHANGHAI);
    assert_memory_equal(block.hash.b, hash.b, 32);
    assert_memory_equal(block.ommers_hash.b, COH_EMPTY_LIST_HASH.b, 32);
    assert_int_equal(block.header_fork, COH_FORK_SHANGHAI);
    assert_int_equal(block.tx_cnt, 2);
    assert_int_equal(block.ommer_cnt, 0);
    assert_int_equal(block.withdrawal_cnt, 1);
    coh_rlp_t list = coh_block_tx_iter(&block);
    coh_bytes_t tx[3];
    assert_true(coh_block_tx_next(&list, &tx[0]));
    assert_true(coh_bytes_eq(tx[0], coh_bytes("\x02\xaa\xbb", 3)));
    assert_true(coh_block_tx_next(&list, &tx[1]));
    assert_true(coh_bytes_eq(tx[1], coh_bytes("\xc1\x07", 2)));
    assert_false(coh_block_tx_next(&list, &tx[2]));
    coh_withdrawal_t w;
    list = coh_block_withdrawal_iter(&block);
    assert_true(coh_block_withdrawal_next(&list, &w));
    assert_int_equal(w.index, 1);
    assert_int_equal(w.validator, 2);
    assert_int_equal(w.addr.b[19], 0xee);
    assert_int_equal(w.amount_gwei, 9);
    assert_false(coh_block_withdrawal_next(&list, &w));

    coh_buf_t again = COH_BUF_INIT;
    coh_block_put(&again, &h, COH_FORK_SHANGHAI, tx, 2, (coh_bytes_t){0}, block.withdrawals);
    assert_true(coh_bytes_eq(coh_buf_bytes(&again), coh_buf_bytes(&raw)));

    size_t n = raw.n; /* a chain of two */
    coh_buf_put(&raw, again.p, again.n);
    size_t at = 0;
    coh_bytes_t one;
    for (size_t i = 1; i <= 2; i++) {
        assert_int_equal(coh_block_next_raw(&one, coh_buf_bytes(&raw), &at), COH_OK);
        assert_int_equal(one.n, n);
        assert_int_equal(at, i * n);
    }
    assert_int_equal(coh_block_next_raw(&one, coh_buf_bytes(&raw), &at), COH_ENOTFOUND);
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), COH_EMALFORMED);
    for (size_t i = 0; i < n; i++) {
        assert_int_not_equal(coh_block_decode(&block, coh_bytes(raw.p, i)), COH_OK);
    }
    coh_buf_free(&raw);
    coh_buf_free(&again);
}

/* Replaces the part of a block behind its header. */
static void expect_body(char const *body, size_t n, coh_err_t want)
{
    coh_buf_t raw  = COH_BUF_INIT;
    coh_header_t h = header();
    coh_block_t block;
    coh_header_encode(&raw, &h, COH_FORK_SHANGHAI);
    coh_buf_put(&raw, body, n);
    coh_rlp_wrap_list(&raw, 0);
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), want);
    coh_buf_free(&raw);
}

static void body_is_strict(void **state)
{
    (void)state;
    expect_body("\xc0\xc0\xc0", 3, COH_OK);
    expect_body(
        "\xc0\xc0", 2, COH_OK); /* whether there must be withdrawals is the rules' business */
    expect_body("\xc0", 1, COH_ETRUNCATED);
    expect_body("\xc0\xc0\xc0\xc0", 4, COH_EMALFORMED);
    expect_body("\x80\xc0\xc0", 3, COH_EMALFORMED);         /* transactions that are no list */
    expect_body("\xc1\x80\xc0\xc0", 4, COH_EMALFORMED);     /* an empty transaction */
    expect_body("\xc2\x81\x80\xc0\xc0", 5, COH_EMALFORMED); /* a type above 0x7f */
    expect_body("\xc0\xc1\xc0\xc0", 4, COH_ETRUNCATED);     /* an ommer without fields */
    expect_body("\xc0\xc0\xc1\xc0", 4, COH_ETRUNCATED);     /* a withdrawal without */
    expect_body("\xc0\xc0\xc1\x01", 4, COH_EMALFORMED);
}

static void body_is_held_against_its_header(void **state)
{
    (void)state;
    coh_schedule_t schedule;
    coh_schedule_init(&schedule, COH_FORK_OSAKA, 1);
    coh_rules_t osaka = coh_schedule_rules(&schedule, 1, 1, &COH_U256_ZERO);
    coh_schedule_init(&schedule, COH_FORK_SHANGHAI, 1);
    coh_rules_t shanghai = coh_schedule_rules(&schedule, 1, 1, &COH_U256_ZERO);
    coh_schedule_init(&schedule, COH_FORK_PARIS, 1);
    coh_rules_t paris = coh_schedule_rules(&schedule, 1, 1, &COH_U256_ZERO);

    coh_buf_t raw = COH_BUF_INIT;
    coh_block_t block;
    coh_header_t h = header();
    coh_block_put(&raw, &h, COH_FORK_SHANGHAI, NULL, 0, (coh_bytes_t){0}, (coh_bytes_t){0});
    assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), COH_OK);
    assert_int_equal(coh_body_check(&block, &shanghai), COH_BLOCK_OK);
    assert_int_equal(coh_body_check(&block, &paris), COH_BLOCK_NO_WITHDRAWALS);
    block.header.withdrawals_root.b[0] ^= 1;
    assert_int_equal(coh_body_check(&block, &shanghai), COH_BLOCK_WITHDRAWALS_ROOT);
    block.header.ommers_hash.b[0] ^= 1;
    assert_int_equal(coh_body_check(&block, &shanghai), COH_BLOCK_OMMERS_HASH);

    /* EIP-7934: of just the size, and an octet more. */
    coh_buf_clear(&raw);
    coh_buf_t tx = COH_BUF_INIT;
    memset(coh_buf_extend(&tx, COH_BLOCK_RLP_MAX), 0, COH_BLOCK_RLP_MAX);
    tx.p[0]          = 2;
    coh_bytes_t only = coh_bytes(tx.p, COH_BLOCK_RLP_MAX / 2);
    coh_block_put(&raw, &h, COH_FORK_SHANGHAI, &only, 1, (coh_bytes_t){0}, (coh_bytes_t){0});
    size_t around = raw.n - only.n;
    for (size_t over = 0; over < 2; over++) {
        only.n = COH_BLOCK_RLP_MAX - around + over;
        coh_buf_clear(&raw);
        coh_block_put(&raw, &h, COH_FORK_SHANGHAI, &only, 1, (coh_bytes_t){0}, (coh_bytes_t){0});
        assert_int_equal(raw.n, COH_BLOCK_RLP_MAX + over);
        assert_int_equal(coh_block_decode(&block, coh_buf_bytes(&raw)), COH_OK);
        assert_int_equal(coh_body_check(&block, &osaka),
                         over == 0 ? COH_BLOCK_OK : COH_BLOCK_TOO_LARGE);
        assert_int_equal(coh_body_check(&block, &shanghai), COH_BLOCK_OK);
    }
    coh_buf_free(&raw);
    coh_buf_free(&tx);
}

/* What a pool does not take a block may hold. */
static void body_transactions_may_be_large(void **state)
{
    (void)state;
    coh_txgen_t *gen      = coh_txgen_new();
    coh_txgen_spec_t spec = {
        .key = 1, .type = COH_TX_DYNAMIC_FEE, .chain_id = 1, .gas_limit = 10000000};
    coh_tx_t tx;
    coh_buf_t raw             = COH_BUF_INIT;
    coh_txgen_tx_t const *one = coh_txgen_make(gen, &spec);
    tx                        = one->tx;
    uint8_t *data             = calloc(1, 200000);
    assert_non_null(data);
    tx.data = coh_bytes(data, 200000);
    coh_tx_encode(&raw, &tx);
    coh_tx_t again;
    assert_int_equal(coh_tx_decode(&again, coh_buf_bytes(&raw)), COH_TX_TOO_LARGE);
    assert_int_equal(coh_tx_decode_mined(&again, coh_buf_bytes(&raw)), COH_TX_OK);
    assert_int_equal(again.data.n, 200000);
    free(data);
    coh_buf_free(&raw);
    coh_txgen_free(gen);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(body_decodes),
        cmocka_unit_test(body_is_strict),
        cmocka_unit_test(body_is_held_against_its_header),
        cmocka_unit_test(body_transactions_may_be_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
