/* The shard's formats on disk: values, marks and redo records read back as written, damage of any byte is found, and recovery lays records
   over each other in the order of blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "shard/recovery.h"

static coh_key_t key_of(uint8_t i)
{
    coh_addr_t addr = {{0}};
    addr.b[0]       = i;
    return coh_key_account(&addr);
}

/* Settles one block in which account i gets amount[i], and writes its redo record. */
static void put_block(coh_kv_t *kv,
                      coh_mvstore_t *mv,
                      uint64_t block,
                      uint64_t const *amount,
                      uint8_t cnt)
{
    coh_mv_ctx_t ctx = {0};
    assert_true(coh_mv_block_begin(mv, cnt, cnt));
    for (uint8_t i = 0; i < cnt; i++) {
        coh_write_t w = {.key   = key_of(i),
                         .flags = COH_WRITE_DELTA | COH_WRITE_NONCE,
                         .nonce = block,
                         .word  = coh_u256(amount[i])};
        coh_mv_publish(mv, &ctx, &w, (coh_mv_tx_t){.tx_idx = i, .home = 1});
    }
    coh_key_t loads[16];
    size_t load_cnt = coh_mv_take_loads(mv, loads, COH_CNT(loads));
    for (size_t i = 0; i < load_cnt; i++) {
        coh_mv_loaded(mv, &ctx, &loads[i], &(coh_value_t){0});
    }
    coh_mv_diff_t diff = {.block = block};
    coh_mv_settle(mv, &diff, NULL, NULL);
    coh_kv_batch_t batch;
    coh_kv_batch_init(&batch);
    (void)coh_store_put_redo(&batch, mv, &diff);
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
    } const cases[] = {{4, 4, 0, {0}},
                       {4, 6, 3, {1, 2, 3}},
                       {4, 7, 3, {11, 22, 3}},
                       {4, 99, 3, {111, 22, 3}},
                       {5, 8, 2, {111, 22}}};
    for (size_t c = 0; c < COH_CNT(cases); c++) {
        coh_mv_item_t *items = NULL;
        size_t cnt           = 0;
        assert_int_equal(coh_recovery_collect(kv, cases[c].flushed, cases[c].head, &items, &cnt),
                         COH_OK);
        assert_int_equal(cnt, cases[c].cnt);
        for (size_t i = 0; i < cnt; i++) {
            assert_int_equal(items[i].key.addr.b[0], i); /* in key order */
            assert_int_equal(items[i].value.word.w[0], cases[c].balance[i]);
        }
        free(items);
    }
    coh_buf_free(&err);
    coh_mvstore_free(mv);
    kv->ops->close(kv);
}

static void ignore(void *arg, coh_key_t const *key, coh_value_t const *value)
{
    (void)arg;
    (void)key;
    (void)value;
}

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
    assert_int_equal(
        coh_store_read_redo(coh_bytes(key, 8), coh_buf_bytes(&rec), &block, ignore, NULL), COH_OK);
    assert_int_equal(block, 258);
    for (size_t i = 0; i < rec.n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            rec.p[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(
                coh_store_read_redo(coh_bytes(key, 8), coh_buf_bytes(&rec), &block, ignore, NULL),
                COH_ECORRUPT);
            rec.p[i] ^= (uint8_t)(1 << bit);
        }
        assert_int_equal(
            coh_store_read_redo(coh_bytes(key, 8), coh_bytes(rec.p, i), &block, ignore, NULL),
            COH_ECORRUPT);
    }
    uint8_t const other[8] = {0, 0, 0, 0, 0, 0, 1, 3};
    assert_int_equal(
        coh_store_read_redo(coh_bytes(other, 8), coh_buf_bytes(&rec), &block, ignore, NULL),
        COH_ECORRUPT);
    coh_buf_free(&rec);
    coh_mvstore_free(mv);
    kv->ops->close(kv);
}

static void store_values_read_back(void **state)
{
    (void)state;
    coh_u256_t const words[] = {COH_U256_ZERO,
                                coh_u256(1),
                                coh_u256(UINT64_MAX),
                                {{1, 0, 0, UINT64_C(1) << 63}},
                                {{0, 1, 0, 0}}};
    for (size_t i = 0; i < COH_CNT(words); i++) {
        coh_kv_batch_t batch;
        coh_kv_batch_init(&batch);
        coh_key_t key     = key_of(7);
        coh_value_t value = {.nonce = UINT64_MAX - i, .word = words[i]};
        coh_store_put_value(&batch, &key, &value);
        size_t at = 0;
        coh_kv_op_t op;
        assert_true(coh_kv_batch_next(&batch, &at, &op));
        assert_int_equal(op.key.n, 20);
        coh_value_t got;
        assert_int_equal(coh_store_get_value(op.value, &got), COH_OK);
        assert_true(coh_value_eq(&got, &value));
        coh_kv_batch_free(&batch);
    }
    uint8_t const bad[41] = {0};
    coh_value_t got;
    assert_int_equal(coh_store_get_value(coh_bytes(bad, 7), &got), COH_ECORRUPT);
    assert_int_equal(coh_store_get_value(coh_bytes(bad, 9), &got),
                     COH_ECORRUPT); /* a leading zero */
    assert_int_equal(coh_store_get_value(coh_bytes(bad, 41), &got), COH_ECORRUPT);
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
