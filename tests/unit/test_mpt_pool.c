/* Blocks of the trie's pages: apart from each other, at cache lines, and memory given back whatever sizes come after one another.
   COHORT_TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/alloc.h"
#include "common/base/rng.h"
#include "common/trie/mpt_pool.h"
#include "tests/support/seed.h"

enum { HELD_MAX = 4000, STEP_CNT = 200000, CHUNK_SZ = 2 << 20 };

typedef struct {
    uint8_t *p;
    size_t n;
    uint8_t mark;
} held_t;

static void fill(held_t *h) { memset(h->p, h->mark, h->n); }

static void check(held_t const *h)
{
    for (size_t i = 0; i < h->n; i++) {
        assert_int_equal(h->p[i], h->mark);
    }
}

/* Blocks hold what was put in them until they are given back. */
static void pool_keeps_blocks_apart(void **state)
{
    (void)state;
    uint64_t seed = coh_test_seed();
    coh_rng_t rng;
    coh_rng_seed(&rng, seed);
    coh_mpt_pool_t pool;
    coh_mpt_pool_init(&pool);
    held_t *held = coh_calloc(HELD_MAX, sizeof(*held));
    size_t cnt   = 0;
    size_t most  = HELD_MAX;
    for (size_t step = 0; step < STEP_CNT; step++) {
        if (coh_rng_below(&rng, 5000) == 0) {
            most = coh_rng_below(&rng, HELD_MAX) + 1; /* times of plenty, and of little */
        }
        if (cnt < most && coh_rng_percent(&rng, 60)) {
            held_t *h = &held[cnt++];
            h->n      = 1 + coh_rng_below(&rng, coh_rng_percent(&rng, 5) ? 20000 : 1500);
            h->mark   = (uint8_t)step;
            h->p      = coh_mpt_pool_take(&pool, h->n);
            assert_true(h->n > COH_MPT_BLOCK_MAX || (uintptr_t)h->p % COH_CACHE_LINE == 0);
            assert_true(coh_mpt_block_sz(h->n) >= h->n);
            fill(h);
        } else if (cnt != 0) {
            size_t at = coh_rng_below(&rng, cnt);
            check(&held[at]);
            coh_mpt_pool_give(&pool, held[at].p, held[at].n);
            held[at] = held[--cnt];
        }
    }
    while (cnt != 0) {
        check(&held[--cnt]);
        coh_mpt_pool_give(&pool, held[cnt].p, held[cnt].n);
    }
    assert_true(pool.bytes <= CHUNK_SZ);
    free(held);
    coh_mpt_pool_fini(&pool);
    assert_int_equal(pool.bytes, 0);
}

/* What blocks of one size took is there for those of another. */
static void pool_serves_changing_sizes(void **state)
{
    (void)state;
    coh_mpt_pool_t pool;
    coh_mpt_pool_init(&pool);
    size_t const total = (size_t)8 << 20;
    void **blocks      = coh_calloc(total / 64, sizeof(*blocks));
    for (size_t n = 64; n <= COH_MPT_BLOCK_MAX; n += 64) {
        size_t cnt = total / coh_mpt_block_sz(n);
        for (size_t i = 0; i < cnt; i++) {
            blocks[i] = coh_mpt_pool_take(&pool, n);
        }
        assert_true(pool.bytes >= total);
        assert_true(pool.bytes <= total + total / 7 + CHUNK_SZ);
        size_t before = pool.bytes;
        for (size_t i = 0; i < cnt; i += 3) { /* the holes are filled again */
            coh_mpt_pool_give(&pool, blocks[i], n);
        }
        for (size_t i = 0; i < cnt; i += 3) {
            blocks[i] = coh_mpt_pool_take(&pool, n);
        }
        assert_true(pool.bytes <= before);
        for (size_t i = 0; i < cnt; i++) {
            coh_mpt_pool_give(&pool, blocks[(i * 7919) % cnt], n);
        }
        assert_true(pool.bytes <= CHUNK_SZ);
    }
    free(blocks);
    coh_mpt_pool_fini(&pool);

    coh_mpt_pool_init(&pool);
    void *one = coh_mpt_pool_take(&pool, 700);
    assert_int_equal(pool.bytes, 64 << 10);
    coh_mpt_pool_give(&pool, one, 700);
    coh_mpt_pool_give(&pool, NULL, 700);
    coh_mpt_pool_fini(&pool);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(pool_keeps_blocks_apart),
        cmocka_unit_test(pool_serves_changing_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
