/* Updates on parts of tries: roots against tries made anew of all pairs (root.h), and what happens where nodes are missing. The seed is printed; COHORT_TEST_SEED repeats it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/codec/block.h"
#include "common/crypto/keccak.h"
#include "common/kv/kv.h"
#include "common/trie/proof.h"
#include "common/trie/root.h"
#include "common/trie/witness.h"
#include "tests/support/seed.h"

#define KEY_CNT 400u

static uint64_t run_seed;

/* Keys that share long prefixes, and values from those that fit into their parent up to long ones. */
typedef struct {
    coh_rng_t rng;
    coh_hash_t keys[KEY_CNT]; /* ascending */
    uint8_t values[KEY_CNT][COH_NODE_VALUE_MAX];
    size_t lens[KEY_CNT]; /* 0: not in the trie */
} model_t;

static int compare_hashes(void const *a, void const *b) { return memcmp(a, b, sizeof(coh_hash_t)); }

static void model_init(model_t *m, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    coh_rng_seed(&m->rng, seed);
    for (size_t i = 0; i < KEY_CNT; i++) {
        uint32_t same = (uint32_t)(coh_rng_next(&m->rng) % 31);
        if (i != 0) {
            memcpy(m->keys[i].b, m->keys[coh_rng_next(&m->rng) % i].b, same);
        }
        for (uint32_t k = same; k < 32; k++) {
            m->keys[i].b[k] = (uint8_t)coh_rng_next(&m->rng);
        }
    }
    qsort(m->keys, KEY_CNT, sizeof(m->keys[0]), compare_hashes);
}

/* Sets or removes key i, and returns the change. */
static coh_mpt_change_t change(model_t *m, size_t i, bool removes)
{
    m->lens[i] = removes ? 0 : 1 + coh_rng_next(&m->rng) % 3 * 60;
    for (size_t k = 0; k < m->lens[i]; k++) {
        m->values[i][k] = (uint8_t)(1 + coh_rng_next(&m->rng) % 255);
    }
    return (coh_mpt_change_t){.key = m->keys[i], .value = coh_bytes(m->values[i], m->lens[i])};
}

static coh_hash_t model_root(model_t const *m)
{
    coh_root_item_t items[KEY_CNT];
    size_t cnt = 0;
    for (size_t i = 0; i < KEY_CNT; i++) {
        if (m->lens[i] != 0) {
            items[cnt++] = (coh_root_item_t){.key   = coh_bytes(m->keys[i].b, 32),
                                             .value = coh_bytes(m->values[i], m->lens[i])};
        }
    }
    coh_hash_t root;
    coh_root_sorted(&root, items, cnt);
    return root;
}

/* A random set of changes, ascending. */
static size_t random_changes(model_t *m, coh_mpt_change_t *out, uint32_t removes_of_8)
{
    size_t cnt     = 0;
    uint32_t every = 1 + (uint32_t)(coh_rng_next(&m->rng) % 40);
    for (size_t i = 0; i < KEY_CNT; i++) {
        if (coh_rng_next(&m->rng) % every == 0) {
            out[cnt++] = change(m, i, coh_rng_next(&m->rng) % 8 < removes_of_8);
        }
    }
    return cnt;
}

static void witness_gives_the_roots_of_tries_made_anew(void **state)
{
    (void)state;
    model_t *m             = calloc(1, sizeof(*m));
    coh_mpt_change_t *list = calloc(KEY_CNT, sizeof(*list));
    for (uint64_t round = 0; round < 20; round++) {
        model_init(m, run_seed + round);
        coh_witness_t *w = coh_witness_new();
        coh_hash_t root  = COH_EMPTY_TRIE_ROOT;
        for (uint32_t block = 0; block < 60; block++) {
            size_t cnt = random_changes(m, list, block % 10 == 9 ? 8 : block % 3 * 3);
            assert_int_equal(coh_witness_update(w, &root, list, cnt), COH_OK);
            coh_hash_t want = model_root(m);
            assert_memory_equal(root.b, want.b, sizeof(want.b));
        }
        for (size_t i = 0; i < KEY_CNT; i++) {
            coh_bytes_t value;
            assert_int_equal(coh_witness_get(w, &value, &root, &m->keys[i]), COH_OK);
            assert_int_equal(value.n, m->lens[i]);
            assert_true(value.n == 0 || memcmp(value.p, m->values[i], value.n) == 0);
        }
        coh_witness_free(w);
    }
    free(list);
    free(m);
}

/* With the nodes on the paths of the changed keys alone: setting works, and a removal does unless it needs a sibling that was not given; then nothing changes, and the hint that the
   sibling is a branch, or the sibling's own path, helps. */
static void witness_needs_no_more_than_proofs_and_siblings(void **state)
{
    (void)state;
    model_t *m            = calloc(1, sizeof(*m));
    coh_mpt_change_t *all = calloc(KEY_CNT, sizeof(*all));
    uint32_t missing      = 0;
    uint32_t done         = 0;
    coh_mpt_id_t const id = {.n = 1}; /* a trie that starts at the top */
    for (uint64_t round = 0; round < 60; round++) {
        model_init(m, run_seed + 1000 + round);
        coh_kv_t *kv = NULL;
        assert_int_equal(coh_kv_mem_open(&kv), COH_OK);
        coh_mpt_t *mpt = coh_mpt_new(&(coh_mpt_config_t){.kv              = kv,
                                                         .table           = COH_KV_TRIE,
                                                         .cache_bytes     = (size_t)1 << 20,
                                                         .dirty_bytes_max = SIZE_MAX});
        for (size_t i = 0; i < KEY_CNT; i++) {
            all[i] = change(m, i, false);
        }
        coh_mpt_job_t job = {.id = id, .changes = all, .cnt = KEY_CNT};
        assert_int_equal(coh_mpt_update(mpt, 1, &job, 1, NULL), COH_OK);
        coh_hash_t root = model_root(m);

        coh_witness_t *w   = coh_witness_new();
        coh_proof_t proof  = COH_PROOF_INIT;
        size_t const picks = 1 + coh_rng_next(&m->rng) % 5;
        coh_mpt_change_t list[5];
        size_t cnt = 0;
        for (size_t i = coh_rng_next(&m->rng) % 50; i < KEY_CNT && cnt < picks; i += 77) {
            assert_int_equal(coh_mpt_prove(mpt, &proof, &id, &m->keys[i]), COH_OK);
            for (size_t k = 0; k < proof.cnt; k++) {
                coh_witness_add(w, coh_proof_node(&proof, k));
            }
            list[cnt++] = change(m, i, round % 2 == 1);
        }
        coh_hash_t got  = root;
        coh_hash_t want = model_root(m);
        coh_err_t err   = coh_witness_update(w, &got, list, cnt);
        if (round % 2 == 0) {
            assert_int_equal(err, COH_OK);
        }
        if (err == COH_ENOTFOUND) {
            missing++;
            assert_memory_equal(got.b, root.b, sizeof(root.b));
            for (size_t i = 0; i < KEY_CNT; i++) {
                assert_int_equal(coh_mpt_prove(mpt, &proof, &id, &m->keys[i]), COH_OK);
                for (size_t k = 0; k < proof.cnt; k++) {
                    coh_witness_add(w, coh_proof_node(&proof, k));
                }
            }
            err = coh_witness_update(w, &got, list, cnt);
        } else {
            done++;
        }
        assert_int_equal(err, COH_OK);
        assert_memory_equal(got.b, want.b, sizeof(want.b));
        coh_proof_free(&proof);
        coh_witness_free(w);
        coh_mpt_free(mpt);
        kv->ops->close(kv);
    }
    print_message("%u updates on proofs alone, %u that needed more\n", done, missing);
    assert_true(done >= 30 && missing != 0);
    free(all);
    free(m);
}

static void witness_trusts_nothing(void **state)
{
    (void)state;
    coh_witness_t *w         = coh_witness_new();
    coh_hash_t const unknown = {.b = {1}};
    coh_hash_t const key     = {.b = {2}};
    coh_bytes_t value;
    assert_int_equal(coh_witness_get(w, &value, &unknown, &key), COH_ENOTFOUND);
    /* Not nodes: no list, a list of three, a branch with a value, a path that is too short. */
    static struct {
        size_t n;
        uint8_t b[24];
    } const bad[] = {
        {1, {0x05}},
        {4, {0xc3, 1, 2, 3}},
        {18,
         {0xd1,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          0x80,
          5}},
        {4, {0xc3, 0x82, 0x20, 0x05}},
        {3, {0xc2, 0x35, 0x07}},
    };
    for (size_t i = 0; i < COH_CNT(bad); i++) {
        coh_witness_add(w, coh_bytes(bad[i].b, bad[i].n));
        coh_hash_t root;
        coh_keccak256(&root, bad[i].b, bad[i].n);
        assert_int_equal(coh_witness_get(w, &value, &root, &key), COH_ENOTFOUND);
        coh_hash_t before  = root;
        coh_mpt_change_t c = {.key = key, .value = coh_bytes(bad[0].b, 1)};
        assert_int_equal(coh_witness_update(w, &root, &c, 1), COH_ENOTFOUND);
        assert_memory_equal(root.b, before.b, sizeof(root.b));
    }
    coh_witness_free(w);
}

int main(void)
{
    run_seed                        = coh_test_seed();
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(witness_gives_the_roots_of_tries_made_anew),
        cmocka_unit_test(witness_needs_no_more_than_proofs_and_siblings),
        cmocka_unit_test(witness_trusts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
