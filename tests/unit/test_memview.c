/* State in memory: what is put is read, writes change it, stutter answers every first question by NEED, restore takes back what was applied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/state/memview.h"

static uint32_t made_cnt;
static int living_cnt;
static coh_fork_t made_for;

static coh_code_t *make_code(coh_bytes_t bytes, coh_fork_t fork, coh_hash_t const *hash)
{
    (void)hash;
    uint8_t *copy = coh_calloc(1, bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    made_cnt++;
    living_cnt++;
    made_for = fork;
    return (coh_code_t *)(void *)copy;
}

static void release_code(coh_code_t const *code)
{
    living_cnt--;
    free((void *)(uintptr_t)code);
}

static coh_coder_t const coder = {.make = make_code, .release = release_code};

static coh_addr_t const alice    = {{0x11, [19] = 1}};
static coh_addr_t const bob      = {{0x11, [19] = 2}};
static coh_addr_t const contract = {{0x22}};
static coh_u256_t const ten      = {{10}};
static coh_u256_t const eleven   = {{11}};
/* keccak256 of the octet 0x00, as published with the empty contract tests. */
static coh_hash_t const stop_hash = {{0xbc, 0x36, 0x78, 0x9e, 0x7a, 0x1e, 0x28, 0x14,
                                      0x36, 0x46, 0x42, 0x29, 0x82, 0x8f, 0x81, 0x7d,
                                      0x66, 0x12, 0xf7, 0xb4, 0x77, 0xd6, 0x65, 0x91,
                                      0xff, 0x96, 0xa9, 0xe0, 0x64, 0xbc, 0xc9, 0x8a}};

static coh_memview_t *open_world(void)
{
    coh_memview_t *mv = coh_memview_new(&coder, COH_FORK_PRAGUE);
    coh_memview_put_account(mv, &alice, 3, &ten, (coh_bytes_t){0});
    coh_memview_put_account(mv, &contract, 1, &COH_U256_ZERO, coh_bytes("\0", 1));
    coh_memview_put_slot(mv, &contract, &ten, &eleven);
    return mv;
}

static coh_value_t read_now(coh_memview_t *mv, coh_key_t key)
{
    coh_view_t *view = coh_memview_view(mv);
    coh_value_t v;
    assert_int_equal(view->read(view, &v, &key, COH_READ_MASK & ~COH_READ_AT_LEAST, NULL),
                     COH_VIEW_OK);
    return v;
}

static void apply(coh_memview_t *mv, coh_write_t const *writes, uint32_t cnt)
{
    coh_memview_apply(mv, &(coh_outcome_t){.writes = writes, .write_cnt = cnt});
}

static void memview_reads_what_was_put(void **state)
{
    (void)state;
    coh_memview_t *mv = open_world();
    coh_value_t v     = read_now(mv, coh_key_account(&alice));
    assert_int_equal(v.nonce, 3);
    assert_int_equal(v.word.w[0], 10);
    assert_int_equal(v.flags, COH_ACCOUNT_EXISTS);
    assert_false(coh_value_has_code(&v));
    v = read_now(mv, coh_key_account(&contract));
    assert_memory_equal(&v.code_hash, &stop_hash, sizeof(stop_hash));
    assert_int_equal(v.flags, COH_ACCOUNT_EXISTS);
    v = read_now(mv, coh_key_slot(&contract, 0, &ten));
    assert_int_equal(v.word.w[0], 11);
    assert_int_equal(read_now(mv, coh_key_slot(&contract, 1, &ten)).word.w[0], 0);
    coh_value_t const none = {.flags = 0};
    v                      = read_now(mv, coh_key_account(&bob));
    assert_true(coh_value_eq(&v, &none));
    v = read_now(mv, coh_key_slot(&bob, 0, &ten));
    assert_true(coh_value_eq(&v, &none));
    v = read_now(mv, (coh_key_t){.kind = COH_KEY_BLOCK_HASH, .slot = ten});
    assert_true(coh_value_eq(&v, &none));

    /* Storage without code and nonce: EIP-7610. */
    coh_memview_put_account(mv, &bob, 0, &ten, (coh_bytes_t){0});
    coh_memview_put_slot(mv, &bob, &ten, &COH_U256_ZERO);
    assert_int_equal(read_now(mv, coh_key_account(&bob)).flags, COH_ACCOUNT_EXISTS);
    coh_memview_put_slot(mv, &bob, &ten, &ten);
    assert_int_equal(read_now(mv, coh_key_account(&bob)).flags,
                     COH_ACCOUNT_EXISTS | COH_ACCOUNT_HAS_STORAGE);

    coh_bytes_t code = coh_memview_code(mv, &stop_hash);
    assert_int_equal(code.n, 1);
    assert_int_equal(code.p[0], 0);
    assert_int_equal(coh_memview_code(mv, &(coh_hash_t){{1}}).n, 0);
    coh_memview_free(mv);
}

static void memview_analyses_code_once_for_its_fork(void **state)
{
    (void)state;
    made_cnt               = 0;
    coh_memview_t *mv      = open_world();
    coh_view_t *view       = coh_memview_view(mv);
    coh_code_t const *code = NULL;
    coh_code_t const *same = NULL;
    assert_int_equal(view->code(view, &code, &contract, &stop_hash), COH_VIEW_OK);
    assert_int_equal(view->code(view, &same, &contract, &stop_hash), COH_VIEW_OK);
    assert_ptr_equal(code, same);
    assert_int_equal(made_cnt, 1);
    assert_int_equal(made_for, COH_FORK_PRAGUE);
    coh_memview_set_fork(mv, COH_FORK_OSAKA);
    assert_int_equal(view->code(view, &code, &contract, &stop_hash), COH_VIEW_OK);
    assert_int_equal(made_for, COH_FORK_OSAKA);
    coh_memview_free(mv);
    assert_int_equal(living_cnt, 0);
}

static void count_account(void *arg, coh_addr_t const *addr, coh_value_t const *value)
{
    *(uint64_t *)arg += value->nonce * 100 + addr->b[0];
}

static void count_slot(void *arg, coh_u256_t const *slot, coh_u256_t const *value)
{
    *(uint64_t *)arg += slot->w[0] * 100 + value->w[0];
}

static void memview_applies_writes_and_takes_them_back(void **state)
{
    (void)state;
    coh_memview_t *mv            = open_world();
    coh_write_code_t const fresh = {.hash = {{7}}, .bytes = coh_bytes("\1\2\3", 3)};
    coh_write_code_t const gone  = {.generation = 1};
    coh_write_t const first[]    = {
           {.key   = coh_key_account(&alice),
            .word  = eleven,
            .nonce = 4,
            .flags = COH_WRITE_DELTA | COH_WRITE_NONCE},
           {.key   = coh_key_account(&bob),
            .word  = ten,
            .code  = &fresh,
            .flags = COH_WRITE_DELTA | COH_WRITE_CODE},
           {.key = coh_key_slot(&bob, 0, &ten), .word = ten, .flags = COH_WRITE_VALUE},
           {.key   = coh_key_account(&contract),
            .code  = &gone,
            .flags = COH_WRITE_GONE | COH_WRITE_NONCE | COH_WRITE_VALUE | COH_WRITE_CODE},
    };
    coh_write_t const second[] = {
        {.key   = coh_key_account(&alice),
         .word  = eleven,
         .flags = COH_WRITE_DELTA | COH_WRITE_NEGATIVE},
        {.key = coh_key_account(&contract), .flags = COH_WRITE_EXISTS},
    };
    for (int round = 0; round < 2; round++) {
        coh_memview_save(mv);
        apply(mv, first, COH_CNT(first));
        assert_int_equal(read_now(mv, coh_key_account(&alice)).word.w[0], 21);
        assert_int_equal(read_now(mv, coh_key_account(&alice)).nonce, 4);
        coh_value_t v = read_now(mv, coh_key_account(&bob));
        assert_int_equal(v.word.w[0], 10);
        assert_int_equal(v.code_hash.b[0], 7);
        assert_int_equal(v.flags, COH_ACCOUNT_EXISTS);
        assert_int_equal(coh_memview_code(mv, &v.code_hash).n, 3);
        assert_int_equal(coh_memview_slot(mv, &bob, &ten).w[0], 10);
        v                      = read_now(mv, coh_key_account(&contract));
        coh_value_t const left = {.generation = 1};
        assert_true(coh_value_eq(&v, &left));
        assert_int_equal(coh_memview_slot(mv, &contract, &ten).w[0], 0);
        apply(mv, second, COH_CNT(second));
        assert_int_equal(read_now(mv, coh_key_account(&alice)).word.w[0], 10);
        assert_int_equal(read_now(mv, coh_key_account(&contract)).flags, COH_ACCOUNT_EXISTS);
        uint64_t sum = 0;
        coh_memview_slots(mv, &contract, count_slot, &sum); /* none of the new generation */
        assert_int_equal(sum, 0);

        coh_memview_restore(mv);
        assert_int_equal(read_now(mv, coh_key_account(&alice)).nonce, 3);
        assert_int_equal(read_now(mv, coh_key_account(&bob)).flags, 0);
        assert_int_equal(read_now(mv, coh_key_account(&contract)).nonce, 1);
        assert_int_equal(coh_memview_slot(mv, &contract, &ten).w[0], 11);
        assert_int_equal(read_now(mv, coh_key_slot(&bob, 0, &ten)).word.w[0], 0);
    }
    coh_memview_free(mv);
}

static void memview_walks_what_exists(void **state)
{
    (void)state;
    coh_memview_t *mv = open_world();
    (void)read_now(mv, coh_key_account(&bob)); /* looking makes nothing */
    coh_memview_put_slot(mv, &contract, &eleven, &ten);
    coh_memview_put_slot(mv, &contract, &COH_U256_ZERO, &COH_U256_ZERO);
    uint64_t sum = 0;
    coh_memview_accounts(mv, count_account, &sum);
    assert_int_equal(sum, 300 + 0x11 + 100 + 0x22);
    sum = 0;
    coh_memview_slots(mv, &contract, count_slot, &sum);
    assert_int_equal(sum, 1011 + 1110);
    sum = 0;
    coh_memview_slots(mv, &bob, count_slot, &sum);
    assert_int_equal(sum, 0);
    coh_memview_free(mv);
}

static void memview_holds_many(void **state)
{
    (void)state;
    coh_memview_t *mv = coh_memview_new(&coder, COH_FORK_PRAGUE);
    for (uint32_t i = 0; i < 5000; i++) {
        coh_addr_t addr = {{0}};
        uint8_t code[4];
        coh_store_u32_le(addr.b, i % 1000);
        coh_store_u32_le(code, i % 1000);
        coh_u256_t n = coh_u256(i);
        if (i < 1000) {
            coh_memview_put_account(mv, &addr, i, &n, coh_bytes(code, 4));
        }
        coh_memview_put_slot(mv, &addr, &n, &n);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        coh_addr_t addr = {{0}};
        coh_store_u32_le(addr.b, i % 1000);
        coh_u256_t n  = coh_u256(i);
        coh_value_t v = coh_memview_account(mv, &addr);
        assert_int_equal(v.nonce, i % 1000);
        assert_int_equal(coh_load_u32_le(coh_memview_code(mv, &v.code_hash).p), i % 1000);
        assert_int_equal(coh_memview_slot(mv, &addr, &n).w[0], i);
    }
    coh_memview_free(mv);
}

static void number_as_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    (void)arg;
    *out = coh_u256(number + 1);
}

static void memview_stutters(void **state)
{
    (void)state;
    coh_memview_t *mv = open_world();
    coh_view_t *view  = coh_memview_view(mv);
    coh_memview_set_stutter(mv, true);
    coh_memview_set_block_hash(mv, number_as_hash, NULL);
    coh_key_t const account = coh_key_account(&alice);
    coh_key_t const slot    = coh_key_slot(&contract, 0, &ten);
    coh_key_t const number  = {.kind = COH_KEY_BLOCK_HASH, .slot = ten};
    for (int tx = 0; tx < 3; tx++) {
        coh_memview_begin_tx(mv);
        coh_value_t v;
        coh_code_t const *code = NULL;
        assert_int_equal(view->read(view, &v, &account, COH_READ_NONCE, NULL), COH_VIEW_NEED);
        assert_int_equal(view->read(view, &v, &account, COH_READ_NONCE, NULL), COH_VIEW_OK);
        assert_int_equal(v.nonce, 3);
        assert_int_not_equal(v.word.w[0], 10);
        assert_true(coh_value_has_code(&v));
        assert_int_equal(v.flags, COH_ACCOUNT_HAS_STORAGE);
        /* Each field by itself; of the balance only the side. */
        uint32_t const more = COH_READ_NONCE | COH_READ_AT_LEAST;
        assert_int_equal(view->read(view, &v, &account, more, &eleven), COH_VIEW_NEED);
        assert_int_equal(view->read(view, &v, &account, more, &eleven), COH_VIEW_OK);
        assert_int_equal(v.word.w[0], 0);
        assert_int_equal(view->read(view, &v, &account, more, &ten), COH_VIEW_OK);
        assert_int_equal(v.word.w[3], UINT64_MAX);
        assert_int_equal(view->read(view, &v, &slot, COH_READ_WORD, NULL), COH_VIEW_NEED);
        assert_int_equal(view->read(view, &v, &slot, COH_READ_WORD, NULL), COH_VIEW_OK);
        assert_int_equal(v.word.w[0], 11);
        assert_int_equal(view->read(view, &v, &number, COH_READ_WORD, NULL), COH_VIEW_NEED);
        assert_int_equal(view->read(view, &v, &number, COH_READ_WORD, NULL), COH_VIEW_OK);
        assert_int_equal(v.word.w[0], 11);
        assert_int_equal(view->code(view, &code, &contract, &stop_hash), COH_VIEW_NEED);
        assert_int_equal(view->code(view, &code, &contract, &stop_hash), COH_VIEW_OK);
        assert_non_null(code);
    }
    coh_memview_free(mv);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(memview_reads_what_was_put),
        cmocka_unit_test(memview_analyses_code_once_for_its_fork),
        cmocka_unit_test(memview_applies_writes_and_takes_them_back),
        cmocka_unit_test(memview_walks_what_exists),
        cmocka_unit_test(memview_holds_many),
        cmocka_unit_test(memview_stutters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
