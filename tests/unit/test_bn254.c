/* The curve of EIP-196 and EIP-197 against vectors of others, and against its own laws on random points. Vectors without
   another origin were computed with @noble/curves 2.4.0. Every case runs with each way to multiply in the field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/crypto/bn254.h"
#include "tests/support/data.h"

enum { SZ = COH_BN254_G1_SZ };

/* Points that occur more than once. */
#define G2_GENERATOR                                                   \
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2" \
    "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed" \
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b" \
    "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
#define G2_A                                                           \
    "209dd15ebff5d46c4bd888e51a93cf99a7329636c63514396b4a452003a35bf7" \
    "04bf11ca01483bfa8b34b43561848d28905960114c8ac04049af4b6315a41678" \
    "2bb8324af6cfc93537a2ad1a445cfd0ca2a71acd7ac41fadbf933c2a51be344d" \
    "120a2a4cf30c1bf9845f20c6fe39e07ea2cce61f0c9bb048165fe5e4de877550"
#define G1_A                                                           \
    "19e3008dff3b6a3719f5ba7d9c9d30b885bf40b368b5b819b23a4d41ab0d2ffa" \
    "094675c109cb67bff1a196d2ecb2a8fcfb730222a43b11dc2565f4ddd1a14702"
#define G1_B                                                           \
    "196000e79704beff504889cc29cefc031423ef5661bb6df9ef6a756c73c5e41c" \
    "17b66556878a55e184cfa9113fa1cb68ec0bad2cd9c89b1f6b8ffe4e9a442f9b"
#define G1_C                                                           \
    "23e32cdf3c965d6af7d38e93389a3e3611cb211e22d897c9b2abb43218543e94" \
    "0083a4a29f602dcb7aa3646b9dc37d0257c788a2909eeecd9d9eef0bdcf0f131"
#define G1_MINUS_A                                                     \
    "19e3008dff3b6a3719f5ba7d9c9d30b885bf40b368b5b819b23a4d41ab0d2ffa" \
    "271dd8b1d7663869c6aeaee394ceaf609c0e686ec436b8b116ba973906dbb645"
#define G1_INFINITY                                                    \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000"
#define G1_D                                                           \
    "1c76476f4def4bb94541d57ebba1193381ffa7aa76ada664dd31c16024c43f59" \
    "3034dd2920f673e204fee2811c678745fc819b55d3e9d294e45c9b03a76aef41"
#define G1_GENERATOR                                                   \
    "0000000000000000000000000000000000000000000000000000000000000001" \
    "0000000000000000000000000000000000000000000000000000000000000002"

static char const prime[] = "30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47";
static char const g2_generator[] = G2_GENERATOR;
/* On the twist, not in the subgroup: of composite order; of an order that divides the cofactor. */
static char const g2_composite[] =
    "214001cfbdfb6e91b77b0a74d66cf00f0c30bfb06c9899d23ff5fb2cf22b428f"
    "283b97b819f587d8b997206a984b03b8a9c5097bcac58830ad951dddc62c2ea4"
    "2abb57bf708f588b0c057e42cc0adfda284bf147fea3acd55c48980060a718d7"
    "2b3646810f11df59d8e05bd902ada87408a2c31804b3aa763437092e95036aa4";
static char const g2_cofactor[] =
    "18d27ecc4c7f5f011d1aac69cc8e7465f16edc2e09e0c73a47e1a4de3e3ea4dc"
    "12340435287bbb479d4b194e52d87de2b7af85cf3709fd320b89586ef717a3d4"
    "07918fad4b92bacd533b57ed91572db077db21348d4255e53ce311a10f64c981"
    "2add7e5bdad651322c2c11208bc679353c25e314858e49be2f9baf50f234a9c4";

/* Decodes text of exactly n octets. */
static void add(uint8_t out[SZ], uint8_t const a[SZ], uint8_t const b[SZ])
{
    assert_int_equal(coh_bn254_add(out, a, b), COH_OK);
}

static void mul(uint8_t out[SZ], uint8_t const a[SZ], uint8_t const k[32])
{
    assert_int_equal(coh_bn254_mul(out, a, k), COH_OK);
}

/* 1 or 0; a coh_err_t if the check refuses. */
static int check(char const *text)
{
    coh_buf_t buf = COH_BUF_INIT;
    assert_true(coh_test_hex(&buf, text));
    assert_int_equal(buf.n % COH_BN254_PAIR_SZ, 0);
    bool is_one   = false;
    coh_err_t err = coh_bn254_pairing_check(&is_one, buf.p, buf.n / COH_BN254_PAIR_SZ);
    coh_buf_free(&buf);
    return err == COH_OK ? is_one : err;
}

/* The same for a pair of points that are spelled one after another. */
static int check_pair(char const *g1, char const *g2)
{
    char text[2 * COH_BN254_PAIR_SZ + 1];
    assert_int_equal(strlen(g1) + strlen(g2), sizeof(text) - 1);
    strcpy(text, g1);
    strcat(text, g2);
    return check(text);
}

/* (1, 2) */
static void generator(uint8_t out[SZ])
{
    memset(out, 0, SZ);
    out[31] = 1;
    out[63] = 2;
}

static void bn254_adds_as_others_do(void **state)
{
    (void)state;
    static struct {
        char const *a, *b, *sum;
    } const vectors[] = {
        {G1_A,
         G1_B,
         "061b4edb9d463d04cd643f78a69d4aaa2c2a28e21a5b6520c48f5a9736f3b458"
         "1421921ebc62b6810738af0f8a70ba3dc30316408c77449a9e3d39f4fbba5d47"},
        {G1_A, G1_A, G1_C},
        {G1_A, G1_MINUS_A, G1_INFINITY},
        {G1_A, G1_INFINITY, G1_A},
        {G1_INFINITY, G1_B, G1_B},
        {G1_INFINITY, G1_INFINITY, G1_INFINITY},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        uint8_t a[SZ], b[SZ], want[SZ], got[SZ];
        coh_test_decode(a, SZ, vectors[i].a);
        coh_test_decode(b, SZ, vectors[i].b);
        coh_test_decode(want, SZ, vectors[i].sum);
        add(got, a, b);
        assert_memory_equal(got, want, SZ);
        add(got, b, a);
        assert_memory_equal(got, want, SZ);
    }
}

/* Scalars at the edges: of the group's order, of 256 bits, of the endomorphism, of the lattice that splits them. */
static void bn254_multiplies_as_others_do(void **state)
{
    (void)state;
    static struct {
        char const *a, *k, *product;
    } const vectors[] = {
        {G1_A, "0000000000000000000000000000000000000000000000000000000000000000", G1_INFINITY},
        {G1_A, "0000000000000000000000000000000000000000000000000000000000000001", G1_A},
        {G1_A, "0000000000000000000000000000000000000000000000000000000000000002", G1_C},
        {G1_A, "30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000000", G1_MINUS_A},
        {G1_A, "30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001", G1_INFINITY},
        {G1_A, "30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000002", G1_A},
        {G1_A,
         "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
         "2d953710aed37d9f03152cd57afbb0ed5a4fed5bbb9d84f64de1b4e5f5e27898"
         "12d1f7545dd6f32015a4e24b5d246266dfdc68a4a543bebcfade66ca8b7cbad2"},
        {G1_A,
         "0000000000000000b3c4d79d41a917585bfc41088d8daaa78b17ea66b99c90dd",
         "28d6558c07789d2f9f53d45d2d7c955385bcb98adec46edf0bb771df3add5c9a"
         "094675c109cb67bff1a196d2ecb2a8fcfb730222a43b11dc2565f4ddd1a14702"},
        {G1_A,
         "0000000000000000b3c4d79d41a917585bfc41088d8daaa78b17ea66b99c90de",
         "1e0f46cbbbaf38ecb756fc9238e8eaaf2386dae489696e21ba4f590ccb0f6dfa"
         "271dd8b1d7663869c6aeaee394ceaf609c0e686ec436b8b116ba973906dbb645"},
        {G1_A,
         "183227397098d014dc2822db40c0ac2e9419f4243cdcb848a1f0fac9f8000000",
         "233354d200f32531b742187b5887351a00513e6743beb4bb4a743b586bfa9041"
         "1bee8de88dfcac79d9a382ae5aedc98d90ea25fd50624c7fbc40e6ed0cc17a93"},
        {G1_A,
         "ea13c2eab7f2948f37556daa198370a7423984e30feb49d2967e64a61b95d808",
         "0d1d943dbea9870d18df52affac6682048764404cb3abd3b2fb5f55038cf1ed9"
         "08578cf2224099c3872a42c4e75af11cd4903079b339442c1f36832287c34b3b"},
        {G1_A,
         "c6c7a84fa5691d25db665dc155925b38ef0564f79bd1e78de32b2f33ed3d10c3",
         "2e1a6ed52d95c177a51395df06b90c02c28a4ec81b88dfa8f212907f1b493277"
         "01a9139cb534ea9e5772cc32026401042908c2d3a4f571e4016abd078eceb558"},
        {G1_A,
         "0245f448657faf38319ce3291a393f5c83db846efc72c99102c24151f03d8595",
         "14e7f72470df905f23e5619355137ead3765a03296f80df0c5222cc00545add1"
         "1d2040916b7ada68f329584e63d4327fb1d81cfe3813f1638b9d48de9c159996"},

    };
    for (size_t i = 0; i < COH_CNT(vectors); i++) {
        uint8_t a[SZ], k[32], want[SZ], got[SZ];
        coh_test_decode(a, SZ, vectors[i].a);
        coh_test_decode(k, 32, vectors[i].k);
        coh_test_decode(want, SZ, vectors[i].product);
        mul(got, a, k);
        assert_memory_equal(got, want, SZ);
    }
}

/* k P for k = 0 .. 1023 equals what additions give. */
static void bn254_multiplication_is_repeated_addition(void **state)
{
    (void)state;
    uint8_t point[SZ], sum[SZ] = {0}, got[SZ];
    generator(point);
    for (uint32_t k = 0; k < 1024; k++) {
        uint8_t scalar[32] = {[30] = (uint8_t)(k >> 8), [31] = (uint8_t)k};
        mul(got, point, scalar);
        assert_memory_equal(got, sum, SZ);
        add(sum, sum, point);
    }
}

/* (a + b) P = a P + b P for random a, b below 2^255. */
static void bn254_multiplication_distributes(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 1);
    uint8_t point[SZ];
    generator(point);
    for (int i = 0; i < 300; i++) {
        coh_u256_t a, b, c;
        for (int w = 0; w < 4; w++) {
            a.w[w] = coh_rng_next(&rng);
            b.w[w] = coh_rng_next(&rng);
        }
        a.w[3] >>= 1;
        b.w[3] >>= 1;
        assert_false(coh_u256_add(&c, &a, &b));
        uint8_t k[32], left[SZ], right[SZ];
        coh_u256_to_be(k, &a);
        mul(left, point, k);
        coh_u256_to_be(k, &b);
        mul(right, point, k);
        add(left, left, right);
        coh_u256_to_be(k, &c);
        mul(right, point, k);
        assert_memory_equal(left, right, SZ);
        memcpy(point, right, SZ);
    }
}

static void bn254_refuses_what_is_no_point(void **state)
{
    (void)state;
    uint8_t good[SZ], bad[SZ], out[SZ], one[32] = {[31] = 1}, p[32];
    generator(good);
    coh_test_decode(p, 32, prime);
    for (int i = 0; i < 6; i++) {
        generator(bad);
        switch (i) {
        case 0: bad[63] = 3; break;                   /* not on the curve */
        case 1: bad[31] = 0; break;                   /* (0, 2) */
        case 2: memcpy(bad, p, 32); break;            /* x = p */
        case 3: memcpy(bad + 32, p, 32); break;       /* y = p */
        case 4: memcpy(bad, p, 32), bad[31]++; break; /* x = p + 1, which is 1 */
        case 5: memset(bad, 0xff, SZ); break;
        }
        assert_int_equal(coh_bn254_add(out, bad, good), COH_EMALFORMED);
        assert_int_equal(coh_bn254_add(out, good, bad), COH_EMALFORMED);
        assert_int_equal(coh_bn254_mul(out, bad, one), COH_EMALFORMED);
    }
    /* (p, p) and (p, 0) are not taken for infinity. */
    memcpy(bad, p, 32);
    memcpy(bad + 32, p, 32);
    assert_int_equal(coh_bn254_mul(out, bad, one), COH_EMALFORMED);
    memset(bad + 32, 0, 32);
    assert_int_equal(coh_bn254_mul(out, bad, one), COH_EMALFORMED);
}

/* go-ethereum, core/vm/testdata/precompiles/bn256Pairing.json: jeff1, jeff4, jeff6; and one of three pairs. */
static void bn254_pairs_as_others_do(void **state)
{
    (void)state;
    assert_int_equal(check(""), 1);
    assert_int_equal(
        check(G1_D G2_A
              "111e129f1cf1097710d41c4ac70fcdfa5ba2023c6ff1cbeac322de49d1b6df7c"
              "2032c61a830e3c17286de9462bf242fca2883585b93870a73853face6a6bf411" G2_GENERATOR),
        1);
    assert_int_equal(check("2f2ea0b3da1e8ef11914acf8b2e1b32d99df51f5f4f206fc6b947eae860eddb6"
                           "068134ddb33dc888ef446b648d72338684d678d2eb2371c61a50734d78da4b72"
                           "25f83c8b6ab9de74e7da488ef02645c5a16a6652c3c71a15dc37fe3a5dcb7cb1"
                           "22acdedd6308e3bb230d226d16a105295f523a8a02bfc5e8bd2da135ac4c245d"
                           "065bbad92e7c4e31bf3757f1fe7362a63fbfee50e7dc68da116e67d600d9bf68"
                           "06d302580dc0661002994e7cd3a7f224e7ddc27802777486bf80f40e4ca3cfdb"
                           "186bac5188a98c45e6016873d107f5cd131f3a3e339d0375e58bd6219347b008"
                           "122ae2b09e539e152ec5364e7e2204b03d11d3caa038bfc7cd499f8176aacbee"
                           "1f39e4e4afc4bc74790a4a028aff2c3d2538731fb755edefd8cb48d6ea589b5e"
                           "283f150794b6736f670d6a1033f9b46c6f5204f50813eb85c8dc4b59db1c5d39"
                           "140d97ee4d2b36d99bc49974d18ecca3e7ad51011956051b464d9e27d46cc25e"
                           "0764bb98575bd466d32db7b15f582b2d5c452b36aa394b789366e5e3ca5aabd4"
                           "15794ab061441e51d01e94640b7e3084a07e02c78cf3103c542bc5b298669f21"
                           "1b88da1679b0b64a63b7e0e7bfe52aae524f73a55be7fe70c7e9bfc94b4cf0da"
                           "1213d2149b006137fcfb23036606f848d638d576a120ca981b5b1a5f9300b3ee"
                           "2276cf730cf493cd95d64677bbb75fc42db72513a4c1e387b476d056f80aa75f"
                           "21ee6226d31426322afcda621464d0611d226783262e21bb3bc86b537e986237"
                           "096df1f82dff337dd5972e32a8ad43e28a78a96a823ef1cd4debe12b6552ea5f"),
                     1);
    assert_int_equal(
        check(G1_D G2_A
              "111e129f1cf1097710d41c4ac70fcdfa5ba2023c6ff1cbeac322de49d1b6df7c"
              "103188585e2364128fe25c70558f1560f4f9350baf3959e603cc91486e110936" G2_GENERATOR),
        0);
    assert_int_equal(
        check("0a3c022d6eb6479b6c441e3aa1544ac36076b139b2daacf8ba825163f9a395ce"
              "0f49d53da0a3db129330856f75663cde123da7fc1ab3e7eeb2b4510bf8fefddc"
              "19516c79ce46442e87c5d53fb995aac40e27f0ae58bcc30d5241030e66f6e3ec"
              "0bcd72c008d2992ac5d8676bccf452f419862f7ab1b09375d21d10881e8232f8"
              "0694d01877b4c5bd27975eab640cc8fe05c0bf248790b896f195664993944507"
              "0e2c6f4d3bb0b38ed1bd0bdb576ed5d8221dbf927f4736d559e536c1191f0c73"
              "0f3ff8a500675550dcb59d6c411bb130d5bbc6034335bf0e99958a9be34c6395"
              "18dda07393c0a88236576048aaa74f3a2f53dd772ea715019e6d945dade7552c"
              "2443578c94df092c1b3fd775c4027bd49b33105dc9b7f685da0604042a79186c"
              "2572f91d424238d2c6d67b3e2f318cda60fb22805ea362b6100581ec86eaaa21"
              "148dc697825ab0ee666fa36124dfb0831f9e6ab170ea699b8b7f0b2548549fca"
              "1de630d2e6b620f98eae9fee569de31e01cfe5bbcfb5b6259393e328229d7ca5"
              "0f0afe59d370f287544479b465120177c5bcb2a503f362ba88aa8142df31c7c9"
              "2ceb992f46647dbf9925a094f6c4d819885000848ac1d6a7cb10fe99771d41d5" G2_GENERATOR),
        1);
}

static void bn254_pairing_with_infinity_is_one(void **state)
{
    (void)state;
    char zeros[2 * COH_BN254_G2_SZ + 1];
    memset(zeros, '0', sizeof(zeros) - 1);
    zeros[sizeof(zeros) - 1] = 0;
    char const *g1_infinity  = zeros + 2 * COH_BN254_G1_SZ;
    static char const g1[]   = G1_GENERATOR;
    assert_int_equal(check_pair(g1_infinity, g2_generator), 1);
    assert_int_equal(check_pair(g1, zeros), 1);
    assert_int_equal(check_pair(g1_infinity, zeros), 1);
    assert_int_equal(check_pair(g1, g2_generator), 0);
}

/* e(aP, Q) e(bP, Q) ... e(-(a + b + ...)P, Q) = 1 for 1 to 20 pairs, more than run together; without the last it is not. */
static void bn254_pairing_is_linear(void **state)
{
    (void)state;
    coh_rng_t rng;
    coh_rng_seed(&rng, 2);
    static uint8_t pairs[21 * COH_BN254_PAIR_SZ];
    uint8_t order_less_1[32];
    coh_test_decode(
        order_less_1, 32, "30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000000");
    for (size_t cnt = 1; cnt <= 20; cnt++) {
        uint8_t sum[SZ] = {0}, point[SZ], k[32];
        for (size_t i = 0; i <= cnt; i++) {
            uint8_t *pair = pairs + i * COH_BN254_PAIR_SZ;
            coh_test_decode(pair + SZ, COH_BN254_G2_SZ, g2_generator);
            if (i < cnt) {
                for (size_t b = 0; b < 32; b++) {
                    k[b] = (uint8_t)coh_rng_next(&rng);
                }
                generator(point);
                mul(pair, point, k);
                add(sum, sum, pair);
            } else {
                mul(pair, sum, order_less_1);
            }
        }
        bool is_one = false;
        assert_int_equal(coh_bn254_pairing_check(&is_one, pairs, cnt + 1), COH_OK);
        assert_true(is_one);
        assert_int_equal(coh_bn254_pairing_check(&is_one, pairs, cnt), COH_OK);
        assert_false(is_one);
    }
}

static void bn254_pairing_refuses_what_is_no_point(void **state)
{
    (void)state;
    static char const g1[]     = G1_GENERATOR;
    static char const g1_bad[] = "0000000000000000000000000000000000000000000000000000000000000001"
                                 "0000000000000000000000000000000000000000000000000000000000000003";
    assert_int_equal(check_pair(g1, g2_composite), COH_EMALFORMED);
    assert_int_equal(check_pair(g1, g2_cofactor), COH_EMALFORMED);
    assert_int_equal(check_pair(g1_bad, g2_generator), COH_EMALFORMED);
    /* Refused also beside infinity. */
    char infinity[2 * COH_BN254_G1_SZ + 1];
    memset(infinity, '0', sizeof(infinity) - 1);
    infinity[sizeof(infinity) - 1] = 0;
    assert_int_equal(check_pair(infinity, g2_composite), COH_EMALFORMED);
    /* Each coordinate of G2 in turn: a wrong one, and one that is not below the prime. */
    for (size_t i = 0; i < 4; i++) {
        char g2[sizeof(g2_generator)];
        strcpy(g2, g2_generator);
        g2[64 * i + 63] = g2[64 * i + 63] == '0' ? '1' : '0';
        assert_int_equal(check_pair(g1, g2), COH_EMALFORMED);
        memcpy(g2, g2_generator, sizeof(g2));
        memcpy(g2 + 64 * i, prime, 64);
        assert_int_equal(check_pair(g1, g2), COH_EMALFORMED);
    }
}

static int use_plain(void **state)
{
    (void)state;
    return coh_bn254_force_backend("plain") ? 0 : -1;
}

static void bn254_knows_its_backends(void **state)
{
    (void)state;
    assert_true(coh_bn254_force_backend("plain"));
    assert_false(coh_bn254_force_backend("abacus"));
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(bn254_adds_as_others_do),
        cmocka_unit_test(bn254_multiplies_as_others_do),
        cmocka_unit_test(bn254_multiplication_is_repeated_addition),
        cmocka_unit_test(bn254_multiplication_distributes),
        cmocka_unit_test(bn254_refuses_what_is_no_point),
        cmocka_unit_test(bn254_pairs_as_others_do),
        cmocka_unit_test(bn254_pairing_with_infinity_is_one),
        cmocka_unit_test(bn254_pairing_is_linear),
        cmocka_unit_test(bn254_pairing_refuses_what_is_no_point),
        cmocka_unit_test(bn254_knows_its_backends),
    };
    int failed = cmocka_run_group_tests_name("best backend", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("plain", tests, use_plain, NULL);
}
