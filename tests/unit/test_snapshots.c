/* Snapshots in the past: random blocks, snapshots and ways back, nested, against copies of the whole state; numbers of blocks that go back with them; and what the ring has forgotten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "shard/snapshots.h"

enum { KEYS = 40, DEPTH = 8, STEPS = 3000 };

typedef struct {
    coh_value_t v[KEYS];
} values_t;

typedef struct {
    coh_past_t *past;
    coh_snapshots_t snapshots;
    values_t now;
    uint64_t head;
} world_t;

/* Half of them are accounts, the others slots of two generations. */
static coh_key_t key_of(uint32_t i)
{
    coh_addr_t addr = {{0}};
    coh_u256_t slot = coh_u256(i / 4);
    addr.b[5]       = (uint8_t)(i / 8);
    addr.b[19]      = (uint8_t)(i % 2 == 0 ? i : 0);
    return i % 2 == 0 ? coh_key_account(&addr) : coh_key_slot(&addr, i % 4 == 1 ? 0 : 3, &slot);
}

static uint32_t index_of(coh_key_t const *key)
{
    uint32_t i = 0;
    for (; i < KEYS; i++) {
        coh_key_t other = key_of(i);
        if (coh_key_eq(key, &other)) {
            break;
        }
    }
    assert_true(i < KEYS);
    return i;
}

static coh_value_t random_value(coh_rng_t *rng, uint32_t i)
{
    coh_value_t v = {.word = coh_u256(coh_rng_below(rng, 5))};
    if (i % 2 == 0) {
        v.nonce           = coh_rng_below(rng, 3);
        v.code_hash.b[31] = (uint8_t)coh_rng_below(rng, 2);
        v.flags           = COH_ACCOUNT_EXISTS;
    }
    return v;
}

static void begin_block(world_t *w)
{
    coh_past_begin(w->past);
    w->head++;
}

static void change(world_t *w, uint32_t i, coh_value_t const *v)
{
    coh_key_t key = key_of(i);
    coh_past_add(w->past, coh_past_hash(w->past, &key), &key, &w->now.v[i]);
    w->now.v[i] = *v;
}

static void random_block(world_t *w, coh_rng_t *rng)
{
    begin_block(w);
    for (uint32_t i = 0; i < KEYS; i++) {
        if (coh_rng_below(rng, 6) == 0) {
            coh_value_t v = random_value(rng, i);
            change(w, i, &v);
        }
    }
}

/* As a shard does: a block of the patch, and then the old number. */
static void go_back(world_t *w, uint64_t id, uint64_t head)
{
    coh_buf_t raw = COH_BUF_INIT;
    coh_step_t step;
    coh_step_patch_t p;
    bool seen[KEYS] = {false};
    assert_true(coh_snapshots_has(&w->snapshots, w->past, id));
    coh_snapshots_patch(&w->snapshots, w->past, id, &raw);
    assert_int_equal(coh_step_decode(&step, coh_buf_bytes(&raw)), COH_OK);
    assert_int_equal(step.kind, COH_STEP_PATCH);
    begin_block(w);
    coh_rlp_t list = coh_step_credit_iter(&step);
    while (coh_step_patch_next(&list, &p)) {
        bool is_slot  = (p.fields & COH_PATCH_SLOT) != 0;
        coh_u256_t at = coh_u256_load_be(p.hash.b);
        coh_key_t key =
            is_slot ? coh_key_slot(&p.addr, (uint32_t)p.number, &at) : coh_key_account(&p.addr);
        uint32_t i    = index_of(&key);
        coh_value_t v = w->now.v[i];
        assert_int_equal(p.fields,
                         is_slot ? COH_PATCH_SLOT | COH_PATCH_GENERATION
                                 : COH_PATCH_NONCE | COH_PATCH_BALANCE | COH_PATCH_CODE);
        assert_false(seen[i]); /* each key once */
        seen[i] = true;
        v.word  = p.word;
        if (!is_slot) {
            v.nonce     = p.number;
            v.code_hash = p.hash;
        }
        change(w, i, &v);
    }
    coh_past_rewind(w->past, head);
    coh_snapshots_drop(&w->snapshots, id);
    w->head = head;
    assert_int_equal(coh_past_head(w->past), head);
    coh_buf_free(&raw);
}

static void snapshots_random(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    world_t *w     = calloc(1, sizeof(*w));
    values_t *then = calloc(DEPTH, sizeof(*then));
    uint64_t heads[DEPTH];
    uint64_t ids[DEPTH];
    uint32_t depth = 0;
    uint64_t next  = 0;
    assert_non_null(w);
    assert_non_null(then);
    w->past = coh_past_new(100000, 64 << 20, seed);
    coh_past_start(w->past, 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        w->now.v[i] = random_value(&rng, i);
    }
    for (int step = 0; step < STEPS; step++) {
        uint64_t dice = coh_rng_below(&rng, 10);
        if (dice < 7) {
            random_block(w, &rng);
        } else if (dice < 9 && depth < DEPTH) {
            ids[depth] = next;
            assert_int_equal(coh_snapshots_take(&w->snapshots, w->past, next++), COH_OK);
            heads[depth]  = w->head;
            then[depth++] = w->now;
        } else if (depth > 0) {
            uint32_t to = (uint32_t)coh_rng_below(&rng, depth);
            go_back(w, ids[to], heads[to]);
            assert_memory_equal(&w->now, &then[to], sizeof(w->now));
            for (uint32_t i = to; i < depth; i++) {
                assert_false(coh_snapshots_has(&w->snapshots, w->past, ids[i]));
            }
            depth = to;
            /* The block before: as it was when its successor came. */
            random_block(w, &rng);
            for (uint32_t i = 0; i < KEYS; i++) {
                coh_value_t old = w->now.v[i];
                coh_key_t key   = key_of(i);
                (void)coh_past_find(w->past, &key, w->head - 1, &old);
                old.flags = then[to].v[i].flags;
                assert_memory_equal(&old, &then[to].v[i], sizeof(old));
            }
        }
    }
    coh_past_free(w->past);
    free(w);
    free(then);
}

static void snapshots_bounds(void **state)
{
    (void)state;
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->past = coh_past_new(2, 1 << 20, 5);
    coh_past_start(w->past, 10);
    w->head       = 10;
    coh_value_t v = {.word = coh_u256(1)};
    assert_int_equal(coh_snapshots_take(&w->snapshots, w->past, 4), COH_OK);
    assert_int_equal(coh_snapshots_take(&w->snapshots, w->past, 4), COH_EPROTO); /* not above */
    for (int i = 0; i < 2; i++) {
        begin_block(w);
        change(w, 1, &v);
        assert_true(coh_snapshots_has(&w->snapshots, w->past, 4));
    }
    begin_block(w);
    change(w, 1, &v);
    assert_false(coh_snapshots_has(&w->snapshots, w->past, 4)); /* the first block is forgotten */
    assert_false(coh_snapshots_has(&w->snapshots, w->past, 3));
    /* Going back below what can be asked for. */
    coh_past_rewind(w->past, 10);
    coh_value_t out;
    coh_key_t key = key_of(1);
    assert_int_equal(coh_past_find(w->past, &key, 10, &out), COH_PAST_PRESENT);
    assert_int_equal(coh_past_find(w->past, &key, 9, &out), COH_PAST_GONE);
    for (uint64_t id = 5; w->snapshots.cnt < COH_DEV_SNAPSHOT_MAX; id++) {
        assert_int_equal(coh_snapshots_take(&w->snapshots, w->past, id), COH_OK);
    }
    assert_int_equal(coh_snapshots_take(&w->snapshots, w->past, 100000), COH_EPROTO);
    coh_snapshots_drop(&w->snapshots, 5);
    assert_int_equal(w->snapshots.cnt, 1);
    coh_past_free(w->past);
    free(w);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(snapshots_random),
        cmocka_unit_test(snapshots_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
