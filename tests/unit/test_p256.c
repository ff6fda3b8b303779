/* ECDSA over secp256r1 against the cases that the official tests of EIP-7951 are made of
   (ethereum/execution-spec-tests, osaka/eip7951_p256verify_precompiles, test_valid and test_invalid): digest, r, s, x, y. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/crypto/p256.h"
#include "tests/support/data.h"

/* What occurs more than once: points and their coordinates, a signature, a hash. */
#define GENERATOR_X "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
#define GENERATOR \
    GENERATOR_X   \
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
#define KEY                                                            \
    "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838" \
    "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e"
#define SIGNATURE                                                      \
    "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18" \
    "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"
#define MINUS_GENERATOR \
    GENERATOR_X         \
    "b01cbd1c01e58065711814b583f061e9d431cca994cea1313449bf97c840ae0a"
#define INFINITE                                                       \
    "0000000000000000000000000000000000000000000000000000000000000000" \
    "0000000000000000000000000000000000000000000000000000000000000000"
#define MESSAGE "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023"

static char const *const valid[] = {
    /* valid_r1_sig */
    "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    "434287fa699ff2be2a4475ccd9c063d1a22a424b6ab357d9bb0b31f7a71307b9"
    "be6af716032d408183c53f6f76945363144555fad2a5ff7854159166e52fc1d0"
    "da3c553a4215893e6d95d5818df2519e13233a1e0e56e0ea7b4817a92a6973f9"
    "d8c8877a49383e20c3fdc21d4e8e280ef1feeb72c333036770369a4387168d33",
    /* hash_0 */
    "0000000000000000000000000000000000000000000000000000000000000000" GENERATOR_X GENERATOR_X
        GENERATOR,
    /* hash_N */
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551" GENERATOR_X GENERATOR_X
        GENERATOR,
    /* hash_max */
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" GENERATOR_X
    "6b17d1f3e12c4246f8bce6e563a440f2ba1c82d386d3951c00e76e82dc359d44" GENERATOR,
    /* s_1 */
    "94e82e0c1ed3bdb90743191a9c5bbf0d45e37d2c792c6ae3ff18917d23ca62bc" GENERATOR_X
    "0000000000000000000000000000000000000000000000000000000000000001" GENERATOR,
    /* s_N_minus_1 */
    "94e82e0c1ed3bdb90743191a9c5bbf0d45e37d2c792c6ae3ff18917d23ca62ba" GENERATOR_X
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550" GENERATOR,
    /* u1_eq_u2_and_Q_eq_G */
    "7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978"
    "7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978"
    "830d84e672fcb08275adc7fcfb4ae53bfc5d90cb2f25834f4dae81c6b4fc8bd9" GENERATOR,
    /* u1_eq_u2_and_Q_ne_G */
    "65fb4407bcb2a33ae2e486366baa79b3a8a17a83dde0fed6f09014a8ac6f78a1"
    "65fb4407bcb2a33ae2e486366baa79b3a8a17a83dde0fed6f09014a8ac6f78a1"
    "65fb4407bcb2a33ae2e486366baa79b3a8a17a83dde0fed6f09014a8ac6f78a1" KEY,
    /* x_0_y_negative */
    "f98a88895cb0866c5bad58cf03000ddf9d21cb9407892ff54d637e6a046afbb3"
    "81dc074973d3222f3930981ad98d022517c91063ffb83cfd620e29b86dc30a8f"
    "365e4cd085617a265765062a2d9954ed86309dfa33cf5ae1464fe119419fc34a"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "99b7a386f1d07c29dbcc42a27b5f9449abe3d50de25178e8d7407a95e8b06c0b",
    /* x_5_y_positive */
    "5f95dcd6e41662d1e0aefccdb7877877c1fd88c9e67fc3cda0d1d520fa8a3ac2"
    "af5dfddb7edc789d7c9c42a44afbbf13c8f1d77d576b6ee5f11fea4f33e2cb39"
    "a28f8c5625ad622950f2fce9672784b287ef9e032ade8c23ba218413a1cf6522"
    "0000000000000000000000000000000000000000000000000000000000000005"
    "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc",
    /* y_1 */
    "65b0e03e7a27e6f9f4989c72486fcaf0a3ecf3ef60d14f1c11fb5bf071a8fd1b"
    "0b0cc9e314e4180fe18d205010dd1c4410632d472cc4e7ab56cbc04091abe006"
    "8d12c4f19ac41d7877705453a247ab96394e7c093f57ec073a9d150cde6b68c6"
    "09e78d4ef60d05f750f6636209092bc43cbdd6b47e11a9de20a9feb2a50bb96c"
    "0000000000000000000000000000000000000000000000000000000000000001",
    /* Wycheproof, ecdsa_secp256r1_sha256_p1363_test.json #113: the x of k G is above the order, so r is not x itself */
    MESSAGE "000000000000000000000000000000004319055358e8617b0c46353d039cdaab"
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e"
            "0ad99500288d466940031d72a9f5445a4d43784640855bf0a69874d2de5fe103"
            "c5011e6ef2c42dcd50d5d3d29f99ae6eba2c80c9244f4c5422f0979ff0c3ba5e",
};

static char const *const invalid[] = {
    /* invalid_r1_sig_but_valid_k1_sig */
    "d9eba16ed0ecae432b71fe008c98cc872bb4cc214d3220a36f365326cf807d68"
    "69cccd84ca870c08d49d596342f464017f2a05b0be539682eaa7529e4be2de36"
    "2cdb85fe13cb7de39c1c7385be9f38e8bde9963ccbecd96281c4df3aca38f537"
    "82ae98a95ae76e389354f0ec660cf071309ea2d2cb14adb6543106b790be27fd"
    "77b2cdc82c3aa8f2cf21e6257c197d75f84dcd0bc2ff8875c3e245c0e0874751",
    /* R_at_infinity_v1 */
    "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18" SIGNATURE MINUS_GENERATOR,
    /* R_at_infinity_v2 */
    "0000000000000000000000000000000000000000000000000000000000000001"
    "0000000000000000000000000000000000000000000000000000000000000001"
    "0000000000000000000000000000000000000000000000000000000000000001" MINUS_GENERATOR,
    /* hash_0_r_0 */
    INFINITE "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76" GENERATOR,
    /* hash_0_r_N */
    "0000000000000000000000000000000000000000000000000000000000000000"
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
    "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76" GENERATOR,
    /* input_all_zeros */
    INFINITE INFINITE "0000000000000000000000000000000000000000000000000000000000000000",
    /* invalid_curve_attack_b_equals_one */
    MESSAGE SIGNATURE "0000000000000000000000000000000000000000000000000000000000000004"
                      "872a856d521eed42d28a60ccc2eae42e1572f33be2bf616dc9a762d51c459e2a",
    /* invalid_curve_attack_singular_b_zero */
    MESSAGE SIGNATURE "0000000000000000000000000000000000000000000000000000000000000002"
                      "507442007322aa895340cba4abc2d730bfd0b16c2c79a46815f8780d2c55a2dd",
    /* point_at_infinity */
    MESSAGE SIGNATURE INFINITE,
    /* point_not_on_curve_x */
    MESSAGE SIGNATURE "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732839"
                      "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e",
    /* point_not_on_curve_y */
    MESSAGE SIGNATURE "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
                      "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513f",
    /* r_0_s_0 */
    MESSAGE INFINITE GENERATOR,
    /* r_N_s_N */
    MESSAGE "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551" GENERATOR,
    /* r_above_n */
    "532eaabd9574880dbf76b9b8cc00832c20a6ec113d682299550d7a6e0f345e25"
    "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc"
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e"
    "d705d16f80987e2d9b1a6957d29ce22febf7d10fa515153182415c8361baaca4"
    "b1fc105ee5ce80d514ec1238beae2037a6f83625593620d460819e8682160926",
    /* r_eq_to_n */
    MESSAGE "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
            "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76" KEY,
    /* s_N_plus_1 */
    "94e82e0c1ed3bdb90743191a9c5bbf0d45e37d2c792c6ae3ff18917d23ca62bc" GENERATOR_X
    "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632552" GENERATOR,
    /* s_eq_to_n */
    MESSAGE "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551" KEY,
    /* s_max_mod_N */
    MESSAGE GENERATOR_X
    "00000000ffffffff00000000000000004319055258e8617b0c46353d039cdaae" GENERATOR,
    /* x_P_plus_5_y_positive */
    "5f95dcd6e41662d1e0aefccdb7877877c1fd88c9e67fc3cda0d1d520fa8a3ac2"
    "af5dfddb7edc789d7c9c42a44afbbf13c8f1d77d576b6ee5f11fea4f33e2cb39"
    "a28f8c5625ad622950f2fce9672784b287ef9e032ade8c23ba218413a1cf6522"
    "ffffffff00000001000000000000000000000001000000000000000000000004"
    "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc",
    /* x_P_y_negative */
    "f98a88895cb0866c5bad58cf03000ddf9d21cb9407892ff54d637e6a046afbb3"
    "81dc074973d3222f3930981ad98d022517c91063ffb83cfd620e29b86dc30a8f"
    "365e4cd085617a265765062a2d9954ed86309dfa33cf5ae1464fe119419fc34a"
    "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
    "99b7a386f1d07c29dbcc42a27b5f9449abe3d50de25178e8d7407a95e8b06c0b",
    /* x_eq_to_p */
    MESSAGE SIGNATURE "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"
                      "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e",
};

static coh_p256_t decode(char const *text)
{
    coh_p256_t in;
    coh_test_decode(&in, sizeof(in), text);
    return in;
}

static void p256_accepts_valid_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(valid); i++) {
        coh_p256_t in = decode(valid[i]);
        assert_int_equal(coh_p256_verify(&in), COH_OK);
    }
}

static void p256_refuses_invalid_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < COH_CNT(invalid); i++) {
        coh_p256_t in = decode(invalid[i]);
        assert_int_equal(coh_p256_verify(&in), COH_ESIG);
    }
}

/* No bit of a valid one may change. */
static void p256_refuses_changed_ones(void **state)
{
    (void)state;
    coh_p256_t in = decode(valid[0]);
    for (size_t bit = 0; bit < 8 * sizeof(in); bit += 3) {
        ((uint8_t *)&in)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(coh_p256_verify(&in), COH_ESIG);
        ((uint8_t *)&in)[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(coh_p256_verify(&in), COH_OK);
}

int main(void)
{
    struct CMUnitTest const tests[] = {
        cmocka_unit_test(p256_accepts_valid_signatures),
        cmocka_unit_test(p256_refuses_invalid_ones),
        cmocka_unit_test(p256_refuses_changed_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
