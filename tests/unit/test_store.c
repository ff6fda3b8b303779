/* The shard's formats on disk: values, marks and redo records read back as written, damage of any byte is found, and recovery lays records
   over each other in the order of blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/crypto/keccak.h"
#include "shard/recovery.h"
#include "tests/support/ids.h"

static coh_key_t key_of(uint8_t i)
{
    coh_addr_t addr = {{0}};
    addr.b[0]       = i;
    return coh_key_account(&addr);
}

/* Code that block deploys. */
static coh_bytes_t code_of(uint64_t block)
{
    static uint8_t code[2];
    code[0] = 0x60;
    code[1] = (uint8_t)block;
    return coh_bytes(code, 2);
}

/* Settles one block in which account i gets amount[i] and the last one code and a slot, and writes its redo record. */
static void put_block(coh_kv_t *kv,
                      coh_mvstore_t *mv,
                      uint64_t block,
                      uint64_t const *amount,
                      uint8_t cnt)
{
    coh_mv_ctx_t ctx    = {0};
    coh_codes_t *codes  = coh_codes_new(0);
    coh_hash_t hash     = coh_test_keccak(code_of(block));
    coh_code_list_t new = {0};
    assert_true(coh_mv_block_begin(mv, cnt, cnt + 1u));
    for (uint8_t i = 0; i < cnt; i++) {
        coh_write_t w = {.key   = key_of(i),
                         .flags = COH_WRITE_DELTA | COH_WRITE_NONCE,
                         .nonce = block,
                         .word  = coh_u256(amount[i])};
        coh_mv_publish(mv, &ctx, &w, (coh_mv_tx_t){.tx_idx = i, .home = 1});
    }
    coh_write_code_t code = {.hash = hash, .generation = (uint32_t)block};
    coh_write_t w         = {.key = key_of(cnt - 1), .flags = COH_WRITE_CODE, .code = &code};
    coh_mv_publish(mv, &ctx, &w, (coh_mv_tx_t){.tx_idx = cnt, .home = 1});
    w = (coh_write_t){.key   = coh_key_slot(&w.key.addr, 1, &(coh_u256_t){{5, 0, 0, 0}}),
                      .flags = COH_WRITE_VALUE,
                      .word  = coh_u256(block)};
    coh_mv_publish(mv, &ctx, &w, (coh_mv_tx_t){.tx_idx = cnt, .home = 1});
    coh_codes_put(codes, &ctx, &hash, code_of(block));
    coh_codes_pin(codes, &new, &hash);
    coh_key_t loads[16];
    size_t load_cnt = coh_mv_take_loads(mv, loads, COH_CNT(loads));
    for (size_t i = 0; i < load_cnt; i++) {
        coh_mv_loaded(mv, &ctx, &loads[i], &(coh_value_t){0});
    }
    coh_mv_diff_t diff = {.block = block};
    coh_mv_settle(mv, &diff, NULL, NULL);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    (void)coh_store_put_redo(&batch, mv, &diff, NULL, 0, codes, &new);
    coh_codes_release(codes, &new);
    coh_codes_free(codes);
    assert_int_equal(kv->ops->write(kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
    coh_mv_commit(mv, &diff);
    coh_mv_diff_free(&diff);
    coh_mv_ctx_free(&ctx);
}

static void put_mark(coh_kv_t *kv, uint64_t flushed)
{
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    coh_store_put_mark(&batch, &(coh_store_mark_t){.rank_cnt = 3, .epoch = 1, .flushed = flushed});
    assert_int_equal(kv->ops->write(kv, &batch, true), COH_OK);
    coh_kv_batch_free(&batch);
}

static void store_recovers_the_last_value_up_to_the_head(void **state)
{
    (void)state;
    coh_kv_t *kv = NULL;
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    coh_buf_t err = COH_BUF_INIT;
    coh_recovery_t found;
    assert_int_equal(coh_recovery_scan(kv, &found, &err), COH_OK);
    assert_true(found.fresh);
    put_mark(kv, 4);
    coh_mvstore_t *mv           = coh_mvstore_new(64, 1, 1, 3, NULL);
    uint64_t const amounts[][3] = {{1, 2, 3}, {10, 20, 0}, {100, 0, 0}};
    put_block(kv, mv, 5, amounts[0], 3);
    put_block(kv, mv, 7, amounts[1], 2);
    put_block(kv, mv, 8, amounts[2], 1);
    assert_int_equal(coh_recovery_scan(kv, &found, &err), COH_OK);
    assert_false(found.fresh);
    assert_int_equal(found.mark.rank_cnt, 3);
    assert_int_equal(found.mark.flushed, 4);
    assert_int_equal(found.prepared, 8);

    struct {
        uint64_t flushed, head;
        size_t cnt;
        uint64_t balance[3];
        size_t slot_cnt;
        uint64_t slots[3]; /* of accounts 2, 1, 0 */
    } const cases[] = {{4, 4, 0, {0}, 0, {0}},
                       {4, 6, 3, {1, 2, 3}, 1, {5}},
                       {4, 7, 3, {11, 22, 3}, 2, {5, 7}},
                       {4, 99, 3, {111, 22, 3}, 3, {5, 7, 8}},
                       {5, 8, 2, {111, 22}, 2, {0, 7, 8}}};
    for (size_t c = 0; c < COH_CNT(cases); c++) {
        coh_mv_item_t *items = NULL;
        size_t cnt           = 0;
        coh_kv_batch_t codes;
        coh_kv_batch_init(&codes);
        assert_int_equal(
            coh_recovery_collect(kv, cases[c].flushed, cases[c].head, &items, &cnt, &codes),
            COH_OK);
        assert_int_equal(cnt, cases[c].cnt + cases[c].slot_cnt);
        for (size_t i = 0; i < cases[c].cnt; i++) { /* in key order, accounts first */
            assert_int_equal(items[i].key.kind, COH_KEY_ACCOUNT);
            assert_int_equal(items[i].key.addr.b[0], i);
            assert_int_equal(items[i].value.word.w[0], cases[c].balance[i]);
        }
        for (size_t i = cases[c].cnt; i < cnt; i++) {
            uint8_t account = items[i].key.addr.b[0];
            assert_int_equal(items[i].key.kind, COH_KEY_SLOT);
            assert_int_equal(items[i].key.generation, 1);
            assert_true(i == cases[c].cnt || account > items[i - 1].key.addr.b[0]);
            assert_int_equal(items[i].value.word.w[0], cases[c].slots[2 - account]);
            /* and the account has the code of the block that wrote its slot */
            coh_hash_t hash = coh_test_keccak(code_of(cases[c].slots[2 - account]));
            assert_true(coh_hash_eq(&items[account].value.code_hash, &hash));
            assert_int_equal(items[account].value.generation, cases[c].slots[2 - account]);
        }
        size_t code_cnt = 0;
        size_t at       = 0;
        coh_kv_op_t op;
        while (coh_kv_batch_next(&codes, &at, &op)) {
            coh_hash_t hash = coh_test_keccak(op.value);
            assert_int_equal(op.table, COH_KV_CODE);
            assert_true(coh_bytes_eq(op.key, coh_bytes(hash.b, sizeof(hash.b))));
            code_cnt++;
        }
        assert_int_equal(code_cnt, cases[c].slot_cnt); /* one of each block */
        coh_kv_batch_free(&codes);
        free(items);
    }
    coh_buf_free(&err);
    coh_mvstore_free(mv);
    kv->ops->close(kv);
}

static void ignore(void *arg, coh_mv_item_t const *item)
{
    (void)arg;
    (void)item;
}

static coh_store_visitor_t const ignorant = {.change = ignore};

static void store_finds_any_damaged_byte_of_a_redo_record(void **state)
{
    (void)state;
    coh_kv_t *kv = NULL;
    assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
    coh_mvstore_t *mv        = coh_mvstore_new(64, 1, 1, 3, NULL);
    uint64_t const amounts[] = {1, 1000000, UINT64_MAX};
    put_block(kv, mv, 258, amounts, 3);
    uint8_t const key[8] = {0, 0, 0, 0, 0, 0, 1, 2};
    coh_buf_t rec        = COH_BUF_INIT;
    assert_int_equal(kv->ops->get(kv, COH_KV_REDO, coh_bytes(key, 8), &rec), COH_OK);
    uint64_t block = 0;
    assert_int_equal(coh_store_read_redo(coh_bytes(key, 8), coh_buf_bytes(&rec), &block, &ignorant),
                     COH_OK);
    assert_int_equal(block, 258);
    for (size_t i = 0; i < rec.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            rec.p[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(
                coh_store_read_redo(coh_bytes(key, 8), coh_buf_bytes(&rec), &block, &ignorant),
                COH_ECORRUPT);
            rec.p[i] ^= (uint8_t)(1 << bit);
        }
        assert_int_equal(
            coh_store_read_redo(coh_bytes(key, 8), coh_bytes(rec.p, i), &block, &ignorant),
            COH_ECORRUPT);
    }
    uint8_t const other[8] = {0, 0, 0, 0, 0, 0, 1, 3};
    assert_int_equal(
        coh_store_read_redo(coh_bytes(other, 8), coh_buf_bytes(&rec), &block, &ignorant),
        COH_ECORRUPT);
    coh_buf_free(&rec);
    coh_mvstore_free(mv);
    kv->ops->close(kv);
}

static void store_values_read_back(void **state)
{
    (void)state;
    coh_u256_t const words[]   = {COH_U256_ZERO,
                                  coh_u256(1),
                                  coh_u256(UINT64_MAX),
                                  {{1, 0, 0, UINT64_C(1) << 63}},
                                  {{0, 1, 0, 0}}};
    coh_value_t const values[] = {
        {.flags = COH_ACCOUNT_EXISTS},
        {.nonce = UINT64_MAX, .flags = COH_ACCOUNT_EXISTS | COH_ACCOUNT_HAS_STORAGE},
        {.generation = UINT32_MAX}, /* gone */
        {.nonce = 1, .code_hash = {{[31] = 1}}, .flags = COH_ACCOUNT_EXISTS},
        {.nonce = 1, .code_hash = {{1}}, .generation = 1, .flags = COH_ACCOUNT_EXISTS}};
    coh_addr_t addr = {{7}};
    for (size_t i = 0; i < COH_CNT(words) * (COH_CNT(values) + 1); i++) {
        bool is_slot      = i % (COH_CNT(values) + 1) == COH_CNT(values);
        coh_key_t key     = is_slot ? coh_key_slot(&addr, 3, &words[3]) : coh_key_account(&addr);
        coh_value_t value = is_slot ? (coh_value_t){0} : values[i % (COH_CNT(values) + 1)];
        value.word        = words[i / (COH_CNT(values) + 1)];
        coh_kv_batch_t batch;
        coh_kv_batch_init(&batch);
        coh_store_put_value(&batch, &key, &value);
        size_t at = 0;
        coh_kv_op_t op;
        assert_true(coh_kv_batch_next(&batch, &at, &op));
        assert_int_equal(op.table, is_slot ? COH_KV_STORAGE : COH_KV_ACCOUNTS);
        assert_int_equal(op.key.n, is_slot ? 56 : 20);
        coh_key_t got_key;
        assert_int_equal(coh_store_read_key(&got_key, op.table, op.key), COH_OK);
        assert_true(coh_key_eq(&got_key, &key));
        if (coh_store_is_absent(&value)) {
            assert_int_equal(op.kind, COH_KV_OP_DELETE);
        } else {
            coh_value_t got;
            assert_int_equal(op.kind, COH_KV_OP_PUT);
            assert_int_equal(coh_store_get_value(&got, key.kind, op.value), COH_OK);
            assert_true(coh_value_eq(&got, &value));
        }
        coh_kv_batch_free(&batch);
    }
    uint8_t bad[80] = {0};
    coh_value_t got;
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 8)), COH_ECORRUPT);
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 10)),
                     COH_ECORRUPT); /* a leading zero */
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 9)),
                     COH_ECORRUPT); /* nothing to say */
    bad[0] = 16;
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 9)),
                     COH_ECORRUPT); /* an unknown flag */
    bad[0] = 1;
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 9)), COH_OK);
    bad[9] = 1;
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 41)), COH_OK);
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 42)), COH_ECORRUPT);
    bad[0] = 4;
    assert_int_equal(coh_store_get_value(&got, COH_KEY_ACCOUNT, coh_bytes(bad, 40)), COH_ECORRUPT);
    assert_int_equal(coh_store_get_value(&got, COH_KEY_SLOT, coh_bytes(bad, 0)), COH_ECORRUPT);
    assert_int_equal(coh_store_get_value(&got, COH_KEY_SLOT, coh_bytes(bad, 33)), COH_ECORRUPT);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(store_recovers_the_last_value_up_to_the_head),
        cmocka_unit_test(store_finds_any_damaged_byte_of_a_redo_record),
        cmocka_unit_test(store_values_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
